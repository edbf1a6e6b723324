//! Commands and options, with the help that teaches them.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use api::aws::allow::Role;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use detector::verification::{Verification, VerificationState};
use fleet::{
    ids::{GroupName, ProfileName},
    time::Timestamp,
};
use ipnet::IpNet;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::lens::arguments::LensArguments;
use crate::replay::select::{Moment, moment};

/// Device security anomaly detection and audit beside any MQTT broker.
#[derive(Debug, Parser)]
#[command(
    name = "fleetward",
    version,
    max_term_width = 100,
    after_help = "Start here:\n  \
        fleetward demo                         see it catch and quarantine devices, nothing to set up\n  \
        fleetward check --config fleetward.toml\n  \
        fleetward serve --config fleetward.toml\n\n\
        Exit codes: 0 done, 1 failure, 2 wrong command line or configuration, 3 findings (check --strict)."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the sidecar: watch the sources, judge, alert and, if switched on, act.
    #[command(
        after_help = "SIGTERM and SIGINT stop it in order: sources first, then what is in flight, then a \
        snapshot. SIGHUP reads profiles, actions and registry again; if they have an error the old ones stay."
    )]
    Serve(ConfigArguments),
    /// Check configuration, profiles and mitigation actions without starting anything.
    #[command(after_help = "Every problem is printed as FILE:LINE:COLUMN: error|warning: PLACE: MESSAGE.")]
    Check(CheckArguments),
    /// See the main job with nothing set up: a broker, 1,000 devices and the engine in this process.
    #[command(after_help = "Everything listens on loopback only and is gone at the end.\n\
        fleetward demo --for 40s --json --seed 7 prints one JSON object a line, for scripts.")]
    Demo(DemoArguments),
    /// Run the engine over the past at full speed: over recorded events or the journal of a data folder.
    #[command(
        after_help = "Prints transitions as JSON lines; the same input gives the same output, to the byte.\n\n\
        fleetward replay --config fleetward.toml --from 7d --summary\n\
        fleetward replay --config fleetward.toml --profiles new-profiles --from 7d --diff\n\
        fleetward replay --data /backup/fleetward --thing pump-17\n\
        fleetward replay --events events.jsonl --profiles profiles\n\n\
        The journal is read while an engine runs, too; nothing is changed and no lock is taken. What came\n\
        before --from is folded and not reported. What the journal has let go comes from the Parquet history, if\n\
        there is one, from 30 days before --from."
    )]
    Replay(ReplayArguments),
    /// Check how the fleet is configured: certificates, policies, access lists, brokers.
    #[command(after_help = "fleetward audit run --offline /etc/mosquitto\n\n\
        Exit codes of its commands: 0 done, 1 findings, 2 an error.")]
    Audit(super::audit::arguments::AuditArguments),
    /// List, check and convert the public data sets that the engine is tried on.
    #[command(
        after_help = "The data themselves are not part of this program. DIR has a folder for each set."
    )]
    Datasets(DatasetsArguments),
    /// Run the attacks of the public captures against security profiles and print who caught what.
    #[command(after_help = "The same data sets and profiles give the same tables, to the byte.")]
    Stories(StoriesArguments),
    /// Learn a security profile from what devices did, or make one of a MUD file.
    #[command(
        after_help = "The profile goes to standard output and the report to standard error; with --out the profile goes\n\
        to the file and the report to standard output.\n\n\
        fleetward suggest --config fleetward.toml --from 14d --out profiles/usual.json\n\
        fleetward suggest --from-mud bulb.json --address cloud.example.com=203.0.113.0/24\n\n\
        Exit codes: 3 if nothing can be suggested, or the MUD file names peers without addresses."
    )]
    Suggest(SuggestArguments),
    /// Show what led to an alarm: expected, seen, the values around it, events, earlier alarms, answers.
    #[command(
        after_help = "ALARM is the id of a violation or a transition, or the beginning of one, at least 4 digits.\n\
        The running Fleetward is asked for what it stored; the journal is read from its files."
    )]
    Explain(ExplainArguments),
    /// Show what a running Fleetward sees and where it is blind.
    Status(ConfigArguments),
    /// List the active alarms of a running Fleetward, or say what you found out about one.
    #[command(after_help = "fleetward alarms --verification UNKNOWN\n\
        fleetward alarms verify fd4f0ba6 FALSE_POSITIVE --note \"firmware update of May\"")]
    Alarms(AlarmsArguments),
    /// List the mitigation tasks of a running Fleetward.
    Tasks(ListArguments),
    /// Show the values of a metric of a thing over time.
    #[command(after_help = "From the running Fleetward; if none runs, from its history folder.\n\
        fleetward history pump-17 aws:num-messages-sent --from 7d")]
    History(HistoryArguments),
    /// Review the installation against the IoT Lens, from evidence and answers.
    Lens(LensArguments),
    /// Undo a mitigation task: give the device back what it had.
    Undo(UndoArguments),
    /// Add, list and remove users of the control plane, which speaks the API of AWS IoT Device Defender.
    #[command(after_help = "fleetward user add ann --role responder\n\n\
        viewer sees everything that is no secret; responder also answers alarms and findings; administrator may all.\n\
        A running Fleetward heeds a change at the next request. docs/api.md says how to point tools at it.")]
    User(UserArguments),
    /// Show what the control plane offers.
    Api(ApiArguments),
    /// Prove that the records of responses and of changes over the API are unbroken.
    VerifyLog(ConfigArguments),
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// `user`
#[derive(Debug, Args)]
pub struct UserArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// Commands of `user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user and print its access key, secret and token, once.
    Add {
        /// Its name.
        name: String,
        /// What it may do: viewer, responder or administrator.
        #[arg(long, value_parser = role)]
        role: Role,
        /// The configuration file.
        #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
        config: PathBuf,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List users, without secrets.
    List {
        /// The configuration file.
        #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
        config: PathBuf,
        /// Print a JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Remove a user; its keys are refused from then on.
    Remove {
        /// Its name.
        name: String,
        /// The configuration file.
        #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
        config: PathBuf,
    },
}

fn role(text: &str) -> Result<Role, String> {
    text.parse()
}

/// `api`
#[derive(Debug, Args)]
pub struct ApiArguments {
    /// What to show.
    #[command(subcommand)]
    pub command: ApiCommand,
}

/// Commands of `api`.
#[derive(Debug, Subcommand)]
pub enum ApiCommand {
    /// List every operation, whether it is backed, and the least role that may call it.
    Operations {
        /// Print a JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// A command that needs the configuration.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
    pub config: PathBuf,
}

/// `check`
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
    pub config: PathBuf,
    /// Exit with 3 if there is any warning.
    #[arg(long)]
    pub strict: bool,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How long to run, such as 40s or 2m; without it until `q` or Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Print one JSON object a line instead of the live view.
    #[arg(long)]
    pub json: bool,
    /// The same seed tells the same story.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many devices.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(20..=20_000))]
    pub devices: u32,
    /// How much faster than the wall clock the fleet lives.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub speed: u32,
}

/// `replay`
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// Recorded events, one JSON object a line; `-` is standard input. Needs --profiles.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["data", "config"],
        conflicts_with_all = ["data", "config", "diff"], requires = "profiles")]
    pub events: Option<PathBuf>,
    /// Data folder whose journal is replayed.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration: names the data folder, the zones of logs, and where the running engine answers.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of security profiles; with a journal they take the place of its own from the start.
    #[arg(long, value_name = "DIR")]
    pub profiles: Option<PathBuf>,
    /// JSON file of registered things and groups, for recorded events; a journal has its own.
    #[arg(long, value_name = "FILE", requires = "events")]
    pub registry: Option<PathBuf>,
    /// Width of the datapoint grid for metrics without durationSeconds, for recorded events.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub bucket_secs: u32,
    /// What is reported.
    #[command(flatten)]
    pub select: SelectArguments,
    /// Print a table of alarms by behavior instead of transitions.
    #[arg(long)]
    pub summary: bool,
    /// Print the difference against what was really raised instead of transitions.
    #[arg(long)]
    pub diff: bool,
    /// Print the summary or the difference as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `suggest`
