//! A NATS server's files, divided by NUL: no panic, and what [`broker::audited`] asserts.
#![no_main]

#[path = "support/broker.rs"]
mod broker;

const NAMES: [&str; 5] = ["nats-server.conf", "auth.conf", "a.conf", "b.conf", "c.conf"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    broker::audited(bytes, NAMES);
});
