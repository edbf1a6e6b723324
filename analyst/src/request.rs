//! What may be asked for. Times are milliseconds since the epoch.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// `compact`: write what is over to Parquet.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Compact {
    /// Folder of Parquet files.
    pub(crate) lake: PathBuf,
    /// Folder of the compact history; without it no metrics are written.
    pub(crate) history: Option<PathBuf>,
    /// The journal; without it no events are written.
    pub(crate) journal: Option<Journal>,
    /// The present.
    pub(crate) now: i64,
    /// Days that are kept; without it all.
    pub(crate) days: Option<u32>,
    /// Bytes that are kept; without it all.
    pub(crate) bytes_max: Option<u64>,
}

/// A journal and what its decoders must know.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Journal {
    /// Folder of the segments.
    pub(crate) dir: PathBuf,
    /// Last record that is on disk.
    pub(crate) to: u64,
    /// Sources by their numbers.
    #[serde(default)]
    pub(crate) sources: BTreeMap<u16, SourceFacts>,
}

/// A source.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceFacts {
    pub(crate) name: String,
    /// Zone of log lines that name none, seconds east of UTC.
    #[serde(default)]
    pub(crate) utc_offset_secs: i32,
}

/// `query`: the values of one thing and metric.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Query {
    pub(crate) lake: PathBuf,
    pub(crate) thing: String,
    pub(crate) metric: String,
    #[serde(default)]
    pub(crate) dimension: String,
    pub(crate) aggregate: Option<String>,
    pub(crate) window_secs: Option<u32>,
    /// Earliest window end.
    pub(crate) from: i64,
    /// First window end that is too late.
    pub(crate) to: i64,
    #[serde(default = "limit")]
    pub(crate) limit: usize,
}

/// `series`: whole columns, for training and suggestions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Series {
    pub(crate) lake: PathBuf,
    /// The compact history is read where it has a day.
    pub(crate) history: Option<PathBuf>,
    /// Metrics; all, if there are none.
    #[serde(default)]
    pub(crate) metrics: Vec<String>,
    /// Things; all, if there are none.
    #[serde(default)]
    pub(crate) things: Vec<String>,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// `records`: the journal's records, in their order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Records {
    pub(crate) lake: PathBuf,
    /// Records of days before that of this moment are left out, without the settings.
    pub(crate) from: Option<i64>,
    /// Last record that is not wanted.
    #[serde(default)]
    pub(crate) after: u64,
}

/// `describe`: what is there.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Describe {
    pub(crate) lake: PathBuf,
}

const fn limit() -> usize {
    100_000
}
