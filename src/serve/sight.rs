//! Watches which behaviors see: a finding is kept for each blind one, and whoever is told of alarms
//! is told once when behaviors become blind or see again.

use std::{collections::BTreeMap, path::PathBuf, sync::Weak, time::Duration};

use audits::finding::{Finding, Place, ResourceRef, Severity};
use behaviors::{profile::Profiles, set::Compiled};
use detector::input::Coverage;
use fleet::{
    store::{Batch, KeyRange, SCAN_ENTRIES_MAX, Store, StoreError, Table},
    time::Timestamp,
};
use mitigations::{
    alert::{self, BehaviorCoverage},
    outbox::{Outbox, OutboxError},
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::{
    backend::Known,
    coverage::{self, Away, Blind},
};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);

/// A source that is away for less is about to reconnect, and no reason to tell anybody.
const AWAY_MIN_MS: i64 = 60_000;

/// Beginning of the keys of these findings.
const PREFIX: &[u8] = b"coverage/";

/// What there is to see, and with what. Changes on reload.
#[derive(Debug)]
pub struct Watched {
    /// Security profiles.
    pub profiles: Profiles,
    /// The same, compiled.
    pub compiled: Compiled,
    /// What each source supplies.
    pub sources: Vec<Coverage>,
    /// The configuration file, as findings name it.
    pub config: PathBuf,
}

impl Watched {
    /// Behaviors that are blind while these sources are away.
    #[must_use]
    pub fn blind(&self, away: &Away) -> Vec<Blind> {
        coverage::blind(&self.profiles, &self.compiled, &self.sources, away)
    }

    /// For `status`.
    #[must_use]
    pub fn as_json(&self, away: &Away) -> serde_json::Value {
        let behaviors = self.profiles.iter().map(|profile| profile.behaviors.len()).sum();
        coverage::as_json(&self.sources, away, behaviors, &self.blind(away))
    }
}

/// Since when each source is away.
#[derive(Debug, Default)]
struct Absences(BTreeMap<String, (Timestamp, String)>);

impl Absences {
    /// Takes what is away now; gives what has been for [`AWAY_MIN_MS`].
    fn update(&mut self, now: Timestamp, away: Away) -> Away {
        self.0.retain(|name, _| away.contains_key(name));
        for (name, reason) in away {
            self.0.entry(name).or_insert((now, reason));
        }
        let long = self.0.iter().filter(|(_, (since, _))| now.millis_since(*since) >= AWAY_MIN_MS);
        long.map(|(name, (_, reason))| (name.clone(), reason.clone())).collect()
    }
}

/// Looks again and again until `stopped`.
pub async fn watch(
    known: Weak<Known>,
    clock: brokers::mqtt::status::Clock,
    mut stopped: watch::Receiver<bool>,
) {
    let mut absences = Absences::default();
    let started = clock();
    while !*stopped.borrow() {
        let Some(known_now) = known.upgrade() else { return };
        let now = clock();
        let away = absences.update(now, known_now.sources.away());
        // Right after the start, sources are not connected yet: what was blind for want of them stays so.
        let settled = now.millis_since(started) >= AWAY_MIN_MS;
        let looked = tokio::task::spawn_blocking(move || known_now.look(&away, now, settled)).await;
        match looked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "findings of coverage cannot be kept"),
            Err(error) => tracing::error!(%error, "looking at the coverage broke off"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopped.changed() => {}
        }
    }
}

/// A finding as it is kept.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    profile: String,
    behavior: String,
    why: String,
    #[serde(default)]
    for_now: bool,
}

/// Keeps findings for `blind` in place of those that the store has, and tells the difference.
/// Unless `settled`, findings that rest on the absence of sources stay as they are.
///
/// # Errors
/// When the store fails; then nothing was changed or told.
pub fn keep(
    store: &dyn Store,
    outbox: &Outbox,
    config: &std::path::Path,
    blind: &[Blind],
    (now, settled): (Timestamp, bool),
) -> Result<(), OutboxError> {
    let before = kept(store)?;
    let mut batch = Batch::new();
    let (mut became, mut again) = (Vec::new(), Vec::new());
    let mut still = std::collections::BTreeSet::new();
    for blind in blind {
        let key = key(&blind.profile, &blind.behavior);
        still.insert(key.clone());
        let known = before.get(&key);
        if known.is_some_and(|known| known.why == blind.why || (known.for_now && !settled)) {
            continue;
        }
        if known.is_none() {
            became.push(BehaviorCoverage {
                profile: blind.profile.clone(),
                behavior: blind.behavior.clone(),
                why: blind.why.clone(),
            });
        }
        batch.put(Table::Findings, key, record(blind, config, now));
    }
    for (key, kept) in before {
        if (settled || !kept.for_now) && !still.contains(&key) {
            let why = format!("saw again after it had been blind: {}", kept.why);
            again.push(BehaviorCoverage { profile: kept.profile, behavior: kept.behavior, why });
            batch.delete(Table::Findings, key);
        }
    }
    if batch.ops.is_empty() {
        return Ok(());
    }
    for one in &became {
        tracing::warn!(profile = one.profile, behavior = one.behavior, why = one.why, "a behavior is blind");
    }
    for one in &again {
        tracing::info!(profile = one.profile, behavior = one.behavior, "a behavior sees again");
    }
    let told = (!became.is_empty() || !again.is_empty()).then(|| alert::of_coverage(&became, &again, now));
    outbox.commit(batch, told.as_slice())
}

