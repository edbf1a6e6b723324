//! EMQX's files, divided by NUL: no panic, and what [`broker::audited`] asserts.
#![no_main]

#[path = "support/broker.rs"]
mod broker;

const NAMES: [&str; 5] = ["emqx.conf", "acl.conf", "cluster.hocon", "b.conf", "emqx_auth_mysql.conf"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let files = broker::audited(bytes, NAMES);
    let _ = audits::broker::emqx_no_match(&files);
});