#[derive(Debug, Args)]
pub struct SuggestArguments {
    /// A MUD file (RFC 8520) instead of the past.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "data", "config", "profiles", "window_secs",
        "metrics", "with_alarms", "target", "from", "to", "things"])]
    pub from_mud: Option<PathBuf>,
    /// What a name of the MUD file stands for, such as cloud.example.com=203.0.113.0/24 or
    /// local-networks=10.0.0.0/8; may be given several times.
    #[arg(long = "address", value_name = "NAME=NETWORK", value_parser = named_network, requires = "from_mud")]
    pub addresses: Vec<(String, IpNet)>,
    /// Recorded events, one JSON object a line; `-` is standard input.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["data", "config", "from_mud"],
        conflicts_with_all = ["data", "config"])]
    pub events: Option<PathBuf>,
    /// Data folder whose journal is learnt from.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration: names the data folder and the zones of logs.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of security profiles for recorded events: what they would alarm is left out.
    #[arg(long, value_name = "DIR", requires = "events")]
    pub profiles: Option<PathBuf>,
    /// JSON file of registered things and groups, for recorded events; a journal has its own.
    #[arg(long, value_name = "FILE", requires = "events")]
    pub registry: Option<PathBuf>,
    /// What is learnt from.
    #[command(flatten)]
    pub select: SelectArguments,
    /// Windows of the suggested behaviors: 1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800 or 3600.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = window)]
    pub window_secs: u32,
    /// False alarms by device and month that each behavior may raise.
    #[arg(long, value_name = "RATE", default_value_t = 0.1, value_parser = false_alarms)]
    pub target: f64,
    /// Learn this custom number, too; may be given several times.
    #[arg(long = "metric", value_name = "NAME")]
    pub metrics: Vec<String>,
    /// Also learn from what devices did while they were in alarm.
    #[arg(long)]
    pub with_alarms: bool,
    /// Name of the profile.
    #[arg(long, value_name = "NAME")]
    pub name: Option<ProfileName>,
    /// Write the profile to this file.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The alarm, as `fleetward alarms --json` names it, or the beginning of its id.
    pub alarm: String,
    /// The configuration file of the running Fleetward.
    #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
    pub config: PathBuf,
    /// A data folder that no Fleetward uses, instead.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub data: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Columns of the chart; without it those of the terminal.
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..=400))]
    pub width: Option<u16>,
    /// Draw with plain ASCII characters.
    #[arg(long)]
    pub ascii: bool,
    /// Events shown at most, the latest.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub events: u16,
}

