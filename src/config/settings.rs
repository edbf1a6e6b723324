//! The configuration resolved: parsed, complete, checked. See [`super::options`] for the keys.

use std::{net::SocketAddr, path::PathBuf};

use fleet::{event::Attribution, ids::GroupName};
use toml::Spanned;

use super::{
    checker::{Checker, is_loopback},
    options::{
        ApiOptions, EmailOptions, LimitOptions, MosquittoControlOptions, MosquittoLogOptions,
        MqttSourceOptions, Options, RuleOptions, TlsOptions, WebhookOptions,
    },
    secret::Secret,
};

/// Which engine keeps the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEngine {
    /// redb, the default.
    Redb,
    /// sled; see the store's documentation for what it does not promise.
    Sled,
}

/// Everything that `serve` needs.
#[derive(Debug)]
pub struct Settings {
    /// Data folder.
    pub data_dir: PathBuf,
    /// Store engine.
    pub store: StoreEngine,
    /// Folder of profiles.
    pub profiles: Option<PathBuf>,
    /// Registry file.
    pub registry: Option<PathBuf>,
    /// Datapoint grid, seconds.
    pub bucket_secs: u32,
    /// Lateness, milliseconds.
    pub lateness_ms: u32,
    /// Worker threads; 0 is one per core.
    pub shards: usize,
    /// Things followed at most.
    pub things_max: usize,
    /// Addresses followed at most.
    pub addresses_max: usize,
    /// Journal segment size, bytes.
    pub segment_bytes: u64,
    /// Seconds between snapshots.
    pub snapshot_secs: u32,
    /// Days that journal segments are kept.
    pub retain_days: u32,
    /// MQTT sources.
    pub mqtt: Vec<MqttSource>,
    /// Mosquitto logs.
    pub mosquitto_log: Vec<MosquittoLog>,
    /// Acting connection to Mosquitto.
    pub control: Option<MosquittoControl>,
    /// Whether actions are carried out.
    pub acting: bool,
    /// Folder of actions.
    pub actions: Option<PathBuf>,
    /// Which alarms lead to which action.
    pub rules: Vec<Rule>,
    /// Guard rail.
    pub limit: Limit,
    /// Webhooks.
    pub webhooks: Vec<Webhook>,
    /// Mail.
    pub emails: Vec<Email>,
    /// Address of the local endpoint.
    pub listen: Option<SocketAddr>,
    /// Log level.
    pub log_level: &'static str,
    /// Log as JSON lines.
    pub log_json: bool,
}

/// How to reach a broker.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Client id.
    pub client_id: String,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
    /// TLS, absent for plain loopback connections.
    pub tls: Option<Tls>,
}

/// TLS files, read.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM of the authorities; absent: the public ones.
    pub ca: Option<Vec<u8>>,
    /// PEM of certificate chain and key.
    pub client: Option<(Vec<u8>, Secret)>,
}

/// An MQTT source.
#[derive(Clone, Debug)]
pub struct MqttSource {
    /// Name.
    pub name: String,
    /// How to reach it.
    pub connection: Connection,
    /// MQTT 5 rather than 3.1.1.
    pub version_5: bool,
    /// Receive reports.
    pub reports: bool,
    /// Prefix of report topics, ends with `/`.
    pub report_prefix: String,
    /// Shared subscription group.
    pub shared_group: Option<String>,
    /// Read the broker's log topics.
    pub mosquitto_log: bool,
    /// Read lifecycle topics.
    pub lifecycle: bool,
}

/// A Mosquitto log.
#[derive(Clone, Debug)]
pub struct MosquittoLog {
    /// Name.
    pub name: String,
    /// File; absent for standard input.
    pub path: Option<PathBuf>,
    /// Begin a new file at its start.
    pub from_start: bool,
    /// Zone of time stamps that name none, seconds east of UTC.
    pub utc_offset_secs: i32,
    /// Debug lines are logged.
    pub debug: bool,
    /// Subscribe lines are logged.
    pub subscribe: bool,
}

/// The acting connection to Mosquitto.
#[derive(Clone, Debug)]
pub struct MosquittoControl {
    /// How to reach it.
    pub connection: Connection,
    /// Quarantine role.
    pub role: String,
    /// Also disable the client.
    pub disable_client: bool,
    /// User names never touched.
    pub never_touch: Vec<String>,
}

/// Which alarms lead to which action.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Profile; absent for any.
    pub profile: Option<String>,
    /// Behavior; absent for any.
    pub behavior: Option<String>,
    /// Action.
    pub action: String,
    /// Undo on clear.
    pub undo_on_clear: bool,
    /// Least attribution that may act.
    pub attribution_min: Attribution,
}

