//! The first stage of the fold, on one thread: records in, operations on entities out.
//!
//! It decodes, knows the registry and the profiles, numbers things and addresses in the order of
//! their first appearance, follows sessions, decides to whom a failed login is charged, drops
//! repeated deliveries and keeps the watermark. All of it is a function of the records.

mod addresses;
mod clock;
mod core;
mod counts;
mod doings;
mod repeat;
mod session;
mod topics;
mod window;

use std::{collections::BTreeMap, sync::Arc};

use fleet::{
    event::{Event, EventKind},
    ids::{GroupName, ThingName},
    registry::Registry,
    report::{JsonDecoder, ReportBuf, decode_cbor},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub(crate) use self::session::{NONE, secs32};
use self::{
    addresses::{Addresses, AddressesState},
    clock::Clock,
    core::{Core, Place, thing_name},
    repeat::{Deliveries, Positions, Rings},
    session::{Members, Thing},
};
pub use self::{
    counts::{FrontCounts, KINDS},
    repeat::Position,
};
use crate::{
    batch::{Batch, Op, Reassign, What},
    change::{RegistryChange, Rules},
    input::{Decoded, Decoder, Format, Refusal, SourceId},
    journal::{Kind, Record},
    names::{Interner, NameList, tags},
};

/// The decoders of the formats that the front does not know itself.
#[derive(Default)]
pub struct Decoders(BTreeMap<u8, Box<dyn Decoder>>);

impl std::fmt::Debug for Decoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Decoders {
    /// Adds the decoder of a format; it takes the place of an earlier one.
    #[must_use]
    pub fn with(mut self, format: Format, decoder: Box<dyn Decoder>) -> Self {
        self.0.insert(format as u8, decoder);
        self
    }
}

/// What the front says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was folded and belongs in the journal.
    Folded {
        /// `report_id` of a device report.
        report_id: Option<u64>,
    },
    /// It was folded before: nothing changed, and the journal has it.
    Repeated {
        /// `report_id` of a device report.
        report_id: Option<u64>,
    },
    /// It means nothing to us: nothing changed.
    Irrelevant,
    /// It could not be read: nothing changed.
    Refused(Refusal),
}

/// The first stage of the fold.
#[derive(Debug)]
pub struct Front {
    core: Core,
    decoders: Decoders,
    report: ReportBuf,
    /// Knows how reports are laid out. Only for speed, so that it is in no snapshot.
    json: JsonDecoder,
    /// Second in which the decoders were last told the time.
    ticked: i64,
}

impl Front {
    /// A front that has seen nothing. `watch_groups` are those whose members' doings are told.
    #[must_use]
    pub fn new(decoders: Decoders, watch_groups: Vec<GroupName>) -> Self {
        let core = Core::new(watch_groups);
        let (report, json) = (ReportBuf::default(), JsonDecoder::default());
        Self { core, decoders, report, json, ticked: i64::MIN }
    }

    /// Folds one record into `batch`. Only a [`Verdict::Folded`] one has changed anything.
    pub fn apply(&mut self, record: &Record<'_>, batch: &mut Batch) -> Verdict {
        let verdict = match record.kind {
            Kind::Input(format) => {
                if self.core.positions.repeated(record.source, record.position) {
                    return Verdict::Repeated { report_id: None };
                }
                self.input(format, record, batch)
            }
            Kind::Registry => self.registry_changed(record, batch),
            Kind::Rules => self.rules_changed(record, batch),
            Kind::Tick => {
                self.core.advance(record.seq, record.arrival, batch);
                FOLDED
            }
            Kind::SourceOpened => {
                self.core.positions.opened(record.source, record.payload);
                FOLDED
            }
            Kind::Gap => {
                let who = fleet::event::Attribution::Certain;
                let (seq, at, arg) = (record.seq, record.arrival, record.position);
                batch.push_to_all(Op { seq, at, arg, entity: 0, nth: 0, what: What::Blind, who });
                FOLDED
            }
        };
        if matches!(verdict, Verdict::Folded { .. }) {
            self.after(record, batch);
        }
        verdict
    }

