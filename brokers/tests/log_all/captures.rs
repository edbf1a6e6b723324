//! The captures with labelled scenarios: every event is recognised, nothing is invented.
//!
//! `testdata/mosquitto-log/NAME.events.txt` holds what each scenario gives: written by the decoder
//! once, then read against the scenario's name and what the client saw. `UPDATE_GOLDEN=1`
//! writes the files again, to be read again.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use brokers::mosquitto::log::{Counters, LogDecoder, topic_line};
use serde_json::Value;

use super::support::{capture, decode_line, events_by_line, jsonl, lines};

/// Captures with scenarios, and the lines in each that can say nothing certain.
const CAPTURES: [(&str, Counters); 10] = [
    ("2.0.11-dynsec-all", counters(0, 0)),
    ("2.0.11-plain-all", counters(4, 0)),
    ("2.0.11-plain-default", counters(2, 0)),
    ("2.0.11-tls-all", counters(0, 0)),
    ("2.0.11-tls-crl-failure-all", counters(0, 0)),
    ("2.1.2-dynsec-all", counters(0, 1)),
    ("2.1.2-plain-all", counters(4, 1)),
    ("2.1.2-plain-default", counters(2, 1)),
    ("2.1.2-tls-all", counters(0, 0)),
    ("2.1.2-tls-ca-swap-all", counters(0, 0)),
];

const fn counters(cut_lines: u64, unmatched_ends: u64) -> Counters {
    Counters { unknown_lines: 0, cut_lines, ambiguous_lines: 0, unmatched_ends, untracked_sessions: 0 }
}

/// The events under the names of the scenarios whose lines gave them.
fn by_scenario(name: &str, events: &[(usize, String)]) -> String {
    let scenarios: Vec<(String, usize, usize)> = jsonl(&format!("mosquitto-logs/{name}.scenarios.jsonl"))
        .iter()
        .map(|it| {
            let line = |field: &str| usize::try_from(it[field].as_u64().unwrap()).unwrap();
            (it["scenario"].as_str().unwrap().to_owned(), line("first_line"), line("last_line"))
        })
        .collect();
    let mut text = String::new();
    let mut last = "";
    for (line, event) in events {
        let scenario = scenarios
            .iter()
            .find(|(_, first, last)| (first..=last).contains(&line))
            .map_or("outside of scenarios", |(name, _, _)| name.as_str());
        if scenario != last {
            writeln!(text, "# {scenario}").unwrap();
            last = scenario;
        }
        writeln!(text, "{line} {event}").unwrap();
    }
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the environment asks for the files to be written anew")]
fn every_scenario_gives_the_reviewed_events_and_nothing_else() {
    for (name, expected) in CAPTURES {
        let mut decoder = LogDecoder::new();
        let events = events_by_line(&mut decoder, &capture(&format!("{name}.log")));
        assert_eq!(decoder.counters(), expected, "{name}");
        let found = by_scenario(name, &events);
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(format!("testdata/mosquitto-log/{name}.events.txt"));
        if std::env::var("UPDATE_GOLDEN").is_ok() {
            std::fs::write(&path, &found).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        for (index, (found, golden)) in found.lines().zip(golden.lines()).enumerate() {
            assert_eq!(found, golden, "{name}.events.txt:{}", index + 1);
        }
        assert_eq!(found.lines().count(), golden.lines().count(), "{name}");
    }
}

/// What the clients saw must agree with what we say happened: logins accepted and refused.
#[test]
fn connects_and_refusals_are_as_many_as_the_clients_saw() {
    for (name, _) in CAPTURES {
        let mut decoder = LogDecoder::new();
        let events = events_by_line(&mut decoder, &capture(&format!("{name}.log")));
        for scenario in jsonl(&format!("mosquitto-logs/{name}.scenarios.jsonl")) {
            let Some((accepted, refused)) = logins_seen(&scenario["client_saw"]) else { continue };
            let range = scenario["first_line"].as_u64().unwrap()..=scenario["last_line"].as_u64().unwrap();
            let count = |kind: &str| {
                events
                    .iter()
                    .filter(|(line, event)| range.contains(&(*line as u64)) && event.starts_with(kind))
                    .count()
            };
            let place = format!("{name} {}", scenario["scenario"]);
            assert_eq!(count("auth-failure "), refused, "{place}");
            // 2.1 says that this client is connected and then refuses it.
            if !place.contains("keepalive_zero_with_max_keepalive_v311") {
                assert_eq!(count("connect "), accepted, "{place}");
            }
        }
    }
}

/// CONNACKs that accept, and those that refuse for who the client is; `None` where the client
/// told something else, or did more than it told.
fn logins_seen(saw: &Value) -> Option<(usize, usize)> {
    let items = match saw {
        Value::String(one) => vec![one.as_str()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let codes: Vec<&str> = items
        .iter()
        .filter_map(|item| item.strip_prefix("CONNACK "))
        .filter_map(|body| body.get(2..4))
        .collect();
    let accepted = codes.iter().filter(|code| **code == "00").count();
    let refused = codes.iter().filter(|code| matches!(**code, "04" | "05" | "87")).count();
    (accepted + refused > 0).then_some((accepted, refused))
}

/// Through the topic come the lines of the file, but no debug lines, and only while subscribed.
#[test]
fn the_topic_tells_what_the_file_tells_without_debug_lines() {
    for (name, base) in [
        ("2.0.11-sys-topics-all", "2.0.11-plain-all"),
        ("2.0.11-sys-topics-default", "2.0.11-plain-default"),
        ("2.1.2-sys-topics-all", "2.1.2-plain-all"),
    ] {
        let mut by_topic = LogDecoder::new();
        let mut by_file = LogDecoder::new();
        let mut from_topic = BTreeMap::<String, i32>::new();
        let mut payloads = std::collections::BTreeSet::new();
        for message in jsonl(&format!("mosquitto-logs/{name}.jsonl")) {
            let (topic, payload) =
                (message["topic"].as_str().unwrap(), message["payload"].as_str().unwrap().as_bytes());
            let Some(line) = topic_line(topic, payload) else { continue };
            for event in decode_line(&mut by_topic, &line).1 {
                *from_topic.entry(event).or_default() += 1;
            }
            payloads.insert(payload.to_vec());
        }
        assert!(from_topic.len() > 40, "{name}");
        // The same lines out of the file.
        let log = capture(&format!("{base}.log"));
        let mut from_file = BTreeMap::<String, i32>::new();
        for line in lines(&log).filter(|line| payloads.contains(*line)) {
            for event in decode_line(&mut by_file, line).1 {
                *from_file.entry(event).or_default() += 1;
            }
        }
        // Its connect came before it subscribed to the log; the topic tells what the line is, the
        // file does not.
        let early = from_topic.remove("subscribe `sidecar-1` `$SYS/broker/#`").unwrap_or(0);
        assert_eq!(i64::from(early), i64::from(name.ends_with("-all")), "{name}");
        assert_eq!(from_topic, from_file, "{name}");
        assert_eq!(by_topic.unknown_lines(), 0, "{name}");
    }
}
