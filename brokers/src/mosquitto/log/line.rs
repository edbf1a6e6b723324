//! What a log line says, without any state.
//!
//! Client ids, user names and topics are chosen by clients, may contain spaces, quotes and
//! parentheses, and may imitate the broker's own texts. What the broker prints itself is
//! therefore sought where a client cannot put anything after it: from the end of the line.
//! Where a line has several readings, all are kept, and the state decides.

use std::net::IpAddr;

use fleet::event::DisconnectReason;

use super::unresolved::{EndKind, Peer};

/// Which brokers print a line that way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Form {
    /// Not known yet.
    #[default]
    Unknown,
    /// Up to 2.0: `Client ID closed its connection.`
    Plain,
    /// From 2.1: `Client ID [IP:PORT] disconnected: REASON.`
    Bracketed,
}

/// A line, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line<'a> {
    Start(Form),
    Stop,
    Reload,
    WebsocketsListener,
    Accepted(Peer),
    Connected(Connected<'a>),
    Ended(Ended<'a>),
    TakenOver {
        id: &'a str,
    },
    TlsAtAccept {
        ip: Option<IpAddr>,
    },
    /// The broker could not load what it needs for TLS.
    TlsSetup,
    TooMany {
        ip: Option<IpAddr>,
    },
    Connack {
        to: &'a str,
        code: u8,
    },
    ReceivedDisconnect {
        id: &'a str,
    },
    Message(Message<'a>),
    SubscribeBegins {
        id: &'a str,
    },
    UnsubscribeBegins {
        id: &'a str,
    },
    /// A filter of the packet that began, or the topic of a will.
    Tab(&'a str),
    /// SUBACK or UNSUBACK.
    FiltersEnd,
    Admin {
        raw: &'a str,
    },
    /// Understood to mean nothing to us.
    Known,
    /// Begins like a line that means nothing to us.
    Noise,
    /// The line was cut by the broker and says nothing certain.
    Cut,
    /// Of no known form.
    Other,
}

/// `New client connected from IP:PORT as ID (p2, c1, k60, u'USER').`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Connected<'a> {
    pub(super) peer: Peer,
    pub(super) id: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) bridge: bool,
    pub(super) form: Form,
    /// The line is cut: `id` is the visible part of the id and perhaps of what follows it.
    pub(super) cut: bool,
}

/// The end of a connection, in the readings of both forms.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended<'a> {
    pub(super) plain: Option<End<'a>>,
    pub(super) bracketed: Option<(End<'a>, Peer)>,
}

/// One reading of the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct End<'a> {
    pub(super) id: &'a str,
    pub(super) reason: DisconnectReason,
    /// What it means if the connection had no identity.
    pub(super) nobody: EndKind,
    pub(super) raw: &'a str,
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Received,
    Sent,
    Denied,
}

/// `Received PUBLISH from ID (d0, q1, r0, m7, 'TOPIC', ... (4 bytes))`
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) verb: Verb,
    /// `ID (d0, q1, r0, m7, 'TOPIC`
    head: &'a str,
    /// Payload size; `None` where the line is cut.
    pub(super) bytes: Option<u32>,
}

impl<'a> Message<'a> {
    /// All readings as client id and topic. More than one only where id or topic imitate the log.
    pub(super) fn readings(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let head = self.head;
        head.match_indices('(').filter_map(move |(at, _)| {
            let topic = flags(head.get(at..)?.strip_prefix("(d")?)?;
            Some((head.get(..at)?.strip_suffix(' ')?, topic))
        })
    }
}

/// Reads `0, q1, r0, m7, '` and gives what follows.
fn flags(text: &str) -> Option<&str> {
    let text = number(text)?.strip_prefix(", q")?;
    let text = number(text)?.strip_prefix(", r")?;
    let text = number(text)?.strip_prefix(", m")?;
    number(text)?.strip_prefix(", '")
}

