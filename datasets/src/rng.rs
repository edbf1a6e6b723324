//! Seeded random numbers that are the same on every machine and in every version.

use rand_pcg::{Pcg64Mcg, rand_core::Rng as _};

/// A generator with a documented, portable stream (PCG XSL 128/64 MCG).
///
/// Ranges are drawn here and not by a library, so that an update of a library cannot
/// change what a seed means.
#[derive(Clone, Debug)]
pub struct Rng(Pcg64Mcg);

impl Rng {
    /// A generator of its own for each `stream` of a `seed`, so that one device's story does
    /// not depend on how many others there are.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self(Pcg64Mcg::new((u128::from(mix(seed)) << 64) | u128::from(mix(!stream))));
        // The first outputs of close states are alike.
        for _ in 0..4 {
            rng.0.next_u64();
        }
        rng
    }

    /// Uniform over all 64-bit numbers.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `low..=high`; `low` if the range is empty.
    ///
    /// By multiplication (Lemire, "Fast Random Integer Generation in an Interval", 2019)
    /// without its rejection step: the bias is below 2^-32 for the small ranges used here.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        let drawn = (u128::from(self.word()) * span) >> 64;
        low + u64::try_from(drawn).unwrap_or(0)
    }

    /// True with probability `per_mille` / 1000.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.between(1, 1000) <= per_mille
    }

    /// One of `items`, or nothing if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let last = items.len().checked_sub(1)?;
        let index = self.between(0, u64::try_from(last).unwrap_or(0));
        items.get(usize::try_from(index).unwrap_or(0))
    }

    /// A number in `low..=high` that fits 16 bits.
    pub fn between_u16(&mut self, low: u16, high: u16) -> u16 {
        u16::try_from(self.between(low.into(), high.into())).unwrap_or(low)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.word() >> 56).unwrap_or(0)
    }
}

/// The finaliser of SplitMix64, which spreads close seeds apart.
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::new(7, 0);
        let words: Vec<u64> = (0..3).map(|_| rng.word()).collect();
        assert_eq!(words, [FIRST, SECOND, THIRD]);
        assert_ne!(Rng::new(7, 1).word(), FIRST);
        assert_ne!(Rng::new(8, 0).word(), FIRST);
    }

    const FIRST: u64 = 9_782_563_213_338_602_857;
    const SECOND: u64 = 13_570_175_963_195_308_581;
    const THIRD: u64 = 6_979_582_346_495_790_237;

    #[test]
    fn ranges_include_both_ends_and_nothing_else() {
        let mut rng = Rng::new(1, 1);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| rng.between(3, 5)).collect();
        assert_eq!(drawn, [3, 4, 5].into());
        assert_eq!(rng.between(9, 9), 9);
        assert_eq!(rng.between(9, 2), 9);
        assert!((0..100).all(|_| rng.chance(1000)) && (0..100).all(|_| !rng.chance(0)));
        assert_eq!(rng.pick::<u8>(&[]), None);
    }
}
