//! A history whose files are damaged: reading and opening never panic, what can be read stays within
//! bounds, and the folder takes new values and gives them back.
//!
//! The first byte chooses the file and what becomes of it: bytes put over it, a cut with other bytes
//! behind, changes (place in two bytes, value) whose frames get the check sum that fits, or a frame
//! of the rest put behind it.
#![no_main]

use std::{fs, ops::ControlFlow, path::Path, sync::LazyLock};

use fleet::time::Timestamp;
use history::{Block, History, HistoryError, Options, Query, Row, Value};
use libfuzzer_sys::fuzz_target;

const START: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;
/// Long after the values of the good files, and not yet too old to keep them.
const LATER: i64 = START + 20 * 24 * HOUR;
/// Last record of the journal that the history belongs to.
const SEQ: u64 = 1000;
const MAGIC_BYTES: usize = 8;
const HEADER_BYTES: usize = 8;

/// A folder in memory, gone with the process.
static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).expect("a folder")
});

/// Two parts of one day and a log, by name.
static GOOD: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    fresh(&[]);
    for round in 1..=3_u64 {
        let history = opened().expect("a good folder");
        history.maintain(at(round)).expect("a disk");
        for seq in round * 10..round * 10 + 6 {
            history.append(&block(seq, at(round)));
        }
        history.commit(round * 10 + 6).expect("a disk");
    }
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(DIR.path())
        .expect("the folder")
        .map(|entry| entry.expect("the folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending != "lock"))
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            (name, fs::read(&path).expect("a file"))
        })
        .collect();
    files.sort();
    assert!(files.iter().filter(|(name, _)| name.ends_with(".part")).count() >= 2, "parts to merge");
    assert!(files.iter().any(|(name, _)| name.ends_with(".log")), "a log");
    files
});

fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    let mut files = GOOD.clone();
    let count = files.len();
    let (name, file) = &mut files[usize::from(how >> 2) % count];
    *file = match how % 4 {
        0 => [&file[..place(rest).min(file.len())], rest.get(2..).unwrap_or_default()].concat(),
        1 => over(file, rest),
        2 => changed(file, rest, name.ends_with(".part")),
        _ => [&file[..], &framed(rest)].concat(),
    };
    fresh(&files);
    read(&History::read_only(DIR.path()).expect("a folder that can be read"));
    goes_on();
});

/// Opens the folder to write, stores a value, and finds it again after another opening.
fn goes_on() {
    let history = opened().expect("damage is put aside");
    read(&history);
    assert_ne!(history.append(&block(SEQ + 1, Timestamp::from_millis(LATER))), history::Appended::Repeated);
    history.commit(SEQ + 1).expect("a disk");
    drop(history.maintain(Timestamp::from_millis(LATER + HOUR)));
    drop(history);
    let (history, _) = History::open(DIR.path(), Options::default(), SEQ + 1).expect("it was good before");
    match history.query(&query("pump-1", "aws:all-bytes-out", LATER)) {
        Ok(answer) => assert!(answer.points.iter().any(|point| point.end.millis() > LATER)),
        // A part that says that it holds this day, and cannot be read.
        Err(HistoryError::Damaged { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Everything that is there, whatever it says.
fn read(history: &History) {
    for metric in ["aws:all-bytes-out", "aws:listening-tcp-ports"] {
        let asked =
            Query { from: Timestamp::from_millis(0), limit: 10_000, ..query("pump-1", metric, LATER) };
        drop(history.query(&asked));
    }
    for day in history.days().iter().take(4) {
        drop(history.scan_day(day.day, &|_| true, &mut |_, _, _| ControlFlow::Continue(())));
    }
}

fn query(thing: &'static str, metric: &'static str, at: i64) -> Query<'static> {
    Query {
        thing,
        metric,
        dimension: "",
        aggregate: None,
        window_secs: None,
        from: Timestamp::from_millis(at - HOUR),
        to: Timestamp::from_millis(at + HOUR),
        limit: 100,
    }
}

fn opened() -> Result<History, HistoryError> {
    History::open(DIR.path(), Options::default(), SEQ).map(|(history, _)| history)
}

fn at(round: u64) -> Timestamp {
    Timestamp::from_millis(START + i64::try_from(round).expect("few") * HOUR)
}

fn block(seq: u64, end: Timestamp) -> Block {
    let lists = seq % 2 == 1 && seq < SEQ;
    let value = |thing: u16| match lists {
        true => Value::Ports(vec![22, 1024 + thing]),
        false => Value::Number(f64::from(thing) * 1.5),
    };
    Block {
        seq,
        end: Timestamp::from_millis(end.millis() + i64::try_from(seq % 10).expect("few") * 300_000),
        window_secs: 300,
        metric: if lists { "aws:listening-tcp-ports" } else { "aws:all-bytes-out" }.into(),
        dimension: String::new(),
        aggregate: if lists { "last" } else { "sum" }.into(),
        rows: (0..3).map(|thing| Row { thing: format!("pump-{thing}"), value: value(thing) }).collect(),
    }
}

fn fresh(files: &[(String, Vec<u8>)]) {
    for file in fs::read_dir(DIR.path()).expect("the folder") {
        fs::remove_file(file.expect("the folder").path()).expect("a disk");
    }
    for (name, bytes) in files {
        fs::write(DIR.path().join(name), bytes).expect("a disk");
    }
}

fn place(bytes: &[u8]) -> usize {
    bytes.first_chunk().map_or(0, |place| usize::from(u16::from_le_bytes(*place)))
}

fn over(file: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let at = place(rest).min(file.len());
    for (byte, new) in file[at..].iter_mut().zip(rest.iter().skip(2)) {
        *byte = *new;
    }
    file
}

fn changed(file: &[u8], changes: &[u8], part: bool) -> Vec<u8> {
    let mut file = file.to_vec();
    for change in changes.chunks_exact(3) {
        if let Some(byte) = file.get_mut(place(change)) {
            *byte = change[2];
        }
    }
    let end = file.len().saturating_sub(if part { 16 } else { 0 });
    let mut at = MAGIC_BYTES;
    while let Some(len) =
        file.get(at..at + 4).and_then(|len| len.first_chunk()).map(|len| u32::from_le_bytes(*len))
    {
        let next = at + HEADER_BYTES + len as usize;
        if next > end {
            break;
        }
        let crc = crc32fast::hash(&[&file[at..at + 4], &file[at + HEADER_BYTES..next]].concat());
        file[at + 4..at + HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        at = next;
    }
    file
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short").to_le_bytes();
    let crc = crc32fast::hash(&[&len[..], payload].concat()).to_le_bytes();
    [&len[..], &crc, payload].concat()
}
