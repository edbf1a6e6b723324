//! Lists of keys that are known to be weak or public, as files bring them.
//!
//! No list comes with the program: those of weak Debian keys are some megabytes and the firmware
//! keys carry no licence. Who has them puts them into a folder; the caller reads it.

use std::fmt;

use hashbrown::HashSet;

use super::id::{Fingerprint, from_hex};

/// Entries kept of all lists together; what is more is counted and not kept.
pub const ENTRIES_MAX: usize = 8_000_000;

/// What an entry of a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Keys of the Debian generator (CVE-2008-0166): per line the last 20 hexadecimal digits of
    /// the SHA-1 of `Modulus=HEX\n`, as `openssl-blacklist` has them (40 digits are taken as well).
    Debian,
    /// Keys whose private half is public: per line, or in the first column of a table separated by
    /// commas, the SHA-256 of the SubjectPublicKeyInfo as 64 hexadecimal digits.
    Public,
}

/// A line that is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Line, from 1.
    pub line: usize,
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: not an entry; expected {}", self.line, self.expected)
    }
}

/// The lists.
#[derive(Clone, Debug, Default)]
pub struct WeakKeys {
    debian: HashSet<[u8; 10]>,
    public: HashSet<Fingerprint>,
    /// Entries that were not kept because there were [`ENTRIES_MAX`].
    pub shed: usize,
}

impl WeakKeys {
    /// Adds the entries of a file. Empty lines and lines that begin with `#` are skipped, and the
    /// header of a table.
    ///
    /// # Errors
    /// The first line that is no entry; those before it are kept.
    pub fn add(&mut self, kind: ListKind, text: &str) -> Result<usize, BadLine> {
        let mut added = 0;
        for (index, line) in text.lines().enumerate() {
            let entry = line.split(',').next().unwrap_or_default().trim();
            let is_header = index == 0 && line.contains(',') && entry == "spki_sha256";
            if entry.is_empty() || entry.starts_with('#') || is_header {
                continue;
            }
            if self.len() >= ENTRIES_MAX {
                self.shed += 1;
                continue;
            }
            let new = match kind {
                ListKind::Debian => debian(entry).map(|entry| self.debian.insert(entry)),
                ListKind::Public => Fingerprint::from_hex(entry).map(|entry| self.public.insert(entry)),
            };
            let expected = match kind {
                ListKind::Debian => "20 or 40 hexadecimal digits",
                ListKind::Public => "64 hexadecimal digits",
            };
            added += usize::from(new.ok_or(BadLine { line: index + 1, expected })?);
        }
        Ok(added)
    }

    /// Entries of all lists.
    #[must_use]
    pub fn len(&self) -> usize {
        self.debian.len() + self.public.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is an entry of this kind.
    #[must_use]
    pub fn has_kind(&self, kind: ListKind) -> bool {
        match kind {
            ListKind::Debian => !self.debian.is_empty(),
            ListKind::Public => !self.public.is_empty(),
        }
    }

    pub(crate) fn is_debian(&self, fingerprint: &[u8; 10]) -> bool {
        self.debian.contains(fingerprint)
    }

    pub(crate) fn is_public(&self, spki_sha256: &Fingerprint) -> bool {
        self.public.contains(spki_sha256)
    }
}

fn debian(entry: &str) -> Option<[u8; 10]> {
    let last = if entry.len() == 40 { entry.get(20..)? } else { entry };
    let mut bytes = [0; 10];
    from_hex(last, &mut bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_both_kinds() {
        let mut keys = WeakKeys::default();
        let text = "# 2048\n00000000000000000001\n\n0000000000000000000000000000000000000002\n00000000000000000001\n";
        assert_eq!(keys.add(ListKind::Debian, text), Ok(2));
        assert!(keys.is_debian(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 2]) && !keys.is_debian(&[0; 10]));
        let table = format!("spki_sha256,key\n{},rsa\n", "ab".repeat(32));
        assert_eq!(keys.add(ListKind::Public, &table), Ok(1));
        assert!(keys.is_public(&Fingerprint([0xab; 32])) && keys.len() == 3);
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut keys = WeakKeys::default();
        let error = keys.add(ListKind::Debian, "00000000000000000001\n0001\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: not an entry; expected 20 or 40 hexadecimal digits");
        let error = keys.add(ListKind::Public, "spki\n").unwrap_err();
        assert_eq!(error.to_string(), "line 1: not an entry; expected 64 hexadecimal digits");
        assert_eq!(keys.len(), 1);
    }
}
