//! Device reports (the Device Defender metrics document).
//!
//! Source: `device-defender-device-metrics.md`. Decoders fill a [`ReportBuf`] that is
//! used again for the next report, so that decoding allocates nothing once warm.
//!
//! One reader of the document (`read`) runs over two readers of the encodings (`json`,
//! `cbor`), so that both accept the same reports. What it accepts beyond the letter of
//! the document, because real agents send it:
//! - long and short names at every level, mixed; `h` for `header` (early C agents);
//! - `null` anywhere, read as absent; unknown members, ignored wherever they are well formed;
//! - whole numbers as integers, whole doubles or exponents, in CBOR as numeric text too;
//! - `total` that differs from the length of its list (agents cap lists): `total` counts;
//! - items of a port list without a port, which count for the length only;
//! - a UDP list whose only item is port 0 (C agent with no UDP socket), read as empty;
//! - IPv6 zones (`fe80::1%eth0`), dropped, and IPv4-mapped IPv6 addresses, read as IPv4;
//! - a single number under `number_list`, read as a list of one.
//!
//! Refused, though some parsers would let it pass: a member given twice (under one name
//! or two), since a device and an observer must not read the same bytes differently.

mod address;
mod answer;
mod cbor;
mod fault;
mod json;
mod layout;
mod number;
mod read;
mod record;

use std::{net::IpAddr, ops::Range};

use thiserror::Error;

pub use answer::{accepted_cbor, accepted_json, rejected_cbor, rejected_json};

use fault::{Fault, Reason, Step};
use read::Source;

/// Largest report, in bytes (the payload limit of AWS IoT).
pub const REPORT_BYTES_MAX: usize = 128 * 1024;
/// Most items of a list.
pub const LIST_ITEMS_MAX: usize = 4096;
/// Most custom metrics of a report.
pub const CUSTOM_METRICS_MAX: usize = 100;
/// Deepest nesting inside a member that is ignored.
pub const DEPTH_MAX: u32 = 32;

/// A decoded report. Fields are absent where the report left them out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportBuf {
    /// `header.report_id`.
    pub report_id: u64,
    /// `network_stats.bytes_in`, bytes since the last report.
    pub bytes_in: Option<u64>,
    /// `network_stats.bytes_out`.
    pub bytes_out: Option<u64>,
    /// `network_stats.packets_in`.
    pub packets_in: Option<u64>,
    /// `network_stats.packets_out`.
    pub packets_out: Option<u64>,
    /// `listening_tcp_ports.total`, else the length of the list.
    pub tcp_ports_total: Option<u64>,
    /// `listening_udp_ports.total`, else the length of the list.
    pub udp_ports_total: Option<u64>,
    /// `established_connections.total`, else the length of the list.
    pub connections_total: Option<u64>,
    /// Whether the report has the list of listening TCP ports.
    pub has_tcp_ports: bool,
    /// Listening TCP ports.
    pub tcp_ports: Vec<u16>,
    /// Whether the report has the list of listening UDP ports.
    pub has_udp_ports: bool,
    /// Listening UDP ports.
    pub udp_ports: Vec<u16>,
    /// Whether the report has the list of established connections.
    pub has_remote_addresses: bool,
    /// Remote addresses of established connections.
    pub remote_addresses: Vec<IpAddr>,
    /// Custom metrics in the order of the report.
    pub custom: Vec<CustomMetric>,
    /// Text that custom metrics point into.
    pub text: String,
    /// Numbers that custom metrics point into.
    pub numbers: Vec<f64>,
    /// Texts that custom metrics point into, as ranges of `text`.
    pub strings: Vec<Range<u32>>,
    /// Addresses that custom metrics point into.
    pub addresses: Vec<IpAddr>,
}

/// A custom metric of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomMetric {
    /// Name, as a range of [`ReportBuf::text`].
    pub name: Range<u32>,
    /// Value.
    pub value: CustomValue,
}

/// Value of a custom metric; lists are ranges of the buffer's arenas.
#[derive(Clone, Debug, PartialEq)]
pub enum CustomValue {
    /// `[{"number": x}]`
    Number(f64),
    /// `[{"number_list": [..]}]`, a range of [`ReportBuf::numbers`].
    NumberList(Range<u32>),
    /// `[{"string_list": [..]}]`, a range of [`ReportBuf::strings`].
    StringList(Range<u32>),
    /// `[{"ip_list": [..]}]`, a range of [`ReportBuf::addresses`].
    IpList(Range<u32>),
}

