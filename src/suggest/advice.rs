//! From what was learnt of one metric to a behavior, with what it rests on.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    learn::{Lists, Numbers, PREFIXES},
    tail::{PEAKS_MIN, PEAKS_WANTED, Tail, poisson_upper, runs_over},
};

/// Days of a month, for rates.
pub const MONTH_DAYS: f64 = 30.0;
/// Datapoints below which nothing is suggested.
const DATAPOINTS_MIN: u64 = 500;
/// Alarms that the target allows in the data, below which nothing is suggested: the threshold would
/// lie a hundred times beyond what was observed.
const ALLOWED_MIN: f64 = 0.01;
/// Alarms that the target allows in the data, below which a suggestion is marked.
const ALLOWED_FAR: f64 = 0.1;
/// Alarms that the target allows in the data, from which on counting them is enough.
const ALLOWED_COUNTED: f64 = 10.0;

/// Different peaks that a tail is fitted to at least.
const DISTINCT_MIN: usize = 5;

/// How a threshold was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The smallest value that is passed as rarely as wanted in the data.
    Counted,
    /// A generalized Pareto tail over the data's highest peaks.
    Tail,
    /// The largest value seen; nothing was over it.
    LargestSeen,
    /// All values seen.
    Seen,
    /// None was found.
    None,
}

/// A behavior, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// Metric.
    pub metric: String,
    /// How it was found.
    pub method: Method,
    /// Criterion in the form of the AWS CLI: operator and value; absent if nothing is suggested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criteria: Option<Value>,
    /// Expected false alarms by device and month.
    pub expected: f64,
    /// The same, with 95 % confidence not more.
    pub at_most: f64,
    /// Alarms that it would have raised in the data.
    pub in_data: usize,
    /// Things behind it.
    pub things: usize,
    /// Datapoints behind it.
    pub datapoints: u64,
    /// Device-days behind it.
    pub device_days: f64,
    /// The largest value seen, or how many values.
    pub largest: f64,
    /// Shape of the tail, if one was fitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<f64>,
    /// What to know about it.
    pub remarks: Vec<String>,
}

impl Advice {
    fn none(metric: &str, remark: String) -> Self {
        Self {
            metric: metric.into(),
            method: Method::None,
            criteria: None,
            expected: 0.0,
            at_most: 0.0,
            in_data: 0,
            things: 0,
            datapoints: 0,
            device_days: 0.0,
            largest: 0.0,
            tail: None,
            remarks: vec![remark],
        }
    }
}

/// A threshold for a number so that a device raises at most `target` false alarms a month, learnt
/// in `device_days` days of devices.
#[must_use]
pub fn of_numbers(
    metric: &str,
    numbers: &Numbers,
    (window_secs, device_days): (u32, f64),
    target: f64,
) -> Advice {
    let months = device_days / MONTH_DAYS;
    let allowed = target * months;
    let (points, known_over) = numbers.top();
    let largest = points.iter().map(|point| point.value).fold(f64::NEG_INFINITY, f64::max);
    let base = Advice {
        things: numbers.things.len(),
        datapoints: numbers.datapoints,
        device_days,
        largest: if largest.is_finite() { largest } else { 0.0 },
        ..Advice::none(metric, String::new())
    };
    if numbers.datapoints < DATAPOINTS_MIN || allowed < ALLOWED_MIN {
        let remark = format!(
            "too few data: {} datapoints, {device_days:.1} device-days; needed are at least {DATAPOINTS_MIN} datapoints and {:.1} device-days",
            numbers.datapoints,
            ALLOWED_MIN / target * MONTH_DAYS
        );
        return Advice { remarks: vec![remark], ..base };
    }
    let whole = !metric_takes_fractions(metric);
    let mut found = threshold(&points, known_over, months, target, base.largest);
    if whole {
        found.threshold = found.threshold.ceil().max(0.0);
    }
    let in_data = runs_over(&points, found.threshold).len();
    let (expected, at_most) = match found.tail {
        Some(tail) => (tail.rate(found.threshold), tail.rate_upper(found.threshold)),
        None => (in_data as f64 / months, poisson_upper(in_data, months)),
    };
    let mut remarks = found.remarks;
    if allowed < ALLOWED_FAR {
        remarks.push(format!(
            "far beyond the data: they hold {months:.2} device-months, the target asks for {:.0}",
            1.0 / target
        ));
    }
    remarks.extend(span_remark(numbers, window_secs));
    remarks.extend(one_thing_remark(&points, found.threshold, numbers));
    Advice {
        method: found.method,
        criteria: Some(criteria(metric, found.threshold, window_secs, whole)),
        expected,
        at_most,
        in_data,
        tail: found.tail.map(|tail| tail.xi),
        remarks,
        ..base
    }
}

