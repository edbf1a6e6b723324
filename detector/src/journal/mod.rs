//! The journal: every input that changes what the detector decides, in one order, on disk.
//!
//! Append-only segment files in a folder, named after their first record. [`Journal::append`]
//! collects, [`Journal::commit`] writes once and syncs once (group commit): only what was
//! committed may be acknowledged. After a disk error nothing more is accepted, because what the
//! disk holds is then unknown (a failed sync may have dropped the pages).
//!
//! Records stand in blocks (`block.rs`), several of one commit packed together with LZ4: reports of
//! one fleet are much alike, and fewer bytes are written sooner. Segments of the form before, whose
//! records stand alone (`old.rs`), are read and not continued.
//!
//! A crash can tear only the last commit: such a tail is cut after the last whole block when the
//! folder is opened, kept aside in a file, and counted. Each block says to which commit it belongs,
//! so damage before the last commit is told from that; it is an error that names the place.
//!
//! Under way, the next segment is filled with zeros beforehand, so the last segment may
//! end in zeros: a block never begins with them, and zeros up to the end of the file are the end.

mod block;
mod error;
mod old;
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

use self::{block::Packer, segment::Form, spare::Spare};
pub use self::{
    error::JournalError,
    reader::{Reader, TornTail, oldest},
    record::{BODY_BYTES_MAX, Kind, Record},
};
use crate::input::SourceId;

/// Bytes that are collected at most before they are written: with one record more, the longest
/// commit.
pub const COMMIT_BYTES_MAX: usize = 8 << 20;

/// A segment that was not filled beforehand, the first one after a start, grows by so many zeros at
/// a time, so that only one commit in many waits for the file system as well.
const GROWTH_BYTES: u64 = 1 << 20;

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
    /// What the next commit writes.
    packer: Packer,
    next: u64,
    /// INVARIANT: set from before a write until it succeeded.
    broken: bool,
    bytes_total: u64,
    written_total: u64,
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
            Some(last) if written > 0 => {
                let opened = OpenOptions::new().write(true).open(&last.path);
                (opened.map_err(JournalError::io(&last.path, "open"))?, last.path)
            }
            _ => create_segment(dir, next)?,
        };
        let written = written.max(segment::HEADER_BYTES);
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
            packer: Packer::new(next),
            next,
            broken: false,
            bytes_total: 0,
            written_total: 0,
            commits: 0,
        };
        Ok((journal, recovery))
    }

    /// Seq that the next record gets.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next
    }

    /// Bytes of records appended since opening, as they are before they are packed: what reading
    /// them again will have to work through.
    #[must_use]
    pub const fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Bytes written by commits since opening.
    #[must_use]
    pub const fn written_total(&self) -> u64 {
        self.written_total
    }

    /// Commits since opening that had something to write.
    #[must_use]
    pub const fn commits(&self) -> u64 {
        self.commits
    }

    /// Bytes collected for the next commit.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.packer.pending()
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
        if self.packer.pending() >= COMMIT_BYTES_MAX {
            self.commit()?;
        }
        if self.written + self.packer.pending() as u64 >= self.segment_bytes {
            self.rotate()?;
        }
        let seq = self.next;
        self.bytes_total += self.packer.push(&entry.at(seq), subject_len, body_len) as u64;
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
        let bytes = self.packer.finish();
        if bytes.is_empty() {
            return Ok(());
        }
        self.broken = true;
        self.file.write_all(bytes).map_err(JournalError::io(&self.path, "write"))?;
        self.written += bytes.len() as u64;
        self.written_total += bytes.len() as u64;
        if self.written > self.length {
            self.length = self.written;
            self.grow()?;
        }
        self.file.sync_data().map_err(JournalError::io(&self.path, "sync"))?;
        self.broken = false;
        self.packer.clear(COMMIT_BYTES_MAX);
        self.commits += 1;
        match &mut self.spare {
            Some(spare) => spare.follow(self.written),
            None if self.written > self.segment_bytes / 4 => {
                self.spare = Spare::begin(&self.dir, self.segment_bytes, self.written);
            }
            None => {}
        }
        Ok(())
    }

    /// Puts zeros after what is written. The next sync is theirs as well. Where there is no room for
    /// them, there may still be some for records.
    fn grow(&mut self) -> Result<(), JournalError> {
        let room = self.segment_bytes.saturating_sub(self.length).min(GROWTH_BYTES);
        if room == 0 || self.segment_bytes < spare::SEGMENT_BYTES_MIN {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(room).unwrap_or_default()];
        match self.file.write_all(&zeros) {
            Ok(()) => self.length += room,
            Err(error) => tracing::debug!(%error, path = %self.path.display(), "no zeros ahead"),
        }
        self.file.seek(SeekFrom::Start(self.written)).map_err(JournalError::io(&self.path, "seek"))?;
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

    /// Takes the zeros off the segment that is left. They are no harm should they come again with a
    /// crash, so nobody waits for the disk.
    fn end_at_the_last_record(&mut self) -> Result<(), JournalError> {
        if self.length > self.written {
            self.file.set_len(self.written).map_err(JournalError::io(&self.path, "cut"))?;
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

/// A file that a stopped engine leaves ends with its last record, unless much of it was filled
/// beforehand. Nothing depends on it.
impl Drop for Journal {
    fn drop(&mut self) {
        if !self.broken
            && (1..=GROWTH_BYTES).contains(&(self.length - self.written))
            && let Err(error) = self.file.set_len(self.written)
        {
            tracing::debug!(%error, path = %self.path.display(), "zeros at the end of the journal stay");
        }
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
    file.write_all(&Form::Blocks.header(first)).map_err(JournalError::io(&path, "write"))?;
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
    file.write_all(&Form::Blocks.header(first)).map_err(JournalError::io(zeros, "write"))?;
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

/// Cuts the torn tail of the last segment, if any. Returns the next seq and where it goes: nowhere
/// (0) in a segment that is not continued.
fn recover(dir: &Path, last: &segment::Segment, recovery: &mut Recovery) -> Result<(u64, u64), JournalError> {
    let (tail, bytes) = segment::find_tail(last)?;
    if let Some(damage) = tail.damage {
        let end = usize::try_from(tail.end).unwrap_or(usize::MAX);
        if !tail.form.is_torn(damage, &bytes, end, tail.next) {
            let found = damage.to_string();
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
    }
    let old = tail.form == Form::Records;
    // Without a record it is in the way of the segment that follows.
    if tail.end < segment::HEADER_BYTES || (old && tail.next == last.first) {
        fs::remove_file(&last.path).map_err(JournalError::io(&last.path, "delete"))?;
        drop(create_segment(dir, last.first)?);
        return Ok((last.first, segment::HEADER_BYTES));
    }
    if old || tail.damage.is_some() {
        // With the zeros that follow: what is written here next must not be followed by what is torn.
        let file = OpenOptions::new().write(true).open(&last.path);
        let file = file.map_err(JournalError::io(&last.path, "open"))?;
        file.set_len(tail.end).map_err(JournalError::io(&last.path, "cut"))?;
        file.sync_all().map_err(JournalError::io(&last.path, "sync"))?;
    }
    Ok((tail.next, if old { 0 } else { tail.end }))
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
