//! Commands and options of `fleetward lens`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::replay::select::{Moment, moment};

/// `lens`
#[derive(Debug, Args)]
pub struct LensArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: LensCommand,
}

/// The commands of `lens`.
#[derive(Debug, Subcommand)]
pub enum LensCommand {
    /// Judge all 71 best practices from evidence and a review file, and write a report.
    #[command(
        after_help = "fleetward lens review --config fleetward.toml --audit audit.json --review review.toml\n\
        fleetward lens review --config fleetward.toml --format json --output now.json --previous last.json\n\n\
        What no evidence decides and nobody answered is unanswered; it never counts as met.\n\
        Exit codes: 2 if a file is wrong, 3 if --fail-on finds something."
    )]
    Review(ReviewArguments),
    /// Write a review file to be filled in, with every question and best practice as comments.
    Template(TemplateArguments),
    /// Print what is known, as JSON: all that the evaluators see.
    Evidence(ShowArguments),
    /// List the best practices.
    List(ListLensArguments),
    /// Say what a best practice asks for, and how it is judged.
    Explain(ExplainLensArguments),
}

/// Where evidence comes from.
#[derive(Debug, Args)]
pub struct EvidenceArguments {
    /// Configuration: its profiles, actions and registry, the journal of its data folder, and the Fleetward
    /// that runs with it.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Findings of an audit, JSON: an array, or an object with `findings` or `checks`; may be given several
    /// times. Only `checks` tells that a check ran and found nothing.
    #[arg(long, value_name = "FILE")]
    pub audit: Vec<PathBuf>,
    /// Recorded events instead of the journal, one JSON object a line; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub events: Option<PathBuf>,
    /// Data folder whose journal is read instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Count events from then on, such as 2026-03-01T12:00:00Z, 2026-03-01, or 7d (ago).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<Moment>,
    /// Evidence as `fleetward lens evidence` prints it, put over what was found; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub evidence: Vec<PathBuf>,
    /// Do not ask the running Fleetward.
    #[arg(long)]
    pub no_running: bool,
}

/// Where the output goes.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over a file that is there.
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// `lens review`
#[derive(Debug, Args)]
pub struct ReviewArguments {
    /// The review file: workload and answers; `fleetward lens template` writes one.
    #[arg(short, long, value_name = "FILE")]
    pub review: Option<PathBuf>,
    /// Evidence.
    #[command(flatten)]
    pub evidence: EvidenceArguments,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t = Form::Markdown)]
    pub format: Form,
    /// Where the report goes.
    #[command(flatten)]
    pub output: OutputArguments,
    /// A report in JSON of before: the report shows what changed.
    #[arg(long, value_name = "FILE")]
    pub previous: Option<PathBuf>,
    /// Exit with 3 if a practice of this priority or a higher one is not met: high is Required, medium Highly
    /// Recommended, low Recommended. Pillars that the review file leaves out fail nothing.
    #[arg(long, value_enum, value_name = "PRIORITY")]
    pub fail_on: Option<FailOn>,
}

/// `lens template`
#[derive(Debug, Args)]
pub struct TemplateArguments {
    /// Keep workload and answers of this review file.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Where the template goes.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `lens evidence`
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Evidence.
    #[command(flatten)]
    pub evidence: EvidenceArguments,
    /// Where it goes.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `lens list`
#[derive(Debug, Args)]
pub struct ListLensArguments {
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}

/// `lens explain`
#[derive(Debug, Args)]
pub struct ExplainLensArguments {
    /// Id of the best practice, such as 11.4.
    pub id: String,
}

/// Form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Markdown.
    Markdown,
    /// One page of HTML.
    Html,
    /// JSON.
    Json,
}

/// The least priority that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Required.
    High,
    /// Highly recommended.
    Medium,
    /// Recommended.
    Low,
}
