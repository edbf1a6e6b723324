//! CBOR (RFC 8949), of definite and indefinite length, read in a single pass.
//!
//! Names are text; tags are stepped over; `undefined` is read as null.

use super::{
    DEPTH_MAX,
    fault::{Fault, Reason, Step, quote},
    number::{self, Number},
    read::Source,
};

/// A CBOR document and how far it is read.
#[derive(Debug)]
pub(super) struct Cbor<'a> {
    rest: &'a [u8],
    len: usize,
    /// The last text of indefinite length.
    scratch: Vec<u8>,
    /// Where the last number began.
    number: &'a [u8],
}

/// How many entries follow; `None` until a break.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    left: Option<u64>,
}

/// The head of a data item.
#[derive(Clone, Copy, Debug)]
enum Head {
    Number(Number),
    Bytes(Option<u64>),
    Text(Option<u64>),
    List(Option<u64>),
    Map(Option<u64>),
    Bool(bool),
    Null,
    /// A simple value without a meaning here.
    Simple(u64),
    Break,
}

impl<'a> Source<'a> for Cbor<'a> {
    type Frame = Frame;

    fn new(bytes: &'a [u8]) -> Step<Self> {
        Ok(Self { rest: bytes, len: bytes.len(), scratch: Vec::new(), number: &[] })
    }

    fn open_object(&mut self) -> Step<Option<Frame>> {
        let (head, rest) = self.head()?;
        let Head::Map(left) = head else { return Ok(None) };
        self.rest = rest;
        Ok(Some(Frame { left }))
    }

    fn name(&mut self, frame: &mut Frame) -> Step<Option<&[u8]>> {
        if !self.item(frame)? {
            return Ok(None);
        }
        let (head, rest) = self.head()?;
        let Head::Text(len) = head else {
            let message = format!(
                "byte {}: found {}; expected is a member's name as text",
                self.position(),
                self.describe()
            );
            return Err(Fault::new(Reason::Syntax, message));
        };
        self.rest = rest;
        Ok(Some(self.string(len)?.unwrap_or(&self.scratch)))
    }

    #[inline(always)]
    fn guess(&mut self, frame: &mut Frame, name: &'static str) -> bool {
        // Every name is shorter than 24 bytes, so its usual head is one byte.
        debug_assert!(name.len() < 24, "{name}");
        let [head, rest @ ..] = self.rest else { return false };
        let Some(rest) = rest.strip_prefix(name.as_bytes()) else { return false };
        if usize::from(*head) != 0x60 + name.len() || frame.left == Some(0) {
            return false;
        }
        frame.left = frame.left.map(|left| left - 1);
        self.rest = rest;
        true
    }

    fn open_list(&mut self) -> Step<Option<Frame>> {
        let (head, rest) = self.head()?;
        let Head::List(left) = head else { return Ok(None) };
        self.rest = rest;
        Ok(Some(Frame { left }))
    }

    fn item(&mut self, frame: &mut Frame) -> Step<bool> {
        match (&mut frame.left, self.rest) {
            (Some(0), _) => Ok(false),
            (Some(left), _) => {
                *left -= 1;
                Ok(true)
            }
            (None, [0xff, tail @ ..]) => {
                self.rest = tail;
                Ok(false)
            }
            (None, _) => Ok(true),
        }
    }

    #[inline]
    fn null(&mut self) -> Step<bool> {
        if let [0..0xc0, ..] = self.rest {
            return Ok(false);
        }
        let (head, rest) = self.head()?;
        let found = matches!(head, Head::Null);
        if found {
            self.rest = rest;
        }
        Ok(found)
    }

    fn number(&mut self) -> Step<Option<Number>> {
        let (head, rest) = self.head()?;
        match head {
            Head::Number(number) => {
                self.number = std::mem::replace(&mut self.rest, rest);
                Ok(Some(number))
            }
            // The C agent writes `local_port` as text.
            Head::Text(len) => {
                let here = std::mem::replace(&mut self.rest, rest);
                let text = self.string(len)?.unwrap_or(&self.scratch);
                let number = number::parse(text).filter(|(_, rest)| rest.is_empty());
                match number {
                    Some(_) => self.number = here,
                    None => self.rest = here,
                }
                Ok(number.map(|(number, _)| number))
            }
            _ => Ok(None),
        }
    }

    fn text(&mut self) -> Step<Option<&[u8]>> {
        let (head, rest) = self.head()?;
        let Head::Text(len) = head else { return Ok(None) };
        self.rest = rest;
        Ok(Some(self.string(len)?.unwrap_or(&self.scratch)))
    }

    fn skip(&mut self) -> Step<()> {
        self.skip_nested(0)
    }

    fn end(&mut self) -> Step<()> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(Fault::new(
                Reason::Trailing,
                format!(
                    "byte {}: found {extra} more bytes; allowed is nothing after the report",
                    self.position()
                ),
            )),
        }
    }

    #[cold]
    fn describe(&self) -> String {
        match self.head() {
            Ok((Head::Number(Number::Whole(number)), _)) => quote(number.to_string().as_bytes()),
            Ok((Head::Number(Number::Double(number)), _)) => quote(number.to_string().as_bytes()),
            Ok((Head::Text(Some(len)), rest)) => {
                let text = split(rest, len).map_or(rest, |(text, _)| text);
                quote(&[b"\"", text.get(..64).unwrap_or(text), b"\""].concat())
            }
            Ok((Head::Text(None), _)) => "text".into(),
            Ok((Head::Bytes(_), _)) => "bytes".into(),
            Ok((Head::List(_), _)) => "a list".into(),
            Ok((Head::Map(_), _)) => "an object".into(),
            Ok((Head::Bool(value), _)) => format!("`{value}`"),
            Ok((Head::Null, _)) => "`null`".into(),
            Ok((Head::Simple(value), _)) => format!("`simple({value})`"),
            Ok((Head::Break, _)) => "a break".into(),
            Err(fault) => fault.message,
        }
    }

    #[cold]
    fn describe_number(&self) -> String {
        Self { rest: self.number, scratch: Vec::new(), ..*self }.describe()
    }
}

