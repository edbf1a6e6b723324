//! What a crash may leave behind, at every place where it may come.

use std::{fs, path::Path};

use history::{Appended, History, HistoryError};

use crate::support::{ANY, START, at, block, numbers, open, small};

/// Three commits of two blocks each.
fn blocks() -> Vec<history::Block> {
    (0..6).map(|index| block(10 + index, index as i64, "m", &[("a", index as f64), ("b", 0.5)])).collect()
}

fn log_of(dir: &Path) -> std::path::PathBuf {
    let mut logs: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.sort();
    logs.pop().unwrap()
}

#[test]
fn a_log_cut_anywhere_gives_whole_commits_and_takes_the_rest_again() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    for pair in blocks().chunks(2) {
        pair.iter().for_each(|block| {
            assert!(matches!(history.append(block), Appended::Kept { rows: 2, too_long: 0 }))
        });
        history.commit(pair[1].seq).unwrap();
    }
    drop(history);
    let log = log_of(dir.path());
    let bytes = fs::read(&log).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for cut in 0..=bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(log.file_name().unwrap()), &bytes[..cut]).unwrap();
        let (history, recovery) = History::open(dir.path(), small(), ANY).unwrap();
        let committed = history.committed();
        seen.insert(committed);
        let stored: Vec<(i64, f64)> = (0..6)
            .filter(|index| 10 + index <= committed)
            .map(|index| (index as i64, index as f64))
            .collect();
        assert_eq!(numbers(&history, "a", "m"), stored, "cut at {cut}");
        assert_eq!(
            recovery.damaged > 0,
            committed == 0 && recovery.cut_bytes == 0 && cut < 18,
            "cut at {cut}: {recovery:?}"
        );
        // The engine folds again what it has no word about.
        let taken =
            blocks().iter().filter(|block| matches!(history.append(block), Appended::Kept { .. })).count();
        assert_eq!(taken, 6 - stored.len());
        history.commit(15).unwrap();
        let all: Vec<(i64, f64)> = (0..6).map(|index| (index, index as f64)).collect();
        assert_eq!(numbers(&history, "a", "m"), all);
        assert_eq!(history.stats().repeated_blocks, stored.len() as u64);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 11, 13, 15]);
}

#[test]
fn a_flipped_bit_in_a_log_loses_what_follows_and_invents_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    for pair in blocks().chunks(2) {
        pair.iter().for_each(|block| assert_ne!(history.append(block), Appended::Repeated));
        history.commit(pair[1].seq).unwrap();
    }
    drop(history);
    let log = log_of(dir.path());
    let bytes = fs::read(&log).unwrap();
    for bit in 0..bytes.len() * 8 {
        let dir = tempfile::tempdir().unwrap();
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(dir.path().join(log.file_name().unwrap()), damaged).unwrap();
        let (history, recovery) = History::open(dir.path(), small(), ANY).unwrap();
        let found = numbers(&history, "a", "m");
        assert!(found.iter().all(|&(window, number)| window as f64 == number), "bit {bit}: {found:?}");
        assert!(recovery.cut_bytes > 0 || recovery.damaged == 1, "bit {bit}");
    }
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Every file that a step makes appears before any that it replaces goes, and in any number: a
/// crash leaves all of the old ones and some of the new ones, or all of the new and some of the old.
#[test]
fn a_crash_while_sealing_or_merging_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let mut expected = Vec::new();
    let mut snapshots = vec![files(dir.path())];
    // Five days with gaps: logs that span midnight, tiers and whole days.
    for seq in 0..120_i64 {
        let window = seq * 12;
        let rows: Vec<(String, f64)> =
            (0..5).map(|thing| (format!("t{thing}"), (seq + thing) as f64)).collect();
        let rows: Vec<(&str, f64)> = rows.iter().map(|(thing, number)| (thing.as_str(), *number)).collect();
        assert_ne!(history.append(&block(seq as u64 + 1, window, "m", &rows)), Appended::Repeated);
        history.commit(seq as u64 + 1).unwrap();
        expected.push((window, (seq + 3) as f64));
        if seq % 4 == 3 {
            snapshots.push(files(dir.path()));
            history.maintain(at(START + window * 300_000)).unwrap();
            snapshots.push(files(dir.path()));
        }
    }
    drop(history);
    for (index, pair) in snapshots.windows(2).enumerate().filter(|(index, _)| index % 2 == 1) {
        let (before, after) = (&pair[0], &pair[1]);
        let fresh: Vec<_> = after.iter().filter(|file| !before.contains(file)).collect();
        let old: Vec<_> = before.iter().filter(|file| !after.contains(file)).collect();
        let known = |history: &History| numbers(history, "t3", "m");
        let count = (index.div_ceil(2) * 4).min(expected.len());
        for some in 0..=fresh.len() {
            let kept: Vec<_> = before.iter().chain(fresh.iter().take(some).copied()).collect();
            assert_eq!(known(&with(&kept)), expected[..count], "step {index}, {some} new files");
        }
        for some in 0..=old.len() {
            let kept: Vec<_> = after.iter().chain(old.iter().skip(some).copied()).collect();
            assert_eq!(known(&with(&kept)), expected[..count], "step {index}, {some} old files gone");
        }
    }
}

