//! The journal's files: what is written is read, whatever happens to the tail.

use std::{fs, path::Path};

use detector::{
    input::{Format, SourceId},
    journal::{self, Entry, Journal, JournalError, Kind, Reader},
};
use fleet::time::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

pub(crate) fn entry(number: u64, payload: &[u8]) -> Entry<'_> {
    Entry {
        arrival: Timestamp::from_secs(i64::try_from(number).unwrap()),
        source: SourceId(3),
        kind: Kind::Input(Format::ReportJson),
        position: number * 10,
        subject: "thing",
        payload,
    }
}

/// Bytes of a block of one record besides its payload: header, record, subject.
const ALONE: usize = 28 + 25 + 5;

/// Bytes that nothing makes shorter.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Reports of one fleet: alike, with numbers of their own.
pub(crate) fn reports(count: u64) -> Vec<Vec<u8>> {
    let report = |n: u64| {
        let port = noise(n, 1)[0];
        format!(
            r#"{{"header":{{"report_id":17000{n:06},"version":"1.0"}},"metrics":{{"ports":[22,{port}]}}}}"#
        )
    };
    (0..count).map(|n| report(n).into_bytes()).collect()
}

/// All in one commit.
pub(crate) fn write_at_once(dir: &Path, payloads: &[Vec<u8>]) {
    let mut journal = open(dir, 64 << 20);
    for payload in payloads {
        let seq = journal.next_seq();
        assert_eq!(journal.append(entry(seq, payload)).unwrap(), seq);
    }
    journal.commit().unwrap();
    assert_eq!(journal.pending_bytes(), 0);
}

pub(crate) fn open(dir: &Path, segment_bytes: u64) -> Journal {
    Journal::open(dir, segment_bytes).unwrap().0
}

pub(crate) fn write(dir: &Path, segment_bytes: u64, payloads: &[Vec<u8>]) {
    let mut journal = open(dir, segment_bytes);
    for payload in payloads {
        let seq = journal.next_seq();
        assert_eq!(journal.append(entry(seq, payload)).unwrap(), seq);
        journal.commit().unwrap();
    }
}

pub(crate) fn read(dir: &Path, from: u64) -> Result<Vec<Vec<u8>>, JournalError> {
    let mut reader = Reader::open(dir, from)?;
    let mut payloads = Vec::new();
    while let Some(record) = reader.next()? {
        assert_eq!(record, entry(record.seq, record.payload).at(record.seq));
        payloads.push(record.payload.to_vec());
    }
    Ok(payloads)
}

fn payloads(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|n| vec![n; usize::from(n) * 3]).collect()
}

pub(crate) fn files(dir: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == extension));
    files.sort();
    files
}

#[test]
fn what_is_committed_is_read_across_segments_and_restarts() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &payloads(20));
    write(dir.path(), 300, &payloads(20));
    let all = [payloads(20), payloads(20)].concat();
    assert!(files(dir.path(), "seg").len() > 5);
    for from in [1, 2, 19, 20, 21, 40, 41] {
        let expected = all.get(usize::try_from(from).unwrap() - 1..).unwrap_or_default();
        assert_eq!(read(dir.path(), from).unwrap(), expected, "from {from}");
    }
}

#[test]
fn what_is_not_committed_is_not_there() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path(), 1 << 20);
    journal.append(entry(1, b"a")).unwrap();
    journal.commit().unwrap();
    journal.append(entry(2, b"b")).unwrap();
    drop(journal);
    assert_eq!(read(dir.path(), 1).unwrap(), [b"a"]);
}

/// Settings are one record: more profiles than fit into it are refused, and the journal goes on.
#[test]
fn settings_have_the_bound_of_a_record() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path(), 1 << 20);
    let max = 256 << 20;
    // Zeros that nobody touches take no memory.
    let large = vec![0; max + 1];
    for (subject, payload) in [("", &large[..]), ("x", &large[..max])] {
        let rules = Entry { kind: Kind::Rules, subject, ..entry(1, payload) };
        let error = journal.append(rules).unwrap_err();
        assert!(
            matches!(error, JournalError::TooLarge { what: "subject and payload", len, max: bound }
                if len == max + 1 && bound == max),
            "{error}"
        );
        assert!(error.to_string().contains("268435456"), "it names what is allowed: {error}");
    }
    assert_eq!(journal.pending_bytes(), 0);
    journal.append(entry(1, b"a")).unwrap();
    journal.commit().unwrap();
    assert_eq!(read(dir.path(), 1).unwrap(), [b"a"]);
}

