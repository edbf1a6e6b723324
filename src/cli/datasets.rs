//! `fleetward datasets`: the public data sets that the engine is tried on.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use datasets::{
    catalogue::{DataSet, SETS},
    folder::{DatasetError, Folder},
    recording::{Capture, Recording, captures},
};
use fleet::problem::nearest;
use serde_json::{Value, json};

use super::{
    Exit,
    arguments::{ConvertArguments, DatasetsArguments, DatasetsCommand, DescribeArguments, ListSetsArguments},
    output,
};
use crate::stories::tape::Tape;

/// Where the data sets are, if the command line does not say.
const VARIABLE: &str = "FLEETWARD_DATASETS";

/// Runs the command.
///
/// # Errors
/// When a set or file cannot be read, or standard output fails.
pub fn run(
    arguments: &DatasetsArguments,
    environment: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Exit> {
    let folder = || folder(arguments.datasets.as_deref(), environment);
    match &arguments.command {
        DatasetsCommand::List(list) => print_list(list),
        DatasetsCommand::Describe(describe) => print_description(describe, &folder()?),
        DatasetsCommand::Convert(convert) => self::convert(convert, &folder()?),
    }
}

/// The folder that the command line or the environment names.
///
/// # Errors
/// When neither does.
pub(super) fn folder(
    named: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Folder> {
    let path = named.map(Path::to_owned).or_else(|| environment(VARIABLE).map(Into::into));
    let Some(path) = path else {
        bail!("no folder of data sets: neither --datasets DIR nor {VARIABLE} is given");
    };
    if !path.is_dir() {
        bail!("`{}` is no folder; expected is one with a folder for each data set", path.display());
    }
    Ok(Folder::new(path))
}

fn print_list(arguments: &ListSetsArguments) -> anyhow::Result<Exit> {
    if arguments.json {
        let sets: Vec<Value> = SETS.iter().map(entry).collect();
        output::line(&serde_json::to_string_pretty(&sets)?)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = SETS
        .iter()
        .map(|set| {
            let bytes: u64 = set.files().map(|file| file.bytes).sum();
            vec![
                set.name.to_owned(),
                set.purpose.name().to_owned(),
                set.files().count().to_string(),
                format!("{:.2}", bytes as f64 / 1e6),
                set.title.to_owned(),
            ]
        })
        .collect();
    output::line(&output::table(&["NAME", "AS", "FILES", "MB", "WHAT"], &rows))?;
    Ok(Exit::Done)
}

fn entry(set: &DataSet) -> Value {
    json!({
        "name": set.name,
        "title": set.title,
        "source": set.source,
        "licence": set.licence,
        "columns": set.columns,
        "labels": set.labels,
        "split": set.split,
        "as": set.purpose.name(),
        "captures": captures(set.name).map(|capture| capture.name).collect::<Vec<_>>(),
        "files": set.files().map(|file| json!({
            "name": file.name, "bytes": file.bytes, "sha256": file.sha256,
        })).collect::<Vec<_>>(),
    })
}

fn print_description(arguments: &DescribeArguments, folder: &Folder) -> anyhow::Result<Exit> {
    let set = set_named(&arguments.name)?;
    let checked: Vec<Result<(), DatasetError>> = set.files().map(|file| folder.verify(set, &file)).collect();
    let is_whole = checked.iter().all(Result::is_ok);
    if arguments.json {
        let problems: Vec<String> =
            checked.iter().filter_map(|it| Some(it.as_ref().err()?.to_string())).collect();
        let value = json!({ "set": entry(set), "problems": problems });
        output::line(&serde_json::to_string_pretty(&value)?)?;
        return Ok(if is_whole { Exit::Done } else { Exit::Findings });
    }
    let lines = [
        ("name", set.name),
        ("what", set.title),
        ("source", set.source),
        ("licence", set.licence),
        ("files", set.columns),
        ("labels", set.labels),
        ("this part", set.split),
        ("used as", set.purpose.name()),
    ];
    for (name, text) in lines {
        output::line(&format!("{name:<10} {text}"))?;
    }
    let names: Vec<&str> = captures(set.name).map(|capture| capture.name).collect();
    if !names.is_empty() {
        output::line(&format!("{:<10} {}", "captures", names.join(", ")))?;
    }
    output::line("")?;
    let rows: Vec<Vec<String>> = set
        .files()
        .zip(&checked)
        .map(|(file, checked)| {
            let state = match checked {
                Ok(()) => "ok",
                Err(DatasetError::Missing { .. }) => "missing",
                Err(_) => "damaged",
            };
            vec![file.name.to_owned(), file.bytes.to_string(), file.sha256.to_owned(), state.to_owned()]
        })
        .collect();
    output::line(&output::table(&["FILE", "BYTES", "SHA-256", "CHECK"], &rows))?;
    checked.iter().filter_map(|it| it.as_ref().err()).for_each(|error| output::complain(&error.to_string()));
    Ok(if is_whole { Exit::Done } else { Exit::Findings })
}

fn convert(arguments: &ConvertArguments, folder: &Folder) -> anyhow::Result<Exit> {
    let capture = capture_named(&arguments.name)?;
    let recording = Recording::open(folder, capture)?;
    let tape = Tape::record(&recording);
    if arguments.to == Path::new("-") {
        output::bytes(tape.bytes())?;
    } else {
        fs::write(&arguments.to, tape.bytes())
            .with_context(|| format!("cannot write `{}`", arguments.to.display()))?;
    }
    let refused = match tape.refused() {
        0 => String::new(),
        count => format!(", {count} lines refused"),
    };
    output::complain(&format!(
        "{}/{}: {} events of {} devices{refused}",
        capture.set,
        capture.name,
        tape.len(),
        tape.things().len()
    ));
    for truth in &recording.truths {
        output::complain(&format!("  {} to {}: {}", truth.from, truth.to, output::printable(&truth.kind)));
    }
    Ok(Exit::Done)
}

fn set_named(name: &str) -> anyhow::Result<&'static DataSet> {
    let Some(set) = DataSet::named(name) else {
        let hint = nearest(name, SETS.iter().map(|set| set.name));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        bail!("there is no data set `{name}`{hint}; see `fleetward datasets list`");
    };
    Ok(set)
}

/// `SET/CAPTURE`, or `SET` if it has one capture.
fn capture_named(name: &str) -> anyhow::Result<&'static Capture> {
    let (set, wanted) = name.split_once('/').map_or((name, None), |(set, capture)| (set, Some(capture)));
    let set = set_named(set)?;
    let all: Vec<&Capture> = captures(set.name).collect();
    let found = match wanted {
        Some(wanted) => all.iter().find(|capture| capture.name == wanted),
        None => all.first().filter(|_| all.len() == 1),
    };
    if let Some(capture) = found {
        return Ok(capture);
    }
    let names: Vec<String> = all.iter().map(|capture| format!("{}/{}", capture.set, capture.name)).collect();
    if names.is_empty() {
        bail!("`{}` is no set of events ({})", set.name, set.purpose.name());
    }
    bail!("found `{name}`; allowed are {}", names.join(", "));
}