/// Skips a number of at least one digit.
fn number(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

/// Reads a line without its timestamp. `cut`: the broker ran out of buffer, the end is missing.
pub(super) fn read(text: &str, cut: bool) -> Line<'_> {
    if let Some(rest) = text.strip_prefix('\t') {
        return if cut { Line::Cut } else { Line::Tab(rest) };
    }
    let word = text.split_once(' ').map_or(text, |(word, _)| word);
    let line = match word {
        "Received" | "Sending" | "Denied" | "Dropped" => packet(text, cut),
        "New" => new(text, cut),
        "Client" if !cut => client(text),
        "mosquitto" => version(text),
        "Reloading" if text == "Reloading config." => Some(Line::Reload),
        "dynsec:" if is_query(text) => Some(Line::Known),
        "dynsec:" => Some(Line::Admin { raw: text }),
        "Socket" if !cut => socket_error(text),
        "Bad" if !cut => bad(text),
        "Error:" if is_tls_setup(text) => Some(Line::TlsSetup),
        "Opening" if text.starts_with("Opening websockets listen socket on port ") => {
            Some(Line::WebsocketsListener)
        }
        _ => None,
    };
    match line {
        Some(line) => line,
        None if cut => Line::Cut,
        None if is_noise(text) => Line::Noise,
        None => Line::Other,
    }
}

fn packet(text: &str, cut: bool) -> Option<Line<'_>> {
    let verbs = [
        ("Received PUBLISH from ", Verb::Received),
        ("Sending PUBLISH to ", Verb::Sent),
        ("Denied PUBLISH from ", Verb::Denied),
        // The device did send it.
        ("Dropped too large PUBLISH from ", Verb::Received),
    ];
    if let Some((rest, verb)) =
        verbs.into_iter().find_map(|(prefix, verb)| Some((text.strip_prefix(prefix)?, verb)))
    {
        return message(verb, rest, cut).map(Line::Message);
    }
    if cut {
        return None;
    }
    if let Some(rest) = text.strip_prefix("Sending CONNACK to ") {
        let (to, codes) = rest.strip_suffix(')')?.rsplit_once(" (")?;
        let (_session_present, code) = codes.split_once(", ")?;
        return Some(Line::Connack { to, code: code.parse().ok()? });
    }
    if let Some(id) = text.strip_prefix("Received DISCONNECT from ") {
        return Some(Line::ReceivedDisconnect { id });
    }
    if let Some(id) = text.strip_prefix("Received SUBSCRIBE from ") {
        return Some(Line::SubscribeBegins { id });
    }
    if let Some(id) = text.strip_prefix("Received UNSUBSCRIBE from ") {
        return Some(Line::UnsubscribeBegins { id });
    }
    if text.starts_with("Sending SUBACK to ") || text.starts_with("Sending UNSUBACK to ") {
        return Some(Line::FiltersEnd);
    }
    // PINGREQ, PUBACK and the like.
    let mut words = text.split(' ').skip(1);
    let packet = words.next()?;
    let upper = packet.bytes().all(|byte| byte.is_ascii_uppercase());
    (upper && matches!(words.next(), Some("from" | "to"))).then_some(Line::Known)
}

fn message(verb: Verb, rest: &str, cut: bool) -> Option<Message<'_>> {
    if cut {
        return Some(Message { verb, head: rest, bytes: None });
    }
    let body = rest.strip_suffix(" bytes))")?;
    let head = body.trim_end_matches(|c: char| c.is_ascii_digit());
    let size = body.get(head.len()..)?;
    if size.is_empty() {
        return None;
    }
    let head = head.strip_suffix("', ... (")?;
    // MQTT payloads are smaller than 2^28 bytes.
    Some(Message { verb, head, bytes: Some(size.parse().unwrap_or(u32::MAX)) })
}

fn new(text: &str, cut: bool) -> Option<Line<'_>> {
    if let Some(rest) = text.strip_prefix("New connection from ") {
        let (peer, port) = rest.strip_suffix('.')?.split_once(" on port ")?;
        return (number(port) == Some("")).then(|| Peer::read(peer))?.map(Line::Accepted);
    }
    let (rest, bridge) = match text.strip_prefix("New client connected from ") {
        Some(rest) => (rest, false),
        None => (text.strip_prefix("New bridge connected from ")?, true),
    };
    let (peer, rest) = rest.split_once(" as ")?;
    let peer = Peer::read(peer)?;
    if cut {
        let (id, user, form) = (rest, None, Form::Unknown);
        return Some(Line::Connected(Connected { peer, id, user, bridge, form, cut }));
    }
    let (id, user, form) = identity(rest)?;
    Some(Line::Connected(Connected { peer, id, user, bridge, form, cut }))
}

