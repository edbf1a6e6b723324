//! Each rule with a configuration that it finds fault with, the line of it, and one that is right.

use audits::broker::{ConfigFile, Kind, Options, RULES, audit, client_ids, kind};
use audits::finding::Severity;
use audits::policy::form::ClientIds;

use super::{Case, emqx, files, found, nats, rabbitmq, rules_of};

const HASH: &str = "$6$c2FsdA==$aGFzaA==";

/// A listener with TLS, and what is set for it.
macro_rules! tls {
    ($more:expr) => {
        concat!("listener 8883\ncertfile c\nkeyfile k\n", $more)
    };
}

/// A bridge, and what is set for it.
macro_rules! bridge {
    ($more:expr) => {
        concat!("connection b\n", $more)
    };
}

macro_rules! conf {
    ($text:expr) => {
        &[("m/mosquitto.conf", $text)]
    };
}

const TLS: &str = tls!("");

const CASES: &[Case<'_>] = &[
    ("BROKER_ACL_MISSING_CHECK", conf!("listener 1883\n"), 1, conf!("listener 1883\nacl_file a\n")),
    ("BROKER_ACL_MISSING_CHECK", conf!("port 1883\n"), 1, conf!("allow_anonymous true\n")),
    (
        "BROKER_ANONYMOUS_ACCESS_CHECK",
        conf!("allow_anonymous true\nlistener 1883\n"),
        2,
        conf!("listener 1883\nallow_anonymous true\nallow_anonymous false\n"),
    ),
    (
        "BROKER_ANONYMOUS_ACCESS_CHECK",
        conf!("listener 1883 0.0.0.0\nallow_anonymous true\n"),
        1,
        conf!("listener 1883 127.0.0.1\nallow_anonymous true\n"),
    ),
    (
        "BROKER_ANONYMOUS_ACCESS_CHECK",
        conf!("per_listener_settings true\nlistener 1883\nallow_anonymous true\n"),
        2,
        conf!("per_listener_settings true\nlistener 1883 ::1\nallow_anonymous true\nlistener 1884\n"),
    ),
    (
        "BROKER_BOUND_CHECK",
        &[
            ("m/mosquitto.conf", "include_dir /a/conf.d\n"),
            ("m/conf.d/a.conf", "include_dir /b/conf.d\n"),
            ("m/conf.d/b.conf", "include_dir /b/conf.d\n"),
        ],
        1,
        conf!("port 1\n"),
    ),
    (
        "BROKER_BRIDGE_UNVERIFIED_CHECK",
        conf!(bridge!("bridge_insecure true\n")),
        2,
        conf!(bridge!("bridge_insecure false\n")),
    ),
    ("BROKER_BRIDGE_WIDE_CHECK", conf!(bridge!("topic # both 0\n")), 2, conf!(bridge!("topic # out 0\n"))),
    (
        "BROKER_BRIDGE_WITHOUT_TLS_CHECK",
        conf!(bridge!("address h.example:1883\n")),
        1,
        conf!(bridge!("address h.example:8883\nbridge_cafile ca\n")),
    ),
    ("BROKER_CERTIFICATE_DATES_CHECK", conf!(tls!("disable_client_cert_date_checks true\n")), 4, conf!(TLS)),
    (
        "BROKER_CERTIFICATE_IDENTITY_CHECK",
        conf!(tls!("require_certificate true\n")),
        1,
        conf!(tls!("require_certificate true\nuse_identity_as_username true\n")),
    ),
    (
        "BROKER_CERTIFICATE_REVOCATION_CHECK",
        conf!(tls!("require_certificate true\n")),
        1,
        conf!(tls!("require_certificate true\ncrlfile l\n")),
    ),
    (
        "BROKER_CERTIFICATE_REVOCATION_CHECK",
        &[("mosquitto.conf", tls!("require_certificate true\ncrlfile l\n")), ("l", "no list")],
        5,
        conf!(TLS),
    ),
    ("BROKER_CLIENT_CERTIFICATE_CHECK", conf!(TLS), 1, conf!(tls!("require_certificate true\n"))),
    (
        "BROKER_CLIENT_ID_EMPTY_CHECK",
        conf!("listener 1883\n"),
        1,
        conf!("listener 1883\nallow_zero_length_clientid false\n"),
    ),
    (
        "BROKER_CLIENT_ID_FREE_CHECK",
        conf!("listener 1883\n"),
        1,
        conf!("listener 1883\nuse_username_as_clientid true\n"),
    ),
    (
        "BROKER_CONFIGURATION_INVALID_CHECK",
        conf!("allow_anonymous yes\n"),
        1,
        conf!("allow_anonymous false\n"),
    ),
    (
        "BROKER_CONFIGURATION_INVALID_CHECK",
        conf!("acl_file a\nacl_file b\n"),
        2,
        conf!("per_listener_settings true\nlistener 1\nacl_file a\nlistener 2\nacl_file b\n"),
    ),
    (
        "BROKER_CREDENTIALS_MISSING_CHECK",
        conf!("listener 1883\n"),
        1,
        conf!("listener 1883\npassword_file p\n"),
    ),
    (
        "BROKER_FILE_MODE_CHECK",
        &[("passwd@0644", "a:$7$1000$c2FsdA==$aA==\n")],
        0,
        &[("passwd@0640", "a:b\n")],
    ),
    (
        "BROKER_FILE_MODE_CHECK",
        &[("nats.conf@0644", "authorization { token: k8vQzz1 }\n")],
        0,
        &[
            ("nats.conf@0640", "authorization { token: k8vQzz1 }\n"),
            ("rabbitmq.conf@0644", "heartbeat = 60\n"),
        ],
    ),
    (
        "BROKER_FILE_MODE_CHECK",
        &[("mosquitto.conf@0666", "port 1\n")],
        0,
        &[("mosquitto.conf@0644", "port 1\n")],
    ),
    (
        "BROKER_FILE_MODE_CHECK",
        &[("mosquitto.conf", "psk_file p\n"), ("p@0644", "a:0b\n")],
        0,
        &[("mosquitto.conf", "psk_file p\n"), ("p@0600", "a:0b\n")],
    ),
    (
        "BROKER_INCLUDE_MISSING_CHECK",
        conf!("port 1\ninclude_dir /e/conf.d\n"),
        2,
        &[("m/mosquitto.conf", "include_dir /e/conf.d\n"), ("m/conf.d/a.conf", "port 1\n")],
    ),
    (
        "BROKER_FILE_UNKNOWN_CHECK",
        &[("notes", "some words\n")],
        0,
        &[("mosquitto.conf", "psk_file p\n"), ("p", "some words\n")],
    ),
    ("BROKER_KEEP_ALIVE_CHECK", conf!("max_keepalive 0\n"), 1, conf!("max_keepalive 600\n")),
    (
        "BROKER_LIMITS_CHECK",
        conf!("port 1\n"),
        0,
        conf!("listener 1\nmax_connections 100\nmax_packet_size 10000\n"),
    ),
    (
        "BROKER_LISTENER_SCOPE_CHECK",
        conf!("listener 1\nallow_anonymous true\nlistener 2\nallow_anonymous false\n"),
        4,
        conf!(
            "per_listener_settings true\nlistener 1\nallow_anonymous true\nlistener 2\nallow_anonymous false\n"
        ),
    ),
    (
        "BROKER_LISTENER_SCOPE_CHECK",
        conf!("acl_file a\nper_listener_settings true\nlistener 1\n"),
        1,
        conf!("per_listener_settings true\nlistener 1\nacl_file a\n"),
    ),
    ("BROKER_LISTENER_WITHOUT_TLS_CHECK", conf!("listener 1883\n"), 1, conf!(TLS)),
    (
        "BROKER_LISTENER_WITHOUT_TLS_CHECK",
        conf!("listener 9001\nprotocol websockets\ncertfile c\n"),
        1,
        conf!("listener 1883 localhost\n"),
    ),
    (
        "BROKER_PASSWORD_HASH_CHECK",
        &[("secrets", "a:$7$1000$c2FsdA==$aA==\nb:$7$999$c2FsdA==$aA==\n")],
        2,
        &[("secrets", "a:$7$1000$c2FsdA==$aA==\n")],
    ),
    (
        "BROKER_PASSWORD_HASH_CHECK",
        &[("mosquitto.conf", "password_file /e/mine\n"), ("mine", "a:plain\n")],
        1,
        &[("mosquitto.conf", "port 1\n"), ("passwd", "root:x:0:0:root:/root:/bin/sh\n")],
    ),
    (
        "BROKER_PERSISTENCE_CHECK",
        conf!("port 1\npersistence false\n"),
        2,
        conf!("port 1\npersistence true\n"),
    ),
    (
        "BROKER_PLUGIN_SPECIAL_CHARS_CHECK",
        conf!("auth_plugin_deny_special_chars false\n"),
        1,
        conf!("auth_plugin_deny_special_chars true\n"),
    ),
    (
        "BROKER_PLUGIN_UNKNOWN_CHECK",
        conf!("plugin /l/mine.so\n"),
        1,
        conf!("plugin /l/mosquitto_dynamic_security.so\n"),
    ),
    (
        "BROKER_PROXY_PROTOCOL_CHECK",
        conf!("listener 1883\nenable_proxy_protocol 2\n"),
        2,
        conf!("listener 1883 127.0.0.1\nenable_proxy_protocol 2\n"),
    ),
    ("BROKER_ROOT_USER_CHECK", conf!("user root\n"), 1, conf!("user mosquitto\n")),
    (
        "BROKER_SECRET_IN_CONFIGURATION_CHECK",
        conf!(bridge!("remote_password hunter2\n")),
        2,
        conf!(bridge!("remote_password ${SECRET}\n")),
    ),
    (
        "BROKER_TLS_CIPHERS_CHECK",
        conf!(tls!("ciphers AES128-SHA:RC4-MD5\n")),
        4,
        conf!(tls!("ciphers HIGH:!RC4:!MD5\n")),
    ),
    (
        "BROKER_TLS_VERSION_CHECK",
        conf!(tls!("tls_version tlsv1.1\n")),
        4,
        conf!(tls!("tls_version tlsv1.2\n")),
    ),
    (
        "BROKER_UNKNOWN_KEY_CHECK",
        conf!("port 1\nalow_anonymous false\n"),
        2,
        conf!("port 1\nauth_opt_any 1\n"),
    ),
    (
        "BROKER_WEB_FOLDER_CHECK",
        conf!("listener 9001\nprotocol websockets\nhttp_dir /srv\n"),
        3,
        conf!("listener 9001\nprotocol websockets\n"),
    ),
    ("LOGGING_DISABLED_CHECK", conf!("log_dest none\n"), 1, conf!("log_dest stdout\n")),
    ("LOGGING_DISABLED_CHECK", conf!("log_type error\n"), 1, conf!("log_type error\nlog_type notice\n")),
    ("LOGGING_DISABLED_CHECK", conf!("connection_messages false\n"), 1, conf!("log_type all\n")),
];

