//! The commands as a person types them: help, exit codes, problems with their places, a replay that
//! gives the same to the byte.

use std::fs;

use serde_json::{Value, json};

use crate::support::program::{Home, profile, run};

const COMMANDS: [&str; 18] = [
    "user",
    "api",
    "serve",
    "check",
    "audit",
    "demo",
    "replay",
    "datasets",
    "stories",
    "suggest",
    "explain",
    "status",
    "alarms",
    "tasks",
    "lens",
    "undo",
    "verify-log",
    "completions",
];

#[test]
fn help_and_completions_name_every_command() {
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("Start here:") && help.out.contains("Exit codes:"), "{}", help.out);
    for command in COMMANDS {
        assert!(
            help.out.lines().any(|line| line.starts_with(&format!("  {command} "))),
            "{command}: {}",
            help.out
        );
        let own = run(&[command, "--help"]);
        assert!(own.code == Some(0) && own.out.contains("Usage:"), "{own:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{shell}");
        for command in COMMANDS {
            assert!(script.out.contains(command), "{command} for {shell}");
        }
    }
    for wrong in [&["no-such-command"][..], &["check", "--no-such-option"], &[]] {
        let said = run(wrong);
        assert!(said.code == Some(2) && said.err.contains("Usage:"), "{said:?}");
    }
}

#[test]
fn check_names_every_problem_with_its_place() {
    let home = Home::new();
    home.write(
        "profiles/a.json",
        "{\"securityProfileName\": \"a\",\n \"behaviors\": [{\"name\": \"b\", \"metric\": \"aws:nothing\"}]}",
    );
    home.write("actions/q.json", "{\"actionName\": \"q\",\n \"actionParams\": {}}");
    home.write(
        "fleetward.toml",
        "[data]\nstore = \"rocks\"\n[files]\nprofiles = \"profiles\"\nactions = \"actions\"\n[detect]\nbucket_sec = 5\nshards = \"two\"\n",
    );
    let first = home.run(&["check"]);
    assert_eq!(first.code, Some(2), "{first:?}");
    let file = home.path("fleetward.toml").display().to_string();
    for place in ["7:1: error: unknown field `bucket_sec`", "8:10: error: invalid type: string \"two\""] {
        assert!(first.out.contains(&format!("{file}:{place}")), "{}", first.out);
    }
    assert!(first.out.contains("did you mean `bucket_secs`?"), "{}", first.out);

    home.write(
        "fleetward.toml",
        "[data]\nstore = \"redb\"\n[files]\nprofiles = \"profiles\"\nactions = \"actions\"\n[[response.rules]]\naction = \"quarantin\"\n",
    );
    let second = home.run(&["check"]);
    assert_eq!(second.code, Some(2), "{second:?}");
    for place in ["profiles/a.json:2:", "actions/q.json:2:", "fleetward.toml:7:"] {
        assert!(
            second.out.lines().any(|line| line.contains(place) && line.contains(": error: ")),
            "{place}: {}",
            second.out
        );
    }
    assert!(second.out.contains("`serve` would refuse to start"), "{}", second.out);
    let serve = home.run(&["serve"]);
    assert!(serve.code == Some(2) && serve.err.contains("not started"), "{serve:?}");
    assert!(!home.path("data").exists(), "check and a refused start write nothing");
}

#[test]
fn strict_makes_warnings_count() {
    let home = Home::new();
    home.configure("");
    let usual = home.run(&["check"]);
    assert!(
        usual.code == Some(0) && usual.out.contains("warning: source: no source is configured"),
        "{usual:?}"
    );
    let strict = home.run(&["check", "--strict"]);
    assert_eq!((strict.code, strict.out), (Some(3), usual.out));
}

/// An hour of a small fleet in which one device floods and later stops, one opens a port, and one is fine.
fn recorded() -> String {
    let start = 1_735_689_600_000_i64;
    let mut lines = Vec::new();
    for minute in 0..60_i64 {
        let at = start + minute * 60_000;
        for (client, messages) in [("calm", 3), ("flood", if minute < 20 { 90 } else { 3 }), ("port", 2)] {
            lines.push(json!({"at": at, "event": "connect", "client": client, "ip": "198.51.100.9"}));
            lines.extend((0..messages).map(|n: i64| {
                json!({"at": at + n * 100, "event": "publish", "client": client, "topic": "data", "bytes": 100 + n})
            }));
            lines
                .push(json!({"at": at + 30_000, "event": "disconnect", "client": client, "reason": "clean"}));
        }
        let ports: &[u16] = if (30..40).contains(&minute) { &[22, 4444] } else { &[22] };
        let ports: Vec<Value> = ports.iter().map(|port| json!({"port": port})).collect();
        let report = json!({"header": {"report_id": minute + 1, "version": "1.0"},
            "metrics": {"listening_tcp_ports": {"total": ports.len(), "ports": ports}}});
        lines.push(json!({"at": at + 40_000, "event": "report", "thing": "port", "report": report}));
    }
    lines.push(json!({"at": start + 3_600_000, "event": "no-such-event"}));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_replay_gives_the_same_to_the_byte() {
    let home = Home::new();
    home.write("events.jsonl", &recorded());
    let behaviors = json!([
        {"name": "message-flood", "metric": "aws:num-messages-sent",
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 100}, "durationSeconds": 300,
                      "consecutiveDatapointsToAlarm": 2, "consecutiveDatapointsToClear": 1}},
        {"name": "unknown-port", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]},
                      "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
    ]);
    home.write("profiles/p.json", &profile("p", &behaviors));
    let path = |name: &str| home.path(name).display().to_string();
    let replay = || run(&["replay", "--events", &path("events.jsonl"), "--profiles", &path("profiles")]);
    let first = replay();
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.err.contains("1 refused; 4 transitions, 0 violations open"), "{}", first.err);
    let rows: Vec<Value> = first.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |row: &Value| {
        let text = |at: &str| row.pointer(at).unwrap().as_str().unwrap().to_owned();
        (
            text("/kind"),
            text("/entity/thing"),
            text("/behavior"),
            row["at"].as_i64().unwrap() / 60_000 - 28_928_160,
        )
    };
    let seen: Vec<_> = rows.iter().map(row).collect();
    let wanted = [
        // The second window in a row is over its bound as soon as the hundredth message of it is there.
        ("in-alarm", "flood", "message-flood", 6),
        ("alarm-cleared", "flood", "message-flood", 25),
        ("in-alarm", "port", "unknown-port", 30),
        ("alarm-cleared", "port", "unknown-port", 40),
    ];
    let wanted = wanted.map(|(kind, thing, behavior, minute)| {
        (kind.to_owned(), thing.to_owned(), behavior.to_owned(), minute)
    });
    assert_eq!(seen, wanted);
    let second = replay();
    assert_eq!((first.out, first.err), (second.out, second.err));

    fs::write(home.path("profiles/p.json"), "{").unwrap();
    assert_eq!(replay().code, Some(2));
    let missing = run(&["replay", "--events", "/nonexistent", "--profiles", &path("actions")]);
    assert!(missing.code == Some(1) && missing.err.contains("/nonexistent"), "{missing:?}");
}
