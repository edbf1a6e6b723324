//! What an audit found: one shape for all checks, and how it is written as JSON.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

mod wire;

/// How bad a finding is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// An attacker is let in.
    Critical,
    /// An attacker is helped.
    High,
    /// Attacks go unseen, or a protection is missing.
    Medium,
    /// Worth knowing.
    Low,
}

impl Severity {
    /// All, worst first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// As AWS IoT writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// One non-compliant resource, with its place and the remedy.
///
/// Text and names come from outside too (custom checks, files): whoever shows a finding escapes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Name of the check, such as `LOGGING_DISABLED_CHECK`.
    #[serde(rename = "checkName")]
    pub check: Cow<'static, str>,
    /// Severity.
    pub severity: Severity,
    /// `reasonForNonComplianceCode`.
    #[serde(rename = "reasonForNonComplianceCode")]
    pub code: Cow<'static, str>,
    /// `reasonForNonCompliance`: one sentence, with the value found.
    #[serde(rename = "reasonForNonCompliance")]
    pub reason: String,
    /// `nonCompliantResource`.
    #[serde(rename = "nonCompliantResource")]
    pub resource: ResourceRef,
    /// `relatedResources`.
    #[serde(rename = "relatedResources", default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<ResourceRef>,
    /// Where it is written, if it is written somewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What to do.
    pub remedy: Cow<'static, str>,
}

/// A resource by its type and identifier; on the wire with the members that AWS IoT has
/// (`device-defender-audit.md`, section 1, last columns).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceRef {
    /// `resourceType` of AWS, or a name of ours.
    pub resource_type: Cow<'static, str>,
    /// Members of the identifier, such as `deviceCertificateId`. With the check they are what a
    /// suppression names, so nothing that changes from run to run belongs here.
    pub identifier: Vec<(Cow<'static, str>, String)>,
    /// `additionalInfo`.
    pub additional_info: Vec<(Cow<'static, str>, String)>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// File, as the user named it.
    pub file: String,
    /// Line, from 1; 0 if the finding is that something is missing.
    pub line: usize,
    /// Column, from 1; 0 if it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub column: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl ResourceRef {
    /// A resource without `additionalInfo`.
    #[must_use]
    pub fn new<const N: usize>(
        resource_type: impl Into<Cow<'static, str>>,
        identifier: [(&'static str, String); N],
    ) -> Self {
        Self {
            resource_type: resource_type.into(),
            identifier: identifier.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            additional_info: Vec::new(),
        }
    }

    /// The value of a member of the identifier.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&str> {
        self.identifier.iter().find(|(member, _)| member == name).map(|(_, value)| value.as_str())
    }
}

/// `TYPE NAME=VALUE …`
impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource_type)?;
        self.identifier.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl Place {
    /// A line without a column.
    #[must_use]
    pub fn line(file: impl Into<String>, line: usize) -> Self {
        Self { file: file.into(), line, column: 0 }
    }
}

/// `FILE:LINE:COLUMN`, without what is not known.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match (self.line, self.column) {
            (0, _) => Ok(()),
            (line, 0) => write!(f, ":{line}"),
            (line, column) => write!(f, ":{line}:{column}"),
        }
    }
}

impl Finding {
    /// Line in its file; 0 if it has none.
    #[must_use]
    pub fn line(&self) -> usize {
        self.place.as_ref().map_or(0, |place| place.line)
    }
}

/// `PLACE: CHECK: REASON; REMEDY`, with the resource for a place if there is none.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}")?,
            None => write!(f, "{}", self.resource)?,
        }
        write!(f, ": {}: {}; {}", self.check, self.reason, self.remedy)
    }
}
