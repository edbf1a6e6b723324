//! `IOT_POLICY_OVERLY_PERMISSIVE_CHECK` (CRITICAL, as AWS has it).
//!
//! # What it notices
//! A policy that grants data-plane actions to a broad set of devices: any client id, the reserved
//! topics of any thing, the shadow or the jobs of any thing.
//!
//! # Why it matters
//! One stolen device then reads and commands all others.
//!
//! # How it decides
//! `device-defender-audit.md`, section 3: an action is broad when it is allowed for two names that
//! have no character in common, `a` and `Z` repeated 1 to 128 times, in one of the probes. The probes
//! run through the automaton of what the policy allows, so allowances and denials are exact.
//!
//! # What to do
//! Replace `*` by `${iot:Connection.Thing.ThingName}`, and let devices connect under the condition
//! that `iot:Connection.Thing.IsAttached` is true.

use std::collections::BTreeMap;

use crate::{
    finding::{Finding, Place, Severity},
    policy::{
        form::{Action, Actions, Document, Effect, Object, Rule, Subject, Undecided, Variables},
        lang::{DEAD, Dfa, Token, letters},
        parse::aws::{AwsPolicy, replaced},
    },
};

/// Name of the check.
pub const CHECK: &str = "IOT_POLICY_OVERLY_PERMISSIVE_CHECK";
/// The only reason code.
pub const REASON: &str = "ALLOWS_BROAD_ACCESS_TO_IOT_DATA_PLANE_ACTIONS";

/// Names tried have up to so many characters, the longest that AWS allows.
const NAME_MAX: usize = 128;

const PUBLISH: [&str; 8] = [
    "/shadow/update",
    "/shadow/get",
    "/shadow/delete",
    "/shadow/name/s/update",
    "/jobs/j/update",
    "/jobs/start-next",
    "/defender/metrics/json",
    "/shadow/update/accepted",
];
const SUBSCRIBE: [&str; 11] = [
    "/shadow/update",
    "/shadow/update/accepted",
    "/shadow/#",
    "/shadow/+/accepted",
    "/shadow/get/accepted",
    "/shadow/name/s/update/delta",
    "/jobs/notify",
    "/jobs/notify-next",
    "/jobs/#",
    "/#",
    "/+/+",
];
/// Filters that alone cover many devices.
const WIDE: [&str; 7] = [
    "#",
    "$aws/#",
    "$aws/things/#",
    "$aws/things/+/#",
    "$aws/things/+/shadow/#",
    "$aws/things/+/shadow/update",
    "$aws/things/+/jobs/#",
];
/// Beginnings of resources that cover many devices.
const WIDE_PREFIXES: [&str; 4] = ["$aws/#", "$aws/+/", "$aws/things/#", "$aws/things/+"];

const EXAMINED: [Action; 14] = [
    Action::Connect,
    Action::Publish,
    Action::Subscribe,
    Action::GetThingShadow,
    Action::UpdateThingShadow,
    Action::DeleteThingShadow,
    Action::DescribeJobExecution,
    Action::GetPendingJobExecutions,
    Action::StartNextPendingJobExecution,
    Action::UpdateJobExecution,
    Action::OldDescribeJobExecution,
    Action::OldGetPendingJobExecutions,
    Action::OldStartNextPendingJobExecution,
    Action::OldUpdateJobExecution,
];

/// Actions that are broad with the line of their grant, and actions that stayed undecided.
pub type Broad = (Vec<(Action, usize)>, Vec<(Action, Undecided)>);

/// The actions that the policy grants for a broad set of devices, in the order of AWS's list, and
/// the line of the grant; with the actions that stayed undecided.
#[must_use]
pub fn broad_actions(policy: &AwsPolicy) -> Broad {
    let mut document = policy.document();
    client_id_is_anything(&mut document);
    let (mut broad, mut undecided) = (BTreeMap::new(), BTreeMap::new());
    for subject in &document.subjects {
        for action in EXAMINED {
            match is_broad(&document, subject, action) {
                Ok(true) => {
                    broad.entry(action.current()).or_insert_with(|| line_of(&document, subject, action));
                }
                Ok(false) => {}
                Err(reason) => {
                    undecided.entry(action.current()).or_insert(reason);
                }
            }
        }
    }
    undecided.retain(|action, _| !broad.contains_key(action));
    (broad.into_iter().collect(), undecided.into_iter().collect())
}

