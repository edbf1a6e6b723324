//! Judgements that are learnt from an entity's own past, and judgements of what is missing.
//!
//! One rule, one file. Each is plain data (what a profile says of it) and works on a few 32-bit
//! words of state, whose number it tells and which are all zero at first. Values go in, a
//! [`Verdict`] comes out; counting violations in a row is the business of
//! [`crate::slot`]. On the way of a datapoint there is only addition, multiplication, division,
//! square root and bits, which every machine computes alike.

pub mod absence;
pub mod baseline;
pub mod chart;
pub mod clock;
pub mod count;
pub mod flapping;
pub mod known;
pub mod level;
pub mod peers;
pub mod scale;
pub mod season;
pub mod silence;
pub mod tolerance;
pub mod verdict;
mod words;

use std::fmt;

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

use self::{
    absence::Absence,
    baseline::Baseline,
    clock::Clock,
    count::{CountModel, Counts},
    flapping::Flapping,
    known::KnownSet,
    peers::{Peers, Prior},
    scale::Scale,
    season::Season,
    silence::Silence,
    verdict::Verdict,
};
use crate::{
    criterion::ValueKind,
    limit::{Limit, LimitSource},
};

/// A judgement that AWS has no criterion for.
#[derive(Clone, Debug, PartialEq)]
pub enum Learned {
    /// A number against its own usual level.
    Baseline(Baseline),
    /// A count against its own usual rate.
    Counts(Counts),
    /// Values against those that are known.
    Known(KnownSet),
    /// A metric that is no longer heard of.
    Silence(Silence),
    /// A disconnect that no reconnect follows.
    Absence(Absence),
    /// Sessions that begin and end again and again.
    Flapping(Flapping),
    /// A clock that is wrong.
    Clock(Clock),
}

/// What the limit of a learned judgement was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearnedFrom {
    /// The usual level, at all hours.
    Level,
    /// The usual level at this hour of the day.
    HourOfDay,
    /// The usual level at this hour of the week.
    HourOfWeek,
    /// The usual rate.
    Rate,
    /// The usual gaps between signs of life.
    Habit,
    /// The values known so far; the limit is their number.
    KnownValues,
    /// The values that the thing's group is known for.
    GroupValues,
    /// The values that the fleet is known for.
    FleetValues,
}

impl Learned {
    /// Words of state that an entity needs.
    #[must_use]
    pub const fn words(&self) -> usize {
        match self {
            Self::Baseline(rule) => rule.words(),
            Self::Counts(_) => Counts::WORDS,
            Self::Known(rule) => rule.words(),
            Self::Silence(rule) => rule.words(),
            Self::Absence(_) => Absence::WORDS,
            Self::Flapping(_) => Flapping::WORDS,
            Self::Clock(_) => Clock::WORDS,
        }
    }

