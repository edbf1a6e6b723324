//! Recorded events, one a line; an event that was read is written and read as the same.
#![no_main]

mod support;

use brokers::recorded::{RecordedDecoder, encode};
use detector::input::{Decoder, SourceId};
use fleet::{event::Event, time::Timestamp};
use libfuzzer_sys::fuzz_target;
use support::Message;

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<Message<'_>> =
        bytes.split(|&byte| byte == b'\n').map(|payload| Message { subject: "", payload }).collect();
    support::check(RecordedDecoder::new, &lines, lines.len() / 2);
    for line in lines {
        let Some((event, encoded)) = read(line.payload) else { continue };
        let (again, encoded_again) =
            read(&encoded).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&encoded)));
        assert_eq!(encoded, encoded_again);
        // A report keeps the same values, at other places of its arenas.
        if !event.contains("Report {") {
            assert_eq!(event, again);
        }
    }
});

/// The event of a line as text, and encoded again.
fn read(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut found = None;
    let mut sink = |event: &Event<'_>| {
        let mut encoded = Vec::new();
        encode(event, &mut encoded);
        found = Some((format!("{event:?}"), encoded));
    };
    RecordedDecoder::new().decode(SourceId(1), Timestamp::from_secs(0), "", line, &mut sink);
    found
}
