//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential back-off with full jitter: a delay drawn evenly from zero to
/// `min(max, first * 2^failures)`, so that many waiting parties do not return together
/// (Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling of the first delay.
    pub first: Duration,
    /// Ceiling of every delay.
    pub max: Duration,
}

impl Backoff {
    /// Ceiling after `failures` failures in a row (0 is read as 1).
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// The delay after `failures` failures in a row; `random` is a uniform random number.
    #[must_use]
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let nanos = u64::try_from(self.ceiling(failures).as_nanos()).unwrap_or(u64::MAX);
        // The upper half of the product is a uniform number below `nanos + 1`.
        let scaled = (u128::from(random) * (u128::from(nanos) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
    }
}

/// A uniform random number of the operating system. Should that fail, the middle of the
/// range: jitter is a courtesy and no reason to stop.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };

    #[test]
    fn doubles_up_to_the_ceiling() {
        let cases =
            [(0, 100), (1, 100), (2, 200), (3, 400), (6, 3200), (7, 5000), (40, 5000), (u32::MAX, 5000)];
        for (failures, millis) in cases {
            assert_eq!(BACKOFF.ceiling(failures).as_millis(), millis, "{failures}");
        }
        assert_eq!(BACKOFF.delay(1, 0), Duration::ZERO);
        assert_eq!(BACKOFF.delay(1, u64::MAX), Duration::from_millis(100));
    }

    proptest! {
        #[test]
        fn never_above_the_ceiling(failures: u32, random: u64) {
            prop_assert!(BACKOFF.delay(failures, random) <= BACKOFF.ceiling(failures));
        }
    }
}
