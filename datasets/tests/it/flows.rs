//! Connection logs as device reports, against the READMEs and the sums that IoT-23 comes with.

use std::collections::{BTreeMap, BTreeSet};

use datasets::{
    flows::{Flow, Flows, Link, agent},
    recording::{Entity, Recording, Truth},
};
use fleet::{event::EventKind, time::Timestamp};
use proptest::prelude::*;

use crate::support;

/// Reports of a recording: time, thing, bytes and packets out and in.
fn reports(recording: &Recording) -> Vec<(Timestamp, String, [u64; 4])> {
    let mut found = Vec::new();
    support::play(recording, &mut |event| {
        let EventKind::Report { thing, report, .. } = event.kind else { panic!("{event:?}") };
        let numbers = [report.bytes_out, report.bytes_in, report.packets_out, report.packets_in];
        found.push((event.at, thing.to_owned(), numbers.map(Option::unwrap)));
    });
    found
}

fn sum(all: impl IntoIterator<Item = [u64; 4]>) -> [u64; 4] {
    all.into_iter().fold([0; 4], |sum, each| std::array::from_fn(|index| sum[index] + each[index]))
}

#[test]
fn iot_23_sums_are_those_that_come_with_the_set() {
    let windows = support::table(&support::read("iot23-conn", "device_windows_300s.csv.gz"));
    for (name, at_least) in [("8-1", 200), ("20-1", 1), ("honeypot-4-1", 0)] {
        let theirs: BTreeMap<i64, [u64; 4]> = windows
            .iter()
            .filter(|row| row["capture"] == name)
            .map(|row| {
                let number = |column: &str| row[column].parse().unwrap();
                let end = (row["window_start"].parse::<i64>().unwrap() + 300) * 1000;
                (end, ["bytes_out", "bytes_in", "packets_out", "packets_in"].map(number))
            })
            .collect();
        let ours: BTreeMap<i64, [u64; 4]> = reports(&support::open("iot23-conn", name))
            .into_iter()
            .map(|(at, _, numbers)| (at.millis(), numbers))
            .collect();
        assert_eq!(sum(ours.values().copied()), sum(theirs.values().copied()), "{name}");
        // Theirs has a flow in the window in which it starts, ours spreads it over those that it touches.
        let spread = windows_of_long_flows(name);
        let whole: Vec<_> = theirs.iter().filter(|(end, _)| !spread.contains(end)).collect();
        for (end, numbers) in &whole {
            assert_eq!(ours.get(end).unwrap_or(&[0; 4]), *numbers, "{name}: window that ends at {end}");
        }
        assert!(whole.len() >= at_least, "{name}: {}", whole.len());
    }
}

/// Ends (ms) of the windows that are touched by a flow which touches more than one.
fn windows_of_long_flows(name: &str) -> BTreeSet<i64> {
    let rows = support::table(&support::read("iot23-conn", &format!("{name}.conn.csv.gz")));
    let window = |secs: f64| (secs / 300.0).floor() as i64;
    rows.iter()
        .flat_map(|row| {
            let from: f64 = row["ts"].parse().unwrap();
            let (first, last) = (window(from), window(from + row["duration"].parse().unwrap_or(0.0)));
            (first..=last).filter(move |_| first != last)
        })
        .map(|window| (window + 1) * 300_000)
        .collect()
}

fn only(truths: &[Truth]) -> &Truth {
    assert_eq!(truths.len(), 1, "{truths:?}");
    &truths[0]
}

#[test]
fn labels_are_those_of_the_readmes() {
    let cases = [
        ("iot23-conn", "8-1", "C&C", 8_222, "host-192-168-100-113"),
        ("iot23-conn", "20-1", "C&C-Torii", 16, "host-192-168-100-103"),
        ("stratosphere-zeek", "008-zeek-mixed", "External-Attack-to-Device", 4_201, "host-147-32-81-167"),
        ("stratosphere-zeek", "010-zeek-mixed", "External-Attack-to-Device", 3_373, "host-147-32-83-234"),
    ];
    for (set, name, kind, parts, thing) in cases {
        let recording = support::open(set, name);
        let truth = only(&recording.truths);
        assert_eq!((truth.kind.as_str(), truth.parts), (kind, parts), "{name}");
        assert_eq!(truth.entities, [Entity::Thing(thing.to_owned())]);
        let reports = reports(&recording);
        assert!(reports.iter().all(|(_, reporter, _)| reporter == thing));
        assert!(reports[0].0 <= truth.from.plus_millis(600_000) || truth.from > reports[0].0);
    }
    // First malicious flow: 2018-07-31 14:24:04.299 UTC, 4132.8 s into the capture.
    assert_eq!(support::open("iot23-conn", "8-1").truths[0].from, Timestamp::from_millis(1_533_047_044_299));
    for name in ["honeypot-4-1", "honeypot-5-1"] {
        assert!(support::open("iot23-conn", name).truths.is_empty(), "{name}");
    }
}

#[test]
fn nemea_has_two_devices_and_five_captures_with_an_anomaly() {
    let recording = support::open("nemea-siot-flows", "flows");
    let kinds: Vec<(&str, u64)> = recording.truths.iter().map(|it| (it.kind.as_str(), it.parts)).collect();
    // 1101 flows of five captures, as labelled upstream.
    assert_eq!(kinds.iter().map(|(_, parts)| parts).sum::<u64>(), 1_101);
    assert_eq!(kinds.iter().filter(|(kind, _)| *kind == "network storage down").count(), 4);
    assert_eq!(kinds.iter().filter(|(kind, _)| *kind == "recording stopped").count(), 1);
    let things: BTreeSet<String> = reports(&recording).into_iter().map(|(_, thing, _)| thing).collect();
    assert_eq!(things.into_iter().collect::<Vec<_>>(), ["host-192-168-3-213", "host-192-168-5-20"]);
}

