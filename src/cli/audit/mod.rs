//! `fleetward audit`: the checks of configuration on a folder, and what goes with their results.
//!
//! Exit codes are those of a linter: 0 nothing at or above the level, 1 something, 2 an error.

pub mod arguments;
mod diff;
mod explain;
mod html;
mod progress;
mod run;
mod sarif;
mod suppress;
mod table;

use std::path::Path;

use anyhow::Context as _;
use audits::run::outcome::CheckOutcome;
use serde::Deserialize;

use self::arguments::{AuditArguments, AuditCommand};
use super::{Exit, output};

/// Runs the command; errors are printed here, because they have an exit code of their own.
pub fn run(arguments: &AuditArguments, now: i64) -> Exit {
    let done = match &arguments.command {
        AuditCommand::Run(arguments) => run::run(arguments, now),
        AuditCommand::List(arguments) => explain::list(arguments),
        AuditCommand::Explain(arguments) => explain::explain(arguments),
        AuditCommand::Diff(arguments) => diff::run(arguments),
        AuditCommand::Suppress(arguments) => suppress::run(arguments, now),
    };
    done.unwrap_or_else(|error| {
        output::complain(&output::printable(&format!("fleetward: {error:#}")));
        Exit::AuditFailed
    })
}

/// What is read of a report that `audit run --format json` wrote.
#[derive(Debug, Deserialize)]
struct Saved {
    checks: Vec<CheckOutcome>,
}

fn saved(path: &Path) -> anyhow::Result<Saved> {
    let text = std::fs::read(path).with_context(|| format!("`{}`", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("`{}` is no report of `audit run --format json`", path.display()))
}
