//! Each check and each of its reason codes: a fleet in which nothing is wrong, what makes it wrong,
//! and the words of the finding.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use audits::catalogue::Basis;
use audits::certificate::check::{Bounds, CHECKS, CheckId};
use audits::certificate::der::{Fault, Flaw};
use audits::certificate::extension::{KeyUsage, Purposes};
use audits::certificate::facts::Marks;
use audits::certificate::id::Serial;
use audits::certificate::key::{Key, KeyAlgorithm, debian_fingerprint};
use audits::certificate::lists::ListKind;
use audits::certificate::name_rule::NameRule;
use audits::certificate::parameters::Parameters;
use audits::certificate::path::Refusal;
use audits::certificate::pem::{BadBlock, Broken};
use audits::certificate::run::{Selection, audit};
use audits::certificate::shared_primes::Shared;
use audits::certificate::signature::SignatureAlgorithm;
use audits::certificate::view::{Cause, Kind, PathState, Signer, Status, Unreadable};
use audits::finding::Finding;

use crate::fleet::{DAY, Fleet, NOW, Which, other_key_id, session, with_addresses};
use crate::support::{check_file, check_golden, decoded, table};

fn parameters() -> Parameters {
    let mut parameters = Parameters::default();
    let rules = ["cn=${thing}", "dns=${thing}.acme.example"];
    parameters.name_rules = rules.iter().map(|rule| NameRule::parse(rule).unwrap()).collect();
    parameters
}

fn run(fleet: &Fleet) -> Vec<Finding> {
    let view = fleet.view();
    let found = audit(&view, &parameters(), Selection::all());
    found.hits().iter().map(|hit| hit.finding(&found, &view)).collect()
}

