//! What an audit found.

use std::fmt;

use serde::Serialize;

/// How bad a finding is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// An attacker is let in.
    Critical,
    /// An attacker is helped.
    High,
    /// Attacks go unseen, or a protection is missing.
    Medium,
    /// Worth knowing.
    Low,
}

/// One non-compliant thing, with its place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Name of the check, such as `LOGGING_DISABLED_CHECK`.
    pub check: &'static str,
    /// Severity.
    pub severity: Severity,
    /// File, as the user named it.
    pub file: String,
    /// Line, from 1; 0 if the finding is that something is missing.
    pub line: usize,
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: &'static str,
}

/// `FILE:LINE: CHECK: FOUND; REMEDY`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}; {}", self.file, self.line, self.check, self.found, self.remedy)
    }
}
