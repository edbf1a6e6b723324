//! EMQX `acl.conf`: Erlang terms, the first rule that matches decides.
//!
//! Facts: `broker-integration.md`, section 3; `emqx_authz_rule`, `emqx_topic` (5.x). Levels are
//! compared one by one: `+` covers any level, the wildcards of a filter too, and `#` the rest;
//! topics that begin with `$` are nothing special. `eq` compares as it stands. What is delivered is
//! not checked again. What no rule matches is decided by `authorization.no_match`, `allow` unless
//! configured.
//!
//! # Subjects
//! One for each `who` of the file and one for all others. A client that two of them describe (a user
//! name and an address) is not looked at apart. `{user, …}` and `%u`, `%c`, `pubsub` of EMQX 3 and 4
//! are read too.

use super::{
    Problems, RULES_MAX,
    erlang::{DEPTH_MAX, Term, terms},
    filter_fault, shown,
};
use crate::policy::{
    form::{Action, Actions, Document, Effect, Object, Rule, Subject, System, Variables},
    lang::{Dfa, Dollar, Pattern, search_regex, topic_of_acl},
};

const PLACEHOLDERS: [(&str, u32); 4] = [
    ("${clientid}", Variables::CLIENT),
    ("${username}", Variables::USER),
    ("%c", Variables::CLIENT),
    ("%u", Variables::USER),
];
/// Different `who`s of one file at most.
const SUBJECTS_MAX: usize = 2_000;

/// What happens where no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NoMatch {
    /// The default of EMQX.
    #[default]
    Allow,
    /// As it should be.
    Deny,
}

/// Who a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    All,
    User(String),
    UserLike(String),
    Client(String),
    ClientLike(String),
    /// Addresses as written, sorted.
    Address(String),
    And(Vec<Who>),
    Or(Vec<Who>),
}

/// What is known of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    user: Option<String>,
    client: Option<String>,
    /// The other descriptions that hold.
    holds: Vec<Who>,
}

/// Reads an `acl.conf`.
#[must_use]
pub fn parse(file: &str, text: &str, no_match: NoMatch) -> Document {
    let variables = Variables::new("${thing}", "${clientid}", "${username}");
    let mut document = Document::new(System::Emqx, file, variables);
    let mut problems = Problems::new(file);
    let mut whos: Vec<Who> = Vec::new();
    for (line, term) in terms(text, &mut problems) {
        match rule(line, &term) {
            Ok(_) if document.rules.len() >= RULES_MAX => {
                problems.error(line, format!("more than {RULES_MAX} rules; the rest is left out"));
                break;
            }
            Ok((who, rule)) => {
                whos.push(who);
                document.rules.push(rule);
            }
            Err(message) => problems.error(line, message),
        }
    }
    let mut default = Actions::of(&[Action::Connect, Action::Receive]);
    if no_match == NoMatch::Allow {
        default = default.with(Actions::PUBLISH).with(Actions::of(&[Action::Subscribe]));
    }
    subjects(&mut document, &whos, default, &mut problems);
    document.problems = problems.finish();
    document
}

fn subjects(document: &mut Document, whos: &[Who], default: Actions, problems: &mut Problems<'_>) {
    let mut known: Vec<Facts> = vec![Facts::default()];
    for (who, rule) in whos.iter().zip(&document.rules) {
        for facts in described(who) {
            if !known.contains(&facts) {
                if known.len() > SUBJECTS_MAX {
                    let message = format!(
                        "more than {SUBJECTS_MAX} different clients are told apart; the rest is not looked at"
                    );
                    problems.warning(rule.line, message);
                    break;
                }
                known.push(facts);
            }
        }
    }
    known.rotate_left(1);
    for facts in known {
        let mut subject = Subject {
            name: facts.name(),
            user: facts.user.clone(),
            client_id: facts.client.clone(),
            everyone: facts == Facts::default(),
            default,
            ..Subject::default()
        };
        for (index, (who, rule)) in whos.iter().zip(&document.rules).enumerate() {
            match facts.is(who) {
                Some(true) => {
                    subject.order.push(index);
                    if subject.line == 0 && (subject.everyone || *who != Who::All) {
                        subject.line = rule.line;
                    }
                }
                Some(false) => {}
                None => subject.undecided = subject.undecided.with(rule.actions),
            }
        }
        document.subjects.push(subject);
    }
}

