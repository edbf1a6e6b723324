//! The journal as Parquet: one row per event, as the decoders of the engine read it.
//!
//! Decoders remember what a source said before, so their state is kept beside how far the journal
//! is written. Both are written last: what a crash leaves of an unfinished run is deleted by the
//! next, which begins at the same record.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use brokers::{lifecycle::LifecycleDecoder, mosquitto::log::LogDecoder, recorded::RecordedDecoder};
use detector::{
    input::{Decoder, Format, SourceId},
    journal::{JournalError, Kind, Reader, Record},
};
use fleet::{event::Event, time::Timestamp};
use history::{day_name, day_of};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Say,
    columns::{EventRow, EventRows},
    event_row::{row, some},
    lake,
    parquet::{GROUP_ROWS, NewParquet},
    record_files::RecordFiles,
    request::Journal,
};

/// Rows of a run; a longer journal takes several.
const RUN_ROWS: u64 = 10_000_000;
/// Days of a run: each has an open file.
const RUN_DAYS: usize = 32;

/// How far the journal is written.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// Counts journals: one more when another one begins.
    pub(crate) journal: u32,
    /// First record that is not written.
    next_seq: u64,
    /// Second in which the decoders were last told the time.
    ticked: i64,
    /// States of the decoders by the number of their format, base64.
    decoders: BTreeMap<u8, String>,
}

/// Writes the events of the journal up to its last record. Gives the first record that is not
/// written, and how many rows were.
pub(crate) fn compact(journal: &Journal, lake: &Path, say: Say<'_>) -> anyhow::Result<(u64, u64)> {
    let path = lake.join(lake::EVENTS).join(lake::STATE);
    fs::create_dir_all(lake.join(lake::EVENTS)).context("cannot create the folder of events")?;
    let mut state = match lake::read_json(&path)? {
        Some(state) => state,
        None => first_state(lake, &path, say)?,
    };
    if state.next_seq > journal.to.saturating_add(1) {
        say(
            &json!({"note": "the journal ends before what is written; another one has begun", "written": state.next_seq}),
        )?;
        state = State { journal: state.journal + 1, ..State::default() };
    }
    let mut rows = 0;
    loop {
        let before = state.next_seq;
        delete_leftovers(lake, &state)?;
        rows += Run::new(journal, lake, &mut state, say)?.finish(say)?;
        if state.next_seq == before {
            return Ok((state.next_seq, rows));
        }
        lake::write_json(&path, &state)?;
    }
}

/// Where there is no word how far the journal is written: files that are there are left alone, and the
/// journal is written from its beginning as another one.
fn first_state(lake: &Path, path: &Path, say: Say<'_>) -> anyhow::Result<State> {
    let mut state = State::default();
    for (_, dir) in lake::days(lake, lake::EVENTS)? {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list `{}`", dir.display()))? {
            let name = entry?.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_prefix("part-")?.get(..4)?.parse::<u32>().ok());
            state.journal = state.journal.max(number.map_or(0, |number| number + 1));
        }
    }
    if state.journal > 0 {
        say(
            &json!({"note": "there is no word how far the journal was written; it is written again", "file": path}),
        )?;
    }
    lake::write_json(path, &state)?;
    Ok(state)
}

/// Name of a run's files.
fn file_name(journal: u32, first: u64) -> String {
    format!("part-{journal:04}-{first:020}.parquet")
}

/// Deletes the files of runs that did not come to their end.
fn delete_leftovers(lake: &Path, state: &State) -> anyhow::Result<()> {
    let from = file_name(state.journal, state.next_seq);
    let mut folders = lake::days(lake, lake::EVENTS)?;
    folders.append(&mut lake::days(lake, lake::RECORDS)?);
    let settings = lake.join(lake::SETTINGS);
    folders.extend(settings.is_dir().then_some((0, settings)));
    for (_, dir) in folders {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list `{}`", dir.display()))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let unfinished = path.extension().is_some_and(|ending| ending == "tmp");
            if unfinished || (name.starts_with("part-") && name >= from.as_str()) {
                fs::remove_file(&path).with_context(|| format!("cannot delete `{}`", path.display()))?;
            }
        }
    }
    Ok(())
}

/// Some records on their way to files.
struct Run {
    days: Days,
    records: Option<RecordFiles>,
}

/// The rows of each day.
struct Days {
    lake: PathBuf,
    name: String,
    waiting: usize,
    total: u64,
    by_day: BTreeMap<i64, (EventRows, Option<NewParquet>)>,
    failed: Option<anyhow::Error>,
}

impl Run {
    /// Reads records until a bound or the end is reached, and moves `state` past them.
    fn new(journal: &Journal, lake: &Path, state: &mut State, say: Say<'_>) -> anyhow::Result<Self> {
        let mut reader = open(journal, state, say)?;
        let mut decoders = decoders(journal, state)?;
        let mut days: Option<Days> = None;
        let mut records: Option<RecordFiles> = None;
        while let Some(record) = reader.next().context("cannot read the journal")? {
            if record.seq > journal.to {
                break;
            }
            let days = days.get_or_insert_with(|| Days::new(lake, file_name(state.journal, record.seq)));
            records
                .get_or_insert_with(|| RecordFiles::new(lake, file_name(state.journal, record.seq)))
                .push(&record)?;
            one(&record, journal, &mut decoders, &mut state.ticked, days);
            if let Some(error) = days.failed.take() {
                return Err(error);
            }
            state.next_seq = record.seq + 1;
            if days.waiting >= GROUP_ROWS {
                days.flush()?;
            }
            let full = records.as_ref().is_some_and(|records| records.is_full(RUN_ROWS, RUN_DAYS));
            if full || days.total >= RUN_ROWS || days.by_day.len() >= RUN_DAYS {
                break;
            }
        }
        for (format, decoder) in &decoders {
            state.decoders.insert(*format as u8, STANDARD.encode(decoder.save()));
        }
        Ok(Self { days: days.unwrap_or_else(|| Days::new(lake, String::new())), records })
    }

