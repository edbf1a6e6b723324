//! Signature algorithms, and the check of a signature (with `ring`).

use ring::signature as algorithms;
use ring::signature::{UnparsedPublicKey, VerificationAlgorithm};

use super::der::{Node, tag};
use super::key::{KeyAlgorithm, PublicKey};

/// How a certificate or CRL is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureAlgorithm {
    /// RSA with MD2.
    RsaMd2,
    /// RSA with MD4.
    RsaMd4,
    /// RSA with MD5.
    RsaMd5,
    /// RSA with SHA-1.
    RsaSha1,
    /// RSA with SHA-224.
    RsaSha224,
    /// RSA with SHA-256.
    RsaSha256,
    /// RSA with SHA-384.
    RsaSha384,
    /// RSA with SHA-512.
    RsaSha512,
    /// RSASSA-PSS with SHA-1, the default of its parameters.
    PssSha1,
    /// RSASSA-PSS with SHA-256.
    PssSha256,
    /// RSASSA-PSS with SHA-384.
    PssSha384,
    /// RSASSA-PSS with SHA-512.
    PssSha512,
    /// ECDSA with SHA-1.
    EcdsaSha1,
    /// ECDSA with SHA-224.
    EcdsaSha224,
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// DSA with SHA-1.
    DsaSha1,
    /// DSA with SHA-224 or SHA-256.
    DsaSha2,
    /// Ed25519.
    Ed25519,
    /// Ed448.
    Ed448,
    /// ML-DSA (FIPS 204).
    MlDsa,
    /// An algorithm that is not known here.
    Unknown,
}

use SignatureAlgorithm as S;

impl SignatureAlgorithm {
    /// Name as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            S::RsaMd2 => "MD2 with RSA",
            S::RsaMd4 => "MD4 with RSA",
            S::RsaMd5 => "MD5 with RSA",
            S::RsaSha1 => "SHA-1 with RSA",
            S::RsaSha224 => "SHA-224 with RSA",
            S::RsaSha256 => "SHA-256 with RSA",
            S::RsaSha384 => "SHA-384 with RSA",
            S::RsaSha512 => "SHA-512 with RSA",
            S::PssSha1 => "RSA-PSS with SHA-1",
            S::PssSha256 => "RSA-PSS with SHA-256",
            S::PssSha384 => "RSA-PSS with SHA-384",
            S::PssSha512 => "RSA-PSS with SHA-512",
            S::EcdsaSha1 => "ECDSA with SHA-1",
            S::EcdsaSha224 => "ECDSA with SHA-224",
            S::EcdsaSha256 => "ECDSA with SHA-256",
            S::EcdsaSha384 => "ECDSA with SHA-384",
            S::EcdsaSha512 => "ECDSA with SHA-512",
            S::DsaSha1 => "DSA with SHA-1",
            S::DsaSha2 => "DSA with SHA-2",
            S::Ed25519 => "Ed25519",
            S::Ed448 => "Ed448",
            S::MlDsa => "ML-DSA",
            S::Unknown => "an unknown algorithm",
        }
    }

    /// Whether the hash no longer resists collisions: a forged certificate can carry the signature
    /// (MD5: Stevens et al. 2009; SHA-1: Leurent and Peyrin 2020).
    #[must_use]
    pub fn is_weak(self) -> bool {
        matches!(
            self,
            S::RsaMd2 | S::RsaMd4 | S::RsaMd5 | S::RsaSha1 | S::PssSha1 | S::EcdsaSha1 | S::DsaSha1
        )
    }
}

const PKCS1: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const ANSI_ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4];
const NIST: [u8; 7] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4];

/// Reads an AlgorithmIdentifier; what cannot be read is unknown.
pub(crate) fn algorithm(identifier: Node<'_>) -> SignatureAlgorithm {
    let mut inside = identifier.inside();
    let Ok(oid) = inside.expect(tag::OID, "signatureAlgorithm") else { return S::Unknown };
    let oid = oid.body;
    if let Some(rest) = oid.strip_prefix(&PKCS1) {
        return match rest {
            [2] => S::RsaMd2,
            [3] => S::RsaMd4,
            [4] => S::RsaMd5,
            [5] => S::RsaSha1,
            [10] => pss(inside.take("signatureAlgorithm").ok()),
            [11] => S::RsaSha256,
            [12] => S::RsaSha384,
            [13] => S::RsaSha512,
            [14] => S::RsaSha224,
            _ => S::Unknown,
        };
    }
    if let Some(rest) = oid.strip_prefix(&ANSI_ECDSA) {
        return match rest {
            [1] => S::EcdsaSha1,
            [3, 1] => S::EcdsaSha224,
            [3, 2] => S::EcdsaSha256,
            [3, 3] => S::EcdsaSha384,
            [3, 4] => S::EcdsaSha512,
            _ => S::Unknown,
        };
    }
    match oid.strip_prefix(&NIST) {
        Some([3, 1 | 2]) => S::DsaSha2,
        Some([3, 17..=19]) => S::MlDsa,
        _ => match oid {
            [0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3] => S::DsaSha1,
            [0x2b, 0x0e, 3, 2, 29] => S::RsaSha1,
            [0x2b, 0x65, 0x70] => S::Ed25519,
            [0x2b, 0x65, 0x71] => S::Ed448,
            _ => S::Unknown,
        },
    }
}

