//! An open log file and what it is known by.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

use xxhash_rust::xxh3::xxh3_64;

/// Most bytes of the first line that count for the identity.
const HEAD_BYTES_MAX: usize = 1024;

/// What a file is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// Hash of the first line: stays when the file is copied, changes when it is written anew.
    head: u64,
}

impl Identity {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.device, self.inode, self.head].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes));
        let (device, inode, head) = (numbers.next()??, numbers.next()??, numbers.next()??);
        (bytes.len() == 24).then_some(Self { device, inode, head })
    }

    /// Whether the other file has the same content up to where this one was read.
    pub(super) const fn same_content(self, other: Self) -> bool {
        self.head == other.head
    }
}

/// What changes when a file is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) bytes: u64,
    modified: (i64, i64),
}

/// An open file.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
}

impl LogFile {
    /// `None` if there is no such file.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self { file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))),
        }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(super) fn version(&self) -> io::Result<Version> {
        let metadata = self.file.metadata()?;
        Ok(Version { bytes: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }

    /// Device and inode.
    pub(super) fn place(&self) -> io::Result<(u64, u64)> {
        let metadata = self.file.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    pub(super) fn read_at(&self, chunk: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(chunk, offset)
    }

    /// `None` while the first line is not finished.
    pub(super) fn identity(&self) -> io::Result<Option<Identity>> {
        let head = self.head()?;
        let line = head.iter().position(|&byte| byte == b'\n').and_then(|end| head.get(..end));
        match line {
            Some(line) => self.identity_of(line).map(Some),
            None if head.len() == HEAD_BYTES_MAX => self.identity_of(&head).map(Some),
            None => Ok(None),
        }
    }

    /// The identity of a file that nobody writes to any more.
    pub(super) fn final_identity(&self) -> io::Result<Identity> {
        match self.identity()? {
            Some(identity) => Ok(identity),
            None => self.identity_of(&self.head()?),
        }
    }

    fn identity_of(&self, head: &[u8]) -> io::Result<Identity> {
        let (device, inode) = self.place()?;
        Ok(Identity { device, inode, head: xxh3_64(head) })
    }

    fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; HEAD_BYTES_MAX];
        let mut filled = 0;
        while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, u64::try_from(filled).unwrap_or(u64::MAX))? {
                0 => break,
                length => filled += length,
            }
        }
        head.truncate(filled);
        Ok(head)
    }
}
