//! Who is let in, what he may do, and who else knows the secrets.

use super::{
    super::{
        address,
        file::ConfigFile,
        note::{At, Notes},
        rule::{
            BROKER_CONFIGURATION_INVALID_CHECK, BROKER_SECRET_IN_CONFIGURATION_CHECK, LOGGING_DISABLED_CHECK,
        },
        secret,
        tree::truth,
    },
    add,
    model::{Backend, Broker, Known},
    rules::{
        EMQX_ACL_DEFAULT_ALLOW_CHECK, EMQX_ANONYMOUS_ACCESS_CHECK, EMQX_BACKEND_UNVERIFIED_CHECK,
        EMQX_BACKEND_WITHOUT_TLS_CHECK, EMQX_CLIENT_ID_FREE_CHECK, EMQX_CLUSTER_WITHOUT_TLS_CHECK,
        EMQX_COOKIE_CHECK, EMQX_DEFAULT_PASSWORD_CHECK, EMQX_FLAPPING_CHECK, EMQX_PASSWORD_HASH_CHECK,
        EMQX_TOKEN_UNBOUND_CHECK,
    },
    told,
};
use crate::{
    finding::Severity,
    policy::{
        check::answers,
        form::Effect,
        parse::{self, emqx::NoMatch, shown},
    },
};

/// The cookie of EMQX unless set (`emqx_conf_schema`).
const COOKIE: &str = "emqxsecretcookie";
/// Rounds below which PBKDF2 is weak (RFC 8018 section 4.2).
const ROUNDS_MIN: u64 = 1_000;

pub(super) fn audit(broker: &Broker, notes: &mut Notes) {
    if broker.whole {
        anonymous(broker, notes);
    }
    no_match(broker, notes);
    for backend in broker.backends.iter().filter(|backend| backend.enabled) {
        network(backend, notes);
        hash(backend, notes);
        token(backend, notes);
    }
    secrets(broker, notes);
    cluster(broker, notes);
    if broker.whole && !broker.ids_bound {
        let reason = "a client that may log in can take the id of any other and so throw it out (no `use_username_as_clientid`)";
        told(notes, &EMQX_CLIENT_ID_FREE_CHECK, &broker.main, reason.into());
    }
    if broker.whole && broker.flapping.or("false").and_then(truth) == Some(false) {
        let reason =
            "clients that connect again and again are not held back (`flapping_detect.enable` is not `true`)";
        told(notes, &EMQX_FLAPPING_CHECK, &broker.flapping.at(&broker.main), reason.into());
    }
    logging(broker, notes);
}

/// EMQX 5 lets everybody in unless something says who clients are; EMQX 4 has a switch.
fn anonymous(broker: &Broker, notes: &mut Notes) {
    let authenticates = broker.backends.iter().any(|backend| backend.authenticates && backend.enabled);
    if broker.old {
        let zones = broker.listeners.iter().map(|listener| &listener.anonymous);
        for said in std::iter::once(&broker.anonymous).chain(zones).filter_map(Known::said) {
            if truth(&said.text) == Some(true) {
                let reason = "`allow_anonymous = true`: clients are let in without any identity".to_owned();
                told(notes, &EMQX_ANONYMOUS_ACCESS_CHECK, &said.at, reason);
            }
        }
        return;
    }
    if !authenticates && !broker.authentication_unknown {
        let reason = "nothing in `authentication` is on: clients are let in without any identity".to_owned();
        return told(notes, &EMQX_ANONYMOUS_ACCESS_CHECK, &broker.main, reason);
    }
    for listener in broker.listeners.iter().filter(|listener| listener.is_reachable()) {
        if let Some(said) = listener.anonymous.said().filter(|said| truth(&said.text) == Some(false)) {
            let reason = format!(
                "the listener `{}` asks for no identity (`enable_authn = false`)",
                shown(&listener.name)
            );
            told(notes, &EMQX_ANONYMOUS_ACCESS_CHECK, &said.at, reason);
        }
    }
}

