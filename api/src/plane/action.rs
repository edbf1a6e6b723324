//! Mitigation actions, read by the reader of the actions that are kept as files.

use fleet::problem::Severity;
use mitigations::action;
use serde_json::{Value, json};

use super::{
    Handler,
    change::{Change, answer},
    document::{Document, Kind},
    tag, uuid,
};
use crate::aws::{Members, fault::Fault};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("CreateMitigationAction", create),
    ("DescribeMitigationAction", describe),
    ("UpdateMitigationAction", update),
    ("DeleteMitigationAction", delete),
    ("ListMitigationActions", list),
];

const KIND: Kind = Kind::MitigationAction;
const PARAMS: &str = "actionParams";
const ID: &str = "actionId";

/// Kinds of actions by the member of `actionParams` that they have.
const TYPES: [(&str, &str); 6] = [
    ("updateDeviceCertificateParams", "UPDATE_DEVICE_CERTIFICATE"),
    ("updateCACertificateParams", "UPDATE_CA_CERTIFICATE"),
    ("addThingsToThingGroupParams", "ADD_THINGS_TO_THING_GROUP"),
    ("replaceDefaultPolicyVersionParams", "REPLACE_DEFAULT_POLICY_VERSION"),
    ("enableIoTLoggingParams", "ENABLE_IOT_LOGGING"),
    ("publishFindingToSnsParams", "PUBLISH_FINDING_TO_SNS"),
];

fn type_of(row: &Document) -> Option<&'static str> {
    let params = row.members.get(PARAMS)?.as_object()?;
    TYPES.iter().find(|(member, _)| params.contains_key(*member)).map(|(_, name)| *name)
}

/// Refuses what could not stand in a file of actions.
fn check(name: &str, row: &Document) -> Result<(), Fault> {
    let params = row.members.get(PARAMS);
    match params.and_then(Value::as_object).map_or(0, serde_json::Map::len) {
        1 => {}
        found => {
            return Err(Fault::invalid(format!(
                "`{PARAMS}` has {found} members; an action has one kind of change"
            )));
        }
    }
    let text = json!({"actionName": name, "roleArn": row.members.get("roleArn"), PARAMS: params});
    let (_, problems) = action::parse_files(&[("action".into(), text.to_string())]);
    match problems.into_iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => Err(Fault::invalid(format!("{}: {}", problem.place, problem.message))),
        None => Ok(()),
    }
}

fn named(change: &Change<'_>, name: &str, row: &Document) -> Members {
    answer([
        ("actionArn", json!(change.arn(KIND, name))),
        (ID, row.members.get(ID).cloned().unwrap_or_default()),
    ])
}

fn create(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("actionName")?;
    let tags = tag::given(change, None)?;
    let mut row = Document::new(change, &["roleArn", PARAMS]);
    check(name, &row)?;
    if change.find(KIND, name).is_some() {
        return Err(change.taken(KIND, name));
    }
    row.members.insert(ID.into(), json!(uuid()));
    let answer = named(change, name, &row);
    change.keep(KIND, name, row)?;
    change.set_tags(&format!("{}/{name}", KIND.name()), tags)?;
    Ok(answer)
}

fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("actionName")?;
    let row = change.document(KIND, name)?;
    let mut shown = row.members.clone();
    shown.extend(answer([
        ("actionName", json!(name)),
        ("actionArn", json!(change.arn(KIND, name))),
        ("actionType", json!(type_of(row))),
        ("creationDate", row.created.clone()),
        ("lastModifiedDate", row.modified.clone()),
    ]));
    Ok(shown)
}

fn update(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("actionName")?;
    let mut row = change.document(KIND, name)?.clone();
    row.update(change, &["roleArn", PARAMS]);
    check(name, &row)?;
    let answer = named(change, name, &row);
    change.keep(KIND, name, row)?;
    Ok(answer)
}

fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    change.forget(KIND, change.required("actionName")?);
    Ok(Members::new())
}

fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let wanted = change.text("actionType");
    let rows = change.documents(KIND).filter(|(_, row)| wanted.is_none() || type_of(row) == wanted);
    Ok(page.answer(rows.map(|(name, row)| {
        let arn = change.arn(KIND, name);
        (name, json!({"actionName": name, "actionArn": arn, "creationDate": row.created}))
    })))
}
