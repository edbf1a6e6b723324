//! From a folder to a fleet: each file is recognised by its content, then by its name.

use std::fs;
use std::io;
use std::path::Path;

use audits::broker::{self, ConfigFile, Kind, kind};
use audits::certificate::load::{Loaded, load};
use audits::certificate::pem;
use audits::engine::{AccessList, Fleet, Policy};
use audits::policy::form::{Document, System};
use audits::policy::parse::{aws, dynsec, emqx, mosquitto, nats, rabbitmq, recognise};

use super::certificates::Gathered;
use super::deployments::{self, Broker};
use super::walk::{self, Entry, LeftOut};

/// Bytes at the beginning of a file in which a zero says that it is no text.
const TEXT_LOOK: usize = 8_192;
/// Bytes of policies and of brokers' files that are kept together; what comes after is left out and told.
const KEPT_BYTES_MAX: usize = 1 << 30;
/// Names of files that hold a certificate or CRL, even if it cannot be read.
const CERTIFICATE_NAMES: [&str; 6] = [".der", ".crt", ".cer", ".crl", ".pem", ".cert"];

/// What was read of a folder.
#[derive(Debug, Default)]
pub struct Reading {
    /// The fleet, without what no file says.
    pub fleet: Fleet,
    /// How many files were looked at.
    pub files: usize,
    /// How many certificates.
    pub certificates: usize,
    /// How many CRLs.
    pub lists: usize,
    /// How many private and public keys; they are not looked at but for their permission bits.
    pub keys: usize,
    /// Certificates and CRLs that are there twice.
    pub repeated: usize,
    /// What was not looked at.
    pub left_out: LeftOut,
}

/// How a folder is read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seconds since 1970.
    pub now: i64,
    /// Whether permission bits are those of the broker's host.
    pub with_modes: bool,
}

#[derive(Debug, Default)]
struct Files {
    certificates: Gathered,
    brokers: Vec<ConfigFile>,
    lists: Vec<(System, String, String)>,
    policies: Vec<Policy>,
    others: Vec<Entry>,
    kept_bytes: usize,
}

/// Reads everything below `root`; `progress` is told how many of how many files are done.
///
/// # Errors
/// When `root` cannot be read. What is wrong with a file in it is told in [`Reading::left_out`].
pub fn read(root: &Path, options: Options, progress: &mut dyn FnMut(usize, usize)) -> io::Result<Reading> {
    let mut reading = Reading::default();
    let entries = walk::files(root, &mut reading.left_out)?;
    reading.files = entries.len();
    let mut files = Files::default();
    for (index, entry) in entries.into_iter().enumerate() {
        match fs::read(&entry.path) {
            Ok(bytes) => one(entry, bytes, options, &mut files, &mut reading),
            Err(error) => reading.left_out.add(&entry.shown, format!("cannot be read: {error}")),
        }
        progress(index + 1, reading.files);
    }
    (reading.certificates, reading.lists) = files.certificates.counts();
    reading.repeated = files.certificates.repeated;
    let not_validated = files.certificates.not_validated;
    if not_validated > 0 {
        reading
            .left_out
            .add("certificates", format!("paths and moduli of {not_validated} were not looked at"));
    }
    let brokers = deployments::group(files.brokers, &files.others, options.with_modes);
    reading.fleet = Fleet {
        now: options.now,
        certificates: files.certificates.finish(options.now),
        policies: files.policies,
        access: files.lists.into_iter().map(|list| access(list, &brokers)).collect(),
        deployments: brokers.into_iter().map(|broker| broker.deployment).collect(),
        ..Fleet::default()
    };
    Ok(reading)
}