/// `allow` unless set.
fn no_match(broker: &Broker, notes: &mut Notes) {
    if broker.no_match.is_unset() && !broker.whole {
        return;
    }
    if broker.no_match.or("allow") == Some("allow") {
        let said = if broker.no_match.is_unset() { ", as it is unless set" } else { "" };
        let reason = format!("what no rule names is allowed to every client{said} (`no_match`)");
        told(notes, &EMQX_ACL_DEFAULT_ALLOW_CHECK, &broker.no_match.at(&broker.main), reason);
    }
}

/// `acl.conf`: what its rules let every client do, decided over what they mean; what happens where none
/// matches is told by itself.
pub(super) fn rules_of(file: &ConfigFile, notes: &mut Notes) {
    let document = parse::emqx::parse(&file.path, &file.text(), NoMatch::Deny);
    for problem in &document.problems {
        let at = At { file: problem.file.clone(), line: problem.line, column: problem.column };
        told(notes, &BROKER_CONFIGURATION_INVALID_CHECK, &at, problem.message.clone());
    }
    for subject in document.subjects.iter().filter(|subject| subject.everyone) {
        let answers = answers(&document, subject, &[]);
        let verbs: Vec<&str> = [(answers.reads_unnamed, "read"), (answers.writes_unnamed, "write")]
            .into_iter()
            .filter_map(|(answer, verb)| (answer == Ok(true)).then_some(verb))
            .collect();
        if !verbs.is_empty() {
            let rules = subject.order.iter().rev().filter_map(|&index| document.rules.get(index));
            let mut allowing = rules.filter(|rule| rule.effect == Effect::Allow);
            let line = allowing.next().map_or(0, |rule| rule.line);
            let at = At { file: file.path.clone(), line, column: 0 };
            let reason = format!("every client may {} topics that no rule names", verbs.join(" and "));
            told(notes, &EMQX_ACL_DEFAULT_ALLOW_CHECK, &at, reason);
        }
    }
}

/// Databases and services of other hosts.
fn network(backend: &Backend, notes: &mut Notes) {
    let away = backend.servers.iter().find(|server| {
        !secret::stands_for_one(&server.text)
            && !address::host(&server.text).is_empty()
            && address::is_reachable(&server.text)
    });
    let what = if backend.authenticates { "who clients are" } else { "what clients may do" };
    let Some(server) = away.filter(|server| !server.text.starts_with("https://")) else { return };
    let host = shown(address::host(&server.text));
    match backend.tls.or("false").and_then(truth) {
        Some(false) => {
            let reason = format!("`{}` is asked at `{host}` in clear {what}", shown(&backend.kind));
            told(notes, &EMQX_BACKEND_WITHOUT_TLS_CHECK, &server.at, reason);
        }
        Some(true) if backend.verify.or("verify_none") == Some("verify_none") => {
            let reason =
                format!("`{}` is asked at `{host}` {what}, whatever its certificate", shown(&backend.kind));
            told(
                notes,
                &EMQX_BACKEND_UNVERIFIED_CHECK,
                &backend.verify.at(&backend.tls.at(&backend.at)),
                reason,
            );
        }
        _ => {}
    }
}

/// `sha256` with a salt before it unless set (`emqx_authn_password_hashing`).
fn hash(backend: &Backend, notes: &mut Notes) {
    if !backend.authenticates {
        return;
    }
    let Some(said) = backend.hash.said() else { return };
    let unsalted = backend.salt.text() == Some("disable");
    let rounds = backend.iterations.text().and_then(|text| text.parse::<u64>().ok());
    let (severity, how) = match said.text.as_str() {
        "plain" => (Severity::High, "as plain text".to_owned()),
        "md5" | "sha" | "sha1" => (Severity::High, format!("with `{}`", said.text)),
        "sha256" | "sha512" if unsalted => (Severity::High, format!("with `{}` without salt", said.text)),
        "sha256" | "sha512" => (Severity::Low, format!("with one round of `{}`", said.text)),
        "pbkdf2" if rounds.is_some_and(|rounds| rounds < ROUNDS_MIN) => {
            (Severity::Low, "with few rounds of PBKDF2".into())
        }
        _ => return,
    };
    let reason = format!("`{}` keeps passwords {how}", shown(&backend.kind));
    add(notes, &EMQX_PASSWORD_HASH_CHECK, severity, &said.at, reason);
}

