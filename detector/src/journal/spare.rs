//! The next segment, filled with zeros before it is needed.
//!
//! A file that grows makes every sync wait for the file system's own journal, and with it for
//! whatever others have written; a file that has its length and blocks already waits for its own
//! bytes alone. The price is that each byte of the journal is written twice, the first time as a
//! zero and not while anybody waits.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Segments smaller than this are not worth it.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// Zeros written and synced at a time: little, because the journal shares the disk.
const STEP_BYTES: usize = 512 << 10;
/// Between two steps.
const REST: Duration = Duration::from_millis(4);

/// A segment in the making. At most one for a journal; dropping it ends the work and leaves a file
/// that the next one begins anew.
#[derive(Debug)]
pub(crate) struct Spare {
    path: PathBuf,
    bytes: u64,
    stop: Arc<AtomicBool>,
    work: Option<JoinHandle<io::Result<()>>>,
}

impl Spare {
    /// Begins to fill one of `bytes` in `dir`; nothing where it is not worth it.
    pub(crate) fn begin(dir: &Path, bytes: u64) -> Option<Self> {
        if bytes < SEGMENT_BYTES_MIN {
            return None;
        }
        let (path, stop) = (path_in(dir), Arc::new(AtomicBool::new(false)));
        let (file, stopped) = (path.clone(), Arc::clone(&stop));
        let work = thread::Builder::new().name("journal-spare".into());
        match work.spawn(move || fill(&file, bytes, &stopped)) {
            Ok(work) => Some(Self { path, bytes, stop, work: Some(work) }),
            Err(error) => {
                tracing::warn!(%error, "no thread to prepare the next segment of the journal");
                None
            }
        }
    }

    /// The file and its length, if it is ready. One that is not goes on.
    pub(crate) fn take(spare: &mut Option<Self>) -> Option<(PathBuf, u64)> {
        spare.as_ref().filter(|spare| spare.work.as_ref().is_some_and(JoinHandle::is_finished))?;
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
        self.stop.store(true, Ordering::Relaxed);
        if let Some(work) = self.work.take() {
            drop(work.join());
        }
    }
}

/// Where the spare of a folder is. Not named as a segment, so that nobody takes it for one.
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join("next.zeros")
}

fn fill(path: &Path, bytes: u64, stopped: &AtomicBool) -> io::Result<()> {
    let filled = write_zeros(path, bytes, stopped);
    if filled.is_err() {
        // The room is worth more than half a segment of zeros.
        fs::remove_file(path).ok();
    }
    filled
}

fn write_zeros(path: &Path, bytes: u64, stopped: &AtomicBool) -> io::Result<()> {
    let mut file: File = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let zeros = vec![0; STEP_BYTES];
    let mut left = bytes;
    while left > 0 {
        if stopped.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the journal was closed"));
        }
        let step = usize::try_from(left).unwrap_or(STEP_BYTES).min(STEP_BYTES);
        file.write_all(zeros.get(..step).unwrap_or_default())?;
        file.sync_data()?;
        left -= step as u64;
        thread::sleep(REST);
    }
    file.sync_all()
}
