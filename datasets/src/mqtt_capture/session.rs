//! What the control packets of a connection mean, as a broker tells it.
//!
//! - CONNACK decides: accepted is a connect, refused a failed login charged to the peer's address
//!   (`address`: the capture shows who sent it, not who the device is) or, for a version or id that
//!   the broker does not take, a broken protocol.
//! - What a client sends before the answer counts once the broker has accepted it.
//! - A client without a client id gets the one that the broker assigned, or, since MQTT 3.1.1 does
//!   not tell it, `auto-` with address and port: a new one for each session, as brokers do.
//! - A session ends with DISCONNECT (clean), with a second session of its client id (takeover), or
//!   with its connection: after a packet that breaks the rules (protocol), closed by the broker
//!   after one and a half times the keep-alive of silence (timeout, section 3.1.2.10), closed by
//!   the client (unclean), or for a reason unknown.
//! - A connection that ends without any answer is one that broke the protocol or never sent a
//!   CONNECT.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    net::SocketAddr,
};

use fleet::{
    event::{
        Action, Attribution, AuthFailure, Connect, ConnectionErrorKind, DisconnectReason, Event, EventKind,
    },
    time::Timestamp,
};

use super::{
    BROKER_PORT, CaptureCounts,
    frame::{Framer, RawPacket},
    packet::{self, Packet},
    packets::Segment,
    stream::Direction,
};

/// Connections followed at a time. Packets of later ones are counted and left out.
const CONNECTIONS_MAX: usize = 65_536;
/// Messages and subscriptions kept until the broker answers the CONNECT; later ones are counted and left out.
const HELD_MAX: usize = 64;
/// Subscriptions without an answer that are kept; the oldest is let go.
const SUBSCRIPTIONS_MAX: usize = 64;

/// All connections of a capture.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    connections: BTreeMap<Key, Connection>,
    /// Where each client id is connected.
    clients: BTreeMap<String, Key>,
}

/// Type and flags of CONNECT.
const CONNECT: u8 = 0x10;

/// Client, then broker.
type Key = (SocketAddr, SocketAddr);

#[derive(Debug)]
struct Connection {
    up: Direction,
    up_frames: Framer,
    down: Option<Direction>,
    down_frames: Framer,
    state: State,
    level: u8,
    keep_alive_secs: u16,
    /// Last packet of the client.
    heard: Timestamp,
    /// The first rule that the client broke.
    malformed: Option<&'static str>,
    subscriptions: VecDeque<(u16, Vec<String>)>,
    up_closed: bool,
    down_closed: bool,
    broker_closed_first: bool,
    told_lost: [bool; 2],
}

#[derive(Debug)]
enum State {
    /// Nothing of MQTT so far.
    Open,
    /// CONNECT was sent.
    Asked { client: String, user: Option<String>, held: Vec<Held> },
    /// The broker accepted.
    Accepted { client: String },
    /// The session is over, or there never was one and that has been told.
    Over,
}

/// What a client sent before the answer to its CONNECT.
#[derive(Debug)]
enum Held {
    Publish { topic: String, bytes: u32 },
    Disconnect,
}

/// One step, for the functions below.
struct Step<'s> {
    key: Key,
    at: Timestamp,
    counts: &'s mut CaptureCounts,
    clients: &'s mut BTreeMap<String, Key>,
    /// A session that another connection took over.
    taken: Option<(Key, String)>,
    sink: &'s mut dyn FnMut(&Event<'_>),
}

impl Step<'_> {
    fn tell(&mut self, kind: EventKind<'_>) {
        (self.sink)(&Event { at: self.at, kind });
    }

    fn connection_error(&mut self, kind: ConnectionErrorKind) {
        let ip = Some(self.key.0.ip());
        self.tell(EventKind::ConnectionError { ip, kind });
    }
}

