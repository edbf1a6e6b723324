//! Decoding of Mosquitto's log: lines a second over real logs, repeated.
//!
//! The logs are read from the folder that `FLEETWARD_DATASETS` names (default
//! `../shared/datasets`). Each round decodes the whole log with one decoder that goes on, so that
//! sessions come and go as they did.

use std::path::PathBuf;

use brokers::mosquitto::log::LogDecoder;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use detector::input::{Decoder as _, SourceId};
use fleet::time::Timestamp;

/// Debug lines with scenarios of all kinds, default lines under load, and debug lines of a busy
/// broker as generated from the first.
const LOGS: [&str; 3] = ["2.0.11-plain-all.log", "2.1.2-plain-default.log", "2.0.11-burst-all.log"];

fn log(name: &str) -> Vec<Vec<u8>> {
    let folder = std::env::var_os("FLEETWARD_DATASETS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets"), PathBuf::from);
    let path = folder.join("mosquitto-logs").join(name);
    #[expect(clippy::panic, reason = "without its input there is nothing to measure")]
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// A line for a publish and one for its delivery, as a busy broker prints them, for `clients`.
fn messages(clients: usize) -> Vec<Vec<u8>> {
    let connects = (0..clients).map(|client| {
        format!("1795312335: New client connected from 10.0.0.1:{client} as device-{client:05} (p2, c1, k60, u'u').")
    });
    let publishes = (0..clients).flat_map(|client| {
        let message = format!("device-{client:05} (d0, q1, r0, m{client}, 'plant/hall-3/device-{client:05}/temperature', ... (180 bytes))");
        [format!("1795312335: Received PUBLISH from {message}"), format!("1795312335: Sending PUBLISH to {message}")]
    });
    connects.chain(publishes).map(String::into_bytes).collect()
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("log_decode");
    let inputs = LOGS.map(|name| (name.to_owned(), log(name))).into_iter();
    let generated = [100, 10_000].map(|clients| (format!("messages of {clients}"), messages(clients)));
    for (name, lines) in inputs.chain(generated) {
        group.throughput(Throughput::Elements(lines.len() as u64));
        let mut decoder = LogDecoder::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut events = 0_u64;
                for line in &lines {
                    decoder.decode(SourceId(1), Timestamp::from_secs(1_795_312_335), "", line, &mut |_| {
                        events += 1
                    });
                }
                events
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
