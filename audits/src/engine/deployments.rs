//! Brokers by their configuration files, one to a task.

use std::collections::BTreeMap;

use super::data::LOGGING;
use super::entries as own;
use super::grants;
use super::run::{Found, Part, Scope, Step};
use super::view::Deployment;
use crate::broker::{self, Options, RULES};
use crate::finding::Finding;

/// A broker that lets clients in without login.
pub(super) const ANONYMOUS: &str = "BROKER_ANONYMOUS_ACCESS_CHECK";
/// A broker without any access list.
const NO_ACL: &str = "BROKER_ACL_MISSING_CHECK";

pub(super) fn steps(scope: Scope<'_>) -> Vec<Step<'_>> {
    let checks: Vec<&'static str> =
        RULES.iter().map(|rule| rule.name).chain([own::WITHOUT_LOGIN, own::ANY_LOGIN]).collect();
    let step = |deployment| {
        Step::new("brokers' configurations", checks.clone(), move || of_deployment(scope, deployment))
    };
    scope.fleet.deployments.iter().map(step).collect()
}

/// All findings about a broker's files.
pub(super) fn audit(scope: Scope<'_>, deployment: &Deployment) -> Vec<Finding> {
    broker::audit(&deployment.files, &Options { now: Some(scope.fleet.now) })
}

fn of_deployment<'f>(scope: Scope<'f>, deployment: &'f Deployment) -> Vec<Part<'f>> {
    let found = audit(scope, deployment);
    let mut parts = open(scope, deployment, &found);
    let mut by_check: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in found {
        by_check.entry(finding.check.clone().into_owned()).or_default().push(finding);
    }
    for rule in RULES.iter().filter(|rule| scope.runs(rule.name)) {
        let findings = by_check.remove(rule.name).unwrap_or_default();
        parts.push(Part { check: rule.name, examined: 1, found: Found::Whole(findings) });
    }
    parts
}

/// Where no access list limits anybody, everybody may do everything.
fn open<'f>(scope: Scope<'f>, deployment: &Deployment, found: &[Finding]) -> Vec<Part<'f>> {
    let first = |check: &str| found.iter().find(|finding| finding.check == check);
    let (anonymous, no_acl) = (first(ANONYMOUS), first(NO_ACL));
    let nobody = format!("`{}` has no access list: ", deployment.name);
    let mut parts = Vec::new();
    let cases = [
        (
            own::WITHOUT_LOGIN,
            1,
            anonymous.and(no_acl),
            "anybody without a login may publish and read everything",
        ),
        (own::ANY_LOGIN, 2, no_acl, "whoever is logged in may publish and read everything"),
    ];
    for (check, code, finding, what) in cases {
        if scope.runs(check) {
            let findings = finding.map(|cause| grants::at(cause, check, code, format!("{nobody}{what}")));
            let found = Found::Whole(findings.into_iter().collect());
            parts.push(Part { check, examined: 1, found });
        }
    }
    parts
}

/// The check of an account's own log.
pub(super) fn account_log(scope: Scope<'_>) -> Option<Step<'_>> {
    let logging = scope.fleet.logging.as_ref()?;
    Some(Step::new("logs", vec![LOGGING], move || {
        let finding = (!logging.is_on).then(|| super::identities::logging_off(&logging.account));
        vec![Part { check: LOGGING, examined: 1, found: Found::Whole(finding.into_iter().collect()) }]
    }))
}
