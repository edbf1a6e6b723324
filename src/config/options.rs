//! The configuration file as it is written: every key with its default.
//!
//! `deny_unknown_fields` everywhere, so that a typing mistake is an error and
//! not a default. Resolved values are in [`super::settings`].

use std::path::PathBuf;

use mitigations::{rule::ResponseOptions, secret::SecretRef, sink::AlertOptions};
use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where Fleetward keeps its data.
    pub data: DataOptions,
    /// Profiles, actions and registry, kept as files.
    pub files: FileOptions,
    /// Detection.
    pub detect: DetectOptions,
    /// The journal.
    pub journal: JournalOptions,
    /// Values of metrics over time, and Parquet.
    pub history: HistoryOptions,
    /// Where events come from.
    pub source: SourceOptions,
    /// Brokers that responses act on.
    pub control: ControlOptions,
    /// What is done about alarms.
    pub response: ResponseOptions,
    /// Who is told about alarms.
    pub alerts: AlertOptions,
    /// The local HTTP endpoint.
    pub api: ApiOptions,
    /// Fleetward's own log.
    pub log: LogOptions,
}

/// `[data]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// Folder for journal, snapshots and store; created with mode 0700.
    pub dir: PathBuf,
    /// Store engine: `redb` or `sled`.
    pub store: Spanned<String>,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self { dir: "/var/lib/fleetward".into(), store: unplaced("redb".into()) }
    }
}

/// `[files]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileOptions {
    /// Folder of security profiles, `*.json`.
    pub profiles: Option<Spanned<PathBuf>>,
    /// Folder of mitigation actions, `*.json`.
    pub actions: Option<Spanned<PathBuf>>,
    /// JSON file of registered things and groups.
    pub registry: Option<Spanned<PathBuf>>,
}

/// `[detect]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectOptions {
    /// Width of the datapoint grid for metrics without `durationSeconds`.
    /// 300 is that of AWS.
    pub bucket_secs: Spanned<u32>,
    /// How long a window waits for events that arrive out of order.
    pub lateness_ms: Spanned<u32>,
    /// Worker threads; 0 is one per core.
    pub shards: Spanned<usize>,
    /// Things followed at most. Unregistered ones without a session make room for others; where there is
    /// none, what is new is counted as untracked.
    pub things_max: Spanned<u32>,
    /// Source addresses followed at most, to know who stands behind which. Idle ones make room.
    pub addresses_max: Spanned<u32>,
    /// Entities of each kind other than things followed at most. The ones seen longest ago make room, those
    /// in alarm last.
    pub entities_max: Spanned<u32>,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self {
            bucket_secs: unplaced(300),
            // Log time stamps are whole seconds, so a second of disorder is normal.
            lateness_ms: unplaced(2_000),
            shards: unplaced(0),
            things_max: unplaced(1_000_000),
            addresses_max: unplaced(1_000_000),
            entities_max: unplaced(262_144),
        }
    }
}

/// `[journal]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalOptions {
    /// Size at which a new segment file begins.
    pub segment_mib: Spanned<u32>,
    /// Seconds between snapshots of the detector's state.
    pub snapshot_secs: Spanned<u32>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { segment_mib: unplaced(64), snapshot_secs: unplaced(300) }
    }
}

/// `[history]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryOptions {
    /// Keep the values of all metrics that profiles name.
    pub enabled: bool,
    /// Folder of the compact form; default: `history` in the data folder.
    pub dir: Option<PathBuf>,
    /// Days that the compact form keeps besides the present one.
    pub days: Spanned<u32>,
    /// MiB that the compact form may take.
    pub size_mib: Spanned<u32>,
    /// Write days that are over to Parquet, if the worker is there.
    pub parquet: bool,
    /// Write the events of the journal to Parquet as well.
    pub events: bool,
    /// The worker; default: `fleetward-analyst` beside this program.
    pub analyst: Option<PathBuf>,
    /// Memory of the worker, MiB.
    pub analyst_mib: Spanned<u32>,
    /// Seconds between two runs of the worker.
    pub every_secs: Spanned<u32>,
    /// Folder of Parquet files; default: `lake` in the data folder.
    pub lake: Option<PathBuf>,
    /// Days of Parquet that are kept.
    pub lake_days: Spanned<u32>,
    /// MiB of Parquet that are kept.
    pub lake_mib: Spanned<u32>,
    /// MiB of journal that may wait for their events to be written; above, the oldest goes unwritten.
    pub journal_mib: Spanned<u32>,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            dir: None,
            days: unplaced(30),
            size_mib: unplaced(8 << 10),
            parquet: true,
            events: true,
            analyst: None,
            analyst_mib: unplaced(1 << 10),
            every_secs: unplaced(900),
            lake: None,
            lake_days: unplaced(365),
            lake_mib: unplaced(64 << 10),
            journal_mib: unplaced(16 << 10),
        }
    }
}

/// `[source]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceOptions {
    /// MQTT brokers to subscribe to.
    pub mqtt: Vec<MqttSourceOptions>,
    /// Mosquitto logs to follow.
    pub mosquitto_log: Vec<MosquittoLogOptions>,
}

