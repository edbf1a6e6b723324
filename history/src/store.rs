//! The folder: what is open, what is sealed, what was counted.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{error::HistoryError, head::Head, log::Log, part::Part, value::Block};

/// Bytes of names and lists that a log holds at most; they count besides its values.
pub(crate) const TEXT_BYTES_MAX: usize = 32 << 20;
/// Full logs that wait to be sealed at most. When it is reached, a commit seals one itself.
pub(crate) const SEALING_MAX: usize = 4;

/// Bounds of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Days that are kept besides the present one.
    pub days: u32,
    /// Bytes on disk that are kept at most, give or take what is written between two calls of
    /// [`History::maintain`].
    pub bytes_max: u64,
    /// Values of a log at most: about 12 bytes of memory each.
    pub log_points_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        // Half an hour to an hour of 10,000 things with 20 metrics.
        Self { days: 30, bytes_max: 8 << 30, log_points_max: 2_000_000 }
    }
}

/// What opening found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes after the last commit of a log, which a crash left behind; cut off.
    pub cut_bytes: u64,
    /// Files that could not be read, put aside with the ending `damaged`.
    pub damaged: u64,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Taken; on disk after the next commit.
    Kept {
        /// Values taken.
        rows: usize,
        /// Values left out because their list is longer than [`crate::LIST_BYTES_MAX`].
        too_long: usize,
    },
    /// Its record was committed before.
    Repeated,
}

/// What is there, and what was counted since opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Values on disk.
    pub points: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Sealed files.
    pub parts: u64,
    /// Earliest window end, milliseconds since the epoch.
    pub oldest_ms: Option<i64>,
    /// Latest window end.
    pub newest_ms: Option<i64>,
    /// Record up to which everything is stored.
    pub committed: u64,
    /// Blocks passed over because they were stored before.
    pub repeated_blocks: u64,
    /// Values left out because their list is too long.
    pub too_long: u64,
    /// Values deleted because they were too old.
    pub deleted_by_age: u64,
    /// Values deleted because there was too much.
    pub deleted_by_size: u64,
    /// Bytes cut from logs when they were opened.
    pub cut_bytes: u64,
    /// Files that could not be read.
    pub damaged: u64,
}

/// The values of the last weeks. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct History {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    /// Held while this lives; absent for readers.
    _lock: Option<File>,
    writer: Mutex<Option<Writer>>,
    state: RwLock<State>,
    /// One sealer and one merger at a time, beside each other.
    pub(crate) sealing: Mutex<()>,
    pub(crate) merging: Mutex<()>,
    next_number: AtomicU64,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    repeated_blocks: AtomicU64,
    too_long: AtomicU64,
    pub(crate) deleted_by_age: AtomicU64,
    pub(crate) deleted_by_size: AtomicU64,
    cut_bytes: AtomicU64,
    damaged: AtomicU64,
    committed: AtomicU64,
    log_bytes: AtomicU64,
}

/// The end that is written.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) log: Log,
    pub(crate) committed: u64,
}

