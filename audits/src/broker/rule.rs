//! The rules: what they notice, why it matters, what to do.

use crate::{
    catalogue::{Basis, CheckInfo, CodeInfo, Room},
    finding::Severity,
};

/// Whose configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Of any broker.
    Any,
    /// Mosquitto.
    Mosquitto,
    /// RabbitMQ with the MQTT plugin.
    RabbitMq,
    /// EMQX.
    Emqx,
    /// NATS server.
    Nats,
}

impl System {
    /// As reports name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Mosquitto => "mosquitto",
            Self::RabbitMq => "rabbitmq",
            Self::Emqx => "emqx",
            Self::Nats => "nats",
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name of the check.
    pub name: &'static str,
    /// Severity of its worst finding.
    pub severity: Severity,
    /// Reason code.
    pub code: &'static str,
    /// What it notices.
    pub notices: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// References.
    pub references: &'static str,
}

impl From<&'static Rule> for CheckInfo {
    fn from(rule: &'static Rule) -> Self {
        let logging = rule.name == LOGGING_DISABLED_CHECK.name;
        Self {
            name: rule.name.into(),
            severity: rule.severity,
            basis: if logging { Basis::Aws } else { Basis::Ours },
            room: if logging { Room::Logging } else { Room::BrokerConfiguration },
            default_on: true,
            codes: vec![CodeInfo { code: rule.code.into(), text: rule.notices.into() }],
            parameters: Vec::new(),
            notices: rule.notices.into(),
            why: rule.why.into(),
            remedy: rule.remedy.into(),
            references: rule.references.into(),
        }
    }
}

/// The rules of one broker: name, severity, reason code, what it notices, why, remedy, references; and
/// the table `RULES` of them, by name.
macro_rules! rules {
    ($($name:ident, $severity:ident, $code:literal, $notices:literal, $why:literal, $remedy:literal,
       $references:literal;)*) => {
        $(pub(in crate::broker) static $name: Rule = Rule {
            name: stringify!($name),
            severity: crate::finding::Severity::$severity,
            code: $code,
            notices: $notices,
            why: $why,
            remedy: $remedy,
            references: $references,
        };)*
        pub(in crate::broker) static RULES: [&Rule; [$(stringify!($name)),*].len()] = [$(&$name),*];
    };
}
pub(in crate::broker) use rules;

