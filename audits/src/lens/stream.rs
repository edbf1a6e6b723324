//! Figures about what devices did, taken from events one by one.
//!
//! - *Reconnect*: a session that begins within a minute after the last one of the client ended. *Patient*: it
//!   waited at least half of 2^n seconds, up to 32 s, n being the reconnects in a row after sessions shorter
//!   than a minute (the least delay of an exponential back-off with equal jitter, M. Brooker, AWS, 2015), as
//!   the metric `fleetward:hasty-reconnects` has it.
//! - *Jitter*: of a client with three waits or more at the same n, the coefficient of variation of these
//!   waits; the client jitters if the mean over its n is at least a tenth. Log times are whole seconds, so
//!   a device that waits for a constant part of a second looks as if it did not vary.
//! - *Clock*: the report id, where it is a time since 2014 (the document advises epoch seconds; some agents
//!   count milliseconds), against arrival. The largest of the offsets of a thing counts, since delays only
//!   make them smaller (minimum filter of NTP, RFC 5905, section 10), from three reports on.
//! - *Candidate for batching*: on average more than one message in five seconds while the stream lasts, with
//!   a mean payload of at most 1 KiB: five of them still fit the 5 KB that AWS IoT meters as one message
//!   (the lens's example gathers five seconds).
//!
//! Bounds: [`THINGS_MAX`] clients and as many principals; events of further clients are counted as
//! untracked and shed. Payload sizes above 1 KiB are rounded up to 64 bytes, above 64 KiB to 4 KiB, so
//! that their table stays small.

use std::collections::{BTreeMap, BTreeSet};

use fleet::event::{Connect, DisconnectReason, Event, EventKind};
use fleet::time::Timestamp;

use super::evidence::{Part, Stream};

/// Clients that are followed at most.
pub const THINGS_MAX: usize = 1_000_000;

/// Longest pause before a session that counts as a reconnect, and session that counts as short, ms.
const SHORT_MS: i64 = 60_000;
/// Reconnects in a row whose waits are told apart.
const STEPS: usize = 4;
/// Waits before their variation says something.
const WAITS_MIN: u32 = 3;
/// Coefficient of variation from which on pauses vary.
const JITTER_MIN: f64 = 0.1;
/// Reports before a clock is judged.
const CLOCK_REPORTS_MIN: u32 = 3;
/// Clock error that is allowed, ms (RFC 4120, section 8.2).
const CLOCK_ERROR_MAX_MS: i64 = 300_000;
/// Report ids that are epoch seconds: 2014 to 2100.
const EPOCH_SECS: std::ops::Range<u64> = 1_400_000_000..4_102_444_800;
/// Mean payload of a candidate for batching.
const SMALL_BYTES: u64 = 1024;

/// Sums of waits at one step.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    count: u32,
    mean: f64,
    /// Sum of squared differences (B. P. Welford, 1962).
    squares: f64,
}

impl Waits {
    fn add(&mut self, wait_ms: i64) {
        self.count = self.count.saturating_add(1);
        let difference = wait_ms as f64 - self.mean;
        self.mean += difference / f64::from(self.count);
        self.squares += difference * (wait_ms as f64 - self.mean);
    }

    /// Coefficient of variation, from [`WAITS_MIN`] waits on.
    fn variation(&self) -> Option<f64> {
        if self.count < WAITS_MIN {
            return None;
        }
        // Who never waits does not vary.
        let deviation = (self.squares / f64::from(self.count - 1)).sqrt();
        Some(if self.mean > 0.0 { deviation / self.mean } else { 0.0 })
    }
}

#[derive(Clone, Debug, Default)]
struct Thing {
    sessions: u32,
    sessions_without_principal: u32,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// The last session was short.
    was_short: bool,
    row: u32,
    waits: [Waits; STEPS],
    sent: u64,
    sent_bytes: u64,
    reports: u64,
    clock_reports: u32,
    clock_offset_ms: i64,
    subscribed: bool,
    wide: bool,
    shadow: bool,
    jobs: bool,
}

/// Follows events.
#[derive(Debug, Default)]
pub struct Observer {
    /// Clients that are no devices, such as Fleetward itself.
    ignored: BTreeSet<String>,
    /// If not empty, these clients alone are devices.
    registered: BTreeSet<String>,
    things: BTreeMap<String, Thing>,
    /// The client that used a principal; none if several did.
    principals: BTreeMap<String, Option<String>>,
    sizes: BTreeMap<u32, u64>,
    ends: BTreeMap<&'static str, u64>,
    span: Option<(Timestamp, Timestamp)>,
    untracked: u64,
    takeovers: u64,
    auth_failures: u64,
    denials: u64,
    reconnects: Part,
    deliveries: Part,
    shadow_updates: u64,
}

