//! When an entity was there: connected, or doing something.

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::front::secs32;

/// Whether a session is open, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub(crate) enum Session {
    /// No session was ever seen.
    #[default]
    Unknown,
    /// Open.
    Open,
    /// Over.
    Over,
}

/// When an entity was active: the last minute by second, and the last second before that.
///
/// A window's end is told a little after the first events of the next one. With the minute the
/// two can be told apart; a single time of last activity would have moved on by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// Bit n: active in second `last - n`.
    bits: u64,
    /// Latest active second; 0 if none.
    last: u32,
    /// Latest active second before the minute; 0 if none.
    older: u32,
    /// Second in which the open session began; 0 if none is.
    since: u32,
    session: Session,
}

impl Presence {
    /// The entity did something.
    #[inline]
    pub(crate) fn active(&mut self, at: Timestamp) {
        let second = secs32(at);
        if second == self.last {
            return;
        }
        self.mark(second);
    }

    fn mark(&mut self, second: u32) {
        if second > self.last {
            let by = second - self.last;
            // What leaves the minute at its far end: the latest of it becomes `older`.
            let leaving = if by >= 64 { self.bits } else { self.bits & !(u64::MAX >> by) };
            if leaving != 0 {
                self.older = self.last - leaving.trailing_zeros();
            }
            self.bits = if by >= 64 { 0 } else { self.bits << by };
            self.bits |= 1;
            self.last = second;
        } else if self.last - second < 64 {
            self.bits |= 1 << (self.last - second);
        } else {
            self.older = self.older.max(second);
        }
    }

    /// A session began.
    pub(crate) fn connected(&mut self, at: Timestamp) {
        self.active(at);
        self.since = secs32(at);
        self.session = Session::Open;
    }

    /// The session ended. True if it was not known to be over.
    pub(crate) fn disconnected(&mut self, at: Timestamp) -> bool {
        let second = secs32(at);
        if self.session == Session::Open {
            // It was there all the time: a window that ended in the last minute must see that.
            for ago in (0..64).rev() {
                let earlier = second.saturating_sub(ago);
                if earlier >= self.since && earlier > 0 {
                    self.mark(earlier);
                }
            }
        }
        self.active(at);
        self.since = 0;
        std::mem::replace(&mut self.session, Session::Over) != Session::Over
    }

    /// A session must be open, although its beginning was not seen (it began before we did).
    /// One that is known to be over stays over: a line may come late.
    #[inline]
    pub(crate) fn must_be_connected(&mut self, at: Timestamp) {
        if self.session == Session::Unknown {
            self.since = secs32(at);
            self.session = Session::Open;
        }
    }

    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self.session, Session::Open)
    }

    /// When the last session ended, if it did and none began since.
    pub(crate) fn left_at(&self) -> Option<Timestamp> {
        (self.session == Session::Over).then(|| Timestamp::from_secs(i64::from(self.last)))
    }

    /// Latest second of activity; 0 if none.
    pub(crate) const fn last(&self) -> u32 {
        self.last
    }

    /// Whether it was there at any time from `start` to before `end`.
    pub(crate) fn within(&self, start: Timestamp, end: Timestamp) -> bool {
        let (start, end) = (secs32(start), secs32(end));
        if self.session == Session::Open && self.since < end {
            return true;
        }
        if self.last == 0 || start >= end {
            return false;
        }
        if self.older != 0 && (start..end).contains(&self.older) {
            return true;
        }
        // Seconds ago, from the newest to the oldest that count.
        let newest = (self.last + 1).saturating_sub(end);
        let oldest = match self.last.checked_sub(start) {
            Some(ago) => ago.min(63),
            None => return false,
        };
        newest <= oldest && (self.bits >> newest) & (u64::MAX >> (63 - (oldest - newest))) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: u32) -> Timestamp {
        Timestamp::from_secs(i64::from(second))
    }

    proptest! {
        #[test]
        fn the_last_minute_is_known_by_second(
            steps in proptest::collection::vec(0_u32..20, 1..40),
            start in 1_000_u32..1_400, len in 1_u32..64,
        ) {
            let mut presence = Presence::default();
            let mut times = Vec::new();
            let mut second = 1_000;
            for step in steps {
                second += step;
                presence.active(at(second));
                times.push(second);
            }
            // Only windows whose end is not further back than the minute are asked for.
            let end = start + len;
            prop_assume!(end + 63 > second);
            let expected = times.iter().any(|time| (start..end).contains(time));
            prop_assert_eq!(presence.within(at(start), at(end)), expected);
        }
    }

    #[test]
    fn a_session_that_ended_after_the_boundary_was_there_before_it() {
        let mut presence = Presence::default();
        presence.connected(at(1_000));
        assert!(presence.disconnected(at(1_501)));
        assert!(presence.within(at(1_200), at(1_500)));
        assert!(presence.within(at(1_500), at(1_800)));
        assert!(!presence.within(at(1_502), at(1_800)));
        assert!(!presence.disconnected(at(1_502)));
    }

    #[test]
    fn a_session_counts_only_from_its_beginning() {
        let mut presence = Presence::default();
        presence.must_be_connected(at(1_500));
        assert!(!presence.within(at(1_200), at(1_500)));
        assert!(presence.within(at(1_200), at(1_501)));
        assert!(presence.within(at(9_000), at(9_300)));
    }

    #[test]
    fn nothing_known_is_not_there() {
        assert!(!Presence::default().within(at(0), at(u32::MAX)));
    }
}
