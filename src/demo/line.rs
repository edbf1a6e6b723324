//! One connection of a device, speaking MQTT 3.1.1 over TCP from the device's own address.
//!
//! A thousand of these must be cheap: a task with a socket and a small buffer each, which
//! does one thing after the other and waits for the broker's answer to each.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{
    Error as PacketError, QoS,
    v4::{Connect, ConnectReturnCode, Disconnect, Packet, Publish},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::clock::Ticket;

/// How long a broker may take to answer before the connection is given up.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Largest packet that a device reads, in bytes.
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// Commands that may wait for a line; more make the player wait.
const COMMANDS_MAX: usize = 64;

/// What a line is to do.
#[derive(Debug)]
pub(super) enum Command {
    Connect { client: String, user: String, password: String },
    Publish { topic: String, payload: Bytes, report_at_millis: Option<u64> },
    Disconnect { clean: bool },
}

/// How a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Never connected, or disconnected by itself.
    Off = 0,
    /// A connect is under way.
    Connecting = 1,
    /// Connected.
    On = 2,
    /// The broker refused it.
    Refused = 3,
    /// The connection was lost.
    Lost = 4,
}

impl State {
    const ALL: [Self; 5] = [Self::Off, Self::Connecting, Self::On, Self::Refused, Self::Lost];
}

/// What the player may know of a line.
#[derive(Debug, Default)]
pub(super) struct Status {
    state: AtomicU8,
    /// When the latest accepted report was due, in ms since the story began, plus 1; 0 is never.
    report_at: AtomicU64,
}

impl Status {
    pub(super) fn state(&self) -> State {
        let number = self.state.load(Ordering::Relaxed);
        State::ALL.into_iter().find(|state| *state as u8 == number).unwrap_or(State::Off)
    }

    pub(super) fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub(super) fn last_report_millis(&self) -> Option<u64> {
        self.report_at.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// A line as the player holds it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) status: Arc<Status>,
    commands: mpsc::Sender<(Command, Ticket)>,
}

impl Line {
    /// A new line; its task ends when this is dropped.
    pub(super) fn open(broker: SocketAddr, from: Ipv4Addr, shared_address: Arc<AtomicBool>) -> Self {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let status = Arc::new(Status::default());
        let task = Task {
            broker,
            from,
            shared_address,
            status: Arc::clone(&status),
            stream: None,
            buffer: BytesMut::new(),
        };
        tokio::spawn(task.run(receiver));
        Self { status, commands }
    }

    pub(super) async fn send(&self, command: Command, ticket: Ticket) {
        // The task ends only after this handle: it cannot be gone.
        drop(self.commands.send((command, ticket)).await);
    }
}

struct Task {
    broker: SocketAddr,
    from: Ipv4Addr,
    /// Set when the system has no address of its own for each device.
    shared_address: Arc<AtomicBool>,
    status: Arc<Status>,
    stream: Option<TcpStream>,
    buffer: BytesMut,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<(Command, Ticket)>) {
        loop {
            let next = match &mut self.stream {
                None => commands.recv().await,
                Some(stream) => tokio::select! {
                    biased;
                    next = commands.recv() => next,
                    packet = read(stream, &mut self.buffer) => {
                        if packet.is_err() {
                            self.lose(State::Lost);
                        }
                        continue;
                    }
                },
            };
            let Some((command, ticket)) = next else { return };
            if let Err(error) = self.obey(command).await {
                tracing::trace!(%error, from = %self.from, "a simulated device lost its connection");
                self.lose(State::Lost);
            }
            drop(ticket);
        }
    }

    fn lose(&mut self, state: State) {
        self.stream = None;
        self.buffer.clear();
        self.status.set(state);
    }

    async fn obey(&mut self, command: Command) -> io::Result<()> {
        match command {
            Command::Connect { client, user, password } => {
                self.lose(State::Connecting);
                self.connect(client, user, password).await
            }
            Command::Publish { topic, payload, report_at_millis } => {
                if self.stream.is_none() {
                    return Ok(());
                }
                self.publish(topic, payload).await?;
                if let Some(at) = report_at_millis {
                    self.status.report_at.store(at + 1, Ordering::Relaxed);
                }
                Ok(())
            }
            Command::Disconnect { clean } => {
                if let (true, Some(stream)) = (clean, &mut self.stream) {
                    stream.write_all(&encoded(|out| Disconnect.write(out))?).await?;
                }
                self.lose(State::Off);
                Ok(())
            }
        }
    }

    async fn connect(&mut self, client: String, user: String, password: String) -> io::Result<()> {
        let mut connect = Connect::new(client);
        connect.keep_alive = 0;
        connect.set_login(user, password);
        let mut stream = timeout(ANSWER_MAX, self.dial()).await.map_err(late)??;
        stream.set_nodelay(true)?;
        stream.write_all(&encoded(|out| connect.write(out))?).await?;
        let answer = timeout(ANSWER_MAX, read(&mut stream, &mut self.buffer)).await.map_err(late)??;
        match answer {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {
                self.stream = Some(stream);
                self.status.set(State::On);
                Ok(())
            }
            Packet::ConnAck(_) => {
                self.lose(State::Refused);
                Ok(())
            }
            other => Err(io::Error::other(format!("expected CONNACK, found {other:?}"))),
        }
    }

    /// From the device's own loopback address where the system has one (Linux), else from the
    /// shared one.
    async fn dial(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if !self.shared_address.load(Ordering::Relaxed)
            && let Err(error) = socket.bind((self.from, 0).into())
        {
            if error.kind() != io::ErrorKind::AddrNotAvailable {
                return Err(error);
            }
            self.shared_address.store(true, Ordering::Relaxed);
        }
        socket.connect(self.broker).await
    }

    async fn publish(&mut self, topic: String, payload: Bytes) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let mut publish = Publish::from_bytes(topic, QoS::AtLeastOnce, payload);
        publish.pkid = 1;
        stream.write_all(&encoded(|out| publish.write(out))?).await?;
        loop {
            let answer = timeout(ANSWER_MAX, read(stream, &mut self.buffer)).await.map_err(late)??;
            if matches!(answer, Packet::PubAck(_)) {
                return Ok(());
            }
        }
    }
}

fn late(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the broker does not answer")
}

fn encoded(write: impl FnOnce(&mut BytesMut) -> Result<usize, PacketError>) -> io::Result<BytesMut> {
    let mut out = BytesMut::new();
    write(&mut out).map_err(io::Error::other)?;
    Ok(out)
}

/// The next packet. Nothing is lost if the future is dropped before it is done.
async fn read(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Packet> {
    loop {
        match Packet::read(buffer, PACKET_BYTES_MAX) {
            Ok(packet) => return Ok(packet),
            Err(PacketError::InsufficientBytes(_)) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
