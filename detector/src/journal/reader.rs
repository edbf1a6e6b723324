//! Reads the journal from a seq on: the engine its own, or somebody else a living engine's.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use super::{
    error::JournalError,
    old,
    record::{self, Damage, Record},
    segment::{self, Form, Segment},
};

const BUFFER_BYTES: usize = 1 << 20;

/// How often the folder is listed anew when segments vanish before they could be opened.
const LISTINGS_MAX: usize = 5;

/// What stands after the last whole record: an engine is writing it, or was killed at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Segment.
    pub path: PathBuf,
    /// Byte offset after the last whole record.
    pub offset: u64,
    /// Bytes that were left out.
    pub bytes: u64,
}

/// Seq of the oldest record that a folder still holds; nothing if it holds none.
///
/// # Errors
/// When the folder cannot be read.
pub fn oldest(dir: &Path) -> Result<Option<u64>, JournalError> {
    Ok(segment::list(dir)?.first().map(|segment| segment.first))
}

/// Gives the records of a folder in order, without gaps.
#[derive(Debug, Default)]
pub struct Reader {
    /// Segments not yet begun, last one first.
    rest: Vec<Segment>,
    open: Option<Open>,
    next: u64,
    /// The record of the first form or the block that was read last, as it is on disk.
    buffer: Vec<u8>,
    /// The records of that block. At most one block's, whose bound is that of [`super::block`].
    unpacked: Vec<u8>,
    /// Where in `unpacked` the next record begins.
    at: usize,
    /// Whether another process may be writing, so that the end may be in pieces.
    shared: bool,
    torn: Option<TornTail>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    form: Form,
    file: BufReader<File>,
    /// Where what is in the buffer begins, and where it ends.
    offset: u64,
    after: u64,
}

impl Reader {
    /// A reader whose first record is `from`, or the oldest one if `from` is 0.
    ///
    /// # Errors
    /// When the folder cannot be read, or `from` is older than what it holds.
    pub fn open(dir: &Path, from: u64) -> Result<Self, JournalError> {
        Self::begin(dir, from, false)
    }

