//! The model from the configuration of EMQX 5 (`emqx_schema`, 5.8). Files given together are read as
//! the broker does: `cluster.hocon` first, `emqx.conf` over it.

use super::{
    super::tree::{Node, Value},
    model::{Backend, Broker, Known, Listener, Said},
};

/// Kinds of listeners, with their default ports (`emqx_schema:default_listener/1`).
const KINDS: [(&str, &str, bool); 5] = [
    ("tcp", "1883", false),
    ("ssl", "8883", true),
    ("ws", "8083", false),
    ("wss", "8084", true),
    ("quic", "14567", true),
];

pub(super) fn known(node: Option<&Node>) -> Known {
    match node {
        None => Known::Unset,
        Some(node) => match &node.value {
            Value::Text(text) => Known::Said(Said { at: node.at.clone(), text: text.clone() }),
            Value::Unresolved(_) | Value::List(_) | Value::Map(_) => Known::Unknown,
        },
    }
}

fn all(node: Option<&Node>) -> Vec<Said> {
    let Some(node) = node else { return Vec::new() };
    let place = |index: usize| node.list().get(index).map_or(&node.at, |item| &item.at).clone();
    node.texts()
        .into_iter()
        .enumerate()
        .map(|(index, text)| Said { at: place(index), text: text.to_owned() })
        .collect()
}

pub(super) fn build(root: &Node, whole: bool) -> Broker {
    let mut broker = Broker { main: super::super::note::At::file(&root.at.file), whole, ..Broker::default() };
    listeners(root, &mut broker);
    gateways(root, &mut broker);
    dashboard(root, &mut broker);
    authentication(root, &mut broker);
    let sources = root.get("authorization.sources").map(Node::list).unwrap_or_default();
    broker.backends.extend(sources.iter().map(|source| backend(source, false)));
    broker.no_match = known(root.any(&["authorization.no_match", "authorization.default_permission"]));
    broker.cookie = known(root.get("node.cookie"));
    broker.cluster = known(root.get("cluster.discovery_strategy"));
    broker.cluster_tls = known(root.get("cluster.proto_dist"));
    broker.packet = known(root.get("mqtt.max_packet_size"));
    broker.flapping = known(root.get("flapping_detect.enable"));
    let takes = |key: &str| root.get(key).is_some_and(|node| node.text() != Some("disabled"));
    broker.names_from_certificates =
        takes("mqtt.peer_cert_as_username") || takes("mqtt.peer_cert_as_clientid");
    broker.ids_bound = root.is_on("mqtt.use_username_as_clientid")
        || takes("mqtt.peer_cert_as_clientid")
        || root.get("mqtt.clientid_override").is_some();
    logs(root, &mut broker);
    secrets(root, "", "", &mut broker);
    broker
}

fn listeners(root: &Node, broker: &mut Broker) {
    for (kind, port, tls) in KINDS {
        let listeners = root.get("listeners").and_then(|listeners| listeners.member(kind));
        let named = listeners.map(Node::members).unwrap_or_default();
        let has_default = named.iter().any(|(name, _)| name == "default");
        for (name, node) in named.iter().filter(|(_, node)| node.is_map()) {
            if !node.is_off("enable") && !node.is_off("enabled") {
                broker.listeners.push(listener(node, format!("{kind}:{name}"), (port, tls)));
            }
        }
        if !has_default && kind != "quic" && broker.whole {
            let name = format!("{kind}:default");
            let at = broker.main.clone();
            broker.listeners.push(Listener { at, name, port, tls, implied: true, ..Listener::default() });
        }
    }
}

