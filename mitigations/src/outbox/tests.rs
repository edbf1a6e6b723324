use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::{
    alarm::tests::alarm,
    alert::{self, of_alarm},
    guard::tests::planned,
    sink::DeliveryError,
    task::{Task, TaskState},
    testing::{Crash, Disk, LifeStore, TestSink, clock, ids, until},
};

fn alarm_alert(n: usize) -> Alert {
    of_alarm(&alarm(&format!("t{n}"), 1), vec![]).unwrap()
}

fn notice_alert(n: usize) -> Alert {
    let mut task = Task::new(&alarm(&format!("n{n}"), 1), &planned("q", true), Timestamp::from_secs(1));
    task.state = TaskState::NotHeld { seen: "x".into() };
    task.id = crate::task::TaskId::derive(&n.to_string(), "q");
    alert::of_step(&task).unwrap()
}

fn quick() -> OutboxOptions {
    OutboxOptions { retry_first_ms: 1, retry_max_secs: 1, ..OutboxOptions::default() }
}

fn retry(reason: &str) -> Result<(), DeliveryError> {
    Err(DeliveryError::retry(reason.into()))
}

struct Life {
    store: Arc<LifeStore>,
    outbox: Arc<Outbox>,
    mailbox: crate::testing::Mailbox,
}

fn life(disk: &Arc<Disk>, options: OutboxOptions, sink: TestSink) -> Life {
    let store = LifeStore::new(disk, &sink.crash);
    let mailbox = Arc::clone(&sink.mailbox);
    let outbox = Outbox::open(Arc::clone(&store) as _, vec![Arc::new(sink)], options, clock(100)).unwrap();
    Life { store, outbox, mailbox }
}

