//! Who is let in, and what he may do.

use super::{
    super::{
        address,
        file::ConfigFile,
        note::{At, Notes},
        rule::{BROKER_CONFIGURATION_INVALID_CHECK, BROKER_SECRET_IN_CONFIGURATION_CHECK},
        secret,
        tree::Node,
    },
    add, enabled, listen,
    rules::{
        NATS_ACCESS_WIDE_CHECK, NATS_ANONYMOUS_ACCESS_CHECK, NATS_DEFAULT_PASSWORD_CHECK,
        NATS_PASSWORD_PLAIN_CHECK, NATS_SYSTEM_ACCOUNT_CHECK,
    },
    told,
};
use crate::{
    finding::Severity,
    policy::{
        check::answers,
        parse::{self, shown},
    },
};

/// Rounds (as a power of two) below which bcrypt is weak; `nats server passwd` makes 11.
const COST_MIN: u32 = 10;
/// Users whose permissions are decided at most.
const DECIDED_MAX: usize = 5_000;

pub(super) fn audit(root: &Node, notes: &mut Notes) {
    anonymous(root, notes);
    if let Some(block) = root.get("authorization") {
        credentials(block, notes);
    }
    for (_, account) in root.get("accounts").map(Node::members).unwrap_or_default() {
        credentials(account, notes);
    }
    for path in [
        "cluster.authorization",
        "gateway.authorization",
        "leafnodes.authorization",
        "mqtt.authorization",
        "websocket.authorization",
    ] {
        if let Some(block) = root.get(path) {
            credentials(block, notes);
        }
    }
    urls(root, notes);
    system(root, notes);
}

/// Something says who clients are: users, a token, operators, or a service that is asked.
fn identifies(root: &Node) -> bool {
    let has_user = |block: &Node| {
        block.get("users").is_some_and(|users| !users.list().is_empty() || users.is_unresolved())
            || block.any(&["user", "username", "token", "auth_callout", "nkey"]).is_some()
            || block.is_unresolved()
    };
    let accounts = root.get("accounts");
    root.get("authorization").is_some_and(has_user)
        || accounts.is_some_and(|accounts| accounts.members().iter().any(|(_, account)| has_user(account)))
        || root.any(&["operator", "operators", "trusted_keys", "trusted", "resolver"]).is_some()
}

fn anonymous(root: &Node, notes: &mut Notes) {
    let mqtt = enabled(root, &["mqtt"]).map(|mqtt| listen(mqtt, "1883"));
    let reached = |bind: &Option<String>| bind.as_deref().is_some_and(address::is_reachable);
    let (client, _) = listen(root, "4222");
    if !identifies(root) && (reached(&client) || mqtt.as_ref().is_some_and(|(bind, _)| reached(bind))) {
        let at = mqtt.map_or_else(|| root.at.clone(), |(_, at)| at);
        let reason = "nothing says who clients are: they are let in without any identity".to_owned();
        return told(notes, &NATS_ANONYMOUS_ACCESS_CHECK, &at, reason);
    }
    for path in ["no_auth_user", "mqtt.no_auth_user", "websocket.no_auth_user"] {
        let Some(node) = root.get(path) else { continue };
        let user = shown(node.text().unwrap_or("?"));
        let reason = format!("clients without a name are let in as `{user}` (`{path}`)");
        told(notes, &NATS_ANONYMOUS_ACCESS_CHECK, &node.at, reason);
    }
}

/// Passwords and tokens of a block and of its users.
fn credentials(block: &Node, notes: &mut Notes) {
    let users = block.get("users").map(Node::list).unwrap_or_default();
    for entry in std::iter::once(block).chain(users) {
        let user = entry.any(&["user", "username"]).and_then(Node::text);
        for (keys, what) in [(["password", "pass"], "password"), (["token", "token"], "token")] {
            if let Some(node) = entry.any(&keys) {
                credential(node, user.unwrap_or_default(), what, notes);
            }
        }
    }
}

