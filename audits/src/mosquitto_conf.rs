//! Checks of one `mosquitto.conf`.
//!
//! # What they notice
//! - `LOGGING_DISABLED_CHECK` (AWS name, LOW there as here): the log leaves out what detection lives on.
//! - `BROKER_ANONYMOUS_ACCESS_CHECK` (ours, CRITICAL): a listener that others can reach asks for no identity.
//! - `BROKER_LISTENER_WITHOUT_TLS_CHECK` (ours, HIGH): a listener that others can reach sends passwords in clear.
//!
//! # Limits
//! Included folders (`include_dir`) are not followed; settings before the first `listener`
//! count as the default listener, and `per_listener_settings` is honoured for anonymous access.
//!
//! # References
//! `mosquitto.conf(5)`; `broker-integration.md`, sections 2.1 and 2.7.

use crate::finding::{Finding, Place, ResourceRef, Severity};

/// Lines read of one file at most; the rest is ignored.
const LINES_MAX: usize = 100_000;

/// One listener as configured.
#[derive(Debug, Default)]
struct Listener {
    line: usize,
    port: String,
    address: String,
    anonymous: Option<bool>,
    certificate: bool,
    psk: bool,
    socket: bool,
}

impl Listener {
    fn resource(&self, file: &str) -> ResourceRef {
        ResourceRef::new("BROKER_LISTENER", [("file", file.to_owned()), ("port", self.port.clone())])
    }

    fn is_reachable(&self) -> bool {
        let loopback = self.address == "localhost"
            || self.address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        !self.socket && !loopback
    }
}

/// The parts of the file that the checks look at.
#[derive(Debug, Default)]
struct Conf {
    listeners: Vec<Listener>,
    per_listener: bool,
    anonymous: Option<bool>,
    connection_messages: Option<(usize, bool)>,
    log_types: Vec<(usize, String)>,
    log_dest_none: Option<usize>,
}

/// All findings of `text`, in the order of the file.
#[must_use]
pub fn audit(file: &str, text: &str) -> Vec<Finding> {
    let conf = read(text);
    let mut findings: Vec<Finding> = logging(file, &conf)
        .into_iter()
        .chain(anonymous(file, &conf))
        .chain(without_tls(file, &conf))
        .collect();
    findings.sort_by(|a, b| (a.line(), &a.check).cmp(&(b.line(), &b.check)));
    findings
}

fn read(text: &str) -> Conf {
    let mut conf = Conf::default();
    for (number, line) in text.lines().enumerate().take(LINES_MAX) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        setting(&mut conf, number + 1, key, value.trim());
    }
    conf
}

fn setting(conf: &mut Conf, line: usize, key: &str, value: &str) {
    match key {
        "listener" | "port" => {
            let mut words = value.split_whitespace();
            let port = words.next().unwrap_or_default().to_owned();
            let address = words.next().unwrap_or_default().to_owned();
            let socket = port == "0";
            conf.listeners.push(Listener { line, port, address, socket, ..Listener::default() });
        }
        "per_listener_settings" => conf.per_listener = value == "true",
        "allow_anonymous" => match conf.listeners.last_mut() {
            Some(listener) if conf.per_listener => listener.anonymous = Some(value == "true"),
            _ => conf.anonymous = Some(value == "true"),
        },
        "bind_address" => with_last(conf, |listener| value.clone_into(&mut listener.address)),
        "certfile" => with_last(conf, |listener| listener.certificate = true),
        "psk_hint" => with_last(conf, |listener| listener.psk = true),
        "connection_messages" => conf.connection_messages = Some((line, value == "true")),
        "log_type" => conf.log_types.push((line, value.to_owned())),
        "log_dest" if value == "none" => conf.log_dest_none = Some(line),
        _ => {}
    }
}

fn with_last(conf: &mut Conf, change: impl FnOnce(&mut Listener)) {
    if let Some(listener) = conf.listeners.last_mut() {
        change(listener);
    }
}

fn logging(file: &str, conf: &Conf) -> Vec<Finding> {
    let finding = |line: usize, found: String, remedy: &'static str| Finding {
        check: "LOGGING_DISABLED_CHECK".into(),
        severity: Severity::Low,
        code: "LOGGING_DISABLED".into(),
        reason: found,
        resource: ResourceRef::new("ACCOUNT_SETTINGS", [("account", file.to_owned())]),
        related: Vec::new(),
        place: Some(Place::line(file, line)),
        remedy: remedy.into(),
    };
    let mut findings = Vec::new();
    if let Some(line) = conf.log_dest_none {
        findings.push(finding(
            line,
            "`log_dest none` switches the log off".into(),
            "set `log_dest file PATH`",
        ));
    }
    if let Some((line, false)) = conf.connection_messages {
        let found = "`connection_messages false` hides connects, disconnects and refused logins".into();
        findings.push(finding(line, found, "set `connection_messages true`"));
    }
    let has = |name: &str| conf.log_types.iter().any(|(_, kind)| kind == name || kind == "all");
    if let Some((line, _)) = conf.log_types.first()
        && let missing = ["error", "notice"].into_iter().filter(|name| !has(name)).collect::<Vec<_>>()
        && !missing.is_empty()
    {
        let found = format!("`log_type` leaves out `{}`", missing.join("`, `"));
        findings.push(finding(*line, found, "add `log_type error` and `log_type notice`"));
    }
    findings
}

