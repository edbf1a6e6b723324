//! What blocks do to the journal's size, and that any record of one can be the first that is read.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::journal::{entry, files, noise, open, payload, read, read_shared, reports, write_at_once};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written, at any size of segments and commits, is read from any record on.
    #[test]
    fn what_is_written_is_read_from_any_record(
        commits in proptest::collection::vec(proptest::collection::vec(payload(), 1..40), 1..5),
        segment_bytes in 100_u64..20_000,
        from in any::<prop::sample::Index>(),
    ) {
        let dir = TempDir::new().unwrap();
        let mut journal = open(dir.path(), segment_bytes);
        for commit in &commits {
            for payload in commit {
                let seq = journal.next_seq();
                journal.append(entry(seq, payload)).unwrap();
            }
            journal.commit().unwrap();
        }
        let all = commits.concat();
        let from = from.index(all.len());
        prop_assert_eq!(&read(dir.path(), from as u64 + 1).unwrap()[..], &all[from..]);
        prop_assert_eq!(&read_shared(dir.path(), from as u64 + 1).unwrap().0[..], &all[from..]);
    }
}

/// Reports of one commit are packed; a single small record, and what packing does not shorten, stands
/// as it is.
#[test]
fn a_commit_is_packed_where_that_makes_it_shorter() {
    let size = |payloads: &[Vec<u8>]| {
        let dir = TempDir::new().unwrap();
        write_at_once(dir.path(), payloads);
        assert_eq!(read(dir.path(), 1).unwrap(), payloads);
        fs::read(files(dir.path(), "seg").remove(0)).unwrap().len() - 16
    };
    let plain = |payloads: &[Vec<u8>]| payloads.iter().map(|it| 25 + 5 + it.len()).sum::<usize>();
    let many = reports(1_000);
    assert!(size(&many) * 3 < plain(&many), "{} of {}", size(&many), plain(&many));
    assert_eq!(size(&many[..1]), 28 + plain(&many[..1]));
    let noisy = [noise(1, 20_000)];
    assert_eq!(size(&noisy), 28 + plain(&noisy));
    // A registry has a block of its own, which is not packed.
    let large = [reports(2), vec![vec![b'x'; 2 << 20]], reports(2)].concat();
    assert_eq!(size(&large), 3 * 28 + plain(&large));
}

/// A commit of many blocks, read from each record on; torn, its whole blocks stay.
#[test]
fn a_commit_of_many_blocks_is_read_from_any_record_and_torn_anywhere() {
    let dir = TempDir::new().unwrap();
    let all = reports(3_000);
    write_at_once(dir.path(), &all);
    for from in (1..=3_001).step_by(97).chain([2, 3_000, 3_001]) {
        assert_eq!(read(dir.path(), from as u64).unwrap(), all[from - 1..], "from {from}");
    }
    let path = files(dir.path(), "seg").remove(0);
    let whole = fs::read(&path).unwrap();
    let mut kept = Vec::new();
    for cut in (16..whole.len()).step_by(whole.len() / 40) {
        fs::write(&path, &whole[..cut]).unwrap();
        let read = read_shared(dir.path(), 0).unwrap().0;
        assert_eq!(read, all[..read.len()]);
        kept.push(read.len());
    }
    assert!(kept.is_sorted());
    kept.dedup();
    assert!(kept.len() >= 4 && kept[0] == 0 && kept[1] > 100, "{kept:?}");
}

/// The bytes of a segment, written down: a later version reads what this one wrote.
#[test]
fn a_segment_of_before_is_read_by_every_later_version() {
    let golden = include_str!("../golden/journal-blocks.hex");
    let golden = golden.lines().filter(|line| !line.starts_with('#')).collect::<String>();
    let digit = |at: usize| u8::from_str_radix(&golden[at..at + 2], 16).unwrap();
    let golden: Vec<u8> = (0..golden.len()).step_by(2).map(digit).collect();
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("00000000000000000001.seg"), &golden).unwrap();
    assert_eq!(read(dir.path(), 1).unwrap(), reports(13));
    assert_eq!(open(dir.path(), 1 << 20).next_seq(), 14);
    // What is not packed is written with the same bytes.
    let dir = TempDir::new().unwrap();
    write_at_once(dir.path(), &reports(1));
    let path = files(dir.path(), "seg").remove(0);
    let alone = fs::read(&path).unwrap();
    assert_eq!(alone, golden[..alone.len()]);
    write_at_once(dir.path(), &reports(13)[1..]);
    let now = fs::read(&path).unwrap();
    let head = alone.len()..alone.len() + 4;
    assert_eq!(now[alone.len() + 8..][..20], golden[alone.len() + 8..][..20], "now: {}", hex(&now));
    assert_eq!(u32::from_le_bytes(golden[head].try_into().unwrap()) & (1 << 31), 1 << 31);
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .chunks(48)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
        .collect()
}
