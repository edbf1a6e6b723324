//! What a crash or a bad disk leaves of a journal: opening never panics, keeps every record before
//! the damage, and what it repaired opens clean and goes on.
//!
//! The first byte says what becomes of a good segment of three records in two commits: the rest is
//! put after it as it is; as what a block says of itself and stores, with the length and check sum
//! that fit; as the records of such a block; or over it from some byte on. The same with a segment
//! of the form before, whose records stand alone.
#![no_main]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use detector::{
    input::{Format, SourceId},
    journal::{Entry, Journal, JournalError, Kind, SEGMENT_BYTES},
};
use fleet::time::Timestamp;
use libfuzzer_sys::fuzz_target;

const RECORDS: u64 = 3;
/// What tells a block from a record of the form before: the top bit of its length.
const BLOCK: u32 = 1 << 31;

/// A folder in memory, gone with the process.
static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).expect("a folder")
});

/// The bytes of a good segment.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    fresh();
    let (mut journal, _) = Journal::open(DIR.path(), SEGMENT_BYTES).expect("a new journal");
    for record in 0..RECORDS {
        journal.append(entry()).expect("room");
        if record > 0 {
            journal.commit().expect("a disk");
        }
    }
    drop(journal);
    fs::read(segment()).expect("the segment")
});

/// The same records in the form before.
static OLD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = [&b"FLWJRNL1"[..], &1_u64.to_le_bytes()].concat();
    for seq in 1..=RECORDS {
        let entry = entry();
        let mut rest = entry.arrival.millis().to_le_bytes().to_vec();
        rest.extend(entry.source.0.to_le_bytes());
        rest.push(entry.kind.number());
        rest.extend(entry.position.to_le_bytes());
        rest.extend(u16::try_from(entry.subject.len()).expect("short").to_le_bytes());
        rest.extend([entry.subject.as_bytes(), entry.payload].concat());
        bytes.extend(framed(0, seq, &rest));
    }
    bytes
});

fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    let (good, old) = (&*GOOD, &*OLD);
    let over = |good: &[u8]| {
        let at = usize::from(rest.first().copied().unwrap_or(0)).min(good.len());
        [&good[..at], rest].concat()
    };
    let (file, kept) = match how % 7 {
        0 => ([good, rest].concat(), RECORDS),
        1 => ([good, &framed(BLOCK, RECORDS + 1, rest)[..]].concat(), RECORDS),
        2 => ([good, &framed(BLOCK, RECORDS + 1, &one_record(rest))[..]].concat(), RECORDS),
        3 => (over(good), 0),
        4 => ([old, rest].concat(), RECORDS),
        5 => ([old, &framed(0, RECORDS + 1, rest)[..]].concat(), RECORDS),
        _ => (over(old), 0),
    };
    fresh();
    fs::write(segment(), &file).expect("a disk");
    let records = match Journal::open(DIR.path(), SEGMENT_BYTES) {
        Ok((mut journal, recovery)) => {
            let records = journal.next_seq() - 1;
            assert!(records >= kept && recovery.cut_bytes <= file.len() as u64);
            journal.append(entry()).expect("room");
            journal.commit().expect("a disk");
            records + 1
        }
        Err(JournalError::Corrupt { .. } | JournalError::Foreign(_)) => return,
        Err(error) => panic!("{error}"),
    };
    let (journal, recovery) = Journal::open(DIR.path(), SEGMENT_BYTES).expect("a repaired journal");
    assert_eq!((journal.next_seq() - 1, recovery.cut_bytes), (records, 0));
    let mut reader = journal.reader(1).expect("a repaired journal");
    let mut read = 0;
    while let Some(record) = reader.next().expect("a repaired journal") {
        read += 1;
        assert_eq!(record.seq, read);
    }
    assert_eq!(read, records);
});

fn fresh() {
    for file in fs::read_dir(DIR.path()).expect("the folder") {
        fs::remove_file(file.expect("the folder").path()).expect("a disk");
    }
}

fn segment() -> PathBuf {
    DIR.path().join(format!("{:020}.seg", 1))
}

fn entry() -> Entry<'static> {
    Entry {
        arrival: Timestamp::from_secs(1),
        source: SourceId(1),
        kind: Kind::Input(Format::Recorded),
        position: 0,
        subject: "pump-1",
        payload: b"payload",
    }
}

/// What follows the seq of a block in which one record stands as it is.
fn one_record(record: &[u8]) -> Vec<u8> {
    let len = u32::try_from(record.len()).expect("short");
    [&0_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), &len.to_le_bytes(), record].concat()
}

/// A block, or a record of the form before, whose body after the seq is `rest`, with the length and
/// check sum that fit.
fn framed(mark: u32, seq: u64, rest: &[u8]) -> Vec<u8> {
    let body = [&seq.to_le_bytes()[..], rest].concat();
    let len = (mark | u32::try_from(body.len()).expect("short")).to_le_bytes();
    let crc = crc32fast::hash(&[&len[..], &body].concat()).to_le_bytes();
    [&len[..], &crc, &body].concat()
}
