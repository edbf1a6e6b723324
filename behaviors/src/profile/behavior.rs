//! Reads one behavior.

use std::sync::Arc;

use fleet::{
    ids::{BehaviorName, CustomMetricName},
    metric::AwsMetric,
};

use super::{
    Definition, Dimension, Evaluation, criteria,
    document::{Document, Fields, Node, list, shorten},
    links::CustomUse,
    read::checked,
};
use crate::set::{EntityKind, MetricKey};

/// Most behaviors of a profile (quota).
pub(super) const BEHAVIORS_MAX: usize = 100;

const KEYS: [&str; 7] =
    ["name", "metric", "metricDimension", "criteria", "suppressAlerts", "exportMetric", "fleetward"];

/// The behaviors of a profile as they are read.
#[derive(Debug, Default)]
pub(super) struct Behaviors {
    pub(super) definitions: Vec<Definition>,
    /// Value elements in all criteria.
    pub(super) elements: usize,
    /// Custom metrics with the type that their criterion gives them, and where they are named.
    pub(super) metrics: Vec<(usize, String, CustomUse)>,
}

/// Reads a behavior and adds it to `all`, unless something about it is wrong.
pub(super) fn read(document: &mut Document<'_>, node: &Node<'_>, all: &mut Behaviors) {
    let Some(fields) = document.fields(node, &KEYS) else { return };
    let name = document.required(&fields, "name").cloned();
    let name = name.and_then(|node| name_of(document, &node, all));
    let metric_node = document.required(&fields, "metric").cloned();
    let metric = metric_node.as_ref().and_then(|node| metric(document, node));
    let dimension_node = fields.get("metricDimension");
    let dimension = dimension_node.and_then(|node| dimension(document, node, metric.as_ref()));
    let entity = fields.get("fleetward").map(|node| entity(document, node, metric.as_ref()));
    let criteria_node = fields.get("criteria");
    let read = criteria_node.map(|node| criteria::read(document, node, metric.as_ref()));
    let suppress = document.flag_in(&fields, "suppressAlerts");
    let export = document.flag_in(&fields, "exportMetric");
    all.elements += read.as_ref().map_or(0, |read| read.elements);
    // Whatever is wrong has been reported; what remains is put together if it is whole.
    let (Some(name), Some(metric), Some(entity)) = (name, metric, entity.unwrap_or(Some(EntityKind::Thing)))
    else {
        return;
    };
    let criteria = match read {
        Some(read) => match read.criteria {
            Some(criteria) => Some(criteria),
            None => return,
        },
        None => None,
    };
    let json = as_configured(document.source(node));
    let definition = Definition { name, metric, entity, dimension, criteria, suppress, export, json };
    if let (Some(node), Some(custom)) = (&metric_node, CustomUse::of(&definition)) {
        all.metrics.push((node.at(), node.place().to_owned(), custom));
    }
    warn_of_what_waits(document, &definition, &fields);
    all.definitions.push(definition);
}

/// Compact, without our own key, so that others can read it as a behavior of AWS.
fn as_configured(source: &str) -> Arc<str> {
    let mut value: serde_json::Value = serde_json::from_str(source).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.shift_remove("fleetward");
    }
    value.to_string().into()
}

fn warn_of_what_waits(document: &mut Document<'_>, definition: &Definition, fields: &Fields<'_>) {
    let Evaluation::NotYet(key) = definition.evaluation() else { return };
    let node = fields.get(key).or_else(|| fields.get("criteria"));
    let at = node.map_or(fields.at(), Node::at);
    let place = fields.place_of(if key == "metricDimension" { key } else { "criteria" });
    let message = format!("`{key}` is accepted, not evaluated yet: the behavior raises no alarm");
    document.warning(at, &place, message);
}

