//! The configuration resolved: parsed, complete, checked. See [`super::options`] for the keys.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use brokers::mqtt::settings::{Connection, Identity, Protocol, Settings as MqttSettings, Tls};
use detector::input::SourceId;
use fleet::store::Engine;
use mitigations::{
    incident::IncidentOptions,
    outbox::OutboxOptions,
    rule::ResponseOptions,
    secret::SecretRef,
    sink::{self, Sink},
};
use toml::Spanned;

use super::{
    checker::{Checker, is_loopback},
    options::{
        ApiOptions, HistoryOptions, MosquittoControlOptions, MosquittoLogOptions, MqttSourceOptions, Options,
        TlsOptions,
    },
};

/// Everything that `serve` needs.
#[derive(Debug)]
pub struct Settings {
    /// Data folder.
    pub data_dir: PathBuf,
    /// Store engine.
    pub store: Engine,
    /// Folder of profiles.
    pub profiles: Option<PathBuf>,
    /// Folder of actions.
    pub actions: Option<PathBuf>,
    /// Registry file.
    pub registry: Option<PathBuf>,
    /// Datapoint grid, seconds.
    pub bucket_secs: u32,
    /// Lateness, milliseconds.
    pub lateness_ms: u32,
    /// Worker threads; 0 is one per core.
    pub shards: usize,
    /// Things followed at most.
    pub things_max: u32,
    /// Addresses followed at most.
    pub addresses_max: u32,
    /// Entities of each kind other than things followed at most.
    pub entities_max: u32,
    /// Journal segment size, bytes.
    pub segment_bytes: u64,
    /// Time between snapshots.
    pub snapshot_every: Duration,
    /// Values of metrics over time; absent if they are not kept.
    pub history: Option<HistorySettings>,
    /// MQTT sources.
    pub mqtt: Vec<MqttSource>,
    /// Mosquitto logs.
    pub mosquitto_log: Vec<MosquittoLog>,
    /// Acting connection to Mosquitto.
    pub control: Option<MosquittoControl>,
    /// What is done about alarms.
    pub response: ResponseOptions,
    /// Limits of alert delivery.
    pub outbox: OutboxOptions,
    /// How alarms with one cause are told.
    pub incidents: IncidentOptions,
    /// Who is told about alarms.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// The endpoint.
    pub api: ApiSettings,
    /// Log level.
    pub log_level: &'static str,
    /// Log as JSON lines.
    pub log_json: bool,
}

/// The endpoint for people and tools.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Its address; absent where it is switched off.
    pub listen: Option<SocketAddr>,
    /// Certificate and key, if they are given.
    pub tls: Option<api::tls::Files>,
    /// Region of ARNs and of signatures.
    pub region: String,
    /// Account of ARNs.
    pub account: String,
    /// Requests of a user in a second.
    pub requests_per_sec: u32,
}

/// Values of metrics over time.
#[derive(Clone, Debug)]
pub struct HistorySettings {
    /// Folder of the compact form.
    pub dir: PathBuf,
    /// Its bounds.
    pub options: history::Options,
    /// Parquet, if wanted.
    pub lake: Option<LakeSettings>,
}

/// Parquet files and the worker that writes them.
#[derive(Clone, Debug)]
pub struct LakeSettings {
    /// Folder.
    pub dir: PathBuf,
    /// The worker; absent for the one beside this program.
    pub analyst: Option<PathBuf>,
    /// Memory of the worker, MiB.
    pub analyst_mib: u32,
    /// Time between two runs.
    pub every: Duration,
    /// Whether events are written.
    pub events: bool,
    /// Days that are kept.
    pub days: u32,
    /// Bytes that are kept.
    pub bytes_max: u64,
    /// Bytes of journal that may wait.
    pub journal_bytes_max: u64,
}

