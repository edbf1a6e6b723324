//! Violations as the recorder stores them, and values of the history. What only looks holds no lock.

use fleet::{
    store::{KeyRange, Store, Table},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{
    Handler, Look, Looker,
    change::{Change, answer, seconds},
};
use crate::{
    ApiError, MetricValues,
    aws::{Members, fault::Fault, page::ROWS_MAX, sigv4::hex},
};

pub(super) const LOOKERS: &[(&str, Looker)] = &[
    ("ListActiveViolations", list_active),
    ("ListViolationEvents", list_events),
    ("ListMetricValues", list_values),
];
pub(super) const HANDLERS: &[(&str, Handler)] = &[("PutVerificationStateOnViolation", verify)];

/// Rows read at once.
const PAGE: usize = 1024;
/// Stored transitions that one request looks at, at most; more is on the next page.
const SCANNED_MAX: usize = 200_000;

/// Violations of things; those of addresses, groups and the like have no place in this shape, and are
/// at `/fleetward/v1/alarms`.
fn list_active(look: &Look<'_>) -> Result<Members, Fault> {
    let page = look.page()?;
    let mut range = KeyRange::all();
    if let Some(after) = page.after() {
        range = range.after(after.as_bytes());
    }
    let mut rows = Vec::new();
    // A page and one row more, over what the filters leave.
    while rows.len() <= ROWS_MAX {
        let entries = look.store.scan(Table::Violations, &range, PAGE).map_err(Fault::internal)?;
        let Some((last, _)) = entries.last() else { break };
        range = range.after(last);
        for (key, value) in &entries {
            let stored: Value = serde_json::from_slice(value).map_err(Fault::internal)?;
            if let Some(mut row) = violation(look, &stored)? {
                row.extend(answer([
                    ("lastViolationValue", stored.get("value").cloned().unwrap_or_default()),
                    ("lastViolationTime", time(&stored, "at")),
                    ("violationStartTime", time(&stored, "startedAt")),
                ]));
                rows.push((String::from_utf8_lossy(key).into_owned(), Value::Object(row)));
            }
        }
    }
    Ok(page.answer(rows))
}

/// The newest first. A page may end before it is full, with a token for more.
fn list_events(look: &Look<'_>) -> Result<Members, Fault> {
    let page = look.page()?;
    let (from, to) = (look.millis("startTime"), look.millis("endTime"));
    if from > to {
        return Err(Fault::invalid("`startTime` is after `endTime`"));
    }
    let mut range = KeyRange::all();
    if let Some(after) = page.after() {
        range = range.after(&unhex(after));
    }
    let (mut rows, mut scanned) = (Vec::new(), 0);
    while rows.len() <= ROWS_MAX && scanned < SCANNED_MAX {
        let entries = look.store.scan(Table::Transitions, &range, PAGE).map_err(Fault::internal)?;
        let Some((last, _)) = entries.last() else { break };
        range = range.after(last);
        scanned += entries.len();
        for (key, value) in &entries {
            let stored: Value = serde_json::from_slice(value).map_err(Fault::internal)?;
            let at = stored.get("at").and_then(Value::as_i64).unwrap_or_default();
            if (from..=to).contains(&at)
                && let Some(mut row) = violation(look, &stored)?
            {
                row.extend(answer([
                    ("metricValue", stored.get("value").cloned().unwrap_or_default()),
                    ("violationEventType", stored.get("kind").cloned().unwrap_or_default()),
                    ("violationEventTime", time(&stored, "at")),
                ]));
                rows.push((hex(key), Value::Object(row)));
            }
        }
        if scanned >= SCANNED_MAX {
            return Ok(page.answer_up_to(rows, &hex(last)));
        }
    }
    Ok(page.answer(rows))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

fn time(stored: &Value, member: &str) -> Value {
    stored.get(member).and_then(Value::as_i64).map_or(Value::Null, |at| seconds(Timestamp::from_millis(at)))
}

/// What both listings show of a violation of a thing, if the request wants it.
fn violation(look: &Look<'_>, stored: &Value) -> Result<Option<Members>, Fault> {
    let text = |pointer: &str| stored.pointer(pointer).and_then(Value::as_str);
    let (Some(thing), Some(id), Some(profile)) =
        (text("/entity/thing"), text("/violationId"), text("/profile"))
    else {
        return Ok(None);
    };
    let behavior = text("/behaviorJson").and_then(|json| serde_json::from_str(json).ok());
    let behavior: Value = behavior.unwrap_or_default();
    let kind = if behavior.pointer("/criteria/statisticalThreshold").is_some() {
        "STATISTICAL"
    } else if behavior.pointer("/criteria/mlDetectionConfig").is_some() {
        "MACHINE_LEARNING"
    } else {
        "STATIC"
    };
    let suppressed = stored.get("suppressed").and_then(Value::as_bool).unwrap_or_default();
    let wanted = |member: &str, found: &str| look.text(member).is_none_or(|text| text == found);
    if (suppressed && !look.flag("listSuppressedAlerts"))
        || !wanted("thingName", thing)
        || !wanted("securityProfileName", profile)
        || !wanted("behaviorCriteriaType", kind)
    {
        return Ok(None);
    }
    let (state, description) = verification(look.store, id)?;
    if !wanted("verificationState", &state) {
        return Ok(None);
    }
    Ok(Some(answer([
        ("violationId", json!(id)),
        ("thingName", json!(thing)),
        ("securityProfileName", json!(profile)),
        ("behavior", behavior),
        ("verificationState", json!(state)),
        ("verificationStateDescription", description),
    ])))
}

const UNKNOWN: &str = "UNKNOWN";
const STATE: &str = "verificationState";
const DESCRIPTION: &str = "verificationStateDescription";

/// What people found out: the row that `fleetward alarms verify` writes, too.
fn verification(store: &dyn Store, id: &str) -> Result<(String, Value), Fault> {
    let row = store.get(Table::Verifications, id.as_bytes()).map_err(Fault::internal)?;
    let row: Value = row.and_then(|row| serde_json::from_slice(&row).ok()).unwrap_or_default();
    let state = row.get(STATE).and_then(Value::as_str).unwrap_or(UNKNOWN).to_owned();
    Ok((state, row.get(DESCRIPTION).cloned().unwrap_or_default()))
}

fn verify(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (id, state) = (change.required("violationId")?, change.required(STATE)?);
    if !is_stored(change.store, id)? {
        return Err(Fault::missing("violation", id));
    }
    match change.text(DESCRIPTION) {
        // What says nothing takes no row.
        None if state == UNKNOWN => change.delete(Table::Verifications, id.to_owned()),
        description => {
            let mut row = answer([(STATE, json!(state))]);
            row.extend(description.map(|text| (DESCRIPTION.to_owned(), json!(text))));
            change.put(Table::Verifications, id.to_owned(), Value::Object(row).to_string().into_bytes());
        }
    }
    Ok(Members::new())
}

/// Whether the violation is active, or one of the newest stored transitions is its.
fn is_stored(store: &dyn Store, id: &str) -> Result<bool, Fault> {
    if store.get(Table::Violations, id.as_bytes()).map_err(Fault::internal)?.is_some() {
        return Ok(true);
    }
    let (mut range, mut scanned) = (KeyRange::all(), 0);
    while scanned < SCANNED_MAX {
        let entries = store.scan(Table::Transitions, &range, PAGE).map_err(Fault::internal)?;
        let Some((last, _)) = entries.last() else { break };
        range = range.after(last);
        scanned += entries.len();
        let mut rows = entries.iter().filter_map(|(_, value)| serde_json::from_slice::<Value>(value).ok());
        if rows.any(|row| row.get("violationId").and_then(Value::as_str) == Some(id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// In the order of time. Values of windows of several lengths and kinds stand beside each other.
fn list_values(look: &Look<'_>) -> Result<Members, Fault> {
    let page = look.page()?;
    let metric = look.text("metricName").unwrap_or_default();
    let dimension = match (look.text("dimensionName"), look.text("dimensionValueOperator")) {
        (Some(name), Some("NOT_IN")) => Some(format!("!{name}")),
        (Some(name), _) => Some(name.to_owned()),
        (None, Some(_)) => return Err(Fault::invalid("`dimensionValueOperator` needs `dimensionName`")),
        (None, None) => None,
    };
    let (from, to) = (look.millis("startTime"), look.millis("endTime"));
    if from > to {
        return Err(Fault::invalid("`startTime` is after `endTime`"));
    }
    let after = page.after().and_then(|key| key.split('/').next()?.parse::<i64>().ok());
    let wanted = MetricValues {
        thing: look.text("thingName").unwrap_or_default().to_owned(),
        metric: metric.to_owned(),
        dimension,
        aggregate: None,
        from: after.unwrap_or(from).max(from),
        to: to.saturating_add(1),
        // More than one window end of a page can have, so that a page moves on.
        limit: 4 * ROWS_MAX,
    };
    let Some(engine) = look.engine else { return Err(Fault::internal("the engine has not started")) };
    let found = engine.metric_values(&wanted).map_err(refused)?;
    let values = found.get("values").and_then(Value::as_array).into_iter().flatten();
    let mut rows: Vec<(String, Value)> = values.filter_map(|value| datum(metric, value)).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(page.answer(rows))
}

fn datum(metric: &str, value: &Value) -> Option<(String, Value)> {
    let end = value.get("end")?.as_i64()?;
    let key =
        format!("{end:015}/{:010}/{}", value.get("windowSecs")?.as_u64()?, value.get("aggregate")?.as_str()?);
    let shown = [
        ("number", if metric.starts_with("aws:") { "count" } else { "number" }),
        ("numbers", "numbers"),
        ("ports", "ports"),
        ("addresses", "cidrs"),
        ("texts", "strings"),
    ];
    let (member, found) = shown.into_iter().find_map(|(own, member)| Some((member, value.get(own)?)))?;
    // The model's count is a whole number.
    let whole = found.as_f64().filter(|number| member == "count" && number.fract() == 0.0);
    #[expect(clippy::cast_possible_truncation, reason = "whole, and counts are far below 2^53")]
    let found = whole.map_or_else(|| found.clone(), |number| json!(number as i64));
    let row = json!({"timestamp": seconds(Timestamp::from_millis(end)), "value": {member: found}});
    Some((key, row))
}

fn refused(error: ApiError) -> Fault {
    match error {
        ApiError::NotFound(message) => Fault::new("ResourceNotFoundException", message),
        ApiError::Conflict(message) | ApiError::Invalid(message) => Fault::invalid(message),
        ApiError::Internal(message) => Fault::internal(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_store_survive_a_token() {
        for key in [&b"\x00\xff7"[..], b""] {
            assert_eq!(unhex(&hex(key)), key);
        }
    }

    #[test]
    fn values_take_the_members_of_their_kind() {
        let window = |kind: &str, value: Value| json!({"end": 1500, "windowSecs": 300, "aggregate": "sum", kind: value});
        for (metric, kind, value, expected) in [
            ("aws:num-messages-sent", "number", json!(7.0), json!({"count": 7})),
            ("battery", "number", json!(7.5), json!({"number": 7.5})),
            ("aws:listening-tcp-ports", "ports", json!([22]), json!({"ports": [22]})),
            ("aws:destination-ip-addresses", "addresses", json!(["a"]), json!({"cidrs": ["a"]})),
            ("names", "texts", json!(["a"]), json!({"strings": ["a"]})),
        ] {
            let (key, row) = datum(metric, &window(kind, value)).unwrap();
            assert_eq!(key, "000000000001500/0000000300/sum");
            assert_eq!(row, json!({"timestamp": 1.5, "value": expected}));
        }
    }
}
