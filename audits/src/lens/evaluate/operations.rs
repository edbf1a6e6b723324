//! Questions 23 to 28.

use super::super::evidence::{Evidence, Part};
use super::super::figure::{Figure, Source};
use super::{
    CONNECTIVITY, Evaluator, MOST, MOST_BASIS, NONE_BASIS, ONE_BASIS, TYPE, alert_sinks,
    automatic_group_rules, daily_audit, judged, logging, most_have, performance,
};

pub(super) const TABLE: &[(&str, Evaluator)] = &[
    ("23.1", responses),
    ("25.1", documented_joining),
    ("25.4", compromised),
    ("26.1", hierarchy),
    ("26.2", groups),
    ("26.3", search),
    ("27.1", lifecycle),
    ("27.2", status),
    ("27.3", patterns),
    ("28.1", odd_devices),
];

fn responses(evidence: &Evidence) -> Vec<Figure> {
    vec![
        logging(evidence),
        alert_sinks(evidence),
        judged(
            evidence,
            "a behavior judges connections and refused logins",
            &["aws:num-connection-attempts", "aws:num-authorization-failures", "fleetward:connection-errors"],
        ),
        daily_audit(evidence),
    ]
}

fn documented_joining(evidence: &Evidence) -> Vec<Figure> {
    vec![most_have(evidence, "things whose type or model is registered", TYPE)]
}

fn compromised(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::fact(
            Source::Configuration,
            "a manufacturer's allow list is loaded",
            evidence.configuration.allow_list,
            ONE_BASIS,
        ),
        automatic_group_rules(evidence),
    ]
}

fn grouped(evidence: &Evidence) -> Option<Part> {
    Some(Part { part: evidence.registry.grouped?, of: evidence.registry.things? })
}

fn hierarchy(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::share(Source::Registry, "things in a group", grouped(evidence), MOST, MOST_BASIS),
        most_have(evidence, "things whose type or model is registered", TYPE),
        Figure::shown(
            Source::Registry,
            "levels of groups",
            evidence.registry.depth.map(|depth| depth.to_string()),
        ),
    ]
}

fn groups(evidence: &Evidence) -> Vec<Figure> {
    let own = &evidence.registry;
    vec![
        Figure::at_least(Source::Registry, "static groups", own.groups, 1, ONE_BASIS),
        Figure::at_least(Source::Registry, "dynamic groups", own.dynamic_groups, 1, ONE_BASIS),
    ]
}

fn search(evidence: &Evidence) -> Vec<Figure> {
    let found = evidence.registry.search_index;
    vec![Figure::fact(Source::Registry, "things are found by attributes through an index", found, ONE_BASIS)]
}

/// Ends of sessions whose reason is known, of all.
fn known_ends(evidence: &Evidence) -> Option<Part> {
    let ends = evidence.stream.disconnects.as_ref()?;
    let of = ends.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let unknown = ends.get("unknown").copied().unwrap_or_default();
    Some(Part { part: of.saturating_sub(unknown), of })
}

fn lifecycle(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::any_of(
            Source::Configuration,
            "a source tells of connects and disconnects",
            evidence.configuration.facts.as_ref(),
            &["sessions"],
            ONE_BASIS,
        ),
        Figure::share(
            Source::Stream,
            "ends of sessions whose reason is known, so that clean and unclean ones differ",
            known_ends(evidence),
            MOST,
            MOST_BASIS,
        ),
        Figure::at_most(
            Source::Running,
            "sources that deliver nothing",
            evidence.running.sources_away,
            0,
            NONE_BASIS,
        )
        .refuting(),
    ]
}

fn status(evidence: &Evidence) -> Vec<Figure> {
    let stream = &evidence.stream;
    vec![
        Figure::share(
            Source::Stream,
            "devices that sent messages or reports again and again",
            stream.periodic_things,
            MOST,
            MOST_BASIS,
        ),
        performance::freshness(evidence),
        Figure::share(
            Source::Stream,
            "sessions with a keep-alive",
            stream.keep_alive_sessions,
            MOST,
            MOST_BASIS,
        )
        .refuting(),
        Figure::share(
            Source::Stream,
            "sessions with a last will",
            stream.last_will_sessions,
            MOST,
            MOST_BASIS,
        )
        .refuting(),
    ]
}

fn patterns(evidence: &Evidence) -> Vec<Figure> {
    let blind = evidence.configuration.blind_metrics.as_ref().map(|blind| {
        let names: Vec<&str> =
            blind.iter().map(String::as_str).filter(|name| CONNECTIVITY.contains(name)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    });
    vec![
        judged(evidence, "a behavior judges connection patterns", CONNECTIVITY),
        Figure::shown(Source::Configuration, "such metrics that no source feeds", blind),
    ]
}

fn odd_devices(evidence: &Evidence) -> Vec<Figure> {
    let own = &evidence.configuration;
    let sets = own.targets.as_ref().zip(own.entities.as_ref()).zip(own.judgements.as_ref());
    let compared = sets.map(|((targets, entities), judgements)| {
        targets.iter().any(|target| target.starts_with("thinggroup/"))
            || entities.contains("thing-group")
            || judgements.iter().any(|kind| ["statistical", "baseline", "counts"].contains(&kind.as_str()))
    });
    vec![
        Figure::fact(
            Source::Configuration,
            "behaviors judge by group, against the fleet, or against what is usual",
            compared,
            ONE_BASIS,
        ),
        automatic_group_rules(evidence),
    ]
}
