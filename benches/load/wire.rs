//! As much MQTT 3.1.1 as a load generator needs, on plain sockets: nothing that would slow it down.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
};

pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;

/// A connected client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are packets already handed out.
    used: usize,
}

/// A packet: its type, the flags, and where its body is in the buffer.
pub(crate) struct Packet<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) body: &'a [u8],
}

impl Client {
    /// Connects and waits until the broker agrees.
    pub(crate) fn connect(port: u16, id: &str, user: &str, password: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        // Version 4; clean session, user name, password; no keep-alive.
        body.extend_from_slice(&[4, 0b1100_0010, 0, 0]);
        for part in [id, user, password] {
            text(&mut body, part);
        }
        stream.write_all(&packet(0x10, &body))?;
        let mut client = Self { stream, buffer: Vec::new(), used: 0 };
        match client.next()? {
            Some(Packet { kind: 2, body: [_, 0], .. }) => Ok(client),
            _ => Err(io::Error::other(format!("the broker refused `{id}`"))),
        }
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        let mut body = vec![0, 1];
        text(&mut body, filter);
        body.push(qos);
        self.stream.write_all(&packet(0x82, &body))?;
        match self.next()? {
            Some(Packet { kind: 9, body: [_, _, granted], .. }) if *granted == qos => Ok(()),
            _ => Err(io::Error::other(format!("the broker refused the subscription to `{filter}`"))),
        }
    }

    /// The next packet; nothing at the end of the connection.
    pub(crate) fn next(&mut self) -> io::Result<Option<Packet<'_>>> {
        while self.whole().is_none() {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(self.buffered())
    }

    /// The next packet that has arrived in full.
    pub(crate) fn buffered(&mut self) -> Option<Packet<'_>> {
        let (head, len) = self.whole()?;
        let start = self.used;
        self.used += head + len;
        let bytes = &self.buffer[start..start + head + len];
        Some(Packet { kind: bytes[0] >> 4, flags: bytes[0] & 15, body: &bytes[head..] })
    }

    /// Bytes of head and body of the packet at the front, if it is whole.
    fn whole(&self) -> Option<(usize, usize)> {
        let bytes = &self.buffer[self.used..];
        let mut len = 0;
        for (at, &byte) in bytes.iter().skip(1).take(4).enumerate() {
            len |= usize::from(byte & 127) << (7 * at);
            if byte < 128 {
                return (bytes.len() >= at + 2 + len).then_some((at + 2, len));
            }
        }
        None
    }

    /// Waits for more bytes; false at the end.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..std::mem::take(&mut self.used));
        let before = self.buffer.len();
        self.buffer.resize(before + (64 << 10), 0);
        let read = match self.stream.read(&mut self.buffer[before..]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(0),
            other => other,
        };
        self.buffer.truncate(before + read.as_ref().copied().unwrap_or(0));
        Ok(read? > 0)
    }
}

/// The packet id of a PUBLISH with QoS 1.
pub(crate) fn publish_id(packet: &Packet<'_>) -> Option<[u8; 2]> {
    if packet.flags & 0b110 == 0 {
        return None;
    }
    let topic = usize::from(u16::from_be_bytes([packet.body[0], packet.body[1]]));
    Some([packet.body[2 + topic], packet.body[3 + topic]])
}

/// The topic of a PUBLISH.
pub(crate) fn topic(packet: &Packet<'_>) -> String {
    let len = usize::from(u16::from_be_bytes([packet.body[0], packet.body[1]]));
    String::from_utf8_lossy(&packet.body[2..2 + len]).into_owned()
}

pub(crate) fn ack(id: [u8; 2]) -> [u8; 4] {
    [0x40, 2, id[0], id[1]]
}

/// Adds a PUBLISH to `out`; QoS 1 if there is a packet id.
pub(crate) fn publish(topic: &str, id: Option<u16>, payload: &[u8], out: &mut Vec<u8>) {
    let len = 2 + topic.len() + if id.is_some() { 2 } else { 0 } + payload.len();
    out.push(if id.is_some() { 0x32 } else { 0x30 });
    length(out, len);
    text(out, topic);
    if let Some(id) = id {
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    length(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

fn length(out: &mut Vec<u8>, mut len: usize) {
    while len >= 128 {
        out.push((len % 128) as u8 | 128);
        len /= 128;
    }
    out.push(len as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
