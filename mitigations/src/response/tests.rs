use std::{path::Path, sync::atomic::Ordering::SeqCst};

use super::*;
use crate::{
    alarm::tests::{alarm, cleared},
    alert::NoticeKind,
    guard::tests::rules,
    log::verify_log,
    outbox::OutboxOptions,
    testing::{Broker, Crash, Disk, LifeStore, Link, Mailbox, TestSink, clock, ids, until},
};

const QUARANTINE: &str = "acting = true\nrules = [{ action = \"quarantine\", undo_on_clear = true }]\n";

fn quick() -> ExecutorOptions {
    ExecutorOptions {
        retry_first_ms: 1,
        verify_pause_ms: 1,
        verify_tries_max: 3,
        ..ExecutorOptions::default()
    }
}

/// The world outside the process: it outlives every crash.
struct World {
    disk: Arc<Disk>,
    broker: Arc<Broker>,
    folder: tempfile::TempDir,
    mailbox: Mailbox,
}

impl World {
    fn new() -> Self {
        Self {
            disk: Arc::default(),
            broker: Arc::default(),
            folder: tempfile::tempdir().unwrap(),
            mailbox: Mailbox::default(),
        }
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("actions.log")
    }

    fn live(&self, crash: &Arc<Crash>, options: &str) -> Life {
        self.live_with(crash, options, quick(), |link| link)
    }

    fn live_with(
        &self,
        crash: &Arc<Crash>,
        options: &str,
        executor: ExecutorOptions,
        change: impl FnOnce(Link) -> Link,
    ) -> Life {
        let store = LifeStore::new(&self.disk, crash);
        let sink = TestSink { mailbox: Arc::clone(&self.mailbox), ..TestSink::new("ops", crash) };
        let clock = clock(1000);
        let outbox = Outbox::open(
            Arc::clone(&store) as _,
            vec![Arc::new(sink)],
            OutboxOptions::default(),
            Arc::clone(&clock),
        );
        let outbox = outbox.unwrap();
        let link = Arc::new(change(Link::new(&self.broker, crash)));
        let parts = Parts {
            store: Arc::clone(&store) as _,
            outbox: Arc::clone(&outbox),
            control: Arc::clone(&link) as _,
            groups: Arc::clone(&link) as _,
            clock,
            log: self.log(),
            incidents: IncidentOptions::default(),
        };
        let response = Response::open(parts, rules(options), executor).unwrap();
        Life { store, outbox, response, link }
    }

    fn quarantined(&self) -> Vec<String> {
        self.broker.quarantined.lock().unwrap().iter().cloned().collect()
    }

    fn groups(&self) -> Vec<String> {
        self.broker
            .groups
            .lock()
            .unwrap()
            .iter()
            .map(|(thing, group)| format!("{thing} in {group}"))
            .collect()
    }

    fn calls(&self) -> Vec<String> {
        self.broker.calls.lock().unwrap().clone()
    }

    fn notices(&self) -> Vec<NoticeKind> {
        let mailbox = self.mailbox.lock().unwrap();
        let mut kinds: Vec<_> = mailbox
            .iter()
            .filter_map(|alert| match alert {
                Alert::Notice(notice) => Some(notice.kind),
                Alert::Alarm(_) | Alert::Incident(_) | Alert::Coverage(_) => None,
            })
            .collect();
        kinds.sort();
        kinds
    }

    /// The log holds together, up to the line that the store remembers.
    fn check_log(&self, store: &LifeStore) {
        let head = store.get(Table::Meta, LOG_HEAD_KEY).unwrap();
        let head: Option<Head> = head.map(|head| serde_json::from_slice(&head).unwrap());
        if Path::exists(&self.log()) {
            verify_log(&self.log(), head.as_ref()).unwrap();
        }
    }
}

struct Life {
    store: Arc<LifeStore>,
    outbox: Arc<Outbox>,
    response: Arc<Response>,
    link: Arc<Link>,
}