impl<'a> Cbor<'a> {
    /// The head of the item here, tags stepped over, and what follows it.
    fn head(&self) -> Step<(Head, &'a [u8])> {
        const TAGS_MAX: usize = 4;
        let mut rest = self.rest;
        for _ in 0..=TAGS_MAX {
            let [initial, tail @ ..] = rest else { return Err(self.truncated()) };
            let (major, info) = (initial >> 5, initial & 0x1f);
            let (argument, tail) = match info {
                0..24 => (Some(u64::from(info)), tail),
                24 => big_endian::<1>(tail).ok_or_else(|| self.truncated())?,
                25 => big_endian::<2>(tail).ok_or_else(|| self.truncated())?,
                26 => big_endian::<4>(tail).ok_or_else(|| self.truncated())?,
                27 => big_endian::<8>(tail).ok_or_else(|| self.truncated())?,
                31 => (None, tail),
                _ => return Err(self.malformed(*initial)),
            };
            let head = match (major, argument) {
                (0, Some(number)) => Head::Number(Number::Whole(number)),
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "no negative number is allowed where precision matters"
                )]
                (1, Some(number)) => Head::Number(Number::Double(-1.0 - number as f64)),
                (2, len) => Head::Bytes(len),
                (3, len) => Head::Text(len),
                (4, len) => Head::List(len),
                (5, len) => Head::Map(len),
                (6, Some(_)) => {
                    rest = tail;
                    continue;
                }
                (7, Some(bits)) => simple(info, bits),
                (7, None) => Head::Break,
                _ => return Err(self.malformed(*initial)),
            };
            return Ok((head, tail));
        }
        Err(Fault::new(
            Reason::Depth,
            format!("byte {}: found tags over tags; allowed are up to {TAGS_MAX}", self.position()),
        ))
    }

    /// Reads a text after its head; `None` if it is in `scratch`.
    fn string(&mut self, len: Option<u64>) -> Step<Option<&'a [u8]>> {
        if let Some(len) = len {
            return self.chunk(len).map(Some);
        }
        self.scratch.clear();
        loop {
            let (head, rest) = self.head()?;
            match head {
                Head::Text(Some(len)) => {
                    self.rest = rest;
                    let chunk = self.chunk(len)?;
                    self.scratch.extend_from_slice(chunk);
                }
                Head::Break => {
                    self.rest = rest;
                    return Ok(None);
                }
                _ => {
                    let message = format!(
                        "byte {}: found {}; expected is a piece of text",
                        self.position(),
                        self.describe()
                    );
                    return Err(Fault::new(Reason::Syntax, message));
                }
            }
        }
    }

    fn chunk(&mut self, len: u64) -> Step<&'a [u8]> {
        let (chunk, rest) = split(self.rest, len).ok_or_else(|| self.truncated())?;
        if let Err(error) = std::str::from_utf8(chunk) {
            let at = self.position() + error.valid_up_to();
            return Err(Fault::new(Reason::Utf8, format!("byte {at} is not UTF-8")));
        }
        self.rest = rest;
        Ok(chunk)
    }

    fn skip_nested(&mut self, depth: u32) -> Step<()> {
        if depth >= DEPTH_MAX {
            let message = format!(
                "byte {}: found nesting over {DEPTH_MAX} levels; allowed are up to {DEPTH_MAX}",
                self.position()
            );
            return Err(Fault::new(Reason::Depth, message));
        }
        let (head, rest) = self.head()?;
        match head {
            Head::Text(len) => {
                self.rest = rest;
                self.string(len).map(|_| ())
            }
            Head::Bytes(len) => {
                self.rest = rest;
                self.skip_bytes(len)
            }
            Head::List(left) => {
                self.rest = rest;
                let mut frame = Frame { left };
                while self.item(&mut frame)? {
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            Head::Map(left) => {
                self.rest = rest;
                let mut frame = Frame { left };
                while self.name(&mut frame)?.is_some() {
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            Head::Break => Err(self.malformed(0xff)),
            Head::Number(_) | Head::Bool(_) | Head::Null | Head::Simple(_) => {
                self.rest = rest;
                Ok(())
            }
        }
    }

    fn skip_bytes(&mut self, len: Option<u64>) -> Step<()> {
        if let Some(len) = len {
            self.rest = split(self.rest, len).ok_or_else(|| self.truncated())?.1;
            return Ok(());
        }
        loop {
            let (head, rest) = self.head()?;
            match head {
                Head::Bytes(Some(len)) => self.rest = split(rest, len).ok_or_else(|| self.truncated())?.1,
                Head::Break => {
                    self.rest = rest;
                    return Ok(());
                }
                _ => {
                    let message = format!(
                        "byte {}: found {}; expected is a piece of bytes",
                        self.position(),
                        self.describe()
                    );
                    return Err(Fault::new(Reason::Syntax, message));
                }
            }
        }
    }

    fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    #[cold]
    fn truncated(&self) -> Box<Fault> {
        Fault::new(Reason::Truncated, format!("the report ends inside the item at byte {}", self.position()))
    }

    #[cold]
    fn malformed(&self, initial: u8) -> Box<Fault> {
        Fault::new(
            Reason::Syntax,
            format!("byte {}: found 0x{initial:02x}; expected is a value", self.position()),
        )
    }
}

/// What the head of major type 7 means.
fn simple(info: u8, bits: u64) -> Head {
    let double = |double: f64| Head::Number(Number::Double(double));
    match info {
        20 => Head::Bool(false),
        21 => Head::Bool(true),
        22 | 23 => Head::Null,
        25 => double(half(bits)),
        26 => u32::try_from(bits).map_or(Head::Null, |bits| double(f32::from_bits(bits).into())),
        27 => double(f64::from_bits(bits)),
        _ => Head::Simple(bits),
    }
}

/// A float of 16 bits (RFC 8949, appendix D).
fn half(bits: u64) -> f64 {
    let (exponent, mantissa) = ((bits >> 10) & 0x1f, (bits & 0x3ff) as f64);
    let magnitude = match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2_f64.powi(i32::try_from(exponent).unwrap_or(0) - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

fn big_endian<const N: usize>(bytes: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let (argument, rest) = bytes.split_first_chunk::<N>()?;
    Some((Some(argument.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))), rest))
}

fn split(bytes: &[u8], len: u64) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(len).ok()?)
}
