//! Guard rails: whether an alarm is answered by an action, decided without doing anything.
//!
//! `plan` is pure: rules, what was done before, and the time are arguments. What it
//! decides is a value that is recorded whatever it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fleet::{event::Attribution, ids::ActionName, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    alarm::{Alarm, AlarmKind, AttributionName},
    rule::{Binding, Limits, Rules},
    task::{Task, TaskId, TaskState},
};

/// Most acts that are remembered for an action; past that the oldest is forgotten. More
/// than the largest sensible `things_max`, so that it only bounds memory.
const ACTS_MAX: usize = 16_384;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Carry the action out.
    Act,
    /// Record what would be done.
    DryRun,
    /// Record that it is not done, and why.
    Held {
        /// Why.
        reason: HeldReason,
    },
}

/// Why an action is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "code")]
pub enum HeldReason {
    /// The behavior asks for no notification, and what nobody is told of is not acted on.
    Suppressed,
    /// The alarm is about an address, not a thing.
    NotAThing,
    /// It is not sure enough that the thing did it.
    Attribution {
        /// The evidence found.
        #[serde(with = "AttributionName")]
        found: Attribution,
        /// The least that the rule asks for.
        #[serde(with = "AttributionName")]
        min: Attribution,
    },
    /// This kind of action cannot be carried out yet.
    NotCarriedOut {
        /// Kind.
        kind: String,
    },
    /// The never-touch list protects the thing.
    NeverTouch {
        /// The entry, such as `group gateways`.
        entry: String,
    },
    /// The action is in effect on the thing already.
    InEffect {
        /// The task that did it.
        task: TaskId,
    },
    /// It was carried out on this thing a moment ago.
    CoolingDown {
        /// Pause, in seconds.
        secs: u32,
    },
    /// It was carried out on as many things as are allowed.
    TooManyThings {
        /// Most things.
        max: u32,
        /// In this many seconds.
        span_secs: u32,
    },
    /// As many tasks are in effect as can be kept.
    TooManyTasks {
        /// Most tasks.
        max: usize,
    },
}

impl HeldReason {
    /// A stable short word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Suppressed => "suppressed",
            Self::NotAThing => "not-a-thing",
            Self::Attribution { .. } => "attribution",
            Self::NotCarriedOut { .. } => "not-carried-out",
            Self::NeverTouch { .. } => "never-touch",
            Self::InEffect { .. } => "in-effect",
            Self::CoolingDown { .. } => "cooling-down",
            Self::TooManyThings { .. } => "too-many-things",
            Self::TooManyTasks { .. } => "too-many-tasks",
        }
    }
}

impl std::fmt::Display for HeldReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Suppressed => f.write_str("the behavior is suppressed"),
            Self::NotAThing => f.write_str("the alarm is about an address; only things are acted on"),
            Self::Attribution { found, min } => {
                write!(f, "the evidence is {}; the rule asks for at least {}", found.name(), min.name())
            }
            Self::NotCarriedOut { kind } => write!(f, "{kind} cannot be carried out yet"),
            Self::NeverTouch { entry } => write!(f, "protected by never_touch: {entry}"),
            Self::InEffect { task } => write!(f, "in effect already by task {task}"),
            Self::CoolingDown { secs } => {
                write!(f, "carried out on this thing less than {secs} s ago")
            }
            Self::TooManyThings { max, span_secs } => {
                write!(f, "carried out on {max} things within {span_secs} s, which is the limit")
            }
            Self::TooManyTasks { max } => write!(f, "{max} tasks are in effect, which is the limit"),
        }
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Id of the task that records it.
    pub task: TaskId,
    /// The action.
    pub action: Action,
    /// Undo it when the violation clears.
    pub undo_on_clear: bool,
    /// What is to be done.
    pub plan: Plan,
    /// People are told that it was not carried out: once per action, reason and time span.
    pub notice: bool,
}

