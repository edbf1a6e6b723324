//! An MQTT client for both protocol versions, made for many small messages.
//!
//! What is to be sent is encoded into one buffer, and each turn of the [`Pump`] writes all of it
//! and reads all there is: acknowledgements and answers of a batch leave in one piece. A library
//! that writes each packet by itself was measured to cost us, and the broker, half as much CPU
//! time again. Packets are read with the codec of rumqttc.
//!
//! Nothing here waits or tries again by itself: a lost connection is told, and the caller decides.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _},
    time::{Instant, Sleep},
};

use self::{
    outgoing::Outgoing,
    packets::{Accepted, Incoming},
    stream::Stream,
};
use super::{
    settings::{Connection, Protocol},
    status::FailureKind,
};

mod outgoing;
mod packets;
mod stream;

pub(crate) use self::outgoing::Sender;

/// Room for reading; a larger packet takes several turns.
const READ_BYTES: usize = 64 << 10;
/// Events that are decoded ahead of the caller at most.
const EVENTS_MAX: usize = 1024;
/// A read that brings so many messages, and leaves room in the buffer, is followed by a rest.
const BUSY_MESSAGES: usize = 8;
/// Rest after such a read. A broker writes each message by itself; waking up for each costs more
/// than all that is done with it. Under 8,000 messages a second nothing ever rests.
const REST: Duration = Duration::from_millis(1);

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
    /// Topic; bytes, because MQTT 5 of the codec does not check them.
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    /// Packet id; none with QoS 0.
    pub(crate) packet: Option<u16>,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
}

/// What the pump tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// Connected; nothing is subscribed yet.
    Up { session_present: bool },
    /// Answer to the subscription: which filters were granted, in order.
    Subscribed(Vec<bool>),
    /// A message.
    Message(Message),
    /// So many publishes of ours went out.
    Sent(usize),
    /// A publish of ours was refused (MQTT 5 only).
    PublishRefused(String),
}

/// The connection failed or ended.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

/// A client for checked settings. [`Pump::prepare`] comes before the first poll.
pub(crate) fn open(connection: &Connection, session: Session) -> (Sender, Pump) {
    let outgoing = Arc::new(Outgoing::new(connection.protocol));
    let pump = Pump {
        connection: connection.clone(),
        session,
        tls: None,
        packet_bytes_max: connection.packet_bytes_max,
        outgoing: Arc::clone(&outgoing),
        link: None,
        events: VecDeque::new(),
    };
    (Sender::new(outgoing), pump)
}

/// The connection. All that it knows is in it: a poll may be dropped at any time.
pub(crate) struct Pump {
    connection: Connection,
    session: Session,
    tls: Option<Arc<ClientConfig>>,
    packet_bytes_max: u32,
    outgoing: Arc<Outgoing>,
    link: Option<Link>,
    events: VecDeque<Event>,
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pump(..)")
    }
}

impl Pump {
    /// Sets what the next connection uses.
    pub(crate) fn prepare(&mut self, tls: Option<Arc<ClientConfig>>, packet_bytes_max: u32) {
        self.tls = tls;
        self.packet_bytes_max = packet_bytes_max;
    }

    /// Waits for the next event; connects first if there is no connection.
    pub(crate) async fn poll(&mut self) -> Result<Event, Lost> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let outcome = if self.link.is_none() {
                self.connect().await
            } else {
                std::future::poll_fn(|cx| self.turn(cx)).await
            };
            if let Err(lost) = outcome {
                self.link = None;
                return Err(lost);
            }
        }
    }

    /// What was read before the connection was lost and not yet told, then forgets the connection:
    /// no acknowledgement or publish of the old one goes out on the next.
    pub(crate) fn abandon(&mut self) -> Vec<Event> {
        self.link = None;
        self.outgoing.forget();
        self.events.drain(..).collect()
    }

    async fn connect(&mut self) -> Result<(), Lost> {
        let limit = self.connection.connect_timeout;
        let connecting = self.shake_hands();
        let (link, accepted) = tokio::time::timeout(limit, connecting).await.map_err(|_| Lost {
            kind: FailureKind::Network,
            message: format!("no connection within {} s", limit.as_secs()),
        })??;
        self.outgoing.connected(accepted.inflight_max, accepted.packet_bytes_max);
        self.link = Some(link);
        self.events.push_back(Event::Up { session_present: accepted.session_present });
        Ok(())
    }

    async fn shake_hands(&self) -> Result<(Link, Accepted), Lost> {
        let Self { connection, session, packet_bytes_max, .. } = self;
        let mut stream = stream::connect(&connection.host, connection.port, self.tls.as_ref()).await?;
        let hello = packets::connect(connection, *session, *packet_bytes_max)?;
        stream.write_all(&hello).await.map_err(|error| stream::lost(&error))?;
        stream.flush().await.map_err(|error| stream::lost(&error))?;
        let mut reading = BytesMut::with_capacity(READ_BYTES);
        loop {
            match packets::decode(connection.protocol, &mut reading, *packet_bytes_max)? {
                Some(Incoming::Accepted(accepted)) => {
                    let keep_alive = accepted.keep_alive.unwrap_or(connection.keep_alive);
                    let link = Link::new(stream, reading, connection.protocol, *packet_bytes_max, keep_alive);
                    return Ok((link, accepted));
                }
                Some(_) => return Err(protocol("the broker did not begin with CONNACK")),
                None => {}
            }
            let read = stream.read_buf(&mut reading).await.map_err(|error| stream::lost(&error))?;
            if read == 0 {
                return Err(closed());
            }
        }
    }

    /// Writes and reads until something is to be told.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let Self { link: Some(link), outgoing, events, session, .. } = self else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let wrote = link.write(cx, outgoing, events)?;
            let read = link.read(cx, outgoing, events, session.manual_acks)?;
            if !events.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !wrote && !read {
                // Only once nothing more can be read: what is there may be the answer to the last ping.
                ready!(link.keep_alive(cx))?;
            }
        }
    }
}

