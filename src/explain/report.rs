//! What led to an alarm, in words.

use detector::{
    transition::{MetricValue, Transition, TransitionKind},
    verification::Verification,
};
use serde_json::Value;

use super::{
    chart::{self, Drawing, Style},
    events::{self, Found},
    series::Series,
};
use crate::{
    cli::output::{printable, table},
    replay::{summary::duration, violations::entity_text},
};

/// Everything that there is to say.
#[derive(Debug)]
pub struct Told<'a> {
    /// Transitions of the violation, oldest first.
    pub transitions: &'a [Transition],
    /// Earlier transitions of the same entity, newest first.
    pub earlier: &'a [Transition],
    /// Tasks that answered it, as JSON.
    pub tasks: &'a [Value],
    /// Its incident, as JSON, or `null`.
    pub incident: &'a Value,
    /// What people found out about it.
    pub verification: &'a Verification,
    /// The metric's values.
    pub series: &'a Series,
    /// Events of the entity.
    pub found: &'a Found,
}

impl Told<'_> {
    /// The transition that began it, if it is still stored.
    #[must_use]
    pub fn alarm(&self) -> Option<&Transition> {
        self.transitions.iter().find(|transition| transition.kind == TransitionKind::InAlarm)
    }

    fn end(&self) -> Option<&Transition> {
        self.transitions.iter().find(|transition| transition.kind != TransitionKind::InAlarm)
    }
}

/// The report for people, no line of the chart wider than `width`.
#[must_use]
pub fn text(told: &Told<'_>, width: usize, style: Style) -> String {
    let Some(known) = told.alarm().or_else(|| told.transitions.first()) else { return String::new() };
    let mut lines = head(told, known);
    lines.push(String::new());
    lines.extend(drawn(told, known, width, style));
    lines.push(String::new());
    lines.extend(happened(told.found));
    lines.push(String::new());
    lines.extend(before(told));
    lines.push(String::new());
    lines.extend(answers(told));
    lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
}

