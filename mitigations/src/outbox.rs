//! The outbox: alerts wait in the store until each sink has taken them.
//!
//! An alert enters in the same commit as what caused it and leaves when the sink took it
//! or was given up on, so it is delivered at least once, with the same id each time.
//!
//! Bounds: each sink has `waiting_max` places. When they are full, the oldest waiting
//! notice makes room, or else the oldest waiting alarm: it becomes a dead letter. There
//! are at most `dead_letters_max` dead letters; the oldest is forgotten. All is counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fleet::{
    store::{Batch, KeyRange, SCAN_ENTRIES_MAX, Store, StoreError, Table},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{sync::Notify, time::Instant};

use crate::{alert::Alert, backoff::Backoff, sink::Sink};

mod queue;
mod worker;

use queue::{Item, Queue};
pub use worker::Workers;

/// Reads the wall clock; given by the wiring.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// `[alerts.outbox]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxOptions {
    /// Most alerts that wait for one sink.
    pub waiting_max: usize,
    /// Most deliveries to one sink at once; one after a failure, until one goes through.
    pub in_flight_max: usize,
    /// Most attempts for one alert.
    pub attempts_max: u32,
    /// Age after which an alert that was tried is given up, in seconds.
    pub age_max_secs: u32,
    /// Ceiling of the first pause after a failure, in ms; it doubles with each further one.
    pub retry_first_ms: u32,
    /// Ceiling of all pauses, in seconds.
    pub retry_max_secs: u32,
    /// Time limit of one delivery, in seconds, above the limits that the sink itself has.
    pub delivery_secs_max: u32,
    /// Most dead letters kept.
    pub dead_letters_max: usize,
}

/// A day of trying covers a night's outage; 10,000 alerts of about 2 kB are small.
impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            waiting_max: 10_000,
            in_flight_max: 4,
            attempts_max: 1000,
            age_max_secs: 86_400,
            retry_first_ms: 500,
            retry_max_secs: 300,
            delivery_secs_max: 120,
            dead_letters_max: 10_000,
        }
    }
}

impl OutboxOptions {
    const fn backoff(&self) -> Backoff {
        Backoff {
            first: Duration::from_millis(self.retry_first_ms as u64),
            max: Duration::from_secs(self.retry_max_secs as u64),
        }
    }

    const fn age_max_ms(&self) -> i64 {
        self.age_max_secs as i64 * 1000
    }
}

/// Why the outbox cannot be used.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// The store failed.
    #[error("cannot read or write the outbox")]
    Store(#[from] StoreError),
    /// A record cannot be read or written.
    #[error("the outbox record `{key}` cannot be read or written")]
    Record {
        /// Its key.
        key: String,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// No dead letter has this sink and id.
    #[error("sink `{sink}` has no dead letter `{id}`")]
    NoDeadLetter {
        /// Sink.
        sink: String,
        /// Alert id.
        id: String,
    },
    /// The sink is not configured any more.
    #[error("no sink is named `{0}`")]
    UnknownSink(String),
}

/// An alert waiting for a sink, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    order: u64,
    enqueued_at: Timestamp,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    alert: Alert,
}

/// An alert that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Sink.
    pub sink: String,
    /// Place in the order of giving up.
    pub order: u64,
    /// When it entered the outbox.
    pub enqueued_at: Timestamp,
    /// When it was given up.
    pub given_up_at: Timestamp,
    /// Attempts made.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
    /// The alert.
    pub alert: Alert,
}

/// Counters of one sink since the start, and what waits now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkStats {
    /// Sink.
    pub sink: String,
    /// Alerts waiting or in flight.
    pub waiting: usize,
    /// Alerts delivered.
    pub delivered_total: u64,
    /// Attempts that failed and are tried again.
    pub retried_total: u64,
    /// Alerts given up.
    pub given_up_total: u64,
    /// Of these, those that made room for newer ones.
    pub overflowed_total: u64,
}

/// The outbox. Calls block on the store.
pub struct Outbox {
    store: Arc<dyn Store>,
    options: OutboxOptions,
    clock: Clock,
    sinks: Vec<Lane>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("sinks", &self.sinks).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Lane {
    sink: Arc<dyn Sink>,
    wake: Notify,
}

/// INVARIANT: `queues` has one queue for each of `Outbox::sinks`, in the same order.
#[derive(Debug, Default)]
struct State {
    queues: Vec<Queue>,
    stats: Vec<SinkStats>,
    /// Keys of the dead letters in the order of giving up.
    dead: BTreeMap<u64, Vec<u8>>,
    dead_forgotten_total: u64,
    next_order: u64,
}

/// `SINK\0ID`; neither part holds a zero byte, since sink names are plain and ids printable.
fn key(sink: &str, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(sink.len() + id.len() + 1);
    key.extend_from_slice(sink.as_bytes());
    key.push(0);
    key.extend_from_slice(id.as_bytes());
    key
}

fn record_error(key: &[u8]) -> impl FnOnce(serde_json::Error) -> OutboxError + '_ {
    |source| OutboxError::Record { key: String::from_utf8_lossy(key).replace('\0', "/"), source }
}

