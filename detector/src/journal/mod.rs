//! The journal: every input that changes what the detector decides, in one order, on disk.
//!
//! Append-only segment files in a folder, named after their first record. [`Journal::append`]
//! collects, [`Journal::commit`] writes once and syncs once (group commit): only what was
//! committed may be acknowledged. After a disk error nothing more is accepted, because what the
//! disk holds is then unknown (a failed sync may have dropped the pages).
//!
//! A crash can tear only what was being written, so at most the last [`COMMIT_BYTES_MAX`] bytes
//! or the last record: such a tail is cut at the last whole record when the folder is opened,
//! kept aside in a file, and counted. Damage anywhere else is an error that names the place.
//!
//! Under way, the next segment is filled with zeros beforehand, so the last segment may
//! end in zeros: a record never begins with them, and zeros up to the end of the file are the end.

mod error;
mod reader;
mod record;
mod segment;
mod spare;

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use fleet::time::Timestamp;

use self::spare::Spare;
pub use self::{
    error::JournalError,
    reader::{Reader, TornTail, oldest},
    record::{BODY_BYTES_MAX, Kind, Record},
};
use crate::input::SourceId;

/// Bytes that are collected at most before they are written: with one record more, the most that
/// a crash can tear.
pub const COMMIT_BYTES_MAX: usize = 8 << 20;

/// Size of the segments, unless configured otherwise: small enough to delete in steps, large
/// enough that a new file is rare.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// What a record says, before it has its place in the journal.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// See [`Record::arrival`].
    pub arrival: Timestamp,
    /// See [`Record::source`].
    pub source: SourceId,
    /// See [`Record::kind`].
    pub kind: Kind,
    /// See [`Record::position`].
    pub position: u64,
    /// See [`Record::subject`].
    pub subject: &'a str,
    /// See [`Record::payload`].
    pub payload: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The record that this becomes at `seq`.
    #[must_use]
    pub const fn at(self, seq: u64) -> Record<'a> {
        let Self { arrival, source, kind, position, subject, payload } = self;
        Record { seq, arrival, source, kind, position, subject, payload }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of a torn tail that were cut off and kept aside.
    pub cut_bytes: u64,
    /// Where they are kept, if there were any.
    pub kept_in: Option<PathBuf>,
}

/// The writing end. Holds the folder's lock while it lives.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    _lock: File,
    file: File,
    path: PathBuf,
    /// Bytes of the open segment that are written.
    written: u64,
    /// Length of the open segment's file: more than `written` where zeros follow.
    length: u64,
    /// The next segment, once a quarter of this one is full.
    spare: Option<Spare>,
    segment_bytes: u64,
    buffer: Vec<u8>,
    next: u64,
    /// INVARIANT: set from before a write until it succeeded.
    broken: bool,
    bytes_total: u64,
    commits: u64,
}

impl Journal {
    /// Opens or creates the folder, takes its lock, and cuts a torn tail.
    ///
    /// `segment_bytes` is the size at which a new segment is begun; a single record may be larger.
    ///
    /// # Errors
    /// When another engine holds the folder, the disk refuses, or the last segment is damaged
    /// where a crash cannot have damaged it.
    pub fn open(dir: &Path, segment_bytes: u64) -> Result<(Self, Recovery), JournalError> {
        fs::create_dir_all(dir).map_err(JournalError::io(dir, "create the folder"))?;
        let lock = lock(dir)?;
        let mut recovery = Recovery::default();
        let (next, written) = match segment::list(dir)?.pop() {
            Some(last) => recover(dir, &last, &mut recovery)?,
            None => (1, segment::HEADER_BYTES),
        };
        let last = segment::list(dir)?.pop();
        let (mut file, path) = match last {
            Some(last) => {
                let opened = OpenOptions::new().write(true).open(&last.path);
                (opened.map_err(JournalError::io(&last.path, "open"))?, last.path)
            }
            None => create_segment(dir, next)?,
        };
        let length = file.metadata().map_err(JournalError::io(&path, "ask the length of"))?.len();
        file.seek(SeekFrom::Start(written)).map_err(JournalError::io(&path, "seek"))?;
        let journal = Self {
            dir: dir.to_owned(),
            _lock: lock,
            file,
            path,
            written,
            length,
            spare: None,
            segment_bytes,
            buffer: Vec::new(),
            next,
            broken: false,
            bytes_total: 0,
            commits: 0,
        };
        Ok((journal, recovery))
    }