/// Puts one file where it belongs.
fn one(entry: Entry, bytes: Vec<u8>, options: Options, files: &mut Files, reading: &mut Reading) {
    let name = entry.shown.to_ascii_lowercase();
    let is_named = CERTIFICATE_NAMES.iter().any(|end| name.ends_with(end));
    if pem::is_pem(&bytes) || bytes.first() == Some(&0x30) {
        if certificates(&entry.shown, &bytes, is_named, files, reading) {
            files.others.push(entry);
            return;
        }
    } else if is_named && !bytes.is_empty() && !is_text(&bytes) {
        load(&entry.shown, &bytes).into_iter().for_each(|loaded| files.certificates.add(loaded));
        return;
    }
    if !is_text(&bytes) {
        reading.left_out.add(&entry.shown, "not recognised: no text, certificate or CRL");
        files.others.push(entry);
        return;
    }
    if files.kept_bytes + bytes.len() > KEPT_BYTES_MAX {
        reading.left_out.add(&entry.shown, format!("more than {KEPT_BYTES_MAX} bytes of configuration"));
        return;
    }
    let size = bytes.len();
    let mode = entry.mode.filter(|_| options.with_modes);
    let file = ConfigFile { path: entry.shown.clone(), bytes, mode, owner: None };
    let text = String::from_utf8_lossy(&file.bytes).into_owned();
    let kind = kind(&file);
    let system = if kind == Kind::MosquittoAcl { Some(System::MosquittoAcl) } else { recognise(&text) };
    match (system, kind) {
        (Some(System::AwsIot), _) => {
            let policy = aws::parse(&entry.shown, &text);
            files.policies.push(Policy { policy, holders: Vec::new() });
            files.kept_bytes += size;
            return;
        }
        (Some(system), _) => files.lists.push((system, entry.shown.clone(), text)),
        (None, Kind::Unknown) => {
            reading.left_out.add(&entry.shown, "not recognised: no certificate, policy or broker's file");
            files.others.push(entry);
            return;
        }
        (None, _) => {}
    }
    files.kept_bytes += size;
    if kind != Kind::Unknown {
        files.brokers.push(file);
    }
}

/// Takes the certificates of a file; whether it was a file of certificates or keys at all.
fn certificates(shown: &str, bytes: &[u8], is_named: bool, files: &mut Files, reading: &mut Reading) -> bool {
    let loaded = load(shown, bytes);
    let readable = |one: &Loaded| !matches!(one, Loaded::Unreadable(_));
    if !pem::is_pem(bytes) && !loaded.iter().any(readable) && (!is_named || is_key(bytes)) {
        reading.keys += usize::from(is_key(bytes));
        return is_key(bytes);
    }
    for one in loaded {
        match &one {
            Loaded::Other { label, .. } if label.contains("KEY") || label.contains("PARAMETERS") => {
                reading.keys += 1;
            }
            Loaded::Other { place, label } => {
                reading.left_out.add(place, format!("a block `{label}` is not looked at"));
            }
            _ => files.certificates.add(one),
        }
    }
    true
}

/// A private key in DER: a SEQUENCE that begins with the version 0 (PKCS #1, PKCS #8) or 1 and the
/// octets of the key (RFC 5915).
fn is_key(bytes: &[u8]) -> bool {
    let content = match bytes {
        [0x30, 0x82, _, _, rest @ ..] | [0x30, 0x81, _, rest @ ..] | [0x30, 0..=0x7f, rest @ ..] => rest,
        _ => return false,
    };
    content.starts_with(&[2, 1, 0]) || content.starts_with(&[2, 1, 1, 4])
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().take(TEXT_LOOK).any(|byte| *byte == 0)
}

/// An access list with the broker that it belongs to.
fn access((system, shown, text): (System, String, String), brokers: &[Broker]) -> AccessList {
    let mut document = document(system, &shown, &text);
    let broker = brokers.iter().position(|broker| broker.has_configuration && broker.holds(&shown));
    if let Some(broker) = broker.and_then(|index| brokers.get(index)) {
        document.client_ids = broker::client_ids(&broker.deployment.files);
    }
    AccessList { document, text, deployment: broker }
}

fn document(system: System, shown: &str, text: &str) -> Document {
    match system {
        System::AwsIot => aws::parse(shown, text).document(),
        System::MosquittoAcl => mosquitto::parse(shown, text),
        System::MosquittoDynsec => dynsec::parse(shown, text),
        System::RabbitMq => rabbitmq::parse(shown, text),
        System::Emqx => emqx::parse(shown, text, emqx::NoMatch::default()),
        System::Nats => nats::parse(shown, text),
    }
}
