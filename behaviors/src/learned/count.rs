//! Small counts against the usual rate: Poisson and negative binomial upper tails.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use statrs::distribution::{DiscreteCDF, NegativeBinomial};

use super::{
    baseline::rate32,
    level::Level,
    tolerance::Tolerance,
    verdict::Verdict,
    words::{float, put, put_float, word},
};

/// What the counts of a window are taken to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountModel {
    /// Independent events at a steady rate.
    Poisson,
    /// Events in clusters: the variance is that of the data, at least that of Poisson.
    NegativeBinomial,
}

/// Counts of a window against the rate learnt from the windows before.
///
/// The learnt mean `m` of `n` windows (exponentially weighted, `n` at most the memory) is itself
/// uncertain, which matters most for rare events. With the gamma prior of Jeffreys the count of
/// the next window is negative binomial with mean `M = (n m + 1/2) / n` and variance
/// `V = M (1 + 1/n)` (Gelman et al., "Bayesian Data Analysis", 3rd edition, section 2.6). For
/// [`CountModel::NegativeBinomial`] both parts of the variance are multiplied by the dispersion
/// `max(1, v/m)` of the data. The limit is the smallest count whose upper tail is at most the
/// promised rate; a count above it violates.
///
/// The tails come from `statrs`, never on the way of an event: the limit is kept in the state
/// and renewed when a window ends, from a [`Limits`] table that all things of the behavior share
/// and that computes a place of it once.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Distribution.
    pub model: CountModel,
    /// Promised rate of false alarms, a window.
    pub rate: f64,
    /// Windows before the first verdict.
    pub learn: u32,
    /// Windows that the rate remembers.
    pub memory: u32,
    /// Whether windows of an alarm train, clipped to the limit.
    pub learn_in_alarm: bool,
    limits: Arc<Limits>,
}

impl PartialEq for Counts {
    /// What the table holds so far does not matter: it is a function of the rest.
    fn eq(&self, other: &Self) -> bool {
        (self.model, self.rate, self.learn, self.memory, self.learn_in_alarm)
            == (other.model, other.rate, other.learn, other.memory, other.learn_in_alarm)
    }
}

const MEAN: usize = 0;
const VARIANCE: usize = 1;
/// Windows seen; the upper bit tells whether the last was in alarm.
const SEEN: usize = 2;
const TOLERANCE: usize = 3;
const LIMIT: usize = 4;
const IN_ALARM: u32 = 1 << 31;

impl Counts {
    /// Words of the state.
    pub const WORDS: usize = 5;

    /// With the usual learning period (288 windows) and memory (2,016: a week of 300 s).
    #[must_use]
    pub fn new(model: CountModel, rate: f64) -> Self {
        Self {
            model,
            rate,
            learn: 288,
            memory: 2_016,
            learn_in_alarm: true,
            limits: Arc::new(Limits::new(rate)),
        }
    }

    /// The count above which a window violates, whatever else comes.
    #[must_use]
    #[inline]
    pub fn bound_above(&self, words: &[u32]) -> Option<f64> {
        let seen = word(words, SEEN) & Level::SEEN_MAX;
        (seen >= self.learn).then(|| f64::from(float(words, LIMIT)))
    }

    /// Judges the count of a window, and learns from it.
    pub fn judge(&self, words: &mut [u32], count: f64, in_alarm: bool) -> Verdict {
        let seen = word(words, SEEN) & Level::SEEN_MAX;
        let limit = float(words, LIMIT);
        let count32 = rate32(count);
        let mut tolerance = Tolerance::from_word(word(words, TOLERANCE));
        let was_in_alarm = word(words, SEEN) & IN_ALARM != 0;
        let judged = seen >= self.learn;
        if judged && !in_alarm {
            if was_in_alarm {
                tolerance.alarmed();
            }
            tolerance.judged(rate32(self.rate));
        } else if !judged && seen >= self.learn / 2 && seen > 0 {
            let mean = float(words, MEAN);
            let planned = (limit - mean) / tolerance.factor();
            tolerance.allow((count32 - mean) / planned.max(1.0));
        }
        put(words, TOLERANCE, tolerance.word());
        let verdict =
            if judged { Verdict::of(count > f64::from(limit), f64::from(limit)) } else { Verdict::Learning };
        let mut windows = seen;
        if !in_alarm || self.learn_in_alarm {
            windows = (seen + 1).min(Level::SEEN_MAX);
            let clip = if judged { limit } else { f32::MAX };
            self.learn(words, count32.clamp(0.0, clip), windows);
        }
        put(words, SEEN, windows | if in_alarm { IN_ALARM } else { 0 });
        verdict
    }

