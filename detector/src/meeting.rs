//! Where all shards put together what they gathered of the fleet, before any of them judges by it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use behaviors::{limit::LimitSource, sketch::Distribution, statistic::Statistic};

/// The values of one window by behavior (its fingerprint), gathered by one shard or by all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gathered(BTreeMap<u64, (Statistic, Distribution)>);

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
        let entry = self.0.entry(fingerprint).or_insert_with(|| (statistic, Distribution::default()));
        entry.1.add(value);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (fingerprint, (statistic, values)) in other.0 {
            match self.0.get_mut(&fingerprint) {
                Some((_, own)) => own.merge(&values),
                None => {
                    self.0.insert(fingerprint, (statistic, values));
                }
            }
        }
    }

    pub(crate) fn limits(&self) -> FleetLimits {
        let limit = |(&fingerprint, (statistic, values)): (&u64, &(Statistic, Distribution))| {
            let bound = values.percentile(*statistic)?;
            let source = LimitSource::Percentile { statistic: *statistic, population: values.population() };
            Some((fingerprint, FleetLimit { bound, source }))
        };
        self.0.iter().filter_map(limit).collect()
    }
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
    limits: Arc<FleetLimits>,
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
    pub(crate) fn meet(&self, gathered: Gathered) -> Option<Arc<FleetLimits>> {
        let mut state = self.state();
        state.gathered.merge(gathered);
        state.here += 1;
        if state.here == self.shards {
            state.here = 0;
            state.meetings += 1;
            state.limits = Arc::new(std::mem::take(&mut state.gathered).limits());
            self.over.notify_all();
            return Some(Arc::clone(&state.limits));
        }
        // The limits stay until the last one has them: without it there is no next meeting.
        let this = state.meetings;
        while state.meetings == this && !state.broken {
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (state.meetings != this).then(|| Arc::clone(&state.limits))
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
                        meeting.meet(gathered).unwrap()[&1]
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
            move || meeting.meet(Gathered::default())
        });
        drop(other);
        assert_eq!(waiting.join().unwrap(), None);
    }
}
