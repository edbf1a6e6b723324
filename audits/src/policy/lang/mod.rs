//! Sets of topics, filters and names as an algebra that is decided exactly.
//!
//! A word is a sequence of letters: a letter is a Unicode character from U+0020 on, or the
//! *symbol* of a policy variable whose value is not known (`${iot:ClientId}`, `%u`). A topic with a
//! control character is in no set: brokers refuse them (`broker-integration.md`, section 2.4).
//! Patterns of every system become finite automata over these letters; union, intersection,
//! difference, subset, emptiness and an example word follow by product construction.
//!
//! # Assumption about variables
//! The value of an identity variable holds no `/`, `+` or `#`: thing names cannot, and Mosquitto
//! refuses `+` and `#` in ids. So `+` covers a symbol, and `?` (one character) does not.
//!
//! # Bounds
//! An automaton grows to [`STATES_MAX`] states and [`WORK_MAX`] steps of construction. Past that the
//! answer is [`TooLarge`], which callers count as undecided: a wrong answer is never given.

mod dfa;
mod glob;
mod mqtt;
mod nfa;
mod pattern;
mod reach;
mod regex;
#[cfg(test)]
mod tests;

pub use dfa::Dfa;
pub(crate) use dfa::{DEAD, Row, State};
pub(crate) use glob::{aws_glob, glob_matches, residual};
pub(crate) use mqtt::{
    Dollar, filter_of_acl, nats_subject, topic_of_acl, valid_filter, valid_topic, wildcard,
};
pub(crate) use nfa::{Nfa, Tag};
pub(crate) use pattern::{Pattern, Token};
pub(crate) use reach::{Parent, reach};
pub(crate) use regex::{placeholder, routing_key_regex, search_regex};

/// A Unicode character, or a symbol from [`SYMBOLS`] on.
pub(crate) type Letter = u32;

/// The first letter; control characters below are in no word.
pub(crate) const FIRST: Letter = 0x20;
/// The symbol of the first variable.
pub(crate) const SYMBOLS: Letter = 0x11_0000;
/// Different variables in one document at most; a rule with a further one is undecided.
pub(crate) const SYMBOLS_MAX: u32 = 64;
/// The letter after the last.
pub(crate) const END: Letter = SYMBOLS + SYMBOLS_MAX;

/// States of one automaton at most.
pub const STATES_MAX: usize = 50_000;
/// Steps of one construction at most (members of state sets visited, pieces made).
pub const WORK_MAX: usize = 8_000_000;

/// A construction went past its bound; the question stays undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "undecided: more than {STATES_MAX} states or {WORK_MAX} steps would be needed")
    }
}

impl std::error::Error for TooLarge {}

/// The letters of a text.
pub(crate) fn letters(text: &str) -> impl Iterator<Item = Letter> + Clone + '_ {
    text.chars().map(u32::from)
}
