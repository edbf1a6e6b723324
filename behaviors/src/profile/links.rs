//! What spans profiles and files: names that are taken, attachments, limits per target, and
//! types of custom metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleet::{arn::Target, ids::ProfileName, problem::nearest};

use super::{Definition, Profile, Rule, behavior::DimensionUse, document::Document};
use crate::{
    allow::AllowList,
    criterion::ValueKind,
    dimension::{DIMENSIONS_MAX, DimensionFilters},
    set::MetricKey,
};

/// Most profiles of a target (quota).
const PROFILES_PER_TARGET_MAX: usize = 5;
/// Most custom metrics (quota).
const CUSTOM_METRICS_MAX: usize = 100;

/// What the files hold.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) profiles: Vec<FoundProfile>,
    pub(super) links: Vec<Link>,
    pub(super) dimensions: Vec<FoundDimension>,
    pub(super) allowed: Option<AllowList>,
}

/// A dimension and where its name is.
#[derive(Debug)]
pub(super) struct FoundDimension {
    pub(super) document: usize,
    pub(super) at: usize,
    pub(super) place: String,
    pub(super) dimension: DimensionFilters,
}

/// A profile and where its name is.
#[derive(Debug)]
pub(super) struct FoundProfile {
    pub(super) document: usize,
    pub(super) at: usize,
    pub(super) place: String,
    pub(super) metrics: Vec<(usize, String, CustomUse)>,
    pub(super) dimensions: Vec<DimensionUse>,
    /// It names targets itself, right or wrong ones.
    pub(super) names_targets: bool,
    pub(super) profile: Profile,
}

/// A target of a profile and where it is named.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) document: usize,
    pub(super) at: usize,
    pub(super) place: String,
    pub(super) profile: ProfileName,
    pub(super) target: Target,
    /// By an attachment, which may name a profile that does not exist.
    pub(super) attached: bool,
}

/// A custom metric with the type that a criterion gives it.
#[derive(Debug)]
pub(super) struct CustomUse {
    name: Arc<str>,
    kind: ValueKind,
}

impl CustomUse {
    /// Of a behavior over a custom metric; the type of one that is only collected is not known.
    pub(super) fn of(definition: &Definition) -> Option<Self> {
        let MetricKey::Custom(name) = &definition.metric else { return None };
        let kind = match &definition.criteria.as_ref()?.rule {
            Rule::Static(criterion) => criterion.kind(),
            Rule::Statistical { .. } | Rule::Learned(_) => ValueKind::Number,
        };
        Some(Self { name: Arc::clone(name), kind })
    }
}

