//! Status, counts and statistics (`device-defender-audit.md`, section 6).

use hashbrown::HashSet;
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
    /// It has no data, for this reason.
    NoData(String),
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
    /// Why it failed or has no data; else what it could not look at, if anything.
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
        let mut tally = Tally::new(check, in_force);
        match work {
            Work::NoData(why) => tally.ended(Status::WaitingForDataCollection, Some(why)),
            Work::Canceled => tally.ended(Status::Canceled, None),
            Work::Failed(why) => tally.ended(Status::Failed, Some(why)),
            Work::Done { examined, findings } => {
                findings.into_iter().for_each(|finding| tally.add(finding));
                tally.done(examined, None)
            }
        }
    }
}

/// Counts findings one by one, so that those beyond [`FINDINGS_MAX`] need not be in memory at once.
#[derive(Debug)]
pub struct Tally<'f> {
    outcome: CheckOutcome,
    in_force: &'f InForce,
    open: HashSet<u128>,
    suppressed: HashSet<u128>,
}

impl<'f> Tally<'f> {
    /// Nothing yet.
    #[must_use]
    pub fn new(check: impl Into<String>, in_force: &'f InForce) -> Self {
        let outcome = CheckOutcome {
            check_name: check.into(),
            check_run_status: Status::CompletedCompliant,
            total_resources_count: 0,
            non_compliant_resources_count: 0,
            suppressed_non_compliant_resources_count: 0,
            message: None,
            shed: 0,
            findings: Vec::new(),
        };
        Self { outcome, in_force, open: HashSet::new(), suppressed: HashSet::new() }
    }

    /// One more finding, in the order of the check.
    pub fn add(&mut self, finding: Finding) {
        let is_suppressed = self.in_force.has(&finding);
        let resources = if is_suppressed { &mut self.suppressed } else { &mut self.open };
        resources.insert(identity(&finding));
        if self.outcome.findings.len() < FINDINGS_MAX {
            self.outcome.findings.push(Judged { finding, is_suppressed });
        } else {
            self.outcome.shed += 1;
        }
    }

    /// The check looked at all of its resources; `remark` says what it could not look at.
    #[must_use]
    pub fn done(mut self, examined: u64, remark: Option<String>) -> CheckOutcome {
        let outcome = &mut self.outcome;
        outcome.total_resources_count = examined;
        outcome.message = remark;
        outcome.non_compliant_resources_count = self.open.len() as u64;
        outcome.suppressed_non_compliant_resources_count =
            self.suppressed.difference(&self.open).count() as u64;
        if !self.open.is_empty() {
            outcome.check_run_status = Status::CompletedNonCompliant;
        }
        self.outcome
    }

    /// The check did not come to an end; findings so far are not told.
    #[must_use]
    pub fn ended(mut self, status: Status, why: Option<String>) -> CheckOutcome {
        self.outcome.check_run_status = status;
        self.outcome.message = why;
        self.outcome.findings.clear();
        self.outcome.shed = 0;
        self.outcome
    }
}

/// The resource of a finding as a number: a million of them take 16 MiB, not their names. Two
/// resources get one number with a chance of 2^-128 for each pair.
fn identity(finding: &Finding) -> u128 {
    let mut text = String::from(finding.resource.resource_type.as_ref());
    for (name, value) in members(&finding.resource) {
        for part in [&name, &value] {
            text.push('\0');
            text.push_str(part);
        }
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
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
