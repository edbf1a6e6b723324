//! The time of the story: it runs ahead of the wall clock, and waits for what is unfinished.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use datasets::fleet_sim::START_MILLIS;
use fleet::time::Timestamp;

/// What time it is in the story. Whoever stamps an event reads it here.
#[derive(Clone, Debug)]
pub(super) struct StoryClock(Arc<AtomicI64>);

impl StoryClock {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START_MILLIS)))
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// Milliseconds since the story began.
    pub(super) fn elapsed_millis(&self) -> u64 {
        Self::elapsed_at(self.now())
    }

    /// Milliseconds from the beginning of the story to `at`.
    pub(super) fn elapsed_at(at: Timestamp) -> u64 {
        u64::try_from(at.millis().saturating_sub(START_MILLIS)).unwrap_or(0)
    }

    /// Moves on to `elapsed_millis` since the beginning; never back.
    pub(super) fn advance(&self, elapsed_millis: u64) {
        let to = START_MILLIS.saturating_add(i64::try_from(elapsed_millis).unwrap_or(i64::MAX));
        self.0.fetch_max(to, Ordering::Relaxed);
    }
}

/// What has begun and is not finished, by the time of the story at which it began.
///
/// The story goes on only if nothing in it lags far behind. So a slow machine tells the same
/// story more slowly, and what answers a deed comes before the next deed on every run.
/// Bounded by the players: each line of a device, each batch of events and each response has
/// a few tickets at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Unfinished(Arc<Mutex<BTreeMap<u64, usize>>>);

impl Unfinished {
    pub(super) fn begin(&self, elapsed_millis: u64) -> Ticket {
        *self.lock().entry(elapsed_millis).or_default() += 1;
        Ticket { unfinished: self.clone(), elapsed_millis }
    }

    /// When the oldest unfinished thing began.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.lock().first_key_value().map(|(at, _)| *at)
    }

    fn end(&self, elapsed_millis: u64) {
        let mut begun = self.lock();
        if let Some(count) = begun.get_mut(&elapsed_millis) {
            *count -= 1;
            if *count == 0 {
                begun.remove(&elapsed_millis);
            }
        }
    }

    /// A count is changed by one statement: a panic elsewhere cannot leave it half changed.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something unfinished; dropping it finishes it.
#[derive(Debug)]
pub(super) struct Ticket {
    unfinished: Unfinished,
    elapsed_millis: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.unfinished.end(self.elapsed_millis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let clock = StoryClock::new();
        assert_eq!(clock.now().millis(), START_MILLIS);
        clock.advance(500);
        clock.advance(400);
        assert_eq!(clock.elapsed_millis(), 500);
    }

    #[test]
    fn the_oldest_ticket_counts_until_all_of_its_time_are_done() {
        let unfinished = Unfinished::default();
        let first = unfinished.begin(10);
        let second = unfinished.begin(10);
        let third = unfinished.begin(20);
        drop(first);
        assert_eq!(unfinished.oldest(), Some(10));
        drop(second);
        assert_eq!(unfinished.oldest(), Some(20));
        drop(third);
        assert_eq!(unfinished.oldest(), None);
    }
}
