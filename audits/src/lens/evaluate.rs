//! One pure function for each best practice that evidence speaks about, in one table; those that none
//! speaks about are in [`asked`](super::asked).
//!
//! The lens names no numbers. A threshold's basis says where it is from; `ours` is our own judgement, said
//! so that it can be disputed.

use std::collections::BTreeMap;

use super::evidence::{Attribute, Evidence, Part};
use super::figure::{Figure, Judgement, Source};

mod cost;
mod operations;
mod performance;
mod reliability;
mod security;

/// Looks at evidence for one best practice. Without evidence it still gives its figures, which then say
/// what is looked at and wanted.
pub type Evaluator = fn(&Evidence) -> Vec<Figure>;

/// The evaluators by id, in the order of the practices.
pub fn evaluators() -> impl Iterator<Item = (&'static str, Evaluator)> {
    [security::TABLE, reliability::TABLE, performance::TABLE, cost::TABLE, operations::TABLE]
        .into_iter()
        .flatten()
        .copied()
}

/// What evidence says about a best practice; nothing if none speaks about it.
#[must_use]
pub fn evaluate(id: &str, evidence: &Evidence) -> Option<Judgement> {
    let (_, evaluator) = evaluators().find(|(own, _)| *own == id)?;
    let mut figures = evaluator(evidence);
    for figure in figures.iter_mut().filter(|figure| figure.found.is_some() && figure.place.is_none()) {
        figure.place = place(figure.source, evidence).map(ToOwned::to_owned);
    }
    Some(Judgement::of(figures))
}

/// What evidence says about each best practice that it speaks about.
#[must_use]
pub fn evaluate_all(evidence: &Evidence) -> BTreeMap<&'static str, Judgement> {
    evaluators().filter_map(|(id, _)| Some((id, evaluate(id, evidence)?))).collect()
}

fn place(source: Source, evidence: &Evidence) -> Option<&str> {
    match source {
        Source::Audit => evidence.audit.place.as_deref(),
        Source::Configuration => evidence.configuration.place.as_deref(),
        Source::Registry => evidence.registry.place.as_deref(),
        Source::Stream => evidence.stream.place.as_deref(),
        Source::Running => evidence.running.place.as_deref(),
    }
}

/// Nine of ten.
const MOST: u64 = 90;
/// Where it comes from.
const MOST_BASIS: &str = "ours: nine of ten, so that a few special devices do not decide";
/// One is enough.
const ONE_BASIS: &str = "iot-lens.md: it is there or not";
/// None is wanted.
const NONE_BASIS: &str = "iot-lens.md: no exception is wanted";
/// What the checks themselves say.
const CHECK_BASIS: &str = "device-defender-audit.md, docs/broker-checks.md, docs/certificate-checks.md";
/// Longest time between two audits.
const DAY_SECS: u64 = 86_400;
/// Its source.
const DAY_BASIS: &str = "IoT Lens 23.1: a daily audit of at least the critical and high checks";
/// One message a second is the example of the lens for data that should be gathered first.
const MESSAGES_PER_HOUR_MAX: u64 = 3_599;
/// Its source.
const MESSAGES_BASIS: &str = "IoT Lens 20.4, 21.5: one message a second is its example of what to gather";

/// Attributes that hold the version of the firmware, in the form of [`attribute`].
const FIRMWARE: &[&str] = &["firmware", "firmwareversion", "fw", "fwversion", "softwareversion", "version"];
/// Attributes that hold the type of a thing.
const TYPE: &[&str] = &["thingtype", "type", "devicetype", "model", "hardwaremodel"];

/// Metrics of connections and their ends.
const CONNECTIVITY: &[&str] = &[
    "aws:num-connection-attempts",
    "aws:num-disconnects",
    "aws:disconnect-duration",
    "fleetward:reconnects",
    "fleetward:hasty-reconnects",
    "fleetward:unclean-disconnects",
    "fleetward:keepalive-misses",
    "fleetward:flaps",
    "fleetward:disconnected-things",
];

