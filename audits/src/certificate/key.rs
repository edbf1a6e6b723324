//! Public keys: algorithm, size, and what is wrong with them.

use ring::digest;

use super::der::{Fault, Flaw, Node, single, tag};
use super::name::hex;
use super::rsa::{self, Weakness};

/// What a public key is for and on which group it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// RSA (RFC 3279), any use.
    Rsa,
    /// RSA for PSS signatures alone (RFC 4055).
    RsaPss,
    /// NIST P-192, secp192r1.
    P192,
    /// NIST P-224, secp224r1.
    P224,
    /// NIST P-256, secp256r1, prime256v1.
    P256,
    /// NIST P-384, secp384r1.
    P384,
    /// NIST P-521, secp521r1.
    P521,
    /// secp256k1.
    Secp256k1,
    /// A Brainpool curve (RFC 5639).
    Brainpool,
    /// Another named curve.
    OtherCurve,
    /// Curve parameters spelled out (forbidden by RFC 5480; the hole of CVE-2020-0601).
    ExplicitCurve,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// Ed448 (RFC 8410).
    Ed448,
    /// X25519 or X448: key agreement alone.
    Montgomery,
    /// DSA (RFC 3279).
    Dsa,
    /// Diffie-Hellman.
    DiffieHellman,
    /// ML-DSA (FIPS 204).
    MlDsa,
    /// An algorithm that is not known here.
    Unknown,
}

impl KeyAlgorithm {
    /// Name as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::RsaPss => "RSA-PSS",
            Self::P192 => "P-192",
            Self::P224 => "P-224",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Secp256k1 => "secp256k1",
            Self::Brainpool => "Brainpool",
            Self::OtherCurve => "another curve",
            Self::ExplicitCurve => "explicit curve parameters",
            Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
            Self::Montgomery => "X25519 or X448",
            Self::Dsa => "DSA",
            Self::DiffieHellman => "Diffie-Hellman",
            Self::MlDsa => "ML-DSA",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is RSA.
    #[must_use]
    pub fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa | Self::RsaPss)
    }
}

/// Facts of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// RSA: the public exponent, `u64::MAX` if it is larger. Others: 0.
    pub exponent: u64,
    /// Size of modulus or field in bits, at most `u16::MAX`; 0 if unknown.
    pub bits: u16,
    /// Algorithm and group.
    pub algorithm: KeyAlgorithm,
    /// Defects that the key shows by itself.
    pub weakness: Weakness,
    /// RSA: what the lists of CVE-2008-0166 hold of a key, see [`debian_fingerprint`].
    pub debian: [u8; 10],
}

/// What the SubjectPublicKeyInfo holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicKey<'a> {
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) bits: u16,
    /// The key itself, content of the bit string.
    pub(crate) octets: &'a [u8],
    /// RSA: modulus and exponent without leading zeros.
    pub(crate) rsa: Option<(&'a [u8], &'a [u8])>,
}

/// Algorithms by the content octets of their identifier.
const ALGORITHMS: &[(&[u8], KeyAlgorithm, u16)] = &[
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], KeyAlgorithm::Rsa, 0),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], KeyAlgorithm::RsaPss, 0),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], KeyAlgorithm::Dsa, 0),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3e, 2, 1], KeyAlgorithm::DiffieHellman, 0),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 3, 1], KeyAlgorithm::DiffieHellman, 0),
    (&[0x2b, 0x65, 0x6e], KeyAlgorithm::Montgomery, 255),
    (&[0x2b, 0x65, 0x6f], KeyAlgorithm::Montgomery, 448),
    (&[0x2b, 0x65, 0x70], KeyAlgorithm::Ed25519, 255),
    (&[0x2b, 0x65, 0x71], KeyAlgorithm::Ed448, 448),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17], KeyAlgorithm::MlDsa, 0),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18], KeyAlgorithm::MlDsa, 0),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 19], KeyAlgorithm::MlDsa, 0),
];

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

