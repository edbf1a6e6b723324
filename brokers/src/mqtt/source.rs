//! The MQTT source: receives messages, hands them to the engine, and acknowledges them
//! to the broker once the journal has them on disk.
//!
//! Two tasks. The *reader* polls the MQTT library and hands batches to the engine; while the
//! engine is behind it does not poll, so the broker keeps what comes. The *acker* takes
//! receipts, acknowledges in order, and answers device reports. The acker never waits for
//! anything but receipts, so the engine can always get rid of them: no cycle of full queues.
//!
//! Retained messages on report topics are copies of old reports, sent anew at each
//! subscription; they are acknowledged and counted, never handed on. A live report that was
//! published with the retain flag arrives without it and counts once.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use detector::input::{Format, Input, Outcome, Receipt, Refusal};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};
use tracing::{info, warn};
use xxhash_rust::xxh3::Xxh3;

use crate::mosquitto::log;

use super::{
    answers::{self, Asked},
    backoff,
    client::{self, Event, Lost, Message, Pump, Sender, Session},
    ledger::{Arrival, Ledger, Taken},
    settings::{Settings, SettingsError},
    status::{Clock, Counters, Failure, FailureKind, State, Status, count},
    tls,
    topics::{Class, Topics},
};

/// Answers that may wait to be sent; further ones are dropped and counted (devices take them as information).
const ANSWERS_MAX: usize = 4_096;
/// Payload bytes of one batch at which it is handed on.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// A connection that held this long was good: the next wait begins small again.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);
/// Largest packet (MQTT 3.1.1) that is let in once, only to be refused and acknowledged, so that the
/// broker stops sending it.
const SWALLOW_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long to wait for receipts when stopping.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// A running source. Dropping it cuts the connection at once; the broker keeps the session.
#[derive(Debug)]
pub struct MqttSource {
    status: watch::Receiver<Status>,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    reader: JoinHandle<()>,
    acker: JoinHandle<()>,
}

/// What reader and acker share.
struct Shared {
    ledger: Mutex<Ledger>,
    /// Told when the ledger has got shorter.
    room: Notify,
    answers_waiting: AtomicUsize,
    counters: Arc<Counters>,
    sender: Sender,
    topics: Topics,
    clock: Clock,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many answers fewer wait. Never below none: those of a lost connection are forgotten together.
    fn answers_left(&self, count: usize) {
        let fewer = |waiting: usize| Some(waiting.saturating_sub(count));
        if self.answers_waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).is_err() {
            warn!("the count of waiting answers could not be kept");
        }
    }
}

/// Starts a source. `inputs` leads to the engine; the engine sends to `receipts` one receipt for
/// each input, once the journal has it on disk.
///
/// # Errors
/// When `settings` cannot be used. That the broker cannot be reached is no error: see [`MqttSource::status`].
pub fn spawn(
    settings: Settings,
    clock: Clock,
    inputs: mpsc::Sender<Vec<Input>>,
    receipts: mpsc::Receiver<Vec<Receipt>>,
) -> Result<MqttSource, SettingsError> {
    settings.check()?;
    let session = Session {
        keep_secs: Some(settings.session_expiry_secs),
        inflight_max: settings.inflight_max,
        manual_acks: true,
    };
    let (sender, pump) = client::open(&settings.connection, session);
    let (status, watched) = watch::channel(Status::starting());
    let (stop, stopped) = watch::channel(false);
    let counters = Arc::new(Counters::default());
    let shared = Arc::new(Shared {
        ledger: Mutex::new(Ledger::new()),
        room: Notify::new(),
        answers_waiting: AtomicUsize::new(0),
        counters: Arc::clone(&counters),
        sender,
        topics: Topics::new(&settings),
        clock,
    });
    let acker = tokio::spawn(acknowledge(Arc::clone(&shared), receipts));
    let reader = Reader {
        packet_bytes_max: settings.connection.packet_bytes_max,
        settings,
        shared,
        pump,
        inputs,
        batch: Vec::new(),
        batch_bytes: 0,
        status,
        stopped,
        attempts: 0,
        up_since: None,
        was_up: false,
        session_present: false,
    };
    Ok(MqttSource { status: watched, counters, stop, reader: tokio::spawn(reader.run()), acker })
}

