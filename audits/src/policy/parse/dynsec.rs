//! The state file of Mosquitto's dynamic-security plugin.
//!
//! Order of decision (`broker-integration.md`, section 2.9; plugin source 2.0): the client's roles
//! by descending priority, equal ones by name; then its groups by descending priority, and in each
//! the roles likewise; within a role the rules by descending priority in the order of the file, a
//! literal subscription before patterns. What no rule matches is decided by `defaultACLAccess`.

use std::collections::BTreeMap;

use fleet::problem::nearest;
use jsonc_parser::ast::Value;

use super::{
    RULES_MAX, filter_fault,
    json::{Member, Source, get},
    shown,
};
use crate::policy::{
    form::{Action, Actions, Document, Effect, Object, Rule, Subject, System, Variables},
    lang::{Dollar, Pattern, filter_of_acl, topic_of_acl},
};

const PLACEHOLDERS: [(&str, u32); 2] = [("%c", Variables::CLIENT), ("%u", Variables::USER)];
const TYPES: [&str; 6] = [
    "publishClientSend",
    "publishClientReceive",
    "subscribeLiteral",
    "subscribePattern",
    "unsubscribeLiteral",
    "unsubscribePattern",
];
/// Rules that all clients together are given at most.
const GIVEN_MAX: usize = 5_000_000;

#[derive(Debug, Default)]
struct Role {
    line: usize,
    /// In the order of decision.
    rules: Vec<usize>,
    undecided: Actions,
    given: bool,
}

/// A role or group with its priority.
type Given = (i64, String);

#[derive(Debug, Default)]
struct State {
    roles: BTreeMap<String, Role>,
    groups: BTreeMap<String, Vec<Given>>,
    /// The clients that a group lists itself.
    members: BTreeMap<String, Vec<Given>>,
    default: Actions,
    given: usize,
}

/// Reads a `dynamic-security.json`.
#[must_use]
pub fn parse(file: &str, text: &str) -> Document {
    let mut document = Document::new(System::MosquittoDynsec, file, Variables::new("%t", "%c", "%u"));
    let mut source = Source::new(file, text);
    if let Some(root) = source.parse() {
        let members = source.members(&root, "");
        read(&mut source, &members, &mut document);
    }
    document.problems = source.into_problems();
    document
}

fn read(source: &mut Source<'_>, members: &[Member<'_>], document: &mut Document) {
    let mut state = State { default: defaults(source, members), ..State::default() };
    for (index, value) in items(source, members, "roles").into_iter().enumerate() {
        role(source, value, &format!("roles[{index}]"), document, &mut state);
    }
    for (index, value) in items(source, members, "groups").into_iter().enumerate() {
        group(source, value, &format!("groups[{index}]"), &mut state);
    }
    for (index, value) in items(source, members, "clients").into_iter().enumerate() {
        let subject = client(source, value, &format!("clients[{index}]"), &mut state);
        document.subjects.extend(subject);
    }
    let anonymous = get(members, "anonymousGroup").and_then(|value| source.text(value, "anonymousGroup"));
    let line = get(members, "defaultACLAccess").map_or(0, |value| source.line(value));
    let mut subject =
        Subject { name: "clients without a user name".into(), line, everyone: true, ..Subject::default() };
    let groups = anonymous.map(|name| vec![(0, name.to_owned())]).unwrap_or_default();
    give(&mut state, &mut subject, &[], &groups);
    document.subjects.push(subject);
    let default = state.default;
    document.subjects.push(Subject {
        name: "clients that the plugin does not know (certificates)".into(),
        line,
        everyone: true,
        default,
        ..Subject::default()
    });
    for (name, role) in &state.roles {
        if !role.given {
            document.subjects.push(Subject {
                name: format!("role `{}`, given to nobody yet", shown(name)),
                administrator: name.to_ascii_lowercase().contains("admin"),
                line: role.line,
                order: role.rules.clone(),
                default,
                undecided: role.undecided,
                ..Subject::default()
            });
        }
    }
}

fn items<'v>(source: &mut Source<'_>, members: &[Member<'v>], key: &str) -> Vec<&'v Value<'v>> {
    get(members, key).map(|value| source.list(value, key)).unwrap_or_default()
}

