//! The answer of an operation: the members that its output has, and no others.

use serde_json::Value;

use super::{
    Members,
    model::{Kind, Model, Operation, Shape},
};

/// Keeps of `answer` what the output's shape names; `null` is left out.
#[must_use]
pub fn output(operation: &Operation, answer: Members) -> Value {
    match Model::get().output(operation) {
        Some(shape) => structure(shape, answer),
        None => Value::Object(Members::new()),
    }
}

/// The members of a request as a record may hold them: what the model calls sensitive is left out.
#[must_use]
pub fn shown_input(operation: &Operation, members: &Members) -> Value {
    match Model::get().input(operation) {
        Some(shape) => hidden(shape, Value::Object(members.clone())),
        None => Value::Object(Members::new()),
    }
}

fn hidden(shape: &Shape, value: Value) -> Value {
    let named = |name: &str| Model::get().shape(name);
    match (shape.sensitive, value) {
        (true, _) => Value::String("(hidden)".into()),
        (false, Value::Object(members)) => members
            .into_iter()
            .map(|(name, value)| {
                let own =
                    shape.members().iter().find(|(own, _)| *own == name).map(|(_, member)| &member.shape);
                match own.or(shape.value.as_ref()).and_then(|own| named(own)) {
                    Some(own) => (name, hidden(own, value)),
                    None => (name, value),
                }
            })
            .collect(),
        (false, Value::Array(values)) => match shape.member.as_deref().and_then(named) {
            Some(element) => values.into_iter().map(|value| hidden(element, value)).collect(),
            None => Value::Array(values),
        },
        (false, value) => value,
    }
}

fn structure(shape: &Shape, mut members: Members) -> Value {
    let mut kept = Members::new();
    for (name, member) in shape.members() {
        let Some(value) = members.remove(name).filter(|value| !value.is_null()) else { continue };
        let shape = Model::get().shape(&member.shape);
        kept.insert(
            member.name.clone().unwrap_or_else(|| name.clone()),
            match shape {
                Some(shape) => shaped(shape, value),
                None => value,
            },
        );
    }
    Value::Object(kept)
}

fn shaped(shape: &Shape, value: Value) -> Value {
    let named = |name: &Option<String>| name.as_deref().and_then(|name| Model::get().shape(name));
    match (shape.kind, value) {
        (Kind::Structure, Value::Object(members)) => structure(shape, members),
        (Kind::List, Value::Array(values)) => match named(&shape.member) {
            Some(element) => values.into_iter().map(|value| shaped(element, value)).collect(),
            None => Value::Array(values),
        },
        (Kind::Map, Value::Object(members)) => match named(&shape.value) {
            Some(element) => {
                Value::Object(members.into_iter().map(|(key, value)| (key, shaped(element, value))).collect())
            }
            None => Value::Object(members),
        },
        (_, value) => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_members_of_the_shape_are_answered_at_every_depth() {
        let answer = json!({"things": [{"thingName": "a", "secret": 1, "attributes": {"k": "v"}}], "nextToken": null, "x": 1});
        let Value::Object(answer) = answer else { return };
        let shaped = output(&Model::get().operations["ListThings"], answer);
        assert_eq!(shaped, json!({"things": [{"thingName": "a", "attributes": {"k": "v"}}]}));
    }
}