#[test]
fn two_engines_cannot_share_a_folder() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path(), 1 << 20);
    let error = Journal::open(dir.path(), 1 << 20).unwrap_err();
    let place = dir.path().display();
    assert_eq!(
        error.to_string(),
        format!("{place}: another engine holds this folder; stop it or choose another folder")
    );
    drop(first);
    open(dir.path(), 1 << 20);
}

#[test]
fn old_segments_are_deleted_but_never_the_last() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &payloads(20));
    let mut journal = open(dir.path(), 300);
    let before = files(dir.path(), "seg").len();
    let deleted = journal.delete_before(11).unwrap();
    assert_eq!(files(dir.path(), "seg").len(), before - deleted);
    assert!(deleted > 0);
    assert_eq!(read(dir.path(), 11).unwrap(), payloads(20).get(10..).unwrap());
    let error = read(dir.path(), 1).unwrap_err();
    assert!(matches!(error, JournalError::Hole { expected: 1, .. }), "{error}");
    journal.delete_before(u64::MAX).unwrap();
    assert_eq!(files(dir.path(), "seg").len(), 1);
}

#[test]
fn damage_in_an_older_segment_is_named_and_never_skipped() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &payloads(20));
    let first = files(dir.path(), "seg").remove(0);
    let mut bytes = fs::read(&first).unwrap();
    bytes[80] ^= 1;
    fs::write(&first, &bytes).unwrap();
    open(dir.path(), 300);
    let error = read(dir.path(), 1).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&first.display().to_string()), "{text}");
    assert!(text.contains("at byte 74: the check sum"), "{text}");
    assert!(text.ends_with("the journal cannot be read past this place"), "{text}");
}

#[test]
fn a_missing_segment_is_named() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &payloads(20));
    fs::remove_file(files(dir.path(), "seg").remove(1)).unwrap();
    assert!(matches!(read(dir.path(), 1).unwrap_err(), JournalError::Hole { .. }));
}

