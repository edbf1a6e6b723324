//! The record of every step of every task: append-only, hash-chained, one JSON object a line.
//!
//! A line is `CONTENT,"hash":"H"}` where `CONTENT` begins
//! `{"seq":N,"prev":"P","at":MS,"entry":…`, `P` is the hash of the line before (64 zeros
//! for the first) and `H` is the SHA-256 of `CONTENT`. Whoever changes, removes or inserts
//! a line breaks the chain at that place; that the end was not cut off is shown by a
//! [`Head`] kept elsewhere (the task store keeps one with every task it writes).
//!
//! A line is made durable by the store, in the one commit that also holds what the line is
//! about, and then written to the file without waiting for the disk: waiting for two files
//! would double the time from alarm to action. The store keeps each line until the file is
//! synced, which happens every [`UNSYNCED_MAX`] lines, and [`Log::open`] writes again what the
//! store kept. So the file holds every line that was committed, whatever a crash left of it.
//!
//! The file is never shortened or rotated here: it is a record. A line has about 500 bytes;
//! there is one per decision and step, so it grows with alarms that a rule matches, not with events.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use fleet::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::task::hex;

/// Longest line; an entry that would be longer is recorded by its hash alone.
const LINE_BYTES_MAX: usize = 64 << 10;
/// `,"hash":"` + 64 digits + `"}`
const SEAL_BYTES: usize = 9 + 64 + 2;
/// Lines that may wait for the file to be synced. The store holds them meanwhile.
pub const UNSYNCED_MAX: u64 = 256;
const FIRST_PREV: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where the chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the last line, from 1; 0 for an empty log.
    pub seq: u64,
    /// Hash of the last line; zeros for an empty log.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, hash: FIRST_PREV.into() }
    }
}

/// Why the log cannot be used, or where it is broken.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file system failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A line does not fit the chain.
    #[error("{}:{line}: {what}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The log ends before a line that was written, or that line is another one now.
    #[error("{}: line {} with the hash {} is missing; the log was cut or replaced", path.display(), head.seq, head.hash)]
    Cut {
        /// The file.
        path: PathBuf,
        /// The line that is known to have been there.
        head: Head,
    },
}

/// A line, and where in the file it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Number of the line, from 1.
    pub seq: u64,
    /// Bytes before it.
    pub at: u64,
    /// The line with its end.
    pub text: String,
}

/// Lines that follow the last one, to be committed and then written.
#[derive(Clone, Debug, Default)]
pub struct Sealed {
    /// The lines in their order.
    pub lines: Vec<Line>,
    /// Where the chain ends with them.
    pub head: Head,
}

/// The log, open for appending.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    head: Head,
    /// Length of the part that holds whole lines, once `unwritten` is written.
    len: u64,
    /// Lines that the file did not take yet.
    unwritten: Vec<u8>,
    /// Last line that is known to be on disk.
    synced: u64,
}

/// The chained part of a line, to read it back.
#[derive(Deserialize)]
struct Links {
    seq: u64,
    prev: String,
}