struct Found {
    method: Method,
    threshold: f64,
    tail: Option<Tail>,
    remarks: Vec<String>,
}

fn threshold(
    points: &[super::tail::Point],
    known_over: Option<f64>,
    months: f64,
    target: f64,
    largest: f64,
) -> Found {
    let mut levels: Vec<f64> = points.iter().map(|point| point.value).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    // Below the smallest that is kept, not all values are known.
    levels.retain(|&level| known_over.is_none_or(|known| level >= known));
    let allowed = target * months;
    // Runs are not quite monotonous in the threshold (one long run can break into two), so the
    // smallest level that holds is looked for from above.
    let count = |level: f64| runs_over(points, level).len();
    if allowed >= ALLOWED_COUNTED {
        let holds = levels.partition_point(|&level| count(level) as f64 > allowed);
        let threshold = levels.get(holds).copied().unwrap_or(largest);
        return Found { method: Method::Counted, threshold, tail: None, remarks: Vec::new() };
    }
    let over = levels.iter().rev().copied().find(|&level| count(level) >= PEAKS_WANTED);
    let over = over.or_else(|| {
        levels.iter().copied().max_by_key(|&level| count(level)).filter(|&level| count(level) >= PEAKS_MIN)
    });
    let tail = over.and_then(|over| {
        let peaks = runs_over(points, over);
        // A few values again and again have no tail that could be gone along.
        (distinct(&peaks) >= DISTINCT_MIN).then(|| Tail::fit(over, &peaks, months)).flatten()
    });
    let Some(tail) = tail else {
        let bound = poisson_upper(0, months);
        let mut remarks = vec![format!(
            "the data have too few different high values for a tail; nothing was over {largest}, which bounds the rate by {bound:.2} (95 %)"
        )];
        if bound > target {
            remarks.push(format!("that is more than the target of {target}: watch it before you rely on it"));
        }
        return Found { method: Method::LargestSeen, threshold: largest, tail: None, remarks };
    };
    let mut remarks = Vec::new();
    if tail.xi > 0.5 {
        remarks.push(format!("the tail is heavy (shape {:.2}): the threshold is uncertain", tail.xi));
    }
    Found { method: Method::Tail, threshold: tail.threshold(target), tail: Some(tail), remarks }
}

fn distinct(peaks: &[f64]) -> usize {
    let mut values = peaks.to_vec();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values.len()
}

/// Custom metrics may be any numbers; those of AWS are counts and bytes.
fn metric_takes_fractions(metric: &str) -> bool {
    !metric.starts_with("aws:")
}

fn criteria(metric: &str, threshold: f64, window_secs: u32, whole: bool) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number, at least 0; saturates"
    )]
    let value = if whole { json!({"count": threshold as u64}) } else { json!({"number": threshold}) };
    let mut criteria = json!({
        "comparisonOperator": "less-than-equals",
        "value": value,
        "consecutiveDatapointsToAlarm": 1,
        "consecutiveDatapointsToClear": 1,
    });
    // Each message has a size, and each custom number stands for itself: they take no duration.
    if metric != "aws:message-byte-size"
        && whole
        && let Some(members) = criteria.as_object_mut()
    {
        members.insert("durationSeconds".into(), json!(window_secs));
    }
    criteria
}

fn span_remark(numbers: &Numbers, window_secs: u32) -> Option<String> {
    let (first, last) = numbers.span?;
    let days = (last - first + 1) as f64 * f64::from(window_secs) / 86_400.0;
    (days < 7.0).then(|| format!("the data span {days:.1} days: a rhythm of the week is not in them"))
}

/// Whether one thing alone is behind the highest peaks.
fn one_thing_remark(points: &[super::tail::Point], threshold: f64, numbers: &Numbers) -> Option<String> {
    let mut over: Vec<u32> = points.iter().filter(|point| point.value > threshold).map(|p| p.thing).collect();
    let all = over.len();
    over.dedup();
    (all >= 3 && over.len() == 1 && numbers.things.len() > 1)
        .then(|| "all values over it are of one device: look at that one".to_owned())
}

