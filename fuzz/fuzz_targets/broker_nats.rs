//! A NATS server's files, divided by NUL: no panic; places lie in the file they name; the same files give
//! the same findings.
#![no_main]

use audits::broker::{ConfigFile, Options, audit};

const NAMES: [&str; 5] = ["nats-server.conf", "auth.conf", "a.conf", "b.conf", "c.conf"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let parts = bytes.split(|&byte| byte == 0).zip(NAMES);
    let files: Vec<ConfigFile> = parts
        .map(|(part, name)| ConfigFile {
            path: name.into(),
            bytes: part.into(),
            mode: Some(0o644),
            owner: None,
        })
        .collect();
    let options = Options { now: Some(1_700_000_000) };
    let findings = audit(&files, &options);
    for finding in &findings {
        let place = finding.place.as_ref().expect("a place");
        let file = files.iter().find(|file| file.path == place.file).expect("a file that was given");
        let lines = file.bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
        assert!(place.line <= lines, "{finding}");
    }
    assert_eq!(findings, audit(&files, &options));
});
