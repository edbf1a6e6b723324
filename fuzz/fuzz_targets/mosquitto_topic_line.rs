//! A session of log lines as `$SYS/broker/log/#` carries them: each line is a topic and a payload.
#![no_main]

mod support;

use brokers::mosquitto::log::{LogDecoder, topic_line};
use libfuzzer_sys::fuzz_target;
use support::Message;

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<Vec<u8>> = bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let end = line.iter().position(|&byte| byte == b' ')?;
            topic_line(std::str::from_utf8(&line[..end]).ok()?, &line[end + 1..])
        })
        .collect();
    let messages: Vec<Message<'_>> = lines.iter().map(|payload| Message { subject: "", payload }).collect();
    support::check(LogDecoder::new, &messages, messages.len() / 2);
});
