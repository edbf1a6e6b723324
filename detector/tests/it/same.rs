//! The same journal gives the same transitions, whatever the number of shards and the batching.

use detector::{change::Rules, engine::Engine, transition::Transition};
use fleet::registry::Registry;
use proptest::prelude::*;

use crate::support::{decoders, engine, parse, profile, rules, stage, text};

pub(crate) fn many_rules() -> Rules {
    let mut rules = rules(&[
        "refused: num-authorization-failures less-than 3 in 60",
        "refused-address: num-authorization-failures less-than 2 in 60 by address",
        "attempts: num-connection-attempts less-than 2 in 60 clear 2",
        "sent: num-messages-sent less-than 4 in 60 alarm 2",
        "alive: num-messages-sent greater-than 0 in 60",
        "size: message-byte-size less-than 500",
        "drops: num-disconnects less-than 2 in 60",
        "gone: disconnect-duration less-than 5",
        r#"home: source-ip-address in-cidr-set {"cidrs":["10.0.0.0/30"]}"#,
        "bytes: all-bytes-out less-than 100 in 60",
        "busy: num-messages-sent less-than-equals p50 in 60",
        "quiet: message-byte-size greater-than-equals p50 in 120 alarm 2",
        "heavy: all-bytes-out less-than p100 in 300",
        "own: num-messages-sent less-than 1 in 60 on own",
        "strange: message-byte-size less-than 300 off own",
        r#"from: source-ip-address in-cidr-set {"cidrs":["10.0.0.0/31"]} on up"#,
        "many: num-messages-sent less-than p99 in 60 off cmd",
    ]);
    rules.profiles.push(profile("learned", "all/things", &LEARNED));
    rules.profiles.push(profile("q", "all/unregistered-things", &["sent: num-messages-sent less-than 3"]));
    rules
}

/// Judgements of every kind, which learn little before they judge.
const LEARNED: [&str; 17] = [
    r#"topics: num-messages-sent {"learn":{"learnSeconds":0,"learnObservations":2,"capacity":2}} -"#,
    r#"usual: num-messages-sent {"baseline":{"learnDatapoints":3,"memoryDatapoints":9,"direction":"both"}} - in 60"#,
    r#"hourly: message-byte-size {"baseline":{"season":"hour-of-day","learnDatapoints":3}} - in 60"#,
    r#"weekly: all-bytes-out {"baseline":{"season":"hour-of-week","learnDatapoints":3,"chart":"ewma","falseAlarmsPerDatapoint":0.1}} -"#,
    r#"shift: all-bytes-out {"baseline":{"learnDatapoints":3,"chart":"cusum","falseAlarmsPerDatapoint":0.1}} - in 60"#,
    r#"clusters: num-messages-sent {"counts":{"learnDatapoints":3,"falseAlarmsPerDatapoint":0.1}} - in 60"#,
    r#"topics-of-group: num-messages-sent {"learn":{"learnSeconds":0,"learnObservations":3,"capacity":2,"of":"group"}} -"#,
    r#"ports-of-fleet: listening-tcp-ports {"learn":{"learnSeconds":60,"learnObservations":2,"of":"fleet","remember":false}} -"#,
    r#"like-others: num-messages-sent {"baseline":{"learnDatapoints":1,"warmUp":"fleet"}} - in 60"#,
    r#"ports-known: listening-tcp-ports {"learn":{"learnSeconds":0,"learnObservations":2,"capacity":3}} -"#,
    r#"home-known: source-ip-address {"learn":{"learnSeconds":0,"learnObservations":1,"remember":false}} -"#,
    r#"hush: num-messages-sent {"silence":{"seconds":20}} -"#,
    r#"habit: num-messages-sent {"silence":{"learnHours":2,"atLeastSeconds":20}} -"#,
    r#"lost: disconnect-duration {"absence":{"graceSeconds":20,"after":["connection-lost"]}} -"#,
    r#"flaps: num-disconnects {"flapping":{"periodSeconds":60,"most":2,"calm":1}} -"#,
    r#"unclean: num-disconnects {"disconnects":["connection-lost"]} - in 60 count 1"#,
    r#"clock: ~clock {"clock":{"offsetSeconds":5,"driftPpm":500}} -"#,
];

