//! A simulated fleet: devices that behave, and a few that stop doing so at known times.
//!
//! Pure and seeded. Time is milliseconds since the start of the story; who plays it decides
//! how fast that passes. What a device does in answer to the broker (trying again after it was
//! refused) is not in the story, but the player's.

mod misdeed;
mod timeline;

use std::{cmp::Reverse, collections::BinaryHeap, fmt, net::Ipv4Addr};

pub use misdeed::{Misdeed, Wrong};
use timeline::Timeline;

use crate::rng::Rng;

/// Where every story should begin, so that the times of [`Misdeed`]s fall inside windows of 300 s
/// and not on their edges: milliseconds since the epoch, 2026-01-05T08:03:00Z.
pub const START_MILLIS: i64 = 1_767_600_180_000;

/// How often a device reports its own metrics, in milliseconds.
pub const REPORT_EVERY_MILLIS: u64 = 300_000;

/// Most devices of a fleet: as many as have an address of their own.
pub const DEVICES_MAX: usize = 60_000;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Sends a short reading twice a minute.
    Pump,
    /// Sends a picture a minute.
    Camera,
    /// Sends for others, four times a minute.
    Gateway,
    /// Sends a few bytes a minute.
    Thermostat,
    /// Sends a reading every two minutes.
    Meter,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Pump, Self::Camera, Self::Gateway, Self::Thermostat, Self::Meter];

    /// The word that the device's name begins with.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pump => "pump",
            Self::Camera => "camera",
            Self::Gateway => "gateway",
            Self::Thermostat => "thermostat",
            Self::Meter => "meter",
        }
    }
}

/// A device of the fleet. Its name is its client id, its user name and its thing name.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// Name, such as `pump-0017`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its own address, in 127.16.0.0/16.
    pub address: Ipv4Addr,
    /// An address that is not its own, from which a clone of it would connect; in 127.32.0.0/16.
    pub foreign_address: Ipv4Addr,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Which of a device's connections does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// Its own, from its own address.
    Own,
    /// A second one from its own address, which guesses passwords.
    Guesser,
    /// A second one with its name and password from a foreign address.
    Clone,
}

/// Something a device does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Connects with its name and password; the connection it has on this line is given up.
    Connect,
    /// Tries to connect in another device's name with a password that is not that device's.
    Guess {
        /// Index of the device whose name is claimed.
        claimed: u32,
        /// The password that is tried.
        password: String,
    },
    /// Publishes a message.
    Publish {
        /// Topic.
        topic: String,
        /// Payload size.
        bytes: u32,
    },
    /// Reports its own metrics.
    Report {
        /// The report, JSON.
        json: String,
    },
    /// Ends its connection.
    Disconnect {
        /// With a DISCONNECT packet; else the connection just breaks.
        clean: bool,
    },
}

/// Something a device does at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Milliseconds since the start of the story.
    pub at_millis: u64,
    /// Index of the device.
    pub device: u32,
    /// On which of its connections.
    pub line: Line,
    /// What it does.
    pub deed: Deed,
}

/// A fleet and its story.
#[derive(Clone, Debug)]
pub struct FleetSim {
    seed: u64,
    devices: Vec<Device>,
    misdeeds: Vec<Misdeed>,
}

impl FleetSim {
    /// The fleet of `seed` with `devices` devices, at least one for each [`Wrong`] and as many
    /// that behave, and at most [`DEVICES_MAX`].
    #[must_use]
    pub fn new(seed: u64, devices: usize) -> Self {
        let count = devices.clamp(2 * Wrong::ALL.len(), DEVICES_MAX);
        let devices: Vec<Device> =
            (0..u32::try_from(count).unwrap_or(0)).map(|index| device(seed, index)).collect();
        let misdeeds = misdeed::choose(&mut Rng::new(seed, u64::MAX), &devices);
        Self { seed, devices, misdeeds }
    }

    /// The devices; an index of [`Action::device`] is a place in this list.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Who goes wrong, when, and what should notice it, in order of time.
    #[must_use]
    pub fn misdeeds(&self) -> &[Misdeed] {
        &self.misdeeds
    }

    /// All that happens, in order of time, without end. Equal times are in order of devices.
    #[must_use]
    pub fn actions(&self) -> Actions {
        let timelines: Vec<Timeline> = (0_u32..)
            .zip(&self.devices)
            .map(|(index, device)| {
                let misdeed = self.misdeeds.iter().find(|misdeed| misdeed.device == index);
                Timeline::new(
                    Rng::new(self.seed, u64::from(index) + 1),
                    index,
                    device,
                    misdeed,
                    &self.devices,
                )
            })
            .collect();
        let due = (0_usize..).zip(&timelines).filter_map(|(at, line)| Some(Reverse((line.next_at()?, at))));
        Actions { due: due.collect(), timelines }
    }
}

fn device(seed: u64, index: u32) -> Device {
    let mut rng = Rng::new(seed, u64::from(index) + (1 << 40));
    let kind = rng.pick(&Kind::ALL).copied().unwrap_or(Kind::Pump);
    let [_, _, high, low] = index.saturating_add(1).to_be_bytes();
    Device {
        name: format!("{}-{index:04}", kind.name()),
        kind,
        address: Ipv4Addr::new(127, 16, high, low),
        foreign_address: Ipv4Addr::new(127, 32, high, low),
        password: format!("{:016x}", rng.word()),
    }
}

