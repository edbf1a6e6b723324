//! What an audit of a large fleet takes: every check over 10,000, 100,000 and 1,000,000 things, each with
//! a certificate, and 1,000 policies; with an access list, two brokers, sessions, uses and displaced client ids.
//!
//! `cargo run --release -p audits --example audit_scale [-- COUNT...]`
//!
//! Each size runs in a process of its own, since the peak of memory is that of the process.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]
#![expect(clippy::indexing_slicing, reason = "indices are taken modulo the length")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails says so and ends")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use audits::broker::ConfigFile;
use audits::catalogue::checks;
use audits::certificate::facts::{Authority, Facts, Reader};
use audits::certificate::id::{Fingerprint, Serial};
use audits::certificate::name_rule::NameRule;
use audits::certificate::view::{PathState, Registered, Session, Status};
use audits::engine::{
    AccessList, Certificates, Control, Deployment, Displaced, Fleet, Logging, Options, Policy, run,
};
use audits::policy::blast::Things;
use audits::policy::check::Template;
use audits::policy::form::Action;
use audits::policy::least::{Principal, Use};
use audits::policy::parse::{aws, mosquitto};

/// 2026-06-01.
const NOW: i64 = 1_780_272_000;
const POLICIES: usize = 1_000;
const KINDS: [&str; 8] = ["cam", "pump", "valve", "meter", "gate", "lamp", "lift", "fan"];
/// Set in the process that measures.
const ONE: &str = "--one";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(ONE) => measure(arguments[1].parse().unwrap()),
        _ => {
            println!("things, certificates; seconds to make, seconds of the audit; findings; peak MiB");
            let given: Vec<usize> = arguments.iter().map(|count| count.parse().unwrap()).collect();
            let counts = if given.is_empty() { vec![10_000, 100_000, 1_000_000] } else { given };
            for count in counts {
                let program = std::env::current_exe().unwrap();
                let ended = Command::new(program).args([ONE, &count.to_string()]).status().unwrap();
                assert!(ended.success(), "{count} things ended with {ended}");
            }
        }
    }
}

fn measure(count: usize) {
    let start = Instant::now();
    let fleet = fleet(count);
    let made = start.elapsed().as_secs_f64();
    let mut options = Options {
        checks: Some(checks().into_iter().map(|info| info.name.into_owned()).collect()),
        ..Options::default()
    };
    options.parameters.name_rules.push(NameRule::parse("cn=${thing}").unwrap());
    let cancel = AtomicBool::new(false);
    let start = Instant::now();
    let run = run(&fleet, &options, Control { cancel: &cancel, progress: &|_| {} });
    let seconds = start.elapsed().as_secs_f64();
    let findings: usize = run.checks.iter().map(|check| check.findings.len()).sum();
    let statistics = &run.task_statistics;
    assert_eq!(statistics.failed_checks + statistics.canceled_checks, 0);
    println!(
        "{count:>9} things and certificates, {POLICIES} policies: {made:>6.2} s to make, {seconds:>6.2} s for {} checks ({} without data), {findings} findings, peak {} MiB",
        statistics.total_checks,
        statistics.waiting_for_data_collection_checks,
        peak_mib()
    );
}

fn fleet(count: usize) -> Fleet {
    let base = base();
    let authorities: Vec<Arc<Authority>> = (0..20)
        .map(|number| {
            let mut authority = (*base.authority).clone();
            authority.name = format!("CN=Device CA {number},O=Acme").into();
            Arc::new(authority)
        })
        .collect();
    let certificates = Certificates {
        devices: (0..count).map(|index| device(&base, &authorities, index)).collect(),
        sessions: Some((0..count / 10).map(|index| session(index, count)).collect()),
        shared_primes: Some(Vec::new()),
        ..Certificates::default()
    };
    let acl = "user backend\ntopic readwrite devices/#\n\npattern readwrite devices/%u/#\n";
    let conf = "listener 8883\ncertfile c\nkeyfile k\nallow_anonymous false\npassword_file p\nacl_file acl\n";
    let file = |path: &str, text: &str| ConfigFile {
        path: path.into(),
        bytes: text.into(),
        ..ConfigFile::default()
    };
    let deployment = |name: &str| Deployment {
        name: name.into(),
        files: vec![file(&format!("{name}/mosquitto.conf"), conf), file(&format!("{name}/acl"), acl)],
    };
    let mut fleet = Fleet {
        now: NOW,
        certificates,
        policies: (0..POLICIES)
            .map(|index| Policy {
                policy: aws::parse(&format!("p{index}"), &policy(index)),
                holders: Vec::new(),
            })
            .collect(),
        access: vec![AccessList {
            document: mosquitto::parse("a/acl", acl),
            text: acl.into(),
            deployment: Some(0),
        }],
        deployments: vec![deployment("a"), deployment("b")],
        things: Some(Things::new((0..count).map(name).collect())),
        displaced: Some((count as u64, (0..count / 1000).map(displaced).collect())),
        uses: Some((0..20).map(used).collect()),
        logging: Some(Logging { account: "plant".into(), is_on: true }),
        ..Fleet::default()
    };
    fleet.known.templates =
        ["devices/{thing}/up", "devices/{thing}/in/cmd"].map(|text| Template::parse(text).unwrap()).to_vec();
    fleet
}

