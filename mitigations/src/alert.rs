//! What is sent to people: alarms, and notices about what Fleetward itself did or could not do.

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    alarm::Alarm,
    control::Check,
    guard::{Plan, Planned},
    incident::{How, Incident, Sample, Taken},
    task::{During, Task, TaskId, TaskState, short_hash},
};

/// Something that is sent to sinks, at least once, with a stable id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Alert {
    /// A violation begins or ends.
    Alarm(Box<AlarmAlert>),
    /// Something about a response.
    Notice(Box<Notice>),
    /// Alarms with one cause, counted.
    Incident(Box<IncidentAlert>),
    /// Behaviors became blind, or see again.
    Coverage(Box<CoverageAlert>),
}

/// An alarm with what is done about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmAlert {
    /// The alarm.
    pub alarm: Alarm,
    /// What was decided, one entry per action.
    pub responses: Vec<ResponseNote>,
    /// The incident that it belongs to, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The incident tells of it: it goes by itself only to sinks that take every alarm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gathered: bool,
}

/// What a message about an incident says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentMessage {
    /// There is one.
    Opened,
    /// It changed.
    Update,
    /// No violation of it is left.
    Cleared,
}

impl IncidentMessage {
    /// The word used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Update => "update",
            Self::Cleared => "cleared",
        }
    }
}

/// A message about an incident, as of when it entered the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentAlert {
    /// Stable id of this message.
    pub id: String,
    /// What it says.
    pub kind: IncidentMessage,
    /// The incident as it was.
    pub incident: Incident,
    /// Samples of what is new since the last message.
    pub fresh: Vec<Sample>,
}

/// Behaviors became blind, or see again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CoverageAlert {
    /// Stable id.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Those that became blind, at most [`COVERAGE_MAX`].
    pub blind: Vec<BehaviorCoverage>,
    /// How many became blind.
    pub blind_total: usize,
    /// Those that see again, at most [`COVERAGE_MAX`].
    pub seeing: Vec<BehaviorCoverage>,
    /// How many see again.
    pub seeing_total: usize,
}

/// Behaviors that a message about coverage names at most; the rest is counted.
pub const COVERAGE_MAX: usize = 20;

/// What a behavior sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BehaviorCoverage {
    /// Security profile.
    pub profile: String,
    /// Behavior.
    pub behavior: String,
    /// Why it is blind, or was.
    pub why: String,
}

/// What was decided about one action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseNote {
    /// Action.
    pub action: String,
    /// Task that records it.
    pub task: TaskId,
    /// `act`, `dry-run`, `held` or `undo`.
    pub plan: String,
    /// In words.
    pub text: String,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A guard rail held an action back.
    Held,
    /// An action would have been carried out.
    DryRun,
    /// An action was carried out and holds.
    Done,
    /// An action was carried out, but does not hold.
    NotHeld,
    /// An action failed.
    Failed,
    /// An action was undone.
    Undone,
}

impl NoticeKind {
    /// The word used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::DryRun => "dry-run",
            Self::Done => "done",
            Self::NotHeld => "not-held",
            Self::Failed => "failed",
            Self::Undone => "undone",
        }
    }
}

/// A notice about a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Stable id.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub kind: NoticeKind,
    /// The task.
    pub task: TaskId,
    /// Its action.
    pub action: String,
    /// Its thing.
    pub thing: String,
    /// Alarm that it answers.
    pub alarm_id: String,
    /// Its profile.
    pub profile: String,
    /// Its behavior.
    pub behavior: String,
    /// What happened, in sentences.
    pub text: String,
}

impl Alert {
    /// Stable id: the same alert always has the same.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Alarm(alert) => &alert.alarm.id,
            Self::Notice(notice) => &notice.id,
            Self::Incident(incident) => &incident.id,
            Self::Coverage(coverage) => &coverage.id,
        }
    }

    /// Whether it is an alarm or speaks for alarms; the others are the first to go when a queue is full.
    #[must_use]
    pub const fn is_alarm(&self) -> bool {
        matches!(self, Self::Alarm(_) | Self::Incident(_))
    }

    /// Whether it is an alarm that its incident tells of.
    #[must_use]
    pub const fn is_gathered(&self) -> bool {
        match self {
            Self::Alarm(alarm) => alarm.gathered,
            Self::Notice(_) | Self::Incident(_) | Self::Coverage(_) => false,
        }
    }
}

/// The alert for an alarm; `None` where no notification is wanted.
#[must_use]
pub fn of_alarm(alarm: &Alarm, responses: Vec<ResponseNote>) -> Option<Alert> {
    (!alarm.suppressed).then(|| {
        let (incident, gathered) = (None, false);
        Alert::Alarm(Box::new(AlarmAlert { alarm: alarm.clone(), responses, incident, gathered }))
    })
}

/// The alert for an alarm of an incident; `None` where no notification is wanted.
#[must_use]
pub fn of_alarm_in(alarm: &Alarm, responses: Vec<ResponseNote>, taken: Taken) -> Option<Alert> {
    let mut alert = of_alarm(alarm, responses)?;
    if let Alert::Alarm(own) = &mut alert {
        own.incident = taken.incident;
        own.gathered = taken.how == How::Gathered;
    }
    Some(alert)
}

