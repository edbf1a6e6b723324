//! Keeps of a fleet's datapoints what thresholds are made of. Memory is bounded by the number of
//! metrics and things, not by time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::IpAddr,
};

use detector::{
    output::{Datapoints, Output},
    transition::{EntityName, MetricValue, Transition, TransitionKind},
};
use fleet::{registry::Registry, time::Timestamp};
use ipnet::IpNet;

use super::{
    novelty::Novelty,
    tail::{Point, TOP_MAX},
};
use crate::replay::select::Selection;

/// A value that can be ordered.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ordered(Point);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (a, b) = (&self.0, &other.0);
        a.value.total_cmp(&b.value).then_with(|| (a.thing, a.window).cmp(&(b.thing, b.window)))
    }
}

/// A number by window.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Datapoints.
    pub datapoints: u64,
    /// Things that had one.
    pub things: BTreeSet<u32>,
    /// First and last window.
    pub span: Option<(i64, i64)>,
    top: BinaryHeap<Reverse<Ordered>>,
}

impl Numbers {
    fn add(&mut self, point: Point) {
        self.datapoints += 1;
        self.things.insert(point.thing);
        let (first, last) = self.span.unwrap_or((point.window, point.window));
        self.span = Some((first.min(point.window), last.max(point.window)));
        self.top.push(Reverse(Ordered(point)));
        if self.top.len() > TOP_MAX {
            self.top.pop();
        }
    }

    /// The largest datapoints, by thing and window, and the value above which all are among them
    /// (nothing if all of all are).
    #[must_use]
    pub fn top(&self) -> (Vec<Point>, Option<f64>) {
        let mut points: Vec<Point> = self.top.iter().map(|Reverse(Ordered(point))| *point).collect();
        points.sort_by_key(|point| (point.thing, point.window));
        let complete = self.datapoints <= points.len() as u64;
        let lowest = self.top.peek().map(|Reverse(Ordered(point))| point.value);
        (points, if complete { None } else { lowest })
    }
}

/// Networks that a list of addresses is rounded to, finest first: bits for IPv4 and IPv6.
pub const PREFIXES: [(u8, u8); 3] = [(32, 128), (24, 64), (16, 48)];

/// Lists by report.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Lists.
    pub datapoints: u64,
    /// Last day of each thing, and how many days it had.
    pub things: BTreeMap<u32, (i64, u64)>,
    /// Ports.
    pub ports: Novelty<u16>,
    /// Networks by [`PREFIXES`].
    pub networks: [Novelty<IpNet>; PREFIXES.len()],
}

impl Lists {
    /// Days on which a thing had a list, of all things together.
    #[must_use]
    pub fn device_days(&self) -> u64 {
        self.things.values().map(|(_, days)| days).sum()
    }
}

/// What was learnt.
#[derive(Clone, Debug, Default)]
pub struct Learnt {
    /// Numbers by metric.
    pub numbers: BTreeMap<String, Numbers>,
    /// Lists by metric.
    pub lists: BTreeMap<String, Lists>,
    /// Length of the windows, seconds.
    pub window_secs: u32,
    /// Datapoints of things that were in alarm, which were left out.
    pub in_alarm: u64,
    /// First and last end of a window.
    pub span: Option<(Timestamp, Timestamp)>,
    names: BTreeMap<String, u32>,
    /// First and last window of each thing with a datapoint of any metric.
    seen: BTreeMap<u32, (i64, i64)>,
}

/// Learns from the outputs of a fold.
#[derive(Debug)]
pub struct Learner {
    learnt: Learnt,
    selection: Selection,
    with_alarms: bool,
    /// Open violations by thing.
    alarmed: BTreeMap<String, u32>,
}

impl Learner {
    /// Learns from what is selected, in windows of `window_secs`. What a thing did while it was in
    /// alarm is left out, so that an attack in the data does not become normal; `with_alarms` keeps it.
    #[must_use]
    pub fn new(selection: Selection, window_secs: u32, with_alarms: bool) -> Self {
        let learnt = Learnt { window_secs, ..Learnt::default() };
        Self { learnt, selection, with_alarms, alarmed: BTreeMap::new() }
    }

    /// Takes what the engine hands on.
    pub fn take(&mut self, registry: &Registry, output: &Output) {
        match output {
            Output::Transition(transition) => self.transition(transition),
            Output::Datapoints(datapoints) => self.datapoints(registry, datapoints),
            Output::Violating(_) | Output::Watched(_) | Output::Refused(_) | Output::Folded { .. } => {}
        }
    }

