//! The timestamp in front of a log line.

use fleet::time::Timestamp;

/// Splits `TIMESTAMP: text`. `None` where the line begins with no timestamp of a known form:
/// epoch seconds (the default), or ISO 8601 (`log_timestamp_format %Y-%m-%dT%H:%M:%S`, with a
/// space for the `T`, and with or without `%z`). Without a zone the time is local and
/// `offset_secs` east of UTC.
pub(super) fn split(line: &str, offset_secs: i32) -> Option<(Timestamp, &str)> {
    let colon = line.get(..48).unwrap_or(line).find(": ")?;
    let (stamp, text) = (line.get(..colon)?, line.get(colon + 2..)?);
    let at = epoch(stamp.as_bytes()).or_else(|| iso(stamp.as_bytes(), offset_secs))?;
    Some((at, text))
}

fn epoch(stamp: &[u8]) -> Option<Timestamp> {
    if stamp.is_empty() || stamp.len() > 12 {
        return None;
    }
    digits(stamp).map(Timestamp::from_secs)
}

fn iso(stamp: &[u8], offset_secs: i32) -> Option<Timestamp> {
    let (date, rest) = stamp.split_at_checked(10)?;
    let (time, zone) = rest.split_at_checked(9)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let [b'T' | b' ', h1, h2, b':', n1, n2, b':', s1, s2] = *time else { return None };
    let (year, month, day) = (digits(&[y1, y2, y3, y4])?, digits(&[m1, m2])?, digits(&[d1, d2])?);
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[n1, n2])?, digits(&[s1, s2])?);
    // 60 is a leap second.
    let in_range =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour <= 23 && minute <= 59 && second <= 60;
    if !in_range {
        return None;
    }
    let offset = zone_offset(zone, i64::from(offset_secs))?;
    let secs = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp::from_secs(secs - offset))
}

/// Seconds east of UTC of `+hhmm`, `+hh:mm`, `Z`, or `local` where there is no zone.
fn zone_offset(zone: &[u8], local: i64) -> Option<i64> {
    match *zone {
        [] => Some(local),
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let east = digits(&[h1, h2])? * 3600 + digits(&[m1, m2])? * 60;
            Some(if sign == b'-' { -east } else { east })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0_i64, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", `days_from_civil`).
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read_and_nothing_else() {
        let cases = [
            ("1795312335: x", Some("2026-11-22T01:52:15.000Z x")),
            ("0: x: y", Some("1970-01-01T00:00:00.000Z x: y")),
            ("2026-11-22T01:52:55: x", Some("2026-11-21T23:52:55.000Z x")),
            ("2026-11-22 01:52:55: x", Some("2026-11-21T23:52:55.000Z x")),
            ("2026-11-22T01:55:27+0000: x", Some("2026-11-22T01:55:27.000Z x")),
            ("2026-11-22T01:55:27-05:30: x", Some("2026-11-22T07:25:27.000Z x")),
            ("2026-11-22T01:55:27Z: ", Some("2026-11-22T01:55:27.000Z ")),
            ("2024-02-29T00:00:00Z: x", Some("2024-02-29T00:00:00.000Z x")),
            ("1969-12-31T23:59:59Z: x", Some("1969-12-31T23:59:59.000Z x")),
            ("2026-13-22T01:55:27Z: x", None),
            ("2026-11-22T24:00:00Z: x", None),
            ("2026-11-22T01:55: x", None),
            ("mosquitto version 2.0.11 starting", None),
            ("To fix this, use: x", None),
            ("-5: x", None),
            (": x", None),
            ("1795312335:x", None),
            ("", None),
        ];
        for (line, expected) in cases {
            let found = split(line, 7200).map(|(at, text)| format!("{at} {text}"));
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }
}
