//! Splits bytes into lines.

use super::LINE_BYTES_MAX;

/// Keeps the unfinished last line. INVARIANT: `line` has at most [`LINE_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    line: Vec<u8>,
    /// Bytes of the unfinished line so far, kept or not.
    length: u64,
    /// The unfinished line is not to be handed on: its beginning is not known.
    skipping: bool,
    cut: usize,
}

impl Splitter {
    /// The first line to come is the rest of one whose beginning is not known.
    pub(super) fn skip_one(&mut self) {
        self.skipping = true;
    }

    /// Takes bytes in. `line` gets every finished line, without its end, and the number of bytes
    /// that it took, end and all.
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8], u64)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            self.keep(head);
            let length = self.length + 1;
            self.finish(|text| line(text, length), length);
        }
        self.keep(rest);
    }

    /// Hands on the unfinished line, if there is one, and the bytes it took.
    pub(super) fn flush(&mut self, line: impl FnOnce(&[u8])) -> u64 {
        let length = self.length;
        if length > 0 {
            self.finish(line, length);
        }
        length
    }

    /// Forgets the unfinished line.
    pub(super) fn clear(&mut self) {
        self.line.clear();
        (self.length, self.skipping) = (0, false);
    }

    pub(super) fn has_partial(&self) -> bool {
        self.length > 0
    }

    /// Lines that were cut since this was asked last.
    pub(super) fn take_cut(&mut self) -> usize {
        std::mem::take(&mut self.cut)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }

    fn finish(&mut self, line: impl FnOnce(&[u8]), length: u64) {
        if self.skipping {
            line(&[]);
        } else {
            let kept = u64::try_from(self.line.len()).unwrap_or(u64::MAX);
            // The line end itself may be part of `length`.
            self.cut += usize::from(length > kept.saturating_add(1));
            line(&self.line);
        }
        self.clear();
    }
}
