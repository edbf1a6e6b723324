//! One operation on one entity: which behaviors listen, and what they decide.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use behaviors::{
    criterion::ValueKind,
    set::{Behavior, BehaviorSet, MetricKey},
    slot::{Change, Deciding, Slot, Value},
};
use fleet::{event::Attribution, metric::AwsMetric, report::CustomValue, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    batch::{Batch, Op, ReportRow, slice},
    transition::{MetricValue, TransitionKind},
};

/// What a violation is known by while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) seq: u64,
    pub(crate) nth: u16,
    pub(crate) started: Timestamp,
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
}

impl ShardCounts {
    /// Adds another shard's.
    pub const fn add(&mut self, other: Self) {
        self.datapoints += other.datapoints;
        self.late += other.late;
        self.transitions += other.transitions;
    }
}

/// Where decisions go.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) op: Op,
    pub(crate) entity: u32,
    pub(crate) principal: u32,
    pub(crate) alarms: &'a mut Alarms,
    pub(crate) counts: &'a mut ShardCounts,
    pub(crate) out: &'a mut Vec<Raw>,
}

impl Sink<'_> {
    /// Takes a change of a violation's state; `list` is the value if the change has none.
    #[cold]
    pub(crate) fn change(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        change: Change,
        list: Option<MetricValue>,
    ) {
        let key = (self.entity, order);
        let (kind, deciding, alarm) = match change {
            Change::Alarm(deciding) => {
                let alarm = Alarm { seq: self.op.seq, nth: self.op.nth, started: deciding.at };
                self.alarms.insert(key, alarm);
                (TransitionKind::InAlarm, deciding, alarm)
            }
            Change::Clear(deciding) => {
                let Some(alarm) = self.alarms.remove(&key) else { return };
                (TransitionKind::AlarmCleared, deciding, alarm)
            }
        };
        let Deciding { at, value, attribution } = deciding;
        let value = match value {
            Value::Number(number) => Some(metric_number(&behavior.metric, number)),
            Value::List => list,
        };
        self.push(order, behavior, kind, at, value, attribution, alarm);
    }

    /// Ends a violation without a verdict.
    pub(crate) fn invalidate(&mut self, order: u16, behavior: &Arc<Behavior>, at: Timestamp, alarm: Alarm) {
        self.push(order, behavior, TransitionKind::AlarmInvalidated, at, None, Attribution::Certain, alarm);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one transition, called from two places")]
    fn push(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        kind: TransitionKind,
        at: Timestamp,
        value: Option<MetricValue>,
        who: Attribution,
        alarm: Alarm,
    ) {
        self.counts.transitions += 1;
        self.out.push(Raw {
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
        });
    }
}

/// A number in the shape of the API: counts of AWS metrics are whole.
fn metric_number(metric: &MetricKey, number: f64) -> MetricValue {
    match metric {
        MetricKey::Custom(_) => MetricValue::Number(number),
        #[expect(clippy::cast_possible_truncation, reason = "a float's cast to an integer saturates")]
        MetricKey::Aws(_) => MetricValue::Count(number.max(0.0) as u64),
    }
}

