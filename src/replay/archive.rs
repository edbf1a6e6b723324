//! Records that the journal has let go, from the Parquet history, and then those that it still has.
//!
//! The worker `fleetward-analyst` reads Parquet; its request `records` is in `docs/history.md`. Records
//! keep their places, so each counts once although both hold some of them.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use detector::{
    input::SourceId,
    journal::{BODY_BYTES_MAX, JournalError, Kind, Reader, Record},
};
use fleet::time::Timestamp;
use serde_json::json;

use super::records::Records;

/// Days before the first that is wanted of which the records are folded: the learned judgements need
/// four weeks, sessions and windows less.
pub const WARM_UP_DAYS: i64 = 30;
/// Longest line, bytes: the largest record in base64, and its other members.
const LINE_BYTES_MAX: u64 = 2 * BODY_BYTES_MAX as u64;
/// Bytes of the worker's complaint that are read.
const COMPLAINT_BYTES_MAX: u64 = 64 << 10;
/// Records that are looked at for the first rules.
const AHEAD_MAX: usize = 256;
/// Gaps that are told; the rest is counted.
const GAPS_MAX: usize = 20;

/// Where the Parquet files are, and who reads them.
#[derive(Clone, Debug)]
pub struct Lake {
    /// Folder of Parquet.
    pub dir: PathBuf,
    /// The worker.
    pub analyst: PathBuf,
    /// Memory that it may take, MiB.
    pub memory_mib: Option<u32>,
}

/// A record with its own bytes.
#[derive(Debug)]
struct Held {
    seq: u64,
    arrival: Timestamp,
    source: SourceId,
    kind: Kind,
    position: u64,
    subject: String,
    payload: Vec<u8>,
}

impl Held {
    fn of(record: &Record<'_>) -> Self {
        let Record { seq, arrival, source, kind, position, subject, payload } = *record;
        Self { seq, arrival, source, kind, position, subject: subject.to_owned(), payload: payload.to_vec() }
    }

    fn parse(line: &[u8]) -> anyhow::Result<Self> {
        let (seq, arrival, source, kind, position, subject, payload): (
            u64,
            i64,
            u16,
            u8,
            u64,
            String,
            String,
        ) = serde_json::from_slice(line)?;
        let kind =
            Kind::from_number(kind).with_context(|| format!("record {seq} is of no known kind: {kind}"))?;
        let payload = STANDARD.decode(payload).with_context(|| format!("record {seq} is not base64"))?;
        let arrival = Timestamp::from_millis(arrival);
        Ok(Self { seq, arrival, source: SourceId(source), kind, position, subject, payload })
    }

    fn record(&self) -> Record<'_> {
        Record {
            seq: self.seq,
            arrival: self.arrival,
            source: self.source,
            kind: self.kind,
            position: self.position,
            subject: &self.subject,
            payload: &self.payload,
        }
    }

    /// Whether it belongs to a day: the others are given although days before are left out.
    fn has_day(&self) -> bool {
        !matches!(self.kind, Kind::Rules | Kind::Registry | Kind::SourceOpened) && self.arrival.millis() > 0
    }
}

