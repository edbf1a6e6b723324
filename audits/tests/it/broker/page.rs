//! `docs/broker-checks.md` says what the table says.

use std::fmt::Write as _;

use audits::broker::RULES;
use audits::catalogue::{Basis, CheckInfo, checks};

#[test]
fn page_of_the_checks() {
    let mut page = String::from(
        "# Checks of a broker's configuration\n\n\
         Made from the tables in `audits/src/broker` (`rule.rs`, and `rules.rs` of each broker) by a test.\n\
         `BROKER_…` are for Mosquitto 2.0 and 2.1 or for any broker, `RABBITMQ_…` for RabbitMQ 3 and 4,\n\
         `EMQX_…` for EMQX 3, 4 and 5, `NATS_…` for the NATS server 2.\n\n\
         Of a file the first 4 MiB are looked at, of a nested configuration 32 values within each other,\n\
         1,000 keys of a map and 100,000 values with all that it includes, of lines `key = value` 100,000;\n\
         what is left out is told (`BROKER_BOUND_CHECK`). The values of secrets are never shown.\n\n\
         `LOGGING_DISABLED_CHECK` has its name and severity from AWS IoT Device Defender; the others are ours.\n",
    );
    for rule in RULES {
        let info = CheckInfo::from(rule);
        let basis = if info.basis == Basis::Aws { "AWS" } else { "ours" };
        writeln!(page, "\n## {}\n\n{:?}, {basis}; reason code `{}`.\n", rule.name, rule.severity, rule.code)
            .unwrap();
        writeln!(page, "*What it notices.* {}.\n", rule.notices).unwrap();
        writeln!(page, "*Why it matters.* {}.\n", rule.why).unwrap();
        writeln!(page, "*What to do.* {}.\n", rule.remedy).unwrap();
        writeln!(page, "*References.* {}", rule.references).unwrap();
    }
    super::check_file("../docs/broker-checks.md", &page);
}

#[test]
fn the_catalogue_has_every_rule_once_by_name() {
    let all = checks();
    for rule in RULES {
        assert_eq!(all.iter().filter(|info| info.name == rule.name).count(), 1, "{}", rule.name);
    }
    assert!(RULES.windows(2).all(|pair| pair[0].name < pair[1].name));
}
