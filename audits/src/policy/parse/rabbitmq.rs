//! `RabbitMQ` definitions (`rabbitmqctl export_definitions`), as the MQTT plugin is bound by them.
//!
//! A user publishes over MQTT if it may write the exchange `amq.topic` of the virtual host, and the
//! topic permission for that exchange, if there is one, matches the routing key. It subscribes if it
//! may configure, write and read the queue `mqtt-subscription-…` and read the exchange, and the topic
//! permission matches; what arrives is not checked again. Expressions are searched, not anchored;
//! `{username}` and `{vhost}` are replaced by the names, unescaped, as the broker does.
//! Facts: `broker-integration.md`, section 4; `rabbit_mqtt_util`, `rabbit_auth_backend_internal`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    RULES_MAX,
    json::{Member, Source, get},
    shown,
};
use crate::policy::{
    form::{Action, Actions, Document, Effect, Object, Rule, Subject, System, Variables},
    lang::{Nfa, Pattern, Token, placeholder, routing_key_regex, search_regex},
};

/// The exchange of the MQTT plugin, unless configured otherwise.
const EXCHANGE: &str = "amq.topic";
const QUEUE: &str = "mqtt-subscription-";

/// The expressions of one user in one virtual host.
#[derive(Clone, Debug)]
struct Grant {
    line: usize,
    configure: String,
    write: String,
    read: String,
}

/// By user, virtual host and exchange.
type Grants = BTreeMap<(String, String, String), Grant>;

/// Reads a definitions file.
#[must_use]
pub fn parse(file: &str, text: &str) -> Document {
    let variables = Variables::new("{thing}", "{client_id}", "{username}");
    let mut document = Document::new(System::RabbitMq, file, variables);
    let mut source = Source::new(file, text);
    if let Some(root) = source.parse() {
        let members = source.members(&root, "");
        let permissions = grants(&mut source, &members, "permissions");
        let topics = grants(&mut source, &members, "topic_permissions");
        let administrators = administrators(&mut source, &members);
        for ((user, vhost, _), grant) in &permissions {
            let topic = topics.get(&(user.clone(), vhost.clone(), EXCHANGE.to_owned()));
            let subject = subject(&mut source, &mut document, (user, vhost), grant, topic);
            let administrator = administrators.contains(user);
            document.subjects.push(Subject { administrator, ..subject });
        }
    }
    document.problems = source.into_problems();
    document.subjects.sort_by_key(|subject| subject.line);
    document
}

fn grants(source: &mut Source<'_>, members: &[Member<'_>], key: &str) -> Grants {
    let mut grants = Grants::new();
    let Some(list) = get(members, key) else { return grants };
    for (index, value) in source.list(list, key).into_iter().enumerate() {
        let place = format!("{key}[{index}]");
        let members = source.members(value, &place);
        let mut text = |name: &str, needed: bool| match get(&members, name) {
            Some(found) => source.text(found, &format!("{place}.{name}")).map(str::to_owned),
            None if needed => {
                source.error(value, &format!("{place}.{name}"), "is missing; text is expected".into());
                None
            }
            None => Some(String::new()),
        };
        let topics = key == "topic_permissions";
        let fields = (text("user", true), text("vhost", true), text("exchange", topics));
        let (configure, write, read) = (text("configure", !topics), text("write", true), text("read", true));
        let (Some(user), Some(vhost), Some(exchange)) = fields else { continue };
        let (Some(configure), Some(write), Some(read)) = (configure, write, read) else { continue };
        if grants.len() >= RULES_MAX {
            source.error(value, &place, format!("more than {RULES_MAX}; the rest is left out"));
            break;
        }
        let grant = Grant { line: source.line(value), configure, write, read };
        grants.insert((user, vhost, exchange), grant);
    }
    grants
}

fn subject(
    source: &mut Source<'_>,
    document: &mut Document,
    (user, vhost): (&str, &str),
    grant: &Grant,
    topic: Option<&Grant>,
) -> Subject {
    let mut subject = Subject {
        name: format!("user `{}` in virtual host `{}`", shown(user), shown(vhost)),
        line: grant.line,
        user: Some(user.to_owned()),
        default: Actions::of(&[Action::Connect]),
        ..Subject::default()
    };
    let mut may = |expression: &str, name: &Pattern| match meets(expression, name) {
        Ok(found) => Some(found),
        Err(reason) => {
            source.warning_at(
                grant.line,
                "permissions",
                format!("`{}` cannot be decided: {reason}", shown(expression)),
            );
            None
        }
    };
    let exchange = Pattern::text(EXCHANGE);
    let mut queue = Pattern::text(QUEUE);
    queue.tokens.push(Token::Run);
    let publish = may(&grant.write, &exchange);
    let subscribe = [
        may(&grant.read, &exchange),
        may(&grant.configure, &queue),
        may(&grant.write, &queue),
        may(&grant.read, &queue),
    ];
    let subscribe = if subscribe.contains(&Some(false)) {
        Some(false)
    } else {
        subscribe.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
    };
    let receive = Actions::of(&[Action::Receive]);
    subject.default = subject.default.with(receive);
    let written = topic.map(|topic| (topic.line, topic.write.as_str()));
    let read = topic.map(|topic| (topic.line, topic.read.as_str()));
    let subscribing = Actions::of(&[Action::Subscribe]);
    for (gate, expression, actions) in [(publish, written, Actions::PUBLISH), (subscribe, read, subscribing)]
    {
        match (gate, expression) {
            (None, _) => subject.undecided = subject.undecided.with(actions),
            (Some(false), _) => {}
            (Some(true), None) => {
                let text = format!("no topic permission on `{EXCHANGE}`: every topic");
                push(document, &mut subject, (grant.line, text), actions, Object::everything());
            }
            (Some(true), Some((line, expression))) => match expanded(expression, user, vhost) {
                Ok(nfa) => {
                    let text = format!("topic permission `{}`", shown(expression));
                    push(document, &mut subject, (line, text), actions, Object::Expression(nfa));
                }
                Err(reason) => {
                    let message = format!("`{}` cannot be decided: {reason}", shown(expression));
                    source.warning_at(line, "topic_permissions", message);
                    subject.undecided = subject.undecided.with(actions);
                }
            },
        }
    }
    subject
}

