//! Keys with known defects, beside the labels of the corpora.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use audits::certificate::facts::Reader;
use audits::certificate::key::{Key, KeyAlgorithm, rsa_modulus};
use audits::certificate::lists::{ListKind, WeakKeys};
use audits::certificate::parse::Certificate;
use audits::certificate::pem;
use audits::certificate::rsa::Weakness;
use audits::certificate::shared_primes;

use crate::support::{Row, check_golden, decoded, ders, table};

/// A SubjectPublicKeyInfo around an RSAPublicKey of PKCS #1.
fn info(public_key: &[u8]) -> Vec<u8> {
    let algorithm = element(0x30, &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0]);
    let key = element(3, &[&[0], public_key].concat());
    element(0x30, &[algorithm, key].concat())
}

fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(body);
    out
}

fn der(row: &Row) -> Option<Vec<u8>> {
    if !row["spki_der_base64"].is_empty() {
        return Some(decoded(&row["spki_der_base64"]));
    }
    let raw = String::from_utf8(decoded(&row["raw_base64"])).ok()?;
    if let Some(block) = pem::blocks(&raw).into_iter().find_map(Result::ok) {
        return Some(info(&block.der));
    }
    // A modulus alone, in hexadecimal digits.
    let digits = raw.trim().as_bytes();
    let modulus: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let body = [element(2, &[&[0], &modulus[..]].concat()), element(2, &[1, 0, 1])].concat();
    Some(info(&element(0x30, &body)))
}

fn findings(key: &Key) -> String {
    let mut found = Vec::new();
    for (weakness, name) in [
        (Weakness::EVEN, "modulus even or zero"),
        (Weakness::SMALL_FACTOR, "small factor"),
        (Weakness::CLOSE_PRIMES, "close primes"),
        (Weakness::ROCA, "roca"),
        (Weakness::STRUCTURED, "structured"),
        (Weakness::EXPONENT, "exponent useless"),
    ] {
        if key.weakness.has(weakness) {
            found.push(name);
        }
    }
    if key.algorithm.is_rsa() && key.bits < 2048 {
        found.push("short");
    }
    if key.algorithm.is_rsa() && key.exponent < 65_537 {
        found.push("exponent small");
    }
    if key.exponent > u64::from(u32::MAX) {
        found.push("exponent large");
    }
    if found.is_empty() { "-".into() } else { found.join(", ") }
}

/// Label, key and what is found: the confusion table of the set. Reasons for what is not found stand
/// in the golden file's head.
#[test]
fn keys_with_labels() {
    let mut report = String::from(
        "Not found from the key alone, as the set says: debian-weak-prng (needs the list), shared prime (needs\n\
         the second key). Not looked for: a prime modulus (a primality test of milliseconds per key) and a vanity\n\
         modulus (no weakness). A factor of five digits is found with the fleet, not with the key.\n\n",
    );
    let mut by_label: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in table("x509-key-quality", "keys.csv") {
        let seen = match der(&row) {
            None => "no key in a form that is read".to_owned(),
            Some(der) => match Key::parse(&der) {
                Ok(key) => format!("{} {}: {}", key.algorithm.name(), key.bits, findings(&key)),
                Err(fault) => format!("refused: {fault}"),
            },
        };
        by_label.entry(row["label"].clone()).or_default().push(format!("{}: {seen}", row["name"]));
    }
    for (label, keys) in by_label {
        writeln!(report, "{label}").unwrap();
        keys.iter().for_each(|key| writeln!(report, "    {key}").unwrap());
    }
    check_golden("key_quality.txt", &report);
}

#[test]
fn all_keys_of_the_set_together_show_shared_primes_and_small_factors() {
    let rows = table("x509-key-quality", "keys.csv");
    let moduli: Vec<(String, Vec<u8>)> = rows
        .iter()
        .filter_map(|row| Some((row["name"].clone(), rsa_modulus(&der(row)?)?.to_vec())))
        .collect();
    let found =
        shared_primes::find(&moduli.iter().map(|(_, modulus)| modulus.as_slice()).collect::<Vec<_>>());
    let names: Vec<&str> = found.shared.iter().map(|shared| moduli[shared.index].0.as_str()).collect();
    assert_eq!(names, ["rsa-smallfactors-corrupt.key", "rsa-smallfactors-valid.key"]);
}

