//! Tags of everything that has an ARN and may have tags.

use std::collections::BTreeMap;

use fleet::store::Table;
use serde_json::{Value, json};

use super::{Handler, change::Change, document::Kind};
use crate::aws::{Members, fault::Fault};

pub(super) const HANDLERS: &[(&str, Handler)] =
    &[("TagResource", tag), ("UntagResource", untag), ("ListTagsForResource", list)];

/// Tags of a resource at most (AWS tagging quota).
const TAGS_MAX: usize = 50;

/// Tags by their keys.
pub(super) type Tags = BTreeMap<String, String>;

/// The tags of a request, added to what there is.
pub(super) fn given(change: &Change<'_>, old: Option<&Tags>) -> Result<Tags, Fault> {
    let mut tags = old.cloned().unwrap_or_default();
    let text =
        |tag: &Value, member: &str| tag.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    for tag in change.get("tags").and_then(Value::as_array).into_iter().flatten() {
        let key = text(tag, "Key");
        if key.starts_with("aws:") {
            return Err(Fault::invalid(format!("the tag key `{key}` begins with `aws:`, which is reserved")));
        }
        tags.insert(key, text(tag, "Value"));
    }
    match tags.len() {
        0..=TAGS_MAX => Ok(tags),
        len => Err(Fault::invalid(format!("{len} tags; a resource has up to {TAGS_MAX}"))),
    }
}

impl Change<'_> {
    /// Sets the tags of a resource, given as `KIND/NAME`.
    pub(super) fn set_tags(&mut self, resource: &str, tags: Tags) -> Result<(), Fault> {
        if tags.is_empty() {
            self.untag(resource);
            return Ok(());
        }
        let value = serde_json::to_vec(&tags).map_err(Fault::internal)?;
        self.put(Table::Registry, format!("tags/{resource}"), value);
        self.state.tags.insert(resource.to_owned(), tags);
        Ok(())
    }

    /// Removes all tags of a resource.
    pub(super) fn untag(&mut self, resource: &str) {
        if self.state.tags.remove(resource).is_some() {
            self.delete(Table::Registry, format!("tags/{resource}"));
        }
    }

    fn has(&self, resource: &str) -> bool {
        let Some((kind, name)) = resource.split_once('/') else { return false };
        match kind {
            "thinggroup" => self.state.groups.contains_key(name),
            "securityprofile" => self.state.profiles.contains_key(name),
            "dimension" => self.state.dimensions.contains_key(name),
            _ => Kind::ALL.into_iter().any(|own| own.name() == kind && self.find(own, name).is_some()),
        }
    }
}

/// The resource of a request as `KIND/NAME`.
fn resource<'a>(change: &Change<'a>) -> Result<&'a str, Fault> {
    let arn = change.required("resourceArn")?;
    let resource = arn.strip_prefix(&change.names.arn(""));
    resource
        .filter(|resource| change.has(resource))
        .ok_or_else(|| Fault::missing("resource that may have tags with the ARN", arn))
}

fn tag(change: &mut Change<'_>) -> Result<Members, Fault> {
    let resource = resource(change)?;
    let old = change.state.tags.get(resource);
    let tags = given(change, old)?;
    if old != Some(&tags) {
        change.set_tags(resource, tags)?;
    }
    Ok(Members::new())
}

/// Keys that are not there are passed over.
fn untag(change: &mut Change<'_>) -> Result<Members, Fault> {
    let resource = resource(change)?;
    let Some(mut tags) = change.state.tags.get(resource).cloned() else { return Ok(Members::new()) };
    let before = tags.len();
    for key in change.get("tagKeys").and_then(Value::as_array).into_iter().flatten() {
        tags.remove(key.as_str().unwrap_or_default());
    }
    if tags.len() != before {
        change.set_tags(resource, tags)?;
    }
    Ok(Members::new())
}

fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let tags = change.state.tags.get(resource(change)?).into_iter().flatten();
    Ok(page.answer(tags.map(|(key, value)| (key, json!({"Key": key, "Value": value})))))
}
