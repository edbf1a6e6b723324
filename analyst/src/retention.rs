//! Deletes whole days of the lake, the oldest first.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde_json::json;

use crate::{Say, lake};

const TABLES: [&str; 2] = [lake::METRICS, lake::EVENTS];

/// Deletes the days before `oldest`. Gives how many.
pub(crate) fn by_age(lake: &Path, oldest: i64, say: Say<'_>) -> anyhow::Result<u64> {
    let mut deleted = 0;
    for table in TABLES {
        for (_, dir) in lake::days(lake, table)?.iter().filter(|(day, _)| *day < oldest) {
            delete(dir, "age", say)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Deletes the oldest days of both tables until at most `bytes_max` are left; the newest day stays.
pub(crate) fn by_size(lake: &Path, bytes_max: u64, say: Say<'_>) -> anyhow::Result<u64> {
    let mut days = Vec::new();
    for table in TABLES {
        for (day, dir) in lake::days(lake, table)? {
            days.push((day, folder_bytes(&dir)?, dir));
        }
    }
    days.sort();
    let mut total: u64 = days.iter().map(|(_, bytes, _)| bytes).sum();
    let newest = days.last().map(|(day, ..)| *day);
    let mut deleted = 0;
    for (day, bytes, dir) in days {
        if total <= bytes_max || Some(day) == newest {
            break;
        }
        delete(&dir, "size", say)?;
        total -= bytes;
        deleted += 1;
    }
    Ok(deleted)
}

/// Bytes of a table.
pub(crate) fn bytes(lake: &Path, table: &str) -> anyhow::Result<u64> {
    lake::days(lake, table)?.iter().map(|(_, dir)| folder_bytes(dir)).sum()
}

fn folder_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list `{}`", dir.display()))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn delete(dir: &Path, why: &str, say: Say<'_>) -> anyhow::Result<()> {
    fs::remove_dir_all(dir).with_context(|| format!("cannot delete `{}`", dir.display()))?;
    say(&json!({"deleted": dir.display().to_string(), "why": why}))
}
