//! Reads a MUD file, in which a manufacturer describes what a device talks to (RFC 8520; its access
//! lists are those of RFC 8519), and makes of it what a security profile can express.
//!
//! | the file says | the profile has |
//! |---|---|
//! | the device may talk TCP with networks | `aws:destination-ip-addresses` within them |
//! | ... with a domain name, controller, or local networks | the same, once the caller says what addresses these are |
//! | others may open TCP connections to ports of the device | `aws:listening-tcp-ports` within them |
//! | others may send UDP to ports of the device | `aws:listening-udp-ports` within them |
//!
//! Reports name the peers of TCP connections only and not their ports, so ports of peers, UDP and
//! ICMP peers cannot be expressed; each such entry is named. A set is left out when one entry that
//! belongs into it has no addresses or allows anything: a smaller set would raise false alarms.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::document::{Document, Fields, Node};

/// Elements of a set at most (that of a profile).
const ELEMENTS_MAX: usize = 1000;

/// What the caller says names of a MUD file stand for.
pub type Addresses = BTreeMap<String, Vec<IpNet>>;

/// What a MUD file describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `mud-url`
    pub url: String,
    /// `systeminfo`
    pub system: Option<String>,
    /// Networks of the peers of TCP connections; none if they cannot be told.
    pub peers: Option<BTreeSet<IpNet>>,
    /// TCP ports on which the device may be reached; none if they cannot be told.
    pub tcp_ports: Option<BTreeSet<u16>>,
    /// UDP ports on which the device may be reached; none if they cannot be told.
    pub udp_ports: Option<BTreeSet<u16>>,
    /// Names that stand for addresses and for which the caller gave none.
    pub unknown_names: BTreeSet<String>,
    /// Names that stand for addresses.
    pub names: BTreeSet<String>,
    /// What the profile does not express, with its place.
    pub left_out: Vec<String>,
}