/// Use of the attribute that most things have, of those whose name is one of `names` when everything but
/// letters and digits is left out and case does not count. Nothing if no thing has one: names are free, so
/// what we look for may stand under another.
fn attribute(evidence: &Evidence, names: &[&str]) -> Option<Attribute> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let attributes = evidence.registry.attributes.iter().flatten();
    let fitting = attributes.filter(|(name, _)| names.contains(&plain(name).as_str()));
    fitting.map(|(_, attribute)| *attribute).max_by_key(|attribute| attribute.things)
}

/// Things that have such an attribute, of all.
fn attribute_share(evidence: &Evidence, names: &[&str]) -> Option<Part> {
    Some(Part { part: attribute(evidence, names)?.things, of: evidence.registry.things? })
}

/// Things for which such an attribute says yes, of all.
fn affirmed(evidence: &Evidence, names: &[&str]) -> Option<Part> {
    let attribute = attribute(evidence, names)?;
    Some(Part { part: attribute.things.saturating_sub(attribute.negative), of: evidence.registry.things? })
}

/// Some behavior that sees judges one of these metrics.
fn judged(evidence: &Evidence, what: &str, metrics: &[&str]) -> Figure {
    Figure::any_of(Source::Configuration, what, evidence.configuration.metrics.as_ref(), metrics, ONE_BASIS)
}

/// Audits run at least daily.
fn daily_audit(evidence: &Evidence) -> Figure {
    Figure::at_most(
        Source::Configuration,
        "seconds between two scheduled audits",
        evidence.configuration.audit_every_secs,
        DAY_SECS,
        DAY_BASIS,
    )
}

fn alert_sinks(evidence: &Evidence) -> Figure {
    let found = evidence.configuration.alert_sinks;
    Figure::at_least(Source::Configuration, "receivers of alerts", found, 1, ONE_BASIS)
}

/// Rules that put a thing in alarm into a group; 0 while nothing reaches the broker.
fn automatic_group_rules(evidence: &Evidence) -> Figure {
    let own = &evidence.configuration;
    let found = match (own.group_rules, own.acting) {
        (Some(_), Some(false)) => Some(0),
        (Some(rules), Some(true)) => Some(rules),
        _ => None,
    };
    let what = "response rules that put a device in alarm into a group and reach the broker";
    Figure::at_least(Source::Configuration, what, found, 1, ONE_BASIS)
}

/// Days of Parquet.
fn lake_days(evidence: &Evidence) -> Figure {
    let found = evidence.configuration.lake_days;
    Figure::at_least(Source::Configuration, "days of Parquet files that are kept", found, 1, ONE_BASIS)
}

/// Days of values.
fn history_days(evidence: &Evidence) -> Figure {
    let found = evidence.configuration.history_days;
    Figure::at_least(Source::Configuration, "days of metric values that are kept", found, 1, ONE_BASIS)
}

/// Messages by thing and hour.
fn message_rate(evidence: &Evidence) -> Figure {
    let found = evidence.stream.messages_per_thing_hour;
    let what = "messages by device and hour";
    Figure::at_most(Source::Stream, what, found, MESSAGES_PER_HOUR_MAX, MESSAGES_BASIS)
}

/// Subscriptions that are too wide.
fn narrow_subscribers(evidence: &Evidence) -> Figure {
    let found = evidence.stream.narrow_subscribers;
    let what = "devices that did not subscribe to everything or to other devices' topics";
    Figure::share(Source::Stream, what, found, 100, NONE_BASIS)
}

/// Logs that leave out errors.
fn logging(evidence: &Evidence) -> Figure {
    let what = "logs that leave out errors";
    Figure::checks(&evidence.audit, what, &[&["LOGGING_DISABLED_CHECK"]], &[], CHECK_BASIS)
}

/// Most things have such an attribute.
fn most_have(evidence: &Evidence, what: &str, names: &[&str]) -> Figure {
    Figure::share(Source::Registry, what, attribute_share(evidence, names), MOST, MOST_BASIS)
}
