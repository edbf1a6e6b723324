//! The second stage of the fold: owns a part of the entities, feeds their behaviors, and says
//! which violations begin and end.
//!
//! Shard `k` of `n` owns the entities whose number leaves the rest `k` when divided by `n`.
//! Nothing that it decides depends on other entities, so the number of shards changes nothing.

mod arena;
mod blind;
mod carry;
mod fleetwide;
mod keyed;
mod learned;
mod lists;
mod marks;
mod presence;
mod slots;
mod step;
mod table;

use std::{collections::BTreeSet, sync::Arc};

use behaviors::{
    profile::Profiles,
    recent::Recent,
    set::{Aggregate, BehaviorSet, Compiled, SetId, Test},
    slot::Slot,
};
use fleet::{metric::AwsMetric, time::Timestamp};

pub(crate) use self::learned::reason_number;
pub use self::step::ShardCounts;
use self::{
    arena::Arena,
    blind::Blind,
    keyed::{Keyed, Shared},
    lists::{Due, Lists},
    marks::Marks,
    presence::Presence,
    slots::Slots,
    step::{Alarms, PeersOf, Sink, Step, Waiting, metric_number},
};
pub(crate) use self::{
    carry::ShardState,
    fleetwide::Progress,
    step::{Out, Raw, Row},
};
use crate::{
    batch::{Batch, Op, Reassign, SLICES, What},
    front::NONE,
    meeting::{AllNews, Gathered, Pools},
};

/// Without any datapoint for so long, a violation ends without a verdict
/// (`device-defender-detect.md`, section 7).
const SILENCE_SECS: u32 = 2 * 24 * 3600;

/// How often that is looked at: the grid of AWS.
const SILENCE_GRID_SECS: i64 = 300;

/// Operations that are looked ahead at once: more misses than a core can have under way at a time.
const AHEAD: usize = 32;

type SetKey = Option<SetId>;

/// Metrics that an operation observes first.
const fn first_metrics(what: What) -> &'static [AwsMetric] {
    match what {
        What::Publish => &[AwsMetric::NumMessagesSent, AwsMetric::MessageByteSize],
        What::Delivery => &[AwsMetric::NumMessagesReceived],
        What::Connect => &[AwsMetric::NumConnectionAttempts],
        What::Disconnect => &[AwsMetric::NumDisconnects],
        What::AuthFailure | What::Denied => &[AwsMetric::NumAuthorizationFailures],
        What::Report => &[AwsMetric::AllBytesOut, AwsMetric::NumListeningTcpPorts],
        What::SessionOver
        | What::PublishedFrom
        | What::Seen
        | What::Topic
        | What::AssignThing
        | What::Retire
        | What::Own
        | What::Keyed
        | What::Boundary
        | What::Reassign
        | What::Mark
        | What::Blind => &[],
    }
}

/// A thing: 40 bytes, its slots, and its words.
#[derive(Clone, Debug)]
pub(crate) struct Entity {
    pub(crate) presence: Presence,
    pub(crate) slots: u32,
    /// Its run in the arena.
    pub(crate) words: u32,
    pub(crate) set: SetId,
    pub(crate) principal: u32,
}

/// A part of the entities.
#[derive(Debug)]
pub struct Shard {
    shards: usize,
    compiled: Arc<Compiled>,
    entities: Vec<Entity>,
    slots: Slots,
    arena: Arena,
    ledger: Ledger,
    keyed: Keyed,
}

/// What all things of a shard share while something is done to them.
#[derive(Debug, Default)]
struct Ledger {
    alarms: Alarms,
    waiting: Vec<Waiting>,
    lists: Lists,
    blind: Blind,
    marks: Marks,
    counts: ShardCounts,
    /// What things have learnt together, as of the last meeting.
    pools: Arc<Pools>,
    /// What was new to groups since then.
    news: AllNews,
}

