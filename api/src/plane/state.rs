//! What the control plane knows, in memory, and how it is read from the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleet::{
    problem::Severity,
    registry::{Group, Registry, Thing},
    store::{KeyRange, Store, Table},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    PlaneError, RegistryPatch,
    document::{Document, Kind},
    tag::Tags,
};

/// A name that several maps share.
pub(super) type Name = Arc<str>;

/// A registered thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ThingRow {
    pub(super) id: Box<str>,
    pub(super) version: u64,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) attributes: Box<[(Box<str>, Box<str>)]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) groups: Box<[Name]>,
    /// Its type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Name>,
    /// Ids of its certificates, each with whether it is exclusive to the thing.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(super) principals: Box<[(Box<str>, bool)]>,
}

/// A static thing group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GroupRow {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) parent: Option<Name>,
    pub(super) description: Option<String>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) created: Value,
    #[serde(skip)]
    pub(super) things: BTreeSet<Name>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) things: BTreeMap<Name, ThingRow>,
    pub(super) groups: BTreeMap<Name, GroupRow>,
    pub(super) profiles: BTreeMap<String, Document>,
    pub(super) dimensions: BTreeMap<String, Document>,
    pub(super) documents: BTreeMap<Kind, BTreeMap<String, Document>>,
    /// Tags by `KIND/NAME`.
    pub(super) tags: BTreeMap<String, Tags>,
    /// Policies by the ARN of what they are attached to, and the other way round.
    pub(super) attached: BTreeMap<String, BTreeSet<String>>,
    pub(super) targets: BTreeMap<String, BTreeSet<String>>,
    /// Things by the id of their certificate.
    pub(super) holders: BTreeMap<String, BTreeSet<Name>>,
    files: Vec<(String, String)>,
    base: Registry,
    /// Things that the engine must hear of, each with the groups that it has left since.
    dirty_things: BTreeMap<Name, BTreeSet<Name>>,
    dirty_groups: BTreeSet<Name>,
}

/// Reads all records whose keys begin with `kind/`.
fn records<T: DeserializeOwned>(
    store: &dyn Store,
    table: Table,
    kind: &str,
    mut each: impl FnMut(&str, T),
) -> Result<(), PlaneError> {
    let mut range = KeyRange::prefix(format!("{kind}/").as_bytes());
    loop {
        let entries = store.scan(table, &range, 4096)?;
        let Some((last, _)) = entries.last() else { return Ok(()) };
        range = range.after(last);
        for (key, value) in &entries {
            let key = String::from_utf8_lossy(key);
            let record = serde_json::from_slice(value);
            let record = record
                .map_err(|error| PlaneError::Record { key: key.to_string(), message: error.to_string() })?;
            each(key.split_once('/').map_or("", |(_, name)| name), record);
        }
    }
}

impl State {
    pub(super) fn read(
        store: &dyn Store,
        files: Vec<(String, String)>,
        base: Registry,
    ) -> Result<Self, PlaneError> {
        let mut state = Self { files, base, ..Self::default() };
        records(store, Table::Registry, "group", |name, row: GroupRow| {
            state.groups.insert(name.into(), row);
        })?;
        records(store, Table::Registry, "thing", |name, row| state.add(name.into(), row))?;
        records(store, Table::Profiles, "profile", |name, row| {
            state.profiles.insert(name.into(), row);
        })?;
        records(store, Table::Profiles, "dimension", |name, row| {
            state.dimensions.insert(name.into(), row);
        })?;
        for kind in Kind::ALL {
            let all = state.documents.entry(kind).or_default();
            records(store, Table::Registry, kind.name(), |name, row| {
                all.insert(name.into(), row);
            })?;
        }
        records(store, Table::Registry, "tags", |resource, tags| {
            state.tags.insert(resource.into(), tags);
        })?;
        records(store, Table::Registry, "attached", |target, policies: BTreeSet<String>| {
            for policy in &policies {
                state.targets.entry(policy.clone()).or_default().insert(target.into());
            }
            state.attached.insert(target.into(), policies);
        })?;
        Ok(state)
    }

    /// A thing of the store, with its place in what is derived.
    fn add(&mut self, name: Name, mut row: ThingRow) {
        for group in &mut row.groups {
            let Some((own, _)) = self.groups.get_key_value(group) else { continue };
            *group = Arc::clone(own);
            if let Some(row) = self.groups.get_mut(group) {
                row.things.insert(Arc::clone(&name));
            }
        }
        for (id, _) in &row.principals {
            self.holders.entry(id.to_string()).or_default().insert(Arc::clone(&name));
        }
        self.things.insert(name, row);
    }

