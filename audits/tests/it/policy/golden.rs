//! `testdata/policy/findings.txt`: right and wrong files, and the findings about them. A block is
//! `=== SYSTEM: title`, the file, `---`, and the findings without their remedy. With `UPDATE_GOLDEN` set
//! it is written anew.

use std::fmt::Write as _;

use audits::{
    finding::Finding,
    policy::{
        check::{acl, misconfigured, permissive},
        form::{ClientIds, Document},
        parse::{aws, dynsec, emqx, mosquitto, nats, rabbitmq},
    },
};

fn findings(system: &str, text: &str) -> Vec<Finding> {
    let of = |document: Document| acl::audit(&document, &acl::Known::default());
    match system {
        "aws" => {
            let policy = aws::parse("f", text);
            let mut all: Vec<Finding> =
                permissive::audit(&policy).into_iter().chain(misconfigured::audit(&policy)).collect();
            all.extend(of(policy.document()));
            all
        }
        "mosquitto" => of(mosquitto::parse("f", text)),
        "mosquitto, ids bound" => {
            let mut document = mosquitto::parse("f", text);
            document.client_ids = ClientIds::Bound;
            of(document)
        }
        "dynsec" => of(dynsec::parse("f", text)),
        "emqx" => of(emqx::parse("f", text, emqx::NoMatch::Deny)),
        "rabbitmq" => of(rabbitmq::parse("f", text)),
        "nats" => of(nats::parse("f", text)),
        other => panic!("no system `{other}`"),
    }
}

#[test]
fn findings_are_as_in_the_table() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/policy/findings.txt");
    let table = std::fs::read_to_string(&file).unwrap();
    let mut anew = table.split("=== ").next().unwrap().to_owned();
    let (mut wrong, mut checks) = (String::new(), std::collections::BTreeSet::new());
    for block in table.split("=== ").skip(1) {
        let (title, rest) = block.split_once('\n').unwrap();
        let (text, expected) = rest.split_once("---\n").unwrap();
        let (system, _) = title.split_once(": ").unwrap();
        let found = findings(system, text);
        checks.extend(found.iter().map(|finding| finding.check.clone()));
        let found: String = found
            .iter()
            .map(|finding| {
                let Finding { check, severity, code, reason, .. } = finding;
                format!("{}: {check} {severity:?} {code}: {reason}\n", finding.line())
            })
            .collect();
        let blank = if expected == "\n" || expected.ends_with("\n\n") { "\n" } else { "" };
        write!(anew, "=== {title}\n{text}---\n{found}{blank}").unwrap();
        if found.trim() != expected.trim() {
            wrong.push_str(&format!("=== {title}\n{text}---\n{found}\n"));
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, anew).unwrap();
    }
    assert!(wrong.is_empty(), "found:\n{wrong}");
    assert_eq!(checks.len(), 9, "every check has a wrong case: {checks:?}");
}
