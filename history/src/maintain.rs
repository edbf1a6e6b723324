//! What is done beside the writing: sealing, merging, deleting what is too old or too much.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use fleet::time::Timestamp;

use crate::{
    chunk::Sample,
    error::HistoryError,
    files,
    key::DAY_MS,
    merge::Union,
    part::{self, Origin, Part, PartWriter},
    store::{History, State, locked},
};

/// Parts of a level that are merged into one of the next.
const TIER: usize = 8;
/// Level of a part that holds all of a day that is over.
const WHOLE: u8 = u8::MAX;
/// How long after its end a day is taken to be over, milliseconds.
const GRACE_MS: i64 = 3_600_000;
/// How old the first values of a log are when it is sealed, full or not, milliseconds.
const LOG_MS: i64 = 3_600_000;
/// Bytes of footers that are kept in memory at most; then all are let go.
const FOOTER_BYTES_MAX: usize = 64 << 20;

/// What [`History::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Logs that became parts.
    pub sealed: u64,
    /// Parts that were merged with others.
    pub merged: u64,
    /// Values deleted because they were too old.
    pub deleted_by_age: u64,
    /// Values deleted because there was too much.
    pub deleted_by_size: u64,
}

impl History {
    /// Does all that is due at `now`: seals logs that are full or an hour old, merges parts, and
    /// deletes what is older than [`crate::Options::days`] or above [`crate::Options::bytes_max`].
    /// To be called every minute or so, beside the writing, which it does not hold up.
    ///
    /// # Errors
    /// When the disk refuses. What was begun is undone or found again by the next call.
    pub fn maintain(&self, now: Timestamp) -> Result<Maintained, HistoryError> {
        let mut done = Maintained::default();
        self.rotate_if(|(first, last)| {
            now.millis() - first >= LOG_MS || last.div_euclid(DAY_MS) < day_over(now)
        })?;
        while self.seal_one()? {
            done.sealed += 1;
        }
        let _one = locked(&self.inner.merging);
        // What will be deleted need not be merged first.
        self.delete_old(now, &mut done)?;
        self.delete_most(&mut done)?;
        while let Some((parts, level)) = self.due(now) {
            self.merge(&parts, level)?;
            done.merged += parts.len() as u64;
        }
        self.trim_footers();
        Ok(done)
    }

    /// Makes the oldest log that waits into parts; false if none waits.
    pub(crate) fn seal_one(&self) -> Result<bool, HistoryError> {
        let _one = locked(&self.inner.sealing);
        let first = self.inner.read_state().sealing.first().cloned();
        let Some((head, log, _)) = first else { return Ok(false) };
        let dir = &self.inner.dir;
        let paths = part::write_head(dir, &head)?;
        files::sync_dir(dir)?;
        let parts = (0_u32..)
            .zip(paths)
            .map(|(nth, path)| Part::open(files::Named { number: head.number, nth, path }).map(Arc::new));
        let parts: Vec<Arc<Part>> = parts.collect::<Result<_, _>>()?;
        {
            let mut state = self.inner.write_state();
            state.sealing.remove(0);
            state.parts.extend(parts);
            state.parts.sort_by_key(|part| part.age());
        }
        files::delete(&log)?;
        Ok(true)
    }

    /// The next parts to be merged, and the level of what they become.
    fn due(&self, now: Timestamp) -> Option<(Vec<Arc<Part>>, u8)> {
        let state = self.inner.read_state();
        let mut days: BTreeMap<i64, Vec<&Arc<Part>>> = BTreeMap::new();
        for part in state.parts.iter().filter(|part| !part.damaged.load(Ordering::Relaxed)) {
            days.entry(part.day).or_default().push(part);
        }
        for (day, parts) in days {
            if parts.len() > 1 && day < day_over(now) && !is_being_written(&state, day) {
                return Some((parts.into_iter().cloned().collect(), WHOLE));
            }
            let mut levels: BTreeMap<u8, Vec<&Arc<Part>>> = BTreeMap::new();
            parts.into_iter().for_each(|part| levels.entry(part.origin.level).or_default().push(part));
            for (level, parts) in levels {
                if parts.len() >= TIER && level < WHOLE - 1 {
                    return Some((parts.into_iter().cloned().collect(), level + 1));
                }
            }
        }
        None
    }

