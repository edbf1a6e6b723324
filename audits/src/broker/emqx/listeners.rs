//! Listeners: encryption, certificates of clients, limits; dashboard and management API.

use super::{
    super::{
        address,
        note::Notes,
        tls::{is_old, weak_ciphers},
        tree,
    },
    add,
    model::{Broker, Known, Listener},
    rules::{
        EMQX_CERTIFICATE_IDENTITY_CHECK, EMQX_CERTIFICATE_REVOCATION_CHECK, EMQX_CLIENT_CERTIFICATE_CHECK,
        EMQX_DASHBOARD_WITHOUT_TLS_CHECK, EMQX_LIMITS_CHECK, EMQX_LISTENER_WITHOUT_TLS_CHECK,
        EMQX_PEER_CERTIFICATE_OPTIONAL_CHECK, EMQX_PROXY_PROTOCOL_CHECK, EMQX_TLS_CIPHERS_CHECK,
        EMQX_TLS_VERSION_CHECK,
    },
    told,
};
use crate::{finding::Severity, policy::parse::shown};

/// A packet beyond this is none of a device.
const PACKET_MAX: u64 = 16 << 20;

pub(super) fn audit(broker: &Broker, notes: &mut Notes) {
    for listener in &broker.listeners {
        if listener.is_reachable() {
            plain(listener, notes);
        }
        if listener.tls && !listener.implied {
            encryption(listener, notes);
            if !listener.gateway {
                clients(broker, listener, notes);
            }
        }
    }
    for console in &broker.consoles {
        if !console.tls && console.is_reachable() {
            let reason = format!("the {} on `{}` is open to all in clear", console.name, console.bound());
            told(notes, &EMQX_DASHBOARD_WITHOUT_TLS_CHECK, &console.bind.at(&console.at), reason);
        }
        encryption(console, notes);
    }
    limits(broker, notes);
}

impl Listener {
    /// Whether others reach it; what is not known is taken not to be.
    pub(super) fn is_reachable(&self) -> bool {
        self.bind.or(self.port).is_some_and(|bind| !bind.is_empty() && address::is_reachable(bind))
    }

    fn bound(&self) -> String {
        shown(self.bind.or(self.port).unwrap_or_default())
    }
}

fn plain(listener: &Listener, notes: &mut Notes) {
    if !listener.tls {
        let said = if listener.implied { ", which EMQX opens unless told otherwise," } else { "" };
        let reason = format!(
            "the listener `{}` on `{}`{said} sends everything in clear, passwords too",
            shown(&listener.name),
            listener.bound()
        );
        told(notes, &EMQX_LISTENER_WITHOUT_TLS_CHECK, &listener.bind.at(&listener.at), reason);
    }
    if let Some(said) = listener.proxy_protocol.said().filter(|said| tree::truth(&said.text) == Some(true)) {
        let reason =
            format!("the listener `{}` believes any client about its address", shown(&listener.name));
        told(notes, &EMQX_PROXY_PROTOCOL_CHECK, &said.at, reason);
    }
}

fn encryption(listener: &Listener, notes: &mut Notes) {
    for said in listener.versions.iter().filter(|said| is_old(&said.text)) {
        let reason = format!("the listener `{}` accepts `{}`", shown(&listener.name), shown(&said.text));
        told(notes, &EMQX_TLS_VERSION_CHECK, &said.at, reason);
    }
    let weak = weak_ciphers(listener.ciphers.iter().map(|said| said.text.as_str()));
    if let Some(first) = listener.ciphers.iter().find(|said| weak.contains(&said.text.as_str())) {
        let reason =
            format!("the listener `{}` offers `{}`", shown(&listener.name), shown(&weak.join("`, `")));
        told(notes, &EMQX_TLS_CIPHERS_CHECK, &first.at, reason);
    }
}

/// `verify_none` and `fail_if_no_peer_cert = false` are the defaults.
fn clients(broker: &Broker, listener: &Listener, notes: &mut Notes) {
    let name = shown(&listener.name);
    let (Some(verify), Some(fails)) =
        (listener.verify.or("verify_none"), listener.fail_if_no_peer_cert.or("false"))
    else {
        return;
    };
    if verify != "verify_peer" {
        let reason =
            format!("the listener `{name}` asks no client for a certificate (`verify` is not `verify_peer`)");
        return told(notes, &EMQX_CLIENT_CERTIFICATE_CHECK, &listener.verify.at(&listener.at), reason);
    }
    if !listener.crl {
        let reason = format!("the listener `{name}` accepts revoked certificates (no `enable_crl_check`)");
        told(notes, &EMQX_CERTIFICATE_REVOCATION_CHECK, &listener.verify.at(&listener.at), reason);
    }
    if tree::truth(fails) != Some(true) {
        let reason = format!(
            "the listener `{name}` lets clients in that give no certificate (`fail_if_no_peer_cert` is not `true`)"
        );
        let at = listener.fail_if_no_peer_cert.at(&listener.verify.at(&listener.at));
        return told(notes, &EMQX_PEER_CERTIFICATE_OPTIONAL_CHECK, &at, reason);
    }
    if !broker.names_from_certificates && !listener.peer_cert_as {
        let reason = format!(
            "the listener `{name}` requires a certificate and takes no name from it: any certificate goes with any name"
        );
        told(notes, &EMQX_CERTIFICATE_IDENTITY_CHECK, &listener.verify.at(&listener.at), reason);
    }
}

fn limits(broker: &Broker, notes: &mut Notes) {
    for listener in broker.listeners.iter().filter(|listener| !listener.gateway && !listener.implied) {
        let mut missing = Vec::new();
        if listener.max_connections.or("infinity") == Some("infinity") {
            missing.push("connections (`max_connections`)");
        }
        if !listener.rated {
            missing.push("the rate of connects or messages (`max_conn_rate`, `messages_rate`)");
        }
        if !missing.is_empty() {
            let reason = format!(
                "the listener `{}` has no limit for {}",
                shown(&listener.name),
                missing.join(" and for ")
            );
            told(notes, &EMQX_LIMITS_CHECK, &listener.at, reason);
        }
    }
    if let Known::Said(said) = &broker.packet
        && tree::bytes(&said.text).is_some_and(|size| size > PACKET_MAX)
    {
        let reason = format!("`max_packet_size = {}`: more than 16 MiB", shown(&said.text));
        add(notes, &EMQX_LIMITS_CHECK, Severity::Low, &said.at, reason);
    }
}
