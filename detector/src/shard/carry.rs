//! State that survives a change of an entity's behavior set, or a restart.

use std::{collections::BTreeMap, sync::Arc};

use behaviors::{
    learned::peers::News,
    recent::Recent,
    set::{Aggregate, BehaviorSet, Compiled, Group, SetId},
    slot::Slot,
};
use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Entity, Shard,
    arena::{Arena, SavedWords},
    blind::Blind,
    keyed::Keyed,
    learned, lists,
    marks::Marks,
    presence::Presence,
    slots::Slots,
    step::{Alarm, ShardCounts, Waiting},
    table::{Items, Place, Table},
};
use crate::{
    batch::{Reassign, SLICES},
    meeting::{AllNews, PeerKey, Pools},
};

/// For each behavior of the new set, its place in the old one, if it is unchanged.
pub(crate) type Mapping = Vec<Option<u16>>;

/// Matches behaviors by their fingerprints.
pub(crate) fn mapping(old: &[u64], new: &BehaviorSet) -> Mapping {
    let place = |fingerprint: u64| old.iter().position(|&own| own == fingerprint);
    let new = new.behaviors().iter();
    new.map(|behavior| place(behavior.fingerprint).and_then(|at| u16::try_from(at).ok())).collect()
}

pub(crate) fn fingerprints(set: &BehaviorSet) -> Vec<u64> {
    set.behaviors().iter().map(|behavior| behavior.fingerprint).collect()
}

/// Copies the slots of unchanged behaviors, and their last datapoints; the others begin anew.
pub(crate) fn copy(
    (old, old_recent): (&[Slot], &[Recent]),
    (new, new_recent): (&mut [Slot], &mut [Recent]),
    mapping: &Mapping,
) {
    for ((slot, recent), from) in new.iter_mut().zip(new_recent).zip(mapping) {
        let from = from.map(usize::from);
        *slot = from.and_then(|from| old.get(from)).copied().unwrap_or_default();
        *recent = from.and_then(|from| old_recent.get(from)).copied().unwrap_or_default();
    }
}

/// Copies the words of unchanged behaviors; the others begin anew.
pub(crate) fn copy_words(
    (old_set, old): (&BehaviorSet, &[u32]),
    (new_set, new): (&BehaviorSet, &mut [u32]),
    mapping: &Mapping,
) {
    if new.is_empty() {
        return;
    }
    for (order, from) in (0_u16..).zip(mapping) {
        let own = new.get_mut(new_set.words_of(order)).unwrap_or_default();
        let from = from.and_then(|from| old.get(old_set.words_of(from)));
        match from {
            // Unchanged behaviors need as many words as before.
            Some(from) if from.len() == own.len() => own.copy_from_slice(from),
            _ => own.fill(0),
        }
    }
}

/// Lets behaviors that are new to an entity that is away know that it is.
pub(crate) fn tell_away(set: &BehaviorSet, (run, words): (&mut [Slot], &mut [u32]), presence: &Presence) {
    let Some(left) = presence.left_at() else { return };
    for (order, behavior) in (0_u16..).zip(set.behaviors()) {
        if behavior.learned().is_some() {
            let words = words.get_mut(set.words_of(order)).unwrap_or_default();
            learned::tell_away(behavior, words, left);
        } else if let Some(slot) = run.get_mut(usize::from(order))
            && behavior.aggregate == Aggregate::Away
            && slot.is_unseen()
        {
            behavior.observe_left(slot, left);
        }
    }
}

