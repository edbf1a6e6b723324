//! Static thing groups and who is in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use fleet::store::Table;
use serde_json::{Value, json};

use super::{
    Handler,
    change::{Change, answer},
    policy, profile,
    state::{GroupRow, Name},
    tag, thing, uuid,
};
use crate::aws::{Members, fault::Fault, page::ROWS_MAX};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("CreateThingGroup", create),
    ("DescribeThingGroup", describe),
    ("UpdateThingGroup", update),
    ("DeleteThingGroup", delete),
    ("ListThingGroups", list),
    ("AddThingToThingGroup", add),
    ("RemoveThingFromThingGroup", remove),
    ("UpdateThingGroupsForThing", update_for_thing),
    ("ListThingGroupsForThing", list_for_thing),
    ("ListThingsInThingGroup", list_things),
];

/// Groups of a thing at most: AWS's limit.
const GROUPS_MAX: usize = 10;
/// Groups at most.
const GROUPS_KEPT_MAX: usize = 100_000;

/// `thingGroupProperties` onto what there is.
fn properties(change: &Change<'_>, row: &mut GroupRow) {
    let Some(given) = change.get("thingGroupProperties") else { return };
    if let Some(text) = given.get("thingGroupDescription").and_then(Value::as_str) {
        row.description = Some(text.into());
    }
    let Some(payload) = given.get("attributePayload") else { return };
    if !payload.get("merge").and_then(Value::as_bool).unwrap_or_default() {
        row.attributes.clear();
    }
    for (key, value) in payload.get("attributes").and_then(Value::as_object).into_iter().flatten() {
        match value.as_str().unwrap_or_default() {
            "" => row.attributes.remove(key),
            text => row.attributes.insert(key.clone(), text.into()),
        };
    }
}

fn keep(change: &mut Change<'_>, name: &Name, row: GroupRow) -> Result<(), Fault> {
    let value = serde_json::to_vec(&row).map_err(Fault::internal)?;
    change.put(Table::Registry, format!("group/{name}"), value);
    change.state.groups.insert(Name::clone(name), row);
    change.state.touch_group(name);
    change.told.registry = true;
    Ok(())
}

fn find<'a>(change: &'a Change<'_>, name: &str) -> Result<(&'a Name, &'a GroupRow), Fault> {
    change.state.groups.get_key_value(name).ok_or_else(|| Fault::missing("thing group", name))
}

fn create(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name: Name = change.required("thingGroupName")?.into();
    let parent = change.text("parentGroupName");
    let parent = parent.map(|parent| find(change, parent).map(|(name, _)| Name::clone(name))).transpose()?;
    let mut row = GroupRow {
        id: uuid(),
        version: 1,
        parent,
        description: None,
        attributes: BTreeMap::new(),
        created: change.seconds(),
        things: BTreeSet::new(),
    };
    properties(change, &mut row);
    let tags = tag::given(change, None)?;
    let arn = change.names.arn(&format!("thinggroup/{name}"));
    let id = match change.state.groups.get(&name) {
        Some(old)
            if (&old.parent, &old.description, &old.attributes)
                == (&row.parent, &row.description, &row.attributes) =>
        {
            old.id.clone()
        }
        Some(old) => return Err(Fault::exists("thing group", &name, &old.id, arn)),
        None => {
            if change.state.groups.len() >= GROUPS_KEPT_MAX {
                return Err(Fault::invalid(format!(
                    "there are {GROUPS_KEPT_MAX} thing groups, the most that are kept"
                )));
            }
            let id = row.id.clone();
            keep(change, &name, row)?;
            change.set_tags(&format!("thinggroup/{name}"), tags)?;
            id
        }
    };
    Ok(answer([
        ("thingGroupName", json!(&*name)),
        ("thingGroupArn", json!(arn)),
        ("thingGroupId", json!(id)),
    ]))
}

fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("thingGroupName")?;
    let (own, row) = find(change, name)?;
    let mut above: Vec<Value> =
        change.state.ancestors(own).skip(1).map(|name| identifier(change, name)).collect();
    above.reverse();
    Ok(answer([
        ("thingGroupName", json!(name)),
        ("thingGroupId", json!(row.id)),
        ("thingGroupArn", json!(change.names.arn(&format!("thinggroup/{name}")))),
        ("version", json!(row.version)),
        (
            "thingGroupProperties",
            json!({"thingGroupDescription": row.description, "attributePayload": {"attributes": row.attributes}}),
        ),
        (
            "thingGroupMetadata",
            json!({"parentGroupName": row.parent.as_deref(), "rootToParentThingGroups": above, "creationDate": row.created}),
        ),
    ]))
}