    /// Seq that the next record gets.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next
    }

    /// Bytes of records appended since opening.
    #[must_use]
    pub const fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Commits since opening that had something to write.
    #[must_use]
    pub const fn commits(&self) -> u64 {
        self.commits
    }

    /// Bytes collected for the next commit.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Adds a record. It is on disk only after the next [`Journal::commit`].
    ///
    /// # Errors
    /// When it is too large, or when the disk refuses: a full buffer or segment is written first.
    pub fn append(&mut self, entry: Entry<'_>) -> Result<u64, JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        let max = usize::from(u16::MAX);
        let len = entry.subject.len();
        let too_long = |_| JournalError::TooLarge { what: "subject", len, max };
        let subject_len = u16::try_from(len).map_err(too_long)?;
        let body = len.saturating_add(entry.payload.len());
        let too_large =
            JournalError::TooLarge { what: "subject and payload", len: body, max: BODY_BYTES_MAX };
        let body_len = match u32::try_from(body) {
            Ok(body_len) if body <= BODY_BYTES_MAX => body_len,
            _ => return Err(too_large),
        };
        if self.buffer.len() >= COMMIT_BYTES_MAX {
            self.commit()?;
        }
        if self.written + self.buffer.len() as u64 >= self.segment_bytes {
            self.rotate()?;
        }
        let seq = self.next;
        let before = self.buffer.len();
        record::encode(&entry.at(seq), subject_len, body_len, &mut self.buffer);
        self.bytes_total += (self.buffer.len() - before) as u64;
        self.next += 1;
        Ok(seq)
    }

    /// Writes and syncs what was appended. All of it is on disk when this returns.
    ///
    /// # Errors
    /// When the disk refuses; the journal accepts nothing after that.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.broken = true;
        self.file.write_all(&self.buffer).map_err(JournalError::io(&self.path, "write"))?;
        self.file.sync_data().map_err(JournalError::io(&self.path, "sync"))?;
        self.broken = false;
        self.written += self.buffer.len() as u64;
        self.length = self.length.max(self.written);
        self.buffer.clear();
        self.buffer.shrink_to(COMMIT_BYTES_MAX);
        self.commits += 1;
        if self.spare.is_none() && self.written > self.segment_bytes / 4 {
            self.spare = Spare::begin(&self.dir, self.segment_bytes);
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        self.commit()?;
        if self.written <= segment::HEADER_BYTES {
            return Ok(());
        }
        self.end_at_the_last_record()?;
        let (file, path, length) = match Spare::take(&mut self.spare) {
            Some((zeros, length)) => adopt_segment(&self.dir, &zeros, self.next)
                .map(|(file, path)| (file, path, length.max(segment::HEADER_BYTES)))?,
            None => create_segment(&self.dir, self.next)
                .map(|(file, path)| (file, path, segment::HEADER_BYTES))?,
        };
        self.file = file;
        self.path = path;
        self.length = length;
        self.written = segment::HEADER_BYTES;
        Ok(())
    }

    /// Takes the zeros off the segment that is left (there are some where the configured size shrank).
    fn end_at_the_last_record(&mut self) -> Result<(), JournalError> {
        if self.length > self.written {
            self.file.set_len(self.written).map_err(JournalError::io(&self.path, "cut"))?;
            self.file.sync_all().map_err(JournalError::io(&self.path, "sync"))?;
            self.length = self.written;
        }
        Ok(())
    }

    /// See [`delete_before`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn delete_before(&mut self, seq: u64) -> Result<usize, JournalError> {
        delete_before(&self.dir, seq)
    }

    /// A reader over what is committed.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn reader(&self, from: u64) -> Result<Reader, JournalError> {
        Reader::open(&self.dir, from)
    }
}

