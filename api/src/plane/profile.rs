//! Security profiles and dimensions: kept as they were given, checked and compiled by the engine's own
//! reader, so that what is accepted here is what detects.

use std::collections::BTreeSet;

use behaviors::profile;
use fleet::{arn::Target, problem::Severity, store::Table};
use serde_json::{Value, json};

use super::{
    Handler,
    change::{Change, answer},
    document::Document,
    tag,
};
use crate::aws::{Members, fault::Fault};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("CreateSecurityProfile", create),
    ("DescribeSecurityProfile", describe),
    ("UpdateSecurityProfile", update),
    ("DeleteSecurityProfile", delete),
    ("ListSecurityProfiles", list),
    ("AttachSecurityProfile", attach),
    ("DetachSecurityProfile", detach),
    ("ListTargetsForSecurityProfile", list_targets),
    ("ListSecurityProfilesForTarget", list_for_target),
    ("ValidateSecurityProfileBehaviors", validate),
    ("CreateDimension", create_dimension),
    ("DescribeDimension", describe_dimension),
    ("UpdateDimension", update_dimension),
    ("DeleteDimension", delete_dimension),
    ("ListDimensions", list_dimensions),
];

/// Profiles of a target at most: AWS's limit.
const PROFILES_PER_TARGET_MAX: usize = 5;
/// Targets of a profile at most, so that it fits into a row of the store.
const TARGETS_MAX: usize = 1000;
/// Profiles, and dimensions, at most.
const EACH_MAX: usize = 10_000;
/// Members of a profile that an update replaces, each with the flag that removes it.
const REPLACED: [(&str, Option<&str>); 6] = [
    ("securityProfileDescription", None),
    ("behaviors", Some("deleteBehaviors")),
    ("alertTargets", Some("deleteAlertTargets")),
    ("additionalMetricsToRetain", Some("deleteAdditionalMetricsToRetain")),
    ("additionalMetricsToRetainV2", Some("deleteAdditionalMetricsToRetain")),
    ("metricsExportConfig", Some("deleteMetricsExportConfig")),
];

/// Makes the change in the map that `map` names, if the profiles can be read with it, and stores it.
fn keep(change: &mut Change<'_>, kind: &str, name: &str, row: Option<Document>) -> Result<(), Fault> {
    let value = row.as_ref().map(serde_json::to_vec).transpose().map_err(Fault::internal)?;
    let map = if kind == "profile" { &mut change.state.profiles } else { &mut change.state.dimensions };
    if map.len() >= EACH_MAX && row.is_some() && !map.contains_key(name) {
        return Err(Fault::limit(format!("there are {EACH_MAX} of the kind {kind}, the most that are kept")));
    }
    let old = match row {
        Some(row) => map.insert(name.into(), row),
        None => map.remove(name),
    };
    let (_, problems) = profile::parse_files(&change.state.texts());
    if let Some(problem) = problems.iter().find(|problem| problem.severity == Severity::Error) {
        let map = if kind == "profile" { &mut change.state.profiles } else { &mut change.state.dimensions };
        match old {
            Some(old) => map.insert(name.into(), old),
            None => map.remove(name),
        };
        let place = if problem.place.is_empty() { String::new() } else { format!("{}: ", problem.place) };
        return Err(Fault::invalid(format!("{place}{}", problem.message)));
    }
    let key = format!("{kind}/{name}");
    match value {
        Some(value) => change.put(Table::Profiles, key, value),
        None => change.delete(Table::Profiles, key),
    }
    change.told.profiles = true;
    Ok(())
}

fn arn(change: &Change<'_>, name: &str) -> String {
    change.names.arn(&format!("securityprofile/{name}"))
}

fn find<'a>(change: &'a Change<'_>, name: &str) -> Result<&'a Document, Fault> {
    change.state.profiles.get(name).ok_or_else(|| Fault::missing("security profile", name))
}

fn create(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("securityProfileName")?;
    let members: Vec<&str> = REPLACED.iter().map(|(member, _)| *member).collect();
    let tags = tag::given(change, None)?;
    let row = Document::new(change, &members);
    match change.state.profiles.get(name) {
        Some(old) if old.members == row.members => {}
        Some(_) => return Err(Fault::exists("security profile", name, name, arn(change, name))),
        None => {
            keep(change, "profile", name, Some(row))?;
            change.set_tags(&format!("securityprofile/{name}"), tags)?;
        }
    }
    Ok(answer([("securityProfileName", json!(name)), ("securityProfileArn", json!(arn(change, name)))]))
}

