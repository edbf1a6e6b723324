//! The usual level of a series and its usual spread, robust and with bounded memory.

use super::words::{float, put, put_float, word};

/// Deviations beyond so many spreads are taken for so many (Huber's psi).
const CLIP: f32 = 2.0;
/// Makes the spread that of the standard deviation for normal data.
const BIWEIGHT: f32 = 2.52;
/// Datapoints that are taken plainly, before there is a spread to clip with.
const PLAIN: u32 = 8;

/// Level and spread: exponentially weighted, cleaned of outliers as they come.
///
/// Gelper, Fried and Croux, "Robust forecasting with exponential and Holt-Winters smoothing",
/// Journal of Forecasting 29 (2010), equations 8 to 12, for the level alone: with
/// `r = (y - level) / spread`, `level += g spread psi(r)` where psi clips at 2, and
/// `spread^2 *= 1 + g (rho(r) - 1)` where `rho(r) = 2.52 (1 - (1 - (r/2)^2)^3)` within 2 and
/// 2.52 beyond. The gain `g` is `1/n` until `n` is the memory, then one over the memory, so that
/// the first datapoints count evenly. The first eight go into plain mean and variance.
///
/// Three words. No value moves the level by more than two spreads times the gain: somebody who
/// wants to shift it needs about as many datapoints as the memory has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// Level, on the scale.
    pub mean: f32,
    /// Spread, on the scale; comparable with a standard deviation.
    pub spread: f32,
    /// Datapoints that went in, at most [`Level::SEEN_MAX`].
    pub seen: u32,
}

impl Level {
    /// Words of the state.
    pub const WORDS: usize = 3;
    /// Counting stops here. The bit above is its owner's.
    pub const SEEN_MAX: u32 = (1 << 31) - 1;

    pub(super) fn read(words: &[u32]) -> Self {
        Self { mean: float(words, 0), spread: float(words, 1), seen: word(words, 2) & Self::SEEN_MAX }
    }

    pub(super) fn write(self, words: &mut [u32]) {
        put_float(words, 0, self.mean);
        put_float(words, 1, self.spread);
        let flag = word(words, 2) & !Self::SEEN_MAX;
        put(words, 2, self.seen.min(Self::SEEN_MAX) | flag);
    }

    /// The deviation of `y` in spreads, of which one is at least `floor`.
    #[must_use]
    #[inline]
    pub fn deviation(&self, y: f32, floor: f32) -> f32 {
        (y - self.mean) / self.spread.max(floor)
    }

    /// Takes in a datapoint. `memory` is in datapoints, `floor` is the smallest spread believed.
    pub fn learn(&mut self, y: f32, memory: u32, floor: f32) {
        self.seen = (self.seen + 1).min(Self::SEEN_MAX);
        let gain = 1.0 / self.seen.min(memory.max(1)) as f32;
        if self.seen <= PLAIN {
            // Welford's recursion for mean and variance.
            let before = y - self.mean;
            self.mean += gain * before;
            let variance = self.spread * self.spread;
            self.spread = (variance + gain * (before * (y - self.mean) - variance)).max(0.0).sqrt();
            return;
        }
        let spread = self.spread.max(floor);
        let r = (y - self.mean) / spread;
        self.mean += gain * spread * r.clamp(-CLIP, CLIP);
        self.spread = spread * (1.0 + gain * (biweight(r) - 1.0)).sqrt();
    }
}

/// Bounded square: its mean is 1 for standard normal deviations.
pub(super) fn biweight(r: f32) -> f32 {
    let q = (1.0 - (r / CLIP) * (r / CLIP)).max(0.0);
    BIWEIGHT * (1.0 - q * q * q)
}

/// Huber's psi.
pub(super) const fn clipped(r: f32) -> f32 {
    r.clamp(-CLIP, CLIP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(values: impl IntoIterator<Item = f32>) -> Level {
        let mut level = Level::default();
        values.into_iter().for_each(|y| level.learn(y, 500, 0.01));
        level
    }

    /// Normal deviates in a fixed order: quantiles at the fractions of the golden ratio.
    fn normals(n: u32) -> impl Iterator<Item = f32> {
        use statrs::distribution::{ContinuousCDF, Normal};
        let normal = Normal::standard();
        #[expect(clippy::cast_possible_truncation, reason = "a deviate of a few units")]
        (1..=n).map(move |i| normal.inverse_cdf((f64::from(i) * 0.618_033_988_749_895).fract()) as f32)
    }

    #[test]
    fn spread_is_the_standard_deviation_of_normal_data() {
        let level = settle(normals(5_000).map(|z| 7.0 + 3.0 * z));
        assert!((level.mean - 7.0).abs() < 0.15, "{level:?}");
        assert!((level.spread - 3.0).abs() < 0.15, "{level:?}");
    }

    #[test]
    fn one_value_in_ten_that_is_wild_moves_little() {
        let wild = normals(5_000).enumerate().map(|(i, z)| if i % 10 == 9 { 1e6 } else { 7.0 + 3.0 * z });
        let level = settle(wild);
        assert!((level.mean - 7.0).abs() < 1.5, "{level:?}");
        assert!(level.spread < 4.5, "{level:?}");
    }

    #[test]
    fn what_never_varies_keeps_the_floor_and_words_keep_all() {
        let level = settle([4.0; 100]);
        assert_eq!(level.mean, 4.0);
        assert!(level.spread <= 0.01 && level.deviation(4.05, 0.01) > 4.0);
        let mut words = [0, 0, 1 << 31];
        level.write(&mut words);
        assert_eq!(Level::read(&words), level);
        assert_eq!(words[2] >> 31, 1, "the owner's bit stays");
        assert_eq!(Level::read(&[0; 3]), Level::default());
    }
}
