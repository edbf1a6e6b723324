//! From alarms to tasks, durably: decisions, tasks and alerts are recorded in one commit
//! with whatever caused them, and the executor carries the tasks out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fleet::{
    ids::GroupName,
    store::{Batch, KeyRange, SCAN_ENTRIES_MAX, Store, Table},
    time::Timestamp,
};
use serde::Deserialize;
use tokio::sync::Notify;

use crate::{
    alarm::{Alarm, AlarmKind},
    alert::{self, Alert, ResponseNote},
    control::{BoxFuture, Control, ControlError},
    guard::{self, GuardState, HeldReason},
    incident::{IncidentDraft, IncidentOptions, Incidents},
    log::Head,
    outbox::{Clock, Outbox},
    record::{Keys, Record},
    rule::Rules,
    task::{Task, TaskError, TaskId, TaskState, id_of_order_key, read_task, task_key},
};

mod executor;

pub use executor::Running;

/// Most alarms in one call of [`Response::answer`], so that one commit holds all of it.
pub const ALARMS_MAX: usize = 1000;

/// Key in [`Table::Meta`] of the [`Head`] of the log of actions, as JSON.
pub const LOG_HEAD_KEY: &[u8] = b"actions-log-head";

/// Where the store keeps what belongs to the log of actions.
const KEYS: Keys = Keys { head: LOG_HEAD_KEY, lines: b"actions/" };

/// Records pruned in one commit at most, so that a lowered bound does not stall an alarm.
const PRUNED_MAX: usize = 2 * ALARMS_MAX;

/// Changes of thing group membership, made by whoever owns the registry. Every call may
/// be repeated: doing twice what is done already is success.
pub trait GroupChange: Send + Sync + std::fmt::Debug {
    /// Those of `groups` that the thing is a direct member of.
    fn joined<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
    ) -> BoxFuture<'a, Result<Vec<GroupName>, ControlError>>;

    /// Adds the thing to `groups`. With `override_dynamic`, a static group may push it out
    /// of a dynamic one at the limit of groups.
    fn add<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
        override_dynamic: bool,
    ) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Removes the thing from `groups`.
    fn remove<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
    ) -> BoxFuture<'a, Result<(), ControlError>>;
}

/// `[response.executor]`: time limits of carrying out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecutorOptions {
    /// Tasks carried out at once, each on another thing.
    pub tasks_at_once: usize,
    /// Longest time for one call of the broker, in seconds.
    pub call_secs_max: u32,
    /// Longest time for one step with all its repetitions, in seconds; then the task failed.
    pub step_secs_max: u32,
    /// Ceiling of the first pause after a failed call, in ms; it doubles with each further one.
    pub retry_first_ms: u32,
    /// Ceiling of all pauses, in seconds.
    pub retry_max_secs: u32,
    /// How often it is checked that an action holds before it counts as not holding.
    pub verify_tries_max: u32,
    /// Pause between two checks, in ms.
    pub verify_pause_ms: u32,
}

/// A broker that restarts is back within five minutes; one that is away longer needs a person.
impl Default for ExecutorOptions {
    fn default() -> Self {
        Self {
            tasks_at_once: 8,
            call_secs_max: 10,
            step_secs_max: 300,
            retry_first_ms: 100,
            retry_max_secs: 10,
            verify_tries_max: 5,
            verify_pause_ms: 200,
        }
    }
}

/// What a [`Response`] works with.
#[derive(Clone)]
pub struct Parts {
    /// Where tasks are kept.
    pub store: Arc<dyn Store>,
    /// Where alerts go; it must use the same store.
    pub outbox: Arc<Outbox>,
    /// The broker.
    pub control: Arc<dyn Control>,
    /// The registry.
    pub groups: Arc<dyn GroupChange>,
    /// The wall clock.
    pub clock: Clock,
    /// File of the log of actions.
    pub log: PathBuf,
    /// How alarms with one cause are told.
    pub incidents: IncidentOptions,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("control", &self.control)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// What became of the alarms of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Tasks to carry out.
    pub acting: usize,
    /// Tasks that would be carried out, were acting switched on.
    pub dry_run: usize,
    /// Tasks that a guard rail held.
    pub held: usize,
    /// Tasks to undo.
    pub undoing: usize,
}