    /// Folds an event that is decoded already, as a record of its own.
    #[inline]
    pub fn event(
        &mut self,
        seq: u64,
        source: SourceId,
        arrival: Timestamp,
        event: &Event<'_>,
        batch: &mut Batch,
    ) {
        self.core.clock.now = self.core.clock.now.max(arrival);
        self.core.counts.records += 1;
        batch.last_seq = seq;
        self.core.event(Place { seq, arrival, source, nth: 0 }, event, batch);
    }

    fn after(&mut self, record: &Record<'_>, batch: &mut Batch) {
        let core = &mut self.core;
        core.clock.now = core.clock.now.max(record.arrival);
        if matches!(record.kind, Kind::Input(_)) {
            core.positions.read(record.source, record.position);
        }
        core.counts.records += 1;
        batch.last_seq = record.seq;
        let second = record.arrival.secs();
        if second > self.ticked && record.arrival != Timestamp::MIN {
            self.ticked = second;
            self.tick_decoders(record, batch);
        }
    }

    /// Tells the decoders the time, at most once a second, so that what waits can time out.
    fn tick_decoders(&mut self, record: &Record<'_>, batch: &mut Batch) {
        let Self { core, decoders, .. } = self;
        // Past those of any input, so that ids of transitions stay unique within the record.
        let mut place = place_of(record, u16::MAX / 2);
        for decoder in decoders.0.values_mut() {
            decoder.tick(record.arrival, &mut |event| {
                core.event(place, event, batch);
                place.nth = place.nth.saturating_add(1);
            });
        }
    }

    fn input(&mut self, format: Format, record: &Record<'_>, batch: &mut Batch) -> Verdict {
        match format {
            Format::ReportJson | Format::ReportCbor => self.report(format, record, batch),
            Format::MosquittoLog | Format::Lifecycle | Format::Recorded => {
                self.foreign(format, record, batch)
            }
        }
    }

    fn report(&mut self, format: Format, record: &Record<'_>, batch: &mut Batch) -> Verdict {
        if record.subject.is_empty() {
            let message = "the topic names no thing; expected 1 to 128 bytes".to_owned();
            return Verdict::Refused(Refusal { report_id: None, reason: "no-thing", message });
        }
        let identity = xxh3_64(record.payload);
        let decoded = match format {
            Format::ReportCbor => decode_cbor(record.payload, &mut self.report),
            _ => self.json.decode(record.payload, &mut self.report),
        };
        if let Err(error) = decoded {
            let message = error.to_string();
            return Verdict::Refused(Refusal { report_id: error.report_id, reason: error.reason, message });
        }
        let report_id = Some(self.report.report_id);
        let delivery = xxh3_64_with_seed(record.subject.as_bytes(), identity);
        if self.core.deliveries.knows(record.source, delivery)
            || self.core.knows_report(record.subject, identity)
        {
            return Verdict::Repeated { report_id };
        }
        self.core.deliveries.add(record.source, delivery);
        let kind = EventKind::Report { thing: record.subject, report: &self.report, identity };
        self.core.event(place_of(record, 0), &Event { at: record.arrival, kind }, batch);
        Verdict::Folded { report_id }
    }

