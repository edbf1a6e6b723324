//! Compiles profiles to what the detector evaluates.

use std::{collections::BTreeMap, sync::Arc};

use fleet::metric::Shape;
use xxhash_rust::xxh3::xxh3_64;

use super::{Criteria, Definition, Dimension, Profile, Profiles, Rule};
use crate::{
    criterion::Criterion,
    set::{Aggregate, Behavior, Compiled, EntityKind, MetricKey, Part, Test},
};

impl Profiles {
    /// Compiles the behaviors that are evaluated.
    ///
    /// `bucket_secs`, seconds, is the window of numbers that are judged by window but name none:
    /// message sizes, counters without `durationSeconds`, and how long a thing is away.
    #[must_use]
    pub fn compile(&self, bucket_secs: u32) -> Compiled {
        Compiled::new(self.iter().map(|profile| part(profile, bucket_secs, false)).collect())
    }

    /// As [`Profiles::compile`]; besides, the values of every metric that a thing's profiles name,
    /// in a behavior or to be retained, are collected in windows of `bucket_secs` ([`Test::Collect`]).
    #[must_use]
    pub fn compile_collecting(&self, bucket_secs: u32) -> Compiled {
        Compiled::new(self.iter().map(|profile| part(profile, bucket_secs, true)).collect())
    }
}

fn part(profile: &Profile, bucket_secs: u32, collect: bool) -> Part {
    let name: Arc<str> = profile.name.as_str().into();
    let behaviors = profile.behaviors.iter();
    let behaviors = behaviors.filter_map(|definition| behavior(&name, definition, bucket_secs));
    let (of_things, of_addresses) =
        behaviors.map(Arc::new).partition(|behavior| behavior.entity == EntityKind::Thing);
    let collected = if collect { collected(profile, bucket_secs) } else { Vec::new() };
    Part { targets: profile.targets.iter().cloned().collect(), of_things, of_addresses, collected }
}

/// One collector for each metric and dimension; of a message's size three: the largest, the
/// smallest, and the sum.
fn collected(profile: &Profile, bucket_secs: u32) -> Vec<Arc<Behavior>> {
    let of_things = profile.behaviors.iter().filter(|behavior| behavior.entity == EntityKind::Thing);
    let named = of_things.map(|behavior| (&behavior.metric, &behavior.dimension, behavior.export));
    let retained = profile.retained.iter().map(|kept| (&kept.metric, &kept.dimension, kept.export));
    let mut all: BTreeMap<(&MetricKey, Option<&Dimension>), bool> = BTreeMap::new();
    for (metric, dimension, export) in named.chain(retained) {
        *all.entry((metric, dimension.as_ref())).or_default() |= export;
    }
    // Narrowed metrics wait for the dimensions.
    let whole = all.into_iter().filter(|((_, dimension), _)| dimension.is_none());
    let of_metric = |((metric, _), export): ((&MetricKey, Option<&Dimension>), bool)| {
        let collector = |&aggregate: &Aggregate| collector(metric, aggregate, export, bucket_secs);
        aggregates(metric).iter().map(collector).collect::<Vec<_>>()
    };
    whole.flat_map(of_metric).map(Arc::new).collect()
}

const fn aggregates(metric: &MetricKey) -> &'static [Aggregate] {
    match metric {
        MetricKey::Aws(metric) => match metric.shape() {
            Shape::Counter => &[Aggregate::Count],
            Shape::Each => &[Aggregate::Max, Aggregate::Min, Aggregate::Sum],
            Shape::Duration => &[Aggregate::Away],
            Shape::Delta => &[Aggregate::Sum],
            Shape::Gauge => &[Aggregate::Last],
            Shape::Ports | Shape::Addresses => &[Aggregate::Each],
        },
        MetricKey::Custom(_) => &[Aggregate::Last],
    }
}

fn collector(metric: &MetricKey, aggregate: Aggregate, export: bool, bucket_secs: u32) -> Behavior {
    let window = bucket_secs.max(1);
    let text = format!("\n{metric}\ncollect\n{}\n{window}", aggregate.name());
    Behavior {
        profile: "".into(),
        name: metric.name().into(),
        metric: metric.clone(),
        entity: EntityKind::Thing,
        window: Some(window),
        aggregate,
        test: Test::Collect,
        to_alarm: 1,
        to_clear: 1,
        suppress: true,
        export,
        expected: "collected".into(),
        json: "{}".into(),
        fingerprint: xxh3_64(text.as_bytes()),
    }
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
        test: Test::Fixed(criterion.clone()),
        to_alarm: criteria.to_alarm,
        to_clear: criteria.to_clear,
        suppress: definition.suppress,
        export: definition.export,
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
