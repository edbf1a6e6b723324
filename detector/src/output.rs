//! What the engine hands on.

use fleet::time::Timestamp;

pub use crate::refused::RefusedInput;
use crate::transition::Transition;

/// One thing that the engine hands on, in the order of the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A violation began or ended.
    Transition(Transition),
    /// A watched thing did something.
    Watched(Watched),
    /// An input could not be read.
    Refused(RefusedInput),
    /// Everything up to this record has been handed on. Whoever stores what came before confirms
    /// it with this number, so that snapshots may cover it.
    Folded {
        /// Place in the journal.
        seq: u64,
    },
}

/// A member of a watched group (such as the quarantine) did something that it should not be able to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The thing.
    pub thing: String,
    /// What it did.
    pub what: WatchedKind,
    /// Record that says so.
    pub seq: u64,
    /// Event time.
    pub at: Timestamp,
}

/// What a watched thing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchedKind {
    /// It established a session.
    Connected,
    /// It sent a message.
    Published,
    /// It subscribed.
    Subscribed,
}

impl WatchedKind {
    /// The word used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Published => "published",
            Self::Subscribed => "subscribed",
        }
    }
}