impl Ledger {
    /// Where decisions about a thing go.
    #[inline]
    fn sink<'a>(&'a mut self, op: Op, entity: u32, principal: u32, out: &'a mut Out) -> Sink<'a> {
        let Self { alarms, waiting, lists, blind, marks, counts, pools, news } = self;
        let peers = PeersOf { pools, news };
        Sink { op, entity, principal, alarms, waiting, lists, marks, blind, counts, peers: Some(peers), out }
    }
}

impl Shard {
    /// An empty one of `shards`.
    pub(crate) fn new(shards: usize, compiled: Arc<Compiled>) -> Self {
        let keyed = Keyed::new(shards, &compiled, SLICES);
        Self {
            shards: shards.max(1),
            keyed,
            compiled,
            entities: Vec::new(),
            slots: Slots::default(),
            arena: Arena::default(),
            ledger: Ledger::default(),
        }
    }

    /// Empty shards before any rules are known.
    #[must_use]
    pub fn all(shards: usize) -> Vec<Self> {
        let compiled = Arc::new(Profiles::default().compile(1));
        (0..shards.max(1)).map(|_| Self::new(shards, Arc::clone(&compiled))).collect()
    }

    /// Folds the operations that a batch has for shard `index`, from the one at `from` on, up to a
    /// boundary at which all shards must meet.
    pub(crate) fn run(&mut self, index: usize, batch: &Batch, from: usize, out: &mut Out) -> Progress {
        let ops = batch.ops.get(index).and_then(|ops| ops.get(from..)).unwrap_or_default();
        let mut done = from;
        for ops in ops.chunks(AHEAD) {
            self.look_ahead(ops);
            if let Some((at, op, gathered)) = self.run_some(index, ops, batch, out) {
                let end = (op.at, u32::try_from(op.arg).unwrap_or(u32::MAX));
                return Progress::Meets { next: done + at + 1, end, gathered };
            }
            done += ops.len();
        }
        Progress::Done
    }

    /// Reads what the operations will need, before it is needed. These reads do not wait for each
    /// other, those of the operations mostly would: with many entities each is a miss of the cache.
    fn look_ahead(&self, ops: &[Op]) {
        let mut runs = [(0, SetKey::default()); AHEAD];
        for (run, op) in runs.iter_mut().zip(ops) {
            if let Some(entity) = self.entities.get(op.entity as usize / self.shards) {
                *run = (entity.slots, Some(entity.set));
            }
        }
        let mut seen = 0;
        for ((start, set), op) in runs.iter().zip(ops) {
            let Some(set) = set else { continue };
            for &metric in first_metrics(op.what) {
                for &order in self.compiled.set(*set).listeners(metric) {
                    seen |= u32::from(self.slots.is_in_alarm(*start, order));
                }
            }
        }
        std::hint::black_box(seen);
    }

    /// Runs operations; stops behind a boundary at which the shards must meet, and says which
    /// operation that was.
    fn run_some(
        &mut self,
        index: usize,
        ops: &[Op],
        batch: &Batch,
        out: &mut Out,
    ) -> Option<(usize, Op, Gathered)> {
        for (at, op) in ops.iter().enumerate() {
            match op.what {
                What::AssignThing => {
                    if let Some(&set) = batch.sets.get(op.index()) {
                        self.assign(*op, set, out);
                    }
                }
                What::Boundary => {
                    self.boundary(index, *op, out);
                    if let Some(gathered) = self.gathered(*op) {
                        return Some((at, *op, gathered));
                    }
                }
                What::Reassign => {
                    if let Some(reassign) = batch.reassigns.get(op.index()) {
                        self.reassign(index, *op, reassign, out);
                    }
                }
                What::Keyed => self.keyed(*op, batch, out),
                What::Retire => self.retire(*op, out),
                What::Mark => self.ledger.marks.add(op.at, op.seq),
                What::Blind => {
                    let from = i64::try_from(op.arg).unwrap_or(i64::MAX);
                    self.ledger.blind.add(Timestamp::from_millis(from), op.at);
                }
                _ => self.happened(op, batch, out),
            }
        }
        None
    }

