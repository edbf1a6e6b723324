//! How often a threshold is passed, also one that nothing has passed yet.
//!
//! What counts is what the detector counts: alarms. Exceedances of one thing in windows that follow
//! each other are one alarm (runs declustering with run length 1; Coles, "An Introduction to
//! Statistical Modeling of Extreme Values", 2001, section 5.3.2), because one compliant datapoint
//! ends it.
//!
//! Peaks over a high value `u` are modeled by the generalized Pareto distribution (Pickands 1975;
//! Davison and Smith 1990): of `k` runs over `u` in an exposure `m` (device-months), the rate over
//! `t > u` is `(k / m) (1 + xi (t - u) / sigma)^(-1 / xi)`, for `xi = 0`
//! `(k / m) exp(-(t - u) / sigma)` (Coles, section 4.3.3). `xi` and `sigma` come from probability
//! weighted moments (Hosking and Wallis, Technometrics 29, 1987): with `a0` the mean of the
//! excesses and `a1` that of `x (1 - p)`, `p_i = (i - 0.35) / k`,
//! `xi = 2 - a0 / (a0 - 2 a1)`, `sigma = 2 a0 a1 / (a0 - 2 a1)`. A negative `xi`, a tail that ends,
//! is taken as 0: what was not seen yet is not taken for impossible.

/// Largest values of a metric that are kept; smaller ones are only counted.
pub const TOP_MAX: usize = 20_000;
/// Runs that the model is fitted to, if there are as many.
pub const PEAKS_WANTED: usize = 100;
/// Runs below which nothing is fitted.
pub const PEAKS_MIN: usize = 30;
/// Samples of the parametric bootstrap.
const BOOTSTRAPS: usize = 200;

/// One of the largest datapoints.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Point {
    /// Value.
    pub value: f64,
    /// Number of the thing.
    pub thing: u32,
    /// Number of the window.
    pub window: i64,
}

/// Runs of windows in which things were over `threshold`, as the largest value of each. `points`
/// are in order of thing and window.
#[must_use]
pub fn runs_over(points: &[Point], threshold: f64) -> Vec<f64> {
    let mut runs: Vec<f64> = Vec::new();
    let mut last: Option<(u32, i64)> = None;
    for point in points.iter().filter(|point| point.value > threshold) {
        let follows = last.is_some_and(|(thing, window)| thing == point.thing && point.window - window <= 1);
        match runs.last_mut() {
            Some(peak) if follows => *peak = peak.max(point.value),
            _ => runs.push(point.value),
        }
        last = Some((point.thing, point.window));
    }
    runs
}

/// A fitted tail: rates are alarms by device and month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The value over which it is fitted.
    pub over: f64,
    /// Rate of runs over it.
    pub rate_over: f64,
    /// Shape; 0 is exponential, larger is heavier.
    pub xi: f64,
    /// Scale, in the metric's unit.
    pub sigma: f64,
    /// Runs that it is fitted to.
    pub peaks: usize,
}

impl Tail {
    /// Fits the tail over `over` to the peaks of runs, in an exposure of so many device-months.
    /// Nothing if all peaks are the same.
    #[must_use]
    pub fn fit(over: f64, peaks: &[f64], device_months: f64) -> Option<Self> {
        let mut excesses: Vec<f64> = peaks.iter().map(|peak| peak - over).collect();
        excesses.sort_by(f64::total_cmp);
        let (xi, sigma) = moments(&excesses)?;
        let peaks = excesses.len();
        Some(Self { over, rate_over: peaks as f64 / device_months, xi, sigma, peaks })
    }

    /// Alarms by device and month over `threshold`, which is not below [`Tail::over`].
    #[must_use]
    pub fn rate(&self, threshold: f64) -> f64 {
        let scaled = ((threshold - self.over) / self.sigma).max(0.0);
        if self.xi < 1e-9 {
            return self.rate_over * (-scaled).exp();
        }
        self.rate_over * self.xi.mul_add(scaled, 1.0).powf(-1.0 / self.xi)
    }

    /// The threshold that is passed `rate` times by device and month.
    #[must_use]
    pub fn threshold(&self, rate: f64) -> f64 {
        let ratio = (self.rate_over / rate).max(1.0);
        let scaled = if self.xi < 1e-9 { ratio.ln() } else { (ratio.powf(self.xi) - 1.0) / self.xi };
        self.sigma.mul_add(scaled, self.over)
    }

