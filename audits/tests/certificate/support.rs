//! Reads the recorded corpora, and compares with golden files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One line of a table, by column.
pub(crate) type Row = BTreeMap<String, String>;

/// The folder of the datasets.
fn datasets() -> PathBuf {
    std::env::var_os("FLEETWARD_DATASETS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/datasets"), PathBuf::from)
}

/// Reads `set/file`, a table with a header, compressed if it ends so.
pub(crate) fn table(set: &str, file: &str) -> Vec<Row> {
    let path = datasets().join(set).join(file);
    let bytes = fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; set FLEETWARD_DATASETS to the datasets", path.display())
    });
    let mut text = String::new();
    if file.ends_with(".gz") {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    let mut rows = rows(&text);
    let header = rows.remove(0);
    rows.into_iter().map(|row| header.iter().cloned().zip(row).collect()).collect()
}

/// RFC 4180.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.push(letters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            _ => field.push(letter),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

/// Name and DER of each line of a table with `name` and `der_base64`.
pub(crate) fn ders(set: &str, file: &str) -> Vec<(String, Vec<u8>)> {
    table(set, file).into_iter().map(|row| (row["name"].clone(), decoded(&row["der_base64"]))).collect()
}

/// Bytes of base64.
pub(crate) fn decoded(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

/// Compares with `golden/name`; with `UPDATE_GOLDEN` set it is written anew.
pub(crate) fn check_golden(name: &str, seen: &str) {
    check_file(&format!("tests/certificate/golden/{name}"), seen);
}

/// Compares with a file by its path from this crate, in the same way.
pub(crate) fn check_file(path: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, seen).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(seen == expected, "{} differs; seen:\n{seen}\nset UPDATE_GOLDEN=1 to accept it", path.display());
}
