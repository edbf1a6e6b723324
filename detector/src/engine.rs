//! The fold as plain synchronous code: records in, transitions out. Replay and tests use it; the
//! threaded [`crate::runner`] runs the very same front and shards.

use std::{collections::BTreeMap, sync::Arc};

use fleet::{event::Event, ids::GroupName, time::Timestamp};

use crate::{
    batch::Batch,
    front::{Decoders, Front, Position, Verdict},
    input::SourceId,
    journal::Record,
    meeting::Gathered,
    output::{Datapoints, Output},
    resolve::{self, Names},
    shard::{Out, Progress, Raw, Shard, ShardCounts},
    snapshot::Snapshot,
    transition::Transition,
};

/// Front and shards in one hand.
#[derive(Debug)]
pub struct Engine {
    front: Front,
    shards: Vec<Shard>,
    batch: Batch,
    out: Out,
    /// Last record that was folded; 0 before the first.
    seq: u64,
}

/// What an engine or runner has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldCounts {
    /// By the front.
    pub front: crate::front::FrontCounts,
    /// By all shards together.
    pub shards: ShardCounts,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(decoders: Decoders, shards: usize, watch_groups: Vec<GroupName>) -> Self {
        Self {
            front: Front::new(decoders, watch_groups),
            shards: Shard::all(shards),
            batch: Batch::new(shards),
            out: Out::default(),
            seq: 0,
        }
    }

    /// From now on every collected list is handed on as it is reported, not only the last of each
    /// window. For who learns from the past; an engine that is restored does not know of it.
    pub fn hand_on_every_list(&mut self) {
        self.shards.iter_mut().for_each(Shard::hand_on_every_list);
    }

    /// Folds one record.
    pub fn apply(&mut self, record: &Record<'_>, sink: &mut dyn FnMut(Transition)) -> Verdict {
        let verdict = self.stage(record);
        self.flush(sink);
        verdict
    }

    /// Takes a record in without running the shards yet; [`Engine::flush`] does that for all
    /// records taken in. Fewer, larger steps are faster and change nothing.
    pub fn stage(&mut self, record: &Record<'_>) -> Verdict {
        let verdict = self.front.apply(record, &mut self.batch);
        if matches!(verdict, Verdict::Folded { .. }) {
            self.seq = record.seq;
        }
        verdict
    }

    /// Takes in an event that is decoded already, as record `seq`.
    #[inline]
    pub fn stage_event(&mut self, seq: u64, source: SourceId, arrival: Timestamp, event: &Event<'_>) {
        self.front.event(seq, source, arrival, event, &mut self.batch);
        self.seq = seq;
    }

    /// Operations taken in and not run yet.
    #[must_use]
    pub const fn staged(&self) -> usize {
        self.batch.len()
    }

    /// Runs the shards on what was taken in.
    pub fn flush(&mut self, sink: &mut dyn FnMut(Transition)) {
        self.flush_outputs(&mut |output| {
            if let Output::Transition(transition) = output {
                sink(transition);
            }
        });
    }

    /// As [`Engine::flush`], with everything that a runner would hand on.
    pub fn flush_outputs(&mut self, sink: &mut dyn FnMut(Output)) {
        self.run_shards();
        resolve::sort(&mut self.out.raws);
        let (things, principals) = self.front.names();
        let renamed = std::mem::take(&mut self.batch.renamed);
        let names = Names { things, principals, renamed: &renamed };
        let points = resolve::datapoints(&mut self.out.rows, names);
        let resolve = |raw| resolve::transition(raw, names);
        hand_on(&mut self.out.raws, points, &mut self.batch, sink, resolve);
        self.batch.clear();
    }

    /// Runs the shards one after the other, from meeting to meeting.
    fn run_shards(&mut self) {
        let Self { shards, batch, out, .. } = self;
        let mut from = vec![0; shards.len()];
        loop {
            let (mut all, mut next, mut period) = (Gathered::default(), Vec::new(), None);
            for ((index, shard), &from) in shards.iter_mut().enumerate().zip(&from) {
                if let Progress::Meets { next: at, end, gathered } = shard.run(index, batch, from, out) {
                    all.merge(gathered);
                    next.push(at);
                    period = Some((end, Arc::clone(shard.pools())));
                }
            }
            let Some(((at, secs), before)) = period else { return };
            let met = all.met(&before, at, secs);
            for ((index, shard), &next) in shards.iter_mut().enumerate().zip(&next) {
                shard.settle(index, batch, next, &met, out);
            }
            from = next;
        }
    }

    /// Last record that was folded; 0 before the first.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The first stage.
    #[must_use]
    pub const fn front(&self) -> &Front {
        &self.front
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> FoldCounts {
        let mut shards = ShardCounts::default();
        self.shards.iter().for_each(|shard| shards.add(shard.counts()));
        FoldCounts { front: *self.front.counts(), shards }
    }

    /// Violations that are open.
    #[must_use]
    pub fn open_violations(&self) -> usize {
        self.shards.iter().map(Shard::open_violations).sum()
    }

    /// How far each source has been read.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<SourceId, Position> {
        self.front.positions()
    }

    /// Bytes held for things and addresses, all told; not counting the registry and the profiles.
    #[must_use]
    pub fn memory(&self) -> usize {
        let shards: usize = self.shards.iter().map(Shard::memory).sum();
        self.front.memory() + shards + self.batch.memory()
    }

    /// All state, as of the last record folded. Nothing may be staged.
    #[must_use]
    pub fn save(&self) -> Snapshot {
        debug_assert_eq!(self.batch.len(), 0, "flush before saving");
        Snapshot {
            seq: self.seq,
            front: self.front.save(),
            shards: self.shards.iter().map(Shard::save).collect(),
        }
    }

    /// An engine as it was saved; the number of shards may be another.
    ///
    /// # Errors
    /// When the state does not fit together or a decoder does not know its own.
    pub fn restored(
        snapshot: Snapshot,
        decoders: Decoders,
        shards: usize,
        watch_groups: Vec<GroupName>,
    ) -> Result<Self, String> {
        let seq = snapshot.seq;
        let mut front = Front::new(decoders, watch_groups);
        let shards = restore_parts(&mut front, snapshot, shards)?;
        let batch = Batch::new(shards.len());
        Ok(Self { front, shards, batch, out: Out::default(), seq })
    }

    /// The two stages, for the threads of a runner.
    pub(crate) fn into_parts(self) -> (Front, Vec<Shard>, u64) {
        (self.front, self.shards, self.seq)
    }
}

