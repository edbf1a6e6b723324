//! A limit that gives way until it keeps its promise.

/// How much wider than planned a limit is: 1 at least, [`Tolerance::WIDEST`] at most.
///
/// A limit is planned for data of a known kind. Real devices burst, and their data have tails.
/// So each alarm that has ended widens the limit by a quarter, and each datapoint narrows it by
/// so little that at the promised rate of alarms the two cancel: with rate `a` and gain
/// `c = ln 1.25`, `ln w += c (alarm - a)`, held within 0 and `ln 16`.
///
/// This is the update of Gibbs and Candès, "Adaptive conformal inference under distribution
/// shift", NeurIPS 2021, on the logarithm of the limit. Summing it up gives, for any data
/// whatever, at most `a T + ln(16)/c` alarms in `T` datapoints, as long as they do not pass limits
/// of 12.8 times the plan: the promised rate, and 13 alarms of calibration at most.
///
/// The widest deviation of the learning period is its start, so that few of the 13 are needed.
/// One word: the excess over 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tolerance {
    excess: f32,
}

/// What an alarm widens the limit by.
const STEP: f32 = 1.25;
/// `ln` of it.
const GAIN: f32 = 0.223_143_55;

impl Tolerance {
    /// Widest.
    pub const WIDEST: f32 = 16.0;

    pub(super) fn from_word(word: u32) -> Self {
        Self { excess: f32::from_bits(word) }
    }

    pub(super) fn word(self) -> u32 {
        self.excess.to_bits()
    }

    /// The factor of the limit.
    #[must_use]
    #[inline]
    pub fn factor(self) -> f32 {
        1.0 + self.excess
    }

    /// A deviation of `ratio` times the planned limit was seen while nothing was judged yet.
    pub fn allow(&mut self, ratio: f32) {
        self.set(self.factor().max(ratio * 1.1));
    }

    /// A datapoint was judged, at a promised rate of `rate` alarms a datapoint.
    #[inline]
    pub fn judged(&mut self, rate: f32) {
        self.excess = (self.excess - self.factor() * GAIN * rate).max(0.0);
    }

    /// An alarm ended.
    pub fn alarmed(&mut self) {
        self.set(self.factor() * STEP);
    }

    fn set(&mut self, factor: f32) {
        self.excess = factor.clamp(1.0, Self::WIDEST) - 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_data_the_promise_is_kept() {
        // The worst data: they pass whatever the limit is, up to 12.8 times the plan.
        let (rate, mut alarms, mut tolerance) = (0.001, 0_u32, Tolerance::default());
        let datapoints = 100_000_u32;
        for _ in 0..datapoints {
            tolerance.judged(rate);
            if tolerance.factor() < Tolerance::WIDEST / STEP {
                tolerance.alarmed();
                alarms += 1;
            }
        }
        assert!(f64::from(alarms) <= f64::from(datapoints) * f64::from(rate) + 13.5, "{alarms}");
        assert!(alarms > 90, "and it comes down again: {alarms} {}", tolerance.factor());
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let mut tolerance = Tolerance::default();
        tolerance.judged(0.5);
        assert_eq!(tolerance.factor(), 1.0);
        tolerance.allow(0.3);
        assert_eq!(tolerance.factor(), 1.0);
        tolerance.allow(2.0);
        assert_eq!(tolerance.factor(), 2.2);
        tolerance.allow(1e9);
        assert_eq!(tolerance.factor(), Tolerance::WIDEST);
        assert_eq!(Tolerance::from_word(tolerance.word()), tolerance);
    }
}
