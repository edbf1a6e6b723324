//! Transitions paired to violations.

use std::collections::BTreeMap;

use detector::transition::{EntityName, MetricValue, Transition, TransitionKind};
use fleet::time::Timestamp;

/// Violations kept at most. Later ones are counted and left out; a narrower range shows them.
pub const VIOLATIONS_MAX: usize = 2_000_000;

/// From an alarm to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Id, 32 hex digits.
    pub id: String,
    /// Whom it is about.
    pub entity: EntityName,
    /// Security profile.
    pub profile: String,
    /// Behavior.
    pub behavior: String,
    /// Value that raised it; absent if the alarm itself was not seen.
    pub value: Option<MetricValue>,
    /// The criterion as text.
    pub expected: String,
    /// Start.
    pub started_at: Timestamp,
    /// End, if it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub end: Option<TransitionKind>,
}

impl Violation {
    /// Milliseconds that it lasted, up to `until` if it has not ended.
    #[must_use]
    pub fn millis(&self, until: Timestamp) -> i64 {
        self.ended_at.unwrap_or(until).millis_since(self.started_at).max(0)
    }
}

/// Collects violations from transitions in any order of theirs.
#[derive(Clone, Debug, Default)]
pub struct Violations {
    by_id: BTreeMap<String, Violation>,
    left_out: u64,
}

impl Violations {
    /// Takes a transition.
    pub fn add(&mut self, transition: &Transition) {
        let full = self.by_id.len() >= VIOLATIONS_MAX && !self.by_id.contains_key(&transition.violation_id);
        if full {
            self.left_out += 1;
            return;
        }
        let entry = self.by_id.entry(transition.violation_id.clone()).or_insert_with(|| Violation {
            id: transition.violation_id.clone(),
            entity: transition.entity.clone(),
            profile: transition.profile.clone(),
            behavior: transition.behavior.clone(),
            value: None,
            expected: transition.expected.clone(),
            started_at: transition.started_at,
            ended_at: None,
            end: None,
        });
        match transition.kind {
            TransitionKind::InAlarm => entry.value.clone_from(&transition.value),
            TransitionKind::AlarmCleared | TransitionKind::AlarmInvalidated => {
                entry.ended_at = Some(transition.at);
                entry.end = Some(transition.kind);
            }
        }
    }

    /// All of them, by start, then entity, profile, behavior.
    #[must_use]
    pub fn sorted(self) -> Vec<Violation> {
        let mut all: Vec<Violation> = self.by_id.into_values().collect();
        all.sort_by(|a, b| {
            (a.started_at, &a.entity, &a.profile, &a.behavior, &a.id).cmp(&(
                b.started_at,
                &b.entity,
                &b.profile,
                &b.behavior,
                &b.id,
            ))
        });
        all
    }

    /// Transitions of violations that were not kept, because there were too many.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// The entity as people read it.
#[must_use]
pub fn entity_text(entity: &EntityName) -> String {
    if let EntityName::Thing(name) = entity {
        return name.clone();
    }
    // The others are written as an object of one member, or as a word.
    match serde_json::to_value(entity) {
        Ok(serde_json::Value::Object(members)) => {
            let texts = members.values().map(|value| value.as_str().unwrap_or_default());
            texts.collect::<Vec<_>>().join(" ")
        }
        Ok(other) => other.as_str().unwrap_or_default().to_owned(),
        Err(_) => String::new(),
    }
}
