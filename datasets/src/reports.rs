//! Streams of device reports: a reader for recorded ones, and a seeded generator.

use std::{
    io::{self, BufRead},
    net::Ipv4Addr,
};

use thiserror::Error;

use crate::{
    document::{Connection, Document},
    rng::Rng,
};

/// A report and the thing that sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Thing name.
    pub thing: String,
    /// The report, JSON.
    pub json: String,
}

/// Longest line that is read, in bytes: a report may have 128 KiB, a thing name 128 bytes.
pub const LINE_BYTES_MAX: usize = 132 * 1024;

/// Why a stream of reports cannot be read.
#[derive(Debug, Error)]
pub enum ReportsError {
    /// The file cannot be read.
    #[error("line {line}: {error}")]
    Io {
        /// Line number, from 1.
        line: u64,
        /// What the system said.
        error: io::Error,
    },
    /// A line is too long.
    #[error("line {line} has more than {LINE_BYTES_MAX} bytes; expected is `THING<TAB>JSON`")]
    TooLong {
        /// Line number, from 1.
        line: u64,
    },
    /// A line is not UTF-8.
    #[error("line {line} is not UTF-8; expected is `THING<TAB>JSON`")]
    NotText {
        /// Line number, from 1.
        line: u64,
    },
    /// A line has no thing or no report.
    #[error("line {line} has no {missing}; expected is `THING<TAB>JSON`")]
    Incomplete {
        /// Line number, from 1.
        line: u64,
        /// What is not there.
        missing: &'static str,
    },
}

/// Reads `THING<TAB>JSON` lines. The iterator ends after the first error of the file itself;
/// a bad line is reported and the next one is read.
pub fn read<R: BufRead>(reader: R) -> impl Iterator<Item = Result<Report, ReportsError>> {
    let mut reader = Some(reader);
    let mut line = 0_u64;
    std::iter::from_fn(move || {
        line += 1;
        let mut bytes = Vec::new();
        match read_line(reader.as_mut()?, &mut bytes) {
            Ok(Line::End) => None,
            Ok(Line::TooLong) => Some(Err(ReportsError::TooLong { line })),
            Ok(Line::Whole) => Some(parse(bytes, line)),
            Err(error) => {
                reader = None;
                Some(Err(ReportsError::Io { line, error }))
            }
        }
    })
}

enum Line {
    End,
    Whole,
    TooLong,
}