    fn learn(&self, words: &mut [u32], count: f32, windows: u32) {
        let kept = windows.min(self.memory.max(1)) as f32;
        let (mut mean, mut variance) = (float(words, MEAN), float(words, VARIANCE));
        let before = count - mean;
        mean += before / kept;
        variance += (before * (count - mean) - variance) / kept;
        put_float(words, MEAN, mean);
        put_float(words, VARIANCE, variance);
        let expected = mean + 0.5 / kept;
        let dispersion = match self.model {
            CountModel::Poisson => 1.0,
            CountModel::NegativeBinomial => (variance / mean.max(f32::MIN_POSITIVE)).clamp(1.0, 1024.0),
        };
        // What the variance has more than Poisson's, in means.
        let excess = dispersion * (1.0 + 1.0 / kept) - 1.0;
        let planned = self.limits.limit(expected, excess);
        let factor = Tolerance::from_word(word(words, TOLERANCE)).factor();
        // The limit of very rare events may be below their mean: nothing to widen there.
        put_float(words, LIMIT, (mean + (planned - mean).max(0.0) * factor).floor().max(planned));
    }
}

/// Limits by mean and excess of the variance, for one promised rate.
///
/// A place of the table is an eighth octave of the mean (9 %, from 2^-12 to 2^20) by a quarter
/// octave of the excess (from 2^-12 to 2^10), rounded up, so that the tail is at most the one
/// promised. Its limit depends on nothing else: whoever asks first computes it.
#[derive(Debug)]
pub struct Limits {
    rate: f64,
    /// One more than the limit; 0 where nobody has asked yet.
    table: Box<[AtomicU32]>,
}

/// 2^-12.
const MEAN_LOWEST: f32 = 1.0 / 4096.0;
const MEANS: usize = 32 * 8 + 1;
const EXCESSES: usize = 22 * 4 + 1;
/// Means beyond the table: six decades of small counts are what this is for.
const MEAN_HIGHEST: f32 = 1_048_576.0;

impl Limits {
    fn new(rate: f64) -> Self {
        Self { rate, table: (0..MEANS * EXCESSES).map(|_| AtomicU32::new(0)).collect() }
    }

    /// The smallest count whose upper tail is at most the rate.
    fn limit(&self, mean: f32, excess: f32) -> f32 {
        if mean > MEAN_HIGHEST {
            // Normal tail, with six spreads: no count this large is small.
            return mean + 6.0 * (mean * (1.0 + excess)).sqrt();
        }
        let (row, mean) = place(mean, 3, MEANS);
        let (column, excess) = place(excess, 2, EXCESSES);
        let Some(cell) = self.table.get(row * EXCESSES + column) else { return f32::MAX };
        match cell.load(Ordering::Relaxed) {
            0 => {
                let limit = tail_limit(f64::from(mean), f64::from(excess), self.rate);
                cell.store(limit.saturating_add(1), Ordering::Relaxed);
                limit as f32
            }
            known => (known - 1) as f32,
        }
    }
}

