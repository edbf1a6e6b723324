//! One JSON object a line, for scripts.

use std::io::{self, Write};

use detector::transition::{EntityName, Transition};
use serde_json::{Value, json};

use super::{
    board::{Board, Quarantine, Stats, entity_text, kind_name},
    story::Hello,
};

pub(super) fn hello(hello: &Hello) -> Value {
    json!({
        "kind": "hello",
        "seed": hello.seed,
        "devices": hello.devices,
        "speed": hello.speed,
        "forSecs": hello.for_secs,
        "startsAt": hello.starts_at,
        "broker": hello.broker,
        "profiles": hello.profiles,
        "acting": true,
    })
}

pub(super) fn stats(stats: &Stats, board: &Board) -> Value {
    json!({
        "kind": "stats",
        "at": stats.at,
        "wallSecs": stats.wall_secs,
        "events": stats.events,
        "eventsPerSec": stats.events_per_sec,
        "reports": stats.reports,
        "dropped": stats.dropped,
        "connected": stats.standing.connected,
        "reporting": stats.standing.reporting,
        "silent": stats.standing.silent,
        "journalBytes": stats.journal_bytes,
        "openAlarms": board.open.len(),
        "quarantined": board.quarantines.iter().filter(|known| known.proved == Some(true)).count(),
        "stalls": stats.stalls,
    })
}

pub(super) fn transition(transition: &Transition) -> Value {
    let is_thing = matches!(transition.entity, EntityName::Thing(_));
    json!({
        "kind": "transition",
        "transition": kind_name(transition.kind),
        "id": transition.id,
        "violationId": transition.violation_id,
        "at": transition.at,
        entity_key(is_thing): entity_text(&transition.entity),
        "profile": transition.profile,
        "behavior": transition.behavior,
        "metric": transition.metric,
        "value": transition.value,
        "expected": transition.expected,
        "attribution": transition.attribution,
        "startedAt": transition.started_at,
    })
}

pub(super) fn mitigation(quarantine: &Quarantine) -> Value {
    json!({
        "kind": "mitigation",
        "action": "quarantine",
        "thing": quarantine.thing,
        "because": quarantine.because,
        "at": quarantine.at,
        "proved": quarantine.proved,
        "note": quarantine.note,
        "checks": quarantine.checks,
    })
}

/// The member that names whom a transition is about.
pub(super) const fn entity_key(is_thing: bool) -> &'static str {
    if is_thing { "thing" } else { "sourceIp" }
}

/// Writes one line at once, so that a reader never sees half of one.
pub(super) fn write(out: &mut impl Write, value: &Value) -> io::Result<()> {
    let mut line = value.to_string();
    line.push('\n');
    out.write_all(line.as_bytes())?;
    out.flush()
}
