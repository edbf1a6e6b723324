//! What a control packet says (MQTT 3.1, 3.1.1 and 5.0, chapter 3), as far as events need it.
//!
//! Written here and not taken from a codec: codecs stop at the first packet that breaks a rule or
//! ask for packets in memory as a whole; here such a packet is what we look for, and a payload of
//! 256 MiB is only counted.

use super::frame::RawPacket;

/// Filters of one subscription that are kept; the rest is left out.
const FILTERS_MAX: usize = 256;

/// A control packet that keeps the rules, with what events need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Connect {
        level: u8,
        client: &'a str,
        user: Option<&'a str>,
        keep_alive_secs: u16,
    },
    Connack {
        code: u8,
        assigned: Option<&'a str>,
    },
    Publish {
        topic: &'a str,
        bytes: u32,
    },
    /// PUBACK or PUBREC of MQTT 5 with a reason code.
    Refused {
        code: u8,
    },
    Subscribe {
        id: u16,
        filters: Vec<&'a str>,
    },
    Suback {
        id: u16,
        codes: &'a [u8],
    },
    Unsubscribe {
        filters: Vec<&'a str>,
    },
    Disconnect {
        code: u8,
    },
    /// One that tells nothing to us.
    Other,
}

/// Which rule a packet breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Reads a packet of protocol level 3, 4 or 5 (the CONNECT states its own).
pub(super) fn read<'a>(packet: &RawPacket<'a>, level: u8) -> Result<Packet<'a>, Malformed> {
    if packet.unbounded {
        return Err(Malformed("remaining length of more than four bytes"));
    }
    let (kind, flags) = (packet.first >> 4, packet.first & 0x0f);
    let expected = match kind {
        // PUBLISH has flags of its own.
        3 => flags,
        6 | 8 | 10 => 2,
        _ => 0,
    };
    // MQTT 3.1 used the flags of these for duplicates.
    if flags != expected && !(level == 3 && flags & !0b1010 == 0) {
        return Err(Malformed("reserved flags"));
    }
    let mut body = Body(packet.body);
    match kind {
        1 => connect(&mut body),
        2 => connack(&mut body, level),
        3 => publish(&mut body, flags, packet.remaining, level),
        4 | 5 => {
            body.number()?;
            let code = if level == 5 { body.0.first().copied().unwrap_or(0) } else { 0 };
            Ok(if code >= 0x80 { Packet::Refused { code } } else { Packet::Other })
        }
        6 | 7 | 11 => body.number().map(|_| Packet::Other),
        8 => {
            let id = identifier(&mut body)?;
            properties(&mut body, level)?;
            Ok(Packet::Subscribe { id, filters: filters(&mut body, true)? })
        }
        9 => {
            let id = body.number()?;
            properties(&mut body, level)?;
            Ok(Packet::Suback { id, codes: body.0 })
        }
        10 => {
            identifier(&mut body)?;
            properties(&mut body, level)?;
            Ok(Packet::Unsubscribe { filters: filters(&mut body, false)? })
        }
        12 | 13 => Ok(Packet::Other),
        14 => Ok(Packet::Disconnect { code: body.0.first().copied().unwrap_or(0) }),
        15 if level == 5 => Ok(Packet::Other),
        _ => Err(Malformed("packet type")),
    }
}

/// Section 3.1.
fn connect<'a>(body: &mut Body<'a>) -> Result<Packet<'a>, Malformed> {
    let name = body.text()?;
    let level = body.byte()?;
    // A bridge sets the highest bit.
    if !matches!((name, level & 0x7f), ("MQIsdp", 3) | ("MQTT", 4 | 5)) {
        return Err(Malformed("protocol name or level"));
    }
    let level = level & 0x7f;
    let flags = body.byte()?;
    let [reserved, will, password, user] = [1, 4, 0x40, 0x80].map(|bit| flags & bit != 0);
    if reserved || flags & 0x18 == 0x18 || (!will && flags & 0x38 != 0) {
        return Err(Malformed("connect flags"));
    }
    let keep_alive_secs = body.number()?;
    properties(body, level)?;
    let client = body.text()?;
    if will {
        properties(body, level)?;
        body.text()?;
        body.bytes()?;
    }
    let user = if user { Some(body.text()?) } else { None };
    if password {
        body.bytes()?;
    }
    Ok(Packet::Connect { level, client, user, keep_alive_secs })
}

