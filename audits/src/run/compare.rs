//! Two runs compared. Every run makes new findings, and only check, resource and code link them
//! (`device-defender-audit.md`, section 6, "Identity of a finding across runs").

use std::collections::BTreeMap;

use super::outcome::CheckOutcome;
use super::suppression::members;
use crate::finding::Finding;

/// What changed between two runs, each list ordered by check, resource and code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes<'r> {
    /// Only in the newer run.
    pub appeared: Vec<&'r Finding>,
    /// Only in the older run.
    pub gone: Vec<&'r Finding>,
    /// In both, as the newer has them.
    pub stayed: Vec<&'r Finding>,
}

type Key<'r> = (&'r str, &'r str, Vec<(String, String)>, &'r str);

fn keyed(checks: &[CheckOutcome]) -> BTreeMap<Key<'_>, &Finding> {
    let findings = checks.iter().flat_map(|check| &check.findings).map(|judged| &judged.finding);
    let key = |one| -> (Key<'_>, &Finding) {
        let finding: &Finding = one;
        let resource = &finding.resource;
        ((&finding.check, &resource.resource_type, members(resource), &finding.code), finding)
    };
    findings.map(key).collect()
}

/// Compares two runs; findings with the same check, resource and code count once.
#[must_use]
pub fn compare<'r>(older: &'r [CheckOutcome], newer: &'r [CheckOutcome]) -> Changes<'r> {
    let (old, new) = (keyed(older), keyed(newer));
    let mut changes = Changes::default();
    for (key, finding) in &new {
        let list = if old.contains_key(key) { &mut changes.stayed } else { &mut changes.appeared };
        list.push(finding);
    }
    changes.gone = old.iter().filter(|(key, _)| !new.contains_key(*key)).map(|(_, one)| *one).collect();
    changes
}
