//! What one client may use up, and what outlives a restart.

use super::{
    super::{
        note::{At, Notes},
        rule::{
            BROKER_KEEP_ALIVE_CHECK, BROKER_LIMITS_CHECK, BROKER_PERSISTENCE_CHECK, BROKER_ROOT_USER_CHECK,
            BROKER_WEB_FOLDER_CHECK,
        },
    },
    conf::Setting,
    model::{Broker, last},
    shown, told,
};

pub(super) fn audit(broker: &Broker, notes: &mut Notes) {
    let file = At::file(&broker.main);
    let limited = |keys: &[&str], off: &[&str]| {
        keys.iter().any(|key| {
            last(&broker.global, key).is_some_and(|setting| !off.contains(&setting.value.as_str()))
        })
    };
    let mut missing = Vec::new();
    let of_listeners = !broker.listeners.is_empty()
        && broker
            .listeners
            .iter()
            .all(|listener| listener.get("max_connections").is_some_and(|setting| setting.value != "-1"));
    if !of_listeners && !limited(&["global_max_connections"], &["-1"]) {
        missing.push("connections (`max_connections`)");
    }
    if !limited(&["message_size_limit", "max_packet_size"], &["0"]) {
        missing.push("the size of messages (`max_packet_size`, `message_size_limit`)");
    }
    if !missing.is_empty() {
        let reason = format!("there is no limit for {}", missing.join(" and for "));
        told(notes, &BROKER_LIMITS_CHECK, &file, reason);
    }
    for (key, what) in [
        ("max_queued_messages", "messages that wait for a client that is away"),
        ("max_inflight_messages", "messages under way to a client"),
    ] {
        if let Some(setting) = last(&broker.global, key).filter(|setting| setting.value == "0") {
            told(notes, &BROKER_LIMITS_CHECK, &setting.at(), format!("`{key} 0`: no limit for {what}"));
        }
    }
    if let Some(setting) = last(&broker.global, "max_keepalive").filter(|setting| setting.value == "0") {
        let reason = "`max_keepalive 0`: a client that is gone may count as connected for ever".to_owned();
        told(notes, &BROKER_KEEP_ALIVE_CHECK, &setting.at(), reason);
    }
    persistence(broker, &file, notes);
    if let Some(setting) = last(&broker.global, "user").filter(|setting| setting.value == "root") {
        told(
            notes,
            &BROKER_ROOT_USER_CHECK,
            &setting.at(),
            "the broker keeps the rights of root (`user root`)".into(),
        );
    }
    for setting in
        super::each(broker).filter(|setting| setting.key == "http_dir" && !setting.value.is_empty())
    {
        let reason = format!("the folder `{}` is served to everybody who connects", shown(&setting.value));
        told(notes, &BROKER_WEB_FOLDER_CHECK, &setting.at(), reason);
    }
}

/// Off by default; a file of the broker's state must be there for a restart not to lose messages.
fn persistence(broker: &Broker, file: &At, notes: &mut Notes) {
    let setting = last(&broker.global, "persistence");
    if setting.and_then(Setting::flag) != Some(true) && !broker.local_only {
        let (at, said) =
            setting.map_or((file.clone(), "the default"), |setting| (setting.at(), "as configured"));
        let reason = format!(
            "sessions, QoS 1 and 2 messages and retained messages are lost with a restart (`persistence false`, {said})"
        );
        told(notes, &BROKER_PERSISTENCE_CHECK, &at, reason);
    }
}
