//! Tasks: one action on one thing for one violation, recorded before anything is done.
//!
//! ```text
//! Held, DryRun                                   decided, nothing is done
//! Pending -> Prepared -> Applied -> Verified     what is needed to undo is recorded before the act
//!                            \----> NotHeld      also later, when the thing is seen acting again
//! any of these -> Failed;  all but Pending -> Undoing -> Undone
//! ```

use std::{collections::BTreeSet, fmt, str::FromStr};

use fleet::{
    ids::GroupName,
    store::{Batch, StoreError, Table},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    action::Action,
    alarm::Alarm,
    control::{Check, Subject, Undo},
    guard::{HeldReason, Plan, Planned},
};

/// Most violations that a task remembers as reasons for staying in effect. Past that it
/// is no longer undone by itself: the safe side is to stay.
const HOLDERS_MAX: usize = 64;

/// Id of a task: 32 hex digits that follow from violation and action, so that a repeated
/// alarm finds the task that was made for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(String);

/// Why a text is no task id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{found}` is no task id; expected 32 hex digits")]
pub struct TaskIdError {
    /// The text, cut to 64 characters.
    pub found: String,
}

impl TaskId {
    /// The id for `action` on `violation_id`.
    #[must_use]
    pub fn derive(violation_id: &str, action: &str) -> Self {
        Self(short_hash(&["task", violation_id, action]))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TaskId {
    type Err = TaskIdError;
    fn from_str(text: &str) -> Result<Self, TaskIdError> {
        if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(TaskIdError { found: text.chars().take(64).collect() })
    }
}

/// First 16 bytes, as hex, of a SHA-256 over the parts, each preceded by its length.
pub(crate) fn short_hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    hex(hasher.finalize().get(..16).unwrap_or_default())
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ok = write!(text, "{byte:02x}");
        text
    })
}

/// What is needed to undo a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UndoRecord {
    /// For the broker.
    pub broker: Undo,
    /// Those of the action's groups that the thing was in before: it stays in them.
    pub groups_before: Vec<GroupName>,
}

/// What a task was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum During {
    /// Reading what is needed to undo.
    Preparing,
    /// Acting on the broker and the registry.
    Applying,
    /// Undoing.
    Undoing,
}

impl During {
    /// The word used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Applying => "applying",
            Self::Undoing => "undoing",
        }
    }
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum TaskState {
    /// Recorded; nothing was done.
    Pending,
    /// What is needed to undo it is recorded; it may have been applied.
    Prepared,
    /// Applied; not checked.
    Applied,
    /// Applied, and the broker was seen to hold it.
    Verified {
        /// What was checked.
        checks: Vec<Check>,
    },
    /// Applied, but the thing can act, or it could not be checked.
    NotHeld {
        /// What was seen.
        seen: String,
    },
    /// Given up.
    Failed {
        /// At which step.
        during: During,
        /// Why.
        error: String,
    },
    /// A guard rail held it back.
    Held {
        /// Which.
        reason: HeldReason,
    },
    /// It would have been done, were acting switched on.
    DryRun,
    /// Being undone.
    Undoing,
    /// Undone, or never done because its violation cleared first.
    Undone,
}

impl TaskState {
    /// The word used in output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Prepared => "prepared",
            Self::Applied => "applied",
            Self::Verified { .. } => "verified",
            Self::NotHeld { .. } => "not-held",
            Self::Failed { .. } => "failed",
            Self::Held { .. } => "held",
            Self::DryRun => "dry-run",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    /// Whether the next step follows without being asked for.
    #[must_use]
    pub const fn is_due(&self) -> bool {
        matches!(self, Self::Pending | Self::Prepared | Self::Applied | Self::Undoing)
    }

    /// Whether a task may go from this state to `next`.
    #[must_use]
    pub const fn may_become(&self, next: &Self) -> bool {
        use TaskState as S;
        match self {
            S::Pending => matches!(next, S::Prepared | S::Failed { .. } | S::Undone),
            S::Prepared => matches!(next, S::Applied | S::Failed { .. } | S::Undoing),
            S::Applied => matches!(next, S::Verified { .. } | S::NotHeld { .. } | S::Undoing),
            S::Verified { .. } => matches!(next, S::NotHeld { .. } | S::Undoing),
            S::NotHeld { .. } | S::Failed { .. } => matches!(next, S::Undoing),
            S::Undoing => matches!(next, S::Undone | S::Failed { .. }),
            S::Held { .. } | S::DryRun | S::Undone => false,
        }
    }
}

