//! Floods the fold with names that never come again, and prints its memory: it must stay flat.
//!
//! `cargo run --release -p detector --example flood [NAMES]`
//!
//! One hour of stream: each of NAMES (10 million unless given) distinct client ids fails to log in from
//! an address of its own, and as many distinct things publish on a topic of their own.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::{error::Error, net::Ipv4Addr, time::Instant};

use detector::{change::Rules, engine::Engine, front::Decoders, input::SourceId, replay::Replay};
use fleet::{
    event::{Attribution, AuthFailure, Event, EventKind},
    registry::Registry,
    time::Timestamp,
};

const STEP: u32 = 1_024;

const PROFILE: &str = r#"{"securityProfileName":"p","behaviors":[
    {"name":"stuffing","metric":"aws:num-authorization-failures","criteria":{"comparisonOperator":"less-than","value":{"count":10},"durationSeconds":300},"fleetward":{"entity":"source-ip","distinct":"things"}},
    {"name":"brute","metric":"aws:num-authorization-failures","criteria":{"comparisonOperator":"less-than","value":{"count":5},"durationSeconds":900},"fleetward":{"entity":"claimed-client-id","distinct":"source-ips"}},
    {"name":"topic","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than","value":{"count":1000},"durationSeconds":300},"fleetward":{"entity":"topic"}},
    {"name":"sent","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than","value":{"count":1000},"durationSeconds":300}}],
    "fleetward":{"targets":["arn:aws:iot:eu-west-1:123456789012:all/things"]}}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let names: u32 = std::env::args().nth(1).map_or(Ok(10_000_000), |text| text.parse())?;
    let rules = Rules {
        profiles: vec![("p.json".into(), PROFILE.into())],
        things_max: 100_000,
        addresses_max: 100_000,
        entities_max: 65_536,
        ..Rules::default()
    };
    let engine = Engine::new(Decoders::default(), 1, Vec::new());
    let (mut engine, _) = Replay::new(engine, &rules, &Registry::default()).finish(&mut |_| {});
    let begin = Instant::now();
    let (mut seq, mut transitions) = (engine.seq(), 0_u64);
    for n in 0..names {
        let at = Timestamp::from_millis(1_000_000_000 + i64::from(n) * 3_600_000 / i64::from(names.max(1)));
        let (client, topic) = (format!("client-{n:08}"), format!("site/{n:08}/up"));
        let failure = AuthFailure {
            claimed_client: Some(&client),
            claimed_user: None,
            ip: Some(Ipv4Addr::from(n).into()),
            attribution: Attribution::Certain,
        };
        let publish = EventKind::Publish { client: &client, topic: &topic, bytes: 100 };
        for kind in [EventKind::AuthFailure(failure), publish] {
            seq += 1;
            engine.stage_event(seq, SourceId(1), at, &Event { at, kind });
        }
        if n.is_multiple_of(STEP) {
            engine.flush(&mut |_| transitions += 1);
        }
        if (n + 1).is_multiple_of((names / 10).max(1)) {
            engine.flush(&mut |_| transitions += 1);
            println!("{:>9} names: {} MB held", n + 1, engine.memory() >> 20);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{:.2} M events/s, {transitions} transitions", f64::from(names) * 2.0 / seconds / 1e6);
    println!("{:?}", engine.counts());
    Ok(())
}
