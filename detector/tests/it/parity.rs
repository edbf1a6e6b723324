//! What AWS has beyond fixed thresholds: dimensions and percentiles of the fleet.

use fleet::registry::Registry;

use crate::support::{check, engine, fold, rules, text};

#[test]
fn a_dimension_counts_what_is_in_it_or_outside_it() {
    let script =
        "1 publish a 10 dev/a/up\n2 publish a 10 dev/b/up\n3 publish a 10 other\n4 publish a 10 other/x";
    check(&["b: num-messages-sent less-than 2 in 300 on up"], script, r#"2 alarm a b {"count":2} certain"#);
    check(&["b: num-messages-sent less-than 2 in 300 off up"], script, r#"4 alarm a b {"count":2} certain"#);
    check(&["b: num-messages-sent less-than 1 in 300 on own"], script, r#"1 alarm a b {"count":1} certain"#);
    check(&["b: num-messages-sent less-than 1 in 300 off own"], script, r#"2 alarm a b {"count":1} certain"#);
    check(&["b: num-messages-sent less-than 4 in 300"], script, r#"4 alarm a b {"count":4} certain"#);
    check(&["b: num-messages-sent less-than 1 in 300 on cmd"], script, "");
}

#[test]
fn all_five_metrics_take_a_dimension() {
    check(
        &["b: message-byte-size less-than 100 on up"],
        "1 publish a 500 x\n2 publish a 200 up/x\n3 publish a 50 up",
        r#"2 alarm a b {"count":200} certain"#,
    );
    check(
        &["b: num-messages-received less-than 2 in 300 on cmd"],
        "1 deliver a x\n2 deliver a cmd/1\n3 deliver a cmd",
        r#"3 alarm a b {"count":2} certain"#,
    );
    // A refused login is on no topic: it is neither in a dimension nor outside it.
    for (narrowed, at) in [("on cmd", 3), ("off cmd", 4)] {
        check(
            &[&format!("b: num-authorization-failures less-than 1 in 300 {narrowed}")],
            "1 connect a 10.0.0.1\n2 fail 10.0.0.1 x\n3 deny a cmd/1\n4 deny a x",
            &format!(r#"{at} alarm a b {{"count":1}} certain"#),
        );
    }
    check(
        &[r#"b: source-ip-address in-cidr-set {"cidrs":["10.0.0.0/8"]} on up"#],
        "1 connect a 192.0.2.1\n2 publish a 10 x\n3 publish a 10 up\n4 connect a 10.0.0.1\n5 publish a 10 up/y",
        r#"3 alarm a b {"cidrs":["192.0.2.1"]} certain
           5 clear a b {"cidrs":["10.0.0.1"]} certain"#,
    );
}

#[test]
fn a_narrowed_counter_has_its_zero() {
    check(
        &["b: num-messages-sent greater-than 0 in 60 on up"],
        "1 connect a\n2 publish a 10 x\n62 tick",
        r#"60 alarm a b {"count":0} certain"#,
    );
}

/// Things t0 to t9 send 1 to 10 messages.
fn ten_things(start: u32) -> String {
    let one = |thing: u32| {
        (0..=thing)
            .map(move |n| format!("{} publish t{thing}\n", start + thing * 2 + n % 2))
            .collect::<String>()
    };
    let mut lines: Vec<String> = (0..10).map(one).collect::<String>().lines().map(str::to_owned).collect();
    lines.sort_by_key(|line| line.split(' ').next().and_then(|at| at.parse::<u32>().ok()));
    lines.join("\n")
}

#[test]
fn a_percentile_is_of_all_things_that_have_a_datapoint() {
    let script = format!("{}\n62 tick", ten_things(1));
    // Nearest rank: p90 of 1 to 10 is 9.
    check(
        &["b: num-messages-sent less-than-equals p90 in 60"],
        &script,
        r#"60 alarm t9 b {"count":10} certain"#,
    );
    check(
        &["b: num-messages-sent less-than p90 in 60"],
        &script,
        r#"60 alarm t8 b {"count":9} certain
           60 alarm t9 b {"count":10} certain"#,
    );
    check(&["b: num-messages-sent greater-than p0 in 60"], &script, r#"60 alarm t0 b {"count":1} certain"#);
    check(&["b: num-messages-sent less-than-equals p100 in 60"], &script, "");
    check(&["b: num-messages-sent greater-than-equals p10 in 60 alarm 2"], &script, "");
}

#[test]
fn sizes_are_summed_before_they_are_compared() {
    check(
        &["b: message-byte-size less-than p100 in 60"],
        "1 publish a 100\n2 publish a 100\n3 publish b 150\n62 tick",
        r#"60 alarm a b {"count":200} certain"#,
    );
}

#[test]
fn one_thing_alone_is_compared_with_nobody() {
    check(&["b: num-messages-sent less-than p90 in 60"], "1 publish a\n62 tick", "");
    check(
        &["b: num-messages-sent less-than p90 in 60"],
        "1 publish a\n2 publish b\n3 publish b\n62 tick",
        r#"60 alarm b b {"count":2} certain"#,
    );
}

#[test]
fn a_negative_value_leaves_the_percentile_open() {
    let report = |at: u32, thing: &str, value: f64| {
        format!(r#"{at} report {thing} custom {{"t":[{{"number":{value}}}]}}"#)
    };
    let script = |low: f64| format!("{}\n{}\n62 tick", report(1, "a", low), report(2, "b", 5.0));
    check(&["b: ~t less-than p100 in 60"], &script(-1.0), "");
    check(&["b: ~t less-than p100 in 60"], &script(1.0), r#"60 alarm b b {"number":5.0} certain"#);
}

#[test]
fn an_early_observation_of_the_next_window_changes_nothing() {
    // The end of the window is told at 62, two seconds after it.
    check(
        &["b: num-messages-sent less-than p90 in 60"],
        "1 publish a\n2 publish b\n3 publish b\n60 publish b\n61 publish a\n62 publish b\n122 tick",
        r#"60 alarm b b {"count":2} certain"#,
    );
}

#[test]
fn evidence_names_percentile_and_population() {
    let rules = rules(&["b: num-messages-sent less-than-equals p90 in 60"]);
    let mut engine = engine(&rules, &Registry::default(), 3);
    let transitions = fold(&mut engine, &format!("{}\n62 tick", ten_things(1)));
    assert_eq!(text(&transitions), r#"60 alarm t9 b {"count":10} certain"#);
    let limit = serde_json::to_value(transitions[0].evidence.as_ref().unwrap().limit).unwrap();
    let expected = serde_json::json!({"high": 9.0, "source": {"kind": "percentile", "statistic": "p90", "population": 10}});
    assert_eq!(limit, expected);
    assert_eq!(transitions[0].expected, "less-than-equals p90 of the things watched in 60 s");
}

#[test]
fn only_things_of_the_profile_are_compared() {
    let of =
        |target: &str| crate::support::profile("g", target, &["b: num-messages-sent less-than p100 in 60"]);
    let registry: Registry = serde_json::from_str(
        r#"{"groups":{"g":{},"h":{"parent":"g"}},"things":{"t1":{"groups":["h"]},"t3":{"groups":["g"]}}}"#,
    )
    .unwrap();
    let script = format!("{}\n62 tick", ten_things(1));
    for (target, expected) in [
        ("thinggroup/g", "60 alarm t3 b {\"count\":4} certain"),
        ("all/registered-things", "60 alarm t3 b {\"count\":4} certain"),
        ("all/unregistered-things", "60 alarm t9 b {\"count\":10} certain"),
        ("thinggroup/h", ""),
    ] {
        let rules = detector::change::Rules { profiles: vec![of(target)], ..Default::default() };
        let mut engine = engine(&rules, &registry, 2);
        assert_eq!(text(&fold(&mut engine, &script)), expected, "{target}");
    }
}
