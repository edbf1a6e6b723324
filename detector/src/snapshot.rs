//! All state at one place of the journal, in a file.
//!
//! A snapshot does not depend on the number of shards. It is written beside its name, synced and
//! renamed, so that a crash leaves either a whole one or none; two are kept, and a damaged newest
//! one falls back to the one before. It can always be made again from the journal.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    front::FrontState,
    journal::{JournalError, sync_dir},
    shard::ShardState,
};

/// First bytes of a snapshot: name and version of the form.
const MAGIC: [u8; 8] = *b"FLWSNAP4";
/// Magic, seq, length and check sum of the body.
const HEADER_BYTES: usize = 28;
/// Snapshots that are kept.
const KEPT: usize = 2;

/// All state at one place of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    pub(crate) seq: u64,
    pub(crate) front: FrontState,
    pub(crate) shards: Vec<ShardState>,
}

/// Why a snapshot cannot be used.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The bytes are not a whole snapshot of this version.
    #[error("{}: {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] JournalError),
}

impl Snapshot {
    /// Last record that it covers.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// As bytes with header and check sum.
    ///
    /// # Errors
    /// Says why the state cannot be written; a bug.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let body = postcard::to_stdvec(self).map_err(|error| error.to_string())?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// From bytes.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or("the snapshot is cut off")?;
        if header.get(..8) != Some(&MAGIC[..]) {
            return Err("not a snapshot of this version".into());
        }
        let number = |at: usize| header.get(at..).and_then(|rest| rest.first_chunk()).copied();
        let seq = number(8).map(u64::from_le_bytes).ok_or("the snapshot is cut off")?;
        let len = number(16).map(u64::from_le_bytes).ok_or("the snapshot is cut off")?;
        if len != body.len() as u64 {
            return Err(format!("the snapshot has {} bytes, {len} were written", body.len()));
        }
        let crc = header.get(24..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_le_bytes);
        if crc != Some(crc32fast::hash(body)) {
            return Err("the snapshot's check sum does not fit its bytes".into());
        }
        let snapshot: Self = postcard::from_bytes(body).map_err(|error| error.to_string())?;
        if snapshot.seq == seq { Ok(snapshot) } else { Err("two places of the journal are named".into()) }
    }
}

/// Writes a snapshot's bytes under a name that is not used yet; [`finish`] makes it count.
pub(crate) fn write(dir: &Path, seq: u64, bytes: &[u8]) -> Result<PathBuf, JournalError> {
    fs::create_dir_all(dir).map_err(JournalError::io(dir, "create the folder"))?;
    let path = dir.join(format!("{seq:020}.snap.new"));
    let mut file = File::create(&path).map_err(JournalError::io(&path, "create"))?;
    file.write_all(bytes).map_err(JournalError::io(&path, "write"))?;
    file.sync_all().map_err(JournalError::io(&path, "sync"))?;
    Ok(path)
}

/// Makes a written snapshot count, and deletes those past [`KEPT`]. Returns the seq of the older
/// one that is kept: the journal before it is not needed any more.
pub(crate) fn finish(dir: &Path, written: &Path, seq: u64) -> Result<Option<u64>, JournalError> {
    let path = dir.join(format!("{seq:020}.snap"));
    fs::rename(written, &path).map_err(JournalError::io(&path, "rename"))?;
    sync_dir(dir)?;
    let mut all = list(dir)?;
    let kept = all.split_off(all.len().saturating_sub(KEPT));
    for (_, old) in all {
        fs::remove_file(&old).map_err(JournalError::io(&old, "delete"))?;
    }
    Ok(if kept.len() < KEPT { None } else { kept.first().map(|&(seq, _)| seq) })
}

/// The newest snapshot that is whole, if any. Damaged ones are told to `damaged` and left alone;
/// ones that were never finished are deleted.
pub(crate) fn newest(
    dir: &Path,
    mut damaged: impl FnMut(SnapshotError),
) -> Result<Option<Snapshot>, JournalError> {
    if !dir.exists() {
        return Ok(None);
    }
    for entry in fs::read_dir(dir).map_err(JournalError::io(dir, "list the folder"))? {
        let path = entry.map_err(JournalError::io(dir, "list the folder"))?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(&path).map_err(JournalError::io(&path, "delete"))?;
        }
    }
    for (_, path) in list(dir)?.into_iter().rev() {
        let bytes = fs::read(&path).map_err(JournalError::io(&path, "read"))?;
        match Snapshot::from_bytes(&bytes) {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(found) => damaged(SnapshotError::Damaged { path, found }),
        }
    }
    Ok(None)
}

/// Reads the snapshots of a folder, oldest first, without changing anything there: an engine may
/// be working in it. `wanted` is asked for each by the last record that it covers; the first that
/// is wanted and whole is given. Damaged ones are told to `damaged`; one that the engine deletes
/// meanwhile is passed over.
///
/// # Errors
/// When the folder cannot be read.
pub fn oldest(
    dir: &Path,
    wanted: impl Fn(u64) -> bool,
    mut damaged: impl FnMut(SnapshotError),
) -> Result<Option<Snapshot>, JournalError> {
    if !dir.exists() {
        return Ok(None);
    }
    for (_, path) in list(dir)?.into_iter().filter(|&(seq, _)| wanted(seq)) {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(JournalError::io(&path, "read")(error)),
        };
        match Snapshot::from_bytes(&bytes) {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(found) => damaged(SnapshotError::Damaged { path, found }),
        }
    }
    Ok(None)
}

/// Finished snapshots, oldest first.
fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(JournalError::io(dir, "list the folder"))? {
        let path = entry.map_err(JournalError::io(dir, "list the folder"))?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".snap"));
        if let Some(seq) = name.and_then(|name| name.parse().ok()) {
            all.push((seq, path));
        }
    }
    all.sort();
    Ok(all)
}
