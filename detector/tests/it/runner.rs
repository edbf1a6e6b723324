//! The threaded runner: receipts after the disk, outputs in order, snapshots, shutdown, errors.

use std::{path::Path, time::Duration};

use detector::{
    change::Rules,
    input::{Input, Outcome, Receipt, SourceId},
    output::Output,
    runner::{Counters, Runner, RunnerConfig, RunnerError, RunnerHandle, SyncPolicy},
    transition::Transition,
};
use fleet::{registry::Registry, time::Timestamp};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::support::{Line, decoders, parse, rules, text};

pub(crate) fn config(dir: &Path, shards: usize) -> RunnerConfig {
    RunnerConfig { shards, ..RunnerConfig::new(dir.to_owned()) }
}

pub(crate) fn inputs(script: &str) -> Vec<Input> {
    let input = |line| match line {
        Line::Input(input) => Some(input),
        Line::Tick(_) | Line::Gap(..) => None,
    };
    parse(script).into_iter().filter_map(input).collect()
}

/// A runner, and a consumer that confirms what it takes.
pub(crate) struct Running {
    pub(crate) handle: RunnerHandle,
    pub(crate) consumer: JoinHandle<Vec<Output>>,
}

impl Running {
    pub(crate) async fn open(config: RunnerConfig, rules: &Rules, registry: &Registry) -> Self {
        let (handle, outputs) = Runner::open(config, decoders(), rules.clone(), registry.clone()).unwrap();
        let consumer = tokio::spawn(consume(handle.clone(), outputs));
        handle.ready().await.unwrap();
        Self { handle, consumer }
    }

    /// Shuts down and gives what was handed on.
    pub(crate) async fn finish(self) -> Vec<Output> {
        self.handle.shutdown().await.unwrap();
        self.consumer.await.unwrap()
    }
}

async fn consume(handle: RunnerHandle, mut outputs: mpsc::Receiver<Output>) -> Vec<Output> {
    let mut all = Vec::new();
    while let Some(output) = outputs.recv().await {
        if let Output::Folded { seq } = output {
            handle.applied(seq);
        }
        all.push(output);
    }
    all
}

pub(crate) fn transitions(outputs: &[Output]) -> Vec<Transition> {
    let transition = |output: &Output| match output {
        Output::Transition(transition) => Some(transition.clone()),
        Output::Violating(_)
        | Output::Watched(_)
        | Output::Datapoints(_)
        | Output::Refused(_)
        | Output::Folded { .. } => None,
    };
    outputs.iter().filter_map(transition).collect()
}

const SENT: &[&str] = &["sent: num-messages-sent less-than 2 in 60"];

