//! Records of the first form of the journal, which is read and not written any more.
//!
//! Layout, little-endian: `len u32 | crc u32 | seq u64 | arrival i64 | source u16 | kind u8 |
//! position u64 | subject_len u16 | subject | payload`. `len` counts the bytes after `crc`, and
//! `crc` (CRC-32 as in zlib) covers `len` and everything after `crc`.

use super::record::{BODY_BYTES_MAX, Damage, Record, array, checksum, fields, u32_at};

/// Bytes before the subject.
pub(crate) const HEADER_BYTES: usize = 37;
/// Bytes before the part that `len` counts: `len` and `crc`.
const PREFIX_BYTES: usize = 8;

/// The first record of `bytes` and how many bytes it takes.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Record<'_>, usize), Damage> {
    let total = whole_len(bytes)?;
    let record = bytes.get(..total).ok_or(Damage::Short)?;
    let (prefix, rest) = record.split_at_checked(PREFIX_BYTES).ok_or(Damage::Short)?;
    let (len, crc) = (u32_at(prefix, 0)?, u32_at(prefix, 4)?);
    if checksum(len, rest) != crc {
        return Err(Damage::Checksum);
    }
    let after_seq = rest.get(8..).ok_or(Damage::Short)?;
    Ok((fields(after_seq, u64::from_le_bytes(array(rest, 0)?))?, total))
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

#[cfg(test)]
mod tests {
    use fleet::time::Timestamp;

    use super::{super::record::Kind, *};
    use crate::input::{Format, SourceId};

    /// A record as the first form had it, written out by hand.
    fn sample() -> (Record<'static>, Vec<u8>) {
        let record = Record {
            seq: 7,
            arrival: Timestamp::from_millis(-5),
            source: SourceId(3),
            kind: Kind::Input(Format::MosquittoLog),
            position: u64::MAX,
            subject: "pumpe-ä",
            payload: b"payload",
        };
        let mut rest = vec![7, 0, 0, 0, 0, 0, 0, 0, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 0];
        rest.push(record.kind.number());
        rest.extend([0xff; 8]);
        rest.extend([8, 0]);
        rest.extend("pumpe-äpayload".as_bytes());
        let len = u32::try_from(rest.len()).unwrap();
        let bytes = [&len.to_le_bytes()[..], &checksum(len, &rest).to_le_bytes(), &rest].concat();
        (record, bytes)
    }

    #[test]
    fn what_was_written_is_read() {
        let (record, bytes) = sample();
        assert_eq!(bytes.len(), HEADER_BYTES + 8 + 7);
        assert_eq!(decode(&bytes).unwrap(), (record, bytes.len()));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let (_, bytes) = sample();
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
    }
}
