//! How fast certificates are read and judged, and what a million of them cost.
//!
//! `cargo run --release -p audits --example certificate_speed [--features openssl] -- DIR [COUNT]`
//!
//! `DIR` holds device certificates as `.der` files (10,000 of them, 4 of 5 P-256, 1 of 5 RSA-2048,
//! are made by `x509_bench.py gen`); `COUNT` is the size of the simulated fleet, 1,000,000 unless
//! given. With the feature `openssl`, OpenSSL parses the same files in the same run; without
//! `DIR`, only the fleet is measured.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program for developers")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use audits::certificate::facts::{Facts, Reader};
use audits::certificate::id::{Fingerprint, Serial};
use audits::certificate::lists::WeakKeys;
use audits::certificate::name_rule::NameRule;
use audits::certificate::parameters::Parameters;
use audits::certificate::run::{Selection, audit};
use audits::certificate::shared_primes;
use audits::certificate::view::{PathState, Registered, Session, Status, View};
use rustix::time::{ClockId, clock_gettime};

/// 2025-06-01, as the Python peer has it.
const NOW: i64 = 1_748_736_000;
const ROUNDS: usize = 5;

/// CPU seconds of this process, both cores together.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Median of the CPU seconds of a few rounds.
fn measure<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = cpu();
            black_box(work());
            cpu() - start
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.get(1).map_or(1_000_000, |count| count.parse().unwrap());
    if let Some(folder) = arguments.first() {
        files(Path::new(folder));
    }
    fleet(count);
    moduli();
}

fn files(folder: &Path) {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let ders: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let bytes: usize = ders.iter().map(Vec::len).sum();
    println!(
        "{} files, {} bytes on average; certificates per CPU second, median of {ROUNDS}",
        ders.len(),
        bytes / ders.len()
    );
    let line = |what: &str, seconds: f64| {
        let rate = ders.len() as f64 / seconds;
        println!("  {what:<44} {rate:>9.0}   {:>6.2} us each", 1e6 / rate);
    };
    line("facts and all checks", measure(|| judge(&ders)));
    line("  facts alone (parse, hashes, key examined)", measure(|| read(&ders)));
    line(
        "  parse in place alone",
        measure(|| {
            ders.iter().filter(|der| audits::certificate::parse::Certificate::parse(der).is_ok()).count()
        }),
    );
    for (what, rsa) in [("  facts of the RSA certificates", true), ("  facts of the others", false)] {
        let part: Vec<&Vec<u8>> = ders.iter().filter(|der| (der.len() > 600) == rsa).collect();
        let seconds = measure(|| {
            let mut reader = Reader::default();
            part.iter().map(|der| reader.read(der).unwrap()).filter(|facts| facts.key.bits == 2048).count()
        });
        let rate = part.len() as f64 / seconds;
        println!("  {what:<44} {rate:>9.0}   {:>6.2} us each", 1e6 / rate);
    }
    line(
        "x509-parser 0.18, parse alone",
        measure(|| ders.iter().filter(|der| x509_parser::parse_x509_certificate(der).is_ok()).count()),
    );
    #[cfg(feature = "openssl")]
    {
        println!("  {}", openssl::version::version());
        line(
            "OpenSSL, d2i_X509 alone",
            measure(|| ders.iter().filter(|der| openssl::x509::X509::from_der(der).is_ok()).count()),
        );
        line(
            "OpenSSL, parse, key, names, SHA-256",
            measure(|| ders.iter().map(|der| openssl_facts(der)).sum::<usize>()),
        );
    }
}

fn read(ders: &[Vec<u8>]) -> Vec<Facts> {
    let mut reader = Reader::default();
    ders.iter().map(|der| reader.read(der).unwrap()).collect()
}

fn judge(ders: &[Vec<u8>]) -> usize {
    let devices: Vec<Registered> = read(ders).into_iter().map(registered).collect();
    let weak_keys = WeakKeys::default();
    let view = view(&devices, &weak_keys, &[]);
    audit(&view, &Parameters::default(), Selection::all()).hits().len()
}

#[cfg(feature = "openssl")]
fn openssl_facts(der: &[u8]) -> usize {
    let certificate = openssl::x509::X509::from_der(der).unwrap();
    let names = certificate.subject_alt_names().map_or(0, |names| names.len());
    let subject: usize = certificate.subject_name().entries().map(|entry| entry.data().len()).sum();
    let digest = certificate.digest(openssl::hash::MessageDigest::sha256()).unwrap();
    usize::try_from(certificate.public_key().unwrap().bits()).unwrap() + names + subject + digest.len()
}

