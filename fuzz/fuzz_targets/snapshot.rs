//! Snapshots: no panic on any bytes, nor on a state with the right head and check sum that is not one
//! of ours; what is read, and an engine that takes it, can be written again.
//!
//! If the first byte is even the rest is the state; else it is changes of a real one: place (two
//! bytes) and value each.
#![no_main]

use std::sync::LazyLock;

use brokers::{lifecycle::LifecycleDecoder, mosquitto::log::LogDecoder, recorded::RecordedDecoder};
use detector::{
    change::Rules,
    engine::Engine,
    front::Decoders,
    input::{Format, Input, SourceId},
    replay::Replay,
    snapshot::Snapshot,
};
use fleet::{registry::Registry, time::Timestamp};
use libfuzzer_sys::fuzz_target;

/// Head of a snapshot, see `detector/src/snapshot.rs`.
const HEADER_BYTES: usize = 28;
const MAGIC_BYTES: usize = 8;

/// What every snapshot of this version begins with, and the state of an engine that has seen a little
/// of everything.
static REAL: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let profile = include_str!("../../profiles/logins-and-connections.json");
    let rules = Rules { profiles: vec![("p.json".into(), profile.into())], ..Rules::default() };
    let mut replay = Replay::new(Engine::new(decoders(), 2, Vec::new()), &rules, &Registry::default());
    for (second, input) in INPUTS.iter().enumerate() {
        replay.input(&self::input(input, second), &mut |_| {}, &mut |_| {});
    }
    let engine = replay.finish(&mut |_| {}).0;
    let bytes = engine.save().to_bytes().expect("a snapshot is written");
    (bytes[..MAGIC_BYTES].to_vec(), bytes[HEADER_BYTES..].to_vec())
});

const INPUTS: [&str; 6] = [
    r#"{"at":1767225600000,"event":"connect","client":"pump-1","user":"pumps","ip":"198.51.100.9"}"#,
    r#"{"at":1767225600500,"event":"publish","client":"pump-1","topic":"t","bytes":9}"#,
    r#"{"at":1767225601000,"event":"auth-failure","client":"pump-1","ip":"203.0.113.7"}"#,
    "1767225602: New client connected from 198.51.100.9:1000 as pump-2 (p2, c1, k60).",
    "1767225603: Client pump-2 closed its connection.",
    r#"{"header":{"report_id":1,"version":"1.0"},"metrics":{"tp":{"pts":[{"pt":22}],"t":1}}}"#,
];

fuzz_target!(|bytes: &[u8]| {
    drop(Snapshot::from_bytes(bytes));
    let Some((how, rest)) = bytes.split_first() else { return };
    let body = if how % 2 == 0 { rest.to_vec() } else { changed(rest) };
    let Ok(snapshot) = Snapshot::from_bytes(&framed(&body)) else { return };
    assert!(Snapshot::from_bytes(&snapshot.to_bytes().expect("a snapshot is written")).is_ok());
    if let Ok(engine) = Engine::restored(snapshot, decoders(), 2, Vec::new()) {
        assert!(engine.save().to_bytes().is_ok());
    }
});

fn decoders() -> Decoders {
    Decoders::default()
        .with(Format::MosquittoLog, Box::new(LogDecoder::new()))
        .with(Format::Lifecycle, Box::new(LifecycleDecoder::new()))
        .with(Format::Recorded, Box::new(RecordedDecoder::new()))
}

fn input(text: &str, second: usize) -> Input {
    let format = match text {
        _ if text.starts_with("{\"at\"") => Format::Recorded,
        _ if text.starts_with('{') => Format::ReportJson,
        _ => Format::MosquittoLog,
    };
    Input {
        source: SourceId(1),
        format,
        arrival: Timestamp::from_secs(1_767_225_600 + i64::try_from(second).expect("few")),
        position: 0,
        subject: if format == Format::ReportJson { "pump-1".into() } else { "".into() },
        payload: text.as_bytes().into(),
        tag: 0,
    }
}

fn changed(changes: &[u8]) -> Vec<u8> {
    let mut body = REAL.1.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = body.get_mut(at) {
            *byte = change[2];
        }
    }
    body
}

/// The state with head and check sum; its first number is the place in the journal.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut seq = 0_u64;
    for (at, byte) in body.iter().take(9).enumerate() {
        seq |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut bytes = REAL.0.clone();
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}
