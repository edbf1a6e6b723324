//! What a running Fleetward says of itself.

use anyhow::Context as _;
use audits::lens::evidence::{Part, Running};
use fleet::time::Timestamp;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::cli::client::Client;

/// Tasks that are asked for, the newest.
const TASKS_MAX: usize = 10_000;
const DAY_MS: i64 = 86_400_000;

/// Asks the Fleetward behind `client`, at `now`.
///
/// # Errors
/// When it does not answer.
pub async fn ask(client: &Client, place: String, now: Timestamp) -> anyhow::Result<Running> {
    let status = client.get("/fleetward/v1/status").await?;
    let tasks = client.get(&format!("/fleetward/v1/tasks?limit={TASKS_MAX}")).await;
    let tasks = tasks.context("it tells its status and not its tasks")?;
    Ok(evidence(place, &status, &tasks, now))
}

/// The evidence of `fleetward status` and `fleetward tasks`; what they do not have is absent.
#[must_use]
pub fn evidence(place: String, status: &Value, tasks: &Value, now: Timestamp) -> Running {
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64);
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str);
    let missing = status
        .get("missing")
        .and_then(Value::as_array)
        .map(|missing| missing.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect());
    let sources = status.pointer("/coverage/sources").and_then(Value::as_array);
    let away = |source: &&Value| source.get("away").is_some_and(|away| !away.is_null());
    let parquet = status.pointer("/history/parquet");
    Running {
        place: Some(place),
        started_at: text("/startedAt").map(ToOwned::to_owned),
        things: number("/things"),
        missing,
        sources_away: sources.map(|sources| sources.iter().filter(away).count() as u64),
        refused_inputs: number("/inputs/refused")
            .zip(number("/inputs/received"))
            .map(|(part, of)| Part { part, of }),
        lost_values: number("/history/lost"),
        dead_letters: number("/deadLetters"),
        oldest_value_days: text("/history/oldest").and_then(|oldest| age_days(oldest, now)),
        writes_parquet: parquet.map(|parquet| parquet.get("off").is_none()),
        proven_mitigations: tasks
            .as_array()
            .map(|tasks| tasks.iter().filter(|task| is_proven(task)).count() as u64),
    }
}

/// A task that is seen to hold, or was before it was undone.
fn is_proven(task: &Value) -> bool {
    let state = task.pointer("/state/name").and_then(Value::as_str);
    state == Some("verified")
}

fn age_days(oldest: &str, now: Timestamp) -> Option<u64> {
    let at = OffsetDateTime::parse(oldest, &Rfc3339).ok()?;
    let age = now.secs().saturating_sub(at.unix_timestamp());
    u64::try_from(age / (DAY_MS / 1000)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_and_tasks_are_evidence_and_what_they_leave_out_is_absent() {
        let status = json!({
            "startedAt": "2026-01-01T00:00:00.000Z", "things": 3, "missing": ["source `log`"], "deadLetters": 2,
            "coverage": {"sources": [{"source": "a", "away": null}, {"source": "b", "away": "refused"}]},
            "inputs": {"received": 10, "refused": 1},
            "history": {"lost": 0, "oldest": "2026-01-01T00:00:00.000Z", "parquet": {"off": "no worker"}},
        });
        let tasks = json!([{"state": {"name": "verified"}}, {"state": {"name": "dry-run"}}]);
        let now = Timestamp::from_millis(1_767_225_600_000 + 3 * DAY_MS - 1);
        let told = evidence("here".into(), &status, &tasks, now);
        assert_eq!((told.sources_away, told.dead_letters, told.things), (Some(1), Some(2), Some(3)));
        assert_eq!((told.refused_inputs, told.proven_mitigations), (Some(Part { part: 1, of: 10 }), Some(1)));
        assert_eq!((told.oldest_value_days, told.writes_parquet), (Some(2), Some(false)));
        let told = evidence("here".into(), &json!({"history": null}), &json!({}), now);
        let nothing = Running { place: Some("here".into()), ..Running::default() };
        assert_eq!(told, nothing);
    }
}
