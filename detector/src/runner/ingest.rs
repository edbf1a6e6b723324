//! The thread that everything comes in through: decode, journal, commit, then tell.

use std::{
    sync::{Arc, mpsc::SyncSender},
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use fleet::registry::Registry;
use tokio::sync::{mpsc, oneshot};

use super::{
    RunnerConfig, RunnerError, SyncPolicy,
    handle::{Command, Counters, Shared, State},
    keeper::{Keeper, KeeperJob, ToWrite},
    receipts::Receipts,
    workers::{Gone, Workers},
};
use crate::{
    batch::Batch,
    change::{RegistryChange, Rules},
    engine::Engine,
    front::{Front, Verdict},
    input::{Input, Outcome, Receipt, Refusal},
    journal::{COMMIT_BYTES_MAX, Entry, Journal, JournalError, Kind, Reader},
    output::Output,
    replay::control,
};

/// Operations of a batch at most, give or take those of one record.
const BATCH_OPS: usize = 8_192;
/// Commands taken at once at most.
const COMMANDS: usize = 256;
/// Refused inputs of a batch that are handed on; more are only counted.
const REFUSED_TOLD: usize = 64;
/// A commit that made so many records durable is followed by the next one no sooner than [`LINGER`]
/// after it: a sync, and waking every thread behind it, costs as much as folding a hundred reports.
/// With less to do nothing ever waits.
const BUSY_RECORDS: u64 = 16;
/// See [`BUSY_RECORDS`].
const LINGER: Duration = Duration::from_millis(2);
/// Longest name of a source that is journaled, bytes.
const NAME_BYTES: usize = 512;

/// Why the thread ends before its time.
enum Stop {
    Journal(JournalError),
    Gone,
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

pub(crate) struct Ingest {
    config: RunnerConfig,
    front: Front,
    journal: Journal,
    shared: Arc<Shared>,
    workers: Workers,
    keeper: SyncSender<KeeperJob>,
    keeper_thread: JoinHandle<()>,
    batch: Batch,
    receipts: Receipts,
    /// Since the last publication.
    counters: Counters,
    committed: Instant,
    /// Records that the last commit made durable, and the next record after it.
    records: u64,
    next_seq: u64,
    snapshot_at: u64,
}

impl Ingest {
    #[expect(clippy::too_many_arguments, reason = "all that a runner is made of, put together once")]
    pub(crate) fn start(
        config: RunnerConfig,
        engine: Engine,
        journal: Journal,
        tail: Reader,
        configuration: (Rules, Registry),
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        outputs: mpsc::Sender<Output>,
    ) -> Result<(), RunnerError> {
        let (front, shards, _) = engine.into_parts();
        let (entities, principals) = front.names();
        let names = (entities.clone(), principals.clone());
        let workers = Workers::start(shards, names, &shared, outputs).map_err(RunnerError::Thread)?;
        let (keeper, jobs) = std::sync::mpsc::sync_channel(16);
        let keep = Keeper {
            snapshots: config.dir.join("snapshots"),
            journal: config.dir.join("journal"),
            shared: Arc::clone(&shared),
            jobs,
        };
        let keeper_thread =
            Builder::new().name("snapshots".into()).spawn(move || keep.run()).map_err(RunnerError::Thread)?;
        shared.set_keeper(Some(keeper.clone()));
        let batch = workers.empty_batch();
        let counters = shared.counters().clone();
        let ingest = Self {
            config,
            front,
            journal,
            shared,
            workers,
            keeper,
            keeper_thread,
            batch,
            receipts: Receipts::default(),
            counters,
            committed: Instant::now(),
            records: 0,
            next_seq: 0,
            snapshot_at: 0,
        };
        let run = move || ingest.live(tail, configuration, commands);
        Builder::new().name("ingest".into()).spawn(run).map_err(RunnerError::Thread)?;
        Ok(())
    }

    /// The thread: until told to stop, or until it cannot go on.
    fn live(mut self, tail: Reader, configuration: (Rules, Registry), mut commands: mpsc::Receiver<Command>) {
        let guard = StateGuard(Arc::clone(&self.shared));
        let ended = self.work(tail, configuration, &mut commands);
        let (why, reply) = match ended {
            Ok(reply) => ("it was told to".to_owned(), reply),
            Err(Stop::Gone) => ("nobody takes its outputs".to_owned(), None),
            Err(Stop::Journal(error)) => (with_causes(&error), None),
        };
        tracing::info!(%why, "the engine stops");
        let Self { config, journal, shared, workers, keeper, keeper_thread, .. } = self;
        commands.close();
        workers.join();
        if keeper.send(KeeperJob::Close(config.shutdown_patience)).is_err() || keeper_thread.join().is_err() {
            tracing::error!("the thread that keeps snapshots had ended");
        }
        shared.set_keeper(None);
        drop(journal);
        shared.permits.close();
        shared.state.send_replace(State::Stopped(why));
        drop(guard);
        if let Some(reply) = reply
            && reply.send(()).is_err()
        {
            tracing::debug!("nobody waits for the shutdown any more");
        }
    }

    fn work(
        &mut self,
        tail: Reader,
        (rules, registry): (Rules, Registry),
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<Option<oneshot::Sender<()>>, Stop> {
        self.fold_tail(tail)?;
        self.take_registry(registry)?;
        self.take_rules(&rules)?;
        self.commit()?;
        self.shared.state.send_replace(State::Running);
        let mut taken = Vec::new();
        loop {
            if commands.blocking_recv_many(&mut taken, COMMANDS) == 0 {
                return Ok(None);
            }
            self.linger(commands, &mut taken);
            for command in taken.drain(..) {
                if let Some(reply) = self.command(command)? {
                    self.commit()?;
                    self.snapshot(None)?;
                    return Ok(Some(reply));
                }
            }
            let due = match self.config.sync {
                SyncPolicy::EachCommit => true,
                SyncPolicy::Interval(interval) => commands.is_empty() || self.committed.elapsed() >= interval,
            };
            if due {
                self.commit()?;
            }
        }
    }

    /// While there is much to do, waits a little and takes what has come meanwhile.
    fn linger(&self, commands: &mut mpsc::Receiver<Command>, taken: &mut Vec<Command>) {
        let rest = LINGER.saturating_sub(self.committed.elapsed());
        if self.records < BUSY_RECORDS || rest.is_zero() {
            return;
        }
        std::thread::sleep(rest);
        while taken.len() < COMMANDS
            && let Ok(command) = commands.try_recv()
        {
            taken.push(command);
        }
    }

    /// Folds what the snapshot does not cover. What that decides is handed on again.
    fn fold_tail(&mut self, mut tail: Reader) -> Result<(), Stop> {
        while let Some(record) = tail.next()? {
            self.counters.refolded += 1;
            let verdict = self.front.apply(&record, &mut self.batch);
            if let Verdict::Refused(refusal) = verdict {
                tracing::warn!(
                    seq = record.seq,
                    reason = refusal.reason,
                    "a journaled record is not understood any more"
                );
            }
            if self.batch.len() >= BATCH_OPS {
                self.dispatch()?;
            }
        }
        self.dispatch()?;
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<Option<oneshot::Sender<()>>, Stop> {
        match command {
            Command::Inputs(inputs) => {
                let taken = inputs.len();
                for input in inputs {
                    self.input(&input)?;
                    if self.batch.len() >= BATCH_OPS || self.journal.pending_bytes() >= COMMIT_BYTES_MAX / 2 {
                        self.commit()?;
                    }
                }
                self.shared.permits.add_permits(taken);
            }
            Command::Register(source, sender) => self.receipts.register(source, sender),
            Command::Opened { source, name, identity } => {
                let mut entry = self.control(Kind::SourceOpened, &identity);
                (entry.source, entry.subject) = (source, clip(&name));
                self.record(entry)?;
            }
            Command::Gap { source, name, from, to, why } => {
                let mut entry = self.control(Kind::Gap, clip(&why).as_bytes());
                (entry.source, entry.subject) = (source, clip(&name));
                entry.position = from.millis().max(0).unsigned_abs();
                entry.arrival = entry.arrival.max(to);
                self.record(entry)?;
            }
            Command::Registry(change) => {
                let registry = change(self.front.registry());
                self.take_registry(registry)?;
            }
            Command::Rules(rules) => self.take_rules(&rules)?,
            Command::Tick(now) => {
                if now > self.front.now() {
                    self.record(control(Kind::Tick, now, &[]))?;
                }
            }
            Command::Snapshot(reply) => {
                self.commit()?;
                self.snapshot(Some(reply))?;
            }
            Command::Shutdown(reply) => return Ok(Some(reply)),
        }
        Ok(None)
    }

    fn input(&mut self, input: &Input) -> Result<(), Stop> {
        self.counters.received += 1;
        let outcome = match self.too_large(input) {
            Some(refusal) => self.refused(input, refusal),
            None => self.fold(input)?,
        };
        self.receipts.add(input.source, Receipt { tag: input.tag, outcome });
        Ok(())
    }

    fn fold(&mut self, input: &Input) -> Result<Outcome, Stop> {
        let entry = Entry {
            arrival: input.arrival.max(self.front.now()),
            source: input.source,
            kind: Kind::Input(input.format),
            position: input.position,
            subject: &input.subject,
            payload: &input.payload,
        };
        let verdict = self.front.apply(&entry.at(self.journal.next_seq()), &mut self.batch);
        Ok(match verdict {
            Verdict::Folded { report_id } => {
                self.journal.append(entry)?;
                self.counters.journaled += 1;
                Outcome::Journaled { report_id }
            }
            Verdict::Repeated { report_id } => {
                self.counters.repeated += 1;
                Outcome::Journaled { report_id }
            }
            Verdict::Irrelevant => {
                self.counters.irrelevant += 1;
                Outcome::Irrelevant
            }
            Verdict::Refused(refusal) => self.refused(input, refusal),
        })
    }

    fn too_large(&self, input: &Input) -> Option<Refusal> {
        let (subject, payload) = (input.subject.len(), input.payload.len());
        let max = self.config.input_bytes_max;
        let message = if payload > max {
            format!("the payload has {payload} bytes; allowed are {max}")
        } else if subject > usize::from(u16::MAX) {
            format!("the subject has {subject} bytes; allowed are {}", u16::MAX)
        } else {
            return None;
        };
        Some(Refusal { report_id: None, reason: "too-large", message })
    }

    fn refused(&mut self, input: &Input, refusal: Refusal) -> Outcome {
        *self.counters.refused.entry(refusal.reason).or_default() += 1;
        if self.batch.refused.len() < REFUSED_TOLD {
            self.batch.refuse(input.source, &input.subject, &input.payload, refusal.clone());
        } else {
            self.counters.refused_not_told += 1;
        }
        Outcome::Refused(refusal)
    }

    fn take_registry(&mut self, registry: Registry) -> Result<(), Stop> {
        let registry = match registry.validated() {
            Ok(registry) => registry,
            Err(error) => {
                tracing::warn!(%error, "a registry is not consistent; keeping the one before");
                return Ok(());
            }
        };
        let change = RegistryChange::between(self.front.registry(), &registry);
        if !change.is_empty() {
            self.record_json(Kind::Registry, &change)?;
        }
        self.shared.publish_registry(self.front.registry());
        Ok(())
    }

    fn take_rules(&mut self, rules: &Rules) -> Result<(), Stop> {
        if rules != self.front.rules() || !self.front.is_configured() {
            self.record_json(Kind::Rules, rules)?;
        }
        Ok(())
    }

    fn record_json(&mut self, kind: Kind, value: &impl serde::Serialize) -> Result<(), Stop> {
        match serde_json::to_vec(value) {
            Ok(payload) => self.record(control(kind, self.front.now(), &payload)),
            Err(error) => {
                tracing::error!(%error, "cannot write a record of our own");
                Ok(())
            }
        }
    }

    fn control<'a>(&self, kind: Kind, payload: &'a [u8]) -> Entry<'a> {
        control(kind, self.front.now(), payload)
    }

    /// Folds and journals a record of our own.
    fn record(&mut self, entry: Entry<'_>) -> Result<(), Stop> {
        let verdict = self.front.apply(&entry.at(self.journal.next_seq()), &mut self.batch);
        if matches!(verdict, Verdict::Folded { .. }) {
            self.journal.append(entry)?;
        }
        Ok(())
    }

    /// Makes everything durable, then tells the sources and the shards.
    fn commit(&mut self) -> Result<(), Stop> {
        self.journal.commit()?;
        self.committed = Instant::now();
        let next = self.journal.next_seq();
        self.records = next - std::mem::replace(&mut self.next_seq, next);
        self.counters.receipts_dropped += self.receipts.send();
        self.dispatch()?;
        if self.journal.bytes_total() - self.snapshot_at >= self.config.snapshot_bytes {
            self.snapshot(None)?;
        }
        Ok(())
    }

    fn dispatch(&mut self) -> Result<(), Stop> {
        self.publish();
        if !self.batch.is_empty() {
            let empty = self.workers.empty_batch();
            self.workers.run(std::mem::replace(&mut self.batch, empty))?;
        }
        Ok(())
    }

    fn publish(&mut self) {
        let (things, addresses) = self.front.followed();
        self.shared.publish_positions(self.front.positions());
        let mut shared = self.shared.counters();
        let own = &mut self.counters;
        // What other threads count stays theirs.
        own.fold.shards = shared.fold.shards;
        own.open_violations = shared.open_violations;
        (own.snapshots, own.snapshots_failed) = (shared.snapshots, shared.snapshots_failed);
        own.fold.front = *self.front.counts();
        (own.things, own.addresses) = (things, addresses);
        (own.now, own.watermark) = (self.front.now(), self.front.watermark());
        own.seq = self.journal.next_seq() - 1;
        (own.journal_bytes, own.commits) = (self.journal.written_total(), self.journal.commits());
        shared.clone_from(own);
    }

    /// Has the state as of now written by another thread. Everything must be committed.
    fn snapshot(&mut self, reply: Option<oneshot::Sender<u64>>) -> Result<(), Stop> {
        self.snapshot_at = self.journal.bytes_total();
        let seq = self.journal.next_seq() - 1;
        let shards = self.workers.save()?;
        let to_write = ToWrite { seq, front: self.front.save(), shards, reply };
        self.keeper.send(KeeperJob::Write(Box::new(to_write))).map_err(|_| Stop::Gone)
    }
}

/// However the thread ends, nobody waits for it forever.
struct StateGuard(Arc<Shared>);

impl Drop for StateGuard {
    fn drop(&mut self) {
        self.0.permits.close();
        self.0.state.send_if_modified(|state| {
            let ended = matches!(state, State::Stopped(_));
            if !ended {
                *state = State::Stopped("a thread of the engine panicked".into());
            }
            !ended
        });
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