/// An entity's behaviors and their state.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) set: &'a BehaviorSet,
    pub(crate) run: &'a mut [Slot],
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
    fn numbers_for(&mut self, listeners: &[u16], value: f64) {
        let (at, who) = (self.sink.op.at, self.sink.op.who);
        let mut late = false;
        for &order in listeners {
            let (Some(behavior), Some(slot)) =
                (self.set.behaviors().get(usize::from(order)), self.run.get_mut(usize::from(order)))
            else {
                continue;
            };
            self.sink.counts.datapoints += 1;
            late |= behavior.window.is_some() && slot.is_late(at);
            let (closed, own) = behavior.observe_number(slot, at, value, who);
            if let Some(change) = closed {
                self.sink.change(order, behavior, change, None);
            }
            if let Some(change) = own {
                self.sink.change(order, behavior, change, None);
            }
        }
        self.sink.counts.late += u64::from(late);
    }

    /// A list was observed.
    fn list(
        &mut self,
        listeners: &[u16],
        kind: ValueKind,
        compliant: impl Fn(&Behavior) -> bool,
        value: impl Fn() -> MetricValue,
    ) {
        for &order in listeners {
            let (Some(behavior), Some(slot)) =
                (self.set.behaviors().get(usize::from(order)), self.run.get_mut(usize::from(order)))
            else {
                continue;
            };
            if behavior.kind() != kind {
                continue;
            }
            self.sink.counts.datapoints += 1;
            let verdict = compliant(behavior);
            let change = behavior.observe_list(slot, self.sink.op.at, verdict, self.sink.op.who);
            if let Some(change) = change {
                self.sink.change(order, behavior, change, Some(value()));
            }
        }
    }

    pub(crate) fn ports(&mut self, metric: AwsMetric, ports: &[u16]) {
        let listeners = self.set.listeners(metric);
        let compliant = |behavior: &Behavior| behavior.judge_ports(ports);
        self.list(listeners, ValueKind::Ports, compliant, || MetricValue::Ports(ports.to_vec()));
    }

    pub(crate) fn addresses(&mut self, metric: AwsMetric, addresses: &[IpAddr]) {
        let listeners = self.set.listeners(metric);
        self.address_list(listeners, addresses);
    }

    fn address_list(&mut self, listeners: &[u16], addresses: &[IpAddr]) {
        let compliant = |behavior: &Behavior| behavior.judge_addresses(addresses);
        let value = || MetricValue::Cidrs(addresses.iter().map(ToString::to_string).collect());
        self.list(listeners, ValueKind::Addresses, compliant, value);
    }

    /// The entity came back.
    pub(crate) fn back(&mut self) {
        for &order in self.set.listeners(AwsMetric::DisconnectDuration) {
            if let (Some(behavior), Some(slot)) =
                (self.set.behaviors().get(usize::from(order)), self.run.get_mut(usize::from(order)))
                && let Some(change) = behavior.observe_back(slot, self.sink.op.at)
            {
                self.sink.change(order, behavior, change, None);
            }
        }
    }

    /// The entity left.
    pub(crate) fn left(&mut self) {
        for &order in self.set.listeners(AwsMetric::DisconnectDuration) {
            if let (Some(behavior), Some(slot)) =
                (self.set.behaviors().get(usize::from(order)), self.run.get_mut(usize::from(order)))
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
        for (metric, number) in METRICS.into_iter().zip(row.numbers) {
            if let Some(number) = number {
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
                    behavior.is_some_and(|behavior| behavior.kind() == ValueKind::Number)
                };
                let listeners: smallvec::SmallVec<[u16; 8]> =
                    listeners.iter().filter(of_numbers).copied().collect();
                self.numbers_for(&listeners, *number);
            }
            CustomValue::NumberList(range) => {
                let numbers = slice(&batch.numbers, range);
                let compliant = |behavior: &Behavior| behavior.judge_numbers(numbers);
                let value = || MetricValue::Numbers(numbers.to_vec());
                self.list(listeners, ValueKind::Numbers, compliant, value);
            }
            CustomValue::StringList(range) => {
                let ranges = slice(&batch.strings, range);
                let texts = || ranges.iter().map(|range| text_of(batch, range));
                let compliant = |behavior: &Behavior| behavior.judge_strings(texts());
                let value = || MetricValue::Strings(texts().map(str::to_owned).collect());
                self.list(listeners, ValueKind::Strings, compliant, value);
            }
            CustomValue::IpList(range) => self.address_list(listeners, slice(&batch.addresses, range)),
        }
    }
}

fn text_of<'a>(batch: &'a Batch, range: &std::ops::Range<u32>) -> &'a str {
    batch.text.get(range.start as usize..range.end as usize).unwrap_or_default()
}