#[tokio::test]
async fn an_alert_is_tried_until_it_is_taken_and_then_gone() {
    let disk = Arc::default();
    let sink = TestSink::new("ops", &Crash::never());
    *sink.answers.lock().unwrap() = vec![retry("a"), retry("b"), retry("c")];
    let Life { outbox, mailbox, .. } = life(&disk, quick(), sink);
    outbox.commit(Batch::new(), &[alarm_alert(1), alarm_alert(2), alarm_alert(1)]).unwrap();
    let workers = outbox.start();
    until("both are delivered", || outbox.stats()[0].delivered_total == 2).await;
    let mut got = ids(&mailbox);
    got.sort();
    assert_eq!(got, ["t1-1-in", "t2-1-in"]);
    assert_eq!((outbox.stats()[0].retried_total, outbox.stats()[0].waiting), (3, 0));
    assert_eq!(disk.keys(Table::Outbox), [""; 0]);
    workers.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_is_refused_or_tried_too_often_is_a_dead_letter_that_can_be_retried() {
    let disk = Arc::default();
    let sink = TestSink::new("ops", &Crash::never());
    let refused = Err(DeliveryError::Refused { reason: "too odd".into() });
    *sink.answers.lock().unwrap() = vec![refused, retry("away"), retry("away")];
    let options = OutboxOptions { attempts_max: 2, in_flight_max: 1, ..quick() };
    let Life { outbox, mailbox, .. } = life(&disk, options, sink);
    let workers = outbox.start();
    outbox.commit(Batch::new(), &[alarm_alert(1), alarm_alert(2)]).unwrap();
    until("both are given up", || outbox.stats()[0].given_up_total == 2).await;
    let letters = outbox.dead_letters(10).unwrap();
    let shown: Vec<_> = letters.iter().map(|l| (l.alert.id(), l.attempts, l.reason.as_str())).collect();
    assert_eq!(shown, [("t1-1-in", 1, "too odd"), ("t2-1-in", 2, "given up after 2 attempts; last: away")]);
    outbox.retry_dead_letter("ops", "t2-1-in").unwrap();
    until("it is delivered", || ids(&mailbox) == ["t2-1-in"]).await;
    assert_eq!(outbox.dead_letter_counts(), (1, 0));
    assert_eq!(
        outbox.retry_dead_letter("ops", "t2-1-in").unwrap_err().to_string(),
        "sink `ops` has no dead letter `t2-1-in`"
    );
    assert_eq!(outbox.retry_dead_letter("x", "y").unwrap_err().to_string(), "no sink is named `x`");
    workers.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_old_alert_is_given_up_only_after_an_attempt() {
    let disk = Arc::default();
    let options = OutboxOptions { age_max_secs: 10, ..quick() };
    let before = life(&disk, options, TestSink::new("ops", &Crash::never()));
    before.outbox.commit(Batch::new(), &[alarm_alert(1), alarm_alert(2)]).unwrap();
    drop(before);
    let sink = TestSink::new("ops", &Crash::never());
    *sink.answers.lock().unwrap() = vec![retry("away")];
    let (store, mailbox) = (LifeStore::new(&disk, &sink.crash), Arc::clone(&sink.mailbox));
    // The machine was off for a day.
    let outbox = Outbox::open(store, vec![Arc::new(sink)], options, clock(86_500)).unwrap();
    let _workers = outbox.start();
    until("one is delivered and one given up", || {
        let stats = &outbox.stats()[0];
        (stats.delivered_total, stats.given_up_total) == (1, 1)
    })
    .await;
    assert_eq!(ids(&mailbox).len(), 1);
}

#[test]
fn a_full_outbox_gives_up_notices_first_then_the_oldest_alarms() {
    let disk = Arc::default();
    let options = OutboxOptions { waiting_max: 3, dead_letters_max: 3, ..quick() };
    let Life { outbox, .. } = life(&disk, options, TestSink::new("ops", &Crash::never()));
    let commit = |alert| outbox.commit(Batch::new(), &[alert]).unwrap();
    commit(alarm_alert(1));
    commit(notice_alert(1));
    commit(alarm_alert(2));
    commit(alarm_alert(3));
    let dead =
        || outbox.dead_letters(10).unwrap().iter().map(|l| l.alert.id().to_owned()).collect::<Vec<_>>();
    assert_eq!(dead(), [notice_alert(1).id()]);
    commit(alarm_alert(4));
    assert_eq!(dead()[1..], ["t1-1-in"]);
    commit(alarm_alert(5));
    commit(alarm_alert(6));
    assert_eq!(dead(), ["t1-1-in", "t2-1-in", "t3-1-in"]);
    assert_eq!(outbox.dead_letter_counts(), (3, 1));
    let stats = &outbox.stats()[0];
    assert_eq!((stats.waiting, stats.overflowed_total, stats.given_up_total), (3, 4, 4));
    assert_eq!(disk.keys(Table::Outbox), ["ops/t4-1-in", "ops/t5-1-in", "ops/t6-1-in"]);
    assert_eq!(disk.keys(Table::DeadLetters).len(), 3);
}

#[test]
fn more_in_one_commit_than_there_are_places_is_bounded_by_the_next() {
    let disk = Arc::default();
    let options = OutboxOptions { waiting_max: 3, ..quick() };
    let Life { outbox, .. } = life(&disk, options, TestSink::new("ops", &Crash::never()));
    let many: Vec<_> = (0..10).map(alarm_alert).collect();
    outbox.commit(Batch::new(), &many).unwrap();
    // Those of one commit are not given up before they were tried once.
    assert_eq!(outbox.stats()[0].waiting, 10);
    outbox.commit(Batch::new(), &[alarm_alert(11)]).unwrap();
    assert_eq!(outbox.stats()[0].waiting, 3);
    assert_eq!(outbox.dead_letter_counts(), (8, 0));
}

#[test]
fn what_cannot_be_committed_did_not_enter() {
    let disk = Arc::default();
    let Life { outbox, store, .. } = life(&disk, quick(), TestSink::new("ops", &Crash::never()));
    store.failing.store(1, SeqCst);
    let mut batch = Batch::new();
    batch.put(Table::Transitions, b"t".to_vec(), b"x".to_vec());
    outbox.commit(batch.clone(), &[alarm_alert(1)]).unwrap_err();
    assert_eq!((outbox.stats()[0].waiting, disk.keys(Table::Transitions).len()), (0, 0));
    outbox.commit(batch, &[alarm_alert(1)]).unwrap();
    assert_eq!((outbox.stats()[0].waiting, disk.keys(Table::Transitions).len()), (1, 1));
}

#[test]
fn a_sink_gets_what_it_wants() {
    let disk = Arc::default();
    let sink = TestSink { alarms_only: true, ..TestSink::new("ops", &Crash::never()) };
    let Life { outbox, .. } = life(&disk, quick(), sink);
    outbox.commit(Batch::new(), &[notice_alert(1), alarm_alert(1)]).unwrap();
    assert_eq!(disk.keys(Table::Outbox), ["ops/t1-1-in"]);
}

#[tokio::test]
async fn a_sink_that_was_taken_away_finds_its_alerts_when_it_is_back() {
    let disk = Arc::default();
    life(&disk, quick(), TestSink::new("a", &Crash::never()))
        .outbox
        .commit(Batch::new(), &[alarm_alert(1)])
        .unwrap();
    let other = life(&disk, quick(), TestSink::new("ab", &Crash::never()));
    assert_eq!(other.outbox.stats()[0].waiting, 0);
    drop(other);
    let back = life(&disk, quick(), TestSink::new("a", &Crash::never()));
    let _workers = back.outbox.start();
    until("it is delivered", || ids(&back.mailbox) == ["t1-1-in"]).await;
}

#[tokio::test]
async fn one_alert_that_breaks_the_sink_does_not_stop_the_others() {
    let disk = Arc::default();
    let sink = TestSink { panics_on: Some("t0-1-in".into()), ..TestSink::new("ops", &Crash::never()) };
    let options = OutboxOptions { attempts_max: 3, ..quick() };
    let Life { outbox, mailbox, .. } = life(&disk, options, sink);
    outbox.commit(Batch::new(), &(0..5).map(alarm_alert).collect::<Vec<_>>()).unwrap();
    let _workers = outbox.start();
    until("all are settled", || outbox.stats()[0].waiting == 0).await;
    assert_eq!(ids(&mailbox).len(), 4);
    let letters = outbox.dead_letters(10).unwrap();
    assert_eq!(letters[0].reason, "given up after 3 attempts; last: the sink stopped unexpectedly");
}

#[tokio::test]
async fn a_pause_that_the_receiver_asks_for_holds_all_alerts_back() {
    let disk = Arc::default();
    let sink = TestSink::new("ops", &Crash::never());
    let busy = DeliveryError::Retry { reason: "429".into(), after: Some(Duration::from_millis(300)) };
    *sink.answers.lock().unwrap() = vec![Err(busy)];
    let options = OutboxOptions { in_flight_max: 1, ..quick() };
    let Life { outbox, mailbox, .. } = life(&disk, options, sink);
    let begin = Instant::now();
    outbox.commit(Batch::new(), &[alarm_alert(1), alarm_alert(2)]).unwrap();
    let _workers = outbox.start();
    until("one is delivered", || !ids(&mailbox).is_empty()).await;
    // A lower bound of a pause that was asked for, not a measure of speed.
    assert!(begin.elapsed() >= Duration::from_millis(300));
    until("both are delivered", || ids(&mailbox).len() == 2).await;
}

/// The process dies at each point of entering and delivering; the next life delivers what
/// was entered, under the same ids.
#[tokio::test]
async fn a_crash_at_any_point_loses_no_alert() {
    for point in 0.. {
        let disk = Arc::default();
        let crash = Crash::at(point);
        let sink = TestSink::new("ops", &crash);
        *sink.answers.lock().unwrap() = vec![Ok(()), retry("away")];
        let first = life(&disk, quick(), sink);
        let alerts = [alarm_alert(1), notice_alert(2)];
        let entered = first.outbox.commit(Batch::new(), &alerts).is_ok();
        let workers = first.outbox.start();
        until("it crashed or all is done", || crash.happened() || first.outbox.stats()[0].waiting == 0).await;
        let survived = !crash.happened();
        drop(workers);

        let second = life(&disk, quick(), TestSink::new("ops", &Crash::never()));
        let _workers = second.outbox.start();
        until("nothing waits", || second.outbox.stats()[0].waiting == 0).await;
        let got: Vec<_> = ids(&first.mailbox).into_iter().chain(ids(&second.mailbox)).collect();
        for alert in &alerts {
            let times = got.iter().filter(|id| *id == alert.id()).count();
            assert!(!entered || (1..=2).contains(&times), "crash at {point}: {got:?}");
        }
        assert_eq!(disk.keys(Table::Outbox), [""; 0]);
        if survived {
            assert!(point > 8, "there are points to crash at: {point}");
            return;
        }
    }
}
