//! What all tests need: the program as a process, devices, receivers of alerts, and the journal's truth.

pub(crate) mod devices;
pub(crate) mod mail;
pub(crate) mod program;
pub(crate) mod truth;
pub(crate) mod webhook;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Longest wait for anything: generous, since two busy cores do everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `ready` gives a value, and says what it looked at if it never does.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ready() {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < deadline, "waited in vain until {what}; last seen: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As [`until`], for a condition on something that can be shown.
#[track_caller]
pub(crate) fn until_is<T: std::fmt::Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    is: impl Fn(&T) -> bool,
) -> T {
    until(what, || {
        let seen = look();
        if is(&seen) { Ok(seen) } else { Err(format!("{seen:?}")) }
    })
}

/// The Python that has what the tests need.
pub(crate) fn python() -> Command {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment which Python to use")]
    let python = std::env::var("FLEETWARD_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    Command::new(python)
}

/// A path in this folder.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/support/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Lines that a process has written so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Collects in the background until `from` ends.
    pub(crate) fn of(from: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        lines.and(from);
        lines
    }

    /// Collects from a second stream, too.
    pub(crate) fn and(&self, from: impl Read + Send + 'static) {
        let own = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                own.0.lock().unwrap().push(line);
            }
        });
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A process that ends with the test.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
