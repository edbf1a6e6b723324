//! What there is to show: a bounded picture of what happened so far.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use detector::transition::{EntityName, MetricValue, Transition, TransitionKind};
use fleet::time::Timestamp;
use mitigations::{
    control::Check,
    task::{Task, TaskState},
};

use super::player::Standing;

/// Lines of the log that are kept; the oldest go first.
const LOG_MAX: usize = 500;

/// Alarms, facts and quarantines that are kept. A story has a few dozen; past this further ones
/// are counted only.
const KEPT_MAX: usize = 10_000;

/// Numbers of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Stats {
    pub(super) at: Timestamp,
    pub(super) wall_secs: u64,
    pub(super) events: u64,
    pub(super) events_per_sec: u64,
    pub(super) dropped: u64,
    pub(super) reports: u64,
    pub(super) journal_bytes: u64,
    pub(super) standing: Standing,
    pub(super) stalls: u64,
}

/// An alarm that is open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OpenAlarm {
    pub(super) entity: String,
    pub(super) behavior: String,
    pub(super) value: String,
    pub(super) expected: String,
    pub(super) since: Timestamp,
}

/// A thing that was answered with quarantine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quarantine {
    pub(super) thing: String,
    pub(super) because: String,
    pub(super) at: Timestamp,
    /// Whether it was seen to hold; `None` while it is under way.
    pub(super) proved: Option<bool>,
    pub(super) checks: Vec<Check>,
    pub(super) note: String,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogLine {
    pub(super) at: Timestamp,
    pub(super) kind: LogKind,
    pub(super) text: String,
}

/// What a line of the log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogKind {
    Opened,
    Cleared,
    Quarantined,
    NotHeld,
}

/// One entry of the story as told: the same for the same seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// `in-alarm`, `alarm-cleared` or `alarm-invalidated`.
    pub transition: &'static str,
    /// Thing, or source address.
    pub entity: String,
    /// Whether it is a thing.
    pub is_thing: bool,
    /// Security profile.
    pub profile: String,
    /// Behavior.
    pub behavior: String,
    /// Metric.
    pub metric: String,
}

/// Everything there is to show.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) stats: Stats,
    pub(super) open: BTreeMap<String, OpenAlarm>,
    pub(super) log: VecDeque<LogLine>,
    pub(super) quarantines: Vec<Quarantine>,
    pub(super) told: BTreeSet<Told>,
    /// Violations that were shown.
    shown: BTreeSet<String>,
    pub(super) opened: u64,
    pub(super) cleared: u64,
}

impl Board {
    pub(super) fn transition(&mut self, transition: &Transition) {
        let entity = entity_text(&transition.entity);
        if self.told.len() < KEPT_MAX {
            self.told.insert(told(transition));
        }
        let what = format!("{entity}  {}", transition.behavior);
        match transition.kind {
            TransitionKind::InAlarm => {
                self.opened += 1;
                if self.shown.len() < KEPT_MAX {
                    self.shown.insert(transition.violation_id.clone());
                }
                let value = transition.value.as_ref().map(value_text).unwrap_or_default();
                self.log(
                    transition.at,
                    LogKind::Opened,
                    format!("{what}: {value}, expected {}", transition.expected),
                );
                let alarm = OpenAlarm {
                    entity,
                    behavior: transition.behavior.clone(),
                    value,
                    expected: transition.expected.clone(),
                    since: transition.at,
                };
                if self.open.len() < KEPT_MAX {
                    self.open.insert(transition.violation_id.clone(), alarm);
                }
            }
            TransitionKind::AlarmCleared | TransitionKind::AlarmInvalidated => {
                self.cleared += 1;
                self.open.remove(&transition.violation_id);
                self.log(transition.at, LogKind::Cleared, what);
            }
        }
    }

    /// Takes in how far a task is. True if that is worth telling. An answer can be quicker than
    /// the news of its alarm, and is then left for the next time, so that it is shown after it.
    pub(super) fn task(&mut self, task: &Task) -> bool {
        if !self.shown.contains(&task.violation_id) {
            return false;
        }
        let (proved, checks, note) = match &task.state {
            TaskState::Verified { checks } => (Some(true), checks.clone(), "proved".to_owned()),
            TaskState::NotHeld { seen } => (Some(false), Vec::new(), format!("does not hold: {seen}")),
            TaskState::Failed { error, .. } => (Some(false), Vec::new(), format!("failed: {error}")),
            _ => (None, Vec::new(), task.state.name().to_owned()),
        };
        let because = task.behavior.clone();
        let quarantine =
            Quarantine { thing: task.thing.clone(), because, at: task.updated_at, proved, checks, note };
        let room = self.quarantines.len() < KEPT_MAX;
        let known = self.quarantines.iter_mut().find(|known| known.thing == quarantine.thing);
        let news = match known {
            // The first answer to a thing counts; a later one of the same kind changes nothing.
            Some(known) if known.proved == quarantine.proved || known.proved == Some(true) => false,
            Some(known) => {
                known.clone_from(&quarantine);
                true
            }
            None if room => {
                self.quarantines.push(quarantine.clone());
                true
            }
            None => false,
        };
        if news && let Some(proved) = quarantine.proved {
            let held = quarantine.checks.iter().filter(|check| check.held).count();
            let text = match proved {
                true => format!("{} in quarantine, {held} checks held", quarantine.thing),
                false => format!("{}: {}", quarantine.thing, quarantine.note),
            };
            let kind = if proved { LogKind::Quarantined } else { LogKind::NotHeld };
            self.log(quarantine.at, kind, text);
        }
        news && quarantine.proved.is_some()
    }

    pub(super) fn is_quarantined(&self, thing: &str) -> bool {
        self.quarantines.iter().any(|quarantine| quarantine.thing == thing && quarantine.proved == Some(true))
    }

    fn log(&mut self, at: Timestamp, kind: LogKind, text: String) {
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(LogLine { at, kind, text });
    }
}

fn told(transition: &Transition) -> Told {
    Told {
        transition: kind_name(transition.kind),
        entity: entity_text(&transition.entity),
        is_thing: matches!(transition.entity, EntityName::Thing(_)),
        profile: transition.profile.clone(),
        behavior: transition.behavior.clone(),
        metric: transition.metric.clone(),
    }
}

/// The word of the AWS API.
pub(super) const fn kind_name(kind: TransitionKind) -> &'static str {
    match kind {
        TransitionKind::InAlarm => "in-alarm",
        TransitionKind::AlarmCleared => "alarm-cleared",
        TransitionKind::AlarmInvalidated => "alarm-invalidated",
    }
}

pub(super) fn entity_text(entity: &EntityName) -> String {
    entity.text()
}

/// A value as people read it.
pub(super) fn value_text(value: &MetricValue) -> String {
    match value {
        MetricValue::Count(count) => count.to_string(),
        MetricValue::Number(number) => number.to_string(),
        MetricValue::Cidrs(items) | MetricValue::Strings(items) => items.join(", "),
        MetricValue::Ports(ports) => joined(ports.iter()),
        MetricValue::Numbers(numbers) => joined(numbers.iter()),
    }
}

fn joined<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
