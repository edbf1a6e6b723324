//! The model from the configurations of EMQX 3 and 4: lines `key = value`, `emqx.conf` and those of
//! its plug-ins (`etc/plugins/*.conf`).

use super::{
    super::{flat::Flat, mosquitto_conf::Setting},
    model::{Backend, Broker, Known, Listener, Said},
};

const KINDS: [(&str, bool); 4] = [("tcp", false), ("ssl", true), ("ws", false), ("wss", true)];

fn known(setting: Option<&Setting>) -> Known {
    setting.map_or(Known::Unset, |setting| {
        if setting.value.starts_with("${") { Known::Unknown } else { Known::Said(said(setting)) }
    })
}

fn said(setting: &Setting) -> Said {
    Said { at: setting.at(), text: setting.value.clone() }
}

fn all(setting: Option<&Setting>) -> Vec<Said> {
    let Some(setting) = setting else { return Vec::new() };
    let parts = setting.value.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| Said { at: setting.at(), text: part.to_owned() }).collect()
}

pub(super) fn build(flat: &Flat) -> Broker {
    let whole = flat.has_below("node.") || flat.has_below("listener.");
    let main = super::super::note::At::file(&flat.file);
    let mut broker = Broker { main, old: true, whole, ..Broker::default() };
    for (kind, tls) in KINDS {
        listeners(flat, kind, tls, &mut broker);
    }
    plugins(flat, &mut broker);
    consoles(flat, &mut broker);
    broker.backends = backends(flat);
    broker.anonymous = known(flat.get("allow_anonymous"));
    broker.no_match = known(flat.get("acl_nomatch"));
    broker.cookie = known(flat.get("node.cookie"));
    broker.cluster = known(flat.get("cluster.discovery"));
    broker.cluster_tls = known(flat.get("cluster.proto_dist"));
    broker.packet = known(flat.get("mqtt.max_packet_size"));
    let zone = |end: &str| flat.below("zone.").find(|setting| setting.key.ends_with(end));
    broker.flapping = known(zone(".enable_flapping_detect"));
    broker.ids_bound = zone(".use_username_as_clientid").is_some_and(|setting| setting.value == "true");
    if let Some(to) = flat.get("log.to") {
        let text = if to.value == "off" { "false" } else { "true" };
        let on = Known::Said(Said { at: to.at(), text: text.into() });
        broker.logs.push((on, known(flat.get("log.level"))));
    } else if let Some(level) = flat.get("log.level") {
        broker.logs.push((Known::Unset, known(Some(level))));
    }
    secrets(flat, &mut broker);
    broker
}

fn listeners(flat: &Flat, kind: &str, tls: bool, broker: &mut Broker) {
    let prefix = format!("listener.{kind}.");
    for bind in flat.below(&prefix).filter(|setting| setting.key.matches('.').count() == 2) {
        let get = |end: &str| flat.get(&format!("{}.{end}", bind.key));
        let zone = get("zone").map(|setting| setting.value.as_str()).unwrap_or_default();
        let peer = ["peer_cert_as_username", "peer_cert_as_clientid"];
        broker.listeners.push(Listener {
            at: bind.at(),
            name: format!("{kind}:{}", bind.key.rsplit('.').next().unwrap_or_default()),
            bind: known(Some(bind)),
            tls,
            verify: known(get("verify")),
            fail_if_no_peer_cert: known(get("fail_if_no_peer_cert")),
            versions: all(get("tls_versions")),
            ciphers: all(get("ciphers")),
            crl: get("crl_check").is_some(),
            proxy_protocol: known(get("proxy_protocol")),
            max_connections: known(get("max_connections")),
            rated: get("max_conn_rate").is_some() || flat.has_below(&format!("zone.{zone}.rate_limit")),
            anonymous: known(flat.get(&format!("zone.{zone}.allow_anonymous"))),
            peer_cert_as: peer.iter().any(|end| get(end).is_some()),
            ..Listener::default()
        });
    }
}

