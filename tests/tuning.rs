//! Looking back: replay over the journal, what led to an alarm, thresholds learnt from it, incidents,
//! and behaviors that are blind. The broker's log is written by the tests.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use detector::journal::Reader;
use serde_json::{Value, json};

use crate::support::{
    program::{Home, Said, profile, run},
    until_is,
    webhook::Receiver,
};

/// Seconds since the epoch at which the logs of these tests begin.
const START: i64 = 1_772_366_400;

/// A broker's log, as Mosquitto writes it with `log_type debug`.
struct Log(String);

impl Log {
    const fn new() -> Self {
        Self(String::new())
    }

    fn line(&mut self, at: i64, text: &str) {
        writeln!(self.0, "{}: {text}", START + at).unwrap();
    }

    fn connect(&mut self, at: i64, client: &str) {
        self.line(at, &format!("New client connected from 10.0.0.9:50000 as {client} (p2, c1, k60)."));
    }

    /// As [`Log::publish`], to a topic that nothing else names, so that the journal cannot make much
    /// of it shorter.
    fn publish_apart(&mut self, at: i64, client: &str, bytes: u32) {
        let mut state = at.unsigned_abs();
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        };
        let topic: String = (0..10).map(|_| format!("{:012x}", next())).collect();
        self.line(
            at,
            &format!("Received PUBLISH from {client} (d0, q0, r0, m0, '{topic}', ... ({bytes} bytes))"),
        );
    }

    fn publish(&mut self, at: i64, client: &str, bytes: u32) {
        self.line(
            at,
            &format!("Received PUBLISH from {client} (d0, q0, r0, m0, 'data', ... ({bytes} bytes))"),
        );
    }
}

fn log_source(home: &Home, debug: bool) -> String {
    let log = home.path("m.log");
    if !log.exists() {
        fs::write(&log, "").unwrap();
    }
    format!(
        "[[source.mosquitto_log]]\nname = \"broker-log\"\npath = \"{}\"\nfrom = \"start\"\ndebug = {debug}\n",
        log.display()
    )
}

fn append(home: &Home, log: &Log) {
    let mut file = fs::OpenOptions::new().append(true).open(home.path("m.log")).unwrap();
    file.write_all(log.0.as_bytes()).unwrap();
}

fn behaviors(messages: u32) -> Value {
    json!([
        {"name": "flood", "metric": "aws:num-messages-sent",
         "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": messages}, "durationSeconds": 60,
                      "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
        {"name": "shouts", "metric": "aws:message-byte-size",
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 4000},
                      "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
    ])
}

/// An hour of three devices: one floods in the minutes 20 to 29, one shouts once, one is calm.
fn hour() -> Log {
    let mut log = Log::new();
    for client in ["calm", "flooder", "shouter"] {
        log.connect(0, client);
    }
    for minute in 0..60_i64 {
        for second in 0..60_i64 {
            let at = minute * 60 + second;
            if second % 10 == 0 {
                log.publish(at, "calm", 100);
            }
            if second % 5 == 0 || (20..30).contains(&minute) {
                log.publish(at, "flooder", 100 + u32::try_from(second).unwrap());
            }
            if second == 30 {
                log.publish(at, "shouter", if minute == 40 { 5000 } else { 200 });
            }
        }
    }
    log.publish(3_700, "calm", 100);
    log
}

/// The transitions of that hour, oldest first. Its log is there before the engine starts.
fn raised(home: &Home) -> Vec<Value> {
    let seen = || home.rows("transitions");
    let all = until_is("all four transitions are stored", seen, |rows| rows.len() >= 4);
    let mut all = all;
    all.reverse();
    all
}

fn transitions(said: &Said) -> Vec<Value> {
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

/// Name, length and time of change of every file.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.clone(), fs::metadata(&path).unwrap().len()));
        }
    }
    all.sort();
    all
}