/// All members with the facts around them.
fn shown(change: &Change<'_>, name: &str, row: &Document) -> Members {
    let mut shown = row.members.clone();
    shown.insert("securityProfileName".into(), json!(name));
    shown.insert("securityProfileArn".into(), json!(arn(change, name)));
    shown.insert("version".into(), json!(row.version));
    shown.insert("creationDate".into(), row.created.clone());
    shown.insert("lastModifiedDate".into(), row.modified.clone());
    shown
}

fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("securityProfileName")?;
    Ok(shown(change, name, find(change, name)?))
}

fn update(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("securityProfileName")?;
    let mut row = find(change, name)?.clone();
    change.expect_version(name, row.version)?;
    for (member, flag) in REPLACED {
        let remove = flag.is_some_and(|flag| change.flag(flag));
        match (change.get(member), remove) {
            (Some(_), true) => {
                let flag = flag.unwrap_or_default();
                return Err(Fault::invalid(format!("`{member}` is given and `{flag}` says to remove it")));
            }
            (Some(value), false) => {
                row.members.insert(member.into(), value.clone());
            }
            (None, true) => {
                row.members.remove(member);
            }
            (None, false) => {}
        }
    }
    row.version += 1;
    row.modified = change.seconds();
    let answer = shown(change, name, &row);
    keep(change, "profile", name, Some(row))?;
    Ok(answer)
}

/// The model has no error for one that is not there.
fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("securityProfileName")?;
    let Some(row) = change.state.profiles.get(name) else { return Ok(Members::new()) };
    change.expect_version(name, row.version)?;
    keep(change, "profile", name, None)?;
    change.untag(&format!("securityprofile/{name}"));
    Ok(Members::new())
}

/// Detaches all profiles of a target that goes.
pub(super) fn detach_all(change: &mut Change<'_>, target: &str) -> Result<(), Fault> {
    let attached = |(_, row): &(&String, &Document)| row.targets.contains(target);
    let found: Vec<(String, Document)> = change
        .state
        .profiles
        .iter()
        .filter(attached)
        .map(|(name, row)| (name.clone(), row.clone()))
        .collect();
    for (name, mut row) in found {
        row.targets.remove(target);
        keep(change, "profile", &name, Some(row))?;
    }
    Ok(())
}

/// Whether any behavior or retained metric of the profile has this at the pointer.
pub(super) fn uses(row: &Document, pointers: &[&str], wanted: &str) -> bool {
    let lists = ["behaviors", "additionalMetricsToRetainV2", "additionalMetricsToRetain"];
    let items = lists.iter().filter_map(|list| row.members.get(*list)?.as_array()).flatten();
    let mut texts = items.flat_map(|item| {
        pointers.iter().filter_map(|pointer| item.pointer(pointer)?.as_str()).chain(item.as_str())
    });
    texts.any(|text| text == wanted)
}

fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let (dimension, metric) = (change.text("dimensionName"), change.text("metricName"));
    if dimension.is_some() && metric.is_some() {
        return Err(Fault::invalid("`dimensionName` and `metricName` exclude each other"));
    }
    let wanted = |row: &Document| {
        dimension.is_none_or(|name| uses(row, &["/metricDimension/dimensionName"], name))
            && metric.is_none_or(|name| uses(row, &["/metric"], name))
    };
    let rows = change.state.profiles.iter().filter(|(_, row)| wanted(row));
    Ok(page.answer(rows.map(|(name, _)| (name, json!({"name": name, "arn": arn(change, name)})))))
}

/// The target of a request, which must be ours and exist.
fn target<'a>(change: &Change<'a>) -> Result<&'a str, Fault> {
    let text = change.required("securityProfileTargetArn")?;
    let target: Target = text.parse().map_err(|error| Fault::invalid(format!("{error}")))?;
    if text != change.names.arn(&target.to_string()) {
        let message = format!(
            "`{text}` is not of this account and region; expected `{}`",
            change.names.arn(&target.to_string())
        );
        return Err(Fault::invalid(message));
    }
    match &target {
        Target::Group(group) if !change.state.has_group(group.as_str()) => {
            Err(Fault::missing("thing group", group.as_str()))
        }
        _ => Ok(text),
    }
}

fn attach(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (name, target) = (change.required("securityProfileName")?, target(change)?);
    let mut row = find(change, name)?.clone();
    let others = change.state.profiles.iter();
    let others = others.filter(|(other, row)| *other != name && row.targets.contains(target)).count();
    if others >= PROFILES_PER_TARGET_MAX {
        return Err(Fault::limit(format!(
            "`{target}` has {others} security profiles, the most that it can have"
        )));
    }
    if row.targets.len() >= TARGETS_MAX && !row.targets.contains(target) {
        return Err(Fault::limit(format!(
            "the profile has {TARGETS_MAX} targets, the most that it can have"
        )));
    }
    if row.targets.insert(target.into()) {
        keep(change, "profile", name, Some(row))?;
    }
    Ok(Members::new())
}

