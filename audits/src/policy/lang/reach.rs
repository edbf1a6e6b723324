//! From filters to topics: what somebody receives who may subscribe to a set of filters.

use super::{DEAD, Dfa, END, FIRST, Letter, Nfa, State, TooLarge, dfa::Row, nfa::When, valid_filter};

/// Where in a filter the automaton stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    Level,
    Inside,
}

/// Whether `a/#` covers `a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// As MQTT says.
    Covered,
    /// NATS subscribes to `a` apart, which must be allowed by itself.
    Apart,
}

/// The topics that some filter of the set matches (MQTT 5.0, section 4.7: `+` one level, `#` the
/// rest with the parent level; neither covers a leading `$` as the first letter).
///
/// # Errors
/// Past the bounds of this module.
pub(crate) fn reach(filters: &Dfa, parent: Parent) -> Result<Dfa, TooLarge> {
    let filters = filters.and(valid_filter())?;
    let mut reach = Reach { filters: &filters, parent, nfa: Nfa::default(), all: 0 };
    reach.all = reach.nfa.node(0);
    for _ in filters.rows() {
        for _ in 0..3 {
            reach.nfa.node(0);
        }
    }
    let (all, beyond) = (reach.all, reach.nfa.node(0));
    reach.nfa.accept_all(all);
    reach.nfa.edges_without(beyond, &['$'], all);
    for (state, row) in (0..).zip(filters.rows()) {
        if state == DEAD {
            continue;
        }
        for place in [Place::Start, Place::Level, Place::Inside] {
            if place != Place::Start || state == filters.start() {
                reach.state(state, row, place, beyond);
            }
        }
    }
    let start = reach.node(filters.start(), Place::Start);
    reach.nfa.start(start);
    let topics = reach.nfa.determinize(|tag| tag.is_some())?;
    topics.and(super::valid_topic())
}

struct Reach<'f> {
    filters: &'f Dfa,
    parent: Parent,
    nfa: Nfa,
    all: u32,
}

impl Reach<'_> {
    const fn node(&self, state: State, place: Place) -> u32 {
        1 + state * 3 + place as u32
    }

    fn state(&mut self, state: State, row: &Row, place: Place, beyond: u32) {
        let at = self.node(state, place);
        self.letters(at, row);
        self.ending(at, state, place);
        if place == Place::Inside {
            return;
        }
        let plus = self.filters.step(state, '+'.into());
        if plus != DEAD {
            self.level(at, plus, place);
        }
        if self.filters.accepts_at(self.filters.step(state, '#'.into())) {
            let to = if place == Place::Start { beyond } else { self.all };
            self.nfa.jump(at, to, When::Always);
        }
    }

    /// Letters stand for themselves, but for the wildcards.
    fn letters(&mut self, at: u32, row: &Row) {
        let ends = row.pieces.iter().skip(1).map(|piece| piece.0).chain([END]);
        for (&(low, to), end) in row.pieces.iter().zip(ends) {
            if to == DEAD {
                continue;
            }
            let inside = self.node(to, Place::Inside);
            let level = self.node(to, Place::Level);
            let mut from = low.max(FIRST);
            for special in ['#', '+', '/'] {
                let letter = Letter::from(special);
                if (from..end).contains(&letter) {
                    self.nfa.edge(at, from, letter, inside);
                    if special == '/' {
                        self.nfa.edge(at, letter, letter + 1, level);
                    }
                    from = letter + 1;
                }
            }
            self.nfa.edge(at, from, end, inside);
        }
    }

    /// The topic ends here: the filter may too, or go on with `/#`.
    fn ending(&mut self, at: u32, state: State, place: Place) {
        let parent = self.filters.run(state, ['/'.into(), '#'.into()]);
        let by_parent = self.parent == Parent::Covered && self.filters.accepts_at(parent);
        let accepted = self.filters.accepts_at(state) || by_parent;
        if place != Place::Start && accepted {
            self.nfa.accept(at);
        }
    }

    /// `+` stands for a whole level, after which the filter is in `plus`.
    fn level(&mut self, at: u32, plus: State, place: Place) {
        let run = self.nfa.node(0);
        let first: &[char] = if place == Place::Start { &['#', '$', '+', '/'] } else { &['#', '+', '/'] };
        self.nfa.edges_without(at, first, run);
        self.nfa.edges_without(run, &['#', '+', '/'], run);
        self.ending(run, plus, Place::Level);
        let next = self.filters.step(plus, '/'.into());
        if next != DEAD {
            let level = self.node(next, Place::Level);
            let slash = Letter::from('/');
            self.nfa.edge(run, slash, slash + 1, level);
            self.nfa.edge(at, slash, slash + 1, level);
        }
        if place != Place::Start {
            self.ending(at, plus, Place::Level);
        }
    }
}
