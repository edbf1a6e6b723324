//! The ten rules over the stream of reports that other engines are compared by.
//!
//! `cargo bench --bench rules -- [--reports FILE] [--loops N] [--journal]`
//!
//! Each report goes through what production does: duplicates are looked for, JSON is decoded and
//! checked, ten behaviors are judged, alarms begin and end. With `--journal` each is also written
//! to a journal on disk, synced every 4,096 reports. A loop is the stream once more, 50 x 300 s
//! later and with the report numbers of then, which are set while the clock stands: the very same
//! bytes again would be taken for a repeated delivery.

use std::time::{Duration, Instant};

use detector::{
    engine::Engine,
    input::{Format, SourceId},
    journal::{Entry, Journal, Kind, SEGMENT_BYTES},
};
use fleet::time::Timestamp;
use rustix::time::ClockId;

mod support;
use support::{cpu, reports, reports::Report, rules};

/// Reports between two flushes, and two commits.
const STEP: usize = 4_096;

struct Arguments {
    reports: Option<String>,
    loops: usize,
    journal: bool,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments { reports: None, loops: 16, journal: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--reports" => parsed.reports = words.next(),
            "--loops" => parsed.loops = words.next().and_then(|word| word.parse().ok()).unwrap_or(16),
            "--journal" => parsed.journal = true,
            _ => {}
        }
    }
    parsed
}

#[expect(clippy::print_stdout, reason = "a program that prints its figures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments();
    let mut stream = arguments.reports.as_deref().map_or_else(|| Ok(reports::stream()), reports::read)?;
    let folder = tempfile::tempdir()?;
    let mut journal = match arguments.journal {
        true => Some(Journal::open(folder.path(), SEGMENT_BYTES)?.0),
        false => None,
    };
    let mut engine = rules::of_reports();
    let (mut wall, mut used) = (Duration::ZERO, Duration::ZERO);
    let mut transitions = 0_u64;
    for round in 0..arguments.loops {
        let (began, before) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
        one_loop(&stream, round, &mut engine, journal.as_mut(), &mut transitions)?;
        wall += began.elapsed();
        used += cpu(ClockId::ProcessCPUTime).saturating_sub(before);
        reports::later(&mut stream, reports::ROUNDS);
    }
    let (reports, wall, used) = (stream.len() * arguments.loops, wall.as_secs_f64(), used.as_secs_f64());
    assert_eq!(engine.counts().front.duplicates, 0, "no report counts as a repeated one");
    let name = if arguments.journal { "fleetward journal=1" } else { "fleetward" };
    println!(
        "{name} reports={reports} transitions={transitions} wall={wall:.3} cpu={used:.3} reports_per_s={:.0} reports_per_cpu_s={:.0}",
        reports as f64 / wall,
        reports as f64 / used
    );
    match expected(arguments.loops) {
        Some(expected) if expected != transitions => {
            Err(format!("{transitions} transitions, expected {expected}").into())
        }
        _ => Ok(()),
    }
}

/// What the reference finds in so many loops.
const fn expected(loops: usize) -> Option<u64> {
    match loops {
        1 => Some(1_100),
        2 => Some(2_250),
        3 => Some(3_400),
        6 => Some(6_850),
        16 => Some(18_350),
        _ => None,
    }
}

fn one_loop(
    stream: &[Report],
    round: usize,
    engine: &mut Engine,
    mut journal: Option<&mut Journal>,
    transitions: &mut u64,
) -> Result<(), Box<dyn std::error::Error>> {
    for (number, report) in stream.iter().enumerate() {
        let rounds = i64::try_from(round * reports::ROUNDS + number / reports::THINGS)?;
        let entry = Entry {
            arrival: Timestamp::from_secs(1_700_000_000 + 300 * rounds),
            source: SourceId(1),
            kind: Kind::Input(Format::ReportJson),
            position: 0,
            subject: &report.thing,
            payload: report.json.as_bytes(),
        };
        let seq = engine.seq() + 1;
        std::hint::black_box(engine.stage(&entry.at(seq)));
        if let Some(journal) = &mut journal {
            journal.append(entry)?;
        }
        if engine.staged() >= STEP {
            if let Some(journal) = &mut journal {
                journal.commit()?;
            }
            engine.flush(&mut |_| *transitions += 1);
        }
    }
    if let Some(journal) = &mut journal {
        journal.commit()?;
    }
    engine.flush(&mut |_| *transitions += 1);
    Ok(())
}
