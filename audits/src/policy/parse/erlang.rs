//! Erlang terms, as far as `acl.conf` needs them: atoms, texts, binaries, whole numbers, lists,
//! tuples, and comments with `%`.

use super::{Problems, shown};

/// Nesting of terms at most.
pub(super) const DEPTH_MAX: usize = 32;

/// An Erlang term as far as the file needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Atom(String),
    Text(String),
    Number(String),
    List(Vec<Term>),
    Tuple(Vec<Term>),
}

impl Term {
    /// The term as it is written.
    pub(super) fn text(&self) -> String {
        let join = |list: &[Self]| list.iter().map(Self::text).collect::<Vec<_>>().join(", ");
        match self {
            Self::Atom(text) | Self::Number(text) => text.clone(),
            Self::Text(text) => format!("\"{text}\""),
            Self::List(list) => format!("[{}]", join(list)),
            Self::Tuple(list) => format!("{{{}}}", join(list)),
        }
    }
}

/// The terms of the file, each with its line. After a mistake reading goes on behind the next `.`
/// at the end of a line.
pub(super) fn terms(text: &str, problems: &mut Problems<'_>) -> Vec<(usize, Term)> {
    let mut reader = Terms { rest: text, line: 1 };
    let mut terms = Vec::new();
    loop {
        reader.blank();
        if reader.rest.is_empty() {
            return terms;
        }
        let line = reader.line;
        match reader.term(0).and_then(|term| reader.expect('.').map(|()| term)) {
            Ok(term) => terms.push((line, term)),
            Err(message) => {
                problems.error(reader.line, message);
                reader.recover();
            }
        }
    }
}

struct Terms<'t> {
    rest: &'t str,
    line: usize,
}

impl Terms<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    fn blank(&mut self) {
        while let Some(letter) = self.rest.chars().next() {
            if letter == '%' {
                while self.next().is_some_and(|letter| letter != '\n') {}
            } else if letter.is_whitespace() {
                self.next();
            } else {
                return;
            }
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        self.blank();
        if self.rest.starts_with(wanted) {
            self.next();
            return Ok(());
        }
        let found: String = self.rest.chars().take(20).collect();
        Err(format!("found `{}`; expected `{wanted}`", shown(&found)))
    }

    fn recover(&mut self) {
        let mut previous = ' ';
        while let Some(letter) = self.next() {
            if letter == '\n' && previous == '.' {
                return;
            }
            if !letter.is_whitespace() || letter == '\n' {
                previous = letter;
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Term, String> {
        self.blank();
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} terms within each other"));
        }
        match self.rest.chars().next() {
            Some('{') => Ok(Term::Tuple(self.sequence('}', depth)?)),
            Some('[') => Ok(Term::List(self.sequence(']', depth)?)),
            Some('"') => Ok(Term::Text(self.quoted('"')?)),
            Some('\'') => Ok(Term::Atom(self.quoted('\'')?)),
            Some('<') => self.binary(),
            Some(letter) if letter.is_ascii_digit() || letter == '-' => {
                let end =
                    self.rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(self.rest.len());
                Ok(Term::Number(self.take(end)))
            }
            Some(letter) if letter.is_ascii_alphabetic() => {
                let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '@');
                Ok(Term::Atom(self.take(end.unwrap_or(self.rest.len()))))
            }
            _ => {
                let found: String = self.rest.chars().take(20).collect();
                Err(format!("found `{}`; expected a term such as `{{allow, all}}`", shown(&found)))
            }
        }
    }

    fn take(&mut self, end: usize) -> String {
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken.to_owned()
    }

    fn sequence(&mut self, close: char, depth: usize) -> Result<Vec<Term>, String> {
        self.next();
        let mut list = Vec::new();
        self.blank();
        if self.rest.starts_with(close) {
            self.next();
            return Ok(list);
        }
        loop {
            list.push(self.term(depth + 1)?);
            self.blank();
            match self.rest.chars().next() {
                Some(',') => {
                    self.next();
                }
                _ => {
                    self.expect(close)?;
                    return Ok(list);
                }
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        self.next();
        let mut text = String::new();
        while let Some(letter) = self.next() {
            match letter {
                '\\' => text.extend(self.next()),
                letter if letter == quote => return Ok(text),
                letter => text.push(letter),
            }
        }
        Err(format!("a text that begins with `{quote}` has no end"))
    }

    /// `<<"text">>`, also with `/utf8`.
    fn binary(&mut self) -> Result<Term, String> {
        self.expect('<')?;
        self.expect('<')?;
        self.blank();
        let text = if self.rest.starts_with('"') { self.quoted('"')? } else { String::new() };
        if let Some(rest) = self.rest.strip_prefix("/utf8") {
            self.rest = rest;
        }
        self.expect('>')?;
        self.expect('>')?;
        Ok(Term::Text(text))
    }
}