/// How to reach an MQTT broker; part of `[[source.mqtt]]` and `[control.mosquitto]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttSourceOptions {
    /// Name in messages and counters; unique among all sources.
    pub name: Spanned<String>,
    /// Host name or address.
    pub host: Spanned<String>,
    /// Port; default 8883 with TLS, 1883 without.
    pub port: Option<Spanned<u16>>,
    /// `"5"` or `"3.1.1"`.
    #[serde(default = "version_5")]
    pub protocol: Spanned<String>,
    /// Client id; must stay the same across restarts, the broker keeps the session under it.
    #[serde(default = "default_client_id")]
    pub client_id: Spanned<String>,
    /// User name.
    pub username: Option<String>,
    /// Where the password is: `{ file = "..." }` or `{ env = "..." }`.
    pub password: Option<Spanned<SecretRef>>,
    /// TLS: on unless `tls = { enabled = false }`, which is allowed for loopback hosts only.
    #[serde(default)]
    pub tls: TlsOptions,
    /// Receive device reports.
    #[serde(default = "yes")]
    pub reports: bool,
    /// What comes before the thing's name in report topics.
    #[serde(default = "default_prefix")]
    pub report_prefix: Spanned<String>,
    /// Shared subscription group for reports.
    pub shared_group: Option<Spanned<String>>,
    /// Read Mosquitto's log through `$SYS/broker/log/#`.
    #[serde(default)]
    pub mosquitto_log: bool,
    /// Read AWS-style lifecycle events from `$aws/events/...`.
    #[serde(default)]
    pub lifecycle: bool,
}

/// `tls = { ... }`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsOptions {
    /// Whether to use TLS.
    pub enabled: Option<Spanned<bool>>,
    /// PEM file of the certificate authorities to trust; default: the public ones.
    pub ca_file: Option<Spanned<PathBuf>>,
    /// PEM file of the client certificate chain.
    pub cert_file: Option<Spanned<PathBuf>>,
    /// PEM file of the client's private key.
    pub key_file: Option<Spanned<PathBuf>>,
    /// Name that the broker's certificate must have, if it is not the host.
    pub server_name: Option<String>,
}

/// `[[source.mosquitto_log]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MosquittoLogOptions {
    /// Name in messages and counters; unique among all sources.
    pub name: Spanned<String>,
    /// The log file, or `-` for standard input.
    pub path: Spanned<PathBuf>,
    /// Where to begin a file never read before: `end` or `start`.
    #[serde(default = "from_end")]
    pub from: Spanned<String>,
    /// Zone of time stamps that name none, such as `+02:00`.
    #[serde(default = "utc")]
    pub utc_offset: Spanned<String>,
    /// The broker's `log_type` includes `debug`: publishes, deliveries and denials can be seen.
    #[serde(default)]
    pub debug: bool,
    /// The broker's `log_type` includes `subscribe` and `unsubscribe`.
    #[serde(default)]
    pub subscribe: bool,
}

/// `[control]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlOptions {
    /// Mosquitto with the dynamic-security plugin.
    pub mosquitto: Option<MosquittoControlOptions>,
}

/// `[control.mosquitto]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MosquittoControlOptions {
    /// Host name or address.
    pub host: Spanned<String>,
    /// Port; default 8883 with TLS, 1883 without.
    pub port: Option<Spanned<u16>>,
    /// Client id of the acting connection.
    #[serde(default = "default_control_id")]
    pub client_id: Spanned<String>,
    /// User name of a dynamic-security administrator. Should be another than that of the source.
    pub username: Option<String>,
    /// Where the password is: `{ file = "..." }` or `{ env = "..." }`.
    pub password: Option<Spanned<SecretRef>>,
    /// TLS, as for sources.
    #[serde(default)]
    pub tls: TlsOptions,
    /// Role that takes all permissions; made when missing.
    #[serde(default = "default_role")]
    pub role: Spanned<String>,
    /// Also disable the client, so that a device with a password is refused and not just powerless.
    #[serde(default)]
    pub disable_client: bool,
    /// User names that are never touched.
    #[serde(default)]
    pub never_touch: Vec<String>,
}

/// `[api]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiOptions {
    /// Address to listen on. Empty switches the endpoint off. Plain HTTP is answered to this machine alone.
    pub listen: Spanned<String>,
    /// Certificate chain for TLS, PEM; without it one is made in the data folder.
    pub certificate: Option<Spanned<PathBuf>>,
    /// Its key, PEM.
    pub key: Option<Spanned<PathBuf>>,
    /// Region of ARNs and of signatures.
    pub region: Spanned<String>,
    /// Account of ARNs.
    pub account: Spanned<String>,
    /// Requests that each user may make in a second; twice as many at once.
    pub requests_per_sec: Spanned<u32>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            listen: unplaced("127.0.0.1:9470".into()),
            certificate: None,
            key: None,
            // What tools take that were told nothing.
            region: unplaced("us-east-1".into()),
            account: unplaced("123456789012".into()),
            requests_per_sec: unplaced(1000),
        }
    }
}

/// `[log]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogOptions {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: Spanned<String>,
    /// `text` or `json`.
    pub format: Spanned<String>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: unplaced("info".into()), format: unplaced("text".into()) }
    }
}

/// A default: it stands nowhere in the file.
pub(super) fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn yes() -> bool {
    true
}
fn version_5() -> Spanned<String> {
    unplaced("5".into())
}
fn default_client_id() -> Spanned<String> {
    unplaced("fleetward".into())
}
fn default_control_id() -> Spanned<String> {
    unplaced("fleetward-control".into())
}
fn default_prefix() -> Spanned<String> {
    unplaced("$aws/things/".into())
}
fn default_role() -> Spanned<String> {
    unplaced("fleetward-quarantine".into())
}
fn from_end() -> Spanned<String> {
    unplaced("end".into())
}
fn utc() -> Spanned<String> {
    unplaced("+00:00".into())
}
