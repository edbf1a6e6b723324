//! Which subscribe and unsubscribe requests were granted.
//!
//! Three kinds of line speak of them. `log_type subscribe` and `unsubscribe` print
//! `CLIENT QOS FILTER` and `CLIENT FILTER` once a filter is granted. `log_type debug` prints
//! `Received SUBSCRIBE from CLIENT`, each filter after a tab, and `Sending SUBACK`. With both,
//! a filter that is not confirmed before the next one was refused (dynamic security on 2.0 says
//! nothing else; 2.1 prints `(denied)`); with debug alone a request counts as granted.
//!
//! A filter line begins with the id and ends with the filter, both chosen by the client, so a
//! client named `Client b` can unsubscribe from `closed its connection.` and print what looks like
//! the end of `b`. Debug lines and the topic tell such lines apart. In a file without debug lines
//! that is known to hold filter lines, nothing does: while a client with such an id is connected,
//! lines that could be its own are counted as ambiguous and give no event, neither about it nor
//! about anybody else.

use fleet::event::{Action, EventKind};
use serde::{Deserialize, Serialize};

use super::sessions::Sessions;

/// What a filter line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wish {
    Subscribe,
    Unsubscribe,
}

/// The packet of which filters are listed now (debug lines).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Packet {
    client: Box<str>,
    wish: Wish,
    /// Filter that was listed last and is not yet confirmed.
    waiting: Option<Box<str>>,
}

/// State of one broker's filter lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filters {
    packet: Option<Packet>,
    /// Lines of `log_type subscribe` were seen.
    subscribes_logged: bool,
    /// Lines of `log_type unsubscribe` were seen.
    unsubscribes_logged: bool,
}

/// A line `CLIENT QOS FILTER` or `CLIENT FILTER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted<'a> {
    pub(super) client: &'a str,
    pub(super) filter: &'a str,
    pub(super) wish: Wish,
}

/// The readings of a line as a filter line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading<'a> {
    No,
    One(Granted<'a>),
    Several,
}

impl Filters {
    /// `Received SUBSCRIBE from CLIENT` and the like.
    pub(super) fn begin(&mut self, client: &str, wish: Wish, sink: &mut dyn FnMut(EventKind<'_>)) {
        self.end(sink);
        self.packet = Some(Packet { client: client.into(), wish, waiting: None });
    }

    /// Whether filters of a packet are being listed.
    pub(super) fn is_open(&self) -> bool {
        self.packet.is_some()
    }

    /// A tab and `FILTER (QoS 1)`, `FILTER (denied)` or `FILTER`.
    pub(super) fn tab(&mut self, text: &str, sink: &mut dyn FnMut(EventKind<'_>)) {
        self.decide(sink);
        let Some(packet) = &mut self.packet else { return };
        match packet.wish {
            Wish::Unsubscribe => packet.waiting = Some(text.into()),
            Wish::Subscribe => match text.rsplit_once(" (") {
                Some((topic, "denied)")) => {
                    let client = &packet.client;
                    sink(EventKind::Denied { client, action: Action::Subscribe, topic });
                }
                Some((filter, _qos)) => packet.waiting = Some(filter.into()),
                None => {}
            },
        }
    }

    /// SUBACK, UNSUBACK, or anything that shows that the packet is over.
    pub(super) fn end(&mut self, sink: &mut dyn FnMut(EventKind<'_>)) {
        self.decide(sink);
        self.packet = None;
    }

    /// The waiting filter was not confirmed.
    fn decide(&mut self, sink: &mut dyn FnMut(EventKind<'_>)) {
        let Some(packet) = &mut self.packet else { return };
        let Some(filter) = packet.waiting.take() else { return };
        let (client, filter) = (&*packet.client, &*filter);
        match packet.wish {
            Wish::Subscribe if self.subscribes_logged => {
                sink(EventKind::Denied { client, action: Action::Subscribe, topic: filter });
            }
            Wish::Subscribe => sink(EventKind::Subscribe { client, filter }),
            Wish::Unsubscribe if self.unsubscribes_logged => {}
            Wish::Unsubscribe => sink(EventKind::Unsubscribe { client, filter }),
        }
    }

    /// A filter line.
    pub(super) fn granted(&mut self, granted: Granted<'_>, sink: &mut dyn FnMut(EventKind<'_>)) {
        let Granted { client, filter, wish } = granted;
        if let Some(packet) = &mut self.packet
            && packet.wish == wish
            && *packet.client == *client
            && packet.waiting.as_deref() == Some(filter)
        {
            packet.waiting = None;
        }
        match wish {
            Wish::Subscribe => {
                self.subscribes_logged = true;
                sink(EventKind::Subscribe { client, filter });
            }
            Wish::Unsubscribe => {
                self.unsubscribes_logged = true;
                sink(EventKind::Unsubscribe { client, filter });
            }
        }
    }

    /// Whether this line is the confirmation that the debug lines announce.
    pub(super) fn announced<'a>(&self, text: &'a str) -> Option<Granted<'a>> {
        let packet = self.packet.as_ref()?;
        let expected = packet.waiting.as_deref()?;
        let client = text.get(..packet.client.len()).filter(|client| **client == *packet.client)?;
        let rest = text.get(client.len()..)?.strip_prefix(' ')?;
        let filter = match packet.wish {
            Wish::Subscribe => qos_and_filter(rest)?,
            Wish::Unsubscribe => rest,
        };
        (filter == expected).then_some(Granted { client, filter, wish: packet.wish })
    }

    /// Whether lines of `log_type subscribe` or `unsubscribe` were seen.
    pub(super) fn are_logged(&self) -> bool {
        self.subscribes_logged || self.unsubscribes_logged
    }
}

/// `QOS FILTER`
fn qos_and_filter(text: &str) -> Option<&str> {
    let (qos, filter) = text.split_once(' ')?;
    (matches!(qos, "0" | "1" | "2") && !filter.is_empty()).then_some(filter)
}

/// Reads a line as one of `wish`, by trying the clients that are connected now.
pub(super) fn read<'a>(text: &'a str, wish: Wish, sessions: &Sessions) -> Reading<'a> {
    read_if(text, wish, |client| sessions.contains(client))
}

/// Reads a line that is certainly one of `wish`: of a client that is connected, or, where none
/// fits, of any.
pub(super) fn read_certain<'a>(text: &'a str, wish: Wish, sessions: &Sessions) -> Reading<'a> {
    match read(text, wish, sessions) {
        Reading::No => read_if(text, wish, |_| true),
        reading => reading,
    }
}

fn read_if(text: &str, wish: Wish, is_client: impl Fn(&str) -> bool) -> Reading<'_> {
    let mut reading = Reading::No;
    for (at, _) in text.match_indices(' ') {
        let (Some(client), Some(rest)) = (text.get(..at), text.get(at + 1..)) else { continue };
        let filter = match wish {
            Wish::Subscribe => qos_and_filter(rest),
            Wish::Unsubscribe => (!rest.is_empty()).then_some(rest),
        };
        let Some(filter) = filter else { continue };
        if is_client(client) {
            reading = match reading {
                Reading::No => Reading::One(Granted { client, filter, wish }),
                Reading::One(_) | Reading::Several => return Reading::Several,
            };
        }
    }
    reading
}
