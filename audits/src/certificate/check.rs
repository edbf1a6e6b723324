//! The checks of certificates and CRLs, in one table.
//!
//! The first nine are those of AWS IoT Device Defender, with its names, severities, reason codes and
//! parameters (`device-defender-audit.md`, sections 1 and 2); the others are ours.

use crate::catalogue::{Basis, ParameterInfo};
use crate::finding::Severity;

/// A reason code and the sentence that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `reasonForNonComplianceCode`.
    pub code: &'static str,
    /// Sentence with placeholders such as `{number}`.
    pub text: &'static str,
}

/// A parameter of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name as AWS has it, or of ours in the same form.
    pub name: &'static str,
    /// Default and bounds of a number; `None`: a list of words.
    pub number: Option<Bounds>,
}

impl Parameter {
    /// As the catalogue has it.
    #[must_use]
    pub fn info(&self) -> ParameterInfo {
        let (default, allowed) = match self.number {
            Some(Bounds { default, min, max }) => {
                (default.to_string().into(), format!("a whole number from {min} to {max}").into())
            }
            None => super::parameters::words_info(self.name),
        };
        ParameterInfo { name: self.name.into(), default, allowed }
    }
}

/// Default and allowed values of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Value unless set.
    pub default: u32,
    /// Smallest value allowed.
    pub min: u32,
    /// Largest value allowed.
    pub max: u32,
}

/// One check, as users read it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Which one.
    pub id: CheckId,
    /// Name.
    pub name: &'static str,
    /// Severity of its findings.
    pub severity: Severity,
    /// Where it comes from.
    pub basis: Basis,
    /// Whether it runs unless switched off.
    pub default_on: bool,
    /// Whether a CA that it finds is identified as an issuer.
    pub(crate) by_issuer: bool,
    /// Reason codes.
    pub codes: &'static [Code],
    /// Parameters.
    pub parameters: &'static [Parameter],
    /// What it notices.
    pub notices: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// References.
    pub references: &'static str,
}

/// The checks, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CheckId {
    /// `REVOKED_CA_CERTIFICATE_STILL_ACTIVE_CHECK`
    RevokedAuthority,
    /// `INTERMEDIATE_CA_REVOKED_FOR_ACTIVE_DEVICE_CERTIFICATES_CHECK`
    RevokedIntermediate,
    /// `DEVICE_CERTIFICATE_SHARED_CHECK`
    SharedCertificate,
    /// `DEVICE_CERTIFICATE_KEY_QUALITY_CHECK`
    DeviceKeyQuality,
    /// `CA_CERTIFICATE_KEY_QUALITY_CHECK`
    AuthorityKeyQuality,
    /// `CA_CERTIFICATE_EXPIRING_CHECK`
    AuthorityExpiring,
    /// `DEVICE_CERTIFICATE_EXPIRING_CHECK`
    DeviceExpiring,
    /// `DEVICE_CERTIFICATE_AGE_CHECK`
    DeviceAge,
    /// `REVOKED_DEVICE_CERTIFICATE_STILL_ACTIVE_CHECK`
    RevokedDevice,
    /// `CERTIFICATE_UNREADABLE_CHECK`
    Unreadable,
    /// `CERTIFICATE_MALFORMED_CHECK`
    Malformed,
    /// `CERTIFICATE_KEY_SHORT_CHECK`
    KeyShort,
    /// `CERTIFICATE_KEY_ALGORITHM_CHECK`
    KeyAlgorithm,
    /// `CERTIFICATE_KEY_BROKEN_CHECK`
    KeyBroken,
    /// `CERTIFICATE_KEY_EXPONENT_CHECK`
    KeyExponent,
    /// `CERTIFICATE_KEY_SHARED_PRIME_CHECK`
    SharedPrime,
    /// `CERTIFICATE_KEY_PUBLIC_CHECK`
    KeyPublic,
    /// `CERTIFICATE_KEY_REUSED_CHECK`
    KeyReused,
    /// `CERTIFICATE_SIGNATURE_WEAK_CHECK`
    SignatureWeak,
    /// `DEVICE_CERTIFICATE_IS_CA_CHECK`
    DeviceIsAuthority,
    /// `DEVICE_CERTIFICATE_USAGE_CHECK`
    DeviceUsage,
    /// `CA_CERTIFICATE_USAGE_CHECK`
    AuthorityUsage,
    /// `CERTIFICATE_VALIDITY_TOO_LONG_CHECK`
    ValidityTooLong,
    /// `CERTIFICATE_NOT_YET_VALID_CHECK`
    NotYetValid,
    /// `CERTIFICATE_NAME_MISMATCH_CHECK`
    NameMismatch,
    /// `CERTIFICATE_PATH_CHECK`
    PathRefused,
    /// `CERTIFICATE_NO_REVOCATION_SOURCE_CHECK`
    NoRevocationSource,
    /// `CRL_STALE_CHECK`
    ListStale,
    /// `CRL_SIGNATURE_CHECK`
    ListSignature,
    /// `CRL_MISSING_CHECK`
    ListMissing,
    /// `CERTIFICATE_SERIAL_REUSED_CHECK`
    SerialReused,
}

