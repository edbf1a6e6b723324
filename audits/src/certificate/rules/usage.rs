//! What the extensions allow, and whether a path leads to a registered CA.

use crate::certificate::check::CheckId;
use crate::certificate::extension::{KeyUsage, Purposes};
use crate::certificate::facts::Marks;
use crate::certificate::finding::Findings;
use crate::certificate::path::Refusal;
use crate::certificate::run::Context;
use crate::certificate::view::{PathState, Registered, Resource};

pub(crate) fn device(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    let facts = &registered.facts;
    let marks = facts.marks;
    if context.runs(CheckId::DeviceIsAuthority) {
        if marks.has(Marks::CA) {
            found.add(CheckId::DeviceIsAuthority, 0, resource, 0);
        } else if facts.usage.has(KeyUsage::CERTIFICATE_SIGN) {
            found.add(CheckId::DeviceIsAuthority, 1, resource, 0);
        }
    }
    if !context.runs(CheckId::DeviceUsage) {
        return;
    }
    let mut add = |code| found.add(CheckId::DeviceUsage, code, resource, 0);
    let client = facts.purposes.has(Purposes::CLIENT) || facts.purposes.has(Purposes::ANY);
    if marks.has(Marks::PURPOSES) && !client {
        add(0);
    }
    if marks.has(Marks::KEY_USAGE) && !facts.usage.has(KeyUsage::DIGITAL_SIGNATURE) {
        add(1);
    }
    if !marks.has(Marks::VERSION_3) {
        add(2);
    } else if !marks.has(Marks::PURPOSES) && !marks.has(Marks::KEY_USAGE) {
        add(3);
    }
    if marks.has(Marks::UNKNOWN_CRITICAL) {
        add(4);
    }
}

pub(crate) fn authority(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    let facts = &registered.facts;
    if !context.runs(CheckId::AuthorityUsage) {
        return;
    }
    if !facts.may_issue() {
        found.add(CheckId::AuthorityUsage, 0, resource, 0);
    }
    if facts.marks.has(Marks::KEY_USAGE) && !facts.usage.has(KeyUsage::CERTIFICATE_SIGN) {
        found.add(CheckId::AuthorityUsage, 1, resource, 0);
    }
    if facts.marks.has(Marks::UNKNOWN_CRITICAL) {
        found.add(CheckId::AuthorityUsage, 2, resource, 0);
    }
}

/// What was found when the certificate was registered. Reasons that other checks report by
/// themselves, as they come and go with time, are left to them.
pub(crate) fn path(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    let PathState::Refused(refusal) = &registered.path else { return };
    if !context.runs(CheckId::PathRefused) {
        return;
    }
    let code = match **refusal {
        Refusal::NotYetValid | Refusal::Expired | Refusal::Revoked(_) => return,
        Refusal::IssuerUnknown => 0,
        Refusal::SignatureBad => 1,
        Refusal::SignatureNotOffered(_)
        | Refusal::NotCa
        | Refusal::KeyUsage
        | Refusal::PathTooLong
        | Refusal::NameConstraints
        | Refusal::Policy
        | Refusal::CriticalExtension
        | Refusal::RevocationUnknown
        | Refusal::Malformed(_)
        | Refusal::TooManyPaths => 2,
    };
    found.add(CheckId::PathRefused, code, resource, 0);
}
