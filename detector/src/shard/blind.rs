//! Times in which a source told nothing, so that nobody's absence means anything.

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Gaps that are remembered; a further one joins the latest. Windows end within an hour, and so
/// many outages in an hour are one.
const GAPS_MAX: usize = 32;

/// Gaps in the order they were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blind {
    gaps: Vec<(Timestamp, Timestamp)>,
    /// The latest end of any gap.
    until: Option<Timestamp>,
}

impl Blind {
    pub(crate) fn add(&mut self, from: Timestamp, to: Timestamp) {
        self.until = self.until.max(Some(to));
        let full = self.gaps.len() >= GAPS_MAX;
        match self.gaps.last_mut() {
            // A source that is still away tells of the same gap again and again.
            Some((start, end)) if full || from <= *end && *start <= to => {
                *start = (*start).min(from);
                *end = (*end).max(to);
            }
            _ => self.gaps.push((from, to)),
        }
    }

    /// When somebody was last blind; `Timestamp::MIN` if nobody ever was.
    #[inline]
    pub(crate) fn until(&self) -> Timestamp {
        self.until.unwrap_or(Timestamp::MIN)
    }

    /// Whether a window had a gap in it, among those remembered.
    #[inline]
    pub(crate) fn had(&self, start: Timestamp, end: Timestamp) -> bool {
        self.gaps.iter().any(|&(from, to)| from < end && start < to)
    }

    /// Whether a window had a gap in it. Forgets gaps too old for any later window.
    pub(crate) fn overlaps(&mut self, start: Timestamp, end: Timestamp) -> bool {
        if self.gaps.is_empty() {
            return false;
        }
        // The longest window is an hour; twice that is kept.
        self.gaps.retain(|(_, to)| end.millis_since(*to) < 7_200_000);
        self.had(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_join_and_are_forgotten() {
        let at = Timestamp::from_secs;
        let mut blind = Blind::default();
        blind.add(at(100), at(110));
        blind.add(at(100), at(120));
        assert_eq!(blind.gaps, [(at(100), at(120))]);
        assert_eq!(blind.until(), at(120));
        assert!(blind.overlaps(at(0), at(101)) && blind.overlaps(at(119), at(300)));
        assert!(!blind.overlaps(at(0), at(100)) && !blind.overlaps(at(120), at(300)));
        blind.overlaps(at(10_000), at(10_300));
        assert!(blind.gaps.is_empty());
        assert_eq!(blind.until(), at(120), "the end of the last is not forgotten");
        for n in 0..100 {
            blind.add(at(n * 10), at(n * 10 + 1));
        }
        assert_eq!(blind.gaps.len(), GAPS_MAX);
    }
}
