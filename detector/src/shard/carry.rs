//! State that survives a change of an entity's behavior set, or a restart.

use std::{collections::BTreeMap, sync::Arc};

use behaviors::{
    recent::Recent,
    set::{Aggregate, BehaviorSet, Compiled, SetId},
    slot::Slot,
};
use serde::{Deserialize, Serialize};

use super::{
    Entity, Shard,
    blind::Blind,
    marks::Marks,
    presence::Presence,
    slots::Slots,
    step::{Alarm, ShardCounts, Waiting},
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

/// Lets behaviors that are new to an entity that is away know that it is.
pub(crate) fn tell_away(set: &BehaviorSet, run: &mut [Slot], presence: &Presence) {
    let Some(left) = presence.left_at() else { return };
    for (behavior, slot) in set.behaviors().iter().zip(run) {
        if behavior.aggregate == Aggregate::Away && slot.is_unseen() {
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
    alarms: Vec<((u32, u16), Alarm)>,
    waiting: Vec<Waiting>,
    blind: Blind,
    marks: Marks,
    counts: ShardCounts,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    presence: Presence,
    principal: u32,
    address: bool,
    set: u32,
    slots: u32,
}

impl Shard {
    /// All state, for a snapshot.
    pub(crate) fn save(&self) -> ShardState {
        let mut state = ShardState {
            alarms: self.alarms.iter().map(|(&key, &alarm)| (key, alarm)).collect(),
            waiting: sorted(&self.waiting),
            blind: self.blind.clone(),
            marks: self.marks.clone(),
            counts: self.counts,
            ..ShardState::default()
        };
        let mut numbers: BTreeMap<SetId, u32> = BTreeMap::new();
        for entity in &self.entities {
            let set = self.compiled.set(entity.set);
            let number = *numbers.entry(entity.set).or_insert_with(|| {
                state.sets.push(fingerprints(set));
                u32::try_from(state.sets.len() - 1).unwrap_or(u32::MAX)
            });
            state.rows.push(Row {
                presence: entity.presence,
                principal: entity.principal,
                address: entity.address,
                set: number,
                slots: u32::try_from(state.slots.len()).unwrap_or(u32::MAX),
            });
            let (slots, recent) = self.slots.run(entity.slots, set.len());
            state.slots.extend_from_slice(slots);
            state.recent.extend_from_slice(recent);
        }
        state
    }

    /// Shard `index` of `shards` from what any number of shards saved. `sets` is the set of each entity.
    pub(crate) fn restore(
        (index, shards): (usize, usize),
        compiled: Arc<Compiled>,
        sets: &[SetId],
        saved: &[ShardState],
    ) -> Result<Self, String> {
        let mut shard = Self::new(shards, compiled);
        let mut mappings: BTreeMap<(usize, u32, SetId), Mapping> = BTreeMap::new();
        for number in (index..sets.len()).step_by(shards) {
            let of = number % saved.len().max(1);
            let state = saved.get(of).ok_or("no shard was saved")?;
            let row = state.rows.get(number / saved.len().max(1)).ok_or("an entity's state is missing")?;
            let id = *sets.get(number).ok_or("an entity has no behavior set")?;
            let set = shard.compiled.set(id);
            let old = state.sets.get(row.set as usize).ok_or("a behavior set is missing")?;
            let mapping = mappings.entry((of, row.set, id)).or_insert_with(|| mapping(old, set));
            let start = shard.slots.take(set.len()).unwrap_or(u32::MAX);
            let from = row.slots as usize;
            let run = state.slots.get(from..from + old.len()).ok_or("slots are missing")?;
            let recent = state.recent.get(from..from + old.len()).ok_or("datapoints are missing")?;
            copy((run, recent), shard.slots.run_mut(start, set.len()), mapping);
            let number = u32::try_from(number).map_err(|error| error.to_string())?;
            let alarms = state.alarms_of(number);
            for (order, _) in (0_u16..).zip(mapping.iter()).filter(|(_, from)| from.is_some()) {
                let from = mapping.get(usize::from(order)).copied().flatten();
                if let Some(alarm) = from.and_then(|from| alarms.iter().find(|((_, own), _)| *own == from)) {
                    shard.alarms.insert((number, order), alarm.1);
                }
            }
            for waiting in state.waiting_of(number) {
                let new = mapping.iter().position(|&from| from == Some(waiting.order));
                if let Some(order) = new.and_then(|new| u16::try_from(new).ok()) {
                    shard.waiting.push(Waiting { order, ..*waiting });
                }
            }
            shard.entities.push(Entity {
                presence: row.presence,
                slots: start,
                set: id,
                principal: row.principal,
                address: row.address,
            });
        }
        if let Some(state) = saved.first() {
            shard.blind = state.blind.clone();
            shard.marks = state.marks.clone();
        }
        if index == 0 {
            for state in saved {
                shard.counts.add(state.counts);
            }
        }
        Ok(shard)
    }
}

fn sorted(waiting: &[Waiting]) -> Vec<Waiting> {
    let mut waiting = waiting.to_vec();
    waiting.sort_by_key(|waiting| (waiting.entity, waiting.order, waiting.end));
    waiting
}

impl ShardState {
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
    slots: &mut Slots,
    (old, new): (&Compiled, &Compiled),
    set_of: impl Fn(usize) -> Option<SetId>,
    mut moved: impl FnMut(usize, &Entity, SetId, &Mapping),
) {
    let before = std::mem::take(slots);
    let mut mappings: BTreeMap<(SetId, SetId), Mapping> = BTreeMap::new();
    for (local, entity) in entities.iter_mut().enumerate() {
        let Some(id) = set_of(local) else { continue };
        let (old_set, new_set) = (old.set(entity.set), new.set(id));
        let mapping =
            mappings.entry((entity.set, id)).or_insert_with(|| mapping(&fingerprints(old_set), new_set));
        let start = slots.take(new_set.len()).unwrap_or(u32::MAX);
        let (run, recent) = slots.run_mut(start, new_set.len());
        copy(before.run(entity.slots, old_set.len()), (&mut *run, recent), mapping);
        tell_away(new_set, run, &entity.presence);
        moved(local, entity, entity.set, mapping);
        entity.slots = start;
        entity.set = id;
    }
}
