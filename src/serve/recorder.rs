//! Takes what the engine decides and makes it durable: transitions, open violations, alerts and
//! tasks in one commit, then the word to the engine how far it got.

use std::{collections::VecDeque, path::PathBuf, sync::Arc, time::Duration};

use detector::{
    output::{Output, RefusedInput, WatchedKind},
    runner::RunnerHandle,
    transition::{AttributionName, EntityName, Transition, TransitionKind},
};
use fleet::{
    event::Attribution,
    ids::GroupName,
    registry::Registry,
    store::{Batch, Store, StoreError, Table},
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
                (Output::Transition(_) | Output::Watched(_) | Output::Datapoints(_), _) => {}
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
        TransitionKind::InAlarm => batch.put(Table::Violations, violation, json.clone()),
        TransitionKind::AlarmCleared | TransitionKind::AlarmInvalidated => {
            batch.delete(Table::Violations, violation);
        }
    }
    batch.put(Table::Transitions, transition_key(transition.seq, &transition.id), json);
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