/// A set for a list so that a device has at most `target` new values a month. Of addresses, the
/// finest networks that hold the target.
#[must_use]
pub fn of_lists(metric: &str, lists: &Lists, target: f64) -> Advice {
    let days = lists.device_days() as f64;
    let base = Advice {
        things: lists.things.len(),
        datapoints: lists.datapoints,
        device_days: days,
        ..Advice::none(metric, String::new())
    };
    if days * target / MONTH_DAYS < ALLOWED_MIN {
        let needed = ALLOWED_MIN / target * MONTH_DAYS;
        let remark = format!("too few data: {days} device-days with a list; needed are at least {needed:.1}");
        return Advice { remarks: vec![remark], ..base };
    }
    let rate = |once: usize| (once as f64 / days * MONTH_DAYS, poisson_upper(once, days) * MONTH_DAYS);
    let advice = |values: Vec<Value>, key: &str, operator: &str, once: usize, remarks: Vec<String>| {
        let (expected, at_most) = rate(once);
        let largest = values.len() as f64;
        let value: serde_json::Map<String, Value> =
            [(key.to_owned(), Value::Array(values))].into_iter().collect();
        Advice {
            method: Method::Seen,
            criteria: Some(json!({
                "comparisonOperator": operator,
                "value": value,
                "consecutiveDatapointsToAlarm": 1,
                "consecutiveDatapointsToClear": 1,
            })),
            expected,
            at_most,
            largest,
            remarks,
            ..base.clone()
        }
    };
    let uncertain = |once: usize| {
        let (expected, at_most) = rate(once);
        (expected <= target && at_most > target).then(|| {
            format!(
                "with {days} device-days, up to {at_most:.2} new values a month cannot be ruled out (95 %)"
            )
        })
    };
    if let Some(ports) = lists.ports.values().filter(|ports| !ports.is_empty()) {
        let once = lists.ports.once();
        if rate(once).0 <= target {
            let values = ports.into_iter().map(Value::from).collect();
            return advice(values, "ports", "in-port-set", once, uncertain(once).into_iter().collect());
        }
        let remark =
            format!("ports keep being new: {:.2} by device and month; no set is suggested", rate(once).0);
        return Advice { remarks: vec![remark], largest: ports.len() as f64, ..base };
    }
    for (networks, (v4, v6)) in lists.networks.iter().zip(PREFIXES) {
        let Some(values) = networks.values() else { continue };
        let once = networks.once();
        if values.is_empty() || rate(once).0 > target {
            continue;
        }
        let mut remarks: Vec<String> = uncertain(once).into_iter().collect();
        if v4 < 32 {
            remarks.insert(0, format!("single addresses keep being new; rounded to /{v4} (IPv6: /{v6})"));
        }
        let values = values.iter().map(|network| Value::from(network_text(network))).collect();
        return advice(values, "cidrs", "in-cidr-set", once, remarks);
    }
    Advice {
        remarks: vec!["addresses keep being new, in every size of network; no set is suggested".into()],
        ..base
    }
}

