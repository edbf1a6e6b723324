//! Runs the checks over a view.
//!
//! Each certificate is visited once by the checks that need nothing else; those that compare
//! certificates with one another or with CRLs follow. Findings come out ordered by check and
//! resource, whatever the order of the work.

use super::check::{CHECKS, CheckId};
use super::finding::Findings;
use super::parameters::Parameters;
use super::revoked::Revocations;
use super::rules::{encoding, keys, lists, names, revocation, sharing, usage, validity};
use super::view::{Registered, Resource, View};

/// Which checks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection(u64);

impl Selection {
    /// Those that are on unless switched off.
    #[must_use]
    pub fn defaults() -> Self {
        Self::of(CHECKS.iter().filter(|check| check.default_on).map(|check| check.id))
    }

    /// All.
    #[must_use]
    pub fn all() -> Self {
        Self::of(CHECKS.iter().map(|check| check.id))
    }

    /// These.
    #[must_use]
    pub fn of(checks: impl IntoIterator<Item = CheckId>) -> Self {
        Self(checks.into_iter().fold(0, |set, check| set | 1 << (check as u64)))
    }

    /// Whether `check` runs.
    #[must_use]
    pub fn has(self, check: CheckId) -> bool {
        self.0 >> (check as u64) & 1 == 1
    }
}

/// What a check may look at.
#[derive(Debug)]
pub(crate) struct Context<'c, 'v> {
    pub(crate) view: &'c View<'v>,
    pub(crate) parameters: &'c Parameters,
    selection: Selection,
    pub(crate) revocations: Revocations<'v>,
}

impl Context<'_, '_> {
    pub(crate) fn runs(&self, check: CheckId) -> bool {
        self.selection.has(check)
    }
}

/// All findings of the selected checks.
#[must_use]
pub fn audit(view: &View<'_>, parameters: &Parameters, selection: Selection) -> Findings {
    let context = Context { view, parameters, selection, revocations: Revocations::new(view.lists) };
    let mut findings = Findings::default();
    let (mut devices, mut authorities) = (0, 0);
    for (resource, registered) in view.audited_devices() {
        devices += 1;
        device(&context, resource, registered, &mut findings);
        both(&context, resource, registered, &mut findings);
    }
    for (resource, registered) in view.audited_authorities() {
        authorities += 1;
        authority(&context, resource, registered, &mut findings);
        both(&context, resource, registered, &mut findings);
    }
    sharing::sessions(&context, &mut findings);
    sharing::keys(&context, &mut findings);
    sharing::serials(&context, &mut findings);
    keys::shared_primes(&context, &mut findings);
    revocation::intermediates(&context, &mut findings);
    revocation::sources(&context, &mut findings);
    lists::all(&context, &mut findings);
    encoding::unreadable(&context, &mut findings);
    findings.sort();
    findings.examined = CHECKS
        .iter()
        .filter(|check| selection.has(check.id))
        .map(|check| (check.id, examined(check.id, view, devices, authorities)))
        .collect();
    findings
}

fn device(context: &Context<'_, '_>, resource: Resource, registered: &Registered, findings: &mut Findings) {
    validity::device(context, resource, registered, findings);
    usage::device(context, resource, registered, findings);
    names::device(context, resource, registered, findings);
    revocation::device(context, resource, registered, findings);
}

fn authority(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    findings: &mut Findings,
) {
    validity::authority(context, resource, registered, findings);
    usage::authority(context, resource, registered, findings);
    revocation::authority(context, resource, registered, findings);
}

fn both(context: &Context<'_, '_>, resource: Resource, registered: &Registered, findings: &mut Findings) {
    keys::certificate(context, resource, registered, findings);
    encoding::certificate(context, resource, registered, findings);
    usage::path(context, resource, registered, findings);
}

/// `totalResourcesCount` of AWS: the resources that the check looks at.
fn examined(check: CheckId, view: &View<'_>, devices: u64, authorities: u64) -> u64 {
    use CheckId as C;
    match check {
        C::RevokedAuthority | C::AuthorityKeyQuality | C::AuthorityExpiring | C::AuthorityUsage => {
            authorities
        }
        C::SharedCertificate
        | C::DeviceKeyQuality
        | C::DeviceExpiring
        | C::DeviceAge
        | C::RevokedDevice
        | C::SharedPrime
        | C::DeviceIsAuthority
        | C::DeviceUsage
        | C::NameMismatch => devices,
        C::RevokedIntermediate => view.intermediates.len() as u64 + authorities,
        C::ListStale | C::ListSignature => view.lists.len() as u64,
        C::Unreadable => view.unreadable.len() as u64 + devices + authorities,
        C::Malformed
        | C::KeyShort
        | C::KeyAlgorithm
        | C::KeyBroken
        | C::KeyExponent
        | C::KeyPublic
        | C::KeyReused
        | C::SignatureWeak
        | C::ValidityTooLong
        | C::NotYetValid
        | C::PathRefused
        | C::NoRevocationSource
        | C::ListMissing
        | C::SerialReused => devices + authorities,
    }
}
