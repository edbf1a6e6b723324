//! What a transition rests on: window, value, limit, the datapoints before, and where the events are.

use detector::{change::Rules, engine::Engine, transition::Transition};
use fleet::registry::Registry;

use crate::support::{engine, fold, rules};

fn engine_of(behaviors: &[&str]) -> Engine {
    engine(&rules(behaviors), &Registry::default(), 2)
}

/// `window start +window secs: observed limits | datapoints | records`.
fn told(transition: &Transition) -> String {
    let evidence = transition.evidence.as_ref().unwrap();
    let secs = |at: fleet::time::Timestamp| at.millis() as f64 / 1000.0;
    let window = evidence.window_secs.map_or_else(String::new, |secs| format!("+{secs}"));
    let observed = serde_json::to_string(&evidence.observed).unwrap();
    let limit = serde_json::to_string(&evidence.limit).unwrap();
    let points: Vec<String> = evidence
        .recent
        .iter()
        .map(|point| format!("{}={}{}", secs(point.at), point.value, if point.compliant { "" } else { "!" }))
        .collect();
    assert_eq!(transition.value.as_ref(), Some(&evidence.observed));
    let range = evidence.journal;
    format!(
        "{}{window}: {observed} {limit} | {} | {}-{}",
        secs(evidence.window_start),
        points.join(" "),
        range.from,
        range.to
    )
}

#[track_caller]
fn check(behaviors: &[&str], script: &str, expected: &[&str]) {
    let transitions = fold(&mut engine_of(behaviors), script);
    assert_eq!(transitions.iter().map(told).collect::<Vec<_>>(), expected, "{behaviors:?}\n{script}");
}

#[test]
fn a_counter_tells_its_window_and_the_records_in_it() {
    // Records 1 and 2 are the rules and the registry.
    check(
        &["sent: num-messages-sent less-than 3 in 60 alarm 2"],
        "1 publish a\n61 publish a\n62 publish a\n63 publish a\n119 publish b\n121 publish a\n122 publish a\n123 publish a\n190 publish a\n250 tick",
        &[
            r#"120+60: {"count":3} {"high":3.0,"source":{"kind":"fixed"}} | 60=1 63=3! 123=3! | 4-10"#,
            r#"180+60: {"count":1} {"high":3.0,"source":{"kind":"fixed"}} | 60=1 63=3! 123=3! 240=1 | 11-12"#,
        ],
    );
}

#[test]
fn the_last_three_datapoints_before_are_told() {
    let report = |at: u32, ports: u32| {
        format!(r#"{at} report a {{"listening_tcp_ports":{{"ports":[],"total":{ports}}}}}"#)
    };
    let script: Vec<String> =
        [(1, 1), (2, 2), (3, 3), (4, 4), (5, 50)].map(|(at, ports)| report(at, ports)).to_vec();
    check(
        &["open: num-listening-tcp-ports less-than-equals 10"],
        &script.join("\n"),
        &[r#"5: {"count":50} {"high":10.0,"source":{"kind":"fixed"}} | 2=2 3=3 4=4 5=50! | 7-7"#],
    );
}

#[test]
fn a_lower_bound_is_told_as_such_and_time_away_from_its_begin() {
    check(
        &["alive: num-messages-sent greater-than 0 in 60"],
        "1 connect a\n62 tick",
        &[r#"0+60: {"count":0} {"low":0.0,"source":{"kind":"fixed"}} | 60=0! | 3-4"#],
    );
    check(
        &["gone: disconnect-duration less-than 5"],
        "1 connect a\n30 disconnect a\n302 tick\n602 tick",
        &[r#"30: {"count":9} {"high":5.0,"source":{"kind":"fixed"}} | 300=4 600=9! | 3-6"#],
    );
}

#[test]
fn lists_are_told_whole_and_before_by_their_length() {
    check(
        &[r#"ports: listening-tcp-ports in-port-set {"ports":[22,80]}"#],
        r#"1 report a {"listening_tcp_ports":{"ports":[{"port":22},{"port":80}],"total":2}}
           2 report a {"listening_tcp_ports":{"ports":[{"port":23}],"total":1}}"#,
        &[r#"2: {"ports":[23]} {"source":{"kind":"set"}} | 1=2 2=1! | 4-4"#],
    );
}

#[test]
fn without_a_verdict_there_is_no_evidence() {
    let mut engine = engine_of(&["sent: num-messages-sent less-than 1 in 300"]);
    fold(&mut engine, "1 publish a");
    let json = serde_json::to_vec(&Rules::default()).unwrap();
    let entry = detector::journal::Entry {
        arrival: fleet::time::Timestamp::from_secs(30),
        source: detector::input::SourceId(0),
        kind: detector::journal::Kind::Rules,
        position: 0,
        subject: "",
        payload: &json,
    };
    engine.stage(&entry.at(engine.seq() + 1));
    let mut transitions = Vec::new();
    engine.flush(&mut |transition| transitions.push(transition));
    assert_eq!(transitions.len(), 1);
    assert_eq!(transitions[0].evidence, None);
    let json = serde_json::to_value(&transitions[0]).unwrap();
    assert!(json.get("evidence").is_none());
    let back: Transition = serde_json::from_value(json).unwrap();
    assert_eq!(back, transitions[0]);
}

#[test]
fn evidence_survives_json() {
    let transitions = fold(&mut engine_of(&["sent: num-messages-sent less-than 1 in 300"]), "1 publish a");
    let json = serde_json::to_string(&transitions[0]).unwrap();
    assert!(
        json.contains(r#""evidence":{"metric":"aws:num-messages-sent","windowStart":0,"windowSecs":300"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Transition>(&json).unwrap(), transitions[0]);
}
