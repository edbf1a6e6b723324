//! What is counted by something else than by thing: entities, different ones, metrics of our own,
//! bounds, and the shipped behaviors that need them, each with its story.

use std::fmt::Write as _;

use detector::{change::Rules, engine::Engine};
use fleet::registry::Registry;
use proptest::prelude::*;

use crate::{
    same::{registry, script, steps},
    support::{check, decoders, engine, fold, parse, rules, stage, text},
};

#[test]
fn failures_are_counted_by_address_network_and_claimed_id() {
    let script = "1 fail 10.0.0.1 a\n2 fail 10.0.0.2 a\n3 fail 10.0.1.3 a\n4 fail 10.0.0.9 b";
    check(
        &["b: num-authorization-failures less-than 2 in 300 by address prefix 24"],
        script,
        r#"2 alarm 10.0.0.0/24 b {"count":2} certain"#,
    );
    check(
        &["b: num-authorization-failures less-than 3 in 300 by claimed-client-id"],
        script,
        r#"3 alarm claimed:a b {"count":3} ambiguous"#,
    );
    check(
        &["b: num-authorization-failures less-than 4 in 300 by fleet"],
        script,
        r#"4 alarm fleet b {"count":4} certain"#,
    );
    check(&["b: num-authorization-failures less-than 2 in 300 by address"], script, "");
}

#[test]
fn messages_are_counted_by_topic_principal_and_group() {
    let script = "1 connect t1 10.0.0.1 alice\n2 connect t2 10.0.0.2 alice\n3 publish t1 10 x\n4 publish t2 10 x\n5 publish t2 10 y\n6 deny t1 x";
    check(
        &["b: num-messages-sent less-than 2 in 300 by topic"],
        script,
        r#"4 alarm topic:x b {"count":2} certain"#,
    );
    check(
        &["b: num-messages-sent less-than 3 in 300 by principal"],
        script,
        r#"5 alarm principal:alice b {"count":3} certain"#,
    );
    check(
        &["b: num-connection-attempts less-than 2 in 300 by principal distinct things"],
        script,
        r#"2 alarm principal:alice b {"count":2} certain"#,
    );
    check(
        &["b: num-authorization-failures less-than 1 in 300 by topic"],
        script,
        r#"6 alarm topic:x b {"count":1} certain"#,
    );
    let registry: Registry = serde_json::from_str(
        r#"{"groups":{"plant":{},"hall":{"parent":"plant"}},"things":{"t1":{"groups":["hall"]},"t2":{"groups":["plant"]}}}"#,
    )
    .unwrap();
    let rules = rules(&["b: num-messages-sent less-than 2 in 300 by thing-group"]);
    let mut engine = engine(&rules, &registry, 3);
    assert_eq!(
        text(&fold(&mut engine, script)),
        r#"4 alarm group:plant b {"count":2} certain
5 alarm group:hall b {"count":1} certain"#
            .lines()
            .next()
            .unwrap()
    );
}

#[test]
fn different_ones_are_counted_once_a_window() {
    check(
        &["b: num-authorization-failures less-than 3 in 60 by address distinct things"],
        "1 fail 10.0.0.1 a\n2 fail 10.0.0.1 a\n3 fail 10.0.0.1 b\n61 fail 10.0.0.1 c\n62 fail 10.0.0.1 a\n63 fail 10.0.0.1 b",
        r#"63 alarm 10.0.0.1 b {"count":3} certain"#,
    );
    check(
        &["b: num-messages-sent less-than 2 in 60 by thing distinct topics"],
        "1 publish a 10 x\n2 publish a 10 x\n3 publish b 10 y\n4 publish a 10 y\n62 tick\n122 tick",
        r#"4 alarm a b {"count":2} certain
           120 clear a b {"count":0} certain"#,
    );
    // A login without a claimed id names nobody.
    check(
        &["b: num-authorization-failures less-than 1 in 60 by address distinct principals"],
        "1 fail 10.0.0.1 a",
        "",
    );
}

#[test]
fn silence_clears_what_has_no_session() {
    check(
        &["b: num-messages-sent less-than 2 in 60 by topic clear 2"],
        "1 publish a 10 x\n2 publish a 10 x\n62 tick\n122 tick\n182 tick\n242 tick",
        r#"2 alarm topic:x b {"count":2} certain
           180 clear topic:x b {"count":0} certain"#,
    );
}

