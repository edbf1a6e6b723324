//! Blocks: records of one commit, packed together.
//!
//! Layout, little-endian: `head u32 | crc u32 | seq u64 | earlier u32 | count u32 | plain u32 |
//! stored`. `head` has its top bit set, which no record of the first form has; the rest of it counts
//! the bytes after `crc`, and `crc` (CRC-32 as in zlib) covers `head` and everything after `crc`.
//! `seq` is that of the block's first record, `count` how many there are, and `earlier` how many
//! records of the same commit stand in blocks before: `seq - earlier` is the commit's first record.
//! `plain` is the length of the records, one after the other in the form of [`record::encode`].
//! They are stored as they are if `stored` is as long as `plain`, else as an LZ4 block
//! (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>), which is shorter.
//!
//! No block needs another one to be read, and what it claims is believed only up to
//! [`PACKED_BYTES_MAX`] of unpacked records.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::record::{self, BODY_BYTES_MAX, Damage, Record, array, checksum, u32_at};

/// Bytes before what is stored.
pub(crate) const HEADER_BYTES: usize = 28;
/// Bytes before the part that `head` counts: `head` and `crc`.
const PREFIX_BYTES: usize = 8;
/// Bytes that `head` counts besides what is stored.
const FIXED_BYTES: u32 = 20;
/// Tells a block from a record of the first form.
const MARK: u32 = 1 << 31;
/// Records are added to a block up to this length: as far back as LZ4 looks, so that more would
/// save nothing. A longer record has a block of its own.
const BLOCK_BYTES: usize = 64 << 10;
/// Records shorter than this together are stored as they are.
const PACKED_BYTES_MIN: usize = 1 << 10;
/// Records longer than this together (a registry) are stored as they are: the most that unpacking
/// allocates, whatever a damaged length says.
pub(crate) const PACKED_BYTES_MAX: usize = 1 << 20;
/// Longest block that is believed: a record of the largest size as it is.
const STORED_BYTES_MAX: usize = BODY_BYTES_MAX + record::FIXED_BYTES;

/// Packs records, block after block, for one commit.
pub(crate) struct Packer {
    /// Room for a header, then the records of the block that is open.
    open: Vec<u8>,
    /// Records in it.
    count: u32,
    /// Blocks of this commit that are whole.
    sealed: Vec<u8>,
    /// Records in those.
    earlier: u32,
    /// Seq of the first record of `open`.
    seq: u64,
    table: CompressTable,
    /// What is packed, before it is known to be shorter. At most what [`PACKED_BYTES_MAX`] can become.
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

impl Packer {
    /// For a commit whose first record is `seq`.
    pub(crate) fn new(seq: u64) -> Self {
        Self {
            open: vec![0; HEADER_BYTES],
            count: 0,
            sealed: Vec::new(),
            earlier: 0,
            seq,
            table: CompressTable::small(),
            scratch: Vec::new(),
        }
    }

    /// Bytes to be written, those of the open block as they are.
    pub(crate) const fn pending(&self) -> usize {
        let open = if self.count > 0 { self.open.len() } else { 0 };
        self.sealed.len() + open
    }

    /// Adds a record, whose seq must follow. The caller has checked the sizes. Gives its length.
    pub(crate) fn push(&mut self, record: &Record<'_>, subject_len: u16, body_len: u32) -> usize {
        let len = record::FIXED_BYTES + record.subject.len() + record.payload.len();
        if self.count > 0 && self.open.len() - HEADER_BYTES + len > BLOCK_BYTES {
            self.seal();
        }
        record::encode(record, subject_len, body_len, &mut self.open);
        self.count += 1;
        len
    }

    /// Closes the commit's last block. Gives the bytes of all of them.
    pub(crate) fn finish(&mut self) -> &[u8] {
        if self.count > 0 {
            self.seal();
        }
        &self.sealed
    }

    /// Begins the next commit; `keep` bytes of room are not given back.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.earlier = 0;
        self.sealed.clear();
        self.sealed.shrink_to(keep);
        self.open.shrink_to(keep);
    }

    fn seal(&mut self) {
        let plain = self.open.get(HEADER_BYTES..).unwrap_or_default();
        let plain_len = plain.len();
        let start = self.sealed.len();
        match pack(plain, &mut self.table, &mut self.scratch) {
            Some(packed) => {
                self.sealed.extend_from_slice(&[0; HEADER_BYTES]);
                self.sealed.extend_from_slice(packed);
            }
            // A registry may take a good part of the memory: it is not copied.
            None if start == 0 => std::mem::swap(&mut self.sealed, &mut self.open),
            None => self.sealed.extend_from_slice(&self.open),
        }
        let header = Header { seq: self.seq, earlier: self.earlier, count: self.count, plain: plain_len };
        header.write(self.sealed.get_mut(start..).unwrap_or_default());
        self.seq += u64::from(self.count);
        self.earlier += self.count;
        self.count = 0;
        self.open.clear();
        self.open.resize(HEADER_BYTES, 0);
    }
}

