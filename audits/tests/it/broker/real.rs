//! The real deployments of `mqtt-broker-configs`, against the table of verdicts that is there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use audits::broker::{ConfigFile, Options, audit};
use audits::finding::{Finding, Severity};

const SET: &str = "mqtt-broker-configs";

/// A check of the table, and the one here. What access lists grant is compared in `policy/brokers.rs`.
const SAME: [(&str, &str); 13] = [
    ("anonymous_access", "BROKER_ANONYMOUS_ACCESS_CHECK"),
    ("bridge_insecure", "BROKER_BRIDGE_UNVERIFIED_CHECK"),
    ("bridge_plaintext", "BROKER_BRIDGE_WITHOUT_TLS_CHECK"),
    ("insufficient_logging", "LOGGING_DISABLED_CHECK"),
    ("no_credentials_source", "BROKER_CREDENTIALS_MISSING_CHECK"),
    ("no_resource_limits", "BROKER_LIMITS_CHECK"),
    ("no_topic_acl", "BROKER_ACL_MISSING_CHECK"),
    ("plaintext_listener", "BROKER_LISTENER_WITHOUT_TLS_CHECK"),
    ("runs_as_root", "BROKER_ROOT_USER_CHECK"),
    ("secret_in_config", "BROKER_SECRET_IN_CONFIGURATION_CHECK"),
    ("tls_without_client_certificate", "BROKER_CLIENT_CERTIFICATE_CHECK"),
    ("weak_password_hash", "BROKER_PASSWORD_HASH_CHECK"),
    ("weak_tls_version", "BROKER_TLS_VERSION_CHECK"),
];

/// Where the verdict here is another: deployment, check, verdict of the table, verdict here.
const DIFFERENT: [(&str, &str, &str, &str); 3] = [
    // The table looks only at password files that the configuration names; a file of hashes that lies
    // beside it is told here, since its passwords are no safer.
    ("mosquitto-010", "weak_password_hash", "na", "info"),
    // `max_connections 100` stands below `listener 9001`: 1883 and 8883 have no limit.
    ("mosquitto-072", "no_resource_limits", "pass", "info"),
    // As 010: a state of dynamic security (101 rounds), although its plug-in is not loaded.
    ("mosquitto-082", "weak_password_hash", "na", "info"),
];

/// The same for EMQX and RabbitMQ. `plaintext_listener` of the table means the dashboard and the
/// management API too.
const OTHERS: [(&str, &[&str]); 13] = [
    ("acl_default_allow", &["EMQX_ACL_DEFAULT_ALLOW_CHECK"]),
    ("anonymous_access", &["EMQX_ANONYMOUS_ACCESS_CHECK"]),
    ("default_cookie", &["EMQX_COOKIE_CHECK"]),
    ("guessable_credential", &["EMQX_DEFAULT_PASSWORD_CHECK"]),
    ("guest_remote_login", &["RABBITMQ_GUEST_REMOTE_CHECK"]),
    ("heartbeat_disabled", &["RABBITMQ_HEARTBEAT_CHECK"]),
    ("over_broad_permission", &["RABBITMQ_ACCESS_WIDE_CHECK"]),
    (
        "plaintext_listener",
        &[
            "EMQX_LISTENER_WITHOUT_TLS_CHECK",
            "EMQX_DASHBOARD_WITHOUT_TLS_CHECK",
            "RABBITMQ_LISTENER_WITHOUT_TLS_CHECK",
            "RABBITMQ_MANAGEMENT_WITHOUT_TLS_CHECK",
        ],
    ),
    ("secret_in_config", &["BROKER_SECRET_IN_CONFIGURATION_CHECK"]),
    ("tls_without_client_certificate", &["EMQX_CLIENT_CERTIFICATE_CHECK"]),
    ("too_many_administrators", &["RABBITMQ_ADMINISTRATORS_CHECK"]),
    ("weak_password_hash", &["EMQX_PASSWORD_HASH_CHECK", "RABBITMQ_PASSWORD_HASH_CHECK"]),
    ("weak_tls_version", &["EMQX_TLS_VERSION_CHECK", "RABBITMQ_TLS_VERSION_CHECK"]),
];