    /// Takes other files, and gives those of before.
    pub(super) fn reload(
        &mut self,
        files: Vec<(String, String)>,
        base: Registry,
    ) -> (Vec<(String, String)>, Registry) {
        (std::mem::replace(&mut self.files, files), std::mem::replace(&mut self.base, base))
    }

    /// The group and those above it, nearest first; endless loops cannot be made, since a parent is
    /// given once, when the group is made.
    pub(super) fn ancestors<'a>(&'a self, group: &'a Name) -> impl Iterator<Item = &'a Name> {
        std::iter::successors(Some(group), |name| self.groups.get(*name)?.parent.as_ref())
    }

    /// Whether there is a group of that name, made here or in the configuration.
    pub(super) fn has_group(&self, name: &str) -> bool {
        self.groups.contains_key(name) || self.base.groups.contains_key(name)
    }

    /// What is wrong with the profiles of the configuration and those made here together.
    pub(super) fn conflict(&self) -> Option<String> {
        let (_, problems) = behaviors::profile::parse_files(&self.texts());
        problems.iter().find(|problem| problem.severity == Severity::Error).map(ToString::to_string)
    }

    pub(super) fn touch_thing(&mut self, name: &Name, left: impl IntoIterator<Item = Name>) {
        self.dirty_things.entry(Arc::clone(name)).or_default().extend(left);
    }

    pub(super) fn touch_group(&mut self, name: &Name) {
        self.dirty_groups.insert(Arc::clone(name));
    }

    /// Files of the configuration, then what was made here as if it stood in files.
    pub(super) fn texts(&self) -> Vec<(String, String)> {
        let own = |kind: &str, name: &str, text: Value| (format!("api:{kind}/{name}"), text.to_string());
        let dimensions = self.dimensions.iter();
        let dimensions =
            dimensions.map(|(name, row)| own("dimension", name, Value::Object(row.members.clone())));
        let profiles = self.profiles.iter().map(|(name, row)| {
            let mut text = row.members.clone();
            text.insert("securityProfileName".into(), Value::String(name.clone()));
            text.insert("fleetward".into(), serde_json::json!({ "targets": row.targets }));
            own("securityprofile", name, Value::Object(text))
        });
        self.files.iter().cloned().chain(dimensions).chain(profiles).collect()
    }

    fn thing(&self, name: &Name) -> Option<Thing> {
        let row = self.things.get(name)?;
        let attributes = row.attributes.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let groups = row.groups.iter().filter_map(|group| group.parse().ok());
        Some(Thing { attributes: attributes.collect(), groups: groups.collect() })
    }

    fn group(&self, name: &Name) -> Option<Group> {
        let row = self.groups.get(name)?;
        Some(Group { parent: row.parent.as_ref().and_then(|parent| parent.parse().ok()) })
    }

    /// The registry of the configuration with what was made here on top.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = self.base.clone();
        for name in self.groups.keys() {
            put(&mut registry.groups, name, self.group(name));
        }
        for name in self.things.keys() {
            put(&mut registry.things, name, self.thing(name));
        }
        registry
    }

    /// What the engine has not heard of. What it knows besides, such as the groups of mitigations, stays.
    pub(super) fn take_patch(&mut self) -> RegistryPatch {
        let groups: Vec<_> = std::mem::take(&mut self.dirty_groups)
            .into_iter()
            .map(|name| {
                let group = self.group(&name).or_else(|| self.base.groups.get(&*name).cloned());
                (name, group)
            })
            .collect();
        let things: Vec<_> = std::mem::take(&mut self.dirty_things)
            .into_iter()
            .map(|(name, left)| {
                let thing = self.thing(&name).or_else(|| self.base.things.get(&*name).cloned());
                (name, thing, left)
            })
            .collect();
        Box::new(move |current| {
            let mut registry = current.clone();
            for (name, thing, left) in things {
                let thing = thing.map(|mut thing| {
                    let kept = registry.things.get(&*name).map(|thing| thing.groups.clone());
                    let kept = kept.unwrap_or_default();
                    thing.groups.extend(kept.into_iter().filter(|group| !left.contains(group.as_str())));
                    thing
                });
                put(&mut registry.things, &name, thing);
            }
            for (name, group) in groups {
                if group.is_none() {
                    // A mitigation may have put things into it.
                    for thing in registry.things.values_mut() {
                        thing.groups.retain(|own| own.as_str() != &*name);
                    }
                }
                put(&mut registry.groups, &name, group);
            }
            registry
        })
    }
}

fn put<K: std::str::FromStr + Ord, V>(map: &mut BTreeMap<K, V>, name: &str, value: Option<V>) {
    let Ok(key) = name.parse() else { return };
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}
