//! A verdict for each best practice: what evidence says, what a person answered, and which of both holds.
//!
//! 1. A practice that is `auto` is decided by evidence where it says met or not met. An answer that says
//!    otherwise is shown and does not hold, unless it overrules the evidence with a reason; then it holds,
//!    and the evidence is shown beside it.
//! 2. Else the answer holds. Of a `partial` or `answer` practice evidence is shown and decides nothing;
//!    that it points elsewhere is said.
//! 3. Else the practice is unanswered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::difference::Difference;
use super::figure::Judgement;
use super::practice::{How, PRACTICES, Pillar, Practice, Priority, practice};

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

impl Verdict {
    /// All, in the order of the report's columns.
    pub const ALL: [Self; 4] = [Self::NotMet, Self::Unanswered, Self::Met, Self::NotApplicable];

    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::NotApplicable => "not applicable",
            Self::Unanswered => "unanswered",
        }
    }

    /// Whether evidence that says so decides.
    const fn decides(self) -> bool {
        matches!(self, Self::Met | Self::NotMet)
    }
}

/// What a person answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Met (yes), not met (no) or not applicable; never unanswered.
    pub verdict: Verdict,
    /// Who answered.
    pub who: String,
    /// When, as `YYYY-MM-DD`.
    pub when: String,
    /// In words.
    pub note: String,
    /// Links to evidence.
    pub evidence: Vec<String>,
    /// Why the answer holds against machine evidence.
    pub overrules: Option<String>,
}

/// The workload that is reviewed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Name.
    pub name: String,
    /// What it is for, its users and key figures.
    pub description: String,
    /// Who answers for the review.
    pub review_owner: String,
    /// Who answers for the workload.
    pub workload_owner: String,
    /// Who has an interest in it.
    pub stakeholders: Vec<String>,
    /// Partners that take part.
    pub partners: Vec<String>,
    /// Link to the architecture.
    pub architecture: Option<String>,
    /// Accounts and installations, if they are recorded.
    pub accounts: Option<Vec<String>>,
    /// Rules that it must comply with, if they are recorded.
    pub compliance: Option<Vec<String>>,
    /// Pillars that matter; the others are reported and fail nothing.
    pub pillars: Vec<Pillar>,
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DecidedBy {
    /// Machine evidence.
    Evidence,
    /// A person.
    Answer,
    /// Nobody.
    Nobody,
}

/// One best practice with all that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The best practice.
    pub practice: &'static Practice,
    /// The verdict that holds.
    pub verdict: Verdict,
    /// Who decided it.
    pub decided_by: DecidedBy,
    /// What evidence says; kept where an answer overrules it.
    pub evidence: Option<Judgement>,
    /// What a person answered; kept where evidence wins.
    pub answer: Option<Answer>,
    /// That evidence and answer say different things, and which of them holds.
    pub contradiction: Option<&'static str>,
    /// Why it is unanswered; empty otherwise.
    pub reason: &'static str,
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The day, `YYYY-MM-DD`.
    pub day: String,
    /// The workload, if a review file says.
    pub workload: Option<Workload>,
    /// What was read.
    pub sources: Vec<String>,
    /// One item for each best practice.
    pub items: Vec<Item>,
    /// What changed since another review.
    pub difference: Option<Difference>,
}

/// Items by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Not met.
    pub not_met: u64,
    /// Unanswered.
    pub unanswered: u64,
    /// Met.
    pub met: u64,
    /// Not applicable.
    pub not_applicable: u64,
}

impl Counts {
    /// Of these items.
    pub fn of<'a>(items: impl IntoIterator<Item = &'a Item>) -> Self {
        let mut counts = Self::default();
        for item in items {
            *match item.verdict {
                Verdict::NotMet => &mut counts.not_met,
                Verdict::Unanswered => &mut counts.unanswered,
                Verdict::Met => &mut counts.met,
                Verdict::NotApplicable => &mut counts.not_applicable,
            } += 1;
        }
        counts
    }

    /// Of one verdict.
    #[must_use]
    pub const fn with(self, verdict: Verdict) -> u64 {
        match verdict {
            Verdict::NotMet => self.not_met,
            Verdict::Unanswered => self.unanswered,
            Verdict::Met => self.met,
            Verdict::NotApplicable => self.not_applicable,
        }
    }
}

