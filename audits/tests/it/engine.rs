//! The engine: which checks there are, what they find in one small fleet, what they say without data.

mod fixture;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use audits::catalogue::{Basis, checks};
use audits::engine::{Control, Fleet, Options, Run, run};
use audits::finding::ResourceRef;
use audits::run::outcome::Status;
use audits::run::suppression::{InForce, Lifetime, Suppression};

use crate::broker::check_file;
use crate::data_set;

fn with(fleet: &Fleet, options: &Options) -> Run {
    run(fleet, options, Control { cancel: &AtomicBool::new(false), progress: &|_| {} })
}

/// Options that run everything on `threads` threads.
fn everything(threads: usize) -> Options {
    let mut options = Options { threads: NonZeroUsize::new(threads).unwrap(), ..Options::default() };
    options.checks = Some(checks().into_iter().map(|info| info.name.into_owned()).collect());
    options
}

/// A line for each check with its status and counts, and one for each finding.
fn told(run: &Run) -> String {
    let mut text = String::new();
    for check in &run.checks {
        let (total, wrong) = (check.total_resources_count, check.non_compliant_resources_count);
        write!(text, "{} {:?} {wrong}/{total}", check.check_name, check.check_run_status).unwrap();
        writeln!(text, "{}", check.message.as_ref().map_or(String::new(), |why| format!(": {why}"))).unwrap();
        for judged in &check.findings {
            let finding = &judged.finding;
            let place = finding.place.as_ref().map_or("-".to_owned(), ToString::to_string);
            let related: Vec<String> = finding.related.iter().map(ToString::to_string).collect();
            let related =
                if related.is_empty() { String::new() } else { format!(" <- {}", related.join("; ")) };
            writeln!(
                text,
                "  {place} {} {}: {}{related}",
                finding.severity.name(),
                finding.code,
                finding.reason
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn every_check_of_aws_is_there_with_its_severity_and_codes() {
    let sheet = std::fs::read_to_string(data_set("../spec").join("device-defender-audit.md")).unwrap();
    let table = sheet.split("## 1. All 17 checks").nth(1).unwrap().split("\n## 2").next().unwrap();
    let catalogue: BTreeMap<_, _> = checks().into_iter().map(|info| (info.name.clone(), info)).collect();
    let mut seen = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && line.contains("_CHECK` |")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, severity) = (cells[2].trim_matches('`'), cells[3]);
        let info =
            catalogue.get(name).unwrap_or_else(|| panic!("`{name}` of the sheet is not in the catalogue"));
        assert_eq!((info.severity.name(), info.basis), (severity, Basis::Aws), "{name}");
        let codes: Vec<&str> = info.codes.iter().map(|code| &*code.code).collect();
        for code in cells[5].split('`').filter(|part| part.contains('_') && !part.contains(' ')) {
            assert!(codes.contains(&code), "{name}: {code} is not among {codes:?}");
        }
        seen += 1;
    }
    assert_eq!(seen, 17, "{table}");
    assert_eq!(catalogue.values().filter(|info| info.basis == Basis::Aws).count(), 17);
}

#[test]
fn names_are_there_once_and_every_text_says_something() {
    let all = checks();
    let mut names: Vec<&str> = all.iter().map(|info| &*info.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    for info in &all {
        for text in [&info.notices, &info.why, &info.remedy, &info.references] {
            assert!(!text.is_empty(), "{}", info.name);
        }
        assert!(!info.codes.is_empty(), "{}", info.name);
    }
}

#[test]
fn page_of_the_checks_of_policies_and_identities() {
    let mut page = String::from(
        "# Checks of policies, access lists and identities\n\n\
         Made from the table in `audits/src/engine/entries.rs` by a test. Names, severities and reason codes of the\n\
         checks marked AWS are those of AWS IoT Device Defender.\n",
    );
    let mut theirs = checks();
    theirs.retain(|info| {
        let others = audits::broker::RULES.iter().any(|rule| rule.name == info.name);
        !others && audits::certificate::check::CheckId::from_name(&info.name).is_none()
    });
    for info in theirs {
        let basis = if info.basis == Basis::Aws { "AWS" } else { "ours" };
        writeln!(page, "\n## {}\n\n{:?}, {basis}.\n", info.name, info.severity).unwrap();
        writeln!(page, "*What it notices.* {}\n", info.notices).unwrap();
        writeln!(page, "*Why it matters.* {}\n", info.why).unwrap();
        writeln!(page, "*What to do.* {}.\n", info.remedy).unwrap();
        writeln!(page, "| reason code | finding |\n|---|---|").unwrap();
        info.codes.iter().for_each(|code| writeln!(page, "| `{}` | {} |", code.code, code.text).unwrap());
        for parameter in &info.parameters {
            let (name, default, allowed) = (&parameter.name, &parameter.default, &parameter.allowed);
            writeln!(page, "\nParameter `{name}`: {default} unless set; allowed is {allowed}.").unwrap();
        }
        writeln!(page, "\n*References.* {}", info.references).unwrap();
    }
    check_file("../docs/policy-checks.md", &page);
}

#[test]
fn a_small_fleet_with_something_of_everything() {
    let fleet = fixture::fleet();
    let one = with(&fleet, &everything(1));
    assert_eq!(with(&fleet, &everything(4)), one, "the number of threads changes nothing");
    let wrong = one.checks.iter().filter(|check| check.check_run_status == Status::Failed);
    assert_eq!(wrong.count(), 0);
    check_file("tests/it/engine/findings.txt", &told(&one));
    let text = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), one);
}

#[test]
fn without_data_every_check_says_what_it_misses() {
    let run = with(&Fleet::default(), &everything(2));
    assert_eq!(run.checks.len(), checks().len());
    for check in &run.checks {
        assert_eq!(check.check_run_status, Status::WaitingForDataCollection, "{}", check.check_name);
        assert!(check.message.as_ref().is_some_and(|why| !why.is_empty()), "{}", check.check_name);
    }
    check_file("tests/it/engine/no_data.txt", &told(&run));
}

#[test]
fn only_the_checks_that_were_chosen_run() {
    let fleet = fixture::fleet();
    let mut options = Options::default();
    let off: Vec<_> = checks().into_iter().filter(|info| !info.default_on).map(|info| info.name).collect();
    let names: Vec<String> =
        with(&fleet, &options).checks.into_iter().map(|check| check.check_name).collect();
    assert_eq!(names.len() + off.len(), checks().len());
    assert!(off.iter().all(|name| !names.contains(&name.clone().into_owned())), "{off:?}");
    let whole = with(&fleet, &everything(1));
    for check in whole.checks {
        options.checks = Some(vec![check.check_name.clone()]);
        assert_eq!(with(&fleet, &options).checks, [check]);
    }
}

#[test]
fn a_run_that_is_stopped_says_which_checks_it_did_not_come_to() {
    let fleet = fixture::fleet();
    let stopped = run(&fleet, &everything(1), Control { cancel: &AtomicBool::new(true), progress: &|_| {} });
    let with_data = stopped.checks.iter().filter(|check| check.message.is_none());
    assert!(with_data.clone().count() > 40);
    assert!(
        with_data
            .clone()
            .all(|check| check.check_run_status == Status::Canceled && check.findings.is_empty())
    );
    assert_eq!(stopped.task_statistics.canceled_checks, with_data.count() as u64);

    let (cancel, steps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let progress = |at: audits::engine::Progress| {
        assert_eq!(at.done, steps.fetch_add(1, Ordering::Relaxed) + 1);
        cancel.store(at.done == 1, Ordering::Relaxed);
    };
    let first = run(&fleet, &everything(1), Control { cancel: &cancel, progress: &progress });
    assert_eq!(steps.load(Ordering::Relaxed), 1);
    let shared =
        first.checks.iter().find(|check| check.check_name == "DEVICE_CERTIFICATE_SHARED_CHECK").unwrap();
    assert_eq!(shared.check_run_status, Status::CompletedNonCompliant, "the first task came to its end");
    assert!(first.task_statistics.canceled_checks > 40);
}

#[test]
fn suppressed_findings_do_not_count() {
    let mut options =
        Options { checks: Some(vec!["CONFLICTING_CLIENT_IDS_CHECK".into()]), ..Options::default() };
    let fleet = fixture::fleet();
    let before = with(&fleet, &options);
    let resource = ResourceRef::new("", [("clientId", "pump-1".to_owned())]);
    let check = "CONFLICTING_CLIENT_IDS_CHECK".into();
    options.in_force =
        InForce::new(&[Suppression { check, resource, lifetime: Lifetime::Indefinite }], fleet.now);
    let after = with(&fleet, &options);
    let counts = |run: &Run| {
        let check = &run.checks[0];
        (check.non_compliant_resources_count, check.suppressed_non_compliant_resources_count)
    };
    assert_eq!((counts(&before), counts(&after)), ((2, 0), (1, 1)));
}
