//! Decode and fold of device reports of 1 kB, beside JSON parsers that only read the same bytes.
//!
//! `cargo bench --bench decode_fold`. Times are CPU time of one thread. One round is the whole
//! stream: 50,000 reports of 1,000 things, ten behaviors each.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Throughput};
use detector::{
    engine::Engine,
    input::{Format, SourceId},
    journal::{Kind, Record},
};
use fleet::{
    report::{ReportBuf, decode_json},
    time::Timestamp,
};
use rustix::time::ClockId;
use serde::de::IgnoredAny;

mod support;
use support::{cpu, reports, reports::Report, rules};

fn main() {
    let mut criterion = support::criterion().configure_from_args();
    let mut stream = reports::stream();
    let bytes: usize = stream.iter().map(|report| report.json.len()).sum();
    let mut group = criterion.benchmark_group("decode and fold");
    group.sample_size(20);
    group.throughput(Throughput::ElementsAndBytes { elements: stream.len() as u64, bytes: bytes as u64 });

    let (mut engine, mut round) = (rules::of_reports(), 0);
    group.bench_function("fleetward: decode and fold", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut used = Duration::ZERO;
            for _ in 0..rounds {
                let before = cpu(ClockId::ThreadCPUTime);
                fold(&stream, &mut engine, round);
                used += cpu(ClockId::ThreadCPUTime).saturating_sub(before);
                // While the clock stands: the very same bytes again would be a repeated delivery.
                reports::later(&mut stream, reports::ROUNDS);
                round += 1;
            }
            used
        });
    });
    assert_eq!(engine.counts().front.duplicates, 0, "no report counts as a repeated one");

    let mut out = ReportBuf::default();
    group.bench_function("fleetward: decode", |bencher| {
        bencher.iter(|| {
            stream.iter().all(|report| decode_json(black_box(report.json.as_bytes()), &mut out).is_ok())
        });
    });
    let mut parser = |name: &str, parse: fn(&[u8]) -> bool| {
        group.bench_function(BenchmarkId::new("parser", name), |bencher| {
            bencher.iter(|| stream.iter().all(|report| parse(black_box(report.json.as_bytes()))));
        });
    };
    parser("sonic-rs to tree", |json| sonic_rs::from_slice::<sonic_rs::Value>(json).is_ok());
    parser("sonic-rs lazy", |json| sonic_rs::from_slice::<sonic_rs::LazyValue<'_>>(json).is_ok());
    parser("serde_json to tree", |json| serde_json::from_slice::<serde_json::Value>(json).is_ok());
    parser("serde_json skip", |json| serde_json::from_slice::<IgnoredAny>(json).is_ok());
    group.finish();
    criterion.final_summary();
}

/// The whole stream once.
fn fold(stream: &[Report], engine: &mut Engine, round: i64) {
    for (number, report) in stream.iter().enumerate() {
        let record = Record {
            seq: engine.seq() + 1,
            arrival: arrival(round, number),
            source: SourceId(1),
            kind: Kind::Input(Format::ReportJson),
            position: 0,
            subject: &report.thing,
            payload: report.json.as_bytes(),
        };
        black_box(engine.stage(&record));
        if engine.staged() >= 4_096 {
            engine.flush(&mut |transition| assert!(transition.seq > 0));
        }
    }
    engine.flush(&mut |transition| assert!(transition.seq > 0));
}

/// Rounds of the stream lie 300 s apart, as the devices would send them.
fn arrival(round: i64, number: usize) -> Timestamp {
    let rounds = round * reports::ROUNDS as i64 + (number / reports::THINGS) as i64;
    Timestamp::from_secs(1_700_000_000 + 300 * rounds)
}
