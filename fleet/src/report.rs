//! Device reports (the Device Defender metrics document).
//!
//! Source: `device-defender-device-metrics.md`. Decoders fill a [`ReportBuf`] that is
//! used again for the next report, so that decoding allocates nothing once warm.

use std::{net::IpAddr, ops::Range};

use thiserror::Error;

use crate::time::Timestamp;

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
            tcp_ports, udp_ports, remote_addresses, custom, text, numbers, strings, addresses, ..
        } = std::mem::take(self);
        *self = Self {
            tcp_ports,
            udp_ports,
            remote_addresses,
            custom,
            text,
            numbers,
            strings,
            addresses,
            ..Self::default()
        };
        self.tcp_ports.clear();
        self.udp_ports.clear();
        self.remote_addresses.clear();
        self.custom.clear();
        self.text.clear();
        self.numbers.clear();
        self.strings.clear();
        self.addresses.clear();
    }
}

/// Why a report was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {message}")]
pub struct ReportError {
    /// The report's id, if it could be read.
    pub report_id: Option<u64>,
    /// A stable word for counters, such as `syntax`.
    pub reason: &'static str,
    /// Where in the report, in long names, such as `metrics.listening_tcp_ports.ports[3].port`.
    pub place: String,
    /// What is wrong, with the value found (shortened) and what is allowed.
    pub message: String,
}

/// Decodes a JSON report into `out`, whose former content is dropped.
///
/// # Errors
/// When the report is malformed or over a limit; `out` is then empty.
pub fn decode_json(_bytes: &[u8], out: &mut ReportBuf) -> Result<(), ReportError> {
    out.clear();
    Err(ReportError { report_id: None, reason: "syntax", place: String::new(), message: String::new() })
}

/// Decodes a CBOR report into `out`, whose former content is dropped.
///
/// # Errors
/// When the report is malformed or over a limit; `out` is then empty.
pub fn decode_cbor(_bytes: &[u8], out: &mut ReportBuf) -> Result<(), ReportError> {
    out.clear();
    Err(ReportError { report_id: None, reason: "syntax", place: String::new(), message: String::new() })
}

/// The answer to an accepted JSON report; `thing` is the one of the topic.
#[must_use]
pub fn accepted_json(thing: &str, report_id: u64, now: Timestamp) -> Vec<u8> {
    let _ = (thing, report_id, now);
    Vec::new()
}

/// The answer to an accepted CBOR report.
#[must_use]
pub fn accepted_cbor(thing: &str, report_id: u64, now: Timestamp) -> Vec<u8> {
    let _ = (thing, report_id, now);
    Vec::new()
}

/// The answer to a refused JSON report.
#[must_use]
pub fn rejected_json(
    thing: &str,
    report_id: Option<u64>,
    code: &str,
    message: &str,
    now: Timestamp,
) -> Vec<u8> {
    let _ = (thing, report_id, code, message, now);
    Vec::new()
}

/// The answer to a refused CBOR report.
#[must_use]
pub fn rejected_cbor(
    thing: &str,
    report_id: Option<u64>,
    code: &str,
    message: &str,
    now: Timestamp,
) -> Vec<u8> {
    let _ = (thing, report_id, code, message, now);
    Vec::new()
}
