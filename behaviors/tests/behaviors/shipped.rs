//! Files that must be read without a word: the starter profiles, and all of the AWS form.

use std::path::Path;

use behaviors::{
    profile::{Evaluation, Profiles, parse_files},
    set::EntityKind,
};

fn read(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn without_problems(files: &[(String, String)]) -> Profiles {
    let (profiles, problems) = parse_files(files);
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, [""; 0]);
    profiles
}

#[test]
fn the_starter_profiles_watch_all_things_and_silence_the_registered_ones() {
    let profiles = without_problems(&read("../profiles"));
    assert!(profiles.len() >= 3);
    for profile in profiles.iter() {
        assert!(profile.description.is_some(), "{} has no description", profile.name);
        let targets = if profile.name.as_str() == "silence" { "all/registered-things" } else { "all/things" };
        assert!(profile.targets.iter().all(|target| target.to_string() == targets));
        assert!(profile.behaviors.iter().all(|behavior| behavior.evaluation() == Evaluation::Now));
    }
    let compiled = profiles.compile(300);
    let text: Vec<String> = compiled
        .behaviors()
        .map(|behavior| {
            format!("{} {}: {} {}", behavior.profile, behavior.name, behavior.metric, behavior.expected)
        })
        .collect();
    assert_eq!(
        text,
        [
            "across-the-fleet cloned-identity: fleetward:takeovers less-than 3 in 300 s",
            "across-the-fleet unknown-device: fleetward:unknown-devices less-than 1 in 300 s",
            "across-the-fleet credential-stuffing: aws:num-authorization-failures less-than 10 different things in 300 s",
            "across-the-fleet brute-force-on-one-client-id: aws:num-authorization-failures less-than 5 different source-ips in 900 s",
            "across-the-fleet certificate-of-several-client-ids: aws:num-connection-attempts not above the usual level (outlier), 0.0001 false alarms, learns 24 datapoints, remembers 24, ignores below 3, different things in 3600 s",
            "across-the-fleet claim-creates-too-many-things: fleetward:new-things not above the usual level (outlier), 0.0001 false alarms, learns 24 datapoints, remembers 24, ignores below 20, in 3600 s",
            "across-the-fleet reconnect-storm: fleetward:hasty-reconnects less-than 100 in 300 s",
            "across-the-fleet mass-disconnect-of-a-group: fleetward:disconnected-things less-than 50",
            "across-the-fleet mass-disconnect: fleetward:disconnected-things less-than 80",
            "across-the-fleet broker-starts-again-and-again: fleetward:broker-starts less-than 3 in 300 s",
            "across-the-fleet protocol-errors-from-one-address: fleetward:protocol-errors less-than 3 in 900 s",
            "across-the-fleet tls-failures-from-one-address: fleetward:tls-failures less-than 5 in 900 s",
            "across-the-fleet tls-failures: fleetward:tls-failures less-than 5 in 900 s",
            "across-the-fleet probing-from-one-address: fleetward:connection-errors less-than 5 in 3600 s",
            "across-the-fleet probe-from-the-internet: fleetward:probes less-than 1 in 3600 s",
            "device-network data-exfiltration: aws:all-bytes-out less-than 50000000 in 300 s",
            "device-network too-many-open-tcp-ports: aws:num-listening-tcp-ports less-than 10",
            "device-network too-many-tcp-connections: aws:num-established-tcp-connections less-than 100",
            "device-network backdoor-or-telnet-port: aws:listening-tcp-ports not-in-port-set 23, 2323, 4444, 5555, 6666, 6667, 6697, 12345, 12346, 27374, 31337, 48101",
            "logins-and-connections refused-again-and-again: aws:num-authorization-failures less-than 5 in 300 s",
            "logins-and-connections connects-too-often: aws:num-connection-attempts less-than 20 in 300 s",
            "logins-and-connections drops-out-too-often: aws:num-disconnects less-than 10 in 300 s",
            "logins-and-connections password-guessing-from-one-address: aws:num-authorization-failures less-than 5 in 600 s",
            "logins-and-connections too-many-connections-from-one-address: aws:num-connection-attempts less-than 200 in 300 s",
            "messages oversized-message: aws:message-byte-size less-than 65536",
            "messages message-flood: aws:num-messages-sent less-than 600 in 300 s",
            "silence silent-for-an-hour: aws:disconnect-duration less-than 60",
        ]
    );
    let by_address = compiled.groups().iter().find(|group| group.kind == EntityKind::ADDRESS).unwrap();
    assert_eq!(by_address.set.len(), 7);
    assert!(by_address.set.behaviors().iter().all(|behavior| behavior.entity == EntityKind::ADDRESS));
}

#[test]
fn every_key_of_the_aws_form_is_read() {
    let text = include_str!("../../testdata/aws-form.json");
    let dimension = r#"{"name":"telemetry","type":"TOPIC_FILTER","stringValues":["dt/${iot:ClientId}/#"]}"#;
    let files = [("aws-form.json".into(), text.into()), ("dimension.json".into(), dimension.into())];
    let profiles = without_problems(&files);
    assert_eq!(profiles.dimensions().len(), 1);
    let profile = profiles.profile("Fleet-2:pumps_v1").unwrap();
    let targets: Vec<String> = profile.targets.iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["all/unregistered-things", "thinggroup/pumps"]);
    assert_eq!(profile.behaviors.len(), 6);
    assert_eq!(profile.behaviors[5].evaluation(), Evaluation::CollectOnly);
    assert_eq!(profile.alert_target.as_ref().unwrap().role_arn, "arn:aws:iam::123456789012:role/alarms");
    assert_eq!(profile.retained.len(), 3);
    assert_eq!(profile.retained[1].dimension.as_ref().unwrap().name, "telemetry");
    assert_eq!(profile.tags["team"], "water");
    assert_eq!(profile.export.as_ref().unwrap().mqtt_topic, "export/metrics");
    let compiled = profiles.compile(300);
    let battery = compiled.behaviors().last().unwrap();
    assert!(battery.suppress && battery.to_alarm == 2 && battery.to_clear == 1);
    assert_eq!(&*battery.expected, "greater-than-equals 12.5");
    assert_eq!(
        &*battery.json,
        r#"{"name":"Battery","metric":"battery-percent","criteria":{"comparisonOperator":"greater-than-equals","value":{"number":12.5},"consecutiveDatapointsToAlarm":2},"suppressAlerts":true}"#
    );
}
