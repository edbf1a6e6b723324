//! What a datapoint was compared with, and where that comes from.

use serde::{Deserialize, Serialize};

use crate::{
    learned::{LearnedFrom, peers::Peers},
    statistic::Statistic,
};

/// The bounds that a compliant number stays between, as they were when it was judged. A criterion
/// that asks for less than 10 has the high bound 10 and no low one; whether the bound itself is
/// compliant is told by the operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Negative infinity if there is none.
    pub low: f64,
    /// Positive infinity if there is none.
    pub high: f64,
    /// Where the bounds come from.
    pub source: LimitSource,
}

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum LimitSource {
    /// The value of the criterion.
    Fixed,
    /// A set of the criterion: what is in it, or not in it.
    Set,
    /// A percentile of the values of all things that the profile watches, in the same window.
    Percentile {
        /// Such as `p99.9`.
        statistic: Statistic,
        /// Datapoints that it was taken of.
        population: u64,
    },
    /// The entity's own past.
    Learned {
        /// What of it.
        from: LearnedFrom,
    },
    /// The usual level of other things, because the entity's own is still learnt.
    Peers {
        /// Which ones.
        of: Peers,
        /// How many things it was taken of.
        things: u64,
    },
}

impl Limit {
    /// A limit without bounds.
    #[must_use]
    pub const fn unbounded(source: LimitSource) -> Self {
        Self { low: f64::NEG_INFINITY, high: f64::INFINITY, source }
    }

    /// Bounded from above, or else from below.
    #[must_use]
    pub const fn one_sided(above: bool, bound: f64, source: LimitSource) -> Self {
        if above {
            Self { low: f64::NEG_INFINITY, high: bound, source }
        } else {
            Self { low: bound, high: f64::INFINITY, source }
        }
    }
}
