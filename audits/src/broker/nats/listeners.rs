//! Where the server listens and to whom it speaks: clients, MQTT, websockets, other servers, monitoring.

use super::{
    super::{
        address,
        note::Notes,
        tls::{is_old, weak_ciphers},
        tree::Node,
    },
    add, enabled, listen,
    rules::{
        NATS_CERTIFICATE_IDENTITY_CHECK, NATS_CERTIFICATE_REVOCATION_CHECK, NATS_CLIENT_CERTIFICATE_CHECK,
        NATS_LISTENER_WITHOUT_TLS_CHECK, NATS_MONITORING_OPEN_CHECK, NATS_PROFILING_OPEN_CHECK,
        NATS_REMOTE_UNVERIFIED_CHECK, NATS_ROUTES_OPEN_CHECK, NATS_ROUTES_WITHOUT_TLS_CHECK,
        NATS_TLS_CIPHERS_CHECK, NATS_TLS_VERSION_CHECK, NATS_WEBSOCKET_ORIGIN_CHECK,
    },
    told,
};
use crate::{finding::Severity, policy::parse::shown};

pub(super) fn audit(root: &Node, notes: &mut Notes) {
    clients(root, "client", "4222", notes);
    if let Some(mqtt) = enabled(root, &["mqtt"]) {
        clients(mqtt, "MQTT", "1883", notes);
    }
    if let Some(websocket) = enabled(root, &["websocket", "ws"]) {
        clients(websocket, "websocket", "443", notes);
        if !websocket.is_on("same_origin") && websocket.any(&["allowed_origins", "allowed_origin"]).is_none()
        {
            let reason = "pages of any site may connect (no `same_origin`, no `allowed_origins`)".to_owned();
            told(notes, &NATS_WEBSOCKET_ORIGIN_CHECK, &websocket.at, reason);
        }
    }
    for (name, path, port) in
        [("cluster", "cluster", "6222"), ("gateway", "gateway", "7222"), ("leaf node", "leafnodes", "7422")]
    {
        let Some(block) = root.get(path).or_else(|| root.get("leaf").filter(|_| path == "leafnodes")) else {
            continue;
        };
        servers(block, name, port, notes);
        remotes(block, name, notes);
    }
    open(root, notes);
}

/// A listener for clients.
fn clients(block: &Node, name: &str, port: &str, notes: &mut Notes) {
    let (bind, at) = listen(block, port);
    let Some(bind) = bind else { return };
    let is_closed = bind.ends_with(":-1") || !address::is_reachable(&bind);
    let Some(tls) = block.get("tls") else {
        if !is_closed {
            let reason =
                format!("the {name} listener on `{}` sends everything in clear, passwords too", shown(&bind));
            told(notes, &NATS_LISTENER_WITHOUT_TLS_CHECK, &at, reason);
        }
        return;
    };
    if let Some(node) =
        block.any(&["allow_non_tls", "no_tls"]).filter(|node| node.flag() == Some(true) && !is_closed)
    {
        let reason = format!("the {name} listener accepts clients without TLS too");
        told(notes, &NATS_LISTENER_WITHOUT_TLS_CHECK, &node.at, reason);
    }
    encryption(tls, name, notes);
    if tls.is_unresolved() {
        return;
    }
    let maps = tls.is_on("verify_and_map");
    if !maps && !tls.is_on("verify") {
        let reason = format!("the {name} listener asks no client for a certificate (`verify` is not `true`)");
        return told(notes, &NATS_CLIENT_CERTIFICATE_CHECK, &tls.at, reason);
    }
    if !maps {
        let at = tls.get("verify").map_or(&tls.at, |node| &node.at);
        let reason = format!(
            "the {name} listener requires a certificate and takes no name from it (`verify_and_map` is not `true`)"
        );
        told(notes, &NATS_CERTIFICATE_IDENTITY_CHECK, at, reason);
    }
    if tls.get("ocsp_peer").is_none_or(|node| node.flag() == Some(false)) {
        let reason = format!("the {name} listener accepts revoked certificates (no `ocsp_peer`)");
        told(notes, &NATS_CERTIFICATE_REVOCATION_CHECK, &tls.at, reason);
    }
}

/// Versions and ciphers of a `tls` block.
fn encryption(tls: &Node, name: &str, notes: &mut Notes) {
    if let Some(node) = tls.get("min_version")
        && node.text().is_some_and(is_old)
    {
        let reason = format!("the {name} `tls` has `min_version` {}", shown(node.text().unwrap_or_default()));
        told(notes, &NATS_TLS_VERSION_CHECK, &node.at, reason);
    }
    if let Some(node) = tls
        .any(&["allow_insecure_cipher_suites", "insecure_cipher_suites"])
        .filter(|node| node.flag() == Some(true))
    {
        let reason =
            format!("the {name} `tls` allows ciphers that are broken (`allow_insecure_cipher_suites`)");
        told(notes, &NATS_TLS_CIPHERS_CHECK, &node.at, reason);
    }
    if let Some(node) = tls.get("cipher_suites") {
        let weak = weak_ciphers(node.texts());
        if !weak.is_empty() {
            let reason = format!("the {name} `tls` offers `{}`", shown(&weak.join("`, `")));
            told(notes, &NATS_TLS_CIPHERS_CHECK, &node.at, reason);
        }
    }
}

