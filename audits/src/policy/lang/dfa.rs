//! Deterministic automata: the sets themselves.

use std::collections::VecDeque;

use hashbrown::{HashMap, hash_map::Entry};

use super::{END, FIRST, Letter, STATES_MAX, SYMBOLS, TooLarge, WORK_MAX};

/// A state of an automaton; [`DEAD`] accepts nothing any more.
pub(crate) type State = u32;
/// The state from which no word is accepted.
pub(crate) const DEAD: State = 0;

/// What a state does with each letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) accept: bool,
    /// From this letter on, up to the next piece, to that state.
    /// INVARIANT: ascending, the first begins at [`FIRST`], neighbours differ in their state.
    pub(crate) pieces: Vec<(Letter, State)>,
}

impl Row {
    pub(crate) fn dead() -> Self {
        Self { accept: false, pieces: vec![(FIRST, DEAD)] }
    }

    /// To `default` but for some characters, given in ascending order.
    pub(crate) fn new(accept: bool, default: State, special: &[(char, State)]) -> Self {
        let mut pieces: Vec<(Letter, State)> = vec![(FIRST, default)];
        for &(letter, to) in special {
            pieces.retain(|piece| piece.0 < u32::from(letter));
            pieces.push((u32::from(letter), to));
            pieces.push((u32::from(letter) + 1, default));
        }
        pieces.dedup_by_key(|piece| piece.1);
        Self { accept, pieces }
    }

    fn next(&self, letter: Letter) -> State {
        if letter < FIRST {
            return DEAD;
        }
        let after = self.pieces.partition_point(|piece| piece.0 <= letter);
        after.checked_sub(1).and_then(|at| self.pieces.get(at)).map_or(DEAD, |piece| piece.1)
    }
}

/// A set of words.
#[derive(Clone, Debug)]
pub struct Dfa {
    rows: Vec<Row>,
    start: State,
}

impl Dfa {
    /// `rows[0]` is [`DEAD`].
    pub(crate) const fn new(rows: Vec<Row>, start: State) -> Self {
        Self { rows, start }
    }

