//! What the detector decides: changes of a violation's state.

use std::net::IpAddr;

use fleet::{event::Attribution, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;

/// Kind of transition, with the names of the AWS API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransitionKind {
    /// A violation begins.
    #[serde(rename = "in-alarm")]
    InAlarm,
    /// A violation ends: enough compliant datapoints.
    #[serde(rename = "alarm-cleared")]
    AlarmCleared,
    /// A violation ends without a verdict: no data for two days, or its behavior, profile or target is gone.
    #[serde(rename = "alarm-invalidated")]
    AlarmInvalidated,
}

/// Value of a metric, in the shape of the AWS API's `MetricValue`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricValue {
    /// A count of an AWS metric.
    Count(u64),
    /// Addresses.
    Cidrs(Vec<String>),
    /// Ports.
    Ports(Vec<u16>),
    /// A custom number.
    Number(f64),
    /// Custom numbers.
    Numbers(Vec<f64>),
    /// Custom texts.
    Strings(Vec<String>),
}

/// Whom a violation is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntityName {
    /// A thing.
    Thing(String),
    /// A source address.
    SourceIp(IpAddr),
    /// A network of source addresses, such as `192.0.2.0/24`.
    Network(String),
    /// A user name or certificate identity.
    Principal(String),
    /// A topic.
    Topic(String),
    /// A thing group, with the groups below it.
    ThingGroup(String),
    /// All things.
    Fleet,
    /// A client id that somebody claimed who was refused.
    ClaimedClientId(String),
}

impl EntityName {
    /// The name alone, as people read it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Thing(name)
            | Self::Network(name)
            | Self::Principal(name)
            | Self::Topic(name)
            | Self::ThingGroup(name)
            | Self::ClaimedClientId(name) => name.clone(),
            Self::SourceIp(ip) => ip.to_string(),
            Self::Fleet => "the fleet".into(),
        }
    }
}

/// A change of a violation's state, complete for whoever stores, sends or answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// Position in the journal of the record that caused it.
    pub seq: u64,
    /// Stable id: the same fold gives the same id. 32 hex digits.
    pub id: String,
    /// Violation that begins or ends. 32 hex digits.
    pub violation_id: String,
    /// Kind.
    pub kind: TransitionKind,
    /// Event time of the deciding datapoint, ms since the epoch.
    pub at: Timestamp,
    /// Whom it is about.
    pub entity: EntityName,
    /// User name or certificate identity of the thing's latest session, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Security profile.
    pub profile: String,
    /// Behavior.
    pub behavior: String,
    /// Metric, such as `aws:num-messages-sent`.
    pub metric: String,
    /// Deciding value; absent when invalidated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<MetricValue>,
    /// The criterion as text, such as `less-than 100 in 300 s`.
    pub expected: String,
    /// How sure it is that the entity did it: the weakest attribution behind the deciding datapoint.
    pub attribution: AttributionName,
    /// Start of the violation, ms since the epoch.
    pub started_at: Timestamp,
    /// No notification is wanted.
    pub suppressed: bool,
    /// The behavior as configured, for notifications in the AWS form.
    pub behavior_json: std::sync::Arc<str>,
    /// What it rests on; absent when invalidated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

/// [`Attribution`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttributionName {
    /// See [`Attribution::Ambiguous`].
    Ambiguous,
    /// See [`Attribution::Address`].
    Address,
    /// See [`Attribution::Certain`].
    Certain,
}

impl From<Attribution> for AttributionName {
    fn from(attribution: Attribution) -> Self {
        match attribution {
            Attribution::Ambiguous => Self::Ambiguous,
            Attribution::Address => Self::Address,
            Attribution::Certain => Self::Certain,
        }
    }
}