/// Puts everything together and reports what does not fit.
pub(super) fn link(
    documents: &mut [Document<'_>],
    found: Found,
) -> (BTreeMap<ProfileName, Profile>, Vec<DimensionFilters>) {
    one_type_each(documents, &found.profiles);
    let dimensions = dimensions(documents, found.dimensions, &found.profiles);
    let mut profiles: BTreeMap<ProfileName, FoundProfile> = BTreeMap::new();
    for next in found.profiles {
        match profiles.get(&next.profile.name) {
            None => {
                profiles.insert(next.profile.name.clone(), next);
            }
            Some(first) => {
                let message = format!(
                    "the security profile `{}` is there already, in {}; names are unique",
                    next.profile.name,
                    position(documents, first.document, first.at)
                );
                error(documents, next.document, next.at, &next.place, message);
            }
        }
    }
    attach(documents, &mut profiles, found.links);
    let watches_nothing = |found: &&FoundProfile| found.profile.targets.is_empty() && !found.names_targets;
    for found in profiles.values().filter(watches_nothing) {
        let message = format!(
            "`{}` watches nothing: it has no target; add `\"fleetward\": {{\"targets\": [ARN]}}` or attach it",
            found.profile.name
        );
        if let Some(document) = documents.get_mut(found.document) {
            document.warning(found.at, &found.place, message);
        }
    }
    (profiles.into_iter().map(|(name, found)| (name, found.profile)).collect(), dimensions)
}

/// The dimensions by name; reports names that are taken, too many, and uses of what is not there.
fn dimensions(
    documents: &mut [Document<'_>],
    found: Vec<FoundDimension>,
    profiles: &[FoundProfile],
) -> Vec<DimensionFilters> {
    let mut all: BTreeMap<Arc<str>, FoundDimension> = BTreeMap::new();
    for next in found {
        let name = &next.dimension.name;
        let message = match all.get(name) {
            Some(first) => format!(
                "the dimension `{name}` is there already, in {}; names are unique",
                position(documents, first.document, first.at)
            ),
            None if all.len() >= DIMENSIONS_MAX => {
                format!("`{name}` is one dimension too many; allowed are {DIMENSIONS_MAX}")
            }
            None => {
                all.insert(Arc::clone(name), next);
                continue;
            }
        };
        error(documents, next.document, next.at, &next.place, message);
    }
    for profile in profiles {
        for used in profile.dimensions.iter().filter(|used| !all.contains_key(&*used.name)) {
            let hint = match nearest(&used.name, all.keys().map(|name| &**name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "no file defines it".into(),
            };
            let message = format!("unknown dimension `{}`; {hint}", used.name);
            error(documents, profile.document, used.at, &used.place, message);
        }
    }
    all.into_values().map(|found| found.dimension).collect()
}

fn attach(
    documents: &mut [Document<'_>],
    profiles: &mut BTreeMap<ProfileName, FoundProfile>,
    links: Vec<Link>,
) {
    let mut of_target: BTreeMap<Target, BTreeSet<ProfileName>> = BTreeMap::new();
    for link in links {
        let Some(found) = profiles.get_mut(&link.profile) else {
            if link.attached {
                let names = profiles.keys().map(ProfileName::as_str);
                let hint = match nearest(link.profile.as_str(), names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "no file defines it".into(),
                };
                let message = format!("unknown security profile `{}`; {hint}", link.profile);
                error(documents, link.document, link.at, &link.place, message);
            }
            continue;
        };
        let attached = of_target.entry(link.target.clone()).or_default();
        if attached.len() >= PROFILES_PER_TARGET_MAX && !attached.contains(&link.profile) {
            let names: Vec<String> = attached.iter().map(|name| format!("`{name}`")).collect();
            let message = format!(
                "`{}` is one profile too many for `{}`; allowed are {PROFILES_PER_TARGET_MAX}, it has {}",
                link.profile,
                link.target,
                names.join(", ")
            );
            error(documents, link.document, link.at, &link.place, message);
            continue;
        }
        attached.insert(link.profile);
        found.profile.targets.insert(link.target);
    }
}

/// A custom metric has one type wherever it is used.
fn one_type_each(documents: &mut [Document<'_>], profiles: &[FoundProfile]) {
    let mut first: BTreeMap<&str, (ValueKind, usize, usize)> = BTreeMap::new();
    for found in profiles {
        for (at, place, custom) in &found.metrics {
            let known = first.len();
            match first.get(&*custom.name) {
                None if known >= CUSTOM_METRICS_MAX => {
                    let message = format!(
                        "`{}` is one custom metric too many; allowed are {CUSTOM_METRICS_MAX}",
                        custom.name
                    );
                    error(documents, found.document, *at, place, message);
                }
                None => {
                    first.insert(&custom.name, (custom.kind, found.document, *at));
                }
                Some(&(kind, document, first_at)) if kind != custom.kind => {
                    let message = format!(
                        "the custom metric `{}` is compared as {} here and as {} in {}; a metric has one type",
                        custom.name,
                        words(custom.kind),
                        words(kind),
                        position(documents, document, first_at)
                    );
                    error(documents, found.document, *at, place, message);
                }
                Some(_) => {}
            }
        }
    }
}

const fn words(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Number => "a number",
        ValueKind::Ports => "ports",
        ValueKind::Addresses => "addresses",
        ValueKind::Numbers => "a list of numbers",
        ValueKind::Strings => "a list of texts",
    }
}

fn position(documents: &[Document<'_>], document: usize, at: usize) -> String {
    documents
        .get(document)
        .map_or_else(String::new, |document| format!("{}:{}", document.file(), document.line(at)))
}

fn error(documents: &mut [Document<'_>], document: usize, at: usize, place: &str, message: String) {
    if let Some(document) = documents.get_mut(document) {
        document.error(at, place, message);
    }
}
