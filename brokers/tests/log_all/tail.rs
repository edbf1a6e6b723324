//! The threads that read: bounded channel, clean end.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use brokers::tail::{Clock, Settings, Start, Tailed, follow, read};
use detector::input::{Format, SourceId};
use fleet::time::Timestamp;
use tokio::sync::mpsc;

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_secs(7))
}

#[test]
fn a_slow_reader_holds_the_thread_back_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let lines: u64 = 50_000;
    let text: String = (0..lines).map(|number| format!("line {number}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let (sender, mut receiver) = mpsc::channel(1);
    let settings = Settings::new(path.clone(), SourceId(1), Format::MosquittoLog, Start::Beginning);
    let tail = follow(settings, clock(), sender).unwrap();
    let mut next = 0;
    loop {
        match receiver.blocking_recv().unwrap() {
            Tailed::Lines(inputs) => {
                for input in inputs {
                    assert_eq!(*input.payload, *format!("line {next}").as_bytes());
                    assert_eq!(input.arrival, Timestamp::from_secs(7));
                    next += 1;
                }
            }
            Tailed::CaughtUp => break,
            Tailed::Opened { .. } => {}
            Tailed::Gap { reason } => panic!("{reason}"),
        }
    }
    assert_eq!(next, lines);
    assert_eq!(tail.status().counts().lines, lines);
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more\n").unwrap();
    assert!(
        matches!(receiver.blocking_recv(), Some(Tailed::Lines(inputs)) if *inputs[0].payload == *b"more")
    );
    drop(receiver);
    let deadline = Instant::now() + Duration::from_secs(20);
    while tail.is_running() {
        assert!(Instant::now() < deadline, "the thread outlived its receiver");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    // Opening a file below a file fails for everybody, root as well.
    let blocker = folder.path().join("log");
    std::fs::write(&blocker, "").unwrap();
    let path = blocker.join("below");
    let (sender, mut receiver) = mpsc::channel(1);
    let settings = Settings::new(path.clone(), SourceId(1), Format::MosquittoLog, Start::Beginning);
    let tail = follow(settings, clock(), sender).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while tail.status().last_error().is_none() {
        assert!(Instant::now() < deadline, "no error was told");
        std::thread::yield_now();
    }
    assert!(tail.status().last_error().unwrap().contains(path.to_str().unwrap()));
    std::fs::remove_file(&blocker).unwrap();
    std::fs::create_dir(&blocker).unwrap();
    std::fs::write(&path, "a\n").unwrap();
    while !matches!(receiver.blocking_recv().unwrap(), Tailed::Lines(_)) {}
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let (sender, mut receiver) = mpsc::channel(4);
    let text: &[u8] = b"a\n\nb\nunfinished";
    let _tail = read(text, SourceId(1), Format::Recorded, clock(), sender).unwrap();
    let Some(Tailed::Lines(inputs)) = receiver.blocking_recv() else { panic!("no lines") };
    let Some(Tailed::Lines(last)) = receiver.blocking_recv() else { panic!("no last line") };
    let payloads: Vec<_> = inputs.iter().chain(&last).map(|input| &*input.payload).collect();
    assert_eq!(payloads, [&b"a"[..], b"b", b"unfinished"]);
    assert_eq!(receiver.blocking_recv(), Some(Tailed::CaughtUp));
    assert_eq!(receiver.blocking_recv(), None);
}
