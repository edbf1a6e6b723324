//! CRLs that are stale or not to be trusted.

use crate::certificate::check::CheckId;
use crate::certificate::finding::Findings;
use crate::certificate::run::Context;
use crate::certificate::view::{Crl, Resource, Signer};

pub(crate) fn all(context: &Context<'_, '_>, found: &mut Findings) {
    for (index, list) in (0..).zip(context.view.lists) {
        let resource = Resource::List(index);
        if context.runs(CheckId::ListStale)
            && let Some((code, number)) = stale(context, list)
        {
            found.add(CheckId::ListStale, code, resource, number);
        }
        if context.runs(CheckId::ListSignature) {
            match list.signer {
                Signer::Verified => {}
                Signer::Invalid => found.add(CheckId::ListSignature, 0, resource, 0),
                Signer::Unknown => found.add(CheckId::ListSignature, 1, resource, 0),
            }
            if list.signature.is_weak() {
                found.add(CheckId::ListSignature, 2, resource, 0);
            }
        }
    }
}

fn stale(context: &Context<'_, '_>, list: &Crl) -> Option<(u8, i64)> {
    let now = context.view.now;
    match list.next_update {
        Some(next) if next < now => Some((0, next)),
        Some(_) | None if list.this_update > now => Some((3, list.this_update)),
        Some(next) if next - now <= i64::from(context.parameters.crl_days) * 86_400 => Some((1, next)),
        Some(_) => None,
        None => Some((2, 0)),
    }
}
