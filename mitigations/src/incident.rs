//! Incidents: alarms with one cause, so that a fault of the whole fleet is one message.
//!
//! Every alarm that wants a notification belongs to one incident. It joins, in this order,
//! 1. the incident that an alarm of the same behavior began, if its latest alarm is at most
//!    `window_secs` away (the same behavior across many things);
//! 2. the incident that an alarm of the same entity began, while one of its violations lasts
//!    (the same entity at the same time);
//! 3. else it begins one of its own.
//!
//! Only the first alarm of an incident says what may join, so that incidents do not grow into each
//! other over chains of alarms. Which alarm is in which incident is a function of the alarms in
//! their order alone; clocks only pace the messages:
//!
//! - the first `singles_max` alarms of an incident, and their ends, are told one by one, at once,
//!   as every alarm was before there were incidents;
//! - those after them are gathered. `gather_secs` after the first of them a message says how many
//!   there are, with samples; while that changes there is another at most every `update_secs`;
//! - when no violation is left and none has joined for `window_secs` of event time, a last message
//!   says so, if any was sent.
//!
//! Bounds: `open_max` open incidents; an alarm past that belongs to none, is told by itself and
//! counted. `kept_max` closed ones are kept in the store, the oldest go.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{
    store::{Batch, KeyRange, Store, StoreError, Table},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    alarm::{Alarm, AlarmKind, Entity},
    alert::{IncidentAlert, IncidentMessage, ResponseNote},
    task::short_hash,
};

/// Samples in a message at most.
pub const SAMPLES_MAX: usize = 10;

/// `[alerts.incidents]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentOptions {
    /// Alarms of one incident that are told one by one.
    pub singles_max: u32,
    /// Longest time between two alarms of the same behavior in one incident, event time.
    pub window_secs: u32,
    /// From the first gathered alarm to the message about it.
    pub gather_secs: u32,
    /// Shortest time between two messages about the same incident.
    pub update_secs: u32,
    /// Incidents open at once at most.
    pub open_max: usize,
    /// Closed incidents kept at most.
    pub kept_max: usize,
}

/// Three alarms in a row are read as such, ten thousand are not. A window of the grid of AWS; ten
/// seconds let a restart of the broker reach all its clients; a quarter of an hour is a pace that
/// people can follow.
impl Default for IncidentOptions {
    fn default() -> Self {
        Self {
            singles_max: 3,
            window_secs: 300,
            gather_secs: 10,
            update_secs: 900,
            open_max: 10_000,
            kept_max: 10_000,
        }
    }
}

/// One alarm of an incident, shortened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Violation.
    pub violation_id: String,
    /// Whom it is about.
    pub entity: Entity,
    /// Behavior, with its profile: `PROFILE/BEHAVIOR`.
    pub behavior: String,
    /// Deciding value as people read it.
    pub value: String,
    /// Event time of the alarm.
    pub at: Timestamp,
}

/// Alarms with one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Stable id: the same alarms give the same.
    pub id: String,
    /// Profile of the first alarm.
    pub profile: String,
    /// Behavior of the first alarm.
    pub behavior: String,
    /// Entity of the first alarm.
    pub entity: Entity,
    /// Event time of the first alarm.
    pub opened_at: Timestamp,
    /// Latest event time of an alarm.
    pub last_at: Timestamp,
    /// Event time after which it was over, once it is.
    pub closed_at: Option<Timestamp>,
    /// Alarms in it.
    pub alarms: u64,
    /// Violations that last.
    pub open: u64,
    /// Most violations that lasted at the same time.
    pub most_open: u64,
    /// Alarms that were not told one by one.
    pub gathered: u64,
    /// What was decided about its alarms: how often each plan (`act`, `dry-run`, `held`, `undo`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub responses: BTreeMap<String, u64>,
    /// Its first alarms, at most [`SAMPLES_MAX`].
    pub first: Vec<Sample>,
    /// The first alarms gathered since the last message, at most [`SAMPLES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fresh: Vec<Sample>,
    /// What was said about it.
    pub told: Told,
}

/// What was said about an incident, by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Messages so far.
    pub messages: u32,
    /// When the last one entered the outbox.
    pub last_at: Option<Timestamp>,
    /// Alarms that it spoke of.
    pub alarms: u64,
    /// Lasting violations that it spoke of.
    pub open: u64,
    /// When the next one is due, if one is.
    pub due_at: Option<Timestamp>,
}

impl Incident {
    fn begin(alarm: &Alarm) -> Self {
        Self {
            id: short_hash(&["incident", &alarm.violation_id]),
            profile: alarm.profile.clone(),
            behavior: alarm.behavior.clone(),
            entity: alarm.entity.clone(),
            opened_at: alarm.at,
            last_at: alarm.at,
            closed_at: None,
            alarms: 0,
            open: 0,
            most_open: 0,
            gathered: 0,
            responses: BTreeMap::new(),
            first: Vec::new(),
            fresh: Vec::new(),
            told: Told::default(),
        }
    }

