//! `fleetward serve`: builds the parts from the settings and connects them.

pub mod backend;
pub mod control;
pub mod coverage;
pub mod groups;
pub mod health;
pub mod history;
pub mod no_control;
pub mod prometheus;
pub mod recorder;
pub mod sight;
pub mod sources;
pub mod verification;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use brokers::{
    lifecycle::LifecycleDecoder,
    mosquitto::{
        dynsec::{
            self,
            control::{DynsecControl, DynsecSettings},
        },
        log::LogDecoder,
    },
    mqtt::status::Clock,
    recorded::RecordedDecoder,
};
use detector::{
    change::Rules,
    front::Decoders,
    input::Format,
    runner::{Runner, RunnerConfig, RunnerHandle},
};
use fleet::{
    ids::GroupName,
    store::{self, Store},
    time::Timestamp,
};
use mitigations::{
    control::Control,
    outbox::Outbox,
    response::{Parts, Response},
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use self::{
    backend::Known,
    groups::{EngineGroups, with_tasks},
    health::Health,
    history::Kept,
    recorder::Recorder,
    sight::Watched,
};
use crate::{
    cli::{check, client::TOKEN_FILE},
    config::settings::{MosquittoLog, Settings},
    files::Definitions,
};

/// The record of responses, in the data folder.
pub const ACTIONS_LOG: &str = "actions.log";

/// How long stopping may take, each for sources, deliveries and engine.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long the control API waits for an answer of the broker.
const CONTROL_PATIENCE: Duration = Duration::from_secs(5);
/// Retention of transitions, days: that of AWS.
const TRANSITION_DAYS: i64 = 30;
/// Transitions kept at most.
const TRANSITIONS_MAX: usize = 1_000_000;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When something that must be there at the start is not, or the engine stops by itself.
pub async fn run(config: &Path, settings: Settings, mut definitions: Definitions) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let clock: Clock = Arc::new(now);
    make_folder(&settings.data_dir)?;
    let store = open_store(&settings)?;
    let outbox =
        Outbox::open(Arc::clone(&store), settings.sinks.clone(), settings.outbox, Arc::clone(&clock))?;
    let groups = EngineGroups::default();
    let response = Response::open(
        Parts {
            store: Arc::clone(&store),
            outbox: Arc::clone(&outbox),
            control: control(&settings, &clock)?,
            groups: Arc::new(groups.clone()),
            clock: Arc::clone(&clock),
            log: settings.data_dir.join(ACTIONS_LOG),
            incidents: settings.incidents,
        },
        definitions.rules.clone(),
        settings.response.executor,
    )?;
    let health = Arc::new(Health::default());
    let plane = control::open(&settings, &mut definitions, &store)?;
    let token = api::Token::new(read_or_make_token(&settings.data_dir.join(TOKEN_FILE))?);
    let (handle, recorder, kept) = start_engine(&settings, &definitions, &store, &response, &health)?;
    groups.attach(handle.clone());
    handle.ready().await.context("the engine stopped while reading its journal")?;
    let workers = outbox.start();
    let executor = response.start();
    let mut ties = JoinSet::new();
    let sources = sources::start(&settings, &handle, &clock, &mut ties).await?;
    let watched = watched(config, &settings, &definitions);
    let known = Arc::new(Known {
        handle: handle.clone(),
        store: Arc::clone(&store),
        response: Arc::clone(&response),
        outbox,
        sources,
        health,
        history: kept,
        watched: Mutex::new(Arc::new(watched)),
        away: Mutex::default(),
        control: Arc::new(control::endpoint(&settings, Arc::clone(&plane), token.clone())),
        started_at: clock(),
    });
    let (stopping, stopped) = watch::channel(false);
    plane.attach(Arc::new(control::Steering::new(
        handle.clone(),
        Arc::downgrade(&known),
        rules(&settings, &definitions),
    )));
    ties.spawn(async move { plane.follow().await });
    let endpoint = start_endpoint(&settings, &known, token, stopped.clone()).await?;
    ties.spawn(tick(handle.clone(), Arc::clone(&clock)));
    ties.spawn(tell_incidents(Arc::clone(&response), handle.clone()));
    let sight = tokio::spawn(sight::watch(Arc::downgrade(&known), Arc::clone(&clock), stopped.clone()));
    ties.spawn(snapshots(handle.clone(), settings.snapshot_every));
    ties.spawn(prune(Arc::clone(&store), Arc::clone(&clock)));
    keep_history(&known, &clock, &mut ties);
    tracing::info!(data = %settings.data_dir.display(), "fleetward is running");

    let outcome = loop {
        tokio::select! {
            told = signals.wait() => match told {
                Told::Stop => break Ok(()),
                Told::Reload => reload(config, &known).await,
            },
            reason = handle.stopped() => break Err(anyhow::anyhow!("the engine stopped: {reason}")),
        }
    };
    tracing::info!("stopping");
    stopping.send_replace(true);
    if let Some(endpoint) = endpoint {
        tokio::time::timeout(STOP_PATIENCE, endpoint).await.ok();
    }
    tokio::time::timeout(STOP_PATIENCE, sight).await.ok();
    if let Some(known) = Arc::into_inner(known) {
        tokio::time::timeout(STOP_PATIENCE, known.sources.stop()).await.ok();
    }
    executor.stop(STOP_PATIENCE).await;
    if outcome.is_ok() {
        tokio::time::timeout(STOP_PATIENCE * 3, handle.shutdown()).await.ok();
    }
    ties.shutdown().await;
    drop(handle);
    workers.stop(STOP_PATIENCE).await;
    tokio::task::spawn_blocking(move || recorder.join().is_err()).await.ok();
    tracing::info!("stopped");
    outcome
}

