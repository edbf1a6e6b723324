//! `fleetward lens` as a person and a pipeline use it: evidence of files, events and a running server,
//! review files, reports, exit codes.

use serde_json::{Value, json};

use crate::support::program::{Home, Said, run};

const REVIEW: &str = r#"[workload]
name = "Pumps"
description = "40 pumps"
review_owner = "Ada"
workload_owner = "Grace"
stakeholders = []
partners = []
architecture = "https://example.com/a"
accounts = []
compliance = []

[[answer]]
practice = "2.1"
answer = "yes"
who = "Ada"
when = 2026-01-02
evidence = ["https://example.com/boards"]

[[answer]]
practice = "26.1"
answer = "yes"
who = "Ada"
when = 2026-01-02
"#;

/// A home with a broker's log as source, a profile for all things, quarantine that acts, and 40 pumps of
/// which 30 are in a group.
fn home() -> Home {
    let home = Home::new();
    let behaviors = json!([
        {"name": "logins", "metric": "aws:num-authorization-failures",
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 300}},
        {"name": "messages", "metric": "aws:num-messages-sent",
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 100}, "durationSeconds": 300}},
    ]);
    home.profile("p", &behaviors);
    home.quarantine_action();
    let thing = |n: u32| {
        let groups: &[&str] = if n < 30 { &["hall-1"] } else { &[] };
        (format!("pump-{n:02}"), json!({"groups": groups, "attributes": {"type": "pump", "firmware": "1.2"}}))
    };
    let things: serde_json::Map<String, Value> = (0..40).map(thing).collect();
    home.write(
        "registry.json",
        &json!({"things": things, "groups": {"hall-1": {}, "quarantine": {}}}).to_string(),
    );
    home.write("mosquitto.log", "");
    home.configure(
        "[[source.mosquitto_log]]\nname = \"broker\"\npath = \"mosquitto.log\"\n\n\
         [[response.rules]]\naction = \"quarantine\"\n",
    );
    let config = std::fs::read_to_string(home.path("fleetward.toml")).unwrap();
    let config =
        config.replace("actions = \"actions\"\n", "actions = \"actions\"\nregistry = \"registry.json\"\n");
    home.write(
        "fleetward.toml",
        &config.replace("path = \"mosquitto.log\"", &format!("path = {:?}", home.path("mosquitto.log"))),
    );
    home.write("review.toml", REVIEW);
    home.write("events.jsonl", &events());
    home.write("audit.json", &audit(0));
    home
}

/// Two hours of 40 pumps that reconnect too soon after each cut; an application listens to everything.
fn events() -> String {
    let start = 1_767_600_000_000_i64;
    let mut lines = Vec::new();
    for n in 0..40_i64 {
        let client = format!("pump-{n:02}");
        for round in 0..12_i64 {
            let at = start + round * 600_000;
            lines.push(json!({"at": at, "event": "connect", "client": client, "user": client}));
            lines.push(
                json!({"at": at + 1_000, "event": "publish", "client": client, "topic": "t", "bytes": 80}),
            );
            lines.push(
                json!({"at": at + 300_000, "event": "disconnect", "client": client, "reason": "unclean"}),
            );
            lines.push(json!({"at": at + 300_100, "event": "connect", "client": client, "user": client}));
            lines.push(
                json!({"at": at + 590_000, "event": "disconnect", "client": client, "reason": "clean"}),
            );
        }
    }
    lines.push(json!({"at": start, "event": "subscribe", "client": "app", "filter": "#"}));
    lines.sort_by_key(|line| line["at"].as_i64());
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// An audit in which some checks ran, one of them with so many findings.
fn audit(anonymous: u64) -> String {
    let finding = |n| {
        json!({"checkName": "BROKER_ANONYMOUS_ACCESS_CHECK", "severity": "CRITICAL", "isSuppressed": false,
               "reasonForNonComplianceCode": "ANONYMOUS_ACCESS", "reasonForNonCompliance": "anybody may connect",
               "nonCompliantResource": {"resourceType": "LISTENER", "resourceIdentifier": {"listener": n}},
               "place": {"file": "mosquitto.conf", "line": 4}, "remedy": "set `allow_anonymous false`"})
    };
    let findings: Vec<Value> = (0..anonymous).map(|n| finding(n.to_string())).collect();
    let status = if anonymous == 0 { "COMPLETED_COMPLIANT" } else { "COMPLETED_NON_COMPLIANT" };
    json!({"checks": [
        {"checkName": "BROKER_ANONYMOUS_ACCESS_CHECK", "checkRunStatus": status, "totalResourcesCount": 1,
         "findings": findings},
        {"checkName": "LOGGING_DISABLED_CHECK", "checkRunStatus": "COMPLETED_COMPLIANT", "findings": []},
        {"checkName": "BROKER_PERSISTENCE_CHECK", "checkRunStatus": "WAITING_FOR_DATA_COLLECTION", "findings": []},
    ]})
    .to_string()
}

/// `lens COMMAND` with files of the home for the words that begin with `@`.
fn lens(home: &Home, words: &[&str]) -> Said {
    let words: Vec<String> = words
        .iter()
        .map(|word| {
            word.strip_prefix('@').map_or((*word).to_owned(), |name| home.path(name).display().to_string())
        })
        .collect();
    let words: Vec<&str> = std::iter::once("lens").chain(words.iter().map(String::as_str)).collect();
    run(&words)
}

fn all<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    let usual =
        ["review", "--config", "@fleetward.toml", "--audit", "@audit.json", "--events", "@events.jsonl"];
    [&usual[..], rest].concat()
}

