//! `fleetward audit run --offline`

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, bail};
use audits::catalogue::checks;
use audits::certificate::check::CheckId;
use audits::certificate::lists::{ListKind, WeakKeys};
use audits::engine::{Control, Options, run as run_engine};
use audits::run::outcome::Status;
use audits::run::suppression::{InForce, Lifetime};
use fleet::problem::{Problem, nearest};

use super::arguments::{Format, RunArguments};
use super::progress::Bar;
use super::{html, sarif, table};
use crate::audit::folder::{self, Reading};
use crate::audit::report::Report;
use crate::audit::{facts, suppressions};
use crate::cli::{Exit, output};
use crate::files::text_at_most;

/// The check whose parameter the engine holds itself.
const RADIUS: (&str, &str) = ("BLAST_RADIUS_CHECK", "BLAST_RADIUS_THINGS_MAX");
/// Largest file that the command line may name (8,000,000 keys of 64 digits).
const TEXT_BYTES_MAX: u64 = 1 << 30;
/// Largest value of it.
const RADIUS_MAX: usize = 10_000_000;

pub(super) fn run(arguments: &RunArguments, now: i64) -> anyhow::Result<Exit> {
    let now = arguments.now.unwrap_or(now);
    let (options, expired) = options(arguments, now)?;
    let bar = Bar::new();
    let done = audit(arguments, now, &options, &bar);
    bar.clear();
    let Some(mut report) = done? else { return Ok(Exit::AuditFailed) };
    report.expired = expired;
    write(arguments, &report)?;
    Ok(verdict(arguments, &report))
}

/// Reads the folder and runs the checks; nothing if a file that was given has problems, which are told.
fn audit(arguments: &RunArguments, now: i64, options: &Options, bar: &Bar) -> anyhow::Result<Option<Report>> {
    let root = &arguments.offline;
    let how = folder::Options { now, with_modes: arguments.file_modes };
    let mut reading = folder::read(root, how, &mut |done, of| bar.draw("files", done, of))
        .with_context(|| format!("`{}`", root.display()))?;
    reading.fleet.certificates.weak_keys = weak_keys(arguments)?;
    if let Some(path) = &arguments.facts {
        let text = text(path)?;
        if let Err(problems) = facts::add(&path.display().to_string(), &text, &mut reading.fleet) {
            bar.clear();
            return Ok(complain(&problems));
        }
    }
    if is_nothing(&reading) {
        let left = reading.left_out.count();
        bail!(
            "`{}` holds nothing to audit: {} files, {left} not looked at; expected certificates, CRLs, policies or a broker's files",
            root.display(),
            reading.files
        );
    }
    let control =
        Control { cancel: &AtomicBool::new(false), progress: &|at| bar.draw(at.what, at.done, at.of) };
    let run = run_engine(&reading.fleet, options, control);
    let fleet = std::mem::take(&mut reading.fleet);
    let others = [fleet.policies.len(), fleet.access.len(), fleet.deployments.len()];
    let (target, base) = (root.display().to_string(), base(root));
    Ok(Some(Report { target, base, run, reading, others, expired: 0 }))
}

/// The folder itself, or that of a single file.
fn base(root: &Path) -> String {
    let folder = if root.is_file() { root.parent().unwrap_or(root) } else { root };
    if folder.as_os_str().is_empty() { ".".into() } else { folder.display().to_string() }
}

fn is_nothing(reading: &Reading) -> bool {
    let fleet = &reading.fleet;
    reading.certificates + reading.lists == 0
        && fleet.certificates.unreadable.is_empty()
        && fleet.policies.is_empty()
        && fleet.access.is_empty()
        && fleet.deployments.is_empty()
}

fn complain<T>(problems: &[Problem]) -> Option<T> {
    problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
    None
}

fn text(path: &Path) -> anyhow::Result<String> {
    text_at_most(path, TEXT_BYTES_MAX).with_context(|| format!("`{}`", path.display()))
}