/// The one place that reads the wall clock.
#[expect(clippy::disallowed_methods, reason = "the edge of the program: everything else is handed the time")]
#[must_use]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The decoder of logs, with their zones.
#[must_use]
pub fn log_decoder(logs: &[MosquittoLog]) -> LogDecoder {
    logs.iter().fold(LogDecoder::new(), |decoder, log| {
        decoder.with_offset(sources::number(&log.name), log.utc_offset_secs)
    })
}

/// The decoders of everything that may stand in a journal.
#[must_use]
pub fn decoders(logs: &[MosquittoLog]) -> Decoders {
    Decoders::default()
        .with(Format::MosquittoLog, Box::new(log_decoder(logs)))
        .with(Format::Lifecycle, Box::new(LifecycleDecoder::new()))
        .with(Format::Recorded, Box::new(RecordedDecoder::new()))
}

/// What of settings and files changes the engine's decisions.
#[must_use]
pub fn rules(settings: &Settings, definitions: &Definitions) -> Rules {
    Rules {
        bucket_secs: settings.bucket_secs,
        lateness_ms: settings.lateness_ms,
        things_max: settings.things_max,
        addresses_max: settings.addresses_max,
        entities_max: settings.entities_max,
        profiles: definitions.profile_texts.clone(),
        collect: settings.history.is_some(),
    }
}

/// Makes the data folder, for its owner alone.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the data folder `{}`", path.display()))
}

/// Opens the store of these settings; only one process may hold it.
///
/// # Errors
/// When another process holds it, or it cannot be read.
pub fn open_store(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    let path = settings.data_dir.join("store");
    let store = store::open(settings.store, &path)
        .with_context(|| format!("cannot open the store `{}`", path.display()))?;
    Ok(Arc::from(store))
}

fn control(settings: &Settings, clock: &Clock) -> anyhow::Result<Arc<dyn Control>> {
    let Some(own) = &settings.control else { return Ok(Arc::new(no_control::NoControl)) };
    let client = dynsec::client::spawn(own.connection.clone(), Arc::clone(clock), CONTROL_PATIENCE)?;
    let mut acting = DynsecSettings {
        role: own.role.clone(),
        also_disable: own.disable_client,
        never_touch: own.never_touch.iter().cloned().collect(),
        ..DynsecSettings::default()
    };
    for source in &settings.mqtt {
        acting = acting.with_report_prefix(&source.settings.report_prefix);
        // A source whose user is quarantined would blind us.
        acting.never_touch.extend(source.settings.connection.username.clone());
    }
    Ok(Arc::new(DynsecControl::new(client, acting)))
}

fn start_engine(
    settings: &Settings,
    definitions: &Definitions,
    store: &Arc<dyn Store>,
    response: &Arc<Response>,
    health: &Arc<Health>,
) -> anyhow::Result<(RunnerHandle, std::thread::JoinHandle<()>, Option<Kept>)> {
    let mut config = RunnerConfig::new(settings.data_dir.join("engine"));
    if settings.shards > 0 {
        config.shards = settings.shards;
    }
    config.segment_bytes = settings.segment_bytes;
    let lake = settings.history.as_ref().and_then(|history| history.lake.as_ref());
    config.hold_journal = lake.is_some_and(|lake| lake.events && history::find_analyst(lake).is_some());
    let groups: BTreeSet<GroupName> = definitions
        .actions
        .iter()
        .flat_map(|action| action.params.groups().unwrap_or_default())
        .cloned()
        .collect();
    config.watch_groups = groups.into_iter().collect();
    let registry = with_tasks(definitions.registry.clone(), &response.active());
    let (handle, outputs) =
        Runner::open(config, decoders(&settings.mosquitto_log), rules(settings, definitions), registry)
            .context("cannot start the engine")?;
    let engine_dir = settings.data_dir.join("engine");
    let started = settings
        .history
        .as_ref()
        .map(|own| history::start(own, &engine_dir, sources::facts(settings), &handle, health));
    let (kept, feed) = started.transpose()?.unzip();
    let recorder = Recorder {
        history: feed,
        store: Arc::clone(store),
        response: Arc::clone(response),
        handle: handle.clone(),
        refused: settings.data_dir.join("refused.jsonl"),
        health: Arc::clone(health),
        connecting_is_escape: false,
        told: Box::new(|transition| {
            tracing::info!(
                kind = ?transition.kind,
                entity = ?transition.entity,
                profile = transition.profile,
                behavior = transition.behavior,
                "transition"
            );
        }),
    };
    let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || recorder.run(outputs))?;
    Ok((handle, thread, kept))
}

