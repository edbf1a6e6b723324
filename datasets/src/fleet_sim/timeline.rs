//! What one device does, in order of time.

use std::{collections::VecDeque, net::Ipv4Addr};

use super::{
    Action, Deed, Device, Kind, Line, REPORT_EVERY_MILLIS,
    misdeed::{Misdeed, Wrong, script},
};
use crate::{
    document::{Connection, Document},
    rng::Rng,
};

/// All devices come up within this time of the start.
const STARTUP_MILLIS: u64 = 60_000;

/// The story of one device.
#[derive(Debug)]
pub(super) struct Timeline {
    rng: Rng,
    device: u32,
    name: String,
    kind: Kind,
    state: State,
    telemetry_at: u64,
    report_at: u64,
    pause_at: u64,
    /// What it does wrong, still to come.
    script: VecDeque<Action>,
    /// From when on its ordinary work ends, if ever.
    ends_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off { until: u64 },
    On,
}

/// What is next in a device's ordinary work.
#[derive(Clone, Copy, Debug)]
enum Next {
    Connect,
    Telemetry,
    Report,
    Pause,
}

impl Timeline {
    pub(super) fn new(
        mut rng: Rng,
        index: u32,
        device: &Device,
        misdeed: Option<&Misdeed>,
        devices: &[Device],
    ) -> Self {
        let begin = rng.between(0, STARTUP_MILLIS);
        let telemetry_at = begin + rng.between(500, telemetry(device.kind).every_millis);
        let report_at = begin + rng.between(1_000, REPORT_EVERY_MILLIS);
        // Who goes wrong takes no pause, so that it is there when its time comes.
        let pause_at = match misdeed {
            Some(_) => u64::MAX,
            None => rng.between(300_000, 3_600_000),
        };
        let script = misdeed.map(|misdeed| script(&mut rng, misdeed, devices)).unwrap_or_default();
        // A cloned device's two lines would race with its ordinary messages.
        let ends_at = misdeed
            .filter(|misdeed| matches!(misdeed.wrong, Wrong::Silence | Wrong::ClonedId))
            .map(|misdeed| misdeed.at_millis);
        Self {
            rng,
            device: index,
            name: device.name.clone(),
            kind: device.kind,
            state: State::Off { until: begin },
            telemetry_at,
            report_at,
            pause_at,
            script: script.into(),
            ends_at,
        }
    }

    /// When the next action is.
    pub(super) fn next_at(&self) -> Option<u64> {
        let ordinary = self.ordinary().map(|(at, _)| at);
        let scripted = self.script.front().map(|action| action.at_millis);
        match (ordinary, scripted) {
            (Some(ordinary), Some(scripted)) => Some(ordinary.min(scripted)),
            (ordinary, scripted) => ordinary.or(scripted),
        }
    }

    fn ordinary(&self) -> Option<(u64, Next)> {
        let (at, next) = match self.state {
            State::Off { until } => (until, Next::Connect),
            State::On => [
                (self.pause_at, Next::Pause),
                (self.report_at, Next::Report),
                (self.telemetry_at, Next::Telemetry),
            ]
            .into_iter()
            .min_by_key(|(at, _)| *at)?,
        };
        self.ends_at.is_none_or(|end| at < end).then_some((at, next))
    }

    /// The next action.
    pub(super) fn next(&mut self) -> Option<Action> {
        let ordinary = self.ordinary();
        let scripted_first = match (self.script.front(), ordinary) {
            (Some(scripted), Some((at, _))) => scripted.at_millis <= at,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if scripted_first {
            return self.script.pop_front();
        }
        let (at_millis, next) = ordinary?;
        let deed = self.work(at_millis, next);
        Some(Action { at_millis, device: self.device, line: Line::Own, deed })
    }

    fn work(&mut self, at: u64, next: Next) -> Deed {
        match next {
            Next::Connect => {
                self.state = State::On;
                // What fell into the pause is done after it.
                self.telemetry_at = self.telemetry_at.max(at + 500);
                self.report_at = self.report_at.max(at + 1_000);
                Deed::Connect
            }
            Next::Pause => {
                self.state = State::Off { until: at + self.rng.between(10_000, 40_000) };
                self.pause_at = at + self.rng.between(900_000, 3_600_000);
                Deed::Disconnect { clean: self.rng.chance(800) }
            }
            Next::Telemetry => {
                let telemetry = telemetry(self.kind);
                let (every, bytes) = (telemetry.every_millis, telemetry.bytes);
                self.telemetry_at = at + self.rng.between(every * 9 / 10, every * 11 / 10);
                let bytes = self.rng.between(bytes * 3 / 4, bytes * 5 / 4);
                Deed::Publish {
                    topic: format!("devices/{}/telemetry", self.name),
                    bytes: u32::try_from(bytes).unwrap_or(0),
                }
            }
            Next::Report => {
                self.report_at = at + REPORT_EVERY_MILLIS;
                Deed::Report { json: self.report(at).json() }
            }
        }
    }

    fn report(&mut self, at: u64) -> Document {
        let rng = &mut self.rng;
        let (tcp_ports, peers, traffic) = match self.kind {
            Kind::Pump => (vec![22, 502], 1..=3, 400_000),
            Kind::Camera => (vec![22, 443, 554], 2..=6, 12_000_000),
            Kind::Gateway => (vec![22, 443, 8883], 4..=12, 4_000_000),
            Kind::Thermostat => (vec![80], 1..=1, 60_000),
            Kind::Meter => (vec![22], 1..=2, 90_000),
        };
        let peers = rng.between(*peers.start(), *peers.end());
        let connections = (0..peers).map(|_| Connection {
            local_port: rng.between_u16(40_000, 59_999),
            remote: Ipv4Addr::new(10, 0, rng.byte() & 3, rng.byte()),
            remote_port: 8883,
        });
        Document {
            connections: connections.collect(),
            report_id: at,
            tcp_ports,
            udp_ports: vec![68, 123],
            bytes_in: rng.between(traffic / 8, traffic / 2),
            bytes_out: rng.between(traffic / 4, traffic),
            packets_in: rng.between(100, 6_000),
            packets_out: rng.between(100, 6_000),
        }
    }
}

struct Telemetry {
    every_millis: u64,
    bytes: u64,
}

const fn telemetry(kind: Kind) -> Telemetry {
    let (every_secs, bytes) = match kind {
        Kind::Pump => (30, 200),
        Kind::Camera => (60, 20_000),
        Kind::Gateway => (15, 800),
        Kind::Thermostat => (60, 80),
        Kind::Meter => (120, 120),
    };
    Telemetry { every_millis: every_secs * 1000, bytes }
}
