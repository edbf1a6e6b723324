//! NIST PKITS: path validation with revocation, each test beside the verdict of its authors.
//!
//! The time is one at which what should be valid is; any policy is acceptable to begin with and
//! none is required, which is how most of the tests state their result. Those whose result depends
//! on the initial policies are listed with what this setting gives.

use std::fmt::Write as _;

use audits::certificate::crl::List;
use audits::certificate::parse::Certificate;
use audits::certificate::path::{Pool, Refusal, Revocation, Validator};

use crate::support::{check_golden, ders, table};

/// 2020-01-01.
const NOW: i64 = 1_577_836_800;
const SET: &str = "x509-pkits";

/// Tests that come out otherwise than their authors say, each with the reason.
const OUT_OF_SCOPE: &[(&str, &str)] = &[(
    "ValidDSAParameterInheritanceTest5EE",
    "DSA is not offered by the signature library, and no device should use it",
)];

#[test]
fn every_test_of_path_validation_has_its_verdict() {
    let certificates = ders(SET, "certs.csv.gz");
    let lists = ders(SET, "crls.csv.gz");
    let expected = table(SET, "expected.csv");
    let is_test = |name: &str| expected.iter().any(|row| row["name"] == name);
    let mut pool = Pool::default();
    let mut anchors = Vec::new();
    for (name, der) in certificates.iter().filter(|(name, _)| !is_test(name)) {
        let certificate = Certificate::parse(der).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        if name == "TrustAnchorRootCertificate" {
            anchors.push(certificate)
        } else {
            pool.add(certificate).unwrap()
        }
    }
    let mut report = String::new();
    for (name, der) in &lists {
        match List::parse(der) {
            Ok(list) => pool.add_list(list),
            Err(fault) => writeln!(report, "CRL {name}: {fault}").unwrap(),
        }
    }
    let mut wrong = Vec::new();
    for row in &expected {
        let der = &certificates.iter().find(|(name, _)| *name == row["name"]).unwrap().1;
        let seen = Certificate::parse(der).map_err(Refusal::from).and_then(|certificate| {
            Validator::new(&pool, &anchors, NOW, Revocation::Required)
                .validate(&certificate)
                .map(|path| path.len())
        });
        let (name, expected) = (&row["name"], row["expected_path_validation"].as_str());
        let agrees = expected == "policy-dependent" || (expected == "valid") == seen.is_ok();
        let verdict = match &seen {
            Ok(length) => format!("valid, {length} certificates"),
            Err(refusal) => format!("refused: {refusal}"),
        };
        let note = OUT_OF_SCOPE.iter().find(|(test, _)| test == name).map(|(_, why)| *why);
        if agrees == note.is_some() {
            wrong.push(format!("{name}: {expected}, {verdict}"));
        }
        let mark = note.map_or(String::new(), |why| format!(" | out of scope: {why}"));
        writeln!(report, "{name} | {expected} | {verdict}{mark}").unwrap();
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
    check_golden("pkits.txt", &report);
}
