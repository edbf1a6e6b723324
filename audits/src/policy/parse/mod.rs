//! Readers of the policies of each system. None of them stops at a mistake: what is wrong is told
//! with line, value and what is allowed, and the rest of the file counts.

pub mod aws;
pub mod dynsec;
pub mod emqx;
mod erlang;
pub(crate) mod json;
pub mod mosquitto;
pub mod nats;
mod nats_conf;
pub mod rabbitmq;
mod recognise;

pub use recognise::recognise;

use fleet::problem::{Problem, Severity};

/// Problems of one file that are told; further ones are counted in the last.
const PROBLEMS_MAX: usize = 200;
/// Rules of one file at most; further ones are left out, which is told as a problem.
pub(crate) const RULES_MAX: usize = 200_000;
/// Characters of a value that a message shows.
const SHOWN_MAX: usize = 80;

/// What is wrong in a file, gathered.
#[derive(Debug)]
pub(crate) struct Problems<'f> {
    file: &'f str,
    list: Vec<Problem>,
    more: usize,
}

impl<'f> Problems<'f> {
    pub(crate) const fn new(file: &'f str) -> Self {
        Self { file, list: Vec::new(), more: 0 }
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        (line, column): (usize, usize),
        place: &str,
        message: String,
    ) {
        if self.list.len() >= PROBLEMS_MAX {
            self.more += 1;
            return;
        }
        let (file, place) = (self.file.to_owned(), place.to_owned());
        self.list.push(Problem { severity, file, line, column, place, message });
    }

    pub(crate) fn error(&mut self, line: usize, message: String) {
        self.add(Severity::Error, (line, 1), "", message);
    }

    pub(crate) fn warning(&mut self, line: usize, message: String) {
        self.add(Severity::Warning, (line, 1), "", message);
    }

    pub(crate) fn finish(mut self) -> Vec<Problem> {
        if self.more > 0
            && let Some(last) = self.list.last_mut()
        {
            last.message = format!("{} (and {} more problems)", last.message, self.more);
        }
        self.list.sort_by_key(|problem| problem.line);
        self.list
    }
}

/// A value as a message shows it.
pub(crate) fn shown(text: &str) -> String {
    let cleaned = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    let mut short: String = text.chars().take(SHOWN_MAX).map(cleaned).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        short.push('…');
    }
    short
}

/// What is wrong with a topic filter, if anything.
pub(crate) fn filter_fault(filter: &str) -> Option<&'static str> {
    if filter.is_empty() {
        return Some("is empty");
    }
    let levels = filter.split('/').count();
    for (index, level) in filter.split('/').enumerate() {
        match level {
            "+" => {}
            "#" if index + 1 == levels => {}
            "#" => return Some("has `#` before its end"),
            level if level.contains(['+', '#']) => {
                return Some("has `+` or `#` beside other characters in a level");
            }
            _ => {}
        }
    }
    filter.chars().any(char::is_control).then_some("holds a control character")
}
