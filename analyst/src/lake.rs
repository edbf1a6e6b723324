//! The folder of Parquet files: `metrics/day=YYYY-MM-DD/*.parquet` and `events/day=...`.
//!
//! Beside the files of a day of metrics lies `_written.json`, which says what they were made from
//! and where in them which series stand; `events/_state.json` says how far the journal is written. The
//! records themselves are `records/day=...`, and `settings/*.parquet` those that must outlive their day.
//! Readers of Parquet pass over names that begin with `_`.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use history::{DAY_MS, day_name};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Table of metric values.
pub(crate) const METRICS: &str = "metrics";
/// Table of events.
pub(crate) const EVENTS: &str = "events";
/// Table of the journal's records as they came.
pub(crate) const RECORDS: &str = "records";
/// Records that say under what the others were judged; they have no days and are kept.
pub(crate) const SETTINGS: &str = "settings";
/// How far the journal is written, in the folder of events.
pub(crate) const STATE: &str = "_state.json";
/// What a day of metrics was made from.
pub(crate) const WRITTEN: &str = "_written.json";

/// What a day of metrics consists of.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Written {
    /// Of the history that the day was made from.
    pub(crate) fingerprint: String,
    pub(crate) rows: u64,
    pub(crate) parts: Vec<WrittenPart>,
}

/// A file of a day of metrics.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrittenPart {
    pub(crate) file: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) groups: Vec<Group>,
}

/// A row group, with its first and its last series: rows are sorted by series.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) rows: usize,
    pub(crate) first: SeriesName,
    pub(crate) last: SeriesName,
}

/// Metric, dimension, aggregate, window length, thing: the order of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(crate) struct SeriesName(
    pub(crate) String,
    pub(crate) String,
    pub(crate) String,
    pub(crate) u32,
    pub(crate) String,
);

/// The folder of a day.
pub(crate) fn day_dir(lake: &Path, table: &str, day: i64) -> PathBuf {
    lake.join(table).join(format!("day={}", day_name(day)))
}

/// The days of a table, in order, with their folders. What is named otherwise is left alone.
pub(crate) fn days(lake: &Path, table: &str) -> anyhow::Result<Vec<(i64, PathBuf)>> {
    let dir = lake.join(table);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut days = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot list `{}`", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("day="));
        if let Some(day) = name.and_then(day_number) {
            days.push((day, path));
        }
    }
    days.sort();
    Ok(days)
}

/// Days since 1970-01-01 of `YYYY-MM-DD`; the inverse of [`day_name`].
fn day_number(name: &str) -> Option<i64> {
    let mut parts = name.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // Days from civil (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (day_name(days) == name).then_some(days)
}

/// The days that a range of window ends touches.
pub(crate) fn touched(from: i64, to: i64) -> std::ops::RangeInclusive<i64> {
    from.div_euclid(DAY_MS)..=to.saturating_sub(1).div_euclid(DAY_MS)
}

/// Reads a file of ours; `None` if there is none, or if it is of another version.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Writes a file of ours whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let unfinished = path.with_extension("tmp");
    let write = || -> anyhow::Result<()> {
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))?;
    sync_parent(path)
}

/// Makes a new name durable.
pub(crate) fn sync_parent(path: &Path) -> anyhow::Result<()> {
    let Some(dir) = path.parent() else { return Ok(()) };
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.with_context(|| format!("cannot sync `{}`", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_folders_are_those_that_were_named() {
        for day in [-719_000, -1, 0, 59, 11_016, 20_453, 20_512, 100_000] {
            assert_eq!(day_number(&day_name(day)), Some(day));
        }
        for foreign in ["2026-13-01", "2026-02-30", "2026-1-1", "today", "", "2026-01-01-x"] {
            assert_eq!(day_number(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_range_touches_the_days_of_its_first_and_last_moment() {
        assert_eq!(touched(0, DAY_MS), 0..=0);
        assert_eq!(touched(DAY_MS - 1, DAY_MS + 1), 0..=1);
    }
}