fn name_of(document: &mut Document<'_>, node: &Node<'_>, all: &Behaviors) -> Option<BehaviorName> {
    let text = document.text(node)?;
    let name: BehaviorName = checked(document, node, text, text.parse())?;
    if all.definitions.iter().any(|other| other.name == name) {
        let message = format!("the behavior `{name}` is there twice; names are unique in a profile");
        document.error(node.at(), node.place(), message);
        return None;
    }
    Some(name)
}

/// A metric by name: of AWS if it begins with `aws:`, else custom.
pub(super) fn metric(document: &mut Document<'_>, node: &Node<'_>) -> Option<MetricKey> {
    let text = document.text(node)?;
    if text.starts_with("aws:") {
        return match text.parse::<AwsMetric>() {
            Ok(metric) => Some(MetricKey::Aws(metric)),
            Err(error) => {
                let hint = match error.suggestion {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("allowed are {}", list(&AwsMetric::ALL.map(AwsMetric::name))),
                };
                let message = format!("unknown metric `{}`; {hint}", shorten(text));
                document.error(node.at(), node.place(), message);
                None
            }
        };
    }
    checked(document, node, text, CustomMetricName::check(text))?;
    if let Some(meant) = AwsMetric::ALL.into_iter().find(|m| m.name().strip_prefix("aws:") == Some(text)) {
        let message = format!("`{text}` is read as a custom metric; did you mean `{meant}`?");
        document.warning(node.at(), node.place(), message);
    }
    Some(MetricKey::Custom(text.into()))
}

/// Use of a dimension by a metric.
pub(super) fn dimension(
    document: &mut Document<'_>,
    node: &Node<'_>,
    metric: Option<&MetricKey>,
) -> Option<Dimension> {
    let fields = document.fields(node, &["dimensionName", "operator"])?;
    let name = document.required(&fields, "dimensionName").cloned();
    // A dimension's name follows the same pattern as a behavior's.
    let name = name.and_then(|node| {
        let text = document.text(&node)?;
        let result = BehaviorName::check(text).map_err(|error| dimension_error(&error.to_string()));
        checked(document, &node, text, result).map(|()| text.to_owned())
    });
    let operator = fields.get("operator");
    let negated = match operator {
        Some(node) => document.word(node, &[("IN", false), ("NOT_IN", true)]),
        None => Some(false),
    };
    let takes = match metric {
        Some(MetricKey::Aws(metric)) => metric.takes_dimension(),
        Some(MetricKey::Custom(_)) => false,
        None => true,
    };
    if let Some(metric) = metric
        && !takes
    {
        let able: Vec<&str> =
            AwsMetric::ALL.into_iter().filter(|m| m.takes_dimension()).map(AwsMetric::name).collect();
        let message = format!("`{metric}` takes no dimension; those that do are {}", list(&able));
        document.error(node.at(), node.place(), message);
        return None;
    }
    Some(Dimension { name: name?, negated: negated? })
}

fn dimension_error(text: &str) -> String {
    text.replacen("behavior name", "dimension name", 1)
}

/// Metrics that can be counted by source address.
const BY_ADDRESS: [AwsMetric; 2] = [AwsMetric::NumAuthorizationFailures, AwsMetric::NumConnectionAttempts];

fn entity(document: &mut Document<'_>, node: &Node<'_>, metric: Option<&MetricKey>) -> Option<EntityKind> {
    let fields = document.fields(node, &["entity"])?;
    let Some(node) = fields.get("entity") else { return Some(EntityKind::Thing) };
    let words = [EntityKind::Thing, EntityKind::SourceIp].map(|kind| (kind.name(), kind));
    let kind = document.word(node, &words)?;
    let by_address = match metric {
        Some(MetricKey::Aws(metric)) => BY_ADDRESS.contains(metric),
        Some(MetricKey::Custom(_)) => false,
        None => true,
    };
    if kind == EntityKind::SourceIp && !by_address {
        let message = format!(
            "found `source-ip`; only {} can be counted by source address",
            list(&BY_ADDRESS.map(AwsMetric::name))
        );
        document.error(node.at(), node.place(), message);
        return None;
    }
    Some(kind)
}
