//! Facts of a certificate: what the checks look at, read once when the certificate is registered.
//!
//! A record is about 240 bytes with its text. What all certificates of one issuer have in common
//! (issuer, its key identifier, where its CRLs and OCSP responder are) is kept once.

use std::sync::Arc;

use hashbrown::HashMap;

use super::der::{Fault, Node};
use super::extension::{self, KeyUsage, PointName, Purposes};
use super::id::{Fingerprint, KeyId, Serial};
use super::key::Key;
use super::name::{self, General, NameKey};
use super::parse::{Certificate, FAULTS_MAX, Known};
use super::signature::{self, Checked, SignatureAlgorithm};

/// Yes-or-no facts, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u16);

impl Marks {
    /// Version 3.
    pub const VERSION_3: Self = Self(1);
    /// Basic constraints say that it is a CA.
    pub const CA: Self = Self(1 << 1);
    /// Has the basic constraints extension.
    pub const BASIC_CONSTRAINTS: Self = Self(1 << 2);
    /// Has the key usage extension.
    pub const KEY_USAGE: Self = Self(1 << 3);
    /// Has the extended key usage extension.
    pub const PURPOSES: Self = Self(1 << 4);
    /// Issuer and subject are the same.
    pub const SELF_ISSUED: Self = Self(1 << 5);
    /// Self-issued, and its signature was verified with its own key.
    pub const SELF_SIGNED: Self = Self(1 << 6);
    /// Has a critical extension that is not known here.
    pub const UNKNOWN_CRITICAL: Self = Self(1 << 7);
    /// Has name constraints.
    pub const NAME_CONSTRAINTS: Self = Self(1 << 8);

    /// Whether all of `other` are set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn add(&mut self, other: Self, present: bool) {
        if present {
            self.0 |= other.0;
        }
    }
}

/// What the certificates of one issuer have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Issuer as text of RFC 4514.
    pub name: Box<str>,
    /// Issuer for comparison; `None` if it cannot be read.
    pub key: Option<NameKey>,
    /// Key identifier of the issuer's key.
    pub key_id: Option<KeyId>,
    /// Where its CRLs are.
    pub crl_urls: Box<[Box<str>]>,
    /// Where its OCSP responders are.
    pub ocsp_urls: Box<[Box<str>]>,
}

/// Facts of one certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// SHA-256 of the DER.
    pub sha256: Fingerprint,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki_sha256: Fingerprint,
    /// Issuer and what belongs to it.
    pub authority: Arc<Authority>,
    /// Subject, then one line per name.
    text: Box<str>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970; the last second of validity.
    pub not_after: i64,
    /// Public key.
    pub key: Key,
    /// Serial number.
    pub serial: Serial,
    /// Subject key identifier.
    pub key_id: Option<KeyId>,
    /// For CAs: subject for comparison.
    pub ca_key: Option<Box<NameKey>>,
    /// What is wrong with the encoding.
    pub faults: Box<[Fault]>,
    /// Key usage; empty without the extension.
    pub usage: KeyUsage,
    /// Purposes; empty without the extension.
    pub purposes: Purposes,
    /// Longest path below a CA.
    pub path_len: Option<u8>,
    /// Signature algorithm.
    pub signature: SignatureAlgorithm,
    /// Yes-or-no facts.
    pub marks: Marks,
}

impl Facts {
    /// The same facts under another subject and other names, as fixtures and simulated fleets need.
    #[must_use]
    pub fn named(mut self, subject: &str, names: &[&str]) -> Self {
        let lines = std::iter::once(subject).chain(names.iter().copied());
        self.text = lines.map(|line| one_line(line.into())).collect::<Vec<_>>().join("\n").into();
        self
    }

    /// Subject as text of RFC 4514; characters that end a line are replaced.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.text.split('\n').next().unwrap_or_default()
    }

    /// Subject alternative names, as `DNS:a.example`, `URI:…`, `IP:…`, `mail:…`, `directory:…`, `other:…`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n').skip(1)
    }

    /// Values of the common names in the subject, without escapes.
    #[must_use]
    pub fn common_names(&self) -> Vec<String> {
        split_unescaped(self.subject()).filter_map(|part| part.strip_prefix("CN=").map(unescape)).collect()
    }

    /// Whether it is a CA, or self-issued of a version that cannot say so.
    #[must_use]
    pub fn may_issue(&self) -> bool {
        self.marks.has(Marks::CA) || (self.marks.has(Marks::SELF_ISSUED) && !self.marks.has(Marks::VERSION_3))
    }

    /// Bytes on the heap that belong to this record alone.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.text.len()
            + size_of_val(&*self.faults)
            + self.ca_key.as_ref().map_or(0, |_| size_of::<NameKey>())
    }
}

fn split_unescaped(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |letter| {
        let splits = !escaped && (letter == ',' || letter == '+');
        escaped = !escaped && letter == '\\';
        splits
    })
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    out
}

