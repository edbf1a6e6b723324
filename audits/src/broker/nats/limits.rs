//! What clients may use up, where sessions are kept, and what the log holds.

use super::{
    super::{
        note::{At, Notes},
        rule::LOGGING_DISABLED_CHECK,
        tree::{self, Node},
    },
    enabled,
    rules::{
        NATS_JETSTREAM_ENCRYPTION_CHECK, NATS_JETSTREAM_LIMITS_CHECK, NATS_JETSTREAM_MISSING_CHECK,
        NATS_LIMITS_CHECK, NATS_TRACE_CHECK,
    },
    told,
};
use crate::policy::parse::shown;

/// Beyond it the server itself warns (`MAX_PAYLOAD_MAX_SIZE`).
const PAYLOAD_MAX: u64 = 8 << 20;

pub(super) fn audit(root: &Node, notes: &mut Notes) {
    jetstream(root, notes);
    let large = root.get("max_payload");
    if let Some(node) =
        large.filter(|node| node.text().and_then(tree::bytes).is_some_and(|size| size > PAYLOAD_MAX))
    {
        let reason = format!("`max_payload` is {}: more than 8 MiB", shown(node.text().unwrap_or_default()));
        told(notes, &NATS_LIMITS_CHECK, &node.at, reason);
    }
    for (key, short, what) in [
        ("max_connections", "max_conn", "connections"),
        ("max_subscriptions", "max_subs", "subscriptions of a connection"),
    ] {
        let found = root.any(&[key, short]);
        if let Some(node) = found.filter(|node| matches!(node.text(), Some("0" | "-1"))) {
            told(notes, &NATS_LIMITS_CHECK, &node.at, format!("there is no limit for {what} (`{key}`)"));
        }
    }
    if root.any(&["max_subscriptions", "max_subs"]).is_none() {
        let reason = "there is no limit for subscriptions of a connection (`max_subscriptions`)".to_owned();
        told(notes, &NATS_LIMITS_CHECK, &At::file(&root.at.file), reason);
    }
    for key in ["trace", "trace_verbose"] {
        if let Some(node) = root.get(key).filter(|node| node.flag() == Some(true)) {
            told(notes, &NATS_TRACE_CHECK, &node.at, format!("`{key}` writes what clients send to the log"));
        }
    }
    if let Some(node) = root.any(&["log_file", "logfile"]).filter(|node| node.text() == Some("/dev/null")) {
        told(notes, &LOGGING_DISABLED_CHECK, &node.at, "`log_file` is `/dev/null`".into());
    }
}

/// MQTT keeps its sessions in `JetStream` (`server/mqtt.go`).
fn jetstream(root: &Node, notes: &mut Notes) {
    let jetstream = root.get("jetstream");
    let is_on = jetstream.is_some_and(|node| node.flag() != Some(false) && node.text() != Some("disabled"));
    if let Some(mqtt) = enabled(root, &["mqtt"]) {
        let leaf = root.get("leafnodes.remotes").is_some();
        if !is_on && !leaf {
            let reason = "`mqtt` without `jetstream`: no client can connect".to_owned();
            told(notes, &NATS_JETSTREAM_MISSING_CHECK, &mqtt.at, reason);
        }
        if root.any(&["server_name", "name"]).is_none() {
            let reason = "`mqtt` without `server_name`: the server does not start with it".to_owned();
            told(notes, &NATS_JETSTREAM_MISSING_CHECK, &mqtt.at, reason);
        }
    }
    let Some(node) = jetstream.filter(|node| is_on && !node.is_unresolved()) else { return };
    let missing: Vec<&str> = [
        ("max_memory_store", ["max_memory_store", "max_mem_store", "max_mem"].as_slice()),
        ("max_file_store", ["max_file_store", "max_file"].as_slice()),
    ]
    .into_iter()
    .filter_map(|(name, keys)| node.any(keys).is_none().then_some(name))
    .collect();
    if !missing.is_empty() {
        let reason = format!(
            "no `{}`: the server takes three quarters of what the host has",
            missing.join("` and no `")
        );
        told(notes, &NATS_JETSTREAM_LIMITS_CHECK, &node.at, reason);
    }
    if node.any(&["key", "encryption_key", "ek"]).is_none() {
        let reason = "messages and sessions are kept on disk in clear (no `key`)".to_owned();
        told(notes, &NATS_JETSTREAM_ENCRYPTION_CHECK, &node.at, reason);
    }
    for (name, account) in root.get("accounts").map(Node::members).unwrap_or_default() {
        let Some(own) = account.get("jetstream") else { continue };
        if own.flag() == Some(true) || matches!(own.text(), Some("enabled" | "enable")) {
            let reason = format!("the account `{}` uses `jetstream` without a limit of its own", shown(name));
            told(notes, &NATS_JETSTREAM_LIMITS_CHECK, &own.at, reason);
        }
    }
}