impl Log {
    /// Opens the log at `path`, or begins one, and writes again the lines that the store `kept`
    /// because the file was not synced after them. A last line that a crash cut short was never
    /// relied on: it is removed.
    ///
    /// # Errors
    /// When the file system fails, the last whole line does not hold its own hash, or the kept
    /// lines do not follow it.
    pub fn open(path: &Path, kept: &[Line]) -> Result<Self, LogError> {
        let io = |doing| move |source| LogError::Io { doing, path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(io("open the log of actions"))?;
        let size = file.seek(SeekFrom::End(0)).map_err(io("read"))?;
        let end = kept.first().map_or(size, |line| line.at.min(size));
        let (mut head, whole) = head_at(&mut file, end, path)?;
        if end - whole > 0 {
            tracing::warn!(path = %path.display(), bytes = end - whole, "removed the unfinished last line of the log of actions");
        }
        if let Some(first) = kept.first() {
            let before = unseal(first.text.trim_end_matches('\n').as_bytes())
                .map(|(links, _)| Head { seq: links.seq.saturating_sub(1), hash: links.prev });
            match before {
                Some(before) if before == head && whole == first.at => {}
                before => {
                    return Err(LogError::Cut { path: path.to_owned(), head: before.unwrap_or_default() });
                }
            }
        }
        if size > whole {
            file.set_len(whole).map_err(io("shorten"))?;
        }
        let mut len = whole;
        for line in kept {
            head = next_head(&head, line.text.as_bytes()).map_err(|what| LogError::Broken {
                path: path.to_owned(),
                line: line.seq,
                what,
            })?;
            file.write_all(line.text.as_bytes()).map_err(io("append to"))?;
            len += line.text.len() as u64;
        }
        file.sync_data().map_err(io("sync"))?;
        Ok(Self { path: path.to_owned(), file, synced: head.seq, head, len, unwritten: Vec::new() })
    }

    /// Where the chain ends.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Last line that is on disk: of it and those before, the store need keep none.
    #[must_use]
    pub const fn synced(&self) -> u64 {
        self.synced
    }

    /// The lines of `entries`, as they follow the last one. Changes nothing.
    #[must_use]
    pub fn seal(&self, entries: &[(Timestamp, serde_json::Value)]) -> Sealed {
        let mut sealed = Sealed { lines: Vec::with_capacity(entries.len()), head: self.head.clone() };
        let mut at = self.len;
        for (time, entry) in entries {
            let (text, hash) = seal(&sealed.head, *time, entry);
            let seq = sealed.head.seq + 1;
            let len = text.len() as u64;
            sealed.lines.push(Line { seq, at, text });
            sealed.head = Head { seq, hash };
            at += len;
        }
        sealed
    }

    /// Takes lines that were committed, and writes them. When the file does not take them, they
    /// wait, and [`Log::ready`] says so before there are more.
    pub fn append(&mut self, sealed: Sealed) {
        for line in &sealed.lines {
            self.unwritten.extend_from_slice(line.text.as_bytes());
            self.len += line.text.len() as u64;
        }
        self.head = sealed.head;
        if let Err(error) = self.write() {
            tracing::error!(%error, path = %self.path.display(), "cannot append to the log of actions; the store keeps the lines");
        }
    }

    /// Makes sure that further lines can be taken: nothing waits to be written, and not too much to be synced.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn ready(&mut self) -> Result<(), LogError> {
        self.write().map_err(|source| self.failed("append to", source))?;
        if self.head.seq - self.synced >= UNSYNCED_MAX {
            self.sync()?;
        }
        Ok(())
    }

    /// Waits until all lines are on disk.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn sync(&mut self) -> Result<(), LogError> {
        let synced = self.write().and_then(|()| self.file.sync_data());
        synced.map_err(|source| self.failed("sync", source))?;
        self.synced = self.head.seq;
        Ok(())
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> LogError {
        LogError::Io { doing, path: self.path.clone(), source }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        // A write that failed half-way left bytes behind.
        let written = self.len - self.unwritten.len() as u64;
        if self.file.metadata()?.len() != written {
            self.file.set_len(written)?;
        }
        self.file.write_all(&self.unwritten)?;
        self.unwritten.clear();
        Ok(())
    }
}

/// Where the chain ends in the first `end` bytes, and the length of their whole lines.
fn head_at(file: &mut File, end: u64, path: &Path) -> Result<(Head, u64), LogError> {
    let read = read_tail(file, end);
    let tail = read.map_err(|source| LogError::Io { doing: "read", path: path.to_owned(), source })?;
    let whole = tail.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let cut = (tail.len() - whole) as u64;
    let Some(lines) = tail.get(..whole).unwrap_or_default().strip_suffix(b"\n") else {
        return Ok((Head::default(), end - cut));
    };
    let line = lines.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let (links, hash) = unseal(line).ok_or_else(|| LogError::Broken {
        path: path.to_owned(),
        line: 0,
        what: "the last line does not hold its own hash; the log was changed",
    })?;
    Ok((Head { seq: links.seq, hash }, end - cut))
}