/// A shard in a snapshot. Entities are in the order of their numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ShardState {
    /// Fingerprints of the behaviors of each set in use.
    sets: Vec<Vec<u64>>,
    rows: Vec<Row>,
    /// The slots of the rows, one after the other.
    slots: Vec<Slot>,
    recent: Vec<Recent>,
    /// Slots of each set in use.
    lens: Vec<u32>,
    /// Words that each behavior of each set in use needs.
    widths: Vec<Vec<u32>>,
    words: SavedWords,
    alarms: Vec<((u32, u16), Alarm)>,
    waiting: Vec<Waiting>,
    lists: Vec<lists::Saved>,
    /// Up to when ends of windows have been told.
    told: Timestamp,
    blind: Blind,
    marks: Marks,
    counts: ShardCounts,
    /// What things have learnt together, the same in every shard.
    pools: Pools,
    news: Vec<(PeerKey, News)>,
    /// Entities other than things, by slice of this shard's and group.
    keyed: Vec<Vec<TableState>>,
}

/// A table in a snapshot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TableState {
    /// Kind of entity, [`behaviors::set::EntityKind::canonical`].
    kind: String,
    fingerprints: Vec<u64>,
    /// Names and presence, those seen longest ago first.
    rows: Vec<(Vec<u8>, Presence)>,
    slots: Vec<Slot>,
    recent: Vec<Recent>,
    /// Slots of a row.
    len: u32,
    /// Words that each behavior needs.
    widths: Vec<u32>,
    words: SavedWords,
    /// By place in `rows`.
    alarms: Vec<((u32, u16), Alarm)>,
    items: Vec<((u32, u16), Items)>,
}

impl TableState {
    pub(crate) fn of(table: &Table, group: &Group) -> Self {
        let mut state =
            Self { kind: group.kind.canonical(), fingerprints: fingerprints(&group.set), ..Self::default() };
        state.len = u32::try_from(group.set.slots()).unwrap_or(u32::MAX);
        state.widths = widths(&group.set);
        for number in table.in_order() {
            let Some(row) = table.rows.get(number as usize) else { continue };
            let place = u32::try_from(state.rows.len()).unwrap_or(u32::MAX);
            state.rows.push((row.key.clone(), row.presence));
            let (slots, recent) = table.slots.run(row.slots, group.set.slots());
            state.slots.extend_from_slice(slots);
            state.recent.extend_from_slice(recent);
            match table.words(number, group.set.words()) {
                // Never used yet.
                [] => state.words.0.resize(state.words.0.len() + group.set.words(), 0),
                words => state.words.0.extend_from_slice(words),
            }
            let own = (number, 0)..=(number, u16::MAX);
            let alarms = table.alarms.range(own.clone());
            state.alarms.extend(alarms.map(|(&(_, order), alarm)| ((place, order), alarm.clone())));
            let items = table.items.range(own);
            state.items.extend(items.map(|(&(_, order), items)| ((place, order), items.clone())));
        }
        state
    }
}