impl Observer {
    /// Follows all clients but `ignored`; if `registered` is not empty, those alone.
    #[must_use]
    pub fn new(ignored: BTreeSet<String>, registered: BTreeSet<String>) -> Self {
        Self { ignored, registered, ..Self::default() }
    }

    /// Takes note of an event.
    pub fn observe(&mut self, event: &Event<'_>) {
        let (first, last) = self.span.unwrap_or((event.at, event.at));
        self.span = Some((first.min(event.at), last.max(event.at)));
        let at = event.at;
        match event.kind {
            EventKind::Connect(connect) if !connect.bridge => self.connect(at, &connect),
            EventKind::Disconnect { client, reason, .. } => self.disconnect(at, client, reason),
            EventKind::AuthFailure(_) => self.auth_failures += 1,
            EventKind::Denied { client, .. } => self.denials += u64::from(self.thing(client).is_some()),
            EventKind::Publish { client, topic, bytes } => self.publish(client, topic, bytes),
            EventKind::Delivery { client, topic, .. } => {
                if self.thing(client).is_some() {
                    self.deliveries.of += 1;
                    self.deliveries.part += u64::from(topic.split('/').any(|level| level == client));
                }
            }
            EventKind::Subscribe { client, filter } => {
                if let Some(thing) = self.thing(client) {
                    thing.subscribed = true;
                    thing.wide |= is_wide(filter);
                    thing.note_topic(filter);
                }
            }
            EventKind::Report { thing, report, .. } => {
                if let Some(thing) = self.thing(thing) {
                    thing.report(at, report.report_id);
                }
            }
            EventKind::BrokerStart | EventKind::BrokerStop => {
                self.things.values_mut().for_each(|thing| thing.began = None);
            }
            EventKind::Connect(_)
            | EventKind::Unsubscribe { .. }
            | EventKind::ConnectionError { .. }
            | EventKind::AdminChange { .. }
            | EventKind::BrokerReload => {}
        }
    }

    /// The client's entry, if it is a device and there is room.
    fn thing(&mut self, client: &str) -> Option<&mut Thing> {
        let foreign = !self.registered.is_empty() && !self.registered.contains(client);
        if client.is_empty() || foreign || self.ignored.contains(client) {
            return None;
        }
        if !self.things.contains_key(client) {
            if self.things.len() >= THINGS_MAX {
                self.untracked += 1;
                return None;
            }
            self.things.insert(client.to_owned(), Thing::default());
        }
        self.things.get_mut(client)
    }

    fn connect(&mut self, at: Timestamp, connect: &Connect<'_>) {
        let Some(thing) = self.thing(connect.client) else { return };
        thing.sessions = thing.sessions.saturating_add(1);
        thing.sessions_without_principal += u32::from(connect.user.is_none());
        let waited = thing.reconnects(at);
        if let Some(patient) = waited {
            self.reconnects.of += 1;
            self.reconnects.part += u64::from(patient);
        }
        let Some(user) = connect.user else { return };
        let has_room = self.principals.len() < THINGS_MAX;
        match self.principals.get_mut(user) {
            Some(owner) if owner.as_deref().is_some_and(|owner| owner != connect.client) => *owner = None,
            Some(_) => {}
            None if has_room => {
                self.principals.insert(user.to_owned(), Some(connect.client.to_owned()));
            }
            None => {}
        }
    }

    fn disconnect(&mut self, at: Timestamp, client: &str, reason: DisconnectReason) {
        let Some(thing) = self.thing(client) else { return };
        let length = thing.began.take().map(|began| at.millis_since(began));
        thing.was_short = length.is_some_and(|length| length < SHORT_MS);
        thing.ended = Some(at);
        if reason == DisconnectReason::Takeover {
            // Who takes over does not come back: that is another device, or a session that was dead.
            thing.ended = None;
            self.takeovers += 1;
        }
        *self.ends.entry(reason.name()).or_default() += 1;
    }

    fn publish(&mut self, client: &str, topic: &str, bytes: u32) {
        let Some(thing) = self.thing(client) else { return };
        thing.sent += 1;
        thing.sent_bytes += u64::from(bytes);
        thing.note_topic(topic);
        self.shadow_updates += u64::from(is_shadow(topic) && topic.ends_with("/update"));
        *self.sizes.entry(rounded(bytes)).or_default() += 1;
    }

