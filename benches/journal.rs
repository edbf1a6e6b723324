//! The journal with group commit, beside a plain sequential write of the same bytes with the same
//! flush policy (one `write`, one `fdatasync` for each batch), turn by turn in the same run.
//!
//! `cargo bench --bench journal`. `FLEETWARD_BENCH_DIR` names a folder on the disk to measure.

use std::{
    error::Error,
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use detector::{
    input::{Format, SourceId},
    journal::{Entry, Journal, Kind, SEGMENT_BYTES},
};
use fleet::time::Timestamp;

/// Time for each size of batch and record.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Bytes of a record besides subject and payload.
const HEADER: usize = 37;
const SUBJECT: &str = "device-00000001";

#[expect(clippy::print_stdout, reason = "a program that prints its figures")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::var_os("FLEETWARD_BENCH_DIR");
    let folder = folder.map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
    println!("| record | batch | journal events/s | journal MB/s | plain MB/s | share |");
    println!("|---|---|---|---|---|---|");
    for payload in [120, 1_000] {
        for batch in [64, 512, 4_096] {
            let (journal, plain) = compare(folder.path(), payload, batch)?;
            let bytes = batch * (HEADER + SUBJECT.len() + payload);
            let per_second = |time: Duration, amount: usize| amount as f64 / time.as_secs_f64();
            println!(
                "| {payload} B | {batch} | {:.0} | {:.1} | {:.1} | {:.2} |",
                per_second(journal, batch),
                per_second(journal, bytes) / 1e6,
                per_second(plain, bytes) / 1e6,
                plain.as_secs_f64() / journal.as_secs_f64(),
            );
        }
    }
    Ok(())
}

/// Median time of a batch, of the journal and of the plain file.
fn compare(folder: &Path, payload: usize, batch: usize) -> Result<(Duration, Duration), Box<dyn Error>> {
    let own = tempfile::tempdir_in(folder)?;
    let (mut journal, _) = Journal::open(&own.path().join("journal"), SEGMENT_BYTES)?;
    let path = own.path().join("plain");
    let mut plain = File::create(&path)?;
    let payload = vec![b'x'; payload];
    let bytes = vec![b'x'; batch * (HEADER + SUBJECT.len() + payload.len())];
    let (mut of_journal, mut of_plain, mut written) = (Vec::new(), Vec::new(), 0);
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE || of_journal.len() < 8 {
        let turn = Instant::now();
        append(&mut journal, &payload, batch)?;
        of_journal.push(turn.elapsed());
        // As the journal does, a new file once this one is full.
        if written >= SEGMENT_BYTES {
            plain = File::create(&path)?;
            written = 0;
            let next = journal.next_seq();
            journal.delete_before(next)?;
        }
        let turn = Instant::now();
        plain.write_all(&bytes)?;
        plain.sync_data()?;
        of_plain.push(turn.elapsed());
        written += bytes.len() as u64;
    }
    Ok((median(of_journal), median(of_plain)))
}

fn append(journal: &mut Journal, payload: &[u8], batch: usize) -> Result<(), Box<dyn Error>> {
    for _ in 0..batch {
        journal.append(Entry {
            arrival: Timestamp::from_secs(1_700_000_000),
            source: SourceId(1),
            kind: Kind::Input(Format::ReportJson),
            position: 0,
            subject: SUBJECT,
            payload,
        })?;
    }
    Ok(journal.commit()?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
