//! The main job: three devices misbehave, each in its own way; they and no others are alarmed and
//! quarantined; when they behave again, the alarms clear and they get their rights back.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    devices::{Device, both_topics, broker, heard, sources, until_heard},
    mail::MailServer,
    program::{Home, run},
    until, until_is,
    webhook::Receiver,
};

const RESPONSE: &str = "[detect]\nbucket_secs = 2\nlateness_ms = 1000\n\n\
    [response]\nacting = true\n\n\
    [response.limits]\ncool_down_secs = 0\n\n\
    [[response.rules]]\nbehavior = \"guesses-passwords\"\naction = \"quarantine\"\n\
    attribution_min = \"address\"\nundo_on_clear = true\n\n\
    [[response.rules]]\nbehavior = \"opens-a-backdoor\"\naction = \"quarantine\"\n\n\
    [[response.rules]]\nbehavior = \"sends-too-much\"\naction = \"quarantine\"\n\n";

const ALARMED: [&str; 3] = ["guesser", "hauler", "porter"];

fn profile() -> serde_json::Value {
    json!([
        {"name": "guesses-passwords", "metric": "aws:num-authorization-failures",
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 5,
                      "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
        {"name": "opens-a-backdoor", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 443]},
                      "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
        {"name": "sends-too-much", "metric": "aws:message-byte-size",
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 4000},
                      "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
    ])
}

