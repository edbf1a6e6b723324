//! The fold: events that are decoded already, ten behaviors for each thing, one core.
//!
//! `cargo bench --bench fold`. Times are CPU time of one thread. Events come in an order without
//! pattern, 20 in a millisecond of event time, so windows of 300 s end while it runs.

use criterion::{BenchmarkId, Throughput};
use detector::{engine::Engine, input::SourceId};
use fleet::{
    event::{Action, Connect, DisconnectReason, Event, EventKind},
    report::{ReportBuf, decode_json},
    time::Timestamp,
};

mod support;
use support::{Lcg, reports, rules};

/// Events of one round.
const EVENTS: usize = 200_000;
/// Events between two flushes.
const STEP: u64 = 1_024;
/// Length of all names, bytes.
const NAME: usize = 16;
const BEGIN_MS: i64 = 1_000_000_000_000;

/// What a broker tells of a fleet at work, of each hundred events.
const MIX: [(Kind, usize); 6] = [
    (Kind::Publish, 48),
    (Kind::Delivery, 48),
    (Kind::Connect, 1),
    (Kind::Disconnect, 1),
    (Kind::Subscribe, 1),
    (Kind::Denied, 1),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Publish,
    Delivery,
    Connect,
    Disconnect,
    Subscribe,
    Denied,
}

/// Decoded events one after the other, as a decoder would leave them: the name beside the event.
struct Stream {
    names: String,
    kinds: Vec<Kind>,
}

impl Stream {
    fn new(things: usize, kind: impl Fn(&mut Lcg) -> Kind) -> Self {
        let mut random = Lcg(7);
        // Several rounds of events, so that the order of none is learnt.
        let events = 8 * EVENTS;
        let names = (0..events).map(|_| name(random.below(things))).collect();
        let kinds = (0..events).map(|_| kind(&mut random)).collect();
        Self { names, kinds }
    }

    fn event(&self, at: usize) -> (&str, Kind) {
        let at = at % self.kinds.len();
        let name = self.names.get(at * NAME..(at + 1) * NAME).unwrap_or_default();
        (name, self.kinds.get(at).copied().unwrap_or(Kind::Publish))
    }
}

fn name(thing: usize) -> String {
    format!("device-{thing:09}")
}

fn mixed(random: &mut Lcg) -> Kind {
    let mut drawn = random.below(100);
    for (kind, share) in MIX {
        if drawn < share {
            return kind;
        }
        drawn -= share;
    }
    Kind::Publish
}

fn kind_of(client: &str, kind: Kind) -> EventKind<'_> {
    match kind {
        Kind::Publish => EventKind::Publish { client, topic: "plant/7/state", bytes: 200 },
        Kind::Delivery => EventKind::Delivery { client, topic: "plant/7/set", bytes: 40 },
        Kind::Connect => connect(client),
        Kind::Disconnect => EventKind::Disconnect { client, reason: DisconnectReason::Clean, raw: "" },
        Kind::Subscribe => EventKind::Subscribe { client, filter: "plant/7/#" },
        Kind::Denied => EventKind::Denied { client, action: Action::Publish, topic: "plant/8/state" },
    }
}

fn connect(client: &str) -> EventKind<'_> {
    let ip = client.bytes().fold(0_u32, |ip, byte| ip.wrapping_mul(31).wrapping_add(byte.into()));
    let ip = Some(std::net::Ipv4Addr::from(ip).into());
    EventKind::Connect(Connect { client, user: Some(client), ip, bridge: false })
}

/// An engine, and how far it is.
struct Fold {
    engine: Engine,
    seq: u64,
    first: u64,
}

impl Fold {
    fn new(engine: Engine) -> Self {
        let seq = engine.seq();
        Self { engine, seq, first: seq }
    }

    /// All things have connected once.
    fn connected(things: usize) -> Self {
        let mut fold = Self::new(rules::counting());
        for thing in 0..things {
            fold.step(connect(&name(thing)));
        }
        fold.flush();
        fold
    }

    fn step(&mut self, kind: EventKind<'_>) {
        self.seq += 1;
        let since = i64::try_from((self.seq - self.first) / 20).unwrap_or(0);
        let at = Timestamp::from_millis(BEGIN_MS + since);
        self.engine.stage_event(self.seq, SourceId(1), at, &Event { at, kind });
        if self.seq.is_multiple_of(STEP) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.engine.flush(&mut |transition| assert!(transition.seq > 0));
    }
}

fn events(criterion: &mut criterion::Criterion<support::CpuTime>) {
    let mut group = criterion.benchmark_group("fold");
    group.sample_size(20).throughput(Throughput::Elements(EVENTS as u64));
    for things in [1, 1_000, 100_000, 1_000_000] {
        let mut fold = Fold::connected(things);
        let streams = [
            ("mixed events", Stream::new(things, mixed)),
            ("publishes", Stream::new(things, |_| Kind::Publish)),
        ];
        for (title, stream) in &streams {
            let mut at = 0;
            group.bench_function(BenchmarkId::new(*title, things), |bencher| {
                bencher.iter(|| {
                    for _ in 0..EVENTS {
                        let (client, kind) = stream.event(at);
                        fold.step(kind_of(client, kind));
                        at += 1;
                    }
                });
            });
        }
        assert_eq!(fold.engine.counts().shards.transitions, 0, "no bound is reached");
    }
    group.finish();
}

/// Reports, ten datapoints each.
fn datapoints(criterion: &mut criterion::Criterion<support::CpuTime>) {
    const REPORTS: usize = EVENTS / 10;
    let reports: Vec<ReportBuf> = reports::stream()
        .iter()
        .map(|report| {
            let mut decoded = ReportBuf::default();
            assert_eq!(decode_json(report.json.as_bytes(), &mut decoded), Ok(()));
            decoded
        })
        .collect();
    let mut group = criterion.benchmark_group("fold datapoints");
    group.sample_size(20).throughput(Throughput::Elements(10 * REPORTS as u64));
    for things in [1_000, 100_000] {
        let mut fold = Fold::new(rules::of_reports());
        let stream = Stream::new(things, |_| Kind::Publish);
        let mut at = 0;
        group.bench_function(BenchmarkId::new("of reports", things), |bencher| {
            bencher.iter(|| {
                for report in reports.iter().cycle().skip(at % reports.len()).take(REPORTS) {
                    let (thing, _) = stream.event(at);
                    at += 1;
                    let identity = 1 + at as u64;
                    fold.step(EventKind::Report { thing, report, identity });
                }
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = support::criterion().configure_from_args();
    events(&mut criterion);
    datapoints(&mut criterion);
    criterion.final_summary();
}
