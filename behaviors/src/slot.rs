//! The state of one behavior for one entity, and its steps.
//!
//! Windows tumble and are aligned to the epoch; what happens exactly on a boundary belongs to the
//! next window. A window that can no longer become compliant counts as violating at once, and
//! exactly once; AWS waits for its end. The N-th violating datapoint in a row alarms, the M-th
//! compliant one in a row clears; a missing datapoint neither counts nor resets
//! (`device-defender-detect.md`, section 6).

use fleet::{event::Attribution, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    criterion::Criterion,
    limit::Limit,
    set::{Aggregate, Behavior, Test},
};

/// State of one behavior for one entity: 16 bytes. The default is one that never saw anything.
///
/// `start` is the window that observations now go to, `value` what it gathered so far. Before it
/// there may be `gap` windows without an observation whose end has not been told to
/// [`Behavior::close`] yet. For [`Aggregate::Away`], `start` is when the entity left, to the next
/// full second. Windows begin at full seconds, and all times from 2106 on are one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    value: f64,
    /// See [`seconds`].
    start: u32,
    flags: u8,
    who: u8,
    run: u8,
    gap: u8,
}

/// `start` means something.
const SEEN: u8 = 1;
/// The window has an observation.
const FILLED: u8 = 1 << 1;
/// The window has been counted as violating already; `value` and `who` are those of that moment.
const DECIDED: u8 = 1 << 2;
/// In alarm.
const ALARMED: u8 = 1 << 3;

/// What a datapoint changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// A violation begins.
    Alarm(Deciding),
    /// A violation ends.
    Clear(Deciding),
}

/// The datapoint that decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deciding {
    /// Time of the deciding observation; the window's end if that decided.
    pub at: Timestamp,
    /// Its value.
    pub value: Value,
    /// The weakest attribution of what went into it.
    pub attribution: Attribution,
    /// Begin of its window; the time of the observation if that is a datapoint of its own; for
    /// [`Aggregate::Away`] when the entity left.
    pub start: Timestamp,
    /// What it was compared with; without bounds while it has not been judged.
    pub limit: Limit,
}

/// A datapoint, with its verdict and what that changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Datapoint {
    /// Value, time and limit.
    pub deciding: Deciding,
    /// Whether it is compliant. Nothing if the behavior cannot say so by itself ([`Test::judges`]):
    /// whoever has the model judges it with [`Behavior::decide`].
    pub compliant: Option<bool>,
    /// What it changed.
    pub turn: Option<Turn>,
}

/// Begin or end of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A violation begins.
    Alarm,
    /// A violation ends.
    Clear,
}

impl Datapoint {
    /// What it changed, with what decided.
    #[must_use]
    pub const fn change(&self) -> Option<Change> {
        match self.turn {
            Some(Turn::Alarm) => Some(Change::Alarm(self.deciding)),
            Some(Turn::Clear) => Some(Change::Clear(self.deciding)),
            None => None,
        }
    }
}

/// Value of a deciding datapoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number, in the metric's unit.
    Number(f64),
    /// The list that the caller has just observed.
    List,
}

impl Slot {
    /// The slot of a behavior that keeps no window, from the word that stands for it.
    #[must_use]
    pub fn from_word(word: u32) -> Self {
        let [flags, run, ..] = word.to_le_bytes();
        Self { flags, run, ..Self::default() }
    }

    /// The word that stands for the slot of a behavior that keeps no window; 0 for a new one.
    #[must_use]
    pub const fn word(&self) -> u32 {
        u32::from_le_bytes([self.flags, self.run, 0, 0])
    }

    /// Begin of the window that observations go to.
    #[must_use]
    pub const fn start(&self) -> Timestamp {
        Timestamp::from_millis(self.begin())
    }

    /// `start`, in ms.
    const fn begin(&self) -> i64 {
        (self.start as i64 - BEFORE_SECS) * 1000
    }

    /// Whether the behavior is in alarm.
    #[must_use]
    pub const fn in_alarm(&self) -> bool {
        self.flags & ALARMED != 0
    }

    /// Whether nothing has been observed yet.
    #[must_use]
    pub const fn is_unseen(&self) -> bool {
        self.flags == 0 && self.run == 0
    }

