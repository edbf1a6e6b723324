//! Behavior sets: which behaviors apply to whom, in which order, and when state outlives a change.

use behaviors::{
    profile::{Profiles, parse_files},
    set::{BehaviorSet, Compiled},
    slot::Slot,
};
use fleet::{metric::AwsMetric, registry::Registry};

fn profiles(text: &str) -> Profiles {
    let (profiles, problems) = parse_files(&[("p.json".into(), text.into())]);
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, [""; 0]);
    profiles
}

fn behavior(name: &str, metric: &str, rest: &str) -> String {
    format!(
        r#"{{"name":"{name}","metric":"{metric}","criteria":{{"comparisonOperator":"less-than","value":{{"count":5}}{rest}}}}}"#
    )
}

fn profile(name: &str, targets: &[&str], behaviors: &[String]) -> String {
    let targets: Vec<String> =
        targets.iter().map(|target| format!(r#""arn:aws:iot:r:1:{target}""#)).collect();
    format!(
        r#"{{"securityProfileName":"{name}","fleetward":{{"targets":[{}]}},"behaviors":[{}]}}"#,
        targets.join(","),
        behaviors.join(",")
    )
}

fn registry() -> Registry {
    serde_json::from_str(
        r#"{"groups":{"plant":{},"hall":{"parent":"plant"}},
            "things":{"pump":{"groups":["hall"]},"valve":{"groups":["plant"]},"lamp":{}}}"#,
    )
    .unwrap()
}

fn names(set: &BehaviorSet) -> String {
    set.behaviors()
        .iter()
        .map(|behavior| format!("{}/{}", behavior.profile, behavior.name))
        .collect::<Vec<_>>()
        .join(" ")
}

fn fleet_profiles() -> Compiled {
    let sent = |name: &str| behavior(name, "aws:num-messages-sent", r#","durationSeconds":600"#);
    let text = [
        profile("z-all", &["all/things"], &[sent("b"), sent("a")]),
        profile("hall", &["thinggroup/hall"], &[sent("x")]),
        profile(
            "plant",
            &["thinggroup/plant", "thinggroup/hall"],
            &[behavior("y", "aws:message-byte-size", "")],
        ),
        profile("known", &["all/registered-things"], &[behavior("k", "aws:all-bytes-in", "")]),
        profile("strange", &["all/unregistered-things"], &[sent("u")]),
    ];
    profiles(&format!("[{}]", text.join(","))).compile(300)
}

#[test]
fn a_thing_has_the_behaviors_of_the_profiles_whose_target_it_is() {
    let (compiled, registry) = (fleet_profiles(), registry());
    let of = |thing: &str| names(compiled.set(compiled.set_for(thing, &registry)));
    assert_eq!(of("pump"), "hall/x known/k plant/y z-all/b z-all/a");
    assert_eq!(of("valve"), "known/k plant/y z-all/b z-all/a");
    assert_eq!(of("lamp"), "known/k z-all/b z-all/a");
    assert_eq!(of("stranger"), "strange/u z-all/b z-all/a");
    assert!(compiled.groups().is_empty());
}

#[test]
fn things_with_the_same_profiles_share_a_set() {
    let (compiled, registry) = (fleet_profiles(), registry());
    let first = compiled.set_for("stranger-0", &registry);
    let pump = compiled.set_for("pump", &registry);
    assert!((1..1000).all(|n| compiled.set_for(&format!("stranger-{n}"), &registry) == first));
    assert_ne!(first, pump);
    assert_eq!(compiled.set_for("pump", &registry), pump);
    assert_eq!(compiled.overflowed(), 0);
}

#[test]
fn a_borrowed_set_stays_while_others_are_made() {
    let one = |n: usize| {
        profile(&format!("p{n}"), &[&format!("thinggroup/g{n}")], &[behavior("b", "aws:all-bytes-in", "")])
    };
    let all: Vec<String> = (0..12).map(one).collect();
    let compiled = profiles(&format!("[{}]", all.join(","))).compile(300);
    let mut registry = Registry::default();
    // One thing for each of the 4096 combinations of groups.
    for thing in 0..1_u32 << 12 {
        for group in (0..12).filter(|group| thing >> group & 1 == 1) {
            let (thing, group) = (format!("t{thing}").parse().unwrap(), format!("g{group}").parse().unwrap());
            registry = registry.with_member(&thing, &group);
        }
    }
    let first = compiled.set(compiled.set_for("t1", &registry));
    let mut ids = std::collections::BTreeSet::new();
    for thing in 0..1_u32 << 12 {
        let id = compiled.set_for(&format!("t{thing}"), &registry);
        assert!(ids.insert(id));
        assert_eq!(compiled.set(id).len(), thing.count_ones() as usize);
    }
    assert_eq!(names(first), "p0/b");
}

#[test]
fn listeners_are_found_by_metric_window_and_custom_name() {
    let behaviors = [
        behavior("a", "aws:num-messages-sent", r#","durationSeconds":600"#),
        behavior("b", "aws:message-byte-size", ""),
        behavior("c", "aws:num-messages-sent", r#","durationSeconds":300"#),
        behavior("d", "aws:all-bytes-in", ""),
        behavior("e", "temperature", "").replace("count", "number"),
        behavior("f", "temperature", r#","durationSeconds":600"#).replace("count", "number"),
        behavior("g", "aws:disconnect-duration", ""),
        r#"{"name":"h","metric":"aws:num-disconnects"}"#.into(),
    ];
    let compiled = profiles(&profile("p", &["all/things"], &behaviors)).compile(300);
    let set = compiled.set(compiled.set_for("t", &Registry::default()));
    assert_eq!(set.len(), 7);
    assert_eq!(set.listeners(AwsMetric::NumMessagesSent), [0, 2]);
    assert_eq!(set.listeners(AwsMetric::MessageByteSize), [1]);
    assert_eq!(set.listeners(AwsMetric::NumDisconnects), [0; 0]);
    assert_eq!(set.custom("temperature"), [4, 5]);
    assert_eq!(set.custom("temperatur"), [0; 0]);
    assert_eq!(set.windows(), [300, 600]);
    assert_eq!(set.windowed(300), [1, 2, 6]);
    assert_eq!(set.windowed(600), [0, 5]);
    assert_eq!(set.windowed(60), [0; 0]);
    assert_eq!(compiled.windows(), [300, 600]);
}

#[test]
fn the_bucket_is_the_window_of_what_names_none() {
    let behaviors =
        [behavior("b", "aws:message-byte-size", ""), behavior("g", "aws:disconnect-duration", "")];
    let all = profiles(&profile("p", &["all/things"], &behaviors));
    assert_eq!(all.compile(60).windows(), [60]);
    assert_eq!(all.compile(0).windows(), [1]);
}

#[test]
fn a_fingerprint_changes_with_what_decides_and_with_nothing_else() {
    let of = |text: &str, bucket: u32| profiles(text).compile(bucket).behaviors().next().unwrap().fingerprint;
    let ports = |ports: &str, rest: &str| {
        let text = format!(
            r#"{{"name":"b","metric":"aws:listening-tcp-ports",{rest}"criteria":{{"comparisonOperator":"in-port-set","value":{{"ports":[{ports}]}}}}}}"#
        );
        profile("p", &["all/things"], &[text])
    };
    let before = of(&ports("1, 2,3", ""), 300);
    assert_eq!(before, of(&ports("3,2,1,1", ""), 300));
    assert_eq!(before, of(&ports("1,2,3", r#""suppressAlerts":true,"#), 300));
    assert_eq!(before, of(&ports("1,2,3", "").replace("all/things", "thinggroup/g"), 300));
    assert_eq!(before, of(&ports("1,2,3", ""), 60));
    assert_ne!(before, of(&ports("1,2,4", ""), 300));
    assert_ne!(before, of(&ports("1,2,3", "").replace("in-port-set", "not-in-port-set"), 300));
    assert_ne!(before, of(&ports("1,2,3", "").replace("-tcp-", "-udp-"), 300));
    assert_ne!(before, of(&ports("1,2,3", "").replace("\"p\"", "\"q\""), 300));
    let many: Vec<String> = (1..200).map(|port| port.to_string()).collect();
    let (many, more) = (many.join(","), format!("{},300", many.join(",")));
    assert_ne!(of(&ports(&many, ""), 300), of(&ports(&more, ""), 300));
    let size = profile("p", &["all/things"], &[behavior("b", "aws:message-byte-size", "")]);
    assert_ne!(of(&size, 300), of(&size, 60));
    assert_ne!(of(&size, 300), of(&size.replace(":5}", ":6}"), 300));
}

#[test]
fn long_sets_are_shortened_in_messages() {
    let ports: Vec<String> = (1..=20).map(|port| port.to_string()).collect();
    let json = format!(
        r#"{{"name":"b","metric":"aws:listening-tcp-ports","criteria":{{"comparisonOperator":"in-port-set","value":{{"ports":[{}]}}}}}}"#,
        ports.join(",")
    );
    assert_eq!(
        &*super::behavior(&json).expected,
        "in-port-set 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 and 4 more"
    );
}

#[test]
fn a_slot_is_24_bytes() {
    assert_eq!(size_of::<Slot>(), 16);
}
