//! What is remembered to undo a quarantine, and what the plugin says of a client.

use mitigations::control::{ControlError, Undo};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Marks the undo record as ours.
pub(super) const ADAPTER: &str = "mosquitto-dynamic-security";

/// The undo record. Its JSON is part of the task records: members are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    pub(super) adapter: String,
    /// User name at the broker.
    pub(super) user: String,
    /// The quarantine role.
    pub(super) role: String,
    /// Its priority for this client: above all others it has.
    pub(super) priority: i64,
    /// The plugin knew the client. If not, it is made known, and deleted again on release.
    pub(super) known: bool,
    /// The client had the role before: another task owns it, and it stays on release.
    pub(super) had_role: bool,
    /// The client was disabled before.
    pub(super) was_disabled: bool,
    /// The client is also disabled.
    pub(super) disable: bool,
    /// The role was there and denied all that it must: adding it to the client is enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) role_whole: bool,
    /// Roots of `$` topics that the client's own roles speak of.
    #[serde(default)]
    pub(super) roots: Vec<String>,
    /// Sessions under this user name at the time; not told before Mosquitto 2.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sessions: Option<usize>,
    /// Roles and groups of the client at the time, for the record.
    #[serde(default)]
    pub(super) roles: Vec<RoleOf>,
    /// See `roles`.
    #[serde(default)]
    pub(super) groups: Vec<GroupOf>,
}

impl Memory {
    pub(super) fn read(undo: &Undo) -> Result<Self, ControlError> {
        let memory: Self = serde_json::from_value(undo.0.clone())
            .map_err(|error| ControlError::Refused(format!("the undo record cannot be read: {error}")))?;
        if memory.adapter != ADAPTER {
            let text = format!("the undo record is of `{}`, expected `{ADAPTER}`", memory.adapter);
            return Err(ControlError::Refused(text));
        }
        Ok(memory)
    }

    pub(super) fn write(&self) -> Result<Undo, ControlError> {
        let value = serde_json::to_value(self).map_err(|error| ControlError::Refused(error.to_string()))?;
        Ok(Undo(value))
    }
}

/// A client as `getClient` tells it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Client {
    #[serde(default)]
    pub(super) roles: Vec<RoleOf>,
    #[serde(default)]
    pub(super) groups: Vec<GroupOf>,
    #[serde(default)]
    pub(super) disabled: bool,
    /// From Mosquitto 2.1 on.
    pub(super) connections: Option<Vec<Value>>,
}

/// A role that a client or group has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RoleOf {
    pub(super) rolename: String,
    /// The plugin leaves it out for its default, -1.
    #[serde(default = "no_priority")]
    pub(super) priority: i64,
}

/// A group that a client is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GroupOf {
    pub(super) groupname: String,
    #[serde(default = "no_priority")]
    pub(super) priority: i64,
}

const fn no_priority() -> i64 {
    -1
}

impl Client {
    pub(super) fn priority_of(&self, role: &str) -> Option<i64> {
        self.roles.iter().find(|held| held.rolename == role).map(|held| held.priority)
    }

    /// Highest priority among the other roles.
    pub(super) fn highest_other(&self, role: &str) -> Option<i64> {
        self.roles.iter().filter(|held| held.rolename != role).map(|held| held.priority).max()
    }
}
