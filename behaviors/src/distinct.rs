//! How many different things were seen: exactly while they are few, then by a sketch.
//!
//! Up to [`EXACT_MAX`] hashes are kept. Then HyperLogLog with 1,024 registers (Flajolet, Fusy,
//! Gandouet and Meunier, 2007): standard error 1.04 / sqrt(1024) = 3.3 %, with linear counting while
//! registers are empty. Hashes have 64 bits, so no correction for large numbers is needed.
//! Size: at most 512 bytes while exact, 1 KiB after that, whatever comes.

use serde::{Deserialize, Serialize};

/// Different values that are counted exactly.
pub const EXACT_MAX: usize = 64;
const REGISTER_BITS: u32 = 10;
const REGISTERS: usize = 1 << REGISTER_BITS;

/// A count of different values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distinct {
    /// INVARIANT: hashes in order, each once; empty once there are registers.
    few: Vec<u64>,
    /// Empty, or one for each of the registers.
    registers: Vec<u8>,
}

impl Distinct {
    /// Adds a value by its hash. True if the count may have grown.
    pub fn add(&mut self, hash: u64) -> bool {
        if !self.registers.is_empty() {
            return self.register(hash);
        }
        let Err(at) = self.few.binary_search(&hash) else { return false };
        if self.few.len() < EXACT_MAX {
            self.few.insert(at, hash);
            return true;
        }
        self.registers = vec![0; REGISTERS];
        for hash in std::mem::take(&mut self.few) {
            self.register(hash);
        }
        self.register(hash);
        true
    }

    fn register(&mut self, hash: u64) -> bool {
        let index = usize::try_from(hash >> (u64::BITS - REGISTER_BITS)).unwrap_or(0);
        let rest = hash << REGISTER_BITS | 1 << (REGISTER_BITS - 1);
        let rank = u8::try_from(rest.leading_zeros() + 1).unwrap_or(u8::MAX);
        match self.registers.get_mut(index) {
            Some(register) if *register < rank => {
                *register = rank;
                true
            }
            _ => false,
        }
    }

    /// How many different values were added, exactly or about.
    #[must_use]
    pub fn count(&self) -> u64 {
        if self.registers.is_empty() {
            return self.few.len() as u64;
        }
        let m = REGISTERS as f64;
        let sum: f64 = self.registers.iter().map(|&rank| 1.0 / (1_u64 << rank.min(63)) as f64).sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let empty = self.registers.iter().filter(|&&rank| rank == 0).count();
        let estimate = if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw };
        #[expect(clippy::cast_possible_truncation, reason = "a float's cast to an integer saturates")]
        let count = estimate.round().max(0.0) as u64;
        // It was exact until now: a count never falls.
        count.max(EXACT_MAX as u64 + 1)
    }

    /// Forgets all values and keeps the memory of the few.
    pub fn clear(&mut self) {
        self.few.clear();
        self.registers = Vec::new();
    }

    /// Bytes behind it.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.few.capacity() * size_of::<u64>() + self.registers.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn few_are_exact_and_many_within_the_error() {
        let mut distinct = Distinct::default();
        let (mut seen, mut before) = (0_u64, 0);
        for n in 0..1_000_000_u64 {
            assert!(distinct.add(xxh3_64(&n.to_le_bytes())) || n >= 64);
            distinct.add(xxh3_64(&(n / 2).to_le_bytes()));
            seen += 1;
            if n < 64 || seen.is_power_of_two() {
                let count = distinct.count();
                assert!(count >= before, "{seen}: {count} after {before}");
                before = count;
                if n < 64 {
                    assert_eq!(count, seen);
                } else {
                    // Three times the standard error.
                    assert!(count.abs_diff(seen) <= seen / 10, "{seen}: {count}");
                }
            }
        }
        assert!(distinct.memory() <= 2_048);
        distinct.clear();
        assert_eq!(distinct.count(), 0);
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let mut distinct = Distinct::default();
        assert!(distinct.add(7) && !distinct.add(7));
        for n in 0..10_000_u64 {
            distinct.add(xxh3_64(&n.to_le_bytes()));
        }
        let before = distinct.clone();
        for n in 0..10_000_u64 {
            assert!(!distinct.add(xxh3_64(&n.to_le_bytes())));
        }
        assert_eq!(distinct, before);
    }
}
