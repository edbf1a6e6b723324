//! What an event means beyond the counters of AWS: reconnects, takeovers, shares of groups; and for
//! which entities other than things it counts.

use std::{collections::BTreeMap, net::IpAddr};

use behaviors::{
    own::OwnMetric,
    set::{EntityKind, MetricKey},
};
use fleet::{
    event::{Attribution, ConnectionErrorKind, DisconnectReason},
    ids::GroupName,
    registry::Registry,
};
use xxhash_rust::xxh3::xxh3_64;

use super::session::Thing;
use crate::{batch::Keyed, names::tags};

/// A session that is shorter has flapped; a new one that comes sooner is a reconnect; seconds.
const SHORT_SECS: u32 = 60;
/// Whose session lasted as long is missed when it goes, seconds: the default window of a judgement. What
/// never holds a session over one, such as a tool or a health check, says nothing by its absence.
const LASTING_SECS: u32 = 300;
/// A session that was ended by a takeover waits so long for the one that took over, seconds.
const TAKEOVER_SECS: u32 = 5;
/// Things that a share is told of at least. Of fewer a share says little: of five things that are
/// switched off in the evening the last one is 20 percent. From twenty on one thing is 5 percent.
const SHARE_MIN: u32 = 20;
/// Longest text of a key, bytes; of a longer one a part and its hash stand for it.
const KEY_BYTES_MAX: usize = 256;

/// The bit of one of our own metrics.
pub(crate) const fn own(metric: OwnMetric) -> u64 {
    match MetricKey::Own(metric).bit() {
        Some(bit) => 1 << bit,
        None => 0,
    }
}

/// The bit of a metric of AWS.
pub(crate) const fn aws(metric: fleet::metric::AwsMetric) -> u64 {
    1 << metric as u32
}

/// A short hash of an address; 0 stands for none.
pub(crate) fn ip_hash(ip: IpAddr) -> u32 {
    let hash = match ip {
        IpAddr::V4(ip) => xxh3_64(&ip.octets()),
        IpAddr::V6(ip) => xxh3_64(&ip.octets()),
    };
    u32::try_from(hash >> 32).unwrap_or(0).max(1)
}

/// What a new session means, given the thing as it was before; takes note of it.
pub(crate) fn connects(thing: &mut Thing, at: u32, ip: Option<IpAddr>) -> u64 {
    let mut bits = 0;
    let ip = ip.map_or(0, ip_hash);
    if thing.since == 0 {
        bits |= own(OwnMetric::NewThings);
    }
    if ip != 0 && thing.ip != 0 && ip != thing.ip {
        bits |= own(OwnMetric::AddressChanges);
        let just_taken = thing.taken && at.saturating_sub(thing.left) <= TAKEOVER_SECS;
        if thing.connected || just_taken {
            bits |= own(OwnMetric::Takeovers);
        }
    }
    thing.session_lasted(at);
    let left = if thing.connected { at } else { thing.left };
    let wait = at.saturating_sub(left);
    if thing.since != 0 && wait <= SHORT_SECS {
        bits |= own(OwnMetric::Reconnects);
        let short = left.saturating_sub(thing.since) < SHORT_SECS;
        thing.streak = if short { thing.streak.saturating_add(1) } else { 1 };
        let least = (1_u32 << thing.streak.min(6)) / 2;
        if wait < least {
            bits |= own(OwnMetric::HastyReconnects);
        }
    } else {
        thing.streak = 0;
    }
    thing.since = at.max(1);
    thing.taken = false;
    if ip != 0 {
        thing.ip = ip;
    }
    bits
}

/// What the end of a session means; takes note of it.
pub(crate) fn disconnects(thing: &mut Thing, at: u32, reason: DisconnectReason) -> u64 {
    let mut bits = 0;
    match reason {
        DisconnectReason::Unclean => bits |= own(OwnMetric::UncleanDisconnects),
        DisconnectReason::Timeout => {
            bits |= own(OwnMetric::UncleanDisconnects) | own(OwnMetric::KeepaliveMisses);
        }
        DisconnectReason::Takeover => thing.taken = true,
        DisconnectReason::Tls => bits |= own(OwnMetric::TlsFailures),
        DisconnectReason::Protocol => bits |= own(OwnMetric::ProtocolErrors),
        DisconnectReason::Clean
        | DisconnectReason::Kicked
        | DisconnectReason::Auth
        | DisconnectReason::Unknown => {}
    }
    if thing.connected && at.saturating_sub(thing.since) < SHORT_SECS {
        bits |= own(OwnMetric::Flaps);
    }
    thing.session_lasted(at);
    thing.known &= thing.lasting;
    thing.left = at;
    bits
}

