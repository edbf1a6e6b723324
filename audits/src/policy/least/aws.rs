//! Least privilege of an AWS IoT policy.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    LeastPrivilege, Proof, Unused, Use,
    tighten::{tightened, with_symbol},
};
use crate::policy::{
    form::{Action, Document, Effect, Kind, Object, Subject, Undecided, Variables},
    lang::{Dfa, Letter, Nfa, Pattern, SYMBOLS, Token},
    parse::aws::{self, AwsPolicy, Scope, word},
};

/// Of one scope: a rule's index, and the words it was used for by action.
type Used = BTreeMap<usize, BTreeMap<Action, BTreeSet<Vec<Letter>>>>;
/// Condition and action, and the resources that were needed.
type Needed = BTreeMap<(String, Action), BTreeSet<String>>;

/// What of the policy was not used, and a tighter one. `uses` are those of devices with this policy.
#[must_use]
pub fn aws(policy: &AwsPolicy, uses: &[Use]) -> LeastPrivilege {
    let document = policy.document();
    let mut needed = Needed::new();
    let mut idle: BTreeMap<(usize, String, Action), bool> = BTreeMap::new();
    let mut undecided = None;
    for (scope, subject) in policy.scopes().iter().zip(&document.subjects) {
        match used_rules(&document, subject, uses) {
            Ok(used) => {
                mark(&document, subject, &used, &mut idle);
                need(policy, &document, scope, &used, &mut needed);
            }
            Err(reason) => undecided = Some(reason),
        }
    }
    let unused = idle.into_iter().filter(|(_, used)| !used).map(|((line, grant, action), _)| Unused {
        line,
        action: action.aws_name(),
        grant,
    });
    let unused = unused.collect();
    if let Some(reason) = undecided {
        let proof = Proof { subset: Err(reason), used: 0, kept: 0, refused: uses.len() };
        return LeastPrivilege { unused, proposal: None, proof };
    }
    let text = written(policy, &needed);
    let proof = prove(policy, &document, &text, uses);
    LeastPrivilege { unused, proposal: proof.holds().then_some(text), proof }
}

/// The value of a symbol for one principal.
fn value(variables: &Variables, principal: &super::Principal, symbol: Letter) -> Option<Vec<Token>> {
    let text = match symbol {
        Variables::THING => principal.thing.as_ref(),
        Variables::CLIENT => principal.client_id.as_ref(),
        _ if variables.name(symbol).contains("CommonName") => principal.user.as_ref(),
        _ => None,
    };
    text.map(|text| text.chars().map(|letter| Token::Letter(letter.into())).collect())
}

fn matches(document: &Document, object: &Object, used: &Use) -> Result<bool, Undecided> {
    let bound = |patterns: &[Pattern]| {
        let mut nfa = Nfa::default();
        for pattern in patterns {
            nfa.add(&pattern.bound(&|symbol| value(&document.variables, &used.principal, symbol)), 0);
        }
        nfa.contains(used.name.chars().map(u32::from))
    };
    Ok(match object {
        Object::Any(patterns) => bound(patterns),
        Object::Except(patterns) => !bound(patterns),
        Object::Expression(_) => return Err(Undecided::Unreadable),
    })
}

/// For each use the first rule that decides about it, if that allows it.
fn used_rules(document: &Document, subject: &Subject, uses: &[Use]) -> Result<Used, Undecided> {
    let mut used = Used::new();
    for one in uses {
        if subject.undecided.has(one.action) {
            return Err(Undecided::Unreadable);
        }
        for &index in &subject.order {
            let Some(rule) = document.rules.get(index).filter(|rule| rule.actions.has(one.action)) else {
                continue;
            };
            if matches(document, &rule.object, one)? {
                if rule.effect == Effect::Allow {
                    let word = word_of(&rule.object, one);
                    used.entry(index).or_default().entry(one.action).or_default().insert(word);
                }
                break;
            }
        }
    }
    Ok(used)
}

/// The name with the thing's variable, if the grant covers that for every device; else as it is.
fn word_of(object: &Object, one: &Use) -> Vec<Letter> {
    let literal = || one.name.chars().map(u32::from).collect();
    let Some(thing) = one.principal.thing.as_deref().filter(|thing| !thing.is_empty()) else {
        return literal();
    };
    let word = with_symbol(&one.name, thing, Variables::THING);
    let covered = |patterns: &[Pattern]| {
        let mut nfa = Nfa::default();
        for pattern in patterns {
            nfa.add(pattern, 0);
        }
        nfa.contains(word.iter().copied())
    };
    match object {
        Object::Any(patterns) if covered(patterns) => word,
        Object::Except(patterns) if !covered(patterns) => word,
        _ => literal(),
    }
}

fn mark(
    document: &Document,
    subject: &Subject,
    used: &Used,
    idle: &mut BTreeMap<(usize, String, Action), bool>,
) {
    for &index in &subject.order {
        let Some(rule) = document.rules.get(index).filter(|rule| rule.effect == Effect::Allow) else {
            continue;
        };
        for action in Action::ALL.into_iter().filter(|action| rule.actions.has(*action)) {
            let was_used = used.get(&index).is_some_and(|actions| actions.contains_key(&action));
            // The two spellings of a job action are one to whoever reads the report.
            let entry = idle.entry((rule.line, rule.text.clone(), action.current())).or_default();
            *entry |= was_used;
        }
    }
}

