//! A verdict for each best practice: what evidence says, what a person answered, and which of both holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::practice::{How, PRACTICES, Practice, practice};

/// How a best practice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Met.
    Met,
    /// Not met.
    NotMet,
    /// Does not apply to this workload.
    NotApplicable,
    /// Nobody answered, and no evidence decides.
    Unanswered,
}

/// What evidence says about a best practice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The automatic verdict; of a `partial` practice it is shown and decides nothing.
    pub verdict: Verdict,
    /// What was seen, with its numbers.
    pub text: String,
}

/// What a person answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Who answered.
    pub who: String,
    /// When, as `YYYY-MM-DD`.
    pub when: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    #[serde(default)]
    pub note: String,
    /// Links to evidence.
    #[serde(default)]
    pub evidence: Vec<String>,
}

/// One best practice with all that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The best practice.
    pub practice: &'static Practice,
    /// The verdict that holds.
    pub verdict: Verdict,
    /// What evidence says; kept where an answer overrules it.
    pub evidence: Option<Evidence>,
    /// What a person answered.
    pub answer: Option<Answer>,
    /// Why it is unanswered; empty otherwise.
    pub reason: &'static str,
}

/// Joins evidence and answers, both by id, into one item per best practice, in the order of the table.
///
/// An answer holds over evidence. Without one, evidence decides a practice that is `auto`.
///
/// # Errors
/// The ids that no best practice has, in their order.
pub fn join(
    mut evidence: BTreeMap<String, Evidence>,
    mut answers: BTreeMap<String, Answer>,
) -> Result<Vec<Item>, Vec<String>> {
    let mut unknown: Vec<String> =
        evidence.keys().chain(answers.keys()).filter(|id| practice(id).is_none()).cloned().collect();
    unknown.sort();
    unknown.dedup();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let items = PRACTICES.iter().map(|row| item(row, evidence.remove(row.id), answers.remove(row.id)));
    Ok(items.collect())
}

fn item(practice: &'static Practice, evidence: Option<Evidence>, answer: Option<Answer>) -> Item {
    let automatic = evidence.as_ref().filter(|_| practice.how == How::Auto).map(|found| found.verdict);
    let verdict = answer.as_ref().map(|answer| answer.verdict).or(automatic).unwrap_or(Verdict::Unanswered);
    let reason = match (verdict, &answer, practice.how, &evidence) {
        (Verdict::Unanswered, Some(_), ..) => "the answer leaves it open",
        (Verdict::Unanswered, None, How::Auto, None) => "no source gives the evidence",
        (Verdict::Unanswered, None, How::Auto, Some(_)) => "the evidence does not decide it",
        (Verdict::Unanswered, None, How::Partial | How::Answer, _) => "a person has to answer",
        _ => "",
    };
    Item { practice, verdict, evidence, answer, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, seen: Option<Verdict>, answered: Option<Verdict>) -> (Verdict, &'static str) {
        let evidence = seen.map(|verdict| (id.to_owned(), Evidence { verdict, text: "3 of 9".into() }));
        let answer = answered.map(|verdict| {
            let (who, when) = ("Ada".to_owned(), "2026-01-02".to_owned());
            (id.to_owned(), Answer { who, when, verdict, note: String::new(), evidence: Vec::new() })
        });
        let items = join(evidence.into_iter().collect(), answer.into_iter().collect()).unwrap();
        assert_eq!(items.len(), PRACTICES.len());
        let item = items.into_iter().find(|item| item.practice.id == id).unwrap();
        assert_eq!((item.evidence.is_some(), item.answer.is_some()), (seen.is_some(), answered.is_some()));
        (item.verdict, item.reason)
    }

    #[test]
    fn an_answer_holds_and_only_an_auto_practice_is_decided_without_one() {
        use Verdict::{Met, NotApplicable, NotMet, Unanswered};
        for (id, seen, answered, expected) in [
            ("1.1", None, None, (Unanswered, "no source gives the evidence")),
            ("1.1", Some(Met), None, (Met, "")),
            ("1.1", Some(NotMet), None, (NotMet, "")),
            ("1.1", Some(Unanswered), None, (Unanswered, "the evidence does not decide it")),
            ("1.1", Some(NotMet), Some(NotApplicable), (NotApplicable, "")),
            ("1.1", Some(Met), Some(Unanswered), (Unanswered, "the answer leaves it open")),
            ("3.2", Some(Met), None, (Unanswered, "a person has to answer")),
            ("3.2", Some(Met), Some(NotMet), (NotMet, "")),
            ("2.1", None, None, (Unanswered, "a person has to answer")),
            ("2.1", None, Some(Met), (Met, "")),
        ] {
            assert_eq!(check(id, seen, answered), expected, "{id} {seen:?} {answered:?}");
        }
    }

    #[test]
    fn ids_that_no_practice_has_are_named() {
        let evidence = || Evidence { verdict: Verdict::Met, text: String::new() };
        let found = BTreeMap::from([("28.2".to_owned(), evidence()), ("0.1".to_owned(), evidence())]);
        assert_eq!(join(found, BTreeMap::new()), Err(vec!["0.1".to_owned(), "28.2".to_owned()]));
    }
}
