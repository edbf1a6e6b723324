//! What the engine hands on.

use fleet::time::Timestamp;

pub use crate::refused::RefusedInput;
use crate::transition::{MetricValue, Transition};

/// One thing that the engine hands on, in the order of the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A violation began or ended.
    Transition(Transition),
    /// A violation goes on.
    Violating(Violating),
    /// A watched thing did something.
    Watched(Watched),
    /// Values of a metric. Only if [`crate::change::Rules::collect`] is on.
    Datapoints(Datapoints),
    /// An input could not be read.
    Refused(RefusedInput),
    /// Everything up to this record has been handed on. Whoever stores what came before confirms
    /// it with this number, so that snapshots may cover it.
    Folded {
        /// Place in the journal.
        seq: u64,
    },
}

/// The latest violating datapoint of a violation that goes on.
///
/// Told at the ends of windows on the grid of 300 s (where no behavior has windows and none are collected, not
/// at all), and only if there was one since the last: however
/// many datapoints violate, it is one of each open violation in that time.
#[derive(Clone, Debug, PartialEq)]
pub struct Violating {
    /// Record that ended the window.
    pub seq: u64,
    /// The violation.
    pub violation_id: String,
    /// Event time of the datapoint.
    pub at: Timestamp,
    /// Its value.
    pub value: MetricValue,
}

impl From<Transition> for Violating {
    fn from(told: Transition) -> Self {
        let Transition { seq, violation_id, at, value, .. } = told;
        Self { seq, violation_id, at, value: value.unwrap_or(MetricValue::Count(0)) }
    }
}

/// Values that one metric had in one window, of all things that had one.
///
/// A block comes when the window's end is told; a late change of rules may split it. Of the lists that
/// a thing reported in a window it has the last; a list that came late, or is too long to be held until
/// then, comes when it was reported. Of two blocks with the same window and thing the later counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Datapoints {
    /// Record that ended the window, or reported a list that comes at once.
    pub seq: u64,
    /// End of the window.
    pub end: Timestamp,
    /// Length of the window, seconds.
    pub secs: u32,
    /// Metric, such as `aws:num-messages-sent`.
    pub metric: String,
    /// Name of the dimension that narrows it, and whether it is negated.
    pub dimension: Option<(String, bool)>,
    /// How the window's observations became a value: `count` and `sum` add up, `max`, `min`, `last`;
    /// `away` is minutes since the thing left; `each` for lists.
    pub aggregate: &'static str,
    /// The values are to be exported.
    pub export: bool,
    /// Thing and value, in the order in which the things were first seen.
    pub rows: Vec<(String, MetricValue)>,
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