    #[inline]
    fn happened(&mut self, op: &Op, batch: &Batch, out: &mut Out) {
        let Some(entity) = self.entities.get_mut(op.entity as usize / self.shards) else { return };
        let set = self.compiled.set(entity.set);
        let (run, recent) = self.slots.run_mut(entity.slots, set.slots());
        let words = self.arena.run_mut(entity.words, set.words());
        if op.what == What::Connect {
            entity.principal = op.connect_parts().0;
        }
        let sink = self.ledger.sink(*op, op.entity, entity.principal, out);
        let mut step = Step { set, run, recent, words, sink };
        note(&mut entity.presence, op, &mut step);
        observe(op, batch, &mut step);
    }

    fn assign(&mut self, op: Op, id: SetId, out: &mut Out) {
        let local = op.entity as usize / self.shards;
        let set = self.compiled.set(id);
        let Some(entity) = self.entities.get_mut(local) else {
            debug_assert_eq!(local, self.entities.len(), "entities are announced in order");
            let slots = self.slots.take(set.slots()).unwrap_or(u32::MAX);
            let presence = Presence::default();
            let words = self.arena.take(set.words()).unwrap_or(u32::MAX);
            self.entities.push(Entity { presence, slots, words, set: id, principal: NONE });
            return;
        };
        if entity.set == id {
            return;
        }
        let old = self.compiled.set(entity.set);
        let mapping = carry::mapping(&carry::fingerprints(old), set);
        let (slots, recent) = self.slots.run(entity.slots, old.slots());
        let before: (Vec<Slot>, Vec<Recent>) = (slots.to_vec(), recent.to_vec());
        self.slots.give_back(entity.slots, old.slots());
        let start = self.slots.take(set.slots()).unwrap_or(u32::MAX);
        let (run, recent) = self.slots.run_mut(start, set.slots());
        carry::copy((&before.0, &before.1), (&mut *run, recent), &mapping);
        let before = self.arena.run(entity.words, old.words()).to_vec();
        self.arena.give_back(entity.words, old.words());
        let words = self.arena.take(set.words()).unwrap_or(u32::MAX);
        let own = self.arena.run_mut(words, set.words());
        carry::copy_words((old, &before), (set, &mut *own), &mapping);
        carry::tell_away(set, (run, own), &entity.presence);
        let principal = entity.principal;
        (entity.slots, entity.words, entity.set) = (start, words, id);
        hand_on_kept(&mut self.ledger, op, old, out);
        let mut sink = self.ledger.sink(op, op.entity, principal, out);
        move_alarms(&mut sink, old, &mapping);
    }

    /// Forgets a thing: what was held against it ends without a verdict, and its place is as new.
    fn retire(&mut self, op: Op, out: &mut Out) {
        let local = op.entity as usize / self.shards;
        self.assign(Op { what: What::AssignThing, ..op }, SetId::NONE, out);
        self.ledger.waiting.retain(|waiting| waiting.entity != op.entity);
        if let Some(entity) = self.entities.get_mut(local) {
            entity.presence = Presence::default();
            entity.principal = NONE;
        }
    }

    fn reassign(&mut self, index: usize, op: Op, reassign: &Reassign, out: &mut Out) {
        let Self { shards, compiled, entities, slots, arena, ledger, keyed } = self;
        let set_of =
            |entity: u32| entities.get(entity as usize / *shards).map(|entity| compiled.set(entity.set));
        ledger.lists.release_all(&mut |due| list_due(due, op.seq, set_of, out));
        for done in std::mem::take(&mut ledger.waiting) {
            if let Some(set) = set_of(done.entity) {
                collected(&done, op.seq, set, out);
            }
        }
        let global = |local: usize| local * *shards + index;
        let set_of = |local| reassign.sets.get(global(local)).copied();
        let old = Arc::clone(compiled);
        let moved = |local: usize, entity: &Entity, old_id: SetId, mapping: &carry::Mapping| {
            let number = u32::try_from(global(local)).unwrap_or(NONE);
            let principal = entity.principal;
            let mut sink = ledger.sink(op, number, principal, out);
            move_alarms(&mut sink, old.set(old_id), mapping);
        };
        carry::move_all(entities, (slots, arena), (&old, &reassign.compiled), set_of, moved);
        let fresh = Keyed::new(*shards, &reassign.compiled, reassign.entities_max);
        let before = std::mem::replace(keyed, fresh);
        let Ledger { marks, blind, counts, .. } = ledger;
        let mut shared = Shared { op, marks, blind, counts, out };
        keyed::moved(before, (&old, &reassign.compiled), keyed, &mut shared);
        self.compiled = Arc::clone(&reassign.compiled);
        self.keep_pools();
    }

