//! What sources hand to the engine, and what they get back.

use std::fmt;

use fleet::{
    event::{Event, Fact},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A source of this process, as numbered by the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(pub u16);

/// How the bytes of an input are to be read. The number is written to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Format {
    /// A device report, JSON; `subject` is the thing of the topic.
    ReportJson = 1,
    /// A device report, CBOR; `subject` is the thing of the topic.
    ReportCbor = 2,
    /// A line of Mosquitto's log, without its line end.
    MosquittoLog = 3,
    /// An AWS-style lifecycle event, JSON; `subject` is the client id of the topic.
    Lifecycle = 4,
    /// An event of the embedded broker or a recorded stream, one JSON object (`brokers::recorded`).
    Recorded = 5,
}

impl Format {
    /// From the number in the journal.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::ReportJson),
            2 => Some(Self::ReportCbor),
            3 => Some(Self::MosquittoLog),
            4 => Some(Self::Lifecycle),
            5 => Some(Self::Recorded),
            _ => None,
        }
    }
}

/// One message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it came from.
    pub source: SourceId,
    /// How to read it.
    pub format: Format,
    /// When it arrived. The engine never lets arrival go back.
    pub arrival: Timestamp,
    /// The source's own position after this message (a byte offset of a log file), 0 if it has none.
    /// After a crash the source is asked to go on from the last position in the journal.
    pub position: u64,
    /// Thing or client id that the topic names; empty for logs.
    pub subject: Box<str>,
    /// The bytes.
    pub payload: Box<[u8]>,
    /// The source's own mark, given back in the [`Receipt`].
    pub tag: u64,
}

/// What became of an input. Sent once the journal has it on disk, so that a source
/// may acknowledge it to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The input's tag.
    pub tag: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the journal.
    Journaled {
        /// `report_id` of a device report, for the answer to the device.
        report_id: Option<u64>,
    },
    /// Needs no place in the journal: it changes nothing.
    Irrelevant,
    /// Could not be read: counted, kept aside, never to be sent again.
    Refused(Refusal),
}

/// Why an input could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `report_id` of a device report, if it could be read.
    pub report_id: Option<u64>,
    /// Short stable word for counters, such as `not-json` or `port-out-of-range`.
    pub reason: &'static str,
    /// The place, the value found, and what is allowed.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a decoder says of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Understood, and it belongs in the journal (even if it gave no event yet: it may have
    /// changed the decoder's state).
    Relevant {
        /// `report_id` of a device report.
        report_id: Option<u64>,
    },
    /// Understood to mean nothing to us; the decoder's state is as before.
    Irrelevant,
    /// Not understood; the decoder's state is as before.
    Refused(Refusal),
}

/// Turns inputs of one format into events.
///
/// A decoder is part of the fold: it reads no clock and its state is a function of the inputs
/// it saw, so that a replay of the journal gives the same events.
pub trait Decoder: Send {
    /// Reads one input of `source` and hands its events, in order, to `sink`.
    fn decode(
        &mut self,
        source: SourceId,
        arrival: Timestamp,
        subject: &str,
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Decoded;

    /// Moves time on without an input, so that what waits can time out.
    fn tick(&mut self, now: Timestamp, sink: &mut dyn FnMut(&Event<'_>));

    /// The state, for a snapshot. Empty for a decoder without state.
    fn save(&self) -> Vec<u8>;

    /// Takes the state of a snapshot.
    ///
    /// # Errors
    /// When `state` was not written by this version of [`Decoder::save`].
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;
}

/// What a source can tell, declared when it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The source's name in the configuration.
    pub source: String,
    /// Facts it supplies.
    pub facts: Vec<Fact>,
}
