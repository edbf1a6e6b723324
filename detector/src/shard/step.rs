//! One operation on one entity: which behaviors listen, and what they decide.

use std::{collections::BTreeMap, net::IpAddr, ops::Range, sync::Arc};

use behaviors::{
    criterion::ValueKind,
    dimension::Mask,
    learned::{Learned, known::KnownSet},
    recent::Recent,
    set::{Aggregate, Behavior, BehaviorSet, MetricKey, Test},
    slot::{Change, Datapoint, Deciding, Slot, Value},
};
use fleet::{
    event::{Attribution, DisconnectReason},
    metric::AwsMetric,
    report::CustomValue,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    blind::Blind,
    learned::{Hashes, of_addresses, of_ports},
    lists::Lists,
    marks::Marks,
    presence::Presence,
};
use crate::{
    batch::{Batch, Op, ReportRow, slice},
    evidence::{Evidence, EvidencePoint, JournalRange},
    meeting::{AllNews, Pools},
    transition::{MetricValue, TransitionKind},
};

/// What a violation is known by while it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) seq: u64,
    pub(crate) nth: u16,
    pub(crate) started: Timestamp,
    /// The latest violating datapoint since the last one that was told.
    pub(crate) latest: Option<Box<(Timestamp, MetricValue)>>,
}

/// Open violations by entity and index of the behavior. Bounded by the slots.
pub(crate) type Alarms = BTreeMap<(u32, u16), Alarm>;

/// A transition, before numbers have become names.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) seq: u64,
    pub(crate) entity: u32,
    /// Index of the behavior in the entity's set.
    pub(crate) order: u16,
    pub(crate) nth: u16,
    pub(crate) kind: TransitionKind,
    pub(crate) at: Timestamp,
    pub(crate) principal: u32,
    pub(crate) behavior: Arc<Behavior>,
    pub(crate) value: Option<MetricValue>,
    pub(crate) who: Attribution,
    pub(crate) alarm: Alarm,
    /// The violation goes on: `at` and `value` are those of its latest datapoint. Else it begins or ends.
    pub(crate) goes_on: bool,
    pub(crate) evidence: Option<Box<Evidence>>,
    /// Name of the entity, if it is no thing.
    pub(crate) key: Option<Box<[u8]>>,
}

/// A collected value, before numbers have become names.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    /// End of the window.
    pub(crate) end: Timestamp,
    pub(crate) entity: u32,
    /// It was kept until now, so it is of the thing that was there; else of the one that is.
    pub(crate) kept: bool,
    pub(crate) collector: Arc<Behavior>,
    pub(crate) value: MetricValue,
}

/// What a shard has to say.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) raws: Vec<Raw>,
    pub(crate) rows: Vec<Row>,
}

impl Out {
    /// Adds what another shard has to say.
    pub(crate) fn append(&mut self, other: Self) {
        if self.raws.is_empty() {
            self.raws = other.raws;
        } else {
            self.raws.extend(other.raws);
        }
        self.rows.extend(other.rows);
    }
}

/// A datapoint whose window is over and whose end has not been told: it is judged or handed on
/// then, together with those of all other entities. Bounded by the slots.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) entity: u32,
    pub(crate) order: u16,
    pub(crate) who: u8,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) value: f64,
}

/// What a shard counts. Sums over shards are the same for any number of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCounts {
    /// Observations that behaviors looked at.
    pub datapoints: u64,
    /// Observations whose window was over for at least one behavior.
    pub late: u64,
    /// Transitions.
    pub transitions: u64,
    /// Entities other than things that made room for others.
    pub evicted: u64,
    /// Values that lost their place in a learnt set.
    pub forgotten: u64,
}

impl ShardCounts {
    /// Adds another shard's.
    pub const fn add(&mut self, other: Self) {
        self.datapoints += other.datapoints;
        self.late += other.late;
        self.transitions += other.transitions;
        self.evicted += other.evicted;
        self.forgotten += other.forgotten;
    }
}

/// Where decisions go.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) op: Op,
    pub(crate) entity: u32,
    pub(crate) principal: u32,
    pub(crate) alarms: &'a mut Alarms,
    pub(crate) waiting: &'a mut Vec<Waiting>,
    pub(crate) lists: &'a mut Lists,
    pub(crate) marks: &'a Marks,
    pub(crate) blind: &'a Blind,
    pub(crate) counts: &'a mut ShardCounts,
    /// Of things only.
    pub(crate) peers: Option<PeersOf<'a>>,
    pub(crate) out: &'a mut Out,
}

