//! Every real broker configuration is read and audited, with the verdicts of the data set.

use std::{collections::BTreeMap, path::Path};

use audits::{
    finding::Finding,
    policy::{
        blast::{Things, blast_radius},
        check::{Template, acl},
        form::Document,
        parse::{dynsec, emqx, mosquitto, nats, rabbitmq},
    },
};

use crate::data_set;

fn documents(folder: &Path) -> Vec<(String, Document)> {
    let mut documents = Vec::new();
    let read = |name: &str| {
        std::fs::read(folder.join(name)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    if let Some(text) = read("acl") {
        documents.push((text.clone(), mosquitto::parse("acl", &text)));
    }
    if let Some(text) = read("dynamic-security.json") {
        documents.push((text.clone(), dynsec::parse("dynamic-security.json", &text)));
    }
    if let Some(text) = read("acl.conf") {
        documents.push((text.clone(), emqx::parse("acl.conf", &text, emqx::NoMatch::Allow)));
    }
    if let Some(text) = read("definitions.json") {
        documents.push((text.clone(), rabbitmq::parse("definitions.json", &text)));
    }
    documents
}

fn all() -> BTreeMap<String, (usize, Vec<Finding>)> {
    let things = Things::new((0..1_000).map(|index| format!("device{index}")).collect());
    let templates = [Template::parse("devices/{thing}/#").unwrap()];
    let mut found: BTreeMap<String, (usize, Vec<Finding>)> = BTreeMap::new();
    for entry in std::fs::read_dir(data_set("mqtt-broker-configs")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        for (text, document) in documents(&folder) {
            let lines = text.lines().count();
            let findings = acl::audit(&document, &acl::Known::default());
            for finding in &findings {
                assert!(finding.line() <= lines, "{name}: {finding}");
            }
            for subject in &document.subjects {
                let blast = blast_radius(&document, subject, &things, &templates);
                assert!(blast.write.is_ok() && blast.read.is_ok(), "{name}: {}", subject.name);
            }
            let entry = found.entry(name.clone()).or_default();
            entry.0 += 1;
            entry.1.extend(findings);
        }
    }
    found
}

#[test]
fn every_real_acl_has_its_verdict() {
    let found = all();
    assert!(found.values().map(|(documents, _)| documents).sum::<usize>() >= 20, "{found:?}");
    let table = std::fs::read_to_string(data_set("mqtt-broker-configs").join("verdicts.csv")).unwrap();
    let (mut right, mut wrong) = (0, Vec::new());
    for row in table.lines().skip(1) {
        let mut cells = row.splitn(4, ',');
        let (name, check, verdict) = (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        let wanted = match check {
            "acl_root_wildcard" | "dynsec_root_wildcard" | "over_broad_permission" => {
                &["ACL_ROOT_WILDCARD_CHECK"][..]
            }
            // EMQX's `{allow, all}` at the end is both: everything, by default.
            "acl_default_allow" => &["ACL_DEFAULT_ALLOW_CHECK", "ACL_ROOT_WILDCARD_CHECK"],
            "dynsec_default_allow" => &["ACL_DEFAULT_ALLOW_CHECK"],
            _ => continue,
        };
        let Some((_, findings)) = found.get(name).filter(|_| verdict == "pass" || verdict == "fail") else {
            continue;
        };
        let fails = findings.iter().any(|finding| wanted.contains(&&*finding.check));
        if fails == (verdict == "fail") {
            right += 1;
        } else {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            wrong.push(format!("{row}\n   {}", findings.join("\n   ")));
        }
    }
    println!("{right} verdicts as in the table");
    for row in &wrong {
        println!("{row}");
    }
    assert!(wrong.is_empty());
}

#[test]
fn nats_captures_of_the_data_set_hold_no_configuration() {
    // There is no NATS configuration among the data; any text must do.
    for entry in std::fs::read_dir(data_set("mqtt-broker-configs")).unwrap() {
        let conf = entry.unwrap().path().join("mosquitto.conf");
        if let Ok(bytes) = std::fs::read(conf) {
            let document = nats::parse("nats.conf", &String::from_utf8_lossy(&bytes));
            assert!(document.subjects.is_empty());
        }
    }
}
