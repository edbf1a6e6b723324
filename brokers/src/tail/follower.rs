//! Which file is read, from where, and when to go on to the next. One step at a time, without
//! waiting, so that it can be tested without time.

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc};

use fleet::time::Timestamp;

use super::{
    Settings, Start, Status, Tailed, batches, count,
    file::{Identity, LogFile, Version},
    input,
    lines::Splitter,
};

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many rotated files are looked for: `PATH.1` to this.
const ROTATED_MAX: usize = 9;

/// Whether to look again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Idle,
}

#[derive(Debug)]
pub(super) struct Follower {
    settings: Settings,
    status: Arc<Status>,
    begun: bool,
    caught_up: bool,
    current: Option<Current>,
    /// Finished files to read before the one at the path, oldest first.
    rotated: VecDeque<LogFile>,
    splitter: Splitter,
    chunk: Vec<u8>,
}

/// The file that is read.
#[derive(Debug)]
struct Current {
    file: LogFile,
    /// `None` while the first line is not finished; nothing has been handed on then.
    identity: Option<Identity>,
    /// Up to where it was read.
    read: u64,
    /// After the last line handed on.
    position: u64,
    /// When the unfinished line last grew.
    grown: Timestamp,
    /// Nobody writes to it any more.
    finished: bool,
    /// What it was when its beginning was last looked at.
    version: Option<Version>,
}

impl Current {
    const fn new(file: LogFile, offset: u64, finished: bool) -> Self {
        let grown = Timestamp::MIN;
        Self { file, identity: None, read: offset, position: offset, grown, finished, version: None }
    }
}

