//! `fleetward lens`: a review against the IoT Lens, from evidence and a review file.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use audits::lens::{
    difference, evaluate, evidence::Evidence, findings, practice, report, review, review_file,
    stream::Observer, template,
};
use fleet::{
    problem::{Problem, Severity},
    time::Timestamp,
};

pub mod arguments;

use self::arguments::{
    EvidenceArguments, ExplainLensArguments, FailOn, Form, LensArguments, LensCommand, ListLensArguments,
    OutputArguments, ReviewArguments, TemplateArguments,
};
use super::{Exit, check, client::Client, output};
use crate::{
    config::settings::Settings,
    explain::events::Decoders,
    files::Definitions,
    files::text_at_most,
    lens::{configuration, events, registry, running},
    serve,
};

/// Longest file of findings that is read; a million of them have about 600 MB.
const FINDINGS_BYTES_MAX: u64 = 1 << 30;
/// Longest file of another kind that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why a command ends early, after its problems were told.
enum Stop {
    /// What a person wrote is wrong.
    Refused,
    /// Something failed.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or written.
pub fn run(arguments: &LensArguments) -> anyhow::Result<Exit> {
    let now = serve::now();
    let done = match &arguments.command {
        LensCommand::Review(arguments) => reviewed(arguments, now),
        LensCommand::Template(arguments) => written(arguments, now),
        LensCommand::Evidence(arguments) => shown(arguments, now),
        LensCommand::List(arguments) => list(arguments).map_err(Stop::from),
        LensCommand::Explain(arguments) => explain(arguments).map_err(Stop::from),
    };
    match done {
        Ok(exit) => Ok(exit),
        Err(Stop::Refused) => Ok(Exit::BadConfiguration),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn reviewed(arguments: &ReviewArguments, now: Timestamp) -> Result<Exit, Stop> {
    let day = day(now);
    let file = arguments.review.as_deref().map(|path| review_of(path, &day)).transpose()?;
    let previous = arguments.previous.as_deref().map(previous).transpose()?;
    let (evidence, mut sources) = gather(&arguments.evidence, now)?;
    sources.extend(arguments.review.iter().map(|path| path.display().to_string()));
    let (workload, answers) = match file {
        Some(file) => (Some(file.workload), file.answers),
        None => (None, std::collections::BTreeMap::new()),
    };
    let items = review::join(evaluate::evaluate_all(&evidence), answers)
        .map_err(|unknown| anyhow::anyhow!("no best practice has the id `{}`", unknown.join("`, `")))?;
    let difference = previous.map(|previous| previous.compare(&items));
    let review = review::Review { day, workload, sources, items, difference };
    let text = match arguments.format {
        Form::Markdown => report::markdown(&review),
        Form::Html => report::html(&review),
        Form::Json => report::json(&review),
    };
    put(&arguments.output, &text)?;
    let counts = review::Counts::of(&review.items);
    output::complain(&format!(
        "{} not met, {} unanswered, {} met, {} not applicable",
        counts.not_met, counts.unanswered, counts.met, counts.not_applicable
    ));
    let failing = arguments.fail_on.map_or(0, |least| review.failing(least.priority()).count());
    if failing == 0 {
        return Ok(Exit::Done);
    }
    output::complain(&format!("{failing} of those not met are of the priority that fails (--fail-on)"));
    Ok(Exit::Findings)
}

fn written(arguments: &TemplateArguments, now: Timestamp) -> Result<Exit, Stop> {
    let existing = match &arguments.from {
        None => None,
        Some(path) => {
            let (text, name) = (text(path, FILE_BYTES_MAX)?, path.display().to_string());
            let (draft, problems) = review_file::draft(&name, &text, &day(now));
            tell(&problems);
            Some(draft.ok_or(Stop::Refused)?)
        }
    };
    put(&arguments.output, &template::template(existing.as_ref()))?;
    Ok(Exit::Done)
}

fn shown(arguments: &arguments::ShowArguments, now: Timestamp) -> Result<Exit, Stop> {
    let (evidence, _) = gather(&arguments.evidence, now)?;
    let mut text = serde_json::to_string_pretty(&evidence.to_json())?;
    text.push('\n');
    put(&arguments.output, &text)?;
    Ok(Exit::Done)
}

fn list(arguments: &ListLensArguments) -> io::Result<Exit> {
    if arguments.json {
        for row in practice::PRACTICES {
            let json = serde_json::json!({
                "id": row.id, "pillar": row.pillar.name(), "question": row.question,
                "priority": row.priority.name(), "how": row.how.name(), "title": row.title,
            });
            output::line(&json.to_string())?;
        }
        return Ok(Exit::Done);
    }
    let row = |row: &practice::Practice| {
        [row.id, row.pillar.name(), row.priority.name(), row.how.name(), row.title]
            .map(ToOwned::to_owned)
            .to_vec()
    };
    let rows: Vec<Vec<String>> = practice::PRACTICES.iter().map(row).collect();
    output::line(&output::table(&["ID", "PILLAR", "PRIORITY", "DECIDED", "BEST PRACTICE"], &rows))?;
    Ok(Exit::Done)
}

fn explain(arguments: &ExplainLensArguments) -> io::Result<Exit> {
    let Some(text) = report::explain(&arguments.id) else {
        let id = output::printable(&arguments.id);
        output::complain(&format!("no best practice has the id `{id}`; `fleetward lens list` shows them"));
        return Ok(Exit::BadConfiguration);
    };
    output::line(&text)?;
    Ok(Exit::Done)
}

/// Evidence of everything that the command line names, and what was read.
fn gather(arguments: &EvidenceArguments, now: Timestamp) -> Result<(Evidence, Vec<String>), Stop> {
    let mut evidence = Evidence::default();
    let mut sources = Vec::new();
    let configured = arguments.config.as_deref().map(configuration_of).transpose()?;
    if let Some((settings, definitions)) = &configured {
        let path = arguments.config.as_deref().unwrap_or(Path::new(""));
        evidence.configuration = configuration::evidence(path, settings, definitions);
        sources.push(path.display().to_string());
        if let Some(path) = &settings.registry {
            evidence.registry = registry::evidence(path, &definitions.registry);
            sources.push(path.display().to_string());
        }
    }
    let configured = configured.as_ref();
    if let Some(seen) = stream(arguments, configured, now)? {
        sources.push(format!(
            "{} ({} records)",
            seen.stream.place.as_deref().unwrap_or_default(),
            seen.records
        ));
        if seen.refused > 0 {
            output::complain(&format!("{} lines are no events", seen.refused));
        }
        evidence.stream = seen.stream;
    }
    if let Some((settings, _)) = configured
        && !arguments.no_running
        && let Some(running) = ask(settings, now)?
    {
        sources.extend(running.place.clone());
        evidence.running = running;
    }
    for path in &arguments.audit {
        let (name, text) = (path.display().to_string(), text(path, FINDINGS_BYTES_MAX)?);
        let audit = findings::read(&name, &text).map_err(|problem| refuse(&[problem]))?;
        evidence = evidence.with(&Evidence { audit, ..Evidence::default() })?;
        sources.push(name);
    }
    for path in &arguments.evidence {
        evidence = evidence.with(&evidence_of(path)?)?;
        sources.push(path.display().to_string());
    }
    Ok((evidence, sources))
}

fn configuration_of(path: &Path) -> Result<(Settings, Definitions), Stop> {
    let checked = check::read(path, &serve::environment);
    tell(&checked.problems);
    checked.usable.ok_or(Stop::Refused)
}

fn evidence_of(path: &Path) -> Result<Evidence, Stop> {
    let text = text(path, FILE_BYTES_MAX)?;
    Evidence::from_json(&text).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
        refuse(&[Problem {
            severity: Severity::Error,
            file: path.display().to_string(),
            line: error.line().max(1),
            column: error.column().max(1),
            place: String::new(),
            message: message.to_owned(),
        }])
    })
}

/// What devices did, from the file or folder that is named, else from the journal of the configuration.
fn stream(
    arguments: &EvidenceArguments,
    configured: Option<&(Settings, Definitions)>,
    now: Timestamp,
) -> anyhow::Result<Option<events::Seen>> {
    let logs = configured.map_or(&[][..], |(settings, _)| &settings.mosquitto_log);
    let decoders = Decoders::new(serve::log_decoder(logs));
    let own = configured.map(|(settings, _)| {
        let sources = settings.mqtt.iter().map(|source| source.settings.connection.client_id.clone());
        let control = settings.control.iter().map(|control| control.connection.client_id.clone());
        sources.chain(control).collect::<BTreeSet<String>>()
    });
    let registered = configured.map(|(_, definitions)| {
        definitions.registry.things.keys().map(ToString::to_string).collect::<BTreeSet<String>>()
    });
    let observer = Observer::new(own.unwrap_or_default(), registered.unwrap_or_default());
    let from = arguments.from.map(|from| from.resolve(now));
    if let Some(path) = &arguments.events {
        return events::of_file(path, decoders, observer, from).map(Some);
    }
    let data =
        arguments.data.as_deref().or_else(|| configured.map(|(settings, _)| settings.data_dir.as_path()));
    let Some(data) = data else { return Ok(None) };
    let seen = events::of_journal(data, decoders, observer, from)?;
    if seen.is_none() {
        output::complain(&format!(
            "`{}` has no journal; nothing is known of what devices did",
            data.display()
        ));
    }
    Ok(seen)
}

/// The Fleetward that runs with these settings; nothing if none answers, which is told.
fn ask(settings: &Settings, now: Timestamp) -> anyhow::Result<Option<audits::lens::evidence::Running>> {
    let answer = Client::new(settings).and_then(|client| {
        let place = settings.api.listen.map_or_else(String::new, |listen| format!("http://{listen}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(running::ask(&client, place, now))
    });
    match answer {
        Ok(running) => Ok(Some(running)),
        Err(error) => {
            output::complain(&format!("no running Fleetward is asked: {error:#}"));
            Ok(None)
        }
    }
}

fn review_of(path: &Path, day: &str) -> Result<review_file::ReviewFile, Stop> {
    let text = text(path, FILE_BYTES_MAX)?;
    let (file, problems) = review_file::parse(&path.display().to_string(), &text, day);
    tell(&problems);
    file.ok_or(Stop::Refused)
}

fn previous(path: &Path) -> Result<difference::Previous, Stop> {
    let (name, text) = (path.display().to_string(), text(path, FILE_BYTES_MAX)?);
    difference::read(&name, &text)
        .map_err(|message| refuse(&[Problem::error_at(&name, &text, 0, "", message)]))
}

fn text(path: &Path, bytes_max: u64) -> anyhow::Result<String> {
    text_at_most(path, bytes_max).with_context(|| format!("cannot read `{}`", path.display()))
}

fn tell(problems: &[Problem]) {
    problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
}

fn refuse(problems: &[Problem]) -> Stop {
    tell(problems);
    Stop::Refused
}

/// Writes to the file that is named, else to standard output.
fn put(arguments: &OutputArguments, text: &str) -> anyhow::Result<()> {
    let Some(path) = &arguments.output else { return Ok(output::bytes(text.as_bytes())?) };
    if path.exists() && !arguments.force {
        anyhow::bail!("`{}` is there already; --force writes over it", path.display());
    }
    write_whole(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Beside the file first, so that a file that is written over is whole at every moment.
fn write_whole(path: &PathBuf, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Like any file that a program writes: the umask decides who may read it.
    let permissions = fs::Permissions::from_mode(0o666);
    let mut beside = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
    io::Write::write_all(&mut beside, text.as_bytes())?;
    beside.persist(path)?;
    Ok(())
}

/// The day of a time, UTC.
fn day(now: Timestamp) -> String {
    now.to_string().chars().take(10).collect()
}

impl FailOn {
    const fn priority(self) -> practice::Priority {
        match self {
            Self::High => practice::Priority::Required,
            Self::Medium => practice::Priority::HighlyRecommended,
            Self::Low => practice::Priority::Recommended,
        }
    }
}