pub(crate) fn registry() -> Registry {
    serde_json::from_str(
        r#"{"groups":{"a":{},"b":{}},"things":{"t1":{"groups":["a"]},"t2":{"groups":["b"]}}}"#,
    )
    .unwrap()
}

/// A script of `steps`: (seconds since the last, verb, thing, number).
pub(crate) fn script(steps: &[(u16, u8, u8, u16)]) -> String {
    let mut now = 1_000_000.0;
    let mut lines = Vec::new();
    for &(after, verb, thing, number) in steps {
        now += f64::from(after) / 10.0;
        let (thing, ip) = (format!("t{thing}"), format!("10.0.0.{}", number % 6));
        let event = now - f64::from(number % 40) / 10.0;
        lines.push(match verb {
            0 => format!("{event}/{now} connect {thing} {ip} user{}", number % 3),
            1 => format!("{event}/{now} disconnect {thing}"),
            2 | 3 => format!("{event}/{now} fail {ip} {thing}"),
            4 => format!("{event}/{now} fail {ip} {thing} ambiguous"),
            5 => format!("{event}/{now} deny {thing}"),
            6..=7 => format!("{event}/{now} publish {thing} {number} t/{}", number % 5),
            8..=9 => {
                let topic = ["dev/t1/up", "dev/t2/up", "cmd/x", "dev/t1/x"][usize::from(number % 4)];
                format!("{event}/{now} publish {thing} {number} {topic}")
            }
            10 => format!("{now} tick"),
            11 => format!("{} tick", now + 400.0),
            12 => format!(
                r#"{now} report {thing} {{"network_stats":{{"bytes_in":1,"bytes_out":{},"packets_in":1,"packets_out":1}}}} #{}"#,
                number % 120,
                number % 7,
            ),
            13 => format!("{now} later {thing}"),
            18 => format!("{event}/{now} disconnect {thing} connection-lost"),
            19 => format!(
                r#"{now} report {thing} {{"listening_tcp_ports":{{"ports":[{{"port":{}}},{{"port":22}}],"total":2}}}}"#,
                number % 7,
            ),
            20 => format!(
                r#"{now} report {thing} custom {{"clock":[{{"number":{}}}]}}"#,
                now + if number % 9 == 0 { -9.0 } else { f64::from(number % 7) },
            ),
            14 => format!("{now} gap {:.0}", (now - 10.0).floor()),
            15 => format!("{now} restart"),
            16 => format!("{now} nonsense"),
            _ => format!("{now} noise"),
        });
        if verb == 11 {
            now += 400.0;
        }
    }
    lines.join("\n")
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<(u16, u8, u8, u16)>> {
    proptest::collection::vec((0_u16..100, 0_u8..22, 0_u8..9, 0_u16..1_000), 1..300)
}

/// Folds a script with so many shards, running them after every `step` lines.
fn fold(script: &str, shards: usize, step: usize) -> (Vec<Transition>, Engine) {
    let mut engine = engine(&many_rules(), &registry(), shards);
    let mut transitions = Vec::new();
    for (index, line) in parse(script).iter().enumerate() {
        stage(&mut engine, line);
        if index % step == step - 1 {
            engine.flush(&mut |transition| transitions.push(transition));
        }
    }
    engine.flush(&mut |transition| transitions.push(transition));
    (transitions, engine)
}

#[test]
fn the_scripts_bring_transitions_of_every_kind() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let tree = proptest::collection::vec((0_u16..100, 0_u8..22, 0_u8..9, 0_u16..1_000), 20_000)
        .new_tree(&mut runner)
        .unwrap();
    let (transitions, engine) = fold(&script(&proptest::strategy::ValueTree::current(&tree)), 3, 10);
    let text = text(&transitions);
    let learned = LEARNED.iter().map(|text| text.split_once(':').unwrap().0);
    let others = [
        "refused",
        "refused-address",
        "attempts",
        "sent",
        "alive",
        "size",
        "drops",
        "gone",
        "home",
        "bytes",
        "busy",
        "quiet",
        "heavy",
        "own",
        "strange",
        "from",
        "many",
    ];
    for behavior in others.into_iter().chain(learned) {
        for kind in ["alarm", "clear"] {
            let found =
                text.lines().any(|line| line.contains(kind) && line.contains(&format!(" {behavior} ")));
            assert!(found, "{kind} {behavior}");
        }
    }
    assert!(engine.counts().shards.late > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn shards_and_batches_change_nothing(steps in steps(), batching in 1_usize..50) {
        let script = script(&steps);
        let (reference, engine) = fold(&script, 1, 1);
        for shards in [1, 2, 7] {
            for step in [1, batching, usize::MAX] {
                let (transitions, other) = fold(&script, shards, step);
                prop_assert_eq!(
                    serde_json::to_string(&transitions).unwrap(),
                    serde_json::to_string(&reference).unwrap(),
                    "{} shards, steps of {}", shards, step
                );
                prop_assert_eq!(other.counts(), engine.counts());
            }
        }
    }

    #[test]
    fn no_time_is_too_strange(times in proptest::collection::vec((any::<i64>(), any::<i64>()), 1..40)) {
        let mut engine = engine(&many_rules(), &registry(), 2);
        for (at, arrival) in times {
            let at = fleet::time::Timestamp::from_millis(at);
            let kind = fleet::event::EventKind::Publish { client: "t1", topic: "t", bytes: 1 };
            let arrival = fleet::time::Timestamp::from_millis(arrival).max(engine.front().now());
            let event = fleet::event::Event { at, kind };
            engine.stage_event(engine.seq() + 1, detector::input::SourceId(1), arrival, &event);
            engine.flush(&mut |_| {});
        }
    }

    #[test]
    fn ids_are_unique_and_violations_begin_before_they_end(steps in steps()) {
        let (transitions, engine) = fold(&script(&steps), 2, 20);
        let mut ids: Vec<_> = transitions.iter().map(|transition| &transition.id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), transitions.len());
        let mut open = std::collections::BTreeSet::new();
        for transition in &transitions {
            let begins = transition.kind == detector::transition::TransitionKind::InAlarm;
            let id = transition.violation_id.clone();
            let fits = if begins { open.insert(id) } else { open.remove(&id) };
            prop_assert!(fits);
        }
        prop_assert_eq!(open.len(), engine.open_violations());
    }

    #[test]
    fn a_snapshot_at_any_place_and_other_shards_change_nothing(
        steps in steps(), at in any::<prop::sample::Index>(), before in 1_usize..5, after in 1_usize..5,
    ) {
        let script = script(&steps);
        let lines = parse(&script);
        let at = at.index(lines.len());
        let (reference, reference_engine) = fold(&script, 1, 1);
        let mut transitions = Vec::new();
        let mut first = engine(&many_rules(), &registry(), before);
        for line in &lines[..at] {
            stage(&mut first, line);
        }
        first.flush(&mut |transition| transitions.push(transition));
        let bytes = first.save().to_bytes().unwrap();
        let snapshot = detector::snapshot::Snapshot::from_bytes(&bytes).unwrap();
        let mut second = Engine::restored(snapshot, decoders(), after, Vec::new()).unwrap();
        for line in &lines[at..] {
            stage(&mut second, line);
        }
        second.flush(&mut |transition| transitions.push(transition));
        prop_assert_eq!(text(&transitions), text(&reference));
        prop_assert_eq!(transitions, reference);
        prop_assert_eq!(second.counts(), reference_engine.counts());
    }
}
