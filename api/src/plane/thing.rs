//! Things.

use std::collections::BTreeMap;

use fleet::store::Table;
use serde_json::{Value, json};

use super::{
    Handler,
    change::{Change, answer},
    state::{Name, ThingRow},
    thing_type, uuid,
};
use crate::aws::{Members, fault::Fault};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("CreateThing", create),
    ("DescribeThing", describe),
    ("UpdateThing", update),
    ("DeleteThing", delete),
    ("ListThings", list),
];

/// Attributes of a thing without and with a type: AWS's limits.
const ATTRIBUTES_MAX: (usize, usize) = (3, 50);
/// Things at most: bounds memory, some 300 bytes each without attributes.
const THINGS_MAX: usize = 5_000_000;

type Attributes = BTreeMap<Box<str>, Box<str>>;

/// `attributePayload` onto what there is: with `merge` members change, and empty ones go.
fn attributes(change: &Change<'_>, old: &[(Box<str>, Box<str>)]) -> Result<Option<Attributes>, Fault> {
    let Some(payload) = change.get("attributePayload") else { return Ok(None) };
    let merge = payload.get("merge").and_then(Value::as_bool).unwrap_or_default();
    let mut made: Attributes = if merge { old.iter().cloned().collect() } else { Attributes::new() };
    for (key, value) in payload.get("attributes").and_then(Value::as_object).into_iter().flatten() {
        match value.as_str().unwrap_or_default() {
            "" => made.remove(key.as_str()),
            text => made.insert(key.as_str().into(), text.into()),
        };
    }
    Ok(Some(made))
}

fn check_attributes(kind: Option<&Name>, found: usize) -> Result<(), Fault> {
    let (without, with) = ATTRIBUTES_MAX;
    let (what, most) = if kind.is_some() { ("with", with) } else { ("without", without) };
    if found > most {
        let message = format!("a thing {what} a type has up to {most} attributes; found {found}");
        return Err(Fault::invalid(message));
    }
    Ok(())
}

/// The type of a request. There are no billing groups here, so that none of the name can exist.
fn kind(change: &Change<'_>) -> Result<Option<Name>, Fault> {
    if let Some(name) = change.text("billingGroupName") {
        return Err(Fault::missing("billing group", name));
    }
    let name = change.text("thingTypeName");
    name.map(|name| thing_type::usable(change, name).map(|()| name.into())).transpose()
}

fn create(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name: Name = change.required("thingName")?.into();
    let kind = kind(change)?;
    let made = attributes(change, &[])?.unwrap_or_default();
    check_attributes(kind.as_ref(), made.len())?;
    let arn = change.names.arn(&format!("thing/{name}"));
    let made: Box<[_]> = made.into_iter().collect();
    let id = match change.state.things.get(&name) {
        Some(old) if (&old.attributes, &old.kind) == (&made, &kind) => old.id.clone(),
        Some(old) => return Err(Fault::exists("thing", &name, &*old.id, arn)),
        None if change.state.things.len() >= THINGS_MAX => {
            return Err(Fault::invalid(format!("there are {THINGS_MAX} things, the most that are kept")));
        }
        None => {
            let id: Box<str> = uuid().into();
            let (groups, principals) = (Box::default(), Box::default());
            let row = ThingRow { id: id.clone(), version: 1, attributes: made, groups, kind, principals };
            keep(change, &name, row, [])?;
            id
        }
    };
    Ok(answer([("thingName", json!(&*name)), ("thingArn", json!(arn)), ("thingId", json!(id))]))
}

/// Stores the thing as it is now; `left` are groups that it is no longer in.
pub(super) fn keep(
    change: &mut Change<'_>,
    name: &Name,
    row: ThingRow,
    left: impl IntoIterator<Item = Name>,
) -> Result<(), Fault> {
    let value = serde_json::to_vec(&row).map_err(Fault::internal)?;
    change.put(Table::Registry, format!("thing/{name}"), value);
    change.state.things.insert(Name::clone(name), row);
    change.state.touch_thing(name, left);
    change.told.registry = true;
    Ok(())
}

fn shown(row: &ThingRow) -> Value {
    Value::Object(row.attributes.iter().map(|(key, value)| (key.to_string(), json!(value))).collect())
}

fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("thingName")?;
    let row = change.state.things.get(name).ok_or_else(|| Fault::missing("thing", name))?;
    Ok(answer([
        ("defaultClientId", json!(name)),
        ("thingName", json!(name)),
        ("thingId", json!(row.id)),
        ("thingArn", json!(change.names.arn(&format!("thing/{name}")))),
        ("thingTypeName", json!(row.kind)),
        ("attributes", shown(row)),
        ("version", json!(row.version)),
    ]))
}

fn update(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name: Name = change.required("thingName")?.into();
    let mut row = change.state.things.get(&name).ok_or_else(|| Fault::missing("thing", &name))?.clone();
    change.expect_version(&name, row.version)?;
    match (kind(change)?, change.flag("removeThingType")) {
        (Some(_), true) => {
            return Err(Fault::invalid("`thingTypeName` is given and `removeThingType` says to remove it"));
        }
        (None, true) => row.kind = None,
        (Some(kind), false) => row.kind = Some(kind),
        (None, false) => {}
    }
    if let Some(made) = attributes(change, &row.attributes)? {
        row.attributes = made.into_iter().collect();
    }
    check_attributes(row.kind.as_ref(), row.attributes.len())?;
    row.version += 1;
    keep(change, &name, row, [])?;
    Ok(Members::new())
}

/// A thing that is not there is deleted already: AWS says so.
fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name: Name = change.required("thingName")?.into();
    let Some(row) = change.state.things.get(&name) else { return Ok(Members::new()) };
    change.expect_version(&name, row.version)?;
    if let Some((id, _)) = row.principals.first() {
        return Err(Fault::invalid(format!(
            "certificate {id} is attached to thing `{name}`; detach it first"
        )));
    }
    let groups = row.groups.to_vec();
    change.state.things.remove(&name);
    for group in &groups {
        if let Some(group) = change.state.groups.get_mut(group) {
            group.things.remove(&name);
        }
    }
    change.delete(Table::Registry, format!("thing/{name}"));
    change.state.touch_thing(&name, groups);
    change.told.registry = true;
    Ok(Members::new())
}

fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let (key, value) = (change.text("attributeName"), change.text("attributeValue"));
    let prefix = change.flag("usePrefixAttributeValue");
    let start = page.after().unwrap_or_default();
    let kind = change.text("thingTypeName");
    if value.is_some() && key.is_none() {
        return Err(Fault::invalid("`attributeValue` needs `attributeName`"));
    }
    let wanted = |row: &ThingRow| {
        if kind.is_some_and(|kind| row.kind.as_deref() != Some(kind)) {
            return false;
        }
        let fits = |found: &str, value: &str| if prefix { found.starts_with(value) } else { found == value };
        key.is_none_or(|key| {
            row.attributes
                .iter()
                .any(|(own, found)| **own == *key && value.is_none_or(|value| fits(found, value)))
        })
    };
    let rows = change
        .state
        .things
        .range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded))
        .filter(|(_, row)| wanted(row));
    Ok(page.answer(rows.map(|(name, row)| {
        let arn = change.names.arn(&format!("thing/{name}"));
        let row =
            json!({"thingName": &**name, "thingTypeName": row.kind, "thingArn": arn, "attributes": shown(row), "version": row.version});
        (Name::clone(name), row)
    })))
}
