//! NEMEA-SIoT: flows of an IKEA gateway and an IP camera, in captures of minutes.
//!
//! The label marks a whole capture. Bytes are payload (Cisco Joy).

use std::{collections::BTreeMap, net::IpAddr};

use fleet::time::Timestamp;

use super::{Flow, Flows, Link, thing_of};
use crate::{
    recording::{Entity, Truth},
    table::{Row, TableError, rows},
};

/// The devices, by the folder of their captures (README of the set).
const DEVICES: [(&str, IpAddr); 2] = [
    ("ikea-app/", IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 3, 213))),
    ("ipcam/", IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 5, 20))),
];

/// Reads all captures of the set.
pub(crate) fn read(bytes: &[u8]) -> Result<Flows, TableError> {
    let mut found = Flows { knows_connections: true, ..Flows::default() };
    let mut anomalies: BTreeMap<String, Truth> = BTreeMap::new();
    rows(bytes, &mut |row| {
        found.rows += 1;
        let capture = row.text("capture")?;
        let device = DEVICES.iter().find(|(folder, _)| capture.starts_with(folder));
        let Some(&(_, device)) = device else {
            return Err(row.wrong("capture", capture, "a capture in `ikea-app/` or `ipcam/`"));
        };
        let Some(flow) = flow(row, device)? else {
            found.left_out += 1;
            return Ok(());
        };
        if flow.attack.is_some() {
            let truth = anomalies.entry(capture.to_owned()).or_insert_with(|| Truth {
                kind: kind_of(capture).to_owned(),
                entities: vec![Entity::Thing(flow.device.clone())],
                from: flow.from,
                to: flow.to,
                parts: 0,
            });
            truth.from = truth.from.min(flow.from);
            truth.to = truth.to.max(flow.to);
            truth.parts += 1;
        }
        found.flows.push(flow);
        Ok(())
    })?;
    found.truths = anomalies.into_values().collect();
    Ok(found)
}

fn kind_of(capture: &str) -> &'static str {
    if capture.contains("no-recording") { "recording stopped" } else { "network storage down" }
}

fn flow(row: &Row<'_>, device: IpAddr) -> Result<Option<Flow>, TableError> {
    let (source, target) = (row.address("src")?, row.address("dst")?);
    let outbound = source == Some(device);
    if !outbound && target != Some(device) {
        return Ok(None);
    }
    let sides = [("bytes_out", "packets_out"), ("bytes_in", "packets_in")];
    let [own, other] = if outbound { sides } else { [sides[1], sides[0]] };
    let (packets_out, packets_in) = (row.count(own.1)?, row.count(other.1)?);
    let listening = if outbound { None } else { row.port("dst_port")? };
    let answered = packets_out > 0 && packets_in > 0;
    let link = match (row.text("ip_proto")?, listening) {
        ("6", listening) if answered => Link::Tcp { listening },
        ("17", Some(port)) if answered => Link::UdpServed(port),
        _ => Link::None,
    };
    Ok(Some(Flow {
        device: thing_of(device),
        from: Timestamp::from_millis(row.millis("time_start")?),
        to: Timestamp::from_millis(row.millis("time_end")?),
        remote: if outbound { target } else { source },
        link,
        bytes_out: row.count(own.0)?,
        bytes_in: row.count(other.0)?,
        packets_out,
        packets_in,
        attack: (row.count("label")? == 1).then(|| "anomaly".to_owned()),
    }))
}
