//! Each rule for EMQX with files that it finds fault with, the line of it, and ones that are right.

use audits::{
    broker::{Kind, emqx_no_match, kind},
    policy::parse::emqx::NoMatch,
};

use super::{Case, files, rules_of};

macro_rules! conf {
    ($text:expr) => {
        &[("e/emqx.conf", $text)]
    };
}

const SAFE: &str = "authentication = [{mechanism = password_based, backend = built_in_database}]\n";

pub(super) const CASES: &[Case<'_>] = &[
    (
        "EMQX_ACL_DEFAULT_ALLOW_CHECK",
        conf!("authorization { no_match = allow }\n"),
        1,
        conf!("authorization.no_match = deny\n"),
    ),
    ("EMQX_ACL_DEFAULT_ALLOW_CHECK", conf!("node.name = a\n"), 0, &[("cluster.hocon", "node.name = a\n")]),
    (
        "EMQX_ACL_DEFAULT_ALLOW_CHECK",
        &[("acl.conf", "{deny, all, subscribe, [\"$SYS/#\"]}.\n{allow, all}.\n")],
        2,
        &[("acl.conf", "{allow, all, publish, [\"a\"]}.\n{deny, all}.\n")],
    ),
    (
        "EMQX_ACL_DEFAULT_ALLOW_CHECK",
        conf!("node.cookie = a\nacl_nomatch = allow\n"),
        2,
        conf!("node.cookie = a\nacl_nomatch = deny\n"),
    ),
    (
        "EMQX_ANONYMOUS_ACCESS_CHECK",
        conf!("node.name = a\n"),
        0,
        conf!("authentication { mechanism = jwt }\n"),
    ),
    (
        "EMQX_ANONYMOUS_ACCESS_CHECK",
        conf!("authentication = [{mechanism = jwt, enable = false}]\n"),
        0,
        conf!("authentication = ${AUTH}\n"),
    ),
    (
        "EMQX_ANONYMOUS_ACCESS_CHECK",
        conf!("authentication { mechanism = jwt }\nlisteners.ssl.default {\n enable_authn = false\n}\n"),
        3,
        conf!(
            "authentication { mechanism = jwt }\nlisteners.ssl.default {\n bind = \"127.0.0.1:8883\"\n enable_authn = false\n}\n"
        ),
    ),
    (
        "EMQX_ANONYMOUS_ACCESS_CHECK",
        conf!("listener.tcp.external = 1883\nallow_anonymous = true\n"),
        2,
        conf!("listener.tcp.external = 1883\nallow_anonymous = false\n"),
    ),
    (
        "EMQX_BACKEND_UNVERIFIED_CHECK",
        conf!(
            "authentication { mechanism = password_based, backend = mysql, server = \"db.example:3306\"\n ssl { enable = true } }\n"
        ),
        2,
        conf!(
            "authentication { mechanism = password_based, backend = mysql, server = \"db.example:3306\"\n ssl { enable = true, verify = verify_peer } }\n"
        ),
    ),
    (
        "EMQX_BACKEND_WITHOUT_TLS_CHECK",
        conf!("authorization.sources = [\n{type = redis, server = \"r.example:6379\"}]\n"),
        2,
        conf!(
            "authorization.sources = [{type = redis, server = \"127.0.0.1:6379\"}, {type = http, url = \"https://a.example\"}]\n"
        ),
    ),
    (
        "EMQX_CERTIFICATE_IDENTITY_CHECK",
        conf!("listeners.ssl.default.ssl_options {\n verify = verify_peer, fail_if_no_peer_cert = true }\n"),
        2,
        conf!(
            "mqtt.peer_cert_as_username = cn\nlisteners.ssl.default.ssl_options {\n verify = verify_peer, fail_if_no_peer_cert = true }\n"
        ),
    ),
    (
        "EMQX_CERTIFICATE_REVOCATION_CHECK",
        conf!("listeners.ssl.default.ssl_options {\n verify = verify_peer }\n"),
        2,
        conf!("listeners.ssl.default.ssl_options { verify = verify_peer, enable_crl_check = true }\n"),
    ),
    (
        "EMQX_CLIENT_CERTIFICATE_CHECK",
        conf!("\nlisteners.ssl.default { bind = 8883 }\n"),
        2,
        conf!("listeners.ssl.default.ssl_options.verify = verify_peer\n"),
    ),
    (
        "EMQX_CLIENT_ID_FREE_CHECK",
        conf!("node.name = a\n"),
        0,
        conf!("mqtt.use_username_as_clientid = true\n"),
    ),
    (
        "EMQX_CLUSTER_WITHOUT_TLS_CHECK",
        conf!("cluster {\n discovery_strategy = static }\n"),
        2,
        conf!("cluster { discovery_strategy = static, proto_dist = inet_tls }\n"),
    ),
    (
        "EMQX_COOKIE_CHECK",
        conf!("node {\n cookie = \"emqxsecretcookie\" }\n"),
        2,
        conf!("node.cookie = \"qvzkJHGpoiuMNBtrewsd\"\n"),
    ),
    ("EMQX_COOKIE_CHECK", conf!("node.name = a\n"), 0, conf!("node.cookie = ${COOKIE}\n")),
    (
        "EMQX_DASHBOARD_WITHOUT_TLS_CHECK",
        conf!("dashboard.listeners.http {\n bind = 18083 }\n"),
        2,
        conf!("dashboard.listeners.http.bind = 0\ndashboard.listeners.https.bind = 18084\n"),
    ),
    (
        "EMQX_DASHBOARD_WITHOUT_TLS_CHECK",
        &[("emqx_m.conf", "management.listener.http = 8081\n")],
        1,
        &[("emqx_m.conf", "management.listener.https = 8081\n")],
    ),
    (
        "EMQX_DEFAULT_PASSWORD_CHECK",
        conf!("dashboard {\n default_username = admin\n default_password = public }\n"),
        3,
        conf!("dashboard.default_password = \"k8vQzz1\"\n"),
    ),
    (
        "EMQX_DEFAULT_PASSWORD_CHECK",
        &[("emqx_auth_mysql.conf", "auth.mysql.username = root\nauth.mysql.password = 123456\n")],
        2,
        &[("emqx_auth_mysql.conf", "auth.mysql.password = ${P}\n")],
    ),
    (
        "EMQX_FLAPPING_CHECK",
        conf!("flapping_detect {\n enable = false }\n"),
        2,
        conf!("flapping_detect.enable = true\n"),
    ),
    (
        "EMQX_LIMITS_CHECK",
        conf!("\nlisteners.tcp.default { bind = 1883 }\n"),
        2,
        conf!("listeners.tcp.default { max_connections = 1000, max_conn_rate = \"100/s\" }\n"),
    ),
    ("EMQX_LIMITS_CHECK", conf!("mqtt.max_packet_size = 256MB\n"), 1, conf!("mqtt.max_packet_size = 1MB\n")),
    (
        "EMQX_LISTENER_WITHOUT_TLS_CHECK",
        conf!("listeners.tcp.default {\n bind = 0.0.0.0:1883 }\n"),
        2,
        conf!("listeners.tcp.default.enable = false\nlisteners.ws.default.bind = \"127.0.0.1:8083\"\n"),
    ),
    (
        "EMQX_LISTENER_WITHOUT_TLS_CHECK",
        conf!("node.name = a\n"),
        0,
        &[("cluster.hocon", "listeners.ssl.default.bind = 8883\n")],
    ),
    (
        "EMQX_LISTENER_WITHOUT_TLS_CHECK",
        &[(
            "emqx_exproto.conf",
            "exproto.listener.p = tcp://0.0.0.0:7993\nexproto.listener.p.driver = java\n",
        )],
        1,
        &[("emqx_exproto.conf", "exproto.listener.p = ssl://0.0.0.0:7993\n")],
    ),
    (
        "EMQX_LISTENER_WITHOUT_TLS_CHECK",
        &[("cluster.hocon", "gateway.stomp.listeners.tcp.default {\n bind = 61613 }\n")],
        2,
        &[("cluster.hocon", "gateway.stomp { enable = false, listeners.tcp.default { bind = 61613 } }\n")],
    ),
    (
        "EMQX_PASSWORD_HASH_CHECK",
        conf!(
            "authentication { mechanism = password_based\n password_hash_algorithm { name = sha256\n salt_position = disable } }\n"
        ),
        2,
        conf!("authentication { mechanism = password_based, password_hash_algorithm.name = bcrypt }\n"),
    ),
    (
        "EMQX_PASSWORD_HASH_CHECK",
        &[("emqx_auth_mysql.conf", "auth.mysql.server = localhost\nauth.mysql.password_hash = plain\n")],
        2,
        &[("emqx_auth_mysql.conf", "auth.mysql.password_hash = bcrypt\n")],
    ),
    (
        "EMQX_PEER_CERTIFICATE_OPTIONAL_CHECK",
        conf!(
            "listeners.ssl.default.ssl_options {\n verify = verify_peer\n fail_if_no_peer_cert = false }\n"
        ),
        3,
        conf!("listeners.ssl.default.ssl_options { verify = verify_peer, fail_if_no_peer_cert = true }\n"),
    ),
    (
        "EMQX_PROXY_PROTOCOL_CHECK",
        conf!("listeners.ssl.default {\n proxy_protocol = true }\n"),
        2,
        conf!("listeners.ssl.default { bind = \"127.0.0.1:8883\", proxy_protocol = true }\n"),
    ),
    (
        "EMQX_TLS_CIPHERS_CHECK",
        conf!("listeners.ssl.default.ssl_options.ciphers = [\n\"ECDHE-ECDSA-DES-CBC3-SHA\"]\n"),
        2,
        conf!("listeners.ssl.default.ssl_options.ciphers = [\"TLS_AES_256_GCM_SHA384\"]\n"),
    ),
    (
        "EMQX_TLS_VERSION_CHECK",
        conf!("listeners.ssl.default.ssl_options.versions = [tlsv1.3,\n \"tlsv1.1\"]\n"),
        2,
        conf!("listeners.ssl.default.ssl_options.versions = [tlsv1.3, tlsv1.2]\n"),
    ),
    (
        "EMQX_TLS_VERSION_CHECK",
        conf!("listener.ssl.external = 8883\nlistener.ssl.external.tls_versions = tlsv1.2,tlsv1\n"),
        2,
        conf!("listener.ssl.external = 8883\nlistener.ssl.external.tls_versions = tlsv1.2\n"),
    ),
    (
        "EMQX_TOKEN_UNBOUND_CHECK",
        conf!("authentication = [\n{mechanism = jwt}]\n"),
        2,
        conf!("authentication = [{mechanism = jwt, verify_claims { username = \"${username}\" }}]\n"),
    ),
    (
        "LOGGING_DISABLED_CHECK",
        conf!("log.console {\n enable = true\n level = critical }\n"),
        3,
        conf!("log.console { enable = true, level = warning }\n"),
    ),
    (
        "LOGGING_DISABLED_CHECK",
        conf!("log.console.enable = false\n"),
        1,
        conf!("log { console.enable = false\n file.default { enable = true, path = \"p\" } }\n"),
    ),
    (
        "LOGGING_DISABLED_CHECK",
        conf!("node.cookie = a\nlistener.tcp.a = 1\nlog.to = off\n"),
        3,
        conf!("node.cookie = a\nlistener.tcp.a = 1\nlog.to = file\n"),
    ),
    (
        "BROKER_SECRET_IN_CONFIGURATION_CHECK",
        conf!("authentication {\n mechanism = jwt\n secret = \"k8vQzz1\" }\n"),
        3,
        conf!("authentication { mechanism = jwt, secret = ${S} }\n"),
    ),
    ("BROKER_VALUE_UNRESOLVED_CHECK", conf!("node.cookie = ${COOKIE}\n"), 1, conf!("a = 1\nb = ${a}\n")),
    ("BROKER_CONFIGURATION_INVALID_CHECK", conf!("a = 1\nb\n"), 2, conf!("a = 1\n")),
    (
        "BROKER_CONFIGURATION_INVALID_CHECK",
        &[("acl.conf", "{alow, all}.\n{deny, all}.\n")],
        1,
        &[("acl.conf", "{deny, all}.\n")],
    ),
];

