//! What the local endpoint answers with.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{ApiError, Backend, MetricValues, aws::endpoint::Endpoint};
use detector::{runner::RunnerHandle, verification::Verification};
use fleet::{
    store::{KeyRange, Store, StoreError, Table},
    time::Timestamp,
};
use history::Query;
use mitigations::{
    incident,
    outbox::{Outbox, OutboxError},
    response::Response,
    task::{Task, TaskError, TaskId},
};
use serde_json::{Value, json};

use super::{
    coverage::Away,
    health::Health,
    history::Kept,
    prometheus,
    sight::{self, Watched},
    sources::Running,
    verification,
};
use crate::{
    explain::gather::{self, GatherError},
    replay::raised,
};

/// How long `undo` waits for the executor, before it answers with how far it got.
const UNDO_PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two looks at a task.
const UNDO_PAUSE: Duration = Duration::from_millis(50);
/// Tasks read to find the newest.
const TASKS_READ_MAX: usize = 10_000;

/// Everything that there is to know.
#[derive(Debug)]
pub struct Known {
    /// The engine.
    pub handle: RunnerHandle,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Tasks.
    pub response: Arc<Response>,
    /// Alerts.
    pub outbox: Arc<Outbox>,
    /// Sources that run.
    pub sources: Running,
    /// What is wrong.
    pub health: Arc<Health>,
    /// Values of metrics, if they are kept.
    pub history: Option<Kept>,
    /// What there is to see; changes on reload.
    pub watched: Mutex<Arc<Watched>>,
    /// Sources that have been away for a while.
    pub away: Mutex<Away>,
    /// The control plane.
    pub control: Arc<Endpoint>,
    /// When this process started.
    pub started_at: Timestamp,
}

impl Known {
    /// Takes note of what is away, and keeps the findings of coverage.
    ///
    /// # Errors
    /// When the store fails.
    pub fn look(&self, away: &Away, now: Timestamp, settled: bool) -> Result<(), OutboxError> {
        away.clone_into(&mut self.away.lock().unwrap_or_else(PoisonError::into_inner));
        let watched = self.watched();
        sight::keep(&*self.store, &self.outbox, &watched.config, &watched.blind(away), (now, settled))
    }

    fn watched(&self) -> Arc<Watched> {
        Arc::clone(&self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn newest_tasks(&self, limit: usize) -> Result<Vec<Task>, ApiError> {
        let mut tasks = self.response.tasks(Timestamp::MIN, TASKS_READ_MAX).map_err(internal)?;
        tasks.reverse();
        tasks.truncate(limit);
        Ok(tasks)
    }

    /// A violation's verification, as an object with its id.
    fn verified(violation: &str, verification: &Verification) -> Result<Value, ApiError> {
        let mut told = json!({ "violationId": violation });
        verification::put_into(&mut told, verification).map_err(internal)?;
        Ok(told)
    }
}

fn refused(error: GatherError) -> ApiError {
    match error {
        GatherError::Malformed(_) => ApiError::Invalid(error.to_string()),
        GatherError::Unknown { .. } => ApiError::NotFound(error.to_string()),
        GatherError::Ambiguous { .. } => ApiError::Conflict(error.to_string()),
        GatherError::Store(_) | GatherError::Record(_) | GatherError::Verification(_) => internal(error),
    }
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::Internal(error.to_string())
}

impl Backend for Known {
    fn missing(&self) -> Vec<String> {
        let mut missing = self.health.missing();
        missing.extend(self.sources.missing());
        missing
    }

    fn metrics(&self) -> String {
        let mut own = self.history.as_ref().map(Kept::counters).unwrap_or_default();
        own.extend(self.control.counts.counters());
        prometheus::text(&self.handle.counters(), &self.outbox.stats(), &self.sources.counters(), &own)
    }

    fn status(&self) -> Value {
        let counters = self.handle.counters();
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let coverage = self.watched().as_json(&away);
        let (incidents, ungrouped) = self.response.incident_counts();
        let (dead, _) = self.outbox.dead_letter_counts();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "startedAt": self.started_at.to_string(),
            "missing": self.missing(),
            "sources": self.sources.as_json(),
            "coverage": coverage,
            "things": counters.things,
            "addresses": counters.addresses,
            "openViolations": counters.open_violations,
            "eventTime": counters.watermark.to_string(),
            "journal": {"seq": counters.seq, "bytesWritten": counters.journal_bytes, "commits": counters.commits},
            "inputs": {
                "received": counters.received,
                "journaled": counters.journaled,
                "repeated": counters.repeated,
                "irrelevant": counters.irrelevant,
                "refused": counters.refused,
            },
            "history": self.history.as_ref().map(Kept::as_json),
            "openIncidents": incidents,
            "alarmsWithoutIncident": ungrouped,
            "deadLetters": dead,
            "actionsLog": self.response.log_head(),
            "controlLog": self.control.plane.record_head(),
        })
    }

