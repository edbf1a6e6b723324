//! Zeek's `conn.log` with labels (IoT-23, Stratosphere).
//!
//! Fields: Zeek documentation, `base/protocols/conn/main.zeek`. Bytes are those with IP headers.

use std::net::IpAddr;

use fleet::time::Timestamp;

use super::{Flow, Flows, Link, thing_of, truths_by_label};
use crate::table::{Row, TableError, rows};

/// Reads the flows of `device`; `kind` is the column that names the attack.
pub(crate) fn read(bytes: &[u8], device: IpAddr, kind: &'static str) -> Result<Flows, TableError> {
    let mut found = Flows { knows_connections: true, ..Flows::default() };
    rows(bytes, &mut |row| {
        found.rows += 1;
        match flow(row, device, kind)? {
            Some(flow) => found.flows.push(flow),
            None => found.left_out += 1,
        }
        Ok(())
    })?;
    found.truths = truths_by_label(&found.flows);
    Ok(found)
}

fn flow(row: &Row<'_>, device: IpAddr, kind: &'static str) -> Result<Option<Flow>, TableError> {
    let (origin, target) = (row.address("id.orig_h")?, row.address("id.resp_h")?);
    let outbound = origin == Some(device);
    if !outbound && target != Some(device) {
        return Ok(None);
    }
    let sides = [("orig_ip_bytes", "orig_pkts"), ("resp_ip_bytes", "resp_pkts")];
    let [own, other] = if outbound { sides } else { [sides[1], sides[0]] };
    let from = Timestamp::from_millis(row.millis("ts")?);
    let listening = if outbound { None } else { row.port("id.resp_p")? };
    let answered = row.count(own.1)? > 0 && row.count(other.1)? > 0;
    // Established: both halves of the handshake were seen.
    let established = matches!(row.text("conn_state")?, "S1" | "S2" | "S3" | "SF" | "RSTO" | "RSTR");
    let link = match (row.text("proto")?, listening) {
        ("tcp", listening) if established => Link::Tcp { listening },
        ("udp", Some(port)) if answered => Link::UdpServed(port),
        _ => Link::None,
    };
    let malicious = row.text("label")? == "Malicious";
    Ok(Some(Flow {
        device: thing_of(device),
        from,
        to: from.plus_millis(row.millis("duration")?),
        remote: if outbound { target } else { origin },
        link,
        bytes_out: row.count(own.0)?,
        bytes_in: row.count(other.0)?,
        packets_out: row.count(own.1)?,
        packets_in: row.count(other.1)?,
        attack: if malicious { Some(row.given(kind)?.unwrap_or("Malicious").to_owned()) } else { None },
    }))
}
