//! Who is let in.

use super::{
    super::{
        address,
        file::ConfigFile,
        mosquitto_conf::Setting,
        note::{At, Notes},
        rule::{BROKER_SECRET_IN_CONFIGURATION_CHECK, LOGGING_DISABLED_CHECK},
        secret,
    },
    Broker, add,
    rules::{
        RABBITMQ_ANONYMOUS_ACCESS_CHECK, RABBITMQ_BACKEND_WITHOUT_TLS_CHECK, RABBITMQ_CLIENT_ID_FREE_CHECK,
        RABBITMQ_CLUSTER_WITHOUT_TLS_CHECK, RABBITMQ_COOKIE_CHECK, RABBITMQ_DEFAULT_PASSWORD_CHECK,
        RABBITMQ_DEFAULT_VHOST_CHECK, RABBITMQ_GUEST_REMOTE_CHECK, RABBITMQ_PASSWORD_HASH_CHECK,
    },
    told,
};
use crate::{finding::Severity, policy::parse::shown};

/// Letters of a cookie below which it can be tried out.
const COOKIE_LETTERS_MIN: usize = 16;

pub(super) fn audit(broker: &Broker<'_>, notes: &mut Notes) {
    guest(broker, notes);
    if broker.uses_mqtt() {
        anonymous(broker, notes);
        if broker.conf.value("mqtt.ssl_cert_client_id_from").is_none() {
            let reason = "MQTT: a client that may log in can take the id of any other and so throw it out (no `mqtt.ssl_cert_client_id_from`)";
            told(
                notes,
                &RABBITMQ_CLIENT_ID_FREE_CHECK,
                &broker.conf.at("mqtt.ssl_cert_login"),
                reason.into(),
            );
        }
        if broker.conf.value("mqtt.vhost").is_none_or(|vhost| vhost == "/") {
            let reason = "MQTT clients are in the virtual host `/` (`mqtt.vhost`)".to_owned();
            told(notes, &RABBITMQ_DEFAULT_VHOST_CHECK, &broker.conf.at("mqtt.vhost"), reason);
        }
    }
    passwords(broker, notes);
    backends(broker, notes);
    cluster(broker, notes);
    logging(broker, notes);
}

/// The setting by which `guest` may log in from other hosts.
fn freed<'b>(broker: &'b Broker<'_>) -> Option<&'b Setting> {
    let none = broker.conf.get("loopback_users").filter(|setting| setting.value == "none");
    none.or_else(|| {
        broker
            .conf
            .get("loopback_users.guest")
            .filter(|setting| super::super::tree::truth(&setting.value) == Some(false))
    })
}

fn guest(broker: &Broker<'_>, notes: &mut Notes) {
    let Some(setting) = freed(broker) else { return };
    let (severity, more) = if broker.guest == Some(false) {
        (Severity::Medium, "; the definitions have no such user, until somebody makes one")
    } else {
        (RABBITMQ_GUEST_REMOTE_CHECK.severity, "")
    };
    let reason = format!("`{} = {}`: `guest` may log in from any host{more}", setting.key, setting.value);
    add(notes, &RABBITMQ_GUEST_REMOTE_CHECK, severity, &setting.at(), reason);
}

/// Without a name a client is `mqtt.default_user` (3.x) or `anonymous_login_user` (4.x), `guest` unless
/// set, which may come from the same host only unless it was freed. `none` lets nobody in.
fn anonymous(broker: &Broker<'_>, notes: &mut Notes) {
    let flag = broker.conf.flag("mqtt.allow_anonymous");
    let user = broker
        .conf
        .value("mqtt.default_user")
        .or(broker.conf.value("anonymous_login_user"))
        .unwrap_or("guest");
    if flag == Some(false) || user == "none" {
        return;
    }
    let said = if flag == Some(true) {
        "`mqtt.allow_anonymous = true`"
    } else {
        "the default of `mqtt.allow_anonymous`"
    };
    let at = broker.conf.at("mqtt.allow_anonymous");
    let (severity, what) = if user != "guest" || freed(broker).is_some() {
        (RABBITMQ_ANONYMOUS_ACCESS_CHECK.severity, "from any host")
    } else {
        (Severity::Medium, "from the broker's own host, as long as `guest` is bound to it")
    };
    let reason = format!("MQTT clients without a user name are let in as `{}`, {what} ({said})", shown(user));
    add(notes, &RABBITMQ_ANONYMOUS_ACCESS_CHECK, severity, &at, reason);
}

