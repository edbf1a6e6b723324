//! What the front counts.

use fleet::event::EventKind;
use serde::{Deserialize, Serialize};

/// Names of the kinds of events, in the order of [`FrontCounts::kinds`].
pub const KINDS: [&str; 14] = [
    "connect",
    "disconnect",
    "auth-failure",
    "denied",
    "publish",
    "delivery",
    "subscribe",
    "unsubscribe",
    "report",
    "connection-error",
    "admin-change",
    "broker-start",
    "broker-stop",
    "broker-reload",
];

/// Place of a kind of event in [`KINDS`].
pub(crate) const fn kind_index(kind: &EventKind<'_>) -> usize {
    match kind {
        EventKind::Connect(_) => 0,
        EventKind::Disconnect { .. } => 1,
        EventKind::AuthFailure(_) => 2,
        EventKind::Denied { .. } => 3,
        EventKind::Publish { .. } => 4,
        EventKind::Delivery { .. } => 5,
        EventKind::Subscribe { .. } => 6,
        EventKind::Unsubscribe { .. } => 7,
        EventKind::Report { .. } => 8,
        EventKind::ConnectionError { .. } => 9,
        EventKind::AdminChange { .. } => 10,
        EventKind::BrokerStart => 11,
        EventKind::BrokerStop => 12,
        EventKind::BrokerReload => 13,
    }
}

/// Counters of the front. They are part of the fold: a replay counts the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontCounts {
    /// Records folded.
    pub records: u64,
    /// Events by kind, see [`KINDS`].
    pub kinds: [u64; KINDS.len()],
    /// Repeated deliveries of reports by a decoder's source.
    pub duplicates: u64,
    /// Events of things or addresses that are past the bound and not followed.
    pub untracked: u64,
    /// Things that made room for others.
    pub things_evicted: u64,
    /// Events without the name of a client.
    pub nameless: u64,
    /// Failed logins that no address is known for.
    pub unattributed: u64,
    /// Failed logins that could be charged to no thing.
    pub ambiguous: u64,
    /// Windows that a leap of time skipped.
    pub windows_skipped: u64,
    /// Records of our own that could not be read.
    pub control_refused: u64,
}