/// `emqx.conf` overrides `cluster.hocon`, as EMQX 5 reads them.
#[test]
fn the_main_file_overrides() {
    let no_match = |main: &str| {
        emqx_no_match(&files(&[
            ("e/cluster.hocon", "authorization.no_match = deny\n"),
            ("e/emqx.conf", main),
        ]))
    };
    assert_eq!(no_match("node.name = a\n"), NoMatch::Deny);
    assert_eq!(no_match("authorization.no_match = allow\n"), NoMatch::Allow);
    assert_eq!(emqx_no_match(&[]), NoMatch::Allow, "the default of EMQX");
}

#[test]
fn what_includes_set_counts() {
    let rules = rules_of(&[
        ("e/emqx.conf", &format!("{SAFE}include \"my.conf\"\n")),
        ("e/my.conf", "authorization.no_match = deny\nnode.cookie = \"qvzkJHGpoiuMNBtrewsd\"\n"),
    ]);
    assert!(!rules.contains(&"EMQX_ACL_DEFAULT_ALLOW_CHECK".to_owned()), "{rules:?}");
    assert!(!rules.contains(&"EMQX_COOKIE_CHECK".to_owned()), "{rules:?}");
}

#[test]
fn old_and_new_are_told_apart() {
    for (path, text, expected) in [
        ("emqx.conf", "node {\n cookie = a\n}\n", Kind::EmqxConf),
        ("emqx.conf", "node.cookie = a\nlistener.tcp.external = 1883\n", Kind::EmqxFlat),
        ("x.conf", "listeners.tcp.default { bind = 1 }\nauthentication = []\n", Kind::EmqxConf),
        ("emqx_dashboard.conf", "dashboard.default_user.login = admin\n", Kind::EmqxFlat),
        ("acl.conf", "%% c\n{allow, all}.\n", Kind::EmqxAcl),
    ] {
        assert_eq!(kind(&files(&[(path, text)])[0]), expected, "{path}: {text}");
    }
}
