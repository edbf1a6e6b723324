//! What the registry says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use audits::lens::evidence::{Attribute, Registered};
use fleet::registry::Registry;

/// Names of attributes that are told at most, the first ones.
const ATTRIBUTES_MAX: usize = 1_000;
/// Different values of an attribute that are counted at most.
const VALUES_MAX: usize = 100_000;
/// Values that say no.
const NEGATIVE: [&str; 5] = ["", "false", "no", "none", "0"];

/// The evidence of a registry that was read from `path`.
#[must_use]
pub fn evidence(path: &Path, registry: &Registry) -> Registered {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let depth = registry.groups.keys().map(|group| registry.ancestors(group).count()).max();
    Registered {
        place: Some(path.display().to_string()),
        things: Some(count(registry.things.len())),
        groups: Some(count(registry.groups.len())),
        dynamic_groups: None,
        grouped: Some(count(registry.things.values().filter(|thing| !thing.groups.is_empty()).count())),
        depth: Some(count(depth.unwrap_or(0))),
        attributes: Some(attributes(registry)),
        search_index: None,
    }
}

fn attributes(registry: &Registry) -> BTreeMap<String, Attribute> {
    let mut found: BTreeMap<&str, (Attribute, BTreeSet<&str>)> = BTreeMap::new();
    for (name, value) in registry.things.values().flat_map(|thing| &thing.attributes) {
        if found.len() >= ATTRIBUTES_MAX && !found.contains_key(name.as_str()) {
            continue;
        }
        let (attribute, values) = found.entry(name).or_default();
        attribute.things += 1;
        let says_no = NEGATIVE.iter().any(|no| no.eq_ignore_ascii_case(value.trim()));
        attribute.negative += u64::from(says_no);
        if values.len() < VALUES_MAX {
            values.insert(value);
        }
    }
    let told = |(name, (attribute, values)): (&str, (Attribute, BTreeSet<&str>))| {
        (name.to_owned(), Attribute { values: values.len() as u64, ..attribute })
    };
    found.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_groups_and_attributes_are_counted() {
        let registry: Registry = serde_json::from_str(
            r#"{"groups":{"plant":{},"hall":{"parent":"plant"}},
                "things":{"a":{"groups":["hall"],"attributes":{"tpm":"No","fw":"1"}},
                          "b":{"attributes":{"tpm":"2.0","fw":"1"}},"c":{}}}"#,
        )
        .unwrap();
        let told = evidence(Path::new("r.json"), &registry);
        assert_eq!(
            (told.things, told.groups, told.grouped, told.depth),
            (Some(3), Some(2), Some(1), Some(2))
        );
        let attribute = |things, negative, values| Attribute { things, negative, values };
        let expected =
            BTreeMap::from([("tpm".to_owned(), attribute(2, 1, 2)), ("fw".to_owned(), attribute(2, 0, 1))]);
        assert_eq!(told.attributes, Some(expected));
        assert_eq!(evidence(Path::new("r.json"), &Registry::default()).depth, Some(0));
    }
}