pub(super) static BROKER_ACL_MISSING_CHECK: Rule = Rule {
    name: "BROKER_ACL_MISSING_CHECK",
    severity: Severity::High,
    code: "ACL_MISSING",
    notices: "a listener that others can reach has nothing that decides about topics",
    why: "any client that is let in reads and commands the whole fleet",
    remedy: "set `acl_file`, or use the dynamic-security plug-in",
    references: "mosquitto.conf(5) acl_file; broker-integration.md 2.10",
};
pub(super) static BROKER_ANONYMOUS_ACCESS_CHECK: Rule = Rule {
    name: "BROKER_ANONYMOUS_ACCESS_CHECK",
    severity: Severity::Critical,
    code: "ANONYMOUS_ACCESS",
    notices: "a listener that others can reach asks for no identity",
    why: "anybody can read what devices say and command them",
    remedy: "set `allow_anonymous false` and give each device a certificate or a password",
    references: "mosquitto.conf(5) allow_anonymous; MQTT 5.0 section 5.4.1",
};
pub(super) static BROKER_BOUND_CHECK: Rule = Rule {
    name: "BROKER_BOUND_CHECK",
    severity: Severity::Medium,
    code: "BOUND",
    notices: "a file is larger, deeper or has more values than is looked at",
    why: "what lies beyond the bound is not audited",
    remedy: "divide it, or leave out what is generated",
    references: "docs/broker-checks.md",
};
pub(super) static BROKER_BRIDGE_UNVERIFIED_CHECK: Rule = Rule {
    name: "BROKER_BRIDGE_UNVERIFIED_CHECK",
    severity: Severity::High,
    code: "BRIDGE_UNVERIFIED",
    notices: "a bridge accepts any certificate of the other side",
    why: "somebody between reads and changes everything that crosses",
    remedy: "set `bridge_insecure false` and `bridge_cafile`",
    references: "mosquitto.conf(5) bridge_insecure; RFC 9525",
};
pub(super) static BROKER_BRIDGE_WIDE_CHECK: Rule = Rule {
    name: "BROKER_BRIDGE_WIDE_CHECK",
    severity: Severity::Medium,
    code: "BRIDGE_WIDE",
    notices: "a bridge takes every topic from the other side",
    why: "whoever holds the other broker commands the devices here",
    remedy: "name the topics that cross, with a prefix for the other side",
    references: "mosquitto.conf(5) topic",
};
pub(super) static BROKER_BRIDGE_WITHOUT_TLS_CHECK: Rule = Rule {
    name: "BROKER_BRIDGE_WITHOUT_TLS_CHECK",
    severity: Severity::High,
    code: "BRIDGE_IN_CLEAR",
    notices: "a bridge to another host has no TLS",
    why: "its credentials and all that crosses can be read on the way",
    remedy: "set `bridge_cafile`, and port 8883",
    references: "mosquitto.conf(5) bridge_cafile; RFC 9325",
};
pub(super) static BROKER_CERTIFICATE_DATES_CHECK: Rule = Rule {
    name: "BROKER_CERTIFICATE_DATES_CHECK",
    severity: Severity::High,
    code: "DATES_NOT_CHECKED",
    notices: "certificates that have run out are accepted",
    why: "a certificate that was replaced works for ever",
    remedy: "remove `disable_client_cert_date_checks`",
    references: "mosquitto.conf(5) of 2.1; RFC 5280 section 6.1.3",
};
pub(super) static BROKER_CERTIFICATE_IDENTITY_CHECK: Rule = Rule {
    name: "BROKER_CERTIFICATE_IDENTITY_CHECK",
    severity: Severity::Medium,
    code: "IDENTITY_NOT_USED",
    notices: "a certificate is required, but gives no name",
    why: "one stolen certificate goes with any user name; the access rules bind nobody",
    remedy: "set `use_identity_as_username true` or `use_subject_as_username true`",
    references: "mosquitto.conf(5) use_identity_as_username; broker-integration.md 2.7",
};
pub(super) static BROKER_CERTIFICATE_REVOCATION_CHECK: Rule = Rule {
    name: "BROKER_CERTIFICATE_REVOCATION_CHECK",
    severity: Severity::Medium,
    code: "REVOCATION",
    notices: "revoked certificates are accepted, or the list of them is unreadable or runs out",
    why: "a stolen device stays welcome; with a list that has run out nobody is let in",
    remedy: "set `crlfile` on each listener that requires certificates, and renew it long before its next update",
    references: "mosquitto.conf(5) crlfile; RFC 5280 section 5; broker-integration.md 2.7",
};
pub(super) static BROKER_CLIENT_CERTIFICATE_CHECK: Rule = Rule {
    name: "BROKER_CLIENT_CERTIFICATE_CHECK",
    severity: Severity::Low,
    code: "CLIENT_CERTIFICATE_NOT_REQUIRED",
    notices: "a TLS listener asks clients for no certificate",
    why: "a device is then known by a password alone, which can be copied",
    remedy: "set `require_certificate true`, `cafile` and `use_identity_as_username true`",
    references: "mosquitto.conf(5) require_certificate",
};
pub(super) static BROKER_CLIENT_ID_EMPTY_CHECK: Rule = Rule {
    name: "BROKER_CLIENT_ID_EMPTY_CHECK",
    severity: Severity::Low,
    code: "CLIENT_ID_EMPTY",
    notices: "clients without an id of their own are accepted",
    why: "what such a client did cannot be followed from one connection to the next",
    remedy: "set `allow_zero_length_clientid false`",
    references: "mosquitto.conf(5) allow_zero_length_clientid; MQTT 5.0 section 3.1.3.1",
};
pub(super) static BROKER_CLIENT_ID_FREE_CHECK: Rule = Rule {
    name: "BROKER_CLIENT_ID_FREE_CHECK",
    severity: Severity::Medium,
    code: "CLIENT_ID_FREE",
    notices: "client ids are not tied to credentials",
    why: "one valid credential is enough to throw out any device, again and again",
    remedy: "set `use_username_as_clientid true` or `clientid_prefixes`, or ids in dynamic security",
    references: "mosquitto.conf(5) use_username_as_clientid; broker-integration.md 2.5",
};
pub(super) static BROKER_CONFIGURATION_INVALID_CHECK: Rule = Rule {
    name: "BROKER_CONFIGURATION_INVALID_CHECK",
    severity: Severity::Medium,
    code: "INVALID",
    notices: "a value that the broker refuses",
    why: "a broker that does not come back after a restart",
    remedy: "correct it",
    references: "mosquitto.conf(5); the configuration manuals of RabbitMQ, EMQX and NATS",
};
pub(super) static BROKER_CREDENTIALS_MISSING_CHECK: Rule = Rule {
    name: "BROKER_CREDENTIALS_MISSING_CHECK",
    severity: Severity::Medium,
    code: "CREDENTIALS_MISSING",
    notices: "a listener asks for an identity and has nothing to check it against",
    why: "nobody can log in; the usual repair is to let everybody in",
    remedy: "set `password_file`, a plug-in, or certificates as identity",
    references: "mosquitto.conf(5) password_file",
};
pub(super) static BROKER_FILE_MODE_CHECK: Rule = Rule {
    name: "BROKER_FILE_MODE_CHECK",
    severity: Severity::High,
    code: "FILE_MODE",
    notices: "a file with secrets is readable by everybody on the host, or a file is writable by everybody",
    why: "any program on the host takes the identity of the broker or lets itself in",
    remedy: "`chmod 640`, owned by root, group of the broker",
    references: "mosquitto.conf(5) keyfile; mosquitto_passwd(1)",
};
pub(super) static BROKER_FILE_NOT_READ_CHECK: Rule = Rule {
    name: "BROKER_FILE_NOT_READ_CHECK",
    severity: Severity::Low,
    code: "NOT_READ",
    notices: "a file whose form is known and not read here",
    why: "what it says is not audited, though the broker obeys it",
    remedy: "look at it by hand; move to `rabbitmq.conf` what can stand there",
    references: "RabbitMQ Configuration guide, advanced.config",
};
pub(super) static BROKER_FILE_UNKNOWN_CHECK: Rule = Rule {
    name: "BROKER_FILE_UNKNOWN_CHECK",
    severity: Severity::Low,
    code: "UNKNOWN_FILE",
    notices: "a file of no form that is known here",
    why: "if a broker obeys it, what it says is not audited",
    remedy: "leave it out, or name it as the broker does (`mosquitto.conf`, `rabbitmq.conf`, `emqx.conf`, `nats-server.conf`)",
    references: "docs/broker-checks.md",
};
pub(super) static BROKER_INCLUDE_MISSING_CHECK: Rule = Rule {
    name: "BROKER_INCLUDE_MISSING_CHECK",
    severity: Severity::Low,
    code: "NOT_LOOKED_AT",
    notices: "a file or folder that the configuration names is not among the files",
    why: "what it says is not audited",
    remedy: "give it to the audit too",
    references: "mosquitto.conf(5) include_dir; HOCON, include; NATS documentation, include",
};
pub(super) static BROKER_KEEP_ALIVE_CHECK: Rule = Rule {
    name: "BROKER_KEEP_ALIVE_CHECK",
    severity: Severity::Medium,
    code: "KEEP_ALIVE",
    notices: "clients may do without a keep-alive",
    why: "a device that is gone counts as connected, and keeps its resources",
    remedy: "set `max_keepalive` to an hour or less",
    references: "mosquitto.conf(5) max_keepalive; MQTT 5.0 section 3.1.2.10",
};
pub(super) static BROKER_LIMITS_CHECK: Rule = Rule {
    name: "BROKER_LIMITS_CHECK",
    severity: Severity::Low,
    code: "LIMITS_MISSING",
    notices: "no limit for connections, the size of messages, or what waits for a client",
    why: "one client can use up the broker's memory",
    remedy: "set `max_connections`, `max_packet_size`, `max_queued_messages`, `max_inflight_messages`",
    references: "mosquitto.conf(5)",
};
pub(super) static BROKER_LISTENER_SCOPE_CHECK: Rule = Rule {
    name: "BROKER_LISTENER_SCOPE_CHECK",
    severity: Severity::Medium,
    code: "SCOPE",
    notices: "a setting counts for other listeners than it looks",
    why: "a listener that was thought closed is open",
    remedy: "set `per_listener_settings true` before all security settings and repeat them for each listener; in 2.1 use `listener_allow_anonymous`",
    references: "mosquitto.conf(5) per_listener_settings",
};
pub(super) static BROKER_LISTENER_WITHOUT_TLS_CHECK: Rule = Rule {
    name: "BROKER_LISTENER_WITHOUT_TLS_CHECK",
    severity: Severity::High,
    code: "LISTENER_IN_CLEAR",
    notices: "a listener that others can reach has no TLS, websockets too",
    why: "passwords and messages can be read and changed on the way",
    remedy: "set `certfile` and `keyfile`, or bind it to 127.0.0.1",
    references: "mosquitto.conf(5) certfile; RFC 9325",
};
pub(super) static BROKER_PASSWORD_HASH_CHECK: Rule = Rule {
    name: "BROKER_PASSWORD_HASH_CHECK",
    severity: Severity::High,
    code: "PASSWORD_HASH",
    notices: "a password is kept as plain text or with a weak hash",
    why: "whoever gets the file has the passwords",
    remedy: "set it anew with `mosquitto_passwd` of 2.1, or `-I` with at least 1000 rounds",
    references: "mosquitto_passwd(1); RFC 8018 section 4.2; broker-integration.md 2.9",
};
pub(super) static BROKER_PERSISTENCE_CHECK: Rule = Rule {
    name: "BROKER_PERSISTENCE_CHECK",
    severity: Severity::Low,
    code: "PERSISTENCE_OFF",
    notices: "the broker's state is not kept over a restart",
    why: "messages that were acknowledged to a device are lost",
    remedy: "set `persistence true` and `persistence_location`",
    references: "mosquitto.conf(5) persistence",
};
pub(super) static BROKER_PLUGIN_SPECIAL_CHARS_CHECK: Rule = Rule {
    name: "BROKER_PLUGIN_SPECIAL_CHARS_CHECK",
    severity: Severity::Medium,
    code: "SPECIAL_CHARACTERS",
    notices: "names with wildcards reach a plug-in's rules",
    why: "a client named `#` may match the rules of all",
    remedy: "remove `auth_plugin_deny_special_chars false`",
    references: "mosquitto.conf(5) auth_plugin_deny_special_chars; CVE-2017-7650",
};
pub(super) static BROKER_PLUGIN_UNKNOWN_CHECK: Rule = Rule {
    name: "BROKER_PLUGIN_UNKNOWN_CHECK",
    severity: Severity::Low,
    code: "PLUGIN_UNKNOWN",
    notices: "a plug-in whose decisions are not known here",
    why: "what it lets in is not audited",
    remedy: "audit it by its own configuration",
    references: "mosquitto.conf(5) plugin",
};
pub(super) static BROKER_PROXY_PROTOCOL_CHECK: Rule = Rule {
    name: "BROKER_PROXY_PROTOCOL_CHECK",
    severity: Severity::Medium,
    code: "PROXY_PROTOCOL",
    notices: "a listener that others can reach takes the client's address from the client",
    why: "bans and findings by address hit whom the attacker wants",
    remedy: "bind it to where only the proxy can reach it",
    references: "mosquitto.conf(5) of 2.1, enable_proxy_protocol; broker-integration.md 2.3",
};
pub(super) static BROKER_ROOT_USER_CHECK: Rule = Rule {
    name: "BROKER_ROOT_USER_CHECK",
    severity: Severity::High,
    code: "RUNS_AS_ROOT",
    notices: "the broker keeps the rights of root",
    why: "a fault in the broker gives away the host",
    remedy: "set `user mosquitto`",
    references: "mosquitto.conf(5) user",
};
pub(super) static BROKER_SECRET_IN_CONFIGURATION_CHECK: Rule = Rule {
    name: "BROKER_SECRET_IN_CONFIGURATION_CHECK",
    severity: Severity::Medium,
    code: "SECRET_IN_CONFIGURATION",
    notices: "a password or token stands in the configuration",
    why: "configurations are copied and shared where secrets are not",
    remedy: "keep it in a file of its own that only the broker reads",
    references: "CWE-260",
};
pub(super) static BROKER_TLS_CIPHERS_CHECK: Rule = Rule {
    name: "BROKER_TLS_CIPHERS_CHECK",
    severity: Severity::Medium,
    code: "WEAK_CIPHERS",
    notices: "broken ciphers, or ones without secrecy, are offered",
    why: "what is sent can be read or changed",
    remedy: "remove `ciphers`, or name those with AEAD and ECDHE",
    references: "RFC 7465; RFC 9325 section 4",
};
pub(super) static BROKER_TLS_VERSION_CHECK: Rule = Rule {
    name: "BROKER_TLS_VERSION_CHECK",
    severity: Severity::High,
    code: "OLD_TLS",
    notices: "TLS below 1.2 is accepted",
    why: "TLS 1.0 and 1.1 are forbidden since 2021",
    remedy: "set `tls_version tlsv1.2` (the least that is accepted)",
    references: "RFC 8996; broker-integration.md 2.7",
};
pub(super) static BROKER_UNKNOWN_KEY_CHECK: Rule = Rule {
    name: "BROKER_UNKNOWN_KEY_CHECK",
    severity: Severity::Low,
    code: "UNKNOWN_KEY",
    notices: "a setting that the broker does not know",
    why: "the broker does not start, or a protection is not what it looks like",
    remedy: "correct its name",
    references: "mosquitto.conf(5)",
};
pub(super) static BROKER_VALUE_UNRESOLVED_CHECK: Rule = Rule {
    name: "BROKER_VALUE_UNRESOLVED_CHECK",
    severity: Severity::Low,
    code: "UNRESOLVED",
    notices: "a value is taken from elsewhere, such as the environment",
    why: "what it is was not audited",
    remedy: "see to it by hand, or give the file that sets it",
    references: "HOCON, substitutions; NATS documentation, variables",
};
pub(super) static BROKER_WEB_FOLDER_CHECK: Rule = Rule {
    name: "BROKER_WEB_FOLDER_CHECK",
    severity: Severity::Low,
    code: "WEB_FOLDER",
    notices: "a folder of the host is served over HTTP",
    why: "files that were not meant for it are handed out",
    remedy: "remove `http_dir`",
    references: "mosquitto.conf(5) http_dir",
};
pub(super) static LOGGING_DISABLED_CHECK: Rule = Rule {
    name: "LOGGING_DISABLED_CHECK",
    severity: Severity::Low,
    code: "LOGGING_DISABLED",
    notices: "the log leaves out who connects, who is refused, or everything",
    why: "attacks go unseen",
    remedy: "log `error` and `notice` to a file, with `connection_messages true`; in RabbitMQ `log.connection.level = info`, in EMQX the level `warning`, in NATS a `log_file`",
    references: "device-defender-audit.md; mosquitto.conf(5) log_type; broker-integration.md 2.1; RabbitMQ Logging guide",
};

