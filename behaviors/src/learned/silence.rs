//! A metric that is no longer heard of: for longer than a fixed time, or than is its habit.

use fleet::time::Timestamp;

use super::{
    baseline::rate32,
    chart::{Chart, Direction},
    level::Level,
    scale::Scale,
    tolerance::Tolerance,
    verdict::Verdict,
    words::{put, secs, word},
};

/// How long is too long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Silence {
    /// A fixed time, seconds.
    Fixed(u32),
    /// The entity's own habit.
    Habit(Habit),
}

/// Silence against the longest gaps that are usual.
///
/// Devices speak in bursts: most gaps are short, and say nothing. What is learnt is the longest
/// gap of each block of an hour (longer, until there is a gap in it): block maxima, whose
/// distribution settles whatever that of the gaps is (Fisher and Tippett 1928; Coles, "An
/// Introduction to Statistical Modeling of Extreme Values", 2001, chapter 3). Their logarithm has
/// a robust level and spread ([`Level`]); silence is unusual once its own logarithm is past
/// `level + k spread`, `k` the normal quantile of the promised rate widened by a [`Tolerance`].
///
/// A gap in which a source was blind is nobody's silence: it does not train, and silence is
/// counted from the end of the latest blindness.
///
/// Seven words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habit {
    /// Promised rate of false alarms, a block.
    pub rate: f64,
    /// Blocks before the first verdict.
    pub learn: u32,
    /// Silence shorter than this is never unusual, seconds.
    pub at_least: u32,
    limit: f32,
}

/// Length of a block, seconds.
const BLOCK_SECS: u32 = 3600;
/// Blocks that the habit remembers: four weeks.
const MEMORY: u32 = 4 * 168;

const LAST: usize = 0;
const BLOCK: usize = 1;
/// Longest gap of the block, seconds.
const LONGEST: usize = 2;
const HABIT: usize = 3;
const TOLERANCE: usize = HABIT + Level::WORDS;
/// In the level's third word: the silence now going on was unusual.
const UNUSUAL: u32 = 1 << 31;

impl Habit {
    /// With the usual learning period of a day.
    #[must_use]
    pub fn new(rate: f64, at_least: u32) -> Self {
        Self { rate, learn: 24, at_least, limit: Chart::Outlier.limit(rate, Direction::Above) }
    }

    /// Longest silence that is usual, seconds; none while it is being learnt.
    #[must_use]
    pub fn longest(&self, words: &[u32]) -> Option<f64> {
        let level = Level::read(words.get(HABIT..)?);
        if level.seen < self.learn {
            return None;
        }
        let wide = self.limit * Tolerance::from_word(word(words, TOLERANCE)).factor();
        let place = level.mean + wide * level.spread.max(Scale::Log.floor());
        Some(Scale::Log.value(place).max(f64::from(self.at_least)))
    }

    fn end_block(&self, words: &mut [u32], now: u32) {
        let longest = word(words, LONGEST);
        if longest == 0 || now.saturating_sub(word(words, BLOCK)) < BLOCK_SECS {
            return;
        }
        let mut level = Level::read(words.get(HABIT..).unwrap_or_default());
        let mut tolerance = Tolerance::from_word(word(words, TOLERANCE));
        let y = Scale::Log.place(f64::from(longest));
        if level.seen >= self.learn {
            tolerance.judged(rate32(self.rate));
        } else if level.seen >= self.learn / 2 && level.seen > 0 {
            tolerance.allow(level.deviation(y, Scale::Log.floor()) / self.limit);
        }
        put(words, TOLERANCE, tolerance.word());
        level.learn(y, MEMORY, Scale::Log.floor());
        if let Some(words) = words.get_mut(HABIT..) {
            level.write(words);
        }
        put(words, BLOCK, now);
        put(words, LONGEST, 0);
    }
}

impl Silence {
    /// Words of the state.
    #[must_use]
    pub const fn words(&self) -> usize {
        match self {
            Self::Fixed(_) => 1,
            Self::Habit(_) => TOLERANCE + 1,
        }
    }

    /// The entity was heard at `at`; a source was blind until `blind_until` at the latest.
    /// Whatever silence there was is over.
    #[inline]
    pub fn heard(&self, words: &mut [u32], at: Timestamp, blind_until: Timestamp) {
        let now = secs(at);
        let last = word(words, LAST);
        if now > last {
            put(words, LAST, now);
        }
        let Self::Habit(habit) = self else { return };
        if last == 0 {
            put(words, BLOCK, now);
            return;
        }
        // Within a second of the last: the common case of a burst.
        if now <= last {
            return;
        }
        if secs(blind_until) <= last {
            let longest = word(words, LONGEST).max(now - last);
            put(words, LONGEST, longest);
        }
        let marks = word(words, HABIT + 2);
        if marks & UNUSUAL != 0 {
            put(words, HABIT + 2, marks & !UNUSUAL);
            let mut tolerance = Tolerance::from_word(word(words, TOLERANCE));
            tolerance.alarmed();
            put(words, TOLERANCE, tolerance.word());
        }
        habit.end_block(words, now);
    }

