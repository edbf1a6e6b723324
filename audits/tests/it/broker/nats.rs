//! Each rule for NATS with files that it finds fault with, the line of it, and ones that are right.

use audits::{broker::Kind, broker::kind, finding::Severity};

use super::{Case, files, found};

macro_rules! conf {
    ($text:expr) => {
        &[("nats-server.conf", $text)]
    };
}

pub(super) const CASES: &[Case<'_>] = &[
    (
        "NATS_ACCESS_WIDE_CHECK",
        conf!("authorization { users = [\n{user: d, password: $P}] }\n"),
        2,
        conf!(
            "authorization { users = [\n{user: d, password: $P, permissions: {publish: \"d.>\", subscribe: \"d.in\"}}] }\n"
        ),
    ),
    (
        "NATS_ACCESS_WIDE_CHECK",
        conf!("accounts { A { users = [{user: d}] } }\n"),
        1,
        conf!("system_account: SYS\naccounts { SYS { users = [{user: d}] } }\n"),
    ),
    (
        "NATS_ANONYMOUS_ACCESS_CHECK",
        conf!("jetstream: enabled\nmqtt {\n port: 1883 }\n"),
        3,
        conf!("mqtt { port: 1883 }\nauthorization { token: $T }\n"),
    ),
    (
        "NATS_ANONYMOUS_ACCESS_CHECK",
        conf!("authorization { users = [{user: a}] }\nno_auth_user: a\n"),
        2,
        conf!("listen: 127.0.0.1:4222\nmqtt { host: localhost, port: 1883 }\n"),
    ),
    (
        "NATS_CERTIFICATE_IDENTITY_CHECK",
        conf!("mqtt { port: 8883\n tls { verify: true } }\n"),
        2,
        conf!("mqtt { port: 8883, tls { verify_and_map: true } }\n"),
    ),
    (
        "NATS_CERTIFICATE_REVOCATION_CHECK",
        conf!("mqtt { port: 8883\n tls { verify: true } }\n"),
        2,
        conf!("mqtt { port: 8883, tls { verify: true, ocsp_peer: true } }\n"),
    ),
    (
        "NATS_CLIENT_CERTIFICATE_CHECK",
        conf!("\ntls { cert_file: c }\n"),
        2,
        conf!("tls { cert_file: c, verify: true }\n"),
    ),
    (
        "NATS_DEFAULT_PASSWORD_CHECK",
        conf!("authorization { users = [\n{user: a, password: secret}] }\n"),
        2,
        conf!("authorization { users = [{user: a, password: $2a$11$abcdefghijk}] }\n"),
    ),
    (
        "NATS_JETSTREAM_ENCRYPTION_CHECK",
        conf!("\njetstream { store_dir: d }\n"),
        2,
        conf!("jetstream { key: $K }\n"),
    ),
    (
        "NATS_JETSTREAM_LIMITS_CHECK",
        conf!("\njetstream { max_mem: 1G }\n"),
        2,
        conf!("jetstream { max_mem: 1G, max_file: 10G }\n"),
    ),
    (
        "NATS_JETSTREAM_LIMITS_CHECK",
        conf!("jetstream { max_mem: 1G, max_file: 10G }\naccounts { A {\n jetstream: enabled } }\n"),
        3,
        conf!("jetstream { max_mem: 1G, max_file: 10G }\naccounts { A { jetstream { max_mem: 1M } } }\n"),
    ),
    (
        "NATS_JETSTREAM_MISSING_CHECK",
        conf!("server_name: a\nmqtt { port: 1883 }\n"),
        2,
        conf!("server_name: a\nmqtt { port: 1883 }\njetstream {}\n"),
    ),
    (
        "NATS_LIMITS_CHECK",
        conf!("max_payload: 64MB\nmax_subscriptions: 100\n"),
        1,
        conf!("max_payload: 1MB\nmax_subscriptions: 100\n"),
    ),
    (
        "NATS_LIMITS_CHECK",
        conf!("max_connections: -1\nmax_subs: 1\n"),
        1,
        conf!("max_connections: 10\nmax_subs: 1\n"),
    ),
    (
        "NATS_LISTENER_WITHOUT_TLS_CHECK",
        conf!("listen: 127.0.0.1:4222\nmqtt {\n port: 1883 }\n"),
        3,
        conf!("listen: 127.0.0.1:4222\nmqtt { port: 8883, tls { cert_file: c } }\n"),
    ),
    ("NATS_LISTENER_WITHOUT_TLS_CHECK", conf!("port: 4222\n"), 1, conf!("tls { cert_file: c }\n")),
    (
        "NATS_LISTENER_WITHOUT_TLS_CHECK",
        conf!("tls { cert_file: c }\nallow_non_tls: true\n"),
        2,
        conf!("host: localhost\n"),
    ),
    ("NATS_MONITORING_OPEN_CHECK", conf!("http_port: 8222\n"), 1, conf!("http: 127.0.0.1:8222\n")),
    (
        "NATS_PASSWORD_PLAIN_CHECK",
        conf!("authorization {\n token: k8vQzz1 }\n"),
        2,
        conf!("authorization { token: $TOKEN }\n"),
    ),
    (
        "NATS_PASSWORD_PLAIN_CHECK",
        conf!("accounts { A { users = [{user: a,\n password: \"$2a$04$abcdefghijk\"}] } }\n"),
        2,
        conf!("accounts { A { users = [{nkey: UABC}] } }\n"),
    ),
    (
        "NATS_PROFILING_OPEN_CHECK",
        conf!("prof_port: 65432\n"),
        1,
        conf!("host: localhost\nprof_port: 65432\n"),
    ),
    (
        "NATS_REMOTE_UNVERIFIED_CHECK",
        conf!("cluster { port: 6222\n tls {\n insecure: true } }\n"),
        3,
        conf!("cluster { port: 6222, tls { cert_file: c } }\n"),
    ),
    (
        "NATS_REMOTE_UNVERIFIED_CHECK",
        conf!("leafnodes { remotes = [{url: \"tls://h:7422\",\n tls { insecure: true } }] }\n"),
        2,
        conf!("leafnodes { remotes = [{url: \"tls://h:7422\"}] }\n"),
    ),
    (
        "NATS_ROUTES_OPEN_CHECK",
        conf!("cluster {\n listen: 0.0.0.0:6222 }\n"),
        2,
        conf!("cluster { listen: 0.0.0.0:6222, authorization { user: r, password: $P } }\n"),
    ),
    (
        "NATS_ROUTES_WITHOUT_TLS_CHECK",
        conf!("cluster {\n listen: 0.0.0.0:6222 }\n"),
        2,
        conf!("cluster { listen: 0.0.0.0:6222, tls { cert_file: c } }\n"),
    ),
    (
        "NATS_ROUTES_WITHOUT_TLS_CHECK",
        conf!("leafnodes { remotes = [\n{url: \"nats://hub.example:7422\"}] }\n"),
        2,
        conf!("leafnodes { remotes = [{urls: [\"nats://127.0.0.1:7422\", \"tls://hub.example\"]}] }\n"),
    ),
    (
        "NATS_SYSTEM_ACCOUNT_CHECK",
        conf!("port: 4222\n"),
        0,
        conf!("accounts { SYS { users = [{user: s, password: $P}] } }\nsystem_account: SYS\n"),
    ),
    (
        "NATS_TLS_CIPHERS_CHECK",
        conf!("tls { cipher_suites: [\"TLS_RSA_WITH_RC4_128_SHA\"] }\n"),
        1,
        conf!("tls { cipher_suites: [\"TLS_AES_256_GCM_SHA384\"] }\n"),
    ),
    (
        "NATS_TLS_VERSION_CHECK",
        conf!("tls { cert_file: c\n min_version: \"1.1\" }\n"),
        2,
        conf!("tls { cert_file: c, min_version: \"1.3\" }\n"),
    ),
    ("NATS_TRACE_CHECK", conf!("debug: true\ntrace: true\n"), 2, conf!("debug: true\n")),
    (
        "NATS_WEBSOCKET_ORIGIN_CHECK",
        conf!("websocket { port: 443 }\n"),
        1,
        conf!("websocket { port: 443, same_origin: true }\n"),
    ),
    (
        "LOGGING_DISABLED_CHECK",
        conf!("log_file: \"/dev/null\"\n"),
        1,
        conf!("log_file: \"/var/log/nats.log\"\n"),
    ),
    (
        "BROKER_SECRET_IN_CONFIGURATION_CHECK",
        conf!("cluster { routes = [\n\"nats://a:k8vQzz1@h:6222\"] }\n"),
        1,
        conf!("cluster { routes = [\"nats://h:6222\"] }\n"),
    ),
    (
        "BROKER_INCLUDE_MISSING_CHECK",
        conf!("port: 1\ninclude ./a.conf\n"),
        2,
        &[("nats-server.conf", "include ./a.conf\n"), ("a.conf", "max_payload: 1\njetstream: true\n")],
    ),
    ("BROKER_VALUE_UNRESOLVED_CHECK", conf!("port: $PORT\n"), 1, conf!("P: 1\nport: $P\n")),
    ("BROKER_CONFIGURATION_INVALID_CHECK", conf!("port: 1\n}\n"), 2, conf!("port: 1\n")),
    (
        "BROKER_CONFIGURATION_INVALID_CHECK",
        conf!("authorization { users = [\n{user: a, permissions: {publsh: b}}] }\n"),
        2,
        conf!("authorization { users = [{user: a, permissions: {publish: b}}] }\n"),
    ),
    (
        "BROKER_BOUND_CHECK",
        conf!("a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"),
        1,
        conf!("a: [[1]]\n"),
    ),
];