/// What there is to see, and with what.
fn watched(config: &Path, settings: &Settings, definitions: &Definitions) -> Watched {
    Watched {
        profiles: definitions.profiles.clone(),
        compiled: definitions.profiles.compile(settings.bucket_secs),
        sources: coverage::of_sources(settings),
        config: config.to_owned(),
    }
}

/// Messages about incidents, at their pace.
async fn tell_incidents(response: Arc<Response>, handle: RunnerHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (response, event_now) = (Arc::clone(&response), handle.counters().watermark);
        match tokio::task::spawn_blocking(move || response.tell_incidents(event_now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "messages about incidents are late"),
            Err(error) => tracing::error!(%error, "telling of incidents broke off"),
        }
    }
}

async fn start_endpoint(
    settings: &Settings,
    known: &Arc<Known>,
    token: api::Token,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(address) = settings.api.listen else { return Ok(None) };
    let tls = control::tls(settings)?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (`api.listen`)"))?;
    let service =
        api::Service { backend: Arc::clone(known) as _, token, control: Some(Arc::clone(&known.control)) };
    let until = async move {
        stopped.wait_for(|stopped| *stopped).await.ok();
    };
    Ok(Some(tokio::spawn(api::serve(listener, service, tls, until))))
}

/// A random token, made once, readable by us alone.
fn read_or_make_token(path: &Path) -> anyhow::Result<String> {
    if let Ok(text) = fs::read_to_string(path)
        && text.trim().len() >= 32
    {
        return Ok(text.trim().to_owned());
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    std::io::Write::write_all(&mut file, format!("{token}\n").as_bytes())?;
    Ok(token)
}

/// Time goes on when nothing happens, too.
async fn tick(handle: RunnerHandle, clock: Clock) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if handle.tick(clock()).await.is_err() {
            return;
        }
    }
}

async fn snapshots(handle: RunnerHandle, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = handle.snapshot().await {
            tracing::warn!(%error, "no snapshot");
        }
    }
}

/// Starts what is done beside the writing of the history.
fn keep_history(known: &Arc<Known>, clock: &Clock, ties: &mut JoinSet<()>) {
    let Some(kept) = &known.history else { return };
    let (health, clock) = (&known.health, Arc::clone(clock));
    ties.spawn(history::maintain(kept.history.clone(), Arc::clone(health), Arc::clone(&clock)));
    if let Ok(archive) = &kept.archive {
        let (archive, handle) = (Arc::clone(archive), known.handle.clone());
        ties.spawn(history::archive(archive, handle, Arc::clone(health), clock));
    }
}

async fn prune(store: Arc<dyn Store>, clock: Clock) {
    loop {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let (store, now) = (Arc::clone(&store), clock());
        let pruned = tokio::task::spawn_blocking(move || {
            backend::prune_transitions(&*store, now, TRANSITION_DAYS, TRANSITIONS_MAX)
        });
        match pruned.await {
            Ok(Ok(deleted)) => tracing::debug!(deleted, "old transitions deleted"),
            Ok(Err(error)) => tracing::warn!(%error, "old transitions cannot be deleted"),
            Err(error) => tracing::error!(%error, "deleting old transitions broke off"),
        }
    }
}

/// Reads profiles, actions and registry again; keeps the old ones if anything is wrong.
async fn reload(config: &Path, known: &Arc<Known>) {
    let path: PathBuf = config.to_owned();
    let read = tokio::task::spawn_blocking(move || check::read(&path, &environment)).await;
    let Ok(checked) = read else { return };
    for problem in &checked.problems {
        tracing::warn!(%problem, "configuration");
    }
    let Some((_, definitions)) = checked.usable else {
        tracing::error!("the new files have errors; the old ones stay in force");
        return;
    };
    let profiles = definitions.profiles.len();
    match control::reload(known, definitions).await {
        Ok(()) => tracing::info!(profiles, "profiles, actions, rules and registry are read again"),
        Err(error) => tracing::error!(error = format!("{error:#}"), "the new files were not taken"),
    }
}

/// Reads a variable of the environment, for secrets.
#[expect(clippy::disallowed_methods, reason = "the edge of the program")]
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Signals {
    /// Resolves when the process is told to stop.
    async fn wait(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

/// What a signal says.
enum Told {
    Stop,
    Reload,
}
