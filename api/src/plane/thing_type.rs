//! Thing types.

use serde_json::{Value, json};

use super::{
    Handler,
    change::{Change, answer},
    document::{Document, Kind},
    tag, uuid,
};
use crate::aws::{Members, fault::Fault};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("CreateThingType", create),
    ("DescribeThingType", describe),
    ("UpdateThingType", update),
    ("DeprecateThingType", deprecate),
    ("DeleteThingType", delete),
    ("ListThingTypes", list),
];

const KIND: Kind = Kind::ThingType;
/// A type can be deleted so long after it was deprecated (`device-defender-api.md`, section 8).
const DEPRECATED_SECS_MIN: f64 = 300.0;
/// Searchable attributes at most: AWS's limit.
const SEARCHABLE_MAX: usize = 3;
const ID: &str = "thingTypeId";
const PROPERTIES: &str = "thingTypeProperties";
const DEPRECATED_AT: &str = "deprecationDate";

/// The type of that name, if things can be made of it.
pub(super) fn usable(change: &Change<'_>, name: &str) -> Result<(), Fault> {
    let row = change.document(KIND, name)?;
    if row.members.contains_key(DEPRECATED_AT) {
        return Err(Fault::invalid(format!("thing type `{name}` is deprecated; no thing can be given it")));
    }
    Ok(())
}

fn check(change: &Change<'_>) -> Result<(), Fault> {
    let searchable = change.get(PROPERTIES).and_then(|given| given.get("searchableAttributes")?.as_array());
    match searchable.map_or(0, Vec::len) {
        0..=SEARCHABLE_MAX => Ok(()),
        len => Err(Fault::invalid(format!(
            "`thingTypeProperties.searchableAttributes`: {len} attributes; allowed are up to {SEARCHABLE_MAX}"
        ))),
    }
}

fn create(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("thingTypeName")?;
    check(change)?;
    let tags = tag::given(change, None)?;
    let mut row = Document::new(change, &[PROPERTIES]);
    let id = match change.find(KIND, name) {
        Some(old) if old.members.get(PROPERTIES) == row.members.get(PROPERTIES) => {
            old.text(ID).unwrap_or_default().to_owned()
        }
        Some(_) => return Err(change.taken(KIND, name)),
        None => {
            let id = uuid();
            row.members.insert(ID.into(), json!(id));
            change.keep(KIND, name, row)?;
            change.set_tags(&format!("{}/{name}", KIND.name()), tags)?;
            id
        }
    };
    Ok(answer([
        ("thingTypeName", json!(name)),
        ("thingTypeArn", json!(change.arn(KIND, name))),
        (ID, json!(id)),
    ]))
}

fn shown(change: &Change<'_>, name: &str, row: &Document) -> Members {
    let at = row.members.get(DEPRECATED_AT);
    answer([
        ("thingTypeName", json!(name)),
        (ID, row.members.get(ID).cloned().unwrap_or_default()),
        ("thingTypeArn", json!(change.arn(KIND, name))),
        (PROPERTIES, row.members.get(PROPERTIES).cloned().unwrap_or_else(|| json!({}))),
        (
            "thingTypeMetadata",
            json!({"deprecated": at.is_some(), DEPRECATED_AT: at, "creationDate": row.created}),
        ),
    ])
}

fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("thingTypeName")?;
    Ok(shown(change, name, change.document(KIND, name)?))
}

/// Members of the properties that are given replace those there are.
fn update(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("thingTypeName")?;
    let mut row = change.document(KIND, name)?.clone();
    check(change)?;
    let given = change.get(PROPERTIES).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut properties = row.members.get(PROPERTIES).and_then(Value::as_object).cloned().unwrap_or_default();
    properties.extend(given);
    row.members.insert(PROPERTIES.into(), Value::Object(properties));
    row.update(change, &[]);
    change.keep(KIND, name, row)?;
    Ok(Members::new())
}

fn deprecate(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("thingTypeName")?;
    let mut row = change.document(KIND, name)?.clone();
    match (change.flag("undoDeprecate"), row.members.contains_key(DEPRECATED_AT)) {
        (true, true) => {
            row.members.remove(DEPRECATED_AT);
        }
        (false, false) => {
            row.members.insert(DEPRECATED_AT.into(), change.seconds());
        }
        (true, false) | (false, true) => return Ok(Members::new()),
    }
    row.update(change, &[]);
    change.keep(KIND, name, row)?;
    Ok(Members::new())
}

fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("thingTypeName")?;
    let row = change.document(KIND, name)?;
    let since = row.members.get(DEPRECATED_AT).and_then(Value::as_f64);
    let since = since.zip(change.seconds().as_f64()).map(|(at, now)| now - at);
    if since.is_none_or(|secs| secs < DEPRECATED_SECS_MIN) {
        return Err(Fault::invalid(format!(
            "thing type `{name}` can be deleted {DEPRECATED_SECS_MIN} s after it was deprecated"
        )));
    }
    if let Some((thing, _)) = change.state.things.iter().find(|(_, row)| row.kind.as_deref() == Some(name)) {
        return Err(Fault::invalid(format!("thing type `{name}` is that of thing `{thing}`")));
    }
    change.forget(KIND, name);
    Ok(Members::new())
}

fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let wanted = change.text("thingTypeName");
    let rows = change.documents(KIND).filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
    Ok(page.answer(rows.map(|(name, row)| (name, Value::Object(shown(change, name, row))))))
}
