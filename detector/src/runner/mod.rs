//! The engine on threads: sources in, journal, shards, outputs.
//!
//! ```text
//! sources --inputs--> ingest --batches--> shard 0..n --decisions--> collector --outputs--> consumer
//!    ^                  |  decode, journal, commit                       |
//!    +----receipts------+                                applied(seq)  <-+
//! ```
//!
//! The ingest thread decodes and journals what has arrived, commits once for all of it, and only
//! then sends receipts to the sources and operations to the shards: nothing is acknowledged or
//! decided that is not on disk. Every queue is bounded; a slow consumer slows the sources down.
//!
//! A consumer stores what it is handed and confirms it with [`RunnerHandle::applied`]. A snapshot
//! counts only once all before it is confirmed, so after a crash every transition that may not
//! have been stored is decided again, with the same id.

mod handle;
mod ingest;
mod keeper;
mod receipts;
mod workers;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fleet::{ids::GroupName, registry::Registry};
use thiserror::Error;
use tokio::sync::mpsc;

pub use self::handle::{Counters, RunnerHandle, Stopped};
use self::{handle::Shared, ingest::Ingest};
use crate::{
    change::Rules,
    engine::Engine,
    front::Decoders,
    journal::{Journal, JournalError, SEGMENT_BYTES},
    output::Output,
    snapshot,
};

/// When what was journaled is synced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// As soon as everything that has arrived is written: lowest latency.
    EachCommit,
    /// At most once in this time while more arrives, and as soon as nothing does. Receipts wait.
    Interval(Duration),
}

/// How a runner works. None of it changes what is decided; that is [`Rules`].
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Folder of journal and snapshots.
    pub dir: PathBuf,
    /// Shard threads, at least 1.
    pub shards: usize,
    /// Size at which a new journal segment is begun.
    pub segment_bytes: u64,
    /// When the journal is synced.
    pub sync: SyncPolicy,
    /// Inputs that wait at most; senders wait when it is reached.
    pub inputs_max: usize,
    /// Largest payload of an input, bytes; larger ones are refused.
    pub input_bytes_max: usize,
    /// Outputs that wait at most; everything waits when it is reached.
    pub outputs_max: usize,
    /// Bytes of records, before they are packed, after which a snapshot is taken by itself.
    pub snapshot_bytes: u64,
    /// Groups whose members' doings are told, such as the quarantine.
    pub watch_groups: Vec<GroupName>,
    /// Whether old segments of the journal are kept until [`RunnerHandle::release_journal`] lets them go.
    pub hold_journal: bool,
    /// How long a shutdown waits for the consumer to confirm what it was handed.
    pub shutdown_patience: Duration,
}

impl RunnerConfig {
    /// The defaults, in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            shards: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            segment_bytes: SEGMENT_BYTES,
            sync: SyncPolicy::EachCommit,
            // A second of traffic that a large mosquitto passes on.
            inputs_max: 65_536,
            // Twice the largest report of AWS (128 KiB).
            input_bytes_max: 256 << 10,
            outputs_max: 8_192,
            // Some minutes of folding after a crash.
            snapshot_bytes: 1 << 30,
            watch_groups: Vec::new(),
            hold_journal: false,
            shutdown_patience: Duration::from_secs(5),
        }
    }
}

/// Why a runner cannot start.
#[derive(Debug, Error)]
pub enum RunnerError {
    /// The journal or its folder.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A snapshot is whole, but does not fit this program.
    #[error(
        "the snapshot of record {seq} cannot be used: {found}; delete it to fold the journal from the one before"
    )]
    Snapshot {
        /// Last record that it covers.
        seq: u64,
        /// What does not fit.
        found: String,
    },
    /// The journal is older than the snapshot.
    #[error(
        "the snapshot covers record {snapshot}, but the journal ends before record {next}; restore the journal or delete the snapshots"
    )]
    Behind {
        /// Last record of the snapshot.
        snapshot: u64,
        /// Next record of the journal.
        next: u64,
    },
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// The threaded engine.
#[derive(Debug)]
pub struct Runner;

impl Runner {
    /// Opens the folder and starts the threads, which first fold what the snapshot does not
    /// cover. `rules` and `registry` are compared with what the journal says, and journaled if
    /// they differ. Outputs must be taken until the channel closes, by a task that waits for none
    /// of the handle's futures but those said not to wait for the fold.
    ///
    /// # Errors
    /// When the folder is held by another engine or cannot be read, or a snapshot does not fit.
    pub fn open(
        config: RunnerConfig,
        decoders: Decoders,
        rules: Rules,
        registry: Registry,
    ) -> Result<(RunnerHandle, mpsc::Receiver<Output>), RunnerError> {
        let (journal, recovery) = Journal::open(&config.dir.join("journal"), config.segment_bytes)?;
        let mut damaged = 0;
        let newest = snapshot::newest(&config.dir.join("snapshots"), |error| {
            tracing::warn!(%error, "a snapshot is damaged; using the one before");
            damaged += 1;
        })?;
        let groups = config.watch_groups.clone();
        let engine = match newest {
            None => Engine::new(decoders, config.shards, groups),
            Some(snapshot) => {
                let seq = snapshot.seq();
                Engine::restored(snapshot, decoders, config.shards, groups)
                    .map_err(|found| RunnerError::Snapshot { seq, found })?
            }
        };
        if engine.seq() >= journal.next_seq() {
            return Err(RunnerError::Behind { snapshot: engine.seq(), next: journal.next_seq() });
        }
        let tail = journal.reader(engine.seq() + 1)?;
        let (handle, commands, shared) = Shared::new(config.inputs_max);
        {
            let mut counters = shared.counters();
            counters.cut_bytes = recovery.cut_bytes;
            counters.snapshots_damaged = damaged;
            counters.seq = journal.next_seq() - 1;
        }
        if config.hold_journal {
            shared.keep_from.store(0, Ordering::Release);
        }
        let (outputs_in, outputs) = mpsc::channel(config.outputs_max.max(1));
        Ingest::start(
            config,
            engine,
            journal,
            tail,
            (rules, registry),
            Arc::clone(&shared),
            commands,
            outputs_in,
        )?;
        Ok((handle, outputs))
    }
}
