//! Records of our own: what changes the fold besides what sources send.

use std::collections::BTreeMap;

use fleet::{
    ids::{GroupName, ThingName},
    registry::{Group, Registry, Thing},
};
use serde::{Deserialize, Serialize};

/// What became different in the registry; nothing stands for what is gone.
///
/// A whole registry would cost megabytes of journal for each thing that changes its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryChange {
    /// Things that are new, changed, or gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub things: BTreeMap<ThingName, Option<Thing>>,
    /// Groups that are new, changed, or gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<GroupName, Option<Group>>,
}

impl RegistryChange {
    /// What leads from `old` to `new`.
    #[must_use]
    pub fn between(old: &Registry, new: &Registry) -> Self {
        Self { things: difference(&old.things, &new.things), groups: difference(&old.groups, &new.groups) }
    }

    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.things.is_empty() && self.groups.is_empty()
    }

    /// Makes the change.
    pub fn apply(&self, registry: &mut Registry) {
        patch(&mut registry.things, &self.things);
        patch(&mut registry.groups, &self.groups);
    }
}

fn difference<K: Ord + Clone, V: PartialEq + Clone>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> BTreeMap<K, Option<V>> {
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), None));
    let other = new.iter().filter(|(key, value)| old.get(*key) != Some(*value));
    gone.chain(other.map(|(key, value)| (key.clone(), Some(value.clone())))).collect()
}

fn patch<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, changes: &BTreeMap<K, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

/// Everything of the configuration that changes what the fold decides. It is journaled, so that a
/// replay decides as the engine did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// Window of numeric behaviors that name none, seconds.
    pub bucket_secs: u32,
    /// How far the watermark stays behind event time, ms; at most [`Rules::LATENESS_MS_MAX`].
    pub lateness_ms: u32,
    /// Things that are followed at most. Unregistered ones without a session make room for others; if
    /// there is none, what is new is counted as untracked.
    pub things_max: u32,
    /// Source addresses that are followed at most, to know who stands behind which. Idle ones make room.
    pub addresses_max: u32,
    /// Security profile files: (name, text) each.
    pub profiles: Vec<(String, String)>,
    /// Whether the values of all metrics that profiles name are collected and handed on
    /// ([`crate::output::Datapoints`]). Costs memory for each of them, and nothing when it is off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub collect: bool,
    /// Entities of each kind other than things that are followed at most: the ones seen longest ago
    /// make room for others, those in alarm last.
    #[serde(default = "entities_max")]
    pub entities_max: u32,
}

/// With two behaviors each, about 60 MB for each kind of entity that is watched.
const fn entities_max() -> u32 {
    262_144
}

impl Rules {
    /// The shards remember the last minute of each entity's activity by second; a watermark
    /// further behind than that could not tell in which window an entity was present.
    pub const LATENESS_MS_MAX: u32 = 60_000;
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            // The grid of AWS IoT Device Defender.
            bucket_secs: 300,
            // Brokers write their logs within milliseconds; two seconds also cover a busy disk.
            lateness_ms: 2_000,
            // One million things with ten behaviors each fit into 1 GiB.
            things_max: 1_000_000,
            addresses_max: 1_000_000,
            profiles: Vec::new(),
            collect: false,
            entities_max: entities_max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leads_from_one_registry_to_the_other_and_survives_the_journal() {
        let parse = |text: &str| serde_json::from_str::<Registry>(text).unwrap();
        let old = parse(r#"{"groups":{"a":{},"b":{}},"things":{"p":{"groups":["a"]},"q":{}}}"#);
        let new = parse(r#"{"groups":{"a":{},"c":{}},"things":{"p":{"groups":["c"]},"r":{}}}"#);
        let change = RegistryChange::between(&old, &new);
        let json = serde_json::to_string(&change).unwrap();
        let mut patched = old.clone();
        serde_json::from_str::<RegistryChange>(&json).unwrap().apply(&mut patched);
        assert_eq!(patched, new);
        assert_eq!(change.things.len() + change.groups.len(), 5);
        assert!(RegistryChange::between(&new, &new).is_empty());
    }
}
