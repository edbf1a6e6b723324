//! Compiled behaviors that apply to an entity, shared by all entities with the same profiles.
//!
//! A thing's own state is then only one [`crate::slot::Slot`] per behavior of its set.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use fleet::{
    arn::Target,
    event::Fact,
    metric::{AwsMetric, Side},
    registry::Registry,
};

use crate::{
    criterion::{Criterion, NumberOperator, ValueKind},
    limit::{Limit, LimitSource},
    statistic::Statistic,
};

/// What a behavior measures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricKey {
    /// A metric that AWS defines.
    Aws(AwsMetric),
    /// A metric that devices report under a name of the user's.
    Custom(Arc<str>),
}

impl MetricKey {
    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Aws(metric) => metric.name(),
            Self::Custom(name) => name,
        }
    }

    /// Facts that feed the metric. A behavior is blind when no source supplies any of them.
    #[must_use]
    pub const fn facts(&self) -> &'static [Fact] {
        match self {
            Self::Custom(_) => &[Fact::Reports],
            Self::Aws(metric) => match metric {
                AwsMetric::MessageByteSize | AwsMetric::NumMessagesSent => &[Fact::Publishes],
                AwsMetric::NumMessagesReceived => &[Fact::Deliveries],
                AwsMetric::NumAuthorizationFailures => &[Fact::AuthFailures, Fact::Denials],
                AwsMetric::SourceIpAddress => &[Fact::Addresses],
                AwsMetric::NumConnectionAttempts => &[Fact::Sessions, Fact::AuthFailures],
                AwsMetric::NumDisconnects | AwsMetric::DisconnectDuration => &[Fact::Sessions],
                AwsMetric::AllBytesOut
                | AwsMetric::AllBytesIn
                | AwsMetric::AllPacketsOut
                | AwsMetric::AllPacketsIn
                | AwsMetric::NumListeningTcpPorts
                | AwsMetric::NumListeningUdpPorts
                | AwsMetric::NumEstablishedTcpConnections
                | AwsMetric::ListeningTcpPorts
                | AwsMetric::ListeningUdpPorts
                | AwsMetric::DestinationIpAddresses => &[Fact::Reports],
            },
        }
    }

    /// Who measures it.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self {
            Self::Aws(metric) => metric.side(),
            Self::Custom(_) => Side::Device,
        }
    }
}

impl fmt::Display for MetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a behavior counts by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// A thing.
    #[default]
    Thing,
    /// A source address.
    SourceIp,
}

impl EntityKind {
    /// The word used in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thing => "thing",
            Self::SourceIp => "source-ip",
        }
    }
}

/// How observations become a datapoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Each observation is a datapoint of its own.
    Each,
    /// The sum over the window. A counter's window without an event is a datapoint of 0.
    Count,
    /// The sum over the window. A window without a report has no datapoint.
    Sum,
    /// The largest of the window.
    Max,
    /// The smallest of the window.
    Min,
    /// The last of the window.
    Last,
    /// Whole minutes since the entity left, judged at each window boundary while it is away
    /// and once more, as 0, when it comes back.
    Away,
}

impl Aggregate {
    /// A stable word, part of a behavior's fingerprint.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Last => "last",
            Self::Away => "away",
        }
    }
}

/// What decides whether a datapoint is compliant.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// A fixed criterion.
    Fixed(Criterion),
    /// A percentile of the values of all things that the profile watches, in the same window.
    Percentile {
        /// Comparison of a thing's value with it.
        op: NumberOperator,
        /// Which percentile.
        statistic: Statistic,
    },
    /// Nothing: the values are only collected.
    Collect,
}

impl Test {
    /// Whether a datapoint can be judged from its value alone.
    #[must_use]
    pub const fn judges(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Percentile { .. } | Self::Collect => false,
        }
    }

    /// A stable text, part of a behavior's fingerprint.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Fixed(criterion) => criterion.canonical(),
            Self::Percentile { op, statistic } => format!("{} {statistic}", op.name()),
            Self::Collect => "collect".into(),
        }
    }
}