const CURVES: &[(&[u8], KeyAlgorithm, u16)] = &[
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], KeyAlgorithm::P256, 256),
    (&[0x2b, 0x81, 4, 0, 34], KeyAlgorithm::P384, 384),
    (&[0x2b, 0x81, 4, 0, 35], KeyAlgorithm::P521, 521),
    (&[0x2b, 0x81, 4, 0, 33], KeyAlgorithm::P224, 224),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1], KeyAlgorithm::P192, 192),
    (&[0x2b, 0x81, 4, 0, 10], KeyAlgorithm::Secp256k1, 256),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7], KeyAlgorithm::Brainpool, 256),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11], KeyAlgorithm::Brainpool, 384),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13], KeyAlgorithm::Brainpool, 512),
];

const FIELD: &str = "tbsCertificate.subjectPublicKeyInfo";
const RSA_FIELD: &str = "tbsCertificate.subjectPublicKeyInfo.subjectPublicKey (RSAPublicKey)";

/// Reads a SubjectPublicKeyInfo. A key whose inside cannot be read has size 0 and gives a fault beside.
pub(crate) fn public_key<'a>(info: Node<'a>, faults: &mut Vec<Fault>) -> Result<PublicKey<'a>, Fault> {
    let mut inside = info.inside();
    let mut identifier = inside.expect(tag::SEQUENCE, FIELD)?.inside();
    let oid = identifier.expect(tag::OID, FIELD)?.body;
    let key = inside.expect(tag::BIT_STRING, FIELD)?;
    inside.end(FIELD)?;
    let (octets, unused) = key.bits(FIELD)?;
    if unused != 0 {
        faults.push(key.fault(FIELD, Flaw::Value("key with unused bits")));
    }
    let mut found = PublicKey { algorithm: KeyAlgorithm::Unknown, bits: 0, octets, rsa: None };
    if oid == EC_PUBLIC_KEY {
        let parameters = if identifier.is_empty() { None } else { Some(identifier.take(FIELD)?) };
        (found.algorithm, found.bits) = curve(parameters, octets);
        return Ok(found);
    }
    if let Some((_, algorithm, bits)) = ALGORITHMS.iter().find(|(known, ..)| *known == oid) {
        (found.algorithm, found.bits) = (*algorithm, *bits);
    }
    // RFC 3279, section 2.3.1: the parameters of RSA are NULL.
    if found.algorithm == KeyAlgorithm::Rsa
        && !matches!(identifier.take(FIELD), Ok(Node { full: [5, 0], .. }))
    {
        faults.push(info.fault(FIELD, Flaw::Value("parameters of an RSA key are not NULL")));
    }
    let read = match found.algorithm {
        KeyAlgorithm::Rsa | KeyAlgorithm::RsaPss => rsa_numbers(key, octets).map(|numbers| {
            found.bits = bit_length(numbers.0);
            found.rsa = Some(numbers);
        }),
        // The first parameter of both is the prime modulus.
        KeyAlgorithm::Dsa | KeyAlgorithm::DiffieHellman if !identifier.is_empty() => identifier
            .take(FIELD)
            .and_then(|parameters| parameters.inside().expect(tag::INTEGER, FIELD))
            .map(|prime| found.bits = bit_length(unsigned(prime.body))),
        _ => Ok(()),
    };
    faults.extend(read.err());
    Ok(found)
}

fn curve(parameters: Option<Node<'_>>, point: &[u8]) -> (KeyAlgorithm, u16) {
    // An uncompressed point is a byte and two coordinates.
    let by_point = match point.split_first() {
        Some((4, coordinates)) => u16::try_from(coordinates.len() * 4).unwrap_or(u16::MAX),
        _ => 0,
    };
    match parameters {
        Some(parameters) if parameters.tag == tag::OID => CURVES
            .iter()
            .find(|(known, ..)| *known == parameters.body)
            .map_or((KeyAlgorithm::OtherCurve, by_point), |(_, algorithm, bits)| (*algorithm, *bits)),
        Some(parameters) if parameters.tag == tag::SEQUENCE => (KeyAlgorithm::ExplicitCurve, by_point),
        _ => (KeyAlgorithm::OtherCurve, by_point),
    }
}