/// What things learn together.
#[derive(Debug)]
pub(crate) struct PeersOf<'a> {
    pub(crate) pools: &'a Pools,
    pub(crate) news: &'a mut AllNews,
}

/// A list as it was observed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whole<'a> {
    Ports(&'a [u16]),
    Addresses(&'a [IpAddr]),
    Numbers(&'a [f64]),
    /// Texts in the arena of a batch.
    Strings(&'a Batch, &'a [Range<u32>]),
    /// A list of one text.
    Text(&'a str),
}

impl<'a> Whole<'a> {
    /// How many elements it has.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Ports(ports) => ports.len(),
            Self::Addresses(addresses) => addresses.len(),
            Self::Numbers(numbers) => numbers.len(),
            Self::Strings(_, ranges) => ranges.len(),
            Self::Text(_) => 1,
        }
    }

    /// Its texts; none if it has other elements.
    pub(crate) fn texts(self) -> impl Iterator<Item = &'a str> {
        let (batch, ranges, one) = match self {
            Self::Strings(batch, ranges) => (Some(batch), ranges, None),
            Self::Text(text) => (None, &[][..], Some(text)),
            Self::Ports(_) | Self::Addresses(_) | Self::Numbers(_) => (None, &[][..], None),
        };
        let of_batch = move |range| batch.map_or("", |batch| text_of(batch, range));
        ranges.iter().map(of_batch).chain(one)
    }

    /// As it is handed on.
    pub(crate) fn value(self) -> MetricValue {
        match self {
            Self::Ports(ports) => MetricValue::Ports(ports.to_vec()),
            Self::Addresses(addresses) => {
                MetricValue::Cidrs(addresses.iter().map(ToString::to_string).collect())
            }
            Self::Numbers(numbers) => MetricValue::Numbers(numbers.to_vec()),
            Self::Strings(..) | Self::Text(_) => {
                MetricValue::Strings(self.texts().map(str::to_owned).collect())
            }
        }
    }
}

/// The list that a datapoint is about, if it is one.
pub(crate) type List<'a> = Option<Whole<'a>>;

