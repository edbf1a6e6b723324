//! The log: blocks as they came, with a mark after those that belong together.
//!
//! `magic | frame(number, committed) | frame*`. The payload of a frame begins with its kind: a
//! block, or a commit with the record up to which everything is stored. What follows the last
//! commit was never promised to be stored, and is cut.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::HistoryError,
    files::{self, NewFile},
    frame,
    head::Head,
    wire::{Cursor, put_uvarint},
};

const MAGIC: [u8; 8] = *b"FLWHLOG1";
const BLOCK: u8 = 1;
const COMMIT: u8 = 2;

/// A log that is written.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    /// Bytes up to the last commit.
    len: u64,
    /// Blocks since the last commit.
    buffer: Vec<u8>,
}

/// What a log file holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) head: Head,
    /// Record up to which everything is stored.
    pub(crate) committed: u64,
    /// Bytes up to the last commit.
    pub(crate) len: u64,
    /// Bytes after it.
    pub(crate) rest: u64,
}

impl Log {
    /// A new log; on disk when this returns.
    pub(crate) fn create(dir: &Path, number: u64, committed: u64) -> Result<Self, HistoryError> {
        let mut bytes = MAGIC.to_vec();
        let mut header = Vec::new();
        put_uvarint(&mut header, number);
        put_uvarint(&mut header, committed);
        frame::put(&mut bytes, &header);
        let mut file = NewFile::create(files::path_of(dir, number, 0, files::LOG))?;
        file.write(&bytes)?;
        let path = file.finish()?;
        files::sync_dir(dir)?;
        Self::open(path, bytes.len() as u64)
    }

    /// Goes on with a log after its last commit.
    pub(crate) fn open(path: PathBuf, len: u64) -> Result<Self, HistoryError> {
        let file = OpenOptions::new().write(true).open(&path).map_err(HistoryError::io(&path, "open"))?;
        let mut log = Self { path, file, len, buffer: Vec::new() };
        log.cut()?;
        Ok(log)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) const fn has_pending(&self) -> bool {
        !self.buffer.is_empty()
    }

    pub(crate) fn push(&mut self, payload: &[u8]) {
        let mut kinded = Vec::with_capacity(payload.len() + 1);
        kinded.push(BLOCK);
        kinded.extend_from_slice(payload);
        frame::put(&mut self.buffer, &kinded);
    }

    /// Writes and syncs what was pushed, and that everything up to record `seq` is stored. After a
    /// failure the blocks are still pending, and are written whole again by the next call: what a
    /// failed sync left in doubt is never relied on.
    pub(crate) fn commit(&mut self, seq: u64) -> Result<(), HistoryError> {
        let mut mark = vec![COMMIT];
        put_uvarint(&mut mark, seq);
        let mut end = Vec::new();
        frame::put(&mut end, &mark);
        self.cut()?;
        let written = self.file.write_all(&self.buffer).and_then(|()| self.file.write_all(&end));
        written.map_err(HistoryError::io(&self.path, "write"))?;
        self.file.sync_data().map_err(HistoryError::io(&self.path, "sync"))?;
        self.len += (self.buffer.len() + end.len()) as u64;
        self.buffer.clear();
        self.buffer.shrink_to(1 << 20);
        Ok(())
    }

    fn cut(&mut self) -> Result<(), HistoryError> {
        self.file.set_len(self.len).map_err(HistoryError::io(&self.path, "cut"))?;
        self.file.seek(SeekFrom::Start(self.len)).map_err(HistoryError::io(&self.path, "seek"))?;
        Ok(())
    }
}

/// Reads a log up to its last commit. Only a damaged beginning is an error.
pub(crate) fn read(path: &Path) -> Result<Found, HistoryError> {
    let bytes = std::fs::read(path).map_err(HistoryError::io(path, "read"))?;
    let foreign = |found| HistoryError::damaged(path, 0, found);
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| foreign("it is no log of this version"))?;
    let mut cursor = Cursor(rest);
    let mut header = Cursor(frame::take(&mut cursor).map_err(foreign)?);
    let numbers = header.uvarint().zip(header.uvarint());
    let (number, mut committed) = numbers.ok_or_else(|| foreign("its header makes no sense"))?;
    let position = |cursor: &Cursor<'_>| (bytes.len() - cursor.0.len()) as u64;
    let (mut head, mut len) = (Head::new(number), position(&cursor));
    let mut pending = Vec::new();
    while let Ok(payload) = frame::take(&mut cursor) {
        match payload.split_first() {
            Some((&BLOCK, block)) => pending.push(block),
            Some((&COMMIT, mark)) => {
                let Some(seq) = Cursor(mark).uvarint() else { break };
                if !pending.drain(..).all(|block| head.apply(block).is_some()) {
                    break;
                }
                committed = seq.max(committed);
                len = position(&cursor);
            }
            _ => break,
        }
    }
    Ok(Found { head, committed, len, rest: bytes.len() as u64 - len })
}
