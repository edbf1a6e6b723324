//! Events to operations: interning, sessions, attribution, time.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, sync::Arc};

use behaviors::set::{Compiled, SetId};
use fleet::{
    event::{Attribution, AuthFailure, Connect, Event, EventKind},
    ids::{GroupName, ThingName},
    registry::Registry,
    report::ReportBuf,
    time::Timestamp,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    clock::Clock,
    counts::{FrontCounts, kind_index},
    repeat::{Deliveries, Positions, Rings},
    session::{Address, Members, NONE, Thing, secs32},
};
use crate::{
    batch::{Batch, Op, Reassign, What},
    change::Rules,
    input::SourceId,
    names::Interner,
    output::{Watched, WatchedKind},
};

/// Tags of names: a thing, or an address of four or sixteen bytes.
pub(crate) const TAG_THING: u8 = 0;
pub(crate) const TAG_V4: u8 = 4;
pub(crate) const TAG_V6: u8 = 6;

/// An entity, as the front needs it.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Entity {
    Thing(Thing),
    Address(Address),
}

/// Where an event stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) arrival: Timestamp,
    pub(crate) source: SourceId,
    pub(crate) nth: u16,
}

/// All of the front but its decoders.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) names: Interner,
    pub(crate) principals: Interner,
    pub(crate) entities: Vec<Entity>,
    pub(crate) things: u32,
    pub(crate) addresses: u32,
    pub(crate) rings: Rings,
    pub(crate) deliveries: Deliveries,
    pub(crate) clock: Clock,
    pub(crate) positions: Positions,
    pub(crate) counts: FrontCounts,
    pub(crate) rules: Rules,
    /// Whether any rules were ever taken.
    pub(crate) configured: bool,
    pub(crate) registry: Registry,
    pub(crate) compiled: Arc<Compiled>,
    /// Whether any behavior counts by address; else their operations are left out.
    pub(crate) addresses_watched: bool,
    pub(crate) watch_groups: Vec<GroupName>,
    /// Things in the watched groups.
    watched: Members,
    /// Second in which a watched thing was last told of, by thing and kind. Bounded by the
    /// members of the watched groups.
    pub(crate) watched_last: BTreeMap<(u32, WatchedKind), i64>,
}

impl Core {
    pub(crate) fn new(watch_groups: Vec<GroupName>) -> Self {
        let compiled = behaviors::profile::Profiles::default().compile(Rules::default().bucket_secs);
        Self {
            names: Interner::default(),
            principals: Interner::default(),
            entities: Vec::new(),
            things: 0,
            addresses: 0,
            rings: Rings::default(),
            deliveries: Deliveries::default(),
            clock: Clock::default(),
            positions: Positions::default(),
            counts: FrontCounts::default(),
            rules: Rules::default(),
            configured: false,
            registry: Registry::default(),
            compiled: Arc::new(compiled),
            addresses_watched: false,
            watch_groups,
            watched: Members::default(),
            watched_last: BTreeMap::new(),
        }
    }

    /// Folds one event.
    #[inline]
    pub(crate) fn event(&mut self, place: Place, event: &Event<'_>, batch: &mut Batch) {
        if let Some(count) = self.counts.kinds.get_mut(kind_index(&event.kind)) {
            *count += 1;
        }
        // No event happened after it arrived: a source whose clock runs ahead must not open
        // windows of the future. Nor did any happen before 1970.
        let at = event.at.min(place.arrival).max(Timestamp::from_millis(0));
        self.advance(place.seq, at, batch);
        let step = Step { place, at };
        match event.kind {
            EventKind::Connect(connect) => self.connect(step, &connect, batch),
            EventKind::Disconnect { client, .. } => self.disconnect(step, client, batch),
            EventKind::AuthFailure(failure) => self.auth_failure(step, &failure, batch),
            EventKind::Denied { client, .. } => {
                self.simple(step, client, What::Denied, 0, batch);
            }
            EventKind::Publish { client, bytes, .. } => {
                let thing = self.simple(step, client, What::Publish, u64::from(bytes), batch);
                self.watched(step, thing, WatchedKind::Published, batch);
            }
            EventKind::Delivery { client, .. } => {
                self.simple(step, client, What::Delivery, 0, batch);
            }
            EventKind::Subscribe { client, .. } => {
                let thing = self.simple(step, client, What::Seen, 0, batch);
                self.watched(step, thing, WatchedKind::Subscribed, batch);
            }
            EventKind::Unsubscribe { client, .. } => {
                self.simple(step, client, What::Seen, 0, batch);
            }
            EventKind::Report { thing, report, identity } => {
                self.report(step, thing, report, identity, batch);
            }
            EventKind::BrokerStart | EventKind::BrokerStop => self.sessions_over(step, batch),
            EventKind::ConnectionError { .. } | EventKind::AdminChange { .. } | EventKind::BrokerReload => {}
        }
    }

