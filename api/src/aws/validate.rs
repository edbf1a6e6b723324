//! Checks of a request's members against the constraints of the model.
//!
//! The texts are those by which AWS clients know them:
//! `1 validation error detected: Value 'a b' at 'thingName' failed to satisfy constraint: …`.

use serde_json::Value;

use super::{
    Members,
    fault::Fault,
    model::{Kind, Model, Operation, Shape},
};

/// Problems that are told at most; more are not looked for.
const PROBLEMS_MAX: usize = 10;
/// Characters of a value that are repeated in a message.
const SHOWN_MAX: usize = 128;
/// Nesting of a value at most; the model's own is below ten.
const DEPTH_MAX: usize = 32;

/// Checks all members.
///
/// # Errors
/// `InvalidRequestException` that tells every problem, in the model's order, up to ten.
pub fn check(operation: &Operation, members: &Members) -> Result<(), Fault> {
    let Some(input) = Model::get().input(operation) else { return Ok(()) };
    let mut found = Vec::new();
    structure(input, members, "", &mut found, 0);
    match found.len() {
        0 => Ok(()),
        1 => Err(Fault::invalid(format!("1 validation error detected: {}", found.join("")))),
        n => Err(Fault::invalid(format!("{n} validation errors detected: {}", found.join("; ")))),
    }
}

/// Whether a value is of the shape, with all constraints; the problems found.
#[must_use]
pub fn problems(shape: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(shape) = Model::get().shape(shape) {
        check_value(shape, value, "value", &mut found, 0);
    }
    found
}

fn structure(shape: &Shape, members: &Members, place: &str, found: &mut Vec<String>, depth: usize) {
    for (name, member) in shape.members() {
        let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        match members.get(name).filter(|value| !value.is_null()) {
            Some(value) => {
                if let Some(shape) = Model::get().shape(&member.shape) {
                    check_value(shape, value, &place, found, depth + 1);
                }
            }
            None if shape.required.contains(name) => {
                report(found, &Value::Null, &place, false, "Member must not be null");
            }
            None => {}
        }
    }
}

fn check_value(shape: &Shape, value: &Value, place: &str, found: &mut Vec<String>, depth: usize) {
    if found.len() >= PROBLEMS_MAX {
        return;
    }
    let hide = shape.sensitive;
    if depth > DEPTH_MAX {
        return report(found, value, place, true, "Member must not be nested so deeply");
    }
    match (shape.kind, value) {
        (Kind::Structure, Value::Object(members)) => structure(shape, members, place, found, depth),
        (Kind::List, Value::Array(values)) => {
            count(shape, values.len(), value, place, found);
            let Some(element) = shape.member.as_deref().and_then(|name| Model::get().shape(name)) else {
                return;
            };
            for (index, value) in values.iter().enumerate() {
                check_value(element, value, &format!("{place}.{}.member", index + 1), found, depth + 1);
            }
        }
        (Kind::Map, Value::Object(members)) => map(shape, members, value, place, found, depth),
        (Kind::String, Value::String(text)) => string(shape, text, value, place, found),
        (Kind::Integer | Kind::Long, Value::Number(number)) => {
            let whole = number.as_i64().map(|n| n as f64).or_else(|| number.as_u64().map(|n| n as f64));
            match whole {
                Some(number) => range(shape, number, value, place, found),
                None => report(found, value, place, hide, "Member must be a whole number"),
            }
        }
        (Kind::Double | Kind::Timestamp, Value::Number(number)) => {
            range(shape, number.as_f64().unwrap_or_default(), value, place, found);
        }
        (Kind::Boolean, Value::Bool(_)) => {}
        (kind, _) => report(found, value, place, hide, &format!("Member must be of type {}", name(kind))),
    }
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Double => "number",
        Kind::Integer | Kind::Long => "whole number",
        Kind::String => "string",
        Kind::Timestamp => "timestamp",
        Kind::List => "list",
        Kind::Map => "map",
        Kind::Structure => "structure",
    }
}

fn map(shape: &Shape, members: &Members, value: &Value, place: &str, found: &mut Vec<String>, depth: usize) {
    count(shape, members.len(), value, place, found);
    let model = Model::get();
    for (key, value) in members {
        if let Some(shape) = shape.key.as_deref().and_then(|name| model.shape(name)) {
            string(shape, key, &Value::String(key.clone()), place, found);
        }
        if let Some(shape) = shape.value.as_deref().and_then(|name| model.shape(name)) {
            check_value(shape, value, &format!("{place}.{key}.member"), found, depth + 1);
        }
    }
}