    /// Whether an observation at `at` would be late: its window is over. Behaviors without windows have none.
    #[must_use]
    pub const fn is_late(&self, at: Timestamp) -> bool {
        self.has(SEEN) && at.millis() < self.begin()
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    const fn set(&mut self, flag: u8) {
        self.flags |= flag;
    }

    /// Moves on to the window at `start`, with nothing in it.
    const fn open(&mut self, start: i64, gap: u8) {
        self.start = seconds(start);
        self.value = 0.0;
        self.who = Attribution::Certain as u8;
        self.gap = gap;
        self.flags = (self.flags | SEEN) & !(FILLED | DECIDED);
    }
}

impl Behavior {
    /// Observes a number at `at`. The first datapoint is of the window before, if this observation
    /// closes it, the second of this observation's own window, if it is decided already.
    ///
    /// A late observation (see [`Slot::is_late`]) and what is not a number change nothing.
    /// For counters the value is how many were seen, usually 1.
    #[inline]
    pub fn observe_number(
        &self,
        slot: &mut Slot,
        at: Timestamp,
        value: f64,
        who: Attribution,
    ) -> (Option<Datapoint>, Option<Datapoint>) {
        if value.is_nan() || matches!(self.aggregate, Aggregate::Away) {
            return (None, None);
        }
        let Some(width) = self.width() else {
            return (None, Some(self.number(slot, (at, at), value, who)));
        };
        let at_ms = at.millis();
        let mut closed = None;
        if !slot.has(SEEN) {
            slot.open(floor(at_ms, width), 0);
        } else if at_ms < slot.begin() {
            return (None, None);
        } else if floor(at_ms, width) > slot.begin() {
            closed = self.move_on(slot, floor(at_ms, width), width);
        }
        (closed, self.add(slot, at, value, who))
    }

    /// Observes a number as [`Behavior::observe_number`] does, if it is a datapoint of its own, judged by
    /// a fixed bound, and changes nothing: then whether it is compliant. Most are so, and it takes a
    /// fraction of the time. Else nothing has been observed.
    #[inline]
    pub fn observe_as_before(&self, slot: &mut Slot, value: f64) -> Option<bool> {
        let Test::Fixed(Criterion::Number(criterion)) = &self.test else { return None };
        if self.window.is_some() || matches!(self.aggregate, Aggregate::Away) || value.is_nan() {
            return None;
        }
        self.as_before(slot, criterion.holds(value))
    }

    /// As [`Behavior::observe_as_before`], for a list, of which the caller knows whether it is compliant.
    #[inline]
    pub const fn observe_list_as_before(&self, slot: &mut Slot, compliant: bool) -> Option<bool> {
        if self.test.judges() { self.as_before(slot, compliant) } else { None }
    }

    /// See [`Behavior::count`]: a verdict that fits the state breaks the run towards a change.
    #[inline]
    const fn as_before(&self, slot: &mut Slot, compliant: bool) -> Option<bool> {
        if compliant == slot.in_alarm() {
            return None;
        }
        slot.run = 0;
        Some(compliant)
    }

    /// Observes a list, of which the caller knows whether it is compliant (`judge_…`).
    #[inline]
    pub fn observe_list(
        &self,
        slot: &mut Slot,
        at: Timestamp,
        compliant: bool,
        who: Attribution,
    ) -> Datapoint {
        let limit = self.limit();
        let deciding = Deciding { at, value: Value::List, attribution: who, start: at, limit };
        let compliant = self.test.judges().then_some(compliant);
        let turn = compliant.and_then(|compliant| self.count(slot, compliant));
        Datapoint { deciding, compliant, turn }
    }

    /// Judges a datapoint of a behavior that cannot do it by itself: counts the verdict of whoever
    /// holds the model, and what it was compared with.
    pub fn decide(&self, slot: &mut Slot, deciding: Deciding, compliant: bool, limit: Limit) -> Datapoint {
        let turn = self.count(slot, compliant);
        Datapoint { deciding: Deciding { limit, ..deciding }, compliant: Some(compliant), turn }
    }

    /// Decides the slot's window before its end, as violating, if what it gathered is above a bound
    /// that others know: a sum of what is never negative, or a maximum, does not fall again.
    /// The datapoint is not judged yet; the window will have no other.
    pub fn decide_early(&self, slot: &mut Slot, at: Timestamp, bound: f64) -> Option<Datapoint> {
        let only_rises = matches!(
            self.aggregate,
            Aggregate::Count | Aggregate::Sum | Aggregate::Max | Aggregate::Distinct
        );
        if !only_rises || slot.has(DECIDED) || !slot.has(FILLED) || slot.value <= bound {
            return None;
        }
        slot.set(DECIDED);
        let start = slot.start();
        Some(self.number(slot, (start, at), slot.value, attribution(slot.who)))
    }

