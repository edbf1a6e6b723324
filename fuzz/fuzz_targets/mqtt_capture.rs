//! Packet captures (pcap, pcapng), and any bytes as what one peer of an MQTT connection sends. Checked beside
//! not panicking: how many events there are is bounded by how many packets there are.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| datasets::mqtt_capture::fuzz(bytes));
