//! One direction of a TCP connection, put into its order (RFC 9293, section 3.4).

use std::collections::BTreeMap;

/// Bytes ahead of a gap that are kept while it may still be filled.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Segments ahead of a gap that are kept.
const WAITING_SEGMENTS_MAX: usize = 256;

/// A direction that began with `SYN`.
///
/// When more waits behind a gap than the bounds allow, the bytes of the gap are given up: the
/// direction is lost, since packet borders are no longer known.
#[derive(Debug)]
pub(super) struct Direction {
    /// Sequence number of the next byte.
    next: u32,
    /// How many bytes came before it.
    position: u64,
    /// Segments further on, by their place in the stream.
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_bytes: usize,
    lost: bool,
}

impl Direction {
    /// A direction whose `SYN` had the number `seq`.
    pub(super) const fn new(seq: u32) -> Self {
        Self {
            next: seq.wrapping_add(1),
            position: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            lost: false,
        }
    }

    /// Whether bytes are missing for good.
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Takes a segment; what is now in order goes to `sink`. What was seen before is left out.
    pub(super) fn push(&mut self, seq: u32, payload: &[u8], sink: &mut dyn FnMut(&[u8])) {
        if self.lost || payload.is_empty() {
            return;
        }
        // Serial number arithmetic: less than half of the range ahead, or behind.
        let distance = i64::from(seq.wrapping_sub(self.next).cast_signed());
        if distance > 0 {
            self.wait(self.position + distance.unsigned_abs(), payload);
            return;
        }
        let seen = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
        self.deliver(payload.get(seen..), sink);
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > self.position {
                break;
            }
            let seen = usize::try_from(self.position - entry.key()).unwrap_or(usize::MAX);
            let segment = entry.remove();
            self.waiting_bytes -= segment.len();
            self.deliver(segment.get(seen..), sink);
        }
    }

    fn deliver(&mut self, bytes: Option<&[u8]>, sink: &mut dyn FnMut(&[u8])) {
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return };
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.next = self.next.wrapping_add(len);
        self.position += u64::from(len);
        sink(bytes);
    }

    fn wait(&mut self, place: u64, payload: &[u8]) {
        if self.waiting.get(&place).is_some_and(|held| held.len() >= payload.len()) {
            return;
        }
        self.waiting_bytes += payload.len();
        if let Some(shorter) = self.waiting.insert(place, payload.to_vec()) {
            self.waiting_bytes -= shorter.len();
        }
        if self.waiting_bytes > WAITING_BYTES_MAX || self.waiting.len() > WAITING_SEGMENTS_MAX {
            self.lost = true;
            self.waiting = BTreeMap::new();
            self.waiting_bytes = 0;
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the streams made in tests are short")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(start: u32, segments: &[(u32, &[u8])]) -> (Vec<u8>, Direction) {
        let mut direction = Direction::new(start);
        let mut out = Vec::new();
        for (offset, bytes) in segments {
            let seq = start.wrapping_add(1).wrapping_add(*offset);
            direction.push(seq, bytes, &mut |bytes| out.extend_from_slice(bytes));
        }
        (out, direction)
    }

    #[test]
    fn order_overlap_and_repetition() {
        let cases: [&[(u32, &[u8])]; 6] = [
            &[(0, b"abc"), (3, b"def")],
            &[(3, b"def"), (0, b"abc")],
            &[(0, b"abc"), (0, b"abc"), (3, b"def"), (3, b"de")],
            &[(0, b"abcd"), (2, b"cdef")],
            &[(2, b"cde"), (2, b"cdef"), (1, b"bc"), (0, b"a")],
            &[(5, b"f"), (4, b"ef"), (0, b"abcd")],
        ];
        for segments in cases {
            for start in [0, 7, u32::MAX - 3, u32::MAX] {
                assert_eq!(run(start, segments).0, b"abcdef", "{segments:?} from {start}");
            }
        }
    }

    #[test]
    fn a_gap_that_is_never_filled_loses_the_direction_and_holds_nothing() {
        let piece = vec![0_u8; 8192];
        let mut direction = Direction::new(0);
        let mut out = 0;
        for index in 0..129_u32 {
            assert!(!direction.is_lost(), "after {index} segments");
            direction.push(2 + index * 8192, &piece, &mut |bytes| out += bytes.len());
        }
        assert!(direction.is_lost() && direction.waiting.is_empty() && out == 0);
        direction.push(1, b"x", &mut |_| panic!("a lost direction tells nothing"));
        let many: Vec<(u32, &[u8])> = (0..257).map(|index| (10 + index * 2, &b"x"[..])).collect();
        assert!(!run(0, &many[..256]).1.is_lost());
        assert!(run(0, &many).1.is_lost());
    }

    proptest! {
        #[test]
        fn segments_in_any_order_give_the_stream(
            start: u32,
            stream in proptest::collection::vec(any::<u8>(), 1..300),
            cuts in proptest::collection::vec((0_usize..300, 1_usize..40), 0..40),
            seed: u64,
        ) {
            let mut pieces: Vec<(u32, &[u8])> = cuts
                .iter()
                .filter_map(|&(at, len)| {
                    let piece = stream.get(at..(at + len).min(stream.len()))?;
                    Some((at as u32, piece))
                })
                .collect();
            pieces.extend(stream.chunks(11).enumerate().map(|(index, piece)| (index as u32 * 11, piece)));
            let mut rng = crate::rng::Rng::new(seed, 0);
            for index in (1..pieces.len()).rev() {
                pieces.swap(index, rng.between(0, index as u64) as usize);
            }
            prop_assert_eq!(run(start, &pieces).0, stream);
        }

        #[test]
        fn any_segments_keep_the_bounds(start: u32, segments: Vec<(u32, Vec<u8>)>) {
            let mut direction = Direction::new(start);
            let mut out = 0_u64;
            for (seq, bytes) in &segments {
                direction.push(*seq, bytes, &mut |bytes| out += bytes.len() as u64);
                prop_assert_eq!(direction.waiting_bytes, direction.waiting.values().map(Vec::len).sum::<usize>());
            }
            prop_assert_eq!(out, direction.position);
        }
    }
}