/// The cases of all brokers.
fn all() -> impl Iterator<Item = &'static Case<'static>> {
    CASES.iter().chain(rabbitmq::CASES).chain(emqx::CASES).chain(nats::CASES)
}

/// What is found is told without the secret itself.
#[test]
fn no_secret_is_shown() {
    const SECRETS: [&str; 6] = ["hunter2", "k8vQzz1", "123456", "emqxsecretcookie", "$2a$", "YWJj"];
    for finding in all().flat_map(|case| found(case.1)) {
        let shown = finding.to_string();
        assert!(SECRETS.iter().all(|secret| !finding.reason.contains(secret)), "{shown}");
    }
}

#[test]
fn each_rule_notices_the_wrong_and_leaves_the_right() {
    for &(rule, wrong, line, right) in all() {
        let of_rule =
            |files| found(files).into_iter().filter(|finding| finding.check == rule).collect::<Vec<_>>();
        let lines: Vec<usize> = of_rule(wrong).iter().map(audits::finding::Finding::line).collect();
        assert!(lines.contains(&line), "{rule} on {wrong:?}: {lines:?}, expected {line}");
        assert_eq!(of_rule(right), [], "{rule} on {right:?}");
    }
}

#[test]
fn each_rule_has_a_case() {
    for rule in RULES {
        assert!(all().any(|case| case.0 == rule.name), "{}", rule.name);
    }
    assert!(all().all(|case| RULES.iter().any(|rule| rule.name == case.0)));
}

