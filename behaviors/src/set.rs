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
    allow::AllowList,
    criterion::{Criterion, NumberOperator, ValueKind},
    dimension::{Dimensions, Mask, Narrowed},
    learned::{
        Learned,
        absence::Reasons,
        known::KnownSet,
        peers::{PeerGroup, Peers},
    },
    limit::{Limit, LimitSource},
    own::OwnMetric,
    statistic::Statistic,
};

/// What a behavior measures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricKey {
    /// A metric that AWS defines.
    Aws(AwsMetric),
    /// A metric of our own.
    Own(OwnMetric),
    /// A metric that devices report under a name of the user's.
    Custom(Arc<str>),
}

impl MetricKey {
    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Aws(metric) => metric.name(),
            Self::Own(metric) => metric.name(),
            Self::Custom(name) => name,
        }
    }

    /// The bit of a metric that brokers tell of, in a set of metrics; none of custom ones.
    #[must_use]
    pub const fn bit(&self) -> Option<u32> {
        match self {
            Self::Aws(metric) => Some(*metric as u32),
            Self::Own(metric) => Some(FIRST_OWN_BIT + *metric as u32),
            Self::Custom(_) => None,
        }
    }

    /// Facts that feed the metric. A behavior is blind when no source supplies any of them.
    #[must_use]
    pub const fn facts(&self) -> &'static [Fact] {
        match self {
            Self::Custom(_) => &[Fact::Reports],
            Self::Own(metric) => metric.facts(),
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
            Self::Own(_) => Side::Cloud,
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
    /// User name or certificate identity of a session.
    Principal,
    /// A source address, or the network that it lies in.
    SourceIp {
        /// Length of the network's prefix, 0 to 32, of IPv4 addresses.
        v4: u8,
        /// The same, 0 to 128, of IPv6 addresses.
        v6: u8,
    },
    /// A topic.
    Topic,
    /// A thing group; a thing counts for its groups and the groups above them.
    ThingGroup,
    /// All things together.
    Fleet,
    /// A client id that somebody claimed who was refused. It is never held against the thing that the
    /// id belongs to, and can never lead to an action.
    ClaimedClientId,
}

impl EntityKind {
    /// A source address by itself.
    pub const ADDRESS: Self = Self::SourceIp { v4: 32, v6: 128 };
    /// One of each, a network with the whole address.
    pub const ALL: [Self; 7] = [
        Self::Thing,
        Self::Principal,
        Self::ADDRESS,
        Self::Topic,
        Self::ThingGroup,
        Self::Fleet,
        Self::ClaimedClientId,
    ];

    /// The word used in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thing => "thing",
            Self::Principal => "principal",
            Self::SourceIp { .. } => "source-ip",
            Self::Topic => "topic",
            Self::ThingGroup => "thing-group",
            Self::Fleet => "fleet",
            Self::ClaimedClientId => "claimed-client-id",
        }
    }

    /// A stable text with everything, part of a behavior's fingerprint.
    #[must_use]
    pub fn canonical(self) -> String {
        match self {
            Self::SourceIp { v4, v6 } if self != Self::ADDRESS => format!("source-ip/{v4}/{v6}"),
            _ => self.name().into(),
        }
    }
}

/// What a behavior counts different ones of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// Things; of refused logins the client ids that were claimed.
    Things,
    /// Source addresses.
    SourceIps,
    /// User names or certificate identities.
    Principals,
    /// Topics.
    Topics,
}

impl Item {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Things, Self::SourceIps, Self::Principals, Self::Topics];

    /// The word used in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Things => "things",
            Self::SourceIps => "source-ips",
            Self::Principals => "principals",
            Self::Topics => "topics",
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
    /// How many different [`Item`]s the window's events named. A window without one is a datapoint
    /// of 0.
    Distinct,
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
            Self::Distinct => "distinct",
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
    /// The entity's own past.
    Learned(Learned),
    /// Nothing: the values are only collected.
    Collect,
}