/// What queries see.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) open: Head,
    /// Full heads with their logs, oldest first.
    pub(crate) sealing: Vec<(Arc<Head>, PathBuf, u64)>,
    /// The oldest first: of two values of a window the later one counts.
    pub(crate) parts: Vec<Arc<Part>>,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl History {
    pub(crate) fn of(
        dir: &Path,
        options: Options,
        lock: Option<File>,
        writer: Option<Writer>,
        state: State,
        next_number: u64,
    ) -> Self {
        let inner = Inner {
            dir: dir.to_owned(),
            options,
            _lock: lock,
            writer: Mutex::new(writer),
            state: RwLock::new(state),
            sealing: Mutex::default(),
            merging: Mutex::default(),
            next_number: AtomicU64::new(next_number),
            counts: Counts::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn counted(&self, recovery: &Recovery, committed: u64) {
        let counts = &self.inner.counts;
        counts.cut_bytes.store(recovery.cut_bytes, Ordering::Relaxed);
        counts.damaged.store(recovery.damaged, Ordering::Relaxed);
        counts.committed.store(committed, Ordering::Relaxed);
    }

    /// Record up to which everything is stored.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.inner.counts.committed.load(Ordering::Acquire)
    }

    /// Takes a block. It can be asked for at once, and is on disk after the next commit.
    #[must_use = "a repeated block was not taken"]
    pub fn append(&self, block: &Block) -> Appended {
        let mut writer = locked(&self.inner.writer);
        let counts = &self.inner.counts;
        let Some(writer) = writer.as_mut().filter(|writer| block.seq > writer.committed) else {
            counts.repeated_blocks.fetch_add(1, Ordering::Relaxed);
            return Appended::Repeated;
        };
        let taken = self.inner.write_state().open.take(block);
        writer.log.push(&taken.payload);
        counts.too_long.fetch_add(taken.too_long as u64, Ordering::Relaxed);
        Appended::Kept { rows: taken.rows, too_long: taken.too_long }
    }

    /// Makes all blocks so far durable; all with records up to `seq` have been appended. Costs one
    /// sync if there were any. A log that is full is handed to [`History::maintain`]; where that
    /// does not keep up, this does its work.
    ///
    /// # Errors
    /// When the disk refuses. Nothing is lost: the next call writes it all.
    pub fn commit(&self, seq: u64) -> Result<(), HistoryError> {
        let mut writer = locked(&self.inner.writer);
        let Some(writer) = writer.as_mut().filter(|writer| writer.log.has_pending()) else { return Ok(()) };
        writer.log.commit(seq)?;
        writer.committed = writer.committed.max(seq);
        let counts = &self.inner.counts;
        counts.committed.store(writer.committed, Ordering::Release);
        counts.log_bytes.store(writer.log.len(), Ordering::Relaxed);
        let (points, text) = {
            let state = self.inner.read_state();
            (state.open.points, state.open.text_bytes)
        };
        if points < self.inner.options.log_points_max && text < TEXT_BYTES_MAX {
            return Ok(());
        }
        while self.inner.read_state().sealing.len() >= SEALING_MAX {
            self.seal_one()?;
        }
        self.rotate(writer)
    }

    /// Puts the open log aside to be sealed, and begins the next.
    fn rotate(&self, writer: &mut Writer) -> Result<(), HistoryError> {
        let number = self.inner.next_number.fetch_add(1, Ordering::Relaxed);
        let log = Log::create(&self.inner.dir, number, writer.committed)?;
        let before = std::mem::replace(&mut writer.log, log);
        let mut state = self.inner.write_state();
        let head = std::mem::replace(&mut state.open, Head::new(number));
        state.sealing.push((Arc::new(head), before.path().to_owned(), before.len()));
        Ok(())
    }

    /// As [`History::rotate`], if everything is committed and `due` says so of the earliest and
    /// latest window end.
    pub(crate) fn rotate_if(&self, due: impl Fn((i64, i64)) -> bool) -> Result<(), HistoryError> {
        let mut writer = locked(&self.inner.writer);
        let Some(writer) = writer.as_mut().filter(|writer| !writer.log.has_pending()) else { return Ok(()) };
        let range = self.inner.read_state().open.range();
        if range.is_some_and(due) { self.rotate(writer) } else { Ok(()) }
    }

    /// What is there, and what was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = &self.inner.counts;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let state = self.inner.read_state();
        let heads = || state.sealing.iter().map(|(head, ..)| head.as_ref()).chain([&state.open]);
        let ranges = || state.parts.iter().map(|part| part.range).chain(heads().filter_map(Head::range));
        Stats {
            points: state.parts.iter().map(|part| part.points).sum::<u64>()
                + heads().map(|head| head.points as u64).sum::<u64>(),
            bytes: state.parts.iter().map(|part| part.bytes).sum::<u64>()
                + state.sealing.iter().map(|(.., bytes)| bytes).sum::<u64>()
                + load(&counts.log_bytes),
            parts: state.parts.len() as u64,
            oldest_ms: ranges().map(|range| range.0).min(),
            newest_ms: ranges().map(|range| range.1).max(),
            committed: self.committed(),
            repeated_blocks: load(&counts.repeated_blocks),
            too_long: load(&counts.too_long),
            deleted_by_age: load(&counts.deleted_by_age),
            deleted_by_size: load(&counts.deleted_by_size),
            cut_bytes: load(&counts.cut_bytes),
            damaged: load(&counts.damaged),
        }
    }
}

impl Inner {
    pub(crate) fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }
}
