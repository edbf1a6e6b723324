//! The shape of SARIF 2.1.0 as far as it is used: the members that its schema allows and requires for
//! each object (OASIS sarif-v2.1.0, sections 3.13 to 3.59).

use serde_json::Value;

/// Object, required members, further allowed members of those that are used here.
const OBJECTS: [(&str, &[&str], &[&str]); 17] = [
    ("log", &["version", "runs"], &["$schema"]),
    ("run", &["tool"], &["columnKind", "originalUriBaseIds", "invocations", "results"]),
    ("tool", &["driver"], &[]),
    ("driver", &["name"], &["semanticVersion", "rules"]),
    ("rule", &["id"], &["shortDescription", "fullDescription", "help", "defaultConfiguration", "properties"]),
    ("configuration", &[], &["level"]),
    ("text", &["text"], &[]),
    ("invocation", &["executionSuccessful"], &["toolExecutionNotifications"]),
    ("notification", &["message"], &["level"]),
    (
        "result",
        &["message"],
        &["ruleId", "ruleIndex", "level", "locations", "partialFingerprints", "suppressions", "properties"],
    ),
    ("location", &[], &["physicalLocation", "logicalLocations"]),
    ("physical", &["artifactLocation"], &["region"]),
    ("artifact", &[], &["uri", "uriBaseId"]),
    ("region", &[], &["startLine", "startColumn"]),
    ("logical", &[], &["fullyQualifiedName", "kind"]),
    ("suppression", &["kind"], &[]),
    ("base", &["uri"], &[]),
];

fn object(value: &Value, name: &str) {
    let (_, required, allowed) = OBJECTS.iter().find(|(known, ..)| *known == name).unwrap();
    let members = value.as_object().unwrap_or_else(|| panic!("{name} is no object: {value}"));
    for member in *required {
        assert!(members.contains_key(*member), "{name} without {member}: {value}");
    }
    for member in members.keys() {
        let is_known = required.contains(&member.as_str()) || allowed.contains(&member.as_str());
        assert!(is_known, "{name} has `{member}`: {value}");
    }
}

fn each<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().for_each(|one| object(one, name));
    list
}

fn level(value: &Value) {
    let level = value["level"].as_str().unwrap();
    assert!(["none", "note", "warning", "error"].contains(&level), "{level}");
}

pub(super) fn check_shape(log: &Value) {
    object(log, "log");
    assert_eq!(log["version"], "2.1.0");
    for run in each(&log["runs"], "run") {
        object(&run["tool"], "tool");
        object(&run["tool"]["driver"], "driver");
        assert!(["utf16CodeUnits", "unicodeCodePoints"].contains(&run["columnKind"].as_str().unwrap()));
        for base in run["originalUriBaseIds"].as_object().unwrap().values() {
            object(base, "base");
            assert!(base["uri"].as_str().unwrap().ends_with('/'), "{base}");
        }
        let rules = each(&run["tool"]["driver"]["rules"], "rule");
        for rule in rules {
            ["shortDescription", "fullDescription", "help"]
                .iter()
                .for_each(|text| object(&rule[*text], "text"));
            object(&rule["defaultConfiguration"], "configuration");
            level(&rule["defaultConfiguration"]);
        }
        for invocation in each(&run["invocations"], "invocation") {
            for note in each(&invocation["toolExecutionNotifications"], "notification") {
                object(&note["message"], "text");
                level(note);
            }
        }
        let results = each(&run["results"], "result");
        assert!(!results.is_empty());
        results.iter().for_each(|one| result(one, rules, run));
    }
}

fn result(result: &Value, rules: &[Value], run: &Value) {
    object(&result["message"], "text");
    level(result);
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(rules[index]["id"], result["ruleId"]);
    assert!(result["partialFingerprints"].as_object().unwrap().values().all(Value::is_string));
    each(&result["suppressions"], "suppression");
    for location in each(&result["locations"], "location") {
        each(&location["logicalLocations"], "logical");
        let Some(physical) = location.get("physicalLocation") else { continue };
        object(physical, "physical");
        let artifact = &physical["artifactLocation"];
        object(artifact, "artifact");
        let uri = artifact["uri"].as_str().unwrap();
        let is_uri = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte);
        assert!(!uri.starts_with('/') && uri.bytes().all(is_uri), "{uri}");
        assert!(run["originalUriBaseIds"].get(artifact["uriBaseId"].as_str().unwrap()).is_some());
        if let Some(region) = physical.get("region") {
            object(region, "region");
            assert!(
                region.as_object().unwrap().values().all(|number| number.as_u64() >= Some(1)),
                "{region}"
            );
        }
    }
}
