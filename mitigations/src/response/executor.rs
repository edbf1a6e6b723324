//! Carries tasks out: one step at a time, each recorded before the next begins.
//!
//! A crash can come between any two steps. What is needed to undo is recorded before the
//! act; whether the act happened is asked of the broker when a task is taken up again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use fleet::ids::GroupName;
use tokio::{
    sync::watch,
    task::{Id, JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{Draft, Response};
use crate::{
    alert,
    backoff::{self, Backoff},
    control::{BoxFuture, Check, ControlError, Undo},
    task::{During, Task, TaskError, TaskId, TaskState, UndoRecord},
};

/// Pause after the store failed, before a task is taken up again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The running executor. Dropping it stops it at once; tasks go on at the next start.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl Running {
    /// Begins no further task, waits up to `limit` for those under way, then stops.
    pub async fn stop(mut self, limit: Duration) {
        self.stop.send_replace(true);
        if timeout(limit, &mut self.handle).await.is_err() {
            tracing::warn!("tasks were still under way at the time limit; they go on after the next start");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Response {
    /// Starts carrying out what is due, what is left from before included. Call once.
    pub fn start(self: &Arc<Self>) -> Running {
        let (stop, stopped) = watch::channel(false);
        Running { stop, handle: tokio::spawn(Arc::clone(self).run(stopped)) }
    }

    async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut busy = Busy::default();
        while !*stop.borrow() {
            for task in self.due(&busy).await {
                busy.begin(&self, task);
            }
            tokio::select! {
                () = self.wake.notified() => {}
                Some(ended) = busy.tasks.join_next_with_id() => {
                    if let Some(broken) = busy.end(ended) {
                        self.broken(broken).await;
                    }
                }
                _ = stop.changed() => break,
            }
        }
        while busy.tasks.join_next().await.is_some() {}
    }

    /// Due tasks on things that no task is under way for, one per thing.
    async fn due(self: &Arc<Self>, busy: &Busy) -> Vec<Task> {
        let (things, room) =
            (busy.things.clone(), self.options.tasks_at_once.max(1).saturating_sub(busy.tasks.len()));
        let due = self.blocking(move |response| {
            let mut things = things;
            let state = response.state();
            let due = state.active.values().filter(|task| task.is_due());
            due.filter(|task| things.insert(task.thing.clone())).take(room).cloned().collect()
        });
        due.await.unwrap_or_default()
    }

    /// Carries a task out until it needs nothing more.
    async fn carry_out(self: Arc<Self>, mut task: Task) {
        // Only what was prepared in this very run is known not to have been acted on.
        let mut fresh = false;
        while task.is_due() {
            let (was_pending, id) = (task.state == TaskState::Pending, task.id.clone());
            match self.step(task, fresh).await {
                Ok(next) => task = next,
                Err(error) => {
                    tracing::error!(task = %id, %error, "cannot record a step; it is tried again");
                    sleep(STORE_PAUSE).await;
                    return;
                }
            }
            fresh = was_pending;
        }
    }

    async fn step(self: &Arc<Self>, task: Task, fresh: bool) -> Result<Task, TaskError> {
        match task.state {
            TaskState::Pending if task.undo_wanted => self.becomes(&task, TaskState::Undone).await,
            TaskState::Undoing => self.release(&task).await,
            _ if task.undo_wanted => self.becomes(&task, TaskState::Undoing).await,
            TaskState::Pending => self.prepare(&task).await,
            TaskState::Prepared => self.apply(&task, fresh).await,
            _ => self.verify(&task).await,
        }
    }

    async fn prepare(self: &Arc<Self>, task: &Task) -> Result<Task, TaskError> {
        let others = self.others(task).await;
        let read = self.read_undo(task, &others).await;
        match read {
            Ok(undo) => {
                let with = Task { undo: Some(undo), ..task.clone() };
                self.becomes(&with, TaskState::Prepared).await
            }
            Err(error) => self.fails(task, During::Preparing, &error).await,
        }
    }

    /// What is needed to undo. Where another task has the thing in its hold, the broker
    /// shows what that one made of it, so its record of what was before is taken.
    async fn read_undo(&self, task: &Task, others: &[Task]) -> Result<UndoRecord, ControlError> {
        let (control, groups) = (&self.parts.control, wanted(task));
        let known = others.iter().find_map(|other| other.undo.as_ref());
        let broker: Undo = match known {
            Some(undo) => undo.broker.clone(),
            None => self.repeated(|| control.prepare(&task.subject)).await?,
        };
        let mut groups_before = self.repeated(|| self.parts.groups.joined(&task.thing, groups)).await?;
        groups_before.retain(|group| !others.iter().any(|other| added(other).any(|added| added == group)));
        Ok(UndoRecord { broker, groups_before })
    }

    async fn apply(self: &Arc<Self>, task: &Task, fresh: bool) -> Result<Task, TaskError> {
        let Some(undo) = &task.undo else {
            let error = ControlError::Refused("nothing is recorded to undo it with".into());
            return self.fails(task, During::Applying, &error).await;
        };
        let acted = match fresh {
            true => false,
            false => self.holds(task, undo).await,
        };
        let control = &self.parts.control;
        if !acted && let Err(error) = self.repeated(|| control.quarantine(&task.subject, &undo.broker)).await
        {
            return self.fails(task, During::Applying, &error).await;
        }
        let (groups, dynamic) = (&self.parts.groups, task.action.params.override_dynamic_groups());
        match self.repeated(|| groups.add(&task.thing, wanted(task), dynamic)).await {
            Ok(()) => self.becomes(task, TaskState::Applied).await,
            Err(error) => self.fails(task, During::Applying, &error).await,
        }
    }

    /// Whether the broker shows that the act happened before.
    async fn holds(&self, task: &Task, undo: &UndoRecord) -> bool {
        let control = &self.parts.control;
        match self.once(control.verify(&task.subject, &undo.broker)).await {
            Ok(checks) => all_held(&checks),
            Err(_) => false,
        }
    }

    async fn verify(self: &Arc<Self>, task: &Task) -> Result<Task, TaskError> {
        let broker = task.undo.as_ref().map_or(Undo(serde_json::Value::Null), |undo| undo.broker.clone());
        let deadline = self.deadline();
        let mut seen = "it could not be checked".to_owned();
        for attempt in 0..self.options.verify_tries_max.max(1) {
            if attempt > 0 {
                sleep(Duration::from_millis(self.options.verify_pause_ms.into())).await;
            }
            if Instant::now() >= deadline {
                break;
            }
            match self.once(self.parts.control.verify(&task.subject, &broker)).await {
                Ok(checks) if all_held(&checks) => {
                    return self.becomes(task, TaskState::Verified { checks }).await;
                }
                Ok(checks) => seen = not_held(&checks),
                Err(error) => seen = format!("it could not be checked: {error}"),
            }
        }
        self.becomes(task, TaskState::NotHeld { seen }).await
    }

    async fn release(self: &Arc<Self>, task: &Task) -> Result<Task, TaskError> {
        let others = self.others(task).await;
        let control = &self.parts.control;
        // Another task keeps the thing in its hold: only what is this task's own is undone.
        if others.is_empty()
            && let Some(undo) = &task.undo
            && let Err(error) = self.repeated(|| control.release(&task.subject, &undo.broker)).await
        {
            return self.fails(task, During::Undoing, &error).await;
        }
        let leaving: Vec<GroupName> = added(task)
            .filter(|group| !others.iter().any(|other| wanted(other).contains(group)))
            .cloned()
            .collect();
        match self.repeated(|| self.parts.groups.remove(&task.thing, &leaving)).await {
            Ok(()) => self.becomes(task, TaskState::Undone).await,
            Err(error) => self.fails(task, During::Undoing, &error).await,
        }
    }

    async fn fails(
        self: &Arc<Self>,
        task: &Task,
        during: During,
        error: &ControlError,
    ) -> Result<Task, TaskError> {
        self.becomes(task, TaskState::Failed { during, error: error.to_string() }).await
    }

    /// Records that `task` goes to `next`, with the notice that this calls for. What others
    /// changed in the record meanwhile is kept.
    async fn becomes(self: &Arc<Self>, task: &Task, next: TaskState) -> Result<Task, TaskError> {
        let (id, undo) = (task.id.clone(), task.undo.clone());
        let recorded = self.blocking(move |response| response.record_step(&id, undo, next)).await;
        recorded.unwrap_or_else(|| Err(TaskError::Unknown(task.id.clone())))
    }

    fn record_step(&self, id: &TaskId, undo: Option<UndoRecord>, next: TaskState) -> Result<Task, TaskError> {
        let now = (self.parts.clock)();
        let mut state = self.state();
        let mut task = state.active.get(id).cloned().ok_or_else(|| TaskError::Unknown(id.clone()))?;
        if !task.state.may_become(&next) {
            return Err(TaskError::Step { id: id.clone(), from: task.state.name(), to: next.name() });
        }
        task.undo = undo;
        task.updated_at = now;
        // A wish that was carried out, or failed, is no longer a wish.
        if task.state == TaskState::Undoing || next == TaskState::Undone {
            task.undo_wanted = false;
        }
        let was_applied = task.state != TaskState::Pending;
        task.state = next;
        let mut draft = Draft::default();
        if was_applied || task.state != TaskState::Undone {
            draft.alerts.extend(alert::of_step(&task));
        }
        let step = task.state.name();
        draft.change(task.clone(), step);
        self.commit(&mut state, &mut draft, now)?;
        Ok(task)
    }

    /// A step panicked: the task is given up rather than tried for ever.
    async fn broken(self: &Arc<Self>, task: Task) {
        let current = self.blocking({
            let id = task.id.clone();
            move |response| response.state().active.get(&id).cloned()
        });
        let Some(Some(task)) = current.await else { return };
        let during = match task.state {
            TaskState::Undoing => During::Undoing,
            TaskState::Pending => During::Preparing,
            _ => During::Applying,
        };
        let error = "the step stopped unexpectedly; see the log".to_owned();
        let next = match task.state {
            TaskState::Applied => TaskState::NotHeld { seen: error },
            _ => TaskState::Failed { during, error },
        };
        if let Err(error) = self.becomes(&task, next).await {
            tracing::error!(task = %task.id, %error, "cannot record that a task failed");
        }
    }

    /// Other tasks that are in effect on the same thing.
    async fn others(self: &Arc<Self>, task: &Task) -> Vec<Task> {
        let (thing, id) = (task.thing.clone(), task.id.clone());
        let others = self.blocking(move |response| {
            let state = response.state();
            let others = state.on_thing(&thing).filter(|other| other.id != id && other.undo.is_some());
            others.cloned().collect()
        });
        others.await.unwrap_or_default()
    }

    /// One call, within its time limit.
    async fn once<T>(&self, call: BoxFuture<'_, Result<T, ControlError>>) -> Result<T, ControlError> {
        let limit = Duration::from_secs(self.options.call_secs_max.into());
        timeout(limit, call).await.unwrap_or_else(|_| {
            Err(ControlError::Unavailable(format!("no answer within {} s", limit.as_secs())))
        })
    }

    /// A call that is repeated while the other side is away, within the step's time limit.
    async fn repeated<'a, T>(
        &self,
        call: impl Fn() -> BoxFuture<'a, Result<T, ControlError>>,
    ) -> Result<T, ControlError> {
        let pause = Backoff {
            first: Duration::from_millis(self.options.retry_first_ms.into()),
            max: Duration::from_secs(self.options.retry_max_secs.into()),
        };
        let deadline = self.deadline();
        let mut failures = 0;
        loop {
            match self.once(call()).await {
                Err(ControlError::Unavailable(reason)) => {
                    failures += 1;
                    let delay = pause.delay(failures, backoff::random());
                    if Instant::now() + delay >= deadline {
                        return Err(ControlError::Unavailable(format!("{reason} ({failures} attempts)")));
                    }
                    sleep(delay).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.options.step_secs_max.into())
    }

    /// Runs `f`, which may wait for the disk, where it holds up nobody else. `None` when
    /// the runtime is going down.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        f: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let response = Arc::clone(self);
        tokio::task::spawn_blocking(move || f(&response)).await.ok()
    }
}

/// Groups that the task's action names.
fn wanted(task: &Task) -> &[GroupName] {
    task.action.params.groups().unwrap_or_default()
}

/// Groups that the thing is in because of the task.
fn added(task: &Task) -> impl Iterator<Item = &GroupName> {
    let before = task.undo.as_ref().map(|undo| undo.groups_before.as_slice()).unwrap_or_default();
    wanted(task).iter().filter(move |group| !before.contains(group))
}

/// Nothing checked is nothing proved.
fn all_held(checks: &[Check]) -> bool {
    !checks.is_empty() && checks.iter().all(|check| check.held)
}

fn not_held(checks: &[Check]) -> String {
    let failed: Vec<String> = checks
        .iter()
        .filter(|check| !check.held)
        .map(|check| format!("{}: {}", check.what, check.seen))
        .collect();
    if failed.is_empty() { "the broker had nothing to check".into() } else { failed.join("; ") }
}

/// What is under way. Bounded by `tasks_at_once`.
#[derive(Default)]
struct Busy {
    tasks: JoinSet<()>,
    by_id: HashMap<Id, Task>,
    things: BTreeSet<String>,
}

impl Busy {
    fn begin(&mut self, response: &Arc<Response>, task: Task) {
        self.things.insert(task.thing.clone());
        let handle = self.tasks.spawn(Arc::clone(response).carry_out(task.clone()));
        self.by_id.insert(handle.id(), task);
    }

    /// The task that broke, if it did.
    fn end(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) -> Option<Task> {
        let (id, broken) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let task = self.by_id.remove(&id)?;
        self.things.remove(&task.thing);
        broken.then_some(task)
    }
}
