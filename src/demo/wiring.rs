//! The parts of the main job, connected: broker, sources, engine, recorder, response.
//!
//! The same parts as `serve`, on a broker of our own, in a folder that is removed at the end.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle as Thread,
    time::Duration,
};

use anyhow::Context as _;
use brokers::{
    embedded::{EmbeddedBroker, EmbeddedControl, Settings},
    mqtt::{
        settings::{Connection, Settings as SourceSettings},
        source::{self, MqttSource},
        status::State,
    },
    recorded::RecordedDecoder,
};
use datasets::fleet_sim::FleetSim;
use detector::{
    front::Decoders,
    input::{Format, Input, Receipt, SourceId},
    runner::{Runner, RunnerConfig, RunnerHandle},
    transition::Transition,
};
use fleet::{
    secret::Secret,
    store::{self, Engine},
    time::Timestamp,
};
use mitigations::{
    incident::IncidentOptions,
    outbox::{Outbox, OutboxOptions},
    response::{Parts, Response, Running},
};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    clock::{StoryClock, Ticket, Unfinished},
    definitions::{Definitions, QUARANTINE},
};
use crate::serve::{groups::EngineGroups, health::Health, recorder::Recorder};

/// What the report topics begin with.
pub(super) const REPORT_PREFIX: &str = "$aws/things/";

/// The user name of our own source on the broker.
const SERVICE: &str = "fleetward";

const BROKER: SourceId = SourceId(0);
const REPORTS: SourceId = SourceId(1);

/// Events of the broker that wait at most.
const EVENTS_MAX: usize = 65_536;

/// Events that are handed to the engine at once.
const BATCH_MAX: usize = 1_024;

/// Batches that wait for the engine, and receipts that wait for a source.
const BATCHES_MAX: usize = 64;

/// Transitions that wait to be shown.
const TOLD_MAX: usize = 4_096;

/// How long anything may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that runs.
pub(super) struct Wiring {
    pub(super) broker: EmbeddedBroker,
    pub(super) handle: RunnerHandle,
    pub(super) response: Arc<Response>,
    pub(super) told: mpsc::Receiver<Transition>,
    /// Alarms that are being answered: the story waits for them.
    pub(super) answering: Arc<Mutex<Vec<Ticket>>>,
    running: Running,
    source: MqttSource,
    forwarders: [JoinHandle<()>; 2],
    recorder: Thread<()>,
    dir: TempDir,
}

impl Wiring {
    pub(super) async fn start(
        sim: &FleetSim,
        definitions: Definitions,
        clock: &StoryClock,
        unfinished: &Unfinished,
    ) -> anyhow::Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("fleetward-demo-").tempdir().context("a temporary folder")?;
        let password = random_password()?;
        let (broker, events) = EmbeddedBroker::start(broker_settings(sim, clock, &password))
            .await
            .context("the embedded broker does not start")?;
        let mut config = RunnerConfig::new(dir.path().join("engine"));
        config.watch_groups = vec![QUARANTINE.parse()?];
        let decoders = Decoders::default().with(Format::Recorded, Box::new(RecordedDecoder::new()));
        let (handle, outputs) =
            Runner::open(config, decoders, definitions.fold.clone(), definitions.registry.clone())
                .context("the engine does not start")?;
        let response = response(dir.path(), &handle, broker.control(), definitions, clock)?;
        let (told_in, told) = mpsc::channel(TOLD_MAX);
        let answering = Arc::default();
        let recorder = Recorder {
            history: None,
            store: Arc::clone(&response.1),
            response: Arc::clone(&response.0),
            handle: handle.clone(),
            refused: dir.path().join("refused.jsonl"),
            health: Arc::new(Health::default()),
            // Logins are refused here: one that succeeds has broken out.
            connecting_is_escape: true,
            told: tell(told_in, Arc::clone(&answering), unfinished.clone(), clock),
        };
        let recorder =
            std::thread::Builder::new().name("recorder".to_owned()).spawn(move || recorder.run(outputs))?;
        tokio::time::timeout(PATIENCE, handle.ready()).await.context("the engine does not start")??;
        let (source, report_forwarder) = reports(&broker, &handle, clock, &password).await?;
        let event_forwarder = forward_events(&handle, events, unfinished.clone()).await?;
        let running = response.0.start();
        Ok(Self {
            broker,
            handle,
            response: response.0,
            told,
            answering,
            running,
            source,
            forwarders: [report_forwarder, event_forwarder],
            recorder,
            dir,
        })
    }

    /// Device reports that our source has received.
    pub(super) fn reports(&self) -> u64 {
        self.source.counters().received.load(Ordering::Relaxed)
    }

    /// Waits until everything that the engine was handed so far is decided, recorded and told.
    pub(super) async fn caught_up(&self) {
        // A snapshot counts only once all before it is recorded.
        match tokio::time::timeout(PATIENCE, self.handle.snapshot()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the engine did not catch up"),
            Err(_) => tracing::warn!("the engine did not catch up in time"),
        }
    }

    /// Stops everything in order and removes the folder.
    pub(super) async fn stop(self) {
        // Cut, not stopped: rmqtt leaves it to the client to close after a DISCONNECT, and a source
        // that stops waits for the broker to do so. All it had is in the journal by now.
        drop(self.source);
        // That the sessions end now is the end of the demonstration, not a part of the story.
        self.forwarders.iter().for_each(JoinHandle::abort);
        self.broker.stop().await;
        if let Err(error) = self.handle.shutdown().await {
            tracing::warn!(%error, "the engine had stopped already");
        }
        self.running.stop(PATIENCE).await;
        drop(self.handle);
        let recorder = tokio::task::spawn_blocking(|| self.recorder.join());
        if !matches!(tokio::time::timeout(PATIENCE, recorder).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the recorder did not end in order");
        }
        if let Err(error) = self.dir.close() {
            tracing::warn!(%error, "the temporary folder could not be removed");
        }
    }
}