/// Rules for Mosquitto and for any broker, by name.
static COMMON: [&Rule; 34] = [
    &BROKER_ACL_MISSING_CHECK,
    &BROKER_ANONYMOUS_ACCESS_CHECK,
    &BROKER_BOUND_CHECK,
    &BROKER_BRIDGE_UNVERIFIED_CHECK,
    &BROKER_BRIDGE_WIDE_CHECK,
    &BROKER_BRIDGE_WITHOUT_TLS_CHECK,
    &BROKER_CERTIFICATE_DATES_CHECK,
    &BROKER_CERTIFICATE_IDENTITY_CHECK,
    &BROKER_CERTIFICATE_REVOCATION_CHECK,
    &BROKER_CLIENT_CERTIFICATE_CHECK,
    &BROKER_CLIENT_ID_EMPTY_CHECK,
    &BROKER_CLIENT_ID_FREE_CHECK,
    &BROKER_CONFIGURATION_INVALID_CHECK,
    &BROKER_CREDENTIALS_MISSING_CHECK,
    &BROKER_FILE_MODE_CHECK,
    &BROKER_FILE_NOT_READ_CHECK,
    &BROKER_FILE_UNKNOWN_CHECK,
    &BROKER_INCLUDE_MISSING_CHECK,
    &BROKER_KEEP_ALIVE_CHECK,
    &BROKER_LIMITS_CHECK,
    &BROKER_LISTENER_SCOPE_CHECK,
    &BROKER_LISTENER_WITHOUT_TLS_CHECK,
    &BROKER_PASSWORD_HASH_CHECK,
    &BROKER_PERSISTENCE_CHECK,
    &BROKER_PLUGIN_SPECIAL_CHARS_CHECK,
    &BROKER_PLUGIN_UNKNOWN_CHECK,
    &BROKER_PROXY_PROTOCOL_CHECK,
    &BROKER_ROOT_USER_CHECK,
    &BROKER_SECRET_IN_CONFIGURATION_CHECK,
    &BROKER_TLS_CIPHERS_CHECK,
    &BROKER_TLS_VERSION_CHECK,
    &BROKER_UNKNOWN_KEY_CHECK,
    &BROKER_VALUE_UNRESOLVED_CHECK,
    &BROKER_WEB_FOLDER_CHECK,
];

static LOGGING: [&Rule; 1] = [&LOGGING_DISABLED_CHECK];

/// All rules, by name.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
pub static RULES: [&Rule; 34 + 21 + 1 + 22 + 23] = {
    use super::{emqx::rules::RULES as EMQX, nats::rules::RULES as NATS, rabbitmq::rules::RULES as RABBITMQ};
    let tables: [&[&Rule]; 5] = [&COMMON, &EMQX, &LOGGING, &NATS, &RABBITMQ];
    let mut all = [&LOGGING_DISABLED_CHECK; 34 + 21 + 1 + 22 + 23];
    let (mut table, mut count) = (0, 0);
    while table < tables.len() {
        let mut index = 0;
        while index < tables[table].len() {
            all[count] = tables[table][index];
            (index, count) = (index + 1, count + 1);
        }
        table += 1;
    }
    assert!(count == all.len());
    all
};
