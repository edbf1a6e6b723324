//! Writes snapshots, makes them count once the consumer has stored all before them, and deletes
//! the journal that they make needless.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::handle::Shared;
use crate::{
    front::FrontState,
    journal::{self, JournalError},
    shard::ShardState,
    snapshot::{self, Snapshot},
};

/// What the keeper is told.
pub(crate) enum KeeperJob {
    /// State to write; the shards' follow.
    Write(Box<ToWrite>),
    /// The consumer has stored more.
    Applied,
    /// No more will come. Wait so long for the consumer, then end.
    Close(Duration),
}

pub(crate) struct ToWrite {
    pub(crate) seq: u64,
    pub(crate) front: FrontState,
    pub(crate) shards: Vec<mpsc::Receiver<ShardState>>,
    pub(crate) reply: Option<oneshot::Sender<u64>>,
}

/// A snapshot that is written and does not count yet.
struct Waiting {
    seq: u64,
    path: PathBuf,
    replies: Vec<oneshot::Sender<u64>>,
}

pub(crate) struct Keeper {
    pub(crate) snapshots: PathBuf,
    pub(crate) journal: PathBuf,
    pub(crate) shared: Arc<Shared>,
    pub(crate) jobs: mpsc::Receiver<KeeperJob>,
}

impl Keeper {
    pub(crate) fn run(self) {
        let mut waiting: Option<Waiting> = None;
        let mut deadline: Option<Instant> = None;
        loop {
            if let Err(error) = self.finish_if_applied(&mut waiting) {
                self.failed(&error);
                waiting = None;
            }
            let job = match deadline {
                None => self.jobs.recv().ok(),
                Some(_) if waiting.is_none() => None,
                Some(deadline) => {
                    self.jobs.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
                }
            };
            match job {
                None => return,
                Some(KeeperJob::Applied) => {}
                Some(KeeperJob::Close(patience)) => deadline = Some(Instant::now() + patience),
                Some(KeeperJob::Write(to_write)) => match self.write(*to_write, waiting.take()) {
                    Ok(written) => waiting = Some(written),
                    Err(error) => self.failed(&error),
                },
            }
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "cannot write a snapshot; the journal is kept");
        self.shared.counters().snapshots_failed += 1;
    }

    /// Writes a snapshot; one that still waits is not needed any more.
    fn write(&self, to_write: ToWrite, before: Option<Waiting>) -> Result<Waiting, String> {
        let ToWrite { seq, front, shards, reply } = to_write;
        let shards = shards.into_iter().map(|shard| shard.recv().map_err(|error| error.to_string()));
        let snapshot = Snapshot { seq, front, shards: shards.collect::<Result<_, _>>()? };
        let bytes = snapshot.to_bytes()?;
        drop(snapshot);
        let path = snapshot::write(&self.snapshots, seq, &bytes).map_err(|error| error.to_string())?;
        let mut replies = Vec::new();
        if let Some(before) = before {
            replies = before.replies;
            if before.path != path
                && let Err(error) = std::fs::remove_file(&before.path)
            {
                tracing::warn!(%error, path = %before.path.display(), "cannot delete a needless snapshot");
            }
        }
        replies.extend(reply);
        Ok(Waiting { seq, path, replies })
    }

    fn finish_if_applied(&self, waiting: &mut Option<Waiting>) -> Result<(), JournalError> {
        let applied = self.shared.applied.load(Ordering::Acquire);
        let Some(done) = waiting.take_if(|waiting| waiting.seq <= applied) else { return Ok(()) };
        let older = snapshot::finish(&self.snapshots, &done.path, done.seq)?;
        self.shared.counters().snapshots += 1;
        if let Some(older) = older {
            let keep_from = self.shared.keep_from.load(Ordering::Acquire);
            let deleted = journal::delete_before(&self.journal, (older + 1).min(keep_from))?;
            tracing::debug!(deleted, older, "deleted journal segments that two snapshots cover");
        }
        for reply in done.replies {
            if reply.send(done.seq).is_err() {
                tracing::debug!("nobody waits for the snapshot any more");
            }
        }
        Ok(())
    }
}
