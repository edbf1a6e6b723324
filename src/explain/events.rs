//! What an entity did, found in the journal, or in the Parquet history before it, by decoding a bounded
//! range of it.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use brokers::{
    lifecycle::LifecycleDecoder,
    mosquitto::log::LogDecoder,
    recorded::{RecordedDecoder, encode},
};
use detector::{
    input::{Decoder, Format},
    journal::{self, Kind, Reader, Record},
    transition::EntityName,
};
use fleet::{
    event::{Event, EventKind},
    report::{ReportBuf, decode_cbor, decode_json},
    time::Timestamp,
};
use serde_json::{Value, value::RawValue};

use crate::{
    cli::past::Place,
    replay::{
        archive::{Archived, WARM_UP_DAYS},
        records::{Journaled, Records},
        violations::entity_text,
    },
};

/// Records before the range that are decoded for what decoders must know (who is connected from where).
const WARM_UP: u64 = 20_000;
/// Records of the range that are looked at, the latest.
const RECORDS_MAX: u64 = 500_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The latest events, oldest first, as recorded events (`brokers::recorded`), and when each was.
    pub events: Vec<(Timestamp, Box<RawValue>)>,
    /// Events of the entity in the range, also those not kept.
    pub total: u64,
    /// Why the range is not whole, if it is not.
    pub gap: Option<String>,
}

/// Decoders of the formats that a journal may hold.
pub struct Decoders {
    log: LogDecoder,
    lifecycle: LifecycleDecoder,
    recorded: RecordedDecoder,
    report: ReportBuf,
}

impl std::fmt::Debug for Decoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoders").finish_non_exhaustive()
    }
}

impl Decoders {
    /// With the decoder of logs, which knows their zones.
    #[must_use]
    pub fn new(log: LogDecoder) -> Self {
        Self {
            log,
            lifecycle: LifecycleDecoder::new(),
            recorded: RecordedDecoder::new(),
            report: ReportBuf::default(),
        }
    }

    /// The events of a record. What cannot be read has none; the engine has counted it.
    pub fn decode(&mut self, record: &Record<'_>, sink: &mut dyn FnMut(&Event<'_>)) {
        let Kind::Input(format) = record.kind else { return };
        let Record { source, arrival, subject, payload, .. } = *record;
        let decoder: &mut dyn Decoder = match format {
            Format::ReportJson | Format::ReportCbor => {
                let decode = if format == Format::ReportJson { decode_json } else { decode_cbor };
                if decode(payload, &mut self.report).is_ok() {
                    let kind = EventKind::Report { thing: subject, report: &self.report, identity: 0 };
                    sink(&Event { at: arrival, kind });
                }
                return;
            }
            Format::MosquittoLog => &mut self.log,
            Format::Lifecycle => &mut self.lifecycle,
            Format::Recorded => &mut self.recorded,
        };
        decoder.decode(source, arrival, subject, payload, sink);
    }
}

/// The events of `entity` in the records `from` to `to` of the data folder, at most `keep` of them. What
/// the journal has let go comes from the Parquet history, if there is one; `at` is when the last of them
/// were.
///
/// # Errors
/// When the journal cannot be read.
pub fn find(
    place: &Place,
    decoders: Decoders,
    entity: &EntityName,
    at: Timestamp,
    (from, to): (u64, u64),
    keep: usize,
) -> anyhow::Result<Found> {
    let folder = place.data.join("engine/journal");
    let oldest = folder.is_dir().then(|| journal::oldest(&folder)).transpose()?.flatten();
    let latest = from.max(to.saturating_sub(RECORDS_MAX));
    let matcher = Matcher { entity, text: entity_text(entity), addresses: BTreeSet::new() };
    let mut search = Search { decoders, matcher, range: (latest, to), keep, found: Found::default() };
    let mut unread = None;
    if oldest.is_none_or(|oldest| latest < oldest) {
        match earlier(place, &folder, at) {
            Ok(Some(mut archived)) => {
                search.run(&mut archived)?;
                let looked = (latest > from).then(|| format!("only records {latest} to {to} were looked at"));
                let gaps: Vec<String> = looked.into_iter().chain(archived.gaps()).collect();
                search.found.gap = (!gaps.is_empty()).then(|| gaps.join("; "));
                return Ok(search.finish());
            }
            Ok(None) => {}
            Err(error) => unread = Some(format!("; the Parquet history cannot be read: {error:#}")),
        }
    }
    let unread = unread.unwrap_or_default();
    let Some(oldest) = oldest else {
        search.found.gap = Some(format!("there is no journal here{unread}"));
        return Ok(search.finish());
    };
    let first = latest.max(oldest);
    search.range.0 = first;
    if to < oldest {
        let gone =
            format!("records {from} to {to} are gone; the journal begins with record {oldest}{unread}");
        search.found.gap = Some(gone);
        return Ok(search.finish());
    }
    if first > from {
        search.found.gap = Some(format!("only records {first} to {to} were looked at{unread}"));
    }
    let reader = Reader::open_shared(&folder, first.saturating_sub(WARM_UP).max(oldest))?;
    search.run(&mut Journaled::new(reader))?;
    Ok(search.finish())
}

