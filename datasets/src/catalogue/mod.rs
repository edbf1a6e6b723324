//! The public data sets that are known: what they are, and each of their files with its check sum.
//!
//! The data themselves are not part of this program. Their licences differ; some are for research
//! only.

mod sets;

pub use sets::SETS;

/// Check sum, size and path of every file, as of the sets' READMEs.
const FILES: &str = include_str!("files.txt");

/// A data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// Name of its folder.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Who made it, and where it was taken from.
    pub source: &'static str,
    /// Licence.
    pub licence: &'static str,
    /// What the files hold.
    pub columns: &'static str,
    /// What the labels mean.
    pub labels: &'static str,
    /// What this part is of the whole.
    pub split: &'static str,
    /// How it is used.
    pub purpose: Purpose,
}

/// What can be done with a set so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Its captures can be replayed and converted; see [`crate::recording::captures`].
    Events,
    /// Listed and checked; nothing decodes its events yet.
    EventsLater,
    /// A table or series of metrics, for models.
    Table,
    /// Certificates, policies or configurations, for audits.
    Documents,
}

impl Purpose {
    /// The word used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::EventsLater => "events (no decoder yet)",
            Self::Table => "table",
            Self::Documents => "documents",
        }
    }
}

/// A file of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Path within the set's folder.
    pub name: &'static str,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: &'static str,
}

impl DataSet {
    /// A set without files: every file of it is unknown.
    pub(crate) const UNKNOWN: Self = Self {
        name: "unknown",
        title: "",
        source: "",
        licence: "",
        columns: "",
        labels: "",
        split: "",
        purpose: Purpose::EventsLater,
    };

    /// The set of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SETS.iter().find(|set| set.name == name)
    }

    /// Its files, in the order of names.
    pub fn files(&self) -> impl Iterator<Item = FileEntry> {
        let folder = self.name;
        FILES.lines().filter_map(move |line| {
            let mut words = line.splitn(3, ' ');
            let (sha256, bytes, path) = (words.next()?, words.next()?, words.next()?);
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            Some(FileEntry { name, bytes: bytes.parse().ok()?, sha256 })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::recording::CAPTURES;

    #[test]
    fn every_line_belongs_to_a_set_and_every_set_has_files() {
        let files: usize = SETS.iter().map(|set| set.files().count()).sum();
        assert_eq!(files, FILES.lines().count());
        assert!(SETS.iter().all(|set| set.files().count() > 0));
        let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
        let sorted: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names, sorted.into_iter().collect::<Vec<_>>(), "in order, and each once");
        for entry in SETS.iter().flat_map(DataSet::files) {
            assert!(entry.sha256.len() == 64 && entry.bytes > 0, "{entry:?}");
        }
    }

    #[test]
    fn exactly_the_sets_of_events_have_captures_and_their_files_are_known() {
        for set in &SETS {
            let captures = CAPTURES.iter().filter(|capture| capture.set == set.name);
            let mut count = 0;
            for capture in captures {
                count += 1;
                assert!(set.files().any(|entry| entry.name == capture.file), "{capture:?}");
            }
            assert_eq!(count > 0, set.purpose == Purpose::Events, "{}", set.name);
        }
        assert!(CAPTURES.iter().all(|capture| DataSet::named(capture.set).is_some()));
    }
}
