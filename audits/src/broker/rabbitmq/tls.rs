//! Encryption, and certificates of clients.

use super::{
    super::{
        note::Notes,
        tls::{is_old, weak_ciphers},
    },
    Broker,
    rules::{
        RABBITMQ_CERTIFICATE_IDENTITY_CHECK, RABBITMQ_CLIENT_CERTIFICATE_CHECK,
        RABBITMQ_PEER_CERTIFICATE_OPTIONAL_CHECK, RABBITMQ_TLS_CIPHERS_CHECK, RABBITMQ_TLS_VERSION_CHECK,
    },
    told,
};
use crate::policy::parse::shown;

/// Where options of TLS stand.
const OPTIONS: [&str; 5] =
    ["ssl_options.", "management.ssl.", "web_mqtt.ssl.", "prometheus.ssl.", "management.listener.ssl_opts."];

pub(super) fn audit(broker: &Broker<'_>, notes: &mut Notes) {
    for prefix in OPTIONS {
        for setting in broker.conf.below(&format!("{prefix}versions")) {
            if is_old(&setting.value) {
                let reason = format!("`{}` accepts `{}`", setting.key, setting.value);
                told(notes, &RABBITMQ_TLS_VERSION_CHECK, &setting.at(), reason);
            }
        }
        for setting in broker.conf.below(&format!("{prefix}ciphers")) {
            if !weak_ciphers([setting.value.as_str()]).is_empty() {
                let reason = format!("`{}` offers `{}`", setting.key, shown(&setting.value));
                told(notes, &RABBITMQ_TLS_CIPHERS_CHECK, &setting.at(), reason);
            }
        }
    }
    clients(broker, notes);
}

fn clients(broker: &Broker<'_>, notes: &mut Notes) {
    let conf = &broker.conf;
    let listener = ["mqtt.listeners.ssl.", "listeners.ssl.", "web_mqtt.ssl."]
        .iter()
        .find_map(|prefix| conf.below(prefix).next());
    let Some(listener) = listener else { return };
    if conf.value("ssl_options.verify") != Some("verify_peer") {
        let at = if conf.get("ssl_options.verify").is_some() {
            conf.at("ssl_options.verify")
        } else {
            listener.at()
        };
        let reason =
            "TLS listeners ask no client for a certificate (`ssl_options.verify` is not `verify_peer`)";
        return told(notes, &RABBITMQ_CLIENT_CERTIFICATE_CHECK, &at, reason.into());
    }
    if conf.flag("ssl_options.fail_if_no_peer_cert") != Some(true) {
        let key = "ssl_options.fail_if_no_peer_cert";
        let at = if conf.get(key).is_some() { conf.at(key) } else { conf.at("ssl_options.verify") };
        let reason = "a client that gives no certificate is let in all the same (`fail_if_no_peer_cert` is not `true`)";
        return told(notes, &RABBITMQ_PEER_CERTIFICATE_OPTIONAL_CHECK, &at, reason.into());
    }
    if broker.uses_mqtt() && conf.flag("mqtt.ssl_cert_login") != Some(true) {
        let at = conf.at("mqtt.ssl_cert_login");
        let reason = "a certificate is required and gives no name (`mqtt.ssl_cert_login` is not `true`): any certificate goes with any name";
        told(notes, &RABBITMQ_CERTIFICATE_IDENTITY_CHECK, &at, reason.into());
    }
}
