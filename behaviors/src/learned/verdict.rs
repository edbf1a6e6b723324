//! What a learned judgement says of a datapoint.

/// What a learned judgement says of a datapoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing yet: what is usual is still being learnt. Counts neither for nor against.
    Learning,
    /// As usual.
    Usual {
        /// The limit that was in force, in the metric's unit.
        limit: f64,
    },
    /// Past the limit.
    Unusual {
        /// The limit that was in force, in the metric's unit.
        limit: f64,
    },
}

impl Verdict {
    /// Whether the datapoint violates.
    #[must_use]
    pub const fn is_unusual(self) -> bool {
        matches!(self, Self::Unusual { .. })
    }

    pub(super) const fn of(unusual: bool, limit: f64) -> Self {
        if unusual { Self::Unusual { limit } } else { Self::Usual { limit } }
    }
}
