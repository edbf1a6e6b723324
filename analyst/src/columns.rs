//! The tables: their columns, and how rows become columns.

use detector::journal::Record;
use history::Value;
use polars::prelude::*;

/// A column: name, type as Parquet readers show it, unit, what it says.
pub(crate) type About = (&'static str, &'static str, &'static str, &'static str);

/// The columns of `metrics`.
pub(crate) const METRIC_COLUMNS: [About; 10] = [
    ("time", "timestamp[ms, UTC]", "", "when the window ended"),
    ("window_secs", "int32", "s", "length of the window"),
    ("metric", "string", "", "metric, such as aws:num-messages-sent"),
    ("dimension", "string", "", "dimension; !NAME where it is negated; empty for none"),
    (
        "aggregate",
        "string",
        "",
        "how the window's observations became the value: count, sum, max, min, last, away, each",
    ),
    ("thing", "string", "", "name of the thing"),
    ("kind", "string", "", "number, numbers, ports, addresses or texts"),
    ("number", "double", "of the metric", "the value, where it is a number"),
    ("numbers", "list<double>", "of the metric", "the value, where it is a list of numbers or ports"),
    ("texts", "list<string>", "", "the value, where it is a list of addresses or texts"),
];

/// The columns of `events`.
pub(crate) const EVENT_COLUMNS: [About; 14] = [
    ("time", "timestamp[ms, UTC]", "", "event time: the source's where it can be trusted, else arrival"),
    ("arrival", "timestamp[ms, UTC]", "", "when it arrived"),
    ("kind", "string", "", "connect, disconnect, auth-failure, denied, publish, delivery, subscribe, ..."),
    ("thing", "string", "", "thing or client id, where the session proves it"),
    ("principal", "string", "", "user name or certificate, where the session proves it"),
    ("address", "string", "", "address of the peer"),
    ("claimed_thing", "string", "", "client id that a refused login claimed; proves nothing about its owner"),
    ("claimed_principal", "string", "", "user name that a refused login claimed"),
    ("topic", "string", "", "topic or topic filter"),
    ("bytes", "int64", "B", "size of the payload"),
    ("reason", "string", "", "why, in the words of the event's kind"),
    ("source", "string", "", "source, as the configuration names it"),
    ("seq", "int64", "", "record of the journal"),
    ("nth", "int32", "", "which event of that record"),
];

/// The columns of `records` and `settings`.
pub(crate) const RECORD_COLUMNS: [About; 7] = [
    ("seq", "int64", "", "place in the journal"),
    ("arrival", "timestamp[ms, UTC]", "", "when it arrived"),
    ("source", "int32", "", "number of the source; 0 for Fleetward's own records"),
    ("kind", "int32", "", "number of the record's kind in the journal"),
    ("position", "int64", "", "position of the source after it; 0 for none"),
    ("subject", "string", "", "thing, client id or source that it names; may be empty"),
    ("payload", "binary", "", "the bytes as they arrived"),
];

/// Rows of `metrics`.
pub(crate) struct MetricRows {
    time: Vec<i64>,
    window_secs: Vec<i32>,
    texts: [StringChunkedBuilder; 5],
    number: Vec<Option<f64>>,
    numbers: ListPrimitiveChunkedBuilder<Float64Type>,
    lists: ListStringChunkedBuilder,
}

fn text(name: &str) -> StringChunkedBuilder {
    StringChunkedBuilder::new(name.into(), 0)
}

impl MetricRows {
    pub(crate) fn new() -> Self {
        Self {
            time: Vec::new(),
            window_secs: Vec::new(),
            texts: ["metric", "dimension", "aggregate", "thing", "kind"].map(text),
            number: Vec::new(),
            numbers: ListPrimitiveChunkedBuilder::new("numbers".into(), 0, 0, DataType::Float64),
            lists: ListStringChunkedBuilder::new("texts".into(), 0, 0),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.time.len()
    }

    pub(crate) fn push(&mut self, key: &history::Key, thing: &str, end: i64, value: &Value) {
        self.time.push(end);
        self.window_secs.push(i32::try_from(key.window_secs).unwrap_or(i32::MAX));
        let texts = [&*key.metric, &*key.dimension, &*key.aggregate, thing, kind(value)];
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_value(text));
        let (mut number, mut numbers, mut texts) = (None, None, None);
        match value {
            Value::Number(own) => number = Some(*own),
            Value::Numbers(own) => numbers = Some(own.clone()),
            Value::Ports(ports) => numbers = Some(ports.iter().map(|&port| f64::from(port)).collect()),
            Value::Addresses(own) | Value::Texts(own) => texts = Some(own),
        }
        self.number.push(number);
        self.numbers.append_opt_slice(numbers.as_deref());
        match texts {
            Some(texts) => self.lists.append_values_iter(texts.iter().map(String::as_str)),
            None => self.lists.append_null(),
        }
    }

