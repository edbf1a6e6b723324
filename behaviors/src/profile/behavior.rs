//! Reads one behavior.

use std::sync::Arc;

use fleet::{
    ids::{BehaviorName, CustomMetricName},
    metric::AwsMetric,
};

use super::{
    Definition, Dimension, Evaluation, Judgement, Rule, criteria, dimension as dimensions,
    document::{Document, Fields, Node, list, shorten},
    entity::{self, Counted},
    learned,
    links::CustomUse,
    read::checked,
};
use crate::{
    learned::Learned,
    own::OwnMetric,
    set::{EntityKind, MetricKey},
};

/// Most behaviors of a profile (quota).
pub(super) const BEHAVIORS_MAX: usize = 100;

const KEYS: [&str; 7] =
    ["name", "metric", "metricDimension", "criteria", "suppressAlerts", "exportMetric", "fleetward"];

/// Keys under `fleetward`.
const OWN_KEYS: [&str; 12] = [
    "entity",
    "distinct",
    "prefixV4",
    "prefixV6",
    learned::DISCONNECTS,
    "baseline",
    "counts",
    "learn",
    "silence",
    "absence",
    "flapping",
    "clock",
];

/// The behaviors of a profile as they are read.
#[derive(Debug, Default)]
pub(super) struct Behaviors {
    pub(super) definitions: Vec<Definition>,
    /// Value elements in all criteria.
    pub(super) elements: usize,
    /// Custom metrics with the type that their criterion gives them, and where they are named.
    pub(super) metrics: Vec<(usize, String, CustomUse)>,
    /// Dimensions that are used, and where.
    pub(super) dimensions: Vec<DimensionUse>,
}

/// Use of a dimension, which may not exist.
#[derive(Debug)]
pub(super) struct DimensionUse {
    pub(super) at: usize,
    pub(super) place: String,
    pub(super) name: String,
}

/// Reads a behavior and adds it to `all`, unless something about it is wrong.
pub(super) fn read(document: &mut Document<'_>, node: &Node<'_>, all: &mut Behaviors) {
    let Some(fields) = document.fields(node, &KEYS) else { return };
    let name = document.required(&fields, "name").cloned();
    let name = name.and_then(|node| name_of(document, &node, all));
    let metric_node = document.required(&fields, "metric").cloned();
    let metric = metric_node.as_ref().and_then(|node| metric(document, node));
    let dimension_node = fields.get("metricDimension");
    let dimension =
        dimension_node.and_then(|node| dimension(document, node, metric.as_ref(), &mut all.dimensions));
    let own = fields.get("fleetward").map(|node| document.fields(node, &OWN_KEYS));
    let counted = match &own {
        Some(Some(own)) => entity::read(document, own, metric.as_ref()),
        Some(None) => None,
        None => Some(Counted::default()),
    };
    let own = own.flatten();
    let criteria_node = fields.get("criteria");
    let named = own.as_ref().is_some_and(|own| learned::JUDGEMENTS.iter().any(|key| own.has(key)));
    let (read, runs) = match criteria_node {
        Some(node) if named => (None, criteria::read_runs(document, node)),
        Some(node) => (Some(criteria::read(document, node, metric.as_ref())), None),
        None => (None, named.then_some(criteria::Runs::USUAL)),
    };
    let window = runs.as_ref().and_then(|runs| runs.duration);
    let judged = own.as_ref().map(|own| learned::read(document, own, metric.as_ref(), window));
    let judged = judged.unwrap_or_default();
    let suppress = document.flag_in(&fields, "suppressAlerts");
    let export = document.flag_in(&fields, "exportMetric");
    all.elements += read.as_ref().map_or(0, |read| read.elements);
    // Whatever is wrong has been reported; what remains is put together if it is whole.
    let (Some(name), Some(metric), Some(counted)) = (name, metric, counted) else { return };
    let criteria = match read {
        Some(read) => match read.criteria {
            Some(criteria) => Some(criteria),
            None => return,
        },
        None => None,
    };
    let judgement = match (judged.learned, runs) {
        _ if judged.failed => return,
        (Some(rule), Some(runs)) => {
            let criteria::Runs { duration, to_alarm, to_clear } = runs;
            Some(Judgement { rule, duration, to_alarm, to_clear })
        }
        (Some(_), None) => return,
        (None, _) => None,
    };
    let reasons = judged.reasons.unwrap_or_default();
    let json = as_configured(document.source(node));
    let Counted { entity, distinct } = counted;
    let definition = Definition {
        name,
        metric,
        entity,
        distinct,
        dimension,
        criteria,
        judgement,
        reasons,
        suppress,
        export,
        json,
    };
    if !keyed_fits(document, &definition, &fields) {
        return;
    }
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
    let place = fields.place_of("criteria");
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
    if text.starts_with(OwnMetric::PREFIX) {
        return match text.parse::<OwnMetric>() {
            Ok(metric) => Some(MetricKey::Own(metric)),
            Err(near) => {
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("allowed are {}", list(&OwnMetric::ALL.map(OwnMetric::name))),
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
    uses: &mut Vec<DimensionUse>,
) -> Option<Dimension> {
    let fields = document.fields(node, &["dimensionName", "operator"])?;
    let name = document.required(&fields, "dimensionName").cloned();
    let name_node = name.clone();
    let name = name.and_then(|node| dimensions::name(document, &node));
    let operator = fields.get("operator");
    let negated = match operator {
        Some(node) => document.word(node, &[("IN", false), ("NOT_IN", true)]),
        None => Some(false),
    };
    let takes = match metric {
        Some(MetricKey::Aws(metric)) => metric.takes_dimension(),
        Some(MetricKey::Own(_) | MetricKey::Custom(_)) => false,
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
    let dimension = Dimension { name: name?, negated: negated? };
    if let Some(node) = name_node {
        uses.push(DimensionUse {
            at: node.at(),
            place: node.place().to_owned(),
            name: dimension.name.clone(),
        });
    }
    Some(dimension)
}

/// What counts by something else than by thing has a fixed criterion for all its events.
fn keyed_fits(document: &mut Document<'_>, definition: &Definition, fields: &Fields<'_>) -> bool {
    if definition.entity == EntityKind::Thing && definition.distinct.is_none() {
        return true;
    }
    if let Some(Judgement { rule, .. }) = &definition.judgement
        && !matches!(rule, Learned::Baseline(_) | Learned::Counts(_) | Learned::Silence(_))
    {
        let message = format!(
            "does not go with an `entity` other than `thing` nor with `distinct`; \
             those that do are `baseline`, `counts` and `silence`; found `{}`",
            rule.key()
        );
        document.error(fields.at(), &fields.place_of("fleetward"), message);
        return false;
    }
    if let Some(Judgement { rule: Learned::Baseline(rule), .. }) = &definition.judgement
        && rule.warm_up.is_some()
    {
        let message = "`warmUp` does not go with an `entity` other than `thing` nor with `distinct`: \
                       only things have groups";
        document.error(fields.at(), &fields.place_of("fleetward"), message.to_owned());
        return false;
    }
    let wrong = match (&definition.dimension, &definition.criteria) {
        (Some(_), _) => "metricDimension",
        (None, Some(criteria)) if !matches!(criteria.rule, Rule::Static(_)) => "criteria",
        (None, Some(_) | None) => return true,
    };
    let at = fields.get(wrong).map_or(fields.at(), Node::at);
    let message = "does not go with an `entity` other than `thing` nor with `distinct`: \
                   these have a fixed value and no dimension";
    document.error(at, &fields.place_of(wrong), message.to_owned());
    false
}