/// The Parquet history and then the journal, from a day before; nothing if there is none.
fn earlier(place: &Place, journal: &Path, at: Timestamp) -> anyhow::Result<Option<Archived>> {
    const DAY_MS: i64 = 86_400_000;
    let Some(lake) = place.lake() else { return Ok(None) };
    // It begins so many days before what is asked for; here one is enough.
    Archived::open(lake, journal, Some(at.plus_millis((WARM_UP_DAYS - 1) * DAY_MS)))
}

/// Goes through records and keeps what an entity did.
struct Search<'a> {
    decoders: Decoders,
    matcher: Matcher<'a>,
    range: (u64, u64),
    keep: usize,
    found: Found,
}

impl Search<'_> {
    fn run(&mut self, records: &mut dyn Records) -> anyhow::Result<()> {
        let Self { decoders, matcher, range: (first, to), keep, found } = self;
        while let Some(record) = records.next()? {
            if record.seq > *to {
                break;
            }
            let inside = record.seq >= *first;
            decoders.decode(&record, &mut |event| {
                if matcher.is_about(event) && inside {
                    found.total += 1;
                    found.events.extend(raw(event).map(|raw| (event.at, raw)));
                    // Halved now and then, so that a long range costs no long list.
                    if found.events.len() > 2 * (*keep).max(1) {
                        found.events.drain(..found.events.len() - *keep);
                    }
                }
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Found {
        let surplus = self.found.events.len().saturating_sub(self.keep);
        self.found.events.drain(..surplus);
        self.found
    }
}

fn raw(event: &Event<'_>) -> Option<Box<RawValue>> {
    let mut json = Vec::new();
    encode(event, &mut json);
    RawValue::from_string(String::from_utf8(json).ok()?).ok()
}

/// Knows which events are about an entity.
struct Matcher<'a> {
    entity: &'a EntityName,
    text: String,
    /// Addresses that the thing has had a session from, at most [`ADDRESSES_MAX`].
    addresses: BTreeSet<IpAddr>,
}

const ADDRESSES_MAX: usize = 64;

impl Matcher<'_> {
    /// For a thing: what its sessions did, what it reported, and logins refused from addresses that
    /// it uses. For an address: sessions and refused logins from there.
    fn is_about(&mut self, event: &Event<'_>) -> bool {
        let address = match &event.kind {
            EventKind::Connect(connect) => connect.ip,
            EventKind::AuthFailure(failure) => failure.ip,
            EventKind::ConnectionError { ip, .. } => *ip,
            _ => None,
        };
        let address = address.map(|ip| ip.to_canonical());
        if let EntityName::SourceIp(own) = self.entity {
            return address == Some(own.to_canonical());
        }
        let EntityName::Thing(name) = self.entity else { return names(event, &self.text) };
        let name = name.as_str();
        match event.kind {
            EventKind::Connect(connect) if connect.client == name => {
                if self.addresses.len() < ADDRESSES_MAX {
                    self.addresses.extend(address);
                }
                true
            }
            EventKind::AuthFailure(_) => address.is_some_and(|address| self.addresses.contains(&address)),
            EventKind::Disconnect { client, .. }
            | EventKind::Denied { client, .. }
            | EventKind::Publish { client, .. }
            | EventKind::Delivery { client, .. }
            | EventKind::Subscribe { client, .. }
            | EventKind::Unsubscribe { client, .. } => client == name,
            EventKind::Report { thing, .. } => thing == name,
            EventKind::Connect(_)
            | EventKind::ConnectionError { .. }
            | EventKind::AdminChange { .. }
            | EventKind::BrokerStart
            | EventKind::BrokerStop
            | EventKind::BrokerReload => false,
        }
    }
}

/// Whether the event names the text as user, client id or topic: for entities other than things
/// and addresses.
fn names(event: &Event<'_>, text: &str) -> bool {
    match event.kind {
        EventKind::Connect(connect) => connect.user == Some(text),
        EventKind::AuthFailure(failure) => {
            failure.claimed_user == Some(text) || failure.claimed_client == Some(text)
        }
        EventKind::Publish { topic, .. }
        | EventKind::Delivery { topic, .. }
        | EventKind::Denied { topic, .. } => topic == text,
        EventKind::Subscribe { filter, .. } | EventKind::Unsubscribe { filter, .. } => filter == text,
        EventKind::Disconnect { .. }
        | EventKind::Report { .. }
        | EventKind::ConnectionError { .. }
        | EventKind::AdminChange { .. }
        | EventKind::BrokerStart
        | EventKind::BrokerStop
        | EventKind::BrokerReload => false,
    }
}

/// An event as people read it: its word and its members, at most so many characters of each.
#[must_use]
pub fn text(event: &RawValue) -> String {
    const CHARS_MAX: usize = 60;
    let Ok(Value::Object(members)) = serde_json::from_str(event.get()) else { return String::new() };
    let word = members.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
    let shown = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut short: String = value.chars().take(CHARS_MAX).collect();
        if value.chars().nth(CHARS_MAX).is_some() {
            short.push('…');
        }
        format!("{key} {short}")
    };
    let hidden = ["at", "event", "identity"];
    let rest = members.iter().filter(|(key, _)| !hidden.contains(&key.as_str())).map(shown);
    std::iter::once(word).chain(rest).collect::<Vec<_>>().join("  ")
}
