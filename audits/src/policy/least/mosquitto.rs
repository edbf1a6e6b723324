//! Least privilege of Mosquitto's ACL file.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    LeastPrivilege, Principal, Proof, Unused, Use,
    tighten::{tightened, with_symbol},
};
use crate::policy::{
    form::{Action, ClientIds, Document, Effect, Object, Subject, Undecided, Variables},
    lang::{Letter, Nfa, Pattern, Token},
    parse::mosquitto,
};

/// The words that a rule was used to read and to write.
#[derive(Debug, Default)]
struct Words {
    read: BTreeSet<Vec<Letter>>,
    write: BTreeSet<Vec<Letter>>,
}

/// What of the ACL file was not used, and a tighter one. Subscriptions count as nothing: the broker
/// accepts all of them; what was delivered is what was read.
#[must_use]
pub fn mosquitto(document: &Document, text: &str, uses: &[Use]) -> LeastPrivilege {
    let used = used(document, uses);
    let mut unused = Vec::new();
    for (index, rule) in document.rules.iter().enumerate().filter(|(_, rule)| rule.effect == Effect::Allow) {
        let words = used.get(&index);
        let reads = words.is_some_and(|words| !words.read.is_empty());
        let writes = words.is_some_and(|words| !words.write.is_empty());
        for (action, name, was_used) in [(Action::Receive, "read", reads), (Action::Publish, "write", writes)]
        {
            if rule.actions.has(action) && !was_used {
                unused.push(Unused { line: rule.line, action: name, grant: rule.text.clone() });
            }
        }
    }
    let proposal = written(document, text, &used);
    let proof = prove(document, &proposal, uses);
    LeastPrivilege { unused, proposal: proof.holds().then_some(proposal), proof }
}

/// The subject whose rules hold for a principal.
fn subject<'d>(document: &'d Document, principal: &Principal) -> Option<&'d Subject> {
    match &principal.user {
        None => document.subjects.first(),
        Some(_) => document
            .subjects
            .iter()
            .find(|subject| subject.user.is_some() && subject.user == principal.user)
            .or(document.subjects.last()),
    }
}

fn pattern_matches(pattern: &Pattern, one: &Use) -> bool {
    let value = |symbol: Letter| {
        let text = match symbol {
            Variables::CLIENT => one.principal.client_id.as_ref(),
            Variables::USER => one.principal.user.as_ref(),
            _ => None,
        };
        text.map(|text| text.chars().map(|letter| Token::Letter(letter.into())).collect())
    };
    let mut nfa = Nfa::default();
    nfa.add(&pattern.bound(&value), 0);
    nfa.contains(one.name.chars().map(u32::from))
}

/// The rule by which a use is allowed.
fn deciding(document: &Document, one: &Use) -> Option<usize> {
    let subject = subject(document, &one.principal)?;
    let dangerous = [&one.principal.client_id, &one.principal.user]
        .into_iter()
        .flatten()
        .any(|name| name.contains(['+', '#']));
    for &index in &subject.order {
        let rule = document.rules.get(index)?;
        let Object::Any(patterns) = &rule.object else { continue };
        if dangerous && rule.text.starts_with("pattern") {
            return None;
        }
        if rule.actions.has(one.action) && patterns.iter().any(|pattern| pattern_matches(pattern, one)) {
            return (rule.effect == Effect::Allow).then_some(index);
        }
    }
    None
}

fn used(document: &Document, uses: &[Use]) -> BTreeMap<usize, Words> {
    let mut used: BTreeMap<usize, Words> = BTreeMap::new();
    for one in uses
        .iter()
        .filter(|one| matches!(one.action, Action::Publish | Action::RetainPublish | Action::Receive))
    {
        let Some(index) = deciding(document, one) else { continue };
        let is_pattern = document.rules.get(index).is_some_and(|rule| rule.text.starts_with("pattern"));
        let (user, client) = (one.principal.user.as_deref(), one.principal.client_id.as_deref());
        // An id that is chosen freely grants nothing that a topic would not; the user name goes first.
        let word = match (is_pattern, user, client) {
            (true, Some(user), _) if one.name.split('/').any(|level| level == user) => {
                with_symbol(&one.name, user, Variables::USER)
            }
            (true, _, Some(client)) => with_symbol(&one.name, client, Variables::CLIENT),
            _ => one.name.chars().map(u32::from).collect(),
        };
        let words = used.entry(index).or_default();
        let side = if one.action == Action::Receive { &mut words.read } else { &mut words.write };
        side.insert(word);
    }
    used
}

