//! The streaming steps against a batch reference, and other things that always hold.

use std::{net::IpAddr, sync::Arc};

use behaviors::{
    criterion::{CidrSet, Criterion, NumberSet, PortSet},
    profile::parse_files,
    set::{Aggregate, Behavior},
    slot::{Change, Deciding, Slot, Value},
};
use fleet::{event::Attribution, time::Timestamp};
use ipnet::IpNet;
use proptest::prelude::*;

const WINDOWS: u32 = 12;
const WINDOWS_LEN: usize = WINDOWS as usize;

/// What is seen of one entity: observations in order of time, and in which windows it was there.
#[derive(Clone, Debug)]
struct History {
    observations: Vec<(i64, f64, Attribution)>,
    present: Vec<bool>,
}

fn windowed_behavior() -> impl Strategy<Value = Arc<Behavior>> {
    let metric = prop_oneof![
        3 => Just(("aws:num-messages-sent", "count", true)),
        1 => Just(("aws:message-byte-size", "count", false)),
        1 => Just(("aws:all-bytes-out", "count", true)),
        1 => Just(("aws:num-listening-tcp-ports", "count", true)),
        1 => Just(("temperature", "number", true)),
    ];
    let operator =
        prop::sample::select(vec!["less-than", "less-than-equals", "greater-than", "greater-than-equals"]);
    let window = prop::sample::select(vec![1_u32, 5, 60, 300]);
    (metric, operator, 0..12_u32, window, 1..4_u8, 1..4_u8).prop_map(
        |((metric, member, takes_duration), operator, bound, window, alarm, clear)| {
            let duration = if takes_duration { format!(r#""durationSeconds":{window},"#) } else { String::new() };
            super::behavior(&format!(
                r#"{{"name":"b","metric":"{metric}","criteria":{{"comparisonOperator":"{operator}",{duration}
                    "value":{{"{member}":{bound}}},"consecutiveDatapointsToAlarm":{alarm},"consecutiveDatapointsToClear":{clear}}}}}"#
            ))
        },
    )
}

fn histories(width: i64) -> impl Strategy<Value = History> {
    let who = prop::sample::select(vec![Attribution::Ambiguous, Attribution::Address, Attribution::Certain]);
    let at = prop_oneof![4 => 0..width * i64::from(WINDOWS), 1 => (0..WINDOWS).prop_map(move |w| i64::from(w) * width)];
    let observation = (at, 0..8_u32, who).prop_map(|(at, value, who)| (at, f64::from(value), who));
    (prop::collection::vec(observation, 0..40), prop::collection::vec(any::<bool>(), WINDOWS_LEN)).prop_map(
        |(mut observations, present)| {
            observations.sort_by_key(|&(at, _, _)| at);
            History { observations, present }
        },
    )
}

fn behavior_and_history() -> impl Strategy<Value = (Arc<Behavior>, History)> {
    windowed_behavior().prop_flat_map(|behavior| {
        let width = width(&behavior);
        (Just(behavior), histories(width))
    })
}

fn width(behavior: &Behavior) -> i64 {
    i64::from(behavior.window.unwrap()) * 1000
}

/// Works on whole windows and on the list of all verdicts, and keeps no running state.
fn batch(behavior: &Behavior, history: &History) -> Vec<Change> {
    let width = width(behavior);
    let datapoints = (0_i64..).zip(&history.present).filter_map(|(window, &present)| {
        let range = window * width..(window + 1) * width;
        let inside: Vec<_> =
            history.observations.iter().copied().filter(|(at, _, _)| range.contains(at)).collect();
        datapoint(behavior, &inside, range.end, present)
    });
    let mut changes = Vec::new();
    let mut since_change: Vec<bool> = Vec::new();
    let mut alarmed = false;
    for (deciding, compliant) in datapoints {
        since_change.push(compliant);
        let wanted = usize::from(if alarmed { behavior.to_clear } else { behavior.to_alarm });
        let run = since_change.iter().rev().take_while(|&&verdict| verdict == alarmed).count();
        if run == wanted {
            changes.push(if alarmed { Change::Clear(deciding) } else { Change::Alarm(deciding) });
            alarmed = !alarmed;
            since_change.clear();
        }
    }
    changes
}

