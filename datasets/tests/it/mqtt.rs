//! MQTT captures: packets, control packets and events.

use std::collections::BTreeMap;

use datasets::mqtt_capture::{self, CaptureCounts};
use fleet::event::{DisconnectReason, EventKind};

use crate::support;

const TYPES: [&str; 16] = [
    "", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
    "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
];

fn counts(file: &str) -> CaptureCounts {
    mqtt_capture::decode(&support::read("mqttset-pcap", file), &mut |_| ()).unwrap()
}

#[test]
fn packets_and_control_packets_are_those_of_the_readme_and_of_an_independent_decoding() {
    let files = [
        ("benign-5mb-train", "pcap", 31_809, 7),
        ("bruteforce-train", "pcapng", 8_918, 889),
        ("flood-train", "pcap", 58, 1),
        ("malformed-train", "pcap", 7_315, 606),
    ];
    for (name, form, packets, _connections) in files {
        let counts = counts(&format!("{name}.{form}.gz"));
        println!("{name} {counts:?}");
        assert_eq!(counts.packets, packets, "{name}");
        let theirs = support::read("mqttset-pcap", &format!("{name}.events.csv.gz"));
        let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
        for row in support::table(&theirs) {
            let index = TYPES.iter().position(|kind| *kind == row["type"]);
            if let Some(index) = index {
                *expected.entry(TYPES[index]).or_default() += 1;
            }
        }
        let ours = TYPES.iter().zip(counts.control).filter(|(_, count)| *count > 0);
        assert_eq!(ours.map(|(kind, count)| (*kind, count)).collect::<BTreeMap<_, _>>(), expected, "{name}");
    }
}

#[test]
fn p() {
    for name in ["benign-5mb-train", "bruteforce-train", "flood-train", "malformed-train"] {
        let r = support::open("mqttset-pcap", name);
        println!("{name} {:?} {:?}", support::kinds(&r), r.truths);
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        support::play(&r, &mut |event| {
            if let EventKind::Disconnect { reason, raw, .. } = event.kind {
                *reasons.entry(format!("{reason:?} {raw}")).or_default() += 1;
            }
        });
        println!("{reasons:?}");
    }
    let _ = DisconnectReason::Clean;
}
