//! A problem found in something that a person wrote: a configuration, a
//! profile, an action. It always says where, what was found, and what is allowed.

use std::fmt;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is used, but probably does not do what was meant.
    Warning,
    /// The file is refused.
    Error,
}

/// One problem with its place. Lines and columns count from 1; column counts characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Severity.
    pub severity: Severity,
    /// File, as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Where in the document, such as `behaviors[2].criteria.value`; may be empty.
    pub place: String,
    /// What is wrong, with the value found and what is allowed.
    pub message: String,
}

impl Problem {
    /// An error at a byte offset of `text`.
    #[must_use]
    pub fn error_at(file: &str, text: &str, offset: usize, place: &str, message: String) -> Self {
        let (line, column) = line_column(text, offset);
        Self { severity: Severity::Error, file: file.into(), line, column, place: place.into(), message }
    }

    /// A warning at a byte offset of `text`.
    #[must_use]
    pub fn warning_at(file: &str, text: &str, offset: usize, place: &str, message: String) -> Self {
        Self { severity: Severity::Warning, ..Self::error_at(file, text, offset, place, message) }
    }
}

/// `FILE:LINE:COLUMN: error: PLACE: MESSAGE`, the form that editors jump to.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}:{}:{}: {level}: ", self.file, self.line, self.column)?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// Line and column, from 1, of a byte offset; an offset past the end is the end.
#[must_use]
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before: String = text.char_indices().take_while(|&(at, _)| at < offset).map(|(_, c)| c).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    (line, column)
}

/// The candidate nearest to `found`, if it is near enough to be a typing mistake
/// (Levenshtein distance of at most a third of the length, at least 1).
#[must_use]
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(found, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.chars().count().max(3)) / 3)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, &cb) in row.iter_mut().skip(1).zip(&b) {
            let cost = diagonal + usize::from(ca != cb);
            diagonal = *cell;
            left = cost.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_like_a_compiler_message() {
        let text = "{\n  \"ä\": 1\n}";
        let offset = text.find('1').unwrap();
        let problem = Problem::error_at("p.json", text, offset, "ä", "found `1`; expected text".into());
        assert_eq!(problem.to_string(), "p.json:2:8: error: ä: found `1`; expected text");
    }

    #[test]
    fn suggests_only_near_names() {
        let names = ["less-than", "greater-than", "in-port-set"];
        assert_eq!(nearest("greater-then", names), Some("greater-than"));
        assert_eq!(nearest("lessthan", names), Some("less-than"));
        assert_eq!(nearest("equals", names), None);
    }
}
