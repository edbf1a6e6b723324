//! Rules for the names of device certificates, with variables.
//!
//! A rule is a kind and a pattern, such as `cn=${thing}` or `dns=${thing}.devices.example.com`.
//! Kinds: `cn` (common name of the subject), `dns`, `uri`, `mail` (subject alternative names).
//! `${thing}` stands for the name of the thing that the certificate is attached to. Domain names
//! are compared without letter case (RFC 4343), the others exactly.

use std::fmt;

use super::facts::Facts;

/// Which names a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameKind {
    Common,
    /// Prefix of the line in the facts.
    Alternative(&'static str),
}

const KINDS: [(&str, NameKind); 4] = [
    ("cn", NameKind::Common),
    ("dns", NameKind::Alternative("DNS:")),
    ("uri", NameKind::Alternative("URI:")),
    ("mail", NameKind::Alternative("mail:")),
];

const VARIABLE: &str = "${thing}";

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRule {
    kind: NameKind,
    /// The text between the places of the variable: one more than there are places.
    parts: Vec<Box<str>>,
}

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// Not `KIND=PATTERN` with a known kind.
    Kind(String),
    /// A variable other than `${thing}`.
    Variable(String),
    /// A pattern without a variable: all devices would have the same name.
    Constant(String),
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(rule) => {
                write!(
                    f,
                    "name rule `{rule}`; expected cn=, dns=, uri= or mail= and a pattern, such as `cn={VARIABLE}`"
                )
            }
            Self::Variable(rule) => {
                write!(f, "name rule `{rule}` has an unknown variable; expected `{VARIABLE}`")
            }
            Self::Constant(rule) => {
                write!(f, "name rule `{rule}` has no variable; expected `{VARIABLE}` in it")
            }
        }
    }
}

impl NameRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// If it is not of the form above.
    pub fn parse(rule: &str) -> Result<Self, RuleError> {
        let (kind, pattern) = rule.split_once('=').ok_or_else(|| RuleError::Kind(rule.into()))?;
        let (_, kind) =
            KINDS.iter().find(|(name, _)| *name == kind).ok_or_else(|| RuleError::Kind(rule.into()))?;
        let parts: Vec<Box<str>> = pattern.split(VARIABLE).map(Box::from).collect();
        if parts.iter().any(|part| part.contains("${")) {
            return Err(RuleError::Variable(rule.into()));
        }
        if parts.len() < 2 {
            return Err(RuleError::Constant(rule.into()));
        }
        Ok(Self { kind: *kind, parts })
    }

    /// Whether a name of the certificate is what the rule says for `thing`.
    #[must_use]
    pub fn fits(&self, facts: &Facts, thing: &str) -> bool {
        match self.kind {
            NameKind::Common => facts.common_names().iter().any(|name| self.is(name, thing, str::eq)),
            NameKind::Alternative(prefix) => {
                let same = if prefix == "DNS:" { str::eq_ignore_ascii_case } else { <str as PartialEq>::eq };
                facts
                    .names()
                    .filter_map(|name| name.strip_prefix(prefix))
                    .any(|name| self.is(name, thing, same))
            }
        }
    }

    fn is(&self, name: &str, thing: &str, same: fn(&str, &str) -> bool) -> bool {
        let mut rest = name;
        let mut take = |part: &str| match rest.split_at_checked(part.len()) {
            Some((start, end)) if same(start, part) => {
                rest = end;
                true
            }
            _ => false,
        };
        self.parts.iter().enumerate().all(|(index, part)| (index == 0 || take(thing)) && take(part))
            && rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (rule, name, expected) in [
            ("cn=${thing}", "pump-1", true),
            ("cn=${thing}", "pump-2", false),
            ("cn=${thing}", "pump-1x", false),
            ("cn=${thing}", "", false),
            ("cn=x-${thing}-y", "x-pump-1-y", true),
            ("cn=x-${thing}-y", "x-pump-1", false),
            ("cn=${thing}.${thing}", "pump-1.pump-1", true),
            ("cn=${thing}", "PUMP-1", false),
        ] {
            assert_eq!(NameRule::parse(rule).unwrap().is(name, "pump-1", str::eq), expected, "{rule} {name}");
        }
        let rule = NameRule::parse("dns=${thing}.example.com").unwrap();
        assert!(rule.is("Pump-1.EXAMPLE.com", "pump-1", str::eq_ignore_ascii_case));
    }

    #[test]
    fn rules_that_cannot_be_read() {
        for (rule, expected) in [
            (
                "${thing}",
                "name rule `${thing}`; expected cn=, dns=, uri= or mail= and a pattern, such as `cn=${thing}`",
            ),
            (
                "ip=${thing}",
                "name rule `ip=${thing}`; expected cn=, dns=, uri= or mail= and a pattern, such as `cn=${thing}`",
            ),
            ("cn=${name}", "name rule `cn=${name}` has an unknown variable; expected `${thing}`"),
            ("cn=device", "name rule `cn=device` has no variable; expected `${thing}` in it"),
        ] {
            assert_eq!(NameRule::parse(rule).unwrap_err().to_string(), expected);
        }
    }
}
