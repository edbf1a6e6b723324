//! One worker per sink takes alerts from its queue, delivers them, and settles the outcome.

use std::{sync::Arc, time::Duration};

use fleet::store::{Batch, Table};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    Entry, Outbox, OutboxError, dead_letter, key, put_dead,
    queue::{Next, Queue},
    record_error,
};
use crate::{backoff, sink::DeliveryError};

/// The running workers. Dropping them stops them at once; what was under way is delivered
/// again after the next start.
#[derive(Debug)]
pub struct Workers {
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Workers {
    /// Takes no further alerts, waits up to `limit` for those in flight, then stops.
    pub async fn stop(mut self, limit: Duration) {
        self.stop.send_replace(true);
        let all = async { while self.workers.join_next().await.is_some() {} };
        if timeout(limit, all).await.is_err() {
            tracing::warn!(
                "deliveries were still under way at the time limit; they are repeated after the next start"
            );
        }
    }
}

impl Outbox {
    /// Starts one worker per sink. Call once.
    pub fn start(self: &Arc<Self>) -> Workers {
        let (stop, stopped) = watch::channel(false);
        let mut workers = JoinSet::new();
        for index in 0..self.sinks.len() {
            workers.spawn(Arc::clone(self).run(index, stopped.clone()));
        }
        Workers { stop, workers }
    }

    async fn run(self: Arc<Self>, index: usize, mut stop: watch::Receiver<bool>) {
        let Some(lane) = self.sinks.get(index) else { return };
        // Bounded by `in_flight_max`, which `Queue::next` keeps.
        let mut flights = JoinSet::new();
        while !*stop.borrow() {
            let until = match blocking(&self, move |outbox| outbox.next(index)).await {
                Some(Next::Deliver { order, id }) => {
                    flights.spawn(Arc::clone(&self).deliver(index, order, id));
                    continue;
                }
                Some(Next::Until(until)) => Some(until),
                Some(Next::Idle) => None,
                None => return,
            };
            tokio::select! {
                () = lane.wake.notified() => {}
                () = sleep_until(until) => {}
                Some(_) = flights.join_next() => {}
                _ = stop.changed() => break,
            }
        }
        while flights.join_next().await.is_some() {}
    }

    fn next(&self, index: usize) -> Next {
        let in_flight_max = self.options.in_flight_max.max(1);
        self.state()
            .queues
            .get_mut(index)
            .map_or(Next::Idle, |queue| queue.next(Instant::now(), in_flight_max))
    }

    async fn deliver(self: Arc<Self>, index: usize, order: u64, id: String) {
        let read = blocking(&self, move |outbox| outbox.read(index, &id)).await;
        let entry = match read {
            Some(Ok(Some(entry))) => entry,
            Some(Ok(None)) => return self.with_queue(index, |queue| queue.remove(order)),
            Some(Err(error)) => {
                tracing::error!(%error, "cannot read an alert");
                return self.again(index, order);
            }
            None => return,
        };
        let outcome = self.attempt(index, &entry).await;
        blocking(&self, move |outbox| outbox.settle(index, entry, outcome)).await;
    }

    /// One attempt, apart, so that a panicking sink is a failed attempt and nothing more.
    async fn attempt(&self, index: usize, entry: &Entry) -> Result<(), DeliveryError> {
        let Some(lane) = self.sinks.get(index) else { return Ok(()) };
        let (sink, alert, now) = (Arc::clone(&lane.sink), entry.alert.clone(), (self.clock)());
        // Dropping the set stops the attempt when this future is dropped.
        let mut attempt = JoinSet::new();
        attempt.spawn(async move { sink.deliver(&alert, now).await });
        let limit = Duration::from_secs(self.options.delivery_secs_max.into());
        match timeout(limit, attempt.join_next()).await {
            Ok(Some(Ok(outcome))) => outcome,
            Ok(_) => Err(DeliveryError::retry("the sink stopped unexpectedly".into())),
            Err(_) => Err(DeliveryError::retry(format!("not done within {} s", limit.as_secs()))),
        }
    }

    fn read(&self, index: usize, id: &str) -> Result<Option<Entry>, OutboxError> {
        let key = key(self.sink_name(index), id);
        let value = self.store.get(Table::Outbox, &key)?;
        value.map(|value| serde_json::from_slice(&value).map_err(record_error(&key))).transpose()
    }

    fn settle(&self, index: usize, entry: Entry, outcome: Result<(), DeliveryError>) {
        let order = entry.order;
        let settled = match outcome {
            Ok(()) => self.delivered(index, &entry),
            Err(DeliveryError::Refused { reason }) => {
                let entry = Entry { attempts: entry.attempts + 1, ..entry };
                self.give_up(index, entry, reason, Queue::settled)
            }
            Err(DeliveryError::Retry { reason, after }) => self.retry(index, entry, reason, after),
        };
        if let Err(error) = settled {
            tracing::error!(%error, sink = self.sink_name(index), "cannot record what became of an alert");
            self.again(index, order);
        }
        if let Some(lane) = self.sinks.get(index) {
            lane.wake.notify_one();
        }
    }

