//! What a transition rests on, for whoever has to judge it.

use behaviors::limit::{Limit, LimitSource};
use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::transition::MetricValue;

/// Why a violation began or ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Metric, such as `aws:num-messages-sent`.
    pub metric: String,
    /// Name of the dimension that narrows it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<String>,
    /// Begin of the deciding datapoint's window, ms since the epoch; of a single observation its time.
    pub window_start: Timestamp,
    /// Length of the windows, seconds; absent if each observation is a datapoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_secs: Option<u32>,
    /// Deciding value.
    pub observed: MetricValue,
    /// What it was compared with.
    pub limit: EvidenceLimit,
    /// The last datapoints of the behavior for this entity, oldest first, the deciding one last.
    pub recent: Vec<EvidencePoint>,
    /// Where the events are that made the datapoints of the run.
    pub journal: JournalRange,
}

/// The bounds that a compliant value stays between, and where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceLimit {
    /// Lower bound, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper bound, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Where they come from.
    pub source: LimitSource,
}

/// A datapoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidencePoint {
    /// Its time, ms since the epoch; of earlier ones to the second.
    pub at: Timestamp,
    /// Its value, earlier ones in single precision; of a list the number of its elements.
    pub value: f64,
    /// Whether it was compliant.
    pub compliant: bool,
}

/// Records of the journal. All events of the entity that count are in them; not all in them count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRange {
    /// First record; 0 if it is longer ago than is remembered.
    pub from: u64,
    /// Last record.
    pub to: u64,
}

impl From<Limit> for EvidenceLimit {
    fn from(limit: Limit) -> Self {
        let finite = |bound: f64| Some(bound).filter(|bound| bound.is_finite());
        Self { low: finite(limit.low), high: finite(limit.high), source: limit.source }
    }
}