    pub(crate) fn finish(mut self) -> PolarsResult<DataFrame> {
        let [metric, dimension, aggregate, thing, kind] =
            self.texts.map(|column| column.finish().into_column());
        let window = Column::new("window_secs".into(), self.window_secs);
        DataFrame::new_infer_height(vec![
            times("time", self.time),
            window,
            metric,
            dimension,
            aggregate,
            thing,
            kind,
            Column::new("number".into(), self.number),
            self.numbers.finish().into_column(),
            self.lists.finish().into_column(),
        ])
    }
}

/// The word for a value's kind.
pub(crate) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Number(_) => "number",
        Value::Numbers(_) => "numbers",
        Value::Ports(_) => "ports",
        Value::Addresses(_) => "addresses",
        Value::Texts(_) => "texts",
    }
}

fn times(name: &str, millis: Vec<i64>) -> Column {
    let physical = Int64Chunked::from_vec(name.into(), millis);
    physical.into_datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)).into_column()
}

/// An event as a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventRow<'a> {
    pub(crate) time: i64,
    pub(crate) arrival: i64,
    pub(crate) kind: &'a str,
    pub(crate) thing: Option<&'a str>,
    pub(crate) principal: Option<&'a str>,
    pub(crate) address: Option<std::net::IpAddr>,
    pub(crate) claimed_thing: Option<&'a str>,
    pub(crate) claimed_principal: Option<&'a str>,
    pub(crate) topic: Option<&'a str>,
    pub(crate) bytes: Option<i64>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) source: &'a str,
    pub(crate) seq: u64,
    pub(crate) nth: i32,
}

/// Rows of `events`.
pub(crate) struct EventRows {
    time: Vec<i64>,
    arrival: Vec<i64>,
    texts: [StringChunkedBuilder; 9],
    bytes: Vec<Option<i64>>,
    seq: Vec<i64>,
    nth: Vec<i32>,
}

impl EventRows {
    pub(crate) fn new() -> Self {
        let names = [
            "kind",
            "thing",
            "principal",
            "address",
            "claimed_thing",
            "claimed_principal",
            "topic",
            "reason",
            "source",
        ];
        Self {
            time: Vec::new(),
            arrival: Vec::new(),
            texts: names.map(text),
            bytes: Vec::new(),
            seq: Vec::new(),
            nth: Vec::new(),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.time.len()
    }

    pub(crate) fn push(&mut self, row: &EventRow<'_>) {
        self.time.push(row.time);
        self.arrival.push(row.arrival);
        let address = row.address.map(|address| address.to_string());
        let texts = [
            Some(row.kind),
            row.thing,
            row.principal,
            address.as_deref(),
            row.claimed_thing,
            row.claimed_principal,
            row.topic,
            row.reason,
            Some(row.source),
        ];
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_option(text));
        self.bytes.push(row.bytes);
        self.seq.push(row.seq.cast_signed());
        self.nth.push(row.nth);
    }

    pub(crate) fn finish(self) -> PolarsResult<DataFrame> {
        let [kind, thing, principal, address, claimed, claimed_principal, topic, reason, source] =
            self.texts.map(|column| column.finish().into_column());
        DataFrame::new_infer_height(vec![
            times("time", self.time),
            times("arrival", self.arrival),
            kind,
            thing,
            principal,
            address,
            claimed,
            claimed_principal,
            topic,
            Column::new("bytes".into(), self.bytes),
            reason,
            source,
            Column::new("seq".into(), self.seq),
            Column::new("nth".into(), self.nth),
        ])
    }
}

/// Rows of `records` and of `settings`.
pub(crate) struct RecordRows {
    seq: Vec<i64>,
    arrival: Vec<i64>,
    source: Vec<i32>,
    kind: Vec<i32>,
    position: Vec<i64>,
    subject: StringChunkedBuilder,
    payload: BinaryChunkedBuilder,
    /// Bytes of subjects and payloads.
    bytes: usize,
}

impl RecordRows {
    pub(crate) fn new() -> Self {
        Self {
            seq: Vec::new(),
            arrival: Vec::new(),
            source: Vec::new(),
            kind: Vec::new(),
            position: Vec::new(),
            subject: text("subject"),
            payload: BinaryChunkedBuilder::new("payload".into(), 0),
            bytes: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.seq.len()
    }

    /// Bytes that the rows take, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes + self.seq.len() * 32
    }

    pub(crate) fn push(&mut self, record: &Record<'_>) {
        self.seq.push(record.seq.cast_signed());
        self.arrival.push(record.arrival.millis());
        self.source.push(i32::from(record.source.0));
        self.kind.push(i32::from(record.kind.number()));
        self.position.push(record.position.cast_signed());
        self.subject.append_value(record.subject);
        self.payload.append_value(record.payload);
        self.bytes += record.subject.len() + record.payload.len();
    }

    pub(crate) fn finish(self) -> PolarsResult<DataFrame> {
        DataFrame::new_infer_height(vec![
            Column::new("seq".into(), self.seq),
            times("arrival", self.arrival),
            Column::new("source".into(), self.source),
            Column::new("kind".into(), self.kind),
            Column::new("position".into(), self.position),
            self.subject.finish().into_column(),
            self.payload.finish().into_column(),
        ])
    }
}
