//! The command line: what can be said, and what the exit code means.

pub mod arguments;
pub mod audit;
pub mod check;
pub mod client;
pub mod datasets;
pub mod explain;
pub mod history;
pub mod lens;
pub mod output;
pub mod past;
pub mod replay;
pub mod stories;
pub mod suggest;
pub mod user;

use std::process::ExitCode;

/// What the exit code tells a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Something failed while running; the message is on standard error.
    Failure,
    /// The command line or a configuration file is wrong; nothing was started.
    BadConfiguration,
    /// Done, and there is something to look at (`check --strict` with warnings, `lens review --fail-on`).
    Findings,
    /// `audit`: there are findings at or above the level.
    Noncompliant,
    /// `audit`: an error; whether there are findings is not known.
    AuditFailed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failure | Exit::Noncompliant => 1,
            Exit::BadConfiguration | Exit::AuditFailed => 2,
            Exit::Findings => 3,
        })
    }
}
