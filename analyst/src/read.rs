//! `query` and `series`: values out of Parquet, and out of the compact history where it has them.

use std::{ops::ControlFlow, path::Path};

use anyhow::Context as _;
use history::{History, Key, Value};
use polars::prelude::*;
use serde_json::{Value as Json, json};

use crate::{
    Say,
    lake::{self, SeriesName, WRITTEN, Written},
    parquet,
    request::{self, Series},
};

/// One row of `metrics`.
pub(crate) struct MetricRow<'a> {
    series: SeriesName,
    end: i64,
    kind: &'a str,
    number: Option<f64>,
    numbers: Option<Vec<f64>>,
    texts: Option<Vec<String>>,
}

/// The values of one thing and metric, in order of window end.
pub(crate) fn query(request: &request::Query, say: Say<'_>) -> anyhow::Result<Json> {
    let mut found = Vec::new();
    let mut more = false;
    let days = lake::touched(request.from, request.to);
    for (_, dir) in lake::days(&request.lake, lake::METRICS)?.iter().filter(|(day, _)| days.contains(day)) {
        let begin = found.len();
        let wanted = |name: &SeriesName| {
            name.0 == request.metric
                && name.1 == request.dimension
                && request.aggregate.as_ref().is_none_or(|aggregate| *aggregate == name.2)
                && request.window_secs.is_none_or(|secs| secs == name.3)
                && name.4 == request.thing
        };
        rows(dir, &|first, last| may_hold(first, last, request), &mut |row| {
            if wanted(&row.series) && (request.from..request.to).contains(&row.end) {
                found.push((row.end, row.series.3, row.series.2.clone(), json_of(&row)));
            }
            Ok(())
        })?;
        if let Some(of_day) = found.get_mut(begin..) {
            of_day.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
        }
        if found.len() > request.limit {
            more = true;
            found.truncate(request.limit);
            break;
        }
    }
    found.iter().try_for_each(|(.., line)| say(line))?;
    Ok(json!({"points": found.len(), "more": more}))
}

/// Whether rows of the series may stand between these two.
fn may_hold(first: &SeriesName, last: &SeriesName, request: &request::Query) -> bool {
    let of = |name: &SeriesName| (name.0.clone(), name.1.clone());
    let wanted = (request.metric.clone(), request.dimension.clone());
    if !(of(first) <= wanted && wanted <= of(last)) {
        return false;
    }
    let one_key = (&first.0, &first.1, &first.2, first.3) == (&last.0, &last.1, &last.2, last.3);
    !one_key || (first.4 <= request.thing && request.thing <= last.4)
}

/// Columns of series, one series a day and line.
pub(crate) fn series(request: &Series, say: Say<'_>) -> anyhow::Result<Json> {
    let history = request.history.as_ref().filter(|dir| dir.is_dir());
    let history =
        history.map(|dir| History::read_only(dir).context("cannot read the history")).transpose()?;
    let kept = history.as_ref().map(History::days).unwrap_or_default();
    let in_lake = lake::days(&request.lake, lake::METRICS)?;
    let touched = lake::touched(request.from, request.to);
    let mut days: Vec<i64> =
        kept.iter().map(|day| day.day).chain(in_lake.iter().map(|(day, _)| *day)).collect();
    days.sort_unstable();
    days.dedup();
    let (mut lines, mut points) = (0_u64, 0_u64);
    for day in days.into_iter().filter(|day| touched.contains(day)) {
        let mut column = Column::new(request);
        let mut emit = |line: Option<(Json, usize)>| match line {
            Some((line, count)) => {
                lines += 1;
                points += count as u64;
                say(&line)
            }
            None => Ok(()),
        };
        match (&history, in_lake.iter().find(|(found, _)| *found == day)) {
            (Some(history), _) if kept.iter().any(|kept| kept.day == day) => {
                from_history(history, day, request, &mut column, &mut emit)?;
            }
            (_, Some((_, dir))) => from_lake(dir, request, &mut column, &mut emit)?,
            _ => {}
        }
        emit(column.take())?;
    }
    Ok(json!({"lines": lines, "points": points}))
}

type Emit<'a> = &'a mut dyn FnMut(Option<(Json, usize)>) -> anyhow::Result<()>;

