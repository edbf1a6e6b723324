//! Custom metrics. What a device may report and a behavior judge does not depend on them: they say what a
//! name means.

use serde_json::{Value, json};

use super::{
    Handler,
    change::{Change, answer},
    document::{Document, Kind},
    profile, tag,
};
use crate::aws::{Members, fault::Fault};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("CreateCustomMetric", create),
    ("DescribeCustomMetric", describe),
    ("UpdateCustomMetric", update),
    ("DeleteCustomMetric", delete),
    ("ListCustomMetrics", list),
];

const KIND: Kind = Kind::CustomMetric;

fn create(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("metricName")?;
    if name.starts_with("aws:") {
        return Err(Fault::invalid(format!(
            "`metricName`: found `{name}`; names that begin with `aws:` are reserved"
        )));
    }
    let tags = tag::given(change, None)?;
    let row = Document::new(change, &["metricType", "displayName"]);
    match change.find(KIND, name) {
        Some(old) if old.is_again(&row) => {}
        Some(_) => return Err(change.taken(KIND, name)),
        None => {
            change.keep(KIND, name, row)?;
            change.set_tags(&format!("{}/{name}", KIND.name()), tags)?;
        }
    }
    Ok(answer([("metricName", json!(name)), ("metricArn", json!(change.arn(KIND, name)))]))
}

fn shown(change: &Change<'_>, name: &str, row: &Document) -> Members {
    let mut shown = row.members.clone();
    shown.extend(answer([
        ("metricName", json!(name)),
        ("metricArn", json!(change.arn(KIND, name))),
        ("creationDate", row.created.clone()),
        ("lastModifiedDate", row.modified.clone()),
    ]));
    shown
}

fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("metricName")?;
    Ok(shown(change, name, change.document(KIND, name)?))
}

fn update(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("metricName")?;
    let mut row = change.document(KIND, name)?.clone();
    row.update(change, &["displayName"]);
    let answer = shown(change, name, &row);
    change.keep(KIND, name, row)?;
    Ok(answer)
}

fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    let name = change.required("metricName")?;
    let mut profiles = change.state.profiles.iter();
    if let Some((user, _)) = profiles.find(|(_, row)| profile::uses(row, &["/metric"], name)) {
        return Err(Fault::invalid(format!("custom metric `{name}` is used by security profile `{user}`")));
    }
    change.forget(KIND, name);
    Ok(Members::new())
}

fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    Ok(page.answer(change.documents(KIND).map(|(name, _)| (name, Value::from(name.as_str())))))
}