fn credential(node: &Node, user: &str, what: &str, notes: &mut Notes) {
    let Some(text) = node.text() else { return };
    let of = if user.is_empty() { String::new() } else { format!(" of `{}`", shown(user)) };
    if let Some(cost) = bcrypt_cost(text) {
        if cost < COST_MIN {
            let reason = format!("the {what}{of} is kept with bcrypt of cost {cost}");
            add(notes, &NATS_PASSWORD_PLAIN_CHECK, Severity::Low, &node.at, reason);
        }
    } else if secret::is_guessable(text, user) {
        told(
            notes,
            &NATS_DEFAULT_PASSWORD_CHECK,
            &node.at,
            format!("the {what}{of} is one that is tried first"),
        );
        told(notes, &NATS_PASSWORD_PLAIN_CHECK, &node.at, format!("the {what}{of} is kept as plain text"));
    } else if !secret::stands_for_one(text) {
        told(notes, &NATS_PASSWORD_PLAIN_CHECK, &node.at, format!("the {what}{of} is kept as plain text"));
    }
}

/// `$2a$11$…`
fn bcrypt_cost(text: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().find_map(|begin| text.strip_prefix(begin))?;
    rest.split('$').next()?.parse().ok()
}

/// Passwords within the addresses of other servers.
fn urls(root: &Node, notes: &mut Notes) {
    let mut places: Vec<&Node> = root.get("cluster.routes").into_iter().collect();
    for path in ["leafnodes.remotes", "gateway.gateways"] {
        let remotes = root.get(path).map(Node::list).unwrap_or_default();
        places.extend(remotes.iter().filter_map(|remote| remote.any(&["urls", "url"])));
    }
    for place in places {
        let holds = |url: &&str| {
            let authority = url.split_once("://").map_or(*url, |(_, rest)| rest);
            let user = authority.rsplit_once('@').map(|(user, _)| user);
            user.and_then(|user| user.split_once(':')).is_some_and(|(_, pass)| !secret::stands_for_one(pass))
        };
        if place.texts().iter().any(holds) {
            let reason = "the address of another server holds a password".to_owned();
            told(notes, &BROKER_SECRET_IN_CONFIGURATION_CHECK, &place.at, reason);
        }
    }
}

/// Events of the system account need a user of it; `$SYS` has none unless it is named.
fn system(root: &Node, notes: &mut Notes) {
    if root.any(&["operator", "operators"]).is_some() {
        return;
    }
    let named = root.any(&["system_account", "system"]);
    let name = named.and_then(Node::text).unwrap_or("$SYS");
    if named.is_some_and(Node::is_unresolved) {
        return;
    }
    let accounts = root.get("accounts");
    let account = accounts.and_then(|accounts| accounts.member(name));
    if account.is_none_or(|account| {
        account.get("users").is_none_or(|users| users.list().is_empty() && !users.is_unresolved())
    }) {
        let at = named.or(accounts).map_or_else(|| At::file(&root.at.file), |node| node.at.clone());
        let reason =
            format!("no user belongs to the system account `{}`: its events reach nobody", shown(name));
        told(notes, &NATS_SYSTEM_ACCOUNT_CHECK, &at, reason);
    }
}

/// Whoever may do everything and does not administer, decided over what the permissions mean. Users
/// of included files are read by their own file.
pub(super) fn permissions(root: &Node, file: &ConfigFile, notes: &mut Notes) {
    let document = parse::nats::parse(&file.path, &file.text());
    for problem in
        document.problems.iter().filter(|problem| problem.message.starts_with("unknown permission"))
    {
        let at = At { file: problem.file.clone(), line: problem.line, column: problem.column };
        told(notes, &BROKER_CONFIGURATION_INVALID_CHECK, &at, problem.message.clone());
    }
    let system = root.any(&["system_account", "system"]).and_then(Node::text).unwrap_or("$SYS");
    let of_system = format!(" of account `{}`", shown(system));
    for (index, subject) in document.subjects.iter().enumerate() {
        let at = At { file: file.path.clone(), line: subject.line, column: 0 };
        if index >= DECIDED_MAX {
            let reason =
                format!("more than {DECIDED_MAX} users: the permissions of further ones were not decided");
            return told(notes, &super::super::rule::BROKER_BOUND_CHECK, &at, reason);
        }
        let user = subject.user.as_deref().unwrap_or_default().to_ascii_lowercase();
        let administers = user.contains("admin") || user == "root" || subject.name.ends_with(&of_system);
        if administers && !subject.everyone {
            continue;
        }
        let answers = answers(&document, subject, &[]);
        if answers.reads_all == Ok(true) && answers.writes_all == Ok(true) {
            let severity =
                if subject.everyone { Severity::Critical } else { NATS_ACCESS_WIDE_CHECK.severity };
            let reason = format!("{} may read and write every topic", subject.name);
            add(notes, &NATS_ACCESS_WIDE_CHECK, severity, &at, reason);
        }
    }
}
