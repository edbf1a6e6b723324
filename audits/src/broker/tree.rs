//! Values of nested configurations with their places, and the cursor that their readers share.
//!
//! Bounds: [`DEPTH_MAX`] values within each other, [`MEMBERS_MAX`] keys of a map, [`NODES_MAX`] values of one
//! configuration with all that it includes and repeats. What lies beyond is left out, and a finding says from where on.

use std::collections::BTreeSet;

use super::{
    file::ConfigFile,
    note::{At, Notes},
    rule::{
        BROKER_BOUND_CHECK, BROKER_CONFIGURATION_INVALID_CHECK, BROKER_INCLUDE_MISSING_CHECK,
        BROKER_VALUE_UNRESOLVED_CHECK, Rule, System,
    },
};
use crate::policy::parse::shown;

/// Values within each other at most.
pub(super) const DEPTH_MAX: usize = 32;
/// Values of one configuration at most.
pub(super) const NODES_MAX: usize = 100_000;
/// Keys of one map at most: a key that is set again is looked for among all.
pub(super) const MEMBERS_MAX: usize = 1_000;
/// Files that include each other at most, and files included at all.
pub(super) const INCLUDES_DEPTH_MAX: usize = 8;
pub(super) const INCLUDES_MAX: usize = 256;

/// A value and where it begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    List(Vec<Node>),
    /// In the order of the file, each key once.
    Map(Vec<(String, Node)>),
    /// A reference that the files do not resolve, by its name: nothing is known of the value.
    Unresolved(String),
}

impl Default for Value {
    fn default() -> Self {
        Self::Map(Vec::new())
    }
}

impl Node {
    pub(super) const fn new(at: At, value: Value) -> Self {
        Self { at, value }
    }

    pub(super) fn members(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match &self.value {
            Value::List(list) => list,
            _ => &[],
        }
    }

    /// The value of a path whose parts are divided by dots, letter case aside.
    pub(super) fn get(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.member(key))
    }

    pub(super) fn member(&self, key: &str) -> Option<&Self> {
        let mut members = self.members().iter().rev();
        members.find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, node)| node)
    }

    /// The first of several names of a key that is there.
    pub(super) fn any(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().find_map(|key| self.get(key))
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn text_of(&self, path: &str) -> Option<&str> {
        self.get(path).and_then(Self::text)
    }

    /// A truth value, as far as it is one.
    pub(super) fn flag(&self) -> Option<bool> {
        truth(self.text()?)
    }

    pub(super) fn is_on(&self, path: &str) -> bool {
        self.get(path).and_then(Self::flag) == Some(true)
    }

    pub(super) fn is_off(&self, path: &str) -> bool {
        self.get(path).and_then(Self::flag) == Some(false)
    }

    pub(super) const fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    pub(super) const fn is_unresolved(&self) -> bool {
        matches!(self.value, Value::Unresolved(_))
    }

    /// A text, the texts of a list, or a text with commas.
    pub(super) fn texts(&self) -> Vec<&str> {
        match &self.value {
            Value::Text(text) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(),
            Value::List(list) => list.iter().filter_map(Self::text).collect(),
            _ => Vec::new(),
        }
    }

    /// Number of values in it, itself too.
    pub(super) fn size(&self) -> usize {
        match &self.value {
            Value::List(list) => list.iter().map(Self::size).sum::<usize>() + 1,
            Value::Map(members) => members.iter().map(|(_, node)| node.size()).sum::<usize>() + 1,
            Value::Text(_) | Value::Unresolved(_) => 1,
        }
    }
}

pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Bytes with a unit (`1MB`, `64kib`, `1024`); units are powers of 1024 for EMQX and RabbitMQ as for
/// NATS with `i`, and near enough without.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().replace('_', "");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        "t" | "tb" | "ti" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// What the readers of one configuration share: findings, and what is left of the bounds.
#[derive(Debug)]
pub(super) struct Reading<'n, 'f> {
    pub(super) files: &'f [ConfigFile],
    pub(super) notes: &'n mut Notes,
    pub(super) system: System,
    nodes: usize,
    includes: usize,
    told: bool,
    unresolved: BTreeSet<(usize, usize, String)>,
}

