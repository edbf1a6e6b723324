//! CBOR reports: no panic, and the promises of a decoded report.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fleet::report::fuzz_cbor(bytes));
