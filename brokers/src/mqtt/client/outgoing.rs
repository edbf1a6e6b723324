//! What is to be sent, encoded, until the pump takes it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use bytes::BytesMut;

use super::packets;
use crate::mqtt::settings::Protocol;

/// Bytes that may wait before publishes are turned away: some seconds of answers.
const PUBLISH_BYTES_MAX: usize = 8 << 20;
/// Bytes that may wait at all. What is left beside publishes holds every acknowledgement that can
/// be under way (65,535 of four bytes) many times over.
const BYTES_MAX: usize = 16 << 20;
/// Publishes with QoS 1 that wait until the broker takes more at once.
const HELD_MAX: usize = 1024;

/// The sending side. No call waits; `false` means that too much waits already. What is sent
/// leaves with the next [`Sender::go`].
#[derive(Clone, Debug)]
pub(crate) struct Sender(Arc<Outgoing>);

impl Sender {
    pub(super) const fn new(outgoing: Arc<Outgoing>) -> Self {
        Self(outgoing)
    }

    /// Acknowledges a QoS 1 message.
    pub(crate) fn ack(&self, packet: u16) -> bool {
        self.0.ack(packet)
    }

    /// Publishes, with QoS 1 if `confirmed`, else 0.
    pub(crate) fn publish(&self, topic: &str, payload: Vec<u8>, confirmed: bool) -> bool {
        self.0.publish(topic, payload, confirmed)
    }

    /// Subscribes with QoS 1, without retained messages where the protocol can say so.
    pub(crate) fn subscribe(&self, filters: &[String]) -> bool {
        self.0.subscribe(filters)
    }

    /// Says good-bye; the broker keeps the session if it was asked to.
    pub(crate) fn disconnect(&self) {
        self.0.queue().bytes.extend_from_slice(&packets::DISCONNECT);
        self.go();
    }

    /// Has the pump write what waits.
    pub(crate) fn go(&self) {
        let waker = self.0.queue().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[derive(Debug)]
pub(super) struct Outgoing {
    protocol: Protocol,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: BytesMut,
    /// Publishes in `bytes`.
    publishes: usize,
    /// The pump, while it waits for more.
    waker: Option<Waker>,
    last_id: u16,
    /// Packet ids of publishes with QoS 1 that the broker has not confirmed.
    under_way: BTreeSet<u16>,
    /// As many as the broker takes at once; 0 before it was ever asked.
    under_way_max: usize,
    /// Publishes with QoS 1 past that.
    held: VecDeque<(String, Vec<u8>)>,
    packet_bytes_max: Option<u32>,
}

impl Outgoing {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, queue: Mutex::default() }
    }

    /// A panic under the lock cannot leave half a packet: encoding does not fail in the middle.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker has accepted the connection, with these limits.
    pub(super) fn connected(&self, under_way_max: u16, packet_bytes_max: Option<u32>) {
        let mut queue = self.queue();
        queue.under_way_max = usize::from(under_way_max);
        queue.packet_bytes_max = packet_bytes_max;
        queue.release(self.protocol);
    }

    /// The connection is lost, and with it what was to go out on it.
    pub(super) fn forget(&self) {
        let mut queue = self.queue();
        let last_id = queue.last_id;
        *queue = Queue { last_id, ..Queue::default() };
    }

    /// Moves what waits to `bytes`, which is empty. If nothing does, remembers to wake the pump.
    pub(super) fn take(&self, bytes: &mut BytesMut, publishes: &mut usize, cx: &Context<'_>) -> bool {
        let mut queue = self.queue();
        if queue.bytes.is_empty() {
            match &mut queue.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return false;
        }
        std::mem::swap(&mut queue.bytes, bytes);
        *publishes += std::mem::take(&mut queue.publishes);
        true
    }

    pub(super) fn ack(&self, packet: u16) -> bool {
        let mut queue = self.queue();
        if queue.bytes.len() >= BYTES_MAX {
            return false;
        }
        queue.bytes.extend_from_slice(&packets::ack(packet));
        true
    }

    fn publish(&self, topic: &str, payload: Vec<u8>, confirmed: bool) -> bool {
        let mut queue = self.queue();
        let len = packets::publish_len(self.protocol, topic, &payload);
        let too_large = queue.packet_bytes_max.is_some_and(|max| len as u64 > u64::from(max));
        if queue.bytes.len() + len > PUBLISH_BYTES_MAX || too_large || topic.len() > usize::from(u16::MAX) {
            return false;
        }
        if !confirmed {
            queue.publishes += 1;
            packets::publish(self.protocol, topic, None, &payload, &mut queue.bytes);
            return true;
        }
        if queue.held.len() >= HELD_MAX {
            return false;
        }
        queue.held.push_back((topic.to_owned(), payload));
        queue.release(self.protocol);
        true
    }

    fn subscribe(&self, filters: &[String]) -> bool {
        let mut queue = self.queue();
        let id = queue.next_id();
        packets::subscribe(self.protocol, id, filters, &mut queue.bytes)
    }

    /// The broker has taken a publish with QoS 1.
    pub(super) fn confirmed(&self, packet: u16) {
        let mut queue = self.queue();
        if queue.under_way.remove(&packet) {
            queue.release(self.protocol);
        }
    }
}

impl Queue {
    /// Packet ids count up and leave out those in use; 0 is none.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.under_way.contains(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Encodes publishes that were held, as many as the broker takes.
    fn release(&mut self, protocol: Protocol) {
        while self.under_way.len() < self.under_way_max
            && let Some((topic, payload)) = self.held.pop_front()
        {
            let id = self.next_id();
            self.under_way.insert(id);
            self.publishes += 1;
            packets::publish(protocol, &topic, Some(id), &payload, &mut self.bytes);
        }
    }
}
