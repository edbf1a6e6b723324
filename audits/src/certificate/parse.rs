//! A certificate read in place: every field of RFC 5280, section 4.1, borrowed from the DER.
//!
//! The outer structure must hold, or there is no certificate. What can be wrong inside without
//! taking the rest along (an extension, a form of time, a serial number) is collected as faults.

use super::der::{Fault, Flaw, Node, single, tag};
use super::key::{PublicKey, public_key, unsigned};
use super::signature::{self, SignatureAlgorithm};
use super::when;

/// A certificate larger than this is not read.
pub const CERTIFICATE_BYTES_MAX: usize = 1 << 20;
/// Extensions read of one certificate or CRL at most.
pub(crate) const EXTENSIONS_MAX: usize = 128;
/// Faults kept of one certificate at most; the first ones.
pub(crate) const FAULTS_MAX: usize = 32;

/// One extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) critical: bool,
    /// The OCTET STRING; its content is the extension's DER.
    pub(crate) octets: Node<'a>,
}

impl<'a> Extension<'a> {
    /// The element inside, which must have `tag` and be alone.
    pub(crate) fn value(&self, tag: u8, field: &'static str) -> Result<Node<'a>, Fault> {
        let mut inside = self.octets.inside();
        let node = inside.expect(tag, field)?;
        inside.end(field)?;
        Ok(node)
    }
}

/// Extensions of certificates that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    SubjectKeyId,
    KeyUsage,
    SubjectNames,
    IssuerNames,
    BasicConstraints,
    NameConstraints,
    CrlPoints,
    Policies,
    PolicyMappings,
    AuthorityKeyId,
    PolicyConstraints,
    ExtendedKeyUsage,
    InhibitAnyPolicy,
    FreshestCrl,
    AuthorityAccess,
}

const KNOWN_COUNT: usize = 15;

impl Known {
    fn of(oid: &[u8]) -> Option<Self> {
        Some(match oid {
            [0x55, 0x1d, last] => match last {
                14 => Self::SubjectKeyId,
                15 => Self::KeyUsage,
                17 => Self::SubjectNames,
                18 => Self::IssuerNames,
                19 => Self::BasicConstraints,
                30 => Self::NameConstraints,
                31 => Self::CrlPoints,
                32 => Self::Policies,
                33 => Self::PolicyMappings,
                35 => Self::AuthorityKeyId,
                36 => Self::PolicyConstraints,
                37 => Self::ExtendedKeyUsage,
                46 => Self::FreshestCrl,
                54 => Self::InhibitAnyPolicy,
                _ => return None,
            },
            [0x2b, 6, 1, 5, 5, 7, 1, 1] => Self::AuthorityAccess,
            _ => return None,
        })
    }
}

/// The extensions of a certificate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extensions<'a> {
    known: [Option<Extension<'a>>; KNOWN_COUNT],
    /// A critical extension that is not known here.
    pub(crate) unknown_critical: bool,
}

impl<'a> Extensions<'a> {
    pub(crate) fn get(&self, known: Known) -> Option<&Extension<'a>> {
        self.known.get(known as usize)?.as_ref()
    }
}

/// A certificate in place.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// All of the DER.
    pub(crate) der: &'a [u8],
    /// What is signed.
    pub(crate) signed: &'a [u8],
    pub(crate) version: u8,
    /// Content octets of the serial number.
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: Node<'a>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) subject: Node<'a>,
    /// All of the SubjectPublicKeyInfo.
    pub(crate) key_info: Node<'a>,
    pub(crate) key: PublicKey<'a>,
    pub(crate) extensions: Extensions<'a>,
    pub(crate) signature_algorithm: SignatureAlgorithm,
    pub(crate) signature: &'a [u8],
    /// What is wrong without making the certificate unreadable.
    pub(crate) faults: Vec<Fault>,
}