fn key(profile: &str, behavior: &str) -> Vec<u8> {
    [PREFIX, profile.as_bytes(), b"/", behavior.as_bytes()].concat()
}

fn record(blind: &Blind, config: &std::path::Path, now: Timestamp) -> Vec<u8> {
    let finding = Finding {
        check: "BEHAVIOR_BLIND_CHECK".into(),
        severity: Severity::Medium,
        code: "BEHAVIOR_IS_BLIND".into(),
        reason: format!("{}/{} {}", blind.profile, blind.behavior, blind.why),
        resource: ResourceRef::new(
            "BEHAVIOR",
            [("securityProfileName", blind.profile.clone()), ("behaviorName", blind.behavior.clone())],
        ),
        related: Vec::new(),
        place: Some(Place::line(config.display().to_string(), 0)),
        remedy: "add or mend a source that supplies what is missing, or take the behavior out".into(),
    };
    let record = json!({"profile": blind.profile, "behavior": blind.behavior, "why": blind.why,
                        "forNow": blind.for_now, "since": now, "finding": finding});
    record.to_string().into_bytes()
}

/// Findings in the store by key; bounded by one scan, far above the behaviors of a fleet.
fn kept(store: &dyn Store) -> Result<BTreeMap<Vec<u8>, Kept>, StoreError> {
    let entries = store.scan(Table::Findings, &KeyRange::prefix(PREFIX), SCAN_ENTRIES_MAX)?;
    let read =
        entries.into_iter().filter_map(|(key, value)| Some((key, serde_json::from_slice(&value).ok()?)));
    Ok(read.collect())
}

/// Findings as JSON, by profile and behavior.
///
/// # Errors
/// When the store fails.
pub fn findings(store: &dyn Store) -> Result<Vec<serde_json::Value>, StoreError> {
    let entries = store.scan(Table::Findings, &KeyRange::prefix(PREFIX), SCAN_ENTRIES_MAX)?;
    Ok(entries.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet::store::{self, Engine};
    use mitigations::outbox::OutboxOptions;

    use super::*;
    use crate::serve::coverage::Sight;

    /// Blind for want of a source that is away if `why` says so.
    fn blind(behavior: &str, why: &str) -> Blind {
        let for_now = why == "away";
        let (profile, behavior, why) = ("p".into(), behavior.into(), why.into());
        Blind { profile, behavior, sight: Sight::Nothing, for_now, why }
    }

    #[test]
    fn findings_follow_what_is_blind_and_are_resolved_only_once_sources_had_time() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::from(store::open(Engine::Redb, &folder.path().join("s")).unwrap());
        let clock: mitigations::outbox::Clock = Arc::new(Timestamp::default);
        let outbox = Outbox::open(Arc::clone(&store), vec![], OutboxOptions::default(), clock).unwrap();
        let at = Timestamp::from_secs;
        let look = |now: i64, settled: bool, blind: &[Blind]| {
            keep(&*store, &outbox, std::path::Path::new("f.toml"), blind, (at(now), settled)).unwrap();
            let rows = findings(&*store).unwrap();
            rows.iter()
                .map(|row| {
                    format!("{} since {}: {}", row["behavior"].as_str().unwrap(), row["since"], row["why"])
                })
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert_eq!(look(1, false, &[blind("a", "x")]), "a since 1000: \"x\"");
        assert_eq!(
            look(2, false, &[blind("a", "x"), blind("b", "away")]),
            "a since 1000: \"x\"; b since 2000: \"away\""
        );
        assert_eq!(
            look(3, false, &[blind("a", "y")]),
            "a since 3000: \"y\"; b since 2000: \"away\"",
            "not settled"
        );
        assert_eq!(look(4, false, &[]), "b since 2000: \"away\"");
        assert_eq!(look(61, true, &[blind("b", "away")]), "b since 2000: \"away\"");
        assert_eq!(look(62, true, &[]), "");
        let finding = |row: &serde_json::Value| row["finding"]["checkName"].clone();
        look(63, true, &[blind("a", "x")]);
        assert_eq!(finding(&findings(&*store).unwrap()[0]), "BEHAVIOR_BLIND_CHECK");
    }

    #[test]
    fn a_source_counts_as_away_after_a_minute_and_at_once_as_back() {
        let at = Timestamp::from_secs;
        let away =
            |names: &[&str]| names.iter().map(|name| ((*name).into(), "gone".into())).collect::<Away>();
        let mut absences = Absences::default();
        let mut names = |now: i64, gone: &[&str]| {
            absences.update(at(now), away(gone)).into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(0, &["a"]), "");
        assert_eq!(names(59, &["a", "b"]), "");
        assert_eq!(names(60, &["a", "b"]), "a");
        assert_eq!(names(61, &["b"]), "");
        assert_eq!(names(119, &["a", "b"]), "b");
        assert_eq!(names(200, &["a"]), "a");
    }
}
