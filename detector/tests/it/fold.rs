//! What the fold decides: metrics, windows, lateness, repeats, presence, silence, changes of rules.

use detector::{
    change::{RegistryChange, Rules},
    engine::Engine,
    front::Verdict,
    input::SourceId,
    journal::{Entry, Kind},
    output::Output,
};
use fleet::{registry::Registry, time::Timestamp};

use crate::support::{Line, check, decoders, engine, fold, parse, profile, rules, stage, text};

#[test]
fn each_kind_of_event_counts_where_it_belongs() {
    check(
        &["sent: num-messages-sent less-than 3 in 300"],
        "1 connect a\n2 publish a\n3 publish a\n4 publish a\n5 publish b",
        r#"4 alarm a sent {"count":3} certain"#,
    );
    check(
        &["received: num-messages-received less-than 2 in 300"],
        "1 deliver a\n2 publish a\n3 deliver a",
        r#"3 alarm a received {"count":2} certain"#,
    );
    check(
        &["size: message-byte-size less-than 100"],
        "1 publish a 99\n2 publish a 100\n3 publish a 5000",
        r#"2 alarm a size {"count":100} certain"#,
    );
    check(
        &["refused: num-authorization-failures less-than 2 in 300"],
        "1 deny a\n2 deny a",
        r#"2 alarm a refused {"count":2} certain"#,
    );
    check(
        &["attempts: num-connection-attempts less-than 3 in 300"],
        "1 connect a 10.0.0.1\n2 fail 10.0.0.1 x\n3 connect a 10.0.0.1",
        r#"3 alarm a attempts {"count":3} address"#,
    );
    check(
        &["drops: num-disconnects less-than 2 in 300"],
        "1 connect a\n2 disconnect a\n3 connect a\n4 disconnect a\n5 restart",
        r#"4 alarm a drops {"count":2} certain"#,
    );
    check(
        &[r#"home: source-ip-address in-cidr-set {"cidrs":["10.0.0.0/8"]}"#],
        "1 connect a 10.1.2.3\n2 connect a ::ffff:10.1.2.3\n3 connect a 192.0.2.1\n4 connect a 10.1.2.3",
        r#"3 alarm a home {"cidrs":["192.0.2.1"]} certain
           4 clear a home {"cidrs":["10.1.2.3"]} certain"#,
    );
}

#[test]
fn reports_feed_the_device_metrics() {
    check(
        &[
            "bytes: all-bytes-out less-than 1000 in 300",
            "open: num-listening-tcp-ports less-than 3",
            r#"ports: listening-tcp-ports not-in-port-set {"ports":[23]}"#,
            r#"peers: destination-ip-addresses in-cidr-set {"cidrs":["10.0.0.0/8"]}"#,
        ],
        r#"10 report a {"network_stats":{"bytes_in":1,"bytes_out":600,"packets_in":1,"packets_out":1}}
           20 report a {"network_stats":{"bytes_in":1,"bytes_out":600,"packets_in":1,"packets_out":1}}
           30 report a {"listening_tcp_ports":{"ports":[{"port":22},{"port":23},{"port":80}],"total":3}}
           40 report a {"tcp_connections":{"established_connections":{"connections":[{"remote_addr":"192.0.2.9:443"}],"total":1}}}"#,
        r#"20 alarm a bytes {"count":1200} certain
           30 alarm a open {"count":3} certain
           30 alarm a ports {"ports":[22,23,80]} certain
           40 alarm a peers {"cidrs":["192.0.2.9"]} certain"#,
    );
    check(
        &["hot: ~temperature less-than 80", r#"modes: ~modes in-set {"strings":["idle","run"]}"#],
        r#"10 report a custom {"temperature":[{"number":79.5}],"modes":[{"string_list":["idle"]}]}
           20 report a custom {"temperature":[{"number":80.5}],"modes":[{"string_list":["idle","debug"]}]}"#,
        r#"20 alarm a hot {"number":80.5} certain
           20 alarm a modes {"strings":["idle","debug"]} certain"#,
    );
}

#[test]
fn a_window_closes_behind_the_watermark_and_clears() {
    let behaviors = &["sent: num-messages-sent less-than 2 in 60"];
    let alarmed = "1 connect a\n10 publish a\n20 publish a\n";
    let alarm = "20 alarm a sent {\"count\":2} certain\n";
    // The window that violated is one datapoint; the next one is the first compliant one.
    check(behaviors, &format!("{alarmed}121.999 tick"), alarm);
    check(
        behaviors,
        &format!("{alarmed}122 tick"),
        &format!("{alarm}120 clear a sent {{\"count\":0}} certain"),
    );
    check(
        behaviors,
        &format!("{alarmed}70 publish a\n122 tick"),
        &format!("{alarm}120 clear a sent {{\"count\":1}} certain"),
    );
}

#[test]
fn an_event_on_the_boundary_belongs_to_the_next_window() {
    check(
        &["sent: num-messages-sent less-than 2 in 60"],
        "59.999 publish a\n60 publish a\n60.001 publish a",
        "60.001 alarm a sent {\"count\":2} certain",
    );
}

#[test]
fn too_little_is_known_only_at_the_end_and_only_of_what_is_there() {
    let behaviors = &["alive: num-messages-sent greater-than 1 in 60"];
    check(behaviors, "1 connect a\n62 tick", "60 alarm a alive {\"count\":0} certain");
    check(
        behaviors,
        "1 publish a\n2 publish a\n62 tick\n122 tick",
        "120 alarm a alive {\"count\":0} certain",
    );
    check(
        behaviors,
        "1 connect a\n2 disconnect a\n10 tick\n62 tick\n182 tick",
        "60 alarm a alive {\"count\":0} certain",
    );
    check(behaviors, "62 tick\n122 tick", "");
}

#[test]
fn a_thing_that_left_just_after_the_boundary_was_there_before_it() {
    check(
        &["alive: num-messages-sent greater-than 1 in 60"],
        "1 connect a\n2 publish a\n3 publish a\n64 tick\n120.5 disconnect a\n122 tick",
        "120 alarm a alive {\"count\":0} certain",
    );
}

#[test]
fn while_a_source_is_blind_nobody_is_absent() {
    let behaviors =
        &["alive: num-messages-sent greater-than 0 in 60", "gone: disconnect-duration less-than 2"];
    check(behaviors, "1 connect a\n30 gap 10\n62 tick", "");
    check(behaviors, "1 connect a\n30 gap 10\n122 tick", "120 alarm a alive {\"count\":0} certain");
}

#[test]
fn how_long_a_thing_is_away_is_judged_on_the_grid_and_at_its_return() {
    check(
        &["gone: disconnect-duration less-than 10"],
        "1 connect a\n30 disconnect a\n302 tick\n602 tick\n902 tick\n1000 connect a",
        "900 alarm a gone {\"count\":14} certain
         1000 clear a gone {\"count\":0} certain",
    );
    check(&["gone: disconnect-duration less-than 10"], "1 connect a\n902 tick\n1802 tick", "");
}

#[test]
fn late_events_are_counted_and_change_nothing() {
    let mut engine = engine(&rules(&["sent: num-messages-sent less-than 2 in 60"]), &Registry::default(), 1);
    let transitions = fold(&mut engine, "10 publish a\n130 publish a\n20/131 publish a\n70/132 publish a");
    assert_eq!(text(&transitions), "");
    assert_eq!(engine.counts().shards.late, 2);
    assert_eq!(engine.front().watermark(), Timestamp::from_secs(128));
}

#[test]
fn a_clock_that_runs_ahead_opens_no_window_of_the_future() {
    let mut engine = engine(&rules(&["sent: num-messages-sent less-than 2 in 60"]), &Registry::default(), 1);
    let transitions = fold(&mut engine, "99999/10 publish a\n11 publish a");
    assert_eq!(text(&transitions), "11 alarm a sent {\"count\":2} certain");
    assert_eq!(engine.counts().shards.late, 0);
}

#[test]
fn a_repeated_report_counts_once() {
    let mut engine = engine(&rules(&["bytes: all-bytes-out less-than 100 in 300"]), &Registry::default(), 1);
    let report = r#"{"network_stats":{"bytes_in":1,"bytes_out":60,"packets_in":1,"packets_out":1}} #7"#;
    let script = format!("10 report a {report}\n11 report a {report}\n12 report b {report}");
    let verdicts: Vec<_> = parse(&script).iter().map(|line| stage(&mut engine, line)).collect();
    let mut transitions = Vec::new();
    engine.flush(&mut |transition| transitions.push(transition));
    assert_eq!(text(&transitions), "");
    let folded = Verdict::Folded { report_id: Some(7) };
    assert_eq!(verdicts, [folded.clone(), Verdict::Repeated { report_id: Some(7) }, folded]);
}

#[test]
fn a_broker_that_delivers_a_backlog_again_changes_nothing() {
    let open = |ports: &str| format!(r#"{{"listening_tcp_ports":{{"ports":[{ports}],"total":1}}}}"#);
    // Of one thing, as many as were under way when we broke down; each changes its state.
    let line = |n: u32| {
        let port = if n.is_multiple_of(2) { r#"{"port":22}"# } else { r#"{"port":23}"# };
        format!("10 report a {} #{n}\n", open(port))
    };
    let backlog = parse(&(1..=200).map(line).collect::<String>());
    let rules = rules(&[r#"ports: listening-tcp-ports in-port-set {"ports":[22]}"#]);
    let mut engine = engine(&rules, &Registry::default(), 1);
    let mut transitions = 0;
    backlog.iter().for_each(|line| assert!(matches!(stage(&mut engine, line), Verdict::Folded { .. })));
    engine.flush(&mut |_| transitions += 1);
    assert_eq!(transitions, 200);
    let saved = engine.save();
    let again = Engine::restored(saved, decoders(), 2, Vec::new()).unwrap();
    for mut engine in [engine, again] {
        backlog.iter().for_each(|line| assert!(matches!(stage(&mut engine, line), Verdict::Repeated { .. })));
        engine.flush(&mut |transition| panic!("{transition:?}"));
    }
}

#[test]
fn lines_of_a_file_are_read_once() {
    let mut engine = engine(&rules(&["sent: num-messages-sent less-than 3 in 300"]), &Registry::default(), 1);
    let opened = |identity: &'static [u8], seq| {
        Entry {
            arrival: Timestamp::from_secs(1),
            source: SourceId(1),
            kind: Kind::SourceOpened,
            position: 0,
            subject: "log",
            payload: identity,
        }
        .at(seq)
    };
    let send = |engine: &mut detector::engine::Engine, position| {
        let mut lines = parse("2 publish a");
        if let Some(Line::Input(input)) = lines.first_mut() {
            input.position = position;
        }
        stage(engine, &lines[0])
    };
    let folded = Verdict::Folded { report_id: None };
    engine.stage(&opened(b"file 1", engine.seq() + 1));
    assert_eq!(send(&mut engine, 10), folded);
    assert_eq!(send(&mut engine, 10), Verdict::Repeated { report_id: None });
    engine.stage(&opened(b"file 1", engine.seq() + 1));
    assert_eq!(send(&mut engine, 5), Verdict::Repeated { report_id: None });
    assert_eq!(send(&mut engine, 20), folded);
    engine.stage(&opened(b"file 2", engine.seq() + 1));
    assert_eq!(send(&mut engine, 5), folded);
    assert_eq!(engine.positions()[&SourceId(1)].position, 5);
    let mut transitions = Vec::new();
    engine.flush(&mut |transition| transitions.push(transition));
    assert_eq!(text(&transitions), "2 alarm a sent {\"count\":3} certain");
}

#[test]
fn two_days_of_silence_end_a_violation_without_a_verdict() {
    let behaviors = &["sent: num-messages-sent less-than 1 in 300", "gone: disconnect-duration less-than 10"];
    let day = 86_400;
    let script = |end: i64| {
        let ticks: String = (1..end / 300).map(|n| format!("\n{} tick", n * 300 + 2)).collect();
        format!("1 connect a\n10 publish a\n20 disconnect a{ticks}")
    };
    let begin = "10 alarm a sent {\"count\":1} certain\n900 alarm a gone {\"count\":14} certain";
    check(behaviors, &script(2 * day + 300), begin);
    check(behaviors, &script(2 * day + 600), &format!("{begin}\n172820 invalid a sent - certain"));
}

#[test]
fn ids_too_long_for_a_thing_are_followed_all_the_same() {
    let mut engine = engine(&rules(&["sent: num-messages-sent less-than 1 in 300"]), &Registry::default(), 1);
    let long = "x".repeat(60_000);
    let transitions = fold(&mut engine, &format!("1 publish {long}\n2 publish {long}"));
    assert_eq!(transitions.len(), 1);
    assert!(text(&transitions).len() < 200);
}

#[test]
fn past_the_bounds_entities_are_counted_and_not_followed() {
    let rules =
        Rules { things_max: 2, addresses_max: 1, ..rules(&["sent: num-messages-sent less-than 1 in 300"]) };
    let mut engine = engine(&rules, &Registry::default(), 1);
    let script =
        "1 connect a 10.0.0.1\n2 connect b 10.0.0.2\n3 publish a\n4 publish b\n5 publish c\n6 publish a";
    let transitions = fold(&mut engine, script);
    assert_eq!(transitions.len(), 2);
    assert_eq!(engine.counts().front.untracked, 2, "an address and a thing: all places are in use");
    assert_eq!(engine.front().followed(), (2, 1));
}

#[test]
fn unregistered_things_without_a_session_make_room() {
    let sent = "sent: num-messages-sent less-than 1 in 300";
    let rules = Rules { things_max: 3, ..rules(&[sent]) };
    let registry: Registry = serde_json::from_str(r#"{"things":{"reg":{}}}"#).unwrap();
    let mut engine = engine(&rules, &registry, 2);
    let script = "1 publish reg\n2 connect here 10.0.0.1\n3 publish here\n4 publish x\n5 publish y\n6 publish z\n7 publish x\n8 publish reg\n9 publish here";
    assert_eq!(
        text(&fold(&mut engine, script)),
        r#"1 alarm reg sent {"count":1} certain
3 alarm here sent {"count":1} certain
4 alarm x sent {"count":1} certain
5 invalid x sent - certain
5 alarm y sent {"count":1} certain
6 invalid y sent - certain
6 alarm z sent {"count":1} certain
7 invalid z sent - certain
7 alarm x sent {"count":1} certain"#
    );
    assert_eq!((engine.counts().front.things_evicted, engine.counts().front.untracked), (3, 0));
    assert_eq!(engine.open_violations(), 3);
}

#[test]
fn a_thing_that_is_not_registered_any_more_ends_its_violations() {
    let rules = rules(&["sent: num-messages-sent less-than 1 in 300"]);
    let registry: Registry = serde_json::from_str(r#"{"things":{"a":{},"b":{}}}"#).unwrap();
    let mut engine = engine(&rules, &registry, 2);
    fold(&mut engine, "1 publish a\n2 publish b");
    let fewer: Registry = serde_json::from_str(r#"{"things":{"b":{}}}"#).unwrap();
    let json = serde_json::to_vec(&RegistryChange::between(&registry, &fewer)).unwrap();
    assert_eq!(change(&mut engine, Kind::Registry, &json), "30 invalid a sent - certain");
    assert_eq!(text(&fold(&mut engine, "31 publish a")), "31 alarm a sent {\"count\":1} certain");
}

fn change(engine: &mut detector::engine::Engine, kind: Kind, payload: &[u8]) -> String {
    let entry = Entry {
        arrival: Timestamp::from_secs(30),
        source: SourceId(0),
        kind,
        position: 0,
        subject: "",
        payload,
    };
    assert!(matches!(engine.stage(&entry.at(engine.seq() + 1)), Verdict::Folded { .. }));
    let mut transitions = Vec::new();
    engine.flush(&mut |transition| transitions.push(transition));
    text(&transitions)
}

#[test]
fn changed_rules_keep_what_is_unchanged_and_end_what_is_gone() {
    let sent = "sent: num-messages-sent less-than 2 in 300";
    let size = "size: message-byte-size less-than 100";
    let mut engine = engine(&rules(&[size, sent]), &Registry::default(), 2);
    let script = "1 publish a 100\n2 publish b 10";
    assert_eq!(text(&fold(&mut engine, script)), "1 alarm a size {\"count\":100} certain");
    // `sent` moves to another place and keeps its count; `size` gets another bound.
    let json = serde_json::to_vec(&rules(&[sent, "size: message-byte-size less-than 200"])).unwrap();
    assert_eq!(change(&mut engine, Kind::Rules, &json), "30 invalid a size - certain");
    assert_eq!(text(&fold(&mut engine, "31 publish b 10")), "31 alarm b sent {\"count\":2} certain");
    assert_eq!(engine.open_violations(), 1);
    // A violation that goes on keeps its id.
    let json = serde_json::to_vec(&rules(&["first: num-disconnects less-than 5 in 300", sent])).unwrap();
    assert_eq!(change(&mut engine, Kind::Rules, &json), "");
    let json = serde_json::to_vec(&Rules::default()).unwrap();
    assert_eq!(change(&mut engine, Kind::Rules, &json), "30 invalid b sent - certain");
    assert_eq!(engine.open_violations(), 0);
}

#[test]
fn a_thing_that_changes_its_group_changes_its_behaviors() {
    let of_pumps = profile("pumps", "thinggroup/pumps", &["sent: num-messages-sent less-than 1 in 300"]);
    let rules = Rules { profiles: vec![of_pumps], ..Rules::default() };
    let registry: Registry = serde_json::from_str(r#"{"groups":{"pumps":{}},"things":{"a":{}}}"#).unwrap();
    let mut engine = engine(&rules, &registry, 2);
    assert_eq!(text(&fold(&mut engine, "1 publish a\n2 publish b")), "");
    let member = registry.clone().with_member(&"a".parse().unwrap(), &"pumps".parse().unwrap());
    let json = serde_json::to_vec(&RegistryChange::between(&registry, &member)).unwrap();
    assert_eq!(change(&mut engine, Kind::Registry, &json), "");
    assert_eq!(
        text(&fold(&mut engine, "31 publish a\n32 publish b")),
        "31 alarm a sent {\"count\":1} certain"
    );
    let json = serde_json::to_vec(&RegistryChange::between(&member, &registry)).unwrap();
    assert_eq!(change(&mut engine, Kind::Registry, &json), "30 invalid a sent - certain");
}

#[test]
fn a_registry_with_groups_in_a_circle_is_refused() {
    let mut engine = engine(&Rules::default(), &Registry::default(), 1);
    let entry = Entry {
        arrival: Timestamp::from_secs(30),
        source: SourceId(0),
        kind: Kind::Registry,
        position: 0,
        subject: "",
        payload: br#"{"groups":{"g":{"parent":"g"}}}"#,
    };
    assert!(matches!(engine.stage(&entry.at(engine.seq() + 1)), Verdict::Refused(_)));
    assert_eq!(engine.counts().front.control_refused, 1);
}

#[test]
fn a_transition_says_who_and_since_when() {
    let mut engine = engine(&rules(&["sent: num-messages-sent less-than 2 in 60"]), &Registry::default(), 1);
    let script =
        "1 connect a 10.0.0.1 alice\n10 publish a\n20 publish a\n30 connect a 10.0.0.1 bob\n122 tick";
    let transitions = fold(&mut engine, script);
    assert_eq!(transitions.len(), 2);
    assert_eq!(transitions[0].principal.as_deref(), Some("alice"));
    assert_eq!(transitions[1].principal.as_deref(), Some("bob"));
    assert_eq!(transitions[1].violation_id, transitions[0].violation_id);
    assert_ne!(transitions[1].id, transitions[0].id);
    assert_eq!(transitions[1].started_at, Timestamp::from_secs(20));
    assert_eq!(
        (transitions[0].profile.as_str(), transitions[0].metric.as_str()),
        ("p", "aws:num-messages-sent")
    );
    assert_eq!(transitions[0].expected, "less-than 2 in 60 s");
    assert_eq!(transitions[0].id.len(), 32);
    assert_eq!(transitions[0].seq, 5, "two records of our own come first");
}

#[test]
fn what_members_of_watched_groups_do_is_told_once_a_second() {
    let registry: Registry = serde_json::from_str(
        r#"{"groups":{"jail":{},"cell":{"parent":"jail"}},"things":{"a":{"groups":["cell"]}}}"#,
    )
    .unwrap();
    let engine = detector::engine::Engine::new(crate::support::decoders(), 1, vec!["jail".parse().unwrap()]);
    let replay = detector::replay::Replay::new(engine, &Rules::default(), &registry);
    let (mut engine, _) = replay.finish(&mut |_| {});
    let script =
        "1 connect a\n1.1 publish a\n1.2 publish a\n2 publish a\n3 subscribe a\n4 publish b\n5 deny a";
    for line in parse(script) {
        stage(&mut engine, &line);
    }
    let mut seen = Vec::new();
    engine.flush_outputs(&mut |output| {
        if let Output::Watched(watched) = output {
            seen.push(format!("{} {} {}", watched.at.millis(), watched.thing, watched.what.name()));
        }
    });
    assert_eq!(seen, ["1000 a connected", "1100 a published", "2000 a published", "3000 a subscribed"]);
}

#[test]
fn a_decoder_may_tell_later() {
    check(
        &["sent: num-messages-sent less-than 1 in 300"],
        "1 later a\n2 publish b\n2.5 tick\n3 tick",
        "2 alarm b sent {\"count\":1} certain\n3 alarm a sent {\"count\":1} certain",
    );
}
