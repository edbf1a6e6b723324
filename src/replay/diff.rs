//! What was raised then beside what is raised now, violation by violation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use detector::transition::EntityName;
use fleet::time::Timestamp;
use serde_json::{Value, json};

use super::{
    select::Range,
    summary::duration,
    violations::{Violation, entity_text},
};
use crate::cli::output;

/// One violation of either side, or of both.
#[derive(Clone, Debug, PartialEq)]
pub enum Pair {
    /// Raised then, not now.
    OnlyThen(Violation),
    /// Raised now, not then.
    OnlyNow(Violation),
    /// Raised then and now.
    Both(Box<(Violation, Violation)>),
}

/// Counts of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Raised then, not now.
    pub only_then: usize,
    /// Raised now, not then.
    pub only_now: usize,
    /// Raised by both at the same times.
    pub same: usize,
    /// Raised by both, beginning or ending at other times.
    pub shifted: usize,
}

type Key<'a> = (&'a EntityName, &'a str, &'a str);

fn key(violation: &Violation) -> Key<'_> {
    (&violation.entity, &violation.profile, &violation.behavior)
}

/// Pairs the violations of both sides.
///
/// Those of the same id are the same. Of the others, two of the same entity, profile and behavior
/// that overlap in time belong together, the earliest first; each is paired once. Only pairs one
/// side of which began in `range` are given, by start. A violation that has not ended lasts.
#[must_use]
pub fn compare(then: Vec<Violation>, now: Vec<Violation>, range: &Range) -> Vec<Pair> {
    let known: BTreeSet<String> = now.iter().map(|violation| violation.id.clone()).collect();
    let (same, mut then): (Vec<_>, Vec<_>) =
        then.into_iter().partition(|violation| known.contains(&violation.id));
    let mut same: BTreeMap<String, Violation> =
        same.into_iter().map(|violation| (violation.id.clone(), violation)).collect();
    let mut pairs = Vec::new();
    let mut rest = Vec::new();
    for violation in now {
        match same.remove(&violation.id) {
            Some(before) => pairs.push(Pair::Both(Box::new((before, violation)))),
            None => rest.push(violation),
        }
    }
    then.sort_by(|a, b| key(a).cmp(&key(b)).then(a.started_at.cmp(&b.started_at)));
    rest.sort_by(|a, b| key(a).cmp(&key(b)).then(a.started_at.cmp(&b.started_at)));
    merge(then.into(), rest.into(), &mut pairs);
    pairs.retain(|pair| pair.starts().into_iter().flatten().any(|at| range.contains(at)));
    pairs.sort_by(|a, b| a.order().cmp(&b.order()));
    pairs
}

/// Walks both sides in order of key and start.
fn merge(mut then: VecDeque<Violation>, mut now: VecDeque<Violation>, pairs: &mut Vec<Pair>) {
    loop {
        let (pops_then, pops_now) = match (then.front(), now.front()) {
            (None, None) => return,
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(a), Some(b)) => match key(a).cmp(&key(b)) {
                std::cmp::Ordering::Less => (true, false),
                std::cmp::Ordering::Greater => (false, true),
                std::cmp::Ordering::Equal if overlap(a, b) => (true, true),
                std::cmp::Ordering::Equal if a.started_at <= b.started_at => (true, false),
                std::cmp::Ordering::Equal => (false, true),
            },
        };
        let a = if pops_then { then.pop_front() } else { None };
        let b = if pops_now { now.pop_front() } else { None };
        pairs.extend(match (a, b) {
            (Some(a), Some(b)) => Some(Pair::Both(Box::new((a, b)))),
            (Some(a), None) => Some(Pair::OnlyThen(a)),
            (None, b) => b.map(Pair::OnlyNow),
        });
    }
}

fn overlap(a: &Violation, b: &Violation) -> bool {
    let ends = |violation: &Violation, start: Timestamp| violation.ended_at.is_none_or(|end| end >= start);
    ends(a, b.started_at) && ends(b, a.started_at)
}

impl Pair {
    fn starts(&self) -> [Option<Timestamp>; 2] {
        match self {
            Self::OnlyThen(then) => [Some(then.started_at), None],
            Self::OnlyNow(now) => [None, Some(now.started_at)],
            Self::Both(both) => [Some(both.0.started_at), Some(both.1.started_at)],
        }
    }