/// Iterator over the story of a fleet.
#[derive(Debug)]
pub struct Actions {
    due: BinaryHeap<Reverse<(u64, usize)>>,
    timelines: Vec<Timeline>,
}

impl Iterator for Actions {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        let Reverse((_, index)) = self.due.pop()?;
        let timeline = self.timelines.get_mut(index)?;
        let action = timeline.next()?;
        if let Some(at) = timeline.next_at() {
            self.due.push(Reverse((at, index)));
        }
        Some(action)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn until(sim: &FleetSim, millis: u64) -> Vec<Action> {
        sim.actions().take_while(|action| action.at_millis < millis).collect()
    }

    #[test]
    fn the_start_leaves_two_minutes_to_the_first_edge_of_a_window() {
        assert_eq!(START_MILLIS.rem_euclid(300_000), 180_000);
    }

    #[test]
    fn one_device_goes_wrong_in_each_way_and_the_others_behave() {
        let sim = FleetSim::new(7, 200);
        let ways: BTreeSet<Wrong> = sim.misdeeds().iter().map(|misdeed| misdeed.wrong).collect();
        assert_eq!(ways.len(), Wrong::ALL.len());
        let bad: BTreeSet<u32> = sim.misdeeds().iter().map(|misdeed| misdeed.device).collect();
        assert_eq!(bad.len(), Wrong::ALL.len(), "each by another device");
        for action in until(&sim, 1_500_000).iter().filter(|action| !bad.contains(&action.device)) {
            assert_eq!(action.line, Line::Own);
            let name = &sim.devices()[action.device as usize].name;
            match &action.deed {
                Deed::Publish { topic, bytes } => {
                    assert!(topic.starts_with(&format!("devices/{name}/")) && *bytes < 65_536);
                }
                Deed::Guess { .. } => panic!("{name} guesses"),
                Deed::Report { json } => {
                    let report: serde_json::Value = serde_json::from_str(json).unwrap();
                    assert!(report["metrics"]["network_stats"]["bytes_out"].as_u64().unwrap() < 20_000_000);
                }
                Deed::Connect | Deed::Disconnect { .. } => {}
            }
        }
    }

    #[test]
    fn a_device_that_behaves_reports_every_five_minutes_and_is_seldom_away() {
        let sim = FleetSim::new(3, 100);
        let bad: BTreeSet<u32> = sim.misdeeds().iter().map(|misdeed| misdeed.device).collect();
        let mut counts: BTreeMap<u32, [u32; 2]> = BTreeMap::new();
        for action in until(&sim, 3_660_000) {
            let [reports, connects] = counts.entry(action.device).or_default();
            match action.deed {
                Deed::Report { .. } => *reports += 1,
                Deed::Connect => *connects += 1,
                _ => {}
            }
        }
        for (device, [reports, connects]) in counts.into_iter().filter(|(device, _)| !bad.contains(device)) {
            assert!((10..=13).contains(&reports), "device {device}: {reports} reports in an hour");
            assert!((1..=8).contains(&connects), "device {device}: {connects} connects in an hour");
        }
    }

    #[test]
    fn the_claimed_device_of_a_guess_is_not_the_guesser_and_the_password_is_wrong() {
        let sim = FleetSim::new(11, 20);
        let guesses = until(&sim, 600_000)
            .into_iter()
            .filter_map(|action| match action.deed {
                Deed::Guess { claimed, password } => Some((action.device, claimed, password)),
                _ => None,
            })
            .collect::<Vec<_>>();
        assert!(guesses.len() > 40);
        for (device, claimed, password) in guesses {
            assert_ne!(device, claimed);
            assert_ne!(sim.devices()[claimed as usize].password, password);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let device = FleetSim::new(1, 10).devices()[0].clone();
        assert!(!format!("{device:?}").contains(&device.password));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_story_is_ordered_repeatable_and_lines_make_sense(seed: u64, devices in 0_usize..60) {
            let sim = FleetSim::new(seed, devices);
            let actions = until(&sim, 1_300_000);
            prop_assert_eq!(&actions, &until(&FleetSim::new(seed, devices), 1_300_000));
            prop_assert!(actions.is_sorted_by_key(|action| (action.at_millis, action.device)));
            let mut connected = BTreeSet::new();
            for action in &actions {
                let line = (action.device, action.line);
                match action.deed {
                    Deed::Connect => { connected.insert(line); }
                    Deed::Guess { .. } => prop_assert_eq!(action.line, Line::Guesser),
                    Deed::Disconnect { .. } => prop_assert!(connected.remove(&line), "{:?}", action),
                    Deed::Publish { .. } | Deed::Report { .. } => {
                        prop_assert!(connected.contains(&line), "{:?}", action);
                    }
                }
            }
        }

        #[test]
        fn what_a_well_behaved_device_does_does_not_depend_on_the_size_of_the_fleet(seed: u64) {
            let (small, large) = (FleetSim::new(seed, 20), FleetSim::new(seed, 40));
            let bad: BTreeSet<u32> =
                small.misdeeds().iter().chain(large.misdeeds()).map(|misdeed| misdeed.device).collect();
            let of = |sim: &FleetSim| -> Vec<Action> {
                let mut actions = until(sim, 700_000);
                actions.retain(|action| action.device < 20 && !bad.contains(&action.device));
                actions
            };
            prop_assert_eq!(of(&small), of(&large));
        }
    }
}
