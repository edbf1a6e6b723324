//! Mosquitto's ACL file.
//!
//! Order of decision (2.0, `mosquitto_acl_check_default`): of the client's user name, or of clients
//! without one, the denials, then the grants; then the denials and the grants of `pattern` lines. A
//! `topic deny` line denies reading and writing, wherever it stands. Nothing else may be read or
//! written; every subscription is accepted, and what it covers is filtered when it is delivered.
//! A client whose id or user name holds `+` or `#` gets nothing by `pattern` lines. The broker
//! refuses a file with any mistake; here the rest of it counts.

use std::collections::BTreeMap;

use super::{Problems, RULES_MAX, filter_fault, shown};
use crate::policy::{
    form::{Action, Actions, Document, Effect, Object, Rule, Subject, System, Variables},
    lang::{Dollar, topic_of_acl},
};

const PLACEHOLDERS: [(&str, u32); 2] = [("%c", Variables::CLIENT), ("%u", Variables::USER)];
/// Users of one file at most.
const USERS_MAX: usize = 100_000;

/// A user's lines.
#[derive(Debug, Default)]
struct Lines {
    line: usize,
    denials: Vec<usize>,
    grants: Vec<usize>,
}

struct Reader<'f> {
    document: Document,
    problems: Problems<'f>,
    /// By user name; `None` is a client without one.
    users: BTreeMap<Option<String>, Lines>,
    order: Vec<Option<String>>,
    patterns: Lines,
    user: Option<String>,
}

/// Reads an ACL file.
#[must_use]
pub fn parse(file: &str, text: &str) -> Document {
    let variables = Variables::new("%t", "%c", "%u");
    let mut reader = Reader {
        document: Document::new(System::MosquittoAcl, file, variables),
        problems: Problems::new(file),
        users: BTreeMap::new(),
        order: vec![None],
        patterns: Lines::default(),
        user: None,
    };
    reader.users.insert(None, Lines::default());
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line);
    }
    reader.finish()
}