/// What a security setting before `per_listener_settings true` allows, it allows for no listener.
#[test]
fn settings_before_per_listener_settings_are_lost() {
    let found = found(conf!("allow_anonymous true\nper_listener_settings true\nlistener 1\n"));
    assert!(found.iter().all(|finding| finding.check != "BROKER_ANONYMOUS_ACCESS_CHECK"), "{found:?}");
    assert!(
        found.iter().any(|finding| finding.check == "BROKER_LISTENER_SCOPE_CHECK" && finding.line() == 1)
    );
}

#[test]
fn a_key_in_der_is_a_secret_and_a_certificate_is_none() {
    for (bytes, secret) in [
        (&[0x30, 0x82, 1, 0, 2, 1, 0, 0x30][..], true),
        (&[0x30, 0x77, 2, 1, 1, 4, 32][..], true),
        (&[0x30, 0x81, 0x90, 2, 1, 0][..], true),
        (&[0x30, 0x82, 1, 0, 0x30, 0x82][..], false),
        (&[0x30][..], false),
        (&b"-----BEGIN EC PRIVATE KEY-----"[..], true),
        (&b"-----BEGIN CERTIFICATE-----"[..], false),
    ] {
        let file = |mode| ConfigFile { path: "k".into(), bytes: bytes.into(), mode: Some(mode), owner: None };
        let found = |mode| audit(&[file(mode)], &Options::default());
        assert_eq!(
            found(0o644).iter().any(|finding| finding.severity == Severity::High),
            secret,
            "{bytes:x?}"
        );
        let private = found(0o640);
        assert!(private.iter().all(|finding| finding.check != "BROKER_FILE_MODE_CHECK"), "{private:?}");
    }
}

