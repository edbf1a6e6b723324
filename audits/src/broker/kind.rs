//! What a file is, by its content, then by its name.

use super::file::ConfigFile;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `mosquitto.conf`, or a file of its `include_dir`.
    MosquittoConf,
    /// Mosquitto's `password_file`.
    MosquittoPasswords,
    /// Mosquitto's `acl_file`.
    MosquittoAcl,
    /// The state of Mosquitto's dynamic security.
    MosquittoDynsec,
    /// `rabbitmq.conf`, or a file of its `conf.d`.
    RabbitMqConf,
    /// RabbitMQ's `advanced.config`, or `rabbitmq.config` of 3.6: Erlang terms.
    RabbitMqAdvanced,
    /// Definitions of RabbitMQ: users, permissions, queues.
    RabbitMqDefinitions,
    /// RabbitMQ's `enabled_plugins`.
    RabbitMqPlugins,
    /// `rabbitmq-env.conf`.
    RabbitMqEnv,
    /// `.erlang.cookie` of RabbitMQ.
    ErlangCookie,
    /// `emqx.conf` or `cluster.hocon` of EMQX 5.
    EmqxConf,
    /// `emqx.conf` or a plug-in's file of EMQX 3 or 4.
    EmqxFlat,
    /// `acl.conf` of EMQX.
    EmqxAcl,
    /// Configuration of a NATS server.
    NatsConf,
    /// A certificate, a key or a list of revoked certificates, in PEM or DER.
    Certificate,
    /// Nothing that is known here.
    Unknown,
}

/// Lines looked at to recognise a file.
const LINES_MAX: usize = 2_000;

/// What a file is.
#[must_use]
pub fn kind(file: &ConfigFile) -> Kind {
    // A SEQUENCE of which the length is in further octets, or that begins with a number or a SEQUENCE.
    let is_der = matches!(file.bytes.as_slice(), [0x30, 0x80..=0x84, ..] | [0x30, 0..=0x7f, 2 | 0x30, ..]);
    if is_der || file.bytes.starts_with(b"-----BEGIN ") {
        return Kind::Certificate;
    }
    let text = file.text();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '%']) && !line.starts_with("//"))
        .take(LINES_MAX)
        .collect();
    let start = text.trim_start();
    let found = by_form(file, start, &lines).or_else(|| by_name(file, &lines));
    found.or_else(|| mosquitto(file, &lines)).or_else(|| by_words(file, &lines)).unwrap_or(Kind::Unknown)
}