    /// Moves the watermark and tells the shards which windows end.
    #[inline]
    pub(crate) fn advance(&mut self, seq: u64, at: Timestamp, batch: &mut Batch) {
        if let Some(at) = self.clock.mark(at) {
            let (what, who) = (What::Mark, Attribution::Certain);
            batch.push_to_all(Op { seq, at, arg: 0, entity: 0, nth: 0, what, who });
        }
        self.counts.windows_skipped += self.clock.observe(at, |at, secs| {
            let who = Attribution::Certain;
            let arg = u64::from(secs);
            batch.push_to_all(Op { seq, at, arg, entity: 0, nth: 0, what: What::Boundary, who });
        });
    }

    fn connect(&mut self, step: Step, connect: &Connect<'_>, batch: &mut Batch) {
        let Some(thing) = self.thing(step, connect.client, batch) else { return };
        let ip = connect.ip.map(|ip| ip.to_canonical());
        let address = ip.and_then(|ip| self.address(step, ip, batch));
        let principal = connect.user.map_or(NONE, |user| self.principal(user, batch));
        self.end_session(thing, step.at);
        if let Some(Entity::Thing(own)) = self.entities.get_mut(thing as usize) {
            own.principal = principal;
            own.address = address.unwrap_or(NONE);
            own.source = step.place.source.0;
            own.connected = true;
        }
        let arg = Op::connect_arg(principal, ip.map(|_| batch.addresses.len()));
        batch.addresses.extend(ip);
        batch.push(step.op(thing, What::Connect, arg, Attribution::Certain));
        if let Some(address) = address {
            if let Some(Entity::Address(own)) = self.entities.get_mut(address as usize) {
                own.opened(thing, secs32(step.at));
            }
            self.to_address(step, address, What::Attempt, Attribution::Certain, batch);
        }
        self.watched(step, Some(thing), WatchedKind::Connected, batch);
    }

    fn disconnect(&mut self, step: Step, client: &str, batch: &mut Batch) {
        let Some(thing) = self.thing(step, client, batch) else { return };
        self.end_session(thing, step.at);
        batch.push(step.op(thing, What::Disconnect, 0, Attribution::Certain));
    }

    /// Ends the open session of a thing, if any.
    fn end_session(&mut self, thing: u32, at: Timestamp) {
        let Some(Entity::Thing(own)) = self.entities.get_mut(thing as usize) else { return };
        let address = std::mem::replace(&mut own.address, NONE);
        if !std::mem::replace(&mut own.connected, false) {
            return;
        }
        if let Some(Entity::Address(address)) = self.entities.get_mut(address as usize) {
            address.closed(thing, secs32(at));
        }
    }

    /// A broker began or stopped: all its sessions are over.
    fn sessions_over(&mut self, step: Step, batch: &mut Batch) {
        for thing in 0..u32::try_from(self.entities.len()).unwrap_or(u32::MAX) {
            let of_this_broker = matches!(
                self.entities.get(thing as usize),
                Some(Entity::Thing(own)) if own.connected && own.source == step.place.source.0
            );
            if of_this_broker {
                self.end_session(thing, step.at);
                batch.push(step.op(thing, What::SessionOver, 0, Attribution::Certain));
            }
        }
    }

    /// Promise 9: the address is charged, and a thing only if it alone stands behind the address.
    /// The claimed client id is not even looked at.
    fn auth_failure(&mut self, step: Step, failure: &AuthFailure<'_>, batch: &mut Batch) {
        let Some(ip) = failure.ip else {
            self.counts.unattributed += 1;
            return;
        };
        let Some(address) = self.address(step, ip.to_canonical(), batch) else { return };
        self.to_address(step, address, What::AuthFailure, failure.attribution, batch);
        let thing = match (failure.attribution, self.entities.get(address as usize)) {
            (Attribution::Certain | Attribution::Address, Some(Entity::Address(own))) => {
                own.only_thing(secs32(step.at))
            }
            _ => None,
        };
        match thing {
            Some(thing) => batch.push(step.op(thing, What::AuthFailure, 0, Attribution::Address)),
            None => self.counts.ambiguous += 1,
        }
    }

    fn to_address(&self, step: Step, address: u32, what: What, who: Attribution, batch: &mut Batch) {
        if self.addresses_watched {
            batch.push(step.op(address, what, 0, who));
        }
    }

    #[inline]
    fn simple(&mut self, step: Step, client: &str, what: What, arg: u64, batch: &mut Batch) -> Option<u32> {
        let thing = self.thing(step, client, batch)?;
        batch.push(step.op(thing, what, arg, Attribution::Certain));
        Some(thing)
    }

