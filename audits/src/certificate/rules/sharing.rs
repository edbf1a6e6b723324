//! Certificates, keys and serial numbers that several share.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::certificate::check::CheckId;
use crate::certificate::facts::{Authority, Facts};
use crate::certificate::finding::Findings;
use crate::certificate::id::Serial;
use crate::certificate::run::Context;
use crate::certificate::view::{Resource, Session};

/// Sessions of one certificate that are compared at most; the newest ones. Each is compared with those
/// that still run.
const SESSIONS_MAX: usize = 10_000;

/// Certificates with overlapping sessions of two or more client ids. Related are the sessions
/// that overlapped, newest first.
pub(crate) fn sessions(context: &Context<'_, '_>, found: &mut Findings) {
    if !context.runs(CheckId::SharedCertificate) {
        return;
    }
    let mut by_certificate: BTreeMap<u32, Vec<(u32, &Session)>> = BTreeMap::new();
    for (index, session) in (0..).zip(context.view.sessions) {
        by_certificate.entry(session.certificate).or_default().push((index, session));
    }
    for (certificate, mut sessions) in by_certificate {
        let resource = Resource::Device(certificate);
        if !context.view.registered(resource).is_some_and(|registered| registered.status.is_audited()) {
            continue;
        }
        sessions.sort_by_key(|(index, session)| (session.connected, *index));
        sessions.drain(..sessions.len().saturating_sub(SESSIONS_MAX));
        let shared = overlapping(&sessions);
        if shared.is_empty() {
            continue;
        }
        let clients: BTreeSet<&str> = shared.iter().map(|at| sessions_client(&sessions, *at)).collect();
        let number = i64::try_from(clients.len()).unwrap_or(i64::MAX);
        let related = shared
            .iter()
            .rev()
            .filter_map(|at| sessions.get(*at))
            .map(|(index, _)| Resource::Session(*index));
        found.add_with((CheckId::SharedCertificate, 0, resource, number), related);
    }
}

fn sessions_client<'s>(sessions: &[(u32, &'s Session)], at: usize) -> &'s str {
    sessions.get(at).map_or("", |(_, session)| &session.client)
}

/// Positions of sessions, by the time they began, that ran at the same time as one of another
/// client id. A session that ends when the next begins does not overlap it.
fn overlapping(sessions: &[(u32, &Session)]) -> Vec<usize> {
    let mut found = BTreeSet::new();
    let mut running: Vec<(i64, usize, &Session)> = Vec::new();
    for (at, (_, session)) in sessions.iter().enumerate() {
        running.retain(|(end, ..)| *end > session.connected);
        for (_, other_at, other) in &running {
            if other.client != session.client {
                found.extend([at, *other_at]);
            }
        }
        running.push((session.disconnected.unwrap_or(i64::MAX), at, session));
    }
    found.into_iter().collect()
}

/// One public key under several active certificates.
pub(crate) fn keys(context: &Context<'_, '_>, found: &mut Findings) {
    if !context.runs(CheckId::KeyReused) {
        return;
    }
    let view = context.view;
    let certificates = view.audited_devices().chain(view.audited_authorities());
    let groups = groups(certificates.map(|(resource, registered)| {
        let [a, b, c, d, e, f, g, h, ..] = registered.facts.spki_sha256.0;
        (u64::from_ne_bytes([a, b, c, d, e, f, g, h]), resource)
    }));
    for group in groups {
        let certificates: Vec<(Resource, &Facts)> =
            group.into_iter().filter_map(|resource| Some((resource, view.facts(resource)?))).collect();
        for same in split(certificates, |facts| facts.spki_sha256) {
            let subjects: BTreeSet<&str> = same.iter().map(|(_, facts)| facts.subject()).collect();
            let ids: BTreeSet<_> = same.iter().map(|(_, facts)| facts.sha256).collect();
            // One certificate may be registered twice, as a device and as a CA.
            if ids.len() > 1 {
                report(CheckId::KeyReused, u8::from(subjects.len() == 1), &same, found);
            }
        }
    }
}