fn datapoint(
    behavior: &Behavior,
    inside: &[(i64, f64, Attribution)],
    end: i64,
    present: bool,
) -> Option<(Deciding, bool)> {
    let Some(&Criterion::Number(criterion)) = behavior.criterion() else { panic!() };
    let of = |observations: &[(i64, f64, Attribution)], at: i64| {
        let values = || observations.iter().map(|&(_, value, _)| value);
        let value = match behavior.aggregate {
            Aggregate::Count | Aggregate::Sum => values().sum(),
            Aggregate::Max => values().fold(f64::NEG_INFINITY, f64::max),
            Aggregate::Min => values().fold(f64::INFINITY, f64::min),
            Aggregate::Last => values().next_back().unwrap(),
            Aggregate::Each | Aggregate::Away | Aggregate::Distinct => panic!(),
        };
        let attribution = observations.iter().map(|&(_, _, who)| who).min().unwrap();
        let (at, start) = (Timestamp::from_millis(at), Timestamp::from_millis(end - width(behavior)));
        (Deciding { at, value: Value::Number(value), attribution, start, limit: behavior.limit() }, value)
    };
    if inside.is_empty() {
        let at = Timestamp::from_millis(end);
        let start = Timestamp::from_millis(end - width(behavior));
        let (attribution, limit) = (Attribution::Certain, behavior.limit());
        let deciding = Deciding { at, value: Value::Number(0.0), attribution, start, limit };
        let counts = present && behavior.aggregate == Aggregate::Count;
        return counts.then(|| (deciding, criterion.holds(0.0)));
    }
    // A prefix decides if it is violating and every longer one, whatever it may be, is too.
    let final_ = match behavior.aggregate {
        Aggregate::Count | Aggregate::Sum | Aggregate::Max => criterion.op.bounds_above(),
        Aggregate::Min => !criterion.op.bounds_above(),
        _ => false,
    };
    if final_ {
        for until in 1..=inside.len() {
            let (deciding, value) = of(&inside[..until], inside[until - 1].0);
            if !criterion.holds(value) {
                return Some((deciding, false));
            }
        }
    }
    let (deciding, value) = of(inside, end);
    Some((deciding, criterion.holds(value)))
}

/// Each boundary is told just before the first observation at or after it, or, with `delays`,
/// after so many of the next window's observations.
fn stream(behavior: &Behavior, history: &History, delays: &[usize], reload: bool) -> Vec<Change> {
    let width = width(behavior);
    let mut slot = Slot::default();
    let mut changes = Vec::new();
    let mut rest = history.observations.iter().peekable();
    let reloaded = |slot: &mut Slot| {
        if reload {
            *slot = postcard::from_bytes(&postcard::to_allocvec(slot).unwrap()).unwrap();
        }
    };
    for (window, boundary) in (0..WINDOWS_LEN).zip((0_i64..).map(|window| window * width)) {
        let mut delay = delays.get(window).copied().unwrap_or(0);
        let mut told = window == 0;
        loop {
            let next = rest.peek().filter(|(at, _, _)| *at < boundary + width);
            if !told && (delay == 0 || next.is_none()) {
                let present = history.present[window - 1];
                changes.extend(
                    behavior
                        .close(&mut slot, Timestamp::from_millis(boundary), present)
                        .and_then(|point| point.change()),
                );
                told = true;
            }
            delay = delay.saturating_sub(1);
            let Some(&(at, value, who)) = rest.next_if(|(at, _, _)| *at < boundary + width) else { break };
            let (closed, own) = behavior.observe_number(&mut slot, Timestamp::from_millis(at), value, who);
            changes.extend(closed.and_then(|point| point.change()));
            changes.extend(own.and_then(|point| point.change()));
            reloaded(&mut slot);
        }
        reloaded(&mut slot);
    }
    let end = Timestamp::from_millis(i64::from(WINDOWS) * width);
    changes.extend(
        behavior.close(&mut slot, end, history.present[WINDOWS_LEN - 1]).and_then(|point| point.change()),
    );
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn streaming_equals_the_batch_reference((behavior, history) in behavior_and_history()) {
        prop_assert_eq!(stream(&behavior, &history, &[], false), batch(&behavior, &history));
    }

    #[test]
    fn saving_and_loading_a_slot_changes_nothing((behavior, history) in behavior_and_history()) {
        prop_assert_eq!(stream(&behavior, &history, &[], true), stream(&behavior, &history, &[], false));
    }

    /// Boundaries that come late, as the watermark makes them, change nothing where no window
    /// was skipped, or where skipped windows cannot be overtaken by an early decision.
    #[test]
    fn boundaries_may_come_a_little_late(
        (behavior, mut history) in behavior_and_history(),
        delays in prop::collection::vec(0..5_usize, WINDOWS_LEN),
    ) {
        let Some(&Criterion::Number(criterion)) = behavior.criterion() else { panic!() };
        if behavior.aggregate == Aggregate::Count && criterion.op.bounds_above() {
            history.present.fill(false);
        }
        // Seen from the first window on: what was before is not known to a new slot.
        history.observations.insert(0, (0, 1.0, Attribution::Certain));
        prop_assert_eq!(stream(&behavior, &history, &delays, false), batch(&behavior, &history));
    }

    /// An alarm is always followed by a clear and the other way round, whatever comes in whatever order.
    #[test]
    fn alarms_and_clears_alternate(
        behavior in windowed_behavior(),
        steps in prop::collection::vec((any::<i64>(), 0..4_u8, any::<f64>()), 0..60),
    ) {
        let mut slot = Slot::default();
        let mut changes: Vec<Change> = Vec::new();
        for (at, what, value) in steps {
            let at = Timestamp::from_millis(at);
            match what {
                0 => changes.extend(behavior.close(&mut slot, at, true).and_then(|point| point.change())),
                1 => changes.extend(behavior.close(&mut slot, at, false).and_then(|point| point.change())),
                _ => {
                    let (closed, own) = behavior.observe_number(&mut slot, at, value, Attribution::Certain);
                    changes.extend(closed.and_then(|point| point.change()));
                    changes.extend(own.and_then(|point| point.change()));
                }
            }
        }
        for (index, change) in changes.iter().enumerate() {
            prop_assert_eq!(matches!(change, Change::Alarm(_)), index % 2 == 0);
        }
        prop_assert_eq!(slot.in_alarm(), changes.len() % 2 == 1);
    }

    #[test]
    fn a_network_set_is_the_union_of_its_networks(
        networks in prop::collection::vec(network(), 0..12),
        addresses in prop::collection::vec(address(), 0..30),
    ) {
        let set = CidrSet::from_iter(networks.iter().copied());
        for address in addresses.into_iter().chain(networks.iter().flat_map(|n| [n.network(), n.broadcast()])) {
            let naive = networks.iter().any(|network| network.contains(&address));
            prop_assert_eq!(set.contains(address), naive, "{} in {:?}", address, networks);
        }
    }

    #[test]
    fn port_and_number_sets_hold_what_was_put_in(ports in prop::collection::btree_set(any::<u16>(), 0..50), asked: u16) {
        let set = PortSet::from_iter(ports.iter().copied());
        let numbers = NumberSet::from_iter(ports.iter().map(|&port| f64::from(port)));
        prop_assert!(ports.iter().all(|&port| set.contains(port) && numbers.contains(f64::from(port))));
        prop_assert_eq!(set.contains(asked), ports.contains(&asked));
        prop_assert_eq!(numbers.contains(f64::from(asked)), ports.contains(&asked));
        prop_assert!(set.iter().eq(ports.iter().copied()));
    }

    /// Whatever a file holds, it is read without a panic, and refused if it is not JSON.
    #[test]
    fn any_file_is_read_without_a_panic(cuts in prop::collection::vec((any::<prop::sample::Index>(), ".{0,3}"), 1..5)) {
        let mut text: Vec<char> = include_str!("../../testdata/aws-form.json").chars().collect();
        for (at, patch) in cuts {
            let at = at.index(text.len());
            text.splice(at..=at, patch.chars());
        }
        let text: String = text.into_iter().collect();
        let json = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        let (profiles, problems) = parse_files(&[("p.json".into(), text)]);
        prop_assert!(json || problems.len() == 1);
        prop_assert!(problems.iter().all(|problem| problem.line >= 1 && problem.column >= 1));
        drop(profiles.compile(300));
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    // Few distinct bits, so that networks and addresses meet.
    prop_oneof![
        (0..4_u32, 0..8_u32).prop_map(|(high, low)| IpAddr::V4((high << 30 | low).into())),
        (0..4_u128, 0..8_u128).prop_map(|(high, low)| IpAddr::V6((high << 126 | low | 1 << 100).into())),
    ]
}

fn network() -> impl Strategy<Value = IpNet> {
    (address(), 0..=128_u8).prop_map(|(address, prefix)| {
        let max = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, prefix.min(max)).unwrap()
    })
}

