//! What others have learnt, for a thing that has not learnt enough yet: the levels of its group or of
//! the fleet, and sets of values that a whole group is known for.
//!
//! Everything here is put together from parts, in whole numbers and sets, so that the order and the
//! number of the parts change nothing.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ids::GroupName, time::Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    known::{Known, KnownSet},
    verdict::Verdict,
    words::secs,
};

/// Whose past counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peers {
    /// The things of the same group.
    Group,
    /// All things.
    Fleet,
}

/// A group by a hash of its name; 0 is the whole fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerGroup(u64);

impl Peers {
    /// The word used in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Fleet => "fleet",
        }
    }

    /// The peers of a thing of this group. A thing without a group has the fleet for its group.
    #[must_use]
    pub const fn of(self, group: PeerGroup) -> PeerGroup {
        match self {
            Self::Group => group,
            Self::Fleet => PeerGroup::FLEET,
        }
    }
}

impl PeerGroup {
    /// All things.
    pub const FLEET: Self = Self(0);

    /// The things of a group.
    #[must_use]
    pub fn named(name: &GroupName) -> Self {
        Self(xxh3_64(name.as_str().as_bytes()).max(1))
    }
}

/// Things whose levels must be there before they stand for that of another one.
pub const PEERS_MIN: u64 = 8;

/// Steps of a whole number for one step of the scale.
const STEPS: f64 = 1024.0;
/// Furthest place on the scale that counts as such; a million squares of it fit into 128 bits.
const FURTHEST: f64 = (1_u64 << 40) as f64;

/// Levels of several things, put together: sums of whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelSum {
    things: u64,
    mean: i128,
    mean_square: i128,
    spread_square: i128,
    factor: i128,
}

/// What a thing is compared with that has no level of its own yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// Level, on the scale.
    pub mean: f32,
    /// How far a datapoint of a thing that is not known lies from it.
    pub spread: f32,
    /// How much wider than planned the limit is.
    pub factor: f32,
    /// Things that it was taken of.
    pub things: u64,
}

impl LevelSum {
    /// Adds the level of a thing, its spread, and how much wider than planned its limit is.
    pub fn add(&mut self, mean: f32, spread: f32, factor: f32) {
        let (mean, spread) = (whole(mean), whole(spread));
        self.things += 1;
        self.mean += mean;
        self.mean_square += mean * mean;
        self.spread_square += spread * spread;
        self.factor += whole(factor);
    }

    /// Adds what was put together elsewhere.
    pub const fn merge(&mut self, other: &Self) {
        self.things += other.things;
        self.mean += other.mean;
        self.mean_square += other.mean_square;
        self.spread_square += other.spread_square;
        self.factor += other.factor;
    }

    /// Level and spread of a datapoint of any of the things: its variance is the mean of the things'
    /// own variances and the variance of their levels (law of total variance). Nothing of fewer than
    /// [`PEERS_MIN`] things.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "24 bits are enough for a place on the scale")]
    pub fn prior(&self) -> Option<Prior> {
        if self.things < PEERS_MIN {
            return None;
        }
        let things = self.things as f64;
        let mean = self.mean as f64 / things;
        let between = (self.mean_square as f64 / things - mean * mean).max(0.0);
        let within = self.spread_square as f64 / things;
        Some(Prior {
            mean: (mean / STEPS) as f32,
            spread: ((between + within).sqrt() / STEPS) as f32,
            factor: (self.factor as f64 / things / STEPS) as f32,
            things: self.things,
        })
    }
}

fn whole(place: f32) -> i128 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped, and a NaN becomes 0")]
    let steps = (f64::from(place).clamp(-FURTHEST, FURTHEST) * STEPS) as i128;
    steps
}

/// Values that a group is known for, as of the last time that all parts were put together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSet {
    /// Second of the first observation; 0 before.
    first: u32,
    observed: u64,
    /// Hashes, and the second as of which each was seen last.
    values: BTreeMap<u32, u32>,
}

