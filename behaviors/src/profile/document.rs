//! A JSON file with places: reads values of the wanted type, and gathers what is wrong.
//!
//! `serde_json` decides what is JSON, strictly; the tree with byte ranges is then made by
//! `jsonc-parser`, which therefore sees valid JSON only.

use fleet::problem::{Problem, Severity, nearest};
use jsonc_parser::{CollectOptions, ParseOptions, ast::Value, common::Ranged, parse_to_ast};

/// A file that is being read, and its problems with their byte offsets.
#[derive(Debug)]
pub(super) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    problems: Vec<(usize, Problem)>,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node<'v> {
    value: &'v Value<'v>,
    place: String,
}

/// The members of an object.
#[derive(Debug)]
pub(super) struct Fields<'v> {
    members: Vec<(&'v str, Node<'v>)>,
    place: String,
    at: usize,
}

impl Node<'_> {
    /// Byte offset of the value.
    pub(super) fn at(&self) -> usize {
        self.value.start()
    }

    /// Path of the value, such as `behaviors[2].name`.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The keys of an object, repeated ones too; of another value none.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let object = self.value.as_object();
        object.into_iter().flat_map(|object| object.properties.iter().map(|property| property.name.as_str()))
    }

    pub(super) const fn is_list(&self) -> bool {
        matches!(self.value, Value::Array(_))
    }
}

impl<'v> Fields<'v> {
    pub(super) fn get(&self, key: &str) -> Option<&Node<'v>> {
        self.members.iter().find(|(name, _)| *name == key).map(|(_, node)| node)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Path of a member, whether it is there or not.
    pub(super) fn place_of(&self, key: &str) -> String {
        join(&self.place, key)
    }
}

