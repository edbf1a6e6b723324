//! What changed since another review, which is read from its report in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::practice::{PRACTICES, practice};
use super::report::FORMAT;
use super::review::{Item, Verdict};

/// Which way a practice went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// For the worse.
    Worse,
    /// For the better.
    Better,
    /// Neither.
    Other,
}

/// A practice whose verdict changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its id.
    pub id: &'static str,
    /// The verdict of then.
    pub before: Verdict,
    /// The verdict of now.
    pub after: Verdict,
    /// Which way.
    pub direction: Direction,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The report that this one is compared with.
    pub place: String,
    /// Its day.
    pub day: String,
    /// Changes: for the worse, for the better, others; each in the order of the practices.
    pub changes: Vec<Change>,
    /// Practices whose verdict is the same.
    pub same: u64,
}

/// A review of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    place: String,
    day: String,
    verdicts: BTreeMap<&'static str, Verdict>,
}

#[derive(Deserialize)]
struct Report {
    format: String,
    day: String,
    practices: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    verdict: Verdict,
}

/// Reads a report that was written as JSON; `file` names it.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn read(file: &str, text: &str) -> Result<Previous, String> {
    let report: Report = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if report.format != FORMAT {
        return Err(format!("format: found `{}`; allowed is `{FORMAT}`", report.format));
    }
    let mut verdicts = BTreeMap::new();
    for row in report.practices {
        let Some(known) = practice(&row.id) else {
            return Err(format!("practices: no best practice has the id `{}`", row.id));
        };
        if verdicts.insert(known.id, row.verdict).is_some() {
            return Err(format!("practices: `{}` is there twice", row.id));
        }
    }
    Ok(Previous { place: file.to_owned(), day: report.day, verdicts })
}

/// How good a verdict is.
const fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::NotMet => 0,
        Verdict::Unanswered => 1,
        Verdict::Met | Verdict::NotApplicable => 2,
    }
}

impl Previous {
    /// Compares with the items of now. A practice that was not in the report counts as unanswered there.
    #[must_use]
    pub fn compare(&self, items: &[Item]) -> Difference {
        let now: BTreeMap<&str, Verdict> =
            items.iter().map(|item| (item.practice.id, item.verdict)).collect();
        let mut changes = Vec::new();
        let mut same = 0;
        for practice in PRACTICES {
            let before = self.verdicts.get(practice.id).copied().unwrap_or(Verdict::Unanswered);
            let after = now.get(practice.id).copied().unwrap_or(Verdict::Unanswered);
            if before == after {
                same += 1;
                continue;
            }
            let direction = match rank(after).cmp(&rank(before)) {
                std::cmp::Ordering::Less => Direction::Worse,
                std::cmp::Ordering::Greater => Direction::Better,
                std::cmp::Ordering::Equal => Direction::Other,
            };
            changes.push(Change { id: practice.id, before, after, direction });
        }
        changes.sort_by_key(|change| change.direction as u8);
        Difference { place: self.place.clone(), day: self.day.clone(), changes, same }
    }
}

#[cfg(test)]
mod tests {
    use super::super::review::join;
    use super::*;

    #[test]
    fn changes_have_a_direction_and_the_worse_come_first() {
        let text = format!(
            r#"{{"format":"{FORMAT}","day":"2025-11-01","practices":[
                {{"id":"1.1","verdict":"unanswered","title":"more is ignored"}},{{"id":"1.2","verdict":"not-met"}},
                {{"id":"2.1","verdict":"met"}}]}}"#
        );
        let items = join(BTreeMap::new(), BTreeMap::new()).unwrap();
        let difference = read("p.json", &text).unwrap().compare(&items);
        let changes: Vec<_> = difference.changes.iter().map(|change| (change.id, change.direction)).collect();
        assert_eq!(changes, [("2.1", Direction::Worse), ("1.2", Direction::Better)]);
        assert_eq!((difference.same, difference.day.as_str()), (69, "2025-11-01"));
        assert_eq!(
            [Verdict::Met, Verdict::NotApplicable].map(rank),
            [2, 2],
            "what is met and what does not apply are equally good"
        );
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for (text, expected) in [
            ("{}", "missing field `format` at line 1 column 2"),
            (
                r#"{"format":"x","day":"","practices":[]}"#,
                "format: found `x`; allowed is `fleetward-lens-review/1`",
            ),
            (
                r#"{"format":"fleetward-lens-review/1","day":"","practices":[{"id":"9.9","verdict":"met"}]}"#,
                "practices: no best practice has the id `9.9`",
            ),
            (
                r#"{"format":"fleetward-lens-review/1","day":"","practices":[{"id":"9.1","verdict":"met"},{"id":"9.1","verdict":"met"}]}"#,
                "practices: `9.1` is there twice",
            ),
            (
                r#"{"format":"fleetward-lens-review/1","day":"","practices":[{"id":"9.1","verdict":"fine"}]}"#,
                "unknown variant `fine`, expected one of `met`, `not-met`, `not-applicable`, `unanswered` at line 1 column 86",
            ),
        ] {
            assert_eq!(read("p.json", text).unwrap_err(), expected);
        }
    }
}