/// What was observed of a group since then, by one part or by all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    first: u32,
    observed: u64,
    /// Known values that were seen.
    seen: BTreeSet<u32>,
    /// Values that are not known: those with the smallest hashes, so that which ones are kept does not
    /// depend on the order of the parts.
    new: BTreeSet<u32>,
    /// There were more.
    overflowed: bool,
}

/// New values that a group may bring between two times of putting together; of more, some are new
/// again next time.
pub const NEWS_MAX: usize = 1_024;

impl GroupSet {
    /// Whether an observation at `at` is still learnt from and not judged.
    fn learns(&self, rule: &KnownSet, at: u32) -> bool {
        self.first == 0
            || self.observed < u64::from(rule.learn_observations)
            || at.saturating_sub(self.first) < rule.learn_secs
    }

    /// Values that it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it knows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Takes in what was observed up to `at`, in a period that began at `since`. Full, it gives up the
    /// values that were not seen for longest. How many it gave up, with one for those that there was no
    /// room to look at.
    pub fn learn(&mut self, rule: &KnownSet, news: &News, since: Timestamp, at: Timestamp) -> u64 {
        let now = secs(at);
        let takes = rule.remember || self.learns(rule, secs(since));
        if self.first == 0 {
            self.first = news.first;
        }
        self.observed = self.observed.saturating_add(news.observed);
        for value in &news.seen {
            if let Some(last) = self.values.get_mut(value) {
                *last = now;
            }
        }
        if !takes {
            return u64::from(news.overflowed);
        }
        self.values.extend(news.new.iter().map(|&value| (value, now)));
        let over = self.values.len().saturating_sub(usize::from(rule.capacity));
        let mut oldest: Vec<(u32, u32)> = self.values.iter().map(|(&value, &last)| (last, value)).collect();
        oldest.sort_unstable();
        for (_, value) in oldest.iter().take(over) {
            self.values.remove(value);
        }
        over as u64 + u64::from(news.overflowed)
    }
}

impl News {
    /// Judges an observation of a thing by what its group knows, and takes note of it.
    pub fn observe(
        &mut self,
        rule: &KnownSet,
        group: Option<&GroupSet>,
        at: Timestamp,
        hashes: impl IntoIterator<Item = u32>,
    ) -> Known {
        let none = GroupSet::default();
        let (group, now) = (group.unwrap_or(&none), secs(at));
        let learning = group.learns(rule, now);
        self.first = if self.first == 0 { now } else { self.first.min(now) };
        self.observed = self.observed.saturating_add(1);
        let mut new = None;
        for (index, hash) in hashes.into_iter().enumerate() {
            if group.values.contains_key(&hash) {
                self.seen.insert(hash);
                continue;
            }
            if !learning {
                new = new.or(Some(index));
            }
            self.new.insert(hash);
        }
        self.bound();
        let limit = group.values.len() as f64;
        let verdict = if learning { Verdict::Learning } else { Verdict::of(new.is_some(), limit) };
        Known { verdict, new, evicted: 0 }
    }

    /// Adds what another part observed.
    pub fn merge(&mut self, other: Self) {
        self.first = match (self.first, other.first) {
            (0, first) | (first, 0) => first,
            (own, other) => own.min(other),
        };
        self.observed = self.observed.saturating_add(other.observed);
        self.seen.extend(other.seen);
        self.new.extend(other.new);
        self.overflowed |= other.overflowed;
        self.bound();
    }

