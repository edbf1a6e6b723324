//! Names interned to dense numbers, each stored once.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What kind of name the first byte says it is.
pub(crate) mod tags {
    /// A thing.
    pub(crate) const THING: u8 = 0;
    /// An IPv4 address, four bytes.
    pub(crate) const V4: u8 = 4;
    /// An IPv6 address, sixteen bytes.
    pub(crate) const V6: u8 = 6;
    /// A network: length of the prefix, then an IPv4 address.
    pub(crate) const NET4: u8 = 7;
    /// A network: length of the prefix, then an IPv6 address.
    pub(crate) const NET6: u8 = 8;
    /// User name or certificate identity.
    pub(crate) const PRINCIPAL: u8 = 9;
    /// A topic.
    pub(crate) const TOPIC: u8 = 10;
    /// A thing group.
    pub(crate) const GROUP: u8 = 11;
    /// All things.
    pub(crate) const FLEET: u8 = 12;
    /// A client id that was claimed.
    pub(crate) const CLAIMED: u8 = 13;
}

/// Bytes of names that are gone, at which the others are moved together.
const GARBAGE_MAX: usize = 1 << 20;

/// Byte strings in one piece of memory. Never more than 4 GiB.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NameList {
    #[serde(with = "crate::blob")]
    bytes: Vec<u8>,
    /// Where each begins, and its length. INVARIANT: inside of `bytes`.
    places: Vec<(u32, u32)>,
    /// Bytes that no name has any more.
    garbage: u64,
}

impl NameList {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether the invariant holds, which a list read from a file does not promise.
    pub(crate) fn is_sound(&self) -> bool {
        let inside = |&(start, len): &(u32, u32)| start as usize + len as usize <= self.bytes.len();
        self.places.iter().all(inside) && u32::try_from(self.places.len()).is_ok()
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
        self.places.get(index as usize).copied()
    }

    fn write(&mut self, [head, tail]: [&[u8]; 2]) -> Option<(u32, u32)> {
        let start = u32::try_from(self.bytes.len()).ok()?;
        let len = u32::try_from(head.len() + tail.len()).ok()?;
        start.checked_add(len)?;
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(tail);
        Some((start, len))
    }

    /// Adds a name if there is room.
    pub(crate) fn push(&mut self, parts: [&[u8]; 2]) -> Option<u32> {
        let index = u32::try_from(self.places.len()).ok().filter(|&index| index != u32::MAX)?;
        let place = self.write(parts)?;
        self.places.push(place);
        Some(index)
    }

    /// Puts a name in the place of another, or after the last. True if names have moved.
    pub(crate) fn set(&mut self, index: u32, parts: [&[u8]; 2]) -> bool {
        if index as usize >= self.places.len() {
            debug_assert_eq!(index as usize, self.places.len(), "names are added in order");
            self.push(parts);
            return false;
        }
        let Some(place) = self.write(parts) else { return false };
        if let Some(own) = self.places.get_mut(index as usize) {
            self.garbage += u64::from(own.1);
            *own = place;
        }
        let garbage = usize::try_from(self.garbage).unwrap_or(usize::MAX);
        let compact = garbage > GARBAGE_MAX && garbage > self.bytes.len() / 2;
        if compact {
            self.compact();
        }
        compact
    }

    fn compact(&mut self) {
        let live = self.bytes.len() - usize::try_from(self.garbage).unwrap_or(0);
        let old = std::mem::replace(&mut self.bytes, Vec::with_capacity(live));
        for (start, len) in &mut self.places {
            let name = old.get(*start as usize..*start as usize + *len as usize).unwrap_or_default();
            *start = u32::try_from(self.bytes.len()).unwrap_or(0);
            self.bytes.extend_from_slice(name);
        }
        self.garbage = 0;
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
        self.garbage = 0;
    }

    pub(crate) fn append(&mut self, other: &Self) {
        for index in 0..other.len() {
            let name = u32::try_from(index).ok().and_then(|index| other.get(index));
            let added = self.push([name.unwrap_or_default(), &[]]);
            debug_assert!(added.is_some(), "the list that is copied had room");
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<(u32, u32)>()
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

    /// Puts a name that [`Interner::find`] did not find in the place of another.
    pub(crate) fn replace(&mut self, index: u32, tag: u8, text: &[u8], NotFound(hash): NotFound) {
        let old = xxh3_64_tagged(self.names.get(index).unwrap_or_default());
        if let Ok(entry) = self.table.find_entry(old, |entry| entry.index == index) {
            entry.remove();
        }
        if self.names.set(index, [&[tag], text]) {
            let names = &self.names;
            for entry in &mut self.table {
                entry.start = names.place(entry.index).map_or(0, |(start, _)| start);
            }
        }
        self.enter(hash, index);
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
        let list = |bytes: &[u8], places: &[(u32, u32)]| NameList {
            bytes: bytes.to_vec(),
            places: places.to_vec(),
            garbage: 0,
        };
        assert!(list(b"", &[]).is_sound() && list(b"abc", &[(0, 1), (1, 2), (3, 0)]).is_sound());
        assert!(!list(b"abc", &[(0, 4)]).is_sound() && !list(b"abc", &[(3, 1)]).is_sound());
        assert!(!list(b"abc", &[(u32::MAX, 1)]).is_sound(), "far away");
    }

    #[test]
    fn names_that_take_turns_need_no_more_memory() {
        let mut interner = Interner::default();
        let text = |n: u32| format!("a thing with a long name, number {n}");
        for n in 0..100 {
            let missing = interner.find(0, text(n).as_bytes()).unwrap_err();
            interner.add(0, text(n).as_bytes(), missing);
        }
        for n in 100..200_000 {
            let missing = interner.find(0, text(n).as_bytes()).unwrap_err();
            interner.replace(n % 100, 0, text(n).as_bytes(), missing);
        }
        assert_eq!(interner.len(), 100);
        assert!(interner.memory() < 8 << 20, "{}", interner.memory());
        for n in 199_900..200_000 {
            assert_eq!(interner.find(0, text(n).as_bytes()).ok(), Some(n % 100));
        }
        assert!(interner.find(0, text(5).as_bytes()).is_err());
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
