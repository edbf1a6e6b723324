//! The members of a request, from path, query, header and body, each as its shape wants it.

use axum::http::HeaderMap;
use serde_json::{Number, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Members,
    fault::Fault,
    model::{Kind, Model, Place, Shape},
    route::{Routed, decode},
};

/// Reads all members that the operation knows; others are ignored, `null` is absent.
///
/// # Errors
/// `InvalidRequestException` if something cannot be read as what it should be.
pub fn members(routed: &Routed, query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Members, Fault> {
    let Some(input) = Model::get().input(routed.operation) else { return Ok(Members::new()) };
    let mut sent = if input.members().iter().any(|(_, member)| member.place == Place::Body) {
        object(body)?
    } else {
        Members::new()
    };
    if let Some(payload) = &input.payload {
        sent = Members::from_iter([(payload.clone(), Value::Object(sent))]);
    }
    let pairs = pairs(query)?;
    let mut found = Members::new();
    for (name, member) in input.members() {
        let wire = member.name.as_deref().unwrap_or(name);
        let texts: Vec<String> = match member.place {
            Place::Body => {
                if let Some(value) = sent.remove(name).filter(|value| !value.is_null()) {
                    found.insert(name.clone(), value);
                }
                continue;
            }
            Place::Path => routed
                .labels
                .iter()
                .filter(|(label, _)| *label == wire)
                .map(|(_, text)| text.clone())
                .collect(),
            Place::Query => {
                pairs.iter().filter(|(key, _)| *key == wire).map(|(_, text)| text.clone()).collect()
            }
            Place::Header => {
                let values = headers.get_all(wire).iter();
                values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
            }
        };
        if let Some(shape) = Model::get().shape(&member.shape)
            && let Some(value) = typed(shape, name, texts)?
        {
            found.insert(name.clone(), value);
        }
    }
    Ok(found)
}

fn object(body: &[u8]) -> Result<Members, Fault> {
    if body.is_empty() {
        return Ok(Members::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Fault::invalid("the body is not a JSON object")),
        Err(error) => Err(Fault::invalid(format!("the body is not JSON: {error}"))),
    }
}

/// Names and values of a query string, decoded.
///
/// # Errors
/// `InvalidRequestException` for a broken escape.
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, Fault> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?.into_owned(), decode(value)?.into_owned()))
        })
        .collect()
}

/// Text outside the body as a value of the shape.
fn typed(shape: &Shape, name: &str, texts: Vec<String>) -> Result<Option<Value>, Fault> {
    if shape.kind == Kind::List {
        return Ok((!texts.is_empty()).then(|| texts.into_iter().map(Value::String).collect()));
    }
    let Some(text) = texts.into_iter().next() else { return Ok(None) };
    let wrong = |what: &str| Fault::invalid(format!("`{name}`: found `{text}`; expected {what}"));
    let value = match shape.kind {
        Kind::Boolean => Value::Bool(text.parse().map_err(|_| wrong("`true` or `false`"))?),
        Kind::Integer => Value::from(text.parse::<i32>().map_err(|_| wrong("a whole number"))?),
        Kind::Long => Value::from(text.parse::<i64>().map_err(|_| wrong("a whole number"))?),
        Kind::Double => {
            let number = text.parse().ok().and_then(Number::from_f64);
            Value::Number(number.ok_or_else(|| wrong("a number"))?)
        }
        Kind::Timestamp => {
            let at = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| wrong("a time as in RFC 3339"))?;
            #[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit into 53 bits")]
            let seconds = (at.unix_timestamp_nanos() / 1000) as f64 / 1e6;
            Value::from(seconds)
        }
        Kind::String | Kind::List | Kind::Map | Kind::Structure => Value::String(text),
    };
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::route::route;

    fn read(method: &str, path: &str, query: &str, body: &str) -> Result<Value, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-principal", "arn:p".parse().unwrap());
        let routed = route(method, path)?;
        members(&routed, query, &headers, body.as_bytes()).map(Value::Object)
    }

    #[test]
    fn members_come_from_their_places_with_their_types() {
        let cases = [
            (
                "POST",
                "/things/a",
                "",
                r#"{"thingTypeName":"t","x":1,"attributePayload":null}"#,
                json!({"thingName":"a","thingTypeName":"t"}),
            ),
            ("PUT", "/things/a/principals", "", "", json!({"thingName":"a","principal":"arn:p"})),
            (
                "GET",
                "/things",
                "maxResults=7&attributeName=a%20b&usePrefixAttributeValue=true",
                "",
                json!({"maxResults":7,"attributeName":"a b","usePrefixAttributeValue":true}),
            ),
            ("GET", "/policies", "isAscendingOrder=false", "", json!({"ascendingOrder": false})),
            (
                "GET",
                "/audit/tasks",
                "startTime=2024-01-02T03:04:05.678000Z&endTime=2024-01-02T03:04:05Z",
                "",
                json!({"startTime":1_704_164_645.678,"endTime":1_704_164_645.0}),
            ),
            (
                "POST",
                "/loggingOptions",
                "",
                r#"{"roleArn":"r"}"#,
                json!({"loggingOptionsPayload":{"roleArn":"r"}}),
            ),
            ("POST", "/untag", "", r#"{"tagKeys":["a"]}"#, json!({"tagKeys":["a"]})),
        ];
        for (method, path, query, body, expected) in cases {
            assert_eq!(read(method, path, query, body).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (method, path, query, body) in [
            ("GET", "/things", "maxResults=x", ""),
            ("GET", "/things", "usePrefixAttributeValue=yes", ""),
            ("GET", "/audit/tasks", "startTime=now", ""),
            ("POST", "/things/a", "", "{"),
            ("POST", "/things/a", "", "[]"),
        ] {
            assert_eq!(
                read(method, path, query, body).unwrap_err().kind,
                "InvalidRequestException",
                "{path} {query}"
            );
        }
    }
}
