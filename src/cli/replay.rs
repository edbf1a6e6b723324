//! `fleetward replay`: the engine over the past, as fast as it goes: over recorded events, or over
//! the journal of a data folder, whether an engine works there or not.

use std::io::{self, BufWriter, Write};

use anyhow::Context as _;
use brokers::recorded::RecordedDecoder;
use detector::{
    change::Rules, engine::Engine, front::Decoders, input::Format, output::Output, transition::Transition,
};
use fleet::{
    problem::{Problem, Severity},
    registry::Registry,
    time::Timestamp,
};
use serde_json::json;

use super::{
    Exit,
    arguments::{ReplayArguments, SelectArguments},
    output,
    past::{self, Place},
};
use crate::{
    files,
    replay::{
        diff,
        fold::{Changes, Fold, Folded},
        records::{Recorded, Records},
        select::{Range, Selection},
        start::{Blank, Since},
        summary,
        violations::{Violation, Violations},
    },
    serve,
};

/// Inputs that cannot be read are told for so many; the rest is counted.
const TOLD_MAX: u64 = 20;

/// Runs the replay and prints transitions, one JSON object a line, or the report that is asked for.
///
/// # Errors
/// When the past cannot be read or standard output fails.
pub fn run(arguments: &ReplayArguments) -> anyhow::Result<Exit> {
    match &arguments.events {
        Some(events) => over_events(arguments, events),
        None => over_journal(arguments),
    }
}

fn over_events(arguments: &ReplayArguments, events: &std::path::Path) -> anyhow::Result<Exit> {
    let Some((rules, registry)) = definitions(arguments)? else { return Ok(Exit::BadConfiguration) };
    let decoders = Decoders::default().with(Format::Recorded, Box::new(RecordedDecoder::new()));
    let fold = Fold::new(Engine::new(decoders, 1, Vec::new()), Changes::default()).with(&rules, &registry);
    let mut records = Recorded::open(events)?;
    report(arguments, fold, &mut records, None, |_| {})
}

fn over_journal(arguments: &ReplayArguments) -> anyhow::Result<Exit> {
    let Some(place) = past::place(arguments.data.as_deref(), arguments.config.as_deref()) else {
        return Ok(Exit::BadConfiguration);
    };
    let profiles = match &arguments.profiles {
        None => None,
        Some(folder) => match read_profiles(folder) {
            Some(profiles) => Some(profiles),
            None => return Ok(Exit::BadConfiguration),
        },
    };
    let blank = if profiles.is_some() { Blank::Allowed } else { Blank::Refused };
    let from = selection(&arguments.select, serve::now()).range.from;
    let (engine, mut records, since) = past::beginning(&place, from, blank)?;
    let mut fold = Fold::new(engine, Changes { profiles: profiles.clone(), ..Changes::default() });
    if let (Since::Nothing(_), Some(profiles)) = (since, profiles) {
        fold = fold.with(&Rules { profiles, ..Rules::default() }, &Registry::default());
    }
    report(arguments, fold, &mut *records, Some(&place), |done| tell_beginning(since, done))
}

pub(super) fn read_profiles(folder: &std::path::Path) -> Option<Vec<(String, String)>> {
    let mut problems: Vec<Problem> = Vec::new();
    let profiles = files::texts(folder, &mut problems);
    let (_, mut found) = behaviors::profile::parse_files(&profiles);
    problems.append(&mut found);
    tell_problems(&problems).then_some(profiles)
}

/// Prints the problems; whether none of them is an error.
fn tell_problems(problems: &[Problem]) -> bool {
    problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
    problems.iter().all(|problem| problem.severity != Severity::Error)
}

fn definitions(arguments: &ReplayArguments) -> anyhow::Result<Option<(Rules, Registry)>> {
    let mut problems: Vec<Problem> = Vec::new();
    let folder = arguments.profiles.as_deref().context("--events needs --profiles")?;
    let Some(profiles) = read_profiles(folder) else { return Ok(None) };
    let registry =
        arguments.registry.as_deref().map(|path| files::registry(path, &mut problems)).unwrap_or_default();
    if !tell_problems(&problems) {
        return Ok(None);
    }
    let bucket_secs = arguments.bucket_secs;
    Ok(Some((Rules { bucket_secs, profiles, ..Rules::default() }, registry)))
}

/// What a journal that lost its beginning cannot say.
pub(super) fn tell_beginning(since: Since, done: &Folded) {
    let first = done.span.map_or_else(|| "now".into(), |(first, _)| first.to_string());
    match since {
        Since::Beginning => {}
        Since::Archive => output::complain(&format!(
            "older records are read from the Parquet history: this replay begins at {first}"
        )),
        Since::Snapshot(seq) => output::complain(&format!(
            "older records are gone: this replay begins at {first} with the state that the snapshot of record {seq} holds"
        )),
        Since::Nothing(seq) => output::complain(&format!(
            "older records are gone and no snapshot covers them: this replay begins at {first} (record {seq}) \
             knowing no session, no registered thing and no earlier violation"
        )),
    }
}

