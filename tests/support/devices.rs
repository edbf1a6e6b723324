//! Devices played by Mosquitto's clients, each from its own loopback address, and a broker that knows them.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{Ended, until};
use crate::mosquitto::{Mosquitto, Setup, Who};

pub(crate) const WATCHER: Who = Who::User("watcher", "watcher-pw");

/// A device: thing name, client id and user name are the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device<'a> {
    pub(crate) broker: &'a Mosquitto,
    pub(crate) name: &'static str,
    pub(crate) address: &'static str,
}

/// A broker with dynamic security, the user `sidecar` for reading, the administrator for acting, a
/// watcher who sees what gets through, and one user for each device.
pub(crate) fn broker(devices: &[&str]) -> Mosquitto {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let allow = |kind: &str, topic: &str| json!({"acltype": kind, "topic": topic, "allow": true});
    let role =
        |name: &str, acls: Vec<Value>| json!({"command": "createRole", "rolename": name, "acls": acls});
    let client = |name: &str, role: &str| {
        json!({"command": "createClient", "username": name, "password": format!("{name}-pw"),
               "roles": [{"rolename": role}]})
    };
    let mut commands = vec![
        role(
            "device",
            vec![allow("publishClientSend", "devices/#"), allow("publishClientSend", "$aws/things/#")],
        ),
        role(
            "sidecar",
            vec![
                allow("subscribePattern", "$aws/things/#"),
                allow("publishClientReceive", "$aws/things/#"),
                allow("publishClientSend", "$aws/things/#"),
            ],
        ),
        role(
            "watcher",
            vec![
                allow("subscribePattern", "#"),
                allow("subscribePattern", "$aws/things/#"),
                allow("publishClientReceive", "#"),
                allow("publishClientReceive", "$aws/things/#"),
                allow("publishClientSend", "watcher/#"),
            ],
        ),
        client("sidecar", "sidecar"),
        client("watcher", "watcher"),
    ];
    commands.extend(devices.iter().map(|name| client(name, "device")));
    administer(&broker, &json!({ "commands": commands }));
    broker
}

/// Runs commands of the dynamic-security plugin, which must all succeed, and gives the answer.
#[track_caller]
pub(crate) fn administer(broker: &Mosquitto, commands: &Value) -> Value {
    let topic = "$CONTROL/dynamic-security/v1";
    let output = Command::new("mosquitto_rr")
        .args(["-V", "5", "-h", "127.0.0.1", "-p", &broker.port.to_string(), "-u", "admin", "-P", "admin-pw"])
        .args(["-W", "20", "-t", topic, "-e", &format!("{topic}/response"), "-m", &commands.to_string()])
        .output()
        .expect("mosquitto_rr is installed");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let responses = answer["responses"].as_array().unwrap();
    assert!(responses.iter().all(|response| response.get("error").is_none()), "{answer}");
    answer
}

/// Source, log and control of the configuration for a broker of [`broker`].
pub(crate) fn sources(broker: &Mosquitto) -> String {
    let (port, log) = (broker.port, broker.file("m.log"));
    fs::write(broker.file("sidecar-password"), "sidecar-pw\n").unwrap();
    fs::write(broker.file("admin-password"), "admin-pw\n").unwrap();
    let dir = broker.dir.path().display();
    format!(
        "[[source.mqtt]]\nname = \"reports\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = {{ enabled = false }}\n\
         username = \"sidecar\"\npassword = {{ file = \"{dir}/sidecar-password\" }}\n\n\
         [[source.mosquitto_log]]\nname = \"broker-log\"\npath = \"{}\"\nfrom = \"start\"\ndebug = true\nsubscribe = true\n\n\
         [control.mosquitto]\nhost = \"127.0.0.1\"\nport = {port}\ntls = {{ enabled = false }}\n\
         username = \"admin\"\npassword = {{ file = \"{dir}/admin-password\" }}\n\n",
        log.display()
    )
}

