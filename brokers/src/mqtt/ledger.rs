//! Messages that were handed to the engine and wait for their receipt.
//!
//! MQTT wants acknowledgements in the order of the messages (3.1.1 section 4.6), and a
//! message may be acknowledged only once the journal has it. Bounded by the caller, who
//! stops reading when [`Ledger::len`] reaches its limit.

use std::collections::{HashMap, VecDeque};

use super::answers::Asked;

/// One message under way.
#[derive(Debug)]
struct Entry {
    /// Packet id to acknowledge on the present connection.
    ack: Option<u16>,
    /// Packet id on any connection of this session, to know a redelivery.
    packet: Option<u16>,
    /// Hash of topic and payload.
    identity: u64,
    asked: Option<Asked>,
    settled: bool,
}

/// A message as it arrived.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Packet id; none with QoS 0.
    pub(crate) packet: Option<u16>,
    /// The broker says that it was delivered before.
    pub(crate) dup: bool,
    /// Hash of topic and payload.
    pub(crate) identity: u64,
    /// Who wants an answer.
    pub(crate) asked: Option<Asked>,
}

/// What became of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// New: hand it on with this tag.
    New(u64),
    /// A redelivery of a message that is still under way: nothing to hand on.
    Joined,
}

/// Messages under way, oldest first. Tags count up from 1.
#[derive(Debug)]
pub(crate) struct Ledger {
    first: u64,
    entries: VecDeque<Entry>,
    /// Tags of entries whose acknowledgement was lost with the connection, by packet id.
    orphans: HashMap<u16, u64>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { first: 1, entries: VecDeque::new(), orphans: HashMap::new() }
    }

    /// Messages without receipt, or with one that waits for an older message.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Enters a message.
    pub(crate) fn take(&mut self, arrival: Arrival) -> Taken {
        if self.join(&arrival) {
            return Taken::Joined;
        }
        let Arrival { packet, identity, asked, .. } = arrival;
        let tag = self.first + self.entries.len() as u64;
        self.entries.push_back(Entry { ack: packet, packet, identity, asked, settled: false });
        Taken::New(tag)
    }

    /// Takes up the acknowledgement of an orphan if `arrival` is its redelivery.
    fn join(&mut self, arrival: &Arrival) -> bool {
        let Some(packet) = arrival.packet else { return false };
        // Even a message that is not the orphan's ends the orphan's claim on the packet id.
        let Some(tag) = self.orphans.remove(&packet) else { return false };
        match self.entry(tag) {
            Some(entry) if arrival.dup && entry.identity == arrival.identity => {
                entry.ack = Some(packet);
                entry.packet = Some(packet);
                true
            }
            _ => false,
        }
    }

    /// Notes the receipt of `tag` and returns who asked for an answer. `None` if no such message waits.
    pub(crate) fn settle(&mut self, tag: u64) -> Option<Option<Asked>> {
        let entry = self.entry(tag).filter(|entry| !entry.settled)?;
        entry.settled = true;
        Some(entry.asked.take())
    }

    /// The next packet id that may be acknowledged, in order.
    pub(crate) fn next_ack(&mut self) -> Option<u16> {
        while self.entries.front().is_some_and(|entry| entry.settled) {
            self.first += 1;
            if let Some(packet) = self.entries.pop_front().and_then(|entry| entry.ack) {
                return Some(packet);
            }
        }
        None
    }

    /// The connection is gone: what is not acknowledged will come again, if the broker keeps the session.
    pub(crate) fn lost(&mut self) {
        self.orphans.clear();
        for (tag, entry) in (self.first..).zip(&mut self.entries) {
            entry.ack = None;
            if let Some(packet) = entry.packet {
                self.orphans.insert(packet, tag);
            }
        }
    }

    /// The broker did not keep the session: packet ids mean nothing anymore.
    pub(crate) fn session_gone(&mut self) {
        self.orphans.clear();
        for entry in &mut self.entries {
            entry.ack = None;
            entry.packet = None;
        }
    }

    fn entry(&mut self, tag: u64) -> Option<&mut Entry> {
        let at = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(packet: u16, dup: bool, identity: u64) -> Arrival {
        Arrival { packet: (packet > 0).then_some(packet), dup, identity, asked: None }
    }

    fn acks(ledger: &mut Ledger) -> Vec<u16> {
        std::iter::from_fn(|| ledger.next_ack()).collect()
    }

    #[test]
    fn acknowledges_in_order_of_arrival_whatever_the_order_of_receipts() {
        let mut ledger = Ledger::new();
        for (packet, tag) in [(7, 1), (0, 2), (8, 3)] {
            assert_eq!(ledger.take(message(packet, false, 0)), Taken::New(tag));
        }
        assert_eq!(ledger.settle(3), Some(None));
        assert!(acks(&mut ledger).is_empty());
        assert_eq!(ledger.settle(1), Some(None));
        assert_eq!(acks(&mut ledger), [7]);
        assert_eq!(ledger.settle(2), Some(None));
        assert_eq!(acks(&mut ledger), [8]);
        assert_eq!((ledger.len(), ledger.settle(3), ledger.settle(99)), (0, None, None));
    }

    #[test]
    fn a_redelivery_joins_the_message_that_is_still_under_way() {
        let mut ledger = Ledger::new();
        ledger.take(message(7, false, 70));
        ledger.take(message(8, false, 80));
        ledger.lost();
        assert_eq!(ledger.take(message(7, true, 70)), Taken::Joined);
        assert_eq!(
            ledger.take(message(8, true, 81)),
            Taken::New(3),
            "another message under the same packet id"
        );
        for tag in 1..=3 {
            ledger.settle(tag);
        }
        assert_eq!(acks(&mut ledger), [7, 8]);
    }

    #[test]
    fn nothing_of_an_old_connection_is_acknowledged_on_a_new_one() {
        let mut ledger = Ledger::new();
        ledger.take(message(7, false, 70));
        ledger.lost();
        ledger.settle(1);
        assert!(acks(&mut ledger).is_empty());
        ledger.take(message(8, false, 80));
        ledger.session_gone();
        assert_eq!(ledger.take(message(8, true, 80)), Taken::New(3));
    }

    proptest! {
        /// Whatever happens: an acknowledged packet was settled, acknowledgements keep the order
        /// of arrival on one connection, and nothing stays behind once all is settled.
        #[test]
        fn never_acknowledges_too_early(steps in prop::collection::vec((0_u8..4, 0_u64..40), 0..200)) {
            let mut ledger = Ledger::new();
            let (mut next, mut waiting, mut settled) = (1_u16, Vec::new(), std::collections::HashSet::new());
            for (kind, pick) in steps {
                match kind {
                    0 | 1 => {
                        let Taken::New(tag) = ledger.take(message(next, false, 0)) else { unreachable!() };
                        waiting.push((next, tag));
                        next += 1;
                    }
                    2 if !waiting.is_empty() => {
                        let (packet, tag) = waiting[usize::try_from(pick).unwrap() % waiting.len()];
                        ledger.settle(tag);
                        settled.insert(packet);
                        let acks = acks(&mut ledger);
                        prop_assert!(acks.iter().all(|packet| settled.contains(packet)));
                        prop_assert!(acks.is_sorted());
                    }
                    3 => {
                        ledger.lost();
                        ledger.session_gone();
                    }
                    _ => {}
                }
            }
            for (_, tag) in waiting {
                ledger.settle(tag);
            }
            while ledger.next_ack().is_some() {}
            prop_assert_eq!(ledger.len(), 0);
        }
    }
}