/// Puts saved entities into an empty table, in their order; what does not fit in is left out. State
/// of behaviors that the group does not have is dropped.
pub(crate) fn restore_table(state: &TableState, group: &Group, table: &mut Table, max: usize) {
    let mapping = mapping(&state.fingerprints, &group.set);
    let old_len = state.len as usize;
    let new_place = |order: u16| mapping.iter().position(|&from| from == Some(order));
    let place_of = |order: u16| new_place(order).and_then(|at| u16::try_from(at).ok());
    let mut numbers = Vec::with_capacity(state.rows.len());
    for (index, (key, presence)) in state.rows.iter().enumerate() {
        let hash = xxhash_rust::xxh3::xxh3_64(key);
        let number = match table.find(key, hash, max) {
            Place::Free => table.add(key, hash, group.set.slots()),
            // Of fewer places, the newest have them.
            Place::Takes(number) => {
                table.replace(number, key, hash, group.set.slots());
                number
            }
            Place::Known(_) => continue,
        };
        numbers.push(number);
        let Some(row) = table.rows.get_mut(number as usize) else { continue };
        row.presence = *presence;
        let run = index * old_len..(index + 1) * old_len;
        let saved = state.slots.get(run.clone()).zip(state.recent.get(run));
        if let Some(saved) = saved {
            copy(saved, table.slots.run_mut(row.slots, group.set.slots()), &mapping);
        }
        let total: usize = state.widths.iter().map(|&width| width as usize).sum();
        let from = u32::try_from(index * total).unwrap_or(u32::MAX);
        let own = table.words_mut(number, group.set.words());
        own.fill(0);
        // What does not fit together begins anew.
        if restore_words((&state.widths, &state.words.0, from), (&group.set, own), &mapping).is_err() {
            table.words_mut(number, group.set.words()).fill(0);
        }
    }
    for &((place, order), ref alarm) in &state.alarms {
        if let (Some(&number), Some(order)) = (numbers.get(place as usize), place_of(order)) {
            table.alarms.insert((number, order), alarm.clone());
        }
    }
    for ((place, order), items) in &state.items {
        if let (Some(&number), Some(order)) = (numbers.get(*place as usize), place_of(*order)) {
            table.items.insert((number, order), items.clone());
        }
    }
    for number in numbers {
        table.sort_in(number);
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    presence: Presence,
    principal: u32,
    set: u32,
    slots: u32,
    words: u32,
}

impl Shard {
    fn save_keyed(&self) -> Vec<Vec<TableState>> {
        let table = |(group, table): (&Group, &Table)| TableState::of(table, group);
        let slice = |slice: &Vec<Table>| self.compiled.groups().iter().zip(slice).map(table).collect();
        self.keyed.slices.iter().map(slice).collect()
    }

    fn restore_keyed(&mut self, index: usize, saved: &[ShardState]) {
        let Self { keyed, compiled, shards, .. } = self;
        for (local, slice) in keyed.slices.iter_mut().enumerate() {
            let number = local * *shards + index;
            if number >= SLICES as usize {
                break;
            }
            let of = number % saved.len().max(1);
            let tables = saved.get(of).and_then(|state| state.keyed.get(number / saved.len().max(1)));
            for (group, table) in compiled.groups().iter().zip(slice) {
                let kind = group.kind.canonical();
                let state = tables.and_then(|tables| tables.iter().find(|state| state.kind == kind));
                if let Some(state) = state {
                    restore_table(state, group, table, keyed.max);
                }
            }
        }
    }

    /// All state, for a snapshot.
    pub(crate) fn save(&self) -> ShardState {
        let ledger = &self.ledger;
        let (lists, told) = ledger.lists.save();
        let mut state = ShardState {
            alarms: ledger.alarms.iter().map(|(&key, alarm)| (key, alarm.clone())).collect(),
            waiting: sorted(&ledger.waiting),
            lists,
            told,
            blind: ledger.blind.clone(),
            marks: ledger.marks.clone(),
            keyed: self.save_keyed(),
            counts: ledger.counts,
            pools: Pools::clone(&ledger.pools),
            news: ledger.news.save(),
            ..ShardState::default()
        };
        let mut numbers: BTreeMap<SetId, u32> = BTreeMap::new();
        for entity in &self.entities {
            let set = self.compiled.set(entity.set);
            let number = *numbers.entry(entity.set).or_insert_with(|| {
                state.sets.push(fingerprints(set));
                state.lens.push(u32::try_from(set.slots()).unwrap_or(u32::MAX));
                state.widths.push(widths(set));
                u32::try_from(state.sets.len() - 1).unwrap_or(u32::MAX)
            });
            state.rows.push(Row {
                presence: entity.presence,
                principal: entity.principal,
                set: number,
                slots: u32::try_from(state.slots.len()).unwrap_or(u32::MAX),
                words: u32::try_from(state.words.0.len()).unwrap_or(u32::MAX),
            });
            state.words.0.extend_from_slice(self.arena.run(entity.words, set.words()));
            let (slots, recent) = self.slots.run(entity.slots, set.slots());
            state.slots.extend_from_slice(slots);
            state.recent.extend_from_slice(recent);
        }
        state
    }

    /// Shard `index` of `shards` from what any number of shards saved. `assigned` is the rules and the set of each thing.
    pub(crate) fn restore(
        (index, shards): (usize, usize),
        assigned: &Reassign,
        saved: &[ShardState],
    ) -> Result<Self, String> {
        let sets = &assigned.sets;
        let mut shard = Self::new(shards, Arc::clone(&assigned.compiled));
        shard.keyed = Keyed::new(shards, &shard.compiled, assigned.entities_max);
        shard.restore_keyed(index, saved);
        let mut mappings: BTreeMap<(usize, u32, SetId), Mapping> = BTreeMap::new();
        for number in (index..sets.len()).step_by(shards) {
            let of = number % saved.len().max(1);
            let state = saved.get(of).ok_or("no shard was saved")?;
            let row = state.rows.get(number / saved.len().max(1)).ok_or("an entity's state is missing")?;
            let id = *sets.get(number).ok_or("an entity has no behavior set")?;
            let set = shard.compiled.set(id);
            let old = state.sets.get(row.set as usize).ok_or("a behavior set is missing")?;
            let mapping = mappings.entry((of, row.set, id)).or_insert_with(|| mapping(old, set));
            let start = shard.slots.take(set.slots()).unwrap_or(u32::MAX);
            let from = row.slots as usize;
            let len = *state.lens.get(row.set as usize).ok_or("a behavior set is missing")? as usize;
            let run = state.slots.get(from..from + len).ok_or("slots are missing")?;
            let recent = state.recent.get(from..from + len).ok_or("datapoints are missing")?;
            copy((run, recent), shard.slots.run_mut(start, set.slots()), mapping);
            let widths = state.widths.get(row.set as usize).ok_or("a behavior set is missing")?;
            let words = shard.arena.take(set.words()).unwrap_or(u32::MAX);
            let own = shard.arena.run_mut(words, set.words());
            restore_words((widths, &state.words.0, row.words), (set, own), mapping)?;
            let number = u32::try_from(number).map_err(|error| error.to_string())?;
            let alarms = state.alarms_of(number);
            for (order, _) in (0_u16..).zip(mapping.iter()).filter(|(_, from)| from.is_some()) {
                let from = mapping.get(usize::from(order)).copied().flatten();
                if let Some(alarm) = from.and_then(|from| alarms.iter().find(|((_, own), _)| *own == from)) {
                    shard.ledger.alarms.insert((number, order), alarm.1.clone());
                }
            }
            for waiting in state.waiting_of(number) {
                let new = mapping.iter().position(|&from| from == Some(waiting.order));
                if let Some(order) = new.and_then(|new| u16::try_from(new).ok()) {
                    shard.ledger.waiting.push(Waiting { order, ..*waiting });
                }
            }
            for list in state.lists_of(number) {
                let new = mapping.iter().position(|&from| from == Some(list.order));
                if let Some(order) = new.and_then(|new| u16::try_from(new).ok()) {
                    shard.ledger.lists.restore(list, order);
                }
            }
            shard.entities.push(Entity {
                presence: row.presence,
                slots: start,
                words,
                set: id,
                principal: row.principal,
            });
        }
        if let Some(state) = saved.first() {
            shard.ledger.blind = state.blind.clone();
            shard.ledger.marks = state.marks.clone();
            shard.ledger.lists.restore_told(state.told);
            shard.ledger.pools = Arc::new(state.pools.clone());
            shard.keep_pools();
        }
        if index == 0 {
            for state in saved {
                shard.ledger.counts.add(state.counts);
            }
            let news = saved.iter().flat_map(|state| &state.news);
            shard.ledger.news = AllNews::restored(news, &shard.compiled);
        }
        Ok(shard)
    }
}

fn widths(set: &BehaviorSet) -> Vec<u32> {
    let orders = 0..u16::try_from(set.len()).unwrap_or(u16::MAX);
    orders.map(|order| u32::try_from(set.words_of(order).len()).unwrap_or(0)).collect()
}

/// Takes an entity's words of a snapshot, whose behaviors had `widths` and whose first word is at `from`.
fn restore_words(
    (widths, saved, from): (&[u32], &[u32], u32),
    (set, own): (&BehaviorSet, &mut [u32]),
    mapping: &Mapping,
) -> Result<(), String> {
    let total: usize = widths.iter().map(|&width| width as usize).sum();
    let from = from as usize;
    let saved = saved.get(from..from + total).ok_or("words are missing")?;
    for (order, source) in (0_u16..).zip(mapping) {
        let Some(source) = source.map(usize::from) else { continue };
        let before = widths.get(..source).ok_or("a behavior's words are missing")?;
        let start: usize = before.iter().map(|&width| width as usize).sum();
        let width = widths.get(source).copied().unwrap_or(0) as usize;
        let own = own.get_mut(set.words_of(order)).unwrap_or_default();
        if own.len() != width {
            return Err("a behavior has other words than it had".into());
        }
        own.copy_from_slice(saved.get(start..start + width).unwrap_or_default());
    }
    Ok(())
}

fn sorted(waiting: &[Waiting]) -> Vec<Waiting> {
    let mut waiting = waiting.to_vec();
    waiting.sort_by_key(|waiting| (waiting.entity, waiting.order, waiting.end));
    waiting
}

impl ShardState {
    fn lists_of(&self, entity: u32) -> &[lists::Saved] {
        let start = self.lists.partition_point(|own| own.entity < entity);
        let tail = self.lists.get(start..).unwrap_or_default();
        tail.get(..tail.partition_point(|own| own.entity == entity)).unwrap_or_default()
    }

    fn waiting_of(&self, entity: u32) -> &[Waiting] {
        let start = self.waiting.partition_point(|own| own.entity < entity);
        let tail = self.waiting.get(start..).unwrap_or_default();
        tail.get(..tail.partition_point(|own| own.entity == entity)).unwrap_or_default()
    }

    fn alarms_of(&self, entity: u32) -> &[((u32, u16), Alarm)] {
        let start = self.alarms.partition_point(|((own, _), _)| *own < entity);
        let tail = self.alarms.get(start..).unwrap_or_default();
        tail.get(..tail.partition_point(|((own, _), _)| *own == entity)).unwrap_or_default()
    }
}

/// Moves every entity into its new set, into fresh memory. `moved` is told of each entity's mapping.
pub(crate) fn move_all(
    entities: &mut [Entity],
    (slots, arena): (&mut Slots, &mut Arena),
    (old, new): (&Compiled, &Compiled),
    set_of: impl Fn(usize) -> Option<SetId>,
    mut moved: impl FnMut(usize, &Entity, SetId, &Mapping),
) {
    let (before, words_before) = (std::mem::take(slots), std::mem::take(arena));
    let mut mappings: BTreeMap<(SetId, SetId), Mapping> = BTreeMap::new();
    for (local, entity) in entities.iter_mut().enumerate() {
        let Some(id) = set_of(local) else { continue };
        let (old_set, new_set) = (old.set(entity.set), new.set(id));
        let mapping =
            mappings.entry((entity.set, id)).or_insert_with(|| mapping(&fingerprints(old_set), new_set));
        let start = slots.take(new_set.slots()).unwrap_or(u32::MAX);
        let (run, recent) = slots.run_mut(start, new_set.slots());
        copy(before.run(entity.slots, old_set.slots()), (&mut *run, recent), mapping);
        let words = arena.take(new_set.words()).unwrap_or(u32::MAX);
        let own = arena.run_mut(words, new_set.words());
        copy_words((old_set, words_before.run(entity.words, old_set.words())), (new_set, &mut *own), mapping);
        tell_away(new_set, (run, own), &entity.presence);
        entity.words = words;
        moved(local, entity, entity.set, mapping);
        entity.slots = start;
        entity.set = id;
    }
}
