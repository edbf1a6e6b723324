//! Westermo: flows of an industrial network, one row for each pair of addresses, protocol and second.
//!
//! A row sums all connections of the pair and has no ports, so that the number of connections is
//! not known. Both ends are devices; a row is a flow of each. Labels are those of single flows
//! (`NST`), the times of attacks those of `events.csv`.

use std::net::{IpAddr, Ipv4Addr};

use fleet::time::Timestamp;

use super::{Flow, Flows, Link, thing_of};
use crate::{
    recording::{Entity, Truth},
    table::{Row, TableError, rows},
};

/// Reads a recorder's flows and the events of the whole run.
pub(crate) fn read(flows: &[u8], events: &[u8]) -> Result<Flows, TableError> {
    let mut found = Flows::default();
    rows(flows, &mut |row| {
        found.rows += 1;
        let (source, target) = (station(row.text("sIPs")?), station(row.text("rIPs")?));
        if source.is_none() && target.is_none() {
            found.left_out += 1;
        }
        if let Some(device) = source {
            found.flows.push(flow(
                row,
                device,
                target,
                [("sBytesSum", "sPackets"), ("rBytesSum", "rPackets")],
            )?);
        }
        if let Some(device) = target {
            found.flows.push(flow(
                row,
                device,
                source,
                [("rBytesSum", "rPackets"), ("sBytesSum", "sPackets")],
            )?);
        }
        Ok(())
    })?;
    found.truths = events_of(events)?;
    for truth in &mut found.truths {
        charge(truth, &found.flows);
    }
    // An event that this recorder saw nothing of.
    found.truths.retain(|truth| truth.parts > 0);
    Ok(found)
}

/// The address of a station; several addresses behind one interface, or none, are no device.
fn station(text: &str) -> Option<IpAddr> {
    let ip: Ipv4Addr = text.parse().ok()?;
    let usable = !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified();
    (usable && ip.octets()[3] != 255).then_some(IpAddr::V4(ip))
}

fn flow(
    row: &Row<'_>,
    device: IpAddr,
    remote: Option<IpAddr>,
    [own, other]: [(&'static str, &'static str); 2],
) -> Result<Flow, TableError> {
    let label = row.text("NST_M_Label")?;
    let from = Timestamp::from_millis(row.millis("start")?);
    Ok(Flow {
        device: thing_of(device),
        from,
        to: Timestamp::from_millis(row.millis("end")?).max(from),
        remote,
        link: Link::None,
        bytes_out: row.count(own.0)?,
        bytes_in: row.count(other.0)?,
        packets_out: row.count(own.1)?,
        packets_in: row.count(other.1)?,
        attack: label.starts_with("BAD-").then(|| label.to_owned()),
    })
}

/// The attacks and faults of the run, without those whom they touched.
fn events_of(bytes: &[u8]) -> Result<Vec<Truth>, TableError> {
    let mut truths: Vec<Truth> = Vec::new();
    let mut open: Option<(String, Timestamp)> = None;
    rows(bytes, &mut |row| {
        let at = Timestamp::from_millis(row.millis("start")?);
        let event = row.text("event")?;
        if !event.starts_with("BAD-") {
            return Ok(());
        }
        if let Some(kind) = event.strip_suffix("-START") {
            open = Some((kind.to_owned(), at));
        } else if let Some((kind, from)) = open.take_if(|(kind, _)| event == format!("{kind}-END")) {
            truths.push(Truth { kind, entities: Vec::new(), from, to: at, parts: 0 });
        }
        Ok(())
    })?;
    Ok(truths)
}

/// Adds the devices of the flows that carry the event's label during the event. Flows have the time
/// of whole seconds.
fn charge(truth: &mut Truth, flows: &[Flow]) {
    let (from, to) = (truth.from.plus_millis(-1000), truth.to.plus_millis(1000));
    for flow in flows {
        if flow.attack.as_deref() != Some(&truth.kind) || flow.from < from || flow.from > to {
            continue;
        }
        truth.parts += 1;
        let entity = Entity::Thing(flow.device.clone());
        if !truth.entities.contains(&entity) {
            truth.entities.push(entity);
        }
    }
    truth.entities.sort();
}