fn rsa_numbers<'a>(key: Node<'a>, octets: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Fault> {
    // The bit string has one byte before the key.
    let mut bit_string = key;
    bit_string.body = octets;
    let mut outer = bit_string.inside();
    let mut pair = outer.expect(tag::SEQUENCE, RSA_FIELD)?.inside();
    let (modulus, exponent) = (pair.expect(tag::INTEGER, RSA_FIELD)?, pair.expect(tag::INTEGER, RSA_FIELD)?);
    pair.end(RSA_FIELD)?;
    outer.end(RSA_FIELD)?;
    for number in [modulus, exponent] {
        if number.body.first().is_none_or(|byte| byte & 0x80 != 0) {
            return Err(number.fault(RSA_FIELD, Flaw::Value("number is empty or negative")));
        }
    }
    if modulus.body.len() > rsa::MODULUS_BYTES_MAX {
        return Err(modulus.fault(RSA_FIELD, Flaw::TooLarge));
    }
    Ok((unsigned(modulus.body), unsigned(exponent.body)))
}

/// The bytes of an INTEGER without leading zeros.
pub(crate) fn unsigned(body: &[u8]) -> &[u8] {
    let zeros = body.iter().take_while(|byte| **byte == 0).count();
    body.get(zeros..).unwrap_or_default()
}

fn bit_length(number: &[u8]) -> u16 {
    let Some(first) = number.first() else { return 0 };
    let bits = number.len() * 8 - first.leading_zeros() as usize;
    u16::try_from(bits).unwrap_or(u16::MAX)
}

/// The modulus of an RSA key in a SubjectPublicKeyInfo, big-endian without leading zeros.
#[must_use]
pub fn rsa_modulus(info: &[u8]) -> Option<&[u8]> {
    let info = single(info, tag::SEQUENCE, FIELD).ok()?;
    public_key(info, &mut Vec::new()).ok()?.rsa.map(|(modulus, _)| modulus)
}

impl Key {
    /// Reads and examines a SubjectPublicKeyInfo, as a key without a certificate has it.
    ///
    /// # Errors
    /// The fault that makes it unreadable, with its offset.
    pub fn parse(der: &[u8]) -> Result<Self, Fault> {
        let mut faults = Vec::new();
        let key = public_key(single(der, tag::SEQUENCE, FIELD)?, &mut faults)?;
        match faults.first() {
            Some(fault) if key.algorithm.is_rsa() && key.rsa.is_none() => Err(*fault),
            _ => Ok(Self::of(&key)),
        }
    }

    /// Examines the key.
    pub(crate) fn of(key: &PublicKey<'_>) -> Self {
        let mut facts = Self {
            exponent: 0,
            bits: key.bits,
            algorithm: key.algorithm,
            weakness: Weakness::default(),
            debian: [0; 10],
        };
        if let Some((modulus, exponent)) = key.rsa {
            facts.exponent = if exponent.len() > 8 {
                u64::MAX
            } else {
                exponent.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
            };
            facts.weakness = rsa::weaknesses(modulus, exponent);
            facts.debian = debian_fingerprint(modulus);
        }
        facts
    }
}

/// The last ten bytes of the SHA-1 of `Modulus=HEX\n`, as the lists of weak Debian keys hold them
/// (`device-defender-audit.md`, section 5; the text is what `openssl rsa -modulus` prints).
#[must_use]
pub fn debian_fingerprint(modulus: &[u8]) -> [u8; 10] {
    let mut text = String::with_capacity(modulus.len() * 2 + 10);
    for byte in modulus {
        hex(*byte, &mut text);
    }
    text.make_ascii_uppercase();
    let digits = text.trim_start_matches('0');
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in ["Modulus=", digits, "\n"] {
        context.update(part.as_bytes());
    }
    let mut last = [0; 10];
    let hash = context.finish();
    last.iter_mut().zip(hash.as_ref().iter().skip(10)).for_each(|(to, from)| *to = *from);
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_bits() {
        for (number, bits) in [(&[][..], 0), (&[1], 1), (&[0x80], 8), (&[1, 0], 9), (&[0xff; 256], 2048)] {
            assert_eq!(bit_length(number), bits);
        }
    }

    /// `printf 'Modulus=C0FFEE\n' | sha1sum` gives 76a66950d044dc5370296149ed99475722f13e18.
    #[test]
    fn fingerprints_of_the_debian_lists() {
        let mut text = String::new();
        debian_fingerprint(&[0xc0, 0xff, 0xee]).iter().for_each(|byte| hex(*byte, &mut text));
        assert_eq!(text, "6149ed99475722f13e18");
    }
}