/// What makes the fleet wrong, and the findings that follow, as `CHECK CODE`.
type Case = (&'static str, fn(&mut Fleet), &'static [(CheckId, &'static str)]);

use CheckId as C;

fn rsa(bits: u16, exponent: u64) -> Key {
    let mut key = sample("rsa-ok.key");
    (key.bits, key.exponent) = (bits, exponent);
    key
}

/// A key of the set of keys with known defects.
fn sample(name: &str) -> Key {
    let row = table("x509-key-quality", "keys.csv").into_iter().find(|row| row["name"] == name).unwrap();
    Key::parse(&decoded(&row["spki_der_base64"])).unwrap()
}

fn of_algorithm(algorithm: KeyAlgorithm, bits: u16) -> Key {
    Key { algorithm, bits, ..sample("ec-p256-rfc-example.key") }
}

fn refused(refusal: Refusal) -> PathState {
    PathState::Refused(Box::new(refusal))
}

const CASES: &[Case] = &[
    (
        "root is on its own CRL: no other list can revoke it",
        |f| f.lists[0] = f.list(Which::Root, &[0x10]),
        &[(C::RevokedAuthority, "CERTIFICATE_REVOKED_BY_ISSUER")],
    ),
    (
        "CA below the root is revoked",
        |f| f.lists[0] = f.list(Which::Root, &[0x11]),
        &[(C::RevokedIntermediate, "INTERMEDIATE_CA_REVOKED_BY_ISSUER")],
    ),
    (
        "device is revoked",
        |f| f.lists[1] = f.list(Which::Sub, &[2, 77]),
        &[(C::RevokedDevice, "CERTIFICATE_REVOKED_BY_ISSUER")],
    ),
    (
        "two clients at once",
        |f| f.sessions.push(session(0, "pump-1b", 4_999, None)),
        &[(C::SharedCertificate, "CERTIFICATE_SHARED_BY_MULTIPLE_DEVICES")],
    ),
    (
        "device with a ROCA key",
        |f| f.devices[0].facts.key = sample("rsa-roca.key"),
        &[(C::DeviceKeyQuality, "CERTIFICATE_KEY_VULNERABILITY_CVE-2017-15361")],
    ),
    (
        "CA with a ROCA key",
        |f| f.authorities[0].facts.key = sample("rsa-roca.key"),
        &[(C::AuthorityKeyQuality, "CERTIFICATE_KEY_VULNERABILITY_CVE-2017-15361")],
    ),
    (
        "device with a key of the Debian list",
        |f| debian(f, true),
        &[(C::DeviceKeyQuality, "CERTIFICATE_KEY_VULNERABILITY_CVE-2008-0166")],
    ),
    (
        "CA with a key of the Debian list",
        |f| debian(f, false),
        &[(C::AuthorityKeyQuality, "CERTIFICATE_KEY_VULNERABILITY_CVE-2008-0166")],
    ),
    (
        "CA ends in 30 days",
        |f| f.authorities[0].facts.not_after = NOW + 30 * DAY,
        &[(C::AuthorityExpiring, "CERTIFICATE_APPROACHING_EXPIRATION")],
    ),
    ("CA ends in 30 days and a second", |f| f.authorities[0].facts.not_after = NOW + 30 * DAY + 1, &[]),
    (
        "CA ended",
        |f| f.authorities[0].facts.not_after = NOW - 1,
        &[(C::AuthorityExpiring, "CERTIFICATE_PAST_EXPIRATION")],
    ),
    (
        "device ends now",
        |f| f.devices[1].facts.not_after = NOW,
        &[(C::DeviceExpiring, "CERTIFICATE_APPROACHING_EXPIRATION")],
    ),
    (
        "device ended a second ago",
        |f| f.devices[1].facts.not_after = NOW - 1,
        &[(C::DeviceExpiring, "CERTIFICATE_PAST_EXPIRATION")],
    ),
    (
        "device ended and is in transfer",
        |f| {
            f.devices[1].facts.not_after = NOW - 1;
            f.devices[1].status = Status::PendingTransfer;
        },
        &[(C::DeviceExpiring, "CERTIFICATE_PAST_EXPIRATION")],
    ),
    (
        "device ended and is inactive",
        |f| {
            f.devices[1].facts.not_after = NOW - 1;
            f.devices[1].status = Status::Inactive;
        },
        &[],
    ),
    (
        "device active for 365 days",
        |f| f.devices[0].active_since = NOW - 365 * DAY,
        &[(C::DeviceAge, "CERTIFICATE_PAST_AGE_THRESHOLD")],
    ),
    ("device active for less than 365 days", |f| f.devices[0].active_since = NOW - 365 * DAY + 1, &[]),
    (
        "file that is no certificate",
        |f| {
            let fault = Fault { offset: 3, field: "tbsCertificate", flaw: Flaw::Truncated };
            f.unreadable.push(Unreadable {
                place: "a.der".into(),
                kind: Kind::Certificate,
                cause: Cause::Der(fault),
            });
        },
        &[(C::Unreadable, "CERTIFICATE_UNREADABLE")],
    ),
    (
        "file that is no CRL",
        |f| {
            let bad = BadBlock { line: 4, broken: Broken::Base64 };
            f.unreadable.push(Unreadable { place: "a.pem".into(), kind: Kind::Crl, cause: Cause::Pem(bad) });
        },
        &[(C::Unreadable, "CRL_UNREADABLE")],
    ),
    (
        "certificate that breaks rules",
        |f| {
            let flaw = Flaw::Value("serial number is zero");
            let fault = Fault { offset: 13, field: "tbsCertificate.serialNumber", flaw };
            f.devices[0].facts.faults = Box::new([fault]);
        },
        &[(C::Malformed, "ENCODING_FAULT")],
    ),
    ("RSA-2047", |f| f.devices[0].facts.key = rsa(2047, 65_537), &[(C::KeyShort, "RSA_KEY_SHORT")]),
    ("RSA-2048", |f| f.devices[0].facts.key = rsa(2048, 65_537), &[]),
    (
        "P-224",
        |f| f.devices[0].facts.key = of_algorithm(KeyAlgorithm::P224, 224),
        &[(C::KeyShort, "EC_KEY_SHORT"), (C::KeyAlgorithm, "KEY_ALGORITHM_NOT_ALLOWED")],
    ),
    ("P-384", |f| f.devices[0].facts.key = of_algorithm(KeyAlgorithm::P384, 384), &[]),
    ("Ed25519", |f| f.devices[0].facts.key = of_algorithm(KeyAlgorithm::Ed25519, 255), &[]),
    (
        "DSA-1024",
        |f| f.devices[0].facts.key = of_algorithm(KeyAlgorithm::Dsa, 1024),
        &[(C::KeyShort, "DSA_KEY_SHORT"), (C::KeyAlgorithm, "KEY_ALGORITHM_NOT_ALLOWED")],
    ),
    (
        "curve spelled out",
        |f| f.devices[0].facts.key = of_algorithm(KeyAlgorithm::ExplicitCurve, 256),
        &[(C::KeyAlgorithm, "EXPLICIT_CURVE")],
    ),
    (
        "even modulus",
        |f| f.devices[0].facts.key = broken(&[0x80, 0], &[1, 0, 1]),
        &[(C::KeyBroken, "MODULUS_EVEN"), (C::KeyBroken, "EXPONENT_USELESS")],
    ),
    (
        "small factor",
        |f| f.devices[0].facts.key = sample("rsa-smallfactors-corrupt.key"),
        &[(C::KeyBroken, "MODULUS_SMALL_FACTOR")],
    ),
    (
        "close primes",
        |f| f.devices[0].facts.key = sample("rsa-fermat-pkcs1.key"),
        &[(C::KeyBroken, "MODULUS_CLOSE_PRIMES")],
    ),
    (
        "structured modulus",
        |f| f.devices[0].facts.key = sample("rsapoly128.key"),
        &[(C::KeyBroken, "MODULUS_STRUCTURED")],
    ),
    ("exponent 3", |f| f.devices[0].facts.key = rsa(2048, 3), &[(C::KeyExponent, "EXPONENT_SMALL")]),
    ("exponent 65535", |f| f.devices[0].facts.key = rsa(2048, 65_535), &[(C::KeyExponent, "EXPONENT_SMALL")]),
    (
        "exponent of 33 bits",
        |f| f.devices[0].facts.key = rsa(2048, 1 << 32 | 1),
        &[(C::KeyExponent, "EXPONENT_LARGE")],
    ),
    (
        "shared prime",
        |f| {
            f.shared_primes = [(0, 1), (1, 0)]
                .map(|(index, other)| Shared { index, is_small: false, partners: vec![other] })
                .into();
        },
        &[(C::SharedPrime, "PRIME_SHARED"), (C::SharedPrime, "PRIME_SHARED")],
    ),
    (
        "factor of five digits",
        |f| f.shared_primes = vec![Shared { index: 1, is_small: true, partners: vec![] }],
        &[(C::SharedPrime, "FACTOR_BELOW_65536")],
    ),
    (
        "published key",
        |f| {
            let key = f.devices[1].facts.spki_sha256.to_string();
            assert_eq!(f.weak_keys.add(ListKind::Public, &key), Ok(1));
        },
        &[(C::KeyPublic, "PRIVATE_KEY_PUBLISHED")],
    ),
    (
        "one key in two devices",
        |f| f.devices[1].facts.spki_sha256 = f.devices[0].facts.spki_sha256,
        &[(C::KeyReused, "KEY_IN_OTHER_CERTIFICATE")],
    ),
    (
        "one key in two devices of which one is inactive",
        |f| {
            f.devices[1].facts.spki_sha256 = f.devices[0].facts.spki_sha256;
            f.devices[1].status = Status::Inactive;
        },
        &[],
    ),
    (
        "renewed with the same key",
        |f| {
            f.devices[1].facts.spki_sha256 = f.devices[0].facts.spki_sha256;
            f.devices[1].facts = f.devices[1].facts.clone().named("CN=pump-1,O=Acme", &[]);
            f.devices[1].things = f.devices[0].things.clone();
        },
        &[(C::KeyReused, "KEY_KEPT_ON_RENEWAL")],
    ),
    (
        "SHA-1",
        |f| f.devices[0].facts.signature = SignatureAlgorithm::EcdsaSha1,
        &[(C::SignatureWeak, "SIGNATURE_HASH_BROKEN")],
    ),
    ("root signed over SHA-1", |f| f.authorities[0].facts.signature = SignatureAlgorithm::RsaSha1, &[]),
    (
        "device is a CA",
        |f| f.devices[0].facts.marks = f.devices[0].facts.marks.with(Marks::CA),
        &[(C::DeviceIsAuthority, "DEVICE_IS_CA")],
    ),
    (
        "device may sign certificates",
        |f| {
            f.devices[0].facts.usage = KeyUsage(KeyUsage::DIGITAL_SIGNATURE.0 | KeyUsage::CERTIFICATE_SIGN.0);
        },
        &[(C::DeviceIsAuthority, "DEVICE_MAY_SIGN_CERTIFICATES")],
    ),
    (
        "device is a server",
        |f| f.devices[0].facts.purposes = Purposes::SERVER,
        &[(C::DeviceUsage, "NO_CLIENT_PURPOSE")],
    ),
    ("any purpose", |f| f.devices[0].facts.purposes = Purposes::ANY, &[]),
    (
        "device may not sign",
        |f| f.devices[0].facts.usage = KeyUsage::KEY_ENCIPHERMENT,
        &[(C::DeviceUsage, "NO_SIGNATURE_USAGE")],
    ),
    ("version 1", |f| f.devices[0].facts.marks = Marks::default(), &[(C::DeviceUsage, "NOT_VERSION_3")]),
    (
        "no usage extensions",
        |f| f.devices[0].facts.marks = Marks::VERSION_3,
        &[(C::DeviceUsage, "NO_USAGE_EXTENSIONS")],
    ),
    (
        "critical extension",
        |f| f.devices[0].facts.marks = f.devices[0].facts.marks.with(Marks::UNKNOWN_CRITICAL),
        &[(C::DeviceUsage, "UNKNOWN_CRITICAL_EXTENSION")],
    ),
    (
        "CA without the flag",
        |f| f.authorities[0].facts.marks = Marks::VERSION_3.with(Marks::SELF_ISSUED),
        &[(C::AuthorityUsage, "NOT_A_CA")],
    ),
    (
        "CA without the right to sign",
        |f| f.authorities[0].facts.usage = KeyUsage::CRL_SIGN,
        &[(C::AuthorityUsage, "MAY_NOT_SIGN_CERTIFICATES")],
    ),
    (
        "critical extension in a CA",
        |f| {
            f.authorities[0].facts.marks = f.authorities[0].facts.marks.with(Marks::UNKNOWN_CRITICAL);
        },
        &[(C::AuthorityUsage, "UNKNOWN_CRITICAL_EXTENSION")],
    ),
    (
        "device valid for 3660 days",
        |f| f.devices[0].facts.not_after = f.devices[0].facts.not_before + 3660 * DAY - 1,
        &[],
    ),
    (
        "device valid for a second more",
        |f| f.devices[0].facts.not_after = f.devices[0].facts.not_before + 3660 * DAY,
        &[(C::ValidityTooLong, "VALIDITY_TOO_LONG")],
    ),
    ("begins tomorrow", |f| f.devices[0].facts.not_before = NOW + DAY, &[(C::NotYetValid, "NOT_YET_VALID")]),
    (
        "ends before it begins",
        |f| {
            f.devices[0].facts.not_before = NOW - DAY;
            f.devices[0].facts.not_after = NOW - 2 * DAY;
        },
        &[(C::DeviceExpiring, "CERTIFICATE_PAST_EXPIRATION"), (C::NotYetValid, "VALIDITY_REVERSED")],
    ),
    (
        "attached to another thing",
        |f| f.devices[0].things = Box::new(["pump-1".into(), "pump-3".into()]),
        &[(C::NameMismatch, "NAME_DOES_NOT_MATCH_THING")],
    ),
    (
        "only the domain name fits",
        |f| {
            f.devices[0].facts = f.devices[0].facts.clone().named("CN=x", &["DNS:PUMP-1.acme.example"]);
        },
        &[],
    ),
    (
        "unknown issuer",
        |f| f.devices[0].path = refused(Refusal::IssuerUnknown),
        &[(C::PathRefused, "ISSUER_UNKNOWN")],
    ),
    ("forged", |f| f.devices[0].path = f.path(&f.forged()), &[(C::PathRefused, "SIGNATURE_INVALID")]),
    (
        "CA above is none",
        |f| f.devices[0].path = refused(Refusal::NotCa),
        &[(C::PathRefused, "PATH_INVALID")],
    ),
    ("expired when it was registered", |f| f.devices[0].path = refused(Refusal::Expired), &[]),
    (
        "neither CRL nor OCSP",
        |f| with_addresses(&mut f.devices[0].facts, &[], &[]),
        &[(C::NoRevocationSource, "NO_CRL_AND_NO_OCSP")],
    ),
    (
        "CRL alone",
        |f| with_addresses(&mut f.devices[1].facts, &["http://crl"], &[]),
        &[(C::NoRevocationSource, "NO_OCSP")],
    ),
    ("CRL ended", |f| f.lists[0].next_update = Some(NOW - 1), &[(C::ListStale, "CRL_PAST_NEXT_UPDATE")]),
    (
        "CRL ends in two days",
        |f| f.lists[0].next_update = Some(NOW + 2 * DAY),
        &[(C::ListStale, "CRL_APPROACHING_NEXT_UPDATE")],
    ),
    ("CRL ends in two days and a second", |f| f.lists[0].next_update = Some(NOW + 2 * DAY + 1), &[]),
    ("CRL without an end", |f| f.lists[0].next_update = None, &[(C::ListStale, "CRL_WITHOUT_NEXT_UPDATE")]),
    ("CRL from the future", |f| f.lists[0].this_update = NOW + 1, &[(C::ListStale, "CRL_FROM_THE_FUTURE")]),
    (
        "CRL with a wrong signature, so that it revokes nobody",
        |f| {
            f.lists[0] = f.list(Which::Root, &[0x11]);
            f.lists[0].signer = Signer::Invalid;
        },
        &[(C::ListSignature, "CRL_SIGNATURE_INVALID")],
    ),
    (
        "CRL of a stranger",
        |f| f.lists[0].signer = Signer::Unknown,
        &[(C::ListSignature, "CRL_ISSUER_UNKNOWN")],
    ),
    (
        "CRL signed over MD5",
        |f| f.lists[0].signature = SignatureAlgorithm::RsaMd5,
        &[(C::ListSignature, "CRL_SIGNATURE_HASH_BROKEN")],
    ),
    ("no CRL of the CA of the devices", |f| drop(f.lists.remove(1)), &[(C::ListMissing, "CRL_NOT_KNOWN")]),
    (
        "one serial number twice",
        |f| f.devices[1].facts.serial = Serial::of(&[1]),
        &[(C::SerialReused, "SERIAL_IN_OTHER_CERTIFICATE")],
    ),
    (
        "another key of the revoked CA's name issued the devices",
        |f| {
            f.lists[0] = f.list(Which::Root, &[0x11]);
            f.intermediates[0].key_id = Some(other_key_id());
        },
        &[],
    ),
];

fn broken(modulus: &[u8], exponent: &[u8]) -> Key {
    fn element(tag: u8, body: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(body.len()).unwrap()], body].concat()
    }
    let numbers = [element(2, &[&[0], modulus].concat()), element(2, exponent)].concat();
    let key = element(3, &[&[0], &element(0x30, &numbers)[..]].concat());
    let algorithm = element(0x30, &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0]);
    let mut key = Key::parse(&element(0x30, &[algorithm, key].concat())).unwrap();
    // The size is another check.
    key.bits = 2048;
    key
}

