//! What the program says about one input of each kind.

use std::{fs, path::Path};

use brokers::{
    lifecycle::LifecycleDecoder,
    mosquitto::log::{Counters, LogDecoder},
    mqtt::{
        settings::{Connection, Settings},
        topics::{Class, Topics},
    },
    recorded::RecordedDecoder,
};
use detector::input::{Decoded, Decoder, SourceId};
use fleet::{
    problem::{Problem, Severity},
    report::{self, ReportBuf, ReportError},
    time::Timestamp,
};
use fleetward::{config, files};

/// A kind of input with its table.
pub(crate) struct Kind {
    pub(crate) file: &'static str,
    pub(crate) table: &'static str,
    /// Inputs are written in hexadecimal digits.
    pub(crate) is_hex: bool,
    /// What is said about an input; `fine` if nothing is wrong with it.
    pub(crate) said: fn(&[u8]) -> String,
}

macro_rules! kind {
    ($file:literal, $said:expr) => {
        Kind { file: $file, table: include_str!($file), is_hex: false, said: $said }
    };
}

pub(crate) const JSON: Kind = kind!("reports_json.txt", |bytes| report(report::decode_json, bytes));
pub(crate) const CBOR: Kind =
    Kind { is_hex: true, ..kind!("reports_cbor.txt", |bytes| report(report::decode_cbor, bytes)) };
pub(crate) const TOPICS: Kind = kind!("topics.txt", topic);
pub(crate) const LOG: Kind = kind!("log_lines.txt", log_line);
pub(crate) const LIFECYCLE: Kind = kind!("lifecycle.txt", lifecycle);
pub(crate) const RECORDED: Kind = kind!("recorded.txt", recorded);

/// All kinds.
pub(crate) const KINDS: [Kind; 10] = [
    JSON,
    CBOR,
    TOPICS,
    LOG,
    LIFECYCLE,
    RECORDED,
    kind!("profiles.txt", |bytes| problems(&behaviors::profile::parse_files(&file(bytes)).1)),
    kind!("actions.txt", |bytes| problems(&mitigations::action::parse_files(&file(bytes)).1)),
    kind!("configurations.txt", configuration),
    kind!("registries.txt", registry),
];

/// When the inputs of the tables arrive, unless a test says otherwise.
const ARRIVAL: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A line that tells the decoder of logs that it reads a log with timestamps.
pub(crate) const FIRST_LOG_LINE: &[u8] = b"1767225600: mosquitto version 2.0.11 starting";

fn report(decode: fn(&[u8], &mut ReportBuf) -> Result<(), ReportError>, bytes: &[u8]) -> String {
    match decode(bytes, &mut ReportBuf::default()) {
        Ok(()) => "fine".into(),
        Err(error) => format!("{} {}: {error}", error.reason, id(error.report_id)),
    }
}

fn id(report_id: Option<u64>) -> String {
    report_id.map_or_else(|| "-".into(), |id| id.to_string())
}

fn topic(bytes: &[u8]) -> String {
    let mut settings = Settings::new(SourceId(1), Connection::new("localhost", 1883, "fleetward"));
    settings.mosquitto_log = true;
    settings.lifecycle = true;
    // As the source reads the topic of a packet.
    match Topics::new(&settings).class(std::str::from_utf8(bytes).unwrap_or_default()) {
        Class::Wanted { .. } => "fine".into(),
        Class::Foreign => "foreign".into(),
        Class::BadThing(error) => error.to_string(),
    }
}

fn log_line(bytes: &[u8]) -> String {
    let mut decoder = LogDecoder::new();
    decode(&mut decoder, "", FIRST_LOG_LINE);
    let decoded = decode(&mut decoder, "", bytes);
    let counted = match decoder.counters() {
        Counters { unknown_lines: 1, .. } => "unknown line",
        Counters { cut_lines: 1, .. } => "cut line",
        Counters { ambiguous_lines: 1, .. } => "ambiguous line",
        Counters { unmatched_ends: 1, .. } => "unmatched end",
        _ => "",
    };
    match decoded {
        Decoded::Refused(refusal) => format!("{}: {refusal}", refusal.reason),
        Decoded::Relevant { .. } if counted.is_empty() => "fine".into(),
        Decoded::Irrelevant if counted.is_empty() => "without meaning".into(),
        Decoded::Relevant { .. } => format!("{counted}, journaled"),
        Decoded::Irrelevant => counted.into(),
    }
}

fn lifecycle(bytes: &[u8]) -> String {
    let (subject, payload) = subject_and_payload(bytes);
    match decode(&mut LifecycleDecoder::new(), subject, payload) {
        Decoded::Refused(refusal) => format!("{}: {refusal}", refusal.reason),
        Decoded::Relevant { .. } | Decoded::Irrelevant => "fine".into(),
    }
}

/// The client of the topic and the message.
pub(crate) fn subject_and_payload(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    (std::str::from_utf8(&bytes[..end]).unwrap(), &bytes[end + 1..])
}

fn recorded(bytes: &[u8]) -> String {
    match decode(&mut RecordedDecoder::new(), "", bytes) {
        Decoded::Refused(refusal) => format!("{} {}: {refusal}", refusal.reason, id(refusal.report_id)),
        Decoded::Relevant { .. } | Decoded::Irrelevant => "fine".into(),
    }
}

/// An input that is refused gives no event.
fn decode(decoder: &mut dyn Decoder, subject: &str, payload: &[u8]) -> Decoded {
    let mut events = 0;
    let decoded = decoder.decode(SourceId(1), ARRIVAL, subject, payload, &mut |_| events += 1);
    assert!(events == 0 || !matches!(decoded, Decoded::Refused(_)));
    decoded
}

fn file(bytes: &[u8]) -> Vec<(String, String)> {
    vec![("f.json".into(), String::from_utf8(bytes.to_vec()).unwrap())]
}

fn problems(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return "fine".into();
    }
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Warnings are left out: an almost empty configuration is warned about much that is not its fault.
fn configuration(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    let environment = |name: &str| (name == "SET").then(|| "secret".to_owned());
    let loaded = config::from_text("f.toml", text, Path::new("/nonexistent"), &environment);
    assert!(!format!("{:?}", loaded.problems).contains("secret\""));
    let errors = loaded.problems.into_iter().filter(|problem| problem.severity == Severity::Error);
    problems(&errors.collect::<Vec<_>>())
}

fn registry(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json");
    fs::write(&path, bytes).unwrap();
    let mut found = Vec::new();
    files::registry(&path, &mut found);
    problems(&found).replace(&path.display().to_string(), "r.json")
}
