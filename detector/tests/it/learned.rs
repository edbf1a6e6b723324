//! Judgements that AWS has no criterion for, as profiles write them and as the engine decides them.

use fleet::registry::Registry;

use crate::support::{check, engine, fold, rules, text};

/// Lines with the seconds of each step in the place of `{}`.
fn every(line: &str, times: impl IntoIterator<Item = u32>) -> String {
    times.into_iter().map(|time| line.replace("{}", &time.to_string()) + "\n").collect()
}

#[test]
fn silence_for_a_fixed_time_and_the_next_sign_of_life() {
    check(
        &[r#"hush: num-messages-sent {"silence":{"seconds":120}} -"#],
        "1000 publish a\n1010 connect b\n1130 tick\n1140 tick\n1300 publish a\n1310 tick",
        "1125 alarm a hush {\"count\":125} certain\n1300 clear a hush {\"count\":0} certain",
    );
}

#[test]
fn nobody_is_silent_while_a_source_is_blind() {
    check(
        &[r#"hush: num-messages-sent {"silence":{"seconds":120}} -"#],
        "1000 publish a\n1200 gap 1010\n1205 tick\n1300 tick\n1330 tick\n1340 publish a",
        "1335 alarm a hush {\"count\":135} certain\n1340 clear a hush {\"count\":0} certain",
    );
}

#[test]
fn silence_is_judged_by_habit() {
    // A message every ten minutes for 30 hours, then none.
    let script = every("{} publish a", (1_000_000..1_108_000).step_by(600))
        + &every("{} tick", (1_107_410..1_110_000).step_by(100));
    let mut engine =
        engine(&rules(&[r#"habit: num-messages-sent {"silence":{}} -"#]), &Registry::default(), 1);
    let transitions = fold(&mut engine, &script);
    let text = text(&transitions);
    let last = 1_107_400;
    let at: u32 = text.split(' ').next().unwrap().parse().unwrap();
    assert!(
        text.ends_with("certain") && text.lines().count() == 1 && text.contains(" alarm a habit"),
        "{text}"
    );
    assert!((last + 600..last + 900).contains(&at), "its usual gap and half of it: {text}");
    let limit = transitions[0].evidence.as_ref().unwrap().limit;
    assert!((600.0..900.0).contains(&limit.high.unwrap()));
    assert_eq!(
        serde_json::to_value(limit.source).unwrap(),
        serde_json::json!({"kind": "learned", "from": "habit"})
    );
}

#[test]
fn a_reconnect_within_the_grace_time_cancels_the_wait() {
    check(
        &[r#"lost: disconnect-duration {"absence":{"graceSeconds":60,"after":["connection-lost"]}} -"#],
        "1000 connect a\n1001 connect b\n1010 disconnect a connection-lost\n1011 disconnect b\n1060 connect a
        1100 tick\n1110 disconnect a connection-lost\n1170 tick\n1185 tick\n1200 connect a\n1900 tick",
        "1185 alarm a lost {\"count\":75} certain\n1200 clear a lost {\"count\":0} certain",
    );
}

#[test]
fn a_disconnect_counts_by_its_reason() {
    check(
        &[r#"missed: num-disconnects {"disconnects":["keep-alive-timeout"]} - in 60 count 2"#],
        "60 connect a\n61 disconnect a\n62 connect a\n63 disconnect a keep-alive-timeout
        64 connect a\n65 disconnect a connection-lost\n66 connect a\n67 disconnect a keep-alive-timeout",
        "67 alarm a missed {\"count\":2} certain",
    );
}

#[test]
fn flapping_begins_and_ends_at_different_numbers() {
    let flaps: String = (0..4)
        .map(|n| format!("{} connect a\n{} disconnect a\n", 600_000 + 20 * n, 600_010 + 20 * n))
        .collect();
    check(
        &[r#"flaps: num-disconnects {"flapping":{"periodSeconds":100,"most":6,"calm":2}} -"#],
        &(flaps + "600100 tick\n600150 tick\n600190 tick\n600202 tick"),
        "600060 alarm a flaps {\"count\":7} certain\n600180 clear a flaps {\"count\":1} certain",
    );
}

#[test]
fn what_is_new_after_learning_is_told_once() {
    let report = |time: u32, ports: &str| {
        let ports: Vec<String> = ports.split(',').map(|port| format!(r#"{{"port":{port}}}"#)).collect();
        format!(r#"{time} report a {{"listening_tcp_ports":{{"ports":[{}],"total":1}}}}"#, ports.join(","))
    };
    let script = [(10, "22"), (20, "22,443"), (80, "443,22"), (90, "443,4444"), (100, "4444")];
    let script: Vec<String> = script.map(|(time, ports)| report(time, ports)).into();
    let rules = [r#"ports: listening-tcp-ports {"learn":{"learnSeconds":60,"learnObservations":2}} -"#];
    check(
        &rules,
        &script.join("\n"),
        "90 alarm a ports {\"ports\":[443,4444]} certain\n100 clear a ports {\"ports\":[4444]} certain",
    );
}

#[test]
fn topics_a_device_publishes_on_are_learnt_by_level() {
    check(
        &[
            r#"topics: num-messages-sent {"learn":{"learnSeconds":60,"learnObservations":2,"topicLevels":2}} -"#,
        ],
        "10 publish a 9 home/1/temp\n20 publish a 9 home/2/temp\n100 publish a 9 home/1/hum
        110 publish a 9 home/3/temp\n120 publish a 9 home/3/temp",
        "110 alarm a topics {\"strings\":[\"home/3/temp\"]} certain
        120 clear a topics {\"strings\":[\"home/3/temp\"]} certain",
    );
}

#[test]
fn networks_a_device_comes_from_are_learnt() {
    check(
        &[r#"home: source-ip-address {"learn":{"learnSeconds":60,"learnObservations":2,"ipv4Prefix":24}} -"#],
        "10 connect a 10.0.0.1\n20 connect a 10.0.1.1\n100 connect a 10.0.0.99\n110 connect a 192.0.2.1",
        "110 alarm a home {\"cidrs\":[\"192.0.2.1\"]} certain",
    );
}

#[test]
fn a_metric_is_judged_by_its_own_level_and_early() {
    // Ten messages a minute for an hour, then a hundred.
    let mut script = String::new();
    for minute in 0..60 {
        script += &every("{} publish a", (0..10).map(|n| 60_000 + minute * 60 + n * 5));
    }
    script += &every("{} publish a", (0..50).map(|n| 63_600 + n));
    let own = r#"usual: num-messages-sent {"baseline":{"learnDatapoints":20}} - in 60"#;
    let mut engine = engine(&rules(&[own]), &Registry::default(), 1);
    let transitions = fold(&mut engine, &script);
    let text = text(&transitions);
    assert!(text.starts_with("636") && text.ends_with("alarm a usual {\"count\":12} certain"), "{text}");
    let evidence = transitions[0].evidence.as_ref().unwrap();
    assert!((10.0..13.0).contains(&evidence.limit.high.unwrap()), "{evidence:?}");
    assert_eq!(evidence.recent.len(), 4);
}

#[test]
fn too_little_is_not_found_while_a_source_was_blind() {
    let own = r#"usual: num-messages-sent {"baseline":{"learnDatapoints":20,"direction":"both"}} - in 60"#;
    let mut script = String::new();
    for minute in 0..40 {
        script += &every("{} publish a", (0..10).map(|n| 60_000 + minute * 60 + n * 5));
    }
    // Blind for a minute in which two messages are seen; then a minute with two.
    script +=
        "62401 publish a\n62402 publish a\n62470 gap 62410\n62530 publish a\n62531 publish a\n62600 tick";
    check(&[own], &script, "62580 alarm a usual {\"count\":2} certain");
}

#[test]
fn small_counts_are_judged_by_their_rate() {
    let own =
        r#"rare: num-authorization-failures {"counts":{"model":"poisson","learnDatapoints":100}} - in 60"#;
    // Always connected; refused once in twenty minutes; then five times in a minute.
    let mut script = "60000 connect a\n".to_owned();
    script += &every("{} deny a", (60_000..72_000).step_by(1_200));
    script += &every("{} deny a", 72_010..72_020);
    let mut engine = engine(&rules(&[own]), &Registry::default(), 1);
    let text = text(&fold(&mut engine, &script));
    assert_eq!(text, "72012 alarm a rare {\"count\":3} certain");
}

#[test]
fn a_wrong_clock_is_told_and_the_right_one_clears() {
    let report =
        |time: u32, clock: u32| format!(r#"{time} report a custom {{"clock":[{{"number":{clock}}}]}}"#);
    let script: Vec<String> = (0..20)
        .map(|n| {
            let now = 1_000_000 + n * 60;
            report(now, if n < 8 { now - 100 } else { now })
        })
        .collect();
    check(
        &[r#"clock: ~clock {"clock":{"offsetSeconds":30}} -"#],
        &script.join("\n"),
        "1000120 alarm a clock {\"number\":-100.0} certain\n1000480 clear a clock {\"number\":0.0} certain",
    );
}

#[test]
fn what_was_learnt_survives_a_change_of_other_rules() {
    let hush = r#"hush: num-messages-sent {"silence":{"seconds":120}} -"#;
    let ports = r#"ports: listening-tcp-ports {"learn":{"learnSeconds":1,"learnObservations":1}} -"#;
    let mut engine = engine(&rules(&[hush, ports]), &Registry::default(), 2);
    fold(&mut engine, "1000 publish a\n1000 publish b");
    let more = rules(&["sent: num-messages-sent less-than 9 in 60", hush]);
    let json = serde_json::to_vec(&more).unwrap();
    let entry = detector::journal::Entry {
        arrival: fleet::time::Timestamp::from_secs(1_010),
        source: detector::input::SourceId(0),
        kind: detector::journal::Kind::Rules,
        position: 0,
        subject: "",
        payload: &json,
    };
    engine.stage(&entry.at(engine.seq() + 1));
    engine.flush(&mut |_| {});
    let text = text(&fold(&mut engine, "1130 tick\n1140 tick"));
    assert_eq!(text, "1125 alarm a hush {\"count\":125} certain\n1125 alarm b hush {\"count\":125} certain");
}

#[test]
fn a_group_of_all_has_a_level_of_its_own() {
    // Ten things send once a minute each; then they send three times.
    let mut script = String::new();
    for minute in 0..41_u32 {
        for thing in 0..10 {
            let times = if minute == 40 { 3 } else { 1 };
            for n in 0..times {
                script += &format!("{} publish t{thing}\n", 60_000 + minute * 60 + thing * 5 + n);
            }
        }
    }
    let own = r#"all: num-messages-sent {"entity":"fleet","baseline":{"learnDatapoints":20}} - in 60"#;
    let text = |shards| {
        let mut engine = engine(&rules(&[own]), &Registry::default(), shards);
        text(&fold(&mut engine, &script))
    };
    let one = text(1);
    assert!(one.contains(" alarm fleet all {\"count\":1") && one.lines().count() == 1, "{one}");
    assert_eq!(text(7), one);
}