/// Like `read_until`, but keeps at most [`LINE_BYTES_MAX`] bytes of a line.
fn read_line(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<Line> {
    let mut seen = false;
    let mut too_long = false;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(match (seen, too_long) {
                (false, _) => Line::End,
                (true, true) => Line::TooLong,
                (true, false) => Line::Whole,
            });
        }
        seen = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
        too_long |= bytes.len() + part.len() > LINE_BYTES_MAX;
        if !too_long {
            bytes.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

fn parse(bytes: Vec<u8>, line: u64) -> Result<Report, ReportsError> {
    let text = String::from_utf8(bytes).map_err(|_| ReportsError::NotText { line })?;
    let text = text.strip_suffix('\r').unwrap_or(&text);
    match text.split_once('\t') {
        Some(("", _)) => Err(ReportsError::Incomplete { line, missing: "thing" }),
        Some((_, "")) => Err(ReportsError::Incomplete { line, missing: "report" }),
        Some((thing, json)) => Ok(Report { thing: thing.to_owned(), json: json.to_owned() }),
        None => Err(ReportsError::Incomplete { line, missing: "tab" }),
    }
}

/// A stream of reports of about 1 kB, round robin over `things`, `rounds` times.
///
/// The same kind of stream as the one that other programs are measured with: about two in a
/// hundred things are in a bad spell at any time (an extra port, a strange peer, five times the
/// bytes), which gives alarms and clears. Same seed, same bytes.
pub fn generate(seed: u64, things: u32, rounds: u32) -> impl Iterator<Item = Report> {
    let mut rng = Rng::new(seed, 0);
    let mut bad_rounds = vec![0_u64; usize::try_from(things).unwrap_or(0)];
    let order = (0..rounds).flat_map(move |round| (0..things).map(move |thing| (round, thing)));
    order.map(move |(round, thing)| {
        let bad = match bad_rounds.get_mut(usize::try_from(thing).unwrap_or(usize::MAX)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                *left > 0
            }
            Some(left) if rng.chance(4) => {
                *left = rng.between(2, 9);
                true
            }
            _ => false,
        };
        let report_id = (FIRST_REPORT_SECS + 300 * u64::from(round)) * 1000 + u64::from(thing);
        Report { thing: format!("thing-{thing:06}"), json: spell(&mut rng, report_id, bad).json() }
    })
}

/// Seconds since the epoch of the first round; only a base for report ids.
const FIRST_REPORT_SECS: u64 = 1_700_000_000;

fn spell(rng: &mut Rng, report_id: u64, bad: bool) -> Document {
    let factor = if bad { 5 } else { 1 };
    let mut tcp_ports = vec![22, 8883, 8080, 443];
    if bad {
        tcp_ports.push(4444);
    }
    let connections = (0..6).map(|index| Connection {
        local_port: rng.between_u16(40_000, 59_999),
        remote: match bad && index == 0 {
            true => Ipv4Addr::new(203, 0, rng.byte(), rng.byte()),
            false => Ipv4Addr::new(10, rng.byte(), rng.byte(), rng.byte()),
        },
        remote_port: if bad && index == 0 { 6667 } else { 8883 },
    });
    Document {
        connections: connections.collect(),
        report_id,
        tcp_ports,
        udp_ports: vec![5353, 123, 68],
        bytes_in: rng.between(20_000, 900_000) * factor,
        bytes_out: rng.between(20_000, 900_000) * factor,
        packets_in: rng.between(100, 9_000),
        packets_out: rng.between(100, 9_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &[&str]) {
        let seen: Vec<String> = read(text)
            .map(|line| match line {
                Ok(report) => format!("{} {}", report.thing, report.json),
                Err(error) => error.to_string(),
            })
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_are_read_and_bad_ones_named() {
        check(b"", &[]);
        check(b"pump\t{}\ncam\t{\"a\":1}", &["pump {}", "cam {\"a\":1}"]);
        check(b"pump\t{}\r\n", &["pump {}"]);
        check(
            b"pump\n\t{}\npump\t\n\xff\t{}\npump\t{}\n",
            &[
                "line 1 has no tab; expected is `THING<TAB>JSON`",
                "line 2 has no thing; expected is `THING<TAB>JSON`",
                "line 3 has no report; expected is `THING<TAB>JSON`",
                "line 4 is not UTF-8; expected is `THING<TAB>JSON`",
                "pump {}",
            ],
        );
    }

    #[test]
    fn a_line_at_the_limit_is_read_and_one_past_it_is_not() {
        let line = |len: usize| format!("p\t{}\nq\t1\n", "x".repeat(len - 2)).into_bytes();
        assert_eq!(read(line(LINE_BYTES_MAX).as_slice()).filter(Result::is_ok).count(), 2);
        let seen: Vec<_> = read(line(LINE_BYTES_MAX + 1).as_slice()).collect();
        assert_eq!(
            seen[0].as_ref().unwrap_err().to_string(),
            "line 1 has more than 135168 bytes; expected is `THING<TAB>JSON`"
        );
        assert_eq!(seen[1].as_ref().unwrap().thing, "q");
    }

    #[test]
    fn the_generated_stream_is_the_same_for_a_seed_and_has_bad_spells() {
        let stream = |seed| generate(seed, 50, 40).collect::<Vec<_>>();
        let reports = stream(1);
        assert_eq!(reports, stream(1));
        assert_ne!(reports, stream(2));
        assert_eq!(reports.len(), 2000);
        assert_eq!(reports[51].thing, "thing-000001");
        let bad = reports.iter().filter(|report| report.json.contains(":4444")).count();
        assert!((5..200).contains(&bad), "{bad} of 2000 reports are bad");
        let mean = reports.iter().map(|report| report.json.len()).sum::<usize>() / reports.len();
        assert!((900..1200).contains(&mean), "mean {mean} bytes");
    }
}