impl Life {
    fn answer(&self, alarms: &[Alarm]) -> Answered {
        self.response.answer(Batch::new(), alarms).unwrap()
    }

    fn id(&self, alarm: &Alarm) -> TaskId {
        TaskId::derive(&alarm.violation_id, "quarantine")
    }

    fn state(&self, alarm: &Alarm) -> String {
        self.response
            .task(&self.id(alarm))
            .unwrap()
            .map_or("none".into(), |task| task.state.name().to_owned())
    }

    async fn becomes(&self, alarm: &Alarm, state: &str) {
        until(&format!("the task is {state}"), || self.state(alarm) == state).await;
    }

    async fn delivered(&self) {
        until("all alerts are delivered", || self.outbox.stats()[0].waiting == 0).await;
    }
}

#[tokio::test]
async fn an_alarm_becomes_a_proved_quarantine_and_is_undone_when_it_clears() {
    let world = World::new();
    let life = world.live(&Crash::never(), QUARANTINE);
    let (_run, _workers) = (life.response.start(), life.outbox.start());
    let alarm = alarm("pump", 900);
    assert_eq!(life.answer(std::slice::from_ref(&alarm)), Answered { acting: 1, ..Answered::default() });
    life.becomes(&alarm, "verified").await;
    assert_eq!(world.quarantined(), ["pump"]);
    assert_eq!(world.groups(), ["pump in quarantine"]);
    assert_eq!(world.calls(), ["prepare pump", "quarantine pump", "verify pump"]);
    // A repeated alarm changes nothing.
    assert_eq!(life.answer(std::slice::from_ref(&alarm)), Answered::default());
    assert_eq!(life.answer(&[cleared(&alarm, 60)]).undoing, 1);
    life.becomes(&alarm, "undone").await;
    assert_eq!((world.quarantined(), world.groups()), (vec![], vec![]));
    life.delivered().await;
    assert_eq!(world.notices(), [NoticeKind::Done, NoticeKind::Undone]);
    assert!(ids(&world.mailbox).contains(&alarm.id));
    assert_eq!(life.response.active(), []);
    world.check_log(&life.store);
}

#[tokio::test]
async fn a_group_that_the_thing_was_in_before_is_kept() {
    let world = World::new();
    world.broker.groups.lock().unwrap().insert(("pump".into(), "quarantine".parse().unwrap()));
    let life = world.live(&Crash::never(), QUARANTINE);
    let _run = life.response.start();
    let alarm = alarm("pump", 900);
    life.answer(std::slice::from_ref(&alarm));
    life.becomes(&alarm, "verified").await;
    life.response.undo(&life.id(&alarm)).unwrap();
    life.becomes(&alarm, "undone").await;
    assert_eq!(world.groups(), ["pump in quarantine"]);
    assert_eq!(
        life.response.undo(&life.id(&alarm)).unwrap_err().to_string(),
        format!("task `{}` is undone; only what is under way or in effect can be undone", life.id(&alarm))
    );
    let unknown = TaskId::derive("x", "y");
    assert_eq!(
        life.response.undo(&unknown).unwrap_err().to_string(),
        format!("no task has the id `{unknown}`")
    );
}

#[tokio::test]
async fn dry_run_touches_nothing_and_says_so_once() {
    let world = World::new();
    let life = world.live(&Crash::never(), "rules = [{ action = \"quarantine\" }]");
    let (_run, _workers) = (life.response.start(), life.outbox.start());
    let alarms: Vec<_> = (0..20).map(|n| alarm(&format!("t{n}"), 900)).collect();
    assert_eq!(life.answer(&alarms), Answered { dry_run: 10, held: 10, ..Answered::default() });
    life.delivered().await;
    assert_eq!(world.calls(), [""; 0]);
    assert_eq!(world.notices(), [NoticeKind::Held, NoticeKind::DryRun]);
    assert_eq!(life.response.tasks(Timestamp::MIN, 100).unwrap().len(), 20);
}

