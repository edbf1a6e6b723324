//! Begin, end and age of certificates.

use crate::certificate::check::CheckId;
use crate::certificate::finding::Findings;
use crate::certificate::run::Context;
use crate::certificate::view::{Registered, Resource};

const DAY: i64 = 86_400;
/// `device-defender-audit.md`, section 2, row 12: fixed.
const AUTHORITY_DAYS: u32 = 30;

pub(crate) fn device(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    expiring(
        context,
        CheckId::DeviceExpiring,
        context.parameters.expiration_days,
        (resource, registered),
        found,
    );
    if context.runs(CheckId::DeviceAge) {
        let days = (context.view.now - registered.active_since).div_euclid(DAY);
        if days >= i64::from(context.parameters.age_days) {
            found.add(CheckId::DeviceAge, 0, resource, days);
        }
    }
    span(context, context.parameters.device_validity_days_max, (resource, registered), found);
}

pub(crate) fn authority(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    expiring(context, CheckId::AuthorityExpiring, AUTHORITY_DAYS, (resource, registered), found);
    span(context, context.parameters.ca_validity_days_max, (resource, registered), found);
}

fn expiring(
    context: &Context<'_, '_>,
    check: CheckId,
    days: u32,
    (resource, registered): (Resource, &Registered),
    found: &mut Findings,
) {
    if !context.runs(check) {
        return;
    }
    let end = registered.facts.not_after;
    // The last second of validity still counts as valid.
    if context.view.now > end {
        found.add(check, 1, resource, end);
    } else if end - context.view.now <= i64::from(days) * DAY {
        found.add(check, 0, resource, end);
    }
}

fn span(
    context: &Context<'_, '_>,
    days_max: u32,
    (resource, registered): (Resource, &Registered),
    found: &mut Findings,
) {
    let (begin, end) = (registered.facts.not_before, registered.facts.not_after);
    if context.runs(CheckId::NotYetValid) {
        if end < begin {
            found.add(CheckId::NotYetValid, 1, resource, end);
        } else if begin > context.view.now {
            found.add(CheckId::NotYetValid, 0, resource, begin);
        }
    }
    // RFC 5280: both ends are included.
    let days = (end - begin + 1).div_euclid(DAY);
    if context.runs(CheckId::ValidityTooLong) && end - begin + 1 > i64::from(days_max) * DAY {
        found.add(CheckId::ValidityTooLong, 0, resource, days);
    }
}
