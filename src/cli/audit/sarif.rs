//! A report as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format Version 2.1.0").

use audits::catalogue::{CheckInfo, checks};
use audits::finding::{Finding, Place, Severity};
use serde_json::{Value, json};

use crate::audit::report::{Report, Row};

/// Name of the base that places are relative to.
const BASE: &str = "AUDITED";

/// The log with one run.
pub(super) fn sarif(report: &Report) -> Value {
    let names: Vec<&str> = report.run.checks.iter().map(|check| check.check_name.as_str()).collect();
    let mut rules: Vec<CheckInfo> = checks();
    rules.retain(|info| names.contains(&&*info.name));
    let results: Vec<Value> = report.rows().iter().map(|row| result(row, &rules)).collect();
    let not_read = report.reading.left_out.told.iter().map(|(name, why)| note(&format!("{name}: {why}")));
    let not_checked = report
        .not_checked()
        .into_iter()
        .flat_map(|(why, checks)| checks.into_iter().map(move |check| note(&format!("{check}: {why}"))));
    let notes: Vec<Value> = not_checked.chain(not_read).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "Fleetward",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {BASE: {"uri": base(&report.base)}},
            "invocations": [{"executionSuccessful": true, "toolExecutionNotifications": notes}],
            "results": results,
        }],
    })
}

fn note(text: &str) -> Value {
    json!({"level": "note", "message": {"text": text}})
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// `security-severity`, by which code hosts sort: a score as CVSS has it, in the middle of its class.
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
    }
}

fn rule(info: &CheckInfo) -> Value {
    json!({
        "id": info.name,
        "shortDescription": {"text": sentence(&info.notices)},
        "fullDescription": {"text": sentence(&info.why)},
        "help": {"text": format!("{} ({})", sentence(&info.remedy), info.references)},
        "defaultConfiguration": {"level": level(info.severity)},
        "properties": {"security-severity": score(info.severity), "tags": ["security"]},
    })
}

/// Some tables write whole sentences, others parts of one.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

fn result(row: &Row<'_>, rules: &[CheckInfo]) -> Value {
    let finding = row.finding;
    let mut result = json!({
        "ruleId": finding.check,
        "level": level(finding.severity),
        "message": {"text": sentence(&finding.reason)},
        "locations": [location(finding)],
        "partialFingerprints": {"fleetwardFinding/v1": row.id},
        "properties": {
            "severity": finding.severity.name(),
            "reasonCode": finding.code,
            "remedy": finding.remedy,
        },
    });
    if let Some(members) = result.as_object_mut() {
        if let Some(index) = rules.iter().position(|info| info.name == finding.check) {
            members.shift_insert(1, "ruleIndex".into(), json!(index));
        }
        if row.is_suppressed {
            members.insert("suppressions".into(), json!([{"kind": "external"}]));
        }
    }
    result
}

fn location(finding: &Finding) -> Value {
    let resource = json!([{"fullyQualifiedName": finding.resource.to_string(), "kind": "resource"}]);
    match &finding.place {
        Some(place) => json!({"physicalLocation": physical(place), "logicalLocations": resource}),
        None => json!({"logicalLocations": resource}),
    }
}

fn physical(place: &Place) -> Value {
    let file = json!({"uri": encoded(&place.file), "uriBaseId": BASE});
    match (place.line, place.column) {
        // The whole file, or one without lines.
        (0, _) => json!({"artifactLocation": file}),
        (line, 0) => json!({"artifactLocation": file, "region": {"startLine": line}}),
        (line, column) => {
            json!({"artifactLocation": file, "region": {"startLine": line, "startColumn": column}})
        }
    }
}

/// The folder as a URI that ends with `/`.
fn base(target: &str) -> String {
    let scheme = if target.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{}/", encoded(target.trim_end_matches('/')))
}

/// A path as part of a URI (RFC 3986, section 2.3, and `/`). A colon in the first part would be taken
/// for the end of a scheme, and is escaped like all else.
fn encoded(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        assert_eq!(encoded("a b/ä:%.pem"), "a%20b/%C3%A4%3A%25.pem");
        assert_eq!(base("/etc/mosquitto/"), "file:///etc/mosquitto/");
        assert_eq!(base("deploy"), "deploy/");
        assert_eq!(base("."), "./");
        assert_eq!(base("/"), "file:///");
    }
}
