//! Compiles profiles to what the detector evaluates.

use std::sync::Arc;

use fleet::metric::Shape;
use xxhash_rust::xxh3::xxh3_64;

use super::{Criteria, Definition, Profile, Profiles, Rule};
use crate::{
    criterion::Criterion,
    set::{Aggregate, Behavior, Compiled, EntityKind, MetricKey, Part},
};

impl Profiles {
    /// Compiles the behaviors that are evaluated.
    ///
    /// `bucket_secs`, seconds, is the window of numbers that are judged by window but name none:
    /// message sizes, counters without `durationSeconds`, and how long a thing is away.
    #[must_use]
    pub fn compile(&self, bucket_secs: u32) -> Compiled {
        Compiled::new(self.iter().map(|profile| part(profile, bucket_secs)).collect())
    }
}

fn part(profile: &Profile, bucket_secs: u32) -> Part {
    let name: Arc<str> = profile.name.as_str().into();
    let behaviors = profile.behaviors.iter();
    let behaviors = behaviors.filter_map(|definition| behavior(&name, definition, bucket_secs));
    let (of_things, of_addresses) =
        behaviors.map(Arc::new).partition(|behavior| behavior.entity == EntityKind::Thing);
    Part { targets: profile.targets.iter().cloned().collect(), of_things, of_addresses }
}

fn behavior(profile: &Arc<str>, definition: &Definition, bucket_secs: u32) -> Option<Behavior> {
    let criteria = definition.criteria.as_ref()?;
    let Rule::Static(criterion) = &criteria.rule else { return None };
    if definition.dimension.is_some() {
        return None;
    }
    let (aggregate, window) = aggregation(&definition.metric, criterion, criteria.duration, bucket_secs);
    let expected = match (aggregate, window) {
        (Aggregate::Count | Aggregate::Sum | Aggregate::Last, Some(secs)) => {
            format!("{criterion} in {secs} s")
        }
        (Aggregate::Each | Aggregate::Max | Aggregate::Min | Aggregate::Away, _) | (_, None) => {
            criterion.to_string()
        }
    };
    Some(Behavior {
        profile: Arc::clone(profile),
        name: definition.name.as_str().into(),
        metric: definition.metric.clone(),
        entity: definition.entity,
        window,
        aggregate,
        criterion: criterion.clone(),
        to_alarm: criteria.to_alarm,
        to_clear: criteria.to_clear,
        suppress: definition.suppress,
        expected: expected.into(),
        json: Arc::clone(&definition.json),
        fingerprint: fingerprint(profile, definition, criteria, criterion, (aggregate, window)),
    })
}

/// How observations become datapoints (`device-defender-detect.md`, section 6), and in windows of
/// how many seconds, if in any.
fn aggregation(
    metric: &MetricKey,
    criterion: &Criterion,
    duration: Option<u32>,
    bucket_secs: u32,
) -> (Aggregate, Option<u32>) {
    let bucket = Some(duration.unwrap_or(bucket_secs).max(1));
    let Criterion::Number(number) = criterion else { return (Aggregate::Each, None) };
    match metric {
        MetricKey::Aws(metric) => match metric.shape() {
            Shape::Counter => (Aggregate::Count, bucket),
            Shape::Each if number.op.bounds_above() => (Aggregate::Max, bucket),
            Shape::Each => (Aggregate::Min, bucket),
            Shape::Duration => (Aggregate::Away, bucket),
            Shape::Delta if duration.is_some() => (Aggregate::Sum, duration),
            Shape::Gauge if duration.is_some() => (Aggregate::Last, duration),
            Shape::Delta | Shape::Gauge | Shape::Ports | Shape::Addresses => (Aggregate::Each, None),
        },
        MetricKey::Custom(_) if duration.is_some() => (Aggregate::Last, duration),
        MetricKey::Custom(_) => (Aggregate::Each, None),
    }
}

/// XXH3 of the definition in a fixed text form, so that spelling and order in the file do not matter.
fn fingerprint(
    profile: &str,
    definition: &Definition,
    criteria: &Criteria,
    criterion: &Criterion,
    (aggregate, window): (Aggregate, Option<u32>),
) -> u64 {
    let text = format!(
        "{profile}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
        definition.name,
        definition.metric,
        definition.entity.name(),
        criterion.canonical(),
        aggregate.name(),
        window.unwrap_or(0),
        criteria.to_alarm,
        criteria.to_clear,
    );
    xxh3_64(text.as_bytes())
}
