//! A stream of bits, highest first.

/// Writes bits.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    out: Vec<u8>,
    /// Bits not yet in `out`, in the low `held` bits.
    word: u64,
    /// INVARIANT: below 8 between calls.
    held: u32,
}

impl BitWriter {
    /// Appends the low `count` bits of `value`; at most 64.
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        let (high, low) = (count.saturating_sub(32), count.min(32));
        if high > 0 {
            self.put_small((value >> 32) & mask(high), high);
        }
        self.put_small(value & mask(low), low);
    }

    fn put_small(&mut self, value: u64, count: u32) {
        self.word = (self.word << count) | value;
        self.held += count;
        while self.held >= 8 {
            self.held -= 8;
            self.out.push((self.word >> self.held).to_le_bytes()[0]);
        }
        self.word &= mask(self.held);
    }

    /// The bytes; the last one is filled with zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.held > 0 {
            let fill = 8 - self.held;
            self.put_small(0, fill);
        }
        self.out
    }
}

const fn mask(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Reads bits; `None` at the end.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    word: u64,
    held: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, word: 0, held: 0 }
    }

    /// The next `count` bits; at most 64.
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        let (high, low) = (count.saturating_sub(32), count.min(32));
        let top = if high > 0 { self.take_small(high)? } else { 0 };
        Some((top << low) | self.take_small(low)?)
    }

    fn take_small(&mut self, count: u32) -> Option<u64> {
        while self.held < count {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            self.word = (self.word << 8) | u64::from(byte);
            self.held += 8;
        }
        self.held -= count;
        let value = self.word >> self.held;
        self.word &= mask(self.held);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_come_back(parts in prop::collection::vec((any::<u64>(), 0_u32..=64), 0..200)) {
            let mut writer = BitWriter::default();
            parts.iter().for_each(|&(value, count)| writer.put(value, count));
            let bytes = writer.finish();
            let bits: u32 = parts.iter().map(|part| part.1).sum();
            prop_assert_eq!(bytes.len(), bits.div_ceil(8) as usize);
            let mut reader = BitReader::new(&bytes);
            for (value, count) in parts {
                prop_assert_eq!(reader.take(count), Some(value & mask(count)));
            }
            prop_assert_eq!(reader.take(8), None);
        }
    }
}