    /// Lets go what was learnt together for behaviors that are gone.
    fn keep_pools(&mut self) {
        let there: BTreeSet<u64> = self.compiled.behaviors().map(|behavior| behavior.fingerprint).collect();
        Arc::make_mut(&mut self.ledger.pools).retain(|fingerprint| there.contains(&fingerprint));
        self.ledger.news.retain(|fingerprint| there.contains(&fingerprint));
    }

    /// Windows of `op.arg` seconds end at `op.at`.
    fn boundary(&mut self, index: usize, op: Op, out: &mut Out) {
        let secs = u32::try_from(op.arg).unwrap_or(u32::MAX);
        let start = op.at.plus_millis(-i64::from(secs) * 1000);
        let blind = self.ledger.blind.overlaps(start, op.at);
        let Self { shards, compiled, entities, slots, arena, ledger, .. } = self;
        for (local, entity) in entities.iter().enumerate() {
            let set = compiled.set(entity.set);
            let listeners = set.windowed(secs);
            if listeners.is_empty() {
                continue;
            }
            let (run, recent) = slots.run_mut(entity.slots, set.slots());
            let number = u32::try_from(local * *shards + index).unwrap_or(NONE);
            let principal = entity.principal;
            let sink = ledger.sink(op, number, principal, out);
            let present = !blind && entity.presence.within(start, op.at);
            let words = arena.run_mut(entity.words, set.words());
            let mut step = Step { set, run, recent, words, sink };
            step.close(listeners, present, blind, Some(&entity.presence));
        }
        self.keyed_boundary(op, secs, start, blind, out);
        self.hand_on_collected(secs, op, out);
        if op.at.secs() % SILENCE_GRID_SECS == 0 {
            self.tell_latest(op, out);
            self.keyed_latest(op, out);
            self.invalidate_silent(op, out);
            self.keyed_silent(op, out);
        }
    }

    /// Hands on what was collected in windows of `secs` seconds that are over.
    fn hand_on_collected(&mut self, secs: u32, op: Op, out: &mut Out) {
        let Self { shards, compiled, entities, ledger, .. } = self;
        let set_of =
            |entity: u32| entities.get(entity as usize / *shards).map(|entity| compiled.set(entity.set));
        // Before the numbers: of a metric that had both in a window, the number counts.
        ledger.lists.ended(op.at, &mut |due| list_due(due, op.seq, set_of, out));
        ledger.waiting.retain(|done| {
            let set = set_of(done.entity);
            let behavior = set.and_then(|set| set.behaviors().get(usize::from(done.order)));
            let over = done.end <= op.at
                && behavior.is_some_and(|own| own.window == Some(secs) && own.test == Test::Collect);
            if let (true, Some(set)) = (over, set) {
                collected(done, op.seq, set, out);
            }
            !over
        });
    }

    /// Tells the latest datapoints of the violations that went on since the last time.
    fn tell_latest(&mut self, op: Op, out: &mut Out) {
        let mut told = Vec::new();
        for (&key, alarm) in &mut self.ledger.alarms {
            if alarm.latest.is_some() {
                told.push((key, alarm.clone()));
                alarm.latest = None;
            }
        }
        for ((number, order), alarm) in told {
            let Some(entity) = self.entities.get(number as usize / self.shards) else { continue };
            let behaviors = self.compiled.set(entity.set).behaviors();
            let Some(behavior) = behaviors.get(usize::from(order)) else { continue };
            self.ledger.sink(op, number, entity.principal, out).tell_latest(order, behavior, alarm);
        }
    }

