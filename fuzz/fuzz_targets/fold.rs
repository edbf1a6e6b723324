//! The whole way of an input: decoded, folded, decided, with any time that an event may claim. The
//! same inputs give the same transitions with one shard, with three, and with a restart in between.
//!
//! Each line is an input: `THING {…}` a JSON report, `{…}` a recorded event, else a log line.
#![no_main]

use std::sync::LazyLock;

use brokers::{lifecycle::LifecycleDecoder, mosquitto::log::LogDecoder, recorded::RecordedDecoder};
use detector::{
    change::Rules,
    engine::Engine,
    front::{Decoders, Verdict},
    input::{Format, SourceId},
    journal::{Entry, Kind},
    replay::Replay,
    snapshot::Snapshot,
    transition::Transition,
};
use fleet::{registry::Registry, time::Timestamp};
use libfuzzer_sys::fuzz_target;

/// Every kind of metric once: windows of counts, sizes, lists, and silence.
const PROFILE: &str = r#"{"securityProfileName":"p","fleetward":{"targets":["arn:aws:iot:r:1:all/things"]},"behaviors":[
{"name":"a","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than","value":{"count":2},"durationSeconds":60}},
{"name":"b","metric":"aws:message-byte-size","criteria":{"comparisonOperator":"less-than","value":{"count":99}}},
{"name":"c","metric":"aws:listening-tcp-ports","criteria":{"comparisonOperator":"in-port-set","value":{"ports":[22]}}},
{"name":"d","metric":"aws:num-disconnects","criteria":{"comparisonOperator":"less-than","value":{"count":2},"durationSeconds":300}},
{"name":"e","metric":"aws:disconnect-duration","criteria":{"comparisonOperator":"less-than","value":{"count":1}}},
{"name":"f","metric":"aws:source-ip-address","criteria":{"comparisonOperator":"in-cidr-set","value":{"cidrs":["10.0.0.0/8"]}}},
{"name":"g","metric":"aws:num-authorization-failures","fleetward":{"entity":"source-ip"},"criteria":{"comparisonOperator":"less-than","value":{"count":2},"durationSeconds":60}},
{"name":"h","metric":"x","criteria":{"comparisonOperator":"less-than","value":{"number":2}}}
]}"#;

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    bucket_secs: 60,
    // Small bounds, so that they are reached.
    things_max: 8,
    addresses_max: 4,
    profiles: vec![("p.json".to_owned(), PROFILE.to_owned())],
    ..Rules::default()
});

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let one = run(1, &lines, None);
    assert_eq!(one, run(3, &lines, None), "with three shards");
    assert_eq!(one, run(2, &lines, Some(lines.len() / 2)), "with a restart");
});

fn run(shards: usize, lines: &[&[u8]], restart: Option<usize>) -> Vec<Transition> {
    let engine = Engine::new(decoders(), shards, Vec::new());
    let mut engine = Replay::new(engine, &RULES, &Registry::default()).finish(&mut |_| {}).0;
    let mut transitions = Vec::new();
    let start = 1_767_225_600;
    for (index, line) in lines.iter().enumerate() {
        if restart == Some(index) {
            let bytes = engine.save().to_bytes().expect("a snapshot is written");
            let snapshot = Snapshot::from_bytes(&bytes).expect("its own snapshot");
            engine = Engine::restored(snapshot, decoders(), shards, Vec::new()).expect("its own snapshot");
        }
        let arrival = Timestamp::from_secs(start + 7 * i64::try_from(index).expect("few"));
        take(&mut engine, line, arrival, &mut transitions);
    }
    for minutes in [2, 10, 60 * 72] {
        let last = Timestamp::from_secs(start + 7 * i64::try_from(lines.len()).expect("few") + minutes * 60);
        apply(&mut engine, Kind::Tick, "", b"", last, &mut transitions);
    }
    transitions
}

fn decoders() -> Decoders {
    Decoders::default()
        .with(Format::MosquittoLog, Box::new(LogDecoder::new()))
        .with(Format::Lifecycle, Box::new(LifecycleDecoder::new()))
        .with(Format::Recorded, Box::new(RecordedDecoder::new()))
}

fn take(engine: &mut Engine, line: &[u8], arrival: Timestamp, transitions: &mut Vec<Transition>) {
    let report = line.windows(2).position(|pair| pair == b" {").filter(|&at| at > 0 && at < 20);
    let subject = report.and_then(|at| std::str::from_utf8(&line[..at]).ok());
    match (line, report, subject) {
        ([b'{', ..], ..) => apply(engine, Kind::Input(Format::Recorded), "", line, arrival, transitions),
        (_, Some(at), Some(thing)) => {
            apply(engine, Kind::Input(Format::ReportJson), thing, &line[at + 1..], arrival, transitions);
        }
        _ => apply(engine, Kind::Input(Format::MosquittoLog), "", line, arrival, transitions),
    }
}

fn apply(
    engine: &mut Engine,
    kind: Kind,
    subject: &str,
    payload: &[u8],
    arrival: Timestamp,
    transitions: &mut Vec<Transition>,
) {
    let entry = Entry { arrival, source: SourceId(1), kind, position: 0, subject, payload };
    let before = engine.seq();
    let verdict = engine.apply(&entry.at(before + 1), &mut |transition| transitions.push(transition));
    assert_eq!(matches!(verdict, Verdict::Folded { .. }), engine.seq() == before + 1);
}
