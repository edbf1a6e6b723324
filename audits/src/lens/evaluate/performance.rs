//! Questions 16 to 19.

use super::super::evidence::Evidence;
use super::super::figure::{Figure, Source};
use super::{
    CHECK_BASIS, CONNECTIVITY, Evaluator, FIRMWARE, MOST, MOST_BASIS, ONE_BASIS, history_days, judged,
    message_rate, most_have, narrow_subscribers,
};

pub(super) const TABLE: &[(&str, Evaluator)] = &[
    ("16.1", runtime),
    ("16.2", timestamps),
    ("17.1", diagnostics),
    ("17.2", measured_updates),
    ("17.3", few_messages),
    ("18.1", quotas),
    ("19.2", connectivity),
    ("19.3", optimized),
];

fn runtime(evidence: &Evidence) -> Vec<Figure> {
    vec![judged(evidence, "a behavior judges connection patterns", CONNECTIVITY), history_days(evidence)]
}

fn timestamps(evidence: &Evidence) -> Vec<Figure> {
    let found = evidence.stream.timestamped_messages;
    let basis = "iot-lens.md 16.2: each message; one of a hundred is left for events without a time";
    vec![Figure::share(Source::Stream, "messages with a timestamp in the payload", found, 99, basis)]
}

/// That nobody reports is known only where a source would tell of reports.
fn diagnostics(evidence: &Evidence) -> Vec<Figure> {
    let told = evidence.configuration.facts.as_ref().is_some_and(|facts| facts.contains("reports"));
    let found = evidence.stream.reporting_things.filter(|share| told || share.part > 0);
    vec![Figure::share(Source::Stream, "devices that send metrics reports", found, MOST, MOST_BASIS)]
}

fn measured_updates(evidence: &Evidence) -> Vec<Figure> {
    vec![most_have(evidence, "things whose firmware version is known", FIRMWARE), history_days(evidence)]
}

fn few_messages(evidence: &Evidence) -> Vec<Figure> {
    let scoped = evidence.stream.scoped_deliveries;
    let what = "deliveries on topics that name the receiver";
    vec![
        Figure::share(Source::Stream, what, scoped, MOST, MOST_BASIS),
        narrow_subscribers(evidence).refuting(),
    ]
}

fn quotas(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::checks(
            &evidence.audit,
            "brokers without limits",
            &[&["BROKER_LIMITS_CHECK"]],
            &[],
            CHECK_BASIS,
        ),
        judged(
            evidence,
            "a behavior judges what counts against limits",
            &[
                "aws:num-messages-sent",
                "aws:message-byte-size",
                "aws:num-connection-attempts",
                "fleetward:connection-errors",
            ],
        ),
    ]
}

fn connectivity(evidence: &Evidence) -> Vec<Figure> {
    let stream = &evidence.stream;
    vec![
        freshness(evidence),
        Figure::at_least(
            Source::Stream,
            "messages whose size and rate are measured",
            stream.messages_sent,
            1,
            ONE_BASIS,
        ),
        Figure::shown(
            Source::Stream,
            "messages by device and hour",
            stream.messages_per_thing_hour.map(|rate| rate.to_string()),
        ),
        Figure::shown(
            Source::Stream,
            "95 of 100 payloads have at most, bytes",
            stream.payload_bytes_p95.map(|bytes| bytes.to_string()),
        ),
    ]
}

/// How long a device may be silent is said in a profile: by a duration or by what is usual for it.
pub(super) fn freshness(evidence: &Evidence) -> Figure {
    let own = &evidence.configuration;
    let names = own.metrics.as_ref().zip(own.judgements.as_ref()).map(|(a, b)| a.iter().chain(b));
    Figure::any_of(
        Source::Configuration,
        "a behavior says how long a device may be silent",
        names,
        &["aws:disconnect-duration", "silence", "absence"],
        ONE_BASIS,
    )
}

fn optimized(evidence: &Evidence) -> Vec<Figure> {
    let bytes = evidence.stream.payload_bytes_p50;
    vec![
        message_rate(evidence),
        super::cost::batching(evidence),
        Figure::shown(Source::Stream, "median payload, bytes", bytes.map(|bytes| bytes.to_string())),
    ]
}
