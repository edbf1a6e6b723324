//! MQTT control packets out of a stream of bytes (MQTT 3.1.1 and 5.0, section 2.1).

/// Bytes of a packet that are kept, after its fixed header: more than any part that events need.
/// The rest of a larger packet is counted and let go.
const KEPT_BYTES_MAX: usize = 128 << 10;

/// A control packet as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawPacket<'a> {
    /// Type (upper half) and flags.
    pub(super) first: u8,
    /// The length that the packet states.
    pub(super) remaining: usize,
    /// What follows the fixed header; its first [`KEPT_BYTES_MAX`] bytes.
    pub(super) body: &'a [u8],
    /// The remaining length was no number: nothing after this packet can be read.
    pub(super) unbounded: bool,
}

/// Finds where packets begin and end.
#[derive(Debug, Default)]
pub(super) struct Framer {
    header: Vec<u8>,
    /// Type and length of the packet that is under way.
    open: Option<(u8, usize)>,
    body: Vec<u8>,
    /// Bytes of the open packet still to come.
    left: usize,
    broken: bool,
}

impl Framer {
    /// One that has seen nothing.
    pub(super) const fn new() -> Self {
        Self { header: Vec::new(), open: None, body: Vec::new(), left: 0, broken: false }
    }

    /// Takes the next bytes; packets that are complete go to `sink`.
    pub(super) fn push(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(RawPacket<'_>)) {
        while !self.broken {
            match self.open {
                None => {
                    let Some((&byte, rest)) = bytes.split_first() else { return };
                    bytes = rest;
                    self.header(byte, sink);
                }
                Some((first, remaining)) => {
                    let (now, later) = bytes.split_at(self.left.min(bytes.len()));
                    let room = KEPT_BYTES_MAX.saturating_sub(self.body.len()).min(now.len());
                    self.body.extend_from_slice(now.get(..room).unwrap_or_default());
                    self.left -= now.len();
                    bytes = later;
                    if self.left > 0 {
                        return;
                    }
                    sink(RawPacket { first, remaining, body: &self.body, unbounded: false });
                    self.open = None;
                    self.body.clear();
                }
            }
        }
    }

    /// Takes a byte of the fixed header.
    fn header(&mut self, byte: u8, sink: &mut dyn FnMut(RawPacket<'_>)) {
        self.header.push(byte);
        let Some((&first, length)) = self.header.split_first() else { return };
        let Some(&last) = length.last() else { return };
        if last & 0x80 != 0 {
            if length.len() == 4 {
                self.broken = true;
                sink(RawPacket { first, remaining: 0, body: &[], unbounded: true });
            }
            return;
        }
        let remaining = length.iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        self.open = Some((first, remaining));
        self.left = remaining;
        self.header.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(pieces: &[&[u8]]) -> Vec<(u8, usize, Vec<u8>, bool)> {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for piece in pieces {
            framer
                .push(piece, &mut |it| found.push((it.first, it.remaining, it.body.to_vec(), it.unbounded)));
        }
        found
    }

    #[test]
    fn lengths_of_one_to_four_bytes() {
        // The values and limits of section 2.1.4 (MQTT 5.0) / 2.2.3 (MQTT 3.1.1), table 2-4.
        let cases: [(&[u8], usize); 6] = [
            (&[0x30, 0x00], 0),
            (&[0x30, 0x7f], 127),
            (&[0x30, 0x80, 0x01], 128),
            (&[0x30, 0xff, 0x7f], 16_383),
            (&[0x30, 0x80, 0x80, 0x01], 16_384),
            (&[0x30, 0xff, 0xff, 0x7f], 2_097_151),
        ];
        for (header, length) in cases {
            let mut bytes = header.to_vec();
            bytes.resize(header.len() + length, 7);
            bytes.extend([0xc0, 0]);
            let found = frames(&[&bytes]);
            assert_eq!(found.len(), 2, "{length}");
            assert_eq!((found[0].1, found[0].2.len()), (length, length.min(KEPT_BYTES_MAX)));
            assert_eq!(found[1], (0xc0, 0, vec![], false));
        }
        assert_eq!(frames(&[&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01, 0xc0, 0]]), [(0x30, 0, vec![], true)]);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes: Vec<u8>, size in 1_usize..9) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(frames(&pieces), frames(&[&bytes]));
        }
    }
}
