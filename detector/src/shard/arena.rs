//! Words of state for learned judgements, one entity's after the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::slots::reserve;

/// Runs of words beside the slots. Entities whose behaviors learn nothing have runs of none.
/// A run that is given back is used again for the next one of its length.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    all: Vec<u32>,
    free: BTreeMap<usize, Vec<u32>>,
}

impl Arena {
    /// A run of `len` zeros; its first one's place. Nothing if 2^32 words are taken.
    pub(crate) fn take(&mut self, len: usize) -> Option<u32> {
        if len == 0 {
            return Some(0);
        }
        if let Some(start) = self.free.get_mut(&len).and_then(Vec::pop) {
            self.run_mut(start, len).fill(0);
            return Some(start);
        }
        let start = u32::try_from(self.all.len()).ok()?;
        reserve(&mut self.all, len);
        self.all.resize(self.all.len() + len, 0);
        Some(start)
    }

    /// Gives a run back.
    pub(crate) fn give_back(&mut self, start: u32, len: usize) {
        if len > 0 {
            self.free.entry(len).or_default().push(start);
        }
    }

    #[inline]
    pub(crate) fn run(&self, start: u32, len: usize) -> &[u32] {
        self.all.get(start as usize..start as usize + len).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn run_mut(&mut self, start: u32, len: usize) -> &mut [u32] {
        self.all.get_mut(start as usize..start as usize + len).unwrap_or_default()
    }

    pub(crate) fn memory(&self) -> usize {
        let free: usize = self.free.values().map(|starts| starts.capacity() * 4).sum();
        self.all.capacity() * size_of::<u32>() + free
    }
}

/// Words of all entities in a snapshot: written in one piece, not number by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct SavedWords(pub(crate) Vec<u32>);

impl Serialize for SavedWords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * 4);
        for word in &self.0 {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for SavedWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = SavedWords;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("words of four bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<SavedWords, E> {
                let (words, rest) = bytes.as_chunks();
                if rest.is_empty() {
                    Ok(SavedWords(words.iter().map(|&word| u32::from_le_bytes(word)).collect()))
                } else {
                    Err(E::invalid_length(bytes.len(), &self))
                }
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_zero_whoever_had_them_before() {
        let mut arena = Arena::default();
        assert_eq!((arena.take(0), arena.memory()), (Some(0), 0));
        let (a, b) = (arena.take(3).unwrap(), arena.take(3).unwrap());
        arena.run_mut(a, 3).fill(7);
        assert_eq!(arena.run(b, 3), [0; 3]);
        arena.give_back(a, 3);
        assert_eq!(arena.take(2), Some(6), "runs of another length are not cut up");
        assert_eq!(arena.take(3), Some(a));
        assert_eq!(arena.run(a, 3), [0; 3]);
    }

    #[test]
    fn words_survive_a_snapshot() {
        let words = SavedWords(vec![0, 1, u32::MAX, 7 << 24]);
        let bytes = postcard::to_stdvec(&words).unwrap();
        assert_eq!(bytes.len(), 17);
        assert_eq!(postcard::from_bytes::<SavedWords>(&bytes).unwrap().0, words.0);
        assert!(postcard::from_bytes::<SavedWords>(&[3, 1, 2, 3]).is_err());
    }
}