/// From the system's randomness: whoever shares this machine must not read the fleet's reports.
fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn broker_settings(sim: &FleetSim, clock: &StoryClock, password: &str) -> Settings {
    let clock = clock.clone();
    Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        devices: sim.devices().iter().map(|device| (device.name.clone(), device.password.clone())).collect(),
        services: HashMap::from([(SERVICE.to_owned(), password.to_owned())]),
        report_prefix: REPORT_PREFIX.to_owned(),
        tell_reports: false,
        source: BROKER,
        clock: Arc::new(move || clock.now()),
        events_max: EVENTS_MAX,
    }
}

type Opened = (Arc<Response>, Arc<dyn store::Store>);

fn response(
    dir: &Path,
    handle: &RunnerHandle,
    control: EmbeddedControl,
    definitions: Definitions,
    clock: &StoryClock,
) -> anyhow::Result<Opened> {
    let opened: Arc<dyn store::Store> = Arc::from(store::open(Engine::Redb, &dir.join("store"))?);
    let clock = clock.clone();
    let clock: mitigations::outbox::Clock = Arc::new(move || clock.now());
    let outbox = Outbox::open(Arc::clone(&opened), Vec::new(), OutboxOptions::default(), Arc::clone(&clock))?;
    let groups = EngineGroups::default();
    groups.attach(handle.clone());
    let parts = Parts {
        store: Arc::clone(&opened),
        outbox,
        control: Arc::new(control),
        groups: Arc::new(groups),
        clock,
        log: dir.join("actions.log"),
        incidents: IncidentOptions::default(),
    };
    let response = Response::open(parts, definitions.rules, definitions.response.executor)?;
    Ok((response, opened))
}

type Tell = Box<dyn Fn(&Transition) + Send>;

fn tell(
    told: mpsc::Sender<Transition>,
    answering: Arc<Mutex<Vec<Ticket>>>,
    unfinished: Unfinished,
    clock: &StoryClock,
) -> Tell {
    let clock = clock.clone();
    Box::new(move |transition| {
        let ticket = unfinished.begin(clock.elapsed_millis());
        answering.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        // Closed: nobody shows anything any more.
        if told.blocking_send(transition.clone()).is_err() {
            tracing::debug!("a transition came after the end");
        }
    })
}

/// Our own source receives the reports over MQTT, as it would from any broker.
async fn reports(
    broker: &EmbeddedBroker,
    handle: &RunnerHandle,
    clock: &StoryClock,
    password: &str,
) -> anyhow::Result<(MqttSource, JoinHandle<()>)> {
    let mut connection = Connection::new("127.0.0.1", broker.address().port(), SERVICE);
    connection.username = Some(SERVICE.to_owned());
    connection.password = Some(Secret::new(password));
    let mut settings = SourceSettings::new(REPORTS, connection);
    settings.report_prefix = REPORT_PREFIX.to_owned();
    let (inputs_in, mut inputs) = mpsc::channel::<Vec<Input>>(BATCHES_MAX);
    let (receipts_in, receipts) = mpsc::channel(BATCHES_MAX);
    handle.register(REPORTS, receipts_in).await?;
    let clock = clock.clone();
    let source = source::spawn(settings, Arc::new(move || clock.now()), inputs_in, receipts)?;
    let engine = handle.clone();
    let forwarder = tokio::spawn(async move {
        while let Some(batch) = inputs.recv().await {
            if engine.send(batch).await.is_err() {
                return;
            }
        }
    });
    let mut status = source.status();
    let connected = status.wait_for(|status| matches!(status.state, State::Connected { .. }));
    tokio::time::timeout(PATIENCE, connected).await.context("the report source does not connect")??;
    Ok((source, forwarder))
}

/// Hands the broker's events to the engine. The story waits until they are in the journal.
async fn forward_events(
    handle: &RunnerHandle,
    mut events: mpsc::Receiver<Input>,
    unfinished: Unfinished,
) -> anyhow::Result<JoinHandle<()>> {
    let (receipts_in, mut receipts) = mpsc::channel::<Vec<Receipt>>(BATCHES_MAX);
    handle.register(BROKER, receipts_in).await?;
    let waiting: Arc<Mutex<VecDeque<(usize, Ticket)>>> = Arc::default();
    let held = Arc::clone(&waiting);
    tokio::spawn(async move {
        while let Some(batch) = receipts.recv().await {
            settle(&held, batch.len());
        }
    });
    let engine = handle.clone();
    Ok(tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while events.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let oldest = batch.iter().map(|input| input.arrival).min().unwrap_or(Timestamp::MIN);
            let ticket = unfinished.begin(StoryClock::elapsed_at(oldest));
            waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back((batch.len(), ticket));
            if engine.send(std::mem::take(&mut batch)).await.is_err() {
                return;
            }
        }
    }))
}

/// Receipts come in the order of the inputs.
fn settle(waiting: &Mutex<VecDeque<(usize, Ticket)>>, mut receipts: usize) {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some((left, _)) = waiting.front_mut() {
        let taken = receipts.min(*left);
        *left -= taken;
        receipts -= taken;
        if *left > 0 {
            return;
        }
        waiting.pop_front();
    }
}