    fn alarms(&self, limit: usize, wanted: Option<&str>) -> Result<Value, ApiError> {
        let wanted = wanted.map(verification::state).transpose();
        let wanted = wanted.map_err(|error| ApiError::Invalid(format!("verification: {error}")))?;
        verification::active(&*self.store, limit, wanted).map(Value::Array).map_err(internal)
    }

    fn alarm(&self, id: &str) -> Result<Value, ApiError> {
        gather::gather(&*self.store, id).map_err(refused)
    }

    fn verification(&self, id: &str) -> Result<Value, ApiError> {
        let violation = gather::violation(&*self.store, id).map_err(refused)?;
        Self::verified(&violation, &verification::stored(&*self.store, &violation).map_err(internal)?)
    }

    fn verify(&self, id: &str, state: &str, description: Option<&str>) -> Result<Value, ApiError> {
        let verification = Verification::new(state, description);
        let verification = verification.map_err(|error| ApiError::Invalid(error.to_string()))?;
        let violation = gather::violation(&*self.store, id).map_err(refused)?;
        verification::keep(&*self.store, &violation, &verification).map_err(internal)?;
        tracing::info!(%violation, state, "an alarm was verified");
        Self::verified(&violation, &verification)
    }

    fn transitions(&self, limit: usize, after: Option<&str>) -> Result<Value, ApiError> {
        let range = after.map_or_else(|| Ok(KeyRange::all()), raised::after).map_err(ApiError::Invalid)?;
        raised::page(&*self.store, &range, limit).map_err(internal)
    }

    fn incidents(&self, limit: usize) -> Result<Value, ApiError> {
        incident::stored(&*self.store, limit).map(Value::Array).map_err(internal)
    }

    fn findings(&self) -> Result<Value, ApiError> {
        sight::findings(&*self.store).map(Value::Array).map_err(internal)
    }

    fn tasks(&self, limit: usize) -> Result<Value, ApiError> {
        serde_json::to_value(self.newest_tasks(limit)?).map_err(internal)
    }

    fn metric_values(&self, wanted: &MetricValues) -> Result<Value, ApiError> {
        let kept = self.history.as_ref();
        let kept =
            kept.ok_or_else(|| ApiError::Conflict("no history is kept; see `history.enabled`".into()))?;
        let query = Query {
            thing: &wanted.thing,
            metric: &wanted.metric,
            dimension: wanted.dimension.as_deref().unwrap_or_default(),
            aggregate: wanted.aggregate.as_deref(),
            window_secs: None,
            from: Timestamp::from_millis(wanted.from),
            to: Timestamp::from_millis(wanted.to),
            limit: wanted.limit,
        };
        kept.history.query(&query).map(|answer| super::history::answer_json(&answer)).map_err(internal)
    }

    fn undo<'a>(
        &'a self,
        task: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Value, ApiError>> + Send + 'a>> {
        Box::pin(async move {
            let id: TaskId = task.parse().map_err(|error| ApiError::Invalid(format!("{error}")))?;
            self.response.undo(&id).map_err(|error| match error {
                TaskError::Unknown(_) => ApiError::NotFound(error.to_string()),
                TaskError::NotUndoable { .. } => ApiError::Conflict(error.to_string()),
                other => internal(other),
            })?;
            let deadline = tokio::time::Instant::now() + UNDO_PATIENCE;
            loop {
                let task = self.response.task(&id).map_err(internal)?;
                let pending = task.as_ref().is_some_and(|task| task.undo_wanted || task.state.is_due());
                if !pending || tokio::time::Instant::now() >= deadline {
                    return serde_json::to_value(task).map_err(internal);
                }
                tokio::time::sleep(UNDO_PAUSE).await;
            }
        })
    }
}

/// Deletes transitions older than `keep_days` and all but the newest `keep_max`, and with the end of a violation
/// what people found out about it.
///
/// # Errors
/// When the store fails.
pub fn prune_transitions(
    store: &dyn Store,
    now: Timestamp,
    keep_days: i64,
    keep_max: usize,
) -> Result<usize, StoreError> {
    let oldest = now.plus_millis(-keep_days * 86_400_000);
    let mut range = KeyRange::all();
    let (mut kept, mut deleted) = (0, 0);
    loop {
        let entries = store.scan(Table::Transitions, &range, 4096)?;
        let Some((last, _)) = entries.last() else { return Ok(deleted) };
        range = range.after(last);
        let mut batch = fleet::store::Batch::new();
        for (key, value) in &entries {
            let row = serde_json::from_slice::<Value>(value).unwrap_or_default();
            let at = row.get("at").and_then(Value::as_i64);
            if kept >= keep_max || at.is_some_and(|at| at < oldest.millis()) {
                batch.delete(Table::Transitions, key.clone());
                // The end is newer than the begin, so it goes last.
                if row.get("kind").is_some_and(|kind| kind != "in-alarm")
                    && let Some(violation) = row.get("violationId").and_then(Value::as_str)
                {
                    batch.delete(Table::Verifications, violation);
                }
                deleted += 1;
            } else {
                kept += 1;
            }
        }
        if !batch.ops.is_empty() {
            store.commit(&batch)?;
        }
    }
}