#[test]
fn a_replay_of_the_journal_gives_what_was_raised_live_and_shows_what_other_profiles_would() {
    let home = Home::new();
    home.profile("fleet", &behaviors(30));
    home.configure(&log_source(&home, true));
    append(&home, &hour());
    let serve = home.serve();
    let raised = raised(&home);

    // Beside the running engine.
    let live = transitions(&home.run(&["replay"]));
    assert_eq!(ids(&live), ids(&raised), "replay equals live");
    let diff = home.done(&["replay", "--diff"]);
    assert!(
        diff.contains("raised then and now: 2 (2 at the same times); only then: 0; only now: 0"),
        "{diff}"
    );
    let of_one = transitions(&home.run(&["replay", "--thing", "shouter"]));
    assert!(of_one.len() == 2 && of_one.iter().all(|row| row["entity"]["thing"] == "shouter"), "{of_one:?}");
    let early = ["replay", "--to", "2026-03-01T12:25:00Z"];
    assert_eq!(ids(&transitions(&home.run(&early))), ids(&raised)[..1]);
    let late = ["replay", "--from", "2026-03-01T12:25:00Z"];
    assert_eq!(ids(&transitions(&home.run(&late))), ids(&raised)[1..], "what came before is folded");

    // Other profiles: the flood is allowed, and the shouter's 200 bytes are too many.
    fs::create_dir(home.path("other")).unwrap();
    let mut stricter = behaviors(100);
    stricter[1]["criteria"]["value"]["count"] = json!(150);
    home.write("other/p.json", &profile("fleet", &stricter));
    let other = home.path("other").display().to_string();
    let diff = home.done(&["replay", "--profiles", &other, "--diff"]);
    assert!(diff.contains("only then: 1; only now: "), "{diff}");
    assert!(diff.lines().any(|line| line.starts_with("only then  flooder  fleet    flood")), "{diff}");
    let rows = home.done(&["replay", "--profiles", &other, "--diff", "--json"]);
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let which = |which: &str| rows.iter().filter(|row| row["which"] == which).count();
    assert_eq!((which("only-then"), which("both")), (1, 1), "{rows:?}");
    let summary = home.done(&["replay", "--summary"]);
    let row = summary.lines().find(|line| line.starts_with("fleet    flood")).unwrap();
    assert_eq!(
        row.split_whitespace().take(6).collect::<Vec<_>>(),
        ["fleet", "flood", "1", "0", "1", "3"],
        "{summary}"
    );
    let json: Value = serde_json::from_str(&home.done(&["replay", "--summary", "--json"])).unwrap();
    assert_eq!(json["behaviors"][0]["alarms"], 1, "{json}");

    // Stopped: from the folder alone, and nothing in it changes.
    serve.stop();
    let before = files(&home.path("data/engine"));
    let data = home.path("data").display().to_string();
    assert_eq!(ids(&transitions(&run(&["replay", "--data", &data]))), ids(&raised));
    let diff = run(&["replay", "--data", &data, "--diff"]);
    assert!(diff.out.contains("raised then and now: 2 (2 at the same times)"), "{diff:?}");
    assert_eq!(files(&home.path("data/engine")), before);
    // A tail that a power cut tore.
    let segment = before.iter().rev().find(|(path, _)| path.extension().is_some_and(|e| e == "seg")).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&segment.0).unwrap();
    file.write_all(&[0xab; 50]).unwrap();
    assert_eq!(ids(&transitions(&run(&["replay", "--data", &data]))), ids(&raised));
}

/// Old segments are deleted once snapshots cover them: the oldest snapshot begins the replay then.
#[test]
fn where_old_segments_are_gone_a_snapshot_begins_and_without_one_it_is_said() {
    let home = Home::new();
    home.profile("fleet", &behaviors(100));
    home.configure(&["[journal]\nsegment_mib = 1\n\n", &log_source(&home, true)].concat());
    let mut log = Log::new();
    log.connect(0, "calm");
    (0..12_000).for_each(|second| log.publish_apart(second, "calm", 100));
    append(&home, &log);
    home.serve().stop();
    // The engine's clock has gone on to now; what happens next happens now.
    let mut log = Log::new();
    (0..150).for_each(|_| log.publish(seconds_now() - START, "calm", 100));
    append(&home, &log);
    let serve = home.serve();
    let all = until_is("the flood is stored", || home.rows("transitions"), |rows| !rows.is_empty());
    serve.stop();

    let mut segments = files(&home.path("data/engine/journal"));
    segments.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "seg"));
    // The engine has deleted the first itself, unless its last snapshot came too late for that.
    if segments.len() > 1 {
        fs::remove_file(&segments[0].0).unwrap();
    }
    assert!(!segments.last().unwrap().0.ends_with("00000000000000000001.seg"), "{segments:?}");
    let from_snapshot = home.run(&["replay"]);
    assert_eq!(ids(&transitions(&from_snapshot)), ids(&all));
    assert!(from_snapshot.err.contains("older records are gone: this replay begins at"), "{from_snapshot:?}");

    fs::remove_dir_all(home.path("data/engine/snapshots")).unwrap();
    let refused = home.run(&["replay"]);
    assert!(refused.code == Some(1) && refused.err.contains("give profiles with --profiles"), "{refused:?}");
    let profiles = home.path("profiles").display().to_string();
    let blank = home.run(&["replay", "--profiles", &profiles]);
    assert!(blank.err.contains("knowing no session"), "{blank:?}");
    assert!(transitions(&blank).iter().any(|row| row["kind"] == "in-alarm"), "{blank:?}");
}