/// An MQTT source.
#[derive(Clone, Debug)]
pub struct MqttSource {
    /// Name.
    pub name: String,
    /// All else; the wiring sets the source's number.
    pub settings: MqttSettings,
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

/// Resolves and checks; problems are collected in `check`.
pub fn resolve(mut options: Options, check: &mut Checker<'_>) -> Settings {
    unique_names(&options, check);
    let sinks = sinks(&mut options, check);
    let (detect, files, journal) = (&options.detect, &options.files, &options.journal);
    let settings = Settings {
        data_dir: check.path(&options.data.dir),
        store: check.choice(
            &options.data.store,
            "data.store",
            &[("redb", Engine::Redb), ("sled", Engine::Sled)],
            Engine::Redb,
        ),
        profiles: check.folder(files.profiles.as_ref(), "files.profiles"),
        actions: check.folder(files.actions.as_ref(), "files.actions"),
        registry: files.registry.as_ref().map(|path| check.path(path.get_ref())),
        bucket_secs: check.range(&detect.bucket_secs, "detect.bucket_secs", 1..=3600),
        lateness_ms: check.range(&detect.lateness_ms, "detect.lateness_ms", 0..=60_000),
        shards: check.range(&detect.shards, "detect.shards", 0..=1024),
        things_max: check.range(&detect.things_max, "detect.things_max", 1..=100_000_000),
        addresses_max: check.range(&detect.addresses_max, "detect.addresses_max", 1..=100_000_000),
        // They lie in 64 parts, each with room for at least one.
        entities_max: check.range(&detect.entities_max, "detect.entities_max", 64..=100_000_000),
        segment_bytes: u64::from(check.range(&journal.segment_mib, "journal.segment_mib", 1..=4096)) << 20,
        snapshot_every: seconds(check.range(&journal.snapshot_secs, "journal.snapshot_secs", 1..=86_400)),
        history: history(&options.history, &check.path(&options.data.dir), check),
        mqtt: options.source.mqtt.into_iter().map(|source| mqtt_source(source, check)).collect(),
        mosquitto_log: options
            .source
            .mosquitto_log
            .into_iter()
            .map(|log| mosquitto_log(log, check))
            .collect(),
        control: options.control.mosquitto.map(|control| mosquitto_control(control, check)),
        response: options.response,
        outbox: options.alerts.outbox,
        incidents: incidents(options.alerts.incidents, check),
        sinks,
        api: api(&options.api, check),
        log_level: check.choice(
            &options.log.level,
            "log.level",
            &[("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace")],
            "info",
        ),
        log_json: check.choice(&options.log.format, "log.format", &[("text", false), ("json", true)], false),
    };
    whole_file(&settings, check);
    settings
}

fn history(options: &HistoryOptions, data_dir: &Path, check: &mut Checker<'_>) -> Option<HistorySettings> {
    let mib = |mib: u32| u64::from(mib) << 20;
    let days = check.range(&options.days, "history.days", 1..=3650);
    let size = check.range(&options.size_mib, "history.size_mib", 1..=16 << 20);
    let lake = LakeSettings {
        dir: options.lake.as_ref().map_or_else(|| data_dir.join("lake"), |dir| check.path(dir)),
        analyst: options.analyst.as_ref().map(|path| check.path(path)),
        analyst_mib: check.range(&options.analyst_mib, "history.analyst_mib", 64..=1 << 20),
        every: seconds(check.range(&options.every_secs, "history.every_secs", 1..=86_400)),
        events: options.events,
        days: check.range(&options.lake_days, "history.lake_days", 1..=36_500),
        bytes_max: mib(check.range(&options.lake_mib, "history.lake_mib", 1..=1 << 30)),
        journal_bytes_max: mib(check.range(&options.journal_mib, "history.journal_mib", 1..=1 << 30)),
    };
    options.enabled.then(|| HistorySettings {
        dir: options.dir.as_ref().map_or_else(|| data_dir.join("history"), |dir| check.path(dir)),
        options: history::Options { days, bytes_max: mib(size), ..history::Options::default() },
        lake: options.parquet.then_some(lake),
    })
}

const fn seconds(secs: u32) -> Duration {
    Duration::from_secs(secs as u64)
}

/// Problems that concern the file as a whole.
fn whole_file(settings: &Settings, check: &mut Checker<'_>) {
    if settings.mqtt.is_empty() && settings.mosquitto_log.is_empty() {
        let message = "no source is configured, so nothing will be seen; add `[[source.mqtt]]` or `[[source.mosquitto_log]]`";
        check.warning_at("source", message.into());
    }
    if settings.profiles.is_none() {
        check.warning_at(
            "files.profiles",
            "no folder of profiles is configured, so nothing will be judged".into(),
        );
    }
    if settings.response.acting && settings.control.is_none() {
        let message = "acting is on, but no broker to act on is configured; add `[control.mosquitto]`";
        check.error_at("response.acting", message.into());
    }
    if !settings.response.rules.is_empty() && settings.actions.is_none() {
        check.error_at(
            "response.rules",
            "there are rules, but no folder of actions; set `files.actions`".into(),
        );
    }
}

fn unique_names(options: &Options, check: &mut Checker<'_>) {
    let source = &options.source;
    let names: Vec<_> =
        source.mqtt.iter().map(|s| &s.name).chain(source.mosquitto_log.iter().map(|s| &s.name)).collect();
    for (index, name) in names.iter().enumerate() {
        let text = name.get_ref();
        if text.is_empty() || text.len() > 64 {
            check.error(
                name,
                "source",
                format!("the name `{text}` has {} bytes; allowed are 1 to 64", text.len()),
            );
        }
        if names.iter().take(index).any(|other| other.get_ref() == text) {
            check.error(name, "source", format!("the name `{text}` is used twice"));
        }
    }
}

/// Builds the sinks, so that what they refuse is known before anything is started.
fn sinks(options: &mut Options, check: &mut Checker<'_>) -> Vec<Arc<dyn Sink>> {
    for webhook in options.alerts.webhook.values_mut() {
        absolute(webhook.ca_file.as_mut(), check);
    }
    for email in options.alerts.email.values_mut() {
        absolute(email.ca_file.as_mut(), check);
    }
    for (name, webhook) in &options.alerts.webhook {
        if webhook.secret.is_none() {
            let message =
                "has no secret, so the receiver cannot tell our messages from others'; set `secret`";
            check.warning_at(&format!("alerts.webhook.{name}"), message.into());
        }
    }
    let built = sink::build(&options.alerts, &|reference: &SecretRef| check.read_secret(reference));
    built.unwrap_or_else(|errors| {
        for error in errors {
            check.error_at(&error.place, error.message);
        }
        Vec::new()
    })
}

fn incidents(options: IncidentOptions, check: &mut Checker<'_>) -> IncidentOptions {
    let day = 86_400;
    let ranges = [
        ("singles_max", options.singles_max, 1..=10_000),
        ("window_secs", options.window_secs, 1..=day),
        ("gather_secs", options.gather_secs, 0..=day),
        ("update_secs", options.update_secs, 1..=day),
    ];
    for (key, found, allowed) in ranges {
        if !allowed.contains(&found) {
            let message = format!("found {found}; allowed are {} to {}", allowed.start(), allowed.end());
            check.error_at(&format!("alerts.incidents.{key}"), message);
        }
    }
    options
}

fn absolute(path: Option<&mut PathBuf>, check: &Checker<'_>) {
    if let Some(path) = path {
        *path = check.path(path);
    }
}

fn mqtt_source(options: MqttSourceOptions, check: &mut Checker<'_>) -> MqttSource {
    let place = format!("source.mqtt `{}`", options.name.get_ref());
    let protocols = [("5", Protocol::V5), ("3.1.1", Protocol::V311)];
    let protocol = check.choice(&options.protocol, &format!("{place}: protocol"), &protocols, Protocol::V5);
    let reach = Reach {
        host: &options.host,
        port: options.port.as_ref(),
        client_id: &options.client_id,
        username: options.username,
        password: options.password.as_ref(),
        tls: &options.tls,
    };
    let mut settings = MqttSettings::new(SourceId(0), connection(reach, &place, check));
    settings.connection.protocol = protocol;
    settings.reports = options.reports;
    settings.report_prefix.clone_from(options.report_prefix.get_ref());
    settings.shared_group = options.shared_group.as_ref().map(|group| group.get_ref().clone());
    settings.mosquitto_log = options.mosquitto_log;
    settings.lifecycle = options.lifecycle;
    if let Err(error) = settings.check() {
        let message = format!("found `{}`; allowed: {}", error.found, error.allowed);
        let place = format!("{place}: {}", error.setting);
        match error.setting {
            "host" => check.error(&options.host, &place, message),
            "client_id" => check.error(&options.client_id, &place, message),
            "report_prefix" => check.error(&options.report_prefix, &place, message),
            "shared_group" => {
                check.error(options.shared_group.as_ref().unwrap_or(&options.name), &place, message)
            }
            _ => check.error(&options.name, &place, message),
        }
    }
    MqttSource { name: options.name.into_inner(), settings }
}

/// The keys that sources and controls share.
struct Reach<'a> {
    host: &'a Spanned<String>,
    port: Option<&'a Spanned<u16>>,
    client_id: &'a Spanned<String>,
    username: Option<String>,
    password: Option<&'a Spanned<SecretRef>>,
    tls: &'a TlsOptions,
}

