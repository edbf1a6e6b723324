//! Opening the folder, to write or only to read it.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
    sync::Arc,
};

use crate::{
    error::HistoryError,
    files,
    head::Head,
    log::{self, Log},
    part::Part,
    store::{History, Options, Recovery, State, Writer},
};

impl History {
    /// Opens or makes the folder and goes on with its newest log.
    ///
    /// `journal_seq` is the last record of the journal that the blocks come from. Where the folder
    /// is ahead of it, the journal is another one (it was deleted, or restored from a backup), and
    /// its blocks are taken from the first on.
    ///
    /// # Errors
    /// When another process holds the folder, or the disk refuses.
    pub fn open(dir: &Path, options: Options, journal_seq: u64) -> Result<(Self, Recovery), HistoryError> {
        fs::create_dir_all(dir).map_err(HistoryError::io(dir, "create the folder"))?;
        let lock = lock(dir)?;
        files::delete_unfinished(dir)?;
        let mut recovery = Recovery::default();
        let mut state = State::default();
        let mut committed = 0;
        let logs = files::list(dir, files::LOG)?;
        let last = logs.last().map(|log| log.number);
        for found in &logs {
            let read = match log::read(&found.path) {
                Err(HistoryError::Damaged { .. }) => {
                    put_aside(&found.path, &mut recovery)?;
                    continue;
                }
                read => read?,
            };
            recovery.cut_bytes += read.rest;
            committed = committed.max(read.committed);
            // The log is the truth about its parts: a crash may have come between them.
            delete_parts_of(dir, found.number)?;
            state.sealing.push((Arc::new(read.head), found.path.clone(), read.len));
        }
        let another_journal = committed > journal_seq;
        if another_journal {
            tracing::warn!(
                committed,
                journal_seq,
                "the history is ahead of the journal; taking all of its windows"
            );
            committed = 0;
        }
        state.parts = open_parts(dir, &mut recovery)?;
        let newest = files::list(dir, files::PART)?.last().map(|part| part.number).max(last);
        let number = newest.map_or(1, |newest| newest + 1);
        state.sealing.retain(|(head, path, _)| head.points > 0 || files::delete(path).is_err());
        let log = Log::create(dir, number, committed)?;
        state.open = Head::new(number);
        let history = Self::of(dir, options, Some(lock), Some(Writer { log, committed }), state, number + 1);
        if another_journal {
            // The old logs name records of the old journal: none may speak at the next opening.
            while history.seal_one()? {}
        }
        history.counted(&recovery, committed);
        Ok((history, recovery))
    }

    /// Reads the folder as it is, beside a process that writes it or without one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_only(dir: &Path) -> Result<Self, HistoryError> {
        // Files may be merged between listing and opening them; then the listing is another one.
        const TRIES: u32 = 5;
        let mut tried = 0;
        loop {
            tried += 1;
            match Self::read_once(dir) {
                Err(error) if error.is_missing() && dir.is_dir() && tried < TRIES => {}
                other => return other,
            }
        }
    }

    fn read_once(dir: &Path) -> Result<Self, HistoryError> {
        let mut state = State::default();
        let mut recovery = Recovery::default();
        let mut committed = 0;
        for found in files::list(dir, files::LOG)? {
            match log::read(&found.path) {
                Err(HistoryError::Damaged { .. }) => recovery.damaged += 1,
                Err(error) => return Err(error),
                Ok(read) => {
                    committed = committed.max(read.committed);
                    state.sealing.push((Arc::new(read.head), found.path, read.len));
                }
            }
        }
        for found in files::list(dir, files::PART)? {
            if state.sealing.iter().any(|(head, ..)| head.number == found.number) {
                continue;
            }
            match Part::open(found) {
                Err(HistoryError::Damaged { .. }) => recovery.damaged += 1,
                part => state.parts.push(Arc::new(part?)),
            }
        }
        let replaced: Vec<(u64, u32)> =
            state.parts.iter().flat_map(|part| part.origin.replaces.clone()).collect();
        state.parts.retain(|part| !replaced.contains(&part.id()));
        state.parts.sort_by_key(|part| part.age());
        let history = Self::of(dir, Options::default(), None, None, state, 0);
        history.counted(&recovery, committed);
        Ok(history)
    }
}

fn lock(dir: &Path) -> Result<File, HistoryError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(HistoryError::io(&path, "create the lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(HistoryError::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(HistoryError::io(&path, "lock")(error)),
    }
}

fn put_aside(path: &Path, recovery: &mut Recovery) -> Result<(), HistoryError> {
    recovery.damaged += 1;
    tracing::warn!(path = %path.display(), "a file of the history cannot be read; it is put aside");
    fs::rename(path, path.with_added_extension("damaged")).map_err(HistoryError::io(path, "rename"))
}

fn delete_parts_of(dir: &Path, log: u64) -> Result<(), HistoryError> {
    let parts = files::list(dir, files::PART)?;
    parts.iter().filter(|part| part.number == log).try_for_each(|part| files::delete(&part.path))
}

/// All parts but those that another one replaces; these are deleted.
fn open_parts(dir: &Path, recovery: &mut Recovery) -> Result<Vec<Arc<Part>>, HistoryError> {
    let mut parts = Vec::new();
    for found in files::list(dir, files::PART)? {
        let path = found.path.clone();
        match Part::open(found) {
            Err(HistoryError::Damaged { .. }) => put_aside(&path, recovery)?,
            part => parts.push(Arc::new(part?)),
        }
    }
    let replaced: Vec<(u64, u32)> = parts.iter().flat_map(|part| part.origin.replaces.clone()).collect();
    let (old, mut kept): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| replaced.contains(&part.id()));
    old.iter().try_for_each(|part| files::delete(&part.name.path))?;
    kept.sort_by_key(|part| part.age());
    Ok(kept)
}
