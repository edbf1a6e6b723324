use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::{
    alarm::{
        Entity,
        tests::{alarm, cleared},
    },
    rule::{ResponseOptions, RuleError},
};

pub(crate) fn action(name: &str) -> Action {
    let text = format!(
        r#"{{"actionName":"{name}","actionParams":{{"addThingsToThingGroupParams":{{"thingGroupNames":["{name}"],"overrideDynamicGroups":false}}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn planned(name: &str, undo_on_clear: bool) -> Planned {
    Planned {
        task: TaskId::derive("v", name),
        action: action(name),
        undo_on_clear,
        plan: Plan::Act,
        notice: false,
    }
}

/// Rules from the text of a `[response]` table, with the actions `quarantine`, `q2` and `sns`.
pub(crate) fn rules(options: &str) -> Rules {
    Rules::resolve(&toml::from_str(options).unwrap(), &actions()).unwrap()
}

fn actions() -> Vec<Action> {
    let sns = r#"{"actionName":"sns","actionParams":{"publishFindingToSnsParams":{"topicArn":"t"}}}"#;
    vec![action("quarantine"), action("q2"), serde_json::from_str(sns).unwrap()]
}

const ACTING: &str = "acting = true\nrules = [{ action = \"quarantine\" }]\n";

/// Plans each alarm in turn, records it, and shows the plans.
fn run(rules: &Rules, alarms: &[(Alarm, i64)]) -> Vec<String> {
    let mut state = GuardState::default();
    let mut shown = Vec::new();
    for (alarm, now_secs) in alarms {
        let now = Timestamp::from_secs(*now_secs);
        for planned in plan(alarm, rules, &state, now) {
            let notice = if planned.notice { " notice" } else { "" };
            let what = match &planned.plan {
                Plan::Act => "act".into(),
                Plan::DryRun => "dry-run".into(),
                Plan::Held { reason } => format!("held: {reason}"),
            };
            shown.push(format!("{}: {what}{notice}", planned.action.name));
            state.record(&Task::new(alarm, &planned, now), rules, now);
        }
    }
    shown
}

fn one(options: &str, alarm: Alarm) -> Vec<String> {
    let now = alarm.at.secs();
    run(&rules(options), &[(alarm, now)])
}

#[test]
fn acting_is_off_until_it_is_switched_on() {
    let rule = r#"rules = [{ action = "quarantine" }]"#;
    assert_eq!(one(rule, alarm("a", 5)), ["quarantine: dry-run notice"]);
    assert_eq!(one(ACTING, alarm("a", 5)), ["quarantine: act"]);
    let only_this = format!("{ACTING}[actions.quarantine]\ndry_run = true");
    assert_eq!(one(&only_this, alarm("a", 5)), ["quarantine: dry-run notice"]);
}

#[test]
fn what_is_not_eligible_is_held_with_its_reason() {
    let base = alarm("cam-1", 5);
    let address = Entity::SourceIp(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let weak = "acting = true\nrules = [{ action = \"quarantine\", attribution_min = \"address\" }]";
    let protect = |list: &str| format!("{ACTING}[never_touch]\n{list}");
    let with = |attribution| Alarm { attribution, ..base.clone() };
    let cases: Vec<(String, Alarm, &str)> = vec![
        (ACTING.into(), Alarm { suppressed: true, ..base.clone() }, "held: the behavior is suppressed"),
        (
            ACTING.into(),
            Alarm { entity: address, ..base.clone() },
            "held: the alarm is about an address; only things are acted on notice",
        ),
        (
            ACTING.into(),
            with(Attribution::Address),
            "held: the evidence is address; the rule asks for at least certain notice",
        ),
        (
            ACTING.into(),
            with(Attribution::Ambiguous),
            "held: the evidence is ambiguous; the rule asks for at least certain notice",
        ),
        (weak.into(), with(Attribution::Address), "act"),
        (
            weak.into(),
            with(Attribution::Ambiguous),
            "held: the evidence is ambiguous; the rule asks for at least address notice",
        ),
        (
            protect(r#"things = ["cam-*"]"#),
            base.clone(),
            "held: protected by never_touch: thing cam-* notice",
        ),
        (protect(r#"things = ["cam"]"#), base.clone(), "act"),
        (
            protect(r#"client_ids = ["cam-1"]"#),
            base.clone(),
            "held: protected by never_touch: client id cam-1 notice",
        ),
        (
            protect(r#"principals = ["user-*"]"#),
            base.clone(),
            "held: protected by never_touch: principal user-* notice",
        ),
        (protect(r#"principals = ["*"]"#), Alarm { principal: None, ..base.clone() }, "act"),
        (
            protect(r#"groups = ["gate*"]"#),
            Alarm { groups: ["gateways".parse().unwrap()].into(), ..base.clone() },
            "held: protected by never_touch: group gate* notice",
        ),
        (protect(r#"groups = ["gate*"]"#), base.clone(), "act"),
    ];
    for (options, alarm, expected) in cases {
        assert_eq!(one(&options, alarm), [format!("quarantine: {expected}")], "{options}");
    }
    assert_eq!(
        one("acting = true\nrules = [{ action = \"sns\" }]", base),
        ["sns: held: PUBLISH_FINDING_TO_SNS cannot be carried out yet notice"]
    );
}

#[test]
fn rules_match_profile_and_behavior_and_each_action_once() {
    let text = r#"
        acting = true
        rules = [
            { profile = "pumps", behavior = "quiet", action = "quarantine", undo_on_clear = true },
            { action = "quarantine" },
            { profile = "fans", action = "q2" },
            { behavior = "qu*", action = "q2" },
        ]"#;
    let rules = rules(text);
    let planned = plan(&alarm("a", 5), &rules, &GuardState::default(), Timestamp::from_secs(5));
    let shown: Vec<_> = planned.iter().map(|p| (p.action.name.as_str(), p.undo_on_clear)).collect();
    assert_eq!(shown, [("quarantine", true), ("q2", false)]);
    let other = Alarm { behavior: "loud".into(), profile: "pumps".into(), ..alarm("a", 5) };
    assert_eq!(plan(&other, &rules, &GuardState::default(), Timestamp::from_secs(5)).len(), 1);
    let clear = cleared(&alarm("a", 5), 60);
    assert_eq!(plan(&clear, &rules, &GuardState::default(), Timestamp::from_secs(65)), []);
}

#[test]
fn the_window_slides_over_event_time_and_over_the_clock() {
    let options = format!("{ACTING}[limits]\nthings_max = 2\nspan_secs = 100\ncool_down_secs = 0");
    let rules = rules(&options);
    let held = "quarantine: held: carried out on 2 things within 100 s, which is the limit";
    // (thing, event time, time of decision) -> acts?
    let cases = [
        (
            "the third thing is held, the window's end frees a place",
            vec![
                ("a", 0, 0),
                ("b", 50, 50),
                ("c", 99, 99),
                ("d", 100, 100),
                ("e", 149, 149),
                ("f", 150, 150),
            ],
            ["act", "act", "", "act", "", "act"].map(|a| plan_line(a, held)).to_vec(),
        ),
        (
            "a backlog of old events is not spread over time that has passed",
            vec![("a", 0, 5000), ("b", 1000, 5000), ("c", 2000, 5001), ("d", 3000, 5100)],
            ["act", "act", "", "act"].map(|a| plan_line(a, held)).to_vec(),
        ),
        (
            "a slow fold of a burst does not pass it either",
            vec![("a", 0, 0), ("b", 1, 1000), ("c", 2, 2000)],
            ["act", "act", ""].map(|a| plan_line(a, held)).to_vec(),
        ),
        (
            "late events count in the windows on both sides",
            vec![("a", 100, 0), ("b", 250, 200), ("c", 175, 400), ("d", 400, 600)],
            ["act", "act", "", "act"].map(|a| plan_line(a, held)).to_vec(),
        ),
    ];
    for (what, steps, expected) in cases {
        let alarms: Vec<_> = steps.iter().map(|&(thing, at, now)| (alarm(thing, at), now)).collect();
        let shown: Vec<_> = run(&rules, &alarms).iter().map(|line| line.replace(" notice", "")).collect();
        assert_eq!(shown, expected, "{what}");
    }
}

fn plan_line(what: &str, held: &str) -> String {
    if what.is_empty() { held.into() } else { format!("quarantine: {what}") }
}

#[test]
fn the_same_thing_counts_once_and_cools_down() {
    let options = format!("{ACTING}[limits]\nthings_max = 2\nspan_secs = 100\ncool_down_secs = 30");
    let rules = rules(&options);
    let mut state = GuardState::default();
    let mut shown = Vec::new();
    for (thing, at) in [("a", 0), ("a", 29), ("a", 30), ("b", 31), ("c", 32)] {
        let (alarm, now) = (alarm(thing, at), Timestamp::from_secs(at));
        for planned in plan(&alarm, &rules, &state, now) {
            let mut task = Task::new(&alarm, &planned, now);
            state.record(&task, &rules, now);
            shown.push(match &planned.plan {
                Plan::Held { reason } => reason.code(),
                _ => "act",
            });
            task.state = TaskState::Undone;
            state.changed(&task);
        }
    }
    assert_eq!(shown, ["act", "cooling-down", "act", "act", "too-many-things"]);
    assert_eq!(state.in_effect_count(), 0);
}

#[test]
fn an_action_in_effect_is_not_repeated_and_tells_nobody() {
    let options = format!("{ACTING}[limits]\ncool_down_secs = 0");
    let shown = run(&rules(&options), &[(alarm("a", 0), 0), (alarm("a", 1), 1)]);
    let task = TaskId::derive("a-0", "quarantine");
    assert_eq!(
        shown,
        ["quarantine: act".into(), format!("quarantine: held: in effect already by task {task}")]
    );
}

#[test]
fn active_tasks_are_bounded() {
    let options = format!("tasks_active_max = 1\n{ACTING}");
    let shown = run(&rules(&options), &[(alarm("a", 0), 0), (alarm("b", 5000), 5000)]);
    assert_eq!(shown[1], "quarantine: held: 1 tasks are in effect, which is the limit notice");
}

#[test]
fn ten_thousand_alarms_at_once_act_on_ten_and_tell_once() {
    let rules = rules("acting = true\nrules = [{ action = \"quarantine\" }, { action = \"q2\" }]");
    let alarms: Vec<_> = (0..10_000).map(|n| (alarm(&format!("t{n}"), 1000), 1000)).collect();
    let shown = run(&rules, &alarms);
    for action in ["quarantine", "q2"] {
        let of = |suffix: &str| {
            shown.iter().filter(|line| line.starts_with(action) && line.ends_with(suffix)).count()
        };
        assert_eq!((of(": act"), of("the limit"), of("the limit notice")), (10, 9_989, 1), "{action}");
    }
}

#[test]
fn a_dry_run_rehearses_the_same_limits_and_leaves_no_trace_in_them() {
    let options = "rules = [{ action = \"quarantine\" }]\nlimits = { things_max = 1 }";
    let rehearsal = rules(options);
    let real = rules(&format!("acting = true\n{options}"));
    let mut state = GuardState::default();
    let now = Timestamp::from_secs(1);
    let mut codes = Vec::new();
    for (thing, rules) in [("a", &rehearsal), ("b", &rehearsal), ("c", &real), ("d", &real)] {
        let alarm = alarm(thing, 1);
        for planned in plan(&alarm, rules, &state, now) {
            codes.push(matches!(planned.plan, Plan::Held { .. }));
            state.record(&Task::new(&alarm, &planned, now), rules, now);
        }
    }
    assert_eq!(codes, [false, true, false, true]);
}

#[test]
fn the_state_is_rebuilt_from_the_records() {
    let rules = rules(&format!("{ACTING}[limits]\nthings_max = 3"));
    let mut state = GuardState::default();
    let mut tasks = Vec::new();
    for n in 0..20 {
        let (alarm, now) = (alarm(&format!("t{n}"), n), Timestamp::from_secs(n));
        for planned in plan(&alarm, &rules, &state, now) {
            let task = Task::new(&alarm, &planned, now);
            state.record(&task, &rules, now);
            tasks.push(task);
        }
    }
    let now = Timestamp::from_secs(30);
    let mut restored = GuardState::default();
    restored.restore(&tasks, &rules, now);
    for at in [31, 599, 603, 2000] {
        let alarm = alarm("next", at);
        let at = Timestamp::from_secs(at);
        assert_eq!(plan(&alarm, &rules, &restored, at), plan(&alarm, &rules, &state, at), "{at}");
    }
}

#[test]
fn notices_come_again_in_the_next_window() {
    let options = "rules = [{ action = \"quarantine\" }]\nlimits = { span_secs = 100, cool_down_secs = 0 }";
    let shown = run(&rules(options), &[(alarm("a", 0), 0), (alarm("b", 99), 99), (alarm("c", 100), 100)]);
    assert_eq!(shown, ["quarantine: dry-run notice", "quarantine: dry-run", "quarantine: dry-run notice"]);
}

#[test]
fn wrong_options_are_named() {
    let resolve = |text: &str| {
        let options: ResponseOptions = toml::from_str(text).unwrap();
        let errors = Rules::resolve(&options, &actions()).unwrap_err();
        errors.iter().map(RuleError::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        resolve("tasks_active_max = 0\nrules = [{ action = \"quarantin\" }]\n[actions.x]\ndry_run = true"),
        [
            "response.tasks_active_max: allowed are 1 to 1000000; found 0",
            "response.actions.x: no action is named `x`; defined are `q2`, `quarantine`, `sns`",
            "response.rules[0].action: no action is named `quarantin`; did you mean `quarantine`?",
        ]
    );
    let parse = |text: &str| toml::from_str::<ResponseOptions>(text).unwrap_err().to_string();
    assert!(parse("actng = true").contains("unknown field `actng`"));
    assert!(
        parse("rules = [{ action = \"a\", attribution_min = \"ambiguous\" }]")
            .contains("expected `address` or `certain`")
    );
    assert!(parse("limits = { things_max = 0 }").contains("nonzero"));
}
