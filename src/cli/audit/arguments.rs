//! Commands and options of `fleetward audit`.

use std::path::PathBuf;

use audits::finding::Severity;
use clap::{Args, Subcommand, ValueEnum};

use crate::audit::suppressions::seconds;

/// `audit`
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Audit what lies in a folder: certificates, CRLs, policies, access lists, brokers' configurations.
    #[command(after_help = "fleetward audit run --offline /etc/mosquitto\n\
        fleetward audit run --offline . --severity high --format sarif --output audit.sarif\n\n\
        Exit codes: 0 no finding at or above --severity, 1 at least one, 2 an error.")]
    Run(RunArguments),
    /// List the checks.
    List(ListArguments),
    /// Say what a check notices, why it matters and what to do.
    Explain(ExplainArguments),
    /// Compare two reports of `audit run --format json`.
    #[command(after_help = "Exit codes: 0 nothing new, 1 new findings, 2 an error.")]
    Diff(DiffArguments),
    /// Write findings of a report into a file of suppressions: they no longer count, until a day you say.
    #[command(after_help = "fleetward audit run --offline . --format json --output audit.json\n\
        fleetward audit suppress --report audit.json --file accepted.json --until 2026-12-31 \\\n  \
          --reason \"replaced in autumn\" 5f0c2a9b1d3e4f60\n\
        fleetward audit run --offline . --suppressions accepted.json")]
    Suppress(SuppressArguments),
}

/// `audit run`
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Folder or file to audit; nothing is written to it.
    #[arg(long, value_name = "DIR")]
    pub offline: PathBuf,
    /// Run this check alone; may be given several times.
    #[arg(long = "check", value_name = "ID")]
    pub checks: Vec<String>,
    /// Exit with 1 if a finding is at least so bad.
    #[arg(long, value_name = "LEVEL", default_value = "low", value_parser = severity)]
    pub severity: Severity,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write the report to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Audit as of this time, such as 2026-06-01 or 2026-06-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub now: Option<i64>,
    /// File of suppressions, as `audit suppress` writes it.
    #[arg(long, value_name = "FILE")]
    pub suppressions: Option<PathBuf>,
    /// JSON file of what no configuration says: things, sessions, displaced client ids, uses.
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,
    /// Set a parameter; may be given several times.
    #[arg(long = "set", value_name = "CHECK:NAME=VALUE")]
    pub parameters: Vec<String>,
    /// List of keys of the Debian generator (CVE-2008-0166), as openssl-blacklist has it.
    #[arg(long, value_name = "FILE")]
    pub debian_keys: Vec<PathBuf>,
    /// List of keys whose private half is public: SHA-256 of the SubjectPublicKeyInfo, one a line.
    #[arg(long, value_name = "FILE")]
    pub public_keys: Vec<PathBuf>,
    /// The folder is the broker's own, not a copy: judge permission bits too.
    #[arg(long)]
    pub file_modes: bool,
    /// Name every file that was not looked at.
    #[arg(short, long)]
    pub verbose: bool,
}

/// Form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// Everything; `audit diff` and `audit suppress` read it.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
    /// One page without script.
    Html,
}

/// `audit list`
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `audit explain`
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The check.
    pub check: String,
}

/// `audit diff`
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// The older report.
    pub old: PathBuf,
    /// The newer report.
    pub new: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `audit suppress`
#[derive(Debug, Args)]
pub struct SuppressArguments {
    /// Ids of findings, as reports show them.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// The report they are in.
    #[arg(long, value_name = "FILE")]
    pub report: PathBuf,
    /// The file of suppressions; made if it is not there.
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Why, in 1 to 1000 printable characters.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until when, such as 2026-12-31; from then on they count again.
    #[arg(long, value_name = "TIME", required_unless_present = "indefinitely", value_parser = seconds)]
    pub until: Option<i64>,
    /// For ever.
    #[arg(long, conflicts_with = "until")]
    pub indefinitely: bool,
}

fn severity(text: &str) -> Result<Severity, String> {
    let known = Severity::ALL.into_iter().find(|severity| severity.name().eq_ignore_ascii_case(text));
    known.ok_or_else(|| format!("found `{text}`; allowed are critical, high, medium and low"))
}
