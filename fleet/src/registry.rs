//! Which things and groups are registered.
//!
//! An immutable value: a change makes a new registry, which goes through the
//! journal like every other input of the detector.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{GroupName, ThingName};

/// A registered thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Thing {
    /// Attributes, as in `CreateThing`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Groups that the thing is a direct member of.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
}

/// A static thing group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    /// The group above, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<GroupName>,
}

/// Things and groups.
///
/// INVARIANT (kept by [`Registry::validated`]): every group named by a thing or as
/// a parent exists, and parents form no circle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Things by name.
    #[serde(default)]
    pub things: BTreeMap<ThingName, Thing>,
    /// Groups by name.
    #[serde(default)]
    pub groups: BTreeMap<GroupName, Group>,
}

/// Why a registry is not consistent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// A thing names a group that does not exist.
    #[error("thing `{thing}` is in group `{group}`, which is not defined")]
    UnknownGroup {
        /// The thing.
        thing: ThingName,
        /// The group.
        group: GroupName,
    },
    /// A group names a parent that does not exist.
    #[error("group `{group}` has the parent `{parent}`, which is not defined")]
    UnknownParent {
        /// The group.
        group: GroupName,
        /// The parent.
        parent: GroupName,
    },
    /// A group is above itself.
    #[error("group `{0}` is above itself")]
    Circle(GroupName),
}

impl Registry {
    /// Checks the invariant.
    ///
    /// # Errors
    /// The first inconsistency, in order of names.
    pub fn validated(self) -> Result<Self, RegistryError> {
        for (name, group) in &self.groups {
            if let Some(parent) = &group.parent
                && !self.groups.contains_key(parent)
            {
                return Err(RegistryError::UnknownParent { group: name.clone(), parent: parent.clone() });
            }
            if self.ancestors(name).nth(self.groups.len()).is_some() {
                return Err(RegistryError::Circle(name.clone()));
            }
        }
        for (name, thing) in &self.things {
            if let Some(group) = thing.groups.iter().find(|group| !self.groups.contains_key(*group)) {
                return Err(RegistryError::UnknownGroup { thing: name.clone(), group: group.clone() });
            }
        }
        Ok(self)
    }

    /// The group and those above it, nearest first. Endless if the invariant does not hold.
    pub fn ancestors<'a>(&'a self, group: &'a GroupName) -> impl Iterator<Item = &'a GroupName> {
        std::iter::successors(Some(group), |name| {
            self.groups.get(*name).and_then(|group| group.parent.as_ref())
        })
    }

    /// Whether `thing` is a member of `group` or of a group below it.
    #[must_use]
    pub fn is_member(&self, thing: &str, group: &GroupName) -> bool {
        self.things
            .get(thing)
            .is_some_and(|thing| thing.groups.iter().any(|own| self.ancestors(own).any(|name| name == group)))
    }

    /// A registry with `thing` in `group`, both created where missing.
    #[must_use]
    pub fn with_member(mut self, thing: &ThingName, group: &GroupName) -> Self {
        self.groups.entry(group.clone()).or_default();
        self.things.entry(thing.clone()).or_default().groups.insert(group.clone());
        self
    }

    /// A registry with `thing` no longer a direct member of `group`.
    #[must_use]
    pub fn without_member(mut self, thing: &ThingName, group: &GroupName) -> Self {
        if let Some(entry) = self.things.get_mut(thing) {
            entry.groups.remove(group);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(text: &str) -> Registry {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn members_of_child_groups_are_members_of_the_groups_above() {
        let registry = registry(
            r#"{"groups":{"plant":{},"hall":{"parent":"plant"}},
                "things":{"pump-1":{"groups":["hall"]},"pump-2":{}}}"#,
        )
        .validated()
        .unwrap();
        let (plant, hall) = ("plant".parse().unwrap(), "hall".parse().unwrap());
        assert!(registry.is_member("pump-1", &hall) && registry.is_member("pump-1", &plant));
        assert!(!registry.is_member("pump-2", &plant) && !registry.is_member("pump-3", &plant));
    }

    #[test]
    fn inconsistencies_are_named() {
        let cases = [
            (r#"{"things":{"p":{"groups":["g"]}}}"#, "thing `p` is in group `g`, which is not defined"),
            (r#"{"groups":{"g":{"parent":"h"}}}"#, "group `g` has the parent `h`, which is not defined"),
            (r#"{"groups":{"g":{"parent":"g"}}}"#, "group `g` is above itself"),
            (r#"{"groups":{"g":{"parent":"h"},"h":{"parent":"g"}}}"#, "group `g` is above itself"),
        ];
        for (text, message) in cases {
            assert_eq!(registry(text).validated().unwrap_err().to_string(), message);
        }
    }
}
