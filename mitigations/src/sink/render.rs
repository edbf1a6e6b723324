//! Alerts as JSON, as text and as HTML.

use std::fmt::Write as _;

use serde_json::{Value, json};

use fleet::time::Timestamp;

use crate::alert::{self, AlarmAlert, Alert, CoverageAlert, IncidentAlert, Notice};

/// Name of the documented schema; a change that could break a reader changes it.
pub const SCHEMA: &str = "fleetward.alert.v1";

/// Our own form.
///
/// | member | what |
/// |---|---|
/// | `schema` | `fleetward.alert.v1` |
/// | `id` | stable id: an alert that is delivered again has the same |
/// | `type` | `alarm`, `notice`, `incident` or `coverage` |
/// | `title` | one line for people |
/// | `at`, `time` | event time: ms since the epoch, and RFC 3339 |
/// | `alarm` | for alarms: `kind` (`in-alarm`, `alarm-cleared`, `alarm-invalidated`), `violationId`, `startedAt`, `entity` (`{"thing": …}` or `{"sourceIp": …}`), `clientId?`, `principal?`, `securityProfile`, `behavior`, `metric`, `value?`, `expected`, `attribution` |
/// | `responses` | for alarms: what is done, `[{"action", "task", "plan", "text"}]` |
/// | `incidentId?` | for alarms: the incident that the alarm belongs to |
/// | `incident` | for incidents: `kind` (`opened`, `update`, `cleared`), `incidentId`, `securityProfile`, `behavior`, `entity` (of the first alarm), `openedAt`, `lastAt`, `closedAt?`, `alarms`, `open`, `mostOpen`, `gathered`, `responses` (how often each plan), `first` and `fresh`: samples `[{"violationId", "entity", "behavior", "value", "at"}]` of all its alarms and of those since the last message |
/// | `coverage` | for coverage: `blind` and `seeing`: `[{"profile", "behavior", "why"}]`, at most 20 each, and `blindTotal`, `seeingTotal` |
/// | `notice` | for notices: `kind` (`held`, `dry-run`, `done`, `not-held`, `failed`, `undone`), `task`, `action`, `thing`, `alarmId`, `securityProfile`, `behavior`, `text` |
#[must_use]
pub fn fleetward_json(alert: &Alert) -> Value {
    let (kind, at, rest) = match alert {
        Alert::Alarm(alarm) => ("alarm", alarm.alarm.at, alarm_members(alarm)),
        Alert::Notice(notice) => ("notice", notice.at, notice_members(notice)),
        Alert::Incident(alert) => ("incident", alert.incident.last_at, incident_members(alert)),
        Alert::Coverage(alert) => ("coverage", alert.at, coverage_members(alert)),
    };
    let mut body = json!({
        "schema": SCHEMA,
        "id": alert.id(),
        "type": kind,
        "title": alert::title(alert),
        "at": at.millis(),
        "time": at.to_string(),
    });
    if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest) {
        body.extend(rest);
    }
    body
}

fn alarm_members(alert: &AlarmAlert) -> Value {
    let alarm = &alert.alarm;
    let mut members = json!({
        "kind": alarm.kind.name(),
        "violationId": alarm.violation_id,
        "startedAt": alarm.started_at.millis(),
        "entity": alarm.entity,
        "clientId": alarm.client_id,
        "principal": alarm.principal,
        "securityProfile": alarm.profile,
        "behavior": alarm.behavior,
        "metric": alarm.metric,
        "value": alarm.value,
        "expected": alarm.expected,
        "attribution": alarm.attribution.name(),
    });
    drop_nulls(&mut members);
    let mut body = json!({ "alarm": members, "responses": alert.responses, "incidentId": alert.incident });
    drop_nulls(&mut body);
    body
}

fn incident_members(alert: &IncidentAlert) -> Value {
    let incident = &alert.incident;
    let mut members = json!({
        "kind": alert.kind.name(),
        "incidentId": incident.id,
        "securityProfile": incident.profile,
        "behavior": incident.behavior,
        "entity": incident.entity,
        "openedAt": incident.opened_at.millis(),
        "lastAt": incident.last_at.millis(),
        "closedAt": incident.closed_at.map(Timestamp::millis),
        "alarms": incident.alarms,
        "open": incident.open,
        "mostOpen": incident.most_open,
        "gathered": incident.gathered,
        "responses": incident.responses,
        "first": incident.first,
        "fresh": alert.fresh,
    });
    drop_nulls(&mut members);
    json!({ "incident": members })
}