impl ReportBuf {
    /// Empties the report and keeps its memory.
    pub fn clear(&mut self) {
        let Self {
            report_id,
            bytes_in,
            bytes_out,
            packets_in,
            packets_out,
            tcp_ports_total,
            udp_ports_total,
            connections_total,
            has_tcp_ports,
            tcp_ports,
            has_udp_ports,
            udp_ports,
            has_remote_addresses,
            remote_addresses,
            custom,
            text,
            numbers,
            strings,
            addresses,
        } = self;
        *report_id = 0;
        for counter in [
            bytes_in,
            bytes_out,
            packets_in,
            packets_out,
            tcp_ports_total,
            udp_ports_total,
            connections_total,
        ] {
            *counter = None;
        }
        (*has_tcp_ports, *has_udp_ports, *has_remote_addresses) = (false, false, false);
        tcp_ports.clear();
        udp_ports.clear();
        remote_addresses.clear();
        custom.clear();
        text.clear();
        numbers.clear();
        strings.clear();
        addresses.clear();
    }

    /// The text of a custom metric's name or string.
    #[must_use]
    pub fn text_of(&self, range: &Range<u32>) -> Option<&str> {
        self.text.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }
}

/// The items of an arena that a custom metric's list points to.
#[must_use]
pub fn slice_of<'a, T>(arena: &'a [T], range: &Range<u32>) -> Option<&'a [T]> {
    arena.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// Why a report was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {message}")]
pub struct ReportError {
    /// The report's id, if it could be read.
    pub report_id: Option<u64>,
    /// One of [`ReportError::REASONS`].
    pub reason: &'static str,
    /// Where in the report, in long names, such as `metrics.listening_tcp_ports.ports[3].port`;
    /// `report` for the whole.
    pub place: String,
    /// What is wrong, with the value found (shortened) and what is allowed.
    pub message: String,
}

impl ReportError {
    /// The words of `reason`, fit for counters.
    pub const REASONS: [&'static str; Reason::ALL.len()] = {
        let mut words = [""; Reason::ALL.len()];
        let mut at = 0;
        while at < words.len() {
            #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
            {
                words[at] = Reason::ALL[at].word();
            }
            at += 1;
        }
        words
    };

    #[cold]
    fn new(fault: Fault, report_id: Option<u64>) -> Self {
        let place = if fault.place.is_empty() { "report".into() } else { fault.place };
        Self { report_id, reason: fault.reason.word(), place, message: fault.message }
    }
}

/// Decodes a JSON report into `out`, whose former content is dropped.
///
/// # Errors
/// When the report is malformed or over a limit; `out` is then empty.
pub fn decode_json(bytes: &[u8], out: &mut ReportBuf) -> Result<(), ReportError> {
    decode::<json::Json<'_>>(bytes, out)
}

/// Decodes a CBOR report into `out`, whose former content is dropped.
///
/// # Errors
/// When the report is malformed or over a limit; `out` is then empty.
pub fn decode_cbor(bytes: &[u8], out: &mut ReportBuf) -> Result<(), ReportError> {
    decode::<cbor::Cbor<'_>>(bytes, out)
}

/// Decodes JSON reports as [`decode_json`] does, and knows again how earlier ones were laid out: a
/// report whose members come in the same order, written the same way, takes less than half the time.
/// Holds up to about half a megabyte.
#[derive(Debug, Default)]
pub struct JsonDecoder {
    layouts: layout::Layouts,
    recognized: u64,
}

impl JsonDecoder {
    /// Decodes a JSON report into `out`, whose former content is dropped.
    ///
    /// # Errors
    /// As [`decode_json`].
    pub fn decode(&mut self, bytes: &[u8], out: &mut ReportBuf) -> Result<(), ReportError> {
        out.clear();
        if bytes.len() <= REPORT_BYTES_MAX && self.layouts.read(bytes, out) {
            self.recognized += 1;
            return Ok(());
        }
        self.decode_anew(bytes, out)
    }

