//! Numbers back to names: from what shards decide to transitions that stand on their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use behaviors::{dimension::Narrowed, set::MetricKey};
use fleet::time::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    batch::Renamed,
    names::{NameList, tags},
    output::Datapoints,
    shard::{Raw, Row},
    transition::{EntityName, Transition, TransitionKind},
};

/// Puts decisions of all shards into the one order that does not depend on their number:
/// by record, things in the order of their numbers, other entities by name, and behavior. An
/// entity's own order is kept.
pub(crate) fn sort(raws: &mut [Raw]) {
    raws.sort_by(|a, b| {
        let key = |raw: &Raw| (raw.seq, raw.key.is_some(), if raw.key.is_some() { 0 } else { raw.entity });
        key(a).cmp(&key(b)).then_with(|| a.key.cmp(&b.key)).then(a.order.cmp(&b.order))
    });
}

/// Names of numbers, as they were when something was decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) things: &'a NameList,
    pub(crate) principals: &'a NameList,
    /// Names of this batch that others have taken the place of, in order.
    pub(crate) renamed: &'a [Renamed],
}

impl<'a> Names<'a> {
    /// The name of a thing at a place of the journal; `before`: just before it changed there, if it did.
    fn thing(&self, thing: u32, place: (u64, u16), before: bool) -> &'a [u8] {
        let later = |renamed: &&Renamed| {
            let at = (renamed.seq, renamed.nth);
            renamed.entity == thing && (place < at || before && place == at)
        };
        match self.renamed.iter().find(later) {
            Some(renamed) => &renamed.old,
            None => self.things.get(thing).unwrap_or_default(),
        }
    }
}

/// The transition that stands on its own.
pub(crate) fn transition(raw: Raw, names: Names<'_>) -> Transition {
    // What ends without a verdict where a name changes is of the thing that makes room.
    let ends = raw.kind == TransitionKind::AlarmInvalidated;
    let name = match &raw.key {
        Some(key) => key,
        None => names.thing(raw.entity, (raw.seq, raw.nth), ends),
    };
    let behavior = &raw.behavior;
    let violation = {
        let alarm = &raw.alarm;
        let mut hash = Xxh3::new();
        for part in [name, behavior.profile.as_bytes(), behavior.name.as_bytes()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(&alarm.seq.to_le_bytes());
        hash.update(&alarm.nth.to_le_bytes());
        hash.update(&alarm.started.millis().to_le_bytes());
        hash.digest128()
    };
    let mut hash = Xxh3::new();
    hash.update(&violation.to_le_bytes());
    hash.update(&[kind_number(raw.kind)]);
    hash.update(&raw.seq.to_le_bytes());
    hash.update(&raw.nth.to_le_bytes());
    hash.update(&raw.at.millis().to_le_bytes());
    let principal = names.principals.get(raw.principal).and_then(<[u8]>::split_first);
    Transition {
        seq: raw.seq,
        id: format!("{:032x}", hash.digest128()),
        violation_id: format!("{violation:032x}"),
        kind: raw.kind,
        at: raw.at,
        entity: entity_name(name),
        principal: principal.map(|(_, text)| String::from_utf8_lossy(text).into_owned()),
        profile: behavior.profile.to_string(),
        behavior: behavior.name.to_string(),
        metric: behavior.metric.name().to_owned(),
        value: raw.value,
        expected: behavior.expected.to_string(),
        attribution: raw.who.into(),
        started_at: raw.alarm.started,
        suppressed: behavior.suppress,
        behavior_json: std::sync::Arc::clone(&behavior.json),
        evidence: raw.evidence,
    }
}

/// Collected values of all shards as blocks, in an order that does not depend on their number: by
/// record, window, metric, and thing.
pub(crate) fn datapoints(rows: &mut Vec<Row>, names: Names<'_>) -> Vec<Datapoints> {
    let mut blocks: Vec<Datapoints> = Vec::new();
    if rows.is_empty() {
        return blocks;
    }
    rows.sort_by(|a, b| block(a).cmp(&block(b)).then(a.entity.cmp(&b.entity)));
    let mut before = None;
    for row in rows.drain(..) {
        let name = names.thing(row.entity, (row.seq, 0), row.kept);
        let name = String::from_utf8_lossy(name.get(1..).unwrap_or_default()).into_owned();
        let known = before.as_ref().is_some_and(|before| block(before) == block(&row));
        if let (true, Some(last)) = (known, blocks.last_mut()) {
            last.rows.push((name, row.value.clone()));
        } else {
            blocks.push(Datapoints {
                seq: row.seq,
                end: row.end,
                secs: row.collector.window.unwrap_or(0),
                metric: row.collector.metric.name().to_owned(),
                dimension: row.collector.narrowed.as_ref().map(|own| (own.name.to_string(), own.negated)),
                aggregate: row.collector.aggregate.name(),
                export: row.collector.export,
                rows: vec![(name, row.value.clone())],
            });
        }
        before = Some(row);
    }
    blocks
}

/// What the rows of a block have in common.
fn block(row: &Row) -> (u64, Timestamp, &MetricKey, Option<&Narrowed>, &'static str, bool) {
    let Row { seq, end, collector, .. } = row;
    let narrowed = collector.narrowed.as_ref();
    (*seq, *end, &collector.metric, narrowed, collector.aggregate.name(), collector.export)
}

const fn kind_number(kind: TransitionKind) -> u8 {
    match kind {
        TransitionKind::InAlarm => 1,
        TransitionKind::AlarmCleared => 2,
        TransitionKind::AlarmInvalidated => 3,
    }
}

fn entity_name(name: &[u8]) -> EntityName {
    let (tag, rest) = name.split_first().unwrap_or((&tags::THING, &[]));
    let text = || String::from_utf8_lossy(rest).into_owned();
    match *tag {
        tags::V4 | tags::V6 => match address(rest) {
            Some(ip) => EntityName::SourceIp(ip),
            None => EntityName::Thing(text()),
        },
        tags::NET4 | tags::NET6 => {
            let (prefix, rest) = rest.split_first().unwrap_or((&0, &[]));
            let ip = address(rest).map_or_else(String::new, |ip| ip.to_string());
            EntityName::Network(format!("{ip}/{prefix}"))
        }
        tags::PRINCIPAL => EntityName::Principal(text()),
        tags::TOPIC => EntityName::Topic(text()),
        tags::GROUP => EntityName::ThingGroup(text()),
        tags::FLEET => EntityName::Fleet,
        tags::CLAIMED => EntityName::ClaimedClientId(text()),
        _ => EntityName::Thing(text()),
    }
}

/// An address of four or sixteen bytes.
fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|| <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets))))
}
