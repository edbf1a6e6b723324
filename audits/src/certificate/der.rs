//! DER elements with their place, so that a fault names offset and field.
//!
//! Tags and lengths are read by the `asn1` crate, which takes minimal definite lengths alone
//! (X.690, section 10.1). This file adds the offset of each element and the name of its field.

use std::fmt;

/// What is wrong with an encoding, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Byte offset in the DER of the certificate or CRL.
    pub offset: u32,
    /// Name of the field in RFC 5280, such as `tbsCertificate.validity.notAfter`.
    pub field: &'static str,
    /// What is wrong.
    pub flaw: Flaw,
}

/// `FIELD at byte OFFSET: FLAW`
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at byte {}: {}", self.field, self.offset, self.flaw)
    }
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// Tag, length or size cannot be read as DER.
    Encoding,
    /// The bytes end before the element does.
    Truncated,
    /// Another element stands here.
    Tag {
        /// Identifier octet that was found.
        found: u8,
        /// Identifier octet that RFC 5280 wants.
        expected: u8,
    },
    /// Bytes after the last element.
    Trailing,
    /// The value breaks a rule of its type.
    Value(&'static str),
    /// More elements than are read.
    TooMany,
    /// The input is larger than is read.
    TooLarge,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => write!(f, "tag or length is not DER"),
            Self::Truncated => write!(f, "the bytes end before the element does"),
            Self::Tag { found, expected } => {
                write!(f, "element with tag 0x{found:02x}; expected 0x{expected:02x}")
            }
            Self::Trailing => write!(f, "bytes after the last element"),
            Self::Value(rule) => write!(f, "{rule}"),
            Self::TooMany => write!(f, "more elements than are read"),
            Self::TooLarge => write!(f, "larger than is read"),
        }
    }
}

/// Identifier octets used by certificates and CRLs (X.680, section 8.4).
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const NUMERIC_STRING: u8 = 0x12;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const TELETEX_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const VISIBLE_STRING: u8 = 0x1a;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// Context-specific, primitive.
    pub(crate) const fn context(number: u8) -> u8 {
        0x80 | number
    }
    /// Context-specific, constructed.
    pub(crate) const fn constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    /// Identifier octet; 0 for the long forms, which no field of ours has.
    pub(crate) tag: u8,
    /// Content octets.
    pub(crate) body: &'a [u8],
    /// Tag, length and content.
    pub(crate) full: &'a [u8],
    /// Offset of the tag.
    pub(crate) at: usize,
}

impl<'a> Node<'a> {
    /// The elements inside.
    pub(crate) fn inside(&self) -> Der<'a> {
        Der { rest: self.body, at: self.at + (self.full.len() - self.body.len()) }
    }

    pub(crate) fn fault(&self, field: &'static str, flaw: Flaw) -> Fault {
        fault(self.at, field, flaw)
    }

    /// The node, if it has `tag`.
    pub(crate) fn of(self, tag: u8, field: &'static str) -> Result<Self, Fault> {
        if self.tag == tag {
            Ok(self)
        } else {
            Err(self.fault(field, Flaw::Tag { found: self.tag, expected: tag }))
        }
    }

    /// BIT STRING: the bytes, and how many bits of the last one do not count.
    pub(crate) fn bits(&self, field: &'static str) -> Result<(&'a [u8], u8), Fault> {
        match self.body.split_first() {
            Some((&unused, bytes)) if unused < 8 && (unused == 0 || !bytes.is_empty()) => Ok((bytes, unused)),
            _ => Err(self.fault(field, Flaw::Value("not a bit string"))),
        }
    }

    /// BOOLEAN; DER knows 0x00 and 0xff alone (X.690, section 11.1), any other value counts as true.
    pub(crate) fn is_true(&self) -> bool {
        self.body.first().is_some_and(|byte| *byte != 0)
    }

    /// Small non-negative INTEGER.
    pub(crate) fn number(&self, field: &'static str) -> Result<u32, Fault> {
        match self.body {
            [0, rest @ ..] | rest if rest.len() <= 4 && !self.body.is_empty() => {
                let negative = self.body.first().is_some_and(|byte| byte & 0x80 != 0);
                if negative {
                    return Err(self.fault(field, Flaw::Value("negative number")));
                }
                Ok(rest.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
            }
            _ => Err(self.fault(field, Flaw::Value("number out of range"))),
        }
    }
}

