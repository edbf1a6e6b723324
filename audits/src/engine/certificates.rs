//! The certificate checks in slices, so that threads share a large fleet.
//!
//! Checks that look at one certificate at a time get [`SLICE`] device certificates a task; those that
//! compare certificates with one another see all of them, in three tasks of about the same work.

use std::sync::Arc;

use super::run::{Found, Part, Scope, Step};
use crate::certificate::check::{CHECKS, CheckId};
use crate::certificate::finding::Findings;
use crate::certificate::run::{Selection, audit};
use crate::certificate::view::{Resource, View};
use crate::finding::{Finding, Place};

/// Device certificates of one task.
const SLICE: usize = 65_536;

/// What compares certificates, in groups that go together.
const ACROSS: [&[CheckId]; 3] = [
    &[CheckId::SharedCertificate, CheckId::KeyReused],
    &[CheckId::SerialReused, CheckId::RevokedIntermediate],
    &[
        CheckId::SharedPrime,
        CheckId::NoRevocationSource,
        CheckId::ListMissing,
        CheckId::ListStale,
        CheckId::ListSignature,
    ],
];

/// What says something of a server's certificate as well.
const OF_SERVERS: [CheckId; 15] = [
    CheckId::DeviceKeyQuality,
    CheckId::DeviceExpiring,
    CheckId::RevokedDevice,
    CheckId::Malformed,
    CheckId::KeyShort,
    CheckId::KeyAlgorithm,
    CheckId::KeyBroken,
    CheckId::KeyExponent,
    CheckId::KeyPublic,
    CheckId::KeyReused,
    CheckId::SignatureWeak,
    CheckId::ValidityTooLong,
    CheckId::NotYetValid,
    CheckId::PathRefused,
    CheckId::SerialReused,
];

/// A part of the fleet with the places of its certificates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice<'f> {
    view: View<'f>,
    devices: &'f [Place],
    authorities: &'f [Place],
    lists: &'f [Place],
}

impl Slice<'_> {
    /// Every finding of a check with its place, in order.
    pub(super) fn each(&self, findings: &Findings, check: &str, mut tell: impl FnMut(Finding)) {
        let Some(id) = CheckId::from_name(check) else { return };
        for hit in findings.hits().iter().filter(|hit| hit.check == id) {
            let mut finding = hit.finding(findings, &self.view);
            finding.place = self.place(hit.resource);
            tell(finding);
        }
    }

    fn place(&self, resource: Resource) -> Option<Place> {
        let at = |places: &[Place], index: u32| places.get(usize::try_from(index).ok()?).cloned();
        match resource {
            Resource::Device(index) => at(self.devices, index),
            Resource::Authority(index) => at(self.authorities, index),
            Resource::List(index) => at(self.lists, index),
            Resource::Unreadable(index) => {
                let entry = self.view.unreadable.get(usize::try_from(index).ok()?)?;
                Some(place_of(&entry.place))
            }
            Resource::Intermediate(_) | Resource::Session(_) => None,
        }
    }
}

/// `FILE:LINE`, or `FILE`.
pub(super) fn place_of(text: &str) -> Place {
    let line = text.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    match line {
        Some((file, line)) => Place::line(file, line),
        None => Place::line(text, 0),
    }
}

pub(super) fn steps(scope: Scope<'_>) -> Vec<Step<'_>> {
    let all = &scope.fleet.certificates;
    let whole = Slice {
        view: all.view(scope.fleet.now),
        devices: &all.device_places,
        authorities: &all.authority_places,
        lists: &all.list_places,
    };
    let mut steps: Vec<Step<'_>> = ACROSS.iter().map(|group| step(scope, group.to_vec(), whole)).collect();
    let is_across = |id: &CheckId| ACROSS.iter().any(|group| group.contains(id));
    let single: Vec<CheckId> = CHECKS.iter().map(|check| check.id).filter(|id| !is_across(id)).collect();
    // One slice at least, which brings the CA certificates and what cannot be read.
    for index in 0..all.devices.len().div_ceil(SLICE).max(1) {
        let mut slice = whole;
        slice.view.devices = part(&all.devices, index);
        slice.devices = part(&all.device_places, index);
        if index > 0 {
            slice.view.authorities = &[];
            slice.view.unreadable = &[];
        }
        steps.push(step(scope, single.clone(), slice));
    }
    if !all.servers.is_empty() {
        let mut servers = whole;
        servers.view.devices = &all.servers;
        servers.devices = &all.server_places;
        servers.view.authorities = &[];
        servers.view.unreadable = &[];
        steps.push(step(scope, OF_SERVERS.to_vec(), servers));
    }
    steps
}

fn part<T>(all: &[T], index: usize) -> &[T] {
    all.chunks(SLICE).nth(index).unwrap_or_default()
}

fn step<'f>(scope: Scope<'f>, ids: Vec<CheckId>, slice: Slice<'f>) -> Step<'f> {
    let names = ids.iter().map(|id| id.check().name).collect();
    let ids: Vec<CheckId> = ids.into_iter().filter(|id| scope.runs(id.check().name)).collect();
    Step::new("certificates", names, move || {
        let selection = Selection::of(ids.iter().copied());
        let found = audit(&slice.view, &scope.options.parameters, selection);
        let found = Arc::new((found, slice));
        let part = |(id, examined): &(CheckId, u64)| Part {
            check: id.check().name,
            examined: *examined,
            found: Found::Hits(Arc::clone(&found)),
        };
        found.0.examined.iter().map(part).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_with_and_without_a_line() {
        assert_eq!(place_of("a/b.pem:12"), Place::line("a/b.pem", 12));
        assert_eq!(place_of("a/b:c.der"), Place::line("a/b:c.der", 0));
        assert_eq!(place_of("x.der"), Place::line("x.der", 0));
    }
}
