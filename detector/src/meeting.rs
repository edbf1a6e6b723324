//! Where all shards put together what they gathered of the fleet, before any of them judges by it: the
//! values of a window for percentiles, and what things have learnt for those that are new ([`Pools`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use behaviors::{
    learned::{
        known::KnownSet,
        peers::{GroupSet, LevelSum, News, PeerGroup, Peers, Prior},
    },
    limit::LimitSource,
    set::Compiled,
    sketch::Distribution,
    statistic::Statistic,
};
use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A behavior, by its fingerprint, and a group of things.
pub(crate) type PeerKey = (u64, PeerGroup);

/// Most levels of groups that stand in for those of new things. Of more the ones with the smallest keys
/// are kept, and a thing of another group learns by itself: 100 B each.
pub(crate) const LEVELS_MAX: usize = 65_536;
/// Most sets that groups are known for. Of more the ones with the smallest keys are kept, and the others
/// never end to learn; that is counted with what is forgotten.
pub(crate) const SETS_MAX: usize = 4_096;

/// What things have learnt together, as of the last meeting: the same in every shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pools {
    priors: BTreeMap<PeerKey, Prior>,
    sets: BTreeMap<PeerKey, GroupSet>,
}

impl Pools {
    /// What stands in for the level of a thing: of its group if enough of it have one, else of the fleet.
    pub(crate) fn prior(&self, fingerprint: u64, peers: Peers, group: PeerGroup) -> Option<(Prior, Peers)> {
        let own = peers.of(group);
        let of_group = (own != PeerGroup::FLEET).then(|| self.priors.get(&(fingerprint, own))).flatten();
        let of_group = of_group.map(|&prior| (prior, Peers::Group));
        of_group
            .or_else(|| self.priors.get(&(fingerprint, PeerGroup::FLEET)).map(|&prior| (prior, Peers::Fleet)))
    }

    /// What a group is known for.
    pub(crate) fn set(&self, key: PeerKey) -> Option<&GroupSet> {
        self.sets.get(&key)
    }

    /// Without what belongs to behaviors that are gone.
    pub(crate) fn retain(&mut self, there: impl Fn(u64) -> bool) {
        self.priors.retain(|key, _| there(key.0));
        self.sets.retain(|key, _| there(key.0));
    }

    /// With what was gathered at the end of a period of `secs` seconds; and how many values were let go.
    fn advanced(&self, gathered: &Gathered, at: Timestamp, secs: u32) -> (Self, u64) {
        let mut next = self.clone();
        next.priors.retain(|key, _| !gathered.renewed.contains(&key.0));
        let priors = gathered.levels.iter().filter_map(|(&key, sum)| Some((key, sum.prior()?)));
        next.priors.extend(priors);
        while next.priors.len() > LEVELS_MAX {
            next.priors.pop_last();
        }
        let since = at.plus_millis(-i64::from(secs) * 1000);
        let mut forgotten = 0;
        for (&key, (rule, news)) in &gathered.news.0 {
            if next.sets.len() >= SETS_MAX && !next.sets.contains_key(&key) {
                forgotten += 1;
                continue;
            }
            forgotten += next.sets.entry(key).or_default().learn(rule, news, since, at);
        }
        (next, forgotten)
    }
}

/// What was observed for sets that groups are known for, since the last meeting.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AllNews(BTreeMap<PeerKey, (KnownSet, News)>);

impl AllNews {
    /// Of one set. [`AllNews::bound`] is to be called afterwards.
    pub(crate) fn of(&mut self, key: PeerKey, rule: &KnownSet) -> &mut News {
        &mut self.0.entry(key).or_insert_with(|| (*rule, News::default())).1
    }

    /// Adds what another shard observed.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, (rule, news)) in other.0 {
            self.of(key, &rule).merge(news);
        }
        self.bound();
    }

    /// Lets go what is one too many.
    pub(crate) fn bound(&mut self) {
        while self.0.len() > SETS_MAX {
            self.0.pop_last();
        }
    }

    /// Without what belongs to behaviors that are gone.
    pub(crate) fn retain(&mut self, there: impl Fn(u64) -> bool) {
        self.0.retain(|key, _| there(key.0));
    }

    /// As it is in a snapshot.
    pub(crate) fn save(&self) -> Vec<(PeerKey, News)> {
        self.0.iter().map(|(&key, (_, news))| (key, news.clone())).collect()
    }

    /// What shards had saved, for the behaviors that are there.
    pub(crate) fn restored<'a>(
        saved: impl Iterator<Item = &'a (PeerKey, News)>,
        compiled: &Compiled,
    ) -> Self {
        let rules: BTreeMap<u64, KnownSet> = compiled
            .behaviors()
            .filter_map(|behavior| Some((behavior.fingerprint, *behavior.known_together()?.0)))
            .collect();
        let mut all = Self::default();
        for (key, news) in saved {
            if let Some(rule) = rules.get(&key.0) {
                all.of(*key, rule).merge(news.clone());
            }
        }
        all.bound();
        all
    }
}

/// What one shard gathered, or all: the values of one window by behavior (its fingerprint), the levels
/// of things, and what was new to groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gathered {
    values: BTreeMap<u64, (Statistic, Distribution)>,
    levels: BTreeMap<PeerKey, LevelSum>,
    /// Behaviors whose levels were gathered.
    renewed: BTreeSet<u64>,
    news: AllNews,
}

/// A percentile, and of how many values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FleetLimit {
    pub(crate) bound: f64,
    pub(crate) source: LimitSource,
}

/// What the fleet says of each behavior; nothing where it is too small.
pub(crate) type FleetLimits = BTreeMap<u64, FleetLimit>;

