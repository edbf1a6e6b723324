//! Each rule for RabbitMQ with files that it finds fault with, the line of it, and ones that are right.

use audits::finding::Severity;

use super::{Case, found, rules_of};

macro_rules! conf {
    ($text:expr) => {
        &[("r/rabbitmq.conf", $text)]
    };
}

/// SHA-256 of the salt `abcd` and `guest`, and of the salt and a random text.
const GUEST_HASH: &str = "YWJjZHHUw9S5e/rJSUXtN69Majv3IF0KZtCOLuak6QE1bbwj";
const RANDOM_HASH: &str = "xyKKE5sibJoz1ITZ1tQNO46awdxWvFa5DzefLWYX22Iq7TrM";

pub(super) const CASES: &[Case<'_>] = &[
    (
        "RABBITMQ_ACCESS_WIDE_CHECK",
        &[(
            "d.json",
            "{\"users\":[{\"name\":\"a\",\"password_hash\":\"\",\"tags\":\"\"}],\n\"permissions\":[\n{\"user\":\"a\",\"vhost\":\"/\",\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}]}",
        )],
        3,
        &[(
            "d.json",
            "{\"users\":[{\"name\":\"a\",\"password_hash\":\"\",\"tags\":\"\"}],\n\"permissions\":[\n{\"user\":\"a\",\"vhost\":\"/\",\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}],\"topic_permissions\":[{\"user\":\"a\",\"vhost\":\"/\",\"exchange\":\"amq.topic\",\"write\":\"^devices\\\\.a\\\\.\",\"read\":\"^devices\\\\.a\\\\.\"}]}",
        )],
    ),
    (
        "RABBITMQ_ADMINISTRATORS_CHECK",
        &[(
            "d.json",
            "{\"rabbit_version\":\"3\",\"users\":[{\"name\":\"a\",\"tags\":\"administrator\"},\n{\"name\":\"b\",\"tags\":[\"monitoring\",\"administrator\"]}]}",
        )],
        1,
        &[(
            "d.json",
            "{\"rabbit_version\":\"3\",\"users\":[{\"name\":\"a\",\"tags\":\"administrator\"},{\"name\":\"b\",\"tags\":[]}]}",
        )],
    ),
    (
        "RABBITMQ_ANONYMOUS_ACCESS_CHECK",
        conf!("mqtt.vhost = /d\nmqtt.allow_anonymous = true\nloopback_users = none\n"),
        2,
        conf!("mqtt.allow_anonymous = false\n"),
    ),
    (
        "RABBITMQ_ANONYMOUS_ACCESS_CHECK",
        conf!("mqtt.vhost = /d\n"),
        0,
        conf!("anonymous_login_user = none\nmqtt.vhost = /d\n"),
    ),
    (
        "RABBITMQ_ANONYMOUS_ACCESS_CHECK",
        &[("rabbitmq.conf", "heartbeat = 60\n"), ("enabled_plugins", "[rabbitmq_mqtt].")],
        0,
        &[("rabbitmq.conf", "heartbeat = 60\n"), ("enabled_plugins", "[rabbitmq_management].")],
    ),
    (
        "RABBITMQ_BACKEND_WITHOUT_TLS_CHECK",
        conf!("auth_http.user_path = http://auth.example/user\n"),
        1,
        conf!("auth_http.user_path = https://auth.example/user\n"),
    ),
    (
        "RABBITMQ_BACKEND_WITHOUT_TLS_CHECK",
        conf!("auth_ldap.servers.1 = l.example\n"),
        1,
        conf!("auth_ldap.servers.1 = l.example\nauth_ldap.use_starttls = true\n"),
    ),
    (
        "RABBITMQ_CERTIFICATE_IDENTITY_CHECK",
        conf!(
            "mqtt.listeners.ssl.default = 8883\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\nmqtt.ssl_cert_login = false\n"
        ),
        4,
        conf!(
            "mqtt.listeners.ssl.default = 8883\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\nmqtt.ssl_cert_login = true\n"
        ),
    ),
    (
        "RABBITMQ_CLIENT_CERTIFICATE_CHECK",
        conf!("mqtt.listeners.ssl.default = 8883\n"),
        1,
        conf!("mqtt.listeners.ssl.default = 8883\nssl_options.verify = verify_peer\n"),
    ),
    (
        "RABBITMQ_CLIENT_ID_FREE_CHECK",
        conf!("mqtt.ssl_cert_login = true\n"),
        1,
        conf!("mqtt.ssl_cert_login = true\nmqtt.ssl_cert_client_id_from = common_name\n"),
    ),
    (
        "RABBITMQ_CLUSTER_WITHOUT_TLS_CHECK",
        &[
            ("rabbitmq.conf", "\ncluster_formation.peer_discovery_backend = dns\n"),
            ("rabbitmq-env.conf", "NODENAME=a\n"),
        ],
        2,
        &[
            ("rabbitmq.conf", "cluster_formation.peer_discovery_backend = dns\n"),
            ("rabbitmq-env.conf", "SERVER_ADDITIONAL_ERL_ARGS=\"-proto_dist inet_tls\"\n"),
        ],
    ),
    (
        "RABBITMQ_COOKIE_CHECK",
        &[("rabbitmq-env.conf", "A=b\nexport RABBITMQ_ERLANG_COOKIE='cookie'\n")],
        2,
        &[("rabbitmq-env.conf", "RABBITMQ_ERLANG_COOKIE=$COOKIE\n")],
    ),
    (
        "RABBITMQ_COOKIE_CHECK",
        &[(".erlang.cookie", "rabbitmq")],
        1,
        &[(".erlang.cookie", "XQZWVYKMNOPLRSTUABCD")],
    ),
    (
        "RABBITMQ_DEFAULT_PASSWORD_CHECK",
        conf!("default_user = a\ndefault_pass = guest\n"),
        2,
        conf!("default_user = a\ndefault_pass = ${PASS}\n"),
    ),
    (
        "RABBITMQ_DEFAULT_PASSWORD_CHECK",
        &[(
            "d.json",
            "{\"users\":[\n{\"name\":\"a\",\"password_hash\":\"YWJjZHHUw9S5e/rJSUXtN69Majv3IF0KZtCOLuak6QE1bbwj\",\"hashing_algorithm\":\"rabbit_password_hashing_sha256\"}]}",
        )],
        2,
        &[(
            "d.json",
            "{\"users\":[{\"name\":\"a\",\"password_hash\":\"xyKKE5sibJoz1ITZ1tQNO46awdxWvFa5DzefLWYX22Iq7TrM\",\"hashing_algorithm\":\"rabbit_password_hashing_sha256\"}]}",
        )],
    ),
    ("RABBITMQ_DEFAULT_VHOST_CHECK", conf!("mqtt.vhost = /\n"), 1, conf!("mqtt.vhost = /devices\n")),
    (
        "RABBITMQ_GUEST_REMOTE_CHECK",
        conf!("\nloopback_users = none\n"),
        2,
        conf!("loopback_users.guest = true\n"),
    ),
    ("RABBITMQ_GUEST_REMOTE_CHECK", conf!("loopback_users.guest = false\n"), 1, conf!("heartbeat = 60\n")),
    ("RABBITMQ_HEARTBEAT_CHECK", conf!("heartbeat = 0\n"), 1, conf!("heartbeat = 0\nheartbeat = 30\n")),
    (
        "RABBITMQ_LIMITS_CHECK",
        conf!("mqtt.vhost = /d\nconnection_max = infinity\n"),
        0,
        conf!("mqtt.vhost = /d\nconnection_max = 10000\nmqtt.max_packet_size_authenticated = 1048576\n"),
    ),
    (
        "RABBITMQ_LIMITS_CHECK",
        conf!("connection_max = 1\nmqtt.max_packet_size_authenticated = 268435455\n"),
        2,
        conf!("connection_max = 1\n"),
    ),
    (
        "RABBITMQ_LISTENER_WITHOUT_TLS_CHECK",
        conf!("listeners.tcp = none\nmqtt.listeners.tcp.default = 1883\n"),
        2,
        conf!("listeners.tcp = none\nmqtt.listeners.tcp = none\nmqtt.listeners.ssl.default = 8883\n"),
    ),
    (
        "RABBITMQ_LISTENER_WITHOUT_TLS_CHECK",
        conf!("listeners.tcp.default = 5672\n"),
        1,
        conf!("listeners.tcp.local = 127.0.0.1:5672\nlisteners.tcp.six = ::1:5672\n"),
    ),
    ("RABBITMQ_LISTENER_WITHOUT_TLS_CHECK", conf!("heartbeat = 60\n"), 0, conf!("listeners.tcp = none\n")),
    (
        "RABBITMQ_LISTENER_WITHOUT_TLS_CHECK",
        conf!("listeners.tcp = none\nweb_mqtt.tcp.port = 15675\n"),
        2,
        conf!("listeners.tcp = none\nweb_mqtt.tcp.ip = 127.0.0.1\nweb_mqtt.tcp.port = 15675\n"),
    ),
    (
        "RABBITMQ_MANAGEMENT_WITHOUT_TLS_CHECK",
        conf!("management.tcp.port = 15672\n"),
        1,
        conf!("management.tcp.port = 15672\nmanagement.tcp.ip = 127.0.0.1\n"),
    ),
    (
        "RABBITMQ_MANAGEMENT_WITHOUT_TLS_CHECK",
        conf!("management.path_prefix = /m\n"),
        0,
        conf!("management.ssl.port = 15671\n"),
    ),
    (
        "RABBITMQ_METRICS_OPEN_CHECK",
        conf!("prometheus.tcp.port = 15692\n"),
        1,
        conf!("prometheus.tcp.ip = 127.0.0.1\n"),
    ),
    (
        "RABBITMQ_PASSWORD_HASH_CHECK",
        conf!("password_hashing_module = rabbit_password_hashing_md5\n"),
        1,
        conf!("password_hashing_module = rabbit_password_hashing_sha512\n"),
    ),
    (
        "RABBITMQ_PASSWORD_HASH_CHECK",
        &[(
            "d.json",
            "{\"rabbit_version\":\"3\",\"users\":[{\"name\":\"a\",\n\"password\":\"k8vQzz1\"},\n{\"name\":\"b\",\"password_hash\":\"xyKKE5sibJoz1ITZ\"}]}",
        )],
        3,
        &[(
            "d.json",
            "{\"rabbit_version\":\"3\",\"users\":[{\"name\":\"a\",\"password\":\"RABBITMQ_DEFAULT_PASS\"}]}",
        )],
    ),
    (
        "RABBITMQ_PEER_CERTIFICATE_OPTIONAL_CHECK",
        conf!(
            "listeners.ssl.default = 5671\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n"
        ),
        3,
        conf!(
            "listeners.ssl.default = 5671\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
        ),
    ),
    (
        "RABBITMQ_PROXY_PROTOCOL_CHECK",
        conf!("mqtt.proxy_protocol = true\n"),
        1,
        conf!("mqtt.proxy_protocol = false\n"),
    ),
    (
        "RABBITMQ_TLS_CIPHERS_CHECK",
        conf!("ssl_options.ciphers.1 = ECDHE-RSA-AES256-GCM-SHA384\nssl_options.ciphers.2 = DES-CBC3-SHA\n"),
        2,
        conf!("ssl_options.ciphers.1 = ECDHE-RSA-AES256-GCM-SHA384\n"),
    ),
    (
        "RABBITMQ_TLS_VERSION_CHECK",
        conf!("ssl_options.versions.1 = tlsv1.2\nssl_options.versions.2 = tlsv1.1\n"),
        2,
        conf!("ssl_options.versions.1 = tlsv1.2\n"),
    ),
    (
        "RABBITMQ_WATERMARK_CHECK",
        conf!("vm_memory_high_watermark.relative = 0.95\ndisk_free_limit.absolute = 2GB\n"),
        1,
        conf!("vm_memory_high_watermark.relative = 0.6\ndisk_free_limit.absolute = 2GB\n"),
    ),
    (
        "RABBITMQ_WATERMARK_CHECK",
        conf!("\ndisk_free_limit.absolute = 50MB\n"),
        2,
        conf!("disk_free_limit.relative = 1.0\n"),
    ),
    (
        "LOGGING_DISABLED_CHECK",
        conf!("log.connection.level = error\n"),
        1,
        conf!("log.connection.level = info\n"),
    ),
    (
        "LOGGING_DISABLED_CHECK",
        conf!("log.file = false\n"),
        1,
        conf!("log.file = false\nlog.console = true\n"),
    ),
    ("BROKER_FILE_NOT_READ_CHECK", &[("advanced.config", "[{rabbit, []}].\n")], 0, conf!("heartbeat = 1\n")),
    (
        "BROKER_INCLUDE_MISSING_CHECK",
        conf!("load_definitions = /e/d.json\n"),
        1,
        &[("rabbitmq.conf", "load_definitions = /e/d.json\n"), ("d.json", "{\"rabbit_version\":\"3\"}")],
    ),
    (
        "BROKER_SECRET_IN_CONFIGURATION_CHECK",
        conf!("default_pass = k8vQzz1\n"),
        1,
        conf!("default_pass = <pass>\n"),
    ),
    (
        "BROKER_CONFIGURATION_INVALID_CHECK",
        conf!("heartbeat = 1\nmqtt.vhost /d\n"),
        2,
        conf!("heartbeat = 1\n"),
    ),
];