impl Sink<'_> {
    /// Takes a datapoint: remembers it, and tells what it changed.
    pub(crate) fn point(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        recent: Option<&mut Recent>,
        point: &Datapoint,
        list: List<'_>,
    ) {
        let Some(compliant) = point.compliant else {
            self.unjudged(order, behavior, &point.deciding, list);
            return;
        };
        let mut none = Recent::default();
        let recent = recent.unwrap_or(&mut none);
        if let Some(change) = point.change() {
            self.change(order, behavior, recent, change, list);
        } else if !compliant {
            self.goes_on(order, behavior, (point.deciding.at, point.deciding.value), list);
        }
        recent.push(point.deciding.at, size(point.deciding.value, list), compliant);
    }

    /// Takes a datapoint that its behavior cannot judge by itself.
    #[cold]
    fn unjudged(&mut self, order: u16, behavior: &Arc<Behavior>, deciding: &Deciding, list: List<'_>) {
        let (entity, seq) = (self.entity, self.op.seq);
        match (deciding.value, list) {
            (Value::Number(value), _) => {
                let (start, end) = (deciding.start, deciding.at);
                let who = deciding.attribution as u8;
                self.waiting.push(Waiting { entity, order, who, start, end, value });
            }
            (Value::List, Some(list)) if behavior.test == Test::Collect => {
                let secs = behavior.window.unwrap_or(1);
                let end = deciding.at.window_start(secs).plus_millis(i64::from(secs) * 1000);
                let rows = &mut self.out.rows;
                self.lists.take((entity, order), end, list, &mut |due| {
                    let collector = Arc::clone(behavior);
                    rows.push(Row { seq, end: due.end, entity, kept: false, collector, value: due.value });
                });
            }
            (Value::List, _) => {}
        }
    }

    /// Takes note of a violating datapoint that changes nothing: the latest one of an open violation is told
    /// with the others at the end of a period ([`Sink::tell_latest`]).
    #[cold]
    fn goes_on(&mut self, order: u16, behavior: &Behavior, (at, value): (Timestamp, Value), list: List<'_>) {
        if let Some(alarm) = self.alarms.get_mut(&(self.entity, order)) {
            alarm.latest = Some(Box::new((at, value_of(behavior, value, list))));
        }
    }

    /// Tells the latest datapoint of a violation that goes on.
    pub(crate) fn tell_latest(&mut self, order: u16, behavior: &Arc<Behavior>, mut alarm: Alarm) {
        let Some(latest) = alarm.latest.take() else { return };
        let (at, value) = *latest;
        self.out.raws.push(Raw {
            seq: self.op.seq,
            entity: self.entity,
            order,
            nth: self.op.nth,
            kind: TransitionKind::InAlarm,
            at,
            principal: self.principal,
            behavior: Arc::clone(behavior),
            value: Some(value),
            who: Attribution::Certain,
            alarm,
            goes_on: true,
            evidence: None,
            key: None,
        });
    }

    /// Takes a change of a violation's state.
    #[cold]
    fn change(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        recent: &Recent,
        change: Change,
        list: List<'_>,
    ) {
        let key = (self.entity, order);
        let (kind, deciding, alarm) = match change {
            Change::Alarm(deciding) => {
                let alarm = Alarm { seq: self.op.seq, nth: self.op.nth, started: deciding.at, latest: None };
                self.alarms.insert(key, alarm.clone());
                (TransitionKind::InAlarm, deciding, alarm)
            }
            Change::Clear(deciding) => {
                let Some(alarm) = self.alarms.remove(&key) else { return };
                (TransitionKind::AlarmCleared, deciding, alarm)
            }
        };
        let value = value_of(behavior, deciding.value, list);
        let clears = kind == TransitionKind::AlarmCleared;
        let run = if clears { behavior.to_clear } else { behavior.to_alarm };
        let mut evidence = Evidence {
            metric: behavior.metric.name().to_owned(),
            dimension: behavior.narrowed.as_ref().map(|narrowed| narrowed.name.to_string()),
            window_start: deciding.start,
            window_secs: behavior.window.filter(|_| behavior.aggregate != Aggregate::Away),
            observed: value.clone(),
            limit: deciding.limit.into(),
            recent: Vec::new(),
            journal: JournalRange { from: self.op.seq, to: self.op.seq },
        };
        evidence.journal.from = self.first_record(behavior, recent, &deciding, usize::from(run));
        evidence.recent = points(recent, &deciding, list, clears);
        let evidence = Some(Box::new(evidence));
        self.push(order, behavior, kind, deciding.at, (Some(value), evidence), deciding.attribution, alarm);
    }

    /// The record before which nothing is that made the last `run` datapoints.
    fn first_record(&self, behavior: &Behavior, recent: &Recent, deciding: &Deciding, run: usize) -> u64 {
        // The deciding one is not among the recent ones yet.
        let earlier = run.saturating_sub(1).min(recent.len());
        let oldest = earlier.checked_sub(1).and_then(|at| recent.newest_first().nth(at));
        match (oldest, behavior.window) {
            (None, None) => self.op.seq,
            (None, Some(_)) => self.marks.before(deciding.start).min(self.op.seq),
            // The time of a datapoint is at the end of its window or inside it.
            (Some(oldest), Some(window)) => {
                self.marks.before(oldest.at.plus_millis(-1).window_start(window)).min(self.op.seq)
            }
            (Some(oldest), None) => self.marks.before(oldest.at).min(self.op.seq),
        }
    }

    /// Ends a violation without a verdict.
    pub(crate) fn invalidate(&mut self, order: u16, behavior: &Arc<Behavior>, at: Timestamp, alarm: Alarm) {
        let (kind, none) = (TransitionKind::AlarmInvalidated, (None, None));
        self.push(order, behavior, kind, at, none, Attribution::Certain, alarm);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one transition, called from two places")]
    fn push(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        kind: TransitionKind,
        at: Timestamp,
        (value, evidence): (Option<MetricValue>, Option<Box<Evidence>>),
        who: Attribution,
        alarm: Alarm,
    ) {
        self.counts.transitions += 1;
        self.out.raws.push(Raw {
            seq: self.op.seq,
            entity: self.entity,
            order,
            nth: self.op.nth,
            kind,
            at,
            principal: self.principal,
            behavior: Arc::clone(behavior),
            value,
            who,
            alarm,
            goes_on: false,
            evidence,
            key: None,
        });
    }
}

