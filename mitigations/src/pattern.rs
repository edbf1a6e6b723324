//! Name patterns of rules and never-touch lists: `*` stands for any run of characters.

use std::{convert::Infallible, str::FromStr};

use serde::{Deserialize, Serialize};

/// A name in which `*` stands for any run of characters, the empty one included.
/// Case matters. There is no escape: names that contain `*` are matched by `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// Matches every name.
    #[must_use]
    pub fn any() -> Self {
        Self("*".into())
    }

    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let head = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(head) else { return false };
        let Some(tail) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The leftmost occurrence leaves the most for the parts after it.
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(tail)
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_any_run() {
        let cases = [
            ("*", "", true),
            ("*", "a/b", true),
            ("", "", true),
            ("", "a", false),
            ("pump-1", "pump-1", true),
            ("pump-1", "pump-10", false),
            ("pump-*", "pump-", true),
            ("pump-*", "pump", false),
            ("*-1", "pump-1", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**b", "ab", true),
            ("Ä*", "Äpfel", true),
        ];
        for (pattern, name, matches) in cases {
            assert_eq!(Pattern(pattern.into()).matches(name), matches, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_plain_recursion(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            fn naive(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.first(), name.first()) {
                    (None, None) => true,
                    (Some(b'*'), _) => naive(&pattern[1..], name) || (!name.is_empty() && naive(pattern, &name[1..])),
                    (Some(p), Some(n)) if p == n => naive(&pattern[1..], &name[1..]),
                    _ => false,
                }
            }
            prop_assert_eq!(Pattern(pattern.clone()).matches(&name), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