impl Description {
    /// The profile in the form of the AWS CLI, for these targets. A set without elements is left out.
    #[must_use]
    pub fn profile(&self, name: &str, targets: &[String]) -> Value {
        let set = |name: &str, metric: &str, operator: &str, key: &str, values: Vec<Value>| {
            (!values.is_empty()).then(|| {
                let mut value = json!({});
                if let Some(members) = value.as_object_mut() {
                    members.insert(key.to_owned(), Value::Array(values));
                }
                json!({"name": name, "metric": metric, "criteria": {
                    "comparisonOperator": operator, "value": value,
                    "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}})
            })
        };
        let peers = self.peers.iter().flatten().map(|network| json!(network_text(network))).collect();
        let ports = |ports: &Option<BTreeSet<u16>>| ports.iter().flatten().map(|port| json!(port)).collect();
        let behaviors = [
            set("described-peers", "aws:destination-ip-addresses", "in-cidr-set", "cidrs", peers),
            set(
                "described-tcp-ports",
                "aws:listening-tcp-ports",
                "in-port-set",
                "ports",
                ports(&self.tcp_ports),
            ),
            set(
                "described-udp-ports",
                "aws:listening-udp-ports",
                "in-port-set",
                "ports",
                ports(&self.udp_ports),
            ),
        ];
        let system = self.system.as_deref().unwrap_or("A device");
        json!({
            "securityProfileName": name,
            "securityProfileDescription": format!("{system}, as {} describes it (RFC 8520).", self.url),
            "behaviors": behaviors.into_iter().flatten().collect::<Vec<_>>(),
            "fleetward": {"targets": targets},
        })
    }

    /// A name for the profile, after the last part of the URL.
    #[must_use]
    pub fn profile_name(&self) -> String {
        let last = self.url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' };
        let name: String = last.chars().map(plain).take(100).collect();
        format!("mud-{}", if name.is_empty() { "device" } else { &name })
    }
}

/// A network of one address as that address.
fn network_text(network: &IpNet) -> String {
    let full = if network.addr().is_ipv4() { 32 } else { 128 };
    if network.prefix_len() == full { network.addr().to_string() } else { network.to_string() }
}

/// Reads a MUD file. If one of the problems is an error, there is no description.
#[must_use]
pub fn read(
    file: &str,
    text: &str,
    addresses: &Addresses,
) -> (Option<Description>, Vec<fleet::problem::Problem>) {
    let mut document = Document::new(file, text);
    let description = document.parse().and_then(|value| {
        let root = Document::root(&value);
        whole(&mut document, &root, addresses)
    });
    let problems: Vec<_> = document.into_problems().collect();
    let refused = problems.iter().any(|problem| problem.severity == fleet::problem::Severity::Error);
    (description.filter(|_| !refused), problems)
}

/// The members of an object. Unknown ones are errors, but those of other YANG modules, which carry
/// the name of their module, are warned of: RFC 8520, section 3.9, allows extensions.
fn members<'v>(document: &mut Document<'_>, node: &Node<'v>, known: &[&str]) -> Option<Fields<'v>> {
    let foreign: Vec<String> =
        node.keys().filter(|key| key.contains(':') && !known.contains(key)).map(str::to_owned).collect();
    for key in &foreign {
        document.warning(node.at(), node.place(), format!("the extension `{key}` is not read"));
    }
    let allowed: Vec<&str> = known.iter().copied().chain(foreign.iter().map(String::as_str)).collect();
    document.fields(node, &allowed)
}

fn whole(document: &mut Document<'_>, root: &Node<'_>, addresses: &Addresses) -> Option<Description> {
    let fields = members(document, root, &["ietf-mud:mud", "ietf-access-control-list:acls"])?;
    let mud = document.required(&fields, "ietf-mud:mud").cloned();
    let acls = document.required(&fields, "ietf-access-control-list:acls").cloned();
    let lists = acls.map(|node| lists(document, &node)).unwrap_or_default();
    let mud = mud.and_then(|node| header(document, &node))?;
    let mut reader = Reader {
        description: Description {
            url: mud.url,
            system: mud.system,
            peers: Some(BTreeSet::new()),
            tcp_ports: Some(BTreeSet::new()),
            udp_ports: Some(BTreeSet::new()),
            ..Description::default()
        },
        addresses,
    };
    let mut used = BTreeSet::new();
    for (direction, named) in [(Direction::From, &mud.from), (Direction::To, &mud.to)] {
        for (name, node) in named {
            let Some(list) = lists.get(name.as_str()) else {
                let message = format!("no access list is named `{name}`");
                document.error(node.at(), node.place(), message);
                continue;
            };
            used.insert(name.as_str());
            for entry in list {
                reader.entry(document, direction, entry);
            }
        }
    }
    for name in lists.keys().filter(|name| !used.contains(name.as_str())) {
        let message = format!("the access list `{name}` belongs to no policy and is not used");
        document.warning(root.at(), "ietf-access-control-list:acls", message);
    }
    reader.finish();
    Some(reader.description)
}

struct Header<'v> {
    url: String,
    system: Option<String>,
    from: Vec<(String, Node<'v>)>,
    to: Vec<(String, Node<'v>)>,
}

const MUD_KEYS: [&str; 15] = [
    "mud-version",
    "mud-url",
    "last-update",
    "mud-signature",
    "cache-validity",
    "is-supported",
    "systeminfo",
    "mfg-name",
    "model-name",
    "firmware-rev",
    "software-rev",
    "documentation",
    "extensions",
    "from-device-policy",
    "to-device-policy",
];

/// The container `mud`: RFC 8520, section 7.
fn header<'v>(document: &mut Document<'_>, node: &Node<'v>) -> Option<Header<'v>> {
    let fields = members(document, node, &MUD_KEYS)?;
    if let Some(node) = document.required(&fields, "mud-version").cloned() {
        document.whole(&node, 1, 1);
    }
    if let Some(node) = document.required(&fields, "last-update").cloned() {
        document.text_of(&node, 1, 64);
    }
    if let Some(node) = document.required(&fields, "is-supported").cloned() {
        document.flag(&node);
    }
    if let Some(node) = fields.get("cache-validity") {
        document.whole(node, 1, 168);
    }
    let system = fields.get("systeminfo").and_then(|node| document.text_of(node, 0, 60)).map(str::to_owned);
    let from = policy(document, &fields, "from-device-policy");
    let to = policy(document, &fields, "to-device-policy");
    let node = document.required(&fields, "mud-url")?.clone();
    let url = document.text_of(&node, 1, 2048)?;
    if !url.starts_with("https://") {
        let message = "expected a URL that begins with `https://` (RFC 8520, section 3.1)".to_owned();
        document.error(node.at(), node.place(), message);
    }
    Some(Header { url: url.to_owned(), system, from, to })
}

/// Names of the access lists of a policy.
fn policy<'v>(document: &mut Document<'_>, fields: &Fields<'v>, key: &str) -> Vec<(String, Node<'v>)> {
    let Some(node) = fields.get(key).cloned() else { return Vec::new() };
    let read = |document: &mut Document<'_>| {
        let policy = members(document, &node, &["access-lists"])?;
        let lists = document.required(&policy, "access-lists")?.clone();
        let lists = members(document, &lists, &["access-list"])?;
        let list = document.required(&lists, "access-list")?.clone();
        document.list(&list)
    };
    let entries = read(document).unwrap_or_default();
    let mut names = Vec::new();
    for entry in entries {
        let Some(fields) = members(document, &entry, &["name"]) else { continue };
        let Some(node) = document.required(&fields, "name").cloned() else { continue };
        names.extend(document.text_of(&node, 1, 64).map(|name| (name.to_owned(), node.clone())));
    }
    names
}

const TYPES: [(&str, ()); 6] = [
    ("ipv4-acl-type", ()),
    ("ipv6-acl-type", ()),
    ("eth-acl-type", ()),
    ("mixed-eth-ipv4-acl-type", ()),
    ("mixed-eth-ipv6-acl-type", ()),
    ("mixed-eth-ipv4-ipv6-acl-type", ()),
];

/// Entries of each access list, by its name.
fn lists<'v>(document: &mut Document<'_>, node: &Node<'v>) -> BTreeMap<String, Vec<Node<'v>>> {
    let mut all = BTreeMap::new();
    let Some(fields) = members(document, node, &["acl"]) else { return all };
    let Some(node) = document.required(&fields, "acl").cloned() else { return all };
    for list in document.list(&node).unwrap_or_default() {
        let Some(fields) = members(document, &list, &["name", "type", "aces"]) else { continue };
        if let Some(node) = fields.get("type") {
            document.word(node, &TYPES);
        }
        let entries = fields.get("aces").and_then(|node| {
            let fields = members(document, node, &["ace"])?;
            document.list(fields.get("ace")?)
        });
        let Some(name_node) = document.required(&fields, "name").cloned() else { continue };
        let Some(name) = document.text_of(&name_node, 1, 64) else { continue };
        if all.insert(name.to_owned(), entries.unwrap_or_default()).is_some() {
            let message = format!("the access list `{name}` is there twice; keep one of them");
            document.error(name_node.at(), name_node.place(), message);
        }
    }
    all
}

/// Which way packets of a policy go, seen from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    From,
    To,
}

/// Protocol of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
    Other,
    /// None is named.
    Any,
}