    /// Folds a report, unless it is a repeated one.
    fn report(&mut self, step: Step, thing: &str, report: &ReportBuf, identity: u64, batch: &mut Batch) {
        let Some(thing) = self.thing(step, thing, batch) else { return };
        if self.is_repeated(thing, identity) {
            self.counts.duplicates += 1;
            return;
        }
        let row = batch.add_report(report);
        batch.push(step.op(thing, What::Report, row, Attribution::Certain));
    }

    fn is_repeated(&mut self, thing: u32, identity: u64) -> bool {
        let Some(Entity::Thing(own)) = self.entities.get_mut(thing as usize) else { return false };
        if own.ring == NONE {
            own.ring = self.rings.add().unwrap_or(NONE);
        }
        self.rings.seen(own.ring, identity)
    }

    /// Whether a report of this identity was folded before; changes nothing.
    pub(crate) fn knows_report(&self, thing: &str, identity: u64) -> bool {
        let Ok(thing) = self.names.find(TAG_THING, thing_name(thing).as_bytes()) else { return false };
        matches!(
            self.entities.get(thing as usize),
            Some(Entity::Thing(own)) if self.rings.knows(own.ring, identity)
        )
    }

    #[inline]
    fn watched(&mut self, step: Step, thing: Option<u32>, what: WatchedKind, batch: &mut Batch) {
        let Some(thing) = thing else { return };
        if self.watched.contains(thing) {
            self.tell_watched(step, thing, what, batch);
        }
    }

    #[cold]
    fn tell_watched(&mut self, step: Step, thing: u32, what: WatchedKind, batch: &mut Batch) {
        let second = step.at.secs();
        if self.watched_last.insert((thing, what), second) == Some(second) {
            return;
        }
        let name = self.names.names().get(thing).unwrap_or_default();
        let thing = String::from_utf8_lossy(name.get(1..).unwrap_or_default()).into_owned();
        batch.watched.push(Watched { thing, what, seq: step.place.seq, at: step.at });
    }

    /// The number of a thing; a new one is followed if there is room.
    #[inline]
    fn thing(&mut self, step: Step, client: &str, batch: &mut Batch) -> Option<u32> {
        if client.is_empty() {
            self.counts.nameless += 1;
            return None;
        }
        let name = thing_name(client);
        match self.names.find(TAG_THING, name.as_bytes()) {
            Ok(thing) => Some(thing),
            Err(missing) => {
                if self.things >= self.rules.things_max {
                    self.counts.untracked += 1;
                    return None;
                }
                let thing = self.names.add(TAG_THING, name.as_bytes(), missing);
                let Some(thing) = thing else {
                    self.counts.untracked += 1;
                    return None;
                };
                self.things += 1;
                self.watched.set(thing, self.is_watched(&name));
                self.entities.push(Entity::Thing(Thing::new()));
                let set = self.compiled.set_for(&name, &self.registry);
                Self::announce(step, thing, What::AssignThing, set, batch);
                batch.new_entities.push([&[TAG_THING], name.as_bytes()]);
                Some(thing)
            }
        }
    }

    /// The number of an address; a new one is followed if there is room.
    fn address(&mut self, step: Step, ip: IpAddr, batch: &mut Batch) -> Option<u32> {
        let (v4, v6);
        let (tag, bytes): (u8, &[u8]) = match ip {
            IpAddr::V4(ip) => {
                v4 = ip.octets();
                (TAG_V4, &v4)
            }
            IpAddr::V6(ip) => {
                v6 = ip.octets();
                (TAG_V6, &v6)
            }
        };
        match self.names.find(tag, bytes) {
            Ok(address) => Some(address),
            Err(missing) => {
                let room = self.addresses < self.rules.addresses_max;
                let Some(address) = room.then(|| self.names.add(tag, bytes, missing)).flatten() else {
                    self.counts.untracked += 1;
                    return None;
                };
                self.addresses += 1;
                self.entities.push(Entity::Address(Address::new()));
                let set = self.compiled.set_for_address();
                Self::announce(step, address, What::AssignAddress, set, batch);
                batch.new_entities.push([&[tag], bytes]);
                Some(address)
            }
        }
    }

    fn announce(step: Step, entity: u32, what: What, set: SetId, batch: &mut Batch) {
        let arg = batch.sets.len() as u64;
        batch.sets.push(set);
        batch.push(step.op(entity, what, arg, Attribution::Certain));
    }

    /// The number of a principal; past the bound on things a new one is not kept.
    fn principal(&mut self, user: &str, batch: &mut Batch) -> u32 {
        match self.principals.find(TAG_THING, user.as_bytes()) {
            Ok(principal) => principal,
            Err(missing) => {
                if self.principals.len() >= self.rules.things_max as usize {
                    return NONE;
                }
                let added = self.principals.add(TAG_THING, user.as_bytes(), missing);
                if added.is_some() {
                    batch.new_principals.push([&[TAG_THING], user.as_bytes()]);
                }
                added.unwrap_or(NONE)
            }
        }
    }

