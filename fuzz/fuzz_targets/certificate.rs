//! Certificates: no panic; what is refused names a place in the bytes; what is read is read the same
//! again, has its text on one line each, and can be judged by every check and every path question.
#![no_main]

use audits::certificate::facts::Reader;
use audits::certificate::lists::WeakKeys;
use audits::certificate::parameters::Parameters;
use audits::certificate::parse::Certificate;
use audits::certificate::path::{Pool, Revocation, Validator};
use audits::certificate::run::{Selection, audit};
use audits::certificate::view::{PathState, Registered, Status, View};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::default();
    let facts = match reader.read(bytes) {
        Ok(facts) => facts,
        Err(fault) => {
            assert!(usize::try_from(fault.offset).expect("64 bits") <= bytes.len(), "{fault}");
            assert!(Certificate::parse(bytes).is_err());
            return;
        }
    };
    assert_eq!(reader.read(bytes).as_ref(), Ok(&facts), "with what it has in common known");
    for fault in &facts.faults {
        assert!(usize::try_from(fault.offset).expect("64 bits") <= bytes.len(), "{fault}");
    }
    assert!(!facts.subject().contains('\n') && !facts.authority.name.contains('\n'));
    assert!(facts.names().all(|name| name.contains(':')));
    validate(bytes);
    let now = facts.not_before;
    let registered = Registered {
        facts,
        status: Status::Active,
        active_since: now,
        things: Box::new(["thing".into()]),
        path: PathState::Unknown,
    };
    let (devices, weak_keys) = ([registered], WeakKeys::default());
    let view = View {
        now,
        devices: &devices,
        authorities: &devices,
        intermediates: &[],
        lists: &[],
        sessions: &[],
        unreadable: &[],
        weak_keys: &weak_keys,
        shared_primes: &[],
    };
    let found = audit(&view, &Parameters::default(), Selection::all());
    for hit in found.hits() {
        let finding = hit.finding(&found, &view);
        assert!(!finding.code.is_empty() && !finding.reason.is_empty() && !finding.resource.identifier.is_empty());
    }
});

/// Below itself, and below itself as the trust anchor.
fn validate(bytes: &[u8]) {
    let parse = || Certificate::parse(bytes).expect("read before");
    let certificate = parse();
    let now = certificate.not_before();
    let mut pool = Pool::default();
    if pool.add(parse()).is_err() {
        return;
    }
    let answer = Validator::new(&pool, &[], now, Revocation::Required).validate(&certificate);
    assert!(answer.is_err(), "there is no trust anchor");
    let anchors = [parse()];
    let path = Validator::new(&pool, &anchors, now, Revocation::IfListed).validate(&certificate);
    assert_eq!(path.map(|path| path.len()), Ok(1), "a trust anchor is trusted");
}