fn coverage_members(alert: &CoverageAlert) -> Value {
    json!({ "coverage": {
        "blind": alert.blind,
        "blindTotal": alert.blind_total,
        "seeing": alert.seeing,
        "seeingTotal": alert.seeing_total,
    }})
}

fn notice_members(notice: &Notice) -> Value {
    json!({ "notice": {
        "kind": notice.kind.name(),
        "task": notice.task,
        "action": notice.action,
        "thing": notice.thing,
        "alarmId": notice.alarm_id,
        "securityProfile": notice.profile,
        "behavior": notice.behavior,
        "text": notice.text,
    }})
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| !member.is_null());
    }
}

/// The message that AWS IoT Device Defender publishes to SNS for a Detect alert; `None`
/// for notices, which AWS does not know. An alarm about an address has the address in
/// place of the thing name.
#[must_use]
pub fn aws_json(alert: &Alert) -> Option<Value> {
    let Alert::Alarm(alert) = alert else { return None };
    let alarm = &alert.alarm;
    let mut body = json!({
        "violationEventTime": alarm.at.millis(),
        "thingName": alarm.entity.name(),
        "behavior": aws_behavior(alert),
        "violationEventType": alarm.kind.name(),
        "metricValue": alarm.value,
        "violationId": alarm.violation_id,
        "securityProfileName": alarm.profile,
    });
    drop_nulls(&mut body);
    Some(body)
}

/// The behavior as configured, without what AWS's message does not carry.
fn aws_behavior(alert: &AlarmAlert) -> Value {
    let alarm = &alert.alarm;
    let configured: Value = serde_json::from_str(&alarm.behavior_json).unwrap_or(Value::Null);
    let mut behavior = json!({});
    if let Value::Object(members) = &mut behavior {
        for key in ["criteria", "name", "metric", "metricDimension"] {
            if let Some(value) = configured.get(key) {
                members.insert(key.into(), value.clone());
            }
        }
        members.entry("name").or_insert_with(|| json!(alarm.behavior));
        members.entry("metric").or_insert_with(|| json!(alarm.metric));
    }
    behavior
}

/// What an alert says to a person, in order: label and text.
#[must_use]
pub fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let mut facts = match alert {
        Alert::Alarm(alert) => alarm_facts(alert),
        Alert::Notice(notice) => vec![
            ("What", notice.text.clone()),
            ("Thing", notice.thing.clone()),
            ("Action", notice.action.clone()),
            ("Task", notice.task.to_string()),
            ("Profile", notice.profile.clone()),
            ("Behavior", notice.behavior.clone()),
            ("When", notice.at.to_string()),
        ],
        Alert::Incident(alert) => incident_facts(alert),
        Alert::Coverage(alert) => coverage_facts(alert),
    };
    facts.push(("Alert id", alert.id().to_owned()));
    facts.retain(|(_, text)| !text.is_empty());
    facts
}

fn alarm_facts(alert: &AlarmAlert) -> Vec<(&'static str, String)> {
    let alarm = &alert.alarm;
    let whom = if alarm.entity.thing().is_some() { "Thing" } else { "Address" };
    let done: Vec<&str> = alert.responses.iter().map(|response| response.text.as_str()).collect();
    let done = if done.is_empty() { "nothing: no rule asks for an action".into() } else { done.join("; ") };
    vec![
        (whom, alarm.entity.name()),
        ("Client id", alarm.client_id.clone().unwrap_or_default()),
        ("Principal", alarm.principal.clone().unwrap_or_default()),
        ("Profile", alarm.profile.clone()),
        ("Behavior", alarm.behavior.clone()),
        ("Metric", alarm.metric.clone()),
        ("Value", alarm.value_text()),
        ("Expected", alarm.expected.clone()),
        ("Evidence", alarm.attribution.name().to_owned()),
        ("Since", alarm.started_at.to_string()),
        ("Decided", alarm.at.to_string()),
        ("Done about it", done),
        ("Violation id", alarm.violation_id.clone()),
    ]
}

fn coverage_facts(alert: &CoverageAlert) -> Vec<(&'static str, String)> {
    let line = |one: &alert::BehaviorCoverage| format!("{}/{} {}", one.profile, one.behavior, one.why);
    let all = |named: &[alert::BehaviorCoverage], total: usize| {
        let mut lines: Vec<String> = named.iter().map(line).collect();
        if total > named.len() {
            lines.push(format!("and {} more", total - named.len()));
        }
        lines.join("; ")
    };
    vec![
        ("Blind", all(&alert.blind, alert.blind_total)),
        ("Sees again", all(&alert.seeing, alert.seeing_total)),
        ("When", alert.at.to_string()),
    ]
}