#[test]
fn damage_before_the_last_commit_is_no_torn_tail() {
    let dir = TempDir::new().unwrap();
    let large: Vec<Vec<u8>> = (0..12).map(|n| vec![n; 1 << 20]).collect();
    write(dir.path(), 64 << 20, &large);
    let only = files(dir.path(), "seg").remove(0);
    let mut bytes = fs::read(&only).unwrap();
    bytes[100] ^= 1;
    fs::write(&only, &bytes).unwrap();
    let error = Journal::open(dir.path(), 64 << 20).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { offset: 16, .. }), "{error}");
    // However near to the end: the commit after it was begun when it was on disk.
    let dir = TempDir::new().unwrap();
    write(dir.path(), 1 << 20, &payloads(3));
    let only = files(dir.path(), "seg").remove(0);
    let whole = fs::read(&only).unwrap();
    let (second, third) = (16 + ALONE, 16 + 2 * ALONE + 3);
    for (at, torn) in [(16, false), (third - 1, false), (third, true), (whole.len() - 1, true)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&only, &bytes).unwrap();
        match Journal::open(dir.path(), 1 << 20) {
            Ok((journal, _)) => assert!(torn && journal.next_seq() == 3, "byte {at}"),
            Err(JournalError::Corrupt { offset, .. }) => {
                assert!(!torn && (offset == 16 || offset == second as u64), "byte {at}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_torn_tail_is_cut_kept_aside_and_counted() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 1 << 20, &payloads(5));
    let only = files(dir.path(), "seg").remove(0);
    let bytes = fs::read(&only).unwrap();
    fs::write(&only, bytes.get(..bytes.len() - 1).unwrap()).unwrap();
    let (journal, recovery) = Journal::open(dir.path(), 1 << 20).unwrap();
    assert_eq!(journal.next_seq(), 5);
    assert_eq!(recovery.cut_bytes, ALONE as u64 + 12 - 1);
    assert_eq!(fs::read(recovery.kept_in.unwrap()).unwrap().len(), ALONE + 12 - 1);
}

#[test]
fn a_segment_whose_header_was_never_written_is_begun_again() {
    for torn in [&b""[..], b"FLWJ", &[0; 16], &[0; 4096]] {
        let dir = TempDir::new().unwrap();
        write(dir.path(), 100, &payloads(3));
        let next = open(dir.path(), 100).next_seq();
        fs::write(dir.path().join(format!("{next:020}.seg")), torn).unwrap();
        assert_eq!(open(dir.path(), 100).next_seq(), next, "{torn:?}");
        write(dir.path(), 100, &payloads(3));
        assert_eq!(read(dir.path(), 1).unwrap().len(), 6);
    }
}

#[test]
fn files_of_others_are_not_taken_for_segments() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    open(dir.path(), 100);
    fs::write(dir.path().join("1.seg"), "x").unwrap();
    assert!(matches!(Journal::open(dir.path(), 100), Err(JournalError::Foreign(_))));
    fs::remove_file(dir.path().join("1.seg")).unwrap();
    fs::write(dir.path().join("00000000000000000002.seg"), "what is this file doing here").unwrap();
    assert!(matches!(Journal::open(dir.path(), 100), Err(JournalError::Foreign(_))));
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path(), 1 << 20);
    let subject = "s".repeat(65_536);
    let error = journal.append(Entry { subject: &subject, ..entry(1, b"") }).unwrap_err();
    assert_eq!(error.to_string(), "a record's subject has 65536 bytes; allowed are 65535");
    journal.append(Entry { subject: &subject[1..], ..entry(1, b"") }).unwrap();
    journal.commit().unwrap();
    assert_eq!(journal.next_seq(), 2);
}

#[test]
fn a_disk_error_surfaces_and_nothing_is_taken_after_it() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 60, &payloads(2));
    let mut journal = open(dir.path(), 60);
    // The next segment cannot be created: its name is taken by a folder.
    fs::create_dir(dir.path().join("00000000000000000003.seg")).unwrap();
    let error = journal.append(entry(3, b"x")).unwrap_err();
    assert!(matches!(error, JournalError::Io { doing: "create", .. }), "{error}");
}

/// A segment that ends in zeros, as one that was filled beforehand does.
pub(crate) fn with_zeros(path: &Path, zeros: usize) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    fs::write(path, [&whole[..], &vec![0; zeros]].concat()).unwrap();
    whole
}

#[test]
fn zeros_up_to_the_end_of_the_file_are_the_end_and_are_written_over() {
    for zeros in [1, 27, 28, 29, ALONE + 4, 5000] {
        let dir = TempDir::new().unwrap();
        write(dir.path(), 1 << 20, &payloads(5));
        let path = files(dir.path(), "seg").remove(0);
        let whole = with_zeros(&path, zeros);
        assert_eq!(read(dir.path(), 1).unwrap(), payloads(5), "{zeros} zeros");
        let (journal, recovery) = Journal::open(dir.path(), 1 << 20).unwrap();
        assert_eq!((journal.next_seq(), recovery.cut_bytes, recovery.kept_in), (6, 0, None));
        drop(journal);
        write(dir.path(), 1 << 20, &[b"more".to_vec()]);
        let record = ALONE + 4;
        let after = fs::read(&path).unwrap();
        assert_eq!(after.len(), whole.len() + record, "what is left of the zeros goes when the engine stops");
        assert_eq!(read(dir.path(), 1).unwrap().len(), 6);
    }
}

