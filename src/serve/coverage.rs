//! Which facts the sources supply, and which behaviors are blind for want of them.

use std::collections::BTreeMap;

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

/// How a fact can be had, for whoever lacks it.
const fn supplier(fact: Fact) -> &'static str {
    match fact {
        Fact::Sessions | Fact::AuthFailures | Fact::Addresses | Fact::ConnectionErrors => {
            "a Mosquitto log, as a file or over `$SYS/broker/log`"
        }
        Fact::Denials | Fact::Publishes | Fact::Deliveries => {
            "a Mosquitto log file with `log_type debug` and `debug = true`"
        }
        Fact::BrokerStarts => "a Mosquitto log file",
        Fact::Reports => "an MQTT source with `reports = true`",
        Fact::ClientSoftware => {
            "no source: a broker's log does not name it; let devices report it as a custom text metric"
        }
    }
}

/// How much a behavior sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// Only part of the facts that it needs.
    Partly,
    /// Nothing.
    Nothing,
}

/// A behavior that is not judged, or not on all that it needs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// Security profile.
    pub profile: String,
    /// Behavior.
    pub behavior: String,
    /// How much it sees.
    pub sight: Sight,
    /// It would see if no source were away.
    pub for_now: bool,
    /// Why it sees nothing, or not all.
    pub why: String,
}

/// Sources that deliver nothing at the moment: name and reason.
pub type Away = BTreeMap<String, String>;

/// Behaviors that no source feeds, that only some of their facts reach, or that are not evaluated
/// yet. What a source supplies does not count while it is away.
#[must_use]
pub fn blind(profiles: &Profiles, compiled: &Compiled, sources: &[Coverage], away: &Away) -> Vec<Blind> {
    let mut found = Vec::new();
    for behavior in compiled.behaviors() {
        let needed = behavior.metric.facts();
        let missing: Vec<Missing> = needed.iter().filter_map(|&fact| missing(fact, sources, away)).collect();
        if missing.is_empty() {
            continue;
        }
        let for_now = missing.iter().all(|missing| missing.for_now);
        let reasons: Vec<String> = missing.iter().map(|missing| missing.why.clone()).collect();
        let (sight, how) = if missing.len() == needed.len() {
            (Sight::Nothing, "sees nothing")
        } else {
            (Sight::Partly, "sees only part")
        };
        found.push(Blind {
            profile: behavior.profile.to_string(),
            behavior: behavior.name.to_string(),
            sight,
            for_now,
            why: format!("{how}: {}", reasons.join("; ")),
        });
    }
    for profile in profiles.iter() {
        for definition in &profile.behaviors {
            if let Evaluation::NotYet(key) = definition.evaluation() {
                found.push(Blind {
                    profile: profile.name.to_string(),
                    behavior: definition.name.to_string(),
                    sight: Sight::Nothing,
                    for_now: false,
                    why: format!("`{key}` is not evaluated yet"),
                });
            }
        }
    }
    found.sort_by(|a, b| (&a.profile, &a.behavior).cmp(&(&b.profile, &b.behavior)));
    found.dedup();
    found
}

/// A fact that nobody supplies.
struct Missing {
    /// Only while sources are away.
    for_now: bool,
    why: String,
}

/// Why nobody supplies the fact, if nobody does.
fn missing(fact: Fact, sources: &[Coverage], away: &Away) -> Option<Missing> {
    let mut suppliers = sources.iter().filter(|source| source.facts.contains(&fact)).peekable();
    if suppliers.peek().is_none() {
        let why = format!("no source supplies {}, which {} does", fact.name(), supplier(fact));
        return Some(Missing { for_now: false, why });
    }
    let mut reasons = Vec::new();
    for source in suppliers {
        reasons.push(format!("`{}` is away ({})", source.source, away.get(&source.source)?));
    }
    Some(Missing {
        for_now: true,
        why: format!("{} are missing while {}", fact.name(), reasons.join(" and ")),
    })
}