    fn finish(mut self, say: Say<'_>) -> anyhow::Result<u64> {
        self.days.flush()?;
        if let Some(records) = self.records.take() {
            records.finish(say)?;
        }
        let mut rows = 0;
        for (day, (_, file)) in std::mem::take(&mut self.days.by_day) {
            if let Some(file) = file {
                let finished = file.finish()?;
                rows += finished.rows;
                let dir = lake::day_dir(&self.days.lake, lake::EVENTS, day);
                let path = dir.join(&self.days.name).display().to_string();
                say(
                    &json!({"wrote": path, "day": day_name(day), "rows": finished.rows, "bytes": finished.bytes}),
                )?;
            }
        }
        Ok(rows)
    }
}

impl Days {
    fn new(lake: &Path, name: String) -> Self {
        Self { lake: lake.to_owned(), name, waiting: 0, total: 0, by_day: BTreeMap::new(), failed: None }
    }

    fn push(&mut self, row: &EventRow<'_>) {
        let day = day_of(Timestamp::from_millis(row.time));
        self.by_day.entry(day).or_insert_with(|| (EventRows::new(), None)).0.push(row);
        self.waiting += 1;
        self.total += 1;
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        for (day, (rows, file)) in &mut self.by_day {
            if rows.len() == 0 {
                continue;
            }
            let frame = std::mem::replace(rows, EventRows::new()).finish()?;
            let file = match file {
                Some(file) => file,
                None => {
                    let path = lake::day_dir(&self.lake, lake::EVENTS, *day).join(&self.name);
                    file.insert(NewParquet::create(path, frame.schema())?)
                }
            };
            file.write(&frame)?;
        }
        self.waiting = 0;
        Ok(())
    }
}

/// A reader from the first record that is not written, or from the oldest that there is.
fn open(journal: &Journal, state: &mut State, say: Say<'_>) -> anyhow::Result<Reader> {
    match Reader::open(&journal.dir, state.next_seq) {
        Err(JournalError::Hole { expected, found, .. }) => {
            say(
                &json!({"note": "records were deleted before they were written", "from": expected, "to": found - 1}),
            )?;
            state.decoders.clear();
            state.next_seq = found;
            Reader::open(&journal.dir, found).context("cannot read the journal")
        }
        reader => reader.context("cannot read the journal"),
    }
}

type Decoders = Vec<(Format, Box<dyn Decoder>)>;

fn decoders(journal: &Journal, state: &State) -> anyhow::Result<Decoders> {
    let log = journal.sources.iter().fold(LogDecoder::new(), |decoder, (number, facts)| {
        decoder.with_offset(SourceId(*number), facts.utc_offset_secs)
    });
    let mut decoders: Decoders = vec![
        (Format::MosquittoLog, Box::new(log)),
        (Format::Lifecycle, Box::new(LifecycleDecoder::new())),
        (Format::Recorded, Box::new(RecordedDecoder::new())),
    ];
    for (format, decoder) in &mut decoders {
        if let Some(saved) = state.decoders.get(&(*format as u8)) {
            let saved = STANDARD.decode(saved).context("the state of a decoder is not base64")?;
            decoder
                .restore(&saved)
                .map_err(|found| anyhow!("the state of a decoder cannot be used: {found}"))?;
        }
    }
    Ok(decoders)
}

/// One record: its events, and those that waited for the time to go on.
fn one(record: &Record<'_>, journal: &Journal, decoders: &mut Decoders, ticked: &mut i64, days: &mut Days) {
    let number = record.source.0.to_string();
    let source = journal.sources.get(&record.source.0).map_or(number.as_str(), |facts| facts.name.as_str());
    let base = EventRow { arrival: record.arrival.millis(), source, seq: record.seq, ..EventRow::default() };
    let mut nth = 0;
    let mut take = |event: &Event<'_>| {
        days.push(&row(event, EventRow { nth, ..base }));
        nth += 1;
    };
    match record.kind {
        Kind::Input(Format::ReportJson | Format::ReportCbor) => {
            let bytes = i64::try_from(record.payload.len()).ok();
            let (time, thing) = (record.arrival.millis(), some(record.subject));
            days.push(&EventRow { time, kind: "report", thing, bytes, ..base });
        }
        Kind::Input(format) => {
            let decoder = decoders.iter_mut().find(|(known, _)| *known == format);
            if let Some((_, decoder)) = decoder {
                decoder.decode(record.source, record.arrival, record.subject, record.payload, &mut take);
            }
        }
        Kind::Gap => {
            let reason = std::str::from_utf8(record.payload).ok();
            let time = record.position.cast_signed();
            days.push(&EventRow { time, kind: "gap", reason, ..base });
        }
        _ => {}
    }
    let second = record.arrival.secs();
    if second > *ticked && record.arrival != Timestamp::MIN {
        *ticked = second;
        let mut nth = i32::from(u16::MAX / 2);
        for (_, decoder) in decoders {
            decoder.tick(record.arrival, &mut |event| {
                days.push(&row(event, EventRow { nth, ..base }));
                nth += 1;
            });
        }
    }
}
