//! Writes an event as the decoder reads it.

use std::{io::Write as _, net::IpAddr, ops::Range};

use fleet::{
    event::{Action, ConnectionErrorKind, Event, EventKind},
    report::{CustomValue, ReportBuf, slice_of},
};
use serde::Serialize;

/// Appends the event as one JSON object, without a line end.
///
/// A report is written with what a [`ReportBuf`] keeps: interfaces and local ports are left out,
/// and the port of every remote address is 1.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"at\":");
    json(out, event.at.millis());
    let mut object = Object(out);
    match event.kind {
        EventKind::Connect(it) => {
            object.event("connect").field("client", it.client).optional("user", it.user);
            object.optional("ip", it.ip).optional("bridge", it.bridge.then_some(true));
        }
        EventKind::Disconnect { client, reason, raw } => {
            object.event("disconnect").field("client", client).field("reason", reason.name());
            object.optional("raw", Some(raw).filter(|raw| !raw.is_empty()));
        }
        EventKind::AuthFailure(it) => {
            object.event("auth-failure").optional("client", it.claimed_client);
            object.optional("user", it.claimed_user).optional("ip", it.ip);
            object.field("attribution", it.attribution.name());
        }
        EventKind::Denied { client, action, topic } => {
            object.event("denied").field("client", client);
            object.field("action", action_word(action)).field("topic", topic);
        }
        EventKind::Publish { client, topic, bytes } => {
            object.event("publish").field("client", client).field("topic", topic).field("bytes", bytes);
        }
        EventKind::Delivery { client, topic, bytes } => {
            object.event("delivery").field("client", client).field("topic", topic).field("bytes", bytes);
        }
        EventKind::Subscribe { client, filter } => {
            object.event("subscribe").field("client", client).field("filter", filter);
        }
        EventKind::Unsubscribe { client, filter } => {
            object.event("unsubscribe").field("client", client).field("filter", filter);
        }
        EventKind::Report { thing, report: content, identity } => {
            object.event("report").field("thing", thing).field("identity", identity).key("report");
            report(content, object.0);
        }
        EventKind::ConnectionError { ip, kind } => {
            object.event("connection-error").field("kind", error_word(kind)).optional("ip", ip);
        }
        EventKind::AdminChange { raw } => {
            object.event("admin-change").field("raw", raw);
        }
        EventKind::BrokerStart => {
            object.event("broker-start");
        }
        EventKind::BrokerStop => {
            object.event("broker-stop");
        }
        EventKind::BrokerReload => {
            object.event("broker-reload");
        }
    }
    out.push(b'}');
}

/// An open object with at least one member.
struct Object<'o>(&'o mut Vec<u8>);

impl Object<'_> {
    fn event(&mut self, name: &str) -> &mut Self {
        self.field("event", name)
    }

    fn key(&mut self, name: &str) -> &mut Self {
        self.0.push(b',');
        json(self.0, name);
        self.0.push(b':');
        self
    }

    fn field(&mut self, name: &str, value: impl Serialize) -> &mut Self {
        self.key(name);
        json(self.0, value);
        self
    }

    fn optional(&mut self, name: &str, value: Option<impl Serialize>) -> &mut Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }
}

/// Appends a value. Text, numbers and addresses into memory: nothing that can fail.
fn json(out: &mut Vec<u8>, value: impl Serialize) {
    let written = serde_json::to_writer(&mut *out, &value);
    debug_assert!(written.is_ok(), "{written:?}");
}

const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
    }
}

const fn error_word(kind: ConnectionErrorKind) -> &'static str {
    match kind {
        ConnectionErrorKind::Tls => "tls",
        ConnectionErrorKind::Protocol => "protocol",
        ConnectionErrorKind::TooMany => "too-many",
        ConnectionErrorKind::NoConnect => "no-connect",
        ConnectionErrorKind::TlsSetup => "tls-setup",
    }
}