    /// Ends the window whose end is `boundary`. To be called for every such boundary, in order of
    /// time, for slots with and without observations.
    ///
    /// `present`: the entity was connected or reporting in the window. Then a counter without an
    /// event has a datapoint of 0, which counts; without presence there is no datapoint, so that
    /// what is gone does not alarm forever.
    ///
    /// A boundary may come a little after the first observations of the next window (the
    /// watermark lags). The windows that those skipped are judged then, unless their own window
    /// has already been decided or closed: then the skipped ones are missing.
    pub fn close(&self, slot: &mut Slot, boundary: Timestamp, present: bool) -> Option<Datapoint> {
        let width = self.width()?;
        if matches!(self.aggregate, Aggregate::Away) {
            return self.close_away(slot, boundary);
        }
        let end = floor(boundary.millis(), width);
        if !slot.has(SEEN) {
            if !present {
                return None;
            }
            slot.open(end, 0);
            return self.zero(slot, end, present);
        }
        if end <= slot.begin() {
            return self.close_gap(slot, end, width, present);
        }
        let own_end = slot.begin().saturating_add(width);
        let point = if slot.has(FILLED) { self.judge(slot, own_end) } else { self.zero(slot, end, present) };
        slot.open(end, 0);
        point
    }

    /// The entity left at `at`. For [`Aggregate::Away`]; nothing for the others. A second
    /// departure without a return between them changes nothing.
    pub fn observe_left(&self, slot: &mut Slot, at: Timestamp) {
        if matches!(self.aggregate, Aggregate::Away) && !slot.has(SEEN) {
            slot.start = seconds(at.millis().saturating_add(999));
            slot.set(SEEN);
        }
    }

    /// The entity came back at `at`: a datapoint of 0 minutes, if it had been away. For
    /// [`Aggregate::Away`]; nothing for the others.
    pub fn observe_back(&self, slot: &mut Slot, at: Timestamp) -> Option<Datapoint> {
        if !matches!(self.aggregate, Aggregate::Away) || !slot.has(SEEN) {
            return None;
        }
        let left = slot.start();
        slot.flags &= !SEEN;
        slot.start = 0;
        Some(self.number(slot, (left, at), 0.0, Attribution::Certain))
    }

    fn width(&self) -> Option<i64> {
        self.window.map(|secs| i64::from(secs.max(1)) * 1000)
    }

    /// Whether a number is compliant, if the behavior can say so by itself.
    fn holds(&self, value: f64) -> Option<bool> {
        match &self.test {
            Test::Fixed(Criterion::Number(criterion)) => Some(criterion.holds(value)),
            Test::Fixed(
                Criterion::Ports(..)
                | Criterion::Addresses(..)
                | Criterion::Numbers(..)
                | Criterion::Strings(..),
            ) => Some(true),
            Test::Percentile { .. } | Test::Learned(_) | Test::Collect => None,
        }
    }

    /// A number as a datapoint of the window, judged if the behavior can do that by itself.
    fn number(
        &self,
        slot: &mut Slot,
        (start, at): (Timestamp, Timestamp),
        value: f64,
        who: Attribution,
    ) -> Datapoint {
        let deciding =
            Deciding { at, value: Value::Number(value), attribution: who, start, limit: self.limit() };
        let compliant = self.holds(value);
        let turn = compliant.and_then(|compliant| self.count(slot, compliant));
        Datapoint { deciding, compliant, turn }
    }

    /// Puts an observation into the slot's window, and decides it if nothing can save it.
    #[inline]
    fn add(&self, slot: &mut Slot, at: Timestamp, value: f64, who: Attribution) -> Option<Datapoint> {
        if slot.has(DECIDED) {
            return None;
        }
        slot.who = slot.who.min(who as u8);
        slot.value = match self.aggregate {
            Aggregate::Count | Aggregate::Sum => slot.value + value,
            Aggregate::Max | Aggregate::Distinct if slot.has(FILLED) => slot.value.max(value),
            Aggregate::Min if slot.has(FILLED) => slot.value.min(value),
            Aggregate::Max
            | Aggregate::Distinct
            | Aggregate::Min
            | Aggregate::Last
            | Aggregate::Each
            | Aggregate::Away => value,
        };
        slot.set(FILLED);
        if !self.is_final_once_violating() || self.holds(slot.value) != Some(false) {
            return None;
        }
        slot.set(DECIDED);
        let start = slot.start();
        Some(self.number(slot, (start, at), slot.value, attribution(slot.who)))
    }

