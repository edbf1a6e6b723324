//! The checks of all rooms in one table: what people can ask about a check, whatever room it is from.

use std::borrow::Cow;

use crate::broker::RULES as BROKER_RULES;
use crate::certificate::check::{CHECKS as CERTIFICATE_CHECKS, Check};
use crate::finding::Severity;

/// Where a check comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// AWS IoT Device Defender has it under this name.
    Aws,
    /// Ours.
    Ours,
}

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Certificates and CRLs.
    Certificates,
    /// Policies and access lists.
    Policies,
    /// Client ids, credentials and who uses them.
    Identities,
    /// What is logged.
    Logging,
    /// The broker's configuration.
    BrokerConfiguration,
    /// Checks that users wrote.
    Custom,
}

/// A reason code and the sentence that goes with it; `{…}` stands for what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// `reasonForNonComplianceCode`.
    pub code: Cow<'static, str>,
    /// The sentence.
    pub text: Cow<'static, str>,
}

/// A parameter of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Name, as AWS has it or in the same form.
    pub name: Cow<'static, str>,
    /// Value unless set.
    pub default: Cow<'static, str>,
    /// What may be set, in words.
    pub allowed: Cow<'static, str>,
}

/// What people can ask about one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckInfo {
    /// Name, such as `LOGGING_DISABLED_CHECK`.
    pub name: Cow<'static, str>,
    /// Severity of its findings; the worst, where a check has several.
    pub severity: Severity,
    /// Where it comes from.
    pub basis: Basis,
    /// What it is about.
    pub room: Room,
    /// Whether it runs unless switched off.
    pub default_on: bool,
    /// Reason codes of its findings.
    pub codes: Vec<CodeInfo>,
    /// Parameters.
    pub parameters: Vec<ParameterInfo>,
    /// What it notices.
    pub notices: Cow<'static, str>,
    /// Why it matters.
    pub why: Cow<'static, str>,
    /// What to do.
    pub remedy: Cow<'static, str>,
    /// References.
    pub references: Cow<'static, str>,
}

impl From<&'static Check> for CheckInfo {
    fn from(check: &'static Check) -> Self {
        use crate::certificate::check::CheckId;
        let room = match check.id {
            CheckId::SharedCertificate => Room::Identities,
            _ => Room::Certificates,
        };
        let code = |code: &'static crate::certificate::check::Code| CodeInfo {
            code: code.code.into(),
            text: code.text.into(),
        };
        Self {
            name: check.name.into(),
            severity: check.severity,
            basis: check.basis,
            room,
            default_on: check.default_on,
            codes: check.codes.iter().map(code).collect(),
            parameters: check.parameters.iter().map(|parameter| parameter.info()).collect(),
            notices: check.notices.into(),
            why: check.why.into(),
            remedy: check.remedy.into(),
            references: check.references.into(),
        }
    }
}

/// All checks, by room and in the order of its table.
#[must_use]
pub fn checks() -> Vec<CheckInfo> {
    let broker = BROKER_RULES.iter().map(|rule| CheckInfo::from(*rule));
    let ours = crate::engine::entries::ENTRIES.iter().map(CheckInfo::from);
    CERTIFICATE_CHECKS.iter().map(CheckInfo::from).chain(ours).chain(broker).collect()
}
