//! The fold over recorded records or inputs, as fast as it goes. Time is that of the records.

use fleet::{registry::Registry, time::Timestamp};

use crate::{
    change::{RegistryChange, Rules},
    engine::Engine,
    front::Verdict,
    input::{Input, Refusal, SourceId},
    journal::{Entry, JournalError, Kind, Reader},
    transition::Transition,
};

/// Operations after which the shards run: large enough to be fast, small enough for the cache.
const STEP: usize = 4096;

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs read.
    pub inputs: u64,
    /// Inputs that meant something.
    pub folded: u64,
    /// Inputs that were repeated deliveries.
    pub repeated: u64,
    /// Inputs that could not be read.
    pub refused: u64,
}

/// A replay of single inputs under given rules.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    done: Replayed,
}

impl Replay {
    /// Begins with an engine that has seen nothing, under `rules` and `registry`.
    #[must_use]
    pub fn new(mut engine: Engine, rules: &Rules, registry: &Registry) -> Self {
        let seq = engine.seq();
        let change = RegistryChange::between(engine.front().registry(), registry);
        for (seq, (kind, json)) in (seq + 1..)
            .zip([(Kind::Registry, serde_json::to_vec(&change)), (Kind::Rules, serde_json::to_vec(rules))])
        {
            let payload = json.unwrap_or_default();
            let entry = control(kind, engine.front().now(), &payload);
            engine.stage(&entry.at(seq));
        }
        engine.flush(&mut |_| {});
        Self { engine, done: Replayed::default() }
    }

    /// Folds one input. What cannot be read is counted and told to `refused`.
    pub fn input(
        &mut self,
        input: &Input,
        sink: &mut dyn FnMut(Transition),
        refused: &mut dyn FnMut(&Refusal),
    ) {
        self.done.inputs += 1;
        let entry = Entry {
            arrival: input.arrival.max(self.engine.front().now()),
            source: input.source,
            kind: Kind::Input(input.format),
            position: input.position,
            subject: &input.subject,
            payload: &input.payload,
        };
        match self.engine.stage(&entry.at(self.engine.seq() + 1)) {
            Verdict::Folded { .. } => self.done.folded += 1,
            Verdict::Repeated { .. } => self.done.repeated += 1,
            Verdict::Irrelevant => {}
            Verdict::Refused(refusal) => {
                self.done.refused += 1;
                refused(&refusal);
            }
        }
        if self.engine.staged() >= STEP {
            self.engine.flush(sink);
        }
    }

    /// Lets time go on to `now` without an input, so that windows end.
    pub fn tick(&mut self, now: Timestamp, sink: &mut dyn FnMut(Transition)) {
        let entry = control(Kind::Tick, now.max(self.engine.front().now()), &[]);
        self.engine.stage(&entry.at(self.engine.seq() + 1));
        self.engine.flush(sink);
    }

    /// Folds what is left and gives the engine back.
    pub fn finish(mut self, sink: &mut dyn FnMut(Transition)) -> (Engine, Replayed) {
        self.engine.flush(sink);
        (self.engine, self.done)
    }
}

/// An entry of our own.
pub(crate) const fn control(kind: Kind, arrival: Timestamp, payload: &[u8]) -> Entry<'_> {
    Entry { arrival, source: SourceId(0), kind, position: 0, subject: "", payload }
}

/// Folds a journal from `reader` on. With `rules`, these take the place of the rules in the
/// journal: "what would this profile have raised last month".
///
/// # Errors
/// When the journal cannot be read.
pub fn journal(
    engine: &mut Engine,
    reader: &mut Reader,
    rules: Option<&Rules>,
    sink: &mut dyn FnMut(Transition),
) -> Result<Replayed, JournalError> {
    let mut done = Replayed::default();
    let own = rules.and_then(|rules| serde_json::to_vec(rules).ok());
    let mut told = false;
    while let Some(record) = reader.next()? {
        let mut record = record;
        done.inputs += u64::from(matches!(record.kind, Kind::Input(_)));
        if let (Kind::Rules, Some(own)) = (record.kind, &own) {
            if told {
                continue;
            }
            told = true;
            record.payload = own;
        }
        match engine.stage(&record) {
            Verdict::Folded { .. } => done.folded += u64::from(matches!(record.kind, Kind::Input(_))),
            Verdict::Repeated { .. } => done.repeated += 1,
            Verdict::Irrelevant => {}
            Verdict::Refused(_) => done.refused += 1,
        }
        if engine.staged() >= STEP {
            engine.flush(sink);
        }
    }
    engine.flush(sink);
    Ok(done)
}