/// Guard rail.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Things acted on at most per span.
    pub things: u32,
    /// The span, seconds.
    pub per_secs: u32,
    /// Seconds before the same thing is acted on again.
    pub cooldown_secs: u32,
    /// Never touched.
    pub never_touch: Vec<String>,
    /// Groups never touched.
    pub never_touch_groups: Vec<GroupName>,
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Name.
    pub name: String,
    /// Address.
    pub url: String,
    /// In the form of Device Defender's SNS message.
    pub aws: bool,
    /// Key of the signature.
    pub secret: Option<Secret>,
    /// Additional authorities, PEM.
    pub ca: Option<Vec<u8>>,
    /// Seconds to wait for an answer.
    pub timeout_secs: u32,
}

/// How a mail connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS, required.
    StartTls,
    /// None; loopback only.
    None,
}

/// A mail receiver.
#[derive(Clone, Debug)]
pub struct Email {
    /// Name.
    pub name: String,
    /// Server.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Security.
    pub security: MailSecurity,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
    /// Additional authorities, PEM.
    pub ca: Option<Vec<u8>>,
    /// Sender.
    pub from: String,
    /// Receivers.
    pub to: Vec<String>,
}

/// Resolves and checks; problems are collected in `check`.
pub fn resolve(options: Options, check: &mut Checker<'_>) -> Settings {
    unique_names(&options, check);
    let detect = &options.detect;
    let settings = Settings {
        data_dir: check.path(&options.data.dir),
        store: check.choice(
            &options.data.store,
            "data.store",
            &[("redb", StoreEngine::Redb), ("sled", StoreEngine::Sled)],
            StoreEngine::Redb,
        ),
        profiles: check.folder(detect.profiles.as_ref(), "detect.profiles"),
        registry: detect.registry.as_ref().map(|path| check.path(path.get_ref())),
        bucket_secs: check.range(&detect.bucket_secs, "detect.bucket_secs", 1..=3600),
        lateness_ms: check.range(&detect.lateness_ms, "detect.lateness_ms", 0..=600_000),
        shards: check.range(&detect.shards, "detect.shards", 0..=1024),
        things_max: check.range(&detect.things_max, "detect.things_max", 1..=100_000_000),
        addresses_max: check.range(&detect.addresses_max, "detect.addresses_max", 1..=100_000_000),
        segment_bytes: u64::from(check.range(&options.journal.segment_mib, "journal.segment_mib", 1..=4096))
            << 20,
        snapshot_secs: check.range(&options.journal.snapshot_secs, "journal.snapshot_secs", 1..=86_400),
        retain_days: check.range(&options.journal.retain_days, "journal.retain_days", 0..=3650),
        mqtt: options.source.mqtt.into_iter().map(|source| mqtt_source(source, check)).collect(),
        mosquitto_log: options
            .source
            .mosquitto_log
            .into_iter()
            .map(|log| mosquitto_log(log, check))
            .collect(),
        control: options.control.mosquitto.map(|control| mosquitto_control(control, check)),
        acting: options.respond.acting,
        actions: check.folder(options.respond.actions.as_ref(), "respond.actions"),
        rules: options.respond.rule.into_iter().map(|options| rule(options, check)).collect(),
        limit: limit(options.respond.limit, check),
        webhooks: options.sink.webhook.into_iter().map(|options| webhook(options, check)).collect(),
        emails: options.sink.email.into_iter().map(|options| email(options, check)).collect(),
        listen: listen(&options.api, check),
        log_level: check.choice(
            &options.log.level,
            "log.level",
            &[("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace")],
            "info",
        ),
        log_json: check.choice(&options.log.format, "log.format", &[("text", false), ("json", true)], false),
    };
    no_folder_without_content(&settings, check);
    settings
}

/// Problems that concern the file as a whole stand at its first line.
fn no_folder_without_content(settings: &Settings, check: &mut Checker<'_>) {
    let whole = Spanned::new(0..0, ());
    if settings.mqtt.is_empty() && settings.mosquitto_log.is_empty() {
        check.warning(&whole, "source", "no source is configured, so nothing will be seen; add `[[source.mqtt]]` or `[[source.mosquitto_log]]`".into());
    }
    if settings.profiles.is_none() {
        check.warning(
            &whole,
            "detect.profiles",
            "no folder of profiles is configured, so nothing will be judged".into(),
        );
    }
    if settings.acting && settings.control.is_none() {
        check.error(
            &whole,
            "respond.acting",
            "acting is on, but no broker to act on is configured; add `[control.mosquitto]`".into(),
        );
    }
}

