//! `ValidateSecurityProfileBehaviors` as a function: what is wrong with behaviors, in the words that
//! the API uses for it.

use fleet::problem::{Problem, Severity};
use serde::Serialize;

use super::{
    behavior::{self, BEHAVIORS_MAX},
    document::Document,
};

/// The answer, in the shape of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Whether the behaviors can be used.
    pub valid: bool,
    /// What is wrong, in the order of the text.
    pub validation_errors: Vec<ValidationError>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidationError {
    /// What is wrong, such as `Behavior b is malformed. consecutiveDatapointsToAlarm 11 should be in
    /// range[1,10]`.
    pub error_message: String,
}

/// Checks behaviors: `{"behaviors": [...]}` as the API takes it, or the bare list.
///
/// What AWS would refuse and we evaluate all the same, such as short durations, is valid.
#[must_use]
pub fn validate_behaviors(json: &str) -> Validation {
    let mut document = Document::new("behaviors", json);
    let mut names = Vec::new();
    if let Some(root) = document.parse() {
        let root = Document::root(&root);
        let node = if root.is_list() {
            Some(root)
        } else {
            let fields = document.fields(&root, &["behaviors"]);
            fields.and_then(|fields| document.required(&fields, "behaviors").cloned())
        };
        let nodes = node.and_then(|node| document.list(&node)).unwrap_or_default();
        let mut all = behavior::Behaviors::default();
        if let Some(extra) = nodes.get(BEHAVIORS_MAX) {
            let message = format!("there are {} behaviors; allowed are {BEHAVIORS_MAX}", nodes.len());
            document.error(extra.at(), "", message);
        }
        for node in nodes.iter().take(BEHAVIORS_MAX) {
            names.push(name_in(document.source(node)));
            behavior::read(&mut document, node, &mut all);
        }
    }
    let problems = document.into_problems().filter(|problem| problem.severity == Severity::Error);
    let validation_errors: Vec<_> =
        problems.map(|problem| ValidationError { error_message: in_words(&problem, &names, json) }).collect();
    Validation { valid: validation_errors.is_empty(), validation_errors }
}

fn name_in(source: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(source).unwrap_or_default();
    value.get("name").and_then(serde_json::Value::as_str).unwrap_or("without a name").to_owned()
}

fn in_words(problem: &Problem, names: &[String], json: &str) -> String {
    let (index, place) = place_in_behavior(&problem.place);
    let Some(name) = index.and_then(|index| names.get(index)) else {
        let place = if problem.place.is_empty() { String::new() } else { format!("{}: ", problem.place) };
        return format!("Behaviors are malformed. {place}{}", problem.message);
    };
    let key = place.rsplit('.').next().unwrap_or_default();
    let found = || {
        let value: Option<serde_json::Value> = serde_json::from_str(json).ok();
        let behaviors = value.map(|mut value| match value.get_mut("behaviors") {
            Some(list) => list.take(),
            None => value,
        });
        let criteria = behaviors?.get(index?)?.get("criteria")?.get(key)?.clone();
        Some(criteria.to_string())
    };
    let detail = match (key, found()) {
        ("consecutiveDatapointsToAlarm" | "consecutiveDatapointsToClear", Some(found)) => {
            format!("{key} {found} should be in range[1,10]")
        }
        ("durationSeconds", Some(found)) if problem.message.starts_with("found") => {
            format!("{key} {found} should be one of [300, 600, 900, 1800, 3600]")
        }
        _ if place.is_empty() => problem.message.clone(),
        _ => format!("{place} {}", problem.message),
    };
    format!("Behavior {name} is malformed. {detail}")
}

/// Number of the behavior, and the place in it: of `behaviors[2].criteria.value` 2 and `criteria.value`.
fn place_in_behavior(place: &str) -> (Option<usize>, &str) {
    let inside = place.strip_prefix("behaviors").unwrap_or(place);
    let Some((number, rest)) = inside.strip_prefix('[').and_then(|inside| inside.split_once(']')) else {
        return (None, place);
    };
    (number.parse().ok(), rest.strip_prefix('.').unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &[&str]) {
        let validation = validate_behaviors(json);
        let found: Vec<&str> =
            validation.validation_errors.iter().map(|error| &*error.error_message).collect();
        assert_eq!(found, expected, "{json}");
        assert_eq!(validation.valid, expected.is_empty());
    }

    #[test]
    fn messages_read_like_those_of_the_api() {
        let criteria = |criteria: &str| {
            format!(
                r#"{{"behaviors":[{{"name":"Authorization","metric":"aws:num-authorization-failures","criteria":{criteria}}}]}}"#
            )
        };
        let right = r#"{"comparisonOperator":"less-than","value":{"count":5},"durationSeconds":300}"#;
        check(&criteria(right), &[]);
        // The message of the CLI's own example, word by word.
        check(
            &criteria(&right.replace("300", r#"300,"consecutiveDatapointsToAlarm":100000"#)),
            &[
                "Behavior Authorization is malformed. consecutiveDatapointsToAlarm 100000 should be in range[1,10]",
            ],
        );
        check(
            &criteria(&right.replace("300", r#"301,"consecutiveDatapointsToClear":0"#)),
            &[
                "Behavior Authorization is malformed. durationSeconds 301 should be one of [300, 600, 900, 1800, 3600]",
                "Behavior Authorization is malformed. consecutiveDatapointsToClear 0 should be in range[1,10]",
            ],
        );
        check(
            &criteria(&right.replace("less-than", "in-port-set")),
            &[
                "Behavior Authorization is malformed. criteria.comparisonOperator `in-port-set` does not fit `aws:num-authorization-failures`; allowed are `less-than`, `less-than-equals`, `greater-than`, `greater-than-equals`",
            ],
        );
    }

    #[test]
    fn what_is_no_list_of_behaviors_is_told_as_such() {
        check("[]", &[]);
        check("{}", &["Behaviors are malformed. behaviors: is missing"]);
        check("", &["Behaviors are malformed. the file is empty; expected a security profile"]);
        check(
            "[{}]",
            &[
                "Behavior without a name is malformed. name is missing",
                "Behavior without a name is malformed. metric is missing",
            ],
        );
        check(
            r#"[{"name":"a","metric":"aws:num-disconnects"},{"name":"a","metric":"aws:num-disconnects"}]"#,
            &["Behavior a is malformed. name the behavior `a` is there twice; names are unique in a profile"],
        );
    }

    #[test]
    fn the_answer_has_the_shape_of_the_api() {
        let json = serde_json::to_string(&validate_behaviors("[{}]")).unwrap();
        assert!(json.starts_with(r#"{"valid":false,"validationErrors":[{"errorMessage":""#), "{json}");
    }
}
