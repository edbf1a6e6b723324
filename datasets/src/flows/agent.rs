//! An agent on each device, that reports what flows say it could have seen.
//!
//! A report is sent at the end of every interval, aligned to the epoch, from the one in which the
//! device is first seen to the one in which it is last seen, with empty ones in between where the
//! pause is at most [`PAUSE_INTERVALS_MAX`] intervals. It says:
//! - bytes and packets in and out since the last report; a flow that goes on over several intervals
//!   is spread over them evenly, since the log knows its sum alone;
//! - TCP connections that are established when the report is sent, with the other ends' addresses,
//!   as agents look at their connection table only then: a shorter connection is not seen;
//! - TCP and UDP ports that others reached the device on so far: the ports it listens on without
//!   being asked cannot be known.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{
    report::{LIST_ITEMS_MAX, ReportBuf},
    time::Timestamp,
};

use super::{Flow, Flows, Link};

/// A device that is silent for longer was off or not recorded: it sends no reports until it is back.
pub const PAUSE_INTERVALS_MAX: i64 = 12;
/// A flow is taken to end after so many intervals, so that no row makes reports without end.
const FLOW_INTERVALS_MAX: i64 = 10_000;

/// A report and who sends it when.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReport {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub thing: String,
    /// What.
    pub report: ReportBuf,
}

/// What a device does in one interval.
#[derive(Clone, Debug, Default)]
struct Interval {
    /// Bytes out and in, packets out and in.
    sums: [u64; 4],
    established: Vec<std::net::IpAddr>,
    tcp: BTreeSet<u16>,
    udp: BTreeSet<u16>,
}

/// The reports of all devices, by time and then by name.
#[must_use]
pub fn reports(flows: &Flows, interval_secs: u32) -> Vec<DeviceReport> {
    let width = i64::from(interval_secs.max(1)) * 1000;
    let mut devices: BTreeMap<&str, BTreeMap<i64, Interval>> = BTreeMap::new();
    for flow in &flows.flows {
        add(devices.entry(&flow.device).or_default(), flow, width);
    }
    let mut reports = Vec::new();
    for (thing, intervals) in devices {
        device(thing, intervals, flows.knows_connections, width, &mut reports);
    }
    reports.sort_by(|a, b| (a.at, &a.thing).cmp(&(b.at, &b.thing)));
    reports
}

/// Adds a flow to the intervals that it touches.
fn add(intervals: &mut BTreeMap<i64, Interval>, flow: &Flow, width: i64) {
    let first = flow.from.millis().div_euclid(width);
    let last = flow.to.millis().div_euclid(width).clamp(first, first.saturating_add(FLOW_INTERVALS_MAX));
    let sums = [flow.bytes_out, flow.bytes_in, flow.packets_out, flow.packets_in];
    let (from, length) = (flow.from.millis(), flow.to.millis_since(flow.from));
    let mut told = [0; 4];
    for index in first..=last {
        let interval = intervals.entry(index).or_default();
        let end = index.saturating_add(1).saturating_mul(width);
        for ((sum, told), total) in interval.sums.iter_mut().zip(&mut told).zip(sums) {
            // What has been told by the end of this interval; at the end of the flow all of it.
            let so_far = if index == last { total } else { share(total, end - from, length) };
            *sum = sum.saturating_add(so_far.saturating_sub(*told));
            *told = so_far;
        }
        let open_at_end = flow.to.millis() > end && flow.from.millis() <= end;
        match flow.link {
            Link::Tcp { listening } => {
                interval.tcp.extend(listening);
                interval.established.extend(flow.remote.filter(|_| open_at_end));
            }
            Link::UdpServed(port) => drop(interval.udp.insert(port)),
            Link::None => {}
        }
    }
}

/// `total * part / whole`, rounded down.
fn share(total: u64, part: i64, whole: i64) -> u64 {
    let (part, whole) = (u128::from(part.max(0).unsigned_abs()), u128::from(whole.max(1).unsigned_abs()));
    u64::try_from(u128::from(total) * part / whole).unwrap_or(u64::MAX).min(total)
}

fn device(
    thing: &str,
    intervals: BTreeMap<i64, Interval>,
    knows_connections: bool,
    width: i64,
    reports: &mut Vec<DeviceReport>,
) {
    let (mut tcp, mut udp) = (BTreeSet::new(), BTreeSet::new());
    let mut next: Option<i64> = None;
    for (index, interval) in intervals {
        let pause = next.filter(|next| index - next <= PAUSE_INTERVALS_MAX);
        let empty = pause.map_or(index, |next| next)..index;
        for index in empty {
            let idle = Interval::default();
            reports.push(report(thing, index, width, &idle, knows_connections.then_some((&tcp, &udp))));
        }
        tcp.extend(&interval.tcp);
        udp.extend(&interval.udp);
        reports.push(report(thing, index, width, &interval, knows_connections.then_some((&tcp, &udp))));
        next = Some(index + 1);
    }
}

fn report(
    thing: &str,
    index: i64,
    width: i64,
    interval: &Interval,
    ports: Option<(&BTreeSet<u16>, &BTreeSet<u16>)>,
) -> DeviceReport {
    let at = Timestamp::from_millis(index.saturating_add(1).saturating_mul(width));
    let [bytes_out, bytes_in, packets_out, packets_in] = interval.sums.map(Some);
    let mut report = ReportBuf {
        // Agents count up with the time of day.
        report_id: at.secs().unsigned_abs(),
        bytes_in,
        bytes_out,
        packets_in,
        packets_out,
        ..ReportBuf::default()
    };
    if let Some((tcp, udp)) = ports {
        let listed = |ports: &BTreeSet<u16>| ports.iter().copied().take(LIST_ITEMS_MAX).collect();
        report.connections_total = u64::try_from(interval.established.len()).ok();
        report.has_remote_addresses = true;
        report.remote_addresses = interval.established.iter().copied().take(LIST_ITEMS_MAX).collect();
        (report.tcp_ports_total, report.udp_ports_total) =
            (u64::try_from(tcp.len()).ok(), u64::try_from(udp.len()).ok());
        (report.has_tcp_ports, report.tcp_ports) = (true, listed(tcp));
        (report.has_udp_ports, report.udp_ports) = (true, listed(udp));
    }
    DeviceReport { at, thing: thing.to_owned(), report }
}
