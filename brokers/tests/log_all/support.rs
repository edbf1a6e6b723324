//! Decoding of whole logs, and events as text.

use std::path::PathBuf;

use brokers::mosquitto::log::LogDecoder;
use detector::input::{Decoded, Decoder, SourceId};
use fleet::{
    event::{Connect, Event, EventKind},
    time::Timestamp,
};

/// The source of all tests that have one.
pub(crate) const SOURCE: SourceId = SourceId(3);

/// Folder of the datasets.
pub(crate) fn datasets() -> PathBuf {
    let folder = std::env::var_os("FLEETWARD_DATASETS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/datasets"),
        PathBuf::from,
    );
    assert!(
        folder.join("mosquitto-logs/README.md").is_file(),
        "`{}` is not the folder of the datasets; set FLEETWARD_DATASETS to it",
        folder.display()
    );
    folder
}

pub(crate) fn capture(name: &str) -> Vec<u8> {
    let path = datasets().join("mosquitto-logs").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn lines(log: &[u8]) -> impl Iterator<Item = &[u8]> {
    log.strip_suffix(b"\n").unwrap_or(log).split(|&byte| byte == b'\n')
}

/// An event as one line, without its time.
pub(crate) fn text(kind: &EventKind<'_>) -> String {
    let ip = |ip: Option<std::net::IpAddr>| ip.map_or("?".to_owned(), |ip| ip.to_string());
    match kind {
        EventKind::Connect(Connect { client, user, ip: from, bridge }) => {
            let bridge = if *bridge { " bridge" } else { "" };
            format!("connect `{}` user={} ip={}{bridge}", short(client), user.unwrap_or("-"), ip(*from))
        }
        EventKind::Disconnect { client, reason, raw } => {
            format!("disconnect `{}` {} ({raw})", short(client), reason.name())
        }
        EventKind::AuthFailure(it) => format!(
            "auth-failure ip={} {} claimed={}",
            ip(it.ip),
            it.attribution.name(),
            it.claimed_client.unwrap_or("-")
        ),
        EventKind::Denied { client, action, topic } => {
            format!("denied `{}` {action:?} `{topic}`", short(client))
        }
        EventKind::Publish { client, topic, bytes } => {
            format!("publish `{}` `{topic}` {bytes}", short(client))
        }
        EventKind::Delivery { client, topic, bytes } => {
            format!("delivery `{}` `{topic}` {bytes}", short(client))
        }
        EventKind::Subscribe { client, filter } => format!("subscribe `{}` `{filter}`", short(client)),
        EventKind::Unsubscribe { client, filter } => format!("unsubscribe `{}` `{filter}`", short(client)),
        EventKind::Report { thing, identity, .. } => format!("report `{thing}` {identity}"),
        EventKind::ConnectionError { ip: from, kind } => {
            format!("connection-error {kind:?} ip={}", ip(*from))
        }
        EventKind::AdminChange { raw } => format!("admin-change {raw}"),
        EventKind::BrokerStart => "broker-start".to_owned(),
        EventKind::BrokerStop => "broker-stop".to_owned(),
        EventKind::BrokerReload => "broker-reload".to_owned(),
    }
}

fn short(id: &str) -> String {
    match id.char_indices().nth(60) {
        Some((at, _)) => format!("{}...{}", &id[..at], id.len()),
        None => id.to_owned(),
    }
}

/// An event as one line, with its time.
pub(crate) fn timed(event: &Event<'_>) -> String {
    format!("{} {}", event.at, text(&event.kind))
}

/// Arrival of all lines in tests that do not care.
pub(crate) const ARRIVAL: Timestamp = Timestamp::from_secs(2_000_000_000);

pub(crate) fn decode_line(decoder: &mut LogDecoder, line: &[u8]) -> (Decoded, Vec<String>) {
    let mut events = Vec::new();
    let decoded = decoder.decode(SOURCE, ARRIVAL, "", line, &mut |event| events.push(text(&event.kind)));
    (decoded, events)
}

/// All events of a log, each with the number of the line that gave it, from 1.
pub(crate) fn events_by_line(decoder: &mut LogDecoder, log: &[u8]) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (index, line) in lines(log).enumerate() {
        let (decoded, events) = decode_line(decoder, line);
        assert!(!matches!(decoded, Decoded::Refused(_)), "line {}: {decoded:?}", index + 1);
        assert!(events.is_empty() || matches!(decoded, Decoded::Relevant { .. }), "line {}", index + 1);
        all.extend(events.into_iter().map(|event| (index + 1, event)));
    }
    all
}

/// A gzip file of the datasets.
pub(crate) fn gunzip(name: &str) -> Vec<u8> {
    use std::io::Read as _;
    let path = datasets().join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A file of JSON lines of the datasets.
pub(crate) fn jsonl(name: &str) -> Vec<serde_json::Value> {
    let path = datasets().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The fields of one column. Fields may be quoted.
pub(crate) fn csv_column(csv: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(csv);
    let mut rows = text.lines().map(csv_fields);
    let column = rows.next().unwrap().iter().position(|field| field == name).unwrap();
    rows.map(|row| row.get(column).cloned().unwrap_or_default()).collect()
}

fn csv_fields(row: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in row.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}
