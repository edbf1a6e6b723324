//! The slots of all entities of a shard, one entity's after the other.

use std::collections::BTreeMap;

use behaviors::slot::Slot;

/// Runs of slots. A run that is given back is used again for the next one of its length.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    all: Vec<Slot>,
    free: BTreeMap<usize, Vec<u32>>,
}

impl Slots {
    /// A run of `len` unused slots; its first one's place. Nothing if 2^32 slots are taken.
    pub(crate) fn take(&mut self, len: usize) -> Option<u32> {
        if len == 0 {
            return Some(0);
        }
        if let Some(start) = self.free.get_mut(&len).and_then(Vec::pop) {
            self.run_mut(start, len).fill(Slot::default());
            return Some(start);
        }
        let start = u32::try_from(self.all.len()).ok()?;
        self.all.resize(self.all.len() + len, Slot::default());
        Some(start)
    }

    /// Gives a run back.
    pub(crate) fn give_back(&mut self, start: u32, len: usize) {
        if len > 0 {
            self.free.entry(len).or_default().push(start);
        }
    }

    #[inline]
    pub(crate) fn run(&self, start: u32, len: usize) -> &[Slot] {
        let start = start as usize;
        self.all.get(start..start + len).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn run_mut(&mut self, start: u32, len: usize) -> &mut [Slot] {
        let start = start as usize;
        self.all.get_mut(start..start + len).unwrap_or_default()
    }

    /// Whether the slot `order` of the run is in alarm. Reads one word of it.
    #[inline]
    pub(crate) fn is_in_alarm(&self, start: u32, order: u16) -> bool {
        self.all.get(start as usize + usize::from(order)).is_some_and(Slot::in_alarm)
    }

    pub(crate) fn memory(&self) -> usize {
        let free: usize = self.free.values().map(|starts| starts.capacity() * 4).sum();
        self.all.capacity() * size_of::<Slot>() + free
    }
}
