//! What the demonstration is set up with: the starter profiles, the action, the rules, the registry.

use std::num::NonZeroU32;

use anyhow::{Context as _, bail};
use behaviors::profile;
use datasets::fleet_sim::FleetSim;
use detector::change::Rules as FoldRules;
use fleet::{
    ids::GroupName,
    problem::{Problem, Severity},
    registry::{Group, Registry, Thing},
};
use mitigations::{
    action,
    rule::{Limits, ResponseOptions, Rules},
};
use serde_json::json;

/// The group that things in quarantine are in.
pub(super) const QUARANTINE: &str = "quarantine";

/// The starter profiles, and one that does not wait for an hour.
const PROFILES: [(&str, &str); 4] = [
    ("device-network.json", include_str!("../../profiles/device-network.json")),
    ("logins-and-connections.json", include_str!("../../profiles/logins-and-connections.json")),
    ("messages.json", include_str!("../../profiles/messages.json")),
    ("silence.json", include_str!("files/silence.json")),
];

const ACTION: (&str, &str) = ("quarantine.json", include_str!("files/quarantine.json"));

/// Alarms that are answered with quarantine: (profile, behavior). Silence is not: there is
/// nobody to shut out.
const ANSWERED: [(&str, &str); 4] = [
    ("device-network", "*"),
    ("messages", "*"),
    ("logins-and-connections", "refused-again-and-again"),
    ("logins-and-connections", "drops-out-too-often"),
];

/// How far windows stay open after their end, in milliseconds of the story: events of the broker
/// and reports come on different ways, and at 30 times the speed this is a third of a second.
pub(super) const LATENESS_MILLIS: u32 = 10_000;

pub(super) struct Definitions {
    pub(super) fold: FoldRules,
    pub(super) profile_names: Vec<String>,
    pub(super) rules: Rules,
    pub(super) response: ResponseOptions,
    pub(super) registry: Registry,
}

impl Definitions {
    pub(super) fn new(sim: &FleetSim) -> anyhow::Result<Self> {
        let texts: Vec<(String, String)> =
            PROFILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let (_, problems) = profile::parse_files(&texts);
        refuse(&problems)?;
        let profile_names = texts.iter().map(|(name, _)| name.trim_end_matches(".json").to_owned()).collect();
        let (actions, problems) = action::parse_files(&[(ACTION.0.to_owned(), ACTION.1.to_owned())]);
        refuse(&problems)?;
        let response = response()?;
        let rules = Rules::resolve(&response, &actions).map_err(|errors| {
            anyhow::anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let fold = FoldRules { lateness_ms: LATENESS_MILLIS, profiles: texts, ..FoldRules::default() };
        Ok(Self { fold, profile_names, rules, response, registry: registry(sim)? })
    }
}

fn refuse(problems: &[Problem]) -> anyhow::Result<()> {
    match problems.iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => bail!("a file of the demonstration is wrong: {problem}"),
        None => Ok(()),
    }
}

/// Acting is switched on here and nowhere else by default: the broker and its devices are ours.
fn response() -> anyhow::Result<ResponseOptions> {
    let rules = ANSWERED
        .map(|(profile, behavior)| json!({ "profile": profile, "behavior": behavior, "action": QUARANTINE }));
    let rules = serde_json::from_value(json!(rules)).context("the rules of the demonstration")?;
    let things_max = NonZeroU32::MIN.saturating_add(9);
    Ok(ResponseOptions {
        acting: true,
        limits: Limits { things_max, ..Limits::default() },
        rules,
        ..ResponseOptions::default()
    })
}

fn registry(sim: &FleetSim) -> anyhow::Result<Registry> {
    let mut registry = Registry::default();
    let quarantine: GroupName = QUARANTINE.parse()?;
    registry.groups.insert(quarantine, Group::default());
    for device in sim.devices() {
        let group: GroupName = format!("{}s", device.kind.name()).parse()?;
        registry.groups.entry(group.clone()).or_default();
        let thing = Thing { groups: [group].into(), ..Thing::default() };
        registry.things.insert(device.name.parse()?, thing);
    }
    registry.validated().context("the registry of the demonstration")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datasets::fleet_sim::Wrong;

    use super::*;

    #[test]
    fn the_files_of_the_demonstration_are_right_and_every_misdeed_has_a_behavior() {
        let definitions = Definitions::new(&FleetSim::new(1, 20)).unwrap();
        assert_eq!(definitions.registry.things.len(), 20);
        let metrics: BTreeSet<String> = PROFILES
            .iter()
            .flat_map(|(_, text)| {
                let profile: serde_json::Value = serde_json::from_str(text).unwrap();
                profile["behaviors"].as_array().unwrap().clone()
            })
            .map(|behavior| behavior["metric"].as_str().unwrap().to_owned())
            .collect();
        for wrong in Wrong::ALL {
            assert!(wrong.noticed_by().iter().all(|metric| metrics.contains(*metric)), "{wrong:?}");
        }
    }

    #[test]
    fn every_answered_behavior_exists() {
        for (profile, behavior) in ANSWERED {
            let found = PROFILES.iter().any(|(_, text)| {
                let text: serde_json::Value = serde_json::from_str(text).unwrap();
                let named = text["behaviors"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|known| behavior == "*" || known["name"] == behavior);
                text["securityProfileName"] == profile && named
            });
            assert!(found, "{profile}/{behavior}");
        }
    }
}