fn connection(reach: Reach<'_>, place: &str, check: &mut Checker<'_>) -> Connection {
    let secured = tls(reach.tls, reach.host, place, check);
    let default_port = if secured.is_some() { 8883 } else { 1883 };
    let port =
        reach.port.map_or(default_port, |port| check.range(port, &format!("{place}: port"), 1..=u16::MAX));
    let mut connection = Connection::new(reach.host.get_ref(), port, reach.client_id.get_ref());
    connection.password = check.secret(reach.password, &format!("{place}: password"));
    if let (Some(password), None) = (reach.password, &reach.username) {
        check.error(password, place, "a password is given, but no `username`".into());
        connection.password = None;
    }
    connection.username = reach.username;
    connection.tls = secured;
    connection
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
    let ca_file = pem(check, options.ca_file.as_ref(), &format!("{place}: tls.ca_file"), "CERTIFICATE");
    let cert_file = pem(check, options.cert_file.as_ref(), &format!("{place}: tls.cert_file"), "CERTIFICATE");
    let key_file = pem(check, options.key_file.as_ref(), &format!("{place}: tls.key_file"), "PRIVATE KEY");
    match (&options.cert_file, &options.key_file) {
        (Some(cert), None) => {
            check.error(cert, &format!("{place}: tls"), "`cert_file` is given without `key_file`".into())
        }
        (None, Some(key)) => {
            check.error(key, &format!("{place}: tls"), "`key_file` is given without `cert_file`".into())
        }
        _ => {}
    }
    let identity = cert_file.zip(key_file).map(|(cert_file, key_file)| Identity { cert_file, key_file });
    Some(Tls { ca_file, identity, server_name: options.server_name.clone() })
}

