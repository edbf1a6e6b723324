//! The metrics of Detect, as one table.
//!
//! Source: `device-defender-detect.md`, sections 1 to 3 (AWS IoT developer
//! guide, `detect-cloud-side-metrics`, `detect-device-side-metrics`).

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::problem::nearest;

/// A metric that AWS IoT defines. The order is that of [`AwsMetric::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AwsMetric {
    /// Size of each message that the device sends, bytes.
    MessageByteSize,
    /// Messages sent in the period.
    NumMessagesSent,
    /// Messages received in the period.
    NumMessagesReceived,
    /// Requests denied in the period.
    NumAuthorizationFailures,
    /// Address that the device connected from.
    SourceIpAddress,
    /// Connects in the period, successful and failed.
    NumConnectionAttempts,
    /// Disconnects in the period.
    NumDisconnects,
    /// Time that the device stays disconnected, minutes.
    DisconnectDuration,
    /// Bytes sent since the last report.
    AllBytesOut,
    /// Bytes received since the last report.
    AllBytesIn,
    /// Packets sent since the last report.
    AllPacketsOut,
    /// Packets received since the last report.
    AllPacketsIn,
    /// Number of listening TCP ports.
    NumListeningTcpPorts,
    /// Number of listening UDP ports.
    NumListeningUdpPorts,
    /// Number of established TCP connections.
    NumEstablishedTcpConnections,
    /// The listening TCP ports.
    ListeningTcpPorts,
    /// The listening UDP ports.
    ListeningUdpPorts,
    /// Remote addresses of established TCP connections.
    DestinationIpAddresses,
}

/// Who measures a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The broker.
    Cloud,
    /// The device, in its reports.
    Device,
}

/// Shape of a metric's datapoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number; events of the period are counted or summed.
    Counter,
    /// A number; each event carries one, the period keeps the worst.
    Each,
    /// A number reported by the device; the period keeps the last.
    Gauge,
    /// A number reported by the device as the change since its last report; the period sums.
    Delta,
    /// A number of minutes since the device left.
    Duration,
    /// A list of ports, judged when it arrives.
    Ports,
    /// A list of addresses, judged when it arrives.
    Addresses,
}

impl AwsMetric {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::MessageByteSize,
        Self::NumMessagesSent,
        Self::NumMessagesReceived,
        Self::NumAuthorizationFailures,
        Self::SourceIpAddress,
        Self::NumConnectionAttempts,
        Self::NumDisconnects,
        Self::DisconnectDuration,
        Self::AllBytesOut,
        Self::AllBytesIn,
        Self::AllPacketsOut,
        Self::AllPacketsIn,
        Self::NumListeningTcpPorts,
        Self::NumListeningUdpPorts,
        Self::NumEstablishedTcpConnections,
        Self::ListeningTcpPorts,
        Self::ListeningUdpPorts,
        Self::DestinationIpAddresses,
    ];

    /// The name on the wire, such as `aws:num-messages-sent`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageByteSize => "aws:message-byte-size",
            Self::NumMessagesSent => "aws:num-messages-sent",
            Self::NumMessagesReceived => "aws:num-messages-received",
            Self::NumAuthorizationFailures => "aws:num-authorization-failures",
            Self::SourceIpAddress => "aws:source-ip-address",
            Self::NumConnectionAttempts => "aws:num-connection-attempts",
            Self::NumDisconnects => "aws:num-disconnects",
            Self::DisconnectDuration => "aws:disconnect-duration",
            Self::AllBytesOut => "aws:all-bytes-out",
            Self::AllBytesIn => "aws:all-bytes-in",
            Self::AllPacketsOut => "aws:all-packets-out",
            Self::AllPacketsIn => "aws:all-packets-in",
            Self::NumListeningTcpPorts => "aws:num-listening-tcp-ports",
            Self::NumListeningUdpPorts => "aws:num-listening-udp-ports",
            Self::NumEstablishedTcpConnections => "aws:num-established-tcp-connections",
            Self::ListeningTcpPorts => "aws:listening-tcp-ports",
            Self::ListeningUdpPorts => "aws:listening-udp-ports",
            Self::DestinationIpAddresses => "aws:destination-ip-addresses",
        }
    }

    /// Who measures it.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::MessageByteSize
            | Self::NumMessagesSent
            | Self::NumMessagesReceived
            | Self::NumAuthorizationFailures
            | Self::SourceIpAddress
            | Self::NumConnectionAttempts
            | Self::NumDisconnects
            | Self::DisconnectDuration => Side::Cloud,
            _ => Side::Device,
        }
    }

    /// Shape of its datapoint.
    #[must_use]
    pub const fn shape(self) -> Shape {
        match self {
            Self::MessageByteSize => Shape::Each,
            Self::NumMessagesSent
            | Self::NumMessagesReceived
            | Self::NumAuthorizationFailures
            | Self::NumConnectionAttempts
            | Self::NumDisconnects => Shape::Counter,
            Self::DisconnectDuration => Shape::Duration,
            Self::AllBytesOut | Self::AllBytesIn | Self::AllPacketsOut | Self::AllPacketsIn => Shape::Delta,
            Self::NumListeningTcpPorts | Self::NumListeningUdpPorts | Self::NumEstablishedTcpConnections => {
                Shape::Gauge
            }
            Self::ListeningTcpPorts | Self::ListeningUdpPorts => Shape::Ports,
            Self::SourceIpAddress | Self::DestinationIpAddresses => Shape::Addresses,
        }
    }

    /// Whether a dimension (topic filter) may narrow it.
    #[must_use]
    pub const fn takes_dimension(self) -> bool {
        matches!(
            self,
            Self::MessageByteSize
                | Self::NumMessagesSent
                | Self::NumMessagesReceived
                | Self::NumAuthorizationFailures
                | Self::SourceIpAddress
        )
    }
}

impl fmt::Display for AwsMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no AWS metric.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown metric `{found}`{}", suggestion.map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
pub struct UnknownMetric {
    /// The name found.
    pub found: String,
    /// A known name that is near.
    pub suggestion: Option<&'static str>,
}

impl FromStr for AwsMetric {
    type Err = UnknownMetric;
    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        Self::ALL.into_iter().find(|metric| metric.name() == text).ok_or_else(|| UnknownMetric {
            found: text.to_owned(),
            suggestion: nearest(text, Self::ALL.into_iter().map(Self::name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_parses_back_and_stands_at_its_index() {
        for (index, metric) in AwsMetric::ALL.into_iter().enumerate() {
            assert_eq!(metric.name().parse(), Ok(metric));
            assert_eq!(metric as usize, index);
        }
        let error = "aws:num-message-sent".parse::<AwsMetric>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown metric `aws:num-message-sent`; did you mean `aws:num-messages-sent`?"
        );
    }
}
