//! Policies, their versions, and what they are attached to.

use std::collections::BTreeSet;

use audits::policy::parse::aws;
use fleet::{problem::Severity, store::Table};
use serde_json::{Value, json};

use super::{
    Handler,
    change::{Change, answer},
    document::{Document, Kind},
    tag,
};
use crate::aws::{Members, fault::Fault};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("CreatePolicy", create),
    ("GetPolicy", describe),
    ("DeletePolicy", delete),
    ("ListPolicies", list),
    ("CreatePolicyVersion", create_version),
    ("GetPolicyVersion", describe_version),
    ("DeletePolicyVersion", delete_version),
    ("ListPolicyVersions", list_versions),
    ("SetDefaultPolicyVersion", set_default),
    ("AttachPolicy", attach),
    ("AttachPrincipalPolicy", attach),
    ("DetachPolicy", detach),
    ("DetachPrincipalPolicy", detach),
    ("ListAttachedPolicies", list_attached),
    ("ListPrincipalPolicies", list_attached),
    ("ListTargetsForPolicy", list_targets),
    ("ListPolicyPrincipals", list_targets),
];

const KIND: Kind = Kind::Policy;
/// Versions of a policy at most: AWS's limit.
const VERSIONS_MAX: usize = 5;
/// Policies of a target at most: AWS's limit.
const PER_TARGET_MAX: usize = 10;
/// Targets of a policy at most.
const TARGETS_MAX: usize = 1_000_000;
/// Longest document, bytes, so that five fit into a row of the store. AWS takes 2,048 characters.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;
const DEFAULT: &str = "default";
const LAST: &str = "last";
const VERSIONS: &str = "versions";

/// The document of a request, if it is a policy.
fn given<'a>(change: &Change<'a>) -> Result<&'a str, Fault> {
    let malformed = |message: String| Fault::new("MalformedPolicyException", message);
    let text = change.required("policyDocument")?;
    if text.len() > DOCUMENT_BYTES_MAX {
        let message =
            format!("`policyDocument` has {} bytes; allowed are up to {DOCUMENT_BYTES_MAX}", text.len());
        return Err(malformed(message));
    }
    let read = aws::parse("policyDocument", text);
    match read.problems.iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => Err(malformed(problem.to_string())),
        None if read.statements.is_empty() => Err(malformed("`policyDocument` has no statement".into())),
        None => Ok(text),
    }
}

fn versions(row: &Document) -> Members {
    row.members.get(VERSIONS).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn version<'a>(row: &'a Document, policy: &str, id: &str) -> Result<&'a Value, Fault> {
    let found = row.members.get(VERSIONS).and_then(|versions| versions.get(id));
    found.ok_or_else(|| Fault::missing("version of this policy", &format!("{policy} {id}")))
}

fn is_default(row: &Document, id: &str) -> bool {
    row.text(DEFAULT) == Some(id)
}

fn create(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (name, text) = (change.required("policyName")?, given(change)?);
    let tags = tag::given(change, None)?;
    if change.find(KIND, name).is_some() {
        return Err(change.taken(KIND, name));
    }
    let mut row = Document::new(change, &[]);
    let first = json!({"1": {"document": text, "created": change.seconds()}});
    row.members = answer([(DEFAULT, json!("1")), (LAST, json!(1)), (VERSIONS, first)]);
    change.keep(KIND, name, row)?;
    change.set_tags(&format!("{}/{name}", KIND.name()), tags)?;
    Ok(answer([
        ("policyName", json!(name)),
        ("policyArn", json!(change.arn(KIND, name))),
        ("policyDocument", json!(text)),
        ("policyVersionId", json!("1")),
    ]))
}

fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("policyName")?;
    let row = change.document(KIND, name)?;
    let id = row.text(DEFAULT).unwrap_or_default();
    Ok(answer([
        ("policyName", json!(name)),
        ("policyArn", json!(change.arn(KIND, name))),
        ("policyDocument", version(row, name, id)?.get("document").cloned().unwrap_or_default()),
        ("defaultVersionId", json!(id)),
        ("creationDate", row.created.clone()),
        ("lastModifiedDate", row.modified.clone()),
        ("generationId", json!(row.version.to_string())),
    ]))
}

fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("policyName")?;
    let count = versions(change.document(KIND, name)?).len();
    let conflict = |message: String| Err(Fault::new("DeleteConflictException", message));
    if let Some(target) = change.state.targets.get(name).and_then(|targets| targets.first()) {
        return conflict(format!("policy `{name}` is attached to `{target}`; detach it first"));
    }
    if count > 1 {
        return conflict(format!(
            "policy `{name}` has {count} versions; delete all but the default one first"
        ));
    }
    change.forget(KIND, name);
    Ok(Members::new())
}

/// The newest first, unless asked for the oldest first.
fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let mut rows: Vec<_> =
        change.documents(KIND).map(|(name, row)| (row.age_key(name), identifier(change, name))).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    if change.flag("ascendingOrder") {
        Ok(page.answer(rows))
    } else {
        Ok(page.answer_descending(rows.into_iter().rev()))
    }
}

fn identifier(change: &Change<'_>, name: &str) -> Value {
    json!({"policyName": name, "policyArn": change.arn(KIND, name)})
}

/// Ids count up and are never used again.
fn create_version(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("policyName")?;
    let mut row = change.document(KIND, name)?.clone();
    let text = given(change)?;
    let mut all = versions(&row);
    if all.len() >= VERSIONS_MAX {
        let message = format!(
            "policy `{name}` has {VERSIONS_MAX} versions, the most that it can have; delete one first"
        );
        return Err(Fault::new("VersionsLimitExceededException", message));
    }
    let id = row.members.get(LAST).and_then(Value::as_u64).unwrap_or_default() + 1;
    all.insert(id.to_string(), json!({"document": text, "created": change.seconds()}));
    row.members.insert(VERSIONS.into(), Value::Object(all));
    row.members.insert(LAST.into(), json!(id));
    let default = change.flag("setAsDefault");
    if default {
        row.members.insert(DEFAULT.into(), json!(id.to_string()));
    }
    row.update(change, &[]);
    change.keep(KIND, name, row)?;
    Ok(answer([
        ("policyArn", json!(change.arn(KIND, name))),
        ("policyDocument", json!(text)),
        ("policyVersionId", json!(id.to_string())),
        ("isDefaultVersion", json!(default)),
    ]))
}

fn describe_version(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (name, id) = (change.required("policyName")?, change.required("policyVersionId")?);
    let row = change.document(KIND, name)?;
    let found = version(row, name, id)?;
    let created = found.get("created").cloned().unwrap_or_default();
    Ok(answer([
        ("policyArn", json!(change.arn(KIND, name))),
        ("policyName", json!(name)),
        ("policyDocument", found.get("document").cloned().unwrap_or_default()),
        ("policyVersionId", json!(id)),
        ("isDefaultVersion", json!(is_default(row, id))),
        ("creationDate", created.clone()),
        ("lastModifiedDate", created),
        ("generationId", json!(id)),
    ]))
}

fn delete_version(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (name, id) = (change.required("policyName")?, change.required("policyVersionId")?);
    let mut row = change.document(KIND, name)?.clone();
    version(&row, name, id)?;
    if is_default(&row, id) {
        let message =
            format!("version {id} is the default of policy `{name}`; make another one the default first");
        return Err(Fault::new("DeleteConflictException", message));
    }
    let mut all = versions(&row);
    all.shift_remove(id);
    row.members.insert(VERSIONS.into(), Value::Object(all));
    row.update(change, &[]);
    change.keep(KIND, name, row)?;
    Ok(Members::new())
}

/// In the order of their numbers; the model has no pages for them.
fn list_versions(change: &mut Change<'_>) -> Result<Members, Fault> {
    let row = change.document(KIND, change.required("policyName")?)?;
    let shown = |(id, version): (&String, &Value)| json!({"versionId": id, "isDefaultVersion": is_default(row, id), "createDate": version.get("created")});
    Ok(answer([("policyVersions", versions(row).iter().map(shown).collect())]))
}

fn set_default(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (name, id) = (change.required("policyName")?, change.required("policyVersionId")?);
    let mut row = change.document(KIND, name)?.clone();
    version(&row, name, id)?;
    if !is_default(&row, id) {
        row.members.insert(DEFAULT.into(), json!(id));
        row.update(change, &[]);
        change.keep(KIND, name, row)?;
    }
    Ok(Members::new())
}

