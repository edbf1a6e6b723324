//! What devices do, as brokers and devices tell it.
//!
//! An event borrows from the message that it was decoded from, so that decoding
//! allocates nothing. One model for all brokers: `broker-integration.md`, section 9.

use std::net::IpAddr;

use crate::{report::ReportBuf, time::Timestamp};

/// One thing that happened, at the source's own time where that is trustworthy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// Event time.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind<'a>,
}

/// Kinds of event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventKind<'a> {
    /// A session was established: identity is proven as far as the broker proves it.
    Connect(Connect<'a>),
    /// A session ended.
    Disconnect {
        /// Client id of the session.
        client: &'a str,
        /// Why.
        reason: DisconnectReason,
        /// The source's own words, empty where it gives none.
        raw: &'a str,
    },
    /// A login was refused. Nothing in it proves who tried.
    AuthFailure(AuthFailure<'a>),
    /// A publish or subscribe of an established session was refused.
    Denied {
        /// Client id of the session.
        client: &'a str,
        /// What was refused.
        action: Action,
        /// Topic or topic filter; empty where the source does not say.
        topic: &'a str,
    },
    /// The device sent a message.
    Publish {
        /// Client id of the session.
        client: &'a str,
        /// Topic.
        topic: &'a str,
        /// Payload size.
        bytes: u32,
    },
    /// The device was sent a message.
    Delivery {
        /// Client id of the session.
        client: &'a str,
        /// Topic.
        topic: &'a str,
        /// Payload size.
        bytes: u32,
    },
    /// The device subscribed.
    Subscribe {
        /// Client id of the session.
        client: &'a str,
        /// Topic filter.
        filter: &'a str,
    },
    /// The device unsubscribed.
    Unsubscribe {
        /// Client id of the session.
        client: &'a str,
        /// Topic filter.
        filter: &'a str,
    },
    /// The device reported its own metrics. The thing is named by the topic, not by the session.
    Report {
        /// Thing of the topic.
        thing: &'a str,
        /// The decoded report.
        report: &'a ReportBuf,
        /// Hash of thing and payload, to know a repeated delivery.
        identity: u64,
    },
    /// The broker broke the protocol off, or the connection failed before it had an identity.
    ConnectionError {
        /// Peer address, where known.
        ip: Option<IpAddr>,
        /// What failed.
        kind: ConnectionErrorKind,
    },
    /// Somebody changed the broker's own access rules.
    AdminChange {
        /// The source's own words.
        raw: &'a str,
    },
    /// The broker started: every session known before is over.
    BrokerStart,
    /// The broker stopped.
    BrokerStop,
    /// The broker read its configuration again.
    BrokerReload,
}

/// A session that was established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Client id.
    pub client: &'a str,
    /// User name, or the certificate's identity where the broker uses it as user name.
    pub user: Option<&'a str>,
    /// Peer address.
    pub ip: Option<IpAddr>,
    /// Whether the connection is a bridge of another broker.
    pub bridge: bool,
}

/// A login that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthFailure<'a> {
    /// Client id that the peer claimed. Never held against the owner of that id.
    pub claimed_client: Option<&'a str>,
    /// User name that the peer claimed.
    pub claimed_user: Option<&'a str>,
    /// Peer address, if one is known.
    pub ip: Option<IpAddr>,
    /// How sure it is that the failure belongs to `ip`.
    pub attribution: Attribution,
}

/// How sure an attribution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Attribution {
    /// Charged to a group of candidates; who it was is not known. Can never trigger an action.
    Ambiguous,
    /// Follows from evidence that names the address, not the device.
    Address,
    /// The broker names the session itself.
    Certain,
}

impl Attribution {
    /// The word used in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::Address => "address",
            Self::Certain => "certain",
        }
    }
}

/// What a session tried to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish to a topic.
    Publish,
    /// Subscribe to a topic filter.
    Subscribe,
}

/// Why a session ended. A reason that is not known is `Unknown`, never an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The client sent DISCONNECT.
    Clean,
    /// The connection was lost.
    Unclean,
    /// Keep-alive ran out.
    Timeout,
    /// Another connection took the client id.
    Takeover,
    /// An administrator ended it.
    Kicked,
    /// No longer authorised.
    Auth,
    /// TLS failed.
    Tls,
    /// The client broke the protocol or a limit.
    Protocol,
    /// None of these.
    Unknown,
}

impl DisconnectReason {
    /// The word used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Unclean => "unclean",
            Self::Timeout => "timeout",
            Self::Takeover => "takeover",
            Self::Kicked => "kicked",
            Self::Auth => "auth",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Unknown => "unknown",
        }
    }
}

/// A connection that failed before it had an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionErrorKind {
    /// TLS handshake failed.
    Tls,
    /// The peer broke the protocol.
    Protocol,
    /// The broker was full.
    TooMany,
    /// The peer never sent a complete CONNECT.
    NoConnect,
    /// The broker itself could not set TLS up: its certificate, key, authorities or revocation list
    /// cannot be loaded. Nobody connects by TLS until it can, or revoked certificates are let in.
    TlsSetup,
}

/// A fact that a source can or cannot supply. A behavior that needs a fact which no
/// connected source gives is blind, and is reported when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// Connects and disconnects by client id.
    Sessions,
    /// Peer addresses of sessions.
    Addresses,
    /// Refused logins.
    AuthFailures,
    /// Refused publishes and subscribes.
    Denials,
    /// Messages that each client sent, with size.
    Publishes,
    /// Messages that each client was sent.
    Deliveries,
    /// Device reports.
    Reports,
    /// Connections that failed before they had an identity.
    ConnectionErrors,
    /// Starts of the broker.
    BrokerStarts,
    /// The client library or firmware that a device runs, as the broker sees it. No source supplies it:
    /// Mosquitto's log does not name it, and the user properties of a CONNECT reach no one but the broker.
    /// A device may report it, as a custom text.
    ClientSoftware,
}

impl Fact {
    /// All facts.
    pub const ALL: [Self; 10] = [
        Self::Sessions,
        Self::Addresses,
        Self::AuthFailures,
        Self::Denials,
        Self::Publishes,
        Self::Deliveries,
        Self::Reports,
        Self::ConnectionErrors,
        Self::BrokerStarts,
        Self::ClientSoftware,
    ];

    /// The word used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Addresses => "addresses",
            Self::AuthFailures => "auth-failures",
            Self::Denials => "denials",
            Self::Publishes => "publishes",
            Self::Deliveries => "deliveries",
            Self::Reports => "reports",
            Self::ConnectionErrors => "connection-errors",
            Self::BrokerStarts => "broker-starts",
            Self::ClientSoftware => "client-software",
        }
    }
}
