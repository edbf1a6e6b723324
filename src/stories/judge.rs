//! Alarms against labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use datasets::recording::{Capture, Entity, Recording, Truth};
use detector::transition::{EntityName, Transition, TransitionKind};
use fleet::time::Timestamp;
use ipnet::IpNet;
use serde::Serialize;

use super::tape::Tape;

/// An alarm may come this late: the window in which the attack ends is judged at its end.
const WINDOW_MS: i64 = 300_000;

/// All rows.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stories {
    /// A row for each kind of attack or fault in a capture.
    pub attacks: Vec<Attack>,
    /// A row for each capture that has something benign.
    pub benign: Vec<Benign>,
}

/// One kind of attack or fault in a capture.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attack {
    /// The set.
    pub data_set: &'static str,
    /// The capture.
    pub capture: &'static str,
    /// The set's word for it.
    pub attack: String,
    /// How often it happens.
    pub times: usize,
    /// How often it was caught.
    pub caught: usize,
    /// Behaviors that caught it, each with how often, the first to do so first.
    pub by: Vec<(String, usize)>,
    /// Seconds from the first packet to the first alarm: median of those caught.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_secs: Option<f64>,
    /// The longest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_secs_max: Option<f64>,
    /// Alarms on whom it is about, while it lasts.
    pub alarms: usize,
    /// Why some were not caught; empty if all were.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub missed: String,
}

/// The benign part of a capture.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Benign {
    /// The set.
    pub data_set: &'static str,
    /// The capture.
    pub capture: &'static str,
    /// Devices in it.
    pub devices: usize,
    /// Hours that the capture covers.
    pub hours: f64,
    /// Hours of devices outside of attacks on them.
    pub device_hours: f64,
    /// Alarms outside of attacks.
    pub false_alarms: usize,
    /// The same by device-hour.
    pub per_device_hour: f64,
    /// The same by day of the capture.
    pub per_day: f64,
    /// Behaviors that raised them, each with how often.
    pub by: BTreeMap<String, usize>,
}

/// An alarm, and until when it lasts.
#[derive(Clone, Copy, Debug)]
struct Alarm<'a> {
    raised: &'a Transition,
    until: Timestamp,
}

impl<'a> Alarm<'a> {
    /// All of a capture, in the order in which they are raised.
    fn all(transitions: &'a [Transition]) -> Vec<Self> {
        let ends: BTreeMap<&str, Timestamp> = transitions
            .iter()
            .filter(|transition| transition.kind != TransitionKind::InAlarm)
            .map(|transition| (transition.violation_id.as_str(), transition.at))
            .collect();
        let raised = transitions.iter().filter(|transition| transition.kind == TransitionKind::InAlarm);
        let end = |raised: &Transition| ends.get(raised.violation_id.as_str()).copied();
        let forever = Timestamp::from_millis(i64::MAX);
        raised.map(|raised| Self { raised, until: end(raised).unwrap_or(forever) }).collect()
    }
}

/// The alarms of a capture beside its labels.
struct Matching<'a> {
    tape: &'a Tape,
    alarms: Vec<Alarm<'a>>,
    grace_ms: i64,
}

impl Matching<'_> {
    /// Whether the alarm was raised during the attack, by whom the attack is about.
    fn is_raised_by(&self, alarm: &Alarm<'_>, truth: &Truth) -> bool {
        let at = alarm.raised.at;
        at >= truth.from && at <= truth.to.plus_millis(self.grace_ms) && self.concerns(alarm, truth)
    }

    fn concerns(&self, alarm: &Alarm<'_>, truth: &Truth) -> bool {
        truth.entities.iter().any(|entity| is_about(alarm.raised, entity, self.tape))
    }

    /// Seconds until the alarm tells of the attack: 0 if it still lasts since an earlier one.
    fn delay(&self, alarm: &Alarm<'_>, truth: &Truth, truths: &[Truth]) -> Option<f64> {
        if self.is_raised_by(alarm, truth) {
            return Some(seconds(alarm.raised.at.millis_since(truth.from)));
        }
        let lasts = alarm.raised.at < truth.from && alarm.until > truth.from && self.concerns(alarm, truth);
        let was_right = || truths.iter().any(|earlier| self.is_raised_by(alarm, earlier));
        (lasts && was_right()).then_some(0.0)
    }
}