    /// Key in the store: the newest first, since stores are read forward.
    fn key(&self) -> Vec<u8> {
        let newest_first = !(self.opened_at.millis().cast_unsigned() ^ (1 << 63));
        format!("i/{newest_first:016x}{}", self.id).into_bytes()
    }

    fn is_near(&self, at: Timestamp, window_secs: u32) -> bool {
        at.millis_since(self.last_at).unsigned_abs() <= u64::from(window_secs) * 1000
    }

    /// A message is due `gather_secs` from now, but not sooner than `update_secs` after the last.
    fn wants_to_tell(&mut self, options: &IncidentOptions, now: Timestamp) {
        let after = |from: Timestamp, secs: u32| from.plus_millis(i64::from(secs) * 1000);
        let pause = self.told.last_at.map(|last| after(last, options.update_secs));
        let soon = after(now, options.gather_secs);
        self.told.due_at.get_or_insert(pause.map_or(soon, |pause| pause.max(soon)));
    }

    fn changed_since_told(&self) -> bool {
        (self.alarms, self.open) != (self.told.alarms, self.told.open)
    }

    fn tell(&mut self, kind: IncidentMessage, now: Timestamp) -> IncidentAlert {
        self.told = Told {
            messages: self.told.messages.saturating_add(1),
            last_at: Some(now),
            alarms: self.alarms,
            open: self.open,
            due_at: None,
        };
        let fresh = std::mem::take(&mut self.fresh);
        IncidentAlert {
            id: short_hash(&["incident-message", &self.id, &self.told.messages.to_string()]),
            kind,
            fresh: fresh.clone(),
            incident: Self { fresh, ..self.clone() },
        }
    }
}

/// How an alarm is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By itself.
    Singly,
    /// With the others of its incident; by itself only to sinks that take every alarm.
    Gathered,
}

/// What became of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its incident, unless too many are open or it belongs to none.
    pub incident: Option<String>,
    /// How it is told.
    pub how: How,
}

/// The open incidents.
///
/// INVARIANT: `by_behavior` and `by_entity` name the open incidents, all and only these.
#[derive(Debug, Default)]
pub struct Incidents {
    options: IncidentOptions,
    open: BTreeMap<String, Incident>,
    by_behavior: BTreeMap<(String, String), Places>,
    by_entity: BTreeMap<String, Places>,
    /// Keys of the closed ones in the store, newest first.
    closed: BTreeSet<Vec<u8>>,
    ungrouped_total: u64,
}

/// Incidents of one beginning by event time and id: others join the newest.
type Places = BTreeSet<(Timestamp, String)>;

fn newest(places: Option<&Places>) -> Option<&String> {
    places.and_then(BTreeSet::last).map(|(_, id)| id)
}

fn remove<K: Ord>(index: &mut BTreeMap<K, Places>, key: &K, place: &(Timestamp, String)) {
    if let Some(places) = index.get_mut(key) {
        places.remove(place);
        if places.is_empty() {
            index.remove(key);
        }
    }
}

/// Key of a violation's membership. The value is `s` or `g` (singly, gathered) and the incident's id.
fn member_key(violation: &str) -> Vec<u8> {
    format!("v/{violation}").into_bytes()
}

/// Records read at once.
const PAGE: usize = 1024;

impl Incidents {
    /// Those that the store holds.
    ///
    /// # Errors
    /// When the store fails. A record that cannot be read is passed over and told.
    pub fn open(store: &dyn Store, options: IncidentOptions) -> Result<Self, StoreError> {
        let mut incidents = Self { options, ..Self::default() };
        let mut range = KeyRange::prefix(b"i/");
        loop {
            let page = store.scan(Table::Incidents, &range, PAGE)?;
            for (key, value) in &page {
                match serde_json::from_slice::<Incident>(value) {
                    Ok(incident) if incident.closed_at.is_none() => incidents.insert(incident),
                    Ok(_) => {
                        incidents.closed.insert(key.clone());
                    }
                    Err(error) => tracing::error!(%error, "a stored incident cannot be read; passed over"),
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => range = range.after(last),
                _ => return Ok(incidents),
            }
        }
    }

    /// What it was opened with.
    #[must_use]
    pub const fn options(&self) -> IncidentOptions {
        self.options
    }

    /// Open incidents, and alarms since the start that belong to none because too many were open.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        (self.open.len(), self.ungrouped_total)
    }

    fn insert(&mut self, incident: Incident) {
        let place = (incident.opened_at, incident.id.clone());
        let behavior = (incident.profile.clone(), incident.behavior.clone());
        self.by_behavior.entry(behavior).or_default().insert(place.clone());
        self.by_entity.entry(entity_key(&incident.entity)).or_default().insert(place);
        self.open.insert(incident.id.clone(), incident);
    }

