//! How long the analysis of 1,000 policies takes against fleets of 10,000, 100,000 and 1,000,000
//! things, and how much memory. Two threads share the policies.
//!
//! `cargo run --release -p audits --example policy_scale`
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]
#![expect(clippy::indexing_slicing, reason = "indices are taken modulo the length")]
#![expect(clippy::expect_used, clippy::panic, reason = "a measurement that fails says so and ends")]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use audits::policy::{
    blast::{Blast, Things, blast_radius},
    check::{Template, misconfigured, permissive},
    parse::aws,
};

const POLICIES: usize = 1_000;
const THREADS: usize = 2;
/// Fixed after the name, so that a wildcard before the end of the name has to be tried on each: a
/// `*` of AWS crosses `/`, and `devices/*-backup/up` covers topics of every thing.
const TEMPLATES: [&str; 3] =
    ["devices/{thing}/up", "devices/{thing}/in/cmd", "$aws/things/{thing}/shadow/update"];
const KINDS: [&str; 8] = ["cam", "pump", "valve", "meter", "gate", "lamp", "lift", "fan"];

fn main() {
    println!(
        "{:>9} things {:>6} policies: list s, analysis s (parse, both checks, blast radius), peak MiB",
        "", POLICIES
    );
    for count in [10_000, 100_000, 1_000_000] {
        let start = Instant::now();
        let things = Things::new(names(count));
        let listed = start.elapsed().as_secs_f64();
        let policies: Vec<String> = (0..POLICIES).map(policy).collect();
        let templates: Vec<Template> =
            TEMPLATES.iter().filter_map(|text| Template::parse(text).ok()).collect();
        let start = Instant::now();
        let (reached, findings) = analyse(&policies, &things, &templates);
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{count:>9} things {POLICIES:>6} policies: {listed:>6.3} s {seconds:>6.3} s {:>6} MiB; {findings} findings, {reached} readable or writable (thing, policy) pairs",
            peak_mib()
        );
    }
}

/// Names as fleets have them: kind, site, number, and for some a suffix.
fn names(count: usize) -> Vec<String> {
    let suffix = ["", "-a", "-b", "-backup"];
    (0..count)
        .map(|index| {
            let mixed = index.wrapping_mul(2_654_435_761) % 1_000_003;
            format!(
                "{}-site{:03}-{index:07}{}",
                KINDS[mixed % KINDS.len()],
                mixed / 7 % 400,
                suffix[mixed / 11 % suffix.len()]
            )
        })
        .collect()
}

/// Policies of ten shapes: own topics, a prefix, a site, lists, everything, wildcards before the end.
fn policy(index: usize) -> String {
    let arn = "arn:aws:iot:eu-west-1:123456789012";
    let (kind, site) = (KINDS[index % KINDS.len()], index % 400);
    let name = match index % 10 {
        0..=3 => "${iot:Connection.Thing.ThingName}".to_owned(),
        4 => format!("{kind}-*"),
        5 => format!("{kind}-site{site:03}-*"),
        6 => format!("{kind}-site{site:03}-{index:07}"),
        7 => format!("*-site{site:03}-*"),
        8 => format!("*{}-backup", index % 1_000),
        _ => "*".to_owned(),
    };
    let shadow = if matches!(index % 10, 7 | 8) { "${iot:Connection.Thing.ThingName}" } else { &name };
    let deny = if index.is_multiple_of(3) {
        format!(
            r#",{{"Effect":"Deny","Action":"iot:*","Resource":"{arn}:topic/devices/{kind}-site{site:03}-*"}}"#
        )
    } else {
        String::new()
    };
    format!(
        r#"{{"Version":"2012-10-17","Statement":[
{{"Effect":"Allow","Action":"iot:Connect","Resource":"{arn}:client/${{iot:Connection.Thing.ThingName}}"}},
{{"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":["{arn}:topic/devices/{name}/up","{arn}:topic/devices/{name}/in/*","{arn}:topic/$aws/things/{name}/shadow/*"]}},
{{"Effect":"Allow","Action":"iot:Subscribe","Resource":["{arn}:topicfilter/devices/{name}/in/*","{arn}:topicfilter/$aws/things/{name}/shadow/*"]}},
{{"Effect":"Allow","Action":["iot:GetThingShadow","iot:UpdateThingShadow"],"Resource":"{arn}:thing/{shadow}"}}{deny}]}}"#
    )
}

fn analyse(policies: &[String], things: &Things, templates: &[Template]) -> (usize, usize) {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut reached, mut findings) = (0, 0);
        while let Some(text) = policies.get(next.fetch_add(1, Ordering::Relaxed)) {
            let policy = aws::parse("policy", text);
            findings +=
                usize::from(permissive::audit(&policy).is_some()) + misconfigured::audit(&policy).len();
            let document = policy.document();
            for subject in &document.subjects {
                let Blast { read, write, .. } = blast_radius(&document, subject, things, templates);
                let of = |reached: Result<audits::policy::blast::Reached, _>| {
                    reached.map_or_else(|reason| panic!("{reason}: {text}"), |reached| reached.things)
                };
                reached += of(read) + of(write);
            }
        }
        (reached, findings)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"))
            .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    })
}

/// The most memory the process has held, from the kernel's account of it.
fn peak_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|kib| kib.split_whitespace().next()).and_then(|kib| kib.parse::<usize>().ok()).unwrap_or(0)
        / 1024
}
