//! MQTT sessions in packet captures (pcap and pcapng), as the events that a broker would have told.
//!
//! Packets go through four steps: segments of TCP (`packets`), each direction in its order
//! (`stream`), MQTT control packets (`frame`, `packet`), and what they mean (`session`). Only TCP to
//! and from port [`BROKER_PORT`] is looked at; TLS cannot be read. What a broker cannot read either
//! is an event too: see `session`.

mod frame;
mod packet;
mod packets;
mod session;
mod stream;

use fleet::{event::Event, time::Timestamp};
use thiserror::Error;

/// Port of MQTT without TLS (IANA).
pub const BROKER_PORT: u16 = 1883;

/// What was seen, and what was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// Packets in the capture.
    pub packets: u64,
    /// Packets that are no TCP of port [`BROKER_PORT`], or no packets at all.
    pub other_packets: u64,
    /// Connections with their first packet in the capture.
    pub connections: u64,
    /// Time of the first packet of port [`BROKER_PORT`].
    pub first: Option<Timestamp>,
    /// Time of the last.
    pub last: Option<Timestamp>,
    /// Packets of connections that are over, began before the capture, or had no room.
    pub unknown_connection_packets: u64,
    /// MQTT control packets by type, as numbered by MQTT (1 CONNECT to 15 AUTH).
    pub control: [u64; 16],
    /// Control packets that break the rules of MQTT.
    pub malformed: u64,
    /// Directions of connections that were no longer read: bytes are missing in the capture.
    pub gaps: u64,
    /// Control packets that came before the broker's answer, beyond the bound of those kept.
    pub unanswered_dropped: u64,
}

/// Why a capture cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CaptureError {
    /// Not a capture.
    #[error("is no packet capture; expected is pcap or pcapng")]
    NotACapture,
    /// The capture is damaged.
    #[error("is damaged after {packets} packets: {reason}")]
    Damaged {
        /// Packets read before.
        packets: u64,
        /// What was found.
        reason: String,
    },
}

/// Reads a capture and hands its events to `sink`, in the order of the packets that tell them.
///
/// # Errors
/// When the file is no capture or damaged; `sink` has then had the events before the damage.
pub fn decode(bytes: &[u8], sink: &mut dyn FnMut(&Event<'_>)) -> Result<CaptureCounts, CaptureError> {
    let mut sessions = session::Sessions::default();
    let mut counts = CaptureCounts::default();
    packets::read(bytes, &mut counts, &mut |segment, counts| {
        counts.first = counts.first.or(Some(segment.at));
        counts.last = counts.last.max(Some(segment.at));
        sessions.segment(segment, counts, sink);
    })?;
    Ok(counts)
}

/// For fuzzing: any bytes as a capture, and as what one peer sends on a connection.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let mut events = 0_u64;
    let decoded = decode(bytes, &mut |_| events += 1);
    if let Ok(counts) = decoded {
        let control: u64 = counts.control.iter().sum();
        assert!(events <= counts.packets + 70_000 * control, "{events} events, {counts:?}");
    }
    let mut framer = frame::Framer::default();
    for piece in bytes.chunks(7) {
        framer.push(piece, &mut |packet| {
            for level in [3, 4, 5] {
                packet::read(&packet, level).ok();
            }
        });
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the packets made in tests are short")]
mod tests;
