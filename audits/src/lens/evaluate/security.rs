//! Questions 1 to 7.

use super::super::evidence::Evidence;
use super::super::figure::{Figure, Source};
use super::{
    CHECK_BASIS, Evaluator, NONE_BASIS, ONE_BASIS, affirmed, alert_sinks, automatic_group_rules, daily_audit,
    judged, logging,
};

pub(super) const TABLE: &[(&str, Evaluator)] = &[
    ("1.1", identities),
    ("1.2", least_privilege),
    ("2.1", secure_element),
    ("2.2", tpm),
    ("2.3", protected_boot),
    ("3.1", users),
    ("3.2", decoupled),
    ("4.1", authorization_errors),
    ("4.2", alerts),
    ("4.3", remediation),
    ("5.1", incident_response),
    ("6.1", certificates),
    ("7.1", encryption),
];

fn identities(evidence: &Evidence) -> Vec<Figure> {
    let stream = &evidence.stream;
    vec![
        Figure::checks(
            &evidence.audit,
            "credentials that several devices share, or that nobody checks",
            &[&["DEVICE_CERTIFICATE_SHARED_CHECK"], &["BROKER_ANONYMOUS_ACCESS_CHECK"]],
            &[
                "CONFLICTING_CLIENT_IDS_CHECK",
                "CERTIFICATE_KEY_REUSED_CHECK",
                "BROKER_CLIENT_ID_FREE_CHECK",
                "BROKER_CLIENT_ID_EMPTY_CHECK",
            ],
            CHECK_BASIS,
        ),
        Figure::share(
            Source::Stream,
            "user names and certificate identities that one device alone uses",
            stream.unshared_principals,
            100,
            NONE_BASIS,
        ),
        Figure::share(
            Source::Stream,
            "devices whose every session has a user name or certificate",
            stream.with_principal,
            100,
            NONE_BASIS,
        ),
        Figure::shown(Source::Stream, "sessions taken over", stream.takeovers.map(|n| n.to_string())),
    ]
}

fn least_privilege(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::checks(
            &evidence.audit,
            "policies and access lists that allow more than the device needs",
            &[
                &["IOT_POLICY_OVERLY_PERMISSIVE_CHECK"],
                &["ACL_OTHER_DEVICES_CHECK", "ACL_ROOT_WILDCARD_CHECK"],
            ],
            &[
                "IOT_POLICY_POTENTIAL_MISCONFIGURATION_CHECK",
                "ACL_DEFAULT_ALLOW_CHECK",
                "ACL_CLIENT_ID_FREE_CHECK",
                "ACL_ADMINISTRATIVE_TOPICS_CHECK",
                "BLAST_RADIUS_CHECK",
                "BROKER_ACL_MISSING_CHECK",
            ],
            CHECK_BASIS,
        ),
        Figure::shown(
            Source::Stream,
            "refused publishes and subscribes",
            evidence.stream.denials.map(|denials| denials.to_string()),
        ),
    ]
}

/// The registry says so of the devices, all of them.
fn said_of_all(evidence: &Evidence, what: &str, names: &[&str]) -> Figure {
    Figure::share(Source::Registry, what, affirmed(evidence, names), 100, NONE_BASIS)
}

fn secure_element(evidence: &Evidence) -> Vec<Figure> {
    let what = "things whose attribute secureElement says yes";
    vec![said_of_all(evidence, what, &["secureelement", "hsm", "securestorage"])]
}

fn tpm(evidence: &Evidence) -> Vec<Figure> {
    vec![said_of_all(evidence, "things whose attribute tpm says yes", &["tpm"])]
}

fn protected_boot(evidence: &Evidence) -> Vec<Figure> {
    let boot = "things whose attribute secureBoot says yes";
    let disk = "things whose attribute diskEncryption says yes";
    vec![
        said_of_all(evidence, boot, &["secureboot", "protectedboot"]),
        said_of_all(evidence, disk, &["diskencryption", "storageencryption"]),
    ]
}

fn users(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::checks(
            &evidence.audit,
            "ways into the broker without a login, or with rights of administration for many",
            &[&["BROKER_ANONYMOUS_ACCESS_CHECK"], &["UNAUTHENTICATED_COGNITO_ROLE_OVERLY_PERMISSIVE_CHECK"]],
            &[
                "AUTHENTICATED_COGNITO_ROLE_OVERLY_PERMISSIVE_CHECK",
                "ACL_ADMINISTRATIVE_TOPICS_CHECK",
                "BROKER_CREDENTIALS_MISSING_CHECK",
                "BROKER_ACL_MISSING_CHECK",
                "BROKER_PASSWORD_HASH_CHECK",
            ],
            CHECK_BASIS,
        ),
        Figure::fact(
            Source::Configuration,
            "Fleetward's endpoint is off, or on this machine alone and asks for a token",
            evidence.configuration.endpoint_closed,
            ONE_BASIS,
        ),
    ]
}

