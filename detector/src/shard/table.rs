//! Entities of one kind other than things, in one slice: found by name, bounded, the one seen longest
//! ago goes first.

use std::collections::BTreeMap;

use behaviors::{distinct::Distinct, recent::Recent, slot::Slot};
use fleet::time::Timestamp;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{presence::Presence, slots::Slots, step::Alarms};
use crate::front::NONE;

/// An entity.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its name, with the tag that says what kind it is.
    pub(crate) key: Vec<u8>,
    pub(crate) presence: Presence,
    pub(crate) slots: u32,
    /// The one that was seen next after it, and the one before, of those in the same list.
    newer: u32,
    older: u32,
    /// In the list of those in alarm.
    alarmed: bool,
}

/// The ends of a list of rows.
#[derive(Clone, Copy, Debug)]
struct Ends {
    newest: u32,
    oldest: u32,
}

/// How many different items one behavior has seen in a window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Items {
    window: i64,
    distinct: Distinct,
}

impl Items {
    /// Adds an item that was seen at `at`. The new count, unless the item is late.
    pub(crate) fn add(&mut self, at: Timestamp, secs: u32, item: u64) -> Option<f64> {
        let window = at.window_start(secs).millis();
        if window < self.window {
            return None;
        }
        if window > self.window {
            self.window = window;
            self.distinct.clear();
        }
        self.distinct.add(item);
        Some(self.distinct.count() as f64)
    }

    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.distinct.memory()
    }
}

/// The entities of a kind in a slice.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    index: HashTable<u32>,
    calm: Ends,
    alarmed: Ends,
    pub(crate) slots: Slots,
    pub(crate) alarms: Alarms,
    pub(crate) items: BTreeMap<(u32, u16), Items>,
    /// Words of learned judgements, a row's after the other's.
    words: Vec<u32>,
}

/// Where an entity is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is there.
    Known(u32),
    /// There is room for it.
    Free,
    /// It takes the place of this one.
    Takes(u32),
}

/// What a step works on.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) row: &'a Row,
    pub(crate) run: &'a mut [Slot],
    pub(crate) recent: &'a mut [Recent],
    pub(crate) alarms: &'a mut Alarms,
    pub(crate) items: &'a mut BTreeMap<(u32, u16), Items>,
    pub(crate) words: &'a mut [u32],
}

fn words_mut(words: &mut Vec<u32>, number: u32, width: usize) -> &mut [u32] {
    let start = number as usize * width;
    if words.len() < start + width {
        words.resize(start + width, 0);
    }
    words.get_mut(start..start + width).unwrap_or_default()
}

impl Default for Table {
    fn default() -> Self {
        let none = Ends { newest: NONE, oldest: NONE };
        Self {
            rows: Vec::new(),
            index: HashTable::new(),
            calm: none,
            alarmed: none,
            slots: Slots::default(),
            alarms: Alarms::new(),
            items: BTreeMap::new(),
            words: Vec::new(),
        }
    }
}

impl Table {
    /// Looks for an entity among at most `max`. Those in alarm make room only if there is no other.
    pub(crate) fn find(&self, key: &[u8], hash: u64, max: usize) -> Place {
        let same = |&row: &u32| self.rows.get(row as usize).is_some_and(|row| row.key == key);
        if let Some(&row) = self.index.find(hash, same) {
            return Place::Known(row);
        }
        if self.rows.len() < max.max(1) {
            return Place::Free;
        }
        Place::Takes(if self.calm.oldest == NONE { self.alarmed.oldest } else { self.calm.oldest })
    }

    /// Adds an entity with `len` slots behind all others; its number.
    pub(crate) fn add(&mut self, key: &[u8], hash: u64, len: usize) -> u32 {
        let number = u32::try_from(self.rows.len()).unwrap_or(NONE);
        let slots = self.slots.take(len).unwrap_or(NONE);
        let presence = Presence::default();
        let (newer, older) = (NONE, NONE);
        self.rows.push(Row { key: key.to_vec(), presence, slots, newer, older, alarmed: false });
        self.enter(number, hash);
        number
    }