/// The value as it is told.
fn value_of(behavior: &Behavior, value: Value, list: List<'_>) -> MetricValue {
    match (value, list) {
        (Value::Number(number), _) => metric_number(&behavior.metric, number),
        (Value::List, Some(list)) => list.value(),
        (Value::List, None) => MetricValue::Strings(Vec::new()),
    }
}

/// The value as a number; of a list the number of its elements.
fn size(value: Value, list: List<'_>) -> f64 {
    match value {
        Value::Number(number) => number,
        Value::List => list.map_or(0.0, |list| list.len() as f64),
    }
}

/// The last datapoints, oldest first, with the deciding one.
fn points(recent: &Recent, deciding: &Deciding, list: List<'_>, compliant: bool) -> Vec<EvidencePoint> {
    let earlier = recent.newest_first();
    let mut points: Vec<EvidencePoint> = earlier
        .map(|point| EvidencePoint { at: point.at, value: point.value, compliant: point.compliant })
        .collect();
    points.reverse();
    points.push(EvidencePoint { at: deciding.at, value: size(deciding.value, list), compliant });
    points
}

/// A number in the shape of the API: counts of AWS metrics are whole.
pub(crate) fn metric_number(metric: &MetricKey, number: f64) -> MetricValue {
    match metric {
        MetricKey::Custom(_) => MetricValue::Number(number),
        #[expect(clippy::cast_possible_truncation, reason = "a float's cast to an integer saturates")]
        MetricKey::Aws(_) | MetricKey::Own(_) => MetricValue::Count(number.max(0.0) as u64),
    }
}

/// An entity's behaviors and their state.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) set: &'a BehaviorSet,
    pub(crate) run: &'a mut [Slot],
    pub(crate) recent: &'a mut [Recent],
    /// State of learned judgements.
    pub(crate) words: &'a mut [u32],
    pub(crate) sink: Sink<'a>,
}