/// Names as fleets have them: kind, site, number.
fn name(index: usize) -> String {
    let mixed = index.wrapping_mul(2_654_435_761) % 1_000_003;
    format!("{}-site{:03}-{index:07}", KINDS[mixed % KINDS.len()], mixed / 7 % 400)
}

fn base() -> Facts {
    let mut parameters = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let mut issuer = rcgen::CertificateParams::new(Vec::new()).unwrap();
    issuer.distinguished_name.push(rcgen::DnType::OrganizationName, "Acme");
    let issuer = rcgen::Issuer::new(issuer, rcgen::KeyPair::generate().unwrap());
    let der = parameters.signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec();
    Reader::default().read(&der).unwrap()
}

/// One in fifty expires soon, and some share a key.
fn device(base: &Facts, authorities: &[Arc<Authority>], index: usize) -> Registered {
    let name = name(index);
    let mut facts = base.clone().named(&format!("CN={name}"), &[&format!("DNS:{name}.devices.example.com")]);
    let bytes = (index as u64).to_be_bytes();
    facts.sha256 = Fingerprint::of(&bytes);
    facts.spki_sha256 = Fingerprint::of(&[&[1], &bytes[..]].concat());
    if index % 500 == 1 {
        facts.spki_sha256 = Fingerprint([7; 32]);
    }
    facts.serial = Serial::of(&facts.sha256.0[..16]);
    facts.authority = Arc::clone(&authorities[index % authorities.len()]);
    facts.not_before = NOW - 86_400 * 100;
    facts.not_after = NOW + 86_400 * if index.is_multiple_of(50) { 10 } else { 1000 };
    Registered {
        facts,
        status: Status::Active,
        active_since: NOW - 86_400 * if index.is_multiple_of(100) { 400 } else { 1 },
        things: Box::new([name.into()]),
        path: PathState::Accepted,
    }
}

fn session(index: usize, count: usize) -> Session {
    let certificate = u32::try_from(index * 7 % count).unwrap();
    Session { certificate, client: name(index).into(), connected: 0, disconnected: None }
}

fn displaced(index: usize) -> Displaced {
    let at = i64::try_from(index).unwrap();
    Displaced { client: name(index * 500).into(), principal: Some(name(index).into()), at }
}

fn used(index: usize) -> Use {
    let principal = Principal { thing: Some(name(index)), user: Some(name(index)), ..Principal::default() };
    Use { principal, action: Action::Publish, name: format!("devices/{}/up", name(index)), count: 9 }
}

/// Policies of several shapes: own topics, a prefix, a site, one thing, wildcards before the end, everything.
fn policy(index: usize) -> String {
    let arn = "arn:aws:iot:eu-west-1:123456789012";
    let (kind, site) = (KINDS[index % KINDS.len()], index % 400);
    let name = match index % 10 {
        0..=4 => "${iot:Connection.Thing.ThingName}".to_owned(),
        5 => format!("{kind}-*"),
        6 => format!("{kind}-site{site:03}-*"),
        7 => format!("{kind}-site{site:03}-{index:07}"),
        8 => format!("*-site{site:03}-*"),
        _ => "*".to_owned(),
    };
    format!(
        r#"{{"Version":"2012-10-17","Statement":[
{{"Effect":"Allow","Action":"iot:Connect","Resource":"{arn}:client/${{iot:Connection.Thing.ThingName}}"}},
{{"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":["{arn}:topic/devices/{name}/up","{arn}:topic/devices/{name}/in/*"]}},
{{"Effect":"Allow","Action":"iot:Subscribe","Resource":"{arn}:topicfilter/devices/{name}/in/*"}},
{{"Effect":"Deny","Action":"iot:Subscribe","Resource":"{arn}:topicfilter/devices/secret/*"}}]}}"#
    )
}

/// The most memory the process has held, from the kernel's account of it.
fn peak_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|kib| kib.split_whitespace().next()).and_then(|kib| kib.parse::<usize>().ok()).unwrap_or(0)
        / 1024
}
