//! How many requests a caller may make: a bucket of tokens each, filled at a steady rate.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use fleet::time::Timestamp;

/// Seconds of the rate that a caller may use at once.
const BURST_SECS: f64 = 2.0;

/// The buckets. Bounded by the number of users, since only known callers have one.
#[derive(Debug)]
pub struct Meter {
    per_sec: f64,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Meter {
    /// With so many requests a second for each caller.
    #[must_use]
    pub fn new(per_sec: u32) -> Self {
        Self { per_sec: f64::from(per_sec), buckets: Mutex::default() }
    }

    /// Whether the caller may make one request more, which it then has made.
    pub fn admit(&self, caller: &str, now: Timestamp) -> bool {
        let full = self.per_sec * BURST_SECS;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = match buckets.get_mut(caller) {
            Some(bucket) => bucket,
            None => buckets.entry(caller.to_owned()).or_insert(Bucket { tokens: full, at: now }),
        };
        // A clock that was set back gives nothing and takes nothing.
        let since = u32::try_from(now.millis_since(bucket.at).max(0)).unwrap_or(u32::MAX);
        bucket.tokens = (bucket.tokens + f64::from(since) / 1000.0 * self.per_sec).min(full);
        bucket.at = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_a_burst_and_then_the_rate_and_others_have_their_own() {
        let meter = Meter::new(5);
        let at = Timestamp::from_millis;
        let made = |caller: &str, now: i64, tries: usize| {
            (0..tries).filter(|_| meter.admit(caller, at(now))).count()
        };
        assert_eq!(made("a", 0, 20), 10);
        assert_eq!(made("b", 0, 1), 1);
        assert_eq!(made("a", 199, 1), 0);
        assert_eq!(made("a", 200, 2), 1);
        assert_eq!(made("a", 100, 1), 0, "the clock went back");
        assert_eq!(made("a", 100_000, 20), 10, "never more than a burst");
    }
}