/// The users with the tag `administrator`, written as a list or as a text with commas.
fn administrators(source: &mut Source<'_>, members: &[Member<'_>]) -> BTreeSet<String> {
    let mut administrators = BTreeSet::new();
    let Some(list) = get(members, "users") else { return administrators };
    for (index, value) in source.list(list, "users").into_iter().enumerate() {
        let place = format!("users[{index}]");
        let members = source.members(value, &place);
        let name = get(&members, "name").and_then(|name| source.text(name, &format!("{place}.name")));
        let tags = get(&members, "tags")
            .map(|tags| source.texts(tags, &format!("{place}.tags")))
            .unwrap_or_default();
        let mut tags = tags.iter().flat_map(|(_, tags)| tags.split(','));
        if let Some(name) = name
            && tags.any(|tag| tag.trim() == "administrator")
        {
            administrators.insert(name.to_owned());
        }
    }
    administrators
}

fn push(
    document: &mut Document,
    subject: &mut Subject,
    (line, text): (usize, String),
    actions: Actions,
    object: Object,
) {
    subject.order.push(document.rules.len());
    let (effect, conditional) = (Effect::Allow, false);
    document.rules.push(Rule { line, text, effect, actions, conditional, attached: false, object });
}

/// Whether the expression is found in some text of the pattern.
fn meets(expression: &str, name: &Pattern) -> Result<bool, String> {
    let found = search_regex(expression).map_err(|unreadable| unreadable.0)?;
    let too_large = |_| "too large".to_owned();
    let found = found.determinize(|tag| tag.is_some()).map_err(too_large)?;
    let mut names = Nfa::default();
    names.add(name, 0);
    let names = names.determinize(|tag| tag.is_some()).map_err(too_large)?;
    Ok(found.common(&names).map_err(too_large)?.is_some())
}

fn expanded(expression: &str, user: &str, vhost: &str) -> Result<Nfa, String> {
    let client = placeholder(Variables::CLIENT).map(String::from).unwrap_or_default();
    let text =
        expression.replace("{username}", user).replace("{vhost}", vhost).replace("{client_id}", &client);
    routing_key_regex(&text).map_err(|unreadable| unreadable.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITIONS: &str = r#"{"users": [], "permissions": [
  {"user": "dev1", "vhost": "/", "configure": "^mqtt-subscription-.*", "write": ".*", "read": ".*"},
  {"user": "none", "vhost": "/", "configure": "^$", "write": "^$", "read": "^$"},
  {"user": "odd", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
  {"user": "all", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
 "topic_permissions": [
  {"user": "dev1", "vhost": "/", "exchange": "amq.topic", "write": "^devices\\.{username}\\.", "read": "^devices\\.{username}\\.in$"},
  {"user": "odd", "vhost": "/", "exchange": "amq.topic", "write": "(?!x)a", "read": "^d\\.{client_id}\\."}]}"#;

    #[test]
    fn both_permissions_must_match() {
        let document = parse("d.json", DEFINITIONS);
        let access = |user: &str| {
            document.access(document.subjects.iter().find(|s| s.user.as_deref() == Some(user)).unwrap())
        };
        let own = access("dev1");
        let (publish, read) = (own.publish.unwrap(), own.read.unwrap());
        assert!(publish.contains("devices/dev1/t") && !publish.contains("devices/dev10/t"));
        assert!(read.contains("devices/dev1/in") && !read.contains("devices/dev1/x"));
        let none = access("none");
        assert!(none.publish.unwrap().is_empty() && none.read.unwrap().is_empty());
        let all = access("all");
        assert!(all.publish.unwrap().contains("$SYS/x") && all.read.unwrap().contains("devices/dev1/in"));
    }

    #[test]
    fn what_cannot_be_translated_is_undecided_and_told() {
        let document = parse("d.json", DEFINITIONS);
        let odd =
            document.access(document.subjects.iter().find(|s| s.user.as_deref() == Some("odd")).unwrap());
        assert_eq!(odd.publish.map(|_| ()), Err(crate::policy::form::Undecided::Unreadable));
        assert!(odd.subscribe.is_ok());
        assert_eq!(document.problems.len(), 1);
        assert_eq!(document.problems[0].line, 8);
        assert!(
            document.problems[0].message.starts_with("`(?!x)a` cannot be decided: "),
            "{:?}",
            document.problems
        );
    }
}