#[test]
fn own_metrics_count_for_things_too() {
    check(
        &["b: fleetward:takeovers less-than 2 in 300", "c: fleetward:address-changes less-than 3 in 300"],
        "1 connect a 10.0.0.1\n2 connect a 10.0.0.2\n3 disconnect a takeover\n4 connect a 10.0.0.1\n5 disconnect a\n60 connect a 10.0.0.9",
        r#"4 alarm a b {"count":2} certain
           60 alarm a c {"count":3} certain"#,
    );
    check(
        &["b: fleetward:keepalive-misses less-than 2 in 300", "c: fleetward:flaps less-than 1 in 300"],
        "1 connect a\n100 disconnect a timeout\n101 connect a\n110 disconnect a timeout",
        r#"110 alarm a b {"count":2} certain
           110 alarm a c {"count":1} certain"#,
    );
}

#[test]
fn a_broker_that_restarts_is_no_mass_disconnect() {
    let connects = |at: u32, n: u32| (0..n).map(|n| format!("{at} connect t{n}\n")).collect::<String>();
    let share = &["b: fleetward:disconnected-things less-than 50 by fleet"];
    check(share, &format!("{}10 restart\n{}", connects(1, 20), connects(20, 20)), "");
    let leave =
        |from: u32| (from..from + 10).map(|n| format!("{n} disconnect t{}\n", n - from)).collect::<String>();
    let told = r#"310 alarm fleet b {"count":50} certain"#;
    check(share, &format!("{}{}", connects(1, 20), leave(301)), told);
    // Of nineteen things no share is told; and those that came for less than five minutes are not missed.
    check(share, &format!("{}{}", connects(1, 19), leave(301)), "");
    check(share, &format!("{}{}", connects(1, 20), leave(291)), "");
    // A session that lasted before the restart still tells who is one to be missed.
    let again = format!("{}400 restart\n{}{}", connects(1, 20), connects(401, 20), leave(410));
    check(share, &again, &told.replace("310", "419"));
}

#[test]
fn connections_without_identity_count_for_address_and_fleet() {
    let errors = &[
        "a: fleetward:connection-errors less-than 3 in 300 by address",
        "f: fleetward:connection-errors less-than 5 in 300 by fleet",
        "p: fleetward:protocol-errors less-than 2 in 300 by address",
        "t: fleetward:tls-failures less-than 2 in 300 by fleet",
    ];
    check(
        errors,
        "1 broken 10.0.0.9 no-connect
         2 broken 10.0.0.9 protocol
         3 broken ::ffff:10.0.0.9 protocol
         4 broken - tls
         5 broken - tls",
        r#"3 alarm 10.0.0.9 a {"count":3} address
           3 alarm 10.0.0.9 p {"count":2} address
           5 alarm fleet f {"count":5} address
           5 alarm fleet t {"count":2} address"#,
    );
    // Nobody is charged with what has no address, and no thing with what came from its address.
    check(
        &[
            "a: fleetward:connection-errors less-than 1 in 300 by address",
            "t: fleetward:tls-failures less-than 1 in 300",
        ],
        "1 broken - too-many\n2 connect x 10.0.0.1\n3 broken 10.0.0.2 tls",
        r#"3 alarm 10.0.0.2 a {"count":1} address"#,
    );
}

#[test]
fn a_stranger_that_fails_from_a_public_address_is_a_probe() {
    let probes = &["p: fleetward:probes less-than 1 in 300 by address"];
    check(
        probes,
        "1 fail 203.0.113.3 CENSYS
         2 broken 203.0.113.4 protocol
         3 broken ::ffff:203.0.113.4 protocol",
        r#"1 alarm 203.0.113.3 p {"count":1} certain
           2 alarm 203.0.113.4 p {"count":1} address"#,
    );
    // Not within the own network, not from where a thing was, not where the source is not sure.
    check(
        probes,
        "1 fail 192.168.1.3 x
         2 connect t 203.0.113.5
         3 disconnect t
         4 fail 203.0.113.5 t
         5 fail 203.0.113.6 x ambiguous
         6 broken - no-connect",
        "",
    );
    // A broker without its certificate is no connection that failed.
    check(
        &[
            "t: fleetward:tls-failures less-than 1 in 300 by fleet",
            "e: fleetward:connection-errors less-than 1 in 300 by fleet",
        ],
        "1 broken - tls-setup",
        r#"1 alarm fleet t {"count":1} address"#,
    );
}