/// What was done before, as far as the limits need it. Rebuilt from the task records.
#[derive(Clone, Debug, Default)]
pub struct GuardState {
    /// Bounded by [`ACTS_MAX`] per action and forgotten with age.
    acts: BTreeMap<ActionName, VecDeque<Act>>,
    /// Active tasks by thing and action; bounded by `tasks_active_max`.
    in_effect: BTreeMap<String, BTreeMap<ActionName, TaskId>>,
    in_effect_count: usize,
    /// When a notice was raised last; bounded by actions times reasons.
    noticed: BTreeMap<(ActionName, &'static str), Timestamp>,
}

#[derive(Clone, Debug)]
struct Act {
    thing: String,
    at: Timestamp,
    planned_at: Timestamp,
    dry_run: bool,
}

/// Decides what each matching rule answers to `alarm`, each action once (the first rule wins).
/// Only a violation that begins is answered. `now` is the time of the decision, beside
/// the event time in the alarm: a limit holds in both, so that neither a burst of old
/// events nor a jumping clock of a source can pass it.
#[must_use]
pub fn plan(alarm: &Alarm, rules: &Rules, state: &GuardState, now: Timestamp) -> Vec<Planned> {
    if alarm.kind != AlarmKind::InAlarm {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    rules
        .bindings
        .iter()
        .filter(|rule| rule.profile.matches(&alarm.profile) && rule.behavior.matches(&alarm.behavior))
        .filter(|rule| seen.insert(&rule.action.name))
        .map(|rule| planned(alarm, rules, rule, state, now))
        .collect()
}

fn planned(alarm: &Alarm, rules: &Rules, rule: &Binding, state: &GuardState, now: Timestamp) -> Planned {
    let plan = decide(alarm, rules, rule, state, now);
    Planned {
        task: TaskId::derive(&alarm.violation_id, rule.action.name.as_str()),
        action: rule.action.clone(),
        undo_on_clear: rule.undo_on_clear,
        notice: notice_code(&plan)
            .is_some_and(|code| state.notice_due(&rule.action.name, code, rule.limits.span_ms(), now)),
        plan,
    }
}

fn decide(alarm: &Alarm, rules: &Rules, rule: &Binding, state: &GuardState, now: Timestamp) -> Plan {
    let dry_run = rule.dry_run || !rules.acting;
    let reason = not_eligible(alarm, rules, rule)
        .or_else(|| state.in_effect(alarm, &rule.action.name))
        .or_else(|| state.cooling_down(alarm, rule, dry_run, now))
        .or_else(|| state.too_many_tasks(rules, dry_run))
        .or_else(|| state.too_many_things(alarm, rule, dry_run, now));
    match reason {
        Some(reason) => Plan::Held { reason },
        None if dry_run => Plan::DryRun,
        None => Plan::Act,
    }
}

/// What depends on the alarm and the rules alone.
fn not_eligible(alarm: &Alarm, rules: &Rules, rule: &Binding) -> Option<HeldReason> {
    let min = rule.attribution_min;
    if alarm.suppressed {
        Some(HeldReason::Suppressed)
    } else if alarm.entity.thing().is_none() {
        Some(HeldReason::NotAThing)
    } else if alarm.attribution < min || alarm.attribution == Attribution::Ambiguous {
        Some(HeldReason::Attribution { found: alarm.attribution, min })
    } else if rule.action.params.groups().is_none() {
        Some(HeldReason::NotCarriedOut { kind: rule.action.params.kind().to_owned() })
    } else {
        rules.never_touch.protects(alarm).map(|entry| HeldReason::NeverTouch { entry })
    }
}

/// The word under which notices of this plan are counted; none where nobody needs telling.
const fn notice_code(plan: &Plan) -> Option<&'static str> {
    match plan {
        // What is in effect already was told when it was done.
        Plan::Act | Plan::Held { reason: HeldReason::Suppressed | HeldReason::InEffect { .. } } => None,
        Plan::DryRun => Some("dry-run"),
        Plan::Held { reason } => Some(reason.code()),
    }
}

impl GuardState {
    /// Takes tasks that are kept into account, in the order in which they were made.
    pub fn restore<'a>(&mut self, tasks: impl IntoIterator<Item = &'a Task>, rules: &Rules, now: Timestamp) {
        for task in tasks {
            self.add(task);
        }
        self.forget(rules, now);
    }

    /// Takes a recorded decision into account.
    pub fn record(&mut self, task: &Task, rules: &Rules, now: Timestamp) {
        self.add(task);
        self.forget(rules, now);
    }

    /// Takes into account that `task` may no longer be active.
    pub fn changed(&mut self, task: &Task) {
        if task.is_active() {
            return;
        }
        let Some(actions) = self.in_effect.get_mut(&task.thing) else { return };
        if actions.get(&task.action.name) == Some(&task.id) {
            actions.remove(&task.action.name);
            self.in_effect_count -= 1;
        }
        if actions.is_empty() {
            self.in_effect.remove(&task.thing);
        }
    }

    /// Active tasks on a thing.
    pub fn tasks_on(&self, thing: &str) -> impl Iterator<Item = &TaskId> {
        self.in_effect.get(thing).into_iter().flat_map(BTreeMap::values)
    }

    /// Active tasks.
    #[must_use]
    pub const fn in_effect_count(&self) -> usize {
        self.in_effect_count
    }