    /// Ends the violations of entities that have been silent too long. How long a thing has been
    /// away is known while it is away: such a behavior is never without a datapoint.
    fn invalidate_silent(&mut self, op: Op, out: &mut Out) {
        let mut silent = Vec::new();
        for &(number, order) in self.ledger.alarms.keys() {
            let Some(entity) = self.entities.get(number as usize / self.shards) else { continue };
            let until = i64::from(entity.presence.last()) + i64::from(SILENCE_SECS);
            let behavior = self.compiled.set(entity.set).behaviors().get(usize::from(order));
            let counts = behavior.is_some_and(|behavior| behavior.aggregate != Aggregate::Away);
            if counts && !entity.presence.is_connected() && until < op.at.secs() {
                silent.push((number, order, Timestamp::from_secs(until)));
            }
        }
        for (number, order, at) in silent {
            let Some(entity) = self.entities.get(number as usize / self.shards) else { continue };
            let set = self.compiled.set(entity.set);
            let (run, _) = self.slots.run_mut(entity.slots, set.slots());
            let words = self.arena.run_mut(entity.words, set.words());
            let behavior = set.behaviors().get(usize::from(order));
            let (Some(behavior), Some(alarm)) = (behavior, self.ledger.alarms.remove(&(number, order)))
            else {
                continue;
            };
            learned::begin_anew(set, (run, words), order);
            let mut sink = self.ledger.sink(op, number, entity.principal, out);
            sink.invalidate(order, behavior, at, alarm);
        }
    }

    /// From now on every collected list is handed on as it is reported, not only the last of a window.
    pub(crate) const fn hand_on_every_list(&mut self) {
        self.ledger.lists.every = true;
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> ShardCounts {
        self.ledger.counts
    }

    /// Violations that are open.
    #[must_use]
    pub fn open_violations(&self) -> usize {
        self.ledger.alarms.len() + self.keyed.tables().map(|table| table.alarms.len()).sum::<usize>()
    }

    /// Bytes that the shard holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.entities.capacity() * size_of::<Entity>()
            + self.slots.memory()
            + self.arena.memory()
            + self.ledger.lists.memory()
            + self.ledger.waiting.capacity() * size_of::<Waiting>()
            + self.keyed.tables().map(table::Table::memory).sum::<usize>()
            // A B-tree's nodes are two thirds full.
            + self.ledger.alarms.len() * (size_of::<(u32, u16)>() + size_of::<step::Alarm>()) * 3 / 2
    }
}

/// Hands on what was collected of the entity whose behaviors, `set`, are about to change; what waits
/// for a verdict is given up.
fn hand_on_kept(ledger: &mut Ledger, op: Op, set: &BehaviorSet, out: &mut Out) {
    for (order, behavior) in (0_u16..).zip(set.behaviors()) {
        if behavior.test == Test::Collect
            && let Some(due) = ledger.lists.release((op.entity, order))
        {
            list_due(due, op.seq, |_| Some(set), out);
        }
    }
    ledger.waiting.retain(|done| {
        let gone = done.entity == op.entity;
        if gone {
            collected(done, op.seq, set, out);
        }
        !gone
    });
}

/// Hands on a datapoint if it is only collected.
fn collected(done: &Waiting, seq: u64, set: &BehaviorSet, out: &mut Out) {
    let Some(behavior) = set.behaviors().get(usize::from(done.order)) else { return };
    if behavior.test == Test::Collect {
        let value = metric_number(&behavior.metric, done.value);
        let collector = Arc::clone(behavior);
        out.rows.push(Row { seq, end: done.end, entity: done.entity, kept: true, collector, value });
    }
}

/// Hands on a list that was held.
fn list_due<'a>(due: Due, seq: u64, set_of: impl Fn(u32) -> Option<&'a BehaviorSet>, out: &mut Out) {
    let Due { entity, order, end, value } = due;
    let collector = set_of(entity).and_then(|set| set.behaviors().get(usize::from(order)));
    if let Some(collector) = collector.map(Arc::clone) {
        out.rows.push(Row { seq, end, entity, kept: true, collector, value });
    }
}

