//! `fleetward replay`: the engine over a recorded stream, as fast as it goes.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use brokers::recorded::RecordedDecoder;
use detector::{
    change::Rules,
    engine::Engine,
    front::Decoders,
    input::{Format, Input, SourceId},
    replay::Replay,
    transition::Transition,
};
use fleet::{
    problem::{Problem, Severity},
    registry::Registry,
    time::Timestamp,
};
use serde::Deserialize;

use super::{Exit, arguments::ReplayArguments, output};
use crate::files;

/// Longest line that is read, bytes; a longer one is refused.
const LINE_BYTES_MAX: usize = 256 << 10;
/// Lines that cannot be read are told for so many; the rest is counted.
const TOLD_MAX: u64 = 20;

/// Runs the replay and prints transitions, one JSON object a line.
///
/// # Errors
/// When the events cannot be read or standard output fails.
pub fn run(arguments: &ReplayArguments) -> anyhow::Result<Exit> {
    let Some((rules, registry)) = definitions(arguments)? else { return Ok(Exit::BadConfiguration) };
    let decoders = Decoders::default().with(Format::Recorded, Box::new(RecordedDecoder::new()));
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = None;
    let mut print = |transition: Transition| {
        if failed.is_none() {
            failed = write_line(&mut out, &transition).err();
        }
    };
    let mut replay = Replay::new(Engine::new(decoders, 1, Vec::new()), &rules, &registry);
    let refused = feed(&arguments.events, &mut replay, &mut print)?;
    let (engine, done) = replay.finish(&mut print);
    if let Some(error) = failed.filter(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        return Err(error).context("cannot write to standard output");
    }
    out.flush()
        .or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
    output::complain(&format!(
        "{} events read, {} folded, {} repeated, {refused} refused; {} transitions, {} violations open at the end",
        done.inputs,
        done.folded,
        done.repeated,
        engine.counts().shards.transitions,
        engine.open_violations(),
    ));
    Ok(Exit::Done)
}

fn definitions(arguments: &ReplayArguments) -> anyhow::Result<Option<(Rules, Registry)>> {
    let mut problems: Vec<Problem> = Vec::new();
    let profiles = files::texts(&arguments.profiles, &mut problems);
    let (_, mut found) = behaviors::profile::parse_files(&profiles);
    problems.append(&mut found);
    let registry =
        arguments.registry.as_deref().map(|path| files::registry(path, &mut problems)).unwrap_or_default();
    for problem in &problems {
        output::complain(&output::printable(&problem.to_string()));
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Ok(None);
    }
    let rules = Rules { bucket_secs: arguments.bucket_secs, profiles, ..Rules::default() };
    Ok(Some((rules, registry)))
}

fn write_line(out: &mut impl Write, transition: &Transition) -> io::Result<()> {
    serde_json::to_writer(&mut *out, transition)?;
    out.write_all(b"\n")
}

/// The one member that replay itself needs: time is that of the recording.
#[derive(Deserialize)]
struct At {
    at: i64,
}

/// Feeds all lines; gives how many could not be read.
fn feed(path: &Path, replay: &mut Replay, print: &mut dyn FnMut(Transition)) -> anyhow::Result<u64> {
    let mut reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Box::new(BufReader::with_capacity(1 << 20, file))
    };
    let (mut line, mut number, mut refused, mut last) = (Vec::new(), 0_u64, 0_u64, None);
    loop {
        line.clear();
        number += 1;
        if read_line(&mut reader, &mut line)? == 0 {
            break;
        }
        let payload = line.trim_ascii();
        if payload.is_empty() {
            continue;
        }
        let mut tell = |message: &str| {
            refused += 1;
            if refused <= TOLD_MAX {
                output::complain(&output::printable(&format!("{}:{number}: {message}", path.display())));
            }
        };
        let arrival = match serde_json::from_slice::<At>(payload) {
            Ok(At { at }) => Timestamp::from_millis(at),
            Err(error) => {
                tell(&format!("{error}"));
                continue;
            }
        };
        last = last.max(Some(arrival));
        let input = Input {
            source: SourceId(1),
            format: Format::Recorded,
            arrival,
            position: 0,
            subject: "".into(),
            payload: payload.into(),
            tag: 0,
        };
        replay.input(&input, print, &mut |refusal| tell(&refusal.message));
    }
    if let Some(last) = last {
        // Windows end only when time goes on: one grid of an hour past the end closes them all.
        replay.tick(last.plus_millis(3_600_000 + i64::from(Rules::LATENESS_MS_MAX)), print);
    }
    Ok(refused)
}

/// A line of at most [`LINE_BYTES_MAX`]; the rest of a longer one is dropped, so that it is refused.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(read);
        }
        let end = chunk.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let used = end.unwrap_or(chunk.len());
        let room = LINE_BYTES_MAX.saturating_sub(line.len()).min(used);
        line.extend_from_slice(chunk.get(..room).unwrap_or_default());
        reader.consume(used);
        read += used;
        if end.is_some() {
            return Ok(read);
        }
    }
}