/// What is torn goes with the zeros behind it: else a whole block of the torn write could follow
/// what is written next.
#[test]
fn a_torn_write_before_zeros_is_cut_with_all_that_follows() {
    let dir = TempDir::new().unwrap();
    let three: Vec<Vec<u8>> = (1..=3).map(|n| noise(n, 70_000)).collect();
    write_at_once(dir.path(), &three);
    let path = files(dir.path(), "seg").remove(0);
    let mut bytes = with_zeros(&path, 500);
    let block = ALONE + 70_000;
    assert_eq!(bytes.len(), 16 + 3 * block, "each has a block of its own");
    // The second block never reached the disk, the third did.
    bytes[16 + block..16 + 2 * block].fill(0);
    fs::write(&path, [&bytes[..], &[0; 500]].concat()).unwrap();
    assert_eq!(read_shared(dir.path(), 0).unwrap(), (three[..1].to_vec(), 2 * block as u64));
    let (journal, recovery) = Journal::open(dir.path(), 1 << 20).unwrap();
    assert_eq!((journal.next_seq(), recovery.cut_bytes), (2, 2 * block as u64));
    drop(journal);
    write(dir.path(), 1 << 20, &[vec![9; 8]]);
    assert_eq!(read(dir.path(), 1).unwrap(), [three[0].clone(), vec![9; 8]]);
    // Had the third been another commit, the second would have been on disk before.
    let dir = TempDir::new().unwrap();
    write(dir.path(), 1 << 20, &three);
    let path = files(dir.path(), "seg").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[16 + block..16 + 2 * block].fill(0);
    fs::write(&path, bytes).unwrap();
    let offset = (16 + block) as u64;
    let error = Journal::open(dir.path(), 1 << 20).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { offset: at, .. } if at == offset), "{error}");
    let error = read_shared(dir.path(), 0).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { offset: at, .. } if at == offset), "{error}");
}

#[test]
fn zeros_between_segments_are_no_gap_but_missing_records_are() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &payloads(20));
    let first = files(dir.path(), "seg").remove(0);
    let whole = with_zeros(&first, 100);
    assert_eq!(read(dir.path(), 1).unwrap(), payloads(20));
    // The last record of an older segment is lost to zeros.
    fs::write(&first, [&whole[..16 + ALONE], &vec![0; whole.len()][16 + ALONE..]].concat()).unwrap();
    assert!(matches!(read(dir.path(), 1).unwrap_err(), JournalError::Hole { expected: 2, .. }));
}

