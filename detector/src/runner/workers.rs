//! The threads behind the ingest thread: the shards, and the one that puts their decisions in order.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

use tokio::sync::mpsc;

use super::handle::Shared;
use crate::{
    batch::Batch,
    engine::hand_on,
    meeting::Meeting,
    names::NameList,
    output::Output,
    resolve::{self, Names},
    shard::{Out, Progress, Shard, ShardCounts, ShardState},
};

/// Batches that wait between two threads at most.
const BATCHES_MAX: usize = 4;

/// What a shard thread is told.
pub(crate) enum ShardJob {
    Run(Arc<Batch>),
    Save(std::sync::mpsc::Sender<ShardState>),
}

/// What a shard thread made of a batch.
struct Decided {
    out: Out,
    counts: ShardCounts,
    open: usize,
}

/// The ingest thread's side of the others.
#[derive(Debug)]
pub(crate) struct Workers {
    shards: Vec<SyncSender<ShardJob>>,
    collector: SyncSender<Arc<Batch>>,
    pool: Receiver<Batch>,
    threads: Vec<JoinHandle<()>>,
}

/// The threads are gone, because the consumer is or because of a bug.
#[derive(Debug)]
pub(crate) struct Gone;

impl Workers {
    pub(crate) fn start(
        shards: Vec<Shard>,
        names: (NameList, NameList),
        shared: &Arc<Shared>,
        outputs: mpsc::Sender<Output>,
    ) -> io::Result<Self> {
        let (mut senders, mut results, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        let meeting = Meeting::new(shards.len());
        for (index, shard) in shards.into_iter().enumerate() {
            let (sender, jobs) = sync_channel(BATCHES_MAX);
            let (decided, result) = sync_channel(BATCHES_MAX);
            let name = format!("shard-{index}");
            let meeting = Arc::clone(&meeting);
            let run = move || run_shard((index, shard), &meeting, &jobs, &decided);
            threads.push(Builder::new().name(name).spawn(run)?);
            senders.push(sender);
            results.push(result);
        }
        let (collector, batches) = sync_channel(BATCHES_MAX);
        let (to_pool, pool) = sync_channel(2 * BATCHES_MAX);
        let collect = Collector { batches, results, to_pool, names, shared: Arc::clone(shared), outputs };
        threads.push(Builder::new().name("collector".into()).spawn(move || collect.run())?);
        Ok(Self { shards: senders, collector, pool, threads })
    }

    /// An empty batch, used before if there is one.
    pub(crate) fn empty_batch(&self) -> Batch {
        self.pool.try_recv().unwrap_or_else(|_| Batch::new(self.shards.len()))
    }

    pub(crate) fn run(&self, batch: Batch) -> Result<(), Gone> {
        let batch = Arc::new(batch);
        for shard in &self.shards {
            shard.send(ShardJob::Run(Arc::clone(&batch))).map_err(|_| Gone)?;
        }
        self.collector.send(batch).map_err(|_| Gone)
    }

    /// Asks the shards for their state after all batches so far.
    pub(crate) fn save(&self) -> Result<Vec<std::sync::mpsc::Receiver<ShardState>>, Gone> {
        let mut states = Vec::new();
        for shard in &self.shards {
            let (sender, state) = std::sync::mpsc::channel();
            shard.send(ShardJob::Save(sender)).map_err(|_| Gone)?;
            states.push(state);
        }
        Ok(states)
    }

    /// Lets the threads finish what they have, and waits for them.
    pub(crate) fn join(self) {
        let Self { shards, collector, pool, threads } = self;
        drop((shards, collector, pool));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine panicked");
            }
        }
    }
}

fn run_shard(
    (index, mut shard): (usize, Shard),
    meeting: &Arc<Meeting>,
    jobs: &Receiver<ShardJob>,
    decided: &SyncSender<Decided>,
) {
    let _member = meeting.member();
    for job in jobs {
        match job {
            ShardJob::Run(batch) => {
                let mut out = Out::default();
                let mut from = 0;
                while let Progress::Meets { next, end, gathered } = shard.run(index, &batch, from, &mut out) {
                    let Some(met) = meeting.meet(gathered, shard.pools(), end) else { return };
                    shard.settle(index, &batch, next, &met, &mut out);
                    from = next;
                }
                // Given up before the answer, so that the collector is the last to hold it.
                drop(batch);
                let answer = Decided { out, counts: shard.counts(), open: shard.open_violations() };
                if decided.send(answer).is_err() {
                    return;
                }
            }
            ShardJob::Save(reply) => {
                if reply.send(shard.save()).is_err() {
                    tracing::debug!("nobody waits for a shard's state any more");
                }
            }
        }
    }
}

struct Collector {
    batches: Receiver<Arc<Batch>>,
    results: Vec<Receiver<Decided>>,
    to_pool: SyncSender<Batch>,
    names: (NameList, NameList),
    shared: Arc<Shared>,
    outputs: mpsc::Sender<Output>,
}

impl Collector {
    fn run(mut self) {
        while let Ok(batch) = self.batches.recv() {
            if self.collect(batch).is_none() {
                return;
            }
        }
    }

    /// One batch: waits for all shards, and hands on what it brought. Nothing if somebody is gone.
    fn collect(&mut self, batch: Arc<Batch>) -> Option<()> {
        let (mut all, mut counts, mut open) = (Out::default(), ShardCounts::default(), 0);
        for result in &self.results {
            let decided = result.recv().ok()?;
            all.append(decided.out);
            counts.add(decided.counts);
            open += decided.open;
        }
        {
            let mut counters = self.shared.counters();
            counters.fold.shards = counts;
            counters.open_violations = open;
        }
        resolve::sort(&mut all.raws);
        let mut batch = Arc::into_inner(batch)?;
        let (things, principals) = &mut self.names;
        for (index, &number) in (0_u32..).zip(&batch.new_numbers) {
            things.set(number, [batch.new_entities.get(index).unwrap_or_default(), &[]]);
        }
        principals.append(&batch.new_principals);
        let renamed = std::mem::take(&mut batch.renamed);
        let names = Names { things, principals, renamed: &renamed };
        let mut gone = false;
        let outputs = &self.outputs;
        let mut send = |output| gone |= outputs.blocking_send(output).is_err();
        let points = resolve::datapoints(&mut all.rows, names);
        let resolve = |raw| resolve::transition(raw, names);
        hand_on(&mut all.raws, points, &mut batch, &mut send, resolve);
        batch.clear();
        if self.to_pool.try_send(batch).is_err() {
            tracing::trace!("a batch was let go");
        }
        (!gone).then_some(())
    }
}
