//! Security profile files: no panic; profiles without an error compile; places lie in the file.
//! A line `+++` begins another file.
#![no_main]

use behaviors::profile::parse_files;
use fleet::problem::Severity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let files: Vec<(String, String)> = text
        .split("\n+++\n")
        .enumerate()
        .map(|(number, text)| (format!("{number}.json"), text.to_owned()))
        .collect();
    let (profiles, problems) = parse_files(&files);
    for problem in &problems {
        let (_, text) = files.iter().find(|(file, _)| *file == problem.file).expect("a file that was given");
        assert!((1..=text.matches('\n').count() + 1).contains(&problem.line), "{problem}");
        assert!(problem.column >= 1 && !problem.message.is_empty() && problem.message.len() < 2000);
    }
    if problems.iter().all(|problem| problem.severity != Severity::Error) {
        drop(profiles.compile(300));
    }
});
