//! A metric against its own usual level: of always, of the hour of the day, or of the week.

use fleet::time::Timestamp;

use super::{
    chart::{Chart, Direction, REFERENCE, WEIGHT, WINSOR},
    level::Level,
    peers::{LevelSum, Peers, Prior},
    scale::Scale,
    season::{Cell, Season},
    tolerance::Tolerance,
    verdict::Verdict,
    words::{float, put, put_float, word},
};

/// A metric against its own baseline.
///
/// Each datapoint becomes a deviation `z` from the level of its hour (or of all time), in
/// spreads; a [`Chart`] judges the deviations; a [`Tolerance`] widens the chart's limit until
/// the promised rate of alarms is kept.
///
/// What was learnt is protected: a datapoint past the limit is clipped before it trains
/// (see [`Level`]), and trains not at all during an alarm unless `learn_in_alarm` says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// What the metric repeats with.
    pub season: Season,
    /// How values are laid out.
    pub scale: Scale,
    /// Which side alarms.
    pub direction: Direction,
    /// How deviations are judged.
    pub chart: Chart,
    /// Promised rate of false alarms, a datapoint.
    pub rate: f64,
    /// Datapoints before the first verdict.
    pub learn: u32,
    /// Datapoints (of one hour's cell, if there is a season) that the level remembers.
    pub memory: u32,
    /// Values below never violate.
    pub ignore_below: f64,
    /// Whether datapoints of an alarm train, clipped: then an alarm over a lasting change ends
    /// once it has become usual.
    pub learn_in_alarm: bool,
    /// Whose levels stand in for the thing's own while that is learnt. Only for outliers.
    pub warm_up: Option<Peers>,
    limit: f32,
}

/// Where the words of the state are. The upper bit of the level's third tells whether the last
/// datapoint was in alarm.
const TOLERANCE: usize = Level::WORDS;
const SUMS: usize = TOLERANCE + 1;
const IN_ALARM: u32 = 1 << 31;

/// What a datapoint is compared with.
#[derive(Clone, Copy, Debug)]
struct Usual {
    mean: f32,
    spread: f32,
}

impl Baseline {
    /// With the chart's limit for the promised rate; other fields as usual for the season and chart.
    #[must_use]
    pub fn new(season: Season, scale: Scale, chart: Chart, direction: Direction, rate: f64) -> Self {
        let seasonal = season != Season::None;
        // A chart of small shifts must not follow them: its memory is longer.
        let memory = match (chart, seasonal) {
            (Chart::Outlier, false) => 288,
            (Chart::Cusum | Chart::Ewma, false) => 2_016,
            (Chart::Outlier, true) => 12,
            (Chart::Cusum | Chart::Ewma, true) => 48,
        };
        let learn = match season {
            Season::None => 288,
            Season::Day => 3 * 288,
            Season::Week => 2 * 2_016,
        };
        Self {
            season,
            scale,
            direction,
            chart,
            rate,
            learn,
            memory,
            ignore_below: f64::NEG_INFINITY,
            learn_in_alarm: true,
            warm_up: None,
            limit: chart.limit(rate, direction),
        }
    }

    /// The learning period and memory in datapoints of windows of so many seconds; they are given
    /// in windows of 300 s otherwise: a day, or two weeks for the hours of the week.
    #[must_use]
    pub fn for_windows(self, secs: u32) -> Self {
        let scaled = |count: u32| {
            let scaled = u64::from(count) * 300 / u64::from(secs.max(1));
            u32::try_from(scaled.clamp(12, 1_000_000)).unwrap_or(u32::MAX)
        };
        Self { learn: scaled(self.learn), memory: scaled(self.memory), ..self }
    }