/// The response of one engine.
pub struct Response {
    parts: Parts,
    options: ExecutorOptions,
    state: Mutex<State>,
    /// Things in verified quarantine, apart from `state`, since it is asked for every event.
    watched: Mutex<BTreeSet<String>>,
    wake: Notify,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// INVARIANT: `active` holds exactly the tasks of the store that are active, and `guard`
/// knows the same tasks.
#[derive(Debug)]
struct State {
    rules: Arc<Rules>,
    guard: GuardState,
    active: BTreeMap<TaskId, Task>,
    incidents: Incidents,
    /// Records in the store.
    kept: usize,
    record: Record,
}

impl Response {
    /// Opens the response on what the store holds. Nothing is carried out before
    /// [`Response::start`].
    ///
    /// # Errors
    /// When the store or the log fail, or a record cannot be read.
    pub fn open(parts: Parts, rules: Rules, options: ExecutorOptions) -> Result<Arc<Self>, TaskError> {
        let record = Record::open(&parts.log, &*parts.store, KEYS)?;
        let mut state = State {
            rules: Arc::new(rules),
            guard: GuardState::default(),
            active: BTreeMap::new(),
            incidents: Incidents::open(&*parts.store, parts.incidents)?,
            kept: 0,
            record,
        };
        state.reload(&*parts.store, (parts.clock)())?;
        let watched = state.active.values().filter(|task| is_watched(task)).map(|task| task.thing.clone());
        let watched = Mutex::new(watched.collect());
        Ok(Arc::new(Self { parts, options, state: Mutex::new(state), watched, wake: Notify::new() }))
    }

    /// Answers alarms: decides, records, and commits `batch` together with the tasks and
    /// the alerts, all or nothing. An alarm that was answered before makes no second task.
    ///
    /// # Errors
    /// For more than [`ALARMS_MAX`] alarms; when the store or the log fail. Then nothing
    /// was committed as far as is known, and the call can be repeated.
    pub fn answer(&self, batch: Batch, alarms: &[Alarm]) -> Result<Answered, TaskError> {
        if alarms.len() > ALARMS_MAX {
            return Err(TaskError::TooMany { found: alarms.len(), max: ALARMS_MAX });
        }
        let now = (self.parts.clock)();
        let mut state = self.state();
        let mut draft = Draft { batch, ..Draft::default() };
        let outcome = self.draft(&mut state, alarms, now, &mut draft).and_then(|()| {
            state.prune(&*self.parts.store, &mut draft)?;
            self.commit(&mut state, &mut draft, now)
        });
        match outcome {
            Ok(()) => {
                drop(state);
                self.wake.notify_one();
                Ok(draft.answered)
            }
            Err(error) => {
                // What the guard rails learnt from this call is taken back. Should that
                // fail, too, they know more than was done, which is the safe side.
                if let Err(error) = state.reload(&*self.parts.store, now) {
                    tracing::error!(%error, "cannot read the tasks again");
                }
                Err(error)
            }
        }
    }

    /// Sends what is due about incidents, and closes those that are over at the event time
    /// `event_now`. To be called about once a second; commits only if there is something.
    ///
    /// # Errors
    /// When the store fails; what was due is due again.
    pub fn tell_incidents(&self, event_now: Timestamp) -> Result<(), TaskError> {
        let now = (self.parts.clock)();
        let mut state = self.state();
        let mut draft = Draft::default();
        let due = state.incidents.due(now, event_now, &mut draft.incidents);
        if draft.incidents.is_empty() && due.is_empty() {
            return Ok(());
        }
        draft.alerts.extend(due.into_iter().map(|alert| Alert::Incident(Box::new(alert))));
        let outcome = self.commit(&mut state, &mut draft, now);
        if outcome.is_err() {
            state.incidents = Incidents::open(&*self.parts.store, self.parts.incidents)?;
        }
        outcome
    }

    /// Open incidents, and alarms since the start that belong to none because too many were open.
    #[must_use]
    pub fn incident_counts(&self) -> (usize, u64) {
        self.state().incidents.counts()
    }