impl Sessions {
    /// Takes a segment.
    pub(super) fn segment(
        &mut self,
        segment: &Segment<'_>,
        counts: &mut CaptureCounts,
        sink: &mut dyn FnMut(&Event<'_>),
    ) {
        let up = segment.to.port() == BROKER_PORT;
        let key = if up { (segment.from, segment.to) } else { (segment.to, segment.from) };
        let mut step = Step { key, at: segment.at, counts, clients: &mut self.clients, taken: None, sink };
        if up && segment.syn {
            if let Entry::Occupied(entry) = self.connections.entry(key)
                && entry.get().is_used()
            {
                // The port is used again; the end of its last connection is not in the capture.
                entry.remove().end(&mut step);
            }
            if self.connections.len() < CONNECTIONS_MAX {
                self.connections.entry(key).or_insert_with(|| {
                    step.counts.connections += 1;
                    Connection::new(segment)
                });
            }
        }
        let Some(connection) = self.connections.get_mut(&key) else {
            step.counts.unknown_connection_packets += 1;
            return;
        };
        connection.take(up, segment, &mut step);
        let over = connection.is_closed(segment.rst);
        let taken = step.taken.take();
        if over && let Some(connection) = self.connections.remove(&key) {
            connection.end(&mut step);
        }
        if let Some((other, client)) = taken
            && let Some(connection) = self.connections.get_mut(&other)
        {
            connection.state = State::Over;
            debug_assert!(self.clients.get(&client) != Some(&other), "the new session has its id");
        }
    }
}

impl Connection {
    const fn new(syn: &Segment<'_>) -> Self {
        Self {
            up: Direction::new(syn.seq),
            up_frames: Framer::new(),
            down: None,
            down_frames: Framer::new(),
            state: State::Open,
            level: 4,
            keep_alive_secs: 0,
            heard: syn.at,
            malformed: None,
            subscriptions: VecDeque::new(),
            up_closed: false,
            down_closed: false,
            broker_closed_first: false,
            told_lost: [false; 2],
        }
    }

    /// Whether the broker has answered at all: a repeated `SYN` before that begins nothing new.
    const fn is_used(&self) -> bool {
        self.down.is_some()
    }

    const fn is_closed(&self, reset: bool) -> bool {
        reset || (self.up_closed && self.down_closed)
    }

    fn take(&mut self, up: bool, segment: &Segment<'_>, step: &mut Step<'_>) {
        if up {
            self.heard = segment.at;
        } else if segment.syn && self.down.is_none() {
            self.down = Some(Direction::new(segment.seq));
        }
        // Data in a SYN (TCP fast open) comes one further on.
        let seq = if segment.syn { segment.seq.wrapping_add(1) } else { segment.seq };
        let mut ready = Vec::new();
        let direction = if up { Some(&mut self.up) } else { self.down.as_mut() };
        if let Some(direction) = direction {
            direction.push(seq, segment.payload, &mut |bytes| ready.extend_from_slice(bytes));
            let told = if up { &mut self.told_lost[0] } else { &mut self.told_lost[1] };
            if direction.is_lost() && !std::mem::replace(told, true) {
                step.counts.gaps += 1;
            }
        }
        // Something else than MQTT may never complete what would be a packet.
        if up && matches!(self.state, State::Open) && ready.first().is_some_and(|&first| first != CONNECT) {
            self.malformed.get_or_insert("the first packet is no CONNECT");
        }
        let mut frames = std::mem::take(if up { &mut self.up_frames } else { &mut self.down_frames });
        frames.push(&ready, &mut |packet| self.packet(up, &packet, step));
        *(if up { &mut self.up_frames } else { &mut self.down_frames }) = frames;
        if segment.fin || segment.rst {
            if !self.up_closed && !self.down_closed {
                self.broker_closed_first = !up;
            }
            *(if up { &mut self.up_closed } else { &mut self.down_closed }) = true;
        }
    }

