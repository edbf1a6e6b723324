//! What the checks of brokers' configurations say of written cases and of real deployments.

mod emqx;
mod mutations;
mod nats;
mod page;
mod rabbitmq;
mod real;
mod rules;

use std::path::Path;

use audits::broker::{ConfigFile, Options, audit};
use audits::finding::Finding;

/// `PATH` or `PATH@MODE`, and the text.
type Files<'a> = &'a [(&'a str, &'a str)];

/// Check, wrong, line of the finding (0: none), right.
type Case<'a> = (&'a str, Files<'a>, usize, Files<'a>);

fn files(files: Files<'_>) -> Vec<ConfigFile> {
    let file = |&(name, text): &(&str, &str)| {
        let (path, mode) = name.split_once('@').unwrap_or((name, ""));
        ConfigFile {
            path: path.into(),
            bytes: text.into(),
            mode: u32::from_str_radix(mode, 8).ok(),
            owner: None,
        }
    };
    files.iter().map(file).collect()
}

fn found(given: Files<'_>) -> Vec<Finding> {
    audit(&files(given), &Options::default())
}

/// The rules that find something.
fn rules_of(given: Files<'_>) -> Vec<String> {
    found(given).into_iter().map(|finding| finding.check.into_owned()).collect()
}

/// Compares with a file by its path from this crate; with `UPDATE_GOLDEN` set it is written anew.
pub(crate) fn check_file(path: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, seen).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(seen == expected, "{} differs; seen:\n{seen}\nset UPDATE_GOLDEN=1 to accept it", path.display());
}