impl Test {
    /// Whether a datapoint can be judged from its value alone.
    #[must_use]
    pub const fn judges(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Percentile { .. } | Self::Learned(_) | Self::Collect => false,
        }
    }

    /// A stable text, part of a behavior's fingerprint.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Fixed(criterion) => criterion.canonical(),
            Self::Percentile { op, statistic } => format!("{} {statistic}", op.name()),
            Self::Learned(rule) => format!("{} {rule}", rule.key()),
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
    /// Which messages count; all if nothing.
    pub narrowed: Option<Narrowed>,
    /// What it counts by.
    pub entity: EntityKind,
    /// What it counts different ones of, instead of all events.
    pub distinct: Option<Item>,
    /// Length of its windows, seconds; none if each observation is a datapoint.
    pub window: Option<u32>,
    /// How observations become a datapoint.
    pub aggregate: Aggregate,
    /// What is compliant.
    pub test: Test,
    /// Reasons of the disconnects that it looks at.
    pub reasons: Reasons,
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
    /// Whether it learns the topics of messages.
    #[must_use]
    pub fn warm_up(&self) -> Option<Peers> {
        match self.learned() {
            Some(Learned::Baseline(rule)) => rule.warm_up,
            _ => None,
        }
    }

    /// The set of values that a group is known for together, if it has one.
    #[must_use]
    pub fn known_together(&self) -> Option<(&KnownSet, Peers)> {
        match self.learned() {
            Some(Learned::Known(rule)) => rule.of.map(|of| (rule, of)),
            _ => None,
        }
    }

    /// Whether it learns the topics of messages.
    #[must_use]
    pub fn learns_topics(&self) -> bool {
        let sent = matches!(self.metric, MetricKey::Aws(AwsMetric::NumMessagesSent));
        sent && matches!(self.test, Test::Learned(Learned::Known(_)))
    }

    /// Whether it needs a slot. Judgements that keep no window do not: one word beside their own
    /// says whether they are in alarm, instead of a slot and its last datapoints.
    #[must_use]
    pub const fn needs_slot(&self) -> bool {
        match &self.test {
            Test::Learned(rule) => matches!(rule, Learned::Baseline(_) | Learned::Counts(_)),
            Test::Fixed(_) | Test::Percentile { .. } | Test::Collect => true,
        }
    }

    /// The learned judgement, if it has one.
    #[must_use]
    #[inline]
    pub const fn learned(&self) -> Option<&Learned> {
        match &self.test {
            Test::Learned(rule) => Some(rule),
            Test::Fixed(_) | Test::Percentile { .. } | Test::Collect => None,
        }
    }

    /// Whether it takes values of a kind. A custom metric may arrive with another kind than that of
    /// its criterion; that is no datapoint.
    #[must_use]
    pub const fn takes(&self, kind: ValueKind) -> bool {
        match &self.test {
            Test::Fixed(criterion) => criterion.kind() as u8 == kind as u8,
            Test::Percentile { .. } => matches!(kind, ValueKind::Number),
            Test::Learned(rule) => rule.takes(kind),
            Test::Collect => true,
        }
    }

    /// The criterion, if it has a fixed one.
    #[must_use]
    pub const fn criterion(&self) -> Option<&Criterion> {
        match &self.test {
            Test::Fixed(criterion) => Some(criterion),
            Test::Percentile { .. } | Test::Learned(_) | Test::Collect => None,
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
            Test::Percentile { .. } | Test::Learned(_) | Test::Collect => {
                Limit::unbounded(LimitSource::Fixed)
            }
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
/// The metrics of AWS are before ours.
const FIRST_OWN_BIT: u32 = AwsMetric::DestinationIpAddresses as u32 + 1;
const _: () = assert!(FIRST_OWN_BIT as usize == METRICS && BITS <= 64);
/// Metrics that brokers tell of: a set of them fits into 64 bits.
const BITS: usize = METRICS + OwnMetric::ALL.len();

/// Behaviors in the order of profile name, then of the profile, those without a slot after the
/// others; and who listens to what.
#[derive(Clone, Debug, PartialEq)]
pub struct BehaviorSet {
    behaviors: Vec<Arc<Behavior>>,
    by_metric: [Vec<u16>; BITS],
    /// Those that a dimension narrows, by metric.
    narrowed: Vec<(AwsMetric, u16)>,
    by_custom: Vec<(Arc<str>, Vec<u16>)>,
    windows: Vec<u32>,
    by_window: Vec<Vec<u16>>,
    /// Behaviors that look at sessions as such.
    of_sessions: Vec<u16>,
    /// Where the words of each behavior's learned judgement begin, and where the last ones end.
    words: Vec<u32>,
    /// Behaviors that need a slot: they come first.
    slots: usize,
    /// Behaviors whose levels stand in for those of new things.
    warm: Vec<u16>,
    /// The group of the things that have this set, where that matters.
    group: PeerGroup,
}

impl Default for BehaviorSet {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl BehaviorSet {
    /// Most behaviors of a set; those past it are left out.
    pub const BEHAVIORS_MAX: usize = u16::MAX as usize;

    /// From behaviors in their order.
    #[must_use]
    pub fn new(mut behaviors: Vec<Arc<Behavior>>) -> Self {
        behaviors.truncate(Self::BEHAVIORS_MAX);
        behaviors.sort_by_key(|behavior| !behavior.needs_slot());
        let slots = behaviors.iter().filter(|behavior| behavior.needs_slot()).count();
        let mut by_metric: [Vec<u16>; BITS] = std::array::from_fn(|_| Vec::new());
        let mut by_custom: BTreeMap<Arc<str>, Vec<u16>> = BTreeMap::new();
        let mut by_window: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
        let mut narrowed = Vec::new();
        let (mut of_sessions, mut words) = (Vec::new(), vec![0]);
        for (index, behavior) in (0_u16..).zip(&behaviors) {
            match (&behavior.metric, behavior.metric.bit()) {
                (MetricKey::Aws(metric), _) if behavior.narrowed.is_some() => narrowed.push((*metric, index)),
                (MetricKey::Custom(name), _) => by_custom.entry(Arc::clone(name)).or_default().push(index),
                (_, Some(bit)) => {
                    if let Some(listeners) = by_metric.get_mut(bit as usize) {
                        listeners.push(index);
                    }
                }
                (_, None) => {}
            }
            let learned = behavior.learned();
            let end = words.last().copied().unwrap_or(0);
            let own = learned.map_or(0, |rule| rule.words() + usize::from(!behavior.needs_slot()));
            words.push(end + u32::try_from(own).unwrap_or(0));
            if matches!(learned, Some(Learned::Absence(_) | Learned::Flapping(_))) {
                of_sessions.push(index);
            }
            if let Some(window) = behavior.window {
                by_window.entry(window).or_default().push(index);
            }
        }
        let (windows, by_window) = by_window.into_iter().unzip();
        let by_custom = by_custom.into_iter().collect();
        let warm = (0_u16..).zip(&behaviors).filter(|(_, own)| own.warm_up().is_some()).map(|(at, _)| at);
        let (warm, group) = (warm.collect(), PeerGroup::FLEET);
        Self {
            behaviors,
            by_metric,
            narrowed,
            by_custom,
            windows,
            by_window,
            of_sessions,
            words,
            slots,
            warm,
            group,
        }
    }

    /// The group that the things of this set learn with; the fleet if they have none or learn by
    /// themselves.
    #[must_use]
    pub const fn group(&self) -> PeerGroup {
        self.group
    }

    /// Indices of the behaviors whose levels stand in for those of new things, and their windows, seconds.
    #[must_use]
    pub fn warm(&self) -> &[u16] {
        &self.warm
    }

    /// Slots that an entity needs, for the first behaviors of the set.
    #[must_use]
    #[inline]
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// Where the word is that stands for the slot of a behavior without one.
    #[must_use]
    pub fn state_of(&self, order: u16) -> Option<usize> {
        let words = self.words_of(order);
        (usize::from(order) >= self.slots && !words.is_empty()).then(|| words.end - 1)
    }

    /// Words of state that an entity needs for its learned judgements.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words.last().map_or(0, |&end| end as usize)
    }

    /// Where the words of a behavior are among those of the entity.
    #[must_use]
    #[inline]
    pub fn words_of(&self, order: u16) -> std::ops::Range<usize> {
        let at = |index: usize| self.words.get(index).map_or(0, |&at| at as usize);
        at(usize::from(order))..at(usize::from(order) + 1)
    }

    /// Indices of the behaviors that look at sessions as such: absence and flapping.
    #[must_use]
    pub fn of_sessions(&self) -> &[u16] {
        &self.of_sessions
    }

    /// The behaviors; an index into them is what the lookups give.
    #[must_use]
    pub fn behaviors(&self) -> &[Arc<Behavior>] {
        &self.behaviors
    }

    /// Number of behaviors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.behaviors.len()
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.behaviors.is_empty()
    }

    /// Indices of the behaviors of a metric that a dimension narrows, and that count a message with
    /// this mask.
    pub fn narrowed(&self, metric: AwsMetric, mask: Mask) -> impl Iterator<Item = u16> {
        self.narrowed.iter().filter(move |(own, _)| *own == metric).map(|(_, index)| *index).filter(
            move |index| {
                let behavior = self.behaviors.get(usize::from(*index));
                let narrowed = behavior.and_then(|behavior| behavior.narrowed.as_ref());
                narrowed.is_some_and(|narrowed| narrowed.counts(mask))
            },
        )
    }

    /// Indices of the behaviors of a metric that no dimension narrows.
    #[must_use]
    #[inline]
    pub fn listeners(&self, metric: AwsMetric) -> &[u16] {
        self.by_metric.get(metric as usize).map_or(&[], Vec::as_slice)
    }

    /// Indices of the behaviors of the metric with this bit ([`MetricKey::bit`]).
    #[must_use]
    #[inline]
    pub fn with_bit(&self, bit: u32) -> &[u16] {
        self.by_metric.get(bit as usize).map_or(&[], Vec::as_slice)
    }

    /// The metrics that behaviors listen to, by bit.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.behaviors
            .iter()
            .filter_map(|behavior| behavior.metric.bit())
            .fold(0, |bits, bit| bits | 1 << bit)
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
    /// Those that count by something else, or different ones of something.
    pub(crate) keyed: Vec<Arc<Behavior>>,
    /// Metrics that are only collected; they listen behind the behaviors.
    pub(crate) collected: Vec<Arc<Behavior>>,
}

/// Behaviors that count by the same kind of entity, other than by thing. They apply to every entity
/// of the kind: an address is no target.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they count by.
    pub kind: EntityKind,
    /// The behaviors.
    pub set: BehaviorSet,
    /// Metrics that they listen to, by bit.
    pub bits: u64,
}

