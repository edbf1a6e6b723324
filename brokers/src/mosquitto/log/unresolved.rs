//! Who failed to log in, where the log line does not say (Mosquitto before 2.1).
//!
//! `Client <unknown> disconnected, not authorised.` names nobody. Connections that were accepted
//! and have not become a client are kept; failures are held until every one of them is accounted
//! for, then the group is charged at once. Measured on the burst captures, naming the latest
//! connection is right for 46 of 87 failures, this rule for 87 of 87.
//!
//! A peer that connects and stays silent keeps the group open. Failures therefore wait at most
//! [`WAIT_MS`]; then they are spread over the group as ambiguous, and the connections that are
//! left over go on to blur later groups until they end, log in, or are older than [`OLD_MS`].
//! When all candidates have one address, that address is charged for sure whatever the order.

use std::net::IpAddr;

use fleet::{
    event::{Attribution, ConnectionErrorKind},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Longest wait of a failure for its address, ms.
pub(super) const WAIT_MS: i64 = 10_000;

/// A connection that neither logged in nor ended after this time is forgotten, ms. Mosquitto
/// itself ends a connection without CONNECT after 90 s.
pub(super) const OLD_MS: i64 = 120_000;

/// Most connections kept. One more spreads what waits as ambiguous and forgets the oldest;
/// groups are then ambiguous for [`OLD_MS`].
pub(super) const CONNECTIONS_MAX: usize = 256;

/// Address and port of the other side. Brokers before 1.6 print no port: 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Peer {
    pub(super) ip: Option<IpAddr>,
    pub(super) port: u16,
}

impl Peer {
    /// From `IP:PORT` or `IP`; an IPv6 address stands without brackets.
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some((ip, port)) = text.rsplit_once(':')
            && let (Ok(ip), Ok(port)) = (ip.parse(), port.parse())
        {
            return Some(Self { ip: Some(ip), port });
        }
        text.parse().ok().map(|ip| Self { ip: Some(ip), port: 0 })
    }

    fn is(self, other: Self) -> bool {
        self.ip == other.ip && (self.port == other.port || self.port == 0 || other.port == 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Accepted {
    peer: Peer,
    at: Timestamp,
}

/// How a connection ended that had no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum EndKind {
    Auth,
    Tls,
    Protocol,
    NoConnect,
}

impl EndKind {
    pub(super) const fn error(self) -> Option<ConnectionErrorKind> {
        match self {
            Self::Auth => None,
            Self::Tls => Some(ConnectionErrorKind::Tls),
            Self::Protocol => Some(ConnectionErrorKind::Protocol),
            Self::NoConnect => Some(ConnectionErrorKind::NoConnect),
        }
    }
}

/// The end of a connection whose address is still sought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) kind: EndKind,
    /// Client id that the line names, if any: a claim.
    pub(super) claim: Option<Box<str>>,
    pub(super) at: Timestamp,
    pub(super) arrival: Timestamp,
}

/// An end with what is known of its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) end: End,
    pub(super) ip: Option<IpAddr>,
    pub(super) attribution: Attribution,
}

/// Connections without identity, and ends that wait for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unresolved {
    /// Accepted and unresolved, oldest first.
    fresh: Vec<Accepted>,
    /// Left over from groups that were spread, oldest first.
    stale: Vec<Accepted>,
    /// How many of `stale` have not ended. INVARIANT: at most `stale.len()`, and 0 only if empty.
    stale_alive: usize,
    /// Ends without an address. INVARIANT: fewer than connections alive.
    ends: Vec<End>,
    /// Connections were forgotten: groups before this time are ambiguous.
    blurred_until: Option<Timestamp>,
    /// Clients come in that are never announced (a websockets listener before 2.1).
    unannounced: bool,
}

impl Unresolved {
    /// There are connections that the log does not announce. They never fail to log in with a
    /// line of their own, but end like a connection without CONNECT (libwebsockets).
    pub(super) fn expect_unannounced(&mut self) {
        self.unannounced = true;
    }

    /// `New connection from IP:PORT`.
    pub(super) fn accept(&mut self, peer: Peer, at: Timestamp) -> Vec<Settled> {
        let mut settled = Vec::new();
        if self.fresh.len() + self.stale.len() >= CONNECTIONS_MAX {
            settled = self.spread();
            self.forget_oldest();
            self.blurred_until = Some(at.plus_millis(OLD_MS));
        }
        self.fresh.push(Accepted { peer, at });
        settled
    }

    /// The connection has an identity now, or ended with its address in the line.
    pub(super) fn resolve(&mut self, peer: Peer) -> Vec<Settled> {
        self.remove(peer);
        self.settle_if_complete()
    }

    /// Whether a connection with this address and port has no identity yet.
    pub(super) fn has(&self, peer: Peer) -> bool {
        self.all().any(|accepted| accepted.peer.is(peer))
    }

    /// Whether there is any connection without identity.
    pub(super) fn is_empty(&self) -> bool {
        self.alive() == 0
    }

