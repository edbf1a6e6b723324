//! Reads the criteria of a behavior.

use super::{
    Confidence, Criteria, Rule,
    document::{Document, Fields, Node, list},
    value,
};
use crate::{
    criterion::{Criterion, NumberOperator, Operator},
    set::MetricKey,
    statistic::Statistic,
};
use fleet::metric::{AwsMetric, Shape};

const KEYS: [&str; 7] = [
    "comparisonOperator",
    "value",
    "durationSeconds",
    "consecutiveDatapointsToAlarm",
    "consecutiveDatapointsToClear",
    "statisticalThreshold",
    "mlDetectionConfig",
];
const KINDS: [&str; 3] = ["value", "statisticalThreshold", "mlDetectionConfig"];
/// What AWS accepts, seconds.
const DURATIONS: [u64; 5] = [300, 600, 900, 1800, 3600];
/// What we accept beside it, seconds: brokers are watched live, not in batches.
const SHORT_DURATIONS: [u64; 7] = [1, 5, 10, 15, 30, 60, 120];

/// What was read; the criteria are missing if something about them is wrong.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) criteria: Option<Criteria>,
    /// Value elements, right or wrong.
    pub(super) elements: usize,
}

/// Reads criteria. Without a metric (it was wrong) only what does not depend on it is judged.
pub(super) fn read(document: &mut Document<'_>, node: &Node<'_>, metric: Option<&MetricKey>) -> Read {
    let Some(fields) = document.fields(node, &KEYS) else { return Read { criteria: None, elements: 0 } };
    let to_alarm = consecutive(document, &fields, "consecutiveDatapointsToAlarm");
    let to_clear = consecutive(document, &fields, "consecutiveDatapointsToClear");
    let duration = fields.get("durationSeconds").map(|node| duration(document, node));
    let mut elements = 0;
    let rule = match kind(document, &fields) {
        Some("value") => fixed(document, &fields, metric, &mut elements),
        Some("statisticalThreshold") => statistical(document, &fields, metric),
        Some(_) => learned(document, &fields, metric),
        None => None,
    };
    let whole = || {
        let duration = duration.map_or(Some(None), |read| read.map(Some))?;
        Some(Criteria { rule: rule?, duration, to_alarm: to_alarm?, to_clear: to_clear? })
    };
    Read { criteria: whole(), elements }
}

/// What criteria say beside a judgement under `fleetward`: how datapoints are made and counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) duration: Option<u32>,
    pub(super) to_alarm: u8,
    pub(super) to_clear: u8,
}

impl Runs {
    /// Without criteria.
    pub(super) const USUAL: Self = Self { duration: None, to_alarm: 1, to_clear: 1 };
}

/// Reads criteria of a behavior whose judgement is under `fleetward`.
pub(super) fn read_runs(document: &mut Document<'_>, node: &Node<'_>) -> Option<Runs> {
    let fields = document.fields(node, &KEYS)?;
    let mut whole = true;
    for key in KINDS.into_iter().chain(["comparisonOperator"]) {
        if let Some(node) = fields.get(key) {
            let message = "is not allowed with a judgement under `fleetward`; leave one of them out".into();
            document.error(node.at(), node.place(), message);
            whole = false;
        }
    }
    let to_alarm = consecutive(document, &fields, "consecutiveDatapointsToAlarm");
    let to_clear = consecutive(document, &fields, "consecutiveDatapointsToClear");
    let duration = match fields.get("durationSeconds") {
        Some(node) => duration(document, node).map(Some),
        None => Some(None),
    };
    let runs = Runs { duration: duration?, to_alarm: to_alarm?, to_clear: to_clear? };
    whole.then_some(runs)
}

/// Which of the three kinds of criteria it is: exactly one.
fn kind(document: &mut Document<'_>, fields: &Fields<'_>) -> Option<&'static str> {
    let there: Vec<&'static str> = KINDS.into_iter().filter(|key| fields.has(key)).collect();
    match *there.as_slice() {
        [one] => return Some(one),
        [] => {
            let message = format!("has none of {}; exactly one is needed", list(&KINDS));
            document.error(fields.at(), fields.place(), message);
        }
        _ => {
            let message = format!("has {}; exactly one of them is allowed", list(&there));
            document.error(fields.at(), fields.place(), message);
        }
    }
    None
}

