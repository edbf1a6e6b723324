//! A real SMTP server (`smtp_server.py`) that wants STARTTLS and a login.

use std::{
    path::{Path, PathBuf},
    process::{ChildStdin, Stdio},
};

use serde_json::Value;

use super::{Ended, Lines, python, script, until};
use crate::mosquitto::pki::Pki;

const PASSWORD: &str = "mail password";

/// The server; it ends with the test.
#[derive(Debug)]
pub(crate) struct MailServer {
    port: u64,
    ca: PathBuf,
    password: PathBuf,
    lines: Lines,
    // The server ends when its standard input closes.
    _input: ChildStdin,
    _process: Ended,
}

impl MailServer {
    /// Starts it with a certificate for `localhost` of an authority of its own, made in `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        let pki = Pki::create(folder);
        let password = folder.join("mail-password");
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        let mut child = python()
            .arg(script("smtp_server.py"))
            .args(["--mode", "starttls", "--user", "fleetward", "--password", PASSWORD, "--cert"])
            .arg(&pki.server.cert)
            .arg("--key")
            .arg(&pki.server.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python is installed");
        let input = child.stdin.take().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        let process = Ended(child);
        let first = until("the mail server listens (is aiosmtpd installed?)", || {
            lines.all().first().cloned().ok_or_else(String::new)
        });
        let port = serde_json::from_str::<Value>(&first).unwrap()["listening"].as_u64().unwrap();
        Self { port, ca: pki.ca, password, lines, _input: input, _process: process }
    }

    /// The `[alerts.email.oncall]` table.
    pub(crate) fn config(&self) -> String {
        format!(
            "[alerts.email.oncall]\nhost = \"localhost\"\nport = {}\nuser = \"fleetward\"\n\
             password = {{ file = \"{}\" }}\nca_file = \"{}\"\nfrom = \"Fleetward <fleetward@example.org>\"\n\
             to = [\"ops@example.org\"]\n\n",
            self.port,
            self.password.display(),
            self.ca.display()
        )
    }

    /// Every message that arrived.
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.lines.all().iter().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for a message whose subject has `text`, and gives its content.
    #[track_caller]
    pub(crate) fn message(&self, text: &str) -> String {
        until(&format!("a mail with `{text}` arrives"), || {
            let messages = self.messages();
            let found = messages.iter().find(|message| {
                let data = message["data"].as_str().unwrap();
                data.lines().any(|line| line.starts_with("Subject:") && line.contains(text))
            });
            let message = found.ok_or_else(|| format!("{} messages", messages.len()))?;
            assert_eq!((&message["tls"], &message["user"]), (&Value::Bool(true), &Value::from("fleetward")));
            Ok(message["data"].as_str().unwrap().to_owned())
        })
    }
}