/// A network of one address as that address.
fn network_text(network: &IpNet) -> String {
    let full = match network.addr() {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    if network.prefix_len() == full { network.addr().to_string() } else { network.to_string() }
}

#[cfg(test)]
mod tests {
    use detector::output::{Datapoints, Output};
    use fleet::{registry::Registry, time::Timestamp};

    use super::*;
    use crate::{
        replay::select::Selection,
        suggest::learn::{Learner, Learnt},
    };

    /// Windows of 300 s: of each thing the values in a row.
    fn learnt(
        metric: &str,
        days: i64,
        value: impl Fn(u32, i64) -> detector::transition::MetricValue,
    ) -> Learnt {
        let mut learner = Learner::new(Selection::default(), 300, false);
        for window in 1..=days * 288 {
            let rows = (0..20).map(|thing| (format!("t{thing}"), value(thing, window))).collect();
            let block = Datapoints {
                seq: 1,
                end: Timestamp::from_secs(window * 300),
                secs: 300,
                metric: metric.into(),
                dimension: None,
                aggregate: "count",
                export: false,
                rows,
            };
            learner.take(&Registry::default(), &Output::Datapoints(block));
        }
        learner.finish()
    }

    fn numbers(days: i64, target: f64, value: impl Fn(u32, i64) -> u64) -> Advice {
        let metric = "aws:num-messages-sent";
        let count = |thing, window| detector::transition::MetricValue::Count(value(thing, window));
        let learnt = learnt(metric, days, count);
        let numbers = &learnt.numbers[metric];
        of_numbers(metric, numbers, (300, learnt.device_days(numbers)), target)
    }

    fn limit(advice: &Advice) -> u64 {
        advice.criteria.as_ref().unwrap()["value"]["count"].as_u64().unwrap()
    }

    /// A hash as noise: exponential with the mean 10, rounded.
    #[expect(clippy::cast_possible_truncation, reason = "rounds; far below the largest")]
    fn noise(thing: u32, window: i64) -> u64 {
        let mut z = (u64::from(thing) << 40) ^ window.unsigned_abs();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = (((z ^ (z >> 31)) >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        (-10.0 * unit.ln()) as u64
    }

    /// 20 devices for 30 days are 20 device-months. The true threshold for the rate r by device and
    /// month is where 8,640 exp(-t / 10) = r.
    #[test]
    fn thresholds_of_known_noise_hold_their_rate() {
        // Counted: one alarm by device and month are twenty in the data.
        let counted = numbers(30, 1.0, noise);
        assert_eq!(counted.method, Method::Counted);
        let truth = 10.0 * (8_640.0_f64 / 1.0).ln();
        assert!((limit(&counted) as f64 - truth).abs() < 10.0, "{counted:?} {truth}");
        assert!(counted.expected <= 1.0 && counted.at_most > counted.expected && counted.in_data <= 20);
        // Extrapolated: a tenth of an alarm by device and month are two in the data.
        let tail = numbers(30, 0.1, noise);
        assert_eq!(tail.method, Method::Tail);
        let truth = 10.0 * (8_640.0_f64 / 0.1).ln();
        assert!((limit(&tail) as f64 - truth).abs() < 25.0, "{tail:?} {truth}");
        assert!(tail.expected <= 0.1 && tail.at_most >= tail.expected);
        assert!((tail.device_days - 600.0).abs() < 1e-6 && tail.things == 20 && tail.datapoints == 172_800);
        assert_eq!(tail.remarks, [] as [&str; 0]);
    }

    #[test]
    fn data_that_are_too_few_or_too_plain_are_said_to_be() {
        let few = numbers(1, 0.001, noise);
        assert_eq!((few.method, few.criteria.as_ref()), (Method::None, None));
        assert!(few.remarks[0].starts_with("too few data: 5760 datapoints, 20.0 device-days"), "{few:?}");
        let short = numbers(1, 0.1, noise);
        assert!(short.remarks.iter().any(|remark| remark.contains("the data span 1.0 days")), "{short:?}");
        assert!(short.remarks.iter().any(|remark| remark.starts_with("far beyond the data")), "{short:?}");
        let plain = numbers(30, 0.1, |_, window| u64::from(window % 5 == 0));
        assert_eq!((plain.method, limit(&plain), plain.in_data), (Method::LargestSeen, 1, 0));
        assert!((plain.at_most - 2.9957 / 20.0).abs() < 1e-4, "the rule of three: {plain:?}");
        assert!(plain.remarks[1].contains("more than the target"), "{plain:?}");
    }

    #[test]
    fn one_device_that_is_behind_everything_is_named_as_the_reason() {
        let many = numbers(30, 1.0, |thing, window| {
            if thing == 3 && window % 7 == 0 {
                1_000 + noise(thing, window)
            } else {
                noise(thing, window) / 10
            }
        });
        assert!(many.in_data <= 20, "{many:?}");
        assert!(
            many.remarks.contains(&"all values over it are of one device: look at that one".to_owned()),
            "{many:?}"
        );
    }

    #[test]
    fn sets_are_as_fine_as_newness_allows() {
        let of = |value: &dyn Fn(u32, i64) -> detector::transition::MetricValue| {
            let learnt = learnt("aws:destination-ip-addresses", 10, value);
            of_lists("aws:destination-ip-addresses", &learnt.lists["aws:destination-ip-addresses"], 0.5)
        };
        let cidrs = |advice: &Advice| advice.criteria.as_ref().map(|c| c["value"]["cidrs"].clone());
        let fixed =
            of(&|_, _| detector::transition::MetricValue::Cidrs(vec!["10.0.0.1".into(), "::1".into()]));
        assert_eq!((cidrs(&fixed), fixed.expected), (Some(json!(["10.0.0.1", "::1"])), 0.0));
        // A new address of the same network every day.
        let moving = of(&|thing, window| {
            let host = (window / 288 + i64::from(thing)) % 250;
            detector::transition::MetricValue::Cidrs(vec![format!("203.0.113.{host}")])
        });
        let one_day = of(&|thing, window| {
            detector::transition::MetricValue::Cidrs(vec![format!(
                "203.0.113.{}",
                i64::from(thing) * 10 + (window - 1) / 288
            )])
        });
        assert_eq!(cidrs(&one_day), Some(json!(["203.0.113.0/24"])), "{one_day:?}");
        assert!(one_day.remarks[0].contains("rounded to /24"), "{one_day:?}");
        assert!(cidrs(&moving).is_some());
        let wild = of(&|thing, window| {
            detector::transition::MetricValue::Cidrs(vec![format!("{}.{}.0.1", 11 + thing, window / 288)])
        });
        assert_eq!((cidrs(&wild), wild.method), (None, Method::None));
        let ports =
            learnt("aws:listening-tcp-ports", 10, |_, _| detector::transition::MetricValue::Ports(vec![22]));
        let ports = of_lists("aws:listening-tcp-ports", &ports.lists["aws:listening-tcp-ports"], 0.1);
        assert_eq!(ports.criteria.as_ref().unwrap()["value"], json!({"ports": [22]}));
        assert!(
            (ports.at_most - 2.9957 / 200.0 * 30.0).abs() < 1e-3 && ports.remarks.len() == 1,
            "{ports:?}"
        );
    }
}
