//! Bridges to other brokers. Source: `mosquitto.conf(5)`, "Configuring Bridges".

use super::{
    super::{
        note::Notes,
        rule::{
            BROKER_BRIDGE_UNVERIFIED_CHECK, BROKER_BRIDGE_WIDE_CHECK, BROKER_BRIDGE_WITHOUT_TLS_CHECK,
            BROKER_TLS_VERSION_CHECK,
        },
    },
    model::{Broker, Section},
    shown, told,
};

pub(super) fn audit(broker: &Broker, notes: &mut Notes) {
    for bridge in &broker.bridges {
        let name = shown(&bridge.name);
        let remote = bridge.get("address").or_else(|| bridge.get("addresses"));
        let addresses = remote.map_or("", |setting| setting.value.as_str());
        let away = addresses.split_whitespace().find(|address| !is_loopback(address));
        if let Some(address) = away
            && !has_tls(bridge)
        {
            let reason = format!(
                "the bridge `{name}` sends everything in clear to `{}`, its password too",
                shown(address)
            );
            told(notes, &BROKER_BRIDGE_WITHOUT_TLS_CHECK, &bridge.at, reason);
        }
        if let Some(setting) = bridge.get("bridge_insecure").filter(|setting| setting.flag() == Some(true)) {
            let reason = format!("the bridge `{name}` does not look at whose certificate it is given");
            told(notes, &BROKER_BRIDGE_UNVERIFIED_CHECK, &setting.at(), reason);
        }
        if let Some(setting) = bridge
            .get("bridge_tls_version")
            .filter(|setting| matches!(setting.value.as_str(), "tlsv1" | "tlsv1.0" | "tlsv1.1"))
        {
            let reason = format!("the bridge `{name}` speaks `{}`", setting.value);
            told(notes, &BROKER_TLS_VERSION_CHECK, &setting.at(), reason);
        }
        for setting in bridge.settings.iter().filter(|setting| setting.key == "topic") {
            let mut words = setting.value.split_whitespace();
            let (pattern, direction) = (words.next().unwrap_or_default(), words.next().unwrap_or("out"));
            let mapped = words.nth(1).is_some();
            if pattern == "#" && matches!(direction, "in" | "both") && !mapped {
                let reason = format!(
                    "the bridge `{name}` takes every topic from the other side (`topic {}`)",
                    shown(&setting.value)
                );
                told(notes, &BROKER_BRIDGE_WIDE_CHECK, &setting.at(), reason);
            }
        }
    }
}

fn has_tls(bridge: &Section) -> bool {
    ["bridge_cafile", "bridge_capath", "bridge_psk"].iter().any(|key| bridge.has(key))
        || bridge.is_on("bridge_tls_use_os_certs")
}

/// `address[:port]`.
fn is_loopback(address: &str) -> bool {
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.ends_with(':') => host,
        _ => address,
    };
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