#[test]
fn wrong_replays_are_refused_with_the_reason() {
    let home = Home::new();
    let empty = home.path("").display().to_string();
    for (arguments, code, said) in [
        (&["replay"][..], 2, "required arguments were not provided"),
        (&["replay", "--events", "x"], 2, "--profiles"),
        (&["replay", "--events", "x", "--profiles", "y", "--diff"], 2, "cannot be used with"),
        (&["replay", "--data", &empty, "--from", "tomorrow"], 2, "found `tomorrow`; expected a time"),
        (&["replay", "--data", &empty, "--group", "a b"], 2, "thing group name has the character ' '"),
        (
            &["replay", "--data", &empty],
            1,
            "has no journal; has `fleetward serve` run with this data folder?",
        ),
        (&["explain", "abcd", "--data", &empty], 1, "has no store"),
        (&["suggest", "--window-secs", "7", "--data", &empty], 2, "found `7`; allowed are 1, 5, 10"),
        (&["suggest", "--target", "0", "--data", &empty], 2, "allowed are 0.0001 to 1000"),
        (&["suggest", "--from-mud", "x", "--address", "y"], 2, "expected NAME=NETWORK"),
    ] {
        let seen = run(arguments);
        assert!(seen.code == Some(code) && seen.err.contains(said), "{arguments:?}: {seen:?}");
    }
}

#[test]
fn an_alarm_is_explained_from_the_running_engine_and_from_the_folder_alone() {
    let home = Home::new();
    home.profile("fleet", &behaviors(30));
    home.configure(&log_source(&home, true));
    append(&home, &hour());
    let serve = home.serve();
    let raised = raised(&home);
    let flood = raised.iter().find(|row| row["behavior"] == "flood").unwrap();
    let id = flood["violationId"].as_str().unwrap();

    let text = home.done(&["explain", &id[..8], "--ascii", "--width", "60"]);
    let line = |label: &str| text.lines().find(|line| line.starts_with(label)).unwrap_or_default().to_owned();
    assert!(line("whom").ends_with(" flooder") && line("behavior").ends_with("fleet/flood"), "{text}");
    assert!(line("expected").contains("less-than-equals 30 in 60 s"), "{text}");
    assert!(line("seen").contains("31 in 60 s") && line("limit").contains("up to 30"), "{text}");
    assert!(line("since").contains("2026-03-01T12:20:30"), "{text}");
    assert!(line("state").contains("cleared at"), "{text}");
    assert!(line("aws:num-messages-sent of flooder").contains("from the journal"), "{text}");
    assert!(text.contains("30 ") && text.contains('#') && text.contains('^'), "{text}");
    assert!(text.contains("  publish  client flooder  topic data  bytes 1"), "{text}");
    assert!(text.contains("earlier alarms of the same: none") && text.contains("answers: none"), "{text}");
    assert!(text.is_ascii() && text.lines().all(|line| line.len() < 120), "{text}");

    let told: Value = serde_json::from_str(&home.done(&["explain", id, "--json"])).unwrap();
    assert_eq!(told["violationId"], *id);
    assert_eq!(told["transitions"].as_array().unwrap().len(), 2);
    let points = told["series"]["points"].as_array().unwrap();
    let values: Vec<f64> = points.iter().map(|point| point[1].as_f64().unwrap()).collect();
    assert!(values.contains(&12.0) && values.contains(&60.0), "{values:?}");
    assert!(told["events"]["total"].as_u64().unwrap() >= 31, "{told}");

    for (alarm, said) in [
        ("ffff", "no alarm begins with `ffff` among the newest"),
        ("abc", "found `abc`; expected an alarm's id of 32 hex digits"),
        ("../x", "found `../x`; expected an alarm's id"),
    ] {
        let seen = home.run(&["explain", alarm]);
        assert!(seen.code == Some(1) && seen.err.contains(said), "{alarm}: {seen:?}");
    }
    serve.stop();
    let offline = home.done(&["explain", &id[..8], "--ascii", "--width", "60"]);
    assert_eq!(offline, text, "the folder tells the same");
}

