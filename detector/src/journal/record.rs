//! One record of the journal, in memory and as bytes.
//!
//! Layout, little-endian: `len u32 | crc u32 | seq u64 | arrival i64 | source u16 | kind u8 |
//! position u64 | subject_len u16 | subject | payload`. `len` counts the bytes after `crc`, and
//! `crc` (CRC-32 as in zlib) covers `len` and everything after `crc`. The payload is what
//! arrived, byte for byte.

use fleet::time::Timestamp;

use crate::input::{Format, SourceId};

/// Bytes before the subject.
pub(crate) const HEADER_BYTES: usize = 37;
/// Bytes before the part that `len` counts: `len` and `crc`.
const PREFIX_BYTES: usize = 8;
/// Bytes that `len` counts besides subject and payload.
const FIXED_BYTES: u32 = 29;
/// Longest record that is written or believed, bytes of subject and payload together. Large
/// enough for a full registry of a million things, small enough that a damaged length cannot
/// make us allocate the machine's memory.
pub const BODY_BYTES_MAX: usize = 256 << 20;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something that arrived from a source.
    Input(Format),
    /// The registry changed: JSON of a [`crate::change::RegistryChange`].
    Registry,
    /// The rules of the fold changed: JSON of a [`crate::change::Rules`].
    Rules,
    /// Nothing arrived for a while, but time went on.
    Tick,
    /// A source began to read (another file): `subject` is its name, the payload the identity of
    /// the file. A new identity starts its positions again.
    SourceOpened,
    /// A source was blind for a while: `subject` is its name, the payload says why, in words.
    Gap,
}

impl Kind {
    /// The number in the journal. Inputs keep [`Format`]'s numbers; ours begin at 128.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Input(format) => format as u8,
            Self::Registry => 128,
            Self::Rules => 129,
            Self::Tick => 130,
            Self::SourceOpened => 131,
            Self::Gap => 132,
        }
    }

    /// From the number in the journal.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            128 => Some(Self::Registry),
            129 => Some(Self::Rules),
            130 => Some(Self::Tick),
            131 => Some(Self::SourceOpened),
            132 => Some(Self::Gap),
            _ => match Format::from_number(number) {
                Some(format) => Some(Self::Input(format)),
                None => None,
            },
        }
    }
}

/// A record, borrowed from the bytes of the journal or from an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Place in the journal, from 1, without gaps.
    pub seq: u64,
    /// When it arrived. Never before that of an earlier record.
    pub arrival: Timestamp,
    /// Where it came from; 0 for our own records.
    pub source: SourceId,
    /// What it is.
    pub kind: Kind,
    /// The source's own position after this message, 0 if it has none.
    pub position: u64,
    /// Thing, client id or source that the record names; may be empty.
    pub subject: &'a str,
    /// The bytes as they arrived.
    pub payload: &'a [u8],
}

/// Why bytes are not a whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The bytes end inside a record (or before one).
    Short,
    /// The length is impossible.
    Length(u32),
    /// The check sum does not fit.
    Checksum,
    /// The kind is unknown: written by a newer version.
    Kind(u8),
    /// The subject is not UTF-8 or longer than the record.
    Subject,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short => f.write_str("the record is cut off"),
            Self::Length(len) => write!(f, "the record's length {len} is impossible"),
            Self::Checksum => f.write_str("the record's check sum does not fit its bytes"),
            Self::Kind(kind) => write!(f, "the record's kind {kind} is unknown to this version"),
            Self::Subject => f.write_str("the record's subject is not text"),
        }
    }
}

