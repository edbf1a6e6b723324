//! One face for the two protocol versions of the MQTT library.
//!
//! The library's event loop reports an error per failed connection and leaves all else
//! (waiting, trying again, what to keep) to its caller.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rumqttc::{
    AsyncClient as Client4, ConnectionError as Error4, Event as Event4, EventLoop as Loop4,
    MqttOptions as Options4, NetworkOptions, Packet as Packet4, QoS as QoS4, StateError as State4,
    SubscribeFilter, SubscribeReasonCode as Sub4, TlsConfiguration, Transport,
    mqttbytes::Error as Bytes4,
    v5::{
        self,
        mqttbytes::{
            Error as Bytes5, QoS as QoS5,
            v5::{Filter, Packet as Packet5, PubAckReason, RetainForwardRule, SubscribeReasonCode as Sub5},
        },
    },
};
use rustls::ClientConfig;

use super::{
    settings::{Connection, Protocol},
    status::FailureKind,
};

/// Requests that may wait for the event loop. More than all acknowledgements that can be under
/// way (65,535) and all answers, so that sending never has to wait, see `source`.
const REQUESTS_MAX: usize = 80_000;

/// What a session wants of its broker beside the connection itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    /// Ask the broker to keep the session for this long; `None` for a session that ends with the connection.
    pub(crate) keep_secs: Option<u32>,
    /// Messages under way at once; MQTT 5 only.
    pub(crate) inflight_max: u16,
    /// Acknowledge by hand.
    pub(crate) manual_acks: bool,
}

/// A message from the broker.
#[derive(Debug)]
pub(crate) struct Message {
    /// Topic; bytes, because MQTT 5 of the library does not check them.
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    /// Packet id; none with QoS 0.
    pub(crate) packet: Option<u16>,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
}

/// What the event loop tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// Connected; nothing is subscribed yet.
    Up { session_present: bool },
    /// Answer to the subscription: which filters were granted, in order.
    Subscribed(Vec<bool>),
    /// A message.
    Message(Message),
    /// A publish of ours went out.
    Sent,
    /// A publish of ours was refused (MQTT 5 only).
    PublishRefused(String),
    /// Nothing that matters here.
    Other,
}

/// The connection failed or ended.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

/// The sending side. All calls return at once; `false` means that too much waits already.
#[derive(Clone, Debug)]
pub(crate) enum Sender {
    V4(Client4),
    V5(v5::AsyncClient),
}

impl Sender {
    /// Acknowledges a QoS 1 message.
    pub(crate) fn ack(&self, packet: u16) -> bool {
        match self {
            Self::V4(client) => {
                let mut publish = rumqttc::Publish::new("", QoS4::AtLeastOnce, Vec::new());
                publish.pkid = packet;
                client.try_ack(&publish).is_ok()
            }
            Self::V5(client) => {
                let publish =
                    v5::mqttbytes::v5::Publish { qos: QoS5::AtLeastOnce, pkid: packet, ..Default::default() };
                client.try_ack(&publish).is_ok()
            }
        }
    }

    /// Publishes, with QoS 1 if `confirmed`, else 0.
    pub(crate) fn publish(&self, topic: String, payload: Vec<u8>, confirmed: bool) -> bool {
        match self {
            Self::V4(client) => {
                let qos = if confirmed { QoS4::AtLeastOnce } else { QoS4::AtMostOnce };
                client.try_publish(topic, qos, false, payload).is_ok()
            }
            Self::V5(client) => {
                let qos = if confirmed { QoS5::AtLeastOnce } else { QoS5::AtMostOnce };
                client.try_publish(topic, qos, false, payload).is_ok()
            }
        }
    }

    /// Subscribes with QoS 1, without retained messages where the protocol can say so.
    pub(crate) fn subscribe(&self, filters: &[String]) -> bool {
        match self {
            Self::V4(client) => {
                let filters =
                    filters.iter().map(|path| SubscribeFilter::new(path.clone(), QoS4::AtLeastOnce));
                client.try_subscribe_many(filters).is_ok()
            }
            Self::V5(client) => {
                let filters = filters.iter().map(|path| {
                    let mut filter = Filter::new(path.clone(), QoS5::AtLeastOnce);
                    // Not allowed to be left out for shared subscriptions either: they never get retained messages.
                    filter.retain_forward_rule = RetainForwardRule::Never;
                    filter
                });
                client.try_subscribe_many(filters).is_ok()
            }
        }
    }