    fn delivered(&self, index: usize, entry: &Entry) -> Result<(), OutboxError> {
        let mut batch = Batch::new();
        batch.delete(Table::Outbox, key(self.sink_name(index), entry.alert.id()));
        // Not under the lock: an alert in flight is touched by nobody else.
        self.store.commit(&batch)?;
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(index) {
            queue.settled(entry.order);
        }
        if let Some(stats) = state.stats.get_mut(index) {
            stats.delivered_total += 1;
        }
        Ok(())
    }

    fn retry(
        &self,
        index: usize,
        mut entry: Entry,
        reason: String,
        after: Option<Duration>,
    ) -> Result<(), OutboxError> {
        let name = self.sink_name(index);
        entry.attempts += 1;
        let age_ms = (self.clock)().millis_since(entry.enqueued_at);
        if entry.attempts >= self.options.attempts_max || age_ms > self.options.age_max_ms() {
            let reason = format!("given up after {} attempts; last: {reason}", entry.attempts);
            let resume = Instant::now() + self.options.backoff().delay(entry.attempts, backoff::random());
            return self.give_up(index, entry, reason, |queue, order| queue.exhausted(order, resume));
        }
        let key = key(name, entry.alert.id());
        entry.last_error = Some(reason.clone());
        let mut batch = Batch::new();
        batch.put(Table::Outbox, key.clone(), serde_json::to_vec(&entry).map_err(record_error(&key))?);
        self.store.commit(&batch)?;
        let mut state = self.state();
        let Some(queue) = state.queues.get_mut(index) else { return Ok(()) };
        let pause = self.options.backoff();
        let rest = after.unwrap_or_else(|| pause.delay(queue.failures() + 1, backoff::random()));
        let own = pause.delay(entry.attempts, backoff::random()).max(rest);
        // Said once per outage, not once per attempt.
        if queue.failures() == 0 {
            let (waiting, oldest) = (queue.len(), queue.oldest().map(|at| at.to_string()));
            tracing::warn!(
                sink = name,
                reason,
                waiting,
                oldest,
                "an alert was not delivered; it is tried again"
            );
        }
        let now = Instant::now();
        queue.failed(entry.order, now + own, now + rest);
        if let Some(stats) = state.stats.get_mut(index) {
            stats.retried_total += 1;
        }
        Ok(())
    }

    fn give_up(
        &self,
        index: usize,
        entry: Entry,
        reason: String,
        leave: impl FnOnce(&mut Queue, u64),
    ) -> Result<(), OutboxError> {
        let (name, source_order) = (self.sink_name(index), entry.order);
        let mut state = self.state();
        let key = key(name, entry.alert.id());
        let letter = dead_letter(name, entry, state.next_order, (self.clock)(), reason);
        let mut batch = Batch::new();
        let dead = put_dead(&mut batch, &letter, &key)?;
        for key in state.surplus_dead(1, self.options.dead_letters_max) {
            batch.delete(Table::DeadLetters, key);
        }
        self.store.commit(&batch)?;
        tracing::error!(sink = name, id = letter.alert.id(), reason = %letter.reason, "an alert was not delivered and is a dead letter now");
        state.next_order += 1;
        state.bury(vec![dead], self.options.dead_letters_max);
        if let Some(queue) = state.queues.get_mut(index) {
            leave(queue, source_order);
        }
        if let Some(stats) = state.stats.get_mut(index) {
            stats.given_up_total += 1;
        }
        Ok(())
    }

    /// The store failed: the alert is taken up again after the longest pause.
    fn again(&self, index: usize, order: u64) {
        let due = Instant::now() + self.options.backoff().delay(10, backoff::random());
        self.with_queue(index, |queue| queue.again(order, due));
    }

    fn with_queue(&self, index: usize, f: impl FnOnce(&mut Queue)) {
        if let Some(queue) = self.state().queues.get_mut(index) {
            f(queue);
        }
    }

    fn sink_name(&self, index: usize) -> &str {
        self.sinks.get(index).map_or("", |lane| lane.sink.name())
    }
}

/// Runs `f`, which may wait for the disk, where it holds up nobody else. `None` when the
/// runtime is going down.
async fn blocking<T: Send + 'static>(
    outbox: &Arc<Outbox>,
    f: impl FnOnce(&Outbox) -> T + Send + 'static,
) -> Option<T> {
    let outbox = Arc::clone(outbox);
    tokio::task::spawn_blocking(move || f(&outbox)).await.ok()
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
