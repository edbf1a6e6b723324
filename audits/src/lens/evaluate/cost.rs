//! Questions 20 to 22.

use super::super::evidence::Evidence;
use super::super::figure::{Figure, Source};
use super::{
    Evaluator, MOST, MOST_BASIS, NONE_BASIS, ONE_BASIS, history_days, lake_days, message_rate, most_have,
};

pub(super) const TABLE: &[(&str, Evaluator)] = &[
    ("20.1", data_lake),
    ("20.2", self_service),
    ("20.4", aggregated),
    ("21.2", lean),
    ("21.3", slow_shadows),
    ("21.4", cost_tags),
    ("21.5", batched),
    ("22.1", retention),
    ("22.3", archive),
];

/// Attributes by which cost is allocated.
const COST: &[&str] =
    &["billing", "billinggroup", "costallocation", "costcenter", "costcentre", "costcode", "project"];

/// AWS IoT Core meters messages in steps of 5 KB.
const METERED_BYTES: u64 = 5 * 1024;
/// Its source.
const METERED_BASIS: &str = "AWS IoT Core pricing: a message is metered in steps of 5 KB";

fn data_lake(evidence: &Evidence) -> Vec<Figure> {
    let own = &evidence.configuration;
    vec![
        lake_days(evidence),
        Figure::fact(Source::Configuration, "events are written to Parquet", own.lake_events, ONE_BASIS),
        Figure::fact(
            Source::Running,
            "the worker that writes Parquet is there",
            evidence.running.writes_parquet,
            ONE_BASIS,
        )
        .refuting(),
    ]
}

fn self_service(evidence: &Evidence) -> Vec<Figure> {
    vec![history_days(evidence), lake_days(evidence)]
}

fn aggregated(evidence: &Evidence) -> Vec<Figure> {
    vec![message_rate(evidence)]
}

fn lean(evidence: &Evidence) -> Vec<Figure> {
    let stream = &evidence.stream;
    vec![
        Figure::at_most(
            Source::Stream,
            "bytes that 95 of 100 payloads do not exceed",
            stream.payload_bytes_p95,
            METERED_BYTES,
            METERED_BASIS,
        ),
        Figure::shown(
            Source::Stream,
            "median payload, bytes",
            stream.payload_bytes_p50.map(|bytes| bytes.to_string()),
        ),
    ]
}

fn slow_shadows(evidence: &Evidence) -> Vec<Figure> {
    let found = evidence.stream.shadow_updates_per_thing_hour;
    let basis = "ours: once a minute is no longer slow";
    vec![Figure::at_most(Source::Stream, "shadow updates by device and hour", found, 59, basis)]
}

fn cost_tags(evidence: &Evidence) -> Vec<Figure> {
    vec![most_have(evidence, "things with an attribute for cost, such as costCenter", COST)]
}

/// Small and frequent, as `stream.rs` defines it.
pub(super) fn batching(evidence: &Evidence) -> Figure {
    let found = evidence.stream.unbatchable_things;
    let what = "devices that are no candidates for sending several messages in one";
    Figure::share(Source::Stream, what, found, MOST, MOST_BASIS)
}

fn batched(evidence: &Evidence) -> Vec<Figure> {
    vec![batching(evidence)]
}

/// What is kept may be older than the days that are said by the day that is being written and the
/// one that is deleted next.
fn retention(evidence: &Evidence) -> Vec<Figure> {
    let own = &evidence.configuration;
    let oldest = evidence.running.oldest_value_days;
    let obeyed = own.history_days.zip(oldest).map(|(days, oldest)| oldest <= days.saturating_add(2));
    vec![
        history_days(evidence),
        lake_days(evidence),
        Figure::fact(Source::Running, "no value is older than that", obeyed, NONE_BASIS).refuting(),
    ]
}

fn archive(evidence: &Evidence) -> Vec<Figure> {
    let found = evidence.configuration.lake_events;
    let what = "raw events are archived as compressed columns (Parquet)";
    vec![Figure::fact(Source::Configuration, what, found, ONE_BASIS)]
}
