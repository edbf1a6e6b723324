//! Packets of both protocol versions, as far as a client that publishes with QoS 0 and 1 and
//! subscribes with QoS 1 needs them.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use rumqttc::{
    QoS as QoS4, SubscribeFilter, SubscribeReasonCode as Sub4,
    mqttbytes::{Error as Error4, v4},
    v5::mqttbytes::{Error as Error5, QoS as QoS5, v5},
};

use super::{Lost, Message, Session, protocol};
use crate::mqtt::{
    settings::{Connection, Protocol},
    status::FailureKind,
};

pub(super) const PING: [u8; 2] = [0xc0, 0];
pub(super) const DISCONNECT: [u8; 2] = [0xe0, 0];
/// Most publishes with QoS 1 under way, if the broker does not say otherwise: far below the number of packet ids.
const INFLIGHT_MAX: u16 = 1_000;

/// What the broker agreed to.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) session_present: bool,
    /// In place of ours.
    pub(super) keep_alive: Option<Duration>,
    pub(super) inflight_max: u16,
    pub(super) packet_bytes_max: Option<u32>,
}

/// A packet from the broker.
#[derive(Debug)]
pub(super) enum Incoming {
    Accepted(Accepted),
    Message(Message),
    Subscribed(Vec<bool>),
    /// PUBACK, and why the publish was refused, if it was.
    Confirmed {
        packet: u16,
        refused: Option<String>,
    },
    /// Nothing to be done about.
    Other,
}

/// PUBACK; with MQTT 5 its short form, which means success.
pub(super) const fn ack(packet: u16) -> [u8; 4] {
    let [high, low] = packet.to_be_bytes();
    [0x40, 2, high, low]
}

/// Longest that a publish can get.
pub(super) const fn publish_len(_: Protocol, topic: &str, payload: &[u8]) -> usize {
    // Type, four bytes of length, two of the topic's length, packet id, length of the properties.
    10 + topic.len() + payload.len()
}

/// Adds a PUBLISH, with QoS 1 if it has a packet id. The topic has at most 65,535 bytes, the whole less than 256 MiB.
pub(super) fn publish(
    protocol: Protocol,
    topic: &str,
    packet: Option<u16>,
    payload: &[u8],
    out: &mut BytesMut,
) {
    let properties = usize::from(protocol == Protocol::V5);
    let id = if packet.is_some() { 2 } else { 0 };
    out.put_u8(if packet.is_some() { 0x32 } else { 0x30 });
    let mut len = 2 + topic.len() + id + properties + payload.len();
    while len >= 128 {
        out.put_u8(u8::try_from(len % 128).unwrap_or_default() | 128);
        len /= 128;
    }
    out.put_u8(u8::try_from(len).unwrap_or_default());
    out.put_u16(u16::try_from(topic.len()).unwrap_or_default());
    out.put_slice(topic.as_bytes());
    if let Some(packet) = packet {
        out.put_u16(packet);
    }
    out.put_bytes(0, properties);
    out.put_slice(payload);
}

/// Adds a SUBSCRIBE. False if the codec refuses it.
pub(super) fn subscribe(protocol: Protocol, packet: u16, filters: &[String], out: &mut BytesMut) -> bool {
    let written = match protocol {
        Protocol::V311 => {
            let filters = filters.iter().map(|path| SubscribeFilter::new(path.clone(), QoS4::AtLeastOnce));
            let mut subscribe = v4::Subscribe::new_many(filters);
            subscribe.pkid = packet;
            subscribe.write(out).is_ok()
        }
        Protocol::V5 => {
            let filters = filters.iter().map(|path| {
                let mut filter = v5::Filter::new(path.clone(), QoS5::AtLeastOnce);
                // Not allowed to be left out for shared subscriptions either: they never get retained messages.
                filter.retain_forward_rule = v5::RetainForwardRule::Never;
                filter
            });
            let mut subscribe = v5::Subscribe::new_many(filters, None);
            subscribe.pkid = packet;
            subscribe.write(out).is_ok()
        }
    };
    debug_assert!(written, "filters are checked before");
    written
}

/// The CONNECT packet.
pub(super) fn connect(
    connection: &Connection,
    session: Session,
    packet_bytes_max: u32,
) -> Result<BytesMut, Lost> {
    let mut out = BytesMut::new();
    let clean = session.keep_secs.is_none();
    let keep_alive = u16::try_from(connection.keep_alive.as_secs()).unwrap_or(u16::MAX);
    let client_id = connection.client_id.clone();
    let password = connection.password.as_ref().map_or("", |secret| secret.expose());
    let written = match connection.protocol {
        Protocol::V311 => {
            let mut connect = v4::Connect::new(client_id);
            (connect.keep_alive, connect.clean_session) = (keep_alive, clean);
            if let Some(user) = &connection.username {
                connect.set_login(user, password);
            }
            connect.write(&mut out).map_err(|error| error.to_string())
        }
        Protocol::V5 => {
            let mut properties = v5::ConnectProperties::new();
            properties.session_expiry_interval = session.keep_secs;
            properties.receive_maximum = Some(session.inflight_max);
            properties.max_packet_size = Some(packet_bytes_max);
            let connect =
                v5::Connect { keep_alive, client_id, clean_start: clean, properties: Some(properties) };
            let login = connection.username.as_ref().map(|user| v5::Login::new(user, password));
            connect.write(&None, &login, &mut out).map_err(|error| error.to_string())
        }
    };
    written.map_err(|error| protocol(&error))?;
    Ok(out)
}

