//! When a series of deviations is no longer chance: single outliers, and small shifts that last.

use statrs::distribution::{ContinuousCDF, Normal};

/// How deviations from the usual level are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Chart {
    /// Each on its own (Shewhart, "Economic Control of Quality of Manufactured Product", 1931):
    /// alarms when `|z| > k`. Finds what is large at once, and never what is small.
    Outlier,
    /// Cumulative sums (Page, "Continuous inspection schemes", Biometrika 41, 1954):
    /// `S = max(0, S + z - 1/2)` and the same downwards, alarms when `S > h`. The half is best for
    /// shifts of one spread.
    Cusum,
    /// Exponentially weighted moving average (Roberts, "Control chart tests based on geometric
    /// moving averages", Technometrics 1, 1959): `E += (z - E)/10`, alarms when
    /// `|E| > L sqrt(0.1/1.9)`. Best for shifts of about one spread, and less of them.
    Ewma,
}

/// Which side of the usual level alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Too much.
    #[default]
    Above,
    /// Too little.
    Below,
    /// Either.
    Both,
}

impl Direction {
    pub(super) const fn above(self) -> bool {
        matches!(self, Self::Above | Self::Both)
    }

    pub(super) const fn below(self) -> bool {
        matches!(self, Self::Below | Self::Both)
    }
}

/// Reference value of the cumulative sums: half the shift that they find fastest.
pub(super) const REFERENCE: f32 = 0.5;
/// Weight of the newest deviation in the moving average.
pub(super) const WEIGHT: f32 = 0.1;
/// Both charts take a deviation for at most so many spreads (Lucas and Crosier, "Robust CUSUM",
/// Communications in Statistics 11, 1982): no single value alarms, and tails do not add up.
pub(super) const WINSOR: f32 = 3.0;

impl Chart {
    /// The word used in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outlier => "outlier",
            Self::Cusum => "cusum",
            Self::Ewma => "ewma",
        }
    }

    /// The limit (`k`, `h` or `L sqrt(0.1/1.9)`) that independent normal deviations pass once in
    /// `1 / rate` datapoints: by the normal tail; by Siegmund's corrected diffusion approximation
    /// (Siegmund, "Sequential Analysis", 1985, chapter X), `ARL = 2 (e^b - b - 1)` with `b = h + 1.166`;
    /// by the Markov chain of Brook and Evans (Biometrika 59, 1972).
    #[must_use]
    pub fn limit(self, rate: f64, direction: Direction) -> f32 {
        let sides = if direction == Direction::Both { 2.0 } else { 1.0 };
        let limit = match self {
            Self::Outlier => Normal::standard().inverse_cdf(1.0 - rate / sides),
            Self::Cusum => bisect(0.1, 40.0, |h| {
                let b = h + 1.166;
                2.0 * (b.exp() - b - 1.0) > sides / rate
            }),
            Self::Ewma => {
                let widest = f64::from(WINSOR) * 0.95;
                bisect(0.1, widest, |limit| ewma_run(limit, direction) > 1.0 / rate)
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "a limit of a few units")]
        let limit = limit as f32;
        // Libraries differ in the last bits of logarithms; what they compute here must not.
        (limit * 4096.0).round() / 4096.0
    }
}

/// The smallest argument for which `enough` holds, between two; it must hold from there on.
fn bisect(mut low: f64, mut high: f64, enough: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Mean number of datapoints until the moving average of standard normal deviations passes
/// `limit`, by a Markov chain of its place: with `Q` the chain of the places within the limits,
/// the run length `n` solves `(I - Q) n = 1`. One-sided averages are held at -`limit`.
fn ewma_run(limit: f64, direction: Direction) -> f64 {
    const STATES: usize = 61;
    let normal = Normal::standard();
    let weight = f64::from(WEIGHT);
    let width = 2.0 * limit / STATES as f64;
    let middle = |state: usize| (state as f64 + 0.5).mul_add(width, -limit);
    let reach = |edge: f64, from: f64| normal.cdf((edge - (1.0 - weight) * from) / weight);
    let mut rows: Vec<Vec<f64>> = (0..STATES)
        .map(|from| {
            let place = middle(from);
            (0..STATES)
                .map(|to| {
                    let upper = reach(middle(to) + width / 2.0, place);
                    let held = direction != Direction::Both && to == 0;
                    let lower = if held { 0.0 } else { reach(middle(to) - width / 2.0, place) };
                    f64::from(u8::from(from == to)) - (upper - lower)
                })
                .chain([1.0])
                .collect()
        })
        .collect();
    solve(&mut rows);
    rows.get(STATES / 2).and_then(|row| row.last()).copied().unwrap_or(0.0)
}

/// Gauss and Jordan on rows that end with their right side. `I - Q` needs no pivots: its diagonal
/// is the largest of each row.
fn solve(rows: &mut [Vec<f64>]) {
    for step in 0..rows.len() {
        let (before, rest) = rows.split_at_mut(step);
        let Some((row, after)) = rest.split_first_mut() else { return };
        let pivot = row.get(step).copied().unwrap_or(1.0);
        row.iter_mut().for_each(|cell| *cell /= pivot);
        for other in before.iter_mut().chain(after) {
            let factor = other.get(step).copied().unwrap_or(0.0);
            for (cell, own) in other.iter_mut().zip(row.iter()) {
                *cell -= factor * own;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_literature() {
        let near = |found: f32, expected: f32, within: f32| {
            assert!((found - expected).abs() < within, "{found} {expected}");
        };
        // The normal tail beyond 3: 0.00135; both: 0.0027.
        near(Chart::Outlier.limit(0.001_349_9, Direction::Above), 3.0, 0.001);
        near(Chart::Outlier.limit(0.002_699_8, Direction::Both), 3.0, 0.001);
        // Montgomery, "Introduction to Statistical Quality Control": two-sided, k = 1/2: h = 5 has 465.
        near(Chart::Cusum.limit(1.0 / 465.0, Direction::Both), 5.0, 0.02);
        near(Chart::Cusum.limit(1.0 / 168.0, Direction::Both), 4.0, 0.03);
        // Lucas and Saccucci, Technometrics 32 (1990): weight 0.1, L = 2.814 has 500.
        let scale = (0.1_f32 / 1.9).sqrt();
        near(Chart::Ewma.limit(1.0 / 500.0, Direction::Both) / scale, 2.814, 0.02);
        assert!(Chart::Ewma.limit(1e-6, Direction::Above) < WINSOR);
    }
}