    /// Words of the state: 4, and 2 for sums, and the hours with their center.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.cells_at() + if self.season.cells() > 0 { 1 + self.season.words() } else { 0 }
    }

    const fn cells_at(&self) -> usize {
        match self.chart {
            Chart::Outlier => SUMS,
            Chart::Cusum | Chart::Ewma => SUMS + 2,
        }
    }

    /// The value above which the datapoint of the window at `at` violates, whatever else comes:
    /// known before the window ends. Only outliers have one. `prior` is that of the peers, if the
    /// thing's own level is not learnt yet ([`Baseline::is_learning`]).
    #[must_use]
    #[inline]
    pub fn bound_above(&self, words: &[u32], at: Timestamp, prior: Option<&Prior>) -> Option<f64> {
        if self.chart != Chart::Outlier || !self.direction.above() {
            return None;
        }
        let level = Level::read(words);
        let own = if level.seen < self.learn { None } else { self.usual(words, level, at) };
        match (own, prior) {
            (Some(usual), _) => Some(self.above(usual, words).max(self.ignore_below)),
            (None, Some(prior)) => Some(self.peers_bound(prior, true).max(self.ignore_below)),
            (None, None) => None,
        }
    }

    /// Whether the thing's own past does not tell yet what is usual in the window at `at`.
    #[must_use]
    pub fn is_learning(&self, words: &[u32], at: Timestamp) -> bool {
        let level = Level::read(words);
        level.seen < self.learn || self.usual(words, level, at).is_none()
    }

    /// Adds what the thing has learnt of windows at `at` to what its peers have, once it is learnt.
    pub fn tell_peers(&self, words: &[u32], at: Timestamp, sum: &mut LevelSum) {
        let level = Level::read(words);
        if level.seen >= self.learn
            && let Some(usual) = self.usual(words, level, at)
        {
            let tolerance = Tolerance::from_word(word(words, TOLERANCE));
            sum.add(usual.mean, usual.spread, tolerance.factor());
        }
    }

    /// Judges the datapoint of the window at `at`, and learns from it. `in_alarm`: an alarm of
    /// this behavior is open. `prior`: as in [`Baseline::bound_above`]; a datapoint past its limit is
    /// clipped to it before it trains, so that what is wrong from the start is not learnt as usual at
    /// once.
    pub fn judge(
        &self,
        words: &mut [u32],
        at: Timestamp,
        value: f64,
        in_alarm: bool,
        prior: Option<&Prior>,
    ) -> Verdict {
        let level = Level::read(words);
        let mut y = self.scale.place(value);
        let usual = self.usual(words, level, at);
        let verdict = match usual {
            Some(usual) if level.seen >= self.learn => {
                self.mark_alarm(words, in_alarm);
                self.verdict(words, usual, y, value)
            }
            _ => {
                if let Some(prior) = prior {
                    y = y.clamp(self.peers_place(prior, false), self.peers_place(prior, true));
                }
                if let Some(usual) = usual {
                    self.rehearse(words, usual, level.seen, y);
                }
                prior.map_or(Verdict::Learning, |prior| self.by_peers(prior, value))
            }
        };
        if !in_alarm || self.learn_in_alarm {
            self.learn(words, level, usual, y, at);
        }
        verdict
    }

    fn usual(&self, words: &[u32], level: Level, at: Timestamp) -> Option<Usual> {
        let floor = self.scale.floor();
        if self.season == Season::None {
            return (level.seen > 0).then(|| Usual { mean: level.mean, spread: level.spread.max(floor) });
        }
        let cells = words.get(self.cells_at()..)?;
        let cell = Cell::read(cells.get(1..)?, self.season.cell(at))?;
        let grid = self.scale.grid();
        let mean = float(cells, 0) + cell.level() / grid;
        Some(Usual { mean, spread: (cell.spread() / grid).max(floor) })
    }

    /// The place that a datapoint of a thing like its peers passes as seldom as promised, on one side.
    fn peers_place(&self, prior: &Prior, above: bool) -> f32 {
        let z = self.limit * prior.factor;
        let spread = prior.spread.max(self.scale.floor());
        prior.mean + if above { z * spread } else { -z * spread }
    }

    fn peers_bound(&self, prior: &Prior, above: bool) -> f64 {
        self.scale.value(self.peers_place(prior, above))
    }

    fn by_peers(&self, prior: &Prior, value: f64) -> Verdict {
        let (above, below) = (self.peers_bound(prior, true), self.peers_bound(prior, false));
        let (up, down) = (self.direction.above(), self.direction.below());
        let unusual = (up && value > above) || (down && value < below);
        let nearer_above = up && (self.scale.place(value) >= prior.mean || !down);
        let limit = if nearer_above { above.max(self.ignore_below) } else { below };
        Verdict::of(unusual && value >= self.ignore_below, limit)
    }

    /// While nothing is judged yet, the second half of the learning shows how wide the data are.
    fn rehearse(&self, words: &mut [u32], usual: Usual, seen: u32, y: f32) {
        if seen < self.learn / 2 {
            return;
        }
        let statistic = self.advance(words, (y - usual.mean) / usual.spread);
        let mut tolerance = Tolerance::from_word(word(words, TOLERANCE));
        tolerance.allow(statistic / self.limit);
        put(words, TOLERANCE, tolerance.word());
    }

    fn mark_alarm(&self, words: &mut [u32], in_alarm: bool) {
        let marks = word(words, 2);
        if !in_alarm {
            let mut tolerance = Tolerance::from_word(word(words, TOLERANCE));
            if marks & IN_ALARM != 0 {
                tolerance.alarmed();
            }
            tolerance.judged(rate32(self.rate));
            put(words, TOLERANCE, tolerance.word());
        }
        put(words, 2, marks & !IN_ALARM | if in_alarm { IN_ALARM } else { 0 });
    }

    fn verdict(&self, words: &mut [u32], usual: Usual, y: f32, value: f64) -> Verdict {
        let z = (y - usual.mean) / usual.spread;
        let (above, below) = (self.above(usual, words), self.below(usual, words));
        let unusual = match self.chart {
            Chart::Outlier => {
                (self.direction.above() && value > above) || (self.direction.below() && value < below)
            }
            Chart::Cusum | Chart::Ewma => self.advance(words, z) > self.wide_limit(words),
        };
        let nearer_above = self.direction.above() && (z >= 0.0 || !self.direction.below());
        let limit = if nearer_above { above.max(self.ignore_below) } else { below };
        Verdict::of(unusual && value >= self.ignore_below, limit)
    }

    fn wide_limit(&self, words: &[u32]) -> f32 {
        let wide = self.limit * Tolerance::from_word(word(words, TOLERANCE)).factor();
        // The average of clipped deviations never passes the clip: a wider limit would be blind.
        if self.chart == Chart::Ewma { wide.min(0.9 * WINSOR) } else { wide }
    }

    /// The value past which this datapoint alarms, upwards. Of the sums: with what they hold.
    #[inline]
    fn above(&self, usual: Usual, words: &[u32]) -> f64 {
        let limit = self.wide_limit(words);
        let z = match self.chart {
            Chart::Outlier => limit,
            Chart::Cusum => limit - float(words, SUMS) + REFERENCE,
            Chart::Ewma => (limit - (1.0 - WEIGHT) * float(words, SUMS)) / WEIGHT,
        };
        self.scale.value(usual.mean + z * usual.spread)
    }

    /// The same downwards.
    fn below(&self, usual: Usual, words: &[u32]) -> f64 {
        let limit = self.wide_limit(words);
        let z = match self.chart {
            Chart::Outlier => limit,
            Chart::Cusum => limit - float(words, SUMS + 1) + REFERENCE,
            Chart::Ewma => (limit + (1.0 - WEIGHT) * float(words, SUMS)) / WEIGHT,
        };
        self.scale.value(usual.mean - z * usual.spread)
    }

    /// Moves the sums on by a deviation; what is compared with the limit.
    fn advance(&self, words: &mut [u32], z: f32) -> f32 {
        let (up, down) = (self.direction.above(), self.direction.below());
        let side = |up_value: f32, down_value: f32| match (up, down) {
            (true, true) => up_value.max(down_value),
            (true, false) => up_value,
            (false, _) => down_value,
        };
        let kept = z.clamp(-WINSOR, WINSOR);
        match self.chart {
            Chart::Outlier => side(z, -z),
            Chart::Cusum => {
                // Held at one and a half times the limit, so that it falls again in time.
                let held = 1.5 * self.wide_limit(words);
                let above = (float(words, SUMS) + kept - REFERENCE).clamp(0.0, held);
                let below = (float(words, SUMS + 1) - kept - REFERENCE).clamp(0.0, held);
                put_float(words, SUMS, above);
                put_float(words, SUMS + 1, below);
                side(above, below)
            }
            Chart::Ewma => {
                let before = float(words, SUMS);
                let average = before + WEIGHT * (kept - before);
                put_float(words, SUMS, average);
                side(average, -average)
            }
        }
    }

    fn learn(&self, words: &mut [u32], mut level: Level, usual: Option<Usual>, y: f32, at: Timestamp) {
        let floor = self.scale.floor();
        if self.season == Season::None {
            level.learn(y, self.memory, floor);
            level.write(words);
            return;
        }
        let grid = self.scale.grid();
        let first = level.seen == 0;
        // The level is that of the deviations from the hours: what a new hour's spread begins with.
        let pooled = if level.seen < 8 { self.scale.start() } else { level.spread.max(floor) };
        level.learn(usual.map_or(0.0, |usual| y - usual.mean), self.learn.max(1), floor);
        level.write(words);
        let Some(cells) = words.get_mut(self.cells_at()..) else { return };
        if first {
            put_float(cells, 0, y);
        }
        let y = (y - float(cells, 0)) * grid;
        let number = self.season.cell(at);
        let Some(cells) = cells.get_mut(1..) else { return };
        let cell = match Cell::read(cells, number) {
            Some(mut cell) => {
                cell.learn(y, 1.0 / self.memory.max(1) as f32, at);
                cell
            }
            None => Cell::first(y, pooled * grid),
        };
        cell.write(cells, number);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a rate needs no more digits")]
pub(super) const fn rate32(rate: f64) -> f32 {
    rate as f32
}
