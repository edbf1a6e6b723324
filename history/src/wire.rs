//! Numbers and texts as bytes: LEB128, zigzag, and a reader that cannot run over the end.

/// Appends an unsigned number, seven bits a byte, lowest first (LEB128).
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a length or count.
pub(crate) fn put_len(out: &mut Vec<u8>, len: usize) {
    put_uvarint(out, len as u64);
}

/// Appends bytes with their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Small numbers of either sign as small unsigned ones.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Appends a signed number.
pub(crate) fn put_ivarint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

/// Reads from the front of bytes; `None` where they end or make no sense.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn ivarint(&mut self) -> Option<i64> {
        self.uvarint().map(unzigzag)
    }

    /// A count of things that take at least a byte each, so that a damaged one cannot make us
    /// allocate the machine's memory.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.uvarint()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.uvarint()?).ok()?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk::<N>().copied()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.uvarint()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_cut_ones_are_noticed() {
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN, 1_767_225_600_000] {
            let mut bytes = Vec::new();
            put_ivarint(&mut bytes, value);
            assert_eq!(Cursor(&bytes).ivarint(), Some(value));
            assert_eq!(Cursor(&bytes[..bytes.len() - 1]).ivarint(), None);
        }
        assert_eq!(Cursor(&[0xff; 10]).uvarint(), None, "more than 64 bits");
        assert_eq!(Cursor(&[200, 1, 0]).count(), None, "more than there is room for");
    }
}
