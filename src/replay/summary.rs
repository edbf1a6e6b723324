//! Alarms of a replay, by behavior.

use std::collections::{BTreeMap, BTreeSet};

use behaviors::set::{Compiled, EntityKind};
use detector::{engine::Engine, transition::EntityName};
use fleet::time::Timestamp;
use serde::Serialize;

use super::{
    select::Selection,
    violations::{Violation, entity_text},
};
use crate::cli::output;

/// One behavior's alarms.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Security profile.
    pub profile: String,
    /// Behavior.
    pub behavior: String,
    /// Violations that began in the range.
    pub alarms: usize,
    /// Of these, those still open at the end.
    pub open: usize,
    /// Things or addresses that had one.
    pub devices: usize,
    /// Things or addresses that the behavior watches, at the end.
    pub watched: usize,
    /// Alarms by watched device and day; absent where nobody is watched or no time passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_device_day: Option<f64>,
    /// Milliseconds of the longest one.
    pub longest_ms: i64,
    /// Whose it was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub longest_of: String,
}

/// How many entities each behavior watches.
pub type Watched = BTreeMap<(String, String), usize>;

/// Counts the selected things that each behavior of the engine's rules applies to.
#[must_use]
pub fn watched(engine: &Engine, selection: &Selection) -> Watched {
    let front = engine.front();
    let (profiles, _) = behaviors::profile::parse_files(&front.rules().profiles);
    let compiled = profiles.compile(front.rules().bucket_secs);
    let mut counts: Watched = BTreeMap::new();
    let (_, addresses) = front.followed();
    for behavior in compiled.behaviors() {
        let by_address = matches!(behavior.entity, EntityKind::SourceIp { .. });
        let count = if by_address { addresses as usize } else { 0 };
        counts.insert((behavior.profile.to_string(), behavior.name.to_string()), count);
    }
    let mut by_set = BTreeMap::new();
    for thing in front.things().filter(|thing| selection.wants_thing(front.registry(), thing)) {
        *by_set.entry(compiled.set_for(thing, front.registry())).or_insert(0_usize) += 1;
    }
    add_sets(&compiled, &by_set, &mut counts);
    counts
}

fn add_sets(compiled: &Compiled, by_set: &BTreeMap<behaviors::set::SetId, usize>, counts: &mut Watched) {
    for (&set, &things) in by_set {
        for behavior in compiled.set(set).behaviors() {
            let key = (behavior.profile.to_string(), behavior.name.to_string());
            *counts.entry(key).or_default() += things;
        }
    }
}

/// The rows of a replay over `days` days whose last moment is `until`: every behavior that watches
/// anybody or has alarmed, by profile and behavior.
#[must_use]
pub fn rows(violations: &[Violation], watched: &Watched, days: f64, until: Timestamp) -> Vec<Row> {
    let mut by_behavior: BTreeMap<(String, String), Vec<&Violation>> =
        watched.keys().map(|key| (key.clone(), Vec::new())).collect();
    for violation in violations {
        let key = (violation.profile.clone(), violation.behavior.clone());
        by_behavior.entry(key).or_default().push(violation);
    }
    let row = |(key, violations): ((String, String), Vec<&Violation>)| {
        let devices: BTreeSet<&EntityName> = violations.iter().map(|violation| &violation.entity).collect();
        let watched = watched.get(&key).copied().unwrap_or(0).max(devices.len());
        let longest = violations
            .iter()
            .max_by(|a, b| a.millis(until).cmp(&b.millis(until)).then(b.started_at.cmp(&a.started_at)));
        let exposure = watched as f64 * days;
        Row {
            profile: key.0,
            behavior: key.1,
            alarms: violations.len(),
            open: violations.iter().filter(|violation| violation.ended_at.is_none()).count(),
            devices: devices.len(),
            watched,
            per_device_day: (exposure > 0.0).then(|| violations.len() as f64 / exposure),
            longest_ms: longest.map_or(0, |longest| longest.millis(until)),
            longest_of: longest.map(|longest| entity_text(&longest.entity)).unwrap_or_default(),
        }
    };
    by_behavior.into_iter().map(row).collect()
}

