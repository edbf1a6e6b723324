//! `records`: the journal's records back from Parquet, in their order, a row group at a time.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use history::DAY_MS;
use polars::prelude::*;
use serde_json::{Value as Json, json};

use crate::{Say, events, lake, parquet, request};

/// A record as a line: `[seq, arrival, source, kind, position, subject, payload in base64]`.
struct Line {
    seq: u64,
    text: Json,
}

/// The records of some files, in their order.
struct Stream {
    /// Files not yet begun, last one first.
    files: Vec<PathBuf>,
    /// The open file, and its row groups that are not yet read (first row, rows), last one first.
    open: Option<(PathBuf, Vec<(usize, usize)>)>,
    /// The rows that were read, last one first.
    lines: Vec<Line>,
}

impl Stream {
    fn new(mut files: Vec<PathBuf>) -> Self {
        files.reverse();
        Self { files, open: None, lines: Vec::new() }
    }

    /// Makes the next record that is later than `after` the last of `lines`, if there is one.
    fn fill(&mut self, after: u64) -> anyhow::Result<()> {
        loop {
            while self.lines.last().is_some_and(|line| line.seq <= after) {
                self.lines.pop();
            }
            if !self.lines.is_empty() {
                return Ok(());
            }
            let group = self.open.as_mut().and_then(|(path, groups)| Some((path.clone(), groups.pop()?)));
            match group {
                Some((path, (from, len))) => self.lines = lines(&path, from, len)?,
                None => {
                    let Some(path) = self.files.pop() else { return Ok(()) };
                    let (mut from, mut groups) = (0, Vec::new());
                    for rows in parquet::group_rows(&path)? {
                        groups.push((from, rows));
                        from += rows;
                    }
                    groups.reverse();
                    self.open = Some((path, groups));
                }
            }
        }
    }

    fn seq(&self) -> Option<u64> {
        self.lines.last().map(|line| line.seq)
    }
}

/// Gives the records of the newest journal that is in the lake.
pub(crate) fn run(request: &request::Records, say: Say<'_>) -> anyhow::Result<Json> {
    let lake = &request.lake;
    let state: Option<events::State> = lake::read_json(&lake.join(lake::EVENTS).join(lake::STATE))?;
    let prefix = format!("part-{:04}-", state.map_or(0, |state| state.journal));
    let first_day = request.from.map(|from| from.div_euclid(DAY_MS));
    let mut files = Vec::new();
    for (day, dir) in lake::days(lake, lake::RECORDS)? {
        if first_day.is_none_or(|first| first <= day) {
            files.extend(parts(&dir, &prefix)?.into_iter().map(|(name, path)| (name, day, path)));
        }
    }
    files.sort();
    let settings = lake.join(lake::SETTINGS);
    let settings = if settings.is_dir() { parts(&settings, &prefix)? } else { Vec::new() };
    let mut inputs = Stream::new(files.into_iter().map(|(.., path)| path).collect());
    let mut settings = Stream::new(settings.into_iter().map(|(_, path)| path).collect());
    let (mut after, mut records) = (request.after, 0_u64);
    loop {
        inputs.fill(after)?;
        settings.fill(after)?;
        let stream = match (inputs.seq(), settings.seq()) {
            (None, None) => break,
            (Some(input), Some(setting)) if setting < input => &mut settings,
            (Some(_), _) => &mut inputs,
            (None, Some(_)) => &mut settings,
        };
        if let Some(line) = stream.lines.pop() {
            say(&line.text)?;
            (after, records) = (line.seq, records + 1);
        }
    }
    Ok(json!({"records": records, "last": after}))
}

/// The files of a journal in a folder, by name.
fn parts(dir: &Path, prefix: &str) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list `{}`", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.starts_with(prefix) && name.ends_with(".parquet") {
            parts.push((name, path));
        }
    }
    parts.sort();
    Ok(parts)
}

/// Rows of a file, last one first.
fn lines(path: &Path, from: usize, len: usize) -> anyhow::Result<Vec<Line>> {
    let frame = parquet::slice(path, from, len)?;
    of_frame(&frame).with_context(|| format!("`{}` is not as it was written", path.display()))
}

fn of_frame(frame: &DataFrame) -> anyhow::Result<Vec<Line>> {
    let arrival = frame.column("arrival")?.to_physical_repr();
    let (seq, arrival, position) =
        (frame.column("seq")?.i64()?, arrival.i64()?, frame.column("position")?.i64()?);
    let (source, kind) = (frame.column("source")?.i32()?, frame.column("kind")?.i32()?);
    let (subject, payload) = (frame.column("subject")?.str()?, frame.column("payload")?.binary()?);
    let line = |row: usize| {
        let seq = seq.get(row)?.cast_unsigned();
        let text = json!([
            seq,
            arrival.get(row)?,
            source.get(row)?,
            kind.get(row)?,
            position.get(row)?.cast_unsigned(),
            subject.get(row)?,
            STANDARD.encode(payload.get(row)?),
        ]);
        Some(Line { seq, text })
    };
    let lines: Option<Vec<Line>> = (0..frame.height()).rev().map(line).collect();
    lines.context("a value is absent")
}
