//! Which facts the sources supply, and which behaviors are blind for want of them.

use behaviors::{
    profile::{Evaluation, Profiles},
    set::Compiled,
};
use brokers::{
    lifecycle,
    mosquitto::log::{LogForm, coverage},
};
use detector::input::Coverage;
use fleet::event::Fact;
use serde_json::{Value, json};

use crate::config::settings::Settings;

/// What each configured source can tell.
#[must_use]
pub fn of_sources(settings: &Settings) -> Vec<Coverage> {
    let mut all = Vec::new();
    for source in &settings.mqtt {
        let mut facts = Vec::new();
        if source.settings.reports {
            facts.push(Fact::Reports);
        }
        if source.settings.mosquitto_log {
            facts.extend(coverage("", LogForm::Topic).facts);
        }
        if source.settings.lifecycle {
            facts.extend(lifecycle::coverage("").facts);
        }
        facts.sort_unstable();
        facts.dedup();
        all.push(Coverage { source: source.name.clone(), facts });
    }
    for log in &settings.mosquitto_log {
        let form = if log.debug { LogForm::Debug } else { LogForm::Plain };
        all.push(coverage(&log.name, form));
    }
    all
}

/// A behavior that is not judged, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// Security profile.
    pub profile: String,
    /// Behavior.
    pub behavior: String,
    /// Why it sees nothing, or not all.
    pub why: String,
}

/// Behaviors that no source feeds, that only some of their facts reach, or that are not evaluated yet.
#[must_use]
pub fn blind(profiles: &Profiles, compiled: &Compiled, sources: &[Coverage]) -> Vec<Blind> {
    let supplied = |fact: &Fact| sources.iter().any(|source| source.facts.contains(fact));
    let mut found = Vec::new();
    for behavior in compiled.behaviors() {
        let missing: Vec<&str> =
            behavior.metric.facts().iter().filter(|fact| !supplied(fact)).map(|fact| fact.name()).collect();
        if missing.is_empty() {
            continue;
        }
        let all = missing.len() == behavior.metric.facts().len();
        let how = if all { "sees nothing" } else { "sees only part" };
        found.push(Blind {
            profile: behavior.profile.to_string(),
            behavior: behavior.name.to_string(),
            why: format!("{how}: no source supplies {}", missing.join(", ")),
        });
    }
    for profile in profiles.iter() {
        for definition in &profile.behaviors {
            if let Evaluation::NotYet(key) = definition.evaluation() {
                found.push(Blind {
                    profile: profile.name.to_string(),
                    behavior: definition.name.to_string(),
                    why: format!("`{key}` is not evaluated yet"),
                });
            }
        }
    }
    found.sort_by(|a, b| (&a.profile, &a.behavior).cmp(&(&b.profile, &b.behavior)));
    found.dedup();
    found
}

/// For `status`.
#[must_use]
pub fn as_json(sources: &[Coverage], blind: &[Blind]) -> Value {
    let sources: Vec<Value> = sources
        .iter()
        .map(|source| {
            let facts: Vec<&str> = source.facts.iter().map(|fact| fact.name()).collect();
            json!({"source": source.source, "facts": facts})
        })
        .collect();
    let blind: Vec<Value> = blind
        .iter()
        .map(|blind| json!({"profile": blind.profile, "behavior": blind.behavior, "why": blind.why}))
        .collect();
    json!({"sources": sources, "blind": blind})
}
