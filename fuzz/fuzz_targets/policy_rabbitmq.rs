//! Definitions of RabbitMQ: no panic; places lie in the file; the same text gives the same findings.
#![no_main]

use audits::policy::{check::acl, parse::rabbitmq};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let document = rabbitmq::parse("f", text);
    let lines = text.matches('\n').count() + 1;
    assert!(document.problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
    if document.subjects.len() > 8 {
        return;
    }
    let findings = acl::audit(&document, &acl::Known::default());
    assert!(findings.iter().all(|finding| finding.line() <= lines));
    assert_eq!(findings, acl::audit(&rabbitmq::parse("f", text), &acl::Known::default()));
});
