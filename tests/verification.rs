//! What people found out about alarms, said to a running engine by command.

use std::{
    fs,
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::support::{
    program::{Home, run},
    until_is,
};

#[expect(clippy::disallowed_methods, reason = "the log of a broker that runs now")]
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A publish of so many bytes by each client, now, in Mosquitto's log.
fn publish(home: &Home, clients: &[&str], bytes: u32) {
    let now = seconds_now();
    let mut log = fs::OpenOptions::new().create(true).append(true).open(home.path("m.log")).unwrap();
    for client in clients {
        writeln!(log, "{now}: Received PUBLISH from {client} (d0, q0, r0, m0, 'data', ... ({bytes} bytes))")
            .unwrap();
    }
}

fn home() -> Home {
    let home = Home::new();
    home.profile(
        "fleet",
        &json!([{"name": "shouts", "metric": "aws:message-byte-size",
            "criteria": {"comparisonOperator": "less-than", "value": {"count": 4000},
                         "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}}]),
    );
    publish(&home, &[], 0);
    home.configure(&format!(
        "[detect]\nbucket_secs = 1\n\n[[source.mosquitto_log]]\nname = \"log\"\npath = \"{}\"\nfrom = \"start\"\n\
         debug = true\n",
        home.path("m.log").display()
    ));
    home
}

/// Things of the active alarms in a state.
fn listed(home: &Home, state: &str) -> Vec<String> {
    let said = home.done(&["alarms", "--verification", state, "--json"]);
    let rows = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut things: Vec<String> = rows
        .inspect(|row| assert_eq!(row["verificationState"], state, "{row}"))
        .map(|row| row["entity"]["thing"].as_str().unwrap().to_owned())
        .collect();
    things.sort();
    things
}

#[test]
fn a_verification_is_said_listed_explained_and_kept_when_the_violation_ends_and_the_engine_restarts() {
    let home = home();
    let serve = home.serve();
    publish(&home, &["a", "b"], 5000);
    let alarms = until_is("both are in alarm", || home.rows("alarms"), |rows| rows.len() == 2);
    let id = alarms.iter().find(|row| row["entity"]["thing"] == "a").unwrap()["violationId"].clone();
    let id = id.as_str().unwrap();
    assert_eq!(listed(&home, "UNKNOWN"), ["a", "b"]);

    let said = home.done(&["alarms", "verify", &id[..12], "FALSE_POSITIVE", "--note", "new firmware"]);
    assert_eq!(said, format!("{id}: FALSE_POSITIVE\n"));
    assert_eq!(
        (listed(&home, "UNKNOWN"), listed(&home, "FALSE_POSITIVE")),
        (vec!["b".into()], vec!["a".into()])
    );
    let table = home.done(&["alarms"]);
    assert!(table.lines().any(|line| line.contains(" FALSE_POSITIVE ") && line.contains(id)), "{table}");
    assert_eq!(
        home.done(&["alarms", "--verification", "TRUE_POSITIVE"]),
        "no active alarms that are TRUE_POSITIVE\n"
    );

    // Again and again: the first one may still be in the window of the alarm.
    let after_a_small_one = || {
        publish(&home, &["a"], 100);
        home.rows("alarms")
    };
    until_is("it is over", after_a_small_one, |rows| rows.len() == 1);
    let path = format!("/fleetward/v1/alarms/{id}/verification");
    let kept = json!({"violationId": id, "verificationState": "FALSE_POSITIVE",
                      "verificationStateDescription": "new firmware"});
    assert_eq!(home.get(&path), kept, "kept when it ends");
    let explained = || home.done(&["explain", &id[..12], "--ascii"]);
    let row = "verified     FALSE_POSITIVE: new firmware";
    assert!(explained().lines().any(|line| line == row), "{}", explained());
    serve.stop();
    assert!(explained().lines().any(|line| line == row), "from the folder alone: {}", explained());

    // The last one counts, also after a restart and for a violation that is over.
    let serve = home.serve();
    assert_eq!(home.get(&path), kept);
    let said = home.done(&["alarms", "verify", id, "TRUE_POSITIVE", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!({"violationId": id, "verificationState": "TRUE_POSITIVE"}));
    let told: Value = serde_json::from_str(&home.done(&["explain", id, "--json"])).unwrap();
    assert_eq!(told["verification"], json!({"verificationState": "TRUE_POSITIVE"}));
    home.done(&["alarms", "verify", id, "UNKNOWN"]);
    assert!(!explained().contains("verified"), "taken back: {}", explained());

    for (violation, said) in [
        ("ffffffffffff", "no alarm begins with `ffffffffffff` among the newest"),
        ("abc", "found `abc`; expected an alarm's id of 32 hex digits, or at least its first 4"),
    ] {
        let seen = home.run(&["alarms", "verify", violation, "UNKNOWN"]);
        assert!(seen.code == Some(1) && seen.err.contains(said), "{violation}: {seen:?}");
    }
    serve.stop();
    let seen = home.run(&["alarms", "verify", id, "UNKNOWN"]);
    assert!(seen.code == Some(1) && seen.err.contains("is it running?"), "{seen:?}");
}

#[test]
fn wrong_words_are_refused_with_what_is_allowed() {
    let long = "x".repeat(1_001);
    let allowed = "allowed are `FALSE_POSITIVE`, `BENIGN_POSITIVE`, `TRUE_POSITIVE`, `UNKNOWN`";
    for (arguments, said) in [
        (&["alarms", "verify", "abcd", "false_positive"][..], allowed),
        (&["alarms", "--verification", "TRUE"], allowed),
        (
            &["alarms", "verify", "abcd", "UNKNOWN", "--note", &long],
            "has 1001 characters; allowed are at most 1000",
        ),
        (
            &["alarms", "verify", "abcd", "UNKNOWN", "--note", "a\tb"],
            "has the character '\\t' at character 1",
        ),
        (&["alarms", "verify", "abcd"], "<STATE>"),
        (&["alarms", "--incidents", "--verification", "UNKNOWN"], "cannot be used with"),
    ] {
        let seen = run(arguments);
        assert!(seen.code == Some(2) && seen.err.contains(said), "{arguments:?}: {seen:?}");
    }
}
