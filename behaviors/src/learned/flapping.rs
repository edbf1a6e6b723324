//! Sessions that begin and end again and again.

use fleet::time::Timestamp;

use super::{
    verdict::Verdict,
    words::{put, word},
};

/// Too many session changes (connects and disconnects) in a time, with hysteresis.
///
/// The number of changes in the last `period_secs` is estimated from two counters, of the period
/// that runs and of the one before: `now + before * rest`, where `rest` is the part of the
/// period before that still lies within. It is exact if the changes of the period before were
/// spread evenly; it never counts more than happened in two periods. More than `most` violates,
/// at most `calm` is compliant; between them nothing is said, so that an alarm neither begins
/// nor ends there.
///
/// Two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// Length of the period, seconds; at least 1.
    pub period_secs: u32,
    /// Changes in the period that are still usual.
    pub most: u16,
    /// Changes at which an alarm ends; at most `most`.
    pub calm: u16,
}

const PERIOD: usize = 0;
/// Changes of the period before (upper half) and of this one.
const CHANGES: usize = 1;

impl Flapping {
    /// Words of the state.
    pub const WORDS: usize = 2;

    /// A session began or ended. The number of changes, and what it means.
    pub fn changed(&self, words: &mut [u32], at: Timestamp) -> (f64, Verdict) {
        self.turn(words, at);
        let changes = word(words, CHANGES);
        if changes & 0xffff < 0xffff {
            put(words, CHANGES, changes + 1);
        }
        self.judge(words, at)
    }

    /// The number of changes in the period before `at`, and what it means.
    pub fn judge(&self, words: &mut [u32], at: Timestamp) -> (f64, Verdict) {
        self.turn(words, at);
        let changes = word(words, CHANGES);
        let (before, now) = (changes >> 16, changes & 0xffff);
        let period = i64::from(self.period_secs.max(1)) * 1000;
        let into = at.millis().rem_euclid(period) as f64 / period as f64;
        let estimate = f64::from(now) + f64::from(before) * (1.0 - into);
        let limit = f64::from(self.most);
        let verdict = if estimate > limit {
            Verdict::Unusual { limit }
        } else if estimate <= f64::from(self.calm) {
            Verdict::Usual { limit }
        } else {
            Verdict::Learning
        };
        (estimate, verdict)
    }

    /// Moves on to the period of `at`; never back.
    fn turn(&self, words: &mut [u32], at: Timestamp) {
        let number = at.secs().div_euclid(i64::from(self.period_secs.max(1)));
        let number = u32::try_from(number.max(0)).unwrap_or(u32::MAX);
        let known = word(words, PERIOD);
        match number.checked_sub(known) {
            None | Some(0) => {}
            Some(1) => {
                put(words, PERIOD, number);
                put(words, CHANGES, word(words, CHANGES) << 16);
            }
            Some(_) => {
                put(words, PERIOD, number);
                put(words, CHANGES, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Flapping = Flapping { period_secs: 100, most: 5, calm: 2 };

    #[test]
    fn it_begins_above_the_one_and_ends_at_the_other() {
        let mut words = [0; 2];
        let at = |secs: i64| Timestamp::from_secs(1_000_000 + secs);
        let mut said: Vec<Verdict> =
            (0..6).map(|change| RULE.changed(&mut words, at(10 * change)).1).collect();
        let limit = 5.0;
        assert_eq!(said.remove(1), Verdict::Usual { limit });
        assert_eq!(said.remove(1), Verdict::Learning, "three is between");
        assert_eq!(said.pop(), Some(Verdict::Unusual { limit }), "six is too many");
        assert_eq!(RULE.judge(&mut words, at(100)), (6.0, Verdict::Unusual { limit }));
        assert_eq!(RULE.judge(&mut words, at(150)), (3.0, Verdict::Learning));
        assert_eq!(RULE.judge(&mut words, at(175)), (1.5, Verdict::Usual { limit }));
        assert_eq!(RULE.judge(&mut words, at(200)).0, 0.0);
    }

    #[test]
    fn what_comes_late_counts_now_and_the_count_has_an_end() {
        let mut words = [0; 2];
        RULE.changed(&mut words, Timestamp::from_secs(500));
        assert_eq!(RULE.changed(&mut words, Timestamp::from_secs(499)).0, 2.0);
        for _ in 0..70_000 {
            RULE.changed(&mut words, Timestamp::from_secs(500));
        }
        assert_eq!(words[CHANGES], 0xffff);
        assert_eq!(RULE.judge(&mut words, Timestamp::from_secs(5_000)).0, 0.0);
    }
}
