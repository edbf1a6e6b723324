//! Tells events without ever making the broker wait.

use std::sync::atomic::{AtomicU64, Ordering};

use detector::input::{Format, Input, SourceId};
use fleet::event::{Event, EventKind};
use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::Clock;
use crate::recorded;

/// What became of the broker's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Handed over.
    pub events: u64,
    /// Dropped because nobody read them in time.
    pub dropped: u64,
}

pub(super) struct Emitter {
    sender: Sender<Input>,
    source: SourceId,
    clock: Clock,
    events: AtomicU64,
    dropped: AtomicU64,
}

impl Emitter {
    pub(super) fn new(sender: Sender<Input>, source: SourceId, clock: Clock) -> Self {
        Self { sender, source, clock, events: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    pub(super) fn emit(&self, kind: EventKind<'_>) {
        let arrival = (self.clock)();
        let mut payload = Vec::with_capacity(160);
        recorded::encode(&Event { at: arrival, kind }, &mut payload);
        self.send(Input {
            source: self.source,
            format: Format::Recorded,
            arrival,
            position: 0,
            subject: "".into(),
            payload: payload.into_boxed_slice(),
            tag: 0,
        });
    }

    pub(super) fn report(&self, thing: &str, format: Format, payload: &[u8]) {
        self.send(Input {
            source: self.source,
            format,
            arrival: (self.clock)(),
            position: 0,
            subject: thing.into(),
            payload: payload.into(),
            tag: 0,
        });
    }

    pub(super) fn told(&self) -> Told {
        Told { events: self.events.load(Ordering::Relaxed), dropped: self.dropped.load(Ordering::Relaxed) }
    }

    fn send(&self, input: Input) {
        let counter = match self.sender.try_send(input) {
            Ok(()) => &self.events,
            // Closed: whoever watched is gone, and the broker goes on.
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => &self.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
