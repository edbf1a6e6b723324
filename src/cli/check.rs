//! `fleetward check`: everything that can be wrong in what a person wrote, without starting anything.

use std::path::Path;

use fleet::problem::{Problem, Severity, line_column};

use super::{Exit, output};
use crate::{
    config::{self, checker::Environment, checker::locate, settings::Settings},
    files::{self, Definitions},
};

/// A configuration with all that it names.
#[derive(Debug)]
pub struct Checked {
    /// Settings and definitions, absent if there is any error.
    pub usable: Option<(Settings, Definitions)>,
    /// All problems: the configuration's first, then those of the files.
    pub problems: Vec<Problem>,
}

/// Reads the configuration at `path` and all files that it names.
#[must_use]
pub fn read(path: &Path, environment: Environment<'_>) -> Checked {
    let loaded = config::load(path, environment);
    let mut problems = loaded.problems;
    let Some(settings) = loaded.settings else { return Checked { usable: None, problems } };
    let (definitions, found) = files::load(&settings);
    problems.extend(found.into_iter().map(|problem| placed(problem, path)));
    Checked { usable: definitions.map(|definitions| (settings, definitions)), problems }
}

/// Gives a problem that knows only its place in the configuration its file, line and column.
fn placed(problem: Problem, config: &Path) -> Problem {
    if !problem.file.is_empty() {
        return problem;
    }
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let (line, column) = line_column(&text, locate(&text, &problem.place));
    Problem { file: config.display().to_string(), line, column, ..problem }
}

/// Prints all problems and a last line that sums them up.
///
/// # Errors
/// When standard output fails.
pub fn run(path: &Path, strict: bool, environment: Environment<'_>) -> std::io::Result<Exit> {
    let checked = read(path, environment);
    for problem in &checked.problems {
        output::line(&output::printable(&problem.to_string()))?;
    }
    let count = |severity| checked.problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let Some((settings, definitions)) = checked.usable else {
        output::line(&format!("{errors} errors, {warnings} warnings; `serve` would refuse to start"))?;
        return Ok(Exit::BadConfiguration);
    };
    output::line(&format!(
        "ok: {} sources, {} profiles, {} actions, {} things, {} alert sinks; {warnings} warnings",
        settings.mqtt.len() + settings.mosquitto_log.len(),
        definitions.profiles.len(),
        definitions.actions.len(),
        definitions.registry.things.len(),
        settings.sinks.len(),
    ))?;
    Ok(if strict && warnings > 0 { Exit::Findings } else { Exit::Done })
}
