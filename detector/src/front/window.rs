//! The last reports that a source delivered, by identity.
//!
//! Asked for each report, mostly in vain, so built for that: whether an identity is known is seen in
//! one line of the cache. A line holds up to [`LINE`] short entries: a few bits of the identity, and
//! when it was added. What was added too long ago is out of date by that alone and is written over,
//! so that the oldest is not looked up to be taken out. The identities themselves are in the
//! order of their coming; only one whose bits are the same is looked up there.

use hashbrown::HashMap;

/// Reports of a source that are remembered. A packet id has 16 bits and is not 0 (MQTT 5, section
/// 2.2.1), so no broker has more under way to us; acknowledgements go out in order, so that what is
/// delivered again is among the last so many.
pub(super) const DELIVERIES_MAX: usize = 65_535;

/// Entries of a line: 64 bytes.
const LINE: usize = 16;

/// Lines are made for so many identities each on average: a line is then hardly ever full.
const FILL: usize = 8;

/// Bits of an entry that tell when; the others are of the identity.
const TIME_BITS: u32 = 20;
const TIMES: u64 = 1 << TIME_BITS;

/// So many additions and a line is cleared of what is out of date, in turn, so that all lines are
/// cleared before times come again.
const CLEAR_EACH: u64 = 32;
const _: () = assert!((DELIVERIES_MAX.next_power_of_two() / FILL) as u64 * CLEAR_EACH < TIMES / 2);

/// The last [`DELIVERIES_MAX`] identities.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The identity that was added as the n-th is in place n modulo [`DELIVERIES_MAX`].
    order: Vec<u64>,
    /// How many were ever added. Times count from 1: an entry of 0 is empty.
    added: u64,
    /// A power of two of them, or none.
    lines: Vec<[u32; LINE]>,
    /// Identities that found no room in their line, with their number. Bounded by the window.
    spilled: HashMap<u64, u64>,
}

impl Window {
    pub(super) fn knows(&self, identity: u64) -> bool {
        let entries = self.line_of(identity).and_then(|line| self.lines.get(line));
        let tag = tag(identity);
        let known = entries.is_some_and(|entries| {
            entries.iter().any(|&entry| {
                entry >> TIME_BITS == tag
                    && self.number(entry).is_some_and(|number| self.at(number) == Some(identity))
            })
        });
        known || (!self.spilled.is_empty() && self.spilled.contains_key(&identity))
    }

    pub(super) fn add(&mut self, identity: u64) {
        if self.knows(identity) {
            return;
        }
        let number = self.added;
        self.added += 1;
        if self.order.len() < DELIVERIES_MAX {
            self.order.push(identity);
            if self.order.len() > self.lines.len() * FILL {
                self.grow();
                return;
            }
        } else if let Some(oldest) = self.order.get_mut(place(number)) {
            let oldest = std::mem::replace(oldest, identity);
            if !self.spilled.is_empty() {
                self.spilled.remove(&oldest);
            }
        }
        self.enter(identity, number);
        if number.is_multiple_of(CLEAR_EACH) {
            self.clear(number / CLEAR_EACH);
        }
    }

