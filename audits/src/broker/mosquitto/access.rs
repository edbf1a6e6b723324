//! Who is let in, and who decides what they may do.

use super::{
    super::{
        note::Notes,
        rule::{
            BROKER_ACL_MISSING_CHECK, BROKER_ANONYMOUS_ACCESS_CHECK, BROKER_CLIENT_ID_EMPTY_CHECK,
            BROKER_CLIENT_ID_FREE_CHECK, BROKER_CREDENTIALS_MISSING_CHECK, BROKER_LISTENER_SCOPE_CHECK,
            BROKER_PLUGIN_SPECIAL_CHARS_CHECK, BROKER_PLUGIN_UNKNOWN_CHECK, System,
        },
    },
    conf::Setting,
    model::{Broker, Section},
    shown, told,
};
use crate::finding::Severity;

/// Parts of the file names of plug-ins that are known to decide about topics.
const DECIDING: [&str; 6] =
    ["dynamic_security", "dynamic-security", "go-auth", "auth-plug", "acl_file", "acl-file"];
/// Known, but deciding nothing about topics.
const OTHERS: [&str; 5] = ["password_file", "password-file", "sparkplug", "persist", "cedalo"];

pub(super) fn audit(broker: &Broker, notes: &mut Notes) {
    for listener in broker.reachable() {
        anonymous(broker, listener, notes);
        no_credentials(broker, listener, notes);
        no_acl(broker, listener, notes);
        client_ids(broker, listener, notes);
    }
    scope(broker, notes);
    let is_plugin = |setting: &&Setting| {
        matches!(setting.key.as_str(), "plugin" | "auth_plugin" | "global_plugin" | "plugin_load")
    };
    for plugin in super::each(broker).filter(is_plugin) {
        let known = DECIDING.iter().chain(&OTHERS).any(|part| plugin.value.contains(part));
        if !known {
            let reason = format!(
                "the plug-in `{}` is not known here: what it lets in was not looked at",
                shown(&plugin.value)
            );
            told(notes, &BROKER_PLUGIN_UNKNOWN_CHECK, &plugin.at(), reason);
        }
    }
    for setting in super::each(broker) {
        if setting.key == "auth_plugin_deny_special_chars" && setting.flag() == Some(false) {
            let reason =
                "`auth_plugin_deny_special_chars false`: names with `+`, `#` reach the plug-in's rules"
                    .to_owned();
            told(notes, &BROKER_PLUGIN_SPECIAL_CHARS_CHECK, &setting.at(), reason);
        }
    }
}

/// Certificates or shared keys stand for the client before MQTT speaks.
fn is_guarded(listener: &Section) -> bool {
    (listener.has_certificate() && listener.is_on("require_certificate")) || listener.has("psk_hint")
}

fn anonymous(broker: &Broker, listener: &Section, notes: &mut Notes) {
    let Some(setting) = broker.is_anonymous(listener) else { return };
    let guarded = is_guarded(listener);
    if guarded && listener.identity().is_some() {
        return;
    }
    let (file, line) = (shown(&setting.file), setting.line);
    let place = if setting.file == listener.at.file {
        format!("line {line}")
    } else {
        format!("{file}, line {line}")
    };
    let (severity, what) = if guarded {
        (
            Severity::Low,
            "asks for a certificate or key, but takes no name from it: all such clients are the same nobody",
        )
    } else {
        (BROKER_ANONYMOUS_ACCESS_CHECK.severity, "lets clients in without any identity")
    };
    let reason =
        format!("{} {what} (`{} {}`, {place})", listener.shown(), setting.key, shown(&setting.value));
    notes.add(&BROKER_ANONYMOUS_ACCESS_CHECK, severity, System::Mosquitto, listener.at.clone(), reason);
}

fn no_credentials(broker: &Broker, listener: &Section, notes: &mut Notes) {
    let checked = ["password_file", "psk_file"].iter().any(|key| broker.security(listener, key).is_some())
        || broker.plugins(listener).next().is_some()
        || (listener.identity().is_some() && listener.is_on("require_certificate"));
    if !checked && broker.is_anonymous(listener).is_none() {
        let reason = format!(
            "{} asks for a name, and there is nothing to check it against: nobody can log in",
            listener.shown()
        );
        told(notes, &BROKER_CREDENTIALS_MISSING_CHECK, &listener.at, reason);
    }
}

/// A plug-in that is not known may decide: then it is told by itself.
fn no_acl(broker: &Broker, listener: &Section, notes: &mut Notes) {
    let decides = |plugin: &Setting| !OTHERS.iter().any(|part| plugin.value.contains(part));
    if broker.security(listener, "acl_file").is_none() && !broker.plugins(listener).any(decides) {
        let reason = format!(
            "{}: every client may read and write every topic (no `acl_file`, no plug-in)",
            listener.shown()
        );
        told(notes, &BROKER_ACL_MISSING_CHECK, &listener.at, reason);
    }
}

fn client_ids(broker: &Broker, listener: &Section, notes: &mut Notes) {
    let dynsec = broker.plugins(listener).any(|plugin| plugin.value.contains("dynamic"));
    let prefixes = super::model::last(&broker.global, "clientid_prefixes").is_some();
    let anonymous = broker.is_anonymous(listener).is_some();
    if !anonymous && !dynsec && !prefixes && !listener.is_on("use_username_as_clientid") {
        let reason = format!(
            "{}: a client that may log in can take the id of any other and so throw it out",
            listener.shown()
        );
        told(notes, &BROKER_CLIENT_ID_FREE_CHECK, &listener.at, reason);
    }
    let empty = broker.security(listener, "allow_zero_length_clientid");
    if empty.and_then(Setting::flag) != Some(false) {
        let (at, said) =
            empty.map_or((listener.at.clone(), "the default"), |setting| (setting.at(), "as configured"));
        let reason = format!(
            "{}: clients without an id are given one, which changes with each connect ({said})",
            listener.shown()
        );
        told(notes, &BROKER_CLIENT_ID_EMPTY_CHECK, &at, reason);
    }
}

/// Where settings count for other listeners than it looks.
fn scope(broker: &Broker, notes: &mut Notes) {
    for setting in &broker.lost {
        let reason = format!(
            "`{}` stands before `per_listener_settings true`: it counts for no listener",
            setting.key
        );
        told(notes, &BROKER_LISTENER_SCOPE_CHECK, &setting.at(), reason);
    }
    if broker.per_listener {
        for key in ["acl_file", "password_file"] {
            let has = broker.listeners.iter().filter(|listener| listener.has(key)).count();
            for listener in broker.reachable().filter(|listener| has > 0 && !listener.has(key)) {
                if broker.plugins(listener).next().is_none() && !is_guarded(listener) {
                    let reason = format!(
                        "`per_listener_settings true`: {} has no `{key}`, though another has",
                        listener.shown()
                    );
                    told(notes, &BROKER_LISTENER_SCOPE_CHECK, &listener.at, reason);
                }
            }
        }
        return;
    }
    let said: Vec<&Setting> =
        broker.global.iter().filter(|setting| setting.key == "allow_anonymous").collect();
    if let (Some(first), Some(last)) = (said.first(), said.last())
        && first.flag() != last.flag()
    {
        let reason = format!(
            "`allow_anonymous` is said {} times with different values; without `per_listener_settings true` this one counts for all listeners",
            said.len()
        );
        told(notes, &BROKER_LISTENER_SCOPE_CHECK, &last.at(), reason);
    }
}