fn practice(report: &Value, id: &str) -> Value {
    let practices = report["practices"].as_array().unwrap();
    practices.iter().find(|practice| practice["id"] == id).unwrap().clone()
}

#[test]
fn a_review_judges_from_configuration_registry_events_audit_and_answers() {
    let home = home();
    let said = lens(&home, &all(&["--review", "@review.toml", "--format", "json"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["practices"].as_array().unwrap().len(), 71);
    for (id, verdict, by) in [
        // Findings that ran, and events: every pump has a user name of its own.
        ("1.1", "met", "evidence"),
        // A Mosquitto log tells of refused logins, a behavior judges them, and the audit saw the log settings.
        ("4.1", "met", "evidence"),
        // Every reconnect came after a tenth of a second.
        ("11.4", "not-met", "evidence"),
        // Three quarters of the pumps are in a group; the answer that says yes does not overrule that.
        ("26.1", "not-met", "evidence"),
        // The check that would decide it had no data.
        ("10.1", "unanswered", "nobody"),
        // No receiver of alerts is configured.
        ("4.2", "not-met", "evidence"),
        ("2.1", "met", "answer"),
        ("7.3", "unanswered", "nobody"),
    ] {
        let row = practice(&report, id);
        assert_eq!(
            (row["verdict"].as_str(), row["decidedBy"].as_str()),
            (Some(verdict), Some(by)),
            "{row:#}"
        );
    }
    let row = practice(&report, "26.1");
    assert!(row["contradiction"].as_str().unwrap().starts_with("the answer says otherwise"), "{row}");
    assert_eq!(row["evidence"]["figures"][0]["found"], "30 of 40 (75.0 %)");
    assert_eq!(row["evidence"]["figures"][0]["place"], home.path("registry.json").display().to_string());
    // The application is not registered, so that it is no device and its subscription counts for nothing.
    assert_eq!(practice(&report, "13.1")["verdict"], "unanswered");
    assert!(said.err.contains("no running Fleetward is asked"), "{}", said.err);
}

#[test]
fn what_fails_decides_the_exit_code_and_a_report_is_compared_with_the_last() {
    let home = home();
    let first = lens(&home, &all(&["--no-running", "--format", "json", "--output", "@first.json"]));
    assert!(first.code == Some(0) && first.out.is_empty(), "{first:?}");
    let taken = lens(&home, &all(&["--format", "json", "--output", "@first.json"]));
    assert!(taken.code == Some(1) && taken.err.contains("--force writes over it"), "{taken:?}");
    assert_eq!(lens(&home, &all(&["--format", "json", "--output", "@first.json", "--force"])).code, Some(0));

    home.write("audit.json", &audit(2));
    let second = lens(&home, &all(&["--previous", "@first.json", "--fail-on", "high"]));
    assert_eq!(second.code, Some(3), "{second:?}");
    assert!(second.out.contains("## Since the last review"), "{}", second.out);
    assert!(
        second
            .out
            .contains("| 1.1 | Every device has an identity of its own | **met** | **not met** | worse |")
    );
    assert!(second.out.contains("2 findings of BROKER_ANONYMOUS_ACCESS_CHECK"), "{}", second.out);

    // Without a registry the application is a device, too: 13.1 (Required) is not met. And where only 11.4
    // (Recommended) is not met, it fails the lowest level alone.
    let only = |level| lens(&home, &["review", "--events", "@events.jsonl", "--fail-on", level]).code;
    assert_eq!([only("high"), only("medium"), only("low")], [Some(3), Some(3), Some(3)]);
    let registered =
        |level| lens(&home, &["review", "--evidence", "@evidence.json", "--fail-on", level]).code;
    home.write("evidence.json", r#"{"stream": {"jitteredThings": {"part": 1, "of": 9}}}"#);
    assert_eq!([registered("high"), registered("medium"), registered("low")], [Some(0), Some(0), Some(3)]);
}

#[test]
fn html_is_one_page_without_script() {
    let home = home();
    home.write("review.toml", &REVIEW.replace("40 pumps", "<script>alert(1)</script>"));
    let said = lens(&home, &all(&["--review", "@review.toml", "--format", "html"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("<!DOCTYPE html>") && said.out.ends_with("</html>\n"));
    assert!(!said.out.contains("<script") && said.out.contains("&lt;script&gt;"));
    assert!(!said.out.contains("src=") && !said.out.contains("<link"));
}

#[test]
fn a_template_is_filled_in_and_keeps_what_it_has() {
    let home = home();
    let template = lens(&home, &["template"]);
    assert!(template.code == Some(0) && template.out.contains("# 28.1 "), "{template:?}");
    home.write("new.toml", &template.out);
    let early = lens(&home, &["review", "--review", "@new.toml"]);
    assert_eq!(early.code, Some(2));
    assert!(
        early.err.contains("new.toml:7:8: error: workload.name: is empty; expected a text"),
        "{}",
        early.err
    );

    let kept = lens(&home, &["template", "--from", "@review.toml", "--output", "@next.toml"]);
    assert_eq!(kept.code, Some(0), "{kept:?}");
    let report = |file| {
        let said = lens(&home, &["review", "--review", file, "--format", "json"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let mut report: Value = serde_json::from_str(&said.out).unwrap();
        report["sources"] = Value::Null;
        report
    };
    assert_eq!(report("@next.toml"), report("@review.toml"));
}

#[test]
fn wrong_files_are_named_with_their_place() {
    let home = home();
    for (file, text, option, expected) in [
        (
            "r.toml",
            REVIEW.replace("26.1", "26.9"),
            "--review",
            "r.toml:20:12: error: answer[1].practice: no best practice has the id `26.9`",
        ),
        ("a.json", "[{}]".to_owned(), "--audit", "a.json:1:3: error: missing field `checkName`"),
        (
            "e.json",
            "{\"stream\": {\n  \"thing\": 1}}".to_owned(),
            "--evidence",
            "e.json:2:9: error: unknown field `thing`",
        ),
        (
            "p.json",
            "{\"format\": \"x\", \"day\": \"\", \"practices\": []}".to_owned(),
            "--previous",
            "p.json:1:1: error: format: found `x`",
        ),
        ("c.toml", "[dat]\n".to_owned(), "--config", "c.toml:1:2: error: unknown field `dat`"),
    ] {
        home.write(file, &text);
        let said = lens(&home, &["review", option, &format!("@{file}")]);
        assert!(said.code == Some(2) && said.err.contains(expected) && said.out.is_empty(), "{said:?}");
    }
    let missing = lens(&home, &["review", "--review", "/nonexistent"]);
    assert!(missing.code == Some(1) && missing.err.contains("`/nonexistent`"), "{missing:?}");
}

#[test]
fn practices_are_listed_and_explained() {
    let list = run(&["lens", "list"]);
    assert!(list.code == Some(0) && list.out.lines().count() == 72, "{list:?}");
    let json = run(&["lens", "list", "--json"]);
    let rows: Vec<Value> = json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (rows.len(), rows[0]["id"].as_str(), rows[70]["id"].as_str()),
        (71, Some("1.1"), Some("28.1"))
    );
    let one = run(&["lens", "explain", "11.4"]);
    assert!(one.out.starts_with("11.4 Devices reconnect with growing, jittered pauses\n"), "{one:?}");
    let none = run(&["lens", "explain", "99.1"]);
    assert!(none.code == Some(2) && none.err.contains("no best practice has the id `99.1`"), "{none:?}");
}

#[test]
fn a_running_server_and_its_journal_are_evidence() {
    let home = home();
    let serve = home.serve();
    let said = home.run(&["lens", "evidence"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let evidence: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(evidence["running"]["deadLetters"], 0, "{evidence:#}");
    assert_eq!(evidence["running"]["provenMitigations"], 0);
    assert_eq!(evidence["configuration"]["groupRules"], 1);
    assert_eq!(
        evidence["registry"]["attributes"]["firmware"],
        json!({"things": 40, "negative": 0, "values": 1})
    );
    // A session in the log comes back as a figure of the journal.
    let log = home.path("mosquitto.log");
    let lines = "1767600000: New client connected from 198.51.100.9:5000 as pump-01 (p2, c1, k60, u'pump-01').\n\
                 1767600100: Client pump-01 disconnected.\n";
    std::fs::write(&log, lines).unwrap();
    crate::support::until("the journal has the session", || {
        let said = home.run(&["lens", "evidence", "--no-running"]);
        let evidence: Value =
            serde_json::from_str(&said.out).map_err(|error| format!("{error}: {said:?}"))?;
        match &evidence["stream"]["withPrincipal"] {
            share if *share == json!({"part": 1, "of": 1}) => Ok(()),
            _ => Err(evidence.to_string()),
        }
    });
    serve.stop();
}
