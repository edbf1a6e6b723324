//! Metrics where AWS has none, under names that begin with `fleetward:`.

use std::{fmt, str::FromStr};

use fleet::{event::Fact, problem::nearest};

/// A metric of our own. The order is that of [`OwnMetric::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OwnMetric {
    /// A session began while another of the same client id was open from another address, or was
    /// ended by this one: two devices that claim to be one.
    Takeovers,
    /// A session began from another address than the one before.
    AddressChanges,
    /// A thing's first session, as far as is known: of a thing that was forgotten, the first since.
    NewThings,
    /// A session of a thing that is not on the allow list.
    UnknownDevices,
    /// A session began within a minute after the last one of the thing ended.
    Reconnects,
    /// A reconnect that came sooner than a back-off allows: after n reconnects in a row it must wait
    /// for at least half of 2^n seconds, up to 32 s. That is the least delay of an exponential
    /// back-off with "equal jitter" (M. Brooker, "Exponential backoff and jitter", AWS, 2015).
    HastyReconnects,
    /// A session ended without a DISCONNECT of the client.
    UncleanDisconnects,
    /// A session ended because its keep-alive ran out.
    KeepaliveMisses,
    /// A session that ended within a minute after it began.
    Flaps,
    /// Percentage of the things that are not connected, of those that were since their broker began;
    /// told of twenty things or more. A thing counts while it is connected, and afterwards if a session of
    /// it ever lasted five minutes: what comes for a moment only is not missed when it goes.
    DisconnectedThings,
    /// A TLS handshake that failed, a session that TLS ended, or a part of its TLS configuration that the
    /// broker could not load.
    TlsFailures,
    /// A peer broke the protocol, before it had a session or within one.
    ProtocolErrors,
    /// A connection that failed before it had an identity, whatever the reason: TLS, the protocol, no
    /// complete CONNECT, a broker that was full.
    ConnectionErrors,
    /// The broker started.
    BrokerStarts,
    /// A refused login or a failed connection from a public address from which no thing had a session,
    /// as far as is known: somebody who looks what answers there. Public is what is not set apart for
    /// use within networks (RFC 1918, 3927, 4193, 6598) or hosts. An address that the source is not sure
    /// of does not count.
    Probes,
}

impl OwnMetric {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Takeovers,
        Self::AddressChanges,
        Self::NewThings,
        Self::UnknownDevices,
        Self::Reconnects,
        Self::HastyReconnects,
        Self::UncleanDisconnects,
        Self::KeepaliveMisses,
        Self::Flaps,
        Self::DisconnectedThings,
        Self::TlsFailures,
        Self::ProtocolErrors,
        Self::ConnectionErrors,
        Self::BrokerStarts,
        Self::Probes,
    ];

    /// What all their names begin with.
    pub const PREFIX: &'static str = "fleetward:";

    /// The name in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Takeovers => "fleetward:takeovers",
            Self::AddressChanges => "fleetward:address-changes",
            Self::NewThings => "fleetward:new-things",
            Self::UnknownDevices => "fleetward:unknown-devices",
            Self::Reconnects => "fleetward:reconnects",
            Self::HastyReconnects => "fleetward:hasty-reconnects",
            Self::UncleanDisconnects => "fleetward:unclean-disconnects",
            Self::KeepaliveMisses => "fleetward:keepalive-misses",
            Self::Flaps => "fleetward:flaps",
            Self::DisconnectedThings => "fleetward:disconnected-things",
            Self::TlsFailures => "fleetward:tls-failures",
            Self::ProtocolErrors => "fleetward:protocol-errors",
            Self::ConnectionErrors => "fleetward:connection-errors",
            Self::BrokerStarts => "fleetward:broker-starts",
            Self::Probes => "fleetward:probes",
        }
    }

    /// Facts that feed it.
    #[must_use]
    pub const fn facts(self) -> &'static [Fact] {
        match self {
            Self::Takeovers | Self::AddressChanges => &[Fact::Addresses],
            Self::NewThings
            | Self::UnknownDevices
            | Self::Reconnects
            | Self::HastyReconnects
            | Self::UncleanDisconnects
            | Self::KeepaliveMisses
            | Self::Flaps
            | Self::DisconnectedThings => &[Fact::Sessions],
            Self::TlsFailures | Self::ProtocolErrors => &[Fact::Sessions, Fact::ConnectionErrors],
            Self::ConnectionErrors => &[Fact::ConnectionErrors],
            Self::BrokerStarts => &[Fact::BrokerStarts],
            Self::Probes => &[Fact::AuthFailures, Fact::ConnectionErrors],
        }
    }

    /// Whether its events are counted; else it is a share that is observed now and then.
    #[must_use]
    pub const fn is_counter(self) -> bool {
        !matches!(self, Self::DisconnectedThings)
    }
}

impl fmt::Display for OwnMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OwnMetric {
    /// A known name that is near, if any.
    type Err = Option<&'static str>;

    fn from_str(text: &str) -> Result<Self, Option<&'static str>> {
        let found = Self::ALL.into_iter().find(|metric| metric.name() == text);
        found.ok_or_else(|| nearest(text, Self::ALL.into_iter().map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back_and_stand_at_their_index() {
        for (index, metric) in OwnMetric::ALL.into_iter().enumerate() {
            assert_eq!(metric.name().parse(), Ok(metric));
            assert_eq!(metric as usize, index);
            assert!(metric.name().starts_with(OwnMetric::PREFIX));
        }
        assert_eq!("fleetward:takeover".parse::<OwnMetric>(), Err(Some("fleetward:takeovers")));
    }
}