    /// Says good-bye; the broker keeps the session if it was asked to.
    pub(crate) fn disconnect(&self) -> bool {
        match self {
            Self::V4(client) => client.try_disconnect().is_ok(),
            Self::V5(client) => client.try_disconnect().is_ok(),
        }
    }
}

/// The event loop, to be polled without being dropped in the middle.
pub(crate) enum Pump {
    V4(Box<Loop4>),
    V5(Box<v5::EventLoop>),
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pump(..)")
    }
}

impl Pump {
    /// Waits for the next event; connects first if there is no connection.
    pub(crate) async fn poll(&mut self) -> Result<Event, Lost> {
        match self {
            Self::V4(pump) => pump.poll().await.map(event4).map_err(|error| lost4(&error)),
            Self::V5(pump) => pump.poll().await.map(event5).map_err(|error| lost5(&error)),
        }
    }

    /// What was read before the connection was lost and not yet told, then forgets the connection:
    /// no acknowledgement or publish of the old one goes out on the next.
    pub(crate) fn abandon(&mut self) -> Vec<Event> {
        match self {
            Self::V4(pump) => {
                let left = pump.state.events.drain(..).map(event4).collect();
                pump.clean();
                pump.pending.clear();
                left
            }
            Self::V5(pump) => {
                let left = pump.state.events.drain(..).map(event5).collect();
                pump.clean();
                pump.pending.clear();
                left
            }
        }
    }

    /// Sets what the next connection uses.
    pub(crate) fn prepare(&mut self, tls: Option<Arc<ClientConfig>>, packet_bytes_max: u32) {
        let transport = tls.map_or(Transport::Tcp, |config| Transport::Tls(TlsConfiguration::Rustls(config)));
        let bytes_max = usize::try_from(packet_bytes_max).unwrap_or(usize::MAX);
        match self {
            Self::V4(pump) => {
                pump.mqtt_options.set_transport(transport).set_max_packet_size(bytes_max, bytes_max);
            }
            Self::V5(pump) => {
                pump.options.set_transport(transport).set_max_packet_size(Some(packet_bytes_max));
            }
        }
    }
}

/// A client for checked settings. [`Pump::prepare`] comes before the first poll.
pub(crate) fn open(connection: &Connection, session: Session) -> (Sender, Pump) {
    let mut network = NetworkOptions::new();
    // Acknowledgements are small and many: they must not wait for each other.
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(connection.connect_timeout.as_secs());
    match connection.protocol {
        Protocol::V311 => {
            let (client, mut pump) = Client4::new(options4(connection, session), REQUESTS_MAX);
            pump.set_network_options(network);
            (Sender::V4(client), Pump::V4(Box::new(pump)))
        }
        Protocol::V5 => {
            let mut options = options5(connection, session);
            options.set_network_options(network);
            let (client, pump) = v5::AsyncClient::new(options, REQUESTS_MAX);
            (Sender::V5(client), Pump::V5(Box::new(pump)))
        }
    }
}

fn keep_alive(connection: &Connection) -> Duration {
    connection.keep_alive.max(Duration::from_secs(5))
}

fn options4(connection: &Connection, session: Session) -> Options4 {
    let mut options = Options4::new(&connection.client_id, &connection.host, connection.port);
    options
        .set_keep_alive(keep_alive(connection))
        .set_clean_session(session.keep_secs.is_none())
        .set_manual_acks(session.manual_acks);
    if let Some(user) = &connection.username {
        options.set_credentials(user, password(connection));
    }
    options
}

fn options5(connection: &Connection, session: Session) -> v5::MqttOptions {
    let mut options = v5::MqttOptions::new(&connection.client_id, &connection.host, connection.port);
    options
        .set_keep_alive(keep_alive(connection))
        .set_clean_start(session.keep_secs.is_none())
        .set_session_expiry_interval(session.keep_secs)
        .set_receive_maximum(Some(session.inflight_max))
        .set_connection_timeout(connection.connect_timeout.as_secs())
        .set_manual_acks(session.manual_acks);
    if let Some(user) = &connection.username {
        options.set_credentials(user, password(connection));
    }
    options
}

