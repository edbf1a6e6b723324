//! Mosquitto 2.0 and 2.1. Facts: `broker-integration.md`, sections 2.1, 2.5, 2.7, 2.9 and 2.10.

mod access;
mod bridge;
pub mod conf;
pub(super) mod keys;
mod limits;
mod logging;
mod model;
mod secrets;
mod tls;

use fleet::problem::nearest;

use super::{
    file::{ConfigFile, Options},
    kind::{Kind, kind},
    note::{At, Notes},
    rule::{
        BROKER_BOUND_CHECK, BROKER_CONFIGURATION_INVALID_CHECK, BROKER_INCLUDE_MISSING_CHECK,
        BROKER_UNKNOWN_KEY_CHECK, Rule, System,
    },
};
use crate::policy::{form::ClientIds, parse};
use conf::Setting;
use model::Broker;

/// Files that configurations name at most; further ones are told as unknown.
const NAMED_MAX: usize = 10_000;

pub(super) fn audit(files: &[ConfigFile], options: &Options, notes: &mut Notes) {
    let mut password_files = Vec::new();
    for main in conf::mains(files) {
        let read = conf::read(files, main);
        let broker = model::build(&main.path, &read.settings);
        form(&broker, &read, files, notes);
        access::audit(&broker, notes);
        tls::audit(&broker, files, options, notes);
        bridge::audit(&broker, notes);
        limits::audit(&broker, notes);
        logging::audit(&broker, notes);
        secrets::audit(&broker, notes);
        let named = read.settings.iter().filter(|setting| setting.key == "password_file");
        password_files
            .extend(named.filter_map(|setting| conf::target(files, setting)).map(|file| &file.path));
    }
    for file in files {
        match kind(file) {
            Kind::MosquittoDynsec => secrets::dynsec(file, notes),
            Kind::MosquittoPasswords => secrets::passwords(file, notes),
            _ if password_files.contains(&&file.path) => secrets::passwords(file, notes),
            _ => {}
        }
    }
}

/// Whether every listener ties the client id to the credential, so that `%c` of an access list can be
/// trusted (`broker-integration.md`, section 2.5). Without a listener nothing is tied.
pub(super) fn client_ids(files: &[ConfigFile]) -> ClientIds {
    let mut any = false;
    for main in conf::mains(files) {
        let broker = model::build(&main.path, &conf::read(files, main).settings);
        for listener in &broker.listeners {
            if !listener.is_on("use_username_as_clientid") {
                return ClientIds::Free;
            }
            any = true;
        }
    }
    if any { ClientIds::Bound } else { ClientIds::Free }
}

/// Paths of the files that a configuration calls keys or lists of secrets.
pub(super) fn secret_files(files: &[ConfigFile]) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| kind(file) == Kind::MosquittoConf) {
        for setting in conf::settings(&file.path, &file.text()) {
            let is_key = matches!(setting.key.as_str(), "keyfile" | "bridge_keyfile");
            if is_key || matches!(setting.key.as_str(), "psk_file" | "password_file") {
                found.extend(conf::target(files, &setting).map(|target| (target.path.as_str(), is_key)));
            }
        }
    }
    found
}

/// Paths of all files that a configuration names, whatever for.
pub(super) fn named_files(files: &[ConfigFile]) -> Vec<&str> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| kind(file) == Kind::MosquittoConf) {
        for setting in conf::settings(&file.path, &file.text()) {
            let names = setting.key.ends_with("file")
                || setting.key.starts_with("plugin_opt")
                || setting.key.starts_with("auth_opt");
            if names && found.len() < NAMED_MAX {
                found.extend(conf::target(files, &setting).map(|target| target.path.as_str()));
            }
        }
    }
    found
}

fn told(notes: &mut Notes, rule: &'static Rule, at: &At, reason: String) {
    notes.told(rule, System::Mosquitto, at, reason);
}

/// A value as a message shows it, bounded and without control characters.
fn shown(text: &str) -> String {
    parse::shown(text)
}

/// What is not said in the broker's words, or not there.
fn form(broker: &Broker, read: &conf::Read, files: &[ConfigFile], notes: &mut Notes) {
    for setting in &broker.unknown {
        let near = nearest(&setting.key, keys::all());
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        told(
            notes,
            &BROKER_UNKNOWN_KEY_CHECK,
            &setting.at(),
            format!("Mosquitto has no setting `{}`{hint}", shown(&setting.key)),
        );
    }
    if let Some(at) = &read.cut {
        let reason =
            "too many settings, or folders within folders: what follows was not looked at".to_owned();
        told(notes, &BROKER_BOUND_CHECK, at, reason);
    }
    for setting in &read.missing {
        let reason = format!(
            "the folder `{}` is not among the files: what it says was not looked at",
            shown(&setting.value)
        );
        told(notes, &BROKER_INCLUDE_MISSING_CHECK, &setting.at(), reason);
    }
    for setting in &read.settings {
        let names_file = matches!(setting.key.as_str(), "password_file" | "acl_file" | "psk_file");
        if names_file && conf::target(files, setting).is_none() {
            let reason = format!(
                "`{} {}` is not among the files: it was not looked at",
                setting.key,
                shown(&setting.value)
            );
            told(notes, &BROKER_INCLUDE_MISSING_CHECK, &setting.at(), reason);
        }
    }
    let flags = [
        "allow_anonymous",
        "require_certificate",
        "per_listener_settings",
        "connection_messages",
        "persistence",
        "use_identity_as_username",
        "use_subject_as_username",
        "use_username_as_clientid",
        "bridge_insecure",
        "listener_allow_anonymous",
        "allow_zero_length_clientid",
    ];
    for setting in read
        .settings
        .iter()
        .filter(|setting| flags.contains(&setting.key.as_str()) && setting.flag().is_none())
    {
        let reason = format!(
            "`{} {}`: allowed are `true` and `false`; the broker does not start",
            setting.key,
            shown(&setting.value)
        );
        told(notes, &BROKER_CONFIGURATION_INVALID_CHECK, &setting.at(), reason);
    }
    if !broker.per_listener {
        for key in ["password_file", "acl_file", "psk_file"] {
            if let Some(again) = broker.global.iter().filter(|setting| setting.key == key).nth(1) {
                let reason = format!("`{key}` is given twice for all listeners; the broker does not start");
                told(notes, &BROKER_CONFIGURATION_INVALID_CHECK, &again.at(), reason);
            }
        }
    }
}

fn each(broker: &Broker) -> impl Iterator<Item = &Setting> {
    let sections = broker.listeners.iter().chain(&broker.bridges).flat_map(|section| &section.settings);
    broker.global.iter().chain(sections)
}