    /// The key used in profiles.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Baseline(_) => "baseline",
            Self::Counts(_) => "counts",
            Self::Known(_) => "learn",
            Self::Silence(_) => "silence",
            Self::Absence(_) => "absence",
            Self::Flapping(_) => "flapping",
            Self::Clock(_) => "clock",
        }
    }

    /// Whether it judges values of this kind. Silence hears of all.
    #[must_use]
    pub const fn takes(&self, kind: ValueKind) -> bool {
        match self {
            Self::Baseline(_) | Self::Counts(_) | Self::Clock(_) => matches!(kind, ValueKind::Number),
            Self::Known(_) => !matches!(kind, ValueKind::Number),
            Self::Silence(_) => true,
            Self::Absence(_) | Self::Flapping(_) => false,
        }
    }

    /// Whether it judges the absence of something: then there is nothing to say of times in which
    /// nobody could see.
    #[must_use]
    pub const fn is_of_absence(&self) -> bool {
        match self {
            Self::Silence(_) | Self::Absence(_) => true,
            Self::Baseline(rule) => !matches!(rule.direction, chart::Direction::Above),
            Self::Counts(_) | Self::Known(_) | Self::Flapping(_) | Self::Clock(_) => false,
        }
    }

    /// Whose level stands in for the entity's own in the window at `start`, because that is still learnt.
    #[must_use]
    #[inline]
    pub fn warm_up(&self, words: &[u32], start: Timestamp) -> Option<Peers> {
        match self {
            Self::Baseline(rule) => rule.warm_up.filter(|_| rule.is_learning(words, start)),
            _ => None,
        }
    }

    /// The value above which the window at `start` violates, whatever else comes. `prior` is that of
    /// [`Learned::warm_up`].
    #[must_use]
    #[inline]
    pub fn bound_above(&self, words: &[u32], start: Timestamp, prior: Option<&Prior>) -> Option<f64> {
        match self {
            Self::Baseline(rule) => rule.bound_above(words, start, prior),
            Self::Counts(rule) => rule.bound_above(words),
            Self::Known(_) | Self::Silence(_) | Self::Absence(_) | Self::Flapping(_) | Self::Clock(_) => None,
        }
    }

    /// Judges a number: the datapoint of the window that began at `start`, or an observation then;
    /// and says the value that was judged (of a clock its offset).
    pub fn number(
        &self,
        words: &mut [u32],
        start: Timestamp,
        value: f64,
        in_alarm: bool,
        prior: Option<&Prior>,
    ) -> Option<(f64, Verdict)> {
        match self {
            Self::Baseline(rule) => Some((value, rule.judge(words, start, value, in_alarm, prior))),
            Self::Counts(rule) => Some((value, rule.judge(words, value, in_alarm))),
            Self::Clock(rule) => Some(rule.observe(words, start, value)),
            Self::Known(_) | Self::Silence(_) | Self::Absence(_) | Self::Flapping(_) => None,
        }
    }

    /// Judges what time alone changes, as of `now`; and says the value that was judged.
    pub fn passed(
        &self,
        words: &mut [u32],
        now: Timestamp,
        blind_until: Timestamp,
    ) -> Option<(f64, Verdict)> {
        match self {
            Self::Silence(rule) => rule.judge(words, now, blind_until),
            Self::Absence(rule) => rule.judge(words, now, blind_until),
            Self::Flapping(rule) => Some(rule.judge(words, now)),
            Self::Baseline(_) | Self::Counts(_) | Self::Known(_) | Self::Clock(_) => None,
        }
    }

    /// What a value was compared with. `value` decides which side the limit is on.
    #[must_use]
    pub fn limit(&self, value: f64, verdict: Verdict) -> Limit {
        let source = match self {
            Self::Baseline(rule) => LimitSource::Learned {
                from: match rule.season {
                    Season::None => LearnedFrom::Level,
                    Season::Day => LearnedFrom::HourOfDay,
                    Season::Week => LearnedFrom::HourOfWeek,
                },
            },
            Self::Counts(_) => LimitSource::Learned { from: LearnedFrom::Rate },
            Self::Known(rule) => LimitSource::Learned {
                from: match rule.of {
                    None => LearnedFrom::KnownValues,
                    Some(Peers::Group) => LearnedFrom::GroupValues,
                    Some(Peers::Fleet) => LearnedFrom::FleetValues,
                },
            },
            Self::Silence(Silence::Habit(_)) => LimitSource::Learned { from: LearnedFrom::Habit },
            Self::Silence(Silence::Fixed(_)) | Self::Absence(_) | Self::Flapping(_) | Self::Clock(_) => {
                LimitSource::Fixed
            }
        };
        match (self, verdict) {
            (_, Verdict::Learning) => Limit::unbounded(source),
            (Self::Clock(_), Verdict::Usual { limit } | Verdict::Unusual { limit }) => {
                Limit { low: -limit, high: limit, source }
            }
            (Self::Known(_), Verdict::Usual { limit } | Verdict::Unusual { limit }) => {
                Limit::one_sided(true, limit, source)
            }
            (_, Verdict::Usual { limit }) => Limit::one_sided(value <= limit, limit, source),
            (_, Verdict::Unusual { limit }) => Limit::one_sided(value > limit, limit, source),
        }
    }
}

