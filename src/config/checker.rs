//! Collects the problems of a configuration while its values are resolved.

use std::{
    fmt::Display,
    net::IpAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use fleet::problem::{Problem, nearest};
use toml::Spanned;

use super::secret::Secret;

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
        match read_bounded(&full) {
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

    /// A secret from a file (first line) or the environment; not both.
    pub fn secret(
        &mut self,
        file: Option<&Spanned<PathBuf>>,
        variable: Option<&Spanned<String>>,
        place: &str,
    ) -> Option<Secret> {
        if let (Some(_), Some(variable)) = (file, variable) {
            self.error(variable, place, "a file and a variable are given; allowed is one of them".into());
        }
        if let Some(variable) = variable {
            return match (self.environment)(variable.get_ref()) {
                Some(text) if !text.is_empty() => Some(Secret::new(text)),
                _ => {
                    self.error(
                        variable,
                        place,
                        format!("the environment variable `{}` is not set", variable.get_ref()),
                    );
                    None
                }
            };
        }
        let bytes = self.file(file, place)?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty()
            && let Some(file) = file
        {
            self.error(
                file,
                place,
                format!("the first line of `{}` is empty; expected the secret", file.get_ref().display()),
            );
            return None;
        }
        Some(Secret::new(line.to_owned()))
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has {size} bytes; at most {FILE_BYTES_MAX} are read")));
    }
    std::fs::read(path)
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