impl<'a> Certificate<'a> {
    /// Reads one certificate, which must be all of `der`.
    ///
    /// # Errors
    /// The first fault of the outer structure, with offset and field.
    pub fn parse(der: &'a [u8]) -> Result<Self, Fault> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(Fault { offset: 0, field: "certificate", flaw: Flaw::TooLarge });
        }
        let mut outer = single(der, tag::SEQUENCE, "certificate")?.inside();
        let body = outer.expect(tag::SEQUENCE, "tbsCertificate")?;
        let algorithm = outer.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer.expect(tag::BIT_STRING, "signatureValue")?;
        outer.end("certificate")?;
        let mut faults = Vec::new();
        let mut certificate = fields(der, body, algorithm, &mut faults)?;
        match signature.bits("signatureValue") {
            Ok((bytes, 0)) => certificate.signature = bytes,
            Ok(_) => {
                faults.push(signature.fault("signatureValue", Flaw::Value("signature with unused bits")))
            }
            Err(fault) => faults.push(fault),
        }
        faults.truncate(FAULTS_MAX);
        certificate.faults = faults;
        Ok(certificate)
    }

    /// Whether issuer and subject are the same encoding.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer.full == self.subject.full
    }

    /// Seconds since 1970 from which it is valid.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Seconds since 1970 until which it is valid.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// RSA: the modulus, big-endian without leading zeros.
    #[must_use]
    pub fn rsa_modulus(&self) -> Option<&'a [u8]> {
        self.key.rsa.map(|(modulus, _)| modulus)
    }
}

fn fields<'a>(
    der: &'a [u8],
    body: Node<'a>,
    outer_algorithm: Node<'a>,
    faults: &mut Vec<Fault>,
) -> Result<Certificate<'a>, Fault> {
    let mut inside = body.inside();
    let version = version(inside.optional(tag::constructed(0), "tbsCertificate.version")?, faults)?;
    let serial = inside.expect(tag::INTEGER, "tbsCertificate.serialNumber")?;
    judge_serial(serial, faults);
    let algorithm = inside.expect(tag::SEQUENCE, "tbsCertificate.signature")?;
    if algorithm.full != outer_algorithm.full {
        let flaw = Flaw::Value("differs from signatureAlgorithm");
        faults.push(algorithm.fault("tbsCertificate.signature", flaw));
    }
    let issuer = inside.expect(tag::SEQUENCE, "tbsCertificate.issuer")?;
    let mut validity = inside.expect(tag::SEQUENCE, "tbsCertificate.validity")?.inside();
    let mut time = |field| -> Result<i64, Fault> {
        let read = when::time(validity.take(field)?, field)?;
        faults.extend(read.fault);
        Ok(read.seconds)
    };
    let not_before = time("tbsCertificate.validity.notBefore")?;
    let not_after = time("tbsCertificate.validity.notAfter")?;
    validity.end("tbsCertificate.validity")?;
    let subject = inside.expect(tag::SEQUENCE, "tbsCertificate.subject")?;
    let key_info = inside.expect(tag::SEQUENCE, "tbsCertificate.subjectPublicKeyInfo")?;
    let key = public_key(key_info, faults)?;
    let mut unique_ids = false;
    for number in [1, 2] {
        for tag in [tag::context(number), tag::constructed(number)] {
            unique_ids |= inside.optional(tag, "tbsCertificate.uniqueID")?.is_some();
        }
    }
    if unique_ids && version == 1 {
        faults.push(body.fault("tbsCertificate.version", Flaw::Value("unique ids, but version 1")));
    }
    let mut extensions = Extensions::default();
    if let Some(list) = inside.optional(tag::constructed(3), "tbsCertificate.extensions")? {
        if version != 3 {
            faults.push(list.fault("tbsCertificate.version", Flaw::Value("extensions, but not version 3")));
        }
        let known = each_extension(list, "tbsCertificate.extensions", faults, &mut |oid, extension| {
            extensions.take(oid, extension)
        });
        faults.extend(known.err());
    }
    inside.end("tbsCertificate")?;
    Ok(Certificate {
        der,
        signed: body.full,
        version,
        serial: serial.body,
        issuer,
        not_before,
        not_after,
        subject,
        key_info,
        key,
        extensions,
        signature_algorithm: signature::algorithm(outer_algorithm),
        signature: &[],
        faults: Vec::new(),
    })
}