impl Thing {
    /// An open session ends at `at`: takes note of whether it was a long one.
    pub(crate) const fn session_lasted(&mut self, at: u32) {
        self.lasting |= self.connected && at.saturating_sub(self.since) >= LASTING_SECS;
    }
}

/// Whether an address belongs to nobody's own network or host (RFC 1918, 3927, 4193, 6598).
pub(crate) const fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = matches!(ip.octets(), [100, second, ..] if second & 0b1100_0000 == 64);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared)
        }
        IpAddr::V6(ip) => {
            let own = ip.is_unique_local() || ip.is_unicast_link_local();
            !(own || ip.is_loopback() || ip.is_unspecified())
        }
    }
}

/// What a connection means that failed before it had an identity.
pub(crate) const fn fails(kind: ConnectionErrorKind) -> u64 {
    let also = match kind {
        // Not a connection that failed: none can be made.
        ConnectionErrorKind::TlsSetup => return own(OwnMetric::TlsFailures),
        ConnectionErrorKind::Tls => own(OwnMetric::TlsFailures),
        ConnectionErrorKind::Protocol => own(OwnMetric::ProtocolErrors),
        ConnectionErrorKind::TooMany | ConnectionErrorKind::NoConnect => 0,
    };
    own(OwnMetric::ConnectionErrors) | also
}

/// How many things of the fleet and of each group are known, and connected. Made again from the
/// things when rules or groups change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    fleet: Share,
    groups: BTreeMap<GroupName, Share>,
}

/// Things that were connected since their broker began, and those of them that are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    known: u32,
    connected: u32,
}

impl Share {
    fn change(&mut self, known: i32, connected: i32) {
        self.known = self.known.saturating_add_signed(known);
        self.connected = self.connected.saturating_add_signed(connected);
    }

    /// Percentage of the known things that are not connected, whole percents.
    pub(crate) fn disconnected(self) -> Option<u32> {
        let away = u64::from(self.known.saturating_sub(self.connected));
        if self.known < SHARE_MIN {
            return None;
        }
        u32::try_from(away * 100 / u64::from(self.known)).ok()
    }
}

impl Shares {
    pub(crate) fn change(&mut self, name: &str, registry: &Registry, known: i32, connected: i32) {
        if known == 0 && connected == 0 {
            return;
        }
        self.fleet.change(known, connected);
        for group in groups_of(name, registry) {
            match self.groups.get_mut(group) {
                Some(share) => share.change(known, connected),
                None => self.groups.entry(group.clone()).or_default().change(known, connected),
            }
        }
    }

    pub(crate) const fn fleet(&self) -> Share {
        self.fleet
    }

    pub(crate) fn of_group(&self, group: &GroupName) -> Share {
        self.groups.get(group).copied().unwrap_or_default()
    }
}

/// The groups of a thing and those above them, each once, by name.
pub(crate) fn groups_of<'r>(name: &str, registry: &'r Registry) -> Vec<&'r GroupName> {
    let direct = registry.things.get(name).into_iter().flat_map(|thing| &thing.groups);
    let mut all: Vec<&GroupName> = direct.flat_map(|group| registry.ancestors(group)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What an event says, as far as it matters to entities other than things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing<'a> {
    /// Metrics that it counts for.
    pub(crate) bits: u64,
    /// Size of a message, or a share.
    pub(crate) value: u32,
    pub(crate) who: Attribution,
    /// The thing that did it, if it is known.
    pub(crate) thing: Option<&'a str>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) principal: Option<&'a str>,
    pub(crate) topic: &'a str,
    /// Client id of a refused login.
    pub(crate) claimed: Option<&'a str>,
}

