//! The suggested profile, and the report of what it rests on.

use serde_json::{Value, json};

use super::{
    advice::{self, Advice, Method},
    learn::Learnt,
};
use crate::{cli::output, replay::summary::rate};

/// What is suggested.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// The profile in the form of the AWS CLI.
    pub profile: Value,
    /// One for each metric that was seen, by name.
    pub advice: Vec<Advice>,
}

/// A profile of all metrics that were learnt. `targets` are ARNs, `target` is the wished rate of
/// false alarms by device and month for each behavior.
#[must_use]
pub fn suggest(learnt: &Learnt, name: &str, targets: &[String], target: f64) -> Suggestion {
    let numbers = learnt.numbers.iter().map(|(metric, numbers)| {
        let observed = (learnt.window_secs, learnt.device_days(numbers));
        advice::of_numbers(metric, numbers, observed, target)
    });
    let lists = learnt.lists.iter().map(|(metric, lists)| advice::of_lists(metric, lists, target));
    let mut all: Vec<Advice> = numbers.chain(lists).collect();
    all.sort_by(|a, b| a.metric.cmp(&b.metric));
    let behaviors: Vec<Value> = all
        .iter()
        .filter_map(|advice| {
            let criteria = advice.criteria.as_ref()?;
            let short = advice.metric.trim_start_matches("aws:");
            // A custom name of full length has no room for more.
            let name: String = format!("usual-{short}").chars().take(128).collect();
            Some(json!({"name": name, "metric": advice.metric, "criteria": criteria}))
        })
        .collect();
    let description = format!(
        "Learnt from {} devices; each behavior aims at {target} false alarms by device and month.",
        learnt.things()
    );
    let profile = json!({
        "securityProfileName": name,
        "securityProfileDescription": description,
        "behaviors": behaviors,
        "fleetward": {"targets": targets},
    });
    Suggestion { profile, advice: all }
}

/// The report as JSON.
#[must_use]
pub fn report_json(learnt: &Learnt, suggestion: &Suggestion, target: f64) -> Value {
    let (from, to) = learnt.span.map_or((None, None), |(from, to)| (Some(from), Some(to)));
    json!({
        "targetPerDeviceAndMonth": target,
        "from": from,
        "to": to,
        "things": learnt.things(),
        "windowSeconds": learnt.window_secs,
        "datapointsInAlarmLeftOut": learnt.in_alarm,
        "metrics": suggestion.advice,
    })
}

/// The report for people.
#[must_use]
pub fn report_text(learnt: &Learnt, suggestion: &Suggestion, target: f64) -> String {
    let span = learnt.span.map_or_else(|| "nothing".into(), |(from, to)| format!("{from} to {to}"));
    let mut text = format!(
        "learnt from {span}: {} devices, windows of {} s; {} datapoints of devices in alarm left out\n\
         target: {target} false alarms by device and month for each behavior\n\n",
        learnt.things(),
        learnt.window_secs,
        learnt.in_alarm
    );
    let heading = [
        "METRIC",
        "HOW",
        "LIMIT",
        "EXPECTED",
        "AT MOST (95 %)",
        "IN DATA",
        "LARGEST",
        "DEVICES",
        "DATAPOINTS",
        "DEVICE-DAYS",
    ];
    let rows: Vec<Vec<String>> = suggestion.advice.iter().map(row).collect();
    text.push_str(&output::table(&heading, &rows));
    // The same remark about several metrics is said once.
    let mut remarks: Vec<(&str, Vec<&str>)> = Vec::new();
    for (remark, metric) in
        suggestion.advice.iter().flat_map(|one| one.remarks.iter().map(|remark| (remark, &one.metric)))
    {
        match remarks.iter_mut().find(|(known, _)| *known == remark.as_str()) {
            Some((_, metrics)) => metrics.push(metric),
            None => remarks.push((remark, vec![metric])),
        }
    }
    for (remark, metrics) in remarks {
        text.push_str(&format!("\n{}: {remark}", metrics.join(", ")));
    }
    text
}

fn row(advice: &Advice) -> Vec<String> {
    let how = match advice.method {
        Method::Counted => "counted",
        Method::Tail => "tail",
        Method::LargestSeen => "largest seen",
        Method::Seen => "seen",
        Method::None => "none",
    };
    let value =
        advice.criteria.as_ref().and_then(|criteria| criteria.get("value")).and_then(Value::as_object);
    let limit = value.and_then(|value| value.values().next()).map_or_else(
        || "-".to_owned(),
        |value| value.as_array().map_or_else(|| value.to_string(), |list| format!("{} values", list.len())),
    );
    let numbers = advice.criteria.is_some();
    let shown = |value: f64| if numbers { rate(value) } else { "-".into() };
    vec![
        advice.metric.clone(),
        how.into(),
        limit,
        shown(advice.expected),
        shown(advice.at_most),
        advice.in_data.to_string(),
        format!("{}", advice.largest),
        advice.things.to_string(),
        advice.datapoints.to_string(),
        format!("{:.1}", advice.device_days),
    ]
}
