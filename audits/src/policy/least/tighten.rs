//! From the words that were used to a few patterns.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::lang::{Dfa, Letter, Nfa, Pattern, Token};

/// Words that are granted one by one; of more a pattern is made.
const ONE_BY_ONE_MAX: usize = 8;

/// A set of words with some levels alike: each level a word, or any.
type Levels = Vec<Option<Vec<Letter>>>;

/// The words, or patterns that cover them; none if that would be wider than `old`.
pub(super) fn tightened(
    words: &BTreeSet<Vec<Letter>>,
    old: &[Pattern],
    level: Token,
) -> Option<Vec<Vec<Token>>> {
    let literal = |word: &Vec<Letter>| word.iter().map(|letter| Token::Letter(*letter)).collect::<Vec<_>>();
    let old = set(old)?;
    if !words.iter().all(|word| old.contains_word(word.iter().copied())) {
        return None;
    }
    if words.len() <= ONE_BY_ONE_MAX {
        return Some(words.iter().map(literal).collect());
    }
    let mut by_levels: BTreeMap<usize, Levels> = BTreeMap::new();
    for word in words {
        let levels: Levels =
            word.split(|letter| *letter == Letter::from('/')).map(|level| Some(level.to_vec())).collect();
        let merged = by_levels.entry(levels.len()).or_insert_with(|| levels.clone());
        for (known, level) in merged.iter_mut().zip(levels) {
            if *known != level {
                *known = None;
            }
        }
    }
    let mut all = Vec::new();
    for levels in by_levels.into_values() {
        let tokens = join(&levels, level);
        if !set(&[Pattern::of(tokens.clone())])?.is_subset(&old).ok()? {
            return None;
        }
        all.push(tokens);
    }
    Some(all)
}

fn join(levels: &Levels, level: Token) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, word) in levels.iter().enumerate() {
        if index > 0 {
            tokens.push(Token::Letter('/'.into()));
        }
        match word {
            Some(word) => tokens.extend(word.iter().map(|letter| Token::Letter(*letter))),
            None => tokens.push(level),
        }
    }
    tokens
}

fn set(patterns: &[Pattern]) -> Option<Dfa> {
    let mut nfa = Nfa::default();
    for pattern in patterns {
        nfa.add(pattern, 0);
    }
    nfa.determinize(|tag| tag.is_some()).ok()
}

/// The word with the symbol in place of the name, wherever a whole part between `/` is the name.
pub(super) fn with_symbol(word: &str, name: &str, symbol: Letter) -> Vec<Letter> {
    let mut letters = Vec::with_capacity(word.len());
    for (index, level) in word.split('/').enumerate() {
        if index > 0 {
            letters.push('/'.into());
        }
        if level == name {
            letters.push(symbol);
        } else {
            letters.extend(level.chars().map(u32::from));
        }
    }
    letters
}