/// Issuers whose common facts are shared at most; those of later ones are kept with each certificate.
pub const AUTHORITIES_MAX: usize = 1 << 17;

/// Reads certificates and keeps what they have in common.
#[derive(Debug, Default)]
pub struct Reader {
    authorities: HashMap<Box<[u8]>, Arc<Authority>>,
    scratch: Vec<u8>,
}

impl Reader {
    /// Facts of the certificate that `der` is.
    ///
    /// # Errors
    /// The fault that makes it unreadable, with offset and field.
    pub fn read(&mut self, der: &[u8]) -> Result<Facts, Fault> {
        Ok(self.facts(&Certificate::parse(der)?))
    }

    /// Facts of a certificate that was parsed. The signature is verified if it is self-issued
    /// (some tens of microseconds), and not otherwise.
    pub fn facts(&mut self, certificate: &Certificate<'_>) -> Facts {
        let mut faults = certificate.faults.clone();
        let authority = self.authority(certificate, &mut faults);
        let text = text(certificate, &mut faults);
        let mut facts = Facts {
            sha256: Fingerprint::of(certificate.der),
            spki_sha256: Fingerprint::of(certificate.key_info.full),
            authority,
            text,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            key: Key::of(&certificate.key),
            serial: Serial::of(certificate.serial),
            key_id: None,
            ca_key: None,
            faults: Box::default(),
            usage: KeyUsage::default(),
            purposes: Purposes::default(),
            path_len: None,
            signature: certificate.signature_algorithm,
            marks: Marks::default(),
        };
        facts.take_extensions(certificate, &mut faults);
        facts.take_issuing(certificate);
        faults.truncate(FAULTS_MAX);
        faults.sort_unstable();
        facts.faults = faults.into_boxed_slice();
        facts
    }

    fn authority(&mut self, certificate: &Certificate<'_>, faults: &mut Vec<Fault>) -> Arc<Authority> {
        self.scratch.clear();
        self.scratch.extend(certificate.issuer.full);
        for known in [Known::AuthorityKeyId, Known::CrlPoints, Known::AuthorityAccess] {
            let octets = certificate.extensions.get(known).map_or(&[][..], |extension| extension.octets.full);
            self.scratch.extend(octets.len().to_ne_bytes());
            self.scratch.extend(octets);
        }
        if let Some(authority) = self.authorities.get(self.scratch.as_slice()) {
            return Arc::clone(authority);
        }
        let before = faults.len();
        let authority = Arc::new(authority(certificate, faults));
        // Faults have offsets of this certificate: the next one has to find its own.
        if faults.len() == before && self.authorities.len() < AUTHORITIES_MAX {
            self.authorities.insert(self.scratch.as_slice().into(), Arc::clone(&authority));
        }
        authority
    }
}

fn authority(certificate: &Certificate<'_>, faults: &mut Vec<Fault>) -> Authority {
    const FIELD: &str = "tbsCertificate.issuer";
    let mut name = String::new();
    faults.extend(name::text(certificate.issuer, FIELD, &mut name).err());
    let extensions = &certificate.extensions;
    let key_id = extensions.get(Known::AuthorityKeyId).and_then(|extension| {
        extension::authority_key_id(extension).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        })
    });
    let mut crl_urls = Vec::new();
    if let Some(extension) = extensions.get(Known::CrlPoints) {
        match extension::points(extension, "cRLDistributionPoints") {
            Ok(points) => crl_urls.extend(points.iter().flat_map(point_urls)),
            Err(fault) => faults.push(fault),
        }
    }
    let mut ocsp_urls = Vec::new();
    if let Some(extension) = extensions.get(Known::AuthorityAccess) {
        match extension::ocsp_addresses(extension) {
            Ok(urls) => ocsp_urls.extend(urls.into_iter().map(lossy)),
            Err(fault) => faults.push(fault),
        }
    }
    Authority {
        name: one_line(name).into(),
        key: NameKey::of(certificate.issuer, FIELD).ok(),
        key_id: key_id.map(KeyId::of),
        crl_urls: crl_urls.into(),
        ocsp_urls: ocsp_urls.into(),
    }
}

fn point_urls<'p>(point: &'p extension::Point<'_>) -> impl Iterator<Item = Box<str>> + 'p {
    let names = match &point.name {
        Some(PointName::Full(names)) => names.as_slice(),
        _ => &[],
    };
    names.iter().filter_map(|name| match name {
        General::Uri(uri) => Some(lossy(uri)),
        _ => None,
    })
}

fn lossy(bytes: &[u8]) -> Box<str> {
    one_line(String::from_utf8_lossy(bytes).into_owned()).into()
}

fn one_line(text: String) -> String {
    if text.contains('\n') { text.replace('\n', "\u{fffd}") } else { text }
}

