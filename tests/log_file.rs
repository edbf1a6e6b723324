//! Following the broker's log through everything that happens to a log: rotation, a restart of the
//! broker, Fleetward away and back. Nothing is lost, nothing counted twice.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    mosquitto::{Mosquitto, Setup, Who},
    support::{
        program::Home,
        truth::{assert_same_lines, assert_stored, journaled, replayed, stored},
        until, until_is,
    },
};

/// Publishes more than is allowed, as `client`.
fn shout(broker: &Mosquitto, client: &str) {
    let (ok, said) =
        broker.publish(&Who::Anonymous, &["-i", client, "-q", "1", "-t", "data", "-m", &"x".repeat(5000)]);
    assert!(ok, "{said}");
}

/// Waits until exactly these have been alarmed for shouting.
#[track_caller]
fn until_alarmed(home: &Home, names: &[&str]) {
    let alarmed = || -> Vec<String> {
        let rows = home.rows("transitions");
        let began = rows.iter().filter(|row| row["kind"] == "in-alarm");
        let mut things: Vec<String> =
            began.map(|row| row["entity"]["thing"].as_str().unwrap().to_owned()).collect();
        things.sort();
        things
    };
    until_is(&format!("{names:?} are alarmed, each once"), alarmed, |found| found == names);
}

#[test]
fn rotation_restarts_and_absence_lose_and_double_nothing() {
    let mut broker = Setup::plain().start();
    let log = broker.file("m.log");
    let home = Home::new();
    home.profile(
        "fleet",
        &json!([{"name": "shouts", "metric": "aws:message-byte-size",
                 "criteria": {"comparisonOperator": "less-than", "value": {"count": 4000},
                              "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}}]),
    );
    home.configure(&format!(
        "[[source.mosquitto_log]]\nname = \"broker-log\"\npath = \"{}\"\nfrom = \"start\"\ndebug = true\nsubscribe = true\n",
        log.display()
    ));
    shout(&broker, "a-before");
    let serve = home.serve();
    until_alarmed(&home, &["a-before"]);
    shout(&broker, "b-running");
    until_alarmed(&home, &["a-before", "b-running"]);

    // Rotation as logrotate does it: rename, then tell the broker, which still writes to the old file until then.
    let rotated = broker.file("m.log.1");
    fs::rename(&log, &rotated).unwrap();
    shout(&broker, "c-renamed");
    let id = i32::try_from(broker.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::HUP).unwrap();
    until("the broker has a new log", || if log.exists() { Ok(()) } else { Err(String::new()) });
    shout(&broker, "d-rotated");
    until_alarmed(&home, &["a-before", "b-running", "c-renamed", "d-rotated"]);
    let status = home.get("/fleetward/v1/status");
    assert_eq!((&status["sources"][0]["rotations"], &status["sources"][0]["gaps"]), (&json!(1), &json!(0)));

    // Fleetward is away, in order and not.
    serve.stop();
    shout(&broker, "e-away");
    let serve = home.serve();
    until_alarmed(&home, &["a-before", "b-running", "c-renamed", "d-rotated", "e-away"]);
    serve.kill();
    shout(&broker, "f-killed");
    let serve = home.serve();

    // The broker is away.
    broker.stop();
    broker.start_again();
    shout(&broker, "g-restarted");
    let all = ["a-before", "b-running", "c-renamed", "d-rotated", "e-away", "f-killed", "g-restarted"];
    until_alarmed(&home, &all);
    serve.stop();

    let whole = fs::read_to_string(&rotated).unwrap() + &fs::read_to_string(&log).unwrap();
    assert_same_lines(&journaled(&home).lines, &whole, "Received PUBLISH from g-restarted");
    assert_stored(&stored(&home), &replayed(&home));
}
