//! The table `testdata/problems.txt`: wrong documents and every word that is said about them.

use behaviors::profile::parse_files;

#[test]
fn every_document_gets_its_exact_problems() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for case in include_str!("../../testdata/problems.txt").split("\n=== ").skip(1) {
        cases += 1;
        let (title, rest) = case.split_once('\n').unwrap();
        let (document, expected) = rest.split_once("\n---").unwrap();
        let found = problems(&files(title, document)).join("\n");
        if found != expected.trim() {
            wrong.push(format!("=== {title}\n{document}\n---\n{found}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(cases >= 40, "{cases} cases");
}

fn problems(files: &[(String, String)]) -> Vec<String> {
    parse_files(files).1.iter().map(ToString::to_string).collect()
}

/// The files of a case: see the head of the table.
fn files(title: &str, document: &str) -> Vec<(String, String)> {
    let one = |text: String| vec![("p.json".to_owned(), text)];
    match title.split_once(": ").map(|(kind, _)| kind.split_once(' ').unwrap_or((kind, ""))) {
        Some(("behavior", _)) => one(with_behaviors(document)),
        Some(("criteria", metric)) => one(with_behaviors(&format!(
            "{{\"name\":\"b\",\"metric\":\"{metric}\",\"criteria\":{document}}}"
        ))),
        Some(("files", _)) => {
            let files = document.split("+++ ").filter(|file| !file.trim().is_empty());
            files.map(|file| file.split_once('\n').unwrap()).map(|(n, t)| (n.into(), t.into())).collect()
        }
        _ => one(document.to_owned()),
    }
}

fn with_behaviors(behaviors: &str) -> String {
    format!(
        "{{\"securityProfileName\":\"p\",\"fleetward\":{{\"targets\":[\"arn:aws:iot:r:1:all/things\"]}},\"behaviors\":[\n{behaviors}\n]}}"
    )
}

fn collected(name: &str) -> String {
    format!(r#"{{"name":"{name}","metric":"aws:num-disconnects"}}"#)
}

#[test]
fn a_profile_has_at_most_100_behaviors() {
    let behaviors = |count: usize| {
        let all: Vec<String> = (0..count).map(|number| collected(&format!("b{number}"))).collect();
        problems(&[("p.json".into(), with_behaviors(&all.join(",\n")))])
    };
    assert_eq!(behaviors(100), [""; 0]);
    assert_eq!(
        behaviors(102),
        ["p.json:102:1: error: behaviors[100]: the profile has 102 behaviors; allowed are at most 100"]
    );
}

#[test]
fn criteria_of_a_profile_have_at_most_1000_value_elements() {
    let elements = |count: usize| {
        let ports: Vec<String> = (1..count).map(|port| port.to_string()).collect();
        let text = format!(
            r#"{{"name":"a","metric":"aws:num-disconnects","criteria":{{"comparisonOperator":"less-than","value":{{"count":3}},"durationSeconds":300}}}},
               {{"name":"b","metric":"aws:listening-tcp-ports","criteria":{{"comparisonOperator":"in-port-set","value":{{"ports":[{}]}}}}}}"#,
            ports.join(",")
        );
        problems(&[("p.json".into(), with_behaviors(&text))])
    };
    assert_eq!(elements(1000), [""; 0]);
    assert_eq!(
        elements(1001),
        [
            "p.json:1:95: error: behaviors: the criteria of the profile have 1001 value elements; allowed are at most 1000"
        ]
    );
}

#[test]
fn names_are_checked_at_both_sides_of_their_length() {
    let named = |len: usize| problems(&[("p.json".into(), with_behaviors(&collected(&"n".repeat(len))))]);
    assert_eq!(named(128), [""; 0]);
    let found = "n".repeat(60);
    assert_eq!(
        named(129),
        [format!(
            "p.json:2:9: error: behaviors[0].name: found `{found}…`: behavior name has 129 bytes; allowed are 1 to 128"
        )]
    );
}

#[test]
fn there_are_at_most_100_custom_metrics() {
    let metrics = |count: usize| {
        let behavior = |number: usize| {
            format!(
                r#"{{"name":"b{number}","metric":"m{number}","criteria":{{"comparisonOperator":"less-than","value":{{"number":1}}}}}}"#
            )
        };
        let file = |from: usize, to: usize| {
            let all: Vec<String> = (from..to).map(behavior).collect();
            with_behaviors(&all.join(",\n")).replace("\"p\"", &format!("\"p{from}\""))
        };
        problems(&[("a.json".into(), file(0, 60)), ("b.json".into(), file(60, count))])
    };
    assert_eq!(metrics(100), [""; 0]);
    assert_eq!(
        metrics(101),
        ["b.json:42:25: error: behaviors[40].metric: `m100` is one custom metric too many; allowed are 100"]
    );
}

#[test]
fn there_are_at_most_10_dimensions() {
    let dimensions = |count: usize| {
        let one =
            |n: usize| format!(r#"{{"name":"d{n:02}","type":"TOPIC_FILTER","stringValues":["a/{n}"]}}"#);
        let all: Vec<String> = (0..count).map(one).collect();
        problems(&[("d.json".into(), format!("[{}]", all.join(",\n")))])
    };
    assert_eq!(dimensions(10), [""; 0]);
    assert_eq!(
        dimensions(11),
        ["d.json:11:9: error: [10].name: `d10` is one dimension too many; allowed are 10"]
    );
}
