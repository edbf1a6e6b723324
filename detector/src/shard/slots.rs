//! The slots of all entities of a shard, one entity's after the other, and beside each the last
//! datapoints of its behavior.

use std::collections::BTreeMap;

use behaviors::{recent::Recent, slot::Slot};

/// Runs of slots. A run that is given back is used again for the next one of its length.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    all: Vec<Slot>,
    /// Apart from the slots, because most observations decide nothing and do not need it.
    recent: Vec<Recent>,
    free: BTreeMap<usize, Vec<u32>>,
}

/// From here on a list grows by smaller steps.
const LARGE: usize = 1 << 20;

/// Room is made for an eighth more at a time, of a large list for a thirty-second: to double it would
/// leave half of it unused just after.
pub(crate) fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        let part = if list.len() < LARGE { 8 } else { 32 };
        list.reserve_exact(more.max(list.len() / part));
    }
}

impl Slots {
    /// A run of `len` unused slots; its first one's place. Nothing if 2^32 slots are taken.
    pub(crate) fn take(&mut self, len: usize) -> Option<u32> {
        if len == 0 {
            return Some(0);
        }
        if let Some(start) = self.free.get_mut(&len).and_then(Vec::pop) {
            let (slots, recent) = self.run_mut(start, len);
            slots.fill(Slot::default());
            recent.fill(Recent::default());
            return Some(start);
        }
        let start = u32::try_from(self.all.len()).ok()?;
        reserve(&mut self.all, len);
        reserve(&mut self.recent, len);
        self.all.resize(self.all.len() + len, Slot::default());
        self.recent.resize(self.all.len(), Recent::default());
        Some(start)
    }

    /// Gives a run back.
    pub(crate) fn give_back(&mut self, start: u32, len: usize) {
        if len > 0 {
            self.free.entry(len).or_default().push(start);
        }
    }

    #[inline]
    pub(crate) fn run(&self, start: u32, len: usize) -> (&[Slot], &[Recent]) {
        let range = start as usize..start as usize + len;
        let recent = self.recent.get(range.clone()).unwrap_or_default();
        (self.all.get(range).unwrap_or_default(), recent)
    }

    #[inline]
    pub(crate) fn run_mut(&mut self, start: u32, len: usize) -> (&mut [Slot], &mut [Recent]) {
        let range = start as usize..start as usize + len;
        let recent = self.recent.get_mut(range.clone()).unwrap_or_default();
        (self.all.get_mut(range).unwrap_or_default(), recent)
    }

    /// Whether the slot `order` of the run is in alarm. Reads one word of it.
    #[inline]
    pub(crate) fn is_in_alarm(&self, start: u32, order: u16) -> bool {
        self.all.get(start as usize + usize::from(order)).is_some_and(Slot::in_alarm)
    }

    pub(crate) fn memory(&self) -> usize {
        let free: usize = self.free.values().map(|starts| starts.capacity() * 4).sum();
        self.all.capacity() * size_of::<Slot>() + self.recent.capacity() * size_of::<Recent>() + free
    }
}