    /// What was learnt.
    #[must_use]
    pub fn finish(self) -> Learnt {
        self.learnt
    }

    fn transition(&mut self, transition: &Transition) {
        let EntityName::Thing(thing) = &transition.entity else { return };
        match transition.kind {
            TransitionKind::InAlarm => *self.alarmed.entry(thing.clone()).or_default() += 1,
            TransitionKind::AlarmCleared | TransitionKind::AlarmInvalidated => {
                if let Some(open) = self.alarmed.get_mut(thing) {
                    *open -= 1;
                    if *open == 0 {
                        self.alarmed.remove(thing);
                    }
                }
            }
        }
    }

    fn datapoints(&mut self, registry: &Registry, datapoints: &Datapoints) {
        // Of a message's size, the largest of a window decides; minutes of absence are no activity.
        let wanted = matches!(datapoints.aggregate, "count" | "sum" | "max" | "last" | "each");
        let size_sum = datapoints.aggregate == "sum" && datapoints.metric == "aws:message-byte-size";
        let whole = datapoints.dimension.is_none();
        if !wanted || size_sum || !whole || !self.selection.range.contains(datapoints.end) {
            return;
        }
        for (thing, value) in &datapoints.rows {
            if !self.selection.wants_thing(registry, thing) {
                continue;
            }
            if !self.with_alarms && self.alarmed.contains_key(thing) {
                self.learnt.in_alarm += 1;
                continue;
            }
            self.learnt.add(&datapoints.metric, datapoints.end, thing, value);
        }
    }
}

impl Learnt {
    /// Things that were seen.
    #[must_use]
    pub fn things(&self) -> usize {
        self.names.len()
    }

    /// Days for which the things of a metric were observed, all together: of each from its first
    /// to its last datapoint of any metric. In this time the metric could have raised alarms; a
    /// window without a message, say, has no largest message.
    #[must_use]
    pub fn device_days(&self, numbers: &Numbers) -> f64 {
        let of = |thing: &u32| self.seen.get(thing).map_or(0.0, |(from, to)| (to - from + 1) as f64);
        let windows: f64 = numbers.things.iter().map(of).sum();
        windows * f64::from(self.window_secs) / 86_400.0
    }

    fn add(&mut self, metric: &str, end: Timestamp, thing: &str, value: &MetricValue) {
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let thing = match self.names.get(thing) {
            Some(&number) => number,
            None => *self.names.entry(thing.to_owned()).or_insert(next),
        };
        let (first, last) = self.span.unwrap_or((end, end));
        self.span = Some((first.min(end), last.max(end)));
        let window = end.secs().div_euclid(i64::from(self.window_secs.max(1)));
        let (from, to) = self.seen.entry(thing).or_insert((window, window));
        (*from, *to) = ((*from).min(window), (*to).max(window));
        let mut number = |value: f64| {
            if value.is_finite() {
                let numbers = self.numbers.entry(metric.to_owned()).or_default();
                numbers.add(Point { value, thing, window });
            }
        };
        match value {
            MetricValue::Count(count) => number(*count as f64),
            MetricValue::Number(value) => number(*value),
            MetricValue::Ports(ports) => {
                let (lists, unit) = self.list(metric, thing, end);
                ports.iter().for_each(|&port| lists.ports.see(port, unit));
            }
            MetricValue::Cidrs(addresses) => {
                let (lists, unit) = self.list(metric, thing, end);
                let addresses = addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok());
                for address in addresses.map(|address| address.to_canonical()) {
                    for (networks, (v4, v6)) in lists.networks.iter_mut().zip(PREFIXES) {
                        let bits = if address.is_ipv4() { v4 } else { v6 };
                        if let Ok(network) = IpNet::new(address, bits) {
                            networks.see(network.trunc(), unit);
                        }
                    }
                }
            }
            MetricValue::Numbers(_) | MetricValue::Strings(_) => {}
        }
    }

    /// The lists of a metric, and the day of the device.
    fn list(&mut self, metric: &str, thing: u32, end: Timestamp) -> (&mut Lists, (u32, i64)) {
        // A window that ends at midnight belongs to the day before.
        let day = (end.secs() - 1).div_euclid(86_400);
        let lists = self.lists.entry(metric.to_owned()).or_default();
        lists.datapoints += 1;
        let (last, days) = lists.things.entry(thing).or_insert((i64::MIN, 0));
        if *last != day {
            (*last, *days) = (day, *days + 1);
        }
        (lists, (thing, day))
    }
}