fn incident_facts(alert: &IncidentAlert) -> Vec<(&'static str, String)> {
    let incident = &alert.incident;
    let samples = if alert.fresh.is_empty() { &incident.first } else { &alert.fresh };
    let sample = |sample: &crate::incident::Sample| {
        format!("{} ({}: {})", sample.entity.name(), sample.behavior, sample.value)
    };
    let decided: Vec<String> =
        incident.responses.iter().map(|(plan, count)| format!("{plan} {count} times")).collect();
    vec![
        ("Profile", incident.profile.clone()),
        ("Behavior", incident.behavior.clone()),
        ("Began with", incident.entity.name()),
        ("Alarms", incident.alarms.to_string()),
        ("Still in alarm", incident.open.to_string()),
        ("Most at once", incident.most_open.to_string()),
        ("Samples", samples.iter().map(sample).collect::<Vec<_>>().join("; ")),
        ("Since", incident.opened_at.to_string()),
        ("Latest alarm", incident.last_at.to_string()),
        ("Done about it", decided.join("; ")),
        ("Incident id", incident.id.clone()),
    ]
}

/// Characters of a fact that are shown at most.
const FACT_CHARS_MAX: usize = 2000;

/// `LABEL: TEXT` lines. Names are hostile: each fact stays on its line.
#[must_use]
pub fn text(alert: &Alert) -> String {
    let mut out = one_line(&alert::title(alert), FACT_CHARS_MAX) + "\n\n";
    for (label, fact) in facts(alert) {
        // Writing to a `String` cannot fail.
        let _ok = writeln!(out, "{:<14} {}", format!("{label}:"), one_line(&fact, FACT_CHARS_MAX));
    }
    out
}

