//! What a series is a series of, and days.

use fleet::time::Timestamp;

use crate::wire::{Cursor, put_bytes, put_uvarint};

/// A day, milliseconds.
pub const DAY_MS: i64 = 86_400_000;

/// What values are of, besides the thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Metric, such as `aws:num-messages-sent`.
    pub metric: Box<str>,
    /// Dimension as its producer writes it; empty for none.
    pub dimension: Box<str>,
    /// How the window's observations became a value, such as `sum` or `max`.
    pub aggregate: Box<str>,
    /// Length of the windows, seconds.
    pub window_secs: u32,
}

impl Key {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.metric.as_bytes());
        put_bytes(out, self.dimension.as_bytes());
        put_bytes(out, self.aggregate.as_bytes());
        put_uvarint(out, u64::from(self.window_secs));
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let (metric, dimension, aggregate) =
            (cursor.text()?.into(), cursor.text()?.into(), cursor.text()?.into());
        Some(Self { metric, dimension, aggregate, window_secs: cursor.u32()? })
    }
}

/// The day since 1970-01-01 (UTC) that a window's end belongs to.
#[must_use]
pub const fn day_of(end: Timestamp) -> i64 {
    end.millis().div_euclid(DAY_MS)
}

/// A day as `YYYY-MM-DD`.
#[must_use]
pub fn day_name(day: i64) -> String {
    let text = Timestamp::from_millis(day.saturating_mul(DAY_MS)).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_ends_at_midnight_belongs_to_the_day_that_begins() {
        let midnight = Timestamp::from_millis(1_767_225_600_000);
        assert_eq!(day_name(day_of(midnight)), "2026-01-01");
        assert_eq!(day_name(day_of(midnight.plus_millis(-1))), "2025-12-31");
        assert_eq!(day_name(day_of(Timestamp::from_millis(-1))), "1969-12-31");
    }
}
