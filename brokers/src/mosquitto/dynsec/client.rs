//! Requests to the control API and their answers.
//!
//! Requests go to `$CONTROL/dynamic-security/v1`. All administrators read the same response topic,
//! so an answer is matched by the correlation data that each command carries. Requests that wait at
//! the same time travel in one message.

use std::{collections::BTreeMap, time::Duration};

use mitigations::control::ControlError;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};
use tracing::{debug, info, warn};

use crate::mqtt::{
    backoff,
    client::{self, Event, Lost, Message, Pump, Sender, Session},
    settings::{Connection, SettingsError},
    status::{Clock, Failure, FailureKind, State, Status},
    tls,
};

const REQUEST: &str = "$CONTROL/dynamic-security/v1";
const RESPONSE: &str = "$CONTROL/dynamic-security/v1/response";
/// Requests that may wait to be sent; further callers wait their turn, within their time limit.
const QUEUE_MAX: usize = 256;
/// Requests without an answer at most; further ones are turned away as unavailable.
const WAITING_MAX: usize = 1_024;
/// Commands in one message.
const BATCH_MAX: usize = 64;

/// A connection to the control API. Dropping it ends the connection.
#[derive(Debug)]
pub struct DynsecClient {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
    reply_timeout: Duration,
    address: String,
    user: Option<String>,
    task: JoinHandle<()>,
}

/// What the plugin says to one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The `data` member; null if there is none.
    pub data: Value,
    /// The plugin's own words if it refused, such as `Client not found`.
    pub error: Option<String>,
}

#[derive(Debug)]
struct Request {
    commands: Vec<Map<String, Value>>,
    answer: oneshot::Sender<Result<Vec<Reply>, ControlError>>,
}

/// Starts the connection. `reply_timeout` bounds each request from call to answer.
///
/// # Errors
/// When `connection` cannot be used. That the broker cannot be reached is no error here.
pub fn spawn(
    connection: Connection,
    clock: Clock,
    reply_timeout: Duration,
) -> Result<DynsecClient, SettingsError> {
    connection.check()?;
    let (requests, queue) = mpsc::channel(QUEUE_MAX);
    let (status, watched) = watch::channel(Status::starting());
    let session = Session { keep_secs: None, inflight_max: 1_000, manual_acks: false };
    let (sender, pump) = client::open(&connection, session);
    let (address, user) = (connection.address(), connection.username.clone());
    let driver = Driver {
        connection,
        clock,
        sender,
        queue,
        status,
        waiting: Waiting::new(backoff::random()),
        attempts: 0,
        was_up: false,
    };
    let task = tokio::spawn(driver.run(pump));
    Ok(DynsecClient { requests, status: watched, reply_timeout, address, user, task })
}

impl DynsecClient {
    /// State of the connection, now and whenever it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// User name of this connection.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Runs `commands` (objects with a `command` member) in order and returns one reply for each.
    /// That the plugin refuses a command is a reply, not an error.
    ///
    /// # Errors
    /// [`ControlError::Unavailable`] when there is no connection or no answer in time;
    /// [`ControlError::Refused`] when our user may not use the control API.
    pub async fn run(&self, commands: Vec<Value>) -> Result<Vec<Reply>, ControlError> {
        let deadline = Instant::now() + self.reply_timeout;
        let commands = commands.into_iter().map(object).collect::<Result<Vec<_>, _>>()?;
        self.connected(deadline).await?;
        let late =
            || ControlError::Unavailable(format!("no answer within {} s", self.reply_timeout.as_secs_f32()));
        let gone = || ControlError::Unavailable("the connection task has ended".into());
        let (answer, answered) = oneshot::channel();
        let send = self.requests.send(Request { commands, answer });
        tokio::time::timeout_at(deadline, send).await.map_err(|_| late())?.map_err(|_| gone())?;
        tokio::time::timeout_at(deadline, answered).await.map_err(|_| late())?.map_err(|_| gone())?
    }

