//! Which configuration files belong to one broker.
//!
//! A broker is the topmost folder that holds a file of one, with everything below it. If at most one
//! such folder holds a configuration itself (not only an access or password list), all files are of one
//! broker: a copy of `/etc` and `/var/lib`, say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use audits::broker::{ConfigFile, Kind, kind};
use audits::engine::Deployment;

use super::walk::Entry;

/// Files besides the configuration's own (certificates, keys) that are given to the rules of one
/// broker; further ones are left out.
const NAMED_MAX: usize = 1_000;
/// Largest of them.
const NAMED_BYTES_MAX: u64 = 4 << 20;
/// Bytes of such files of all brokers together; further ones are as if they were not there.
const NAMED_BYTES_ALL_MAX: usize = 256 << 20;

/// A broker, and whether its configuration is among its files.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) deployment: Deployment,
    pub(super) has_configuration: bool,
    /// Folder, empty for the root; `None`: files from everywhere.
    folder: Option<String>,
}

impl Broker {
    /// Whether a file by this name belongs to it.
    pub(super) fn holds(&self, shown: &str) -> bool {
        match self.folder.as_deref() {
            None | Some("") => true,
            Some(folder) => shown.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
        }
    }
}

/// Groups the files of brokers; `others` are all other files that were read.
pub(super) fn group(files: Vec<ConfigFile>, others: &[Entry], with_modes: bool) -> Vec<Broker> {
    let folders: BTreeSet<String> = files.iter().map(|file| folder(&file.path).to_owned()).collect();
    let mut groups: BTreeMap<String, Vec<ConfigFile>> = BTreeMap::new();
    for file in files {
        groups.entry(topmost(&file.path, &folders).to_owned()).or_default().push(file);
    }
    let configured: Vec<String> = groups
        .iter()
        .filter(|(_, files)| files.iter().any(is_configuration))
        .map(|(folder, _)| folder.clone())
        .collect();
    let mut brokers: Vec<Broker> = if configured.len() <= 1 && groups.len() > 1 {
        let name = configured.first().cloned().unwrap_or_default();
        vec![broker(None, &name, groups.into_values().flatten().collect())]
    } else {
        groups.into_iter().map(|(folder, files)| broker(Some(folder.clone()), &folder, files)).collect()
    };
    let mut room = NAMED_BYTES_ALL_MAX;
    brokers.iter_mut().for_each(|broker| named(broker, others, with_modes, &mut room));
    brokers
}

fn broker(folder: Option<String>, name: &str, mut files: Vec<ConfigFile>) -> Broker {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let has_configuration = files.iter().any(is_configuration);
    let name = if name.is_empty() { "." } else { name }.to_owned();
    Broker { deployment: Deployment { name, files }, has_configuration, folder }
}

fn is_configuration(file: &ConfigFile) -> bool {
    !matches!(
        kind(file),
        Kind::MosquittoPasswords | Kind::MosquittoAcl | Kind::MosquittoDynsec | Kind::Unknown
    )
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The topmost folder on the way to a file that is one of `folders`.
fn topmost<'p>(path: &'p str, folders: &BTreeSet<String>) -> &'p str {
    let whole = folder(path);
    let ends = std::iter::once(0).chain(whole.match_indices('/').map(|(at, _)| at));
    ends.filter_map(|end| whole.get(..end)).find(|folder| folders.contains(*folder)).unwrap_or(whole)
}

/// Adds the files that a configuration names: certificates, keys, lists of any form.
fn named(broker: &mut Broker, others: &[Entry], with_modes: bool, room: &mut usize) {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for file in broker.deployment.files.iter().filter(|file| is_configuration(file)) {
        let text = String::from_utf8_lossy(&file.bytes);
        let words = text.split(|c: char| c.is_whitespace() || "\"',;=".contains(c));
        let last = words.filter_map(|word| word.rsplit(['/', '\\']).next());
        names.extend(last.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    let is_named = |entry: &&Entry| {
        let name = entry.shown.rsplit('/').next().unwrap_or_default();
        broker.holds(&entry.shown) && names.contains(name)
    };
    let mut added = Vec::new();
    for entry in others.iter().filter(is_named).take(NAMED_MAX) {
        let small = fs::metadata(&entry.path).is_ok_and(|metadata| metadata.len() <= NAMED_BYTES_MAX);
        // A file that cannot be read any more is as one that is not there.
        if small
            && let Ok(bytes) = fs::read(&entry.path)
            && let Some(left) = room.checked_sub(bytes.len())
        {
            *room = left;
            let mode = entry.mode.filter(|_| with_modes);
            added.push(ConfigFile { path: entry.shown.clone(), bytes, mode, owner: None });
        }
    }
    broker.deployment.files.extend(added);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], expected: &[(&str, usize, bool)]) {
        let file = |path: &&str| {
            let text = if path.ends_with("acl") { "topic read a/#\n" } else { "listener 1883\n" };
            ConfigFile { path: (*path).to_owned(), bytes: text.into(), ..ConfigFile::default() }
        };
        let brokers = group(paths.iter().map(file).collect(), &[], false);
        let seen: Vec<_> = brokers
            .iter()
            .map(|broker| (&*broker.deployment.name, broker.deployment.files.len(), broker.has_configuration))
            .collect();
        assert_eq!(seen, expected, "{paths:?}");
    }

    #[test]
    fn files_of_one_broker_are_found_by_their_folders() {
        check(&[], &[]);
        check(&["mosquitto.conf", "conf.d/a.conf", "acl"], &[(".", 3, true)]);
        check(&["etc/m.conf", "var/acl"], &[("etc", 2, true)]);
        check(&["a/m.conf", "a/conf.d/b.conf", "b/m.conf", "b/acl"], &[("a", 2, true), ("b", 2, true)]);
        check(&["a/m.conf", "ab/m.conf"], &[("a", 1, true), ("ab", 1, true)]);
        check(&["x/acl", "y/acl"], &[(".", 2, false)]);
    }
}
