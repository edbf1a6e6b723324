//! Walks the fact sheet about AWS IoT Device Defender Detect: every metric, operator, duration,
//! statistic, dimension and custom type in its tables must be judged here, both ways.
//!
//! The sheet lies beside the data sets where both are checked out; elsewhere the rows below stand
//! for it, and a test compares the two where it can.

use fleet::registry::Registry;

use crate::support::{engine, fold, rules, text};

/// A metric as the sheet has it: operators, whether it takes a duration, percentiles and a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    metric: String,
    operators: Vec<String>,
    duration: bool,
    statistical: bool,
    dimension: bool,
}

/// Name, operators, duration, percentiles, dimension: what the tables of sections 1 and 2 say.
const ROWS: [(&str, &str, bool, bool, bool); 18] = [
    ("message-byte-size", "lt lte gt gte", false, true, true),
    ("num-messages-sent", "lt lte gt gte", true, true, true),
    ("num-messages-received", "lt lte gt gte", true, true, true),
    ("num-authorization-failures", "lt lte gt gte", true, true, true),
    ("source-ip-address", "in-cidr-set not-in-cidr-set", false, false, true),
    ("num-connection-attempts", "lt lte gt gte", true, true, false),
    ("num-disconnects", "lt lte gt gte", true, true, false),
    ("disconnect-duration", "less-than less-than-equals", false, false, false),
    ("all-bytes-out", "lt lte gt gte", true, false, false),
    ("all-bytes-in", "lt lte gt gte", true, false, false),
    ("all-packets-out", "lt lte gt gte", true, false, false),
    ("all-packets-in", "lt lte gt gte", true, false, false),
    ("num-listening-tcp-ports", "lt lte gt gte", true, false, false),
    ("num-listening-udp-ports", "lt lte gt gte", true, false, false),
    ("num-established-tcp-connections", "lt lte gt gte", true, false, false),
    ("listening-tcp-ports", "in-port-set not-in-port-set", false, false, false),
    ("listening-udp-ports", "in-port-set not-in-port-set", false, false, false),
    ("destination-ip-addresses", "in-cidr-set not-in-cidr-set", false, false, false),
];
const DURATIONS: [u32; 5] = [300, 600, 900, 1800, 3600];
const STATISTICS: [(&str, usize); 11] = [
    // With the rank in ten values, worked out by hand.
    ("p0", 1),
    ("p0.1", 1),
    ("p0.01", 1),
    ("p1", 1),
    ("p10", 1),
    ("p50", 5),
    ("p90", 9),
    ("p99", 10),
    ("p99.9", 10),
    ("p99.99", 10),
    ("p100", 10),
];
/// Custom type, operators, criteria value, a value in it, a value outside it.
const CUSTOM: [(&str, &str, &str, &str, &str); 4] = [
    ("number", "lt lte gt gte", "5", "", ""),
    ("number-list", "in-set not-in-set", r#"{"numbers":[1]}"#, "\"number_list\":[1]", "\"number_list\":[2]"),
    (
        "string-list",
        "in-set not-in-set",
        r#"{"strings":["x"]}"#,
        "\"string_list\":[\"x\"]",
        "\"string_list\":[\"y\"]",
    ),
    (
        "ip-address-list",
        "in-cidr-set not-in-cidr-set",
        r#"{"cidrs":["10.0.0.0/8"]}"#,
        "\"ip_list\":[\"10.0.0.1\"]",
        "\"ip_list\":[\"192.0.2.1\"]",
    ),
];

fn operators(words: &str) -> Vec<String> {
    let long = |word: &str| {
        match word {
            "lt" => "less-than",
            "lte" => "less-than-equals",
            "gt" => "greater-than",
            "gte" => "greater-than-equals",
            other => other,
        }
        .to_owned()
    };
    words.split([' ', ',', '`']).filter(|word| !word.is_empty()).map(long).collect()
}

fn facts() -> Vec<Fact> {
    let fact = |&(metric, words, duration, statistical, dimension): &(&str, &str, bool, bool, bool)| Fact {
        metric: metric.into(),
        operators: operators(words),
        duration,
        statistical,
        dimension,
    };
    ROWS.iter().map(fact).collect()
}

/// The sheet, where it is.
fn sheet() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "where the data lies is the test's environment")]
    let datasets = std::env::var("FLEETWARD_DATASETS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/datasets").into());
    let path = std::path::Path::new(&datasets).parent()?.join("spec/device-defender-detect.md");
    std::fs::read_to_string(path).ok()
}

