//! Who may do what on the embedded broker. Pure.

use std::collections::{HashMap, HashSet};

/// How a login ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// As a device.
    Device,
    /// As a service: may do everything.
    Service,
    /// Refused: nobody has this name and password.
    BadCredentials,
    /// Refused: the password is right, but the name may not connect so.
    NotAllowed,
}

/// A device as the broker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who<'a> {
    pub(super) client: &'a str,
    pub(super) user: Option<&'a str>,
}

/// Names, passwords, and who is in quarantine.
pub(super) struct Access {
    devices: HashMap<String, String>,
    services: HashMap<String, String>,
    report_prefix: String,
    /// Names in quarantine, as client id or user name. Bounded by the devices: only names of
    /// devices are taken in.
    quarantined: HashSet<String>,
}

impl Access {
    pub(super) fn new(
        devices: HashMap<String, String>,
        services: HashMap<String, String>,
        report_prefix: &str,
    ) -> Self {
        Self { devices, services, report_prefix: report_prefix.to_owned(), quarantined: HashSet::new() }
    }

    pub(super) fn login(&self, who: Who<'_>, password: &[u8]) -> Login {
        let Some(user) = who.user else { return Login::BadCredentials };
        if let Some(expected) = self.services.get(user) {
            return match expected.as_bytes() == password {
                true => Login::Service,
                false => Login::BadCredentials,
            };
        }
        match self.devices.get(user) {
            Some(expected) if expected.as_bytes() == password => {
                // Else a device could take another one's session with its own password.
                match user == who.client && !self.is_quarantined(who) {
                    true => Login::Device,
                    false => Login::NotAllowed,
                }
            }
            _ => Login::BadCredentials,
        }
    }

    /// How the right password of `user` would end, for the proof of a quarantine.
    pub(super) fn login_with_right_password(&self, who: Who<'_>) -> Login {
        let password = who.user.and_then(|user| self.devices.get(user)).map_or("", String::as_str);
        self.login(who, password.as_bytes())
    }

    pub(super) fn is_service(&self, user: Option<&str>) -> bool {
        user.is_some_and(|user| self.services.contains_key(user))
    }

    pub(super) fn is_device(&self, name: &str) -> bool {
        self.devices.contains_key(name)
    }

    pub(super) fn may_publish(&self, who: Who<'_>, topic: &str) -> bool {
        self.is_service(who.user) || (!self.is_quarantined(who) && self.is_own(who.client, topic))
    }

    pub(super) fn may_subscribe(&self, who: Who<'_>, filter: &str) -> bool {
        let shared_with_all = filter.starts_with("fleet/");
        self.is_service(who.user)
            || (!self.is_quarantined(who) && (shared_with_all || self.is_own(who.client, filter)))
    }

    /// `devices/CLIENT/…` and `PREFIX CLIENT/…`. A wildcard cannot stand for the name, since no
    /// device is called `+` or `#`, and what follows the name is the device's own affair.
    fn is_own(&self, client: &str, topic: &str) -> bool {
        let below = |prefix: &str| {
            topic
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix(client))
                .is_some_and(|rest| rest.starts_with('/'))
        };
        below("devices/") || below(&self.report_prefix)
    }

    pub(super) fn is_quarantined(&self, who: Who<'_>) -> bool {
        self.quarantined.contains(who.client) || who.user.is_some_and(|user| self.quarantined.contains(user))
    }

    pub(super) fn is_name_quarantined(&self, name: &str) -> bool {
        self.quarantined.contains(name)
    }

    /// Takes a device's name in. False if it is no device's.
    pub(super) fn quarantine(&mut self, name: &str) -> bool {
        let known = self.is_device(name);
        if known {
            self.quarantined.insert(name.to_owned());
        }
        known
    }

    pub(super) fn release(&mut self, name: &str) {
        self.quarantined.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let names = |list: &[(&str, &str)]| {
            list.iter().map(|(name, password)| ((*name).to_owned(), (*password).to_owned())).collect()
        };
        Access::new(names(&[("pump-1", "a"), ("pump-10", "b")]), names(&[("watch", "w")]), "$aws/things/")
    }

    fn who<'a>(client: &'a str, user: &'a str) -> Who<'a> {
        Who { client, user: Some(user).filter(|user| !user.is_empty()) }
    }

    #[test]
    fn logins() {
        let mut access = access();
        let cases = [
            ("pump-1", "pump-1", "a", Login::Device),
            ("pump-1", "pump-1", "b", Login::BadCredentials),
            ("pump-1", "pump-1", "", Login::BadCredentials),
            ("pump-1", "", "", Login::BadCredentials),
            ("pump-10", "pump-1", "a", Login::NotAllowed),
            ("anything", "watch", "w", Login::Service),
            ("anything", "watch", "x", Login::BadCredentials),
            ("x", "x", "x", Login::BadCredentials),
        ];
        for (client, user, password, expected) in cases {
            assert_eq!(access.login(who(client, user), password.as_bytes()), expected, "{client} {user}");
        }
        assert!(access.quarantine("pump-1"));
        assert_eq!(access.login(who("pump-1", "pump-1"), b"a"), Login::NotAllowed);
        assert_eq!(access.login(who("pump-1", "pump-1"), b"x"), Login::BadCredentials);
        assert_eq!(access.login_with_right_password(who("pump-10", "pump-10")), Login::Device);
        access.release("pump-1");
        assert_eq!(access.login(who("pump-1", "pump-1"), b"a"), Login::Device);
    }

    #[test]
    fn topics() {
        let mut access = access();
        let device = who("pump-1", "pump-1");
        let cases = [
            ("devices/pump-1/telemetry", true, true),
            ("devices/pump-1/#", true, true),
            ("devices/pump-10/telemetry", false, false),
            ("devices/pump-1", false, false),
            ("devices/+/telemetry", false, false),
            ("devices/#", false, false),
            ("#", false, false),
            ("fleet/news", false, true),
            ("$aws/things/pump-1/defender/metrics/json", true, true),
            ("$aws/things/pump-10/defender/metrics/json", false, false),
            ("", false, false),
        ];
        for (topic, publish, subscribe) in cases {
            assert_eq!(access.may_publish(device, topic), publish, "publish {topic}");
            assert_eq!(access.may_subscribe(device, topic), subscribe, "subscribe {topic}");
            assert!(
                access.may_publish(who("w", "watch"), topic)
                    && access.may_subscribe(who("w", "watch"), topic)
            );
        }
        access.quarantine("pump-1");
        for (topic, _, _) in cases {
            assert!(!access.may_publish(device, topic) && !access.may_subscribe(device, topic), "{topic}");
        }
    }

    #[test]
    fn only_devices_can_be_quarantined() {
        let mut access = access();
        assert!(!access.quarantine("watch") && !access.quarantine("nobody"));
        assert_eq!(access.login(who("w", "watch"), b"w"), Login::Service);
    }
}