/// The engine's options, and how many suppressions no longer hold.
fn options(arguments: &RunArguments, now: i64) -> anyhow::Result<(Options, usize)> {
    let mut options = Options::default();
    if !arguments.checks.is_empty() {
        arguments.checks.iter().try_for_each(|name| known(name))?;
        options.checks = Some(arguments.checks.clone());
    }
    for parameter in &arguments.parameters {
        set(parameter, &mut options)?;
    }
    let mut expired = 0;
    if let Some(path) = &arguments.suppressions {
        match suppressions::parse(&path.display().to_string(), &text(path)?) {
            Ok((_, all)) => {
                let is_over = |lifetime| matches!(lifetime, Lifetime::Until(end) if end <= now);
                expired = all.iter().filter(|one| is_over(one.lifetime)).count();
                options.in_force = InForce::new(&all, now);
            }
            Err(problems) => {
                complain::<()>(&problems);
                bail!("`{}` is not used, see above", path.display());
            }
        }
    }
    Ok((options, expired))
}

/// Refuses a name that no check has.
pub(super) fn known(name: &str) -> anyhow::Result<()> {
    let all = checks();
    if all.iter().any(|info| info.name == name) {
        return Ok(());
    }
    let near = nearest(name, all.iter().map(|info| &*info.name));
    let hint =
        near.map_or_else(|| "; `audit list` names them".into(), |near| format!("; did you mean `{near}`?"));
    bail!("there is no check `{name}`{hint}")
}

/// `CHECK:NAME=VALUE`
fn set(parameter: &str, options: &mut Options) -> anyhow::Result<()> {
    let parts = parameter.split_once(':').and_then(|(check, rest)| Some((check, rest.split_once('=')?)));
    let Some((check, (name, value))) = parts else {
        bail!("found `{parameter}`; expected CHECK:NAME=VALUE, such as {}:{}=10", RADIUS.0, RADIUS.1);
    };
    known(check)?;
    if (check, name) == RADIUS {
        let number = value.parse().ok().filter(|number| *number <= RADIUS_MAX);
        let number = number.with_context(|| {
            format!("`{name}` is `{value}`; expected a whole number from 0 to {RADIUS_MAX}")
        })?;
        options.blast_radius_max = number;
        return Ok(());
    }
    let Some(id) = CheckId::from_name(check) else { bail!("`{check}` has no parameter `{name}`") };
    options.parameters.set(id, name, value).map_err(|error| anyhow::anyhow!("{check}: {error}"))
}

fn weak_keys(arguments: &RunArguments) -> anyhow::Result<WeakKeys> {
    let mut keys = WeakKeys::default();
    let lists = [(ListKind::Debian, &arguments.debian_keys), (ListKind::Public, &arguments.public_keys)];
    for (kind, paths) in lists {
        for path in paths {
            let text = text(path)?;
            keys.add(kind, &text).map_err(|bad| anyhow::anyhow!("`{}`: {bad}", path.display()))?;
        }
    }
    Ok(keys)
}

fn write(arguments: &RunArguments, report: &Report) -> anyhow::Result<()> {
    let text = match arguments.format {
        Format::Table => table::table(report, arguments.verbose),
        Format::Json => serde_json::to_string_pretty(&report.json()?)? + "\n",
        Format::Sarif => serde_json::to_string_pretty(&sarif::sarif(report))? + "\n",
        Format::Html => html::page(report),
    };
    match &arguments.output {
        Some(path) => fs::write(path, text).with_context(|| format!("`{}`", path.display())),
        None => Ok(output::bytes(text.as_bytes())?),
    }
}

/// A check that could not run is an error, since nobody knows what it would have found.
fn verdict(arguments: &RunArguments, report: &Report) -> Exit {
    let failed = |status| matches!(status, Status::Failed | Status::Canceled);
    if report.run.checks.iter().any(|check| failed(check.check_run_status)) {
        return Exit::AuditFailed;
    }
    let counts = |row: &crate::audit::report::Row<'_>| {
        !row.is_suppressed && row.finding.severity <= arguments.severity
    };
    if report.rows().iter().any(counts) { Exit::Noncompliant } else { Exit::Done }
}
