//! Prints what it costs to collect values for the history: CPU time for each device report, decoded
//! and folded, with nothing collected, with the last list of each window, and with every list.
//!
//! `cargo run --release -p detector --example collect [REPORTS_IN_A_WINDOW]`
//!
//! 1,000 things report ports, addresses and counters. Blocks are made and let go: what the history
//! then does with them comes on top, for each row.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::error::Error;

use detector::{
    change::Rules,
    engine::Engine,
    front::Decoders,
    input::{Format, SourceId},
    journal::{Kind, Record},
    output::Output,
    replay::Replay,
};
use fleet::{registry::Registry, time::Timestamp};

const THINGS: usize = 1_000;
const REPORTS: usize = 500_000;
const WINDOW_MS: usize = 300_000;

fn main() -> Result<(), Box<dyn Error>> {
    let in_a_window: usize = std::env::args().nth(1).map_or(Ok(60), |text| text.parse())?;
    for (name, collect, every) in
        [("nothing", false, false), ("the last lists", true, false), ("every list", true, true)]
    {
        let mut engine = engine(collect);
        if every {
            engine.hand_on_every_list();
        }
        let (micros, rows) = run(&mut engine, WINDOW_MS / in_a_window.max(1));
        println!("{name} collected: {micros:.2} us a report, {rows} values handed on");
    }
    Ok(())
}

/// Microseconds for each report, and values that were handed on. `apart_ms` lie between two reports
/// of a thing.
fn run(engine: &mut Engine, apart_ms: usize) -> (f64, usize) {
    let mut rows = 0;
    let mut flush = |engine: &mut Engine| {
        engine.flush_outputs(&mut |output| {
            if let Output::Datapoints(points) = output {
                rows += points.rows.len();
            }
        });
    };
    let mut used = std::time::Duration::ZERO;
    for round in 0..REPORTS / THINGS {
        let reports: Vec<(String, String)> = (0..THINGS).map(|thing| report(round, thing)).collect();
        let arrival = i64::try_from(round * apart_ms).unwrap_or(0);
        let begin = std::time::Instant::now();
        for (thing, json) in &reports {
            engine.stage(&Record {
                seq: engine.seq() + 1,
                arrival: Timestamp::from_millis(1_700_000_000_000 + arrival),
                source: SourceId(1),
                kind: Kind::Input(Format::ReportJson),
                position: 0,
                subject: thing,
                payload: json.as_bytes(),
            });
        }
        flush(engine);
        used += begin.elapsed();
    }
    (used.as_secs_f64() * 1e6 / REPORTS as f64, rows)
}

/// A thing and what it reports: the same ports, and each time another address among three.
fn report(round: usize, thing: usize) -> (String, String) {
    let json = format!(
        r#"{{"header":{{"report_id":{},"version":"1.0"}},"metrics":{{"listening_tcp_ports":{{"ports":[{{"port":22}},{{"port":443}},{{"port":8883}}],"total":3}},"listening_udp_ports":{{"ports":[{{"port":53}},{{"port":123}}],"total":2}},"network_stats":{{"bytes_in":2000,"bytes_out":1000,"packets_in":20,"packets_out":10}},"tcp_connections":{{"established_connections":{{"connections":[{{"remote_addr":"10.0.0.1:8883"}},{{"remote_addr":"10.0.0.2:443"}},{{"remote_addr":"10.1.{}.{}:443"}}],"total":3}}}}}}}}"#,
        round + 1,
        round % 256,
        thing % 256,
    );
    (format!("thing-{thing:06}"), json)
}

/// An engine with a behavior for each metric of a report.
fn engine(collect: bool) -> Engine {
    let counts = [
        "all-bytes-in",
        "all-bytes-out",
        "all-packets-in",
        "all-packets-out",
        "num-listening-tcp-ports",
        "num-listening-udp-ports",
        "num-established-tcp-connections",
    ];
    let count = |metric: &str| {
        format!(
            r#"{{"name":"{metric}","metric":"aws:{metric}","criteria":{{"comparisonOperator":"less-than","value":{{"count":1000000000}}}}}}"#
        )
    };
    let set = |metric: &str, operator: &str, value: &str| {
        format!(
            r#"{{"name":"{metric}","metric":"aws:{metric}","criteria":{{"comparisonOperator":"{operator}","value":{value}}}}}"#
        )
    };
    let mut behaviors: Vec<String> = counts.into_iter().map(count).collect();
    behaviors.push(set("listening-tcp-ports", "in-port-set", r#"{"ports":[22,443,8883]}"#));
    behaviors.push(set("listening-udp-ports", "in-port-set", r#"{"ports":[53,123]}"#));
    behaviors.push(set("destination-ip-addresses", "in-cidr-set", r#"{"cidrs":["10.0.0.0/8"]}"#));
    let profile = format!(
        r#"{{"securityProfileName":"p","behaviors":[{}],"fleetward":{{"targets":["arn:aws:iot:eu-west-1:123456789012:all/things"]}}}}"#,
        behaviors.join(",")
    );
    let rules = Rules { profiles: vec![("p.json".into(), profile)], collect, ..Rules::default() };
    let engine = Engine::new(Decoders::default(), 1, Vec::new());
    Replay::new(engine, &rules, &Registry::default()).finish(&mut |_| {}).0
}