impl CheckId {
    /// The entry of the table.
    #[must_use]
    pub fn check(self) -> &'static Check {
        #[expect(
            clippy::indexing_slicing,
            reason = "INVARIANT: one entry per id in the same order; a test walks it"
        )]
        &CHECKS[self as usize]
    }

    /// The check with `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        CHECKS.iter().find(|check| check.name == name).map(|check| check.id)
    }
}

const fn number(name: &'static str, default: u32, min: u32, max: u32) -> Parameter {
    Parameter { name, number: Some(Bounds { default, min, max }) }
}

const fn words(name: &'static str) -> Parameter {
    Parameter { name, number: None }
}

/// All checks.
pub static CHECKS: [Check; 31] = [
    Check {
        id: CheckId::RevokedAuthority,
        name: "REVOKED_CA_CERTIFICATE_STILL_ACTIVE_CHECK",
        severity: Severity::Critical,
        basis: Basis::Aws,
        default_on: true,
        by_issuer: false,
        codes: &[Code {
            code: "CERTIFICATE_REVOKED_BY_ISSUER",
            text: "CA certificate was revoked by its issuer on {date} and is still active.",
        }],
        parameters: &[],
        notices: "A CA certificate that is active or in transfer although its issuer's CRL lists it.",
        why: "Whoever holds the revoked CA's key can make device certificates that are accepted.",
        remedy: "Set the CA certificate to INACTIVE, look for device certificates that were registered since the revocation, and register a new CA.",
        references: "RFC 5280, section 5; device-defender-audit.md, check 1",
    },
    Check {
        id: CheckId::RevokedIntermediate,
        name: "INTERMEDIATE_CA_REVOKED_FOR_ACTIVE_DEVICE_CERTIFICATES_CHECK",
        severity: Severity::Critical,
        basis: Basis::Aws,
        default_on: true,
        by_issuer: true,
        codes: &[Code {
            code: "INTERMEDIATE_CA_REVOKED_BY_ISSUER",
            text: "Intermediate CA was revoked by its issuer; {number} active device certificates depend on it.",
        }],
        parameters: &[],
        notices: "An intermediate CA on the CRL of its issuer, above device certificates that are still active. One finding per CA.",
        why: "A device certificate is worth no more than the CAs above it.",
        remedy: "Give the devices certificates of another CA, then deactivate those of the revoked one.",
        references: "RFC 5280, section 6.3; device-defender-audit.md, check 2",
    },
    Check {
        id: CheckId::SharedCertificate,
        name: "DEVICE_CERTIFICATE_SHARED_CHECK",
        severity: Severity::Critical,
        basis: Basis::Aws,
        default_on: true,
        by_issuer: false,
        codes: &[Code {
            code: "CERTIFICATE_SHARED_BY_MULTIPLE_DEVICES",
            text: "Certificate shared by multiple devices: {number} client ids were connected with it at the same time.",
        }],
        parameters: &[],
        notices: "One certificate with which sessions of two or more client ids overlapped.",
        why: "A copied key cannot be taken from one device without the others, and one that is stolen speaks for all.",
        remedy: "Give each device its own key and certificate, then deactivate the shared one; treat it as stolen until you know better.",
        references: "device-defender-audit.md, check 3 (trigger inferred there)",
    },
    Check {
        id: CheckId::DeviceKeyQuality,
        name: "DEVICE_CERTIFICATE_KEY_QUALITY_CHECK",
        severity: Severity::Critical,
        basis: Basis::Aws,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code {
                code: "CERTIFICATE_KEY_VULNERABILITY_CVE-2017-15361",
                text: "Key carries the fingerprint of Infineon's RSA library (ROCA).",
            },
            Code {
                code: "CERTIFICATE_KEY_VULNERABILITY_CVE-2008-0166",
                text: "Key is one of those that Debian's OpenSSL could make.",
            },
        ],
        parameters: &[],
        notices: "RSA keys of device certificates made by Infineon's RSALib 1.02.013, or by the OpenSSL of Debian from 2006 to 2008 (needs lists).",
        why: "The private key can be computed or looked up.",
        remedy: "Make a new key on the device (ROCA: outside the affected chip or after its firmware update), and revoke the certificate.",
        references: "Nemec et al., The Return of Coppersmith's Attack, 2017; CVE-2008-0166; device-defender-audit.md, check 4 and section 5",
    },
    Check {
        id: CheckId::AuthorityKeyQuality,
        name: "CA_CERTIFICATE_KEY_QUALITY_CHECK",
        severity: Severity::Critical,
        basis: Basis::Aws,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code {
                code: "CERTIFICATE_KEY_VULNERABILITY_CVE-2017-15361",
                text: "Key carries the fingerprint of Infineon's RSA library (ROCA).",
            },
            Code {
                code: "CERTIFICATE_KEY_VULNERABILITY_CVE-2008-0166",
                text: "Key is one of those that Debian's OpenSSL could make.",
            },
        ],
        parameters: &[],
        notices: "The same as for device certificates, in CA certificates.",
        why: "Whoever computes the CA's key makes certificates for any device.",
        remedy: "Register a CA with a new key, move the devices over, and deactivate this one.",
        references: "device-defender-audit.md, check 5 and section 5",
    },
    Check {
        id: CheckId::AuthorityExpiring,
        name: "CA_CERTIFICATE_EXPIRING_CHECK",
        severity: Severity::Medium,
        basis: Basis::Aws,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code {
                code: "CERTIFICATE_APPROACHING_EXPIRATION",
                text: "Certificate is approaching its expiration.",
            },
            Code { code: "CERTIFICATE_PAST_EXPIRATION", text: "Certificate is past its expiration." },
        ],
        parameters: &[],
        notices: "A CA certificate that ends within 30 days or has ended.",
        why: "Devices with certificates of an expired CA can no longer be registered, and brokers that validate paths refuse them.",
        remedy: "Register the successor in time and let it issue the next certificates.",
        references: "device-defender-audit.md, check 12",
    },
    Check {
        id: CheckId::DeviceExpiring,
        name: "DEVICE_CERTIFICATE_EXPIRING_CHECK",
        severity: Severity::Medium,
        basis: Basis::Aws,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code {
                code: "CERTIFICATE_APPROACHING_EXPIRATION",
                text: "Certificate is approaching its expiration.",
            },
            Code { code: "CERTIFICATE_PAST_EXPIRATION", text: "Certificate is past its expiration." },
        ],
        parameters: &[number("CERT_EXPIRATION_THRESHOLD_IN_DAYS", 30, 30, 3652)],
        notices: "A device certificate that is active and ends within the threshold, or has ended.",
        why: "The device loses its connection on that day; one that has ended and is still active is accepted by brokers that do not look at the time.",
        remedy: "Renew it in time by a rotation job; deactivate those of devices that are gone.",
        references: "device-defender-audit.md, check 13",
    },
    Check {
        id: CheckId::DeviceAge,
        name: "DEVICE_CERTIFICATE_AGE_CHECK",
        severity: Severity::Low,
        basis: Basis::Aws,
        default_on: false,
        by_issuer: false,
        codes: &[Code {
            code: "CERTIFICATE_PAST_AGE_THRESHOLD",
            text: "Certificate has been active for {number} days.",
        }],
        parameters: &[number("CERT_AGE_THRESHOLD_IN_DAYS", 365, 30, 3652)],
        notices: "A device certificate that has been active for as many days as the threshold or more.",
        why: "The longer a key is in use, the more chances there were to copy it.",
        remedy: "Rotate the certificates by a job, with a new key each.",
        references: "device-defender-audit.md, check 14",
    },
    Check {
        id: CheckId::RevokedDevice,
        name: "REVOKED_DEVICE_CERTIFICATE_STILL_ACTIVE_CHECK",
        severity: Severity::Medium,
        basis: Basis::Aws,
        default_on: true,
        by_issuer: false,
        codes: &[Code {
            code: "CERTIFICATE_REVOKED_BY_ISSUER",
            text: "Certificate was revoked by its issuer on {date} and is still active.",
        }],
        parameters: &[],
        notices: "A device certificate that is active or in transfer although its CA's CRL lists it.",
        why: "It was revoked for a reason; a registry or broker that does not read the CRL goes on accepting it.",
        remedy: "Deactivate the certificate, and let the broker check the CRL.",
        references: "RFC 5280, section 5.3.1; device-defender-audit.md, check 16",
    },
    Check {
        id: CheckId::Unreadable,
        name: "CERTIFICATE_UNREADABLE_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "CERTIFICATE_UNREADABLE", text: "Cannot be read: {cause}." },
            Code { code: "CRL_UNREADABLE", text: "Cannot be read: {cause}." },
        ],
        parameters: &[],
        notices: "A file or registry entry that should be a certificate or CRL and is none.",
        why: "Nothing can be said of it, and a CRL that cannot be read revokes nothing.",
        remedy: "Look at the named place of the file; export it anew as DER or PEM.",
        references: "RFC 5280, sections 4.1 and 5.1; RFC 7468",
    },
    Check {
        id: CheckId::Malformed,
        name: "CERTIFICATE_MALFORMED_CHECK",
        severity: Severity::Low,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[Code { code: "ENCODING_FAULT", text: "Breaks rules of the format: {faults}." }],
        parameters: &[],
        notices: "A certificate that can be read although parts of it break DER or RFC 5280: serial number, times, version, an extension.",
        why: "One implementation accepts it and the next refuses it; differences of that kind have let forged certificates pass.",
        remedy: "Correct the profile of the CA that issued it, and issue it anew.",
        references: "RFC 5280, section 4; X.690, sections 10 and 11",
    },
    Check {
        id: CheckId::KeyShort,
        name: "CERTIFICATE_KEY_SHORT_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "RSA_KEY_SHORT", text: "{key} key of {number} bits." },
            Code { code: "EC_KEY_SHORT", text: "{key} key of {number} bits." },
            Code { code: "DSA_KEY_SHORT", text: "{key} key of {number} bits." },
        ],
        parameters: &[number("RSA_BITS_MIN", 2048, 1024, 16384), number("EC_BITS_MIN", 256, 160, 521)],
        notices: "RSA and DSA keys below 2,048 bits and curves below 256 bits.",
        why: "1,024 bits are within reach of those who can pay for it, 512 bits of everybody.",
        remedy: "Make a P-256 or RSA-2048 key on the device and replace the certificate.",
        references: "NIST SP 800-57 part 1, section 5.6.1; device-defender-audit.md, section 5",
    },
    Check {
        id: CheckId::KeyAlgorithm,
        name: "CERTIFICATE_KEY_ALGORITHM_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code {
                code: "KEY_ALGORITHM_NOT_ALLOWED",
                text: "Key of {key}, which is not among those allowed.",
            },
            Code { code: "EXPLICIT_CURVE", text: "Curve parameters are spelled out." },
        ],
        parameters: &[words("KEY_ALGORITHMS")],
        notices: "Keys of algorithms and curves other than the allowed ones (RSA, P-256, P-384, P-521, Ed25519), and curves whose parameters are spelled out.",
        why: "Brokers refuse them, or worse, few have tested how they are handled; spelled-out parameters let a forger choose the generator (CVE-2020-0601).",
        remedy: "Use P-256 or RSA-2048.",
        references: "RFC 5480, section 2.1.1; device-defender-audit.md, section 5",
    },
    Check {
        id: CheckId::KeyBroken,
        name: "CERTIFICATE_KEY_BROKEN_CHECK",
        severity: Severity::Critical,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "MODULUS_EVEN", text: "RSA modulus is even, one or zero." },
            Code { code: "MODULUS_SMALL_FACTOR", text: "RSA modulus has a small prime factor." },
            Code { code: "MODULUS_CLOSE_PRIMES", text: "RSA modulus is factored by Fermat's method." },
            Code {
                code: "MODULUS_STRUCTURED",
                text: "RSA modulus is not random: most of its words begin with zeros.",
            },
            Code { code: "EXPONENT_USELESS", text: "RSA exponent is one, even, or not below the modulus." },
        ],
        parameters: &[],
        notices: "RSA keys that can be factored at once, or that protect nothing.",
        why: "The private key follows from the public one.",
        remedy: "Find out which generator made the key; no key from it can be trusted. Replace key and certificate.",
        references: "CVE-2022-26320; de Weger 2002; NIST SP 800-89, section 5.3.3",
    },
    Check {
        id: CheckId::KeyExponent,
        name: "CERTIFICATE_KEY_EXPONENT_CHECK",
        severity: Severity::Low,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "EXPONENT_SMALL", text: "RSA exponent {number}." },
            Code { code: "EXPONENT_LARGE", text: "RSA exponent is larger than 32 bits." },
        ],
        parameters: &[],
        notices: "RSA exponents below 65,537, and those above 32 bits.",
        why: "Small ones turn mistakes in padding into forgeries; large ones are refused by many libraries and often mean a small private exponent (Wiener 1990).",
        remedy: "Make keys with the exponent 65,537.",
        references: "NIST SP 800-56B, section 6.2; Bleichenbacher 2006 (CVE-2006-4339)",
    },
    Check {
        id: CheckId::SharedPrime,
        name: "CERTIFICATE_KEY_SHARED_PRIME_CHECK",
        severity: Severity::Critical,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "PRIME_SHARED", text: "RSA modulus shares a prime with {number} other keys." },
            Code { code: "FACTOR_BELOW_65536", text: "RSA modulus has a prime factor below 65,536." },
        ],
        parameters: &[],
        notices: "RSA moduli of the fleet that have a prime in common, found by one pass over all of them.",
        why: "The greatest common divisor of two moduli breaks both keys; anybody who collects certificates can do it.",
        remedy: "Give the devices entropy before they make keys (a seed of the factory, a hardware generator), and replace all keys of that production run.",
        references: "Heninger et al., Mining your Ps and Qs, 2012",
    },
    Check {
        id: CheckId::KeyPublic,
        name: "CERTIFICATE_KEY_PUBLIC_CHECK",
        severity: Severity::Critical,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[Code {
            code: "PRIVATE_KEY_PUBLISHED",
            text: "The private key of this certificate is public.",
        }],
        parameters: &[],
        notices: "Keys on a list of those whose private half was published, such as those found in firmware (needs lists).",
        why: "Everybody can be this device.",
        remedy: "Replace key and certificate by ones made on each device; ask the vendor for firmware without a built-in key.",
        references: "SEC Consult, House of Keys, 2015; CVE-2015-7256",
    },
    Check {
        id: CheckId::KeyReused,
        name: "CERTIFICATE_KEY_REUSED_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code {
                code: "KEY_IN_OTHER_CERTIFICATE",
                text: "The same public key is in {number} certificates of different subjects.",
            },
            Code {
                code: "KEY_KEPT_ON_RENEWAL",
                text: "The same public key is in {number} active certificates of one subject.",
            },
        ],
        parameters: &[],
        notices: "One public key under several active certificates. One finding per key.",
        why: "Under different subjects it is a key built into the firmware: whoever opens one device is all of them. Under one subject, renewal keeps the chances that a copied key had.",
        remedy: "Make a key per device, on the device; make a new one for each renewal and deactivate the old certificate.",
        references: "NIST SP 800-57 part 1, section 5.3",
    },
    Check {
        id: CheckId::SignatureWeak,
        name: "CERTIFICATE_SIGNATURE_WEAK_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[Code { code: "SIGNATURE_HASH_BROKEN", text: "Signed by {signature}." }],
        parameters: &[],
        notices: "Signatures over MD2, MD4, MD5 or SHA-1. A CA certificate that signs itself is left out: nobody relies on that signature.",
        why: "Two certificates with the same hash carry the same signature; collisions of MD5 cost seconds, of SHA-1 some ten thousand dollars.",
        remedy: "Let the CA sign with SHA-256 and issue the certificate anew.",
        references: "RFC 6151; RFC 9155; Leurent and Peyrin 2020",
    },
    Check {
        id: CheckId::DeviceIsAuthority,
        name: "DEVICE_CERTIFICATE_IS_CA_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "DEVICE_IS_CA", text: "Device certificate says that it is a CA." },
            Code { code: "DEVICE_MAY_SIGN_CERTIFICATES", text: "Device certificate may sign certificates." },
        ],
        parameters: &[],
        notices: "Device certificates with the CA flag or the right to sign certificates.",
        why: "The device's key can issue identities of other devices below its own.",
        remedy: "Issue it anew with basic constraints CA:FALSE and without keyCertSign.",
        references: "RFC 5280, sections 4.2.1.3 and 4.2.1.9",
    },
    Check {
        id: CheckId::DeviceUsage,
        name: "DEVICE_CERTIFICATE_USAGE_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "NO_CLIENT_PURPOSE", text: "Extended key usage without client authentication." },
            Code { code: "NO_SIGNATURE_USAGE", text: "Key usage without digital signature." },
            Code { code: "NOT_VERSION_3", text: "Version before 3: no extension limits its use." },
            Code {
                code: "NO_USAGE_EXTENSIONS",
                text: "Neither key usage nor extended key usage limits its use.",
            },
            Code { code: "UNKNOWN_CRITICAL_EXTENSION", text: "A critical extension that is not known." },
        ],
        parameters: &[],
        notices: "Device certificates whose extensions do not fit a TLS client, or that have none.",
        why: "Brokers that check them refuse the device; without them the key of a device passes for a server's or for code.",
        remedy: "Issue with key usage digitalSignature and extended key usage clientAuth alone.",
        references: "RFC 5280, sections 4.2, 4.2.1.3 and 4.2.1.12; RFC 8446, section 4.4.2.4",
    },
    Check {
        id: CheckId::AuthorityUsage,
        name: "CA_CERTIFICATE_USAGE_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "NOT_A_CA", text: "Registered as a CA, but its basic constraints do not say so." },
            Code {
                code: "MAY_NOT_SIGN_CERTIFICATES",
                text: "Registered as a CA, but its key usage does not allow certificates.",
            },
            Code { code: "UNKNOWN_CRITICAL_EXTENSION", text: "A critical extension that is not known." },
        ],
        parameters: &[],
        notices: "CA certificates that are none by their own extensions.",
        why: "Paths through them are invalid; where they are accepted all the same, any certificate is a CA.",
        remedy: "Register the certificate of the CA itself; issue it with CA:TRUE and keyCertSign.",
        references: "RFC 5280, sections 4.2.1.3 and 4.2.1.9",
    },
    Check {
        id: CheckId::ValidityTooLong,
        name: "CERTIFICATE_VALIDITY_TOO_LONG_CHECK",
        severity: Severity::Low,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[Code { code: "VALIDITY_TOO_LONG", text: "Valid for {number} days." }],
        parameters: &[
            number("DEVICE_VALIDITY_DAYS_MAX", 3660, 1, 36600),
            number("CA_VALIDITY_DAYS_MAX", 9140, 1, 36600),
        ],
        notices: "Validity longer than the parameter (10 years for devices, 25 for CAs).",
        why: "It outlives the algorithms it uses and the people who know of it.",
        remedy: "Issue for shorter and renew by a job.",
        references: "NIST SP 800-57 part 1, section 5.3.6",
    },
    Check {
        id: CheckId::NotYetValid,
        name: "CERTIFICATE_NOT_YET_VALID_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "NOT_YET_VALID", text: "Valid from {date} on." },
            Code { code: "VALIDITY_REVERSED", text: "Ends before it begins, on {date}." },
        ],
        parameters: &[],
        notices: "Active certificates whose validity has not begun, or ends before it begins.",
        why: "The device is refused; a clock that is wrong at the CA makes whole batches of them.",
        remedy: "Correct the clock of the CA and issue the certificate anew.",
        references: "RFC 5280, section 4.1.2.5",
    },
    Check {
        id: CheckId::NameMismatch,
        name: "CERTIFICATE_NAME_MISMATCH_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[Code {
            code: "NAME_DOES_NOT_MATCH_THING",
            text: "No name of `{subject}` fits the thing `{things}`.",
        }],
        parameters: &[words("NAME_RULES")],
        notices: "Device certificates none of whose names is what the rules say for the thing they are attached to. Without rules nothing is reported.",
        why: "Policies and brokers that take the identity from the certificate give this device the rights of another.",
        remedy: "Attach the certificate to the thing it names, or issue one that names this thing.",
        references: "RFC 5280, sections 4.1.2.6 and 4.2.1.6",
    },
    Check {
        id: CheckId::PathRefused,
        name: "CERTIFICATE_PATH_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "ISSUER_UNKNOWN", text: "Issued by `{issuer}`, which is not known." },
            Code { code: "SIGNATURE_INVALID", text: "Its signature is not that of `{issuer}`." },
            Code { code: "PATH_INVALID", text: "No valid path to a registered CA: {refusal}." },
        ],
        parameters: &[],
        notices: "Certificates for which no valid path to a registered CA was found when they were registered.",
        why: "It may be forged, or of a CA that somebody else runs.",
        remedy: "Register the missing CA if you know it; else deactivate the certificate.",
        references: "RFC 5280, section 6.1",
    },
    Check {
        id: CheckId::NoRevocationSource,
        name: "CERTIFICATE_NO_REVOCATION_SOURCE_CHECK",
        severity: Severity::Low,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code {
                code: "NO_CRL_AND_NO_OCSP",
                text: "{number} certificates of `{issuer}` name neither a CRL nor an OCSP responder.",
            },
            Code {
                code: "NO_OCSP",
                text: "{number} certificates of `{issuer}` name a CRL, but no OCSP responder.",
            },
        ],
        parameters: &[],
        notices: "Issuers whose certificates do not say where their revocation can be looked up. One finding per issuer, at its first certificate.",
        why: "A broker cannot learn from the certificate that it was revoked.",
        remedy: "Add a CRL distribution point or an OCSP responder to the CA's profile, or give the broker the CRL as a file.",
        references: "RFC 5280, sections 4.2.1.13 and 4.2.2.1; RFC 6960",
    },
    Check {
        id: CheckId::ListStale,
        name: "CRL_STALE_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "CRL_PAST_NEXT_UPDATE", text: "Next update was due on {date}." },
            Code { code: "CRL_APPROACHING_NEXT_UPDATE", text: "Next update is due on {date}." },
            Code { code: "CRL_WITHOUT_NEXT_UPDATE", text: "Does not say when it is updated." },
            Code { code: "CRL_FROM_THE_FUTURE", text: "Begins on {date}." },
        ],
        parameters: &[number("CRL_NEXT_UPDATE_DAYS", 2, 0, 365)],
        notices: "CRLs past their next update or close to it, without one, or from the future.",
        why: "With an expired CRL, a broker that checks it refuses every device (Mosquitto, OpenSSL), and one that does not check it lets revoked ones in.",
        remedy: "Publish a new CRL, and let a job do it well before the next update.",
        references: "RFC 5280, section 5.1.2.5",
    },
    Check {
        id: CheckId::ListSignature,
        name: "CRL_SIGNATURE_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[
            Code { code: "CRL_SIGNATURE_INVALID", text: "Not signed by the CA whose name it carries." },
            Code { code: "CRL_ISSUER_UNKNOWN", text: "Its issuer is not known, so that it is not used." },
            Code { code: "CRL_SIGNATURE_HASH_BROKEN", text: "Signed over a broken hash." },
        ],
        parameters: &[],
        notices: "CRLs whose signature does not verify or cannot be checked. They are not used by other checks.",
        why: "Whoever can write the file can revoke every device, or hide a revocation.",
        remedy: "Fetch the CRL anew from the CA; register the CA that signs it.",
        references: "RFC 5280, sections 5.1.1.3 and 6.3",
    },
    Check {
        id: CheckId::ListMissing,
        name: "CRL_MISSING_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[Code {
            code: "CRL_NOT_KNOWN",
            text: "{number} certificates of `{issuer}` name a CRL, and none of that issuer is known.",
        }],
        parameters: &[],
        notices: "Issuers whose certificates name a CRL, where no verified CRL of the issuer is known. One finding per issuer, at its first certificate.",
        why: "A revocation by the CA goes unseen here.",
        remedy: "Give the audit the CRL as a file, or the address it may fetch it from.",
        references: "RFC 5280, section 4.2.1.13",
    },
    Check {
        id: CheckId::SerialReused,
        name: "CERTIFICATE_SERIAL_REUSED_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        default_on: true,
        by_issuer: false,
        codes: &[Code {
            code: "SERIAL_IN_OTHER_CERTIFICATE",
            text: "{number} different certificates of one issuer have its serial number.",
        }],
        parameters: &[],
        notices: "Different certificates of one issuer with the same serial number. One finding per number.",
        why: "CRL and OCSP name certificates by that number: revoking one revokes the other, or neither.",
        remedy: "Let the CA use at least 64 random bits, and issue the certificates anew.",
        references: "RFC 5280, section 4.1.2.2",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_complete() {
        let mut names = BTreeSet::new();
        for (index, check) in CHECKS.iter().enumerate() {
            assert_eq!(check.id as usize, index, "{}", check.name);
            assert!(names.insert(check.name) && check.name.ends_with("_CHECK"), "{}", check.name);
            assert_eq!(CheckId::from_name(check.name), Some(check.id));
            for text in [check.notices, check.why, check.remedy, check.references] {
                assert!(text.len() > 15, "{}: {text}", check.name);
            }
            let codes: BTreeSet<&str> = check.codes.iter().map(|code| code.code).collect();
            assert!(codes.len() == check.codes.len() && !codes.is_empty(), "{}", check.name);
            for number in check.parameters.iter().filter_map(|parameter| parameter.number) {
                assert!((number.min..=number.max).contains(&number.default), "{}", check.name);
            }
        }
    }

    /// `device-defender-audit.md`, section 1: the checks of that list that are about certificates.
    #[test]
    fn the_checks_of_aws_are_all_there() {
        use Severity::{Critical, Low, Medium};
        let quality: &[&str] =
            &["CERTIFICATE_KEY_VULNERABILITY_CVE-2017-15361", "CERTIFICATE_KEY_VULNERABILITY_CVE-2008-0166"];
        let expiring: &[&str] = &["CERTIFICATE_APPROACHING_EXPIRATION", "CERTIFICATE_PAST_EXPIRATION"];
        let sheet: [(&str, Severity, &[&str]); 9] = [
            ("REVOKED_CA_CERTIFICATE_STILL_ACTIVE_CHECK", Critical, &["CERTIFICATE_REVOKED_BY_ISSUER"]),
            (
                "INTERMEDIATE_CA_REVOKED_FOR_ACTIVE_DEVICE_CERTIFICATES_CHECK",
                Critical,
                &["INTERMEDIATE_CA_REVOKED_BY_ISSUER"],
            ),
            ("DEVICE_CERTIFICATE_SHARED_CHECK", Critical, &["CERTIFICATE_SHARED_BY_MULTIPLE_DEVICES"]),
            ("DEVICE_CERTIFICATE_KEY_QUALITY_CHECK", Critical, quality),
            ("CA_CERTIFICATE_KEY_QUALITY_CHECK", Critical, quality),
            ("CA_CERTIFICATE_EXPIRING_CHECK", Medium, expiring),
            ("DEVICE_CERTIFICATE_EXPIRING_CHECK", Medium, expiring),
            ("DEVICE_CERTIFICATE_AGE_CHECK", Low, &["CERTIFICATE_PAST_AGE_THRESHOLD"]),
            ("REVOKED_DEVICE_CERTIFICATE_STILL_ACTIVE_CHECK", Medium, &["CERTIFICATE_REVOKED_BY_ISSUER"]),
        ];
        let ours: Vec<_> = CHECKS
            .iter()
            .filter(|check| check.basis == Basis::Aws)
            .map(|check| {
                (check.name, check.severity, check.codes.iter().map(|code| code.code).collect::<Vec<_>>())
            })
            .collect();
        let sheet: Vec<_> =
            sheet.iter().map(|(name, severity, codes)| (*name, *severity, codes.to_vec())).collect();
        assert_eq!(ours, sheet);
        assert!(!CheckId::DeviceAge.check().default_on);
    }
}