fn detach(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (name, target) =
        (change.required("securityProfileName")?, change.required("securityProfileTargetArn")?);
    let mut row = find(change, name)?.clone();
    if row.targets.remove(target) {
        keep(change, "profile", name, Some(row))?;
    }
    Ok(Members::new())
}

fn list_targets(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let row = find(change, change.required("securityProfileName")?)?;
    Ok(page.answer(row.targets.iter().map(|target| (target, json!({ "arn": target })))))
}

fn list_for_target(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let own = target(change)?;
    let mut targets = BTreeSet::from([own.to_owned()]);
    if change.flag("recursive")
        && let Ok(Target::Group(group)) = own.parse()
        && let Some((name, _)) = change.state.groups.get_key_value(group.as_str())
    {
        targets
            .extend(change.state.ancestors(name).map(|name| change.names.arn(&format!("thinggroup/{name}"))));
    }
    let rows = change
        .state
        .profiles
        .iter()
        .flat_map(|(name, row)| row.targets.intersection(&targets).map(move |target| (name, target)));
    Ok(page.answer(rows.map(|(name, target)| {
        let identifier = json!({"name": name, "arn": arn(change, name)});
        let row = json!({"securityProfileIdentifier": identifier, "target": {"arn": target}});
        (format!("{name}\n{target}"), row)
    })))
}

fn validate(change: &mut Change<'_>) -> Result<Members, Fault> {
    let given = change.get("behaviors").map(Value::to_string).unwrap_or_default();
    match serde_json::to_value(profile::validate_behaviors(&given)) {
        Ok(Value::Object(answer)) => Ok(answer),
        other => Err(Fault::internal(format!("{other:?}"))),
    }
}

fn dimension_arn(change: &Change<'_>, name: &str) -> String {
    change.names.arn(&format!("dimension/{name}"))
}

fn find_dimension<'a>(change: &'a Change<'_>, name: &str) -> Result<&'a Document, Fault> {
    change.state.dimensions.get(name).ok_or_else(|| Fault::missing("dimension", name))
}

fn create_dimension(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("name")?;
    let tags = tag::given(change, None)?;
    let row = Document::new(change, &["name", "type", "stringValues"]);
    match change.state.dimensions.get(name) {
        Some(old) if old.is_again(&row) => {}
        Some(_) => return Err(Fault::exists("dimension", name, name, dimension_arn(change, name))),
        None => {
            keep(change, "dimension", name, Some(row))?;
            change.set_tags(&format!("dimension/{name}"), tags)?;
        }
    }
    Ok(answer([("name", json!(name)), ("arn", json!(dimension_arn(change, name)))]))
}

fn shown_dimension(change: &Change<'_>, name: &str, row: &Document) -> Members {
    let mut shown = row.members.clone();
    shown.insert("arn".into(), json!(dimension_arn(change, name)));
    shown.insert("creationDate".into(), row.created.clone());
    shown.insert("lastModifiedDate".into(), row.modified.clone());
    shown
}

fn describe_dimension(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("name")?;
    Ok(shown_dimension(change, name, find_dimension(change, name)?))
}

fn update_dimension(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("name")?;
    let mut row = find_dimension(change, name)?.clone();
    row.members.insert("stringValues".into(), change.get("stringValues").cloned().unwrap_or_default());
    row.modified = change.seconds();
    let answer = shown_dimension(change, name, &row);
    keep(change, "dimension", name, Some(row))?;
    Ok(answer)
}

/// One that a profile uses stays, since the profile could not be read without it.
fn delete_dimension(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("name")?;
    if !change.state.dimensions.contains_key(name) {
        return Ok(Members::new());
    }
    let mut profiles = change.state.profiles.iter();
    if let Some((user, _)) = profiles.find(|(_, row)| uses(row, &["/metricDimension/dimensionName"], name)) {
        return Err(Fault::invalid(format!("dimension `{name}` is used by security profile `{user}`")));
    }
    keep(change, "dimension", name, None)?;
    change.untag(&format!("dimension/{name}"));
    Ok(Members::new())
}

fn list_dimensions(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    Ok(page.answer(change.state.dimensions.keys().map(|name| (name, json!(name)))))
}