impl Review {
    /// Whether a pillar matters to the workload; all do unless a review file names some.
    #[must_use]
    pub fn matters(&self, pillar: Pillar) -> bool {
        let named = self.workload.as_ref().map_or(&[][..], |workload| &workload.pillars);
        named.is_empty() || named.contains(&pillar)
    }

    /// Practices that are not met, of pillars that matter, with this priority or a higher one.
    pub fn failing(&self, least: Priority) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| {
            item.verdict == Verdict::NotMet
                && item.practice.priority <= least
                && self.matters(item.practice.pillar)
        })
    }

    /// Whether an answer was given more than a year before the review.
    #[must_use]
    pub fn is_old(&self, answer: &Answer) -> bool {
        let year = self.day.get(..4).and_then(|year| year.parse::<u32>().ok());
        let before =
            year.zip(self.day.get(4..)).map(|(year, rest)| format!("{:04}{rest}", year.saturating_sub(1)));
        before.is_some_and(|before| answer.when < before)
    }
}

/// Joins evidence and answers, both by id, into one item per best practice, in the order of the table.
///
/// # Errors
/// The ids that no best practice has, in their order.
pub fn join(
    mut evidence: BTreeMap<&'static str, Judgement>,
    mut answers: BTreeMap<String, Answer>,
) -> Result<Vec<Item>, Vec<String>> {
    let ids = evidence.keys().copied().chain(answers.keys().map(String::as_str));
    let mut unknown: Vec<String> = ids.filter(|id| practice(id).is_none()).map(ToOwned::to_owned).collect();
    unknown.sort();
    unknown.dedup();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let items = PRACTICES.iter().map(|row| item(row, evidence.remove(row.id), answers.remove(row.id)));
    Ok(items.collect())
}

fn item(practice: &'static Practice, evidence: Option<Judgement>, answer: Option<Answer>) -> Item {
    let seen = evidence.as_ref().map(|judgement| judgement.verdict).filter(|verdict| verdict.decides());
    let automatic = seen.filter(|_| practice.how == How::Auto);
    let differs = answer.as_ref().zip(seen).is_some_and(|(answer, seen)| answer.verdict != seen);
    let overrules = answer.as_ref().is_some_and(|answer| answer.overrules.is_some());
    let (verdict, decided_by) = match (&answer, automatic) {
        (Some(answer), Some(_)) if differs && overrules => (answer.verdict, DecidedBy::Answer),
        (_, Some(seen)) => (seen, DecidedBy::Evidence),
        (Some(answer), None) => (answer.verdict, DecidedBy::Answer),
        (None, None) => (Verdict::Unanswered, DecidedBy::Nobody),
    };
    let contradiction = differs.then_some(match (automatic, overrules) {
        (Some(_), false) => {
            "the answer says otherwise; evidence holds, since the answer does not overrule it with a reason"
        }
        (Some(_), true) => {
            "evidence says otherwise; the answer holds, since it overrules evidence with a reason"
        }
        (None, _) => "evidence points elsewhere; the answer holds, since a person decides this practice",
    });
    let known = evidence.as_ref().is_some_and(Judgement::is_known);
    let reason = match (verdict, practice.how) {
        (Verdict::Unanswered, How::Auto) if known => "the evidence does not decide it",
        (Verdict::Unanswered, How::Auto) => "no source gives the evidence",
        (Verdict::Unanswered, How::Partial | How::Answer) => "a person has to answer",
        _ => "",
    };
    Item { practice, verdict, decided_by, evidence, answer, contradiction, reason }
}

#[cfg(test)]
mod tests {
    use super::super::figure::{Figure, Source};
    use super::*;

    fn seen(verdict: Verdict) -> Judgement {
        Judgement { verdict, figures: vec![Figure::fact(Source::Audit, "w", Some(true), "b")] }
    }

    fn answered(verdict: Verdict, overrules: bool) -> Answer {
        Answer {
            verdict,
            who: "Ada".into(),
            when: "2026-01-02".into(),
            note: String::new(),
            evidence: Vec::new(),
            overrules: overrules.then(|| "the audit saw the test broker".into()),
        }
    }

    fn joined(id: &'static str, evidence: Option<Judgement>, answer: Option<Answer>) -> Item {
        let answers = answer.map(|answer| (id.to_owned(), answer)).into_iter().collect();
        let items = join(evidence.map(|seen| (id, seen)).into_iter().collect(), answers).unwrap();
        assert_eq!(items.len(), PRACTICES.len());
        items.into_iter().find(|item| item.practice.id == id).unwrap()
    }