/// Passwords in the configuration, and how new ones are kept.
fn passwords(broker: &Broker<'_>, notes: &mut Notes) {
    for (key, user) in [
        ("default_pass", "default_user"),
        ("mqtt.default_pass", "mqtt.default_user"),
        ("stomp.default_pass", "stomp.default_user"),
        ("anonymous_login_pass", "anonymous_login_user"),
    ] {
        let Some(setting) = broker.conf.get(key) else { continue };
        let user = broker.conf.value(user).unwrap_or("guest");
        if secret::is_guessable(&setting.value, user) {
            let reason = format!("`{key}` of `{}` is one that is tried first", shown(user));
            told(notes, &RABBITMQ_DEFAULT_PASSWORD_CHECK, &setting.at(), reason);
        } else if !secret::stands_for_one(&setting.value) {
            told(
                notes,
                &BROKER_SECRET_IN_CONFIGURATION_CHECK,
                &setting.at(),
                format!("`{key}` holds a secret"),
            );
        }
    }
    let ends = [".password", ".secret", ".passphrase", "_password", ".access_key", ".secret_key"];
    for setting in broker.conf.iter() {
        let is_secret = ends.iter().any(|end| setting.key.ends_with(end));
        if is_secret && !secret::stands_for_one(&setting.value) {
            let reason = format!("`{}` holds a secret", shown(&setting.key));
            told(notes, &BROKER_SECRET_IN_CONFIGURATION_CHECK, &setting.at(), reason);
        }
    }
    if let Some(setting) =
        broker.conf.get("password_hashing_module").filter(|setting| setting.value.ends_with("md5"))
    {
        let reason =
            format!("`password_hashing_module = {}`: new passwords are kept with MD5", shown(&setting.value));
        told(notes, &RABBITMQ_PASSWORD_HASH_CHECK, &setting.at(), reason);
    }
}

fn backends(broker: &Broker<'_>, notes: &mut Notes) {
    for setting in broker.conf.below("auth_http.").filter(|setting| setting.key.ends_with("_path")) {
        if setting.value.starts_with("http://") && address::is_reachable(&setting.value) {
            let reason = format!(
                "`{}` sends user names and passwords in clear to `{}`",
                setting.key,
                shown(address::host(&setting.value))
            );
            told(notes, &RABBITMQ_BACKEND_WITHOUT_TLS_CHECK, &setting.at(), reason);
        }
    }
    let secured =
        ["auth_ldap.use_ssl", "auth_ldap.use_starttls"].iter().any(|key| broker.conf.flag(key) == Some(true));
    let away = broker.conf.below("auth_ldap.servers.").find(|setting| !address::is_loopback(&setting.value));
    if let Some(setting) = away.filter(|_| !secured) {
        let reason = format!("passwords go to the LDAP server `{}` in clear", shown(&setting.value));
        told(notes, &RABBITMQ_BACKEND_WITHOUT_TLS_CHECK, &setting.at(), reason);
    }
}

/// TLS between nodes stands in the environment, not in `rabbitmq.conf`.
fn cluster(broker: &Broker<'_>, notes: &mut Notes) {
    let Some(setting) = broker.conf.below("cluster_formation.").next() else { return };
    let (severity, seen) = match broker.env {
        Some(env) if env.text().contains("inet_tls") || env.text().contains("inet6_tls") => return,
        Some(_) => (Severity::Medium, "`rabbitmq-env.conf` has no `-proto_dist inet_tls`"),
        None => (Severity::Low, "`rabbitmq-env.conf` is not among the files"),
    };
    let reason = format!("the nodes of the cluster speak in clear, as far as can be seen: {seen}");
    add(notes, &RABBITMQ_CLUSTER_WITHOUT_TLS_CHECK, severity, &setting.at(), reason);
}

/// Without `log.connection.level` connects are logged as `info`; refused logins are errors there too.
fn logging(broker: &Broker<'_>, notes: &mut Notes) {
    for key in ["log.connection.level", "log.default.level", "log.file.level", "log.console.level"] {
        let Some(setting) = broker.conf.get(key) else { continue };
        if matches!(setting.value.as_str(), "none" | "critical" | "error" | "alert" | "emergency") {
            let reason = format!("`{key} = {}` leaves out who connects", setting.value);
            told(notes, &LOGGING_DISABLED_CHECK, &setting.at(), reason);
        }
    }
    let console =
        broker.conf.flag("log.console") == Some(true) || broker.conf.flag("log.syslog") == Some(true);
    if let Some(setting) = broker.conf.get("log.file").filter(|setting| setting.value == "false" && !console)
    {
        told(
            notes,
            &LOGGING_DISABLED_CHECK,
            &setting.at(),
            "`log.file = false`, and no other log is on".into(),
        );
    }
}

/// A cookie: a secret by which nodes, and whoever has it, run code in each other.
pub(super) fn cookie(at: &At, value: &str, notes: &mut Notes) {
    let weak = secret::is_guessable(value, "") || value.chars().count() < COOKIE_LETTERS_MIN;
    if weak && !value.is_empty() && !value.starts_with('$') {
        let reason =
            format!("the cookie of the nodes is short or well known ({} letters)", value.chars().count());
        told(notes, &RABBITMQ_COOKIE_CHECK, at, reason);
    }
}

/// `rabbitmq-env.conf`: lines of a shell.
pub(super) fn environment(file: &ConfigFile, notes: &mut Notes) {
    let text = file.text();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let at = At { file: file.path.clone(), line: index + 1, column: 1 };
        if let Some((key, value)) = line.split_once('=')
            && ["ERLANG_COOKIE", "RABBITMQ_ERLANG_COOKIE"].contains(&key)
        {
            cookie(&at, value.trim_matches(['"', '\'']), notes);
        }
        if let Some((_, rest)) = line.split_once("-setcookie ") {
            cookie(&at, rest.split_whitespace().next().unwrap_or_default().trim_matches(['"', '\'']), notes);
        }
    }
}
