//! Certificates and CRLs of files: which is whose, and which path leads from where.

use std::collections::{BTreeMap, BTreeSet};

use audits::certificate::crl::List;
use audits::certificate::extension::Purposes;
use audits::certificate::facts::{Facts, Marks, Reader};
use audits::certificate::id::Fingerprint;
use audits::certificate::load::Loaded;
use audits::certificate::name::NameKey;
use audits::certificate::parse::Certificate;
use audits::certificate::path::{Pool, Refusal, Revocation, Validator};
use audits::certificate::shared_primes;
use audits::certificate::view::{Crl, PathState, Registered, Signer, Status, Unreadable};
use audits::engine::Certificates;
use audits::finding::Place;

/// Certificates whose bytes are kept until their paths are looked at and their moduli compared; of
/// further ones the facts alone are, and that is told.
const BYTES_KEPT_MAX: usize = 50_000;

/// What the files hold, before it is known what belongs together.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    reader: Reader,
    seen: BTreeSet<Fingerprint>,
    certificates: Vec<Held>,
    lists: Vec<(Vec<u8>, Place)>,
    lists_seen: BTreeSet<Fingerprint>,
    unreadable: Vec<Unreadable>,
    /// The same certificate or CRL in another place.
    pub(super) repeated: usize,
    /// Certificates without a look at their paths and moduli.
    pub(super) not_validated: usize,
}

#[derive(Debug)]
struct Held {
    facts: Facts,
    place: Place,
    /// Empty beyond [`BYTES_KEPT_MAX`].
    der: Vec<u8>,
}

impl Gathered {
    /// Takes a certificate, a CRL or what should be one.
    pub(super) fn add(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Certificate { place, der } => self.certificate(&place, der),
            Loaded::Crl { place, der } => {
                if self.lists_seen.insert(Fingerprint::of(&der)) {
                    self.lists.push((der, place_of(&place)));
                } else {
                    self.repeated += 1;
                }
            }
            Loaded::Unreadable(unreadable) => self.unreadable.push(unreadable),
            Loaded::Other { .. } => {}
        }
    }

    fn certificate(&mut self, place: &str, der: Vec<u8>) {
        // It was parsed before, so that it cannot fail here.
        let Ok(facts) = self.reader.read(&der) else { return };
        if !self.seen.insert(facts.sha256) {
            self.repeated += 1;
            return;
        }
        let keep = self.certificates.len() < BYTES_KEPT_MAX;
        self.not_validated += usize::from(!keep);
        let der = if keep { der } else { Vec::new() };
        self.certificates.push(Held { facts, place: place_of(place), der });
    }

    /// How many certificates and CRLs there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.certificates.len(), self.lists.len())
    }

    /// Sorts them into devices, servers and CAs, and looks at paths as of `now`.
    pub(super) fn finish(self, now: i64) -> Certificates {
        let issuers: BTreeSet<NameKey> = self
            .certificates
            .iter()
            .filter(|held| !held.facts.marks.has(Marks::SELF_ISSUED))
            .filter_map(|held| held.facts.authority.key)
            .collect();
        let is_authority = |facts: &Facts| is_authority(facts, &issuers);
        let paths = paths(&self.certificates, &self.lists, &is_authority, now);
        let moduli: Vec<Vec<u8>> = self
            .certificates
            .iter()
            .filter(|held| !is_authority(&held.facts) && !is_server(&held.facts))
            .map(|held| modulus(&held.der))
            .collect();
        let moduli: Vec<&[u8]> = moduli.iter().map(Vec::as_slice).collect();
        let lists = lists(&self.certificates, &self.lists, &is_authority);
        let mut all = Certificates {
            shared_primes: Some(shared_primes::find(&moduli).shared),
            unreadable: self.unreadable,
            lists,
            list_places: self.lists.into_iter().map(|(_, place)| place).collect(),
            ..Certificates::default()
        };
        for (held, path) in self.certificates.into_iter().zip(paths) {
            let (to, places) = if is_authority(&held.facts) {
                (&mut all.authorities, &mut all.authority_places)
            } else if is_server(&held.facts) {
                (&mut all.servers, &mut all.server_places)
            } else {
                (&mut all.devices, &mut all.device_places)
            };
            let active_since = held.facts.not_before;
            let things = Box::default();
            to.push(Registered { facts: held.facts, status: Status::Active, active_since, things, path });
            places.push(held.place);
        }
        all
    }
}

