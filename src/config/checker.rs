//! Collects the problems of a configuration while its values are resolved.

use std::{
    fmt::Display,
    net::IpAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use fleet::{
    problem::{Problem, nearest},
    secret::Secret,
};
use mitigations::secret::SecretRef;
use toml::Spanned;

use crate::files::bytes_at_most;

/// Reads an environment variable; passed in, so that resolving is testable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Longest secret, CA or key file that is read, bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The file that is checked, and what was found.
pub struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    folder: &'a Path,
    environment: Environment<'a>,
    /// Problems so far.
    pub problems: Vec<Problem>,
}

impl std::fmt::Debug for Checker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker")
            .field("file", &self.file)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl<'a> Checker<'a> {
    /// For a file with its text; relative paths are relative to `folder`.
    #[must_use]
    pub const fn new(file: &'a str, text: &'a str, folder: &'a Path, environment: Environment<'a>) -> Self {
        Self { file, text, folder, environment, problems: Vec::new() }
    }

    /// Records an error at a value.
    pub fn error<T>(&mut self, at: &Spanned<T>, place: &str, message: String) {
        self.problems.push(Problem::error_at(self.file, self.text, at.span().start, place, message));
    }

    /// Records a warning at a value.
    pub fn warning<T>(&mut self, at: &Spanned<T>, place: &str, message: String) {
        self.problems.push(Problem::warning_at(self.file, self.text, at.span().start, place, message));
    }

    /// Records an error at a place such as `alerts.webhook.ops.url`; where the file does not have it,
    /// at the nearest table above.
    pub fn error_at(&mut self, place: &str, message: String) {
        self.problems.push(Problem::error_at(self.file, self.text, locate(self.text, place), place, message));
    }

    /// Records a warning, as [`Checker::error_at`].
    pub fn warning_at(&mut self, place: &str, message: String) {
        self.problems.push(Problem::warning_at(
            self.file,
            self.text,
            locate(self.text, place),
            place,
            message,
        ));
    }

    /// The choice named by `value`; on an unknown name the first, with an error.
    pub fn choice<T: Copy>(
        &mut self,
        value: &Spanned<String>,
        place: &str,
        choices: &[(&str, T)],
        default: T,
    ) -> T {
        let found = value.get_ref();
        if let Some((_, choice)) = choices.iter().find(|(name, _)| name == found) {
            return *choice;
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let hint =
            nearest(found, names.iter().copied()).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        self.error(value, place, format!("found `{found}`; allowed are `{}`{hint}", names.join("`, `")));
        default
    }

    /// The number, if it is in range; else the nearest end, with an error.
    pub fn range<T: Copy + PartialOrd + Display>(
        &mut self,
        value: &Spanned<T>,
        place: &str,
        allowed: RangeInclusive<T>,
    ) -> T {
        let found = *value.get_ref();
        if allowed.contains(&found) {
            return found;
        }
        self.error(
            value,
            place,
            format!("found {found}; allowed are {} to {}", allowed.start(), allowed.end()),
        );
        if found < *allowed.start() { *allowed.start() } else { *allowed.end() }
    }

    /// The value parsed, or `None` with an error that repeats what the type says.
    pub fn parsed<T: std::str::FromStr<Err: Display>>(
        &mut self,
        value: &Spanned<String>,
        place: &str,
    ) -> Option<T> {
        match value.get_ref().parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.error(value, place, format!("found `{}`: {error}", value.get_ref()));
                None
            }
        }
    }

    /// A path relative to the configuration file.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// The bytes of a file that must exist.
    pub fn file(&mut self, path: Option<&Spanned<PathBuf>>, place: &str) -> Option<Vec<u8>> {
        let path = path?;
        let full = self.path(path.get_ref());
        match bytes_at_most(&full, FILE_BYTES_MAX) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.error(path, place, format!("`{}` cannot be read: {error}", full.display()));
                None
            }
        }
    }

    /// A folder that must exist.
    pub fn folder(&mut self, path: Option<&Spanned<PathBuf>>, place: &str) -> Option<PathBuf> {
        let path = path?;
        let full = self.path(path.get_ref());
        if full.is_dir() {
            return Some(full);
        }
        self.error(path, place, format!("`{}` is not a folder", full.display()));
        None
    }

    /// The secret that a reference names.
    pub fn secret(&mut self, reference: Option<&Spanned<SecretRef>>, place: &str) -> Option<Secret> {
        let reference = reference?;
        match self.read_secret(reference.get_ref()) {
            Ok(secret) => Some(secret),
            Err(message) => {
                self.error(reference, place, message);
                None
            }
        }
    }

    /// Reads a secret: the first line of a file, or an environment variable.
    ///
    /// # Errors
    /// When it cannot be read or is empty, as text that does not show it.
    pub fn read_secret(&self, reference: &SecretRef) -> Result<Secret, String> {
        let text = match reference {
            SecretRef::Env(name) => {
                (self.environment)(name).ok_or_else(|| format!("{reference} is not set"))?
            }
            SecretRef::File(path) => {
                let bytes = bytes_at_most(&self.path(path), FILE_BYTES_MAX)
                    .map_err(|error| format!("{reference} cannot be read: {error}"))?;
                String::from_utf8(bytes).map_err(|_| format!("{reference} is not UTF-8 text"))?
            }
        };
        match text.lines().next().filter(|line| !line.is_empty()) {
            Some(line) => Ok(Secret::new(line)),
            None => Err(format!("{reference} is empty; expected the secret in its first line")),
        }
    }
}

/// Byte offset of the value at a dotted place, with `name[N]` for items of a list; of the nearest
/// value above it where the document has none; 0 for the document itself.
#[must_use]
pub fn locate(text: &str, place: &str) -> usize {
    let Ok(root) = toml::de::DeTable::parse(text) else { return 0 };
    let mut at = 0;
    let mut table = Some(root.get_ref());
    for segment in place.split('.') {
        let (key, index) = match segment.split_once('[') {
            Some((key, rest)) => (key, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (segment, None),
        };
        let Some(mut value) = table.and_then(|table| table.get(key)) else { break };
        if let (Some(index), toml::de::DeValue::Array(items)) = (index, value.get_ref()) {
            let Some(item) = items.get(index) else { break };
            value = item;
        }
        at = value.span().start;
        table = match value.get_ref() {
            toml::de::DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    at
}

/// Whether a host name or address never leaves this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_or_the_nearest_above() {
        let text = "[a]\nb = 1\n[[a.c]]\nd = 2\n[[a.c]]\nd = 33\n[a.e.f]\ng = \"x\"\n";
        let cases = [
            ("a.b", "1"),
            ("a.c[1].d", "33"),
            ("a.e.f.g", "\"x\""),
            ("a.e.f.nothing", "[a.e.f]"),
            ("x", "[a]"),
        ];
        for (place, found) in cases {
            let at = locate(text, place);
            assert!(text[at..].starts_with(found), "{place}: {:?}", &text[at..]);
        }
    }
}
