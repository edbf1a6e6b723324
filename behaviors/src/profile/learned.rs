//! Reads what AWS has no criterion for: the judgements under `fleetward` of a behavior.

use fleet::metric::{AwsMetric, Shape};

use super::document::{Document, Fields, Node, list};
use crate::{
    learned::{
        Learned,
        absence::{Absence, REASONS, Reasons},
        baseline::Baseline,
        chart::{Chart, Direction},
        clock::Clock,
        count::{CountModel, Counts},
        flapping::Flapping,
        known::KnownSet,
        peers::Peers,
        scale::Scale,
        season::Season,
        silence::{Habit, Silence},
    },
    set::MetricKey,
};

/// The judgements; a behavior has one of them at most.
pub(super) const JUDGEMENTS: [&str; 7] =
    ["baseline", "counts", "learn", "silence", "absence", "flapping", "clock"];
/// Narrows the metric to disconnects for some reasons.
pub(super) const DISCONNECTS: &str = "disconnects";

/// Promised false alarms a datapoint: one in 10,000, that is 35 days of 300 s.
const RATE: f64 = 1e-4;
const WEEK_SECS: u64 = 7 * 86_400;

/// What was read. Whatever is wrong has been reported.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// A judgement was named, right or wrong.
    pub(super) named: bool,
    pub(super) learned: Option<Learned>,
    pub(super) reasons: Option<Reasons>,
    /// Something was wrong.
    pub(super) failed: bool,
}

/// Reads the judgement among the members of `fleetward`. `window` is `durationSeconds`, if given.
pub(super) fn read(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    metric: Option<&MetricKey>,
    window: Option<u32>,
) -> Read {
    let mut read = Read::default();
    let there: Vec<&'static str> = JUDGEMENTS.into_iter().filter(|key| fields.has(key)).collect();
    if let [_, second, ..] = *there.as_slice() {
        let node = fields.get(second);
        let (at, place) = node.map_or((fields.at(), fields.place()), |node| (node.at(), node.place()));
        document.error(at, place, format!("has {}; at most one of them is allowed", list(&there)));
        read.failed = true;
    }
    if let Some(node) = fields.get(DISCONNECTS) {
        read.reasons = reasons(document, node);
        read.failed |= read.reasons.is_none();
        let fits = is_one_of(document, node, metric, &[AwsMetric::NumDisconnects]);
        read.failed |= !fits;
    }
    let [key] = *there.as_slice() else { return read };
    read.named = true;
    if let (Some(node), Some(metric)) = (fields.get(key), metric) {
        read.learned = judgement(document, node, key, metric, window);
    }
    read.failed |= read.learned.is_none();
    read
}

fn judgement(
    document: &mut Document<'_>,
    node: &Node<'_>,
    key: &str,
    metric: &MetricKey,
    window: Option<u32>,
) -> Option<Learned> {
    match key {
        "baseline" => baseline(document, node, metric, window).map(Learned::Baseline),
        "counts" => counts(document, node, metric, window).map(Learned::Counts),
        "learn" => known(document, node, metric).map(Learned::Known),
        "silence" => silence(document, node, metric).map(Learned::Silence),
        "absence" => absence(document, node, metric).map(Learned::Absence),
        "flapping" => flapping(document, node, metric).map(Learned::Flapping),
        _ => clock(document, node, metric).map(Learned::Clock),
    }
}

/// Whether the metric is one of some; if not, that is a problem at `node`.
fn is_one_of(
    document: &mut Document<'_>,
    node: &Node<'_>,
    metric: Option<&MetricKey>,
    allowed: &[AwsMetric],
) -> bool {
    let Some(metric) = metric else { return true };
    let fits = matches!(metric, MetricKey::Aws(metric) if allowed.contains(metric));
    if !fits {
        let names: Vec<&str> = allowed.iter().map(|metric| metric.name()).collect();
        let message = format!("does not fit `{metric}`; it fits {}", list(&names));
        document.error(node.at(), node.place(), message);
    }
    fits
}

fn fits(
    document: &mut Document<'_>,
    node: &Node<'_>,
    metric: &MetricKey,
    what: &str,
    fits: impl Fn(AwsMetric) -> bool,
    custom: bool,
) -> Option<()> {
    let ok = match metric {
        MetricKey::Aws(metric) => fits(*metric),
        // Events of our own are counted as any other.
        MetricKey::Own(metric) => metric.is_counter() && fits(AwsMetric::NumMessagesSent),
        MetricKey::Custom(_) => custom,
    };
    if !ok {
        let able: Vec<&str> = AwsMetric::ALL.into_iter().filter(|m| fits(*m)).map(AwsMetric::name).collect();
        let also = if custom { " and custom metrics" } else { "" };
        let message = format!("does not fit `{metric}`; {what} fits {}{also}", list(&able));
        document.error(node.at(), node.place(), message);
    }
    ok.then_some(())
}

