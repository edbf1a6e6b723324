//! How to reach a broker, and what to take from it.

use std::{path::PathBuf, time::Duration};

use fleet::secret::Secret;
use thiserror::Error;

/// Version of the MQTT protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// 3.1.1.
    V311,
    /// 5.0. Preferred: the broker then keeps oversized messages away from us, and lets more
    /// messages be under way than its own default (20 on Mosquitto).
    V5,
}

/// One connection to a broker.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Host name or address. It is also the name that the broker's certificate must bear.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Protocol version.
    pub protocol: Protocol,
    /// Client id. For a source it must be the same after a restart: the broker keeps the session under it.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password; needs a user name.
    pub password: Option<Secret>,
    /// TLS, or plain TCP if absent.
    pub tls: Option<Tls>,
    /// Longest silence before a ping, in whole seconds, 5 or more.
    pub keep_alive: Duration,
    /// Time limit for connecting, TLS and CONNACK, in whole seconds.
    pub connect_timeout: Duration,
    /// Largest packet that is taken, in bytes.
    pub packet_bytes_max: u32,
}

impl Connection {
    /// A connection with the defaults: MQTT 5, keep-alive 30 s, 10 s to connect, packets of 256 KiB
    /// (a device report has at most 128 KiB), no TLS, no credentials.
    #[must_use]
    pub fn new(host: &str, port: u16, client_id: &str) -> Self {
        Self {
            host: host.into(),
            port,
            protocol: Protocol::V5,
            client_id: client_id.into(),
            username: None,
            password: None,
            tls: None,
            keep_alive: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            packet_bytes_max: 256 * 1024,
        }
    }

    /// `HOST:PORT`, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Checks what no type can say.
    ///
    /// # Errors
    /// With the setting, the value found and what is allowed.
    pub fn check(&self) -> Result<(), SettingsError> {
        let bad = |setting, found: String, allowed| Err(SettingsError { setting, found, allowed });
        if self.host.is_empty() || self.host.chars().any(|c| c.is_control() || c == ' ') {
            return bad("host", self.host.clone(), "a host name or address");
        }
        if self.port == 0 {
            return bad("port", self.port.to_string(), "1 to 65535");
        }
        let id = &self.client_id;
        if id.is_empty() || id.len() > 128 || id.chars().any(|c| c.is_control() || matches!(c, '+' | '#')) {
            return bad("client_id", id.clone(), "1 to 128 bytes without control characters, `+` and `#`");
        }
        if self.password.is_some() && self.username.is_none() {
            return bad("username", "nothing".into(), "a user name, because a password is given");
        }
        if !(5..=65_535).contains(&self.keep_alive.as_secs()) {
            return bad("keep_alive", format!("{} s", self.keep_alive.as_secs()), "5 to 65535 s");
        }
        if self.connect_timeout.as_secs() == 0 {
            return bad("connect_timeout", "0 s".into(), "1 s or more");
        }
        if self.packet_bytes_max < 1024 {
            return bad("packet_bytes_max", self.packet_bytes_max.to_string(), "1024 or more");
        }
        Ok(())
    }
}

/// TLS of a connection. The files are read again for each connection, so that renewed
/// certificates are taken up without a restart. There is no way to switch verification off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities to trust; the public ones if absent.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the client's certificate chain and key.
    pub identity: Option<Identity>,
    /// Name that the broker's certificate must bear, if it is not the host.
    pub server_name: Option<String>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM file of the chain, leaf first.
    pub cert_file: PathBuf,
    /// PEM file of the private key.
    pub key_file: PathBuf,
}

/// What an MQTT source takes from its broker, and how much of it at once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of the source in the configuration, set into each input.
    pub source: detector::input::SourceId,
    /// How to reach the broker.
    pub connection: Connection,
    /// Seconds that the broker keeps the session (and queues QoS 1 messages) while we are away; MQTT 5 only.
    pub session_expiry_secs: u32,
    /// Receive device reports.
    pub reports: bool,
    /// What comes before the thing's name in report topics; ends with `/`.
    pub report_prefix: String,
    /// Shared subscription group for reports. The broker then deals the reports out among the members,
    /// so that the order of a device's reports is no longer kept. Needs a prefix that does not begin
    /// with `$`: Mosquitto (2.0.11 tried) delivers no `$` topic to shared subscriptions.
    pub shared_group: Option<String>,
    /// Read Mosquitto's log from `$SYS/broker/log/#`.
    pub mosquitto_log: bool,
    /// Read AWS-style lifecycle events from `$aws/events/...`.
    pub lifecycle: bool,
    /// Send `accepted` and `rejected` answers to reports.
    pub answers: bool,
    /// QoS 1 messages that may be under way from the broker without acknowledgement; MQTT 5 only
    /// (with 3.1.1 the broker's own limit holds, `max_inflight_messages` of Mosquitto).
    pub inflight_max: u16,
    /// Messages without a receipt at most; reading stops there until receipts come.
    pub outstanding_max: usize,
    /// Messages that are handed to the engine at once, at most.
    pub batch_max: usize,
}