/// Adds the rows of a capture.
pub(super) fn judge(
    capture: &Capture,
    recording: &Recording,
    tape: &Tape,
    transitions: &[Transition],
    stories: &mut Stories,
) {
    let grace_ms = WINDOW_MS + i64::from(recording.report_secs.unwrap_or(0)) * 1000;
    let matching = Matching { tape, alarms: Alarm::all(transitions), grace_ms };
    let kinds: BTreeSet<&str> = recording.truths.iter().map(|truth| truth.kind.as_str()).collect();
    for kind in kinds {
        stories.attacks.push(attack(capture, kind, &recording.truths, &matching));
    }
    let is_false =
        |alarm: &&Alarm<'_>| !recording.truths.iter().any(|truth| matching.is_raised_by(alarm, truth));
    let outside = matching.alarms.iter().filter(is_false).map(|alarm| alarm.raised);
    stories.benign.extend(benign(capture, recording, tape, outside));
}

/// Whether an alarm is about the entity: itself, its address, or a device that connects from it.
fn is_about(alarm: &Transition, entity: &Entity, tape: &Tape) -> bool {
    let addresses = |thing: &str| tape.things().get(thing);
    match (&alarm.entity, entity) {
        (_, Entity::Anyone) => true,
        (EntityName::Thing(thing), Entity::Thing(name)) => thing == name,
        (EntityName::SourceIp(ip), Entity::Address(other)) => ip == other,
        (EntityName::Thing(thing), Entity::Address(ip)) => {
            addresses(thing).is_some_and(|all| all.contains(ip))
        }
        (EntityName::SourceIp(ip), Entity::Thing(name)) => {
            addresses(name).is_some_and(|all| all.contains(ip))
        }
        // Whatever happens, happens to the fleet as well.
        (EntityName::Fleet, Entity::Thing(_) | Entity::Address(_)) => true,
        // Whose id was claimed suffers the attack.
        (EntityName::ClaimedClientId(claimed), Entity::Thing(name)) => claimed == name,
        (EntityName::Network(network), Entity::Address(ip)) => holds(network, *ip),
        (EntityName::Network(network), Entity::Thing(name)) => {
            addresses(name).is_some_and(|all| all.iter().any(|&ip| holds(network, ip)))
        }
        (EntityName::ClaimedClientId(_), Entity::Address(_))
        | (
            EntityName::Principal(_) | EntityName::Topic(_) | EntityName::ThingGroup(_),
            Entity::Thing(_) | Entity::Address(_),
        ) => false,
    }
}

/// Whether a network, as an alarm names it, holds an address.
fn holds(network: &str, ip: IpAddr) -> bool {
    network.parse::<IpNet>().is_ok_and(|network| network.contains(&ip))
}

fn name_of(alarm: &Transition) -> String {
    format!("{}/{}", alarm.profile, alarm.behavior)
}

fn attack(capture: &Capture, kind: &str, all: &[Truth], matching: &Matching<'_>) -> Attack {
    let truths: Vec<&Truth> = all.iter().filter(|truth| truth.kind == kind).collect();
    let (mut delays, mut missed, mut during) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut by: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    for truth in &truths {
        let mut first: BTreeMap<String, f64> = BTreeMap::new();
        for alarm in &matching.alarms {
            let Some(delay) = matching.delay(alarm, truth, all) else { continue };
            during.insert(&alarm.raised.id);
            if fits(kind, &alarm.raised.metric) {
                let entry = first.entry(name_of(alarm.raised)).or_insert(delay);
                *entry = entry.min(delay);
            }
        }
        match first.values().copied().min_by(f64::total_cmp) {
            Some(delay) => delays.push(delay),
            None => missed.push(*truth),
        }
        for (name, delay) in first {
            let entry = by.entry(name).or_insert((delay, 0));
            *entry = (entry.0.min(delay), entry.1 + 1);
        }
    }
    delays.sort_by(f64::total_cmp);
    let mut by: Vec<(String, (f64, usize))> = by.into_iter().collect();
    by.sort_by(|a, b| a.1.0.total_cmp(&b.1.0).then_with(|| a.0.cmp(&b.0)));
    Attack {
        data_set: capture.set,
        capture: capture.name,
        attack: kind.to_owned(),
        times: truths.len(),
        caught: delays.len(),
        by: by.into_iter().map(|(name, (_, count))| (name, count)).collect(),
        after_secs: delays.get(delays.len() / 2).copied(),
        after_secs_max: delays.last().copied(),
        alarms: during.len(),
        missed: why(&missed, matching),
    }
}