    /// Runs one command.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_one(&self, command: Value) -> Result<Reply, ControlError> {
        let mut replies = self.run(vec![command]).await?;
        replies.pop().ok_or_else(|| ControlError::Unavailable("an answer without a reply".into()))
    }

    async fn connected(&self, deadline: Instant) -> Result<(), ControlError> {
        let mut status = self.status.clone();
        let up = tokio::time::timeout_at(deadline, status.wait_for(Status::is_connected)).await;
        if matches!(up, Ok(Ok(_))) {
            let refused = !self.status.borrow().refused_filters.is_empty();
            return if refused { Err(self.not_allowed("subscribe to", RESPONSE)) } else { Ok(()) };
        }
        Err(unavailable(&self.status.borrow()))
    }

    fn not_allowed(&self, what: &str, topic: &str) -> ControlError {
        not_allowed(self.user.as_deref(), what, topic)
    }
}

impl Drop for DynsecClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn object(command: Value) -> Result<Map<String, Value>, ControlError> {
    match command {
        Value::Object(command) => Ok(command),
        other => Err(ControlError::Refused(format!("a command must be an object, found {other}"))),
    }
}

fn not_allowed(user: Option<&str>, what: &str, topic: &str) -> ControlError {
    let user = user.unwrap_or("(anonymous)");
    ControlError::Refused(format!(
        "user `{user}` may not {what} `{topic}`; it needs a role like `admin` of the dynamic-security plugin"
    ))
}

fn unavailable(status: &Status) -> ControlError {
    let message = status.last_failure.as_ref().map_or("not connected yet", |failure| &failure.message);
    ControlError::Unavailable(message.into())
}

/// Requests that were sent and have not been answered in full.
#[derive(Debug)]
struct Waiting {
    /// Tells our commands from those of other administrators, and from those of an earlier process.
    nonce: u32,
    next: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    replies: Vec<Option<Reply>>,
    answer: oneshot::Sender<Result<Vec<Reply>, ControlError>>,
}

#[derive(Deserialize)]
struct Responses {
    responses: Vec<Response>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "correlationData")]
    correlation: Option<String>,
    error: Option<String>,
    #[serde(default)]
    data: Value,
}

impl Waiting {
    const fn new(nonce: u32) -> Self {
        Self { nonce, next: 0, open: BTreeMap::new() }
    }

    /// Enters a request and adds its commands, marked, to `commands`.
    fn enter(&mut self, request: Request, commands: &mut Vec<Value>) {
        self.open.retain(|_, open| !open.answer.is_closed());
        if self.open.len() >= WAITING_MAX {
            reply(
                request.answer,
                Err(ControlError::Unavailable("too many requests wait for an answer".into())),
            );
            return;
        }
        let number = self.next;
        self.next += 1;
        let replies = request.commands.iter().map(|_| None).collect();
        self.open.insert(number, Open { replies, answer: request.answer });
        for (at, mut command) in request.commands.into_iter().enumerate() {
            command.insert("correlationData".into(), self.mark(number, at).into());
            commands.push(Value::Object(command));
        }
    }

    fn mark(&self, number: u64, at: usize) -> String {
        format!("fleetward-{:08x}-{number}-{at}", self.nonce)
    }

    /// Request and command that a mark stands for, if it is ours.
    fn read_mark(&self, mark: &str) -> Option<(u64, usize)> {
        let rest = mark.strip_prefix(&format!("fleetward-{:08x}-", self.nonce))?;
        let (number, at) = rest.split_once('-')?;
        Some((number.parse().ok()?, at.parse().ok()?))
    }

    /// Takes a message of the response topic.
    fn take(&mut self, payload: &[u8]) {
        let Ok(Responses { responses }) = serde_json::from_slice(payload) else {
            debug!(bytes = payload.len(), "unreadable message on the dynamic-security response topic");
            return;
        };
        for response in responses {
            self.take_one(response);
        }
    }

    fn take_one(&mut self, response: Response) {
        let Some((number, at)) = response.correlation.as_deref().and_then(|mark| self.read_mark(mark)) else {
            return;
        };
        let Some(open) = self.open.get_mut(&number) else { return };
        if let Some(slot) = open.replies.get_mut(at) {
            *slot = Some(Reply { data: response.data, error: response.error });
        }
        if open.replies.iter().all(Option::is_some)
            && let Some(open) = self.open.remove(&number)
        {
            reply(open.answer, Ok(open.replies.into_iter().flatten().collect()));
        }
    }

    fn fail_all(&mut self, error: &ControlError) {
        for (_, open) in std::mem::take(&mut self.open) {
            reply(open.answer, Err(error.clone()));
        }
    }
}

