//! AWS-style lifecycle events as events: who connected, disconnected, subscribed.
//!
//! Topics `$aws/events/presence/{connected,disconnected,connect_failed}/CLIENT` and
//! `$aws/events/subscriptions/{subscribed,unsubscribed}/CLIENT`; the messages are described in
//! `aws-iot-events.md`, section 1. They may come twice and out of order. `versionNumber` rises
//! with every connection of a client, and a connect and its disconnect share one; it starts over
//! after about an hour offline, which shows in a new session with a later timestamp.
//!
//! The client id is that of the topic (`subject`); a message that names another is refused.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use detector::input::{Coverage, Decoded, Decoder, Refusal, SourceId};
use fleet::{
    event::{Attribution, AuthFailure, Connect, DisconnectReason, Event, EventKind, Fact},
    time::Timestamp,
};
use hashbrown::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::borrowed::{Text, shorten};

/// Longest message read, bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Most clients of a source whose latest connection is remembered. One more drops the half that was heard of
/// least recently; a late repetition for one of those is then taken as new.
pub const CLIENTS_MAX: usize = 1 << 20;

/// Most repetitions remembered of subscribe, unsubscribe and connect_failed messages; the oldest
/// is dropped for one more.
const RECENT_MAX: usize = 1024;

/// How far the timestamps of two messages may be out of order, ms: each is right to two minutes.
const SKEW_MS: i64 = 240_000;

/// Version of [`LifecycleDecoder::save`].
const STATE_VERSION: u8 = 1;

/// Decodes lifecycle messages, one at a time.
#[derive(Debug, Default)]
pub struct LifecycleDecoder {
    sources: BTreeMap<SourceId, State>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    clients: Clients,
    /// Hashes of the messages that have no version, oldest first.
    recent: VecDeque<u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Clients {
    by_id: HashMap<Box<str>, Latest>,
    /// Rises with every change, to know who was heard of least recently.
    turn: u64,
}

/// The latest connection of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Latest {
    version: u64,
    /// Hash of the session identifier.
    session: u64,
    /// Time of the latest message about it.
    at: Timestamp,
    connected: bool,
    ended: bool,
    turn: u64,
}

/// A message as it is written. Unknown fields are ignored: AWS adds some.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Message<'a> {
    client_id: Text<'a>,
    timestamp: i64,
    event_type: Text<'a>,
    session_identifier: Option<Text<'a>>,
    principal_identifier: Option<Text<'a>>,
    ip_address: Option<Text<'a>>,
    version_number: Option<u64>,
    disconnect_reason: Option<Text<'a>>,
    client_initiated_disconnect: Option<bool>,
    topics: Option<Vec<Text<'a>>>,
}

/// Whether a presence message is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Yes,
    /// Repeated, or of a connection that a later one has replaced.
    No,
}

