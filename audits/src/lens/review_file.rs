//! The review file, TOML: the workload, and what people answered.
//!
//! ```toml
//! [workload]
//! name = "Pumps"
//! description = "900 pumps in 12 halls, watched by the shift; at most 1 h of outage a month"
//! review_owner = "Ada"
//! workload_owner = "Grace"
//! stakeholders = ["Operations"]
//! partners = []
//!
//! [[answer]]
//! practice = "2.1"
//! answer = "yes"               # or "no", "not applicable"
//! who = "Ada"
//! when = 2026-03-01
//! note = "ATECC608 on every board"
//! evidence = ["https://wiki.example.com/boards"]
//! # overrules = "why this holds against machine evidence"
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use fleet::problem::{Problem, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::practice::{PRACTICES, Pillar, practice};
use super::review::{Answer, Verdict, Workload};

/// What a review file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewFile {
    /// The workload.
    pub workload: Workload,
    /// Answers by the id of the practice.
    pub answers: BTreeMap<String, Answer>,
}

/// Words for answers.
pub(super) const ANSWERS: [(&str, Verdict); 3] =
    [("yes", Verdict::Met), ("no", Verdict::NotMet), ("not applicable", Verdict::NotApplicable)];

const WORKLOAD_KEYS: [&str; 10] = [
    "name",
    "description",
    "review_owner",
    "workload_owner",
    "stakeholders",
    "partners",
    "architecture",
    "accounts",
    "compliance",
    "pillars",
];
const ANSWER_KEYS: [&str; 7] = ["practice", "answer", "who", "when", "note", "evidence", "overrules"];

/// Reads a review file named `file`; `today` (`YYYY-MM-DD`) is the last day that an answer can be from.
///
/// The problems are all problems, in the order of the file. What was read is given unless one of them is an
/// error; what is recommended and missing is a warning.
#[must_use]
pub fn parse(file: &str, text: &str, today: &str) -> (Option<ReviewFile>, Vec<Problem>) {
    let (read, problems) = draft(file, text, today);
    let refused = problems.iter().any(|problem| problem.severity == fleet::problem::Severity::Error);
    (read.filter(|_| !refused), problems)
}

/// As [`parse`], but what could be read is given in spite of errors, so that a half-filled file can be
/// filled further. Nothing if it is no TOML.
#[must_use]
pub fn draft(file: &str, text: &str, today: &str) -> (Option<ReviewFile>, Vec<Problem>) {
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            let message = error.message().trim_end().replace('\n', "; ");
            return (None, vec![Problem::error_at(file, text, offset, "", message)]);
        }
    };
    let mut reader = Reader { file, text, today, problems: Vec::new() };
    let root = root.get_ref();
    reader.known(root, "", &["workload", "answer"]);
    let workload = reader.workload(root);
    let answers = reader.answers(root);
    let mut problems = reader.problems;
    problems.sort_by_key(|problem| (problem.line, problem.column, std::cmp::Reverse(problem.severity)));
    (Some(ReviewFile { workload, answers }), problems)
}

/// A table with its place, for messages.
#[derive(Clone, Copy)]
struct Here<'t, 'i> {
    table: &'t DeTable<'i>,
    place: &'t str,
    /// Where it begins, for what is missing in it.
    at: usize,
}

impl Here<'_, '_> {
    fn place(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    today: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn error(&mut self, span: &Range<usize>, place: &str, message: String) {
        self.problems.push(Problem::error_at(self.file, self.text, span.start, place, message));
    }

    fn known(&mut self, table: &DeTable<'_>, place: &str, allowed: &[&str]) {
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if allowed.contains(&name) {
                continue;
            }
            let hint = nearest(name, allowed.iter().copied());
            let hint = hint.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let message = format!("unknown key `{name}`; allowed are `{}`{hint}", allowed.join("`, `"));
            self.error(&key.span(), place, message);
        }
    }