#[tokio::test]
async fn ten_thousand_things_going_wrong_together_are_not_taken_down() {
    let world = World::new();
    let life = world.live(&Crash::never(), QUARANTINE);
    let _run = life.response.start();
    let alarms: Vec<_> = (0..10_000).map(|n| alarm(&format!("t{n:05}"), 900)).collect();
    let mut sum = Answered::default();
    for some in alarms.chunks(ALARMS_MAX) {
        let answered = life.answer(some);
        sum.acting += answered.acting;
        sum.held += answered.held;
    }
    assert_eq!((sum.acting, sum.held), (10, 9_990));
    until("ten are verified", || {
        let active = life.response.active();
        active.len() == 10 && active.iter().all(|task| task.state.name() == "verified")
    })
    .await;
    assert_eq!(world.quarantined().len(), 10);
    let held = world.disk.keys(Table::Tasks).iter().filter(|key| key.starts_with("t/")).count();
    assert_eq!(held, 10_000);
    // 10,000 alarms, one notice that actions were held, ten that they were done.
    let stats = &life.outbox.stats()[0];
    assert_eq!(stats.waiting, 10_000, "the bound of the outbox");
    assert_eq!(stats.overflowed_total, 11, "the notices and none of the alarms made room");
    assert_eq!(
        life.response.answer(Batch::new(), &alarms).unwrap_err().to_string(),
        "10000 alarms in one call; allowed are up to 1000"
    );
    world.check_log(&life.store);
}

#[tokio::test]
async fn a_thing_stays_in_quarantine_until_its_last_violation_clears() {
    let world = World::new();
    let life = world.live(&Crash::never(), QUARANTINE);
    let _run = life.response.start();
    let (first, second) = (alarm("pump", 900), alarm("pump", 901));
    life.answer(std::slice::from_ref(&first));
    life.becomes(&first, "verified").await;
    assert_eq!(life.answer(std::slice::from_ref(&second)).held, 1);
    assert_eq!(life.answer(&[cleared(&first, 5)]).undoing, 0);
    // Also when the process was restarted in between.
    drop(_run);
    drop(life);
    let life = world.live(&Crash::never(), QUARANTINE);
    let _run = life.response.start();
    assert_eq!(world.quarantined(), ["pump"]);
    assert_eq!(life.answer(&[cleared(&second, 5)]).undoing, 1);
    life.becomes(&first, "undone").await;
    assert_eq!(world.quarantined(), [""; 0]);
}

#[tokio::test]
async fn a_violation_that_ends_without_a_verdict_releases_nothing() {
    let world = World::new();
    let life = world.live(&Crash::never(), QUARANTINE);
    let _run = life.response.start();
    let alarm = alarm("pump", 900);
    life.answer(std::slice::from_ref(&alarm));
    life.becomes(&alarm, "verified").await;
    let ended = Alarm { kind: AlarmKind::AlarmInvalidated, ..cleared(&alarm, 5) };
    assert_eq!(life.answer(&[ended]).undoing, 0);
    life.response.undo(&life.id(&alarm)).unwrap();
    life.becomes(&alarm, "undone").await;
}

