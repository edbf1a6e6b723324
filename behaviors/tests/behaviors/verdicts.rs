//! The table `testdata/verdicts.txt`: criteria, observations in time, and the changes they make.

use std::net::IpAddr;

use behaviors::{
    criterion::ValueKind,
    set::Behavior,
    slot::{Change, Datapoint, Slot, Value},
};
use fleet::{event::Attribution, time::Timestamp};

#[test]
fn every_row_gives_its_changes() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(include_str!("../../testdata/verdicts.txt").lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        rows += 1;
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [metric, criterion, window, counts, observations, expected] = columns[..] else {
            panic!("line {number}: {} columns, 6 are expected", columns.len());
        };
        let behavior = super::behavior(&definition(metric, criterion, window, counts));
        let found = run(&behavior, observations);
        let expected = if expected == "-" { "" } else { expected };
        if found != expected {
            wrong.push(format!("line {number}: {line}\n    found: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows >= 300, "{rows} rows");
}

fn definition(metric: &str, criterion: &str, window: &str, counts: &str) -> String {
    let (operator, value) = criterion.split_once(' ').unwrap();
    let member = match operator {
        "in-cidr-set" | "not-in-cidr-set" => "cidrs",
        "in-port-set" | "not-in-port-set" => "ports",
        "in-set" | "not-in-set" if value.contains('"') => "strings",
        "in-set" | "not-in-set" => "numbers",
        _ if metric.starts_with("aws:") => "count",
        _ => "number",
    };
    let duration = match window {
        "-" => String::new(),
        secs => format!(r#""durationSeconds":{secs},"#),
    };
    let (alarm, clear) = counts.split_once('/').unwrap();
    format!(
        r#"{{"name":"b","metric":"{metric}","criteria":{{"comparisonOperator":"{operator}",{duration}"value":{{"{member}":{value}}},
            "consecutiveDatapointsToAlarm":{alarm},"consecutiveDatapointsToClear":{clear}}}}}"#
    )
}

fn run(behavior: &Behavior, observations: &str) -> String {
    let mut slot = Slot::default();
    let mut changes = Vec::new();
    for step in observations.split_whitespace() {
        if let Some((at, what)) = step.split_once(':').filter(|(at, _)| !at.contains('=')) {
            let at = time(at);
            match what {
                "present" => told(behavior.close(&mut slot, at, true), &mut changes),
                "absent" => told(behavior.close(&mut slot, at, false), &mut changes),
                "left" => behavior.observe_left(&mut slot, at),
                "back" => told(behavior.observe_back(&mut slot, at), &mut changes),
                _ => panic!("unknown step {step}"),
            }
        } else {
            observe(behavior, &mut slot, step, &mut changes);
        }
    }
    changes.into_iter().map(written).collect::<Vec<_>>().join(" ")
}

fn observe(behavior: &Behavior, slot: &mut Slot, step: &str, changes: &mut Vec<Change>) {
    let (at, value) = step.split_once('=').unwrap();
    let at = time(at);
    let (value, who) = match value.split_once('~') {
        Some((value, "ambiguous")) => (value, Attribution::Ambiguous),
        Some((value, "address")) => (value, Attribution::Address),
        Some(_) => panic!("unknown attribution in {step}"),
        None => (value, Attribution::Certain),
    };
    let criterion = behavior.criterion().unwrap();
    if criterion.kind() == ValueKind::Number {
        let (closed, own) = behavior.observe_number(slot, at, value.parse().unwrap(), who);
        told(closed, changes);
        told(own, changes);
        return;
    }
    let elements: Vec<&str> =
        value.trim_matches(['[', ']']).split(',').filter(|element| !element.is_empty()).collect();
    let compliant = match criterion.kind() {
        ValueKind::Number => unreachable!(),
        ValueKind::Ports => behavior.judge_ports(&parsed::<u16>(&elements)),
        ValueKind::Addresses => behavior.judge_addresses(&parsed::<IpAddr>(&elements)),
        ValueKind::Numbers => behavior.judge_numbers(&parsed::<f64>(&elements)),
        ValueKind::Strings => behavior.judge_strings(elements),
    };
    told(Some(behavior.observe_list(slot, at, compliant, who)), changes);
}

fn told(point: Option<Datapoint>, changes: &mut Vec<Change>) {
    changes.extend(point.and_then(|point| point.change()));
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(elements: &[&str]) -> Vec<T> {
    elements.iter().map(|element| element.parse().unwrap()).collect()
}

fn time(secs: &str) -> Timestamp {
    let secs: f64 = secs.parse().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "times of the table are small")]
    Timestamp::from_millis((secs * 1000.0).round() as i64)
}

fn written(change: Change) -> String {
    let (kind, deciding) = match change {
        Change::Alarm(deciding) => ("alarm", deciding),
        Change::Clear(deciding) => ("clear", deciding),
    };
    let at = deciding.at.millis() as f64 / 1000.0;
    let value = match deciding.value {
        Value::Number(number) => number.to_string(),
        Value::List => "list".into(),
    };
    let who = match deciding.attribution {
        Attribution::Certain => String::new(),
        weaker => format!("~{}", weaker.name()),
    };
    format!("{kind}@{at}={value}{who}")
}
