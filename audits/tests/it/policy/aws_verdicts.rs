//! The worked cases of `policy-check-examples.json` and the policies of `aws-iot-policies`.

use std::collections::BTreeMap;

use audits::policy::{
    check::{misconfigured, permissive},
    parse::aws,
};
use serde_json::Value;

use crate::data_set;

fn names(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_worked_case_comes_out_as_the_sheet_says() {
    let file = data_set("../spec").join("policy-check-examples.json");
    let sheet: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let cases = sheet["cases"].as_array().unwrap();
    assert!(cases.len() >= 38, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let policy = aws::parse(case["id"].as_str().unwrap(), &case["policy"].to_string());
        assert_eq!(policy.problems, [], "{}", case["id"]);
        let (broad, undecided) = permissive::broad_actions(&policy);
        let mut broad: Vec<String> = broad.iter().map(|(action, _)| action.aws_name().to_owned()).collect();
        let mut expected = names(&case["overlyPermissiveActions"]);
        broad.sort();
        expected.sort();
        let (reasons, also_undecided) = misconfigured::reasons(&policy);
        let mut codes: Vec<String> = reasons.iter().map(|(code, ..)| (*code).to_owned()).collect();
        let mut expected_codes = names(&case["misconfigurationReasonCodes"]);
        codes.sort();
        expected_codes.sort();
        if broad != expected || codes != expected_codes || !undecided.is_empty() || !also_undecided.is_empty()
        {
            wrong.push(format!(
                "{}: {broad:?} {codes:?}, expected {expected:?} {expected_codes:?}",
                case["id"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_real_policy_has_its_verdict() {
    let folder = data_set("aws-iot-policies");
    let table = std::fs::read_to_string(folder.join("verdicts.csv")).unwrap();
    let mut matrix: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in table.lines().skip(1) {
        let mut cells = row.split(',');
        let (name, verdict) = (cells.next().unwrap(), cells.next().unwrap());
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let policy = aws::parse(name, &text);
        let finding = permissive::audit(&policy);
        let lines = text.lines().count();
        for finding in finding.iter().chain(&misconfigured::audit(&policy)) {
            assert!((1..=lines).contains(&finding.line()), "{finding}");
        }
        assert_eq!(permissive::broad_actions(&policy).1, [], "{name}");
        let found = if finding.is_some() { "noncompliant" } else { "compliant" };
        *matrix.entry((verdict.to_owned(), found)).or_default() += 1;
        if verdict != found && verdict != "debatable" {
            wrong.push(format!("{row}\n  found {found}: {finding:?}"));
        }
    }
    for ((verdict, found), count) in &matrix {
        println!("verdict {verdict:<13} found {found:<13} {count}");
    }
    assert!(wrong.is_empty(), "{matrix:?}\n{}", wrong.join("\n"));
    assert_eq!(matrix.values().sum::<usize>(), 79);
}
