//! Status, counts and statistics (`device-defender-audit.md`, section 6).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::suppression::{InForce, members};
use crate::finding::Finding;

/// Findings that a check keeps at most. The first in the order of the check stay; those beyond are
/// counted in [`CheckOutcome::shed`], and their resources still count.
pub const FINDINGS_MAX: usize = 100_000;

/// `checkRunStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// The data that the check needs are not there.
    WaitingForDataCollection,
    /// The run was stopped before the check.
    Canceled,
    /// No finding, or only suppressed ones.
    CompletedCompliant,
    /// At least one finding that is not suppressed.
    CompletedNonCompliant,
    /// The check could not run.
    Failed,
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// It looked at so many resources and found this.
    Done {
        /// Resources that were looked at.
        examined: u64,
        /// Findings, in the order of the check.
        findings: Vec<Finding>,
    },
    /// It has no data.
    NoData,
    /// It was not reached.
    Canceled,
    /// It could not run, for this reason.
    Failed(String),
}

/// A finding, and whether it is suppressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// `isSuppressed`.
    pub is_suppressed: bool,
}

/// The result of one check, as AWS IoT names its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckOutcome {
    /// Name.
    pub check_name: String,
    /// Status.
    pub check_run_status: Status,
    /// Resources that were looked at.
    pub total_resources_count: u64,
    /// Resources with a finding that is not suppressed.
    pub non_compliant_resources_count: u64,
    /// Resources all of whose findings are suppressed.
    pub suppressed_non_compliant_resources_count: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Findings beyond [`FINDINGS_MAX`].
    #[serde(default)]
    pub shed: u64,
    /// Findings.
    pub findings: Vec<Judged>,
}

impl CheckOutcome {
    /// Counts and judges what a check did.
    #[must_use]
    pub fn new(check: impl Into<String>, work: Work, in_force: &InForce) -> Self {
        let mut outcome = Self {
            check_name: check.into(),
            check_run_status: Status::CompletedCompliant,
            total_resources_count: 0,
            non_compliant_resources_count: 0,
            suppressed_non_compliant_resources_count: 0,
            message: None,
            shed: 0,
            findings: Vec::new(),
        };
        match work {
            Work::NoData => outcome.check_run_status = Status::WaitingForDataCollection,
            Work::Canceled => outcome.check_run_status = Status::Canceled,
            Work::Failed(why) => {
                outcome.check_run_status = Status::Failed;
                outcome.message = Some(why);
            }
            Work::Done { examined, findings } => outcome.done(examined, findings, in_force),
        }
        outcome
    }

    fn done(&mut self, examined: u64, findings: Vec<Finding>, in_force: &InForce) {
        let (mut open, mut suppressed) = (BTreeSet::new(), BTreeSet::new());
        for finding in findings {
            let is_suppressed = in_force.has(&finding);
            let resources = if is_suppressed { &mut suppressed } else { &mut open };
            resources.insert((finding.resource.resource_type.clone(), members(&finding.resource)));
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(Judged { finding, is_suppressed });
            } else {
                self.shed += 1;
            }
        }
        self.total_resources_count = examined;
        self.non_compliant_resources_count = open.len() as u64;
        self.suppressed_non_compliant_resources_count = suppressed.difference(&open).count() as u64;
        if !open.is_empty() {
            self.check_run_status = Status::CompletedNonCompliant;
        }
    }
}

/// `taskStatistics`; the five parts add up to `total_checks`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// All checks of the run.
    pub total_checks: u64,
    /// Without data.
    pub waiting_for_data_collection_checks: u64,
    /// Compliant.
    pub compliant_checks: u64,
    /// Non-compliant.
    pub non_compliant_checks: u64,
    /// Failed.
    pub failed_checks: u64,
    /// Not reached.
    pub canceled_checks: u64,
}

impl Statistics {
    /// Of these checks.
    #[must_use]
    pub fn of(checks: &[CheckOutcome]) -> Self {
        let mut sum = Self { total_checks: checks.len() as u64, ..Self::default() };
        for check in checks {
            *match check.check_run_status {
                Status::WaitingForDataCollection => &mut sum.waiting_for_data_collection_checks,
                Status::Canceled => &mut sum.canceled_checks,
                Status::CompletedCompliant => &mut sum.compliant_checks,
                Status::CompletedNonCompliant => &mut sum.non_compliant_checks,
                Status::Failed => &mut sum.failed_checks,
            } += 1;
        }
        sum
    }
}
