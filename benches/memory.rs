//! What a thing costs in memory: ten behaviors each, all with state.
//!
//! `cargo bench --bench memory [-- THINGS...]`. Prints the engine's own count and how much the
//! process has grown (which includes what the allocator wastes), both in bytes for each thing.

use std::{error::Error, io};

use detector::input::SourceId;
use fleet::{
    event::{Connect, Event, EventKind},
    report::ReportBuf,
    time::Timestamp,
};

mod support;
use support::rules;

#[expect(clippy::print_stdout, reason = "a program that prints its figures")]
fn main() -> Result<(), Box<dyn Error>> {
    let named: Vec<u32> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if let [things] = named[..] {
        let (engine, process) = measure(things)?;
        println!("| {things} | {} | {} |", engine / things as usize, process / things as usize);
        return Ok(());
    }
    println!("| things | engine, bytes each | process, bytes each |");
    println!("|---|---|---|");
    let counts = if named.is_empty() { vec![100_000, 1_000_000] } else { named };
    for things in counts {
        // A process of its own for each, so that none uses again what another let go.
        let status = std::process::Command::new(std::env::current_exe()?).arg(things.to_string()).status()?;
        if !status.success() {
            return Err("the measurement broke off".into());
        }
    }
    Ok(())
}

/// Bytes by the engine's count, and by which the process grew.
fn measure(things: u32) -> Result<(usize, usize), Box<dyn Error>> {
    let mut engine = rules::counting();
    let before = resident()?;
    let report = ReportBuf {
        report_id: 1,
        bytes_in: Some(1),
        bytes_out: Some(1),
        packets_in: Some(1),
        packets_out: Some(1),
        ..ReportBuf::default()
    };
    let at = Timestamp::from_secs(1_700_000_000);
    let mut seq = engine.seq();
    for thing in 0..things {
        let name = format!("device-{thing:09}");
        let client = name.as_str();
        let ip = Some(std::net::Ipv4Addr::from(0x0a00_0000 + thing).into());
        let identity = u64::from(thing) + 1;
        for kind in [
            EventKind::Connect(Connect { client, user: Some(client), ip, bridge: false }),
            EventKind::Publish { client, topic: "t", bytes: 100 },
            EventKind::Delivery { client, topic: "t", bytes: 100 },
            EventKind::Denied { client, action: fleet::event::Action::Publish, topic: "t" },
            EventKind::Report { thing: client, report: &report, identity },
        ] {
            seq += 1;
            engine.stage_event(seq, SourceId(1), at, &Event { at, kind });
        }
        if seq.is_multiple_of(1_000) {
            engine.flush(&mut |_| {});
        }
    }
    engine.flush(&mut |_| {});
    let after = resident()?;
    Ok((engine.memory(), after.saturating_sub(before)))
}

/// Bytes of this process in memory.
fn resident() -> io::Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0);
    Ok(pages * rustix::param::page_size())
}