/// A behavior that is evaluated, or a metric that is only collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// Security profile.
    pub profile: Arc<str>,
    /// Name, unique in the profile.
    pub name: Arc<str>,
    /// What it measures.
    pub metric: MetricKey,
    /// What it counts by.
    pub entity: EntityKind,
    /// Length of its windows, seconds; none if each observation is a datapoint.
    pub window: Option<u32>,
    /// How observations become a datapoint.
    pub aggregate: Aggregate,
    /// What is compliant.
    pub test: Test,
    /// Violating datapoints in a row that raise the alarm, 1 to 10.
    pub to_alarm: u8,
    /// Compliant datapoints in a row that clear it, 1 to 10.
    pub to_clear: u8,
    /// No notification is wanted.
    pub suppress: bool,
    /// The metric's values are exported.
    pub export: bool,
    /// The criterion as text, such as `less-than 100 in 300 s`.
    pub expected: Arc<str>,
    /// The behavior as configured, compact JSON in the form of AWS, our own keys left out.
    pub json: Arc<str>,
    /// Hash of all that decides: profile, name, metric, entity, window, criterion, counts.
    /// State that was gathered under another fingerprint means nothing and is dropped.
    pub fingerprint: u64,
}

impl Behavior {
    /// Whether it takes values of a kind. A custom metric may arrive with another kind than that of
    /// its criterion; that is no datapoint.
    #[must_use]
    pub const fn takes(&self, kind: ValueKind) -> bool {
        match &self.test {
            Test::Fixed(criterion) => criterion.kind() as u8 == kind as u8,
            Test::Percentile { .. } => matches!(kind, ValueKind::Number),
            Test::Collect => true,
        }
    }

    /// The criterion, if it has a fixed one.
    #[must_use]
    pub const fn criterion(&self) -> Option<&Criterion> {
        match &self.test {
            Test::Fixed(criterion) => Some(criterion),
            Test::Percentile { .. } | Test::Collect => None,
        }
    }

    /// What its datapoints are compared with, as far as the behavior knows by itself.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        match &self.test {
            Test::Fixed(Criterion::Number(criterion)) => {
                Limit::one_sided(criterion.op.bounds_above(), criterion.threshold, LimitSource::Fixed)
            }
            Test::Fixed(
                Criterion::Ports(..)
                | Criterion::Addresses(..)
                | Criterion::Numbers(..)
                | Criterion::Strings(..),
            ) => Limit::unbounded(LimitSource::Set),
            Test::Percentile { .. } | Test::Collect => Limit::unbounded(LimitSource::Fixed),
        }
    }

    /// Whether the ports are compliant. See [`Criterion::judge_ports`].
    #[must_use]
    pub fn judge_ports(&self, values: &[u16]) -> bool {
        self.criterion().is_none_or(|criterion| criterion.judge_ports(values))
    }

    /// Whether the addresses are compliant. See [`Criterion::judge_addresses`].
    #[must_use]
    pub fn judge_addresses(&self, values: &[IpAddr]) -> bool {
        self.criterion().is_none_or(|criterion| criterion.judge_addresses(values))
    }

    /// Whether the numbers are compliant. See [`Criterion::judge_numbers`].
    #[must_use]
    pub fn judge_numbers(&self, values: &[f64]) -> bool {
        self.criterion().is_none_or(|criterion| criterion.judge_numbers(values))
    }

    /// Whether the texts are compliant. See [`Criterion::judge_strings`].
    #[must_use]
    pub fn judge_strings<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> bool {
        self.criterion().is_none_or(|criterion| criterion.judge_strings(values))
    }
}

const METRICS: usize = AwsMetric::ALL.len();

/// Behaviors in the order of profile name, then of the profile; and who listens to what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BehaviorSet {
    behaviors: Vec<Arc<Behavior>>,
    by_metric: [Vec<u16>; METRICS],
    by_custom: Vec<(Arc<str>, Vec<u16>)>,
    windows: Vec<u32>,
    by_window: Vec<Vec<u16>>,
}

impl BehaviorSet {
    /// Most behaviors of a set; those past it are left out.
    pub const BEHAVIORS_MAX: usize = u16::MAX as usize;