/// Reads `ID (p2, c1, k60, u'USER').`, or without `p` as before 1.6, or without user, from the right.
fn identity(text: &str) -> Option<(&str, Option<&str>, Form)> {
    let body = text.strip_suffix(").")?;
    body.rmatch_indices('(').find_map(|(at, _)| {
        let (user, form) = parameters(body.get(at + 1..)?)?;
        Some((body.get(..at)?.strip_suffix(' ')?, user, form))
    })
}

fn parameters(text: &str) -> Option<(Option<&str>, Form)> {
    let (text, form) = match text.strip_prefix('p') {
        Some(rest) => {
            let rest = number(rest)?;
            let form = match text.get(1..text.len() - rest.len())? {
                "1" | "2" => Form::Plain,
                "3" | "4" => Form::Bracketed,
                _ => Form::Unknown,
            };
            (rest.strip_prefix(", ")?, form)
        }
        None => (text, Form::Plain),
    };
    let text = number(text.strip_prefix('c')?)?.strip_prefix(", k")?;
    let text = number(text)?;
    match text.strip_prefix(", u'") {
        Some(user) => Some((Some(user.strip_suffix('\'')?), form)),
        None => text.is_empty().then_some((None, form)),
    }
}

fn client(text: &str) -> Option<Line<'_>> {
    let rest = text.strip_prefix("Client ")?;
    // Before all others: what follows the id here can end no other line.
    if is_negotiation(rest) {
        return Some(Line::Known);
    }
    if let Some(id) = rest.strip_suffix(" already connected, closing old connection.") {
        return Some(Line::TakenOver { id });
    }
    let ended = Ended { plain: plain_end(rest), bracketed: bracketed_end(rest) };
    if ended.plain.is_some() || ended.bracketed.is_some() {
        return Some(Line::Ended(ended));
    }
    if let Some(rest) = rest.strip_prefix("connection from ") {
        if let Some(ip) = rest.strip_suffix(" denied: max_connections exceeded.") {
            return Some(Line::TooMany { ip: ip.parse().ok() });
        }
        let (ip, _reason) = rest.split_once(" failed: ")?;
        return Some(Line::TlsAtAccept { ip: ip.parse().ok() });
    }
    None
}

/// `ID negotiated TLSv1.3 cipher NAME`, or `from IP:PORT appears to be using TLS ...`.
fn is_negotiation(rest: &str) -> bool {
    if rest.ends_with('.') {
        return rest.ends_with(" appears to be using TLS to connect to a non-TLS listener.");
    }
    rest.rsplit_once(" negotiated TLSv")
        .is_some_and(|(_, tail)| tail.split_once(" cipher ").is_some_and(|(_, cipher)| !cipher.contains(' ')))
}

use DisconnectReason as Reason;

/// Fixed endings up to 2.0. None is the end of another, so at most one fits.
const ENDINGS: [(&str, Reason, EndKind); 5] = [
    (" closed its connection.", Reason::Unclean, EndKind::NoConnect),
    (" disconnected.", Reason::Clean, EndKind::NoConnect),
    (" has exceeded timeout, disconnecting.", Reason::Timeout, EndKind::NoConnect),
    (" disconnected, not authorised.", Reason::Auth, EndKind::Auth),
    (" been disconnected by administrative action.", Reason::Kicked, EndKind::NoConnect),
];

