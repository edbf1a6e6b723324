//! A [`Log`] whose newest lines the store keeps as well: what a line is about and the line itself are
//! one commit, so that neither is there without the other, whatever a crash left of the file.

use std::path::Path;

use fleet::{
    store::{Batch, KeyRange, SCAN_ENTRIES_MAX, Store, Table},
    time::Timestamp,
};

use crate::{
    log::{Head, Line, Log, Sealed},
    task::TaskError,
};

/// Where the store keeps what belongs to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Key in [`Table::Meta`] of the [`Head`], as JSON.
    pub head: &'static [u8],
    /// Beginning of the keys in [`Table::AuditLog`] of the lines that the file may lack.
    pub lines: &'static [u8],
}

impl Keys {
    fn line(self, seq: u64) -> Vec<u8> {
        [self.lines, &seq.to_be_bytes()].concat()
    }

    /// Lines that the store keeps, in their order. A line past the head is left from a commit whose
    /// outcome was not known and that was done anew with fewer lines.
    fn kept(self, store: &dyn Store) -> Result<Vec<Line>, TaskError> {
        let head = store.get(Table::Meta, self.head)?;
        let head: Option<Head> = head.map(|head| serde_json::from_slice(&head)).transpose()?;
        let last = head.map_or(0, |head| head.seq);
        let entries = store.scan(Table::AuditLog, &KeyRange::prefix(self.lines), SCAN_ENTRIES_MAX)?;
        let mut lines = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let read = serde_json::from_slice(&value);
            let line: Line = read.map_err(|source| TaskError::Record {
                key: String::from_utf8_lossy(&key).into_owned(),
                source,
            })?;
            if line.seq <= last {
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

/// Lines that are in a batch, to be written to the file once it is committed.
#[derive(Clone, Debug)]
pub struct Kept {
    sealed: Sealed,
    let_go: u64,
}

/// The record, open for appending.
#[derive(Debug)]
pub struct Record {
    log: Log,
    keys: Keys,
    /// Last line that the store does not keep any more, because the file is synced.
    let_go: u64,
}

impl Record {
    /// Opens the file at `path`, or begins one, and writes again what the store kept of it.
    ///
    /// # Errors
    /// When store or file fail, or the kept lines do not follow the file's.
    pub fn open(path: &Path, store: &dyn Store, keys: Keys) -> Result<Self, TaskError> {
        let lines = keys.kept(store)?;
        let log = Log::open(path, &lines)?;
        let let_go = lines.first().map_or(log.head().seq, |line| line.seq.saturating_sub(1));
        Ok(Self { log, keys, let_go })
    }

    /// Where the chain ends.
    #[must_use]
    pub const fn head(&self) -> &Head {
        self.log.head()
    }

    /// Adds to `batch` the lines of `entries`, and lets go of those that the file has for good. The same
    /// batch may be tried again; [`Record::written`] takes the lines over.
    ///
    /// # Errors
    /// When the file takes no further lines.
    pub fn keep(
        &mut self,
        entries: &[(Timestamp, serde_json::Value)],
        batch: &mut Batch,
    ) -> Result<Option<Kept>, TaskError> {
        if entries.is_empty() {
            return Ok(None);
        }
        self.log.ready()?;
        let sealed = self.log.seal(entries);
        for line in &sealed.lines {
            batch.put(Table::AuditLog, self.keys.line(line.seq), serde_json::to_vec(line)?);
        }
        let let_go = self.log.synced();
        for seq in self.let_go + 1..=let_go {
            batch.delete(Table::AuditLog, self.keys.line(seq));
        }
        batch.put(Table::Meta, self.keys.head, serde_json::to_vec(&sealed.head)?);
        Ok(Some(Kept { sealed, let_go }))
    }

    /// Writes lines whose batch was committed.
    pub fn written(&mut self, kept: Kept) {
        self.log.append(kept.sealed);
        self.let_go = kept.let_go;
    }
}

#[cfg(test)]
mod tests {
    use fleet::store::{self, Engine};
    use serde_json::json;

    use super::*;
    use crate::log::verify_log;

    const KEYS: Keys = Keys { head: b"test-head", lines: b"test/" };

    fn add(record: &mut Record, store: &dyn Store, n: u64) {
        let mut batch = Batch::new();
        let kept = record.keep(&[(Timestamp::from_millis(0), json!({"n": n}))], &mut batch).unwrap();
        store.commit(&batch).unwrap();
        record.written(kept.unwrap());
    }

    #[test]
    fn a_file_that_lost_its_end_gets_it_back_from_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let (path, store) =
            (dir.path().join("log"), store::open(Engine::Redb, &dir.path().join("s")).unwrap());
        let mut record = Record::open(&path, &*store, KEYS).unwrap();
        (0..3).for_each(|n| add(&mut record, &*store, n));
        let head = record.head().clone();
        drop(record);
        std::fs::write(&path, "").unwrap();
        let mut record = Record::open(&path, &*store, KEYS).unwrap();
        assert_eq!(*record.head(), head);
        add(&mut record, &*store, 3);
        assert_eq!(verify_log(&path, Some(&head)).unwrap(), *record.head());
    }

    #[test]
    fn the_store_lets_go_of_what_the_file_has_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let (path, store) =
            (dir.path().join("log"), store::open(Engine::Redb, &dir.path().join("s")).unwrap());
        let mut record = Record::open(&path, &*store, KEYS).unwrap();
        let lines = crate::log::UNSYNCED_MAX + 2;
        (0..lines).for_each(|n| add(&mut record, &*store, n));
        let kept = KEYS.kept(&*store).unwrap();
        assert_eq!(kept.first().map(|line| line.seq), Some(crate::log::UNSYNCED_MAX + 1));
        assert_eq!(kept.len(), 2);
    }
}