    /// From behaviors in their order.
    #[must_use]
    pub fn new(mut behaviors: Vec<Arc<Behavior>>) -> Self {
        behaviors.truncate(Self::BEHAVIORS_MAX);
        let mut by_metric: [Vec<u16>; METRICS] = Default::default();
        let mut by_custom: BTreeMap<Arc<str>, Vec<u16>> = BTreeMap::new();
        let mut by_window: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
        for (index, behavior) in (0_u16..).zip(&behaviors) {
            match &behavior.metric {
                MetricKey::Aws(metric) => {
                    if let Some(listeners) = by_metric.get_mut(*metric as usize) {
                        listeners.push(index);
                    }
                }
                MetricKey::Custom(name) => by_custom.entry(Arc::clone(name)).or_default().push(index),
            }
            if let Some(window) = behavior.window {
                by_window.entry(window).or_default().push(index);
            }
        }
        let (windows, by_window) = by_window.into_iter().unzip();
        Self { behaviors, by_metric, by_custom: by_custom.into_iter().collect(), windows, by_window }
    }

    /// The behaviors; an index into them is what the lookups give.
    #[must_use]
    pub fn behaviors(&self) -> &[Arc<Behavior>] {
        &self.behaviors
    }

    /// Number of behaviors, and so of slots that an entity needs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.behaviors.len()
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.behaviors.is_empty()
    }

    /// Indices of the behaviors of a metric.
    #[must_use]
    #[inline]
    pub fn listeners(&self, metric: AwsMetric) -> &[u16] {
        self.by_metric.get(metric as usize).map_or(&[], Vec::as_slice)
    }

    /// Indices of the behaviors of a custom metric, of whatever kind their criterion is.
    #[must_use]
    pub fn custom(&self, name: &str) -> &[u16] {
        let found = self.by_custom.binary_search_by(|(own, _)| (**own).cmp(name));
        found.ok().and_then(|at| self.by_custom.get(at)).map_or(&[], |(_, listeners)| listeners)
    }

    /// The distinct window lengths, seconds, shortest first.
    #[must_use]
    pub fn windows(&self) -> &[u32] {
        &self.windows
    }

    /// Indices of the behaviors with windows of `secs` seconds.
    #[must_use]
    pub fn windowed(&self, secs: u32) -> &[u16] {
        let found = self.windows.binary_search(&secs);
        found.ok().and_then(|at| self.by_window.get(at)).map_or(&[], Vec::as_slice)
    }
}

/// Number of a behavior set in a [`Compiled`]; means nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(u32);

/// A profile, ready to be looked up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) targets: Vec<Target>,
    pub(crate) of_things: Vec<Arc<Behavior>>,
    pub(crate) of_addresses: Vec<Arc<Behavior>>,
    /// Metrics that are only collected; they listen behind the behaviors.
    pub(crate) collected: Vec<Arc<Behavior>>,
}

/// All profiles compiled. An immutable value to its users: sets are made when they are first
/// asked for, and stay.
#[derive(Debug)]
pub struct Compiled {
    parts: Vec<Part>,
    windows: Vec<u32>,
    interned: Mutex<BTreeMap<Vec<u16>, SetId>>,
    sets: Shelf,
    overflowed: AtomicU64,
}

/// Most sets that are kept. Only so many different combinations of profiles can be told apart;
/// a thing with yet another one gets the empty set, and is counted.
pub const SETS_MAX: usize = 65_536;

const OF_ADDRESSES: SetId = SetId(0);
const EMPTY: SetId = SetId(1);

