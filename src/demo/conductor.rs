//! Keeps story, engine and audience together.

use std::{
    io::{self, Write},
    pin::pin,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use datasets::fleet_sim::FleetSim;
use detector::transition::Transition;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    DemoOptions,
    board::{Board, Stats},
    check_limits,
    clock::{StoryClock, Unfinished},
    definitions::Definitions,
    lines,
    player::{FleetState, Player, Stage},
    story::Hello,
    summary::Summary,
    view::View,
    wiring::{REPORT_PREFIX, Wiring},
};

/// How often the board is brought up to date.
const STEP: Duration = Duration::from_millis(50);

/// Wall time between two ticks of the engine.
const TICK: Duration = Duration::from_millis(200);

/// How long the end waits for what is unfinished.
const END_MAX: Duration = Duration::from_secs(20);

/// Who looks on.
enum Audience {
    Screen(View),
    Lines(Box<dyn Write + Send>),
    /// The reader has gone.
    Nobody,
}

pub(super) struct Conductor {
    sim: Arc<FleetSim>,
    hello: Hello,
    board: Board,
    wiring: Wiring,
    clock: StoryClock,
    unfinished: Unfinished,
    fleet: Arc<FleetState>,
    player: Option<Player>,
    audience: Audience,
    stop: CancellationToken,
    started: Instant,
    counted: (Instant, u64),
    ticked: Instant,
}

impl Conductor {
    /// Starts all parts. Writes lines to `out`, or takes the terminal.
    pub(super) async fn start(
        options: &DemoOptions,
        out: Option<Box<dyn Write + Send>>,
    ) -> anyhow::Result<Self> {
        let sim = Arc::new(FleetSim::new(options.seed, usize::try_from(options.devices)?));
        check_limits(u32::try_from(sim.devices().len())?)?;
        let (clock, unfinished) = (StoryClock::new(), Unfinished::default());
        let definitions = Definitions::new(&sim)?;
        let profiles = definitions.profile_names.clone();
        let wiring = Wiring::start(&sim, definitions, &clock, &unfinished).await?;
        let speed = options.speed.max(1);
        let until_millis = options.duration.map(|duration| story_millis(duration, speed));
        let stage = Stage {
            broker: wiring.broker.address(),
            clock: clock.clone(),
            unfinished: unfinished.clone(),
            speed,
            until_millis,
            report_prefix: REPORT_PREFIX,
        };
        let hello = Hello {
            seed: options.seed,
            devices: sim.devices().len(),
            speed,
            for_secs: options.duration.map(|duration| duration.as_secs()),
            starts_at: clock.now(),
            broker: wiring.broker.address().to_string(),
            profiles,
        };
        let player = Player::new(Arc::clone(&sim), stage);
        let audience = match out {
            Some(out) => Audience::Lines(out),
            None => Audience::Screen(View::open()?),
        };
        let now = Instant::now();
        Ok(Self {
            sim,
            hello,
            board: Board::default(),
            wiring,
            clock,
            unfinished,
            fleet: player.state(),
            player: Some(player),
            audience,
            stop: CancellationToken::new(),
            started: now,
            counted: (now, 0),
            ticked: now,
        })
    }

    /// Plays the story to its end.
    pub(super) async fn conduct(mut self) -> anyhow::Result<Summary> {
        self.write(&lines::hello(&self.hello))?;
        // The devices stay connected until everything is answered.
        let player = self.play().await?;
        self.finish().await?;
        drop(player);
        let summary = Summary::new(self.hello.seed, &self.sim, &self.board, self.fleet.shares_address());
        self.write(&summary.json())?;
        // Gives the terminal back before anything can be said about stopping.
        self.audience = Audience::Nobody;
        self.wiring.stop().await;
        Ok(summary)
    }

    async fn play(&mut self) -> anyhow::Result<Option<Player>> {
        let Some(player) = self.player.take() else { return Ok(None) };
        let stop = self.stop.clone();
        let mut playing = tokio::spawn(async move { player.play(&stop).await });
        let mut interrupted = pin!(interrupted());
        let mut step = interval(STEP);
        step.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let player = loop {
            tokio::select! {
                ended = &mut playing => break ended?,
                Some(transition) = self.wiring.told.recv() => self.tell(&transition)?,
                _ = step.tick() => self.step().await?,
                _ = &mut interrupted, if !self.stop.is_cancelled() => self.stop.cancel(),
                stopped = self.wiring.handle.stopped() => anyhow::bail!("{stopped}"),
            }
        };
        Ok(Some(player))
    }