impl Settings {
    /// The defaults: reports and answers only, `$aws/things/`, a session kept for a day,
    /// batches of 512, 16,384 messages without a receipt.
    #[must_use]
    pub fn new(source: detector::input::SourceId, connection: Connection) -> Self {
        Self {
            source,
            connection,
            session_expiry_secs: 86_400,
            reports: true,
            report_prefix: "$aws/things/".into(),
            shared_group: None,
            mosquitto_log: false,
            lifecycle: false,
            answers: true,
            inflight_max: 8_192,
            outstanding_max: 16_384,
            batch_max: 512,
        }
    }

    /// Checks what no type can say.
    ///
    /// # Errors
    /// With the setting, the value found and what is allowed.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.connection.check()?;
        let bad = |setting, found: String, allowed| Err(SettingsError { setting, found, allowed });
        let prefix = &self.report_prefix;
        if !prefix.ends_with('/') || prefix.contains(['+', '#', '\0']) || prefix.len() > 256 {
            return bad("report_prefix", prefix.clone(), "topic levels without `+` and `#`, ending with `/`");
        }
        if let Some(group) = &self.shared_group
            && (group.is_empty() || group.contains(['+', '#', '/', '\0']))
        {
            return bad("shared_group", group.clone(), "a name without `+`, `#` and `/`");
        }
        if let Some(group) = &self.shared_group
            && prefix.starts_with('$')
        {
            let allowed = "none while report_prefix begins with `$`: Mosquitto grants such a shared subscription and delivers nothing";
            return bad("shared_group", group.clone(), allowed);
        }
        if !(self.reports || self.mosquitto_log || self.lifecycle) {
            return bad("reports", "false".into(), "at least one of reports, mosquitto_log and lifecycle");
        }
        if self.inflight_max == 0 || self.batch_max == 0 || self.outstanding_max < self.batch_max {
            let found = format!("{}, {}, {}", self.inflight_max, self.batch_max, self.outstanding_max);
            return bad(
                "inflight_max, batch_max, outstanding_max",
                found,
                "1 or more, and the last not below the second",
            );
        }
        Ok(())
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{setting}: found `{found}`; allowed: {allowed}")]
pub struct SettingsError {
    /// The setting.
    pub setting: &'static str,
    /// The value found.
    pub found: String,
    /// What is allowed.
    pub allowed: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Settings);

    #[test]
    fn wrong_settings_are_named_with_what_is_allowed() {
        let cases: [(Change, &str); 8] = [
            (|s| s.connection.host = "a b".into(), "host: found `a b`; allowed: a host name or address"),
            (|s| s.connection.port = 0, "port: found `0`; allowed: 1 to 65535"),
            (
                |s| s.connection.client_id = "a/#".into(),
                "client_id: found `a/#`; allowed: 1 to 128 bytes without control characters, `+` and `#`",
            ),
            (
                |s| s.connection.password = Some(Secret::new("hush")),
                "username: found `nothing`; allowed: a user name, because a password is given",
            ),
            (
                |s| s.report_prefix = "aws/things".into(),
                "report_prefix: found `aws/things`; allowed: topic levels without `+` and `#`, ending with `/`",
            ),
            (
                |s| s.shared_group = Some("a/b".into()),
                "shared_group: found `a/b`; allowed: a name without `+`, `#` and `/`",
            ),
            (
                |s| s.shared_group = Some("g".into()),
                "shared_group: found `g`; allowed: none while report_prefix begins with `$`: \
                 Mosquitto grants such a shared subscription and delivers nothing",
            ),
            (
                |s| s.reports = false,
                "reports: found `false`; allowed: at least one of reports, mosquitto_log and lifecycle",
            ),
        ];
        for (change, message) in cases {
            let mut settings =
                Settings::new(detector::input::SourceId(1), Connection::new("h", 1883, "fleetward"));
            settings.check().unwrap();
            change(&mut settings);
            assert_eq!(settings.check().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let mut connection = Connection::new("h", 1883, "fleetward");
        connection.password = Some(Secret::new("hush"));
        assert!(!format!("{connection:?}").contains("hush"));
    }
}
