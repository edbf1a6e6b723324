//! Reads what a behavior counts by, and what it counts different ones of: our own keys.

use fleet::metric::AwsMetric;

use super::document::{Document, Fields, Node, list};
use crate::{
    own::OwnMetric,
    set::{EntityKind, Item, MetricKey},
};

/// What a behavior counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) entity: EntityKind,
    pub(super) distinct: Option<Item>,
}

/// Reads the own keys of a behavior; nothing if something about them is wrong.
pub(super) fn read(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    metric: Option<&MetricKey>,
) -> Option<Counted> {
    let entity = entity(document, fields, metric);
    let distinct = match fields.get("distinct") {
        Some(node) => Some(distinct(document, node, metric)?),
        None => None,
    };
    Some(Counted { entity: entity?, distinct })
}

fn entity(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    metric: Option<&MetricKey>,
) -> Option<EntityKind> {
    let prefix = |document: &mut Document<'_>, key: &str, max: u8| match fields.get(key) {
        Some(node) => document.whole(node, 0, u64::from(max)).and_then(|length| u8::try_from(length).ok()),
        None => Some(max),
    };
    let (v4, v6) = (prefix(document, "prefixV4", 32), prefix(document, "prefixV6", 128));
    let kind = match fields.get("entity") {
        Some(node) => {
            let words = EntityKind::ALL.map(|kind| (kind.name(), kind));
            let kind = document.word(node, &words)?;
            fits(document, node, kind, metric)?;
            kind
        }
        None => EntityKind::Thing,
    };
    let is_address = kind == EntityKind::ADDRESS;
    for key in ["prefixV4", "prefixV6"] {
        if let Some(node) = fields.get(key).filter(|_| !is_address) {
            let message = format!("is only for the entity `source-ip`, not for `{}`", kind.name());
            document.error(node.at(), node.place(), message);
            return None;
        }
    }
    Some(if is_address { EntityKind::SourceIp { v4: v4?, v6: v6? } } else { kind })
}

fn fits(
    document: &mut Document<'_>,
    node: &Node<'_>,
    kind: EntityKind,
    metric: Option<&MetricKey>,
) -> Option<()> {
    let Some(metric) = metric.filter(|metric| !counts_by(metric, kind)) else { return Some(()) };
    let aws = AwsMetric::ALL.into_iter().map(MetricKey::Aws);
    let all: Vec<MetricKey> = aws.chain(OwnMetric::ALL.into_iter().map(MetricKey::Own)).collect();
    let able: Vec<&str> = all.iter().filter(|m| counts_by(m, kind)).map(MetricKey::name).collect();
    let message =
        format!("`{metric}` cannot be counted by `{}`; those that can are {}", kind.name(), list(&able));
    document.error(node.at(), node.place(), message);
    None
}

/// Whether events of the metric say to which entity of the kind they belong.
const fn counts_by(metric: &MetricKey, kind: EntityKind) -> bool {
    use AwsMetric::{
        MessageByteSize, NumAuthorizationFailures, NumConnectionAttempts, NumDisconnects,
        NumMessagesReceived, NumMessagesSent,
    };
    match (kind, metric) {
        (kind, MetricKey::Own(OwnMetric::BrokerStarts)) => matches!(kind, EntityKind::Fleet),
        (kind, MetricKey::Own(OwnMetric::ConnectionErrors | OwnMetric::Probes)) => {
            matches!(kind, EntityKind::SourceIp { .. } | EntityKind::Fleet)
        }
        (EntityKind::Thing, MetricKey::Own(metric)) => metric.is_counter(),
        (EntityKind::Thing, MetricKey::Aws(_) | MetricKey::Custom(_)) => true,
        (_, MetricKey::Custom(_)) => false,
        (EntityKind::ThingGroup | EntityKind::Fleet, MetricKey::Own(_)) => true,
        (EntityKind::Principal | EntityKind::SourceIp { .. }, MetricKey::Own(metric)) => metric.is_counter(),
        (EntityKind::Topic | EntityKind::ClaimedClientId, MetricKey::Own(_)) => false,
        (EntityKind::SourceIp { .. }, MetricKey::Aws(metric)) => {
            matches!(metric, NumAuthorizationFailures | NumConnectionAttempts)
        }
        (EntityKind::ClaimedClientId, MetricKey::Aws(metric)) => matches!(metric, NumAuthorizationFailures),
        (EntityKind::Topic, MetricKey::Aws(metric)) => matches!(
            metric,
            MessageByteSize | NumMessagesSent | NumMessagesReceived | NumAuthorizationFailures
        ),
        (EntityKind::Principal | EntityKind::ThingGroup | EntityKind::Fleet, MetricKey::Aws(metric)) => {
            matches!(
                metric,
                MessageByteSize
                    | NumMessagesSent
                    | NumMessagesReceived
                    | NumAuthorizationFailures
                    | NumConnectionAttempts
                    | NumDisconnects
            )
        }
    }
}

fn distinct(document: &mut Document<'_>, node: &Node<'_>, metric: Option<&MetricKey>) -> Option<Item> {
    let item = document.word(node, &Item::ALL.map(|item| (item.name(), item)))?;
    let counter = match metric {
        Some(MetricKey::Aws(metric)) => {
            metric.shape() == fleet::metric::Shape::Counter && names(*metric, item)
        }
        Some(MetricKey::Own(OwnMetric::BrokerStarts)) => false,
        Some(MetricKey::Own(OwnMetric::ConnectionErrors | OwnMetric::Probes)) => item == Item::SourceIps,
        Some(MetricKey::Own(metric)) => metric.is_counter() && item != Item::Topics,
        Some(MetricKey::Custom(_)) => false,
        None => true,
    };
    if let Some(metric) = metric.filter(|_| !counter) {
        let message = format!("events of `{metric}` name no `{}` to count different ones of", item.name());
        document.error(node.at(), node.place(), message);
        return None;
    }
    Some(item)
}

/// Whether events of the metric name an item.
const fn names(metric: AwsMetric, item: Item) -> bool {
    match item {
        Item::Things | Item::SourceIps | Item::Principals => true,
        Item::Topics => matches!(
            metric,
            AwsMetric::NumMessagesSent | AwsMetric::NumMessagesReceived | AwsMetric::NumAuthorizationFailures
        ),
    }
}