#[tokio::test]
async fn two_actions_on_one_thing_are_undone_to_what_was_before_both() {
    let world = World::new();
    let options = "acting = true\nlimits = { cool_down_secs = 0 }\nrules = [{ action = \"quarantine\" }, { action = \"q2\", behavior = \"loud\" }]";
    let life = world.live(&Crash::never(), options);
    let _run = life.response.start();
    let first = alarm("pump", 900);
    let second = Alarm { behavior: "loud".into(), ..alarm("pump", 901) };
    life.answer(std::slice::from_ref(&first));
    life.becomes(&first, "verified").await;
    life.answer(std::slice::from_ref(&second));
    let other = TaskId::derive(&second.violation_id, "q2");
    let state = |id: &TaskId| life.response.task(id).unwrap().unwrap().state.name();
    until("the second is verified", || state(&other) == "verified").await;
    life.response.undo(&life.id(&first)).unwrap();
    life.becomes(&first, "undone").await;
    assert_eq!(
        (world.quarantined(), world.groups()),
        (vec!["pump".to_owned()], vec!["pump in q2".to_owned()])
    );
    life.response.undo(&other).unwrap();
    until("the second is undone", || state(&other) == "undone").await;
    assert_eq!((world.quarantined(), world.groups()), (vec![], vec![]));
    assert_eq!(world.calls().iter().filter(|call| call.starts_with("prepare")).count(), 1);
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for_within_the_limit() {
    let world = World::new();
    let life = world.live(&Crash::never(), QUARANTINE);
    life.link.away.store(5, SeqCst);
    let _run = life.response.start();
    let here = alarm("pump", 900);
    life.answer(std::slice::from_ref(&here));
    life.becomes(&here, "verified").await;
    drop(_run);
    let life = world.live_with(
        &Crash::never(),
        QUARANTINE,
        ExecutorOptions { step_secs_max: 0, ..quick() },
        |link| link,
    );
    life.link.away.store(i64::MAX, SeqCst);
    let (_run, _workers) = (life.response.start(), life.outbox.start());
    let gone = alarm("fan", 900);
    life.answer(std::slice::from_ref(&gone));
    life.becomes(&gone, "failed").await;
    let task = life.response.task(&life.id(&gone)).unwrap().unwrap();
    assert_eq!(
        serde_json::to_value(&task.state).unwrap(),
        serde_json::json!({"name": "failed", "during": "preparing", "error": "the broker cannot be reached: connection refused (1 attempts)"})
    );
    assert!(!task.is_active(), "nothing was done, so nothing is in effect");
    life.delivered().await;
    assert!(world.notices().contains(&NoticeKind::Failed));
}

#[tokio::test]
async fn what_the_broker_refuses_or_breaks_on_failed_and_is_told() {
    let cases = [
        (
            "refused",
            (|link| Link { refuses: true, ..link }) as fn(Link) -> Link,
            "the broker refused: no rights",
        ),
        ("panicked", |link| Link { panics: true, ..link }, "the step stopped unexpectedly; see the log"),
    ];
    for (what, change, expected) in cases {
        let world = World::new();
        let life = world.live_with(&Crash::never(), QUARANTINE, quick(), change);
        let (_run, _workers) = (life.response.start(), life.outbox.start());
        let alarm = alarm("pump", 900);
        life.answer(std::slice::from_ref(&alarm));
        life.becomes(&alarm, "failed").await;
        let task = life.response.task(&life.id(&alarm)).unwrap().unwrap();
        assert!(matches!(task.state, TaskState::Failed { error, .. } if error == expected), "{what}");
        life.delivered().await;
        assert_eq!(world.notices(), [NoticeKind::Failed], "{what}");
    }
}

#[tokio::test]
async fn an_action_without_effect_is_not_believed() {
    let world = World::new();
    let life = world.live_with(&Crash::never(), QUARANTINE, quick(), |link| Link { powerless: true, ..link });
    let (_run, _workers) = (life.response.start(), life.outbox.start());
    let alarm = alarm("pump", 900);
    life.answer(std::slice::from_ref(&alarm));
    life.becomes(&alarm, "not-held").await;
    life.delivered().await;
    assert_eq!(world.notices(), [NoticeKind::NotHeld]);
    assert_eq!(world.calls().iter().filter(|call| *call == "verify pump").count(), 3);
}

#[tokio::test]
async fn a_quarantined_thing_that_acts_again_is_told_once() {
    let world = World::new();
    let life = world.live(&Crash::never(), QUARANTINE);
    let (_run, _workers) = (life.response.start(), life.outbox.start());
    let alarm = alarm("pump", 900);
    life.answer(std::slice::from_ref(&alarm));
    life.becomes(&alarm, "verified").await;
    until("it is watched", || life.response.is_watched("pump")).await;
    assert!(!life.response.is_watched("fan"));
    life.response.watched("pump", "publish to `a/b`", Timestamp::from_secs(999)).unwrap();
    assert_eq!(life.state(&alarm), "verified", "what it did before does not count");
    for _ in 0..3 {
        life.response.watched("pump", "publish to `a/b`", Timestamp::from_secs(2000)).unwrap();
    }
    life.becomes(&alarm, "not-held").await;
    until("it is no longer watched", || !life.response.is_watched("pump")).await;
    life.delivered().await;
    assert_eq!(world.notices(), [NoticeKind::Done, NoticeKind::NotHeld]);
}

#[tokio::test]
async fn a_task_whose_alarm_clears_before_it_began_is_never_done() {
    let world = World::new();
    let life = world.live(&Crash::never(), QUARANTINE);
    let alarm = alarm("pump", 900);
    life.answer(&[alarm.clone(), cleared(&alarm, 1)]);
    let (_run, _workers) = (life.response.start(), life.outbox.start());
    life.becomes(&alarm, "undone").await;
    life.delivered().await;
    assert_eq!((world.calls(), world.notices()), (vec![], vec![]));
}

#[tokio::test]
async fn old_records_make_room_and_active_ones_stay() {
    let world = World::new();
    let options = format!("tasks_kept_max = 5\nlimits = {{ things_max = 1 }}\n{QUARANTINE}");
    let life = world.live(&Crash::never(), &options);
    for n in 0..20 {
        life.answer(&[alarm(&format!("t{n}"), 900)]);
    }
    let kept = life.response.tasks(Timestamp::MIN, 100).unwrap();
    let things: Vec<_> = kept.iter().map(|task| task.thing.as_str()).collect();
    assert_eq!(things, ["t0", "t16", "t17", "t18", "t19"]);
    assert_eq!(world.disk.keys(Table::Tasks).len(), 10);
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_loses_nothing_and_acts_once() {
    let world = World::new();
    let life = world.live(&Crash::never(), QUARANTINE);
    let alarm = alarm("pump", 900);
    life.store.failing.store(1, SeqCst);
    life.response.answer(Batch::new(), std::slice::from_ref(&alarm)).unwrap_err();
    assert_eq!(life.state(&alarm), "none");
    // The decision that was not recorded does not count against the limits.
    assert_eq!(life.answer(std::slice::from_ref(&alarm)).acting, 1);
    life.store.failing.store(1, SeqCst);
    let _run = life.response.start();
    life.becomes(&alarm, "verified").await;
    assert_eq!(world.broker.doubled.load(SeqCst), 0);
    world.check_log(&life.store);
}

/// The process dies before and after every commit, every call of the broker and of the
/// registry, and every delivery; the next life carries on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_does_nothing_twice_and_loses_nothing() {
    for point in 0.. {
        let world = World::new();
        let crash = Crash::at(point);
        let first = world.live(&crash, QUARANTINE);
        let (run, workers) = (first.response.start(), first.outbox.start());
        let alarm = alarm("pump", 900);
        let clear = cleared(&alarm, 60);
        story(&first, &crash, &alarm, &clear).await;
        let survived = !crash.happened();
        drop((run, workers, first));

        let life = world.live(&Crash::never(), QUARANTINE);
        let (_run, _workers) = (life.response.start(), life.outbox.start());
        // What caused the alarms is told again unless it was committed with them.
        story(&life, &Crash::never(), &alarm, &clear).await;
        life.delivered().await;
        assert_eq!(world.broker.doubled.load(SeqCst), 0, "crash at {point}: {:?}", world.calls());
        assert_eq!((world.quarantined(), world.groups()), (vec![], vec![]), "crash at {point}");
        let got = ids(&world.mailbox);
        for id in [&alarm.id, &clear.id] {
            assert!(got.contains(id), "crash at {point}: {got:?}");
        }
        let mut kinds = world.notices();
        kinds.dedup();
        assert_eq!(kinds, [NoticeKind::Done, NoticeKind::Undone], "crash at {point}");
        world.check_log(&life.store);
        if survived {
            assert!(point > 30, "there are points to crash at: {point}");
            return;
        }
    }
}

/// Alarm, quarantine, clear, release: each told once, in one commit with its cause.
async fn story(life: &Life, crash: &Crash, alarm: &Alarm, clear: &Alarm) {
    let told = |alarm: &Alarm| {
        if life.store.get(Table::Transitions, alarm.id.as_bytes()).unwrap().is_none() {
            let mut cause = Batch::new();
            cause.put(Table::Transitions, alarm.id.as_bytes(), b"x".to_vec());
            let outcome = life.response.answer(cause, std::slice::from_ref(alarm));
            assert!(outcome.is_ok() || crash.happened());
        }
    };
    told(alarm);
    let settled = |state: &str| {
        let now = life.state(alarm);
        crash.happened() || now == state || now == "undone"
    };
    until("it is verified", || settled("verified")).await;
    if !crash.happened() {
        told(clear);
    }
    until("it is undone", || settled("undone")).await;
    if !crash.happened() {
        until("all is delivered", || crash.happened() || life.outbox.stats()[0].waiting == 0).await;
    }
}

/// Answers and stores alarms as the recorder does, and lets them be delivered.
async fn answer_all(life: &Life, alarms: &[Alarm]) {
    for chunk in alarms.chunks(ALARMS_MAX) {
        let mut batch = Batch::new();
        for alarm in chunk {
            batch.put(Table::Transitions, alarm.id.as_bytes(), alarm.behavior.as_bytes());
        }
        life.response.answer(batch, chunk).unwrap();
        life.delivered().await;
    }
}

/// Ten thousand devices alarm at once and are well again later: a handful of messages, and every
/// alarm in the store's batch and in one incident.
#[tokio::test]
async fn a_fault_of_the_whole_fleet_is_a_handful_of_messages() {
    let world = World::new();
    let life = world.live(&Crash::never(), "");
    let _workers = life.outbox.start();
    let alarms: Vec<Alarm> = (0..10_000).map(|n| alarm(&format!("pump-{n}"), 900 + n / 1000)).collect();
    answer_all(&life, &alarms).await;
    // The clock of the test gains a millisecond with each look: more than the ten seconds of gathering.
    life.response.tell_incidents(Timestamp::from_secs(910)).unwrap();
    life.response.tell_incidents(Timestamp::from_secs(911)).unwrap();
    life.delivered().await;
    assert_eq!(world.mailbox.lock().unwrap().iter().filter(|alert| !alert.is_gathered()).count(), 3 + 1);
    let cleared: Vec<Alarm> = alarms.iter().map(|alarm| cleared(alarm, 100)).collect();
    answer_all(&life, &cleared).await;
    life.response.tell_incidents(Timestamp::from_secs(910 + 300)).unwrap();
    life.delivered().await;
    assert_eq!(world.disk.keys(Table::Transitions).len(), 20_000, "nothing is lost");
    let mailbox = world.mailbox.lock().unwrap();
    let told: Vec<&Alert> = mailbox.iter().filter(|alert| !alert.is_gathered()).collect();
    // Three alarms and their ends one by one, and two messages for the other 9,997 and their ends.
    assert_eq!(told.len(), 8, "{told:?}");
    let Some(Alert::Incident(last)) = told.last() else { panic!("{told:?}") };
    assert_eq!(
        (last.incident.alarms, last.incident.most_open, last.incident.gathered),
        (10_000, 10_000, 9_997)
    );
    // Programs that want every alarm get every alarm.
    assert_eq!(mailbox.iter().filter(|alert| matches!(alert, Alert::Alarm(_))).count(), 20_000);
    assert_eq!(world.disk.keys(Table::Incidents).len(), 1, "no membership is left behind");
}
