//! The history beside the engine: takes the values of closed windows, keeps them, and has a worker
//! write what is over to Parquet.
//!
//! ```text
//! recorder --values, Folded--> queue --> writer: append, commit --> the word to the engine
//! ```
//!
//! The engine is told how far it got ([`Progress`]) only by the slower of the two, recorder and
//! writer. A snapshot counts only once all before it is confirmed, so after a crash the windows that
//! may not be in the history are folded and handed on again; the history knows by their records
//! which it has. Alarms are stored before their values are queued, and wait for the history only when
//! its queue is full (see [`queue`]).

mod archive;
pub mod queue;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use detector::{output::Datapoints, runner::RunnerHandle, transition::MetricValue};
use history::{Block, History, Row, Value};
use serde_json::json;

pub use self::archive::{Archive, analyst_beside, archive, find_analyst, maintain};
use self::queue::{Item, Queue};
use super::health::Health;
use crate::config::settings::HistorySettings;

/// Pause before a commit that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The part of the program in messages.
const PART: &str = "history";

/// How far recorder and history got; the engine is told the lesser.
#[derive(Debug)]
pub struct Progress {
    handle: RunnerHandle,
    recorded: AtomicU64,
    kept: AtomicU64,
}

impl Progress {
    /// Sequentially consistent, so that of two that tell at once the later sees the other's word.
    fn tell(&self, own: &AtomicU64, other: &AtomicU64, seq: u64) {
        let before = own.fetch_max(seq, Ordering::SeqCst);
        self.handle.applied(before.max(seq).min(other.load(Ordering::SeqCst)));
    }
}

/// Where the recorder hands values over.
#[derive(Debug)]
pub struct Feed {
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    writer: Option<JoinHandle<()>>,
}

impl Feed {
    /// Hands over a block. Waits while too much is queued already.
    pub fn points(&self, points: Datapoints) {
        self.queue.push_points(points);
    }

    /// Everything up to this record is stored by the recorder and handed over.
    pub fn folded(&self, seq: u64) {
        self.queue.push_folded(seq);
        let progress = &self.progress;
        progress.tell(&progress.recorded, &progress.kept, seq);
    }
}

impl Drop for Feed {
    /// The history takes what is queued, then ends.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that keeps the history panicked");
        }
    }
}

/// The history of a running Fleetward.
#[derive(Debug)]
pub struct Kept {
    /// The values.
    pub history: History,
    queue: Arc<Queue>,
    /// Parquet, if it is wanted and the worker is there; else why not.
    pub archive: Result<Arc<Archive>, String>,
}

impl Kept {
    /// For `fleetward status`.
    #[must_use]
    pub fn as_json(&self) -> serde_json::Value {
        let stats = self.history.stats();
        let time = |millis: i64| fleet::time::Timestamp::from_millis(millis).to_string();
        json!({
            "values": stats.points,
            "bytes": stats.bytes,
            "oldest": stats.oldest_ms.map(time),
            "newest": stats.newest_ms.map(time),
            "waiting": self.queue.waiting(),
            "lost": self.queue.lost(),
            "listsTooLong": stats.too_long,
            "deletedByAge": stats.deleted_by_age,
            "deletedBySize": stats.deleted_by_size,
            "damagedFiles": stats.damaged,
            "parquet": match &self.archive {
                Ok(archive) => archive.as_json(),
                Err(why) => json!({"off": why}),
            },
        })
    }

    /// Counters for Prometheus: name, kind, value.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        let stats = self.history.stats();
        vec![
            ("history_values", "gauge", stats.points),
            ("history_bytes", "gauge", stats.bytes),
            ("history_waiting_values", "gauge", self.queue.waiting() as u64),
            ("history_lost_values_total", "counter", self.queue.lost()),
            ("history_deleted_values_total", "counter", stats.deleted_by_age + stats.deleted_by_size),
        ]
    }
}