#[test]
fn the_hash_of_a_common_password_is_known() {
    let users = |hash: &str| {
        format!(
            "{{\"users\":[{{\"name\":\"a\",\"password_hash\":\"{hash}\",\"hashing_algorithm\":\"rabbit_password_hashing_sha256\"}}]}}"
        )
    };
    let guessed = |hash: &str| {
        rules_of(&[("d.json", &users(hash))]).contains(&"RABBITMQ_DEFAULT_PASSWORD_CHECK".to_owned())
    };
    assert!(guessed(GUEST_HASH) && !guessed(RANDOM_HASH) && !guessed("?"));
}

/// Without a `guest` in the definitions there is nobody yet to log in.
#[test]
fn guest_is_worse_if_it_exists() {
    let severity = |definitions: &str| {
        let found = found(&[("rabbitmq.conf", "loopback_users = none\n"), ("d.json", definitions)]);
        found.iter().find(|finding| finding.check == "RABBITMQ_GUEST_REMOTE_CHECK").unwrap().severity
    };
    assert_eq!(severity("{\"rabbit_version\":\"3\",\"users\":[{\"name\":\"a\"}]}"), Severity::Medium);
    assert_eq!(severity("{\"rabbit_version\":\"3\",\"users\":[{\"name\":\"guest\"}]}"), Severity::Critical);
}

/// `conf.d` comes after `rabbitmq.conf`, by name.
#[test]
fn later_files_override() {
    let rules = rules_of(&[
        ("e/conf.d/20.conf", "heartbeat = 30\n"),
        ("e/rabbitmq.conf", "heartbeat = 0\nlisteners.tcp = none\n"),
        ("e/conf.d/10.conf", "loopback_users = none\nload_definitions = x\n"),
    ]);
    assert!(rules.contains(&"RABBITMQ_GUEST_REMOTE_CHECK".to_owned()));
    assert!(!rules.contains(&"RABBITMQ_HEARTBEAT_CHECK".to_owned()), "{rules:?}");
}
