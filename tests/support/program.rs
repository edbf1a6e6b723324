//! The built program: its files, its commands, and `serve` as a process.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ended, until};
use crate::mosquitto::free_port;

/// A folder with configuration, profiles, actions and data.
#[derive(Debug)]
pub(crate) struct Home {
    dir: TempDir,
    /// The configuration without the parts that [`Home`] writes itself.
    config: Mutex<String>,
    api: Mutex<u16>,
    /// More lines of `[api]`.
    api_more: Mutex<String>,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    /// With empty folders of profiles and actions.
    pub(crate) fn new() -> Self {
        let home = Self {
            dir: TempDir::new().unwrap(),
            config: Mutex::default(),
            api: Mutex::new(free_port()),
            api_more: Mutex::default(),
        };
        for folder in ["profiles", "actions"] {
            fs::create_dir(home.path(folder)).unwrap();
        }
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes a security profile for all things.
    pub(crate) fn profile(&self, name: &str, behaviors: &Value) {
        self.write(&format!("profiles/{name}.json"), &profile(name, behaviors));
    }

    /// Writes the action `quarantine`.
    pub(crate) fn quarantine_action(&self) {
        let action = json!({
            "actionName": "quarantine",
            "actionParams": {"addThingsToThingGroupParams": {"thingGroupNames": ["quarantine"]}},
        });
        self.write("actions/quarantine.json", &action.to_string());
    }

    /// Writes the configuration: `config`, and the data folder, files and local endpoint of this home.
    pub(crate) fn configure(&self, config: &str) {
        config.clone_into(&mut self.config.lock().unwrap());
        self.write_config();
    }

    /// Adds a line to `[api]`.
    pub(crate) fn api_line(&self, line: &str) {
        self.api_more.lock().unwrap().push_str(&format!("{line}\n"));
        self.write_config();
    }

    /// Where the endpoint answers with TLS.
    pub(crate) fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.api.lock().unwrap())
    }

    fn write_config(&self) {
        let (config, api) = (self.config.lock().unwrap(), self.api.lock().unwrap());
        let more = self.api_more.lock().unwrap();
        let text = format!(
            "[data]\ndir = \"data\"\n\n[files]\nprofiles = \"profiles\"\nactions = \"actions\"\n\n\
             [api]\nlisten = \"127.0.0.1:{api}\"\n{more}\n{config}"
        );
        self.write("fleetward.toml", &text);
    }

    /// Runs a command with this home's configuration to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let config = self.path("fleetward.toml");
        run(&[arguments, &["--config", config.to_str().unwrap()]].concat())
    }

    /// As [`Home::run`]; the command must succeed. Gives what it printed.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said.out
    }

    /// Starts `serve` and waits until it runs and all sources are connected.
    #[track_caller]
    pub(crate) fn serve(&self) -> Serve<'_> {
        let serve = self.start();
        until("fleetward is ready", || match self.http("/readyz") {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}; its log: {}", serve.log())),
        });
        serve
    }

    /// Starts `serve` and waits for nothing.
    pub(crate) fn start(&self) -> Serve<'_> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_fleetward"))
            .args(["serve", "--config"])
            .arg(self.path("fleetward.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Serve { home: self, process: Ended(child) }
    }

    /// `GET path` with the bearer token: status and body.
    fn http(&self, path: &str) -> Result<(u16, String), String> {
        let token = fs::read_to_string(self.path("data/api-token")).unwrap_or_default();
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", *self.api.lock().unwrap()))?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            let token = token.trim();
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|error| error.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no whole answer")?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no status")?;
        Ok((code, body.to_owned()))
    }

    /// `GET path` of the local endpoint; nothing if it does not answer.
    pub(crate) fn try_get(&self, path: &str) -> Result<Value, String> {
        match self.http(path)? {
            (200, body) => serde_json::from_str(&body).map_err(|error| format!("{error}: {body}")),
            other => Err(format!("{other:?}")),
        }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap()
    }

    #[track_caller]
    pub(crate) fn rows(&self, what: &str) -> Vec<Value> {
        let rows = self.get(&format!("/fleetward/v1/{what}?limit=10000"));
        rows.as_array().unwrap().clone()
    }

    /// Things with an active alarm, with the behavior, sorted.
    #[track_caller]
    pub(crate) fn alarmed(&self) -> Vec<(String, String)> {
        let text = |row: &Value, at: &str| row.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned();
        let alarms = self.rows("alarms");
        let mut names: Vec<_> =
            alarms.iter().map(|row| (text(row, "/entity/thing"), text(row, "/behavior"))).collect();
        names.sort();
        names
    }

    /// Thing and state of each task, sorted.
    #[track_caller]
    pub(crate) fn tasks(&self) -> Vec<(String, String)> {
        let text = |row: &Value, at: &str| row.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned();
        let tasks = self.rows("tasks");
        let mut names: Vec<_> =
            tasks.iter().map(|row| (text(row, "/thing"), text(row, "/state/name"))).collect();
        names.sort();
        names
    }

    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- fleetward's log ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Said {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fleetward")).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A security profile for all things, as the AWS CLI takes it.
pub(crate) fn profile(name: &str, behaviors: &Value) -> String {
    json!({
        "securityProfileName": name,
        "behaviors": behaviors,
        "fleetward": {"targets": ["arn:aws:iot:eu-central-1:123456789012:all/things"]},
    })
    .to_string()
}

/// A running `fleetward serve`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Serve<'a> {
    home: &'a Home,
    process: Ended,
}

impl Serve<'_> {
    fn log(&self) -> String {
        self.home.log()
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.0.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// SIGHUP, and waits until it was heeded: until the log has one more line with `told`.
    #[track_caller]
    pub(crate) fn reload(&self, told: &str) {
        let before = self.log().matches(told).count();
        self.signal(Signal::HUP);
        until(&format!("`{told}` is logged"), || {
            if self.log().matches(told).count() > before { Ok(()) } else { Err(self.log()) }
        });
    }

    /// SIGTERM, and waits for its end, which must be a good one.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = until("fleetward ends", || match self.process.0.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(self.home.log()),
        });
        assert!(status.success(), "{status}: {}", self.home.log());
    }

    /// SIGKILL, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Whether it has not ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.0.try_wait().unwrap().is_none()
    }
}