/// A task as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Id.
    pub id: TaskId,
    /// The action as it was when the task was made.
    pub action: Action,
    /// Entity of the alarm: a thing name, or an address (then always held).
    pub thing: String,
    /// Whom the broker acts on.
    pub subject: Subject,
    /// Alarm that the task answers.
    pub alarm_id: String,
    /// Its violation.
    pub violation_id: String,
    /// Its profile.
    pub profile: String,
    /// Its behavior.
    pub behavior: String,
    /// Event time of the alarm.
    pub at: Timestamp,
    /// When the task was decided.
    pub planned_at: Timestamp,
    /// When the state last changed.
    pub updated_at: Timestamp,
    /// How far it is.
    pub state: TaskState,
    /// What is needed to undo it, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoRecord>,
    /// Open violations that keep it in effect.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub holders: BTreeSet<String>,
    /// Undone when its last holder clears.
    pub undo_on_clear: bool,
    /// Undoing was asked for while a step was under way.
    #[serde(default)]
    pub undo_wanted: bool,
    /// It raised a notice that it was not carried out.
    #[serde(default)]
    pub noticed: bool,
}

impl Task {
    /// The record of a decision.
    #[must_use]
    pub fn new(alarm: &Alarm, planned: &Planned, now: Timestamp) -> Self {
        let thing = alarm.entity.name();
        Self {
            id: planned.task.clone(),
            action: planned.action.clone(),
            subject: Subject {
                thing: thing.clone(),
                // AWS advises to use the thing name as client id; it is the best guess where
                // no session was seen.
                client_id: alarm.client_id.clone().unwrap_or_else(|| thing.clone()),
                principal: alarm.principal.clone(),
            },
            thing,
            alarm_id: alarm.id.clone(),
            violation_id: alarm.violation_id.clone(),
            profile: alarm.profile.clone(),
            behavior: alarm.behavior.clone(),
            at: alarm.at,
            planned_at: now,
            updated_at: now,
            state: match &planned.plan {
                Plan::Act => TaskState::Pending,
                Plan::DryRun => TaskState::DryRun,
                Plan::Held { reason } => TaskState::Held { reason: reason.clone() },
            },
            undo: None,
            holders: BTreeSet::from([alarm.violation_id.clone()]),
            undo_on_clear: planned.undo_on_clear,
            undo_wanted: false,
            noticed: planned.notice,
        }
    }

    /// Whether it is under way or in effect, so that it must stay in memory.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        match self.state {
            TaskState::Failed { .. } => self.undo.is_some(),
            TaskState::Held { .. } | TaskState::DryRun | TaskState::Undone => false,
            _ => true,
        }
    }

    /// Whether the executor has something to do.
    #[must_use]
    pub const fn is_due(&self) -> bool {
        self.state.is_due() || (self.undo_wanted && self.is_active())
    }

    /// Another violation of the same thing wants the same action: it stays in effect until
    /// that one clears, too.
    pub(crate) fn hold_for(&mut self, violation_id: &str, undo_on_clear: bool) {
        self.undo_on_clear &= undo_on_clear;
        if self.holders.len() < HOLDERS_MAX {
            self.holders.insert(violation_id.to_owned());
        } else if !self.holders.contains(violation_id) {
            self.undo_on_clear = false;
        }
    }

    /// Record `t/ID` and entry `o/TIME/ID` of the order in which tasks were made.
    ///
    /// # Errors
    /// When the record cannot be written as JSON, which would be a bug.
    pub(crate) fn put(&self, batch: &mut Batch) -> Result<(), serde_json::Error> {
        batch.put(Table::Tasks, task_key(&self.id), serde_json::to_vec(self)?);
        batch.put(Table::Tasks, self.order_key(), Vec::new());
        Ok(())
    }

    pub(crate) fn order_key(&self) -> Vec<u8> {
        format!("o/{:016x}/{}", self.planned_at.millis().cast_unsigned() ^ (1 << 63), self.id).into_bytes()
    }
}

pub(crate) fn task_key(id: &TaskId) -> Vec<u8> {
    format!("t/{id}").into_bytes()
}