/// The subjects that a `who` describes.
fn described(who: &Who) -> Vec<Facts> {
    match who {
        Who::All => Vec::new(),
        Who::User(name) => vec![Facts { user: Some(name.clone()), ..Facts::default() }],
        Who::Client(id) => vec![Facts { client: Some(id.clone()), ..Facts::default() }],
        Who::UserLike(_) | Who::ClientLike(_) | Who::Address(_) => {
            vec![Facts { holds: vec![who.clone()], ..Facts::default() }]
        }
        Who::Or(list) => list.iter().flat_map(described).collect(),
        Who::And(list) => {
            let mut all = Facts::default();
            for facts in list.iter().flat_map(described) {
                all.user = facts.user.or(all.user);
                all.client = facts.client.or(all.client);
                all.holds.extend(facts.holds);
            }
            vec![all]
        }
    }
}

impl Facts {
    fn name(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.user.iter().map(|user| format!("user `{}`", shown(user))));
        parts.extend(self.client.iter().map(|client| format!("client id `{}`", shown(client))));
        for who in &self.holds {
            parts.push(match who {
                Who::UserLike(text) => format!("a user name like `{}`", shown(text)),
                Who::ClientLike(text) => format!("a client id like `{}`", shown(text)),
                Who::Address(text) => format!("a client from {}", shown(text)),
                _ => continue,
            });
        }
        if parts.is_empty() { "every other client".into() } else { parts.join(" and ") }
    }

    /// Whether the description holds; `None` if an expression cannot be decided.
    fn is(&self, who: &Who) -> Option<bool> {
        let like = |name: &Option<String>, expression: &str| match name {
            Some(name) => matches(expression, name),
            None => Some(self.holds.contains(who)),
        };
        match who {
            Who::All => Some(true),
            Who::User(name) => Some(self.user.as_ref() == Some(name)),
            Who::Client(id) => Some(self.client.as_ref() == Some(id)),
            Who::UserLike(expression) => like(&self.user, expression),
            Who::ClientLike(expression) => like(&self.client, expression),
            Who::Address(_) => Some(self.holds.contains(who)),
            Who::And(list) => list.iter().try_fold(true, |all, who| Some(self.is(who)? && all)),
            Who::Or(list) => list.iter().try_fold(false, |any, who| Some(self.is(who)? || any)),
        }
    }
}

fn matches(expression: &str, name: &str) -> Option<bool> {
    let set: Dfa = search_regex(expression).ok()?.determinize(|tag| tag.is_some()).ok()?;
    Some(set.contains(name))
}

fn rule(line: usize, term: &Term) -> Result<(Who, Rule), String> {
    const SHAPE: &str = "expected `{allow, all}.` or `{allow, WHO, ACTION, [TOPIC]}.`";
    let Term::Tuple(parts) = term else { return Err(format!("found `{}`; {SHAPE}", shown(&term.text()))) };
    let (effect, rest) = match parts.split_first() {
        Some((Term::Atom(word), rest)) if word == "allow" => (Effect::Allow, rest),
        Some((Term::Atom(word), rest)) if word == "deny" => (Effect::Deny, rest),
        Some((other, _)) => {
            return Err(format!("found `{}`; allowed are `allow` and `deny`", shown(&other.text())));
        }
        None => return Err(format!("found an empty tuple; {SHAPE}")),
    };
    let text = shown(&term.text());
    let receive = Actions::PUBLISH.with(Actions::of(&[Action::Subscribe]));
    let rule = |actions, conditional, object| Rule {
        line,
        text: text.clone(),
        effect,
        actions,
        conditional,
        attached: false,
        object,
    };
    match rest {
        [Term::Atom(all)] if all == "all" => Ok((Who::All, rule(receive, false, Object::everything()))),
        [who_term, action, Term::List(topics)] => {
            let (who, (actions, conditional)) = (who(who_term, 0)?, action_of(action)?);
            let patterns: Vec<Pattern> = topics.iter().map(topic).collect::<Result<_, _>>()?;
            // A denial for some qualities of service only is none for the others.
            let actions = if conditional && effect == Effect::Deny { Actions::NONE } else { actions };
            Ok((who, rule(actions, conditional, Object::Any(patterns))))
        }
        _ => Err(format!("found `{text}`; {SHAPE}")),
    }
}

