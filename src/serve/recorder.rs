//! Takes what the engine decides and makes it durable: transitions, open violations, alerts and
//! tasks in one commit, then the word to the engine how far it got.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use detector::{
    output::{Output, RefusedInput, Violating, WatchedKind},
    runner::RunnerHandle,
    transition::{AttributionName, EntityName, MetricValue, Transition, TransitionKind},
};
use fleet::{
    event::Attribution,
    ids::GroupName,
    registry::Registry,
    store::{Batch, Store, StoreError, Table},
    time::Timestamp,
};
use mitigations::{
    alarm::{Alarm, AlarmKind, Entity},
    response::{ALARMS_MAX, Response},
    task::TaskError,
};
use serde_json::json;
use thiserror::Error;
use tokio::sync::mpsc;

use super::{health::Health, history::Feed};

/// Pause before a commit that failed is tried again. The engine waits meanwhile: nothing is lost.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Size at which the file of refused inputs is put aside; the one put aside before goes.
const REFUSED_BYTES_MAX: u64 = 8 << 20;

/// What the recorder works with.
pub struct Recorder {
    /// Where things are kept.
    pub store: Arc<dyn Store>,
    /// Plans answers and commits.
    pub response: Arc<Response>,
    /// The engine.
    pub handle: RunnerHandle,
    /// File of refused inputs, JSON lines.
    pub refused: PathBuf,
    /// Takes the values of closed windows, and the word how far the engine got; without it the engine is
    /// told by the recorder itself.
    pub history: Option<Feed>,
    /// What is wrong at the moment.
    pub health: Arc<Health>,
    /// Whether a quarantined thing that connects has broken out. On Mosquitto it has not: it may
    /// connect, and has no permissions.
    pub connecting_is_escape: bool,
    /// Told every transition that is new.
    pub told: Box<dyn Fn(&Transition) + Send>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("refused", &self.refused).finish_non_exhaustive()
    }
}

#[derive(Debug, Error)]
enum RecordError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error("a transition cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Key of a transition: the newest first, since stores are read forward.
#[must_use]
pub fn transition_key(seq: u64, id: &str) -> Vec<u8> {
    let mut key = (u64::MAX - seq).to_be_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    key
}

impl Recorder {
    /// Works until the engine closes its channel. Blocks; to be run on a thread of its own.
    pub fn run(self, mut outputs: mpsc::Receiver<Output>) {
        let mut batch = Vec::with_capacity(ALARMS_MAX);
        while outputs.blocking_recv_many(&mut batch, ALARMS_MAX) > 0 {
            self.keep_trying(&mut batch);
        }
    }

    fn keep_trying(&self, outputs: &mut Vec<Output>) {
        while let Err(error) = self.record(outputs) {
            tracing::error!(%error, "cannot store what the engine decided; trying again");
            self.health.set("store", Some(format!("cannot be written: {error}")));
            std::thread::sleep(RETRY_PAUSE);
        }
        self.health.set("store", None);
        for output in outputs.drain(..) {
            match (output, &self.history) {
                (Output::Refused(refused), _) => self.keep_refused(&refused),
                (Output::Datapoints(points), Some(history)) => history.points(points),
                (Output::Folded { seq }, Some(history)) => history.folded(seq),
                (Output::Folded { seq }, None) => self.handle.applied(seq),
                (
                    Output::Transition(_) | Output::Violating(_) | Output::Watched(_) | Output::Datapoints(_),
                    _,
                ) => {}
            }
        }
    }

    fn record(&self, outputs: &[Output]) -> Result<(), RecordError> {
        let fresh = self.not_stored_yet(outputs)?;
        if !fresh.is_empty() {
            let registry = self.handle.registry();
            let mut batch = Batch::new();
            for transition in &fresh {
                put(&mut batch, transition)?;
            }
            let alarms: Vec<Alarm> = fresh.iter().map(|transition| alarm(transition, &registry)).collect();
            let answered = self.response.answer(batch, &alarms)?;
            tracing::debug!(transitions = fresh.len(), ?answered, "stored");
            fresh.iter().for_each(|transition| (self.told)(transition));
        }
        let moved = latest(&*self.store, outputs)?;
        if !moved.ops.is_empty() {
            self.store.commit(&moved)?;
        }
        for output in outputs {
            if let Output::Watched(watched) = output
                && let Some(what) = self.escape(watched.what)
            {
                self.response.watched(&watched.thing, what, watched.at)?;
            }
        }
        Ok(())
    }

    /// What a quarantined thing did that it should not be able to, as a verb.
    const fn escape(&self, what: WatchedKind) -> Option<&'static str> {
        match what {
            WatchedKind::Connected if self.connecting_is_escape => Some("connect"),
            WatchedKind::Connected => None,
            WatchedKind::Published => Some("publish"),
            WatchedKind::Subscribed => Some("subscribe"),
        }
    }

    /// After a crash the engine folds its tail again: what is stored already is not answered twice.
    fn not_stored_yet<'a>(&self, outputs: &'a [Output]) -> Result<VecDeque<&'a Transition>, StoreError> {
        let mut fresh = VecDeque::new();
        for output in outputs {
            if let Output::Transition(transition) = output
                && self
                    .store
                    .get(Table::Transitions, &transition_key(transition.seq, &transition.id))?
                    .is_none()
            {
                fresh.push_back(transition);
            }
        }
        Ok(fresh)
    }

    /// Best effort: a disk that cannot take the file of refused inputs must not stop detection.
    fn keep_refused(&self, refused: &RefusedInput) {
        if let Err(error) = append_refused(&self.refused, refused) {
            tracing::warn!(%error, path = %self.refused.display(), "cannot keep a refused input");
        }
    }
}