fn plain_end(rest: &str) -> Option<End<'_>> {
    for (ending, reason, nobody) in ENDINGS {
        if let Some(id) = rest.strip_suffix(ending) {
            let raw = rest.get(id.len() + 1..rest.len() - 1)?;
            return Some(End { id, reason, nobody, raw });
        }
    }
    // `disconnected due to TEXT.` and `disconnected: TEXT.`; no TEXT of the broker contains either.
    let body = rest.strip_suffix('.')?;
    let due = body.rfind(" disconnected due to ");
    let errno = body.rfind(" disconnected: ");
    let at = due.max(errno)?;
    let (reason, nobody) =
        if due > errno { due_to(body.get(at + 21..)?) } else { errno_text(body.get(at + 15..)?) };
    Some(End { id: body.get(..at)?, reason, nobody, raw: body.get(at + 1..)? })
}

fn due_to(text: &str) -> (Reason, EndKind) {
    match text {
        "out of memory" => (Reason::Unknown, EndKind::NoConnect),
        _ => (Reason::Protocol, EndKind::Protocol),
    }
}

fn errno_text(text: &str) -> (Reason, EndKind) {
    match text {
        "Protocol error" => (Reason::Tls, EndKind::Tls),
        "Success" | "Connection reset by peer" | "Broken pipe" | "Connection timed out" => {
            (Reason::Unclean, EndKind::NoConnect)
        }
        _ => (Reason::Unknown, EndKind::NoConnect),
    }
}

/// `ID [IP:PORT] disconnected.` or `ID [IP:PORT] disconnected: REASON.`
fn bracketed_end(rest: &str) -> Option<(End<'_>, Peer)> {
    let (head, tail) = rest
        .rmatch_indices(']')
        .find_map(|(at, _)| Some((rest.get(..at)?, rest.get(at..)?.strip_prefix("] disconnected")?)))?;
    let (id, peer) = head.rsplit_once('[')?;
    let (id, peer) = (id.strip_suffix(' ')?, Peer::read(peer)?);
    let (reason, nobody, raw) = if tail == "." {
        (Reason::Clean, EndKind::NoConnect, "disconnected")
    } else {
        let raw = tail.strip_prefix(": ")?;
        let raw = raw.strip_suffix('.').unwrap_or(raw);
        let (reason, nobody) = bracketed_reason(raw);
        (reason, nobody, raw)
    };
    Some((End { id, reason, nobody, raw }, peer))
}

fn bracketed_reason(text: &str) -> (Reason, EndKind) {
    match text {
        "connection closed by client" => (Reason::Unclean, EndKind::NoConnect),
        "not authorised" | "bad username or password" | "client banned" => (Reason::Auth, EndKind::Auth),
        "exceeded timeout" => (Reason::Timeout, EndKind::NoConnect),
        "administrative action" => (Reason::Kicked, EndKind::NoConnect),
        "session taken over" => (Reason::Takeover, EndKind::NoConnect),
        "protocol error"
        | "malformed packet"
        | "oversize packet"
        | "oversize payload"
        | "client identifier not valid"
        | "quota exceeded"
        | "receive maximum exceeded"
        | "connection rate exceeded"
        | "topic alias invalid"
        | "bad authentication method"
        | "non-matching http origin" => (Reason::Protocol, EndKind::Protocol),
        _ if text.starts_with("used disallowed feature") => (Reason::Protocol, EndKind::Protocol),
        _ if text.starts_with("bad socket read/write") => (Reason::Unclean, EndKind::NoConnect),
        _ => errno_text(text),
    }
}

/// Why a connection ended, in brokers before 2.0.
pub(super) const SOCKET_ERROR: &str = "socket error";

/// Whether the broker says that a part of its TLS configuration cannot be used. The lines that follow
/// (`OpenSSL Error[0]: ...`) say why, and are as many as the library's stack is deep: not counted.
fn is_tls_setup(text: &str) -> bool {
    const PARTS: [&str; 6] = [
        "Unable to load CA certificates",
        "Unable to load server certificate ",
        "Unable to load server key file ",
        "Unable to load certificate revocation file ",
        "Unable to set TLS ciphers",
        "Server certificate/key are inconsistent",
    ];
    let text = text.strip_prefix("Error: ");
    text.is_some_and(|text| PARTS.iter().any(|part| text.starts_with(part)))
}

fn socket_error(text: &str) -> Option<Line<'_>> {
    let id = text.strip_prefix("Socket error on client ")?.strip_suffix(", disconnecting.")?;
    Some(broken(id, SOCKET_ERROR))
}