    /// Undoes a task, or cancels one that was not begun. Done when this returns: the wish is
    /// recorded; the executor carries it out.
    ///
    /// # Errors
    /// When there is no such task, it has nothing to undo, or the store fails.
    pub fn undo(&self, id: &TaskId) -> Result<(), TaskError> {
        let now = (self.parts.clock)();
        let mut state = self.state();
        let Some(task) = state.active.get(id) else {
            let task = self.task(id)?.ok_or_else(|| TaskError::Unknown(id.clone()))?;
            return Err(TaskError::NotUndoable { id: id.clone(), state: task.state.name() });
        };
        if task.undo_wanted || task.state == TaskState::Undoing {
            return Ok(());
        }
        let mut draft = Draft::default();
        draft.change(Task { undo_wanted: true, ..task.clone() }, "undo-wanted");
        self.commit(&mut state, &mut draft, now)?;
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Swaps the rules. Tasks that were made stay as they are.
    pub fn set_rules(&self, rules: Rules) {
        self.state().rules = Arc::new(rules);
    }

    /// Whether events of `thing` must be told to [`Response::watched`]. Cheap.
    #[must_use]
    pub fn is_watched(&self, thing: &str) -> bool {
        self.watched_things().contains(thing)
    }

    /// A thing was seen doing `what` with success at the source's time `at`. If it should
    /// not be able to, the task is marked and an alert raised, once.
    ///
    /// # Errors
    /// When the store or the log fail.
    pub fn watched(&self, thing: &str, what: &str, at: Timestamp) -> Result<(), TaskError> {
        if !self.is_watched(thing) {
            return Ok(());
        }
        let now = (self.parts.clock)();
        let mut state = self.state();
        let seen: Vec<Task> = state
            .guard
            .tasks_on(thing)
            .filter_map(|id| state.active.get(id))
            .filter(|task| is_watched(task) && at > task.updated_at)
            .cloned()
            .collect();
        let mut draft = Draft::default();
        for mut task in seen {
            task.state = TaskState::NotHeld { seen: format!("it was seen to {what} at {at}") };
            task.updated_at = now;
            draft.alerts.extend(alert::of_step(&task));
            draft.change(task, "not-held");
        }
        self.commit(&mut state, &mut draft, now)
    }

    /// A task.
    ///
    /// # Errors
    /// When the store fails or the record cannot be read.
    pub fn task(&self, id: &TaskId) -> Result<Option<Task>, TaskError> {
        let key = task_key(id);
        let value = self.parts.store.get(Table::Tasks, &key)?;
        value.map(|value| read_task(&key, &value)).transpose()
    }

    /// Up to `limit` tasks decided at `since` or later, in the order of their decision.
    ///
    /// # Errors
    /// When the store fails or a record cannot be read.
    pub fn tasks(&self, since: Timestamp, limit: usize) -> Result<Vec<Task>, TaskError> {
        let start = format!("o/{:016x}", since.millis().cast_unsigned() ^ (1 << 63)).into_bytes();
        let range = KeyRange { start, end: KeyRange::prefix(b"o/").end };
        let keys = self.parts.store.scan(Table::Tasks, &range, limit.min(SCAN_ENTRIES_MAX))?;
        let ids = keys.iter().filter_map(|(key, _)| id_of_order_key(key));
        ids.filter_map(|id| self.task(&id).transpose()).collect()
    }

    /// Tasks that are under way or in effect, by id.
    #[must_use]
    pub fn active(&self) -> Vec<Task> {
        self.state().active.values().cloned().collect()
    }

    /// Where the log of actions ends.
    #[must_use]
    pub fn log_head(&self) -> Head {
        self.state().record.head().clone()
    }

    fn draft(
        &self,
        state: &mut State,
        alarms: &[Alarm],
        now: Timestamp,
        draft: &mut Draft,
    ) -> Result<(), TaskError> {
        for alarm in alarms {
            let notes = match alarm.kind {
                AlarmKind::InAlarm => self.begin(state, alarm, now, draft)?,
                AlarmKind::AlarmCleared => state.clear(alarm, draft),
                AlarmKind::AlarmInvalidated => state.invalidate(alarm, draft),
            };
            let taken = state.incidents.take(&*self.parts.store, alarm, &notes, now, &mut draft.incidents)?;
            draft.alerts.extend(alert::of_alarm_in(alarm, notes, taken));
        }
        Ok(())
    }

    /// Plans and records the answers to a violation that begins.
    fn begin(
        &self,
        state: &mut State,
        alarm: &Alarm,
        now: Timestamp,
        draft: &mut Draft,
    ) -> Result<Vec<ResponseNote>, TaskError> {
        let rules = Arc::clone(&state.rules);
        let mut notes = Vec::new();
        for planned in guard::plan(alarm, &rules, &state.guard, now) {
            if draft.tasks.contains_key(&planned.task) || self.task(&planned.task)?.is_some() {
                continue;
            }
            let task = Task::new(alarm, &planned, now);
            if let TaskState::Held { reason: HeldReason::InEffect { task } } = &task.state {
                state.hold(task, alarm, planned.undo_on_clear, draft);
            }
            state.guard.record(&task, &rules, now);
            notes.push(alert::note(&planned));
            if planned.notice {
                draft.alerts.extend(alert::of_decision(&task, rules.span_secs(&task.action.name)));
            }
            draft.add(task);
        }
        Ok(notes)
    }

    /// Commits the draft with its alerts and its lines of the log, writes the lines to the
    /// log, and takes the draft over.
    fn commit(&self, state: &mut State, draft: &mut Draft, now: Timestamp) -> Result<(), TaskError> {
        let mut batch = std::mem::take(&mut draft.batch);
        for task in draft.tasks.values() {
            task.put(&mut batch)?;
        }
        state.incidents.put(&draft.incidents, &mut batch)?;
        let entries: Vec<_> = draft.lines.drain(..).map(|line| (now, line)).collect();
        let kept = state.record.keep(&entries, &mut batch)?;
        self.parts.outbox.commit(batch, &draft.alerts)?;
        if let Some(kept) = kept {
            state.record.written(kept);
        }
        state.kept = (state.kept + draft.added).saturating_sub(draft.pruned);
        for task in std::mem::take(&mut draft.tasks).into_values() {
            self.take_over(state, task);
        }
        Ok(())
    }

    fn take_over(&self, state: &mut State, task: Task) {
        let watched = is_watched(&task);
        if watched {
            self.watched_things().insert(task.thing.clone());
        }
        let thing = task.thing.clone();
        if task.is_active() {
            state.active.insert(task.id.clone(), task);
        } else {
            state.guard.changed(&task);
            state.active.remove(&task.id);
        }
        if !watched && !state.on_thing(&thing).any(is_watched) {
            self.watched_things().remove(&thing);
        }
    }

    /// A panic under the lock leaves at worst less in memory than in the store; go on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched_things(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn is_watched(task: &Task) -> bool {
    matches!(task.state, TaskState::Verified { .. })
}

impl State {
    /// Reads the tasks of the store.
    fn reload(&mut self, store: &dyn Store, now: Timestamp) -> Result<(), TaskError> {
        let (mut guard, mut active, mut kept) = (GuardState::default(), BTreeMap::new(), 0);
        let mut range = KeyRange::prefix(b"o/");
        loop {
            let page = store.scan(Table::Tasks, &range, PAGE)?;
            let mut tasks = Vec::with_capacity(page.len());
            for id in page.iter().filter_map(|(key, _)| id_of_order_key(key)) {
                let key = task_key(&id);
                if let Some(value) = store.get(Table::Tasks, &key)? {
                    tasks.push(read_task(&key, &value)?);
                }
            }
            kept += tasks.len();
            guard.restore(&tasks, &self.rules, now);
            let still = tasks.into_iter().filter(Task::is_active);
            active.extend(still.map(|task| (task.id.clone(), task)));
            match page.last() {
                Some((last, _)) if page.len() == PAGE => range = range.after(last),
                _ => break,
            }
        }
        (self.guard, self.active, self.kept) = (guard, active, kept);
        self.incidents = Incidents::open(store, self.incidents.options())?;
        Ok(())
    }