    /// As [`Reader::open`], for a folder in which an engine may be working: takes no lock, changes
    /// nothing, ends at the last whole record of the last segment, and tells in
    /// [`Reader::torn_tail`] what stands after it. A tail longer than one commit can tear is damage.
    ///
    /// # Errors
    /// As [`Reader::open`]. Old segments that the engine deletes meanwhile are an
    /// [`JournalError::Io`] or a [`JournalError::Hole`]; the command can be repeated.
    pub fn open_shared(dir: &Path, from: u64) -> Result<Self, JournalError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match Self::begin(dir, from, true) {
                Err(JournalError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound && tried < LISTINGS_MAX => {}
                other => return other,
            }
        }
    }

    /// What was left out at the end, once [`Reader::next`] has given nothing.
    #[must_use]
    pub const fn torn_tail(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    fn begin(dir: &Path, from: u64, shared: bool) -> Result<Self, JournalError> {
        let mut segments = segment::list(dir)?;
        let begin = segments.iter().rposition(|segment| segment.first <= from).unwrap_or(0);
        let first = segments.get(begin).map_or(from, |segment| segment.first);
        if from != 0 && first > from {
            let path = segment::path_of(dir, first);
            return Err(JournalError::Hole { path, expected: from, found: first });
        }
        let mut rest = segments.split_off(begin);
        rest.reverse();
        let mut reader = Self { rest, open: None, next: first, shared, ..Self::default() };
        while reader.next < from && reader.next()?.is_some() {}
        Ok(reader)
    }

    /// The next record, or nothing at the end of what is written.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] with file and offset where bytes are not the record that should
    /// follow, [`JournalError::Hole`] where a segment is missing.
    #[expect(clippy::should_implement_trait, reason = "the record borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        while self.at >= self.unpacked.len() {
            if self.torn.is_some() || (self.open.is_none() && !self.open_next()?) {
                return Ok(None);
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => self.open = None,
                Err(damage) => self.tear(damage)?,
            }
        }
        let (next, bytes) = (self.next, self.unpacked.get(self.at..).unwrap_or_default());
        let decoded = match self.open.as_ref().map(|open| open.form) {
            Some(Form::Records) => old::decode(bytes),
            _ => record::decode(bytes, next),
        };
        let (record, size) = decoded.map_err(|damage| corrupt(self.open.as_ref(), damage).0)?;
        self.at += size;
        self.next += 1;
        Ok(Some(record))
    }

    /// Takes damage at the end of the last segment for what an engine is writing, or was when it
    /// was killed; gives back damage that neither can explain.
    fn tear(&mut self, (error, damage): (JournalError, Option<Damage>)) -> Result<(), JournalError> {
        let (Some(damage), Some(open)) = (damage, &self.open) else { return Err(error) };
        if !self.shared || !self.rest.is_empty() {
            return Err(error);
        }
        let (path, offset) = (&open.path, open.offset);
        let bytes = std::fs::read(path).map_err(JournalError::io(path, "read"))?;
        let end = usize::try_from(offset).unwrap_or(usize::MAX);
        if !open.form.is_torn(damage, &bytes, end, self.next) {
            return Err(error);
        }
        let bytes = (segment::used(&bytes) as u64).saturating_sub(offset);
        self.torn = Some(TornTail { path: path.clone(), offset, bytes });
        self.open = None;
        Ok(())
    }

    fn open_next(&mut self) -> Result<bool, JournalError> {
        let Some(segment) = self.rest.pop() else { return Ok(false) };
        if segment.first != self.next {
            return Err(JournalError::Hole { path: segment.path, expected: self.next, found: segment.first });
        }
        let path = segment.path;
        let file = File::open(&path).map_err(JournalError::io(&path, "open"))?;
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut header = [0; 16];
        let got = read_up_to(&mut file, &mut header).map_err(JournalError::io(&path, "read"))?;
        if got < header.len() && self.rest.is_empty() {
            return Ok(false);
        }
        if self.shared && self.rest.is_empty() && header.iter().all(|&byte| byte == 0) {
            self.torn = Some(TornTail { path, offset: 0, bytes: header.len() as u64 });
            return Ok(false);
        }
        let Some(form) = Form::of(&header, segment.first) else { return Err(JournalError::Foreign(path)) };
        let (offset, after) = (segment::HEADER_BYTES, segment::HEADER_BYTES);
        self.open = Some(Open { path, form, file, offset, after });
        Ok(true)
    }

    /// Reads the next record of the first form, or the next block and unpacks it; false at the end
    /// of the file.
    fn fill(&mut self) -> Result<bool, (JournalError, Option<Damage>)> {
        let Some(open) = &mut self.open else { return Ok(false) };
        open.offset = open.after;
        if !read_unit(open, &mut self.buffer)? {
            return Ok(false);
        }
        let unit = open.form.unit(&self.buffer, self.next, &mut self.unpacked);
        if open.form == Form::Records {
            std::mem::swap(&mut self.buffer, &mut self.unpacked);
        }
        self.at = 0;
        match unit {
            Ok(unit) => open.after += unit.size as u64,
            Err(damage) => {
                self.unpacked.clear();
                return Err(corrupt(Some(open), damage));
            }
        }
        Ok(true)
    }
}

/// Reads the bytes of one record or block; false at the end of the file.
fn read_unit(open: &mut Open, buffer: &mut Vec<u8>) -> Result<bool, (JournalError, Option<Damage>)> {
    fn failed(open: &Open, error: std::io::Error) -> (JournalError, Option<Damage>) {
        (JournalError::io(&open.path, "read")(error), None)
    }
    let least = open.form.unit_bytes_min();
    buffer.resize(least, 0);
    let got = read_up_to(&mut open.file, buffer).map_err(|error| failed(open, error))?;
    if got == 0 {
        return Ok(false);
    }
    buffer.truncate(got);
    if buffer.iter().all(|&byte| byte == 0)
        && only_zeros(&mut open.file).map_err(|error| failed(open, error))?
    {
        return Ok(false);
    }
    let total = open.form.whole_len(buffer).map_err(|damage| corrupt(Some(open), damage))?;
    if got < least {
        return Err(corrupt(Some(open), Damage::Short));
    }
    buffer.resize(total, 0);
    let body = buffer.get_mut(got..).unwrap_or_default();
    let wanted = body.len();
    let got = read_up_to(&mut open.file, body).map_err(|error| failed(open, error))?;
    if got < wanted {
        return Err(corrupt(Some(open), Damage::Short));
    }
    Ok(true)
}

/// Damage with its place, as an error and as it is.
fn corrupt(open: Option<&Open>, damage: Damage) -> (JournalError, Option<Damage>) {
    let (path, offset) = open.map(|open| (open.path.clone(), open.offset)).unwrap_or_default();
    (JournalError::Corrupt { path, offset, found: damage.to_string() }, Some(damage))
}

/// Whether nothing but zeros follows: the part of a segment that was filled beforehand.
fn only_zeros(file: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let bytes = match file.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        let len = bytes.len();
        if len == 0 {
            return Ok(true);
        }
        file.consume(len);
    }
}

fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read(buffer.get_mut(have..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(got) => have += got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}