fn who(term: &Term, depth: usize) -> Result<Who, String> {
    const ALLOWED: &str = "allowed are `all`, `{username, \"NAME\"}`, `{clientid, \"ID\"}`, `{ipaddr, \"CIDR\"}`, `{ipaddrs, [\"CIDR\"]}`, `{'and', [WHO]}` and `{'or', [WHO]}`";
    let wrong = || format!("found `{}`; {ALLOWED}", shown(&term.text()));
    if depth > DEPTH_MAX {
        return Err(wrong());
    }
    let Term::Tuple(parts) = term else {
        return if *term == Term::Atom("all".into()) { Ok(Who::All) } else { Err(wrong()) };
    };
    let [Term::Atom(key), value] = parts.as_slice() else { return Err(wrong()) };
    Ok(match (key.as_str(), value) {
        ("user" | "username", Term::Text(name)) => Who::User(name.clone()),
        ("client" | "clientid", Term::Text(id)) => Who::Client(id.clone()),
        ("user" | "username", Term::Tuple(like)) => Who::UserLike(expression(like).ok_or_else(wrong)?),
        ("client" | "clientid", Term::Tuple(like)) => Who::ClientLike(expression(like).ok_or_else(wrong)?),
        ("ipaddr", Term::Text(address)) => Who::Address(address.clone()),
        ("ipaddrs", Term::List(list)) => Who::Address(Term::List(list.clone()).text()),
        ("and", Term::List(list)) => {
            Who::And(list.iter().map(|term| who(term, depth + 1)).collect::<Result<_, _>>()?)
        }
        ("or", Term::List(list)) => {
            Who::Or(list.iter().map(|term| who(term, depth + 1)).collect::<Result<_, _>>()?)
        }
        _ => return Err(wrong()),
    })
}

fn expression(parts: &[Term]) -> Option<String> {
    match parts {
        [Term::Atom(re), Term::Text(text)] if re == "re" => Some(text.clone()),
        _ => None,
    }
}

/// The actions, and whether they are limited to some qualities of service or retain flags.
fn action_of(term: &Term) -> Result<(Actions, bool), String> {
    let (word, limited) = match term {
        Term::Atom(word) => (word.as_str(), false),
        Term::Tuple(parts) => match parts.as_slice() {
            [Term::Atom(word), Term::List(options)] => (word.as_str(), !options.is_empty()),
            _ => ("", false),
        },
        _ => ("", false),
    };
    let subscribe = Actions::of(&[Action::Subscribe]);
    match word {
        "subscribe" => Ok((subscribe, limited)),
        "publish" => Ok((Actions::PUBLISH, limited)),
        "all" | "pubsub" => Ok((Actions::PUBLISH.with(subscribe), limited)),
        _ => Err(format!("found `{}`; allowed are `publish`, `subscribe` and `all`", shown(&term.text()))),
    }
}

