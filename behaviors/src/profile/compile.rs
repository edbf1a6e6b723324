//! Compiles profiles to what the detector evaluates.

use std::{collections::BTreeMap, sync::Arc};

use fleet::metric::Shape;
use xxhash_rust::xxh3::xxh3_64;

use super::{Criteria, Definition, Dimension, Profile, Profiles, Rule, judged};
use crate::{
    criterion::Criterion,
    dimension::{DimensionFilters, Dimensions, Narrowed},
    learned::absence::Reasons,
    set::{Aggregate, Behavior, Compiled, EntityKind, MetricKey, Part, Test},
};

impl Profiles {
    /// Compiles the behaviors that are evaluated.
    ///
    /// `bucket_secs`, seconds, is the window of numbers that are judged by window but name none:
    /// message sizes, counters without `durationSeconds`, and how long a thing is away.
    #[must_use]
    pub fn compile(&self, bucket_secs: u32) -> Compiled {
        self.compiled(bucket_secs, false)
    }

    /// As [`Profiles::compile`]; besides, the values of every metric that a thing's profiles name,
    /// in a behavior or to be retained, are collected in windows of `bucket_secs` ([`Test::Collect`]).
    #[must_use]
    pub fn compile_collecting(&self, bucket_secs: u32) -> Compiled {
        self.compiled(bucket_secs, true)
    }

    fn compiled(&self, bucket_secs: u32, collect: bool) -> Compiled {
        let dimensions = Dimensions::new(self.dimensions.clone());
        let parts = self.iter().map(|profile| part(profile, &dimensions, bucket_secs, collect)).collect();
        Compiled::new(parts, dimensions, self.allowed.clone())
    }
}

fn part(profile: &Profile, dimensions: &Dimensions, bucket_secs: u32, collect: bool) -> Part {
    let name: Arc<str> = profile.name.as_str().into();
    let behaviors = profile.behaviors.iter();
    let behaviors = behaviors.filter_map(|definition| behavior(&name, definition, dimensions, bucket_secs));
    let (of_things, keyed) = behaviors
        .map(Arc::new)
        .partition(|behavior| behavior.entity == EntityKind::Thing && behavior.distinct.is_none());
    let collected = if collect { collected(profile, dimensions, bucket_secs) } else { Vec::new() };
    Part { targets: profile.targets.iter().cloned().collect(), of_things, keyed, collected }
}

/// One collector for each metric and dimension; of a message's size three: the largest, the
/// smallest, and the sum.
fn collected(profile: &Profile, dimensions: &Dimensions, bucket_secs: u32) -> Vec<Arc<Behavior>> {
    let of_things = |behavior: &&Definition| {
        let own = matches!(behavior.metric, MetricKey::Own(_));
        behavior.entity == EntityKind::Thing && behavior.distinct.is_none() && !own
    };
    let named = profile
        .behaviors
        .iter()
        .filter(of_things)
        .map(|behavior| (&behavior.metric, &behavior.dimension, behavior.export));
    let retained = profile.retained.iter().map(|kept| (&kept.metric, &kept.dimension, kept.export));
    let mut all: BTreeMap<(&MetricKey, Option<&Dimension>), bool> = BTreeMap::new();
    for (metric, dimension, export) in named.chain(retained) {
        *all.entry((metric, dimension.as_ref())).or_default() |= export;
    }
    // What names a dimension that does not exist was refused.
    let known = all
        .into_iter()
        .filter_map(|((metric, dimension), export)| Some((metric, narrowed(dimension, dimensions)?, export)));
    let of_metric = |(metric, narrowed, export): (&MetricKey, Option<Narrowed>, bool)| {
        let collector = |&aggregate: &Aggregate| {
            let canonical = narrowed_text(narrowed.as_ref(), dimensions);
            collector(metric, (narrowed.clone(), canonical), aggregate, export, bucket_secs)
        };
        aggregates(metric).iter().map(collector).collect::<Vec<_>>()
    };
    known.flat_map(of_metric).map(Arc::new).collect()
}

/// How a dimension narrows a metric; nothing if there is no such dimension.
pub(super) fn narrowed(dimension: Option<&Dimension>, dimensions: &Dimensions) -> Option<Option<Narrowed>> {
    let Some(Dimension { name, negated }) = dimension else { return Some(None) };
    let bit = dimensions.bit(name)?;
    Some(Some(Narrowed { name: name.as_str().into(), bit, negated: *negated }))
}

/// The definition of a dimension and its use, for a fingerprint; empty without one.
pub(super) fn narrowed_text(narrowed: Option<&Narrowed>, dimensions: &Dimensions) -> String {
    let Some(narrowed) = narrowed else { return String::new() };
    let filters = dimensions.get(&narrowed.name).map(DimensionFilters::canonical).unwrap_or_default();
    format!("\n{} {filters}", if narrowed.negated { "not-in" } else { "in" })
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
        MetricKey::Own(_) => &[],
    }
}

fn collector(
    metric: &MetricKey,
    (narrowed, narrowed_text): (Option<Narrowed>, String),
    aggregate: Aggregate,
    export: bool,
    bucket_secs: u32,
) -> Behavior {
    let window = bucket_secs.max(1);
    let text = format!("\n{metric}\ncollect\n{}\n{window}{narrowed_text}", aggregate.name());
    Behavior {
        profile: "".into(),
        name: metric.name().into(),
        metric: metric.clone(),
        narrowed,
        entity: EntityKind::Thing,
        distinct: None,
        window: Some(window),
        aggregate,
        test: Test::Collect,
        reasons: Reasons::ALL,
        to_alarm: 1,
        to_clear: 1,
        suppress: true,
        export,
        expected: "collected".into(),
        json: "{}".into(),
        fingerprint: xxh3_64(text.as_bytes()),
    }
}