    /// An end that another line ties to the address `ip` (not to a port).
    pub(super) fn end_at(&mut self, end: End, ip: IpAddr) -> Vec<Settled> {
        let peer = Peer { ip: Some(ip), port: 0 };
        let mut settled = vec![Settled { end, ip: Some(ip), attribution: Attribution::Address }];
        settled.extend(self.resolve(peer));
        settled
    }

    /// An end without address.
    pub(super) fn end(&mut self, end: End) -> Vec<Settled> {
        if self.alive() == 0 {
            return vec![Settled { end, ip: None, attribution: Attribution::Ambiguous }];
        }
        if self.unannounced && end.kind == EndKind::NoConnect {
            self.blurred_until = Some(end.at.plus_millis(OLD_MS));
        }
        self.ends.push(end);
        self.settle_if_complete()
    }

    /// Lets what waited too long go, by the log's own clock.
    pub(super) fn pass(&mut self, at: Timestamp) -> Vec<Settled> {
        let late = self.ends.first().is_some_and(|end| at.millis_since(end.at) > WAIT_MS);
        let settled = if late { self.spread() } else { Vec::new() };
        self.forget(|accepted| at.millis_since(accepted.at) > OLD_MS);
        settled
    }

    /// Lets what waited too long go, by time of arrival.
    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<Settled> {
        let late = self.ends.first().is_some_and(|end| now.millis_since(end.arrival) >= WAIT_MS);
        if late { self.spread() } else { Vec::new() }
    }

    /// Spreads what waits and forgets everything.
    pub(super) fn clear(&mut self) -> Vec<Settled> {
        let settled = self.spread();
        *self = Self::default();
        settled
    }

    fn all(&self) -> impl Iterator<Item = &Accepted> {
        self.stale.iter().chain(&self.fresh)
    }

    fn alive(&self) -> usize {
        self.fresh.len() + self.stale_alive
    }

    fn remove(&mut self, peer: Peer) {
        if let Some(found) = self.fresh.iter().position(|accepted| accepted.peer.is(peer)) {
            self.fresh.remove(found);
        } else if let Some(found) = self.stale.iter().position(|accepted| accepted.peer.is(peer)) {
            self.stale.remove(found);
            self.keep_alive(self.stale_alive.saturating_sub(1));
        }
    }

    /// `alive` of the stale connections have not ended, so far as is known.
    fn keep_alive(&mut self, alive: usize) {
        self.stale_alive = alive.min(self.stale.len());
        if self.stale_alive == 0 {
            self.stale.clear();
        }
    }

    fn is_blurred(&self) -> bool {
        let last = self.ends.last().map(|end| end.at);
        self.blurred_until.zip(last).is_some_and(|(until, last)| last < until)
    }

    fn settle_if_complete(&mut self) -> Vec<Settled> {
        if self.ends.is_empty() || self.ends.len() < self.alive() {
            return Vec::new();
        }
        let one_kind = self.ends.windows(2).all(|pair| matches!(pair, [a, b] if a.kind == b.kind));
        let settled = self.charge(one_kind && self.stale_alive == self.stale.len());
        self.fresh.clear();
        self.stale.clear();
        self.stale_alive = 0;
        settled
    }

    /// Charges the waiting ends to the oldest connections without knowing that it was them.
    fn spread(&mut self) -> Vec<Settled> {
        let gone = self.ends.len();
        let settled = self.charge(false);
        if gone > 0 {
            let alive = self.alive().saturating_sub(gone);
            self.stale.append(&mut self.fresh);
            self.keep_alive(alive);
        }
        settled
    }

    /// Gives each waiting end a connection, in order of age.
    fn charge(&mut self, exact: bool) -> Vec<Settled> {
        let ips: Vec<_> = self.all().map(|accepted| accepted.peer.ip).collect();
        let first = ips.first().copied().flatten();
        let one_address = first.is_some() && ips.iter().all(|ip| *ip == first);
        let attribution = if (exact || one_address) && !self.is_blurred() {
            Attribution::Address
        } else {
            Attribution::Ambiguous
        };
        let mut ips = ips.into_iter();
        let settle = |mut end: End| {
            if !one_address {
                // Which of the group claimed which id is not known.
                end.claim = None;
            }
            Settled { end, ip: ips.next().flatten(), attribution }
        };
        self.ends.drain(..).map(settle).collect()
    }

    fn forget(&mut self, is_old: impl Fn(&Accepted) -> bool) {
        self.stale.retain(|accepted| !is_old(accepted));
        self.keep_alive(self.stale_alive);
        // Fresh ones that are part of a waiting group stay until the group is settled.
        if self.ends.is_empty() {
            self.fresh.retain(|accepted| !is_old(accepted));
        }
    }

    fn forget_oldest(&mut self) {
        if self.stale.is_empty() {
            if !self.fresh.is_empty() {
                self.fresh.remove(0);
            }
        } else {
            self.stale.remove(0);
            self.keep_alive(self.stale_alive);
        }
    }
}