/// A run of elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn fault(&self, field: &'static str, flaw: Flaw) -> Fault {
        fault(self.at, field, flaw)
    }

    /// The next element, whatever it is.
    pub(crate) fn take(&mut self, field: &'static str) -> Result<Node<'a>, Fault> {
        let (tlv, rest) = asn1::strip_tlv(self.rest).map_err(|error| {
            let flaw = match error.kind() {
                asn1::ParseErrorKind::ShortData { .. } => Flaw::Truncated,
                _ => Flaw::Encoding,
            };
            self.fault(field, flaw)
        })?;
        let full = tlv.full_data();
        let node = Node { tag: tlv.tag().as_u8().unwrap_or(0), body: tlv.data(), full, at: self.at };
        self.at += full.len();
        self.rest = rest;
        Ok(node)
    }

    /// The next element, which must have `tag`.
    pub(crate) fn expect(&mut self, tag: u8, field: &'static str) -> Result<Node<'a>, Fault> {
        self.take(field)?.of(tag, field)
    }

    /// The next element if it has `tag`.
    pub(crate) fn optional(&mut self, tag: u8, field: &'static str) -> Result<Option<Node<'a>>, Fault> {
        if self.rest.first() == Some(&tag) { self.take(field).map(Some) } else { Ok(None) }
    }

    /// Nothing more must follow.
    pub(crate) fn end(&self, field: &'static str) -> Result<(), Fault> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault(field, Flaw::Trailing)) }
    }
}

/// The single element that `bytes` hold.
pub(crate) fn single<'a>(bytes: &'a [u8], tag: u8, field: &'static str) -> Result<Node<'a>, Fault> {
    let mut der = Der::new(bytes);
    let node = der.expect(tag, field)?;
    der.end(field)?;
    Ok(node)
}

fn fault(at: usize, field: &'static str, flaw: Flaw) -> Fault {
    Fault { offset: u32::try_from(at).unwrap_or(u32::MAX), field, flaw }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_offset_and_field() {
        for (bytes, expected) in [
            (&b"\x30\x03\x02\x01"[..], "`f` at byte 0: the bytes end before the element does"),
            (b"\x30\x80\x00\x00", "`f` at byte 0: tag or length is not DER"),
            (b"\x30\x81\x01\x05", "`f` at byte 0: tag or length is not DER"),
            (b"\x31\x00", "`f` at byte 0: element with tag 0x31; expected 0x30"),
            (b"\x30\x00\x05", "`f` at byte 2: bytes after the last element"),
            (b"", "`f` at byte 0: the bytes end before the element does"),
        ] {
            assert_eq!(single(bytes, tag::SEQUENCE, "f").unwrap_err().to_string(), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn offsets_count_from_the_outermost_element() {
        let outer = single(b"\x30\x05\x30\x03\x02\x01\x07", tag::SEQUENCE, "outer").unwrap();
        let inner = outer.inside().expect(tag::SEQUENCE, "inner").unwrap();
        let number = inner.inside().expect(tag::INTEGER, "number").unwrap();
        assert_eq!((inner.at, number.at, number.number("number")), (2, 4, Ok(7)));
    }

    #[test]
    fn small_numbers() {
        for (body, expected) in [
            (&[0x02, 1, 0][..], Some(0)),
            (&[0x02, 1, 0x7f], Some(127)),
            (&[0x02, 2, 0, 0x80], Some(128)),
            (&[0x02, 5, 0, 0xff, 0xff, 0xff, 0xff], Some(u32::MAX)),
            (&[0x02, 5, 1, 0, 0, 0, 0], None),
            (&[0x02, 1, 0x80], None),
            (&[0x02, 0], None),
        ] {
            assert_eq!(single(body, tag::INTEGER, "n").unwrap().number("n").ok(), expected, "{body:02x?}");
        }
    }
}