/// RSASSA-PSS-params (RFC 4055, section 3.1): the hash is `[0]`, SHA-1 by default.
fn pss(parameters: Option<Node<'_>>) -> SignatureAlgorithm {
    let hash = parameters.and_then(|parameters| {
        let explicit = parameters.inside().optional(tag::constructed(0), "hashAlgorithm").ok()??;
        let identifier = explicit.inside().expect(tag::SEQUENCE, "hashAlgorithm").ok()?;
        Some(identifier.inside().expect(tag::OID, "hashAlgorithm").ok()?.body)
    });
    match hash.map(|oid| oid.strip_prefix(&NIST)) {
        None => S::PssSha1,
        Some(Some([2, 1])) => S::PssSha256,
        Some(Some([2, 2])) => S::PssSha384,
        Some(Some([2, 3])) => S::PssSha512,
        Some(_) => S::Unknown,
    }
}

/// Outcome of a signature check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    Good,
    Bad,
    /// The library does not offer this algorithm with this key; nothing is known.
    NotOffered,
}

/// Checks `signature` over `signed` with `key`.
pub(crate) fn check(
    algorithm: SignatureAlgorithm,
    key: &PublicKey<'_>,
    signed: &[u8],
    signature: &[u8],
) -> Checked {
    let Some(verifier) = verifier(algorithm, key) else { return Checked::NotOffered };
    match UnparsedPublicKey::new(verifier, key.octets).verify(signed, signature) {
        Ok(()) => Checked::Good,
        Err(ring::error::Unspecified) => Checked::Bad,
    }
}

/// Keys below 2,048 bits are checked as well: that they are short is a finding of its own.
fn verifier(
    algorithm: SignatureAlgorithm,
    key: &PublicKey<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let bits = key.bits;
    Some(match (key.algorithm, algorithm) {
        (KeyAlgorithm::Rsa, S::RsaSha1) if (1024..=8192).contains(&bits) => {
            &algorithms::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        (KeyAlgorithm::Rsa, S::RsaSha256) if (1024..=8192).contains(&bits) => {
            &algorithms::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        }
        (KeyAlgorithm::Rsa, S::RsaSha384) if (2048..=8192).contains(&bits) => {
            &algorithms::RSA_PKCS1_2048_8192_SHA384
        }
        (KeyAlgorithm::Rsa, S::RsaSha512) if (1024..=8192).contains(&bits) => {
            &algorithms::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        }
        (KeyAlgorithm::Rsa | KeyAlgorithm::RsaPss, S::PssSha256) if (2048..=8192).contains(&bits) => {
            &algorithms::RSA_PSS_2048_8192_SHA256
        }
        (KeyAlgorithm::Rsa | KeyAlgorithm::RsaPss, S::PssSha384) if (2048..=8192).contains(&bits) => {
            &algorithms::RSA_PSS_2048_8192_SHA384
        }
        (KeyAlgorithm::Rsa | KeyAlgorithm::RsaPss, S::PssSha512) if (2048..=8192).contains(&bits) => {
            &algorithms::RSA_PSS_2048_8192_SHA512
        }
        (KeyAlgorithm::P256, S::EcdsaSha256) => &algorithms::ECDSA_P256_SHA256_ASN1,
        (KeyAlgorithm::P256, S::EcdsaSha384) => &algorithms::ECDSA_P256_SHA384_ASN1,
        (KeyAlgorithm::P384, S::EcdsaSha256) => &algorithms::ECDSA_P384_SHA256_ASN1,
        (KeyAlgorithm::P384, S::EcdsaSha384) => &algorithms::ECDSA_P384_SHA384_ASN1,
        (KeyAlgorithm::Ed25519, S::Ed25519) => &algorithms::ED25519,
        _ => return None,
    })
}
