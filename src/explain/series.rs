//! The metric's values around an alarm.

use detector::{
    journal::Record,
    output::Output,
    transition::{EntityName, MetricValue, Transition},
};
use fleet::time::Timestamp;
use history::{History, Point, Query, Value};

use crate::{
    cli::past::Place,
    replay::{
        fold::{Changes, Fold},
        records::{Journaled, Records},
        select::Range,
        start::{self, Blank},
    },
};

/// Windows before the alarm that are shown.
const WINDOWS_BEFORE: i64 = 60;
/// Windows after the alarm, or after its end, that are shown.
const WINDOWS_AFTER: i64 = 10;
/// Records that are folded at most to find the values; the evidence has the last ones anyway.
const RECORDS_MAX: u64 = 3_000_000;
/// Records after the last transition that are folded, for the windows that follow.
const RECORDS_AFTER: u64 = 50_000;

/// Values of the history that are shown at most: the newest of a long violation are left out.
const POINTS_MAX: usize = 2_000;

/// Values in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Time and value.
    pub points: Vec<(Timestamp, f64)>,
    /// Where they come from.
    pub from: &'static str,
}

/// The values that the evidence of the alarm holds: the last datapoints up to the deciding one.
#[must_use]
pub fn of_evidence(transition: &Transition) -> Series {
    let recent = transition.evidence.iter().flat_map(|evidence| &evidence.recent);
    Series {
        points: recent.map(|point| (point.at, point.value)).collect(),
        from: "the evidence of the alarm",
    }
}

/// The values around the violation by folding the journal; nothing if it is too long for that, or
/// does not hold them any more. Only things have collected values.
///
/// # Errors
/// When the journal cannot be read.
pub fn of_journal(
    place: &Place,
    alarm: &Transition,
    ended: Option<&Transition>,
) -> anyhow::Result<Option<Series>> {
    let EntityName::Thing(thing) = &alarm.entity else { return Ok(None) };
    let (range, secs) = around(alarm, ended);
    let last = ended.unwrap_or(alarm).seq.saturating_add(RECORDS_AFTER);
    if !place.data.join("engine/journal").is_dir() {
        return Ok(None);
    }
    let Ok(start) = start::open(&place.data, || place.decoders(), Blank::Refused) else { return Ok(None) };
    let changes = Changes { collect: Some(secs), ..Changes::default() };
    let mut fold = Fold::new(start.engine, changes);
    let mut records = Bounded { inner: Journaled::new(start.reader), left: RECORDS_MAX, last };
    let mut points = Vec::new();
    fold.run(
        &mut records,
        &mut |_, output| {
            let Output::Datapoints(block) = output else { return };
            let own = block.metric == alarm.metric && block.dimension.is_none() && range.contains(block.end);
            if !own || matches!(block.aggregate, "min") || is_sum_of_sizes(&block.metric, block.aggregate) {
                return;
            }
            let rows = block.rows.iter().filter(|(name, _)| name == thing);
            points.extend(rows.filter_map(|(_, value)| Some((block.end, number(value)?))));
        },
        &mut |_| {},
    )?;
    points.sort_by_key(|&(at, _)| at);
    let whole = records.left > 0 && !points.is_empty();
    Ok(whole.then_some(Series { points, from: "the journal" }))
}

/// Of a message's size, the largest of a window is judged.
fn is_sum_of_sizes(metric: &str, aggregate: &str) -> bool {
    metric == "aws:message-byte-size" && aggregate == "sum"
}

/// The values around the violation as the history keeps them, which reaches back further than the journal;
/// nothing if there is no history or it holds none.
///
/// # Errors
/// When the history cannot be read.
pub fn of_history(
    place: &Place,
    alarm: &Transition,
    ended: Option<&Transition>,
) -> anyhow::Result<Option<Series>> {
    let EntityName::Thing(thing) = &alarm.entity else { return Ok(None) };
    let own = place.settings.as_ref().and_then(|settings| settings.history.as_ref());
    let dir = own.map_or_else(|| place.data.join("history"), |own| own.dir.clone());
    if !dir.is_dir() {
        return Ok(None);
    }
    let (range, _) = around(alarm, ended);
    let (from, to) = (range.from.unwrap_or(alarm.at), range.to.unwrap_or(alarm.at));
    let query = Query {
        thing,
        metric: &alarm.metric,
        dimension: "",
        aggregate: None,
        window_secs: None,
        from,
        to: to.plus_millis(1),
        limit: POINTS_MAX,
    };
    let answer = History::read_only(&dir)?.query(&query)?;
    let judged = |point: &Point| {
        !matches!(&*point.aggregate, "min") && !is_sum_of_sizes(&alarm.metric, &point.aggregate)
    };
    let points: Vec<(Timestamp, f64)> = answer
        .points
        .iter()
        .filter(|point| judged(point))
        .filter_map(|point| Some((point.end, kept_number(&point.value)?)))
        .collect();
    Ok((!points.is_empty()).then_some(Series { points, from: "the history" }))
}

