//! ZLint's test certificates: what its authors expect of one lint, beside what is found here.
//!
//! Most of ZLint's lints are rules of the web's certificate authorities, which do not bind device
//! certificates. Those that speak of the same as a check of ours are compared, expectation by
//! expectation; every certificate goes through all checks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use audits::certificate::facts::{Facts, Reader};
use audits::certificate::lists::WeakKeys;
use audits::certificate::parameters::Parameters;
use audits::certificate::run::{Selection, audit};
use audits::certificate::view::{PathState, Registered, Status, View};

use crate::support::{check_golden, ders, table};

/// A lint, and what one of the findings must contain where it is violated.
const SAME: &[(&str, &[&str])] = &[
    ("e_algorithm_identifier_improper_encoding", &["parameters of an RSA key are not NULL"]),
    ("e_basic_constr_invalid_der", &["`basicConstraints`"]),
    ("e_br_prohibit_dsa_usage", &["Key of DSA"]),
    ("e_ca_is_ca", &["DEVICE_MAY_SIGN_CERTIFICATES"]),
    ("e_cert_extensions_version_not_3", &["extensions, but not version 3"]),
    ("e_cert_sig_alg_not_match_tbs_sig_alg", &["differs from signatureAlgorithm"]),
    ("e_cert_unique_identifier_version_not_2_or_3", &["unique ids, but version 1"]),
    ("e_cs_ecdsa_prohibited_curve", &["KEY_ALGORITHM_NOT_ALLOWED"]),
    ("e_dsa_shorter_than_2048_bits", &["DSA_KEY_SHORT"]),
    ("e_ec_improper_curves", &["KEY_ALGORITHM_NOT_ALLOWED"]),
    ("e_ext_duplicate_extension", &["extension stands twice"]),
    ("e_ext_key_usage_cert_sign_without_ca", &["DEVICE_MAY_SIGN_CERTIFICATES"]),
    ("e_generalized_time_not_in_zulu", &["time zone other than `Z`"]),
    ("e_incorrect_ku_encoding", &["`keyUsage`"]),
    ("e_invalid_certificate_version", &["extensions, but not version 3"]),
    ("e_old_root_ca_rsa_mod_less_than_2048_bits", &["RSA_KEY_SHORT"]),
    ("e_old_sub_ca_rsa_mod_less_than_1024_bits", &["RSA_KEY_SHORT"]),
    ("e_prohibit_dsa_usage", &["Key of DSA"]),
    ("e_rsa_fermat_factorization", &["MODULUS_CLOSE_PRIMES"]),
    ("e_rsa_mod_less_than_2048_bits", &["RSA_KEY_SHORT"]),
    ("e_rsa_public_exponent_not_odd", &["EXPONENT_USELESS"]),
    ("e_rsa_public_exponent_too_small", &["EXPONENT_SMALL", "EXPONENT_USELESS"]),
    ("e_serial_number_longer_than_20_octets", &["serial number of more than 20 octets"]),
    ("e_serial_number_not_positive", &["serial number is negative", "serial number is zero"]),
    ("e_spki_rsa_encryption_parameter_not_null", &["parameters of an RSA key are not NULL"]),
    ("e_superfluous_ku_encoding", &["`keyUsage`"]),
    ("e_utc_time_does_not_include_seconds", &["time without seconds"]),
    ("e_utc_time_not_in_zulu", &["time zone other than `Z`"]),
    ("e_validity_time_not_positive", &["VALIDITY_REVERSED"]),
    ("e_wrong_time_format_pre2050", &["GeneralizedTime before 2050"]),
    ("w_rsa_mod_factors_smaller_than_752", &["MODULUS_EVEN", "MODULUS_SMALL_FACTOR"]),
    ("w_rsa_mod_not_odd", &["MODULUS_EVEN"]),
    ("w_rsa_public_exponent_not_in_range", &["EXPONENT_SMALL"]),
];

/// Expectations that are not met, each with the reason.
const DISAGREEMENTS: &[(&str, &str, &str)] = &[
    (
        "e_algorithm_identifier_improper_encoding",
        "dsaCert.pem",
        "the lint has a list of encodings that the web's authorities may use; DSA is not on it, and its encoding is right",
    ),
    (
        "e_rsa_public_exponent_too_small",
        "goodRsaExpLength.pem",
        "the exponent is 5: the web's authorities may use 3 and more, here 65,537 is the least (NIST SP 800-56B)",
    ),
];

fn findings(facts: Facts) -> String {
    let now = facts.not_before.saturating_add(1);
    let device = Registered {
        facts,
        status: Status::Active,
        active_since: now,
        things: Box::default(),
        path: PathState::Unknown,
    };
    let weak_keys = WeakKeys::default();
    let devices = [device];
    let view = View {
        now,
        devices: &devices,
        authorities: &[],
        intermediates: &[],
        lists: &[],
        sessions: &[],
        unreadable: &[],
        weak_keys: &weak_keys,
        shared_primes: &[],
    };
    let found = audit(&view, &Parameters::default(), Selection::all());
    let lines: Vec<String> = found
        .hits()
        .iter()
        .map(|hit| hit.finding(&found, &view))
        .map(|finding| format!("{}: {}", finding.code, finding.reason))
        .collect();
    lines.join("\n")
}

#[test]
fn expectations_about_the_same_are_met() {
    let mut reader = Reader::default();
    let mut by_name = BTreeMap::new();
    let mut by_code: BTreeMap<String, usize> = BTreeMap::new();
    for (name, der) in ders("x509-zlint", "certs.csv.gz") {
        let found = match reader.read(&der) {
            Ok(facts) => findings(facts),
            Err(fault) => format!("unreadable: {fault}"),
        };
        for line in found.lines() {
            *by_code.entry(line.split(':').next().unwrap().into()).or_default() += 1;
        }
        by_name.insert(name, found);
    }
    let (mut report, mut wrong) =
        (String::from("lint: violated and found / violated / kept and not found / kept\n"), Vec::new());
    for (lint, needles) in SAME {
        let [mut violated, mut found, mut kept, mut silent] = [0; 4];
        for row in table("x509-zlint", "expected.csv").iter().filter(|row| row["lint"] == *lint) {
            let Some(seen) = by_name.get(&row["name"]) else { continue };
            let hit = needles.iter().any(|needle| seen.contains(needle));
            let bad = match row["expected"].as_str() {
                "Error" | "Warn" | "Notice" => true,
                "Pass" => false,
                _ => continue,
            };
            if bad {
                violated += 1
            } else {
                kept += 1
            }
            if bad && hit {
                found += 1
            }
            if !bad && !hit {
                silent += 1
            }
            let explained = DISAGREEMENTS.iter().any(|(l, name, _)| l == lint && *name == row["name"]);
            if (bad != hit) != explained {
                wrong.push(format!("{lint} {}: {}, found:\n{seen}", row["name"], row["expected"]));
            }
        }
        writeln!(report, "{lint}: {found} / {violated} / {silent} / {kept}").unwrap();
    }
    report += "\ndisagreements\n";
    DISAGREEMENTS.iter().for_each(|(lint, name, why)| writeln!(report, "{lint} on {name}: {why}").unwrap());
    report += "\nreason codes over all certificates\n";
    by_code.iter().for_each(|(code, count)| writeln!(report, "{code}: {count}").unwrap());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    check_golden("zlint.txt", &report);
}