/// The records packed, if that is allowed and makes them shorter.
fn pack<'a>(plain: &[u8], table: &mut CompressTable, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if !(PACKED_BYTES_MIN..=PACKED_BYTES_MAX).contains(&plain.len()) {
        return None;
    }
    let room = get_maximum_output_size(plain.len().max(BLOCK_BYTES));
    if scratch.len() < room {
        scratch.resize(room, 0);
    }
    let packed = compress_into_with_table(plain, scratch, table).ok()?;
    scratch.get(..packed).filter(|packed| packed.len() < plain.len())
}

struct Header {
    seq: u64,
    earlier: u32,
    count: u32,
    plain: usize,
}

impl Header {
    /// Over the room at the beginning of `block`. The lengths are bounded by [`STORED_BYTES_MAX`].
    fn write(&self, block: &mut [u8]) {
        let bound = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let head = MARK | bound(block.len().saturating_sub(PREFIX_BYTES));
        let fields = [
            &head.to_le_bytes()[..],
            &[0; 4],
            &self.seq.to_le_bytes(),
            &self.earlier.to_le_bytes(),
            &self.count.to_le_bytes(),
            &bound(self.plain).to_le_bytes(),
        ]
        .concat();
        if let Some(room) = block.get_mut(..HEADER_BYTES) {
            room.copy_from_slice(&fields);
        }
        let crc = checksum(head, block.get(PREFIX_BYTES..).unwrap_or_default());
        if let Some(room) = block.get_mut(4..PREFIX_BYTES) {
            room.copy_from_slice(&crc.to_le_bytes());
        }
    }
}

/// A block whose check sum fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// Seq of its first record.
    pub(crate) seq: u64,
    /// Records before it in the same commit.
    pub(crate) earlier: u32,
    /// Its records.
    pub(crate) count: u32,
    plain: u32,
    stored: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block that begins `bytes`, and how many bytes it takes.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<(Self, usize), Damage> {
        let total = whole_len(bytes)?;
        let block = bytes.get(..total).ok_or(Damage::Short)?;
        let (prefix, rest) = block.split_at_checked(PREFIX_BYTES).ok_or(Damage::Short)?;
        if checksum(u32_at(prefix, 0)?, rest) != u32_at(prefix, 4)? {
            return Err(Damage::Checksum);
        }
        let block = Self {
            seq: u64::from_le_bytes(array(rest, 0)?),
            earlier: u32_at(rest, 8)?,
            count: u32_at(rest, 12)?,
            plain: u32_at(rest, 16)?,
            stored: rest.get(20..).ok_or(Damage::Short)?,
        };
        Ok((block, total))
    }

    /// The seq after its last record.
    pub(crate) fn next(&self) -> u64 {
        self.seq.saturating_add(u64::from(self.count))
    }

    /// The first record of the commit that it belongs to.
    pub(crate) fn commit(&self) -> u64 {
        self.seq.saturating_sub(u64::from(self.earlier))
    }

    /// Its records as they were before they were packed, in place of what is in `out`.
    pub(crate) fn unpack(&self, out: &mut Vec<u8>) -> Result<(), Damage> {
        let plain = usize::try_from(self.plain).unwrap_or(usize::MAX);
        out.clear();
        if plain == self.stored.len() {
            out.extend_from_slice(self.stored);
            return Ok(());
        }
        if plain > PACKED_BYTES_MAX {
            return Err(Damage::Content("is longer unpacked than is allowed"));
        }
        out.resize(plain, 0);
        match decompress_into(self.stored, out) {
            Ok(len) if len == plain => Ok(()),
            _ => Err(Damage::Content("cannot be unpacked")),
        }
    }

    /// Whether `plain`, which it was unpacked to, is its records and nothing else.
    pub(crate) fn check(&self, plain: &[u8]) -> Result<(), Damage> {
        let (mut at, mut seq) = (0, self.seq);
        while at < plain.len() && seq < self.next() {
            let record = record::decode(plain.get(at..).unwrap_or_default(), seq);
            at += record.map_err(inside)?.1;
            seq += 1;
        }
        if at == plain.len() && seq == self.next() && self.count > 0 {
            Ok(())
        } else {
            Err(Damage::Content("has not the records that it counts"))
        }
    }
}

/// Damage of a record whose block has the right check sum: it was written so.
const fn inside(damage: Damage) -> Damage {
    match damage {
        Damage::Short | Damage::Length(_) => Damage::Content("has a record of an impossible length"),
        other => other,
    }
}

/// Bytes of the block that begins here, by its length alone.
pub(crate) fn whole_len(bytes: &[u8]) -> Result<usize, Damage> {
    let head = u32_at(bytes, 0)?;
    let len = head & !MARK;
    let stored = len.checked_sub(FIXED_BYTES).and_then(|stored| usize::try_from(stored).ok());
    match stored {
        Some(stored) if head & MARK != 0 && stored <= STORED_BYTES_MAX => Ok(HEADER_BYTES + stored),
        _ => Err(Damage::Length(head)),
    }
}

#[cfg(test)]
mod tests;