/// A small HTML document with a table of the facts; it loads nothing from elsewhere.
#[must_use]
pub fn html(alert: &Alert) -> String {
    let title = escape(&one_line(&alert::title(alert), FACT_CHARS_MAX));
    let mut rows = String::new();
    for (label, fact) in facts(alert) {
        let fact = escape(&one_line(&fact, FACT_CHARS_MAX));
        // Writing to a `String` cannot fail.
        let _ok = writeln!(
            rows,
            "<tr><th align=\"left\" valign=\"top\" style=\"padding:2px 12px 2px 0;color:#555\">{label}</th>\
             <td style=\"padding:2px 0\">{fact}</td></tr>"
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body style=\"font-family:sans-serif\"><h2 style=\"font-size:18px\">{title}</h2>\n\
         <table style=\"font-size:14px;border-collapse:collapse\">\n{rows}</table></body></html>\n"
    )
}

/// The text on one line, cut to `chars_max`. Control characters, and those that turn the
/// direction of writing or are invisible, become `\u{..}`, so that a name cannot pass for
/// another or begin a line of its own.
#[must_use]
pub fn one_line(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars_max));
    for (index, c) in text.chars().enumerate() {
        if index == chars_max {
            out.push('…');
            break;
        }
        if is_deceptive(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, line and paragraph separators, zero-width characters, and the
/// directional formatting characters of Unicode Standard Annex 9.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alarm::{Alarm, Entity, tests::alarm};

    fn of(alarm: Alarm) -> Alert {
        alert::of_alarm(&alarm, vec![]).unwrap()
    }

    #[test]
    fn the_aws_form_is_that_of_the_sns_message() {
        let expected = json!({
            "violationEventTime": 5000,
            "thingName": "pump-17",
            "behavior": {"criteria":{"comparisonOperator":"less-than-equals","value":{"count":50},"durationSeconds":300},"name":"quiet","metric":"aws:num-messages-sent"},
            "violationEventType": "in-alarm",
            "metricValue": {"count": 212},
            "violationId": "pump-17-5",
            "securityProfileName": "pumps"
        });
        assert_eq!(aws_json(&of(alarm("pump-17", 5))).unwrap(), expected);
        let odd = Alarm { value: None, behavior_json: "not json".into(), ..alarm("a", 5) };
        let odd = aws_json(&of(odd)).unwrap();
        assert_eq!(odd.get("metricValue"), None);
        assert_eq!(odd["behavior"], json!({"name": "quiet", "metric": "aws:num-messages-sent"}));
        let ours = r#"{"name":"quiet","metric":"m","fleetward":{"entity":"thing"},"suppressAlerts":false}"#;
        let ours = aws_json(&of(Alarm { behavior_json: ours.into(), ..alarm("a", 5) })).unwrap();
        assert_eq!(ours["behavior"], json!({"name": "quiet", "metric": "m"}));
    }

    #[test]
    fn our_form_has_its_documented_members() {
        let body = fleetward_json(&of(alarm("pump-17", 5)));
        assert_eq!(body["schema"], SCHEMA);
        assert_eq!(body["title"], "in-alarm: pumps/quiet on pump-17");
        assert_eq!(body["time"], "1970-01-01T00:00:05.000Z");
        assert_eq!(body["alarm"]["entity"], json!({"thing": "pump-17"}));
        assert_eq!(body["alarm"]["value"], json!({"count": 212}));
        let address = Alarm { entity: Entity::SourceIp("10.0.0.9".parse().unwrap()), ..alarm("a", 1) };
        let body = fleetward_json(&of(Alarm { client_id: None, ..address }));
        assert_eq!(body["alarm"]["entity"], json!({"sourceIp": "10.0.0.9"}));
        assert_eq!(body["alarm"].get("clientId"), None);
        assert_eq!(body["title"], "in-alarm: pumps/quiet on address 10.0.0.9");
    }

    #[test]
    fn text_reads_plainly() {
        let expected = "in-alarm: pumps/quiet on pump-17\n\n\
            Thing:         pump-17\n\
            Client id:     pump-17\n\
            Principal:     user-pump-17\n\
            Profile:       pumps\n\
            Behavior:      quiet\n\
            Metric:        aws:num-messages-sent\n\
            Value:         212\n\
            Expected:      less-than-equals 50 in 300 s\n\
            Evidence:      certain\n\
            Since:         1970-01-01T00:00:05.000Z\n\
            Decided:       1970-01-01T00:00:05.000Z\n\
            Done about it: nothing: no rule asks for an action\n\
            Violation id:  pump-17-5\n\
            Alert id:      pump-17-5-in\n";
        assert_eq!(text(&of(alarm("pump-17", 5))), expected);
    }

    #[test]
    fn coverage_reads_plainly_and_is_bounded() {
        let one = |n: usize| alert::BehaviorCoverage {
            profile: "pumps".into(),
            behavior: format!("b{n}"),
            why: "sees nothing: no source".into(),
        };
        let many: Vec<_> = (0..25).map(one).collect();
        let told = alert::of_coverage(&many, &[one(99)], fleet::time::Timestamp::from_secs(5));
        assert_eq!(alert::title(&told), "blind: 25 behaviors, sees again: pumps/b99");
        let text = text(&told);
        assert!(text.contains("pumps/b0 sees nothing: no source; pumps/b1"), "{text}");
        assert!(text.contains("and 5 more") && !text.contains("pumps/b20 "), "{text}");
        let body = fleetward_json(&told);
        assert_eq!((&body["type"], &body["coverage"]["blindTotal"]), (&json!("coverage"), &json!(25)));
        assert_eq!(body["coverage"]["blind"].as_array().unwrap().len(), 20);
        assert_eq!(aws_json(&told), None);
        assert_ne!(told.id(), alert::of_coverage(&many, &[], fleet::time::Timestamp::from_secs(5)).id());
    }

    #[test]
    fn hostile_names_stay_text_on_their_line() {
        let name = "</td><script>alert('x')</script>\r\nValue: 0\u{202e}txt.exe\u{2028}\"&";
        let html = html(&of(alarm(name, 5)));
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;alert(&#39;x&#39;)"));
        let text = text(&of(alarm(name, 5)));
        assert!(text.lines().all(|line| !line.starts_with("Value: 0")), "{text}");
        assert!(!text.contains('\r') && !text.contains('\u{202e}') && text.contains("\\u{202e}txt.exe"));
        assert_eq!(one_line("abcdef", 3), "abc…");
    }

    proptest! {
        #[test]
        fn any_name_stays_inside_its_cell(name in "(?s).{1,40}") {
            let plain = html(&of(alarm("x", 5)));
            let hostile = html(&of(alarm(&name, 5)));
            for mark in ['<', '>', '\n'] {
                prop_assert_eq!(plain.matches(mark).count(), hostile.matches(mark).count());
            }
            let lines = text(&of(alarm("x", 5))).lines().count();
            prop_assert_eq!(text(&of(alarm(&name, 5))).lines().count(), lines);
        }
    }
}