fn put(batch: &mut Batch, transition: &Transition) -> Result<(), serde_json::Error> {
    let json = serde_json::to_vec(transition)?;
    let violation = transition.violation_id.as_bytes();
    match transition.kind {
        TransitionKind::InAlarm => {
            let mut row = serde_json::to_value(transition)?;
            if let (Some(members), Some(value)) = (row.as_object_mut(), &transition.value) {
                last_violation(members, value, transition.at)?;
            }
            batch.put(Table::Violations, violation, serde_json::to_vec(&row)?);
        }
        TransitionKind::AlarmCleared | TransitionKind::AlarmInvalidated => {
            batch.delete(Table::Violations, violation);
        }
    }
    batch.put(Table::Transitions, transition_key(transition.seq, &transition.id), json);
    Ok(())
}

/// Moves the last values of violations that go on. One that has ended meanwhile has no row any more.
fn latest(store: &dyn Store, outputs: &[Output]) -> Result<Batch, RecordError> {
    let mut latest: BTreeMap<&str, &Violating> = BTreeMap::new();
    for output in outputs {
        if let Output::Violating(told) = output {
            latest.insert(&told.violation_id, told);
        }
    }
    let mut batch = Batch::new();
    for (id, told) in latest {
        let Some(row) = store.get(Table::Violations, id.as_bytes())? else { continue };
        let mut row: serde_json::Value = serde_json::from_slice(&row)?;
        if let Some(members) = row.as_object_mut() {
            last_violation(members, &told.value, told.at)?;
            batch.put(Table::Violations, id.as_bytes(), serde_json::to_vec(&row)?);
        }
    }
    Ok(batch)
}

/// Puts the latest violating datapoint into the row of a violation, under the names of AWS; its time in
/// milliseconds as all times here.
fn last_violation(
    row: &mut serde_json::Map<String, serde_json::Value>,
    value: &MetricValue,
    at: Timestamp,
) -> Result<(), serde_json::Error> {
    row.insert("lastViolationValue".into(), serde_json::to_value(value)?);
    row.insert("lastViolationTime".into(), at.millis().into());
    Ok(())
}

