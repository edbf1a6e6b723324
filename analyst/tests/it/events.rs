//! The journal as Parquet.

use std::{fs, path::Path};

use detector::{
    input::{Format, SourceId},
    journal::{Entry, Journal, Kind},
};
use fleet::time::Timestamp;
use serde_json::{Value, json};

use crate::support::{ask, pyarrow, start};

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

/// Lines of a broker on both sides of midnight, with reports and a gap between them.
fn journal(dir: &Path) -> u64 {
    let (mut journal, _) = Journal::open(dir, 512).unwrap();
    let mut append = |secs: i64, source: u16, kind: Kind, subject: &str, payload: &str, position: u64| {
        let arrival = Timestamp::from_secs(START + secs);
        let entry =
            Entry { arrival, source: SourceId(source), kind, position, subject, payload: payload.as_bytes() };
        journal.append(entry).unwrap();
    };
    let log = Kind::Input(Format::MosquittoLog);
    let report = Kind::Input(Format::ReportJson);
    let line = |secs: i64, text: &str| format!("{}: {text}", START + secs);
    append(0, 0, Kind::Tick, "", "", 0);
    append(1, 7, log, "", &line(1, "New connection from 10.0.0.5:4000 on port 1883."), 0);
    append(
        2,
        7,
        log,
        "",
        &line(2, "New client connected from 10.0.0.5:4000 as pump-1 (p2, c1, k60, u'alice')."),
        0,
    );
    append(3, 8, report, "pump-1", r#"{"header":{"report_id":1,"version":"1.0"},"metrics":{}}"#, 0);
    append(4, 7, log, "", &line(4, "Client pump-1 disconnected."), 0);
    append(DAY - 1, 7, log, "", &line(DAY - 1, "New connection from 10.0.0.9:4001 on port 1883."), 0);
    append(
        DAY + 1,
        7,
        log,
        "",
        &line(DAY + 1, "New client connected from 10.0.0.9:4001 as pump-2 (p2, c1, k60)."),
        0,
    );
    append(DAY + 5, 7, Kind::Gap, "log", "the file was away", ((START + DAY + 2) * 1000).unsigned_abs());
    append(DAY + 6, 9, report, "pump-9", "{}", 0);
    append(DAY + 9, 0, Kind::Tick, "", "", 0);
    journal.commit().unwrap();
    journal.next_seq() - 1
}

fn compact(dir: &Path, to: u64) -> (Vec<Value>, Value) {
    let sources = json!({"7": {"name": "mosquitto"}, "8": {"name": "reports"}});
    let journal = json!({"dir": dir.join("journal"), "to": to, "sources": sources});
    ask("compact", &json!({"lake": dir.join("lake"), "journal": journal, "now": START * 1000}))
}

fn rows(dir: &Path) -> Vec<String> {
    let mut rows = pyarrow(&dir.join("lake/events")).1;
    rows.sort_by_key(|row| (row["seq"].as_i64(), row["nth"].as_i64()));
    rows.iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
            let secs = row["time"].as_i64().unwrap() / 1000 - START;
            format!(
                "{} {secs} {} {} {} {} {} {} {}",
                text("day"),
                text("kind"),
                text("thing"),
                text("principal"),
                text("address"),
                row["bytes"],
                text("reason"),
                text("source")
            )
        })
        .collect()
}

const EXPECTED: [&str; 6] = [
    "2026-01-01 2 connect pump-1 alice 10.0.0.5 null - mosquitto",
    "2026-01-01 3 report pump-1 - - 55 - reports",
    "2026-01-01 4 disconnect pump-1 - - null clean mosquitto",
    "2026-01-02 86401 connect pump-2 - 10.0.0.9 null - mosquitto",
    "2026-01-02 86402 gap - - - null the file was away mosquitto",
    "2026-01-02 86406 report pump-9 - - 2 - 9",
];

#[test]
fn events_are_the_same_however_often_the_worker_is_started_between() {
    let whole = tempfile::tempdir().unwrap();
    let last = journal(&whole.path().join("journal"));
    let (lines, done) = compact(whole.path(), last);
    assert_eq!((done["eventRows"].as_u64(), done["journalNext"].as_u64()), (Some(6), Some(last + 1)));
    assert_eq!(lines.len(), 4, "a file for each day, of events and of records: {lines:?}");
    assert_eq!(rows(whole.path()), EXPECTED);
    assert_eq!(compact(whole.path(), last).1["eventRows"], 0);
    // One record at a time: what the decoders remember is kept between.
    let pieces = tempfile::tempdir().unwrap();
    journal(&pieces.path().join("journal"));
    for to in 1..=last {
        assert_eq!(compact(pieces.path(), to).1["journalNext"], to + 1);
    }
    assert_eq!(rows(pieces.path()), EXPECTED);
}