#[test]
fn sessions_that_tls_or_the_protocol_ended_count_for_their_thing() {
    check(
        &[
            "p: fleetward:protocol-errors less-than 2 in 300",
            "t: fleetward:tls-failures less-than 1 in 300",
            "e: fleetward:connection-errors less-than 1 in 300 by fleet",
        ],
        "1 connect x 10.0.0.1
         2 disconnect x protocol-error
         3 connect x 10.0.0.1
         4 disconnect x tls-error
         5 connect x 10.0.0.1
         6 disconnect x protocol-error",
        r#"4 alarm x t {"count":1} certain
           6 alarm x p {"count":2} certain"#,
    );
}

#[test]
fn starts_of_the_broker_count_for_the_fleet() {
    check(
        &["b: fleetward:broker-starts less-than 3 in 300 by fleet"],
        "1 restart\n2 restart\n3 connect x\n4 restart",
        r#"4 alarm fleet b {"count":3} certain"#,
    );
}

#[test]
fn changed_rules_keep_entities_and_end_what_is_gone() {
    let by = |name: &str, limit: u32| format!("{name}: num-messages-sent less-than {limit} in 300 by topic");
    let (a, b) = (by("a", 1), by("b", 3));
    let mut engine = engine(&rules(&[&a, &b]), &Registry::default(), 2);
    fold(&mut engine, "1 publish t 10 x\n2 publish t 10 x");
    let json = serde_json::to_vec(&rules(&[&b])).unwrap();
    let entry = |json| detector::journal::Entry {
        arrival: fleet::time::Timestamp::from_secs(30),
        source: detector::input::SourceId(0),
        kind: detector::journal::Kind::Rules,
        position: 0,
        subject: "",
        payload: json,
    };
    engine.stage(&entry(&json).at(engine.seq() + 1));
    let mut transitions = Vec::new();
    engine.flush(&mut |transition| transitions.push(transition));
    assert_eq!(text(&transitions), "30 invalid topic:x a - certain");
    // The count of the other went on.
    assert_eq!(text(&fold(&mut engine, "31 publish t 10 x")), r#"31 alarm topic:x b {"count":3} certain"#);
}

/// Rules of a few places only, with behaviors of many kinds.
pub(crate) fn crowded() -> Rules {
    let rules = rules(&[
        "sent: num-messages-sent less-than 3 in 60",
        "fail: num-authorization-failures less-than 2 in 60 by address",
        "ids: num-authorization-failures less-than 2 in 300 by address prefix 30 distinct things",
        "claims: num-authorization-failures less-than 2 in 300 by claimed-client-id distinct source-ips",
        "topic: num-messages-sent less-than 2 in 60 by topic",
        "user: num-connection-attempts less-than 2 in 60 by principal distinct things",
        "group: num-disconnects less-than 1 in 60 by thing-group",
        "all: num-messages-sent greater-than 1 in 60 by fleet",
        "hasty: fleetward:hasty-reconnects less-than 2 in 60 by fleet",
        "taken: fleetward:takeovers less-than 1 in 300",
        "share: fleetward:disconnected-things less-than 60 by fleet",
    ]);
    Rules { things_max: 6, addresses_max: 3, entities_max: 64, ..rules }
}

pub(crate) fn grouped() -> Registry {
    let mut registry = registry();
    registry = registry.with_member(&"t1".parse().unwrap(), &"g".parse().unwrap());
    registry
}

fn run(script: &str, shards: usize, step: usize) -> (Vec<detector::transition::Transition>, Engine) {
    let mut engine = engine(&crowded(), &grouped(), shards);
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn who_makes_room_does_not_depend_on_shards_batches_or_restarts(
        steps in steps(), batching in 1_usize..50, at in any::<prop::sample::Index>(), after in 1_usize..9,
    ) {
        let script = script(&steps);
        let (reference, first) = run(&script, 1, 1);
        let json = |transitions: &[detector::transition::Transition]| serde_json::to_string(transitions).unwrap();
        for shards in [2, 7, 70] {
            let (transitions, other) = run(&script, shards, batching);
            prop_assert_eq!(json(&transitions), json(&reference), "{} shards", shards);
            prop_assert_eq!(other.counts(), first.counts());
        }
        let lines = parse(&script);
        let at = at.index(lines.len());
        let mut transitions = Vec::new();
        let mut begin = engine(&crowded(), &grouped(), 3);
        lines[..at].iter().for_each(|line| { stage(&mut begin, line); });
        begin.flush(&mut |transition| transitions.push(transition));
        let bytes = begin.save().to_bytes().unwrap();
        let snapshot = detector::snapshot::Snapshot::from_bytes(&bytes).unwrap();
        let mut end = Engine::restored(snapshot, decoders(), after, Vec::new()).unwrap();
        lines[at..].iter().for_each(|line| { stage(&mut end, line); });
        end.flush(&mut |transition| transitions.push(transition));
        prop_assert_eq!(json(&transitions), json(&reference));
        prop_assert_eq!(end.counts(), first.counts());
    }
}

#[test]
fn memory_stays_flat_whatever_comes() {
    let rules = Rules {
        things_max: 2_000,
        addresses_max: 2_000,
        entities_max: 2_048,
        ..rules(&[
            "a: num-authorization-failures less-than 20 in 300 by address distinct things",
            "b: num-authorization-failures less-than 20 in 300 by claimed-client-id distinct source-ips",
            "c: num-messages-sent less-than 20 in 300 by topic distinct things",
            "d: num-messages-sent less-than 1000 in 300",
        ])
    };
    let mut engine = engine(&rules, &Registry::default(), 2);
    let mut memory = Vec::new();
    for round in 0..6 {
        let mut script = String::new();
        for n in 0..10_000 {
            let n = round * 10_000 + n;
            let at = 1_000 + n / 20;
            let [_, b, c, d] = u32::to_be_bytes(n);
            writeln!(script, "{at} fail 10.{b}.{c}.{d} client-{n}").unwrap();
            writeln!(script, "{at} publish thing-{n} 10 topic/{n}").unwrap();
        }
        fold(&mut engine, &script);
        memory.push(engine.memory());
    }
    let counts = engine.counts();
    assert_eq!(counts.front.untracked, 0);
    assert!(counts.front.things_evicted >= 57_000 && counts.shards.evicted >= 160_000, "{counts:?}");
    // After the tables are full nothing grows but the room that is left for names that are gone.
    assert!(memory[5] <= memory[1] + (4 << 20), "{memory:?}");
}

#[test]
fn one_in_alarm_stays_while_others_make_room() {
    let rules = Rules { entities_max: 128, ..rules(&["b: num-messages-sent less-than 2 in 3600 by topic"]) };
    let mut engine = engine(&rules, &Registry::default(), 1);
    let flood: String = (0..5_000).map(|n| format!("10 publish t 1 noise/{n}\n")).collect();
    let first = "1 publish t 1 x\n2 publish t 1 x\n";
    assert_eq!(text(&fold(&mut engine, first)), r#"2 alarm topic:x b {"count":2} certain"#);
    assert_eq!(text(&fold(&mut engine, &flood)), "", "two places a slice: others make room");
}

fn shipped() -> Rules {
    let profile = include_str!("../../../profiles/across-the-fleet.json");
    let allowed = r#"{"allowList":["t*","s*"],"registeredThings":true}"#;
    let profiles = vec![("across.json".into(), profile.into()), ("allow.json".into(), allowed.into())];
    let (_, problems) = behaviors::profile::parse_files(&profiles);
    assert!(problems.is_empty(), "{problems:?}");
    Rules { profiles, ..Rules::default() }
}

/// A story, and the transitions of the shipped profile that it must bring, and no others.
#[track_caller]
fn story(script: &str, expected: &str) {
    let things: Vec<String> = (0..24).map(|n| format!(r#""s{n}":{{"groups":["hall"]}}"#)).collect();
    let registry = format!(r#"{{"groups":{{"hall":{{}}}},"things":{{{}}}}}"#, things.join(","));
    let registry: Registry = serde_json::from_str(&registry).unwrap();
    let mut engine = engine(&shipped(), &registry, 2);
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(text(&fold(&mut engine, script)), expected.join("\n"), "{script}");
}

#[test]
fn credential_stuffing() {
    let tries: String = (0..12).map(|n| format!("{} fail 10.9.2.7 t{n}\n", 10 + n)).collect();
    story(&tries, r#"19 alarm 10.9.2.7 credential-stuffing {"count":10} certain"#);
    // A device that retries with a wrong password is none.
    let retries: String = (0..50).map(|n| format!("{} fail 10.9.2.7 t1\n", 10 + n)).collect();
    story(&retries, "");
}

#[test]
fn distributed_brute_force_on_one_client_id_is_not_held_against_the_thing() {
    let tries: String = (0..6).map(|n| format!("{} fail 10.8.{n}.7 t1\n", 10 + n)).collect();
    story(
        &format!("1 connect t1 10.0.0.1\n{tries}"),
        r#"14 alarm claimed:t1 brute-force-on-one-client-id {"count":5} ambiguous"#,
    );
}

#[test]
fn cloned_identity() {
    let turns: String =
        (0..4).map(|n| format!("{} connect t1 10.0.0.{} u1\n", 10 + n * 20, n % 2 + 1)).collect();
    story(&turns, r#"70 alarm t1 cloned-identity {"count":3} certain"#);
    // The same device that comes back on the same address is none.
    let back: String = (0..9).map(|n| format!("{} connect t1 10.0.0.1 u1\n", 10 + n * 20)).collect();
    story(&back, "");
}

#[test]
fn one_certificate_of_several_client_ids() {
    // For a day it is one id an hour; then several have the certificate.
    let usual: String =
        (0..25).map(|hour| format!("{} connect t1 10.0.0.1 cert-1\n", hour * 3600 + 1)).collect();
    let others = |ids: u32| -> String {
        (2..=ids).map(|id| format!("{} connect t{id} 10.0.0.{id} cert-1\n", 24 * 3600 + id)).collect()
    };
    story(&format!("{usual}{}90003 tick", others(2)), "");
    story(
        &format!("{usual}{}90003 tick", others(3)),
        r#"90000 alarm principal:cert-1 certificate-of-several-client-ids {"count":3} certain"#,
    );
    // More than can be usual is told at once.
    story(
        &format!("{usual}{}", others(4)),
        r#"86404 alarm principal:cert-1 certificate-of-several-client-ids {"count":4} certain"#,
    );
    // A user name that many have is known to be one.
    let shared: String =
        (0..26 * 5).map(|n| format!("{} connect t{} 10.0.0.1 all\n", n / 5 * 3600 + n % 5, n % 5)).collect();
    story(&shared, "");
}

#[test]
fn reconnect_storm() {
    let mut lines = String::new();
    for n in 0..60 {
        writeln!(lines, "{} connect t{n} 10.0.1.{n} u{n}", 1 + n).unwrap();
    }
    // All lose their sessions and come back at once, again and again.
    for round in 0..2 {
        for n in 0..60 {
            writeln!(lines, "{} disconnect t{n} unclean", 200 + round * 2).unwrap();
            writeln!(lines, "{} connect t{n} 10.0.1.{n} u{n}", 200 + round * 2).unwrap();
        }
    }
    story(&lines, r#"202 alarm fleet reconnect-storm {"count":100} certain"#);
    // With back-off they are no storm.
    let calm: String = (0..60).map(|n| format!("{} connect t{n} 10.0.1.{n} u{n}\n", 1 + n)).collect();
    let back: String = (0..60)
        .map(|n| format!("{} disconnect t{n} unclean\n{} connect t{n} 10.0.1.{n} u{n}\n", 200 + n, 203 + n))
        .collect::<String>();
    let mut sorted: Vec<&str> = back.lines().collect();
    sorted.sort_by_key(|line| line.split(' ').next().unwrap().parse::<u32>().unwrap());
    story(&format!("{calm}{}", sorted.join("\n")), "");
}

#[test]
fn provisioning_claim_misuse() {
    let usual: String = (0..24).map(|n| format!("{} connect t{n} 10.0.0.1 claim\n", 1 + n * 3600)).collect();
    let many: String =
        (0..25).map(|n| format!("{} connect t{} 10.0.0.1 claim\n", 86_400 + n, 100 + n)).collect();
    story(
        &format!("{usual}{many}"),
        r#"86403 alarm principal:claim certificate-of-several-client-ids {"count":4} certain
           86420 alarm principal:claim claim-creates-too-many-things {"count":21} certain"#,
    );
}

#[test]
fn unknown_device() {
    story(
        "1 connect t1 10.0.0.1 u1\n2 connect s0 10.0.0.3 u3\n3 connect rogue 10.0.0.2 u2",
        r#"3 alarm rogue unknown-device {"count":1} certain"#,
    );
}

#[test]
fn mass_disconnect() {
    let connects: String = (0..24).map(|n| format!("1 connect s{n} 10.0.0.{n} u{n}\n")).collect();
    let leave: String = (0..20).map(|n| format!("{} disconnect s{n} unclean\n", 400 + n)).collect();
    let back: String = (0..20).map(|n| format!("{} connect s{n} 10.0.0.{n} u{n}\n", 700 + n)).collect();
    let again: String = (0..8).map(|n| format!("{} disconnect s{n}\n", 920 + n)).collect();
    story(
        &format!("{connects}{leave}{back}{again}1202 tick"),
        r#"411 alarm group:hall mass-disconnect-of-a-group {"count":50} certain
           419 alarm fleet mass-disconnect {"count":83} certain
           900 clear fleet mass-disconnect {"count":79} certain
           1200 clear group:hall mass-disconnect-of-a-group {"count":33} certain"#,
    );
}