    /// What the rate over `threshold` may be with 95 % confidence: of 200 samples drawn
    /// from the fitted tail with a fixed seed, their number Poisson-like about its mean, each
    /// fitted anew, the 95th percentile.
    #[must_use]
    pub fn rate_upper(&self, threshold: f64) -> f64 {
        let mut random = Random(0x5eed);
        let mut rates: Vec<f64> = (0..BOOTSTRAPS)
            .filter_map(|_| {
                let number = random.poisson(self.peaks as f64);
                let mut excesses: Vec<f64> = (0..number).map(|_| self.excess(random.unit())).collect();
                excesses.sort_by(f64::total_cmp);
                let (xi, sigma) = moments(&excesses)?;
                let rate_over = self.rate_over * number as f64 / self.peaks as f64;
                Some(Self { xi, sigma, rate_over, ..*self }.rate(threshold))
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() * 95 / 100).copied().unwrap_or(f64::INFINITY).max(self.rate(threshold))
    }

    /// The excess that a share `survival` of all is over.
    fn excess(&self, survival: f64) -> f64 {
        if self.xi < 1e-9 {
            -self.sigma * survival.ln()
        } else {
            self.sigma * (survival.powf(-self.xi) - 1.0) / self.xi
        }
    }
}

/// Shape and scale from rising excesses by probability weighted moments.
fn moments(excesses: &[f64]) -> Option<(f64, f64)> {
    let number = excesses.len() as f64;
    let (mut a0, mut a1) = (0.0, 0.0);
    for (index, excess) in excesses.iter().enumerate() {
        a0 += excess / number;
        a1 += excess * (1.0 - (index as f64 + 0.65) / number) / number;
    }
    let spread = a0 - 2.0 * a1;
    if excesses.len() < 2 || a0 <= 0.0 || spread.is_nan() || spread <= 0.0 {
        return None;
    }
    let xi = 2.0 - a0 / spread;
    if xi <= 0.0 {
        return Some((0.0, a0));
    }
    Some((xi, 2.0 * a0 * a1 / spread))
}

/// The rate that so many events in an exposure stay below with 95 % confidence: the upper end of
/// the exact one-sided interval of a Poisson count (Garwood, Biometrika 28, 1936). For no event that
/// is 3.0, the "rule of three".
#[must_use]
pub fn poisson_upper(events: usize, exposure: f64) -> f64 {
    let events = events as f64;
    let (mut low, mut high) = (events, events + 10.0 + 5.0 * (events + 1.0).sqrt());
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if at_most(events, middle) > 0.05 { low = middle } else { high = middle }
    }
    high / exposure
}

/// Probability of at most `events` where `mean` are expected.
fn at_most(events: f64, mean: f64) -> f64 {
    // Summed from the largest term down, so that nothing is lost to e^-mean.
    let log_last = events * mean.ln() - mean - log_factorial(events);
    let (mut sum, mut term, mut n) = (0.0, 1.0, events);
    while n >= 0.0 && term > 1e-16 * sum {
        sum += term;
        term *= n / mean;
        n -= 1.0;
    }
    (log_last + f64::ln(sum)).exp().min(1.0)
}

