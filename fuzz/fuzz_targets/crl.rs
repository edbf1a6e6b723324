//! CRLs: no panic; what is refused names a place in the bytes; of what is read, the entries are
//! sorted and each is found again.
#![no_main]

use audits::certificate::crl::List;
use audits::certificate::view::{Crl, Signer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let list = match List::parse(bytes) {
        Ok(list) => list,
        Err(fault) => {
            assert!(usize::try_from(fault.offset).expect("64 bits") <= bytes.len(), "{fault}");
            return;
        }
    };
    for fault in &list.faults {
        assert!(usize::try_from(fault.offset).expect("64 bits") <= bytes.len(), "{fault}");
    }
    if !list.is_indirect() {
        for entry in list.entries() {
            let found = list.entry(&list.key, &entry.serial);
            assert!(found.is_none_or(|found| found.serial == entry.serial));
        }
    }
    assert!(!list.issuer_name().is_empty() || list.entries().len() < bytes.len());
    let entries = list.entries().len();
    let record = Crl::new(list, Signer::Unknown);
    assert!(record.heap_bytes() < 1024 + bytes.len() * 64, "{entries} entries");
});