#[test]
fn a_profile_learnt_from_the_journal_is_valid_and_leaves_the_flood_out() {
    let home = Home::new();
    home.profile("fleet", &behaviors(30));
    home.configure(&log_source(&home, true));
    append(&home, &hour());
    let serve = home.serve();
    raised(&home);
    let out = home.path("profiles/usual.json");
    let out = out.to_str().unwrap();
    // When the log has ended, the engine's own ticks go on with the clock of today.
    let hour = ["--to", "2026-03-01T13:00:00Z", "--window-secs", "1"];
    let base = [&["suggest", "--target", "200", "--out", out][..], &hour].concat();
    let report = home.done(&base);
    let learnt: Value = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    let behavior = |name: &str| {
        let all = learnt["behaviors"].as_array().unwrap();
        all.iter().find(|behavior| behavior["name"] == name).cloned().unwrap_or_else(|| panic!("{learnt}"))
    };
    assert_eq!(behavior("usual-num-messages-sent")["criteria"]["value"]["count"], 1, "{report}");
    let size = behavior("usual-message-byte-size")["criteria"]["value"]["count"].as_u64().unwrap();
    assert!((155..4000).contains(&size), "{size}: the shout was an alarm and is left out; {report}");
    assert!(report.contains("datapoints of devices in alarm left out"), "{report}");
    home.done(&["check"]);
    let said = home.run(&[&["suggest", "--target", "200", "--json"][..], &hour].concat());
    let stated: Value = serde_json::from_str(&said.err).unwrap();
    for metric in stated["metrics"].as_array().unwrap().iter().filter(|m| m.get("criteria").is_some()) {
        assert!(metric["expected"].as_f64().unwrap() <= 200.0, "{metric}");
        assert!(
            metric["datapoints"].as_u64().unwrap() > 0 && metric["things"].as_u64().unwrap() > 0,
            "{metric}"
        );
    }
    // An hour of three devices says nothing about one alarm in ten months.
    let strict = home.run(&["suggest", "--target", "0.05", "--to", "2026-03-01T13:00:00Z"]);
    assert!(strict.code == Some(3) && strict.err.contains("too few data"), "{strict:?}");
    serve.stop();
}

#[test]
fn a_mud_file_becomes_a_profile() {
    let home = Home::new();
    let mud = format!("{}/behaviors/testdata/mud/lightbulb.json", env!("CARGO_MANIFEST_DIR"));
    let out = home.path("profiles/bulb.json").display().to_string();
    let known = [
        "suggest",
        "--from-mud",
        &mud,
        "--address",
        "cloud.example.com=203.0.113.0/28",
        "--address",
        "local-networks=10.0.0.0/8",
        "--out",
        &out,
    ];
    let said = run(&known);
    assert!(said.code == Some(0) && said.out.contains("ports of peers are not reported"), "{said:?}");
    let written: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    let cidrs = &written["behaviors"][0]["criteria"]["value"]["cidrs"];
    assert_eq!(*cidrs, json!(["10.0.0.0/8", "198.51.100.0/24", "203.0.113.0/28"]));
    home.configure("");
    home.done(&["check"]);
    let unknown = run(&["suggest", "--from-mud", &mud]);
    assert!(
        unknown.code == Some(3) && unknown.err.contains("--address 'cloud.example.com=NETWORK'"),
        "{unknown:?}"
    );
    let wrong = run(&["suggest", "--from-mud", &mud, "--address", "cloud.example.org=10.0.0.1"]);
    assert!(
        wrong.code == Some(2) && wrong.err.contains("the file names no `cloud.example.org`"),
        "{wrong:?}"
    );
    home.write("bad.json", "{\"ietf-mud:mud\": {\"mud-version\": 2}}");
    let bad = run(&["suggest", "--from-mud", home.path("bad.json").to_str().unwrap()]);
    assert!(
        bad.code == Some(2) && bad.err.contains(":1:34: error: ietf-mud:mud.mud-version: found `2`"),
        "{bad:?}"
    );
}