impl Doing<'_> {
    /// What counts for these metrics, without what only some events know.
    pub(crate) const fn of(bits: u64) -> Self {
        let who = Attribution::Certain;
        Self { bits, value: 0, who, thing: None, ip: None, principal: None, topic: "", claimed: None }
    }

    /// What behaviors can count different ones of, by [`behaviors::set::Item`]; 0 for what is not known.
    pub(crate) fn items(&self) -> [u64; 4] {
        let text = |text: Option<&str>| text.map_or(0, |text| xxh3_64(text.as_bytes()).max(1));
        [
            text(self.thing.or(self.claimed)),
            self.ip.map_or(0, |ip| match ip {
                IpAddr::V4(ip) => xxh3_64(&ip.octets()).max(1),
                IpAddr::V6(ip) => xxh3_64(&ip.octets()).max(1),
            }),
            text(self.principal),
            text(Some(self.topic).filter(|topic| !topic.is_empty())),
        ]
    }

    /// Calls `tell` with the name of each entity of the kind that the event counts for.
    pub(crate) fn keys(&self, kind: EntityKind, registry: &Registry, mut tell: impl FnMut(Keyed<'_>)) {
        let mut one = |tag: u8, text: Option<&str>, who| {
            if let Some(text) = text {
                let text = short(text);
                tell(Keyed { head: &[tag], tail: text.as_bytes(), who });
            }
        };
        match kind {
            EntityKind::Thing => one(tags::THING, self.thing, self.who),
            EntityKind::Principal => one(tags::PRINCIPAL, self.principal, self.who),
            EntityKind::Topic => {
                one(tags::TOPIC, Some(self.topic).filter(|topic| !topic.is_empty()), self.who)
            }
            EntityKind::Fleet => one(tags::FLEET, Some(""), self.who),
            // Somebody said so; it may have been anybody.
            EntityKind::ClaimedClientId => one(tags::CLAIMED, self.claimed, Attribution::Ambiguous),
            EntityKind::ThingGroup => {
                for group in self.thing.map(|name| groups_of(name, registry)).unwrap_or_default() {
                    one(tags::GROUP, Some(group.as_str()), self.who);
                }
            }
            EntityKind::SourceIp { v4, v6 } => {
                if let Some(ip) = self.ip {
                    network(ip, v4, v6, |head, tail| tell(Keyed { head, tail, who: self.who }));
                }
            }
        }
    }
}

/// The name of the network that an address lies in; of an address by itself that of the address.
fn network(ip: IpAddr, v4: u8, v6: u8, tell: impl FnOnce(&[u8], &[u8])) {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            let octets = (u32::from(ip) & mask).to_be_bytes();
            if v4 >= 32 { tell(&[tags::V4], &octets) } else { tell(&[tags::NET4, v4], &octets) }
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            let octets = (u128::from(ip) & mask).to_be_bytes();
            if v6 >= 128 { tell(&[tags::V6], &octets) } else { tell(&[tags::NET6, v6], &octets) }
        }
    }
}