/// JSON, Erlang terms, and files of one purpose.
fn by_form(file: &ConfigFile, start: &str, lines: &[&str]) -> Option<Kind> {
    match file.name() {
        ".erlang.cookie" => return Some(Kind::ErlangCookie),
        "rabbitmq-env.conf" => return Some(Kind::RabbitMqEnv),
        "enabled_plugins" => return Some(Kind::RabbitMqPlugins),
        "advanced.config" | "rabbitmq.config" => return Some(Kind::RabbitMqAdvanced),
        _ => {}
    }
    if lines.iter().any(|line| line.starts_with("{allow,") || line.starts_with("{deny,")) {
        return Some(Kind::EmqxAcl);
    }
    let first = lines.first().copied().unwrap_or_default();
    if first.starts_with('[') && lines.last().is_some_and(|line| line.ends_with("].")) {
        let kind = if first.contains('{') || lines.len() > 1 {
            Kind::RabbitMqAdvanced
        } else {
            Kind::RabbitMqPlugins
        };
        return Some(kind);
    }
    if !start.starts_with('{') {
        return None;
    }
    let has = |key: &str| start.contains(&format!("\"{key}\""));
    if has("defaultACLAccess") || has("acltype") {
        return Some(Kind::MosquittoDynsec);
    }
    let definitions =
        has("rabbit_version") || has("rabbitmq_version") || (has("users") && has("password_hash"));
    if definitions || (has("vhosts") && (has("permissions") || has("users"))) {
        return Some(Kind::RabbitMqDefinitions);
    }
    // JSON of something else, unless a name says that a broker reads it.
    by_name(file, lines).or(if start.trim_end().ends_with('}') && first.starts_with("{\"") {
        Some(Kind::Unknown)
    } else {
        None
    })
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// Files of Mosquitto.
fn mosquitto(file: &ConfigFile, lines: &[&str]) -> Option<Kind> {
    let most = |is: &dyn Fn(&str) -> bool| {
        let hits = lines.iter().filter(|line| is(line)).count();
        hits > 0 && hits * 2 > lines.len()
    };
    if most(&|line| matches!(first_word(line), "topic" | "pattern" | "user"))
        && lines.iter().any(|line| line.starts_with("topic ") || line.starts_with("pattern "))
    {
        return Some(Kind::MosquittoAcl);
    }
    if most(&|line| {
        line.split_once(':').is_some_and(|(_, hash)| hash.starts_with("$6$") || hash.starts_with("$7$"))
    }) {
        return Some(Kind::MosquittoPasswords);
    }
    // By name alone only where each line is `name:password`: the host's own `passwd` has seven parts.
    let is_pair = |line: &&str| line.matches(':').count() == 1;
    if matches!(file.name(), "passwd" | "password_file" | "passwordfile" | "pwfile")
        && !lines.is_empty()
        && lines.iter().all(is_pair)
    {
        return Some(Kind::MosquittoPasswords);
    }
    let by_keys =
        most(&|line| !line.contains(['=', '{', '}']) && super::mosquitto::keys::is_known(first_word(line)));
    (by_keys || file.name() == "mosquitto.conf").then_some(Kind::MosquittoConf)
}

/// Names that brokers give their files.
fn by_name(file: &ConfigFile, lines: &[&str]) -> Option<Kind> {
    let name = file.name().to_ascii_lowercase();
    match name.as_str() {
        "rabbitmq.conf" => Some(Kind::RabbitMqConf),
        "cluster.hocon" | "cluster-override.conf" | "local-override.conf" | "base.hocon" => {
            Some(Kind::EmqxConf)
        }
        "nats.conf" | "nats-server.conf" | "gnatsd.conf" | "nats-server.cfg" => Some(Kind::NatsConf),
        _ if name.starts_with("emqx") && name.ends_with(".conf") => {
            Some(if is_old_emqx(lines) { Kind::EmqxFlat } else { Kind::EmqxConf })
        }
        _ => None,
    }
}

/// Keys of EMQX 3 and 4, which EMQX 5 does not know.
const OLD_EMQX: [&str; 18] = [
    "listener.",
    "zone.",
    "allow_anonymous",
    "acl_nomatch",
    "acl_file",
    "module.",
    "auth.",
    "dashboard.default_user.",
    "dashboard.listener.",
    "management.default_application.",
    "management.listener.http",
    "management.listener.https",
    "management.max_row_limit",
    "exproto.",
    "exhook.",
    "plugins.etc_dir",
    "web.hook.",
    "bridge.mqtt.",
];
const EMQX: [&str; 14] = [
    "listeners.",
    "listeners",
    "authentication",
    "authorization.",
    "dashboard",
    "dashboard.",
    "node.",
    "cluster.",
    "rule_engine",
    "retainer",
    "gateway.",
    "flapping_detect",
    "sys_topics",
    "mqtt.max_packet_size",
];
const RABBITMQ: [&str; 24] = [
    "loopback_users",
    "default_user",
    "default_pass",
    "default_vhost",
    "listeners.tcp",
    "listeners.ssl",
    "mqtt.listeners.",
    "mqtt.allow_anonymous",
    "mqtt.vhost",
    "mqtt.exchange",
    "mqtt.default_user",
    "mqtt.ssl_cert_login",
    "management.tcp.",
    "management.ssl.",
    "management.load_definitions",
    "load_definitions",
    "vm_memory_high_watermark",
    "cluster_formation.",
    "ssl_options.",
    "auth_backends.",
    "disk_free_limit",
    "web_mqtt.",
    "prometheus.",
    "log.connection.",
];
const NATS: [&str; 19] = [
    "jetstream",
    "leafnodes",
    "accounts",
    "server_name",
    "no_auth_user",
    "system_account",
    "http_port",
    "monitor_port",
    "resolver",
    "max_payload",
    "store_dir",
    "default_permissions",
    "listen",
    "mqtt",
    "authorization",
    "websocket",
    "max_connections",
    "pid_file",
    "cluster",
];

fn hits(lines: &[&str], keys: &[&str]) -> usize {
    let is = |line: &&&str| {
        let end =
            line.find(|c: char| c.is_whitespace() || matches!(c, '=' | ':' | '{')).unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end).unwrap_or((**line, ""));
        let set = rest.trim_start().starts_with(['=', ':', '{']) || line.ends_with('{');
        let known = |key: &str| {
            if key.ends_with('.') {
                word.starts_with(key)
            } else {
                word == key || word.starts_with(&format!("{key}."))
            }
        };
        set && keys.iter().any(|key| known(key))
    };
    lines.iter().filter(is).count()
}

fn is_old_emqx(lines: &[&str]) -> bool {
    let lines_of_values = lines.iter().filter(|line| line.contains('=') && !line.ends_with('{')).count();
    hits(lines, &OLD_EMQX) > 0 && lines_of_values == lines.len()
}

/// The broker most of whose keys are there, if two are or the name is that of a configuration.
fn by_words(file: &ConfigFile, lines: &[&str]) -> Option<Kind> {
    let name = file.name();
    let is_conf = [".conf", ".cfg", ".config", ".hocon"].iter().any(|end| name.ends_with(end));
    if [".md", ".txt", ".yml", ".yaml", ".json", ".csv", ".toml"].iter().any(|end| name.ends_with(end)) {
        return None;
    }
    let flat = lines.iter().all(|line| line.contains('=') || line.starts_with("include"));
    if flat && !lines.is_empty() && (file.path.contains("conf.d/") || file.path.contains("rabbitmq")) {
        return Some(Kind::RabbitMqConf);
    }
    let counted = [
        (if flat { hits(lines, &RABBITMQ) } else { 0 }, Kind::RabbitMqConf),
        (if flat { hits(lines, &OLD_EMQX) } else { 0 }, Kind::EmqxFlat),
        (hits(lines, &EMQX), Kind::EmqxConf),
        (hits(lines, &NATS), Kind::NatsConf),
    ];
    let most = counted.iter().map(|(hits, _)| *hits).max()?;
    let found = counted.into_iter().find(|(hits, _)| *hits == most)?;
    (most >= 2 || (most == 1 && is_conf && lines.len() <= 3)).then_some(found.1)
}
