//! Reads dimensions: files in the form of `aws iot create-dimension --cli-input-json`.

use fleet::ids::BehaviorName;

use super::{
    document::{Document, Node, shorten},
    links::{Found, FoundDimension},
    read::checked,
};
use crate::dimension::{DimensionFilters, Filter};

const KEYS: [&str; 5] = ["name", "type", "stringValues", "tags", "clientRequestToken"];
/// Most topic filters of a dimension.
const VALUES_MAX: usize = 100;
/// Longest topic filter, characters.
const VALUE_CHARS_MAX: usize = 256;

/// Whether an element of a file is a dimension: it has a key that only a dimension has.
pub(super) fn is_one(node: &Node<'_>) -> bool {
    let has = |wanted: &str| node.keys().any(|key| key == wanted);
    has("stringValues") || has("type") && !has("securityProfileName")
}

/// Reads a dimension into `found`, unless something about it is wrong.
pub(super) fn read(document: &mut Document<'_>, index: usize, node: &Node<'_>, found: &mut Found) {
    let Some(fields) = document.fields(node, &KEYS) else { return };
    let name_node = document.required(&fields, "name").cloned();
    let name = name_node.as_ref().and_then(|node| name(document, node));
    let kind = document.required(&fields, "type").cloned();
    let kind = kind.and_then(|node| document.word(&node, &[("TOPIC_FILTER", ())]));
    let values = document.required(&fields, "stringValues").cloned();
    let filters = values.and_then(|node| filters(document, &node));
    let (Some(name), Some(name_node), Some(()), Some(filters)) = (name, name_node, kind, filters) else {
        return;
    };
    found.dimensions.push(FoundDimension {
        document: index,
        at: name_node.at(),
        place: name_node.place().to_owned(),
        dimension: DimensionFilters { name: name.into(), filters },
    });
}

/// A dimension's name follows the same pattern as a behavior's.
pub(super) fn name(document: &mut Document<'_>, node: &Node<'_>) -> Option<String> {
    let text = document.text(node)?;
    let result = BehaviorName::check(text)
        .map_err(|error| error.to_string().replacen("behavior name", "dimension name", 1));
    checked(document, node, text, result).map(|()| text.to_owned())
}

fn filters(document: &mut Document<'_>, node: &Node<'_>) -> Option<Vec<Filter>> {
    let nodes = document.list(node)?;
    if nodes.is_empty() || nodes.len() > VALUES_MAX {
        let message = format!("has {} topic filters; allowed are 1 to {VALUES_MAX}", nodes.len());
        document.error(node.at(), node.place(), message);
        return None;
    }
    // Collected twice, so that the problems of all elements are found.
    let read: Vec<Option<Filter>> = nodes.iter().map(|node| filter(document, node)).collect();
    read.into_iter().collect()
}

fn filter(document: &mut Document<'_>, node: &Node<'_>) -> Option<Filter> {
    let text = document.text_of(node, 1, VALUE_CHARS_MAX)?;
    match Filter::parse(text) {
        Ok(filter) => Some(filter),
        Err(why) => {
            let message = format!("`{}` is no topic filter: {why}", shorten(text));
            document.error(node.at(), node.place(), message);
            None
        }
    }
}