fn bad(text: &str) -> Option<Line<'_>> {
    if text.ends_with(" sending multiple CONNECT messages.") {
        return Some(Line::Known);
    }
    let (id, raw) = text.strip_prefix("Bad socket read/write on client ")?.rsplit_once(": ")?;
    Some(broken(id, raw))
}

fn broken<'a>(id: &'a str, raw: &'a str) -> Line<'a> {
    let end = End { id, reason: Reason::Unclean, nobody: EndKind::NoConnect, raw };
    Line::Ended(Ended { plain: Some(end), bracketed: None })
}

/// `mosquitto version 2.0.11 starting`, and in 1.4 with a build date before the last word.
fn version(text: &str) -> Option<Line<'_>> {
    let rest = text.strip_prefix("mosquitto version ")?;
    let (version, rest) = rest.split_once(' ')?;
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let form = match (numbers.next()??, numbers.next()??) {
        (0 | 1, _) | (2, 0) => Form::Plain,
        _ => Form::Bracketed,
    };
    let verb = match rest.strip_prefix("(build date ") {
        Some(rest) => rest.rsplit_once(") ")?.1,
        None => rest,
    };
    match verb {
        "starting" => Some(Line::Start(form)),
        "terminating" => Some(Line::Stop),
        "running" => Some(Line::Known),
        _ => None,
    }
}

/// Whether an audit line `dynsec: ID/USER | COMMAND | ...` is of a command that only reads. Ids
/// may contain anything: as soon as one part names a change, it counts as one.
fn is_query(text: &str) -> bool {
    const CHANGES: [&str; 8] = ["add", "create", "delete", "disable", "enable", "modify", "remove", "set"];
    let mut parts = text.split(" | ").skip(1);
    let reads = parts.next().is_some_and(|command| command.starts_with("get") || command.starts_with("list"));
    reads && !parts.any(|part| CHANGES.iter().any(|change| part.starts_with(change)))
}

/// Beginnings of lines that say nothing about a device.
const NOISE: [&str; 45] = [
    "ACL denying access to client with dangerous client id",
    "Address",
    "Bridge ",
    "Bridge support available.",
    "Config loaded from ",
    "Connecting bridge",
    "Create a configuration file",
    "Error",
    "Expiring client ",
    "For more details see ",
    "Invalid protocol ",
    "Loading plugin: ",
    "No will message specified.",
    "Note: ",
    "OpenSSL Error",
    "Opening ipv4 listen socket",
    "Opening ipv6 listen socket",
    "Opening unix listen socket",
    "Outgoing messages are being dropped for client ",
    "Persistence support available.",
    "Plugin ",
    "Protocol error from ",
    "Restored ",
    "Restoring ",
    "Saving in-memory database",
    "Starting in local only mode.",
    "TLS support available.",
    "TLS-PSK support available.",
    "The 'bind_address' option",
    "The 'per_listener_settings' option",
    "The 'port' option",
    "To fix this, use ",
    "Unable to ",
    "Using default config.",
    "Warning: ",
    "Websockets support available.",
    "You are using ",
    "Will message specified (",
    "Will set the ",
    "bridge ",
    "libwebsockets",
    "lws_",
    "mosquitto version ",
    "password-file: ",
    "acl-file: ",
];

/// First words of all lines that mean something to us: what an id begins with that could make a
/// subscribe or unsubscribe line look like one of them.
const FIRST_WORDS: [&str; 13] = [
    "Bad",
    "Client",
    "Denied",
    "Dropped",
    "Error:",
    "New",
    "Opening",
    "Received",
    "Reloading",
    "Sending",
    "Socket",
    "dynsec:",
    "mosquitto",
];

fn is_noise(text: &str) -> bool {
    text.is_empty() || NOISE.iter().any(|beginning| text.starts_with(beginning))
}

/// Whether a subscribe or unsubscribe line of this client id could be read as another line.
pub(super) fn imitates(id: &str) -> bool {
    let word = id.split_once(' ').map_or(id, |(word, _)| word);
    FIRST_WORDS.contains(&word)
}
