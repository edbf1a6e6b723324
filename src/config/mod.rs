//! The configuration: as written ([`options`]), and resolved ([`settings`]).

pub mod checker;
pub mod options;
pub mod parse;
pub mod settings;

use std::path::Path;

use fleet::problem::{Problem, Severity};

use self::{
    checker::{Checker, Environment},
    settings::Settings,
};

/// A configuration file read: settings if it has no error, and all problems in the order of the file.
#[derive(Debug)]
pub struct Loaded {
    /// The settings, absent if there is an error.
    pub settings: Option<Settings>,
    /// All problems.
    pub problems: Vec<Problem>,
}

/// Reads and checks the file at `path`. Opens no socket and writes nothing.
#[must_use]
pub fn load(path: &Path, environment: Environment<'_>) -> Loaded {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => from_text(&name, &text, path.parent().unwrap_or(Path::new(".")), environment),
        Err(error) => {
            let message = format!("cannot be read: {error}");
            Loaded { settings: None, problems: vec![Problem::error_at(&name, "", 0, "", message)] }
        }
    }
}

/// As [`load`], from a text; relative paths are relative to `folder`.
#[must_use]
pub fn from_text(name: &str, text: &str, folder: &Path, environment: Environment<'_>) -> Loaded {
    let (options, mut problems) = parse::parse(name, text);
    let settings = options.map(|options| {
        let mut check = Checker::new(name, text, folder, environment);
        let settings = settings::resolve(options, &mut check);
        problems.append(&mut check.problems);
        settings
    });
    problems.sort_by_key(|problem| (problem.line, problem.column));
    let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    Loaded { settings: settings.filter(|_| !refused), problems }
}

#[cfg(test)]
mod tests;
