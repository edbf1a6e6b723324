//! An event as a row of `events`.

use fleet::event::{Action, ConnectionErrorKind, Event, EventKind};

use crate::columns::EventRow;

/// An event as a row; what it does not say is taken from `base`.
pub(crate) fn row<'a>(event: &'a Event<'_>, base: EventRow<'a>) -> EventRow<'a> {
    let base = EventRow { time: event.at.millis(), ..base };
    let plain = |kind| EventRow { kind, ..base };
    match &event.kind {
        EventKind::Connect(connect) => EventRow {
            kind: "connect",
            thing: Some(connect.client),
            principal: connect.user,
            address: connect.ip,
            reason: connect.bridge.then_some("bridge"),
            ..base
        },
        EventKind::Disconnect { client, reason, .. } => {
            EventRow { kind: "disconnect", thing: Some(client), reason: Some(reason.name()), ..base }
        }
        EventKind::AuthFailure(failure) => EventRow {
            kind: "auth-failure",
            claimed_thing: failure.claimed_client,
            claimed_principal: failure.claimed_user,
            address: failure.ip,
            reason: Some(failure.attribution.name()),
            ..base
        },
        EventKind::Denied { client, action, topic } => {
            let reason = match action {
                Action::Publish => "publish",
                Action::Subscribe => "subscribe",
            };
            EventRow { kind: "denied", thing: Some(client), topic: some(topic), reason: Some(reason), ..base }
        }
        EventKind::Publish { client, topic, bytes } => message("publish", client, topic, Some(*bytes), base),
        EventKind::Delivery { client, topic, bytes } => {
            message("delivery", client, topic, Some(*bytes), base)
        }
        EventKind::Subscribe { client, filter } => message("subscribe", client, filter, None, base),
        EventKind::Unsubscribe { client, filter } => message("unsubscribe", client, filter, None, base),
        EventKind::Report { thing, .. } => EventRow { kind: "report", thing: Some(thing), ..base },
        EventKind::ConnectionError { ip, kind } => {
            let reason = match kind {
                ConnectionErrorKind::Tls => "tls",
                ConnectionErrorKind::Protocol => "protocol",
                ConnectionErrorKind::TooMany => "too-many",
                ConnectionErrorKind::NoConnect => "no-connect",
                ConnectionErrorKind::TlsSetup => "tls-setup",
            };
            EventRow { kind: "connection-error", address: *ip, reason: Some(reason), ..base }
        }
        EventKind::AdminChange { raw } => EventRow { kind: "admin-change", reason: Some(raw), ..base },
        EventKind::BrokerStart => plain("broker-start"),
        EventKind::BrokerStop => plain("broker-stop"),
        EventKind::BrokerReload => plain("broker-reload"),
    }
}

fn message<'a>(
    kind: &'a str,
    client: &'a str,
    topic: &'a str,
    bytes: Option<u32>,
    base: EventRow<'a>,
) -> EventRow<'a> {
    EventRow { kind, thing: Some(client), topic: some(topic), bytes: bytes.map(i64::from), ..base }
}

/// A text that is not empty.
pub(crate) const fn some(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}
