//! Which records can hold the events of a window: when each time was first reached.

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Marks that are remembered. When there are more, every second one of the older half goes, so that
/// what is long ago is known less exactly.
const MARKS_MAX: usize = 1024;

/// Times with the first record that reached them, both rising.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks(Vec<(Timestamp, u64)>);

impl Marks {
    /// Record `seq` is the first of an event at or after `at`.
    pub(crate) fn add(&mut self, at: Timestamp, seq: u64) {
        if self.0.last().is_some_and(|&(last, _)| last >= at) {
            return;
        }
        if self.0.len() >= MARKS_MAX {
            let mut index = 0;
            self.0.retain(|_| {
                index += 1;
                index > MARKS_MAX / 2 || index % 2 == 1
            });
        }
        self.0.push((at, seq));
    }

    /// A record with no event at or after `start` before it; as late a one as is known, 0 if none is.
    pub(crate) fn before(&self, start: Timestamp) -> u64 {
        let known = self.0.partition_point(|&(at, _)| at <= start);
        known.checked_sub(1).and_then(|at| self.0.get(at)).map_or(0, |&(_, seq)| seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_at_its_mark_or_before_it() {
        let at = Timestamp::from_secs;
        let mut marks = Marks::default();
        assert_eq!(marks.before(at(5)), 0);
        marks.add(at(10), 7);
        marks.add(at(20), 9);
        marks.add(at(20), 12);
        assert_eq!([9, 10, 15, 20, 99].map(|second| marks.before(at(second))), [0, 7, 7, 9, 9]);
        for n in 3..10_000 {
            marks.add(at(n * 10), n.unsigned_abs() * 10);
        }
        assert!(marks.0.len() <= MARKS_MAX);
        assert_eq!(marks.before(at(99_990)), 99_990);
        assert!((1..=10_000).contains(&marks.before(at(10_000))));
    }
}