fn decoupled(evidence: &Evidence) -> Vec<Figure> {
    let what = "users with rights on all topics of the broker";
    let also = ["ACL_ADMINISTRATIVE_TOPICS_CHECK", "BROKER_BRIDGE_WIDE_CHECK"];
    vec![Figure::checks(&evidence.audit, what, &[&["ACL_ROOT_WILDCARD_CHECK"]], &also, CHECK_BASIS)]
}

fn authorization_errors(evidence: &Evidence) -> Vec<Figure> {
    let own = &evidence.configuration;
    vec![
        Figure::any_of(
            Source::Configuration,
            "a source tells of refused logins",
            own.facts.as_ref(),
            &["auth-failures"],
            ONE_BASIS,
        ),
        judged(
            evidence,
            "a behavior judges refused logins and denials",
            &["aws:num-authorization-failures", "aws:num-connection-attempts"],
        ),
        logging(evidence),
        Figure::at_most(
            Source::Running,
            "sources that deliver nothing",
            evidence.running.sources_away,
            0,
            NONE_BASIS,
        )
        .refuting(),
        Figure::shown(
            Source::Stream,
            "refused logins",
            evidence.stream.auth_failures.map(|failures| failures.to_string()),
        ),
    ]
}

fn all_watched(evidence: &Evidence) -> Figure {
    let targets = evidence.configuration.targets.as_ref();
    let has = |name: &str| targets.map(|targets| targets.contains(name));
    let all = has("all/things").zip(has("all/registered-things")).zip(has("all/unregistered-things"));
    let holds = all.map(|((all, registered), unregistered)| all || registered && unregistered);
    let mut figure =
        Figure::fact(Source::Configuration, "security profiles watch all things", holds, ONE_BASIS);
    figure.found = targets.map(|targets| {
        let names: Vec<&str> = targets.iter().map(String::as_str).collect();
        if names.is_empty() { "no target".to_owned() } else { names.join(", ") }
    });
    "all/things, or registered and unregistered things".clone_into(&mut figure.wanted);
    figure
}

fn alerts(evidence: &Evidence) -> Vec<Figure> {
    vec![
        all_watched(evidence),
        alert_sinks(evidence),
        daily_audit(evidence),
        Figure::at_most(
            Source::Running,
            "alerts that no receiver took",
            evidence.running.dead_letters,
            0,
            NONE_BASIS,
        )
        .refuting(),
    ]
}

fn remediation(evidence: &Evidence) -> Vec<Figure> {
    vec![daily_audit(evidence), automatic_group_rules(evidence)]
}

fn incident_response(evidence: &Evidence) -> Vec<Figure> {
    let own = &evidence.configuration;
    let guard = own.guard_things_max.zip(own.guard_span_secs);
    vec![
        Figure::at_least(
            Source::Configuration,
            "actions that put a device into quarantine",
            own.group_actions,
            1,
            ONE_BASIS,
        ),
        Figure::at_least(
            Source::Running,
            "mitigations that were carried out and seen to hold",
            evidence.running.proven_mitigations,
            1,
            "iot-lens.md 5.1: the way is exercised",
        ),
        Figure::shown(
            Source::Configuration,
            "guard rail",
            guard.map(|(things, secs)| format!("{things} things in {secs} s")),
        ),
    ]
}

fn certificates(evidence: &Evidence) -> Vec<Figure> {
    vec![Figure::checks(
        &evidence.audit,
        "certificates that expire, are revoked, or cannot be revoked",
        &[&["DEVICE_CERTIFICATE_EXPIRING_CHECK", "REVOKED_DEVICE_CERTIFICATE_STILL_ACTIVE_CHECK"]],
        &[
            "CA_CERTIFICATE_EXPIRING_CHECK",
            "REVOKED_CA_CERTIFICATE_STILL_ACTIVE_CHECK",
            "INTERMEDIATE_CA_REVOKED_FOR_ACTIVE_DEVICE_CERTIFICATES_CHECK",
            "DEVICE_CERTIFICATE_AGE_CHECK",
            "CERTIFICATE_VALIDITY_TOO_LONG_CHECK",
            "CERTIFICATE_NO_REVOCATION_SOURCE_CHECK",
            "CRL_MISSING_CHECK",
            "CRL_STALE_CHECK",
            "BROKER_CERTIFICATE_DATES_CHECK",
            "BROKER_CERTIFICATE_REVOCATION_CHECK",
        ],
        CHECK_BASIS,
    )]
}

fn encryption(evidence: &Evidence) -> Vec<Figure> {
    vec![
        Figure::checks(
            &evidence.audit,
            "plain text or weak encryption on the wire",
            &[&["BROKER_LISTENER_WITHOUT_TLS_CHECK", "BROKER_TLS_VERSION_CHECK"]],
            &[
                "BROKER_TLS_CIPHERS_CHECK",
                "BROKER_BRIDGE_WITHOUT_TLS_CHECK",
                "BROKER_BRIDGE_UNVERIFIED_CHECK",
            ],
            CHECK_BASIS,
        ),
        Figure::fact(
            Source::Configuration,
            "data are encrypted where they are stored",
            evidence.configuration.encrypted_at_rest,
            ONE_BASIS,
        ),
    ]
}