/// The last bytes of the file: enough for the longest line and an unfinished one.
fn read_tail(file: &mut File, size: u64) -> io::Result<Vec<u8>> {
    let start = size.saturating_sub(2 * LINE_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(size - start).read_to_end(&mut tail)?;
    Ok(tail)
}

/// A line with its end, and its hash.
fn seal(head: &Head, at: Timestamp, entry: &serde_json::Value) -> (String, String) {
    let begin = format!(r#"{{"seq":{},"prev":"{}","at":{},"entry":"#, head.seq + 1, head.hash, at.millis());
    let mut entry = entry.to_string();
    if begin.len() + entry.len() + SEAL_BYTES >= LINE_BYTES_MAX {
        entry = format!(r#"{{"tooLong":{},"sha256":"{}"}}"#, entry.len(), sha256(entry.as_bytes()));
    }
    let content = begin + &entry;
    let hash = sha256(content.as_bytes());
    (format!("{content},\"hash\":\"{hash}\"}}\n"), hash)
}

/// The links and the hash of a line that holds its own hash.
fn unseal(line: &[u8]) -> Option<(Links, String)> {
    let line = std::str::from_utf8(line).ok()?;
    let (content, seal) = line.split_at_checked(line.len().checked_sub(SEAL_BYTES)?)?;
    let hash = seal.strip_prefix(",\"hash\":\"")?.strip_suffix("\"}")?;
    if sha256(content.as_bytes()) != hash {
        return None;
    }
    Some((serde_json::from_str(line).ok()?, hash.to_owned()))
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Reads the whole log and checks that the chain is unbroken and, if `expected` is given,
/// that it holds that line. Returns where the chain ends.
///
/// # Errors
/// The first line that does not fit, or the failure of the file system.
pub fn verify_log(path: &Path, expected: Option<&Head>) -> Result<Head, LogError> {
    let io = |source| LogError::Io { doing: "read", path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut head = Head::default();
    let mut found = expected.is_none_or(|expected| expected.seq == 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A longer line than any that is written is broken, and is not read into memory.
        let mut limited = (&mut reader).take(2 * LINE_BYTES_MAX as u64);
        if limited.read_until(b'\n', &mut line).map_err(io)? == 0 {
            break;
        }
        head = next_head(&head, &line).map_err(|what| LogError::Broken {
            path: path.to_owned(),
            line: head.seq + 1,
            what,
        })?;
        found |= expected == Some(&head);
    }
    match expected {
        Some(expected) if !found => Err(LogError::Cut { path: path.to_owned(), head: expected.clone() }),
        _ => Ok(head),
    }
}

fn next_head(head: &Head, line: &[u8]) -> Result<Head, &'static str> {
    let line = line.strip_suffix(b"\n").ok_or("the line is not finished")?;
    let (links, hash) = unseal(line).ok_or("the line does not hold its own hash; it was changed")?;
    if links.prev != head.hash {
        return Err("the line does not follow the one before; a line was changed, removed or inserted");
    }
    if links.seq != head.seq + 1 {
        return Err("the line has the wrong number; a line was removed or inserted");
    }
    Ok(Head { seq: links.seq, hash })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn append(log: &mut Log, entries: &[(Timestamp, serde_json::Value)]) -> Vec<Line> {
        let sealed = log.seal(entries);
        let lines = sealed.lines.clone();
        log.append(sealed);
        log.ready().unwrap();
        lines
    }

    fn filled(folder: &Path, lines: usize) -> PathBuf {
        let path = folder.join("actions.log");
        let mut log = Log::open(&path, &[]).unwrap();
        for n in 0..lines {
            append(&mut log, &[(at(1), json!({"task": n, "step": "pending ü\n"}))]);
        }
        path
    }

    #[test]
    fn is_continued_after_being_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path(), 3);
        let mut log = Log::open(&path, &[]).unwrap();
        assert_eq!(log.head().seq, 3);
        append(&mut log, &[(at(2), json!(1)), (at(3), json!(2))]);
        let head = verify_log(&path, None).unwrap();
        assert_eq!((head.seq, &head), (5, log.head()));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 5);
    }

    #[test]
    fn an_unfinished_line_is_removed_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path(), 2);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 1, 30] {
            std::fs::write(&path, whole.get(..whole.len() - cut).unwrap()).unwrap();
            let mut log = Log::open(&path, &[]).unwrap();
            assert_eq!(log.head().seq, if cut == 0 { 2 } else { 1 });
            append(&mut log, &[(at(2), json!("next"))]);
            assert_eq!(verify_log(&path, None).unwrap(), *log.head());
        }
    }

    #[test]
    fn every_kind_of_change_is_found_at_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path(), 4);
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let head = verify_log(&path, None).unwrap();
        let broken = |text: String| {
            std::fs::write(&path, text).unwrap();
            verify_log(&path, Some(&head))
                .unwrap_err()
                .to_string()
                .replace(&path.display().to_string(), "log")
        };
        assert_eq!(
            broken(whole.replacen("\"task\":1", "\"task\":9", 1)),
            "log:2: the line does not hold its own hash; it was changed"
        );
        assert_eq!(
            broken(format!("{}\n{}\n{}\n", lines[0], lines[2], lines[3])),
            "log:2: the line does not follow the one before; a line was changed, removed or inserted"
        );
        assert_eq!(broken(whole.trim_end().to_owned()), "log:4: the line is not finished");
        assert_eq!(
            broken(format!("{}\n{}\n{}\n", lines[0], lines[1], lines[2])),
            format!("log: line 4 with the hash {} is missing; the log was cut or replaced", head.hash)
        );
        assert_eq!(
            broken(String::new()),
            format!("log: line 4 with the hash {} is missing; the log was cut or replaced", head.hash)
        );
        let forged = whole.replace("\"task\":3", "\"task\":4");
        std::fs::write(&path, forged).unwrap();
        assert!(Log::open(&path, &[]).unwrap_err().to_string().ends_with("the log was changed"));
    }

    #[test]
    fn what_the_store_kept_is_written_again_whatever_the_crash_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path(), 3);
        let synced = std::fs::read(&path).unwrap();
        let mut log = Log::open(&path, &[]).unwrap();
        let kept = append(&mut log, &[(at(2), json!("x")), (at(2), json!("y"))]);
        assert_eq!((log.synced(), log.head().seq), (3, 5));
        let (whole, head) = (std::fs::read(&path).unwrap(), log.head().clone());
        for left in synced.len()..=whole.len() {
            let zeros = vec![0; whole.len() - left];
            for end in [&[][..], &zeros[..], b"{\"seq\":9}\n"] {
                std::fs::write(&path, [&whole[..left], end].concat()).unwrap();
                let log = Log::open(&path, &kept).unwrap();
                assert_eq!((log.head(), log.synced()), (&head, 5));
                assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {left}");
            }
        }
        for wrong in [&whole[..synced.len() - 1], &[][..]] {
            std::fs::write(&path, wrong).unwrap();
            let error = Log::open(&path, &kept).unwrap_err().to_string();
            assert!(error.contains("line 3 ") && error.contains("the log was cut or replaced"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), wrong, "left for a person to look at");
        }
    }

    #[test]
    fn the_file_is_synced_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(&folder.path().join("l"), &[]).unwrap();
        for seq in 1..=2 * UNSYNCED_MAX {
            append(&mut log, &[(at(1), json!(seq))]);
            assert_eq!(log.synced(), seq / UNSYNCED_MAX * UNSYNCED_MAX);
        }
    }

    #[test]
    fn a_huge_entry_is_recorded_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l");
        let mut log = Log::open(&path, &[]).unwrap();
        append(&mut log, &[(at(1), json!("x".repeat(LINE_BYTES_MAX)))]);
        assert!(std::fs::read_to_string(&path).unwrap().contains("tooLong"));
        drop(log);
        assert_eq!(Log::open(&path, &[]).unwrap().head(), &verify_log(&path, None).unwrap());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_byte_can_change_unseen(at_byte in 0_usize..10_000, to: u8) {
            let folder = tempfile::tempdir().unwrap();
            let path = filled(folder.path(), 3);
            let mut bytes = std::fs::read(&path).unwrap();
            let place = at_byte % bytes.len();
            prop_assume!(bytes[place] != to);
            bytes[place] = to;
            std::fs::write(&path, bytes).unwrap();
            prop_assert!(verify_log(&path, None).is_err());
        }
    }
}
