//! `fleetward suggest`: a security profile from what devices did, or from a MUD file.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail};
use behaviors::profile::mud::{self, Addresses};
use brokers::recorded::RecordedDecoder;
use detector::{change::Rules, engine::Engine, front::Decoders, input::Format};
use fleet::{metric::AwsMetric, problem::Severity, registry::Registry};
use serde_json::{Value, json};

use super::{Exit, arguments::SuggestArguments, output, past, replay};
use crate::{
    files,
    replay::{
        fold::{Changes, Fold},
        records::{Recorded, Records},
        start::{Blank, Since},
    },
    serve,
    suggest::{
        learn::{Learner, Learnt},
        profile,
    },
};

/// Inputs that cannot be read are told for so many.
const TOLD_MAX: u64 = 20;

/// Learns or translates, and writes the profile and its report.
///
/// # Errors
/// When the past cannot be read or the output fails.
pub fn run(arguments: &SuggestArguments) -> anyhow::Result<Exit> {
    if let Some(path) = &arguments.from_mud {
        return from_mud(arguments, path);
    }
    let Some(learnt) = learn(arguments)? else { return Ok(Exit::BadConfiguration) };
    if learnt.numbers.is_empty() && learnt.lists.is_empty() {
        bail!("nothing was learnt: no device had a datapoint in the range, or all were in alarm");
    }
    let name = arguments.name.clone().map_or_else(|| "suggested".to_owned(), String::from);
    let suggestion = profile::suggest(&learnt, &name, &targets(arguments), arguments.target);
    checked(&suggestion.profile)?;
    let report = if arguments.json {
        profile::report_json(&learnt, &suggestion, arguments.target).to_string()
    } else {
        profile::report_text(&learnt, &suggestion, arguments.target)
    };
    write(arguments, &suggestion.profile, &report)?;
    let nothing = suggestion.advice.iter().all(|advice| advice.criteria.is_none());
    Ok(if nothing { Exit::Findings } else { Exit::Done })
}

/// Whom the profile is for: the groups that were selected, else all things.
fn targets(arguments: &SuggestArguments) -> Vec<String> {
    let arn = |resource: &str| format!("arn:aws:iot:eu-central-1:123456789012:{resource}");
    if arguments.select.groups.is_empty() {
        return vec![arn("all/things")];
    }
    arguments.select.groups.iter().map(|group| arn(&format!("thinggroup/{group}"))).collect()
}

/// A profile of ours that our own reader refuses would be a bug; it must not reach anybody.
fn checked(profile: &Value) -> anyhow::Result<()> {
    let (_, problems) =
        behaviors::profile::parse_files(&[("the suggested profile".into(), profile.to_string())]);
    match problems.into_iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => bail!("{problem}"),
        None => Ok(()),
    }
}

/// The profile goes to the file, if one is named, and the report to standard output; else the
/// profile to standard output and the report to standard error.
fn write(arguments: &SuggestArguments, profile: &Value, report: &str) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(profile)?;
    match &arguments.out {
        Some(path) => {
            fs::write(path, text + "\n").with_context(|| format!("cannot write `{}`", path.display()))?;
            output::line(report)?;
        }
        None => {
            output::line(&text)?;
            output::complain(report);
        }
    }
    Ok(())
}

/// A profile that judges nothing and keeps every metric that is learnt.
fn probe(metrics: &[String]) -> (String, String) {
    let learnable =
        AwsMetric::ALL.into_iter().filter(|metric| !matches!(metric, AwsMetric::DisconnectDuration));
    let all: Vec<Value> = learnable
        .map(|metric| metric.name().to_owned())
        .chain(metrics.iter().cloned())
        .map(|metric| json!({"metric": metric}))
        .collect();
    let profile = json!({
        "securityProfileName": "fleetward-suggest-probe",
        "behaviors": [],
        "additionalMetricsToRetainV2": all,
        "fleetward": {"targets": ["arn:aws:iot:eu-central-1:123456789012:all/things"]},
    });
    ("metrics to learn".into(), profile.to_string())
}

