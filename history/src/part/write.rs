//! Writes a part, front to back.

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
};

use super::{
    END_MAGIC, Footer, FrameOf, MAGIC, Origin,
    footer::{KeyFrames, NamesFrame},
    grid_ms,
};
use crate::{
    chunk::{self, Sample},
    error::HistoryError,
    files::NewFile,
    frame,
    head::Head,
    key::{DAY_MS, Key},
    wire::{Cursor, put_bytes, put_len, put_uvarint},
};

/// Bytes of values after which a frame ends: what one query reads.
const FRAME_BYTES: usize = 32 << 10;
/// Names of a frame.
const NAMES: usize = 128;

/// A part that is being written.
#[derive(Debug)]
pub(crate) struct PartWriter {
    file: NewFile,
    footer: Footer,
    /// Series of the frame that is being filled.
    pending: Vec<u8>,
    pending_first: u32,
    last: u32,
}

impl PartWriter {
    /// A part of one day.
    pub(crate) fn create(path: PathBuf, day: i64, origin: Origin) -> Result<Self, HistoryError> {
        let mut file = NewFile::create(path)?;
        file.write(&MAGIC)?;
        let footer = Footer { day, origin, range: (i64::MAX, i64::MIN), ..Footer::default() };
        Ok(Self { file, footer, pending: Vec::new(), pending_first: 0, last: 0 })
    }

    /// All names, sorted; to be called once, before the first series.
    pub(crate) fn names(&mut self, names: &[impl AsRef<str>]) -> Result<(), HistoryError> {
        for names in names.chunks(NAMES) {
            let first = names.first().map(AsRef::as_ref).unwrap_or_default();
            let (first_number, offset) = (self.footer.things, self.file.written);
            self.footer.names.push(NamesFrame { first: first.into(), first_number, offset });
            self.footer.things += u32::try_from(names.len()).unwrap_or(0);
            self.write_frame(&names_payload(names))?;
        }
        Ok(())
    }

    /// The values of one thing (by its place in the names). Keys must come in order, within a key
    /// the things, within a thing the times.
    pub(crate) fn series(&mut self, key: &Key, number: u32, samples: &[Sample]) -> Result<(), HistoryError> {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(()) };
        if self.footer.keys.last().is_none_or(|of| of.key != *key) {
            self.end_frame()?;
            self.footer.keys.push(KeyFrames { key: key.clone(), points: 0, frames: Vec::new() });
        }
        if self.pending.is_empty() {
            (self.pending_first, self.last) = (number, number);
        }
        let mut chunks = Vec::new();
        chunk::encode(samples, grid_ms(key), &mut chunks);
        put_uvarint(&mut self.pending, u64::from(number - self.last));
        put_bytes(&mut self.pending, &chunks);
        self.last = number;
        let points = samples.len() as u64;
        if let Some(of) = self.footer.keys.last_mut() {
            of.points += points;
        }
        self.footer.points += points;
        self.footer.range = (self.footer.range.0.min(first.0), self.footer.range.1.max(last.0));
        if self.pending.len() >= FRAME_BYTES { self.end_frame() } else { Ok(()) }
    }

    fn end_frame(&mut self) -> Result<(), HistoryError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let frame = FrameOf { first_number: self.pending_first, offset: self.file.written };
        let payload = std::mem::take(&mut self.pending);
        self.write_frame(&payload)?;
        self.pending = payload;
        self.pending.clear();
        if let Some(of) = self.footer.keys.last_mut() {
            of.frames.push(frame);
        }
        Ok(())
    }

    fn write_frame(&mut self, payload: &[u8]) -> Result<(), HistoryError> {
        let mut bytes = Vec::with_capacity(payload.len() + frame::HEADER_BYTES);
        frame::put(&mut bytes, payload);
        self.file.write(&bytes)
    }

    /// Writes the footer, syncs and renames. The folder is to be synced by the caller.
    pub(crate) fn finish(mut self) -> Result<PathBuf, HistoryError> {
        self.end_frame()?;
        let offset = self.file.written;
        let footer = self.footer.to_bytes();
        self.write_frame(&footer)?;
        self.file.write(&offset.to_le_bytes())?;
        self.file.write(&END_MAGIC)?;
        self.file.finish()
    }
}

