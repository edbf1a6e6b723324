//! What holds for the files of any broker.

use audits::broker::{ConfigFile, Options, audit};

/// Audits the files of a broker, divided by NUL and named in order: places lie in the file they name,
/// and the same files give the same findings. Gives the files.
pub(crate) fn audited(bytes: &[u8], names: [&str; 5]) -> Vec<ConfigFile> {
    let parts = bytes.split(|&byte| byte == 0).zip(names);
    let file = |(part, name): (&[u8], &str)| ConfigFile {
        path: name.into(),
        bytes: part.into(),
        mode: Some(0o644),
        owner: None,
    };
    let files: Vec<ConfigFile> = parts.map(file).collect();
    let options = Options { now: Some(1_700_000_000) };
    let findings = audit(&files, &options);
    for finding in &findings {
        let place = finding.place.as_ref().expect("a place");
        let file = files.iter().find(|file| file.path == place.file).expect("a file that was given");
        let lines = file.bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
        assert!(place.line <= lines, "{finding}");
    }
    assert_eq!(findings, audit(&files, &options));
    files
}
