//! Numbers as reports write them.

/// A number of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// A whole number, written as one.
    Whole(u64),
    /// Everything else: negative, with fraction or exponent, or 2^64 and above.
    /// Infinite when too large for a double.
    Double(f64),
}

impl Number {
    /// The value as a double.
    pub(super) fn double(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "custom metrics are doubles")]
            Self::Whole(number) => number as f64,
            Self::Double(number) => number,
        }
    }

    /// The value as a whole number, if it is one in range.
    pub(super) fn whole(self) -> Option<u64> {
        /// 2^64, the first whole number that is out of range.
        const END: f64 = 18_446_744_073_709_551_616.0;
        match self {
            Self::Whole(number) => Some(number),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and in range, as checked"
            )]
            Self::Double(number) if number.fract() == 0.0 && (0.0..END).contains(&number) => {
                Some(number as u64)
            }
            Self::Double(_) => None,
        }
    }
}

/// Reads a number at the start of `bytes` by the grammar of JSON; gives it and what follows.
#[inline(always)]
pub(super) fn parse(bytes: &[u8]) -> Option<(Number, &[u8])> {
    match eight(bytes) {
        Some((value, len @ 1..8)) => whole(bytes, value, len),
        Some((high, 8)) => match bytes.get(8..).and_then(eight) {
            Some((low, len @ 0..8)) => whole(bytes, high * TENS.get(len)? + low, 8 + len),
            _ => one_by_one(bytes),
        },
        _ => one_by_one(bytes),
    }
}

/// A number that begins with `len` digits, of the value `value`.
#[inline(always)]
fn whole(bytes: &[u8], value: u64, len: usize) -> Option<(Number, &[u8])> {
    let rest = bytes.get(len..)?;
    match (bytes, rest) {
        ([b'0', ..], _) if len > 1 => None,
        (_, [b'.' | b'e' | b'E', ..]) => general(bytes),
        _ => Some((Number::Whole(value), rest)),
    }
}

const TENS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// The value and number of the digits that `bytes` begins with, eight at most; nothing of what is
/// shorter than eight bytes.
#[inline(always)]
pub(super) fn eight(bytes: &[u8]) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(*bytes.first_chunk()?);
    // The lowest mark is exact: below it nothing carries or borrows.
    let others = (word.wrapping_add(ONES * 0x46) | word.wrapping_sub(ONES * u64::from(b'0'))) & (ONES * 0x80);
    let len = others.trailing_zeros() as usize / 8;
    Some((value_of(word, len), len))
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// The value of the first `len` bytes of `word`, which are digits, the lowest byte first: pairs of
/// digits, then pairs of pairs, then both halves at once.
#[inline(always)]
pub(super) const fn value_of(word: u64, len: usize) -> u64 {
    // By no more than 63 at a time, so that no digit at all is 0.
    #[expect(clippy::cast_possible_truncation, reason = "at most eight")]
    let unused = 8 * (8 - len as u32);
    let digits = ((word & (ONES * 0x0f)) << (unused / 2)) << (unused / 2);
    let pairs = digits.wrapping_mul(10) + (digits >> 8);
    const LOW: u64 = 0x0000_00ff_0000_00ff;
    let high = (pairs & LOW).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & LOW).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// As [`parse`], digit by digit.
fn one_by_one(bytes: &[u8]) -> Option<(Number, &[u8])> {
    /// So many digits cannot exceed a `u64`.
    const DIGITS_MAX: usize = 19;
    let mut rest = bytes;
    let mut value = 0_u64;
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        // More than 19 digits may wrap; they take the general way below.
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        rest = tail;
    }
    let digits = bytes.len() - rest.len();
    let plain = digits > 0 && digits <= DIGITS_MAX && !matches!(rest, [b'.' | b'e' | b'E', ..]);
    match bytes {
        [b'0', b'0'..=b'9', ..] => None,
        _ if plain => Some((Number::Whole(value), rest)),
        _ => general(bytes),
    }
}

/// The grammar in full, for what [`parse`] has no short way for.
#[cold]
fn general(bytes: &[u8]) -> Option<(Number, &[u8])> {
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let mut rest = match unsigned {
        [b'0', tail @ ..] => tail,
        _ => digits(unsigned)?,
    };
    let whole = rest.len();
    if let [b'.', tail @ ..] = rest {
        rest = digits(tail)?;
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        rest = match tail {
            [b'+' | b'-', tail @ ..] => digits(tail)?,
            _ => digits(tail)?,
        };
    }
    let token = std::str::from_utf8(bytes.get(..bytes.len() - rest.len())?).ok()?;
    let number = match token.parse() {
        Ok(number) if rest.len() == whole => Number::Whole(number),
        _ => Number::Double(token.parse().ok()?),
    };
    Some((number, rest))
}

/// What follows one or more digits.
fn digits(bytes: &[u8]) -> Option<&[u8]> {
    let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.get(count..).filter(|_| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_grammar_of_json_and_no_more() {
        use Number::{Double, Whole};
        let cases: &[(&str, Option<(Number, &str)>)] = &[
            ("0", Some((Whole(0), ""))),
            ("-0", Some((Double(-0.0), ""))),
            ("22,", Some((Whole(22), ","))),
            ("18446744073709551615", Some((Whole(u64::MAX), ""))),
            ("18446744073709551616", Some((Double(18_446_744_073_709_551_616.0), ""))),
            ("9999999999999999999", Some((Whole(9_999_999_999_999_999_999), ""))),
            ("100000000000000000000000000", Some((Double(1e26), ""))),
            ("1e+15", Some((Double(1e15), ""))),
            ("-7.5E-1x", Some((Double(-0.75), "x"))),
            ("1.0", Some((Double(1.0), ""))),
            ("1e999", Some((Double(f64::INFINITY), ""))),
            ("01", None),
            ("-01", Some((Double(-0.0), "1"))),
            ("", None),
            ("-", None),
            ("+1", None),
            (".5", None),
            ("1.", None),
            ("1e", None),
            ("1e+", None),
            ("NaN", None),
        ];
        for (text, expected) in cases {
            let found = parse(text.as_bytes());
            assert_eq!(found, expected.map(|(number, rest)| (number, rest.as_bytes())), "{text}");
        }
    }

    #[test]
    fn many_digits_at_once_are_the_same_number() {
        for len in 1..=21_usize {
            for first in ["1", "9", "10", "0"] {
                let digits: String =
                    first.chars().chain("2345678901234567890123".chars()).take(len).collect();
                for tail in
                    ["", ",", "}         ", ".5        ", "e2  ", "\u{ff}\u{ff}\u{ff}\u{ff}", "/:;//////"]
                {
                    let text = format!("{digits}{tail}");
                    assert_eq!(parse(text.as_bytes()), one_by_one(text.as_bytes()), "{text}");
                }
            }
        }
        assert!((0..=8_u32).all(|len| value_of(u64::from_le_bytes(*b"98765432"), len as usize)
            == 98_765_432 / 10_u64.pow(8 - len)));
    }

    #[test]
    fn whole_numbers_are_taken_from_doubles_only_where_exact() {
        let cases = [
            (1e15, Some(1_000_000_000_000_000)),
            (-0.0, Some(0)),
            (18_446_744_073_709_549_568.0, Some(18_446_744_073_709_549_568)),
            (18_446_744_073_709_551_616.0, None),
            (-1.0, None),
            (0.5, None),
            (f64::INFINITY, None),
            (f64::NAN, None),
        ];
        for (double, whole) in cases {
            assert_eq!(Number::Double(double).whole(), whole, "{double}");
        }
    }
}