fn from_history(
    history: &History,
    day: i64,
    request: &Series,
    column: &mut Column<'_>,
    emit: Emit<'_>,
) -> anyhow::Result<()> {
    let wanted = |key: &Key| {
        request.metrics.is_empty() || request.metrics.iter().any(|metric| **metric == *key.metric)
    };
    let mut failed = None;
    let scanned = history.scan_day(day, &wanted, &mut |key, thing, values| {
        let name = SeriesName(
            key.metric.to_string(),
            key.dimension.to_string(),
            key.aggregate.to_string(),
            key.window_secs,
            thing.to_owned(),
        );
        for (end, value) in values {
            if let Err(error) = emit(column.push(&name, end.millis(), list_json(&value))) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    scanned.context("cannot read the history")?;
    failed.map_or(Ok(()), Err)
}

fn from_lake(dir: &Path, request: &Series, column: &mut Column<'_>, emit: Emit<'_>) -> anyhow::Result<()> {
    let wanted = |first: &SeriesName, last: &SeriesName| {
        request.metrics.is_empty()
            || request.metrics.iter().any(|metric| first.0 <= *metric && *metric <= last.0)
    };
    rows(dir, &wanted, &mut |row| {
        let value = match (row.number, row.numbers, row.texts) {
            (Some(number), ..) => json!(number),
            (_, Some(numbers), _) => json!(numbers),
            (.., texts) => json!(texts.unwrap_or_default()),
        };
        emit(column.push(&row.series, row.end, value))
    })
}

/// Values of one series after the other.
struct Column<'a> {
    request: &'a Series,
    name: SeriesName,
    ends: Vec<i64>,
    values: Vec<Json>,
}

impl<'a> Column<'a> {
    fn new(request: &'a Series) -> Self {
        Self { request, name: SeriesName::default(), ends: Vec::new(), values: Vec::new() }
    }

    /// Takes a value; gives the line of the series before, if this begins another.
    fn push(&mut self, name: &SeriesName, end: i64, value: Json) -> Option<(Json, usize)> {
        let Series { metrics, things, from, to, .. } = self.request;
        let wanted = (metrics.is_empty() || metrics.contains(&name.0))
            && (things.is_empty() || things.contains(&name.4))
            && (*from..*to).contains(&end);
        if !wanted {
            return None;
        }
        let before = if self.name == *name { None } else { self.take() };
        if before.is_some() || self.ends.is_empty() {
            self.name.clone_from(name);
        }
        self.ends.push(end);
        self.values.push(value);
        before
    }

    fn take(&mut self) -> Option<(Json, usize)> {
        let (ends, values) = (std::mem::take(&mut self.ends), std::mem::take(&mut self.values));
        let count = ends.len();
        let SeriesName(metric, dimension, aggregate, window_secs, thing) = &self.name;
        let line = json!({
            "metric": metric,
            "dimension": dimension,
            "aggregate": aggregate,
            "windowSecs": window_secs,
            "thing": thing,
            "ends": ends,
            "values": values,
        });
        (count > 0).then_some((line, count))
    }
}

fn list_json(value: &Value) -> Json {
    match value {
        Value::Number(number) => json!(number),
        Value::Numbers(numbers) => json!(numbers),
        Value::Ports(ports) => json!(ports.iter().map(|&port| f64::from(port)).collect::<Vec<_>>()),
        Value::Addresses(texts) | Value::Texts(texts) => json!(texts),
    }
}

fn json_of(row: &MetricRow<'_>) -> Json {
    let value = match (row.number, &row.numbers, &row.texts) {
        (Some(number), ..) => json!(number),
        (_, Some(numbers), _) => json!(numbers),
        (.., texts) => json!(texts),
    };
    let SeriesName(_, _, aggregate, window_secs, _) = &row.series;
    json!({"end": row.end, "windowSecs": window_secs, "aggregate": aggregate, "kind": row.kind, "value": value})
}

/// Hands over the rows of a day, of the row groups that `wanted` likes by their first and last series.
fn rows(
    dir: &Path,
    wanted: &dyn Fn(&SeriesName, &SeriesName) -> bool,
    each: &mut dyn FnMut(MetricRow<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let written: Option<Written> = lake::read_json(&dir.join(WRITTEN))?;
    for part in written.iter().flat_map(|written| &written.parts) {
        let mut from = 0;
        for group in &part.groups {
            if wanted(&group.first, &group.last) {
                let frame = parquet::slice(&dir.join(&part.file), from, group.rows)?;
                of_frame(&frame, each).with_context(|| format!("`{}`", dir.join(&part.file).display()))?;
            }
            from += group.rows;
        }
    }
    Ok(())
}

fn of_frame(
    frame: &DataFrame,
    each: &mut dyn FnMut(MetricRow<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let text = |name: &str| -> anyhow::Result<&StringChunked> { Ok(frame.column(name)?.str()?) };
    let time = frame.column("time")?.to_physical_repr();
    let (time, window) = (time.i64()?, frame.column("window_secs")?.i32()?);
    let (metric, dimension, aggregate) = (text("metric")?, text("dimension")?, text("aggregate")?);
    let (thing, kind) = (text("thing")?, text("kind")?);
    let number = frame.column("number")?.f64()?;
    let (numbers, texts) = (frame.column("numbers")?.list()?, frame.column("texts")?.list()?);
    let owned = |column: &StringChunked, row| column.get(row).unwrap_or_default().to_owned();
    for row in 0..frame.height() {
        let series = SeriesName(
            owned(metric, row),
            owned(dimension, row),
            owned(aggregate, row),
            window.get(row).and_then(|secs| u32::try_from(secs).ok()).unwrap_or_default(),
            owned(thing, row),
        );
        let doubles = numbers.get_as_series(row);
        let doubles =
            doubles.map(|list| list.f64().map(|list| list.iter().flatten().collect())).transpose()?;
        let strings = texts.get_as_series(row);
        let strings = strings
            .map(|list| list.str().map(|list| list.iter().flatten().map(str::to_owned).collect()))
            .transpose()?;
        each(MetricRow {
            series,
            end: time.get(row).unwrap_or_default(),
            kind: kind.get(row).unwrap_or_default(),
            number: number.get(row),
            numbers: doubles,
            texts: strings,
        })?;
    }
    Ok(())
}