/// The full path of a PEM file, if it can be read and holds the right kind of block.
fn pem(check: &mut Checker<'_>, path: Option<&Spanned<PathBuf>>, place: &str, what: &str) -> Option<PathBuf> {
    let path = path?;
    let bytes = check.file(Some(path), place)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("-----BEGIN ") && text.contains(&format!("{what}-----")) {
        return Some(check.path(path.get_ref()));
    }
    check.error(path, place, format!("`{}` holds no PEM block `{what}`", path.get_ref().display()));
    None
}

fn mosquitto_log(options: MosquittoLogOptions, check: &mut Checker<'_>) -> MosquittoLog {
    let place = format!("source.mosquitto_log `{}`", options.name.get_ref());
    let path = (options.path.get_ref() != Path::new("-")).then(|| check.path(options.path.get_ref()));
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
    let reach = Reach {
        host: &options.host,
        port: options.port.as_ref(),
        client_id: &options.client_id,
        username: options.username,
        password: options.password.as_ref(),
        tls: &options.tls,
    };
    let connection = connection(reach, place, check);
    if let Err(error) = connection.check() {
        let message = format!("found `{}`; allowed: {}", error.found, error.allowed);
        check.error(&options.host, &format!("{place}: {}", error.setting), message);
    }
    MosquittoControl {
        connection,
        role: options.role.into_inner(),
        disable_client: options.disable_client,
        never_touch: options.never_touch,
    }
}

fn api(options: &ApiOptions, check: &mut Checker<'_>) -> ApiSettings {
    let listen = match options.listen.get_ref().is_empty() {
        true => None,
        false => check.parsed(&options.listen, "api.listen"),
    };
    let (certificate, key) = (options.certificate.as_ref(), options.key.as_ref());
    match (certificate, key) {
        (Some(alone), None) => {
            check.error(alone, "api.certificate", "`api.key` is missing; both are needed".into())
        }
        (None, Some(alone)) => {
            check.error(alone, "api.key", "`api.certificate` is missing; both are needed".into())
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let readable =
        check.file(certificate, "api.certificate").is_some() & check.file(key, "api.key").is_some();
    let files = certificate.zip(key).filter(|_| readable);
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let (region, account) = (options.region.get_ref(), options.account.get_ref());
    if region.is_empty() || region.len() > REGION_BYTES_MAX || !region.chars().all(word) {
        let message = format!("found `{region}`; allowed are 1 to {REGION_BYTES_MAX} of `a-z 0-9 -`");
        check.error(&options.region, "api.region", message);
    }
    if account.len() != ACCOUNT_DIGITS || !account.chars().all(|c| c.is_ascii_digit()) {
        let message = format!("found `{account}`; allowed are {ACCOUNT_DIGITS} digits");
        check.error(&options.account, "api.account", message);
    }
    ApiSettings {
        listen,
        tls: files.map(|(certificate, key)| api::tls::Files {
            certificate: check.path(certificate.get_ref()),
            key: check.path(key.get_ref()),
        }),
        region: region.clone(),
        account: account.clone(),
        requests_per_sec: check.range(&options.requests_per_sec, "api.requests_per_sec", 1..=1_000_000),
    }
}

/// Longest region, bytes.
const REGION_BYTES_MAX: usize = 32;
/// Digits of an account.
const ACCOUNT_DIGITS: usize = 12;
