//! Kinds of values, dimensions and window lengths beside each other.

use history::{Appended, Block, Query, Value};

use crate::support::{START, at, block, block_of, open, points};

#[test]
fn lists_and_numbers_of_one_metric_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let values = [
        Value::Ports(vec![22, 8883]),
        Value::Ports(vec![22, 8883]),
        Value::Number(2.0),
        Value::Addresses(vec!["10.0.0.7".into(), "2001:db8::/32".into()]),
        Value::Texts(vec!["a,b".into(), "\u{1f4a1}".into(), String::new()]),
        Value::Numbers(vec![0.1, -7.0]),
        Value::Ports(vec![]),
    ];
    for (index, value) in (1..).zip(&values) {
        let rows = [("pump", value.clone()), ("other", Value::Number(0.0))];
        assert_ne!(history.append(&block_of(index, index as i64, "custom", &rows)), Appended::Repeated);
    }
    history.commit(7).unwrap();
    for round in 0..3 {
        let found: Vec<Value> =
            points(&history, "pump", "custom").into_iter().map(|point| point.value).collect();
        assert_eq!(found, values, "round {round}");
        history.maintain(at(START + round * 86_400_000)).unwrap();
    }
}

#[test]
fn a_list_that_is_too_long_is_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let long = Value::Texts(vec!["x".repeat(history::LIST_BYTES_MAX)]);
    let rows = [("a", long), ("b", Value::Number(1.0))];
    assert_eq!(history.append(&block_of(1, 1, "m", &rows)), Appended::Kept { rows: 1, too_long: 1 });
    history.commit(1).unwrap();
    assert_eq!((points(&history, "a", "m").len(), points(&history, "b", "m").len()), (0, 1));
    assert_eq!(history.stats().too_long, 1);
}

#[test]
fn dimensions_window_lengths_and_aggregates_are_series_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let minute = Block { window_secs: 60, ..block(2, 1, "m", &[("a", 2.0)]) };
    let most = Block { aggregate: "max".into(), ..block(4, 1, "m", &[("a", 4.0)]) };
    let topic = Block { dimension: "topic".into(), ..block(3, 1, "m", &[("a", 3.0)]) };
    for block in [block(1, 1, "m", &[("a", 1.0)]), minute, topic, most] {
        assert_ne!(history.append(&block), Appended::Repeated);
    }
    history.commit(4).unwrap();
    let end = START + 300_000;
    for _ in 0..2 {
        let ask = |dimension, window_secs, from, to| {
            let query = Query {
                thing: "a",
                metric: "m",
                dimension,
                aggregate: None,
                window_secs,
                from: at(from),
                to: at(to),
                limit: 10,
            };
            let answer = history.query(&query).unwrap();
            answer.points.iter().map(|point| (point.window_secs, point.value.clone())).collect::<Vec<_>>()
        };
        let number = Value::Number;
        assert_eq!(ask("", None, end, end + 1), [(60, number(2.0)), (300, number(4.0)), (300, number(1.0))]);
        assert_eq!(ask("", Some(300), end, end + 1), [(300, number(4.0)), (300, number(1.0))]);
        assert_eq!(ask("topic", None, end, end + 1), [(300, number(3.0))]);
        assert_eq!(ask("other", None, end, end + 1), []);
        assert_eq!(ask("", None, end + 1, end + 2), [], "`from` is the first end that counts");
        assert_eq!(ask("", None, end - 1, end), [], "`to` is the first that does not");
        assert_eq!(ask("", None, end, end), []);
        history.maintain(at(START + 2 * 86_400_000)).unwrap();
    }
}

/// Lists come when they are reported, each in a block of its own; what a window shows is the last.
#[test]
fn of_several_lists_in_a_window_the_last_counts_wherever_they_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let list = |seq: u64, window, thing: &str, port: u16| {
        let block = block_of(seq, window, "ports", &[(thing, Value::Ports(vec![port]))]);
        assert_ne!(history.append(&block), Appended::Repeated);
        history.commit(seq).unwrap();
    };
    let now = |found: &str| {
        let of = |thing| match points(&history, thing, "ports").as_slice() {
            [point] => format!("{:?}", point.value),
            other => panic!("{other:?}"),
        };
        assert_eq!(format!("{} {}", of("a"), of("b")), found);
    };
    list(1, 5, "a", 1);
    list(2, 5, "b", 2);
    list(3, 5, "a", 3);
    now("Ports([3]) Ports([2])");
    history.maintain(at(START + 7_200_000)).unwrap();
    now("Ports([3]) Ports([2])");
    list(4, 5, "b", 4);
    now("Ports([3]) Ports([4])");
    history.maintain(at(START + 7_200_000)).unwrap();
    now("Ports([3]) Ports([4])");
    list(5, 5, "a", 5);
    history.maintain(at(START + 3 * 86_400_000)).unwrap();
    assert_eq!(history.stats().parts, 1);
    now("Ports([5]) Ports([4])");
}