/// The rows of the table in a section, cell by cell.
fn table<'s>(sheet: &'s str, section: &str) -> Vec<Vec<&'s str>> {
    let start = sheet.find(section).unwrap_or_else(|| panic!("the sheet has no {section}"));
    let body = &sheet[start + section.len()..];
    let body = &body[..body.find("\n## ").unwrap_or(body.len())];
    let rows = body.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `metricType`"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_rows_are_those_of_the_sheet() {
    let Some(sheet) = sheet() else { return };
    let name = |cell: &str| cell.split('`').nth(1).unwrap().trim_start_matches("aws:").to_owned();
    let mut found = Vec::new();
    for row in table(&sheet, "## 1. Cloud-side metrics") {
        let yes = |at: usize| row[at].starts_with("yes");
        found.push(Fact {
            metric: name(row[0]),
            operators: operators(row[3]),
            duration: yes(4),
            statistical: yes(5),
            dimension: yes(7),
        });
    }
    for row in table(&sheet, "## 2. Device-side metrics") {
        let (operators, duration) = (operators(row[3]), row[4].starts_with("yes"));
        found.push(Fact { metric: name(row[0]), operators, duration, statistical: false, dimension: false });
    }
    assert_eq!(found, facts());
    let custom: Vec<(String, Vec<String>)> =
        table(&sheet, "## 3. Custom metrics").iter().map(|row| (name(row[0]), operators(row[3]))).collect();
    assert_eq!(custom, CUSTOM.map(|(kind, words, ..)| (kind.to_owned(), operators(words))));
    let fields = table(&sheet, "## 5. Behavior and criteria fields");
    let rule = |field: &str| fields.iter().find(|row| row[0].contains(field)).unwrap()[1].to_owned();
    assert!(rule("criteria.durationSeconds").starts_with("300, 600, 900, 1800 or 3600"));
    assert_eq!(rule("criteria.statisticalThreshold.statistic"), STATISTICS.map(|(name, _)| name).join(", "));
    assert!(rule("consecutiveDatapointsToAlarm").starts_with("1..10"));
    // Every metric that the program knows is in the sheet, and the other way round.
    let known =
        fleet::metric::AwsMetric::ALL.map(|metric| metric.name().trim_start_matches("aws:").to_owned());
    assert_eq!(known.to_vec(), facts().into_iter().map(|fact| fact.metric).collect::<Vec<_>>());
}

