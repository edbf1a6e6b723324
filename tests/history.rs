//! Values of metrics from the report to the command line, across a kill and without a running engine;
//! and the worker that writes what is over, played here by a script (its own tests are in `analyst/`).

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::{
    mosquitto::{Mosquitto, Setup},
    support::{
        devices::{report, report_topic},
        program::Home,
        until, until_is,
    },
};

fn home_with(broker: &Mosquitto, history: &str) -> Home {
    let home = Home::new();
    home.profile(
        "ports",
        &json!([{"name": "unknown-port", "metric": "aws:listening-tcp-ports",
                 "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]},
                              "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
                {"name": "many-ports", "metric": "aws:num-listening-tcp-ports",
                 "criteria": {"comparisonOperator": "less-than", "value": {"count": 100}, "durationSeconds": 1,
                              "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}}]),
    );
    home.configure(&format!(
        "[detect]\nbucket_secs = 1\nlateness_ms = 100\n\n[journal]\nsnapshot_secs = 1\n\n[history]\n{history}\n\
         [[source.mqtt]]\nname = \"reports\"\nhost = \"127.0.0.1\"\nport = {}\ntls = {{ enabled = false }}\n",
        broker.port
    ));
    home
}

/// What `fleetward history` prints of a metric, as JSON lines.
fn values(home: &Home, metric: &str) -> Vec<Value> {
    let said = home.done(&["history", "web", metric, "--from", "1h", "--json"]);
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn values_are_kept_once_across_a_kill_and_can_be_read_without_an_engine() {
    let broker = Setup::plain().start();
    let home = home_with(&broker, "parquet = false\n");
    let serve = home.serve();
    let mut id = 0;
    let mut tell = |ports: &[u16]| {
        id += 1;
        broker.publish_bytes(&report_topic("web"), report(id, ports).as_bytes(), &[]);
    };
    tell(&[22, 80]);
    let lists = || values(&home, "aws:listening-tcp-ports");
    let numbers = || values(&home, "aws:num-listening-tcp-ports");
    let first = until_is("the list is kept", lists, |found| found.len() == 1);
    assert_eq!(first[0]["ports"], json!([22, 80]));
    let counts = until_is("the number is kept when its window is over", numbers, |found| !found.is_empty());
    assert_eq!((counts[0]["number"].as_f64(), counts[0]["windowSecs"].as_u64()), (Some(2.0), Some(1)));
    tell(&[22]);
    let before = until_is("the second list is kept", lists, |found| found.len() == 2);
    until_is("the second number is kept", numbers, |found| {
        found.last().is_some_and(|last| last["number"] == 1.0)
    });
    let status = home.get("/fleetward/v1/status");
    assert!(status["history"]["values"].as_u64().unwrap() >= 4, "{status}");
    assert_eq!(status["history"]["parquet"]["off"], "switched off (`history.parquet`)");
    let counts = numbers();
    serve.kill();

    // Nothing runs: the folder answers.
    assert_eq!(lists(), before);
    assert_eq!(numbers(), counts);
    let table = home.done(&["history", "web", "aws:listening-tcp-ports"]);
    assert!(table.starts_with("WINDOW END") && table.contains("  each       22 80\n"), "{table}");

    // The engine folds its tail again: each value is still there once.
    let serve = home.serve();
    until_is("values are there again", lists, |found| *found == before);
    tell(&[22, 443]);
    let after = until_is("new ones come", lists, |found| found.len() == 3);
    assert_eq!(after[..2], before);
    assert_eq!(numbers()[..counts.len()], counts);
    serve.stop();
    assert_eq!(lists(), after);
    assert_eq!(home.done(&["history", "nobody", "aws:listening-tcp-ports"]), "no values\n");
    let said = home.run(&["history", "web", "x", "--from", "yesterday"]);
    assert_eq!(said.code, Some(2));
}

#[test]
fn the_journal_goes_only_when_the_worker_has_written_it() {
    let broker = Setup::plain().start();
    let home = home_with(&broker, "analyst = \"worker\"\nevery_secs = 1\n");
    // Keeps what it is asked, and answers what stands in a file; fails while there is none.
    let script = format!(
        "#!/bin/sh\nexport PATH=/usr/bin:/bin\ncd '{}'\ncat > request.tmp; env > environment\nmv request.tmp request\ncat answer\n",
        home.path("").display()
    );
    home.write("worker", &script);
    fs::set_permissions(home.path("worker"), fs::Permissions::from_mode(0o755)).unwrap();
    let serve = home.serve();
    broker.publish_bytes(&report_topic("web"), report(1, &[22]).as_bytes(), &[]);
    let parquet = || home.get("/fleetward/v1/status")["history"]["parquet"].clone();
    let failed = until_is("the worker fails", parquet, |parquet| parquet["error"].is_string());
    assert!(
        failed["error"].as_str().unwrap().starts_with("the worker ended with exit status: 1"),
        "{failed}"
    );
    until("the failure shows", || match home.try_get("/readyz") {
        Err(error) if error.contains("history worker: the journal is kept") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let request: Value = serde_json::from_slice(&fs::read(home.path("request")).unwrap()).unwrap();
    assert_eq!(request["lake"], home.path("data/lake").to_str().unwrap());
    assert_eq!(request["history"], home.path("data/history").to_str().unwrap());
    assert_eq!(request["journal"]["dir"], home.path("data/engine/journal").to_str().unwrap());
    assert_eq!((request["memoryMib"].as_u64(), request["days"].as_u64()), (Some(1024), Some(365)));
    let sources = request["journal"]["sources"].as_object().unwrap();
    assert_eq!(sources.values().collect::<Vec<_>>(), [&json!({"name": "reports"})]);
    let environment = fs::read_to_string(home.path("environment")).unwrap();
    assert!(environment.contains("POLARS_MAX_THREADS=1") && !environment.contains("HOME="), "{environment}");

    home.write("answer", "{\"wrote\": \"x\"}\n{\"done\": {\"journalNext\": 3, \"metricDays\": 0}}\n");
    let done = until_is("the worker succeeds", parquet, |parquet| parquet["error"].is_null());
    assert_eq!(done["lastRun"]["journalNext"], 3);
    until("it is ready again", || {
        home.try_get("/readyz")
            .map_or_else(|error| if error.contains("history") { Err(error) } else { Ok(()) }, |_| Ok(()))
    });
    serve.stop();
}
