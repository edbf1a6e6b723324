//! What cannot be read, and what can be read but breaks the format.

use crate::certificate::check::CheckId;
use crate::certificate::finding::Findings;
use crate::certificate::run::Context;
use crate::certificate::view::{Kind, Registered, Resource};

pub(crate) fn certificate(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    if context.runs(CheckId::Malformed) && !registered.facts.faults.is_empty() {
        let number = i64::try_from(registered.facts.faults.len()).unwrap_or(i64::MAX);
        found.add(CheckId::Malformed, 0, resource, number);
    }
}

pub(crate) fn unreadable(context: &Context<'_, '_>, found: &mut Findings) {
    if !context.runs(CheckId::Unreadable) {
        return;
    }
    for (index, entry) in (0..).zip(context.view.unreadable) {
        let code = match entry.kind {
            Kind::Certificate => 0,
            Kind::Crl => 1,
        };
        found.add(CheckId::Unreadable, code, Resource::Unreadable(index), 0);
    }
}
