//! Messages on the response topic of Mosquitto's dynamic-security plugin, which any administrator's
//! client can write to.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| brokers::mosquitto::dynsec::client::fuzz_answer(bytes));