/// What an entry matches.
#[derive(Debug, Default)]
struct Matches {
    transport: Option<Transport>,
    /// Peers: none if the entry does not restrict them.
    peers: Vec<IpNet>,
    /// A peer is restricted by a name or network.
    restricted: bool,
    /// One of the names has no addresses.
    unresolved: Option<String>,
    /// Ports of the device and of the peer.
    own_ports: Option<Ports>,
    peer_ports: bool,
    initiated: Option<Direction>,
}

/// Ports of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    Range(u16, u16),
    /// All but one, or up to or from one.
    Wide,
}

struct Reader<'a> {
    description: Description,
    addresses: &'a Addresses,
}

impl Reader<'_> {
    fn leave_out(&mut self, node: &Node<'_>, what: &str) {
        self.description.left_out.push(format!("{}: {what}", node.place()));
    }

    fn entry(&mut self, document: &mut Document<'_>, direction: Direction, node: &Node<'_>) {
        let Some(fields) = members(document, node, &["name", "matches", "actions"]) else { return };
        if let Some(node) = document.required(&fields, "name").cloned() {
            document.text_of(&node, 1, 64);
        }
        let accepts = document.required(&fields, "actions").cloned().and_then(|node| {
            let fields = members(document, &node, &["forwarding", "logging"])?;
            let node = document.required(&fields, "forwarding")?.clone();
            document.word(&node, &[("accept", true), ("drop", false), ("reject", false)])
        });
        let matches = match fields.get("matches").cloned() {
            Some(node) => self.matches(document, direction, &node),
            None => Matches::default(),
        };
        match accepts {
            Some(true) => self.accepted(node, direction, &matches),
            Some(false) => {
                self.leave_out(node, "dropped traffic needs no entry: what no entry accepts is dropped (RFC 8520, section 3.10)");
            }
            None => {}
        }
    }

    fn matches(&mut self, document: &mut Document<'_>, direction: Direction, node: &Node<'_>) -> Matches {
        let mut matches = Matches::default();
        let known = ["ietf-mud:mud", "eth", "ipv4", "ipv6", "tcp", "udp", "icmp"];
        let Some(fields) = members(document, node, &known) else { return matches };
        for (key, kind) in [("ipv4", "ipv4"), ("ipv6", "ipv6")] {
            if let Some(node) = fields.get(key).cloned() {
                self.network(document, direction, &node, kind, &mut matches);
            }
        }
        if let Some(node) = fields.get("ietf-mud:mud").cloned() {
            self.class(document, &node, &mut matches);
        }
        for (key, transport) in [("tcp", Transport::Tcp), ("udp", Transport::Udp), ("icmp", Transport::Other)]
        {
            if let Some(node) = fields.get(key).cloned() {
                matches.transport = Some(transport);
                if transport != Transport::Other {
                    ports(document, direction, &node, &mut matches);
                }
            }
        }
        matches
    }

    fn network(
        &mut self,
        document: &mut Document<'_>,
        direction: Direction,
        node: &Node<'_>,
        kind: &str,
        matches: &mut Matches,
    ) {
        let (source, destination) = (format!("source-{kind}-network"), format!("destination-{kind}-network"));
        let known = [
            "ietf-acldns:src-dnsname",
            "ietf-acldns:dst-dnsname",
            "protocol",
            &source,
            &destination,
            "dscp",
            "ecn",
            "length",
            "ttl",
        ];
        let Some(fields) = members(document, node, &known) else { return };
        if let Some(node) = fields.get("protocol") {
            matches.transport = document.whole(node, 0, 255).map(|number| match number {
                6 => Transport::Tcp,
                17 => Transport::Udp,
                _ => Transport::Other,
            });
        }
        let (network, name) = match direction {
            Direction::From => (&destination, "ietf-acldns:dst-dnsname"),
            Direction::To => (&source, "ietf-acldns:src-dnsname"),
        };
        if let Some(node) = fields.get(network)
            && let Some(text) = document.text(node)
        {
            matches.restricted = true;
            match text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) {
                Some(network) => matches.peers.push(network.trunc()),
                None => {
                    let message = format!("found `{text}`; expected a network such as `192.0.2.0/24`");
                    document.error(node.at(), node.place(), message);
                }
            }
        }
        if let Some(node) = fields.get(name)
            && let Some(text) = document.text_of(node, 1, 253)
        {
            self.named(text, matches);
        }
    }

    /// A class of peers: RFC 8520, section 8.
    fn class(&mut self, document: &mut Document<'_>, node: &Node<'_>, matches: &mut Matches) {
        let known =
            ["manufacturer", "same-manufacturer", "model", "local-networks", "controller", "my-controller"];
        let Some(fields) = members(document, node, &known) else { return };
        for key in ["same-manufacturer", "local-networks", "my-controller"] {
            if fields.has(key) {
                self.named(key, matches);
            }
        }
        for key in ["manufacturer", "model", "controller"] {
            if let Some(node) = fields.get(key)
                && let Some(text) = document.text_of(node, 1, 2048)
            {
                self.named(text, matches);
            }
        }
    }

    fn named(&mut self, name: &str, matches: &mut Matches) {
        matches.restricted = true;
        self.description.names.insert(name.to_owned());
        match self.addresses.get(name) {
            Some(networks) => matches.peers.extend(networks),
            None => {
                self.description.unknown_names.insert(name.to_owned());
                matches.unresolved = Some(name.to_owned());
            }
        }
    }

    fn accepted(&mut self, node: &Node<'_>, direction: Direction, matches: &Matches) {
        let transport = matches.transport.unwrap_or(Transport::Any);
        let inbound = matches.initiated == Some(Direction::To);
        match transport {
            Transport::Other => self.leave_out(node, "only TCP and UDP are reported by devices"),
            Transport::Udp => self.leave_out(node, "peers of UDP are not reported by devices"),
            Transport::Tcp | Transport::Any => self.peer(node, matches),
        }
        if matches.peer_ports && transport != Transport::Other {
            self.leave_out(node, "ports of peers are not reported by devices");
        }
        // Replies to what the device began use a port of the moment, which is none it listens on.
        let reached = direction == Direction::To && matches.initiated != Some(Direction::From);
        if (reached || (direction == Direction::From && inbound && matches.own_ports.is_some()))
            && transport != Transport::Other
        {
            self.own_ports(node, transport, matches.own_ports);
        }
    }

    fn peer(&mut self, node: &Node<'_>, matches: &Matches) {
        if let Some(name) = &matches.unresolved {
            self.leave_out(node, &format!("the addresses of `{name}` are not known"));
            self.description.peers = None;
        } else if !matches.restricted {
            self.leave_out(node, "any peer is allowed");
            self.description.peers = None;
        } else if let Some(peers) = &mut self.description.peers {
            peers.extend(&matches.peers);
        }
    }

    fn own_ports(&mut self, node: &Node<'_>, transport: Transport, ports: Option<Ports>) {
        let Description { tcp_ports, udp_ports, .. } = &mut self.description;
        let sets = match transport {
            Transport::Tcp => vec![tcp_ports],
            Transport::Udp => vec![udp_ports],
            Transport::Any | Transport::Other => vec![tcp_ports, udp_ports],
        };
        let mut wide = false;
        for set in sets {
            match (ports, set.as_mut()) {
                (Some(Ports::Range(from, to)), Some(known))
                    if usize::from(to - from) < ELEMENTS_MAX && known.len() < ELEMENTS_MAX =>
                {
                    known.extend(from..=to);
                }
                (_, None) => {}
                _ => {
                    *set = None;
                    wide = true;
                }
            }
        }
        if wide {
            self.leave_out(node, "too many ports of the device are allowed for a set");
        }
    }

    /// A set that grew past what a profile takes is left out.
    fn finish(&mut self) {
        let total = |set: Option<usize>| set.unwrap_or(0);
        let Description { peers, tcp_ports, udp_ports, .. } = &self.description;
        let elements = total(peers.as_ref().map(BTreeSet::len))
            + total(tcp_ports.as_ref().map(BTreeSet::len))
            + total(udp_ports.as_ref().map(BTreeSet::len));
        if elements > ELEMENTS_MAX {
            let message =
                format!("the sets have {elements} elements together; a profile takes {ELEMENTS_MAX}");
            self.description.left_out.push(message);
            (self.description.peers, self.description.tcp_ports, self.description.udp_ports) =
                (None, None, None);
        }
    }
}

