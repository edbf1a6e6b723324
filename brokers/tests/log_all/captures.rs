//! The captures with labelled scenarios.

use brokers::mosquitto::log::LogDecoder;

use super::support::{capture, events_by_line, listing};

const CAPTURES: [&str; 11] = [
    "2.0.11-burst-all",
    "2.0.11-burst-default",
    "2.0.11-dynsec-all",
    "2.0.11-plain-all",
    "2.0.11-plain-default",
    "2.0.11-tls-all",
    "2.0.11-tls-crl-failure-all",
    "2.1.2-dynsec-all",
    "2.1.2-plain-all",
    "2.1.2-plain-default",
    "2.1.2-tls-all",
];

#[test]
fn dump() {
    for name in CAPTURES {
        let mut decoder = LogDecoder::new();
        let events = events_by_line(&mut decoder, &capture(&format!("{name}.log")));
        std::fs::write(format!("/tmp/t/mosqlog-{name}.events.txt"), listing(&events)).unwrap();
        println!("{name} {:?}", decoder.counters());
    }
}
