//! What is held back: more things than the guard rail allows, and everything until acting is switched on.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    mosquitto::Mosquitto,
    support::{
        devices::{Device, administer, both_topics, broker, heard, sources},
        program::Home,
        until_is,
        webhook::Receiver,
    },
};

fn home(broker: &Mosquitto, response: &str, alerts: &str) -> Home {
    let home = Home::new();
    home.quarantine_action();
    home.profile(
        "fleet",
        &json!([{"name": "sends-too-much", "metric": "aws:message-byte-size",
                 "criteria": {"comparisonOperator": "less-than", "value": {"count": 4000},
                              "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}}]),
    );
    let rule = "[[response.rules]]\naction = \"quarantine\"\n\n";
    home.configure(&[&sources(broker), response, rule, alerts].concat());
    home
}

fn clients(broker: &Mosquitto) -> Value {
    administer(
        broker,
        &json!({"commands": [{"command": "listClients", "verbose": true}, {"command": "listRoles", "verbose": true}]}),
    )
}

#[test]
fn dry_run_until_told_otherwise_and_then_so_many_and_no_more() {
    let broker = broker(&["first", "second", "third"]);
    let device = |name, address| Device { broker: &broker, name, address };
    let [first, second, third] =
        [device("first", "127.0.0.31"), device("second", "127.0.0.32"), device("third", "127.0.0.33")];
    let (receiver, folder) = (Receiver::start(), TempDir::new().unwrap());
    let alerts = receiver.config(folder.path());
    let pair = |thing: &str, word: &str| (thing.to_owned(), word.to_owned());

    // Acting is off: recorded and told, and nothing at the broker is touched.
    let before = clients(&broker);
    let dry = home(&broker, "[response]\nacting = false\n\n", &alerts);
    let serve = dry.serve();
    third.publish(&third.topic(), &"x".repeat(5000));
    until_is("the dry run is recorded", || dry.tasks(), |tasks| *tasks == [pair("third", "dry-run")]);
    until_is("and told", || receiver.notices(), |notices| *notices == [pair("third", "dry-run")]);
    assert_eq!(receiver.alarms("in-alarm"), ["third"]);
    assert_eq!(heard(&broker, &[third]), both_topics(&["third"]));
    assert_eq!(clients(&broker), before);
    assert_eq!(broker.log_count("disconnected by administrative action"), 0);
    serve.stop();
    assert!(dry.done(&["verify-log"]).contains("unbroken"));

    // Acting is on, for one thing in ten minutes.
    let limits = "[response]\nacting = true\n\n[response.limits]\nthings_max = 1\n\n";
    let rail = home(&broker, limits, &alerts);
    let serve = rail.serve();
    // The log is read from its start, so `third` is the one that is acted on.
    until_is("the first is quarantined", || rail.tasks(), |tasks| *tasks == [pair("third", "verified")]);
    for device in [first, second] {
        device.publish(&device.topic(), &"x".repeat(5000));
    }
    let wanted = [pair("first", "held"), pair("second", "held"), pair("third", "verified")];
    until_is("the others are held", || rail.tasks(), |tasks| *tasks == wanted);
    until_is(
        "the first that was held is told",
        || receiver.notices(),
        |notices| notices.iter().any(|(_, kind)| kind == "held"),
    );
    until_is(
        "all are alarmed",
        || receiver.alarms("in-alarm"),
        |things| *things == ["first", "second", "third"],
    );
    assert_eq!(heard(&broker, &[first, second, third]), both_topics(&["first", "second"]));
    let shown = rail.done(&["tasks"]);
    assert_eq!(shown.lines().filter(|line| line.contains(" held ")).count(), 2, "{shown}");
    serve.stop();
}