/// Ports of `tcp` or `udp`, and who begins.
fn ports(document: &mut Document<'_>, direction: Direction, node: &Node<'_>, matches: &mut Matches) {
    let known = ["source-port", "destination-port", "ietf-mud:direction-initiated", "flags"];
    let Some(fields) = members(document, node, &known) else { return };
    let (own, peer) = match direction {
        Direction::From => ("source-port", "destination-port"),
        Direction::To => ("destination-port", "source-port"),
    };
    if let Some(node) = fields.get(own) {
        matches.own_ports = port(document, node);
    }
    if let Some(node) = fields.get(peer) {
        matches.peer_ports = port(document, node).is_some();
    }
    if let Some(node) = fields.get("ietf-mud:direction-initiated") {
        let words = [("from-device", Direction::From), ("to-device", Direction::To)];
        matches.initiated = document.word(node, &words);
    }
}

/// A port or a range of them: RFC 8519, section 4.2, `port-range-or-operator`.
fn port(document: &mut Document<'_>, node: &Node<'_>) -> Option<Ports> {
    let fields = members(document, node, &["operator", "port", "lower-port", "upper-port"])?;
    let number = |document: &mut Document<'_>, node: &Node<'_>| {
        document.whole(node, 0, u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
    };
    if fields.has("lower-port") || fields.has("upper-port") {
        let lower = document.required(&fields, "lower-port").cloned();
        let upper = document.required(&fields, "upper-port").cloned();
        let (lower, upper_port) = (number(document, &lower?)?, number(document, upper.as_ref()?)?);
        if lower > upper_port {
            let message =
                format!("the range {lower} to {upper_port} is empty; expected the lower port first");
            document.error(node.at(), node.place(), message);
            return None;
        }
        return Some(Ports::Range(lower, upper_port));
    }
    let is_equal = match fields.get("operator") {
        None => Some(true),
        Some(node) => document.word(node, &[("eq", true), ("neq", false), ("lte", false), ("gte", false)]),
    };
    let port = document.required(&fields, "port").cloned();
    let port = number(document, &port?)?;
    Some(if is_equal? { Ports::Range(port, port) } else { Ports::Wide })
}