fn anonymous(file: &str, conf: &Conf) -> Vec<Finding> {
    let open = |listener: &&Listener| {
        let allowed = if conf.per_listener { listener.anonymous } else { conf.anonymous };
        allowed == Some(true) && listener.is_reachable()
    };
    let finding = |listener: &Listener| Finding {
        check: "BROKER_ANONYMOUS_ACCESS_CHECK".into(),
        severity: Severity::Critical,
        code: "ANONYMOUS_ACCESS".into(),
        reason: format!("the listener on port {} lets clients in without any identity", listener.port),
        resource: listener.resource(file),
        related: Vec::new(),
        place: Some(Place::line(file, listener.line)),
        remedy: "set `allow_anonymous false` and give each device a certificate or a password".into(),
    };
    conf.listeners.iter().filter(open).map(finding).collect()
}

fn without_tls(file: &str, conf: &Conf) -> Vec<Finding> {
    let plain = |listener: &&Listener| listener.is_reachable() && !listener.certificate && !listener.psk;
    let finding = |listener: &Listener| Finding {
        check: "BROKER_LISTENER_WITHOUT_TLS_CHECK".into(),
        severity: Severity::High,
        code: "LISTENER_WITHOUT_TLS".into(),
        reason: format!("the listener on port {} sends everything in clear, passwords too", listener.port),
        resource: listener.resource(file),
        related: Vec::new(),
        place: Some(Place::line(file, listener.line)),
        remedy: "set `certfile` and `keyfile`, or bind it to 127.0.0.1".into(),
    };
    conf.listeners.iter().filter(plain).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> =
            audit("m", text).iter().map(|f| format!("{}:{} {}", f.line(), f.check, f.reason)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn right_and_wrong_configurations() {
        check("", &[]);
        check("listener 1883 127.0.0.1\nallow_anonymous true\n", &[]);
        check("listener 8883\ncertfile c\nkeyfile k\nallow_anonymous false\n", &[]);
        check("listener 0 /run/m.sock\nallow_anonymous true\n", &[]);
        let plain = "1:BROKER_LISTENER_WITHOUT_TLS_CHECK the listener on port 1883 sends everything in clear, passwords too";
        check("listener 1883\n", &[plain]);
        check(
            "listener 1883 0.0.0.0\nallow_anonymous true\n",
            &[
                "1:BROKER_ANONYMOUS_ACCESS_CHECK the listener on port 1883 lets clients in without any identity",
                plain,
            ],
        );
        check(
            "per_listener_settings true\nlistener 8883\ncertfile c\nallow_anonymous true\nlistener 8884\ncertfile c\nallow_anonymous false\n",
            &[
                "2:BROKER_ANONYMOUS_ACCESS_CHECK the listener on port 8883 lets clients in without any identity",
            ],
        );
    }

    #[test]
    fn logging_that_leaves_out_what_detection_needs() {
        check("log_type all\nlog_dest file f\n", &[]);
        check("log_dest none\n", &["1:LOGGING_DISABLED_CHECK `log_dest none` switches the log off"]);
        check(
            "connection_messages false\n",
            &[
                "1:LOGGING_DISABLED_CHECK `connection_messages false` hides connects, disconnects and refused logins",
            ],
        );
        check(
            "log_type warning\nlog_type error\n",
            &["1:LOGGING_DISABLED_CHECK `log_type` leaves out `notice`"],
        );
    }

    #[test]
    fn real_configurations_do_not_stop_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/datasets/mqtt-broker-configs");
        let root = option_env!("FLEETWARD_DATASETS")
            .map_or(folder, |root| std::path::Path::new(root).join("mqtt-broker-configs"));
        let mut read = 0;
        for entry in std::fs::read_dir(&root).expect("set FLEETWARD_DATASETS to the folder of datasets") {
            let conf = entry.unwrap().path().join("mosquitto.conf");
            if let Ok(bytes) = std::fs::read(&conf) {
                let text = String::from_utf8_lossy(&bytes);
                let lines = text.lines().count();
                assert!(audit("m", &text).iter().all(|finding| (1..=lines).contains(&finding.line())));
                read += 1;
            }
        }
        assert!(read > 10, "only {read} configurations below {}", root.display());
    }
}
