//! Prints what twenty behaviors of all kinds cost: events a second on one core, bytes a thing, and
//! the time to save and restore it all.
//!
//! `cargo run --release -p detector --example full_load [THINGS]`
//!
//! Events are those of a fleet at work: of a hundred, 88 are publishes, 4 messages received, 4
//! reports, 2 connects, 1 disconnect and 1 refusal, of things in random order.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::{error::Error, time::Instant};

use detector::{
    change::Rules, engine::Engine, front::Decoders, input::SourceId, replay::Replay, snapshot::Snapshot,
};
use fleet::{
    event::{Action, Connect, DisconnectReason, Event, EventKind},
    registry::Registry,
    report::{ReportBuf, decode_json},
    time::Timestamp,
};

const EVENTS: u64 = 10_000_000;
const STEP: u64 = 1_024;

fn main() -> Result<(), Box<dyn Error>> {
    let things: u32 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let (mut engine, behaviors) = full();
    let names: Vec<String> = (0..things).map(|n| format!("device-{n:08}")).collect();
    connect_all(&mut engine, &names);
    work(&mut engine, &names)?;
    println!("{behaviors} behaviors, {things} things: {} bytes per thing", engine.memory() / names.len());
    let begin = Instant::now();
    let bytes = engine.save().to_bytes()?;
    println!("saved: {} MB in {:.2} s", bytes.len() >> 20, begin.elapsed().as_secs_f64());
    println!("{:?}", engine.counts().shards);
    drop(engine);
    let begin = Instant::now();
    let snapshot = Snapshot::from_bytes(&bytes)?;
    let read = begin.elapsed();
    let engine = Engine::restored(snapshot, Decoders::default(), 1, Vec::new())?;
    println!(
        "restored: {:.2} s (of it read {:.2} s), {} bytes per thing",
        begin.elapsed().as_secs_f64(),
        read.as_secs_f64(),
        engine.memory() / names.len()
    );
    Ok(())
}

fn connect_all(engine: &mut Engine, names: &[String]) {
    let mut seq = engine.seq();
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
}

