//! The order in which one sink gets its alerts. Knows ids and times only; the alerts
//! themselves stay in the store.

use std::collections::{BTreeMap, BTreeSet};

use fleet::time::Timestamp;
use tokio::time::Instant;

use super::Entry;

/// What is known of a waiting alert.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) is_alarm: bool,
    pub(super) enqueued_at: Timestamp,
}

impl Item {
    pub(super) fn new(entry: &Entry) -> Self {
        Self {
            id: entry.alert.id().to_owned(),
            is_alarm: entry.alert.is_alarm(),
            enqueued_at: entry.enqueued_at,
        }
    }
}

/// What a sink's worker does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Deliver this alert.
    Deliver { order: u64, id: String },
    /// Nothing before this time.
    Until(Instant),
    /// Nothing until something changes.
    Idle,
}

/// The alerts of one sink. Bounded by its owner.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: BTreeMap<u64, Item>,
    ids: BTreeSet<String>,
    /// Those not in flight, by the time they are due.
    waiting: BTreeSet<(Instant, u64)>,
    due: BTreeMap<u64, Instant>,
    /// The whole sink rests until then.
    paused_until: Option<Instant>,
    failures: u32,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn insert(&mut self, order: u64, item: Item, due: Instant) {
        self.ids.insert(item.id.clone());
        self.items.insert(order, item);
        self.set_due(order, due);
    }

    fn set_due(&mut self, order: u64, due: Instant) {
        self.waiting.insert((due, order));
        self.due.insert(order, due);
    }

    pub(super) fn remove(&mut self, order: u64) {
        if let Some(item) = self.items.remove(&order) {
            self.ids.remove(&item.id);
        }
        if let Some(due) = self.due.remove(&order) {
            self.waiting.remove(&(due, order));
        }
    }

    /// Takes the next alert that is due, if one may go out.
    pub(super) fn next(&mut self, now: Instant, in_flight_max: usize) -> Next {
        let in_flight = self.items.len() - self.waiting.len();
        let max = if self.failures > 0 { 1 } else { in_flight_max };
        if in_flight >= max {
            return Next::Idle;
        }
        let Some(&(due, order)) = self.waiting.first() else { return Next::Idle };
        let due = self.paused_until.map_or(due, |until| due.max(until));
        if due > now {
            return Next::Until(due);
        }
        self.waiting.pop_first();
        self.due.remove(&order);
        match self.items.get(&order) {
            Some(item) => Next::Deliver { order, id: item.id.clone() },
            None => Next::Idle,
        }
    }

    /// The alert was delivered or given up: the sink works.
    pub(super) fn settled(&mut self, order: u64) {
        self.remove(order);
        self.failures = 0;
        self.paused_until = None;
    }

    /// The alert was given up after a last failure: the sink rests as after any failure.
    pub(super) fn exhausted(&mut self, order: u64, resume: Instant) {
        self.remove(order);
        self.failures = self.failures.saturating_add(1);
        self.paused_until = Some(resume);
    }

    /// The alert is tried again at `due`; the whole sink rests until `resume`.
    pub(super) fn failed(&mut self, order: u64, due: Instant, resume: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.paused_until = Some(resume);
        self.again(order, due);
    }

    /// The alert is tried again at `due`, through no fault of the sink.
    pub(super) fn again(&mut self, order: u64, due: Instant) {
        if self.items.contains_key(&order) {
            self.set_due(order, due);
        }
    }

    /// Up to `count` alerts to give up: the oldest waiting notices, then the oldest waiting
    /// alarms. Those in flight stay.
    pub(super) fn victims(&self, count: usize) -> Vec<(u64, String)> {
        if count == 0 {
            return Vec::new();
        }
        let waiting = |alarms: bool| {
            self.items
                .iter()
                .filter(move |(order, item)| item.is_alarm == alarms && self.due.contains_key(order))
                .map(|(&order, item)| (order, item.id.clone()))
        };
        waiting(false).chain(waiting(true)).take(count).collect()
    }

    /// When the oldest alert entered.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.items.values().next().map(|item| item.enqueued_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn item(id: &str, is_alarm: bool) -> Item {
        Item { id: id.into(), is_alarm, enqueued_at: Timestamp::default() }
    }

    fn order(next: Next) -> Option<u64> {
        match next {
            Next::Deliver { order, .. } => Some(order),
            Next::Until(_) | Next::Idle => None,
        }
    }

    #[test]
    fn first_come_first_served_within_the_bound() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for n in 0..4 {
            queue.insert(n, item(&n.to_string(), true), now);
        }
        assert_eq!(order(queue.next(now, 2)), Some(0));
        assert_eq!(order(queue.next(now, 2)), Some(1));
        assert_eq!(queue.next(now, 2), Next::Idle);
        queue.settled(0);
        assert_eq!(order(queue.next(now, 2)), Some(2));
        assert!(!queue.contains("0") && queue.contains("1"));
    }

    #[test]
    fn a_failure_rests_the_sink_and_then_probes_with_one() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut queue = Queue::default();
        for n in 0..3 {
            queue.insert(n, item(&n.to_string(), true), now);
        }
        assert_eq!(order(queue.next(now, 4)), Some(0));
        queue.failed(0, later + Duration::from_secs(5), later);
        assert_eq!(queue.next(now, 4), Next::Until(later));
        assert_eq!(order(queue.next(later, 4)), Some(1));
        assert_eq!(queue.next(later, 4), Next::Idle);
        queue.settled(1);
        assert_eq!(order(queue.next(later, 4)), Some(2));
        assert_eq!(queue.next(later, 4), Next::Until(later + Duration::from_secs(5)));
    }

    #[test]
    fn notices_make_room_before_alarms_and_flights_never() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for (n, is_alarm) in [true, false, true, false].into_iter().enumerate() {
            queue.insert(n as u64, item(&n.to_string(), is_alarm), now);
        }
        assert_eq!(order(queue.next(now, 4)), Some(0));
        assert_eq!(order(queue.next(now, 4)), Some(1));
        let victims: Vec<u64> = queue.victims(9).into_iter().map(|(order, _)| order).collect();
        assert_eq!(victims, [3, 2]);
        assert_eq!(queue.victims(0), []);
    }

    proptest! {
        /// Whatever happens, each alert is in exactly one place and none is handed out twice.
        #[test]
        fn nothing_is_lost_or_handed_out_twice(steps in proptest::collection::vec(0_u8..5, 0..200)) {
            let mut now = Instant::now();
            let mut queue = Queue::default();
            let mut flying: Vec<u64> = Vec::new();
            let (mut entered, mut left) = (0_u64, 0_usize);
            for step in steps {
                now += Duration::from_millis(10);
                match step {
                    0 | 1 => {
                        queue.insert(entered, item(&entered.to_string(), step == 0), now);
                        entered += 1;
                    }
                    2 => if let Some(order) = order(queue.next(now, 3)) {
                        prop_assert!(!flying.contains(&order));
                        flying.push(order);
                    },
                    3 => if let Some(order) = flying.pop() {
                        queue.settled(order);
                        left += 1;
                    },
                    _ => if let Some(order) = flying.pop() {
                        queue.failed(order, now + Duration::from_millis(15), now + Duration::from_millis(15));
                    },
                }
                prop_assert!(flying.len() <= 3);
                prop_assert_eq!(queue.len() + left, usize::try_from(entered).unwrap());
                prop_assert_eq!(queue.waiting.len() + flying.len(), queue.len());
            }
        }
    }
}
