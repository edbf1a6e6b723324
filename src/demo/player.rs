//! Plays the story: makes every device do what it does, when it is time.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use datasets::fleet_sim::{self, Action, Deed, Device, FleetSim};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    clock::{StoryClock, Unfinished},
    line::{Command, Line, State, Status},
};

/// How often the story is moved on.
const STEP: Duration = Duration::from_millis(10);

/// How far the story may be ahead of what is unfinished in it, in wall time.
const AHEAD_MAX: Duration = Duration::from_millis(100);

/// How long the story waits for something unfinished before it goes on without it.
const STALL_MAX: Duration = Duration::from_secs(15);

/// A device that was refused, or whose connection was lost, tries again after this time of the
/// story: at most twice in a window of 300 s, which no behavior of the starter set minds.
const RETRY_MILLIS: u64 = 300_000;

/// What telemetry consists of.
const FILLER_BYTES: usize = 256 * 1024;

/// How the fleet stands, for whoever shows it.
#[derive(Debug, Default)]
pub(super) struct FleetState {
    own_lines: Vec<Arc<Status>>,
    shared_address: Arc<AtomicBool>,
    stalls: AtomicU64,
}

/// A count of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) connected: usize,
    pub(super) reporting: usize,
    pub(super) silent: usize,
}

impl FleetState {
    /// Connected: has a session. Reporting: sent a report in the last six minutes. Silent: has
    /// no session although the fleet is up.
    pub(super) fn standing(&self, elapsed_millis: u64) -> Standing {
        let recent = elapsed_millis.saturating_sub(fleet_sim::REPORT_EVERY_MILLIS * 6 / 5);
        let mut standing = Standing::default();
        for status in &self.own_lines {
            let connected = status.state() == State::On;
            standing.connected += usize::from(connected);
            standing.silent += usize::from(!connected);
            standing.reporting += usize::from(status.last_report_millis().is_some_and(|at| at >= recent));
        }
        standing
    }

    /// Whether all devices share one address, because the system gives them none of their own.
    pub(super) fn shares_address(&self) -> bool {
        self.shared_address.load(Ordering::Relaxed)
    }

    /// How often the story went on although something in it was unfinished for long.
    pub(super) fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }
}

/// Where, how fast and how long a story is played.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) broker: SocketAddr,
    pub(super) clock: StoryClock,
    pub(super) unfinished: Unfinished,
    /// Story time per wall time.
    pub(super) speed: u32,
    /// When the story ends, in milliseconds since it began.
    pub(super) until_millis: Option<u64>,
    pub(super) report_prefix: &'static str,
}

/// Plays a story.
#[derive(Debug)]
pub(super) struct Player {
    sim: Arc<FleetSim>,
    stage: Stage,
    own: Vec<OwnLine>,
    /// The second lines of those that go wrong.
    others: BTreeMap<(u32, fleet_sim::Line), Line>,
    filler: Bytes,
    state: Arc<FleetState>,
}

#[derive(Debug)]
struct OwnLine {
    line: Line,
    /// By its own will it would be connected.
    wanted: bool,
    retry_at: Option<u64>,
}

impl Player {
    pub(super) fn new(sim: Arc<FleetSim>, stage: Stage) -> Self {
        let shared_address = Arc::new(AtomicBool::new(false));
        let open = |device: &Device| OwnLine {
            line: Line::open(stage.broker, device.address, Arc::clone(&shared_address)),
            wanted: false,
            retry_at: None,
        };
        let own: Vec<OwnLine> = sim.devices().iter().map(open).collect();
        let state = Arc::new(FleetState {
            own_lines: own.iter().map(|own| Arc::clone(&own.line.status)).collect(),
            shared_address,
            stalls: AtomicU64::new(0),
        });
        Self { sim, stage, own, others: BTreeMap::new(), filler: vec![b'.'; FILLER_BYTES].into(), state }
    }

    pub(super) fn state(&self) -> Arc<FleetState> {
        Arc::clone(&self.state)
    }