/// Deletes the segments all of whose records are older than `seq`; never the last one, so that it
/// may be called while a journal is written. Returns how many.
///
/// # Errors
/// When the disk refuses.
pub fn delete_before(dir: &Path, seq: u64) -> Result<usize, JournalError> {
    let segments = segment::list(dir)?;
    let mut deleted = 0;
    for (segment, follower) in segments.iter().zip(segments.iter().skip(1)) {
        if follower.first > seq {
            break;
        }
        fs::remove_file(&segment.path).map_err(JournalError::io(&segment.path, "delete"))?;
        deleted += 1;
    }
    if deleted > 0 {
        sync_dir(dir)?;
    }
    Ok(deleted)
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(JournalError::io(&path, "create the lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(JournalError::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(JournalError::io(&path, "lock")(error)),
    }
}

fn create_segment(dir: &Path, first: u64) -> Result<(File, PathBuf), JournalError> {
    let path = segment::path_of(dir, first);
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.map_err(JournalError::io(&path, "create"))?;
    file.write_all(&segment::header(first)).map_err(JournalError::io(&path, "write"))?;
    file.sync_all().map_err(JournalError::io(&path, "sync"))?;
    sync_dir(dir)?;
    Ok((file, path))
}

/// Makes `zeros` the segment that begins with `first`. The header is on disk before the name is.
fn adopt_segment(dir: &Path, zeros: &Path, first: u64) -> Result<(File, PathBuf), JournalError> {
    let path = segment::path_of(dir, first);
    if path.exists() {
        return create_segment(dir, first);
    }
    let file = OpenOptions::new().write(true).open(zeros);
    let mut file = file.map_err(JournalError::io(zeros, "open"))?;
    file.write_all(&segment::header(first)).map_err(JournalError::io(zeros, "write"))?;
    file.sync_data().map_err(JournalError::io(zeros, "sync"))?;
    fs::rename(zeros, &path).map_err(JournalError::io(&path, "create"))?;
    sync_dir(dir)?;
    Ok((file, path))
}

/// Makes new and deleted names of a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    let opened = File::open(dir).map_err(JournalError::io(dir, "open the folder"))?;
    opened.sync_all().map_err(JournalError::io(dir, "sync the folder"))
}

/// Cuts the torn tail of the last segment, if any. Returns the next seq and where it goes.
fn recover(dir: &Path, last: &segment::Segment, recovery: &mut Recovery) -> Result<(u64, u64), JournalError> {
    let (tail, bytes) = segment::find_tail(last)?;
    let Some(damage) = tail.damage else { return Ok((tail.next, tail.end)) };
    let end = usize::try_from(tail.end).unwrap_or(usize::MAX);
    let far = segment::last_record_after(&bytes, end.saturating_add(1), tail.next);
    if far.is_some_and(|far| far - end > COMMIT_BYTES_MAX) {
        let found = format!("{damage}, but whole records follow");
        return Err(JournalError::Corrupt { path: last.path.clone(), offset: tail.end, found });
    }
    let used = usize::try_from(tail.used).unwrap_or(usize::MAX);
    keep_aside(dir, last, &tail, bytes.get(end..used).unwrap_or_default(), recovery)?;
    tracing::warn!(
        segment = %last.path.display(),
        offset = tail.end,
        cut_bytes = recovery.cut_bytes,
        %damage,
        "cut the torn tail of the journal"
    );
    if tail.end < segment::HEADER_BYTES {
        fs::remove_file(&last.path).map_err(JournalError::io(&last.path, "delete"))?;
        drop(create_segment(dir, last.first)?);
        return Ok((last.first, segment::HEADER_BYTES));
    }
    // With the zeros that follow: what is written here next must not be followed by what is torn.
    let file = OpenOptions::new().write(true).open(&last.path);
    let file = file.map_err(JournalError::io(&last.path, "open"))?;
    file.set_len(tail.end).map_err(JournalError::io(&last.path, "cut"))?;
    file.sync_all().map_err(JournalError::io(&last.path, "sync"))?;
    Ok((tail.next, tail.end))
}

fn keep_aside(
    dir: &Path,
    last: &segment::Segment,
    tail: &segment::Tail,
    bytes: &[u8],
    recovery: &mut Recovery,
) -> Result<(), JournalError> {
    recovery.cut_bytes = tail.used - tail.end;
    if bytes.is_empty() {
        return Ok(());
    }
    let path = dir.join(format!("{:020}-{}.cut", last.first, tail.end));
    fs::write(&path, bytes).map_err(JournalError::io(&path, "keep the torn tail"))?;
    recovery.kept_in = Some(path);
    Ok(())
}

#[cfg(test)]
mod tests;
