//! Policies and access lists, a few to a task.

use super::entries as own;
use super::grants;
use super::run::{Found, Part, Scope, Step};
use super::view::{AccessList, Holder, Policy};
use crate::finding::Finding;
use crate::policy::blast::{Reached, blast_radius};
use crate::policy::check::{Template, acl, misconfigured, permissive};
use crate::policy::form::{Document, System, Undecided};

/// Policies of one task: a thousand make enough tasks for the threads, and few enough to count.
const SLICE: usize = 16;
/// Holders that a finding names (AWS: at most 10 related resources are listed).
const HOLDERS_MAX: usize = 10;
/// The checks of `acl::audit`.
const ACL: [&str; 7] = [
    "ACL_ROOT_WILDCARD_CHECK",
    "ACL_ADMINISTRATIVE_TOPICS_CHECK",
    "ACL_OTHER_DEVICES_CHECK",
    "ACL_DEFAULT_ALLOW_CHECK",
    "ACL_CLIENT_ID_FREE_CHECK",
    "ACL_INVALID_CHECK",
    "ACL_UNDECIDED_CHECK",
];

pub(super) fn steps(scope: Scope<'_>) -> Vec<Step<'_>> {
    let own = [permissive::CHECK, misconfigured::CHECK, own::ROLE, own::UNUSED, own::BLAST_RADIUS];
    let of_policies: Vec<&'static str> = own.into_iter().chain(ACL).collect();
    let own = [own::WITHOUT_LOGIN, own::ANY_LOGIN, own::ROLE, own::UNUSED, own::BLAST_RADIUS];
    let of_lists: Vec<&'static str> = own.into_iter().chain(ACL).collect();
    let policies = scope.fleet.policies.chunks(SLICE).map(|slice| {
        Step::new("policies", of_policies.clone(), move || {
            slice.iter().flat_map(|policy| of_policy(scope, policy)).collect()
        })
    });
    let lists = scope.fleet.access.chunks(1).map(|slice| {
        Step::new("access lists", of_lists.clone(), move || {
            slice.iter().flat_map(|list| of_list(scope, list)).collect()
        })
    });
    policies.chain(lists).collect()
}

/// One resource, looked at by one check.
fn part<'f>(check: &'static str, findings: Vec<Finding>) -> Part<'f> {
    Part { check, examined: 1, found: Found::Whole(findings) }
}

fn of_policy<'f>(scope: Scope<'f>, Policy { policy, holders }: &'f Policy) -> Vec<Part<'f>> {
    let mut parts = Vec::new();
    if scope.runs(permissive::CHECK) {
        parts.push(part(permissive::CHECK, permissive::audit(policy).into_iter().collect()));
    }
    if scope.runs(misconfigured::CHECK) {
        parts.push(part(misconfigured::CHECK, misconfigured::audit(policy)));
    }
    if scope.runs(own::ROLE) {
        parts.push(part(own::ROLE, grants::of_services(policy)));
    }
    if scope.runs(own::UNUSED) {
        let uses = scope.fleet.uses.as_deref().unwrap_or_default();
        parts.push(part(own::UNUSED, grants::unused_of_policy(policy, holders, uses).into_iter().collect()));
    }
    let document = policy.document();
    parts.extend(of_document(scope, &document));
    let related = holders.iter().take(HOLDERS_MAX).map(Holder::resource);
    let related: Vec<_> = related.collect();
    for part in &mut parts {
        if let Found::Whole(findings) = &mut part.found {
            findings.iter_mut().for_each(|finding| finding.related.extend(related.iter().cloned()));
        }
    }
    parts
}

fn of_list<'f>(scope: Scope<'f>, list: &'f AccessList) -> Vec<Part<'f>> {
    let mut parts = of_document(scope, &list.document);
    parts.extend(grants::by_login(scope, list));
    if scope.runs(own::UNUSED) {
        let uses = scope.fleet.uses.as_deref().unwrap_or_default();
        parts.push(part(own::UNUSED, grants::unused_of_list(list, uses).into_iter().collect()));
    }
    parts
}

/// What holds for a document of any system.
fn of_document<'f>(scope: Scope<'f>, document: &Document) -> Vec<Part<'f>> {
    let mut parts = Vec::new();
    if ACL.iter().any(|check| scope.runs(check)) {
        let mut all = acl::audit(document, &scope.fleet.known);
        for check in ACL.into_iter().filter(|check| scope.runs(check)) {
            let (of_check, rest) = all.into_iter().partition(|finding| finding.check == check);
            all = rest;
            parts.push(part(check, of_check));
        }
    }
    if scope.runs(own::BLAST_RADIUS) {
        parts.push(part(own::BLAST_RADIUS, blast(scope, document)));
    }
    parts
}

/// Who reaches more things than allowed.
fn blast(scope: Scope<'_>, document: &Document) -> Vec<Finding> {
    let Some(things) = &scope.fleet.things else { return Vec::new() };
    let known = &scope.fleet.known;
    let mut templates = known.templates.clone();
    templates.extend(Template::shown_by(document));
    templates.sort();
    templates.dedup();
    let max = scope.options.blast_radius_max;
    let mut findings = Vec::new();
    for subject in document.subjects.iter().filter(|subject| !acl::is_administrator(subject, known)) {
        let radius = blast_radius(document, subject, things, &templates);
        // Only AWS's policies say who may connect with which id; elsewhere that is the broker's matter.
        let connect = Some(("connect as", radius.connect)).filter(|_| document.system == System::AwsIot);
        let sides = [("read from", radius.read), ("publish to", radius.write)];
        let wide = sides.into_iter().chain(connect).filter_map(|(verb, reached)| told(verb, reached, max));
        let wide: Vec<String> = wide.collect();
        if !wide.is_empty() {
            let reason = format!("{} could {}", subject.name, wide.join(", "));
            findings.push(grants::about(document, subject, own::BLAST_RADIUS, 0, reason));
        }
    }
    findings
}

/// `publish to 12 things (a, b, …)`
fn told(verb: &str, reached: Result<Reached, Undecided>, max: usize) -> Option<String> {
    // What stays undecided is told by `ACL_UNDECIDED_CHECK`.
    let reached = reached.ok().filter(|reached| reached.things > max)?;
    let first: Vec<&str> = reached.listed.iter().take(3).map(String::as_str).collect();
    let more = if reached.things > first.len() { ", …" } else { "" };
    Some(format!("{verb} {} things ({}{more})", reached.things, first.join(", ")))
}