impl Outbox {
    /// Opens the outbox that `store` holds. Alerts for sinks that are no longer configured
    /// stay in the store and wait until the sink is back.
    ///
    /// # Errors
    /// When the store fails or holds a record that cannot be read.
    pub fn open(
        store: Arc<dyn Store>,
        sinks: Vec<Arc<dyn Sink>>,
        options: OutboxOptions,
        clock: Clock,
    ) -> Result<Arc<Self>, OutboxError> {
        let mut state = State::default();
        for sink in &sinks {
            let mut queue = Queue::default();
            for_each(&*store, Table::Outbox, &KeyRange::prefix(&key(sink.name(), "")), |key, value| {
                let entry: Entry = serde_json::from_slice(value).map_err(record_error(key))?;
                state.next_order = state.next_order.max(entry.order + 1);
                queue.insert(entry.order, Item::new(&entry), Instant::now());
                Ok(())
            })?;
            if !queue.is_empty() {
                tracing::info!(sink = sink.name(), waiting = queue.len(), "alerts wait from before");
            }
            state.queues.push(queue);
            state.stats.push(SinkStats { sink: sink.name().to_owned(), ..SinkStats::default() });
        }
        for_each(&*store, Table::DeadLetters, &KeyRange::all(), |key, value| {
            let letter: DeadLetter = serde_json::from_slice(value).map_err(record_error(key))?;
            state.next_order = state.next_order.max(letter.order + 1);
            state.dead.insert(letter.order, key.to_vec());
            Ok(())
        })?;
        let sinks = sinks.into_iter().map(|sink| Lane { sink, wake: Notify::new() }).collect();
        Ok(Arc::new(Self { store, options, clock, sinks, state: Mutex::new(state) }))
    }

    /// Commits `batch` together with `alerts` for all sinks that want them, all or nothing,
    /// and wakes the sinks. An alert that waits already is not entered twice.
    ///
    /// # Errors
    /// When the store fails; then nothing was entered.
    pub fn commit(&self, mut batch: Batch, alerts: &[Alert]) -> Result<(), OutboxError> {
        let now = (self.clock)();
        let mut state = self.state();
        let entering = self.enter(&state, alerts, now, &mut batch)?;
        if batch.ops.is_empty() {
            return Ok(());
        }
        self.store.commit(&batch)?;
        state.apply(entering, self.options.dead_letters_max);
        drop(state);
        for lane in &self.sinks {
            lane.wake.notify_one();
        }
        Ok(())
    }

    /// Adds to `batch` what enters and what makes room for it.
    fn enter(
        &self,
        state: &State,
        alerts: &[Alert],
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<Entering, OutboxError> {
        let mut entering = Entering { next_order: state.next_order, ..Entering::default() };
        for (index, (lane, queue)) in self.sinks.iter().zip(&state.queues).enumerate() {
            let name = lane.sink.name();
            let mut seen = std::collections::BTreeSet::new();
            let mut items = Vec::new();
            for alert in alerts {
                if !lane.sink.wants(alert) || queue.contains(alert.id()) || !seen.insert(alert.id()) {
                    continue;
                }
                let entry = Entry {
                    order: entering.next(),
                    enqueued_at: now,
                    attempts: 0,
                    last_error: None,
                    alert: alert.clone(),
                };
                let key = key(name, alert.id());
                let value = serde_json::to_vec(&entry).map_err(record_error(&key))?;
                batch.put(Table::Outbox, key, value);
                items.push((entry.order, Item::new(&entry)));
            }
            let over = (queue.len() + items.len()).saturating_sub(self.options.waiting_max);
            for (order, id) in queue.victims(over) {
                let key = key(name, &id);
                if let Some(value) = self.store.get(Table::Outbox, &key)? {
                    let entry: Entry = serde_json::from_slice(&value).map_err(record_error(&key))?;
                    let reason = format!("the outbox was full ({} alerts)", self.options.waiting_max);
                    let letter = dead_letter(name, entry, entering.next(), now, reason);
                    entering.dead.push(put_dead(batch, &letter, &key)?);
                }
                entering.gone.push((index, order));
            }
            entering.items.extend(items.into_iter().map(|(order, item)| (index, order, item)));
        }
        for key in state.surplus_dead(entering.dead.len(), self.options.dead_letters_max) {
            batch.delete(Table::DeadLetters, key);
        }
        Ok(entering)
    }

    /// Dead letters, oldest key first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails or a record cannot be read.
    pub fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, OutboxError> {
        let limit = limit.min(SCAN_ENTRIES_MAX);
        let entries = self.store.scan(Table::DeadLetters, &KeyRange::all(), limit)?;
        let mut letters = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            letters.push(serde_json::from_slice::<DeadLetter>(&value).map_err(record_error(&key))?);
        }
        letters.sort_by_key(|letter| letter.order);
        Ok(letters)
    }

