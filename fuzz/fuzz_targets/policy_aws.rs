//! AWS IoT policies: no panic; places lie in the file; what the policy would be made of the little
//! that was used is proven, or not proposed.
#![no_main]

use audits::policy::{
    check::{acl, misconfigured, permissive},
    form::Action,
    least::{self, Principal, Use},
    parse::aws,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policy = aws::parse("p", text);
    let lines = text.matches('\n').count() + 1;
    assert!(policy.problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
    let findings = permissive::audit(&policy).into_iter().chain(misconfigured::audit(&policy));
    for finding in findings.chain(acl::audit(&policy.document(), &acl::Known::default())) {
        assert!(finding.line() <= lines, "{finding}");
    }
    let principal = Principal { thing: Some("a".into()), client_id: Some("a".into()), user: None };
    let uses: Vec<Use> = ["d/a/up", "$aws/things/a/shadow/get"]
        .into_iter()
        .flat_map(|name| [Action::Publish, Action::Subscribe].map(|action| (name, action)))
        .map(|(name, action)| Use { principal: principal.clone(), action, name: name.into(), count: 1 })
        .collect();
    let report = least::aws(&policy, &uses);
    assert_ne!(report.proof.subset, Ok(false), "{text}");
    assert!(report.proposal.is_none() || report.proof.holds());
});