/// Each name as the length that it shares with the one before, and the rest.
fn names_payload(names: &[impl AsRef<str>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_len(&mut out, names.len());
    let mut before: &[u8] = &[];
    for name in names {
        let name = name.as_ref().as_bytes();
        let shared = name.iter().zip(before).take_while(|(a, b)| a == b).count();
        put_len(&mut out, shared);
        put_bytes(&mut out, name.get(shared..).unwrap_or_default());
        before = name;
    }
    out
}

pub(super) fn read_names(payload: &[u8]) -> Option<Vec<String>> {
    let mut cursor = Cursor(payload);
    let count = cursor.count()?;
    let mut before: Vec<u8> = Vec::new();
    let mut next = || {
        let shared = usize::try_from(cursor.uvarint()?).ok().filter(|&shared| shared <= before.len())?;
        before.truncate(shared);
        before.extend_from_slice(cursor.bytes()?);
        String::from_utf8(before.clone()).ok()
    };
    (0..count).map(|_| next()).collect()
}

/// Writes a head as parts, one for each of its days. Gives their paths.
pub(crate) fn write_head(dir: &Path, head: &Head) -> Result<Vec<PathBuf>, HistoryError> {
    let mut days: Vec<i64> = head.blocks.iter().map(|block| block.end.div_euclid(DAY_MS)).collect();
    days.sort_unstable();
    days.dedup();
    let write = |(nth, &day): (u32, &i64)| write_day(dir, head, nth, day);
    (0_u32..).zip(&days).map(write).collect()
}

/// Number of the thing, window end, and where in the head the value stands; the last one first.
type Place = (u32, i64, Reverse<(usize, usize)>);

fn write_day(dir: &Path, head: &Head, nth: u32, day: i64) -> Result<PathBuf, HistoryError> {
    let mut writer = PartWriter::create(
        super::path_of(dir, head.number, nth),
        day,
        Origin { level: 0, newest: head.number, replaces: Vec::new() },
    )?;
    let blocks: Vec<_> = head.blocks.iter().filter(|block| block.end.div_euclid(DAY_MS) == day).collect();
    let (names, numbers) = sorted_names(head, blocks.iter().flat_map(|block| block.ids.iter().copied()));
    writer.names(&names)?;
    let mut keys: Vec<(u32, &Key)> = (0_u32..).zip(&head.keys).collect();
    keys.sort_by_key(|(_, key)| *key);
    let mut rows: Vec<Place> = Vec::new();
    let mut samples: Vec<Sample> = Vec::new();
    for (id, key) in keys {
        rows.clear();
        for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.key == id) {
            let number = |id: u32| numbers.get(id as usize).copied().unwrap_or(u32::MAX);
            rows.extend(
                block.ids.iter().enumerate().map(|(row, &id)| (number(id), block.end, Reverse((index, row)))),
            );
        }
        // The last value of a window counts.
        rows.sort_unstable();
        rows.dedup_by_key(|row| (row.0, row.1));
        for series in rows.chunk_by(|a, b| a.0 == b.0) {
            samples.clear();
            samples.extend(series.iter().filter_map(|&(_, end, Reverse((block, row)))| {
                blocks.get(block)?.column.cell(row).map(|cell| (end, cell))
            }));
            writer.series(key, series.first().map_or(0, |row| row.0), &samples)?;
        }
    }
    writer.finish()
}

/// The names of the ids that occur, sorted, and for each id its place among them.
fn sorted_names(head: &Head, ids: impl Iterator<Item = u32>) -> (Vec<std::sync::Arc<str>>, Vec<u32>) {
    let mut occurs = vec![false; head.names.len()];
    for id in ids {
        if let Some(occurs) = occurs.get_mut(id as usize) {
            *occurs = true;
        }
    }
    let mut order: Vec<(u32, &std::sync::Arc<str>)> = (0_u32..)
        .zip(&head.names)
        .zip(&occurs)
        .filter(|(_, occurs)| **occurs)
        .map(|(named, _)| named)
        .collect();
    order.sort_by_key(|(_, name)| *name);
    let mut numbers = vec![u32::MAX; head.names.len()];
    for (number, (id, _)) in (0_u32..).zip(&order) {
        if let Some(place) = numbers.get_mut(*id as usize) {
            *place = number;
        }
    }
    (order.into_iter().map(|(_, name)| std::sync::Arc::clone(name)).collect(), numbers)
}