    /// The identities that are known, the oldest first.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = u64> {
        (self.added - self.order.len() as u64..self.added).filter_map(|number| self.at(number))
    }

    pub(super) fn memory(&self) -> usize {
        self.order.capacity() * size_of::<u64>()
            + self.lines.capacity() * size_of::<[u32; LINE]>()
            + self.spilled.allocation_size()
    }

    fn at(&self, number: u64) -> Option<u64> {
        self.order.get(place(number)).copied()
    }

    fn line_of(&self, identity: u64) -> Option<usize> {
        let last = self.lines.len().checked_sub(1)?;
        usize::try_from(identity & last as u64).ok()
    }

    /// The number of the identity that an entry stands for; nothing if it is empty or out of date.
    fn number(&self, entry: u32) -> Option<u64> {
        let time = u64::from(entry) & (TIMES - 1);
        let ago = self.added.wrapping_sub(time) & (TIMES - 1);
        if entry == 0 || ago >= self.order.len() as u64 {
            return None;
        }
        self.added.checked_sub(ago + 1)
    }

    fn enter(&mut self, identity: u64, number: u64) {
        let Some(line) = self.line_of(identity) else { return };
        let entries = self.lines.get(line).copied().unwrap_or_default();
        let free = entries.iter().position(|&entry| self.number(entry).is_none());
        let own = free.and_then(|at| self.lines.get_mut(line)?.get_mut(at));
        let time = u32::try_from((number + 1) & (TIMES - 1)).unwrap_or(0);
        match own {
            Some(own) => *own = tag(identity) << TIME_BITS | time,
            None => drop(self.spilled.insert(identity, number)),
        }
    }

    /// Empties the entries of a line that are out of date.
    fn clear(&mut self, turn: u64) {
        let Some(line) = self.line_of(turn) else { return };
        let mut entries = self.lines.get(line).copied().unwrap_or_default();
        for entry in &mut entries {
            if self.number(*entry).is_none() {
                *entry = 0;
            }
        }
        if let Some(own) = self.lines.get_mut(line) {
            *own = entries;
        }
    }

    /// Twice the lines, and all identities anew.
    #[cold]
    fn grow(&mut self) {
        let lines = (2 * self.lines.len()).max(4);
        self.lines = vec![[0; LINE]; lines];
        self.spilled.clear();
        for number in self.added - self.order.len() as u64..self.added {
            if let Some(identity) = self.at(number) {
                self.enter(identity, number);
            }
        }
    }
}

/// The bits of an identity that an entry holds; the lowest ones choose the line. Never 0 in all: the
/// entry of a time of 0 must not look empty.
fn tag(identity: u64) -> u32 {
    u32::try_from(identity >> (32 + TIME_BITS)).unwrap_or(0).max(1)
}

fn place(number: u64) -> usize {
    usize::try_from(number % DELIVERIES_MAX as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Numbers without pattern (an LCG of Knuth's), from few if `few`.
    fn identities(few: bool) -> impl Iterator<Item = u64> {
        let mut state = 1_u64;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = state ^ state >> 29;
            if few { (drawn % 100_000) << 40 } else { drawn }
        })
    }

    /// What the window has to be like: a list and a set.
    #[derive(Default)]
    struct Slow {
        order: VecDeque<u64>,
        known: std::collections::HashSet<u64>,
    }

    impl Slow {
        fn add(&mut self, identity: u64) {
            if self.known.insert(identity) {
                self.order.push_back(identity);
            }
            if self.order.len() > DELIVERIES_MAX {
                let oldest = self.order.pop_front().unwrap();
                self.known.remove(&oldest);
            }
        }
    }

    /// More than times can tell apart, of identities that are spread and that all fall into one line.
    #[test]
    fn the_last_ones_are_known_and_no_others() {
        for (few, count) in [(false, 1_300_000), (true, 200_000)] {
            let (mut window, mut slow) = (Window::default(), Slow::default());
            let mut asked = identities(true).skip(7);
            for (at, identity) in identities(few).take(count).enumerate() {
                assert_eq!(window.knows(identity), slow.known.contains(&identity), "{at}");
                window.add(identity);
                slow.add(identity);
                assert!(window.knows(identity));
                let other = asked.next().unwrap();
                assert_eq!(window.knows(other), slow.known.contains(&other), "{at}");
            }
            assert!(window.oldest_first().eq(slow.order.iter().copied()));
            assert!(slow.order.iter().all(|&identity| window.knows(identity)));
            assert!(
                few || (window.memory() < 3 << 19 && window.spilled.len() < 1_000),
                "{}",
                window.memory()
            );
        }
    }

    #[test]
    fn the_one_before_the_oldest_is_forgotten() {
        let mut window = Window::default();
        for identity in 0..=3 * DELIVERIES_MAX as u64 {
            window.add(identity);
            assert!(window.knows(identity.saturating_sub(DELIVERIES_MAX as u64 - 1)));
            assert!(identity < DELIVERIES_MAX as u64 || !window.knows(identity - DELIVERIES_MAX as u64));
        }
    }
}