    fn foreign(&mut self, format: Format, record: &Record<'_>, batch: &mut Batch) -> Verdict {
        let Self { core, decoders, .. } = self;
        let Some(decoder) = decoders.0.get_mut(&(format as u8)) else {
            let message = format!("nothing here reads {format:?}");
            return Verdict::Refused(Refusal { report_id: None, reason: "no-decoder", message });
        };
        let mut place = place_of(record, 0);
        let mut sink = |event: &Event<'_>| {
            core.event(place, event, batch);
            place.nth = place.nth.saturating_add(1);
        };
        let Record { source, arrival, subject, payload, .. } = *record;
        let decoded = decoder.decode(source, arrival, subject, payload, &mut sink);
        match decoded {
            Decoded::Relevant { report_id } => Verdict::Folded { report_id },
            // A decoder that gave events has changed state, whatever it says.
            _ if place.nth > 0 => FOLDED,
            Decoded::Irrelevant => Verdict::Irrelevant,
            Decoded::Refused(refusal) => Verdict::Refused(refusal),
        }
    }

    fn registry_changed(&mut self, record: &Record<'_>, batch: &mut Batch) -> Verdict {
        let change: RegistryChange = match serde_json::from_slice(record.payload) {
            Ok(change) => change,
            Err(error) => return self.bad_control("registry", &error),
        };
        let gone = |(name, thing): (&ThingName, &Option<fleet::registry::Thing>)| {
            (thing.is_none() && self.core.registry.things.contains_key(name)).then(|| name.clone())
        };
        let gone: Vec<ThingName> = change.things.iter().filter_map(gone).collect();
        if change.groups.is_empty() {
            change.apply(&mut self.core.registry);
            self.core.count_shares();
            gone.iter().for_each(|name| self.core.unregistered(place_of(record, 0), name, batch));
            for name in change.things.keys() {
                self.core.reassign(place_of(record, 0), name, batch);
            }
        } else {
            // Groups in a circle would never end; everything else about a registry is harmless.
            let mut registry = self.core.registry.clone();
            change.apply(&mut registry);
            match registry.validated() {
                Ok(registry) => self.core.registry = registry,
                Err(error) => return self.bad_control("registry", &error),
            }
            self.core.count_shares();
            gone.iter().for_each(|name| self.core.unregistered(place_of(record, 0), name, batch));
            self.core.reassign_all(record.seq, record.arrival, batch);
        }
        FOLDED
    }

    fn rules_changed(&mut self, record: &Record<'_>, batch: &mut Batch) -> Verdict {
        self.core.rules = match serde_json::from_slice(record.payload) {
            Ok(rules) => rules,
            Err(error) => return self.bad_control("rules", &error),
        };
        self.core.compile();
        self.core.reassign_all(record.seq, record.arrival, batch);
        FOLDED
    }

    fn bad_control(&mut self, what: &str, error: &dyn std::fmt::Display) -> Verdict {
        self.core.counts.control_refused += 1;
        let message = format!("a {what} record that this version cannot read: {error}");
        tracing::error!(%error, what, "cannot read a record of our own");
        Verdict::Refused(Refusal { report_id: None, reason: "bad-control-record", message })
    }

    /// Latest arrival that was folded: a later record's is never before it.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.core.clock.now
    }

    /// Event time up to which windows are closed.
    #[must_use]
    pub const fn watermark(&self) -> Timestamp {
        self.core.clock.watermark
    }

    /// The rules of the fold.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.core.rules
    }

    /// Whether any rules were ever taken; until then nothing is decided.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.core.configured
    }

    /// The registry of the fold.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.core.registry
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> &FrontCounts {
        &self.core.counts
    }

    /// Things and source addresses that are followed.
    #[must_use]
    pub fn followed(&self) -> (u32, u32) {
        let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        (number(self.core.things.len()), number(self.core.addresses.len()))
    }

    /// Source addresses that made room for others.
    #[must_use]
    pub const fn addresses_evicted(&self) -> u64 {
        self.core.addresses.evicted
    }

    /// How far each source has been read.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<SourceId, Position> {
        self.core.positions.all()
    }

    /// Bytes that the front holds for things and addresses.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.core.names.memory()
            + self.core.principals.memory()
            + self.core.things.capacity() * size_of::<Thing>()
            + self.core.addresses.memory()
            + self.core.rings.memory()
            + self.core.deliveries.memory()
            + self.core.topics.memory()
    }

    pub(crate) fn names(&self) -> (&NameList, &NameList) {
        (self.core.names.names(), self.core.principals.names())
    }

    /// All state, for a snapshot.
    pub(crate) fn save(&self) -> FrontState {
        let core = &self.core;
        FrontState {
            names: core.names.names().clone(),
            principals: core.principals.names().clone(),
            things: core.things.clone(),
            touched: core.touched.words().to_vec(),
            hand: core.hand,
            addresses: core.addresses.save(),
            rings: core.rings.clone(),
            deliveries: core.deliveries.save(),
            clock: core.clock.clone(),
            positions: core.positions.clone(),
            counts: core.counts,
            rules: serde_json::to_string(&core.rules).unwrap_or_default(),
            registry: serde_json::to_string(&core.registry).unwrap_or_default(),
            watched_last: core
                .watched_last
                .iter()
                .map(|(&(thing, what), &at)| (thing, what as u8, at))
                .collect(),
            ticked: self.ticked,
            decoders: self.decoders.0.iter().map(|(&format, decoder)| (format, decoder.save())).collect(),
        }
    }

    /// Takes the state of a snapshot. The front must be new.
    pub(crate) fn restore(&mut self, state: FrontState) -> Result<(), String> {
        let core = &mut self.core;
        core.rules = serde_json::from_str(&state.rules).map_err(|error| error.to_string())?;
        // Checked again: groups in a circle would never end.
        let registry: Registry = serde_json::from_str(&state.registry).map_err(|error| error.to_string())?;
        core.registry = registry.validated().map_err(|error| error.to_string())?;
        if !state.names.is_sound() || !state.principals.is_sound() {
            return Err("a list of names does not fit its texts".into());
        }
        if state.names.len() != state.things.len() {
            return Err("names and things differ in number".into());
        }
        core.names = Interner::from_names(state.names);
        core.principals = Interner::from_names(state.principals);
        core.things = state.things;
        core.touched = Members::from_words(state.touched);
        core.hand = state.hand;
        core.addresses = Addresses::restored(state.addresses);
        core.rings = state.rings;
        core.deliveries = Deliveries::restored(state.deliveries);
        core.compile();
        core.clock = state.clock;
        core.positions = state.positions;
        core.counts = state.counts;
        core.watched_last = state
            .watched_last
            .into_iter()
            .filter_map(|(thing, what, at)| Some(((thing, watched_kind(what)?), at)))
            .collect();
        self.ticked = state.ticked;
        for (format, bytes) in state.decoders {
            if let Some(decoder) = self.decoders.0.get_mut(&format) {
                decoder.restore(&bytes)?;
            }
        }
        Ok(())
    }

    /// The compiled profiles and the set of each entity, as shards need them after a restore.
    pub(crate) fn assigned(&mut self) -> Reassign {
        let sets = self.core.sets_anew();
        let entities_max = self.core.rules.entities_max;
        Reassign { compiled: Arc::clone(&self.core.compiled), sets, entities_max }
    }

    /// Names of the things that are followed, in the order of their first appearance.
    pub fn things(&self) -> impl Iterator<Item = &str> {
        let names = self.core.names.names();
        let all = (0..u32::try_from(names.len()).unwrap_or(u32::MAX)).filter_map(|index| names.get(index));
        let things = all.filter_map(|name| name.split_first()).filter(|(tag, _)| **tag == tags::THING);
        things.filter_map(|(_, text)| std::str::from_utf8(text).ok())
    }

    /// The number of a thing, if it is followed.
    #[must_use]
    pub fn thing(&self, name: &str) -> Option<u32> {
        self.core.names.find(tags::THING, thing_name(name).as_bytes()).ok()
    }
}

const FOLDED: Verdict = Verdict::Folded { report_id: None };

const fn place_of(record: &Record<'_>, nth: u16) -> Place {
    Place { seq: record.seq, arrival: record.arrival, source: record.source, nth }
}

const fn watched_kind(number: u8) -> Option<crate::output::WatchedKind> {
    use crate::output::WatchedKind;
    match number {
        0 => Some(WatchedKind::Connected),
        1 => Some(WatchedKind::Published),
        2 => Some(WatchedKind::Subscribed),
        _ => None,
    }
}

/// The front in a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrontState {
    names: NameList,
    principals: NameList,
    things: Vec<Thing>,
    touched: Vec<u64>,
    hand: u32,
    addresses: AddressesState,
    rings: Rings,
    deliveries: Vec<(SourceId, Vec<u64>)>,
    clock: Clock,
    positions: Positions,
    counts: FrontCounts,
    /// JSON, because the registry's form leaves out what is empty.
    rules: String,
    registry: String,
    watched_last: Vec<(u32, u8, i64)>,
    ticked: i64,
    decoders: Vec<(u8, Vec<u8>)>,
}