/// Ten thousand devices get the same bad update within seconds: they all shout.
#[test]
fn a_fault_of_ten_thousand_devices_is_a_handful_of_messages_and_loses_nothing() {
    const DEVICES: usize = 10_000;
    let (receiver, home) = (Receiver::start(), Home::new());
    home.profile("fleet", &behaviors(1000));
    let settings = "[detect]\nbucket_secs = 1\n\n\
                    [alerts.incidents]\ngather_secs = 1\nupdate_secs = 3600\nwindow_secs = 10\n\n";
    home.configure(&[settings, &receiver.config(&home.path("")), &log_source(&home, true)].concat());
    let serve = home.serve();
    let everybody = |bytes: u32| {
        let mut log = Log::new();
        for device in 0..DEVICES {
            log.publish(seconds_now() - START, &format!("d{device}"), bytes);
        }
        append(&home, &log);
    };
    everybody(5000);
    let status = |key: &str| home.get("/fleetward/v1/status")[key].as_u64().unwrap();
    until_is("all are in alarm", || status("openViolations"), |open| *open == DEVICES as u64);
    let stored = || home.rows("incidents").first().map_or(0, |row| row["alarms"].as_u64().unwrap());
    until_is("one incident has them all", stored, |alarms| *alarms == DEVICES as u64);
    assert_eq!(home.rows("incidents").len(), 1);
    let of = |kind: &str| receiver.received().iter().filter(|one| one.body["type"] == kind).count();
    until_is("the incident is told", || of("incident"), |count| *count >= 1);
    let listed = home.done(&["alarms", "--incidents"]);
    assert!(listed.lines().count() == 2 && listed.contains("shouts") && listed.contains("10000"), "{listed}");

    // All are well again.
    everybody(100);
    until_is("all alarms are over", || status("openViolations"), |open| *open == 0);
    let kinds = || -> Vec<String> {
        let incidents = receiver.received().into_iter().filter(|one| one.body["type"] == "incident");
        incidents.map(|one| one.body["incident"]["kind"].as_str().unwrap().to_owned()).collect()
    };
    until_is("the end is told", kinds, |kinds| kinds.last().is_some_and(|kind| kind == "cleared"));
    assert_eq!(kinds(), ["opened", "cleared"]);
    // Three alarms and their ends one by one.
    until_is("the single ones are told", || of("alarm"), |count| *count == 6);
    assert_eq!(receiver.received().len(), 8, "eight messages for twenty thousand transitions");
    let (mut after, mut transitions) = (String::new(), 0);
    loop {
        let page = home.get(&format!("/fleetward/v1/transitions?limit=10000{after}"));
        let page = page.as_array().unwrap();
        transitions += page.len();
        let Some(last) = page.last() else { break };
        after = format!("&after={}-{}", last["seq"], last["id"].as_str().unwrap());
    }
    assert_eq!(transitions, 2 * DEVICES, "nothing is lost from the store");
    serve.stop();
}

#[expect(clippy::disallowed_methods, reason = "the engine under test compares with the wall clock")]
fn seconds_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[test]
fn a_behavior_that_becomes_blind_and_sees_again_is_a_finding_and_one_message_each() {
    let (receiver, home) = (Receiver::start(), Home::new());
    home.profile("fleet", &behaviors(30));
    home.configure(&[receiver.config(&home.path("")), log_source(&home, false)].concat());
    let serve = home.serve();
    let findings = || home.get("/fleetward/v1/findings");
    let found = until_is("both are found", findings, |found| found.as_array().unwrap().len() == 2);
    assert_eq!(found[0]["finding"]["checkName"], "BEHAVIOR_BLIND_CHECK", "{found}");
    let status: Value = serde_json::from_str(&home.done(&["status"])).unwrap();
    let coverage = &status["coverage"];
    assert_eq!(coverage["behaviors"], json!({"seeing": 0, "partly": 0, "blind": 2}), "{status}");
    assert!(coverage["blind"][0]["why"].as_str().unwrap().contains("`debug = true`"), "{coverage}");
    assert!(
        coverage["sources"][0]["notSupplied"].as_array().unwrap().contains(&json!("publishes")),
        "{coverage}"
    );
    let told = || -> Vec<Value> {
        receiver
            .received()
            .into_iter()
            .filter(|one| one.body["type"] == "coverage")
            .map(|one| one.body)
            .collect()
    };
    let first = until_is("it is told", told, |told| told.len() == 1);
    assert_eq!(first[0]["coverage"]["blindTotal"], 2, "{first:?}");

    // The profile is changed to what can be seen.
    home.profile(
        "fleet",
        &json!([{"name": "attempts", "metric": "aws:num-connection-attempts",
                 "criteria": {"comparisonOperator": "less-than", "value": {"count": 1000}, "durationSeconds": 300}}]),
    );
    serve.reload("are read again");
    until_is("nothing is found any more", findings, |found| found.as_array().unwrap().is_empty());
    let second = until_is("that is told as well", told, |told| told.len() == 2);
    assert_eq!(second[1]["coverage"]["seeingTotal"], 2, "{second:?}");
    serve.stop();
    // A restart says nothing anew.
    let serve = home.serve();
    home.done(&["status"]);
    serve.stop();
    assert_eq!(told().len(), 2);
}