    /// Gives the place of an entity to another. The caller has ended its violations.
    pub(crate) fn replace(&mut self, number: u32, key: &[u8], hash: u64, len: usize) {
        self.unlink(number);
        let Some(row) = self.rows.get_mut(number as usize) else { return };
        if let Ok(entry) = self.index.find_entry(xxh3_64(&row.key), |&own| own == number) {
            entry.remove();
        }
        row.key.clear();
        row.key.extend_from_slice(key);
        row.presence = Presence::default();
        row.alarmed = false;
        let (slots, recent) = self.slots.run_mut(row.slots, len);
        slots.fill(behaviors::slot::Slot::default());
        recent.fill(behaviors::recent::Recent::default());
        while let Some((&place, _)) = self.items.range((number, 0)..=(number, u16::MAX)).next() {
            self.items.remove(&place);
        }
        self.enter(number, hash);
    }

    /// The words of a row, of which each has `width`.
    pub(crate) fn words(&self, number: u32, width: usize) -> &[u32] {
        let start = number as usize * width;
        self.words.get(start..start + width).unwrap_or_default()
    }

    /// The same, to be written; there are enough of them then.
    pub(crate) fn words_mut(&mut self, number: u32, width: usize) -> &mut [u32] {
        words_mut(&mut self.words, number, width)
    }