impl LifecycleDecoder {
    /// A decoder that knows nothing of any client.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// What lifecycle messages can tell.
#[must_use]
pub fn coverage(source: &str) -> Coverage {
    Coverage { source: source.to_owned(), facts: vec![Fact::Sessions, Fact::Addresses, Fact::AuthFailures] }
}

impl Decoder for LifecycleDecoder {
    fn decode(
        &mut self,
        source: SourceId,
        _arrival: Timestamp,
        subject: &str,
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Decoded {
        if let Some(state) = self.sources.get_mut(&source) {
            return state.read(subject, payload, sink).unwrap_or_else(Decoded::Refused);
        }
        // A source is remembered from its first message that matters.
        let mut state = State::default();
        let decoded = state.read(subject, payload, sink).unwrap_or_else(Decoded::Refused);
        if matches!(decoded, Decoded::Relevant { .. }) {
            self.sources.insert(source, state);
        }
        decoded
    }

    fn tick(&mut self, _now: Timestamp, _sink: &mut dyn FnMut(&Event<'_>)) {}

    fn save(&self) -> Vec<u8> {
        // Writing to memory cannot fail; an empty state would be refused by `restore`.
        postcard::to_stdvec(&(STATE_VERSION, &self.sources)).unwrap_or_default()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let version = state.first().copied();
        if version != Some(STATE_VERSION) {
            return Err(format!(
                "state of the lifecycle decoder: version {version:?}; expected {STATE_VERSION}"
            ));
        }
        let (_, sources): (u8, BTreeMap<SourceId, State>) = postcard::from_bytes(state)
            .map_err(|error| format!("state of the lifecycle decoder: {error}"))?;
        self.sources = sources;
        Ok(())
    }
}

impl State {
    fn read(
        &mut self,
        subject: &str,
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Decoded, Refusal> {
        if payload.len() > MESSAGE_BYTES_MAX {
            let found = format!("{} bytes", payload.len());
            return Err(refusal("too-long", "lifecycle event", &found, "at most 65536 bytes"));
        }
        // serde would take a list for the fields in their order.
        if payload.trim_ascii_start().starts_with(b"[") {
            return Err(refusal("malformed", "lifecycle event", "[", "a JSON object"));
        }
        let message: Message<'_> = serde_json::from_slice(payload).map_err(|error| Refusal {
            report_id: None,
            reason: "malformed",
            message: format!("lifecycle event: {error}"),
        })?;
        if *message.client_id != *subject {
            let allowed = format!("`{}`, the client id of the topic", shorten(subject));
            return Err(refusal("client-mismatch", "clientId", &message.client_id, &allowed));
        }
        if message.timestamp < 0 {
            let found = message.timestamp.to_string();
            return Err(refusal("timestamp-out-of-range", "timestamp", &found, "ms since 1970, 0 or more"));
        }
        match &*message.event_type {
            "connected" => self.connected(&message, sink),
            "disconnected" => self.disconnected(&message, sink),
            "connect_failed" => self.connect_failed(&message, payload, sink),
            "subscribed" => self
                .filters(&message, payload, sink, |client, filter| EventKind::Subscribe { client, filter }),
            "unsubscribed" => self
                .filters(&message, payload, sink, |client, filter| EventKind::Unsubscribe { client, filter }),
            other => Err(refusal(
                "unknown-event-type",
                "eventType",
                other,
                "`connected`, `disconnected`, `connect_failed`, `subscribed` or `unsubscribed`",
            )),
        }
    }

    fn connected(
        &mut self,
        message: &Message<'_>,
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Decoded, Refusal> {
        let ip = message.ip("required in `connected`")?;
        if self.clients.news(message, Step::Connected)? == News::No {
            return Ok(Decoded::Irrelevant);
        }
        let (client, user) = (&*message.client_id, message.principal_identifier.as_deref());
        let kind = EventKind::Connect(Connect { client, user, ip, bridge: false });
        sink(&Event { at: message.at(), kind });
        Ok(RELEVANT)
    }

    fn disconnected(
        &mut self,
        message: &Message<'_>,
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Decoded, Refusal> {
        if self.clients.news(message, Step::Disconnected)? == News::No {
            return Ok(Decoded::Irrelevant);
        }
        let raw = message.disconnect_reason.as_deref().unwrap_or_default();
        let reason = match raw {
            "" if message.client_initiated_disconnect == Some(true) => DisconnectReason::Clean,
            _ => reason(raw),
        };
        let kind = EventKind::Disconnect { client: &message.client_id, reason, raw };
        sink(&Event { at: message.at(), kind });
        Ok(RELEVANT)
    }

    /// The peer proved a certificate, but the policy does not let it connect under this id: the
    /// id is a claim.
    fn connect_failed(
        &mut self,
        message: &Message<'_>,
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Decoded, Refusal> {
        let ip = message.ip("required in `connect_failed`")?;
        if self.is_repeated(payload) {
            return Ok(Decoded::Irrelevant);
        }
        let kind = EventKind::AuthFailure(AuthFailure {
            claimed_client: Some(&message.client_id),
            claimed_user: message.principal_identifier.as_deref(),
            ip,
            attribution: if ip.is_some() { Attribution::Address } else { Attribution::Ambiguous },
        });
        sink(&Event { at: message.at(), kind });
        Ok(RELEVANT)
    }

    fn filters(
        &mut self,
        message: &Message<'_>,
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
        kind: for<'e> fn(&'e str, &'e str) -> EventKind<'e>,
    ) -> Result<Decoded, Refusal> {
        let Some(topics) = &message.topics else {
            return Err(refusal("topics-missing", "topics", "nothing", "a list of topic filters"));
        };
        if self.is_repeated(payload) {
            return Ok(Decoded::Irrelevant);
        }
        for topic in topics {
            sink(&Event { at: message.at(), kind: kind(&message.client_id, topic) });
        }
        Ok(RELEVANT)
    }
}

const RELEVANT: Decoded = Decoded::Relevant { report_id: None };

/// Table of `aws-iot-events.md`, section 1; any other word is `Unknown`.
fn reason(raw: &str) -> DisconnectReason {
    match raw {
        "CLIENT_INITIATED_DISCONNECT" => DisconnectReason::Clean,
        "CONNECTION_LOST" => DisconnectReason::Unclean,
        "MQTT_KEEP_ALIVE_TIMEOUT" => DisconnectReason::Timeout,
        "DUPLICATE_CLIENTID" | "DUPLICATE_CLIENT_ID" => DisconnectReason::Takeover,
        "API_INITIATED_DISCONNECT" => DisconnectReason::Kicked,
        "AUTH_ERROR" | "FORBIDDEN_ACCESS" | "CUSTOMAUTH_TTL_EXPIRATION" => DisconnectReason::Auth,
        "CLIENT_ERROR" | "THROTTLED" => DisconnectReason::Protocol,
        _ => DisconnectReason::Unknown,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connected,
    Disconnected,
}

impl Message<'_> {
    const fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.timestamp)
    }

    fn ip(&self, when_missing: &str) -> Result<Option<IpAddr>, Refusal> {
        let Some(text) = &self.ip_address else {
            return Err(refusal("ip-missing", "ipAddress", "nothing", when_missing));
        };
        match text.parse() {
            Ok(ip) => Ok(Some(ip)),
            Err(_) => Err(refusal("ip-malformed", "ipAddress", text, "an IPv4 or IPv6 address")),
        }
    }
}

impl State {
    /// Whether this very message was seen not long ago.
    fn is_repeated(&mut self, payload: &[u8]) -> bool {
        let hash = xxhash_rust::xxh3::xxh3_64(payload);
        if self.recent.contains(&hash) {
            return true;
        }
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        false
    }
}

impl Clients {
    fn news(&mut self, message: &Message<'_>, step: Step) -> Result<News, Refusal> {
        let Some(session) = message.session_identifier.as_deref() else {
            return Err(refusal("session-missing", "sessionIdentifier", "nothing", "the id of the session"));
        };
        let session = xxhash_rust::xxh3::xxh3_64(session.as_bytes());
        let Some(version) = message.version_number else {
            return Err(refusal("version-missing", "versionNumber", "nothing", "a whole number"));
        };
        let turn = self.turn + 1;
        let (connected, ended) = (step == Step::Connected, step == Step::Disconnected);
        let fresh = Latest { version, session, at: message.at(), connected, ended, turn };
        let Some(latest) = self.by_id.get_mut(&*message.client_id) else {
            self.make_room();
            self.by_id.insert((*message.client_id).into(), fresh);
            self.turn = turn;
            return Ok(News::Yes);
        };
        if latest.session == session && latest.version == version {
            let news = latest.same_connection(step, message.at(), turn);
            if news == News::Yes {
                self.turn = turn;
            }
            return Ok(news);
        }
        // A higher version, or a count that started over, which is later in time.
        let not_before = message.at().millis_since(latest.at) >= -SKEW_MS;
        let is_later = message.at() > latest.at;
        if (version > latest.version && not_before) || (version < latest.version && is_later) {
            *latest = fresh;
            self.turn = turn;
            return Ok(News::Yes);
        }
        Ok(News::No)
    }

    /// Drops the half that was heard of least recently, when full.
    fn make_room(&mut self) {
        if self.by_id.len() < CLIENTS_MAX {
            return;
        }
        let mut turns: Vec<u64> = self.by_id.values().map(|latest| latest.turn).collect();
        let middle = turns.len() / 2;
        let (_, &mut middle, _) = turns.select_nth_unstable(middle);
        self.by_id.retain(|_, latest| latest.turn >= middle);
    }
}

/// Written in order of ids, so that equal states are equal bytes.
impl Serialize for Clients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut clients: Vec<_> = self.by_id.iter().collect();
        clients.sort_unstable_by(|a, b| a.0.cmp(b.0));
        (self.turn, clients).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Clients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (turn, clients) = <(u64, Vec<(Box<str>, Latest)>)>::deserialize(deserializer)?;
        Ok(Self { by_id: clients.into_iter().collect(), turn })
    }
}

impl Latest {
    fn same_connection(&mut self, step: Step, at: Timestamp, turn: u64) -> News {
        let seen = match step {
            // A connect that comes after its own disconnect tells nothing that still holds.
            Step::Connected => self.connected || self.ended,
            Step::Disconnected => self.ended,
        };
        if seen {
            return News::No;
        }
        self.connected |= step == Step::Connected;
        self.ended |= step == Step::Disconnected;
        self.at = self.at.max(at);
        self.turn = turn;
        News::Yes
    }
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
    let mut decoder = LifecycleDecoder::new();
    let mut events = 0_u64;
    let decoded = decoder.decode(SourceId(0), Timestamp::default(), "pump", bytes, &mut |_| events += 1);
    assert!(events == 0 || matches!(decoded, Decoded::Relevant { .. }));
    drop(decoder.restore(bytes));
}

#[cfg(test)]
mod tests;
