//! Prints how fast the fold is and what a thing costs, on one core.
//!
//! `cargo run --release -p detector --example speed [THINGS]`
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::{error::Error, time::Instant};

use detector::{change::Rules, engine::Engine, front::Decoders, input::SourceId, replay::Replay};
use fleet::{
    event::{Connect, Event, EventKind},
    registry::Registry,
    time::Timestamp,
};

const EVENTS: u64 = 10_000_000;
const STEP: u64 = 1_024;

fn main() -> Result<(), Box<dyn Error>> {
    let things: u32 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let mut engine = ten_behaviors();
    let names: Vec<String> = (0..things).map(|n| format!("device-{n:08}")).collect();
    let mut seq = engine.seq();
    let begin = Instant::now();
    for (name, ip) in names.iter().zip(0x0a00_0000_u32..) {
        seq += 1;
        let at = Timestamp::from_secs(1_000_000);
        let ip = Some(std::net::Ipv4Addr::from(ip).into());
        let connect = Connect { client: name, user: Some(name), ip, bridge: false };
        engine.stage_event(seq, SourceId(1), at, &Event { at, kind: EventKind::Connect(connect) });
        if seq.is_multiple_of(STEP) {
            engine.flush(&mut |_| {});
        }
    }
    engine.flush(&mut |_| {});
    println!("{things} things connect: {:.2} s", begin.elapsed().as_secs_f64());
    publish(&mut engine, &names);
    println!("bytes per thing: {}", engine.memory() / names.len());
    let begin = Instant::now();
    let bytes = engine.save().to_bytes()?;
    println!("snapshot: {} MB in {:.2} s", bytes.len() >> 20, begin.elapsed().as_secs_f64());
    println!("{:?}", engine.counts());
    Ok(())
}

/// Publishes of all things in an order without pattern, 1,000 things' worth a second at most.
fn publish(engine: &mut Engine, names: &[String]) {
    let begin = Instant::now();
    let (mut seq, first) = (engine.seq(), engine.seq());
    let mut state = 7_u64;
    let mut transitions = 0_u64;
    while seq < first + EVENTS {
        seq += 1;
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = Timestamp::from_millis(1_000_000_000 + i64::try_from((seq - first) / 20).unwrap_or(0));
        let Some(client) = names.get(usize::try_from(state >> 33).unwrap_or(0) % names.len()) else {
            continue;
        };
        let kind = EventKind::Publish { client, topic: "t", bytes: 100 };
        engine.stage_event(seq, SourceId(1), at, &Event { at, kind });
        if seq.is_multiple_of(STEP) {
            engine.flush(&mut |_| transitions += 1);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{EVENTS} publishes: {:.2} M events/s, {transitions} transitions",
        EVENTS as f64 / seconds / 1e6
    );
}

fn ten_behaviors() -> Engine {
    let behavior = |(name, metric, value): (&str, &str, u32)| {
        format!(
            r#"{{"name":"{name}","metric":"aws:{metric}","criteria":{{"comparisonOperator":"less-than","value":{{"count":{value}}},"durationSeconds":300}}}}"#
        )
    };
    let behaviors: Vec<String> = [
        ("refused", "num-authorization-failures", 5),
        ("attempts", "num-connection-attempts", 20),
        ("drops", "num-disconnects", 10),
        ("sent", "num-messages-sent", 1_000_000),
        ("received", "num-messages-received", 600),
        ("out", "all-bytes-out", 50_000_000),
        ("in", "all-bytes-in", 50_000_000),
        ("packets-out", "all-packets-out", 50_000),
        ("packets-in", "all-packets-in", 50_000),
    ]
    .into_iter()
    .map(behavior)
    .collect();
    let size = r#"{"name":"size","metric":"aws:message-byte-size","criteria":{"comparisonOperator":"less-than","value":{"count":65536}}}"#;
    let profile = format!(
        r#"{{"securityProfileName":"p","behaviors":[{},{size}],"fleetward":{{"targets":["arn:aws:iot:eu-west-1:123456789012:all/things"]}}}}"#,
        behaviors.join(",")
    );
    let rules = Rules { profiles: vec![("p.json".into(), profile)], ..Rules::default() };
    let engine = Engine::new(Decoders::default(), 1, Vec::new());
    Replay::new(engine, &rules, &Registry::default()).finish(&mut |_| {}).0
}
