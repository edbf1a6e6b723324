//! A capture as recorded events, one JSON object a line, and what is in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use brokers::{mosquitto::log::LogDecoder, recorded};
use datasets::recording::{Record, Recording};
use detector::input::{Decoder as _, SourceId};
use fleet::{
    event::{Event, EventKind},
    time::Timestamp,
};

const SOURCE: SourceId = SourceId(1);
/// The log's decoder lets go what waits for evidence after a few seconds.
const LOG_PATIENCE_MS: i64 = 60_000;

/// A capture's events.
#[derive(Debug, Default)]
pub struct Tape {
    /// Lines with their ends.
    bytes: Vec<u8>,
    /// Time and end of each line in `bytes`.
    ends: Vec<(Timestamp, usize)>,
    things: BTreeMap<String, BTreeSet<IpAddr>>,
    /// First and last time of each device.
    lives: BTreeMap<String, (Timestamp, Timestamp)>,
    reports: Vec<ReportSum>,
    refused: u64,
}

/// What of a report tells how loud a device was.
#[derive(Clone, Debug)]
pub struct ReportSum {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub thing: String,
    /// Bytes out.
    pub bytes_out: u64,
    /// Packets out.
    pub packets_out: u64,
    /// Established connections, if the report has them.
    pub connections: Option<u64>,
}

impl Tape {
    /// Plays a recording to its end. Log lines go through the decoder of live logs.
    #[must_use]
    pub fn record(recording: &Recording) -> Self {
        let mut tape = Self::default();
        let mut log = LogDecoder::new();
        let mut now = Timestamp::default();
        recording.play(&mut |record| match record {
            Record::Event(event) => tape.push(event),
            Record::LogLine(line) => {
                now = now.max(stamp(line).unwrap_or(now));
                log.tick(now, &mut |event| tape.push(event));
                let arrival =
                    if now == Timestamp::default() { Timestamp::from_millis(i64::MAX / 2) } else { now };
                let decoded = log.decode(SOURCE, arrival, "", line, &mut |event| tape.push(event));
                tape.refused += u64::from(matches!(decoded, detector::input::Decoded::Refused(_)));
            }
        });
        log.tick(now.plus_millis(LOG_PATIENCE_MS), &mut |event| tape.push(event));
        tape
    }

    fn push(&mut self, event: &Event<'_>) {
        recorded::encode(event, &mut self.bytes);
        self.bytes.push(b'\n');
        self.ends.push((event.at, self.bytes.len()));
        if let Some(thing) = who(&event.kind) {
            let life = self.lives.entry(thing.to_owned()).or_insert((event.at, event.at));
            *life = (life.0.min(event.at), life.1.max(event.at));
        }
        match event.kind {
            EventKind::Connect(connect) => {
                let addresses = self.things.entry(connect.client.to_owned()).or_default();
                addresses.extend(connect.ip.map(|ip| ip.to_canonical()));
            }
            EventKind::Report { thing, report, .. } => {
                self.things.entry(thing.to_owned()).or_default();
                self.reports.push(ReportSum {
                    at: event.at,
                    thing: thing.to_owned(),
                    bytes_out: report.bytes_out.unwrap_or(0),
                    packets_out: report.packets_out.unwrap_or(0),
                    connections: report.connections_total,
                });
            }
            _ => {}
        }
    }

    /// All lines, as a file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many events there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Lines of a log that its decoder could not read.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Time and bytes of each event, without the line end.
    pub fn lines(&self) -> impl Iterator<Item = (Timestamp, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        self.ends
            .iter()
            .zip(starts)
            .map(|((at, end), start)| (*at, self.bytes.get(start..end.saturating_sub(1)).unwrap_or_default()))
    }

    /// Devices, and the addresses that each connected from.
    #[must_use]
    pub const fn things(&self) -> &BTreeMap<String, BTreeSet<IpAddr>> {
        &self.things
    }

    /// Hours of all devices between the first and the last that was heard of each; with reports,
    /// the hours that these cover.
    #[must_use]
    pub fn device_hours(&self, report_secs: Option<u32>) -> f64 {
        match report_secs {
            Some(secs) => self.reports.len() as f64 * f64::from(secs) / 3600.0,
            None => self.lives.values().map(|(from, to)| to.millis_since(*from) as f64 / 3_600_000.0).sum(),
        }
    }

    /// The reports in it.
    #[must_use]
    pub fn reports(&self) -> &[ReportSum] {
        &self.reports
    }

    /// Times of the first and the last event.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.ends.iter().map(|(at, _)| *at);
        times().min().zip(times().max())
    }
}

/// The device that an event is of.
fn who<'a>(kind: &EventKind<'a>) -> Option<&'a str> {
    match kind {
        EventKind::Connect(connect) => Some(connect.client),
        EventKind::Report { thing, .. } => Some(thing),
        EventKind::Disconnect { client, .. }
        | EventKind::Denied { client, .. }
        | EventKind::Publish { client, .. }
        | EventKind::Delivery { client, .. }
        | EventKind::Subscribe { client, .. }
        | EventKind::Unsubscribe { client, .. } => Some(client),
        EventKind::AuthFailure(_)
        | EventKind::ConnectionError { .. }
        | EventKind::AdminChange { .. }
        | EventKind::BrokerStart
        | EventKind::BrokerStop
        | EventKind::BrokerReload => None,
    }
}

/// The time of a line that begins with seconds since 1970, as Mosquitto writes it unless told
/// otherwise. It only decides how long the decoder waits for evidence; events have their own.
fn stamp(line: &[u8]) -> Option<Timestamp> {
    let digits =
        line.iter().position(|byte| !byte.is_ascii_digit()).filter(|&count| (9..=11).contains(&count))?;
    let (digits, rest) = line.split_at_checked(digits)?;
    let secs = std::str::from_utf8(digits).ok()?.parse().ok()?;
    rest.starts_with(b":").then(|| Timestamp::from_secs(secs))
}