impl Gathered {
    pub(crate) fn add(&mut self, fingerprint: u64, statistic: Statistic, value: f64) {
        let entry = self.values.entry(fingerprint).or_insert_with(|| (statistic, Distribution::default()));
        entry.1.add(value);
    }

    /// Adds the level of a thing of a group, for its group and for the fleet.
    pub(crate) fn add_level(&mut self, fingerprint: u64, group: PeerGroup, add: impl Fn(&mut LevelSum)) {
        add(self.levels.entry((fingerprint, PeerGroup::FLEET)).or_default());
        if group != PeerGroup::FLEET {
            add(self.levels.entry((fingerprint, group)).or_default());
        }
    }

    /// The levels of these behaviors are gathered: those known of them before are out of date.
    pub(crate) fn renews(&mut self, fingerprint: u64) {
        self.renewed.insert(fingerprint);
    }

    /// Adds what was new to groups.
    pub(crate) fn add_news(&mut self, news: AllNews) {
        self.news.merge(news);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (fingerprint, (statistic, values)) in other.values {
            match self.values.get_mut(&fingerprint) {
                Some((_, own)) => own.merge(&values),
                None => {
                    self.values.insert(fingerprint, (statistic, values));
                }
            }
        }
        for (key, sum) in &other.levels {
            self.levels.entry(*key).or_default().merge(sum);
        }
        self.renewed.extend(other.renewed);
        self.news.merge(other.news);
    }

    /// What all know then, who knew `before`, at the end of a period of `secs` seconds.
    pub(crate) fn met(&self, before: &Arc<Pools>, at: Timestamp, secs: u32) -> Met {
        let nothing = self.renewed.is_empty() && self.news.0.is_empty();
        let (pools, forgotten) = if nothing {
            (Arc::clone(before), 0)
        } else {
            let (pools, forgotten) = before.advanced(self, at, secs);
            (Arc::new(pools), forgotten)
        };
        Met { limits: self.limits(), pools, forgotten }
    }

    fn limits(&self) -> FleetLimits {
        let limit = |(&fingerprint, (statistic, values)): (&u64, &(Statistic, Distribution))| {
            let bound = values.percentile(*statistic)?;
            let source = LimitSource::Percentile { statistic: *statistic, population: values.population() };
            Some((fingerprint, FleetLimit { bound, source }))
        };
        self.values.iter().filter_map(limit).collect()
    }
}

/// What all shards know after a meeting.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    pub(crate) limits: FleetLimits,
    pub(crate) pools: Arc<Pools>,
    /// Values that groups gave up.
    pub(crate) forgotten: u64,
}

/// A meeting of the shard threads. All of them come to each meeting, in the same order, because all
/// of them are told of each boundary.
#[derive(Debug)]
pub(crate) struct Meeting {
    shards: usize,
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct State {
    meetings: u64,
    here: usize,
    gathered: Gathered,
    met: Arc<Met>,
    /// A thread is gone: whoever waits for it would wait forever.
    broken: bool,
}

impl Meeting {
    pub(crate) fn new(shards: usize) -> Arc<Self> {
        Arc::new(Self { shards, state: Mutex::default(), over: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what one shard gathered, and waits for the others. Nothing if one of them is gone.
    /// All of them come for the same end of a period, and with the same `before`.
    pub(crate) fn meet(
        &self,
        gathered: Gathered,
        before: &Arc<Pools>,
        (at, secs): (Timestamp, u32),
    ) -> Option<Arc<Met>> {
        let mut state = self.state();
        state.gathered.merge(gathered);
        state.here += 1;
        if state.here == self.shards {
            state.here = 0;
            state.meetings += 1;
            state.met = Arc::new(std::mem::take(&mut state.gathered).met(before, at, secs));
            self.over.notify_all();
            return Some(Arc::clone(&state.met));
        }
        // The limits stay until the last one has them: without it there is no next meeting.
        let this = state.meetings;
        while state.meetings == this && !state.broken {
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (state.meetings != this).then(|| Arc::clone(&state.met))
    }

    /// A shard that leaves, however it ends.
    pub(crate) fn member(self: &Arc<Self>) -> Member {
        Member(Arc::clone(self))
    }
}

/// Frees the others when a shard's thread ends.
#[derive(Debug)]
pub(crate) struct Member(Arc<Meeting>);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.state().broken = true;
        self.0.over.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_get_what_all_brought_each_time() {
        let meeting = Meeting::new(3);
        let statistic: Statistic = "p100".parse().unwrap();
        let threads = (0..3_u32).map(|shard| {
            let meeting = Arc::clone(&meeting);
            std::thread::spawn(move || {
                (0..200_u32)
                    .map(|round| {
                        let mut gathered = Gathered::default();
                        gathered.add(1, statistic, f64::from(round * 10 + shard));
                        meeting.meet(gathered, &Arc::default(), (Timestamp::MIN, 300)).unwrap().limits[&1]
                    })
                    .collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        for thread in threads {
            for (round, limit) in (0..).zip(thread.join().unwrap()) {
                assert_eq!(limit.bound, f64::from(round * 10 + 2));
                assert_eq!(limit.source, LimitSource::Percentile { statistic, population: 3 });
            }
        }
    }

    #[test]
    fn nobody_waits_for_one_that_is_gone() {
        let meeting = Meeting::new(2);
        let other = meeting.member();
        let waiting = std::thread::spawn({
            let meeting = Arc::clone(&meeting);
            move || meeting.meet(Gathered::default(), &Arc::default(), (Timestamp::MIN, 300)).is_none()
        });
        drop(other);
        assert!(waiting.join().unwrap());
    }
}
