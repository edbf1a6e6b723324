//! The rules for RabbitMQ. Facts: `broker-integration.md`, section 4; the schemas of RabbitMQ 3.13 and
//! 4.x (`rabbit.schema`, `rabbitmq_mqtt.schema`); the guides of its documentation.

use super::super::rule::{Rule, rules};

rules! {
    RABBITMQ_ACCESS_WIDE_CHECK, High, "ACCESS_WIDE",
    "a user who is no administrator reads and writes every topic of a virtual host",
    "one stolen password reads what all devices say, and commands them",
    "narrow its permissions, and give it a topic permission on `amq.topic` with its own name (`^devices\\.{username}\\.`)",
    "Access Control guide, topic authorisation; broker-integration.md 4.3";

    RABBITMQ_ADMINISTRATORS_CHECK, Low, "ADMINISTRATORS",
    "more than one user has the tag `administrator`",
    "each of them may change everything, and what one did cannot be told from another",
    "give services the tag `monitoring` or `management`, or none",
    "Access Control guide, user tags";

    RABBITMQ_ANONYMOUS_ACCESS_CHECK, Critical, "ANONYMOUS_ACCESS",
    "MQTT clients without a user name are let in",
    "anybody can read what devices say and command them",
    "set `mqtt.allow_anonymous = false`",
    "MQTT plugin guide, anonymous access; rabbitmq_mqtt.schema";

    RABBITMQ_BACKEND_WITHOUT_TLS_CHECK, Medium, "BACKEND_IN_CLEAR",
    "user names and passwords are checked over the network in clear",
    "whoever is between reads every password and lets in whom he wants",
    "use `https://` for `auth_http`, `auth_ldap.use_ssl = true` for LDAP",
    "HTTP and LDAP authentication guides";

    RABBITMQ_CERTIFICATE_IDENTITY_CHECK, Medium, "IDENTITY_NOT_USED",
    "a certificate is required, but gives no name",
    "one stolen certificate goes with any user name",
    "set `mqtt.ssl_cert_login = true`, and `auth_mechanisms` with EXTERNAL for AMQP",
    "MQTT plugin guide, certificate-based authentication";

    RABBITMQ_CLIENT_CERTIFICATE_CHECK, Low, "CLIENT_CERTIFICATE_NOT_REQUIRED",
    "a TLS listener asks clients for no certificate",
    "a device is then known by a password alone, which can be copied",
    "set `ssl_options.verify = verify_peer` and `ssl_options.fail_if_no_peer_cert = true`",
    "TLS guide, peer verification";

    RABBITMQ_CLIENT_ID_FREE_CHECK, Medium, "CLIENT_ID_FREE",
    "MQTT client ids are not tied to credentials",
    "one valid credential is enough to throw out any device, again and again",
    "set `mqtt.ssl_cert_login = true` and `mqtt.ssl_cert_client_id_from` (RabbitMQ 4)",
    "MQTT plugin guide; broker-integration.md 4.2";

    RABBITMQ_CLUSTER_WITHOUT_TLS_CHECK, Medium, "CLUSTER_IN_CLEAR",
    "nodes of a cluster speak with each other in clear",
    "all messages can be read between the nodes, and the cookie is all that keeps others out",
    "use `-proto_dist inet_tls` in `rabbitmq-env.conf`",
    "Clustering over TLS guide";

    RABBITMQ_COOKIE_CHECK, High, "COOKIE_WEAK",
    "the cookie of the nodes can be guessed",
    "whoever has it runs any code in the broker",
    "let the broker make one, or take 20 random letters or more; 0400, owned by the broker",
    "Clustering guide, Erlang cookie";

    RABBITMQ_DEFAULT_PASSWORD_CHECK, High, "DEFAULT_PASSWORD",
    "a user has the default password, or one that is tried first",
    "the first guess lets an attacker in",
    "delete the user `guest`, and set random passwords",
    "Production checklist, users and permissions";

    RABBITMQ_DEFAULT_VHOST_CHECK, Low, "DEFAULT_VHOST",
    "devices share the virtual host `/` with everything else",
    "permissions there tend to be those of other services, and a mistake in them reaches the devices",
    "give devices a virtual host of their own: `mqtt.vhost = /devices`",
    "Production checklist, virtual hosts; rabbitmq_mqtt.schema";

    RABBITMQ_GUEST_REMOTE_CHECK, Critical, "GUEST_REMOTE",
    "the user `guest` may log in from other hosts",
    "`guest` with the password `guest` is an administrator, as everybody knows",
    "remove `loopback_users`, and delete the user `guest`",
    "Access Control guide, `guest` user can only connect from localhost";

    RABBITMQ_HEARTBEAT_CHECK, Medium, "HEARTBEAT_OFF",
    "connections that are dead are not noticed",
    "a device that is gone counts as connected, and keeps its resources",
    "remove `heartbeat = 0`; the default is 60 seconds",
    "Heartbeats guide";

    RABBITMQ_LIMITS_CHECK, Low, "LIMITS_MISSING",
    "no limit for connections or the size of messages",
    "one client can use up the broker's memory",
    "set `connection_max` or limits of the virtual host, and `mqtt.max_packet_size_authenticated`",
    "Networking guide; rabbitmq_mqtt.schema; Virtual hosts guide, limits";

    RABBITMQ_LISTENER_WITHOUT_TLS_CHECK, High, "LISTENER_IN_CLEAR",
    "a listener that others can reach has no TLS, websockets too",
    "passwords and messages can be read and changed on the way",
    "set `mqtt.listeners.tcp = none` and `mqtt.listeners.ssl.default = 8883`, or bind it to 127.0.0.1",
    "TLS guide; MQTT plugin guide, TLS; RFC 9325";

    RABBITMQ_MANAGEMENT_WITHOUT_TLS_CHECK, High, "MANAGEMENT_IN_CLEAR",
    "the management interface is open to all in clear",
    "an administrator's password can be read on the way, and guessed from anywhere",
    "set `management.ssl.port`, or `management.tcp.ip = 127.0.0.1`",
    "Management plugin guide, TLS";

    RABBITMQ_METRICS_OPEN_CHECK, Medium, "METRICS_OPEN",
    "the metrics are given to everybody who asks",
    "names of queues, and so of devices, and the load tell an attacker much",
    "set `prometheus.tcp.ip = 127.0.0.1`, or `prometheus.authentication.enabled = true`",
    "Monitoring with Prometheus guide";

    RABBITMQ_PASSWORD_HASH_CHECK, High, "PASSWORD_HASH",
    "a password is kept as plain text or with MD5",
    "whoever gets the file has the passwords",
    "set it anew with `rabbitmqctl change_password` and `password_hashing_module = rabbit_password_hashing_sha512`",
    "Passwords guide";

    RABBITMQ_PEER_CERTIFICATE_OPTIONAL_CHECK, Medium, "PEER_CERTIFICATE_OPTIONAL",
    "a certificate is looked at only if the client gives one",
    "who has none is let in as before",
    "set `ssl_options.fail_if_no_peer_cert = true`",
    "TLS guide, peer verification";

    RABBITMQ_PROXY_PROTOCOL_CHECK, Medium, "PROXY_PROTOCOL",
    "a listener that others can reach takes the client's address from the client",
    "bans and findings by address hit whom the attacker wants",
    "bind it to where only the proxy can reach it",
    "Networking guide, proxy protocol";

    RABBITMQ_TLS_CIPHERS_CHECK, Medium, "WEAK_CIPHERS",
    "broken ciphers, or ones without secrecy, are offered",
    "what is sent can be read or changed",
    "remove `ssl_options.ciphers`, or name those with AEAD and ECDHE",
    "RFC 7465; RFC 9325 section 4; TLS guide, cipher suites";

    RABBITMQ_TLS_VERSION_CHECK, High, "OLD_TLS",
    "TLS below 1.2 is accepted",
    "TLS 1.0 and 1.1 are forbidden since 2021",
    "leave `tlsv1.2` and `tlsv1.3` in `ssl_options.versions`",
    "RFC 8996; TLS guide, TLS versions";

    RABBITMQ_WATERMARK_CHECK, Medium, "WATERMARK",
    "the broker takes in messages until the host has no memory or disk left",
    "it is killed, and what it had not written is lost",
    "set `vm_memory_high_watermark.relative` to 0.4 to 0.7, and `disk_free_limit.absolute` to 2GB or more",
    "Memory and disk alarms guides; Production checklist";
}
