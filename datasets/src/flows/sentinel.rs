//! IoT Sentinel: each setup of a device is a device of its own, and all are set up at the same time.
//!
//! The set has times since the start of each capture alone; the start here is
//! [`START`], which is arbitrary.

use std::net::IpAddr;

use fleet::time::Timestamp;

use super::{Flow, Flows, Link};
use crate::table::{Row, TableError, rows};

/// 2017-01-01, the year of the paper.
const START: Timestamp = Timestamp::from_secs(1_483_228_800);

/// Reads all setups.
pub(crate) fn read(bytes: &[u8]) -> Result<Flows, TableError> {
    let mut found = Flows { knows_connections: true, ..Flows::default() };
    rows(bytes, &mut |row| {
        found.rows += 1;
        found.flows.push(flow(row)?);
        Ok(())
    })?;
    Ok(found)
}

fn flow(row: &Row<'_>) -> Result<Flow, TableError> {
    let device_started = row.count("device_started")? == 1;
    let (packets_out, packets_in) = (row.count("packets_out")?, row.count("packets_in")?);
    let answered = packets_out > 0 && packets_in > 0;
    let listening = if device_started { None } else { row.port("src_port")? };
    let link = match (row.text("proto")?, listening) {
        ("tcp", listening) if answered => Link::Tcp { listening },
        ("udp", Some(port)) if answered => Link::UdpServed(port),
        _ => Link::None,
    };
    let from = START.plus_millis(row.millis("start_s")?);
    // The columns are the device's view whoever began: `src` is always its own address.
    let remote: Option<IpAddr> = row.address("dst")?;
    Ok(Flow {
        device: format!("{}-{}", row.text("device_type")?, row.text("setup")?),
        from,
        to: from.plus_millis(row.millis("duration_s")?),
        remote,
        link,
        bytes_out: row.count("bytes_out")?,
        bytes_in: row.count("bytes_in")?,
        packets_out,
        packets_in,
        attack: None,
    })
}