    fn packet(&mut self, up: bool, raw: &RawPacket<'_>, step: &mut Step<'_>) {
        if let Some(count) = step.counts.control.get_mut(usize::from(raw.first >> 4)) {
            *count += 1;
        }
        let packet = match packet::read(raw, self.level) {
            Ok(packet) => packet,
            Err(packet::Malformed(rule)) => {
                step.counts.malformed += 1;
                if up {
                    self.malformed.get_or_insert(rule);
                }
                return;
            }
        };
        if up { self.client_sent(packet, step) } else { self.broker_sent(packet, step) }
    }

    fn client_sent(&mut self, packet: Packet<'_>, step: &mut Step<'_>) {
        match (packet, &mut self.state) {
            (Packet::Connect { level, client, user, keep_alive_secs }, State::Open) => {
                (self.level, self.keep_alive_secs) = (level, keep_alive_secs);
                let (client, user) = (client.to_owned(), user.map(str::to_owned));
                self.state = State::Asked { client, user, held: Vec::new() };
            }
            (Packet::Connect { .. }, _) => {
                step.counts.malformed += 1;
                self.malformed.get_or_insert("a second CONNECT");
            }
            (Packet::Publish { topic, bytes }, State::Accepted { client }) => {
                step.tell(EventKind::Publish { client, topic, bytes });
            }
            (Packet::Publish { topic, bytes }, State::Asked { held, .. }) => {
                hold(held, Held::Publish { topic: topic.to_owned(), bytes }, step.counts);
            }
            (Packet::Disconnect { .. }, State::Asked { held, .. }) => {
                hold(held, Held::Disconnect, step.counts)
            }
            (Packet::Disconnect { .. }, State::Accepted { .. }) => {
                self.over(DisconnectReason::Clean, "", step);
            }
            (Packet::Subscribe { id, filters }, State::Asked { .. } | State::Accepted { .. }) => {
                if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
                    self.subscriptions.pop_front();
                }
                self.subscriptions.push_back((id, filters.into_iter().map(str::to_owned).collect()));
            }
            (Packet::Unsubscribe { filters }, State::Accepted { client }) => {
                for filter in filters {
                    step.tell(EventKind::Unsubscribe { client, filter });
                }
            }
            (packet, State::Open) if packet != Packet::Other => {
                self.malformed.get_or_insert("the first packet is no CONNECT");
            }
            _ => {}
        }
    }

    fn broker_sent(&mut self, packet: Packet<'_>, step: &mut Step<'_>) {
        match (packet, &self.state) {
            (Packet::Connack { code: 0, assigned }, State::Asked { .. }) => self.accepted(assigned, step),
            (Packet::Connack { code, .. }, State::Asked { .. }) => self.refused(code, step),
            (Packet::Publish { topic, bytes }, State::Accepted { client }) => {
                step.tell(EventKind::Delivery { client, topic, bytes });
            }
            // 0x87 is "not authorized" for all packets of MQTT 5.
            (Packet::Refused { code: 0x87 }, State::Accepted { client }) => {
                step.tell(EventKind::Denied { client, action: Action::Publish, topic: "" });
            }
            (Packet::Suback { id, codes }, State::Accepted { client }) => {
                let Some(index) = self.subscriptions.iter().position(|(asked, _)| *asked == id) else {
                    return;
                };
                let Some((_, filters)) = self.subscriptions.remove(index) else { return };
                for (filter, code) in filters.iter().zip(codes) {
                    step.tell(if *code < 0x80 {
                        EventKind::Subscribe { client, filter }
                    } else {
                        EventKind::Denied { client, action: Action::Subscribe, topic: filter }
                    });
                }
            }
            (Packet::Disconnect { code }, State::Accepted { .. }) => {
                self.over(disconnect_reason(code), "", step);
            }
            _ => {}
        }
    }

