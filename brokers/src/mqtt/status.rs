//! What a connection is doing, and what it has counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fleet::time::Timestamp;

/// Gives the time. The program decides what time it is: the demo's clock runs faster.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// State of a connection, published whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing now.
    pub state: State,
    /// Connections that were established again after the first.
    pub reconnects: u64,
    /// The latest failure, kept after the connection is back.
    pub last_failure: Option<Failure>,
    /// Topic filters that the broker refused: the source is blind for them.
    pub refused_filters: Vec<String>,
    /// A message larger than allowed has broken the connection again and again: with MQTT 3.1.1 the
    /// broker sends it anew at each reconnect, and nothing else gets through. Holds its size in bytes.
    pub stuck_on_oversized: Option<u64>,
}

impl Status {
    pub(crate) const fn starting() -> Self {
        Self {
            state: State::Connecting,
            reconnects: 0,
            last_failure: None,
            refused_filters: Vec::new(),
            stuck_on_oversized: None,
        }
    }

    /// Whether messages can arrive.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected { .. })
    }
}

/// What a connection is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The first attempt.
    Connecting,
    /// Subscribed: messages can arrive.
    Connected {
        /// Since when.
        since: Timestamp,
        /// The broker had kept our session: QoS 1 messages of the meantime follow.
        session_present: bool,
    },
    /// Not connected; what happens meanwhile may not be seen.
    Down {
        /// Since when.
        since: Timestamp,
        /// Attempts since then that failed.
        attempts: u32,
    },
    /// Ended by us.
    Stopped,
}

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// Kind.
    pub kind: FailureKind,
    /// In words, without secrets.
    pub message: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The network, or the broker is not there.
    Network,
    /// TLS: certificates, names, files.
    Tls,
    /// The broker refused our identity or id.
    Refused,
    /// A packet larger than allowed. With MQTT 3.1.1 and QoS 1 the broker sends it again.
    Oversized {
        /// Its size in bytes.
        bytes: u64,
    },
    /// The broker ended the connection or broke the protocol.
    Protocol,
}

/// Counters of one source. They only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages received.
    pub received: AtomicU64,
    /// ... of them with QoS 0: lost if we crash before the journal has them.
    pub received_qos0: AtomicU64,
    /// ... of them marked as delivered before.
    pub redelivered: AtomicU64,
    /// Payload bytes received.
    pub payload_bytes: AtomicU64,
    /// Messages handed to the engine.
    pub handed_on: AtomicU64,
    /// Messages dropped: retained copies of old reports.
    pub dropped_retained: AtomicU64,
    /// Messages dropped: none of our topics.
    pub dropped_foreign: AtomicU64,
    /// Messages dropped: impossible thing name in the topic.
    pub dropped_thing: AtomicU64,
    /// Messages dropped: larger than allowed.
    pub dropped_oversized: AtomicU64,
    /// Connections broken by a packet larger than allowed.
    pub oversized_breaks: AtomicU64,
    /// Redeliveries of messages that the engine still had under way: not handed on again.
    pub joined_redeliveries: AtomicU64,
    /// QoS 1 acknowledgements sent.
    pub acknowledged: AtomicU64,
    /// Answers to reports sent.
    pub answered: AtomicU64,
    /// Answers dropped because too many waited.
    pub answers_dropped: AtomicU64,
    /// Receipts for which no message waits.
    pub stray_receipts: AtomicU64,
    /// Times that reading stopped because the engine was behind.
    pub stalls: AtomicU64,
}

impl Counters {
    /// Names and values, in a fixed order.
    #[must_use]
    pub fn snapshot(&self) -> [(&'static str, u64); 16] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("received", read(&self.received)),
            ("received_qos0", read(&self.received_qos0)),
            ("redelivered", read(&self.redelivered)),
            ("payload_bytes", read(&self.payload_bytes)),
            ("handed_on", read(&self.handed_on)),
            ("dropped_retained", read(&self.dropped_retained)),
            ("dropped_foreign", read(&self.dropped_foreign)),
            ("dropped_thing", read(&self.dropped_thing)),
            ("dropped_oversized", read(&self.dropped_oversized)),
            ("oversized_breaks", read(&self.oversized_breaks)),
            ("joined_redeliveries", read(&self.joined_redeliveries)),
            ("acknowledged", read(&self.acknowledged)),
            ("answered", read(&self.answered)),
            ("answers_dropped", read(&self.answers_dropped)),
            ("stray_receipts", read(&self.stray_receipts)),
            ("stalls", read(&self.stalls)),
        ]
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