fn debian(fleet: &mut Fleet, device: bool) {
    let key = sample("rsa-debianweak.key");
    let digits: String = key.debian.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(fleet.weak_keys.add(ListKind::Debian, &digits), Ok(1));
    assert_ne!(debian_fingerprint(&[1]), key.debian);
    let registered = if device { &mut fleet.devices[0] } else { &mut fleet.authorities[0] };
    registered.facts.key = key;
}

#[test]
fn nothing_is_wrong_with_the_fleet() {
    let findings = run(&Fleet::new());
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn each_fault_is_found_and_nothing_else() {
    let mut report = String::new();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (title, spoil, expected) in CASES {
        let mut fleet = Fleet::new();
        spoil(&mut fleet);
        let findings = run(&fleet);
        let mut found: Vec<(&str, &str)> =
            findings.iter().map(|finding| (&*finding.check, &*finding.code)).collect();
        found.sort_unstable();
        let mut wanted: Vec<(&str, &str)> =
            expected.iter().map(|(check, code)| (check.check().name, *code)).collect();
        wanted.sort_unstable();
        if found != wanted {
            wrong.push(format!("{title}: {found:?} instead of {wanted:?}"));
        }
        seen.extend(wanted);
        writeln!(report, "## {title}").unwrap();
        findings.iter().for_each(|finding| write(finding, &mut report));
        report += "\n";
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for check in &CHECKS {
        for code in check.codes {
            assert!(seen.contains(&(check.name, code.code)), "no case for {} {}", check.name, code.code);
        }
    }
    check_golden("checks.txt", &report);
}

fn write(finding: &Finding, report: &mut String) {
    let pairs = |pairs: &[(std::borrow::Cow<'static, str>, String)]| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    writeln!(report, "{} {:?} {}", finding.check, finding.severity, finding.code).unwrap();
    writeln!(report, "    {} {}", finding.resource.resource_type, pairs(&finding.resource.identifier))
        .unwrap();
    writeln!(report, "    {}", finding.reason).unwrap();
    if !finding.resource.additional_info.is_empty() {
        writeln!(report, "    {}", pairs(&finding.resource.additional_info)).unwrap();
    }
    for related in &finding.related {
        let info = pairs(&related.additional_info);
        writeln!(report, "    related {} {} {info}", related.resource_type, pairs(&related.identifier))
            .unwrap();
    }
}

#[test]
fn what_is_switched_off_does_not_run() {
    let mut fleet = Fleet::new();
    fleet.devices[0].active_since = 0;
    fleet.devices[0].facts.not_after = NOW - 1;
    let view = fleet.view();
    let names = |selection| {
        let found = audit(&view, &parameters(), selection);
        let names: Vec<&str> = found.hits().iter().map(|hit| hit.check.check().name).collect();
        (names, found.examined)
    };
    assert_eq!(names(Selection::defaults()).0, ["DEVICE_CERTIFICATE_EXPIRING_CHECK"]);
    let (found, examined) = names(Selection::of([CheckId::DeviceAge]));
    assert_eq!((found, examined), (vec!["DEVICE_CERTIFICATE_AGE_CHECK"], vec![(CheckId::DeviceAge, 2)]));
    assert_eq!(names(Selection::of([])), (vec![], vec![]));
}

/// The page that users read is the table itself.
#[test]
fn the_page_of_checks_is_up_to_date() {
    let mut page = String::from(
        "# Checks of certificates and CRLs\n\n\
         Made from the table in `audits/src/certificate/check.rs` by a test. Names, severities, reason codes and\n\
         parameters of the checks marked AWS are those of AWS IoT Device Defender.\n",
    );
    for check in &CHECKS {
        let basis = match check.basis {
            Basis::Aws => "AWS",
            Basis::Ours => "ours",
        };
        let off = if check.default_on { "" } else { ", off unless switched on" };
        writeln!(page, "\n## {}\n\n{:?}, {basis}{off}.\n", check.name, check.severity).unwrap();
        writeln!(page, "*What it notices.* {}\n", check.notices).unwrap();
        writeln!(page, "*Why it matters.* {}\n", check.why).unwrap();
        writeln!(page, "*What to do.* {}\n", check.remedy).unwrap();
        writeln!(page, "| reason code | finding |\n|---|---|").unwrap();
        for code in check.codes {
            writeln!(page, "| `{}` | {} |", code.code, code.text).unwrap();
        }
        for parameter in check.parameters {
            match parameter.number {
                Some(Bounds { default, min, max }) => {
                    writeln!(page, "\nParameter `{}`: {default}, from {min} to {max}.", parameter.name)
                        .unwrap();
                }
                None => {
                    writeln!(page, "\nParameter `{}`: words, separated by commas.", parameter.name).unwrap()
                }
            }
        }
        writeln!(page, "\n*References.* {}", check.references).unwrap();
    }
    check_file("../docs/certificate-checks.md", &page);
}
