//! Reading a JSON document that a person wrote, keeping the place of everything.

use fleet::problem::{Problem, nearest};
use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{Object, ObjectProp, Value},
    common::Ranged,
    parse_to_ast,
};

/// Strict JSON: what the AWS CLI would refuse is refused here.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
};

/// Longest text of a value that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// A document being read, and what was found wrong in it so far.
pub(super) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    pub(super) fn parse(&mut self) -> Option<Value<'a>> {
        match parse_to_ast(self.text, &CollectOptions::default(), &STRICT) {
            Ok(result) if result.value.is_some() => result.value,
            Ok(_) => {
                self.error(0, "", "the file is empty; expected a mitigation action".into());
                None
            }
            Err(error) => {
                self.error(
                    error.range().start,
                    "",
                    format!("not JSON: {}", lower_first(&error.kind().to_string())),
                );
                None
            }
        }
    }

    pub(super) fn error(&mut self, at: usize, place: &str, message: String) {
        self.problems.push(Problem::error_at(self.file, self.text, at, place, message));
    }

    pub(super) fn warning(&mut self, at: usize, place: &str, message: String) {
        self.problems.push(Problem::warning_at(self.file, self.text, at, place, message));
    }

    /// The value as an object whose keys are among `allowed`, each at most once.
    pub(super) fn object<'v>(
        &mut self,
        value: &'v Value<'a>,
        place: &str,
        allowed: &[&str],
    ) -> Option<&'v Object<'a>> {
        let Value::Object(object) = value else {
            self.error(value.start(), place, format!("found {}; expected an object", self.shown(value)));
            return None;
        };
        let mut seen: Vec<&str> = Vec::new();
        for property in &object.properties {
            let key = property.name.as_str();
            if seen.contains(&key) {
                self.error(property.start(), place, format!("key `{key}` appears twice; expected it once"));
            } else if !allowed.contains(&key) {
                self.unknown_key(property, place, allowed);
            }
            seen.push(key);
        }
        Some(object)
    }

    fn unknown_key(&mut self, property: &ObjectProp<'a>, place: &str, allowed: &[&str]) {
        let key = shorten(property.name.as_str());
        let hint = match nearest(&key, allowed.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("allowed are {}", quoted(allowed)),
        };
        self.error(property.start(), place, format!("unknown key `{key}`; {hint}"));
    }

    /// The member `key`, which must be there.
    pub(super) fn required<'v>(
        &mut self,
        object: &'v Object<'a>,
        place: &str,
        key: &str,
    ) -> Option<&'v Value<'a>> {
        let found = object.get(key).map(|property| &property.value);
        if found.is_none() {
            self.error(object.start(), place, format!("`{key}` is missing"));
        }
        found
    }

    /// The value as text.
    pub(super) fn text<'v>(&mut self, value: &'v Value<'a>, place: &str) -> Option<&'v str> {
        if let Value::StringLit(text) = value {
            return Some(&text.value);
        }
        self.error(value.start(), place, format!("found {}; expected text", self.shown(value)));
        None
    }

    /// The value as `true` or `false`.
    pub(super) fn boolean(&mut self, value: &Value<'a>, place: &str) -> Option<bool> {
        if let Value::BooleanLit(literal) = value {
            return Some(literal.value);
        }
        self.error(value.start(), place, format!("found {}; expected `true` or `false`", self.shown(value)));
        None
    }

    /// The value as a list.
    pub(super) fn array<'v>(&mut self, value: &'v Value<'a>, place: &str) -> Option<&'v [Value<'a>]> {
        if let Value::Array(array) = value {
            return Some(&array.elements);
        }
        self.error(value.start(), place, format!("found {}; expected a list", self.shown(value)));
        None
    }

    /// The value as text that is one of `allowed`.
    pub(super) fn choice(&mut self, value: &Value<'a>, place: &str, allowed: &[&str]) -> Option<String> {
        let text = self.text(value, place)?;
        if allowed.contains(&text) {
            return Some(text.to_owned());
        }
        let message = format!("found `{}`; allowed are {}", shorten(text), quoted(allowed));
        self.error(value.start(), place, message);
        None
    }

    /// The value as text of `min` to `max` characters.
    pub(super) fn sized(&mut self, value: &Value<'a>, place: &str, min: usize, max: usize) -> Option<String> {
        let text = self.text(value, place)?;
        let chars = text.chars().count();
        if (min..=max).contains(&chars) {
            return Some(text.to_owned());
        }
        self.error(value.start(), place, format!("found {chars} characters; allowed are {min} to {max}"));
        None
    }

    fn shown(&self, value: &Value<'a>) -> String {
        let source = self.text.get(value.start()..value.end()).unwrap_or_default();
        match value {
            Value::StringLit(text) => format!("the text `{}`", shorten(&text.value)),
            Value::NumberLit(_) => format!("the number `{}`", shorten(source)),
            Value::BooleanLit(_) | Value::NullKeyword(_) => format!("`{source}`"),
            Value::Object(_) => "an object".into(),
            Value::Array(_) => "a list".into(),
        }
    }
}

/// `a`, `b` and `c`, in backticks.
pub(super) fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The text on one line, cut to a length that a message can hold.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(printable).collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        short.push('…');
    }
    short
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