/// Events of `thing` from second `at` on that give the metric this value in one window.
fn events(metric: &str, thing: &str, value: u32, at: u32) -> String {
    let repeated = |line: &str| format!("{at} {line}\n").repeat(value as usize);
    let report = |block: &str| format!("{at} report {thing} {block} #{}\n", at * 1000 + value);
    match metric {
        "message-byte-size" => format!("{at} publish {thing} {value} up/x\n"),
        "num-messages-sent" => repeated(&format!("publish {thing} 10 up/x")),
        "num-messages-received" => repeated(&format!("deliver {thing} up/x")),
        "num-authorization-failures" => repeated(&format!("deny {thing} up/x")),
        "num-connection-attempts" => repeated(&format!("connect {thing}")),
        "num-disconnects" => repeated(&format!("disconnect {thing}")),
        "all-bytes-out" | "all-bytes-in" | "all-packets-out" | "all-packets-in" => report(&format!(
            r#"{{"network_stats":{{"bytes_in":{value},"bytes_out":{value},"packets_in":{value},"packets_out":{value}}}}}"#
        )),
        "num-listening-tcp-ports" => {
            report(&format!(r#"{{"listening_tcp_ports":{{"ports":[],"total":{value}}}}}"#))
        }
        "num-listening-udp-ports" => {
            report(&format!(r#"{{"listening_udp_ports":{{"ports":[],"total":{value}}}}}"#))
        }
        "num-established-tcp-connections" => report(&format!(
            r#"{{"tcp_connections":{{"established_connections":{{"connections":[],"total":{value}}}}}}}"#
        )),
        other => panic!("no events for {other}"),
    }
}

/// The same for a list with one element, which is in the criterion's set or not.
fn list_events(metric: &str, inside: bool) -> String {
    let (ip, port) = if inside { ("10.0.0.1", 22) } else { ("192.0.2.1", 23) };
    match metric {
        "source-ip-address" => format!("1 connect a {ip}\n2 publish a 10 up/x\n"),
        "listening-tcp-ports" => {
            format!(
                "1 report a {{\"listening_tcp_ports\":{{\"ports\":[{{\"port\":{port}}}],\"total\":1}}}}\n"
            )
        }
        "listening-udp-ports" => {
            format!(
                "1 report a {{\"listening_udp_ports\":{{\"ports\":[{{\"port\":{port}}}],\"total\":1}}}}\n"
            )
        }
        "destination-ip-addresses" => format!(
            "1 report a {{\"tcp_connections\":{{\"established_connections\":{{\"connections\":[{{\"remote_addr\":\"{ip}:443\"}}],\"total\":1}}}}}}\n"
        ),
        other => panic!("no list for {other}"),
    }
}

fn alarms(behavior: &str, script: &str) -> Vec<String> {
    let mut engine = engine(&rules(&[behavior]), &Registry::default(), 2);
    let transitions = text(&fold(&mut engine, script));
    let alarms = transitions.lines().filter(|line| line.contains(" alarm "));
    alarms.map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
}

fn holds(operator: &str, value: u32, bound: u32) -> bool {
    match operator {
        "less-than" => value < bound,
        "less-than-equals" => value <= bound,
        "greater-than" => value > bound,
        "greater-than-equals" => value >= bound,
        other => panic!("{other} compares no numbers"),
    }
}

#[test]
fn every_number_is_judged_by_every_operator_and_duration() {
    let mut judged = 0;
    for fact in facts() {
        let numeric = fact.operators.iter().any(|operator| operator == "less-than");
        if !numeric || fact.metric == "disconnect-duration" {
            continue;
        }
        for operator in &fact.operators {
            let durations: Vec<Option<u32>> =
                if fact.duration { DURATIONS.map(Some).to_vec() } else { vec![None] };
            for duration in durations {
                for value in [4, 5, 6] {
                    let window = duration.map_or_else(String::new, |secs| format!(" in {secs}"));
                    let behavior = format!("b: {} {operator} 5{window}", fact.metric);
                    let end = duration.unwrap_or(300) + 2;
                    let script = format!("{}{end} tick", events(&fact.metric, "a", value, 10));
                    let expected = if holds(operator, value, 5) { vec![] } else { vec!["a".to_owned()] };
                    assert_eq!(alarms(&behavior, &script), expected, "{behavior}\n{script}");
                    judged += 1;
                }
            }
        }
    }
    assert_eq!(judged, (5 + 7) * 4 * 5 * 3 + 4 * 3);
}

#[test]
fn time_away_is_judged_by_both_operators() {
    for (operator, minutes, alarmed) in [
        ("less-than", 5, true),
        ("less-than-equals", 5, false),
        ("less-than", 6, false),
        ("less-than-equals", 4, true),
    ] {
        let behavior = format!("b: disconnect-duration {operator} {minutes}");
        let found = alarms(&behavior, "1 connect a\n300 disconnect a\n602 tick");
        assert_eq!(!found.is_empty(), alarmed, "{behavior}");
    }
}

#[test]
fn every_list_is_judged_by_every_operator() {
    for fact in facts() {
        for operator in fact.operators.iter().filter(|operator| operator.contains("in-")) {
            let value =
                if operator.contains("port") { r#"{"ports":[22]}"# } else { r#"{"cidrs":["10.0.0.0/8"]}"# };
            let narrowed = if fact.dimension { vec!["", " on up"] } else { vec![""] };
            for narrowed in narrowed {
                let behavior = format!("b: {} {operator} {value}{narrowed}", fact.metric);
                for inside in [true, false] {
                    let compliant = inside != operator.starts_with("not-");
                    let found = alarms(&behavior, &list_events(&fact.metric, inside));
                    assert_eq!(found.is_empty(), compliant, "{behavior} {inside}");
                }
            }
        }
    }
}

#[test]
fn every_statistic_is_judged_by_every_operator() {
    for fact in facts().into_iter().filter(|fact| fact.statistical) {
        let events: String =
            (1..=10).map(|value| events(&fact.metric, &format!("t{value:02}"), value, 10)).collect();
        for (statistic, rank) in STATISTICS {
            for operator in &fact.operators {
                let behavior = format!("b: {} {operator} {statistic} in 300", fact.metric);
                let bound = u32::try_from(rank).unwrap();
                let expected: Vec<String> = (1..=10)
                    .filter(|&value| !holds(operator, value, bound))
                    .map(|value| format!("t{value:02}"))
                    .collect();
                assert_eq!(alarms(&behavior, &format!("{events}302 tick")), expected, "{behavior}");
            }
        }
    }
}

#[test]
fn every_dimension_is_judged_inside_and_outside() {
    for fact in facts().into_iter().filter(|fact| fact.dimension && fact.metric != "source-ip-address") {
        let window = if fact.duration { " in 300" } else { "" };
        let script = format!("{}302 tick", events(&fact.metric, "a", 6, 10));
        for (narrowed, counts) in [("on up", true), ("off up", false), ("on cmd", false), ("off cmd", true)] {
            let behavior = format!("b: {} less-than 5{window} {narrowed}", fact.metric);
            assert_eq!(alarms(&behavior, &script).is_empty(), !counts, "{behavior}");
        }
    }
}

#[test]
fn every_custom_type_is_judged_by_every_operator() {
    for (kind, words, value, inside, outside) in CUSTOM {
        for operator in operators(words) {
            let behavior = format!("b: ~m {operator} {value}");
            let report = |item: &str| format!("1 report a custom {{\"m\":[{{{item}}}]}}");
            if kind == "number" {
                for number in [4, 5, 6] {
                    let found = alarms(&behavior, &report(&format!("\"number\":{number}")));
                    assert_eq!(found.is_empty(), holds(&operator, number, 5), "{behavior} {number}");
                }
                continue;
            }
            for (item, is_inside) in [(inside, true), (outside, false)] {
                let compliant = is_inside != operator.starts_with("not-");
                assert_eq!(alarms(&behavior, &report(item)).is_empty(), compliant, "{behavior} {item}");
            }
        }
    }
}

#[test]
fn every_number_of_consecutive_datapoints_is_waited_for() {
    let report = |at: u32, ports: u32| {
        format!("{at} report a {{\"listening_tcp_ports\":{{\"ports\":[],\"total\":{ports}}}}}\n")
    };
    for count in 1..=10 {
        let behavior = format!("b: num-listening-tcp-ports less-than 5 alarm {count} clear {count}");
        let mut engine = engine(&rules(&[&behavior]), &Registry::default(), 1);
        let bad: String = (1..=count).map(|at| report(at, 9)).collect();
        let good: String = (1..=count).map(|at| report(count + at, 1)).collect();
        let found = text(&fold(&mut engine, &format!("{bad}{good}")));
        let expected = format!(
            "{count} alarm a b {{\"count\":9}} certain\n{} clear a b {{\"count\":1}} certain",
            2 * count
        );
        assert_eq!(found, expected);
    }
}