/// Section 3.2. The property 0x12 names the client id that the broker chose.
fn connack<'a>(body: &mut Body<'a>, level: u8) -> Result<Packet<'a>, Malformed> {
    body.byte()?;
    let code = body.byte()?;
    let assigned = if level == 5 { assigned(properties(body, level)?) } else { None };
    Ok(Packet::Connack { code, assigned })
}

/// Section 3.3.
fn publish<'a>(body: &mut Body<'a>, flags: u8, remaining: usize, level: u8) -> Result<Packet<'a>, Malformed> {
    let qos = flags >> 1 & 3;
    if qos == 3 {
        return Err(Malformed("quality of service 3"));
    }
    let whole = body.0.len();
    let topic = body.text()?;
    if topic.contains(['+', '#', '\0']) || (topic.is_empty() && level < 5) {
        return Err(Malformed("topic"));
    }
    if qos > 0 {
        identifier(body)?;
    }
    properties(body, level)?;
    let header = whole - body.0.len();
    Ok(Packet::Publish { topic, bytes: u32::try_from(remaining.saturating_sub(header)).unwrap_or(u32::MAX) })
}

/// A packet identifier is never 0 (section 2.2.1).
fn identifier(body: &mut Body<'_>) -> Result<u16, Malformed> {
    match body.number()? {
        0 => Err(Malformed("packet identifier 0")),
        id => Ok(id),
    }
}

/// The filters of SUBSCRIBE (with options) or UNSUBSCRIBE; at least one.
fn filters<'a>(body: &mut Body<'a>, with_options: bool) -> Result<Vec<&'a str>, Malformed> {
    let mut found = Vec::new();
    while !body.0.is_empty() {
        let filter = body.text()?;
        if filter.is_empty() || filter.contains('\0') {
            return Err(Malformed("topic filter"));
        }
        if with_options && body.byte()? & 3 == 3 {
            return Err(Malformed("quality of service 3"));
        }
        if found.len() < FILTERS_MAX {
            found.push(filter);
        }
    }
    if found.is_empty() { Err(Malformed("no topic filter")) } else { Ok(found) }
}

/// Takes the properties of MQTT 5 (section 2.2.2), whatever they say.
fn properties<'a>(body: &mut Body<'a>, level: u8) -> Result<&'a [u8], Malformed> {
    if level < 5 || body.0.is_empty() {
        return Ok(&[]);
    }
    let length = body.variable()?;
    body.take(length)
}

/// The assigned client id among the properties of a CONNACK: sizes by identifier, section 2.2.2.2.
fn assigned(bytes: &[u8]) -> Option<&str> {
    let mut body = Body(bytes);
    loop {
        match body.byte().ok()? {
            0x12 => return body.text().ok(),
            0x11 | 0x27 => body.take(4).ok()?,
            0x21 | 0x22 | 0x13 => body.take(2).ok()?,
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => body.take(1).ok()?,
            0x1f | 0x1a | 0x1c | 0x15 | 0x16 => body.bytes().ok()?,
            0x26 => {
                body.bytes().ok()?;
                body.bytes().ok()?
            }
            _ => return None,
        };
    }
}

/// What is still to be read of a packet.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (now, later) = self.0.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.0 = later;
        Ok(now)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed("it ends too early"))
    }

    fn number(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from(self.byte()?) << 8 | u16::from(self.byte()?))
    }

    fn variable(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("property length of more than four bytes"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()?;
        self.take(length.into())
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("text that is not UTF-8"))
    }
}
