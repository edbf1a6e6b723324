//! How long to wait before connecting again.

use std::time::Duration;

/// First upper bound of the wait.
const FIRST: Duration = Duration::from_millis(100);
/// Last upper bound of the wait.
const LAST: Duration = Duration::from_secs(30);

/// Upper bound of the wait before attempt `attempt` (the first is 0): doubles up to 30 s.
pub(crate) fn bound(attempt: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(attempt.min(16)).unwrap_or(u32::MAX)).min(LAST)
}

/// Wait before attempt `attempt`, with full jitter: evenly from 0 to [`bound`], but at least a tenth
/// of the first bound, so that a broker that closes at once is not called in a tight loop.
/// `random` is evenly spread over all of `u32`.
///
/// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015, "Full Jitter".
pub(crate) fn wait(attempt: u32, random: u32) -> Duration {
    bound(attempt).mul_f64(f64::from(random) / f64::from(u32::MAX)).max(FIRST / 10)
}

/// A random number of the operating system; the middle if it has none, because a wait must not fail.
pub(crate) fn random() -> u32 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => u32::MAX / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last_bound_and_never_pass_it() {
        let bounds: Vec<u128> = [0, 1, 2, 8, 9, 40].map(|n| bound(n).as_millis()).to_vec();
        assert_eq!(bounds, [100, 200, 400, 25_600, 30_000, 30_000]);
        assert_eq!(wait(3, u32::MAX), Duration::from_millis(800));
        assert_eq!(wait(u32::MAX, 0), Duration::from_millis(10));
    }
}
