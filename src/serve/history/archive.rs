//! Has the worker `fleetward-analyst` write what is over to Parquet, and lets the journal go that is
//! written.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use detector::runner::RunnerHandle;
use fleet::time::Timestamp;
use history::History;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    config::settings::{HistorySettings, LakeSettings},
    serve::health::Health,
};

/// The worker's file name.
const ANALYST: &str = "fleetward-analyst";
/// How long a run may take: a day of a large fleet.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// Answers and errors of a run that are read, bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Time between two looks at the compact form.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);

/// The worker, and how its last run ended.
#[derive(Debug)]
pub struct Archive {
    settings: LakeSettings,
    analyst: PathBuf,
    history: PathBuf,
    journal: PathBuf,
    /// What the decoders of events must know of the sources, by their numbers.
    sources: Value,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    at: Option<Timestamp>,
    done: Value,
    error: Option<String>,
    runs: u64,
    /// Bytes of journal that went before their events were written.
    journal_given_up: u64,
}

/// The worker that the settings name, or the one beside this program.
#[must_use]
pub fn find_analyst(settings: &LakeSettings) -> Option<PathBuf> {
    settings.analyst.clone().or_else(analyst_beside).filter(|path| path.is_file())
}

/// Where the worker is if nothing names it: beside this program.
#[must_use]
pub fn analyst_beside() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join(ANALYST))
}

impl Archive {
    pub(super) fn new(settings: &HistorySettings, engine_dir: &Path, sources: Value) -> Result<Self, String> {
        let Some(lake) = settings.lake.clone() else { return Err("switched off (`history.parquet`)".into()) };
        let Some(analyst) = find_analyst(&lake) else {
            let why = format!("there is no `{ANALYST}` beside this program; values stay in the compact form");
            tracing::warn!(why, "no Parquet");
            return Err(why);
        };
        Ok(Self {
            analyst,
            history: settings.dir.clone(),
            journal: engine_dir.join("journal"),
            sources,
            last: Mutex::default(),
            settings: lake,
        })
    }

    /// For `fleetward status`.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        json!({
            "runs": last.runs,
            "lastRunAt": last.at.map(|at| at.to_string()),
            "lastRun": last.done,
            "error": last.error,
            "journalBytesUnwritten": last.journal_given_up,
        })
    }

    /// Runs the worker once. What it wrote of the journal may go.
    async fn run(&self, handle: &RunnerHandle, now: Timestamp) {
        let outcome = self.compact(handle.counters().seq, now).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.runs += 1;
        last.at = Some(now);
        match outcome {
            Ok(done) => {
                if let Some(next) = done.get("journalNext").and_then(Value::as_u64) {
                    handle.release_journal(next);
                }
                tracing::debug!(%done, "the worker has written what is over");
                (last.done, last.error) = (done, None);
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the worker failed; the journal is kept");
                last.error = Some(format!("{error:#}"));
            }
        }
    }

    async fn compact(&self, to: u64, now: Timestamp) -> anyhow::Result<Value> {
        let lake = &self.settings;
        let journal = json!({"dir": self.journal, "to": to, "sources": self.sources});
        let request = json!({
            "lake": lake.dir,
            "history": self.history,
            "journal": lake.events.then_some(journal),
            "now": now.millis(),
            "days": lake.days,
            "bytesMax": lake.bytes_max,
            "memoryMib": lake.analyst_mib,
        });
        let answer = tokio::time::timeout(PATIENCE, ask(&self.analyst, "compact", &request)).await;
        let lines = answer.context("the worker took too long")??;
        let done = lines.lines().next_back().and_then(|line| serde_json::from_str::<Value>(line).ok());
        let done = done.and_then(|mut line| line.get_mut("done").map(Value::take));
        done.context("the worker's answer has no end")
    }

    /// The journal may not grow for ever because the worker fails.
    fn bound_journal(&self, handle: &RunnerHandle, health: &Health) {
        const PART: &str = "history worker";
        if !self.settings.events {
            return;
        }
        let bytes = folder_bytes(&self.journal);
        let failed = self.last.lock().unwrap_or_else(PoisonError::into_inner).error.clone();
        health.set(PART, failed.map(|error| format!("the journal is kept: {error}")));
        if bytes > self.settings.journal_bytes_max {
            tracing::error!(
                bytes,
                "the journal is too large to wait for the worker; the oldest goes unwritten"
            );
            handle.release_journal(handle.counters().seq + 1);
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.journal_given_up = last.journal_given_up.max(bytes - self.settings.journal_bytes_max);
        }
    }
}

/// Starts the worker, which lowers its own priority and bounds its own memory first of all. It gets
/// nothing of our environment.
async fn ask(analyst: &Path, subcommand: &str, request: &Value) -> anyhow::Result<String> {
    let mut child = tokio::process::Command::new(analyst)
        .arg(subcommand)
        .env_clear()
        .env("POLARS_MAX_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start `{}`", analyst.display()))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        bail!("the worker has no pipes");
    };
    // An early end of the worker shows in its exit code.
    stdin.write_all(request.to_string().as_bytes()).await.ok();
    drop(stdin);
    let (mut out, mut complaint) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (stdout.take(ANSWER_BYTES_MAX), stderr.take(ANSWER_BYTES_MAX));
    let (read, complained) =
        tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut complaint));
    read.and(complained).context("the worker's answer broke off")?;
    let status = child.wait().await.context("the worker cannot be waited for")?;
    ensure!(status.success(), "the worker ended with {status}: {}", complaint.trim());
    Ok(out)
}

fn folder_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// Seals, merges and deletes; never ends.
pub async fn maintain(history: History, health: std::sync::Arc<Health>, clock: brokers::mqtt::status::Clock) {
    const PART: &str = "history files";
    let mut every = tokio::time::interval(MAINTAIN_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let (history, now) = (history.clone(), clock());
        match tokio::task::spawn_blocking(move || history.maintain(now)).await {
            Ok(Ok(done)) => {
                tracing::debug!(?done, "history maintained");
                health.set(PART, None);
            }
            Ok(Err(error)) => health.set(PART, Some(format!("cannot be merged: {error}"))),
            Err(error) => health.set(PART, Some(format!("maintaining broke off: {error}"))),
        }
    }
}

/// Runs the worker now and then; never ends.
pub async fn archive(
    archive: std::sync::Arc<Archive>,
    handle: RunnerHandle,
    health: std::sync::Arc<Health>,
    clock: brokers::mqtt::status::Clock,
) {
    loop {
        tokio::time::sleep(archive.settings.every).await;
        archive.run(&handle, clock()).await;
        archive.bound_journal(&handle, &health);
    }
}
