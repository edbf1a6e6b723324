//! Days of the history as Parquet.

use std::{fs, path::Path};

use fleet::time::Timestamp;
use history::{Appended, Block, History, Options, Query, Row, Value as Metric};
use serde_json::{Value, json};

use crate::support::{ask, pyarrow, start};

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;

/// Two days and a half, a window an hour: numbers, lists, another dimension.
fn fill(dir: &Path) -> History {
    let (history, _) = History::open(dir, Options { days: 400, ..Options::default() }, u64::MAX).unwrap();
    for hour in 0..60_i64 {
        let row = |thing: &str, value| Row { thing: thing.into(), value };
        let numbers = (0..3)
            .map(|thing| row(&format!("pump-{thing}"), Metric::Number((hour * 10 + thing) as f64 / 4.0)));
        let lists = vec![
            row("pump-0", Metric::Ports(vec![22, u16::try_from(hour / 20).unwrap()])),
            row("käse", Metric::Addresses(vec!["10.0.0.1".into(), format!("2001:db8::{hour}")])),
            row("pump-2", Metric::Texts(vec![])),
            row("pump-1", Metric::Numbers(vec![0.5, f64::from(i32::try_from(hour).unwrap())])),
        ];
        let seq = hour.unsigned_abs() + 1;
        let end = Timestamp::from_millis(START + hour * 3_600_000);
        let block = |metric: &str, dimension: &str, rows| Block {
            seq,
            end,
            window_secs: 3600,
            metric: metric.into(),
            dimension: dimension.into(),
            aggregate: "sum".into(),
            rows,
        };
        let filtered = vec![row("pump-1", Metric::Number(1.0))];
        for block in [
            block("aws:num-messages-sent", "", numbers.collect()),
            block("aws:num-messages-sent", "!alerts", filtered),
            block("custom", "", lists),
        ] {
            assert_ne!(history.append(&block), Appended::Repeated);
        }
        history.commit(seq).unwrap();
    }
    history.maintain(Timestamp::from_millis(START + 4 * DAY)).unwrap();
    history
}

fn compact(dir: &Path, now: i64) -> (Vec<Value>, Value) {
    ask(
        "compact",
        &json!({"lake": dir.join("lake"), "history": dir.join("history"), "now": now, "memoryMib": 2048}),
    )
}

#[test]
fn days_that_are_over_are_read_by_another_program_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let history = fill(&dir.path().join("history"));
    // An hour after midnight the day is over, and not a moment before.
    let (_, done) = compact(dir.path(), START + DAY + 3_600_000 - 1);
    assert_eq!((done["metricDays"].as_u64(), done["metricRows"].as_u64()), (Some(0), Some(0)));
    let (lines, done) = compact(dir.path(), START + 2 * DAY + 3_600_000);
    assert_eq!(done["metricRows"], 48 * 8);
    assert_eq!(lines.len(), 2);
    let (schema, rows) = pyarrow(&dir.path().join("lake/metrics"));
    let described = ask("describe", &json!({"lake": dir.path().join("lake")})).0;
    for column in described[0]["columns"].as_array().unwrap() {
        let name = column["name"].as_str().unwrap();
        let found = schema[name]
            .as_str()
            .unwrap()
            .replace("large_", "")
            .replace("element: ", "")
            .replace("item: ", "");
        let found = found.replace(", tz=", ", ").replace("string_view", "string");
        assert_eq!(found, column["type"].as_str().unwrap().to_owned(), "{name}");
    }
    assert_eq!(
        (described[0]["first"].as_str(), described[0]["last"].as_str()),
        (Some("2026-01-01"), Some("2026-01-02"))
    );
    assert_eq!(rows.len(), 48 * 8);
    for thing in ["pump-0", "pump-1", "pump-2", "käse"] {
        for (metric, dimension) in
            [("aws:num-messages-sent", ""), ("aws:num-messages-sent", "!alerts"), ("custom", "")]
        {
            let query = Query {
                thing,
                metric,
                dimension,
                aggregate: None,
                window_secs: None,
                from: Timestamp::from_millis(START),
                to: Timestamp::from_millis(START + 2 * DAY),
                limit: 1000,
            };
            let expected: Vec<Value> = history
                .query(&query)
                .unwrap()
                .points
                .iter()
                .map(|point| {
                    let (number, numbers, texts) = match &point.value {
                        Metric::Number(number) => (json!(number), Value::Null, Value::Null),
                        Metric::Numbers(numbers) => (Value::Null, json!(numbers), Value::Null),
                        Metric::Ports(ports) => (
                            Value::Null,
                            json!(ports.iter().map(|&port| f64::from(port)).collect::<Vec<_>>()),
                            Value::Null,
                        ),
                        Metric::Addresses(texts) | Metric::Texts(texts) => {
                            (Value::Null, Value::Null, json!(texts))
                        }
                    };
                    json!([point.end.millis(), number, numbers, texts])
                })
                .collect();
            let of = |row: &&Value| {
                row["thing"] == thing && row["metric"] == metric && row["dimension"] == dimension
            };
            let found: Vec<Value> = rows
                .iter()
                .filter(of)
                .map(|row| json!([row["time"], row["number"], row["numbers"], row["texts"]]))
                .collect();
            assert_eq!(found, expected, "{thing} {metric} {dimension}");
        }
    }
    assert!(rows.iter().all(|row| row["day"].as_str().unwrap()
        == if row["time"].as_i64().unwrap() < START + DAY { "2026-01-01" } else { "2026-01-02" }));
}

