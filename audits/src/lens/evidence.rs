//! What is known about a workload. Every field may be absent, and an absent one leaves the practices that
//! need it unanswered: nothing is guessed.
//!
//! As JSON the names are in camel case, and absent fields are left out. An unknown member is an error, so
//! that a typing mistake does not look like missing evidence.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A share: so many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Those that have what is asked for.
    pub part: u64,
    /// All that were looked at.
    pub of: u64,
}

/// Everything that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Evidence {
    /// What audit checks found.
    pub audit: Audit,
    /// How Fleetward is configured.
    pub configuration: Configuration,
    /// Which things are registered.
    pub registry: Registered,
    /// What devices did.
    pub stream: Stream,
    /// What a running Fleetward says.
    pub running: Running,
}

/// What audit checks found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Audit {
    /// The files that the findings are from.
    pub place: Option<String>,
    /// By the name of the check.
    pub checks: BTreeMap<String, CheckEvidence>,
}

/// What one check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CheckEvidence {
    /// It is known to have run to its end, so that no finding means that nothing is wrong.
    pub ran: bool,
    /// Resources that it looked at.
    pub examined: Option<u64>,
    /// Findings that are not suppressed.
    pub findings: u64,
    /// Findings that are.
    pub suppressed: u64,
    /// Places of the first findings that are not suppressed, at most [`CheckEvidence::PLACES_MAX`].
    pub places: Vec<String>,
}

impl CheckEvidence {
    /// Places that are kept.
    pub const PLACES_MAX: usize = 3;
}

/// How Fleetward is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Configuration {
    /// The configuration file.
    pub place: Option<String>,
    /// Sources of events.
    pub sources: Option<u64>,
    /// Facts that the sources supply, as `fleetward status` names them.
    pub facts: Option<BTreeSet<String>>,
    /// Receivers of alerts.
    pub alert_sinks: Option<u64>,
    /// Targets of the security profiles, such as `all/things` or `thinggroup/pumps`.
    pub targets: Option<BTreeSet<String>>,
    /// Metrics that a behavior judges and whose facts a source supplies.
    pub metrics: Option<BTreeSet<String>>,
    /// Metrics of behaviors that see nothing.
    pub blind_metrics: Option<BTreeSet<String>>,
    /// Kinds of judgement besides fixed limits: `statistical`, and the keys of learned ones.
    pub judgements: Option<BTreeSet<String>>,
    /// Kinds of entity that behaviors count by.
    pub entities: Option<BTreeSet<String>>,
    /// Whether there is a manufacturer's allow list.
    pub allow_list: Option<bool>,
    /// Mitigation actions that put a thing into a group.
    pub group_actions: Option<u64>,
    /// Response rules whose action does so.
    pub group_rules: Option<u64>,
    /// Whether actions reach the broker.
    pub acting: Option<bool>,
    /// Guard rail: things that are acted on at most in `guard_span_secs`.
    pub guard_things_max: Option<u64>,
    /// Guard rail: its time span, seconds.
    pub guard_span_secs: Option<u64>,
    /// Whether events are written to a journal before they are judged.
    pub journal: Option<bool>,
    /// Days of values that are kept; 0 if none are.
    pub history_days: Option<u64>,
    /// Days of Parquet that are kept; 0 if none are written.
    pub lake_days: Option<u64>,
    /// Whether events are written to Parquet, too.
    pub lake_events: Option<bool>,
    /// Whether the local endpoint is closed to the network: loopback with a token, or off.
    pub endpoint_closed: Option<bool>,
    /// Time between two scheduled audits, seconds.
    pub audit_every_secs: Option<u64>,
    /// Whether data are encrypted where they are stored. No source of ours knows it.
    pub encrypted_at_rest: Option<bool>,
}

/// Which things are registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registered {
    /// The registry file.
    pub place: Option<String>,
    /// Things.
    pub things: Option<u64>,
    /// Static groups.
    pub groups: Option<u64>,
    /// Groups whose members follow from a query. Our registry has none.
    pub dynamic_groups: Option<u64>,
    /// Things in at least one group.
    pub grouped: Option<u64>,
    /// Levels of the deepest group.
    pub depth: Option<u64>,
    /// By the name of an attribute: how many things have it, with how many different values.
    pub attributes: Option<BTreeMap<String, Attribute>>,
    /// Whether things can be found by attributes through an index. Our registry has none.
    pub search_index: Option<bool>,
}

/// How an attribute is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Attribute {
    /// Things that have it.
    pub things: u64,
    /// Things whose value says no: empty, `false`, `no`, `none` or `0`.
    pub negative: u64,
    /// Different values.
    pub values: u64,
}

