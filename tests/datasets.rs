//! `fleetward datasets`: what is known, whether it is whole, and captures as recorded events.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::support::program::{Home, Said, run};

/// Folder of the data sets, as everywhere.
pub(crate) fn folder() -> String {
    let folder = std::env::var_os("FLEETWARD_DATASETS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets"), PathBuf::from);
    assert!(
        folder.join("mqttset-pcap/README.md").is_file(),
        "`{}` is not the folder of the datasets; set FLEETWARD_DATASETS to it",
        folder.display()
    );
    folder.display().to_string()
}

fn datasets(arguments: &[&str]) -> Said {
    let folder = folder();
    run(&[&["datasets", "--datasets", &folder], arguments].concat())
}

#[test]
fn the_list_has_every_set_and_each_can_be_described() {
    let list = datasets(&["list"]);
    assert_eq!(list.code, Some(0), "{list:?}");
    assert_eq!(list.out.lines().count(), 1 + 26, "{}", list.out);
    let sets: Vec<Value> = serde_json::from_str(&datasets(&["list", "--json"]).out).unwrap();
    for set in &sets {
        let name = set["name"].as_str().unwrap();
        assert!(list.out.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
    }
    let one = datasets(&["describe", "iot23-conn"]);
    assert_eq!(one.code, Some(0), "{one:?}");
    for text in
        ["licence    CC BY 4.0", "captures   8-1, 20-1, honeypot-4-1, honeypot-5-1", "8-1.conn.csv.gz"]
    {
        assert!(one.out.contains(text), "{text}: {}", one.out);
    }
    let rows: Vec<&str> = one.out.lines().filter(|line| line.contains(".csv.gz  ")).collect();
    assert!(rows.len() == 5 && rows.iter().all(|row| row.ends_with("  ok")), "{rows:?}");
}

#[test]
fn what_is_wrong_is_told() {
    let home = Home::new();
    let copy = home.path("sets/nemea-siot-flows");
    fs::create_dir_all(&copy).unwrap();
    let sets = home.path("sets").display().to_string();
    let describe = || run(&["datasets", "--datasets", &sets, "describe", "nemea-siot-flows"]);
    let missing = describe();
    assert!(missing.code == Some(3) && missing.out.trim_end().ends_with("  missing"), "{missing:?}");
    fs::write(copy.join("flows.csv.gz"), "x").unwrap();
    let damaged = describe();
    assert!(damaged.code == Some(3) && damaged.out.trim_end().ends_with("  damaged"), "{damaged:?}");
    assert!(
        damaged.err.contains("has 1 bytes with the SHA-256") && damaged.err.contains("expected are 40573")
    );
    let cases = [
        (&["describe", "iot23-con"][..], "there is no data set `iot23-con`; did you mean `iot23-conn`?"),
        (&["convert", "nab", "--to", "-"], "`nab` is no set of events (table)"),
        (&["convert", "rabbitmq-mqtt-events", "--to", "-"], "is no set of events (events (no decoder yet))"),
        (
            &["convert", "mqttset-pcap", "--to", "-"],
            "found `mqttset-pcap`; allowed are mqttset-pcap/benign-5mb-train,",
        ),
        (&["convert", "mqttset-pcap/x", "--to", "-"], "found `mqttset-pcap/x`; allowed are"),
    ];
    for (arguments, message) in cases {
        let said = datasets(arguments);
        assert!(said.code == Some(1) && said.err.contains(message), "{said:?}");
    }
    let nowhere = run(&["datasets", "--datasets", "/no/such/folder", "describe", "nab"]);
    assert!(nowhere.code == Some(1) && nowhere.err.contains("`/no/such/folder` is no folder"), "{nowhere:?}");
}

/// A converted capture goes through `replay` as any recording does.
#[test]
fn a_converted_capture_is_replayed_with_the_starter_profiles() {
    let home = Home::new();
    let events = home.path("events.jsonl").display().to_string();
    let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
    let cases = [
        ("mqttset-pcap/bruteforce-train", 889, "password-guessing-from-one-address"),
        ("mqttset-pcap/flood-train", 39_453, "message-flood"),
        ("mosquitto-logs-field/home", 3_839, "too-many-connections-from-one-address"),
        ("iot23-conn/8-1", 289, ""),
    ];
    for (name, count, behavior) in cases {
        let converted = datasets(&["convert", name, "--to", &events]);
        assert_eq!(converted.code, Some(0), "{converted:?}");
        let text = fs::read_to_string(&events).unwrap();
        assert_eq!(text.lines().count(), count, "{name}");
        assert!(converted.err.contains(&format!("{name}: {count} events of")), "{}", converted.err);
        let again = datasets(&["convert", name, "--to", "-"]);
        assert!(again.out == text, "{name}: the same again");
        let replayed = run(&["replay", "--events", &events, "--profiles", profiles]);
        assert!(replayed.code == Some(0) && replayed.err.contains(", 0 refused;"), "{replayed:?}");
        let raised = replayed.out.lines().filter(|line| line.contains(r#""kind":"in-alarm""#));
        let names: Vec<bool> =
            raised.map(|line| line.contains(&format!(r#""behavior":"{behavior}""#))).collect();
        assert_eq!(names.contains(&true), !behavior.is_empty(), "{name}: {}", replayed.out);
    }
}
