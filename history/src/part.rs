//! A part: the values of one day, sorted by key and thing, in a file that never changes.
//!
//! ```text
//! magic | frames of names | frames of values, key after key | footer | offset of the footer | magic
//! ```
//!
//! A name's place in the sorted list is its number within the part. A frame of names holds 128 of
//! them, each as what differs from the one before. A frame of values holds series after series,
//! some 32 KiB: number of the thing (as distance from the one before), then its chunks. The footer
//! says with which name or number each frame begins.

mod footer;
mod write;

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    sync::{Arc, Mutex, PoisonError},
};

pub(crate) use self::{
    footer::{Footer, FrameOf, Origin},
    write::{PartWriter, write_head},
};
use crate::{
    chunk::{self, Sample},
    error::HistoryError,
    files::Named,
    frame,
    key::Key,
    wire::Cursor,
};

const MAGIC: [u8; 8] = *b"FLWPART1";
const END_MAGIC: [u8; 8] = *b"FLWPEND1";
const TRAILER_BYTES: u64 = 16;

/// A part on disk.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: Named,
    file: File,
    pub(crate) bytes: u64,
    pub(crate) day: i64,
    pub(crate) origin: Origin,
    pub(crate) points: u64,
    /// Earliest and latest window end.
    pub(crate) range: (i64, i64),
    footer_at: u64,
    pub(crate) footer_bytes: usize,
    footer: Mutex<Option<Arc<Footer>>>,
    /// A frame could not be read: it is left out of merges, so that it is not tried again and again.
    pub(crate) damaged: AtomicBool,
}

impl Part {
    pub(crate) fn open(name: Named) -> Result<Self, HistoryError> {
        let path = &name.path;
        let file = File::open(path).map_err(HistoryError::io(path, "open"))?;
        let bytes = file.metadata().map_err(HistoryError::io(path, "look at"))?.len();
        let mut trailer = [0; 16];
        let at = bytes
            .checked_sub(TRAILER_BYTES)
            .ok_or_else(|| HistoryError::damaged(path, 0, "it is too short"))?;
        file.read_exact_at(&mut trailer, at).map_err(HistoryError::io(path, "read"))?;
        let (offset, magic) = trailer.split_at(8);
        if magic != END_MAGIC {
            return Err(HistoryError::damaged(path, at, "it does not end as a part of this version"));
        }
        let footer_at = offset.first_chunk().map_or(0, |offset| u64::from_le_bytes(*offset));
        let payload = read_frame(&file, path, footer_at, bytes)?;
        let footer = Footer::read(&payload);
        let footer =
            footer.ok_or_else(|| HistoryError::damaged(path, footer_at, "its footer makes no sense"))?;
        Ok(Self {
            file,
            bytes,
            day: footer.day,
            origin: footer.origin.clone(),
            points: footer.points,
            range: footer.range,
            footer_at,
            footer_bytes: payload.len(),
            footer: Mutex::new(None),
            damaged: AtomicBool::new(false),
            name,
        })
    }

    /// Orders parts by how new their values are.
    pub(crate) const fn age(&self) -> (u64, u64, u32) {
        (self.origin.newest, self.name.number, self.name.nth)
    }

    pub(crate) const fn id(&self) -> (u64, u32) {
        (self.name.number, self.name.nth)
    }

    pub(crate) fn damaged_at(&self, offset: u64, found: &'static str) -> HistoryError {
        self.damaged.store(true, Ordering::Relaxed);
        HistoryError::damaged(&self.name.path, offset, found)
    }

    pub(crate) fn footer(&self) -> Result<Arc<Footer>, HistoryError> {
        let mut kept = self.footer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(footer) = &*kept {
            return Ok(Arc::clone(footer));
        }
        let payload = self.frame(self.footer_at)?;
        let footer = Footer::read(&payload).map(Arc::new);
        let footer = footer.ok_or_else(|| self.damaged_at(self.footer_at, "its footer makes no sense"))?;
        *kept = Some(Arc::clone(&footer));
        Ok(footer)
    }