/// All profiles compiled. An immutable value to its users: sets are made when they are first
/// asked for, and stay.
#[derive(Debug)]
pub struct Compiled {
    parts: Vec<Part>,
    windows: Vec<u32>,
    /// Window lengths of behaviors that compare with a percentile.
    statistical: Vec<u32>,
    /// Lengths of the periods after which all put together what they have learnt.
    pooled: Vec<u32>,
    /// Profiles whose behaviors learn with the group, by part.
    by_group: Vec<bool>,
    dimensions: Dimensions,
    groups: Vec<Group>,
    /// Metrics that groups listen to, by bit.
    group_bits: u64,
    /// Metrics of our own that behaviors of things listen to, by bit.
    own_bits: u64,
    allowed: Option<AllowList>,
    /// Whether a dimension narrows the address that a message came from.
    addresses_narrowed: bool,
    interned: Mutex<BTreeMap<(Vec<u16>, PeerGroup), SetId>>,
    sets: Shelf,
    overflowed: AtomicU64,
}

/// Most sets that are kept. Only so many different combinations of profiles can be told apart;
/// a thing with yet another one gets the empty set, and is counted.
pub const SETS_MAX: usize = 65_536;

/// Room among them that sets of groups leave to the others.
const GROUPLESS_SETS: usize = 4_096;

