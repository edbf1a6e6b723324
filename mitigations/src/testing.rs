//! Stand-ins for store, broker, registry and sinks, and crashes at every point of their use.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use fleet::{
    ids::GroupName,
    store::{Batch, Engine, Entry, KeyRange, Op, Store, StoreError, Table},
    time::Timestamp,
};

use crate::{
    alert::Alert,
    control::{BoxFuture, Check, Control, ControlError, Subject, Undo},
    outbox::Clock,
    response::GroupChange,
    sink::{DeliveryError, Sink},
};

/// A place where the process may die. All parties of a test share one.
#[derive(Debug, Default)]
pub(crate) struct Crash {
    passed: AtomicUsize,
    at: Option<usize>,
    dead: AtomicBool,
}

impl Crash {
    pub(crate) fn at(point: usize) -> Arc<Self> {
        Arc::new(Self { at: Some(point), ..Self::default() })
    }

    pub(crate) fn never() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn happened(&self) -> bool {
        self.dead.load(SeqCst)
    }

    /// Passes one point; true when the process is dead from here on.
    fn dies(&self) -> bool {
        let passed = self.passed.fetch_add(1, SeqCst);
        if self.at.is_some_and(|at| passed >= at) {
            self.dead.store(true, SeqCst);
        }
        self.happened()
    }

    /// What a dead process does: nothing, for ever.
    async fn point(&self) {
        if self.dies() {
            std::future::pending::<()>().await;
        }
    }
}

/// Tables in memory that outlive the crash of their user.
#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<Data>);

type Data = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

impl Disk {
    pub(crate) fn keys(&self, table: Table) -> Vec<String> {
        let data = self.0.lock().unwrap();
        let of = data.keys().filter(|(other, _)| *other == table);
        of.map(|(_, key)| String::from_utf8_lossy(key).replace('\0', "/")).collect()
    }
}

/// The store of one life of the process.
#[derive(Debug)]
pub(crate) struct LifeStore {
    pub(crate) disk: Arc<Disk>,
    pub(crate) crash: Arc<Crash>,
    /// The next so many commits fail although the process lives on.
    pub(crate) failing: AtomicUsize,
}

impl LifeStore {
    pub(crate) fn new(disk: &Arc<Disk>, crash: &Arc<Crash>) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(disk), crash: Arc::clone(crash), failing: AtomicUsize::new(0) })
    }
}

fn failed() -> StoreError {
    let source = "no space left on device".into();
    StoreError::Engine { engine: Engine::Redb, doing: "commit", source }
}

impl Store for LifeStore {
    fn engine(&self) -> Engine {
        Engine::Redb
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.disk.0.lock().unwrap().get(&(table, key.to_vec())).cloned())
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if self.failing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(failed());
        }
        if self.crash.dies() {
            return Err(failed());
        }
        let mut data = self.disk.0.lock().unwrap();
        for op in &batch.ops {
            match op {
                Op::Put { table, key, value } => data.insert((*table, key.clone()), value.clone()),
                Op::Delete { table, key } => data.remove(&(*table, key.clone())),
            };
        }
        // On disk, but the process dies before it learns of it.
        if self.crash.dies() { Err(failed()) } else { Ok(()) }
    }

    fn scan(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let data = self.disk.0.lock().unwrap();
        let from = data.range((table, range.start.clone())..);
        let within = from.take_while(|((other, key), _)| {
            *other == table && range.end.as_ref().is_none_or(|end| key < end)
        });
        Ok(within.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}

/// A broker that remembers across crashes what was done to it.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    pub(crate) quarantined: Mutex<BTreeSet<String>>,
    /// Every call, in order.
    pub(crate) calls: Mutex<Vec<String>>,
    /// Calls of `quarantine` on what was in quarantine.
    pub(crate) doubled: AtomicUsize,
    pub(crate) groups: Mutex<BTreeSet<(String, GroupName)>>,
}

/// The connection to the broker of one life of the process.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) broker: Arc<Broker>,
    pub(crate) crash: Arc<Crash>,
    /// The next so many calls find the broker away.
    pub(crate) away: AtomicI64,
    pub(crate) refuses: bool,
    pub(crate) powerless: bool,
    pub(crate) panics: bool,
}

impl Link {
    pub(crate) fn new(broker: &Arc<Broker>, crash: &Arc<Crash>) -> Self {
        Self {
            broker: Arc::clone(broker),
            crash: Arc::clone(crash),
            away: AtomicI64::new(0),
            refuses: false,
            powerless: false,
            panics: false,
        }
    }