impl MqttSource {
    /// State of the connection, now and whenever it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Stops: hands on what was read, waits up to 5 s for the receipts of it, acknowledges, and
    /// says good-bye to the broker, which keeps the session.
    pub async fn stop(mut self) {
        if self.stop.send(true).is_ok()
            && let Err(error) = (&mut self.reader).await
        {
            warn!(%error, "mqtt source ended abnormally");
        }
    }
}

impl Drop for MqttSource {
    fn drop(&mut self) {
        self.reader.abort();
        self.acker.abort();
    }
}

/// The acker: receipts in, acknowledgements and answers out.
async fn acknowledge(shared: Arc<Shared>, mut receipts: mpsc::Receiver<Vec<Receipt>>) {
    while let Some(batch) = receipts.recv().await {
        for receipt in batch {
            let settled = shared.ledger().settle(receipt.tag);
            match settled {
                None => count(&shared.counters.stray_receipts),
                Some(None) => {}
                Some(Some(asked)) => answer(&shared, &asked, &receipt.outcome),
            }
        }
        release(&shared);
    }
}

/// Sends all acknowledgements that are due. Under the lock, so that none can slip from a lost
/// connection to the next one.
fn release(shared: &Shared) {
    let mut ledger = shared.ledger();
    while let Some(packet) = ledger.next_ack() {
        // The queue has room for all that can be under way; if not, the broker sends the message again.
        if shared.sender.ack(packet) {
            count(&shared.counters.acknowledged);
        }
    }
    drop(ledger);
    shared.sender.go();
    shared.room.notify_one();
}

fn answer(shared: &Shared, asked: &Asked, outcome: &Outcome) {
    let Some((topic, payload)) = answers::answer(&shared.topics, asked, outcome, (shared.clock)()) else {
        return;
    };
    let waiting = shared.answers_waiting.fetch_add(1, Ordering::AcqRel);
    if waiting < ANSWERS_MAX && shared.sender.publish(&topic, payload, false) {
        count(&shared.counters.answered);
    } else {
        shared.answers_left(1);
        count(&shared.counters.answers_dropped);
    }
}

/// What the reader waits for.
enum Next {
    Event(Result<Event, Lost>),
    /// Asked to stop, or the engine is gone.
    Leave,
}

struct Reader {
    settings: Settings,
    shared: Arc<Shared>,
    pump: Pump,
    inputs: mpsc::Sender<Vec<Input>>,
    batch: Vec<Input>,
    batch_bytes: usize,
    status: watch::Sender<Status>,
    stopped: watch::Receiver<bool>,
    /// Attempts since the last good connection.
    attempts: u32,
    up_since: Option<Instant>,
    was_up: bool,
    session_present: bool,
    /// Limit of the present connection; raised for one connection to swallow a message that is stuck.
    packet_bytes_max: u32,
}

impl Reader {
    async fn run(mut self) {
        let mut lost = self.prepare().err();
        loop {
            if let Some(failure) = lost.take() {
                if !self.pause(failure).await {
                    break;
                }
                lost = self.prepare().err();
                continue;
            }
            if !self.make_room().await {
                break;
            }
            match self.next().await {
                Next::Event(Ok(event)) => self.event(event),
                Next::Event(Err(failure)) => lost = Some(failure),
                Next::Leave => break,
            }
        }
        self.leave().await;
    }

    /// Reads the TLS files and sets up the next connection.
    fn prepare(&mut self) -> Result<(), Lost> {
        let tls = match &self.settings.connection.tls {
            None => None,
            Some(tls) => {
                Some(tls::client_config(tls).map_err(|message| Lost { kind: FailureKind::Tls, message })?)
            }
        };
        self.pump.prepare(tls, self.packet_bytes_max);
        Ok(())
    }