/// Waits, with a limit, until the counters satisfy `enough`.
async fn until(handle: &RunnerHandle, enough: impl Fn(&Counters) -> bool) -> Counters {
    let wait = async {
        loop {
            let counters = handle.counters();
            if enough(&counters) {
                return counters;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the counters never got there")
}

#[tokio::test]
async fn a_source_gets_its_receipts_and_the_consumer_the_transitions() {
    let dir = TempDir::new().unwrap();
    let running = Running::open(config(dir.path(), 2), &rules(SENT), &Registry::default()).await;
    let (sender, mut receipts) = mpsc::channel(8);
    running.handle.register(SourceId(1), sender).await.unwrap();
    let script = r#"1 publish a
        2 nonsense
        3 noise
        4 report a {"network_stats":{"bytes_in":1,"bytes_out":1,"packets_in":1,"packets_out":1}} #77
        5 report a {"network_stats":{"bytes_in":1,"bytes_out":1,"packets_in":1,"packets_out":1}} #77
        6 publish a"#;
    running.handle.send(inputs(script)).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 6 {
        got.extend(receipts.recv().await.unwrap());
    }
    let words: Vec<String> = got.iter().map(word).collect();
    assert_eq!(
        words,
        ["0 journaled", "1 nonsense", "2 irrelevant", "3 journaled 77", "4 journaled 77", "5 journaled"]
    );
    running.handle.tick(Timestamp::from_secs(200)).await.unwrap();
    let counters = until(&running.handle, |counters| counters.fold.shards.transitions == 2).await;
    assert_eq!((counters.received, counters.journaled, counters.repeated, counters.irrelevant), (6, 3, 1, 1));
    assert_eq!(counters.refused.get("nonsense"), Some(&1));
    assert_eq!((counters.things, counters.seq), (1, 5), "rules, three inputs, a tick");
    let outputs = running.finish().await;
    assert_eq!(
        text(&transitions(&outputs)),
        "6 alarm a sent {\"count\":2} certain\n120 clear a sent {\"count\":0} certain"
    );
    let refused = outputs.iter().find_map(|output| match output {
        Output::Refused(refused) => Some(refused.clone()),
        _ => None,
    });
    let refused = refused.unwrap();
    assert_eq!((&*refused.payload_prefix, refused.refusal.reason), (&b"2 nonsense"[..], "nonsense"));
}

fn word(receipt: &Receipt) -> String {
    let outcome = match &receipt.outcome {
        Outcome::Journaled { report_id: Some(id) } => format!("journaled {id}"),
        Outcome::Journaled { report_id: None } => "journaled".into(),
        Outcome::Irrelevant => "irrelevant".into(),
        Outcome::Refused(refusal) => refusal.reason.into(),
    };
    format!("{} {outcome}", receipt.tag)
}

#[tokio::test]
async fn a_snapshot_counts_only_when_the_consumer_has_stored_what_came_before() {
    let dir = TempDir::new().unwrap();
    let (handle, mut outputs) =
        Runner::open(config(dir.path(), 2), decoders(), rules(SENT), Registry::default()).unwrap();
    handle.ready().await.unwrap();
    handle.send(inputs("1 publish a\n2 publish a")).await.unwrap();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.snapshot().await }
    });
    let mut last = 0;
    while last < 3 {
        match outputs.recv().await.unwrap() {
            Output::Folded { seq } => last = seq,
            Output::Transition(transition) => assert_eq!(transition.seq, 3),
            other => panic!("{other:?}"),
        }
    }
    let snapshots = || {
        let dir = std::fs::read_dir(dir.path().join("snapshots"));
        let names =
            dir.map(|dir| dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect());
        names.unwrap_or_else(|_| Vec::<String>::new())
    };
    handle.applied(2);
    assert!(!snapshots().iter().any(|name| name.ends_with(".snap")));
    assert!(!waiting.is_finished());
    handle.applied(3);
    assert_eq!(waiting.await.unwrap(), Ok(3));
    assert_eq!(snapshots(), ["00000000000000000003.snap"]);
    assert_eq!(handle.counters().snapshots, 1);
}

#[tokio::test]
async fn old_journal_goes_once_two_snapshots_cover_it() {
    let dir = TempDir::new().unwrap();
    let config = RunnerConfig { segment_bytes: 200, ..config(dir.path(), 1) };
    let running = Running::open(config.clone(), &rules(SENT), &Registry::default()).await;
    let segments = || std::fs::read_dir(dir.path().join("journal")).unwrap().count();
    let mut before = 0;
    for round in 0..4 {
        let script: String = (0..20).map(|n| format!("{} publish t{n}\n", round * 100 + n)).collect();
        running.handle.send(inputs(&script)).await.unwrap();
        assert_eq!(running.handle.snapshot().await, Ok(round * 20 + 21));
        if round == 0 {
            before = segments();
        }
    }
    assert!(segments() <= before + 8, "{} segments, {before} after the first round", segments());
    let damaged = dir.path().join("snapshots/00000000000000000081.snap");
    running.finish().await;
    // A damaged newest snapshot falls back to the one before, and the journal still reaches it.
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, &bytes).unwrap();
    let running = Running::open(config, &rules(SENT), &Registry::default()).await;
    let counters = running.handle.counters();
    assert_eq!((counters.snapshots_damaged, counters.refolded, counters.things), (1, 20, 20));
    running.finish().await;
}

