//! ACL files of Mosquitto: no panic; places lie in the file; the same text gives the same findings;
//! what the file would be made of the little that was used is proven, or not proposed.
#![no_main]

use audits::policy::{
    check::acl,
    form::Action,
    least::{self, Principal, Use},
    parse::mosquitto,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let document = mosquitto::parse("f", text);
    let lines = text.matches('\n').count() + 1;
    assert!(document.problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
    if document.subjects.len() > 8 {
        return;
    }
    let findings = acl::audit(&document, &acl::Known::default());
    assert!(findings.iter().all(|finding| finding.line() <= lines));
    assert_eq!(findings, acl::audit(&mosquitto::parse("f", text), &acl::Known::default()));
    let principal = Principal { thing: None, client_id: Some("a".into()), user: Some("a".into()) };
    let uses: Vec<Use> = ["d/a/up", "a", "$SYS/a"]
        .into_iter()
        .flat_map(|name| [Action::Publish, Action::Receive].map(|action| (name, action)))
        .map(|(name, action)| Use { principal: principal.clone(), action, name: name.into(), count: 1 })
        .collect();
    let report = least::mosquitto(&document, text, &uses);
    assert_ne!(report.proof.subset, Ok(false), "{text}");
    assert!(report.proposal.is_none() || report.proof.holds());
});
