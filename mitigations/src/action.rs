//! Mitigation actions in the form of the AWS CLI (`create-mitigation-action`).
//!
//! Parameters and limits: AWS IoT API model, `MitigationActionParams` and its members.

use fleet::{
    ids::{ActionName, GroupName},
    problem::Problem,
};
use serde::{Deserialize, Serialize};

mod json;
mod parse;

/// A mitigation action. A task keeps its own copy, so that changing or deleting an
/// action changes no task that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// Name, unique among all actions.
    #[serde(rename = "actionName")]
    pub name: ActionName,
    /// Role, accepted so that files for AWS work unchanged; it has no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// What the action does.
    #[serde(rename = "actionParams")]
    pub params: Params,
}

/// What an action does. Written as AWS writes it: one member named after the kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum Params {
    /// `ADD_THINGS_TO_THING_GROUP`
    #[serde(rename = "addThingsToThingGroupParams")]
    AddThingsToThingGroup {
        /// Static groups that the thing joins, 1 to 10.
        thing_group_names: Vec<GroupName>,
        /// A static group may push the thing out of a dynamic one at the limit of groups.
        override_dynamic_groups: bool,
    },
    /// `UPDATE_DEVICE_CERTIFICATE`: deactivate it.
    #[serde(rename = "updateDeviceCertificateParams")]
    UpdateDeviceCertificate {
        /// `DEACTIVATE`
        action: String,
    },
    /// `UPDATE_CA_CERTIFICATE`: deactivate it.
    #[serde(rename = "updateCACertificateParams")]
    UpdateCaCertificate {
        /// `DEACTIVATE`
        action: String,
    },
    /// `REPLACE_DEFAULT_POLICY_VERSION`
    #[serde(rename = "replaceDefaultPolicyVersionParams")]
    ReplaceDefaultPolicyVersion {
        /// `BLANK_POLICY`
        template_name: String,
    },
    /// `ENABLE_IOT_LOGGING`
    #[serde(rename = "enableIoTLoggingParams")]
    EnableIotLogging {
        /// Role that may write the log.
        role_arn_for_logging: String,
        /// `DEBUG`, `INFO`, `ERROR` or `WARN`.
        log_level: String,
    },
    /// `PUBLISH_FINDING_TO_SNS`
    #[serde(rename = "publishFindingToSnsParams")]
    PublishFindingToSns {
        /// Topic.
        topic_arn: String,
    },
}

impl Params {
    /// The action type as the API names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AddThingsToThingGroup { .. } => "ADD_THINGS_TO_THING_GROUP",
            Self::UpdateDeviceCertificate { .. } => "UPDATE_DEVICE_CERTIFICATE",
            Self::UpdateCaCertificate { .. } => "UPDATE_CA_CERTIFICATE",
            Self::ReplaceDefaultPolicyVersion { .. } => "REPLACE_DEFAULT_POLICY_VERSION",
            Self::EnableIotLogging { .. } => "ENABLE_IOT_LOGGING",
            Self::PublishFindingToSns { .. } => "PUBLISH_FINDING_TO_SNS",
        }
    }

    /// The groups to join, if this kind of action is carried out today.
    #[must_use]
    pub fn groups(&self) -> Option<&[GroupName]> {
        match self {
            Self::AddThingsToThingGroup { thing_group_names, .. } => Some(thing_group_names),
            _ => None,
        }
    }

    /// Whether a static group may push the thing out of a dynamic one.
    #[must_use]
    pub const fn override_dynamic_groups(&self) -> bool {
        matches!(self, Self::AddThingsToThingGroup { override_dynamic_groups: true, .. })
    }
}

/// Reads actions from files, each one action or an array of them; `files` are names and texts.
///
/// All problems of all files are reported. Actions with an error are left out; those
/// that are not carried out yet are kept, with a warning.
#[must_use]
pub fn parse_files(files: &[(String, String)]) -> (Vec<Action>, Vec<Problem>) {
    parse::parse_files(files)
}