#[test]
fn what_an_unfinished_run_left_is_written_again_once() {
    let dir = tempfile::tempdir().unwrap();
    let last = journal(&dir.path().join("journal"));
    compact(dir.path(), 4);
    let state = dir.path().join("lake/events/_state.json");
    let before = fs::read(&state).unwrap();
    compact(dir.path(), last);
    // As if it had ended before it wrote down how far it got, with one of its files missing.
    fs::write(&state, before).unwrap();
    let second = dir.path().join("lake/events/day=2026-01-02");
    fs::remove_dir_all(&second).unwrap();
    fs::create_dir(&second).unwrap();
    fs::write(second.join("part-0000-00000000000000000005.tmp"), b"torn").unwrap();
    compact(dir.path(), last);
    assert_eq!(rows(dir.path()), EXPECTED);
    assert!(
        fs::read_dir(&second).unwrap().all(|entry| entry.unwrap().path().extension().unwrap() == "parquet")
    );
}

#[test]
fn another_journal_is_written_beside_the_first_and_a_hole_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let last = journal(&dir.path().join("journal"));
    compact(dir.path(), last);
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    journal(&dir.path().join("journal"));
    let (lines, done) = compact(dir.path(), 4);
    assert_eq!(lines[0]["note"], "the journal ends before what is written; another one has begun");
    assert_eq!(done["eventRows"], 2);
    assert_eq!(rows(dir.path()).len(), 8);
    // Segments go before they were written: the rest is written, and the hole is told.
    let mut segments: Vec<_> =
        fs::read_dir(dir.path().join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    segments.sort();
    let first: u64 = segments[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    fs::remove_file(&segments[0]).unwrap();
    let (lines, done) = compact(dir.path(), last);
    assert!(first > 5, "records before {first} are gone");
    assert_eq!(
        lines[0],
        json!({"note": "records were deleted before they were written", "from": 5, "to": first - 1})
    );
    assert_eq!(done["journalNext"], last + 1);
}

#[test]
fn without_a_word_how_far_it_got_nothing_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let last = journal(&dir.path().join("journal"));
    compact(dir.path(), last);
    for damaged in [None, Some("{\"version\": 9}")] {
        let before = rows(dir.path()).len();
        let state = dir.path().join("lake/events/_state.json");
        fs::remove_file(&state).unwrap();
        if let Some(text) = damaged {
            fs::write(&state, text).unwrap();
        }
        let (lines, done) = compact(dir.path(), last);
        assert_eq!(lines[0]["note"], "there is no word how far the journal was written; it is written again");
        assert_eq!(done["eventRows"], 6);
        assert_eq!(rows(dir.path()).len(), before + 6);
    }
}

#[test]
fn too_little_memory_ends_the_worker_and_leaves_nothing_that_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(&dir.path().join("journal"), 64 << 20).unwrap();
    for number in 0..50_000 {
        let subject = format!("pump-{number}");
        let entry = Entry {
            arrival: Timestamp::from_secs(START),
            source: SourceId(8),
            kind: Kind::Input(Format::ReportJson),
            position: 0,
            subject: &subject,
            payload: b"{}",
        };
        journal.append(entry).unwrap();
    }
    journal.commit().unwrap();
    let lake = dir.path().join("lake");
    let request = |memory: u64| {
        let journal = json!({"dir": dir.path().join("journal"), "to": 50_000});
        json!({"lake": lake, "journal": journal, "now": START * 1000, "memoryMib": memory})
    };
    let output = start("compact", &request(3).to_string());
    assert!(!output.status.success(), "{output:?}");
    let day = fs::read_dir(lake.join("events/day=2026-01-01"));
    let left = day.into_iter().flatten().map(|entry| entry.unwrap().path());
    assert_eq!(left.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")).count(), 0);
    assert_eq!(ask("compact", &request(1024)).1["eventRows"], 50_000);
    assert_eq!(pyarrow(&lake.join("events")).1.len(), 50_000);
}