impl<'a> Document<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Self { file, text, line_starts, problems: Vec::new() }
    }

    /// The file as the user named it.
    pub(super) const fn file(&self) -> &'a str {
        self.file
    }

    /// Line, from 1, of a byte offset.
    pub(super) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= at)
    }

    /// The text of a value, as written.
    pub(super) fn source(&self, node: &Node<'_>) -> &'a str {
        let range = node.value.range();
        self.text.get(range.start..range.end).unwrap_or_default()
    }

    pub(super) fn error(&mut self, at: usize, place: &str, message: String) {
        self.problem(Severity::Error, at, place, message);
    }

    pub(super) fn warning(&mut self, at: usize, place: &str, message: String) {
        self.problem(Severity::Warning, at, place, message);
    }

    /// The problems in the order of their places.
    pub(super) fn into_problems(self) -> impl Iterator<Item = Problem> {
        let mut problems = self.problems;
        problems.sort_by_key(|&(at, _)| at);
        problems.into_iter().map(|(_, problem)| problem)
    }

    /// The tree, or an error about what is not JSON.
    pub(super) fn parse(&mut self) -> Option<Value<'a>> {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(self.text) {
            self.not_json(&error);
            return None;
        }
        match parse_to_ast(self.text, &CollectOptions::default(), &STRICT) {
            Ok(parsed) => parsed.value,
            Err(error) => {
                self.error(error.range().start, "", format!("not JSON: {}", error.kind()));
                None
            }
        }
    }

    pub(super) fn root<'v>(value: &'v Value<'v>) -> Node<'v> {
        Node { value, place: String::new() }
    }

    /// The members of an object. Unknown and repeated keys are errors, as is what is no object.
    pub(super) fn fields<'v>(&mut self, node: &Node<'v>, allowed: &[&str]) -> Option<Fields<'v>> {
        let fields = self.members(node)?;
        for (key, member) in &fields.members {
            if !allowed.contains(key) {
                let hint = match suggestion(key, allowed) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("allowed are {}", list(allowed)),
                };
                self.error(member.at(), &member.place, format!("unknown key `{}`; {hint}", shorten(key)));
            }
        }
        Some(fields)
    }

    /// The members of an object, whatever their names. Of a repeated key the first counts.
    fn members<'v>(&mut self, node: &Node<'v>) -> Option<Fields<'v>> {
        let Value::Object(object) = node.value else {
            return self.expected(node, "an object");
        };
        let mut members: Vec<(&str, Node<'_>)> = Vec::with_capacity(object.properties.len());
        let mut seen = std::collections::BTreeSet::new();
        for property in &object.properties {
            let key = property.name.as_str();
            let place = join(&node.place, key);
            if seen.insert(key) {
                members.push((key, Node { value: &property.value, place }));
            } else {
                let message = format!("the key `{}` is there twice; keep one of them", shorten(key));
                self.error(property.start(), &place, message);
            }
        }
        Some(Fields { members, place: node.place.clone(), at: node.at() })
    }

    /// A member that must be there.
    pub(super) fn required<'f, 'v>(&mut self, fields: &'f Fields<'v>, key: &str) -> Option<&'f Node<'v>> {
        let node = fields.get(key);
        if node.is_none() {
            self.error(fields.at, &fields.place_of(key), "is missing".into());
        }
        node
    }

    pub(super) fn text<'v>(&mut self, node: &Node<'v>) -> Option<&'v str> {
        match node.value {
            Value::StringLit(text) => Some(&text.value),
            _ => self.expected(node, "text"),
        }
    }

    /// A text of so many characters.
    pub(super) fn text_of<'v>(&mut self, node: &Node<'v>, min: usize, max: usize) -> Option<&'v str> {
        let text = self.text(node)?;
        let chars = text.chars().count();
        if (min..=max).contains(&chars) {
            return Some(text);
        }
        let message = format!("found `{}`, {chars} characters; allowed are {min} to {max}", shorten(text));
        self.error(node.at(), &node.place, message);
        None
    }

    /// One of some words; a near one is suggested.
    pub(super) fn word<T: Copy>(&mut self, node: &Node<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint =
            suggestion(text, &names).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let message = format!("found `{}`; {hint}allowed are {}", shorten(text), list(&names));
        self.error(node.at(), &node.place, message);
        None
    }

    pub(super) fn flag(&mut self, node: &Node<'_>) -> Option<bool> {
        match node.value {
            Value::BooleanLit(flag) => Some(flag.value),
            _ => self.expected(node, "`true` or `false`"),
        }
    }

    /// A flag that may be left out, and is false then.
    pub(super) fn flag_in(&mut self, fields: &Fields<'_>, key: &str) -> bool {
        fields.get(key).and_then(|node| self.flag(node)).unwrap_or(false)
    }

    pub(super) fn list<'v>(&mut self, node: &Node<'v>) -> Option<Vec<Node<'v>>> {
        let Value::Array(array) = node.value else {
            return self.expected(node, "a list");
        };
        let nodes = array.elements.iter().enumerate();
        Some(nodes.map(|(i, value)| Node { value, place: format!("{}[{i}]", node.place) }).collect())
    }

    pub(super) fn number(&mut self, node: &Node<'_>) -> Option<f64> {
        match node.value {
            Value::NumberLit(number) => number.value.parse().ok().filter(|n: &f64| n.is_finite()),
            _ => self.expected(node, "a number"),
        }
    }

    /// A whole number, written without fraction and exponent.
    pub(super) fn whole(&mut self, node: &Node<'_>, min: u64, max: u64) -> Option<u64> {
        let Value::NumberLit(number) = node.value else {
            return self.expected(node, "a whole number");
        };
        let value = number.value.parse().ok().filter(|value| (min..=max).contains(value));
        if value.is_none() {
            let message =
                format!("found `{}`; allowed are whole numbers from {min} to {max}", shorten(number.value));
            self.error(node.at(), &node.place, message);
        }
        value
    }

    fn expected<T>(&mut self, node: &Node<'_>, what: &str) -> Option<T> {
        let found = match node.value {
            Value::StringLit(text) => format!("the text `{}`", shorten(&text.value)),
            Value::NumberLit(number) => format!("the number `{}`", shorten(number.value)),
            Value::BooleanLit(flag) => format!("`{}`", flag.value),
            Value::Object(_) => "an object".into(),
            Value::Array(_) => "a list".into(),
            Value::NullKeyword(_) => "`null`".into(),
        };
        self.error(node.at(), &node.place, format!("found {found}; expected {what}"));
        None
    }

    fn not_json(&mut self, error: &serde_json::Error) {
        let line_start = error.line().checked_sub(1).and_then(|line| self.line_starts.get(line));
        let at = line_start.map_or(0, |start| start + error.column().saturating_sub(1));
        let next = self.text.as_bytes().get(at);
        let message = if self.text.trim().is_empty() {
            "the file is empty; expected a security profile".to_owned()
        } else if matches!(next, Some(b'/' | b'#')) {
            "not JSON: comments are not allowed".to_owned()
        } else {
            let text = error.to_string();
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
            format!("not JSON: {}", text.replace("EOF while parsing", "the file ends inside"))
        };
        self.error(at, "", message);
    }

    fn problem(&mut self, severity: Severity, at: usize, place: &str, message: String) {
        let line = self.line(at).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let end = at.min(self.text.len());
        let column = self.text.get(start..end).map_or(end.saturating_sub(start), |t| t.chars().count()) + 1;
        let problem =
            Problem { severity, file: self.file.into(), line, column, place: place.into(), message };
        self.problems.push((at, problem));
    }
}

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
};

fn join(place: &str, key: &str) -> String {
    let key = shorten(key);
    if place.is_empty() { key } else { format!("{place}.{key}") }
}

/// The name that was probably meant.
fn suggestion<'n>(found: &str, names: &[&'n str]) -> Option<&'n str> {
    let same = names.iter().copied().find(|name| name.eq_ignore_ascii_case(found));
    same.or_else(|| nearest(found, names.iter().copied()))
}

/// Names in backticks with commas between them.
pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Text as a message shows it: at most 60 characters, and none that moves the cursor.
pub(super) fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let shown = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut shown: String = shown.collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
