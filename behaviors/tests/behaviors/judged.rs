//! Judgements under `fleetward`: what is read, what is said of mistakes, and what is compiled.

use behaviors::{
    profile::{Evaluation, parse_files},
    set::Behavior,
};

fn files(behavior: &str) -> Vec<(String, String)> {
    let text = format!(
        "{{\"securityProfileName\":\"p\",\"fleetward\":{{\"targets\":[\"arn:aws:iot:r:1:all/things\"]}},\"behaviors\":[\n{behavior}\n]}}"
    );
    vec![("p.json".into(), text)]
}

/// The behavior of a metric with this under `fleetward` and these criteria.
fn behavior(metric: &str, own: &str, criteria: &str) -> std::sync::Arc<Behavior> {
    let json = format!(r#"{{"name":"b","metric":"{metric}","fleetward":{own},"criteria":{criteria}}}"#);
    crate::behavior(&json)
}

/// What is expected, the window and the words of state.
#[track_caller]
fn check(metric: &str, own: &str, expected: &str, window: Option<u32>, words: usize) {
    let behavior = behavior(metric, own, "{}");
    assert_eq!(&*behavior.expected, expected);
    assert_eq!(behavior.window, window, "{own}");
    assert_eq!(behavior.learned().unwrap().words(), words, "{own}");
}

#[test]
fn defaults() {
    check(
        "aws:num-messages-sent",
        r#"{"baseline":{}}"#,
        "not above the usual level (outlier), 0.0001 false alarms, learns 288 datapoints, remembers 288, in 300 s",
        Some(300),
        4,
    );
    check(
        "aws:all-bytes-out",
        r#"{"baseline":{"season":"hour-of-week"}}"#,
        "not above the usual hour of the week (outlier), 0.0001 false alarms, learns 4032 datapoints, remembers 12",
        None,
        4 + 1 + 84,
    );
    check(
        "aws:num-authorization-failures",
        r#"{"counts":{}}"#,
        "usual negative-binomial rate, 0.0001 false alarms, learns 288 of 2016 windows, in 300 s",
        Some(300),
        5,
    );
    check(
        "aws:destination-ip-addresses",
        r#"{"learn":{}}"#,
        "known values, learnt in 604800 s and 100 observations, at most 16, prefixes 32 and 64, each new one once",
        None,
        19,
    );
    check("aws:num-messages-sent", r#"{"silence":{"seconds":3600}}"#, "heard of within 3600 s", Some(300), 1);
    check(
        "heartbeat",
        r#"{"silence":{}}"#,
        "heard of as usual, 0.0001 false alarms, learns 24 h, at least 60 s",
        Some(60),
        7,
    );
    check(
        "aws:disconnect-duration",
        r#"{"absence":{"after":["takeover","connection-lost"]}}"#,
        "back within 120 s after connection-lost, takeover",
        Some(15),
        1,
    );
    check(
        "aws:num-disconnects",
        r#"{"flapping":{}}"#,
        "at most 10 session changes in 600 s, calm at 5",
        Some(60),
        2,
    );
    check("device-time", r#"{"clock":{}}"#, "clock (s) within 60 s", None, 7);
}

#[test]
fn everything_can_be_chosen() {
    check(
        "temperature",
        r#"{"baseline":{"season":"hour-of-day","chart":"cusum","direction":"both","falseAlarmsPerDatapoint":0.001,"learnDatapoints":50,"memoryDatapoints":7,"ignoreBelow":-3,"learnInAlarm":false,"resolution":0.5}}"#,
        "near the usual hour of the day (cusum), 0.001 false alarms, learns 50 datapoints, remembers 7, resolution 0.5, ignores below -3, not in alarm",
        None,
        6 + 1 + 12,
    );
    check(
        "aws:num-messages-sent",
        r#"{"counts":{"model":"poisson","falseAlarmsPerDatapoint":0.01,"learnDatapoints":9,"memoryDatapoints":10,"learnInAlarm":false}}"#,
        "usual poisson rate, 0.01 false alarms, learns 9 of 10 windows, not in alarm, in 300 s",
        Some(300),
        5,
    );
    check(
        "aws:source-ip-address",
        r#"{"learn":{"learnSeconds":60,"learnObservations":2,"capacity":64,"remember":false,"ipv4Prefix":24,"ipv6Prefix":48}}"#,
        "known values, learnt in 60 s and 2 observations, at most 64, prefixes 24 and 48, new ones always",
        None,
        67,
    );
    check(
        "aws:all-bytes-out",
        r#"{"baseline":{"season":"hour-of-day","warmUp":"group"}}"#,
        "not above the usual hour of the day (outlier), 0.0001 false alarms, learns 864 datapoints, remembers 12, until then that of its group",
        None,
        4 + 1 + 12,
    );
    check(
        "aws:source-ip-address",
        r#"{"learn":{"capacity":1024,"of":"fleet"}}"#,
        "known values, learnt in 604800 s and 100 observations, at most 1024, prefixes 32 and 64, of the whole fleet, each new one once",
        None,
        0,
    );
    check(
        "device-time",
        r#"{"clock":{"unit":"milliseconds","offsetSeconds":1.5,"driftPpm":200}}"#,
        "clock (ms) within 1.5 s, drift within 200 ppm",
        None,
        7,
    );
}

#[test]
fn windows_and_runs_come_from_the_criteria() {
    let criteria =
        r#"{"durationSeconds":3600,"consecutiveDatapointsToAlarm":3,"consecutiveDatapointsToClear":2}"#;
    let behavior = behavior("aws:num-messages-sent", r#"{"baseline":{}}"#, criteria);
    assert_eq!((behavior.window, behavior.to_alarm, behavior.to_clear), (Some(3600), 3, 2));
    assert!(behavior.expected.contains("learns 24 datapoints, remembers 24"), "{}", behavior.expected);
    assert!(!behavior.json.contains("fleetward"), "{}", behavior.json);
}

#[test]
fn each_setting_makes_another_fingerprint() {
    let all = [
        r#"{"baseline":{}}"#,
        r#"{"baseline":{"season":"hour-of-day"}}"#,
        r#"{"baseline":{"chart":"ewma"}}"#,
        r#"{"baseline":{"direction":"both"}}"#,
        r#"{"baseline":{"falseAlarmsPerDatapoint":0.001}}"#,
        r#"{"baseline":{"learnDatapoints":5}}"#,
        r#"{"baseline":{"memoryDatapoints":5}}"#,
        r#"{"baseline":{"ignoreBelow":5}}"#,
        r#"{"baseline":{"learnInAlarm":false}}"#,
        r#"{"baseline":{"resolution":2}}"#,
        r#"{"counts":{}}"#,
        r#"{"counts":{"model":"poisson"}}"#,
        r#"{"silence":{}}"#,
        r#"{"silence":{"seconds":60}}"#,
        r#"{"silence":{"atLeastSeconds":61}}"#,
        r#"{"learn":{"topicLevels":1}}"#,
        r#"{"learn":{"topicLevels":2}}"#,
    ];
    let mut prints: Vec<u64> =
        all.iter().map(|own| behavior("aws:num-messages-sent", own, "{}").fingerprint).collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), all.len());
}

#[track_caller]
fn says(behavior: &str, expected: &[&str]) {
    let (_, problems) = parse_files(&files(behavior));
    // Where in the line they are is tested with the other problems.
    let problems: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.place, problem.message)).collect();
    assert_eq!(problems, expected, "{behavior}");
}