fn token(backend: &Backend, notes: &mut Notes) {
    if backend.jwt && !backend.claims {
        let reason = "tokens are bound to no user name or client id (no `verify_claims`)".to_owned();
        told(notes, &EMQX_TOKEN_UNBOUND_CHECK, &backend.at, reason);
    }
    if let Some(said) =
        backend.disconnects.said().filter(|said| backend.jwt && truth(&said.text) == Some(false))
    {
        let reason =
            "a client stays connected when its token has run out (`disconnect_after_expire = false`)"
                .to_owned();
        told(notes, &EMQX_TOKEN_UNBOUND_CHECK, &said.at, reason);
    }
}

/// The dashboard has `admin` and `public` unless set, which the first login asks to change.
fn secrets(broker: &Broker, notes: &mut Notes) {
    for (path, user, said) in &broker.secrets {
        if secret::is_guessable(&said.text, user) {
            let reason = format!("`{}` is one that is tried first", shown(path));
            told(notes, &EMQX_DEFAULT_PASSWORD_CHECK, &said.at, reason);
        } else if !secret::stands_for_one(&said.text) {
            told(
                notes,
                &BROKER_SECRET_IN_CONFIGURATION_CHECK,
                &said.at,
                format!("`{}` holds a secret", shown(path)),
            );
        }
    }
    if !broker.old && !broker.consoles.is_empty() && broker.dashboard_password.is_unset() {
        let reason =
            "`dashboard.default_password` is not set: `admin` has `public` until somebody changes it"
                .to_owned();
        add(notes, &EMQX_DEFAULT_PASSWORD_CHECK, Severity::Medium, &broker.main, reason);
    }
    let cookie = if broker.whole { broker.cookie.or(COOKIE) } else { broker.cookie.text() };
    if let Some(cookie) =
        cookie.filter(|cookie| secret::is_guessable(cookie, "") || cookie.chars().count() < 8)
    {
        let what = if cookie == COOKIE { "the default one" } else { "short or well known" };
        told(notes, &EMQX_COOKIE_CHECK, &broker.cookie.at(&broker.main), format!("`node.cookie` is {what}"));
    }
}

fn cluster(broker: &Broker, notes: &mut Notes) {
    let Some(said) =
        broker.cluster.said().filter(|said| !matches!(said.text.as_str(), "manual" | "singleton"))
    else {
        return;
    };
    if broker.cluster_tls.or("inet_tcp").is_some_and(|dist| !dist.ends_with("tls")) {
        let reason = format!(
            "the nodes find each other by `{}` and speak in clear (`cluster.proto_dist`)",
            shown(&said.text)
        );
        told(notes, &EMQX_CLUSTER_WITHOUT_TLS_CHECK, &broker.cluster_tls.at(&said.at), reason);
    }
}

/// Refused logins are logged as `warning`.
fn logging(broker: &Broker, notes: &mut Notes) {
    let on = |enable: &Known| enable.or("true").and_then(truth) != Some(false);
    let off = broker.logs.iter().find(|(enable, _)| !on(enable));
    if let (Some((enable, _)), true) = (off, broker.logs.iter().all(|(enable, _)| !on(enable))) {
        told(notes, &LOGGING_DISABLED_CHECK, &enable.at(&broker.main), "every log is switched off".into());
    }
    for (_, level) in broker.logs.iter().filter(|(enable, _)| on(enable)) {
        let Some(said) = level.said() else { continue };
        if ["error", "critical", "alert", "emergency", "none"].contains(&said.text.as_str()) {
            let reason = format!("the log level `{}` leaves out refused logins", shown(&said.text));
            told(notes, &LOGGING_DISABLED_CHECK, &said.at, reason);
        }
    }
}