/// The resources that take the place of each used rule.
fn need(policy: &AwsPolicy, document: &Document, scope: &Scope, used: &Used, needed: &mut Needed) {
    for (index, actions) in used {
        let Some(rule) = document.rules.get(*index) else { continue };
        let statement = policy.statements.iter().rev().find(|statement| {
            statement.line <= rule.line
                && statement.effect == Effect::Allow
                && statement.condition.is_some() == rule.conditional
        });
        let condition = statement.and_then(|statement| statement.condition.clone()).unwrap_or_default();
        for (action, words) in actions {
            let kind = action.kind();
            let patterns = match &rule.object {
                Object::Any(patterns) => patterns.as_slice(),
                _ => &[],
            };
            let resources = needed.entry((condition.clone(), *action)).or_default();
            let tight =
                if patterns.is_empty() { one_by_one(words) } else { tightened(words, patterns, Token::Run) };
            match tight {
                Some(all) => {
                    resources.extend(all.iter().map(|tokens| resource(document, scope, kind, tokens)));
                }
                // Wider than what was granted: what was granted stays.
                None => {
                    resources.extend(patterns.iter().map(|old| resource(document, scope, kind, &old.tokens)))
                }
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the same shape as `tightened`, which it stands in for")]
fn one_by_one(words: &BTreeSet<Vec<Letter>>) -> Option<Vec<Vec<Token>>> {
    Some(words.iter().map(|word| word.iter().map(|letter| Token::Letter(*letter)).collect()).collect())
}

fn resource(document: &Document, scope: &Scope, kind: Kind, tokens: &[Token]) -> String {
    let mut text = scope.prefix(word(kind));
    let letters: Vec<Letter> =
        tokens.iter().map(|token| if let Token::Letter(letter) = token { *letter } else { 0 }).collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Letter(letter) if *letter >= SYMBOLS => text.push_str(document.variables.name(*letter)),
            Token::Letter(letter) => match char::from_u32(*letter) {
                Some('$') if letters.get(index + 1) == Some(&'{'.into()) => text.push_str("${$}"),
                Some(letter @ ('*' | '?')) => text.push_str(&format!("${{{letter}}}")),
                Some(letter) => text.push(letter),
                None => {}
            },
            Token::OneChar => text.push('?'),
            _ => text.push('*'),
        }
    }
    text
}

/// The new policy as JSON: the denials as they were, then one statement for each set of resources.
fn written(policy: &AwsPolicy, needed: &Needed) -> String {
    let mut statements: Vec<Value> = Vec::new();
    for statement in policy.statements.iter().filter(|statement| statement.effect == Effect::Deny) {
        let texts = |list: &[(usize, String)]| list.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
        let action = if statement.not_action { "NotAction" } else { "Action" };
        let resource = if statement.not_resource { "NotResource" } else { "Resource" };
        let mut value = json!({"Effect": "Deny", action: texts(&statement.actions), resource: texts(&statement.resources)});
        add_condition(&mut value, statement.condition.as_deref().unwrap_or_default());
        statements.push(value);
    }
    let mut grouped: BTreeMap<(&String, &BTreeSet<String>), Vec<&str>> = BTreeMap::new();
    for ((condition, action), resources) in needed {
        grouped.entry((condition, resources)).or_default().push(action.aws_name());
    }
    let mut grants: Vec<(Vec<&str>, &String, &BTreeSet<String>)> = grouped
        .into_iter()
        .map(|((condition, resources), actions)| (actions, condition, resources))
        .collect();
    grants.sort();
    for (actions, condition, resources) in grants {
        let mut value = json!({"Effect": "Allow", "Action": actions, "Resource": resources});
        add_condition(&mut value, condition);
        statements.push(value);
    }
    let version = policy.version.as_deref().unwrap_or("2012-10-17");
    let document = json!({"Version": version, "Statement": statements});
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn add_condition(statement: &mut Value, condition: &str) {
    if let (Ok(condition), Some(members)) =
        (serde_json::from_str::<Value>(condition), statement.as_object_mut())
    {
        members.insert("Condition".into(), condition);
    }
}

/// Reads the new policy as any other, and compares.
fn prove(policy: &AwsPolicy, old: &Document, text: &str, uses: &[Use]) -> Proof {
    let mut parsed = aws::parse(&policy.file, text);
    parsed.variables = old.variables.clone();
    let new = parsed.document();
    let mut proof = Proof { subset: subset(policy, &parsed, old, &new), used: 0, kept: 0, refused: 0 };
    let allows = |document: &Document, one: &Use| {
        document.subjects.iter().any(|subject| {
            used_rules(document, subject, std::slice::from_ref(one)).is_ok_and(|used| !used.is_empty())
        })
    };
    for one in uses {
        if allows(old, one) {
            proof.used += 1;
            proof.kept += usize::from(allows(&new, one));
        } else {
            proof.refused += 1;
        }
    }
    proof
}

/// Scope by scope, action by action.
fn subset(policy: &AwsPolicy, parsed: &AwsPolicy, old: &Document, new: &Document) -> Result<bool, Undecided> {
    if !parsed.problems.is_empty() {
        return Err(Undecided::Unreadable);
    }
    let language = |document: &Document, subject: Option<&Subject>, action| match subject {
        Some(subject) => document.language(subject, action, &BTreeMap::new()),
        None => Ok(Dfa::nothing()),
    };
    let (old_scopes, new_scopes) = (policy.scopes(), parsed.scopes());
    for (scope, subject) in new_scopes.iter().zip(&new.subjects) {
        let before =
            old_scopes.iter().position(|known| known == scope).and_then(|index| old.subjects.get(index));
        // Without any grant left there is no scope either, and nothing is allowed in the stand-in.
        for action in Action::ALL {
            let (now, then) = (language(new, Some(subject), action)?, language(old, before, action)?);
            if !now.is_subset(&then)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