/// The selection of the command line.
#[must_use]
pub fn selection(arguments: &SelectArguments, now: Timestamp) -> Selection {
    Selection {
        range: Range {
            from: arguments.from.map(|from| from.resolve(now)),
            to: arguments.to.map(|to| to.resolve(now)),
        },
        things: arguments.things.iter().cloned().collect(),
        groups: arguments.groups.iter().cloned().collect(),
    }
}

/// Transitions go out as they come, or are kept for a report.
enum Out {
    Lines(BufWriter<io::StdoutLock<'static>>, Option<io::Error>),
    Kept(Violations),
}

impl Out {
    fn take(&mut self, transition: &Transition) {
        match self {
            Self::Kept(violations) => violations.add(transition),
            Self::Lines(out, failed) if failed.is_none() => *failed = write_line(out, transition).err(),
            Self::Lines(..) => {}
        }
    }
}

fn write_line(out: &mut impl Write, transition: &Transition) -> io::Result<()> {
    serde_json::to_writer(&mut *out, transition)?;
    out.write_all(b"\n")
}

fn report(
    arguments: &ReplayArguments,
    mut fold: Fold,
    records: &mut dyn Records,
    place: Option<&Place>,
    tell_beginning: impl Fn(&Folded),
) -> anyhow::Result<Exit> {
    let selection = selection(&arguments.select, serve::now());
    let kept = arguments.summary || arguments.diff;
    let mut out = if kept {
        Out::Kept(Violations::default())
    } else {
        Out::Lines(BufWriter::new(io::stdout().lock()), None)
    };
    let (mut told, mut reported) = (0, 0_u64);
    let mut complain = |message: &str| {
        told += 1;
        if told <= TOLD_MAX {
            output::complain(&output::printable(message));
        }
    };
    // A comparison pairs violations across the edges of the range before it looks at the range.
    let ranged = |transition: &Transition| kept || selection.range.contains(transition.at);
    fold.run(
        records,
        &mut |registry, output| {
            if let Output::Transition(transition) = output
                && selection.wants(registry, &transition.entity)
                && ranged(&transition)
            {
                reported += 1;
                out.take(&transition);
            }
        },
        &mut complain,
    )?;
    tell_beginning(&fold.done());
    records.gaps().iter().for_each(|gap| output::complain(gap));
    match out {
        Out::Lines(mut out, failed) => {
            let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
            let flushed = out.flush();
            if let Some(error) = failed.or(flushed.err()).filter(|error| !closed(error)) {
                return Err(error).context("cannot write to standard output");
            }
        }
        Out::Kept(violations) => summarize(arguments, &fold, violations, &selection, place)?,
    }
    let done = fold.done();
    output::complain(&format!(
        "{} events read, {} folded, {} repeated, {} refused; {reported} transitions, {} violations open at the end",
        done.inputs,
        done.folded,
        done.repeated,
        done.refused,
        fold.engine().open_violations(),
    ));
    Ok(Exit::Done)
}

fn summarize(
    arguments: &ReplayArguments,
    fold: &Fold,
    violations: Violations,
    selection: &Selection,
    place: Option<&Place>,
) -> anyhow::Result<()> {
    if violations.left_out() > 0 {
        output::complain(&format!(
            "{} transitions are left out: there are too many violations; narrow the range",
            violations.left_out()
        ));
    }
    let now = violations.sorted();
    let Some((first, last)) = fold.done().span else { return Ok(output::line("nothing was recorded")?) };
    let from = selection.range.from.map_or(first, |from| from.max(first));
    let to = selection.range.to.map_or(last, |to| to.min(last));
    if arguments.summary {
        let days = to.millis_since(from).max(0) as f64 / 86_400_000.0;
        let inside: Vec<Violation> =
            now.iter().filter(|violation| selection.range.contains(violation.started_at)).cloned().collect();
        let watched = summary::watched(fold.engine(), selection);
        let rows = summary::rows(&inside, &watched, days, to);
        if arguments.json {
            output::line(&json!({"from": from, "to": to, "days": days, "behaviors": rows}).to_string())?;
        } else {
            output::line(&format!("{from} to {to}, {} days\n", summary::rate(days)))?;
            output::line(&summary::table(&rows))?;
        }
    }
    if arguments.diff {
        if arguments.summary && !arguments.json {
            output::line("")?;
        }
        let place = place.context("--diff needs --data or --config")?;
        let registry = fold.engine().front().registry();
        let mut then = Violations::default();
        let known = past::raised(place)?;
        known.iter().filter(|one| selection.wants(registry, &one.entity)).for_each(|one| then.add(one));
        // What neither side could have raised is no difference: before the journal begins, after it ends.
        let range = Range { from: Some(from), to: Some(to) };
        let pairs = diff::compare(then.sorted(), now, &range);
        if arguments.json {
            pairs.iter().try_for_each(|pair| output::line(&pair.as_json().to_string()))?;
        } else {
            output::line(&diff::table(&pairs))?;
        }
    }
    Ok(())
}
