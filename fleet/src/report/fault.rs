//! What can be wrong with a report, while it is read: the place grows on the way out.

use std::fmt::Display;

/// The result of reading a part. The fault is boxed so that the good case stays small.
pub(super) type Step<T> = Result<T, Box<Fault>>;

/// What is wrong, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Size,
    Utf8,
    Syntax,
    Truncated,
    Trailing,
    Depth,
    Type,
    Missing,
    Range,
    Duplicate,
    Limit,
    Version,
    Address,
}

impl Reason {
    pub(super) const ALL: [Self; 13] = [
        Self::Size,
        Self::Utf8,
        Self::Syntax,
        Self::Truncated,
        Self::Trailing,
        Self::Depth,
        Self::Type,
        Self::Missing,
        Self::Range,
        Self::Duplicate,
        Self::Limit,
        Self::Version,
        Self::Address,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Utf8 => "utf8",
            Self::Syntax => "syntax",
            Self::Truncated => "truncated",
            Self::Trailing => "trailing",
            Self::Depth => "depth",
            Self::Type => "type",
            Self::Missing => "missing",
            Self::Range => "range",
            Self::Duplicate => "duplicate",
            Self::Limit => "limit",
            Self::Version => "version",
            Self::Address => "address",
        }
    }
}

/// One thing wrong, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) place: String,
    pub(super) message: String,
}

impl Fault {
    #[cold]
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { reason, place: String::new(), message: message.into() })
    }

    /// A value that is not allowed, in the form that all such messages have.
    #[cold]
    pub(super) fn found(reason: Reason, found: &str, allowed: impl Display) -> Box<Self> {
        Self::new(reason, format!("found {found}; allowed is {allowed}"))
    }

    /// A required member that is absent.
    #[cold]
    pub(super) fn missing(member: &str, allowed: impl Display) -> Box<Self> {
        Self::new(Reason::Missing, format!("it is missing; required is {allowed}")).at(member)
    }

    #[cold]
    fn at(mut self: Box<Self>, segment: &str) -> Box<Self> {
        let dot = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{segment}{dot}{}", self.place);
        self
    }
}

/// Names the place of a fault, from the inside out.
pub(super) trait At {
    /// In the member `name`.
    fn at(self, name: &str) -> Self;
    /// In the item with the number `index`.
    fn at_index(self, index: usize) -> Self;
}

impl<T> At for Step<T> {
    #[inline]
    fn at(self, name: &str) -> Self {
        match self {
            Ok(value) => Ok(value),
            Err(fault) => Err(fault.at(name)),
        }
    }

    #[inline]
    fn at_index(self, index: usize) -> Self {
        match self {
            Ok(value) => Ok(value),
            Err(fault) => Err(fault.at(&format!("[{index}]"))),
        }
    }
}

/// A piece of the report as messages show it: in backticks, at most 40 characters, no control characters.
#[cold]
pub(super) fn quote(bytes: &[u8]) -> String {
    format!("`{}`", shorten(bytes))
}

/// As [`quote`], without the backticks.
#[cold]
pub(super) fn shorten(bytes: &[u8]) -> String {
    const CHARS_MAX: usize = 40;
    let text = String::from_utf8_lossy(bytes.get(..4 * (CHARS_MAX + 1)).unwrap_or(bytes));
    let mut short: String = text
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
