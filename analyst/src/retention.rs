//! Deletes whole days of the lake, the oldest first.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde_json::json;

use crate::{Say, lake};

const TABLES: [&str; 3] = [lake::METRICS, lake::EVENTS, lake::RECORDS];

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

/// Deletes the oldest days of all tables until at most `bytes_max` are left; the newest day stays.
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

/// Deletes the oldest files of settings until at most `bytes_max` are left; the newest stays. Records
/// that are then given begin without what these files said, which their reader sees.
pub(crate) fn of_settings(lake: &Path, bytes_max: u64, say: Say<'_>) -> anyhow::Result<()> {
    let dir = lake.join(lake::SETTINGS);
    if !dir.is_dir() {
        return Ok(());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot list `{}`", dir.display()))? {
        let entry = entry?;
        files.push((entry.path(), entry.metadata()?.len()));
    }
    files.sort();
    let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    files.pop();
    for (path, bytes) in files {
        if total <= bytes_max {
            break;
        }
        fs::remove_file(&path).with_context(|| format!("cannot delete `{}`", path.display()))?;
        say(&json!({"deleted": path.display().to_string(), "table": lake::SETTINGS}))?;
        total -= bytes;
    }
    Ok(())
}

/// Bytes of the tables that have days.
pub(crate) fn all_bytes(lake: &Path) -> anyhow::Result<u64> {
    TABLES.iter().map(|table| bytes(lake, table)).sum()
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