    /// Lets the footer go. Gives the bytes that it took.
    pub(crate) fn forget_footer(&self) {
        *self.footer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn holds_footer(&self) -> bool {
        self.footer.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn frame(&self, offset: u64) -> Result<Vec<u8>, HistoryError> {
        let read = read_frame(&self.file, &self.name.path, offset, self.bytes);
        if matches!(read, Err(HistoryError::Damaged { .. })) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        read
    }

    /// The names of a frame, in order.
    pub(crate) fn names(&self, offset: u64) -> Result<Vec<String>, HistoryError> {
        let payload = self.frame(offset)?;
        write::read_names(&payload).ok_or_else(|| self.damaged_at(offset, "a frame of names makes no sense"))
    }

    /// A thing's number, if it is in this part.
    fn thing(&self, footer: &Footer, thing: &str) -> Result<Option<u32>, HistoryError> {
        let after = footer.names.partition_point(|frame| frame.first.as_ref() <= thing);
        let Some(frame) = after.checked_sub(1).and_then(|index| footer.names.get(index)) else {
            return Ok(None);
        };
        let names = self.names(frame.offset)?;
        let found = names.binary_search_by(|name| name.as_str().cmp(thing)).ok();
        Ok(found
            .and_then(|index| u32::try_from(index).ok())
            .and_then(|index| frame.first_number.checked_add(index)))
    }

    /// Hands the samples of a thing to `each`, for every key that `wanted` likes.
    pub(crate) fn find(
        &self,
        thing: &str,
        wanted: &dyn Fn(&Key) -> bool,
        each: &mut dyn FnMut(&Key, Sample),
    ) -> Result<(), HistoryError> {
        let footer = self.footer()?;
        let mut keys = footer.keys.iter().filter(|of| wanted(&of.key)).peekable();
        if keys.peek().is_none() {
            return Ok(());
        }
        let Some(number) = self.thing(&footer, thing)? else { return Ok(()) };
        for of in keys {
            let after = of.frames.partition_point(|frame| frame.first_number <= number);
            let Some(frame) = after.checked_sub(1).and_then(|index| of.frames.get(index)) else { continue };
            let payload = self.frame(frame.offset)?;
            let damaged = |found| self.damaged_at(frame.offset, found);
            let mut entries = Entries::new(&payload, frame.first_number);
            while let Some((found, chunks)) = entries.next().map_err(damaged)? {
                if found == number {
                    let samples = decode(chunks, &of.key).map_err(damaged)?;
                    samples.into_iter().for_each(|sample| each(&of.key, sample));
                }
                if found >= number {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// All chunks of a series.
pub(crate) fn decode(chunks: &[u8], key: &Key) -> Result<Vec<Sample>, &'static str> {
    let (mut cursor, mut samples) = (Cursor(chunks), Vec::new());
    while !cursor.0.is_empty() {
        let chunk = cursor.bytes().ok_or("a chunk is cut off")?;
        chunk::decode(chunk, grid_ms(key), &mut samples).ok_or("a chunk makes no sense")?;
    }
    Ok(samples)
}

/// The grid on which a key's windows end.
pub(crate) const fn grid_ms(key: &Key) -> i64 {
    key.window_secs as i64 * 1000
}

/// The series of a frame of values.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    cursor: Cursor<'a>,
    number: u32,
}

impl<'a> Entries<'a> {
    pub(crate) const fn new(payload: &'a [u8], first_number: u32) -> Self {
        Self { cursor: Cursor(payload), number: first_number }
    }

    /// Number of the thing, and its chunks.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, &'a [u8])>, &'static str> {
        if self.cursor.0.is_empty() {
            return Ok(None);
        }
        let step = self.cursor.u32().ok_or("a series is cut off")?;
        self.number = self.number.checked_add(step).ok_or("the number of a thing is impossible")?;
        let chunks = self.cursor.bytes().ok_or("a series is cut off")?;
        Ok(Some((self.number, chunks)))
    }

    /// Bytes not yet read.
    pub(crate) const fn left(&self) -> usize {
        self.cursor.0.len()
    }
}

fn read_frame(file: &File, path: &Path, offset: u64, file_bytes: u64) -> Result<Vec<u8>, HistoryError> {
    let mut header = [0; frame::HEADER_BYTES];
    let after = offset.checked_add(frame::HEADER_BYTES as u64).filter(|&after| after <= file_bytes);
    let after = after.ok_or_else(|| HistoryError::damaged(path, offset, "a frame begins after the end"))?;
    file.read_exact_at(&mut header, offset).map_err(HistoryError::io(path, "read"))?;
    let room = file_bytes - after;
    let len = frame::len_of(header).filter(|&len| len as u64 <= room);
    let len =
        len.ok_or_else(|| HistoryError::damaged(path, offset, "the length of a frame is impossible"))?;
    let mut bytes = vec![0; frame::HEADER_BYTES + len];
    file.read_exact_at(&mut bytes, offset).map_err(HistoryError::io(path, "read"))?;
    let checked = frame::take(&mut Cursor(&bytes)).map(<[u8]>::len);
    checked.map_err(|found| HistoryError::damaged(path, offset, found))?;
    bytes.drain(..frame::HEADER_BYTES);
    Ok(bytes)
}

/// Where a part made of these goes.
pub(crate) fn path_of(dir: &Path, number: u64, nth: u32) -> PathBuf {
    crate::files::path_of(dir, number, nth, crate::files::PART)
}
