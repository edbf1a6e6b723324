//! What devices did: the journal of a data folder, or recorded events.

use std::path::Path;

use anyhow::Context as _;
use audits::lens::{evidence::Stream, stream::Observer};
use detector::journal::{self, Reader};
use fleet::time::Timestamp;

use crate::{
    explain::events::Decoders,
    replay::records::{Journaled, Recorded, Records},
};

/// What was read.
#[derive(Debug)]
pub struct Seen {
    /// The figures.
    pub stream: Stream,
    /// Records that were read.
    pub records: u64,
    /// Lines that are no events.
    pub refused: u64,
}

/// The figures of the journal in the data folder, from `from` on. Records before are decoded, too, because
/// decoders must know who is connected; their events are not counted. Nothing if there is no journal.
///
/// # Errors
/// When the journal cannot be read.
pub fn of_journal(
    data: &Path,
    decoders: Decoders,
    observer: Observer,
    from: Option<Timestamp>,
) -> anyhow::Result<Option<Seen>> {
    let folder = data.join("engine/journal");
    let oldest = if folder.is_dir() { journal::oldest(&folder)? } else { None };
    let Some(oldest) = oldest else { return Ok(None) };
    let reader = Reader::open_shared(&folder, oldest)
        .with_context(|| format!("the journal `{}` cannot be read", folder.display()))?;
    observe(&folder, &mut Journaled::new(reader), decoders, observer, from).map(Some)
}

/// The figures of recorded events in the file at `path`; `-` is standard input.
///
/// # Errors
/// When the file cannot be read.
pub fn of_file(
    path: &Path,
    decoders: Decoders,
    observer: Observer,
    from: Option<Timestamp>,
) -> anyhow::Result<Seen> {
    observe(path, &mut Recorded::open(path)?, decoders, observer, from)
}

fn observe(
    place: &Path,
    records: &mut dyn Records,
    mut decoders: Decoders,
    mut observer: Observer,
    from: Option<Timestamp>,
) -> anyhow::Result<Seen> {
    let (mut read, mut refused) = (0, 0);
    while let Some(record) = records.next()? {
        read += 1;
        decoders.decode(&record, &mut |event| {
            if from.is_none_or(|from| event.at >= from) {
                observer.observe(event);
            }
        });
        refused += records.refused().len() as u64;
    }
    refused += records.refused().len() as u64;
    let stream = Stream { place: Some(place.display().to_string()), ..observer.figures() };
    Ok(Seen { stream, records: read, refused })
}
