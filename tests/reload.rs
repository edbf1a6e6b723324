//! Profiles under a running Fleetward: a good change counts at once, a bad one changes nothing.

use serde_json::{Value, json};

use crate::{
    mosquitto::Setup,
    support::{
        devices::{report, report_topic},
        program::Home,
        until, until_is,
    },
};

fn ports_allowed(ports: &[u16]) -> Value {
    json!([{"name": "unknown-port", "metric": "aws:listening-tcp-ports",
            "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": ports},
                         "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}}])
}

#[test]
fn a_good_change_counts_and_a_bad_one_is_refused() {
    let broker = Setup::plain().start();
    let home = Home::new();
    home.profile("ports", &ports_allowed(&[22, 80]));
    home.configure(&format!(
        "[[source.mqtt]]\nname = \"reports\"\nhost = \"127.0.0.1\"\nport = {}\ntls = {{ enabled = false }}\n",
        broker.port
    ));
    let serve = home.serve();
    let mut id = 0;
    let mut tell = |thing: &str, ports: &[u16]| {
        id += 1;
        let journaled = || home.get("/fleetward/v1/status")["inputs"]["journaled"].as_u64().unwrap();
        let before = journaled();
        broker.publish_bytes(&report_topic(thing), report(id, ports).as_bytes(), &[]);
        until_is("the report is journaled", journaled, |journaled| *journaled > before);
    };
    tell("web", &[22, 80]);
    tell("mail", &[25]);
    let names = |pairs: &[&str]| -> Vec<(String, String)> {
        pairs.iter().map(|thing| ((*thing).to_owned(), "unknown-port".to_owned())).collect()
    };
    until_is("the first rules count", || home.alarmed(), |alarmed| *alarmed == names(&["mail"]));

    // Stricter: port 80 is no longer allowed. A changed behavior also ends what the old one had begun.
    home.profile("ports", &ports_allowed(&[22, 25]));
    serve.reload("are read again");
    until_is("the old violation is over", || home.alarmed(), Vec::is_empty);
    tell("web", &[22, 80]);
    tell("mail", &[25]);
    until_is("the new rules count", || home.alarmed(), |alarmed| *alarmed == names(&["web"]));
    let kinds = kinds_of(&home, "mail");
    assert_eq!(kinds, ["alarm-invalidated", "in-alarm"]);

    // Neither a profile that cannot be read nor one that says nonsense takes the good one's place.
    for bad in ["{", "{\"securityProfileName\": \"ports\", \"behaviors\": [{\"name\": \"x\"}]}"] {
        home.write("profiles/ports.json", bad);
        serve.reload("the old ones stay in force");
        assert_eq!(home.alarmed(), names(&["web"]));
        assert_eq!(home.run(&["check"]).code, Some(2));
    }
    tell("late", &[80]);
    until_is("the old rules still count", || home.alarmed(), |alarmed| *alarmed == names(&["late", "web"]));

    // What was in force is still so after a restart with a good file.
    home.profile("ports", &ports_allowed(&[22, 25]));
    serve.stop();
    let serve = home.serve();
    assert_eq!(home.alarmed(), names(&["late", "web"]));
    until("all is clear", || {
        tell("late", &[22]);
        tell("web", &[22]);
        if home.alarmed().is_empty() { Ok(()) } else { Err(format!("{:?}", home.alarmed())) }
    });
    serve.stop();
}

/// Kinds of a thing's transitions, the newest first.
fn kinds_of(home: &Home, thing: &str) -> Vec<String> {
    let rows = home.rows("transitions");
    let own = rows.iter().filter(|row| row["entity"]["thing"] == thing);
    own.map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
}
