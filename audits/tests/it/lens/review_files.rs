//! Review files: what is wrong in one, with its place, and what the template keeps.

use audits::lens::{
    practice::{PRACTICES, Pillar},
    review::Verdict,
    review_file::{draft, parse},
    template::template,
};

const TODAY: &str = "2026-03-01";

const WORKLOAD: &str = r#"[workload]
name = "Pumps"
description = "900 pumps"
review_owner = "Ada"
workload_owner = "Grace"
stakeholders = []
partners = ["ACME"]
architecture = "https://example.com/a"
accounts = ["a"]
compliance = []
"#;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (read, problems) = parse("r.toml", text, TODAY);
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{text}");
    assert_eq!(read.is_some(), !found.iter().any(|problem| problem.contains(": error: ")), "{text}");
}

/// `answers` after the workload, whose ten lines are counted off.
#[track_caller]
fn check_answers(answers: &str, expected: &[&str]) {
    check(&format!("{WORKLOAD}{answers}"), expected);
}

#[test]
fn a_whole_file_is_read() {
    let answers = "pillars = [\"security\", \"Cost optimization\"]\n\
        [[answer]]\npractice = \"2.1\"\nanswer = \"yes\"\nwho = \"Ada\"\nwhen = 2026-03-01\nevidence = [\"https://e.com\"]\n\
        [[answer]]\npractice = \"1.1\"\nanswer = \"not applicable\"\nwho = \"Bo\"\nwhen = \"2024-02-29\"\nnote = \"n\"\noverrules = \"r\"\n";
    let (read, problems) = parse("r.toml", &format!("{WORKLOAD}{answers}"), TODAY);
    assert_eq!(problems, []);
    let read = read.unwrap();
    assert_eq!(read.workload.pillars, [Pillar::Security, Pillar::Cost]);
    assert_eq!((read.workload.name.as_str(), read.workload.partners), ("Pumps", vec!["ACME".to_owned()]));
    let (one, two) = (&read.answers["1.1"], &read.answers["2.1"]);
    assert_eq!(
        (one.verdict, one.when.as_str(), one.overrules.as_deref()),
        (Verdict::NotApplicable, "2024-02-29", Some("r"))
    );
    assert_eq!((two.verdict, two.when.as_str(), two.evidence.len()), (Verdict::Met, "2026-03-01", 1));
}

#[test]
fn every_problem_of_the_workload_is_named() {
    check("", &["r.toml:1:1: error: workload: missing; expected a table `[workload]`"]);
    check(
        "workload = 3\nanswers = []\n",
        &[
            "r.toml:1:12: error: workload: found an integer; expected a table",
            "r.toml:2:1: error: unknown key `answers`; allowed are `workload`, `answer`; did you mean `answer`?",
        ],
    );
    check(
        "[workload]\nname = \"\"\ndescription = 5\nreview_owner = \"Ada\"\nowner = \"x\"\nstakeholders = \"Bo\"\npartners = [1]\npillars = [\"safety\"]\n",
        &[
            "r.toml:1:1: error: workload.workload_owner: missing; expected `workload_owner = \"…\"`",
            "r.toml:1:1: warning: workload.architecture: missing; the lens recommends to record it",
            "r.toml:1:1: warning: workload.accounts: missing; the lens recommends to record it",
            "r.toml:1:1: warning: workload.compliance: missing; the lens recommends to record it",
            "r.toml:2:8: error: workload.name: is empty; expected a text",
            "r.toml:3:15: error: workload.description: found an integer; expected a string",
            "r.toml:5:1: error: workload: unknown key `owner`; allowed are `name`, `description`, `review_owner`, `workload_owner`, `stakeholders`, `partners`, `architecture`, `accounts`, `compliance`, `pillars`",
            "r.toml:6:16: error: workload.stakeholders: found a string; expected a list of strings",
            "r.toml:7:13: error: workload.partners[0]: found an integer; expected a string",
            "r.toml:8:12: error: workload.pillars: found `safety`; allowed are `Security`, `Reliability`, `Performance efficiency`, `Cost optimization`, `Operational excellence`, `Sustainability`",
        ],
    );
    check("[workload\n", &["r.toml:1:10: error: unclosed table, expected `]`"]);
}

