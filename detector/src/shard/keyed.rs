//! Entities other than things: addresses, networks, principals, topics, groups, the fleet, claimed ids.
//!
//! A shard owns whole slices of them, and each slice has its own bound. So who makes room for whom
//! depends on the journal alone, and not on the number of shards, although only the shard knows who
//! is in alarm.

use std::{collections::BTreeMap, sync::Arc};

use behaviors::set::{Compiled, Group};
use fleet::time::Timestamp;

use super::{
    Ledger, SILENCE_SECS, Shard,
    blind::Blind,
    lists::Lists,
    marks::Marks,
    step::{Out, ShardCounts, Sink, Step, Waiting},
    table::{Parts, Place, Table},
};
use crate::{
    batch::{Batch, KeyedRow, Op, SLICES},
    front::NONE,
};

/// The tables of a shard's slices: by slice, then by group of behaviors.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    pub(crate) slices: Vec<Vec<Table>>,
    /// Entities of a kind in a slice at most.
    pub(crate) max: usize,
}

/// What all entities of a shard share while something is done to them.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) op: Op,
    pub(crate) marks: &'a Marks,
    pub(crate) blind: &'a Blind,
    pub(crate) counts: &'a mut ShardCounts,
    pub(crate) out: &'a mut Out,
}

impl Shared<'_> {
    /// Does something to one entity of a table, and gives what it decides the entity's name.
    fn with<R>(
        &mut self,
        table: &mut Table,
        group: &Group,
        row: u32,
        act: impl FnOnce(&mut Step<'_>, &mut BTreeMap<(u32, u16), super::table::Items>) -> R,
    ) -> Option<R> {
        let Parts { row: own, run, recent, alarms, items, words } =
            table.parts(row, group.set.slots(), group.set.words())?;
        let (mut waiting, mut lists): (Vec<Waiting>, Lists) = Default::default();
        let before = self.out.raws.len();
        let sink = Sink {
            op: self.op,
            entity: row,
            principal: NONE,
            peers: None,
            alarms,
            waiting: &mut waiting,
            lists: &mut lists,
            marks: self.marks,
            blind: self.blind,
            counts: self.counts,
            out: self.out,
        };
        let mut step = Step { set: &group.set, run, recent, words, sink };
        let result = act(&mut step, items);
        debug_assert!(waiting.is_empty(), "nothing but things is compared or collected");
        if self.out.raws.len() > before {
            for raw in self.out.raws.iter_mut().skip(before) {
                raw.key = Some(own.key.as_slice().into());
            }
            table.sort_in(row);
        }
        Some(result)
    }

    /// Ends all violations of an entity without a verdict.
    fn invalidate(&mut self, table: &mut Table, group: &Group, row: u32, at: Timestamp) {
        self.with(table, group, row, |step, _| {
            while let Some((&place, alarm)) = step.sink.alarms.range((row, 0)..=(row, u16::MAX)).next() {
                let alarm = alarm.clone();
                step.sink.alarms.remove(&place);
                let order = place.1;
                if let Some(behavior) = step.set.behaviors().get(usize::from(order)) {
                    step.sink.invalidate(order, behavior, at, alarm);
                }
                super::learned::begin_anew(step.set, (&mut *step.run, &mut *step.words), order);
            }
        });
    }
}

impl Keyed {
    /// Empty tables for the groups of `compiled`, in so many slices as one of `shards` can have.
    pub(crate) fn new(shards: usize, compiled: &Compiled, entities_max: u32) -> Self {
        let slices = (SLICES as usize).div_ceil(shards.max(1));
        let tables = || compiled.groups().iter().map(|_| Table::default()).collect();
        let max = (entities_max.div_ceil(SLICES) as usize).max(1);
        Self { slices: (0..slices).map(|_| tables()).collect(), max }
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.slices.iter().flatten()
    }
}

impl Shard {
    /// Something happened that counts for an entity other than a thing.
    pub(super) fn keyed(&mut self, op: Op, batch: &Batch, out: &mut Out) {
        let Some(row) = batch.keyed.get(op.index()) else { return };
        let key = batch.keys.get(row.key.start as usize..row.key.end as usize).unwrap_or_default();
        let group = self.compiled.groups().get(usize::from(row.group));
        let slice = self.keyed.slices.get_mut(op.entity as usize / self.shards);
        let table = slice.and_then(|slice| slice.get_mut(usize::from(row.group)));
        let (Some(group), Some(table)) = (group, table) else { return };
        let Ledger { marks, blind, counts, .. } = &mut self.ledger;
        let mut shared = Shared { op, marks, blind, counts, out };
        let number = match table.find(key, row.hash, self.keyed.max) {
            Place::Known(number) => {
                table.seen(number);
                number
            }
            Place::Free => table.add(key, row.hash, group.set.slots()),
            Place::Takes(number) => {
                shared.counts.evicted += 1;
                shared.invalidate(table, group, number, op.at);
                table.replace(number, key, row.hash, group.set.slots());
                table.words_mut(number, group.set.words()).fill(0);
                number
            }
        };
        if let Some(own) = table.rows.get_mut(number as usize) {
            own.presence.active(op.at);
        }
        shared.with(table, group, number, |step, items| observe(step, items, number, row));
    }

