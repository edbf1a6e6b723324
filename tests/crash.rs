//! Killed with SIGKILL at random moments while reports and log lines flow, and started again on the
//! same data: nothing acknowledged is lost, no transition is lost, none is stored twice.
//!
//! `scripts/torture` runs this with 200 kills and prints the figures. `FLEETWARD_TORTURE_KILLS` is the
//! number of kills, `FLEETWARD_TORTURE_SEED` the seed of the moments.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    mosquitto::{Mosquitto, Setup, Who},
    support::{
        Ended, Lines,
        devices::{report, report_topic},
        program::Home,
        truth::{Journaled, assert_same_lines, assert_stored, journaled, replayed, stored},
        until, until_is,
    },
};

const THINGS: [&str; 4] = ["pump-1", "pump-2", "pump-3", "pump-4"];
/// Every second report of each thing is bad, so that every report changes something.
const GOOD: [u16; 1] = [22];
const BAD: [u16; 2] = [22, 4444];
/// Pause between two reports of a thing.
const PACE: Duration = Duration::from_millis(15);

#[expect(clippy::disallowed_methods, reason = "the size of this test comes from the environment")]
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

/// A generator of moments; xorshift64*, since nothing more is needed.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below_millis: u64) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        Duration::from_millis(drawn % below_millis)
    }
}

fn configure(home: &Home, broker: &Mosquitto, snapshot_secs: u32) {
    home.configure(&format!(
        // One segment holds it all, so that snapshots do not delete what the test must read.
        "[journal]\nsegment_mib = 4096\nsnapshot_secs = {snapshot_secs}\n\n\
         [[source.mqtt]]\nname = \"reports\"\nhost = \"127.0.0.1\"\nport = {}\ntls = {{ enabled = false }}\n\n\
         [[source.mosquitto_log]]\nname = \"broker-log\"\npath = \"{}\"\nfrom = \"start\"\ndebug = true\nsubscribe = true\n",
        broker.port,
        broker.file("m.log").display()
    ));
}

/// A device that reports until it is told to stop, through one connection of `mosquitto_pub -l`.
struct Reporter {
    thing: &'static str,
    input: ChildStdin,
    process: Ended,
}