/// The worker at its answer; it ends with this.
#[derive(Debug)]
struct Worker {
    child: Child,
    out: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, which is as well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Worker {
    fn start(lake: &Lake, from: Option<Timestamp>, after: u64) -> anyhow::Result<Self> {
        let mut child = Command::new(&lake.analyst)
            .arg("records")
            .env_clear()
            .env("POLARS_MAX_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", lake.analyst.display()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut request = json!({"lake": lake.dir, "from": from.map(Timestamp::millis), "after": after});
        if let (Some(mib), Some(request)) = (lake.memory_mib, request.as_object_mut()) {
            request.insert("memoryMib".into(), mib.into());
        }
        let out = BufReader::with_capacity(1 << 16, stdout.context("the worker has no pipes")?);
        // An early end of the worker shows in its exit code.
        stdin.map(|mut stdin| stdin.write_all(request.to_string().as_bytes()));
        Ok(Self { child, out, line: Vec::new() })
    }

    /// The next record; nothing after the answer's end.
    fn next(&mut self) -> anyhow::Result<Option<Held>> {
        self.line.clear();
        let read = self.out.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        read.context("the worker's answer broke off")?;
        if self.line.is_empty() {
            return Err(self.ended());
        }
        ensure!(
            self.line.ends_with(b"\n"),
            "the worker's answer has a line that is cut off or has more than {LINE_BYTES_MAX} bytes"
        );
        if self.line.starts_with(b"{\"done\"") {
            return Ok(None);
        }
        Held::parse(&self.line).map(Some).context("the worker's answer cannot be read")
    }

    /// Why it ended without saying that it was done.
    fn ended(&mut self) -> anyhow::Error {
        let mut complaint = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            stderr.take(COMPLAINT_BYTES_MAX).read_to_string(&mut complaint).ok();
        }
        match self.child.wait() {
            Ok(status) => anyhow::anyhow!("the worker's answer has no end ({status}): {}", complaint.trim()),
            Err(error) => error.into(),
        }
    }
}

#[derive(Debug)]
enum From {
    Worker(Worker),
    Journal(Reader),
}

/// The Parquet history, then the journal.
#[derive(Debug)]
pub struct Archived {
    lake: Lake,
    journal: PathBuf,
    first_day: Option<Timestamp>,
    from: From,
    /// Records that were looked at already.
    ahead: VecDeque<Held>,
    /// The record given last.
    held: Option<Held>,
    /// Place of the record read last.
    last: u64,
    /// Where the worker was asked to go on.
    asked: u64,
    /// Whether a record of a day was given: from then on none may be absent.
    begun: bool,
    gaps: Vec<String>,
    gaps_untold: u64,
}

impl Archived {
    /// Begins with the oldest record, or [`WARM_UP_DAYS`] before `from`. Nothing if the history does not
    /// begin with the rules under which its records were judged.
    ///
    /// # Errors
    /// When the worker cannot be started or read.
    pub fn open(lake: Lake, journal: &Path, from: Option<Timestamp>) -> anyhow::Result<Option<Self>> {
        let first_day = from.map(|from| from.plus_millis(-WARM_UP_DAYS * 86_400_000));
        let from = From::Worker(Worker::start(&lake, first_day, 0)?);
        let mut archived = Self {
            lake,
            journal: journal.to_owned(),
            first_day,
            from,
            ahead: VecDeque::new(),
            held: None,
            last: 0,
            asked: 0,
            begun: false,
            gaps: Vec::new(),
            gaps_untold: 0,
        };
        while archived.ahead.len() < AHEAD_MAX
            && let From::Worker(worker) = &mut archived.from
            && let Some(held) = worker.next()?
        {
            let kind = held.kind;
            archived.last = held.seq;
            archived.ahead.push_back(held);
            match kind {
                Kind::Rules => return Ok(Some(archived)),
                Kind::Input(_) => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> anyhow::Result<Option<Held>> {
        loop {
            match &mut self.from {
                From::Worker(worker) => match worker.next()? {
                    Some(held) if held.seq > self.last => {
                        self.last = held.seq;
                        return Ok(Some(held));
                    }
                    Some(held) => bail!("the worker gave record {} after record {}", held.seq, self.last),
                    None => self.go_on()?,
                },
                From::Journal(reader) => match reader.next() {
                    Ok(Some(record)) => {
                        self.last = record.seq;
                        return Ok(Some(Held::of(&record)));
                    }
                    Ok(None) => return Ok(None),
                    Err(error) if is_gone(&error) => self.ask_again()?,
                    Err(error) => return Err(error).context("the journal cannot be read"),
                },
            }
        }
    }

    /// From the worker to the journal; back to the worker if the journal has let go more meanwhile.
    fn go_on(&mut self) -> anyhow::Result<()> {
        loop {
            match Reader::open_shared(&self.journal, self.last + 1) {
                Ok(reader) => {
                    self.from = From::Journal(reader);
                    return Ok(());
                }
                Err(JournalError::Hole { .. }) if self.asked != self.last => return self.ask_again(),
                // Neither has them: the next record tells the gap.
                Err(JournalError::Hole { found, .. }) => {
                    self.last = found.saturating_sub(1).max(self.last);
                    self.asked = self.last;
                }
                Err(error) => return Err(error).context("the journal cannot be read"),
            }
        }
    }

    fn ask_again(&mut self) -> anyhow::Result<()> {
        self.asked = self.last;
        self.from = From::Worker(Worker::start(&self.lake, self.first_day, self.last)?);
        Ok(())
    }

    /// Tells a gap before `held`.
    fn follow(&mut self, held: &Held) {
        let expected = self.held.as_ref().map_or(1, |before| before.seq + 1);
        if self.begun && held.seq > expected {
            if self.gaps.len() < GAPS_MAX {
                let (last, at) = (held.seq - 1, held.arrival);
                self.gaps.push(format!(
                    "records {expected} to {last} are neither in the Parquet history nor in the journal: \
                     what happened before {at} is not whole"
                ));
            } else {
                self.gaps_untold += 1;
            }
        }
        self.begun |= held.has_day();
    }
}

/// Whether the engine deleted what was about to be read.
fn is_gone(error: &JournalError) -> bool {
    match error {
        JournalError::Hole { .. } => true,
        JournalError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

impl Records for Archived {
    fn next(&mut self) -> anyhow::Result<Option<Record<'_>>> {
        let next = match self.ahead.pop_front() {
            Some(held) => Some(held),
            None => self.read()?,
        };
        let Some(held) = next else { return Ok(None) };
        self.follow(&held);
        Ok(Some(self.held.insert(held).record()))
    }

    fn place(&self) -> String {
        format!("record {} of the journal", self.held.as_ref().map_or(0, |held| held.seq))
    }

    fn gaps(&self) -> Vec<String> {
        let untold = (self.gaps_untold > 0).then(|| format!("{} further gaps", self.gaps_untold));
        self.gaps.iter().cloned().chain(untold).collect()
    }

    fn ends(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use detector::{
        input::Format,
        journal::{Entry, Journal},
    };

    use super::*;

    /// A line of the worker's answer.
    fn line(seq: u64) -> String {
        let kind = if seq == 1 { Kind::Rules } else { Kind::Input(Format::Recorded) };
        let payload = STANDARD.encode(format!("record {seq}"));
        json!([seq, 1_800_000_000_000_i64, 1, kind.number(), 0, "", payload]).to_string() + "\n"
    }

    fn answer(records: impl Iterator<Item = u64>) -> String {
        records.map(line).collect::<String>() + "{\"done\":true}\n"
    }

    /// A worker that gives `first` when it is asked for everything, `then` when it is asked for what comes after record 2, and
    /// else nothing.
    fn lake(folder: &Path, first: &str, then: &str) -> Lake {
        let analyst = folder.join("worker");
        fs::write(folder.join("first"), first).unwrap();
        fs::write(folder.join("then"), then).unwrap();
        let place = folder.display();
        let script = format!(
            "#!/bin/sh\ncase \"$(/bin/cat)\" in\n\
             *'\"after\":0'[,}}]*) /bin/cat {place}/first;;\n\
             *'\"after\":2'[,}}]*) echo again >>{place}/asked; /bin/cat {place}/then;;\n\
             *) echo '{{\"done\":true}}';;\nesac\n"
        );
        fs::write(&analyst, script).unwrap();
        fs::set_permissions(&analyst, fs::Permissions::from_mode(0o700)).unwrap();
        Lake { dir: folder.join("lake"), analyst, memory_mib: None }
    }

    /// A journal of `to` records that has let go those before `from`, as far as whole segments allow.
    fn journal(folder: &Path, from: u64, to: u64) -> PathBuf {
        let dir = folder.join("journal");
        let (mut journal, _) = Journal::open(&dir, 1).unwrap();
        for seq in 1..=to {
            let payload = format!("record {seq}");
            let entry = Entry {
                arrival: Timestamp::from_millis(1_800_000_000_000),
                source: SourceId(1),
                kind: Kind::Input(Format::Recorded),
                position: 0,
                subject: "",
                payload: payload.as_bytes(),
            };
            assert_eq!(journal.append(entry).unwrap(), seq);
            journal.commit().unwrap();
        }
        journal.delete_before(from).unwrap();
        dir
    }

    fn read(lake: Lake, journal: &Path) -> (Vec<u64>, Vec<String>) {
        let mut archived = Archived::open(lake, journal, None).unwrap().unwrap();
        let mut seqs = Vec::new();
        while let Some(record) = archived.next().unwrap() {
            assert_eq!(record.payload, format!("record {}", record.seq).as_bytes());
            seqs.push(record.seq);
        }
        (seqs, archived.gaps())
    }

    #[test]
    fn records_that_the_journal_lets_go_meanwhile_are_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path(), 5, 8);
        // When it was asked first, the Parquet history ended with record 2; now it has 4.
        let lake = lake(folder.path(), &answer(1..=2), &answer(3..=4));
        let (seqs, gaps) = read(lake, &journal);
        assert_eq!((seqs, gaps), ((1..=8).collect(), Vec::new()));
        assert_eq!(fs::read_to_string(folder.path().join("asked")).unwrap(), "again\n", "once");
    }

    #[test]
    fn what_neither_has_is_told_as_a_gap_and_the_rest_given() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path(), 5, 8);
        let lake = lake(folder.path(), &answer(1..=2), &answer(3..=3));
        let (seqs, gaps) = read(lake, &journal);
        assert_eq!(seqs, [1, 2, 3, 5, 6, 7, 8]);
        assert_eq!(gaps.len(), 1);
        assert!(gaps[0].starts_with("records 4 to 4 are neither in the Parquet history nor"), "{gaps:?}");
    }

    #[test]
    fn a_worker_that_gives_a_record_twice_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path(), 5, 8);
        let lake = lake(folder.path(), &answer(1..=2), &answer(2..=4));
        let mut archived = Archived::open(lake, &journal, None).unwrap().unwrap();
        let error = std::iter::repeat_with(|| archived.next().map(|_| ())).find_map(Result::err).unwrap();
        assert_eq!(error.to_string(), "the worker gave record 2 after record 2");
    }
}
