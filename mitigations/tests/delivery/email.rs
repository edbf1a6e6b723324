//! A real mail server, in each way of protecting the connection.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use crate::support::{Running, SECRET, alarm, alert, certificates, run, until};

/// The server of `tests/support/smtp_server.py`. It ends when its standard input closes.
struct Server {
    port: u64,
    messages: Arc<Mutex<Vec<Value>>>,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "the test run says which Python has what it needs")]
    fn start(arguments: &[&str]) -> Self {
        let python = std::env::var("FLEETWARD_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/smtp_server.py");
        let mut child = Command::new(python)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs python3; on Debian: apt-get install python3");
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("this test needs aiosmtpd: pip install aiosmtpd").unwrap();
        let port = serde_json::from_str::<Value>(&first).unwrap()["listening"].as_u64().unwrap();
        let messages: Arc<Mutex<Vec<Value>>> = Arc::default();
        let received = Arc::clone(&messages);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                received.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { port, messages, child, stdin }
    }

    async fn received(&self, count: usize) -> Vec<Value> {
        until(&format!("{count} messages arrived"), || self.messages.lock().unwrap().len() >= count).await;
        self.messages.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.child.wait().unwrap();
    }
}

fn start(folder: &Path, port: u64, sink: &str) -> Running {
    let options = format!(
        "outbox = {{ attempts_max = 4, retry_first_ms = 1, retry_max_secs = 1 }}\n\
         [email.oncall]\nhost = \"localhost\"\nport = {port}\nfrom = \"Fleetward <fleetward@example.org>\"\n{sink}"
    );
    run(folder, &options)
}

fn data(message: &Value) -> String {
    message["data"].as_str().unwrap().replace("\r\n", "\n")
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let head = message.split("\n\n").next().unwrap();
    let line = head.lines().find(|line| line.starts_with(name)).unwrap();
    line.strip_prefix(name).unwrap().trim_start_matches(": ")
}

#[tokio::test]
async fn starttls_and_implicit_tls_with_login() {
    for mode in ["starttls", "implicit"] {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let arguments =
            ["--mode", mode, "--cert", &cert, "--key", &key, "--user", "fleet", "--password", SECRET];
        let server = Server::start(&arguments);
        let sink = format!(
            "tls = \"{mode}\"\nto = [\"Ops <ops@example.org>\"]\nca_file = \"{}\"\nuser = \"fleet\"\npassword = {{ env = \"P\" }}",
            path("ca.pem")
        );
        let running = start(folder.path(), server.port, &sink);
        let alert = alert("pump-17");
        running.send(std::slice::from_ref(&alert));
        running.settled().await;
        let messages = server.received(1).await;
        let message = &messages[0];
        assert_eq!(
            (message["tls"].as_bool(), message["user"].as_str()),
            (Some(true), Some("fleet")),
            "{mode}"
        );
        assert_eq!(message["to"][0], "ops@example.org");
        let text = data(message);
        assert_eq!(header(&text, "Subject"), "[Fleetward] in-alarm: pumps/quiet on pump-17");
        assert_eq!(header(&text, "Message-ID"), format!("<{}@example.org>", alert.id()));
        for part in [
            "multipart/alternative",
            "text/plain",
            "text/html",
            "Value:         212",
            "Expected:      less-than-equals 50 in 300 s",
            "Since:         2025-01-01T00:10:00.000Z",
            "Done about it: `quarantine` is being carried out",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_where_tls_is_missing_or_untrusted() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let cases = [
        (vec!["--mode", "plain"], "tls = \"starttls\"", "STARTTLS"),
        (vec!["--mode", "starttls", "--cert", &cert, "--key", &key], "tls = \"starttls\"", "UnknownIssuer"),
        (vec!["--mode", "implicit", "--cert", &cert, "--key", &key], "tls = \"implicit\"", "UnknownIssuer"),
    ];
    for (n, (arguments, sink, reason)) in cases.into_iter().enumerate() {
        let server = Server::start(&arguments);
        let own = folder.path().join(n.to_string());
        let running = start(&own, server.port, &format!("{sink}\nto = [\"ops@example.org\"]"));
        running.send(&[alert("pump-17")]);
        running.settled().await;
        let letters = running.outbox.dead_letters(10).unwrap();
        assert!(letters[0].reason.contains(reason), "{}", letters[0].reason);
        assert_eq!(server.messages.lock().unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_failure_without_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--mode", "plain", "--user", "fleet", "--password", "another one"]);
    let sink = "tls = \"none\"\nto = [\"ops@example.org\"]\nuser = \"fleet\"\npassword = { env = \"P\" }";
    let running = start(folder.path(), server.port, sink);
    running.send(&[alert("pump-17")]);
    running.settled().await;
    let letters = running.outbox.dead_letters(10).unwrap();
    assert_eq!(letters[0].attempts, 4, "it may be mended: {}", letters[0].reason);
    assert!(!letters[0].reason.contains(SECRET));
}

#[tokio::test]
async fn greylisting_is_waited_out_and_one_refused_recipient_silences_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--greylist", "2", "--refuse", "gone@example.org"]);
    let sink = "tls = \"none\"\nto = [\"gone@example.org\", \"ops@example.org\"]";
    let running = start(folder.path(), server.port, sink);
    running.send(&[alert("pump-17")]);
    running.settled().await;
    let messages = server.received(1).await;
    assert_eq!(messages[0]["to"], serde_json::json!(["ops@example.org"]));
    assert_eq!(running.outbox.stats()[0].delivered_total, 1);

    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), server.port, "tls = \"none\"\nto = [\"gone@example.org\"]");
    running.send(&[alert("pump-17")]);
    running.settled().await;
    let letters = running.outbox.dead_letters(10).unwrap();
    assert_eq!(letters[0].attempts, 1, "550 is final: {}", letters[0].reason);
}

#[tokio::test]
async fn a_hostile_thing_name_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    let running = start(folder.path(), server.port, "tls = \"none\"\nto = [\"ops@example.org\"]");
    let name = "x\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script>\r\n.\r\nMAIL FROM:<a@b>";
    let hostile = mitigations::alert::of_alarm(&alarm(name), vec![]).unwrap();
    running.send(&[hostile]);
    running.settled().await;
    let messages = server.received(1).await;
    assert_eq!(messages[0]["to"], serde_json::json!(["ops@example.org"]));
    let text = data(&messages[0]);
    let head = text.split("\n\n").next().unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    let html = text.split("text/html").nth(1).unwrap();
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{html}");
    assert_eq!(messages.len(), 1);
}