/// For fuzzing: takes anything as a message of the response topic while two requests wait.
///
/// # Panics
/// When a request is answered with another number of replies than it has commands.
#[doc(hidden)]
pub fn fuzz_answer(payload: &[u8]) {
    let mut waiting = Waiting::new(0xab);
    let mut answers = Vec::new();
    for count in [2, 1] {
        let (answer, answered) = oneshot::channel();
        waiting.enter(Request { commands: vec![Map::new(); count], answer }, &mut Vec::new());
        answers.push((count, answered));
    }
    waiting.take(payload);
    for (count, mut answered) in answers {
        if let Ok(replies) = answered.try_recv() {
            assert!(replies.is_ok_and(|replies| replies.len() == count));
        }
    }
}

/// A caller that gave up waiting is no problem.
fn reply(
    answer: oneshot::Sender<Result<Vec<Reply>, ControlError>>,
    result: Result<Vec<Reply>, ControlError>,
) {
    if answer.send(result).is_err() {
        debug!("an answer of the dynamic-security plugin came after its request had timed out");
    }
}

struct Driver {
    connection: Connection,
    clock: Clock,
    sender: Sender,
    queue: mpsc::Receiver<Request>,
    status: watch::Sender<Status>,
    waiting: Waiting,
    attempts: u32,
    was_up: bool,
}

impl Driver {
    async fn run(mut self, mut pump: Pump) {
        loop {
            let lost = match self.prepare(&mut pump) {
                Ok(()) => self.connected(&mut pump).await,
                Err(lost) => Some(lost),
            };
            let Some(lost) = lost else { return };
            // Mosquitto 2.0 refuses a request with PUBACK and closes the connection at once: the
            // refusal, or a last answer, may have been read together with the end.
            for event in pump.abandon() {
                self.event(event);
            }
            // What was under way is not sent again: the caller decides, and may ask again.
            if !self.pause(lost).await {
                return;
            }
        }
    }

    fn prepare(&self, pump: &mut Pump) -> Result<(), Lost> {
        let config = self.connection.tls.as_ref().map(tls::client_config).transpose();
        let config = config.map_err(|message| Lost { kind: FailureKind::Tls, message })?;
        pump.prepare(config, self.connection.packet_bytes_max);
        Ok(())
    }

    /// Serves until the connection is lost; `None` when nobody can ask anymore.
    async fn connected(&mut self, pump: &mut Pump) -> Option<Lost> {
        loop {
            let poll = pump.poll();
            tokio::pin!(poll);
            let event = loop {
                tokio::select! {
                    event = &mut poll => break event,
                    request = self.queue.recv() => self.send(request?),
                }
            };
            match event {
                Ok(event) => self.event(event),
                Err(lost) => return Some(lost),
            }
        }
    }