    /// Judges the silence as of `now`, and says how long it is, seconds. Nothing is said of what
    /// was never heard.
    pub fn judge(&self, words: &mut [u32], now: Timestamp, blind_until: Timestamp) -> Option<(f64, Verdict)> {
        let last = word(words, LAST);
        if last == 0 {
            return None;
        }
        let from = if blind_until == Timestamp::MIN { last } else { last.max(secs(blind_until)) };
        let silent = f64::from(secs(now).saturating_sub(from));
        let limit = match self {
            Self::Fixed(limit) => f64::from(*limit),
            Self::Habit(habit) => match habit.longest(words) {
                Some(limit) => limit,
                None => return Some((silent, Verdict::Learning)),
            },
        };
        let unusual = silent > limit;
        if unusual && matches!(self, Self::Habit(_)) {
            put(words, HABIT + 2, word(words, HABIT + 2) | UNUSUAL);
        }
        Some((silent, Verdict::of(unusual, limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    const NEVER: Timestamp = Timestamp::MIN;

    #[test]
    fn a_fixed_time() {
        let silence = Silence::Fixed(600);
        let mut words = vec![0; silence.words()];
        assert_eq!(silence.judge(&mut words, at(1_000), NEVER), None, "never heard of");
        silence.heard(&mut words, at(1_000), NEVER);
        let mut judge = |now, blind| silence.judge(&mut words, at(now), blind).unwrap();
        assert_eq!(judge(1_600, NEVER), (600.0, Verdict::Usual { limit: 600.0 }));
        assert_eq!(judge(1_601, NEVER), (601.0, Verdict::Unusual { limit: 600.0 }));
        assert_eq!(judge(1_601, at(1_300)).0, 301.0, "counted from the end of the blindness");
        silence.heard(&mut words, at(1_700), NEVER);
        silence.heard(&mut words, at(1_650), NEVER);
        assert_eq!(
            silence.judge(&mut words, at(1_701), NEVER).unwrap().0,
            1.0,
            "a late sign changes nothing"
        );
    }

    /// Bursts of ten messages a second apart, every 300 s, for so many hours.
    fn bursts(silence: &Silence, words: &mut [u32], hours: i64, blind: Timestamp) -> i64 {
        let mut now = 0;
        for burst in 0..hours * 12 {
            for message in 0..10 {
                now = 1_000_000 + burst * 300 + message;
                silence.heard(words, at(now), blind);
            }
        }
        now
    }

    #[test]
    fn bursts_do_not_hide_the_gaps_between_them() {
        let silence = Silence::Habit(Habit::new(1e-3, 60));
        let mut words = vec![0; silence.words()];
        let now = bursts(&silence, &mut words, 10, NEVER);
        assert_eq!(silence.judge(&mut words, at(now + 10_000), NEVER).unwrap().1, Verdict::Learning);
        let now = bursts(&silence, &mut words, 48, NEVER);
        let Verdict::Usual { limit } = silence.judge(&mut words, at(now + 291), NEVER).unwrap().1 else {
            panic!("its usual gap is usual")
        };
        assert!((291.0..450.0).contains(&limit), "{limit}");
        assert!(silence.judge(&mut words, at(now + 451), NEVER).unwrap().1.is_unusual());
        silence.heard(&mut words, at(now + 500), NEVER);
        let Verdict::Usual { limit: wider } = silence.judge(&mut words, at(now + 501), NEVER).unwrap().1
        else {
            panic!("it is back")
        };
        assert!(wider > limit, "an alarm that ended widens the limit");
    }

    #[test]
    fn gaps_of_a_blind_source_do_not_train() {
        let silence = Silence::Habit(Habit::new(1e-3, 60));
        let mut words = vec![0; silence.words()];
        let now = bursts(&silence, &mut words, 48, NEVER);
        let mut seeing = words.clone();
        silence.heard(&mut words, at(now + 90_000), at(now + 89_000));
        silence.heard(&mut seeing, at(now + 90_000), NEVER);
        let longest = |words: &mut [u32]| match silence.judge(words, at(now + 90_001), NEVER).unwrap().1 {
            Verdict::Usual { limit } => limit,
            other => panic!("{other:?}"),
        };
        assert!(longest(&mut seeing) > longest(&mut words) + 0.2, "the gap of one that sees trains");
    }
}
