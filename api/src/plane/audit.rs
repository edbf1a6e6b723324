//! The account's audit configuration, scheduled audits and suppressions of findings.

use audits::{
    catalogue::{self, CheckInfo},
    certificate::{check::CheckId, parameters::Parameters},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Handler,
    change::{Change, answer},
    document::{Document, Kind},
    tag,
};
use crate::aws::{Members, fault::Fault, sigv4::hex};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("DescribeAccountAuditConfiguration", describe),
    ("UpdateAccountAuditConfiguration", update),
    ("DeleteAccountAuditConfiguration", delete),
    ("CreateScheduledAudit", create_schedule),
    ("DescribeScheduledAudit", describe_schedule),
    ("UpdateScheduledAudit", update_schedule),
    ("DeleteScheduledAudit", delete_schedule),
    ("ListScheduledAudits", list_schedules),
    ("CreateAuditSuppression", create_suppression),
    ("DescribeAuditSuppression", describe_suppression),
    ("UpdateAuditSuppression", update_suppression),
    ("DeleteAuditSuppression", delete_suppression),
    ("ListAuditSuppressions", list_suppressions),
];

/// There is one configuration, and this is its name.
const ACCOUNT: &str = "account";
const ROLE: &str = "roleArn";
const CHECKS: &str = "auditCheckConfigurations";
const NOTIFY: &str = "auditNotificationTargetConfigurations";
const TARGETS: &str = "targetCheckNames";

fn check_named(name: &str) -> Result<CheckInfo, Fault> {
    catalogue::checks().into_iter().find(|check| check.name == name).ok_or_else(|| {
        let names: Vec<_> = catalogue::checks().into_iter().map(|check| check.name).collect();
        Fault::invalid(format!("there is no check `{name}`; there are `{}`", names.join("`, `")))
    })
}

fn is_enabled(row: Option<&Document>, check: &str) -> bool {
    let enabled = row.and_then(|row| row.members.get(CHECKS)?.get(check)?.get("enabled")?.as_bool());
    enabled.unwrap_or_default()
}

/// All checks there are, those that nobody switched on as switched off.
fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let row = change.find(Kind::AuditConfiguration, ACCOUNT);
    let mut shown = row.map(|row| row.members.clone()).unwrap_or_default();
    let configured = shown.remove(CHECKS).unwrap_or_default();
    let check = |check: CheckInfo| {
        let own = configured.get(&*check.name).cloned();
        (check.name.into_owned(), own.unwrap_or_else(|| json!({"enabled": false})))
    };
    shown.insert(CHECKS.into(), Value::Object(catalogue::checks().into_iter().map(check).collect()));
    shown.entry(NOTIFY).or_insert_with(|| json!({}));
    Ok(shown)
}

/// Refuses settings that a check does not have.
fn check_settings(check: &CheckInfo, given: &Value) -> Result<(), Fault> {
    let settings = given.get("configuration").and_then(Value::as_object);
    for (name, value) in settings.into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let known = check.parameters.iter().any(|parameter| parameter.name == *name);
        let refused = match CheckId::from_name(&check.name) {
            Some(id) => Parameters::default().set(id, name, value).err().map(|error| error.to_string()),
            None if known => None,
            None => Some(format!("`{}` has no setting `{name}`", check.name)),
        };
        if let Some(message) = refused {
            return Err(Fault::invalid(format!("`{CHECKS}.{}.configuration`: {message}", check.name)));
        }
    }
    Ok(())
}

/// Merges what is given into what there is, member by member.
fn merge(into: &mut Members, member: &str, given: Option<&Value>) {
    let Some(given) = given.and_then(Value::as_object) else { return };
    let all = into.entry(member).or_insert_with(|| json!({}));
    for (name, value) in given {
        match (all.get_mut(name).and_then(Value::as_object_mut), value.as_object()) {
            (Some(old), Some(new)) => old.extend(new.clone()),
            _ => {
                if let Some(all) = all.as_object_mut() {
                    all.insert(name.clone(), value.clone());
                }
            }
        }
    }
}

fn update(change: &mut Change<'_>) -> Result<Members, Fault> {
    let old = change.find(Kind::AuditConfiguration, ACCOUNT).cloned();
    for (name, given) in change.get(CHECKS).and_then(Value::as_object).into_iter().flatten() {
        check_settings(&check_named(name)?, given)?;
        if given.get("enabled").and_then(Value::as_bool) == Some(false)
            && let Some((schedule, _)) = change
                .documents(Kind::ScheduledAudit)
                .find(|(_, row)| targets(row).any(|check| check == name))
        {
            return Err(Fault::invalid(format!("check `{name}` is used by scheduled audit `{schedule}`")));
        }
    }
    let is_first = old.is_none();
    let mut row = old.unwrap_or_else(|| Document::new(change, &[]));
    if !is_first {
        row.update(change, &[ROLE]);
    } else if let Some(role) = change.get(ROLE) {
        row.members.insert(ROLE.into(), role.clone());
    }
    for member in [CHECKS, NOTIFY] {
        merge(&mut row.members, member, change.get(member));
    }
    let any = catalogue::checks().iter().any(|check| is_enabled(Some(&row), &check.name));
    if is_first && (row.text(ROLE).is_none() || !any) {
        let message =
            format!("the first configuration needs `{ROLE}` and at least one check that is enabled");
        return Err(Fault::invalid(message));
    }
    change.keep(Kind::AuditConfiguration, ACCOUNT, row)?;
    Ok(Members::new())
}

fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    change.document(Kind::AuditConfiguration, ACCOUNT)?;
    let schedules: Vec<String> =
        change.documents(Kind::ScheduledAudit).map(|(name, _)| name.clone()).collect();
    match schedules.first() {
        Some(first) if !change.flag("deleteScheduledAudits") => {
            return Err(Fault::invalid(format!(
                "there is the scheduled audit `{first}`; delete it first, or give `deleteScheduledAudits`"
            )));
        }
        _ => {}
    }
    for schedule in schedules {
        change.forget(Kind::ScheduledAudit, &schedule);
    }
    change.forget(Kind::AuditConfiguration, ACCOUNT);
    Ok(Members::new())
}

fn targets(row: &Document) -> impl Iterator<Item = &str> {
    row.members.get(TARGETS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

const SCHEDULE: [&str; 4] = ["frequency", "dayOfMonth", "dayOfWeek", TARGETS];

/// The day fits the frequency, and every check is there and switched on.
fn check_schedule(change: &Change<'_>, row: &Document) -> Result<(), Fault> {
    let frequency = row.text("frequency").unwrap_or_default();
    let needed = match frequency {
        "WEEKLY" | "BIWEEKLY" => Some("dayOfWeek"),
        "MONTHLY" => Some("dayOfMonth"),
        _ => None,
    };
    if let Some(day) = needed
        && row.text(day).is_none()
    {
        return Err(Fault::invalid(format!("`{day}` is needed with the frequency `{frequency}`")));
    }
    if targets(row).next().is_none() {
        return Err(Fault::invalid(format!("`{TARGETS}` is empty; expected at least one check")));
    }
    let configuration = change.find(Kind::AuditConfiguration, ACCOUNT);
    for name in targets(row) {
        check_named(name)?;
        if !is_enabled(configuration, name) {
            return Err(Fault::invalid(format!(
                "check `{name}` is not enabled in the account's audit configuration"
            )));
        }
    }
    Ok(())
}

fn create_schedule(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("scheduledAuditName")?;
    let tags = tag::given(change, None)?;
    let row = Document::new(change, &SCHEDULE);
    check_schedule(change, &row)?;
    if change.find(Kind::ScheduledAudit, name).is_some() {
        return Err(change.taken(Kind::ScheduledAudit, name));
    }
    change.keep(Kind::ScheduledAudit, name, row)?;
    change.set_tags(&format!("{}/{name}", Kind::ScheduledAudit.name()), tags)?;
    Ok(answer([("scheduledAuditArn", json!(change.arn(Kind::ScheduledAudit, name)))]))
}

fn shown_schedule(change: &Change<'_>, name: &str, row: &Document) -> Members {
    let mut shown = row.members.clone();
    shown.insert("scheduledAuditName".into(), json!(name));
    shown.insert("scheduledAuditArn".into(), json!(change.arn(Kind::ScheduledAudit, name)));
    shown
}

fn describe_schedule(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("scheduledAuditName")?;
    Ok(shown_schedule(change, name, change.document(Kind::ScheduledAudit, name)?))
}

fn update_schedule(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("scheduledAuditName")?;
    let mut row = change.document(Kind::ScheduledAudit, name)?.clone();
    row.update(change, &SCHEDULE);
    check_schedule(change, &row)?;
    change.keep(Kind::ScheduledAudit, name, row)?;
    Ok(answer([("scheduledAuditArn", json!(change.arn(Kind::ScheduledAudit, name)))]))
}

fn delete_schedule(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("scheduledAuditName")?;
    change.document(Kind::ScheduledAudit, name)?;
    change.forget(Kind::ScheduledAudit, name);
    Ok(Members::new())
}

fn list_schedules(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let rows = change.documents(Kind::ScheduledAudit);
    Ok(page.answer(rows.map(|(name, row)| (name, Value::Object(shown_schedule(change, name, row))))))
}

const CHECK: &str = "checkName";
const RESOURCE: &str = "resourceIdentifier";
const EXPIRES: &str = "expirationDate";
const FOREVER: &str = "suppressIndefinitely";

/// What a suppression is known by: check and resource, whatever the order of the resource's members.
fn key(change: &Change<'_>) -> Result<String, Fault> {
    let resource = change.get(RESOURCE).map(sorted).unwrap_or_default();
    if resource.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Fault::invalid(format!(
            "`{RESOURCE}` has no member; expected one that names a resource"
        )));
    }
    let named = json!([change.required(CHECK)?, resource]).to_string();
    Ok(hex(&Sha256::digest(named)))
}