/// A connection that was accepted.
struct Link {
    stream: Stream,
    protocol: Protocol,
    packet_bytes_max: u32,
    reading: BytesMut,
    writing: BytesMut,
    /// Publishes in `writing`.
    publishes: usize,
    unflushed: bool,
    every: Duration,
    ping_at: Pin<Box<Sleep>>,
    /// Nothing has arrived since the last ping.
    silent: bool,
    /// Messages of the last read.
    messages: usize,
    /// When to read again; what waits to be written goes out meanwhile.
    rest: Pin<Box<Sleep>>,
    resting: bool,
}

impl Link {
    fn new(
        stream: Stream,
        reading: BytesMut,
        protocol: Protocol,
        packet_bytes_max: u32,
        every: Duration,
    ) -> Self {
        Self {
            stream,
            protocol,
            packet_bytes_max,
            reading,
            writing: BytesMut::new(),
            publishes: 0,
            unflushed: false,
            every,
            ping_at: Box::pin(tokio::time::sleep(every)),
            silent: false,
            messages: 0,
            rest: Box::pin(tokio::time::sleep(Duration::ZERO)),
            resting: false,
        }
    }

    /// Writes what waits, as far as the network takes it. Whether anything was written.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &Outgoing,
        events: &mut VecDeque<Event>,
    ) -> Result<bool, Lost> {
        let mut wrote = false;
        loop {
            if self.writing.is_empty() && !outgoing.take(&mut self.writing, &mut self.publishes, cx) {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.writing) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(closed()),
                Poll::Ready(Ok(written)) => self.writing.advance(written),
                Poll::Ready(Err(error)) => return Err(stream::lost(&error)),
            }
            (wrote, self.unflushed) = (true, true);
            if self.writing.is_empty() && self.publishes > 0 {
                events.push_back(Event::Sent(std::mem::take(&mut self.publishes)));
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Err(stream::lost(&error)),
            }
        }
        Ok(wrote)
    }

    /// Decodes what was read; reads more only if that gave nothing to tell. Whether anything was read.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &Outgoing,
        events: &mut VecDeque<Event>,
        manual_acks: bool,
    ) -> Result<bool, Lost> {
        let mut any = false;
        loop {
            while events.len() < EVENTS_MAX
                && let Some(packet) =
                    packets::decode(self.protocol, &mut self.reading, self.packet_bytes_max)?
            {
                self.messages += usize::from(matches!(packet, Incoming::Message(_)));
                take_in(packet, outgoing, events, manual_acks)?;
            }
            if !events.is_empty() {
                return Ok(true);
            }
            if self.rests(cx) {
                return Ok(any);
            }
            self.messages = 0;
            self.reading.reserve(READ_BYTES);
            let reading = self.stream.read_buf(&mut self.reading);
            match std::pin::pin!(reading).poll(cx) {
                Poll::Pending => return Ok(any),
                Poll::Ready(Ok(0)) => return Err(closed()),
                Poll::Ready(Ok(read)) => {
                    (any, self.silent) = (true, false);
                    self.resting = read < READ_BYTES;
                    if self.resting {
                        self.rest.as_mut().reset(Instant::now() + REST);
                    }
                }
                Poll::Ready(Err(error)) => return Err(stream::lost(&error)),
            }
        }
    }

    /// Whether the last read brought so much that the next one waits for more.
    fn rests(&mut self, cx: &mut Context<'_>) -> bool {
        self.resting =
            self.resting && self.messages >= BUSY_MESSAGES && self.rest.as_mut().poll(cx).is_pending();
        self.resting
    }

    /// Ready when a ping is to be written.
    fn keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        ready!(self.ping_at.as_mut().poll(cx));
        if std::mem::replace(&mut self.silent, true) {
            let message = format!("the broker did not answer a ping for {} s", self.every.as_secs());
            return Poll::Ready(Err(Lost { kind: FailureKind::Network, message }));
        }
        self.ping_at.as_mut().reset(Instant::now() + self.every);
        self.writing.extend_from_slice(&packets::PING);
        Poll::Ready(Ok(()))
    }
}

fn take_in(
    packet: Incoming,
    outgoing: &Outgoing,
    events: &mut VecDeque<Event>,
    manual_acks: bool,
) -> Result<(), Lost> {
    match packet {
        Incoming::Message(message) => {
            if let Some(packet) = message.packet
                && !manual_acks
            {
                outgoing.ack(packet);
            }
            events.push_back(Event::Message(message));
        }
        Incoming::Subscribed(granted) => events.push_back(Event::Subscribed(granted)),
        Incoming::Confirmed { packet, refused } => {
            outgoing.confirmed(packet);
            events.extend(refused.map(Event::PublishRefused));
        }
        Incoming::Accepted(_) => return Err(protocol("the broker sent a second CONNACK")),
        Incoming::Other => {}
    }
    Ok(())
}

fn closed() -> Lost {
    Lost { kind: FailureKind::Network, message: "the broker closed the connection".into() }
}

fn protocol(message: &str) -> Lost {
    Lost { kind: FailureKind::Protocol, message: message.into() }
}

#[cfg(test)]
mod tests;