/// Listeners of plug-ins: `exproto.listener.NAME = tcp://…`, `coap.…`, `stomp.listener = …`.
fn plugins(flat: &Flat, broker: &mut Broker) {
    for setting in flat.below("exproto.listener.").chain(flat.below("stomp.listener")) {
        let is_bind = setting.value.contains("://") || setting.key == "stomp.listener";
        if is_bind {
            broker.listeners.push(Listener {
                at: setting.at(),
                name: setting.key.clone(),
                bind: known(Some(setting)),
                tls: setting.value.starts_with("ssl://") || setting.value.starts_with("dtls://"),
                gateway: true,
                ..Listener::default()
            });
        }
    }
}

fn consoles(flat: &Flat, broker: &mut Broker) {
    broker.dashboard_password = known(flat.get("dashboard.default_user.password"));
    for (name, prefix) in [("dashboard", "dashboard.listener."), ("management API", "management.listener.")] {
        for (kind, tls) in [("http", false), ("https", true)] {
            let Some(bind) = flat.get(&format!("{prefix}{kind}")) else { continue };
            broker.consoles.push(Listener {
                at: bind.at(),
                name: if tls { format!("{name} over TLS") } else { name.to_owned() },
                bind: known(Some(bind)),
                tls,
                versions: all(flat.get(&format!("{prefix}https.tls_versions"))),
                ciphers: all(flat.get(&format!("{prefix}https.ciphers"))),
                ..Listener::default()
            });
        }
    }
}

/// `auth.KIND.…`: each has its own file.
fn backends(flat: &Flat) -> Vec<Backend> {
    let mut kinds: Vec<&str> =
        flat.below("auth.").filter_map(|setting| setting.key.split('.').nth(1)).collect();
    kinds.dedup();
    let of = |kind: &str| {
        let get = |end: &str| flat.get(&format!("auth.{kind}.{end}"));
        let first = get("server")
            .or_else(|| get("auth_req"))
            .or_else(|| get("auth_req.url"))
            .or_else(|| flat.below(&format!("auth.{kind}.")).next());
        let (algorithm, salted) = get("password_hash").map_or((Known::Unset, Known::Unset), hash);
        Backend {
            at: first.map(Setting::at).unwrap_or_default(),
            kind: kind.to_owned(),
            authenticates: true,
            enabled: true,
            servers: all(get("server").or_else(|| get("auth_req")).or_else(|| get("auth_req.url"))),
            tls: known(get("ssl").or_else(|| get("ssl.enable"))),
            verify: known(get("ssl.verify")),
            hash: algorithm,
            salt: salted,
            iterations: Known::Unset,
            jwt: kind == "jwt",
            claims: get("verify_claims").is_some_and(|setting| setting.value != "off"),
            disconnects: Known::Unknown,
        }
    };
    kinds.into_iter().map(of).collect()
}

/// `plain`, `sha256`, `sha256,salt`, `salt,sha256`, `bcrypt`, `pbkdf2,sha256,1000,20`.
fn hash(setting: &Setting) -> (Known, Known) {
    let parts: Vec<&str> = setting.value.split(',').map(str::trim).collect();
    let name = parts.iter().find(|part| **part != "salt").copied().unwrap_or_default();
    let salt = if parts.contains(&"salt") { "prefix" } else { "disable" };
    let with = |text: &str| Known::Said(Said { at: setting.at(), text: text.to_owned() });
    (with(name), with(salt))
}

fn secrets(flat: &Flat, broker: &mut Broker) {
    for setting in flat.iter() {
        let (before, last) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if !["password", "secret", "default_secret", "token"].contains(&last) {
            continue;
        }
        let user = ["username", "login", "id"].iter().find_map(|end| flat.value(&format!("{before}.{end}")));
        broker.secrets.push((setting.key.clone(), user.unwrap_or_default().to_owned(), said(setting)));
    }
}
