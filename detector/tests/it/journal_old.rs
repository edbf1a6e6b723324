//! Segments of the form before, as the version before wrote them: records one by one.

use std::{fs, path::Path};

use detector::journal::{Journal, JournalError};
use tempfile::TempDir;

use crate::journal::{entry, files, noise, read, read_shared, reports, with_zeros, write, write_at_once};

fn record(number: u64, payload: &[u8]) -> Vec<u8> {
    let entry = entry(number, payload);
    let mut rest = number.to_le_bytes().to_vec();
    rest.extend(entry.arrival.millis().to_le_bytes());
    rest.extend(entry.source.0.to_le_bytes());
    rest.push(entry.kind.number());
    rest.extend(entry.position.to_le_bytes());
    rest.extend(u16::try_from(entry.subject.len()).unwrap().to_le_bytes());
    rest.extend(entry.subject.as_bytes());
    rest.extend(payload);
    let len = u32::try_from(rest.len()).unwrap().to_le_bytes();
    let crc = crc32fast::hash(&[&len[..], &rest].concat()).to_le_bytes();
    [&len[..], &crc, &rest].concat()
}

fn segment(dir: &Path, first: u64, payloads: &[Vec<u8>]) -> std::path::PathBuf {
    let mut bytes = [&b"FLWJRNL1"[..], &first.to_le_bytes()].concat();
    for (number, payload) in (first..).zip(payloads) {
        bytes.extend(record(number, payload));
    }
    let path = dir.join(format!("{first:020}.seg"));
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn are_read_left_as_they_are_and_followed_by_one_of_blocks() {
    for zeros in [0, 5_000] {
        let dir = TempDir::new().unwrap();
        let all = reports(50);
        segment(dir.path(), 1, &all[..20]);
        let last = segment(dir.path(), 21, &all[20..30]);
        let whole = with_zeros(&last, zeros);
        assert_eq!(read_shared(dir.path(), 0).unwrap(), (all[..30].to_vec(), 0));
        let (journal, recovery) = Journal::open(dir.path(), 1 << 20).unwrap();
        assert_eq!((journal.next_seq(), recovery.cut_bytes), (31, 0));
        drop(journal);
        assert_eq!(read(dir.path(), 25).unwrap(), all[24..30]);
        write_at_once(dir.path(), &all[30..]);
        assert_eq!(fs::read(&last).unwrap(), whole);
        let newest = fs::read(files(dir.path(), "seg").pop().unwrap()).unwrap();
        assert_eq!(newest[..16], [&b"FLWJRNL2"[..], &31_u64.to_le_bytes()].concat());
        for from in 1..=51 {
            assert_eq!(read(dir.path(), from).unwrap(), all[usize::try_from(from).unwrap() - 1..]);
        }
    }
}

#[test]
fn without_a_record_are_begun_anew() {
    let dir = TempDir::new().unwrap();
    segment(dir.path(), 1, &reports(3));
    segment(dir.path(), 4, &[]);
    write_at_once(dir.path(), &reports(5)[3..]);
    assert_eq!(read(dir.path(), 1).unwrap(), reports(5));
    assert_eq!(files(dir.path(), "seg").len(), 2);
}

#[test]
fn torn_anywhere_are_cut_and_damage_far_from_the_end_is_named() {
    let dir = TempDir::new().unwrap();
    let path = segment(dir.path(), 1, &reports(3));
    let whole = fs::read(&path).unwrap();
    let record = record(1, &reports(1)[0]).len();
    for cut in 16 + record..whole.len() {
        fs::remove_dir_all(dir.path()).unwrap();
        fs::create_dir(dir.path()).unwrap();
        fs::write(&path, &whole[..cut]).unwrap();
        let (kept, torn) = read_shared(dir.path(), 0).unwrap();
        let (journal, recovery) = Journal::open(dir.path(), 1 << 20).unwrap();
        assert_eq!((journal.next_seq(), recovery.cut_bytes), (kept.len() as u64 + 1, torn), "cut at {cut}");
        drop(journal);
        write(dir.path(), 1 << 20, &[b"more".to_vec()]);
        assert_eq!(read(dir.path(), 1).unwrap(), [kept, vec![b"more".to_vec()]].concat());
    }
    let large: Vec<Vec<u8>> = (0..12).map(|n| noise(n, 1 << 20)).collect();
    let dir = TempDir::new().unwrap();
    let path = segment(dir.path(), 1, &large);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = Journal::open(dir.path(), 64 << 20).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { offset: 16, .. }), "{error}");
}