fn report(report: &ReportBuf, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"header\":{\"report_id\":");
    json(out, report.report_id);
    let mut object = Object(out);
    object.0.extend_from_slice(b",\"version\":\"1.0\"}");
    object.key("metrics").0.extend_from_slice(b"{\"network_stats\":{");
    let stats = [
        ("bytes_in", report.bytes_in),
        ("bytes_out", report.bytes_out),
        ("packets_in", report.packets_in),
        ("packets_out", report.packets_out),
    ];
    let given = stats.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
    list(object.0, given, |out, (name, value)| {
        json(out, name);
        out.push(b':');
        json(out, value);
    });
    object.0.push(b'}');
    if report.has_tcp_ports || report.tcp_ports_total.is_some() {
        let items = report.has_tcp_ports.then_some(&report.tcp_ports);
        object.key("listening_tcp_ports");
        counted(object.0, "ports", items, report.tcp_ports_total, port);
    }
    if report.has_udp_ports || report.udp_ports_total.is_some() {
        let items = report.has_udp_ports.then_some(&report.udp_ports);
        object.key("listening_udp_ports");
        counted(object.0, "ports", items, report.udp_ports_total, port);
    }
    if report.has_remote_addresses || report.connections_total.is_some() {
        object.key("tcp_connections").0.extend_from_slice(b"{\"established_connections\":");
        let items = report.has_remote_addresses.then_some(&report.remote_addresses);
        let total = report.connections_total;
        counted(object.0, "connections", items, total, remote);
        object.0.push(b'}');
    }
    object.0.push(b'}');
    custom_metrics(report, &mut object);
    out.push(b'}');
}

/// `{"NAME":[..],"total":n}`
fn counted<T>(
    out: &mut Vec<u8>,
    name: &str,
    items: Option<&Vec<T>>,
    total: Option<u64>,
    item: fn(&mut Vec<u8>, &T),
) {
    out.push(b'{');
    if let Some(items) = items {
        json(out, name);
        out.extend_from_slice(b":[");
        list(out, items, item);
        out.push(b']');
    }
    if let Some(total) = total {
        out.extend_from_slice(if items.is_some() { b",\"total\":" } else { b"\"total\":" });
        json(out, total);
    }
    out.push(b'}');
}

fn port(out: &mut Vec<u8>, port: &u16) {
    out.extend_from_slice(b"{\"port\":");
    json(out, port);
    out.push(b'}');
}

fn remote(out: &mut Vec<u8>, ip: &IpAddr) {
    let written = write!(out, "{{\"remote_addr\":\"{}\"}}", std::net::SocketAddr::new(*ip, 1));
    debug_assert!(written.is_ok(), "memory takes everything");
}

fn custom_metrics(report: &ReportBuf, object: &mut Object<'_>) {
    if report.custom.is_empty() {
        return;
    }
    object.key("custom_metrics").0.push(b'{');
    list(object.0, &report.custom, |out, metric| {
        json(out, report.text_of(&metric.name).unwrap_or_default());
        out.extend_from_slice(b":[{");
        match &metric.value {
            CustomValue::Number(number) => {
                out.extend_from_slice(b"\"number\":");
                json(out, number);
            }
            CustomValue::NumberList(range) => values(out, "number_list", &report.numbers, range),
            CustomValue::IpList(range) => values(out, "ip_list", &report.addresses, range),
            CustomValue::StringList(range) => {
                out.extend_from_slice(b"\"string_list\":[");
                let texts = slice_of(&report.strings, range).unwrap_or_default();
                list(out, texts, |out, text| json(out, report.text_of(text).unwrap_or_default()));
                out.push(b']');
            }
        }
        out.extend_from_slice(b"}]");
    });
    object.0.push(b'}');
}

fn values<T: Serialize>(out: &mut Vec<u8>, name: &str, arena: &[T], range: &Range<u32>) {
    json(out, name);
    out.extend_from_slice(b":[");
    list(out, slice_of(arena, range).unwrap_or_default(), json);
    out.push(b']');
}

/// Items with commas between them.
fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, item: impl Fn(&mut Vec<u8>, T)) {
    for (index, value) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item(out, value);
    }
}
