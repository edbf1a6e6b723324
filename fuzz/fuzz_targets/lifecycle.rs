//! Lifecycle messages: one a line, of the client `c`, or of the one before a tab; and any bytes
//! as a saved state.
#![no_main]

mod support;

use brokers::lifecycle::LifecycleDecoder;
use detector::input::Decoder as _;
use libfuzzer_sys::fuzz_target;
use support::Message;

fuzz_target!(|bytes: &[u8]| {
    let messages: Vec<Message<'_>> = bytes
        .split(|&byte| byte == b'\n')
        .map(|line| match line.iter().position(|&byte| byte == b'\t') {
            Some(at) => {
                Message { subject: std::str::from_utf8(&line[..at]).unwrap_or("c"), payload: &line[at + 1..] }
            }
            None => Message { subject: client(line).unwrap_or("c"), payload: line },
        })
        .collect();
    support::check(LifecycleDecoder::new, &messages, messages.len() / 2);
    drop(LifecycleDecoder::new().restore(bytes));
});

/// The client that a well-formed message names, so that mutations need not guess it twice.
fn client(line: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(line).ok()?.split_once("\"clientId\":\"")?;
    rest.split('"').next()
}
