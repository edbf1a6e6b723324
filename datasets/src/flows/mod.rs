//! Connection logs, as the reports that an agent on each device would have sent.
//!
//! The logs were written by somebody who watched the wire; an agent counts the same on the device.
//! What a report says and what cannot be known: see [`agent`].

pub mod agent;
mod nemea;
mod sentinel;
mod westermo;
mod zeek;

use std::net::IpAddr;

use fleet::time::Timestamp;

use crate::recording::{Entity, Truth};

pub(crate) use nemea::read as nemea;
pub(crate) use sentinel::read as sentinel;
pub(crate) use westermo::read as westermo;
pub(crate) use zeek::read as zeek;

/// A flow, seen from one of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The device: a thing name.
    pub device: String,
    /// First packet.
    pub from: Timestamp,
    /// Last packet.
    pub to: Timestamp,
    /// The other end.
    pub remote: Option<IpAddr>,
    /// What is known of it as a connection.
    pub link: Link,
    /// Bytes that the device sent, with IP headers where the log has them.
    pub bytes_out: u64,
    /// Bytes that the device was sent.
    pub bytes_in: u64,
    /// Packets that the device sent.
    pub packets_out: u64,
    /// Packets that the device was sent.
    pub packets_in: u64,
    /// The label, if it says that the flow is part of an attack or a fault.
    pub attack: Option<String>,
}

/// What a flow is to the device's connection table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing: no TCP or UDP, never answered, or the log does not say.
    None,
    /// A TCP connection that was established; with the device's port if others opened it.
    Tcp {
        /// The port that the device listens on.
        listening: Option<u16>,
    },
    /// UDP that the device answered on this port.
    UdpServed(u16),
}

/// Flows of a log, and what the log covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Flows in the order of the log.
    pub flows: Vec<Flow>,
    /// Attacks and faults.
    pub truths: Vec<Truth>,
    /// Rows of the log.
    pub rows: u64,
    /// Rows that are no traffic of a device (broadcasts of others, frames without IP address).
    pub left_out: u64,
    /// Whether the log tells which flows are connections; without it, reports have no connections.
    pub knows_connections: bool,
}

/// The thing name of a device known by its address.
#[must_use]
pub fn thing_of(ip: IpAddr) -> String {
    format!("host-{ip}").replace(['.', ':'], "-")
}

/// One truth for each device and label: from the first labelled flow to the end of the last.
pub(crate) fn truths_by_label(flows: &[Flow]) -> Vec<Truth> {
    let mut truths: Vec<Truth> = Vec::new();
    for flow in flows {
        let Some(attack) = &flow.attack else { continue };
        let entity = Entity::Thing(flow.device.clone());
        let known = truths.iter_mut().find(|it| it.kind == *attack && it.entities.contains(&entity));
        match known {
            Some(truth) => {
                truth.from = truth.from.min(flow.from);
                truth.to = truth.to.max(flow.to);
                truth.parts += 1;
            }
            None => truths.push(Truth {
                kind: attack.clone(),
                entities: vec![entity],
                from: flow.from,
                to: flow.to,
                parts: 1,
            }),
        }
    }
    truths
}
