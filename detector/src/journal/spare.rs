//! The next segment, filled with zeros before it is needed.
//!
//! A file that grows makes every sync wait for the file system's own journal, and with it for
//! whatever others have written; a file that has its length and blocks already waits for its own
//! bytes alone. The price is that each byte of the journal is written twice, the first time as a
//! zero and not while anybody waits. Zeros are written as the segment before fills up, not at once:
//! a disk that is busy with them is slow for the journal.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Segments smaller than this are not worth it.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// Zeros written and synced at a time: little, because the journal shares the disk.
const STEP_BYTES: usize = 512 << 10;
/// Between two steps at least.
const REST: Duration = Duration::from_millis(4);
/// Zeros for each byte that the journal writes meanwhile: begun when a quarter of a segment is
/// full, they are complete at three quarters.
const ZEROS_PER_BYTE: u64 = 2;

/// A segment in the making. At most one for a journal; dropping it ends the work and leaves a file
/// that the next one begins anew.
#[derive(Debug)]
pub(crate) struct Spare {
    path: PathBuf,
    bytes: u64,
    /// Bytes of the segment before when this one was begun.
    since: u64,
    /// Zeros that were asked for when the thread was last woken.
    told: u64,
    orders: Arc<Orders>,
    work: Option<JoinHandle<io::Result<()>>>,
}

/// What the thread is told.
#[derive(Debug, Default)]
struct Orders {
    stop: AtomicBool,
    /// Zeros that should be there by now.
    wanted: AtomicU64,
}

impl Spare {
    /// Begins to fill one of `bytes` in `dir`, while the segment before has `written` bytes;
    /// nothing where it is not worth it.
    pub(crate) fn begin(dir: &Path, bytes: u64, written: u64) -> Option<Self> {
        if bytes < SEGMENT_BYTES_MIN {
            return None;
        }
        let (path, orders) = (path_in(dir), Arc::<Orders>::default());
        let (file, told) = (path.clone(), Arc::clone(&orders));
        let work = thread::Builder::new().name("journal-spare".into());
        match work.spawn(move || fill(&file, bytes, &told)) {
            Ok(work) => Some(Self { path, bytes, since: written, told: 0, orders, work: Some(work) }),
            Err(error) => {
                tracing::warn!(%error, "no thread to prepare the next segment of the journal");
                None
            }
        }
    }

    /// The segment before has `written` bytes by now.
    pub(crate) fn follow(&mut self, written: u64) {
        let wanted = written.saturating_sub(self.since).saturating_mul(ZEROS_PER_BYTE).min(self.bytes);
        if wanted >= self.told.saturating_add(STEP_BYTES as u64) || wanted == self.bytes {
            self.order(wanted);
        }
    }

    fn order(&mut self, wanted: u64) {
        if wanted > self.told {
            self.told = wanted;
            self.orders.wanted.store(wanted, Ordering::Release);
            if let Some(work) = &self.work {
                work.thread().unpark();
            }
        }
    }

    /// The file and its length, if it is ready. One that is not goes on, without waiting any more.
    pub(crate) fn take(spare: &mut Option<Self>) -> Option<(PathBuf, u64)> {
        let late = spare.as_mut()?;
        if !late.work.as_ref().is_some_and(JoinHandle::is_finished) {
            late.order(late.bytes);
            return None;
        }
        let mut ready = spare.take()?;
        match ready.work.take()?.join() {
            Ok(Ok(())) => Some((ready.path.clone(), ready.bytes)),
            // A full disk, most likely: the segment that is created instead will tell it.
            Ok(Err(error)) => {
                tracing::warn!(%error, file = %ready.path.display(), "the next segment of the journal was not prepared");
                None
            }
            Err(_) => None,
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Release);
        if let Some(work) = self.work.take() {
            work.thread().unpark();
            drop(work.join());
        }
    }
}

/// Where the spare of a folder is. Not named as a segment, so that nobody takes it for one.
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join("next.zeros")
}

fn fill(path: &Path, bytes: u64, orders: &Orders) -> io::Result<()> {
    let filled = write_zeros(path, bytes, orders);
    if filled.is_err() {
        // The room is worth more than half a segment of zeros.
        fs::remove_file(path).ok();
    }
    filled
}

fn write_zeros(path: &Path, bytes: u64, orders: &Orders) -> io::Result<()> {
    let mut file: File = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let zeros = vec![0; STEP_BYTES];
    let mut left = bytes;
    while left > 0 {
        if orders.stop.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the journal was closed"));
        }
        if bytes - left >= orders.wanted.load(Ordering::Acquire) {
            thread::park();
            continue;
        }
        let step = usize::try_from(left).unwrap_or(STEP_BYTES).min(STEP_BYTES);
        file.write_all(zeros.get(..step).unwrap_or_default())?;
        file.sync_data()?;
        left -= step as u64;
        thread::sleep(REST);
    }
    file.sync_all()
}
