//! Mosquitto's files, divided by NUL: no panic, and what [`broker::audited`] asserts.
#![no_main]

#[path = "support/broker.rs"]
mod broker;

const NAMES: [&str; 5] = ["mosquitto.conf", "passwd", "conf.d/a.conf", "d.json", "crl"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let files = broker::audited(bytes, NAMES);
    let _ = audits::broker::client_ids(&files);
});
