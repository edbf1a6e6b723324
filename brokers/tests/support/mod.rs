//! Real Mosquitto processes for tests, and the clients that come with it.
//!
//! Included with `#[path]` by the tests that need a broker. Everything runs on loopback, on free
//! ports, in a folder that goes away with the test; the broker's log is printed if the test fails.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "test support; each including test uses a part of it"
)]

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub mod pki;

/// Longest wait for anything in a test.
pub const PATIENCE: Duration = Duration::from_secs(20);
const DYNSEC: &str = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so";

/// Waits until `ready` gives a value.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A broker process.
#[derive(Debug)]
pub struct Mosquitto {
    pub port: u16,
    pub dir: TempDir,
    conf: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

/// The configuration of a broker, beside listener, log and folders.
#[derive(Debug, Default)]
pub struct Setup {
    lines: String,
    listener: String,
    dynsec: Option<(String, String)>,
    passwords: Vec<(String, String)>,
    pki: bool,
}

impl Setup {
    /// Anonymous clients may do all.
    pub fn plain() -> Self {
        Self::default().line("allow_anonymous true")
    }

    /// Users with passwords; anonymous ones are refused.
    pub fn passwords(users: &[(&str, &str)]) -> Self {
        let mut setup = Self::default().line("allow_anonymous false");
        setup.passwords = users.iter().map(|(user, password)| ((*user).into(), (*password).into())).collect();
        setup
    }

    /// Dynamic security with one administrator.
    pub fn dynsec(admin: &str, password: &str) -> Self {
        let mut setup = Self::default().line("allow_anonymous false");
        setup.dynsec = Some((admin.into(), password.into()));
        setup
    }

    /// TLS with client certificates, whose common name is the user name. Files: see [`pki`].
    pub fn tls(mut self) -> Self {
        self.pki = true;
        self
    }

    /// A further line of the configuration.
    pub fn line(mut self, line: &str) -> Self {
        writeln!(self.lines, "{line}").unwrap();
        self
    }

    /// Writes the files and starts the broker.
    pub fn start(self) -> Mosquitto {
        let dir = TempDir::new().unwrap();
        let mut broker = Mosquitto {
            port: 0,
            conf: dir.path().join("m.conf"),
            log: dir.path().join("m.log"),
            dir,
            process: None,
        };
        let mut extra = self.lines.clone();
        if let Some((admin, password)) = &self.dynsec {
            extra += &broker.init_dynsec(admin, password);
        }
        if !self.passwords.is_empty() {
            extra += &broker.init_passwords(&self.passwords);
        }
        let listener = if self.pki { broker.init_pki() } else { String::new() };
        for _ in 0..5 {
            broker.port = free_port();
            broker.write_conf(&listener, &extra);
            if broker.try_start() {
                return broker;
            }
        }
        panic!("mosquitto does not start:\n{}", broker.log());
    }
}

impl Mosquitto {
    fn write_conf(&self, listener: &str, extra: &str) {
        let dir = self.dir.path().display();
        let conf = format!(
            "user root\npersistence true\npersistence_location {dir}/\nmax_queued_messages 0\n\
             log_dest file {}\nlog_dest topic\nlog_type all\nlog_timestamp_format %Y-%m-%dT%H:%M:%S%z\n\
             {extra}listener {} 127.0.0.1\n{listener}",
            self.log.display(),
            self.port
        );
        fs::write(&self.conf, conf).unwrap();
    }

    fn init_dynsec(&self, admin: &str, password: &str) -> String {
        let file = self.dir.path().join("dynsec.json");
        let output = Command::new("mosquitto_ctrl")
            .args(["dynsec", "init", file.to_str().unwrap(), admin, password])
            .output()
            .expect("mosquitto_ctrl is installed");
        assert!(output.status.success(), "{output:?}");
        format!("plugin {DYNSEC}\nplugin_opt_config_file {}\n", file.display())
    }

    fn init_passwords(&self, users: &[(String, String)]) -> String {
        let file = self.dir.path().join("passwords");
        fs::write(&file, "").unwrap();
        for (user, password) in users {
            let output = Command::new("mosquitto_passwd")
                .args(["-b", file.to_str().unwrap(), user, password])
                .output()
                .expect("mosquitto_passwd is installed");
            assert!(output.status.success(), "{output:?}");
        }
        format!("password_file {}\n", file.display())
    }

    fn init_pki(&self) -> String {
        let files = pki::Pki::create(self.dir.path());
        format!(
            "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\n",
            files.ca.display(),
            files.server.cert.display(),
            files.server.key.display()
        )
    }

    fn try_start(&mut self) -> bool {
        let process = Command::new("mosquitto")
            .args(["-c", self.conf.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.dir.path().join("stderr")).unwrap())
            .spawn()
            .expect("mosquitto is installed");
        self.process = Some(process);
        wait_for("mosquitto to listen or end", || {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Some(true);
            }
            let ended = self.process.as_mut().unwrap().try_wait().unwrap().is_some();
            ended.then_some(false)
        })
    }

