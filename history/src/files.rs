//! Names of files, and files that appear whole or not at all.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use crate::error::HistoryError;

/// Ending of logs.
pub(crate) const LOG: &str = "log";
/// Ending of parts.
pub(crate) const PART: &str = "part";
/// Ending of what is being written.
const UNFINISHED: &str = "tmp";

/// A file by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) number: u64,
    /// Which of the files of that number: a log makes one part for each of its days.
    pub(crate) nth: u32,
    pub(crate) path: PathBuf,
}

pub(crate) fn path_of(dir: &Path, number: u64, nth: u32, ending: &str) -> PathBuf {
    dir.join(format!("{number:012}-{nth:04}.{ending}"))
}

/// The files with this ending, in order of their numbers. Others are left alone.
pub(crate) fn list(dir: &Path, ending: &str) -> Result<Vec<Named>, HistoryError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(HistoryError::io(dir, "list the folder"))? {
        let path = entry.map_err(HistoryError::io(dir, "list the folder"))?.path();
        if path.extension().is_none_or(|found| found != ending) {
            continue;
        }
        let parsed = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| {
            let (number, nth) = stem.split_once('-')?;
            Some((number.parse().ok()?, nth.parse().ok()?))
        });
        if let Some((number, nth)) = parsed {
            found.push(Named { number, nth, path });
        }
    }
    found.sort();
    Ok(found)
}

/// Deletes what a crash left unfinished.
pub(crate) fn delete_unfinished(dir: &Path) -> Result<(), HistoryError> {
    list(dir, UNFINISHED)?.iter().try_for_each(|file| delete(&file.path))
}

pub(crate) fn delete(path: &Path) -> Result<(), HistoryError> {
    fs::remove_file(path).map_err(HistoryError::io(path, "delete"))
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), HistoryError> {
    let opened = File::open(dir).map_err(HistoryError::io(dir, "open the folder"))?;
    opened.sync_all().map_err(HistoryError::io(dir, "sync the folder"))
}

/// A file that is being written under another name. Dropped unfinished, it is deleted.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) path: PathBuf,
    unfinished: PathBuf,
    file: Option<File>,
    pub(crate) written: u64,
}

impl NewFile {
    pub(crate) fn create(path: PathBuf) -> Result<Self, HistoryError> {
        let unfinished = path.with_extension(UNFINISHED);
        let file = File::create(&unfinished).map_err(HistoryError::io(&unfinished, "create"))?;
        Ok(Self { path, unfinished, file: Some(file), written: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), HistoryError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(HistoryError::io(&self.unfinished, "write"))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Syncs and renames. The new name is on disk only after [`sync_dir`].
    pub(crate) fn finish(mut self) -> Result<PathBuf, HistoryError> {
        if let Some(file) = self.file.take() {
            file.sync_all().map_err(HistoryError::io(&self.unfinished, "sync"))?;
            fs::rename(&self.unfinished, &self.path).map_err(HistoryError::io(&self.path, "rename to"))?;
        }
        Ok(self.path.clone())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = fs::remove_file(&self.unfinished)
        {
            tracing::warn!(%error, path = %self.unfinished.display(), "cannot delete an unfinished file");
        }
    }
}