/// A time range, things, groups.
#[derive(Debug, Args)]
pub struct SelectArguments {
    /// From then on, such as 2026-03-01T12:00:00Z, 2026-03-01, or 24h (ago).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<Moment>,
    /// Until then; written as --from.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<Moment>,
    /// Only this thing, or source address; may be given several times.
    #[arg(long = "thing", value_name = "NAME")]
    pub things: Vec<String>,
    /// Only members of this thing group; may be given several times.
    #[arg(long = "group", value_name = "NAME")]
    pub groups: Vec<GroupName>,
}

/// `datasets`
#[derive(Debug, Args)]
pub struct DatasetsArguments {
    /// Folder of the data sets; without it the one that FLEETWARD_DATASETS names.
    #[arg(long, value_name = "DIR", global = true)]
    pub datasets: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: DatasetsCommand,
}

/// The commands of `datasets`.
#[derive(Debug, Subcommand)]
pub enum DatasetsCommand {
    /// List the data sets that are known.
    List(ListSetsArguments),
    /// Say what a data set is, and check its files against the check sums of the catalogue.
    #[command(after_help = "Exit code 3 if a file is missing or damaged.")]
    Describe(DescribeArguments),
    /// Write a capture as recorded events, one JSON object a line, for `fleetward replay --events`.
    Convert(ConvertArguments),
}

