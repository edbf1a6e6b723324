//! Reading: the values of a thing, and all values of a day.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use fleet::time::Timestamp;

use crate::{
    error::HistoryError,
    key::{DAY_MS, Key},
    maintain::is_being_written,
    merge::Union,
    part::Part,
    store::History,
    value::{Cell, Value},
};

/// Which values are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Name of the thing.
    pub thing: &'a str,
    /// Metric.
    pub metric: &'a str,
    /// Dimension; empty for the values without one.
    pub dimension: &'a str,
    /// Length of the windows, seconds; any, if it is not given.
    pub window_secs: Option<u32>,
    /// Earliest window end.
    pub from: Timestamp,
    /// First window end that is too late.
    pub to: Timestamp,
    /// Values at most.
    pub limit: usize,
}

/// A value with its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When its window ended.
    pub end: Timestamp,
    /// Length of its window, seconds.
    pub window_secs: u32,
    /// The value.
    pub value: Value,
}

/// The values found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// In order of window end, then of window length.
    pub points: Vec<Point>,
    /// Whether there are more: ask again from the last one's end on, and pass that one over.
    pub more: bool,
}

/// A day that holds values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970-01-01.
    pub day: i64,
    /// Values.
    pub points: u64,
    /// Changes whenever values of the day are added.
    pub fingerprint: String,
    /// Whether all of it is sealed.
    pub sealed: bool,
}

type Found = BTreeMap<(i64, u32), Cell>;

impl History {
    /// The values of one thing and metric, in order.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn query(&self, query: &Query<'_>) -> Result<Answer, HistoryError> {
        let mut answer = Answer::default();
        let (first, last) = (query.from.millis(), query.to.millis().saturating_sub(1));
        if first > last || query.limit == 0 {
            return Ok(answer);
        }
        let wanted = |key: &Key| {
            *key.metric == *query.metric
                && *key.dimension == *query.dimension
                && query.window_secs.is_none_or(|secs| secs == key.window_secs)
        };
        let mut found = Found::new();
        let mut days: BTreeMap<i64, Vec<Arc<Part>>> = BTreeMap::new();
        let mut put = |key: &Key, (end, cell)| {
            if (first..=last).contains(&end) {
                found.entry((end, key.window_secs)).or_insert(cell);
            }
        };
        {
            let state = self.inner.read_state();
            let heads = state.sealing.iter().map(|(head, ..)| head.as_ref()).chain([&state.open]);
            heads.for_each(|head| head.find(query.thing, &wanted, &mut put));
            let overlaps = |part: &&Arc<Part>| part.range.0 <= last && part.range.1 >= first;
            for part in state.parts.iter().filter(overlaps) {
                days.entry(part.day).or_default().push(Arc::clone(part));
            }
        }
        for (day, parts) in days {
            for part in parts {
                part.find(query.thing, &wanted, &mut |key, (end, cell)| {
                    if (first..=last).contains(&end) {
                        found.entry((end, key.window_secs)).or_insert(cell);
                    }
                })?;
            }
            // All that ended by this day is known now.
            let next_day = day.saturating_add(1).saturating_mul(DAY_MS);
            if found.range(..(next_day, 0)).count() > query.limit {
                break;
            }
        }
        answer.more = found.len() > query.limit;
        answer.points = found.into_iter().take(query.limit).filter_map(point).collect();
        Ok(answer)
    }

    /// The days that hold values, in order.
    #[must_use]
    pub fn days(&self) -> Vec<Day> {
        let state = self.inner.read_state();
        let mut days: BTreeMap<i64, (u64, Vec<(u64, u32)>)> = BTreeMap::new();
        for part in &state.parts {
            let day = days.entry(part.day).or_default();
            day.0 += part.points;
            day.1.push(part.id());
        }
        let of_day = |(day, (points, mut ids)): (i64, (u64, Vec<(u64, u32)>))| {
            ids.sort_unstable();
            let ids: Vec<String> = ids.iter().map(|(number, nth)| format!("{number}-{nth}")).collect();
            Day { day, points, fingerprint: ids.join("+"), sealed: !is_being_written(&state, day) }
        };
        days.into_iter().map(of_day).collect()
    }

    /// Hands all sealed values of a day to `each`: sorted by metric, dimension and window length, then
    /// by thing, then by time. Values of the last hour or so may not be sealed yet.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn scan_day(
        &self,
        day: i64,
        wanted: &dyn Fn(&Key) -> bool,
        each: &mut dyn FnMut(&Key, &str, Vec<(Timestamp, Value)>) -> ControlFlow<()>,
    ) -> Result<(), HistoryError> {
        let parts: Vec<Arc<Part>> =
            self.inner.read_state().parts.iter().filter(|part| part.day == day).cloned().collect();
        let union = Union::of(&parts)?;
        for key in union.keys().iter().filter(|key| wanted(key)) {
            let mut ended = false;
            union.series(key, &mut |number, samples| {
                let name = union.names.get(number as usize).map(String::as_str).unwrap_or_default();
                let value =
                    |(end, cell): &(i64, Cell)| Some((Timestamp::from_millis(*end), Value::from_cell(cell)?));
                if !ended {
                    ended = each(key, name, samples.iter().filter_map(value).collect()).is_break();
                }
                Ok(())
            })?;
            if ended {
                break;
            }
        }
        Ok(())
    }
}

fn point(((end, window_secs), cell): ((i64, u32), Cell)) -> Option<Point> {
    Some(Point { end: Timestamp::from_millis(end), window_secs, value: Value::from_cell(&cell)? })
}