    fn merge(&self, parts: &[Arc<Part>], level: u8) -> Result<(), HistoryError> {
        let dir = &self.inner.dir;
        let Some(first) = parts.first() else { return Ok(()) };
        let number = self.inner.number();
        let newest = parts.iter().map(|part| part.origin.newest).max().unwrap_or_default();
        let origin = Origin { level, newest, replaces: parts.iter().map(|part| part.id()).collect() };
        let mut writer = PartWriter::create(part::path_of(dir, number, 0), first.day, origin)?;
        let union = Union::of(parts)?;
        writer.names(&union.names)?;
        for key in union.keys() {
            union.series(&key, &mut |number, samples: &[Sample]| writer.series(&key, number, samples))?;
        }
        let path = writer.finish()?;
        files::sync_dir(dir)?;
        let merged = Arc::new(Part::open(files::Named { number, nth: 0, path })?);
        {
            let mut state = self.inner.write_state();
            state.parts.retain(|part| !merged.origin.replaces.contains(&part.id()));
            state.parts.push(Arc::clone(&merged));
            state.parts.sort_by_key(|part| part.age());
        }
        parts.iter().try_for_each(|part| files::delete(&part.name.path))
    }

    fn delete_old(&self, now: Timestamp, done: &mut Maintained) -> Result<(), HistoryError> {
        let oldest = now.millis().div_euclid(DAY_MS) - i64::from(self.inner.options.days);
        while let Some(points) =
            self.delete_first(|state| state.parts.iter().position(|part| part.day < oldest))?
        {
            done.deleted_by_age += points;
            self.inner.counts.deleted_by_age.fetch_add(points, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The oldest day first, within a day what was written first.
    fn delete_most(&self, done: &mut Maintained) -> Result<(), HistoryError> {
        let max = self.inner.options.bytes_max;
        while self.stats().bytes > max {
            let oldest = |state: &State| {
                let parts = state.parts.iter().enumerate();
                parts.min_by_key(|(_, part)| (part.day, part.id())).map(|(index, _)| index)
            };
            let Some(points) = self.delete_first(oldest)? else { return Ok(()) };
            done.deleted_by_size += points;
            self.inner.counts.deleted_by_size.fetch_add(points, Ordering::Relaxed);
        }
        Ok(())
    }

    fn delete_first(&self, which: impl Fn(&State) -> Option<usize>) -> Result<Option<u64>, HistoryError> {
        let part = {
            let mut state = self.inner.write_state();
            let Some(index) = which(&state) else { return Ok(None) };
            state.parts.remove(index)
        };
        files::delete(&part.name.path)?;
        Ok(Some(part.points))
    }

    fn trim_footers(&self) {
        let state = self.inner.read_state();
        let kept: usize =
            state.parts.iter().filter(|part| part.holds_footer()).map(|part| part.footer_bytes).sum();
        if kept > FOOTER_BYTES_MAX {
            state.parts.iter().for_each(|part| part.forget_footer());
        }
    }
}

/// Days before this one are over at `now`.
const fn day_over(now: Timestamp) -> i64 {
    now.millis().saturating_sub(GRACE_MS).div_euclid(DAY_MS)
}

/// Whether values of the day are not sealed yet.
pub(crate) fn is_being_written(state: &State, day: i64) -> bool {
    let heads = state.sealing.iter().map(|(head, ..)| head.as_ref()).chain([&state.open]);
    heads.flat_map(|head| &head.blocks).any(|block| block.end.div_euclid(DAY_MS) == day)
}