fn update(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (name, row) = find(change, change.required("thingGroupName")?)?;
    let (name, mut row) = (Name::clone(name), row.clone());
    change.expect_version(&name, row.version)?;
    properties(change, &mut row);
    row.version += 1;
    let version = row.version;
    keep(change, &name, row)?;
    Ok(answer([("version", json!(version))]))
}

/// The model has no error for one that is not there.
fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    let Ok((name, row)) = find(change, change.required("thingGroupName")?) else { return Ok(Members::new()) };
    let (name, things) = (Name::clone(name), row.things.clone());
    change.expect_version(&name, row.version)?;
    if let Some((child, _)) = change.state.groups.iter().find(|(_, row)| row.parent.as_ref() == Some(&name)) {
        return Err(Fault::invalid(format!(
            "thing group `{name}` has the child `{child}`; delete that first"
        )));
    }
    for thing in things {
        leave(change, &thing, &name)?;
    }
    let arn = change.names.arn(&format!("thinggroup/{name}"));
    policy::detach_all(change, &arn);
    profile::detach_all(change, &arn)?;
    change.untag(&format!("thinggroup/{name}"));
    change.state.groups.remove(&name);
    change.delete(Table::Registry, format!("group/{name}"));
    change.state.touch_group(&name);
    change.told.registry = true;
    Ok(Members::new())
}

fn identifier(change: &Change<'_>, name: &str) -> Value {
    json!({"groupName": name, "groupArn": change.names.arn(&format!("thinggroup/{name}"))})
}

fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let prefix = change.text("namePrefixFilter").unwrap_or_default();
    let parent = change.text("parentGroup");
    if let Some(parent) = parent {
        find(change, parent)?;
    }
    // AWS: absent means all levels.
    let deep = change.get("recursive").and_then(Value::as_bool).unwrap_or(true);
    let below = |name: &Name| {
        let mut above = change.state.ancestors(name).skip(1);
        match (parent, deep) {
            (None, true) => true,
            (None, false) => above.next().is_none(),
            (Some(parent), true) => above.any(|name| **name == *parent),
            (Some(parent), false) => above.next().is_some_and(|name| **name == *parent),
        }
    };
    let rows = change.state.groups.keys().filter(|name| name.starts_with(prefix) && below(name));
    Ok(page.answer(rows.map(|name| (Name::clone(name), identifier(change, name)))))
}

/// The thing or group that a request names or gives the ARN of.
fn named<'a>(change: &Change<'a>, name: &str, arn: &str, kind: &str) -> Result<&'a str, Fault> {
    let by_arn = change.text(arn).map(|arn| {
        change
            .names
            .name_in(arn, kind)
            .ok_or_else(|| Fault::invalid(format!("`{arn}` is no ARN of a {kind} here")))
    });
    match (change.text(name), by_arn.transpose()?) {
        (Some(by_name), Some(by_arn)) if by_name != by_arn => Err(Fault::invalid(format!(
            "`{name}` and `{arn}` name different ones: `{by_name}` and `{by_arn}`"
        ))),
        (Some(found), _) | (None, Some(found)) => Ok(found),
        (None, None) => Err(Fault::invalid(format!("one of `{name}` and `{arn}` is needed"))),
    }
}

/// Whether the thing may join the group besides those of `groups`.
fn may_join(change: &Change<'_>, groups: &[Name], group: &Name) -> Result<(), Fault> {
    if groups.len() >= GROUPS_MAX {
        return Err(Fault::invalid(format!("a thing is in up to {GROUPS_MAX} groups")));
    }
    let root = |name| change.state.ancestors(name).last().cloned();
    match groups.iter().find(|own| root(own) == root(group)) {
        Some(own) => Err(Fault::invalid(format!(
            "the thing is in group `{own}`, which has the same root as `{group}`; it can be in one of a hierarchy"
        ))),
        None => Ok(()),
    }
}

