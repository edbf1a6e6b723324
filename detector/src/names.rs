//! Names interned to dense numbers, each stored once.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Byte strings one after the other. Never more than 4 GiB.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NameList {
    #[serde(with = "crate::blob")]
    bytes: Vec<u8>,
    /// INVARIANT: rising, the last one is the length of `bytes`.
    ends: Vec<u32>,
}

impl NameList {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the invariant holds, which a list read from a file does not promise.
    pub(crate) fn is_sound(&self) -> bool {
        let last = self.ends.last().map_or(0, |&end| end as usize);
        self.ends.is_sorted() && last == self.bytes.len() && u32::try_from(self.ends.len()).is_ok()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&[u8]> {
        let (start, len) = self.place(index)?;
        self.bytes.get(start as usize..start as usize + len as usize)
    }

    #[inline]
    fn at(&self, entry: Entry) -> Option<&[u8]> {
        self.bytes.get(entry.start as usize..entry.start as usize + entry.len as usize)
    }

    /// Where a name begins, and its length.
    fn place(&self, index: u32) -> Option<(u32, u32)> {
        let index = index as usize;
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        Some((start, end - start))
    }

    /// Adds a name if there is room.
    pub(crate) fn push(&mut self, parts: [&[u8]; 2]) -> Option<u32> {
        let [head, tail] = parts;
        let index = u32::try_from(self.ends.len()).ok().filter(|&index| index != u32::MAX)?;
        let end = u32::try_from(self.bytes.len() + head.len() + tail.len()).ok()?;
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(tail);
        self.ends.push(end);
        Some(index)
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn append(&mut self, other: &Self) {
        for index in 0..other.len() {
            let name = u32::try_from(index).ok().and_then(|index| other.get(index));
            let added = self.push([name.unwrap_or_default(), &[]]);
            debug_assert!(added.is_some(), "the list that is copied had room");
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 4
    }
}

/// Names and their numbers, in order of first appearance.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    names: NameList,
    table: HashTable<Entry>,
}

/// A name in the table, with its place, so that a look-up need not ask the list for it: at a
/// hundred thousand names each such step is a miss of the cache.
#[derive(Clone, Copy, Debug)]
struct Entry {
    index: u32,
    start: u32,
    len: u32,
}

impl Interner {
    pub(crate) fn from_names(names: NameList) -> Self {
        let mut interner = Self { table: HashTable::with_capacity(names.len()), names };
        for index in 0..interner.names.len() {
            let Ok(index) = u32::try_from(index) else { break };
            let hash = xxh3_64_tagged(interner.names.get(index).unwrap_or_default());
            interner.enter(hash, index);
        }
        interner
    }

    pub(crate) fn names(&self) -> &NameList {
        &self.names
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of the name made of `tag` and `text`.
    #[inline]
    pub(crate) fn find(&self, tag: u8, text: &[u8]) -> Result<u32, NotFound> {
        let hash = hash(tag, text);
        let names = &self.names;
        let same = |entry: &Entry| {
            entry.len as usize == text.len() + 1
                && names
                    .at(*entry)
                    .and_then(<[u8]>::split_first)
                    .is_some_and(|(&own, rest)| own == tag && rest == text)
        };
        self.table.find(hash, same).map(|entry| entry.index).ok_or(NotFound(hash))
    }

    /// Adds a name that [`Interner::find`] did not find. Nothing if there is no room.
    pub(crate) fn add(&mut self, tag: u8, text: &[u8], NotFound(hash): NotFound) -> Option<u32> {
        let index = self.names.push([&[tag], text])?;
        self.enter(hash, index);
        Some(index)
    }

    fn enter(&mut self, hash: u64, index: u32) {
        let names = &self.names;
        let (start, len) = names.place(index).unwrap_or((0, 0));
        let rehash = |entry: &Entry| xxh3_64_tagged(names.at(*entry).unwrap_or_default());
        self.table.insert_unique(hash, Entry { index, start, len }, rehash);
    }

    pub(crate) fn memory(&self) -> usize {
        // hashbrown: one control byte beside each bucket.
        self.names.memory() + self.table.capacity() * 8 / 7 * (size_of::<Entry>() + 1)
    }
}

/// The hash of a name that is not interned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotFound(u64);

fn hash(tag: u8, text: &[u8]) -> u64 {
    xxh3_64(text) ^ u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn xxh3_64_tagged(name: &[u8]) -> u64 {
    name.split_first().map_or(0, |(&tag, text)| hash(tag, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_does_not_fit_its_texts_is_known() {
        let list = |bytes: &[u8], ends: &[u32]| NameList { bytes: bytes.to_vec(), ends: ends.to_vec() };
        assert!(list(b"", &[]).is_sound() && list(b"abc", &[1, 1, 3]).is_sound());
        assert!(!list(b"abc", &[2, 1, 3]).is_sound(), "falling");
        assert!(!list(b"abc", &[1, 2]).is_sound() && !list(b"abc", &[4]).is_sound(), "another length");
    }

    #[test]
    fn names_are_found_again_after_growth_and_after_a_copy() {
        let mut interner = Interner::default();
        for number in 0..5_000_u32 {
            let text = format!("thing-{number}");
            let missing = interner.find(0, text.as_bytes()).unwrap_err();
            assert_eq!(interner.add(0, text.as_bytes(), missing), Some(number));
        }
        let copy = Interner::from_names(interner.names().clone());
        for number in 0..5_000_u32 {
            let text = format!("thing-{number}");
            assert_eq!(interner.find(0, text.as_bytes()).ok(), Some(number));
            assert_eq!(copy.find(0, text.as_bytes()).ok(), Some(number));
            assert!(copy.find(4, text.as_bytes()).is_err(), "the tag belongs to the name");
        }
    }
}