#[test]
fn a_hash_of_dynamic_security_has_the_line_of_its_client() {
    let text = "{\"defaultACLAccess\":{},\n\"roles\":[{\"rolename\":\"b\",\"acls\":[]}],\n\"clients\":[\n\
                {\"username\":\"a\",\"password\":\"x\",\"salt\":\"y\",\"iterations\":1000},\n\
                {\n\"username\" :\n \"b\",\"password\":\"x\",\"salt\":\"y\",\"iterations\":101}]}";
    let found = found(&[("d.json", text)]);
    let seen: Vec<_> = found.iter().map(|finding| (finding.line(), finding.reason.as_str())).collect();
    assert_eq!(seen, [(5, "the password of `b` is kept with 101 rounds of PBKDF2")]);
}

#[test]
fn what_a_file_is() {
    for (path, text, expected) in [
        ("passwd", "a:b\n", Kind::MosquittoPasswords),
        ("passwd", "root:x:0:0:root:/root:/bin/sh\n", Kind::Unknown),
        ("passwd", "", Kind::Unknown),
        ("any", HASH, Kind::Unknown),
        ("any", "a:$6$c2FsdA==$aGFzaA==\n", Kind::MosquittoPasswords),
        ("any", "user a\ntopic read b\n", Kind::MosquittoAcl),
        ("any", "listener 1883\nallow_anonymous true\n", Kind::MosquittoConf),
        ("any.json", "{\"defaultACLAccess\": {}}", Kind::MosquittoDynsec),
        ("emqx.conf", "node.name = a\n", Kind::EmqxConf),
        ("any", "a b\n", Kind::Unknown),
    ] {
        let file = &files(&[(path, text)])[0];
        assert_eq!(kind(file), expected, "{path}: {text}");
    }
}