fn unique_names(options: &Options, check: &mut Checker<'_>) {
    let sources = options
        .source
        .mqtt
        .iter()
        .map(|s| &s.name)
        .chain(options.source.mosquitto_log.iter().map(|s| &s.name));
    let sinks =
        options.sink.webhook.iter().map(|s| &s.name).chain(options.sink.email.iter().map(|s| &s.name));
    let names: [(&str, Vec<&Spanned<String>>); 2] =
        [("source", sources.collect()), ("sink", sinks.collect())];
    for (place, names) in names {
        for (index, name) in names.iter().enumerate() {
            if name.get_ref().is_empty() || name.get_ref().len() > 64 {
                check.error(
                    name,
                    place,
                    format!(
                        "the name `{}` has {} bytes; allowed are 1 to 64",
                        name.get_ref(),
                        name.get_ref().len()
                    ),
                );
            }
            if names.iter().take(index).any(|other| other.get_ref() == name.get_ref()) {
                check.error(name, place, format!("the name `{}` is used twice", name.get_ref()));
            }
        }
    }
}

fn mqtt_source(options: MqttSourceOptions, check: &mut Checker<'_>) -> MqttSource {
    let place = format!("source.mqtt `{}`", options.name.get_ref());
    let protocol = [("5", true), ("3.1.1", false)];
    let version_5 = check.choice(&options.protocol, &format!("{place}: protocol"), &protocol, true);
    let prefix = options.report_prefix.get_ref();
    if !prefix.ends_with('/') || prefix.contains(['+', '#', '\0']) {
        let message = format!("found `{prefix}`; expected a topic that ends with `/`, without `+` and `#`");
        check.error(&options.report_prefix, &format!("{place}: report_prefix"), message);
    }
    if let Some(group) = &options.shared_group
        && (!version_5 || group.get_ref().is_empty() || group.get_ref().contains(['/', '+', '#']))
    {
        let message = format!(
            "found `{}`; expected a name without `/`, `+` and `#`, with protocol \"5\"",
            group.get_ref()
        );
        check.error(group, &format!("{place}: shared_group"), message);
    }
    if !(options.reports || options.mosquitto_log || options.lifecycle) {
        check.warning(
            &options.name,
            &place,
            "receives nothing; switch on `reports`, `mosquitto_log` or `lifecycle`".into(),
        );
    }
    let connection = connection(
        Reach {
            host: &options.host,
            port: options.port.as_ref(),
            client_id: &options.client_id,
            username: options.username,
            password_file: options.password_file.as_ref(),
            password_env: options.password_env.as_ref(),
            tls: &options.tls,
        },
        &place,
        check,
    );
    MqttSource {
        name: options.name.into_inner(),
        connection,
        version_5,
        reports: options.reports,
        report_prefix: options.report_prefix.into_inner(),
        shared_group: options.shared_group.map(Spanned::into_inner),
        mosquitto_log: options.mosquitto_log,
        lifecycle: options.lifecycle,
    }
}

/// The keys that sources and controls share.
struct Reach<'a> {
    host: &'a Spanned<String>,
    port: Option<&'a Spanned<u16>>,
    client_id: &'a Spanned<String>,
    username: Option<String>,
    password_file: Option<&'a Spanned<PathBuf>>,
    password_env: Option<&'a Spanned<String>>,
    tls: &'a TlsOptions,
}

fn connection(reach: Reach<'_>, place: &str, check: &mut Checker<'_>) -> Connection {
    let host = reach.host.get_ref();
    if host.is_empty() || host.contains(['/', ' ']) {
        check.error(
            reach.host,
            &format!("{place}: host"),
            format!("found `{host}`; expected a host name or an address"),
        );
    }
    if reach.client_id.get_ref().is_empty() {
        check.error(
            reach.client_id,
            &format!("{place}: client_id"),
            "is empty; the broker keeps the session under it".into(),
        );
    }
    let password = check.secret(reach.password_file, reach.password_env, &format!("{place}: password"));
    let credentials = match (reach.username, password) {
        (Some(name), password) => Some((name, password.unwrap_or_else(|| Secret::new(String::new())))),
        (None, None) => None,
        (None, Some(_)) => {
            check.error(reach.host, place, "a password is given, but no `username`".into());
            None
        }
    };
    let tls = tls(reach.tls, reach.host, place, check);
    let default_port = if tls.is_some() { 8883 } else { 1883 };
    let port =
        reach.port.map_or(default_port, |port| check.range(port, &format!("{place}: port"), 1..=u16::MAX));
    Connection { host: host.clone(), port, client_id: reach.client_id.get_ref().clone(), credentials, tls }
}