/// How often values that a group is known for are put together, seconds: the usual grid of windows.
pub const POOL_SECS: u32 = 300;

const EMPTY: SetId = SetId(0);

impl SetId {
    /// The set of nobody, with no behavior.
    pub const NONE: Self = EMPTY;
}

impl Compiled {
    /// `parts` in the order of profile name.
    pub(crate) fn new(mut parts: Vec<Part>, dimensions: Dimensions, allowed: Option<AllowList>) -> Self {
        parts.truncate(usize::from(u16::MAX));
        let groups = groups(&parts);
        let all = || {
            let lists = |part: &Part| [part.of_things.clone(), part.keyed.clone(), part.collected.clone()];
            parts.iter().flat_map(lists).flatten()
        };
        let all: Vec<Arc<Behavior>> = all().collect();
        let together = all.iter().any(|behavior| behavior.known_together().is_some());
        let period = together.then_some(POOL_SECS);
        let windows = distinct(all.iter().filter_map(|behavior| behavior.window).chain(period));
        let warm = all.iter().filter(|behavior| behavior.warm_up().is_some());
        let pooled = distinct(warm.filter_map(|behavior| behavior.window).chain(period));
        let grouped = |behavior: &Arc<Behavior>| {
            let known = behavior.known_together().map(|(_, of)| of);
            [behavior.warm_up(), known].contains(&Some(Peers::Group))
        };
        let by_group = parts.iter().map(|part| part.of_things.iter().any(grouped)).collect();
        let percentile = |behavior: &&Arc<Behavior>| matches!(behavior.test, Test::Percentile { .. });
        let statistical = distinct(all.iter().filter(percentile).filter_map(|behavior| behavior.window));
        let used = all.iter().any(|behavior| behavior.narrowed.is_some());
        let dimensions = if used { dimensions } else { Dimensions::default() };
        let address = MetricKey::Aws(AwsMetric::SourceIpAddress);
        let own = |part: &Part| BehaviorSet::new(part.of_things.clone()).bits();
        let own_bits = parts.iter().fold(0, |bits, part| bits | own(part)) >> FIRST_OWN_BIT << FIRST_OWN_BIT;
        let addresses_narrowed =
            all.iter().any(|behavior| behavior.narrowed.is_some() && behavior.metric == address);
        let sets = Shelf::default();
        sets.put(EMPTY.0, BehaviorSet::default());
        let interned = Mutex::new(BTreeMap::from([((Vec::new(), PeerGroup::FLEET), EMPTY)]));
        Self {
            parts,
            windows,
            statistical,
            pooled,
            by_group,
            dimensions,
            group_bits: groups.iter().fold(0, |bits, group| bits | group.bits),
            groups,
            own_bits,
            allowed,
            addresses_narrowed,
            interned,
            sets,
            overflowed: AtomicU64::new(0),
        }
    }