    /// Reports so far that were laid out as an earlier one.
    #[must_use]
    pub const fn recognized(&self) -> u64 {
        self.recognized
    }

    #[cold]
    fn decode_anew(&mut self, bytes: &[u8], out: &mut ReportBuf) -> Result<(), ReportError> {
        if bytes.len() > REPORT_BYTES_MAX || !self.layouts.may_learn() {
            return decode_json(bytes, out);
        }
        out.clear();
        match layout::recorded(bytes, out) {
            Ok(trace) => {
                self.layouts.learn(bytes, &trace);
                Ok(())
            }
            Err(fault) => Err(refused::<json::Json<'_>>(bytes, *fault, out)),
        }
    }
}

fn decode<'a, S: Source<'a>>(bytes: &'a [u8], out: &mut ReportBuf) -> Result<(), ReportError> {
    out.clear();
    read_all::<S>(bytes, out).map_err(|fault| refused::<S>(bytes, *fault, out))
}

#[cold]
fn refused<'a, S: Source<'a>>(bytes: &'a [u8], fault: Fault, out: &mut ReportBuf) -> ReportError {
    out.clear();
    let report_id = (bytes.len() <= REPORT_BYTES_MAX)
        .then(|| S::new(bytes).ok())
        .flatten()
        .and_then(|mut source| read::report_id(&mut source).ok().flatten());
    ReportError::new(fault, report_id)
}

fn read_all<'a, S: Source<'a>>(bytes: &'a [u8], out: &mut ReportBuf) -> Step<()> {
    if bytes.len() > REPORT_BYTES_MAX {
        let message = format!("the report has {} bytes; allowed are up to {REPORT_BYTES_MAX}", bytes.len());
        return Err(Fault::new(Reason::Size, message));
    }
    let mut source = S::new(bytes)?;
    read::report(&mut source, out)?;
    source.end()
}

/// For fuzzing: decodes anything and checks what every decoded report promises.
///
/// # Panics
/// When a promise is broken.
#[doc(hidden)]
pub fn fuzz_json(bytes: &[u8]) {
    let mut out = ReportBuf::default();
    check_promises(decode_json(bytes, &mut out), &out);
    // A decoder that has seen the report, and then one with another byte in the middle.
    let mut decoder = JsonDecoder::default();
    let mut other = bytes.to_vec();
    if let Some(byte) = other.get_mut(bytes.len() / 2) {
        *byte = byte.wrapping_add(1);
    }
    for bytes in [bytes, bytes, &other, bytes] {
        let (mut out, mut again) = (ReportBuf::default(), ReportBuf::default());
        let (result, expected) = (decoder.decode(bytes, &mut out), decode_json(bytes, &mut again));
        assert!(result == expected && out == again, "{result:?} {expected:?}");
    }
}

/// As [`fuzz_json`], for CBOR.
///
/// # Panics
/// When a promise is broken.
#[doc(hidden)]
pub fn fuzz_cbor(bytes: &[u8]) {
    let mut out = ReportBuf::default();
    check_promises(decode_cbor(bytes, &mut out), &out);
}

fn check_promises(result: Result<(), ReportError>, out: &ReportBuf) {
    let Err(error) = result else {
        assert!(
            out.report_id > 0
                && out.tcp_ports.len() <= LIST_ITEMS_MAX
                && out.custom.len() <= CUSTOM_METRICS_MAX
        );
        assert!(!out.tcp_ports.contains(&0) && !out.udp_ports.contains(&0));
        for metric in &out.custom {
            assert!(out.text_of(&metric.name).is_some());
            match &metric.value {
                CustomValue::Number(number) => assert!(number.is_finite()),
                CustomValue::NumberList(range) => assert!(slice_of(&out.numbers, range).is_some()),
                CustomValue::IpList(range) => assert!(slice_of(&out.addresses, range).is_some()),
                CustomValue::StringList(range) => {
                    let texts = slice_of(&out.strings, range);
                    assert!(texts.is_some_and(|texts| texts.iter().all(|text| out.text_of(text).is_some())));
                }
            }
        }
        return;
    };
    assert!(*out == ReportBuf::default() && ReportError::REASONS.contains(&error.reason));
    assert!(!error.place.is_empty() && error.place.len() < 400 && error.message.len() < 400, "{error:?}");
}