/// Natural logarithm of `n!`: exact sums below 30, Stirling's series (three terms) above.
fn log_factorial(n: f64) -> f64 {
    if n < 30.0 {
        let mut sum = 0.0;
        let mut k = 2.0;
        while k <= n {
            sum += f64::ln(k);
            k += 1.0;
        }
        return sum;
    }
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3));
    (n + 0.5) * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, seeded, the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }

    /// A Poisson count by waiting times, at least 2 so that something can be fitted.
    fn poisson(&mut self, mean: f64) -> usize {
        let (mut number, mut sum) = (0, 0.0);
        loop {
            sum -= self.unit().ln();
            if sum > mean {
                return number.max(2);
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(u32, i64, f64)]) -> Vec<Point> {
        values.iter().map(|&(thing, window, value)| Point { value, thing, window }).collect()
    }

    #[test]
    fn exceedances_in_a_row_are_one_alarm() {
        let data = points(&[(0, 1, 5.0), (0, 2, 9.0), (0, 4, 7.0), (1, 5, 6.0), (1, 6, 1.0), (1, 7, 8.0)]);
        assert_eq!(runs_over(&data, 4.0), [9.0, 7.0, 6.0, 8.0]);
        assert_eq!(runs_over(&data, 5.0), [9.0, 7.0, 6.0, 8.0], "equal is not over");
        assert_eq!(runs_over(&data, 8.0), [9.0]);
        assert_eq!(runs_over(&data, 9.0), [] as [f64; 0]);
    }

    /// Exact values of the chi-square quantiles: half of the 95 % point with 2 (n + 1) degrees of freedom.
    #[test]
    fn upper_bounds_of_counts_are_those_of_the_tables() {
        let table =
            [(0, 2.9957), (1, 4.7439), (5, 10.5130), (10, 16.9622), (100, 118.0793), (1000, 1053.6031)];
        for (events, upper) in table {
            let found = poisson_upper(events, 1.0);
            assert!((found - upper).abs() < 2e-4 * upper, "{events}: {found} {upper}");
        }
        assert!((poisson_upper(0, 10.0) - 0.29957).abs() < 1e-4);
    }

    /// Excesses at evenly spread quantiles of a known tail: the fit finds it again.
    #[test]
    fn the_fit_finds_a_known_tail() {
        for (xi, sigma) in [(0.0, 10.0), (0.2, 5.0), (0.4, 100.0)] {
            let known = Tail { over: 50.0, rate_over: 1.0, xi, sigma, peaks: 0 };
            let number = 5_000;
            let peaks: Vec<f64> =
                (0..number).map(|i| 50.0 + known.excess((f64::from(i) + 0.5) / f64::from(number))).collect();
            let fitted = Tail::fit(50.0, &peaks, 100.0).unwrap();
            assert!((fitted.xi - xi).abs() < 0.03 && (fitted.sigma / sigma - 1.0).abs() < 0.05, "{fitted:?}");
            assert!((fitted.rate_over - 50.0).abs() < 1e-9);
            // Threshold and rate are each other's inverse, past the data as well.
            for rate in [10.0, 0.1, 0.001] {
                let back = fitted.rate(fitted.threshold(rate));
                assert!((back / rate - 1.0).abs() < 1e-9, "{back} {rate}");
            }
            let threshold = fitted.threshold(0.1);
            assert!(fitted.rate_upper(threshold) >= 0.1);
            assert!((fitted.rate_upper(threshold) - fitted.rate_upper(threshold)).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn a_tail_that_seems_to_end_is_taken_as_exponential_and_none_is_made_of_one_value() {
        let uniform: Vec<f64> = (1..=100).map(f64::from).collect();
        let fitted = Tail::fit(0.0, &uniform, 1.0).unwrap();
        assert!(fitted.xi.abs() < f64::EPSILON && (fitted.sigma - 50.5).abs() < 1e-9);
        assert_eq!(Tail::fit(0.0, &[5.0; 40], 1.0).map(|t| t.xi), Some(0.0));
        assert_eq!(Tail::fit(5.0, &[5.0; 40], 1.0), None);
        assert_eq!(Tail::fit(0.0, &[], 1.0), None);
    }

    /// Of many simulated fleets, the thresholds learnt from a hundredth of the exposure that the
    /// target asks for hold the target on the average, within the factor stated in the documentation.
    #[test]
    fn thresholds_beyond_the_data_hold_their_rate_on_simulated_tails() {
        let mut random = Random(7);
        for (xi, name) in [(0.0, "exponential"), (0.2, "heavy")] {
            let truth = Tail { over: 0.0, rate_over: 100.0, xi, sigma: 10.0, peaks: 0 };
            let mut ratios: Vec<f64> = (0..300)
                .filter_map(|_| {
                    let peaks: Vec<f64> = (0..100).map(|_| truth.excess(random.unit())).collect();
                    let fitted = Tail::fit(0.0, &peaks, 1.0)?;
                    Some(truth.rate(fitted.threshold(0.1)) / 0.1)
                })
                .collect();
            ratios.sort_by(f64::total_cmp);
            let (median, worst) = (ratios[150], ratios[285]);
            assert!((0.2..=3.0).contains(&median), "{name}: median {median}");
            assert!(worst < 40.0, "{name}: 95th percentile {worst}");
        }
    }
}