fn head(told: &Told<'_>, known: &Transition) -> Vec<String> {
    let evidence = known.evidence.as_deref();
    let state = match told.end() {
        None => "in alarm".to_owned(),
        Some(end) => {
            let how = if end.kind == TransitionKind::AlarmCleared { "cleared" } else { "invalidated" };
            format!("{how} at {} after {}", end.at, duration(end.at.millis_since(known.started_at)))
        }
    };
    let window = evidence.and_then(|evidence| evidence.window_secs);
    let window = window.map_or_else(String::new, |secs| format!(" in {secs} s"));
    let seen = known.value.as_ref().map_or_else(|| "not known".into(), |value| value_text(value) + &window);
    let limit = evidence.map_or_else(String::new, |evidence| {
        let source = serde_json::to_value(evidence.limit.source).unwrap_or_default();
        let kind = match source.get("kind").and_then(Value::as_str) {
            Some("fixed") => "the value of the criterion".to_owned(),
            Some("set") => "the set of the criterion".to_owned(),
            _ => plain(&source),
        };
        let bounds = [
            evidence.limit.low.map(|low| format!("from {low}")),
            evidence.limit.high.map(|high| format!("up to {high}")),
        ];
        let bounds = bounds.into_iter().flatten().collect::<Vec<_>>().join(" ");
        if bounds.is_empty() { kind } else { format!("{bounds}, {kind}") }
    });
    let mut rows = vec![
        ("alarm", known.violation_id.clone()),
        ("whom", entity_text(&known.entity)),
        ("behavior", format!("{}/{}", known.profile, known.behavior)),
        ("metric", known.metric.clone()),
        ("expected", known.expected.clone()),
        ("seen", seen),
        ("limit", limit),
        ("since", known.started_at.to_string()),
        ("state", state),
        ("attribution", word(&known.attribution)),
        ("principal", known.principal.clone().unwrap_or_default()),
    ];
    if *told.verification != Verification::default() {
        let state = told.verification.verification_state.name();
        let description = told.verification.verification_state_description.as_deref();
        let text = description.map_or_else(|| state.to_owned(), |text| format!("{state}: {text}"));
        rows.push(("verified", text));
    }
    if let Some(incident) = told.incident.get("id").and_then(Value::as_str) {
        let alarms = told.incident.get("alarms").map_or_else(String::new, Value::to_string);
        rows.push(("incident", format!("{incident}, {alarms} alarms")));
    }
    rows.retain(|(_, text)| !text.is_empty());
    rows.into_iter().map(|(label, text)| format!("{label:<12} {text}")).collect()
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Members of an object as words.
fn plain(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                if key == "kind" { plain(value) } else { format!("{key} {}", plain(value)) }
            };
            members.iter().map(member).collect::<Vec<_>>().join(", ")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn value_text(value: &MetricValue) -> String {
    let list = |items: Vec<String>| if items.is_empty() { "nothing".into() } else { items.join(", ") };
    match value {
        MetricValue::Count(count) => count.to_string(),
        MetricValue::Number(number) => number.to_string(),
        MetricValue::Cidrs(items) | MetricValue::Strings(items) => list(items.clone()),
        MetricValue::Ports(items) => list(items.iter().map(ToString::to_string).collect()),
        MetricValue::Numbers(items) => list(items.iter().map(ToString::to_string).collect()),
    }
}

fn drawn(told: &Told<'_>, known: &Transition, width: usize, style: Style) -> Vec<String> {
    if told.series.points.is_empty() {
        return vec!["no values of the metric are known".into()];
    }
    let limit = known.evidence.as_ref().and_then(|evidence| evidence.limit.high.or(evidence.limit.low));
    let marks = (known.started_at, told.end().map(|end| end.at));
    let mut lines =
        vec![format!("{} of {}, from {}", known.metric, entity_text(&known.entity), told.series.from)];
    lines.extend(chart::draw(&Drawing { points: &told.series.points, limit, marks }, width, style));
    lines
}

fn happened(found: &Found) -> Vec<String> {
    let mut lines = Vec::new();
    let shown = found.events.len() as u64;
    lines.push(match found.total {
        0 => "events behind it: none found".to_owned(),
        total if total > shown => format!("events behind it: {total}, the latest {shown}"),
        total => format!("events behind it: {total}"),
    });
    lines.extend(found.gap.iter().map(|gap| format!("  {gap}")));
    lines.extend(found.events.iter().map(|(at, event)| format!("  {at}  {}", events::text(event))));
    lines
}

fn before(told: &Told<'_>) -> Vec<String> {
    let alarms = told.earlier.iter().filter(|transition| transition.kind == TransitionKind::InAlarm);
    let rows: Vec<Vec<String>> = alarms
        .map(|transition| {
            vec![
                format!("  {}", transition.at),
                format!("{}/{}", transition.profile, transition.behavior),
                transition.value.as_ref().map_or_else(|| "-".into(), value_text),
                transition.violation_id.clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return vec!["earlier alarms of the same: none".into()];
    }
    let mut lines = vec!["earlier alarms of the same:".to_owned()];
    lines.extend(table(&["  WHEN", "BEHAVIOR", "VALUE", "ALARM"], &rows).lines().map(str::to_owned));
    lines
}

fn answers(told: &Told<'_>) -> Vec<String> {
    if told.tasks.is_empty() {
        return vec!["answers: none".into()];
    }
    let text = |task: &Value, at: &str| task.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned();
    let rows: Vec<Vec<String>> = told
        .tasks
        .iter()
        .map(|task| {
            vec![
                format!("  {}", text(task, "/id")),
                text(task, "/state/name"),
                text(task, "/thing"),
                text(task, "/action/actionName"),
            ]
        })
        .collect();
    let mut lines = vec!["answers:".to_owned()];
    lines.extend(table(&["  TASK", "STATE", "THING", "ACTION"], &rows).lines().map(str::to_owned));
    lines
}
