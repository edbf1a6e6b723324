//! What a configuration and its files say.

use std::{collections::BTreeSet, path::Path};

use audits::lens::evidence::Configuration;
use fleet::ids::ActionName;

use crate::{
    config::settings::Settings,
    files::Definitions,
    serve::coverage::{self, Away, Sight},
};

/// The evidence of the configuration at `path`.
#[must_use]
pub fn evidence(path: &Path, settings: &Settings, definitions: &Definitions) -> Configuration {
    let sources = coverage::of_sources(settings);
    let facts = sources.iter().flat_map(|source| &source.facts).map(|fact| fact.name().to_owned());
    let group_actions = group_actions(definitions);
    let rules = settings.response.rules.iter();
    let lake = settings.history.as_ref().and_then(|history| history.lake.as_ref());
    let judged = Judged::of(settings, definitions);
    Configuration {
        place: Some(path.display().to_string()),
        sources: Some(count(settings.mqtt.len() + settings.mosquitto_log.len())),
        facts: Some(facts.collect()),
        alert_sinks: Some(count(settings.sinks.len())),
        targets: Some(
            definitions
                .profiles
                .iter()
                .filter(|profile| !profile.behaviors.is_empty())
                .flat_map(|profile| &profile.targets)
                .map(ToString::to_string)
                .collect(),
        ),
        metrics: Some(judged.metrics),
        blind_metrics: Some(judged.blind),
        judgements: Some(judged.kinds),
        entities: Some(judged.entities),
        allow_list: Some(definitions.profiles.allowed().is_some()),
        group_actions: Some(count(group_actions.len())),
        group_rules: Some(count(rules.filter(|rule| group_actions.contains(rule.action.as_str())).count())),
        acting: Some(settings.response.acting && settings.control.is_some()),
        guard_things_max: Some(u64::from(settings.response.limits.things_max.get())),
        guard_span_secs: Some(u64::from(settings.response.limits.span_secs.get())),
        // Every source's input goes through the journal before it is judged; nothing switches it off.
        journal: (!sources.is_empty()).then_some(true),
        history_days: Some(settings.history.as_ref().map_or(0, |history| u64::from(history.options.days))),
        lake_days: Some(lake.map_or(0, |lake| u64::from(lake.days))),
        lake_events: Some(lake.is_some_and(|lake| lake.events)),
        // The settings refuse an address off loopback, and the endpoint always asks for its token.
        endpoint_closed: Some(settings.api.listen.is_none_or(|address| address.ip().is_loopback())),
        audit_every_secs: None,
        encrypted_at_rest: None,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Names of the actions that put a thing into a group.
fn group_actions(definitions: &Definitions) -> BTreeSet<&str> {
    let joins = definitions.actions.iter().filter(|action| action.params.groups().is_some());
    joins.map(|action| ActionName::as_str(&action.name)).collect()
}

/// What behaviors judge.
#[derive(Default)]
struct Judged {
    metrics: BTreeSet<String>,
    blind: BTreeSet<String>,
    kinds: BTreeSet<String>,
    entities: BTreeSet<String>,
}

impl Judged {
    /// Behaviors that see nothing, or that watch nobody, judge nothing.
    fn of(settings: &Settings, definitions: &Definitions) -> Self {
        let profiles = &definitions.profiles;
        let compiled = profiles.compile(settings.bucket_secs);
        let blind = coverage::blind(profiles, &compiled, &coverage::of_sources(settings), &Away::new());
        let blind: BTreeSet<(&str, &str)> = blind
            .iter()
            .filter(|blind| blind.sight == Sight::Nothing)
            .map(|blind| (blind.profile.as_str(), blind.behavior.as_str()))
            .collect();
        let mut judged = Self::default();
        for profile in profiles.iter().filter(|profile| !profile.targets.is_empty()) {
            for behavior in &profile.behaviors {
                if behavior.criteria.is_none() && behavior.judgement.is_none() {
                    continue;
                }
                let metric = behavior.metric.name().to_owned();
                if blind.contains(&(profile.name.as_str(), behavior.name.as_str())) {
                    judged.blind.insert(metric);
                    continue;
                }
                judged.metrics.insert(metric);
                judged.entities.insert(behavior.entity.name().to_owned());
                judged.kinds.extend(kind(behavior).map(ToOwned::to_owned));
            }
        }
        judged
    }
}

/// The kind of a judgement that is no fixed limit.
const fn kind(behavior: &behaviors::profile::Definition) -> Option<&'static str> {
    use behaviors::profile::{Criteria, Rule};
    match (&behavior.judgement, &behavior.criteria) {
        (Some(judgement), _) => Some(judgement.rule.key()),
        (None, Some(Criteria { rule: Rule::Statistical { .. }, .. })) => Some("statistical"),
        _ => None,
    }
}
