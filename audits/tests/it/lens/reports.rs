//! Golden reports of one review in all forms, and the table of `docs/lens.md`.

use audits::lens::{
    difference,
    evaluate::evaluate_all,
    evidence::Evidence,
    practice::PRACTICES,
    report,
    review::{self, Review},
    review_file,
};
use serde_json::Value;

fn read(name: &str) -> String {
    std::fs::read_to_string(format!("{}/testdata/lens/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn reviewed() -> Review {
    let day = "2026-03-01";
    let evidence = Evidence::from_json(&read("evidence.json")).unwrap();
    let (file, problems) = review_file::parse("review.toml", &read("review.toml"), day);
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["review.toml:1:1: warning: workload.compliance: missing; the lens recommends to record it"]
    );
    let file = file.unwrap();
    let items = review::join(evaluate_all(&evidence), file.answers).unwrap();
    let previous = difference::read("previous.json", &read("previous.json")).unwrap();
    let difference = Some(previous.compare(&items));
    let sources = vec!["evidence.json".to_owned(), "review.toml".to_owned()];
    Review { day: day.to_owned(), workload: Some(file.workload), sources, items, difference }
}

#[test]
fn reports_of_all_forms() {
    let review = reviewed();
    super::check_file("testdata/lens/report.md", &report::markdown(&review));
    super::check_file("testdata/lens/report.html", &report::html(&review));
    super::check_file("testdata/lens/report.json", &report::json(&review));
}

#[test]
fn text_from_outside_stays_text_in_every_form() {
    let review = reviewed();
    let (markdown, html) = (report::markdown(&review), report::html(&review));
    // The review file has a name and a note that try to be markup.
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!markdown.contains("<script") && markdown.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!html.contains("href=\"javascript:") && html.contains("javascript:alert(1)"));
    assert!(!markdown.contains("<javascript:"));
    for line in markdown.lines().filter(|line| line.starts_with("| ")) {
        let bars = line.replace("\\|", "").matches('|').count();
        assert!([3, 6, 7].contains(&bars), "{line}");
    }
}

#[test]
fn a_report_is_compared_with_itself_without_a_change() {
    let review = reviewed();
    let json = report::json(&review);
    let again = difference::read("report.json", &json).unwrap().compare(&review.items);
    assert_eq!((again.changes.len(), again.same), (0, 71));
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["practices"].as_array().unwrap().len(), PRACTICES.len());
    let sum: u64 = value["summary"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(sum, 71);
}

#[test]
fn the_page_has_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lens.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- made by a test from the table: begin -->\n", "<!-- end -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    super::check_file("../docs/lens.md", &format!("{before}{begin}{}{end}{after}", report::sheet()));
}

#[test]
fn explanations_say_what_is_wanted_and_why_a_person_is_asked() {
    for practice in PRACTICES {
        let text = report::explain(practice.id).unwrap();
        assert!(text.starts_with(&format!("{} {}\n", practice.id, practice.title)), "{text}");
    }
    let text = report::explain("12.1").unwrap();
    assert!(text.contains("wanted: at least 99 %") && text.contains("RFC 4120"), "{text}");
    assert!(report::explain("7.3").unwrap().contains("You answer: which law applies"));
    assert_eq!(report::explain("7.9"), None);
}