    /// Windows of `secs` seconds end, which began at `start`.
    pub(super) fn keyed_boundary(
        &mut self,
        op: Op,
        secs: u32,
        start: Timestamp,
        was_blind: bool,
        out: &mut Out,
    ) {
        let Ledger { marks, blind, counts, .. } = &mut self.ledger;
        let mut shared = Shared { op, marks, blind, counts, out };
        for slice in &mut self.keyed.slices {
            for (group, table) in self.compiled.groups().iter().zip(slice) {
                let listeners = group.set.windowed(secs);
                if listeners.is_empty() {
                    continue;
                }
                for number in 0..u32::try_from(table.rows.len()).unwrap_or(NONE) {
                    let there = |row: &super::table::Row| !was_blind && row.presence.within(start, op.at);
                    let present = table.rows.get(number as usize).is_some_and(there);
                    // None of them has a session. While it is in alarm, its silence is the good news
                    // that clears the alarm.
                    shared.with(table, group, number, |step, _| {
                        step.close(listeners, present, was_blind, None)
                    });
                }
            }
        }
    }

    /// Tells the latest datapoints of the violations that went on since the last time.
    pub(super) fn keyed_latest(&mut self, op: Op, out: &mut Out) {
        let Ledger { marks, blind, counts, .. } = &mut self.ledger;
        let mut shared = Shared { op, marks, blind, counts, out };
        for slice in &mut self.keyed.slices {
            for (group, table) in self.compiled.groups().iter().zip(slice) {
                let went_on = |alarm: &super::step::Alarm| alarm.latest.is_some();
                let open = table.alarms.iter().filter(|(_, alarm)| went_on(alarm));
                let open: Vec<(u32, u16)> = open.map(|(&key, _)| key).collect();
                for (row, order) in open {
                    shared.with(table, group, row, |step, _| {
                        let Some(alarm) = step.sink.alarms.get_mut(&(row, order)) else { return };
                        let told = alarm.clone();
                        alarm.latest = None;
                        if let Some(behavior) = step.set.behaviors().get(usize::from(order)) {
                            step.sink.tell_latest(order, behavior, told);
                        }
                    });
                }
            }
        }
    }

    /// Ends the violations of entities that have been silent too long.
    pub(super) fn keyed_silent(&mut self, op: Op, out: &mut Out) {
        let Ledger { marks, blind, counts, .. } = &mut self.ledger;
        let mut shared = Shared { op, marks, blind, counts, out };
        for slice in &mut self.keyed.slices {
            for (group, table) in self.compiled.groups().iter().zip(slice) {
                let until = |row: u32| {
                    let last = table.rows.get(row as usize).map_or(0, |row| row.presence.last());
                    i64::from(last) + i64::from(SILENCE_SECS)
                };
                let mut silent: Vec<(u32, i64)> = Vec::new();
                for &(row, _) in table.alarms.keys() {
                    let until = until(row);
                    if until < op.at.secs() && silent.last().is_none_or(|&(last, _)| last != row) {
                        silent.push((row, until));
                    }
                }
                for (row, until) in silent {
                    shared.invalidate(table, group, row, Timestamp::from_secs(until));
                }
            }
        }
    }
}

/// Feeds the behaviors that listen.
fn observe(
    step: &mut Step<'_>,
    items: &mut BTreeMap<(u32, u16), super::table::Items>,
    number: u32,
    row: &KeyedRow,
) {
    let mut bits = row.bits;
    while bits != 0 {
        let bit = bits.trailing_zeros();
        bits &= bits - 1;
        let set = step.set;
        for &order in set.with_bit(bit) {
            let Some(behavior) = set.behaviors().get(usize::from(order)) else { continue };
            let value = match (behavior.distinct, behavior.window) {
                (Some(item), Some(secs)) => {
                    let item = row.items.get(item as usize).copied().unwrap_or(0);
                    let seen = || items.entry((number, order)).or_default().add(step.sink.op.at, secs, item);
                    match (item != 0).then(seen).flatten() {
                        Some(count) => count,
                        None => continue,
                    }
                }
                _ if is_counted(behavior) => 1.0,
                _ => f64::from(row.value),
            };
            step.numbers_for(&[order], value);
        }
    }
}

fn is_counted(behavior: &behaviors::set::Behavior) -> bool {
    matches!(behavior.aggregate, behaviors::set::Aggregate::Count)
}

/// Moves the entities of a shard to the tables of other rules. Behaviors that are gone end without a
/// verdict.
pub(crate) fn moved(
    keyed: Keyed,
    (old, new): (&Compiled, &Arc<Compiled>),
    into: &mut Keyed,
    shared: &mut Shared<'_>,
) {
    for (slice, tables) in keyed.slices.into_iter().zip(&mut into.slices) {
        for (group, mut table) in old.groups().iter().zip(slice) {
            let kind = |own: &Group| own.kind == group.kind;
            let Some(at) = new.groups().iter().position(kind) else {
                for row in table.in_order() {
                    shared.invalidate(&mut table, group, row, shared.op.at);
                }
                continue;
            };
            let Some((new_group, new_table)) = new.groups().get(at).zip(tables.get_mut(at)) else { continue };
            end_changed(&mut table, group, new_group, shared);
            let saved = super::carry::TableState::of(&table, group);
            super::carry::restore_table(&saved, new_group, new_table, into.max);
        }
    }
}

/// Ends the violations of behaviors that the new group does not have.
fn end_changed(table: &mut Table, old: &Group, new: &Group, shared: &mut Shared<'_>) {
    let stays = |order: u16| {
        let own = old.set.behaviors().get(usize::from(order)).map(|own| own.fingerprint);
        new.set.behaviors().iter().any(|behavior| Some(behavior.fingerprint) == own)
    };
    let gone: Vec<(u32, u16)> = table.alarms.keys().copied().filter(|&(_, order)| !stays(order)).collect();
    for (row, order) in gone {
        let at = shared.op.at;
        shared.with(table, old, row, |step, _| {
            if let Some(alarm) = step.sink.alarms.remove(&(row, order))
                && let Some(behavior) = step.set.behaviors().get(usize::from(order))
            {
                step.sink.invalidate(order, behavior, at, alarm);
            }
        });
    }
}
