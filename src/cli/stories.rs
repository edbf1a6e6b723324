//! `fleetward stories`: attacks of the public captures against the profiles.

use anyhow::Context as _;
use behaviors::profile;
use fleet::problem::{Problem, Severity};

use super::{Exit, arguments::StoriesArguments, datasets::folder, output};
use crate::{
    files,
    stories::{self, SHIPPED},
};

/// Runs all stories and prints them.
///
/// # Errors
/// When a data set cannot be read or standard output fails.
pub fn run(
    arguments: &StoriesArguments,
    environment: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Exit> {
    let mut problems: Vec<Problem> = Vec::new();
    let profiles = match &arguments.profiles {
        Some(folder) => files::texts(folder, &mut problems),
        None => SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
    };
    let (_, mut found) = profile::parse_files(&profiles);
    problems.append(&mut found);
    for problem in &problems {
        output::complain(&output::printable(&problem.to_string()));
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Ok(Exit::BadConfiguration);
    }
    let folder = folder(arguments.datasets.as_deref(), environment)?;
    let stories = stories::run(&folder, &profiles).context("cannot read the data sets")?;
    if arguments.json {
        output::line(&serde_json::to_string_pretty(&stories)?)?;
    } else {
        output::line(stories::render(&stories).trim_end())?;
    }
    Ok(Exit::Done)
}
