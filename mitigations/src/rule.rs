//! Which alarm is answered with which action, and within which limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use fleet::{event::Attribution, ids::ActionName, problem::nearest};
use serde::Deserialize;
use thiserror::Error;

use crate::{action::Action, alarm::Alarm, pattern::Pattern, response::ExecutorOptions};

/// The `[response]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseOptions {
    /// Whether actions reach the broker. Off, so that a first run only shows what it would do.
    pub acting: bool,
    /// Limits of every action.
    pub limits: Limits,
    /// Limits of single actions, by name, in place of `limits`.
    pub actions: BTreeMap<String, ActionOptions>,
    /// What is never acted on.
    pub never_touch: NeverTouch,
    /// Which alarm is answered with which action; all that match apply, each action once.
    pub rules: Vec<ResponseRule>,
    /// How actions are carried out.
    pub executor: ExecutorOptions,
    /// Most tasks that are under way or in effect; more are held. Bounds memory.
    pub tasks_active_max: usize,
    /// Most task records kept; the oldest that are over and done go first. Bounds the store.
    pub tasks_kept_max: usize,
}

impl Default for ResponseOptions {
    fn default() -> Self {
        Self {
            acting: false,
            limits: Limits::default(),
            actions: BTreeMap::new(),
            never_touch: NeverTouch::default(),
            rules: Vec::new(),
            executor: ExecutorOptions::default(),
            tasks_active_max: 10_000,
            tasks_kept_max: 100_000,
        }
    }
}

/// Limits of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most distinct things that the action is carried out on in any `span_secs`.
    pub things_max: NonZeroU32,
    /// Length of the sliding window, in seconds.
    pub span_secs: NonZeroU32,
    /// Pause before the action is carried out on the same thing again, in seconds.
    pub cool_down_secs: u32,
}

/// Ten things in ten minutes: more than a person can look after, far less than a fleet.
/// A minute of cool-down keeps a flapping alarm from flapping the broker.
impl Default for Limits {
    fn default() -> Self {
        Self {
            things_max: NonZeroU32::MIN.saturating_add(9),
            span_secs: NonZeroU32::MIN.saturating_add(599),
            cool_down_secs: 60,
        }
    }
}

/// What differs for one action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionOptions {
    /// Only show what this action would do, even when `acting` is on.
    pub dry_run: bool,
    /// In place of `limits.things_max`.
    pub things_max: Option<NonZeroU32>,
    /// In place of `limits.span_secs`.
    pub span_secs: Option<NonZeroU32>,
    /// In place of `limits.cool_down_secs`.
    pub cool_down_secs: Option<u32>,
}

/// What is never acted on; `*` stands for any run of characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeverTouch {
    /// Thing names.
    pub things: Vec<Pattern>,
    /// Client ids.
    pub client_ids: Vec<Pattern>,
    /// User names and certificate identities.
    pub principals: Vec<Pattern>,
    /// Thing groups; members of groups below them are meant too.
    pub groups: Vec<Pattern>,
}

impl NeverTouch {
    /// The first entry that protects the alarm's thing, such as `client id gateway-*`.
    #[must_use]
    pub fn protects(&self, alarm: &Alarm) -> Option<String> {
        let first = |kind: &str, patterns: &[Pattern], name: Option<&str>| {
            let name = name?;
            let pattern = patterns.iter().find(|pattern| pattern.matches(name))?;
            Some(format!("{kind} {}", pattern.as_str()))
        };
        first("thing", &self.things, alarm.entity.thing())
            .or_else(|| first("client id", &self.client_ids, alarm.client_id.as_deref()))
            .or_else(|| first("principal", &self.principals, alarm.principal.as_deref()))
            .or_else(|| {
                alarm.groups.iter().find_map(|group| first("group", &self.groups, Some(group.as_str())))
            })
    }
}

/// Binds alarms to an action.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseRule {
    /// Security profiles that the rule is for; `*` stands for any run of characters.
    #[serde(default = "Pattern::any")]
    pub profile: Pattern,
    /// Behaviors that the rule is for.
    #[serde(default = "Pattern::any")]
    pub behavior: Pattern,
    /// Name of the action.
    pub action: String,
    /// Undo the action when the violation clears.
    #[serde(default)]
    pub undo_on_clear: bool,
    /// The least evidence that the thing itself did it.
    #[serde(default)]
    pub attribution_min: AttributionMin,
}

/// Evidence that a rule may ask for. `ambiguous` is not among it: what is ambiguous
/// never triggers an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttributionMin {
    /// The evidence names the address.
    Address,
    /// The broker names the session.
    #[default]
    Certain,
}

impl From<AttributionMin> for Attribution {
    fn from(min: AttributionMin) -> Self {
        match min {
            AttributionMin::Address => Self::Address,
            AttributionMin::Certain => Self::Certain,
        }
    }
}