const fn is_number(metric: AwsMetric) -> bool {
    match metric.shape() {
        Shape::Counter | Shape::Each | Shape::Gauge | Shape::Delta => true,
        Shape::Duration | Shape::Ports | Shape::Addresses => false,
    }
}

/// A member that is a whole number, or else the usual one. Nothing if it is wrong.
fn whole(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    key: &str,
    (min, max): (u64, u64),
    usual: u64,
) -> Option<u32> {
    let number = match fields.get(key) {
        Some(node) => document.whole(node, min, max)?,
        None => usual.clamp(min, max),
    };
    u32::try_from(number).ok()
}

/// A member that is a number within bounds, or else the usual one.
fn number(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    key: &str,
    (min, max): (f64, f64),
    usual: f64,
) -> Option<f64> {
    let Some(node) = fields.get(key) else { return Some(usual) };
    let number = document.number(node)?;
    if (min..=max).contains(&number) {
        return Some(number);
    }
    let message = format!("found `{number}`; allowed are numbers from {min} to {max}");
    document.error(node.at(), node.place(), message);
    None
}

fn word<T: Copy>(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    key: &str,
    words: &[(&str, T)],
    usual: T,
) -> Option<T> {
    fields.get(key).map_or(Some(usual), |node| document.word(node, words))
}

fn flag(document: &mut Document<'_>, fields: &Fields<'_>, key: &str, usual: bool) -> Option<bool> {
    fields.get(key).map_or(Some(usual), |node| document.flag(node))
}

fn rate(document: &mut Document<'_>, fields: &Fields<'_>, key: &str) -> Option<f64> {
    number(document, fields, key, (1e-6, 0.1), RATE)
}

fn baseline(
    document: &mut Document<'_>,
    node: &Node<'_>,
    metric: &MetricKey,
    window: Option<u32>,
) -> Option<Baseline> {
    const KEYS: [&str; 10] = [
        "season",
        "chart",
        "direction",
        "falseAlarmsPerDatapoint",
        "learnDatapoints",
        "memoryDatapoints",
        "ignoreBelow",
        "learnInAlarm",
        "resolution",
        "warmUp",
    ];
    let fields = document.fields(node, &KEYS)?;
    let fitting = fits(document, node, metric, "a baseline", is_number, true);
    let seasons = [("none", Season::None), ("hour-of-day", Season::Day), ("hour-of-week", Season::Week)];
    let season = word(document, &fields, "season", &seasons, Season::None);
    let charts = [Chart::Outlier, Chart::Cusum, Chart::Ewma].map(|chart| (chart.name(), chart));
    let mut chart = word(document, &fields, "chart", &charts, Chart::Outlier);
    let sides = [("above", Direction::Above), ("below", Direction::Below), ("both", Direction::Both)];
    let direction = word(document, &fields, "direction", &sides, Direction::Above);
    let rate = rate(document, &fields, "falseAlarmsPerDatapoint");
    let resolution = match fields.get("resolution") {
        Some(_) => number(document, &fields, "resolution", (f64::MIN_POSITIVE, 1e12), 1.0).map(Some),
        None => Some(None),
    };
    let scale =
        resolution.map(|resolution| resolution.map_or(Scale::Log, |resolution| Scale::Linear { resolution }));
    let usual = Baseline::new(
        season.unwrap_or_default(),
        scale.unwrap_or(Scale::Log),
        chart.unwrap_or(Chart::Outlier),
        direction.unwrap_or_default(),
        rate.unwrap_or(RATE),
    );
    let usual = usual.for_windows(window.unwrap_or(300));
    let count = (1, 1_000_000);
    let learn = whole(document, &fields, "learnDatapoints", count, u64::from(usual.learn));
    let memory = whole(document, &fields, "memoryDatapoints", count, u64::from(usual.memory));
    let ignore_below = number(document, &fields, "ignoreBelow", (f64::MIN, f64::MAX), usual.ignore_below);
    let learn_in_alarm = flag(document, &fields, "learnInAlarm", true);
    let words = [("none", None), ("group", Some(Peers::Group)), ("fleet", Some(Peers::Fleet))];
    let mut warm_up = word(document, &fields, "warmUp", &words, None);
    if let (Some(Some(_)), Some(Chart::Cusum | Chart::Ewma), Some(node)) =
        (warm_up, chart, fields.get("warmUp"))
    {
        let message = "is only for the chart `outlier`: the others judge what a thing itself has summed up";
        document.error(node.at(), node.place(), message.to_owned());
        warm_up = None;
        // Reported; the whole is refused below.
        chart.take();
    }
    // What is wrong has been reported; the usual took its place for the rest to be read.
    fitting.and(season).and(chart).and(direction).and(rate).and(scale)?;
    let mut rule = usual;
    (rule.learn, rule.memory) = (learn?, memory?);
    (rule.ignore_below, rule.learn_in_alarm, rule.warm_up) = (ignore_below?, learn_in_alarm?, warm_up?);
    Some(rule)
}

