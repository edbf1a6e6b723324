//! RabbitMQ's files, divided by NUL: no panic, and what [`broker::audited`] asserts.
#![no_main]

#[path = "support/broker.rs"]
mod broker;

const NAMES: [&str; 5] =
    ["rabbitmq.conf", "definitions.json", "enabled_plugins", "conf.d/a.conf", "rabbitmq-env.conf"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    broker::audited(bytes, NAMES);
});
