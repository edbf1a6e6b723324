//! The latest violating datapoint of violations that go on.

use detector::output::{Output, Violating};
use fleet::registry::Registry;

use crate::support::{engine, parse, rules, stage};

/// What is told of violations that go on: second of the datapoint and value, one a line; and how many
/// violations begin.
fn told(behaviors: &[&str], script: &str, shards: usize) -> (String, usize) {
    let mut engine = engine(&rules(behaviors), &Registry::default(), shards);
    let (mut lines, mut ids, mut last_seq) = (Vec::new(), Vec::new(), 0);
    for line in parse(script) {
        stage(&mut engine, &line);
        engine.flush_outputs(&mut |output| match output {
            Output::Transition(transition) => ids.push(transition.violation_id),
            Output::Violating(Violating { seq, violation_id, at, value }) => {
                assert!(ids.contains(&violation_id), "of a violation that was told to begin");
                assert!(seq >= last_seq, "in the order of the journal");
                last_seq = seq;
                lines.push(format!("{} {}", at.secs(), serde_json::to_string(&value).unwrap()));
            }
            _ => {}
        });
    }
    (lines.join("\n"), ids.len())
}

#[track_caller]
fn check(behaviors: &[&str], script: &str, expected: &str) {
    for shards in [1, 3] {
        let (lines, begun) = told(behaviors, script, shards);
        assert_eq!(lines, expected, "{shards} shards");
        assert!(begun > 0);
    }
}

/// A behavior that never alarms.
const WINDOWS: &str = "sent: num-messages-sent less-than 100 in 60";

#[test]
fn the_last_one_of_a_period_is_told_at_its_end() {
    // What violates early does so once a window; what begins the violation is told by its transition.
    check(
        &["size: message-byte-size less-than 500"],
        "10 publish a 600\n310 publish a 700\n320 publish a 800\n602 tick\n610 publish a 501\n902 tick",
        "310 {\"count\":700}\n610 {\"count\":501}",
    );
}

#[test]
fn windows_lists_and_entities_other_than_things_go_on_as_well() {
    check(
        &["sent: num-messages-sent less-than 2 in 60"],
        "181 publish a\n182 publish a\n241 publish a\n242 publish a\n243 publish a\n302 tick",
        "242 {\"count\":2}",
    );
    let report = |at: u32, port: u32| {
        format!(r#"{at} report a {{"listening_tcp_ports":{{"ports":[{{"port":{port}}}],"total":1}}}}"#)
    };
    // Lists have no windows of their own; those of another behavior tell the time.
    check(
        &[r#"ports: listening-tcp-ports not-in-port-set {"ports":[23,24,25]}"#, WINDOWS],
        &[report(10, 23), report(20, 24), report(30, 25), "302 tick".into()].join("\n"),
        "30 {\"ports\":[25]}",
    );
    check(
        &["fails: num-authorization-failures less-than 1 in 60 by address"],
        "181 fail 10.0.0.1\n241 fail 10.0.0.1\n242 fail 10.0.0.1\n302 tick",
        "241 {\"count\":1}",
    );
}

#[test]
fn what_has_ended_is_told_no_more() {
    check(
        &[r#"ports: listening-tcp-ports not-in-port-set {"ports":[23]}"#, WINDOWS],
        r#"10 report a {"listening_tcp_ports":{"ports":[{"port":23}],"total":1}}
        20 report a {"listening_tcp_ports":{"ports":[{"port":23}],"total":1}}
        30 report a {"listening_tcp_ports":{"ports":[{"port":22}],"total":1}}
        302 tick"#,
        "",
    );
}
