//! The rules for EMQX. Facts: `broker-integration.md`, section 3; the configuration manual of EMQX 5
//! (`emqx_schema`, `emqx_dashboard_schema`, `emqx_authn_schema`), and `emqx.conf` of EMQX 4.

use super::super::rule::{Rule, rules};

rules! {
    EMQX_ACL_DEFAULT_ALLOW_CHECK, High, "ACL_DEFAULT_ALLOW",
    "what no rule names is allowed to every client",
    "a device that is let in reads and commands all others",
    "set `authorization.no_match = deny`, and end `acl.conf` with `{deny, all}.`",
    "EMQX manual, Authorization; broker-integration.md 3.3";

    EMQX_ANONYMOUS_ACCESS_CHECK, Critical, "ANONYMOUS_ACCESS",
    "clients are let in without an identity",
    "anybody can read what devices say and command them",
    "set `authentication`, or `allow_anonymous = false` in EMQX 4, and certificates for devices",
    "EMQX manual, Authentication; MQTT 5.0 section 5.4.1";

    EMQX_BACKEND_UNVERIFIED_CHECK, Medium, "BACKEND_UNVERIFIED",
    "the certificate of the database that knows the passwords is not looked at",
    "who is between answers in its place, and lets in whom he wants",
    "set `ssl.verify = verify_peer` and `ssl.cacertfile`",
    "EMQX manual, TLS of external resources; RFC 9525";

    EMQX_BACKEND_WITHOUT_TLS_CHECK, Medium, "BACKEND_IN_CLEAR",
    "identities or rules are asked of another host in clear",
    "whoever is between reads hashes and passwords, and lets in whom he wants",
    "set `ssl.enable = true`, or an `https://` address",
    "EMQX manual, TLS of external resources";

    EMQX_CERTIFICATE_IDENTITY_CHECK, Medium, "IDENTITY_NOT_USED",
    "a certificate is required, but gives no name",
    "one stolen certificate goes with any user name; the access rules bind nobody",
    "set `mqtt.peer_cert_as_username = cn` or `mqtt.peer_cert_as_clientid = cn`",
    "EMQX manual, X.509 certificate authentication; broker-integration.md 3.2";

    EMQX_CERTIFICATE_REVOCATION_CHECK, Medium, "REVOCATION",
    "revoked certificates are accepted",
    "a stolen device stays welcome",
    "set `ssl_options.enable_crl_check = true`",
    "EMQX manual, CRL check; broker-integration.md 3.3";

    EMQX_CLIENT_CERTIFICATE_CHECK, Low, "CLIENT_CERTIFICATE_NOT_REQUIRED",
    "a TLS listener asks clients for no certificate",
    "a device is then known by a password alone, which can be copied",
    "set `ssl_options.verify = verify_peer` and `ssl_options.fail_if_no_peer_cert = true`",
    "EMQX manual, Enable TLS, two-way";

    EMQX_CLIENT_ID_FREE_CHECK, Medium, "CLIENT_ID_FREE",
    "client ids are not tied to credentials",
    "one valid credential is enough to throw out any device, again and again",
    "set `mqtt.use_username_as_clientid = true` or `mqtt.peer_cert_as_clientid`",
    "EMQX manual, MQTT settings; broker-integration.md 3.2";

    EMQX_CLUSTER_WITHOUT_TLS_CHECK, Medium, "CLUSTER_IN_CLEAR",
    "nodes of a cluster speak with each other in clear",
    "all messages can be read between the nodes, and the cookie is all that keeps others out",
    "set `cluster.proto_dist = inet_tls` and `rpc.protocol = ssl`",
    "EMQX manual, Cluster security";

    EMQX_COOKIE_CHECK, High, "COOKIE_WEAK",
    "the cookie of the nodes is the default one, or can be guessed",
    "whoever has it runs any code in the broker",
    "set `node.cookie` to 20 random letters or more, by `EMQX_NODE__COOKIE`",
    "EMQX manual, Cluster security, node cookie";

    EMQX_DASHBOARD_WITHOUT_TLS_CHECK, High, "DASHBOARD_IN_CLEAR",
    "the dashboard and the management API are open to all in clear",
    "an administrator's password can be read on the way, and guessed from anywhere",
    "set `dashboard.listeners.https`, and `dashboard.listeners.http.bind = 0`",
    "EMQX manual, Dashboard configuration";

    EMQX_DEFAULT_PASSWORD_CHECK, High, "DEFAULT_PASSWORD",
    "a password is the default one, or one that is tried first",
    "the first guess lets an attacker in",
    "set `dashboard.default_password` by the environment to a random text, and secrets of backends likewise",
    "EMQX manual, Dashboard, default credentials (`admin`, `public`)";

    EMQX_FLAPPING_CHECK, Low, "FLAPPING",
    "clients that connect again and again are not held back",
    "two devices with one id, or an attack, use up the broker",
    "set `flapping_detect.enable = true`",
    "EMQX manual, Flapping detect; broker-integration.md 3.3";

    EMQX_LIMITS_CHECK, Low, "LIMITS_MISSING",
    "no limit for connections, the size of messages, or their rate",
    "one client can use up the broker",
    "set `max_connections`, `max_conn_rate` and `messages_rate` of each listener, and `mqtt.max_packet_size`",
    "EMQX manual, Rate limiter, MQTT settings";

    EMQX_LISTENER_WITHOUT_TLS_CHECK, High, "LISTENER_IN_CLEAR",
    "a listener that others can reach has no TLS, websockets and gateways too",
    "passwords and messages can be read and changed on the way",
    "set `enable = false` for it, or bind it to 127.0.0.1, and use `listeners.ssl` and `listeners.wss`",
    "EMQX manual, Listeners; RFC 9325";

    EMQX_PASSWORD_HASH_CHECK, High, "PASSWORD_HASH",
    "passwords are kept as plain text or with a weak hash",
    "whoever gets the database has the passwords",
    "set `password_hash_algorithm.name = bcrypt` or `pbkdf2`",
    "EMQX manual, Password hashing; RFC 8018 section 4.2";

    EMQX_PEER_CERTIFICATE_OPTIONAL_CHECK, Medium, "PEER_CERTIFICATE_OPTIONAL",
    "a certificate is looked at only if the client gives one",
    "who has none is let in as before",
    "set `ssl_options.fail_if_no_peer_cert = true`",
    "EMQX manual, Enable TLS, two-way";

    EMQX_PROXY_PROTOCOL_CHECK, Medium, "PROXY_PROTOCOL",
    "a listener that others can reach takes the client's address from the client",
    "bans and findings by address hit whom the attacker wants",
    "bind it to where only the proxy can reach it, or set `access_rules`",
    "EMQX manual, Listeners, proxy_protocol";

    EMQX_TLS_CIPHERS_CHECK, Medium, "WEAK_CIPHERS",
    "broken ciphers, or ones without secrecy, are offered",
    "what is sent can be read or changed",
    "remove `ssl_options.ciphers`, or name those with AEAD and ECDHE",
    "RFC 7465; RFC 9325 section 4";

    EMQX_TLS_VERSION_CHECK, High, "OLD_TLS",
    "TLS below 1.2 is accepted",
    "TLS 1.0 and 1.1 are forbidden since 2021",
    "set `ssl_options.versions = [tlsv1.3, tlsv1.2]`",
    "RFC 8996; EMQX manual, Listeners";

    EMQX_TOKEN_UNBOUND_CHECK, Medium, "TOKEN_UNBOUND",
    "a token lets in whoever holds it under any name, or for ever",
    "one stolen token goes with any user name and client id",
    "set `verify_claims { username = \"${username}\" }` and `disconnect_after_expire = true`",
    "EMQX manual, JWT authentication; RFC 7519 section 4.1";
}
