//! Where the fold of a data folder can begin, whether an engine works there or not.

use std::path::Path;

use anyhow::{Context as _, bail};
use detector::{
    engine::Engine,
    front::Decoders,
    journal::{self, JournalError, Reader},
    snapshot,
};

/// How often it is tried anew when the engine deletes what is about to be read.
const TRIES_MAX: usize = 5;

/// From where on the past is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The journal has its first record.
    Beginning,
    /// Older records are gone; a snapshot holds what they had led to.
    Snapshot(u64),
    /// Older records are read from the Parquet history.
    Archive,
    /// Older records are gone and no snapshot fits: the fold begins knowing nothing.
    Nothing(u64),
}

/// An engine, and the records that it is to be given.
#[derive(Debug)]
pub struct Start {
    /// The engine as of the record before the reader's first.
    pub engine: Engine,
    /// The journal, read without a lock.
    pub reader: Reader,
    /// From where on the past is known.
    pub since: Since,
}

/// Whether a fold that knows nothing of what came before is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blank {
    /// It is: it brings its own rules.
    Allowed,
    /// It is not: the rules are in the records that are gone.
    Refused,
}

/// Finds the beginning in the data folder `data`. Changes nothing there and takes no lock.
///
/// # Errors
/// When there is no journal, it cannot be read, or it begins where nothing is known and that is refused.
pub fn open(data: &Path, decoders: impl Fn() -> Decoders, blank: Blank) -> anyhow::Result<Start> {
    let (journal, snapshots) = (data.join("engine/journal"), data.join("engine/snapshots"));
    if !journal.is_dir() {
        bail!("`{}` has no journal; has `fleetward serve` run with this data folder?", data.display());
    }
    let mut tried = 0;
    loop {
        tried += 1;
        match begin(&journal, &snapshots, &decoders, blank) {
            // The engine moved on between two looks.
            Err(error) if tried < TRIES_MAX && is_hole(&error) => {}
            other => return other,
        }
    }
}

fn is_hole(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(JournalError::Hole { .. }))
}

fn begin(
    journal: &Path,
    snapshots: &Path,
    decoders: &impl Fn() -> Decoders,
    blank: Blank,
) -> anyhow::Result<Start> {
    let fresh = || Engine::new(decoders(), 1, Vec::new());
    let oldest = match journal::oldest(journal)? {
        None | Some(1) => {
            let reader = Reader::open_shared(journal, 0)?;
            return Ok(Start { engine: fresh(), reader, since: Since::Beginning });
        }
        Some(oldest) => oldest,
    };
    let fits = |seq: u64| seq.saturating_add(1) >= oldest;
    let damaged = |error| tracing::warn!(%error, "a snapshot is damaged; looking at the next");
    if let Some(snapshot) = snapshot::oldest(snapshots, fits, damaged)? {
        let seq = snapshot.seq();
        let engine = Engine::restored(snapshot, decoders(), 1, Vec::new())
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("the snapshot of record {seq} does not fit this program"))?;
        let reader = Reader::open_shared(journal, seq + 1)?;
        return Ok(Start { engine, reader, since: Since::Snapshot(seq) });
    }
    if blank == Blank::Refused {
        bail!(
            "the journal begins with record {oldest} and no snapshot covers what came before, so the rules \
             and the registry of that time are not known; give profiles with --profiles"
        );
    }
    let reader = Reader::open_shared(journal, oldest)?;
    Ok(Start { engine: fresh(), reader, since: Since::Nothing(oldest) })
}