    /// The set of a thing: the behaviors of the profiles whose target it is. A thing that is not
    /// in `registry.things` is unregistered.
    pub fn set_for(&self, thing: &str, registry: &Registry) -> SetId {
        let applying = (0_u16..).zip(&self.parts);
        let applying = applying.filter(|(_, part)| !part.of_things.is_empty() || !part.collected.is_empty());
        let applying = applying.filter(|(_, part)| part.targets.iter().any(|t| holds(t, thing, registry)));
        let profiles: Vec<u16> = applying.map(|(index, _)| index).collect();
        let by_group = |index: &u16| self.by_group.get(usize::from(*index)) == Some(&true);
        let group = registry.things.get(thing).and_then(|thing| thing.groups.first());
        let group = group.filter(|_| profiles.iter().any(by_group)).map(PeerGroup::named);
        self.intern((profiles, group.unwrap_or_default()))
    }

    /// Behaviors that count by something else than by thing, of all profiles that have a target.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Metrics that [`Compiled::groups`] listen to, by bit.
    #[must_use]
    pub const fn group_bits(&self) -> u64 {
        self.group_bits
    }

    /// Metrics of our own that behaviors of things listen to, by bit.
    #[must_use]
    pub const fn own_bits(&self) -> u64 {
        self.own_bits
    }

