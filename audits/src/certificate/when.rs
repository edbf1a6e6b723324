//! Times of certificates and CRLs (RFC 5280, section 4.1.2.5) as seconds since 1970.

use super::der::{Fault, Flaw, Node, tag};

/// A time, and what is wrong with its form although it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) seconds: i64,
    pub(crate) fault: Option<Fault>,
}

/// UTCTime `YYMMDDHHMM[SS](Z|+hhmm)` or GeneralizedTime `YYYYMMDDHHMM[SS[.f]](Z|+hhmm)`. DER and
/// RFC 5280 want seconds and `Z`, and the former until 2049; other forms are read with a fault.
pub(crate) fn time(node: Node<'_>, field: &'static str) -> Result<Read, Fault> {
    let long = match node.tag {
        tag::UTC_TIME => false,
        tag::GENERALIZED_TIME => true,
        found => return Err(node.fault(field, Flaw::Tag { found, expected: tag::UTC_TIME })),
    };
    let bad = |rule| node.fault(field, Flaw::Value(rule));
    let mut digits = Digits(node.body);
    let (year, month, day, hour, minute) = (|| {
        let year = if long { digits.two()? * 100 + digits.two()? } else { full_year(digits.two()?) };
        Some((year, digits.two()?, digits.two()?, digits.two()?, digits.two()?))
    })()
    .ok_or_else(|| bad("not a time"))?;
    let seconds_given = digits.two();
    let fraction = digits.fraction();
    let offset = digits.offset().ok_or_else(|| bad("time zone is neither `Z` nor `+hhmm`"))?;
    let second = seconds_given.unwrap_or(0);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return Err(bad("no such time"));
    }
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset.unwrap_or(0);
    let fault = if seconds_given.is_none() {
        Some("time without seconds")
    } else if fraction {
        Some("time with a fraction of a second")
    } else if offset.is_some() {
        Some("time zone other than `Z`")
    } else if long && year < 2050 {
        Some("GeneralizedTime before 2050, where UTCTime is due")
    } else {
        None
    };
    Ok(Read { seconds, fault: fault.map(bad) })
}

/// RFC 5280, section 4.1.2.5.1: 50 to 99 are of the last century.
fn full_year(year: i64) -> i64 {
    if year >= 50 { 1900 + year } else { 2000 + year }
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn two(&mut self) -> Option<i64> {
        match self.0 {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
                self.0 = rest;
                Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
            }
            _ => None,
        }
    }

    fn fraction(&mut self) -> bool {
        let [b'.' | b',', rest @ ..] = self.0 else { return false };
        self.0 = rest.trim_ascii_start();
        while let [b'0'..=b'9', rest @ ..] = self.0 {
            self.0 = rest;
        }
        true
    }

    /// `Some(None)` for `Z`, the seconds east of Greenwich for another zone, `None` for neither.
    fn offset(&mut self) -> Option<Option<i64>> {
        let (sign, rest) = match self.0 {
            b"Z" => return Some(None),
            [b'+', rest @ ..] => (1, rest),
            [b'-', rest @ ..] => (-1, rest),
            _ => return None,
        };
        self.0 = rest;
        let seconds = self.two()? * 3600 + self.two()? * 60;
        self.0.is_empty().then_some(Some(sign * seconds))
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar
/// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let utc = tag::UTC_TIME;
        let general = tag::GENERALIZED_TIME;
        for (tag, text, expected) in [
            (utc, "700101000000Z", "0"),
            (utc, "491231235959Z", "2524607999"),
            (utc, "500101000000Z", "-631152000"),
            (general, "20500101000000Z", "2524608000"),
            (general, "99991231235959Z", "253402300799"),
            (general, "20000229000000Z", "951782400 GeneralizedTime before 2050, where UTCTime is due"),
            (utc, "7001010000Z", "0 time without seconds"),
            (utc, "700101000000+0100", "-3600 time zone other than `Z`"),
            (general, "20500101000000.5Z", "2524608000 time with a fraction of a second"),
            (utc, "010229000000Z", "no such time"),
            (utc, "701301000000Z", "no such time"),
            (utc, "700101240000Z", "no such time"),
            (utc, "700101000000", "time zone is neither `Z` nor `+hhmm`"),
            (utc, "700101000000+01", "time zone is neither `Z` nor `+hhmm`"),
            (utc, "7001", "not a time"),
            (utc, "", "not a time"),
        ] {
            let node = Node { tag, body: text.as_bytes(), full: text.as_bytes(), at: 0 };
            let seen = match time(node, "t") {
                Ok(Read { seconds, fault: None }) => seconds.to_string(),
                Ok(Read { seconds, fault: Some(fault) }) => format!("{seconds} {}", fault.flaw),
                Err(fault) => fault.flaw.to_string(),
            };
            assert_eq!(seen, expected, "{text}");
        }
    }
}
