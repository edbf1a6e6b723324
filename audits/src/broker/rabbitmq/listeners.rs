//! Where the broker listens, and what it shows of itself.

use super::{
    super::{
        address,
        note::{At, Notes},
    },
    Broker, add,
    rules::{
        RABBITMQ_LISTENER_WITHOUT_TLS_CHECK, RABBITMQ_MANAGEMENT_WITHOUT_TLS_CHECK,
        RABBITMQ_METRICS_OPEN_CHECK, RABBITMQ_PROXY_PROTOCOL_CHECK,
    },
    told,
};
use crate::{finding::Severity, policy::parse::shown};

/// A protocol: name, prefix of its listeners, default port.
type Protocol = (&'static str, &'static str, &'static str);

const AMQP: Protocol = ("AMQP", "listeners.tcp", "5672");
const MQTT: Protocol = ("MQTT", "mqtt.listeners.tcp", "1883");
const STOMP: Protocol = ("STOMP", "stomp.listeners.tcp", "61613");

pub(super) fn audit(broker: &Broker<'_>, notes: &mut Notes) {
    plain(broker, AMQP, notes);
    if broker.uses("rabbitmq_mqtt", "mqtt.") {
        plain(broker, MQTT, notes);
    }
    if broker.uses("rabbitmq_stomp", "stomp.") {
        plain(broker, STOMP, notes);
    }
    if broker.uses("rabbitmq_web_mqtt", "web_mqtt.") {
        web(broker, notes);
    }
    if broker.uses("rabbitmq_management", "management.") {
        management(broker, notes);
    }
    if broker.uses("rabbitmq_prometheus", "prometheus.") {
        metrics(broker, notes);
    }
    for key in ["proxy_protocol", "mqtt.proxy_protocol", "web_mqtt.proxy_protocol", "stomp.proxy_protocol"] {
        if let Some(setting) = broker.conf.get(key).filter(|setting| setting.value == "true") {
            let reason = format!("`{key} = true`: whoever reaches the listener says what its address is");
            told(notes, &RABBITMQ_PROXY_PROTOCOL_CHECK, &setting.at(), reason);
        }
    }
}

fn plain(broker: &Broker<'_>, (name, prefix, port): Protocol, notes: &mut Notes) {
    if broker.conf.value(prefix) == Some("none") {
        return;
    }
    let dotted = format!("{prefix}.");
    let mut any = false;
    for setting in broker.conf.below(&dotted) {
        any = true;
        if address::is_reachable(&setting.value) {
            let reason = format!(
                "the {name} listener on `{}` sends everything in clear, passwords too",
                shown(&setting.value)
            );
            told(notes, &RABBITMQ_LISTENER_WITHOUT_TLS_CHECK, &setting.at(), reason);
        }
    }
    if !any {
        let reason = format!(
            "no `{prefix}` is set: the default {name} listener on port {port} is open to all and sends everything in clear"
        );
        told(notes, &RABBITMQ_LISTENER_WITHOUT_TLS_CHECK, &At::file(&broker.conf.file), reason);
    }
}

fn web(broker: &Broker<'_>, notes: &mut Notes) {
    let listener = broker.conf.value("web_mqtt.tcp.listener");
    let ip = listener.or(broker.conf.value("web_mqtt.tcp.ip")).unwrap_or("0.0.0.0");
    if address::is_reachable(ip) && broker.conf.value("web_mqtt.tcp.port") != Some("0") {
        let port = broker.conf.value("web_mqtt.tcp.port").unwrap_or("15675");
        let reason =
            format!("MQTT over websockets on port {} sends everything in clear, passwords too", shown(port));
        told(notes, &RABBITMQ_LISTENER_WITHOUT_TLS_CHECK, &broker.conf.at("web_mqtt.tcp.port"), reason);
    }
}

/// With `management.ssl.port` alone there is no listener in clear; `management.listener` is of 3.7 before.
fn management(broker: &Broker<'_>, notes: &mut Notes) {
    let keys = ["management.tcp.port", "management.listener.port"];
    let port = keys.iter().find_map(|key| broker.conf.get(key));
    let over_tls = broker.conf.value("management.ssl.port").is_some()
        && broker.conf.get("management.tcp.port").is_none();
    if over_tls || broker.conf.flag("management.listener.ssl") == Some(true) {
        return;
    }
    let ip = broker.conf.value("management.tcp.ip").or(broker.conf.value("management.listener.ip"));
    if address::is_reachable(ip.unwrap_or("0.0.0.0")) {
        let shown_port = shown(port.map_or("15672, the default", |setting| &setting.value));
        let at = port.map_or_else(|| At::file(&broker.conf.file), |setting| setting.at());
        let reason = format!("the management interface on port {shown_port} is open to all without TLS");
        told(notes, &RABBITMQ_MANAGEMENT_WITHOUT_TLS_CHECK, &at, reason);
    }
}

fn metrics(broker: &Broker<'_>, notes: &mut Notes) {
    let ip = broker.conf.value("prometheus.tcp.ip").or(broker.conf.value("prometheus.ssl.ip"));
    let guarded = broker.conf.flag("prometheus.authentication.enabled") == Some(true);
    if !guarded && address::is_reachable(ip.unwrap_or("0.0.0.0")) {
        let by_device = broker.conf.flag("prometheus.return_per_object_metrics") == Some(true);
        let (severity, more) = if by_device {
            (RABBITMQ_METRICS_OPEN_CHECK.severity, ", with the names of queues")
        } else {
            (Severity::Low, "")
        };
        let reason = format!("the metrics are given to everybody who asks{more}");
        add(notes, &RABBITMQ_METRICS_OPEN_CHECK, severity, &broker.conf.at("prometheus.tcp.port"), reason);
    }
}
