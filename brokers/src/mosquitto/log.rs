//! Mosquitto's log as events: versions 1.4 to 2.1, any `log_type`.
//!
//! The formats and what they leave out: `broker-integration.md`, sections 2.1 to 2.5. A line goes
//! through three steps: its timestamp (`stamp`), what it says on its own (`line`), and what
//! that means given what the broker said before (`source`). Ids, user names and topics are
//! chosen by clients; where a line could be two things and nothing decides, it is counted and
//! gives no event.

mod coverage;
mod filters;
mod line;
mod sessions;
mod source;
mod stamp;
mod topic;
mod unresolved;

use std::collections::BTreeMap;

use detector::input::{Decoded, Decoder, Refusal, SourceId};
use fleet::{event::Event, time::Timestamp};
use serde::{Deserialize, Serialize};

pub use coverage::{LogForm, coverage};
pub use topic::{gap_line, topic_line};

use source::{Effect, Place, Source};

/// Longest line read, bytes. Mosquitto's own limit is [`CUT_BYTES`].
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// The broker cuts a line at this length, timestamp included. A line of exactly this length is
/// taken to be cut.
pub const CUT_BYTES: usize = 999;

/// Version of [`LogDecoder::save`].
const STATE_VERSION: u8 = 1;

/// Lines that gave no event although something may have happened, since the decoder was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines of no known form.
    pub unknown_lines: u64,
    /// Lines that the broker cut, so that facts are missing.
    pub cut_lines: u64,
    /// Lines that an id or topic made to look like two things.
    pub ambiguous_lines: u64,
    /// Ends of sessions that had ended already.
    pub unmatched_ends: u64,
    /// Sessions beyond the bound of those remembered.
    pub untracked_sessions: u64,
}

/// Decodes Mosquitto log lines, one at a time, of any number of brokers.
#[derive(Debug, Default)]
pub struct LogDecoder {
    sources: BTreeMap<SourceId, Source>,
    offsets: BTreeMap<SourceId, i32>,
    counters: Counters,
}

#[derive(Serialize, Deserialize)]
struct State<T> {
    version: u8,
    sources: T,
}

impl LogDecoder {
    /// A decoder that knows nothing of any broker. Timestamps without zone are read as UTC.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Timestamps without zone in the log of `source` are `offset_secs` east of UTC.
    #[must_use]
    pub fn with_offset(mut self, source: SourceId, offset_secs: i32) -> Self {
        self.offsets.insert(source, offset_secs);
        self
    }

    /// Lines that gave no event although something may have happened.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Lines of no known form.
    #[must_use]
    pub const fn unknown_lines(&self) -> u64 {
        self.counters.unknown_lines
    }
}

impl Decoder for LogDecoder {
    fn decode(
        &mut self,
        source: SourceId,
        arrival: Timestamp,
        _subject: &str,
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Decoded {
        let (class, bytes) = topic::unmark(payload);
        let text = match text_of(bytes) {
            Ok(text) => text,
            Err(refusal) => return Decoded::Refused(refusal),
        };
        // A source is remembered from its first line that matters.
        let mut new = None;
        let state = match self.sources.get_mut(&source) {
            Some(known) => known,
            None => new.insert(Source::default()),
        };
        if class == topic::Class::Gap {
            state.gap(sink);
            return Decoded::Relevant { report_id: None };
        }
        let cut = bytes.len() == CUT_BYTES;
        let offset = self.offsets.get(&source).copied().unwrap_or(0);
        let stamp = stamp::split(text, offset);
        let (at, text) = stamp.unwrap_or((arrival, text));
        let line = line::read(text, cut);
        if !state.takes(stamp.is_some(), &line) {
            return Decoded::Irrelevant;
        }
        let place = Place { class, at, arrival };
        match state.take(text, &line, stamp.is_some(), place, &mut self.counters, sink) {
            Effect::None => Decoded::Irrelevant,
            Effect::Some => {
                if let Some(new) = new {
                    self.sources.insert(source, new);
                }
                Decoded::Relevant { report_id: None }
            }
        }
    }

    fn tick(&mut self, now: Timestamp, sink: &mut dyn FnMut(&Event<'_>)) {
        for source in self.sources.values_mut() {
            source.tick(now, sink);
        }
    }

    fn save(&self) -> Vec<u8> {
        // Writing to memory cannot fail; an empty state would be refused by `restore`.
        postcard::to_stdvec(&State { version: STATE_VERSION, sources: &self.sources }).unwrap_or_default()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let version = state.first().copied();
        if version != Some(STATE_VERSION) {
            return Err(format!("state of the log decoder: version {version:?}; expected {STATE_VERSION}"));
        }
        let state: State<BTreeMap<SourceId, Source>> =
            postcard::from_bytes(state).map_err(|error| format!("state of the log decoder: {error}"))?;
        self.sources = state.sources;
        Ok(())
    }
}

/// For fuzzing: decodes the lines of any text, with a save and a restore in between.
///
/// # Panics
/// When a restored decoder does not go on as the saved one.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let (mut decoder, mut restored) = (LogDecoder::new(), LogDecoder::new());
    for line in bytes.split(|&byte| byte == b'\n') {
        let (mut events, mut again) = (0_u64, 0_u64);
        let arrival = Timestamp::from_secs(1_700_000_000);
        let decoded = decoder.decode(SourceId(0), arrival, "", line, &mut |_| events += 1);
        let repeated = restored.decode(SourceId(0), arrival, "", line, &mut |_| again += 1);
        assert_eq!((&decoded, events), (&repeated, again));
        assert!(events == 0 || matches!(decoded, Decoded::Relevant { .. }));
        restored = LogDecoder::new();
        assert_eq!(restored.restore(&decoder.save()), Ok(()));
    }
}

/// The line as text, without line end, without the half of a character at a cut.
fn text_of(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(refusal(
            "line-too-long",
            format!("log line: {} bytes; allowed are {LINE_BYTES_MAX}", bytes.len()),
        ));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let is_cut = bytes.len() == CUT_BYTES && error.error_len().is_none();
            match std::str::from_utf8(valid) {
                Ok(text) if is_cut => text,
                _ => {
                    let found = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
                    return Err(refusal(
                        "not-utf-8",
                        format!(
                            "log line: byte 0x{found:02x} at offset {}; allowed is UTF-8 text",
                            error.valid_up_to()
                        ),
                    ));
                }
            }
        }
    };
    Ok(text.trim_end_matches(['\r', '\n']))
}

fn refusal(reason: &'static str, message: String) -> Refusal {
    Refusal { report_id: None, reason, message }
}
