//! Engines with ten behaviors for each thing.

use detector::{change::Rules, engine::Engine, front::Decoders, replay::Replay};
use fleet::registry::Registry;

/// Ten behaviors over what brokers see: nine counters in windows of 300 s, one size. Bounds are
/// never reached: an alarm is rare, and what one costs is measured by `rules`.
pub fn counting() -> Engine {
    let metrics = [
        "num-authorization-failures",
        "num-connection-attempts",
        "num-disconnects",
        "num-messages-sent",
        "num-messages-received",
        "all-bytes-out",
        "all-bytes-in",
        "all-packets-out",
        "all-packets-in",
    ];
    let mut behaviors: Vec<String> = metrics
        .map(|metric| number(metric, metric, "less-than", 1_000_000_000_000, r#","durationSeconds":300"#))
        .into();
    behaviors.push(number("size", "message-byte-size", "less-than", 268_435_456, ""));
    engine(&behaviors)
}

/// The ten rules over device reports that all rule engines are compared by. Each report is one
/// datapoint; three violating ones in a row alarm, three compliant ones clear.
pub fn of_reports() -> Engine {
    engine(&report_rules(3))
}

/// The ten rules; so many datapoints in a row alarm and clear.
pub fn report_rules(in_a_row: u8) -> Vec<String> {
    let in_a_row =
        format!(r#","consecutiveDatapointsToAlarm":{in_a_row},"consecutiveDatapointsToClear":{in_a_row}"#);
    let set = |name: &str, metric: &str, operator: &str, value: &str| {
        format!(
            r#"{{"name":"{name}","metric":"aws:{metric}","criteria":{{"comparisonOperator":"{operator}","value":{value}{in_a_row}}}}}"#
        )
    };
    let count =
        |name: &str, metric: &str, operator: &str, value| number(name, metric, operator, value, &in_a_row);
    vec![
        count("tcp-ports", "num-listening-tcp-ports", "less-than-equals", 8),
        count("udp-ports", "num-listening-udp-ports", "less-than-equals", 5),
        set(
            "tcp-set",
            "listening-tcp-ports",
            "in-port-set",
            r#"{"ports":[22,80,123,443,1883,8080,8443,8883]}"#,
        ),
        set("udp-set", "listening-udp-ports", "in-port-set", r#"{"ports":[53,67,68,123,5353]}"#),
        count("bytes-in", "all-bytes-in", "less-than", 1_000_000),
        count("bytes-out", "all-bytes-out", "less-than", 1_000_000),
        count("packets-in", "all-packets-in", "less-than", 10_000),
        count("packets-out", "all-packets-out", "less-than", 10_000),
        count("connections", "num-established-tcp-connections", "less-than", 10),
        set(
            "peers",
            "destination-ip-addresses",
            "in-cidr-set",
            r#"{"cidrs":["10.0.0.0/8","192.168.0.0/16","52.94.0.0/16"]}"#,
        ),
    ]
}

/// A security profile for all things.
pub fn profile(behaviors: &[String]) -> String {
    format!(
        r#"{{"securityProfileName":"ten","behaviors":[{}],"fleetward":{{"targets":["arn:aws:iot:eu-west-1:123456789012:all/things"]}}}}"#,
        behaviors.join(",")
    )
}

fn number(name: &str, metric: &str, operator: &str, value: u64, more: &str) -> String {
    format!(
        r#"{{"name":"{name}","metric":"aws:{metric}","criteria":{{"comparisonOperator":"{operator}","value":{{"count":{value}}}{more}}}}}"#
    )
}

fn engine(behaviors: &[String]) -> Engine {
    let profiles = vec![("ten.json".to_owned(), profile(behaviors))];
    let (read, problems) = behaviors::profile::parse_files(&profiles);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(read.compile(300).behaviors().count(), 10, "all ten are evaluated");
    let rules = Rules { profiles, things_max: 2_000_000, ..Rules::default() };
    let engine = Engine::new(Decoders::default(), 1, Vec::new());
    Replay::new(engine, &rules, &Registry::default()).finish(&mut |_| {}).0
}