    async fn call<T>(&self, what: &str, thing: &str, f: impl FnOnce() -> T) -> Result<T, ControlError> {
        self.crash.point().await;
        if self.away.fetch_sub(1, SeqCst) > 0 {
            return Err(ControlError::Unavailable("connection refused".into()));
        }
        if self.refuses {
            return Err(ControlError::Refused("no rights".into()));
        }
        assert!(!self.panics, "a bug in the adapter");
        self.broker.calls.lock().unwrap().push(format!("{what} {thing}"));
        let result = f();
        self.crash.point().await;
        Ok(result)
    }
}

impl Control for Link {
    fn name(&self) -> &str {
        "test broker"
    }

    fn prepare<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Result<Undo, ControlError>> {
        Box::pin(self.call("prepare", &subject.thing, || {
            let inside = self.broker.quarantined.lock().unwrap().contains(&subject.thing);
            Undo(serde_json::json!({ "wasQuarantined": inside }))
        }))
    }

    fn quarantine<'a>(
        &'a self,
        subject: &'a Subject,
        _undo: &'a Undo,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(self.call("quarantine", &subject.thing, || {
            if !self.powerless && !self.broker.quarantined.lock().unwrap().insert(subject.thing.clone()) {
                self.broker.doubled.fetch_add(1, SeqCst);
            }
        }))
    }

    fn verify<'a>(
        &'a self,
        subject: &'a Subject,
        _undo: &'a Undo,
    ) -> BoxFuture<'a, Result<Vec<Check>, ControlError>> {
        Box::pin(self.call("verify", &subject.thing, || {
            let held = self.broker.quarantined.lock().unwrap().contains(&subject.thing);
            vec![Check { what: "in quarantine".into(), held, seen: held.to_string() }]
        }))
    }

    fn release<'a>(
        &'a self,
        subject: &'a Subject,
        undo: &'a Undo,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(self.call("release", &subject.thing, || {
            if undo.0.get("wasQuarantined") == Some(&false.into()) {
                self.broker.quarantined.lock().unwrap().remove(&subject.thing);
            }
        }))
    }
}

impl GroupChange for Link {
    fn joined<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
    ) -> BoxFuture<'a, Result<Vec<GroupName>, ControlError>> {
        Box::pin(async move {
            let members = self.broker.groups.lock().unwrap();
            Ok(groups
                .iter()
                .filter(|group| members.contains(&(thing.into(), (*group).clone())))
                .cloned()
                .collect())
        })
    }

    fn add<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
        _override_dynamic: bool,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            self.crash.point().await;
            let mut members = self.broker.groups.lock().unwrap();
            members.extend(groups.iter().map(|group| (thing.to_owned(), group.clone())));
            Ok(())
        })
    }

    fn remove<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            self.crash.point().await;
            self.broker
                .groups
                .lock()
                .unwrap()
                .retain(|(other, group)| other != thing || !groups.contains(group));
            Ok(())
        })
    }
}

/// What reached the people, across crashes.
pub(crate) type Mailbox = Arc<Mutex<Vec<Alert>>>;

/// A sink that answers as it is told to.
#[derive(Debug)]
pub(crate) struct TestSink {
    pub(crate) name: String,
    pub(crate) mailbox: Mailbox,
    pub(crate) crash: Arc<Crash>,
    /// Answers in order; then everything is taken.
    pub(crate) answers: Mutex<Vec<Result<(), DeliveryError>>>,
    pub(crate) alarms_only: bool,
    pub(crate) panics_on: Option<String>,
}

impl TestSink {
    pub(crate) fn new(name: &str, crash: &Arc<Crash>) -> Self {
        Self {
            name: name.into(),
            mailbox: Mailbox::default(),
            crash: Arc::clone(crash),
            answers: Mutex::default(),
            alarms_only: false,
            panics_on: None,
        }
    }
}

impl Sink for TestSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, alert: &Alert) -> bool {
        alert.is_alarm() || !self.alarms_only
    }

    fn deliver<'a>(&'a self, alert: &'a Alert, _now: Timestamp) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            self.crash.point().await;
            assert_ne!(self.panics_on.as_deref(), Some(alert.id()), "a bug in the sink");
            let answer = {
                let mut answers = self.answers.lock().unwrap();
                if answers.is_empty() { Ok(()) } else { answers.remove(0) }
            };
            if answer.is_ok() {
                self.mailbox.lock().unwrap().push(alert.clone());
            }
            self.crash.point().await;
            answer
        })
    }
}

/// Ids of what reached the people, in order.
pub(crate) fn ids(mailbox: &Mailbox) -> Vec<String> {
    mailbox.lock().unwrap().iter().map(|alert| alert.id().to_owned()).collect()
}

/// A clock that starts at `secs` and gains a millisecond with each look.
pub(crate) fn clock(secs: i64) -> Clock {
    let millis = AtomicI64::new(secs * 1000);
    Arc::new(move || Timestamp::from_millis(millis.fetch_add(1, SeqCst)))
}

/// Waits until `done`, at most 20 s.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
