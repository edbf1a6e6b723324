//! JSON with the places of its values.
//!
//! `serde_json` decides what is JSON, strictly and to a bounded depth; the tree with byte ranges is
//! then made by `jsonc-parser`, which therefore sees valid JSON only.

use fleet::problem::{Problem, Severity, nearest};
use jsonc_parser::{CollectOptions, ParseOptions, ast::Value, common::Ranged, parse_to_ast};

use super::{Problems, shown};

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
};

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
    problems: Problems<'a>,
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'v> {
    pub(crate) key: &'v str,
    pub(crate) value: &'v Value<'v>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Self { text, line_starts, problems: Problems::new(file) }
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.finish();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    pub(crate) fn parse(&mut self) -> Option<Value<'a>> {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(self.text) {
            let (line, column) = (error.line().max(1), error.column().max(1));
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            self.problems.add(Severity::Error, (line, column), "", format!("not JSON: {message}"));
            return None;
        }
        parse_to_ast(self.text, &CollectOptions::default(), &STRICT).ok().and_then(|parsed| parsed.value)
    }

    pub(crate) fn line(&self, value: &Value<'_>) -> usize {
        self.position(value.start()).0
    }

    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&start| start <= at);
        let start = line.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }

    /// The text of a value, as written.
    pub(crate) fn source(&self, value: &Value<'_>) -> &'a str {
        let range = value.range();
        self.text.get(range.start..range.end).unwrap_or_default()
    }

    pub(crate) fn error(&mut self, value: &Value<'_>, place: &str, message: String) {
        let at = self.position(value.start());
        self.problems.add(Severity::Error, at, place, message);
    }

    pub(crate) fn warning(&mut self, value: &Value<'_>, place: &str, message: String) {
        let at = self.position(value.start());
        self.problems.add(Severity::Warning, at, place, message);
    }

    /// The members of an object; of a repeated key the last counts, as for the brokers.
    pub(crate) fn members<'v>(&mut self, value: &'v Value<'v>, place: &str) -> Vec<Member<'v>> {
        let Value::Object(object) = value else {
            self.expected(value, place, "an object");
            return Vec::new();
        };
        let mut members: Vec<Member<'v>> = Vec::with_capacity(object.properties.len());
        for property in &object.properties {
            members.push(Member { key: property.name.as_str(), value: &property.value });
        }
        members
    }

    pub(crate) fn list<'v>(&mut self, value: &'v Value<'v>, place: &str) -> Vec<&'v Value<'v>> {
        match value {
            Value::Array(array) => array.elements.iter().collect(),
            _ => {
                self.expected(value, place, "a list");
                Vec::new()
            }
        }
    }

    pub(crate) fn text<'v>(&mut self, value: &'v Value<'v>, place: &str) -> Option<&'v str> {
        match value {
            Value::StringLit(text) => Some(&text.value),
            _ => {
                self.expected(value, place, "text");
                None
            }
        }
    }

    /// A text, or a list of texts, each with its line.
    pub(crate) fn texts<'v>(&mut self, value: &'v Value<'v>, place: &str) -> Vec<(usize, &'v str)> {
        let values = match value {
            Value::Array(array) => array.elements.iter().collect(),
            single => vec![single],
        };
        values.into_iter().filter_map(|value| Some((self.line(value), self.text(value, place)?))).collect()
    }

    pub(crate) fn flag(&mut self, value: &Value<'_>, place: &str) -> Option<bool> {
        match value {
            Value::BooleanLit(flag) => Some(flag.value),
            _ => {
                self.expected(value, place, "`true` or `false`");
                None
            }
        }
    }

    pub(crate) fn whole(&mut self, value: &Value<'_>, place: &str) -> Option<i64> {
        match value {
            Value::NumberLit(number) if number.value.parse::<i64>().is_ok() => number.value.parse().ok(),
            _ => {
                self.expected(value, place, "a whole number");
                None
            }
        }
    }

    pub(crate) fn warning_at(&mut self, line: usize, place: &str, message: String) {
        self.problems.add(Severity::Warning, (line, 1), place, message);
    }

    pub(crate) fn expected(&mut self, value: &Value<'_>, place: &str, what: &str) {
        let found = shown(self.source(value));
        self.error(value, place, format!("found `{found}`; expected {what}"));
    }

    pub(crate) fn unknown(&mut self, member: Member<'_>, place: &str, allowed: &[&str]) {
        let hint = match nearest(member.key, allowed.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("allowed are `{}`", allowed.join("`, `")),
        };
        self.warning(member.value, place, format!("unknown key `{}`; {hint}", shown(member.key)));
    }
}

/// The value of a key; of a repeated key the last.
pub(crate) fn get<'v>(members: &[Member<'v>], key: &str) -> Option<&'v Value<'v>> {
    members.iter().rev().find(|member| member.key == key).map(|member| member.value)
}
