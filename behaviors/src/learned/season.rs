//! Level and spread by hour of the day or of the week, two bytes an hour.

use fleet::time::Timestamp;

use super::{
    level::{biweight, clipped},
    words::{dither, put, round, word},
};

/// What a metric repeats with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Season {
    /// Nothing: one level at all hours.
    #[default]
    None,
    /// The hour of the day: 24 cells.
    Day,
    /// The hour of the week: 168 cells.
    Week,
}

impl Season {
    /// Cells, one for each hour.
    #[must_use]
    pub const fn cells(self) -> usize {
        match self {
            Self::None => 0,
            Self::Day => 24,
            Self::Week => 168,
        }
    }

    /// Words that the cells take, two in each.
    #[must_use]
    pub const fn words(self) -> usize {
        self.cells() / 2
    }

    /// Cell of a time, UTC. The week begins on Thursday, as the epoch did.
    pub(super) fn cell(self, at: Timestamp) -> usize {
        let cells = i64::try_from(self.cells()).unwrap_or(1).max(1);
        usize::try_from(at.secs().div_euclid(3600).rem_euclid(cells)).unwrap_or(0)
    }
}

/// Level and spread of one hour, in 16 bits: 11 of level, 5 of spread.
///
/// The level is a whole number of grid steps (a 32nd of an octave, 2.2 %, on the logarithmic scale;
/// a resolution on the linear one) from the first value ever seen, the spread
/// `2^((code - 1) / 3)` of them. Code 0 is an hour that was never seen. Both follow the recursion of
/// [`super::level::Level`] with a fixed gain; what the grid cannot hold is rounded up or down by
/// the time of the window, without bias, so that steps smaller than the grid are not lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    /// Level, in grid steps.
    level: i32,
    spread: u32,
}

/// Third octaves from 1 grid step up to 1,024 of them.
const SPREADS: [f32; 32] = {
    let thirds = [1.0, 1.259_921, 1.587_401];
    let mut all = [0.0; 32];
    let mut code = 1;
    while code < all.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            all[code] = thirds[(code - 1) % 3] * (1_u32 << ((code - 1) / 3)) as f32;
        }
        code += 1;
    }
    all
};
/// Levels are kept from -1,024 to 1,023 grid steps around the center.
const HALF: i32 = 1 << 10;
/// Change of the spread's code for a change of the squared spread by its whole: 3 / (2 ln 2).
const CODES: f32 = 2.164;

impl Cell {
    pub(super) fn read(words: &[u32], cell: usize) -> Option<Self> {
        let bits = word(words, cell / 2) >> (16 * (cell % 2)) & 0xffff;
        let spread = bits >> 11;
        let level = i32::try_from(bits & 0x7ff).unwrap_or(0) - HALF;
        (spread > 0).then_some(Self { level, spread })
    }

    pub(super) fn write(self, words: &mut [u32], cell: usize) {
        let level = u32::try_from(self.level + HALF).unwrap_or(0) & 0x7ff;
        let (bits, shift) = (self.spread << 11 | level, 16 * (cell % 2));
        let others = word(words, cell / 2) & !(0xffff << shift);
        put(words, cell / 2, others | bits << shift);
    }

    /// An hour's first datapoint at `y` grid steps, with a spread taken from elsewhere.
    pub(super) fn first(y: f32, spread: f32) -> Self {
        let code = SPREADS.iter().skip(1).take_while(|&&known| known < spread).count() + 1;
        let spread = u32::try_from(code.min(SPREADS.len() - 1)).unwrap_or(1);
        Self { level: round(y, 0.5).clamp(-HALF, HALF - 1), spread }
    }

    /// Level, in grid steps.
    pub(super) fn level(self) -> f32 {
        self.level as f32
    }

    /// Spread, in grid steps.
    pub(super) fn spread(self) -> f32 {
        SPREADS.get(self.spread as usize).copied().unwrap_or(1.0)
    }

    /// Takes in a datapoint of the window at `at`.
    pub(super) fn learn(&mut self, y: f32, gain: f32, at: Timestamp) {
        let spread = self.spread();
        let r = (y - self.level()) / spread;
        let seed = at.millis().unsigned_abs();
        let step = round(gain * spread * clipped(r), dither(seed));
        self.level = self.level.saturating_add(step).clamp(-HALF, HALF - 1);
        let step = round(CODES * gain * (biweight(r) - 1.0), dither(!seed));
        let code = i64::from(self.spread) + i64::from(step);
        self.spread = u32::try_from(code.clamp(1, 31)).unwrap_or(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_the_week() {
        let cell = |secs| Season::Week.cell(Timestamp::from_secs(secs));
        assert_eq!((cell(0), cell(3_599), cell(3_600), cell(7 * 86_400 - 1)), (0, 0, 1, 167));
        assert_eq!((cell(7 * 86_400), cell(-1)), (0, 167));
        assert_eq!(Season::Day.cell(Timestamp::from_secs(86_400 + 3_600)), 1);
        assert_eq!(Season::None.cell(Timestamp::from_secs(86_400)), 0);
    }

    #[test]
    fn cells_keep_to_themselves() {
        let mut words = [0; 84];
        for cell in 0..168 {
            assert_eq!(Cell::read(&words, cell), None);
            Cell::first(cell as f32 * 5.0 - 400.0, 1.0 + cell as f32).write(&mut words, cell);
        }
        for cell in 0..168 {
            let found = Cell::read(&words, cell).unwrap();
            assert_eq!(found.level(), cell as f32 * 5.0 - 400.0);
            assert!(found.spread() >= 1.0 + cell as f32 && found.spread() < 1.27 * (1.0 + cell as f32));
        }
        let far = Cell::first(f32::INFINITY, f32::INFINITY);
        assert_eq!((far.level(), far.spread()), (1_023.0, SPREADS[31]));
        assert_eq!(Cell::first(f32::NEG_INFINITY, 0.0).level(), -1_024.0);
    }

    #[test]
    fn a_cell_finds_level_and_spread_though_it_is_coarse() {
        use statrs::distribution::{ContinuousCDF, Normal};
        let normal = Normal::standard();
        let mut cell = Cell::first(0.0, 16.0);
        let (mut levels, mut spreads) = (0.0, 0.0);
        for n in 1..=20_000_i64 {
            #[expect(clippy::cast_possible_truncation, reason = "a deviate of a few units")]
            let z = normal.inverse_cdf((n as f64 * 0.618_033_988_749_895).fract()) as f32;
            cell.learn(50.0 + 6.0 * z, 1.0 / 16.0, Timestamp::from_secs(n * 300));
            levels += cell.level() / 20_000.0;
            spreads += cell.spread() / 20_000.0;
        }
        assert!((levels - 50.0).abs() < 1.0, "{levels} {spreads}");
        assert!((spreads - 6.0).abs() < 0.9, "{spreads}");
    }
}