fn tls(options: &TlsOptions, host: &Spanned<String>, place: &str, check: &mut Checker<'_>) -> Option<Tls> {
    if let Some(enabled) = &options.enabled
        && !*enabled.get_ref()
    {
        if !is_loopback(host.get_ref()) {
            let message =
                format!("TLS may be switched off for loopback hosts only, and `{}` is none", host.get_ref());
            check.error(enabled, &format!("{place}: tls.enabled"), message);
        }
        return None;
    }
    let ca = pem(check, options.ca_file.as_ref(), &format!("{place}: tls.ca_file"), "CERTIFICATE");
    let cert = pem(check, options.cert_file.as_ref(), &format!("{place}: tls.cert_file"), "CERTIFICATE");
    let key = pem(check, options.key_file.as_ref(), &format!("{place}: tls.key_file"), "PRIVATE KEY");
    match (&options.cert_file, &options.key_file) {
        (Some(cert), None) => {
            check.error(cert, &format!("{place}: tls"), "`cert_file` is given without `key_file`".into())
        }
        (None, Some(key)) => {
            check.error(key, &format!("{place}: tls"), "`key_file` is given without `cert_file`".into())
        }
        _ => {}
    }
    let client =
        cert.zip(key).map(|(cert, key)| (cert, Secret::new(String::from_utf8_lossy(&key).into_owned())));
    Some(Tls { ca, client })
}

fn pem(check: &mut Checker<'_>, path: Option<&Spanned<PathBuf>>, place: &str, what: &str) -> Option<Vec<u8>> {
    let bytes = check.file(path, place)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("-----BEGIN ") && text.contains(&format!("{what}-----")) {
        return Some(bytes);
    }
    if let Some(path) = path {
        check.error(path, place, format!("`{}` holds no PEM block `{what}`", path.get_ref().display()));
    }
    None
}

fn mosquitto_log(options: MosquittoLogOptions, check: &mut Checker<'_>) -> MosquittoLog {
    let place = format!("source.mosquitto_log `{}`", options.name.get_ref());
    let path = (options.path.get_ref().as_os_str() != "-").then(|| check.path(options.path.get_ref()));
    if let Some(path) = &path
        && !path.exists()
    {
        let message = format!("`{}` does not exist yet; it is followed as soon as it does", path.display());
        check.warning(&options.path, &format!("{place}: path"), message);
    }
    let from_start =
        check.choice(&options.from, &format!("{place}: from"), &[("end", false), ("start", true)], false);
    let offset = options.utc_offset.get_ref();
    let utc_offset_secs = parse_offset(offset).unwrap_or_else(|| {
        let message =
            format!("found `{offset}`; expected hours and minutes such as `+02:00`, within 14 hours");
        check.error(&options.utc_offset, &format!("{place}: utc_offset"), message);
        0
    });
    MosquittoLog {
        name: options.name.into_inner(),
        path,
        from_start,
        utc_offset_secs,
        debug: options.debug,
        subscribe: options.subscribe,
    }
}

fn parse_offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let digits = |part: &str| (part.len() == 2).then(|| part.parse::<i32>().ok()).flatten();
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn mosquitto_control(options: MosquittoControlOptions, check: &mut Checker<'_>) -> MosquittoControl {
    let place = "control.mosquitto";
    if options.role.get_ref().is_empty() {
        check.error(
            &options.role,
            "control.mosquitto: role",
            "is empty; expected the name of the quarantine role".into(),
        );
    }
    let connection = connection(
        Reach {
            host: &options.host,
            port: options.port.as_ref(),
            client_id: &options.client_id,
            username: options.username,
            password_file: options.password_file.as_ref(),
            password_env: options.password_env.as_ref(),
            tls: &options.tls,
        },
        place,
        check,
    );
    MosquittoControl {
        connection,
        role: options.role.into_inner(),
        disable_client: options.disable_client,
        never_touch: options.never_touch,
    }
}

fn rule(options: RuleOptions, check: &mut Checker<'_>) -> Rule {
    let attributions = [("certain", Attribution::Certain), ("address", Attribution::Address)];
    let place = "respond.rule: attribution_min";
    let attribution_min = check.choice(&options.attribution_min, place, &attributions, Attribution::Certain);
    let named = |name: Spanned<String>| Some(name.into_inner()).filter(|name| name != "*");
    Rule {
        profile: named(options.profile),
        behavior: named(options.behavior),
        action: options.action.into_inner(),
        undo_on_clear: options.undo_on_clear,
        attribution_min,
    }
}