    /// Everything that was begun is finished, decided and answered.
    async fn finish(&mut self) -> anyhow::Result<()> {
        self.settle().await?;
        self.wiring.handle.tick(self.clock.now()).await?;
        self.wiring.caught_up().await;
        self.settle().await?;
        self.count(Instant::now())
    }

    /// Goes on until nothing is unfinished.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + END_MAX;
        let mut step = interval(STEP);
        loop {
            step.tick().await;
            while let Ok(transition) = self.wiring.told.try_recv() {
                self.tell(&transition)?;
            }
            self.step().await?;
            if self.unfinished.oldest().is_none() {
                return Ok(());
            }
            if Instant::now() > deadline {
                tracing::warn!("something was still unfinished when the demonstration ended");
                return Ok(());
            }
        }
    }

    fn tell(&mut self, transition: &Transition) -> anyhow::Result<()> {
        self.board.transition(transition);
        self.write(&lines::transition(transition))
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        self.answers()?;
        if now.duration_since(self.ticked) >= TICK {
            self.ticked = now;
            self.wiring.handle.tick(self.clock.now()).await?;
        }
        if now.duration_since(self.counted.0) >= Duration::from_secs(1) {
            self.count(now)?;
        }
        if let Audience::Screen(view) = &mut self.audience {
            let standing = self.fleet.standing(self.clock.elapsed_millis());
            self.board.stats.standing = standing;
            self.board.stats.at = self.clock.now();
            view.draw(&self.hello, &self.board)?;
            if view.quit_wanted()? {
                self.stop.cancel();
            }
        }
        Ok(())
    }

    /// Takes in how far the answers are; once none is under way the story need not wait.
    fn answers(&mut self) -> anyhow::Result<()> {
        let tickets =
            std::mem::take(&mut *self.wiring.answering.lock().unwrap_or_else(PoisonError::into_inner));
        let tasks = self.wiring.response.active();
        let under_way = tasks.iter().any(mitigations::task::Task::is_due);
        for task in &tasks {
            if self.board.task(task)
                && let Some(known) = self.board.quarantines.iter().find(|known| known.thing == task.thing)
            {
                let line = lines::mitigation(known);
                self.write(&line)?;
            }
        }
        if under_way {
            self.wiring.answering.lock().unwrap_or_else(PoisonError::into_inner).extend(tickets);
        }
        Ok(())
    }

    fn count(&mut self, now: Instant) -> anyhow::Result<()> {
        let counters = self.wiring.handle.counters();
        let events = counters.journaled;
        let (then, before) = std::mem::replace(&mut self.counted, (now, events));
        let millis = u64::try_from(now.duration_since(then).as_millis()).unwrap_or(u64::MAX).max(1);
        self.board.stats = Stats {
            at: self.clock.now(),
            wall_secs: now.duration_since(self.started).as_secs(),
            events,
            events_per_sec: events.saturating_sub(before) * 1000 / millis,
            dropped: self.wiring.broker.told().dropped,
            reports: self.wiring.reports(),
            journal_bytes: counters.journal_bytes,
            standing: self.fleet.standing(self.clock.elapsed_millis()),
            stalls: self.fleet.stalls(),
        };
        let line = lines::stats(&self.board.stats, &self.board);
        self.write(&line)
    }

    /// Writes a line, if lines are what the audience wants. A reader that has gone ends the story.
    fn write(&mut self, value: &Value) -> anyhow::Result<()> {
        let Audience::Lines(out) = &mut self.audience else { return Ok(()) };
        match lines::write(out, value) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.audience = Audience::Nobody;
                self.stop.cancel();
                Ok(())
            }
            written => Ok(written?),
        }
    }
}

/// Waits for Ctrl-C or, where the system has it, SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "Ctrl-C cannot be waited for");
        std::future::pending().await
    }
}

fn story_millis(duration: Duration, speed: u32) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).saturating_mul(speed.into())
}