    /// The incident that an alarm joins.
    fn joins(&self, alarm: &Alarm) -> Option<String> {
        let behavior = (alarm.profile.clone(), alarm.behavior.clone());
        let across = newest(self.by_behavior.get(&behavior)).and_then(|id| self.open.get(id));
        let across = across.filter(|incident| incident.is_near(alarm.at, self.options.window_secs));
        let same = || {
            let id = newest(self.by_entity.get(&entity_key(&alarm.entity)))?;
            self.open.get(id).filter(|incident| incident.open > 0)
        };
        across.or_else(same).map(|incident| incident.id.clone())
    }

    /// Takes an alarm in and adds what changes to `draft`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn take(
        &mut self,
        store: &dyn Store,
        alarm: &Alarm,
        notes: &[ResponseNote],
        now: Timestamp,
        draft: &mut IncidentDraft,
    ) -> Result<Taken, StoreError> {
        let alone = Taken { incident: None, how: How::Singly };
        if alarm.suppressed {
            return Ok(alone);
        }
        let taken = match alarm.kind {
            AlarmKind::InAlarm => match member(store, &alarm.violation_id, draft)? {
                // Seen before: the call is a repetition.
                Some((how, id)) => return Ok(Taken { incident: Some(id), how }),
                None => self.begin(alarm, now, draft),
            },
            AlarmKind::AlarmCleared | AlarmKind::AlarmInvalidated => self.end(store, alarm, now, draft)?,
        };
        if let Some(incident) = taken.incident.as_ref().and_then(|id| self.open.get_mut(id)) {
            for note in notes {
                *incident.responses.entry(note.plan.clone()).or_default() += 1;
            }
        }
        Ok(taken)
    }

    fn begin(&mut self, alarm: &Alarm, now: Timestamp, draft: &mut IncidentDraft) -> Taken {
        let id = match self.joins(alarm) {
            Some(id) => id,
            None if self.open.len() >= self.options.open_max => {
                self.ungrouped_total += 1;
                return Taken { incident: None, how: How::Singly };
            }
            None => {
                let incident = Incident::begin(alarm);
                let id = incident.id.clone();
                self.insert(incident);
                id
            }
        };
        let Some(incident) = self.open.get_mut(&id) else {
            return Taken { incident: None, how: How::Singly };
        };
        let how =
            if incident.alarms < u64::from(self.options.singles_max) { How::Singly } else { How::Gathered };
        incident.alarms += 1;
        incident.open += 1;
        incident.most_open = incident.most_open.max(incident.open);
        incident.last_at = incident.last_at.max(alarm.at);
        let sample = || Sample {
            violation_id: alarm.violation_id.clone(),
            entity: alarm.entity.clone(),
            behavior: format!("{}/{}", alarm.profile, alarm.behavior),
            value: alarm.value_text(),
            at: alarm.at,
        };
        if incident.first.len() < SAMPLES_MAX {
            incident.first.push(sample());
        }
        if how == How::Gathered {
            incident.gathered += 1;
            if incident.fresh.len() < SAMPLES_MAX {
                incident.fresh.push(sample());
            }
            incident.wants_to_tell(&self.options, now);
        }
        draft.members.insert(alarm.violation_id.clone(), Some((how, id.clone())));
        draft.touched.insert(id.clone());
        Taken { incident: Some(id), how }
    }

    fn end(
        &mut self,
        store: &dyn Store,
        alarm: &Alarm,
        now: Timestamp,
        draft: &mut IncidentDraft,
    ) -> Result<Taken, StoreError> {
        let Some((how, id)) = member(store, &alarm.violation_id, draft)? else {
            return Ok(Taken { incident: None, how: How::Singly });
        };
        draft.members.insert(alarm.violation_id.clone(), None);
        if let Some(incident) = self.open.get_mut(&id) {
            incident.open = incident.open.saturating_sub(1);
            if incident.told.messages > 0 {
                incident.wants_to_tell(&self.options, now);
            }
            draft.touched.insert(id.clone());
        }
        Ok(Taken { incident: Some(id), how })
    }

    /// Messages that are due at `now`, and incidents that are over at event time `event_now`. Cheap
    /// when there are none.
    pub fn due(
        &mut self,
        now: Timestamp,
        event_now: Timestamp,
        draft: &mut IncidentDraft,
    ) -> Vec<IncidentAlert> {
        let mut alerts = Vec::new();
        let mut over = Vec::new();
        let window = i64::from(self.options.window_secs) * 1000;
        for (id, incident) in &mut self.open {
            let is_over = incident.open == 0 && event_now.millis_since(incident.last_at) > window;
            if is_over {
                incident.closed_at = Some(incident.last_at.plus_millis(window));
                if incident.told.messages > 0 || incident.gathered > 0 {
                    alerts.push(incident.tell(IncidentMessage::Cleared, now));
                }
                over.push(id.clone());
            } else if incident.told.due_at.is_some_and(|due| due <= now) {
                if incident.changed_since_told() {
                    let first = incident.told.messages == 0;
                    let kind = if first { IncidentMessage::Opened } else { IncidentMessage::Update };
                    alerts.push(incident.tell(kind, now));
                } else {
                    incident.told.due_at = None;
                }
                draft.touched.insert(id.clone());
            }
        }
        for id in over {
            self.close(&id, draft);
        }
        alerts
    }

    fn close(&mut self, id: &str, draft: &mut IncidentDraft) {
        let Some(incident) = self.open.remove(id) else { return };
        let place = (incident.opened_at, incident.id.clone());
        let behavior = (incident.profile.clone(), incident.behavior.clone());
        remove(&mut self.by_behavior, &behavior, &place);
        remove(&mut self.by_entity, &entity_key(&incident.entity), &place);
        self.closed.insert(incident.key());
        draft.closed.push(incident);
        while self.closed.len() > self.options.kept_max {
            // The largest key is the oldest.
            draft.forgotten.extend(self.closed.pop_last());
        }
    }

    /// Writes what `draft` gathered into `batch`.
    ///
    /// # Errors
    /// When a record cannot be written; a bug.
    pub fn put(&self, draft: &IncidentDraft, batch: &mut Batch) -> Result<(), serde_json::Error> {
        let touched = draft.touched.iter().filter_map(|id| self.open.get(id));
        for incident in touched.chain(&draft.closed) {
            batch.put(Table::Incidents, incident.key(), serde_json::to_vec(incident)?);
        }
        for (violation, member) in &draft.members {
            match member {
                Some((how, id)) => batch.put(Table::Incidents, member_key(violation), write_member(*how, id)),
                None => batch.delete(Table::Incidents, member_key(violation)),
            }
        }
        for key in &draft.forgotten {
            batch.delete(Table::Incidents, key.clone());
        }
        Ok(())
    }
}

