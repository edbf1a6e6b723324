//! A small fleet in which nothing is wrong, as a base for fixtures.

use std::sync::{Arc, Mutex, OnceLock};

use audits::certificate::crl::List;
use audits::certificate::facts::{Facts, Reader};
use audits::certificate::id::{Fingerprint, KeyId, Serial};
use audits::certificate::lists::WeakKeys;
use audits::certificate::parse::Certificate;
use audits::certificate::path::{Pool, Revocation, Validator};
use audits::certificate::shared_primes::Shared;
use audits::certificate::view::{Crl, PathState, Registered, Session, Signer, Status, Unreadable, View};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};

/// 2026-06-01.
pub(crate) const NOW: i64 = 1_780_272_000;
pub(crate) const DAY: i64 = 86_400;

/// What a view borrows.
pub(crate) struct Fleet {
    pub(crate) devices: Vec<Registered>,
    pub(crate) authorities: Vec<Registered>,
    pub(crate) intermediates: Vec<Facts>,
    pub(crate) lists: Vec<Crl>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) unreadable: Vec<Unreadable>,
    pub(crate) weak_keys: WeakKeys,
    pub(crate) shared_primes: Vec<Shared>,
    root: CertifiedIssuer<'static, KeyPair>,
    sub: CertifiedIssuer<'static, KeyPair>,
}

impl Fleet {
    /// A root, which is registered; a CA below it, which is only known; two devices of that CA; and
    /// the CRLs of both, empty.
    pub(crate) fn new() -> Self {
        let root = authority("Acme Root", None);
        let sub = authority("Acme Devices", Some(&root));
        let mut reader = Reader::default();
        let device = |number: u8| device(number, &sub);
        let (one, two) = (device(1), device(2));
        let mut fleet = Self {
            devices: Vec::new(),
            authorities: vec![registered(stable(reader.read(root.der()).unwrap(), 0x10))],
            intermediates: vec![stable(reader.read(sub.der()).unwrap(), 0x11)],
            lists: Vec::new(),
            sessions: vec![session(0, "pump-1", 0, Some(5_000)), session(1, "pump-2", 0, None)],
            unreadable: Vec::new(),
            weak_keys: WeakKeys::default(),
            shared_primes: Vec::new(),
            root,
            sub,
        };
        for (number, der) in [(1, &one), (2, &two)] {
            let mut device = registered(stable(reader.read(der).unwrap(), number));
            device.things = Box::new([format!("pump-{number}").into()]);
            device.path = fleet.path(der);
            fleet.devices.push(device);
        }
        fleet.lists = vec![fleet.list(Which::Root, &[]), fleet.list(Which::Sub, &[])];
        fleet
    }

