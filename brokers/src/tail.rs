//! Follows a log file, or reads lines from a pipe, into a bounded channel.
//!
//! One thread polls: no notification service is needed, it works on every file system, and
//! nothing wakes more often than every [`Settings::poll`]. When the receiver is slow, reading
//! stops; the file keeps what is not read. Rotation by renaming and by copying with truncation is
//! followed, and what was written to the old file is read to its end first. A file is known by
//! device, inode and a hash of its first line, so that a restart goes on exactly where the journal
//! ends, also when the file has been rotated away since (`PATH.1` to `PATH.9`).

mod file;
mod follower;
mod lines;

use std::{
    io::Read,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use detector::input::{Format, Input, SourceId};
use fleet::time::Timestamp;
use tokio::sync::mpsc::Sender;

use follower::Follower;
use lines::Splitter;

/// Tells the time of arrival.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What is followed, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file. It need not exist yet.
    pub path: PathBuf,
    /// Whose inputs the lines are.
    pub source: SourceId,
    /// How the lines are to be read.
    pub format: Format,
    /// Where to begin.
    pub start: Start,
    /// Pause between two looks at a file that has nothing new.
    pub poll: Duration,
    /// How long the last line may lack its end before it is handed on as it is. The file's
    /// first line is waited for.
    pub partial_wait: Duration,
    /// What to hand in as a line where lines are missing; nothing if empty.
    pub gap_mark: &'static [u8],
}

impl Settings {
    /// Follows `path` from `start`, looking every 50 ms, and giving an unfinished line 5 s.
    #[must_use]
    pub const fn new(path: PathBuf, source: SourceId, format: Format, start: Start) -> Self {
        Self {
            path,
            source,
            format,
            start,
            poll: Duration::from_millis(50),
            partial_wait: Duration::from_secs(5),
            gap_mark: &[],
        }
    }
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first line.
    Beginning,
    /// After the last line that is there now.
    End,
    /// After the last line in the journal.
    After {
        /// [`Input::position`] of that line.
        position: u64,
        /// [`Tailed::Opened`] of its file.
        identity: Vec<u8>,
    },
}

/// What is handed on, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tailed {
    /// The lines that follow are of the file with this identity. Positions are offsets in it.
    Opened {
        /// Device, inode and hash of the first line.
        identity: Vec<u8>,
    },
    /// Lines, at most [`LINES_MAX`], each with the position after it.
    Lines(Vec<Input>),
    /// Lines are missing here.
    Gap {
        /// Why, for people.
        reason: String,
    },
    /// All that was there at the start is read. Sent once; from a pipe, at its end.
    CaughtUp,
}

/// Most lines handed on at once.
pub const LINES_MAX: usize = 1024;

/// Longest line handed on, bytes. Of a longer one the rest is dropped, and it is counted.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What has been done so far.
#[derive(Debug, Default)]
pub struct Status {
    lines: AtomicU64,
    cut_lines: AtomicU64,
    gaps: AtomicU64,
    rotations: AtomicU64,
    errors: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// Numbers of [`Status`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines handed on.
    pub lines: u64,
    /// Lines cut at [`LINE_BYTES_MAX`].
    pub cut_lines: u64,
    /// Places where lines are missing.
    pub gaps: u64,
    /// Changes from one file to the next.
    pub rotations: u64,
    /// Failed reads; each is tried again.
    pub errors: u64,
}

impl Status {
    /// The numbers now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            lines: read(&self.lines),
            cut_lines: read(&self.cut_lines),
            gaps: read(&self.gaps),
            rotations: read(&self.rotations),
            errors: read(&self.errors),
        }
    }

    /// Why the latest read failed, with the path; `None` while all is well.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_error(&self, error: Option<String>) {
        if error.is_some() {
            count(&self.errors, 1);
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// A thread that reads. It ends when the channel's receiver is gone.
#[derive(Debug)]
pub struct Tail {
    status: Arc<Status>,
    thread: JoinHandle<()>,
}

impl Tail {
    /// What has been done so far.
    #[must_use]
    pub const fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Whether the thread is still reading.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }
}

/// Follows a file until the receiver is gone.
///
/// # Errors
/// When no thread can be started.
pub fn follow(settings: Settings, clock: Clock, sender: Sender<Tailed>) -> std::io::Result<Tail> {
    let status = Arc::new(Status::default());
    let own = Arc::clone(&status);
    let thread = std::thread::Builder::new().name("log-tail".into()).spawn(move || {
        let poll = settings.poll;
        let mut follower = Follower::new(settings, Arc::clone(&own));
        let mut error_seen = false;
        while !sender.is_closed() {
            let mut out = Vec::new();
            let result = follower.step(clock(), &mut out);
            for tailed in out {
                if sender.blocking_send(tailed).is_err() {
                    return;
                }
            }
            match result {
                Ok(follower::Progress::More) => continue,
                Ok(follower::Progress::Idle) if error_seen => {
                    own.set_error(None);
                    error_seen = false;
                }
                Ok(follower::Progress::Idle) => {}
                Err(error) => {
                    own.set_error(Some(error.to_string()));
                    error_seen = true;
                }
            }
            std::thread::sleep(poll);
        }
    })?;
    Ok(Tail { status, thread })
}

/// Reads lines from a pipe, such as standard input, to its end. Positions are 0.
///
/// # Errors
/// When no thread can be started.
pub fn read(
    mut reader: impl Read + Send + 'static,
    source: SourceId,
    format: Format,
    clock: Clock,
    sender: Sender<Tailed>,
) -> std::io::Result<Tail> {
    let status = Arc::new(Status::default());
    let own = Arc::clone(&status);
    let thread = std::thread::Builder::new().name("log-pipe".into()).spawn(move || {
        let mut splitter = Splitter::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let (bytes, is_end) = match reader.read(&mut chunk) {
                Ok(0) => (&[][..], true),
                Ok(length) => (chunk.get(..length).unwrap_or_default(), false),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    own.set_error(Some(error.to_string()));
                    (&[][..], true)
                }
            };
            let mut lines = Vec::new();
            splitter.push(bytes, |line, _| lines.push(line.into()));
            if is_end {
                splitter.flush(|line| lines.push(line.into()));
            }
            count(&own.cut_lines, splitter.take_cut());
            let (arrival, at_end) = (clock(), is_end.then_some(Tailed::CaughtUp));
            let inputs = lines.into_iter().map(|payload| input(source, format, arrival, 0, payload));
            let batches = batches(inputs, &own);
            if batches.into_iter().chain(at_end).any(|tailed| sender.blocking_send(tailed).is_err()) || is_end
            {
                return;
            }
        }
    })?;
    Ok(Tail { status, thread })
}

fn input(source: SourceId, format: Format, arrival: Timestamp, position: u64, payload: Box<[u8]>) -> Input {
    Input { source, format, arrival, position, subject: "".into(), payload, tag: 0 }
}

/// Inputs as messages of at most [`LINES_MAX`] lines. Empty lines say nothing and are left out.
fn batches(inputs: impl Iterator<Item = Input>, status: &Status) -> Vec<Tailed> {
    let mut inputs = inputs.filter(|input| !input.payload.is_empty()).peekable();
    let mut batches = Vec::new();
    while inputs.peek().is_some() {
        let batch: Vec<Input> = inputs.by_ref().take(LINES_MAX).collect();
        count(&status.lines, batch.len());
        batches.push(Tailed::Lines(batch));
    }
    batches
}
