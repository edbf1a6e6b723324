//! Values handed on for history and export.

use std::collections::BTreeMap;

use detector::{
    change::Rules,
    engine::Engine,
    output::{Datapoints, Output},
};
use fleet::registry::Registry;
use proptest::prelude::*;

use crate::{
    same::{many_rules, registry, script, steps},
    support::{decoders, engine, parse, rules, stage},
};

fn collected(engine: &mut Engine, script: &str, step: usize) -> Vec<Datapoints> {
    let mut all = Vec::new();
    let mut take = |output| {
        if let Output::Datapoints(points) = output {
            all.push(points);
        }
    };
    for (index, line) in parse(script).iter().enumerate() {
        stage(engine, line);
        if index % step == step - 1 {
            engine.flush_outputs(&mut take);
        }
    }
    engine.flush_outputs(&mut take);
    all
}

fn line(points: &Datapoints) -> String {
    let rows: Vec<String> = points
        .rows
        .iter()
        .map(|(thing, value)| format!("{thing}={}", serde_json::to_string(value).unwrap()))
        .collect();
    let export = if points.export { " export" } else { "" };
    format!(
        "{} {}/{} {}{export}: {}",
        points.end.secs(),
        points.metric,
        points.aggregate,
        points.secs,
        rows.join(" ")
    )
}

fn collecting(text: &str) -> Rules {
    let rules = Rules { profiles: vec![("p.json".into(), text.into())], collect: true, ..Rules::default() };
    let (_, problems) = behaviors::profile::parse_files(&rules.profiles);
    assert!(problems.is_empty(), "{problems:?}");
    rules
}

#[track_caller]
fn check(behaviors: &str, retained: &str, script: &str, expected: &[&str]) {
    let rules = collecting(&format!(
        r#"{{"securityProfileName":"p","behaviors":[{behaviors}],"additionalMetricsToRetainV2":[{retained}],
            "fleetward":{{"targets":["arn:aws:iot:r:1:all/things"]}}}}"#
    ));
    let mut engine = engine(&rules, &Registry::default(), 2);
    let lines: Vec<String> = collected(&mut engine, script, 1).iter().map(line).collect();
    assert_eq!(lines, expected, "{script}");
}

#[test]
fn a_judged_metric_is_collected_whole_on_the_grid() {
    // Decided at the second message; the value is that of the whole window all the same.
    check(
        r#"{"name":"b","metric":"aws:num-messages-sent","exportMetric":true,
            "criteria":{"comparisonOperator":"less-than","value":{"count":2},"durationSeconds":600}}"#,
        "",
        "1 publish b\n2 publish a\n3 publish a\n4 publish a\n310 publish a\n312 tick\n602 tick",
        &[
            r#"300 aws:num-messages-sent/count 300 export: b={"count":1} a={"count":3}"#,
            r#"600 aws:num-messages-sent/count 300 export: b={"count":0} a={"count":1}"#,
        ],
    );
}

#[test]
fn metrics_without_criteria_and_retained_ones_are_collected() {
    check(
        r#"{"name":"b","metric":"aws:message-byte-size"}"#,
        r#"{"metric":"aws:num-disconnects"}"#,
        "1 connect a\n2 publish a 10\n3 publish a 30\n4 disconnect a\n302 tick\n602 tick",
        &[
            r#"300 aws:message-byte-size/max 300: a={"count":30}"#,
            r#"300 aws:message-byte-size/min 300: a={"count":10}"#,
            r#"300 aws:message-byte-size/sum 300: a={"count":40}"#,
            r#"300 aws:num-disconnects/count 300: a={"count":1}"#,
        ],
    );
    check(
        "",
        r#"{"metric":"aws:disconnect-duration","exportMetric":true}"#,
        "1 connect a\n302 tick\n310 disconnect a\n602 tick\n902 tick\n910 connect a\n1202 tick",
        &[
            r#"300 aws:disconnect-duration/away 300 export: a={"count":0}"#,
            r#"600 aws:disconnect-duration/away 300 export: a={"count":4}"#,
            r#"900 aws:disconnect-duration/away 300 export: a={"count":9}"#,
            r#"1200 aws:disconnect-duration/away 300 export: a={"count":0}"#,
        ],
    );
}