/// The worker is a script here, which answers what the real one would (its tests are in `analyst/`).
#[test]
fn what_the_journal_has_let_go_is_read_from_the_parquet_history_and_counts_once() {
    let home = Home::new();
    home.profile("fleet", &behaviors(100));
    home.write("worker", "#!/bin/sh\nexport PATH=/usr/bin:/bin\n[ \"$1\" = records ] || exit 1\ncat > \"${0%/*}/request\"\ncat \"${0%/*}/answer\"\n");
    fs::set_permissions(home.path("worker"), fs::Permissions::from_mode(0o755)).unwrap();
    let settings = "[journal]\nsegment_mib = 1\n\n[history]\nanalyst = \"worker\"\n\n";
    home.configure(&[settings, &log_source(&home, true)].concat());
    let mut log = Log::new();
    log.connect(0, "calm");
    (0..150).for_each(|_| log.publish(100, "calm", 100));
    (101..13_000).for_each(|second| log.publish_apart(second, "calm", 100));
    append(&home, &log);
    let serve = home.serve();
    let mut all = until_is("begin and end are stored", || home.rows("transitions"), |rows| rows.len() == 2);
    all.reverse();
    serve.stop();

    let (journal, mut lines) = (home.path("data/engine/journal"), Vec::new());
    let mut reader = Reader::open(&journal, 0).unwrap();
    while let Some(record) = reader.next().unwrap() {
        let (source, kind) = (record.source.0, record.kind.number());
        let (arrival, payload) = (record.arrival.millis(), STANDARD.encode(record.payload));
        lines.push(json!([record.seq, arrival, source, kind, record.position, record.subject, payload]));
    }
    let before = home.run(&["replay"]);
    assert_eq!(ids(&transitions(&before)), ids(&all));
    let mut segments = files(&journal);
    segments.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "seg"));
    let kept: usize = segments[1].0.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    fs::remove_file(&segments[0].0).unwrap();
    fs::remove_dir_all(home.path("data/engine/snapshots")).unwrap();
    assert_eq!(home.run(&["replay"]).code, Some(1), "nothing tells the rules");

    fs::create_dir_all(home.path("data/lake/records")).unwrap();
    let answer = |lines: &[Value], end: &str| {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        home.write("answer", &(lines + end));
    };
    let done = "{\"done\": {}}\n";
    // The two end and begin next to each other, or overlap.
    for held in [kept - 1, kept, kept + 50, lines.len()] {
        answer(&lines[..held], done);
        let said = home.run(&["replay"]);
        assert_eq!(said.out, before.out, "{held} records: {}", said.err);
        assert!(said.err.contains("older records are read from the Parquet history"), "{said:?}");
        let end = |said: &Said| said.err.lines().last().unwrap().to_owned();
        assert_eq!(end(&said), end(&before), "each record counts once");
    }
    let request: Value = serde_json::from_slice(&fs::read(home.path("request")).unwrap()).unwrap();
    assert_eq!((&request["lake"], &request["from"]), (&json!(home.path("data/lake")), &Value::Null));
    home.run(&["replay", "--from", "2026-03-01T00:00:00Z"]);
    let request: Value = serde_json::from_slice(&fs::read(home.path("request")).unwrap()).unwrap();
    assert_eq!(request["from"], 1_769_731_200_000_i64, "30 days before, 2026-01-30");

    answer(&lines[..kept], "");
    let broken = home.run(&["replay"]);
    assert!(broken.code == Some(1) && broken.err.contains("the worker's answer has no end"), "{broken:?}");
    let first_input = lines.iter().position(|line| line[3].as_u64().unwrap() < 128).unwrap();
    answer(&lines[first_input..], done);
    let unruled = home.run(&["replay"]);
    assert!(unruled.code == Some(1) && unruled.err.contains("begin with their rules"), "{unruled:?}");
}