#[test]
fn ids_are_bound_if_every_listener_binds_them() {
    for (text, expected) in [
        ("listener 1\nuse_username_as_clientid true\n", ClientIds::Bound),
        ("listener 1\nuse_username_as_clientid true\nlistener 2\n", ClientIds::Free),
        ("allow_anonymous false\n", ClientIds::Free),
    ] {
        assert_eq!(client_ids(&files(conf!(text))), expected, "{text}");
    }
}

/// What lies beyond the bound of a file is told, not passed over.
#[test]
fn a_file_that_is_too_large_is_told() {
    let text = |size: usize| format!("port 1883\n#{}\n", "x".repeat(size));
    let told = |size| rules_of(&[("mosquitto.conf", &text(size))]).contains(&"BROKER_BOUND_CHECK".to_owned());
    assert!(!told((4 << 20) - 12) && told((4 << 20) - 11));
    let lines = "user a\n".repeat(200_000);
    let seen = |more: &str| {
        let found = found(&[("mosquitto.conf", &format!("{lines}{more}"))]);
        found.iter().find(|finding| finding.check == "BROKER_BOUND_CHECK").map(audits::finding::Finding::line)
    };
    assert_eq!((seen(""), seen("port 1\n")), (None, Some(200_001)));
}

/// A day, and a list of revoked certificates from a day of June 2026 to another.
const DAY: i64 = 86_400;
const JUNE: i64 = 1_780_272_000;

fn revoked(from: u8, to: u8) -> Vec<u8> {
    use rcgen::{
        CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
        KeyUsagePurpose, SerialNumber, date_time_ymd,
    };
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 6, from),
        next_update: date_time_ymd(2026, 6, to),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&issuer).unwrap().pem().unwrap().into_bytes()
}

/// Both sides of each date: not yet valid, valid, near its end, run out.
#[test]
fn dates_of_lists_of_revoked_certificates() {
    let conf = tls!("require_certificate true\nuse_identity_as_username true\ncrlfile l\n");
    let list = revoked(2, 20);
    let said = |now: Option<i64>| {
        let files = [
            ConfigFile { path: "mosquitto.conf".into(), bytes: conf.into(), ..ConfigFile::default() },
            ConfigFile { path: "l".into(), bytes: list.clone(), ..ConfigFile::default() },
        ];
        let found = audit(&files, &Options { now });
        let of_list =
            found.into_iter().filter(|finding| finding.check == "BROKER_CERTIFICATE_REVOCATION_CHECK");
        of_list.map(|finding| (finding.line(), finding.reason)).collect::<Vec<_>>()
    };
    let says = |now: i64, words: &str| {
        let found = said(Some(now));
        assert!(matches!(found.as_slice(), [(6, reason)] if reason.contains(words)), "{now}: {found:?}");
    };
    let (begins, ends) = (JUNE + DAY, JUNE + 19 * DAY);
    says(begins - 1, "counts only from later on");
    assert_eq!(said(Some(begins)), []);
    assert_eq!(said(Some(ends - 7 * DAY)), []);
    says(ends - 7 * DAY + 1, "runs out within a week");
    says(ends - 1, "runs out within a week");
    says(ends, "has run out");
    assert_eq!(said(None), [], "without a clock dates say nothing");
}
