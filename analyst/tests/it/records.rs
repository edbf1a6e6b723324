//! The records of the journal as Parquet, and back.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use detector::{
    input::{Format, SourceId},
    journal::{Entry, Journal, Kind, Reader},
};
use fleet::time::Timestamp;
use serde_json::{Value, json};

use crate::support::ask;

const START: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

/// Three days, with settings on the first two, every kind of record, and bytes that are no text.
fn journal(dir: &Path) -> u64 {
    let (mut journal, _) = Journal::open(dir, 256).unwrap();
    let mut append = |secs: i64, kind: Kind, subject: &str, payload: &[u8], position: u64| {
        let arrival = Timestamp::from_secs(START + secs);
        journal.append(Entry { arrival, source: SourceId(7), kind, position, subject, payload }).unwrap();
    };
    append(0, Kind::Rules, "", b"{}", 0);
    append(0, Kind::Registry, "", b"{}", 0);
    append(1, Kind::SourceOpened, "log", b"inode 5", 0);
    append(2, Kind::Input(Format::ReportCbor), "pump-1", &[0, 255, 128, 10], u64::MAX);
    append(3, Kind::Tick, "", b"", 0);
    append(DAY + 1, Kind::Input(Format::MosquittoLog), "", b"a line", 42);
    append(DAY + 2, Kind::Rules, "", b"{\"profiles\": []}", 0);
    append(DAY + 3, Kind::Gap, "log", b"the file was away", 5);
    append(2 * DAY, Kind::Input(Format::Lifecycle), "presence/pump-1", b"{}", 0);
    journal.commit().unwrap();
    journal.next_seq() - 1
}

/// What the journal itself says, as the worker's lines.
fn written(dir: &Path) -> Vec<Value> {
    let (mut reader, mut lines) = (Reader::open(dir, 0).unwrap(), Vec::new());
    while let Some(record) = reader.next().unwrap() {
        let (source, kind) = (record.source.0, record.kind.number());
        let payload = STANDARD.encode(record.payload);
        let arrival = record.arrival.millis();
        lines.push(json!([record.seq, arrival, source, kind, record.position, record.subject, payload]));
    }
    lines
}

fn compact(dir: &Path, to: u64, days: Option<i64>) {
    let journal = json!({"dir": dir.join("journal"), "to": to});
    let now = (START + 3 * DAY) * 1000;
    ask("compact", &json!({"lake": dir.join("lake"), "journal": journal, "now": now, "days": days}));
}

fn records(dir: &Path, request: Value) -> (Vec<Value>, Value) {
    let mut whole = json!({"lake": dir.join("lake")});
    whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    ask("records", &whole)
}

#[test]
fn records_come_back_as_they_were_once_the_journal_is_gone_however_often_it_was_written() {
    for steps in [1, 2, 3, 9] {
        let dir = tempfile::tempdir().unwrap();
        let last = journal(&dir.path().join("journal"));
        let expected = written(&dir.path().join("journal"));
        assert_eq!(expected.len() as u64, last);
        for step in 1..=steps {
            compact(dir.path(), last * step / steps, None);
        }
        fs::remove_dir_all(dir.path().join("journal")).unwrap();
        let (lines, done) = records(dir.path(), json!({}));
        assert_eq!(lines, expected, "{steps} runs");
        assert_eq!(done, json!({"records": last, "last": last}));
        for after in 0..=last {
            let (rest, _) = records(dir.path(), json!({"after": after}));
            assert_eq!(rest, expected[usize::try_from(after).unwrap()..], "after {after}");
        }
    }
}

#[test]
fn days_are_left_out_or_deleted_and_the_settings_stay() {
    let dir = tempfile::tempdir().unwrap();
    let last = journal(&dir.path().join("journal"));
    let all = written(&dir.path().join("journal"));
    compact(dir.path(), last, None);
    let of = |seqs: &[usize]| -> Vec<Value> { seqs.iter().map(|seq| all[seq - 1].clone()).collect() };
    for (secs, expected) in [
        (DAY - 1, &[1, 2, 3, 4, 5, 6, 7, 8, 9][..]),
        (DAY, &[1, 2, 3, 6, 7, 8, 9]),
        (2 * DAY, &[1, 2, 3, 7, 9]),
        (3 * DAY, &[1, 2, 3, 7]),
    ] {
        let (lines, _) = records(dir.path(), json!({"from": (START + secs) * 1000}));
        assert_eq!(lines, of(expected), "from second {secs}");
    }
    compact(dir.path(), last, Some(1));
    assert_eq!(records(dir.path(), json!({})).0, of(&[1, 2, 3, 7, 9]), "two days are too old");
}

#[test]
fn where_nothing_was_written_nothing_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, done) = records(dir.path(), json!({}));
    assert_eq!((lines.len(), done), (0, json!({"records": 0, "last": 0})));
}

#[test]
fn a_record_from_before_the_clock_was_known_opens_no_far_day_and_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(&dir.path().join("journal"), 1 << 20).unwrap();
    for (arrival, kind) in [
        (Timestamp::MIN, Kind::Tick),
        (Timestamp::MIN, Kind::Rules),
        (Timestamp::from_secs(START), Kind::Tick),
    ] {
        let entry = Entry { arrival, source: SourceId(0), kind, position: 0, subject: "", payload: b"{}" };
        journal.append(entry).unwrap();
    }
    journal.commit().unwrap();
    drop(journal);
    compact(dir.path(), 3, None);
    assert_eq!(records(dir.path(), json!({})).0, written(&dir.path().join("journal")));
    let days: Vec<_> =
        fs::read_dir(dir.path().join("lake/records")).unwrap().map(|d| d.unwrap().file_name()).collect();
    assert_eq!(days, ["day=2026-01-01"]);
}