impl Reporter {
    fn start(broker: &Mosquitto, thing: &'static str) -> Self {
        let mut process: Child = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-i", thing, "-l", "-q", "1"])
            .args(["-t", &report_topic(thing)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_pub is installed");
        Self { thing, input: process.stdin.take().unwrap(), process: Ended(process) }
    }

    /// Reports with ids from 1 on; gives the last. Ends once the broker has acknowledged all.
    fn run(mut self, going_on: &AtomicBool) -> (&'static str, u64) {
        let mut id = 0;
        // An even number, so that all is well at the end.
        while going_on.load(Ordering::Relaxed) || id % 2 == 1 {
            id += 1;
            let ports: &[u16] = if id % 2 == 1 { &BAD } else { &GOOD };
            writeln!(self.input, "{}", report(id, ports)).unwrap();
            std::thread::sleep(PACE);
        }
        drop(self.input);
        let status = until("mosquitto_pub is done", || {
            self.process.0.try_wait().unwrap().ok_or_else(|| "running".to_owned())
        });
        assert!(status.success(), "{status}");
        (self.thing, id)
    }
}

/// The answers that the devices got: report ids by thing.
fn accepted(answers: &Lines) -> BTreeMap<String, BTreeSet<u64>> {
    let mut accepted: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for line in answers.all() {
        let (topic, payload) = line.split_once(' ').unwrap();
        assert!(topic.ends_with("/accepted"), "{line}");
        let thing = topic.split('/').nth(2).unwrap().to_owned();
        let payload: Value = serde_json::from_str(payload).unwrap();
        accepted.entry(thing).or_default().insert(payload["reportId"].as_u64().unwrap());
    }
    accepted
}

fn listen(broker: &Mosquitto) -> (Ended, Lines) {
    let mut process = Command::new("stdbuf")
        .args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &broker.port.to_string(), "-i", "listener"])
        .args(["-q", "1", "-F", "%t %p", "-t", "$aws/things/+/defender/metrics/json/+"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mosquitto_sub is installed");
    let lines = Lines::of(process.stdout.take().unwrap());
    let ended = Ended(process);
    broker.wait_log("Sending SUBACK to listener");
    (ended, lines)
}

/// Kills it so often, each time at another moment: while it starts, catches up or follows, and in
/// every third life right after it began to write a snapshot. Gives the number of snapshots seen.
fn kill_again_and_again(home: &Home, broker: &Mosquitto, kills: u64, moments: &mut Moments) -> u64 {
    let mut snapshots = 0;
    for life in 0..kills {
        let with_snapshot = life % 3 == 1;
        configure(home, broker, if with_snapshot { 1 } else { 86_400 });
        let before = snapshot_files(home);
        if life % 4 == 3 {
            // A backlog gathers, which then comes all at once.
            std::thread::sleep(moments.next(1_500));
        }
        let mut serve = home.start();
        if with_snapshot {
            until_is("it writes a snapshot", || snapshot_files(home), |files| !files.is_subset(&before));
            snapshots += 1;
        }
        std::thread::sleep(moments.next(if with_snapshot { 40 } else { 2_500 }));
        assert!(serve.runs(), "it ended by itself in life {life}: {}", home.log());
        serve.kill();
    }
    configure(home, broker, 86_400);
    snapshots
}

/// Names of snapshots, half-written ones included.
fn snapshot_files(home: &Home) -> BTreeSet<String> {
    let files = std::fs::read_dir(home.path("data/engine/snapshots")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_stored_twice() {
    let kills = number("FLEETWARD_TORTURE_KILLS", 5);
    let seed = number("FLEETWARD_TORTURE_SEED", 7);
    let broker = Setup::plain().line("max_inflight_messages 50").start();
    let home = Home::new();
    home.profile(
        "fleet",
        &json!([
            {"name": "unknown-port", "metric": "aws:listening-tcp-ports",
             "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]},
                          "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
            {"name": "shouts", "metric": "aws:message-byte-size",
             "criteria": {"comparisonOperator": "less-than", "value": {"count": 4000},
                          "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
        ]),
    );
    configure(&home, &broker, 86_400);
    // The broker keeps the session, and with it what arrives while nobody listens.
    home.serve().stop();
    let (_listener, answers) = listen(&broker);
    let going_on = AtomicBool::new(true);
    let (mut sent, snapshots): (BTreeMap<&str, u64>, u64) = std::thread::scope(|scope| {
        let stop = Stop(&going_on);
        let reporters = THINGS.map(|thing| scope.spawn(|| Reporter::start(&broker, thing).run(&going_on)));
        let snapshots = kill_again_and_again(&home, &broker, kills, &mut Moments(seed.max(1)));
        drop(stop);
        (reporters.map(|reporter| reporter.join().unwrap()).into_iter().collect(), snapshots)
    });
    let serve = home.serve();
    // The last report and the last line of the log: once they are judged, all before them is, since
    // broker and log keep the order.
    broker.publish_bytes(&report_topic("last-report"), report(1, &BAD).as_bytes(), &[]);
    sent.insert("last-report", 1);
    let (ok, said) = broker
        .publish(&Who::Anonymous, &["-i", "last-line", "-q", "1", "-t", "data", "-m", &"x".repeat(5000)]);
    assert!(ok, "{said}");
    let wanted = [("last-line", "shouts"), ("last-report", "unknown-port")];
    let wanted = wanted.map(|(thing, behavior)| (thing.to_owned(), behavior.to_owned()));
    let both = |alarmed: &Vec<(String, String)>| wanted.iter().all(|one| alarmed.contains(one));
    until_is("everything is judged", || home.alarmed(), both);
    let shown: Vec<String> =
        home.rows("transitions").iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    serve.stop();
    judge(&home, &broker, &Facts { kills, seed, snapshots, sent, accepted: accepted(&answers), shown });
}

/// Sets the flag to false when dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What was seen from outside.
struct Facts {
    kills: u64,
    seed: u64,
    /// Snapshots during which, or right after which, it was killed.
    snapshots: u64,
    /// Last report id of each thing that the broker acknowledged; all from 1 on were sent.
    sent: BTreeMap<&'static str, u64>,
    accepted: BTreeMap<String, BTreeSet<u64>>,
    /// Ids of transitions as the local endpoint lists them, the newest first, 10,000 at most.
    shown: Vec<String>,
}

fn judge(home: &Home, broker: &Mosquitto, facts: &Facts) {
    let journal = journaled(home);
    let (stored, replayed) = (stored(home), replayed(home));
    let lost = lost(facts, &journal);
    let copies: u32 = journal.reports.values().flat_map(BTreeMap::values).map(|count| count - 1).sum();
    let mut ids: Vec<&str> = stored.iter().map(|transition| transition.id.as_str()).collect();
    ids.sort_unstable();
    let distinct = {
        ids.dedup();
        ids.len()
    };
    let sent: u64 = facts.sent.values().sum();
    let answered: usize = facts.accepted.values().map(BTreeSet::len).sum();
    eprintln!(
        "kills {} ({} at a snapshot), seed {}: reports acknowledged by the broker {sent}, answered as accepted {answered}, lost {}, \
         journaled again {copies}; log lines {}; transitions expected {}, stored {}, doubled {}",
        facts.kills,
        facts.snapshots,
        facts.seed,
        lost.len(),
        journal.lines.len(),
        sent + 1,
        stored.len(),
        stored.len() - distinct,
    );
    assert_eq!(lost, [], "reports that were acknowledged and are not in the journal");
    let log = std::fs::read_to_string(broker.file("m.log")).unwrap();
    assert_same_lines(&journal.lines, &log, "Received PUBLISH from last-line");
    assert_stored(&stored, &replayed);
    // Apart from any replay: every report of a thing changes its state, so the number is known.
    assert_eq!(stored.len() as u64, sent + 1);
    for (thing, last) in &facts.sent {
        let own = stored.iter().filter(|transition| {
            transition.entity == detector::transition::EntityName::Thing((*thing).to_owned())
        });
        assert_eq!(own.count() as u64, *last, "{thing}");
    }
    let newest: Vec<&String> = stored.iter().rev().take(10_000).map(|transition| &transition.id).collect();
    assert_eq!(facts.shown.iter().collect::<Vec<_>>(), newest);
}

/// Reports that broker or device were told are safe, and that the journal does not have.
fn lost(facts: &Facts, journal: &Journaled) -> Vec<(String, u64)> {
    let has = |thing: &str, id: u64| journal.reports.get(thing).is_some_and(|ids| ids.contains_key(&id));
    let by_broker =
        facts.sent.iter().flat_map(|(thing, last)| (1..=*last).map(|id| ((*thing).to_owned(), id)));
    let to_device = facts.accepted.iter().flat_map(|(thing, ids)| ids.iter().map(|id| (thing.clone(), *id)));
    let mut lost: Vec<_> = by_broker.chain(to_device).filter(|(thing, id)| !has(thing, *id)).collect();
    lost.sort();
    lost.dedup();
    lost
}
