//! Reads one file: profiles and attachments, without looking at other files.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{arn::Target, ids::ProfileName, problem::nearest};

use super::{
    AlertTarget, MetricsExport, Profile, Retained, allow,
    behavior::{self, BEHAVIORS_MAX, DimensionUse},
    dimension,
    document::{Document, Fields, Node, shorten},
    links::{Found, FoundProfile, Link},
};

const PROFILE_KEYS: [&str; 9] = [
    "securityProfileName",
    "securityProfileDescription",
    "behaviors",
    "alertTargets",
    "additionalMetricsToRetain",
    "additionalMetricsToRetainV2",
    "tags",
    "metricsExportConfig",
    "fleetward",
];
const TARGET_KEY: &str = "securityProfileTargetArn";
const ATTACHMENT_KEYS: [&str; 2] = ["securityProfileName", TARGET_KEY];
/// Most value elements of a profile (quota "Metric value elements per security profile").
const ELEMENTS_MAX: usize = 1000;
/// Most tags of a resource (AWS tagging quota).
const TAGS_MAX: usize = 50;

/// Reads a file into `found`; `index` is its number.
pub(super) fn file(document: &mut Document<'_>, index: usize, found: &mut Found) {
    let Some(root) = document.parse() else { return };
    let root = Document::root(&root);
    if root.is_list() {
        for node in document.list(&root).unwrap_or_default() {
            item(document, index, &node, found);
        }
    } else {
        item(document, index, &root, found);
    }
}

/// A profile or an attachment, told apart by the key that only an attachment has.
fn item(document: &mut Document<'_>, index: usize, node: &Node<'_>, found: &mut Found) {
    let keys = || PROFILE_KEYS.into_iter().chain([TARGET_KEY]);
    let attaches = |key: &str| !PROFILE_KEYS.contains(&key) && nearest(key, keys()) == Some(TARGET_KEY);
    if allow::is_one(node) {
        allow::read(document, node, found);
    } else if dimension::is_one(node) {
        dimension::read(document, index, node, found);
    } else if node.keys().any(attaches) {
        attachment(document, index, node, found);
    } else {
        profile(document, index, node, found);
    }
}

fn attachment(document: &mut Document<'_>, index: usize, node: &Node<'_>, found: &mut Found) {
    let Some(fields) = document.fields(node, &ATTACHMENT_KEYS) else { return };
    let name = document.required(&fields, "securityProfileName").cloned();
    let name = name.and_then(|node| profile_name(document, &node).map(|name| (name, node)));
    let target = document.required(&fields, TARGET_KEY).cloned();
    let target = target.and_then(|node| self::target(document, &node));
    if let (Some((profile, node)), Some(target)) = (name, target) {
        let (at, place) = (node.at(), node.place().to_owned());
        found.links.push(Link { document: index, at, place, profile, target, attached: true });
    }
}

fn profile(document: &mut Document<'_>, index: usize, node: &Node<'_>, found: &mut Found) {
    let Some(fields) = document.fields(node, &PROFILE_KEYS) else { return };
    let name_node = document.required(&fields, "securityProfileName").cloned();
    let name = name_node.as_ref().and_then(|node| profile_name(document, node));
    let description = fields.get("securityProfileDescription").and_then(|node| description(document, node));
    let mut behaviors = fields.get("behaviors").map(|node| behaviors(document, node)).unwrap_or_default();
    let alert_target = fields.get("alertTargets").and_then(|node| alert_target(document, node));
    let retained = retained(document, &fields, &mut behaviors.dimensions);
    let tags = fields.get("tags").map(|node| tags(document, node)).unwrap_or_default();
    let export = fields.get("metricsExportConfig").and_then(|node| export(document, node));
    let own = fields.get("fleetward").map(|node| own_targets(document, node)).unwrap_or_default();
    let (Some(name), Some(name_node)) = (name, name_node) else { return };
    for (target, node) in own.targets {
        let (at, place, profile) = (node.at(), node.place().to_owned(), name.clone());
        found.links.push(Link { document: index, at, place, profile, target, attached: false });
    }
    found.profiles.push(FoundProfile {
        document: index,
        at: name_node.at(),
        place: name_node.place().to_owned(),
        metrics: behaviors.metrics,
        dimensions: behaviors.dimensions,
        names_targets: own.named,
        profile: Profile {
            name,
            description,
            targets: BTreeSet::new(),
            behaviors: behaviors.definitions,
            alert_target,
            retained,
            tags,
            export,
        },
    });
}

fn profile_name(document: &mut Document<'_>, node: &Node<'_>) -> Option<ProfileName> {
    let text = document.text(node)?;
    checked(document, node, text, text.parse::<ProfileName>())
}

/// The parsed value, or its error as a problem with the text found.
pub(super) fn checked<T, E: std::fmt::Display>(
    document: &mut Document<'_>,
    node: &Node<'_>,
    found: &str,
    result: Result<T, E>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            document.error(node.at(), node.place(), format!("found `{}`: {error}", shorten(found)));
            None
        }
    }
}

fn description(document: &mut Document<'_>, node: &Node<'_>) -> Option<String> {
    let text = document.text_of(node, 0, 1000)?;
    match text.chars().find(|c| c.is_control()) {
        None => Some(text.to_owned()),
        Some(c) => {
            let message = format!("has the character {c:?}; allowed are all but control characters");
            document.error(node.at(), node.place(), message);
            None
        }
    }
}

