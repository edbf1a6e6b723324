//! The same reports as agents of other kinds would write them.

use std::error::Error;

use serde_json::{Map, Value};

use super::reports::Report;

/// How a report is written: from its document, and the numbers of its thing and of the report.
pub(super) type Write = fn(Value, u64, u64) -> String;

/// Each way by its name.
pub(super) const ALL: [(&str, Write); 7] = [
    ("as-drawn", |document, _, _| document.to_string()),
    ("short-names", |document, _, _| renamed(document, &SHORT).to_string()),
    ("order-by-thing", |document, thing, _| shuffled(document, &mut { thing % 16 }).to_string()),
    ("eight-agents", |document, thing, _| eight(document, thing % 8)),
    ("pretty", |document, _, _| format!("{document:#}")),
    ("lengths-differ", |document, thing, nth| cut(document, thing * 7 + nth * 13).to_string()),
    ("order-by-report", |document, thing, nth| shuffled(document, &mut { thing * 100 + nth }).to_string()),
];

/// The stream, written another way.
pub(super) fn rewritten(stream: &[Report], write: Write) -> Result<Vec<Report>, Box<dyn Error>> {
    let mut all = Vec::with_capacity(stream.len());
    for (at, report) in (0_u64..).zip(stream) {
        let document = serde_json::from_str(&report.json)?;
        let json = write(document, at % 1_000, at / 1_000);
        all.push(Report { thing: report.thing.clone(), json });
    }
    Ok(all)
}

/// Gives each report another number, of as many digits, so that none is a repeated delivery.
pub(super) fn later(stream: &mut [Report]) {
    for report in stream {
        // The only number of 13 digits.
        let digits = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
        let Some(at) = report.json.as_bytes().windows(13).position(digits) else { continue };
        let Some(number) = report.json.get(at..at + 13).and_then(|digits| digits.parse::<u64>().ok()) else {
            continue;
        };
        report.json.replace_range(at..at + 13, &(number + 15_000_000).to_string());
    }
}

/// Long names and the short ones.
const SHORT: [(&str, &str); 21] = [
    ("header", "hed"),
    ("report_id", "rid"),
    ("version", "v"),
    ("metrics", "met"),
    ("listening_tcp_ports", "tp"),
    ("listening_udp_ports", "up"),
    ("ports", "pts"),
    ("total", "t"),
    ("interface", "if"),
    ("port", "pt"),
    ("network_stats", "ns"),
    ("bytes_in", "bi"),
    ("bytes_out", "bo"),
    ("packets_in", "pi"),
    ("packets_out", "po"),
    ("tcp_connections", "tc"),
    ("established_connections", "ec"),
    ("connections", "cs"),
    ("local_interface", "li"),
    ("local_port", "lp"),
    ("remote_addr", "rad"),
];

fn renamed(document: Value, names: &[(&str, &str)]) -> Value {
    let short = |name: String| {
        names.iter().find(|(long, _)| *long == name).map_or(name, |(_, short)| (*short).to_owned())
    };
    match document {
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (short(name), renamed(value, names))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| renamed(item, names)).collect(),
        value => value,
    }
}

fn drawn(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap_or(0) % below.max(1)
}

/// All members in an order that the seed gives.
fn shuffled(document: Value, seed: &mut u64) -> Value {
    match document {
        Value::Object(members) => {
            let mut left: Vec<(String, Value)> = members.into_iter().collect();
            let mut members = Map::new();
            while !left.is_empty() {
                let (name, value) = left.swap_remove(drawn(seed, left.len()));
                members.insert(name, shuffled(value, seed));
            }
            Value::Object(members)
        }
        // Items of one list are alike.
        Value::Array(items) => {
            let before = *seed;
            items.into_iter().map(|item| shuffled(item, &mut { before })).collect()
        }
        value => value,
    }
}

fn eight(document: Value, agent: u64) -> String {
    let document = shuffled(document, &mut { agent * 31 + 5 });
    let document = if agent.is_multiple_of(2) { document } else { renamed(document, &SHORT) };
    if agent < 6 { document.to_string() } else { format!("{document:#}") }
}

/// Some items of each list are left out.
fn cut(document: Value, seed: u64) -> Value {
    match document {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, cut(value, seed))).collect(),
        Value::Array(items) => {
            let keep = 1 + drawn(&mut { seed }, items.len());
            items.into_iter().take(keep).collect()
        }
        value => value,
    }
}
