//! Group commit: changes that come at once share one sync of the disk, and each has its line in the
//! chained record in the same commit.

use std::{sync::Arc, thread, time::Duration};

use fleet::{
    store::{Batch, Op, Store},
    time::Timestamp,
};
use mitigations::{log::Head, record::Record, task::TaskError};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::aws::fault::Fault;

/// Changes that wait at most; more callers wait for a place.
const WAITING_MAX: usize = 4096;
/// Operations of one commit at most, besides those of the last change taken.
const OPS_MAX: usize = 8192;
/// Bytes of one commit at most, besides those of the last change taken. A line of the record is no longer
/// than what it tells of, so that twice this and one change fit into a batch of the store.
const BYTES_MAX: usize = 8 << 20;
/// Pause before a commit that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What is to be stored, and its line of the record.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) ops: Vec<Op>,
    pub(super) at: Timestamp,
    pub(super) entry: Value,
}

impl Draft {
    fn bytes(&self) -> usize {
        let ops = self.ops.iter().map(|op| match op {
            Op::Put { key, value, .. } => key.len() + value.len(),
            Op::Delete { key, .. } => key.len(),
        });
        ops.sum::<usize>() + self.entry.to_string().len()
    }
}

type Pending = (Draft, oneshot::Sender<()>);

/// Puts changes on disk, in their order.
#[derive(Debug)]
pub(super) struct Committer {
    waiting: mpsc::Sender<Pending>,
    head: watch::Receiver<Head>,
}

/// A place among the changes that wait.
pub(super) struct Place<'a>(mpsc::Permit<'a, Pending>);

/// Resolves when a change is on disk.
pub(super) struct Ticket(oneshot::Receiver<()>);

impl Committer {
    pub(super) fn start(store: Arc<dyn Store>, record: Record) -> std::io::Result<Self> {
        let (waiting, receiver) = mpsc::channel(WAITING_MAX);
        let (told, head) = watch::channel(record.head().clone());
        let worker = Worker { store, record, told };
        thread::Builder::new().name("control-commit".into()).spawn(move || worker.run(receiver))?;
        Ok(Self { waiting, head })
    }

    pub(super) async fn reserve(&self) -> Result<Place<'_>, Fault> {
        self.waiting.reserve().await.map(Place).map_err(|_| stopped())
    }

    /// Where the record ends.
    pub(super) fn head(&self) -> Head {
        self.head.borrow().clone()
    }
}

impl Place<'_> {
    /// To be called while the state is locked: the order of calls is the order on disk.
    pub(super) fn send(self, draft: Draft) -> Ticket {
        let (done, ticket) = oneshot::channel();
        self.0.send((draft, done));
        Ticket(ticket)
    }
}

impl Ticket {
    pub(super) async fn wait(self) -> Result<(), Fault> {
        self.0.await.map_err(|_| stopped())
    }
}

fn stopped() -> Fault {
    Fault::new("ServiceUnavailableException", "the control plane is stopping")
}

struct Worker {
    store: Arc<dyn Store>,
    record: Record,
    told: watch::Sender<Head>,
}

impl Worker {
    fn run(mut self, mut waiting: mpsc::Receiver<Pending>) {
        while let Some(first) = waiting.blocking_recv() {
            let (mut drafts, mut callers) = (Vec::new(), Vec::new());
            let (mut ops, mut bytes) = (0, 0);
            let mut next = Some(first);
            while let Some((draft, done)) = next {
                ops += draft.ops.len();
                bytes += draft.bytes();
                drafts.push(draft);
                callers.push(done);
                next = if ops < OPS_MAX && bytes < BYTES_MAX { waiting.try_recv().ok() } else { None };
            }
            while let Err(error) = self.commit(&drafts) {
                tracing::error!(%error, "a change of the control plane cannot be stored; trying again");
                thread::sleep(RETRY_PAUSE);
            }
            self.told.send_replace(self.record.head().clone());
            for done in callers {
                if done.send(()).is_err() {
                    tracing::debug!("a caller did not wait for its change");
                }
            }
        }
    }

    fn commit(&mut self, drafts: &[Draft]) -> Result<(), TaskError> {
        let mut batch = Batch::new();
        batch.ops.extend(drafts.iter().flat_map(|draft| draft.ops.iter().cloned()));
        let entries: Vec<_> = drafts.iter().map(|draft| (draft.at, draft.entry.clone())).collect();
        let kept = self.record.keep(&entries, &mut batch)?;
        self.store.commit(&batch)?;
        if let Some(kept) = kept {
            self.record.written(kept);
        }
        Ok(())
    }
}