#[test]
fn mistakes_are_named() {
    let own = |metric: &str, own: &str| format!(r#"{{"name":"b","metric":"{metric}","fleetward":{own}}}"#);
    says(
        &own("aws:num-messages-sent", r#"{"baselin":{}}"#),
        &["behaviors[0].fleetward.baselin: unknown key `baselin`; did you mean `baseline`?"],
    );
    says(
        &own("aws:num-messages-sent", r#"{"silence":{"second":9}}"#),
        &["behaviors[0].fleetward.silence.second: unknown key `second`; did you mean `seconds`?"],
    );
    says(
        &own("aws:num-messages-sent", r#"{"silence":{"seconds":9},"counts":{}}"#),
        &["behaviors[0].fleetward.silence: has `counts`, `silence`; at most one of them is allowed"],
    );
    says(
        &own("aws:num-messages-sent", r#"{"silence":{"seconds":9,"learnHours":3}}"#),
        &[
            "behaviors[0].fleetward.silence.learnHours: is not allowed with `seconds`: that is fixed, and nothing is learnt",
        ],
    );
    says(
        &own("aws:listening-tcp-ports", r#"{"counts":{}}"#),
        &[
            "behaviors[0].fleetward.counts: does not fit `aws:listening-tcp-ports`; a test of counts fits `aws:num-messages-sent`, `aws:num-messages-received`, `aws:num-authorization-failures`, `aws:num-connection-attempts`, `aws:num-disconnects`",
        ],
    );
    says(
        &own("aws:num-messages-sent", r#"{"absence":{"after":["tired"]}}"#),
        &[
            "behaviors[0].fleetward.absence: does not fit `aws:num-messages-sent`; it fits `aws:disconnect-duration`",
            "behaviors[0].fleetward.absence.after[0]: found `tired`; allowed are `clean`, `connection-lost`, `keep-alive-timeout`, `takeover`, `kicked`, `not-authorized`, `tls-error`, `protocol-error`, `unknown`",
        ],
    );
    says(
        &own("aws:num-disconnects", r#"{"flapping":{"most":3,"calm":4}}"#),
        &["behaviors[0].fleetward.flapping.calm: found `4`; allowed are whole numbers from 0 to 3"],
    );
    says(
        &own("aws:num-messages-sent", r#"{"baseline":{"falseAlarmsPerDatapoint":0.5}}"#),
        &[
            "behaviors[0].fleetward.baseline.falseAlarmsPerDatapoint: found `0.5`; allowed are numbers from 0.000001 to 0.1",
        ],
    );
    says(
        r#"{"name":"b","metric":"aws:num-messages-sent","fleetward":{"counts":{}},"criteria":{"comparisonOperator":"less-than"}}"#,
        &[
            "behaviors[0].criteria.comparisonOperator: is not allowed with a judgement under `fleetward`; leave one of them out",
        ],
    );
}

#[test]
fn a_learned_behavior_is_evaluated() {
    let (profiles, problems) = parse_files(&files(
        r#"{"name":"b","metric":"aws:num-messages-sent","fleetward":{"silence":{"seconds":60}}}"#,
    ));
    assert_eq!(problems, []);
    assert_eq!(profiles.iter().next().unwrap().behaviors[0].evaluation(), Evaluation::Now);
}

/// Files of a folder of the repository, by name.
fn folder(folder: &str) -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn the_shipped_profiles_are_evaluated_and_use_every_judgement() {
    let (profiles, problems) = parse_files(&folder("profiles/learned"));
    assert_eq!(problems, []);
    let compiled = profiles.compile(300);
    let keys: std::collections::BTreeSet<&str> =
        compiled.behaviors().filter_map(|behavior| behavior.learned().map(|rule| rule.key())).collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    let definitions: Vec<_> = profiles.iter().flat_map(|profile| &profile.behaviors).collect();
    assert!(definitions.iter().all(|definition| definition.evaluation() == Evaluation::Now));
    assert_eq!(definitions.len(), compiled.behaviors().count());
}

#[test]
fn the_examples_of_the_documentation_are_read_without_a_word() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/profiles-learned.md");
    let text = std::fs::read_to_string(path).unwrap();
    let examples: Vec<&str> =
        text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 8);
    for example in examples {
        says(example, &[]);
    }
}