/// The set's own arithmetic, finding by finding.
#[test]
fn findings_agree_with_independent_arithmetic() {
    for set in ["x509-houseofkeys", "x509-zlint"] {
        let expected: BTreeSet<(String, String)> = table(set, "key_findings.csv")
            .into_iter()
            .map(|row| (row["name"].clone(), row["finding"].clone()))
            .collect();
        let table_facts: BTreeMap<String, String> = table(set, "facts.csv.gz")
            .into_iter()
            .map(|row| (row["name"].clone(), row["key"].clone()))
            .collect();
        let mut reader = Reader::default();
        let facts: Vec<_> = ders(set, "certs.csv.gz")
            .into_iter()
            .filter_map(|(name, der)| Some((name, reader.read(&der).ok()?)))
            .collect();
        let mut keys: BTreeMap<_, usize> = BTreeMap::new();
        for (_, facts) in &facts {
            *keys.entry(facts.spki_sha256).or_default() += 1;
        }
        let mut seen = BTreeSet::new();
        for (name, facts) in &facts {
            let key = &facts.key;
            let mut add = |finding: &str, present: bool| {
                if present {
                    seen.insert((name.clone(), finding.to_owned()));
                }
            };
            let rsa = key.algorithm.is_rsa();
            let curve = matches!(key.algorithm, KeyAlgorithm::P192 | KeyAlgorithm::P224);
            add("rsa_below_2048", rsa && key.bits < 2048);
            add("rsa_exponent_below_65537", rsa && key.exponent < 65_537);
            add("ec_below_256", curve);
            add("roca", key.weakness.has(Weakness::ROCA));
            add("fermat", key.weakness.has(Weakness::CLOSE_PRIMES));
            add("small_factor", key.weakness.has(Weakness::SMALL_FACTOR));
            add("weak_signature_hash_md5", facts.signature.name().starts_with("MD5"));
            add("weak_signature_hash_sha1", facts.signature.name().contains("SHA-1"));
            add("key_in_other_certificate", keys[&facts.spki_sha256] > 1);
        }
        // Of certificates and keys that the set's library refuses, its arithmetic has nothing to say.
        let known = |name: &String| table_facts[name].as_str();
        seen.retain(|(name, _)| !matches!(known(name), "" | "unsupported"));
        let missing: Vec<_> = expected.difference(&seen).collect();
        let more: Vec<_> = seen.difference(&expected).collect();
        assert!(missing.is_empty() && more.is_empty(), "{set}\nmissing {missing:#?}\nmore {more:#?}");
    }
}

#[test]
fn firmware_keys_are_found_by_their_list() {
    let mut weak = WeakKeys::default();
    let list: String = table("x509-houseofkeys", "compromised_spki.csv")
        .iter()
        .map(|row| format!("{}\n", row["spki_sha256"]))
        .collect();
    assert_eq!(weak.add(ListKind::Public, &list), Ok(402));
    let known: BTreeSet<String> = table("x509-houseofkeys", "compromised_spki.csv")
        .into_iter()
        .map(|row| row["spki_sha256"].clone())
        .collect();
    let mut reader = Reader::default();
    let listed = ders("x509-houseofkeys", "certs.csv.gz")
        .iter()
        .filter(|(_, der)| known.contains(&reader.read(der).unwrap().spki_sha256.to_string()))
        .count();
    assert_eq!(listed, 196);
}

#[test]
fn no_two_keys_of_the_corpora_share_a_prime() {
    // `oddRsaMod.pem` has the modulus 12345, which the set's library refuses to read.
    for (set, small) in [("x509-houseofkeys", 0), ("x509-zlint", 1)] {
        let ders = ders(set, "certs.csv.gz");
        let certificates: Vec<Certificate<'_>> =
            ders.iter().filter_map(|(_, der)| Certificate::parse(der).ok()).collect();
        let moduli: Vec<&[u8]> = certificates.iter().filter_map(Certificate::rsa_modulus).collect();
        let found = shared_primes::find(&moduli);
        assert!(found.shared.iter().all(|shared| shared.is_small), "{set}: {found:?}");
        assert_eq!(found.shared.len(), small, "{set}: {found:?}");
    }
}