#[test]
fn every_problem_of_an_answer_is_named() {
    let good = "who = \"Ada\"\nwhen = 2026-01-02\n";
    check_answers(
        &format!("[[answer]]\npractice = \"1.9\"\nanswer = \"yes\"\n{good}"),
        &[
            "r.toml:12:12: error: answer[0].practice: no best practice has the id `1.9`; allowed are `1.1` to `28.1` as `fleetward lens list` shows them",
        ],
    );
    check_answers(
        &format!("[[answer]]\npractice = \"1.1\"\nanswer = \"maybe\"\n{good}"),
        &[
            "r.toml:13:10: error: answer[0].answer: found `maybe`; allowed are `yes`, `no` and `not applicable`",
        ],
    );
    check_answers(
        &format!(
            "[[answer]]\npractice = \"1.1\"\nanswer = \"yes\"\n{good}[[answer]]\npractice = \"1.1\"\nanswer = \"no\"\n{good}"
        ),
        &["r.toml:17:12: error: answer[1].practice: `1.1` is answered in line 12, too; expected one answer"],
    );
    check_answers(
        &format!("[[answer]]\npractice = \"1.1\"\nanswer = \"not applicable\"\n{good}overrules = \" \"\n"),
        &[
            "r.toml:13:10: error: answer[0].note: missing; what is not applicable needs a note that says why",
            "r.toml:16:13: error: answer[0].overrules: is empty; expected the reason why the answer holds against evidence",
        ],
    );
    check_answers(
        "[[answer]]\npractice = \"1.1\"\nanswr = \"yes\"\n",
        &[
            "r.toml:11:1: error: answer[0].answer: missing; expected `answer = \"…\"`",
            "r.toml:11:1: error: answer[0].who: missing; expected `who = \"…\"`",
            "r.toml:11:1: error: answer[0].when: missing; expected a date such as 2026-01-31",
            "r.toml:13:1: error: answer[0]: unknown key `answr`; allowed are `practice`, `answer`, `who`, `when`, `note`, `evidence`, `overrules`; did you mean `answer`?",
        ],
    );
    for (when, message) in [
        ("\"2026-02-30\"", "found `2026-02-30`; expected a date such as 2026-01-31"),
        ("2026-01-02T10:00:00Z", "found `2026-01-02T10:00:00Z`; expected a date such as 2026-01-31"),
        ("20260102", "found `an integer`; expected a date such as 2026-01-31"),
        ("2026-03-02", "found 2026-03-02; expected a day up to today, 2026-03-01"),
    ] {
        check_answers(
            &format!("[[answer]]\npractice = \"1.1\"\nanswer = \"yes\"\nwho = \"Ada\"\nwhen = {when}\n"),
            &[&format!("r.toml:15:8: error: answer[0].when: {message}")],
        );
    }
    check(
        "answer = 1\n",
        &[
            "r.toml:1:1: error: workload: missing; expected a table `[workload]`",
            "r.toml:1:10: error: answer: found an integer; expected tables `[[answer]]`",
        ],
    );
}

#[test]
fn the_template_has_every_practice_and_says_what_to_fill_in() {
    let text = template(None);
    super::check_file("testdata/lens/template.toml", &text);
    for practice in PRACTICES {
        assert!(text.contains(&format!("\n# {} {} (", practice.id, practice.title)), "{}", practice.id);
        assert!(text.contains(&format!("#practice = \"{}\"", practice.id)), "{}", practice.id);
    }
    let (read, problems) = parse("t.toml", &text, TODAY);
    assert!(read.is_none());
    let errors = problems.iter().filter(|problem| problem.severity == fleet::problem::Severity::Error);
    let places: Vec<&str> = errors.map(|problem| problem.place.as_str()).collect();
    assert_eq!(
        places,
        ["workload.name", "workload.description", "workload.review_owner", "workload.workload_owner"]
    );
}

#[test]
fn a_template_keeps_what_was_answered() {
    let answers = "pillars = [\"Security\"]\n[[answer]]\npractice = \"13.2\"\nanswer = \"no\"\nwho = \"A \\\"b\\\" \\u007f\"\nwhen = 2026-01-02\n\
        note = \"two\\nlines\"\nevidence = [\"x\", \"y\"]\noverrules = \"r\"\n";
    let (first, problems) = parse("r.toml", &format!("{WORKLOAD}{answers}"), TODAY);
    assert_eq!(problems, []);
    let first = first.unwrap();
    let text = template(Some(&first));
    let (again, problems) = parse("t.toml", &text, TODAY);
    assert_eq!((again.as_ref(), problems), (Some(&first), Vec::new()), "{text}");
    assert_eq!(template(again.as_ref()), text);
}

#[test]
fn a_draft_keeps_what_could_be_read_in_spite_of_errors() {
    let text = "[workload]\nname = \"Pumps\"\n[[answer]]\npractice = \"1.1\"\nanswer = \"yes\"\nwho = \"\"\nwhen = \"soon\"\n\
        [[answer]]\npractice = \"9.9\"\nanswer = \"yes\"\n";
    let (read, problems) = draft("r.toml", text, TODAY);
    let read = read.unwrap();
    assert!(problems.len() > 3);
    assert_eq!((read.workload.name.as_str(), read.answers.len()), ("Pumps", 1));
    assert!(template(Some(&read)).contains("when = \"soon\""));
    assert_eq!(draft("r.toml", "[", TODAY).0, None);
}