fn with(files: &[&(String, Vec<u8>)]) -> History {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    fs::write(dir.path().join("000000000099-0000.tmp"), b"unfinished").unwrap();
    let history = open(dir.path());
    assert!(!dir.path().join("000000000099-0000.tmp").exists());
    // The parts stay readable: their files are open.
    history
}

#[test]
fn a_flipped_byte_in_a_part_is_an_error_or_harmless_and_the_program_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    for seq in 1..=4 {
        assert_ne!(
            history.append(&block(seq, seq as i64, "m", &[("a", 1.0), ("b", 2.0), ("c", 3.5)])),
            Appended::Repeated
        );
    }
    history.commit(4).unwrap();
    history.maintain(at(START + 86_400_000)).unwrap();
    let expected = numbers(&history, "b", "m");
    assert_eq!(expected.len(), 4);
    drop(history);
    let clean = files(dir.path());
    let part = clean.iter().position(|(name, _)| name.ends_with(".part")).unwrap();
    let (mut wrong, mut aside) = (0, 0);
    for byte in 0..clean[part].1.len() {
        let dir = tempfile::tempdir().unwrap();
        for (index, (name, bytes)) in clean.iter().enumerate() {
            let mut bytes = bytes.clone();
            if index == part {
                bytes[byte] ^= 0x10;
            }
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let (history, recovery) = History::open(dir.path(), small(), ANY).unwrap();
        let query = history::Query {
            thing: "b",
            metric: "m",
            dimension: "",
            aggregate: None,
            window_secs: None,
            from: at(0),
            to: at(i64::MAX),
            limit: 100,
        };
        match history.query(&query) {
            Ok(answer) if recovery.damaged == 0 => assert_eq!(answer.points.len(), 4, "byte {byte}"),
            Ok(answer) => {
                aside += 1;
                assert!(answer.points.is_empty());
            }
            Err(HistoryError::Damaged { .. }) => wrong += 1,
            Err(other) => panic!("byte {byte}: {other}"),
        }
        history.maintain(at(START + 2 * 86_400_000)).unwrap();
    }
    assert!(wrong > 20 && aside > 20, "{wrong} queries failed, {aside} files were put aside");
}

#[test]
fn another_process_is_kept_out_and_readers_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    assert_ne!(history.append(&block(1, 0, "m", &[("a", 1.0)])), Appended::Repeated);
    history.commit(1).unwrap();
    let second = History::open(dir.path(), small(), ANY);
    assert_eq!(
        second.unwrap_err().to_string(),
        format!("the history in `{}` is held by another process", dir.path().display())
    );
    let reader = History::read_only(dir.path()).unwrap();
    assert_eq!(numbers(&reader, "a", "m"), [(0, 1.0)]);
    assert_eq!(reader.append(&block(2, 1, "m", &[("a", 1.0)])), Appended::Repeated, "a reader takes nothing");
}

#[test]
fn a_journal_that_begins_again_is_taken_from_its_first_record() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    assert_ne!(history.append(&block(500, 0, "m", &[("a", 1.0)])), Appended::Repeated);
    history.commit(500).unwrap();
    drop(history);
    for (journal, committed) in [(500, 500), (499, 0)] {
        let (history, _) = History::open(dir.path(), small(), journal).unwrap();
        assert_eq!(history.committed(), committed, "the journal ends with {journal}");
    }
    let (history, _) = History::open(dir.path(), small(), 3).unwrap();
    assert_ne!(history.append(&block(1, 1, "m", &[("a", 2.0)])), Appended::Repeated);
    history.commit(1).unwrap();
    assert_eq!(numbers(&history, "a", "m"), [(0, 1.0), (1, 2.0)]);
    assert_eq!(history.committed(), 1);
    drop(history);
    assert_eq!(
        History::open(dir.path(), small(), 3).unwrap().0.committed(),
        1,
        "the old log does not speak any more"
    );
}