fn read(folder: &Path, into: &mut Vec<ConfigFile>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read(&path, into);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            into.push(ConfigFile { path: path.display().to_string(), bytes, ..ConfigFile::default() });
        }
    }
}

/// All deployments with their findings, by name.
fn deployments() -> BTreeMap<String, Vec<Finding>> {
    let root = crate::data_set(SET);
    let folders =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let audited = |folder: std::path::PathBuf| {
        let mut files = Vec::new();
        read(&folder, &mut files);
        (folder.file_name().unwrap().to_string_lossy().into_owned(), audit(&files, &Options::default()))
    };
    folders.map(audited).collect()
}

/// The table's verdict of what was found; what has no finding is `pass`, `na` or `unknown` there.
fn verdict(findings: &[Finding], rule: &str) -> &'static str {
    let worst = findings.iter().filter(|finding| finding.check == rule).map(|finding| finding.severity).min();
    let told_only = ["BROKER_LIMITS_CHECK", "BROKER_CLIENT_CERTIFICATE_CHECK"].contains(&rule);
    match worst {
        None => "none",
        Some(_) if told_only => "info",
        Some(Severity::Low) if rule != "LOGGING_DISABLED_CHECK" => "info",
        Some(_) => "fail",
    }
}

#[test]
fn verdicts_of_the_table() {
    let found = deployments();
    let table = std::fs::read_to_string(crate::data_set(SET).join("verdicts.csv")).unwrap();
    let (mut compared, mut different) = (0, Vec::new());
    for line in table.lines().skip(1) {
        let mut fields = line.splitn(4, ',');
        let mut field = || fields.next().unwrap();
        let (deployment, check, expected) = (field(), field(), field());
        let Some((_, rule)) = SAME.iter().find(|(name, _)| *name == check) else { continue };
        if !deployment.starts_with("mosquitto-") {
            continue;
        }
        compared += 1;
        let seen = verdict(&found[deployment], rule);
        let silent = matches!(expected, "pass" | "na" | "unknown");
        if seen != expected && !(seen == "none" && silent) {
            different.push((deployment, check, expected, seen));
        }
    }
    assert_eq!(compared, 60 * SAME.len());
    assert_eq!(different, DIFFERENT);
}

#[test]
fn verdicts_of_emqx_and_rabbitmq() {
    let found = deployments();
    let table = std::fs::read_to_string(crate::data_set(SET).join("verdicts.csv")).unwrap();
    let (mut compared, mut different) = (0, Vec::new());
    for line in table.lines().skip(1).filter(|line| !line.starts_with("mosquitto-")) {
        let mut fields = line.splitn(4, ',');
        let mut field = || fields.next().unwrap();
        let (deployment, check, expected) = (field(), field(), field());
        let (_, rules) = OTHERS.iter().find(|(name, _)| *name == check).unwrap();
        compared += 1;
        let of_rules = found[deployment].iter().filter(|finding| rules.contains(&&*finding.check));
        let seen = match of_rules.map(|finding| finding.severity).min() {
            None => "none",
            Some(Severity::Low) => "info",
            Some(_) => "fail",
        };
        let silent = matches!(expected, "pass" | "na" | "unknown");
        if seen != expected && !(seen == "none" && silent) {
            different.push((deployment, check, expected, seen));
        }
    }
    assert_eq!(compared, 33);
    assert_eq!(different, []);
}

/// Every file of the data set is one that is known.
#[test]
fn all_files_are_recognised() {
    let found = deployments();
    let unknown: Vec<_> =
        found.values().flatten().filter(|finding| finding.check == "BROKER_FILE_UNKNOWN_CHECK").collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn numbers_of_findings() {
    let found = deployments();
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for findings in found.values() {
        let mut seen = BTreeMap::<&str, usize>::new();
        findings.iter().for_each(|finding| *seen.entry(&finding.check).or_default() += 1);
        for (check, number) in seen {
            let count = counts.entry(check.to_owned()).or_default();
            *count = (count.0 + number, count.1 + 1);
        }
    }
    let mut page = format!("{} deployments; check, findings, deployments\n", found.len());
    for (check, (findings, deployments)) in counts {
        writeln!(page, "{check} {findings} {deployments}").unwrap();
    }
    super::check_file("tests/it/broker/golden/counts.txt", &page);
}