    /// Whether a violating window stays so whatever it still gathers: a sum of what is never
    /// negative, or a maximum, against a bound from above; a minimum against one from below.
    fn is_final_once_violating(&self) -> bool {
        let Test::Fixed(Criterion::Number(criterion)) = &self.test else { return false };
        match self.aggregate {
            Aggregate::Count | Aggregate::Sum | Aggregate::Max | Aggregate::Distinct => {
                criterion.op.bounds_above()
            }
            Aggregate::Min => !criterion.op.bounds_above(),
            Aggregate::Last | Aggregate::Each | Aggregate::Away => false,
        }
    }

    /// Leaves the slot's window for a later one, before the boundary between them was told.
    fn move_on(&self, slot: &mut Slot, start: i64, width: i64) -> Option<Datapoint> {
        let windows = start.saturating_sub(slot.begin()) / width;
        let (point, skipped) = if slot.has(FILLED) {
            (self.judge(slot, slot.begin().saturating_add(width)), windows - 1)
        } else {
            // Its own gap is 0: a window is opened with a gap only by an observation in it.
            (None, windows)
        };
        slot.open(start, u8::try_from(skipped).unwrap_or(u8::MAX));
        point
    }

    /// Judges the slot's window, which has an observation, at its end.
    fn judge(&self, slot: &mut Slot, end: i64) -> Option<Datapoint> {
        if slot.has(DECIDED) {
            return None;
        }
        let window = (slot.start(), Timestamp::from_millis(end));
        Some(self.number(slot, window, slot.value, attribution(slot.who)))
    }

    /// Judges a window without an observation.
    fn zero(&self, slot: &mut Slot, end: i64, present: bool) -> Option<Datapoint> {
        if !present || !matches!(self.aggregate, Aggregate::Count | Aggregate::Distinct) {
            return None;
        }
        let start = end.saturating_sub(self.width()?);
        let window = (Timestamp::from_millis(start), Timestamp::from_millis(end));
        Some(self.number(slot, window, 0.0, Attribution::Certain))
    }

    /// Judges a window that was skipped, now that its end is told.
    fn close_gap(&self, slot: &mut Slot, end: i64, width: i64, present: bool) -> Option<Datapoint> {
        let left = slot.begin().saturating_sub(end) / width;
        if left >= i64::from(slot.gap) {
            return None;
        }
        slot.gap = u8::try_from(left).unwrap_or(u8::MAX);
        if slot.has(DECIDED) { None } else { self.zero(slot, end, present) }
    }

    fn close_away(&self, slot: &mut Slot, boundary: Timestamp) -> Option<Datapoint> {
        if !slot.has(SEEN) || boundary.millis() <= slot.begin() {
            return None;
        }
        let minutes = boundary.millis().saturating_sub(slot.begin()) / 60_000;
        let value = f64::from(u32::try_from(minutes).unwrap_or(u32::MAX));
        let left = slot.start();
        Some(self.number(slot, (left, boundary), value, Attribution::Certain))
    }

    /// Counts the verdict about a datapoint.
    #[inline]
    fn count(&self, slot: &mut Slot, compliant: bool) -> Option<Turn> {
        if self.as_before(slot, compliant).is_some() {
            return None;
        }
        slot.run = slot.run.saturating_add(1);
        let wanted = if compliant { self.to_clear } else { self.to_alarm };
        if slot.run < wanted {
            return None;
        }
        slot.run = 0;
        slot.flags ^= ALARMED;
        Some(if compliant { Turn::Clear } else { Turn::Alarm })
    }
}

/// Start of the window of `width` ms that holds `at_ms`.
const fn floor(at_ms: i64, width: i64) -> i64 {
    let start = at_ms.div_euclid(width).saturating_mul(width);
    (seconds(start) as i64 - BEFORE_SECS) * 1000
}

/// Times are kept from a day before 1970 on, so that a window that ends then is told apart.
const BEFORE_SECS: i64 = 86_400;

/// Full seconds since a day before 1970, up to 2106.
const fn seconds(ms: i64) -> u32 {
    match ms.div_euclid(1000) + BEFORE_SECS {
        i64::MIN..0 => 0,
        secs if secs > u32::MAX as i64 => u32::MAX,
        #[expect(clippy::cast_possible_truncation, reason = "within the bounds of the other arms")]
        #[expect(clippy::cast_sign_loss, reason = "within the bounds of the other arms")]
        secs => secs as u32,
    }
}

const fn attribution(number: u8) -> Attribution {
    match number {
        0 => Attribution::Ambiguous,
        1 => Attribution::Address,
        _ => Attribution::Certain,
    }
}
