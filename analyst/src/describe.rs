//! `describe`: the tables, their columns, and which days there are.

use serde_json::{Value, json};

use crate::{
    Say,
    columns::{About, EVENT_COLUMNS, METRIC_COLUMNS, RECORD_COLUMNS},
    lake,
    request::Describe,
    retention,
};

pub(crate) fn run(request: &Describe, say: Say<'_>) -> anyhow::Result<Value> {
    let tables: [(&str, &[About]); 3] =
        [(lake::METRICS, &METRIC_COLUMNS), (lake::EVENTS, &EVENT_COLUMNS), (lake::RECORDS, &RECORD_COLUMNS)];
    for (table, columns) in tables {
        let days = lake::days(&request.lake, table)?;
        let columns: Vec<Value> = columns
            .iter()
            .map(|(name, kind, unit, says)| json!({"name": name, "type": kind, "unit": unit, "says": says}))
            .collect();
        say(&json!({
            "table": table,
            "files": format!("{table}/day=YYYY-MM-DD/*.parquet"),
            "columns": columns,
            "days": days.len(),
            "first": days.first().map(|(day, _)| history::day_name(*day)),
            "last": days.last().map(|(day, _)| history::day_name(*day)),
            "bytes": retention::bytes(&request.lake, table)?,
        }))?;
    }
    Ok(json!({"tables": tables.len()}))
}
