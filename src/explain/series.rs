//! The metric's values around an alarm.

use detector::{
    journal::Record,
    output::Output,
    transition::{EntityName, MetricValue, Transition},
};
use fleet::time::Timestamp;

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
    let secs = alarm.evidence.as_ref().and_then(|evidence| evidence.window_secs).unwrap_or(300).max(1);
    let width = i64::from(secs) * 1000;
    let last = ended.unwrap_or(alarm).seq.saturating_add(RECORDS_AFTER);
    let until = ended.unwrap_or(alarm).at.plus_millis(WINDOWS_AFTER * width);
    let range = Range { from: Some(alarm.at.plus_millis(-WINDOWS_BEFORE * width)), to: Some(until) };
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
