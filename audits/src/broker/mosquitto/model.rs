//! Which setting counts for which listener (`mosquitto.conf(5)`, `config__read` and
//! `listeners__start` of 2.0).
//!
//! - Before the first `listener`, settings of listeners belong to the default listener, which exists
//!   if one of them is given; with no listener at all the broker is bound to loopback alone.
//! - Without `per_listener_settings true`, security settings count for all listeners, wherever they
//!   stand, the last one of a truth value.
//! - With it, they count for the listener they follow, the default listener if there is none; those
//!   that stand before `per_listener_settings true` itself count for none, which is kept in `lost`.

use super::{super::note::At, conf::Setting, keys};

/// A listener or bridge with its settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub(super) at: At,
    /// Port, or name of the bridge.
    pub(super) name: String,
    pub(super) address: String,
    pub(super) settings: Vec<Setting>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Broker {
    pub(super) main: String,
    pub(super) listeners: Vec<Section>,
    pub(super) bridges: Vec<Section>,
    pub(super) global: Vec<Setting>,
    pub(super) per_listener: bool,
    /// Nothing says where to listen.
    pub(super) local_only: bool,
    pub(super) unknown: Vec<Setting>,
    /// Security settings before `per_listener_settings true`.
    pub(super) lost: Vec<Setting>,
}

pub(super) fn last<'s>(settings: &'s [Setting], key: &str) -> Option<&'s Setting> {
    settings.iter().rev().find(|setting| setting.key == key)
}

pub(super) fn is_on(settings: &[Setting], key: &str) -> bool {
    last(settings, key).and_then(Setting::flag) == Some(true)
}

impl Section {
    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        last(&self.settings, key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some_and(|setting| !setting.value.is_empty())
    }

    pub(super) fn is_on(&self, key: &str) -> bool {
        is_on(&self.settings, key)
    }

    pub(super) fn is_websockets(&self) -> bool {
        self.get("protocol").is_some_and(|setting| setting.value == "websockets")
    }

    /// Whether others than programs of the same host can connect.
    pub(super) fn is_reachable(&self) -> bool {
        let loopback = self.address == "localhost"
            || self.address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let interface = self.get("bind_interface").is_some_and(|setting| setting.value == "lo");
        self.name != "0" && !loopback && !interface
    }

    pub(super) fn has_certificate(&self) -> bool {
        self.has("certfile") && self.has("keyfile")
    }

    pub(super) fn has_tls(&self) -> bool {
        self.has_certificate() || self.has("psk_hint")
    }

    pub(super) fn identity(&self) -> Option<&Setting> {
        let on = |key| self.get(key).filter(|setting| setting.flag() == Some(true));
        on("use_identity_as_username").or_else(|| on("use_subject_as_username"))
    }

    pub(super) fn shown(&self) -> String {
        let kind = if self.is_websockets() { "websockets listener" } else { "listener" };
        format!("the {kind} on port {}", self.name)
    }
}

impl Broker {
    /// The last setting of a security key that counts for the listener.
    pub(super) fn security<'s>(&'s self, listener: &'s Section, key: &str) -> Option<&'s Setting> {
        last(if self.per_listener { &listener.settings } else { &self.global }, key)
    }

    /// Plug-ins that decide about the listener's clients.
    pub(super) fn plugins<'s>(&'s self, listener: &'s Section) -> impl Iterator<Item = &'s Setting> {
        let own = if self.per_listener { &listener.settings } else { &self.global };
        let is_plugin = |setting: &&Setting| {
            matches!(setting.key.as_str(), "plugin" | "auth_plugin" | "global_plugin" | "plugin_load")
        };
        let also = self.global.iter().filter(|_| self.per_listener);
        own.iter().chain(also).filter(is_plugin)
    }

    pub(super) fn is_anonymous<'s>(&'s self, listener: &'s Section) -> Option<&'s Setting> {
        if let Some(own) = listener.get("listener_allow_anonymous") {
            return Some(own).filter(|setting| setting.flag() == Some(true));
        }
        let on = |setting: &&Setting| setting.flag() == Some(true);
        if self.per_listener {
            return listener.get("allow_anonymous").filter(on);
        }
        last(&self.global, "allow_anonymous").filter(on)
    }

    pub(super) fn reachable(&self) -> impl Iterator<Item = &Section> {
        self.listeners.iter().filter(|listener| listener.is_reachable())
    }
}

/// Distributes the settings.
pub(super) fn build(main: &str, settings: &[Setting]) -> Broker {
    let per_listener = is_on(settings, "per_listener_settings");
    let mut broker = Broker { main: main.to_owned(), per_listener, ..Broker::default() };
    let mut default = Section { name: "1883".into(), ..Section::default() };
    let mut split = false;
    for setting in settings {
        let key = setting.key.as_str();
        match key {
            "per_listener_settings" => split = setting.flag() == Some(true),
            "listener" => broker.listeners.push(listener(setting)),
            "connection" => broker.bridges.push(Section {
                at: setting.at(),
                name: setting.value.clone(),
                ..Section::default()
            }),
            "port" => default.name.clone_from(&setting.value),
            "bind_address" => default.address.clone_from(&setting.value),
            _ => {}
        }
        let of_listener = keys::LISTENER.contains(&key) || (split && keys::SECURITY.contains(&key));
        if of_listener {
            let is_default = matches!(key, "port" | "bind_address");
            let to = if is_default { None } else { broker.listeners.last_mut() };
            to.unwrap_or(&mut default).settings.push(setting.clone());
        } else if keys::BRIDGE.contains(&key) {
            if let Some(bridge) = broker.bridges.last_mut() {
                bridge.settings.push(setting.clone());
            }
        } else if per_listener && keys::SECURITY.contains(&key) {
            broker.lost.push(setting.clone());
        } else if keys::is_known(key) {
            broker.global.push(setting.clone());
        } else {
            broker.unknown.push(setting.clone());
        }
    }
    broker.local_only = broker.listeners.is_empty() && !default.has("port") && !default.has("bind_address");
    if !broker.local_only && makes_default(&default) {
        default.at = default.get("port").or(default.settings.first()).map(Setting::at).unwrap_or_default();
        broker.listeners.insert(0, default);
    }
    broker
}

fn listener(setting: &Setting) -> Section {
    let mut words = setting.value.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (name, address) = (word(), word());
    Section { at: setting.at(), name, address, settings: Vec::new() }
}

/// The settings for which the broker opens its default listener beside others.
fn makes_default(default: &Section) -> bool {
    const KEYS: [&str; 14] = [
        "port",
        "bind_address",
        "cafile",
        "capath",
        "certfile",
        "keyfile",
        "ciphers",
        "ciphers_tls1.3",
        "psk_hint",
        "crlfile",
        "mount_point",
        "socket_domain",
        "password_file",
        "psk_file",
    ];
    let flags = [
        "require_certificate",
        "use_identity_as_username",
        "use_subject_as_username",
        "use_username_as_clientid",
    ];
    KEYS.iter().any(|key| default.has(key))
        || flags.iter().any(|key| default.is_on(key))
        || default.is_websockets()
        || default.get("max_connections").is_some_and(|setting| setting.value != "-1")
        || default.get("allow_zero_length_clientid").and_then(Setting::flag) == Some(false)
}