    /// Plays until the story's end or until `stop`, and gives the connections back, so that the
    /// devices stay connected while the last responses are carried out.
    pub(super) async fn play(mut self, stop: &CancellationToken) -> Self {
        let mut actions = Arc::clone(&self.sim).actions().peekable();
        let mut pace = Pace::new(self.stage.speed);
        let mut step = interval(STEP);
        step.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut now = 0;
        while self.stage.until_millis.is_none_or(|until| now < until) {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = step.tick() => {}
            }
            let next = pace.next(now, self.stage.unfinished.oldest(), &self.state.stalls);
            now = self.stage.until_millis.map_or(next, |until| next.min(until));
            while let Some(action) = actions.next_if(|action| action.at_millis <= now) {
                self.stage.clock.advance(action.at_millis);
                self.act(action).await;
            }
            self.stage.clock.advance(now);
            self.retry(now).await;
        }
        self
    }

    async fn act(&mut self, action: Action) {
        let Some(device) = self.sim.devices().get(index(action.device)).cloned() else { return };
        match action.line {
            fleet_sim::Line::Own => self.act_on_own(&device, action).await,
            fleet_sim::Line::Guesser | fleet_sim::Line::Clone => self.act_on_other(&device, action).await,
        }
    }

    async fn act_on_own(&mut self, device: &Device, action: Action) {
        let at = action.at_millis;
        let Some(own) = self.own.get_mut(index(action.device)) else { return };
        let command = match action.deed {
            Deed::Connect => {
                own.wanted = true;
                if own.line.status.state() == State::Refused {
                    // It was told to stay away, and minds that.
                    return;
                }
                own.line.status.set(State::Connecting);
                login(device)
            }
            Deed::Guess { .. } => return,
            Deed::Publish { topic, bytes } => {
                let payload = self.filler.slice(..index(bytes).min(FILLER_BYTES));
                Command::Publish { topic, payload, report_at_millis: None }
            }
            Deed::Report { json } => Command::Publish {
                topic: format!("{}{}/defender/metrics/json", self.stage.report_prefix, device.name),
                payload: json.into(),
                report_at_millis: Some(at),
            },
            Deed::Disconnect { clean } => {
                own.wanted = false;
                own.retry_at = None;
                Command::Disconnect { clean }
            }
        };
        own.line.send(command, self.stage.unfinished.begin(at)).await;
    }

    async fn act_on_other(&mut self, device: &Device, action: Action) {
        let from = match action.line {
            fleet_sim::Line::Clone => device.foreign_address,
            fleet_sim::Line::Own | fleet_sim::Line::Guesser => device.address,
        };
        let command = match action.deed {
            Deed::Connect => login(device),
            Deed::Guess { claimed, password } => match self.sim.devices().get(index(claimed)) {
                Some(claimed) => {
                    Command::Connect { client: claimed.name.clone(), user: claimed.name.clone(), password }
                }
                None => return,
            },
            Deed::Publish { .. } | Deed::Report { .. } => return,
            Deed::Disconnect { clean } => Command::Disconnect { clean },
        };
        let (broker, shared) = (self.stage.broker, &self.state.shared_address);
        let line = self
            .others
            .entry((action.device, action.line))
            .or_insert_with(|| Line::open(broker, from, Arc::clone(shared)));
        let cloned_and_refused =
            action.line == fleet_sim::Line::Clone && line.status.state() == State::Refused;
        if !cloned_and_refused {
            line.send(command, self.stage.unfinished.begin(action.at_millis)).await;
        }
    }

    /// Lets devices that were refused or lost their connection try again.
    async fn retry(&mut self, now: u64) {
        for (own, device) in self.own.iter_mut().zip(self.sim.devices()) {
            if !own.wanted || !matches!(own.line.status.state(), State::Refused | State::Lost) {
                own.retry_at = None;
                continue;
            }
            let at = *own.retry_at.get_or_insert(now + RETRY_MILLIS);
            if at <= now {
                own.retry_at = None;
                own.line.status.set(State::Connecting);
                own.line.send(login(device), self.stage.unfinished.begin(now)).await;
            }
        }
    }
}

