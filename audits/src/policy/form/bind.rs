//! Variables of patterns, and the values that take their place.

use std::collections::BTreeMap;

use super::{Effect, Object, Undecided};
use crate::policy::lang::{Letter, Nfa, Pattern, Tag, Token};

/// Values of one variable at most; with more the question is undecided.
const VALUES_MAX: usize = 64;

pub(super) fn add_object(
    nfa: &mut Nfa,
    object: &Object,
    tag: Tag,
    values: &BTreeMap<Letter, Vec<Vec<Token>>>,
    effect: Effect,
) -> Result<(), Undecided> {
    match object {
        Object::Any(patterns) => {
            for pattern in patterns {
                for bound in bind(pattern, values, effect)? {
                    nfa.add(&bound, tag);
                }
            }
        }
        Object::Except(patterns) => {
            let mut inner = Nfa::default();
            let other = if effect == Effect::Allow { Effect::Deny } else { Effect::Allow };
            for pattern in patterns {
                for bound in bind(pattern, values, other)? {
                    inner.add(&bound, 0);
                }
            }
            nfa.add_dfa(&inner.determinize(|tag| tag.is_some())?.complement()?, tag);
        }
        Object::Expression(expression) => nfa.add_nfa(expression, tag),
    }
    Ok(())
}

/// The pattern with the values of its variables. A variable with several values in a denial denies
/// only what each value denies, which is not a pattern: there it stays a symbol of its own, so that
/// nothing of others is taken as denied.
fn bind(
    pattern: &Pattern,
    values: &BTreeMap<Letter, Vec<Vec<Token>>>,
    effect: Effect,
) -> Result<Vec<Pattern>, Undecided> {
    let is_text = |tokens: &[Token]| tokens.iter().all(|token| matches!(token, Token::Letter(_)));
    let mut patterns = vec![pattern.clone()];
    for (symbol, alternatives) in values {
        let times = pattern.symbols().filter(|found| found == symbol).count();
        if times == 0 {
            continue;
        }
        let single = alternatives.len() == 1 && alternatives.iter().all(|tokens| is_text(tokens));
        if effect == Effect::Deny && !single {
            continue;
        }
        if alternatives.is_empty() {
            return Err(Undecided::Unreadable);
        }
        if alternatives.len() > VALUES_MAX
            || (times > 1 && !alternatives.iter().all(|tokens| is_text(tokens)))
        {
            return Err(Undecided::TooLarge);
        }
        patterns = patterns
            .iter()
            .flat_map(|pattern| {
                alternatives
                    .iter()
                    .map(|tokens| pattern.bound(&|found| (found == *symbol).then(|| tokens.clone())))
            })
            .collect();
    }
    Ok(patterns)
}
