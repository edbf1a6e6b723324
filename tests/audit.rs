//! `fleetward audit` on a folder made here, in every form, with its exit codes; and on the real
//! configurations, policies and certificates of the data sets.

mod fixture;
mod real;
mod sarif;

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{Said, run};

/// Runs `fleetward audit`.
fn audit(arguments: &[&str]) -> Said {
    run(&[&["audit"], arguments].concat())
}

/// Compares with a file beside this one; with `UPDATE_GOLDEN` set it is written anew.
#[track_caller]
fn check_golden(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, seen).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(seen == expected, "{} differs; seen:\n{seen}\nset UPDATE_GOLDEN=1 to accept it", path.display());
}

/// Runs an audit of the fixture at the time it is made for.
fn of(dir: &TempDir, more: &[&str]) -> Said {
    let root = dir.path().join("fleet");
    audit(&[&["run", "--offline", root.to_str().unwrap(), "--now", fixture::NOW], more].concat())
}

#[test]
fn reports_of_every_form() {
    let dir = fixture::folder();
    let root = dir.path().join("fleet").display().to_string();
    for (form, name) in [("table", "table.txt"), ("json", "report.json"), ("html", "page.html")] {
        let said = of(&dir, &["--format", form, "--verbose"]);
        assert_eq!((said.code, &*said.err), (Some(1), ""), "{said:?}");
        check_golden(name, &said.out.replace(&root, "DIR"));
    }
    let sarif = of(&dir, &["--format", "sarif"]);
    check_golden("report.sarif", &sarif.out.replace(&root, "/DIR"));
    sarif::check_shape(&serde_json::from_str(&sarif.out).unwrap());

    let file = dir.path().join("out.html");
    let written = of(&dir, &["--format", "html", "--output", file.to_str().unwrap()]);
    assert_eq!((written.code, &*written.out), (Some(1), ""));
    let page = fs::read_to_string(file).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img") && page.contains("&lt;img"), "{page}");
    assert_eq!(of(&dir, &[]).out, of(&dir, &[]).out, "the same folder gives the same report");
}

#[test]
fn exit_codes_tell_findings_from_errors() {
    let dir = fixture::folder();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("notes.txt"), "nothing\n").unwrap();
    let only = |check, level| of(&dir, &["--check", check, "--severity", level]).code;
    let expiring = "DEVICE_CERTIFICATE_EXPIRING_CHECK";
    assert_eq!(only(expiring, "low"), Some(1));
    assert_eq!(only(expiring, "MEDIUM"), Some(1), "as bad as the level");
    assert_eq!(only(expiring, "high"), Some(0));
    assert_eq!(only("CA_CERTIFICATE_EXPIRING_CHECK", "low"), Some(0));
    for (arguments, expected) in [
        (&["run"][..], "--offline <DIR>"),
        (&["run", "--offline", "/no/such/folder"], "`/no/such/folder`: No such file"),
        (&["run", "--offline", empty.to_str().unwrap()], "holds nothing to audit: 1 files, 1 not looked at"),
        (
            &["run", "--offline", ".", "--check", "LOGGING_DISABLE_CHECK"],
            "did you mean `LOGGING_DISABLED_CHECK`?",
        ),
        (&["run", "--offline", ".", "--severity", "bad"], "allowed are critical, high, medium and low"),
        (&["run", "--offline", ".", "--now", "soon"], "expected 2026-12-31 or 2026-12-31T00:00:00Z"),
        (&["run", "--offline", ".", "--set", "x"], "expected CHECK:NAME=VALUE"),
        (
            &[
                "run",
                "--offline",
                ".",
                "--set",
                "DEVICE_CERTIFICATE_EXPIRING_CHECK:CERT_EXPIRATION_THRESHOLD_IN_DAYS=1",
            ],
            "expected a whole number from 30 to 3652",
        ),
        (&["explain", "NO_CHECK"], "there is no check `NO_CHECK`"),
        (&["diff", "a.json", "b.json"], "`a.json`: No such file"),
    ] {
        let said = audit(arguments);
        assert!(said.code == Some(2) && said.err.contains(expected), "{arguments:?}: {said:?}");
    }
}