fn counts(
    document: &mut Document<'_>,
    node: &Node<'_>,
    metric: &MetricKey,
    window: Option<u32>,
) -> Option<Counts> {
    const KEYS: [&str; 5] =
        ["model", "falseAlarmsPerDatapoint", "learnDatapoints", "memoryDatapoints", "learnInAlarm"];
    let fields = document.fields(node, &KEYS)?;
    let counted = |metric: AwsMetric| metric.shape() == Shape::Counter;
    let fitting = fits(document, node, metric, "a test of counts", counted, false);
    let models = [("poisson", CountModel::Poisson), ("negative-binomial", CountModel::NegativeBinomial)];
    let model = word(document, &fields, "model", &models, CountModel::NegativeBinomial);
    let rate = rate(document, &fields, "falseAlarmsPerDatapoint");
    let per_week = WEEK_SECS / u64::from(window.unwrap_or(300).max(1));
    let count = (1, 1_000_000);
    let learn = whole(document, &fields, "learnDatapoints", count, per_week / 7);
    let memory = whole(document, &fields, "memoryDatapoints", count, per_week);
    let learn_in_alarm = flag(document, &fields, "learnInAlarm", true);
    fitting?;
    let mut rule = Counts::new(model?, rate?);
    (rule.learn, rule.memory, rule.learn_in_alarm) = (learn?, memory?, learn_in_alarm?);
    Some(rule)
}

fn known(document: &mut Document<'_>, node: &Node<'_>, metric: &MetricKey) -> Option<KnownSet> {
    const KEYS: [&str; 8] = [
        "learnSeconds",
        "learnObservations",
        "capacity",
        "remember",
        "ipv4Prefix",
        "ipv6Prefix",
        "topicLevels",
        "of",
    ];
    let fields = document.fields(node, &KEYS)?;
    let listed = |metric: AwsMetric| {
        matches!(metric.shape(), Shape::Ports | Shape::Addresses) || metric == AwsMetric::NumMessagesSent
    };
    let fitting = fits(document, node, metric, "a learnt set", listed, true);
    let usual = KnownSet::default();
    let secs = whole(document, &fields, "learnSeconds", (0, 366 * 86_400), u64::from(usual.learn_secs));
    let observations = u64::from(usual.learn_observations);
    let observations = whole(document, &fields, "learnObservations", (0, 1_000_000), observations);
    let owners = [("thing", None), ("group", Some(Peers::Group)), ("fleet", Some(Peers::Fleet))];
    let of = word(document, &fields, "of", &owners, None);
    let capacity_max = match of {
        Some(Some(_)) => KnownSet::GROUP_CAPACITY_MAX,
        Some(None) | None => KnownSet::CAPACITY_MAX,
    };
    let capacity = (1, u64::from(capacity_max));
    let capacity = whole(document, &fields, "capacity", capacity, u64::from(usual.capacity));
    let remember = flag(document, &fields, "remember", usual.remember);
    let v4 = whole(document, &fields, "ipv4Prefix", (0, 32), u64::from(usual.v4_prefix));
    let v6 = whole(document, &fields, "ipv6Prefix", (0, 128), u64::from(usual.v6_prefix));
    let levels = match fields.get("topicLevels") {
        Some(node) => document.whole(node, 1, 128).map(|levels| u8::try_from(levels).ok()),
        None => Some(None),
    };
    fitting?;
    let small = |number: u32| u8::try_from(number).ok();
    Some(KnownSet {
        learn_secs: secs?,
        learn_observations: observations?,
        capacity: u16::try_from(capacity?).ok()?,
        remember: remember?,
        v4_prefix: small(v4?)?,
        v6_prefix: small(v6?)?,
        topic_levels: levels?,
        of: of?,
    })
}