/// The file with each grant in its place made tighter, unused ones left out, all else as it stands.
fn written(document: &Document, text: &str, used: &BTreeMap<usize, Words>) -> String {
    let by_line: BTreeMap<usize, usize> =
        document.rules.iter().enumerate().map(|(index, rule)| (rule.line, index)).collect();
    let broken: BTreeSet<usize> = document
        .problems
        .iter()
        .filter(|problem| problem.severity == fleet::problem::Severity::Error)
        .map(|problem| problem.line)
        .collect();
    let mut out = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let rule = by_line.get(&number).and_then(|index| Some((*index, document.rules.get(*index)?)));
        match rule {
            Some((index, rule)) if rule.effect == Effect::Allow => {
                for line in lines(rule, used.get(&index)) {
                    out.push_str(&line);
                    out.push('\n');
                }
            }
            // A line that the broker refuses grants nothing.
            _ if broken.contains(&number) => {}
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

fn lines(rule: &crate::policy::form::Rule, words: Option<&Words>) -> Vec<String> {
    let (Some(words), Object::Any(patterns)) = (words, &rule.object) else { return Vec::new() };
    let key = if rule.text.starts_with("pattern") { "pattern" } else { "topic" };
    let side = |words: &BTreeSet<Vec<Letter>>| -> BTreeSet<String> {
        if words.is_empty() {
            return BTreeSet::new();
        }
        let kept = || BTreeSet::from([topic_of(rule).to_owned()]);
        match tightened(words, patterns, Token::Level) {
            Some(all) => {
                all.iter().map(|tokens| filter(tokens)).collect::<Option<BTreeSet<_>>>().unwrap_or_else(kept)
            }
            None => kept(),
        }
    };
    let (read, write) = (side(&words.read), side(&words.write));
    let mut lines = Vec::new();
    for topic in read.union(&write) {
        let access = match (read.contains(topic), write.contains(topic)) {
            (true, true) => "readwrite",
            (true, false) => "read",
            _ => "write",
        };
        lines.push(format!("{key} {access} {topic}"));
    }
    lines
}

/// The topic of a rule as it was written.
fn topic_of(rule: &crate::policy::form::Rule) -> &str {
    let rest = rule.text.split_once(' ').map_or("", |(_, rest)| rest);
    rest.split_once(' ').map_or(rest, |(_, topic)| topic)
}

/// A pattern as a filter; none if a level holds a wildcard as a letter.
fn filter(tokens: &[Token]) -> Option<String> {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Letter(Variables::CLIENT) => text.push_str("%c"),
            Token::Letter(Variables::USER) => text.push_str("%u"),
            Token::Letter(letter) => match char::from_u32(*letter)? {
                '+' | '#' => return None,
                letter => text.push(letter),
            },
            Token::Level => text.push('+'),
            _ => return None,
        }
    }
    Some(text)
}

fn prove(old: &Document, text: &str, uses: &[Use]) -> Proof {
    let new = mosquitto::parse(&old.file, text);
    let counted =
        |one: &&Use| matches!(one.action, Action::Publish | Action::RetainPublish | Action::Receive);
    let mut proof = Proof { subset: subset(old, &new), used: 0, kept: 0, refused: 0 };
    for one in uses.iter().filter(counted) {
        if deciding(old, one).is_some() {
            proof.used += 1;
            proof.kept += usize::from(deciding(&new, one).is_some());
        } else {
            proof.refused += 1;
        }
    }
    proof
}

/// Subject by subject, with the client id as a symbol: the same for whoever has it.
fn subset(old: &Document, new: &Document) -> Result<bool, Undecided> {
    let [mut old, mut new] = [old.clone(), new.clone()];
    (old.client_ids, new.client_ids) = (ClientIds::Bound, ClientIds::Bound);
    for now in &new.subjects {
        let then = old.subjects.iter().find(|then| then.name == now.name);
        let Some(then) = then else { return Ok(false) };
        let (now, then) = (new.access(now), old.access(then));
        if !now.publish?.is_subset(&then.publish?)? || !now.receive?.is_subset(&then.receive?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
