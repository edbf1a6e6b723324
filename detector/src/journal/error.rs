//! What can go wrong with the journal's files.

use std::{io, path::PathBuf};

use thiserror::Error;

/// An error of the journal, of its folder or of a snapshot.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The disk refused. Nothing after the last commit is on disk, and nothing of it may be acknowledged.
    #[error("{}: cannot {doing}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Another engine works in this folder.
    #[error("{}: another engine holds this folder; stop it or choose another folder", .0.display())]
    Locked(PathBuf),
    /// A file is damaged where no crash can have damaged it.
    #[error("{} at byte {offset}: {found}; the journal cannot be read past this place", path.display())]
    Corrupt {
        /// Segment.
        path: PathBuf,
        /// Byte offset of the damage.
        offset: u64,
        /// What was found.
        found: String,
    },
    /// A file in the folder is none of ours.
    #[error(
        "{}: not a journal segment; expected 20 digits and `.seg`, and a header of this version",
        .0.display()
    )]
    Foreign(PathBuf),
    /// Records are missing.
    #[error("{}: begins with record {found}, but record {expected} should follow here", path.display())]
    Hole {
        /// Segment.
        path: PathBuf,
        /// The record that should be next.
        expected: u64,
        /// The record found.
        found: u64,
    },
    /// A message is too large for a record.
    #[error("a record's {what} has {len} bytes; allowed are {max}")]
    TooLarge {
        /// Subject or payload.
        what: &'static str,
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// An earlier write failed, so what is on disk is not known.
    #[error("the journal stopped at an earlier disk error; restart the engine")]
    Broken,
}

impl JournalError {
    /// For `map_err`: an I/O error with its place.
    pub(crate) fn io(path: &std::path::Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), doing, source }
    }
}