fn text(certificate: &Certificate<'_>, faults: &mut Vec<Fault>) -> Box<str> {
    let mut text = String::with_capacity(96);
    faults.extend(name::text(certificate.subject, "tbsCertificate.subject", &mut text).err());
    text = one_line(text);
    if let Some(extension) = certificate.extensions.get(Known::SubjectNames) {
        match extension::general_names(extension, "subjectAltName") {
            Ok(names) => names.iter().for_each(|name| push_name(name, &mut text)),
            Err(fault) => faults.push(fault),
        }
    }
    text.into_boxed_str()
}

fn push_name(name: &General<'_>, text: &mut String) {
    let (kind, bytes) = match name {
        General::Dns(bytes) => ("DNS", bytes),
        General::Mail(bytes) => ("mail", bytes),
        General::Uri(bytes) => ("URI", bytes),
        General::Address(bytes) => return push_address(bytes, text),
        General::Directory(node) => return push_directory(*node, text),
        General::Other(_, bytes) => return push_hex("other", bytes, text),
    };
    text.push('\n');
    text.push_str(kind);
    text.push(':');
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.contains('\n') => text.push_str(name),
        _ => text.push_str(&lossy(bytes)),
    }
}

fn push_directory(node: Node<'_>, text: &mut String) {
    let mut name = String::new();
    match name::text(node, "subjectAltName", &mut name) {
        Ok(()) => {
            text.push_str("\ndirectory:");
            text.push_str(&one_line(name));
        }
        Err(_unreadable) => push_hex("directory", node.full, text),
    }
}

fn push_address(bytes: &[u8], text: &mut String) {
    let address = <[u8; 4]>::try_from(bytes)
        .map(std::net::IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from));
    match address {
        Ok(address) => {
            text.push_str("\nIP:");
            text.push_str(&address.to_string());
        }
        Err(_other_length) => push_hex("IP", bytes, text),
    }
}

fn push_hex(kind: &str, bytes: &[u8], text: &mut String) {
    text.push('\n');
    text.push_str(kind);
    text.push_str(":#");
    bytes.iter().for_each(|byte| name::hex(*byte, text));
}

impl Facts {
    fn take_extensions(&mut self, certificate: &Certificate<'_>, faults: &mut Vec<Fault>) {
        let extensions = &certificate.extensions;
        let mut keep = |fault: Fault| faults.push(fault);
        if let Some(extension) = extensions.get(Known::BasicConstraints) {
            match extension::basic_constraints(extension) {
                Ok(found) => {
                    found.fault.into_iter().for_each(&mut keep);
                    self.marks.add(Marks::CA, found.is_ca);
                    self.path_len = found.path_len.map(|len| u8::try_from(len).unwrap_or(u8::MAX));
                }
                Err(fault) => keep(fault),
            }
            self.marks.add(Marks::BASIC_CONSTRAINTS, true);
        }
        if let Some(extension) = extensions.get(Known::KeyUsage) {
            self.usage = extension::key_usage(extension).map_err(&mut keep).unwrap_or_default();
            extension::key_usage_fault(extension).into_iter().for_each(&mut keep);
            self.marks.add(Marks::KEY_USAGE, true);
        }
        if let Some(extension) = extensions.get(Known::ExtendedKeyUsage) {
            self.purposes = extension::purposes(extension).map_err(&mut keep).unwrap_or_default();
            self.marks.add(Marks::PURPOSES, true);
        }
        if let Some(extension) = extensions.get(Known::SubjectKeyId) {
            self.key_id = extension::subject_key_id(extension).map_err(&mut keep).ok().map(KeyId::of);
        }
        self.marks.add(Marks::UNKNOWN_CRITICAL, extensions.unknown_critical);
        self.marks.add(Marks::NAME_CONSTRAINTS, extensions.get(Known::NameConstraints).is_some());
        self.marks.add(Marks::VERSION_3, certificate.version == 3);
    }

    fn take_issuing(&mut self, certificate: &Certificate<'_>) {
        if certificate.is_self_issued() {
            self.marks.add(Marks::SELF_ISSUED, true);
            let checked = signature::check(
                certificate.signature_algorithm,
                &certificate.key,
                certificate.signed,
                certificate.signature,
            );
            self.marks.add(Marks::SELF_SIGNED, checked == Checked::Good);
        }
        if self.may_issue() {
            self.ca_key = NameKey::of(certificate.subject, "tbsCertificate.subject").ok().map(Box::new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stays_small() {
        assert!(size_of::<Facts>() <= 256, "{}", size_of::<Facts>());
    }

    #[test]
    fn common_names_lose_their_escapes() {
        let parts: Vec<String> = split_unescaped("CN=a\\,b+OU=x,CN=c\\\\,O=d").map(unescape).collect();
        assert_eq!(parts, ["CN=a,b", "OU=x", "CN=c\\", "O=d"]);
    }
}
