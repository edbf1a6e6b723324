//! JSON reports: no panic, the promises of a decoded report, and the verdict and the report that a
//! slow reader over a tree gives. The same document as CBOR is compared with the slow reader too.
#![no_main]

#[path = "../../fleet/tests/it/document.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod document;
#[path = "../../fleet/tests/it/reference.rs"]
mod reference;

use document::Document;
use fleet::report::{self, ReportBuf, ReportError};
use libfuzzer_sys::fuzz_target;
use reference::Form;

fuzz_target!(|bytes: &[u8]| {
    report::fuzz_json(bytes);
    let document = Document::parse(bytes);
    let expected = document.as_ref().and_then(|document| reference::read(document, Form::Json));
    compare(report::decode_json, bytes, expected);
    if let Some(document) = document {
        // Any number will do: its bits choose between the forms that CBOR has for one value.
        let cbor = document.to_cbor(u64::from(crc32fast::hash(bytes)) * 0x1_0001);
        report::fuzz_cbor(&cbor);
        compare(report::decode_cbor, &cbor, reference::read(&document, Form::Cbor));
    }
});

fn compare(
    decode: fn(&[u8], &mut ReportBuf) -> Result<(), ReportError>,
    bytes: &[u8],
    expected: Option<ReportBuf>,
) {
    let mut out = ReportBuf::default();
    match (decode(bytes, &mut out), expected) {
        (Ok(()), Some(expected)) => assert_eq!(out, expected),
        (Err(_), None) => {}
        (result, expected) => panic!("{result:?}, but the reference says {expected:?}"),
    }
}
