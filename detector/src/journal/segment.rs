//! Segment files: names, headers, and looking for the last whole record.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    error::JournalError,
    record::{self, Damage},
};

/// First bytes of a segment: name and version of the form.
pub(crate) const MAGIC: [u8; 8] = *b"FLWJRNL1";
/// Magic and first seq.
pub(crate) const HEADER_BYTES: u64 = HEADER_LEN as u64;
const HEADER_LEN: usize = 16;

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

/// The header of a segment.
pub(crate) fn header(first: u64) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    let (magic, seq) = bytes.split_at_mut(8);
    magic.copy_from_slice(&MAGIC);
    seq.copy_from_slice(&first.to_le_bytes());
    bytes
}

/// Where the whole records of a segment end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
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
    if bytes.get(..HEADER_LEN) != Some(&header(segment.first)[..]) {
        // A header is synced before the first record is written: only a short or empty one can
        // be left by a crash.
        if bytes.len() >= HEADER_LEN && nonzero > 0 {
            return Err(JournalError::Foreign(path.clone()));
        }
        let damage = Some(Damage::Short);
        return Ok((Tail { end: 0, next: segment.first, damage, used: bytes.len() as u64 }, bytes));
    }
    let (mut end, mut next, mut damage) = (HEADER_LEN, segment.first, None);
    while end < nonzero {
        match record::decode(bytes.get(end..).unwrap_or_default()) {
            Ok((record, size)) if record.seq == next => {
                end += size;
                next += 1;
            }
            Ok(_) => {
                damage = Some(Damage::Checksum);
                break;
            }
            Err(found) => {
                damage = Some(found);
                break;
            }
        }
    }
    Ok((Tail { end: end as u64, next, damage, used: nonzero.max(end) as u64 }, bytes))
}

/// How many bytes there are before the zeros at the end.
pub(crate) fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Byte offset of the last place in `bytes` at which a whole record with `next` or a later seq begins.
pub(crate) fn last_record_after(bytes: &[u8], from: usize, next: u64) -> Option<usize> {
    // No more records than fit can be missing, so a seq beyond that is chance. Looking at the
    // seq first keeps this from computing a check sum at every offset.
    let believable = next..=next.saturating_add((bytes.len() / record::HEADER_BYTES) as u64);
    (from..bytes.len().saturating_sub(record::HEADER_BYTES)).rev().find(|&at| {
        bytes.get(at..).is_some_and(|tail| {
            record::peek_seq(tail).is_some_and(|seq| believable.contains(&seq))
                && record::decode(tail).is_ok()
        })
    })
}