fn single_behavior() -> impl Strategy<Value = Arc<Behavior>> {
    let operator =
        prop::sample::select(vec!["less-than", "less-than-equals", "greater-than", "greater-than-equals"]);
    (operator, 0..12_u32, 1..4_u8, 1..4_u8).prop_map(|(operator, bound, alarm, clear)| {
        super::behavior(&format!(
            r#"{{"name":"b","metric":"aws:num-listening-tcp-ports","criteria":{{"comparisonOperator":"{operator}",
                "value":{{"count":{bound}}},"consecutiveDatapointsToAlarm":{alarm},"consecutiveDatapointsToClear":{clear}}}}}"#
        ))
    })
}

proptest! {
    /// Datapoints that change nothing may take the short way: what stays behind is the same, and so is what follows.
    #[test]
    fn the_short_way_leads_to_the_same_slot_and_the_same_changes(
        behavior in single_behavior(),
        values in prop::collection::vec(0..12_u32, 0..60),
    ) {
        prop_assert!(behavior.window.is_none());
        let (mut long, mut short) = (Slot::default(), Slot::default());
        for (second, value) in (0..).zip(values) {
            let (at, value) = (Timestamp::from_secs(second), f64::from(value));
            let own = behavior.observe_number(&mut long, at, value, Attribution::Certain).1;
            let own = own.ok_or_else(|| TestCaseError::fail("each observation is a datapoint"))?;
            match behavior.observe_as_before(&mut short, value) {
                Some(compliant) => {
                    prop_assert_eq!((own.compliant, own.change()), (Some(compliant), None));
                }
                None => {
                    let same = behavior.observe_number(&mut short, at, value, Attribution::Certain).1;
                    prop_assert_eq!(same, Some(own));
                }
            }
            prop_assert_eq!(long, short);
        }
    }
}
