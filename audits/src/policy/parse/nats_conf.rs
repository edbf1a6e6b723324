//! The configuration language of the NATS server, as far as permissions need it: maps with `:`, `=`
//! or a blank after the key, lists, texts, comments with `#` and `//`, and `$NAME` for a value that
//! was set before. Included files are not read.

use std::collections::BTreeMap;

use super::{Problems, shown};

/// Nesting at most.
const DEPTH_MAX: usize = 32;
/// Values of one file at most.
const VALUES_MAX: usize = 1_000_000;

/// A value with its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Conf {
    Text(usize, String),
    List(Vec<Conf>),
    Map(usize, Vec<(String, Conf)>),
}

impl Conf {
    /// The value of a key, letter case aside; of a repeated key the last.
    pub(super) fn get(&self, keys: &[&str]) -> Option<&Self> {
        let Self::Map(_, members) = self else { return None };
        let is = |name: &str| keys.iter().any(|key| name.eq_ignore_ascii_case(key));
        members.iter().rev().find(|(name, _)| is(name)).map(|(_, value)| value)
    }

    /// Number of values in it, itself too.
    fn size(&self) -> usize {
        match self {
            Self::Text(..) => 1,
            Self::List(list) => list.iter().map(Self::size).sum::<usize>() + 1,
            Self::Map(_, members) => members.iter().map(|(_, value)| value.size()).sum::<usize>() + 1,
        }
    }

    pub(super) fn line(&self) -> usize {
        match self {
            Self::Text(line, _) | Self::Map(line, _) => *line,
            Self::List(list) => list.first().map_or(0, Self::line),
        }
    }
}

/// The file as one map.
pub(super) fn read(text: &str, problems: &mut Problems<'_>) -> Conf {
    let mut reader = Reader { rest: text, line: 1, values: 0, known: BTreeMap::new() };
    let mut members = Vec::new();
    while reader.values < VALUES_MAX {
        match reader.member(0) {
            Ok(Some(member)) => {
                reader.known.insert(member.0.clone(), member.1.clone());
                members.push(member);
            }
            Ok(None) => {
                if reader.rest.is_empty() {
                    break;
                }
                problems.error(reader.line, format!("found `{}` without a beginning", reader.start()));
                reader.next();
            }
            Err(message) => {
                problems.error(reader.line, message);
                while reader.next().is_some_and(|letter| letter != '\n') {}
            }
        }
    }
    Conf::Map(1, members)
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
    values: usize,
    known: BTreeMap<String, Conf>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    fn start(&self) -> String {
        shown(&self.rest.lines().next().unwrap_or_default().chars().take(20).collect::<String>())
    }

    fn blank(&mut self, also: &[char]) {
        while let Some(letter) = self.rest.chars().next() {
            if letter == '#' || self.rest.starts_with("//") {
                while self.rest.chars().next().is_some_and(|letter| letter != '\n') {
                    self.next();
                }
            } else if letter.is_whitespace() || also.contains(&letter) {
                self.next();
            } else {
                return;
            }
        }
    }

    /// A key with its value; none at the end of the map.
    fn member(&mut self, depth: usize) -> Result<Option<(String, Conf)>, String> {
        self.blank(&[',', ';']);
        if self.rest.is_empty() || self.rest.starts_with(['}', ']', ')']) {
            return Ok(None);
        }
        let key = if self.rest.starts_with(['"', '\'']) {
            self.quoted()?
        } else {
            self.bare(&['{', '[', ':', '='])
        };
        if key.is_empty() {
            return Err(format!("found `{}`; expected a key", self.start()));
        }
        self.blank(&[]);
        if self.rest.starts_with([':', '=']) {
            self.next();
        }
        let value = self.value(depth)?;
        Ok(Some((key, value)))
    }

    fn bare(&mut self, ends: &[char]) -> String {
        let is_end = |c: char| c.is_whitespace() || ends.contains(&c) || matches!(c, ',' | ';' | '}' | ']');
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken.to_owned()
    }

    fn quoted(&mut self) -> Result<String, String> {
        let quote = self.next().unwrap_or('"');
        let mut text = String::new();
        while let Some(letter) = self.next() {
            match letter {
                '\\' if quote == '"' => text.extend(self.next()),
                letter if letter == quote => return Ok(text),
                letter => text.push(letter),
            }
        }
        Err(format!("a text that begins with `{quote}` has no end"))
    }

    fn value(&mut self, depth: usize) -> Result<Conf, String> {
        self.blank(&[]);
        self.values += 1;
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} values within each other"));
        }
        if self.values > VALUES_MAX {
            return Err(format!("more than {VALUES_MAX} values"));
        }
        let line = self.line;
        match self.rest.chars().next() {
            Some('{') => {
                self.next();
                let mut members = Vec::new();
                while let Some(member) = self.member(depth + 1)? {
                    members.push(member);
                }
                self.close('}')?;
                Ok(Conf::Map(line, members))
            }
            Some('[') => {
                self.next();
                let mut list = Vec::new();
                loop {
                    self.blank(&[',']);
                    if self.rest.is_empty() || self.rest.starts_with([']', '}']) {
                        break;
                    }
                    list.push(self.value(depth + 1)?);
                }
                self.close(']')?;
                Ok(Conf::List(list))
            }
            Some('"' | '\'') => Ok(Conf::Text(line, self.quoted()?)),
            Some('(') => self.block(line),
            _ => {
                let text = self.bare(&[]);
                if text.is_empty() {
                    return Err(format!("found `{}`; expected a value", self.start()));
                }
                let known = text.strip_prefix('$').and_then(|name| self.known.get(name));
                let Some(known) = known else { return Ok(Conf::Text(line, text)) };
                // A value of values may double with each line: copies count as if they were written.
                self.values = self.values.saturating_add(known.size());
                if self.values > VALUES_MAX {
                    return Err(format!("more than {VALUES_MAX} values"));
                }
                Ok(known.clone())
            }
        }
    }

    /// A text between parentheses that stand at the ends of lines.
    fn block(&mut self, line: usize) -> Result<Conf, String> {
        self.next();
        let mut text = String::new();
        while let Some(letter) = self.next() {
            if letter == ')' {
                return Ok(Conf::Text(line, text.trim().to_owned()));
            }
            text.push(letter);
        }
        Err("a block that begins with `(` has no end".into())
    }

    fn close(&mut self, wanted: char) -> Result<(), String> {
        if self.rest.starts_with(wanted) {
            self.next();
            return Ok(());
        }
        Err(format!("found `{}`; expected `{wanted}`", self.start()))
    }
}
