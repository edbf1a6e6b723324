//! Who goes wrong, when and how: the ground truth of a story.

use std::net::Ipv4Addr;

use super::{Action, Deed, Device, Line};
use crate::{
    document::{Connection, Document},
    rng::Rng,
};

/// A way to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Writes to topics that are not its own, then guesses passwords of other devices.
    BruteForce,
    /// Listens on a backdoor's port and has very many connections.
    PortScan,
    /// Sends far larger messages than it should, then reports how much it sent.
    Exfiltration,
    /// Its name and password are used from a second address as well.
    ClonedId,
    /// Breaks off and never comes back.
    Silence,
}

impl Wrong {
    /// All ways, in order of when they begin.
    pub const ALL: [Self; 5] =
        [Self::ClonedId, Self::BruteForce, Self::Silence, Self::PortScan, Self::Exfiltration];

    /// The word used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BruteForce => "brute-force",
            Self::PortScan => "port-scan",
            Self::Exfiltration => "exfiltration",
            Self::ClonedId => "cloned-id",
            Self::Silence => "silence",
        }
    }

    /// Metrics of the starter behaviors that should notice it.
    #[must_use]
    pub const fn noticed_by(self) -> &'static [&'static str] {
        match self {
            Self::BruteForce => &["aws:num-authorization-failures", "aws:num-connection-attempts"],
            Self::PortScan => &["aws:num-established-tcp-connections", "aws:listening-tcp-ports"],
            Self::Exfiltration => &["aws:message-byte-size"],
            Self::ClonedId => &["aws:num-disconnects"],
            Self::Silence => &["aws:disconnect-duration"],
        }
    }

    /// Begin, in milliseconds since the start; a few seconds are added by the seed. All lie
    /// in the first whole window of 300 s, so that its length decides nothing.
    const fn begin_millis(self) -> u64 {
        match self {
            Self::ClonedId => 130_000,
            Self::BruteForce => 150_000,
            Self::Silence => 170_000,
            Self::PortScan => 210_000,
            Self::Exfiltration => 240_000,
        }
    }
}

/// A device that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misdeed {
    /// Index of the device.
    pub device: u32,
    /// How.
    pub wrong: Wrong,
    /// From when, in milliseconds since the start.
    pub at_millis: u64,
}

/// One device for each way, all different. Which ones depends on the size of the fleet.
pub(super) fn choose(rng: &mut Rng, devices: &[Device]) -> Vec<Misdeed> {
    let mut free: Vec<u32> = (0..u32::try_from(devices.len()).unwrap_or(0)).collect();
    let mut misdeeds: Vec<Misdeed> = Wrong::ALL
        .into_iter()
        .filter_map(|wrong| {
            let last = u64::try_from(free.len()).ok()?.checked_sub(1)?;
            let device = free.swap_remove(usize::try_from(rng.between(0, last)).ok()?);
            let at_millis = wrong.begin_millis() + 1000 * rng.between(0, 9);
            Some(Misdeed { device, wrong, at_millis })
        })
        .collect();
    misdeeds.sort_by_key(|misdeed| misdeed.at_millis);
    misdeeds
}

/// What the device does besides (or, for [`Wrong::Silence`], instead of) its ordinary work,
/// in order of time.
pub(super) fn script(rng: &mut Rng, misdeed: &Misdeed, devices: &[Device]) -> Vec<Action> {
    let (device, start) = (misdeed.device, misdeed.at_millis);
    let name = devices
        .get(usize::try_from(device).unwrap_or(usize::MAX))
        .map_or_else(String::new, |device| device.name.clone());
    let deeds: Vec<(u64, Line, Deed)> = match misdeed.wrong {
        Wrong::BruteForce => brute_force(rng, device, devices),
        Wrong::PortScan => vec![(0, Line::Own, Deed::Report { json: scanner(rng, start).json() })],
        Wrong::Exfiltration => exfiltration(rng, &name, start),
        Wrong::ClonedId => cloned_id(),
        Wrong::Silence => vec![(0, Line::Own, Deed::Disconnect { clean: false })],
    };
    let action = |(after, line, deed)| Action { at_millis: start + after, device, line, deed };
    deeds.into_iter().map(action).collect()
}

/// Eight forbidden topics in two seconds, then sixty guesses in thirty.
fn brute_force(rng: &mut Rng, device: u32, devices: &[Device]) -> Vec<(u64, Line, Deed)> {
    let others: Vec<(u32, &Device)> = (0..).zip(devices).filter(|(index, _)| *index != device).collect();
    let denied = (0_u64..8).filter_map(|step| {
        let (_, other) = others.get(usize::try_from(step).ok()? % others.len().max(1))?;
        let deed = Deed::Publish { topic: format!("devices/{}/command", other.name), bytes: 24 };
        Some((250 * step, Line::Own, deed))
    });
    let mut deeds: Vec<_> = denied.collect();
    for step in 0_u64..60 {
        let Some((claimed, _)) = rng.pick(&others) else { break };
        let password = format!("guess-{:08x}", rng.word() >> 32);
        deeds.push((8_000 + 500 * step, Line::Guesser, Deed::Guess { claimed: *claimed, password }));
    }
    deeds
}

/// Two hundred connections to one network, and a listening port that backdoors use.
fn scanner(rng: &mut Rng, at_millis: u64) -> Document {
    let target = Ipv4Addr::new(192, 168, rng.byte(), 0).octets();
    let connections = (1..=200_u8).map(|host| Connection {
        local_port: 40_000 + u16::from(host),
        remote: Ipv4Addr::new(target[0], target[1], target[2], host),
        remote_port: 23,
    });
    Document {
        report_id: at_millis,
        tcp_ports: vec![22, 4444],
        udp_ports: vec![68],
        connections: connections.collect(),
        bytes_in: rng.between(200_000, 400_000),
        bytes_out: rng.between(200_000, 400_000),
        packets_in: rng.between(2_000, 4_000),
        packets_out: rng.between(2_000, 4_000),
    }
}

/// Six messages of about 200 kB, and a minute later a report of as much again over other ways.
fn exfiltration(rng: &mut Rng, name: &str, start: u64) -> Vec<(u64, Line, Deed)> {
    let mut deeds: Vec<(u64, Line, Deed)> = (0_u64..6)
        .map(|step| {
            let bytes = u32::try_from(rng.between(180_000, 240_000)).unwrap_or(200_000);
            (1_000 * step, Line::Own, Deed::Publish { topic: format!("devices/{name}/telemetry"), bytes })
        })
        .collect();
    let report = Document {
        report_id: start + 60_000,
        tcp_ports: vec![22],
        bytes_in: 90_000,
        bytes_out: rng.between(90_000_000, 120_000_000),
        packets_in: 900,
        packets_out: 90_000,
        ..Document::default()
    };
    deeds.push((60_000, Line::Own, Deed::Report { json: report.json() }));
    deeds
}

/// Owner and clone take the session from each other fourteen times in seventy seconds.
fn cloned_id() -> Vec<(u64, Line, Deed)> {
    (0_u64..14)
        .map(|step| (5_000 * step, if step % 2 == 0 { Line::Clone } else { Line::Own }, Deed::Connect))
        .collect()
}
