//! Repeated deliveries: reports by their identity, log lines by their position.
//!
//! A report is repeated for two reasons. The device did not hear from the broker and sends it again,
//! at any later time, but among its own few last ones: [`Rings`], by thing. Or the broker did not
//! hear from us, because we or the connection broke down, and delivers again all that was not
//! acknowledged, be it of one thing or of many: [`Deliveries`], by source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::input::SourceId;

/// Reports of a thing that are remembered: a device sends the next one when it is done with the last.
const RING: usize = 4;

/// Identities of the last reports of each thing that reports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rings(Vec<[u64; RING]>);

impl Rings {
    /// A ring for another thing; nothing when there are too many, so that repeats go unnoticed.
    pub(crate) fn add(&mut self) -> Option<u32> {
        let index = u32::try_from(self.0.len()).ok()?;
        self.0.push([0; RING]);
        Some(index)
    }

    /// Empties a ring for another thing.
    pub(crate) fn reset(&mut self, ring: u32) {
        if let Some(ring) = self.0.get_mut(ring as usize) {
            *ring = [0; RING];
        }
    }

    /// Whether the identity is among the last ones; it is the latest one afterwards.
    pub(crate) fn seen(&mut self, ring: u32, identity: u64) -> bool {
        let Some(ring) = self.0.get_mut(ring as usize) else { return false };
        // 0 marks an empty place.
        let identity = identity.max(1);
        if ring.contains(&identity) {
            return true;
        }
        ring.rotate_right(1);
        if let Some(first) = ring.first_mut() {
            *first = identity;
        }
        false
    }

    /// Whether the identity is among the last ones; changes nothing.
    pub(crate) fn knows(&self, ring: u32, identity: u64) -> bool {
        self.0.get(ring as usize).is_some_and(|ring| ring.contains(&identity.max(1)))
    }

    pub(crate) fn memory(&self) -> usize {
        self.0.capacity() * size_of::<[u64; RING]>()
    }
}

/// The last reports of each source, whatever their things. Bounded by sources and
/// [`super::window::DELIVERIES_MAX`]; the oldest goes.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(BTreeMap<SourceId, Window>);

impl Deliveries {
    /// Whether `source` delivered a report of this identity lately.
    pub(crate) fn knows(&self, source: SourceId, identity: u64) -> bool {
        self.0.get(&source).is_some_and(|window| window.knows(identity))
    }

    pub(crate) fn add(&mut self, source: SourceId, identity: u64) {
        self.0.entry(source).or_default().add(identity);
    }

    /// For a snapshot: the identities of each source, the oldest first.
    pub(crate) fn save(&self) -> Vec<(SourceId, Vec<u64>)> {
        self.0.iter().map(|(source, window)| (*source, window.oldest_first().collect())).collect()
    }

    pub(crate) fn restored(saved: Vec<(SourceId, Vec<u64>)>) -> Self {
        let mut deliveries = Self::default();
        for (source, identities) in saved {
            identities.into_iter().for_each(|identity| deliveries.add(source, identity));
        }
        deliveries
    }

    pub(crate) fn memory(&self) -> usize {
        self.0.values().map(Window::memory).sum()
    }
}

/// How far each source has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Positions(BTreeMap<SourceId, Position>);

/// How far a source has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Position after the last message in the journal.
    pub position: u64,
    /// Identity of the file that the position belongs to, as the source gave it. Empty if it gave none.
    pub identity: Vec<u8>,
}

impl Positions {
    /// The source begins to read the file `identity`. Another file begins at 0.
    pub(crate) fn opened(&mut self, source: SourceId, identity: &[u8]) {
        let own = self.0.entry(source).or_default();
        if own.identity != identity {
            *own = Position { position: 0, identity: identity.to_vec() };
        }
    }

    /// Whether the message has been read before. A source that has not said which file it reads
    /// cannot repeat itself: a smaller position may be another file.
    pub(crate) fn repeated(&self, source: SourceId, position: u64) -> bool {
        position != 0
            && self.0.get(&source).is_some_and(|own| !own.identity.is_empty() && position <= own.position)
    }

    pub(crate) fn read(&mut self, source: SourceId, position: u64) {
        if position != 0 {
            self.0.entry(source).or_default().position = position;
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<SourceId, Position> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::window::DELIVERIES_MAX, *};

    #[test]
    fn the_last_four_reports_are_known() {
        let mut rings = Rings::default();
        let ring = rings.add().unwrap();
        for identity in 1..=5 {
            assert!(!rings.seen(ring, identity));
        }
        for identity in 2..=5 {
            assert!(rings.seen(ring, identity), "{identity}");
        }
        assert!(!rings.seen(ring, 1), "the fifth last is forgotten");
    }

    #[test]
    fn as_many_deliveries_are_known_as_can_be_under_way() {
        let (mut deliveries, source) = (Deliveries::default(), SourceId(1));
        let all = DELIVERIES_MAX as u64 + 1;
        (1..=all).for_each(|identity| deliveries.add(source, identity));
        deliveries.add(source, all);
        let deliveries = Deliveries::restored(deliveries.save());
        assert!((2..=all).all(|identity| deliveries.knows(source, identity)));
        assert!(!deliveries.knows(source, 1), "the oldest is forgotten");
        assert!(!deliveries.knows(SourceId(2), 2), "another source has its own");
    }

    #[test]
    fn positions_repeat_only_within_one_file() {
        let mut positions = Positions::default();
        let source = SourceId(1);
        positions.read(source, 100);
        assert!(!positions.repeated(source, 50), "no file named");
        positions.opened(source, b"a");
        assert!(!positions.repeated(source, 50), "a new file begins at 0");
        positions.read(source, 100);
        positions.opened(source, b"a");
        assert!(positions.repeated(source, 100) && !positions.repeated(source, 101));
        positions.opened(source, b"b");
        assert!(!positions.repeated(source, 1));
        assert!(!positions.repeated(source, 0), "0 is no position");
    }
}