/// What one commit is about to change.
#[derive(Debug, Default)]
pub struct IncidentDraft {
    /// Incidents that changed and are open.
    touched: BTreeSet<String>,
    closed: Vec<Incident>,
    /// Membership by violation; none where it ended.
    members: BTreeMap<String, Option<(How, String)>>,
    forgotten: Vec<Vec<u8>>,
}

impl IncidentDraft {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
            && self.closed.is_empty()
            && self.members.is_empty()
            && self.forgotten.is_empty()
    }
}

fn entity_key(entity: &Entity) -> String {
    format!("{} {}", entity.noun(), entity.name())
}

/// Which incident a lasting violation belongs to.
fn member(
    store: &dyn Store,
    violation: &str,
    draft: &IncidentDraft,
) -> Result<Option<(How, String)>, StoreError> {
    match draft.members.get(violation) {
        Some(member) => Ok(member.clone()),
        None => Ok(store.get(Table::Incidents, &member_key(violation))?.as_deref().and_then(read_member)),
    }
}

fn write_member(how: How, id: &str) -> Vec<u8> {
    let letter = match how {
        How::Singly => 's',
        How::Gathered => 'g',
    };
    format!("{letter}{id}").into_bytes()
}

fn read_member(value: &[u8]) -> Option<(How, String)> {
    let (letter, id) = std::str::from_utf8(value).ok()?.split_at_checked(1)?;
    let how = match letter {
        "s" => How::Singly,
        "g" => How::Gathered,
        _ => return None,
    };
    Some((how, id.to_owned()))
}

/// Stored incidents as JSON, newest first, at most `limit`.
///
/// # Errors
/// When the store fails.
pub fn stored(store: &dyn Store, limit: usize) -> Result<Vec<serde_json::Value>, StoreError> {
    let entries = store.scan(Table::Incidents, &KeyRange::prefix(b"i/"), limit)?;
    Ok(entries.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
}

/// The incident of a violation as JSON, while the violation lasts.
///
/// # Errors
/// When the store fails.
pub fn of_violation(store: &dyn Store, violation: &str) -> Result<Option<serde_json::Value>, StoreError> {
    let value = store.get(Table::Incidents, &member_key(violation))?;
    let Some((_, id)) = value.as_deref().and_then(read_member) else { return Ok(None) };
    let mut range = KeyRange::prefix(b"i/");
    loop {
        let page = store.scan(Table::Incidents, &range, PAGE)?;
        let found = page.iter().find(|(key, _)| key.ends_with(id.as_bytes()));
        if let Some((_, value)) = found {
            return Ok(serde_json::from_slice(value).ok());
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => range = range.after(last),
            _ => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