#[test]
fn three_devices_misbehave_are_quarantined_and_come_back() {
    let broker = broker(&["guesser", "hauler", "porter", "good-1", "good-2"]);
    let device = |name, address| Device { broker: &broker, name, address };
    let [guesser, hauler, porter] =
        [device("guesser", "127.0.0.11"), device("hauler", "127.0.0.12"), device("porter", "127.0.0.13")];
    let [good1, good2] = [device("good-1", "127.0.0.21"), device("good-2", "127.0.0.22")];
    let (receiver, folder) = (Receiver::start(), TempDir::new().unwrap());
    let mail = MailServer::start(folder.path());
    let home = Home::new();
    home.profile("fleet", &profile());
    home.quarantine_action();
    home.configure(&[&sources(&broker), RESPONSE, &receiver.config(folder.path()), &mail.config()].concat());
    home.done(&["check"]);
    let serve = home.serve();

    // Everyone behaves.
    let mut session = good1.session();
    session.say("all is well");
    for (id, device) in (1..).zip([guesser, hauler, porter, good2]) {
        device.publish(&device.topic(), "all is well");
        device.report(id, &[22]);
    }
    let all = [guesser, hauler, porter, good2];
    assert_eq!(heard(&broker, &all), both_topics(&["good-2", "guesser", "hauler", "porter"]));
    until_is(
        "all five are known",
        || home.get("/fleetward/v1/status")["things"].as_u64(),
        |things| *things >= Some(5),
    );
    assert_eq!(home.done(&["alarms"]), "no active alarms\n");
    assert_eq!(home.done(&["tasks"]), "no mitigation tasks\n");

    // Three do not. The one who guesses also claims to be a good device.
    let guessing = AtomicBool::new(true);
    std::thread::scope(|scope| {
        // Also when the test fails; the scope waits for the thread.
        let stop = Stop(&guessing);
        scope.spawn(|| {
            while guessing.load(Ordering::Relaxed) {
                guesser.guess("guesser");
                guesser.guess("good-1");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        porter.report(100, &[22, 4444]);
        hauler.publish(&hauler.topic(), &"x".repeat(5000));
        let quarantined = || ALARMED.map(|name| (name.to_owned(), "verified".to_owned())).to_vec();
        until_is("three are quarantined", || home.tasks(), |tasks| *tasks == quarantined());
        assert_eq!(
            home.alarmed(),
            [("guesser", "guesses-passwords"), ("hauler", "sends-too-much"), ("porter", "opens-a-backdoor")]
                .map(|(thing, behavior)| (thing.to_owned(), behavior.to_owned()))
        );
        // The broker's side of it: they connect, and nothing of theirs arrives.
        assert_eq!(heard(&broker, &all), both_topics(&["good-2"]));
        commands_show_it(&home);
        drop(stop);
    });

    // The first behaves: connected, and no wrong password for a whole window. With the alarm goes the quarantine.
    let calm = guesser.session();
    until_is(
        "the guesser is let go",
        || home.tasks(),
        |tasks| tasks[0] == ("guesser".into(), "undone".into()),
    );
    drop(calm);
    until_heard(&broker, &all, &["good-2", "guesser"]);

    // The others are let go by hand, behave, and their alarms clear.
    for device in [hauler, porter] {
        let task = task_of(&home, device.name);
        assert_eq!(home.done(&["undo", &task]), format!("{task}: undone\n"));
        let again = home.run(&["undo", &task]);
        assert!(again.code == Some(1) && again.err.contains("undone"), "{again:?}");
    }
    assert_eq!(heard(&broker, &all), both_topics(&["good-2", "guesser", "hauler", "porter"]));
    porter.report(101, &[22, 443]);
    until("all alarms are clear", || {
        // The size of messages is judged where there are messages.
        hauler.publish(&hauler.topic(), "all is well");
        let alarmed = home.alarmed();
        if alarmed.is_empty() { Ok(()) } else { Err(format!("{alarmed:?}")) }
    });

    session.say("still here");
    assert_eq!(broker.log_count("Client good-1 "), 0, "its session never ended");
    alerts_arrived(&receiver, &mail);
    for behaving in ["good-1", "good-2"] {
        assert_eq!(
            home.rows("transitions").iter().filter(|row| row["entity"]["thing"] == behaving).count(),
            0
        );
    }
    serve.stop();
    the_record_is_unbroken(&home);
}

/// Sets the flag to false when dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn task_of(home: &Home, thing: &str) -> String {
    let tasks = home.rows("tasks");
    let task = tasks.iter().find(|task| task["thing"] == thing).unwrap();
    task["id"].as_str().unwrap().to_owned()
}

/// `alarms`, `tasks` and `status`, for people and as JSON.
fn commands_show_it(home: &Home) {
    let alarms = home.done(&["alarms"]);
    let hauler = alarms.lines().find(|line| line.starts_with("hauler ")).unwrap();
    for part in ["fleet", "sends-too-much", "5000", "less-than 4000", "certain"] {
        assert!(hauler.contains(part), "{part} in {alarms}");
    }
    let guesser = alarms.lines().find(|line| line.starts_with("guesser ")).unwrap();
    assert!(guesser.contains(" address "), "{alarms}");
    assert_eq!(alarms.lines().count(), 4, "{alarms}");
    let tasks = home.done(&["tasks"]);
    assert_eq!(
        tasks.lines().filter(|line| line.contains("verified") && line.contains("quarantine")).count(),
        3
    );
    assert_eq!(home.done(&["tasks", "--json"]).lines().count(), 3);
    assert_eq!(home.done(&["tasks", "--limit", "1", "--json"]).lines().count(), 1);
    let status: serde_json::Value = serde_json::from_str(&home.done(&["status"])).unwrap();
    assert_eq!(status["openViolations"], 3, "{status}");
    assert_eq!((&status["missing"], &status["coverage"]["blind"]), (&json!([]), &json!([])), "{status}");
    assert_eq!(status["inputs"]["refused"], json!({}), "{status}");
    assert!(home.done(&["verify-log"]).contains("unbroken"));
}

/// By webhook and by mail: each alarm and its clearing, with ids by which repeats can be told.
fn alerts_arrived(receiver: &Receiver, mail: &MailServer) {
    for kind in ["in-alarm", "alarm-cleared"] {
        until_is(&format!("{kind} arrived for three"), || receiver.alarms(kind), |things| *things == ALARMED);
    }
    for kind in ["done", "undone"] {
        let wanted = ALARMED.map(|thing| (thing.to_owned(), kind.to_owned()));
        let have = |notices: &Vec<(String, String)>| wanted.iter().all(|one| notices.contains(one));
        until_is(&format!("the notices `{kind}` arrived"), || receiver.notices(), have);
    }
    let mut by_id = BTreeMap::new();
    let mut violations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in receiver.received() {
        if let Some(before) = by_id.insert(one.id, one.body.clone()) {
            assert_eq!(before, one.body, "the same id means the same alert");
        } else if one.body["type"] == "alarm" {
            let text = |at: &str| one.body.pointer(at).unwrap().as_str().unwrap().to_owned();
            violations.entry(text("/alarm/violationId")).or_default().push(text("/alarm/kind"));
        }
    }
    assert_eq!(violations.len(), 3);
    for kinds in violations.values_mut() {
        kinds.sort();
        assert_eq!(*kinds, ["alarm-cleared", "in-alarm"]);
    }
    let message = mail.message("in-alarm: fleet/sends-too-much on hauler");
    for part in ["multipart/alternative", "text/plain", "text/html", "5000", "less-than 4000"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    for (thing, behavior) in [("guesser", "guesses-passwords"), ("porter", "opens-a-backdoor")] {
        mail.message(&format!("in-alarm: fleet/{behavior} on {thing}"));
        mail.message(&format!("alarm-cleared: fleet/{behavior} on {thing}"));
    }
}

/// Every step is in the record of responses, and nobody can change one unseen.
fn the_record_is_unbroken(home: &Home) {
    assert!(home.done(&["verify-log"]).contains("unbroken"));
    let path = home.path("data/actions.log");
    let log = fs::read_to_string(&path).unwrap();
    for thing in ALARMED {
        assert!(log.contains(thing), "{log}");
    }
    fs::write(&path, log.replacen("hauler", "porter", 1)).unwrap();
    let said = home.run(&["verify-log"]);
    assert!(said.code == Some(1) && said.err.contains("is broken"), "{said:?}");
    let nobody = run(&["status", "--config", home.path("fleetward.toml").to_str().unwrap()]);
    assert!(nobody.code == Some(1) && nobody.err.contains("is it running?"), "{nobody:?}");
}
