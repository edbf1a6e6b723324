//! Compiles behaviors whose judgement is under `fleetward`.

use std::sync::Arc;

use fleet::metric::Shape;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Definition, Judgement,
    compile::{narrowed, narrowed_text},
};
use crate::{
    dimension::Dimensions,
    learned::{Learned, chart::Direction, silence::Silence},
    set::{Aggregate, Behavior, MetricKey, Test},
};

/// The behavior; nothing if it is not evaluated yet.
pub(super) fn behavior(
    profile: &Arc<str>,
    definition: &Definition,
    judgement: &Judgement,
    dimensions: &Dimensions,
    bucket_secs: u32,
) -> Option<Behavior> {
    // What names a dimension that does not exist was refused.
    let narrowed = narrowed(definition.dimension.as_ref(), dimensions)?;
    let (mut aggregate, window) = aggregation(&definition.metric, judgement, bucket_secs);
    if definition.distinct.is_some() && window.is_some() {
        aggregate = Aggregate::Distinct;
    }
    let rule = &judgement.rule;
    let expected = match (rule, window) {
        (Learned::Baseline(_) | Learned::Counts(_), Some(secs)) => match definition.distinct {
            Some(item) => format!("{rule}, different {} in {secs} s", item.name()),
            None => format!("{rule}, in {secs} s"),
        },
        _ => rule.to_string(),
    };
    let test = Test::Learned(rule.clone());
    let Judgement { to_alarm, to_clear, .. } = *judgement;
    let reasons: Vec<&str> = definition.reasons.names().collect();
    let text = format!(
        "{profile}\n{}\n{}\n{}\n{}\n{}\n{}\n{to_alarm}\n{to_clear}\n{}{}{}",
        definition.name,
        definition.metric,
        definition.entity.canonical(),
        test.canonical(),
        aggregate.name(),
        window.unwrap_or(0),
        reasons.join(","),
        narrowed_text(narrowed.as_ref(), dimensions),
        definition.distinct.map_or("", |item| item.name()),
    );
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
        to_alarm,
        to_clear,
        suppress: definition.suppress,
        export: definition.export,
        expected: expected.into(),
        json: Arc::clone(&definition.json),
        fingerprint: xxh3_64(text.as_bytes()),
    })
}

/// How observations become datapoints, and how often what only time changes is looked at.
fn aggregation(metric: &MetricKey, judgement: &Judgement, bucket_secs: u32) -> (Aggregate, Option<u32>) {
    match &judgement.rule {
        Learned::Baseline(rule) => numbers(metric, rule.direction, judgement.duration, bucket_secs),
        Learned::Counts(_) => numbers(metric, Direction::Above, judgement.duration, bucket_secs),
        Learned::Known(_) | Learned::Clock(_) => (Aggregate::Each, None),
        Learned::Silence(Silence::Fixed(secs)) => (Aggregate::Away, Some(look_every(*secs))),
        // Once a minute is often enough for a habit of hours.
        Learned::Silence(Silence::Habit(habit)) => {
            (Aggregate::Away, Some(look_every(habit.at_least.max(240))))
        }
        Learned::Absence(rule) => (Aggregate::Away, Some(look_every(rule.grace_secs))),
        Learned::Flapping(rule) => (Aggregate::Each, Some(look_every(rule.period_secs))),
    }
}

/// As fixed criteria do it; the sizes of messages count by the largest, or the smallest if only
/// that alarms.
fn numbers(
    metric: &MetricKey,
    direction: Direction,
    duration: Option<u32>,
    bucket_secs: u32,
) -> (Aggregate, Option<u32>) {
    let bucket = Some(duration.unwrap_or(bucket_secs).max(1));
    match metric {
        MetricKey::Aws(metric) => match metric.shape() {
            Shape::Counter => (Aggregate::Count, bucket),
            Shape::Each if direction == Direction::Below => (Aggregate::Min, bucket),
            Shape::Each => (Aggregate::Max, bucket),
            Shape::Delta if duration.is_some() => (Aggregate::Sum, duration),
            Shape::Gauge if duration.is_some() => (Aggregate::Last, duration),
            Shape::Delta | Shape::Gauge | Shape::Ports | Shape::Addresses | Shape::Duration => {
                (Aggregate::Each, None)
            }
        },
        MetricKey::Own(_) => (Aggregate::Count, bucket),
        MetricKey::Custom(_) if duration.is_some() => (Aggregate::Last, duration),
        MetricKey::Custom(_) => (Aggregate::Each, None),
    }
}

/// How often a time of `secs` seconds is looked at: at least four times while it lasts, on a grid
/// of few lengths, because all entities are walked through at each.
fn look_every(secs: u32) -> u32 {
    let often = secs / 4;
    [300, 60, 15, 5].into_iter().find(|&grid| grid <= often).unwrap_or(1)
}