/// Something in the `[response]` table that does not fit the actions.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// A rule or a table of limits names an action that does not exist.
    #[error("{place}: no action is named `{found}`; {hint}")]
    UnknownAction {
        /// Where, such as `response.rules[2].action`.
        place: String,
        /// Name found.
        found: String,
        /// Nearest name, or all names.
        hint: String,
    },
    /// A bound is out of its own bounds.
    #[error("{place}: allowed are 1 to {max}; found {found}")]
    Bound {
        /// Where.
        place: &'static str,
        /// Value found.
        found: usize,
        /// Most allowed.
        max: usize,
    },
}

/// Rules resolved against the actions that exist.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(crate) acting: bool,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) never_touch: NeverTouch,
    pub(crate) tasks_active_max: usize,
    pub(crate) tasks_kept_max: usize,
}

/// A rule with its action and the limits that hold for it.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) profile: Pattern,
    pub(crate) behavior: Pattern,
    pub(crate) action: Action,
    pub(crate) undo_on_clear: bool,
    pub(crate) attribution_min: Attribution,
    pub(crate) dry_run: bool,
    pub(crate) limits: Limits,
}

/// Most of `tasks_active_max`, since active tasks are kept in memory.
const ACTIVE_MAX: usize = 1_000_000;
/// Most of `tasks_kept_max`.
const KEPT_MAX: usize = 10_000_000;

impl Rules {
    /// Resolves the options.
    ///
    /// # Errors
    /// All problems at once.
    pub fn resolve(options: &ResponseOptions, actions: &[Action]) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        check_bounds(options, &mut errors);
        let names: BTreeSet<&str> = actions.iter().map(|action| action.name.as_str()).collect();
        for name in options.actions.keys().filter(|name| !names.contains(name.as_str())) {
            errors.push(unknown_action(format!("response.actions.{name}"), name, &names));
        }
        let mut bindings = Vec::new();
        for (index, rule) in options.rules.iter().enumerate() {
            match actions.iter().find(|action| action.name.as_str() == rule.action) {
                Some(action) => bindings.push(binding(options, rule, action)),
                None => errors.push(unknown_action(
                    format!("response.rules[{index}].action"),
                    &rule.action,
                    &names,
                )),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            acting: options.acting,
            bindings,
            never_touch: options.never_touch.clone(),
            tasks_active_max: options.tasks_active_max,
            tasks_kept_max: options.tasks_kept_max,
        })
    }

    /// Length of the action's sliding window, in seconds.
    pub(crate) fn span_secs(&self, action: &ActionName) -> u32 {
        let of = self.bindings.iter().find(|binding| binding.action.name == *action);
        of.map_or(0, |binding| binding.limits.span_secs.get())
    }

    /// The longest time that anything done must be remembered for, in ms.
    pub(crate) fn memory_ms(&self, action: &ActionName) -> i64 {
        let of = self.bindings.iter().filter(|binding| binding.action.name == *action);
        of.map(|binding| binding.limits.memory_ms()).max().unwrap_or_default()
    }
}

impl Limits {
    pub(crate) fn span_ms(self) -> i64 {
        i64::from(self.span_secs.get()) * 1000
    }

    pub(crate) fn cool_down_ms(self) -> i64 {
        i64::from(self.cool_down_secs) * 1000
    }

    fn memory_ms(self) -> i64 {
        self.span_ms().max(self.cool_down_ms())
    }
}

fn check_bounds(options: &ResponseOptions, errors: &mut Vec<RuleError>) {
    let bounds = [
        ("response.tasks_active_max", options.tasks_active_max, ACTIVE_MAX),
        ("response.tasks_kept_max", options.tasks_kept_max, KEPT_MAX),
    ];
    for (place, found, max) in bounds {
        if !(1..=max).contains(&found) {
            errors.push(RuleError::Bound { place, found, max });
        }
    }
}

fn unknown_action(place: String, found: &str, names: &BTreeSet<&str>) -> RuleError {
    let hint = match nearest(found, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "no actions are defined".into(),
        None => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("defined are {}", names.join(", "))
        }
    };
    RuleError::UnknownAction { place, found: found.to_owned(), hint }
}

fn binding(options: &ResponseOptions, rule: &ResponseRule, action: &Action) -> Binding {
    let own = options.actions.get(action.name.as_str()).copied().unwrap_or_default();
    Binding {
        profile: rule.profile.clone(),
        behavior: rule.behavior.clone(),
        action: action.clone(),
        undo_on_clear: rule.undo_on_clear,
        attribution_min: rule.attribution_min.into(),
        dry_run: own.dry_run,
        limits: Limits {
            things_max: own.things_max.unwrap_or(options.limits.things_max),
            span_secs: own.span_secs.unwrap_or(options.limits.span_secs),
            cool_down_secs: own.cool_down_secs.unwrap_or(options.limits.cool_down_secs),
        },
    }
}
