//! Starts the configured sources and ties them to the engine.
//!
//! Logs are read to their end before the MQTT sources start: a backlog would otherwise be late
//! beside what arrives now.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use brokers::{
    mosquitto::log::gap_line,
    mqtt::{
        self,
        source::MqttSource,
        status::{Clock, State},
    },
    tail::{self, Start, Tail, Tailed},
};
use detector::{
    input::{Format, SourceId},
    runner::{RunnerHandle, Stopped},
};
use fleet::time::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};
use xxhash_rust::xxh3::xxh3_64;

use super::prometheus::SourceCounters;
use crate::config::settings::{MosquittoLog, Settings};

/// Batches that wait between a source and the engine's own bounded queue.
const BATCHES_MAX: usize = 16;
/// Longest wait for logs to be read to their end; a log that grows faster than it is read never is.
const CATCH_UP_MAX: Duration = Duration::from_secs(600);
/// How often the engine is told that a source is still away.
const GAP_EVERY: Duration = Duration::from_secs(1);

/// The sources that run.
#[derive(Debug)]
pub struct Running {
    mqtt: Vec<(String, MqttSource)>,
    logs: Vec<(String, Tail)>,
}

/// The number of a source: a hash of its name, so that it stays when the order of the
/// configuration changes. `None` if two names have the same; one of them must be changed.
#[must_use]
pub fn numbers(settings: &Settings) -> Option<Vec<(String, SourceId)>> {
    let names = settings.mqtt.iter().map(|s| &s.name).chain(settings.mosquitto_log.iter().map(|s| &s.name));
    let numbered: Vec<(String, SourceId)> = names.map(|name| (name.clone(), number(name))).collect();
    let distinct: std::collections::BTreeSet<SourceId> = numbered.iter().map(|(_, id)| *id).collect();
    (distinct.len() == numbered.len()).then_some(numbered)
}

/// 0 is the engine's own.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 2^16")]
pub fn number(name: &str) -> SourceId {
    SourceId((xxh3_64(name.as_bytes()) % u64::from(u16::MAX)) as u16 + 1)
}

/// What a reader of the journal must know of the sources, by their numbers.
#[must_use]
pub fn facts(settings: &Settings) -> serde_json::Value {
    let mut facts = serde_json::Map::new();
    for source in &settings.mqtt {
        facts.insert(number(&source.name).0.to_string(), json!({"name": source.name}));
    }
    for log in &settings.mosquitto_log {
        let own = json!({"name": log.name, "utcOffsetSecs": log.utc_offset_secs});
        facts.insert(number(&log.name).0.to_string(), own);
    }
    serde_json::Value::Object(facts)
}