/// The rows as a table for people.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let heading = [
        "PROFILE",
        "BEHAVIOR",
        "ALARMS",
        "OPEN",
        "DEVICES",
        "WATCHED",
        "PER DEVICE AND DAY",
        "LONGEST",
        "OF",
    ];
    let cells = |row: &Row| {
        vec![
            row.profile.clone(),
            row.behavior.clone(),
            row.alarms.to_string(),
            row.open.to_string(),
            row.devices.to_string(),
            row.watched.to_string(),
            row.per_device_day.map_or_else(|| "-".into(), rate),
            if row.alarms == 0 { "-".into() } else { duration(row.longest_ms) },
            if row.longest_of.is_empty() { "-".into() } else { output::printable(&row.longest_of) },
        ]
    };
    output::table(&heading, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// A rate with three significant digits.
#[must_use]
pub fn rate(rate: f64) -> String {
    if rate == 0.0 {
        return "0".into();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a float fits")]
    let places = (2.0 - rate.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{rate:.places$}")
}

/// Milliseconds as people read them: the two largest units.
#[must_use]
pub fn duration(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let secs = millis.unsigned_abs() / 1000;
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    let text = match (days, hours, minutes) {
        (0, 0, 0) if secs == 0 => format!("{} ms", millis.unsigned_abs()),
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min {} s", secs % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(thing: &str, behavior: &str, start: i64, end: Option<i64>) -> Violation {
        Violation {
            id: format!("{thing}-{start}"),
            entity: EntityName::Thing(thing.into()),
            profile: "p".into(),
            behavior: behavior.into(),
            value: None,
            expected: String::new(),
            started_at: Timestamp::from_secs(start),
            ended_at: end.map(Timestamp::from_secs),
            end: end.map(|_| detector::transition::TransitionKind::AlarmCleared),
        }
    }

    #[test]
    fn alarms_are_counted_by_behavior_device_and_day() {
        let watched = [(("p", "flood"), 10), (("p", "quiet"), 4)];
        let watched = watched.map(|((p, b), n)| ((p.to_owned(), b.to_owned()), n)).into();
        let violations = [
            violation("a", "flood", 0, Some(300)),
            violation("a", "flood", 900, Some(960)),
            violation("b", "flood", 100, None),
        ];
        let rows = rows(&violations, &watched, 2.0, Timestamp::from_secs(7_300));
        let seen: Vec<_> = rows
            .iter()
            .map(|r| (r.behavior.as_str(), r.alarms, r.open, r.devices, r.watched, r.per_device_day))
            .collect();
        assert_eq!(seen, [("flood", 3, 1, 2, 10, Some(0.15)), ("quiet", 0, 0, 0, 4, Some(0.0))]);
        assert_eq!((rows[0].longest_ms, rows[0].longest_of.as_str()), (7_200_000, "b"));
        let expected = "\
PROFILE  BEHAVIOR  ALARMS  OPEN  DEVICES  WATCHED  PER DEVICE AND DAY  LONGEST    OF
p        flood     3       1     2        10       0.150               2 h 0 min  b
p        quiet     0       0     0        4        0                   -          -";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn rates_and_durations_read_plainly() {
        let rates =
            [(0.0, "0"), (0.15, "0.150"), (12.34, "12.3"), (0.000_123_4, "0.000123"), (4321.0, "4321")];
        for (value, text) in rates {
            assert_eq!(rate(value), text);
        }
        let durations = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (90_000_000, "1 d 1 h"),
            (-61_000, "-1 min 1 s"),
        ];
        for (millis, text) in durations {
            assert_eq!(duration(millis), text);
        }
    }
}
