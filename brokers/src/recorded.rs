//! Our own event stream: one JSON object a line, written by the embedded broker and by people
//! who want to replay something.
//!
//! Every object has `at` (ms since 1970) and `event`; the rest depends on `event`:
//!
//! | `event` | fields (those in brackets may be left out) |
//! |---|---|
//! | `connect` | `client`, \[`user`\], \[`ip`\], \[`bridge`: true\] |
//! | `disconnect` | `client`, \[`reason`: `clean`, `unclean`, `timeout`, `takeover`, `kicked`, `auth`, `tls`, `protocol`, `unknown`\], \[`raw`\] |
//! | `auth-failure` | \[`client`\], \[`user`\], \[`ip`\], \[`attribution`: `ambiguous`, `address`, `certain`\] |
//! | `denied` | `client`, `action`: `publish` or `subscribe`, \[`topic`\] |
//! | `publish`, `delivery` | `client`, `topic`, `bytes` |
//! | `subscribe`, `unsubscribe` | `client`, `filter` |
//! | `report` | `thing`, `report`: the device's report as JSON, \[`identity`: hash as a number\] |
//! | `connection-error` | `kind`: `tls`, `protocol`, `too-many`, `no-connect`, `tls-setup`, \[`ip`\] |
//! | `admin-change` | `raw` |
//! | `broker-start`, `broker-stop`, `broker-reload` | |
//!
//! ```json
//! {"at":1735689600123,"event":"connect","client":"pump-17","user":"pumps","ip":"198.51.100.9"}
//! ```
//!
//! Left out, `reason` is `unknown` and `attribution` is `address` with an `ip` and `ambiguous`
//! without. A field of another event or an unknown one is refused.

mod encode;

use std::net::IpAddr;

use detector::input::{Coverage, Decoded, Decoder, Refusal, SourceId};
use fleet::{
    event::{
        Action, Attribution, AuthFailure, Connect, ConnectionErrorKind, DisconnectReason, Event, EventKind,
        Fact,
    },
    report::{ReportBuf, decode_json},
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use encode::encode;

use crate::borrowed::{Text, shorten};

/// Longest object read, bytes: a report of the largest size and room around it.
pub const OBJECT_BYTES_MAX: usize = 256 * 1024;

/// Decodes recorded events, one object at a time. It has no state.
#[derive(Debug, Default)]
pub struct RecordedDecoder {
    /// Used again for every report.
    report: ReportBuf,
}

/// A recorded stream can tell everything that there is an event for.
#[must_use]
pub fn coverage(source: &str) -> Coverage {
    let facts = Fact::ALL.into_iter().filter(|fact| *fact != Fact::ClientSoftware).collect();
    Coverage { source: source.to_owned(), facts }
}

/// An object as it is written. `null` counts as left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "'de: 'a"))]
struct Object<'a> {
    at: i64,
    event: Text<'a>,
    client: Option<Text<'a>>,
    user: Option<Text<'a>>,
    ip: Option<IpAddr>,
    bridge: Option<bool>,
    reason: Option<Text<'a>>,
    raw: Option<Text<'a>>,
    attribution: Option<Text<'a>>,
    action: Option<Text<'a>>,
    topic: Option<Text<'a>>,
    filter: Option<Text<'a>>,
    bytes: Option<u32>,
    thing: Option<Text<'a>>,
    #[serde(borrow)]
    report: Option<&'a RawValue>,
    identity: Option<u64>,
    kind: Option<Text<'a>>,
}

impl Decoder for RecordedDecoder {
    fn decode(
        &mut self,
        _source: SourceId,
        _arrival: Timestamp,
        _subject: &str,
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Decoded {
        match self.read(payload, sink) {
            Ok(report_id) => Decoded::Relevant { report_id },
            Err(refusal) => Decoded::Refused(refusal),
        }
    }

    fn tick(&mut self, _now: Timestamp, _sink: &mut dyn FnMut(&Event<'_>)) {}

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        match state.len() {
            0 => Ok(()),
            len => Err(format!("state of the recorded decoder: {len} bytes; expected none")),
        }
    }
}

impl RecordedDecoder {
    /// A decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&mut self, payload: &[u8], sink: &mut dyn FnMut(&Event<'_>)) -> Result<Option<u64>, Refusal> {
        if payload.len() > OBJECT_BYTES_MAX {
            return Err(refusal(
                "too-long",
                "event",
                &format!("{} bytes", payload.len()),
                "at most 262144 bytes",
            ));
        }
        // serde would take a list for the fields in their order.
        if payload.trim_ascii_start().starts_with(b"[") {
            return Err(refusal("malformed", "event", "[", "a JSON object"));
        }
        let object: Object<'_> = serde_json::from_slice(payload).map_err(|error| Refusal {
            report_id: None,
            reason: "malformed",
            message: format!("event: {error}"),
        })?;
        let mut report_id = None;
        if &*object.event == "report" {
            report_id = Some(self.read_report(&object)?);
        }
        let kind = object.kind(&self.report)?;
        object.has_only_own_fields()?;
        sink(&Event { at: Timestamp::from_millis(object.at), kind });
        Ok(report_id)
    }

    fn read_report(&mut self, object: &Object<'_>) -> Result<u64, Refusal> {
        let report = object.report.ok_or_else(|| object.missing("report"))?;
        decode_json(report.get().as_bytes(), &mut self.report).map_err(|error| Refusal {
            report_id: error.report_id,
            reason: error.reason,
            message: format!("report: {error}"),
        })?;
        Ok(self.report.report_id)
    }
}