fn learn(arguments: &SuggestArguments) -> anyhow::Result<Option<Learnt>> {
    let probe = probe(&arguments.metrics);
    let (_, problems) = behaviors::profile::parse_files(std::slice::from_ref(&probe));
    if let Some(problem) = problems.iter().find(|problem| problem.severity == Severity::Error) {
        output::complain(&output::printable(&problem.to_string()));
        return Ok(None);
    }
    let changes = Changes { also: vec![probe], collect: Some(arguments.window_secs), ..Changes::default() };
    let selection = replay::selection(&arguments.select, serve::now());
    let mut learner = Learner::new(selection.clone(), arguments.window_secs, arguments.with_alarms);
    let Some((mut fold, mut records)) = beginning(arguments, changes)? else { return Ok(None) };
    let mut told = 0;
    let mut complain = |message: &str| {
        told += 1;
        if told <= TOLD_MAX {
            output::complain(&output::printable(message));
        }
    };
    fold.run(&mut *records, &mut |registry, output| learner.take(registry, &output), &mut complain)?;
    records.gaps().iter().for_each(|gap| output::complain(gap));
    Ok(Some(learner.finish()))
}

type Beginning = (Fold, Box<dyn Records>);

fn beginning(arguments: &SuggestArguments, changes: Changes) -> anyhow::Result<Option<Beginning>> {
    if let Some(events) = &arguments.events {
        let mut problems = Vec::new();
        let registry = arguments
            .registry
            .as_deref()
            .map(|path| files::registry(path, &mut problems))
            .unwrap_or_default();
        problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
        if !problems.is_empty() {
            return Ok(None);
        }
        let profiles = match arguments.profiles.as_deref().map(replay::read_profiles) {
            None => Vec::new(),
            Some(Some(profiles)) => profiles,
            Some(None) => return Ok(None),
        };
        let decoders = Decoders::default().with(Format::Recorded, Box::new(RecordedDecoder::new()));
        let fold = Fold::new(Engine::new(decoders, 1, Vec::new()), changes);
        let fold = fold.with(&Rules { profiles, ..Rules::default() }, &registry);
        return Ok(Some((fold, Box::new(Recorded::open(events)?))));
    }
    let Some(place) = past::place(arguments.data.as_deref(), arguments.config.as_deref()) else {
        return Ok(None);
    };
    let from = replay::selection(&arguments.select, serve::now()).range.from;
    let (engine, records, since) = past::beginning(&place, from, Blank::Allowed)?;
    let mut fold = Fold::new(engine, changes);
    if !fold.engine().front().is_configured() && matches!(since, Since::Nothing(_)) {
        fold = fold.with(&Rules::default(), &Registry::default());
    }
    Ok(Some((fold, records)))
}

fn from_mud(arguments: &SuggestArguments, path: &Path) -> anyhow::Result<Exit> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut addresses: Addresses = BTreeMap::new();
    for (name, network) in &arguments.addresses {
        addresses.entry(name.clone()).or_default().push(*network);
    }
    let (description, problems) = mud::read(&path.display().to_string(), &text, &addresses);
    problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
    let Some(description) = description else { return Ok(Exit::BadConfiguration) };
    if let Some(name) = addresses.keys().find(|name| !description.names.contains(*name)) {
        let known: Vec<String> = description.names.iter().map(|name| format!("`{name}`")).collect();
        output::complain(&format!(
            "--address: the file names no `{}`; it names {}",
            output::printable(name),
            if known.is_empty() { "nothing".into() } else { known.join(", ") }
        ));
        return Ok(Exit::BadConfiguration);
    }
    let name = arguments.name.clone().map_or_else(|| description.profile_name(), String::from);
    let profile = description.profile(&name, &targets(arguments));
    checked(&profile)?;
    let empty = profile.get("behaviors").and_then(Value::as_array).is_none_or(Vec::is_empty);
    write(arguments, &profile, &mud_report(&description, arguments.json))?;
    Ok(if empty || !description.unknown_names.is_empty() { Exit::Findings } else { Exit::Done })
}

fn mud_report(description: &mud::Description, as_json: bool) -> String {
    if as_json {
        return json!({
            "mudUrl": description.url,
            "leftOut": description.left_out,
            "unknownNames": description.unknown_names,
        })
        .to_string();
    }
    let mut lines = vec![format!("{}: what the profile does not express", description.url)];
    lines.extend(description.left_out.iter().map(|line| format!("  {line}")));
    if description.left_out.is_empty() {
        lines.push("  nothing".into());
    }
    for name in &description.unknown_names {
        lines.push(format!(
            "the addresses of `{name}` are not known, so no behavior restricts peers; give them with --address '{name}=NETWORK'"
        ));
    }
    lines.iter().map(|line| output::printable(line)).collect::<Vec<_>>().join("\n")
}
