//! The records of the journal as they came, so that a replay can read what the journal has let go.
//!
//! `records/day=.../part-JOURNAL-FIRST.parquet` has the inputs of a day by arrival; arrival never
//! goes back in a journal, so files in the order of their first record, then of their day, are in the
//! order of the journal. Rules, changes of the registry and new files of sources are what the inputs of
//! later days are judged under: they go to `settings/`, which retention leaves alone.

use std::path::{Path, PathBuf};

use detector::journal::{Kind, Record};
use history::{day_name, day_of};
use serde_json::json;

use crate::{
    Say,
    columns::RecordRows,
    lake,
    parquet::{GROUP_ROWS, NewParquet},
};

/// Bytes of a row group, about: what a reader must hold at once.
const GROUP_BYTES: usize = 16 << 20;

/// A table's file on its way.
struct Part {
    path: PathBuf,
    rows: RecordRows,
    file: Option<NewParquet>,
}

impl Part {
    fn new(path: PathBuf) -> Self {
        Self { path, rows: RecordRows::new(), file: None }
    }

    fn push(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        self.rows.push(record);
        if self.rows.len() >= GROUP_ROWS || self.rows.bytes() >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.rows.len() == 0 {
            return Ok(());
        }
        let frame = std::mem::replace(&mut self.rows, RecordRows::new()).finish()?;
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(NewParquet::create(self.path.clone(), frame.schema())?),
        };
        file.write(&frame)
    }
}

/// The files of a run.
pub(crate) struct RecordFiles {
    lake: PathBuf,
    name: String,
    total: u64,
    days: Vec<(i64, Part)>,
    settings: Part,
}

/// Days since 1970 that a record may have arrived on to be sorted by it: 200 years.
const DAYS: std::ops::Range<i64> = 0..73_050;

/// Whether the record outlives its day. Records from before the clock was known have no day.
fn is_setting(record: &Record<'_>) -> bool {
    matches!(record.kind, Kind::Rules | Kind::Registry | Kind::SourceOpened)
        || !DAYS.contains(&day_of(record.arrival))
}

impl RecordFiles {
    /// Files called `name`.
    pub(crate) fn new(lake: &Path, name: String) -> Self {
        let settings = Part::new(lake.join(lake::SETTINGS).join(&name));
        Self { lake: lake.to_owned(), name, total: 0, days: Vec::new(), settings }
    }

    /// Adds the record that follows.
    pub(crate) fn push(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        self.total += 1;
        if is_setting(record) {
            return self.settings.push(record);
        }
        let day = day_of(record.arrival);
        if self.days.last().is_none_or(|(open, _)| *open < day) {
            let path = lake::day_dir(&self.lake, lake::RECORDS, day).join(&self.name);
            self.days.push((day, Part::new(path)));
        }
        self.days.last_mut().map_or(Ok(()), |(_, part)| part.push(record))
    }

    /// Whether the run should end.
    pub(crate) fn is_full(&self, rows: u64, days: usize) -> bool {
        self.total >= rows || self.days.len() >= days
    }

    /// Writes what waits; every file gets its name.
    pub(crate) fn finish(mut self, say: Say<'_>) -> anyhow::Result<()> {
        let days = self.days.drain(..).map(|(day, part)| (Some(day), part));
        for (day, mut part) in days.chain([(None, self.settings)]) {
            part.flush()?;
            if let Some(file) = part.file {
                let finished = file.finish()?;
                let day = day.map(day_name);
                say(&json!({"wrote": part.path.display().to_string(), "day": day, "rows": finished.rows,
                            "bytes": finished.bytes}))?;
            }
        }
        Ok(())
    }
}