/// All events by name, with the fields that each takes beside `at` and `event`.
const FIELDS: [(&str, &[&str]); 14] = [
    ("connect", &["client", "user", "ip", "bridge"]),
    ("disconnect", &["client", "reason", "raw"]),
    ("auth-failure", &["client", "user", "ip", "attribution"]),
    ("denied", &["client", "action", "topic"]),
    ("publish", &["client", "topic", "bytes"]),
    ("delivery", &["client", "topic", "bytes"]),
    ("subscribe", &["client", "filter"]),
    ("unsubscribe", &["client", "filter"]),
    ("report", &["thing", "report", "identity"]),
    ("connection-error", &["kind", "ip"]),
    ("admin-change", &["raw"]),
    ("broker-start", &[]),
    ("broker-stop", &[]),
    ("broker-reload", &[]),
];

impl Object<'_> {
    fn kind<'e>(&'e self, report: &'e ReportBuf) -> Result<EventKind<'e>, Refusal> {
        Ok(match &*self.event {
            "connect" => EventKind::Connect(Connect {
                client: self.client()?,
                user: self.user.as_deref(),
                ip: self.ip,
                bridge: self.bridge.unwrap_or(false),
            }),
            "disconnect" => EventKind::Disconnect {
                client: self.client()?,
                reason: one_of("reason", self.reason.as_deref().unwrap_or("unknown"), &REASONS)?,
                raw: self.raw.as_deref().unwrap_or_default(),
            },
            "auth-failure" => EventKind::AuthFailure(AuthFailure {
                claimed_client: self.client.as_deref(),
                claimed_user: self.user.as_deref(),
                ip: self.ip,
                attribution: self.attribution()?,
            }),
            "denied" => EventKind::Denied {
                client: self.client()?,
                action: one_of("action", self.text("action", &self.action)?, &ACTIONS)?,
                topic: self.topic.as_deref().unwrap_or_default(),
            },
            "publish" => EventKind::Publish {
                client: self.client()?,
                topic: self.text("topic", &self.topic)?,
                bytes: self.bytes.ok_or_else(|| self.missing("bytes"))?,
            },
            "delivery" => EventKind::Delivery {
                client: self.client()?,
                topic: self.text("topic", &self.topic)?,
                bytes: self.bytes.ok_or_else(|| self.missing("bytes"))?,
            },
            "subscribe" => {
                EventKind::Subscribe { client: self.client()?, filter: self.text("filter", &self.filter)? }
            }
            "unsubscribe" => {
                EventKind::Unsubscribe { client: self.client()?, filter: self.text("filter", &self.filter)? }
            }
            "report" => EventKind::Report {
                thing: self.text("thing", &self.thing)?,
                report,
                identity: self.identity(),
            },
            "connection-error" => EventKind::ConnectionError {
                ip: self.ip,
                kind: one_of("kind", self.text("kind", &self.kind)?, &ERRORS)?,
            },
            "admin-change" => EventKind::AdminChange { raw: self.text("raw", &self.raw)? },
            "broker-start" => EventKind::BrokerStart,
            "broker-stop" => EventKind::BrokerStop,
            "broker-reload" => EventKind::BrokerReload,
            other => {
                return Err(refusal("unknown-event", "event", other, &names(FIELDS.map(|(name, _)| name))));
            }
        })
    }

    fn client(&self) -> Result<&str, Refusal> {
        self.text("client", &self.client)
    }

    fn text<'e>(&self, field: &str, value: &'e Option<Text<'_>>) -> Result<&'e str, Refusal> {
        value.as_deref().ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: &str) -> Refusal {
        refusal("field-missing", field, "nothing", &format!("required in `{}`", &*self.event))
    }

    fn attribution(&self) -> Result<Attribution, Refusal> {
        match (&self.attribution, self.ip) {
            (Some(word), _) => one_of("attribution", word, &ATTRIBUTIONS),
            (None, Some(_)) => Ok(Attribution::Address),
            (None, None) => Ok(Attribution::Ambiguous),
        }
    }

    /// What knows a repeated report: given, or the hash of its bytes.
    fn identity(&self) -> u64 {
        let bytes = self.report.map_or("", RawValue::get).as_bytes();
        self.identity.unwrap_or_else(|| xxhash_rust::xxh3::xxh3_64(bytes))
    }

    fn has_only_own_fields(&self) -> Result<(), Refusal> {
        let own = FIELDS.iter().find(|(name, _)| *name == &*self.event).map_or(&[][..], |(_, own)| own);
        let given = [
            ("client", self.client.is_some()),
            ("user", self.user.is_some()),
            ("ip", self.ip.is_some()),
            ("bridge", self.bridge.is_some()),
            ("reason", self.reason.is_some()),
            ("raw", self.raw.is_some()),
            ("attribution", self.attribution.is_some()),
            ("action", self.action.is_some()),
            ("topic", self.topic.is_some()),
            ("filter", self.filter.is_some()),
            ("bytes", self.bytes.is_some()),
            ("thing", self.thing.is_some()),
            ("report", self.report.is_some()),
            ("identity", self.identity.is_some()),
            ("kind", self.kind.is_some()),
        ];
        match given.into_iter().find(|(field, is_given)| *is_given && !own.contains(field)) {
            None => Ok(()),
            Some((field, _)) => {
                let place = format!("`{}`", &*self.event);
                let allowed = names(["at", "event"].into_iter().chain(own.iter().copied()));
                Err(refusal("field-not-allowed", &place, field, &allowed))
            }
        }
    }
}

