//! Blocks, and what a history answers.

use std::path::Path;

use fleet::time::Timestamp;
use history::{Block, History, Options, Point, Query, Row, Value};

/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600_000;
/// Length of all windows here, seconds.
pub(crate) const WINDOW: u32 = 300;
/// No record of the journal is later.
pub(crate) const ANY: u64 = u64::MAX;

pub(crate) const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A block of numbers whose windows ended `windows` windows after [`START`].
pub(crate) fn block(seq: u64, windows: i64, metric: &str, rows: &[(&str, f64)]) -> Block {
    let rows: Vec<(&str, Value)> =
        rows.iter().map(|(thing, number)| (*thing, Value::Number(*number))).collect();
    block_of(seq, windows, metric, &rows)
}

pub(crate) fn block_of(seq: u64, windows: i64, metric: &str, rows: &[(&str, Value)]) -> Block {
    Block {
        seq,
        end: at(START + windows * i64::from(WINDOW) * 1000),
        window_secs: WINDOW,
        metric: metric.into(),
        dimension: String::new(),
        aggregate: "sum".into(),
        rows: rows
            .iter()
            .map(|(thing, value)| Row { thing: (*thing).to_owned(), value: value.clone() })
            .collect(),
    }
}

/// Small bounds, so that few blocks seal and merge.
pub(crate) fn small() -> Options {
    Options { days: 400, log_points_max: 16, ..Options::default() }
}

pub(crate) fn open(dir: &Path) -> History {
    History::open(dir, small(), ANY).unwrap().0
}

pub(crate) fn points(history: &History, thing: &str, metric: &str) -> Vec<Point> {
    let query = Query {
        thing,
        metric,
        dimension: "",
        aggregate: None,
        window_secs: None,
        from: Timestamp::MIN,
        to: at(i64::MAX),
        limit: usize::MAX,
    };
    history.query(&query).unwrap().points
}

/// Window (counted from [`START`]) and number.
pub(crate) fn numbers(history: &History, thing: &str, metric: &str) -> Vec<(i64, f64)> {
    let number = |point: &Point| match point.value {
        Value::Number(number) => ((point.end.millis() - START) / (i64::from(WINDOW) * 1000), number),
        ref other => panic!("{other:?} is no number"),
    };
    points(history, thing, metric).iter().map(number).collect()
}