    fn add(&mut self, task: &Task) {
        let name = &task.action.name;
        if !matches!(task.state, TaskState::Held { .. }) {
            let acts = self.acts.entry(name.clone()).or_default();
            acts.push_back(Act {
                thing: task.thing.clone(),
                at: task.at,
                planned_at: task.planned_at,
                dry_run: task.state == TaskState::DryRun,
            });
        }
        if task.is_active() {
            let actions = self.in_effect.entry(task.thing.clone()).or_default();
            if actions.insert(name.clone(), task.id.clone()).is_none() {
                self.in_effect_count += 1;
            }
        }
        let code = match &task.state {
            TaskState::Held { reason } => reason.code(),
            _ => "dry-run",
        };
        if task.noticed {
            let last = self.noticed.entry((name.clone(), code)).or_insert(task.planned_at);
            *last = (*last).max(task.planned_at);
        }
    }

    /// Forgets acts that are out of every window. An act leaves when it is twice as old as
    /// any limit looks back, both by the time of decision and by event time, so that events
    /// which are late by one span still find it.
    fn forget(&mut self, rules: &Rules, now: Timestamp) {
        for (action, acts) in &mut self.acts {
            let memory = rules.memory_ms(action).saturating_mul(2);
            let newest = acts.iter().map(|act| act.at).max().unwrap_or_default();
            acts.retain(|act| {
                now.millis_since(act.planned_at) < memory || newest.millis_since(act.at) < memory
            });
            while acts.len() > ACTS_MAX {
                acts.pop_front();
            }
        }
    }

    fn acts(&self, action: &ActionName, dry_run: bool) -> impl Iterator<Item = &Act> {
        self.acts.get(action).into_iter().flatten().filter(move |act| act.dry_run == dry_run)
    }

    fn in_effect(&self, alarm: &Alarm, action: &ActionName) -> Option<HeldReason> {
        let task = self.in_effect.get(alarm.entity.thing()?)?.get(action)?;
        Some(HeldReason::InEffect { task: task.clone() })
    }

    fn cooling_down(
        &self,
        alarm: &Alarm,
        rule: &Binding,
        dry_run: bool,
        now: Timestamp,
    ) -> Option<HeldReason> {
        let thing = alarm.entity.thing()?;
        let pause = rule.limits.cool_down_ms();
        self.acts(&rule.action.name, dry_run)
            .any(|act| act.thing == thing && act.is_near(alarm.at, now, pause))
            .then_some(HeldReason::CoolingDown { secs: rule.limits.cool_down_secs })
    }

    fn too_many_tasks(&self, rules: &Rules, dry_run: bool) -> Option<HeldReason> {
        let max = rules.tasks_active_max;
        (!dry_run && self.in_effect_count >= max).then_some(HeldReason::TooManyTasks { max })
    }

    /// Counts distinct other things within the span on either side, which bounds every
    /// window that could hold this act.
    fn too_many_things(
        &self,
        alarm: &Alarm,
        rule: &Binding,
        dry_run: bool,
        now: Timestamp,
    ) -> Option<HeldReason> {
        let thing = alarm.entity.thing()?;
        let Limits { things_max, span_secs, .. } = rule.limits;
        let span = rule.limits.span_ms();
        let others = || self.acts(&rule.action.name, dry_run).filter(|act| act.thing != thing);
        let distinct = |things: &mut dyn Iterator<Item = &Act>| {
            things.map(|act| act.thing.as_str()).collect::<BTreeSet<_>>().len()
        };
        let by_event = distinct(&mut others().filter(|act| near(act.at, alarm.at, span)));
        let by_clock = distinct(&mut others().filter(|act| near(act.planned_at, now, span)));
        let max = things_max.get();
        let full = u32::try_from(by_event.max(by_clock)).is_ok_and(|count| count < max);
        (!full).then_some(HeldReason::TooManyThings { max, span_secs: span_secs.get() })
    }

    fn notice_due(&self, action: &ActionName, code: &'static str, span_ms: i64, now: Timestamp) -> bool {
        self.noticed.get(&(action.clone(), code)).is_none_or(|&last| !near(last, now, span_ms))
    }
}

impl Act {
    fn is_near(&self, at: Timestamp, now: Timestamp, span_ms: i64) -> bool {
        near(self.at, at, span_ms) || near(self.planned_at, now, span_ms)
    }
}

fn near(a: Timestamp, b: Timestamp, span_ms: i64) -> bool {
    a.millis().abs_diff(b.millis()) < span_ms.unsigned_abs()
}

#[cfg(test)]
pub(crate) mod tests;
