//! The journal with group commit, beside a plain sequential write of the same records, as they are
//! before they are packed, with the same flush policy (one `write`, one `fdatasync` for each batch),
//! turn by turn in the same run.
//!
//! Records are reports of a fleet, lines of a broker's log, and bytes that nothing makes shorter.
//! CPU time is that of appending and committing, with the system's share of the write.
//!
//! Then how long commits take at a rate that the disk can follow, one every 2 ms at least, from the
//! first segment on: what the reports of such a load wait for the disk.
//!
//! `cargo bench --bench journal [-- --paced SECONDS]`, with which only the second is run, so long.
//! `FLEETWARD_BENCH_DIR` names a folder on the disk to measure.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a program that measures and prints; it may stop anywhere"
)]

mod support;

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
use rustix::time::ClockId;

use self::support::{Lcg, cpu, reports};

/// Time for each size of batch and kind of record.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Bytes of a record besides subject and payload.
const HEADER: usize = 25;
const SUBJECT: &str = "device-00000001";

#[expect(clippy::print_stdout, reason = "a program that prints its figures")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::var_os("FLEETWARD_BENCH_DIR");
    let folder = folder.map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
    let mut words = std::env::args().skip_while(|word| word != "--paced").skip(1);
    if let Some(seconds) = words.next() {
        return paced(folder.path(), Duration::from_secs(seconds.parse()?));
    }
    println!(
        "| records | batch | journal events/s | MB/s | of it on disk | CPU us a record | plain MB/s | share |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, records) in kinds() {
        for batch in [1, 64, 512, 4_096] {
            let took = compare(folder.path(), &records, batch)?;
            let bytes = took.bytes as f64 / took.batches as f64;
            println!(
                "| {name} | {batch} | {:.0} | {:.1} | {:.2} | {:.2} | {:.1} | {:.2} |",
                batch as f64 / took.journal.as_secs_f64(),
                bytes / took.journal.as_secs_f64() / 1e6,
                took.written as f64 / took.bytes as f64,
                took.cpu.as_secs_f64() * 1e6 / (took.batches * batch) as f64,
                bytes / took.plain.as_secs_f64() / 1e6,
                took.plain.as_secs_f64() / took.journal.as_secs_f64(),
            );
        }
    }
    println!();
    paced(folder.path(), Duration::from_secs(10))
}

/// Reports a second, and the least time between two commits.
const RATE: f64 = 60_000.0;
const LINGER: Duration = Duration::from_millis(2);

#[expect(clippy::print_stdout, reason = "a program that prints its figures")]
fn paced(folder: &Path, time: Duration) -> Result<(), Box<dyn Error>> {
    let own = tempfile::tempdir_in(folder)?;
    let (mut journal, _) = Journal::open(&own.path().join("journal"), SEGMENT_BYTES)?;
    let (_, records) = &kinds()[0];
    let (begin, before) = (Instant::now(), cpu(ClockId::ThreadCPUTime));
    let (mut times, mut done) = (Vec::new(), 0);
    while begin.elapsed() < time {
        std::thread::sleep(LINGER);
        let due = (begin.elapsed().as_secs_f64() * RATE) as usize;
        let turn = Instant::now();
        append(&mut journal, (done..due).map(|at| &records[at % records.len()]))?;
        times.push(turn.elapsed());
        done = due;
        if times.len() % 1_000 == 0 {
            let next = journal.next_seq();
            journal.delete_before(next)?;
        }
    }
    times.sort_unstable();
    let ms = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("| commits | reports/s | ms: p50 | p90 | p99 | p99.9 | max | MB/s written | CPU us a record |");
    println!("|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {:.0} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |",
        times.len(),
        done as f64 / time.as_secs_f64(),
        ms(0.5),
        ms(0.9),
        ms(0.99),
        ms(0.999),
        ms(1.0),
        journal.written_total() as f64 / time.as_secs_f64() / 1e6,
        (cpu(ClockId::ThreadCPUTime) - before).as_secs_f64() * 1e6 / done as f64,
    );
    Ok(())
}

fn kinds() -> [(&'static str, Vec<Vec<u8>>); 3] {
    let reports = reports::stream().into_iter().take(10_000).map(|report| report.json.into_bytes());
    let mut random = Lcg(1);
    let mut line = |at: usize| {
        let (device, bytes) = (random.below(1_000), random.below(500));
        let at = 1_700_000_000 + at / 50;
        format!(
            "{at}: Received PUBLISH from dev-{device:05} (d0, q1, r0, m{}, 'fleet/dev-{device:05}/data', ... ({bytes} bytes))",
            random.below(65_536)
        )
    };
    let lines = (0..10_000).map(|at| line(at).into_bytes()).collect();
    let noise = (0..1_000).map(|_| (0..1_000).map(|_| random.below(256) as u8).collect()).collect();
    [("reports", reports.collect()), ("log lines", lines), ("noise", noise)]
}

/// Median times of a batch, of the journal and of the plain file, and what all batches took.
struct Took {
    journal: Duration,
    plain: Duration,
    batches: usize,
    bytes: usize,
    written: u64,
    cpu: Duration,
}

fn compare(folder: &Path, records: &[Vec<u8>], batch: usize) -> Result<Took, Box<dyn Error>> {
    let own = tempfile::tempdir_in(folder)?;
    let (mut journal, _) = Journal::open(&own.path().join("journal"), SEGMENT_BYTES)?;
    let path = own.path().join("plain");
    let mut plain = File::create(&path)?;
    let (mut of_journal, mut of_plain, mut in_file) = (Vec::new(), Vec::new(), 0);
    let (mut bytes, mut cpu_time, mut buffer) = (0, Duration::ZERO, Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE || of_journal.len() < 8 {
        let from = of_journal.len() * batch;
        let records = || (from..from + batch).map(|at| &records[at % records.len()]);
        let (turn, before) = (Instant::now(), cpu(ClockId::ThreadCPUTime));
        append(&mut journal, records())?;
        of_journal.push(turn.elapsed());
        cpu_time += cpu(ClockId::ThreadCPUTime) - before;
        // As the journal does, a new file once this one is full.
        if in_file >= SEGMENT_BYTES {
            plain = File::create(&path)?;
            in_file = 0;
            let next = journal.next_seq();
            journal.delete_before(next)?;
        }
        buffer.clear();
        for record in records() {
            buffer.extend_from_slice(&[b'x'; HEADER]);
            buffer.extend_from_slice(SUBJECT.as_bytes());
            buffer.extend_from_slice(record);
        }
        let turn = Instant::now();
        plain.write_all(&buffer)?;
        plain.sync_data()?;
        of_plain.push(turn.elapsed());
        in_file += buffer.len() as u64;
        bytes += buffer.len();
    }
    let (batches, written) = (of_journal.len(), journal.written_total());
    Ok(Took { journal: median(of_journal), plain: median(of_plain), batches, bytes, written, cpu: cpu_time })
}

fn append<'a>(
    journal: &mut Journal,
    records: impl Iterator<Item = &'a Vec<u8>>,
) -> Result<(), Box<dyn Error>> {
    for payload in records {
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
