//! The bad reports and topics through a real Mosquitto into the built program: devices get their
//! rejected answers, the counters of `/metrics` show them, good reports in between are accepted.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use fleet::{report, time::Timestamp};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    kinds::{self, Kind},
    mosquitto::{Mosquitto, Setup, Subscriber, Who, free_port, wait_for},
    table::{self, Row},
};

/// `serve` as a process with a source of reports; killed when dropped.
struct Program {
    dir: TempDir,
    api: u16,
    process: Child,
}

impl Program {
    fn start(broker: &Mosquitto) -> Self {
        let (dir, api) = (TempDir::new().unwrap(), free_port());
        let config = format!(
            "[data]\ndir = \"data\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n[[source.mqtt]]\nname = \"broker\"\n\
             host = \"127.0.0.1\"\nport = {}\ntls = {{ enabled = false }}\n",
            broker.port
        );
        fs::write(dir.path().join("fleetward.toml"), config).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_fleetward"))
            .args(["serve", "--config"])
            .arg(dir.path().join("fleetward.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let program = Self { dir, api, process };
        wait_for("fleetward to be ready", || program.text("/readyz"));
        program
    }

    /// The body of a page, if the answer is 200.
    fn text(&self, path: &str) -> Option<String> {
        let token = fs::read_to_string(self.dir.path().join("data/api-token")).ok()?;
        let mut stream = TcpStream::connect(("127.0.0.1", self.api)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            token.trim()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    /// The lines of `/metrics` that begin with `name`, by their label `label`.
    fn counters(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let text = self.text("/metrics").unwrap_or_default();
        let read = |line: &str| {
            let (_, rest) = line.strip_prefix(name)?.split_once(&format!("{label}=\""))?;
            let (word, rest) = rest.split_once('"')?;
            Some((word.to_owned(), rest.rsplit_once(' ')?.1.parse().ok()?))
        };
        text.lines().filter_map(read).collect()
    }

    fn refused(&self) -> BTreeMap<String, u64> {
        self.counters("fleetward_inputs_refused_total", "reason")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        if std::thread::panicking() {
            eprintln!(
                "--- fleetward's log ---\n{}",
                fs::read_to_string(self.dir.path().join("log")).unwrap()
            );
        }
    }
}

/// Devices that publish, and listen to their answers.
struct Devices<'a> {
    broker: &'a Mosquitto,
    answers: Subscriber,
    /// Report ids of good reports so far.
    good: u64,
}

impl Devices<'_> {
    /// The next answer: to which thing, in which encoding, whether accepted, and its bytes.
    fn answer(&self) -> (String, String, bool, Vec<u8>) {
        let (topic, payload) = self.answers.message();
        let levels: Vec<&str> = topic.split('/').collect();
        (levels[2].into(), levels[5].into(), levels[6] == "accepted", payload)
    }

    /// A good report, which must be accepted.
    fn good(&mut self) {
        self.good += 1;
        let report = format!(r#"{{"header":{{"report_id":{},"version":"1.0"}},"metrics":{{}}}}"#, self.good);
        self.broker.publish_bytes("$aws/things/good/defender/metrics/json", report.as_bytes(), &[]);
        let (thing, _, accepted, payload) = self.answer();
        assert!(thing == "good" && accepted, "{}", String::from_utf8_lossy(&payload));
        assert_eq!(json(&payload)["reportId"], self.good);
    }

    /// Publishes the rows of a table as reports of a thing each, which are all rejected as the table
    /// says. Returns how many had each reason.
    fn rejected(&mut self, kind: &Kind, encoding: &str) -> BTreeMap<String, u64> {
        let mut reasons = BTreeMap::new();
        for (index, row) in table::rows(kind).iter().enumerate() {
            let thing = format!("{encoding}-{index}");
            let topic = format!("$aws/things/{thing}/defender/metrics/{encoding}");
            self.broker.publish_bytes(&topic, &row.input, &[]);
            let answer = self.answer();
            assert_eq!((&*answer.0, &*answer.1, answer.2), (&*thing, encoding, false), "{}", row.title);
            let (reason, id, message) = parts(row);
            if encoding == "json" {
                check_json(&json(&answer.3), &thing, id, message);
            } else {
                check_cbor(&answer.3, &thing, id, message);
            }
            *reasons.entry(reason.to_owned()).or_default() += 1;
            if index % 8 == 0 {
                self.good();
            }
        }
        reasons
    }
}

/// Reason, report id and message of a row.
fn parts(row: &Row) -> (&str, Option<u64>, &str) {
    let (head, message) = row.expected.split_once(": ").unwrap();
    let (reason, id) = head.split_once(' ').unwrap();
    (reason, id.parse().ok(), message)
}

fn json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap()
}

fn check_json(answer: &Value, thing: &str, id: Option<u64>, message: &str) {
    assert_eq!(answer["thingName"], thing);
    assert_eq!(answer["status"], "REJECTED");
    assert_eq!(answer.get("reportId").and_then(Value::as_u64), id);
    assert_eq!(answer["statusDetails"]["ErrorCode"], "InvalidPayload");
    assert_eq!(answer["statusDetails"]["ErrorMessage"], message);
    assert!(answer["timestamp"].is_u64());
}

/// The answer ends with its time, as eight bytes.
fn check_cbor(answer: &[u8], thing: &str, id: Option<u64>, message: &str) {
    let millis = i64::from_be_bytes(*answer.last_chunk::<8>().unwrap());
    let expected =
        report::rejected_cbor(thing, id, "InvalidPayload", message, Timestamp::from_millis(millis));
    assert_eq!(String::from_utf8_lossy(answer), String::from_utf8_lossy(&expected));
}

/// Publishes to the topics of the table that the subscription lets through; the others do not even
/// arrive. Returns how many are foreign, and how many name an impossible thing.
fn publish_to_bad_topics(broker: &Mosquitto) -> (u64, u64) {
    let (mut foreign, mut things) = (0, 0);
    for row in table::rows(&kinds::TOPICS) {
        let Ok(topic) = std::str::from_utf8(&row.input) else { continue };
        let levels: Vec<&str> = topic.split('/').collect();
        let [root, "things", _, "defender", "metrics", _] = levels[..] else { continue };
        // Mosquitto itself takes no control characters.
        if root != "$aws" || topic.contains(char::is_control) {
            continue;
        }
        broker.publish_bytes(topic, b"{}", &[]);
        if row.expected == "foreign" { foreign += 1 } else { things += 1 }
    }
    (foreign, things)
}

#[test]
fn devices_are_told_and_counters_show_it() {
    let broker = Setup::plain().start();
    let mut program = Program::start(&broker);
    let filters = ["-q", "1", "-t", "$aws/things/+/defender/metrics/+/+"];
    let mut devices =
        Devices { broker: &broker, answers: broker.subscribe(&Who::Anonymous, &filters), good: 0 };
    devices.good();

    let mut expected = devices.rejected(&kinds::JSON, "json");
    for (reason, count) in devices.rejected(&kinds::CBOR, "cbor") {
        *expected.entry(reason).or_default() += count;
    }
    let (foreign, things) = publish_to_bad_topics(&broker);
    assert!(foreign >= 3 && things >= 2);
    devices.good();

    let shown = wait_for("the counters", || Some(program.refused()).filter(|shown| *shown == expected));
    assert!(shown.values().sum::<u64>() >= 60, "{shown:?}");
    let source = program.counters("fleetward_source_events_total", "what");
    assert_eq!((source["dropped_foreign"], source["dropped_thing"]), (foreign, things), "{source:?}");
    let journaled = program.text("/metrics").unwrap();
    assert!(journaled.contains(&format!("fleetward_inputs_journaled_total {}\n", devices.good)));
    assert!(program.process.try_wait().unwrap().is_none(), "it still runs");
    told_in_the_file(program.dir.path(), &expected);
}

/// The file of refused inputs has them too.
fn told_in_the_file(dir: &Path, expected: &BTreeMap<String, u64>) {
    let count: u64 = expected.values().sum();
    let reasons = wait_for("all refused inputs in the file", || {
        let text = fs::read_to_string(dir.join("data/refused.jsonl")).ok()?;
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).ok());
        let reasons: Option<Vec<String>> =
            lines.map(|line| Some(line?["reason"].as_str()?.to_owned())).collect();
        reasons.filter(|reasons| reasons.len() as u64 >= count)
    });
    let mut found = BTreeMap::new();
    reasons.into_iter().for_each(|reason| *found.entry(reason).or_default() += 1);
    assert_eq!(found, *expected);
}