/// A report of a device whose only news is which TCP ports are open.
pub(crate) fn report(id: u64, ports: &[u16]) -> String {
    let list: Vec<Value> = ports.iter().map(|port| json!({"port": port, "interface": "eth0"})).collect();
    json!({
        "header": {"report_id": id, "version": "1.0"},
        "metrics": {"listening_tcp_ports": {"ports": list, "total": ports.len()}},
    })
    .to_string()
}

impl Device<'_> {
    fn client(&self, id: &str, password: &str) -> Command {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &self.broker.port.to_string(), "-A", self.address]);
        command.args(["-i", id, "-u", self.name, "-P", password]);
        command
    }

    /// Publishes with QoS 1. What a quarantined device publishes looks delivered to it (MQTT 3.1.1).
    #[track_caller]
    pub(crate) fn publish(&self, topic: &str, payload: &str) {
        let password = format!("{}-pw", self.name);
        let output = self
            .client(self.name, &password)
            .args(["-q", "1", "-t", topic, "-m", payload])
            .output()
            .expect("mosquitto_pub is installed");
        assert!(output.status.success(), "{}: {output:?}", self.name);
    }

    /// Where this device sends its data.
    pub(crate) fn topic(&self) -> String {
        format!("devices/{}/data", self.name)
    }

    pub(crate) fn report(&self, id: u64, ports: &[u16]) {
        self.publish(&report_topic(self.name), &report(id, ports));
    }

    /// One login with a wrong password, under whatever client id.
    pub(crate) fn guess(&self, id: &str) {
        let output = self.client(id, "guessed").args(["-t", "x", "-m", "x"]).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
    }

    /// A connected session that can publish until it is dropped.
    pub(crate) fn session(&self) -> Session {
        let password = format!("{}-pw", self.name);
        let mut child = self
            .client(self.name, &password)
            .args(["-l", "-q", "1", "-t", &self.topic()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_pub is installed");
        let input = child.stdin.take().unwrap();
        self.broker.wait_log(&format!(" as {} (p", self.name));
        Session { input, _process: Ended(child) }
    }
}

/// Topic of a thing's JSON reports.
pub(crate) fn report_topic(thing: &str) -> String {
    format!("$aws/things/{thing}/defender/metrics/json")
}

/// A session of a device, see [`Device::session`].
#[derive(Debug)]
pub(crate) struct Session {
    input: std::process::ChildStdin,
    _process: Ended,
}

impl Session {
    pub(crate) fn say(&mut self, text: &str) {
        writeln!(self.input, "{text}").unwrap();
    }
}

/// Which devices get a message through to a subscriber, on their data topic and on that of their reports.
pub(crate) fn heard(broker: &Mosquitto, devices: &[Device<'_>]) -> Vec<String> {
    let watch = broker.subscribe(&WATCHER, &["-t", "devices/#", "-t", "$aws/things/#", "-t", "watcher/#"]);
    for device in devices {
        device.publish(&device.topic(), "are you there");
        device.publish(&format!("$aws/things/{}/probe", device.name), "are you there");
    }
    let (ok, said) = broker.publish(&WATCHER, &["-q", "1", "-t", "watcher/end", "-m", "x"]);
    assert!(ok, "{said}");
    let probe = b"are you there".to_vec();
    let heard = watch.messages_before("watcher/end").into_iter().filter(|(_, payload)| *payload == probe);
    let mut topics: Vec<String> = heard.map(|(topic, _)| topic).collect();
    topics.sort();
    topics
}

/// The topics of [`heard`] for devices that may speak.
pub(crate) fn both_topics(names: &[&str]) -> Vec<String> {
    let mut topics: Vec<String> = names
        .iter()
        .flat_map(|name| [format!("$aws/things/{name}/probe"), format!("devices/{name}/data")])
        .collect();
    topics.sort();
    topics
}

/// Waits until these devices, and no others of `devices`, are heard.
#[track_caller]
pub(crate) fn until_heard(broker: &Mosquitto, devices: &[Device<'_>], names: &[&str]) {
    let wanted = both_topics(names);
    until(&format!("{names:?} are heard"), || {
        let heard = heard(broker, devices);
        if heard == wanted { Ok(()) } else { Err(format!("{heard:?}")) }
    });
}
