//! The role that takes all permissions.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

/// Trees of `$` topics that are always denied: the filter `#` does not match them.
const ROOTS: [&str; 4] = ["$SYS", "$CONTROL", "$aws", "$share"];
/// What is denied for each tree.
const KINDS: [&str; 3] = ["publishClientSend", "publishClientReceive", "subscribePattern"];
/// Priority of the rules within the role.
const RULE_PRIORITY: i64 = 1000;

/// A rule of a role, as the plugin writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Rule {
    acltype: String,
    pub(super) topic: String,
    #[serde(default)]
    priority: i64,
    #[serde(default)]
    allow: bool,
}

/// The first level of a topic or filter if it begins with `$`.
pub(super) fn root(topic: &str) -> Option<&str> {
    topic.split('/').next().filter(|level| level.starts_with('$') && level.len() > 1)
}

/// All topic filters to deny: `#`, the usual `$` trees, and `extra` roots.
pub(super) fn denied<'a>(extra: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let roots = ROOTS.into_iter().chain(extra).map(|root| format!("{root}/#"));
    std::iter::once("#".to_owned()).chain(roots).collect()
}

/// `createRole` with all rules.
pub(super) fn create(name: &str, filters: &BTreeSet<String>) -> Value {
    let acls: Vec<Value> = wanted(filters).map(|(kind, topic)| rule(kind, topic)).collect();
    json!({ "command": "createRole", "rolename": name, "textname": "Fleetward: takes all permissions", "acls": acls })
}

/// Commands that add to the role what it lacks.
pub(super) fn complete(name: &str, rules: &[Rule], filters: &BTreeSet<String>) -> Vec<Value> {
    missing(rules, filters)
        .map(|(kind, topic)| {
            let mut command = rule(kind, topic);
            if let Some(members) = command.as_object_mut() {
                members.insert("command".into(), "addRoleACL".into());
                members.insert("rolename".into(), name.into());
            }
            command
        })
        .collect()
}

/// What the role does not deny, as text.
pub(super) fn gaps(rules: &[Rule], filters: &BTreeSet<String>) -> Vec<String> {
    missing(rules, filters).map(|(kind, topic)| format!("{kind} {topic}")).collect()
}

/// The rules that allow something, as text. A quarantine role has none (but for unsubscribing).
pub(super) fn allowing(rules: &[Rule]) -> Vec<String> {
    let allows = rules.iter().filter(|rule| rule.allow && !rule.acltype.starts_with("unsubscribe"));
    allows.map(|rule| format!("{} {}", rule.acltype, rule.topic)).collect()
}

/// Whether a role with these rules makes its holder an administrator of the broker.
pub(super) fn administers(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| {
        let controls = root(&rule.topic) == Some("$CONTROL");
        rule.allow && rule.acltype == "publishClientSend" && controls
    })
}

fn wanted(filters: &BTreeSet<String>) -> impl Iterator<Item = (&'static str, &str)> {
    filters.iter().flat_map(|topic| KINDS.into_iter().map(move |kind| (kind, topic.as_str())))
}

fn missing<'a>(
    rules: &'a [Rule],
    filters: &'a BTreeSet<String>,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    wanted(filters).filter(|(kind, topic)| {
        !rules.iter().any(|rule| !rule.allow && rule.acltype == *kind && rule.topic == *topic)
    })
}

fn rule(kind: &str, topic: &str) -> Value {
    json!({ "acltype": kind, "topic": topic, "priority": RULE_PRIORITY, "allow": false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(value: Value) -> Vec<Rule> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn roots_are_first_levels_that_begin_with_a_dollar() {
        let cases = [
            ("$aws/things/a", Some("$aws")),
            ("$SYS", Some("$SYS")),
            ("$", None),
            ("a/$b", None),
            ("", None),
            ("#", None),
        ];
        for (topic, expected) in cases {
            assert_eq!(root(topic), expected, "{topic}");
        }
    }

    #[test]
    fn a_complete_role_has_no_gaps_and_a_role_of_others_shows_them() {
        let filters = denied(["$mine"]);
        let created = create("q", &filters);
        let complete_rules = rules(created["acls"].clone());
        assert_eq!(complete_rules.len(), 6 * 3);
        assert!(gaps(&complete_rules, &filters).is_empty());
        assert!(complete("q", &complete_rules, &filters).is_empty());

        let sheet = rules(json!([{"acltype":"publishClientSend","topic":"#","priority":1000,"allow":false}]));
        assert_eq!(complete("q", &sheet, &filters).len(), 17);
        let open = rules(
            json!([{"acltype":"publishClientSend","topic":"#","allow":true},{"acltype":"unsubscribePattern","topic":"#","allow":true}]),
        );
        assert_eq!(allowing(&open), ["publishClientSend #"]);
        assert_eq!(gaps(&open, &filters).len(), 18);
    }

    #[test]
    fn administrators_are_known_by_what_they_may_do() {
        let cases = [
            (
                json!([{"acltype":"publishClientSend","topic":"$CONTROL/dynamic-security/#","allow":true}]),
                true,
            ),
            (json!([{"acltype":"publishClientSend","topic":"$CONTROL/#","allow":true}]), true),
            (json!([{"acltype":"publishClientSend","topic":"$CONTROL/#","allow":false}]), false),
            (json!([{"acltype":"publishClientSend","topic":"#","allow":true}]), false),
            (json!([{"acltype":"subscribePattern","topic":"$CONTROL/#","allow":true}]), false),
        ];
        for (value, expected) in cases {
            assert_eq!(administers(&rules(value.clone())), expected, "{value}");
        }
    }
}