#[tokio::test]
async fn a_held_journal_goes_only_as_far_as_it_is_released() {
    let dir = TempDir::new().unwrap();
    let config = RunnerConfig { segment_bytes: 200, hold_journal: true, ..config(dir.path(), 1) };
    let running = Running::open(config, &rules(SENT), &Registry::default()).await;
    let oldest = || {
        let names = std::fs::read_dir(dir.path().join("journal")).unwrap().map(|entry| entry.unwrap().path());
        let segments = names.filter(|path| path.extension().is_some_and(|ending| ending == "seg"));
        segments
            .map(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap())
            .min()
            .unwrap()
    };
    let mut round = 0;
    let mut snapshot_after_more = async || {
        let script: String = (0..20).map(|n| format!("{} publish t{n}\n", round * 100 + n)).collect();
        running.handle.send(inputs(&script)).await.unwrap();
        running.handle.snapshot().await.unwrap();
        round += 1;
    };
    for _ in 0..3 {
        snapshot_after_more().await;
    }
    assert_eq!(oldest(), 1, "two snapshots cover it, but it is held");
    running.handle.release_journal(15);
    snapshot_after_more().await;
    let kept = oldest();
    assert!((2..=15).contains(&kept), "record 15 must still be there, the oldest is {kept}");
    running.handle.release_journal(u64::MAX);
    snapshot_after_more().await;
    assert!(oldest() > 15);
    running.finish().await;
}

