//! What is known of one broker, and what a line changes in it.

use fleet::{
    event::{
        Action, Attribution, AuthFailure, Connect, ConnectionErrorKind, DisconnectReason, Event, EventKind,
    },
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{
    Counters, filters,
    filters::{Filters, Reading, Wish},
    line::{self, Connected, End as Ending, Ended, Form, Line, Message, Verb},
    sessions::{Session, Sessions},
    topic::Class,
    unresolved::{End, EndKind, Peer, Settled, Unresolved},
};

/// How long after a take-over the old connection's socket error may follow, ms: both are printed
/// at once, and the clock of the log has whole seconds.
const ECHO_MS: i64 = 1000;

/// A refusing CONNACK that was just sent (debug lines before 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RefusedConnack {
    to: Box<str>,
    code: u8,
}

/// State of one broker's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    form: Form,
    /// Whether lines begin with a timestamp; `None` until one that matters was seen.
    stamped: Option<bool>,
    /// The latest client to connect was answered by a debug line, so there are debug lines.
    debug: bool,
    /// `sessions` holds all clients that are connected.
    complete: bool,
    sessions: Sessions,
    unresolved: Unresolved,
    refused: Option<RefusedConnack>,
    /// The latest client id that was taken over, and when: brokers before 2.0 go on to print a
    /// socket error for the old connection, before or after the line of the new one.
    taken_over: Option<(Box<str>, Timestamp)>,
    filters: Filters,
}

/// What a line did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It gave an event or changed the state.
    Some,
    /// Nothing.
    None,
}

/// Where and when a line is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) class: Class,
    pub(super) at: Timestamp,
    pub(super) arrival: Timestamp,
}

