//! The runner from outside: what sources, the configuration and the consumer call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc as std_mpsc,
    },
};

use fleet::{registry::Registry, time::Timestamp};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::keeper::KeeperJob;
use crate::{
    change::Rules,
    engine::FoldCounts,
    front::Position,
    input::{Input, Receipt, SourceId},
};

/// Commands of our own that wait at most, besides inputs.
const CONTROLS_MAX: usize = 1024;

/// What the ingest thread is told.
pub(crate) enum Command {
    Inputs(Vec<Input>),
    Register(SourceId, mpsc::Sender<Vec<Receipt>>),
    Opened { source: SourceId, name: String, identity: Vec<u8> },
    Gap { source: SourceId, name: String, from: Timestamp, to: Timestamp, why: String },
    Registry(Box<dyn FnOnce(&Registry) -> Registry + Send>),
    Rules(Box<Rules>),
    Tick(Timestamp),
    Snapshot(oneshot::Sender<u64>),
    Shutdown(oneshot::Sender<()>),
}

/// Where the runner is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Running,
    Stopped(String),
}

/// The runner has stopped, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the engine has stopped: {0}")]
pub struct Stopped(pub String);

/// What the runner has counted since it was opened; `fold` counts what the journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Inputs taken from sources.
    pub received: u64,
    /// Inputs written to the journal.
    pub journaled: u64,
    /// Inputs that were repeated deliveries.
    pub repeated: u64,
    /// Inputs that meant nothing.
    pub irrelevant: u64,
    /// Inputs that could not be read, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Refused inputs that were counted, but not handed on, because there were too many at once.
    pub refused_not_told: u64,
    /// Receipts that a source did not take.
    pub receipts_dropped: u64,
    /// Bytes written to the journal.
    pub journal_bytes: u64,
    /// Commits, each with one sync.
    pub commits: u64,
    /// Bytes of a torn tail that were cut off when the journal was opened.
    pub cut_bytes: u64,
    /// Snapshots that were finished.
    pub snapshots: u64,
    /// Snapshots that could not be written.
    pub snapshots_failed: u64,
    /// Damaged snapshots that were passed over at the start.
    pub snapshots_damaged: u64,
    /// Records of the tail that were folded again at the start.
    pub refolded: u64,
    /// What the fold counted.
    pub fold: FoldCounts,
    /// Things that are followed.
    pub things: u32,
    /// Source addresses that are followed.
    pub addresses: u32,
    /// Violations that are open.
    pub open_violations: usize,
    /// Latest arrival.
    pub now: Timestamp,
    /// Event time up to which windows are closed.
    pub watermark: Timestamp,
    /// Last record of the journal.
    pub seq: u64,
}

/// What the threads and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    counters: Mutex<Counters>,
    positions: Mutex<BTreeMap<SourceId, Position>>,
    registry: Mutex<Arc<Registry>>,
    pub(crate) applied: AtomicU64,
    /// Segments with this record or later ones are not deleted.
    pub(crate) keep_from: AtomicU64,
    pub(crate) permits: Semaphore,
    pub(crate) state: watch::Sender<State>,
    keeper: Mutex<Option<std_mpsc::SyncSender<KeeperJob>>>,
    inputs_max: usize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(inputs_max: usize) -> (RunnerHandle, mpsc::Receiver<Command>, Arc<Self>) {
        let inputs_max = inputs_max.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Self {
            counters: Mutex::default(),
            positions: Mutex::default(),
            registry: Mutex::default(),
            applied: AtomicU64::new(0),
            keep_from: AtomicU64::new(u64::MAX),
            permits: Semaphore::new(inputs_max),
            state: watch::Sender::new(State::Starting),
            keeper: Mutex::default(),
            inputs_max,
        });
        // Room for every input in a command of its own: the permits are the bound.
        let (sender, receiver) =
            mpsc::channel(inputs_max.saturating_add(CONTROLS_MAX).min(Semaphore::MAX_PERMITS));
        (RunnerHandle { shared: Arc::clone(&shared), commands: sender }, receiver, shared)
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        locked(&self.counters)
    }

    pub(crate) fn publish_positions(&self, positions: BTreeMap<SourceId, Position>) {
        *locked(&self.positions) = positions;
    }

    pub(crate) fn publish_registry(&self, registry: &Registry) {
        *locked(&self.registry) = Arc::new(registry.clone());
    }

    pub(crate) fn set_keeper(&self, keeper: Option<std_mpsc::SyncSender<KeeperJob>>) {
        *locked(&self.keeper) = keeper;
    }

    pub(crate) fn nudge_keeper(&self) {
        if let Some(keeper) = &*locked(&self.keeper)
            && let Err(std_mpsc::TrySendError::Disconnected(_)) = keeper.try_send(KeeperJob::Applied)
        {
            tracing::debug!("nobody keeps snapshots any more");
        }
    }
}

/// The runner from outside. Cheap to clone; the runner stops when all are gone.
#[derive(Clone, Debug)]
pub struct RunnerHandle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl RunnerHandle {
    /// Waits until the tail of the journal is folded and the configuration is taken.
    ///
    /// # Errors
    /// When the runner stopped instead.
    pub async fn ready(&self) -> Result<(), Stopped> {
        let mut state = self.shared.state.subscribe();
        let waited = state.wait_for(|state| *state != State::Starting).await;
        match waited.map(|state| state.clone()) {
            Ok(State::Stopped(why)) => Err(Stopped(why)),
            Ok(State::Starting | State::Running) => Ok(()),
            Err(_) => Err(self.why()),
        }
    }

