//! End to end: devices, a real Mosquitto, `fleetward serve`, an alert receiver, on one machine.
//!
//! `cargo bench --bench load [-- --short]` prints:
//! - what Mosquitto passes on to one subscriber that only takes and acknowledges, and to one that
//!   also answers each report, as the protocol of device reports wants it;
//! - what Fleetward takes in without loss: messages sent until the last one is in the journal;
//! - CPU seconds of each process meanwhile, which tell who is the limit;
//! - the time from a device's offending report to the alarm at a webhook, and to the end of the
//!   device's session by the broker, at rest and at four fifths of what Mosquitto passes on to a
//!   subscriber that does nothing but answer.
//!
//! Needs mosquitto and mosquitto_ctrl. `FLEETWARD_BENCH_DIR` names a folder on the disk to use.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a program that measures and prints; it may stop anywhere"
)]

#[path = "../support/mod.rs"]
mod support;

mod broker;
mod engine;
mod traffic;
mod wire;

use std::{
    error::Error,
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use self::{
    broker::{Broker, cpu_of, until},
    engine::{Alarms, Fleetward},
    traffic::{Device, Plan, offending, publish, subscribe},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let short = std::env::args().any(|word| word == "--short");
    let (messages, samples) = if short { (20_000, 60) } else { (150_000, 300) };
    let parent = std::env::var_os("FLEETWARD_BENCH_DIR");
    let folder = parent.map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
    let dir = folder.path();
    let mut users: Vec<String> = (0..2 * samples).map(device).collect();
    users.push("load".into());
    let broker = broker::start(dir, &users)?;

    println!("| who | QoS | messages/s | CPU s: broker | subscriber | publishers |");
    println!("|---|---|---|---|---|---|");
    let mut alone = 0.0;
    for (qos, answers) in [(0, false), (0, true), (1, false), (1, true)] {
        alone = mosquitto_alone(&broker, qos, answers, messages)?;
    }
    let (webhook, alarms) = engine::receive()?;
    let fleetward = engine::start(dir, &broker, webhook)?;
    let mut sent = 0;
    for qos in [0, 1] {
        sent += with_fleetward(&broker, &fleetward, qos, messages, sent)?;
    }

    let devices: Vec<Device> = (0..2 * samples)
        .map(|number| Device::connect(broker.port, device(number)))
        .collect::<Result<_, _>>()?;
    until("fleetward has seen all devices connect", || fleetward.connects() >= 2 * samples as u64)?;
    let mut devices = devices.into_iter();
    let mut idle: Vec<Device> = Vec::new();
    idle.extend(devices.by_ref().take(samples));
    println!("\n| load | to the alarm, ms: p50 | p99 | to the quarantine, ms: p50 | p99 | max |");
    println!("|---|---|---|---|---|---|");
    offend("none", idle, &alarms, 0)?;
    let rate = alone * 0.8;
    let plan = Plan { port: broker.port, qos: 1, messages: u64::MAX, publishers: 1, rate: Some(rate) };
    let before = (broker.process.cpu(), fleetward.process.cpu(), cpu_of("self"), Instant::now());
    let load = publish(plan, 99, None)?;
    std::thread::sleep(Duration::from_secs(1));
    let title = format!("{rate:.0} messages/s, QoS 1");
    if let Err(error) = offend(&title, devices.collect(), &alarms, 1) {
        println!("| {title} | not sustained: {error} | | | | |");
    }
    let took = before.3.elapsed().as_secs_f64();
    sent += load.finish(true)?;
    let share = |now: Duration, then: Duration| (now.saturating_sub(then)).as_secs_f64() / took;
    println!(
        "\nunder load: {:.2} cores broker, {:.2} fleetward, {:.2} devices",
        share(broker.process.cpu(), before.0),
        share(fleetward.process.cpu(), before.1),
        share(cpu_of("self"), before.2),
    );
    let expected = sent + 2 * samples as u64;
    until("every report is in the journal", || fleetward.journaled() >= expected)?;
    println!("reports sent {expected}, in the journal {}", fleetward.journaled());
    Ok(())
}

fn device(number: usize) -> String {
    format!("dev-{number:05}")
}

/// Messages a second from the first sent to the last received.
fn mosquitto_alone(broker: &Broker, qos: u8, answers: bool, messages: u64) -> Outcome<f64> {
    let received = subscribe(broker.port, qos, answers)?;
    let plan = Plan { port: broker.port, qos, messages, publishers: 1, rate: None };
    let before = (broker.process.cpu(), cpu_of("self"), Instant::now());
    let publishing = publish(plan, u64::from(qos) + 2 * u64::from(answers), Some(&received))?;
    until("the subscriber has all", || received.load(Ordering::Relaxed) >= messages)?;
    let took = before.2.elapsed();
    publishing.finish(false)?;
    let rate = messages as f64 / took.as_secs_f64();
    let used = (broker.process.cpu() - before.0).as_secs_f64();
    let own = (cpu_of("self") - before.1).as_secs_f64();
    let title =
        if answers { "mosquitto and a subscriber that answers" } else { "mosquitto and a subscriber" };
    println!("| {title} | {qos} | {rate:.0} | {used:.2} | {own:.2}, with publishers | |");
    Ok(rate)
}

/// As [`mosquitto_alone`], until the last one is in the journal. Gives how many were sent.
fn with_fleetward(broker: &Broker, fleetward: &Fleetward, qos: u8, messages: u64, sent: u64) -> Outcome<u64> {
    let plan = Plan { port: broker.port, qos, messages, publishers: 1, rate: None };
    let before = (broker.process.cpu(), fleetward.process.cpu(), cpu_of("self"), Instant::now());
    let commits = fleetward.commits();
    let publishing = publish(plan, 10 + u64::from(qos), None)?;
    let all = sent + messages;
    until("every report is in the journal", || fleetward.journaled() >= all)?;
    let took = before.3.elapsed();
    publishing.finish(false)?;
    let rate = messages as f64 / took.as_secs_f64();
    println!(
        "| with fleetward | {qos} | {rate:.0} | {:.2} | {:.2} | {:.2} |",
        (broker.process.cpu() - before.0).as_secs_f64(),
        (fleetward.process.cpu() - before.1).as_secs_f64(),
        (cpu_of("self") - before.2).as_secs_f64(),
    );
    println!(
        "<!-- {} lost, {:.0} reports for each commit -->",
        all.saturating_sub(fleetward.journaled()),
        messages as f64 / (fleetward.commits() - commits).max(1) as f64
    );
    Ok(messages)
}

/// One device after the other offends, at uneven times.
fn offend(title: &str, devices: Vec<Device>, alarms: &Alarms, run: u64) -> Outcome<()> {
    let mut random = support::Lcg(3);
    let (mut to_alarm, mut to_quarantine) = (Vec::new(), Vec::new());
    for (number, device) in (run * 100_000..).zip(devices) {
        std::thread::sleep(Duration::from_millis(20 + random.below(60) as u64));
        let name = device.name.clone();
        let (sent, ended) =
            device.offend(&offending(number)).map_err(|error| format!("{name} was not cut off: {error}"))?;
        to_quarantine.push(ended - sent);
        let alarm = || alarms.lock().unwrap_or_else(PoisonError::into_inner).get(&name).copied();
        until("the alarm arrives", || alarm().is_some())?;
        to_alarm.push(alarm().map_or(Duration::ZERO, |at| at.saturating_duration_since(sent)));
    }
    let ms = |times: &mut Vec<Duration>, share: f64| {
        times.sort_unstable();
        times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3
    };
    println!(
        "| {title} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
        ms(&mut to_alarm, 0.5),
        ms(&mut to_alarm, 0.99),
        ms(&mut to_quarantine, 0.5),
        ms(&mut to_quarantine, 0.99),
        ms(&mut to_quarantine, 1.0),
    );
    Ok(())
}