/// The alert that behaviors became blind, or see again, at `at`.
#[must_use]
pub fn of_coverage(blind: &[BehaviorCoverage], seeing: &[BehaviorCoverage], at: Timestamp) -> Alert {
    let mut parts = vec!["coverage".to_owned(), at.millis().to_string()];
    parts.extend(blind.iter().map(|one| format!("blind {}/{}", one.profile, one.behavior)));
    parts.extend(seeing.iter().map(|one| format!("sees {}/{}", one.profile, one.behavior)));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let some = |all: &[BehaviorCoverage]| all.iter().take(COVERAGE_MAX).cloned().collect();
    Alert::Coverage(Box::new(CoverageAlert {
        id: short_hash(&parts),
        at,
        blind: some(blind),
        blind_total: blind.len(),
        seeing: some(seeing),
        seeing_total: seeing.len(),
    }))
}

/// What was decided, for the alarm's own alert.
#[must_use]
pub fn note(planned: &Planned) -> ResponseNote {
    let action = planned.action.name.to_string();
    let (plan, text) = match &planned.plan {
        Plan::Act => ("act", format!("`{action}` is being carried out")),
        Plan::DryRun => ("dry-run", format!("`{action}` would be carried out, but acting is switched off")),
        Plan::Held { reason } => ("held", format!("`{action}` is not carried out: {reason}")),
    };
    ResponseNote { action, task: planned.task.clone(), plan: plan.into(), text }
}

/// The note that a clearing alarm undoes `task`.
#[must_use]
pub fn undo_note(task: &Task) -> ResponseNote {
    let action = task.action.name.to_string();
    let text = format!("`{action}` is being undone");
    ResponseNote { action, task: task.id.clone(), plan: "undo".into(), text }
}

/// The notice that a decision was not carried out, with how long nothing more is said of its kind.
#[must_use]
pub fn of_decision(task: &Task, span_secs: u32) -> Option<Alert> {
    let action = &task.action.name;
    let more = format!("More of the same within {span_secs} s are recorded without a notice.");
    match &task.state {
        TaskState::Held { reason } => {
            let text = format!("`{action}` was not carried out on `{}`: {reason}. {more}", task.thing);
            Some(notice(task, NoticeKind::Held, text))
        }
        TaskState::DryRun => {
            let text = format!(
                "`{action}` would have been carried out on `{}`, but acting is switched off. {more}",
                task.thing
            );
            Some(notice(task, NoticeKind::DryRun, text))
        }
        _ => None,
    }
}

/// The notice that a task's new state calls for, if any.
#[must_use]
pub fn of_step(task: &Task) -> Option<Alert> {
    let (action, thing) = (&task.action.name, &task.thing);
    let (kind, text) = match &task.state {
        TaskState::Verified { checks } => (
            NoticeKind::Done,
            format!(
                "`{action}` was carried out on `{thing}` and holds: {}. Task {}.",
                shown(checks),
                task.id
            ),
        ),
        TaskState::NotHeld { seen } => (
            NoticeKind::NotHeld,
            format!("`{action}` was carried out on `{thing}` but does not hold: {seen}. Look at it now."),
        ),
        TaskState::Failed { during: During::Undoing, error } => (
            NoticeKind::Failed,
            format!("undoing `{action}` on `{thing}` failed: {error}. It may still be in effect."),
        ),
        TaskState::Failed { during, error } => {
            (NoticeKind::Failed, format!("`{action}` on `{thing}` failed while {}: {error}.", during.name()))
        }
        TaskState::Undone => (NoticeKind::Undone, format!("`{action}` on `{thing}` was undone.")),
        _ => return None,
    };
    Some(notice(task, kind, text))
}

fn shown(checks: &[Check]) -> String {
    let shown: Vec<String> = checks.iter().map(|check| format!("{} ({})", check.what, check.seen)).collect();
    if shown.is_empty() { "nothing to check".into() } else { shown.join("; ") }
}

fn notice(task: &Task, kind: NoticeKind, text: String) -> Alert {
    let at = task.updated_at;
    Alert::Notice(Box::new(Notice {
        id: short_hash(&["notice", task.id.as_str(), kind.name(), &at.millis().to_string()]),
        at,
        kind,
        task: task.id.clone(),
        action: task.action.name.to_string(),
        thing: task.thing.clone(),
        alarm_id: task.alarm_id.clone(),
        profile: task.profile.clone(),
        behavior: task.behavior.clone(),
        text,
    }))
}

/// One line that says what an alert is about.
#[must_use]
pub fn title(alert: &Alert) -> String {
    match alert {
        Alert::Alarm(alert) => {
            let Alarm { kind, profile, behavior, entity, .. } = &alert.alarm;
            let whom = match entity.thing() {
                Some(thing) => thing.to_owned(),
                None => format!("address {}", entity.name()),
            };
            format!("{}: {profile}/{behavior} on {whom}", kind.name())
        }
        Alert::Notice(notice) => {
            format!("{}: {} on {}", notice.kind.name(), notice.action, notice.thing)
        }
        Alert::Incident(alert) => incident_title(alert),
        Alert::Coverage(alert) => coverage_title(alert),
    }
}

fn incident_title(alert: &IncidentAlert) -> String {
    let Incident { profile, behavior, alarms, open, .. } = &alert.incident;
    let count = match alert.kind {
        IncidentMessage::Opened | IncidentMessage::Update => format!("{open} of {alarms} alarms last"),
        IncidentMessage::Cleared => format!("all {alarms} alarms are over"),
    };
    format!("incident {}: {profile}/{behavior}, {count}", alert.kind.name())
}

fn coverage_title(alert: &CoverageAlert) -> String {
    let part = |what: &str, total: usize, named: &[BehaviorCoverage]| match named {
        [] => None,
        [one] if total == 1 => Some(format!("{what}: {}/{}", one.profile, one.behavior)),
        _ => Some(format!("{what}: {total} behaviors")),
    };
    let parts = [
        part("blind", alert.blind_total, &alert.blind),
        part("sees again", alert.seeing_total, &alert.seeing),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
