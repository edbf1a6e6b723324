//! Checksummed pieces of a file: `len u32 | crc u32 | payload`, little-endian. The checksum
//! (CRC-32 as in zlib) covers length and payload.

use crate::wire::Cursor;

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 8;
/// Longest payload that is written or believed, so that a damaged length cannot make us allocate
/// the machine's memory.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Appends a frame.
pub(crate) fn put(out: &mut Vec<u8>, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(len, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(len: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The length that a header names.
pub(crate) fn len_of(header: [u8; HEADER_BYTES]) -> Option<usize> {
    let mut cursor = Cursor(&header);
    let len = usize::try_from(u32::from_le_bytes(cursor.array()?)).ok()?;
    (len <= PAYLOAD_BYTES_MAX).then_some(len)
}

/// The payload of the frame that begins here; what follows stays in `cursor`.
pub(crate) fn take<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], &'static str> {
    let mut ahead = *cursor;
    let header = ahead.array::<HEADER_BYTES>().ok_or("a frame is cut off")?;
    let len = len_of(header).ok_or("the length of a frame is impossible")?;
    let payload = ahead.take(len).ok_or("a frame is cut off")?;
    let crc = header.last_chunk::<4>().copied().map(u32::from_le_bytes);
    let stated = u32::try_from(len).unwrap_or(u32::MAX);
    if crc != Some(checksum(stated, payload)) {
        return Err("the check sum of a frame does not fit its bytes");
    }
    *cursor = ahead;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        put(&mut bytes, b"payload");
        let mut cursor = Cursor(&bytes);
        assert_eq!(take(&mut cursor), Ok(&b"payload"[..]));
        assert!(cursor.0.is_empty());
        for cut in 0..bytes.len() {
            assert!(take(&mut Cursor(&bytes[..cut])).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(take(&mut Cursor(&damaged)).is_err(), "bit {bit}");
        }
    }
}