#[test]
fn iot_sentinel_has_282_setups_of_16_types_and_nothing_is_lost() {
    let recording = support::open("iot-sentinel-setup", "flows");
    assert!(recording.truths.is_empty());
    let reports = reports(&recording);
    let things: BTreeSet<&str> = reports.iter().map(|(_, thing, _)| thing.as_str()).collect();
    assert_eq!(things.len(), 282);
    let types: BTreeSet<&str> = things.iter().map(|thing| thing.split("-Setup-").next().unwrap()).collect();
    assert_eq!(types.len(), 16);
    let rows = support::table(&support::read("iot-sentinel-setup", "flows.csv.gz"));
    assert_eq!(rows.len(), 8_894);
    let columns = ["bytes_out", "bytes_in", "packets_out", "packets_in"];
    let theirs = sum(rows.iter().map(|row| columns.map(|column| row[column].parse().unwrap())));
    assert_eq!(sum(reports.into_iter().map(|(_, _, numbers)| numbers)), theirs);
}

#[test]
fn westermo_attacks_have_the_times_of_the_events_and_the_devices_of_the_labelled_flows() {
    let recording = support::open("westermo-ics-flows", "left");
    let ssh: Vec<&Truth> = recording.truths.iter().filter(|truth| truth.kind == "BAD-SSH").collect();
    // `BAD-SSH-START` of 1678440732.170, target 198.18.134.6, by the attacker 198.18.134.99.
    assert_eq!(
        (ssh[0].from, ssh[0].to),
        (Timestamp::from_millis(1_678_440_732_170), Timestamp::from_millis(1_678_440_859_636))
    );
    for name in ["host-198-18-134-6", "host-198-18-134-99"] {
        assert!(ssh[0].entities.contains(&Entity::Thing(name.to_owned())), "{:?}", ssh[0]);
    }
    assert!(ssh[0].entities.len() <= 3, "{:?}", ssh[0]);
    assert!(recording.truths.iter().all(|truth| truth.kind.starts_with("BAD-")));
    support::play(&recording, &mut |event| {
        let EventKind::Report { report, .. } = event.kind else { panic!("{event:?}") };
        assert_eq!(report.connections_total, None, "the flows have no ports");
        assert_eq!(event.at.millis() % 60_000, 0);
    });
}

#[test]
fn a_report_tells_what_an_agent_sees_when_it_reports() {
    let at = |secs: i64| Timestamp::from_secs(600 + secs);
    let flow = |from: i64, to: i64, link: Link, bytes_out: u64| Flow {
        device: "pump".into(),
        from: at(from),
        to: at(to),
        remote: Some(format!("198.51.100.{}", from % 200).parse().unwrap()),
        link,
        bytes_out,
        bytes_in: 0,
        packets_out: 1,
        packets_in: 0,
        attack: None,
    };
    let tcp = |listening| Link::Tcp { listening };
    let flows = Flows {
        flows: vec![
            flow(0, 10, tcp(None), 7),
            flow(10, 300, tcp(None), 0),
            flow(20, 301, tcp(Some(80)), 0),
            flow(150, 450, tcp(None), 101),
            flow(30, 2000, Link::None, 0),
            flow(1000, 1001, Link::UdpServed(53), 0),
        ],
        knows_connections: true,
        ..Flows::default()
    };
    let seen: Vec<String> = agent::reports(&flows, 300)
        .into_iter()
        .map(|it| {
            let r = it.report;
            let remotes: Vec<String> = r.remote_addresses.iter().map(ToString::to_string).collect();
            format!(
                "{} out={} connections={:?} tcp={:?} udp={:?}",
                it.at.secs() - 600,
                r.bytes_out.unwrap(),
                remotes,
                r.tcp_ports,
                r.udp_ports
            )
        })
        .collect();
    assert_eq!(
        seen[..4],
        [
            // A connection that ends with the interval is over; one second more and it is seen.
            r#"300 out=57 connections=["198.51.100.20", "198.51.100.150"] tcp=[80] udp=[]"#,
            "600 out=51 connections=[] tcp=[80] udp=[]",
            "900 out=0 connections=[] tcp=[80] udp=[]",
            "1200 out=0 connections=[] tcp=[80] udp=[53]",
        ]
    );
}

proptest! {
    #[test]
    fn nothing_is_lost_and_times_never_go_back(
        flows in proptest::collection::vec((0_i64..100_000_000, 0_i64..20_000_000, 0_u64..1 << 40, 0_u8..3), 0..30),
        interval in 1_u32..4000,
    ) {
        let flow = |(from, length, bytes, device): &(i64, i64, u64, u8)| Flow {
            device: format!("d{device}"),
            from: Timestamp::from_millis(*from),
            to: Timestamp::from_millis(from + length),
            remote: None,
            link: Link::None,
            bytes_out: *bytes,
            bytes_in: bytes / 3,
            packets_out: bytes % 1000,
            packets_in: 1,
            attack: None,
        };
        let flows = Flows { flows: flows.iter().map(flow).collect(), ..Flows::default() };
        let reports = agent::reports(&flows, interval);
        let told = reports.iter().map(|it| {
            let r = &it.report;
            [r.bytes_out, r.bytes_in, r.packets_out, r.packets_in].map(Option::unwrap)
        });
        let meant = flows.flows.iter().map(|it| [it.bytes_out, it.bytes_in, it.packets_out, it.packets_in]);
        prop_assert_eq!(sum(told), sum(meant));
        prop_assert!(reports.is_sorted_by(|a, b| (a.at, &a.thing) < (b.at, &b.thing)), "each once, in order");
    }
}