    /// Ends the broker the regular way, so that it saves its sessions.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
        wait_for("mosquitto to end", || process.try_wait().unwrap());
    }

    /// Starts it again on the same port, with the same files.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "still running");
        wait_for("the port to be free again", || self.try_start().then_some(()));
    }

    /// Process id while it runs.
    pub fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// The broker's log so far.
    pub fn log(&self) -> String {
        let read = |path: &Path| fs::read(path).unwrap_or_default();
        let log = String::from_utf8_lossy(&read(&self.log)).into_owned();
        log + &String::from_utf8_lossy(&read(&self.dir.path().join("stderr")))
    }

    /// Lines of the log that hold `text`.
    pub fn log_count(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until a line of the log holds `text`.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait_for(&format!("`{text}` in the broker's log"), || (self.log_count(text) > 0).then_some(()));
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A client program for this broker, with TLS arguments if `cert` names a certificate.
    fn client(&self, program: &str, who: &Who) -> Command {
        let mut command = Command::new("stdbuf");
        command.args(["-oL", program, "-p", &self.port.to_string()]);
        match who {
            Who::Anonymous => command.args(["-h", "127.0.0.1"]),
            Who::User(user, password) => command.args(["-h", "127.0.0.1", "-u", user, "-P", password]),
            Who::Certificate(name) => {
                let path = |suffix: &str| self.file(&format!("{name}.{suffix}")).to_str().unwrap().to_owned();
                let ca = self.file("ca.pem");
                command.args(["-h", "localhost", "--cafile", ca.to_str().unwrap()]);
                command.args(["--cert", &path("pem"), "--key", &path("key")])
            }
        };
        command
    }

    /// Publishes with `mosquitto_pub` and waits for its end. Returns whether it succeeded, and what it said.
    pub fn publish(&self, who: &Who, args: &[&str]) -> (bool, String) {
        let output =
            self.client("mosquitto_pub", who).args(args).output().expect("mosquitto_pub is installed");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Publishes `payload` with QoS 1 as an anonymous client.
    #[track_caller]
    pub fn publish_bytes(&self, topic: &str, payload: &[u8], args: &[&str]) {
        let file = self.file("payload");
        fs::write(&file, payload).unwrap();
        let fixed = ["-q", "1", "-t", topic, "-f", file.to_str().unwrap()];
        let (ok, said) = self.publish(&Who::Anonymous, &[&fixed, args].concat());
        assert!(ok, "{said}");
    }

    /// Publishes each line as a message, through one connection.
    pub fn publish_lines(&self, topic: &str, lines: &str, args: &[&str]) {
        let file = self.file("lines");
        fs::write(&file, lines).unwrap();
        let output = self
            .client("mosquitto_pub", &Who::Anonymous)
            .args(["-l", "-t", topic])
            .args(args)
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// A client that stays connected until dropped, without subscribing to anything.
    pub fn hold(&self, who: &Who, id: &str) -> Held {
        let process = self
            .client("mosquitto_pub", who)
            .args(["-l", "-t", "unused", "-i", id])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_pub is installed");
        self.wait_log(&format!(" as {id} (p"));
        Held(process)
    }

    /// Starts `mosquitto_sub` and waits until it is subscribed.
    pub fn subscribe(&self, who: &Who, args: &[&str]) -> Subscriber {
        let subscriber = self.try_subscribe(who, args);
        subscriber.wait_subscribed();
        subscriber
    }

    /// Starts `mosquitto_sub`. It connects again by itself when it is thrown out.
    pub fn try_subscribe(&self, who: &Who, args: &[&str]) -> Subscriber {
        let mut process = self
            .client("mosquitto_sub", who)
            .args(["-d", "-F", "MESSAGE %t %x"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_sub is installed");
        let output = BufReader::new(process.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Subscriber { process, lines }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(80).collect();
            eprintln!("--- the broker's log ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A connected client, see [`Mosquitto::hold`].
#[derive(Debug)]
pub struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Who a client is.
#[derive(Clone, Debug)]
pub enum Who {
    Anonymous,
    User(&'static str, &'static str),
    /// Common name; the files are made with [`pki::Pki::client`].
    Certificate(&'static str),
}

/// A running `mosquitto_sub`.
#[derive(Debug)]
pub struct Subscriber {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Subscriber {
    fn wait_subscribed(&self) {
        let line = self.next_line(PATIENCE, |line| line.starts_with("Subscribed"));
        let line = line.expect("mosquitto_sub to be subscribed");
        assert!(!line.contains("128") && !line.contains("135"), "subscription refused: {line}");
    }

    fn next_line(&self, patience: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
            if wanted(&line) {
                return Some(line);
            }
        }
    }

    /// The broker's answers to the subscriptions, once they are there, such as `0, 128`.
    pub fn subscribed(&self) -> Option<String> {
        let line = self.next_line(Duration::from_millis(50), |line| line.starts_with("Subscribed"))?;
        line.split_once("): ").map(|(_, answers)| answers.to_owned())
    }

    /// Topic and payload of the next message.
    #[track_caller]
    pub fn message(&self) -> (String, Vec<u8>) {
        let line = self.next_line(PATIENCE, |line| line.starts_with("MESSAGE ")).expect("a message");
        parse(&line)
    }

    /// Messages that arrived up to the one on topic `last`, without it: to show that others did *not* arrive.
    #[track_caller]
    pub fn messages_before(&self, last: &str) -> Vec<(String, Vec<u8>)> {
        let mut seen = Vec::new();
        loop {
            let message = self.message();
            if message.0 == last {
                return seen;
            }
            seen.push(message);
        }
    }
}

fn parse(line: &str) -> (String, Vec<u8>) {
    let rest = line.strip_prefix("MESSAGE ").unwrap();
    let (topic, hex) = rest.rsplit_once(' ').unwrap();
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (topic.into(), (0..hex.len()).step_by(2).map(digits).collect())
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
