//! Facts beside those that an independent library (pyca/cryptography) read from the same bytes.

use audits::certificate::facts::{Facts, Marks, Reader};
use audits::certificate::key::KeyAlgorithm;

use crate::support::{Row, check_golden, ders, table};

/// Where that library says it otherwise, each with the reason.
const KNOWN: &[(&str, &str, &str)] = &[
    // It encodes the key anew, with parameters that the certificate leaves out.
    ("75bfa53adaaf8a2d7654cb8d7152525de8d58d8509de404ebf9bdb3b25f53ea3", "spki_sha256", "encoded anew"),
    // -1, here as the content octet.
    ("InvalidNegativeSerialNumberTest15EE", "serial", "signed"),
    ("publicKeyIsRSAExplicitNullMissing.pem", "spki_sha256", "encoded anew"),
    ("rsaAlgIDNoNULLParams.pem", "spki_sha256", "encoded anew"),
    ("serialNumberNegative.pem", "serial", "signed"),
];

fn is_known_difference(name: &str, field: &str) -> bool {
    KNOWN.iter().any(|(known_name, known_field, _)| (*known_name, *known_field) == (name, field))
}

#[test]
fn facts_agree_with_another_library() {
    let mut differences = Vec::new();
    let mut refused = String::new();
    let mut compared = 0;
    for set in ["x509-houseofkeys", "x509-pkits", "x509-zlint"] {
        let mut reader = Reader::default();
        let expected = table(set, "facts.csv.gz");
        for ((name, der), row) in ders(set, "certs.csv.gz").iter().zip(&expected) {
            assert_eq!(name, &row["name"]);
            match reader.read(der) {
                Ok(facts) if row["parse"] == "ok" => {
                    compared += 1;
                    for (field, ours, theirs) in fields(&facts, row) {
                        if ours != theirs && !is_known_difference(name, field) {
                            differences.push(format!("{set} {name} {field}: {ours:?}, there {theirs:?}"));
                        }
                    }
                }
                Ok(facts) => {
                    let faults: Vec<String> = facts.faults.iter().map(ToString::to_string).collect();
                    refused += &format!("{set} {name}: {}, here read with {faults:?}\n", row["parse"]);
                }
                Err(fault) => refused += &format!("{set} {name}: {}, here {fault}\n", row["parse"]),
            }
        }
    }
    assert!(differences.is_empty(), "{}:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(compared, 1362);
    check_golden("unreadable.txt", &refused);
}

fn fields(facts: &Facts, row: &Row) -> Vec<(&'static str, String, String)> {
    let key = match facts.key.algorithm {
        KeyAlgorithm::Rsa | KeyAlgorithm::RsaPss => "rsa",
        KeyAlgorithm::Dsa => "dsa",
        KeyAlgorithm::P192
        | KeyAlgorithm::P224
        | KeyAlgorithm::P256
        | KeyAlgorithm::P384
        | KeyAlgorithm::P521 => "ec",
        KeyAlgorithm::Ed25519 => "Ed25519PublicKey",
        _ => "other",
    };
    let theirs = |field: &str| row[field].clone();
    let whole = |field: &str| theirs(field).trim_end_matches(".0").to_owned();
    let mut fields = vec![
        ("sha256", facts.sha256.to_string(), theirs("sha256")),
        ("not_before", time(facts.not_before), padded(&theirs("not_before"))),
        ("not_after", time(facts.not_after), padded(&theirs("not_after"))),
        ("serial", trimmed(&facts.serial.to_string()), trimmed(&theirs("serial_hex"))),
    ];
    // Without the extensions that it could not read, that library leaves the rest empty.
    if !whole("self_issued").is_empty() {
        let mark = |mark| u8::from(facts.marks.has(mark)).to_string();
        fields.push(("self_issued", mark(Marks::SELF_ISSUED), whole("self_issued")));
        fields.push(("subject", shown(facts.subject()), shown(&theirs("subject"))));
        fields.push(("issuer", shown(&facts.authority.name), shown(&theirs("issuer"))));
        if !whole("is_ca").is_empty() {
            fields.push(("is_ca", mark(Marks::CA), whole("is_ca")));
        }
    }
    if !matches!(theirs("key").as_str(), "" | "unsupported") && key != "other" {
        fields.push(("key", key.to_owned(), theirs("key")));
        fields.push(("spki_sha256", facts.spki_sha256.to_string(), theirs("spki_sha256")));
    }
    if key == "rsa" && !whole("bits").is_empty() {
        fields.push(("bits", facts.key.bits.to_string(), whole("bits")));
        fields.push(("exponent", facts.key.exponent.to_string(), whole("rsa_e")));
    }
    fields
}

/// The table cuts names after 160 characters.
fn shown(name: &str) -> String {
    name.replace('\n', "\u{fffd}").chars().take(160).collect()
}

/// The table writes the year 1 without zeros.
fn padded(time: &str) -> String {
    format!("{time:0>20}")
}

fn trimmed(hex: &str) -> String {
    hex.trim_start_matches('0').to_owned()
}

/// `YYYY-MM-DDThh:mm:ssZ`
fn time(seconds: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    moment.format(&format).unwrap()
}
