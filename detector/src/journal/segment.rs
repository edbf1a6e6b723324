//! Segment files: names, headers, and looking for the last whole record.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    COMMIT_BYTES_MAX,
    block::{self, Block},
    error::JournalError,
    old,
    record::{self, Damage},
};

/// Where a record of the first form and a block have their seq.
const SEQ_AT: usize = 8;
/// A byte of an LZ4 block stands for 255 at most, and a record has 25 at least.
const RECORDS_PER_BYTE: u64 = 11;

/// Magic and first seq.
pub(crate) const HEADER_BYTES: u64 = HEADER_LEN as u64;
const HEADER_LEN: usize = 16;

/// What a segment is made of; its magic, the first 8 bytes, says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Records, one by one: as it was written until blocks came.
    Records,
    /// Blocks, as it is written.
    Blocks,
}

/// A record of the first form or a block, whole and understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Bytes that it takes.
    pub(crate) size: usize,
    /// The seq after its last record.
    pub(crate) next: u64,
}

impl Form {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Records => *b"FLWJRNL1",
            Self::Blocks => *b"FLWJRNL2",
        }
    }

    /// The form of a segment with this header, if it is one that begins with `first`.
    pub(crate) fn of(bytes: &[u8], first: u64) -> Option<Self> {
        [Self::Blocks, Self::Records].into_iter().find(|form| bytes.starts_with(&form.header(first)))
    }

    /// The header of a segment.
    pub(crate) fn header(self, first: u64) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let (magic, seq) = bytes.split_at_mut(8);
        magic.copy_from_slice(&self.magic());
        seq.copy_from_slice(&first.to_le_bytes());
        bytes
    }

    /// The least bytes that a record or a block takes.
    pub(crate) const fn unit_bytes_min(self) -> usize {
        match self {
            Self::Records => old::HEADER_BYTES,
            Self::Blocks => block::HEADER_BYTES,
        }
    }

    /// Bytes of the record or block that begins here, by its length alone.
    pub(crate) fn whole_len(self, bytes: &[u8]) -> Result<usize, Damage> {
        match self {
            Self::Records => old::whole_len(bytes),
            Self::Blocks => block::whole_len(bytes),
        }
    }

    /// The record or block that begins `bytes`, whose first record must be `seq`. A block's records
    /// are put into `unpacked`.
    pub(crate) fn unit(self, bytes: &[u8], seq: u64, unpacked: &mut Vec<u8>) -> Result<Unit, Damage> {
        match self {
            Self::Records => match old::decode(bytes)? {
                (record, size) if record.seq == seq => Ok(Unit { size, next: seq.saturating_add(1) }),
                _ => Err(Damage::Checksum),
            },
            Self::Blocks => {
                let (block, size) = Block::decode(bytes)?;
                if block.seq != seq {
                    return Err(Damage::Content("is not the one that should follow"));
                }
                block.unpack(unpacked)?;
                block.check(unpacked)?;
                Ok(Unit { size, next: block.next() })
            }
        }
    }

    /// Whether the last write may have left `damage` at byte `end` of a segment's `bytes`, where
    /// the record `next` should be: what a crash tears is the last commit. A block says to which
    /// commit it belongs, so a whole one of a later commit proves that the torn one was on disk
    /// already. Records of the first form do not say it, but a commit had no more than
    /// [`COMMIT_BYTES_MAX`] and one record.
    pub(crate) fn is_torn(self, damage: Damage, bytes: &[u8], end: usize, next: u64) -> bool {
        let from = end.saturating_add(1);
        match self {
            Self::Records => {
                let far = last_after(bytes, from, next, |tail| old::decode(tail).ok().map(|_| ()));
                far.is_none_or(|(at, ())| at - end <= COMMIT_BYTES_MAX)
            }
            Self::Blocks => {
                let written = matches!(damage, Damage::Kind(_) | Damage::Subject | Damage::Content(_));
                let last = || {
                    last_after(bytes, from, next, |tail| Block::decode(tail).ok().map(|(it, _)| it.commit()))
                };
                !written && last().is_none_or(|(_, commit)| commit <= next)
            }
        }
    }
}

/// A segment file by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Seq of its first record.
    pub(crate) first: u64,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// Path of the segment that begins with `first`.
pub(crate) fn path_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.seg"))
}

/// The folder's segments in order of their first records.
pub(crate) fn list(dir: &Path) -> Result<Vec<Segment>, JournalError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(JournalError::io(dir, "list the folder"))? {
        let path = entry.map_err(JournalError::io(dir, "list the folder"))?.path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.len() == 20);
        match stem.and_then(|stem| stem.parse().ok()) {
            Some(first) => segments.push(Segment { first, path }),
            None => return Err(JournalError::Foreign(path)),
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// Where the whole records of a segment end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// What the segment is made of.
    pub(crate) form: Form,
    /// Byte offset after the last whole record; 0 if even the header is not whole.
    pub(crate) end: u64,
    /// Seq of the next record.
    pub(crate) next: u64,
    /// What stands at `end`, if neither the end of the file nor zeros up to it.
    pub(crate) damage: Option<Damage>,
    /// Byte offset after the last byte that is not zero; `end` if that is later.
    pub(crate) used: u64,
}

/// Reads a segment to the last whole record of its unbroken beginning.
pub(crate) fn find_tail(segment: &Segment) -> Result<(Tail, Vec<u8>), JournalError> {
    let path = &segment.path;
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(JournalError::io(path, "open"))?;
    file.read_to_end(&mut bytes).map_err(JournalError::io(path, "read"))?;
    let nonzero = used(&bytes);
    let Some(form) = Form::of(&bytes, segment.first) else {
        // A header is synced before the first record is written: only a short or empty one can
        // be left by a crash.
        if bytes.len() >= HEADER_LEN && nonzero > 0 {
            return Err(JournalError::Foreign(path.clone()));
        }
        let (form, damage) = (Form::Blocks, Some(Damage::Short));
        return Ok((Tail { form, end: 0, next: segment.first, damage, used: bytes.len() as u64 }, bytes));
    };
    let (mut end, mut next, mut damage) = (HEADER_LEN, segment.first, None);
    let mut unpacked = Vec::new();
    while end < nonzero && damage.is_none() {
        match form.unit(bytes.get(end..).unwrap_or_default(), next, &mut unpacked) {
            Ok(unit) => (end, next) = (end + unit.size, unit.next),
            Err(found) => damage = Some(found),
        }
    }
    Ok((Tail { form, end: end as u64, next, damage, used: nonzero.max(end) as u64 }, bytes))
}

/// How many bytes there are before the zeros at the end.
pub(crate) fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Byte offset of the last place in `bytes` at which a whole record or block with `next` or a later
/// seq begins, and what `decode` says of it.
fn last_after<T>(
    bytes: &[u8],
    from: usize,
    next: u64,
    decode: impl Fn(&[u8]) -> Option<T>,
) -> Option<(usize, T)> {
    // No more records than fit can be missing, so a seq beyond that is chance. Looking at the
    // seq first keeps this from computing a check sum at every offset.
    let believable = next..=next.saturating_add((bytes.len() as u64).saturating_mul(RECORDS_PER_BYTE));
    let last = bytes.len().saturating_sub(block::HEADER_BYTES);
    (from..last.saturating_add(1)).rev().find_map(|at| {
        let tail = bytes.get(at..)?;
        let seq = record::array(tail, SEQ_AT).map(u64::from_le_bytes).ok()?;
        if !believable.contains(&seq) {
            return None;
        }
        Some((at, decode(tail)?))
    })
}