    fn either(&self) -> &Violation {
        match self {
            Self::OnlyThen(violation) | Self::OnlyNow(violation) => violation,
            Self::Both(both) => &both.1,
        }
    }

    fn order(&self) -> (Option<Timestamp>, Key<'_>, &str) {
        let violation = self.either();
        (self.starts().into_iter().flatten().min(), key(violation), &violation.id)
    }

    /// Milliseconds by which start and end moved from then to now; none for an end that only one has.
    fn shift(&self) -> Option<(i64, Option<i64>)> {
        let Self::Both(both) = self else { return None };
        let (then, now) = both.as_ref();
        let end = match (then.ended_at, now.ended_at) {
            (Some(then), Some(now)) => Some(now.millis_since(then)),
            (None, None) => Some(0),
            _ => None,
        };
        Some((now.started_at.millis_since(then.started_at), end))
    }

    /// Whether both sides say the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.shift() == Some((0, Some(0)))
    }

    /// As JSON: `which` (`both`, `only-then`, `only-now`), entity, profile, behavior, `then` and
    /// `now` with `startedAt` and `endedAt`, and `startShiftMs` and `endShiftMs` from then to now.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let side = |violation: &Violation| {
            json!({"violationId": violation.id, "startedAt": violation.started_at,
                   "endedAt": violation.ended_at, "value": violation.value, "expected": violation.expected})
        };
        let violation = self.either();
        let (which, then, now) = match self {
            Self::OnlyThen(then) => ("only-then", side(then), Value::Null),
            Self::OnlyNow(now) => ("only-now", Value::Null, side(now)),
            Self::Both(both) => ("both", side(&both.0), side(&both.1)),
        };
        let shift = self.shift();
        json!({
            "which": which,
            "entity": violation.entity,
            "profile": violation.profile,
            "behavior": violation.behavior,
            "then": then,
            "now": now,
            "startShiftMs": shift.map(|(start, _)| start),
            "endShiftMs": shift.and_then(|(_, end)| end),
        })
    }
}

/// How many of which.
#[must_use]
pub fn counts(pairs: &[Pair]) -> Counts {
    let mut counts = Counts::default();
    for pair in pairs {
        match pair {
            Pair::OnlyThen(_) => counts.only_then += 1,
            Pair::OnlyNow(_) => counts.only_now += 1,
            Pair::Both(_) if pair.is_same() => counts.same += 1,
            Pair::Both(_) => counts.shifted += 1,
        }
    }
    counts
}

/// The pairs that differ, as a table for people, under a line that sums all up.
#[must_use]
pub fn table(pairs: &[Pair]) -> String {
    let counts = counts(pairs);
    let head = format!(
        "raised then and now: {} ({} at the same times); only then: {}; only now: {}",
        counts.same + counts.shifted,
        counts.same,
        counts.only_then,
        counts.only_now
    );
    let rows: Vec<Vec<String>> = pairs.iter().filter(|pair| !pair.is_same()).map(row).collect();
    if rows.is_empty() {
        return head;
    }
    let heading = ["WHICH", "ENTITY", "PROFILE", "BEHAVIOR", "THEN", "NOW", "STARTS", "ENDS"];
    format!("{head}\n\n{}", output::table(&heading, &rows))
}

