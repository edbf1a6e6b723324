//! Configurations: no panic, settings exactly if there is no error, places that lie in the file, and
//! no secret in what is said.
#![no_main]

use std::path::Path;

use fleet::problem::Severity;
use fleetward::config::from_text;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "7f3c-the-secret-of-the-environment";

fuzz_target!(|text: &str| {
    // The disk of the machine is none of our inputs: in `/nonexistent` there is no file, and a text
    // with an absolute path would read a real one.
    if text.contains("\"/") || text.contains("'/") || text.contains("..") {
        return;
    }
    let environment = |name: &str| (name.len() < 8).then(|| SECRET.to_owned());
    let loaded = from_text("f.toml", text, Path::new("/nonexistent"), &environment);
    let refused = loaded.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(loaded.settings.is_none(), refused);
    for problem in &loaded.problems {
        assert!((1..=text.matches('\n').count() + 1).contains(&problem.line), "{problem}");
        assert!(problem.column >= 1 && !problem.message.is_empty());
    }
    assert!(!format!("{loaded:?}").contains(SECRET));
});