/// What devices did. `stream.rs` says how each figure is taken from events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Stream {
    /// The journal or file of recorded events.
    pub place: Option<String>,
    /// Time of the first event, RFC 3339.
    pub from: Option<String>,
    /// Time of the last event.
    pub to: Option<String>,
    /// Things that were followed.
    pub things: Option<u64>,
    /// Events of things for which there was no room.
    pub untracked_events: Option<u64>,
    /// User names or certificate identities that one client id alone used, of all.
    pub unshared_principals: Option<Part>,
    /// Things with a principal in every session, of those with sessions.
    pub with_principal: Option<Part>,
    /// Sessions that another one of the same client id ended.
    pub takeovers: Option<u64>,
    /// Ends of sessions by reason.
    pub disconnects: Option<BTreeMap<String, u64>>,
    /// Refused logins.
    pub auth_failures: Option<u64>,
    /// Refused publishes and subscribes.
    pub denials: Option<u64>,
    /// Reconnects that waited as long as a back-off does, of all reconnects.
    pub patient_reconnects: Option<Part>,
    /// Things whose pauses before a reconnect vary, of those with enough of them.
    pub jittered_things: Option<Part>,
    /// Things that sent reports, of all.
    pub reporting_things: Option<Part>,
    /// Things that sent two messages or reports or more, of all.
    pub periodic_things: Option<Part>,
    /// Things whose clock is right, of those whose clock was seen.
    pub right_clocks: Option<Part>,
    /// Largest clock error of a thing, seconds.
    pub clock_error_secs_max: Option<u64>,
    /// Messages that things sent.
    pub messages_sent: Option<u64>,
    /// Messages by thing and hour, rounded up.
    pub messages_per_thing_hour: Option<u64>,
    /// Half of the payloads have at most so many bytes.
    pub payload_bytes_p50: Option<u64>,
    /// 95 of 100 payloads have at most so many bytes.
    pub payload_bytes_p95: Option<u64>,
    /// Things that would save nothing by sending several small messages in one, of those that sent.
    pub unbatchable_things: Option<Part>,
    /// Deliveries on topics that name the receiver, of all.
    pub scoped_deliveries: Option<Part>,
    /// Things that did not subscribe to everything or to others' topics, of those that subscribed.
    pub narrow_subscribers: Option<Part>,
    /// Things that used a shadow topic.
    pub shadow_things: Option<u64>,
    /// Shadow updates by thing that has a shadow and hour, rounded up.
    pub shadow_updates_per_thing_hour: Option<u64>,
    /// Things that used a job topic.
    pub job_things: Option<u64>,
    /// Messages with a timestamp in the payload, of those that were looked into. We see no payloads.
    pub timestamped_messages: Option<Part>,
    /// Sessions with a keep-alive, of all. Our events do not tell.
    pub keep_alive_sessions: Option<Part>,
    /// Sessions with a last will, of all. Our events do not tell.
    pub last_will_sessions: Option<Part>,
}

/// What a running Fleetward says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Running {
    /// Where it answered.
    pub place: Option<String>,
    /// Since when it runs, RFC 3339.
    pub started_at: Option<String>,
    /// Things that it follows.
    pub things: Option<u64>,
    /// What it misses, in its own words.
    pub missing: Option<Vec<String>>,
    /// Sources that deliver nothing at the moment.
    pub sources_away: Option<u64>,
    /// Inputs that could not be read, of all.
    pub refused_inputs: Option<Part>,
    /// Values that were let go before they were stored.
    pub lost_values: Option<u64>,
    /// Alerts that no receiver took.
    pub dead_letters: Option<u64>,
    /// Age of the oldest value in the history, days, rounded down.
    pub oldest_value_days: Option<u64>,
    /// Whether the worker writes Parquet.
    pub writes_parquet: Option<bool>,
    /// Mitigations that were carried out and seen to hold, or were undone after that.
    pub proven_mitigations: Option<u64>,
}

impl Evidence {
    /// From a text of JSON.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// As JSON; what is absent is left out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        strip(&mut value);
        value
    }

    /// This, with what `other` knows put over it, field by field. Places are named both.
    ///
    /// # Errors
    /// Never for evidence that came from [`Evidence::from_json`] or from Fleetward; an error of serde
    /// all the same, so that nothing is lost silently.
    pub fn with(self, other: &Self) -> Result<Self, serde_json::Error> {
        let mut value = self.to_json();
        put_over(&mut value, other.to_json());
        serde_json::from_value(value)
    }
}

/// Takes away what says nothing: `null`, and objects that have no other members.
fn strip(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(strip);
        members
            .retain(|_, value| !value.is_null() && value.as_object().is_none_or(|inner| !inner.is_empty()));
    }
}

/// A share is one value, not two fields: `part` alone would mix two countings.
fn is_share(members: &Map<String, Value>) -> bool {
    members.len() == 2 && members.contains_key("part") && members.contains_key("of")
}

fn put_over(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) if !is_share(&over) => {
            for (name, value) in over {
                match under.get_mut(&name) {
                    Some(Value::String(place)) if name == "place" => join(place, &value),
                    Some(own) => put_over(own, value),
                    None => {
                        under.insert(name, value);
                    }
                }
            }
        }
        (under, over) => *under = over,
    }
}

fn join(place: &mut String, other: &Value) {
    if let Some(other) = other.as_str().filter(|other| other != place) {
        place.push_str(", ");
        place.push_str(other);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evidence(json: &Value) -> Evidence {
        Evidence::from_json(&json.to_string()).unwrap()
    }

    #[test]
    fn what_is_absent_is_left_out_and_a_typing_mistake_is_an_error() {
        assert_eq!(Evidence::default().to_json(), json!({}));
        let known = json!({"stream": {"things": 3, "rightClocks": {"part": 2, "of": 3}},
                           "audit": {"checks": {"A": {"ran": true, "findings": 0, "suppressed": 0, "places": []}}}});
        assert_eq!(evidence(&known).to_json(), known);
        let error = Evidence::from_json("{\"stream\": {\n \"thing\": 3}}").unwrap_err();
        assert!(error.to_string().contains("unknown field `thing`") && error.line() == 2, "{error}");
    }

    #[test]
    fn what_is_known_later_is_put_over_field_by_field() {
        let under = json!({"stream": {"place": "a", "things": 3, "rightClocks": {"part": 2, "of": 3}},
                           "registry": {"things": 1}});
        let over =
            json!({"stream": {"place": "b", "rightClocks": {"part": 9, "of": 9}}, "running": {"things": 4}});
        let both = evidence(&under).with(&evidence(&over)).unwrap();
        assert_eq!(
            both.to_json(),
            json!({"registry": {"things": 1},
                   "stream": {"place": "a, b", "things": 3, "rightClocks": {"part": 9, "of": 9}},
                   "running": {"things": 4}})
        );
    }
}
