//! The folder of a store: whose it is, and that only one process uses it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::Path,
};

use super::{Engine, StoreError};

/// Names the engine and the version of its layout.
const MARKER: &str = "store-engine";
const MARKER_NEW: &str = "store-engine.new";
const LOCK: &str = "lock";
/// A marker is one short line; more is somebody else's file.
const MARKER_BYTES_MAX: usize = 64;

/// The folder, held by this process until dropped.
#[derive(Debug)]
pub(super) struct Claim {
    _lock: File,
}

/// Makes the folder if needed, locks it, and checks or writes its marker.
///
/// The marker is written before the engine makes any file, so that a folder with an
/// engine's files always says whose they are.
pub(super) fn claim(engine: Engine, path: &Path) -> Result<Claim, StoreError> {
    fs::create_dir_all(path).map_err(|source| io_error("make the folder", path, source))?;
    let marker = path.join(MARKER);
    let found = match fs::read(&marker) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(io_error("read", &marker, source)),
    };
    if found.is_none() {
        refuse_foreign(path)?;
    }
    let lock = lock(path)?;
    match found {
        Some(found) => check_marker(engine, path, &found)?,
        None => write_marker(engine, path)?,
    }
    Ok(Claim { _lock: lock })
}

/// The folder has no marker: it must be new, or left by a first start that was cut off.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(path).map_err(|source| io_error("list", path, source))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| io_error("list", path, source))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    match names.into_iter().filter(|name| name != LOCK && name != MARKER_NEW).min() {
        Some(found) => Err(StoreError::Foreign { path: path.to_owned(), found }),
        None => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let name = path.join(LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|source| io_error("open", &name, source))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &name, source)),
    }
}

fn check_marker(engine: Engine, path: &Path, found: &[u8]) -> Result<(), StoreError> {
    if found == content(engine).as_bytes() {
        return Ok(());
    }
    let found = String::from_utf8_lossy(found.get(..MARKER_BYTES_MAX).unwrap_or(found));
    let found = found.lines().next().unwrap_or_default().to_owned();
    match Engine::ALL.into_iter().find(|engine| found == content(*engine).trim_end()) {
        Some(found) => Err(StoreError::OtherEngine { path: path.to_owned(), found, wanted: engine }),
        None => Err(StoreError::Foreign { path: path.to_owned(), found: format!("{MARKER}: {found}") }),
    }
}

fn write_marker(engine: Engine, path: &Path) -> Result<(), StoreError> {
    let fresh = path.join(MARKER_NEW);
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(content(engine).as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path.join(MARKER))
    };
    write().map_err(|source| io_error("write", &fresh, source))?;
    sync_folder(path)
}

fn content(engine: Engine) -> String {
    format!("{engine} 1\n")
}

/// Makes the folder's entries durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|source| io_error("sync", path, source))
}

pub(super) fn io_error(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { doing, path: path.to_owned(), source }
}
