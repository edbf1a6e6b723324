//! A session of Mosquitto's log, line by line, with save and restore somewhere in it; and any bytes as
//! a saved state.
#![no_main]

mod support;

use brokers::mosquitto::log::LogDecoder;
use detector::input::Decoder as _;
use libfuzzer_sys::fuzz_target;
use support::Message;

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<Message<'_>> =
        bytes.split(|&byte| byte == b'\n').map(|payload| Message { subject: "", payload }).collect();
    support::check(LogDecoder::new, &lines, lines.len() / 2);
    drop(LogDecoder::new().restore(bytes));
});