/// A listener for servers. One without a port and without `listen` does not listen: it only dials.
fn servers(block: &Node, name: &str, port: &str, notes: &mut Notes) {
    if let Some(tls) = block.get("tls") {
        encryption(tls, name, notes);
        insecure(tls, name, notes);
    }
    let listens = ["port", "listen"].iter().any(|key| block.get(key).is_some());
    let (bind, at) = listen(block, port);
    let Some(bind) = bind.filter(|bind| listens && address::is_reachable(bind)) else { return };
    let tls = block.get("tls");
    if tls.is_none() {
        let reason = format!("the {name} listener on `{}` speaks in clear", shown(&bind));
        told(notes, &NATS_ROUTES_WITHOUT_TLS_CHECK, &at, reason);
    }
    let verified =
        tls.is_some_and(|tls| tls.is_on("verify") || tls.is_on("verify_and_map") || tls.is_unresolved());
    if !verified && block.get("authorization").is_none() {
        // Leaf nodes are asked for a user of the server, where there are some.
        let severity = if name == "leaf node" { Severity::Low } else { NATS_ROUTES_OPEN_CHECK.severity };
        let reason = format!(
            "whoever reaches the {name} listener on `{}` may join (no `authorization`, no `verify`)",
            shown(&bind)
        );
        add(notes, &NATS_ROUTES_OPEN_CHECK, severity, &at, reason);
    }
}

fn insecure(tls: &Node, name: &str, notes: &mut Notes) {
    if let Some(node) = tls.get("insecure").filter(|node| node.flag() == Some(true)) {
        let reason =
            format!("the {name} `tls` does not look at whose certificate it is given (`insecure: true`)");
        told(notes, &NATS_REMOTE_UNVERIFIED_CHECK, &node.at, reason);
    }
}

/// Servers that are dialled: `remotes` of leaf nodes, `gateways`; routes have the TLS of their cluster.
fn remotes(block: &Node, name: &str, notes: &mut Notes) {
    let remotes = block.any(&["remotes", "gateways"]).map(Node::list).unwrap_or_default();
    for remote in remotes {
        let tls = remote.get("tls").or_else(|| block.get("tls").filter(|_| name == "gateway"));
        if let Some(tls) = remote.get("tls") {
            encryption(tls, name, notes);
            insecure(tls, name, notes);
        }
        let urls = remote.any(&["urls", "url"]);
        let texts = urls.map(Node::texts).unwrap_or_default();
        let clear = texts.iter().find(|url| {
            !(url.starts_with("tls://")
                || url.starts_with("wss://")
                || address::is_loopback(address::host(url)))
        });
        if let (Some(url), None, Some(urls)) = (clear, tls, urls) {
            let reason = format!("the {name} remote `{}` is spoken to in clear", shown(address::host(url)));
            told(notes, &NATS_ROUTES_WITHOUT_TLS_CHECK, &urls.at, reason);
        }
    }
}

/// Monitoring and profiling ask nobody for a name.
fn open(root: &Node, notes: &mut Notes) {
    let host = root.any(&["host", "net"]).and_then(Node::text).unwrap_or("0.0.0.0");
    for (keys, severity) in [
        (["http", "http_port", "monitor_port"].as_slice(), NATS_MONITORING_OPEN_CHECK.severity),
        (["https", "https_port"].as_slice(), Severity::Medium),
    ] {
        let Some(node) = root.any(keys) else { continue };
        let Some(text) = node.text() else { continue };
        let bind =
            if text.chars().all(|c| c.is_ascii_digit()) { format!("{host}:{text}") } else { text.to_owned() };
        let verified = severity == Severity::Medium && root.get("tls").is_some_and(|tls| tls.is_on("verify"));
        if address::is_reachable(&bind) && !verified {
            let reason = format!("monitoring on `{}` tells everybody who is connected", shown(&bind));
            add(notes, &NATS_MONITORING_OPEN_CHECK, severity, &node.at, reason);
        }
    }
    let is_open = |node: &&Node| node.text() != Some("0") && address::is_reachable(&format!("{host}:1"));
    if let Some(node) = root.get("prof_port").filter(is_open) {
        told(
            notes,
            &NATS_PROFILING_OPEN_CHECK,
            &node.at,
            "profiling is open to everybody (`prof_port`)".into(),
        );
    }
}
