//! Device reports (the Device Defender metrics document).
//!
//! Source: `device-defender-device-metrics.md`. Decoders fill a [`ReportBuf`] that is
//! used again for the next report, so that decoding allocates nothing once warm.

use std::{net::IpAddr, ops::Range};

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
