//! Reads the journal from a seq on.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use super::{
    error::JournalError,
    record::{self, Damage, Record},
    segment::{self, Segment},
};

const BUFFER_BYTES: usize = 1 << 20;

/// Gives the records of a folder in order, without gaps.
#[derive(Debug)]
pub struct Reader {
    /// Segments not yet begun, last one first.
    rest: Vec<Segment>,
    open: Option<Open>,
    next: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
}

impl Reader {
    /// A reader whose first record is `from`, or the oldest one if `from` is 0.
    ///
    /// # Errors
    /// When the folder cannot be read, or `from` is older than what it holds.
    pub fn open(dir: &Path, from: u64) -> Result<Self, JournalError> {
        let mut segments = segment::list(dir)?;
        let begin = segments.iter().rposition(|segment| segment.first <= from).unwrap_or(0);
        let first = segments.get(begin).map_or(from, |segment| segment.first);
        if from != 0 && first > from {
            let path = segment::path_of(dir, first);
            return Err(JournalError::Hole { path, expected: from, found: first });
        }
        let mut rest = segments.split_off(begin);
        rest.reverse();
        let mut reader = Self { rest, open: None, next: first, buffer: Vec::new() };
        while reader.next < from && reader.next()?.is_some() {}
        Ok(reader)
    }

    /// The next record, or nothing at the end of what is written.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] with file and offset where bytes are not the record that should
    /// follow, [`JournalError::Hole`] where a segment is missing.
    #[expect(clippy::should_implement_trait, reason = "the record borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            if self.fill()? {
                break;
            }
            self.open = None;
        }
        let next = self.next;
        match record::decode(&self.buffer) {
            Ok((record, size)) if record.seq == next => {
                self.next += 1;
                if let Some(open) = &mut self.open {
                    open.offset += size as u64;
                }
                Ok(Some(record))
            }
            Ok((record, _)) => Err(corrupt(
                self.open.as_ref(),
                &format!("record {} stands where record {next} should", record.seq),
            )),
            Err(damage) => Err(corrupt(self.open.as_ref(), &damage)),
        }
    }

    fn open_next(&mut self) -> Result<bool, JournalError> {
        let Some(segment) = self.rest.pop() else { return Ok(false) };
        if segment.first != self.next {
            return Err(JournalError::Hole { path: segment.path, expected: self.next, found: segment.first });
        }
        let path = segment.path;
        let file = File::open(&path).map_err(JournalError::io(&path, "open"))?;
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut header = [0; 16];
        let got = read_up_to(&mut file, &mut header).map_err(JournalError::io(&path, "read"))?;
        if got < header.len() && self.rest.is_empty() {
            return Ok(false);
        }
        if header != segment::header(segment.first) {
            return Err(JournalError::Foreign(path));
        }
        self.open = Some(Open { path, file, offset: segment::HEADER_BYTES });
        Ok(true)
    }

    /// Reads one record's bytes into the buffer; false at the end of the file.
    fn fill(&mut self) -> Result<bool, JournalError> {
        let Some(open) = &mut self.open else { return Ok(false) };
        self.buffer.resize(record::HEADER_BYTES, 0);
        let got =
            read_up_to(&mut open.file, &mut self.buffer).map_err(JournalError::io(&open.path, "read"))?;
        if got == 0 {
            return Ok(false);
        }
        self.buffer.truncate(got);
        let total = record::whole_len(&self.buffer).map_err(|damage| corrupt(Some(open), &damage))?;
        let have = self.buffer.len();
        if have < record::HEADER_BYTES {
            return Err(corrupt(Some(open), &Damage::Short));
        }
        self.buffer.resize(total, 0);
        let body = self.buffer.get_mut(have..).unwrap_or_default();
        let wanted = body.len();
        let got = read_up_to(&mut open.file, body).map_err(JournalError::io(&open.path, "read"))?;
        if got < wanted {
            return Err(corrupt(Some(open), &Damage::Short));
        }
        Ok(true)
    }
}

fn corrupt(open: Option<&Open>, found: &dyn std::fmt::Display) -> JournalError {
    let (path, offset) = open.map(|open| (open.path.clone(), open.offset)).unwrap_or_default();
    JournalError::Corrupt { path, offset, found: found.to_string() }
}

fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read(buffer.get_mut(have..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(got) => have += got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}