fn row(pair: &Pair) -> Vec<String> {
    let violation = pair.either();
    let (which, then, now) = match pair {
        Pair::OnlyThen(then) => ("only then", Some(then), None),
        Pair::OnlyNow(now) => ("only now", None, Some(now)),
        Pair::Both(both) => ("both", Some(&both.0), Some(&both.1)),
    };
    let time = |side: Option<&Violation>| side.map_or_else(|| "-".into(), |v| v.started_at.to_string());
    let moved = |millis: i64| match millis {
        0 => "same".to_owned(),
        1.. => format!("{} later", duration(millis)),
        _ => format!("{} earlier", duration(-millis)),
    };
    let (starts, ends) = match (pair.shift(), pair) {
        (Some((start, end)), _) => (moved(start), end.map_or_else(|| "one is open".into(), moved)),
        (None, _) => {
            let lasted = violation.ended_at.map(|end| duration(end.millis_since(violation.started_at)));
            ("-".into(), lasted.map_or_else(|| "open".into(), |lasted| format!("after {lasted}")))
        }
    };
    vec![
        which.into(),
        output::printable(&entity_text(&violation.entity)),
        violation.profile.clone(),
        violation.behavior.clone(),
        time(then),
        time(now),
        starts,
        ends,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(id: &str, thing: &str, start: i64, end: Option<i64>) -> Violation {
        Violation {
            id: id.into(),
            entity: EntityName::Thing(thing.into()),
            profile: "p".into(),
            behavior: "b".into(),
            value: None,
            expected: "less-than 1".into(),
            started_at: Timestamp::from_secs(start),
            ended_at: end.map(Timestamp::from_secs),
            end: None,
        }
    }

    fn check(then: &[Violation], now: &[Violation], range: Range, expected: &str) {
        let pairs = compare(then.to_vec(), now.to_vec(), &range);
        let text = |pair: &Pair| {
            let name = entity_text(&pair.either().entity);
            match (pair, pair.shift()) {
                (Pair::OnlyThen(_), _) => format!("{name} then"),
                (Pair::OnlyNow(_), _) => format!("{name} now"),
                (Pair::Both(_), shift) => format!("{name} both {shift:?}"),
            }
        };
        assert_eq!(pairs.iter().map(text).collect::<Vec<_>>().join("; "), expected);
    }

    #[test]
    fn the_same_id_is_the_same_violation_and_overlapping_ones_belong_together() {
        let all = Range::default();
        let v = violation;
        check(&[], &[], all, "");
        check(&[v("1", "a", 10, Some(20))], &[v("1", "a", 10, Some(20))], all, "a both Some((0, Some(0)))");
        check(&[v("1", "a", 10, Some(20))], &[v("2", "a", 15, None)], all, "a both Some((5000, None))");
        check(&[v("1", "a", 10, None)], &[v("2", "a", 15, None)], all, "a both Some((5000, Some(0)))");
        check(
            &[v("1", "a", 10, Some(20))],
            &[v("2", "a", 20, Some(30))],
            all,
            "a both Some((10000, Some(10000)))",
        );
        check(&[v("1", "a", 10, Some(20))], &[v("2", "a", 21, Some(30))], all, "a then; a now");
        check(&[v("1", "a", 10, Some(20))], &[v("2", "b", 10, Some(20))], all, "a then; b now");
        // One long then against two short now: the first belongs to it, the second is new.
        let long = v("1", "a", 0, Some(100));
        check(
            &[long],
            &[v("2", "a", 10, Some(20)), v("3", "a", 30, Some(40))],
            all,
            "a both Some((10000, Some(-80000))); a now",
        );
    }

    #[test]
    fn a_pair_counts_when_either_side_began_in_the_range() {
        let range = Range { from: Some(Timestamp::from_secs(100)), to: Some(Timestamp::from_secs(200)) };
        let v = violation;
        let then = [v("1", "a", 99, Some(300)), v("2", "b", 50, Some(60)), v("3", "c", 200, None)];
        let now = [v("4", "a", 101, Some(300)), v("5", "d", 201, None)];
        check(&then, &now, range, "a both Some((2000, Some(0))); c then");
    }

    #[test]
    fn the_table_shows_what_differs_and_sums_up_the_rest() {
        let v = violation;
        let then = [v("1", "a", 0, Some(60)), v("2", "b", 0, Some(60)), v("3", "c", 0, Some(60))];
        let now = [v("1", "a", 0, Some(60)), v("9", "b", 30, None)];
        let pairs = compare(then.to_vec(), now.to_vec(), &Range::default());
        let expected = "\
raised then and now: 2 (1 at the same times); only then: 1; only now: 0

WHICH      ENTITY  PROFILE  BEHAVIOR  THEN                      NOW                       STARTS      ENDS
both       b       p        b         1970-01-01T00:00:00.000Z  1970-01-01T00:00:30.000Z  30 s later  one is open
only then  c       p        b         1970-01-01T00:00:00.000Z  -                         -           after 1 min 0 s";
        assert_eq!(table(&pairs), expected);
        let json = pairs[1].as_json();
        assert_eq!(
            (&json["which"], &json["startShiftMs"], &json["endShiftMs"]),
            (&json!("both"), &json!(30_000), &Value::Null)
        );
    }
}
