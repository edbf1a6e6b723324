//! Encryption, certificates of clients, and their revocation.

use super::{
    super::{
        file::{ConfigFile, Options, named},
        note::Notes,
        rule::{
            BROKER_CERTIFICATE_DATES_CHECK, BROKER_CERTIFICATE_IDENTITY_CHECK,
            BROKER_CERTIFICATE_REVOCATION_CHECK, BROKER_CLIENT_CERTIFICATE_CHECK,
            BROKER_LISTENER_WITHOUT_TLS_CHECK, BROKER_PROXY_PROTOCOL_CHECK, BROKER_TLS_CIPHERS_CHECK,
            BROKER_TLS_VERSION_CHECK, System,
        },
        tls::weak_ciphers,
    },
    model::{Broker, Section},
    shown, told,
};
use crate::{
    certificate::{crl::List, pem},
    finding::Severity,
};

/// A list of revoked certificates that ends sooner is told: the broker then refuses every client.
const CRL_SOON_SECS: i64 = 7 * 86_400;
pub(super) fn audit(broker: &Broker, files: &[ConfigFile], options: &Options, notes: &mut Notes) {
    for listener in &broker.listeners {
        if listener.is_reachable() {
            plain(listener, notes);
        }
        if listener.has_tls() {
            versions(listener, notes);
        }
        if listener.has_certificate() {
            clients(listener, notes);
            revocation(listener, files, options, notes);
        }
    }
}

fn plain(listener: &Section, notes: &mut Notes) {
    if !listener.has_tls() {
        let half = if listener.has("certfile") { " (`certfile` without `keyfile`)" } else { "" };
        let reason = format!("{} sends everything in clear, passwords too{half}", listener.shown());
        told(notes, &BROKER_LISTENER_WITHOUT_TLS_CHECK, &listener.at, reason);
    }
    let proxy = listener.get("enable_proxy_protocol").filter(|setting| setting.value != "0");
    if let Some(setting) = proxy {
        let reason = format!(
            "{} believes any client about its address (`enable_proxy_protocol {}`)",
            listener.shown(),
            shown(&setting.value)
        );
        told(notes, &BROKER_PROXY_PROTOCOL_CHECK, &setting.at(), reason);
    }
}

fn versions(listener: &Section, notes: &mut Notes) {
    if let Some(setting) = listener
        .get("tls_version")
        .filter(|setting| matches!(setting.value.as_str(), "tlsv1" | "tlsv1.0" | "tlsv1.1"))
    {
        let reason = format!("{} accepts `{}`", listener.shown(), setting.value);
        told(notes, &BROKER_TLS_VERSION_CHECK, &setting.at(), reason);
    }
    if let Some(setting) = listener.get("ciphers") {
        let weak = weak_ciphers(setting.value.split([':', ',', ' ']));
        if !weak.is_empty() {
            let reason = format!("{} offers `{}`", listener.shown(), shown(&weak.join("`, `")));
            told(notes, &BROKER_TLS_CIPHERS_CHECK, &setting.at(), reason);
        }
    }
    if let Some(setting) =
        listener.get("disable_client_cert_date_checks").filter(|setting| setting.flag() == Some(true))
    {
        let reason = format!("{} accepts certificates that have run out", listener.shown());
        told(notes, &BROKER_CERTIFICATE_DATES_CHECK, &setting.at(), reason);
    }
}

fn clients(listener: &Section, notes: &mut Notes) {
    let required = listener.is_on("require_certificate");
    match (required, listener.identity()) {
        (false, Some(identity)) => {
            let reason = format!(
                "{}: `{} true` without `require_certificate true`: no certificate is asked for, nobody has a name",
                listener.shown(),
                identity.key
            );
            notes.add(
                &BROKER_CLIENT_CERTIFICATE_CHECK,
                Severity::Medium,
                System::Mosquitto,
                identity.at(),
                reason,
            );
        }
        (false, None) => {
            let reason = format!("{} asks no client for a certificate", listener.shown());
            told(notes, &BROKER_CLIENT_CERTIFICATE_CHECK, &listener.at, reason);
        }
        (true, None) => {
            let reason = format!(
                "{} requires a certificate and takes no name from it: any certificate goes with any name",
                listener.shown()
            );
            told(notes, &BROKER_CERTIFICATE_IDENTITY_CHECK, &listener.at, reason);
        }
        (true, Some(_)) => {}
    }
}

fn revocation(listener: &Section, files: &[ConfigFile], options: &Options, notes: &mut Notes) {
    if !listener.is_on("require_certificate") {
        return;
    }
    let Some(setting) = listener.get("crlfile") else {
        let reason = format!("{} accepts revoked certificates (no `crlfile`)", listener.shown());
        return told(notes, &BROKER_CERTIFICATE_REVOCATION_CHECK, &listener.at, reason);
    };
    let Some(file) = named(files, &setting.value) else { return };
    let told = |notes: &mut Notes, what: String| {
        let reason = format!("{}: the `crlfile` `{}` {what}", listener.shown(), shown(&setting.value));
        told(notes, &BROKER_CERTIFICATE_REVOCATION_CHECK, &setting.at(), reason);
    };
    let lists = crls(&file.bytes);
    if lists.is_empty() {
        return told(notes, "holds no list that can be read".into());
    }
    for der in &lists {
        let Ok(list) = List::parse(der) else {
            told(notes, "holds a list that cannot be read".into());
            continue;
        };
        if options.now.is_some_and(|now| list.this_update > now) {
            told(notes, "counts only from later on: until then the broker refuses every client".into());
        }
        match (list.next_update, options.now) {
            (None, _) => told(notes, "says not when the next one comes".into()),
            (Some(next), Some(now)) if next <= now => {
                told(notes, "has run out: the broker refuses every client".into())
            }
            (Some(next), Some(now)) if next - now < CRL_SOON_SECS => {
                told(notes, "runs out within a week: then the broker refuses every client".into());
            }
            _ => {}
        }
    }
}

/// The lists of a file, as DER.
fn crls(bytes: &[u8]) -> Vec<Vec<u8>> {
    if !pem::is_pem(bytes) {
        return if bytes.first() == Some(&0x30) { vec![bytes.to_vec()] } else { Vec::new() };
    }
    let blocks = pem::blocks(&String::from_utf8_lossy(bytes)).into_iter().flatten();
    blocks.filter(|block| block.label == "X509 CRL").map(|block| block.der).collect()
}
