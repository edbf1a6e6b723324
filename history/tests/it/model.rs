//! Whatever is done in whatever order, a history answers as a plain map would.

use std::collections::BTreeMap;

use fleet::time::Timestamp;
use history::{Appended, Block, History, Query, Value};
use proptest::prelude::*;

use crate::support::{ANY, START, at, block_of, points, small};

#[derive(Clone, Debug)]
enum Step {
    /// A block `windows` later than the one before; may go back.
    Append {
        windows: i64,
        metric: u8,
        rows: Vec<(u8, Value)>,
    },
    Commit,
    /// The process ends and starts; what was not committed is gone, and is handed over again.
    Reopen,
    Maintain {
        hours: i64,
    },
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-5_i32..100).prop_map(|number| Value::Number(f64::from(number))),
        1 => any::<f64>().prop_filter("a number", |number| !number.is_nan()).prop_map(Value::Number),
        1 => prop::collection::vec(any::<u16>(), 0..4).prop_map(Value::Ports),
        1 => prop::collection::vec("[a-c]{0,2}", 0..3).prop_map(Value::Texts),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let rows = prop::collection::vec((0_u8..6, value()), 0..6);
    prop_oneof![
        8 => (-2_i64..40, 0_u8..3, rows).prop_map(|(windows, metric, rows)| Step::Append { windows, metric, rows }),
        3 => Just(Step::Commit),
        1 => Just(Step::Reopen),
        2 => (-5_i64..60).prop_map(|hours| Step::Maintain { hours }),
    ]
}

type Model = BTreeMap<(u8, u8), BTreeMap<i64, Value>>;

/// Of a thing that comes twice, in a block or in a window, the last value counts.
fn take(model: &mut Model, metric: u8, end: i64, rows: &[(u8, Value)]) {
    for (thing, value) in rows {
        model.entry((*thing, metric)).or_default().insert(end, value.clone());
    }
}

fn name(thing: u8) -> String {
    format!("thing-{}", "ab".repeat(usize::from(thing)))
}

fn compare(history: &History, model: &Model, limit: usize) {
    for ((thing, metric), expected) in model {
        let (thing, metric) = (name(*thing), format!("m{metric}"));
        let found: Vec<(i64, Value)> = points(history, &thing, &metric)
            .into_iter()
            .map(|point| (point.end.millis(), point.value))
            .collect();
        let expected: Vec<(i64, Value)> = expected.iter().map(|(end, value)| (*end, value.clone())).collect();
        assert_eq!(found, expected, "{thing} {metric}");
        let from = expected.get(expected.len() / 3).map_or(START, |point| point.0);
        let to = expected.last().map_or(START, |point| point.0);
        let query = Query {
            thing: &thing,
            metric: &metric,
            dimension: "",
            aggregate: Some("sum"),
            window_secs: Some(300),
            from: at(from),
            to: at(to),
            limit,
        };
        let answer = history.query(&query).unwrap();
        let within: Vec<_> = expected.iter().filter(|point| (from..to).contains(&point.0)).collect();
        assert_eq!(answer.points.len(), within.len().min(limit));
        assert_eq!(answer.more, limit > 0 && within.len() > limit);
        assert!(answer.points.iter().zip(within).all(|(found, expected)| found.end.millis() == expected.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn a_history_answers_as_a_map_would(steps in prop::collection::vec(step(), 1..60), limit in 0_usize..8) {
        let dir = tempfile::tempdir().unwrap();
        let (mut history, _) = History::open(dir.path(), small(), ANY).unwrap();
        let (mut model, mut windows, mut seq) = (Model::new(), 0_i64, 0_u64);
        let mut pending: Vec<Block> = Vec::new();
        for step in steps {
            match step {
                Step::Append { windows: ahead, metric, rows } => {
                    windows += ahead;
                    seq += 1;
                    let named: Vec<(String, Value)> = rows.iter().map(|(thing, value)| (name(*thing), value.clone())).collect();
                    let named: Vec<(&str, Value)> = named.iter().map(|(thing, value)| (thing.as_str(), value.clone())).collect();
                    let block = block_of(seq, windows, &format!("m{metric}"), &named);
                    prop_assert_ne!(history.append(&block), Appended::Repeated);
                    take(&mut model, metric, block.end.millis(), &rows);
                    pending.push(block);
                }
                Step::Commit => {
                    history.commit(seq).unwrap();
                    pending.clear();
                }
                Step::Reopen => {
                    drop(history);
                    history = History::open(dir.path(), small(), ANY).unwrap().0;
                    for block in &pending {
                        prop_assert_ne!(history.append(block), Appended::Repeated);
                    }
                }
                Step::Maintain { hours } => {
                    history.maintain(at(START + (windows * 300 + hours * 3600) * 1000)).unwrap();
                }
            }
            compare(&history, &model, limit);
        }
        history.commit(seq).unwrap();
        history.maintain(Timestamp::from_millis(START + (windows + 600) * 300_000)).unwrap();
        compare(&history, &model, limit);
        compare(&History::read_only(dir.path()).unwrap(), &model, limit);
        let days = history.days();
        prop_assert!(days.iter().all(|day| day.sealed && !day.fingerprint.contains('+')), "{days:?}");
        prop_assert_eq!(history.stats().points, model.values().map(|series| series.len() as u64).sum::<u64>());
        let mut scanned = Model::new();
        for day in days {
            history.scan_day(day.day, &|_| true, &mut |key, thing, values| {
                let thing = (0..6).find(|&index| name(index) == thing).unwrap();
                let metric = key.metric[1..].parse().unwrap();
                scanned.entry((thing, metric)).or_default().extend(values.into_iter().map(|(end, value)| (end.millis(), value)));
                std::ops::ControlFlow::Continue(())
            }).unwrap();
        }
        prop_assert_eq!(scanned, model);
    }
}
