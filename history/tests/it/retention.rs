//! What goes, when, and that it is counted.

use fleet::time::Timestamp;
use history::{History, Maintained, Options};

use crate::support::{ANY, START, at, block, numbers};

const DAY: i64 = 288;

fn filled(dir: &std::path::Path, options: Options, days: i64) -> History {
    let (history, _) = History::open(dir, options, ANY).unwrap();
    for seq in 0..days * 24 {
        let rows: Vec<(String, f64)> =
            (0..20).map(|thing| (format!("t{thing}"), (seq * thing % 1009) as f64)).collect();
        let rows: Vec<(&str, f64)> = rows.iter().map(|(thing, number)| (thing.as_str(), *number)).collect();
        assert_ne!(history.append(&block(seq as u64 + 1, seq * 12, "m", &rows)), history::Appended::Repeated);
        history.commit(seq as u64 + 1).unwrap();
    }
    history
}

const fn noon(day: i64) -> Timestamp {
    at(START + day * 86_400_000 + 43_200_000)
}

#[test]
fn days_go_when_they_are_older_than_told() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { days: 3, log_points_max: 100, ..Options::default() };
    let history = filled(dir.path(), options, 5);
    // At the last moment of a day nothing goes yet; at the first of the next one day does.
    let done = history.maintain(at(START + 4 * 86_400_000 - 1)).unwrap();
    assert_eq!((done.deleted_by_age, done.deleted_by_size), (0, 0));
    assert_eq!(numbers(&history, "t3", "m")[0], (0, 0.0));
    let done = history.maintain(at(START + 4 * 86_400_000)).unwrap();
    assert_eq!((done.deleted_by_age, done.deleted_by_size), (24 * 20, 0));
    assert_eq!(numbers(&history, "t3", "m")[0].0, DAY);
    assert_eq!(history.maintain(at(START + 4 * 86_400_000)).unwrap(), Maintained::default());
    history.maintain(noon(9)).unwrap();
    assert_eq!(numbers(&history, "t3", "m"), []);
    let stats = history.stats();
    assert_eq!((stats.points, stats.deleted_by_age), (0, 5 * 24 * 20));
}

#[test]
fn the_oldest_days_go_when_there_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let history = filled(dir.path(), Options { log_points_max: 100, ..Options::default() }, 6);
    history.maintain(noon(6)).unwrap();
    let whole = history.stats();
    assert_eq!(whole.parts, 6, "one part for each day that is over");
    drop(history);
    let options = Options { bytes_max: whole.bytes / 2, log_points_max: 100, ..Options::default() };
    let (history, _) = History::open(dir.path(), options, ANY).unwrap();
    let done = history.maintain(noon(6)).unwrap();
    let stats = history.stats();
    assert!(stats.bytes <= options.bytes_max && stats.bytes > options.bytes_max / 2, "{stats:?}");
    assert_eq!(done.deleted_by_size + stats.points, whole.points);
    assert_eq!(stats.deleted_by_size, done.deleted_by_size);
    let first = numbers(&history, "t3", "m")[0].0;
    assert_eq!(first, 3 * DAY, "whole days, the oldest first");
    let on_disk: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= options.bytes_max + 200, "{on_disk}");
}

#[test]
fn memory_and_files_stay_few_while_much_is_written_and_nobody_maintains() {
    let dir = tempfile::tempdir().unwrap();
    let history = filled(dir.path(), Options { log_points_max: 40, ..Options::default() }, 10);
    let logs = std::fs::read_dir(dir.path()).unwrap();
    let logs = logs
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "log"))
        .count();
    assert!(logs <= 5, "{logs} logs wait");
    assert_eq!(numbers(&history, "t3", "m").len(), 240);
    let done = history.maintain(noon(10)).unwrap();
    assert!(done.sealed <= 5 && done.merged > 100, "{done:?}");
    assert_eq!(history.stats().parts, 10);
    assert_eq!(numbers(&history, "t3", "m").len(), 240);
}