/// Takes the first packet off `bytes`, if it is whole.
///
/// # Errors
/// When it is none, is larger than `max`, refuses the connection or ends it.
pub(super) fn decode(protocol: Protocol, bytes: &mut BytesMut, max: u32) -> Result<Option<Incoming>, Lost> {
    match protocol {
        Protocol::V311 => match v4::Packet::read(bytes, usize::try_from(max).unwrap_or(usize::MAX)) {
            Ok(packet) => incoming4(packet).map(Some),
            Err(Error4::InsufficientBytes(_)) => Ok(None),
            Err(Error4::PayloadSizeLimitExceeded(bytes)) => Err(oversized(bytes)),
            Err(error) => Err(unreadable(&error)),
        },
        Protocol::V5 => match v5::Packet::read(bytes, Some(max)) {
            Ok(packet) => incoming5(packet).map(Some),
            Err(Error5::InsufficientBytes(_)) => Ok(None),
            Err(Error5::PayloadSizeLimitExceeded { pkt_size, .. }) => Err(oversized(pkt_size)),
            Err(error) => Err(unreadable(&error)),
        },
    }
}

fn incoming4(packet: v4::Packet) -> Result<Incoming, Lost> {
    Ok(match packet {
        v4::Packet::Publish(publish) if publish.qos == QoS4::ExactlyOnce => return Err(qos2()),
        v4::Packet::Publish(publish) => Incoming::Message(Message {
            topic: Bytes::from(publish.topic),
            payload: publish.payload,
            packet: (publish.qos != QoS4::AtMostOnce).then_some(publish.pkid),
            dup: publish.dup,
            retain: publish.retain,
        }),
        v4::Packet::ConnAck(ack) if ack.code == v4::ConnectReturnCode::Success => {
            Incoming::Accepted(Accepted {
                session_present: ack.session_present,
                keep_alive: None,
                inflight_max: INFLIGHT_MAX,
                packet_bytes_max: None,
            })
        }
        v4::Packet::ConnAck(ack) => return Err(refused(&format!("{:?}", ack.code))),
        v4::Packet::SubAck(ack) => {
            let granted = ack.return_codes.iter().map(|code| matches!(code, Sub4::Success(_)));
            Incoming::Subscribed(granted.collect())
        }
        v4::Packet::PubAck(ack) => Incoming::Confirmed { packet: ack.pkid, refused: None },
        _ => Incoming::Other,
    })
}

fn incoming5(packet: v5::Packet) -> Result<Incoming, Lost> {
    Ok(match packet {
        v5::Packet::Publish(publish) if publish.qos == QoS5::ExactlyOnce => return Err(qos2()),
        v5::Packet::Publish(publish) => Incoming::Message(Message {
            topic: publish.topic,
            payload: publish.payload,
            packet: (publish.qos != QoS5::AtMostOnce).then_some(publish.pkid),
            dup: publish.dup,
            retain: publish.retain,
        }),
        v5::Packet::ConnAck(ack) if ack.code == v5::ConnectReturnCode::Success => {
            let told = ack.properties;
            let told = told.as_ref();
            let inflight_max = told.and_then(|told| told.receive_max).unwrap_or(INFLIGHT_MAX);
            Incoming::Accepted(Accepted {
                session_present: ack.session_present,
                keep_alive: told
                    .and_then(|told| told.server_keep_alive)
                    .filter(|secs| *secs > 0)
                    .map(|secs| Duration::from_secs(secs.into())),
                inflight_max: inflight_max.min(INFLIGHT_MAX),
                packet_bytes_max: told.and_then(|told| told.max_packet_size),
            })
        }
        v5::Packet::ConnAck(ack) => return Err(refused(&format!("{:?}", ack.code))),
        v5::Packet::SubAck(ack) => {
            let granted =
                ack.return_codes.iter().map(|code| matches!(code, v5::SubscribeReasonCode::Success(_)));
            Incoming::Subscribed(granted.collect())
        }
        v5::Packet::PubAck(ack) => {
            let fine =
                matches!(ack.reason, v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers);
            Incoming::Confirmed { packet: ack.pkid, refused: (!fine).then(|| format!("{:?}", ack.reason)) }
        }
        v5::Packet::Disconnect(disconnect) => {
            let why = disconnect.properties.and_then(|told| told.reason_string).unwrap_or_default();
            let reason = disconnect.reason_code;
            return Err(protocol(&format!("the broker ended the connection: {reason:?} {why}")));
        }
        _ => Incoming::Other,
    })
}

fn refused(code: &str) -> Lost {
    let message = format!(
        "Connection refused, return code: `{code}`: check user name, password, client certificate and client id"
    );
    Lost { kind: FailureKind::Refused, message }
}

fn oversized(bytes: usize) -> Lost {
    let bytes = bytes as u64;
    let message = format!("the broker sent a packet larger than allowed: {bytes} bytes");
    Lost { kind: FailureKind::Oversized { bytes }, message }
}

fn unreadable(error: &dyn std::fmt::Display) -> Lost {
    protocol(&format!("the broker sent what is no MQTT: {error}"))
}

/// We subscribe with QoS 1 at most.
fn qos2() -> Lost {
    protocol("the broker sent a message with QoS 2, which was not asked for")
}