    /// The figures; those that the events do not speak about are absent.
    #[must_use]
    pub fn figures(&self) -> Stream {
        let Some((first, last)) = self.span else { return Stream::default() };
        let seconds = u64::try_from(last.millis_since(first)).unwrap_or_default().div_ceil(1000).max(1);
        let things = self.things.len() as u64;
        let count = |wanted: &dyn Fn(&Thing) -> bool| {
            self.things.values().filter(|thing| wanted(thing)).count() as u64
        };
        let share = |of: &dyn Fn(&Thing) -> bool, part: &dyn Fn(&Thing) -> bool| {
            seen(Part { part: count(&|thing| of(thing) && part(thing)), of: count(of) })
        };
        let (sent, sessions) = (self.sizes.values().sum::<u64>(), count(&|thing| thing.sessions > 0));
        let speaking = |n: u64| (sent > 0).then_some(n);
        let shadows = count(&|thing| thing.shadow);
        let offset = |thing: &Thing| thing.clock_offset().map(i64::unsigned_abs);
        Stream {
            place: None,
            from: Some(first.to_string()),
            to: Some(last.to_string()),
            things: Some(things),
            untracked_events: Some(self.untracked),
            unshared_principals: seen(Part {
                part: self.principals.values().filter(|owner| owner.is_some()).count() as u64,
                of: self.principals.len() as u64,
            }),
            with_principal: share(&|thing| thing.sessions > 0, &|thing| {
                thing.sessions_without_principal == 0
            }),
            takeovers: (sessions > 0).then_some(self.takeovers),
            disconnects: (!self.ends.is_empty())
                .then(|| self.ends.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()),
            auth_failures: (sessions > 0).then_some(self.auth_failures),
            denials: speaking(self.denials),
            patient_reconnects: seen(self.reconnects),
            jittered_things: share(&|thing| thing.variation().is_some(), &|thing| {
                thing.variation().is_some_and(|variation| variation >= JITTER_MIN)
            }),
            reporting_things: share(&|_| true, &|thing| thing.reports > 0),
            periodic_things: share(&|_| sent > 0, &|thing| thing.sent + thing.reports >= 2),
            right_clocks: share(&|thing| thing.clock_offset().is_some(), &|thing| {
                thing.clock_offset().is_some_and(|offset| offset.abs() <= CLOCK_ERROR_MAX_MS)
            }),
            clock_error_secs_max: self.things.values().filter_map(offset).max().map(|ms| ms / 1000),
            messages_sent: speaking(sent),
            messages_per_thing_hour: speaking(per_hour(sent, count(&|thing| thing.sent > 0), seconds)),
            payload_bytes_p50: self.quantile(50),
            payload_bytes_p95: self.quantile(95),
            unbatchable_things: share(&|thing| thing.sent > 0, &|thing| !thing.is_batchable(seconds)),
            scoped_deliveries: seen(self.deliveries),
            narrow_subscribers: share(&|thing| thing.subscribed, &|thing| !thing.wide),
            shadow_things: speaking(shadows),
            shadow_updates_per_thing_hour: (shadows > 0)
                .then(|| per_hour(self.shadow_updates, shadows, seconds)),
            job_things: speaking(count(&|thing| thing.jobs)),
            timestamped_messages: None,
            keep_alive_sessions: None,
            last_will_sessions: None,
        }
    }

    /// The size that so many of a hundred payloads do not exceed (nearest rank).
    fn quantile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.sizes.values().sum();
        let rank = (all * percent).div_ceil(100);
        let mut below = 0;
        let found = self.sizes.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        found.map(|(size, _)| u64::from(*size))
    }
}

impl Thing {
    /// Takes note that a session begins; whether it waited long enough, if it is a reconnect.
    fn reconnects(&mut self, at: Timestamp) -> Option<bool> {
        self.began = Some(at);
        let wait = self.ended.take().map(|ended| at.millis_since(ended));
        let Some(wait) = wait.filter(|wait| (0..=SHORT_MS).contains(wait)) else {
            self.row = 0;
            return None;
        };
        self.row = if self.was_short { self.row.saturating_add(1) } else { 1 };
        if let Some(waits) = usize::try_from(self.row - 1).ok().and_then(|step| self.waits.get_mut(step)) {
            waits.add(wait);
        }
        Some(wait >= (1_i64 << self.row.min(6)) / 2 * 1000)
    }