    /// The allow list, if there is one.
    #[must_use]
    pub const fn allowed(&self) -> Option<&AllowList> {
        self.allowed.as_ref()
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

    /// Whether a behavior with windows of `secs` seconds compares with a percentile.
    #[must_use]
    pub fn is_statistical(&self, secs: u32) -> bool {
        self.statistical.binary_search(&secs).is_ok()
    }

    /// Whether all put together what they have learnt at the ends of windows of `secs` seconds.
    #[must_use]
    pub fn is_pooled(&self, secs: u32) -> bool {
        self.pooled.binary_search(&secs).is_ok()
    }

    /// The dimensions; none if no behavior uses one.
    #[must_use]
    pub const fn dimensions(&self) -> &Dimensions {
        &self.dimensions
    }

    /// Whether a dimension narrows `aws:source-ip-address`, so that the address of each message counts.
    #[must_use]
    pub const fn narrows_addresses(&self) -> bool {
        self.addresses_narrowed
    }

    /// Every behavior that is evaluated, in order of profile name, then of the profile.
    pub fn behaviors(&self) -> impl Iterator<Item = &Arc<Behavior>> {
        self.parts.iter().flat_map(|part| part.of_things.iter().chain(&part.keyed))
    }

    /// Whether any behavior learns the topics of messages.
    #[must_use]
    pub fn learns_topics(&self) -> bool {
        self.behaviors().any(|behavior| behavior.learns_topics())
    }

    /// How often a thing got the empty set because [`SETS_MAX`] was reached.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// The set of these profiles for things of this group. Of more groups than there is room for, the
    /// things learn with the fleet.
    fn intern(&self, key: (Vec<u16>, PeerGroup)) -> SetId {
        let mut interned = self.interned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = interned.get(&key) {
            return id;
        }
        let (profiles, group) = &key;
        let id = match u32::try_from(interned.len()) {
            Ok(next)
                if interned.len() < SETS_MAX - usize::from(*group != PeerGroup::FLEET) * GROUPLESS_SETS =>
            {
                SetId(next)
            }
            _ if *group != PeerGroup::FLEET => {
                drop(interned);
                return self.intern((key.0, PeerGroup::FLEET));
            }
            _ => {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
                return EMPTY;
            }
        };
        let parts = || profiles.iter().filter_map(|&index| self.parts.get(usize::from(index)));
        let mut behaviors: Vec<_> = parts().flat_map(|part| part.of_things.iter().cloned()).collect();
        behaviors.extend(each_once(parts().flat_map(|part| &part.collected)));
        self.sets.put(id.0, BehaviorSet { group: *group, ..BehaviorSet::new(behaviors) });
        interned.insert(key, id);
        id
    }
}

fn groups(parts: &[Part]) -> Vec<Group> {
    let mut by_kind: BTreeMap<EntityKind, Vec<Arc<Behavior>>> = BTreeMap::new();
    let keyed = parts.iter().filter(|part| !part.targets.is_empty()).flat_map(|part| &part.keyed);
    for behavior in keyed {
        by_kind.entry(behavior.entity).or_default().push(Arc::clone(behavior));
    }
    let group = |(kind, behaviors)| {
        let set = BehaviorSet::new(behaviors);
        Group { kind, bits: set.bits(), set }
    };
    by_kind.into_iter().map(group).collect()
}

fn distinct(windows: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut windows: Vec<u32> = windows.collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

/// Collectors of several profiles, each metric once; it is exported if one of them says so.
fn each_once<'a>(collectors: impl Iterator<Item = &'a Arc<Behavior>>) -> impl Iterator<Item = Arc<Behavior>> {
    let mut all: BTreeMap<(MetricKey, Option<Narrowed>, &'static str), Arc<Behavior>> = BTreeMap::new();
    for collector in collectors {
        let key = (collector.metric.clone(), collector.narrowed.clone(), collector.aggregate.name());
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