/// Versions 1 to 3; another number is a fault and read as 3.
fn version(explicit: Option<Node<'_>>, faults: &mut Vec<Fault>) -> Result<u8, Fault> {
    const FIELD: &str = "tbsCertificate.version";
    let Some(explicit) = explicit else { return Ok(1) };
    let number = explicit.inside().expect(tag::INTEGER, FIELD)?;
    match number.number(FIELD) {
        Ok(0) => {
            faults.push(number.fault(FIELD, Flaw::Value("default version 1 is written out")));
            Ok(1)
        }
        Ok(1) => Ok(2),
        Ok(2) => Ok(3),
        _ => {
            faults.push(number.fault(FIELD, Flaw::Value("version is not 1, 2 or 3")));
            Ok(3)
        }
    }
}

/// RFC 5280, section 4.1.2.2: positive and at most 20 octets.
fn judge_serial(serial: Node<'_>, faults: &mut Vec<Fault>) {
    let rule = match serial.body {
        [] => "number without octets",
        [0, second, ..] if second & 0x80 == 0 => "number with a superfluous zero octet",
        [first, ..] if first & 0x80 != 0 => "serial number is negative",
        body if unsigned(body).is_empty() => "serial number is zero",
        body if body.len() > 20 => "serial number of more than 20 octets",
        _ => return,
    };
    faults.push(serial.fault("tbsCertificate.serialNumber", Flaw::Value(rule)));
}

impl<'a> Extensions<'a> {
    /// Keeps an extension; says whether it was there before.
    fn take(&mut self, oid: &[u8], extension: Extension<'a>) -> bool {
        match Known::of(oid).and_then(|known| self.known.get_mut(known as usize)) {
            Some(slot) if slot.is_some() => true,
            Some(slot) => {
                *slot = Some(extension);
                false
            }
            None => {
                self.unknown_critical |= extension.critical;
                false
            }
        }
    }
}

/// Walks `[n] EXPLICIT SEQUENCE OF Extension`. `take` says whether it had the extension before:
/// a second one of a kind is a fault and not used (RFC 5280, section 4.2).
pub(crate) fn each_extension<'a>(
    explicit: Node<'a>,
    field: &'static str,
    faults: &mut Vec<Fault>,
    take: &mut dyn FnMut(&'a [u8], Extension<'a>) -> bool,
) -> Result<(), Fault> {
    let mut outer = explicit.inside();
    let list = outer.expect(tag::SEQUENCE, field)?;
    outer.end(field)?;
    if list.body.is_empty() {
        faults.push(list.fault(field, Flaw::Value("empty list of extensions")));
    }
    let mut list = list.inside();
    for _ in 0..EXTENSIONS_MAX {
        if list.is_empty() {
            return Ok(());
        }
        let entry = list.expect(tag::SEQUENCE, field)?;
        let mut inside = entry.inside();
        let oid = inside.expect(tag::OID, field)?.body;
        let critical = inside.optional(tag::BOOLEAN, field)?;
        if critical.is_some_and(|critical| critical.body != [0xff]) {
            faults.push(entry.fault(field, Flaw::Value("critical is not DER")));
        }
        let octets = inside.expect(tag::OCTET_STRING, field)?;
        inside.end(field)?;
        let critical = critical.is_some_and(|critical| critical.is_true());
        if take(oid, Extension { critical, octets }) {
            faults.push(entry.fault(field, Flaw::Value("extension stands twice")));
        }
    }
    if list.is_empty() { Ok(()) } else { Err(list.fault(field, Flaw::TooMany)) }
}