fn join(change: &mut Change<'_>, thing: &Name, group: &Name) -> Result<(), Fault> {
    let Some(mut row) = change.state.things.get(thing).cloned() else { return Ok(()) };
    let mut groups = row.groups.into_vec();
    groups.push(Name::clone(group));
    groups.sort();
    row.groups = groups.into();
    if let Some(group) = change.state.groups.get_mut(group) {
        group.things.insert(Name::clone(thing));
    }
    thing::keep(change, thing, row, [])
}

fn leave(change: &mut Change<'_>, thing: &Name, group: &Name) -> Result<(), Fault> {
    let Some(mut row) = change.state.things.get(thing).cloned() else { return Ok(()) };
    row.groups = row.groups.iter().filter(|own| *own != group).cloned().collect();
    if let Some(group) = change.state.groups.get_mut(group) {
        group.things.remove(thing);
    }
    thing::keep(change, thing, row, [Name::clone(group)])
}

fn thing_of(change: &Change<'_>, name: &str) -> Result<(Name, Vec<Name>), Fault> {
    let found = change.state.things.get_key_value(name).ok_or_else(|| Fault::missing("thing", name))?;
    Ok((Name::clone(found.0), found.1.groups.to_vec()))
}

fn add(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (thing, groups) = thing_of(change, named(change, "thingName", "thingArn", "thing")?)?;
    let group = Name::clone(find(change, named(change, "thingGroupName", "thingGroupArn", "thinggroup")?)?.0);
    if !groups.contains(&group) {
        may_join(change, &groups, &group)?;
        join(change, &thing, &group)?;
    }
    Ok(Members::new())
}

fn remove(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (thing, groups) = thing_of(change, named(change, "thingName", "thingArn", "thing")?)?;
    let group = Name::clone(find(change, named(change, "thingGroupName", "thingGroupArn", "thinggroup")?)?.0);
    if groups.contains(&group) {
        leave(change, &thing, &group)?;
    }
    Ok(Members::new())
}

fn update_for_thing(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.text("thingName").ok_or_else(|| Fault::invalid("`thingName` is missing"))?;
    let (thing, mut groups) = thing_of(change, name)?;
    let listed = |member: &str| -> Result<Vec<Name>, Fault> {
        let names = change.get(member).and_then(Value::as_array).into_iter().flatten();
        names
            .filter_map(Value::as_str)
            .map(|name| find(change, name).map(|(name, _)| Name::clone(name)))
            .collect()
    };
    let (added, removed) = (listed("thingGroupsToAdd")?, listed("thingGroupsToRemove")?);
    if let Some(both) = added.iter().find(|name| removed.contains(name)) {
        return Err(Fault::invalid(format!("group `{both}` is both to add and to remove")));
    }
    let left: Vec<Name> = removed.into_iter().filter(|name| groups.contains(name)).collect();
    groups.retain(|name| !left.contains(name));
    let mut joined = Vec::new();
    for group in added {
        if !groups.contains(&group) {
            may_join(change, &groups, &group)?;
            groups.push(Name::clone(&group));
            joined.push(group);
        }
    }
    for group in &left {
        leave(change, &thing, group)?;
    }
    for group in &joined {
        join(change, &thing, group)?;
    }
    Ok(Members::new())
}

fn list_for_thing(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let (_, groups) = thing_of(change, change.required("thingName")?)?;
    Ok(page.answer(groups.into_iter().map(|name| {
        let shown = identifier(change, &name);
        (name, shown)
    })))
}

fn list_things(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let (name, row) = find(change, change.required("thingGroupName")?)?;
    let start = (Bound::Included(page.after().unwrap_or_default()), Bound::Unbounded);
    let mut all: Vec<&BTreeSet<Name>> = vec![&row.things];
    if change.flag("recursive") {
        let below = change.state.groups.iter().filter(|(group, _)| *group != name);
        let below = below.filter(|(group, _)| change.state.ancestors(group).any(|above| above == name));
        all.extend(below.map(|(_, row)| &row.things));
    }
    // Of each group no more than a page can show, so that a large one costs no more than a small one.
    let things: BTreeSet<&Name> =
        all.into_iter().flat_map(|things| things.range::<str, _>(start).take(ROWS_MAX + 2)).collect();
    Ok(page.answer(things.into_iter().map(|name| (Name::clone(name), json!(&**name)))))
}