fn password(connection: &Connection) -> &str {
    connection.password.as_ref().map_or("", |secret| secret.expose())
}

fn event4(event: Event4) -> Event {
    match event {
        Event4::Incoming(Packet4::Publish(publish)) => Event::Message(Message {
            topic: Bytes::from(publish.topic),
            payload: publish.payload,
            packet: (publish.qos != QoS4::AtMostOnce).then_some(publish.pkid),
            dup: publish.dup,
            retain: publish.retain,
        }),
        Event4::Incoming(Packet4::ConnAck(ack)) => Event::Up { session_present: ack.session_present },
        Event4::Incoming(Packet4::SubAck(ack)) => {
            Event::Subscribed(ack.return_codes.iter().map(|code| matches!(code, Sub4::Success(_))).collect())
        }
        Event4::Outgoing(rumqttc::Outgoing::Publish(_)) => Event::Sent,
        _ => Event::Other,
    }
}

fn event5(event: v5::Event) -> Event {
    match event {
        v5::Event::Incoming(Packet5::Publish(publish)) => Event::Message(Message {
            topic: publish.topic,
            payload: publish.payload,
            packet: (publish.qos != QoS5::AtMostOnce).then_some(publish.pkid),
            dup: publish.dup,
            retain: publish.retain,
        }),
        v5::Event::Incoming(Packet5::ConnAck(ack)) => Event::Up { session_present: ack.session_present },
        v5::Event::Incoming(Packet5::SubAck(ack)) => {
            Event::Subscribed(ack.return_codes.iter().map(|code| matches!(code, Sub5::Success(_))).collect())
        }
        v5::Event::Incoming(Packet5::PubAck(ack))
            if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) =>
        {
            Event::PublishRefused(format!("{:?}", ack.reason))
        }
        v5::Event::Outgoing(rumqttc::Outgoing::Publish(_)) => Event::Sent,
        _ => Event::Other,
    }
}

const OVERSIZED: &str = "the broker sent a packet larger than allowed";

fn lost4(error: &Error4) -> Lost {
    let kind = match error {
        Error4::ConnectionRefused(_) => FailureKind::Refused,
        Error4::Tls(_) => FailureKind::Tls,
        Error4::Io(io) => io_kind(io),
        Error4::MqttState(State4::Deserialization(Bytes4::PayloadSizeLimitExceeded(bytes))) => {
            FailureKind::Oversized { bytes: *bytes as u64 }
        }
        Error4::MqttState(State4::Io(io)) => io_kind(io),
        Error4::MqttState(State4::ConnectionAborted) | Error4::NetworkTimeout | Error4::FlushTimeout => {
            FailureKind::Network
        }
        _ => FailureKind::Protocol,
    };
    lost(kind, error.to_string())
}

fn lost5(error: &v5::ConnectionError) -> Lost {
    use v5::{ConnectionError as Error5, StateError as State5};
    let kind = match error {
        Error5::ConnectionRefused(_) => FailureKind::Refused,
        Error5::Tls(_) => FailureKind::Tls,
        Error5::Io(io) => io_kind(io),
        Error5::MqttState(State5::Deserialization(Bytes5::PayloadSizeLimitExceeded { pkt_size, .. })) => {
            FailureKind::Oversized { bytes: *pkt_size as u64 }
        }
        Error5::MqttState(State5::Io(io)) => io_kind(io),
        Error5::MqttState(State5::ConnectionAborted) | Error5::Timeout(_) => FailureKind::Network,
        _ => FailureKind::Protocol,
    };
    lost(kind, error.to_string())
}

/// A TLS alert during or after the handshake reaches us as an I/O error that wraps it.
fn io_kind(error: &std::io::Error) -> FailureKind {
    let tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if tls || error.to_string().contains("alert") { FailureKind::Tls } else { FailureKind::Network }
}

fn lost(kind: FailureKind, text: String) -> Lost {
    // The read errors of the library arrive as text only.
    let kind = if text.contains("received fatal alert") { FailureKind::Tls } else { kind };
    let message = match kind {
        FailureKind::Refused => {
            format!("{text}: check user name, password, client certificate and client id")
        }
        FailureKind::Oversized { bytes } => format!("{OVERSIZED}: {bytes} bytes"),
        _ => text,
    };
    Lost { kind, message }
}
