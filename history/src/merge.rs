//! Reads several parts as one, series after series.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    chunk::Sample,
    error::HistoryError,
    key::Key,
    part::{Entries, Footer, FrameOf, Part, decode},
};

/// Takes a series: the place of its name, and its samples.
pub(crate) type SeriesSink<'a> = dyn FnMut(u32, &[Sample]) -> Result<(), HistoryError> + 'a;

/// Parts, the oldest first, with the names of all of them.
#[derive(Debug)]
pub(crate) struct Union<'a> {
    parts: Vec<(&'a Part, Arc<Footer>)>,
    /// Sorted, each once.
    pub(crate) names: Vec<String>,
    /// For each part, the place of its names among all.
    places: Vec<Vec<u32>>,
}

impl<'a> Union<'a> {
    pub(crate) fn of(parts: &'a [Arc<Part>]) -> Result<Self, HistoryError> {
        let parts: Vec<(&Part, Arc<Footer>)> = parts
            .iter()
            .map(|part| Ok((part.as_ref(), part.footer()?)))
            .collect::<Result<_, HistoryError>>()?;
        let mut names = Vec::new();
        for (part, footer) in &parts {
            names = both(names, names_of(part, footer)?);
        }
        let mut places = Vec::new();
        for (part, footer) in &parts {
            places.push(places_of(&names_of(part, footer)?, &names));
        }
        Ok(Self { parts, names, places })
    }

    /// All keys, sorted, each once.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> =
            self.parts.iter().flat_map(|(_, footer)| footer.keys.iter().map(|of| of.key.clone())).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Hands every series of a key to `sink`, in order of the names, each with its samples in order
    /// of time. Where parts hold a window twice, the last part counts.
    pub(crate) fn series(&self, key: &Key, sink: &mut SeriesSink<'_>) -> Result<(), HistoryError> {
        let mut readers = Vec::new();
        for ((part, footer), places) in self.parts.iter().zip(&self.places) {
            if let Ok(index) = footer.keys.binary_search_by(|of| of.key.cmp(key))
                && let Some(of) = footer.keys.get(index)
            {
                let mut reader = Reader {
                    part,
                    frames: of.frames.iter(),
                    places,
                    offset: 0,
                    payload: Vec::new(),
                    at: 0,
                    after: 0,
                    current: None,
                };
                reader.advance(key)?;
                readers.push(reader);
            }
        }
        let least = |readers: &[Reader<'_>]| {
            readers.iter().filter_map(|reader| reader.current.as_ref().map(|current| current.0)).min()
        };
        while let Some(number) = least(&readers) {
            let (mut samples, mut from) = (Vec::new(), 0);
            for reader in &mut readers {
                if let Some((_, own)) = reader.current.take_if(|current| current.0 == number) {
                    from += 1;
                    if samples.is_empty() {
                        samples = own
                    } else {
                        samples.extend(own)
                    }
                    reader.advance(key)?;
                }
            }
            if from > 1 {
                samples.sort_by_key(|sample| sample.0);
                samples.dedup_by(|later, kept| {
                    let same = later.0 == kept.0;
                    if same {
                        std::mem::swap(later, kept);
                    }
                    same
                });
            }
            sink(number, &samples)?;
        }
        Ok(())
    }
}

fn names_of(part: &Part, footer: &Footer) -> Result<Vec<String>, HistoryError> {
    let mut names = Vec::with_capacity(footer.things as usize);
    for frame in &footer.names {
        names.extend(part.names(frame.offset)?);
    }
    Ok(names)
}

/// Two sorted lists as one, each name once.
fn both(first: Vec<String>, second: Vec<String>) -> Vec<String> {
    if first.is_empty() {
        return second;
    }
    let mut out = Vec::with_capacity(first.len().max(second.len()));
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    loop {
        let order = match (first.peek(), second.peek()) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return out,
        };
        let next = if order == Ordering::Greater { second.next() } else { first.next() };
        if order == Ordering::Equal {
            second.next();
        }
        out.extend(next);
    }
}

/// The places of some names among all, both sorted.
fn places_of(some: &[String], all: &[String]) -> Vec<u32> {
    let mut rest = (0_u32..).zip(all);
    some.iter().map(|name| rest.find(|(_, found)| *found == name).map_or(u32::MAX, |(at, _)| at)).collect()
}

/// One part's series of a key.
struct Reader<'a> {
    part: &'a Part,
    frames: std::slice::Iter<'a, FrameOf>,
    places: &'a [u32],
    offset: u64,
    payload: Vec<u8>,
    /// Bytes of the payload that are read, and the number of the thing before.
    at: usize,
    after: u32,
    current: Option<(u32, Vec<Sample>)>,
}

impl Reader<'_> {
    fn advance(&mut self, key: &Key) -> Result<(), HistoryError> {
        if self.at >= self.payload.len() {
            let Some(frame) = self.frames.next() else { return Ok(()) };
            self.payload = self.part.frame(frame.offset)?;
            (self.offset, self.at, self.after) = (frame.offset, 0, frame.first_number);
        }
        let damaged = |found| self.part.damaged_at(self.offset, found);
        let mut entries = Entries::new(self.payload.get(self.at..).unwrap_or_default(), self.after);
        let entry = entries.next().map_err(damaged)?;
        let (number, chunks) = entry.ok_or_else(|| damaged("a frame of values is empty"))?;
        let samples = decode(chunks, key).map_err(damaged)?;
        self.at = self.payload.len() - entries.left();
        self.after = number;
        let place = self.places.get(number as usize).copied();
        self.current = Some((place.ok_or_else(|| damaged("a thing has no name"))?, samples));
        Ok(())
    }
}
