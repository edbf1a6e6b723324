//! Receipts on their way back to the sources.

use std::collections::BTreeMap;

use tokio::sync::mpsc::{Sender, error::TrySendError};

use crate::input::{Receipt, SourceId};

/// Receipts that wait for a source at most. One that does not take them loses the newest: what
/// they stand for stays unacknowledged, comes again, and is recognized as a repeated delivery.
const WAITING_MAX: usize = 65_536;

/// Receipts by source.
#[derive(Debug, Default)]
pub(crate) struct Receipts(BTreeMap<SourceId, Way>);

#[derive(Debug)]
struct Way {
    sender: Sender<Vec<Receipt>>,
    /// Not committed yet.
    pending: Vec<Receipt>,
    /// Committed, not taken yet.
    waiting: Vec<Receipt>,
}

impl Receipts {
    pub(crate) fn register(&mut self, source: SourceId, sender: Sender<Vec<Receipt>>) {
        self.0.insert(source, Way { sender, pending: Vec::new(), waiting: Vec::new() });
    }

    pub(crate) fn add(&mut self, source: SourceId, receipt: Receipt) {
        if let Some(way) = self.0.get_mut(&source) {
            way.pending.push(receipt);
        }
    }

    /// Sends what was added. To be called only after the commit. Returns how many were lost.
    pub(crate) fn send(&mut self) -> u64 {
        let mut lost = 0;
        self.0.retain(|_, way| {
            let room = WAITING_MAX.saturating_sub(way.waiting.len());
            lost += way.pending.len().saturating_sub(room) as u64;
            way.waiting.extend(way.pending.drain(..).take(room));
            if way.waiting.is_empty() {
                return !way.sender.is_closed();
            }
            match way.sender.try_send(std::mem::take(&mut way.waiting)) {
                Ok(()) => true,
                Err(TrySendError::Full(waiting)) => {
                    way.waiting = waiting;
                    true
                }
                Err(TrySendError::Closed(_)) => false,
            }
        });
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Outcome;
    use tokio::sync::mpsc;

    #[test]
    fn a_source_that_takes_nothing_loses_the_newest_and_stops_nobody() {
        let (slow, mut slow_receipts) = mpsc::channel(1);
        let (quick, mut quick_receipts) = mpsc::channel(8);
        let mut receipts = Receipts::default();
        receipts.register(SourceId(1), slow);
        receipts.register(SourceId(2), quick);
        let receipt = |tag| Receipt { tag, outcome: Outcome::Irrelevant };
        receipts.add(SourceId(1), receipt(0));
        assert_eq!(receipts.send(), 0);
        for tag in 0..=WAITING_MAX as u64 {
            receipts.add(SourceId(1), receipt(tag));
        }
        receipts.add(SourceId(2), receipt(7));
        assert_eq!(receipts.send(), 1);
        assert_eq!(quick_receipts.try_recv().unwrap(), [receipt(7)]);
        assert_eq!(slow_receipts.try_recv().unwrap(), [receipt(0)]);
        assert_eq!(receipts.send(), 0);
        assert_eq!(slow_receipts.try_recv().unwrap().len(), WAITING_MAX);
        drop(quick_receipts);
        assert_eq!(receipts.send(), 0);
        assert_eq!(receipts.0.len(), 1, "a source that is gone is forgotten");
    }
}
