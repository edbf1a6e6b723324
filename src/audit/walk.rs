//! The files below a folder, in the order of their names.
//!
//! No link is followed: what a link inside the folder leads to is found by itself, and what lies
//! outside was not asked for.

use std::fs::{self, DirEntry, FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Folders below one another that are entered; deeper ones are left out and told.
const DEPTH_MAX: usize = 32;
/// Files looked at; further ones are left out and counted.
const FILES_MAX: usize = 2_000_000;
/// Largest file that is read (a CRL of a large CA); larger ones are left out and told.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of all files together; what comes after is left out and told.
const ALL_BYTES_MAX: u64 = 16 << 30;
/// Names that are told of what was left out; further ones are counted.
const TOLD_MAX: usize = 10_000;
/// Folders of version control, which hold every file once more.
const SKIPPED: [&str; 3] = [".git", ".hg", ".svn"];

/// A file to be read.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where it is.
    pub(super) path: PathBuf,
    /// As reports name it: from the folder, with `/`.
    pub(super) shown: String,
    /// Permission bits, where the system has them.
    pub(super) mode: Option<u32>,
}

/// What was not looked at, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Name and reason.
    pub told: Vec<(String, String)>,
    /// Those that are not told by name.
    pub more: usize,
}

impl LeftOut {
    pub(super) fn add(&mut self, name: &str, why: impl Into<String>) {
        if self.told.len() < TOLD_MAX {
            self.told.push((name.to_owned(), why.into()));
        } else {
            self.more += 1;
        }
    }

    /// All of them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.told.len() + self.more
    }
}

/// Files below `root`, which may be a file itself.
///
/// # Errors
/// When `root` cannot be read.
pub(super) fn files(root: &Path, left_out: &mut LeftOut) -> io::Result<Vec<Entry>> {
    let metadata = fs::metadata(root)?;
    let mut walk = Walk { left_out, entries: Vec::new(), bytes: 0 };
    if metadata.is_file() {
        let shown = root.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        walk.file(root.to_owned(), shown, &metadata);
    } else {
        walk.folder(fs::read_dir(root)?, "", 0);
    }
    Ok(walk.entries)
}

struct Walk<'w> {
    left_out: &'w mut LeftOut,
    entries: Vec<Entry>,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, entries: fs::ReadDir, above: &str, depth: usize) {
        let mut inside: Vec<DirEntry> = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => inside.push(entry),
                Err(error) => self.left_out.add(above, format!("cannot be read: {error}")),
            }
        }
        inside.sort_by_key(DirEntry::file_name);
        for entry in inside {
            let name = entry.file_name().to_string_lossy().into_owned();
            let shown = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
            match entry.file_type() {
                Ok(kind) => self.entry(&entry, kind, &name, shown, depth),
                Err(error) => self.left_out.add(&shown, format!("cannot be read: {error}")),
            }
        }
    }

    fn entry(&mut self, entry: &DirEntry, kind: FileType, name: &str, shown: String, depth: usize) {
        if kind.is_symlink() {
            self.left_out.add(&shown, "a link; links are not followed");
        } else if kind.is_dir() {
            if SKIPPED.contains(&name) {
                self.left_out.add(&shown, "a folder of version control");
            } else if depth + 1 >= DEPTH_MAX {
                self.left_out.add(&shown, format!("more than {DEPTH_MAX} folders deep"));
            } else {
                match fs::read_dir(entry.path()) {
                    Ok(entries) => self.folder(entries, &shown, depth + 1),
                    Err(error) => self.left_out.add(&shown, format!("cannot be read: {error}")),
                }
            }
        } else if kind.is_file() {
            match entry.metadata() {
                Ok(metadata) => self.file(entry.path(), shown, &metadata),
                Err(error) => self.left_out.add(&shown, format!("cannot be read: {error}")),
            }
        } else {
            self.left_out.add(&shown, "neither a file nor a folder");
        }
    }

    fn file(&mut self, path: PathBuf, shown: String, metadata: &Metadata) {
        let bytes = metadata.len();
        if bytes > FILE_BYTES_MAX {
            self.left_out.add(&shown, format!("{bytes} bytes; at most {FILE_BYTES_MAX} are read"));
        } else if self.entries.len() >= FILES_MAX {
            self.left_out.add(&shown, format!("more than {FILES_MAX} files"));
        } else if self.bytes + bytes > ALL_BYTES_MAX {
            self.left_out.add(&shown, format!("more than {ALL_BYTES_MAX} bytes in all"));
        } else {
            self.bytes += bytes;
            self.entries.push(Entry { path, shown, mode: mode(metadata) });
        }
    }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    Some(metadata.mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_by_name_and_links_are_not_followed() {
        let dir = tempfile::TempDir::new().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("b/.git")).unwrap();
        for name in ["b/2", "b/.git/x", "b/1", "a", "c"] {
            fs::write(root.join(name), "x").unwrap();
        }
        fs::write(dir.path().join("outside"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("outside"), root.join("link")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("loop")).unwrap();
        let mut left_out = LeftOut::default();
        let found = files(&root, &mut left_out).unwrap();
        let shown: Vec<&str> = found.iter().map(|entry| entry.shown.as_str()).collect();
        assert_eq!(shown, ["a", "b/1", "b/2", "c"]);
        let names: Vec<&str> = left_out.told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b/.git", "link", "loop"]);
        let one = files(&root.join("b/1"), &mut left_out).unwrap();
        assert_eq!(one[0].shown, "1");
        assert!(files(&root.join("none"), &mut left_out).is_err());
    }

    #[test]
    fn folders_are_entered_up_to_the_bound() {
        let dir = tempfile::TempDir::new().unwrap();
        let deep = (1..DEPTH_MAX).fold(dir.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(deep.join("d")).unwrap();
        fs::write(deep.join("in"), "x").unwrap();
        fs::write(deep.join("d/out"), "x").unwrap();
        let mut left_out = LeftOut::default();
        let found = files(dir.path(), &mut left_out).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((left_out.count(), &*left_out.told[0].1), (1, "more than 32 folders deep"));
    }
}
