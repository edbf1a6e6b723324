//! MQTT captures: packets, control packets and events, against the README of the set and its
//! independent decoding (`<name>.events.csv.gz`).

use std::collections::BTreeMap;

use datasets::mqtt_capture::{self, CaptureCounts};
use fleet::{
    event::{Attribution, DisconnectReason, EventKind},
    time::Timestamp,
};

use crate::support;

const TYPES: [&str; 16] = [
    "",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

fn counts(file: &str) -> CaptureCounts {
    mqtt_capture::decode(&support::read("mqttset-pcap", file), &mut |_| ()).unwrap()
}

fn theirs(name: &str) -> Vec<BTreeMap<String, String>> {
    support::table(&support::read("mqttset-pcap", &format!("{name}.events.csv.gz")))
}

/// Seconds with six digits, as the table has them, in whole milliseconds.
fn millis(ts: &str) -> i64 {
    let (secs, micros) = ts.split_once('.').unwrap();
    secs.parse::<i64>().unwrap() * 1000 + micros.parse::<i64>().unwrap() / 1000
}

#[test]
fn packets_and_control_packets_are_those_of_the_readme_and_of_an_independent_decoding() {
    let files = [
        ("benign-5mb-train", "pcap", 31_809, 7, 2761.2),
        ("bruteforce-train", "pcapng", 8_918, 889, 1351.7),
        ("flood-train", "pcap", 58, 1, 17.8),
        ("malformed-train", "pcap", 7_315, 606, 169.6),
    ];
    for (name, form, packets, connections, secs) in files {
        let counts = counts(&format!("{name}.{form}.gz"));
        assert_eq!((counts.packets, counts.connections), (packets, connections), "{name}");
        assert_eq!((counts.malformed, counts.gaps, counts.other_packets), (0, 0, 0), "{name}");
        let rows = theirs(name);
        let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
        for kind in rows.iter().filter_map(|row| TYPES.iter().find(|kind| **kind == row["type"])) {
            *expected.entry(kind).or_default() += 1;
        }
        let ours = TYPES.iter().zip(counts.control).filter(|(_, count)| *count > 0);
        assert_eq!(ours.map(|(kind, count)| (*kind, count)).collect::<BTreeMap<_, _>>(), expected, "{name}");
        let (first, last) = (counts.first.unwrap(), counts.last.unwrap());
        assert_eq!(first.millis(), millis(&rows[0]["ts"]), "{name}");
        // The README's span is that of the table; acknowledgements come a little later.
        let span = last.millis_since(first) as f64 / 1000.0;
        assert!((secs - 0.1..secs + 3.0).contains(&span), "{name}: {span}");
    }
}

#[test]
fn every_message_has_the_client_time_topic_and_size_of_the_independent_decoding() {
    for name in ["benign-5mb-train", "flood-train"] {
        let mut clients: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut expected: Vec<(i64, String, bool, String, u32)> = Vec::new();
        for row in theirs(name) {
            let peer = (row["client"].clone(), row["port"].clone());
            match row["type"].as_str() {
                "CONNECT" => drop(clients.insert(peer, row["client_id"].clone())),
                "PUBLISH" => expected.push((
                    millis(&row["ts"]),
                    clients[&peer].clone(),
                    row["dir"] == "up",
                    row["topic"].clone(),
                    row["payload_len"].parse().unwrap(),
                )),
                _ => {}
            }
        }
        let mut ours = Vec::new();
        support::play(&support::open("mqttset-pcap", name), &mut |event| {
            let at = event.at.millis();
            match event.kind {
                EventKind::Publish { client, topic, bytes } => {
                    ours.push((at, client.to_owned(), true, topic.to_owned(), bytes));
                }
                EventKind::Delivery { client, topic, bytes } => {
                    ours.push((at, client.to_owned(), false, topic.to_owned(), bytes));
                }
                _ => {}
            }
        });
        // The table is sorted by time, and has packets of one segment at the time of their end.
        expected.sort();
        ours.sort();
        assert_eq!(ours.len(), expected.len(), "{name}");
        let without_time = |all: &[(i64, String, bool, String, u32)]| {
            let mut all: Vec<_> = all.iter().map(|it| (it.1.clone(), it.2, it.3.clone(), it.4)).collect();
            all.sort();
            all
        };
        assert_eq!(without_time(&ours), without_time(&expected), "{name}");
        let times =
            |all: &[(i64, String, bool, String, u32)]| -> Vec<i64> { all.iter().map(|it| it.0).collect() };
        let apart = times(&ours).iter().zip(times(&expected)).map(|(a, b)| (a - b).abs()).max();
        assert!(apart.unwrap() <= 1000, "{name}: {apart:?} ms apart");
    }
}

#[test]
fn what_the_events_say() {
    let cases: [(&str, &[(&str, u64)]); 4] = [
        ("benign-5mb-train", &[("connect", 7), ("delivery", 11_081), ("publish", 8_417), ("subscribe", 5)]),
        ("bruteforce-train", &[("auth-failure", 889)]),
        ("flood-train", &[("connect", 1), ("publish", 39_452)]),
        (
            "malformed-train",
            // 606 connections, of which 552 sent a CONNECT and were accepted.
            &[
                ("connect", 552),
                ("connection-error", 606 - 552),
                ("delivery", 2_143),
                ("disconnect", 552),
                ("publish", 2_956 - 2_143),
                ("subscribe", 56),
            ],
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(
            support::kinds(&support::open("mqttset-pcap", name)),
            expected.iter().copied().collect(),
            "{name}"
        );
    }
}

#[test]
fn guesses_are_charged_to_the_address_of_the_guesser() {
    let recording = support::open("mqttset-pcap", "bruteforce-train");
    let mut claims: BTreeMap<String, u64> = BTreeMap::new();
    support::play(&recording, &mut |event| {
        let EventKind::AuthFailure(failure) = event.kind else { panic!("{event:?}") };
        assert_eq!(failure.ip, Some("192.168.1.90".parse().unwrap()));
        assert_eq!(failure.attribution, Attribution::Address);
        *claims.entry(format!("{:?} {:?}", failure.claimed_client, failure.claimed_user)).or_default() += 1;
    });
    // 885 rows of the independent decoding name the user, 4 name the client id.
    let expected = [("None None", 4), (r#"None Some("user")"#, 881), (r#"Some("user") Some("user")"#, 4)];
    assert_eq!(claims, expected.map(|(claim, count)| (claim.to_owned(), count)).into());
    let truth = &recording.truths[0];
    assert_eq!((truth.from, truth.parts), (Timestamp::from_millis(1_592_812_177_370), 8_918));
}

#[test]
fn fuzzed_sessions_end_uncleanly() {
    support::play(&support::open("mqttset-pcap", "malformed-train"), &mut |event| {
        if let EventKind::Disconnect { reason, .. } = event.kind {
            assert_eq!(reason, DisconnectReason::Unclean);
        }
    });
}
