//! `IOT_POLICY_POTENTIAL_MISCONFIGURATION_CHECK` (MEDIUM, as AWS has it).
//!
//! # What it notices
//! - `POLICY_CONTAINS_MQTT_WILDCARDS_IN_DENY_STATEMENT`: a Deny with `+` or `#`, which policies take
//!   literally, so that it denies one odd filter instead of what was meant.
//! - `TOPIC_FILTERS_INTENDED_TO_DENY_ALLOWED_USING_WILDCARDS`: subscribing to part of a tree is
//!   denied, but a wider filter is allowed, and the messages of the part may be received.
//!
//! # How it decides
//! `device-defender-audit.md`, section 4, R1 and R2, step by step; conditions of grants are ignored,
//! and a Deny with a condition denies nothing.
//!
//! # What to do
//! Write `*` for `+` and `#` in a Deny, and deny `iot:Receive` on the same topics.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    finding::{Finding, Place, Severity},
    policy::{
        form::{Action, Document, Effect, Kind, Undecided},
        lang::{Dfa, Letter, Token},
        parse::aws::{AwsPolicy, Scope, Statement},
    },
};

/// Name of the check.
pub const CHECK: &str = "IOT_POLICY_POTENTIAL_MISCONFIGURATION_CHECK";
/// A Deny with a wildcard of MQTT.
pub const WILDCARDS: &str = "POLICY_CONTAINS_MQTT_WILDCARDS_IN_DENY_STATEMENT";
/// A Deny that a wider filter goes round.
pub const BYPASSED: &str = "TOPIC_FILTERS_INTENDED_TO_DENY_ALLOWED_USING_WILDCARDS";

/// Levels of a denied filter at most, for wildcards in each are tried; AWS allows eight.
const LEVELS_MAX: usize = 10;

