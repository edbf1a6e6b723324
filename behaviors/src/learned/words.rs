//! State in 32-bit words, as the detector's arenas and snapshots hold it.
//!
//! INVARIANT: words that are all zero are the state of something that never saw anything, so that
//! an arena is made by filling it with zeros.

/// Word `at`; zero past the end.
#[inline]
pub(super) fn word(words: &[u32], at: usize) -> u32 {
    words.get(at).copied().unwrap_or(0)
}

/// Word `at` as a number. The bits of 0.0 are zero, so it fits the invariant.
#[inline]
pub(super) fn float(words: &[u32], at: usize) -> f32 {
    f32::from_bits(word(words, at))
}

/// Sets word `at`; past the end nothing happens.
#[inline]
pub(super) fn put(words: &mut [u32], at: usize, value: u32) {
    if let Some(word) = words.get_mut(at) {
        *word = value;
    }
}

/// Sets word `at` to a number.
#[inline]
pub(super) fn put_float(words: &mut [u32], at: usize, value: f32) {
    put(words, at, value.to_bits());
}

/// Seconds since the epoch in one word, at least 1: 0 stands for never.
#[inline]
pub(super) fn secs(at: fleet::time::Timestamp) -> u32 {
    u32::try_from(at.secs().max(1)).unwrap_or(u32::MAX)
}

/// A number from 0 to below 1 that only depends on `seed` (SplitMix64, Steele, Lea and Flood 2014):
/// for rounding without bias that a replay repeats.
#[inline]
pub(super) fn dither(seed: u64) -> f32 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // 24 bits are exact in a float.
    ((x ^ (x >> 31)) >> 40) as f32 / 16_777_216.0
}

/// Rounds to one of the two whole numbers beside `value`, the nearer one more often, so that
/// the mean over many `dither`s is `value`.
#[inline]
pub(super) fn round(value: f32, dither: f32) -> i32 {
    let rounded = (value + dither).floor();
    #[expect(clippy::cast_possible_truncation, reason = "a float's cast to an integer saturates")]
    let whole = rounded as i32;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_has_no_bias() {
        for value in [0.0, 0.1, 0.5, 0.99, -0.25, 3.7] {
            let sum: i64 = (0..20_000).map(|seed| i64::from(round(value, dither(seed)))).sum();
            let mean = sum as f64 / 20_000.0;
            assert!((mean - f64::from(value)).abs() < 0.015, "{value}: {mean}");
        }
    }
}
