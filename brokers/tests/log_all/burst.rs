//! 200 connections at once on 2.0.11, where a refused login names nobody.

use std::collections::BTreeMap;

use brokers::mosquitto::log::LogDecoder;
use detector::input::{Decoder as _, SourceId};
use fleet::event::{Attribution, EventKind};

use super::support::{ARRIVAL, SOURCE, capture, jsonl, lines};

/// Connections of the truth file by address: how many were refused.
fn refused(name: &str) -> BTreeMap<String, usize> {
    let mut refused = BTreeMap::new();
    for connection in jsonl(&format!("mosquitto-logs/{name}.truth.jsonl")) {
        let is_refused = connection["r"] == "CONNACK 0005";
        *refused.entry(connection["src"].as_str().unwrap().to_owned()).or_default() +=
            usize::from(is_refused);
    }
    refused
}

/// Accepted connections of the truth file.
fn accepted(name: &str) -> Vec<(String, String)> {
    let mut accepted: Vec<_> = jsonl(&format!("mosquitto-logs/{name}.truth.jsonl"))
        .iter()
        .filter(|connection| connection["r"] == "CONNACK 0000")
        .map(|connection| {
            let text = |field: &str| connection[field].as_str().unwrap().to_owned();
            (text("client_id"), text("src"))
        })
        .collect();
    accepted.sort();
    accepted
}

#[test]
fn every_failure_is_charged_to_the_right_address_and_every_login_is_seen() {
    for name in ["2.0.11-burst-all", "2.0.11-burst-default"] {
        let mut decoder = LogDecoder::new();
        let mut charged = BTreeMap::<String, usize>::new();
        let mut connected = Vec::new();
        let log = capture(&format!("{name}.log"));
        for line in lines(&log) {
            decoder.decode(SOURCE, ARRIVAL, "", line, &mut |event| match event.kind {
                EventKind::AuthFailure(failure) => {
                    assert_eq!(failure.attribution, Attribution::Address);
                    assert_eq!((failure.claimed_client, failure.claimed_user), (None, None));
                    *charged.entry(failure.ip.unwrap().to_string()).or_default() += 1;
                }
                EventKind::Connect(connect) if connect.client.starts_with("dev-") => {
                    connected.push((connect.client.to_owned(), connect.ip.unwrap().to_string()));
                }
                _ => {}
            });
        }
        let mut expected = refused(name);
        expected.retain(|_, failures| *failures > 0);
        assert_eq!(charged, expected, "{name}");
        assert_eq!(charged.values().sum::<usize>(), 87, "{name}");
        connected.sort();
        assert_eq!(connected, accepted(name), "{name}");
    }
}

/// Each group of failures is exactly the group of connections that were refused in that stretch
/// of the log, address by address, not only in the sum over the file.
#[test]
fn each_group_of_failures_has_the_addresses_of_its_connections() {
    for name in ["2.0.11-burst-all", "2.0.11-burst-default"] {
        let truth: BTreeMap<(String, u64), bool> = jsonl(&format!("mosquitto-logs/{name}.truth.jsonl"))
            .iter()
            .map(|it| {
                let peer = (it["src"].as_str().unwrap().to_owned(), it["src_port"].as_u64().unwrap());
                (peer, it["r"] == "CONNACK 0005")
            })
            .collect();
        let mut decoder = LogDecoder::new();
        // Refused connections that were accepted and are not charged yet, by address.
        let mut open = BTreeMap::<String, i64>::new();
        let log = capture(&format!("{name}.log"));
        for line in lines(&log) {
            let text = String::from_utf8_lossy(line);
            if let Some((_, rest)) = text.split_once(": New connection from ") {
                let (ip, port) = rest.split_once(" on ").unwrap().0.rsplit_once(':').unwrap();
                let peer = (ip.to_owned(), port.parse().unwrap());
                if truth.get(&peer) == Some(&true) {
                    *open.entry(peer.0).or_default() += 1;
                }
            }
            decoder.decode(SourceId(1), ARRIVAL, "", line, &mut |event| {
                if let EventKind::AuthFailure(failure) = event.kind {
                    let left = open.entry(failure.ip.unwrap().to_string()).or_default();
                    *left -= 1;
                    assert!(*left >= 0, "{name}: {text}: charged to an address that has failed less often");
                }
            });
        }
        assert!(open.values().all(|left| *left == 0), "{name}: {open:?}");
    }
}