fn string(shape: &Shape, text: &str, value: &Value, place: &str, found: &mut Vec<String>) {
    count(shape, text.encode_utf16().count(), value, place, found);
    if let Some(pattern) = &shape.pattern
        && !Model::get().matches(pattern, text)
    {
        let rule = format!("Member must satisfy regular expression pattern: {pattern}");
        report(found, value, place, shape.sensitive, &rule);
    }
    if !shape.values.is_empty() && !shape.values.iter().any(|allowed| allowed == text) {
        let rule = format!("Member must satisfy enum value set: [{}]", shape.values.join(", "));
        report(found, value, place, shape.sensitive, &rule);
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
fn count(shape: &Shape, len: usize, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(min) = shape.min.filter(|min| (len as f64) < *min) {
        let rule = format!("Member must have length greater than or equal to {min}");
        report(found, value, place, shape.sensitive, &rule);
    }
    if let Some(max) = shape.max.filter(|max| (len as f64) > *max) {
        let rule = format!("Member must have length less than or equal to {max}");
        report(found, value, place, shape.sensitive, &rule);
    }
}

fn range(shape: &Shape, number: f64, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(min) = shape.min.filter(|min| number < *min) {
        let rule = format!("Member must have value greater than or equal to {min}");
        report(found, value, place, shape.sensitive, &rule);
    }
    if let Some(max) = shape.max.filter(|max| number > *max) {
        let rule = format!("Member must have value less than or equal to {max}");
        report(found, value, place, shape.sensitive, &rule);
    }
}

fn report(found: &mut Vec<String>, value: &Value, place: &str, hide: bool, rule: &str) {
    if found.len() >= PROBLEMS_MAX {
        return;
    }
    let shown = match value {
        Value::Null => "null".to_owned(),
        _ if hide => "(hidden)".to_owned(),
        Value::String(text) => format!("'{}'", text.chars().take(SHOWN_MAX).collect::<String>()),
        other => format!("'{}'", other.to_string().chars().take(SHOWN_MAX).collect::<String>()),
    };
    found.push(format!("Value {shown} at '{place}' failed to satisfy constraint: {rule}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_of(operation: &str, members: Value) -> String {
        let Value::Object(members) = members else { return "no object".into() };
        check(&Model::get().operations[operation], &members)
            .map_or_else(|fault| fault.message, |()| "ok".into())
    }

    #[test]
    fn both_sides_of_every_kind_of_constraint() {
        let long = "a".repeat(128);
        let cases = [
            ("CreateThing", json!({"thingName": long}), "ok"),
            ("CreateThing", json!({"thingName": format!("{long}b")}), "length less than or equal to 128"),
            ("CreateThing", json!({"thingName": ""}), "length greater than or equal to 1"),
            (
                "CreateThing",
                json!({"thingName": "a b"}),
                "1 validation error detected: Value 'a b' at 'thingName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+",
            ),
            (
                "CreateThing",
                json!({}),
                "Value null at 'thingName' failed to satisfy constraint: Member must not be null",
            ),
            ("CreateThing", json!({"thingName": 5}), "Member must be of type string"),
            ("ListThings", json!({"maxResults": 1}), "ok"),
            ("ListThings", json!({"maxResults": 250}), "ok"),
            ("ListThings", json!({"maxResults": 0}), "value greater than or equal to 1"),
            ("ListThings", json!({"maxResults": 251}), "value less than or equal to 250"),
            ("ListThings", json!({"maxResults": 1.5}), "whole number"),
            (
                "CreateScheduledAudit",
                json!({"scheduledAuditName":"a","frequency":"NOPE","targetCheckNames":[]}),
                "at 'frequency' failed to satisfy constraint: Member must satisfy enum value set: [DAILY, WEEKLY, BIWEEKLY, MONTHLY]",
            ),
            (
                "CreateSecurityProfile",
                json!({"securityProfileName":"p","behaviors":[{"name":"a b"}]}),
                "Value 'a b' at 'behaviors.1.member.name'",
            ),
            (
                "CreateSecurityProfile",
                json!({"securityProfileName":"p q","behaviors":[{}]}),
                "2 validation errors detected",
            ),
        ];
        for (operation, members, expected) in cases {
            let found = check_of(operation, members.clone());
            assert!(found.contains(expected), "{operation} {members}: {found}");
        }
    }

    #[test]
    fn the_number_of_problems_told_is_bounded() {
        let behaviors: Vec<Value> = (0..100).map(|_| json!({})).collect();
        let told =
            check_of("CreateSecurityProfile", json!({"securityProfileName":"p","behaviors":behaviors}));
        assert!(told.starts_with("10 validation errors detected"), "{told}");
    }
}