/// Segments that were filled beforehand are rotated into, read beside the writer, and shrink with
/// the configured size.
#[test]
fn segments_are_filled_beforehand_and_read_while_they_are_written() {
    let dir = TempDir::new().unwrap();
    let payload = |number| [noise(number, 20_000), b"end".to_vec()].concat();
    let size = 2_u64 << 20;
    let mut journal = open(dir.path(), size);
    let (mut filled, mut grown) = (0, 0);
    for number in 1..=400_u64 {
        journal.append(entry(number, &payload(number))).unwrap();
        journal.commit().unwrap();
        let last = files(dir.path(), "seg").pop().unwrap();
        let first: u64 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let length = fs::metadata(&last).unwrap().len();
        // Before half of it is written, it cannot have grown to its size.
        if length == size && (number - first) * 20_000 < size / 2 {
            filled += 1;
        }
        grown += u64::from(first == 1 && length > (number + 10) * 20_000);
        let (read, torn) = read_shared(dir.path(), number).unwrap();
        assert_eq!((read.len(), torn), (1, 0), "record {number}");
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    assert!(grown > 10, "the first one has zeros ahead as well");
    assert!(filled > 0, "some segment was ready before it was needed");
    drop(journal);
    let mut journal = open(dir.path(), 100_000);
    for number in 401..=410 {
        journal.append(entry(number, &payload(number))).unwrap();
        journal.commit().unwrap();
    }
    drop(journal);
    assert_eq!(read(dir.path(), 1).unwrap().len(), 410);
    for segment in files(dir.path(), "seg") {
        assert_ne!(fs::read(&segment).unwrap().last(), Some(&0), "{}", segment.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Cut anywhere, one bit flipped, zeros behind: what is read is a beginning of what was written,
    /// with every commit before the damage; and damage before the last commit is never cut off.
    #[test]
    fn any_damage_to_the_tail_leaves_a_prefix(
        commits in proptest::collection::vec(proptest::collection::vec(payload(), 1..20), 1..8),
        cut in any::<prop::sample::Index>(),
        flip in proptest::option::of(any::<prop::sample::Index>()),
        zeros in prop_oneof![Just(0_usize), 1..200_usize],
    ) {
        let dir = TempDir::new().unwrap();
        let mut ends = Vec::new();
        for commit in &commits {
            write_at_once(dir.path(), commit);
            ends.push(fs::metadata(files(dir.path(), "seg").remove(0)).unwrap().len());
        }
        let all = commits.concat();
        let only = files(dir.path(), "seg").remove(0);
        let mut bytes = fs::read(&only).unwrap();
        bytes.truncate(16 + cut.index(bytes.len() - 15));
        let whole = ends.iter().filter(|&&end| end <= bytes.len() as u64).count();
        let mut hit = commits.len();
        if let Some(flip) = flip.filter(|_| bytes.len() > 16) {
            let bit = flip.index((bytes.len() - 16) * 8);
            bytes[16 + bit / 8] ^= 1 << (bit % 8);
            hit = ends.iter().filter(|&&end| end <= (16 + bit / 8) as u64).count();
        }
        bytes.resize(bytes.len() + zeros, 0);
        fs::write(&only, &bytes).unwrap();
        if hit + 1 < whole {
            let error = Journal::open(dir.path(), 1 << 20).unwrap_err();
            prop_assert!(matches!(error, JournalError::Corrupt { .. }), "{}", error);
            let error = read_shared(dir.path(), 0).unwrap_err();
            prop_assert!(matches!(error, JournalError::Corrupt { .. }), "{}", error);
            return Ok(());
        }
        let sure = commits[..whole.min(hit)].concat().len();
        let beside = read_shared(dir.path(), 0).unwrap().0;
        let next = open(dir.path(), 1 << 20).next_seq();
        let kept = read(dir.path(), 1).unwrap();
        prop_assert_eq!(&beside, &kept);
        prop_assert_eq!(kept.len() as u64 + 1, next);
        prop_assert_eq!(kept.len(), sure);
        prop_assert_eq!(&kept[..], &all[..kept.len()]);
        // It goes on from there.
        write(dir.path(), 1 << 20, &[b"more".to_vec()]);
        prop_assert_eq!(read(dir.path(), next).unwrap(), vec![b"more".to_vec()]);
    }
}

pub(crate) fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (any::<u64>(), 0_usize..400).prop_map(|(seed, len)| noise(seed, len)),
        (any::<u8>(), 0_usize..2_000).prop_map(|(byte, len)| vec![byte; len]),
        (0_u64..1_000).prop_map(|number| reports(number + 1).pop().unwrap_or_default()),
    ]
}

pub(crate) fn read_shared(dir: &Path, from: u64) -> Result<(Vec<Vec<u8>>, u64), JournalError> {
    let mut reader = Reader::open_shared(dir, from)?;
    let mut payloads = Vec::new();
    while let Some(record) = reader.next()? {
        payloads.push(record.payload.to_vec());
    }
    assert!(reader.next()?.is_none(), "the end stays the end");
    Ok((payloads, reader.torn_tail().map_or(0, |torn| torn.bytes)))
}

#[test]
fn a_shared_reader_needs_no_lock_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &payloads(20));
    let _held = open(dir.path(), 300);
    let before = files(dir.path(), "seg");
    assert_eq!(read_shared(dir.path(), 1).unwrap(), (payloads(20), 0));
    assert_eq!(read_shared(dir.path(), 15).unwrap().0, payloads(20).get(14..).unwrap());
    assert_eq!(files(dir.path(), "seg"), before);
    assert_eq!(journal::oldest(dir.path()).unwrap(), Some(1));
    let empty = TempDir::new().unwrap();
    assert_eq!(journal::oldest(empty.path()).unwrap(), None);
    assert_eq!(read_shared(empty.path(), 0).unwrap(), (vec![], 0));
}