impl Step<'_> {
    /// A number was observed.
    #[inline]
    pub(crate) fn number(&mut self, metric: AwsMetric, value: f64) {
        let listeners = self.set.listeners(metric);
        self.numbers_for(listeners, value);
    }

    #[inline]
    pub(crate) fn numbers_for(&mut self, listeners: &[u16], value: f64) {
        let (at, who) = (self.sink.op.at, self.sink.op.who);
        let mut late = false;
        for &order in listeners {
            let Some(behavior) = self.set.behaviors().get(usize::from(order)) else { continue };
            self.sink.counts.datapoints += 1;
            if let Test::Learned(rule) = &behavior.test {
                late |= self.learned_number(order, behavior, rule, value);
                continue;
            }
            let Some(slot) = self.run.get_mut(usize::from(order)) else { continue };
            if let Some(compliant) = behavior.observe_as_before(slot, value) {
                if !compliant {
                    self.sink.goes_on(order, behavior, (at, Value::Number(value)), None);
                }
                if let Some(recent) = self.recent.get_mut(usize::from(order)) {
                    recent.push(at, value, compliant);
                }
                continue;
            }
            late |= behavior.window.is_some() && slot.is_late(at);
            let (closed, own) = behavior.observe_number(slot, at, value, who);
            for point in [closed, own].iter().flatten() {
                let recent = self.recent.get_mut(usize::from(order));
                self.sink.point(order, behavior, recent, point, None);
            }
        }
        self.sink.counts.late += u64::from(late);
    }

    /// A number of a message was observed, for behaviors that a dimension narrows.
    #[inline]
    pub(crate) fn narrowed(&mut self, metric: AwsMetric, value: f64, mask: Mask) {
        if mask != Mask::default() {
            let listeners: SmallVec<[u16; 8]> = self.set.narrowed(metric, mask).collect();
            self.numbers_for(&listeners, value);
        }
    }

    /// The address that a message came from, for behaviors that a dimension narrows.
    pub(crate) fn narrowed_address(&mut self, address: IpAddr, mask: Mask) {
        let listeners: SmallVec<[u16; 8]> = self.set.narrowed(AwsMetric::SourceIpAddress, mask).collect();
        self.address_list(&listeners, &[address]);
    }

    /// A list was observed.
    fn list(
        &mut self,
        listeners: &[u16],
        kind: ValueKind,
        compliant: impl Fn(&Behavior) -> bool,
        hashes: Hashes<'_>,
        whole: Whole<'_>,
    ) {
        for &order in listeners {
            let Some(behavior) = self.set.behaviors().get(usize::from(order)) else { continue };
            if !behavior.takes(kind) {
                continue;
            }
            self.sink.counts.datapoints += 1;
            if let Test::Learned(rule) = &behavior.test {
                self.learned_list(order, behavior, rule, (hashes, Some(whole)));
                continue;
            }
            let Some(slot) = self.run.get_mut(usize::from(order)) else { continue };
            let verdict = compliant(behavior);
            if let Some(compliant) = behavior.observe_list_as_before(slot, verdict) {
                if !compliant {
                    self.sink.goes_on(order, behavior, (self.sink.op.at, Value::List), Some(whole));
                }
                if let Some(recent) = self.recent.get_mut(usize::from(order)) {
                    recent.push(self.sink.op.at, whole.len() as f64, compliant);
                }
                continue;
            }
            let point = behavior.observe_list(slot, self.sink.op.at, verdict, self.sink.op.who);
            let recent = self.recent.get_mut(usize::from(order));
            self.sink.point(order, behavior, recent, &point, Some(whole));
        }
    }

    pub(crate) fn ports(&mut self, metric: AwsMetric, ports: &[u16]) {
        let listeners = self.set.listeners(metric);
        let compliant = |behavior: &Behavior| behavior.judge_ports(ports);
        self.list(listeners, ValueKind::Ports, compliant, &of_ports(ports), Whole::Ports(ports));
    }

    pub(crate) fn addresses(&mut self, metric: AwsMetric, addresses: &[IpAddr]) {
        let listeners = self.set.listeners(metric);
        self.address_list(listeners, addresses);
    }

    fn address_list(&mut self, listeners: &[u16], addresses: &[IpAddr]) {
        let compliant = |behavior: &Behavior| behavior.judge_addresses(addresses);
        let hashes = of_addresses(addresses);
        self.list(listeners, ValueKind::Addresses, compliant, &hashes, Whole::Addresses(addresses));
    }

    /// Windows of the listeners end. See [`Behavior::close`] for `present`; `session` is that of a thing.
    pub(crate) fn close(
        &mut self,
        listeners: &[u16],
        present: bool,
        blind: bool,
        session: Option<&Presence>,
    ) {
        let at = self.sink.op.at;
        for &order in listeners {
            let Some(behavior) = self.set.behaviors().get(usize::from(order)) else { continue };
            let away = behavior.aggregate == Aggregate::Away;
            if blind && away {
                continue;
            }
            if let Test::Learned(rule @ (Learned::Silence(_) | Learned::Absence(_) | Learned::Flapping(_))) =
                &behavior.test
            {
                self.passed_one(order, behavior, rule);
                continue;
            }
            let Some(slot) = self.run.get_mut(usize::from(order)) else { continue };
            let present = present || (!blind && session.is_none() && slot.in_alarm());
            if let Some(point) = behavior.close(slot, at, present) {
                if let Test::Learned(rule) = &behavior.test {
                    self.settle(order, behavior, rule, &point.deciding);
                    continue;
                }
                let recent = self.recent.get_mut(usize::from(order));
                self.sink.point(order, behavior, recent, &point, None);
            } else if away
                && behavior.test == Test::Collect
                && present
                && session.is_some_and(Presence::is_connected)
            {
                let (entity, who) = (self.sink.entity, Attribution::Certain as u8);
                self.sink.waiting.push(Waiting { entity, order, who, start: at, end: at, value: 0.0 });
            }
        }
    }

    /// Something of ours is counted: `bits` says what.
    pub(crate) fn own(&mut self, bits: u64) {
        let mut bits = bits;
        while bits != 0 {
            let set = self.set;
            self.numbers_for(set.with_bit(bits.trailing_zeros()), 1.0);
            bits &= bits - 1;
        }
    }

    /// Disconnects, for behaviors that count them for this reason.
    pub(crate) fn disconnect(&mut self, reason: DisconnectReason) {
        let listeners = self.set.listeners(AwsMetric::NumDisconnects);
        let counts = |order: &&u16| {
            let behavior = self.set.behaviors().get(usize::from(**order));
            behavior.is_some_and(|behavior| behavior.reasons.contains(reason))
        };
        let listeners: smallvec::SmallVec<[u16; 8]> = listeners.iter().filter(counts).copied().collect();
        self.numbers_for(&listeners, 1.0);
    }

    /// The entity came back.
    pub(crate) fn back(&mut self) {
        for &order in self.set.listeners(AwsMetric::DisconnectDuration) {
            if let (Some(behavior), Some(slot)) =
                (self.set.behaviors().get(usize::from(order)), self.run.get_mut(usize::from(order)))
                && behavior.learned().is_none()
                && let Some(point) = behavior.observe_back(slot, self.sink.op.at)
                // What is collected is told at the ends of windows.
                && behavior.test != Test::Collect
            {
                let recent = self.recent.get_mut(usize::from(order));
                self.sink.point(order, behavior, recent, &point, None);
            }
        }
    }

    /// The entity left.
    pub(crate) fn left(&mut self) {
        for &order in self.set.listeners(AwsMetric::DisconnectDuration) {
            if let (Some(behavior), Some(slot)) =
                (self.set.behaviors().get(usize::from(order)), self.run.get_mut(usize::from(order)))
                && behavior.learned().is_none()
            {
                behavior.observe_left(slot, self.sink.op.at);
            }
        }
    }

    /// A report, metric by metric.
    pub(crate) fn report(&mut self, row: &ReportRow, batch: &Batch) {
        const METRICS: [AwsMetric; crate::batch::NUMBERS] = [
            AwsMetric::AllBytesOut,
            AwsMetric::AllBytesIn,
            AwsMetric::AllPacketsOut,
            AwsMetric::AllPacketsIn,
            AwsMetric::NumListeningTcpPorts,
            AwsMetric::NumListeningUdpPorts,
            AwsMetric::NumEstablishedTcpConnections,
        ];
        for (bit, (metric, number)) in METRICS.into_iter().zip(row.numbers).enumerate() {
            if row.given >> bit & 1 != 0 {
                self.number(metric, number as f64);
            }
        }
        if let Some(range) = &row.tcp_ports {
            self.ports(AwsMetric::ListeningTcpPorts, slice(&batch.ports, range));
        }
        if let Some(range) = &row.udp_ports {
            self.ports(AwsMetric::ListeningUdpPorts, slice(&batch.ports, range));
        }
        if let Some(range) = &row.remote_addresses {
            self.addresses(AwsMetric::DestinationIpAddresses, slice(&batch.addresses, range));
        }
        for metric in slice(&batch.custom, &row.custom) {
            self.custom(text_of(batch, &metric.name), &metric.value, batch);
        }
    }

    fn custom(&mut self, name: &str, value: &CustomValue, batch: &Batch) {
        let listeners = self.set.custom(name);
        if listeners.is_empty() {
            return;
        }
        match value {
            CustomValue::Number(number) => {
                let of_numbers = |order: &&u16| {
                    let behavior = self.set.behaviors().get(usize::from(**order));
                    behavior.is_some_and(|behavior| behavior.takes(ValueKind::Number))
                };
                let listeners: SmallVec<[u16; 8]> = listeners.iter().filter(of_numbers).copied().collect();
                self.numbers_for(&listeners, *number);
            }
            CustomValue::NumberList(range) => {
                let numbers = slice(&batch.numbers, range);
                let compliant = |behavior: &Behavior| behavior.judge_numbers(numbers);
                let hashes = |_: &KnownSet, take: &mut dyn FnMut(u32)| {
                    numbers.iter().for_each(|&number| take(KnownSet::number(number)));
                };
                self.list(listeners, ValueKind::Numbers, compliant, &hashes, Whole::Numbers(numbers));
            }
            CustomValue::StringList(range) => {
                let ranges = slice(&batch.strings, range);
                let texts = || ranges.iter().map(|range| text_of(batch, range));
                let compliant = |behavior: &Behavior| behavior.judge_strings(texts());
                let hashes = |_: &KnownSet, take: &mut dyn FnMut(u32)| {
                    texts().for_each(|text| take(KnownSet::text(text)));
                };
                self.list(listeners, ValueKind::Strings, compliant, &hashes, Whole::Strings(batch, ranges));
            }
            CustomValue::IpList(range) => self.address_list(listeners, slice(&batch.addresses, range)),
        }
    }
}

fn text_of<'a>(batch: &'a Batch, range: &std::ops::Range<u32>) -> &'a str {
    batch.text.get(range.start as usize..range.end as usize).unwrap_or_default()
}
