//! EMQX: configurations of 5 (HOCON) and of 3 and 4 (lines), and `acl.conf`.
//!
//! What EMQX takes from the environment (`EMQX_…`), from the dashboard or from a file that is not
//! given, is not seen: such a value may be other than said here.

mod access;
mod five;
mod four;
pub(super) mod hocon;
mod listeners;
mod model;
pub(super) mod rules;

use std::collections::BTreeMap;

use super::{
    file::{ConfigFile, included},
    flat,
    kind::{Kind, kind},
    note::{At, Notes},
    rule::{Rule, System},
    tree::Reading,
};
use crate::{finding::Severity, policy::parse::emqx::NoMatch};
use model::Broker;

pub(super) fn audit(files: &[ConfigFile], notes: &mut Notes) {
    let brokers = brokers(files, notes);
    for broker in &brokers {
        listeners::audit(broker, notes);
        access::audit(broker, notes);
    }
    for file in files.iter().filter(|file| kind(file) == Kind::EmqxAcl) {
        access::rules_of(file, notes);
    }
}

/// What the configuration says of topics that no rule names: for `policy::parse::emqx`.
pub(super) fn no_match(files: &[ConfigFile]) -> NoMatch {
    let brokers = brokers(files, &mut Notes::default());
    let denies = |broker: &Broker| broker.no_match.text() == Some("deny");
    let mut saying = brokers.iter().filter(|broker| broker.whole || !broker.no_match.is_unset()).peekable();
    if saying.peek().is_some() && saying.all(denies) { NoMatch::Deny } else { NoMatch::Allow }
}

fn brokers(files: &[ConfigFile], notes: &mut Notes) -> Vec<Broker> {
    let mut brokers = Vec::new();
    let included = included(files, Kind::EmqxConf);
    for group in groups(files, Kind::EmqxConf).into_values() {
        let whole = group.iter().any(|file| file.name().starts_with("emqx"));
        let mut reading = Reading::new(files, notes, System::Emqx);
        let mains: Vec<&ConfigFile> = group
            .iter()
            .copied()
            .filter(|file| !included.iter().any(|other| other.path == file.path))
            .collect();
        if !mains.is_empty() {
            brokers.push(five::build(&hocon::read(&mains, &mut reading), whole));
        }
    }
    // Each `emqx….conf` of 3 and 4 is a broker's; files of plug-ins stand for themselves.
    for file in files.iter().filter(|file| kind(file) == Kind::EmqxFlat) {
        let flat = flat::read(&[file], &mut Reading::new(files, notes, System::Emqx));
        brokers.push(four::build(&flat));
    }
    brokers
}

/// Files of one folder belong together: `cluster.hocon`, then `emqx.conf`, which overrides it.
fn groups(files: &[ConfigFile], wanted: Kind) -> BTreeMap<&str, Vec<&ConfigFile>> {
    let mut groups = BTreeMap::<&str, Vec<&ConfigFile>>::new();
    for file in files.iter().filter(|file| kind(file) == wanted) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        groups.entry(folder).or_default().push(file);
    }
    for group in groups.values_mut() {
        group.sort_by_key(|file| (file.name() == "emqx.conf", file.path.as_str()));
    }
    groups
}

fn told(notes: &mut Notes, rule: &'static Rule, at: &At, reason: String) {
    notes.told(rule, System::Emqx, at, reason);
}

fn add(notes: &mut Notes, rule: &'static Rule, severity: Severity, at: &At, reason: String) {
    notes.add(rule, severity, System::Emqx, at.clone(), reason);
}