fn behaviors(document: &mut Document<'_>, node: &Node<'_>) -> behavior::Behaviors {
    let mut all = behavior::Behaviors::default();
    let nodes = document.list(node).unwrap_or_default();
    if let Some(extra) = nodes.get(BEHAVIORS_MAX) {
        let message =
            format!("the profile has {} behaviors; allowed are at most {BEHAVIORS_MAX}", nodes.len());
        document.error(extra.at(), extra.place(), message);
    }
    for node in nodes.iter().take(BEHAVIORS_MAX) {
        behavior::read(document, node, &mut all);
    }
    if all.elements > ELEMENTS_MAX {
        let message = format!(
            "the criteria of the profile have {} value elements; allowed are at most {ELEMENTS_MAX}",
            all.elements
        );
        document.error(node.at(), node.place(), message);
    }
    all
}

fn alert_target(document: &mut Document<'_>, node: &Node<'_>) -> Option<AlertTarget> {
    let fields = document.fields(node, &["SNS"])?;
    let fields = document.fields(fields.get("SNS")?, &["alertTargetArn", "roleArn"])?;
    let alert_target_arn = arn(document, &fields, "alertTargetArn");
    let role_arn = arn(document, &fields, "roleArn");
    Some(AlertTarget { alert_target_arn: alert_target_arn?, role_arn: role_arn? })
}

/// An ARN of which only the beginning is looked at.
fn arn(document: &mut Document<'_>, fields: &Fields<'_>, key: &str) -> Option<String> {
    let node = document.required(fields, key)?.clone();
    let text = document.text_of(&node, 1, 2048)?;
    if text.starts_with("arn:") {
        return Some(text.to_owned());
    }
    let message = format!("found `{}`; expected an ARN, which begins with `arn:`", shorten(text));
    document.error(node.at(), node.place(), message);
    None
}

fn retained(document: &mut Document<'_>, fields: &Fields<'_>, uses: &mut Vec<DimensionUse>) -> Vec<Retained> {
    let mut all = Vec::new();
    if let Some(node) = fields.get("additionalMetricsToRetain") {
        for node in document.list(node).unwrap_or_default() {
            if let Some(metric) = behavior::metric(document, &node) {
                all.push(Retained { metric, dimension: None, export: false });
            }
        }
    }
    if let Some(node) = fields.get("additionalMetricsToRetainV2") {
        for node in document.list(node).unwrap_or_default() {
            all.extend(retained_metric(document, &node, uses));
        }
    }
    all
}

fn retained_metric(
    document: &mut Document<'_>,
    node: &Node<'_>,
    uses: &mut Vec<DimensionUse>,
) -> Option<Retained> {
    let fields = document.fields(node, &["metric", "metricDimension", "exportMetric"])?;
    let metric = document.required(&fields, "metric").cloned();
    let metric = metric.and_then(|node| behavior::metric(document, &node));
    let dimension = fields.get("metricDimension");
    let dimension = dimension.and_then(|node| behavior::dimension(document, node, metric.as_ref(), uses));
    let export = document.flag_in(&fields, "exportMetric");
    Some(Retained { metric: metric?, dimension, export })
}

fn tags(document: &mut Document<'_>, node: &Node<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let nodes = document.list(node).unwrap_or_default();
    if let Some(extra) = nodes.get(TAGS_MAX) {
        let message = format!("has {} tags; allowed are at most {TAGS_MAX}", nodes.len());
        document.error(extra.at(), extra.place(), message);
    }
    for node in nodes.iter().take(TAGS_MAX) {
        let Some(fields) = document.fields(node, &["Key", "Value"]) else { continue };
        let key_node = document.required(&fields, "Key").cloned();
        let key = key_node.as_ref().and_then(|node| document.text_of(node, 1, 128));
        let value = fields.get("Value").and_then(|node| document.text_of(node, 0, 256)).unwrap_or("");
        if let (Some(key), Some(node)) = (key, key_node)
            && all.insert(key.to_owned(), value.to_owned()).is_some()
        {
            let message = format!("the tag `{}` is there twice; keep one of them", shorten(key));
            document.error(node.at(), node.place(), message);
        }
    }
    all
}

fn export(document: &mut Document<'_>, node: &Node<'_>) -> Option<MetricsExport> {
    let fields = document.fields(node, &["mqttTopic", "roleArn"])?;
    let topic = document.required(&fields, "mqttTopic").cloned();
    let topic = topic.and_then(|node| document.text_of(&node, 1, 512));
    let role_arn = arn(document, &fields, "roleArn");
    Some(MetricsExport { mqtt_topic: topic?.to_owned(), role_arn: role_arn? })
}

/// What a profile itself says of its targets.
#[derive(Debug, Default)]
struct OwnTargets<'v> {
    targets: Vec<(Target, Node<'v>)>,
    /// Some were named, right or wrong.
    named: bool,
}

fn own_targets<'v>(document: &mut Document<'_>, node: &Node<'v>) -> OwnTargets<'v> {
    let Some(fields) = document.fields(node, &["targets"]) else { return OwnTargets::default() };
    let nodes = fields.get("targets").and_then(|node| document.list(node)).unwrap_or_default();
    let named = !nodes.is_empty();
    let targets = nodes.into_iter().filter_map(|node| Some((target(document, &node)?, node)));
    OwnTargets { targets: targets.collect(), named }
}

fn target(document: &mut Document<'_>, node: &Node<'_>) -> Option<Target> {
    let text = document.text(node)?;
    match text.parse() {
        Ok(target) => Some(target),
        Err(error) => {
            document.error(node.at(), node.place(), format!("{error}"));
            None
        }
    }
}
