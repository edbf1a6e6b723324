//! RabbitMQ 3 and 4 with the MQTT plugin: `rabbitmq.conf` with the files of `conf.d`, definitions,
//! `enabled_plugins`, `rabbitmq-env.conf`, `.erlang.cookie`. `advanced.config` is recognised and not
//! read, which is told.

mod access;
mod definitions;
mod limits;
mod listeners;
pub(super) mod rules;
mod tls;

use std::collections::BTreeMap;

use super::{
    file::ConfigFile,
    flat::{self, Flat},
    kind::{Kind, kind},
    note::{At, Notes},
    rule::{BROKER_FILE_NOT_READ_CHECK, BROKER_INCLUDE_MISSING_CHECK, Rule, System},
    tree::Reading,
};
use crate::{finding::Severity, policy::parse::shown};

/// What one broker's files say.
#[derive(Debug, Default)]
struct Broker<'f> {
    conf: Flat,
    /// Plug-ins that `enabled_plugins` lists; `None` without such a file.
    plugins: Option<String>,
    /// `rabbitmq-env.conf`.
    env: Option<&'f ConfigFile>,
    /// Whether definitions are among the files, and whether they have a user `guest`.
    guest: Option<bool>,
}

impl Broker<'_> {
    /// Whether the plug-in is on: listed, or its settings are there and no list is.
    fn uses(&self, plugin: &str, prefix: &str) -> bool {
        match &self.plugins {
            Some(plugins) => {
                plugins.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|name| name == plugin)
            }
            None => self.conf.has_below(prefix),
        }
    }

    fn uses_mqtt(&self) -> bool {
        self.uses("rabbitmq_mqtt", "mqtt.") || self.uses("rabbitmq_web_mqtt", "web_mqtt.")
    }
}

pub(super) fn audit(files: &[ConfigFile], notes: &mut Notes) {
    let of = |wanted: Kind| files.iter().filter(move |file| kind(file) == wanted);
    let mut guest = None;
    for file in of(Kind::RabbitMqDefinitions) {
        let has_guest = definitions::audit(file, notes);
        guest = Some(guest.unwrap_or(false) || has_guest);
    }
    for file in of(Kind::RabbitMqAdvanced) {
        let reason =
            "Erlang terms, which are not read here: what they say overrides `rabbitmq.conf`".to_owned();
        told(notes, &BROKER_FILE_NOT_READ_CHECK, &At::file(&file.path), reason);
    }
    for file in of(Kind::ErlangCookie) {
        access::cookie(&At { file: file.path.clone(), line: 1, column: 1 }, file.text().trim(), notes);
    }
    let plugins = of(Kind::RabbitMqPlugins).next().map(ConfigFile::text);
    let env = of(Kind::RabbitMqEnv).next();
    if let Some(env) = env {
        access::environment(env, notes);
    }
    for group in groups(files).into_values() {
        let conf = flat::read(&group, &mut Reading::new(files, notes, System::RabbitMq));
        let broker = Broker { conf, plugins: plugins.clone(), env, guest };
        form(&broker, files, notes);
        access::audit(&broker, notes);
        listeners::audit(&broker, notes);
        tls::audit(&broker, notes);
        limits::audit(&broker, notes);
    }
}

/// The configuration files of each broker, as it reads them: `rabbitmq.conf`, then `conf.d` by name.
fn groups(files: &[ConfigFile]) -> BTreeMap<&str, Vec<&ConfigFile>> {
    let mut groups = BTreeMap::<&str, Vec<&ConfigFile>>::new();
    for file in files.iter().filter(|file| kind(file) == Kind::RabbitMqConf) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = folder.strip_suffix("conf.d").map_or(folder, |outer| outer.trim_end_matches('/'));
        groups.entry(folder).or_default().push(file);
    }
    for group in groups.values_mut() {
        group.sort_by_key(|file| (file.name() != "rabbitmq.conf", file.path.as_str()));
    }
    groups
}

/// Files that the configuration names and nobody gave.
fn form(broker: &Broker<'_>, files: &[ConfigFile], notes: &mut Notes) {
    for key in ["load_definitions", "management.load_definitions", "definitions.local.path"] {
        let Some(setting) = broker.conf.get(key) else { continue };
        if super::file::named(files, &setting.value).is_none() {
            let reason =
                format!("`{key} = {}` is not among the files: it was not looked at", shown(&setting.value));
            told(notes, &BROKER_INCLUDE_MISSING_CHECK, &setting.at(), reason);
        }
    }
}

fn told(notes: &mut Notes, rule: &'static Rule, at: &At, reason: String) {
    notes.told(rule, System::RabbitMq, at, reason);
}

fn add(notes: &mut Notes, rule: &'static Rule, severity: Severity, at: &At, reason: String) {
    notes.add(rule, severity, System::RabbitMq, at.clone(), reason);
}