impl<'n, 'f> Reading<'n, 'f> {
    pub(super) fn new(files: &'f [ConfigFile], notes: &'n mut Notes, system: System) -> Self {
        Self { files, notes, system, nodes: 0, includes: 0, told: false, unresolved: BTreeSet::new() }
    }

    fn tell(&mut self, rule: &'static Rule, at: &At, reason: String) {
        self.notes.told(rule, self.system, at, reason);
    }

    pub(super) fn invalid(&mut self, at: &At, reason: String) {
        self.tell(&BROKER_CONFIGURATION_INVALID_CHECK, at, reason);
    }

    pub(super) fn missing(&mut self, at: &At, path: &str) {
        let reason = format!("`include {}` is not among the files: it was not looked at", shown(path));
        self.tell(&BROKER_INCLUDE_MISSING_CHECK, at, reason);
    }

    pub(super) fn unresolved(&mut self, at: &At, name: &str) {
        // What is copied to many places is told once.
        if !self.unresolved.insert((at.line, at.column, name.to_owned())) {
            return;
        }
        let reason = format!("`{}` is not set in the files: its value was not looked at", shown(name));
        self.tell(&BROKER_VALUE_UNRESOLVED_CHECK, at, reason);
    }

    /// Told once: everything after it may be missing.
    pub(super) fn bound(&mut self, at: &At, what: &str) {
        if !self.told {
            self.told = true;
            let reason = format!("more than {what}: what follows was not looked at");
            self.tell(&BROKER_BOUND_CHECK, at, reason);
        }
    }

    /// Whether nothing more may be kept.
    pub(super) const fn is_full(&self) -> bool {
        self.nodes > NODES_MAX
    }

    /// Whether so many more values may be kept.
    pub(super) fn room(&mut self, at: &At, nodes: usize) -> bool {
        self.nodes = self.nodes.saturating_add(nodes);
        let fits = self.nodes <= NODES_MAX;
        if !fits {
            self.bound(at, &format!("{NODES_MAX} values"));
        }
        fits
    }

    /// The file that an `include` names, if it may be followed.
    pub(super) fn include(&mut self, at: &At, path: &str, depth: usize) -> Option<&'f ConfigFile> {
        let Some(file) = super::file::named(self.files, path.trim_start_matches("./")) else {
            self.missing(at, path);
            return None;
        };
        self.includes += 1;
        if file.path == at.file {
            self.invalid(at, "the file includes itself".into());
            return None;
        }
        if depth >= INCLUDES_DEPTH_MAX || self.includes > INCLUDES_MAX {
            self.bound(at, &format!("{INCLUDES_DEPTH_MAX} files that include each other, or {INCLUDES_MAX}"));
            return None;
        }
        Some(file)
    }
}

/// A place in a text that moves forward.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    pub(super) rest: &'t str,
    file: &'t str,
    line: usize,
    column: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { rest: text.strip_prefix('\u{FEFF}').unwrap_or(text), file, line: 1, column: 1 }
    }

    pub(super) fn at(&self) -> At {
        At { file: self.file.to_owned(), line: self.line, column: self.column }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        if letter == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(letter)
    }

    /// Goes behind `text`, if it is what comes.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.rest.starts_with(text);
        if found {
            text.chars().for_each(|_| {
                self.next();
            });
        }
        found
    }

    pub(super) fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let begin = self.rest;
        while self.peek().is_some_and(&is) {
            self.next();
        }
        begin.get(..begin.len() - self.rest.len()).unwrap_or_default()
    }

    pub(super) fn skip_line(&mut self) {
        self.take_while(|letter| letter != '\n');
    }

    /// What comes next, for a message; never a value, which may be a secret.
    pub(super) fn shown(&self) -> String {
        match self.peek() {
            None => "the end of the file".into(),
            Some('\n') => "the end of the line".into(),
            Some(letter) => format!("`{}`", shown(letter.encode_utf8(&mut [0; 4]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("1MB", Some(1 << 20)),
            ("8 mib", Some(8 << 20)),
            ("64k", Some(64 << 10)),
            ("infinity", None),
            ("1x", None),
            ("", None),
            ("99999999999999T", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
