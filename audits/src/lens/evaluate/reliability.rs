//! Questions 8 to 15.

use super::super::evidence::Evidence;
use super::super::figure::{Figure, Source};
use super::{
    CHECK_BASIS, Evaluator, FIRMWARE, MOST, MOST_BASIS, NONE_BASIS, ONE_BASIS, attribute, history_days,
    lake_days, logging, message_rate, most_have, narrow_subscribers,
};

pub(super) const TABLE: &[(&str, Evaluator)] = &[
    ("8.1", failures),
    ("9.1", capacity),
    ("10.1", stored_first),
    ("10.2", second_storage),
    ("11.1", state_on_connect),
    ("11.3", thinned_out),
    ("11.4", back_off),
    ("12.1", clocks),
    ("13.1", targeted),
    ("14.1", firmware_updates),
    ("14.3", staged),
    ("14.4", remote_configuration),
];

fn failures(evidence: &Evidence) -> Vec<Figure> {
    let running = &evidence.running;
    let missing = running.missing.as_ref();
    vec![
        logging(evidence),
        Figure::at_most(Source::Running, "alerts that no receiver took", running.dead_letters, 0, NONE_BASIS),
        Figure::shown(
            Source::Running,
            "missing",
            missing.map(|missing| if missing.is_empty() { "nothing".into() } else { missing.join("; ") }),
        ),
    ]
}

fn capacity(evidence: &Evidence) -> Vec<Figure> {
    let (stream, running) = (&evidence.stream, &evidence.running);
    vec![
        Figure::at_most(
            Source::Running,
            "values let go before they were stored",
            running.lost_values,
            0,
            NONE_BASIS,
        ),
        Figure::at_most(
            Source::Stream,
            "events of devices for which there was no room",
            stream.untracked_events,
            0,
            NONE_BASIS,
        )
        .refuting(),
        Figure::shown(Source::Running, "things followed", running.things.map(|things| things.to_string())),
    ]
}

fn stored_first(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::fact(
            Source::Configuration,
            "events are in a journal on disk before they are judged",
            evidence.configuration.journal,
            ONE_BASIS,
        ),
        Figure::checks(
            &evidence.audit,
            "brokers that forget sessions and messages when they stop",
            &[&["BROKER_PERSISTENCE_CHECK"]],
            &[],
            CHECK_BASIS,
        ),
    ]
}

fn second_storage(evidence: &Evidence) -> Vec<Figure> {
    vec![history_days(evidence), lake_days(evidence)]
}

fn state_on_connect(evidence: &Evidence) -> Vec<Figure> {
    let found = evidence.stream.shadow_things;
    vec![Figure::at_least(Source::Stream, "devices that used their shadow", found, 1, ONE_BASIS)]
}

fn thinned_out(evidence: &Evidence) -> Vec<Figure> {
    let bytes = evidence.stream.payload_bytes_p50;
    vec![
        message_rate(evidence),
        Figure::shown(Source::Stream, "median payload, bytes", bytes.map(|bytes| bytes.to_string())),
    ]
}

/// A reconnect in time, and jitter, are defined in `stream.rs`.
fn back_off(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::share(
            Source::Stream,
            "reconnects that waited as long as an exponential back-off does",
            evidence.stream.patient_reconnects,
            95,
            "least waits: M. Brooker, \"Exponential backoff and jitter\", AWS, 2015; the share: ours",
        ),
        Figure::share(
            Source::Stream,
            "devices whose pauses vary by a tenth or more (coefficient of variation)",
            evidence.stream.jittered_things,
            MOST,
            "equal jitter has 0.19 (uniform on half of the pause); a tenth is half of it",
        ),
    ]
}

fn clocks(evidence: &Evidence) -> Vec<Figure> {
    let stream = &evidence.stream;
    vec![
        Figure::share(
            Source::Stream,
            "devices whose clock is at most 300 s wrong, by the time in their reports",
            stream.right_clocks,
            99,
            "300 s: RFC 4120, section 8.2, and profiles/learned; the share: ours",
        ),
        Figure::shown(
            Source::Stream,
            "largest error of a clock, seconds",
            stream.clock_error_secs_max.map(|secs| secs.to_string()),
        ),
    ]
}

fn targeted(evidence: &Evidence) -> Vec<Figure> {
    vec![
        narrow_subscribers(evidence),
        Figure::share(
            Source::Stream,
            "deliveries on topics that name the receiver",
            evidence.stream.scoped_deliveries,
            MOST,
            MOST_BASIS,
        ),
    ]
}

fn firmware_updates(evidence: &Evidence) -> Vec<Figure> {
    vec![
        most_have(evidence, "things whose firmware version is known", FIRMWARE),
        Figure::at_least(
            Source::Stream,
            "devices that used a job topic",
            evidence.stream.job_things,
            1,
            ONE_BASIS,
        ),
    ]
}

fn staged(evidence: &Evidence) -> Vec<Figure> {
    let versions = attribute(evidence, FIRMWARE).map(|attribute| attribute.values);
    vec![
        Figure::at_least(
            Source::Registry,
            "groups that an update could reach one after the other",
            evidence.registry.groups,
            2,
            "two are the least that can follow each other",
        ),
        Figure::shown(Source::Registry, "firmware versions in the fleet", versions.map(|n| n.to_string())),
    ]
}

fn remote_configuration(evidence: &Evidence) -> Vec<Figure> {
    let (shadows, jobs) = (evidence.stream.shadow_things, evidence.stream.job_things);
    let found = shadows.zip(jobs).map(|(shadows, jobs)| shadows.saturating_add(jobs));
    vec![Figure::at_least(Source::Stream, "devices that used a shadow or job topic", found, 1, ONE_BASIS)]
}