fn defaults(source: &mut Source<'_>, members: &[Member<'_>]) -> Actions {
    let mut default = Actions::of(&[Action::Connect]);
    // What is left out is denied.
    let Some(value) = get(members, "defaultACLAccess") else { return default };
    for member in source.members(value, "defaultACLAccess") {
        let place = format!("defaultACLAccess.{}", member.key);
        let actions = match member.key {
            "publishClientSend" => Actions::PUBLISH,
            "publishClientReceive" => Actions::of(&[Action::Receive]),
            "subscribe" => Actions::of(&[Action::Subscribe]),
            "unsubscribe" => Actions::NONE,
            _ => {
                let allowed = ["publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"];
                source.unknown(member, &place, &allowed);
                continue;
            }
        };
        if source.flag(member.value, &place) == Some(true) {
            default = default.with(actions);
        }
    }
    default
}

fn role(source: &mut Source<'_>, value: &Value<'_>, place: &str, document: &mut Document, state: &mut State) {
    let members = source.members(value, place);
    let Some(name) = name(source, value, &members, place, "rolename") else { return };
    let mut rules: Vec<(bool, i64, usize)> = Vec::new();
    for (index, acl) in items(source, &members, "acls").into_iter().enumerate() {
        let place = format!("{place}.acls[{index}]");
        if let Some((literal, priority, rule)) = rule(source, acl, &place) {
            if document.rules.len() >= RULES_MAX {
                source.error(acl, &place, format!("more than {RULES_MAX} rules; the rest is left out"));
                break;
            }
            rules.push((literal, priority, document.rules.len()));
            document.rules.push(rule);
        }
    }
    rules.sort_by_key(|&(literal, priority, index)| (!literal, std::cmp::Reverse(priority), index));
    let mut role = Role { line: source.line(value), ..Role::default() };
    role.rules = rules.into_iter().map(|(_, _, index)| index).collect();
    if let Some(flag) = get(&members, "allowwildcardsubs")
        && source.flag(flag, &format!("{place}.allowwildcardsubs")) == Some(false)
    {
        role.undecided = Actions::of(&[Action::Subscribe]);
    }
    state.roles.insert(name, role);
}

/// A rule, whether it is a literal subscription, and its priority.
fn rule(source: &mut Source<'_>, value: &Value<'_>, place: &str) -> Option<(bool, i64, Rule)> {
    let members = source.members(value, place);
    let kind_value = get(&members, "acltype");
    let kind = kind_value.and_then(|found| source.text(found, &format!("{place}.acltype")));
    let (Some(kind_value), Some(kind)) = (kind_value, kind) else {
        source.error(
            value,
            &format!("{place}.acltype"),
            format!("is missing; allowed are `{}`", TYPES.join("`, `")),
        );
        return None;
    };
    let Some(topic) = get(&members, "topic").and_then(|found| source.text(found, &format!("{place}.topic")))
    else {
        source.error(value, &format!("{place}.topic"), "is missing; a topic filter is expected".into());
        return None;
    };
    if let Some(fault) = filter_fault(topic) {
        source.error(value, &format!("{place}.topic"), format!("`{}` {fault}", shown(topic)));
        return None;
    }
    let priority =
        get(&members, "priority").and_then(|found| source.whole(found, &format!("{place}.priority")));
    let allow = get(&members, "allow").and_then(|found| source.flag(found, &format!("{place}.allow")));
    let topics = || vec![topic_of_acl(topic, Dollar::Apart, &PLACEHOLDERS)];
    let (actions, patterns) = match kind {
        "publishClientSend" => (Actions::PUBLISH, topics()),
        "publishClientReceive" => (Actions::of(&[Action::Receive]), topics()),
        "subscribeLiteral" => (Actions::of(&[Action::Subscribe]), vec![Pattern::text(topic)]),
        "subscribePattern" => (Actions::of(&[Action::Subscribe]), filter_of_acl(topic, &PLACEHOLDERS)),
        "unsubscribeLiteral" | "unsubscribePattern" => return None,
        other => {
            let hint = nearest(other, TYPES).map_or_else(
                || format!("allowed are `{}`", TYPES.join("`, `")),
                |near| format!("did you mean `{near}`?"),
            );
            source.error(
                kind_value,
                &format!("{place}.acltype"),
                format!("found `{}`; {hint}", shown(other)),
            );
            return None;
        }
    };
    let effect = if allow == Some(true) { Effect::Allow } else { Effect::Deny };
    let word = if effect == Effect::Allow { "allow" } else { "deny" };
    let text = shown(&format!("{word} {kind} {topic}"));
    let line = source.line(value);
    let object = Object::Any(patterns);
    let rule = Rule { line, text, effect, actions, conditional: false, attached: false, object };
    Some((kind == "subscribeLiteral", priority.unwrap_or(-1), rule))
}