    /// Waits until the runner has stopped, and says why.
    pub async fn stopped(&self) -> Stopped {
        let mut state = self.shared.state.subscribe();
        let stopped = state.wait_for(|state| matches!(state, State::Stopped(_))).await;
        match stopped.map(|state| state.clone()) {
            Ok(State::Stopped(why)) => Stopped(why),
            _ => self.why(),
        }
    }

    fn why(&self) -> Stopped {
        match &*self.shared.state.borrow() {
            State::Stopped(why) => Stopped(why.clone()),
            State::Starting | State::Running => Stopped("a thread ended".into()),
        }
    }

    async fn command(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| self.why())
    }

    /// Hands inputs over, in order. Waits while too many are waiting already.
    ///
    /// # Errors
    /// When the runner has stopped; the inputs are not in the journal.
    pub async fn send(&self, mut inputs: Vec<Input>) -> Result<(), Stopped> {
        while !inputs.is_empty() {
            let most = self.shared.inputs_max.min(4096);
            let rest = if inputs.len() > most { inputs.split_off(most) } else { Vec::new() };
            let permits = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
            let permit = self.shared.permits.acquire_many(permits).await.map_err(|_| self.why())?;
            permit.forget();
            self.command(Command::Inputs(inputs)).await?;
            inputs = rest;
        }
        Ok(())
    }

    /// Names where the receipts of a source go. A source must take its receipts while it sends.
    ///
    /// # Errors
    /// When the runner has stopped.
    pub async fn register(
        &self,
        source: SourceId,
        receipts: mpsc::Sender<Vec<Receipt>>,
    ) -> Result<(), Stopped> {
        self.command(Command::Register(source, receipts)).await
    }

    /// A source begins to read a file. `identity` says which one (such as device, inode and a hash
    /// of its beginning); positions of inputs that follow belong to it, and are read only once.
    /// To be told again whenever the file changes, before its first input.
    ///
    /// # Errors
    /// When the runner has stopped.
    pub async fn source_opened(&self, source: SourceId, name: &str, identity: &[u8]) -> Result<(), Stopped> {
        let (name, identity) = (name.to_owned(), identity.to_vec());
        self.command(Command::Opened { source, name, identity }).await
    }

    /// A source told nothing from `from` to `to`. While it is away this may be told again and
    /// again with a later `to`, so that windows that end meanwhile raise no alarm of absence.
    ///
    /// # Errors
    /// When the runner has stopped.
    pub async fn gap(
        &self,
        source: SourceId,
        name: &str,
        (from, to): (Timestamp, Timestamp),
        why: &str,
    ) -> Result<(), Stopped> {
        let (name, why) = (name.to_owned(), why.to_owned());
        self.command(Command::Gap { source, name, from, to, why }).await
    }

    /// Takes another registry. Does not wait for the fold.
    ///
    /// # Errors
    /// When the runner has stopped.
    pub async fn set_registry(&self, registry: Registry) -> Result<(), Stopped> {
        self.update_registry(move |_| registry).await
    }

    /// Changes the registry as it is by then, so that two changes at once cannot undo each other.
    /// A change that leaves it inconsistent is left out with a warning. Does not wait for the fold.
    ///
    /// # Errors
    /// When the runner has stopped.
    pub async fn update_registry(
        &self,
        change: impl FnOnce(&Registry) -> Registry + Send + 'static,
    ) -> Result<(), Stopped> {
        self.command(Command::Registry(Box::new(change))).await
    }

    /// Takes other rules (security profiles, windows, bounds). Does not wait for the fold.
    ///
    /// # Errors
    /// When the runner has stopped.
    pub async fn set_rules(&self, rules: Rules) -> Result<(), Stopped> {
        self.command(Command::Rules(Box::new(rules))).await
    }

    /// Lets time go on without an input; to be called once a second. Does not wait for the fold.
    ///
    /// # Errors
    /// When the runner has stopped.
    pub async fn tick(&self, now: Timestamp) -> Result<(), Stopped> {
        self.command(Command::Tick(now)).await
    }

    /// Takes a snapshot and waits until it counts, which needs [`RunnerHandle::applied`] for all
    /// before it. Gives the last record that it covers.
    ///
    /// # Errors
    /// When the runner has stopped, or the snapshot cannot be written.
    pub async fn snapshot(&self) -> Result<u64, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Snapshot(reply)).await?;
        answer.await.map_err(|_| match &*self.shared.state.borrow() {
            State::Stopped(why) => Stopped(why.clone()),
            State::Starting | State::Running => Stopped("the snapshot could not be written".into()),
        })
    }

    /// Everything that was handed on up to record `seq` is stored. Never waits.
    pub fn applied(&self, seq: u64) {
        if self.shared.applied.fetch_max(seq, Ordering::AcqRel) < seq {
            self.shared.nudge_keeper();
        }
    }

    /// Lets segments of the journal go whose records are all before `seq`, once two snapshots cover
    /// them. Without it, and with [`super::RunnerConfig::hold_journal`], none goes.
    pub fn release_journal(&self, seq: u64) {
        self.shared.keep_from.store(seq, Ordering::Release);
    }

    /// How far each source has been read, as of the last commit.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<SourceId, Position> {
        locked(&self.shared.positions).clone()
    }

    /// The registry of the fold.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&locked(&self.shared.registry))
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        locked(&self.shared.counters).clone()
    }

    /// Takes in what was sent before, hands on what it brings, takes a snapshot, and stops. The
    /// consumer must go on taking outputs, and confirming them, until their channel closes.
    ///
    /// # Errors
    /// When the runner had stopped already.
    pub async fn shutdown(&self) -> Result<(), Stopped> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Shutdown(reply)).await?;
        answer.await.map_err(|_| self.why())
    }
}
