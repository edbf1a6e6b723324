//! Passwords: how they are kept, and where they do not belong.

use super::{
    super::{
        file::ConfigFile,
        note::{At, Notes},
        password::{Kept, ROUNDS_MIN, kept},
        rule::{
            BROKER_CONFIGURATION_INVALID_CHECK, BROKER_PASSWORD_HASH_CHECK,
            BROKER_SECRET_IN_CONFIGURATION_CHECK, System,
        },
    },
    model::Broker,
    shown, told,
};
use crate::{finding::Severity, policy::parse};
use std::collections::BTreeMap;

/// Values that stand for a secret that is put in later, or for none.
const EMPTY: [&str; 2] = ["null", "none"];

/// Secrets within the configuration itself; the value is not shown.
pub(super) fn audit(broker: &Broker, notes: &mut Notes) {
    for setting in super::each(broker) {
        let key = setting.key.as_str();
        let of_plugin = (key.starts_with("auth_opt_") || key.starts_with("plugin_opt_"))
            && ["password", "secret", "token", "apikey", "api_key"].iter().any(|end| key.ends_with(end));
        let of_bridge = matches!(key, "remote_password" | "local_password" | "password" | "bridge_psk");
        let value = setting.value.as_str();
        let stands_for = value.starts_with(['[', '<', '$', '%', '{']) || EMPTY.contains(&value);
        if (of_plugin || of_bridge) && !value.is_empty() && !stands_for {
            told(
                notes,
                &BROKER_SECRET_IN_CONFIGURATION_CHECK,
                &setting.at(),
                format!("`{key}` holds a secret"),
            );
        }
    }
}

/// Mosquitto's password file: `name:hash`.
pub(super) fn passwords(file: &ConfigFile, notes: &mut Notes) {
    let text = file.text();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let at = At { file: file.path.clone(), line: index + 1, column: 1 };
        match line.split_once(':') {
            Some((name, hash)) => hashed(name, kept(hash.trim()), at, notes),
            None => {
                let reason = "a line without `:`; expected `name:hash`".to_owned();
                notes.told(&BROKER_CONFIGURATION_INVALID_CHECK, System::Mosquitto, &at, reason);
            }
        }
    }
}

fn hashed(name: &str, kept: Kept, at: At, notes: &mut Notes) {
    let (severity, how) = match kept {
        Kept::Plain => (Severity::High, "as plain text".to_owned()),
        Kept::Once => (Severity::High, "as SHA-512 of one round".to_owned()),
        Kept::Rounds(rounds) if rounds < ROUNDS_MIN => {
            (Severity::Low, format!("with {rounds} rounds of PBKDF2"))
        }
        Kept::Rounds(_) => return,
    };
    let reason = format!("the password of `{}` is kept {how}", shown(name));
    notes.add(&BROKER_PASSWORD_HASH_CHECK, severity, System::Mosquitto, at, reason);
}

/// Dynamic security: `iterations` beside `password`, or `encoded_password` of 2.1.
pub(super) fn dynsec(file: &ConfigFile, notes: &mut Notes) {
    let text = file.text();
    let Ok(state) = serde_json::from_str::<serde_json::Value>(&text) else { return };
    let document = parse::dynsec::parse(&file.path, &text);
    let subjects = document.subjects.iter();
    let places: BTreeMap<&str, usize> =
        subjects.filter_map(|subject| subject.user.as_deref().map(|user| (user, subject.line))).collect();
    let clients = state.get("clients").and_then(serde_json::Value::as_array);
    for client in clients.into_iter().flatten() {
        let text_of = |key: &str| client.get(key).and_then(serde_json::Value::as_str);
        let name = text_of("username").unwrap_or_default();
        let rounds = client.get("iterations").and_then(serde_json::Value::as_u64).map(Kept::Rounds);
        let kept = text_of("encoded_password").map(kept).or(rounds.filter(|_| text_of("password").is_some()));
        let line = places.get(name).copied().unwrap_or(0);
        if let Some(kept) = kept {
            hashed(name, kept, At { file: file.path.clone(), line, column: 0 }, notes);
        }
    }
}