#[test]
fn parameters_facts_and_lists_of_keys_change_what_is_checked() {
    let dir = fixture::folder();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let checks = |said: &Said| -> Vec<(String, u64)> {
        let report: Value = serde_json::from_str(&said.out).unwrap();
        let row = |check: &Value| {
            let count = check["nonCompliantResourcesCount"].as_u64().unwrap();
            (check["checkRunStatus"].as_str().unwrap().to_owned(), count)
        };
        report["checks"].as_array().unwrap().iter().map(row).collect()
    };
    let expiring = "DEVICE_CERTIFICATE_EXPIRING_CHECK";
    let set = format!("{expiring}:CERT_EXPIRATION_THRESHOLD_IN_DAYS=3000");
    let more = of(&dir, &["--check", expiring, "--format", "json", "--set", &set]);
    assert_eq!(checks(&more), [("COMPLETED_NON_COMPLIANT".into(), 4)]);

    let before = of(&dir, &["--check", "BLAST_RADIUS_CHECK", "--format", "json"]);
    assert_eq!(checks(&before), [("WAITING_FOR_DATA_COLLECTION".into(), 0)]);
    fs::write(path("facts.json"), r#"{"things": ["pump-1", "pump-2"], "templates": ["devices/{thing}/#"]}"#)
        .unwrap();
    let facts = ["--check", "BLAST_RADIUS_CHECK", "--format", "json", "--facts", &path("facts.json")];
    assert_eq!(checks(&of(&dir, &facts)), [("COMPLETED_NON_COMPLIANT".into(), 4)]);
    fs::write(path("facts.json"), "{\"thinks\": []}").unwrap();
    let said = of(&dir, &facts);
    assert!(
        said.code == Some(2) && said.err.contains("facts.json:1:9: error: unknown field `thinks`"),
        "{said:?}"
    );

    fs::write(path("keys.txt"), format!("{}\n", "ab".repeat(32))).unwrap();
    let keys =
        ["--check", "CERTIFICATE_KEY_PUBLIC_CHECK", "--format", "json", "--public-keys", &path("keys.txt")];
    assert_eq!(checks(&of(&dir, &keys)), [("COMPLETED_COMPLIANT".into(), 0)]);
    fs::write(path("keys.txt"), "short\n").unwrap();
    let said = of(&dir, &keys);
    assert!(said.code == Some(2) && said.err.contains("line 1: not an entry"), "{said:?}");
}

#[test]
fn a_suppressed_finding_counts_again_when_its_time_is_over() {
    let dir = fixture::folder();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (report, file) = (path("report.json"), path("accepted.json"));
    let check = "DEVICE_CERTIFICATE_EXPIRING_CHECK";
    assert_eq!(of(&dir, &["--check", check, "--format", "json", "--output", &report]).code, Some(1));
    let first: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    let findings = first["checks"][0]["findings"].as_array().unwrap();
    let ids: Vec<&str> = findings.iter().map(|finding| finding["findingId"].as_str().unwrap()).collect();
    let suppress = |more: &[&str]| {
        let common = ["suppress", "--report", &report, "--file", &file, "--reason", "replaced soon"];
        audit(&[&common[..], more].concat())
    };
    let far = "2100-01-01";
    let said = suppress(&[&["--until", far], &ids[..]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("suppressed until 2100-01-01T00:00:00Z: DEVICE_CERTIFICATE_EXPIRING_CHECK"),
        "{said:?}"
    );

    let run = |now| {
        let root = dir.path().join("fleet").display().to_string();
        audit(&["run", "--offline", &root, "--check", check, "--suppressions", &file, "--now", now])
    };
    let held = run("2026-06-01");
    assert!(held.code == Some(0) && held.out.contains("(suppressed)"), "{held:?}");
    let over = run(far);
    assert!(
        over.code == Some(1) && over.out.contains("suppressions have expired and count again"),
        "{over:?}"
    );

    for (more, expected) in [
        (&["--until", "2020-01-01", ids[0]][..], "--until is in the past"),
        (&["--until", far, "0000"], "has no finding `0000`"),
        (&[ids[0]], "--until <TIME>"),
    ] {
        let said = suppress(more);
        assert!(said.code == Some(2) && said.err.contains(expected), "{said:?}");
    }
    fs::write(&file, r#"{"suppressions": [{"checkName": "X"}]}"#).unwrap();
    let said = run(far);
    assert!(said.code == Some(2) && said.err.contains("accepted.json:1:"), "{said:?}");
}

#[test]
fn reports_are_compared() {
    let dir = fixture::folder();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (old, new) = (path("old.json"), path("new.json"));
    assert_eq!(of(&dir, &["--format", "json", "--output", &old]).code, Some(1));
    let same = audit(&["diff", &old, &old]);
    assert!(same.code == Some(0) && same.out.starts_with("0 new, 0 gone, "), "{same:?}");
    let conf = dir.path().join("fleet/mosquitto/mosquitto.conf");
    fs::write(&conf, fs::read_to_string(&conf).unwrap() + "user root\nlog_dest none\n").unwrap();
    fs::remove_file(dir.path().join("fleet/policies/wide.json")).unwrap();
    assert_eq!(of(&dir, &["--format", "json", "--output", &new]).code, Some(1));
    let changed = audit(&["diff", &old, &new]);
    assert_eq!(changed.code, Some(1), "{changed:?}");
    check_golden("diff.txt", &changed.out);
    let json: Value = serde_json::from_str(&audit(&["diff", &old, &new, "--json"]).out).unwrap();
    assert_eq!(json["appeared"].as_array().unwrap().len(), 2);
}

#[test]
fn checks_are_listed_and_explained() {
    let list = audit(&["list"]);
    assert_eq!(list.code, Some(0));
    let names: Vec<&str> = list.out.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    let json: Value = serde_json::from_str(&audit(&["list", "--json"]).out).unwrap();
    assert_eq!(json.as_array().unwrap().len(), names.len());
    for name in names {
        let said = audit(&["explain", name]);
        assert!(said.code == Some(0) && said.out.contains("What to do: "), "{said:?}");
    }
    check_golden("explain.txt", &audit(&["explain", "DEVICE_CERTIFICATE_AGE_CHECK"]).out);
}
