//! One run over the fleet.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::pool::{Ended, Progress, Task, execute};
use super::{certificates, data, deployments, identities, policies, view::Fleet};
use crate::catalogue::checks;
use crate::certificate::finding::Findings;
use crate::certificate::parameters::Parameters;
use crate::finding::Finding;
use crate::run::outcome::{CheckOutcome, Statistics, Status, Tally};
use crate::run::suppression::InForce;

/// Things that somebody may reach besides itself before it is told, unless set.
const BLAST_RADIUS_MAX: usize = 1;

/// What is checked, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of the checks that run; `None`: those that are on unless switched off.
    pub checks: Option<Vec<String>>,
    /// Parameters of the certificate checks.
    pub parameters: Parameters,
    /// `BLAST_RADIUS_THINGS_MAX`.
    pub blast_radius_max: usize,
    /// Suppressions that hold.
    pub in_force: InForce,
    /// Threads.
    pub threads: NonZeroUsize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checks: None,
            parameters: Parameters::default(),
            blast_radius_max: BLAST_RADIUS_MAX,
            in_force: InForce::default(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// How the caller follows a run and stops it.
#[derive(Clone, Copy)]
pub struct Control<'c> {
    /// Set it to stop: what has not begun is canceled.
    pub cancel: &'c AtomicBool,
    /// Called after each task, from any thread.
    pub progress: &'c (dyn Fn(Progress) + Sync),
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("cancel", self.cancel).finish_non_exhaustive()
    }
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Seconds since 1970, as the fleet has it.
    pub task_start_time: i64,
    /// `taskStatistics`.
    pub task_statistics: Statistics,
    /// The checks in the order of the catalogue.
    pub checks: Vec<CheckOutcome>,
}

/// What a task found about one check.
#[derive(Debug)]
pub(super) struct Part<'f> {
    pub(super) check: &'static str,
    pub(super) examined: u64,
    pub(super) found: Found<'f>,
}

/// Findings as they are, or as certificate checks keep them until they are told.
#[derive(Debug)]
pub(super) enum Found<'f> {
    Whole(Vec<Finding>),
    Hits(std::sync::Arc<(Findings, certificates::Slice<'f>)>),
}

/// What a task may look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'f> {
    pub(super) fleet: &'f Fleet,
    pub(super) options: &'f Options,
    pub(super) chosen: &'f Chosen,
}

/// The checks that run and have data, and why others have not.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Every check of the run, in the order of the catalogue, with the reason if it has no data.
    all: Vec<(&'static str, Option<String>)>,
}

impl Chosen {
    pub(super) fn has(&self, check: &str) -> bool {
        self.all.iter().any(|(name, missing)| *name == check && missing.is_none())
    }
}

impl Scope<'_> {
    /// Whether a check runs and has data.
    pub(super) fn runs(&self, check: &str) -> bool {
        self.chosen.has(check)
    }
}

/// A task with the checks that it is part of.
pub(super) struct Step<'f> {
    pub(super) checks: Vec<&'static str>,
    pub(super) task: Task<'f, Vec<Part<'f>>>,
}

impl<'f> Step<'f> {
    pub(super) fn new(
        what: &'static str,
        checks: Vec<&'static str>,
        work: impl FnOnce() -> Vec<Part<'f>> + Send + 'f,
    ) -> Self {
        Self { checks, task: Task { what, work: Box::new(work) } }
    }
}

/// Runs the chosen checks over the fleet.
#[must_use]
pub fn run(fleet: &Fleet, options: &Options, control: Control<'_>) -> Run {
    let chosen = choose(fleet, options);
    let scope = Scope { fleet, options, chosen: &chosen };
    let mut steps = certificates::steps(scope);
    steps.extend(policies::steps(scope));
    steps.extend(deployments::steps(scope));
    steps.extend(identities::steps(scope));
    steps.retain(|step| step.checks.iter().any(|check| scope.runs(check)));
    let (mut of, mut tasks) = (Vec::new(), Vec::new());
    for step in steps {
        of.push(step.checks);
        tasks.push(step.task);
    }
    let ended = execute(tasks, options.threads, control.cancel, control.progress);
    let checks = gather(scope, &of, ended);
    Run { task_start_time: fleet.now, task_statistics: Statistics::of(&checks), checks }
}

fn choose(fleet: &Fleet, options: &Options) -> Chosen {
    let mut chosen = Chosen::default();
    for info in checks() {
        let runs = match &options.checks {
            Some(names) => names.iter().any(|name| *name == info.name),
            None => info.default_on,
        };
        // Custom checks have names of their own and are run by their own engine.
        if let (true, std::borrow::Cow::Borrowed(name)) = (runs, &info.name) {
            chosen.all.push((name, data::missing(fleet, options, name)));
        }
    }
    chosen
}

/// Puts the parts of each check together, in the order of the tasks.
fn gather(scope: Scope<'_>, of: &[Vec<&'static str>], ended: Vec<Ended<Vec<Part<'_>>>>) -> Vec<CheckOutcome> {
    let mut parts: BTreeMap<&str, Vec<Part<'_>>> = BTreeMap::new();
    let mut broken: BTreeMap<&str, (Status, Option<String>)> = BTreeMap::new();
    for (checks, ended) in of.iter().zip(ended) {
        match ended {
            Ended::Done(done) => done.into_iter().for_each(|part| {
                parts.entry(part.check).or_default().push(part);
            }),
            Ended::Canceled => {
                for check in checks {
                    broken.entry(check).or_insert((Status::Canceled, None));
                }
            }
            Ended::Failed(why) => {
                for check in checks {
                    broken.insert(check, (Status::Failed, Some(why.clone())));
                }
            }
        }
    }
    let outcome = |(check, missing): &(&'static str, Option<String>)| {
        let mut tally = Tally::new(*check, &scope.options.in_force);
        if let Some(why) = missing {
            return tally.ended(Status::WaitingForDataCollection, Some(why.clone()));
        }
        if let Some((status, why)) = broken.remove(check) {
            return tally.ended(status, why);
        }
        let mut examined = 0;
        for part in parts.remove(check).unwrap_or_default() {
            examined += part.examined;
            match part.found {
                Found::Whole(findings) => findings.into_iter().for_each(|finding| tally.add(finding)),
                Found::Hits(hits) => {
                    let (findings, slice) = &*hits;
                    slice.each(findings, check, |finding| tally.add(finding));
                }
            }
        }
        tally.done(examined, data::remark(scope.fleet, scope.options, check))
    };
    scope.chosen.all.iter().map(outcome).collect()
}
