//! What a thing is judged by that is new: the levels of its group or of the fleet, and values that its
//! group is known for.

use behaviors::{learned::peers::Peers, limit::LimitSource};
use detector::{engine::Engine, snapshot::Snapshot, transition::Transition};
use fleet::registry::Registry;
use proptest::prelude::*;

use crate::support::{check, decoders, engine, fold, parse, rules, stage, text};

const WARM: [&str; 2] = [
    r#"more: num-messages-sent {"baseline":{"learnDatapoints":5,"warmUp":"group"}} - in 60"#,
    r#"quiet-till-learnt: num-messages-sent {"baseline":{"learnDatapoints":5}} - in 60"#,
];

/// Things `a0` to `a8` in group `a`, `b0` to `b8` in group `b`, and `c0` to `c8` in none.
fn registry() -> Registry {
    let thing = |group: &str, n: u32| match group {
        "c" => format!(r#""c{n}":{{}}"#),
        _ => format!(r#""{group}{n}":{{"groups":["{group}"]}}"#),
    };
    let things: Vec<String> =
        ["a", "b", "c"].iter().flat_map(|group| (0..9).map(|n| thing(group, n))).collect();
    serde_json::from_str(&format!(r#"{{"groups":{{"a":{{}},"b":{{}}}},"things":{{{}}}}}"#, things.join(",")))
        .unwrap()
}

/// In each minute from `from` to `to`, so many messages of each of the things `0..8` of a group.
fn minutes(group: &str, from: u32, to: u32, messages: u32) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    for minute in from..to {
        for n in 0..messages {
            lines.extend((0..8).map(|thing| (minute * 60 + n, format!("publish {group}{thing}"))));
        }
    }
    lines
}

fn script(mut lines: Vec<(u32, String)>) -> String {
    lines.sort();
    lines.iter().map(|(at, line)| format!("{at} {line}\n")).collect()
}

fn sends(thing: &str, minute: u32, messages: u32) -> Vec<(u32, String)> {
    (0..messages).map(|n| (minute * 60 + n, format!("publish {thing}"))).collect()
}

/// Group `a` sends 4 messages a minute, `b` 40; then things send that are new.
fn story(new: &[(&str, u32)]) -> Vec<Transition> {
    let mut lines = minutes("a", 1000, 1010, 4);
    lines.extend(minutes("b", 1000, 1010, 40));
    for &(thing, messages) in new {
        lines.extend(sends(thing, 1010, messages));
    }
    lines.push((1012 * 60, "tick".into()));
    fold(&mut engine(&rules(&WARM), &registry(), 3), &script(lines))
}

#[test]
fn a_new_thing_is_judged_by_its_group_until_it_has_learnt() {
    assert_eq!(text(&story(&[("a8", 4), ("b8", 40)])), "");
    let transitions = story(&[("a8", 40), ("b8", 40)]);
    let said = text(&transitions);
    assert!(said.starts_with("606") && said.contains(" alarm a8 more {\"count\":"), "{said}");
    assert_eq!(said.lines().count(), 1, "it alarms before its minute is over, and b8 is as usual: {said}");
    let limit = transitions[0].evidence.as_ref().unwrap().limit;
    assert_eq!(limit.source, LimitSource::Peers { of: Peers::Group, things: 8 });
    assert!((4.0..8.0).contains(&limit.high.unwrap()), "{limit:?}");
    let json = serde_json::to_value(limit.source).unwrap();
    assert_eq!(json, serde_json::json!({"kind": "peers", "of": "group", "things": 8}));
}

#[test]
fn a_thing_without_a_group_or_of_a_small_one_is_judged_by_the_fleet() {
    // Between 4 and 40 messages a minute the fleet has seen everything.
    assert_eq!(text(&story(&[("c0", 4), ("c1", 40)])), "");
    let transitions = story(&[("c0", 59), ("c1", 4)]);
    assert_eq!(transitions.len(), 0, "wide as the fleet is: {}", text(&transitions));
    let mut lines = minutes("a", 1000, 1010, 4);
    lines.extend(sends("c0", 1010, 40));
    let transitions = fold(&mut engine(&rules(&WARM), &registry(), 2), &script(lines));
    let source = transitions[0].evidence.as_ref().unwrap().limit.source;
    assert_eq!(source, LimitSource::Peers { of: Peers::Fleet, things: 8 });
}

#[test]
fn of_fewer_than_eight_things_nothing_is_usual() {
    let mut lines: Vec<(u32, String)> = minutes("a", 1000, 1010, 4);
    lines.retain(|(_, line)| line != "publish a7");
    lines.extend(sends("a8", 1010, 40));
    lines.push((1012 * 60, "tick".into()));
    assert_eq!(text(&fold(&mut engine(&rules(&WARM), &registry(), 2), &script(lines))), "");
}

#[test]
fn once_learnt_its_own_level_counts() {
    let mut lines = minutes("a", 1000, 1020, 4);
    for minute in 1010..1020 {
        lines.extend(sends("a8", minute, 40));
    }
    lines.extend(sends("a8", 1020, 2));
    lines.push((1023 * 60, "tick".into()));
    let transitions = fold(&mut engine(&rules(&WARM), &registry(), 2), &script(lines));
    let said = text(&transitions);
    // What it sends from the start is above its group's level; clipped, it is not usual at once.
    assert!(said.starts_with("606"), "{said}");
    let sources: Vec<LimitSource> =
        transitions.iter().map(|it| it.evidence.as_ref().unwrap().limit.source).collect();
    assert_eq!(sources[0], LimitSource::Peers { of: Peers::Group, things: 8 });
    assert!(matches!(sources.last(), Some(LimitSource::Learned { .. })), "{said}");
}

#[test]
fn a_group_learns_together_what_is_first_seen() {
    let report = |at: u32, thing: &str, port: u32| {
        format!(r#"{at} report {thing} {{"listening_tcp_ports":{{"ports":[{{"port":{port}}}],"total":1}}}}"#)
    };
    let rule =
        r#"new: listening-tcp-ports {"learn":{"learnSeconds":600,"learnObservations":4,"of":"group"}} -"#;
    let steps = [
        report(1000, "a0", 22),
        report(1010, "a1", 80),
        report(1020, "b0", 4444),
        "1300 tick".into(),
        report(1310, "a2", 22),
        report(1311, "a3", 443),
        report(1312, "b1", 22),
        "1600 tick".into(),
        // Group a has learnt; what one of it knows all of it do. b has too few observations.
        report(1700, "a4", 80),
        report(1701, "a5", 4444),
        report(1702, "a6", 4444),
        report(1703, "b2", 9),
        "1910 tick".into(),
        // Known from the next period on.
        report(1920, "a5", 22),
        report(1921, "a6", 4444),
        report(1922, "a7", 4444),
    ];
    let mut engine = engine(&rules(&[rule]), &registry(), 3);
    let transitions = fold(&mut engine, &steps.join("\n"));
    assert_eq!(
        text(&transitions),
        "1701 alarm a5 new {\"ports\":[4444]} certain\n1702 alarm a6 new {\"ports\":[4444]} certain\n\
         1920 clear a5 new {\"ports\":[22]} certain\n1921 clear a6 new {\"ports\":[4444]} certain"
    );
    let source = transitions[0].evidence.as_ref().unwrap().limit.source;
    assert_eq!(
        serde_json::to_value(source).unwrap(),
        serde_json::json!({"kind": "learned", "from": "group-values"})
    );
}

#[test]
fn what_the_fleet_publishes_on_is_learnt_together() {
    check(
        &[r#"topics: num-messages-sent {"learn":{"learnSeconds":60,"learnObservations":2,"of":"fleet"}} -"#],
        "10 publish a 9 up\n20 publish b 9 up\n310 publish c 9 up\n320 publish d 9 down",
        "320 alarm d topics {\"strings\":[\"down\"]} certain",
    );
}

#[test]
fn rules_that_change_keep_what_others_have_learnt() {
    let mut before = engine(&rules(&WARM), &registry(), 2);
    assert_eq!(text(&fold(&mut before, &script(minutes("a", 1000, 1011, 4)))), "");
    let more = rules(&[WARM[0], WARM[1], "other: message-byte-size less-than 500"]);
    let entry = |json| detector::journal::Entry {
        arrival: fleet::time::Timestamp::from_secs(1011 * 60),
        source: detector::input::SourceId(0),
        kind: detector::journal::Kind::Rules,
        position: 0,
        subject: "",
        payload: json,
    };
    let json = serde_json::to_vec(&more).unwrap();
    before.stage(&entry(&json).at(before.seq() + 1));
    before.flush(&mut |_| {});
    let said = text(&fold(&mut before, &script(sends("a8", 1011, 40))));
    assert!(said.contains(" alarm a8 more "), "{said}");
}

/// Steps: (seconds since the last, thing, messages or what, number).
fn random_script(steps: &[(u16, u8, u8, u16)]) -> String {
    let mut now = 1_000_000;
    let mut lines = Vec::new();
    for &(after, thing, verb, number) in steps {
        now += u32::from(after);
        let thing = format!("{}{}", ["a", "b", "c"][usize::from(thing % 3)], thing / 3);
        match verb {
            0 => lines.push(format!("{now} tick")),
            1 => lines.push(format!(
                r#"{now} report {thing} {{"listening_tcp_ports":{{"ports":[{{"port":{}}},{{"port":22}}],"total":2}}}}"#,
                number % 9
            )),
            2 => lines.push(format!("{now} publish {thing} 10 t/{}", number % 9)),
            // Much more than the others: the one that may be unusual.
            3 => lines.extend((0..40).map(|_| format!("{now} publish {thing}"))),
            _ => {
                // All things of the group do their usual.
                let group = &thing[..1];
                lines.extend((0..9).map(|n| format!("{now} publish {group}{n}")));
            }
        }
    }
    lines.join("\n")
}

fn run(script: &str, shards: usize, step: usize, restart: Option<(usize, usize)>) -> (String, Engine) {
    let own = rules(&[
        r#"more: num-messages-sent {"baseline":{"learnDatapoints":2,"warmUp":"group","falseAlarmsPerDatapoint":0.01}} - in 60"#,
        r#"size: message-byte-size {"baseline":{"learnDatapoints":2,"season":"hour-of-day","warmUp":"fleet"}} - in 60"#,
        r#"ports: listening-tcp-ports {"learn":{"learnSeconds":0,"learnObservations":2,"capacity":3,"of":"group"}} -"#,
        r#"topics: num-messages-sent {"learn":{"learnSeconds":60,"learnObservations":2,"capacity":4,"of":"fleet"}} -"#,
    ]);
    let mut engine = engine(&own, &registry(), shards);
    let mut transitions = Vec::new();
    for (index, line) in parse(script).iter().enumerate() {
        stage(&mut engine, line);
        let restarts = restart.is_some_and(|(at, _)| at == index);
        if index % step == step - 1 || restarts {
            engine.flush(&mut |transition| transitions.push(transition));
        }
        if let Some((_, shards)) = restart.filter(|_| restarts) {
            let bytes = engine.save().to_bytes().unwrap();
            let snapshot = Snapshot::from_bytes(&bytes).unwrap();
            engine = Engine::restored(snapshot, decoders(), shards, Vec::new()).unwrap();
        }
    }
    engine.flush(&mut |transition| transitions.push(transition));
    let all: Vec<String> = transitions.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
    (all.join("\n"), engine)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn shards_batches_and_restarts_change_nothing(
        steps in prop::collection::vec((0_u16..40, 0_u8..27, 0_u8..7, 0_u16..100), 1..150),
        step in 1_usize..50, at in any::<prop::sample::Index>(), after in 1_usize..9,
    ) {
        let script = random_script(&steps);
        let (reference, first) = run(&script, 1, 1, None);
        for shards in [2, 7] {
            let (found, engine) = run(&script, shards, step, None);
            prop_assert_eq!(&found, &reference);
            prop_assert_eq!(engine.counts(), first.counts());
        }
        let at = at.index(parse(&script).len());
        let (found, engine) = run(&script, 3, 1, Some((at, after)));
        prop_assert_eq!(&found, &reference);
        prop_assert_eq!(engine.counts(), first.counts());
    }
}

/// The property above would hold as well if nothing ever happened.
#[test]
fn the_random_scripts_alarm_by_peers_and_by_groups() {
    let usual = (0..40).flat_map(|n| (0..3).map(move |group| (7, group, 4, n)));
    let odd = [
        (61, 1, 3, 0),
        (1, 24, 1, 7),
        (1, 24, 1, 7),
        (1, 2, 1, 1),
        (301, 0, 0, 0),
        (1, 24, 1, 8),
        (1, 1, 2, 7),
    ];
    let steps: Vec<_> = usual.chain(odd).collect();
    let (said, _) = run(&random_script(&steps), 2, 5, None);
    for part in ["\"behavior\":\"ports\"", "group-values", "fleet-values"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}
