//! JSON (RFC 8259), read in a single pass without a tree.
//!
//! Names and texts without escapes are borrowed from the report; others are decoded into
//! a scratch buffer. Everything is checked, including what is stepped over.

use std::net::Ipv4Addr;

use super::{
    DEPTH_MAX, address,
    fault::{Fault, Reason, Step, quote},
    number::{self, Number},
    read::Source,
};

/// A JSON text and how far it is read.
#[derive(Debug)]
pub(super) struct Json<'a> {
    /// What is not yet read. Valid UTF-8.
    rest: &'a [u8],
    /// Length of the whole, to tell positions.
    len: usize,
    /// The last text that had escapes.
    scratch: Vec<u8>,
    /// Where the last number began.
    number: &'a [u8],
}

/// Whether an object or list is at its first entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    first: bool,
}

impl<'a> Source<'a> for Json<'a> {
    type Frame = Frame;

    fn new(bytes: &'a [u8]) -> Step<Self> {
        if let Err(error) = std::str::from_utf8(bytes) {
            return Err(Fault::new(Reason::Utf8, format!("byte {} is not UTF-8", error.valid_up_to())));
        }
        let mut json = Self::unchecked(bytes);
        json.space();
        Ok(json)
    }

    #[inline(always)]
    fn open_object(&mut self) -> Step<Option<Frame>> {
        self.open(b'{')
    }

    #[inline(always)]
    fn name(&mut self, frame: &mut Frame) -> Step<Option<&[u8]>> {
        if !self.next(frame, b'}')? {
            return Ok(None);
        }
        let [b'"', tail @ ..] = self.rest else {
            return Err(self.unexpected("a member's name in quotes"));
        };
        self.rest = tail;
        let plain = self.string()?;
        self.space();
        let [b':', tail @ ..] = self.rest else {
            return Err(self.unexpected("`:`"));
        };
        self.rest = tail;
        self.space();
        Ok(Some(plain.unwrap_or(&self.scratch)))
    }

    #[inline(always)]
    fn guess(&mut self, frame: &mut Frame, name: &'static str) -> bool {
        let rest = match self.rest {
            [b',', b'"', rest @ ..] if !frame.first => rest,
            [b'"', rest @ ..] if frame.first => rest,
            _ => return false,
        };
        match rest.strip_prefix(name.as_bytes()) {
            Some([b'"', b':', rest @ ..]) => {
                self.rest = rest;
                self.space();
                frame.first = false;
                true
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn open_list(&mut self) -> Step<Option<Frame>> {
        self.open(b'[')
    }

    #[inline(always)]
    fn item(&mut self, frame: &mut Frame) -> Step<bool> {
        self.next(frame, b']')
    }

    #[inline(always)]
    fn null(&mut self) -> Step<bool> {
        match self.rest {
            [b'n', ..] => self.word(b"null").map(|()| true),
            _ => Ok(false),
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Step<Option<Number>> {
        let [b'-' | b'0'..=b'9', ..] = self.rest else {
            return self.value_ahead().map(|()| None);
        };
        let Some((number, rest)) = number::parse(self.rest) else {
            return Err(self.unexpected("a number such as 12, -3 or 1.5e3"));
        };
        self.number = std::mem::replace(&mut self.rest, rest);
        Ok(Some(number))
    }

    #[inline(always)]
    fn text(&mut self) -> Step<Option<&[u8]>> {
        let [b'"', tail @ ..] = self.rest else {
            return self.value_ahead().map(|()| None);
        };
        self.rest = tail;
        Ok(Some(self.string()?.unwrap_or(&self.scratch)))
    }

    #[inline(always)]
    fn v4_with_port(&mut self) -> Option<Ipv4Addr> {
        let (address, rest) = address::quoted_v4_with_port(self.rest)?;
        self.rest = rest;
        Some(address)
    }

    fn skip(&mut self) -> Step<()> {
        self.skip_nested(0)
    }

    fn end(&mut self) -> Step<()> {
        self.space();
        match self.rest {
            [] => Ok(()),
            _ => Err(Fault::new(
                Reason::Trailing,
                format!(
                    "byte {}: found {}; allowed is nothing after the report",
                    self.position(),
                    quote(self.rest)
                ),
            )),
        }
    }

    #[cold]
    fn describe(&self) -> String {
        describe(self.rest)
    }

    #[cold]
    fn describe_number(&self) -> String {
        describe(self.number)
    }
}

impl<'a> Json<'a> {
    /// At the first byte. That all of it is UTF-8, the caller has to find out.
    pub(super) const fn unchecked(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, len: bytes.len(), scratch: Vec::new(), number: &[] }
    }

    /// What is not yet read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Steps over white space.
    #[inline(always)]
    fn space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] = self.rest {
            self.rest = tail;
        }
    }

    #[inline(always)]
    fn open(&mut self, bracket: u8) -> Step<Option<Frame>> {
        match self.rest {
            [first, tail @ ..] if *first == bracket => {
                self.rest = tail;
                Ok(Some(Frame { first: true }))
            }
            _ => self.value_ahead().map(|()| None),
        }
    }

    /// Moves to the next entry; `false` if `close` was there instead.
    #[inline(always)]
    fn next(&mut self, frame: &mut Frame, close: u8) -> Step<bool> {
        self.space();
        let first = std::mem::replace(&mut frame.first, false);
        match self.rest {
            [b',', tail @ ..] if !first => self.rest = tail,
            [byte, tail @ ..] if *byte == close => {
                self.rest = tail;
                return Ok(false);
            }
            _ if first => {}
            _ if close == b'}' => return Err(self.unexpected("`,` or `}`")),
            _ => return Err(self.unexpected("`,` or `]`")),
        }
        self.space();
        Ok(true)
    }

    /// Reads a string after its opening quote; `None` if it had escapes and is in `scratch`.
    #[inline(always)]
    fn string(&mut self) -> Step<Option<&'a [u8]>> {
        let rest = self.rest;
        let end = plain_len(rest);
        if let Some((plain, [b'"', tail @ ..])) = rest.split_at_checked(end) {
            self.rest = tail;
            return Ok(Some(plain));
        }
        self.escaped_string().map(|()| None)
    }

    /// Reads a string with escapes into `scratch`.
    #[cold]
    fn escaped_string(&mut self) -> Step<()> {
        self.scratch.clear();
        loop {
            let rest = self.rest;
            let (plain, tail) = rest.split_at_checked(plain_len(rest)).unwrap_or((rest, &[]));
            self.scratch.extend_from_slice(plain);
            self.rest = tail;
            match tail {
                [b'"', tail @ ..] => {
                    self.rest = tail;
                    return Ok(());
                }
                [b'\\', ..] => self.escape()?,
                [] => return Err(self.unexpected("a closing quote")),
                _ => return Err(self.unexpected("a character of a text; control characters are escaped")),
            }
        }
    }

    /// Reads one escape into `scratch`.
    fn escape(&mut self) -> Step<()> {
        const ALLOWED: &str = "an escape such as `\\n` or `\\u00e4`";
        let [_, kind, tail @ ..] = self.rest else {
            return Err(self.unexpected(ALLOWED));
        };
        let byte = match kind {
            b'"' | b'\\' | b'/' => *kind,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let Some((character, tail)) = unicode_escape(tail) else {
                    return Err(self.unexpected(ALLOWED));
                };
                self.scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.rest = tail;
                return Ok(());
            }
            _ => return Err(self.unexpected(ALLOWED)),
        };
        self.scratch.push(byte);
        self.rest = tail;
        Ok(())
    }

    fn skip_nested(&mut self, depth: u32) -> Step<()> {
        if depth >= DEPTH_MAX {
            let message = format!(
                "byte {}: found nesting over {DEPTH_MAX} levels; allowed are up to {DEPTH_MAX}",
                self.position()
            );
            return Err(Fault::new(Reason::Depth, message));
        }
        match self.rest {
            [b'{', ..] => {
                let Some(mut frame) = self.open_object()? else { return Ok(()) };
                while self.name(&mut frame)?.is_some() {
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            [b'[', ..] => {
                let Some(mut frame) = self.open_list()? else { return Ok(()) };
                while self.item(&mut frame)? {
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            [b'"', ..] => self.text().map(|_| ()),
            [b't', ..] => self.word(b"true"),
            [b'f', ..] => self.word(b"false"),
            [b'n', ..] => self.word(b"null"),
            _ => match self.number()? {
                Some(_) => Ok(()),
                None => Err(self.unexpected("a value")),
            },
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Step<()> {
        match self.rest.strip_prefix(word) {
            Some(tail) => {
                self.rest = tail;
                Ok(())
            }
            None => Err(self.unexpected("a value")),
        }
    }

    /// Tells a value of another kind (no fault here) from no value at all.
    #[cold]
    fn value_ahead(&self) -> Step<()> {
        match self.rest {
            [b'{' | b'[' | b'"' | b'-' | b'0'..=b'9', ..] => Ok(()),
            rest if [&b"true"[..], b"false", b"null"].iter().any(|word| rest.starts_with(word)) => Ok(()),
            _ => Err(self.unexpected("a value")),
        }
    }

    pub(super) fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> Box<Fault> {
        let at = self.position();
        if self.rest.is_empty() {
            return Fault::new(
                Reason::Truncated,
                format!("byte {at}: the report ends; expected is {expected}"),
            );
        }
        let found = String::from_utf8_lossy(self.rest.get(..4).unwrap_or(self.rest));
        let found = found.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
        Fault::new(Reason::Syntax, format!("byte {at}: found {found:?}; expected is {expected}"))
    }
}

/// The value at the start of `rest`, as a message shows it.
#[cold]
fn describe(rest: &[u8]) -> String {
    match rest {
        [b'{', ..] => "an object".into(),
        [b'[', ..] => "a list".into(),
        [b'"', tail @ ..] => {
            let end = tail.iter().position(|&byte| byte == b'"').map_or(tail.len(), |at| at + 1);
            quote(rest.get(..=end).unwrap_or(rest))
        }
        _ => {
            let end = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | 0..=b' '));
            quote(end.and_then(|end| rest.get(..end)).unwrap_or(rest))
        }
    }
}

/// The length of the leading part without quote, backslash and control characters.
#[inline(always)]
fn plain_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let hits = special(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return bytes.len() - rest.len() + hits.trailing_zeros() as usize / 8;
        }
        rest = tail;
    }
    let tail = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    bytes.len() - rest.len() + tail.unwrap_or(rest.len())
}

/// Marks the bytes of `word` that end a plain text, by the high bit; the lowest mark is
/// exact, those above it may be wrong (Mycroft's test for a zero byte, and its kin for "less than").
#[inline(always)]
const fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & HIGHS
}

/// Reads what follows `\u`: one unit, or a pair of surrogates.
fn unicode_escape(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (unit, rest) = hex_unit(bytes)?;
    if !(0xd800..0xdc00).contains(&unit) {
        return Some((char::from_u32(unit)?, rest));
    }
    let (low, rest) = hex_unit(rest.strip_prefix(b"\\u")?)?;
    if !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    Some((char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?, rest))
}

fn hex_unit(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<4>()?;
    let unit = digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))?;
    Some((unit, rest))
}