/// Whoever needs no name and may do everything is worse than a user who may.
#[test]
fn everybody_is_worse_than_somebody() {
    let severity = |more: &str| {
        let text = format!("authorization {{ users = [{{user: d}}] }}\n{more}");
        let found = found(&[("nats.conf", &text)]);
        found.iter().find(|finding| finding.check == "NATS_ACCESS_WIDE_CHECK").unwrap().severity
    };
    assert_eq!((severity(""), severity("no_auth_user: d\n")), (Severity::High, Severity::Critical));
}

/// What an included file says counts, by its own lines; it is not unknown, whatever its name.
#[test]
fn included_files_count() {
    let main = "listen: 127.0.0.1:4222\nauthorization { timeout: 1 }\ninclude ./users\n";
    let users = "\n\n\nauthorization {\n users = [\n {user: d, password: $2a$11$abc} ]\n}\n";
    let found = found(&[("nats.conf", main), ("users", users)]);
    let seen: Vec<_> =
        found.iter().map(|finding| (&*finding.check, finding.place.as_ref().unwrap().line)).collect();
    assert!(seen.contains(&("NATS_ACCESS_WIDE_CHECK", 6)), "{seen:?}");
    assert!(seen.iter().all(|(check, _)| *check != "BROKER_FILE_UNKNOWN_CHECK"), "{seen:?}");
}

#[test]
fn by_words_where_the_name_says_nothing() {
    for (path, text, expected) in [
        ("x.conf", "server_name: a\njetstream { store_dir: d }\n", Kind::NatsConf),
        ("x.conf", "listeners.tcp.default = 5672\nloopback_users = none\n", Kind::RabbitMqConf),
        ("README.md", "mqtt: {\naccounts: {\n", Kind::Unknown),
        ("x.json", "{\"a\": 1}", Kind::Unknown),
        ("x", "[rabbitmq_mqtt,rabbitmq_management].\n", Kind::RabbitMqPlugins),
        ("x", "[\n {rabbit, [{tcp_listeners, [5672]}]}\n].\n", Kind::RabbitMqAdvanced),
        ("c", "-----BEGIN CERTIFICATE-----\n", Kind::Certificate),
    ] {
        assert_eq!(kind(&files(&[(path, text)])[0]), expected, "{path}: {text}");
    }
}
