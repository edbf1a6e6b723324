//! The folder of the data sets: each file is what the catalogue says, to the byte, or an error.

use std::{
    fmt::Write as _,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    catalogue::{DataSet, FileEntry},
    mqtt_capture::CaptureError,
    table::TableError,
};

/// Bytes of a file once unpacked. The largest of the catalogue has 34 MB.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// Why a data set cannot be read.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The file is not there.
    #[error("{}: is missing; expected are {bytes} bytes with the SHA-256 {sha256}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Size that it must have.
        bytes: u64,
        /// Check sum that it must have.
        sha256: String,
    },
    /// The file is another one, or damaged.
    #[error(
        "{}: has {found_bytes} bytes with the SHA-256 {found}; expected are {bytes} bytes with {sha256}",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Size found.
        found_bytes: u64,
        /// Check sum found.
        found: String,
        /// Size that it must have.
        bytes: u64,
        /// Check sum that it must have.
        sha256: String,
    },
    /// The file cannot be read.
    #[error("{}: cannot be read: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A row or cell is not what the set's form says.
    #[error("{}: {error}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: TableError,
    },
    /// A packet capture cannot be read.
    #[error("{}: {error}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: CaptureError,
    },
}

/// Where the data sets lie.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder that has one folder for each set.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where a file of a set lies.
    #[must_use]
    pub fn path(&self, set: &str, file: &str) -> PathBuf {
        self.0.join(set).join(file)
    }

    /// Checks a file of the catalogue.
    ///
    /// # Errors
    /// When it is missing, cannot be read, or is not the one that the catalogue knows.
    pub fn verify(&self, set: &DataSet, entry: &FileEntry) -> Result<(), DatasetError> {
        self.raw(set, entry).map(drop)
    }

    /// Reads a file of the catalogue, checked, and unpacked if its name ends with `.gz`.
    ///
    /// # Errors
    /// When it is missing, damaged, or cannot be read.
    pub fn read(&self, set: &DataSet, file: &str) -> Result<Vec<u8>, DatasetError> {
        let path = self.path(set.name, file);
        let Some(entry) = set.files().find(|entry| entry.name == file) else {
            let error = io::Error::other("the catalogue has no such file");
            return Err(DatasetError::Io { path, error });
        };
        let raw = self.raw(set, &entry)?;
        if file.ends_with(".gz") { unpack(&path, &raw) } else { Ok(raw) }
    }

    fn raw(&self, set: &DataSet, entry: &FileEntry) -> Result<Vec<u8>, DatasetError> {
        let path = self.path(set.name, entry.name);
        let raw = match std::fs::read(&path) {
            Ok(raw) => raw,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (bytes, sha256) = (entry.bytes, entry.sha256.to_owned());
                return Err(DatasetError::Missing { path, bytes, sha256 });
            }
            Err(error) => return Err(DatasetError::Io { path, error }),
        };
        let found = sha256(&raw);
        if found == entry.sha256 {
            return Ok(raw);
        }
        let found_bytes = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        Err(DatasetError::Damaged {
            path,
            found_bytes,
            found,
            bytes: entry.bytes,
            sha256: entry.sha256.to_owned(),
        })
    }
}

fn unpack(path: &Path, raw: &[u8]) -> Result<Vec<u8>, DatasetError> {
    let mut unpacked = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(raw).take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut unpacked);
    let error = match read {
        Err(error) => error,
        Ok(_) if unpacked.len() as u64 > UNPACKED_BYTES_MAX => {
            io::Error::other(format!("it has more than {UNPACKED_BYTES_MAX} bytes once unpacked"))
        }
        Ok(_) => return Ok(unpacked),
    };
    Err(DatasetError::Io { path: path.to_owned(), error })
}

/// The SHA-256 in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
