//! Killed at any record and started again, the engine tells the same as one that was never killed.

use std::{collections::BTreeMap, fs, path::Path};

use detector::{
    journal::{Entry, Journal, Kind, Reader},
    output::Output,
    runner::RunnerConfig,
    transition::Transition,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use tempfile::TempDir;

use crate::{
    runner::{Running, config, transitions},
    same::{many_rules, registry, script, steps},
    support::{Line, parse},
};

/// Sends the lines in their order.
async fn feed(running: &Running, lines: Vec<Line>) {
    for line in lines {
        let handle = &running.handle;
        match line {
            Line::Input(input) => handle.send(vec![input]).await.unwrap(),
            Line::Tick(at) => handle.tick(at).await.unwrap(),
            Line::Gap(from, to) => {
                handle.gap(detector::input::SourceId(1), "log", (from, to), "why").await.unwrap();
            }
        }
    }
}

/// What a store would hold: each transition once, by id.
fn stored(store: &mut BTreeMap<String, Transition>, outputs: &[Output]) {
    for transition in transitions(outputs) {
        let id = transition.id.clone();
        if let Some(before) = store.insert(id, transition.clone()) {
            assert_eq!(before, transition, "the same id means the same transition");
        }
    }
}

/// The journal of `from` up to record `last`, as a crash right after it would leave it.
fn cut_journal(from: &Path, to: &Path, last: u64) {
    let mut reader = Reader::open(from, 1).unwrap();
    let (mut journal, _) = Journal::open(to, 500).unwrap();
    while let Some(record) = reader.next().unwrap() {
        if record.seq > last {
            break;
        }
        let entry = Entry {
            arrival: record.arrival,
            source: record.source,
            kind: record.kind,
            position: record.position,
            subject: record.subject,
            payload: record.payload,
        };
        journal.append(entry).unwrap();
    }
    journal.commit().unwrap();
}

fn random_script(seed: u8) -> String {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    script(&steps().new_tree(&mut runner).unwrap().current())
}

#[tokio::test]
async fn killed_at_any_record_it_tells_the_same() {
    for seed in 0..3 {
        let script = random_script(seed);
        let whole = TempDir::new().unwrap();
        let running = Running::open(config(whole.path(), 2), &many_rules(), &registry()).await;
        feed(&running, parse(&script)).await;
        let mut reference = BTreeMap::new();
        stored(&mut reference, &running.finish().await);
        let journal = whole.path().join("journal");
        let mut records = Vec::new();
        let mut reader = Reader::open(&journal, 1).unwrap();
        while let Some(record) = reader.next().unwrap() {
            records.push(record.kind);
        }
        for last in (0..=records.len() as u64).step_by(7) {
            let dir = TempDir::new().unwrap();
            cut_journal(&journal, &dir.path().join("journal"), last);
            let running = Running::open(config(dir.path(), 3), &many_rules(), &registry()).await;
            // The source repeats what was not acknowledged: everything after the cut.
            let journaled = records.iter().zip(0..last);
            let inputs = journaled.filter(|(kind, _)| !matches!(kind, Kind::Registry | Kind::Rules)).count();
            feed(&running, lines_after(&script, inputs)).await;
            let mut store = BTreeMap::new();
            stored(&mut store, &running.finish().await);
            assert_eq!(store, reference, "seed {seed}, killed after record {last}");
        }
    }
}

/// The lines of the script after the first `journaled` ones that got into the journal.
fn lines_after(script: &str, journaled: usize) -> Vec<Line> {
    let mut engine = crate::support::engine(&many_rules(), &registry(), 1);
    let mut taken = 0;
    let mut rest = Vec::new();
    for line in parse(script) {
        if taken >= journaled {
            rest.push(line);
            continue;
        }
        let skipped_tick = matches!(&line, Line::Tick(at) if *at <= engine.front().now());
        let verdict = crate::support::stage(&mut engine, &line);
        if matches!(verdict, detector::front::Verdict::Folded { .. }) && !skipped_tick {
            taken += 1;
        }
    }
    rest
}

#[tokio::test]
async fn with_snapshots_on_the_way_it_tells_the_same() {
    for seed in 10..13 {
        let script = random_script(seed);
        let whole = TempDir::new().unwrap();
        let running = Running::open(config(whole.path(), 1), &many_rules(), &registry()).await;
        feed(&running, parse(&script)).await;
        let mut reference = BTreeMap::new();
        stored(&mut reference, &running.finish().await);

        let dir = TempDir::new().unwrap();
        let mut store = BTreeMap::new();
        let mut lines = parse(&script);
        let mut shards = 1;
        while !lines.is_empty() {
            let rest = lines.split_off(lines.len().min(40));
            let config = RunnerConfig { segment_bytes: 600, ..config(dir.path(), shards) };
            let running = Running::open(config, &many_rules(), &registry()).await;
            let half = lines.split_off(lines.len() / 2);
            feed(&running, lines).await;
            running.handle.snapshot().await.unwrap();
            feed(&running, half).await;
            stored(&mut store, &running.finish().await);
            // As if the last snapshot, of the shutdown, had never been written.
            let newest = newest_snapshot(dir.path());
            if shards % 2 == 0 {
                fs::remove_file(newest).unwrap();
            }
            lines = rest;
            shards += 1;
        }
        assert_eq!(store, reference, "seed {seed}");
    }
}

fn newest_snapshot(dir: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(dir.join("snapshots")).unwrap();
    entries.map(|entry| entry.unwrap().path()).max().unwrap()
}

#[tokio::test]
async fn the_threads_tell_what_the_plain_fold_tells() {
    for seed in 20..22 {
        let script = random_script(seed);
        let sets = [(many_rules(), registry()), (crate::entities::crowded(), crate::entities::grouped())];
        for (rules, registry) in sets {
            let mut engine = crate::support::engine(&rules, &registry, 1);
            let mut reference = Vec::new();
            for line in parse(&script) {
                crate::support::stage(&mut engine, &line);
            }
            engine.flush(&mut |transition| reference.push(transition));
            for shards in [1, 2, 7] {
                let dir = TempDir::new().unwrap();
                let running = Running::open(config(dir.path(), shards), &rules, &registry).await;
                feed(&running, parse(&script)).await;
                let told = transitions(&running.finish().await);
                let text = crate::support::text;
                assert_eq!(text(&told), text(&reference), "seed {seed}, {shards} shards");
            }
        }
    }
}