    fn on_thing(&self, thing: &str) -> impl Iterator<Item = &Task> {
        self.guard.tasks_on(thing).filter_map(|id| self.active.get(id))
    }

    /// The violation of `alarm` keeps the task in effect, too.
    fn hold(&self, id: &TaskId, alarm: &Alarm, undo_on_clear: bool, draft: &mut Draft) {
        let task = draft.tasks.get(id).or_else(|| self.active.get(id));
        if let Some(task) = task {
            let mut task = task.clone();
            task.hold_for(&alarm.violation_id, undo_on_clear);
            draft.change(task, "held-by-another-violation");
        }
    }

    /// Tasks on the alarm's thing that its violation keeps in effect.
    fn held_by(&self, alarm: &Alarm, draft: &Draft) -> Vec<Task> {
        let thing = alarm.entity.thing().unwrap_or_default();
        self.guard
            .tasks_on(thing)
            .filter_map(|id| draft.tasks.get(id).or_else(|| self.active.get(id)))
            .filter(|task| task.holders.contains(&alarm.violation_id))
            .cloned()
            .collect()
    }

    /// The violation ended: its tasks are undone if that is wanted and no other holds them.
    fn clear(&self, alarm: &Alarm, draft: &mut Draft) -> Vec<ResponseNote> {
        let mut notes = Vec::new();
        for mut task in self.held_by(alarm, draft) {
            task.holders.remove(&alarm.violation_id);
            if task.holders.is_empty() && task.undo_on_clear {
                task.undo_wanted = true;
                draft.answered.undoing += 1;
                notes.push(alert::undo_note(&task));
                draft.change(task, "undo-wanted");
            } else {
                draft.change(task, "violation-cleared");
            }
        }
        notes
    }

