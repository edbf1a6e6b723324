//! Device clocks that are wrong, or that drift.

use fleet::time::Timestamp;

use super::{
    verdict::Verdict,
    words::{float, put, put_float, secs, word},
};

/// A device's own time against the time of arrival.
///
/// A message takes a while: `device time - arrival` is the clock's offset less the delay. Delays
/// are never negative and now and then nearly nothing, so the largest of several offsets is the
/// best (Cristian, "Probabilistic clock synchronization", 1989; the minimum filter of NTP, RFC 5905,
/// section 10). The offset is the largest of a block of [`SAMPLES`] reports; the drift is the
/// change between blocks by the time between them, in parts per million, of which the median of
/// the last three counts, so that one block of delayed reports is no drift.
///
/// A datapoint is a report: it violates if the offset of its block so far is past the limit
/// in either direction once the block has [`SAMPLES_MIN`] reports (one delayed report says
/// nothing), or if the drift is. An offset of more than 24 days is kept as 24 days.
///
/// Seven words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Largest offset that is allowed, seconds.
    pub offset_secs: f64,
    /// Largest drift that is allowed, parts per million; none if it does not matter.
    pub drift_ppm: Option<f64>,
    /// Device time is in milliseconds, not seconds.
    pub millis: bool,
}

/// Reports of a block: the number of samples in the filter of NTP.
pub const SAMPLES: u32 = 8;
/// Reports before a block says something of the offset.
pub const SAMPLES_MIN: u32 = 3;

/// Largest offset of the block, ms.
const BEST: usize = 0;
/// Reports in the block (low byte), blocks before it (second byte, up to 255).
const COUNTS: usize = 1;
/// Largest offset of the block before, ms, and when it was seen.
const BEFORE: usize = 2;
const BEFORE_AT: usize = 3;
/// The last three drifts, newest first.
const DRIFTS: usize = 4;

impl Clock {
    /// Words of the state.
    pub const WORDS: usize = 7;

    /// Judges a report with the device's time, and says the offset, seconds, that was judged.
    pub fn observe(&self, words: &mut [u32], arrival: Timestamp, device_time: f64) -> (f64, Verdict) {
        let device = if self.millis { device_time } else { device_time * 1000.0 };
        #[expect(clippy::cast_possible_truncation, reason = "a float's cast to an integer saturates")]
        let offset = (device - arrival.millis() as f64) as i32;
        let counts = word(words, COUNTS);
        let (samples, blocks) = ((counts & 0xff) + 1, counts >> 8);
        let best = if samples == 1 { offset } else { offset.max(word(words, BEST).cast_signed()) };
        put(words, BEST, best.cast_unsigned());
        put(words, COUNTS, samples | blocks << 8);
        // A young block is filled up with the block before.
        let young = samples < SAMPLES_MIN;
        let judged = if young && blocks > 0 { best.max(word(words, BEFORE).cast_signed()) } else { best };
        let drift = median(words);
        if samples >= SAMPLES {
            Self::end_block(words, arrival, best, blocks);
        }
        let seconds = f64::from(judged) / 1000.0;
        if young && blocks == 0 {
            return (seconds, Verdict::Learning);
        }
        if let Some(limit) = self.drift_ppm
            && blocks >= 4
            && f64::from(drift).abs() > limit
        {
            return (seconds, Verdict::Unusual { limit: self.offset_secs });
        }
        (seconds, Verdict::of(seconds.abs() > self.offset_secs, self.offset_secs))
    }

    /// The drift, parts per million, once there are three.
    #[must_use]
    pub fn drift(words: &[u32]) -> Option<f32> {
        (word(words, COUNTS) >> 8 >= 4).then(|| median(words))
    }

    fn end_block(words: &mut [u32], arrival: Timestamp, best: i32, blocks: u32) {
        let (before, before_at) = (word(words, BEFORE).cast_signed(), word(words, BEFORE_AT));
        let now = secs(arrival);
        if blocks > 0 {
            let span = f64::from(now.saturating_sub(before_at).max(1));
            let change = f64::from(best) - f64::from(before);
            #[expect(clippy::cast_possible_truncation, reason = "a drift needs no more digits")]
            let drift = (change * 1000.0 / span) as f32;
            put(words, DRIFTS + 2, word(words, DRIFTS + 1));
            put(words, DRIFTS + 1, word(words, DRIFTS));
            put_float(words, DRIFTS, drift);
        }
        put(words, BEFORE, best.cast_unsigned());
        put(words, BEFORE_AT, now);
        put(words, COUNTS, (blocks + 1).min(255) << 8);
    }
}

fn median(words: &[u32]) -> f32 {
    let [a, b, c] = [float(words, DRIFTS), float(words, DRIFTS + 1), float(words, DRIFTS + 2)];
    a.min(b).max(a.max(b).min(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Clock = Clock { offset_secs: 30.0, drift_ppm: Some(500.0), millis: false };

    /// Reports every 60 s of a clock with offset (s) and drift (ppm); each fifth is an hour late.
    fn run(offset: f64, ppm: f64, reports: u32) -> (Vec<Verdict>, [u32; 7]) {
        let mut words = [0; Clock::WORDS];
        let said = (0..reports).map(|n| {
            let sent = 1_000_000.0 + 60.0 * f64::from(n);
            let delay = if n % 5 == 4 { 20.0 } else { 0.05 * f64::from(n % 3) };
            let device = sent + offset + ppm * 1e-6 * (60.0 * f64::from(n));
            #[expect(clippy::cast_possible_truncation, reason = "times of a test")]
            let arrival = Timestamp::from_millis(((sent + delay) * 1000.0) as i64);
            RULE.observe(&mut words, arrival, device).1
        });
        let said = said.collect();
        (said, words)
    }

    #[test]
    fn delays_are_no_offset_and_no_drift() {
        let (said, words) = run(0.0, 0.0, 200);
        assert!(said.iter().all(|verdict| !verdict.is_unusual()));
        assert!(Clock::drift(&words).unwrap().abs() < 10.0);
        let (said, _) = run(29.0, 0.0, 200);
        assert!(said.iter().all(|verdict| !verdict.is_unusual()));
    }

    #[test]
    fn a_wrong_clock_is_told_with_the_third_report() {
        for offset in [31.0, -60.0, -3e9, 4e9] {
            let (said, _) = run(offset, 0.0, 3);
            assert_eq!(said[..2], [Verdict::Learning; 2]);
            assert_eq!(said[2], Verdict::Unusual { limit: 30.0 }, "{offset}");
        }
    }

    #[test]
    fn a_drift_is_measured() {
        let (said, words) = run(0.0, 800.0, 60);
        assert!((Clock::drift(&words).unwrap() - 800.0).abs() < 100.0, "{:?}", Clock::drift(&words));
        let first = said.iter().position(|verdict| verdict.is_unusual()).unwrap();
        assert!(first < 40, "by drift, before the offset is past: {first}");
        let (said, _) = run(0.0, 300.0, 60);
        assert!(said.iter().all(|verdict| !verdict.is_unusual()));
    }
}