fn consecutive(document: &mut Document<'_>, fields: &Fields<'_>, key: &str) -> Option<u8> {
    match fields.get(key) {
        Some(node) => document.whole(node, 1, 10).and_then(|number| u8::try_from(number).ok()),
        None => Some(1),
    }
}

fn duration(document: &mut Document<'_>, node: &Node<'_>) -> Option<u32> {
    let secs = document.whole(node, 0, u64::from(u32::MAX))?;
    let message = if DURATIONS.contains(&secs) {
        return u32::try_from(secs).ok();
    } else if SHORT_DURATIONS.contains(&secs) {
        let message = format!("found `{secs}`; AWS would refuse it, it allows {}", numbers(&DURATIONS));
        document.warning(node.at(), node.place(), message);
        return u32::try_from(secs).ok();
    } else {
        format!(
            "found `{secs}`; allowed are {}, and {} which AWS would refuse",
            numbers(&DURATIONS),
            numbers(&SHORT_DURATIONS)
        )
    };
    document.error(node.at(), node.place(), message);
    None
}

fn numbers(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// Criteria with a fixed value.
fn fixed(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    metric: Option<&MetricKey>,
    elements: &mut usize,
) -> Option<Rule> {
    let operator = operator(document, fields, metric);
    let criterion = value::read(document, fields, metric, operator, elements);
    let metric = metric?;
    let takes_duration = match metric {
        MetricKey::Aws(metric) => match metric.shape() {
            Shape::Counter | Shape::Gauge | Shape::Delta | Shape::Duration => true,
            Shape::Each | Shape::Ports | Shape::Addresses => false,
        },
        MetricKey::Own(_) => true,
        MetricKey::Custom(_) => operator.is_none_or(|operator| operator.number().is_some()),
    };
    let counts = match metric {
        MetricKey::Aws(metric) => metric.shape() == Shape::Counter,
        MetricKey::Own(_) | MetricKey::Custom(_) => false,
    };
    match fields.get("durationSeconds") {
        Some(node) if !takes_duration => {
            let message = format!("is not allowed: `{metric}` is judged when it is observed; leave it out");
            document.error(node.at(), node.place(), message);
        }
        None if counts => {
            let message = format!(
                "is missing: AWS needs it for `{metric}`; the configured bucket is used (300 if not set)"
            );
            document.warning(fields.at(), &fields.place_of("durationSeconds"), message);
        }
        _ => {}
    }
    let criterion = criterion?;
    warn_of_no_effect(document, fields, metric, &criterion);
    Some(Rule::Static(criterion))
}

fn warn_of_no_effect(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    metric: &MetricKey,
    criterion: &Criterion,
) {
    // Only counts are known never to be negative.
    let (Criterion::Number(number), MetricKey::Aws(_)) = (criterion, metric) else { return };
    let zero = number.threshold <= 0.0;
    let effect = match number.op {
        NumberOperator::LessThan if zero => "never holds: every datapoint is a violation",
        NumberOperator::GreaterThanEquals if zero => "always holds: there is never a violation",
        NumberOperator::LessThan
        | NumberOperator::LessThanEquals
        | NumberOperator::GreaterThan
        | NumberOperator::GreaterThanEquals => return,
    };
    let at = fields.get("value").map_or(fields.at(), Node::at);
    document.warning(at, &fields.place_of("value"), format!("`{criterion}` {effect}"));
}

/// The operator, if it is one and fits the metric.
fn operator(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    metric: Option<&MetricKey>,
) -> Option<Operator> {
    let node = document.required(fields, "comparisonOperator")?;
    let all = Operator::ALL.map(|operator| (operator.name(), operator));
    let operator = document.word(node, &all)?;
    let Some(metric) = metric else { return Some(operator) };
    let allowed = operators(metric);
    if allowed.contains(&operator) {
        return Some(operator);
    }
    let names: Vec<&str> = allowed.iter().map(|operator| operator.name()).collect();
    let message = format!("`{operator}` does not fit `{metric}`; allowed are {}", list(&names));
    document.error(node.at(), node.place(), message);
    None
}

/// Operators that fit a metric with a fixed value (`device-defender-detect.md`, sections 1 to 4).
const fn operators(metric: &MetricKey) -> &'static [Operator] {
    use Operator::{
        GreaterThan, GreaterThanEquals, InCidrSet, InPortSet, InSet, LessThan, LessThanEquals, NotInCidrSet,
        NotInPortSet, NotInSet,
    };
    match metric {
        MetricKey::Aws(metric) => match metric.shape() {
            Shape::Counter | Shape::Each | Shape::Gauge | Shape::Delta => {
                &[LessThan, LessThanEquals, GreaterThan, GreaterThanEquals]
            }
            Shape::Duration => &[LessThan, LessThanEquals],
            Shape::Ports => &[InPortSet, NotInPortSet],
            Shape::Addresses => &[InCidrSet, NotInCidrSet],
        },
        MetricKey::Own(_) => &[LessThan, LessThanEquals, GreaterThan, GreaterThanEquals],
        MetricKey::Custom(_) => &[
            LessThan,
            LessThanEquals,
            GreaterThan,
            GreaterThanEquals,
            InCidrSet,
            NotInCidrSet,
            InSet,
            NotInSet,
        ],
    }
}