/// `datasets list`
#[derive(Debug, Args)]
pub struct ListSetsArguments {
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `datasets describe`
#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// The data set.
    pub name: String,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `datasets convert`
#[derive(Debug, Args)]
pub struct ConvertArguments {
    /// The data set, or SET/CAPTURE where it has several captures.
    pub name: String,
    /// The file to write; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// `stories`
#[derive(Debug, Args)]
pub struct StoriesArguments {
    /// Folder of security profiles; without it the starter profiles.
    #[arg(long, value_name = "DIR")]
    pub profiles: Option<PathBuf>,
    /// Folder of the data sets; without it the one that FLEETWARD_DATASETS names.
    #[arg(long, value_name = "DIR")]
    pub datasets: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// A listing.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// The configuration file of the running Fleetward.
    #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
    pub config: PathBuf,
    /// Rows at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `history`
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Name of the thing.
    pub thing: String,
    /// Metric, such as aws:num-messages-sent.
    pub metric: String,
    /// First moment: 2026-01-31T12:00:00Z, or how long ago, such as 90m, 24h or 7d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = when)]
    pub from: When,
    /// Moment that is too late; without it the last value is the end.
    #[arg(long, value_name = "TIME", value_parser = when)]
    pub to: Option<When>,
    /// The dimension that narrows the metric; !NAME where it is negated.
    #[arg(long, value_name = "NAME")]
    pub dimension: Option<String>,
    /// How a window's observations became its value, such as sum, max or last; any, if not given.
    #[arg(long, value_name = "WORD")]
    pub aggregate: Option<String>,
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
    pub config: PathBuf,
    /// Values at most.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Print JSON lines instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This one.
    At(Timestamp),
    /// So many milliseconds before now.
    Ago(i64),
}

/// `alarms`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AlarmsArguments {
    /// Instead of listing.
    #[command(subcommand)]
    pub command: Option<AlarmsCommand>,
    /// What every listing takes.
    #[command(flatten)]
    pub list: ListArguments,
    /// List incidents instead: alarms with one cause, newest first, those that are over too.
    #[arg(long)]
    pub incidents: bool,
    /// Only alarms in this verification state: FALSE_POSITIVE, BENIGN_POSITIVE, TRUE_POSITIVE or UNKNOWN.
    #[arg(long, value_name = "STATE", value_parser = verification, conflicts_with = "incidents")]
    pub verification: Option<VerificationState>,
}

/// The commands of `alarms`.
#[derive(Debug, Subcommand)]
pub enum AlarmsCommand {
    /// Say what you found out about a violation; it stays said when the violation ends.
    Verify(VerifyArguments),
}

/// `alarms verify`
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The violation, active or over: its id or that of one of its transitions, or at least 4 digits of it.
    pub violation: String,
    /// FALSE_POSITIVE (nothing was wrong), BENIGN_POSITIVE (it happened and was harmless), TRUE_POSITIVE or
    /// UNKNOWN, which with no note takes it back.
    #[arg(value_parser = verification)]
    pub state: VerificationState,
    /// In words: at most 1000 characters, no control characters.
    #[arg(long, value_name = "TEXT", value_parser = note)]
    pub note: Option<String>,
    /// The configuration file of the running Fleetward.
    #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
    pub config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `undo`
#[derive(Debug, Args)]
pub struct UndoArguments {
    /// The task, as `fleetward tasks` names it.
    pub task: String,
    /// The configuration file of the running Fleetward.
    #[arg(short, long, value_name = "FILE", default_value = "fleetward.toml")]
    pub config: PathBuf,
}

/// A verification state, as the AWS API names it.
fn verification(text: &str) -> Result<VerificationState, String> {
    let made = Verification::new(text, None).map_err(|error| error.to_string())?;
    Ok(made.verification_state)
}

/// A description of a verification.
fn note(text: &str) -> Result<String, String> {
    let state = VerificationState::default().name();
    Verification::new(state, Some(text)).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// A moment such as `2026-01-31T12:00:00Z`, or how long ago: `90m`, `24h`, `7d`.
fn when(text: &str) -> Result<When, String> {
    if text.contains(':') {
        let at = OffsetDateTime::parse(text, &Rfc3339);
        let at = at.map_err(|error| format!("found `{text}`; expected 2026-01-31T12:00:00Z ({error})"))?;
        let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
        return i64::try_from(millis)
            .map(|millis| When::At(Timestamp::from_millis(millis)))
            .map_err(|_| format!("`{text}` is out of range"));
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let ago = match days {
        Some(days) => Duration::from_secs(u64::from(days) * 86_400),
        None => duration(text)?,
    };
    i64::try_from(ago.as_millis()).map(When::Ago).map_err(|_| format!("`{text}` is too long"))
}

/// A name and a network, or an address, which is a network of one.
fn named_network(text: &str) -> Result<(String, IpNet), String> {
    let wrong = || format!("found `{text}`; expected NAME=NETWORK, such as cloud.example.com=203.0.113.0/24");
    let (name, network) = text.rsplit_once('=').ok_or_else(wrong)?;
    let network = network.parse().ok().or_else(|| network.parse::<IpAddr>().ok().map(IpNet::from));
    let network = network.filter(|_| !name.is_empty()).ok_or_else(wrong)?;
    Ok((name.to_owned(), network.trunc()))
}

/// A length of windows that a behavior can have.
fn window(text: &str) -> Result<u32, String> {
    const ALLOWED: [u32; 12] = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
    text.parse().ok().filter(|secs| ALLOWED.contains(secs)).ok_or_else(|| {
        let allowed: Vec<String> = ALLOWED.iter().map(ToString::to_string).collect();
        format!("found `{text}`; allowed are {}", allowed.join(", "))
    })
}

fn false_alarms(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.000_1..=1000.0).contains(rate));
    rate.ok_or_else(|| format!("found `{text}`; allowed are 0.0001 to 1000 by device and month"))
}

/// A duration such as `40s`, `2m`, `1h`, `500ms`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("found `{text}`; expected a number and a unit, such as 40s, 2m or 1h"))?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("found the unit `{unit}`; allowed are ms, s, m and h")),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn moments() {
        let cases = [
            ("7d", When::Ago(604_800_000)),
            ("90m", When::Ago(5_400_000)),
            ("0s", When::Ago(0)),
            ("2026-01-01T00:00:00Z", When::At(Timestamp::from_millis(1_767_225_600_000))),
            ("2026-01-01T01:00:00.5+01:00", When::At(Timestamp::from_millis(1_767_225_600_500))),
        ];
        for (text, moment) in cases {
            assert_eq!(when(text), Ok(moment), "{text}");
        }
        for bad in ["", "yesterday", "-7d", "2026-01-01", "2026-13-01T00:00:00Z", "25:00"] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        let cases = [("40s", 40_000), ("2m", 120_000), ("1h", 3_600_000), ("500ms", 500), ("7", 7_000)];
        for (text, millis) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "1d", "-1s", "1.5s", "99999999999999999999h", "9999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
