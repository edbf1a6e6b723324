//! Time of the fold: the watermark and the window boundaries that it crosses.

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A jump of the watermark over more boundaries of one window length than twice this closes only
/// that many at its beginning and at its end. What lies between is taken as windows without data,
/// so that a clock that leaps a year cannot keep the engine busy with closing them. More than the
/// ten datapoints in a row that a behavior can ask for.
const JUMP_WINDOWS: i64 = 12;

/// Where time stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// Latest arrival.
    pub(crate) now: Timestamp,
    /// No event older than this is waited for. `Timestamp::MIN` before the first event.
    pub(crate) watermark: Timestamp,
    lateness_ms: u32,
    /// Distinct window lengths, seconds.
    windows: Vec<u32>,
    /// The next boundary of any window, ms.
    next: i64,
    /// The next boundary of the shortest window that no event has reached, ms.
    mark: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            now: Timestamp::MIN,
            watermark: Timestamp::MIN,
            lateness_ms: 0,
            windows: Vec::new(),
            next: i64::MAX,
            mark: i64::MIN,
        }
    }
}

impl Clock {
    /// Takes other window lengths and lateness. The watermark stays.
    pub(crate) fn configure(&mut self, lateness_ms: u32, mut windows: Vec<u32>) {
        windows.retain(|&secs| secs > 0);
        windows.sort_unstable();
        windows.dedup();
        self.windows = windows;
        self.lateness_ms = lateness_ms;
        self.find_next();
    }

    /// Takes note of something that happened at `at`; calls `boundary` with time and window
    /// length of each boundary that the watermark now reaches, in order of time, then of length.
    /// Returns how many were skipped.
    #[inline]
    pub(crate) fn observe(&mut self, at: Timestamp, boundary: impl FnMut(Timestamp, u32)) -> u64 {
        let watermark = at.plus_millis(-i64::from(self.lateness_ms));
        if watermark <= self.watermark {
            return 0;
        }
        let before = std::mem::replace(&mut self.watermark, watermark);
        if before == Timestamp::MIN {
            self.find_next();
            return 0;
        }
        if watermark.millis() < self.next { 0 } else { self.cross(before, boundary) }
    }

    /// The begin of the shortest window that an event at `at` is the first to reach, if it is.
    #[inline]
    pub(crate) fn mark(&mut self, at: Timestamp) -> Option<Timestamp> {
        if at.millis() < self.mark {
            return None;
        }
        let secs = self.windows.first().copied().unwrap_or(1);
        let start = at.window_start(secs);
        self.mark = start.millis().saturating_add(i64::from(secs) * 1000);
        Some(start)
    }

    #[cold]
    fn cross(&mut self, before: Timestamp, mut boundary: impl FnMut(Timestamp, u32)) -> u64 {
        let mut crossed = Vec::new();
        let mut skipped = 0;
        for &secs in &self.windows {
            let width = i64::from(secs) * 1000;
            let first = before.window_start(secs).millis().saturating_add(width);
            let last = self.watermark.window_start(secs).millis();
            let count = if last < first { 0 } else { last.saturating_sub(first) / width + 1 };
            if count <= 2 * JUMP_WINDOWS {
                crossed.extend((0..count).map(|n| (first + n * width, secs)));
            } else {
                crossed.extend((0..JUMP_WINDOWS).map(|n| (first + n * width, secs)));
                crossed.extend((0..JUMP_WINDOWS).rev().map(|n| (last - n * width, secs)));
                skipped += count.unsigned_abs() - 2 * JUMP_WINDOWS.unsigned_abs();
            }
        }
        crossed.sort_unstable();
        for (at, secs) in crossed {
            boundary(Timestamp::from_millis(at), secs);
        }
        self.find_next();
        skipped
    }

    fn find_next(&mut self) {
        let next =
            |&secs: &u32| self.watermark.window_start(secs).millis().saturating_add(i64::from(secs) * 1000);
        self.next = match self.watermark {
            Timestamp::MIN => i64::MAX,
            _ => self.windows.iter().map(next).min().unwrap_or(i64::MAX),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(windows: &[u32], times: &[i64], expected: &str) {
        let mut clock = Clock::default();
        clock.configure(2_000, windows.to_vec());
        let mut seen = Vec::new();
        for &at in times {
            clock.observe(Timestamp::from_millis(at), |at, secs| {
                seen.push(format!("{}s/{secs}", at.secs()));
            });
        }
        assert_eq!(seen.join(" "), expected, "{windows:?} {times:?}");
    }

    #[test]
    fn boundaries_are_crossed_once_in_order_and_behind_by_the_lateness() {
        check(&[60], &[0], "");
        check(&[60], &[50_000, 61_999], "");
        check(&[60], &[50_000, 62_000, 62_001, 70_000], "60s/60");
        check(&[60], &[50_000, 62_000, 10_000, 121_999, 122_000], "60s/60 120s/60");
        check(&[300, 60], &[299_000, 302_000], "300s/60 300s/300");
        check(
            &[300, 120],
            &[0, 602_000],
            "0s/120 0s/300 120s/120 240s/120 300s/300 360s/120 480s/120 600s/120 600s/300",
        );
        check(&[], &[0, 1_000_000], "");
    }

    #[test]
    fn a_leap_closes_only_the_windows_at_both_ends() {
        let mut clock = Clock::default();
        clock.configure(0, vec![1]);
        let mut seen = Vec::new();
        clock.observe(Timestamp::from_millis(500), |_, _| {});
        let skipped = clock.observe(Timestamp::from_secs(1_000_000), |at, _| seen.push(at.secs()));
        assert_eq!(skipped, 1_000_000 - 24);
        assert_eq!(seen.first().copied(), Some(1));
        assert_eq!(seen.get(11..13), Some(&[12, 999_989][..]));
        assert_eq!(seen.last().copied(), Some(1_000_000));
        assert!(clock.observe(Timestamp::from_millis(i64::MAX), |_, _| {}) > 0, "no overflow");
    }
}
