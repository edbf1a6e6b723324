//! Errors of the history.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why the history cannot do what it was asked to.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The disk refused.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error("the history in `{}` is held by another process", .0.display())]
    Locked(PathBuf),
    /// Bytes are not what was written.
    #[error("`{}` is damaged at byte {offset}: {found}", path.display())]
    Damaged {
        /// File.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What does not fit.
        found: &'static str,
    },
}

impl HistoryError {
    pub(crate) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, found: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), offset, found }
    }

    /// Whether a file was not there: another process may have merged it meanwhile.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
