//! Days of the compact history as Parquet.
//!
//! A day is written once it is over (an hour after midnight) and sealed, and again if values were
//! added since; never with fewer rows than before, since the history may have let some go for want
//! of room.

use std::{fs, ops::ControlFlow, path::Path};

use anyhow::Context as _;
use fleet::time::Timestamp;
use history::{DAY_MS, Day, History, Key};
use serde_json::json;

use crate::{
    Say,
    columns::MetricRows,
    lake::{self, Group, SeriesName, WRITTEN, Written, WrittenPart},
    parquet::{GROUP_ROWS, NewParquet},
};

/// How long after its end a day is over, milliseconds.
const GRACE_MS: i64 = 3_600_000;
/// Rows of a file; a larger day has several.
const PART_ROWS: u64 = 50_000_000;

/// Writes all days that are over and not written yet, from `oldest` on. Gives how many days and rows.
pub(crate) fn compact(
    history: &Path,
    lake: &Path,
    now: Timestamp,
    oldest: Option<i64>,
    say: Say<'_>,
) -> anyhow::Result<(u64, u64)> {
    let history = History::read_only(history).context("cannot read the history")?;
    let over = now.millis().saturating_sub(GRACE_MS).div_euclid(DAY_MS);
    let (mut days, mut rows) = (0, 0);
    for day in history.days() {
        let wanted = day.sealed && day.day < over && oldest.is_none_or(|oldest| day.day >= oldest);
        if wanted && is_news(lake, &day)? {
            let written = write_day(&history, lake, &day)?;
            say(&json!({
                "wrote": lake::day_dir(lake, lake::METRICS, day.day).display().to_string(),
                "rows": written.rows,
                "bytes": written.parts.iter().map(|part| part.bytes).sum::<u64>(),
            }))?;
            days += 1;
            rows += written.rows;
        }
    }
    Ok((days, rows))
}

fn is_news(lake: &Path, day: &Day) -> anyhow::Result<bool> {
    let path = lake::day_dir(lake, lake::METRICS, day.day).join(WRITTEN);
    let written: Option<Written> = lake::read_json(&path)?;
    Ok(written.is_none_or(|written| written.fingerprint != day.fingerprint && written.rows <= day.points))
}

fn write_day(history: &History, lake: &Path, day: &Day) -> anyhow::Result<Written> {
    let dir = lake::day_dir(lake, lake::METRICS, day.day);
    let mut writer = DayWriter {
        dir: &dir,
        rows: MetricRows::new(),
        first: None,
        last: SeriesName::default(),
        groups: Vec::new(),
        file: None,
        parts: Vec::new(),
    };
    let mut failed = None;
    history
        .scan_day(day.day, &|_| true, &mut |key, thing, values| match writer.series(key, thing, &values) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })
        .context("cannot read the history")?;
    if let Some(error) = failed {
        return Err(error);
    }
    writer.end_part()?;
    let written = Written {
        fingerprint: day.fingerprint.clone(),
        rows: writer.parts.iter().map(|part| part.rows).sum(),
        parts: writer.parts,
    };
    delete_others(&dir, &written)?;
    lake::write_json(&dir.join(WRITTEN), &written)?;
    Ok(written)
}

struct DayWriter<'a> {
    dir: &'a Path,
    rows: MetricRows,
    /// First and last series of the row group.
    first: Option<SeriesName>,
    last: SeriesName,
    groups: Vec<Group>,
    file: Option<NewParquet>,
    parts: Vec<WrittenPart>,
}

impl DayWriter<'_> {
    fn series(
        &mut self,
        key: &Key,
        thing: &str,
        values: &[(Timestamp, history::Value)],
    ) -> anyhow::Result<()> {
        let name = SeriesName(
            key.metric.to_string(),
            key.dimension.to_string(),
            key.aggregate.to_string(),
            key.window_secs,
            thing.to_owned(),
        );
        for (end, value) in values {
            self.first.get_or_insert_with(|| name.clone());
            self.rows.push(key, thing, end.millis(), value);
            if self.rows.len() >= GROUP_ROWS {
                self.last.clone_from(&name);
                self.end_group()?;
            }
        }
        self.last = name;
        if self.groups.iter().map(|group| group.rows as u64).sum::<u64>() >= PART_ROWS {
            self.end_part()?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> anyhow::Result<()> {
        let Some(first) = self.first.take() else { return Ok(()) };
        let frame = std::mem::replace(&mut self.rows, MetricRows::new()).finish()?;
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let path = self.dir.join(format!("part-{}.parquet", self.parts.len()));
                self.file.insert(NewParquet::create(path, frame.schema())?)
            }
        };
        file.write(&frame)?;
        self.groups.push(Group { rows: frame.height(), first, last: self.last.clone() });
        Ok(())
    }

    fn end_part(&mut self) -> anyhow::Result<()> {
        self.end_group()?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let finished = file.finish()?;
        self.parts.push(WrittenPart {
            file: format!("part-{}.parquet", self.parts.len()),
            rows: finished.rows,
            bytes: finished.bytes,
            groups: std::mem::take(&mut self.groups),
        });
        Ok(())
    }
}

/// Files of an earlier, longer writing of the day, and unfinished ones.
fn delete_others(dir: &Path, written: &Written) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list `{}`", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = name.starts_with("part-") && !written.parts.iter().any(|part| part.file == name);
        if ours {
            fs::remove_file(&path).with_context(|| format!("cannot delete `{}`", path.display()))?;
        }
    }
    Ok(())
}