    /// Mean coefficient of variation over the steps that have enough waits.
    fn variation(&self) -> Option<f64> {
        let known: Vec<f64> = self.waits.iter().filter_map(Waits::variation).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    fn report(&mut self, at: Timestamp, id: u64) {
        self.reports += 1;
        let secs = if EPOCH_SECS.contains(&id) { Some(id * 1000) } else { None };
        let millis = secs.or_else(|| EPOCH_SECS.contains(&(id / 1000)).then_some(id));
        let Some(device) = millis.and_then(|millis| i64::try_from(millis).ok()) else { return };
        let offset = device.saturating_sub(at.millis());
        self.clock_offset_ms =
            if self.clock_reports == 0 { offset } else { self.clock_offset_ms.max(offset) };
        self.clock_reports = self.clock_reports.saturating_add(1);
    }

    fn clock_offset(&self) -> Option<i64> {
        (self.clock_reports >= CLOCK_REPORTS_MIN).then_some(self.clock_offset_ms)
    }

    fn note_topic(&mut self, topic: &str) {
        self.shadow |= is_shadow(topic);
        self.jobs |= topic.starts_with("$aws/things/") && topic.split('/').nth(3) == Some("jobs");
    }

    fn is_batchable(&self, seconds: u64) -> bool {
        self.sent * 5 > seconds && self.sent_bytes <= self.sent * SMALL_BYTES
    }
}

fn seen(share: Part) -> Option<Part> {
    (share.of > 0).then_some(share)
}

/// By thing and hour, rounded up.
fn per_hour(events: u64, things: u64, seconds: u64) -> u64 {
    let rate = (u128::from(events) * 3600).div_ceil(u128::from(things.max(1)) * u128::from(seconds));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn is_shadow(topic: &str) -> bool {
    topic.starts_with("$aws/things/") && topic.split('/').nth(3) == Some("shadow")
}

/// Whether a filter reaches everything or other devices: it has no level that is not a wildcard, or a
/// wildcard in the place of the thing's name in a reserved topic.
fn is_wide(filter: &str) -> bool {
    let levels = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    let filter = levels.map_or(filter, |(_, filter)| filter);
    filter.split('/').all(|level| matches!(level, "#" | "+" | ""))
        || filter.strip_prefix("$aws/things/").is_some_and(|rest| rest.starts_with(['+', '#']))
}

/// See the bounds of this module.
fn rounded(bytes: u32) -> u32 {
    match bytes {
        0..=1024 => bytes,
        1025..=65_536 => bytes.next_multiple_of(64),
        _ => bytes.checked_next_multiple_of(4096).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use fleet::report::ReportBuf;

    use super::*;

    const START: i64 = 1_767_600_000_000;

    fn at(secs: f64) -> Timestamp {
        #[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
        Timestamp::from_millis(START + (secs * 1000.0) as i64)
    }

    /// `+3` connects at second 3, `-5` disconnects.
    fn sessions(observer: &mut Observer, client: &str, script: &str) {
        for word in script.split_whitespace() {
            let (sign, secs) = word.split_at(1);
            let kind = match sign {
                "+" => EventKind::Connect(Connect { client, user: Some(client), ip: None, bridge: false }),
                _ => EventKind::Disconnect { client, reason: DisconnectReason::Unclean, raw: "" },
            };
            observer.observe(&Event { at: at(secs.parse().unwrap()), kind });
        }
    }

    fn part(part: u64, of: u64) -> Option<Part> {
        Some(Part { part, of })
    }

    #[test]
    fn reconnects_are_patient_if_they_wait_as_a_back_off_does() {
        for (script, expected) in [
            ("+10 -20", None),
            ("+10 -20 +81", None),
            ("+10 -20 +21", part(1, 1)),
            ("+10 -20 +20.9", part(0, 1)),
            // 1 s, 2 s, 4 s; then the last is too early.
            ("+10 -20 +21 -30 +32 -40 +44", part(3, 3)),
            ("+10 -20 +21 -30 +32 -40 +43", part(2, 3)),
            // A session that lasts ends the row.
            ("+10 -20 +21 -90 +91", part(2, 2)),
        ] {
            let mut observer = Observer::default();
            sessions(&mut observer, "a", script);
            assert_eq!(observer.figures().patient_reconnects, expected, "{script}");
        }
    }

    #[test]
    fn a_device_jitters_if_its_pauses_vary_by_a_tenth() {
        let rows = |pauses: [f64; 3]| {
            let row = |(n, pause): (usize, &f64)| {
                let start = 1000.0 * n as f64;
                format!("+{start} -{} +{} -{}", start + 100.0, start + 100.0 + pause, start + 300.0)
            };
            pauses.iter().enumerate().map(row).collect::<Vec<_>>().join(" ")
        };
        for (pauses, expected) in
            [([0.0, 0.0, 0.0], 0), ([2.0, 2.0, 2.0], 0), ([2.0, 2.1, 1.9], 0), ([2.0, 2.3, 1.7], 1)]
        {
            let mut observer = Observer::default();
            sessions(&mut observer, "a", &rows(pauses));
            assert_eq!(observer.figures().jittered_things, part(expected, 1), "{pauses:?}");
        }
        let mut observer = Observer::default();
        sessions(&mut observer, "a", "+0 -100 +102 -200 +202");
        assert_eq!(observer.figures().jittered_things, None, "two waits say nothing");
    }

    #[test]
    fn a_clock_is_judged_by_its_best_report_and_only_if_it_is_a_time() {
        let epoch = u64::try_from(START / 1000).unwrap();
        for (ids, expected, error) in [
            ([epoch + 300, epoch - 9000, epoch], part(1, 1), Some(300)),
            ([epoch + 301, epoch, epoch], part(0, 1), Some(301)),
            ([epoch - 400, epoch - 300, epoch - 350], part(1, 1), Some(300)),
            ([epoch * 1000, epoch * 1000, epoch * 1000], part(1, 1), Some(0)),
            ([1, 2, 3], None, None),
        ] {
            let mut observer = Observer::default();
            for id in ids {
                let report = ReportBuf { report_id: id, ..ReportBuf::default() };
                let kind = EventKind::Report { thing: "a", report: &report, identity: 0 };
                observer.observe(&Event { at: at(0.0), kind });
            }
            let figures = observer.figures();
            assert_eq!((figures.right_clocks, figures.clock_error_secs_max), (expected, error), "{ids:?}");
            assert_eq!(figures.reporting_things, part(1, 1));
        }
    }

    #[test]
    fn messages_subscriptions_and_principals() {
        let mut observer = Observer::new(BTreeSet::from(["fleetward".to_owned()]), BTreeSet::new());
        let mut tell = |secs, kind| observer.observe(&Event { at: at(secs), kind });
        let connect = |client, user| EventKind::Connect(Connect { client, user, ip: None, bridge: false });
        for (client, user) in
            [("a", Some("u")), ("b", Some("u")), ("c", Some("c")), ("d", None), ("fleetward", None)]
        {
            tell(0.0, connect(client, user));
        }
        for n in 0..100_u32 {
            // One message a second of 100 to 199 bytes, and one of 8 KiB now and then.
            tell(f64::from(n), EventKind::Publish { client: "a", topic: "t/a", bytes: 100 + n });
            if n % 10 == 0 {
                tell(
                    f64::from(n),
                    EventKind::Publish { client: "b", topic: "$aws/things/b/shadow/update", bytes: 8192 },
                );
            }
        }
        for (client, filter) in [
            ("a", "cmd/a/#"),
            ("b", "#"),
            ("c", "$share/g/+/+"),
            ("d", "$aws/things/+/jobs/notify"),
            ("fleetward", "#"),
        ] {
            tell(100.0, EventKind::Subscribe { client, filter });
        }
        for topic in ["cmd/a/x", "all/x", "a"] {
            tell(100.0, EventKind::Delivery { client: "a", topic, bytes: 1 });
        }
        let figures = observer.figures();
        assert_eq!(figures.things, Some(4));
        assert_eq!(figures.unshared_principals, part(1, 2));
        assert_eq!(figures.with_principal, part(3, 4));
        assert_eq!((figures.messages_sent, figures.messages_per_thing_hour), (Some(110), Some(1980)));
        assert_eq!((figures.payload_bytes_p50, figures.payload_bytes_p95), (Some(154), Some(8192)));
        assert_eq!(figures.unbatchable_things, part(1, 2));
        assert_eq!(figures.narrow_subscribers, part(1, 4));
        assert_eq!(figures.scoped_deliveries, part(2, 3));
        assert_eq!((figures.shadow_things, figures.shadow_updates_per_thing_hour), (Some(1), Some(360)));
        assert_eq!(figures.job_things, Some(1));
        assert_eq!(figures.periodic_things, part(2, 4));
        assert_eq!(figures.right_clocks, None);
    }

    #[test]
    fn no_event_no_figure_and_only_registered_clients_count_if_there_are_any() {
        assert_eq!(Observer::default().figures(), Stream::default());
        let mut observer = Observer::new(BTreeSet::new(), BTreeSet::from(["a".to_owned()]));
        sessions(&mut observer, "a", "+1");
        sessions(&mut observer, "app", "+1");
        let figures = observer.figures();
        assert_eq!((figures.things, figures.messages_sent), (Some(1), None));
    }
}
