//! Where the records of a replay come from.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use detector::{
    input::{Format, SourceId},
    journal::{Kind, Reader, Record},
};
use fleet::time::Timestamp;
use serde::Deserialize;

/// Longest line that is read, bytes; a longer one is refused.
const LINE_BYTES_MAX: usize = 256 << 10;

/// Records in their order. A record whose `seq` is 0 has no place of its own: the fold numbers it.
pub trait Records {
    /// The next record; nothing at the end.
    ///
    /// # Errors
    /// When the place they are read from fails.
    fn next(&mut self) -> anyhow::Result<Option<Record<'_>>>;

    /// Where the record given last stands, for messages.
    fn place(&self) -> String;

    /// What could not be read as a record since the last call, with its place each.
    fn refused(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Records that are missing inside what was given, in words.
    fn gaps(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether time ends with the last record, so that windows still open must be closed. A
    /// journal has records of its own for that.
    fn ends(&self) -> bool;
}

/// The journal of an engine that may be running.
#[derive(Debug)]
pub struct Journaled {
    reader: Reader,
    seq: u64,
}

impl Journaled {
    /// From a reader, which should be a shared one.
    #[must_use]
    pub const fn new(reader: Reader) -> Self {
        Self { reader, seq: 0 }
    }

    /// The reader, for what it found at the end.
    #[must_use]
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }
}

impl Records for Journaled {
    fn next(&mut self) -> anyhow::Result<Option<Record<'_>>> {
        let record = self.reader.next().context("the journal cannot be read")?;
        self.seq = record.map_or(self.seq, |record| record.seq);
        Ok(record)
    }

    fn place(&self) -> String {
        format!("record {} of the journal", self.seq)
    }

    fn ends(&self) -> bool {
        false
    }
}

/// The one member that a replay itself needs: time is that of the recording.
#[derive(Deserialize)]
struct At {
    at: i64,
}

/// Recorded events, one JSON object a line (`brokers::recorded`), from a file, standard input, or
/// a program that writes them.
pub struct Recorded {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
    refused: Vec<String>,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("path", &self.path).field("number", &self.number).finish()
    }
}

impl Recorded {
    /// From the file at `path`; `-` is standard input.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::from_reader(path, Box::new(io::stdin().lock())));
        }
        let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok(Self::from_reader(path, Box::new(BufReader::with_capacity(1 << 20, file))))
    }

    /// From what `reader` gives; `path` names it in messages.
    #[must_use]
    pub fn from_reader(path: &Path, reader: Box<dyn BufRead>) -> Self {
        Self { path: path.to_owned(), reader, line: Vec::new(), number: 0, refused: Vec::new() }
    }
}

impl Records for Recorded {
    fn next(&mut self) -> anyhow::Result<Option<Record<'_>>> {
        let arrival = loop {
            self.line.clear();
            self.number += 1;
            let read = read_line(&mut self.reader, &mut self.line)
                .with_context(|| format!("cannot read `{}`", self.path.display()))?;
            if read == 0 {
                return Ok(None);
            }
            let payload = self.line.trim_ascii();
            if payload.is_empty() {
                continue;
            }
            match serde_json::from_slice::<At>(payload) {
                Ok(At { at }) => break Timestamp::from_millis(at),
                Err(error) => {
                    let place = self.place();
                    self.refused.push(format!("{place}: {error}"));
                }
            }
        };
        Ok(Some(Record {
            seq: 0,
            arrival,
            source: SourceId(1),
            kind: Kind::Input(Format::Recorded),
            position: 0,
            subject: "",
            payload: self.line.trim_ascii(),
        }))
    }

    fn place(&self) -> String {
        format!("{}:{}", self.path.display(), self.number)
    }

    fn refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    fn ends(&self) -> bool {
        true
    }
}

/// A line of at most [`LINE_BYTES_MAX`]; the rest of a longer one is dropped, so that it is refused.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(read);
        }
        let end = chunk.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let used = end.unwrap_or(chunk.len());
        let room = LINE_BYTES_MAX.saturating_sub(line.len()).min(used);
        line.extend_from_slice(chunk.get(..room).unwrap_or_default());
        reader.consume(used);
        read += used;
        if end.is_some() {
            return Ok(read);
        }
    }
}
