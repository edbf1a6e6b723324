//! What a crash or a bad disk leaves of a journal: opening never panics, keeps every record before
//! the damage, and what it repaired opens clean and goes on.
//!
//! The first byte says what becomes of a good segment of three records: the rest is put after it,
//! put after it with the head and check sum of a next record, or put over it from some byte on.
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
    for _ in 0..RECORDS {
        journal.append(entry()).expect("room");
    }
    journal.commit().expect("a disk");
    drop(journal);
    fs::read(segment()).expect("the segment")
});

fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    let good = &*GOOD;
    let (file, kept) = match how % 3 {
        0 => ([good, rest].concat(), RECORDS),
        1 => ([good, &framed(rest)[..]].concat(), RECORDS),
        _ => {
            let at = usize::from(rest.first().copied().unwrap_or(0)).min(good.len());
            ([&good[..at], rest].concat(), 0)
        }
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

/// A record whose body after the seq is `rest`, with the length and check sum that fit.
fn framed(rest: &[u8]) -> Vec<u8> {
    let mut body = (RECORDS + 1).to_le_bytes().to_vec();
    body.extend_from_slice(rest);
    let len = u32::try_from(body.len()).expect("short").to_le_bytes();
    let crc = crc32fast::hash(&[&len[..], &body].concat()).to_le_bytes();
    [&len[..], &crc, &body].concat()
}
