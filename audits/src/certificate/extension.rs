//! The insides of the extensions that RFC 5280 defines.

use super::der::{Der, Fault, Flaw, Node, tag};
use super::name::{General, general};
use super::parse::Extension;

/// Names, points and usages read of one extension at most; more is a fault.
pub(crate) const ITEMS_MAX: usize = 1024;

/// Bits of the key usage extension (RFC 5280, section 4.2.1.3), as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// digitalSignature
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// keyEncipherment
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// keyAgreement
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// keyCertSign
    pub const CERTIFICATE_SIGN: Self = Self(1 << 5);
    /// cRLSign
    pub const CRL_SIGN: Self = Self(1 << 6);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Purposes of the extended key usage extension (RFC 5280, section 4.2.1.12), as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purposes(pub u8);

impl Purposes {
    /// serverAuth
    pub const SERVER: Self = Self(1);
    /// clientAuth
    pub const CLIENT: Self = Self(1 << 1);
    /// codeSigning
    pub const CODE: Self = Self(1 << 2);
    /// emailProtection
    pub const MAIL: Self = Self(1 << 3);
    /// timeStamping
    pub const TIME_STAMP: Self = Self(1 << 4);
    /// OCSPSigning
    pub const OCSP: Self = Self(1 << 5);
    /// anyExtendedKeyUsage
    pub const ANY: Self = Self(1 << 6);
    /// A purpose that is not known here.
    pub const OTHER: Self = Self(1 << 7);

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Basic constraints (RFC 5280, section 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) is_ca: bool,
    pub(crate) path_len: Option<u32>,
    /// A form that DER does not allow although it can be read.
    pub(crate) fault: Option<Fault>,
}

pub(crate) fn basic_constraints(extension: &Extension<'_>) -> Result<BasicConstraints, Fault> {
    const FIELD: &str = "basicConstraints";
    let mut inside = extension.value(tag::SEQUENCE, FIELD)?.inside();
    let is_ca = inside.optional(tag::BOOLEAN, FIELD)?;
    let fault = is_ca
        .filter(|node| node.body != [0xff])
        .map(|node| node.fault(FIELD, Flaw::Value("default written out, or a boolean that is not DER")));
    let is_ca = is_ca.is_some_and(|node| node.is_true());
    let path_len = inside.optional(tag::INTEGER, FIELD)?.map(|node| node.number(FIELD)).transpose()?;
    inside.end(FIELD)?;
    Ok(BasicConstraints { is_ca, path_len, fault })
}

pub(crate) fn key_usage(extension: &Extension<'_>) -> Result<KeyUsage, Fault> {
    const FIELD: &str = "keyUsage";
    let (bytes, _) = extension.value(tag::BIT_STRING, FIELD)?.bits(FIELD)?;
    Ok(KeyUsage(bit_set(bytes)))
}

/// X.690, section 11.2.2: a list of named bits ends with its last set bit.
pub(crate) fn key_usage_fault(extension: &Extension<'_>) -> Option<Fault> {
    const FIELD: &str = "keyUsage";
    let node = extension.value(tag::BIT_STRING, FIELD).ok()?;
    let (bytes, unused) = node.bits(FIELD).ok()?;
    let exact = bytes.last().is_none_or(|last| last.trailing_zeros() == u32::from(unused));
    (!exact).then(|| node.fault(FIELD, Flaw::Value("bits after the last set one")))
}

/// The first sixteen bits of a bit string, bit 0 of ASN.1 as the lowest.
pub(crate) fn bit_set(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .take(2)
        .zip([0, 8])
        .fold(0, |set, (byte, shift)| set | u16::from(byte.reverse_bits()) << shift)
}

pub(crate) fn purposes(extension: &Extension<'_>) -> Result<Purposes, Fault> {
    const FIELD: &str = "extKeyUsage";
    let mut list = extension.value(tag::SEQUENCE, FIELD)?.inside();
    let mut found = Purposes::default();
    for _ in 0..ITEMS_MAX {
        if list.is_empty() {
            break;
        }
        let purpose = match list.expect(tag::OID, FIELD)?.body {
            [0x2b, 6, 1, 5, 5, 7, 3, 1] => Purposes::SERVER,
            [0x2b, 6, 1, 5, 5, 7, 3, 2] => Purposes::CLIENT,
            [0x2b, 6, 1, 5, 5, 7, 3, 3] => Purposes::CODE,
            [0x2b, 6, 1, 5, 5, 7, 3, 4] => Purposes::MAIL,
            [0x2b, 6, 1, 5, 5, 7, 3, 8] => Purposes::TIME_STAMP,
            [0x2b, 6, 1, 5, 5, 7, 3, 9] => Purposes::OCSP,
            [0x55, 0x1d, 0x25, 0] => Purposes::ANY,
            _ => Purposes::OTHER,
        };
        found.0 |= purpose.0;
    }
    bounded(&list, FIELD)?;
    Ok(found)
}

pub(crate) fn subject_key_id<'a>(extension: &Extension<'a>) -> Result<&'a [u8], Fault> {
    Ok(extension.value(tag::OCTET_STRING, "subjectKeyIdentifier")?.body)
}

/// keyIdentifier of the authority key identifier, if it has one.
pub(crate) fn authority_key_id<'a>(extension: &Extension<'a>) -> Result<Option<&'a [u8]>, Fault> {
    const FIELD: &str = "authorityKeyIdentifier";
    let mut inside = extension.value(tag::SEQUENCE, FIELD)?.inside();
    Ok(inside.optional(tag::context(0), FIELD)?.map(|node| node.body))
}