fn topic(term: &Term) -> Result<Pattern, String> {
    let (text, exact) = match term {
        Term::Text(text) => text.strip_prefix("eq ").map_or((text.as_str(), false), |rest| (rest, true)),
        Term::Tuple(parts) => match parts.as_slice() {
            [Term::Atom(eq), Term::Text(text)] if eq == "eq" => (text.as_str(), true),
            _ => {
                return Err(format!(
                    "found `{}`; a topic is `\"a/#\"` or `{{eq, \"a/#\"}}`",
                    shown(&term.text())
                ));
            }
        },
        other => {
            return Err(format!(
                "found `{}`; a topic is `\"a/#\"` or `{{eq, \"a/#\"}}`",
                shown(&other.text())
            ));
        }
    };
    if let Some(fault) = filter_fault(text) {
        return Err(format!("the topic `{}` {fault}", shown(text)));
    }
    Ok(if exact { Pattern::text(text) } else { topic_of_acl(text, Dollar::Plain, &PLACEHOLDERS) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = r##"
{allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.
{allow, {ipaddr, "127.0.0.1"}, all, ["$SYS/#", "#"]}.
{deny, all, subscribe, ["$SYS/#", {eq, "#"}, {eq, "+/#"}]}.
{allow, {'and', [{user, "a"}, {client, <<"c1">>}]}, publish, ["own/${username}/${clientid}"]}.
{deny, all, publish, ["own/#"]}.
{allow, all}.
"##;

    fn access(subject: &str) -> crate::policy::form::Access {
        let document = parse("acl.conf", DEFAULT, NoMatch::Allow);
        assert_eq!(document.problems, []);
        let found = document.subjects.iter().find(|found| found.name == subject);
        document.access(found.unwrap_or_else(|| panic!("{subject} of {:?}", document.subjects)))
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let others = access("every other client");
        let subscribe = others.subscribe.unwrap();
        assert!(!subscribe.contains("$SYS/x") && !subscribe.contains("#") && subscribe.contains("a/#"));
        assert!(subscribe.contains("+/+"), "`eq` denies only what stands there");
        assert!(others.read.unwrap().contains("a/b"));
        assert!(
            !others.publish.as_ref().unwrap().contains("own/a/c1") && others.publish.unwrap().contains("x")
        );
        let near = access("a client from 127.0.0.1");
        assert!(near.subscribe.unwrap().contains("#") && near.read.unwrap().contains("$SYS/x"));
        let own = access("user `a` and client id `c1`").publish.unwrap();
        assert!(own.contains("own/a/c1") && !own.contains("own/a/c2"));
        assert!(access("a user name like `^dashboard$`").read.unwrap().contains("$SYS/x"));
    }

    #[test]
    fn what_no_rule_matches_is_as_configured() {
        let document = |no_match| parse("acl.conf", "{allow, all, publish, [\"a\"]}.", no_match);
        let publish = |no_match| {
            let document = document(no_match);
            document.access(document.subjects.last().unwrap()).publish.unwrap().contains("b")
        };
        assert!(publish(NoMatch::Allow) && !publish(NoMatch::Deny));
    }

    #[test]
    fn mistakes_are_told_and_the_rest_counts() {
        let text = "{alow, all}.\n{allow, all, write, [\"a\"]}.\n{allow, all, publish, [\"a/#/b\"]}.\n{allow, {user, 7}, publish, [\"a\"]}.\n{allow, all,\n\n{deny, all}.\n{deny, all}.\n";
        let document = parse("acl.conf", text, NoMatch::Deny);
        let found: Vec<String> = document.problems.iter().map(ToString::to_string).collect();
        assert_eq!(found[0], "acl.conf:1:1: error: found `alow`; allowed are `allow` and `deny`");
        assert_eq!(
            found[1],
            "acl.conf:2:1: error: found `write`; allowed are `publish`, `subscribe` and `all`"
        );
        assert_eq!(found[2], "acl.conf:3:1: error: the topic `a/#/b` has `#` before its end");
        assert!(
            found[3].starts_with("acl.conf:4:1: error: found `{user, 7}`; allowed are `all`, "),
            "{}",
            found[3]
        );
        assert_eq!(found[4], "acl.conf:7:1: error: found `.\u{FFFD}{deny, all}.\u{FFFD}`; expected `}`");
        assert_eq!(found.len(), 5);
        assert_eq!(document.rules.len(), 1, "the last line");
    }
}