fn registered(facts: Facts) -> Registered {
    Registered {
        facts,
        status: Status::Active,
        active_since: NOW - 86_400,
        things: Box::default(),
        path: PathState::Accepted,
    }
}

fn view<'v>(devices: &'v [Registered], weak_keys: &'v WeakKeys, sessions: &'v [Session]) -> View<'v> {
    View {
        now: NOW,
        devices,
        authorities: &[],
        intermediates: &[],
        lists: &[],
        sessions,
        unreadable: &[],
        weak_keys,
        shared_primes: &[],
    }
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0 / 1_048_576.0
}

/// Facts made directly: names, serials and keys of their own, twenty issuers, and a little of
/// everything that the checks notice (one in fifty).
fn fleet(count: usize) {
    let base = base();
    let authorities: Vec<_> = (0..20)
        .map(|number| {
            let mut authority = (*base.authority).clone();
            authority.name = format!("CN=Device CA {number},O=Acme").into();
            Arc::new(authority)
        })
        .collect();
    let before = resident();
    let devices: Vec<Registered> = (0..count).map(|index| device(&base, &authorities, index)).collect();
    let sessions: Vec<Session> = (0..count / 10).map(|index| session(index, count)).collect();
    let heap: usize = devices.iter().map(|device| device.facts.heap_bytes()).sum();
    println!(
        "{count} facts: {} bytes each in place and {} behind; resident {:.0} MiB with names of things and {} sessions",
        size_of::<Facts>(),
        heap / count,
        resident() - before,
        sessions.len()
    );
    let weak_keys = WeakKeys::default();
    let view = view(&devices, &weak_keys, &sessions);
    let mut parameters = Parameters::default();
    parameters.name_rules.push(NameRule::parse("cn=${thing}").unwrap());
    let start = std::time::Instant::now();
    let before = resident();
    let found = audit(&view, &parameters, Selection::all());
    println!(
        "  all checks: {:.2} s on one core, {} findings, {:.1} MiB of them, resident {:+.0} MiB",
        start.elapsed().as_secs_f64(),
        found.hits().len(),
        found.heap_bytes() as f64 / 1_048_576.0,
        resident() - before
    );
}

fn base() -> Facts {
    let mut parameters = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let mut issuer = rcgen::CertificateParams::new(Vec::new()).unwrap();
    issuer.distinguished_name.push(rcgen::DnType::OrganizationName, "Acme");
    let issuer = rcgen::Issuer::new(issuer, rcgen::KeyPair::generate().unwrap());
    let der = parameters.signed_by(&key, &issuer).unwrap().der().to_vec();
    Reader::default().read(&der).unwrap()
}

fn device(
    base: &Facts,
    authorities: &[Arc<audits::certificate::facts::Authority>],
    index: usize,
) -> Registered {
    let name = format!("thing-{index:07}");
    let mut facts = base.clone().named(&format!("CN={name}"), &[&format!("DNS:{name}.devices.example.com")]);
    let bytes = (index as u64).to_be_bytes();
    facts.sha256 = Fingerprint::of(&bytes);
    facts.spki_sha256 = Fingerprint::of(&[&[1], &bytes[..]].concat());
    facts.serial = Serial::of(&facts.sha256.0[..16]);
    facts.authority = Arc::clone(&authorities[index % authorities.len()]);
    facts.not_before = NOW - 86_400 * 100;
    facts.not_after = NOW + 86_400 * if index.is_multiple_of(50) { 10 } else { 1000 };
    if index % 500 == 1 {
        facts.spki_sha256 = Fingerprint([7; 32]);
    }
    let mut device = registered(facts);
    device.things = Box::new([name.into()]);
    device
}

fn session(index: usize, count: usize) -> Session {
    Session {
        certificate: u32::try_from(index * 7 % count).unwrap(),
        client: format!("thing-{index:07}").into(),
        connected: 0,
        disconnected: None,
    }
}

/// Shared primes among random odd numbers of 2,048 bits. Most have small factors, which the pass has to
/// find as well; keys of a fleet have none, so that this is the worse case.
fn moduli() {
    for count in [1_000_usize, 10_000, 65_536] {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let moduli: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let mut modulus: Vec<u8> = (0..32).flat_map(|_| random().to_be_bytes()).collect();
                modulus[0] |= 0x80;
                modulus[255] |= 1;
                modulus
            })
            .collect();
        let borrowed: Vec<&[u8]> = moduli.iter().map(Vec::as_slice).collect();
        let start = cpu();
        let before = resident();
        let found = shared_primes::find(&borrowed);
        println!(
            "shared primes, {count} moduli of 2048 bits: {:.1} CPU s, {} examined, resident {:+.0} MiB",
            cpu() - start,
            found.examined,
            resident() - before
        );
    }
}