fn sorted(value: &Value) -> Value {
    let Some(members) = value.as_object() else { return value.clone() };
    let mut members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Object(members.into_iter().collect())
}

fn find_suppression<'a>(change: &'a Change<'_>, key: &str) -> Result<&'a Document, Fault> {
    let missing = || {
        let check = change.text(CHECK).unwrap_or_default();
        Fault::missing("suppression of this resource for the check", check)
    };
    change.find(Kind::Suppression, key).ok_or_else(missing)
}

/// Either until a day to come, or for ever.
fn check_suppression(change: &Change<'_>, row: &Document) -> Result<(), Fault> {
    let forever = row.members.get(FOREVER).and_then(Value::as_bool).unwrap_or_default();
    let expires = row.members.get(EXPIRES).and_then(Value::as_f64);
    match (expires, forever) {
        (Some(_), true) | (None, false) => {
            Err(Fault::invalid(format!("expected one of `{EXPIRES}` and `{FOREVER}` = true")))
        }
        (Some(at), false) if change.seconds().as_f64().is_some_and(|now| at <= now) => {
            Err(Fault::invalid(format!("`{EXPIRES}`: found {at}, which is past")))
        }
        _ => Ok(()),
    }
}

fn create_suppression(change: &mut Change<'_>) -> Result<Members, Fault> {
    check_named(change.required(CHECK)?)?;
    let key = key(change)?;
    let row = Document::new(change, &[CHECK, RESOURCE, EXPIRES, FOREVER, "description"]);
    check_suppression(change, &row)?;
    match change.find(Kind::Suppression, &key) {
        Some(old) if old.is_again(&row) => return Ok(Members::new()),
        Some(_) => {
            let check = change.required(CHECK)?;
            return Err(Fault::exists("suppression of this resource for the check", check, key, ""));
        }
        None => {}
    }
    let same = |other: &Document| other.token.is_some() && other.token == row.token;
    let other = change.documents(Kind::Suppression).find(|(_, other)| same(other));
    if let Some(check) = other.and_then(|(_, other)| other.text(CHECK)) {
        return Err(Fault::invalid(format!(
            "`clientRequestToken` made another suppression already, for `{check}`"
        )));
    }
    change.keep(Kind::Suppression, &key, row)?;
    Ok(Members::new())
}

fn describe_suppression(change: &mut Change<'_>) -> Result<Members, Fault> {
    Ok(find_suppression(change, &key(change)?)?.members.clone())
}

fn update_suppression(change: &mut Change<'_>) -> Result<Members, Fault> {
    let key = key(change)?;
    let mut row = find_suppression(change, &key)?.clone();
    match (change.get(EXPIRES), change.flag(FOREVER)) {
        (Some(_), false) => {
            row.members.shift_remove(FOREVER);
        }
        (None, true) => {
            row.members.shift_remove(EXPIRES);
        }
        _ => {}
    }
    row.update(change, &[EXPIRES, FOREVER, "description"]);
    check_suppression(change, &row)?;
    change.keep(Kind::Suppression, &key, row)?;
    Ok(Members::new())
}

fn delete_suppression(change: &mut Change<'_>) -> Result<Members, Fault> {
    let key = key(change)?;
    change.forget(Kind::Suppression, &key);
    Ok(Members::new())
}

/// By the day of expiry; what lasts for ever comes last.
fn list_suppressions(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let check = change.text(CHECK);
    let resource = change.get(RESOURCE).map(sorted);
    let wanted = |row: &Document| {
        check.is_none_or(|check| row.text(CHECK) == Some(check))
            && resource
                .as_ref()
                .is_none_or(|resource| row.members.get(RESOURCE).map(sorted).as_ref() == Some(resource))
    };
    let mut rows: Vec<(String, Value)> = change
        .documents(Kind::Suppression)
        .filter(|(_, row)| wanted(row))
        .map(|(key, row)| {
            let expires = row.members.get(EXPIRES).and_then(Value::as_f64).unwrap_or(f64::INFINITY);
            (format!("{:016x}/{key}", expires.max(0.0).to_bits()), Value::Object(row.members.clone()))
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    if change.get("ascendingOrder").and_then(Value::as_bool).unwrap_or(true) {
        Ok(page.answer(rows))
    } else {
        Ok(page.answer_descending(rows.into_iter().rev()))
    }
}
