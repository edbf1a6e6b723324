//! Status, counts, suppressions and comparison of runs (`device-defender-audit.md`, sections 6 and 7).

use audits::finding::{Finding, ResourceRef, Severity};
use audits::run::compare::compare;
use audits::run::outcome::{CheckOutcome, FINDINGS_MAX, Statistics, Status, Work};
use audits::run::suppression::{InForce, Lifetime, Suppression};

const CHECK: &str = "DEVICE_CERTIFICATE_EXPIRING_CHECK";

fn resource(id: &str) -> ResourceRef {
    ResourceRef::new("DEVICE_CERTIFICATE", [("deviceCertificateId", id.to_owned())])
}

fn finding(id: &str, code: &'static str) -> Finding {
    Finding {
        check: CHECK.into(),
        severity: Severity::Medium,
        code: code.into(),
        reason: "found".into(),
        resource: resource(id),
        related: Vec::new(),
        place: None,
        remedy: "renew it".into(),
    }
}

fn done(findings: Vec<Finding>, in_force: &InForce) -> CheckOutcome {
    CheckOutcome::new(CHECK, Work::Done { examined: 5, findings }, in_force)
}

fn suppressed(check: &str, id: &str, lifetime: Lifetime, at: i64) -> InForce {
    InForce::new(&[Suppression { check: check.into(), resource: resource(id), lifetime }], at)
}

#[test]
fn every_end_of_a_check_has_its_status_and_the_statistics_add_up() {
    let none = InForce::default();
    let checks = [
        CheckOutcome::new("A", Work::NoData("none".into()), &none),
        CheckOutcome::new("B", Work::Canceled, &none),
        CheckOutcome::new("C", Work::Failed("no".into()), &none),
        CheckOutcome::new("D", Work::Done { examined: 0, findings: Vec::new() }, &none),
        done(vec![finding("a", "X")], &none),
    ];
    let statuses = checks.each_ref().map(|check| check.check_run_status);
    use Status as S;
    let expected = [
        S::WaitingForDataCollection,
        S::Canceled,
        S::Failed,
        S::CompletedCompliant,
        S::CompletedNonCompliant,
    ];
    assert_eq!(statuses, expected);
    let sum = Statistics::of(&checks);
    let parts = [
        sum.waiting_for_data_collection_checks,
        sum.canceled_checks,
        sum.failed_checks,
        sum.compliant_checks,
        sum.non_compliant_checks,
    ];
    assert_eq!((sum.total_checks, parts), (5, [1; 5]));
}

#[test]
fn a_suppression_holds_until_its_end_for_its_check_and_resource_alone() {
    for (check, id, lifetime, at, holds) in [
        (CHECK, "a", Lifetime::Until(100), 99, true),
        (CHECK, "a", Lifetime::Until(100), 100, false),
        (CHECK, "a", Lifetime::Indefinite, i64::MAX, true),
        (CHECK, "b", Lifetime::Indefinite, 0, false),
        ("OTHER_CHECK", "a", Lifetime::Indefinite, 0, false),
    ] {
        let outcome = done(vec![finding("a", "X")], &suppressed(check, id, lifetime, at));
        let status = if holds { Status::CompletedCompliant } else { Status::CompletedNonCompliant };
        assert_eq!(outcome.check_run_status, status, "{check} {id} {lifetime:?} {at}");
        assert_eq!(outcome.suppressed_non_compliant_resources_count, u64::from(holds));
        assert_eq!(outcome.non_compliant_resources_count, u64::from(!holds));
        assert_eq!(outcome.findings.len(), 1, "a suppressed finding stays listed");
    }
}

#[test]
fn resources_count_once_and_findings_beyond_the_limit_are_counted() {
    let outcome = done(vec![finding("a", "X"), finding("a", "Y"), finding("b", "X")], &InForce::default());
    assert_eq!((outcome.total_resources_count, outcome.non_compliant_resources_count), (5, 2));

    for (beyond, shed) in [(0, 0), (1, 1)] {
        let many = done(vec![finding("a", "X"); FINDINGS_MAX + beyond], &InForce::default());
        assert_eq!((many.findings.len(), many.shed), (FINDINGS_MAX, shed));
    }
}

#[test]
fn a_result_read_back_from_json_compares_by_check_resource_and_code() {
    let none = InForce::default();
    let old = done(vec![finding("a", "X"), finding("b", "X")], &none);
    let text = serde_json::to_string(&old).unwrap();
    let old = [serde_json::from_str::<CheckOutcome>(&text).unwrap()];
    let new = [done(vec![finding("c", "X"), finding("b", "X"), finding("a", "Y")], &none)];
    let changes = compare(&old, &new);
    assert_eq!(changes.appeared, [&finding("a", "Y"), &finding("c", "X")]);
    assert_eq!(changes.gone, [&finding("a", "X")]);
    assert_eq!(changes.stayed, [&finding("b", "X")]);
}