/// A value of the history as a number; of a list how many elements it has.
fn kept_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => *number,
        Value::Numbers(list) => list.len() as f64,
        Value::Ports(list) => list.len() as f64,
        Value::Addresses(list) | Value::Texts(list) => list.len() as f64,
    };
    Some(number).filter(|number| number.is_finite())
}

/// The time around a violation that is shown, and the length of its windows, seconds.
fn around(alarm: &Transition, ended: Option<&Transition>) -> (Range, u32) {
    let secs = alarm.evidence.as_ref().and_then(|evidence| evidence.window_secs).unwrap_or(300).max(1);
    let width = i64::from(secs) * 1000;
    let until = ended.unwrap_or(alarm).at.plus_millis(WINDOWS_AFTER * width);
    (Range { from: Some(alarm.at.plus_millis(-WINDOWS_BEFORE * width)), to: Some(until) }, secs)
}

/// A value as a number; of a list how many elements it has.
fn number(value: &MetricValue) -> Option<f64> {
    let number = match value {
        MetricValue::Count(count) => *count as f64,
        MetricValue::Number(number) => *number,
        MetricValue::Cidrs(list) => list.len() as f64,
        MetricValue::Ports(list) => list.len() as f64,
        MetricValue::Numbers(list) => list.len() as f64,
        MetricValue::Strings(list) => list.len() as f64,
    };
    Some(number).filter(|number| number.is_finite())
}

/// So many records at most, and none after the last.
struct Bounded {
    inner: Journaled,
    left: u64,
    last: u64,
}

impl Records for Bounded {
    fn next(&mut self) -> anyhow::Result<Option<Record<'_>>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let last = self.last;
        Ok(self.inner.next()?.filter(|record| record.seq <= last))
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn ends(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use history::{Block, Options, Row};
    use serde_json::json;

    use super::*;

    fn alarm(thing: &str, at: i64) -> Transition {
        serde_json::from_value(json!({
            "seq": 7, "id": "a", "violationId": "b", "kind": "in-alarm", "at": at, "entity": {"thing": thing},
            "profile": "p", "behavior": "b", "metric": "aws:message-byte-size", "expected": "", "startedAt": at,
            "attribution": "certain", "suppressed": false, "behaviorJson": "{}"
        }))
        .unwrap()
    }

    #[test]
    fn what_the_journal_has_let_go_comes_from_the_history() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { data: folder.path().to_owned(), settings: None };
        let at = 1_800_000_000_000;
        assert_eq!(of_history(&place, &alarm("t1", at), None).unwrap(), None, "no history");
        let (history, _) = History::open(&folder.path().join("history"), Options::default(), 0).unwrap();
        for (n, aggregate) in [(1_i32, "max"), (2, "max"), (2, "min"), (2, "sum"), (400, "max")] {
            let rows =
                ["t1", "t2"].map(|thing| Row { thing: thing.into(), value: Value::Number(f64::from(n)) });
            let taken = history.append(&Block {
                seq: u64::from(n.unsigned_abs()),
                end: Timestamp::from_millis(at + i64::from(n) * 300_000),
                window_secs: 300,
                metric: "aws:message-byte-size".into(),
                dimension: String::new(),
                aggregate: aggregate.into(),
                rows: rows.into(),
            });
            assert_ne!(taken, history::Appended::Repeated);
        }
        history.commit(9).unwrap();
        let series = of_history(&place, &alarm("t1", at), None).unwrap().unwrap();
        let secs = |n: i64| Timestamp::from_millis(at + n * 300_000);
        assert_eq!(series.points, [(secs(1), 1.0), (secs(2), 2.0)], "what is judged, and near");
        assert_eq!(series.from, "the history");
        assert_eq!(of_history(&place, &alarm("t3", at), None).unwrap(), None);
    }
}
