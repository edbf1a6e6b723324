//! Events to operations: interning, sessions, attribution, time.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, sync::Arc};

use behaviors::{
    dimension::Mask,
    own::OwnMetric,
    set::{Compiled, EntityKind, SetId},
};
use fleet::{
    event::{Attribution, AuthFailure, Connect, DisconnectReason, Event, EventKind},
    ids::{GroupName, ThingName},
    metric::AwsMetric,
    registry::Registry,
    report::ReportBuf,
    time::Timestamp,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    addresses::{Addresses, LOOKS_MAX},
    clock::Clock,
    counts::{FrontCounts, kind_index},
    doings::{Doing, Shares, aws, connects, disconnects, fails, groups_of, is_public, own},
    repeat::{Deliveries, Positions, Rings},
    session::{Members, NONE, Thing, secs32},
    topics::Topics,
};
use crate::{
    batch::{Batch, KeyedRow, Op, Reassign, Renamed, What},
    change::Rules,
    input::SourceId,
    names::{Interner, NotFound, tags},
    output::{Watched, WatchedKind},
    shard::reason_number,
};

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
    pub(crate) things: Vec<Thing>,
    /// Things seen since the hand that looks for room came by; only kept while room gets scarce.
    pub(crate) touched: Members,
    pub(crate) hand: u32,
    /// The thing that was found last: it is asked for more than once for each report.
    found: u32,
    aging: bool,
    pub(crate) addresses: Addresses,
    shares: Shares,
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
    /// The dimensions of topics that come again.
    pub(crate) topics: Topics,
    /// Whether any behavior learns topics; else they are left out.
    pub(crate) topics_learnt: bool,
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
            things: Vec::new(),
            touched: Members::default(),
            hand: 0,
            found: 0,
            aging: false,
            addresses: Addresses::default(),
            shares: Shares::default(),
            rings: Rings::default(),
            deliveries: Deliveries::default(),
            clock: Clock::default(),
            positions: Positions::default(),
            counts: FrontCounts::default(),
            rules: Rules::default(),
            configured: false,
            registry: Registry::default(),
            compiled: Arc::new(compiled),
            topics: Topics::default(),
            topics_learnt: false,
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
            EventKind::Disconnect { client, reason, .. } => self.disconnect(step, client, reason, batch),
            EventKind::AuthFailure(failure) => self.auth_failure(step, &failure, batch),
            EventKind::Denied { client, topic, .. } => {
                let arg = Op::message_arg(0, self.dimensions(topic, client));
                let thing = self.simple(step, client, What::Denied, arg, batch);
                self.messaged(step, thing, (aws(AwsMetric::NumAuthorizationFailures), 0), topic, batch);
            }
            EventKind::Publish { client, topic, bytes } => {
                let mask = self.dimensions(topic, client);
                let thing = self.simple(step, client, What::Publish, Op::message_arg(bytes, mask), batch);
                self.published_from(step, thing, mask, batch);
                let bits = aws(AwsMetric::NumMessagesSent) | aws(AwsMetric::MessageByteSize);
                self.messaged(step, thing, (bits, bytes), topic, batch);
                self.topic_seen(step, thing, topic, batch);
                self.watched(step, thing, WatchedKind::Published, batch);
            }
            EventKind::Delivery { client, topic, .. } => {
                let arg = Op::message_arg(0, self.dimensions(topic, client));
                let thing = self.simple(step, client, What::Delivery, arg, batch);
                self.messaged(step, thing, (aws(AwsMetric::NumMessagesReceived), 0), topic, batch);
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
            EventKind::BrokerStart => {
                self.sessions_over(step, batch);
                self.tell_groups(step, &Doing::of(own(OwnMetric::BrokerStarts)), batch);
            }
            EventKind::BrokerStop => self.sessions_over(step, batch),
            EventKind::ConnectionError { ip, kind } => {
                // Without an address, as where the source is not sure of it, only the fleet counts it.
                let (who, ip) = (Attribution::Address, ip.map(|ip| ip.to_canonical()));
                let bits = fails(kind) | self.probes(ip, who);
                self.tell_groups(step, &Doing { who, ip, ..Doing::of(bits) }, batch);
            }
            EventKind::AdminChange { .. } | EventKind::BrokerReload => {}
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

    /// Tells of a message's topic, if somebody learns topics.
    #[inline]
    fn topic_seen(&self, step: Step, thing: Option<u32>, topic: &str, batch: &mut Batch) {
        if self.topics_learnt
            && let Some(thing) = thing
        {
            let place = batch.add_text(topic);
            batch.push(step.op(thing, What::Topic, place, Attribution::Certain));
        }
    }

    fn connect(&mut self, step: Step, connect: &Connect<'_>, batch: &mut Batch) {
        let Some(thing) = self.thing(step, connect.client, batch) else { return };
        let ip = connect.ip.map(|ip| ip.to_canonical());
        let address = ip.and_then(|ip| self.address(ip));
        let principal = connect.user.map_or(NONE, |user| self.principal(user, batch));
        let Some(row) = self.things.get_mut(thing as usize) else { return };
        let before = row.share();
        let mut bits = connects(row, secs32(step.at), ip) | aws(AwsMetric::NumConnectionAttempts);
        self.end_session(thing, step.at);
        if !self.is_allowed(connect.client) {
            bits |= own(OwnMetric::UnknownDevices);
        }
        let Some(row) = self.things.get_mut(thing as usize) else { return };
        row.principal = principal;
        row.address = address.unwrap_or(NONE);
        row.source = step.place.source.0;
        (row.connected, row.known) = (true, true);
        let identity = row.identity(thing);
        let arg = Op::connect_arg(principal, ip.map(|_| batch.addresses.len()));
        batch.addresses.extend(ip);
        batch.push(step.op(thing, What::Connect, arg, Attribution::Certain));
        if let Some(own) = address.and_then(|address| self.addresses.get_mut(address)) {
            own.opened(identity, secs32(step.at));
        }
        let doing = Doing { ip, principal: connect.user, ..Doing::of(bits) };
        self.does(step, thing, doing, batch);
        self.shared(step, thing, before, batch);
        self.watched(step, Some(thing), WatchedKind::Connected, batch);
    }

    fn disconnect(&mut self, step: Step, client: &str, reason: DisconnectReason, batch: &mut Batch) {
        let Some(thing) = self.thing(step, client, batch) else { return };
        let Some(row) = self.things.get_mut(thing as usize) else { return };
        let before = row.share();
        let bits = disconnects(row, secs32(step.at), reason) | aws(AwsMetric::NumDisconnects);
        let address = row.address;
        self.end_session(thing, step.at);
        let reason = reason_number(reason);
        batch.push(step.op(thing, What::Disconnect, reason, Attribution::Certain));
        let doing = Doing { ip: self.addresses.ip(address), ..Doing::of(bits) };
        self.does(step, thing, doing, batch);
        self.shared(step, thing, before, batch);
    }

    /// Ends the open session of a thing, if any.
    fn end_session(&mut self, thing: u32, at: Timestamp) {
        let Some(row) = self.things.get_mut(thing as usize) else { return };
        let address = std::mem::replace(&mut row.address, NONE);
        if !std::mem::replace(&mut row.connected, false) {
            return;
        }
        let identity = row.identity(thing);
        if let Some(address) = self.addresses.get_mut(address) {
            address.closed(identity, secs32(at));
        }
    }

    /// A broker began or stopped: all its sessions are over, and its things are no part of any share
    /// until they come back.
    fn sessions_over(&mut self, step: Step, batch: &mut Batch) {
        for thing in 0..u32::try_from(self.things.len()).unwrap_or(u32::MAX) {
            let Some(row) = self.things.get_mut(thing as usize) else { continue };
            if row.source != step.place.source.0 {
                continue;
            }
            row.known = false;
            row.session_lasted(secs32(step.at));
            if row.connected {
                row.left = secs32(step.at);
                self.end_session(thing, step.at);
                batch.push(step.op(thing, What::SessionOver, 0, Attribution::Certain));
            }
        }
        self.count_shares();
    }

    /// Promise 9: the address is charged, and a thing only if it alone stands behind the address.
    /// The claimed client id is never charged to the thing that has it.
    fn auth_failure(&mut self, step: Step, failure: &AuthFailure<'_>, batch: &mut Batch) {
        let bits = aws(AwsMetric::NumAuthorizationFailures) | aws(AwsMetric::NumConnectionAttempts);
        let ip = failure.ip.map(|ip| ip.to_canonical());
        let bits = bits | self.probes(ip, failure.attribution);
        let claimed = failure.claimed_client.filter(|client| !client.is_empty());
        let doing = Doing { who: failure.attribution, ip, claimed, ..Doing::of(bits) };
        self.tell_groups(step, &doing, batch);
        let Some(ip) = ip else {
            self.counts.unattributed += 1;
            return;
        };
        let Some(address) = self.address(ip) else { return };
        let alone = self.addresses.get(address).and_then(|own| own.only_thing(secs32(step.at)));
        let thing = match failure.attribution {
            Attribution::Certain | Attribution::Address => alone.and_then(|alone| self.still_there(alone)),
            Attribution::Ambiguous => None,
        };
        match thing {
            Some(thing) => batch.push(step.op(thing, What::AuthFailure, 0, Attribution::Address)),
            None => self.counts.ambiguous += 1,
        }
    }

    /// The bit of a probe, if something failed from an address that only a stranger can have.
    fn probes(&self, ip: Option<IpAddr>, who: Attribution) -> u64 {
        let stranger = |ip: &IpAddr| is_public(*ip) && !self.addresses.had_session(*ip);
        let sure = who != Attribution::Ambiguous;
        if sure && ip.as_ref().is_some_and(stranger) { own(OwnMetric::Probes) } else { 0 }
    }

    /// The number of a thing, unless another has it by now.
    fn still_there(&self, identity: u64) -> Option<u32> {
        let number = u32::try_from(identity & 0xffff_ffff).ok()?;
        let row = self.things.get(number as usize)?;
        (row.identity(number) == identity).then_some(number)
    }

    /// A message was sent, received or refused.
    #[inline]
    fn messaged(
        &self,
        step: Step,
        thing: Option<u32>,
        (bits, value): (u64, u32),
        topic: &str,
        batch: &mut Batch,
    ) {
        if self.compiled.group_bits() & bits == 0 {
            return;
        }
        let Some(thing) = thing else { return };
        let address = self.things.get(thing as usize).map_or(NONE, |row| row.address);
        let doing = Doing { value, topic, ip: self.addresses.ip(address), ..Doing::of(bits) };
        self.does(step, thing, doing, batch);
    }

    /// Tells what a thing did to whoever else counts it.
    fn does(&self, step: Step, thing: u32, doing: Doing<'_>, batch: &mut Batch) {
        let own = doing.bits & self.compiled.own_bits();
        if own != 0 {
            batch.push(step.op(thing, What::Own, own, Attribution::Certain));
        }
        if doing.bits & self.compiled.group_bits() == 0 {
            return;
        }
        let name = self.name(thing);
        let principal = doing.principal.or_else(|| self.principal_name(thing));
        self.tell_groups(step, &Doing { thing: Some(name), principal, ..doing }, batch);
    }

    /// Tells the entities of each kind that is watched. Costs nothing if none is.
    fn tell_groups(&self, step: Step, doing: &Doing<'_>, batch: &mut Batch) {
        if doing.bits & self.compiled.group_bits() == 0 {
            return;
        }
        let items = doing.items();
        for (index, group) in (0_u16..).zip(self.compiled.groups()) {
            let bits = doing.bits & group.bits;
            if bits == 0 {
                continue;
            }
            let row = KeyedRow { group: index, bits, value: doing.value, key: 0..0, hash: 0, items };
            let op = step.op(0, What::Keyed, 0, doing.who);
            doing.keys(group.kind, &self.registry, |key| batch.push_keyed(op, row.clone(), key));
        }
    }

    /// Takes note of what a thing's session means for the shares of its groups, and tells them.
    fn shared(&mut self, step: Step, thing: u32, (known, connected): (i32, i32), batch: &mut Batch) {
        let bit = own(OwnMetric::DisconnectedThings);
        if self.compiled.group_bits() & bit == 0 {
            return;
        }
        let now = self.things.get(thing as usize).map_or((0, 0), Thing::share);
        let name = text(self.names.names().get(thing));
        self.shares.change(name, &self.registry, now.0 - known, now.1 - connected);
        for (index, group) in (0_u16..).zip(self.compiled.groups()).filter(|(_, group)| group.bits & bit != 0)
        {
            let tell = |share: Option<u32>, tag: u8, key: &str, batch: &mut Batch| {
                let Some(value) = share else { return };
                let row = KeyedRow { group: index, bits: bit, value, key: 0..0, hash: 0, items: [0; 4] };
                let who = Attribution::Certain;
                let key = crate::batch::Keyed { head: &[tag], tail: key.as_bytes(), who };
                batch.push_keyed(step.op(0, What::Keyed, 0, who), row, key);
            };
            if group.kind == EntityKind::Fleet {
                tell(self.shares.fleet().disconnected(), tags::FLEET, "", batch);
            } else if group.kind == EntityKind::ThingGroup {
                for group in groups_of(name, &self.registry) {
                    tell(self.shares.of_group(group).disconnected(), tags::GROUP, group.as_str(), batch);
                }
            }
        }
    }

    /// Counts the shares of all groups anew, if anything watches them.
    pub(crate) fn count_shares(&mut self) {
        self.shares = Shares::default();
        if self.compiled.group_bits() & own(OwnMetric::DisconnectedThings) == 0 {
            return;
        }
        for (number, row) in (0_u32..).zip(&self.things) {
            let (known, connected) = row.share();
            self.shares.change(text(self.names.names().get(number)), &self.registry, known, connected);
        }
    }

    fn is_allowed(&self, client: &str) -> bool {
        let name = thing_name(client);
        let registered = || self.registry.things.contains_key(&*name);
        self.compiled.allowed().is_none_or(|list| list.contains(&name, registered))
    }

    fn name(&self, thing: u32) -> &str {
        text(self.names.names().get(thing))
    }

    fn principal_name(&self, thing: u32) -> Option<&str> {
        let principal = self.things.get(thing as usize)?.principal;
        self.principals.names().get(principal).map(|name| text(Some(name)))
    }

    #[inline]
    fn simple(&mut self, step: Step, client: &str, what: What, arg: u64, batch: &mut Batch) -> Option<u32> {
        let thing = self.thing(step, client, batch)?;
        batch.push(step.op(thing, what, arg, Attribution::Certain));
        Some(thing)
    }

    /// In which dimensions a message is, if any behavior asks.
    #[inline]
    fn dimensions(&mut self, topic: &str, client: &str) -> Mask {
        let dimensions = self.compiled.dimensions();
        if dimensions.is_empty() { Mask::default() } else { self.topics.mask(dimensions, topic, client) }
    }

    /// Tells the address that a message came from, if a dimension narrows addresses.
    #[inline]
    fn published_from(&self, step: Step, thing: Option<u32>, mask: Mask, batch: &mut Batch) {
        if !self.compiled.narrows_addresses() {
            return;
        }
        let Some(thing) = thing else { return };
        let address = self.things.get(thing as usize).map_or(NONE, |row| row.address);
        if let (Some(ip), Ok(at)) = (self.addresses.ip(address), u32::try_from(batch.addresses.len())) {
            batch.addresses.push(ip);
            let arg = Op::message_arg(at, mask);
            batch.push(step.op(thing, What::PublishedFrom, arg, Attribution::Certain));
        }
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
        let Some(own) = self.things.get_mut(thing as usize) else { return false };
        if own.ring == NONE {
            own.ring = self.rings.add().unwrap_or(NONE);
        }
        self.rings.seen(own.ring, identity)
    }

    /// Whether a report of this identity was folded before; changes nothing.
    pub(crate) fn knows_report(&mut self, thing: &str, identity: u64) -> bool {
        let Ok(thing) = self.find(&thing_name(thing)) else { return false };
        self.things.get(thing as usize).is_some_and(|own| self.rings.knows(own.ring, identity))
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
        match self.find(&name) {
            Ok(thing) => {
                if self.aging {
                    self.touched.set(thing, true);
                }
                Some(thing)
            }
            Err(missing) => {
                let thing = self.new_thing(step, &name, missing, batch);
                self.counts.untracked += u64::from(thing.is_none());
                thing
            }
        }
    }

    /// The number of a thing by its name.
    #[inline]
    fn find(&mut self, name: &str) -> Result<u32, NotFound> {
        let own = self.names.names().get(self.found).and_then(<[u8]>::split_first);
        if own.is_some_and(|(&tag, own)| tag == tags::THING && own == name.as_bytes()) {
            return Ok(self.found);
        }
        let found = self.names.find(tags::THING, name.as_bytes())?;
        self.found = found;
        Ok(found)
    }

    #[cold]
    fn new_thing(&mut self, step: Step, name: &str, missing: NotFound, batch: &mut Batch) -> Option<u32> {
        let max = self.rules.things_max as usize;
        let thing = if self.things.len() < max {
            let thing = self.names.add(tags::THING, name.as_bytes(), missing)?;
            self.things.push(Thing::new());
            thing
        } else {
            let victim = self.victim()?;
            self.evict(step, victim, batch);
            self.names.replace(victim, tags::THING, name.as_bytes(), missing);
            victim
        };
        self.age();
        // Not touched before it comes again: what comes only once goes first.
        self.touched.set(thing, false);
        self.watched.set(thing, self.is_watched(name));
        let set = self.compiled.set_for(name, &self.registry);
        Self::announce(step, thing, What::AssignThing, set, batch);
        batch.new_entities.push([&[tags::THING], name.as_bytes()]);
        batch.new_numbers.push(thing);
        Some(thing)
    }

    /// Whether room for things gets scarce, so that it matters which were seen lately.
    pub(crate) fn age(&mut self) {
        self.aging = self.things.len() >= self.rules.things_max as usize / 4 * 3;
    }

    /// A thing that can make room: unregistered, without a session, and not seen since the hand came
    /// by last. See [`super::addresses`]; the hand looks at as many places here.
    fn victim(&mut self) -> Option<u32> {
        let len = u32::try_from(self.things.len()).ok()?;
        for _ in 0..LOOKS_MAX.min(2 * self.things.len()) {
            let thing = self.hand.min(len - 1);
            self.hand = (thing + 1) % len;
            if self.touched.contains(thing) {
                self.touched.set(thing, false);
                continue;
            }
            let idle = self.things.get(thing as usize).is_some_and(|row| !row.connected);
            if idle && !self.watched.contains(thing) && !self.registry.things.contains_key(self.name(thing)) {
                return Some(thing);
            }
        }
        None
    }

    fn evict(&mut self, step: Step, thing: u32, batch: &mut Batch) {
        let old = self.names.names().get(thing).unwrap_or_default();
        let Some(row) = self.things.get_mut(thing as usize) else { return };
        let (known, connected) = row.share();
        self.shares.change(text(Some(old)), &self.registry, -known, -connected);
        self.rings.reset(row.ring);
        *row = Thing { ring: row.ring, generation: row.generation.wrapping_add(1), ..Thing::new() };
        let (seq, nth) = (step.place.seq, step.place.nth);
        batch.renamed.push(Renamed { seq, nth, entity: thing, old: old.into() });
        batch.push(step.op(thing, What::Retire, 0, Attribution::Certain));
        self.counts.things_evicted += 1;
    }

    /// The number of an address, if it is followed.
    fn address(&mut self, ip: IpAddr) -> Option<u32> {
        let address = self.addresses.number(ip, self.rules.addresses_max as usize);
        self.counts.untracked += u64::from(address.is_none());
        address
    }

    fn announce(step: Step, entity: u32, what: What, set: SetId, batch: &mut Batch) {
        let arg = batch.sets.len() as u64;
        batch.sets.push(set);
        batch.push(step.op(entity, what, arg, Attribution::Certain));
    }

    /// The number of a principal; past the bound on things a new one is not kept.
    fn principal(&mut self, user: &str, batch: &mut Batch) -> u32 {
        match self.principals.find(tags::THING, user.as_bytes()) {
            Ok(principal) => principal,
            Err(missing) => {
                if self.principals.len() >= self.rules.things_max as usize {
                    return NONE;
                }
                let added = self.principals.add(tags::THING, user.as_bytes(), missing);
                if added.is_some() {
                    batch.new_principals.push([&[tags::THING], user.as_bytes()]);
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
        let (compiled, entities_max) = (Arc::clone(&self.compiled), self.rules.entities_max);
        batch.reassigns.push(Arc::new(Reassign { compiled, sets, entities_max }));
        let who = Attribution::Certain;
        batch.push_to_all(Op { seq, at, arg, entity: 0, nth: 0, what: What::Reassign, who });
    }

    /// The set of each entity; also finds out anew who is watched.
    pub(crate) fn sets_anew(&mut self) -> Vec<SetId> {
        let things = u32::try_from(self.things.len()).unwrap_or(u32::MAX);
        (0..things).map(|index| self.set_anew(index)).collect()
    }

    /// A thing is not registered any more: what was held against it ends.
    pub(crate) fn unregistered(&mut self, place: Place, name: &ThingName, batch: &mut Batch) {
        let Ok(thing) = self.names.find(tags::THING, name.as_str().as_bytes()) else { return };
        let step = Step { place, at: place.arrival };
        batch.push(step.op(thing, What::Retire, 0, Attribution::Certain));
    }

    /// Gives one thing its set anew, if it is followed.
    pub(crate) fn reassign(&mut self, place: Place, name: &ThingName, batch: &mut Batch) {
        let Ok(thing) = self.names.find(tags::THING, name.as_str().as_bytes()) else { return };
        let set = self.set_anew(thing);
        let step = Step { place, at: place.arrival };
        Self::announce(step, thing, What::AssignThing, set, batch);
    }

    fn set_anew(&mut self, thing: u32) -> SetId {
        let name = text(self.names.names().get(thing));
        let watched = self.watch_groups.iter().any(|group| self.registry.is_member(name, group));
        self.watched.set(thing, watched);
        self.compiled.set_for(name, &self.registry)
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
        self.topics = Topics::new(self.compiled.dimensions());
        self.configured = true;
        self.age();
        self.count_shares();
        self.topics_learnt = self.compiled.learns_topics();
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

/// A name without its tag, as text.
fn text(name: Option<&[u8]>) -> &str {
    std::str::from_utf8(name.and_then(|name| name.get(1..)).unwrap_or_default()).unwrap_or_default()
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
