//! Values on their way from the recorder to the history.
//!
//! At most [`ROWS_MAX`] values wait, give or take one batch of the engine. When it is reached the
//! recorder waits, and with it the engine: nothing is lost while the history keeps up with what it
//! is given on the whole. Only while the disk refuses, values that find the queue full are let go and
//! counted, because alarms matter more; these are not asked for again.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use detector::output::Datapoints;

/// Values that wait at most: some 100 bytes each.
pub const ROWS_MAX: usize = 1_000_000;

/// Something for the writer.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A block of values.
    Points(Datapoints),
    /// All blocks up to this record came before.
    Folded(u64),
}

/// The queue. One side pushes, one side takes.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Values in `items`.
    rows: usize,
    /// Whether there is a `Folded` in `items`: something that the writer can take.
    whole: bool,
    failing: bool,
    closed: bool,
    lost: u64,
}

impl Queue {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a block; see the module for what happens when there is no room.
    pub fn push_points(&self, points: Datapoints) {
        let no_room =
            |state: &mut State| state.rows >= ROWS_MAX && state.whole && !state.failing && !state.closed;
        let mut state =
            self.changed.wait_while(self.locked(), no_room).unwrap_or_else(PoisonError::into_inner);
        if state.rows >= ROWS_MAX && state.failing {
            state.lost += points.rows.len() as u64;
            return;
        }
        state.rows += points.rows.len();
        state.items.push_back(Item::Points(points));
    }

    /// Says that all blocks up to a record are in.
    pub fn push_folded(&self, seq: u64) {
        let mut state = self.locked();
        // Most batches bring no values: two in a row say no more than the last.
        if let Some(Item::Folded(last)) = state.items.back_mut() {
            *last = seq.max(*last);
        } else {
            state.items.push_back(Item::Folded(seq));
        }
        state.whole = true;
        self.changed.notify_all();
    }

    /// Everything up to the last [`Item::Folded`]; waits for one. Nothing more once it is closed.
    pub fn take(&self) -> Option<Vec<Item>> {
        let nothing = |state: &mut State| !state.whole && !state.closed;
        let mut state =
            self.changed.wait_while(self.locked(), nothing).unwrap_or_else(PoisonError::into_inner);
        let last = state.items.iter().rposition(|item| matches!(item, Item::Folded(_)))?;
        let items: Vec<Item> = state.items.drain(..=last).collect();
        let rows = |item: &Item| if let Item::Points(points) = item { points.rows.len() } else { 0 };
        state.rows -= items.iter().map(rows).sum::<usize>();
        state.whole = false;
        self.changed.notify_all();
        Some(items)
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.locked().closed = true;
        self.changed.notify_all();
    }

    /// Whether the disk refuses at the moment.
    pub fn failing(&self, failing: bool) {
        self.locked().failing = failing;
        self.changed.notify_all();
    }

    /// Waits, and says whether the queue is closed.
    #[must_use]
    pub fn wait_closed(&self, patience: Duration) -> bool {
        let open = |state: &mut State| !state.closed;
        let waited = self.changed.wait_timeout_while(self.locked(), patience, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Values that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.locked().rows
    }

    /// Values that were let go.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.locked().lost
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use detector::transition::MetricValue;
    use fleet::time::Timestamp;

    use super::*;

    fn points(seq: u64, rows: usize) -> Datapoints {
        Datapoints {
            seq,
            end: Timestamp::from_secs(300),
            secs: 300,
            metric: "m".into(),
            dimension: None,
            aggregate: "sum",
            export: false,
            rows: (0..rows).map(|row| (row.to_string(), MetricValue::Count(1))).collect(),
        }
    }

    #[test]
    fn only_whole_batches_are_taken_and_empty_ones_say_no_more_than_the_last() {
        let queue = Queue::default();
        queue.push_folded(1);
        queue.push_folded(2);
        queue.push_points(points(3, 2));
        assert_eq!(queue.take(), Some(vec![Item::Folded(2)]));
        queue.push_folded(3);
        queue.push_points(points(5, 1));
        assert_eq!(queue.waiting(), 3);
        assert_eq!(queue.take(), Some(vec![Item::Points(points(3, 2)), Item::Folded(3)]));
        queue.close();
        assert_eq!(queue.take(), None, "a batch that never became whole comes again from the journal");
    }

    #[test]
    fn the_recorder_waits_for_room_while_the_writer_can_make_some() {
        let queue = Arc::new(Queue::default());
        queue.push_points(points(1, ROWS_MAX));
        // Nothing to take yet: waiting would be for ever.
        queue.push_points(points(1, 1));
        queue.push_folded(1);
        let pusher = Arc::clone(&queue);
        let waits = thread::spawn(move || pusher.push_points(points(2, 7)));
        assert_eq!(queue.take().map(|items| items.len()), Some(3));
        waits.join().unwrap();
        assert_eq!((queue.waiting(), queue.lost()), (7, 0));
    }

    #[test]
    fn while_the_disk_refuses_what_finds_no_room_is_let_go_and_counted() {
        let queue = Queue::default();
        queue.push_points(points(1, ROWS_MAX - 1));
        queue.push_folded(1);
        queue.failing(true);
        queue.push_points(points(2, 1));
        queue.push_points(points(2, 5));
        queue.push_folded(2);
        assert_eq!((queue.waiting(), queue.lost()), (ROWS_MAX, 5));
        queue.failing(false);
        assert_eq!(queue.take().map(|items| items.len()), Some(4));
        queue.push_points(points(3, 5));
        assert_eq!((queue.waiting(), queue.lost()), (5, 5));
        assert!(!queue.wait_closed(Duration::from_millis(1)));
        queue.close();
        assert!(queue.wait_closed(Duration::from_secs(60)));
    }
}