/// Takes note of where the entity is.
#[inline]
fn note(presence: &mut Presence, op: &Op, step: &mut Step<'_>) {
    match op.what {
        What::Connect => {
            presence.connected(op.at);
            step.back();
            step.session_began();
        }
        What::Disconnect | What::SessionOver => {
            if presence.disconnected(op.at) {
                step.left();
                let by_broker = op.what == What::SessionOver;
                step.session_ended(learned::reason_of(op.arg), by_broker);
            }
        }
        What::Topic => {}
        // Somebody failed to log in: that is no sign of the thing itself.
        What::AuthFailure => {}
        What::Publish | What::Delivery | What::Denied | What::Seen => {
            presence.active(op.at);
            presence.must_be_connected(op.at);
        }
        _ => presence.active(op.at),
    }
}

/// Feeds the behaviors that listen.
#[inline]
fn observe(op: &Op, batch: &Batch, step: &mut Step<'_>) {
    match op.what {
        What::Publish => {
            let (bytes, mask) = op.message_parts();
            step.number(AwsMetric::NumMessagesSent, 1.0);
            step.number(AwsMetric::MessageByteSize, f64::from(bytes));
            step.narrowed(AwsMetric::NumMessagesSent, 1.0, mask);
            step.narrowed(AwsMetric::MessageByteSize, f64::from(bytes), mask);
        }
        What::PublishedFrom => {
            let (at, mask) = op.message_parts();
            if let Some(&address) = batch.addresses.get(at as usize) {
                step.narrowed_address(address, mask);
            }
        }
        What::Delivery => {
            step.number(AwsMetric::NumMessagesReceived, 1.0);
            step.narrowed(AwsMetric::NumMessagesReceived, 1.0, op.message_parts().1);
        }
        What::Topic => step.topic(batch.text_at(op.arg)),
        What::Connect => {
            step.number(AwsMetric::NumConnectionAttempts, 1.0);
            if let Some(address) = batch.addresses.get(op.connect_parts().1) {
                step.addresses(AwsMetric::SourceIpAddress, std::slice::from_ref(address));
            }
        }
        What::Own => step.own(op.arg),
        What::Disconnect => step.disconnect(learned::reason_of(op.arg)),
        What::AuthFailure => {
            step.number(AwsMetric::NumAuthorizationFailures, 1.0);
            step.number(AwsMetric::NumConnectionAttempts, 1.0);
        }
        What::Denied => {
            step.number(AwsMetric::NumAuthorizationFailures, 1.0);
            step.narrowed(AwsMetric::NumAuthorizationFailures, 1.0, op.message_parts().1);
        }
        What::Report => {
            if let Some(row) = batch.reports.get(op.index()) {
                step.report(row, batch);
            }
        }
        What::SessionOver
        | What::Seen
        | What::AssignThing
        | What::Retire
        | What::Keyed
        | What::Boundary
        | What::Reassign
        | What::Mark
        | What::Blind => {}
    }
}

/// Violations of behaviors that are still there keep going; the others end without a verdict.
fn move_alarms(sink: &mut Sink<'_>, old: &BehaviorSet, mapping: &carry::Mapping) {
    let entity = sink.entity;
    let open: Vec<_> = sink
        .alarms
        .range((entity, 0)..=(entity, u16::MAX))
        .map(|(&(_, order), alarm)| (order, alarm.clone()))
        .collect();
    for (order, _) in &open {
        sink.alarms.remove(&(entity, *order));
    }
    for (order, alarm) in open {
        let new = mapping.iter().position(|&from| from == Some(order)).and_then(|at| u16::try_from(at).ok());
        match (new, old.behaviors().get(usize::from(order))) {
            (Some(new), _) => {
                sink.alarms.insert((entity, new), alarm);
            }
            (None, Some(behavior)) => {
                let at = sink.op.at;
                sink.invalidate(order, behavior, at, alarm);
            }
            (None, None) => {}
        }
    }
}