/// A word and what it stands for.
type Word<T> = (&'static str, T);

const REASONS: [Word<DisconnectReason>; 9] = {
    use DisconnectReason as R;
    [
        (R::Clean.name(), R::Clean),
        (R::Unclean.name(), R::Unclean),
        (R::Timeout.name(), R::Timeout),
        (R::Takeover.name(), R::Takeover),
        (R::Kicked.name(), R::Kicked),
        (R::Auth.name(), R::Auth),
        (R::Tls.name(), R::Tls),
        (R::Protocol.name(), R::Protocol),
        (R::Unknown.name(), R::Unknown),
    ]
};

const ATTRIBUTIONS: [Word<Attribution>; 3] = {
    use Attribution as A;
    [(A::Ambiguous.name(), A::Ambiguous), (A::Address.name(), A::Address), (A::Certain.name(), A::Certain)]
};

const ACTIONS: [Word<Action>; 2] = [("publish", Action::Publish), ("subscribe", Action::Subscribe)];

const ERRORS: [Word<ConnectionErrorKind>; 5] = [
    ("tls", ConnectionErrorKind::Tls),
    ("protocol", ConnectionErrorKind::Protocol),
    ("too-many", ConnectionErrorKind::TooMany),
    ("no-connect", ConnectionErrorKind::NoConnect),
    ("tls-setup", ConnectionErrorKind::TlsSetup),
];

fn one_of<T: Copy>(place: &str, found: &str, words: &[Word<T>]) -> Result<T, Refusal> {
    match words.iter().find(|(word, _)| *word == found) {
        Some((_, value)) => Ok(*value),
        None => Err(refusal("unknown-word", place, found, &names(words.iter().map(|(word, _)| *word)))),
    }
}

fn names(names: impl IntoIterator<Item = &'static str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn refusal(reason: &'static str, place: &str, found: &str, allowed: &str) -> Refusal {
    let message = format!("{place}: found `{}`; allowed: {allowed}", shorten(found));
    Refusal { report_id: None, reason, message }
}

/// For fuzzing: decodes anything, and takes it as a state.
///
/// # Panics
/// When a refused message gave an event.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let mut decoder = RecordedDecoder::new();
    let mut events = 0_u64;
    let decoded = decoder.decode(SourceId(0), Timestamp::default(), "", bytes, &mut |_| events += 1);
    assert!(events == 0 || matches!(decoded, Decoded::Relevant { .. }));
    drop(decoder.restore(bytes));
}

#[cfg(test)]
mod tests;