/// Whether percentiles and models are defined for the metric: numbers, but not how long a device is away.
const fn is_measured(metric: &MetricKey) -> bool {
    match metric {
        MetricKey::Aws(metric) => match metric.shape() {
            Shape::Counter | Shape::Each | Shape::Gauge | Shape::Delta => true,
            Shape::Duration | Shape::Ports | Shape::Addresses => false,
        },
        MetricKey::Own(metric) => metric.is_counter(),
        MetricKey::Custom(_) => true,
    }
}

/// The metrics of [`is_measured`], for messages.
fn refuse_unmeasured(document: &mut Document<'_>, node: &Node<'_>, metric: Option<&MetricKey>) -> Option<()> {
    let Some(metric) = metric.filter(|metric| !is_measured(metric)) else { return Some(()) };
    let able: Vec<&str> = AwsMetric::ALL
        .into_iter()
        .filter(|metric| is_measured(&MetricKey::Aws(*metric)))
        .map(AwsMetric::name)
        .collect();
    let message = format!("is not allowed for `{metric}`; allowed are {} and custom numbers", list(&able));
    document.error(node.at(), node.place(), message);
    None
}

/// Criteria with `statisticalThreshold`.
fn statistical(document: &mut Document<'_>, fields: &Fields<'_>, metric: Option<&MetricKey>) -> Option<Rule> {
    let node = fields.get("statisticalThreshold")?;
    let fits = refuse_unmeasured(document, node, metric);
    let statistic = document.fields(node, &["statistic"]).and_then(|inner| {
        let node = document.required(&inner, "statistic")?.clone();
        document.word(&node, &Statistic::all().map(|statistic| (statistic.name(), statistic)))
    });
    let duration = document.required(fields, "durationSeconds").is_some();
    let operator = document.required(fields, "comparisonOperator").cloned();
    let op = operator.and_then(|node| {
        let words = Operator::ALL.map(|operator| (operator.name(), operator));
        let numeric: Vec<(&str, NumberOperator)> =
            words.iter().filter_map(|(name, operator)| Some((*name, operator.number()?))).collect();
        document.word(&node, &numeric)
    });
    let (Some(()), true) = (fits, duration) else { return None };
    Some(Rule::Statistical { op: op?, statistic: statistic? })
}

/// Criteria with `mlDetectionConfig`.
fn learned(document: &mut Document<'_>, fields: &Fields<'_>, metric: Option<&MetricKey>) -> Option<Rule> {
    let node = fields.get("mlDetectionConfig")?;
    let mut whole = refuse_unmeasured(document, node, metric);
    for key in ["comparisonOperator", "durationSeconds"] {
        if let Some(node) = fields.get(key) {
            let message = "is not allowed with `mlDetectionConfig`; leave it out".into();
            document.error(node.at(), node.place(), message);
            whole = None;
        }
    }
    let inner = document.fields(node, &["confidenceLevel"])?;
    let node = document.required(&inner, "confidenceLevel")?.clone();
    let levels = [("LOW", Confidence::Low), ("MEDIUM", Confidence::Medium), ("HIGH", Confidence::High)];
    let confidence = document.word(&node, &levels)?;
    whole.map(|()| Rule::Learned(confidence))
}