impl Follower {
    pub(super) fn new(settings: Settings, status: Arc<Status>) -> Self {
        Self {
            settings,
            status,
            begun: false,
            caught_up: false,
            current: None,
            rotated: VecDeque::new(),
            splitter: Splitter::default(),
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// Reads what is there, at most one chunk.
    pub(super) fn step(&mut self, now: Timestamp, out: &mut Vec<Tailed>) -> io::Result<Progress> {
        if !self.begun {
            self.begin(now, out)?;
            self.begun = true;
        }
        if self.current.is_none() {
            self.current = match self.rotated.pop_front() {
                Some(file) => Some(Current::new(file, 0, true)),
                None => LogFile::open(&self.settings.path)?.map(|file| Current::new(file, 0, false)),
            };
        }
        if self.current.is_none() {
            self.catch_up(out);
            return Ok(Progress::Idle);
        }
        if self.was_rewritten()? {
            self.truncated(now, out)?;
            return Ok(Progress::More);
        }
        if self.read_chunk(now, out)? {
            return Ok(Progress::More);
        }
        self.at_end(now, out)
    }

    /// Finds the place to begin at.
    fn begin(&mut self, now: Timestamp, out: &mut Vec<Tailed>) -> io::Result<()> {
        match self.settings.start.clone() {
            Start::Beginning => {}
            Start::End => {
                if let Some(file) = LogFile::open(&self.settings.path)? {
                    let end = file.len()?;
                    let mut last = [b'\n'];
                    if end > 0 {
                        file.read_at(&mut last, end - 1)?;
                    }
                    if last != *b"\n" {
                        self.splitter.skip_one();
                    }
                    self.current = Some(Current::new(file, end, false));
                }
            }
            Start::After { position, identity } => self.resume(position, &identity, now, out)?,
        }
        Ok(())
    }

    /// Looks for the file that was read last, under its own name and those that rotation gives.
    fn resume(
        &mut self,
        position: u64,
        identity: &[u8],
        now: Timestamp,
        out: &mut Vec<Tailed>,
    ) -> io::Result<()> {
        let Some(wanted) = Identity::from_bytes(identity) else {
            self.gap(now, "the position in the journal names no file".to_owned(), out);
            return Ok(());
        };
        if let Some(rotated) = self.find(wanted, position, 0)? {
            self.go_on(rotated, position)?;
            return Ok(());
        }
        let path = self.settings.path.display().to_string();
        self.gap(now, format!("`{path}` was rotated away and the old file cannot be found"), out);
        Ok(())
    }

    /// The number of the rotated file (0: not rotated) with this content up to `position`.
    fn find(&self, wanted: Identity, position: u64, from: usize) -> io::Result<Option<usize>> {
        for number in from..=ROTATED_MAX {
            let Some(file) = LogFile::open(&self.rotated_path(number))? else { continue };
            if file.len()? >= position && file.final_identity()?.same_content(wanted) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Reads on in the rotated file `number` from `offset`, then in all younger ones.
    fn go_on(&mut self, number: usize, offset: u64) -> io::Result<()> {
        self.splitter.clear();
        self.current =
            LogFile::open(&self.rotated_path(number))?.map(|file| Current::new(file, offset, number > 0));
        self.rotated.clear();
        for younger in (1..number).rev() {
            self.rotated.extend(LogFile::open(&self.rotated_path(younger))?);
        }
        Ok(())
    }

    fn rotated_path(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.settings.path.clone();
        }
        let mut path = self.settings.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }

    /// Whether the file that is read is now shorter than what was read, or begins otherwise.
    fn was_rewritten(&mut self) -> io::Result<bool> {
        let Some(current) = &mut self.current else { return Ok(false) };
        let version = current.file.version()?;
        if version.bytes < current.read {
            return Ok(true);
        }
        let Some(known) = current.identity else { return Ok(false) };
        if current.version.replace(version) == Some(version) {
            return Ok(false);
        }
        Ok(current.file.identity()?.is_none_or(|found| !found.same_content(known)))
    }

    /// The file was copied and truncated, or just truncated.
    fn truncated(&mut self, now: Timestamp, out: &mut Vec<Tailed>) -> io::Result<()> {
        count(&self.status.rotations, 1);
        let Some(old) = self.current.take() else { return Ok(()) };
        self.splitter.clear();
        if let Some(known) = old.identity
            && let Some(number) = self.find(known, old.position, 1)?
        {
            return self.go_on(number, old.position);
        }
        let path = self.settings.path.display().to_string();
        self.gap(now, format!("`{path}` was truncated and there is no copy of it"), out);
        Ok(())
    }

    /// `false` at the end of the file.
    fn read_chunk(&mut self, now: Timestamp, out: &mut Vec<Tailed>) -> io::Result<bool> {
        let Some(current) = &mut self.current else { return Ok(false) };
        if current.identity.is_none() {
            let identity = if current.finished {
                Some(current.file.final_identity()?)
            } else {
                current.file.identity()?
            };
            let Some(identity) = identity else { return Ok(false) };
            current.identity = Some(identity);
            out.push(Tailed::Opened { identity: identity.to_bytes() });
        }
        let length = current.file.read_at(&mut self.chunk, current.read)?;
        let bytes = self.chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(false);
        }
        current.read += u64::try_from(length).unwrap_or(u64::MAX);
        current.grown = now;
        let mut inputs = Vec::new();
        self.splitter.push(bytes, |line, taken| {
            current.position += taken;
            inputs.push(input(
                self.settings.source,
                self.settings.format,
                now,
                current.position,
                line.into(),
            ));
        });
        count(&self.status.cut_lines, self.splitter.take_cut());
        out.extend(batches(inputs.into_iter(), &self.status));
        Ok(true)
    }

    /// Everything in the file is read: waits, hands on an unfinished line, or goes on to the next.
    fn at_end(&mut self, now: Timestamp, out: &mut Vec<Tailed>) -> io::Result<Progress> {
        let Some(current) = &self.current else { return Ok(Progress::Idle) };
        if current.finished {
            self.finish_file(now, out)?;
            return Ok(Progress::More);
        }
        if self.was_renamed()? {
            // It may have grown since it was read: once more, then it is finished.
            if let Some(current) = &mut self.current {
                current.finished = true;
            }
            count(&self.status.rotations, 1);
            return Ok(Progress::More);
        }
        let wait = i64::try_from(self.settings.partial_wait.as_millis()).unwrap_or(i64::MAX);
        if self.splitter.has_partial()
            && current.identity.is_some()
            && now.millis_since(current.grown) >= wait
        {
            self.flush(now, out);
        }
        self.catch_up(out);
        Ok(Progress::Idle)
    }

    /// Whether another file is at the path and has been written to. While that is empty, the
    /// broker may still be writing to the old one.
    fn was_renamed(&self) -> io::Result<bool> {
        let Some(current) = &self.current else { return Ok(false) };
        let Some(at_path) = LogFile::open(&self.settings.path)? else { return Ok(false) };
        Ok(at_path.place()? != current.file.place()? && at_path.len()? > 0)
    }

    /// Goes on to the next file: files may have been rotated more than once since the last look.
    fn finish_file(&mut self, now: Timestamp, out: &mut Vec<Tailed>) -> io::Result<()> {
        self.flush(now, out);
        let Some(old) = self.current.take() else { return Ok(()) };
        if !self.rotated.is_empty() {
            return Ok(());
        }
        let place = old.file.place()?;
        let mut younger = Vec::new();
        for number in 1..=ROTATED_MAX {
            match LogFile::open(&self.rotated_path(number))? {
                Some(file) if file.place()? == place => {
                    self.rotated.extend(younger.into_iter().rev());
                    break;
                }
                Some(file) => younger.push(file),
                None => break,
            }
        }
        Ok(())
    }

    /// Hands on the unfinished line.
    fn flush(&mut self, now: Timestamp, out: &mut Vec<Tailed>) {
        let Some(current) = &mut self.current else { return };
        let mut payload = Vec::new();
        current.position += self.splitter.flush(|line| payload.extend_from_slice(line));
        let (source, format) = (self.settings.source, self.settings.format);
        let last = input(source, format, now, current.position, payload.into());
        out.extend(batches(std::iter::once(last), &self.status));
    }

    fn catch_up(&mut self, out: &mut Vec<Tailed>) {
        if !self.caught_up {
            self.caught_up = true;
            out.push(Tailed::CaughtUp);
        }
    }

    fn gap(&mut self, now: Timestamp, reason: String, out: &mut Vec<Tailed>) {
        count(&self.status.gaps, 1);
        out.push(Tailed::Gap { reason });
        if !self.settings.gap_mark.is_empty() {
            let (source, format) = (self.settings.source, self.settings.format);
            out.push(Tailed::Lines(vec![input(source, format, now, 0, self.settings.gap_mark.into())]));
        }
    }
}

#[cfg(test)]
mod tests;