/// A CA says so; one of version 1 cannot, and is one if it signed another certificate here.
fn is_authority(facts: &Facts, issuers: &BTreeSet<NameKey>) -> bool {
    let signs = facts.may_issue() && facts.ca_key.as_deref().is_some_and(|key| issuers.contains(key));
    facts.marks.has(Marks::CA) || signs
}

/// A certificate that serves a server alone.
fn is_server(facts: &Facts) -> bool {
    let has = |purpose| facts.purposes.has(purpose);
    has(Purposes::SERVER) && !has(Purposes::CLIENT) && !has(Purposes::ANY)
}

fn modulus(der: &[u8]) -> Vec<u8> {
    let certificate = Certificate::parse(der).ok();
    certificate.and_then(|certificate| certificate.rsa_modulus()).unwrap_or_default().to_vec()
}

/// The path of each certificate to a self-signed CA of the files. That an issuer is not among the
/// files is nothing wrong with the certificate.
fn paths(
    certificates: &[Held],
    lists: &[(Vec<u8>, Place)],
    is_authority: &dyn Fn(&Facts) -> bool,
    now: i64,
) -> Vec<PathState> {
    let (mut pool, mut anchors) = (Pool::default(), Vec::new());
    for held in certificates.iter().filter(|held| is_authority(&held.facts)) {
        let Ok(parsed) = Certificate::parse(&held.der) else { continue };
        if held.facts.marks.has(Marks::SELF_ISSUED) {
            anchors.push(parsed);
        } else {
            // A CA that the pool refuses ends no path; its own check tells what is wrong with it.
            pool.add(parsed).ok();
        }
    }
    lists.iter().filter_map(|(der, _)| List::parse(der).ok()).for_each(|list| pool.add_list(list));
    let state = |held: &Held| {
        let Ok(parsed) = Certificate::parse(&held.der) else { return PathState::Unknown };
        match Validator::new(&pool, &anchors, now, Revocation::IfListed).validate(&parsed) {
            Ok(_) => PathState::Accepted,
            Err(Refusal::IssuerUnknown) => PathState::Unknown,
            Err(refusal) => PathState::Refused(Box::new(refusal)),
        }
    };
    // A self-signed CA is the end of paths, not the beginning of one.
    let of = |held: &Held| match is_authority(&held.facts) && held.facts.marks.has(Marks::SELF_ISSUED) {
        true => PathState::Unknown,
        false => state(held),
    };
    certificates.iter().map(of).collect()
}

/// CRLs with who signed them.
fn lists(
    certificates: &[Held],
    lists: &[(Vec<u8>, Place)],
    is_authority: &dyn Fn(&Facts) -> bool,
) -> Vec<Crl> {
    let mut by_name: BTreeMap<NameKey, Vec<Certificate<'_>>> = BTreeMap::new();
    for held in certificates.iter().filter(|held| is_authority(&held.facts)) {
        if let (Some(key), Ok(parsed)) = (held.facts.ca_key.as_deref(), Certificate::parse(&held.der)) {
            by_name.entry(*key).or_default().push(parsed);
        }
    }
    let crl = |(der, _): &(Vec<u8>, Place)| {
        let list = List::parse(der).ok()?;
        let signer = Signer::of(&list, by_name.get(&list.key).into_iter().flatten());
        Some(Crl::new(list, signer))
    };
    lists.iter().filter_map(crl).collect()
}

/// `FILE:LINE`, or `FILE`.
fn place_of(text: &str) -> Place {
    let line = text.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    line.map_or_else(|| Place::line(text, 0), |(file, line)| Place::line(file, line))
}
