//! The last datapoints of a behavior, for whoever wants to know how an alarm came about.

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Datapoints that are remembered before the deciding one. Three more numbers would cost every
/// behavior of every thing 24 bytes.
pub const RECENT_MAX: usize = 3;

/// The last datapoints of one behavior for one entity: 24 bytes.
///
/// Values are kept in single precision (seven digits), times by the second and at most 18 hours
/// apart: what is older is told as 18 hours older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// Second of the newest.
    last: u32,
    /// Newest first.
    values: [f32; RECENT_MAX],
    /// Seconds from each one after the first to the one that came after it.
    back: [u16; RECENT_MAX - 1],
    /// Bits 0 and 1: how many. Bits 2 and up: which ones were violating, newest first.
    flags: u8,
}

/// A datapoint of the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecentPoint {
    /// Its time, to the second.
    pub at: Timestamp,
    /// Its value; of a list the number of its elements.
    pub value: f64,
    /// Whether it was compliant.
    pub compliant: bool,
}

impl Recent {
    /// Adds a datapoint; the oldest goes.
    #[inline]
    pub fn push(&mut self, at: Timestamp, value: f64, compliant: bool) {
        let second = u32::try_from(at.secs().max(0)).unwrap_or(u32::MAX);
        let len = self.len();
        if len > 0 {
            let gap = u16::try_from(second.saturating_sub(self.last)).unwrap_or(u16::MAX);
            self.back = [gap, self.back.first().copied().unwrap_or(0)];
        }
        let [first, second_value, _] = self.values;
        #[expect(clippy::cast_possible_truncation, reason = "single precision is what is promised")]
        let value = value as f32;
        self.values = [value, first, second_value];
        self.last = second;
        let violating = (self.flags >> 2) << 1 | u8::from(!compliant);
        let len = u8::try_from((len + 1).min(RECENT_MAX)).unwrap_or(0);
        self.flags = (violating & 0b111) << 2 | len;
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.flags & 0b11) as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The datapoints, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = RecentPoint> {
        let backs = std::iter::once(0).chain(self.back);
        let mut second = self.last;
        let violating = self.flags >> 2;
        self.values.into_iter().zip(backs).take(self.len()).enumerate().map(move |(index, (value, back))| {
            second = second.saturating_sub(u32::from(back));
            RecentPoint {
                at: Timestamp::from_secs(i64::from(second)),
                value: f64::from(value),
                compliant: violating >> index & 1 == 0,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_three_are_kept_with_their_times() {
        let mut recent = Recent::default();
        assert!(recent.is_empty() && size_of::<Recent>() == 24);
        let told = |recent: &Recent| {
            let point =
                |p: RecentPoint| format!("{}={}{}", p.at.secs(), p.value, if p.compliant { "" } else { "!" });
            recent.newest_first().map(point).collect::<Vec<_>>().join(" ")
        };
        let push = |recent: &mut Recent, at: i64, value: f64, compliant| {
            recent.push(Timestamp::from_secs(at), value, compliant);
        };
        push(&mut recent, 1_000, 5.0, false);
        assert_eq!(told(&recent), "1000=5!");
        push(&mut recent, 1_300, 1.5, true);
        assert_eq!(told(&recent), "1300=1.5 1000=5!");
        push(&mut recent, 1_900, 7.0, false);
        push(&mut recent, 2_000, 8.0, false);
        assert_eq!(told(&recent), "2000=8! 1900=7! 1300=1.5");
        push(&mut recent, 2_000 + 100_000, 9.0, true);
        assert_eq!(told(&recent), "102000=9 36465=8! 36365=7!", "further apart than can be told");
        assert_eq!(recent.len(), 3);
    }
}
