//! Runs the engine over records, with other profiles than those of the time if wanted.

use detector::{
    change::{RegistryChange, Rules},
    engine::Engine,
    front::Verdict,
    input::SourceId,
    journal::{Entry, Kind, Record},
    output::Output,
};
use fleet::{registry::Registry, time::Timestamp};

use super::records::Records;

/// Operations after which the shards run: large enough to be fast, small enough for the cache.
const STEP: usize = 4096;

/// What a fold has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Inputs read.
    pub inputs: u64,
    /// Inputs that meant something.
    pub folded: u64,
    /// Inputs that were repeated deliveries.
    pub repeated: u64,
    /// Inputs that could not be read.
    pub refused: u64,
    /// Event time up to which windows were closed by the first input, and by the last record. (What
    /// is read from a log may arrive long after it happened.)
    pub span: Option<(Timestamp, Timestamp)>,
    /// Latest arrival.
    pub arrived: Option<Timestamp>,
}

/// What is different from the rules in the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Profile files (name, text) that take the place of those in the records.
    pub profiles: Option<Vec<(String, String)>>,
    /// Profile files besides them.
    pub also: Vec<(String, String)>,
    /// Values of metrics are collected, in windows of so many seconds; of lists each one.
    pub collect: Option<u32>,
}

impl Changes {
    /// Whether everything is as in the records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules with the changes.
    #[must_use]
    pub fn applied(&self, mut rules: Rules) -> Rules {
        if let Some(profiles) = &self.profiles {
            rules.profiles.clone_from(profiles);
        }
        rules.profiles.extend(self.also.iter().cloned());
        rules.collect = self.collect.is_some();
        rules.bucket_secs = self.collect.unwrap_or(rules.bucket_secs);
        rules
    }
}

/// The engine, and whose rules it follows.
#[derive(Debug)]
pub struct Fold {
    engine: Engine,
    changes: Changes,
    /// The rules that were put in place of the records' last.
    replaced: Option<Rules>,
    done: Folded,
}

/// Told everything that the engine hands on, with the registry of that moment.
pub type Sink<'a> = dyn FnMut(&Registry, Output) + 'a;

impl Fold {
    /// Goes on from `engine`. The changes are made to every rules record, and at once to the rules
    /// that the engine follows already.
    #[must_use]
    pub fn new(mut engine: Engine, changes: Changes) -> Self {
        if changes.collect.is_some() {
            engine.hand_on_every_list();
        }
        let mut fold = Self { engine, changes, replaced: None, done: Folded::default() };
        if fold.engine.front().is_configured() && !fold.changes.is_empty() {
            let rules = fold.engine.front().rules().clone();
            let payload = fold.replacement(rules);
            fold.control(Kind::Rules, &payload);
        }
        fold
    }

    /// Begins with these rules and this registry, where the records bring none.
    #[must_use]
    pub fn with(mut self, rules: &Rules, registry: &Registry) -> Self {
        let change = RegistryChange::between(self.engine.front().registry(), registry);
        if let Ok(json) = serde_json::to_vec(&change) {
            self.control(Kind::Registry, &json);
        }
        let json = self.replacement(rules.clone());
        self.control(Kind::Rules, &json);
        self
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What was done so far.
    #[must_use]
    pub const fn done(&self) -> Folded {
        self.done
    }

    /// Folds records until they end: what happened in a range of time may arrive at any time after,
    /// as the backlog of a log. What cannot be read is counted and told to
    /// `refused`, with its place.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn run(
        &mut self,
        records: &mut dyn Records,
        sink: &mut Sink<'_>,
        refused: &mut dyn FnMut(&str),
    ) -> anyhow::Result<()> {
        loop {
            let verdict = match records.next()? {
                None => break,
                Some(record) => self.record(record, sink),
            };
            if let Verdict::Refused(refusal) = verdict {
                self.done.refused += 1;
                refused(&format!("{}: {}", records.place(), refusal.message));
            }
            for message in records.refused() {
                self.done.refused += 1;
                refused(&message);
            }
        }
        for message in records.refused() {
            self.done.refused += 1;
            refused(&message);
        }
        if records.ends()
            && let Some(last) = self.done.arrived
        {
            // Windows end only when time goes on: one grid of an hour past the end closes them all.
            self.tick(last.plus_millis(3_600_000 + i64::from(Rules::LATENESS_MS_MAX)));
        }
        self.flush(sink);
        Ok(())
    }

    fn record(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Verdict {
        let record = self.numbered(record);
        let own;
        let record = match record.kind {
            Kind::Rules | Kind::Registry => {
                // What was decided so far was decided under the registry and rules of before.
                self.flush(sink);
                if record.kind == Kind::Rules && !self.changes.is_empty() {
                    let Ok(rules) = serde_json::from_slice::<Rules>(record.payload) else {
                        return self.engine.stage(&record);
                    };
                    let before = self.replaced.clone();
                    own = self.replacement(rules);
                    if before == self.replaced {
                        return Verdict::Irrelevant;
                    }
                    Record { payload: &own, ..record }
                } else {
                    record
                }
            }
            _ => record,
        };
        let is_input = matches!(record.kind, Kind::Input(_));
        self.done.inputs += u64::from(is_input);
        self.done.arrived = self.done.arrived.max(Some(record.arrival));
        let verdict = self.engine.stage(&record);
        let watermark = self.engine.front().watermark();
        // Ticks before the first input only tell the time of day.
        if watermark != Timestamp::MIN && (is_input || self.done.span.is_some()) {
            let (first, _) = self.done.span.unwrap_or((watermark, watermark));
            self.done.span = Some((first.min(watermark), watermark));
        }
        match verdict {
            Verdict::Folded { .. } => self.done.folded += u64::from(is_input),
            Verdict::Repeated { .. } => self.done.repeated += 1,
            Verdict::Irrelevant | Verdict::Refused(_) => {}
        }
        if self.engine.staged() >= STEP {
            self.flush(sink);
        }
        verdict
    }

    /// A record of no place of its own becomes the next.
    fn numbered<'a>(&self, record: Record<'a>) -> Record<'a> {
        if record.seq != 0 {
            return record;
        }
        let arrival = record.arrival.max(self.engine.front().now());
        Record { seq: self.engine.seq() + 1, arrival, ..record }
    }

    /// The rules with the changes, as a record says them.
    fn replacement(&mut self, rules: Rules) -> Vec<u8> {
        let rules = self.changes.applied(rules);
        let json = serde_json::to_vec(&rules).unwrap_or_default();
        self.replaced = Some(rules);
        json
    }

    fn control(&mut self, kind: Kind, payload: &[u8]) {
        let arrival = self.engine.front().now();
        let entry = Entry { arrival, source: SourceId(0), kind, position: 0, subject: "", payload };
        self.engine.stage(&entry.at(self.engine.seq() + 1));
    }

    fn tick(&mut self, now: Timestamp) {
        let arrival = now.max(self.engine.front().now());
        let entry =
            Entry { arrival, source: SourceId(0), kind: Kind::Tick, position: 0, subject: "", payload: &[] };
        self.engine.stage(&entry.at(self.engine.seq() + 1));
    }

    fn flush(&mut self, sink: &mut Sink<'_>) {
        let mut outputs = Vec::new();
        self.engine.flush_outputs(&mut |output| outputs.push(output));
        let registry = self.engine.front().registry();
        outputs.into_iter().for_each(|output| sink(registry, output));
    }
}