fn login(device: &Device) -> Command {
    Command::Connect {
        client: device.name.clone(),
        user: device.name.clone(),
        password: device.password.clone(),
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How fast the story goes on.
#[derive(Debug)]
struct Pace {
    speed: u32,
    last: Instant,
    moved: Instant,
}

impl Pace {
    fn new(speed: u32) -> Self {
        let now = Instant::now();
        Self { speed, last: now, moved: now }
    }

    /// Where the story goes from `now`, if its oldest unfinished deed began at `oldest`.
    fn next(&mut self, now: u64, oldest: Option<u64>, stalls: &AtomicU64) -> u64 {
        let wall = Instant::now();
        // Wall time that passed while the story waited is lost, not caught up with.
        let passed = wall.duration_since(self.last).min(AHEAD_MAX);
        self.last = wall;
        let ahead_max = millis(AHEAD_MAX) * u64::from(self.speed);
        let waits = oldest.is_some_and(|oldest| now.saturating_sub(oldest) > ahead_max);
        if waits && wall.duration_since(self.moved) < STALL_MAX {
            return now;
        }
        if waits {
            stalls.fetch_add(1, Ordering::Relaxed);
        }
        self.moved = wall;
        let passed = u64::try_from(passed.as_micros()).unwrap_or(0) * u64::from(self.speed) / 1000;
        now + passed
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use brokers::embedded::{EmbeddedBroker, Settings};
    use detector::input::SourceId;

    use super::*;

    #[test]
    fn the_story_waits_for_what_is_unfinished() {
        let stalls = AtomicU64::new(0);
        let mut pace = Pace::new(30);
        pace.last = Instant::now() - Duration::from_millis(20);
        assert!(pace.next(10_000, Some(7_000), &stalls) >= 10_600, "3 s of the story is 100 ms of ours");
        pace.last = Instant::now() - Duration::from_millis(20);
        assert_eq!(pace.next(10_000, Some(6_999), &stalls), 10_000);
        pace.moved = Instant::now() - STALL_MAX;
        pace.last = Instant::now() - Duration::from_millis(20);
        assert!(pace.next(10_000, Some(6_999), &stalls) > 10_000, "but not for ever");
        assert_eq!(stalls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn time_lost_is_not_caught_up_with() {
        let mut pace = Pace::new(10);
        pace.last = Instant::now() - Duration::from_secs(60);
        assert_eq!(pace.next(0, None, &AtomicU64::new(0)), 1_000);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_fleet_connects_speaks_and_its_misdeeds_happen() {
        let sim = Arc::new(FleetSim::new(5, 40));
        let clock = StoryClock::new();
        let unfinished = Unfinished::default();
        let told_at = clock.clone();
        let settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            devices: sim
                .devices()
                .iter()
                .map(|device| (device.name.clone(), device.password.clone()))
                .collect(),
            services: std::collections::HashMap::new(),
            report_prefix: "$aws/things/".to_owned(),
            tell_reports: true,
            source: SourceId(0),
            clock: Arc::new(move || told_at.now()),
            events_max: 20_000,
        };
        let (broker, mut events) = EmbeddedBroker::start(settings).await.unwrap();
        let stage = Stage {
            broker: broker.address(),
            clock,
            unfinished: unfinished.clone(),
            speed: 300,
            until_millis: Some(420_000),
            report_prefix: "$aws/things/",
        };
        let player = Player::new(sim, stage);
        let state = player.state();
        let player = player.play(&CancellationToken::new()).await;
        while unfinished.oldest().is_some() {
            tokio::time::sleep(STEP).await;
        }
        let standing = state.standing(420_000);
        assert_eq!((standing.connected, standing.silent), (39, 1), "one fell silent");
        assert_eq!(standing.reporting, 39);
        assert_eq!((state.stalls(), broker.told().dropped, broker.connected()), (0, 0, 39));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        while let Ok(input) = events.try_recv() {
            let event: serde_json::Value = serde_json::from_slice(&input.payload).unwrap();
            let kind = event["event"].as_str().unwrap_or("report").to_owned();
            *counts.entry(kind).or_default() += 1;
        }
        assert_eq!(counts["auth-failure"], 60);
        assert_eq!(counts["denied"], 8);
        assert!(counts["report"] >= 40 && counts["connect"] >= 40 + 14, "{counts:?}");
        drop(player);
    }
}