#[tokio::test]
async fn the_registry_and_rules_are_journaled_only_when_they_change() {
    let dir = TempDir::new().unwrap();
    let registry: Registry = serde_json::from_str(r#"{"groups":{"g":{}},"things":{"a":{}}}"#).unwrap();
    let running = Running::open(config(dir.path(), 1), &rules(SENT), &registry).await;
    assert_eq!(running.handle.counters().seq, 2);
    let member =
        |registry: &Registry| registry.clone().with_member(&"a".parse().unwrap(), &"g".parse().unwrap());
    running.handle.update_registry(member).await.unwrap();
    running.handle.update_registry(member).await.unwrap();
    running.handle.set_rules(rules(SENT)).await.unwrap();
    running
        .handle
        .update_registry(|_| serde_json::from_str(r#"{"groups":{"x":{"parent":"x"}}}"#).unwrap())
        .await
        .unwrap();
    running.handle.send(inputs("1 publish a")).await.unwrap();
    until(&running.handle, |counters| counters.seq == 4).await;
    let now = running.handle.registry();
    assert!(now.is_member("a", &"g".parse().unwrap()) && !now.groups.contains_key("x"));
    running.finish().await;
    let running = Running::open(config(dir.path(), 1), &rules(SENT), &now).await;
    assert_eq!(running.handle.counters().seq, 4);
    running.finish().await;
}

#[tokio::test]
async fn positions_are_known_after_a_restart() {
    let dir = TempDir::new().unwrap();
    for round in 0..2 {
        let running = Running::open(config(dir.path(), 1), &rules(SENT), &Registry::default()).await;
        if round == 1 {
            let position = &running.handle.positions()[&SourceId(1)];
            assert_eq!((position.position, &position.identity[..]), (40, &b"inode 7"[..]));
        }
        running.handle.source_opened(SourceId(1), "log", b"inode 7").await.unwrap();
        let mut lines = inputs("1 publish a\n1 publish b\n1 publish c\n1 publish d");
        for (input, position) in lines.iter_mut().zip([10, 20, 30, 40]) {
            input.position = position;
        }
        running.handle.send(lines).await.unwrap();
        let counters = until(&running.handle, |counters| counters.received == 4).await;
        assert_eq!(counters.repeated, round * 4);
        running.finish().await;
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let dir = TempDir::new().unwrap();
    let config = RunnerConfig { input_bytes_max: 20, ..config(dir.path(), 1) };
    let running = Running::open(config, &rules(SENT), &Registry::default()).await;
    running.handle.send(inputs(&format!("1 publish {}", "a".repeat(50)))).await.unwrap();
    let counters = until(&running.handle, |counters| counters.received == 1).await;
    assert_eq!(counters.refused.get("too-large"), Some(&1));
    running.finish().await;
}

#[tokio::test]
async fn two_runners_cannot_share_a_folder() {
    let dir = TempDir::new().unwrap();
    let running = Running::open(config(dir.path(), 1), &rules(SENT), &Registry::default()).await;
    let error =
        Runner::open(config(dir.path(), 1), decoders(), rules(SENT), Registry::default()).unwrap_err();
    assert!(matches!(error, RunnerError::Journal(detector::journal::JournalError::Locked(_))), "{error}");
    running.finish().await;
}

#[tokio::test]
async fn a_disk_error_stops_everything_and_acknowledges_nothing() {
    let dir = TempDir::new().unwrap();
    let config = RunnerConfig { segment_bytes: 100, ..config(dir.path(), 1) };
    let running = Running::open(config, &rules(SENT), &Registry::default()).await;
    let (sender, mut receipts) = mpsc::channel(8);
    running.handle.register(SourceId(1), sender).await.unwrap();
    // The next segment's name is taken by a folder.
    std::fs::create_dir(dir.path().join("journal/00000000000000000002.seg")).unwrap();
    running.handle.send(inputs("1 publish a")).await.unwrap();
    let stopped = running.handle.stopped().await;
    assert!(stopped.to_string().contains("00000000000000000002.seg: cannot create"), "{stopped}");
    assert!(receipts.recv().await.is_none(), "nothing was acknowledged");
    assert_eq!(running.handle.send(inputs("2 publish a")).await, Err(stopped.clone()));
    assert_eq!(running.handle.shutdown().await, Err(stopped.clone()));
    assert_eq!(running.handle.snapshot().await, Err(stopped));
    assert!(transitions(&running.consumer.await.unwrap()).is_empty());
}

#[tokio::test]
async fn damage_in_the_tail_of_the_journal_is_told_at_the_start() {
    let dir = TempDir::new().unwrap();
    let config = RunnerConfig { segment_bytes: 100, ..config(dir.path(), 1) };
    let (handle, outputs) =
        Runner::open(config.clone(), decoders(), rules(SENT), Registry::default()).unwrap();
    let (sender, mut receipts) = mpsc::channel(8);
    handle.register(SourceId(1), sender).await.unwrap();
    handle.send(inputs("1 publish a\n2 publish a\n3 publish a\n4 publish a\n5 publish a")).await.unwrap();
    receipts.recv().await.unwrap();
    drop((handle, outputs));
    let segment = dir.path().join("journal/00000000000000000002.seg");
    let reopened = || Runner::open(config.clone(), decoders(), rules(SENT), Registry::default());
    let (handle, _outputs) = loop {
        // The first one's threads end a moment after its handle.
        match reopened() {
            Ok(opened) => break opened,
            Err(RunnerError::Journal(detector::journal::JournalError::Locked(_))) => {
                tokio::task::yield_now().await
            }
            Err(error) => panic!("{error}"),
        }
    };
    handle.ready().await.unwrap();
    drop((handle, _outputs));
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (handle, _outputs) = loop {
        match reopened() {
            Ok(opened) => break opened,
            Err(RunnerError::Journal(detector::journal::JournalError::Locked(_))) => {
                tokio::task::yield_now().await
            }
            Err(error) => panic!("{error}"),
        }
    };
    let stopped = handle.ready().await.unwrap_err();
    assert!(stopped.to_string().contains("00000000000000000002.seg at byte 16"), "{stopped}");
}

#[tokio::test]
async fn a_slow_consumer_slows_the_sources_down_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let config = RunnerConfig {
        outputs_max: 1,
        inputs_max: 4,
        sync: SyncPolicy::Interval(Duration::from_millis(5)),
        ..config(dir.path(), 3)
    };
    let (handle, mut outputs) = Runner::open(
        config,
        decoders(),
        rules(&["sent: num-messages-sent less-than 1 in 60"]),
        Registry::default(),
    )
    .unwrap();
    let script: String = (0..500).map(|n| format!("1 publish t{n}\n")).collect();
    let sender = tokio::spawn({
        let handle = handle.clone();
        async move {
            handle.send(inputs(&script)).await.unwrap();
            handle.shutdown().await.unwrap();
        }
    });
    let mut names = Vec::new();
    while let Some(output) = outputs.recv().await {
        match output {
            Output::Transition(transition) => names.push(transition.seq),
            Output::Folded { seq } => handle.applied(seq),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(names, (2..502).collect::<Vec<u64>>());
    sender.await.unwrap();
}

#[tokio::test]
async fn when_the_consumer_is_gone_the_runner_stops() {
    let dir = TempDir::new().unwrap();
    let (handle, outputs) =
        Runner::open(config(dir.path(), 1), decoders(), rules(SENT), Registry::default()).unwrap();
    handle.ready().await.unwrap();
    drop(outputs);
    let mut sent = 0;
    while handle.send(inputs("1 publish a")).await.is_ok() {
        sent += 1;
        assert!(sent < 1_000_000);
    }
    assert_eq!(handle.stopped().await.to_string(), "the engine has stopped: nobody takes its outputs");
}