fn name(
    source: &mut Source<'_>,
    value: &Value<'_>,
    members: &[Member<'_>],
    place: &str,
    key: &str,
) -> Option<String> {
    let name = get(members, key).and_then(|found| source.text(found, &format!("{place}.{key}")));
    if name.is_none() {
        source.error(value, &format!("{place}.{key}"), "is missing; a name is expected".into());
    }
    name.map(str::to_owned)
}

/// A list such as `[{"rolename": "x", "priority": 1}]`, in the order of decision.
fn given(source: &mut Source<'_>, members: &[Member<'_>], place: &str, list: &str, key: &str) -> Vec<Given> {
    let mut all: Vec<Given> = Vec::new();
    for (index, value) in items(source, members, list).into_iter().enumerate() {
        let place = format!("{place}.{list}[{index}]");
        let members = source.members(value, &place);
        let priority =
            get(&members, "priority").and_then(|found| source.whole(found, &format!("{place}.priority")));
        if let Some(name) = name(source, value, &members, &place, key) {
            all.push((priority.unwrap_or(-1), name));
        }
    }
    sort(&mut all);
    all
}

fn sort(given: &mut [Given]) {
    given.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
}

fn group(source: &mut Source<'_>, value: &Value<'_>, place: &str, state: &mut State) {
    let members = source.members(value, place);
    let Some(name) = name(source, value, &members, place, "groupname") else { return };
    for (priority, client) in given(source, &members, place, "clients", "username") {
        state.members.entry(client).or_default().push((priority, name.clone()));
    }
    let roles = given(source, &members, place, "roles", "rolename");
    unknown_roles(source, value, place, &roles, state);
    state.groups.insert(name, roles);
}