/// The finding, if there is one.
#[must_use]
pub fn audit(policy: &AwsPolicy) -> Option<Finding> {
    let (broad, _) = broad_actions(policy);
    let line = broad.iter().map(|(_, line)| *line).min()?;
    let names: Vec<&str> = broad.iter().map(|(action, _)| action.aws_name()).collect();
    Some(Finding {
        check: CHECK.into(),
        severity: Severity::Critical,
        code: REASON.into(),
        reason: format!("the policy allows broad access to IoT data plane actions: [{}]", names.join(", ")),
        resource: policy.resource(),
        related: Vec::new(),
        place: Some(Place::line(policy.file.clone(), line)),
        remedy: "name the device with `${iot:Connection.Thing.ThingName}` instead of `*`, and allow iot:Connect under the condition `iot:Connection.Thing.IsAttached` only".into(),
    })
}

/// `${iot:ClientId}` counts as `*` in `iot:Connect`.
fn client_id_is_anything(document: &mut Document) {
    for rule in document.rules.iter_mut().filter(|rule| rule.actions.has(Action::Connect)) {
        if let Object::Any(patterns) | Object::Except(patterns) = &mut rule.object {
            for pattern in patterns {
                pattern.tokens = replaced(&pattern.tokens, Variables::CLIENT, Token::Run);
            }
        }
    }
}

fn is_broad(document: &Document, subject: &Subject, action: Action) -> Result<bool, Undecided> {
    let counts = |rule: &Rule| action != Action::Connect || !rule.attached;
    let mut subject = subject.clone();
    subject.order.retain(|&index| document.rules.get(index).is_some_and(counts));
    let granted = |index: &usize| {
        document
            .rules
            .get(*index)
            .is_some_and(|rule| rule.effect == Effect::Allow && rule.actions.has(action))
    };
    if !subject.order.iter().any(granted) && !subject.undecided.has(action) {
        return Ok(false);
    }
    let allowed = document.language(&subject, action, &BTreeMap::new())?;
    Ok(match action {
        Action::Connect => for_two_names(&allowed, "", &[""]),
        Action::Publish => for_two_names(&allowed, "$aws/things/", &PUBLISH),
        Action::Subscribe => {
            for_two_names(&allowed, "$aws/things/", &SUBSCRIBE)
                || WIDE.iter().any(|filter| allowed.contains(filter))
                || begins_wide(document, &subject)
        }
        _ => for_two_names(&allowed, "", &["", "/s"]),
    })
}

/// Whether some probe is allowed for `a…a` and `Z…Z` of one length.
fn for_two_names(allowed: &Dfa, before: &str, after: &[&str]) -> bool {
    let start = allowed.run(allowed.start(), letters(before));
    let (mut one, mut other) = (start, start);
    for _ in 0..NAME_MAX {
        let last = (one, other);
        (one, other) = (allowed.step(one, 'a'.into()), allowed.step(other, 'Z'.into()));
        if one == DEAD || other == DEAD {
            return false;
        }
        let both = |probe: &str| {
            [one, other].iter().all(|&state| allowed.accepts_at(allowed.run(state, letters(probe))))
        };
        if after.iter().any(|probe| both(probe)) {
            return true;
        }
        if (one, other) == last {
            return false;
        }
    }
    false
}

fn begins_wide(document: &Document, subject: &Subject) -> bool {
    let rules = subject.order.iter().filter_map(|&index| document.rules.get(index));
    let mut grants = rules.filter(|rule| rule.effect == Effect::Allow && rule.actions.has(Action::Subscribe));
    grants.any(|rule| match &rule.object {
        Object::Any(patterns) => patterns.iter().any(|pattern| {
            let literal = pattern.tokens.iter().map_while(|token| match token {
                Token::Letter(letter) => char::from_u32(*letter),
                _ => None,
            });
            let literal: String = literal.collect();
            WIDE_PREFIXES.iter().any(|prefix| literal.starts_with(prefix))
        }),
        _ => false,
    })
}

/// The line of the first grant that is broad by itself, else of the first that speaks of the action.
fn line_of(document: &Document, subject: &Subject, action: Action) -> usize {
    let granted = |index: &&usize| {
        document
            .rules
            .get(**index)
            .is_some_and(|rule| rule.effect == Effect::Allow && rule.actions.has(action))
    };
    let alone = |index: &usize| {
        let subject = Subject { order: vec![*index], undecided: Actions::NONE, ..subject.clone() };
        is_broad(document, &subject, action) == Ok(true)
    };
    let grants: Vec<usize> = subject.order.iter().filter(granted).copied().collect();
    let index = grants.iter().find(|index| alone(index)).or(grants.first());
    index.and_then(|&index| document.rules.get(index)).map_or(0, |rule| rule.line)
}