fn restore_parts(front: &mut Front, snapshot: Snapshot, shards: usize) -> Result<Vec<Shard>, String> {
    front.restore(snapshot.front)?;
    let assigned = front.assigned();
    let count = shards.max(1);
    let restore = |index| Shard::restore((index, count), &assigned, &snapshot.shards);
    (0..count).map(restore).collect()
}

/// Hands on what a batch brought, in the order of the journal: refused inputs, then by record
/// what was watched, then what was decided, then what was collected.
pub(crate) fn hand_on(
    raws: &mut Vec<Raw>,
    points: Vec<Datapoints>,
    batch: &mut Batch,
    sink: &mut dyn FnMut(Output),
    mut resolve: impl FnMut(Raw) -> Transition,
) {
    for refused in batch.refused.drain(..) {
        sink(Output::Refused(refused));
    }
    let mut watched = batch.watched.drain(..).peekable();
    let mut points = points.into_iter().peekable();
    for raw in raws.drain(..) {
        while let Some(points) = points.next_if(|points| points.seq < raw.seq) {
            while let Some(seen) = watched.next_if(|seen| seen.seq <= points.seq) {
                sink(Output::Watched(seen));
            }
            sink(Output::Datapoints(points));
        }
        while let Some(seen) = watched.next_if(|seen| seen.seq <= raw.seq) {
            sink(Output::Watched(seen));
        }
        let goes_on = raw.goes_on;
        let told = resolve(raw);
        sink(if goes_on { Output::Violating(told.into()) } else { Output::Transition(told) });
    }
    for points in points {
        while let Some(seen) = watched.next_if(|seen| seen.seq <= points.seq) {
            sink(Output::Watched(seen));
        }
        sink(Output::Datapoints(points));
    }
    watched.for_each(|seen| sink(Output::Watched(seen)));
    if batch.last_seq > 0 {
        sink(Output::Folded { seq: batch.last_seq });
    }
}
