//! Reads an allow list: `{"allowList": ["pump-0001", "valve-*"], "registeredThings": true}`.

use super::{
    document::{Document, Node},
    links::Found,
};
use crate::allow::{AllowList, ENTRIES_MAX, PATTERNS_MAX};

const KEYS: [&str; 2] = ["allowList", "registeredThings"];
/// Longest entry, characters: the longest name of a thing.
const ENTRY_CHARS_MAX: usize = 128;

/// Whether an element of a file is an allow list.
pub(super) fn is_one(node: &Node<'_>) -> bool {
    node.keys().any(|key| key == "allowList")
}

/// Reads a list and puts it to those that were read before.
pub(super) fn read(document: &mut Document<'_>, node: &Node<'_>, found: &mut Found) {
    let Some(fields) = document.fields(node, &KEYS) else { return };
    let registered = document.flag_in(&fields, "registeredThings");
    let Some(list) = document.required(&fields, "allowList").cloned() else { return };
    let nodes = document.list(&list).unwrap_or_default();
    if nodes.len() > ENTRIES_MAX {
        let message = format!("has {} entries; allowed are at most {ENTRIES_MAX}", nodes.len());
        document.error(list.at(), list.place(), message);
        return;
    }
    let texts = nodes.iter().map(|node| document.text_of(node, 1, ENTRY_CHARS_MAX));
    let entries: Vec<Box<str>> = texts.collect::<Vec<_>>().into_iter().flatten().map(Box::from).collect();
    let patterns = entries.iter().filter(|entry| entry.contains('*')).count();
    if patterns > PATTERNS_MAX {
        let message = format!("has {patterns} entries with `*`; allowed are at most {PATTERNS_MAX}");
        document.error(list.at(), list.place(), message);
        return;
    }
    found.allowed.get_or_insert_default().extend(AllowList::new(entries, registered));
}
