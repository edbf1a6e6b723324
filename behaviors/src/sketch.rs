//! How the values of a fleet are distributed, gathered in parts and put together.
//!
//! Up to [`EXACT_MAX`] distinct values are kept with their counts. If there are more, values that
//! agree in sign, exponent and the first seven bits of the mantissa are taken together and stand
//! for the smallest of them. Whether and how they are taken together depends only on which values
//! there are in all, so parts may be gathered and merged in any order and number.
//!
//! Error: none up to [`EXACT_MAX`] distinct values, and none for whole numbers below 256; else a
//! percentile is told at most 1/128 (0.8 %) too low. The idea of buckets of equal relative width is
//! that of DDSketch (Masson, Rim and Lee, VLDB 2019); they are cut by bits here instead of by
//! logarithms, because those may differ in their last bit from one machine to another.

use std::collections::BTreeMap;

use crate::statistic::Statistic;

/// Distinct values that are kept exactly: 100 KiB for each behavior while a window is judged.
pub const EXACT_MAX: usize = 4_096;

/// Bits of a number below those that tell the buckets apart.
const BUCKET_SHIFT: u32 = 52 - 7;

/// Numbers that are not negative, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How many times each value or bucket was seen. Keys are the bits of the number, which are in
    /// the order of the numbers. INVARIANT: a whole bucket has the key of its smallest value.
    values: BTreeMap<u64, u64>,
    /// Values were taken together.
    collapsed: bool,
    population: u64,
    /// There was a negative number.
    negative: bool,
}

impl Distribution {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.add_many(value, 1);
    }

    fn add_many(&mut self, value: f64, times: u64) {
        self.population = self.population.saturating_add(times);
        if value < 0.0 || value.is_nan() {
            self.negative = true;
            return;
        }
        // Zero has two signs.
        self.enter((value + 0.0).to_bits(), times);
        if !self.collapsed && self.values.len() > EXACT_MAX {
            self.collapse();
        }
    }

    fn enter(&mut self, bits: u64, times: u64) {
        let mut bits = bits;
        let mut times = times;
        if self.collapsed {
            let bucket = bits >> BUCKET_SHIFT;
            let range = bucket << BUCKET_SHIFT..=(bucket << BUCKET_SHIFT | ((1 << BUCKET_SHIFT) - 1));
            if let Some((&smallest, &known)) = self.values.range(range).next() {
                if bits < smallest {
                    self.values.remove(&smallest);
                    times = times.saturating_add(known);
                } else {
                    bits = smallest;
                }
            }
        }
        let count = self.values.entry(bits).or_default();
        *count = count.saturating_add(times);
    }

    fn collapse(&mut self) {
        self.collapsed = true;
        for (bits, times) in std::mem::take(&mut self.values) {
            self.enter(bits, times);
        }
    }

    /// Adds all values of another one.
    pub fn merge(&mut self, other: &Self) {
        self.population = self.population.saturating_add(other.population);
        self.negative |= other.negative;
        if other.collapsed && !self.collapsed {
            self.collapse();
        }
        for (&bits, &times) in &other.values {
            self.enter(bits, times);
            if !self.collapsed && self.values.len() > EXACT_MAX {
                self.collapse();
            }
        }
    }

    /// Values that were added.
    #[must_use]
    pub const fn population(&self) -> u64 {
        self.population
    }

    /// The percentile by nearest rank. Nothing of fewer than two values, or if one of them is
    /// negative: neither is defined (`device-defender-detect.md`, sections 3 and 6).
    #[must_use]
    pub fn percentile(&self, statistic: Statistic) -> Option<f64> {
        if self.population < 2 || self.negative {
            return None;
        }
        let rank = statistic.rank(self.population);
        let mut seen = 0_u64;
        let at_rank = self.values.iter().find(|(_, times)| {
            seen = seen.saturating_add(**times);
            seen >= rank
        });
        at_rank.map(|(&bits, _)| f64::from_bits(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Distribution {
        let mut all = Distribution::default();
        values.iter().for_each(|&value| all.add(value));
        all
    }

    fn exact(values: &[f64], statistic: Statistic) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[usize::try_from(statistic.rank(values.len() as u64)).unwrap() - 1]
    }

    #[test]
    fn percentiles_by_hand() {
        let check = |values: &[f64], name: &str, expected: Option<f64>| {
            assert_eq!(of(values).percentile(name.parse().unwrap()), expected, "{name} of {values:?}");
        };
        check(&[], "p50", None);
        check(&[7.0], "p50", None);
        check(&[7.0, 9.0], "p50", Some(7.0));
        check(&[7.0, 9.0], "p90", Some(9.0));
        check(&[9.0, 7.0], "p0", Some(7.0));
        check(&[0.0, -0.0, 3.0], "p50", Some(0.0));
        check(&[1.0, 2.0, -1.0], "p50", None);
        check(&[5.0, 5.0, 5.0, 100.0], "p99", Some(100.0));
        check(&[5.0, 5.0, 5.0, 100.0], "p10", Some(5.0));
    }

    #[test]
    fn many_values_are_told_within_the_error() {
        let values: Vec<f64> = (0..200_000_u32).map(|n| f64::from(n * 7_919 % 200_003) * 3.7).collect();
        let all = of(&values);
        assert!(all.collapsed && all.values.len() < 4_000, "{}", all.values.len());
        for statistic in Statistic::all() {
            let (found, exact) = (all.percentile(statistic).unwrap(), exact(&values, statistic));
            assert!(found <= exact && exact - found <= exact / 128.0, "{statistic}: {found}, {exact}");
        }
    }

    #[test]
    fn small_whole_numbers_stay_exact() {
        let mut values: Vec<f64> = (0..EXACT_MAX + 10).map(|n| 1_000.0 + n as f64).collect();
        values.extend((0..10_000_u32).map(|n| f64::from(n % 256)));
        let all = of(&values);
        assert!(all.collapsed);
        for name in ["p0", "p1", "p10", "p50"] {
            let statistic = name.parse().unwrap();
            assert_eq!(all.percentile(statistic), Some(exact(&values, statistic)), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn parts_and_their_order_change_nothing(
            seed in any::<u64>(), len in 0_usize..12_000, spread in 1_u64..20_000, parts in 1_usize..8,
        ) {
            let mut state = seed;
            let values: Vec<f64> = (0..len).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as f64 % spread as f64 * 1.25
            }).collect();
            let whole = of(&values);
            let mut merged = Distribution::default();
            let mut backwards = Distribution::default();
            let split: Vec<Distribution> =
                (0..parts).map(|part| of(&values.iter().copied().skip(part).step_by(parts).collect::<Vec<_>>())).collect();
            split.iter().for_each(|part| merged.merge(part));
            split.iter().rev().for_each(|part| backwards.merge(part));
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(&backwards, &whole);
        }
    }
}