    /// The violation ended without a verdict. A thing in quarantine sends no data, so that
    /// says nothing about it: what is in effect stays until a person undoes it.
    fn invalidate(&self, alarm: &Alarm, draft: &mut Draft) -> Vec<ResponseNote> {
        for mut task in self.held_by(alarm, draft) {
            task.holders.remove(&alarm.violation_id);
            task.undo_on_clear = false;
            draft.change(task, "violation-invalidated");
        }
        Vec::new()
    }

    /// Removes the oldest records that are over and done, when there are too many.
    fn prune(&self, store: &dyn Store, draft: &mut Draft) -> Result<(), TaskError> {
        let over = (self.kept + draft.added).saturating_sub(self.rules.tasks_kept_max);
        if over == 0 {
            return Ok(());
        }
        let mut wanted = over.min(PRUNED_MAX);
        // Active tasks are skipped; there are at most `tasks_active_max` of them in the way.
        let mut range = KeyRange::prefix(b"o/");
        while wanted > 0 {
            let page = store.scan(Table::Tasks, &range, PAGE)?;
            for (key, _) in &page {
                let Some(id) = id_of_order_key(key) else { continue };
                if wanted > 0 && !self.active.contains_key(&id) && !draft.tasks.contains_key(&id) {
                    draft.batch.delete(Table::Tasks, key.clone());
                    draft.batch.delete(Table::Tasks, task_key(&id));
                    draft.pruned += 1;
                    wanted -= 1;
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => range = range.after(last),
                _ => break,
            }
        }
        Ok(())
    }
}

/// Records read at once.
const PAGE: usize = 1024;

/// What one commit is about to change.
#[derive(Debug, Default)]
struct Draft {
    batch: Batch,
    tasks: BTreeMap<TaskId, Task>,
    alerts: Vec<Alert>,
    lines: Vec<serde_json::Value>,
    incidents: IncidentDraft,
    added: usize,
    pruned: usize,
    answered: Answered,
}

impl Draft {
    fn add(&mut self, task: Task) {
        match task.state {
            TaskState::Held { .. } => self.answered.held += 1,
            TaskState::DryRun => self.answered.dry_run += 1,
            _ => self.answered.acting += 1,
        }
        self.added += 1;
        let step = task.state.name();
        self.change(task, step);
    }

    /// The task is written, and `step` goes into the log.
    fn change(&mut self, task: Task, step: &str) {
        self.lines.push(serde_json::json!({
            "task": task.id,
            "step": step,
            "action": task.action.name,
            "thing": task.thing,
            "clientId": task.subject.client_id,
            "violation": task.violation_id,
            "state": task.state,
        }));
        self.tasks.insert(task.id.clone(), task);
    }
}

#[cfg(test)]
mod tests;