    fn is_watched(&self, thing: &str) -> bool {
        self.watch_groups.iter().any(|group| self.registry.is_member(thing, group))
    }

    /// Takes new rules or a registry whose groups changed: every entity gets its set anew.
    pub(crate) fn reassign_all(&mut self, seq: u64, at: Timestamp, batch: &mut Batch) {
        let sets = self.sets_anew();
        self.watched_last.clear();
        let arg = batch.reassigns.len() as u64;
        batch.reassigns.push(Arc::new(Reassign { compiled: Arc::clone(&self.compiled), sets }));
        let who = Attribution::Certain;
        batch.push_to_all(Op { seq, at, arg, entity: 0, nth: 0, what: What::Reassign, who });
    }

    /// The set of each entity; also finds out anew who is watched.
    pub(crate) fn sets_anew(&mut self) -> Vec<SetId> {
        let entities = u32::try_from(self.entities.len()).unwrap_or(u32::MAX);
        (0..entities).map(|index| self.set_anew(index)).collect()
    }

    /// Gives one thing its set anew, if it is followed.
    pub(crate) fn reassign(&mut self, place: Place, name: &ThingName, batch: &mut Batch) {
        let Ok(thing) = self.names.find(TAG_THING, name.as_str().as_bytes()) else { return };
        let set = self.set_anew(thing);
        let step = Step { place, at: place.arrival };
        Self::announce(step, thing, What::AssignThing, set, batch);
    }

    fn set_anew(&mut self, index: u32) -> SetId {
        let name = self.names.names().get(index).unwrap_or_default();
        let name = std::str::from_utf8(name.get(1..).unwrap_or_default()).unwrap_or_default();
        match self.entities.get(index as usize) {
            Some(Entity::Address(_)) | None => self.compiled.set_for_address(),
            Some(Entity::Thing(_)) => {
                let watched = self.watch_groups.iter().any(|group| self.registry.is_member(name, group));
                self.watched.set(index, watched);
                self.compiled.set_for(name, &self.registry)
            }
        }
    }

    /// Compiles the rules and tells the clock. Problems in profiles were shown to whoever wrote
    /// them; what cannot be read is left out here.
    pub(crate) fn compile(&mut self) {
        let (profiles, problems) = behaviors::profile::parse_files(&self.rules.profiles);
        tracing::debug!(problems = problems.len(), "compiled the security profiles");
        let bucket_secs = self.rules.bucket_secs;
        let collect = self.rules.collect;
        let compiled =
            if collect { profiles.compile_collecting(bucket_secs) } else { profiles.compile(bucket_secs) };
        self.compiled = Arc::new(compiled);
        self.configured = true;
        self.addresses_watched = !self.compiled.set(self.compiled.set_for_address()).is_empty();
        let mut windows = self.compiled.windows().to_vec();
        windows.push(self.rules.bucket_secs.max(1));
        self.clock.configure(self.rules.lateness_ms.min(Rules::LATENESS_MS_MAX), windows);
    }
}

/// Where and when an event is folded.
#[derive(Clone, Copy, Debug)]
struct Step {
    place: Place,
    at: Timestamp,
}

impl Step {
    #[inline]
    const fn op(self, entity: u32, what: What, arg: u64, who: Attribution) -> Op {
        Op { seq: self.place.seq, at: self.at, arg, entity, nth: self.place.nth, what, who }
    }
}

/// The thing that a client id names. MQTT allows client ids that no thing can have as its name:
/// they are shortened and marked with their hash, so that a long id is no way to stay unseen.
pub(crate) fn thing_name(client: &str) -> Cow<'_, str> {
    let plain = |client: &str| client.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if client.len() <= ThingName::BYTES_MAX && (plain(client) || !client.chars().any(char::is_control)) {
        return Cow::Borrowed(client);
    }
    let clean: String = client.chars().filter(|c| !c.is_control()).take(24).collect();
    Cow::Owned(format!("{clean}~{:016x}", xxh3_64(client.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_that_no_thing_can_have_are_followed_under_a_short_name() {
        let longest = "a".repeat(128);
        assert_eq!(thing_name(&longest), longest);
        assert_eq!(thing_name("ventil 7/ä"), "ventil 7/ä");
        for bad in ["a".repeat(129), "ä".repeat(30_000), "x\ny".to_owned(), "\u{7f}".to_owned()] {
            let name = thing_name(&bad);
            ThingName::check(&name).unwrap();
            assert_ne!(name, thing_name(&(bad.clone() + "b")), "each has its own");
        }
    }
}
