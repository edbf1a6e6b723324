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
    /// How the windows' observations became values; any way, if it is not given.
    pub aggregate: Option<&'a str>,
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
    /// How its observations became the value.
    pub aggregate: Arc<str>,
    /// The value.
    pub value: Value,
}

/// The values found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// In order of window end, then of window length, then of aggregate.
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

/// Window end, number of the key, value.
type Found = Vec<(i64, usize, Cell)>;

/// Takes a series of a day: its key, its thing, and its values in order of time.
pub type DaySink<'a> = dyn FnMut(&Key, &str, Vec<(Timestamp, Value)>) -> ControlFlow<()> + 'a;

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
                && query.aggregate.is_none_or(|aggregate| aggregate == &*key.aggregate)
                && query.window_secs.is_none_or(|secs| secs == key.window_secs)
        };
        let mut keys: Vec<Key> = Vec::new();
        let mut number = |key: &Key| match keys.iter().position(|known| known == key) {
            Some(number) => number,
            None => {
                keys.push(key.clone());
                keys.len() - 1
            }
        };
        let mut of_heads = Found::new();
        let mut days: BTreeMap<i64, Vec<Arc<Part>>> = BTreeMap::new();
        {
            let state = self.inner.read_state();
            for head in state.sealing.iter().map(|(head, ..)| head.as_ref()).chain([&state.open]) {
                let mut put = |key: &Key, (end, cell)| of_heads.push((end, number(key), cell));
                head.find(query.thing, &wanted, &mut put);
            }
            let overlaps = |part: &&Arc<Part>| part.range.0 <= last && part.range.1 >= first;
            for part in state.parts.iter().filter(overlaps) {
                days.entry(part.day).or_default().push(Arc::clone(part));
            }
        }
        let mut found = Found::new();
        for (day, parts) in days {
            for part in parts {
                let mut put = |key: &Key, (end, cell)| found.push((end, number(key), cell));
                part.find(query.thing, &wanted, &mut put)?;
            }
            if found.len() > query.limit {
                settle(&mut found, (first, last));
                // All that ended by this day is known now; what the heads know only adds to it.
                let next_day = day.saturating_add(1).saturating_mul(DAY_MS);
                if found.partition_point(|point| point.0 < next_day) > query.limit {
                    break;
                }
            }
        }
        found.extend(of_heads);
        settle(&mut found, (first, last));
        let names: Vec<Arc<str>> = keys.iter().map(|key| Arc::from(&*key.aggregate)).collect();
        let point = |(end, number, cell): (i64, usize, Cell)| {
            let (key, aggregate) = (keys.get(number)?, Arc::clone(names.get(number)?));
            let (end, value) = (Timestamp::from_millis(end), Value::from_cell(&cell)?);
            Some(Point { end, window_secs: key.window_secs, aggregate, value })
        };
        answer.more = found.len() > query.limit;
        answer.points = found.into_iter().filter_map(point).collect();
        let order = |point: &Point| (point.end, point.window_secs, Arc::clone(&point.aggregate));
        if names.len() > 1 {
            answer.points.sort_by_cached_key(order);
        }
        answer.points.truncate(query.limit);
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
        each: &mut DaySink<'_>,
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

/// Sorts what was found from the oldest part to the newest, and keeps the last value of each window.
fn settle(found: &mut Found, (first, last): (i64, i64)) {
    found.retain(|point| (first..=last).contains(&point.0));
    found.sort_by_key(|point| (point.0, point.1));
    found.dedup_by(|later, kept| {
        let same = (later.0, later.1) == (kept.0, kept.1);
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
}
