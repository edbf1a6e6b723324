//! Reads the tables and compares every row with what the program says.

use std::{fmt::Write as _, fs, path::Path};

use crate::kinds::{KINDS, Kind};

/// A row of a table.
#[derive(Debug)]
pub(crate) struct Row {
    /// What is wrong with the input.
    pub(crate) title: String,
    /// The input as it is written in the table.
    written: String,
    /// The input.
    pub(crate) input: Vec<u8>,
    /// What is to be said about it.
    pub(crate) expected: String,
}

/// The rows of a kind's table.
pub(crate) fn rows(kind: &Kind) -> Vec<Row> {
    let blocks = kind.table.strip_prefix("=== ").unwrap_or_else(|| panic!("{}: no row", kind.file));
    blocks.split("\n=== ").map(|block| row(kind, block)).collect()
}

fn row(kind: &Kind, block: &str) -> Row {
    let (title, rest) = block.split_once('\n').unwrap();
    let (written, expected) =
        rest.split_once("\n---\n").unwrap_or_else(|| panic!("{}: {title}: no line `---`", kind.file));
    let mut input = bytes(written);
    if kind.is_hex {
        input = hex(&String::from_utf8(input).unwrap());
    }
    Row { title: title.into(), written: written.into(), input, expected: expected.trim_end().into() }
}

/// Reads `\xNN` and `«N*TEXT»`.
fn bytes(written: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = written;
    while let Some(at) = rest.find(['\\', '«']) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let byte = tail.strip_prefix("\\x").and_then(|tail| tail.get(..2));
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let repeated = tail.strip_prefix('«').and_then(|tail| tail.split_once('»'));
        if let Some(byte) = byte {
            out.push(byte);
            rest = &tail[4..];
        } else if let Some((repeated, after)) = repeated {
            let (count, text) = repeated.split_once('*').unwrap();
            out.extend(bytes(text).repeat(count.parse().unwrap()));
            rest = after;
        } else {
            let end = tail.chars().next().unwrap().len_utf8();
            out.extend_from_slice(&tail.as_bytes()[..end]);
            rest = &tail[end..];
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// What is said, with control characters marked.
fn shown(said: &str) -> String {
    let mut out = String::new();
    for character in said.chars() {
        match character {
            '\n' => out.push('\n'),
            _ if character.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(character)).unwrap(),
            _ => out.push(character),
        }
    }
    out
}

#[test]
fn every_row_gets_its_exact_error() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for kind in &KINDS {
        let mut fresh = String::new();
        for row in rows(kind) {
            count += 1;
            let said = shown(&(kind.said)(&row.input));
            writeln!(fresh, "=== {}\n{}\n---\n{said}", row.title, row.written).unwrap();
            if said != row.expected {
                wrong.push(format!(
                    "{}: {}\n  said     {said}\n  expected {}",
                    kind.file, row.title, row.expected
                ));
            }
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad_input");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(kind.file), fresh).unwrap();
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(count >= 100, "{count} rows");
}

#[test]
fn titles_are_unique_and_no_row_is_good() {
    for kind in &KINDS {
        let mut titles: Vec<String> = rows(kind).into_iter().map(|row| row.title).collect();
        let count = titles.len();
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), count, "{}", kind.file);
        assert!(
            rows(kind).iter().all(|row| !row.expected.is_empty() && row.expected != "fine"),
            "{}",
            kind.file
        );
    }
}

#[test]
fn marks_stand_for_bytes_and_repetitions() {
    assert_eq!(bytes(r"a\xff\x0A\n«3*xy»é\"), b"a\xff\x0a\\nxyxyxy\xc3\xa9\\");
    assert_eq!(hex("a0 \n ff"), [0xa0, 0xff]);
}
