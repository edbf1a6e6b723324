//! Permissions of a NATS server's configuration, as MQTT clients are bound by them.
//!
//! Facts: `broker-integration.md`, section 5; `server/client.go` (`canSubscribe`, `checkDenySub`). A
//! list of grants denies all else, a denial wins over a grant, and without permissions everything is
//! allowed. A filter that only overlaps a denial is accepted; the denied messages are left out when
//! they are delivered. `*` in a grant covers every token of a subscription, `>` too.

use fleet::problem::nearest;

use super::{
    Problems, RULES_MAX,
    nats_conf::{Conf, read},
    shown,
};
use crate::policy::{
    form::{Action, Actions, Document, Effect, Object, Rule, Subject, System, Variables},
    lang::nats_subject,
};

const SUBSCRIBE: Actions = Actions::of(&[Action::Subscribe]);
const RECEIVE: Actions = Actions::of(&[Action::Receive]);

/// Reads a server configuration.
#[must_use]
pub fn parse(file: &str, text: &str) -> Document {
    let mut problems = Problems::new(file);
    let mut document = Document::new(System::Nats, file, Variables::new("{thing}", "{client_id}", "{user}"));
    let root = read(text, &mut problems);
    if let Some(block) = root.get(&["authorization"]) {
        users(&mut document, block, "", &mut problems);
    }
    if let Some(Conf::Map(_, accounts)) = root.get(&["accounts"]) {
        for (name, account) in accounts {
            users(&mut document, account, &format!(" of account `{}`", shown(name)), &mut problems);
        }
    }
    if let Some(user) = root.get(&["no_auth_user"]).and_then(text_of)
        && let Some(subject) =
            document.subjects.iter_mut().find(|subject| subject.user.as_deref() == Some(user))
    {
        subject.everyone = true;
    }
    document.problems = problems.finish();
    document
}

fn text_of(conf: &Conf) -> Option<&str> {
    match conf {
        Conf::Text(_, text) => Some(text),
        _ => None,
    }
}

fn users(document: &mut Document, block: &Conf, of: &str, problems: &mut Problems<'_>) {
    let default = block.get(&["default_permissions"]);
    let list = match block.get(&["users"]) {
        Some(Conf::List(list)) => list.iter().collect(),
        Some(single) => {
            problems.error(single.line(), "`users` is no list; expected `users: [{user: NAME, ...}]`".into());
            Vec::new()
        }
        // One user for the whole server.
        None if block.get(&["user", "username", "token"]).is_some() => vec![block],
        None => Vec::new(),
    };
    for entry in list {
        let name = entry.get(&["user", "username", "nkey"]).and_then(text_of);
        let Some(name) = name.or_else(|| entry.get(&["token"]).map(|_| "token")) else {
            problems.error(entry.line(), "a user without `user` or `nkey`".into());
            continue;
        };
        let mut subject = Subject {
            name: format!("user `{}`{of}", shown(name)),
            line: entry.line(),
            user: Some(name.to_owned()),
            default: Actions::of(&[Action::Connect]),
            ..Subject::default()
        };
        let permissions = entry.get(&["permissions", "permission", "authorization"]).or(default);
        permit(document, &mut subject, permissions, problems);
        document.subjects.push(subject);
    }
}

fn permit(
    document: &mut Document,
    subject: &mut Subject,
    permissions: Option<&Conf>,
    problems: &mut Problems<'_>,
) {
    const KEYS: [&str; 7] = ["publish", "pub", "import", "subscribe", "sub", "export", "allow_responses"];
    let all = Actions::PUBLISH.with(SUBSCRIBE).with(RECEIVE);
    let Some(permissions) = permissions else {
        subject.default = subject.default.with(all);
        return;
    };
    let Conf::Map(_, members) = permissions else {
        let message = "permissions are no map; expected `{publish: ..., subscribe: ...}`";
        problems.error(permissions.line(), message.into());
        subject.undecided = all;
        return;
    };
    for (key, value) in members {
        if !KEYS.iter().any(|known| key.eq_ignore_ascii_case(known)) {
            let near = nearest(key, KEYS).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            problems.error(value.line(), format!("unknown permission `{}`{near}", shown(key)));
        }
    }
    side(document, subject, permissions.get(&["publish", "pub", "import"]), Actions::PUBLISH, problems);
    side(document, subject, permissions.get(&["subscribe", "sub", "export"]), SUBSCRIBE, problems);
}

