//! Profiles, actions and the registry, read from files that live under version control.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use behaviors::profile::{self, Profiles};
use fleet::{
    problem::{Problem, Severity, line_column},
    registry::Registry,
};
use mitigations::{
    action::{self, Action},
    rule::{RuleError, Rules},
};

use crate::config::settings::Settings;

/// Files read of one folder at most.
const FILES_MAX: usize = 10_000;
/// Longest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Name and text of each file, in the order of names.
pub type Texts = Vec<(String, String)>;

/// What the files define.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Profile files as text: they go through the journal.
    pub profile_texts: Texts,
    /// Security profiles.
    pub profiles: Profiles,
    /// Mitigation actions.
    pub actions: Vec<Action>,
    /// Response rules resolved against the actions.
    pub rules: Rules,
    /// Things and groups.
    pub registry: Registry,
}

/// Reads everything that the settings name; there is a definition only if no file has an error.
#[must_use]
pub fn load(settings: &Settings) -> (Option<Definitions>, Vec<Problem>) {
    let mut problems = Vec::new();
    let profile_texts =
        settings.profiles.as_deref().map(|folder| texts(folder, &mut problems)).unwrap_or_default();
    let (profiles, mut found) = profile::parse_files(&profile_texts);
    problems.append(&mut found);
    let action_texts =
        settings.actions.as_deref().map(|folder| texts(folder, &mut problems)).unwrap_or_default();
    let (actions, mut found) = action::parse_files(&action_texts);
    problems.append(&mut found);
    let registry = settings.registry.as_deref().map(|path| registry(path, &mut problems)).unwrap_or_default();
    let rules = Rules::resolve(&settings.response, &actions).unwrap_or_else(|errors| {
        problems.extend(errors.iter().map(rule_problem));
        Rules::default()
    });
    let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    let definitions = Definitions { profile_texts, profiles, actions, rules, registry };
    ((!refused).then_some(definitions), problems)
}

/// The `*.json` files of a folder, in the order of names.
pub fn texts(folder: &Path, problems: &mut Vec<Problem>) -> Texts {
    let listing = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let mut paths = match listing {
        Ok(paths) => paths,
        Err(error) => {
            problems.push(unreadable(folder, &error.to_string()));
            return Vec::new();
        }
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.len() > FILES_MAX {
        problems
            .push(unreadable(folder, &format!("it has {} files; at most {FILES_MAX} are read", paths.len())));
        paths.truncate(FILES_MAX);
    }
    paths.iter().filter_map(|path| Some((path.display().to_string(), text(path, problems)?))).collect()
}

/// The text of a file of at most `bytes_max` bytes.
///
/// # Errors
/// As [`bytes_at_most`], and when it is not UTF-8.
pub fn text_at_most(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    opened(path, bytes_max)?.read_to_string(&mut text)?;
    not_grown(text.len(), bytes_max).map(|()| text)
}

/// The content of a file of at most `bytes_max` bytes.
///
/// # Errors
/// When it cannot be read, is longer, or is no file: a pipe or a device may never end, whatever length it says.
pub fn bytes_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    opened(path, bytes_max)?.read_to_end(&mut bytes)?;
    not_grown(bytes.len(), bytes_max).map(|()| bytes)
}

fn opened(path: &Path, bytes_max: u64) -> io::Result<io::Take<File>> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is a pipe, a socket or a device; only files are read"));
    }
    let len = metadata.len();
    if len > bytes_max {
        return Err(io::Error::other(format!("it has {len} bytes; at most {bytes_max} are read")));
    }
    Ok(File::open(path)?.take(bytes_max.saturating_add(1)))
}

/// Somebody may write while we read.
fn not_grown(read: usize, bytes_max: u64) -> io::Result<()> {
    if read as u64 <= bytes_max {
        return Ok(());
    }
    Err(io::Error::other(format!("it grew while it was read; at most {bytes_max} bytes are read")))
}

fn text(path: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    let read = text_at_most(path, FILE_BYTES_MAX);
    read.map_err(|error| problems.push(unreadable(path, &error.to_string()))).ok()
}

fn unreadable(path: &Path, reason: &str) -> Problem {
    Problem::error_at(&path.display().to_string(), "", 0, "", format!("cannot be read: {reason}"))
}

/// Reads a registry file.
pub fn registry(path: &Path, problems: &mut Vec<Problem>) -> Registry {
    let Some(text) = text(path, problems) else { return Registry::default() };
    let file = path.display().to_string();
    let start = text.len() - text.trim_start().len();
    if text.trim_start().starts_with('[') {
        // serde would take a list for the fields in their order.
        let message = "found a list; expected an object with `things` and `groups`".to_owned();
        problems.push(Problem::error_at(&file, &text, start, "", message));
        return Registry::default();
    }
    let parsed: Result<Registry, _> = serde_json::from_str(&text);
    let problem = match parsed {
        Err(error) => {
            let message = error.to_string();
            let message =
                message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned();
            let (line, column) = (error.line().max(1), error.column().max(1));
            Problem { severity: Severity::Error, file, line, column, place: String::new(), message }
        }
        Ok(registry) => match registry.validated() {
            Ok(registry) => return registry,
            Err(error) => {
                let message = error.to_string();
                let name = message.split('`').nth(1).unwrap_or_default();
                let offset = text.find(&format!("\"{name}\"")).unwrap_or(0);
                let (line, column) = line_column(&text, offset);
                Problem { severity: Severity::Error, file, line, column, place: String::new(), message }
            }
        },
    };
    problems.push(problem);
    Registry::default()
}

/// The configuration's file and place are added by whoever knows its text.
fn rule_problem(error: &RuleError) -> Problem {
    let message = error.to_string();
    let (place, message) = message.split_once(": ").unwrap_or(("response", &message));
    Problem {
        severity: Severity::Error,
        file: String::new(),
        line: 0,
        column: 0,
        place: place.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod reading {
    use super::*;

    #[test]
    fn only_files_are_read_and_no_more_of_them_than_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "four").unwrap();
        assert_eq!(text_at_most(&file, 4).unwrap(), "four");
        assert_eq!(bytes_at_most(&file, 4).unwrap(), b"four");
        let refused = |path: &Path, max| bytes_at_most(path, max).unwrap_err().to_string();
        assert_eq!(refused(&file, 3), "it has 4 bytes; at most 3 are read");
        let endless = Path::new("/dev/zero");
        assert_eq!(refused(endless, 3), "it is a pipe, a socket or a device; only files are read");
        assert_eq!(bytes_at_most(folder.path(), 3).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