fn behavior(
    profile: &Arc<str>,
    definition: &Definition,
    dimensions: &Dimensions,
    bucket_secs: u32,
) -> Option<Behavior> {
    if let Some(judgement) = &definition.judgement {
        return judged::behavior(profile, definition, judgement, dimensions, bucket_secs);
    }
    let criteria = definition.criteria.as_ref()?;
    let test = test(&criteria.rule)?;
    // What names a dimension that does not exist was refused.
    let narrowed = narrowed(definition.dimension.as_ref(), dimensions)?;
    let (mut aggregate, window) = aggregation(&definition.metric, &test, criteria.duration, bucket_secs);
    if definition.distinct.is_some() {
        aggregate = Aggregate::Distinct;
    }
    let criterion = match &test {
        Test::Fixed(criterion) => criterion.to_string(),
        Test::Percentile { op, statistic } => format!("{} {statistic} of the things watched", op.name()),
        Test::Learned(_) | Test::Collect => String::new(),
    };
    let expected = match (aggregate, window, definition.distinct) {
        (Aggregate::Distinct, Some(secs), Some(item)) => {
            format!("{criterion} different {} in {secs} s", item.name())
        }
        (Aggregate::Count | Aggregate::Sum | Aggregate::Last | Aggregate::Distinct, Some(secs), _) => {
            format!("{criterion} in {secs} s")
        }
        (Aggregate::Each | Aggregate::Max | Aggregate::Min | Aggregate::Away, ..) | (_, None, _) => criterion,
    };
    let of_dimension = narrowed_text(narrowed.as_ref(), dimensions);
    let fingerprint = fingerprint(profile, definition, criteria, &test, (aggregate, window), &of_dimension);
    Some(Behavior {
        profile: Arc::clone(profile),
        name: definition.name.as_str().into(),
        metric: definition.metric.clone(),
        narrowed,
        entity: definition.entity,
        distinct: definition.distinct,
        window,
        aggregate,
        test,
        reasons: definition.reasons,
        to_alarm: criteria.to_alarm,
        to_clear: criteria.to_clear,
        suppress: definition.suppress,
        export: definition.export,
        expected: expected.into(),
        json: Arc::clone(&definition.json),
        fingerprint,
    })
}

fn test(rule: &Rule) -> Option<Test> {
    match rule {
        Rule::Static(criterion) => Some(Test::Fixed(criterion.clone())),
        Rule::Statistical { op, statistic } => Some(Test::Percentile { op: *op, statistic: *statistic }),
        Rule::Learned(_) => None,
    }
}

/// How observations become datapoints (`device-defender-detect.md`, section 6), and in windows of
/// how many seconds, if in any.
fn aggregation(
    metric: &MetricKey,
    test: &Test,
    duration: Option<u32>,
    bucket_secs: u32,
) -> (Aggregate, Option<u32>) {
    let bucket = Some(duration.unwrap_or(bucket_secs).max(1));
    let bounds_above = match test {
        Test::Fixed(Criterion::Number(number)) => number.op.bounds_above(),
        Test::Fixed(_) => return (Aggregate::Each, None),
        Test::Percentile { .. } | Test::Learned(_) | Test::Collect => true,
    };
    match metric {
        MetricKey::Aws(metric) => match metric.shape() {
            Shape::Counter => (Aggregate::Count, bucket),
            // Compared with the others, a thing's messages of the period are taken together.
            Shape::Each if matches!(test, Test::Percentile { .. }) => (Aggregate::Sum, bucket),
            Shape::Each if bounds_above => (Aggregate::Max, bucket),
            Shape::Each => (Aggregate::Min, bucket),
            Shape::Duration => (Aggregate::Away, bucket),
            Shape::Delta if duration.is_some() => (Aggregate::Sum, duration),
            Shape::Gauge if duration.is_some() => (Aggregate::Last, duration),
            Shape::Delta | Shape::Gauge | Shape::Ports | Shape::Addresses => (Aggregate::Each, None),
        },
        MetricKey::Own(metric) if metric.is_counter() => (Aggregate::Count, bucket),
        MetricKey::Own(_) => (if bounds_above { Aggregate::Max } else { Aggregate::Min }, bucket),
        MetricKey::Custom(_) if duration.is_some() => (Aggregate::Last, duration),
        MetricKey::Custom(_) => (Aggregate::Each, None),
    }
}

/// XXH3 of the definition in a fixed text form, so that spelling and order in the file do not matter.
fn fingerprint(
    profile: &str,
    definition: &Definition,
    criteria: &Criteria,
    test: &Test,
    (aggregate, window): (Aggregate, Option<u32>),
    of_dimension: &str,
) -> u64 {
    let distinct = definition.distinct.map_or_else(String::new, |item| format!(" {}", item.name()));
    let reasons: Vec<&str> = definition.reasons.names().collect();
    // As it was before there were reasons, where all of them count.
    let reasons = if definition.reasons == Reasons::ALL { String::new() } else { reasons.join(",") };
    let text = format!(
        "{profile}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}{of_dimension}{distinct}{reasons}",
        definition.name,
        definition.metric,
        definition.entity.canonical(),
        test.canonical(),
        aggregate.name(),
        window.unwrap_or(0),
        criteria.to_alarm,
        criteria.to_clear,
    );
    xxh3_64(text.as_bytes())
}
