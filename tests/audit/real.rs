//! The real configurations, policies and certificates of the data sets: no crash, and the counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use super::{audit, check_golden, fixture};

/// The folder of the data sets.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the data sets are")]
fn data_sets() -> PathBuf {
    let named = std::env::var("FLEETWARD_DATASETS").map(PathBuf::from);
    named.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets"))
}

/// What was read, and how many findings and resources each check has.
fn counts(folder: &Path) -> String {
    let root = folder.to_str().unwrap();
    let said = audit(&["run", "--offline", root, "--now", fixture::NOW, "--format", "json"]);
    assert_eq!((said.code, &*said.err), (Some(1), ""), "{root}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    let mut text = format!("{}\n", report["read"]);
    let mut not_read: BTreeMap<&str, usize> = BTreeMap::new();
    for one in report["notRead"].as_array().unwrap() {
        *not_read.entry(one["why"].as_str().unwrap()).or_default() += 1;
    }
    not_read.iter().for_each(|(why, count)| writeln!(text, "{count} {why}").unwrap());
    for check in report["checks"].as_array().unwrap() {
        let findings = check["findings"].as_array().unwrap().len();
        let (wrong, total) = (&check["nonCompliantResourcesCount"], &check["totalResourcesCount"]);
        assert_ne!(check["checkRunStatus"], "FAILED", "{check}");
        if findings > 0 {
            writeln!(
                text,
                "{} {findings} findings, {wrong} of {total}",
                check["checkName"].as_str().unwrap()
            )
            .unwrap();
        }
    }
    text
}

/// The certificates and CRLs of a table, each as a file.
fn unpack(set: &str, tables: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (table, end) in tables {
        let bytes = fs::read(data_sets().join(set).join(table)).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        let columns: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        let column = |name: &str| columns.iter().position(|column| *column == name).unwrap();
        let der = column("der_base64");
        for (number, line) in text.lines().skip(1).enumerate() {
            // Base64 has no comma, and is counted from the end: names before it may be quoted.
            let from_end = columns.len() - der;
            let cells: Vec<&str> = line.rsplitn(from_end + 1, ',').collect();
            let bytes = STANDARD.decode(cells[from_end - 1].trim_matches('"')).unwrap();
            fs::write(dir.path().join(format!("{number:05}.{end}")), bytes).unwrap();
        }
    }
    dir
}

#[test]
fn brokers_and_policies() {
    for set in ["mqtt-broker-configs", "aws-iot-policies"] {
        check_golden(&format!("{set}.txt"), &counts(&data_sets().join(set)));
    }
}

#[test]
fn certificates_and_crls() {
    let certificates = [("certs.csv.gz", "der")];
    let both = [("certs.csv.gz", "der"), ("crls.csv.gz", "crl")];
    for (set, tables) in
        [("x509-houseofkeys", &certificates[..]), ("x509-zlint", &certificates), ("x509-pkits", &both)]
    {
        check_golden(&format!("{set}.txt"), &counts(unpack(set, tables).path()));
    }
}