/// The task id at the end of an order key.
pub(crate) fn id_of_order_key(key: &[u8]) -> Option<TaskId> {
    std::str::from_utf8(key).ok()?.rsplit('/').next()?.parse().ok()
}

/// Why tasks could not be read or changed.
#[derive(Debug, Error)]
pub enum TaskError {
    /// The store failed.
    #[error("cannot read or write tasks")]
    Store(#[from] StoreError),
    /// A record cannot be read.
    #[error("the task record `{key}` cannot be read")]
    Record {
        /// Its key.
        key: String,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// A record cannot be written.
    #[error("a record cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The outbox failed.
    #[error(transparent)]
    Outbox(#[from] crate::outbox::OutboxError),
    /// A step that is not allowed in this state, which would be a bug.
    #[error("task `{id}` cannot go from {from} to {to}")]
    Step {
        /// The task.
        id: TaskId,
        /// Its state.
        from: &'static str,
        /// The state wanted.
        to: &'static str,
    },
    /// The log of actions failed.
    #[error("the log of actions failed")]
    Log(#[from] crate::log::LogError),
    /// No task has this id.
    #[error("no task has the id `{0}`")]
    Unknown(TaskId),
    /// The task is in a state from which it cannot be undone.
    #[error("task `{id}` is {state}; only what is under way or in effect can be undone")]
    NotUndoable {
        /// The task.
        id: TaskId,
        /// Its state.
        state: &'static str,
    },
    /// Too many alarms in one call.
    #[error("{found} alarms in one call; allowed are up to {max}")]
    TooMany {
        /// Alarms found.
        found: usize,
        /// Most allowed.
        max: usize,
    },
}

pub(crate) fn read_task(key: &[u8], value: &[u8]) -> Result<Task, TaskError> {
    serde_json::from_slice(value)
        .map_err(|source| TaskError::Record { key: String::from_utf8_lossy(key).into_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> Vec<TaskState> {
        vec![
            TaskState::Pending,
            TaskState::Prepared,
            TaskState::Applied,
            TaskState::Verified { checks: vec![] },
            TaskState::NotHeld { seen: String::new() },
            TaskState::Failed { during: During::Applying, error: String::new() },
            TaskState::Held { reason: HeldReason::Suppressed },
            TaskState::DryRun,
            TaskState::Undoing,
            TaskState::Undone,
        ]
    }

    #[test]
    fn only_the_drawn_steps_are_allowed() {
        let drawn = [
            "pending prepared",
            "pending failed",
            "pending undone",
            "prepared applied",
            "prepared failed",
            "prepared undoing",
            "applied verified",
            "applied not-held",
            "applied undoing",
            "verified not-held",
            "verified undoing",
            "not-held undoing",
            "failed undoing",
            "undoing failed",
            "undoing undone",
        ];
        for from in states() {
            for to in states() {
                let step = format!("{} {}", from.name(), to.name());
                assert_eq!(from.may_become(&to), drawn.contains(&step.as_str()), "{step}");
            }
        }
    }

    #[test]
    fn ids_follow_from_violation_and_action_and_nothing_else() {
        let id = TaskId::derive("v1", "quarantine");
        assert_eq!(id, TaskId::derive("v1", "quarantine"));
        assert_ne!(id, TaskId::derive("v1q", "uarantine"));
        assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        assert_eq!(
            "x".parse::<TaskId>().unwrap_err().to_string(),
            "`x` is no task id; expected 32 hex digits"
        );
    }

    #[test]
    fn states_survive_being_written_and_read() {
        for state in states() {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<TaskState>(&text).unwrap(), state, "{text}");
        }
    }

    #[test]
    fn past_its_bound_of_holders_a_task_stays_in_effect() {
        let alarm = crate::alarm::tests::alarm("a", 1);
        let planned = crate::guard::tests::planned("q", true);
        let mut task = Task::new(&alarm, &planned, Timestamp::from_secs(1));
        for n in 1..HOLDERS_MAX {
            task.hold_for(&format!("v{n}"), true);
        }
        assert!(task.undo_on_clear && task.holders.len() == HOLDERS_MAX);
        task.hold_for("v1", true);
        assert!(task.undo_on_clear);
        task.hold_for("one more", true);
        assert!(!task.undo_on_clear && task.holders.len() == HOLDERS_MAX);
    }
}
