//! `SearchIndex` over things and groups as they are now: there is no index that could lag behind.

use std::collections::BTreeMap;

use fleet::store::{KeyRange, Table};
use serde_json::{Value, json};

use super::{
    Handler,
    change::Change,
    query::Query,
    state::{GroupRow, Name, ThingRow},
};
use crate::aws::{Members, fault::Fault, page::Page};

pub(super) const HANDLERS: &[(&str, Handler)] = &[("SearchIndex", search)];

const THINGS: &str = "AWS_Things";
const GROUPS: &str = "AWS_ThingGroups";
/// The one version of the language.
const VERSION: &str = "2017-09-30";
/// Fields of AWS that are not known here.
const UNKNOWN: [&str; 2] = ["connectivity.", "shadow."];
/// Violations read at once.
const PAGE: usize = 4096;

fn invalid(message: String) -> Fault {
    Fault::new("InvalidQueryException", message)
}

fn search(change: &mut Change<'_>) -> Result<Members, Fault> {
    if let Some(version) = change.text("queryVersion").filter(|version| *version != VERSION) {
        return Err(invalid(format!("`queryVersion`: found `{version}`; allowed is `{VERSION}`")));
    }
    let query = Query::read(change.required("queryString")?)
        .map_err(|wrong| invalid(format!("`queryString`: {wrong}")))?;
    if let Some(field) =
        query.fields().into_iter().find(|field| UNKNOWN.iter().any(|own| field.starts_with(own)))
    {
        return Err(invalid(format!("`queryString`: the field `{field}` is not indexed here")));
    }
    match change.text("indexName").unwrap_or(THINGS) {
        THINGS => things(change, &query),
        GROUPS => groups(change, &query),
        other => Err(Fault::missing("index", other)),
    }
}

fn things(change: &Change<'_>, query: &Query) -> Result<Members, Fault> {
    let page = Page::named("SearchIndex", change.members(), "things")?;
    let alarms = Alarms::read(change, query)?;
    let start = (std::ops::Bound::Included(page.after().unwrap_or_default()), std::ops::Bound::Unbounded);
    let rows = change.state.things.range::<str, _>(start);
    let fits = |name: &Name, row: &ThingRow| {
        query.fits(&|field| match field {
            Some(field) => thing_values(name, row, field, &alarms),
            None => ALL.iter().flat_map(|field| thing_values(name, row, field, &alarms)).collect(),
        })
    };
    Ok(page.answer(rows.filter(|(name, row)| fits(name, row)).map(|(name, row)| {
        let attributes: Members =
            row.attributes.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
        let shown = json!({
            "thingName": &**name,
            "thingId": row.id,
            "thingTypeName": row.kind,
            "thingGroupNames": row.groups.iter().map(|group| &**group).collect::<Vec<_>>(),
            "attributes": attributes,
        });
        (Name::clone(name), shown)
    })))
}

/// What a term without a field is looked for in.
const ALL: [&str; 5] = ["thingName", "thingId", "thingTypeName", "thingGroupNames", "attributes.*"];

fn thing_values(name: &Name, row: &ThingRow, field: &str, alarms: &Alarms) -> Vec<String> {
    if let Some(key) = field.strip_prefix("attributes.") {
        let wanted = row.attributes.iter().filter(|(own, _)| key == "*" || **own == *key);
        return wanted.map(|(_, value)| value.to_string()).collect();
    }
    match field.strip_prefix("registry.").unwrap_or(field) {
        "thingName" => vec![name.to_string()],
        "thingId" => vec![row.id.to_string()],
        "thingTypeName" => row.kind.iter().map(ToString::to_string).collect(),
        "thingGroupNames" => row.groups.iter().map(ToString::to_string).collect(),
        "version" => vec![row.version.to_string()],
        other => {
            other.strip_prefix("deviceDefender.").map(|rest| alarms.values(name, rest)).unwrap_or_default()
        }
    }
}

fn groups(change: &Change<'_>, query: &Query) -> Result<Members, Fault> {
    let page = Page::named("SearchIndex", change.members(), "thingGroups")?;
    let above = |name: &Name| -> Vec<String> {
        change.state.ancestors(name).skip(1).map(ToString::to_string).collect()
    };
    let values = |name: &Name, row: &GroupRow, field: &str| match field {
        "thingGroupName" => vec![name.to_string()],
        "thingGroupId" => vec![row.id.clone()],
        "thingGroupDescription" => row.description.iter().cloned().collect(),
        "parentGroupNames" => above(name),
        "version" => vec![row.version.to_string()],
        "attributes.*" => row.attributes.values().cloned().collect(),
        other => other
            .strip_prefix("attributes.")
            .and_then(|key| row.attributes.get(key))
            .into_iter()
            .cloned()
            .collect(),
    };
    const ALL: [&str; 5] =
        ["thingGroupName", "thingGroupId", "thingGroupDescription", "parentGroupNames", "attributes.*"];
    let fits = |name: &Name, row: &GroupRow| {
        query.fits(&|field| match field {
            Some(field) => values(name, row, field),
            None => ALL.iter().flat_map(|field| values(name, row, field)).collect(),
        })
    };
    let rows = change.state.groups.iter().filter(|(name, row)| fits(name, row));
    Ok(page.answer(rows.map(|(name, row)| {
        let shown = json!({
            "thingGroupName": &**name,
            "thingGroupId": row.id,
            "thingGroupDescription": row.description,
            "attributes": row.attributes,
            "parentGroupNames": above(name),
        });
        (Name::clone(name), shown)
    })))
}

/// Active violations of things, read only for a query that asks for them.
#[derive(Default)]
struct Alarms(BTreeMap<String, Vec<Value>>);

impl Alarms {
    fn read(change: &Change<'_>, query: &Query) -> Result<Self, Fault> {
        let mut alarms = Self::default();
        if !query.fields().iter().any(|field| field.starts_with("deviceDefender.")) {
            return Ok(alarms);
        }
        let mut range = KeyRange::all();
        loop {
            let entries = change.store.scan(Table::Violations, &range, PAGE).map_err(Fault::internal)?;
            let Some((last, _)) = entries.last() else { return Ok(alarms) };
            range = range.after(last);
            for (_, value) in &entries {
                let stored: Value = serde_json::from_slice(value).map_err(Fault::internal)?;
                if let Some(thing) =
                    stored.pointer("/entity/thing").and_then(Value::as_str).map(str::to_owned)
                {
                    alarms.0.entry(thing).or_default().push(stored);
                }
            }
        }
    }

    /// `violationCount`, or `PROFILE.BEHAVIOR.FACT` with one of `inViolation`, `lastViolationTime` (milliseconds)
    /// and `lastViolationValue.KIND`.
    fn values(&self, thing: &Name, field: &str) -> Vec<String> {
        let own = self.0.get(&**thing).map_or(&[][..], Vec::as_slice);
        if field == "violationCount" {
            return vec![own.len().to_string()];
        }
        let of = |stored: &Value| -> Option<String> {
            let text = |member: &str| stored.get(member).and_then(Value::as_str);
            let rest = field.strip_prefix(text("profile")?)?.strip_prefix('.')?;
            match rest.strip_prefix(text("behavior")?)?.strip_prefix('.')? {
                "inViolation" => Some("true".into()),
                "lastViolationTime" => stored.get("at").map(ToString::to_string),
                fact => stored
                    .get("value")?
                    .get(fact.strip_prefix("lastViolationValue.")?)
                    .map(ToString::to_string),
            }
        };
        own.iter().filter_map(of).collect()
    }
}