/// Milliseconds as seconds, to a tenth.
fn seconds(millis: i64) -> f64 {
    (millis as f64 / 100.0).round() / 10.0
}

/// Whether a metric can tell a kind of incident of a broker's log. Elsewhere a label is about a
/// device, and every alarm on it counts.
fn fits(kind: &str, metric: &str) -> bool {
    let words: &[&str] = match kind {
        "auth_failure_burst" => &["authorization-failures", "connection-attempts"],
        "client_id_takeover_loop" => &["takeover", "disconnects", "connection-attempts"],
        "reconnect_storm" => &["connection-attempts", "disconnects", "reconnect"],
        "connect_rate_high" => &["connection-attempts", "reconnect", "client-ids"],
        "half_open_flood" => &["connection-errors", "connection-attempts"],
        "internet_probe" => &["probes", "connection-errors", "connection-attempts"],
        "keepalive_timeout_burst" => &["disconnect", "keepalive", "flaps"],
        "protocol_error_burst" => &["protocol", "connection-errors", "disconnects"],
        "tls_failure_burst" => &["tls", "connection-errors"],
        "broker_restart_loop" => &["broker"],
        _ => return true,
    };
    words.iter().any(|word| metric.contains(word))
}

/// How loud the incidents were that were not caught.
fn why(missed: &[&Truth], matching: &Matching<'_>) -> String {
    if missed.is_empty() {
        return String::new();
    }
    let peak = missed.iter().fold((0, 0, None), |peak, truth| {
        let (from, to) = (truth.from, truth.to.plus_millis(matching.grace_ms));
        let in_it = matching.tape.reports().iter().filter(|it| it.at >= from && it.at <= to);
        let own = in_it.filter(|it| truth.entities.contains(&Entity::Thing(it.thing.clone())));
        own.fold(peak, |peak: (u64, u64, Option<u64>), it| {
            (peak.0.max(it.bytes_out), peak.1.max(it.packets_out), peak.2.max(it.connections))
        })
    });
    let parts: u64 = missed.iter().map(|truth| truth.parts).sum();
    if matching.tape.reports().is_empty() {
        let longest = missed.iter().map(|truth| truth.to.millis_since(truth.from)).max().unwrap_or(0);
        return format!("stays under the limits: {parts} events, at most {} s each", longest / 1000);
    }
    let connections = peak.2.map(|count| format!(", {count} connections")).unwrap_or_default();
    format!("{parts} flows; largest report: {} bytes and {} packets out{connections}", peak.0, peak.1)
}

fn benign<'a>(
    capture: &Capture,
    recording: &Recording,
    tape: &Tape,
    outside: impl Iterator<Item = &'a Transition>,
) -> Option<Benign> {
    let (from, to) = tape.span()?;
    let hours = hours(from, to);
    let devices = tape.things().len();
    let whole = recording
        .truths
        .iter()
        .any(|truth| truth.entities.contains(&Entity::Anyone) && truth.from <= from && truth.to >= to);
    if whole {
        return None;
    }
    // Hours of attacks on single devices are not benign ones; incidents of a log are short.
    let attacked: f64 = recording
        .truths
        .iter()
        .map(|truth| {
            let things = truth.entities.iter().filter(|entity| matches!(entity, Entity::Thing(_))).count();
            things as f64 * self::hours(truth.from, truth.to)
        })
        .sum();
    let device_hours = (tape.device_hours(recording.report_secs) - attacked).max(0.0);
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    for alarm in outside {
        *by.entry(name_of(alarm)).or_default() += 1;
    }
    let false_alarms = by.values().sum();
    let rate = |whole: f64| if whole > 0.0 { false_alarms as f64 / whole } else { 0.0 };
    Some(Benign {
        data_set: capture.set,
        capture: capture.name,
        devices,
        hours: round(hours, 100.0),
        device_hours: round(device_hours, 100.0),
        false_alarms,
        per_device_hour: round(rate(device_hours), 100_000.0),
        per_day: round(rate(hours / 24.0), 100.0),
        by,
    })
}

fn hours(from: Timestamp, to: Timestamp) -> f64 {
    to.millis_since(from) as f64 / 3_600_000.0
}

fn round(value: f64, unit: f64) -> f64 {
    (value * unit).round() / unit
}
