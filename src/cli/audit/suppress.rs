//! `fleetward audit suppress`

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, bail};

use super::arguments::SuppressArguments;
use super::saved;
use crate::audit::report::rows;
use crate::audit::suppressions::{Entry, File, add, parse, write, written};
use crate::cli::{Exit, output};

pub(super) fn run(arguments: &SuppressArguments, now: i64) -> anyhow::Result<Exit> {
    let report = saved(&arguments.report)?;
    if arguments.until.is_some_and(|until| until <= now) {
        bail!("--until is in the past: such a suppression would not hold at all");
    }
    let rows = rows(&report.checks);
    let mut entries = Vec::new();
    for id in &arguments.ids {
        let Some(row) = rows.iter().find(|row| row.id == *id) else {
            bail!("`{}` has no finding `{id}`; its ids are in the column ID", arguments.report.display());
        };
        entries.push(Entry {
            check_name: row.finding.check.clone().into_owned(),
            resource_identifier: row.finding.resource.identifier_json(),
            expiration_date: arguments.until.map(written),
            suppress_indefinitely: arguments.indefinitely,
            description: arguments.reason.clone(),
        });
    }
    let mut file = read(arguments)?;
    let told: Vec<String> =
        entries.iter().map(|entry| format!("{} {}", entry.check_name, entry.resource_identifier)).collect();
    let count = add(&mut file, entries).map_err(|(member, wrong)| anyhow::anyhow!("{member}: {wrong}"))?;
    write(&arguments.file, &file).with_context(|| format!("`{}`", arguments.file.display()))?;
    let until =
        arguments.until.map_or_else(|| "for ever".into(), |until| format!("until {}", written(until)));
    told.iter()
        .try_for_each(|one| output::line(&output::printable(&format!("suppressed {until}: {one}"))))?;
    output::line(&format!("{}: {count} suppressions", arguments.file.display()))?;
    Ok(Exit::Done)
}

/// The file as it is; an empty one if there is none.
fn read(arguments: &SuppressArguments) -> anyhow::Result<File> {
    let path = &arguments.file;
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(error).with_context(|| format!("`{}`", path.display())),
    };
    parse(&path.display().to_string(), &text).map(|(file, _)| file).map_err(|problems| {
        problems.iter().for_each(|one| output::complain(&output::printable(&one.to_string())));
        anyhow::anyhow!("`{}` is not changed, see above", path.display())
    })
}