/// Wherever the last write stopped, what is whole is read, and what is torn is told and left alone.
#[test]
fn a_shared_reader_ends_at_the_last_whole_record_wherever_the_tail_is_torn() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 1 << 20, &payloads(5));
    let path = files(dir.path(), "seg").remove(0);
    let whole = fs::read(&path).unwrap();
    let mut last_cut = 0;
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (read, torn) = read_shared(dir.path(), 0).unwrap();
        assert_eq!(read, payloads(5)[..read.len()], "cut at {cut}");
        assert!(read.len() >= last_cut, "cut at {cut}: more bytes never give fewer records");
        last_cut = read.len();
        assert_eq!(fs::read(&path).unwrap().len(), cut, "nothing is changed");
        assert!(cut < 16 || usize::try_from(torn).unwrap() < whole.len() - 16);
    }
    assert_eq!(last_cut, 4);
    // Zeros are room that was filled beforehand; half a page of an old file is a torn tail as well.
    fs::write(&path, [&whole[..], &[0; 100]].concat()).unwrap();
    assert_eq!(read_shared(dir.path(), 0).unwrap(), (payloads(5), 0));
    let half = whole[16..60].iter().copied().chain([1]).collect();
    for junk in [vec![0xab; 100], half] {
        fs::write(&path, [&whole[..], &junk[..]].concat()).unwrap();
        assert_eq!(read_shared(dir.path(), 0).unwrap(), (payloads(5), junk.len() as u64));
    }
    fs::write(&path, [0; 16]).unwrap();
    assert_eq!(read_shared(dir.path(), 0).unwrap(), (vec![], 16));
}

#[test]
fn a_shared_reader_takes_damage_that_no_crash_explains_for_damage() {
    let dir = TempDir::new().unwrap();
    let large: Vec<Vec<u8>> = (0..12).map(|n| vec![n; 1 << 20]).collect();
    write(dir.path(), 64 << 20, &large);
    let path = files(dir.path(), "seg").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(read_shared(dir.path(), 0).unwrap_err(), JournalError::Corrupt { offset: 16, .. }));
    // In an older segment, any damage is.
    let dir = TempDir::new().unwrap();
    write(dir.path(), 300, &payloads(20));
    let first = files(dir.path(), "seg").remove(0);
    let mut bytes = fs::read(&first).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&first, &bytes).unwrap();
    assert!(matches!(read_shared(dir.path(), 0).unwrap_err(), JournalError::Corrupt { .. }));
}

/// Read again and again while an engine writes, rotates and deletes: always a whole beginning.
#[test]
fn a_shared_reader_beside_a_writer_sees_whole_records_in_order() {
    let dir = TempDir::new().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    write(dir.path(), 4096, &payloads(3));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut journal = open(dir.path(), 4096);
            for number in 0..3_000_u64 {
                let payload = vec![u8::try_from(number % 251).unwrap(); 64];
                let seq = journal.next_seq();
                journal.append(entry(seq, &payload)).unwrap();
                if number % 7 == 0 && number % 100 < 50 {
                    journal.commit().unwrap();
                }
                if number % 500 == 499 {
                    journal.delete_before(seq - 200).unwrap();
                }
            }
            journal.commit().unwrap();
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut seen = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let from = journal::oldest(dir.path()).unwrap().unwrap();
            let mut reader = match Reader::open_shared(dir.path(), from) {
                Ok(reader) => reader,
                Err(JournalError::Hole { .. } | JournalError::Io { .. }) => continue,
                Err(other) => panic!("{other}"),
            };
            loop {
                match reader.next() {
                    Ok(Some(record)) => seen = seen.max(record.seq),
                    Ok(None) => break,
                    // Overtaken by the deletion of old segments.
                    Err(JournalError::Hole { .. } | JournalError::Io { .. }) => break,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        assert!(seen > 3, "something was read meanwhile");
    });
    let from = journal::oldest(dir.path()).unwrap().unwrap();
    assert_eq!(read_shared(dir.path(), from).unwrap().0.len() as u64, 3_003 - from + 1);
}
