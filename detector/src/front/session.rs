//! Who is connected from where, and to whom a failed login can be charged.
//!
//! A failure names an address, never a device: the client id in it is only claimed. The address
//! stands for a device only if that device, and no other, had a session from it in the last hour
//! (`design.md`, promise 9).

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

/// No entity, no principal, no ring.
pub(crate) const NONE: u32 = u32::MAX;

/// How long a session that ended still stands for its address.
const MEMORY_SECS: u32 = 3600;

/// Seconds since the epoch in 32 bits: enough until 2106, and before 1970 nothing was connected.
#[inline]
pub(crate) fn secs32(at: Timestamp) -> u32 {
    u32::try_from(at.secs().max(0)).unwrap_or(u32::MAX)
}

/// A thing, as the front needs it: 36 bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Thing {
    /// Principal of the latest session.
    pub(crate) principal: u32,
    /// Address of the session, while there is one and it is followed.
    pub(crate) address: u32,
    /// Its reports that were seen last.
    pub(crate) ring: u32,
    /// Short hash of the latest session's address; 0 if it is not known.
    pub(crate) ip: u32,
    /// Second in which the latest session began; 0 if there was none.
    pub(crate) since: u32,
    /// Second in which it ended.
    pub(crate) left: u32,
    /// Things that had this number before.
    pub(crate) generation: u32,
    /// Source that told of the session.
    pub(crate) source: u16,
    /// Reconnects in a row.
    pub(crate) streak: u8,
    /// A session is open.
    pub(crate) connected: bool,
    /// The latest session was ended by another one.
    pub(crate) taken: bool,
    /// It counts in the shares of its groups: it was connected since its broker began.
    pub(crate) known: bool,
    /// A session of it lasted, so that it is missed when it goes.
    pub(crate) lasting: bool,
}

impl Thing {
    pub(crate) const fn new() -> Self {
        Self {
            principal: NONE,
            address: NONE,
            ring: NONE,
            ip: 0,
            since: 0,
            left: 0,
            generation: 0,
            source: 0,
            streak: 0,
            connected: false,
            taken: false,
            known: false,
            lasting: false,
        }
    }

    /// How it counts in the shares of its groups: as known, and as connected.
    pub(crate) fn share(&self) -> (i32, i32) {
        (i32::from(self.known), i32::from(self.known && self.connected))
    }

    /// The thing with this number that is there now, told from those that had the number before.
    pub(crate) const fn identity(&self, number: u32) -> u64 {
        (self.generation as u64) << 32 | number as u64
    }
}

/// A set of entities. One bit each, so that asking about any of them stays in the cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members(Vec<u64>);

impl Members {
    pub(crate) fn from_words(words: Vec<u64>) -> Self {
        Self(words)
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }

    #[inline]
    pub(crate) fn contains(&self, entity: u32) -> bool {
        self.0.get(entity as usize / 64).is_some_and(|word| word >> (entity % 64) & 1 != 0)
    }

    pub(crate) fn set(&mut self, entity: u32, member: bool) {
        let at = entity as usize / 64;
        if member && at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        if let Some(word) = self.0.get_mut(at) {
            *word = *word & !(1 << (entity % 64)) | u64::from(member) << (entity % 64);
        }
    }
}

/// A source address: enough to say exactly whether one thing alone stands behind it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    /// Open sessions from it, of any thing.
    live: u32,
    /// The thing whose session began last, see [`Thing::identity`].
    thing: u64,
    /// Whether that session is open.
    thing_live: bool,
    /// When that thing last had a session from here, if it has none now.
    last: u32,
    /// When any other thing last had a session from here; 0 if never.
    others: u32,
}

/// No thing.
const NOBODY: u64 = u64::MAX;

impl Address {
    pub(crate) const fn new() -> Self {
        Self { live: 0, thing: NOBODY, thing_live: false, last: 0, others: 0 }
    }

    /// A session of `thing` begins. The caller has ended an open one of the same thing.
    pub(crate) fn opened(&mut self, thing: u64, at: u32) {
        if self.thing != thing {
            if self.thing != NOBODY {
                self.others = self.others.max(if self.thing_live { at } else { self.last });
            }
            self.thing = thing;
        }
        self.thing_live = true;
        self.live = self.live.saturating_add(1);
    }

    /// A session of `thing` ends.
    pub(crate) fn closed(&mut self, thing: u64, at: u32) {
        self.live = self.live.saturating_sub(1);
        if self.thing == thing {
            self.thing_live = false;
            self.last = self.last.max(at);
        } else {
            self.others = self.others.max(at);
        }
    }

    /// Whether any thing ever had a session from it, as far as is known.
    pub(crate) const fn had_session(&self) -> bool {
        self.thing != NOBODY
    }

    /// Whether no session from it is open.
    pub(crate) const fn is_idle(&self) -> bool {
        self.live == 0
    }

    /// The one thing that had a session from here in the hour before `at`, if it is the only one.
    pub(crate) fn only_thing(&self, at: u32) -> Option<u64> {
        let others_live = self.live > u32::from(self.thing_live);
        let recent = |then: u32| then != 0 && at.saturating_sub(then) <= MEMORY_SECS;
        if self.thing == NOBODY || others_live || recent(self.others) {
            return None;
        }
        (self.thing_live || recent(self.last)).then_some(self.thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps such as `+1@10` (thing 1 connects at 10 s) and `-1@20`, then who is alone when.
    fn check(steps: &str, at: u32, expected: Option<u64>) {
        let mut address = Address::new();
        for step in steps.split_whitespace() {
            let (thing, time) = step[1..].split_once('@').unwrap();
            let (thing, time) = (thing.parse().unwrap(), time.parse().unwrap());
            if step.starts_with('+') { address.opened(thing, time) } else { address.closed(thing, time) }
        }
        assert_eq!(address.only_thing(at), expected, "{steps} at {at}");
    }

    #[test]
    fn an_address_stands_for_a_thing_only_if_it_is_alone() {
        check("", 10, None);
        check("+1@10", 10, Some(1));
        check("+1@10", 1_000_000, Some(1));
        check("+1@10 -1@20", 3620, Some(1));
        check("+1@10 -1@20", 3621, None);
        check("+1@10 +2@15", 20, None);
        check("+1@10 +2@15 -1@20", 3620, None);
        check("+1@10 +2@15 -1@20", 3621, Some(2));
        check("+1@10 +2@15 -2@20", 3621, None);
        check("+1@10 -1@20 +2@30", 3620, None);
        check("+1@10 -1@20 +2@30", 3621, Some(2));
        check("+1@10 -1@20 +1@30 -1@40", 50, Some(1));
    }

    #[test]
    fn members_are_remembered_by_bit() {
        let mut members = Members::default();
        for entity in [0, 63, 64, 1_000] {
            assert!(!members.contains(entity));
            members.set(entity, false);
            members.set(entity, true);
            assert!(members.contains(entity) && !members.contains(entity + 1));
        }
        members.set(63, false);
        assert!(!members.contains(63) && members.contains(0) && members.contains(64));
    }

    #[test]
    fn a_long_session_of_a_third_thing_is_not_forgotten() {
        check("+1@10 +2@20 +3@30 -3@40 -2@50", 100_000, None);
        check("+1@10 +2@20 +3@30 -1@35 -2@40", 3640, None);
        check("+1@10 +2@20 +3@30 -1@35 -2@40", 3641, Some(3));
    }
}
