//! The table of attack stories: what a change of a profile or of the engine does to detection shows
//! in `docs/stories.md`.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{datasets::folder, support::program::run};

const BEGIN: &str = "<!-- fleetward stories -->\n```text\n";
const END: &str = "```\n";

/// `FLEETWARD_UPDATE_STORIES=1` writes the table into the page instead.
#[test]
fn the_page_has_the_table_of_the_shipped_profiles() {
    let said = run(&["stories", "--datasets", &folder()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stories.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    if std::env::var_os("FLEETWARD_UPDATE_STORIES").is_some() {
        fs::write(path, format!("{before}{BEGIN}{}{END}{after}", said.out)).unwrap();
        return;
    }
    for (found, expected) in said.out.lines().zip(table.lines()) {
        assert_eq!(found, expected, "docs/stories.md differs; FLEETWARD_UPDATE_STORIES=1 writes it anew");
    }
    assert_eq!(said.out, table, "docs/stories.md differs; FLEETWARD_UPDATE_STORIES=1 writes it anew");
}

/// What must not get worse whatever the profiles become: every attack on the MQTT captures is caught,
/// and nothing is told about those that only do their work (the set's README calls less a defect).
#[test]
fn mqtt_attacks_are_caught_and_benign_devices_left_alone() {
    let said = run(&["stories", "--datasets", &folder(), "--json"]);
    let stories: Value = serde_json::from_str(&said.out).unwrap();
    let of_mqtt = |rows: &str| -> Vec<Value> {
        let rows = stories[rows].as_array().unwrap().iter();
        rows.filter(|row| row["dataSet"] == "mqttset-pcap").cloned().collect()
    };
    let attacks = of_mqtt("attacks");
    assert_eq!(attacks.len(), 3);
    for attack in attacks {
        assert_eq!(attack["caught"], 1, "{attack}");
        assert!(attack["afterSecs"].as_f64().unwrap() < 120.0, "{attack}");
    }
    let benign = of_mqtt("benign");
    assert_eq!(benign.len(), 1);
    assert_eq!(benign[0]["falseAlarms"], 0, "{benign:?}");
    for row in stories["benign"].as_array().unwrap() {
        let quiet =
            matches!(row["dataSet"].as_str(), Some("iot23-conn" | "iot-sentinel-setup" | "nemea-siot-flows"));
        assert!(!quiet || row["falseAlarms"] == 0, "{row}");
    }
}

/// A profile that lies in the folder and is not in the list would silently be left out.
#[test]
fn every_shipped_profile_is_in_the_table() {
    let mut shipped: Vec<String> =
        fleetward::stories::SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut there: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    shipped.sort_unstable();
    there.sort_unstable();
    assert_eq!(shipped, there);
}

#[test]
fn other_profiles_may_be_tried() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().display().to_string();
    let said = run(&["stories", "--datasets", &folder(), "--profiles", &path, "--json"]);
    let stories: Value = serde_json::from_str(&said.out).unwrap();
    assert!(stories["attacks"].as_array().unwrap().iter().all(|row| row["caught"] == 0));
    assert!(stories["benign"].as_array().unwrap().iter().all(|row| row["falseAlarms"] == 0));
    fs::write(empty.path().join("p.json"), "{").unwrap();
    let said = run(&["stories", "--datasets", &folder(), "--profiles", &path]);
    assert!(said.code == Some(2) && said.err.contains("p.json:1:"), "{said:?}");
}