fn unknown_roles(source: &mut Source<'_>, value: &Value<'_>, place: &str, roles: &[Given], state: &State) {
    for (_, role) in roles.iter().filter(|(_, role)| !state.roles.contains_key(role)) {
        let hint = nearest(role, state.roles.keys().map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        source.error(value, &format!("{place}.roles"), format!("there is no role `{}`{hint}", shown(role)));
    }
}

fn client(source: &mut Source<'_>, value: &Value<'_>, place: &str, state: &mut State) -> Option<Subject> {
    let members = source.members(value, place);
    let user = name(source, value, &members, place, "username")?;
    let client_id =
        get(&members, "clientid").and_then(|found| source.text(found, &format!("{place}.clientid")));
    let disabled =
        get(&members, "disabled").and_then(|found| source.flag(found, &format!("{place}.disabled")));
    let roles = given(source, &members, place, "roles", "rolename");
    unknown_roles(source, value, place, &roles, state);
    let mut groups = given(source, &members, place, "groups", "groupname");
    for (priority, group) in state.members.remove(&user).unwrap_or_default() {
        if !groups.iter().any(|(_, known)| *known == group) {
            groups.push((priority, group));
        }
    }
    sort(&mut groups);
    let suffix = if disabled == Some(true) { " (disabled)" } else { "" };
    let mut subject = Subject {
        name: format!("user `{}`{suffix}", shown(&user)),
        line: source.line(value),
        user: Some(user),
        client_id: client_id.filter(|id| !id.is_empty()).map(str::to_owned),
        ..Subject::default()
    };
    give(state, &mut subject, &roles, &groups);
    Some(subject)
}

/// Puts the rules of roles and groups in the order in which they decide.
fn give(state: &mut State, subject: &mut Subject, roles: &[Given], groups: &[Given]) {
    subject.default = state.default;
    let of_groups: Vec<Given> =
        groups.iter().filter_map(|(_, group)| state.groups.get(group)).flatten().cloned().collect();
    for (_, name) in roles.iter().chain(&of_groups) {
        let Some(role) = state.roles.get_mut(name) else { continue };
        subject.administrator |= name.to_ascii_lowercase().contains("admin");
        role.given = true;
        subject.undecided = subject.undecided.with(role.undecided);
        state.given += role.rules.len();
        if state.given > GIVEN_MAX {
            subject.undecided = Actions::ALL;
            return;
        }
        subject.order.extend(&role.rules);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r##"{
  "defaultACLAccess": {"publishClientSend": false, "publishClientReceive": true, "subscribe": false, "unsubscribe": true},
  "roles": [
    {"rolename": "device", "acls": [
      {"acltype": "publishClientSend", "topic": "d/%u/#", "allow": true},
      {"acltype": "subscribePattern", "topic": "d/+/in", "allow": true}]},
    {"rolename": "quarantine", "acls": [
      {"acltype": "publishClientSend", "topic": "#", "priority": 1000, "allow": false},
      {"acltype": "subscribePattern", "topic": "#", "allow": false},
      {"acltype": "subscribeLiteral", "topic": "news", "priority": -5, "allow": true}]},
    {"rolename": "spare", "acls": [{"acltype": "publishClientSend", "topic": "#", "allow": true}]}],
  "groups": [{"groupname": "jail", "roles": [{"rolename": "quarantine"}], "clients": [{"username": "b"}]}],
  "clients": [
    {"username": "a", "roles": [{"rolename": "device"}]},
    {"username": "b", "roles": [{"rolename": "device", "priority": 1}]},
    {"username": "c", "roles": [{"rolename": "device", "priority": 1}, {"rolename": "quarantine", "priority": 100}]}]
}"##;

    #[test]
    fn roles_by_priority_then_groups_then_defaults() {
        let document = parse("d.json", STATE);
        assert_eq!(document.problems, []);
        let may = |user: &str, topic: &str| {
            let subject = document.subjects.iter().find(|s| s.user.as_deref() == Some(user)).unwrap();
            let access = document.access(subject);
            (access.publish.unwrap().contains(topic), access.read.unwrap().contains(topic))
        };
        assert_eq!(may("a", "d/a/in"), (true, true));
        assert_eq!(may("a", "d/b/in"), (false, true), "the pattern covers the level of every device");
        assert_eq!(may("b", "d/b/in"), (true, true), "a group does not win over the client's own role");
        assert_eq!(may("c", "d/c/in"), (false, false), "a role of higher priority does");
        assert_eq!(may("c", "news"), (false, true), "a literal is looked up before the patterns");
        let names: Vec<&str> = document.subjects.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names.last(), Some(&"role `spare`, given to nobody yet"));
    }

    #[test]
    fn mistakes_are_told_and_the_rest_counts() {
        let text = r#"{"roles": [{"rolename": "r", "acls": [
            {"acltype": "publishClientSent", "topic": "a", "allow": true},
            {"acltype": "subscribePattern", "topic": "a+", "allow": true}]}, {}],
            "clients": [{"username": "u", "roles": [{"rolename": "rr"}]}], "groups": 7}"#;
        let document = parse("d.json", text);
        let found: Vec<String> = document.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "d.json:2:25: error: roles[0].acls[0].acltype: found `publishClientSent`; did you mean `publishClientSend`?",
                "d.json:3:13: error: roles[0].acls[1].topic: `a+` has `+` or `#` beside other characters in a level",
                "d.json:3:78: error: roles[1].rolename: is missing; a name is expected",
                "d.json:4:25: error: clients[0].roles: there is no role `rr`; did you mean `r`?",
                "d.json:4:86: error: groups: found `7`; expected a list",
            ]
        );
        assert_eq!(document.subjects.len(), 4);
    }
}
