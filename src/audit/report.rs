//! The result of an audit, whole: the run, what was read, and what was not.

use std::collections::BTreeMap;

use audits::engine::Run;
use audits::finding::Finding;
use audits::run::outcome::{CheckOutcome, Status};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::folder::Reading;
use super::suppressions::written;

/// What an audit says.
#[derive(Debug)]
pub struct Report {
    /// What was audited, as the user named it.
    pub target: String,
    /// The folder that places are relative to.
    pub base: String,
    /// The run.
    pub run: Run,
    /// What was read; its fleet is not needed any more.
    pub reading: Reading,
    /// How many policies, access lists and brokers there were.
    pub others: [usize; 3],
    /// Suppressions that no longer hold.
    pub expired: usize,
}

/// A finding as a report shows it.
#[derive(Clone, Debug)]
pub struct Row<'r> {
    /// The same from run to run, as long as check, resource and reason are.
    pub id: String,
    /// The finding.
    pub finding: &'r Finding,
    /// Whether it is suppressed.
    pub is_suppressed: bool,
}

/// Ids of the findings of some checks, in their order: check, code and resource make it, and a number
/// where these are alike.
#[must_use]
pub fn ids(checks: &[CheckOutcome]) -> Vec<Vec<String>> {
    let mut alike: BTreeMap<String, u32> = BTreeMap::new();
    let mut id = |finding: &Finding| {
        let mut key = format!("{}\0{}\0{}", finding.check, finding.code, finding.resource.resource_type);
        for (name, value) in &finding.resource.identifier {
            key.push('\0');
            key.push_str(name);
            key.push('=');
            key.push_str(value);
        }
        let number = alike.entry(key.clone()).or_default();
        *number += 1;
        if *number > 1 {
            key.push_str(&format!("\0#{number}"));
        }
        format!("{:016x}", xxh3_64(key.as_bytes()))
    };
    checks.iter().map(|check| check.findings.iter().map(|judged| id(&judged.finding)).collect()).collect()
}

/// Findings, the worst first, then by check and place.
#[must_use]
pub fn rows(checks: &[CheckOutcome]) -> Vec<Row<'_>> {
    let ids = ids(checks);
    let with_ids = checks.iter().zip(ids).flat_map(|(check, ids)| check.findings.iter().zip(ids));
    let mut rows: Vec<Row<'_>> = with_ids
        .map(|(judged, id)| Row { id, finding: &judged.finding, is_suppressed: judged.is_suppressed })
        .collect();
    rows.sort_by(|a, b| {
        let key = |row: &Row<'_>| (row.finding.severity, row.is_suppressed);
        key(a).cmp(&key(b)).then_with(|| {
            let (a, b) = (a.finding, b.finding);
            (&a.check, &a.place, &a.resource, &a.reason).cmp(&(&b.check, &b.place, &b.resource, &b.reason))
        })
    });
    rows
}

impl Report {
    /// Findings, the worst first.
    #[must_use]
    pub fn rows(&self) -> Vec<Row<'_>> {
        rows(&self.run.checks)
    }

    /// Why checks were not made, each reason with its checks, in the order of the checks.
    #[must_use]
    pub fn not_checked(&self) -> Vec<(String, Vec<&str>)> {
        let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
        for check in &self.run.checks {
            let why = match check.check_run_status {
                Status::WaitingForDataCollection | Status::Failed => {
                    check.message.clone().unwrap_or_default()
                }
                Status::Canceled => "the run was stopped".into(),
                Status::CompletedCompliant | Status::CompletedNonCompliant => continue,
            };
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, checks)) => checks.push(&check.check_name),
                None => reasons.push((why, vec![&check.check_name])),
            }
        }
        reasons
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// Never in fact: every part has a form as JSON.
    pub fn json(&self) -> serde_json::Result<Value> {
        let mut report = serde_json::to_value(&self.run)?;
        let ids = ids(&self.run.checks);
        let checks = report.get_mut("checks").and_then(Value::as_array_mut).into_iter().flatten();
        for (check, ids) in checks.zip(ids) {
            let findings = check.get_mut("findings").and_then(Value::as_array_mut).into_iter().flatten();
            for (finding, id) in findings.zip(ids) {
                if let Some(finding) = finding.as_object_mut() {
                    finding.shift_insert(0, "findingId".into(), Value::String(id));
                }
            }
        }
        let [policies, lists, brokers] = self.others;
        let reading = &self.reading;
        let not_read = reading.left_out.told.iter().map(|(name, why)| json!({"name": name, "why": why}));
        if let Some(members) = report.as_object_mut() {
            members.insert("taskStartTime".into(), Value::String(written(self.run.task_start_time)));
            members.shift_insert(0, "target".into(), Value::String(self.target.clone()));
            members.insert("expiredSuppressions".into(), json!(self.expired));
            members.insert(
                "read".into(),
                json!({"files": reading.files, "certificates": reading.certificates, "crls": reading.lists,
                       "keys": reading.keys, "repeated": reading.repeated, "policies": policies,
                       "accessLists": lists, "brokers": brokers}),
            );
            members.insert("notRead".into(), not_read.collect());
            members.insert("notReadMore".into(), json!(reading.left_out.more));
        }
        Ok(report)
    }
}
