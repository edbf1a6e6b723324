//! The rules for NATS. Facts: `broker-integration.md`, section 5; the configuration pages of the NATS
//! documentation; `server/opts.go` of 2.10 to 2.12.

use super::super::rule::{Rule, rules};

rules! {
    NATS_ACCESS_WIDE_CHECK, High, "ACCESS_WIDE",
    "a user who is no administrator reads and writes every subject",
    "one stolen password reads what all devices say, and commands them",
    "set `permissions` with the subjects that are needed, or `default_permissions`",
    "NATS documentation, Authorization; broker-integration.md 5";

    NATS_ANONYMOUS_ACCESS_CHECK, Critical, "ANONYMOUS_ACCESS",
    "clients are let in without an identity",
    "anybody can read what devices say and command them",
    "set `authorization` or `accounts` with users, and remove `no_auth_user`",
    "NATS documentation, Authentication; MQTT, no_auth_user";

    NATS_CERTIFICATE_IDENTITY_CHECK, Low, "IDENTITY_NOT_USED",
    "a certificate is required, but gives no name",
    "one stolen certificate goes with any user name",
    "set `verify_and_map: true`",
    "NATS documentation, TLS authentication";

    NATS_CERTIFICATE_REVOCATION_CHECK, Medium, "REVOCATION",
    "revoked certificates are accepted",
    "a stolen device stays welcome",
    "set `ocsp_peer: true` in `tls`",
    "NATS documentation, OCSP peer verification; broker-integration.md 1.2";

    NATS_CLIENT_CERTIFICATE_CHECK, Low, "CLIENT_CERTIFICATE_NOT_REQUIRED",
    "a TLS listener asks clients for no certificate",
    "a device is then known by a password alone, which can be copied",
    "set `verify_and_map: true` and `ca_file`",
    "NATS documentation, TLS configuration";

    NATS_DEFAULT_PASSWORD_CHECK, High, "DEFAULT_PASSWORD",
    "a password or token is one that is tried first",
    "the first guess lets an attacker in",
    "make a random one with `nats server passwd`",
    "NATS documentation, Username/Password";

    NATS_JETSTREAM_ENCRYPTION_CHECK, Low, "STORE_IN_CLEAR",
    "messages and sessions are kept on disk in clear",
    "whoever gets the disk reads what devices said",
    "set `jetstream { cipher: aes, key: $JS_KEY }`, or encrypt the disk",
    "NATS documentation, JetStream encryption at rest";

    NATS_JETSTREAM_LIMITS_CHECK, Medium, "JETSTREAM_LIMITS",
    "sessions and retained messages of MQTT may fill memory or disk",
    "one account uses up what all need, and the server stops to keep messages",
    "set `max_memory_store` and `max_file_store`, and limits in `jetstream` of each account",
    "NATS documentation, JetStream configuration, account limits";

    NATS_JETSTREAM_MISSING_CHECK, Medium, "JETSTREAM_MISSING",
    "MQTT is on without what it keeps its sessions in",
    "the server does not start, or clients cannot connect",
    "set `jetstream {}` and `server_name`",
    "NATS documentation, MQTT configuration, requirements";

    NATS_LIMITS_CHECK, Low, "LIMITS_MISSING",
    "a limit for connections, subscriptions or the size of messages is off or very large",
    "one client can use up the server",
    "leave `max_payload` at 1MB to 8MB, and set `max_connections` and `max_subscriptions`",
    "NATS documentation, Server configuration, limits";

    NATS_LISTENER_WITHOUT_TLS_CHECK, High, "LISTENER_IN_CLEAR",
    "a listener that others can reach has no TLS, websockets too",
    "passwords and messages can be read and changed on the way",
    "set `tls` within `mqtt`, at the top, and within `websocket`; or listen on 127.0.0.1",
    "NATS documentation, MQTT configuration, TLS configuration; RFC 9325";

    NATS_MONITORING_OPEN_CHECK, High, "MONITORING_OPEN",
    "the monitoring port is open to all",
    "everybody reads who is connected from where, and what it subscribes to; up to 2.12 passwords of MQTT clients too",
    "set `http: 127.0.0.1:8222`",
    "NATS documentation, Monitoring; broker-integration.md 5";

    NATS_PASSWORD_PLAIN_CHECK, High, "PASSWORD_PLAIN",
    "a password or token is kept as plain text or with a weak hash",
    "whoever gets the file has the passwords",
    "put in the bcrypt hash that `nats server passwd` makes, or use NKeys",
    "NATS documentation, Username/Password, bcrypted passwords";

    NATS_PROFILING_OPEN_CHECK, Medium, "PROFILING_OPEN",
    "the profiling port is open to all",
    "everybody reads the server's memory, and can slow it down",
    "remove `prof_port`",
    "NATS documentation, Profiling";

    NATS_REMOTE_UNVERIFIED_CHECK, High, "REMOTE_UNVERIFIED",
    "the certificate of another server is not looked at",
    "somebody between reads and changes everything that crosses",
    "remove `insecure: true` and set `ca_file`",
    "NATS documentation, TLS configuration, insecure; RFC 9525";

    NATS_ROUTES_OPEN_CHECK, High, "ROUTES_OPEN",
    "servers join without a password or a certificate",
    "whoever reaches the port becomes a server, and reads and writes everything",
    "set `authorization` in `cluster`, `gateway` and `leafnodes`, or `tls { verify: true }`",
    "NATS documentation, Clustering configuration";

    NATS_ROUTES_WITHOUT_TLS_CHECK, High, "ROUTES_IN_CLEAR",
    "servers speak with each other in clear",
    "all messages and passwords can be read between the servers",
    "set `tls` in `cluster`, `gateway` and `leafnodes`, and `tls://` in `remotes`",
    "NATS documentation, Clustering, Leaf nodes, TLS";

    NATS_SYSTEM_ACCOUNT_CHECK, Low, "SYSTEM_ACCOUNT",
    "no user belongs to the system account",
    "nobody can be told who connects and who is refused",
    "set `system_account: SYS` and an account `SYS` with a user",
    "NATS documentation, System events; broker-integration.md 5";

    NATS_TLS_CIPHERS_CHECK, Medium, "WEAK_CIPHERS",
    "broken ciphers, or ones without secrecy, are offered",
    "what is sent can be read or changed",
    "remove `cipher_suites` and `allow_insecure_cipher_suites`",
    "RFC 7465; RFC 9325 section 4; NATS documentation, TLS configuration";

    NATS_TLS_VERSION_CHECK, High, "OLD_TLS",
    "TLS below 1.2 is asked for",
    "TLS 1.0 and 1.1 are forbidden since 2021; new servers do not start with it",
    "set `min_version: \"1.2\"`",
    "RFC 8996; NATS documentation, TLS configuration, min_version";

    NATS_TRACE_CHECK, Medium, "TRACE_ON",
    "what clients send is written to the log",
    "the log then holds messages and passwords, and fills the disk",
    "remove `trace` and `trace_verbose`",
    "NATS documentation, Logging";

    NATS_WEBSOCKET_ORIGIN_CHECK, Low, "ANY_ORIGIN",
    "pages of any site may connect over websockets",
    "a page that an operator visits speaks to the server from his browser",
    "set `same_origin: true` or `allowed_origins`",
    "NATS documentation, WebSocket configuration; RFC 6455 section 10.2";
}
