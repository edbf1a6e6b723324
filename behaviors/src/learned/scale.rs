//! The scale on which a metric is compared with itself.

/// How a metric's values are laid out before levels and spreads are taken.
///
/// Counts, bytes and times vary by factors: they go on a logarithmic scale, in octaves. Numbers
/// that vary by differences (a temperature) stay as they are, in units of a resolution.
///
/// The logarithm is the piecewise linear one of Mitchell, "Computer multiplication and division
/// using binary logarithms", IRE Trans. Electronic Computers EC-11 (1962): exponent plus
/// mantissa. It is monotone, has an exact inverse, lies within 0.086 of the true one and needs no
/// library function, so that every machine computes the same bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Octaves: `log2(1 + |x|)`, with the sign of `x`.
    Log,
    /// `x / resolution`: differences smaller than the resolution mean nothing.
    Linear {
        /// In the metric's unit, above 0.
        resolution: f64,
    },
}

const ONE: u64 = 1.0_f64.to_bits();
const MANTISSA: f64 = (1_u64 << 52) as f64;

impl Scale {
    /// Smallest spread that is believed: what varies less is taken to vary so much. In steps of
    /// the scale: a twentieth of an octave (3.5 %), one resolution.
    #[must_use]
    pub const fn floor(self) -> f32 {
        match self {
            Self::Log => 0.05,
            Self::Linear { .. } => 1.0,
        }
    }

    /// Spread that is assumed before there is any: half an octave, ten resolutions.
    #[must_use]
    pub const fn start(self) -> f32 {
        match self {
            Self::Log => 0.5,
            Self::Linear { .. } => 10.0,
        }
    }

    /// Grid steps that hours are kept in, for one step of the scale: 32 an octave, one a resolution.
    pub(super) const fn grid(self) -> f32 {
        match self {
            Self::Log => 32.0,
            Self::Linear { .. } => 1.0,
        }
    }

    /// The place of a value on the scale.
    #[must_use]
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "24 bits are enough for a place on the scale")]
    pub fn place(self, value: f64) -> f32 {
        match self {
            Self::Log => {
                let bits = (1.0 + value.abs()).to_bits().saturating_sub(ONE);
                ((bits as f64 / MANTISSA) as f32).copysign(value as f32)
            }
            Self::Linear { resolution } => (value / resolution) as f32,
        }
    }

    /// The value at a place of the scale.
    #[must_use]
    pub fn value(self, place: f32) -> f64 {
        match self {
            Self::Log => {
                // No value lies further out than 1,023 octaves.
                let octaves = f64::from(place.abs()).min(1_023.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most 1,023 times 2^52"
                )]
                let bits = (octaves * MANTISSA) as u64;
                (f64::from_bits(ONE + bits) - 1.0).copysign(f64::from(place))
            }
            Self::Linear { resolution } => f64::from(place) * resolution,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn octaves() {
        for (value, place) in [(0.0, 0.0), (1.0, 1.0), (2.0, 1.5), (3.0, 2.0), (7.0, 3.0), (-3.0, -2.0)] {
            assert_eq!(Scale::Log.place(value), place);
            assert_eq!(Scale::Log.value(place), value);
        }
        assert_eq!(Scale::Log.value(f32::INFINITY), 2.0_f64.powi(1023) - 1.0);
        assert_eq!(Scale::Linear { resolution: 0.5 }.place(20.0), 40.0);
    }

    proptest! {
        #[test]
        fn the_scale_is_monotone_near_the_logarithm_and_turns_back(a in -1e12..1e12_f64, b in -1e12..1e12_f64) {
            let place = |value| Scale::Log.place(value);
            prop_assert!(a > b || place(a) <= place(b));
            let log = (1.0 + a.abs()).log2();
            prop_assert!((f64::from(place(a).abs()) - log).abs() < 0.0862);
            let back = Scale::Log.value(place(a));
            prop_assert!((back - a).abs() <= (1.0 + a.abs()) * 4e-6);
        }
    }
}
