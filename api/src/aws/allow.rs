//! Who may call what: roles and operations.

use serde::{Deserialize, Serialize};

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at everything that is no secret.
    Viewer,
    /// Besides, answers alarms and findings: judges violations, starts and stops audits and mitigations,
    /// suppresses findings, takes things out of traffic.
    Responder,
    /// Everything.
    Administrator,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Responder, Self::Administrator];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Administrator => "administrator",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            format!("unknown role `{text}`; allowed are `viewer`, `responder` and `administrator`")
        })
    }
}

/// Operations that change nothing although their names do not begin with a word for looking.
const LOOKS: [&str; 3] = ["SearchIndex", "TestAuthorization", "ValidateSecurityProfileBehaviors"];
/// Operations whose names begin with a word for looking, and that hand out what opens a door.
const GUARDED: [&str; 1] = ["GetRegistrationCode"];
/// What answers an alarm or a finding.
const RESPONDS: [&str; 13] = [
    "AddThingToThingGroup",
    "CancelAuditMitigationActionsTask",
    "CancelAuditTask",
    "CancelDetectMitigationActionsTask",
    "CreateAuditSuppression",
    "DeleteAuditSuppression",
    "PutVerificationStateOnViolation",
    "RemoveThingFromThingGroup",
    "StartAuditMitigationActionsTask",
    "StartDetectMitigationActionsTask",
    "StartOnDemandAuditTask",
    "UpdateAuditSuppression",
    "UpdateCertificate",
];

/// The least role that may call an operation.
#[must_use]
pub fn least(operation: &str) -> Role {
    let looks = ["Describe", "Get", "List"].iter().any(|word| operation.starts_with(word));
    if (looks && !GUARDED.contains(&operation)) || LOOKS.contains(&operation) {
        Role::Viewer
    } else if RESPONDS.contains(&operation) {
        Role::Responder
    } else {
        Role::Administrator
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::model::Model;

    /// Every operation that the table has, with every role, against a rule of its own: what HTTP calls
    /// safe anybody may, what is listed here a responder may, and the rest is the administrator's.
    #[test]
    fn every_operation_and_role() {
        let listed = [RESPONDS.as_slice(), LOOKS.as_slice(), GUARDED.as_slice()].concat();
        assert!(listed.iter().all(|name| Model::get().operations.contains_key(*name)));
        // These look with a body, and so with POST.
        let posts = [
            "DescribeAuditSuppression",
            "GetBucketsAggregation",
            "GetCardinality",
            "GetEffectivePolicies",
            "GetPercentiles",
            "GetStatistics",
            "GetThingConnectivityData",
            "ListAttachedPolicies",
            "ListAuditFindings",
            "ListAuditSuppressions",
            "ListTargetsForPolicy",
        ];
        let mut counts = [0; 3];
        for (name, operation) in &Model::get().operations {
            let safe = operation.method == "GET" || posts.contains(&name.as_str());
            let expected = if (safe && name != "GetRegistrationCode") || LOOKS.contains(&name.as_str()) {
                Role::Viewer
            } else if RESPONDS.contains(&name.as_str()) {
                Role::Responder
            } else {
                Role::Administrator
            };
            for role in Role::ALL {
                assert_eq!(role >= least(name), role >= expected, "{name} {role:?}");
                counts[role as usize] += usize::from(role >= least(name));
            }
        }
        assert_eq!(counts[2], 172, "an administrator may call all");
        assert!(counts[0] < counts[1] && counts[1] < counts[2], "{counts:?}");
    }
}