/// One of publishing and subscribing.
fn side(
    document: &mut Document,
    subject: &mut Subject,
    value: Option<&Conf>,
    actions: Actions,
    problems: &mut Problems<'_>,
) {
    let publishes = actions == Actions::PUBLISH;
    if !publishes {
        subject.default = subject.default.with(RECEIVE);
    }
    let Some(value) = value else {
        subject.default = subject.default.with(actions);
        return;
    };
    let (allow, deny) = match value {
        Conf::Map(..) => (value.get(&["allow"]), value.get(&["deny"])),
        grants => (Some(grants), None),
    };
    if allow.is_none() {
        subject.default = subject.default.with(actions);
    }
    let denied = if publishes { actions } else { actions.with(RECEIVE) };
    for (list, effect, actions) in [(deny, Effect::Deny, denied), (allow, Effect::Allow, actions)] {
        for (line, text) in list.map(texts).unwrap_or_default() {
            rule(document, subject, (line, text), effect, actions, problems);
        }
    }
}

fn texts(conf: &Conf) -> Vec<(usize, &str)> {
    match conf {
        Conf::Text(line, text) => vec![(*line, text.as_str())],
        Conf::List(list) => list.iter().flat_map(texts).collect(),
        Conf::Map(..) => Vec::new(),
    }
}

fn rule(
    document: &mut Document,
    subject: &mut Subject,
    (line, text): (usize, &str),
    effect: Effect,
    actions: Actions,
    problems: &mut Problems<'_>,
) {
    if document.rules.len() >= RULES_MAX {
        subject.undecided = subject.undecided.with(actions);
        return;
    }
    // A queue group may follow the subject; MQTT has none.
    let pattern = nats_subject(text.split_whitespace().next().unwrap_or_default());
    if pattern.is_none() {
        problems.warning(line, format!("no MQTT topic has the subject `{}`", shown(text)));
    }
    let word = if effect == Effect::Allow { "allow" } else { "deny" };
    subject.order.push(document.rules.len());
    document.rules.push(Rule {
        line,
        text: shown(&format!("{word} {text}")),
        effect,
        actions,
        conditional: false,
        attached: false,
        object: Object::Any(pattern.into_iter().collect()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = r##"
port: 4222 # comment
mqtt { port: 1883 }
DEVICE = { publish: "devices.*.up", subscribe = ["devices.*.in", 'news.>'] }
authorization {
  default_permissions { publish { deny: "$SYS.>" } }
  users = [
    {user: "d", password: "x", permissions: $DEVICE}
    { user: admin, password: y, permissions { pub: ">", sub: {allow: [">"], deny: ["secret.>"]} } },
    {user: other, password: z} // default
  ]
}
accounts { A { users: [ {nkey: UABC} ] } }
no_auth_user: other
"##;

    #[test]
    fn grants_denials_and_defaults() {
        let document = parse("nats.conf", SERVER);
        assert_eq!(document.problems, []);
        let names: Vec<&str> = document.subjects.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, ["user `d`", "user `admin`", "user `other`", "user `UABC` of account `A`"]);
        let access: Vec<_> = document.subjects.iter().map(|subject| document.access(subject)).collect();
        let publish: Vec<_> = access.iter().map(|access| access.publish.as_ref().unwrap()).collect();
        let read: Vec<_> = access.iter().map(|access| access.read.as_ref().unwrap()).collect();
        assert!(publish[0].contains("devices/x/up") && !publish[0].contains("devices/x/in"));
        assert!(
            read[0].contains("news/a/b") && read[0].contains("devices/y/in") && !read[0].contains("news")
        );
        assert!(publish[1].contains("$SYS/x") && read[1].contains("a") && !read[1].contains("secret/x"));
        assert!(access[1].subscribe.as_ref().unwrap().contains("#"), "a wider filter is accepted");
        assert!(!publish[2].contains("$SYS/x") && publish[2].contains("a") && read[2].contains("secret/x"));
        assert!(publish[3].contains("anything") && document.subjects[2].everyone);
    }

    /// Each line holds the one before twice: what does not fit is left out, and told.
    #[test]
    fn values_that_double_are_bounded() {
        let doubled: String = (0..40).map(|i| format!("a{} = [$a{i}, $a{i}]\n", i + 1)).collect();
        let document = parse("nats.conf", &format!("a0 = [1]\n{doubled}"));
        assert!(
            document.problems.iter().any(|problem| problem.message.starts_with("more than 1000000 values"))
        );
    }

    #[test]
    fn mistakes_are_told_and_the_rest_counts() {
        let text = "authorization {\n users = [ {password: x}\n {user: a, permissions: {publsh: [\"a\"], subscribe: \"a..b\"}} ]\n}\n}\nx: [1\n";
        let document = parse("nats.conf", text);
        let found: Vec<String> = document.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "nats.conf:2:1: error: a user without `user` or `nkey`",
                "nats.conf:3:1: error: unknown permission `publsh`; did you mean `publish`?",
                "nats.conf:3:1: warning: no MQTT topic has the subject `a..b`",
                "nats.conf:5:1: error: found `}` without a beginning",
                "nats.conf:7:1: error: found ``; expected `]`",
            ]
        );
        assert_eq!(document.subjects.len(), 1);
    }
}