    /// All parts that a step works on, of the row `number` and with so many slots and words.
    pub(crate) fn parts(&mut self, number: u32, len: usize, width: usize) -> Option<Parts<'_>> {
        let Self { rows, slots, alarms, items, words, .. } = self;
        let row = rows.get(number as usize)?;
        let (run, recent) = slots.run_mut(row.slots, len);
        Some(Parts { row, run, recent, alarms, items, words: words_mut(words, number, width) })
    }

    fn enter(&mut self, number: u32, hash: u64) {
        let rows = &self.rows;
        let rehash = |&own: &u32| rows.get(own as usize).map_or(0, |row| xxh3_64(&row.key));
        self.index.insert_unique(hash, number, rehash);
        self.link(number);
    }

    /// The entity was seen: it is the newest of its list.
    pub(crate) fn seen(&mut self, number: u32) {
        if self.ends_of(number).newest != number {
            self.unlink(number);
            self.link(number);
        }
    }

    /// Puts the entity into the list that fits it, after its alarms have changed.
    pub(crate) fn sort_in(&mut self, number: u32) {
        let alarmed = self.alarms.range((number, 0)..=(number, u16::MAX)).next().is_some();
        let Some(row) = self.rows.get(number as usize) else { return };
        if row.alarmed != alarmed {
            self.unlink(number);
            if let Some(row) = self.rows.get_mut(number as usize) {
                row.alarmed = alarmed;
            }
            self.link(number);
        }
    }

    fn ends_of(&self, number: u32) -> Ends {
        let alarmed = self.rows.get(number as usize).is_some_and(|row| row.alarmed);
        if alarmed { self.alarmed } else { self.calm }
    }

    fn ends_mut(&mut self, number: u32) -> &mut Ends {
        let alarmed = self.rows.get(number as usize).is_some_and(|row| row.alarmed);
        if alarmed { &mut self.alarmed } else { &mut self.calm }
    }

    fn link(&mut self, number: u32) {
        let ends = self.ends_mut(number);
        let before = std::mem::replace(&mut ends.newest, number);
        if ends.oldest == NONE {
            ends.oldest = number;
        }
        if let Some(row) = self.rows.get_mut(before as usize) {
            row.newer = number;
        }
        if let Some(row) = self.rows.get_mut(number as usize) {
            (row.older, row.newer) = (before, NONE);
        }
    }

    fn unlink(&mut self, number: u32) {
        let Some(&Row { newer, older, .. }) = self.rows.get(number as usize) else { return };
        let ends = self.ends_mut(number);
        if ends.newest == number {
            ends.newest = older;
        }
        if ends.oldest == number {
            ends.oldest = newer;
        }
        if let Some(row) = self.rows.get_mut(older as usize) {
            row.newer = newer;
        }
        if let Some(row) = self.rows.get_mut(newer as usize) {
            row.older = older;
        }
    }

    /// The entities, those seen longest ago first, and those in alarm after the others: as they go.
    pub(crate) fn in_order(&self) -> Vec<u32> {
        let mut all = Vec::with_capacity(self.rows.len());
        for ends in [self.calm, self.alarmed] {
            let mut at = ends.oldest;
            while let Some(row) = self.rows.get(at as usize) {
                all.push(at);
                at = row.newer;
            }
        }
        all
    }

    pub(crate) fn memory(&self) -> usize {
        let keys: usize = self.rows.iter().map(|row| row.key.capacity()).sum();
        let items: usize = self.items.values().map(Items::memory).sum();
        self.rows.capacity() * size_of::<Row>()
            + keys
            + self.index.capacity() * 8
            + self.slots.memory()
            + self.words.capacity() * 4
            + items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(table: &Table, key: &str, max: usize) -> Place {
        table.find(key.as_bytes(), xxh3_64(key.as_bytes()), max)
    }

    fn take(table: &mut Table, key: &str, max: usize) -> u32 {
        let hash = xxh3_64(key.as_bytes());
        match place(table, key, max) {
            Place::Known(row) => {
                table.seen(row);
                row
            }
            Place::Free => table.add(key.as_bytes(), hash, 1),
            Place::Takes(row) => {
                table.replace(row, key.as_bytes(), hash, 1);
                row
            }
        }
    }

    fn order(table: &Table) -> String {
        let name = |row: u32| String::from_utf8(table.rows[row as usize].key.clone()).unwrap();
        table.in_order().into_iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_one_seen_longest_ago_makes_room_and_those_in_alarm_last() {
        let mut table = Table::default();
        for key in ["a", "b", "c"] {
            take(&mut table, key, 3);
        }
        assert_eq!(order(&table), "a b c");
        take(&mut table, "a", 3);
        assert_eq!(order(&table), "b c a");
        take(&mut table, "d", 3);
        assert_eq!(order(&table), "c a d");
        let alarm = crate::shard::step::Alarm { seq: 1, nth: 0, started: Timestamp::MIN, latest: None };
        let Place::Known(c) = place(&table, "c", 3) else { panic!() };
        table.alarms.insert((c, 0), alarm.clone());
        table.sort_in(c);
        assert_eq!(order(&table), "a d c");
        take(&mut table, "e", 3);
        take(&mut table, "f", 3);
        assert_eq!(order(&table), "e f c");
        for key in ["e", "f"] {
            let Place::Known(row) = place(&table, key, 3) else { panic!() };
            table.alarms.insert((row, 0), alarm.clone());
            table.sort_in(row);
        }
        assert_eq!(place(&table, "g", 3), Place::Takes(c), "all are in alarm");
        table.alarms.remove(&(c, 0));
        table.sort_in(c);
        assert_eq!(order(&table), "c e f");
        for n in 0..1_000 {
            take(&mut table, &format!("n{n}"), 3);
            assert_eq!(table.rows.len(), 3);
        }
        assert_eq!(order(&table), "n999 e f");
    }

    #[test]
    fn items_are_counted_anew_in_each_window() {
        let mut items = Items::default();
        let at = Timestamp::from_secs;
        assert_eq!(items.add(at(10), 60, 1), Some(1.0));
        assert_eq!(items.add(at(11), 60, 2), Some(2.0));
        assert_eq!(items.add(at(12), 60, 1), Some(2.0));
        assert_eq!(items.add(at(60), 60, 1), Some(1.0));
        assert_eq!(items.add(at(59), 60, 3), None, "late");
    }
}