/// A transition as the response sees it.
#[must_use]
pub fn alarm(transition: &Transition, registry: &Registry) -> Alarm {
    let thing = match &transition.entity {
        EntityName::Thing(name) => Some(name.clone()),
        EntityName::SourceIp(_)
        | EntityName::Network(_)
        | EntityName::Principal(_)
        | EntityName::Topic(_)
        | EntityName::ThingGroup(_)
        | EntityName::Fleet
        | EntityName::ClaimedClientId(_) => None,
    };
    let groups = thing.as_deref().and_then(|name| registry.things.get(name)).map(|thing| {
        thing.groups.iter().flat_map(|group| registry.ancestors(group)).cloned().collect::<Vec<GroupName>>()
    });
    Alarm {
        id: transition.id.clone(),
        violation_id: transition.violation_id.clone(),
        kind: match transition.kind {
            TransitionKind::InAlarm => AlarmKind::InAlarm,
            TransitionKind::AlarmCleared => AlarmKind::AlarmCleared,
            TransitionKind::AlarmInvalidated => AlarmKind::AlarmInvalidated,
        },
        at: transition.at,
        started_at: transition.started_at,
        entity: match &transition.entity {
            EntityName::Thing(name) => Entity::Thing(name.clone()),
            EntityName::SourceIp(ip) => Entity::SourceIp(*ip),
            other => Entity::Other(other.text()),
        },
        // A thing is known by the client id of its sessions.
        client_id: thing,
        principal: transition.principal.clone(),
        groups: groups.unwrap_or_default().into_iter().collect(),
        profile: transition.profile.clone(),
        behavior: transition.behavior.clone(),
        metric: transition.metric.clone(),
        value: transition.value.as_ref().and_then(|value| serde_json::to_value(value).ok()),
        expected: transition.expected.clone(),
        attribution: match transition.attribution {
            AttributionName::Ambiguous => Attribution::Ambiguous,
            AttributionName::Address => Attribution::Address,
            AttributionName::Certain => Attribution::Certain,
        },
        suppressed: transition.suppressed,
        behavior_json: Arc::clone(&transition.behavior_json),
    }
}

fn append_refused(path: &std::path::Path, refused: &RefusedInput) -> std::io::Result<()> {
    use std::io::Write as _;
    if std::fs::metadata(path).is_ok_and(|file| file.len() >= REFUSED_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("jsonl.1"))?;
    }
    let line = json!({
        "source": refused.source.0,
        "subject": refused.subject,
        "reason": refused.refusal.reason,
        "message": refused.refusal.message,
        "payload": String::from_utf8_lossy(&refused.payload_prefix),
    });
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{line}")
}

#[cfg(test)]
mod tests {
    use fleet::store::Engine;

    use super::*;

    fn violating(id: &str, secs: i64, count: u64) -> Output {
        let at = Timestamp::from_secs(secs);
        Output::Violating(Violating { seq: 1, violation_id: id.into(), at, value: MetricValue::Count(count) })
    }

    #[test]
    fn the_last_value_of_an_open_violation_moves_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = fleet::store::open(Engine::Redb, folder.path()).unwrap();
        let mut batch = Batch::new();
        batch.put(Table::Violations, "open", r#"{"value":{"count":5},"lastViolationValue":{"count":5}}"#);
        store.commit(&batch).unwrap();
        let outputs = [violating("open", 7, 8), violating("ended", 7, 1), violating("open", 9, 6)];
        store.commit(&latest(&*store, &outputs).unwrap()).unwrap();
        let row = store.get(Table::Violations, b"open").unwrap().unwrap();
        let row: serde_json::Value = serde_json::from_slice(&row).unwrap();
        assert_eq!(
            row,
            json!({"value": {"count": 5}, "lastViolationValue": {"count": 6}, "lastViolationTime": 9000})
        );
        assert_eq!(store.get(Table::Violations, b"ended").unwrap(), None, "what has ended has no row");
        assert!(latest(&*store, &[]).unwrap().ops.is_empty());
    }
}