/// The whole rule in a fixed form: what a fingerprint is taken of, and what people read as what
/// is expected.
impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline(rule) => baseline_text(f, rule),
            Self::Counts(rule) => {
                let model = match rule.model {
                    CountModel::Poisson => "poisson",
                    CountModel::NegativeBinomial => "negative-binomial",
                };
                let (rate, learn, memory) = (rule.rate, rule.learn, rule.memory);
                write!(f, "usual {model} rate, {rate} false alarms, learns {learn} of {memory} windows")?;
                if rule.learn_in_alarm { Ok(()) } else { f.write_str(", not in alarm") }
            }
            Self::Known(rule) => known_text(f, rule),
            Self::Silence(Silence::Fixed(secs)) => write!(f, "heard of within {secs} s"),
            Self::Silence(Silence::Habit(habit)) => {
                let (rate, learn, least) = (habit.rate, habit.learn, habit.at_least);
                write!(f, "heard of as usual, {rate} false alarms, learns {learn} h, at least {least} s")
            }
            Self::Absence(rule) => {
                let reasons: Vec<&str> = rule.after.names().collect();
                write!(f, "back within {} s after {}", rule.grace_secs, reasons.join(", "))
            }
            Self::Flapping(rule) => {
                let Flapping { period_secs, most, calm } = rule;
                write!(f, "at most {most} session changes in {period_secs} s, calm at {calm}")
            }
            Self::Clock(rule) => {
                let unit = if rule.millis { "ms" } else { "s" };
                write!(f, "clock ({unit}) within {} s", rule.offset_secs)?;
                rule.drift_ppm.map_or(Ok(()), |ppm| write!(f, ", drift within {ppm} ppm"))
            }
        }
    }
}

fn baseline_text(f: &mut fmt::Formatter<'_>, rule: &Baseline) -> fmt::Result {
    let season = match rule.season {
        Season::None => "level",
        Season::Day => "hour of the day",
        Season::Week => "hour of the week",
    };
    let side = match rule.direction {
        chart::Direction::Above => "not above",
        chart::Direction::Below => "not below",
        chart::Direction::Both => "near",
    };
    let (chart, rate) = (rule.chart.name(), rule.rate);
    write!(f, "{side} the usual {season} ({chart}), {rate} false alarms, ")?;
    write!(f, "learns {} datapoints, remembers {}", rule.learn, rule.memory)?;
    if let Scale::Linear { resolution } = rule.scale {
        write!(f, ", resolution {resolution}")?;
    }
    if rule.ignore_below > f64::NEG_INFINITY {
        write!(f, ", ignores below {}", rule.ignore_below)?;
    }
    if let Some(peers) = rule.warm_up {
        write!(f, ", until then that of its {}", peers.name())?;
    }
    if rule.learn_in_alarm { Ok(()) } else { f.write_str(", not in alarm") }
}

fn known_text(f: &mut fmt::Formatter<'_>, rule: &KnownSet) -> fmt::Result {
    let KnownSet { learn_secs, learn_observations, capacity, remember, v4_prefix, v6_prefix, .. } = rule;
    write!(f, "known values, learnt in {learn_secs} s and {learn_observations} observations, ")?;
    write!(f, "at most {capacity}, prefixes {v4_prefix} and {v6_prefix}")?;
    if let Some(levels) = rule.topic_levels {
        write!(f, ", {levels} topic levels")?;
    }
    if let Some(peers) = rule.of {
        write!(f, ", of the whole {}", peers.name())?;
    }
    f.write_str(if *remember { ", each new one once" } else { ", new ones always" })
}