#[test]
fn what_is_written_can_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("history"));
    compact(dir.path(), START + 3 * DAY + 3_600_000);
    let request = |from: i64, to: i64, limit: u64| {
        let (from, to) = (START + from * 3_600_000, START + to * 3_600_000);
        json!({"lake": dir.path().join("lake"), "thing": "pump-1", "metric": "aws:num-messages-sent", "from": from, "to": to, "limit": limit})
    };
    let (lines, done) = ask("query", &request(22, 27, 100));
    let found: Vec<(i64, f64)> = lines
        .iter()
        .map(|line| ((line["end"].as_i64().unwrap() - START) / 3_600_000, line["value"].as_f64().unwrap()))
        .collect();
    assert_eq!(found, (22..27).map(|hour| (hour, (hour * 10 + 1) as f64 / 4.0)).collect::<Vec<_>>());
    assert_eq!(done, json!({"points": 5, "more": false}));
    assert_eq!(ask("query", &request(22, 27, 4)).1, json!({"points": 4, "more": true}));
    assert_eq!(ask("query", &request(27, 27, 4)).1, json!({"points": 0, "more": false}));
    // Columns come from the lake alike, whether the history still has the day or not.
    let series = |history: &str| {
        let request = json!({"lake": dir.path().join("lake"), "history": dir.path().join(history), "things": ["pump-0", "pump-1"], "from": START + 3_600_000, "to": START + 2 * DAY});
        ask("series", &request)
    };
    let (lines, done) = series("history");
    assert_eq!(done, json!({"lines": 10, "points": 5 * 47}));
    assert_eq!((lines.clone(), done), series("nowhere"));
    let filtered: Vec<&Value> = lines.iter().filter(|line| line["dimension"] == "!alerts").collect();
    let counts: Vec<usize> = filtered.iter().map(|line| line["ends"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [23, 24], "a line for each day");
    assert!(filtered.iter().all(|line| line["thing"] == "pump-1"));
}

#[test]
fn a_day_is_written_once_again_when_values_came_and_never_with_fewer() {
    let dir = tempfile::tempdir().unwrap();
    let history = fill(&dir.path().join("history"));
    let now = START + 3 * DAY + 3_600_000;
    assert_eq!(compact(dir.path(), now).1["metricDays"], 3);
    assert_eq!(compact(dir.path(), now).1["metricDays"], 0, "nothing new");
    let late = Block {
        seq: 100,
        end: Timestamp::from_millis(START + 5),
        window_secs: 3600,
        metric: "late".into(),
        dimension: String::new(),
        aggregate: "sum".into(),
        rows: vec![Row { thing: "pump-0".into(), value: Metric::Number(7.0) }],
    };
    assert_ne!(history.append(&late), Appended::Repeated);
    history.commit(100).unwrap();
    // A file of a writing that was longer.
    let extra = dir.path().join("lake/metrics/day=2026-01-01/part-1.parquet");
    fs::write(&extra, b"old").unwrap();
    history.maintain(Timestamp::from_millis(now)).unwrap();
    let (lines, done) = compact(dir.path(), now);
    assert_eq!((done["metricDays"].as_u64(), lines[0]["rows"].as_u64()), (Some(1), Some(24 * 8 + 1)));
    assert!(!extra.exists());
    let (_, rows) = pyarrow(&dir.path().join("lake/metrics"));
    assert_eq!(rows.len(), 60 * 8 + 1);
    drop(history);
    // The history loses days for want of room: the lake keeps them.
    fs::remove_dir_all(dir.path().join("history")).unwrap();
    let (history, _) = History::open(&dir.path().join("history"), Options::default(), 200).unwrap();
    assert_ne!(history.append(&late), Appended::Repeated);
    history.commit(100).unwrap();
    history.maintain(Timestamp::from_millis(now)).unwrap();
    assert_eq!(compact(dir.path(), now).1["metricDays"], 0);
}

#[test]
fn a_crash_while_writing_leaves_nothing_that_counts_and_retention_takes_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("history"));
    let now = START + 3 * DAY + 3_600_000;
    let day = dir.path().join("lake/metrics/day=2026-01-01");
    fs::create_dir_all(&day).unwrap();
    fs::write(day.join("part-0.tmp"), b"torn").unwrap();
    fs::write(day.join("part-7.parquet"), b"left by a crash").unwrap();
    assert_eq!(compact(dir.path(), now).1["metricDays"], 3);
    let mut names: Vec<String> =
        fs::read_dir(&day).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["_written.json", "part-0.parquet"]);
    let keep = |days: Value, bytes: Value| {
        let request = json!({"lake": dir.path().join("lake"), "now": now, "days": days, "bytesMax": bytes});
        let (lines, done) = ask("compact", &request);
        let left = ask("describe", &json!({"lake": dir.path().join("lake")})).0[0]["first"].clone();
        (lines.len(), done["deletedDays"].as_u64().unwrap(), left)
    };
    assert_eq!(keep(json!(3), Value::Null), (0, 0, json!("2026-01-01")));
    assert_eq!(keep(json!(2), Value::Null), (1, 1, json!("2026-01-02")));
    assert_eq!(keep(Value::Null, json!(1 << 30)), (0, 0, json!("2026-01-02")));
    assert_eq!(keep(Value::Null, json!(1)), (1, 1, json!("2026-01-03")), "the newest day stays");
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("compact", "{", "the request cannot be read: EOF while parsing an object at line 1 column 1"),
        (
            "query",
            r#"{"lake": "x"}"#,
            "the request cannot be read: missing field `thing` at line 1 column 13",
        ),
        (
            "train",
            "{}",
            "expected one subcommand of compact, query, series, records, describe, and a request on standard input",
        ),
    ];
    for (subcommand, request, message) in cases {
        let output = start(subcommand, request);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr).trim_end(),
            format!("fleetward-analyst: {message}")
        );
    }
}