impl Compiled {
    /// `parts` in the order of profile name.
    pub(crate) fn new(mut parts: Vec<Part>) -> Self {
        parts.truncate(usize::from(u16::MAX));
        let of_addresses = parts.iter().filter(|part| !part.targets.is_empty());
        let of_addresses: Vec<_> = of_addresses.flat_map(|part| part.of_addresses.iter().cloned()).collect();
        let all = parts
            .iter()
            .flat_map(|part| part.of_things.iter().chain(&part.of_addresses).chain(&part.collected));
        let mut windows: Vec<u32> = all.filter_map(|behavior| behavior.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let sets = Shelf::default();
        sets.put(OF_ADDRESSES.0, BehaviorSet::new(of_addresses));
        sets.put(EMPTY.0, BehaviorSet::default());
        let interned = Mutex::new(BTreeMap::from([(Vec::new(), EMPTY)]));
        Self { parts, windows, interned, sets, overflowed: AtomicU64::new(0) }
    }

    /// The set of a thing: the behaviors of the profiles whose target it is. A thing that is not
    /// in `registry.things` is unregistered.
    pub fn set_for(&self, thing: &str, registry: &Registry) -> SetId {
        let applying = (0_u16..).zip(&self.parts);
        let applying = applying.filter(|(_, part)| !part.of_things.is_empty() || !part.collected.is_empty());
        let applying = applying.filter(|(_, part)| part.targets.iter().any(|t| holds(t, thing, registry)));
        self.intern(applying.map(|(index, _)| index).collect())
    }

    /// The set of every source address: behaviors that count by address, of all profiles that have a target.
    #[must_use]
    pub const fn set_for_address(&self) -> SetId {
        OF_ADDRESSES
    }

    /// The set of that number.
    #[must_use]
    pub fn set(&self, id: SetId) -> &BehaviorSet {
        static NONE: OnceLock<BehaviorSet> = OnceLock::new();
        self.sets.at(id.0).unwrap_or_else(|| NONE.get_or_init(BehaviorSet::default))
    }

    /// The distinct window lengths of all behaviors, seconds, shortest first.
    #[must_use]
    pub fn windows(&self) -> &[u32] {
        &self.windows
    }

    /// Every behavior that is evaluated, in order of profile name, then of the profile.
    pub fn behaviors(&self) -> impl Iterator<Item = &Arc<Behavior>> {
        self.parts.iter().flat_map(|part| part.of_things.iter().chain(&part.of_addresses))
    }

    /// How often a thing got the empty set because [`SETS_MAX`] was reached.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    fn intern(&self, profiles: Vec<u16>) -> SetId {
        let mut interned = self.interned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = interned.get(&profiles) {
            return id;
        }
        // One more than the combinations: the addresses' set is not among them.
        let id = match u32::try_from(interned.len() + 1) {
            Ok(next) if interned.len() + 1 < SETS_MAX => SetId(next),
            _ => {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
                return EMPTY;
            }
        };
        let parts = || profiles.iter().filter_map(|&index| self.parts.get(usize::from(index)));
        let mut behaviors: Vec<_> = parts().flat_map(|part| part.of_things.iter().cloned()).collect();
        behaviors.extend(each_once(parts().flat_map(|part| &part.collected)));
        self.sets.put(id.0, BehaviorSet::new(behaviors));
        interned.insert(profiles, id);
        id
    }
}

/// Collectors of several profiles, each metric once; it is exported if one of them says so.
fn each_once<'a>(collectors: impl Iterator<Item = &'a Arc<Behavior>>) -> impl Iterator<Item = Arc<Behavior>> {
    let mut all: BTreeMap<(MetricKey, &'static str), Arc<Behavior>> = BTreeMap::new();
    for collector in collectors {
        let key = (collector.metric.clone(), collector.aggregate.name());
        let known = all.entry(key).or_insert_with(|| Arc::clone(collector));
        if collector.export {
            *known = Arc::clone(collector);
        }
    }
    all.into_values()
}

fn holds(target: &Target, thing: &str, registry: &Registry) -> bool {
    match target {
        Target::AllThings => true,
        Target::RegisteredThings => registry.things.contains_key(thing),
        Target::UnregisteredThings => !registry.things.contains_key(thing),
        Target::Group(group) => registry.is_member(thing, group),
    }
}

/// A list that only grows and whose elements never move, so that they can be borrowed while
/// others are added: shelf `n` holds 2^n of them and is made when first needed.
#[derive(Debug, Default)]
struct Shelf([OnceLock<Box<[OnceLock<BehaviorSet>]>>; 17]);

impl Shelf {
    fn at(&self, index: u32) -> Option<&BehaviorSet> {
        let (shelf, at) = Self::place(index);
        self.0.get(shelf)?.get()?.get(at)?.get()
    }

    fn put(&self, index: u32, set: BehaviorSet) {
        let (shelf, at) = Self::place(index);
        if let Some(shelf_cell) = self.0.get(shelf) {
            let cells = shelf_cell.get_or_init(|| (0..1_usize << shelf).map(|_| OnceLock::new()).collect());
            if let Some(cell) = cells.get(at) {
                cell.get_or_init(|| set);
            }
        }
    }

    const fn place(index: u32) -> (usize, usize) {
        let number = index as usize + 1;
        let shelf = number.ilog2() as usize;
        (shelf, number - (1 << shelf))
    }
}
