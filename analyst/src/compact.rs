//! `compact`: what is over goes to Parquet, what is too old or too much goes.

use std::fs;

use anyhow::Context as _;
use fleet::time::Timestamp;
use serde_json::{Value, json};

use crate::{Say, events, metrics, request::Compact, retention};

/// Bytes of settings that are kept: rules and registries change by people, so this is years.
const SETTINGS_BYTES_MAX: u64 = 256 << 20;

pub(crate) fn run(request: &Compact, say: Say<'_>) -> anyhow::Result<Value> {
    let lake = &request.lake;
    fs::create_dir_all(lake).with_context(|| format!("cannot create `{}`", lake.display()))?;
    let now = Timestamp::from_millis(request.now);
    // Before anything is written, so that nothing is written that would be deleted at once.
    let deleted_days = match request.days {
        Some(days) => retention::by_age(lake, history::day_of(now) - i64::from(days), say)?,
        None => 0,
    };
    let oldest = request.days.map(|days| history::day_of(now) - i64::from(days));
    let (days, metric_rows) = match &request.history {
        Some(history) => metrics::compact(history, lake, now, oldest, say)?,
        None => (0, 0),
    };
    let (journal_next, event_rows) = match &request.journal {
        Some(journal) => {
            let (next, rows) = events::compact(journal, lake, say)?;
            (Some(next), rows)
        }
        None => (None, 0),
    };
    let deleted_days = deleted_days
        + match request.bytes_max {
            Some(bytes_max) => retention::by_size(lake, bytes_max, say)?,
            None => 0,
        };
    retention::of_settings(lake, SETTINGS_BYTES_MAX, say)?;
    Ok(json!({
        "metricDays": days,
        "metricRows": metric_rows,
        "eventRows": event_rows,
        "journalNext": journal_next,
        "deletedDays": deleted_days,
        "bytes": retention::all_bytes(lake)?,
    }))
}