    #[test]
    fn evidence_wins_where_it_decides_unless_it_is_overruled_with_a_reason() {
        use DecidedBy::{Answer as A, Evidence as E, Nobody as N};
        use Verdict::{Met, NotApplicable, NotMet, Unanswered};
        let (plain, overruling) = (Some(false), Some(true));
        let cases = [
            ("1.1", None, None, None, (Unanswered, N, "no source gives the evidence", "")),
            ("1.1", Some(Met), None, None, (Met, E, "", "")),
            ("1.1", Some(NotMet), None, None, (NotMet, E, "", "")),
            ("1.1", Some(Unanswered), None, None, (Unanswered, N, "the evidence does not decide it", "")),
            ("1.1", Some(Unanswered), Some(Met), plain, (Met, A, "", "")),
            ("1.1", Some(NotMet), Some(NotMet), plain, (NotMet, E, "", "")),
            ("1.1", Some(NotMet), Some(Met), plain, (NotMet, E, "", "the answer says otherwise")),
            ("1.1", Some(Met), Some(NotMet), plain, (Met, E, "", "the answer says otherwise")),
            ("1.1", Some(NotMet), Some(NotApplicable), plain, (NotMet, E, "", "the answer says otherwise")),
            ("1.1", Some(NotMet), Some(Met), overruling, (Met, A, "", "evidence says otherwise")),
            (
                "1.1",
                Some(NotMet),
                Some(NotApplicable),
                overruling,
                (NotApplicable, A, "", "evidence says otherwise"),
            ),
            ("3.2", Some(Met), None, None, (Unanswered, N, "a person has to answer", "")),
            ("3.2", Some(Met), Some(NotMet), plain, (NotMet, A, "", "evidence points elsewhere")),
            ("3.2", Some(Met), Some(Met), plain, (Met, A, "", "")),
            ("2.1", None, None, None, (Unanswered, N, "a person has to answer", "")),
            ("2.1", None, Some(Met), plain, (Met, A, "", "")),
        ];
        for (id, evidence, verdict, overrules, (expected, by, reason, contradiction)) in cases {
            let answer = verdict.map(|verdict| answered(verdict, overrules == Some(true)));
            let item = joined(id, evidence.map(seen), answer);
            assert_eq!(
                (item.verdict, item.decided_by, item.reason),
                (expected, by, reason),
                "{id} {evidence:?} {verdict:?}"
            );
            let said = item.contradiction.unwrap_or_default();
            assert!(said.starts_with(contradiction) && said.is_empty() == contradiction.is_empty(), "{said}");
            assert_eq!(
                (item.evidence.is_some(), item.answer.is_some()),
                (evidence.is_some(), verdict.is_some())
            );
        }
    }

    #[test]
    fn ids_that_no_practice_has_are_named() {
        let found = BTreeMap::from([("28.2", seen(Verdict::Met)), ("0.1", seen(Verdict::Met))]);
        assert_eq!(join(found, BTreeMap::new()), Err(vec!["0.1".to_owned(), "28.2".to_owned()]));
    }

    #[test]
    fn what_fails_is_not_met_matters_and_has_the_priority() {
        let evidence = BTreeMap::from([
            ("1.1", seen(Verdict::NotMet)),
            ("1.2", seen(Verdict::NotMet)),
            ("4.3", seen(Verdict::NotMet)),
            ("20.1", seen(Verdict::NotMet)),
            ("3.1", seen(Verdict::Met)),
        ]);
        let items = join(evidence, BTreeMap::new()).unwrap();
        let mut review =
            Review { day: "2026-03-01".into(), workload: None, sources: Vec::new(), items, difference: None };
        let failing =
            |review: &Review, least| review.failing(least).map(|item| item.practice.id).collect::<Vec<_>>();
        assert_eq!(failing(&review, Priority::Required), ["1.1", "20.1"]);
        assert_eq!(failing(&review, Priority::HighlyRecommended), ["1.1", "1.2", "20.1"]);
        assert_eq!(failing(&review, Priority::Recommended), ["1.1", "1.2", "4.3", "20.1"]);
        review.workload = Some(Workload { pillars: vec![Pillar::Security], ..Workload::default() });
        assert_eq!(failing(&review, Priority::Required), ["1.1"]);
        for (when, old) in [("2025-02-28", true), ("2025-03-01", false), ("2026-03-01", false)] {
            assert_eq!(review.is_old(&Answer { when: when.into(), ..answered(Verdict::Met, false) }), old);
        }
    }
}