    /// Puts a dead letter back into the queue, as if it were new.
    ///
    /// # Errors
    /// When there is no such dead letter or sink, or the store fails.
    pub fn retry_dead_letter(&self, sink: &str, id: &str) -> Result<(), OutboxError> {
        let index = self
            .sinks
            .iter()
            .position(|lane| lane.sink.name() == sink)
            .ok_or_else(|| OutboxError::UnknownSink(sink.to_owned()))?;
        let key = key(sink, id);
        let mut state = self.state();
        let Some(value) = self.store.get(Table::DeadLetters, &key)? else {
            return Err(OutboxError::NoDeadLetter { sink: sink.to_owned(), id: id.to_owned() });
        };
        let letter: DeadLetter = serde_json::from_slice(&value).map_err(record_error(&key))?;
        let order = state.next_order;
        let entry = Entry {
            order,
            enqueued_at: (self.clock)(),
            attempts: 0,
            last_error: Some(letter.reason),
            alert: letter.alert,
        };
        let mut batch = Batch::new();
        batch.delete(Table::DeadLetters, key.clone());
        batch.put(Table::Outbox, key.clone(), serde_json::to_vec(&entry).map_err(record_error(&key))?);
        self.store.commit(&batch)?;
        state.next_order += 1;
        state.dead.retain(|_, dead| *dead != key);
        if let Some(queue) = state.queues.get_mut(index) {
            queue.insert(order, Item::new(&entry), Instant::now());
        }
        drop(state);
        if let Some(lane) = self.sinks.get(index) {
            lane.wake.notify_one();
        }
        Ok(())
    }

    /// Counters by sink, in the order of the sinks.
    #[must_use]
    pub fn stats(&self) -> Vec<SinkStats> {
        let state = self.state();
        let waiting = state.queues.iter().map(Queue::len);
        state
            .stats
            .iter()
            .zip(waiting)
            .map(|(stats, waiting)| SinkStats { waiting, ..stats.clone() })
            .collect()
    }

    /// Dead letters now, and those forgotten since the start because there were too many.
    #[must_use]
    pub fn dead_letter_counts(&self) -> (usize, u64) {
        let state = self.state();
        (state.dead.len(), state.dead_forgotten_total)
    }

    /// A panic while the lock was held cannot leave the queues half-changed in a way that
    /// the next start does not mend, and the store is the truth: go on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a commit is about to change.
#[derive(Debug, Default)]
struct Entering {
    items: Vec<(usize, u64, Item)>,
    /// Sink index and order of those that made room.
    gone: Vec<(usize, u64)>,
    /// Order and key of new dead letters.
    dead: Vec<(u64, Vec<u8>)>,
    next_order: u64,
}

impl Entering {
    const fn next(&mut self) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        order
    }
}

impl State {
    fn apply(&mut self, entering: Entering, dead_max: usize) {
        let now = Instant::now();
        self.next_order = entering.next_order;
        for (index, order) in entering.gone {
            if let (Some(queue), Some(stats)) = (self.queues.get_mut(index), self.stats.get_mut(index)) {
                queue.remove(order);
                stats.given_up_total += 1;
                stats.overflowed_total += 1;
            }
        }
        for (index, order, item) in entering.items {
            if let Some(queue) = self.queues.get_mut(index) {
                queue.insert(order, item, now);
            }
        }
        self.bury(entering.dead, dead_max);
    }

    fn bury(&mut self, dead: Vec<(u64, Vec<u8>)>, dead_max: usize) {
        for (order, key) in dead {
            tracing::error!(key = %String::from_utf8_lossy(&key).replace('\0', "/"), "an alert was given up");
            self.dead.retain(|_, other| *other != key);
            self.dead.insert(order, key);
        }
        while self.dead.len() > dead_max {
            self.dead.pop_first();
            self.dead_forgotten_total += 1;
        }
    }

    /// Keys of the oldest dead letters that `more` new ones push out.
    fn surplus_dead(&self, more: usize, dead_max: usize) -> Vec<Vec<u8>> {
        let over = (self.dead.len() + more).saturating_sub(dead_max);
        self.dead.values().take(over).cloned().collect()
    }
}

fn dead_letter(sink: &str, entry: Entry, order: u64, now: Timestamp, reason: String) -> DeadLetter {
    DeadLetter {
        sink: sink.to_owned(),
        order,
        enqueued_at: entry.enqueued_at,
        given_up_at: now,
        attempts: entry.attempts,
        reason,
        alert: entry.alert,
    }
}

/// Moves the alert with `key` from the outbox to the dead letters.
fn put_dead(batch: &mut Batch, letter: &DeadLetter, key: &[u8]) -> Result<(u64, Vec<u8>), OutboxError> {
    let value = serde_json::to_vec(letter).map_err(record_error(key))?;
    batch.put(Table::DeadLetters, key, value);
    batch.delete(Table::Outbox, key);
    Ok((letter.order, key.to_vec()))
}

/// Entries read at once at the start.
const PAGE: usize = 1024;

fn for_each(
    store: &dyn Store,
    table: Table,
    range: &KeyRange,
    mut f: impl FnMut(&[u8], &[u8]) -> Result<(), OutboxError>,
) -> Result<(), OutboxError> {
    let mut range = range.clone();
    loop {
        let page = store.scan(table, &range, PAGE)?;
        for (key, value) in &page {
            f(key, value)?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => range = range.after(last),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