    /// Sends a request, and with it what else waits.
    fn send(&mut self, first: Request) {
        if !self.status.borrow().is_connected() {
            let error = unavailable(&self.status.borrow());
            return reply(first.answer, Err(error));
        }
        let mut commands = Vec::new();
        self.waiting.enter(first, &mut commands);
        while commands.len() < BATCH_MAX
            && let Ok(request) = self.queue.try_recv()
        {
            self.waiting.enter(request, &mut commands);
        }
        let payload = json!({ "commands": commands }).to_string().into_bytes();
        if !self.sender.publish(REQUEST, payload, true) {
            self.waiting.fail_all(&ControlError::Unavailable("too much waits to be sent".into()));
        }
        self.sender.go();
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Up { .. } => {
                if !self.sender.subscribe(&[RESPONSE.into()]) {
                    warn!("the subscription to the control API could not be queued");
                }
                self.sender.go();
            }
            Event::Subscribed(granted) => self.subscribed(&granted),
            Event::Message(Message { topic, payload, .. }) if topic == RESPONSE.as_bytes() => {
                self.waiting.take(&payload);
            }
            // Version 3.1.1 cannot say this; the request then times out.
            Event::PublishRefused(reason) => {
                warn!(reason, "the broker refused a request to the control API");
                self.waiting.fail_all(&not_allowed(
                    self.connection.username.as_deref(),
                    "publish to",
                    REQUEST,
                ));
            }
            Event::Message(_) | Event::Sent(_) => {}
        }
    }

    fn subscribed(&mut self, granted: &[bool]) {
        let since = (self.clock)();
        let again = std::mem::replace(&mut self.was_up, true);
        self.attempts = 0;
        self.status.send_modify(|status| {
            status.state = State::Connected { since, session_present: false };
            status.reconnects += u64::from(again);
            status.refused_filters =
                if granted.iter().all(|granted| *granted) { Vec::new() } else { vec![RESPONSE.into()] };
        });
        info!(broker = %self.connection.address(), "control connection is up");
    }

    /// Answers what waits as unavailable, then waits before the next attempt. False when nobody can ask anymore.
    async fn pause(&mut self, Lost { kind, message }: Lost) -> bool {
        let at = (self.clock)();
        if !matches!(self.status.borrow().state, State::Down { .. }) {
            warn!(broker = %self.connection.address(), reason = %message, "control connection is down");
        }
        let attempts = self.attempts;
        self.waiting.fail_all(&ControlError::Unavailable(message.clone()));
        self.status.send_modify(|status| {
            let since = if let State::Down { since, .. } = status.state { since } else { at };
            status.state = State::Down { since, attempts };
            status.last_failure = Some(Failure { at, kind, message });
        });
        let wait = tokio::time::sleep(backoff::wait(attempts, backoff::random()));
        self.attempts = attempts.saturating_add(1);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => return true,
                request = self.queue.recv() => match request {
                    Some(request) => reply(request.answer, Err(unavailable(&self.status.borrow()))),
                    None => return false,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(commands: &[&str]) -> (Request, oneshot::Receiver<Result<Vec<Reply>, ControlError>>) {
        let (answer, answered) = oneshot::channel();
        let commands = commands.iter().map(|name| object(json!({ "command": name })).unwrap()).collect();
        (Request { commands, answer }, answered)
    }

    #[test]
    fn answers_are_matched_by_their_mark_and_nothing_else() {
        let mut waiting = Waiting::new(0xab);
        let (first, mut first_answer) = request(&["getClient", "getRole"]);
        let (second, mut second_answer) = request(&["listRoles"]);
        let mut commands = Vec::new();
        waiting.enter(first, &mut commands);
        waiting.enter(second, &mut commands);
        assert_eq!(commands[1]["correlationData"], "fleetward-000000ab-0-1");

        waiting.take(b"not json");
        waiting.take(br#"{"responses":[{"command":"getClient","error":"Client not found","correlationData":"another"}]}"#);
        waiting.take(br#"{"responses":[{"command":"getClient","error":"x","correlationData":"fleetward-000000aa-0-0"}]}"#);
        waiting.take(br#"{"responses":[{"command":"getRole","data":{"a":1},"correlationData":"fleetward-000000ab-0-1"},
            {"command":"listRoles","correlationData":"fleetward-000000ab-1-0"},{"command":"x","correlationData":"fleetward-000000ab-0-7"}]}"#);
        assert!(first_answer.try_recv().is_err(), "one reply is still missing");
        assert_eq!(second_answer.try_recv().unwrap(), Ok(vec![Reply { data: Value::Null, error: None }]));
        waiting.take(br#"{"responses":[{"command":"getClient","error":"Client not found","correlationData":"fleetward-000000ab-0-0"}]}"#);
        let replies = first_answer.try_recv().unwrap().unwrap();
        assert_eq!(replies[0].error.as_deref(), Some("Client not found"));
        assert_eq!(replies[1].data, json!({"a": 1}));
        assert!(waiting.open.is_empty());
    }

    #[test]
    fn requests_without_answer_are_bounded_and_forgotten_when_nobody_waits() {
        let mut waiting = Waiting::new(1);
        let mut commands = Vec::new();
        let mut answers = Vec::new();
        for _ in 0..=WAITING_MAX {
            let (request, answer) = request(&["getClient"]);
            waiting.enter(request, &mut commands);
            answers.push(answer);
        }
        let turned_away = answers.pop().unwrap().try_recv().unwrap();
        assert!(matches!(turned_away, Err(ControlError::Unavailable(_))));
        assert_eq!(waiting.open.len(), WAITING_MAX);
        drop(answers);
        waiting.enter(request(&["getClient"]).0, &mut commands);
        assert_eq!(waiting.open.len(), 1);
    }
}