    /// One fleet for tests that need no keys of their own.
    pub(crate) fn shared() -> &'static Mutex<Self> {
        static SHARED: OnceLock<Mutex<Fleet>> = OnceLock::new();
        SHARED.get_or_init(|| Mutex::new(Self::new()))
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            now: NOW,
            devices: &self.devices,
            authorities: &self.authorities,
            intermediates: &self.intermediates,
            lists: &self.lists,
            sessions: &self.sessions,
            unreadable: &self.unreadable,
            weak_keys: &self.weak_keys,
            shared_primes: &self.shared_primes,
        }
    }

    /// The state that registration would note.
    pub(crate) fn path(&self, der: &[u8]) -> PathState {
        let certificate = Certificate::parse(der).unwrap();
        let anchors = [Certificate::parse(self.root.der()).unwrap()];
        let mut pool = Pool::default();
        pool.add(Certificate::parse(self.sub.der()).unwrap()).unwrap();
        match Validator::new(&pool, &anchors, NOW, Revocation::IfListed).validate(&certificate) {
            Ok(_) => PathState::Accepted,
            Err(refusal) => PathState::Refused(Box::new(refusal)),
        }
    }

    /// A CRL of one of the CAs, as of today, with `serials` revoked a month ago.
    pub(crate) fn list(&self, which: Which, serials: &[u8]) -> Crl {
        let (issuer, number) = match which {
            Which::Root => (&self.root, 0x20),
            Which::Sub => (&self.sub, 0x21),
        };
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2026, 5, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let parameters = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 5, 31),
            next_update: date_time_ymd(2026, 6, 30),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let der = parameters.signed_by(issuer).unwrap();
        let list = List::parse(der.der()).unwrap();
        let issuer = Certificate::parse(issuer.der()).unwrap();
        let signer = Signer::of(&list, [&issuer]);
        let mut list = Crl::new(list, signer);
        list.sha256 = Fingerprint([number; 32]);
        list
    }

    /// Another device certificate, as DER.
    pub(crate) fn forged(&self) -> Vec<u8> {
        // The right name of the CA, and another key.
        device(9, &authority("Acme Devices", Some(&self.root)))
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Which {
    Root,
    Sub,
}

pub(crate) fn session(certificate: u32, client: &str, connected: i64, disconnected: Option<i64>) -> Session {
    Session { certificate, client: client.into(), connected, disconnected }
}

fn registered(facts: Facts) -> Registered {
    Registered {
        facts,
        status: Status::Active,
        active_since: NOW - 10 * DAY,
        things: Box::default(),
        path: PathState::Accepted,
    }
}

/// Replaces what comes from random keys, so that findings are the same in each run.
fn stable(mut facts: Facts, number: u8) -> Facts {
    facts.sha256 = Fingerprint([number; 32]);
    facts.spki_sha256 = Fingerprint([number | 0x80; 32]);
    facts.serial = Serial::of(&[number]);
    facts
}

/// The same authority with other addresses.
pub(crate) fn with_addresses(facts: &mut Facts, crl: &[&str], ocsp: &[&str]) {
    let mut authority = (*facts.authority).clone();
    authority.crl_urls = crl.iter().map(|url| (*url).into()).collect();
    authority.ocsp_urls = ocsp.iter().map(|url| (*url).into()).collect();
    facts.authority = Arc::new(authority);
}

/// The key identifier of something else.
pub(crate) fn other_key_id() -> KeyId {
    KeyId::of(&[0xee; 20])
}

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "Acme");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date_time_ymd(2025, 1, 1);
    parameters.not_after = date_time_ymd(2030, 1, 1);
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

fn with_sources(parameters: &mut CertificateParams, name: &str) {
    parameters.crl_distribution_points =
        vec![CrlDistributionPoint { uris: vec![format!("http://crl.acme.example/{name}")] }];
    let url = b"http://ocsp.acme.example";
    // SEQUENCE { SEQUENCE { OID id-ad-ocsp, [6] URL } }
    let length = u8::try_from(url.len()).unwrap();
    let oid = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1];
    let access = [&[0x30, length + 14, 0x30, length + 12], &oid[..], &[0x86, length], url].concat();
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    parameters.custom_extensions = vec![CustomExtension::from_oid_content(&oid, access)];
}

fn authority(
    name: &str,
    issuer: Option<&CertifiedIssuer<'static, KeyPair>>,
) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = parameters(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.serial_number = Some(SerialNumber::from_slice(&[if issuer.is_some() { 0x11 } else { 0x10 }]));
    let key = KeyPair::generate().unwrap();
    match issuer {
        Some(issuer) => {
            with_sources(&mut parameters, "root");
            CertifiedIssuer::signed_by(parameters, key, issuer).unwrap()
        }
        None => CertifiedIssuer::self_signed(parameters, key).unwrap(),
    }
}

fn device(number: u8, issuer: &Issuer<'_, KeyPair>) -> Vec<u8> {
    let mut parameters = parameters(&format!("pump-{number}"));
    parameters.serial_number = Some(SerialNumber::from_slice(&[number]));
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let name = format!("pump-{number}.acme.example").try_into().unwrap();
    parameters.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    with_sources(&mut parameters, "devices");
    let key = KeyPair::generate().unwrap();
    parameters.signed_by(&key, issuer).unwrap().der().to_vec()
}
