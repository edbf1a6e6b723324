//! `fleetward serve` as a process, and the receiver of its alerts.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde_json::Value;

use super::{
    broker::{Broker, PASSWORD, Process, free_port, until},
    support::rules,
};

pub(crate) struct Fleetward {
    pub(crate) process: Process,
    data: PathBuf,
    api: u16,
}

/// When the alarm of each thing reached the webhook.
pub(crate) type Alarms = Arc<Mutex<HashMap<String, Instant>>>;

/// Starts the program in `dir` beside `broker`, acting on what it finds.
pub(crate) fn start(dir: &Path, broker: &Broker, webhook: u16) -> Result<Fleetward, Box<dyn Error>> {
    for folder in ["profiles", "actions"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    fs::write(dir.join("profiles/ten.json"), rules::profile(&rules::report_rules(1)))?;
    let action = r#"{"actionName":"quarantine","actionParams":{"addThingsToThingGroupParams":{"thingGroupNames":["quarantine"]}}}"#;
    fs::write(dir.join("actions/quarantine.json"), action)?;
    fs::write(dir.join("password"), PASSWORD)?;
    let api = free_port()?;
    let config = dir.join("fleetward.toml");
    fs::write(&config, configuration(dir, broker.port, webhook, api))?;
    let log = fs::File::create(dir.join("fleetward.log"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetward"));
    command.args(["serve", "--config"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let fleetward = Fleetward { process: Process(command.spawn()?), data: dir.join("data"), api };
    let ready = until("fleetward is ready", || fleetward.get("/readyz").is_ok_and(|(code, _)| code == 200));
    ready.map_err(|error| {
        format!("{error}\n{}", fs::read_to_string(dir.join("fleetward.log")).unwrap_or_default())
    })?;
    Ok(fleetward)
}

fn configuration(dir: &Path, port: u16, webhook: u16, api: u16) -> String {
    let place = |user: &str| {
        format!(
            "host = \"127.0.0.1\"\nport = {port}\ntls = {{ enabled = false }}\nusername = \"{user}\"\n\
             password = {{ file = \"password\" }}\n"
        )
    };
    format!(
        "[data]\ndir = \"data\"\n[files]\nprofiles = \"profiles\"\nactions = \"actions\"\n\
         [[source.mqtt]]\nname = \"reports\"\n{}\
         [[source.mosquitto_log]]\nname = \"broker-log\"\npath = \"{}\"\nfrom = \"start\"\n\
         [control.mosquitto]\n{}\
         [response]\nacting = true\n[response.limits]\nthings_max = 10000\nspan_secs = 60\n\
         [[response.rules]]\naction = \"quarantine\"\n\
         [alerts.webhook.receiver]\nurl = \"http://127.0.0.1:{webhook}/\"\n\
         [api]\nlisten = \"127.0.0.1:{api}\"\n[log]\nlevel = \"warn\"\n",
        place("sidecar"),
        dir.join("mosquitto.log").display(),
        place("admin"),
    )
}

impl Fleetward {
    /// Reports in the journal; counted again from each start.
    pub(crate) fn journaled(&self) -> u64 {
        self.counter("fleetward_events_total{kind=\"report\"}")
    }

    /// Log lines understood: connections of devices.
    pub(crate) fn connects(&self) -> u64 {
        self.counter("fleetward_events_total{kind=\"connect\"}")
    }

    pub(crate) fn commits(&self) -> u64 {
        self.counter("fleetward_journal_commits_total")
    }

    fn counter(&self, name: &str) -> u64 {
        let Ok((200, text)) = self.get("/metrics") else { return 0 };
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    pub(crate) fn get(&self, path: &str) -> io::Result<(u16, String)> {
        let token = fs::read_to_string(self.data.join("api-token")).unwrap_or_default();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.api))?;
        let token = token.trim();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Ok((code, body.to_owned()))
    }
}

/// Takes every request on a free port and remembers when each thing's alarm came.
pub(crate) fn receive() -> io::Result<(u16, Alarms)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let alarms = Alarms::default();
    let shared = Arc::clone(&alarms);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let alarms = Arc::clone(&shared);
            std::thread::spawn(move || serve(stream, &alarms));
        }
    });
    Ok((port, alarms))
}

/// One connection, request after request, until it ends.
fn serve(mut stream: TcpStream, alarms: &Alarms) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line)? > 2 {
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let arrived = Instant::now();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        if let Some(thing) = alarmed(&body) {
            alarms.lock().unwrap_or_else(PoisonError::into_inner).entry(thing).or_insert(arrived);
        }
    }
}

/// The thing of an alert, whatever its kind: the alarm is the first of each thing.
fn alarmed(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    find_device(&value).map(str::to_owned)
}

fn find_device(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => text.starts_with("dev-").then_some(text.as_str()),
        Value::Array(items) => items.iter().find_map(find_device),
        Value::Object(members) => members.values().find_map(find_device),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}