fn work(engine: &mut Engine, names: &[String]) -> Result<(), Box<dyn Error>> {
    let mut report = ReportBuf::default();
    let text = r#"{"header":{"report_id":1,"version":"1.0"},"metrics":{"listening_tcp_ports":{"ports":[{"port":22},{"port":443}],"total":2},"network_stats":{"bytes_in":2000,"bytes_out":1000,"packets_in":20,"packets_out":10},"tcp_connections":{"established_connections":{"connections":[{"remote_addr":"192.0.2.1:8883"}],"total":1}}},"custom_metrics":{"clock":[{"number":1000000}]}}"#;
    decode_json(text.as_bytes(), &mut report)?;
    let begin = Instant::now();
    let (mut seq, first) = (engine.seq(), engine.seq());
    let (mut state, mut transitions) = (7_u64, 0_u64);
    while seq < first + EVENTS {
        seq += 1;
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = Timestamp::from_millis(1_000_000_000 + i64::try_from((seq - first) / 4).unwrap_or(0));
        let Some(client) = names.get(usize::try_from(state >> 33).unwrap_or(0) % names.len()) else {
            continue;
        };
        let bytes = 50 + u32::try_from(state >> 20 & 63).unwrap_or(0);
        let kind = match state >> 40 & 0xffff {
            0..57_670 => EventKind::Publish { client, topic: "t/data", bytes },
            57_670..60_290 => EventKind::Delivery { client, topic: "t/set", bytes },
            60_290..62_910 => EventKind::Report { thing: client, report: &report, identity: state },
            62_910..64_220 => {
                let ip = Some(std::net::Ipv4Addr::from(0x0a00_0000).into());
                EventKind::Connect(Connect { client, user: Some(client), ip, bridge: false })
            }
            64_220..64_880 => EventKind::Disconnect { client, reason: DisconnectReason::Timeout, raw: "" },
            _ => EventKind::Denied { client, action: Action::Publish, topic: "t/other" },
        };
        engine.stage_event(seq, SourceId(1), at, &Event { at, kind });
        if seq.is_multiple_of(STEP) {
            engine.flush(&mut |_| transitions += 1);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{EVENTS} events: {:.2} M events/s, {transitions} transitions", EVENTS as f64 / seconds / 1e6);
    Ok(())
}

/// An engine with one shard and twenty behaviors, at least one of each kind.
fn full() -> (Engine, usize) {
    const BEHAVIORS: [&str; 20] = [
        r#""metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than","value":{"count":100000},"durationSeconds":300}"#,
        r#""metric":"aws:message-byte-size","criteria":{"comparisonOperator":"less-than","value":{"count":65536}}"#,
        r#""metric":"aws:num-connection-attempts","criteria":{"comparisonOperator":"less-than","value":{"count":200},"durationSeconds":300}"#,
        r#""metric":"aws:all-bytes-out","criteria":{"comparisonOperator":"less-than","value":{"count":50000000},"durationSeconds":300}"#,
        r#""metric":"aws:listening-tcp-ports","criteria":{"comparisonOperator":"in-port-set","value":{"ports":[22,443]}}"#,
        r#""metric":"aws:num-disconnects","fleetward":{"disconnects":["keep-alive-timeout"]},"criteria":{"comparisonOperator":"less-than","value":{"count":100},"durationSeconds":300}"#,
        r#""metric":"aws:num-messages-sent","fleetward":{"baseline":{}},"criteria":{"durationSeconds":300}"#,
        r#""metric":"aws:message-byte-size","fleetward":{"baseline":{"season":"hour-of-day"}}"#,
        r#""metric":"aws:all-bytes-out","fleetward":{"baseline":{"season":"hour-of-week"}},"criteria":{"durationSeconds":300}"#,
        r#""metric":"aws:all-bytes-in","fleetward":{"baseline":{"chart":"cusum"}},"criteria":{"durationSeconds":300}"#,
        r#""metric":"aws:all-packets-out","fleetward":{"baseline":{"chart":"ewma"}},"criteria":{"durationSeconds":300}"#,
        r#""metric":"aws:num-authorization-failures","fleetward":{"counts":{"model":"poisson"}},"criteria":{"durationSeconds":300}"#,
        r#""metric":"aws:num-messages-received","fleetward":{"counts":{}},"criteria":{"durationSeconds":300}"#,
        r#""metric":"aws:destination-ip-addresses","fleetward":{"learn":{"capacity":8}}"#,
        r#""metric":"aws:listening-udp-ports","fleetward":{"learn":{"capacity":8}}"#,
        r#""metric":"aws:num-messages-sent","fleetward":{"silence":{}}"#,
        r#""metric":"aws:all-bytes-out","fleetward":{"silence":{"seconds":86400}}"#,
        r#""metric":"aws:disconnect-duration","fleetward":{"absence":{"graceSeconds":600}}"#,
        r#""metric":"aws:num-disconnects","fleetward":{"flapping":{}}"#,
        r#""metric":"clock","fleetward":{"clock":{"offsetSeconds":100000,"driftPpm":1000000}}"#,
    ];
    let numbered = BEHAVIORS.iter().enumerate();
    let behaviors: Vec<String> = numbered.map(|(n, text)| format!(r#"{{"name":"b{n}",{text}}}"#)).collect();
    let profile = format!(
        r#"{{"securityProfileName":"p","behaviors":[{}],"fleetward":{{"targets":["arn:aws:iot:eu-west-1:123456789012:all/things"]}}}}"#,
        behaviors.join(",")
    );
    let rules = Rules { profiles: vec![("p.json".into(), profile)], ..Rules::default() };
    let engine = Engine::new(Decoders::default(), 1, Vec::new());
    (Replay::new(engine, &rules, &Registry::default()).finish(&mut |_| {}).0, BEHAVIORS.len())
}