fn listener(node: &Node, name: String, (port, tls): (&'static str, bool)) -> Listener {
    let options = node.any(&["ssl_options", "dtls_options", "ssl_opts"]);
    let option = |key: &str| options.and_then(|options| options.get(key));
    let rates = ["max_conn_rate", "messages_rate", "bytes_rate"];
    Listener {
        at: node.at.clone(),
        name,
        bind: known(node.get("bind")),
        port,
        tls,
        verify: known(option("verify")),
        fail_if_no_peer_cert: known(option("fail_if_no_peer_cert")),
        versions: all(option("versions")),
        ciphers: all(option("ciphers")),
        crl: option("enable_crl_check").is_some_and(|node| node.flag() != Some(false)),
        proxy_protocol: known(node.get("proxy_protocol")),
        max_connections: known(node.get("max_connections")),
        rated: rates.iter().any(|key| node.get(key).is_some()) || node.get("limiter").is_some(),
        anonymous: known(node.get("enable_authn")),
        ..Listener::default()
    }
}

/// Gateways of other protocols: `gateway.NAME.listeners.KIND.NAME`.
fn gateways(root: &Node, broker: &mut Broker) {
    for (gateway, node) in root.get("gateway").map(Node::members).unwrap_or_default() {
        if node.is_off("enable") {
            continue;
        }
        for (kind, listeners) in node.get("listeners").map(Node::members).unwrap_or_default() {
            let tls = matches!(kind.as_str(), "ssl" | "dtls" | "wss");
            for (name, node) in listeners.members().iter().filter(|(_, node)| !node.is_off("enable")) {
                let found = listener(node, format!("{gateway}:{kind}:{name}"), ("", tls));
                broker.listeners.push(Listener { gateway: true, ..found });
            }
        }
    }
}

/// Where the dashboard listens is in the configuration that EMQX comes with; without it nothing is said,
/// since the default is another from release to release. `bind = 0` is off.
fn dashboard(root: &Node, broker: &mut Broker) {
    broker.dashboard_password = known(root.get("dashboard.default_password"));
    if let Some(node) = root.get("dashboard.listeners.http").filter(|node| !node.is_off("enable")) {
        broker.consoles.push(listener(node, "dashboard".into(), ("18083", false)));
    }
    if let Some(node) = root.get("dashboard.listeners.https") {
        let found = listener(node, "dashboard over TLS".into(), ("18084", true));
        let options = node.get("ssl_options").unwrap_or(node);
        broker.consoles.push(Listener {
            versions: all(options.get("versions")),
            ciphers: all(options.get("ciphers")),
            ..found
        });
    }
}

/// One, or a list of them; a map that is none of EMQX 5 leaves it unknown.
fn authentication(root: &Node, broker: &mut Broker) {
    let Some(node) = root.get("authentication") else { return };
    let each: Vec<&Node> = if node.is_map() { vec![node] } else { node.list().iter().collect() };
    for one in each {
        if one.get("mechanism").is_none() {
            broker.authentication_unknown |= !one.members().is_empty();
        } else {
            broker.backends.push(backend(one, true));
        }
    }
    broker.authentication_unknown |= node.is_unresolved();
}

fn backend(node: &Node, authenticates: bool) -> Backend {
    let kind = node.text_of(if authenticates { "backend" } else { "type" }).unwrap_or_default();
    let mechanism = node.text_of("mechanism").unwrap_or_default();
    let servers = node.any(&["server", "servers", "url", "endpoint"]);
    let hash = node.any(&["password_hash_algorithm.name", "hash_algorithm"]);
    Backend {
        at: node.at.clone(),
        kind: if kind.is_empty() { mechanism.to_owned() } else { kind.to_owned() },
        authenticates,
        enabled: !node.is_off("enable"),
        servers: all(servers),
        tls: known(node.get("ssl.enable")),
        verify: known(node.get("ssl.verify")),
        hash: known(hash),
        salt: known(node.get("password_hash_algorithm.salt_position")),
        iterations: known(node.get("password_hash_algorithm.iterations")),
        jwt: mechanism == "jwt",
        claims: node
            .get("verify_claims")
            .is_some_and(|claims| !claims.members().is_empty() || !claims.list().is_empty()),
        disconnects: known(node.get("disconnect_after_expire")),
    }
}

fn logs(root: &Node, broker: &mut Broker) {
    for path in ["log.console", "log.console_handler"] {
        if let Some(node) = root.get(path) {
            broker.logs.push((known(node.get("enable")), known(node.get("level"))));
        }
    }
    for path in ["log.file", "log.file_handlers"] {
        let Some(node) = root.get(path) else { continue };
        let handlers = node.members().iter().map(|(_, node)| node).filter(|node| node.get("path").is_some());
        let each: Vec<&Node> = handlers
            .chain((node.get("enable").is_some() || node.get("level").is_some()).then_some(node))
            .collect();
        broker
            .logs
            .extend(each.into_iter().map(|node| (known(node.get("enable")), known(node.get("level")))));
    }
}

/// Texts under a key that names a secret.
fn secrets(node: &Node, path: &str, user: &str, broker: &mut Broker) {
    const ENDS: [&str; 6] =
        ["password", "default_password", "secret", "token", "api_secret", "secret_access_key"];
    let user =
        ["username", "default_username", "user"].iter().find_map(|key| node.text_of(key)).unwrap_or(user);
    for (key, value) in node.members() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match &value.value {
            Value::Text(text) if ENDS.contains(&key.as_str()) => {
                let said = Said { at: value.at.clone(), text: text.clone() };
                broker.secrets.push((path, user.to_owned(), said));
            }
            Value::Map(_) => secrets(value, &path, user, broker),
            Value::List(list) => {
                for (index, one) in list.iter().enumerate() {
                    secrets(one, &format!("{path}[{index}]"), user, broker);
                }
            }
            Value::Text(_) | Value::Unresolved(_) => {}
        }
    }
}
