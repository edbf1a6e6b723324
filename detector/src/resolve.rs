//! Numbers back to names: from what shards decide to transitions that stand on their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use behaviors::set::MetricKey;
use fleet::time::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    front::{TAG_V4, TAG_V6},
    names::NameList,
    output::Datapoints,
    shard::{Raw, Row},
    transition::{EntityName, Transition, TransitionKind},
};

/// Puts decisions of all shards into the one order that does not depend on their number:
/// by record, entity, and behavior. An entity's own order is kept.
pub(crate) fn sort(raws: &mut [Raw]) {
    raws.sort_by_key(|raw| (raw.seq, raw.entity, raw.order));
}

/// The transition that stands on its own.
pub(crate) fn transition(raw: Raw, entities: &NameList, principals: &NameList) -> Transition {
    let name = entities.get(raw.entity).unwrap_or_default();
    let behavior = &raw.behavior;
    let violation = {
        let alarm = raw.alarm;
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
    let principal = principals.get(raw.principal).and_then(<[u8]>::split_first);
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
pub(crate) fn datapoints(rows: &mut Vec<Row>, entities: &NameList) -> Vec<Datapoints> {
    let mut blocks: Vec<Datapoints> = Vec::new();
    if rows.is_empty() {
        return blocks;
    }
    rows.sort_by(|a, b| block(a).cmp(&block(b)).then(a.entity.cmp(&b.entity)));
    let mut before = None;
    for row in rows.drain(..) {
        let name = entities.get(row.entity).unwrap_or_default();
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
                dimension: None,
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
fn block(row: &Row) -> (u64, Timestamp, &MetricKey, &'static str, bool) {
    (row.seq, row.end, &row.collector.metric, row.collector.aggregate.name(), row.collector.export)
}

const fn kind_number(kind: TransitionKind) -> u8 {
    match kind {
        TransitionKind::InAlarm => 1,
        TransitionKind::AlarmCleared => 2,
        TransitionKind::AlarmInvalidated => 3,
    }
}

fn entity_name(name: &[u8]) -> EntityName {
    let (tag, rest) = name.split_first().unwrap_or((&0, &[]));
    let v4 = || <[u8; 4]>::try_from(rest).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = || <[u8; 16]>::try_from(rest).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
    let address = match *tag {
        TAG_V4 => v4(),
        TAG_V6 => v6(),
        _ => None,
    };
    match address {
        Some(address) => EntityName::SourceIp(address),
        None => EntityName::Thing(String::from_utf8_lossy(rest).into_owned()),
    }
}