/// All names of a subject or issuer alternative name.
pub(crate) fn general_names<'a>(
    extension: &Extension<'a>,
    field: &'static str,
) -> Result<Vec<General<'a>>, Fault> {
    names(extension.value(tag::SEQUENCE, field)?, field)
}

/// GeneralNames under whatever tag.
pub(crate) fn names<'a>(list: Node<'a>, field: &'static str) -> Result<Vec<General<'a>>, Fault> {
    let mut inside = list.inside();
    let mut found = Vec::new();
    while !inside.is_empty() && found.len() < ITEMS_MAX {
        found.push(general(&mut inside, field)?);
    }
    bounded(&inside, field)?;
    Ok(found)
}

/// One distribution point (RFC 5280, section 4.2.1.13).
#[derive(Clone, Debug, Default)]
pub(crate) struct Point<'a> {
    pub(crate) name: Option<PointName<'a>>,
    /// Reasons it covers, bit n of ReasonFlags as bit n; `None`: all.
    pub(crate) reasons: Option<u16>,
    /// cRLIssuer
    pub(crate) issuer: Vec<General<'a>>,
}

/// DistributionPointName.
#[derive(Clone, Debug)]
pub(crate) enum PointName<'a> {
    Full(Vec<General<'a>>),
    /// A set of attributes to add to the issuer's name.
    Relative(Node<'a>),
}

/// The choice inside `[0]`.
pub(crate) fn point_name<'a>(explicit: Node<'a>, field: &'static str) -> Result<PointName<'a>, Fault> {
    let choice = explicit.inside().take(field)?;
    match choice.tag {
        0xa0 => Ok(PointName::Full(names(choice, field)?)),
        0xa1 => Ok(PointName::Relative(choice)),
        found => Err(choice.fault(field, Flaw::Tag { found, expected: 0xa0 })),
    }
}

pub(crate) fn points<'a>(extension: &Extension<'a>, field: &'static str) -> Result<Vec<Point<'a>>, Fault> {
    let mut list = extension.value(tag::SEQUENCE, field)?.inside();
    let mut found = Vec::new();
    while !list.is_empty() && found.len() < ITEMS_MAX {
        let mut inside = list.expect(tag::SEQUENCE, field)?.inside();
        let mut point = Point::default();
        if let Some(name) = inside.optional(tag::constructed(0), field)? {
            point.name = Some(point_name(name, field)?);
        }
        if let Some(reasons) = inside.optional(tag::context(1), field)? {
            point.reasons = Some(bit_set(reasons.bits(field)?.0));
        }
        if let Some(issuer) = inside.optional(tag::constructed(2), field)? {
            point.issuer = names(issuer, field)?;
        }
        inside.end(field)?;
        found.push(point);
    }
    bounded(&list, field)?;
    Ok(found)
}

/// Addresses of OCSP responders (RFC 5280, section 4.2.2.1).
pub(crate) fn ocsp_addresses<'a>(extension: &Extension<'a>) -> Result<Vec<&'a [u8]>, Fault> {
    const FIELD: &str = "authorityInfoAccess";
    let mut list = extension.value(tag::SEQUENCE, FIELD)?.inside();
    let mut found = Vec::new();
    for _ in 0..ITEMS_MAX {
        if list.is_empty() {
            break;
        }
        let mut inside = list.expect(tag::SEQUENCE, FIELD)?.inside();
        let method = inside.expect(tag::OID, FIELD)?;
        let location = general(&mut inside, FIELD)?;
        inside.end(FIELD)?;
        if let (General::Uri(uri), [0x2b, 6, 1, 5, 5, 7, 0x30, 1]) = (location, method.body) {
            found.push(uri);
        }
    }
    bounded(&list, FIELD)?;
    Ok(found)
}

fn bounded(rest: &Der<'_>, field: &'static str) -> Result<(), Fault> {
    if rest.is_empty() { Ok(()) } else { Err(rest.fault(field, Flaw::TooMany)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::der::Node;

    fn extension(octets: &[u8]) -> Extension<'_> {
        Extension { critical: false, octets: Node { tag: 4, body: octets, full: octets, at: 0 } }
    }

    #[test]
    fn key_usage_bits_keep_their_numbers() {
        for (octets, expected) in [
            (&[3, 2, 7, 0x80][..], KeyUsage::DIGITAL_SIGNATURE.0),
            (&[3, 2, 1, 0x06], KeyUsage::CERTIFICATE_SIGN.0 | KeyUsage::CRL_SIGN.0),
            (&[3, 3, 7, 0, 0x80], 1 << 8),
            (&[3, 1, 0], 0),
        ] {
            assert_eq!(key_usage(&extension(octets)), Ok(KeyUsage(expected)), "{octets:02x?}");
        }
        assert!(key_usage(&extension(&[3, 1, 8])).is_err());
    }

    #[test]
    fn basic_constraints_with_and_without_length() {
        for (octets, expected) in [
            (&[0x30, 0][..], Some((false, None))),
            (&[0x30, 3, 1, 1, 0xff], Some((true, None))),
            (&[0x30, 6, 1, 1, 0xff, 2, 1, 0], Some((true, Some(0)))),
            (&[0x30, 3, 2, 1, 5], Some((false, Some(5)))),
            (&[0x30, 3, 2, 1, 0xff], None),
            (&[0x31, 0], None),
        ] {
            let seen = basic_constraints(&extension(octets)).ok().map(|found| (found.is_ca, found.path_len));
            assert_eq!(seen, expected, "{octets:02x?}");
        }
    }
}
