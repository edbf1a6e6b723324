//! What a response answers: one change of a violation's state, as this room sees it.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use fleet::{event::Attribution, ids::GroupName, time::Timestamp};
use serde::{Deserialize, Serialize};

/// Kind of change, with the names of the AWS API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// A violation begins.
    InAlarm,
    /// A violation ends by compliant datapoints.
    AlarmCleared,
    /// A violation ends without a verdict.
    AlarmInvalidated,
}

impl AlarmKind {
    /// The name of the AWS API, such as `in-alarm`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InAlarm => "in-alarm",
            Self::AlarmCleared => "alarm-cleared",
            Self::AlarmInvalidated => "alarm-invalidated",
        }
    }
}

/// Whom an alarm is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entity {
    /// A thing, by name.
    Thing(String),
    /// A source address.
    SourceIp(IpAddr),
    /// Something else that cannot be acted on, such as a network, a topic, a group or the fleet.
    Other(String),
}

impl Entity {
    /// The thing's name, if it is one: only things can be acted on.
    #[must_use]
    pub fn thing(&self) -> Option<&str> {
        match self {
            Self::Thing(name) => Some(name),
            Self::SourceIp(_) | Self::Other(_) => None,
        }
    }

    /// `thing` or `address`, for people.
    #[must_use]
    pub const fn noun(&self) -> &'static str {
        match self {
            Self::Thing(_) => "thing",
            Self::SourceIp(_) => "address",
            Self::Other(_) => "entity",
        }
    }

    /// Thing name or address as text.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Thing(name) | Self::Other(name) => name.clone(),
            Self::SourceIp(ip) => ip.to_string(),
        }
    }
}

/// A change of a violation's state, filled by whoever connects the detector to the response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Stable id of the change: the same change always has the same id.
    pub id: String,
    /// Violation that begins or ends.
    pub violation_id: String,
    /// Kind.
    pub kind: AlarmKind,
    /// Event time of the deciding datapoint.
    pub at: Timestamp,
    /// Event time at which the violation began.
    pub started_at: Timestamp,
    /// Whom it is about.
    pub entity: Entity,
    /// Client id of the thing's latest session, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// User name or certificate identity of the thing's latest session, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Groups of the thing and the groups above them, for the never-touch list.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
    /// Security profile.
    pub profile: String,
    /// Behavior.
    pub behavior: String,
    /// Metric, such as `aws:num-messages-sent`.
    pub metric: String,
    /// Deciding value in the AWS form, such as `{"count":212}`; absent when invalidated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// The criterion as text, such as `less-than 100 in 300 s`.
    pub expected: String,
    /// How sure it is that the entity did it.
    #[serde(with = "AttributionName")]
    pub attribution: Attribution,
    /// No notification and no action is wanted.
    pub suppressed: bool,
    /// The behavior as configured, JSON.
    pub behavior_json: Arc<str>,
}

impl Alarm {
    /// The deciding value as people read it: `212`, or `22, 23`; empty when there is none.
    #[must_use]
    pub fn value_text(&self) -> String {
        self.value.as_ref().map_or_else(String::new, value_text)
    }
}

fn value_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(members) => members.values().map(value_text).collect::<Vec<_>>().join(", "),
        serde_json::Value::Array(items) => items.iter().map(value_text).collect::<Vec<_>>().join(", "),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// [`Attribution`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Attribution", rename_all = "kebab-case")]
pub(crate) enum AttributionName {
    Ambiguous,
    Address,
    Certain,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An alarm of `thing` at `at_secs`; its ids follow from both.
    pub(crate) fn alarm(thing: &str, at_secs: i64) -> Alarm {
        Alarm {
            id: format!("{thing}-{at_secs}-in"),
            violation_id: format!("{thing}-{at_secs}"),
            kind: AlarmKind::InAlarm,
            at: Timestamp::from_secs(at_secs),
            started_at: Timestamp::from_secs(at_secs),
            entity: Entity::Thing(thing.into()),
            client_id: Some(thing.into()),
            principal: Some(format!("user-{thing}")),
            groups: BTreeSet::new(),
            profile: "pumps".into(),
            behavior: "quiet".into(),
            metric: "aws:num-messages-sent".into(),
            value: Some(serde_json::json!({"count": 212})),
            expected: "less-than-equals 50 in 300 s".into(),
            attribution: Attribution::Certain,
            suppressed: false,
            behavior_json: r#"{"name":"quiet","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than-equals","value":{"count":50},"durationSeconds":300}}"#.into(),
        }
    }

    /// The same violation clearing `after_secs` later.
    pub(crate) fn cleared(alarm: &Alarm, after_secs: i64) -> Alarm {
        Alarm {
            id: format!("{}-out", alarm.violation_id),
            kind: AlarmKind::AlarmCleared,
            at: alarm.at.plus_millis(after_secs * 1000),
            ..alarm.clone()
        }
    }

    #[test]
    fn values_read_plainly() {
        let cases = [
            (serde_json::json!({"count": 7}), "7"),
            (serde_json::json!({"ports": [22, 23]}), "22, 23"),
            (serde_json::json!({"cidrs": ["10.0.0.1"]}), "10.0.0.1"),
        ];
        for (value, text) in cases {
            let with = Alarm { value: Some(value), ..alarm("a", 1) };
            assert_eq!(with.value_text(), text);
        }
        assert_eq!(Alarm { value: None, ..alarm("a", 1) }.value_text(), "");
    }

    #[test]
    fn survives_being_written_and_read() {
        let before = alarm("pümp \"1\"", 5);
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Alarm>(&text).unwrap(), before);
    }
}
