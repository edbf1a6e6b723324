//! Revoked certificates that are still active, revoked CAs above active devices, and issuers whose
//! revocations cannot be looked up.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::certificate::check::CheckId;
use crate::certificate::facts::{Authority, Facts, Marks};
use crate::certificate::finding::Findings;
use crate::certificate::name::NameKey;
use crate::certificate::run::Context;
use crate::certificate::view::{Registered, Resource};

/// CAs above a device certificate that are looked at.
const DEPTH_MAX: usize = 12;

pub(crate) fn device(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    still_active(context, CheckId::RevokedDevice, (resource, registered), found);
}

pub(crate) fn authority(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    still_active(context, CheckId::RevokedAuthority, (resource, registered), found);
}

fn still_active(
    context: &Context<'_, '_>,
    check: CheckId,
    (resource, registered): (Resource, &Registered),
    found: &mut Findings,
) {
    if context.runs(check)
        && let Some(entry) = context.revocations.of(&registered.facts)
    {
        found.add(check, 0, resource, entry.revoked_at);
    }
}

/// Revoked CAs, registered or not, with the active device certificates below them.
pub(crate) fn intermediates(context: &Context<'_, '_>, found: &mut Findings) {
    if !context.runs(CheckId::RevokedIntermediate) || context.revocations.is_empty() {
        return;
    }
    let issuers = Issuers::new(context);
    if issuers.revoked.is_empty() {
        return;
    }
    let mut above: HashMap<*const Authority, Vec<Resource>> = HashMap::new();
    let mut below: BTreeMap<Resource, Vec<Resource>> = BTreeMap::new();
    for (device, registered) in context.view.audited_devices() {
        let authority = std::sync::Arc::as_ptr(&registered.facts.authority);
        let revoked = above.entry(authority).or_insert_with(|| issuers.revoked_above(&registered.facts));
        for issuer in revoked.iter() {
            below.entry(*issuer).or_default().push(device);
        }
    }
    for (issuer, devices) in below {
        let number = i64::try_from(devices.len()).unwrap_or(i64::MAX);
        found.add_with((CheckId::RevokedIntermediate, 0, issuer, number), devices);
    }
}

/// Known CAs by their name.
struct Issuers<'v> {
    by_name: BTreeMap<NameKey, Vec<(Resource, &'v Facts)>>,
    revoked: Vec<Resource>,
}

impl<'v> Issuers<'v> {
    fn new(context: &Context<'_, 'v>) -> Self {
        let view = context.view;
        let registered = (0..).map(Resource::Authority).zip(view.authorities.iter().map(|ca| &ca.facts));
        let others = (0..).map(Resource::Intermediate).zip(view.intermediates);
        let (mut by_name, mut revoked) = (BTreeMap::new(), Vec::new());
        for (resource, facts) in registered.chain(others) {
            let Some(name) = facts.ca_key.as_deref() else { continue };
            let known: &mut Vec<(Resource, &Facts)> = by_name.entry(*name).or_default();
            // The same certificate may be registered and come in a bundle as well.
            if known.iter().any(|(_, other)| other.sha256 == facts.sha256) {
                continue;
            }
            known.push((resource, facts));
            if !facts.marks.has(Marks::SELF_ISSUED) && context.revocations.of(facts).is_some() {
                revoked.push(resource);
            }
        }
        Self { by_name, revoked }
    }

    /// Revoked CAs on the way up from a certificate. Where names alone leave a choice, the key
    /// identifier decides, and without one all are taken.
    fn revoked_above(&self, facts: &Facts) -> Vec<Resource> {
        let mut found = Vec::new();
        let mut level = vec![facts];
        let mut seen = Vec::new();
        for _ in 0..DEPTH_MAX {
            let mut next = Vec::new();
            for facts in level {
                let named = facts.authority.key.and_then(|key| self.by_name.get(&key));
                let wanted = facts.authority.key_id;
                for (resource, issuer) in named.into_iter().flatten() {
                    let other_key = wanted.is_some() && issuer.key_id.is_some() && wanted != issuer.key_id;
                    if other_key || seen.contains(resource) {
                        continue;
                    }
                    seen.push(*resource);
                    next.push(*issuer);
                    if self.revoked.contains(resource) {
                        found.push(*resource);
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            level = next;
        }
        found
    }
}

/// Issuers that name no place to look revocations up, and those whose CRL is not known.
pub(crate) fn sources(context: &Context<'_, '_>, found: &mut Findings) {
    let (no_source, missing) =
        (context.runs(CheckId::NoRevocationSource), context.runs(CheckId::ListMissing));
    if !no_source && !missing {
        return;
    }
    let mut issuers: HashMap<*const Authority, (Resource, &Facts, i64)> = HashMap::new();
    let view = context.view;
    for (resource, registered) in view.audited_devices().chain(view.audited_authorities()) {
        let facts = &registered.facts;
        // A root is not revoked by itself.
        if facts.marks.has(Marks::SELF_ISSUED) {
            continue;
        }
        let authority = std::sync::Arc::as_ptr(&facts.authority);
        issuers.entry(authority).or_insert((resource, facts, 0)).2 += 1;
    }
    let mut issuers: Vec<(Resource, &Facts, i64)> = issuers.into_values().collect();
    issuers.sort_by_key(|(resource, ..)| *resource);
    for (resource, facts, number) in issuers {
        let authority = &facts.authority;
        let (crl, ocsp) = (!authority.crl_urls.is_empty(), !authority.ocsp_urls.is_empty());
        if no_source && !ocsp {
            found.add(CheckId::NoRevocationSource, u8::from(crl), resource, number);
        }
        if missing && crl && !context.revocations.knows_issuer(facts) {
            found.add(CheckId::ListMissing, 0, resource, number);
        }
    }
}