    fn bound(&mut self) {
        while self.new.len() > NEWS_MAX {
            self.new.pop_last();
            self.overflowed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_level_of_peers_has_the_variance_within_and_between_them() {
        let mut sum = LevelSum::default();
        for _ in 0..4 {
            sum.add(9.0, 3.0, 1.0);
            assert_eq!(sum.prior(), None, "fewer than eight");
            sum.add(17.0, 3.0, 2.0);
        }
        let Prior { mean, spread, factor, things } = sum.prior().unwrap();
        // Levels lie 4 from their mean, datapoints 3 from theirs.
        assert_eq!((mean, spread, factor, things), (13.0, 5.0, 1.5, 8));
    }

    #[test]
    fn what_is_not_a_number_or_far_out_breaks_nothing() {
        let mut sum = LevelSum::default();
        for place in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, 1.0, 2.0] {
            sum.add(place, place, 1.0);
        }
        let prior = sum.prior().unwrap();
        assert!(prior.mean.is_finite() && prior.spread.is_finite());
    }

    fn rule() -> KnownSet {
        KnownSet { learn_secs: 60, learn_observations: 2, capacity: 3, ..KnownSet::default() }
    }

    /// Observations of things of one group in periods of 300 s: `10 a b`, or `|` for the end of a period.
    fn check(rule: &KnownSet, steps: &[&str], expected: &str) -> GroupSet {
        let (mut group, mut news, mut said, mut period) =
            (GroupSet::default(), News::default(), Vec::new(), 0);
        for step in steps {
            if *step == "|" {
                let (since, at) = (Timestamp::from_secs(period), Timestamp::from_secs(period + 300));
                group.learn(rule, &std::mem::take(&mut news), since, at);
                period += 300;
                continue;
            }
            let mut parts = step.split(' ');
            let at = Timestamp::from_secs(parts.next().unwrap().parse().unwrap());
            let known = news.observe(rule, Some(&group), at, parts.map(KnownSet::text));
            said.push(match (known.verdict, known.new) {
                (Verdict::Learning, _) => "learns".to_owned(),
                (Verdict::Usual { .. }, None) => "knows".to_owned(),
                (Verdict::Unusual { .. }, Some(new)) => format!("new:{new}"),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(said.join(" "), expected, "{steps:?}");
        group
    }

    #[test]
    fn a_group_learns_together_and_tells_what_none_of_it_had() {
        let steps = ["10 a", "20 b", "|", "310 a", "320 c", "330 a c", "|", "610 c", "620 b"];
        check(&rule(), &steps, "learns learns knows new:0 new:1 knows knows");
        let always = KnownSet { remember: false, ..rule() };
        check(&always, &steps, "learns learns knows new:0 new:1 new:0 knows");
        // Too few observations, or too short.
        check(&rule(), &["10 a", "|", "310 b", "|", "610 c"], "learns learns new:0");
        let long = KnownSet { learn_secs: 500, ..rule() };
        check(&long, &["10 a", "20 a", "|", "310 b", "509 c", "510 d"], "learns learns learns learns new:0");
    }

    #[test]
    fn a_full_group_gives_up_what_was_not_seen_for_longest() {
        let group =
            check(&rule(), &["1 a b c", "2", "|", "301 a c", "|", "601 d", "|"], "learns learns knows new:0");
        let names = ["a", "b", "c", "d"].map(|name| group.values.contains_key(&KnownSet::text(name)));
        assert_eq!((names, group.len()), ([true, false, true, true], 3));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn parts_and_their_order_change_nothing(
            seen in prop::collection::vec((0_u32..100, prop::collection::vec(0_u32..3_000, 0..80)), 0..60),
            levels in prop::collection::vec((-50_f32..50.0, 0_f32..9.0, 1_f32..16.0), 0..60),
            parts in 1_usize..8,
        ) {
            let observe = |news: &mut News, (at, values): &(u32, Vec<u32>)| {
                news.observe(&rule(), None, Timestamp::from_secs(i64::from(*at)), values.iter().copied());
            };
            let (mut whole, mut split) = (News::default(), vec![News::default(); parts]);
            for (index, step) in seen.iter().enumerate() {
                observe(&mut whole, step);
                observe(&mut split[index % parts], step);
            }
            let mut merged = News::default();
            split.into_iter().rev().for_each(|part| merged.merge(part));
            prop_assert_eq!(merged, whole);

            let (mut whole, mut split) = (LevelSum::default(), vec![LevelSum::default(); parts]);
            for (index, &(mean, spread, factor)) in levels.iter().enumerate() {
                whole.add(mean, spread, factor);
                split[index % parts].add(mean, spread, factor);
            }
            let mut merged = LevelSum::default();
            split.iter().rev().for_each(|part| merged.merge(part));
            prop_assert_eq!(merged, whole);
        }
    }
}
