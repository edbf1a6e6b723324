//! The percentiles that `statisticalThreshold` knows.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A percentile by its AWS name (`device-defender-detect.md`, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Statistic {
    /// INVARIANT: an index of [`TABLE`].
    index: u8,
}

/// Names, and parts in ten thousand.
const TABLE: [(&str, u16); 11] = [
    ("p0", 0),
    ("p0.1", 10),
    ("p0.01", 1),
    ("p1", 100),
    ("p10", 1_000),
    ("p50", 5_000),
    ("p90", 9_000),
    ("p99", 9_900),
    ("p99.9", 9_990),
    ("p99.99", 9_999),
    ("p100", 10_000),
];

/// A name that is no percentile of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStatistic(pub String);

impl fmt::Display for UnknownStatistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
        write!(f, "unknown statistic `{}`; allowed are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownStatistic {}

impl Statistic {
    /// All of them, in the order of the API model.
    #[must_use]
    pub fn all() -> [Self; TABLE.len()] {
        std::array::from_fn(|index| Self { index: u8::try_from(index).unwrap_or(0) })
    }

    const fn row(self) -> (&'static str, u16) {
        // INVARIANT of `index`; the first row stands for what cannot be.
        let at = self.index as usize;
        #[expect(clippy::indexing_slicing, reason = "the index is checked right here")]
        if at < TABLE.len() { TABLE[at] } else { TABLE[0] }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The percentile in parts of ten thousand: `p99.9` is 9990.
    #[must_use]
    pub const fn parts(self) -> u16 {
        self.row().1
    }

    /// Nearest rank, from 1, in `population` values: the smallest rank such that at least this part
    /// of the values has it or a lower one; p0 is the smallest value. 0 if there are no values.
    /// (Hyndman and Fan, "Sample quantiles in statistical packages", 1996, definition 1.)
    #[must_use]
    pub fn rank(self, population: u64) -> u64 {
        let exact = u128::from(population) * u128::from(self.parts());
        u64::try_from(exact.div_ceil(10_000)).unwrap_or(u64::MAX).max(1).min(population)
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Statistic> for &'static str {
    fn from(statistic: Statistic) -> Self {
        statistic.name()
    }
}

impl TryFrom<String> for Statistic {
    type Error = UnknownStatistic;

    fn try_from(text: String) -> Result<Self, UnknownStatistic> {
        text.parse()
    }
}

impl FromStr for Statistic {
    type Err = UnknownStatistic;

    fn from_str(text: &str) -> Result<Self, UnknownStatistic> {
        let found = Self::all().into_iter().find(|statistic| statistic.name() == text);
        found.ok_or_else(|| UnknownStatistic(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_hand() {
        let check = |name: &str, population: u64, expected: u64| {
            let statistic: Statistic = name.parse().unwrap();
            assert_eq!(statistic.rank(population), expected, "{name} of {population}");
        };
        for (name, rank) in
            [("p0", 1), ("p1", 1), ("p10", 1), ("p50", 5), ("p90", 9), ("p99", 10), ("p100", 10)]
        {
            check(name, 10, rank);
        }
        check("p50", 11, 6);
        check("p99", 100, 99);
        check("p99", 101, 100);
        check("p99.9", 1_000, 999);
        check("p99.99", 1_000, 1_000);
        check("p0.01", 10_000, 1);
        check("p0.01", 10_001, 2);
        check("p0.1", 10_000, 10);
        check("p50", 1, 1);
        check("p50", 0, 0);
        check("p100", u64::MAX, u64::MAX);
    }

    #[test]
    fn names_go_there_and_back() {
        for statistic in Statistic::all() {
            assert_eq!(statistic.name().parse(), Ok(statistic));
        }
        let error = "p95".parse::<Statistic>().unwrap_err();
        assert!(error.to_string().starts_with("unknown statistic `p95`; allowed are p0, p0.1"));
    }
}