/// For `status`: what each source supplies and does not, how many behaviors see, and those that
/// are blind with the reason.
#[must_use]
pub fn as_json(sources: &[Coverage], away: &Away, behaviors: usize, blind: &[Blind]) -> Value {
    let names = |facts: &mut dyn Iterator<Item = Fact>| facts.map(Fact::name).collect::<Vec<_>>();
    let source = |source: &Coverage| {
        let lacking = Fact::ALL.into_iter().filter(|fact| !source.facts.contains(fact));
        json!({
            "source": source.source,
            "facts": names(&mut source.facts.iter().copied()),
            "notSupplied": names(&mut lacking.into_iter()),
            "away": away.get(&source.source),
        })
    };
    let nobody = Fact::ALL.into_iter().filter(|fact| !sources.iter().any(|own| own.facts.contains(fact)));
    let nobody: Vec<Value> =
        nobody.map(|fact| json!({"fact": fact.name(), "suppliedBy": supplier(fact)})).collect();
    let of = |sight: Sight| blind.iter().filter(|blind| blind.sight == sight).count();
    let (nothing, partly) = (of(Sight::Nothing), of(Sight::Partly));
    let rows: Vec<Value> = blind
        .iter()
        .map(|blind| json!({"profile": blind.profile, "behavior": blind.behavior, "why": blind.why}))
        .collect();
    json!({
        "sources": sources.iter().map(source).collect::<Vec<_>>(),
        "factsMissing": nobody,
        "behaviors": {"seeing": behaviors.saturating_sub(nothing + partly), "partly": partly, "blind": nothing},
        "blind": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles(metrics: &[&str]) -> Profiles {
        let behaviors: Vec<Value> = metrics
            .iter()
            .map(|metric| {
                json!({"name": metric.replace(':', "-"), "metric": metric,
                       "criteria": {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 300}})
            })
            .collect();
        let file = json!({"securityProfileName": "p", "behaviors": behaviors,
                          "fleetward": {"targets": ["arn:aws:iot:eu-central-1:123456789012:all/things"]}});
        let (profiles, problems) = behaviors::profile::parse_files(&[("p".into(), file.to_string())]);
        assert_eq!(problems, []);
        profiles
    }

    fn check(metrics: &[&str], sources: &[(&str, &[Fact])], away: &[&str], expected: &[&str]) {
        let profiles = profiles(metrics);
        let sources: Vec<Coverage> = sources
            .iter()
            .map(|(name, facts)| Coverage { source: (*name).into(), facts: facts.to_vec() })
            .collect();
        let away = away.iter().map(|name| ((*name).into(), "connection refused".into())).collect();
        let found = blind(&profiles, &profiles.compile(300), &sources, &away);
        let found: Vec<String> =
            found.iter().map(|blind| format!("{}: {}", blind.behavior, blind.why)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_behavior_is_blind_for_want_of_a_source_or_while_its_sources_are_away() {
        let (sent, failures) = ("aws:num-messages-sent", "aws:num-authorization-failures");
        check(&[sent], &[("log", &[Fact::Publishes])], &[], &[]);
        check(
            &[sent],
            &[("log", &[Fact::Sessions])],
            &[],
            &[
                "aws-num-messages-sent: sees nothing: no source supplies publishes, which a Mosquitto log file with `log_type debug` and `debug = true` does",
            ],
        );
        check(
            &[sent],
            &[("log", &[Fact::Publishes])],
            &["log"],
            &[
                "aws-num-messages-sent: sees nothing: publishes are missing while `log` is away (connection refused)",
            ],
        );
        // Another source stands in.
        check(&[sent], &[("a", &[Fact::Publishes]), ("b", &[Fact::Publishes])], &["a"], &[]);
        check(
            &[failures],
            &[("log", &[Fact::AuthFailures])],
            &[],
            &[
                "aws-num-authorization-failures: sees only part: no source supplies denials, which a Mosquitto log file with `log_type debug` and `debug = true` does",
            ],
        );
    }

    #[test]
    fn status_counts_and_names() {
        let sources = [Coverage { source: "log".into(), facts: vec![Fact::Sessions] }];
        let blind = [Blind {
            profile: "p".into(),
            behavior: "b".into(),
            sight: Sight::Nothing,
            for_now: false,
            why: "sees nothing".into(),
        }];
        let json = as_json(&sources, &Away::new(), 3, &blind);
        assert_eq!(json["behaviors"], json!({"seeing": 2, "partly": 0, "blind": 1}));
        assert_eq!(json["sources"][0]["facts"], json!(["sessions"]));
        assert_eq!(json["sources"][0]["notSupplied"].as_array().unwrap().len(), 9);
        let missing = json["factsMissing"].as_array().unwrap();
        assert_eq!(missing.len(), 9);
        assert_eq!(missing[8]["fact"], "client-software");
        assert!(missing[8]["suppliedBy"].as_str().unwrap().starts_with("no source"));
        assert_eq!(json["blind"][0]["why"], "sees nothing");
    }
}