    /// Waits until a further message could be taken. False to leave.
    async fn make_room(&mut self) -> bool {
        if self.batch.len() >= self.settings.batch_max || self.batch_bytes >= BATCH_BYTES_MAX {
            if self.inputs.capacity() == 0 {
                count(&self.shared.counters.stalls);
            }
            if !self.flush().await {
                return false;
            }
        }
        let mut stalled = false;
        while self.shared.ledger().len() >= self.settings.outstanding_max {
            if !std::mem::replace(&mut stalled, true) {
                count(&self.shared.counters.stalls);
            }
            if !self.flush().await {
                return false;
            }
            tokio::select! {
                () = self.shared.room.notified() => {}
                _ = self.stopped.changed() => return false,
            }
        }
        true
    }

    /// Hands the batch to the engine as soon as it takes it. False to leave.
    async fn flush(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        tokio::select! {
            permit = self.inputs.reserve() => match permit {
                Ok(permit) => {
                    permit.send(std::mem::take(&mut self.batch));
                    self.batch_bytes = 0;
                    true
                }
                Err(_) => false,
            },
            _ = self.stopped.changed() => false,
        }
    }

    /// The next event; hands the batch on when nothing more is ready.
    async fn next(&mut self) -> Next {
        let Self { pump, inputs, batch, batch_bytes, stopped, .. } = self;
        let poll = pump.poll();
        tokio::pin!(poll);
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => return Next::Leave,
                event = &mut poll => return Next::Event(event),
                permit = inputs.reserve(), if !batch.is_empty() => match permit {
                    Ok(permit) => {
                        permit.send(std::mem::take(batch));
                        *batch_bytes = 0;
                    }
                    Err(_) => return Next::Leave,
                },
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message(message) => self.message(&message),
            Event::Up { session_present } => self.up(session_present),
            Event::Subscribed(granted) => self.subscribed(&granted),
            Event::Sent(count) => self.shared.answers_left(count),
            Event::PublishRefused(_) => {}
        }
    }

    fn message(&mut self, message: &Message) {
        let counters = Arc::clone(&self.shared.counters);
        count(&counters.received);
        counters.payload_bytes.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
        if message.packet.is_none() {
            count(&counters.received_qos0);
        }
        if message.dup {
            count(&counters.redelivered);
        }
        let shared = Arc::clone(&self.shared);
        let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
        match shared.topics.class(topic) {
            Class::Foreign => self.drop_message(message, &counters.dropped_foreign, None),
            Class::BadThing(_) => self.drop_message(message, &counters.dropped_thing, None),
            Class::Wanted { .. } if message.retain => {
                self.drop_message(message, &counters.dropped_retained, None)
            }
            Class::Wanted { format, subject } => {
                let asked = self.asked(format, subject);
                if message.payload.len() as u64 > u64::from(self.settings.connection.packet_bytes_max) {
                    self.drop_message(message, &counters.dropped_oversized, asked);
                    self.status.send_if_modified(|status| status.stuck_on_oversized.take().is_some());
                } else {
                    self.hand_on(message, format, subject, asked);
                }
            }
        }
    }

    fn asked(&self, format: Format, subject: &str) -> Option<Asked> {
        let report = matches!(format, Format::ReportJson | Format::ReportCbor);
        (report && self.settings.answers).then(|| Asked { thing: subject.into(), format })
    }

    fn hand_on(&mut self, message: &Message, format: Format, subject: &str, asked: Option<Asked>) {
        match self.shared.ledger().take(arrival(message, asked)) {
            Taken::Joined => count(&self.shared.counters.joined_redeliveries),
            Taken::New(tag) => {
                count(&self.shared.counters.handed_on);
                self.batch_bytes += message.payload.len();
                self.batch.push(Input {
                    source: self.settings.source,
                    format,
                    arrival: (self.shared.clock)(),
                    position: 0,
                    subject: subject.into(),
                    payload: payload(message, format),
                    tag,
                });
            }
        }
    }

    /// Acknowledges a message that is not for the engine, in its turn.
    fn drop_message(&self, message: &Message, counter: &std::sync::atomic::AtomicU64, asked: Option<Asked>) {
        count(counter);
        if let Some(asked) = &asked {
            let max = self.settings.connection.packet_bytes_max;
            let refusal = Refusal {
                report_id: None,
                reason: "too-large",
                message: format!("report: found {} bytes; allowed are at most {max}", message.payload.len()),
            };
            answer(&self.shared, asked, &Outcome::Refused(refusal));
            self.shared.sender.go();
        }
        if message.packet.is_some() {
            let mut ledger = self.shared.ledger();
            if let Taken::New(tag) = ledger.take(arrival(message, None)) {
                ledger.settle(tag);
            }
            drop(ledger);
            release(&self.shared);
        }
    }

    fn up(&mut self, session_present: bool) {
        self.up_since = Some(Instant::now());
        if !session_present {
            self.shared.ledger().session_gone();
        }
        // Also with a kept session: the configuration may have changed since it was made.
        if !self.shared.sender.subscribe(self.shared.topics.filters()) {
            warn!("mqtt subscription could not be queued");
        }
        self.shared.sender.go();
        self.session_present = session_present;
        if session_present {
            // The subscriptions of the session are in force, and what waited in it comes first: the
            // answer to ours may be far behind it.
            self.connected();
        }
    }

    fn connected(&mut self) {
        let since = (self.shared.clock)();
        let session_present = self.session_present;
        let again = std::mem::replace(&mut self.was_up, true);
        self.status.send_modify(|status| {
            status.state = State::Connected { since, session_present };
            status.reconnects += u64::from(again);
        });
        info!(broker = %self.settings.connection.address(), session_present, "mqtt source connected");
    }

    fn subscribed(&mut self, granted: &[bool]) {
        let filters = self.shared.topics.filters();
        let refused: Vec<String> = filters
            .iter()
            .zip(granted)
            .filter(|(_, granted)| !**granted)
            .map(|(filter, _)| filter.clone())
            .collect();
        if !refused.is_empty() {
            warn!(filters = ?refused, "the broker refused a subscription");
        }
        self.status.send_modify(|status| status.refused_filters = refused);
        if !self.session_present {
            self.connected();
        }
    }

    /// Notes the loss of the connection and waits before the next attempt. False to leave.
    async fn pause(&mut self, failure: Lost) -> bool {
        self.forget_connection();
        if self.up_since.take().is_some_and(|since| since.elapsed() >= GOOD_CONNECTION) {
            self.attempts = 0;
        }
        self.judge_size(&failure);
        self.note(failure);
        let wait = tokio::time::sleep(backoff::wait(self.attempts, backoff::random()));
        self.attempts = self.attempts.saturating_add(1);
        tokio::pin!(wait);
        loop {
            let Self { inputs, batch, batch_bytes, stopped, .. } = self;
            tokio::select! {
                biased;
                _ = stopped.changed() => return false,
                () = &mut wait => return true,
                permit = inputs.reserve(), if !batch.is_empty() => match permit {
                    Ok(permit) => {
                        permit.send(std::mem::take(batch));
                        *batch_bytes = 0;
                    }
                    Err(_) => return false,
                },
            }
        }
    }

    /// Keeps what was read before the break with QoS 0; what had QoS 1 comes again.
    fn forget_connection(&mut self) {
        let left = {
            let mut ledger = self.shared.ledger();
            ledger.lost();
            self.pump.abandon()
        };
        self.shared.answers_waiting.store(0, Ordering::Release);
        for event in left {
            if let Event::Message(message) = event
                && message.packet.is_none()
            {
                self.message(&message);
            }
        }
    }

    /// MQTT 3.1.1 brokers send an oversized QoS 1 message anew at each reconnect, before anything
    /// else. The second time in a row we let it in once, to refuse and acknowledge it.
    fn judge_size(&mut self, failure: &Lost) {
        let normal = self.settings.connection.packet_bytes_max;
        let FailureKind::Oversized { bytes } = failure.kind else {
            if self.packet_bytes_max != normal {
                self.packet_bytes_max = normal;
                self.status.send_modify(|status| status.stuck_on_oversized = None);
            }
            return;
        };
        count(&self.shared.counters.oversized_breaks);
        let stuck = matches!(
            self.status.borrow().last_failure,
            Some(Failure { kind: FailureKind::Oversized { bytes: before }, .. }) if before == bytes
        );
        if stuck {
            warn!(bytes, "a message larger than allowed blocks the mqtt source");
            self.status.send_modify(|status| status.stuck_on_oversized = Some(bytes));
            let raised = u32::try_from(bytes.min(SWALLOW_BYTES_MAX)).unwrap_or(u32::MAX);
            self.packet_bytes_max = raised.max(normal);
        }
    }

    fn note(&self, Lost { kind, message }: Lost) {
        let at = (self.shared.clock)();
        let attempts = self.attempts;
        let first = !matches!(self.status.borrow().state, State::Down { .. });
        if first {
            warn!(broker = %self.settings.connection.address(), reason = %message, "mqtt source is down");
        }
        self.status.send_modify(|status| {
            let since = if let State::Down { since, .. } = status.state { since } else { at };
            status.state = State::Down { since, attempts };
            status.last_failure = Some(Failure { at, kind, message });
        });
    }

    /// The last batch, its receipts, their acknowledgements, and good-bye.
    async fn leave(mut self) {
        let deadline = tokio::time::Instant::now() + LEAVE_TIME;
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty()
            && !matches!(tokio::time::timeout_at(deadline, self.inputs.send(batch)).await, Ok(Ok(())))
        {
            warn!(
                "mqtt source stopped before the engine took its last messages; the broker keeps those with QoS 1"
            );
        }
        if self.up_since.is_some() && self.settle_all(deadline).await {
            self.good_bye(deadline).await;
        }
        self.status.send_modify(|status| status.state = State::Stopped);
    }

    /// Polls on, so that acknowledgements go out, until no message waits. What arrives now is not
    /// acknowledged and comes again. False if the connection is lost or time is up.
    async fn settle_all(&mut self, deadline: tokio::time::Instant) -> bool {
        while self.shared.ledger().len() > 0 {
            tokio::select! {
                event = self.pump.poll() => if event.is_err() { return false },
                () = self.shared.room.notified() => {}
                () = tokio::time::sleep_until(deadline) => return false,
            }
        }
        true
    }

    /// DISCONNECT queues behind the acknowledgements; its end is told as an error.
    async fn good_bye(&mut self, deadline: tokio::time::Instant) {
        self.shared.sender.disconnect();
        let drained = async { while self.pump.poll().await.is_ok() {} };
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            warn!("the broker did not close the connection in time");
        }
    }
}

/// The bytes that the decoder of `format` reads.
fn payload(message: &Message, format: Format) -> Box<[u8]> {
    let line = match format {
        Format::MosquittoLog => {
            log::topic_line(std::str::from_utf8(&message.topic).unwrap_or_default(), &message.payload)
        }
        _ => None,
    };
    line.map_or_else(|| message.payload.as_ref().into(), Vec::into_boxed_slice)
}

fn arrival(message: &Message, asked: Option<Asked>) -> Arrival {
    let identity = if message.packet.is_some() { identity(message) } else { 0 };
    Arrival { packet: message.packet, dup: message.dup, identity, asked }
}

fn identity(message: &Message) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&message.topic);
    hash.update(&[0]);
    hash.update(&message.payload);
    hash.digest()
}
