//! Prints what a device report costs, decoded and judged by ten rules, for streams of different layouts.
//!
//! `cargo run --release -p detector --example reports [FILE] [LOOPS] [LAYOUT]`
//!
//! FILE has lines of `thing TAB json`; without it, or for `-`, the stream of `cargo bench --bench rules` is drawn.
//! The same 50,000 reports are then written in other ways: short names, members in another order for
//! each thing, eight agents that write differently, white space, lists of differing lengths, members
//! in another order in every report. The fastest and the middle loop are printed, in nanoseconds a
//! of CPU time a report, of decoding alone and of everything.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::{error::Error, hint::black_box};

use detector::{
    engine::Engine,
    front::Verdict,
    input::{Format, SourceId},
    journal::{Kind, Record},
};
use fleet::{
    report::{JsonDecoder, ReportBuf},
    time::Timestamp,
};
use rustix::time::{ClockId, clock_gettime};

#[path = "reports/layouts.rs"]
mod layouts;
#[path = "../../benches/support/reports.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "shared with the benches"
)]
mod reports;
#[path = "../../benches/support/rules.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::allow_attributes,
    reason = "shared with the benches"
)]
mod rules;

use reports::Report;

/// Reports between two flushes.
const STEP: usize = 4_096;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let file = words.next().filter(|word| word != "-");
    let loops: usize = words.next().map_or(Ok(12), |word| word.parse())?;
    let only = words.next();
    let stream = file.map_or_else(|| Ok(reports::stream()), |file| reports::read(&file))?;
    for (name, write) in layouts::ALL {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let mut stream = layouts::rewritten(&stream, write)?;
        let bytes: usize = stream.iter().map(|report| report.json.len()).sum();
        let decode = decoded(&stream, loops);
        let (all, transitions) = judged(&mut stream, loops)?;
        println!(
            "{name}: {} bytes a report; decoded {} (middle {}) ns; all {} (middle {}) ns; {transitions} transitions",
            bytes / stream.len().max(1),
            decode.0,
            decode.1,
            all.0,
            all.1,
        );
    }
    Ok(())
}

/// CPU time of this thread so far, nanoseconds.
fn used() -> u128 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u128::from(now.tv_sec.unsigned_abs()) * 1_000_000_000 + u128::from(now.tv_nsec.unsigned_abs())
}

/// Nanoseconds a report of the fastest and of the middle loop.
fn told(mut nanos: Vec<u128>, reports: usize) -> (u128, u128) {
    nanos.sort_unstable();
    let each = |at: usize| nanos.get(at).map_or(0, |nanos| nanos / reports.max(1) as u128);
    (each(0), each(nanos.len() / 2))
}

fn decoded(stream: &[Report], loops: usize) -> (u128, u128) {
    let (mut decoder, mut out) = (JsonDecoder::default(), ReportBuf::default());
    let mut nanos = Vec::new();
    for _ in 0..loops {
        let begin = used();
        for report in stream {
            let good = decoder.decode(black_box(report.json.as_bytes()), &mut out).is_ok();
            assert!(good, "every report is well formed: {}", report.json);
        }
        nanos.push(used() - begin);
    }
    told(nanos, stream.len())
}

fn judged(stream: &mut [Report], loops: usize) -> Result<((u128, u128), u64), Box<dyn Error>> {
    let mut engine = rules::of_reports();
    let (mut nanos, mut transitions) = (Vec::new(), 0_u64);
    for round in 0..loops {
        let begin = used();
        one_loop(stream, round, &mut engine, &mut transitions)?;
        nanos.push(used() - begin);
        layouts::later(stream);
    }
    Ok((told(nanos, stream.len()), transitions))
}

fn one_loop(
    stream: &[Report],
    round: usize,
    engine: &mut Engine,
    transitions: &mut u64,
) -> Result<(), Box<dyn Error>> {
    for (number, report) in stream.iter().enumerate() {
        let rounds = i64::try_from(round * reports::ROUNDS + number / reports::THINGS)?;
        let record = Record {
            seq: engine.seq() + 1,
            arrival: Timestamp::from_secs(1_700_000_000 + 300 * rounds),
            source: SourceId(1),
            kind: Kind::Input(Format::ReportJson),
            position: 0,
            subject: &report.thing,
            payload: report.json.as_bytes(),
        };
        let verdict = engine.stage(&record);
        assert!(matches!(verdict, Verdict::Folded { .. }), "no report counts as a repeated one: {verdict:?}");
        if engine.staged() >= STEP {
            engine.flush(&mut |_| *transitions += 1);
        }
    }
    engine.flush(&mut |_| *transitions += 1);
    Ok(())
}
