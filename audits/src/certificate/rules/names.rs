//! Names that do not match the thing.

use crate::certificate::check::CheckId;
use crate::certificate::finding::Findings;
use crate::certificate::run::Context;
use crate::certificate::view::{Registered, Resource};

/// A certificate fits if for each thing that it is attached to one rule does.
pub(crate) fn device(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    let rules = &context.parameters.name_rules;
    if rules.is_empty() || !context.runs(CheckId::NameMismatch) {
        return;
    }
    let fits = |thing: &str| rules.iter().any(|rule| rule.fits(&registered.facts, thing));
    if registered.things.iter().any(|thing| !fits(thing)) {
        found.add(CheckId::NameMismatch, 0, resource, 0);
    }
}