/// The target of a request, a certificate or a thing group by ARN; the older operations call it principal.
fn target<'a>(change: &Change<'a>) -> Result<&'a str, Fault> {
    let text = change.text("target").or_else(|| change.text("principal"));
    let text = text.ok_or_else(|| Fault::invalid("`target` is missing"))?;
    if let Some(id) = change.names.name_in(text, Kind::Certificate.name()) {
        return change.document(Kind::Certificate, id).map(|_| text);
    }
    match change.names.name_in(text, "thinggroup") {
        Some(group) if change.state.groups.contains_key(group) => Ok(text),
        Some(group) => Err(Fault::missing("thing group", group)),
        None => Err(Fault::invalid(format!(
            "`target`: found `{text}`; expected the ARN of a certificate or a thing group"
        ))),
    }
}

fn set_attached(change: &mut Change<'_>, target: &str, policies: BTreeSet<String>) -> Result<(), Fault> {
    let key = format!("attached/{target}");
    if policies.is_empty() {
        change.delete(Table::Registry, key);
        change.state.attached.remove(target);
    } else {
        change.put(Table::Registry, key, serde_json::to_vec(&policies).map_err(Fault::internal)?);
        change.state.attached.insert(target.to_owned(), policies);
    }
    Ok(())
}

fn attach(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("policyName")?;
    change.document(KIND, name)?;
    let target = target(change)?;
    let mut policies = change.state.attached.get(target).cloned().unwrap_or_default();
    if policies.contains(name) {
        return Ok(Members::new());
    }
    if policies.len() >= PER_TARGET_MAX {
        return Err(Fault::limit(format!(
            "`{target}` has {PER_TARGET_MAX} policies, the most that it can have"
        )));
    }
    let targets = change.state.targets.entry(name.to_owned()).or_default();
    if targets.len() >= TARGETS_MAX {
        return Err(Fault::limit(format!(
            "policy `{name}` has {TARGETS_MAX} targets, the most that it can have"
        )));
    }
    targets.insert(target.to_owned());
    policies.insert(name.to_owned());
    set_attached(change, target, policies)?;
    Ok(Members::new())
}

/// One that is not attached is detached already.
fn detach(change: &mut Change<'_>) -> Result<Members, Fault> {
    let (name, target) = (change.required("policyName")?, target(change)?);
    change.document(KIND, name)?;
    let mut policies = change.state.attached.get(target).cloned().unwrap_or_default();
    if policies.remove(name) {
        forget_target(change, name, target);
        set_attached(change, target, policies)?;
    }
    Ok(Members::new())
}

fn forget_target(change: &mut Change<'_>, policy: &str, target: &str) {
    if let Some(targets) = change.state.targets.get_mut(policy) {
        targets.remove(target);
        if targets.is_empty() {
            change.state.targets.remove(policy);
        }
    }
}

/// Detaches all policies of a target that goes.
pub(super) fn detach_all(change: &mut Change<'_>, target: &str) {
    let Some(policies) = change.state.attached.remove(target) else { return };
    for policy in &policies {
        forget_target(change, policy, target);
    }
    change.delete(Table::Registry, format!("attached/{target}"));
}

/// With `recursive`, those of the groups above as well.
fn list_attached(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let target = target(change)?;
    let mut targets = vec![target.to_owned()];
    if change.flag("recursive")
        && let Some(group) = change.names.name_in(target, "thinggroup")
        && let Some((name, _)) = change.state.groups.get_key_value(group)
    {
        let above = change.state.ancestors(name).skip(1);
        targets.extend(above.map(|name| change.names.arn(&format!("thinggroup/{name}"))));
    }
    let names: BTreeSet<&String> =
        targets.iter().filter_map(|target| change.state.attached.get(target)).flatten().collect();
    Ok(page.answer(names.into_iter().map(|name| (name, identifier(change, name)))))
}

fn list_targets(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let name = change.required("policyName")?;
    change.document(KIND, name)?;
    let targets = change.state.targets.get(name).into_iter().flatten();
    Ok(page.answer(targets.map(|target| (target, json!(target)))))
}