    /// No word at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self { rows: vec![Row::dead()], start: DEAD }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) const fn start(&self) -> State {
        self.start
    }

    pub(crate) fn step(&self, state: State, letter: Letter) -> State {
        self.rows.get(state as usize).map_or(DEAD, |row| row.next(letter))
    }

    pub(crate) fn run(&self, from: State, word: impl IntoIterator<Item = Letter>) -> State {
        let mut at = from;
        for letter in word {
            if at == DEAD {
                return DEAD;
            }
            at = self.step(at, letter);
        }
        at
    }

    pub(crate) fn accepts_at(&self, state: State) -> bool {
        self.rows.get(state as usize).is_some_and(|row| row.accept)
    }

    /// Whether the text is in the set.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.accepts_at(self.run(self.start, text.chars().map(u32::from)))
    }

    pub(crate) fn contains_word(&self, word: impl IntoIterator<Item = Letter>) -> bool {
        self.accepts_at(self.run(self.start, word))
    }

    /// States, a measure of size.
    #[must_use]
    pub fn states(&self) -> usize {
        self.rows.len()
    }

    /// Words of both.
    ///
    /// # Errors
    /// Past the bounds of this module.
    pub fn and(&self, other: &Self) -> Result<Self, TooLarge> {
        self.product(other, |a, b| a && b)
    }

    /// Words of either.
    ///
    /// # Errors
    /// Past the bounds of this module.
    pub fn or(&self, other: &Self) -> Result<Self, TooLarge> {
        self.product(other, |a, b| a || b)
    }

    /// Words of this set that are not in the other.
    ///
    /// # Errors
    /// Past the bounds of this module.
    pub fn without(&self, other: &Self) -> Result<Self, TooLarge> {
        self.product(other, |a, b| a && !b)
    }

    /// All words that are not in the set.
    pub(crate) fn complement(&self) -> Result<Self, TooLarge> {
        self.product(&Self::nothing(), |a, _| !a)
    }

    /// `keep` of membership in this and in the other set.
    #[expect(clippy::cast_possible_truncation, reason = "states are bounded by STATES_MAX")]
    fn product(&self, other: &Self, keep: impl Fn(bool, bool) -> bool) -> Result<Self, TooLarge> {
        let neither = keep(false, false);
        let (left_dead, right_dead) = (!neither && !keep(false, true), !neither && !keep(true, false));
        let mut known: HashMap<(State, State), State> = HashMap::new();
        let mut pairs = vec![(DEAD, DEAD)];
        let mut rows = vec![Row::dead()];
        let mut state_of = |pair: (State, State), pairs: &mut Vec<(State, State)>| {
            let dead = (pair == (DEAD, DEAD) && !neither)
                || (pair.0 == DEAD && left_dead)
                || (pair.1 == DEAD && right_dead);
            if dead {
                return Ok(DEAD);
            }
            if let Some(state) = known.get(&pair) {
                return Ok(*state);
            }
            if pairs.len() >= STATES_MAX {
                return Err(TooLarge);
            }
            let state = pairs.len() as State;
            pairs.push(pair);
            known.insert(pair, state);
            Ok(state)
        };
        let start = state_of((self.start, other.start), &mut pairs)?;
        let mut work = 0;
        while let Some(&(a, b)) = pairs.get(rows.len()) {
            let mut pieces: Vec<(Letter, State)> = Vec::new();
            let mut failed = false;
            self.joined(other, (a, b), |letter, to| match state_of(to, &mut pairs) {
                Ok(state) if pieces.last().is_none_or(|last| last.1 != state) => pieces.push((letter, state)),
                Ok(_) => {}
                Err(TooLarge) => failed = true,
            });
            work += pieces.len();
            if failed || work > WORK_MAX {
                return Err(TooLarge);
            }
            rows.push(Row { accept: keep(self.accepts_at(a), other.accepts_at(b)), pieces });
        }
        Ok(Self { rows, start })
    }

    /// Visits each run of letters on which the pair of states goes to one pair.
    pub(crate) fn joined(
        &self,
        other: &Self,
        at: (State, State),
        mut visit: impl FnMut(Letter, (State, State)),
    ) {
        let none: &[(Letter, State)] = &[];
        let mut a = self.rows.get(at.0 as usize).map_or(none, |row| &row.pieces).iter().peekable();
        let mut b = other.rows.get(at.1 as usize).map_or(none, |row| &row.pieces).iter().peekable();
        let (mut x, mut y) = (DEAD, DEAD);
        loop {
            let cut = match (a.peek(), b.peek()) {
                (None, None) => return,
                (Some(p), None) => p.0,
                (None, Some(q)) => q.0,
                (Some(p), Some(q)) => p.0.min(q.0),
            };
            if let Some(piece) = a.next_if(|piece| piece.0 == cut) {
                x = piece.1;
            }
            if let Some(piece) = b.next_if(|piece| piece.0 == cut) {
                y = piece.1;
            }
            visit(cut, (x, y));
        }
    }

    /// A shortest word for which `want` of membership in this and in the other set holds.
    pub(crate) fn find(
        &self,
        other: &Self,
        want: impl Fn(bool, bool) -> bool,
    ) -> Result<Option<Vec<Letter>>, TooLarge> {
        let start = (self.start, other.start);
        let mut from = Trail::new();
        let mut queue = VecDeque::from([start]);
        from.insert(start, (start, 0));
        let mut work = 0;
        while let Some(at) = queue.pop_front() {
            if want(self.accepts_at(at.0), other.accepts_at(at.1)) {
                return Ok(Some(path(&from, start, at)));
            }
            let mut runs: Vec<(Letter, (State, State))> = Vec::new();
            self.joined(other, at, |letter, to| runs.push((letter, to)));
            let ends: Vec<Letter> = runs.iter().skip(1).map(|run| run.0).chain([END]).collect();
            let mut next: Vec<(u8, Letter, (State, State))> = runs
                .into_iter()
                .zip(ends)
                .map(|((low, to), end)| {
                    let (order, letter) = nicest(low, end);
                    (order, letter, to)
                })
                .collect();
            next.sort_unstable();
            for (_, letter, to) in next {
                work += 1;
                if let Entry::Vacant(entry) = from.entry(to) {
                    entry.insert((at, letter));
                    queue.push_back(to);
                }
            }
            if work > WORK_MAX {
                return Err(TooLarge);
            }
        }
        Ok(None)
    }

    /// Whether every word of this set is in the other.
    ///
    /// # Errors
    /// Past the bounds of this module.
    pub fn is_subset(&self, other: &Self) -> Result<bool, TooLarge> {
        Ok(self.find(other, |a, b| a && !b)?.is_none())
    }

    /// A shortest word of both.
    pub(crate) fn common(&self, other: &Self) -> Result<Option<Vec<Letter>>, TooLarge> {
        self.find(other, |a, b| a && b)
    }

    /// A shortest word.
    #[cfg(test)]
    pub(crate) fn example(&self) -> Result<Option<Vec<Letter>>, TooLarge> {
        self.find(&Self::nothing(), |a, _| a)
    }

    /// Whether no word is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.reaching(|row| row.accept).get(self.start as usize).copied().unwrap_or(false)
    }

    /// For each state, whether a state with the property can be reached (in no step too).
    #[expect(clippy::cast_possible_truncation, reason = "states are bounded by STATES_MAX")]
    pub(crate) fn reaching(&self, property: impl Fn(&Row) -> bool) -> Vec<bool> {
        let mut back: Vec<Vec<State>> = vec![Vec::new(); self.rows.len()];
        for (from, row) in self.rows.iter().enumerate() {
            for &(_, to) in &row.pieces {
                if let Some(sources) = back.get_mut(to as usize) {
                    sources.push(from as State);
                }
            }
        }
        let mut reached: Vec<bool> = self.rows.iter().map(property).collect();
        let mut stack: Vec<State> =
            (0..).zip(&reached).filter(|(_, yes)| **yes).map(|(state, _)| state).collect();
        while let Some(state) = stack.pop() {
            for &source in back.get(state as usize).into_iter().flatten() {
                if let Some(yes) = reached.get_mut(source as usize)
                    && !*yes
                {
                    *yes = true;
                    stack.push(source);
                }
            }
        }
        reached
    }

    /// The same set with as few states as there can be: states are told apart by what they accept,
    /// then by where their letters lead, until nothing more is told apart (Moore 1956).
    #[expect(clippy::cast_possible_truncation, reason = "states are bounded by STATES_MAX")]
    pub(crate) fn minimal(&self) -> Self {
        let mut classes: Vec<State> = self.rows.iter().map(|row| State::from(row.accept)).collect();
        let mut count = 0;
        loop {
            let class = |state: State| classes.get(state as usize).copied().unwrap_or(DEAD);
            // The dead state comes first, and so keeps its number.
            let mut known: HashMap<(State, Vec<(Letter, State)>), State> = HashMap::new();
            let mut rows: Vec<Row> = Vec::new();
            let mut next = Vec::with_capacity(classes.len());
            for (row, own) in self.rows.iter().zip(&classes) {
                let mut pieces: Vec<(Letter, State)> =
                    row.pieces.iter().map(|piece| (piece.0, class(piece.1))).collect();
                pieces.dedup_by_key(|piece| piece.1);
                let fresh = known.len() as State;
                next.push(*known.entry((*own, pieces.clone())).or_insert_with(|| {
                    rows.push(Row { accept: row.accept, pieces });
                    fresh
                }));
            }
            if known.len() == count {
                let start = class(self.start);
                return Self { rows, start };
            }
            count = known.len();
            classes = next;
        }
    }

    /// The same automaton that begins elsewhere and accepts at the states given.
    pub(crate) fn rooted(&self, start: State, accept: &[bool]) -> Self {
        let rows =
            self.rows.iter().zip(accept).map(|(row, &accept)| Row { accept, pieces: row.pieces.clone() });
        Self { rows: rows.collect(), start }
    }
}

/// From which pair of states each was reached first, and by which letter.
type Trail = HashMap<(State, State), ((State, State), Letter)>;

fn path(from: &Trail, start: (State, State), end: (State, State)) -> Vec<Letter> {
    let mut word = Vec::new();
    let mut at = end;
    while at != start {
        let Some(&(before, letter)) = from.get(&at) else { break };
        word.push(letter);
        at = before;
    }
    word.reverse();
    word
}

/// The letter of `low..end` that reads best in a report, and how well it reads (small is good).
fn nicest(low: Letter, end: Letter) -> (u8, Letter) {
    let has = |letter: &char| (low..end).contains(&u32::from(*letter));
    let liked = ['x', 'y', 'z', 'a', 'b', '0', '1', '/', '-', '_'];
    if let Some((order, letter)) = (0..).zip(liked).find(|(_, letter)| has(letter)) {
        return (order, u32::from(letter));
    }
    if let Some(letter) = ('!'..='~').find(has) {
        return (20, u32::from(letter));
    }
    // Between the characters lie the surrogates, which no text holds.
    let letter = if (0xD800..0xE000).contains(&low) && end > 0xE000 { 0xE000 } else { low };
    (if letter >= SYMBOLS { 40 } else { 30 }, letter)
}
