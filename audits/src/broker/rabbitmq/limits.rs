//! What one client, or all of them, may use up.

use super::{
    super::{
        note::{At, Notes},
        tree,
    },
    Broker, add,
    rules::{RABBITMQ_HEARTBEAT_CHECK, RABBITMQ_LIMITS_CHECK, RABBITMQ_WATERMARK_CHECK},
    told,
};
use crate::{finding::Severity, policy::parse::shown};

/// Part of the memory above which the broker needs more than there is while it collects garbage.
const MEMORY_PART_MAX: f64 = 0.8;
/// Free disk below which an alarm comes too late.
const DISK_MIN: u64 = 1 << 30;
/// A packet beyond this is none of a device.
const PACKET_MAX: u64 = 16 << 20;

pub(super) fn audit(broker: &Broker<'_>, notes: &mut Notes) {
    let conf = &broker.conf;
    if let Some(setting) = conf.get("heartbeat").filter(|setting| setting.value == "0") {
        let reason = "`heartbeat = 0`: a connection that is dead is never noticed".to_owned();
        told(notes, &RABBITMQ_HEARTBEAT_CHECK, &setting.at(), reason);
    }
    let mut missing = Vec::new();
    let of_hosts = conf.iter().any(|setting| {
        setting.key.starts_with("default_limits.") && setting.key.ends_with("max_connections")
    });
    if !of_hosts && conf.value("connection_max").is_none_or(|value| value == "infinity") {
        missing.push("connections (`connection_max`)");
    }
    if broker.uses_mqtt() && conf.get("mqtt.max_packet_size_authenticated").is_none() {
        missing.push("the size of MQTT packets (`mqtt.max_packet_size_authenticated`)");
    }
    if !missing.is_empty() {
        let reason = format!("there is no limit for {}", missing.join(" and for "));
        told(notes, &RABBITMQ_LIMITS_CHECK, &At::file(&conf.file), reason);
    }
    let large = conf.get("mqtt.max_packet_size_authenticated");
    if let Some(setting) =
        large.filter(|setting| tree::bytes(&setting.value).is_some_and(|size| size > PACKET_MAX))
    {
        let reason =
            format!("`mqtt.max_packet_size_authenticated = {}`: more than 16 MiB", shown(&setting.value));
        told(notes, &RABBITMQ_LIMITS_CHECK, &setting.at(), reason);
    }
    memory(broker, notes);
    disk(broker, notes);
}

fn memory(broker: &Broker<'_>, notes: &mut Notes) {
    let Some(setting) = broker.conf.get("vm_memory_high_watermark.relative") else { return };
    if setting.value.parse::<f64>().is_ok_and(|part| part > MEMORY_PART_MAX || part <= 0.0) {
        let reason = format!(
            "`vm_memory_high_watermark.relative = {}`: publishers are not held back before the memory is used up",
            shown(&setting.value)
        );
        told(notes, &RABBITMQ_WATERMARK_CHECK, &setting.at(), reason);
    }
}

/// 50 MB unless set, which the documentation itself says is for development.
fn disk(broker: &Broker<'_>, notes: &mut Notes) {
    if broker.conf.has_below("disk_free_limit.relative") {
        return;
    }
    let keys = ["disk_free_limit.absolute", "disk_free_limit"];
    let Some(setting) = keys.iter().find_map(|key| broker.conf.get(key)) else {
        let reason = "`disk_free_limit` is not set: publishers are held back only below 50 MB".to_owned();
        return add(notes, &RABBITMQ_WATERMARK_CHECK, Severity::Low, &At::file(&broker.conf.file), reason);
    };
    if tree::bytes(&setting.value).is_some_and(|size| size < DISK_MIN) {
        let reason = format!(
            "`{} = {}`: publishers are held back when the disk is nearly full",
            setting.key,
            shown(&setting.value)
        );
        told(notes, &RABBITMQ_WATERMARK_CHECK, &setting.at(), reason);
    }
}