/// Starts everything. `tasks` gets what ties the sources to the engine.
///
/// # Errors
/// When a source's settings cannot be used or a thread cannot be started.
pub async fn start(
    settings: &Settings,
    handle: &RunnerHandle,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Running> {
    let mut logs = Vec::new();
    let mut caught_up = JoinSet::new();
    for log in &settings.mosquitto_log {
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let tail = follow(log, handle, clock, sender)?;
        logs.push((log.name.clone(), tail));
        let (told, is_caught_up) = tokio::sync::oneshot::channel();
        tasks.spawn(pass_lines(log.name.clone(), handle.clone(), Arc::clone(clock), receiver, told));
        // Standard input ends when it ends: nothing to wait for.
        if log.path.is_some() {
            caught_up.spawn(is_caught_up);
        }
    }
    if tokio::time::timeout(CATCH_UP_MAX, caught_up.join_all()).await.is_err() {
        tracing::warn!(
            secs = CATCH_UP_MAX.as_secs(),
            "a log grows faster than it is read; starting the other sources"
        );
    }
    let mut mqtt = Vec::new();
    for source in &settings.mqtt {
        let mut own = source.settings.clone();
        own.source = number(&source.name);
        mqtt.push((source.name.clone(), start_mqtt(&source.name, own, handle, clock, tasks).await?));
    }
    Ok(Running { mqtt, logs })
}

/// Starts one MQTT source and ties it to the engine.
///
/// # Errors
/// When its settings cannot be used or the engine has stopped.
pub async fn start_mqtt(
    name: &str,
    settings: mqtt::settings::Settings,
    handle: &RunnerHandle,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<MqttSource> {
    let id = settings.source;
    let (inputs, mut received) = mpsc::channel(BATCHES_MAX);
    let (receipts, receipts_out) = mpsc::channel(BATCHES_MAX * 4);
    handle.register(id, receipts).await?;
    let source = mqtt::source::spawn(settings, Arc::clone(clock), inputs, receipts_out)?;
    let own = handle.clone();
    tasks.spawn(async move {
        while let Some(batch) = received.recv().await {
            if own.send(batch).await.is_err() {
                return;
            }
        }
    });
    tasks.spawn(tell_gaps(name.to_owned(), id, source.status(), handle.clone(), Arc::clone(clock)));
    Ok(source)
}

fn follow(
    log: &MosquittoLog,
    handle: &RunnerHandle,
    clock: &Clock,
    sender: mpsc::Sender<Tailed>,
) -> std::io::Result<Tail> {
    let (id, clock) = (number(&log.name), Arc::clone(clock));
    let Some(path) = &log.path else {
        return tail::read(std::io::stdin(), id, Format::MosquittoLog, clock, sender);
    };
    let start = match handle.positions().remove(&id) {
        Some(known) if !known.identity.is_empty() => {
            Start::After { position: known.position, identity: known.identity }
        }
        _ if log.from_start => Start::Beginning,
        _ => Start::End,
    };
    let mut settings = tail::Settings::new(path.clone(), id, Format::MosquittoLog, start);
    settings.gap_mark = gap_line();
    tail::follow(settings, clock, sender)
}

/// Hands a log's lines to the engine, in order.
async fn pass_lines(
    name: String,
    handle: RunnerHandle,
    clock: Clock,
    mut lines: mpsc::Receiver<Tailed>,
    told: tokio::sync::oneshot::Sender<()>,
) {
    let id = number(&name);
    let mut told = Some(told);
    while let Some(tailed) = lines.recv().await {
        let done: Result<(), Stopped> = match tailed {
            Tailed::Opened { identity } => handle.source_opened(id, &name, &identity).await,
            Tailed::Lines(inputs) => handle.send(inputs).await,
            Tailed::Gap { reason } => {
                tracing::warn!(source = name, reason, "lines of the log are missing");
                let now = clock();
                handle.gap(id, &name, (now, now), &reason).await
            }
            Tailed::CaughtUp => {
                if let Some(told) = told.take()
                    && told.send(()).is_err()
                {
                    tracing::debug!(source = name, "caught up, later than anybody waited");
                }
                Ok(())
            }
        };
        if done.is_err() {
            return;
        }
    }
}

/// Tells the engine while a source is away, so that windows without it raise no alarm of absence.
async fn tell_gaps(
    name: String,
    id: SourceId,
    mut status: tokio::sync::watch::Receiver<mqtt::status::Status>,
    handle: RunnerHandle,
    clock: Clock,
) {
    let mut away_since: Option<Timestamp> = None;
    loop {
        let state = status.borrow_and_update().state.clone();
        match state {
            State::Connected { .. } => {
                if let Some(from) = away_since.take()
                    && handle.gap(id, &name, (from, clock()), "the source was away").await.is_err()
                {
                    return;
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
            State::Stopped => return,
            State::Connecting | State::Down { .. } => {
                let from = *away_since.get_or_insert_with(&*clock);
                if handle.gap(id, &name, (from, clock()), "the source is away").await.is_err() {
                    return;
                }
                tokio::time::timeout(GAP_EVERY, status.changed()).await.ok();
            }
        }
    }
}

impl Running {
    /// Sources that do not deliver, with the reason.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mqtt = self.mqtt.iter().filter_map(|(name, source)| {
            let wrong = what_is_wrong(&source.status().borrow())?;
            Some(format!("source {name}: {wrong}"))
        });
        let logs = self.logs.iter().filter_map(|(name, tail)| {
            tail.status().last_error().map(|error| format!("source {name}: {error}"))
        });
        mqtt.chain(logs).collect()
    }

    /// Sources that deliver nothing at the moment: name and reason. One that only refuses a part
    /// (a filter, a large message) is not among them.
    #[must_use]
    pub fn away(&self) -> super::coverage::Away {
        let mqtt = self.mqtt.iter().filter_map(|(name, source)| {
            let status = source.status().borrow().clone();
            let reason = status.last_failure.as_ref().map_or("connecting", |failure| &failure.message);
            (!status.is_connected()).then(|| (name.clone(), reason.to_owned()))
        });
        let logs = self.logs.iter().filter_map(|(name, tail)| {
            let ended = (!tail.is_running()).then(|| "it is not read any more".to_owned());
            Some((name.clone(), tail.status().last_error().or(ended)?))
        });
        mqtt.chain(logs).collect()
    }

    /// Counters by source.
    #[must_use]
    pub fn counters(&self) -> Vec<SourceCounters> {
        let mqtt =
            self.mqtt.iter().map(|(name, source)| (name.clone(), source.counters().snapshot().to_vec()));
        let logs = self.logs.iter().map(|(name, tail)| {
            let counts = tail.status().counts();
            let rows = vec![
                ("lines", counts.lines),
                ("cut_lines", counts.cut_lines),
                ("gaps", counts.gaps),
                ("rotations", counts.rotations),
                ("errors", counts.errors),
            ];
            (name.clone(), rows)
        });
        mqtt.chain(logs).collect()
    }

    /// For `status`.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let mqtt = self.mqtt.iter().map(|(name, source)| {
            let status = source.status().borrow().clone();
            let failure = status
                .last_failure
                .as_ref()
                .map(|failure| json!({"at": failure.at.to_string(), "message": failure.message}));
            json!({
                "source": name,
                "kind": "mqtt",
                "connected": status.is_connected(),
                "reconnects": status.reconnects,
                "lastFailure": failure,
                "refusedFilters": status.refused_filters,
                "stuckOnOversized": status.stuck_on_oversized,
                "received": source.counters().received.load(Ordering::Relaxed),
            })
        });
        let logs = self.logs.iter().map(|(name, tail)| {
            let counts = tail.status().counts();
            json!({
                "source": name,
                "kind": "mosquitto-log",
                "reading": tail.is_running(),
                "lines": counts.lines,
                "gaps": counts.gaps,
                "rotations": counts.rotations,
                "lastError": tail.status().last_error(),
            })
        });
        mqtt.chain(logs).collect()
    }

    /// Stops the MQTT sources in order; the logs end with the engine.
    pub async fn stop(self) {
        for (name, source) in self.mqtt {
            tracing::debug!(source = name, "stopping");
            source.stop().await;
        }
    }
}

fn what_is_wrong(status: &mqtt::status::Status) -> Option<String> {
    if !status.is_connected() {
        let reason = status.last_failure.as_ref().map_or("connecting", |failure| &failure.message);
        return Some(format!("not connected: {reason}"));
    }
    if !status.refused_filters.is_empty() {
        return Some(format!("the broker refuses to subscribe us to {}", status.refused_filters.join(", ")));
    }
    status
        .stuck_on_oversized
        .map(|bytes| format!("a message of {bytes} bytes is too large and comes again and again"))
}