/// Index of the place with 2^`bits` steps an octave, and its upper edge.
fn place(value: f32, bits: u32, places: usize) -> (usize, f32) {
    let shift = 23 - bits;
    let lowest = MEAN_LOWEST.to_bits() >> shift;
    let steps = (value.max(0.0).to_bits() >> shift).saturating_sub(lowest);
    let index = usize::try_from(steps).unwrap_or(0).min(places - 1);
    let upper = lowest + u32::try_from(index).unwrap_or(0) + 1;
    (index, f32::from_bits(upper << shift))
}

/// The smallest count `c` with `P(X > c) <= rate`, `X` negative binomial with this mean and a
/// variance of `mean (1 + excess)`.
fn tail_limit(mean: f64, excess: f64, rate: f64) -> u32 {
    // Size and probability: mean = r (1 - p) / p, variance = mean / p.
    let p = 1.0 / (1.0 + excess);
    let size = mean / excess;
    let Ok(distribution) = NegativeBinomial::new(size, p) else { return u32::MAX - 1 };
    let passes = |count: u64| distribution.sf(count) <= rate;
    // Doubled until it is enough, then halved in between.
    let mut high = 1_u64;
    while !passes(high) && high < 1 << 31 {
        high *= 2;
    }
    let mut low = if high == 1 { 0 } else { high / 2 };
    if low == 0 && passes(0) {
        return 0;
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if passes(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    u32::try_from(high).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::Poisson;

    #[test]
    fn limits_of_poisson_are_those_of_its_tail() {
        for mean in [0.01, 0.1, 0.5, 1.0, 3.0, 10.0, 100.0] {
            let poisson = Poisson::new(mean).unwrap();
            let limit = u64::from(tail_limit(mean, 1e-4, 1e-3));
            assert!(poisson.sf(limit) <= 1.02e-3, "{mean}: {limit}");
            assert!(limit == 0 || poisson.sf(limit - 1) > 0.98e-3, "{mean}: {limit}");
        }
        // By hand: mean 1/2, P(X > 4) = 0.000172, P(X > 3) = 0.001752.
        assert_eq!(tail_limit(0.5, 1e-4, 1e-3), 4);
    }

    #[test]
    fn clusters_need_more_room() {
        assert!(tail_limit(2.0, 3.0, 1e-4) > 2 * tail_limit(2.0, 1e-4, 1e-4));
    }

    #[test]
    fn the_table_rounds_up_and_computes_a_place_once() {
        let limits = Limits::new(1e-4);
        for mean in [0.0, 1e-9, 0.3, 1.0, 1.01, 7.3, 5e4, 1e6] {
            let found = limits.limit(mean, 0.002);
            let exact = tail_limit(f64::from(mean.max(1e-4)), 0.002, 1e-4) as f32;
            assert!(found >= exact && found <= exact * 1.15 + 1.0, "{mean}: {found} {exact}");
        }
        assert!(limits.limit(1e9, 1.0) > 1e9);
        let computed = limits.table.iter().filter(|cell| cell.load(Ordering::Relaxed) > 0).count();
        assert_eq!(limits.limit(7.3, 0.002), limits.limit(7.31, 0.002));
        assert_eq!(limits.table.iter().filter(|cell| cell.load(Ordering::Relaxed) > 0).count(), computed);
    }

    #[test]
    fn rare_events_are_judged_with_what_little_is_known() {
        let counts = Counts { learn: 10, ..Counts::new(CountModel::Poisson, 1e-3) };
        let mut words = [0; Counts::WORDS];
        for _ in 0..10 {
            assert_eq!(counts.judge(&mut words, 0.0, false), Verdict::Learning);
        }
        // Ten empty windows say that the rate is small, not that it is zero.
        let after_ten = counts.bound_above(&words).unwrap();
        for _ in 0..2_000 {
            assert!(!counts.judge(&mut words, 0.0, false).is_unusual());
        }
        let after_many = counts.bound_above(&words).unwrap();
        assert!(after_ten >= 1.0 && after_many < after_ten, "{after_ten} {after_many}");
        assert!(counts.judge(&mut words, after_many + 1.0, false).is_unusual());
    }
}
