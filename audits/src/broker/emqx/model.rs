//! What the rules look at, the same for EMQX 5 and for EMQX 3 and 4.

use super::super::note::At;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub(super) at: At,
    pub(super) text: String,
}

/// What is known of a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Known {
    /// Not set: the default counts.
    #[default]
    Unset,
    Said(Said),
    /// Set to what the files do not tell.
    Unknown,
}

impl Known {
    pub(super) fn said(&self) -> Option<&Said> {
        match self {
            Self::Said(said) => Some(said),
            Self::Unset | Self::Unknown => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.said().map(|said| said.text.as_str())
    }

    /// The value, the default if it is not set; nothing if it is not known.
    pub(super) fn or<'s>(&'s self, default: &'s str) -> Option<&'s str> {
        match self {
            Self::Unset => Some(default),
            Self::Said(said) => Some(&said.text),
            Self::Unknown => None,
        }
    }

    pub(super) const fn is_unset(&self) -> bool {
        matches!(self, Self::Unset)
    }

    pub(super) fn at(&self, else_at: &At) -> At {
        self.said().map_or_else(|| else_at.clone(), |said| said.at.clone())
    }
}

/// A listener of MQTT or of a gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Listener {
    pub(super) at: At,
    /// As a report names it: `tcp:default`.
    pub(super) name: String,
    pub(super) bind: Known,
    /// Its default, where `bind` is not set.
    pub(super) port: &'static str,
    /// TCP or websockets with TLS under them, or DTLS.
    pub(super) tls: bool,
    /// It is not in the files: the broker opens it by itself.
    pub(super) implied: bool,
    pub(super) gateway: bool,
    pub(super) verify: Known,
    pub(super) fail_if_no_peer_cert: Known,
    pub(super) versions: Vec<Said>,
    pub(super) ciphers: Vec<Said>,
    pub(super) crl: bool,
    pub(super) proxy_protocol: Known,
    pub(super) max_connections: Known,
    /// Some rate is limited.
    pub(super) rated: bool,
    /// `enable_authn` of EMQX 5, `allow_anonymous` of its zone in EMQX 4.
    pub(super) anonymous: Known,
    pub(super) peer_cert_as: bool,
}

/// A place where identities or rules are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Backend {
    pub(super) at: At,
    /// `mysql`, `http`, `built_in_database`, ...
    pub(super) kind: String,
    /// It says who clients are, rather than what they may do.
    pub(super) authenticates: bool,
    pub(super) enabled: bool,
    pub(super) servers: Vec<Said>,
    pub(super) tls: Known,
    pub(super) verify: Known,
    pub(super) hash: Known,
    pub(super) salt: Known,
    pub(super) iterations: Known,
    pub(super) jwt: bool,
    pub(super) claims: bool,
    pub(super) disconnects: Known,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Broker {
    pub(super) main: At,
    /// EMQX 3 or 4.
    pub(super) old: bool,
    /// The main file is there, so that what it does not set has its default.
    pub(super) whole: bool,
    pub(super) listeners: Vec<Listener>,
    /// Dashboard and management API in clear.
    pub(super) consoles: Vec<Listener>,
    /// `authentication` cannot be known.
    pub(super) authentication_unknown: bool,
    pub(super) backends: Vec<Backend>,
    /// `allow_anonymous` of EMQX 4.
    pub(super) anonymous: Known,
    pub(super) no_match: Known,
    pub(super) cookie: Known,
    pub(super) cluster: Known,
    pub(super) cluster_tls: Known,
    pub(super) packet: Known,
    pub(super) flapping: Known,
    pub(super) ids_bound: bool,
    pub(super) names_from_certificates: bool,
    /// Passwords and tokens: what it is, whose, and the value.
    pub(super) secrets: Vec<(String, String, Said)>,
    /// The dashboard has its default password unless it is set.
    pub(super) dashboard_password: Known,
    /// Logs: whether it is on, and its level.
    pub(super) logs: Vec<(Known, Known)>,
}