fn silence(document: &mut Document<'_>, node: &Node<'_>, metric: &MetricKey) -> Option<Silence> {
    let fields = document.fields(node, &["seconds", "falseAlarmsPerHour", "learnHours", "atLeastSeconds"])?;
    let heard = |metric: AwsMetric| metric.shape() != Shape::Duration;
    fits(document, node, metric, "silence", heard, true)?;
    if let Some(secs) = fields.get("seconds") {
        if let Some(other) =
            ["falseAlarmsPerHour", "learnHours", "atLeastSeconds"].into_iter().find_map(|key| fields.get(key))
        {
            let message = "is not allowed with `seconds`: that is fixed, and nothing is learnt".to_owned();
            document.error(other.at(), other.place(), message);
            return None;
        }
        let secs = document.whole(secs, 1, 366 * 86_400)?;
        return u32::try_from(secs).ok().map(Silence::Fixed);
    }
    let rate = rate(document, &fields, "falseAlarmsPerHour");
    let learn = whole(document, &fields, "learnHours", (2, 10_000), 24);
    let at_least = whole(document, &fields, "atLeastSeconds", (1, 366 * 86_400), 60);
    let mut habit = Habit::new(rate?, at_least?);
    habit.learn = learn?;
    Some(Silence::Habit(habit))
}

fn reasons(document: &mut Document<'_>, node: &Node<'_>) -> Option<Reasons> {
    let nodes = document.list(node)?;
    if nodes.is_empty() {
        let names: Vec<&str> = REASONS.iter().map(|(name, _)| *name).collect();
        let message = format!("is empty; expected some of {}", list(&names));
        document.error(node.at(), node.place(), message);
        return None;
    }
    // Collected twice, so that the problems of all elements are found.
    let all: Vec<Option<_>> = nodes.iter().map(|node| document.word(node, &REASONS)).collect();
    let all: Option<Vec<_>> = all.into_iter().collect();
    all.map(Reasons::from_iter)
}

fn absence(document: &mut Document<'_>, node: &Node<'_>, metric: &MetricKey) -> Option<Absence> {
    let fields = document.fields(node, &["graceSeconds", "after"])?;
    let fitting = is_one_of(document, node, Some(metric), &[AwsMetric::DisconnectDuration]);
    let grace = whole(document, &fields, "graceSeconds", (1, 366 * 86_400), 120);
    let after = fields.get("after").map_or(Some(Reasons::ALL), |node| reasons(document, node));
    Some(Absence { grace_secs: grace?, after: after? }).filter(|_| fitting)
}

fn flapping(document: &mut Document<'_>, node: &Node<'_>, metric: &MetricKey) -> Option<Flapping> {
    let fields = document.fields(node, &["periodSeconds", "most", "calm"])?;
    let fitting = is_one_of(document, node, Some(metric), &[AwsMetric::NumDisconnects]);
    let period_secs = whole(document, &fields, "periodSeconds", (1, 7 * 86_400), 600);
    let most = whole(document, &fields, "most", (1, 30_000), 10);
    let half = u64::from(most.unwrap_or(10) / 2);
    let calm = whole(document, &fields, "calm", (0, u64::from(most.unwrap_or(30_000))), half);
    let small = |number: u32| u16::try_from(number).ok();
    let (most, calm) = (small(most?)?, small(calm?)?);
    Some(Flapping { period_secs: period_secs?, most, calm }).filter(|_| fitting)
}

fn clock(document: &mut Document<'_>, node: &Node<'_>, metric: &MetricKey) -> Option<Clock> {
    let fields = document.fields(node, &["unit", "offsetSeconds", "driftPpm"])?;
    let fitting = matches!(metric, MetricKey::Custom(_));
    if !fitting {
        let message = format!("does not fit `{metric}`; it fits a custom number, the device's time");
        document.error(node.at(), node.place(), message);
    }
    let millis = word(document, &fields, "unit", &[("seconds", false), ("milliseconds", true)], false);
    let offset_secs = number(document, &fields, "offsetSeconds", (0.001, 2_000_000.0), 60.0);
    let drift_ppm = match fields.get("driftPpm") {
        Some(_) => number(document, &fields, "driftPpm", (0.1, 1e6), 0.0).map(Some),
        None => Some(None),
    };
    Some(Clock { offset_secs: offset_secs?, drift_ppm: drift_ppm?, millis: millis? }).filter(|_| fitting)
}