fn limit(options: LimitOptions, check: &mut Checker<'_>) -> Limit {
    Limit {
        things: check.range(&options.things, "respond.limit.things", 0..=1_000_000),
        per_secs: check.range(&options.per_secs, "respond.limit.per_secs", 1..=604_800),
        cooldown_secs: check.range(&options.cooldown_secs, "respond.limit.cooldown_secs", 0..=604_800),
        never_touch: options.never_touch,
        never_touch_groups: options
            .never_touch_groups
            .iter()
            .filter_map(|group| check.parsed(group, "respond.limit.never_touch_groups"))
            .collect(),
    }
}

fn webhook(options: WebhookOptions, check: &mut Checker<'_>) -> Webhook {
    let place = format!("sink.webhook `{}`", options.name.get_ref());
    let url = options.url.get_ref();
    let host = url.strip_prefix("http://").map(host_of);
    if !url.starts_with("https://") && !host.is_some_and(is_loopback) {
        let message =
            format!("found `{}`; expected `https://...`, or `http://...` on loopback", without_userinfo(url));
        check.error(&options.url, &format!("{place}: url"), message);
    }
    let secret =
        check.secret(options.secret_file.as_ref(), options.secret_env.as_ref(), &format!("{place}: secret"));
    if options.secret_file.is_none() && options.secret_env.is_none() {
        check.warning(
            &options.name,
            &place,
            "has no secret, so the receiver cannot tell our messages from others'".into(),
        );
    }
    let formats = [("fleetward", false), ("aws", true)];
    Webhook {
        aws: check.choice(&options.format, &format!("{place}: format"), &formats, false),
        secret,
        ca: pem(check, options.ca_file.as_ref(), &format!("{place}: ca_file"), "CERTIFICATE"),
        timeout_secs: check.range(&options.timeout_secs, &format!("{place}: timeout_secs"), 1..=300),
        name: options.name.into_inner(),
        url: options.url.into_inner(),
    }
}

/// The host of what follows `http://`.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// The address without a password that somebody put into it.
fn without_userinfo(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => url.to_owned(),
    }
}

fn email(options: EmailOptions, check: &mut Checker<'_>) -> Email {
    let place = format!("sink.email `{}`", options.name.get_ref());
    let kinds =
        [("starttls", MailSecurity::StartTls), ("tls", MailSecurity::Tls), ("none", MailSecurity::None)];
    let security =
        check.choice(&options.security, &format!("{place}: security"), &kinds, MailSecurity::StartTls);
    if security == MailSecurity::None && !is_loopback(options.host.get_ref()) {
        let message =
            format!("`none` is allowed for loopback hosts only, and `{}` is none", options.host.get_ref());
        check.error(&options.security, &format!("{place}: security"), message);
    }
    let default_port = match security {
        MailSecurity::Tls => 465,
        MailSecurity::StartTls => 587,
        MailSecurity::None => 25,
    };
    for address in options.to.iter().chain([&options.from]) {
        if !looks_like_address(address.get_ref()) {
            let message =
                format!("found `{}`; expected a mail address such as `ops@example.com`", address.get_ref());
            check.error(address, &place, message);
        }
    }
    if options.to.is_empty() {
        check.error(&options.from, &format!("{place}: to"), "is empty; expected at least one address".into());
    }
    let password = check.secret(
        options.password_file.as_ref(),
        options.password_env.as_ref(),
        &format!("{place}: password"),
    );
    Email {
        port: options.port.as_ref().map_or(default_port, |port| *port.get_ref()),
        credentials: options.username.zip(password),
        ca: pem(check, options.ca_file.as_ref(), &format!("{place}: ca_file"), "CERTIFICATE"),
        name: options.name.into_inner(),
        host: options.host.into_inner(),
        security,
        from: options.from.into_inner(),
        to: options.to.into_iter().map(Spanned::into_inner).collect(),
    }
}

/// A first look; the mail library judges for good when the message is built.
fn looks_like_address(text: &str) -> bool {
    let address = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>'));
    address.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        && !text.contains(['\r', '\n'])
}

fn listen(options: &ApiOptions, check: &mut Checker<'_>) -> Option<SocketAddr> {
    if options.listen.get_ref().is_empty() {
        return None;
    }
    let address: SocketAddr = check.parsed(&options.listen, "api.listen")?;
    if !address.ip().is_loopback() {
        let message = format!(
            "found `{address}`; only loopback addresses are allowed, since this endpoint has no TLS yet"
        );
        check.error(&options.listen, "api.listen", message);
        return None;
    }
    Some(address)
}
