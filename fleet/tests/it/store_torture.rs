//! A process that commits is killed at random moments: every batch it acknowledged is
//! there and whole, and no batch is there in part.
//!
//! Five kills for each engine by default; in full:
//! `FLEETWARD_TORTURE_KILLS=100 cargo test -p fleet --test it store_torture -- --nocapture`

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use fleet::store::{Batch, Engine, KeyRange, Store, Table, open};
use tempfile::TempDir;

const CHILD: &str = "FLEETWARD_TORTURE_CHILD";
/// A batch removes what the batch so many before it wrote.
const KEPT: u64 = 10;
/// The child ends by itself after so many batches, should nobody kill it.
const BATCHES_MAX: u64 = 5_000;

#[test]
fn redb_keeps_what_it_acknowledged() {
    torture(Engine::Redb);
}

#[test]
fn sled_keeps_what_it_acknowledged() {
    torture(Engine::Sled);
}

/// Not a test by itself: the process that is killed.
#[test]
fn child() {
    let Some(task) = env::var_os(CHILD) else { return };
    let task = task.into_string().unwrap();
    let (engine, path) = task.split_once(':').unwrap();
    let store = open(engine.parse().unwrap(), Path::new(path)).unwrap();
    let first = last_batch(&*store) + 1;
    for number in first..first + BATCHES_MAX {
        store.commit(&batch(number)).unwrap();
        let mut out = std::io::stdout().lock();
        out.write_all(format!("\nack {number}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

fn torture(engine: Engine) {
    let kills =
        env::var_os("FLEETWARD_TORTURE_KILLS").map_or(5, |kills| kills.to_str().unwrap().parse().unwrap());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    let mut acknowledged = 0;
    for round in 0..kills {
        acknowledged = run_and_kill(engine, &path, random(round)).max(acknowledged);
        let store = open(engine, &path).unwrap();
        check(&*store, acknowledged, round);
        acknowledged = last_batch(&*store);
    }
    println!("{engine}: {kills} kills, {acknowledged} batches, none lost or torn");
}

/// Starts the child, kills it at a moment that `seed` chooses, gives the last number it acknowledged.
fn run_and_kill(engine: Engine, path: &Path, seed: u64) -> u64 {
    let mut child: Child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "store_torture::child", "--nocapture"])
        .env(CHILD, format!("{engine}:{}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acknowledged = 0;
    let mut note = |line: String| {
        if let Some(number) = line.strip_prefix("ack ") {
            acknowledged = number.parse().unwrap();
        }
    };
    // One round in eight is killed while it opens the store.
    let lines_before = if seed.is_multiple_of(8) { 0 } else { 1 + seed / 8 % 60 };
    lines.by_ref().take(usize::try_from(lines_before).unwrap()).for_each(&mut note);
    thread::sleep(Duration::from_micros(seed / 512 % 8_000));
    child.kill().unwrap();
    // What it wrote before it died is still in the pipe.
    lines.for_each(&mut note);
    child.wait().unwrap();
    acknowledged
}

/// What batch `number` writes: small values, and some that fill several pages.
fn content(number: u64) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    (0..1 + number % 7)
        .map(|item| {
            let seed = random(number * 8 + item);
            let table = if seed.is_multiple_of(2) { Table::Tasks } else { Table::Outbox };
            let len =
                [10, 100, 1_000, 20_000, 150_000][usize::try_from(seed / 2 % 33).unwrap().saturating_sub(28)];
            let key = [random(number).to_be_bytes(), number.to_be_bytes(), item.to_be_bytes()].concat();
            (table, key, seed.to_be_bytes().iter().copied().cycle().take(len).collect())
        })
        .collect()
}

fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(Table::Meta, "last", number.to_be_bytes());
    content(number).into_iter().for_each(|(table, key, value)| batch.put(table, key, value));
    if number > KEPT {
        content(number - KEPT).into_iter().for_each(|(table, key, _)| batch.delete(table, key));
    }
    batch
}

fn last_batch(store: &dyn Store) -> u64 {
    store.get(Table::Meta, b"last").unwrap().map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()))
}

/// The store holds exactly what the last batch left, and that is the acknowledged one or the one under way.
fn check(store: &dyn Store, acknowledged: u64, round: u64) {
    let last = last_batch(store);
    assert!(
        last == acknowledged || last == acknowledged + 1,
        "round {round}: {acknowledged} acknowledged, {last} found"
    );
    for table in [Table::Tasks, Table::Outbox] {
        let kept = last.saturating_sub(KEPT) + 1..=last;
        let mut expected: Vec<_> = kept
            .flat_map(content)
            .filter(|(of, ..)| *of == table)
            .map(|(_, key, value)| (key, value))
            .collect();
        expected.sort();
        let found = store.scan(table, &KeyRange::all(), 10_000).unwrap();
        assert!(found == expected, "round {round}: table {table} is not as batch {last} left it");
    }
}

/// A well-mixed number (SplitMix64), so that each round can be repeated.
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