/// An answer as the local endpoint and the command line give it: `{"values": [{"end": MILLIS,
/// "windowSecs": N, "aggregate": TEXT, KIND: VALUE}], "more": BOOL}`, where KIND is `number`, `numbers`,
/// `ports`, `addresses` or `texts`.
#[must_use]
pub fn answer_json(answer: &history::Answer) -> serde_json::Value {
    let of = |point: &history::Point| {
        let (kind, value) = match &point.value {
            Value::Number(number) => ("number", json!(number)),
            Value::Numbers(numbers) => ("numbers", json!(numbers)),
            Value::Ports(ports) => ("ports", json!(ports)),
            Value::Addresses(texts) => ("addresses", json!(texts)),
            Value::Texts(texts) => ("texts", json!(texts)),
        };
        let (end, aggregate) = (point.end.millis(), &*point.aggregate);
        json!({"end": end, "windowSecs": point.window_secs, "aggregate": aggregate, kind: value})
    };
    json!({"values": answer.points.iter().map(of).collect::<Vec<_>>(), "more": answer.more})
}

/// Opens the history and starts its writer. `engine_dir` is the engine's folder.
///
/// # Errors
/// When the folder cannot be used or a thread cannot be started.
pub fn start(
    settings: &HistorySettings,
    engine_dir: &Path,
    sources: serde_json::Value,
    handle: &RunnerHandle,
    health: &Arc<Health>,
) -> anyhow::Result<(Kept, Feed)> {
    let (history, recovery) = History::open(&settings.dir, settings.options, handle.counters().seq)
        .with_context(|| format!("cannot open the history `{}`", settings.dir.display()))?;
    if recovery.cut_bytes > 0 || recovery.damaged > 0 {
        tracing::warn!(
            cut_bytes = recovery.cut_bytes,
            damaged = recovery.damaged,
            "the history was not closed in order; what is missing comes again from the journal"
        );
    }
    let queue = Arc::new(Queue::default());
    let progress =
        Arc::new(Progress { handle: handle.clone(), recorded: AtomicU64::new(0), kept: AtomicU64::new(0) });
    let writer = Writer {
        history: history.clone(),
        queue: Arc::clone(&queue),
        progress: Arc::clone(&progress),
        health: Arc::clone(health),
    };
    let thread = std::thread::Builder::new().name("history".into()).spawn(move || writer.run())?;
    let archive = Archive::new(settings, engine_dir, sources).map(Arc::new);
    let kept = Kept { history, queue: Arc::clone(&queue), archive };
    Ok((kept, Feed { queue, progress, writer: Some(thread) }))
}

struct Writer {
    history: History,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    health: Arc<Health>,
}

impl Writer {
    fn run(self) {
        while let Some(items) = self.queue.take() {
            let mut seq = 0;
            for item in items {
                match item {
                    Item::Points(points) => {
                        let appended = self.history.append(&block(points));
                        tracing::trace!(?appended, "values");
                    }
                    Item::Folded(folded) => seq = folded,
                }
            }
            self.commit(seq);
            let progress = &self.progress;
            progress.tell(&progress.kept, &progress.recorded, seq);
        }
    }

    fn commit(&self, seq: u64) {
        while let Err(error) = self.history.commit(seq) {
            tracing::error!(%error, "cannot write the history; trying again");
            self.health.set(PART, Some(format!("cannot be written: {error}")));
            self.queue.failing(true);
            if self.queue.wait_closed(RETRY_PAUSE) {
                // Not confirmed: these windows come again from the journal.
                return;
            }
        }
        self.health.set(PART, None);
        self.queue.failing(false);
    }
}

/// Values as the history takes them.
fn block(points: Datapoints) -> Block {
    let dimension = match points.dimension {
        Some((name, true)) => format!("!{name}"),
        Some((name, false)) => name,
        None => String::new(),
    };
    Block {
        seq: points.seq,
        end: points.end,
        window_secs: points.secs,
        metric: points.metric,
        dimension,
        aggregate: points.aggregate.to_owned(),
        rows: points.rows.into_iter().map(|(thing, found)| Row { thing, value: value(found) }).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn value(value: MetricValue) -> Value {
    match value {
        MetricValue::Count(count) => Value::Number(count as f64),
        MetricValue::Number(number) => Value::Number(number),
        MetricValue::Numbers(numbers) => Value::Numbers(numbers),
        MetricValue::Ports(ports) => Value::Ports(ports),
        MetricValue::Cidrs(addresses) => Value::Addresses(addresses),
        MetricValue::Strings(texts) => Value::Texts(texts),
    }
}