/// What was found: reason code, line, and what stands there.
pub type Reason = (&'static str, usize, String);

/// The reasons, the first of each code, and what stayed undecided.
#[must_use]
pub fn reasons(policy: &AwsPolicy) -> (Vec<Reason>, Vec<Undecided>) {
    let mut found: Vec<Reason> = wildcards(policy).into_iter().collect();
    let (bypassed, undecided) = bypassed(policy);
    found.extend(bypassed);
    (found, undecided)
}

/// The findings, one for each reason code.
#[must_use]
pub fn audit(policy: &AwsPolicy) -> Vec<Finding> {
    let (reasons, _) = reasons(policy);
    let finding = |(code, line, what): Reason| Finding {
        check: CHECK.into(),
        severity: Severity::Medium,
        code: code.into(),
        reason: what,
        resource: policy.resource(),
        related: Vec::new(),
        place: Some(Place::line(policy.file.clone(), line)),
        remedy: if code == WILDCARDS {
            "write `*` instead of `+` and `#`; a policy takes these literally".into()
        } else {
            "deny `iot:Receive` on the same topics as well".into()
        },
    };
    reasons.into_iter().map(finding).collect()
}

fn denials(policy: &AwsPolicy) -> impl Iterator<Item = &Statement> {
    policy.statements.iter().filter(|statement| statement.effect == Effect::Deny && !statement.not_resource)
}

/// R1: a whole level of a `topic/` or `topicfilter/` resource is `+` or `#`.
fn wildcards(policy: &AwsPolicy) -> Option<Reason> {
    for statement in denials(policy) {
        for (line, resource) in &statement.resources {
            let topic = resource.splitn(6, ':').nth(5).and_then(|rest| {
                rest.trim_start_matches('/')
                    .strip_prefix("topicfilter/")
                    .or_else(|| rest.trim_start_matches('/').strip_prefix("topic/"))
            });
            if let Some(topic) = topic
                && topic.split('/').any(|level| level == "+" || level == "#")
            {
                return Some((WILDCARDS, *line, format!("the Deny on `{topic}` holds a wildcard of MQTT")));
            }
        }
    }
    None
}

/// R2.
fn bypassed(policy: &AwsPolicy) -> (Option<Reason>, Vec<Undecided>) {
    let document = policy.document();
    let mut undecided = Vec::new();
    for (scope, subject) in policy.scopes().iter().zip(&document.subjects) {
        let denied = denied_filters(policy, scope);
        if denied.is_empty() {
            continue;
        }
        let sets = document.language(subject, Action::Subscribe, &BTreeMap::new()).and_then(|subscribe| {
            Ok((subscribe, document.language(subject, Action::Receive, &BTreeMap::new())?))
        });
        let (subscribe, receive) = match sets {
            Ok(sets) => sets,
            Err(reason) => {
                undecided.push(reason);
                continue;
            }
        };
        for (line, tokens) in denied {
            match wider(&document, &tokens, &subscribe, &receive) {
                Some(Ok((filter, topic))) => {
                    let what = format!("messages of `{topic}` are received by subscribing to `{filter}`");
                    return (Some((BYPASSED, line, what)), undecided);
                }
                Some(Err(reason)) => undecided.push(reason),
                None => {}
            }
        }
    }
    (None, undecided)
}

/// The filters that a Deny names, with their lines; `*` alone is none.
fn denied_filters(policy: &AwsPolicy, scope: &Scope) -> Vec<(usize, Vec<Token>)> {
    let mut scratch = policy.clone();
    let mut filters = Vec::new();
    for statement in denials(policy).filter(|statement| statement.speaks_of(Action::Subscribe)) {
        for (line, resource) in &statement.resources {
            for pattern in scratch.patterns(resource, scope, Kind::Filter).unwrap_or_default() {
                if pattern.tokens.first().is_some_and(|token| *token != Token::Run)
                    || pattern.tokens.len() > 1
                {
                    filters.push((*line, pattern.tokens));
                }
            }
        }
    }
    filters
}

/// A wider filter that is allowed though the denied one is not, with the topic received by it.
fn wider(
    document: &Document,
    tokens: &[Token],
    subscribe: &Dfa,
    receive: &Dfa,
) -> Option<Result<(String, String), Undecided>> {
    let levels = concrete(tokens);
    if levels.len() > LEVELS_MAX {
        return Some(Err(Undecided::TooLarge));
    }
    let join = |levels: &[Vec<Letter>]| levels.join(&Letter::from('/'));
    let topic = join(&levels);
    if !receive.contains_word(topic.iter().copied()) {
        return None;
    }
    let filter = candidates(&levels)
        .into_iter()
        .map(|levels| join(&levels))
        .find(|filter| subscribe.contains_word(filter.iter().copied()))?;
    Some(Ok((document.variables.text(&filter), document.variables.text(&topic))))
}

/// The levels with something in place of wildcards: `*` and `+` is `x`, `#` is `x/y`.
fn concrete(tokens: &[Token]) -> Vec<Vec<Letter>> {
    let is_slash = |token: &Token| *token == Token::Letter('/'.into());
    let mut levels = Vec::new();
    for level in tokens.split(is_slash) {
        if level == [Token::Letter('#'.into())] {
            levels.extend([vec!['x'.into()], vec!['y'.into()]]);
        } else if level == [Token::Letter('+'.into())] {
            levels.push(vec!['x'.into()]);
        } else {
            levels.push(
                level
                    .iter()
                    .map(|token| if let Token::Letter(letter) = token { *letter } else { 'x'.into() })
                    .collect(),
            );
        }
    }
    levels
}

/// `#`, every proper beginning with `/#`, every replacement of one or more levels by `+`, and these
/// cut short with `/#`. Shortest first.
fn candidates(levels: &[Vec<Letter>]) -> BTreeSet<Vec<Vec<Letter>>> {
    let (plus, hash) = (vec![Letter::from('+')], vec![Letter::from('#')]);
    let mut all = BTreeSet::from([vec![hash.clone()]]);
    for mask in 0..(1_u32 << levels.len()) {
        let replace = |(index, level): (usize, &Vec<Letter>)| {
            if mask & (1 << index) == 0 { level.clone() } else { plus.clone() }
        };
        let replaced: Vec<Vec<Letter>> = levels.iter().enumerate().map(replace).collect();
        for length in 1..replaced.len() {
            let mut cut = replaced.get(..length).unwrap_or_default().to_vec();
            cut.push(hash.clone());
            all.insert(cut);
        }
        if mask != 0 {
            all.insert(replaced);
        }
    }
    all
}
