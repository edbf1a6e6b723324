//! The walk of a set of names over the names of a fleet.

use super::{
    LISTED_MAX, Reached,
    things::{Things, alike},
};
use crate::policy::lang::{Dfa, Letter, Row, State};

/// Ranges up to so many names are walked through one by one.
const FEW: usize = 1_024;

pub(super) struct Walk<'w> {
    names: &'w Dfa,
    things: &'w Things,
    fates: Vec<Fate>,
    /// Steps on ASCII, 128 for each state: four times the next state, and what it says in the last
    /// bits (see [`code`]). None as long as few names are walked through, or if there are too many
    /// states.
    table: Vec<u32>,
    /// Names walked through so far.
    walked: usize,
}

/// What a state says about the names that go on from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// None is reached.
    None,
    /// All are reached.
    All,
    /// That depends; whether the name that ends here is reached.
    Open(bool),
}

/// States up to which a table of steps is made: 512 bytes for each.
const TABLE_MAX: usize = 2_000;

/// A state with its fate: bit 1 is whether it is open, bit 0 whether the name is reached.
const fn code(state: State, fate: Fate) -> u32 {
    state << 2
        | match fate {
            Fate::None => 0,
            Fate::All => 1,
            Fate::Open(false) => 2,
            Fate::Open(true) => 3,
        }
}

impl<'w> Walk<'w> {
    pub(super) fn new(names: &'w Dfa, things: &'w Things) -> Self {
        let alive = names.reaching(|row| row.accept);
        let open = names.reaching(|row| !row.accept);
        let fate = |((row, alive), open): ((&Row, bool), bool)| match (alive, open) {
            (false, _) => Fate::None,
            (true, false) => Fate::All,
            (true, true) => Fate::Open(row.accept),
        };
        let fates = names.rows().iter().zip(alive).zip(open).map(fate).collect();
        Self { names, things, fates, table: Vec::new(), walked: 0 }
    }

    fn fate(&self, state: State) -> Fate {
        self.fates.get(state as usize).copied().unwrap_or(Fate::None)
    }

    fn run(&self, state: State, text: &str) -> State {
        self.names.run(state, text.chars().map(Letter::from))
    }

    /// Goes through ranges of names that begin alike, in the order of the list.
    pub(super) fn all(mut self, reached: &mut Reached) {
        let mut stack = vec![(0, self.things.len(), 0, self.names.start())];
        while let Some((from, to, depth, state)) = stack.pop() {
            match self.fate(state) {
                _ if from >= to => {}
                Fate::None => {}
                Fate::All => self.take(from, to, reached),
                Fate::Open(_) if to - from <= FEW => self.one_by_one((from, to, depth, state), reached),
                Fate::Open(_) => {
                    let alike = depth + alike(self.rest(from, depth), self.rest(to - 1, depth), usize::MAX);
                    if alike > depth {
                        let shared = self.things.name(from).get(depth..alike).unwrap_or_default();
                        stack.push((from, to, alike, self.run(state, shared)));
                    } else {
                        self.branch((from, to, depth, state), &mut stack, reached);
                    }
                }
            }
        }
    }

    fn rest(&self, index: usize, depth: usize) -> &'w str {
        self.things.name(index).get(depth..).unwrap_or_default()
    }

    /// Walks through a range, each name from where it differs from the one before.
    fn one_by_one(&mut self, (from, to, depth, state): (usize, usize, usize, State), reached: &mut Reached) {
        self.walked += to - from;
        if self.walked > FEW && self.table.is_empty() && self.names.rows().len() <= TABLE_MAX {
            self.fill_table();
        }
        // The state before each byte of the name at hand, with its fate.
        let mut codes = vec![0; self.things.longest + 1];
        if let Some(first) = codes.get_mut(depth) {
            *first = code(state, self.fate(state));
        }
        // From which byte on nothing depends on the rest any more.
        let mut settled: Option<(usize, bool)> = None;
        for index in from..to {
            let alike = if index == from { depth } else { self.things.alike(index).max(depth) };
            let yes = match settled {
                Some((at, yes)) if alike >= at => yes,
                _ => {
                    let (at, code) = self.walk(self.things.name(index), alike, &mut codes);
                    settled = (code & 2 == 0).then_some((at, code & 1 == 1));
                    code & 1 == 1
                }
            };
            if yes {
                self.take(index, index + 1, reached);
            }
        }
    }

    /// Goes on with a name from a byte, to its end or to where nothing depends on the rest: there,
    /// and the state with its fate.
    fn walk(&self, name: &str, from: usize, codes: &mut [u32]) -> (usize, u32) {
        let bytes = name.as_bytes();
        let mut at = from;
        let mut here = codes.get(at).copied().unwrap_or(0);
        while here & 2 != 0
            && let Some(&byte) = bytes.get(at)
        {
            match self.table.get((here >> 2) as usize * 128 + usize::from(byte)) {
                Some(to) if byte < 128 => {
                    here = *to;
                    at += 1;
                }
                _ => {
                    let Some(letter) = name.get(at..).and_then(|rest| rest.chars().next()) else { break };
                    let state = self.names.step(here >> 2, letter.into());
                    here = code(state, self.fate(state));
                    at += letter.len_utf8();
                }
            }
            if let Some(place) = codes.get_mut(at) {
                *place = here;
            }
        }
        (at, here)
    }

    /// Splits a range by the next letter.
    fn branch(
        &self,
        (mut from, to, depth, state): (usize, usize, usize, State),
        stack: &mut Vec<(usize, usize, usize, State)>,
        reached: &mut Reached,
    ) {
        if self.things.name(from).len() == depth {
            if self.names.accepts_at(state) {
                self.take(from, from + 1, reached);
            }
            from += 1;
        }
        let mut parts = Vec::new();
        while from < to {
            let Some(letter) = self.things.name(from).get(depth..).and_then(|rest| rest.chars().next())
            else {
                break;
            };
            let is_same = |index: usize| {
                self.things.name(index).get(depth..).is_some_and(|rest| rest.starts_with(letter))
            };
            let end = partition(from, to, is_same);
            parts.push((from, end, depth + letter.len_utf8(), self.names.step(state, letter.into())));
            from = end;
        }
        stack.extend(parts.into_iter().rev());
    }

    fn take(&self, from: usize, to: usize, reached: &mut Reached) {
        reached.things += to - from;
        let room = LISTED_MAX.saturating_sub(reached.listed.len());
        reached.listed.extend((from..to).take(room).map(|index| self.things.name(index).to_owned()));
    }

    #[expect(clippy::cast_possible_truncation, reason = "states are bounded by STATES_MAX")]
    fn fill_table(&mut self) {
        let states = self.names.rows().len();
        let mut table = Vec::with_capacity(states * 128);
        for state in 0..states {
            table.extend((0..128).map(|letter| {
                let to = self.names.step(state as State, letter);
                code(to, self.fate(to))
            }));
        }
        self.table = table;
    }
}

/// The first place from which `is_same` is false; it is true before and false after.
fn partition(from: usize, to: usize, is_same: impl Fn(usize) -> bool) -> usize {
    // Doubling first: neighbours are mostly near.
    let (mut low, mut width) = (from, 1);
    while low + width < to && is_same(low + width) {
        low += width;
        width *= 2;
    }
    let mut high = to.min(low + width);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if is_same(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