/// One serial number of one issuer in different certificates.
pub(crate) fn serials(context: &Context<'_, '_>, found: &mut Findings) {
    if !context.runs(CheckId::SerialReused) {
        return;
    }
    let view = context.view;
    let certificates = view.audited_devices().chain(view.audited_authorities());
    let groups =
        groups(certificates.map(|(resource, registered)| (serial_hash(&registered.facts), resource)));
    for group in groups {
        let certificates: Vec<(Resource, &Facts)> =
            group.into_iter().filter_map(|resource| Some((resource, view.facts(resource)?))).collect();
        for same in split(certificates, |facts| (facts.authority.key, facts.serial)) {
            let ids: BTreeSet<_> = same.iter().map(|(_, facts)| facts.sha256).collect();
            if ids.len() > 1 {
                report(CheckId::SerialReused, 0, &same, found);
            }
        }
    }
}

fn serial_hash(facts: &Facts) -> u64 {
    let authority: &Authority = &facts.authority;
    let serial: &Serial = &facts.serial;
    // FNV-1a: only to find candidates, which are then compared in full.
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let issuer = authority.key.map_or(0, |key| key.hash_word());
    serial.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325 ^ issuer, step)
}

/// Resources whose hashes are equal, where there are two or more, in the order of the first.
fn groups(hashes: impl Iterator<Item = (u64, Resource)>) -> Vec<Vec<Resource>> {
    let mut first: HashMap<u64, Resource> = HashMap::new();
    let mut more: BTreeMap<Resource, Vec<Resource>> = BTreeMap::new();
    for (hash, resource) in hashes {
        match first.entry(hash) {
            hashbrown::hash_map::Entry::Vacant(slot) => {
                slot.insert(resource);
            }
            hashbrown::hash_map::Entry::Occupied(slot) => more.entry(*slot.get()).or_default().push(resource),
        }
    }
    more.into_iter().map(|(first, rest)| std::iter::once(first).chain(rest).collect()).collect()
}

/// Parts a group of equal hashes into those of equal keys.
fn split<K: Ord>(group: Vec<(Resource, &Facts)>, key: impl Fn(&Facts) -> K) -> Vec<Vec<(Resource, &Facts)>> {
    let mut parts: BTreeMap<K, Vec<(Resource, &Facts)>> = BTreeMap::new();
    for (resource, facts) in group {
        parts.entry(key(facts)).or_default().push((resource, facts));
    }
    parts.into_values().filter(|part| part.len() > 1).collect()
}

fn report(check: CheckId, code: u8, same: &[(Resource, &Facts)], found: &mut Findings) {
    let Some((first, others)) = same.split_first() else { return };
    let number = i64::try_from(same.len()).unwrap_or(i64::MAX);
    found.add_with((check, code, first.0, number), others.iter().map(|(resource, _)| *resource));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sessions: &[(&str, i64, Option<i64>)], expected: &[usize]) {
        let sessions: Vec<Session> = sessions
            .iter()
            .map(|(client, connected, disconnected)| Session {
                certificate: 0,
                client: (*client).into(),
                connected: *connected,
                disconnected: *disconnected,
            })
            .collect();
        let numbered: Vec<(u32, &Session)> = (0..).zip(&sessions).collect();
        assert_eq!(overlapping(&numbered), expected, "{sessions:?}");
    }

    #[test]
    fn sessions_overlap_when_both_run() {
        check(&[], &[]);
        check(&[("a", 0, Some(10)), ("b", 10, Some(20))], &[]);
        check(&[("a", 0, Some(11)), ("b", 10, Some(20))], &[0, 1]);
        check(&[("a", 0, None), ("b", 10, None)], &[0, 1]);
        check(&[("a", 0, None), ("a", 10, None)], &[]);
        check(&[("a", 0, Some(5)), ("a", 4, Some(9)), ("b", 8, Some(9))], &[1, 2]);
        check(
            &[("a", 0, Some(100)), ("a", 1, Some(2)), ("b", 50, Some(60)), ("c", 55, Some(56))],
            &[0, 2, 3],
        );
    }
}
