//! Reads the configuration file and reports every problem of it, not just the first.

use std::ops::Range;

use fleet::problem::{Problem, nearest};

use super::options::Options;

/// Problems reported for one file at most; the rest is left out with a note.
const PROBLEMS_MAX: usize = 100;

/// Parses `text`; the options are absent if there was any problem.
///
/// serde stops at the first mistake. To find the others, the faulty `key = value` is blanked
/// (same length, so that places stay true) and the rest is read again.
#[must_use]
pub fn parse(file: &str, text: &str) -> (Option<Options>, Vec<Problem>) {
    let (options, mut problems) = collect(file, text);
    problems.sort_by_key(|problem| (problem.line, problem.column));
    (options, problems)
}

fn collect(file: &str, text: &str) -> (Option<Options>, Vec<Problem>) {
    let mut rest = text.to_owned();
    let mut problems: Vec<Problem> = Vec::new();
    loop {
        let error = match toml::from_str::<Options>(&rest) {
            Ok(options) => return (problems.is_empty().then_some(options), problems),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let problem = Problem::error_at(file, text, span.start, "", explain(error.message()));
        if problems.contains(&problem) || problems.len() >= PROBLEMS_MAX {
            return (None, problems);
        }
        problems.push(problem);
        match blank(&rest, &span) {
            Some(blanked) => rest = blanked,
            None => return (None, problems),
        }
    }
}

/// serde's sentence, with the nearest name for an unknown key.
fn explain(message: &str) -> String {
    let message = message.trim_end().replace('\n', "; ");
    let suggestion = unknown_field(&message).and_then(|(found, allowed)| nearest(found, allowed));
    match suggestion {
        Some(name) => format!("{message}; did you mean `{name}`?"),
        None => message,
    }
}

/// The unknown name and the allowed ones of "unknown field `x`, expected one of `a`, `b`".
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    Some((names.next()?, names.collect()))
}

/// `text` with the `key = value` line that holds `span` blanked, or a table header with its body
/// if the span is a header. `None` if there is nothing sensible to blank.
fn blank(text: &str, span: &Range<usize>) -> Option<String> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let first_line = text.get(start..)?.lines().next()?;
    if first_line.trim().is_empty() {
        return None;
    }
    let end = if first_line.trim_start().starts_with('[') {
        body_end(text, start)
    } else {
        let line_end = |at: usize| text.get(at..).and_then(|t| t.find('\n')).map_or(text.len(), |n| at + n);
        line_end(span.end.max(start))
    };
    let blanked: String = text
        .get(start..end)?
        .chars()
        .map(|c| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) })
        .collect();
    Some(format!("{}{blanked}{}", text.get(..start)?, text.get(end..)?))
}

/// Where the table that begins at `start` ends: the next header line, or the end.
fn body_end(text: &str, start: usize) -> usize {
    let mut at = start;
    for (index, line) in text.get(start..).unwrap_or_default().split_inclusive('\n').enumerate() {
        if index > 0 && line.trim_start().starts_with('[') {
            return at;
        }
        at += line.len();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let (options, problems) = parse("f.toml", text);
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(options.is_some(), expected.is_empty());
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        check("", &[]);
        check(
            "[data]\nstor = \"redb\"\n[detect]\nbucket_secs = \"x\"\nshards = 2\n[jurnal]\nx = 1\n[api]\nlisten = 5\n",
            &[
                "f.toml:2:1: error: unknown field `stor`, expected `dir` or `store`; did you mean `store`?",
                "f.toml:4:15: error: invalid type: string \"x\", expected u32",
                "f.toml:6:2: error: unknown field `jurnal`, expected one of `data`, `files`, `detect`, `journal`, `history`, `source`, `control`, `response`, `alerts`, `api`, `log`; did you mean `journal`?",
                "f.toml:9:10: error: invalid type: integer `5`, expected a string",
            ],
        );
    }

    #[test]
    fn a_missing_key_and_a_syntax_error_name_their_line() {
        check("[[source.mqtt]]\nname = \"a\"\n", &["f.toml:1:1: error: missing field `host`"]);
        let (_, problems) = parse("f.toml", "[data]\ndir = \n");
        assert_eq!(problems[0].line, 2);
    }
}
