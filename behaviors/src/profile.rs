//! Security profiles as people write them: JSON files in exactly the form of the AWS CLI's
//! `create-security-profile --cli-input-json`, of `attach-security-profile`, and of
//! `create-dimension`; an array of them is a file too.
//!
//! What AWS has no field for lives under the key `fleetward`: in a profile `targets` (ARNs, as
//! `attach-security-profile` takes them), in a behavior `entity` and `distinct` (`docs/profiles.md`),
//! a judgement such as `silence`, and `disconnects` (`docs/profiles-learned.md`).
//! A file with the key `allowList` is a manufacturer's list of things.
//! All problems of all files are reported at once, each with its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleet::{
    arn::Target,
    ids::{BehaviorName, ProfileName},
    problem::Problem,
};

use crate::{
    allow::AllowList,
    criterion::{Criterion, NumberOperator},
    dimension::DimensionFilters,
    learned::{Learned, absence::Reasons},
    set::{EntityKind, Item, MetricKey},
    statistic::Statistic,
};

mod allow;
mod behavior;
mod compile;
mod criteria;
mod dimension;
mod document;
mod entity;
mod judged;
mod learned;
mod links;
pub mod mud;
mod read;
mod validate;
mod value;

pub use validate::{Validation, ValidationError, validate_behaviors};

/// All profiles with their targets, and the dimensions that they use, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiles {
    profiles: BTreeMap<ProfileName, Profile>,
    dimensions: Vec<DimensionFilters>,
    allowed: Option<AllowList>,
}

/// A security profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Name.
    pub name: ProfileName,
    /// What it is for.
    pub description: Option<String>,
    /// Whom it watches; none means nobody.
    pub targets: BTreeSet<Target>,
    /// Behaviors in the order of the file.
    pub behaviors: Vec<Definition>,
    /// Where AWS would send alarms. Kept, not used: alerts are configured in the program's configuration.
    pub alert_target: Option<AlertTarget>,
    /// Metrics that are kept without a behavior.
    pub retained: Vec<Retained>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Where metric values are exported to.
    pub export: Option<MetricsExport>,
}

/// A behavior as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Name, unique in the profile.
    pub name: BehaviorName,
    /// What it measures.
    pub metric: MetricKey,
    /// What it counts by.
    pub entity: EntityKind,
    /// What it counts different ones of, instead of all events.
    pub distinct: Option<Item>,
    /// Narrows the metric to some topics.
    pub dimension: Option<Dimension>,
    /// What is normal; none if the metric is only collected.
    pub criteria: Option<Criteria>,
    /// What is normal, where AWS has no criterion for it; then there are no criteria.
    pub judgement: Option<Judgement>,
    /// Reasons of the disconnects that the metric counts.
    pub reasons: Reasons,
    /// No notification is wanted.
    pub suppress: bool,
    /// The metric's values are exported.
    pub export: bool,
    /// The behavior as configured, compact JSON in the form of AWS, our own keys left out.
    pub json: Arc<str>,
}

impl Definition {
    /// Whether and how this version evaluates it.
    #[must_use]
    pub const fn evaluation(&self) -> Evaluation {
        match &self.criteria {
            None if self.judgement.is_some() => Evaluation::Now,
            None => Evaluation::CollectOnly,
            Some(criteria) => match criteria.rule {
                Rule::Static(_) | Rule::Statistical { .. } => Evaluation::Now,
                Rule::Learned(_) => Evaluation::NotYet("mlDetectionConfig"),
            },
        }
    }
}

/// Whether a behavior is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluation {
    /// It is.
    Now,
    /// It has no criteria: its metric is collected.
    CollectOnly,
    /// Its form is checked and kept, but this key of it is not evaluated yet.
    NotYet(&'static str),
}

/// A judgement under `fleetward`.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What is judged.
    pub rule: Learned,
    /// `durationSeconds`.
    pub duration: Option<u32>,
    /// `consecutiveDatapointsToAlarm`, 1 to 10.
    pub to_alarm: u8,
    /// `consecutiveDatapointsToClear`, 1 to 10.
    pub to_clear: u8,
}

/// Criteria of a behavior.
#[derive(Clone, Debug, PartialEq)]
pub struct Criteria {
    /// What is compared.
    pub rule: Rule,
    /// `durationSeconds`.
    pub duration: Option<u32>,
    /// `consecutiveDatapointsToAlarm`, 1 to 10.
    pub to_alarm: u8,
    /// `consecutiveDatapointsToClear`, 1 to 10.
    pub to_clear: u8,
}

/// The three kinds of criteria.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Against a fixed value.
    Static(Criterion),
    /// Against a percentile of all reporting things.
    Statistical {
        /// Comparison.
        op: NumberOperator,
        /// Such as `p99.9`.
        statistic: Statistic,
    },
    /// Against a learned model.
    Learned(Confidence),
}

/// Confidence of a learned criterion; HIGH alarms least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// `LOW`
    Low,
    /// `MEDIUM`
    Medium,
    /// `HIGH`
    High,
}

/// Use of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dimension {
    /// Name of the dimension.
    pub name: String,
    /// `NOT_IN`: what matches none of its topic filters counts.
    pub negated: bool,
}

/// Where AWS would send alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertTarget {
    /// `alertTargets.SNS.alertTargetArn`
    pub alert_target_arn: String,
    /// `alertTargets.SNS.roleArn`
    pub role_arn: String,
}

/// A metric that is kept without a behavior.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The metric.
    pub metric: MetricKey,
    /// Narrows it to some topics.
    pub dimension: Option<Dimension>,
    /// Its values are exported.
    pub export: bool,
}

/// Where metric values are exported to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsExport {
    /// `metricsExportConfig.mqttTopic`
    pub mqtt_topic: String,
    /// `metricsExportConfig.roleArn`
    pub role_arn: String,
}

/// Reads profile files, each its name and its text.
///
/// The problems are all problems, in the order of the files and of the places in them. If one of
/// them is an error, the profiles are what could be read in spite of it, and are not to be used.
#[must_use]
pub fn parse_files(files: &[(String, String)]) -> (Profiles, Vec<Problem>) {
    let mut documents: Vec<_> =
        files.iter().map(|(file, text)| document::Document::new(file, text)).collect();
    let mut found = links::Found::default();
    for (index, document) in documents.iter_mut().enumerate() {
        read::file(document, index, &mut found);
    }
    let allowed = found.allowed.take();
    let (profiles, dimensions) = links::link(&mut documents, found);
    (
        Profiles { profiles, dimensions, allowed },
        documents.into_iter().flat_map(document::Document::into_problems).collect(),
    )
}

impl Profiles {
    /// The allow list of all files together, if there is one.
    #[must_use]
    pub const fn allowed(&self) -> Option<&AllowList> {
        self.allowed.as_ref()
    }

    /// The dimensions, by name.
    #[must_use]
    pub fn dimensions(&self) -> &[DimensionFilters] {
        &self.dimensions
    }

    /// The profiles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }

    /// The profile of that name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// Number of profiles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }
}