fn short(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= KEY_BYTES_MAX {
        return text.into();
    }
    let begin: String = text.chars().take(24).collect();
    format!("{begin}~{:016x}", xxh3_64(text.as_bytes())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps such as `+10@a` (connect at 10 s from address a), `-20` (clean), `-20t` (timeout), `-20u`
    /// (unclean), `-20k` (taken over); then the names of the metrics of each, without prefix.
    fn check(steps: &str, expected: &str) {
        let mut thing = Thing::new();
        let mut told = Vec::new();
        for step in steps.split_whitespace() {
            let bits = if let Some(step) = step.strip_prefix('+') {
                let (at, ip) = step.split_once('@').unwrap_or((step, ""));
                let ip = ip.bytes().next().map(|byte| IpAddr::from([10, 0, 0, byte]));
                let bits = connects(&mut thing, at.parse().unwrap(), ip);
                thing.connected = true;
                bits
            } else {
                let at: String = step.chars().filter(char::is_ascii_digit).collect();
                let reason = match step.chars().last() {
                    Some('t') => DisconnectReason::Timeout,
                    Some('u') => DisconnectReason::Unclean,
                    Some('k') => DisconnectReason::Takeover,
                    _ => DisconnectReason::Clean,
                };
                let bits = disconnects(&mut thing, at.parse().unwrap(), reason);
                thing.connected = false;
                bits
            };
            let names = OwnMetric::ALL.into_iter().filter(|metric| bits & own(*metric) != 0);
            told.push(
                names.map(|metric| metric.name().replace("fleetward:", "")).collect::<Vec<_>>().join("+"),
            );
        }
        assert_eq!(told.join(" "), expected, "{steps}");
    }

    #[test]
    fn sessions_tell_more_than_their_number() {
        check("+10@a -100 +200@a", "new-things  ");
        check("+10@a +20@b", "new-things takeovers+address-changes+reconnects+hasty-reconnects");
        check("+10@a -100k +101@b", "new-things  takeovers+address-changes+reconnects");
        check("+10@a -100k +106@b", "new-things  address-changes+reconnects");
        check("+10@a +20@a", "new-things reconnects+hasty-reconnects");
        check("+10@a -500 +600@b", "new-things  address-changes");
        check("+10 -20t -30u", "new-things unclean-disconnects+keepalive-misses+flaps unclean-disconnects");
        check("+10 -69 -70", "new-things flaps ");
        check("+10 -70", "new-things ");
    }

    #[test]
    fn each_reconnect_in_a_row_must_wait_twice_as_long() {
        // 1 s, then 2, 4, 8, 16, 32, and never more.
        check(
            "+10 -20 +21 -30 +32 -40 +44 -50 +58",
            "new-things flaps reconnects flaps reconnects flaps reconnects flaps reconnects",
        );
        check(
            "+10 -20 +20 -30 +31 -40 +43",
            "new-things flaps reconnects+hasty-reconnects flaps reconnects+hasty-reconnects flaps reconnects+hasty-reconnects",
        );
        // A session that lasts ends the row; so does a pause.
        check("+10 -20 +21 -90 +91", "new-things flaps reconnects  reconnects");
        check("+10 -20 +81 -90 +91", "new-things flaps  flaps reconnects");
    }

    #[test]
    fn only_a_thing_with_a_lasting_session_is_missed() {
        let known_after = |sessions: &[(u32, u32)]| {
            let mut thing = Thing::new();
            for &(from, to) in sessions {
                connects(&mut thing, from, None);
                (thing.connected, thing.known) = (true, true);
                disconnects(&mut thing, to, DisconnectReason::Clean);
                thing.connected = false;
            }
            thing.known
        };
        assert!(!known_after(&[(10, 309)]), "a second short of five minutes");
        assert!(known_after(&[(10, 310)]));
        assert!(known_after(&[(10, 310), (400, 401)]), "once is enough");
        let mut taken = Thing::new();
        connects(&mut taken, 10, None);
        taken.connected = true;
        connects(&mut taken, 310, None);
        assert!(taken.lasting, "a session that another one of the id ended lasted as well");
    }

    #[test]
    fn what_is_set_apart_for_networks_is_not_public() {
        let own = [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
        ];
        let public = ["8.8.8.8", "203.0.113.3", "100.63.0.1", "100.128.0.1", "172.32.0.1", "2001:db8::1"];
        for ip in own {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in public {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_share_is_told_from_twenty_things_on() {
        let share = |known, connected| Share { known, connected }.disconnected();
        assert_eq!(
            [share(19, 0), share(20, 20), share(20, 19), share(20, 0), share(21, 12)],
            [None, Some(0), Some(5), Some(100), Some(42)]
        );
    }

    #[test]
    fn networks_are_cut_at_their_prefix() {
        let check = |ip: &str, v4, v6, expected: &[u8]| {
            let mut found = Vec::new();
            network(ip.parse().unwrap(), v4, v6, |head, tail| found = [head, tail].concat());
            assert_eq!(found, expected, "{ip}");
        };
        check("10.1.2.3", 32, 128, &[tags::V4, 10, 1, 2, 3]);
        check("10.1.2.3", 24, 128, &[tags::NET4, 24, 10, 1, 2, 0]);
        check("10.1.2.3", 0, 128, &[tags::NET4, 0, 0, 0, 0, 0]);
        check("2001:db8::1", 32, 32, &[&[tags::NET6, 32, 0x20, 1, 0xd, 0xb8][..], &[0; 12]].concat());
        check("::", 32, 0, &[&[tags::NET6, 0][..], &[0; 16]].concat());
    }
}
