//! Identifiers, checked once where they enter.
//!
//! Patterns and lengths are those of the AWS IoT model, so that a name accepted
//! here is accepted there.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The text is empty.
    #[error("{what} is empty; allowed are 1 to {max} bytes")]
    Empty {
        /// Kind of identifier.
        what: &'static str,
        /// Longest allowed, in bytes.
        max: usize,
    },
    /// The text is too long.
    #[error("{what} has {len} bytes; allowed are 1 to {max}")]
    TooLong {
        /// Kind of identifier.
        what: &'static str,
        /// Length found, in bytes.
        len: usize,
        /// Longest allowed, in bytes.
        max: usize,
    },
    /// A character is not allowed.
    #[error("{what} has the character {found:?} at byte {at}; allowed are {allowed}")]
    Character {
        /// Kind of identifier.
        what: &'static str,
        /// The character.
        found: char,
        /// Its byte offset.
        at: usize,
        /// What is allowed, in words.
        allowed: &'static str,
    },
}

fn check(
    what: &'static str,
    text: &str,
    max: usize,
    allowed: &'static str,
    ok: fn(char) -> bool,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what, max });
    }
    if text.len() > max {
        return Err(IdError::TooLong { what, len: text.len(), max });
    }
    match text.char_indices().find(|&(_, c)| !ok(c)) {
        Some((at, found)) => Err(IdError::Character { what, found, at, allowed }),
        None => Ok(()),
    }
}

const fn name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-')
}

fn not_control(c: char) -> bool {
    !c.is_control()
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $allowed:literal, $ok:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Longest allowed, in bytes.
            pub const BYTES_MAX: usize = $max;

            /// Checks `text` without keeping it.
            ///
            /// # Errors
            /// When the text is empty, too long, or has a character that is not allowed.
            pub fn check(text: &str) -> Result<(), IdError> {
                check($what, text, $max, $allowed, $ok)
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::check(&text).map(|()| Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// A thing's name: a registered thing's, or the client id or report topic of an unregistered one.
    /// Invariant: 1 to 128 bytes of UTF-8 without control characters.
    ThingName, "thing name", 128, "all characters but control characters", not_control
);
identifier!(
    /// Name of a thing group. Invariant: 1 to 128 of `[a-zA-Z0-9:_-]`.
    GroupName, "thing group name", 128, "`a-z A-Z 0-9 : _ -`", name_char
);
identifier!(
    /// Name of a security profile. Invariant: 1 to 128 of `[a-zA-Z0-9:_-]`.
    ProfileName, "security profile name", 128, "`a-z A-Z 0-9 : _ -`", name_char
);
identifier!(
    /// Name of a behavior. Invariant: 1 to 128 of `[a-zA-Z0-9:_-]`.
    BehaviorName, "behavior name", 128, "`a-z A-Z 0-9 : _ -`", name_char
);
identifier!(
    /// Name of a custom metric. Invariant: 1 to 128 of `[a-zA-Z0-9:_-]`.
    /// (That it does not begin with `aws:` is checked where metrics are defined.)
    CustomMetricName, "custom metric name", 128, "`a-z A-Z 0-9 : _ -`", name_char
);
identifier!(
    /// Name of a mitigation action. Invariant: 1 to 128 of `[a-zA-Z0-9:_-]`.
    ActionName, "mitigation action name", 128, "`a-z A-Z 0-9 : _ -`", name_char
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_both_sides_of_each_edge() {
        let long = "a".repeat(128);
        assert!(ThingName::from_str(&long).is_ok());
        assert!(ThingName::from_str("ventil 7/ä").is_ok());
        let cases = [
            (ThingName::check(""), "thing name is empty; allowed are 1 to 128 bytes"),
            (ThingName::check(&(long + "b")), "thing name has 129 bytes; allowed are 1 to 128"),
            (
                ThingName::check("a\u{7}"),
                "thing name has the character '\\u{7}' at byte 1; allowed are all characters but control characters",
            ),
            (
                ProfileName::check("my profile"),
                "security profile name has the character ' ' at byte 2; allowed are `a-z A-Z 0-9 : _ -`",
            ),
        ];
        for (result, message) in cases {
            assert_eq!(result.unwrap_err().to_string(), message);
        }
    }
}
