//! How often a value comes that was never seen: for sets of ports and addresses.
//!
//! The unit is a day of a device. Of `n` such units, `q1` values were seen in exactly one: the
//! expected number of new values in a further unit is about `q1 / n` (Good, Biometrika 40, 1953;
//! for lists of values by unit: Chao et al., Ecology 90, 2009, the sample coverage of incidence data).

use std::collections::BTreeMap;

/// Distinct values that are kept; a device that has more is not described by a list.
pub const VALUES_MAX: usize = 4_096;

/// A day of a device.
pub type DeviceDay = (u32, i64);

/// Values, and in how many units each was seen.
#[derive(Clone, Debug)]
pub struct Novelty<T> {
    /// The unit in which it was first seen, and whether it was seen in another.
    seen: BTreeMap<T, (DeviceDay, bool)>,
    overflowed: bool,
}

impl<T> Default for Novelty<T> {
    fn default() -> Self {
        Self { seen: BTreeMap::new(), overflowed: false }
    }
}

impl<T: Ord + Copy> Novelty<T> {
    /// Takes a value seen in `unit`.
    pub fn see(&mut self, value: T, unit: DeviceDay) {
        if let Some((first, again)) = self.seen.get_mut(&value) {
            *again |= *first != unit;
        } else if self.seen.len() < VALUES_MAX {
            self.seen.insert(value, (unit, false));
        } else {
            self.overflowed = true;
        }
    }

    /// The values in order; nothing if there were too many.
    #[must_use]
    pub fn values(&self) -> Option<Vec<T>> {
        (!self.overflowed).then(|| self.seen.keys().copied().collect())
    }

    /// Values seen in exactly one unit.
    #[must_use]
    pub fn once(&self) -> usize {
        self.seen.values().filter(|(_, again)| !again).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_by_device_and_day() {
        let mut novelty = Novelty::default();
        for (value, unit) in
            [(22, (0, 1)), (22, (0, 1)), (443, (0, 1)), (443, (1, 1)), (80, (0, 1)), (80, (0, 2))]
        {
            novelty.see(value, unit);
        }
        assert_eq!((novelty.values(), novelty.once()), (Some(vec![22, 80, 443]), 1));
        for value in 0..=u32::try_from(VALUES_MAX).unwrap() {
            novelty.see(value, (0, 3));
        }
        assert_eq!(novelty.values(), None, "too many for a list");
    }
}
