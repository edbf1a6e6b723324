//! Mitigation action files: no panic; places lie in the file; an action that was read is written and
//! read as the same. A line `+++` begins another file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mitigations::action::{Action, parse_files};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let files: Vec<(String, String)> = text
        .split("\n+++\n")
        .enumerate()
        .map(|(number, text)| (format!("{number}.json"), text.to_owned()))
        .collect();
    let (actions, problems) = parse_files(&files);
    for problem in &problems {
        let (_, text) = files.iter().find(|(file, _)| *file == problem.file).expect("a file that was given");
        assert!((1..=text.matches('\n').count() + 1).contains(&problem.line), "{problem}");
        assert!(problem.column >= 1 && !problem.message.is_empty() && problem.message.len() < 2000);
    }
    for action in actions {
        let text = serde_json::to_string(&action).expect("an action is JSON");
        assert_eq!(serde_json::from_str::<Action>(&text).expect("what was written"), action);
    }
});