    fn accepted(&mut self, assigned: Option<&str>, step: &mut Step<'_>) {
        let State::Asked { client, user, held } = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let client = match (client.is_empty(), assigned) {
            (false, _) => client,
            (true, Some(assigned)) => assigned.to_owned(),
            (true, None) => {
                format!("auto-{}-{}", step.key.0.ip(), step.key.0.port()).replace(['.', ':'], "-")
            }
        };
        if let Some(other) = step.clients.insert(client.clone(), step.key)
            && other != step.key
        {
            let reason = DisconnectReason::Takeover;
            step.tell(EventKind::Disconnect { client: &client, reason, raw: "" });
            step.taken = Some((other, client.clone()));
        }
        step.tell(EventKind::Connect(Connect {
            client: &client,
            user: user.as_deref(),
            ip: Some(step.key.0.ip()),
            bridge: false,
        }));
        let mut left = false;
        for held in held {
            match held {
                Held::Publish { topic, bytes } => {
                    step.tell(EventKind::Publish { client: &client, topic: &topic, bytes });
                }
                Held::Disconnect => left = true,
            }
        }
        self.state = State::Accepted { client };
        if left {
            self.over(DisconnectReason::Clean, "", step);
        }
    }

    /// A refused CONNECT: codes of section 3.2.2.3 (MQTT 3.1.1) and 3.2.2.2 (MQTT 5.0).
    fn refused(&mut self, code: u8, step: &mut Step<'_>) {
        let State::Asked { client, user, .. } = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        match code {
            4 | 5 | 0x86 | 0x87 | 0x8a | 0x8c => step.tell(EventKind::AuthFailure(AuthFailure {
                claimed_client: Some(client.as_str()).filter(|client| !client.is_empty()),
                claimed_user: user.as_deref(),
                ip: Some(step.key.0.ip()),
                attribution: Attribution::Address,
            })),
            3 | 0x88 | 0x89 | 0x97 | 0x9f => step.connection_error(ConnectionErrorKind::TooMany),
            _ => step.connection_error(ConnectionErrorKind::Protocol),
        }
    }

    /// Ends the session, if there is one.
    fn over(&mut self, reason: DisconnectReason, raw: &str, step: &mut Step<'_>) {
        if let State::Accepted { client } = std::mem::replace(&mut self.state, State::Over) {
            step.tell(EventKind::Disconnect { client: &client, reason, raw });
            if step.clients.get(&client) == Some(&step.key) {
                step.clients.remove(&client);
            }
        }
    }

    /// The connection is over.
    fn end(mut self, step: &mut Step<'_>) {
        let silent_ms = step.at.millis_since(self.heard);
        let allowed_ms = i64::from(self.keep_alive_secs) * 1500;
        match (&self.state, self.malformed) {
            (State::Accepted { .. }, Some(rule)) => self.over(DisconnectReason::Protocol, rule, step),
            (State::Accepted { .. }, None) => {
                let reason = match self.broker_closed_first {
                    true if allowed_ms > 0 && silent_ms >= allowed_ms => DisconnectReason::Timeout,
                    true => DisconnectReason::Unknown,
                    false => DisconnectReason::Unclean,
                };
                self.over(reason, "", step);
            }
            (State::Asked { .. }, _) | (State::Open, Some(_)) => {
                step.connection_error(ConnectionErrorKind::Protocol);
            }
            // A refused connection (no answer but a reset) is none.
            (State::Open, None) if self.is_used() => step.connection_error(ConnectionErrorKind::NoConnect),
            (State::Open, None) | (State::Over, _) => {}
        }
    }
}

fn hold(held: &mut Vec<Held>, what: Held, counts: &mut CaptureCounts) {
    if held.len() < HELD_MAX {
        held.push(what);
    } else {
        counts.unanswered_dropped += 1;
    }
}

/// Reason codes of a broker's DISCONNECT (MQTT 5.0, section 3.14.2.1).
const fn disconnect_reason(code: u8) -> DisconnectReason {
    match code {
        0x81 | 0x82 | 0x90 | 0x93 | 0x94 | 0x95 | 0x99 => DisconnectReason::Protocol,
        0x87 => DisconnectReason::Auth,
        0x8d => DisconnectReason::Timeout,
        0x8e => DisconnectReason::Takeover,
        0x98 => DisconnectReason::Kicked,
        _ => DisconnectReason::Unknown,
    }
}