impl Reader<'_> {
    fn line(&mut self, number: usize, line: &str) {
        let line = line.trim_end();
        if line.starts_with('#') || line.is_empty() {
            return;
        }
        let line = line.trim_start_matches(' ');
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "user" => self.section(number, rest.trim()),
            "topic" | "pattern" => self.rule(number, key, rest.trim_start_matches(' ')),
            _ => {
                let message = format!(
                    "found `{}`; a line begins with `user`, `topic`, `pattern` or `#`, and a blank follows",
                    shown(line)
                );
                self.problems.error(number, message);
            }
        }
    }

    fn section(&mut self, number: usize, name: &str) {
        if name.is_empty() {
            self.problems.error(number, "`user` has no name after it".into());
            return;
        }
        let user = Some(name.to_owned());
        if !self.users.contains_key(&user) {
            if self.users.len() >= USERS_MAX {
                self.problems.error(number, format!("more than {USERS_MAX} users; the rest is left out"));
            } else {
                self.users.insert(user.clone(), Lines { line: number, ..Lines::default() });
                self.order.push(user.clone());
            }
        }
        self.user = user;
    }

    fn rule(&mut self, number: usize, key: &str, rest: &str) {
        let (access, topic) = match rest.split_once(' ') {
            Some((access, topic)) => (access, topic.trim()),
            None => ("readwrite", rest),
        };
        let (effect, actions) = match access {
            "read" => (Effect::Allow, Actions::of(&[Action::Receive])),
            "write" => (Effect::Allow, Actions::PUBLISH),
            "readwrite" => (Effect::Allow, Actions::PUBLISH.with(Actions::of(&[Action::Receive]))),
            "deny" => (Effect::Deny, Actions::PUBLISH.with(Actions::of(&[Action::Receive]))),
            other => {
                let message = format!(
                    "found the access `{}`; allowed are `read`, `write`, `readwrite`, `deny`, or none for both",
                    shown(other)
                );
                self.problems.error(number, message);
                return;
            }
        };
        if let Some(fault) = filter_fault(topic) {
            self.problems.error(number, format!("the topic `{}` {fault}", shown(topic)));
            return;
        }
        if self.document.rules.len() >= RULES_MAX {
            self.problems.error(number, format!("more than {RULES_MAX} rules; the rest is left out"));
            return;
        }
        let index = self.document.rules.len();
        let is_pattern = key == "pattern";
        let placeholders: &[_] = if is_pattern { &PLACEHOLDERS } else { &[] };
        self.document.rules.push(Rule {
            line: number,
            text: shown(&format!("{key} {rest}")),
            effect,
            actions,
            conditional: false,
            attached: false,
            object: Object::Any(vec![topic_of_acl(topic, Dollar::Apart, placeholders)]),
        });
        if is_pattern && !topic.contains("%c") && !topic.contains("%u") {
            let message =
                format!("the pattern `{}` holds neither `%c` nor `%u`: it is for every client", shown(topic));
            self.problems.warning(number, message);
        }
        let lines = if is_pattern { Some(&mut self.patterns) } else { self.users.get_mut(&self.user) };
        if let Some(lines) = lines {
            lines.line = if lines.line == 0 { number } else { lines.line };
            let of_effect = if effect == Effect::Deny { &mut lines.denials } else { &mut lines.grants };
            of_effect.push(index);
        }
    }

    fn finish(self) -> Document {
        let mut document = self.document;
        let default = Actions::of(&[Action::Connect, Action::Subscribe]);
        let with_user = |index: &&usize| {
            let rule = document.rules.get(**index);
            !rule.is_some_and(|rule| rule.text.contains("%u"))
        };
        let patterns: Vec<usize> =
            self.patterns.denials.iter().chain(&self.patterns.grants).copied().collect();
        let anonymous: Vec<usize> = patterns.iter().filter(with_user).copied().collect();
        for user in &self.order {
            let Some(lines) = self.users.get(user) else { continue };
            let own = lines.denials.iter().chain(&lines.grants);
            let general = if user.is_some() { &patterns } else { &anonymous };
            document.subjects.push(Subject {
                name: user
                    .as_ref()
                    .map_or("clients without a user name".into(), |user| format!("user `{}`", shown(user))),
                line: if lines.line == 0 { self.patterns.line } else { lines.line },
                user: user.clone(),
                everyone: user.is_none(),
                order: own.chain(general).copied().collect(),
                default,
                ..Subject::default()
            });
        }
        document.subjects.push(Subject {
            name: "every other user".into(),
            line: self.patterns.line,
            everyone: true,
            order: patterns,
            default,
            ..Subject::default()
        });
        document.problems = self.problems.finish();
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(text: &str, subject: &str, topics: &[(&str, bool, bool)]) {
        let document = parse("acl", text);
        let subject = document.subjects.iter().find(|s| s.name.contains(subject)).expect(subject);
        let access = document.access(subject);
        for (topic, read, write) in topics {
            let found = (
                access.read.as_ref().unwrap().contains(topic),
                access.publish.as_ref().unwrap().contains(topic),
            );
            assert_eq!(found, (*read, *write), "{topic} for {}\n{text}", subject.name);
        }
    }

    #[test]
    fn denials_come_first_wherever_they_stand() {
        let text = "user a\ntopic readwrite f/a/#\ntopic deny f/#\npattern read f/%u/x\n";
        sets(text, "`a`", &[("f/a/x", false, false), ("g", false, false)]);
        sets(text, "other", &[("f/a/x", false, false)]);
    }

    #[test]
    fn sections_patterns_and_those_without_a_name() {
        let text = "topic read news\nuser a b\ntopic x/+\npattern write own/%u\npattern read all/#\n";
        sets(text, "without", &[("news", true, false), ("all/1", true, false), ("own/a b", false, false)]);
        sets(
            text,
            "`a b`",
            &[("x/1", true, true), ("own/a b", false, true), ("own/c", false, false), ("all", true, false)],
        );
        sets(text, "other", &[("x/1", false, false), ("news", false, false), ("all/1", true, false)]);
    }

    #[test]
    fn a_leading_wildcard_leaves_dollar_topics_out() {
        let text = "user a\ntopic #\ntopic read $SYS/broker/+\n";
        sets(
            text,
            "`a`",
            &[("x", true, true), ("$SYS/broker/load", true, false), ("$CONTROL/x", false, false)],
        );
    }

    #[test]
    fn a_free_client_id_is_every_client_id() {
        let text = "pattern readwrite d/%c/#\n";
        sets(text, "without", &[("d/anybody/x", true, true), ("d/a/b/c", true, true), ("e", false, false)]);
        let mut bound = parse("acl", text);
        bound.client_ids = crate::policy::form::ClientIds::Bound;
        let access = bound.access(&bound.subjects[0]);
        assert!(!access.publish.unwrap().contains("d/anybody/x"));
    }

    #[test]
    fn mistakes_are_told_and_the_rest_counts() {
        let text =
            "usr a\nuser\nuser a\ntopic reed x\ntopic read a/#/b\ntopic\ttab\n topic read ok\npattern #\n";
        let document = parse("acl", text);
        let found: Vec<String> = document.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "acl:1:1: error: found `usr a`; a line begins with `user`, `topic`, `pattern` or `#`, and a blank follows",
                "acl:2:1: error: `user` has no name after it",
                "acl:4:1: error: found the access `reed`; allowed are `read`, `write`, `readwrite`, `deny`, or none for both",
                "acl:5:1: error: the topic `a/#/b` has `#` before its end",
                "acl:6:1: error: found `topic\u{FFFD}tab`; a line begins with `user`, `topic`, `pattern` or `#`, and a blank follows",
                "acl:8:1: warning: the pattern `#` holds neither `%c` nor `%u`: it is for every client",
            ]
        );
        assert_eq!(document.rules.len(), 2);
    }
}