/// Appends the bytes of `record`. The caller has checked the sizes.
pub(crate) fn encode(record: &Record<'_>, subject_len: u16, body_len: u32, out: &mut Vec<u8>) {
    let len = body_len + FIXED_BYTES;
    let start = out.len();
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.seq.to_le_bytes());
    out.extend_from_slice(&record.arrival.millis().to_le_bytes());
    out.extend_from_slice(&record.source.0.to_le_bytes());
    out.push(record.kind.number());
    out.extend_from_slice(&record.position.to_le_bytes());
    out.extend_from_slice(&subject_len.to_le_bytes());
    out.extend_from_slice(record.subject.as_bytes());
    out.extend_from_slice(record.payload);
    let crc = checksum(len, out.get(start + PREFIX_BYTES..).unwrap_or_default());
    if let Some(place) = out.get_mut(start + 4..start + PREFIX_BYTES) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

fn checksum(len: u32, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(rest);
    hasher.finalize()
}

/// The first record of `bytes` and how many bytes it takes.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Record<'_>, usize), Damage> {
    let total = whole_len(bytes)?;
    let record = bytes.get(..total).ok_or(Damage::Short)?;
    let (prefix, rest) = record.split_at_checked(PREFIX_BYTES).ok_or(Damage::Short)?;
    let (len, crc) = (u32_at(prefix, 0)?, u32_at(prefix, 4)?);
    if checksum(len, rest) != crc {
        return Err(Damage::Checksum);
    }
    let number = *rest.get(18).ok_or(Damage::Short)?;
    let kind = Kind::from_number(number).ok_or(Damage::Kind(number))?;
    let subject_len = usize::from(u16::from_le_bytes(array(rest, 27)?));
    let body = rest.get(29..).ok_or(Damage::Short)?;
    let (subject, payload) = body.split_at_checked(subject_len).ok_or(Damage::Subject)?;
    let record = Record {
        seq: u64::from_le_bytes(array(rest, 0)?),
        arrival: Timestamp::from_millis(i64::from_le_bytes(array(rest, 8)?)),
        source: SourceId(u16::from_le_bytes(array(rest, 16)?)),
        kind,
        position: u64::from_le_bytes(array(rest, 19)?),
        subject: std::str::from_utf8(subject).map_err(|_| Damage::Subject)?,
        payload,
    };
    Ok((record, total))
}

/// Bytes of the record that begins here, by its length alone.
pub(crate) fn whole_len(bytes: &[u8]) -> Result<usize, Damage> {
    let len = u32_at(bytes, 0)?;
    let least = HEADER_BYTES - PREFIX_BYTES;
    let body = usize::try_from(len).ok().and_then(|len| len.checked_sub(least));
    match body {
        Some(body) if body <= BODY_BYTES_MAX => Ok(HEADER_BYTES + body),
        _ => Err(Damage::Length(len)),
    }
}

/// The seq that stands where a record beginning here would have it.
pub(crate) fn peek_seq(bytes: &[u8]) -> Option<u64> {
    array(bytes, PREFIX_BYTES).map(u64::from_le_bytes).ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Damage> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Damage> {
    bytes.get(at..).and_then(|tail| tail.first_chunk::<N>()).copied().ok_or(Damage::Short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record<'static> {
        Record {
            seq: 7,
            arrival: Timestamp::from_millis(-5),
            source: SourceId(3),
            kind: Kind::Input(Format::MosquittoLog),
            position: u64::MAX,
            subject: "pumpe-ä",
            payload: b"payload",
        }
    }

    fn bytes(record: &Record<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let body = record.subject.len() + record.payload.len();
        encode(record, u16::try_from(record.subject.len()).unwrap(), u32::try_from(body).unwrap(), &mut out);
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let record = sample();
        let bytes = bytes(&record);
        assert_eq!(bytes.len(), HEADER_BYTES + 8 + 7);
        assert_eq!(decode(&bytes).unwrap(), (record, bytes.len()));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let bytes = bytes(&sample());
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn kinds_keep_their_numbers() {
        for number in 0..=u8::MAX {
            if let Some(kind) = Kind::from_number(number) {
                assert_eq!(kind.number(), number);
            }
        }
        assert_eq!(Kind::from_number(1), Some(Kind::Input(Format::ReportJson)));
        assert_eq!(Kind::from_number(0), None);
    }
}
