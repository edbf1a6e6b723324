//! Patterns: what the rules of all systems, regular expressions aside, are made of.

use super::{Letter, SYMBOLS, letters};

/// One step of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Token {
    /// Exactly this letter.
    Letter(Letter),
    /// One character, no symbol: AWS `?`.
    OneChar,
    /// Any letters, none too: AWS `*`.
    Run,
    /// Any letters but `/`: a whole level.
    Level,
    /// Any letters but `/` and `#`: a level that is not the multi-level wildcard.
    LevelNoHash,
    /// One character or more, none of `/`, `+` and `#`, no symbol: a name that a client chooses.
    Name,
    /// Nothing, or `/` and any letters: `/#` of MQTT with the parent level. Only last.
    Rest,
}

/// A set of words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Pattern {
    pub(crate) tokens: Vec<Token>,
    /// A word that begins with `$` does not match (MQTT 5.0, section 4.7.2, for a leading wildcard).
    pub(crate) not_dollar: bool,
}

impl Pattern {
    /// Just this text.
    pub(crate) fn text(text: &str) -> Self {
        Self { tokens: letters(text).map(Token::Letter).collect(), not_dollar: false }
    }

    pub(crate) fn of(tokens: Vec<Token>) -> Self {
        Self { tokens, not_dollar: false }
    }

    /// The pattern with each symbol replaced by what `value` says; others stay.
    pub(crate) fn bound(&self, value: &impl Fn(Letter) -> Option<Vec<Token>>) -> Self {
        let mut tokens = Vec::with_capacity(self.tokens.len());
        for token in &self.tokens {
            match token {
                Token::Letter(letter) if *letter >= SYMBOLS => match value(*letter) {
                    Some(replacement) => tokens.extend(replacement),
                    None => tokens.push(*token),
                },
                _ => tokens.push(*token),
            }
        }
        Self { tokens, not_dollar: self.not_dollar }
    }

    pub(crate) fn symbols(&self) -> impl Iterator<Item = Letter> + '_ {
        self.tokens.iter().filter_map(|token| match token {
            Token::Letter(letter) if *letter >= SYMBOLS => Some(*letter),
            _ => None,
        })
    }
}
