//! What the story came to: what was told, and whether each misdeed was noticed.

use std::{collections::BTreeSet, net::IpAddr};

use datasets::fleet_sim::{FleetSim, Wrong};
use serde_json::{Value, json};

use super::{
    board::{Board, Told},
    lines::entity_key,
};

/// What the reader may do next, as text.
pub(super) const NEXT: [&str; 4] = [
    "1. Copy fleetward.example.toml to fleetward.toml and point it at your broker.",
    "2. fleetward check --config fleetward.toml   names every mistake with file, line and column.",
    "3. fleetward serve --config fleetward.toml   watches, and only shows what it would do",
    "   until you set `acting = true` under [response].",
];

/// The end of a demonstration.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Seed of the story.
    pub seed: u64,
    /// Everything that was told; the same for the same seed.
    pub told: BTreeSet<Entry>,
    /// How each misdeed ended, in order of time.
    pub misdeeds: Vec<Ending>,
    /// Alarms on devices that behaved.
    pub false_alarms: usize,
    /// Events that were told by the broker.
    pub events: u64,
    /// Whether nothing was dropped and nothing lagged: else the machine was too slow for the
    /// story, and it may differ from other runs.
    pub complete: bool,
    /// Whether all devices came from one address, because this system gives them none of their
    /// own: then nothing can be told from addresses.
    pub shared_address: bool,
}

/// An entry of the story, with how its device ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// What was told.
    pub told: Told,
    /// Whether the device was in quarantine at the end, with proof.
    pub quarantined: bool,
}

/// How a misdeed ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The thing.
    pub thing: String,
    /// How it went wrong.
    pub wrong: Wrong,
    /// When, in seconds since the story began.
    pub at_secs: u64,
    /// Behaviors that noticed it.
    pub noticed_by: Vec<String>,
    /// Whether one of those that should have noticed it did.
    pub noticed: bool,
    /// Whether the device is in quarantine, with proof.
    pub quarantined: bool,
}

impl Summary {
    pub(super) fn new(seed: u64, sim: &FleetSim, board: &Board, shared_address: bool) -> Self {
        let misdeeds: Vec<Ending> =
            sim.misdeeds().iter().filter_map(|misdeed| ending(sim, misdeed, board)).collect();
        let blamed = blamed(sim);
        let false_alarms = board
            .told
            .iter()
            .filter(|told| told.transition == "in-alarm" && !blamed.contains(&told.entity))
            .count();
        let told = board
            .told
            .iter()
            .map(|told| Entry { told: told.clone(), quarantined: board.is_quarantined(&told.entity) })
            .collect();
        let stats = &board.stats;
        let complete = stats.dropped == 0 && stats.stalls == 0;
        Self { seed, told, misdeeds, false_alarms, events: stats.events, complete, shared_address }
    }

    pub(super) fn json(&self) -> Value {
        let told = self.told.iter().map(|entry| {
            json!({
                "transition": entry.told.transition,
                entity_key(entry.told.is_thing): entry.told.entity,
                "profile": entry.told.profile,
                "behavior": entry.told.behavior,
                "quarantined": entry.quarantined,
            })
        });
        let misdeeds = self.misdeeds.iter().map(|ending| {
            json!({
                "thing": ending.thing,
                "wrong": ending.wrong.name(),
                "atSecs": ending.at_secs,
                "noticed": ending.noticed,
                "noticedBy": ending.noticed_by,
                "quarantined": ending.quarantined,
            })
        });
        json!({
            "kind": "summary",
            "seed": self.seed,
            "told": told.collect::<Vec<_>>(),
            "misdeeds": misdeeds.collect::<Vec<_>>(),
            "falseAlarms": self.false_alarms,
            "events": self.events,
            "complete": self.complete,
            "sharedAddress": self.shared_address,
            "next": NEXT,
        })
    }

    /// For people, as lines.
    pub(super) fn text(&self) -> Vec<String> {
        let mut lines = vec![format!("{} events; of the devices that went wrong:", self.events)];
        for ending in &self.misdeeds {
            let noticed = match ending.noticed_by.as_slice() {
                [] => "not noticed (yet)".to_owned(),
                behaviors => format!("noticed by {}", behaviors.join(", ")),
            };
            let end = if ending.quarantined { ", in quarantine, proved" } else { "" };
            lines.push(format!("  {:<16} {:<13} {noticed}{end}", ending.thing, ending.wrong.name()));
        }
        lines.push(format!("Alarms on devices that behaved: {}.", self.false_alarms));
        if !self.complete {
            lines.push(
                "This machine was too slow for the story; try a lower --speed or fewer --devices.".to_owned(),
            );
        }
        if self.shared_address {
            lines
                .push("All devices shared one address: this system gives them none of their own.".to_owned());
        }
        lines.push(String::new());
        lines.push("What next:".to_owned());
        lines.extend(NEXT.iter().map(|line| format!("  {line}")));
        lines
    }
}

fn ending(sim: &FleetSim, misdeed: &datasets::fleet_sim::Misdeed, board: &Board) -> Option<Ending> {
    let device = sim.devices().get(usize::try_from(misdeed.device).ok()?)?;
    let own = [device.name.clone(), IpAddr::from(device.address).to_string()];
    let alarms: Vec<&Told> = board
        .told
        .iter()
        .filter(|told| told.transition == "in-alarm" && own.contains(&told.entity))
        .collect();
    let expected = misdeed.wrong.noticed_by();
    Some(Ending {
        thing: device.name.clone(),
        wrong: misdeed.wrong,
        at_secs: misdeed.at_millis / 1000,
        noticed: alarms.iter().any(|told| expected.contains(&told.metric.as_str())),
        noticed_by: alarms.iter().map(|told| told.behavior.clone()).collect(),
        quarantined: board.is_quarantined(&device.name),
    })
}

/// Things and addresses that an alarm may name without being wrong.
fn blamed(sim: &FleetSim) -> BTreeSet<String> {
    let devices =
        sim.misdeeds().iter().filter_map(|misdeed| sim.devices().get(usize::try_from(misdeed.device).ok()?));
    devices
        .flat_map(|device| {
            [device.name.clone(), device.address.to_string(), device.foreign_address.to_string()]
        })
        .collect()
}