    /// A text; nothing if it is not there, or no text.
    fn text(&mut self, here: Here<'_, '_>, key: &str) -> Option<(String, Range<usize>)> {
        let value = here.table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text.as_ref().to_owned(), value.span())),
            other => {
                self.error(
                    &value.span(),
                    &here.place(key),
                    format!("found {}; expected a string", kind(other)),
                );
                None
            }
        }
    }

    /// A text that must be there and say something.
    fn required(&mut self, here: Here<'_, '_>, key: &str) -> String {
        if !here.table.contains_key(key) {
            let message = format!("missing; expected `{key} = \"…\"`");
            self.error(&(here.at..here.at), &here.place(key), message);
            return String::new();
        }
        let Some((text, span)) = self.text(here, key) else { return String::new() };
        if text.trim().is_empty() {
            self.error(&span, &here.place(key), "is empty; expected a text".to_owned());
        }
        text
    }

    /// A list of texts; empty if it is not there.
    fn texts(&mut self, here: Here<'_, '_>, key: &str) -> Vec<(String, Range<usize>)> {
        let Some(value) = here.table.get(key) else { return Vec::new() };
        let place = here.place(key);
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("found {}; expected a list of strings", kind(value.get_ref()));
            self.error(&value.span(), &place, message);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::String(text) => texts.push((text.as_ref().to_owned(), item.span())),
                other => {
                    let message = format!("found {}; expected a string", kind(other));
                    self.error(&item.span(), &format!("{place}[{index}]"), message);
                }
            }
        }
        texts
    }

    fn workload(&mut self, root: &DeTable<'_>) -> Workload {
        let Some(value) = root.get("workload") else {
            self.error(&(0..0), "workload", "missing; expected a table `[workload]`".to_owned());
            return Workload::default();
        };
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("found {}; expected a table", kind(value.get_ref()));
            self.error(&value.span(), "workload", message);
            return Workload::default();
        };
        let here = Here { table, place: "workload", at: value.span().start };
        self.known(table, "workload", &WORKLOAD_KEYS);
        for key in ["stakeholders", "partners"].into_iter().filter(|key| !table.contains_key(*key)) {
            let message = format!("missing; expected `{key} = [\"…\"]`, or `[]` if there are none");
            self.error(&(here.at..here.at), &here.place(key), message);
        }
        let recommended = ["architecture", "accounts", "compliance"];
        for key in recommended.into_iter().filter(|key| !table.contains_key(*key)) {
            let message = "missing; the lens recommends to record it".to_owned();
            let place = here.place(key);
            self.problems.push(Problem::warning_at(self.file, self.text, here.at, &place, message));
        }
        let plain = |texts: Vec<(String, Range<usize>)>| texts.into_iter().map(|(text, _)| text).collect();
        Workload {
            name: self.required(here, "name"),
            description: self.required(here, "description"),
            review_owner: self.required(here, "review_owner"),
            workload_owner: self.required(here, "workload_owner"),
            stakeholders: plain(self.texts(here, "stakeholders")),
            partners: plain(self.texts(here, "partners")),
            architecture: self.text(here, "architecture").map(|(text, _)| text),
            accounts: table.contains_key("accounts").then(|| plain(self.texts(here, "accounts"))),
            compliance: table.contains_key("compliance").then(|| plain(self.texts(here, "compliance"))),
            pillars: self.pillars(here),
        }
    }

    fn pillars(&mut self, here: Here<'_, '_>) -> Vec<Pillar> {
        let mut pillars = Vec::new();
        for (name, span) in self.texts(here, "pillars") {
            match Pillar::ALL.into_iter().find(|pillar| pillar.name().eq_ignore_ascii_case(&name)) {
                Some(pillar) => pillars.push(pillar),
                None => {
                    let names = Pillar::ALL.map(Pillar::name);
                    let message = format!("found `{name}`; allowed are `{}`", names.join("`, `"));
                    self.error(&span, &here.place("pillars"), message);
                }
            }
        }
        pillars
    }

    fn answers(&mut self, root: &DeTable<'_>) -> BTreeMap<String, Answer> {
        let mut answers = BTreeMap::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        let Some(value) = root.get("answer") else { return answers };
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("found {}; expected tables `[[answer]]`", kind(value.get_ref()));
            self.error(&value.span(), "answer", message);
            return answers;
        };
        for (index, item) in items.iter().enumerate() {
            let place = format!("answer[{index}]");
            let DeValue::Table(table) = item.get_ref() else {
                let message = format!("found {}; expected a table", kind(item.get_ref()));
                self.error(&item.span(), &place, message);
                continue;
            };
            let here = Here { table, place: &place, at: item.span().start };
            self.known(table, &place, &ANSWER_KEYS);
            let id = self.id(here, &mut lines);
            let answer = self.answer(here);
            if let Some((id, answer)) = id.zip(answer) {
                answers.insert(id, answer);
            }
        }
        answers
    }

    /// The id of a practice that was not answered before.
    fn id(&mut self, here: Here<'_, '_>, lines: &mut BTreeMap<String, usize>) -> Option<String> {
        let id = self.required(here, "practice");
        let span = here.table.get("practice").map_or(here.at..here.at, Spanned::span);
        if id.trim().is_empty() {
            return None;
        }
        if practice(&id).is_none() {
            let (first, last) = (PRACTICES.first()?.id, PRACTICES.last()?.id);
            let message = format!(
                "no best practice has the id `{id}`; allowed are `{first}` to `{last}` as `fleetward lens list` shows them"
            );
            self.error(&span, &here.place("practice"), message);
            return None;
        }
        let (line, _) = fleet::problem::line_column(self.text, span.start);
        if let Some(before) = lines.get(&id) {
            let message = format!("`{id}` is answered in line {before}, too; expected one answer");
            self.error(&span, &here.place("practice"), message);
            return None;
        }
        lines.insert(id.clone(), line);
        Some(id)
    }

    fn answer(&mut self, here: Here<'_, '_>) -> Option<Answer> {
        let found = self.required(here, "answer");
        let span = here.table.get("answer").map_or(here.at..here.at, Spanned::span);
        let verdict = ANSWERS.iter().find(|(name, _)| *name == found).map(|(_, verdict)| *verdict);
        if verdict.is_none() && !found.trim().is_empty() {
            let message = format!("found `{found}`; allowed are `yes`, `no` and `not applicable`");
            self.error(&span, &here.place("answer"), message);
        }
        let answer = Answer {
            verdict: verdict.unwrap_or(Verdict::Unanswered),
            who: self.required(here, "who"),
            when: self.day(here),
            note: self.text(here, "note").map(|(text, _)| text).unwrap_or_default(),
            evidence: self.texts(here, "evidence").into_iter().map(|(text, _)| text).collect(),
            overrules: self.reason(here),
        };
        if verdict == Some(Verdict::NotApplicable) && answer.note.trim().is_empty() {
            let message = "missing; what is not applicable needs a note that says why".to_owned();
            self.error(&span, &here.place("note"), message);
        }
        verdict.map(|_| answer)
    }

    fn reason(&mut self, here: Here<'_, '_>) -> Option<String> {
        let (reason, span) = self.text(here, "overrules")?;
        if reason.trim().is_empty() {
            let message = "is empty; expected the reason why the answer holds against evidence".to_owned();
            self.error(&span, &here.place("overrules"), message);
            return None;
        }
        Some(reason)
    }

    /// A date of TOML or a text of the same form.
    fn day(&mut self, here: Here<'_, '_>) -> String {
        let place = here.place("when");
        let Some(value) = here.table.get("when") else {
            self.error(&(here.at..here.at), &place, "missing; expected a date such as 2026-01-31".to_owned());
            return String::new();
        };
        let found = match value.get_ref() {
            DeValue::String(text) => text.as_ref().to_owned(),
            DeValue::Datetime(date) => date.to_string(),
            other => kind(other).to_owned(),
        };
        if !is_day(&found) {
            let message = format!("found `{found}`; expected a date such as 2026-01-31");
            self.error(&value.span(), &place, message);
        } else if found.as_str() > self.today {
            let message = format!("found {found}; expected a day up to today, {}", self.today);
            self.error(&value.span(), &place, message);
        }
        found
    }
}

const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Whether a text is a day of the Gregorian calendar, `YYYY-MM-DD`.
#[must_use]
pub fn is_day(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let number = |range: Range<usize>| text.get(range).and_then(|digits| digits.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    shape && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        for (text, expected) in [
            ("2026-01-31", true),
            ("2024-02-29", true),
            ("2000-02-29", true),
            ("1900-02-29", false),
            ("2026-02-29", false),
            ("2026-04-31", false),
            ("2026-13-01", false),
            ("2026-00-01", false),
            ("2026-01-00", false),
            ("2026-1-01", false),
            ("2026-01-01T00:00:00Z", false),
            ("2026/01/01", false),
            ("", false),
            ("2026-01-é", false),
        ] {
            assert_eq!(is_day(text), expected, "{text}");
        }
    }
}
