//! The table of operations, shapes and errors, read once.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::Regex;
use serde::Deserialize;

/// The table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Operations by name.
    pub operations: BTreeMap<String, Operation>,
    /// Errors by type.
    pub errors: BTreeMap<String, ErrorFacts>,
    shapes: BTreeMap<String, Shape>,
    #[serde(skip)]
    patterns: BTreeMap<String, Regex>,
}

/// One operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// HTTP method.
    pub method: String,
    /// Path template, such as `/things/{thingName}`.
    pub path: String,
    /// Status of success.
    pub status: u16,
    /// Shape of the input.
    pub input: Option<String>,
    /// Shape of the output.
    pub output: Option<String>,
    /// Error types that the operation declares.
    pub errors: Vec<String>,
    /// Names of input token, output token, limit and list.
    pub pages: Option<(String, String, Option<String>, String)>,
}

/// What is known of an error type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorFacts {
    /// HTTP status.
    pub status: u16,
    /// Members of its body.
    pub members: Vec<String>,
}

/// Where a member of an input stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A label of the path.
    Path,
    /// The query string.
    Query,
    /// A header.
    Header,
    /// The JSON body.
    #[default]
    Body,
}

/// A member of a structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its shape.
    pub shape: String,
    /// Where it stands.
    #[serde(default, rename = "in")]
    pub place: Place,
    /// Name on the wire, where it is another.
    pub name: Option<String>,
    /// Clients fill it in by themselves.
    #[serde(default)]
    pub token: bool,
}

/// Kind of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// 64 bits, floating.
    Double,
    /// 32 bits.
    Integer,
    /// 64 bits.
    Long,
    /// Text.
    String,
    /// Seconds since the epoch.
    Timestamp,
    /// Values of one shape.
    List,
    /// Text to values of one shape.
    Map,
    /// Named members.
    Structure,
}

/// A shape with its constraints.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Kind.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Least length, value or number of elements.
    pub min: Option<f64>,
    /// Largest length, value or number of elements.
    pub max: Option<f64>,
    /// Pattern that the whole text must match.
    pub pattern: Option<String>,
    /// Allowed texts.
    #[serde(default, rename = "enum")]
    pub values: Vec<String>,
    /// Members that must be there.
    #[serde(default)]
    pub required: Vec<String>,
    /// The member that is the whole body.
    pub payload: Option<String>,
    /// Not to be shown.
    #[serde(default)]
    pub sensitive: bool,
    /// Shape of a list's elements.
    pub member: Option<String>,
    /// Shape of a map's keys.
    pub key: Option<String>,
    /// Shape of a map's values.
    pub value: Option<String>,
    /// Members of a structure, in the model's order.
    #[serde(default)]
    pub members: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    typed: Vec<(String, Member)>,
}

impl Shape {
    /// Members of a structure, in the model's order.
    #[must_use]
    pub fn members(&self) -> &[(String, Member)] {
        &self.typed
    }
}

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the table is part of the program and read by every test")]
    Model::read(include_str!("model.json")).expect("the table of operations can be read")
});

impl Model {
    /// The table of this program.
    #[must_use]
    pub fn get() -> &'static Self {
        &MODEL
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut model: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for shape in model.shapes.values_mut() {
            for (name, value) in std::mem::take(&mut shape.members) {
                let member = serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))?;
                shape.typed.push((name, member));
            }
            if let Some(pattern) = &shape.pattern
                && !model.patterns.contains_key(pattern)
            {
                let whole = Regex::new(&ascii(pattern)).map_err(|error| error.to_string())?;
                model.patterns.insert(pattern.clone(), whole);
            }
        }
        Ok(model)
    }

    /// The shape of that name.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.get(name)
    }

    /// The shape of an operation's input.
    #[must_use]
    pub fn input(&self, operation: &Operation) -> Option<&Shape> {
        self.shape(operation.input.as_deref()?)
    }

    /// The shape of an operation's output.
    #[must_use]
    pub fn output(&self, operation: &Operation) -> Option<&Shape> {
        self.shape(operation.output.as_deref()?)
    }

    /// Whether the whole text matches one of the model's patterns.
    #[must_use]
    pub fn matches(&self, pattern: &str, text: &str) -> bool {
        self.patterns.get(pattern).is_none_or(|whole| whole.is_match(text))
    }
}

/// The model's patterns are Java's, where these classes are of ASCII alone.
fn ascii(pattern: &str) -> String {
    let pattern = pattern
        .replace(r"\w", "a-zA-Z0-9_")
        .replace(r"\p{Graph}", "!-~")
        .replace(r"\p{Upper}", "A-Z")
        .replace(r"\p{Digit}", "0-9")
        .replace(r"\p{Cntrl}", r"\x00-\x1f\x7f");
    format!(r"\A(?:{pattern})\z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_table_leads_somewhere() {
        let model = Model::get();
        assert_eq!(model.operations.len(), 172);
        for (name, operation) in &model.operations {
            for shape in operation.input.iter().chain(&operation.output) {
                assert!(model.shape(shape).is_some(), "{name}: {shape}");
            }
            for error in &operation.errors {
                assert!(model.errors.contains_key(error), "{name}: {error}");
            }
        }
        for (name, shape) in &model.shapes {
            let members = shape.members().iter().map(|(_, member)| &member.shape);
            for used in members.chain(&shape.member).chain(&shape.key).chain(&shape.value) {
                assert!(model.shape(used).is_some(), "{name}: {used}");
            }
            for required in &shape.required {
                assert!(shape.members().iter().any(|(member, _)| member == required), "{name}: {required}");
            }
        }
    }

    #[test]
    fn patterns_match_whole_texts_of_ascii() {
        let model = Model::get();
        let cases = [
            ("[a-zA-Z0-9:_-]+", "pump:1", true),
            ("[a-zA-Z0-9:_-]+", "pump 1", false),
            ("[a-zA-Z0-9:_-]+", "pump\n", false),
            (r"[\w+=,.@-]+", "a_b", true),
            (r"[\w+=,.@-]+", "ä", false),
            (r"[^\p{C}]+", "ä", true),
            (r"[^\p{C}]+", "a\u{7}", false),
            ("^([1-9]|[12][0-9]|3[01])$|^LAST$", "31", true),
            ("^([1-9]|[12][0-9]|3[01])$|^LAST$", "32", false),
            ("^arn:[!-~]+$", "arn:x", true),
        ];
        for (pattern, text, expected) in cases {
            assert!(model.patterns.contains_key(pattern), "{pattern}");
            assert_eq!(model.matches(pattern, text), expected, "{pattern} {text:?}");
        }
    }
}