type Sink<'s> = &'s mut dyn FnMut(&Event<'_>);

impl Source {
    /// Whether a line with or without timestamp can be one of its own here. A line without one
    /// in a log that has them continues the line before (2.1 has such); a start may change it.
    pub(super) fn takes(&self, has_stamp: bool, line: &Line<'_>) -> bool {
        self.stamped.is_none_or(|stamped| stamped == has_stamp) || matches!(line, Line::Start(_))
    }

    /// Lines were lost here.
    pub(super) fn gap(&mut self, sink: Sink<'_>) {
        let settled = self.unresolved.clear();
        emit_settled(&settled, sink);
        self.complete = false;
        self.refused = None;
        self.filters = Filters::default();
    }

    pub(super) fn tick(&mut self, now: Timestamp, sink: Sink<'_>) {
        let settled = self.unresolved.tick(now);
        emit_settled(&settled, sink);
    }

    /// Takes one line in.
    pub(super) fn take(
        &mut self,
        text: &str,
        line: &Line<'_>,
        stamped: bool,
        place: Place,
        counters: &mut Counters,
        sink: Sink<'_>,
    ) -> Effect {
        if place.class != Class::Message
            && let Some(effect) = self.take_filter(text, line, place, counters, sink)
        {
            return effect;
        }
        if !self.matters(line, counters) {
            return Effect::None;
        }
        self.stamped = Some(stamped);
        let settled = self.unresolved.pass(place.at);
        emit_settled(&settled, sink);
        let mut emit = |kind: EventKind<'_>| sink(&Event { at: place.at, kind });
        if !matches!(line, Line::Tab(_) | Line::FiltersEnd) {
            self.filters.end(&mut emit);
        }
        self.apply(line, place, counters, sink);
        Effect::Some
    }

    /// Whether a line changes the state or gives an event.
    fn matters(&self, line: &Line<'_>, counters: &mut Counters) -> bool {
        match line {
            Line::Known | Line::Noise => false,
            Line::Cut => {
                counters.cut_lines += 1;
                false
            }
            Line::Other => {
                counters.unknown_lines += 1;
                false
            }
            Line::Tab(_) | Line::FiltersEnd => self.filters.is_open(),
            Line::WebsocketsListener => self.form != Form::Bracketed,
            Line::ReceivedDisconnect { id } => self.sessions.get(id).is_some_and(|it| !it.said_goodbye),
            Line::Connack { code: 0, .. } => !self.debug,
            Line::Connack { .. } => self.form != Form::Bracketed,
            _ => true,
        }
    }

    fn apply(&mut self, line: &Line<'_>, place: Place, counters: &mut Counters, sink: Sink<'_>) {
        let mut emit = |kind: EventKind<'_>| sink(&Event { at: place.at, kind });
        let refused = self.refused.take();
        match line {
            Line::Start(form) => self.start(*form, place, sink),
            Line::Stop => {
                self.forget_all(sink);
                sink(&Event { at: place.at, kind: EventKind::BrokerStop });
            }
            Line::Reload => emit(EventKind::BrokerReload),
            Line::WebsocketsListener => self.unresolved.expect_unannounced(),
            Line::Accepted(peer) => {
                let settled = self.unresolved.accept(*peer, place.at);
                emit_settled(&settled, sink);
            }
            Line::Connected(connected) => self.connected(connected, place, counters, sink),
            Line::Ended(ended) => self.ended(ended, refused, place, counters, sink),
            Line::TakenOver { id } => {
                self.sessions.remove(id);
                self.taken_over = Some(((*id).into(), place.at));
                let reason = DisconnectReason::Takeover;
                emit(EventKind::Disconnect {
                    client: id,
                    reason,
                    raw: "already connected, closing old connection",
                });
            }
            Line::TlsAtAccept { ip } => {
                emit(EventKind::ConnectionError { ip: *ip, kind: ConnectionErrorKind::Tls });
            }
            Line::TlsSetup => {
                emit(EventKind::ConnectionError { ip: None, kind: ConnectionErrorKind::TlsSetup });
            }
            Line::TooMany { ip } => {
                emit(EventKind::ConnectionError { ip: *ip, kind: ConnectionErrorKind::TooMany });
            }
            Line::Connack { code: 0, .. } => self.debug = true,
            Line::Connack { to, code } => {
                self.refused = Some(RefusedConnack { to: (*to).into(), code: *code });
            }
            Line::ReceivedDisconnect { id } => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.said_goodbye = true;
                }
            }
            Line::Message(message) => self.message(message, counters, &mut emit),
            Line::SubscribeBegins { id } => self.filters.begin(id, Wish::Subscribe, &mut emit),
            Line::UnsubscribeBegins { id } => self.filters.begin(id, Wish::Unsubscribe, &mut emit),
            Line::Tab(text) => self.filters.tab(text, &mut emit),
            Line::FiltersEnd => self.filters.end(&mut emit),
            Line::Admin { raw } => emit(EventKind::AdminChange { raw }),
            Line::Known | Line::Noise | Line::Cut | Line::Other => {}
        }
    }

    fn start(&mut self, form: Form, place: Place, sink: Sink<'_>) {
        self.forget_all(sink);
        self.form = form;
        self.complete = true;
        sink(&Event { at: place.at, kind: EventKind::BrokerStart });
    }

    /// The broker is down: no connection is left.
    fn forget_all(&mut self, sink: Sink<'_>) {
        let settled = self.unresolved.clear();
        emit_settled(&settled, sink);
        self.sessions.clear();
    }

    fn connected(
        &mut self,
        connected: &Connected<'_>,
        place: Place,
        counters: &mut Counters,
        sink: Sink<'_>,
    ) {
        let settled = self.unresolved.resolve(connected.peer);
        emit_settled(&settled, sink);
        if connected.form != Form::Unknown && self.form == Form::Unknown {
            self.form = connected.form;
        }
        let mut emit = |kind: EventKind<'_>| sink(&Event { at: place.at, kind });
        let &Connected { id: client, user, bridge, peer, cut, .. } = connected;
        if cut {
            counters.cut_lines += 1;
        } else {
            if self.sessions.contains(client) {
                // A line about the old session is missing from the log.
                emit(EventKind::Disconnect { client, reason: DisconnectReason::Unknown, raw: "" });
            }
            if !self.sessions.insert(client, Session { peer, said_goodbye: false }) {
                counters.untracked_sessions += 1;
                self.complete = false;
            }
        }
        // Set again by the CONNACK line that follows, if debug lines are printed.
        self.debug = false;
        emit(EventKind::Connect(Connect { client, user, ip: peer.ip, bridge }));
    }

    fn ended(
        &mut self,
        ended: &Ended<'_>,
        refused: Option<RefusedConnack>,
        place: Place,
        counters: &mut Counters,
        sink: Sink<'_>,
    ) {
        match self.reading(ended) {
            Some((ending, Some(peer))) => self.ended_at(ending, peer, place, counters, sink),
            Some((ending, None)) => self.ended_plainly(ending, refused, place, counters, sink),
            None => counters.ambiguous_lines += 1,
        }
    }

    /// Chooses the reading that fits the broker's version, or else the sessions.
    fn reading<'a>(&self, ended: &Ended<'a>) -> Option<(Ending<'a>, Option<Peer>)> {
        let plain = ended.plain.map(|ending| (ending, None));
        let Some((bracketed, peer)) = ended.bracketed else { return plain };
        let bracketed = Some((bracketed, Some(peer)));
        match self.form {
            Form::Bracketed => bracketed,
            Form::Plain => plain,
            Form::Unknown => {
                let plain_fits = plain.is_some_and(|(ending, _)| self.sessions.contains(ending.id));
                if plain_fits { None } else { bracketed }
            }
        }
    }

    /// 2.1: the line has the connection's address and port.
    fn ended_at(
        &mut self,
        ending: Ending<'_>,
        peer: Peer,
        place: Place,
        counters: &mut Counters,
        sink: Sink<'_>,
    ) {
        let is_session = self.sessions.get(ending.id).is_some_and(|session| session.peer == peer);
        if is_session {
            self.disconnect(ending, place, sink);
            return;
        }
        let was_accepted = self.unresolved.has(peer);
        let settled = self.unresolved.resolve(peer);
        emit_settled(&settled, sink);
        let own_address = peer.ip.is_some_and(|ip| ending.id == ip.to_string());
        if ending.reason == DisconnectReason::Takeover {
            // A session whose connection had ended already is not taken over by anybody.
            counters.unmatched_ends += 1;
        } else if was_accepted || own_address || ending.nobody == EndKind::Auth {
            let claim = (!own_address).then(|| ending.id.into());
            let end = End { kind: ending.nobody, claim, at: place.at, arrival: place.arrival };
            emit_settled(&[Settled { end, ip: peer.ip, attribution: Attribution::Address }], sink);
        } else if self.complete {
            counters.unmatched_ends += 1;
        } else {
            self.disconnect(ending, place, sink);
        }
    }

    /// Before 2.1: the line has a client id or `<unknown>`.
    fn ended_plainly(
        &mut self,
        ending: Ending<'_>,
        refused: Option<RefusedConnack>,
        place: Place,
        counters: &mut Counters,
        sink: Sink<'_>,
    ) {
        if self.is_echo_of_takeover(ending, place) {
            counters.unmatched_ends += 1;
            return;
        }
        let unnamed = ending.id == "<unknown>";
        let is_session = self.sessions.contains(ending.id);
        let claimed = refused.as_ref().is_some_and(|refused| *refused.to == *ending.id);
        let is_login = ending.nobody == EndKind::Auth && (unnamed || claimed || !self.unresolved.is_empty());
        if is_session && !is_login && !claimed {
            self.disconnect(ending, place, sink);
        } else if unnamed || is_login || claimed || (self.complete && !self.unresolved.is_empty()) {
            let claim = (!unnamed).then(|| ending.id.into());
            let end = End { kind: ending.nobody, claim, at: place.at, arrival: place.arrival };
            let named = refused.filter(|_| unnamed).and_then(|refused| refused.address());
            let settled = match named.filter(|ip| self.unresolved.has(Peer { ip: Some(*ip), port: 0 })) {
                Some(ip) => self.unresolved.end_at(end, ip),
                None => self.unresolved.end(end),
            };
            emit_settled(&settled, sink);
        } else if self.complete {
            counters.unmatched_ends += 1;
        } else {
            self.disconnect(ending, place, sink);
        }
    }

    fn is_echo_of_takeover(&mut self, ending: Ending<'_>, place: Place) -> bool {
        let is_echo = ending.raw == line::SOCKET_ERROR
            && self
                .taken_over
                .as_ref()
                .is_some_and(|(id, at)| **id == *ending.id && place.at.millis_since(*at) <= ECHO_MS);
        if is_echo {
            self.taken_over = None;
        }
        is_echo
    }

    fn disconnect(&mut self, ending: Ending<'_>, place: Place, sink: Sink<'_>) {
        let no_goodbye = self.sessions.remove(ending.id).is_some_and(|session| !session.said_goodbye);
        let reason = match ending.reason {
            // Printed like a clean end when a reload removed the user; debug lines tell.
            DisconnectReason::Clean if self.debug && no_goodbye => DisconnectReason::Auth,
            reason => reason,
        };
        let kind = EventKind::Disconnect { client: ending.id, reason, raw: ending.raw };
        sink(&Event { at: place.at, kind });
    }

    fn message(&self, message: &Message<'_>, counters: &mut Counters, emit: &mut dyn FnMut(EventKind<'_>)) {
        let mut readings = message.readings();
        let (first, second) = (readings.next(), readings.next());
        let reading = match (first, second, message.bytes) {
            (Some(only), None, Some(_)) => Some(only),
            // Cut, or several: only a client that is connected is taken, and only if it is the only one.
            _ => {
                let mut known = message.readings().filter(|(client, _)| self.sessions.contains(client));
                known.next().filter(|_| known.next().is_none())
            }
        };
        let Some((client, topic)) = reading else {
            let counter =
                if message.bytes.is_some() { &mut counters.ambiguous_lines } else { &mut counters.cut_lines };
            *counter += 1;
            return;
        };
        let topic = if message.bytes.is_some() { topic } else { "" };
        let bytes = message.bytes.unwrap_or(0);
        emit(match message.verb {
            Verb::Received => EventKind::Publish { client, topic, bytes },
            Verb::Sent => EventKind::Delivery { client, topic, bytes },
            Verb::Denied => EventKind::Denied { client, action: Action::Publish, topic },
        });
    }

    /// Takes the line as a subscribe or unsubscribe line, if it is one or could be one.
    fn take_filter(
        &mut self,
        text: &str,
        line: &Line<'_>,
        place: Place,
        counters: &mut Counters,
        sink: Sink<'_>,
    ) -> Option<Effect> {
        let looks_otherwise = !matches!(line, Line::Other | Line::Noise);
        let reading = match place.class {
            Class::Subscribe => filters::read_certain(text, Wish::Subscribe, &self.sessions),
            Class::Unsubscribe => filters::read_certain(text, Wish::Unsubscribe, &self.sessions),
            _ if looks_otherwise && !self.sessions.has_imitators() => return None,
            _ => self.filter_in_file(text, line),
        };
        let by_topic = place.class != Class::Any;
        match reading {
            Reading::No if by_topic => counters.unknown_lines += 1,
            Reading::No => return None,
            Reading::Several => counters.ambiguous_lines += 1,
            // Not announced by a debug line: it could as well be the line that it looks like.
            Reading::One(_) if looks_otherwise && !by_topic && self.filters.announced(text).is_none() => {
                counters.ambiguous_lines += 1;
            }
            Reading::One(granted) => {
                let mut emit = |kind: EventKind<'_>| sink(&Event { at: place.at, kind });
                self.filters.granted(granted, &mut emit);
                return Some(Effect::Some);
            }
        }
        Some(Effect::None)
    }

    fn filter_in_file<'a>(&self, text: &'a str, line: &Line<'_>) -> Reading<'a> {
        if let Some(granted) = self.filters.announced(text) {
            return Reading::One(granted);
        }
        // With debug lines every filter line is announced, so this is what it looks like.
        if self.debug && !matches!(line, Line::Other) {
            return Reading::No;
        }
        let reading = filters::read(text, Wish::Subscribe, &self.sessions);
        // Any text after an id can be a filter: only where nothing else fits, or where such lines
        // are known to be printed.
        let may_unsubscribe = match line {
            Line::Other => true,
            Line::Noise => false,
            _ => self.filters.are_logged(),
        };
        match reading {
            Reading::No if may_unsubscribe => filters::read(text, Wish::Unsubscribe, &self.sessions),
            reading => reading,
        }
    }
}

impl RefusedConnack {
    /// The address that the line gives in place of an id. Only for codes that the broker sends
    /// before it has taken the id over: with others `to` may be an id that looks like an address.
    fn address(&self) -> Option<std::net::IpAddr> {
        match self.code {
            1 | 2 | 5 | 132 | 133 | 135 => self.to.parse().ok(),
            _ => None,
        }
    }
}

fn emit_settled(settled: &[Settled], sink: Sink<'_>) {
    for Settled { end, ip, attribution } in settled {
        let kind = match end.kind.error() {
            // A connection error has no word for doubt: it has an address or none.
            Some(kind) => {
                let ip = ip.filter(|_| *attribution != Attribution::Ambiguous);
                EventKind::ConnectionError { ip, kind }
            }
            None => EventKind::AuthFailure(AuthFailure {
                claimed_client: end.claim.as_deref(),
                claimed_user: None,
                ip: *ip,
                attribution: *attribution,
            }),
        };
        sink(&Event { at: end.at, kind });
    }
}
