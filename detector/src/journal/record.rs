//! One record of the journal, in memory and as bytes.
//!
//! Layout inside a [block](super::block), little-endian: `len u32 | arrival i64 | source u16 |
//! kind u8 | position u64 | subject_len u16 | subject | payload`. `len` counts the bytes after
//! itself. The seq and a check sum are the block's. The payload is what arrived, byte for byte.

use fleet::time::Timestamp;

use crate::input::{Format, SourceId};

/// Bytes before the subject.
pub(crate) const FIXED_BYTES: usize = FIXED as usize;
const FIXED: u32 = 25;
/// Bytes before the part that `len` counts.
const LEN_BYTES: u32 = 4;
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

/// Why bytes are not a whole record or block.
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
    /// The check sum fits, but what is inside is not what it should be.
    Content(&'static str),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short => f.write_str("what was written is cut off"),
            Self::Length(len) => write!(f, "the length {len} is impossible"),
            Self::Checksum => f.write_str("the check sum does not fit the bytes"),
            Self::Kind(kind) => write!(f, "the record's kind {kind} is unknown to this version"),
            Self::Subject => f.write_str("the record's subject is not text"),
            Self::Content(what) => write!(f, "the block {what}"),
        }
    }
}

/// Appends the bytes of `record`, all but its seq. The caller has checked the sizes.
pub(crate) fn encode(record: &Record<'_>, subject_len: u16, body_len: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&(body_len + FIXED - LEN_BYTES).to_le_bytes());
    out.extend_from_slice(&record.arrival.millis().to_le_bytes());
    out.extend_from_slice(&record.source.0.to_le_bytes());
    out.push(record.kind.number());
    out.extend_from_slice(&record.position.to_le_bytes());
    out.extend_from_slice(&subject_len.to_le_bytes());
    out.extend_from_slice(record.subject.as_bytes());
    out.extend_from_slice(record.payload);
}

/// Where a record's kind is, after its seq.
const KIND_AT: usize = 10;

/// The first record of `bytes`, which is that of `seq`, and how many bytes it takes.
pub(crate) fn decode(bytes: &[u8], seq: u64) -> Result<(Record<'_>, usize), Damage> {
    let len = u32_at(bytes, 0)?;
    let end = usize::try_from(len).ok().and_then(|len| len.checked_add(4)).ok_or(Damage::Length(len))?;
    let rest = bytes.get(4..end).ok_or(Damage::Length(len))?;
    if rest.len() <= KIND_AT {
        return Err(Damage::Length(len));
    }
    Ok((fields(rest, seq)?, end))
}

/// What both forms of a record have after its seq: `arrival i64 | source u16 | kind u8 | position u64 |
/// subject_len u16 | subject | payload`.
pub(crate) fn fields(rest: &[u8], seq: u64) -> Result<Record<'_>, Damage> {
    let number = *rest.get(KIND_AT).ok_or(Damage::Short)?;
    let kind = Kind::from_number(number).ok_or(Damage::Kind(number))?;
    let subject_len = usize::from(u16::from_le_bytes(array(rest, 19)?));
    let body = rest.get(21..).ok_or(Damage::Short)?;
    let (subject, payload) = body.split_at_checked(subject_len).ok_or(Damage::Subject)?;
    Ok(Record {
        seq,
        arrival: Timestamp::from_millis(i64::from_le_bytes(array(rest, 0)?)),
        source: SourceId(u16::from_le_bytes(array(rest, 8)?)),
        kind,
        position: u64::from_le_bytes(array(rest, 11)?),
        subject: std::str::from_utf8(subject).map_err(|_| Damage::Subject)?,
        payload,
    })
}

pub(crate) fn checksum(len: u32, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(rest);
    hasher.finalize()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Damage> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Damage> {
    bytes.get(at..).and_then(|tail| tail.first_chunk::<N>()).copied().ok_or(Damage::Short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_cut_is_noticed() {
        let record = Record {
            seq: 7,
            arrival: Timestamp::from_millis(-5),
            source: SourceId(3),
            kind: Kind::Input(Format::MosquittoLog),
            position: u64::MAX,
            subject: "pumpe-ä",
            payload: b"payload",
        };
        let mut bytes = Vec::new();
        encode(&record, 8, 15, &mut bytes);
        assert_eq!(bytes.len(), FIXED_BYTES + 15);
        assert_eq!(decode(&bytes, 7).unwrap(), (record, bytes.len()));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], 7).is_err(), "cut at {cut}");
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