#[test]
fn lists_and_custom_values_of_any_type_are_collected() {
    check(
        "",
        r#"{"metric":"aws:listening-tcp-ports"},{"metric":"modes"},{"metric":"aws:num-listening-tcp-ports"}"#,
        r#"1 report a {"listening_tcp_ports":{"ports":[{"port":22}],"total":7}}
           2 report a custom {"modes":[{"string_list":["idle"]}]}
           3 report b custom {"modes":[{"number":2.5}]}
           302 tick"#,
        &[
            r#"300 aws:num-listening-tcp-ports/last 300: a={"count":7}"#,
            r#"300 aws:listening-tcp-ports/each 300: a={"ports":[22]}"#,
            r#"300 modes/last 300: a={"strings":["idle"]} b={"number":2.5}"#,
        ],
    );
}

#[test]
fn of_the_lists_of_a_window_the_last_is_handed_on_at_its_end() {
    check(
        "",
        r#"{"metric":"aws:listening-tcp-ports"}"#,
        r#"1 report a {"listening_tcp_ports":{"ports":[{"port":22}],"total":1}} #1
           2 report b {"listening_tcp_ports":{"ports":[{"port":22}],"total":1}} #2
           3 report a {"listening_tcp_ports":{"ports":[{"port":80}],"total":1}} #3
           301 report a {"listening_tcp_ports":{"ports":[{"port":81}],"total":1}} #4
           302 tick
           602 tick"#,
        &[
            // The next window begins before the end of this one is told.
            r#"300 aws:listening-tcp-ports/each 300: a={"ports":[80]}"#,
            r#"300 aws:listening-tcp-ports/each 300: b={"ports":[22]}"#,
            r#"600 aws:listening-tcp-ports/each 300: a={"ports":[81]}"#,
        ],
    );
}

/// The value of each thing, metric and window that counts in the end.
fn answers(blocks: &[Datapoints]) -> BTreeMap<String, String> {
    let of = |block: &Datapoints| {
        let Datapoints { end, metric, aggregate, dimension, .. } = block;
        let place = format!("{} {metric} {aggregate} {dimension:?}", end.millis());
        let rows = block.rows.clone().into_iter();
        rows.map(move |(thing, value)| (format!("{place} {thing}"), format!("{value:?}")))
    };
    blocks.iter().flat_map(of).collect()
}

#[test]
fn nothing_is_collected_unless_asked_for() {
    let mut engine = engine(&rules(&["sent: num-messages-sent less-than 2 in 300"]), &Registry::default(), 1);
    assert_eq!(collected(&mut engine, "1 publish a\n302 tick", 1), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn the_lists_that_are_held_back_give_the_answers_of_all_lists(steps in steps()) {
        let rules = Rules { collect: true, ..many_rules() };
        let script = format!("{}\n9000000 tick", script(&steps));
        let mut every = engine(&rules, &registry(), 1);
        every.hand_on_every_list();
        let (every, last) = (
            collected(&mut every, &script, 5),
            collected(&mut engine(&rules, &registry(), 3), &script, 5),
        );
        prop_assert_eq!(answers(&last), answers(&every));
        let rows = |blocks: &[Datapoints]| blocks.iter().map(|block| block.rows.len()).sum::<usize>();
        prop_assert!(rows(&last) <= rows(&every));
    }

    #[test]
    fn shards_batches_and_snapshots_change_nothing(
        steps in steps(), batching in 1_usize..50, at in any::<prop::sample::Index>(), other in 1_usize..5,
    ) {
        let rules = Rules { collect: true, ..many_rules() };
        let script = script(&steps);
        let reference = collected(&mut engine(&rules, &registry(), 1), &script, 1);
        for shards in [2, 7] {
            let found = collected(&mut engine(&rules, &registry(), shards), &script, batching);
            prop_assert_eq!(&found, &reference);
        }
        let lines: Vec<&str> = script.lines().collect();
        let (first, second) = lines.split_at(at.index(lines.len()));
        let mut engine = engine(&rules, &registry(), 2);
        let mut found = collected(&mut engine, &first.join("\n"), 3);
        let bytes = engine.save().to_bytes().unwrap();
        let snapshot = detector::snapshot::Snapshot::from_bytes(&bytes).unwrap();
        let mut engine = Engine::restored(snapshot, decoders(), other, Vec::new()).unwrap();
        // A report without an id of its own is named after its line, which now counts from 0 again.
        prop_assume!(!second.iter().any(|line| line.contains(" report ") && !line.contains('#')));
        found.extend(collected(&mut engine, &second.join("\n"), 3));
        prop_assert_eq!(found, reference);
    }
}
