//! Reads the findings of an audit as evidence: an array of findings in the form of `finding::wire`, or an
//! object with `findings`, or with `checks` as [`CheckOutcome`](crate::run::outcome::CheckOutcome) writes
//! them.
//!
//! Only `checks` says which checks ran. Findings alone can show that something is wrong, never that all is
//! well, because a check that did not run has no findings either.

use std::collections::BTreeMap;

use fleet::problem::{Problem, Severity};
use serde::Deserialize;

use super::evidence::{Audit, CheckEvidence};
use crate::finding::Finding;
use crate::run::outcome::Status;

#[derive(Deserialize)]
struct Row {
    #[serde(flatten)]
    finding: Finding,
    #[serde(default, rename = "isSuppressed")]
    is_suppressed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    check_name: String,
    check_run_status: Status,
    #[serde(default)]
    total_resources_count: Option<u64>,
    #[serde(default)]
    findings: Vec<Row>,
    /// Findings that were left out.
    #[serde(default)]
    shed: u64,
}

#[derive(Default, Deserialize)]
struct Document {
    #[serde(default)]
    findings: Option<Vec<Row>>,
    #[serde(default)]
    checks: Option<Vec<Outcome>>,
}

/// What the findings in `text` say, which was read from `file`.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn read(file: &str, text: &str) -> Result<Audit, Problem> {
    let refused = |error: &serde_json::Error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
        Problem {
            severity: Severity::Error,
            file: file.to_owned(),
            line: error.line().max(1),
            column: error.column().max(1),
            place: String::new(),
            message: message.to_owned(),
        }
    };
    let document = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map(|findings| Document { findings: Some(findings), checks: None })
    } else {
        serde_json::from_str::<Document>(text)
    };
    let document = document.map_err(|error| refused(&error))?;
    if document.findings.is_none() && document.checks.is_none() {
        let message = "expected an array of findings, or an object with `findings` or `checks`".to_owned();
        return Err(Problem::error_at(file, text, 0, "", message));
    }
    Ok(Audit { place: Some(file.to_owned()), checks: summarized(document) })
}

fn summarized(document: Document) -> BTreeMap<String, CheckEvidence> {
    let mut checks: BTreeMap<String, CheckEvidence> = BTreeMap::new();
    let mut listed = std::collections::BTreeSet::new();
    for outcome in document.checks.into_iter().flatten() {
        let check = checks.entry(outcome.check_name.clone()).or_default();
        check.ran =
            matches!(outcome.check_run_status, Status::CompletedCompliant | Status::CompletedNonCompliant);
        check.examined = outcome.total_resources_count;
        check.findings += outcome.shed;
        if !outcome.findings.is_empty() {
            listed.insert(outcome.check_name);
        }
        outcome.findings.iter().for_each(|row| count(check, row));
    }
    // A document may list its findings twice, by check and all together.
    for row in document.findings.into_iter().flatten() {
        if !listed.contains(row.finding.check.as_ref()) {
            count(checks.entry(row.finding.check.clone().into_owned()).or_default(), &row);
        }
    }
    checks
}

fn count(check: &mut CheckEvidence, row: &Row) {
    if row.is_suppressed {
        check.suppressed += 1;
        return;
    }
    check.findings += 1;
    if check.places.len() < CheckEvidence::PLACES_MAX {
        let place = row.finding.place.as_ref().map(ToString::to_string);
        check.places.push(place.unwrap_or_else(|| row.finding.resource.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: &str, line: usize, rest: &str) -> String {
        format!(
            r#"{{"checkName":"{check}","severity":"HIGH","reasonForNonComplianceCode":"C","reasonForNonCompliance":"r","nonCompliantResource":{{"resourceType":"T","resourceIdentifier":{{"a":"b"}}}},"place":{{"file":"f","line":{line}}},"remedy":"m"{rest}}}"#
        )
    }

    fn summary(text: &str) -> Vec<(String, bool, u64, u64, String)> {
        let audit = read("f.json", text).unwrap();
        let row = |(name, check): (String, CheckEvidence)| {
            (name, check.ran, check.findings, check.suppressed, check.places.join(" "))
        };
        audit.checks.into_iter().map(row).collect()
    }

    #[test]
    fn findings_show_what_is_wrong_and_only_outcomes_show_what_ran() {
        let (one, two) = (finding("A", 1, ""), finding("A", 2, r#","isSuppressed":true"#));
        let expected = vec![("A".to_owned(), false, 1, 1, "f:1".to_owned())];
        assert_eq!(summary(&format!("[{one},{two}]")), expected);
        assert_eq!(summary(&format!(r#"{{"findings":[{one},{two}],"taskId":"x"}}"#)), expected);
        let checks = format!(
            r#"[{{"checkName":"A","checkRunStatus":"COMPLETED_NON_COMPLIANT","totalResourcesCount":5,"findings":[{one},{two}]}},
                {{"checkName":"B","checkRunStatus":"COMPLETED_COMPLIANT","findings":[]}},
                {{"checkName":"C","checkRunStatus":"FAILED"}}]"#
        );
        let expected = vec![
            ("A".to_owned(), true, 1, 1, "f:1".to_owned()),
            ("B".to_owned(), true, 0, 0, String::new()),
            ("C".to_owned(), false, 0, 0, String::new()),
        ];
        assert_eq!(summary(&format!(r#"{{"checks":{checks}}}"#)), expected);
        assert_eq!(summary(&format!(r#"{{"checks":{checks},"findings":[{one},{two}]}}"#)), expected);
    }

    #[test]
    fn what_is_no_audit_is_refused_with_its_place() {
        for (text, expected) in [
            (
                "{}",
                "f.json:1:1: error: expected an array of findings, or an object with `findings` or `checks`",
            ),
            ("[{\n}]", "f.json:2:1: error: missing field `checkName`"),
            ("[1]", "f.json:1:2: error: invalid type: integer `1`, expected struct Row"),
            ("", "f.json:1:1: error: EOF while parsing a value"),
        ] {
            assert_eq!(read("f.json", text).unwrap_err().to_string(), expected);
        }
    }
}
